//! What happens to things over time, on every back-end: removal and what goes along, ids that are used again, keys and
//! links that end, clocks that step back, what a new object takes from above, and the log of all of it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test that panics is a test that failed, and what it asks is used up by the answer"
)]

mod support;

use std::time::Duration;

use perfectpay::store::{Actor, LogEntry, LogPosition};
use perfectpay::{
    BlockEntry, Caller, Connector, Entity, EntityKind, Error, IssuedApiKey, Level, MerchantScope, MerchantUpdate,
    NewConnector, NewPayment, Operation, PageRequest, Payment, PaymentLink, PerfectPay, Profile, ProfileScope,
    ProfileUpdate, Refusal,
};
use perfectpay_testkit::host::{self, Tenant};
use serde_json::{Value, json};
use support::{World, on_every_backend, read, shown, snapshot};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn all() -> PageRequest {
    PageRequest::default()
}

fn is_absent<T>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::NotFound(_)))
}

async fn key(scope: &MerchantScope, expiration: &str) -> IssuedApiKey {
    scope.create_api_key(read(&host::api_key_body("k", expiration)).unwrap()).await.unwrap()
}

fn token(key: &IssuedApiKey) -> &str {
    key.api_key.as_ref().unwrap().expose()
}

async fn connector(scope: &MerchantScope, label: &str) -> Connector {
    scope.create_connector(read(&host::connector_body(label, "sk_live_1")).unwrap()).await.unwrap()
}

async fn linked(scope: &MerchantScope) -> Payment {
    scope.create_payment(read(&host::payment_with_link_body(100, "EUR")).unwrap()).await.unwrap()
}

async fn link(scope: &MerchantScope, payment: &Payment) -> PaymentLink {
    scope.payment_link(&payment.payment_link.as_ref().unwrap().payment_link_id).retrieve().await.unwrap()
}

async fn blocked(scope: &MerchantScope, bin: &str) -> BlockEntry {
    scope.blocklist().add(read(&host::block_body("card_bin", bin)).unwrap()).await.unwrap()
}

/// An account with one of everything.
async fn furnished(pay: &PerfectPay, id: &str) -> (Tenant, Connector, Payment) {
    let tenant = host::stand_up(pay, id).await.unwrap();
    let scope = tenant.scope(pay);
    let connector = connector(&scope, "c").await;
    let payment = linked(&scope).await;
    blocked(&scope, "411111").await;
    (tenant, connector, payment)
}

#[test]
fn a_cascade_takes_an_organization_with_everything_below_and_nothing_beside() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        furnished(pay, "neighbour").await;
        let before = snapshot(pay).await;
        let (tenant, connector, payment) = furnished(pay, "acme").await;
        let second = host::merchant_in(pay, &tenant.organization, "second").await.unwrap();
        let caller = pay.authenticate(tenant.token()).await.unwrap();
        let scope = tenant.scope(pay);
        let position = pay.log_head().await.unwrap().position;

        let id = tenant.organization.organization_id.clone();
        let removed = tenant.organization_scope(pay).remove().cascade().await.unwrap();
        assert_eq!(removed, id);

        assert!(is_absent(tenant.organization_scope(pay).retrieve().await), "{}", world.name);
        for account in [&tenant, &second] {
            assert!(is_absent(pay.merchant(&account.merchant.merchant_id).retrieve().await), "{}", world.name);
            // Which of the two depends on whether the token was used here before.
            let refused = pay.authenticate(account.token()).await;
            assert!(matches!(refused, Err(Error::Unauthorized(Refusal::Unknown | Refusal::Revoked))));
        }
        assert!(is_absent(scope.profile(&tenant.profile.profile_id).retrieve().await));
        assert!(is_absent(scope.connector(&connector.merchant_connector_id).retrieve().await));
        assert!(is_absent(scope.payment(&payment.payment_id).retrieve().await));
        assert!(matches!(caller.merchant().retrieve().await, Err(Error::Unauthorized(Refusal::Revoked))));

        let log = pay.log(position, 10).await.unwrap();
        let expected = json!([{ "kind": "organization", "id": id, "verb": "removed", "version": 1 }]);
        assert_eq!(log.len(), 1, "one commit on {}", world.name);
        assert_eq!(shown(&log[0].changes), expected);

        // All that the neighbour answers is what it answered.
        let after = snapshot(pay).await;
        assert_eq!(after[1..after.len() - 1], before[1..before.len() - 1], "{}", world.name);
    });
}

#[test]
fn a_cascade_takes_a_merchant_account_and_leaves_its_sibling() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, connector, payment) = furnished(pay, "acme").await;
        let sibling = host::merchant_in(pay, &tenant.organization, "sibling").await.unwrap();
        let scope = tenant.scope(pay);
        let removed = scope.remove().cascade().await.unwrap();
        assert_eq!(shown(&removed), json!({ "merchant_id": "acme", "deleted": true }), "{}", world.name);
        assert!(is_absent(scope.retrieve().await));
        assert!(is_absent(scope.connector(&connector.merchant_connector_id).retrieve().await));
        assert!(is_absent(scope.payment(&payment.payment_id).retrieve().await));
        assert!(is_absent(scope.blocklist().entries(None, all()).await));
        assert!(is_absent(scope.remove().cascade().await), "it is gone already");
        let left = tenant.organization_scope(pay).merchants(all()).await.unwrap().items;
        assert_eq!(left, std::slice::from_ref(&sibling.merchant), "{}", world.name);
        pay.authenticate(sibling.token()).await.unwrap();
    });
}

