//! Batches on every back-end: staged commands see one another, nobody else sees them, and they are committed as one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test that panics is a test that failed, and a story is as long as it is"
)]

mod support;

use futures_lite::future::block_on;
use perfectpay::store::{Actor, LogPosition};
use perfectpay::{
    Batch, BlockKind, ChildCount, Clock as _, Cursor, EntityKind, Error, IdempotencyKey, LogChange, MerchantScope,
    MerchantUpdate, PageRequest, Patch, PerfectPay, ProfileId, Verb,
};
use perfectpay_testkit::host::{self, Tenant};
use proptest::prelude::*;
use support::{World, backends, on_every_backend, read, snapshot};

fn key(text: &str) -> IdempotencyKey {
    text.parse().unwrap()
}

fn page(limit: u32) -> PageRequest {
    PageRequest::of(limit).unwrap()
}

async fn block(scope: &MerchantScope, bin: &str) -> Result<(), Error> {
    scope.blocklist().add(read(&host::block_body("card_bin", bin)).unwrap()).await.map(drop)
}

async fn profile(scope: &MerchantScope, name: &str) -> Result<ProfileId, Error> {
    scope.create_profile(read(&host::profile_body(name)).unwrap()).await.map(|profile| profile.profile_id)
}

/// A whole tenant: an organization, an account with two profiles, a connector account, keys, entries and a payment.
async fn onboard(pay: &PerfectPay, merchant_id: &str) -> Result<Tenant, Error> {
    let tenant = host::stand_up(pay, merchant_id).await?;
    let scope = tenant.scope(pay);
    let web = profile(&scope, "web").await?;
    let stripe = read(&host::connector_body("main", "sk_live_1")).unwrap();
    scope.profile(&web).create_connector(stripe).await?;
    block(&scope, "411111").await?;
    block(&scope, "422222").await?;
    scope.blocklist().toggle(Some(true)).await?;
    scope.create_payment(read(&host::payment_with_link_body(4999, "USD")).unwrap()).await?;
    scope.update(MerchantUpdate { default_profile: Patch::Set(web), ..MerchantUpdate::default() }).await?;
    Ok(tenant)
}

fn code(result: Result<impl Sized, Error>) -> String {
    result.err().map_or_else(|| "ok".to_owned(), |error| error.code().to_owned())
}

#[test]
fn a_tenant_is_onboarded_in_one_commit_that_is_previewed_and_seen_by_nobody_before() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let before = snapshot(pay).await;
        let batch = pay.batch();
        let tenant = onboard(batch.pay(), "acme").await.unwrap();
        let preview = batch.preview();
        assert_eq!(snapshot(pay).await, before, "{}", world.name);
        assert_eq!(code(tenant.scope(pay).retrieve().await), "not_found");
        assert_eq!(code(pay.authenticate(tenant.token()).await), "unauthorized");

        let done = batch.commit().await.unwrap();
        assert_eq!(done.changes, preview, "{}", world.name);
        assert!(!done.replayed());
        let log = pay.log(LogPosition::START, 10).await.unwrap();
        assert_eq!(log.len(), 1);
        assert_eq!(log[0].changes, preview);
        assert_eq!(Some(log[0].position), done.receipt.map(|receipt| receipt.position));
        assert_eq!(log[0].merchant_id.as_deref(), Some("acme"));
        assert_eq!(tenant.scope(pay).log(LogPosition::START, 10).await.unwrap(), log);
        assert_eq!(tenant.organization_scope(pay).log(LogPosition::START, 10).await.unwrap(), log);

        let caller = pay.authenticate(tenant.token()).await.unwrap();
        let links = caller.merchant().payment_links(page(10)).await.unwrap();
        assert_eq!(links.items.len(), 1);
        assert!(caller.merchant().blocklist().screen(&"4111111111111111".parse().unwrap()).await.unwrap().is_blocked());
        // Spent.
        assert_eq!(code(batch.commit().await), "batch.committed");
        assert_eq!(code(block(&tenant.scope(batch.pay()), "433333").await), "batch.committed");
    });
}

async fn every_profile(scope: &MerchantScope, limit: u32) -> Vec<ProfileId> {
    let (mut found, mut cursor): (Vec<ProfileId>, Option<Cursor>) = (Vec::new(), None);
    loop {
        let profiles = scope.profiles(page(limit).after(cursor)).await.unwrap();
        found.extend(profiles.items.into_iter().map(|profile| profile.profile_id));
        cursor = profiles.next;
        if cursor.is_none() {
            return found;
        }
    }
}

async fn bins(scope: &MerchantScope, kind: Option<BlockKind>, limit: u32) -> (Vec<String>, u64) {
    let (mut found, mut cursor): (Vec<String>, Option<Cursor>) = (Vec::new(), None);
    loop {
        let entries = scope.blocklist().entries(kind, page(limit).after(cursor)).await.unwrap();
        found.extend(entries.data.into_iter().map(|entry| entry.fingerprint_id.to_string()));
        cursor = entries.next;
        if cursor.is_none() {
            return (found, entries.total_count);
        }
    }
}