#[test]
fn a_cascade_takes_a_profile_with_its_connectors_payments_and_links() {
    on_every_backend(async |world| {
        let (tenant, kept_connector, kept_payment) = furnished(&world.pay, "acme").await;
        let scope = tenant.scope(&world.pay);
        let second = scope.create_profile(read(&host::profile_body("Second")).unwrap()).await.unwrap();
        let second = scope.profile(&second.profile_id);
        let new = read::<NewConnector>(&host::connector_body("c", "sk_live_2")).unwrap();
        let gone_connector = second.create_connector(new).await.unwrap();
        let new = read::<NewPayment>(&host::payment_with_link_body(100, "EUR")).unwrap();
        let gone_payment = second.create_payment(new).await.unwrap();

        let error = second.remove().await.unwrap_err();
        let expected = [(EntityKind::Connector, 1), (EntityKind::Payment, 1)];
        match error {
            Error::HasChildren { children, .. } => {
                let found: Vec<_> = children.iter().map(|child| (child.kind, child.count)).collect();
                assert_eq!(found, expected, "{}", world.name);
            }
            other => panic!("{other}"),
        }
        second.remove().cascade().await.unwrap();
        assert_eq!(scope.connectors(all()).await.unwrap().items, [kept_connector], "{}", world.name);
        assert_eq!(scope.payments(all()).await.unwrap().items, [kept_payment], "{}", world.name);
        assert_eq!(scope.payment_links(all()).await.unwrap().items.len(), 1, "{}", world.name);
        assert!(is_absent(scope.connector(&gone_connector.merchant_connector_id).retrieve().await));
        assert!(is_absent(scope.payment(&gone_payment.payment_id).retrieve().await));
        let gone_link = gone_payment.payment_link.unwrap().payment_link_id;
        assert!(is_absent(scope.payment_link(&gone_link).retrieve().await));
        // Its name is free again.
        scope.create_profile(read(&host::profile_body("Second")).unwrap()).await.unwrap();
    });
}

#[test]
fn revoked_keys_hold_nothing_up_and_the_empty_goes_without_a_cascade() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, connector, _) = furnished(pay, "acme").await;
        let scope = tenant.scope(pay);
        let bin = read(&host::block_body("card_bin", "411111")).unwrap();
        scope.blocklist().remove(bin).await.unwrap();
        scope.api_key(&tenant.key.key_id).revoke().await.unwrap();
        scope.connector(&connector.merchant_connector_id).remove().await.unwrap();
        tenant.profile_scope(pay).remove().cascade().await.unwrap();
        assert_eq!(scope.api_keys(all()).await.unwrap().items.len(), 1, "the revoked key is still listed");
        scope.remove().await.unwrap();
        tenant.organization_scope(pay).remove().await.unwrap();
        assert_eq!(pay.organizations(all()).await.unwrap().items, [], "{}", world.name);
    });
}

#[test]
fn a_new_owner_of_an_id_sees_nothing_of_the_old_one() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (old, old_connector, old_payment) = furnished(pay, "acme").await;
        let old_scope = old.scope(pay);
        let claim = || "k1".parse().unwrap();
        let new_profile = || read(&host::profile_body("P")).unwrap();
        old_scope.create_profile(new_profile()).idempotency_key(claim()).await.unwrap();
        let card = "4111111111111111".parse().unwrap();
        old_scope.blocklist().toggle(Some(true)).await.unwrap();
        let old_screening = old_scope.blocklist().screen(&card).await.unwrap();
        let caller = pay.authenticate(old.token()).await.unwrap();
        old_scope.remove().cascade().await.unwrap();
        world.clock.step(SECOND);

        // The same id, in the same organization and then in another one.
        let same = host::merchant_in(pay, &old.organization, "acme").await.unwrap();
        for round in ["same organization", "another organization"] {
            let new = if round == "same organization" {
                same.clone()
            } else {
                same.scope(pay).remove().cascade().await.unwrap();
                host::stand_up(pay, "acme").await.unwrap()
            };
            let scope = new.scope(pay);
            let what = format!("{round} on {}", world.name);
            assert_eq!(scope.profiles(all()).await.unwrap().items, std::slice::from_ref(&new.profile), "{what}");
            assert_eq!(scope.connectors(all()).await.unwrap().items, [], "{what}");
            assert_eq!(scope.payments(all()).await.unwrap().items, [], "{what}");
            assert_eq!(scope.payment_links(all()).await.unwrap().items, [], "{what}");
            assert_eq!(scope.api_keys(all()).await.unwrap().items.len(), 1, "{what}");
            assert_eq!(scope.blocklist().entries(None, all()).await.unwrap().total_count, 0, "{what}");
            assert!(is_absent(scope.profile(&old.profile.profile_id).retrieve().await), "{what}");
            assert!(is_absent(scope.connector(&old_connector.merchant_connector_id).retrieve().await), "{what}");
            assert!(is_absent(scope.payment(&old_payment.payment_id).retrieve().await), "{what}");
            assert!(is_absent(scope.api_key(&old.key.key_id).retrieve().await), "{what}");
            let screening = scope.blocklist().screen(&card).await.unwrap();
            assert_eq!((screening.guard, screening.matched), (false, None), "{what}");
            assert_ne!(screening.fingerprint, old_screening.fingerprint, "{what}");
            assert_ne!(new.merchant.publishable_key, old.merchant.publishable_key, "{what}");
            // Its log begins with itself.
            let log = scope.log(LogPosition::START, 100).await.unwrap();
            assert_eq!(log.len(), 2, "created, and its key: {what}");
            let entity = Entity::new(EntityKind::Profile, &old.profile.profile_id);
            assert_eq!(scope.log_of(entity, LogPosition::START, 100).await.unwrap(), [], "{what}");
            // An idempotency key of the old one is a new one here.
            let profile = scope.create_profile(new_profile()).idempotency_key(claim()).await.unwrap();
            assert!(scope.profile(&profile.profile_id).retrieve().await.is_ok(), "{what}");
            // Keys and handles of the old one stay dead.
            let refused = pay.authenticate(old.token()).await;
            assert!(matches!(refused, Err(Error::Unauthorized(Refusal::Revoked))), "{what}");
            let refused = caller.merchant().retrieve().await;
            assert!(matches!(refused, Err(Error::Unauthorized(Refusal::Revoked))), "{what}");
            pay.authenticate(new.token()).await.unwrap();
        }
    });
}

/// Every operation that a caller has, and whether its key was refused for this reason.
async fn refused_everywhere(caller: &Caller, tenant: &Tenant, reason: Refusal, what: &str) {
    let scope = caller.merchant();
    let profile: ProfileScope = scope.profile(&tenant.profile.profile_id);
    let connector_id = "mca_abc".parse().unwrap();
    let key = scope.api_key(&tenant.key.key_id);
    let blocklist = scope.blocklist();
    let entry = || read(&host::block_body("card_bin", "433333")).unwrap();
    let card = "4111111111111111".parse().unwrap();
    let of_type = || perfectpay::ConnectorUpdate::of(perfectpay::ConnectorType::PaymentProcessor);
    let answers: Vec<(Operation, Option<Error>)> = vec![
        (Operation::RetrieveMerchant, scope.retrieve().await.err()),
        (Operation::RetrieveOrganization, scope.organization().await.err()),
        (Operation::UpdateMerchant, scope.update(MerchantUpdate::default()).await.err()),
        (Operation::RemoveMerchant, scope.remove().cascade().await.err()),
        (Operation::CreateProfile, scope.create_profile(read("{}").unwrap()).await.err()),
        (Operation::RetrieveProfile, profile.retrieve().await.err()),
        (Operation::ListProfiles, scope.profiles(all()).await.err()),
        (Operation::UpdateProfile, profile.update(ProfileUpdate::default()).await.err()),
        (Operation::RemoveProfile, profile.remove().await.err()),
        (Operation::RevealWebhookSecrets, profile.reveal_webhook_secrets().await.err()),
        (
            Operation::CreateConnector,
            scope.create_connector(read(&host::connector_body("x", "sk_live_1")).unwrap()).await.err(),
        ),
        (Operation::RetrieveConnector, scope.connector(&connector_id).retrieve().await.err()),
        (Operation::ListConnectors, profile.connectors(all()).await.err()),
        (Operation::UpdateConnector, scope.connector(&connector_id).update(of_type()).await.err()),
        (Operation::RemoveConnector, scope.connector(&connector_id).remove().await.err()),
        (Operation::RevealConnectorCredentials, scope.connector(&connector_id).reveal_credentials().await.err()),
        (Operation::CreateApiKey, scope.create_api_key(read(&host::api_key_body("x", "never")).unwrap()).await.err()),
        (Operation::RetrieveApiKey, key.retrieve().await.err()),
        (Operation::ListApiKeys, scope.api_keys(all()).await.err()),
        (Operation::UpdateApiKey, key.update(read(r#"{"expiration": "never"}"#).unwrap()).await.err()),
        (Operation::RevokeApiKey, key.revoke().await.err()),
        (Operation::AddBlockRule, blocklist.add(entry()).await.err()),
        (Operation::RetrieveBlockRule, blocklist.rule(perfectpay::BlockKind::CardBin, "433333").await.err()),
        (Operation::ListBlockRules, blocklist.entries(None, all()).await.err()),
        (Operation::RemoveBlockRule, blocklist.remove(entry()).await.err()),
        (Operation::ToggleBlocklist, blocklist.toggle(None).await.err()),
        (Operation::ScreenCard, blocklist.screen(&card).await.err()),
        (Operation::ExplainCard, blocklist.explain(&card).await.err()),
        (Operation::PurgeBlockRules, blocklist.purge_expired(1).await.err()),
        (Operation::RotateFingerprintSecret, blocklist.rotate_fingerprint_secret().await.err()),
        (Operation::ListFingerprintVersions, blocklist.fingerprint_versions().await.err()),
        (Operation::DropFingerprintVersion, blocklist.drop_fingerprint_version(1).await.err()),
        (Operation::CreatePayment, scope.create_payment(read(&host::payment_body(1, "EUR")).unwrap()).await.err()),
        (Operation::RetrievePayment, scope.payment(&"p".parse().unwrap()).retrieve().await.err()),
        (Operation::ListPayments, scope.payments(all()).await.err()),
        (Operation::RetrievePaymentLink, scope.payment_link(&"plink_a".parse().unwrap()).retrieve().await.err()),
        (Operation::ListPaymentLinks, scope.payment_links(all()).await.err()),
        (Operation::ReadLog, scope.log(LogPosition::START, 1).await.err()),
    ];
    for (operation, error) in answers {
        let refused = matches!(&error, Some(Error::Unauthorized(found)) if *found == reason);
        assert!(refused, "{operation} after {what}: {error:?}");
    }
}

#[test]
fn a_callers_handle_is_refused_by_the_very_next_call() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let name = world.name;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let scope = tenant.scope(pay);

        let revoked = key(&scope, "never").await;
        let caller = pay.authenticate(token(&revoked)).await.unwrap();
        caller.merchant().retrieve().await.unwrap();
        // A key may revoke itself.
        caller.merchant().api_key(&revoked.key_id).revoke().await.unwrap();
        let before = snapshot(pay).await;
        refused_everywhere(&caller, &tenant, Refusal::Revoked, &format!("its revocation on {name}")).await;
        assert_eq!(snapshot(pay).await, before, "{name}");

        let short = key(&scope, "2026-11-23T10:01:00Z").await;
        let caller = pay.authenticate(token(&short)).await.unwrap();
        world.clock.set("2026-11-23T10:00:59.999Z".parse().unwrap());
        caller.merchant().retrieve().await.unwrap();
        world.clock.step(MILLI);
        let before = snapshot(pay).await;
        refused_everywhere(&caller, &tenant, Refusal::Expired, &format!("its expiry on {name}")).await;
        assert_eq!(snapshot(pay).await, before, "{name}");
        // Given a later end by another, it lives again, and its handle with it.
        scope.api_key(&short.key_id).update(read(r#"{"expiration": "never"}"#).unwrap()).await.unwrap();
        caller.merchant().retrieve().await.unwrap();
        // Given an end in the past, it does not.
        let past = read(r#"{"expiration": "2020-01-01T00:00:00Z"}"#).unwrap();
        scope.api_key(&short.key_id).update(past).await.unwrap();
        refused_everywhere(&caller, &tenant, Refusal::Expired, &format!("an earlier end on {name}")).await;

        let caller = pay.authenticate(tenant.token()).await.unwrap();
        scope.remove().cascade().await.unwrap();
        let before = snapshot(pay).await;
        refused_everywhere(&caller, &tenant, Refusal::Revoked, &format!("the account's removal on {name}")).await;
        assert_eq!(snapshot(pay).await, before, "{name}");
    });
}

#[test]
fn a_revoked_key_stays_revoked() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let handle = tenant.scope(&world.pay).api_key(&tenant.key.key_id).clone();
        handle.revoke().await.unwrap();
        let before = snapshot(&world.pay).await;
        let again = handle.revoke().await.unwrap_err();
        let revived = handle.update(read(r#"{"expiration": "never"}"#).unwrap()).await.unwrap_err();
        for error in [again, revived] {
            assert_eq!(error.code(), "api_key.revoked");
            assert_eq!(error.to_string(), format!("API key `{}` is revoked", tenant.key.key_id), "{}", world.name);
        }
        assert_eq!(snapshot(&world.pay).await, before, "{}", world.name);
    });
}

#[test]
fn an_expiry_that_equals_now_is_reached() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let scope = host::stand_up(pay, "acme").await.unwrap().scope(pay);
        let short = key(&scope, "2026-11-23T10:15:00.001Z").await;
        let payment = linked(&scope).await;
        assert_eq!(payment.expires_on.to_string(), "2026-11-23T10:15:00.000Z");
        let status = async || link(&scope, &payment).await.status.to_string();
        for (now, expected_link, authenticates) in [
            ("2026-11-23T10:14:59.999Z", "active", true),
            ("2026-11-23T10:15:00.000Z", "expired", true),
            ("2026-11-23T10:15:00.001Z", "expired", false),
        ] {
            world.clock.set(now.parse().unwrap());
            assert_eq!(status().await, expected_link, "{now} on {}", world.name);
            let listed = scope.payment_links(all()).await.unwrap().items;
            assert_eq!(listed[0].status.to_string(), expected_link, "{now} on {}", world.name);
            assert_eq!(pay.authenticate(token(&short)).await.is_ok(), authenticates, "{now} on {}", world.name);
        }
    });
}