#[test]
fn later_commands_read_what_earlier_ones_staged() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let real = tenant.scope(pay);
        let mut profiles = vec![tenant.profile.profile_id.clone()];
        for (number, bin) in ["400000", "400001", "400002", "400003", "400004"].into_iter().enumerate() {
            world.clock.step(std::time::Duration::from_millis(1));
            profiles.push(profile(&real, &format!("p{number}")).await.unwrap());
            block(&real, bin).await.unwrap();
        }

        let batch = pay.batch();
        let scope = tenant.scope(batch.pay());
        world.clock.step(std::time::Duration::from_millis(1));
        for id in [&profiles[1], &profiles[2], &profiles[5]] {
            scope.profile(id).remove().await.unwrap();
        }
        for name in ["new one", "p0"] {
            profiles.push(profile(&scope, name).await.unwrap());
        }
        assert_eq!(code(profile(&scope, "p2").await), "duplicate");
        for bin in ["400001", "400003"] {
            scope.blocklist().remove(read(&host::block_body("card_bin", bin)).unwrap()).await.unwrap();
        }
        block(&scope, "499999").await.unwrap();
        block(&scope, "400003").await.unwrap();
        assert_eq!(code(block(&scope, "400000").await), "already_exists");
        let left: Vec<ProfileId> = [0, 3, 4, 6, 7].map(|at| profiles[at].clone()).into();
        for limit in [1, 2, 3, 4, 5, 100] {
            let mut found = every_profile(&scope, limit).await;
            // Made in the same moment, the last two are ordered by id.
            found[3..].sort_by_key(|id| profiles.iter().position(|known| known == id));
            assert_eq!(found, left, "{} by {limit}", world.name);
            for kind in [None, Some(BlockKind::CardBin)] {
                let (found, total) = bins(&scope, kind, limit).await;
                assert_eq!(found, ["499999", "400003", "400004", "400002", "400000"], "{} by {limit}", world.name);
                assert_eq!(total, 5);
            }
            assert_eq!(bins(&scope, Some(BlockKind::Fingerprint), limit).await, (vec![], 0));
        }

        scope
            .update(MerchantUpdate { default_profile: Patch::Set(profiles[6].clone()), ..MerchantUpdate::default() })
            .await
            .unwrap();
        assert_eq!(scope.retrieve().await.unwrap().default_profile, Some(profiles[6].clone()));
        scope.blocklist().toggle(Some(true)).await.unwrap();
        let card = "4999990000000007".parse().unwrap();
        assert!(scope.blocklist().screen(&card).await.unwrap().is_blocked());
        let issued = scope.create_api_key(read(&host::api_key_body("x", "never")).unwrap()).await.unwrap();
        let token = issued.api_key.as_ref().unwrap().expose().to_owned();
        let caller = batch.pay().authenticate(&token).await.unwrap();
        assert!(caller.merchant().blocklist().screen(&card).await.unwrap().is_blocked());
        // One commit has one actor.
        assert_eq!(code(block(caller.merchant(), "455555").await), "batch.other_actor");
        scope.api_key(&issued.key_id).revoke().await.unwrap();
        assert_eq!(code(caller.merchant().retrieve().await), "unauthorized");
        assert_eq!(code(batch.pay().authenticate(&token).await), "unauthorized");
        // Outside nothing of it is so.
        assert_eq!(every_profile(&real, 100).await.len(), 6);
        assert!(!real.blocklist().screen(&card).await.unwrap().is_blocked());

        let staged = (every_profile(&scope, 2).await, bins(&scope, None, 2).await);
        batch.commit().await.unwrap();
        assert_eq!((every_profile(&real, 2).await, bins(&real, None, 2).await), staged, "{}", world.name);
        assert_eq!(pay.log(LogPosition::START, 100).await.unwrap().last().unwrap().changes, batch.preview());
    });
}

#[test]
fn a_refused_command_stages_nothing_and_a_dropped_batch_writes_nothing() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let before = snapshot(pay).await;
        let batch = pay.batch();
        assert_eq!(code(batch.commit().await), "changes.empty");
        let scope = tenant.scope(batch.pay());
        assert_eq!(code(profile(&scope, "default").await), "duplicate");
        assert_eq!(batch.preview(), []);
        onboard(batch.pay(), "other").await.unwrap();
        assert!(matches!(block(&scope, "411111").await, Err(Error::Refused { code: "batch.other_organization", .. })));
        drop(batch);
        assert_eq!(snapshot(pay).await, before, "{}", world.name);

        // A member that the real commit refuses takes all of it down.
        let batch = pay.batch();
        let scope = tenant.scope(batch.pay());
        block(&scope, "411111").await.unwrap();
        profile(&scope, "web").await.unwrap();
        block(&scope, "422222").await.unwrap();
        profile(&tenant.scope(pay), "web").await.unwrap();
        let before = snapshot(pay).await;
        assert_eq!(code(batch.commit().await), "duplicate");
        assert_eq!(snapshot(pay).await, before, "{}", world.name);
    });
}

#[test]
fn what_the_batch_read_and_another_changed_refuses_it() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let real = tenant.scope(pay);
        let update = || MerchantUpdate {
            metadata: Patch::Set(serde_json::from_value(serde_json::json!({ "n": "1" })).unwrap()),
            ..MerchantUpdate::default()
        };

        let batch = pay.batch();
        block(&tenant.scope(batch.pay()), "411111").await.unwrap();
        real.update(update()).await.unwrap();
        let before = snapshot(pay).await;
        assert!(matches!(batch.commit().await, Err(Error::Stale { expected: 1, found: 2, .. })), "{}", world.name);
        // It cannot be saved.
        assert_eq!(code(batch.commit().await), "stale");

        // The last profile may go, and then is not the last.
        let batch = pay.batch();
        tenant.scope(batch.pay()).profile(&tenant.profile.profile_id).remove().await.unwrap();
        assert_eq!(snapshot(pay).await, before, "{}", world.name);
        profile(&real, "second").await.unwrap();
        assert_eq!(code(batch.commit().await), "moved");

        let batch = pay.batch();
        let scope = tenant.scope(batch.pay());
        block(&scope, "411111").await.unwrap();
        real.remove().cascade().await.unwrap();
        assert_eq!(code(batch.commit().await), "not_found");
        assert_eq!(pay.log(LogPosition::START, 100).await.unwrap().last().unwrap().changes[0].verb, Verb::Removed);
    });
}

#[test]
fn one_idempotency_key_covers_the_whole() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        // Names are free, so the batch may be staged again; the ids in it are others every time.
        let stage = async |bin: &str, label: &str, batch: &Batch| {
            let scope = tenant.scope(batch.pay());
            let issued = scope.create_api_key(read(&host::api_key_body("x", "never")).unwrap()).await.unwrap();
            scope
                .api_key(&issued.key_id)
                .update(read(r#"{"expiration": "never", "name": "y"}"#).unwrap())
                .await
                .unwrap();
            let payment = scope.create_payment(read(&host::payment_body(1, "EUR")).unwrap()).await.unwrap();
            scope.payment(&payment.payment_id).retrieve().await.unwrap();
            let mut body: serde_json::Value = serde_json::from_str(&host::payment_body(2, "EUR")).unwrap();
            body["description"] = format!("{bin} {label} {}", payment.payment_id).into();
            scope.create_payment(read(&body.to_string()).unwrap()).await.unwrap();
        };
        assert_eq!(pay.committed_batch(&key("k")).await.unwrap(), None);
        let first = pay.batch();
        stage("411111", "a", &first).await;
        let done = first.commit().idempotency_key(key("k")).await.unwrap();
        let before = snapshot(pay).await;

        let again = pay.batch();
        stage("411111", "a", &again).await;
        assert_ne!(again.preview(), first.preview());
        let replayed = again.commit().idempotency_key(key("k")).await.unwrap();
        assert!(replayed.replayed(), "{}", world.name);
        assert_eq!(replayed.changes, done.changes);
        assert_eq!(pay.committed_batch(&key("k")).await.unwrap().unwrap().changes, done.changes);

        let other = pay.batch();
        stage("411111", "b", &other).await;
        assert_eq!(code(other.commit().idempotency_key(key("k")).await), "idempotency_mismatch");
        let shorter = pay.batch();
        block(&tenant.scope(shorter.pay()), "411111").await.unwrap();
        assert_eq!(code(shorter.commit().idempotency_key(key("k")).await), "idempotency_mismatch");
        // The key of another command.
        let body = || read(&host::organization_body("x")).unwrap();
        assert_eq!(code(pay.create_organization(body()).idempotency_key(key("k")).await), "idempotency_mismatch");
        assert_eq!(snapshot(pay).await, before, "{}", world.name);
        pay.create_organization(body()).idempotency_key(key("o")).await.unwrap();
        assert_eq!(code(pay.committed_batch(&key("o")).await), "idempotency_mismatch");

        // None on a command inside.
        let batch = pay.batch();
        let refused = batch.pay().create_organization(body()).idempotency_key(key("n")).await;
        assert_eq!(code(refused), "batch.idempotency_key");
        assert_eq!(batch.preview(), []);
        // Kept as long as any.
        world.clock.step(std::time::Duration::from_secs(25 * 60 * 60));
        assert_eq!(pay.committed_batch(&key("k")).await.unwrap(), None);
    });
}

/// Every secret that an update may hold.
const SECRETS: [&str; 10] = [
    "account's hash key",
    "account's password",
    "profile's hash key",
    "profile's password",
    "header",
    "credential",
    "connector's secret",
    "connector's other secret",
    "merchant data",
    "wallet",
];

/// Stages three updates that hold a secret in every field that has one; `other` of them is another one, or is gone.
async fn stage_secrets(batch: &Batch, tenant: &Tenant, other: Option<(&str, Option<&str>)>) {
    let connectors = tenant.scope(batch.pay()).connectors(page(1)).await.unwrap();
    let of = |name: &str| match other {
        Some((changed, value)) if changed == name => value.map_or(serde_json::Value::Null, Into::into),
        _ => serde_json::Value::from("s3cret value"),
    };
    let scope = tenant.scope(batch.pay());
    let body = serde_json::json!({
        "merchant_name": "other",
        "payment_response_hash_key": of(SECRETS[0]),
        "webhook_details": { "webhook_username": "u", "webhook_password": of(SECRETS[1]) },
    });
    scope.update(read(&body.to_string()).unwrap()).await.unwrap();
    let body = serde_json::json!({
        "session_expiry": 901,
        "payment_response_hash_key": of(SECRETS[2]),
        "webhook_details": { "webhook_username": "u", "webhook_password": of(SECRETS[3]) },
        "outgoing_webhook_custom_http_headers": { "X-Key": of(SECRETS[4]) },
    });
    scope.profile(&tenant.profile.profile_id).update(read(&body.to_string()).unwrap()).await.unwrap();
    let body = serde_json::json!({
        "connector_type": "payment_processor",
        "connector_label": "other",
        "connector_account_details": { "auth_type": "HeaderKey", "api_key": of(SECRETS[5]) },
        "connector_webhook_details": { "merchant_secret": of(SECRETS[6]), "additional_secret": of(SECRETS[7]) },
        "additional_merchant_data": { "a": of(SECRETS[8]) },
        "connector_wallets_details": { "apple_pay": { "a": of(SECRETS[9]) } },
    });
    let id = &connectors.items[0].merchant_connector_id;
    scope.connector(id).update(read(&body.to_string()).unwrap()).await.unwrap();
}