#[test]
fn a_clock_that_steps_back_revives_nothing() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let scope = host::stand_up(pay, "acme").await.unwrap().scope(pay);
        let short = key(&scope, "2026-11-23T10:01:00Z").await;
        let caller = pay.authenticate(token(&short)).await.unwrap();
        let payment = scope.create_payment(
            read(r#"{"amount": 1, "currency": "EUR", "payment_link": true, "session_expiry": 60}"#).unwrap(),
        );
        let payment = payment.await.unwrap();
        let claim = || "k1".parse().unwrap();
        let new = || read(&host::profile_body("P")).unwrap();
        scope.create_profile(new()).idempotency_key(claim()).await.unwrap();

        // Anything that is committed at a moment holds that moment for ever.
        world.clock.set("2026-11-24T10:01:00Z".parse().unwrap());
        scope.update(read(r#"{"metadata": {"a": 1}}"#).unwrap()).await.unwrap();
        let reopened = world.reopened(|settings| settings).await;
        for back in ["2026-11-24T10:00:59.999Z", "2026-11-23T10:00:00Z", "1970-01-01T00:00:00Z", "0000-01-01T00:00:00Z"]
        {
            world.clock.set(back.parse().unwrap());
            let what = format!("{back} on {}", world.name);
            for pay in [pay, &reopened] {
                let refused = pay.authenticate(token(&short)).await;
                assert!(matches!(refused, Err(Error::Unauthorized(Refusal::Expired))), "{what}");
            }
            let refused = caller.merchant().retrieve().await;
            assert!(matches!(refused, Err(Error::Unauthorized(Refusal::Expired))), "{what}");
            assert_eq!(link(&scope, &payment).await.status.to_string(), "expired", "{what}");
            // What is made now is made at the log's newest moment.
            let made = key(&scope, "2026-11-24T10:01:00Z").await;
            assert_eq!(made.created.to_string(), "2026-11-24T10:01:00.000Z", "{what}");
            let refused = pay.authenticate(token(&made)).await;
            assert!(matches!(refused, Err(Error::Unauthorized(Refusal::Expired))), "{what}");
        }
        // The idempotency key ended with its day: the name is looked at again.
        let error = scope.create_profile(new()).idempotency_key(claim()).await.unwrap_err();
        assert_eq!(error.code(), "duplicate", "{}", world.name);
        let times: Vec<_> = pay.log(LogPosition::START, 100).await.unwrap().iter().map(|entry| entry.at).collect();
        assert!(times.is_sorted(), "{}", world.name);
        // A clock that goes on from there moves everything on.
        world.clock.set("2026-11-25T00:00:00Z".parse().unwrap());
        assert_eq!(key(&scope, "never").await.created.to_string(), "2026-11-25T00:00:00.000Z", "{}", world.name);
    });
}

#[test]
fn the_session_lasts_as_the_request_says_else_the_profile_else_900_seconds() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let (scope, profile) = (tenant.scope(pay), tenant.profile_scope(pay));
        let lasts = async |more: &str| {
            let body = format!(r#"{{"amount": 1, "currency": "EUR", "payment_link": true{more}}}"#);
            let payment = scope.create_payment(read(&body).unwrap()).await.unwrap();
            let link = link(&scope, &payment).await;
            assert_eq!(link.expiry, payment.expires_on, "{}", world.name);
            (link.expiry.unix_millis() - payment.created.unix_millis(), payment)
        };
        assert_eq!(lasts("").await.0, 900_000, "{}", world.name);
        assert_eq!(lasts(r#", "session_expiry": 60"#).await.0, 60_000, "{}", world.name);
        assert_eq!(lasts(r#", "session_expiry": null"#).await.0, 900_000, "{}", world.name);
        profile.update(read(r#"{"session_expiry": 7890000}"#).unwrap()).await.unwrap();
        let (lasting, payment) = lasts("").await;
        assert_eq!(lasting, 7_890_000_000, "{}", world.name);
        assert_eq!(lasts(r#", "session_expiry": 61"#).await.0, 61_000, "{}", world.name);
        profile.update(read(r#"{"session_expiry": null}"#).unwrap()).await.unwrap();
        assert_eq!(lasts("").await.0, 900_000, "{}", world.name);
        // It was frozen when the payment was made.
        let kept = scope.payment(&payment.payment_id).retrieve().await.unwrap();
        assert_eq!(kept.expires_on, payment.expires_on, "{}", world.name);
    });
}

#[test]
fn branding_is_the_requests_else_the_chosen_configurations_else_the_profiles_else_built_in() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let (scope, profile) = (tenant.scope(pay), tenant.profile_scope(pay));
        scope.update(read(r#"{"merchant_name": "Acme"}"#).unwrap()).await.unwrap();
        let branding = async |more: &str| {
            let body = format!(r#"{{"amount": 1, "currency": "EUR", "payment_link": true{more}}}"#);
            let payment = scope.create_payment(read(&body).unwrap()).await.unwrap();
            link(&scope, &payment).await
        };
        let theme = |link: &PaymentLink| (link.branding.theme.value.to_string(), link.branding.theme.level);
        let layout = |link: &PaymentLink| (link.branding.sdk_layout.value.to_string(), link.branding.sdk_layout.level);

        let plain = branding("").await;
        assert_eq!(theme(&plain), ("#212E46".into(), Level::BuiltIn), "{}", world.name);
        assert_eq!(layout(&plain), ("tabs".into(), Level::BuiltIn));
        let seller = plain.branding.seller_name.clone();
        assert_eq!((seller.value.unwrap().to_string(), seller.level), ("Acme".into(), Level::BuiltIn));
        assert!(plain.branding.show_merchant_name.value, "nothing is configured");

        let config = r##"{"payment_link_config": {"theme": "#111111", "sdk_layout": "accordion", "logo":
            "https://x.example/l.png", "business_specific_configs": {"eu": {"theme": "#222222"}}}}"##;
        profile.update(read(config).unwrap()).await.unwrap();
        let of_profile = branding("").await;
        assert_eq!(theme(&of_profile), ("#111111".into(), Level::Profile), "{}", world.name);
        assert_eq!(layout(&of_profile), ("accordion".into(), Level::Profile));
        assert!(!of_profile.branding.show_merchant_name.value, "something is configured");

        let specific = branding(r#", "payment_link_config_id": "eu""#).await;
        assert_eq!(theme(&specific), ("#222222".into(), Level::ProfileSpecific), "{}", world.name);
        assert_eq!(layout(&specific), ("tabs".into(), Level::BuiltIn), "not filled from the default configuration");
        assert_eq!(specific.branding.logo.value, None);

        let unknown = branding(r#", "payment_link_config_id": "us""#).await;
        assert_eq!(theme(&unknown), ("#111111".into(), Level::Profile), "{}", world.name);

        let more = r##", "payment_link_config_id": "eu", "payment_link_config": {"theme": "#333333"}"##;
        let requested = branding(more).await;
        assert_eq!(theme(&requested), ("#333333".into(), Level::Request), "{}", world.name);
        let more = r#", "payment_link_config": {"seller_name": "Shop"}"#;
        let requested = branding(more).await;
        assert_eq!(theme(&requested), ("#111111".into(), Level::Profile), "field by field, on {}", world.name);
        assert_eq!(requested.branding.seller_name.level, Level::Request);

        // Resolved when the link was made: the profile's later edits do not restyle it.
        let id = &of_profile.payment_link_id;
        profile.update(read(r#"{"payment_link_config": null}"#).unwrap()).await.unwrap();
        assert_eq!(theme(&scope.payment_link(id).retrieve().await.unwrap()), ("#111111".into(), Level::Profile));
        assert_eq!(theme(&branding("").await), ("#212E46".into(), Level::BuiltIn), "{}", world.name);

        let published: Value = shown(&of_profile.branding.config());
        assert_eq!(published["theme"], "#111111");
        assert_eq!(published["seller_name"], "Acme");
        assert_eq!(published["logo"], "https://x.example/l.png");
    });
}

#[test]
fn links_are_made_on_the_profiles_domain_and_framed_where_domains_may() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let (scope, profile) = (tenant.scope(pay), tenant.profile_scope(pay));
        for (config, base, framed) in [
            ("null", "https://pay.example.com", false),
            (r#"{"domain_name": "Checkout.Acme.example"}"#, "https://checkout.acme.example", false),
            (r#"{"allowed_domains": ["shop.example", "*.acme.example"]}"#, "https://pay.example.com", true),
            (r#"{"allowed_domains": []}"#, "https://pay.example.com", false),
            (r#"{"domain_name": "a.example", "allowed_domains": ["localhost:3000"]}"#, "https://a.example", true),
        ] {
            let body = format!(r#"{{"payment_link_config": {config}}}"#);
            profile.update(read(&body).unwrap()).await.unwrap();
            let payment = linked(&scope).await;
            let id = &payment.payment_id;
            let in_payment = payment.payment_link.clone().unwrap();
            assert_eq!(in_payment.link, format!("{base}/payment_link/acme/{id}?locale=en"), "{}", world.name);
            let secure = framed.then(|| format!("{base}/payment_link/s/acme/{id}?locale=en"));
            assert_eq!(in_payment.secure_link, secure, "{config} on {}", world.name);
            let link = link(&scope, &payment).await;
            assert_eq!((link.link_to_pay, link.secure_link), (in_payment.link, in_payment.secure_link));
        }
    });
}

async fn profile_names(scope: &MerchantScope) -> Vec<String> {
    let mut names: Vec<String> =
        scope.profiles(all()).await.unwrap().items.iter().map(|p| p.profile_name.to_string()).collect();
    names.sort();
    names
}

async fn named(scope: &MerchantScope, name: &str) -> Profile {
    let profiles = scope.profiles(all()).await.unwrap().items;
    profiles.into_iter().find(|profile| profile.profile_name.as_str() == name).unwrap()
}

#[test]
fn each_business_has_a_profile_and_the_first_is_the_default() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "other").await.unwrap();
        let organization = tenant.organization_scope(pay);
        let body = r#"{"merchant_id": "acme", "primary_business_details": [
            {"country": "US", "business": "food"}, {"country": "DE", "business": "books"},
            {"country": "US", "business": "food"}]}"#;
        let position = pay.log_head().await.unwrap().position;
        let merchant = organization.create_merchant(read(body).unwrap()).await.unwrap();
        let scope = organization.merchant(&merchant.merchant_id);
        assert_eq!(profile_names(&scope).await, ["DE_books", "US_food"], "one given twice counts once");
        let default = named(&scope, "US_food").await.profile_id;
        assert_eq!(merchant.default_profile, Some(default.clone()), "{}", world.name);
        assert_eq!(pay.log(position, 10).await.unwrap().len(), 1, "one commit on {}", world.name);

        // New ones become profiles; those of entries that are gone stay; the default one stays.
        let body = r#"{"primary_business_details": [
            {"country": "FR", "business": "wine"}, {"country": "DE", "business": "books"}]}"#;
        let updated = scope.update(read(body).unwrap()).await.unwrap();
        assert_eq!(profile_names(&scope).await, ["DE_books", "FR_wine", "US_food"], "{}", world.name);
        assert_eq!(updated.default_profile, Some(default), "{}", world.name);
        let shown = shown(&updated);
        assert_eq!(shown["primary_business_details"][0], json!({ "country": "FR", "business": "wine" }));
        // A profile of the name that there is already is the business's.
        scope.create_profile(read(&host::profile_body("IT_shoes")).unwrap()).await.unwrap();
        let body = r#"{"primary_business_details": [{"country": "IT", "business": "shoes"}]}"#;
        scope.update(read(body).unwrap()).await.unwrap();
        assert_eq!(profile_names(&scope).await, ["DE_books", "FR_wine", "IT_shoes", "US_food"], "{}", world.name);
    });
}

#[test]
fn a_connector_goes_to_the_profile_that_is_named_else_its_businesss_else_the_default_one() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let organization = host::stand_up(pay, "other").await.unwrap().organization_scope(pay);
        let body = r#"{"merchant_id": "acme", "primary_business_details": [
            {"country": "US", "business": "food"}, {"country": "DE", "business": "books"}]}"#;
        let merchant = organization.create_merchant(read(body).unwrap()).await.unwrap();
        let scope = organization.merchant(&merchant.merchant_id);
        let (food, books) = (named(&scope, "US_food").await.profile_id, named(&scope, "DE_books").await.profile_id);
        let new = async |name: &str, more: Value| {
            let mut body = json!({
                "connector_type": "payment_processor",
                "connector_name": name,
                "connector_account_details":
                    { "auth_type": "SignatureKey", "api_key": "a12345", "key1": "b12345", "api_secret": "c12345" },
            });
            for (field, value) in more.as_object().unwrap() {
                body[field] = value.clone();
            }
            let connector = scope.create_connector(read(&body.to_string()).unwrap()).await.unwrap();
            (connector.profile_id, connector.connector_label.to_string())
        };
        let of_books = json!({ "business_country": "DE", "business_label": "books" });
        let mut with_profile = of_books.clone();
        with_profile["profile_id"] = shown(&food);
        let mut with_part = of_books.clone();
        with_part["business_sub_label"] = "kids".into();
        let half = json!({ "business_country": "DE" });

        assert_eq!(new("checkout", json!({})).await, (food.clone(), "checkout_US_food".into()), "{}", world.name);
        assert_eq!(new("checkout", of_books.clone()).await, (books.clone(), "checkout_DE_books".into()));
        assert_eq!(new("checkout", with_profile).await, (food.clone(), "checkout_DE_books".into()), "{}", world.name);
        assert_eq!(new("noon", half).await, (food.clone(), "noon_US_food".into()), "{}", world.name);
        assert_eq!(new("cybersource", of_books.clone()).await, (books.clone(), "cybersource_DE_books_default".into()));
        assert_eq!(new("cybersource", with_part).await, (books.clone(), "cybersource_DE_books_kids".into()));
        // Where the business's profile has another name since, the default one stands in.
        scope.profile(&books).update(read(&host::profile_body("Books")).unwrap()).await.unwrap();
        assert_eq!(new("noon", of_books).await, (food.clone(), "noon_DE_books".into()), "{}", world.name);
    });
}