#[test]
fn another_secret_inside_an_update_is_another_request() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let connector = read(&host::connector_body("main", "sk_live_1")).unwrap();
        tenant.scope(pay).create_connector(connector).await.unwrap();
        let staged = async |other| {
            let batch = pay.batch();
            stage_secrets(&batch, &tenant, other).await;
            batch
        };
        let mut others = Vec::new();
        for secret in SECRETS {
            others.push((secret, staged(Some((secret, Some("an0ther value")))).await));
        }
        // Where null is a value, it is another one, too.
        for secret in [SECRETS[1], SECRETS[3], SECRETS[7], SECRETS[8], SECRETS[9]] {
            others.push((secret, staged(Some((secret, None))).await));
        }
        let (first, again) = (staged(None).await, staged(None).await);
        let done = first.commit().idempotency_key(key("k")).await.unwrap();
        let before = snapshot(pay).await;
        for (secret, batch) in others {
            let refused = batch.commit().idempotency_key(key("k")).await;
            assert_eq!(code(refused), "idempotency_mismatch", "the {secret} on {}", world.name);
        }
        let replayed = again.commit().idempotency_key(key("k")).await.unwrap();
        assert!(replayed.replayed());
        assert_eq!(replayed.changes, done.changes);
        assert_eq!(snapshot(pay).await, before, "{}", world.name);
    });
}

#[test]
fn what_an_update_keeps_clears_or_sets_is_told_apart() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let full = r#"{"metadata": {"a": "1"}, "return_url": "https://a.example/", "webhook_details": {"webhook_password": "p"}}"#;
        tenant.scope(pay).profile(&tenant.profile.profile_id).update(read(full).unwrap()).await.unwrap();
        let staged = async |body: &str| {
            let batch = pay.batch();
            let scope = tenant.scope(batch.pay());
            scope.profile(&tenant.profile.profile_id).update(read(body).unwrap()).await.unwrap();
            batch
        };
        let bodies = [
            r#"{"session_expiry": 901}"#,
            r#"{"session_expiry": 901, "metadata": null}"#,
            r#"{"session_expiry": 901, "metadata": {}}"#,
            r#"{"session_expiry": 901, "metadata": {"a": "1"}}"#,
            r#"{"session_expiry": 901, "return_url": null}"#,
            r#"{"session_expiry": 901, "webhook_details": null}"#,
            r#"{"session_expiry": 901, "webhook_details": {}}"#,
            r#"{"session_expiry": 901, "webhook_details": {"webhook_password": null}}"#,
            r#"{"session_expiry": 901, "webhook_details": {"webhook_password": "p"}}"#,
        ];
        let mut batches = Vec::new();
        for body in bodies {
            batches.push((body, staged(body).await));
        }
        let again = staged(bodies[0]).await;
        let mut batches = batches.into_iter();
        batches.next().unwrap().1.commit().idempotency_key(key("k")).await.unwrap();
        for (body, batch) in batches {
            let refused = batch.commit().idempotency_key(key("k")).await;
            assert_eq!(code(refused), "idempotency_mismatch", "{body} on {}", world.name);
        }
        assert!(again.commit().idempotency_key(key("k")).await.unwrap().replayed());
    });
}

#[test]
fn removals_are_staged_and_a_cascade_is_the_last() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = onboard(pay, "acme").await.unwrap();
        let real = tenant.scope(pay);
        let web = real.retrieve().await.unwrap().default_profile.unwrap();

        let batch = pay.batch();
        let scope = tenant.scope(batch.pay());
        let first = scope.profile(&tenant.profile.profile_id);
        first.create_connector(read(&host::connector_body("late", "sk_live_2")).unwrap()).await.unwrap();
        let Err(Error::HasChildren { children, .. }) = first.remove().await else { panic!("has children") };
        let count = |kind, count| ChildCount { kind, count };
        assert_eq!(children, [count(EntityKind::Connector, 1), count(EntityKind::Payment, 1)], "{}", world.name);
        assert_eq!(code(scope.profile(&web).remove().cascade().await), "profile.is_default");
        first.remove().cascade().await.unwrap();
        assert_eq!(code(first.retrieve().await), "not_found");
        assert_eq!(scope.connectors(page(10)).await.unwrap().items.len(), 1);
        assert_eq!(scope.payments(page(10)).await.unwrap().items, []);
        assert_eq!(scope.payment_links(page(10)).await.unwrap().items, []);
        assert_eq!(code(block(&scope, "455555").await), "changes.after_cascade");
        batch.commit().await.unwrap();
        assert_eq!(real.payments(page(10)).await.unwrap().items, []);
        assert_eq!(real.connectors(page(10)).await.unwrap().items.len(), 1);

        // An account that comes and goes and comes again, with what goes along without counting.
        let batch = pay.batch();
        for again in [false, true] {
            let sister = host::merchant_in(batch.pay(), &tenant.organization, "sister").await.unwrap();
            let scope = sister.scope(batch.pay());
            scope.api_key(&sister.key.key_id).revoke().await.unwrap();
            if !again {
                scope.profile(&sister.profile.profile_id).remove().await.unwrap();
                scope.remove().await.unwrap();
                assert_eq!(code(scope.retrieve().await), "not_found");
            }
        }
        batch.commit().await.unwrap();
        let sister = tenant.organization_scope(pay).merchant(&"sister".parse().unwrap());
        assert_eq!(sister.api_keys(page(10)).await.unwrap().items.len(), 1, "{}", world.name);

        let batch = pay.batch();
        let scope = tenant.scope(batch.pay());
        let passing = profile(&scope, "passing").await.unwrap();
        scope.profile(&passing).remove().await.unwrap();
        block(&scope, "455555").await.unwrap();
        tenant.organization_scope(batch.pay()).remove().cascade().await.unwrap();
        assert_eq!(code(scope.retrieve().await), "not_found");
        assert_eq!(code(batch.pay().authenticate(tenant.token()).await), "unauthorized");
        assert_eq!(batch.pay().organizations(page(10)).await.unwrap().items, []);
        assert!(real.retrieve().await.is_ok());
        batch.commit().await.unwrap();
        assert_eq!(code(real.retrieve().await), "not_found");
        assert_eq!(pay.organizations(page(10)).await.unwrap().items, []);
    });
}