#[test]
fn a_new_profile_takes_from_its_account_what_it_does_not_state_and_keeps_it() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let scope = host::stand_up(pay, "acme").await.unwrap().scope(pay);
        let account = r#"{"return_url": "https://a.example/", "enable_payment_response_hash": false,
            "redirect_to_merchant_with_http_post": true, "payment_response_hash_key": "hash-key-1",
            "webhook_details": {"webhook_url": "https://a.example/w", "webhook_password": "password-1"}}"#;
        scope.update(read(account).unwrap()).await.unwrap();
        let taken = scope.create_profile(read(&host::profile_body("taken")).unwrap()).await.unwrap();
        let own = r#"{"profile_name": "own", "return_url": "https://p.example/", "enable_payment_response_hash": true,
            "redirect_to_merchant_with_http_post": false, "payment_response_hash_key": "key-of-mine",
            "webhook_details": {"webhook_username": "u"}}"#;
        let own = scope.create_profile(read(own).unwrap()).await.unwrap();
        scope.update(read(r#"{"return_url": "https://b.example/", "webhook_details": null}"#).unwrap()).await.unwrap();

        let taken = shown(&scope.profile(&taken.profile_id).retrieve().await.unwrap());
        assert_eq!(taken["return_url"], "https://a.example/", "{}", world.name);
        assert_eq!(taken["enable_payment_response_hash"], false);
        assert_eq!(taken["redirect_to_merchant_with_http_post"], true);
        assert_eq!(taken["payment_response_hash_key"], "ha******-1");
        assert_eq!(taken["webhook_details"]["webhook_url"], "https://a.example/w");
        assert_eq!(taken["webhook_details"]["webhook_password"], "pa******-1");
        let own = shown(&own);
        assert_eq!(own["return_url"], "https://p.example/", "{}", world.name);
        assert_eq!(own["enable_payment_response_hash"], true);
        assert_eq!(own["payment_response_hash_key"], "ke*******ne");
        assert_eq!(own["webhook_details"]["webhook_url"], Value::Null, "details of its own are not mixed");
        assert_eq!(own["webhook_details"]["webhook_password"], Value::Null);
    });
}

fn lines(entries: &[LogEntry]) -> Vec<String> {
    let line = |entry: &LogEntry| {
        let changes: Vec<String> =
            entry.changes.iter().map(|c| format!("{} {} v{}", c.verb, c.kind, c.version)).collect();
        format!("{} {}", entry.actor, changes.join(", "))
    };
    entries.iter().map(line).collect()
}

#[test]
fn the_log_says_who_did_what_and_is_read_by_tenant_by_object_and_as_a_feed() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let sibling = host::merchant_in(pay, &tenant.organization, "sibling").await.unwrap();
        let other = host::stand_up(pay, "other").await.unwrap();
        world.clock.step(SECOND);
        let operator = pay.acting_as(Actor::Operator("alice@example.com".parse().unwrap()));
        let caller = pay.authenticate(tenant.token()).await.unwrap();
        let by_key = format!("key:{}", tenant.key.key_id);

        let profile = caller.merchant().create_profile(read(&host::profile_body("P")).unwrap()).await.unwrap();
        let operated = tenant.scope(&operator).profile(&profile.profile_id);
        operated.update(read(r#"{"session_expiry": 60}"#).unwrap()).await.unwrap();
        linked(caller.merchant()).await;
        let spare = key(&tenant.scope(pay), "never").await;
        tenant.scope(&operator).api_key(&spare.key_id).revoke().await.unwrap();
        operated.remove().await.unwrap();
        blocked(caller.merchant(), "411111").await;
        tenant.scope(pay).blocklist().toggle(None).await.unwrap();

        let scope = tenant.scope(pay);
        let log = scope.log(LogPosition::START, 100).await.unwrap();
        let expected = [
            "host created merchant v1, created data_key v1, created profile v1".to_owned(),
            "host created api_key v1".to_owned(),
            format!("{by_key} created profile v1"),
            "operator:alice@example.com updated profile v2".to_owned(),
            format!("{by_key} created payment v1, created payment_link v1"),
            "host created api_key v1".to_owned(),
            "operator:alice@example.com revoked api_key v2".to_owned(),
            "operator:alice@example.com removed profile v2".to_owned(),
            format!("{by_key} created block_rule v1"),
            "host updated merchant v2".to_owned(),
        ];
        assert_eq!(lines(&log), expected, "{}", world.name);
        assert_eq!(caller.merchant().log(LogPosition::START, 100).await.unwrap(), log, "{}", world.name);
        let entry = shown(&log[3]);
        let expected = json!({
            "position": log[3].position,
            "at": "2026-11-23T10:00:01.000Z",
            "actor": "operator:alice@example.com",
            "class": "configuration",
            "organization_id": tenant.organization.organization_id,
            "merchant_id": "acme",
            "changes": [{ "kind": "profile", "id": profile.profile_id, "verb": "updated", "version": 2 }],
        });
        assert_eq!(entry, expected, "{}", world.name);
        assert_eq!(shown(&log[4])["class"], "operational", "{}", world.name);

        // One object, living or removed.
        let of = async |scope: &MerchantScope, kind, id: &str| {
            lines(&scope.log_of(Entity::new(kind, id), LogPosition::START, 100).await.unwrap())
        };
        let id = profile.profile_id.as_str();
        let expected = [
            format!("{by_key} created profile v1"),
            "operator:alice@example.com updated profile v2".to_owned(),
            "operator:alice@example.com removed profile v2".to_owned(),
        ];
        assert_eq!(of(&scope, EntityKind::Profile, id).await, expected, "{}", world.name);
        let nobody = sibling.scope(pay);
        assert_eq!(of(&nobody, EntityKind::Profile, id).await, [] as [&str; 0], "another account's, on {}", world.name);
        assert_eq!(of(&scope, EntityKind::Connector, id).await, [] as [&str; 0], "another kind's, on {}", world.name);
        let bins = of(&scope, EntityKind::BlockRule, "card_bin:411111").await;
        assert_eq!(bins, [format!("{by_key} created block_rule v1")], "{}", world.name);

        // The organization's: both of its accounts and itself, and nothing of the other one.
        let of_organization = tenant.organization_scope(pay).log(LogPosition::START, 100).await.unwrap();
        assert_eq!(of_organization.len(), 1 + 2 + 2 + 8, "{}", world.name);
        let accounts: Vec<_> = of_organization.iter().map(|entry| entry.merchant_id.as_deref()).collect();
        assert_eq!(accounts[..4], [None, Some("acme"), Some("acme"), Some("sibling")], "{}", world.name);
        let of_other = other.organization_scope(pay).log(LogPosition::START, 100).await.unwrap();
        assert_eq!(of_other.len(), 3, "{}", world.name);

        // The feed: everything once, in order, whatever the size of the pieces.
        let whole = pay.log(LogPosition::START, 1_000).await.unwrap();
        assert_eq!(whole.len(), of_organization.len() + of_other.len(), "{}", world.name);
        assert!(whole.is_sorted_by(|a, b| a.position < b.position && a.at <= b.at), "{}", world.name);
        for size in [1, 2, 5, 1_000, u32::MAX] {
            let (mut read, mut after) = (Vec::new(), LogPosition::START);
            loop {
                let piece = pay.log(after, size).await.unwrap();
                let Some(last) = piece.last() else { break };
                after = last.position;
                read.extend(piece);
            }
            assert_eq!(read, whole, "pieces of {size} on {}", world.name);
        }
        let head = pay.log_head().await.unwrap();
        assert_eq!(head.position, whole.last().unwrap().position, "{}", world.name);
        assert_eq!(head.at.to_string(), "2026-11-23T10:00:01.000Z", "{}", world.name);
        linked(&scope).await;
        let after = pay.log_head().await.unwrap();
        assert!(after.position > head.position, "{}", world.name);
        assert_eq!(after.configuration, head.configuration, "a payment is no configuration, on {}", world.name);
        assert_eq!(pay.log(after.position, 10).await.unwrap(), [], "{}", world.name);
    });
}

#[test]
fn lists_go_in_their_order_and_pages_miss_nothing_while_rows_come_and_go() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let scope = host::stand_up(pay, "acme").await.unwrap().scope(pay);
        for n in 0..7 {
            world.clock.step(MILLI);
            connector(&scope, &format!("c{n}")).await;
            blocked(&scope, &format!("41111{n}")).await;
            linked(&scope).await;
        }
        let labels = |connectors: &[Connector]| -> Vec<String> {
            connectors.iter().map(|c| c.connector_label.to_string()).collect()
        };
        let first = scope.connectors(PageRequest::of(3).unwrap()).await.unwrap();
        assert_eq!(labels(&first.items), ["c0", "c1", "c2"], "oldest first, on {}", world.name);
        // What the cursor names goes, and what lies behind it is not skipped.
        scope.connector(&first.items[2].merchant_connector_id).remove().await.unwrap();
        scope.connector(&first.items[0].merchant_connector_id).remove().await.unwrap();
        let second = scope.connectors(PageRequest::of(3).unwrap().after(first.next)).await.unwrap();
        assert_eq!(labels(&second.items), ["c3", "c4", "c5"], "{}", world.name);
        let third = scope.connectors(PageRequest::of(3).unwrap().after(second.next)).await.unwrap();
        assert_eq!((labels(&third.items), third.next), (vec!["c6".to_owned()], None), "{}", world.name);

        let page = scope.blocklist().entries(None, PageRequest::of(4).unwrap()).await.unwrap();
        let bins: Vec<&str> = page.data.iter().map(|entry| entry.fingerprint_id.as_str()).collect();
        assert_eq!(bins, ["411116", "411115", "411114", "411113"], "newest first, on {}", world.name);
        world.clock.step(MILLI);
        blocked(&scope, "499999").await;
        let rest = scope.blocklist().entries(None, PageRequest::of(4).unwrap().after(page.next)).await.unwrap();
        let bins: Vec<&str> = rest.data.iter().map(|entry| entry.fingerprint_id.as_str()).collect();
        assert_eq!(bins, ["411112", "411111", "411110"], "{}", world.name);
        assert_eq!((rest.count, rest.total_count, rest.next), (3, 8, None), "{}", world.name);

        let payments = scope.payments(PageRequest::of(100).unwrap()).await.unwrap().items;
        assert!(payments.is_sorted_by(|a, b| a.created > b.created), "newest first, on {}", world.name);
        assert_eq!(payments.len(), 7, "{}", world.name);
    });
}