#[test]
fn a_number_of_children_is_expected_of_the_real_store() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let real = tenant.scope(pay);
        let second = profile(&real, "second").await.unwrap();
        // The default profile may go as the last one, once the batch has removed the other.
        let stage = async || {
            let batch = pay.batch();
            let scope = tenant.scope(batch.pay());
            assert_eq!(code(scope.profile(&tenant.profile.profile_id).remove().await), "profile.is_default");
            scope.profile(&second).remove().await.unwrap();
            scope.profile(&tenant.profile.profile_id).remove().await.unwrap();
            batch
        };
        let (batch, late) = (stage().await, stage().await);
        let third = profile(&real, "third").await.unwrap();
        assert_eq!(code(late.commit().await), "moved", "{}", world.name);
        real.profile(&third).remove().await.unwrap();
        batch.commit().await.unwrap();
        assert_eq!(every_profile(&real, 100).await, []);
    });
}

#[test]
fn a_batch_has_one_owner_and_one_actor() {
    on_every_backend(async |world| {
        let operator = Actor::Operator("ann".parse().unwrap());
        let pay = world.pay.acting_as(operator.clone());
        let acme = host::stand_up(&pay, "acme").await.unwrap();
        let sister = host::merchant_in(&pay, &acme.organization, "sister").await.unwrap();
        let rival = host::stand_up(&pay, "rival").await.unwrap();
        let batch = pay.batch();
        block(&acme.scope(batch.pay()), "411111").await.unwrap();
        assert_eq!(code(block(&rival.scope(batch.pay()), "411111").await), "batch.other_organization");
        assert_eq!(code(block(&acme.scope(&batch.pay().acting_as(Actor::Host)), "422222").await), "batch.other_actor");
        // Another account of the same organization: the entry is the organization's.
        block(&sister.scope(batch.pay()), "411111").await.unwrap();
        assert_eq!(code(batch.pay().batch().commit().await), "batch.nested");
        batch.commit().await.unwrap();
        let entry = pay.log(LogPosition::START, 100).await.unwrap().pop().unwrap();
        assert_eq!((entry.actor.clone(), entry.merchant_id.clone()), (operator, None), "{}", world.name);
        let organization = acme.organization_scope(&pay).log(LogPosition::START, 100).await.unwrap();
        assert_eq!(organization.last(), Some(&entry));
        assert_ne!(acme.scope(&pay).log(LogPosition::START, 100).await.unwrap().last(), Some(&entry));
        let LogChange { kind, id, .. } = entry.changes[0].clone();
        let of = acme.scope(&pay).log_of(perfectpay::Entity { kind, id }, LogPosition::START, 10).await.unwrap();
        assert_eq!(of, [entry]);
    });
}

#[test]
fn what_a_batch_does_to_an_organization_reaches_its_other_accounts_at_once() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let acme = host::stand_up(pay, "acme").await.unwrap();
        let sister = host::merchant_in(pay, &acme.organization, "sister").await.unwrap();
        let (one, two) = (acme.scope(pay), sister.scope(pay));
        let card = "4111111111111111".parse().unwrap();
        assert_eq!(two.blocklist().screen(&card).await.unwrap().matched, None, "{}", world.name);
        pay.authenticate(sister.token()).await.unwrap();

        let batch = pay.batch();
        let rule = read(&host::block_body("card_bin", "411111")).unwrap();
        acme.organization_scope(batch.pay()).blocklist().add(rule).await.unwrap();
        profile(&acme.scope(batch.pay()), "web").await.unwrap();
        batch.commit().await.unwrap();
        assert!(two.blocklist().screen(&card).await.unwrap().matched.is_some(), "{}", world.name);
        let entry = pay.log(LogPosition::START, 100).await.unwrap().pop().unwrap();
        assert_eq!(entry.merchant_id, None, "the organization has a part in it");
        assert!(one.log(LogPosition::START, 100).await.unwrap().iter().all(|seen| seen.position != entry.position));

        // The account that only shares the organization goes with it, and its keys.
        let batch = pay.batch();
        profile(&acme.scope(batch.pay()), "last").await.unwrap();
        acme.organization_scope(batch.pay()).remove().cascade().await.unwrap();
        batch.commit().await.unwrap();
        assert_eq!(code(pay.authenticate(sister.token()).await), "unauthorized", "{}", world.name);
        assert_eq!(code(two.blocklist().screen(&card).await), "not_found");
    });
}

#[test]
fn a_key_that_was_narrowed_is_as_narrow_in_a_batch() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let acme = host::stand_up(pay, "acme").await.unwrap();
        let account = acme.scope(pay);
        let web = profile(&account, "web").await.unwrap();
        let own = &acme.profile.profile_id;
        let body = serde_json::json!({ "name": "k", "expiration": "never", "profile_ids": [own, web] }).to_string();
        let issued = account.create_api_key(read(&body).unwrap()).await.unwrap();
        let caller = pay.authenticate(issued.api_key.unwrap().expose()).await.unwrap();
        caller.merchant().profile(&web).retrieve().await.unwrap();

        let narrow = serde_json::json!({ "profile_ids": [own] }).to_string();
        account.api_key(&issued.key_id).update(read(&narrow).unwrap()).await.unwrap();
        let batch = caller.merchant().batch();
        batch.merchant().profile(own).retrieve().await.unwrap();
        assert_eq!(code(batch.merchant().profile(&web).retrieve().await), "forbidden", "{}", world.name);
        let connector = read(&host::connector_body("main", "sk_live_1")).unwrap();
        assert_eq!(code(batch.merchant().profile(&web).create_connector(connector).await), "forbidden");
        assert!(batch.preview().is_empty());
    });
}