#[test]
fn what_a_store_keeps_is_all_there_when_it_is_opened_again() {
    on_every_backend(async |world| {
        let (tenant, connector, _) = furnished(&world.pay, "acme").await;
        let before = snapshot(&world.pay).await;
        let again = world.reopened(|settings| settings).await;
        assert_eq!(snapshot(&again).await, before, "{}", world.name);
        again.authenticate(tenant.token()).await.unwrap();
        let handle = tenant.scope(&again).connector(&connector.merchant_connector_id).clone();
        let shown = handle.reveal_credentials().await.unwrap().masked();
        assert_eq!(shown, connector.connector_account_details, "{}", world.name);
    });
    on_every_backend(async |world: &World| {
        // Under another master key the library does not open, and so nothing is sealed under two.
        furnished(&world.pay, "acme").await;
        let before = snapshot(&world.pay).await;
        let digits = "0123456789abcdef".repeat(4);
        for (id, expected) in [
            ("test-2", "the store is corrupt: the key `test-1` is needed, and the keyring does not have it"),
            ("test-1", "the store is corrupt: the sealed key of data_key"),
        ] {
            let wrong = perfectpay::MasterKey::from_hex(id, &digits).unwrap();
            let error =
                PerfectPay::open(world.backend.store.clone(), perfectpay::Settings::new(wrong)).await.unwrap_err();
            assert_eq!(error.kind(), perfectpay::ErrorKind::Corrupt, "{}", world.name);
            assert!(error.to_string().starts_with(expected), "{error} on {}", world.name);
        }
        assert_eq!(snapshot(&world.pay).await, before, "{}", world.name);
    });
}

#[test]
fn a_host_is_told_what_it_needs_to_deliver_webhooks_and_debug_is_not() {
    use secrecy::ExposeSecret as _;
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let scope = tenant.scope(&world.pay);
        let profile = scope.profile(&tenant.profile.profile_id);
        let made = profile.reveal_webhook_secrets().await.unwrap();
        assert_eq!(made.payment_response_hash_key.expose_secret().len(), 64, "{}", world.name);
        assert!(made.webhook_password.is_none() && made.outgoing_webhook_custom_http_headers.is_none());
        let body = r#"{"payment_response_hash_key": "the-hash-key", "webhook_details": {"webhook_password": "pass-word"},
                       "outgoing_webhook_custom_http_headers": {"x-shop": "shop-secret"}}"#;
        profile.update(read(body).unwrap()).await.unwrap();
        let chosen = profile.reveal_webhook_secrets().await.unwrap();
        assert_eq!(chosen.payment_response_hash_key.expose_secret(), "the-hash-key", "{}", world.name);
        assert_eq!(chosen.webhook_password.as_ref().unwrap().expose_secret(), "pass-word", "{}", world.name);
        let headers = chosen.outgoing_webhook_custom_http_headers.as_ref().unwrap();
        assert_eq!(headers.iter().count(), 1, "{}", world.name);
        let shown = format!("{chosen:?}");
        assert!(["the-hash-key", "pass-word", "shop-secret"].iter().all(|secret| !shown.contains(secret)), "{shown}");
    });
}

#[test]
fn an_account_that_names_no_organization_gets_one_in_the_same_commit() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let new = |body: &str| read(body).unwrap();
        let named = new(r#"{"merchant_id": "solo", "merchant_name": "Solo Shop"}"#);
        let key = || "solo-1".parse().unwrap();
        let solo = pay.create_merchant(named).idempotency_key(key()).await.unwrap();
        let organization = pay.organization(&solo.organization_id);
        assert_eq!(&*organization.retrieve().await.unwrap().organization_name, "Solo Shop");
        assert_eq!(organization.merchant(&solo.merchant_id).retrieve().await.unwrap(), solo);
        assert_eq!(pay.log(LogPosition::START, 10).await.unwrap().len(), 1, "{}", world.name);

        let before = snapshot(pay).await;
        let again = new(r#"{"merchant_id": "solo", "merchant_name": "Solo Shop"}"#);
        assert_eq!(pay.create_merchant(again).idempotency_key(key()).await.unwrap(), solo);
        let taken = pay.create_merchant(new(r#"{"merchant_id": "solo"}"#)).await.unwrap_err();
        assert_eq!(taken.code(), "already_exists");
        let lost = new(r#"{"merchant_id": "child", "parent_merchant_id": "solo"}"#);
        assert_eq!(pay.create_merchant(lost).await.unwrap_err().code(), "not_found");
        let nowhere = new(r#"{"merchant_id": "other", "organization_id": "org_none"}"#);
        assert!(is_absent(pay.create_merchant(nowhere).await));
        assert_eq!(snapshot(pay).await, before, "{}", world.name);

        let body = json!({ "merchant_id": "second", "organization_id": solo.organization_id }).to_string();
        assert_eq!(pay.create_merchant(new(&body)).await.unwrap().organization_id, solo.organization_id);
        let nameless = pay.create_merchant(new(r#"{"merchant_id": "nameless"}"#)).await.unwrap();
        let organization = pay.organization(&nameless.organization_id).retrieve().await.unwrap();
        assert_eq!(&*organization.organization_name, "nameless");
    });
}