#[test]
fn in_a_batch_a_key_has_the_scopes_that_it_has_outside() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let acme = host::stand_up(pay, "acme").await.unwrap();
        let account = pay.organization(&acme.organization.organization_id).merchant(&acme.merchant.merchant_id);
        let body = r#"{"name": "Lists", "expiration": "never", "scopes": ["blocklist:write"]}"#;
        let issued = account.create_api_key(read(body).unwrap()).await.unwrap();
        let caller = pay.authenticate(issued.api_key.unwrap().expose()).await.unwrap();
        let batch = caller.merchant().batch();
        block(batch.merchant(), "411111").await.unwrap();
        assert_eq!(code(profile(batch.merchant(), "web").await), "forbidden", "{}", world.name);
        assert_eq!(code(batch.merchant().retrieve().await), "forbidden");
        assert_eq!(batch.commit().await.unwrap().changes.len(), 1);
    });
}

#[test]
fn whoever_holds_a_key_composes_a_batch_in_its_account_and_nowhere_else() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let acme = host::stand_up(pay, "acme").await.unwrap();
        let sister = host::merchant_in(pay, &acme.organization, "sister").await.unwrap();
        let caller = pay.authenticate(acme.token()).await.unwrap();
        let before = snapshot(pay).await;
        let batch = caller.merchant().batch();
        let scope = batch.merchant();
        let web = profile(scope, "web").await.unwrap();
        scope.profile(&web).create_connector(read(&host::connector_body("main", "sk_live_1")).unwrap()).await.unwrap();
        block(scope, "411111").await.unwrap();
        // Its commands see one another; nobody else does, and nothing of the sister's is there.
        assert_eq!(scope.connectors(page(10)).await.unwrap().items.len(), 1);
        assert_eq!(code(scope.profile(&sister.profile.profile_id).retrieve().await), "not_found");
        assert_eq!(code(scope.profile(&sister.profile.profile_id).remove().await), "not_found");
        assert_eq!(code(scope.api_key(&sister.key.key_id).revoke().await), "not_found");
        let body = serde_json::json!({ "default_profile": sister.profile.profile_id }).to_string();
        assert_eq!(code(scope.update(read(&body).unwrap()).await), "not_found");
        assert_eq!(snapshot(pay).await, before, "{}", world.name);

        let preview = batch.preview();
        assert_eq!(preview.len(), 3);
        let done = batch.commit().idempotency_key(key("k")).await.unwrap();
        assert_eq!(done.changes, preview);
        let log = caller.merchant().log(LogPosition::START, 100).await.unwrap();
        let entry = log.last().unwrap();
        assert_eq!(entry.changes, preview);
        assert_eq!(entry.actor, Actor::ApiKey(acme.key.key_id.clone()));
        assert_eq!(entry.merchant_id.as_deref(), Some("acme"));
        assert_eq!(Some(entry.position), done.receipt.map(|receipt| receipt.position));
        assert_eq!(code(batch.commit().await), "batch.committed");

        // The idempotency key is the account's own, and no one else's.
        let kept = caller.merchant().committed_batch(&key("k")).await.unwrap().unwrap();
        assert_eq!(kept.changes, preview);
        let other = pay.authenticate(sister.token()).await.unwrap();
        assert_eq!(other.merchant().committed_batch(&key("k")).await.unwrap(), None);
        assert_eq!(pay.committed_batch(&key("k")).await.unwrap(), None);
        let theirs = other.merchant().batch();
        block(theirs.merchant(), "411111").await.unwrap();
        assert!(!theirs.commit().idempotency_key(key("k")).await.unwrap().replayed());
        let again = caller.merchant().batch();
        block(again.merchant(), "422222").await.unwrap();
        assert_eq!(code(again.commit().idempotency_key(key("k")).await), "idempotency_mismatch");

        // The host has the same on an account's handle; one batch does not go into another.
        let batch = acme.scope(pay).batch();
        block(batch.merchant(), "433333").await.unwrap();
        assert_eq!(code(batch.merchant().batch().commit().await), "batch.nested");
        batch.commit().await.unwrap();
        assert_eq!(pay.log(LogPosition::START, 100).await.unwrap().last().unwrap().actor, Actor::Host);
    });
}

#[test]
fn a_committed_batch_is_told_to_whoever_committed_it_and_to_readers_of_the_log() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let scope = tenant.scope(&world.pay);
        let holder = async |scopes: &str| {
            let body = format!(r#"{{"name": "k", "expiration": "never", "scopes": [{scopes}]}}"#);
            let issued = scope.create_api_key(read(&body).unwrap()).await.unwrap();
            world.pay.authenticate(issued.api_key.unwrap().expose()).await.unwrap()
        };
        let (own, other) = (holder(r#""blocklist:write""#).await, holder(r#""payments:write""#).await);
        let reader = holder(r#""log:read""#).await;
        let batch = own.merchant().batch();
        block(batch.merchant(), "411111").await.unwrap();
        let done = batch.commit().idempotency_key(key("b-1")).await.unwrap();
        assert_eq!(done.actor, Actor::ApiKey(own.api_key().key_id.clone()), "{}", world.name);
        for caller in [&own, &reader] {
            let told = caller.merchant().committed_batch(&key("b-1")).await.unwrap().unwrap();
            assert_eq!((&told.actor, &told.changes, told.replayed()), (&done.actor, &done.changes, true));
        }
        let told = scope.committed_batch(&key("b-1")).await.unwrap().unwrap();
        assert_eq!(told.changes, done.changes, "{}", world.name);
        let refused = other.merchant().committed_batch(&key("b-1")).await;
        assert!(matches!(refused, Err(Error::Forbidden)), "{}: {refused:?}", world.name);
        assert_eq!(other.merchant().committed_batch(&key("b-2")).await.unwrap(), None);
    });
}

#[test]
fn a_batch_ends_with_the_key_that_opened_it() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let acme = host::stand_up(pay, "acme").await.unwrap();
        let issue = async |expiration: &str| {
            let body = read(&host::api_key_body("x", expiration)).unwrap();
            acme.scope(pay).create_api_key(body).await.unwrap()
        };
        let open = async |issued: &perfectpay::IssuedApiKey| {
            let caller = pay.authenticate(issued.api_key.as_ref().unwrap().expose()).await.unwrap();
            let batch = caller.merchant().batch();
            block(batch.merchant(), "411111").await.unwrap();
            batch
        };

        // Revoked: no more commands, and no commit.
        let issued = issue("never").await;
        let batch = open(&issued).await;
        acme.scope(pay).api_key(&issued.key_id).revoke().await.unwrap();
        let before = snapshot(pay).await;
        assert_eq!(code(block(batch.merchant(), "422222").await), "unauthorized", "{}", world.name);
        assert_eq!(code(batch.commit().idempotency_key(key("k")).await), "unauthorized");
        assert_eq!(code(batch.merchant().committed_batch(&key("k")).await), "unauthorized");
        assert_eq!(snapshot(pay).await, before, "{}", world.name);

        // The commit stands on the key as it was read: a change of it cannot slip in between.
        let issued = issue("never").await;
        let batch = open(&issued).await;
        acme.scope(pay).api_key(&issued.key_id).update(read(r#"{"name": "y"}"#).unwrap()).await.unwrap();
        let before = snapshot(pay).await;
        let Err(Error::Stale { entity, .. }) = batch.commit().await else { panic!("on {}", world.name) };
        assert_eq!((entity.kind, entity.id), (EntityKind::ApiKey, issued.key_id.to_string()));
        assert_eq!(snapshot(pay).await, before, "{}", world.name);

        // Its own key may be the last thing that it revokes.
        let issued = issue("never").await;
        let batch = open(&issued).await;
        batch.merchant().api_key(&issued.key_id).revoke().await.unwrap();
        assert_eq!(code(block(batch.merchant(), "422222").await), "unauthorized");
        batch.commit().await.unwrap();
        assert_eq!(code(pay.authenticate(issued.api_key.as_ref().unwrap().expose()).await), "unauthorized");
        assert_eq!(code(batch.merchant().retrieve().await), "unauthorized");

        // Expired.
        let end = world.clock.now().plus_seconds(60);
        let issued = issue(&end.to_string()).await;
        let caller = pay.authenticate(issued.api_key.as_ref().unwrap().expose()).await.unwrap();
        let batch = caller.merchant().batch();
        block(batch.merchant(), "433333").await.unwrap();
        world.clock.step(std::time::Duration::from_secs(61));
        let before = snapshot(pay).await;
        assert_eq!(code(batch.commit().await), "unauthorized", "{}", world.name);
        assert_eq!(snapshot(pay).await, before, "{}", world.name);
    });
}

#[test]
fn the_futures_of_a_batch_can_be_sent_to_another_thread() {
    fn sent<T: Send>(value: T) -> T {
        value
    }
    on_every_backend(async |world| {
        let batch = world.pay.batch();
        let tenant = sent(host::stand_up(batch.pay(), "acme")).await.unwrap();
        sent(tenant.scope(batch.pay()).removal_impact()).await.unwrap();
        sent(batch.commit().into_future()).await.unwrap();
    });
}

/// One command on the two accounts of a tenant; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Merchant(u8),
    Rename(bool),
    Profile(bool, u8),
    Default(bool, u8),
    RemoveProfile(bool, u8, bool),
    Connector(bool, u8, u8),
    Disable(bool, u8),
    RemoveConnector(bool, u8),
    Block(bool, u8),
    Unblock(bool, u8),
    Toggle(bool),
    Key(bool),
    Revoke(bool, u8),
    Pay(bool, u8, bool),
    RemoveMerchant(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..3_u8).prop_map(Step::Merchant),
        1 => any::<bool>().prop_map(Step::Rename),
        3 => (any::<bool>(), 0..4_u8).prop_map(|(m, n)| Step::Profile(m, n)),
        2 => (any::<bool>(), 0..4_u8).prop_map(|(m, n)| Step::Default(m, n)),
        2 => (any::<bool>(), 0..4_u8, prop::bool::weighted(0.1)).prop_map(|(m, n, c)| Step::RemoveProfile(m, n, c)),
        3 => (any::<bool>(), 0..4_u8, 0..3_u8).prop_map(|(m, n, l)| Step::Connector(m, n, l)),
        2 => (any::<bool>(), 0..4_u8).prop_map(|(m, n)| Step::Disable(m, n)),
        2 => (any::<bool>(), 0..4_u8).prop_map(|(m, n)| Step::RemoveConnector(m, n)),
        3 => (any::<bool>(), 0..4_u8).prop_map(|(m, n)| Step::Block(m, n)),
        2 => (any::<bool>(), 0..4_u8).prop_map(|(m, n)| Step::Unblock(m, n)),
        1 => any::<bool>().prop_map(Step::Toggle),
        1 => any::<bool>().prop_map(Step::Key),
        1 => (any::<bool>(), 0..4_u8).prop_map(|(m, n)| Step::Revoke(m, n)),
        2 => (any::<bool>(), 0..4_u8, any::<bool>()).prop_map(|(m, n, l)| Step::Pay(m, n, l)),
        1 => any::<bool>().prop_map(Step::RemoveMerchant),
    ]
}

fn pick<T: Clone>(items: &[T], number: u8) -> Option<T> {
    items.get(usize::from(number) % items.len().max(1)).cloned()
}

/// Carries a step out and says what came of it.
async fn take(pay: &PerfectPay, tenant: &Tenant, step: &Step) -> Result<String, Error> {
    use Step::{
        Block, Connector, Default, Disable, Key, Merchant, Pay, Profile, RemoveConnector, RemoveMerchant,
        RemoveProfile, Rename, Revoke, Toggle, Unblock,
    };
    let scope = match *step {
        Merchant(number) => {
            let body = read(&host::merchant_body(&format!("m{number}"))).unwrap();
            return Ok(format!("{:?}", tenant.organization_scope(pay).create_merchant(body).await?));
        }
        Rename(first)
        | Profile(first, _)
        | Default(first, _)
        | RemoveProfile(first, ..)
        | Connector(first, ..)
        | Disable(first, _)
        | RemoveConnector(first, _)
        | Block(first, _)
        | Unblock(first, _)
        | Toggle(first)
        | Key(first)
        | Revoke(first, _)
        | Pay(first, ..)
        | RemoveMerchant(first) => {
            let id = if first { "acme" } else { "m0" };
            tenant.organization_scope(pay).merchant(&id.parse().unwrap())
        }
    };
    let profiles = every_known(&scope).await?;
    let connectors = scope.connectors(page(3)).await?.items;
    let some = |number| pick(&profiles, number).unwrap_or_else(|| "pro_none".parse().unwrap());
    let bin = |number: u8| read(&host::block_body("card_bin", &format!("41111{number}"))).unwrap();
    Ok(match *step {
        Merchant(_) => String::new(),
        Rename(_) => {
            let n = scope.retrieve().await?.version;
            let metadata = Patch::Set(serde_json::from_value(serde_json::json!({ "n": n.to_string() })).unwrap());
            format!("{:?}", scope.update(MerchantUpdate { metadata, ..MerchantUpdate::default() }).await?)
        }
        Profile(_, n) => format!("{:?}", profile(&scope, &format!("p{n}")).await?),
        Default(_, n) => {
            let update = MerchantUpdate { default_profile: Patch::Set(some(n)), ..MerchantUpdate::default() };
            format!("{:?}", scope.update(update).await?)
        }
        RemoveProfile(_, n, true) => format!("{:?}", scope.profile(&some(n)).remove().cascade().await?),
        RemoveProfile(_, n, false) => format!("{:?}", scope.profile(&some(n)).remove().await?),
        Connector(_, n, l) => {
            let body = read(&host::connector_body(&format!("c{l}"), "sk_live_1")).unwrap();
            format!("{:?}", scope.profile(&some(n)).create_connector(body).await?)
        }
        Disable(_, n) => {
            let Some(it) = pick(&connectors, n) else { return Ok("none".into()) };
            let mut update = perfectpay::ConnectorUpdate::of(it.connector_type);
            update.disabled = Patch::Set(!it.disabled);
            format!("{:?}", scope.connector(&it.merchant_connector_id).update(update).await?)
        }
        RemoveConnector(_, n) => {
            let Some(it) = pick(&connectors, n) else { return Ok("none".into()) };
            format!("{:?}", scope.connector(&it.merchant_connector_id).remove().await?)
        }
        Block(_, n) => format!("{:?}", scope.blocklist().add(bin(n)).await?),
        Unblock(_, n) => format!("{:?}", scope.blocklist().remove(bin(n)).await?),
        Toggle(_) => format!("{:?}", scope.blocklist().toggle(None).await?),
        Key(_) => {
            let issued = scope.create_api_key(read(&host::api_key_body("k", "never")).unwrap()).await?;
            pay.authenticate(issued.api_key.as_ref().unwrap().expose()).await?;
            format!("{issued:?}")
        }
        Revoke(_, n) => {
            let keys = scope.api_keys(page(10)).await?.items;
            let Some(it) = pick(&keys, n) else { return Ok("none".into()) };
            format!("{:?}", scope.api_key(&it.key_id).revoke().await?)
        }
        Pay(_, n, link) => {
            let body = if link { host::payment_with_link_body(5, "EUR") } else { host::payment_body(5, "EUR") };
            format!("{:?}", scope.profile(&some(n)).create_payment(read(&body).unwrap()).await?)
        }
        RemoveMerchant(_) => format!("{:?}", scope.remove().await?),
    })
}

async fn every_known(scope: &MerchantScope) -> Result<Vec<ProfileId>, Error> {
    Ok(scope.profiles(page(2)).await?.items.into_iter().map(|profile| profile.profile_id).collect())
}

async fn told(pay: &PerfectPay, tenant: &Tenant, step: &Step) -> String {
    match take(pay, tenant, step).await {
        Ok(answer) => answer,
        Err(error) => format!("{} {error}", error.code()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_does_what_its_commands_do_one_by_one(steps in prop::collection::vec(step(), 1..24)) {
        for (single, together) in backends().into_iter().zip(backends()) {
            let (single, together) = (World::on(single), World::on(together));
            block_on(async {
                let tenant = onboard(&single.pay, "acme").await.unwrap();
                let same = onboard(&together.pay, "acme").await.unwrap();
                assert_eq!(tenant.merchant, same.merchant);
                let batch = together.pay.batch();
                for step in &steps {
                    let staged = told(batch.pay(), &tenant, step).await;
                    if staged.starts_with("changes.after_cascade") {
                        break;
                    }
                    assert_eq!(staged, told(&single.pay, &tenant, step).await, "{step:?} on {}", single.name);
                    for world in [&single, &together] {
                        world.clock.step(std::time::Duration::from_millis(1));
                    }
                }
                let preview = batch.preview();
                if preview.is_empty() {
                    return;
                }
                batch.commit().await.unwrap();
                let [mut left, mut right] = [snapshot(&single.pay).await, snapshot(&together.pay).await];
                // Where the log ends, and how many entries it has: all else is equal.
                for lines in [&mut left, &mut right] {
                    lines.remove(0);
                    lines.pop();
                }
                assert_eq!(left, right, "{}", single.name);
                let log = together.pay.log(LogPosition::START, 1_000).await.unwrap();
                assert_eq!(log.last().unwrap().changes, preview);
            });
        }
    }
}
