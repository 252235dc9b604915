//! Keys that change under a store that is in use: data keys wrapped anew, accounts sealed anew, credentials exchanged,
//! secrets revealed. Whatever is stopped wherever, everything opens.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test says that it cannot go on by panicking"
)]

mod support;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_lite::future::block_on;
use perfectpay::seal::Place;
use perfectpay::store::{
    ChangeSet, Collection, CommitClass, Committed, Key, LogPosition, MerchantPath, OrganizationPath, Owner, Query,
    Record, Store, Verb,
};
use perfectpay::{
    Actor, Clock, ConnectorAuth, EntityKind, Entropy, Error, ErrorKind, KeyId, Keyring, LocalKeyring, MasterKey,
    MerchantScope, OrganizationScope, PageRequest, PerfectPay, Rotated, Sealed, SecretObject, Settings, Timestamp,
    Unavailability, json,
};
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::faulty::{FailNth, On, When};
use perfectpay_testkit::host::{self, Tenant};
use perfectpay_testkit::layer::{Layer, Layered};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use support::{on_every_backend, read, shown};

const CARD: &str = "4242424242424242";

fn master(id: &str, digits: &str) -> MasterKey {
    MasterKey::from_hex(id, &digits.repeat(16)).unwrap()
}

fn old_key() -> MasterKey {
    MasterKey::from_hex(host::MASTER_KEY_ID, host::MASTER_KEY_HEX).unwrap()
}

fn new_key() -> MasterKey {
    master("test-new", "9c44")
}

fn id(text: &str) -> KeyId {
    text.parse().unwrap()
}

/// The new key is current, the old one still opens.
fn both() -> Arc<dyn Keyring> {
    Arc::new(LocalKeyring::new(new_key()).opening(old_key()).unwrap())
}

/// Runs on from where the worlds' clocks stand, so that by it nothing of theirs has expired.
#[derive(Debug)]
struct RunsOn(Instant);

impl Clock for RunsOn {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.0.elapsed().as_millis()).unwrap();
        Timestamp::from_unix_millis(host::START_MILLIS + elapsed).unwrap()
    }
}

async fn open(store: Arc<dyn Store>, keyring: Arc<dyn Keyring>) -> PerfectPay {
    let clock = Arc::new(RunsOn(Instant::now()));
    let settings = Settings::with_keyring(keyring).base_url(host::BASE_URL.parse().unwrap()).clock(clock);
    PerfectPay::open(store, settings).await.unwrap()
}

/// An account with something in every field that is sealed.
async fn furnished(pay: &PerfectPay, merchant: &str) -> Tenant {
    let tenant = host::stand_up(pay, merchant).await.unwrap();
    let details = r#"{"organization_details": {"contact": "Ada Example"}}"#;
    tenant.organization_scope(pay).update(read(details).unwrap()).await.unwrap();
    let scope = tenant.scope(pay);
    let body = r#"{"merchant_name": "Acme", "merchant_details": {"primary_email": "ada@example.com"},
                   "webhook_details": {"webhook_password": "pass-word"}}"#;
    scope.update(read(body).unwrap()).await.unwrap();
    let body = r#"{"profile_name": "Web", "outgoing_webhook_custom_http_headers": {"x-shop": "shop-secret"}}"#;
    let profile = scope.create_profile(read(body).unwrap()).await.unwrap();
    let body = r#"{"connector_type": "payment_processor", "connector_name": "stripe",
                   "connector_account_details": {"auth_type": "HeaderKey", "api_key": "sk_live_first"},
                   "connector_webhook_details": {"merchant_secret": "whsec-one", "additional_secret": "whsec-two"},
                   "additional_merchant_data": {"iban": "DE89370400440532013000"},
                   "connector_wallets_details": {"apple_pay": {"certificate": "wallet-certificate"}}}"#;
    let connector = scope.create_connector(read(body).unwrap()).await.unwrap();
    let handle = scope.connector(&connector.merchant_connector_id);
    handle.update(read(&exchanged("sk_live_second")).unwrap()).await.unwrap();
    handle.stage_credentials(credentials("sk_live_third")).await.unwrap();
    let body = host::payment_with_link_body(4_999, "USD");
    for _ in 0..3 {
        scope.profile(&profile.profile_id).create_payment(read(&with_return(&body)).unwrap()).await.unwrap();
    }
    scope.blocklist().add(read(&host::block_body("card_bin", "411111")).unwrap()).await.unwrap();
    tenant
}

fn with_return(body: &str) -> String {
    body.replacen('{', r#"{"return_url": "https://shop.example.com/return", "#, 1)
}

fn exchanged(api_key: &str) -> String {
    format!(
        r#"{{"connector_type": "payment_processor",
             "connector_account_details": {{"auth_type": "HeaderKey", "api_key": "{api_key}"}}}}"#
    )
}

fn credentials(api_key: &str) -> ConnectorAuth {
    json::from_slice(format!(r#"{{"auth_type": "HeaderKey", "api_key": "{api_key}"}}"#).as_bytes()).unwrap()
}

fn key_in(auth: &ConnectorAuth) -> String {
    let ConnectorAuth::HeaderKey { api_key } = auth else { panic!("{auth:?}") };
    api_key.expose_secret().to_owned()
}

fn page() -> PageRequest {
    PageRequest::of(100).unwrap()
}

/// Everything that was sealed of an account, opened: what is answered, without versions, and what is revealed.
async fn picture(pay: &PerfectPay, tenant: &Tenant) -> Vec<String> {
    let scope = tenant.scope(pay);
    let mut seen = vec![
        shown(&tenant.organization_scope(pay).retrieve().await.unwrap()).to_string(),
        shown(&scope.retrieve().await.unwrap()).to_string(),
        scope.blocklist().screen(&CARD.parse().unwrap()).await.unwrap().fingerprint.unwrap().to_string(),
    ];
    for profile in scope.profiles(page()).await.unwrap().items {
        seen.push(shown(&profile).to_string());
        let secrets = scope.profile(&profile.profile_id).reveal_webhook_secrets().await.unwrap();
        seen.push(secrets.payment_response_hash_key.expose_secret().to_owned());
        seen.push(secrets.webhook_password.map(|p| p.expose_secret().to_owned()).unwrap_or_default());
        seen.push(format!("{}", secrets.outgoing_webhook_custom_http_headers.map_or(0, |h| h.iter().count())));
    }
    for connector in scope.connectors(page()).await.unwrap().items {
        seen.push(shown(&connector).to_string());
        seen.push(format!("{:?}", connector.credentials));
        let handle = scope.connector(&connector.merchant_connector_id);
        seen.push(key_in(&handle.reveal_credentials().await.unwrap()));
        seen.push(handle.reveal_previous_credentials().await.map_or_else(|e| e.to_string(), |auth| key_in(&auth)));
    }
    for payment in scope.payments(page()).await.unwrap().items {
        seen.push(shown(&payment).to_string());
        seen.push(payment.client_secret.expose().to_owned());
    }
    seen
}

/// Every record of an account, its data keys left out.
async fn records(store: &dyn Store, tenant: &Tenant) -> Vec<Record> {
    let path = MerchantPath::Id(tenant.merchant.merchant_id.clone());
    let mut all: Vec<Record> = store.get(&Key::Merchant(path.clone())).await.unwrap().into_iter().collect();
    for collection in [
        Collection::Profiles,
        Collection::Connectors { profile: None },
        Collection::ApiKeys,
        Collection::BlockRules { kind: None },
        Collection::Payments,
        Collection::PaymentLinks { profile: None },
    ] {
        let listing = store.list(&Query::Within(path.clone(), collection, page())).await.unwrap().unwrap();
        all.extend(listing.records);
    }
    all
}

/// The data keys that the account's sealed values name, and how many values there are.
async fn named(store: &dyn Store, tenant: &Tenant) -> (Vec<String>, usize) {
    let (mut ids, mut count) = (Vec::new(), 0);
    for mut record in records(store, tenant).await {
        for (_, sealed) in record.sealed_fields() {
            count += 1;
            ids.push(sealed.key_id().unwrap().to_owned());
        }
    }
    ids.sort();
    ids.dedup();
    (ids, count)
}

#[test]
fn wrapped_anew_nothing_is_left_under_the_old_key_and_every_answer_is_the_same() {
    on_every_backend(async |world| {
        let store = world.backend.store.clone();
        let tenants = [furnished(&world.pay, "acme").await, furnished(&world.pay, "rival").await];
        let mut before = Vec::new();
        for tenant in &tenants {
            before.extend(picture(&world.pay, tenant).await);
        }
        let pay = open(store.clone(), both()).await;
        assert_eq!(pay.left_under(&id(host::MASTER_KEY_ID)).await.unwrap().data_keys, 4, "{}", world.name);
        let mut told = Vec::new();
        let rotated = pay.rewrap(|so_far| told.push(so_far)).await.unwrap();
        assert_eq!((rotated.done, rotated.unreadable, told), (4, 0, vec![rotated]), "{}", world.name);
        assert_eq!(pay.left_under(&id(host::MASTER_KEY_ID)).await.unwrap().data_keys, 0);
        assert_eq!(pay.left_under(&id("test-new")).await.unwrap().data_keys, 4);
        // Nothing is wrapped twice.
        let head = pay.log_head().await.unwrap();
        assert_eq!(pay.rewrap(|_| panic!("nothing is left")).await.unwrap(), Rotated::default());
        assert_eq!(pay.log_head().await.unwrap(), head);
        // One entry, of no tenant, which snapshots need not follow.
        let log = pay.log(LogPosition::START, 1_000).await.unwrap();
        let entry = log.last().unwrap();
        assert_eq!((entry.changes.len(), entry.class), (4, CommitClass::Operational));
        assert_eq!((entry.organization_id.as_ref(), entry.merchant_id.as_ref()), (None, None));
        // The new key alone opens all of it, and the old one alone is refused at once.
        let alone = open(store.clone(), Arc::new(LocalKeyring::new(new_key()))).await;
        let mut after = Vec::new();
        for tenant in &tenants {
            after.extend(picture(&alone, tenant).await);
        }
        assert_eq!(after, before, "{}", world.name);
        let error = PerfectPay::open(store, Settings::new(old_key())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", world.name);
    });
}

#[test]
fn a_new_current_key_changes_neither_who_authenticates_nor_what_is_repeated() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let body = host::profile_body("Once");
        let once = |pay: &PerfectPay| {
            tenant.scope(pay).create_profile(read(&body).unwrap()).idempotency_key("key-1".parse().unwrap())
        };
        let first = once(&world.pay).await.unwrap();
        let pay = open(world.backend.store.clone(), both()).await;
        pay.authenticate(tenant.token()).await.unwrap();
        assert_eq!(once(&pay).await.unwrap(), first, "{}", world.name);
        let other = read(&host::profile_body("Other")).unwrap();
        let other = tenant.scope(&pay).create_profile(other).idempotency_key("key-1".parse().unwrap()).await;
        assert!(matches!(other, Err(Error::IdempotencyMismatch)), "{}", world.name);
        // And what the new key makes, it finds again.
        let issued =
            tenant.scope(&pay).create_api_key(read(&host::api_key_body("new", "never")).unwrap()).await.unwrap();
        pay.authenticate(issued.api_key.unwrap().expose()).await.unwrap();
    });
}

#[test]
fn more_data_keys_than_a_batch_holds_are_wrapped_in_several_commits() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let pay = open(store.clone(), Arc::new(LocalKeyring::new(old_key()))).await;
        for number in 0..1_050 {
            let body = host::organization_body(&format!("Group {number}"));
            pay.create_organization(read(&body).unwrap()).await.unwrap();
        }
        let mut told = Vec::new();
        open(store, both()).await.rewrap(|so_far| told.push(so_far.done)).await.unwrap();
        assert_eq!(told, [1_000, 1_050]);
    });
}

/// Lets the nth call of a rotation fail, until one comes through; everything opens after each, and the rotation is then
/// carried to its end.
fn killed_everywhere(
    rotate: impl AsyncFn(&PerfectPay, &Tenant) -> Result<(), Error>,
    done: impl AsyncFn(&dyn Store, &Tenant),
) {
    for on in [On::Commit, On::Read] {
        for when in [When::Before, When::After] {
            let mut nth = 0;
            loop {
                nth += 1;
                let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
                let came_through = block_on(async {
                    let tenant =
                        furnished(&open(store.clone(), Arc::new(LocalKeyring::new(old_key()))).await, "acme").await;
                    let before = picture(&open(store.clone(), both()).await, &tenant).await;
                    let armed = Layered::over(store.clone(), Armed::default());
                    let fail = armed.layer.clone();
                    let pay = open(Arc::new(armed), both()).await;
                    fail.arm(FailNth::new(on, nth, when, || Error::OutcomeUnknown { source: "killed".into() }));
                    let result = rotate(&pay, &tenant).await;
                    // Whoever opens it then, with nothing in memory, finds all of it.
                    let again = open(store.clone(), both()).await;
                    assert_eq!(picture(&again, &tenant).await, before, "{on:?} {nth} {when:?}");
                    rotate(&again, &tenant).await.unwrap();
                    assert_eq!(picture(&again, &tenant).await, before, "{on:?} {nth} {when:?}, at the end");
                    let last = open(store.clone(), both()).await;
                    assert_eq!(picture(&last, &tenant).await, before, "{on:?} {nth} {when:?}, opened at the end");
                    done(&*store, &tenant).await;
                    result.is_ok()
                });
                if came_through {
                    break;
                }
            }
            assert!(nth > 1, "{on:?} {when:?} never failed");
        }
    }
}

/// A store that fails as it is told, from when it is told.
#[derive(Debug, Default)]
struct Armed(Mutex<Option<Arc<FailNth>>>);

impl Armed {
    fn arm(&self, fail: FailNth) {
        *self.0.lock().unwrap() = Some(Arc::new(fail));
    }

    fn fail(&self) -> Option<Arc<FailNth>> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Layer for Armed {
    async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
        match self.fail() {
            Some(fail) => fail.commit(next, set).await,
            None => next.commit(set).await,
        }
    }

    async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
        match self.fail() {
            Some(fail) => fail.get(next, key).await,
            None => next.get(key).await,
        }
    }

    async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<perfectpay::store::Listing>, Error> {
        match self.fail() {
            Some(fail) => fail.list(next, query).await,
            None => next.list(query).await,
        }
    }
}

#[test]
fn wrapping_anew_is_stopped_between_any_two_steps_and_everything_opens() {
    killed_everywhere(
        async |pay, _| pay.rewrap(|_| {}).await.map(drop),
        async |store, _| {
            let left = store.list(&Query::DataKeys(id(host::MASTER_KEY_ID), page())).await.unwrap().unwrap();
            assert_eq!(left.records, []);
        },
    );
}

#[test]
fn sealing_an_account_anew_is_stopped_between_any_two_steps_and_everything_opens() {
    killed_everywhere(
        async |pay, tenant| tenant.scope(pay).rotate_data_key(|_| {}).await.map(drop),
        async |store, tenant| {
            let path = MerchantPath::Id(tenant.merchant.merchant_id.clone());
            let Some(Record::Merchant(row)) = store.get(&Key::Merchant(path)).await.unwrap() else { panic!("lives") };
            assert_eq!(row.state.former_data_key, None);
            assert_eq!(named(store, tenant).await.0, [row.state.data_key.as_str()]);
        },
    );
}

#[test]
fn sealing_an_organization_anew_is_stopped_between_any_two_steps_and_everything_opens() {
    killed_everywhere(
        async |pay, tenant| tenant.organization_scope(pay).rotate_data_key().await,
        async |store, tenant| {
            let path = OrganizationPath::Id(tenant.organization.organization_id.clone());
            let found = store.get(&Key::Organization(path)).await.unwrap();
            let Some(mut record @ Record::Organization(_)) = found else { panic!("lives") };
            let named = record.sealed_fields()[0].1.key_id().unwrap().to_owned();
            let Record::Organization(row) = record else { panic!("is one") };
            assert_eq!(named, row.state.data_key.as_str());
        },
    );
}

#[test]
fn sealed_anew_everything_is_under_the_new_data_key_and_the_old_one_is_gone() {
    on_every_backend(async |world| {
        let store = &*world.backend.store;
        let tenant = furnished(&world.pay, "acme").await;
        let before = picture(&world.pay, &tenant).await;
        let modified: Vec<_> = records(store, &tenant).await.iter().map(|r| r.meta().modified_at).collect();
        let (old, count) = named(store, &tenant).await;
        assert_eq!(old.len(), 1, "{}", world.name);
        world.clock.step(Duration::from_secs(60));
        let mut told = Vec::new();
        let rotated = tenant.scope(&world.pay).rotate_data_key(|so_far| told.push(so_far.done)).await.unwrap();
        // The account, two profiles, a connector account, three payments: a commit for each collection.
        assert_eq!((rotated.done, rotated.unreadable, told), (7, 0, vec![1, 3, 4, 7]), "{}", world.name);
        let (new, still) = named(store, &tenant).await;
        assert_eq!((new.len(), still), (1, count));
        assert_ne!(new, old);
        let path = MerchantPath::Id(tenant.merchant.merchant_id.clone());
        let incarnation = store.get(&Key::Merchant(path)).await.unwrap().unwrap().meta().tenant;
        assert_eq!(store.get(&Key::DataKey(incarnation, old[0].parse().unwrap())).await.unwrap(), None);
        assert_eq!(picture(&world.pay, &tenant).await, before, "{}", world.name);
        let again = world.reopened(|settings| settings).await;
        assert_eq!(picture(&again, &tenant).await, before, "{}", world.name);
        // Nobody modified anything.
        let after: Vec<_> = records(store, &tenant).await.iter().map(|r| r.meta().modified_at).collect();
        assert_eq!(after, modified, "{}", world.name);
    });
}

/// Calls its hook once, in front of the next commit.
#[derive(Default)]
struct Meanwhile(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meanwhile")
    }
}

#[async_trait]
impl Layer for Meanwhile {
    async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
        let hook = self.0.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        next.commit(set).await
    }
}

type Edit = fn(&MerchantScope, &perfectpay::ProfileId, &perfectpay::ConnectorId) -> Result<(), Error>;

#[test]
fn what_is_sealed_beside_a_whole_rotation_is_sealed_again_under_the_new_key() {
    let edits: [(&str, Edit); 7] = [
        ("profile created", |scope, _, _| {
            block_on(async { scope.create_profile(read(&host::profile_body("Late"))?).await.map(drop) })
        }),
        ("profile updated", |scope, profile, _| {
            block_on(async {
                scope.profile(profile).update(read(r#"{"payment_response_hash_key": "late"}"#)?).await.map(drop)
            })
        }),
        ("connector created", |scope, _, _| {
            block_on(async { scope.create_connector(read(&host::connector_body("late", "sk_late"))?).await.map(drop) })
        }),
        ("connector updated", |scope, _, connector| {
            block_on(async { scope.connector(connector).update(read(&exchanged("sk_late"))?).await.map(drop) })
        }),
        ("credentials staged", |scope, _, connector| {
            block_on(async { scope.connector(connector).stage_credentials(credentials("sk_late")).await.map(drop) })
        }),
        ("payment created", |scope, profile, _| {
            let body = with_return(&host::payment_with_link_body(1, "EUR"));
            block_on(async { scope.profile(profile).create_payment(read(&body)?).await.map(drop) })
        }),
        ("account updated", |scope, _, _| {
            block_on(async { scope.update(read(r#"{"merchant_name": "Late"}"#)?).await.map(drop) })
        }),
    ];
    for (name, edit) in edits {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let beside = block_on(open(store.clone(), Arc::new(LocalKeyring::new(old_key()))));
        let tenant = block_on(furnished(&beside, "acme"));
        let scope = tenant.scope(&beside);
        let connector = block_on(scope.connectors(page())).unwrap().items.remove(0).merchant_connector_id;
        let layered = Layered::over(store.clone(), Meanwhile::default());
        let meanwhile = layered.layer.clone();
        let pay = block_on(open(Arc::new(layered), Arc::new(LocalKeyring::new(old_key()))));
        // The command has read the account and its data key; then a whole rotation passes by.
        let rotating = scope.clone();
        *meanwhile.0.lock().unwrap() = Some(Box::new(move || {
            let _rotated = block_on(rotating.rotate_data_key(|_| {})).unwrap();
        }));
        edit(&tenant.scope(&pay), &tenant.profile.profile_id, &connector)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(meanwhile.0.lock().unwrap().is_none(), "{name}");
        let (keys, _) = block_on(named(&*store, &tenant));
        assert_eq!(keys.len(), 1, "{name}");
        let again = block_on(open(store.clone(), Arc::new(LocalKeyring::new(old_key()))));
        block_on(picture(&again, &tenant));
    }
}

/// Seals the account anew, from the first step to the last, right after an object of a kind was read.
struct SealedAfterRead {
    pay: PerfectPay,
    tenant: Tenant,
    kind: EntityKind,
    armed: Arc<AtomicBool>,
}

impl fmt::Debug for SealedAfterRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedAfterRead")
    }
}

impl SealedAfterRead {
    async fn strike(&self, records: &[Record]) {
        if records.iter().any(|record| record.kind() == self.kind) && self.armed.swap(false, Ordering::SeqCst) {
            self.tenant.scope(&self.pay).rotate_data_key(|_| {}).await.unwrap();
        }
    }
}

#[async_trait]
impl Layer for SealedAfterRead {
    async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
        let found = next.get(key).await?;
        self.strike(found.as_slice()).await;
        Ok(found)
    }

    async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<perfectpay::store::Listing>, Error> {
        let found = next.list(query).await?;
        self.strike(found.as_ref().map_or(&[], |listing| &listing.records)).await;
        Ok(found)
    }
}

#[test]
fn what_was_read_before_a_whole_rotation_is_answered_behind_it() {
    on_every_backend(async |world| {
        let store = world.backend.store.clone();
        let tenant = furnished(&world.pay, "acme").await;
        let expected = picture(&world.pay, &tenant).await;
        for kind in [EntityKind::Merchant, EntityKind::Profile, EntityKind::Connector, EntityKind::Payment] {
            let armed = Arc::new(AtomicBool::new(false));
            let (pay, tenant) = (world.pay.clone(), tenant.clone());
            let layer = SealedAfterRead { pay, tenant: tenant.clone(), kind, armed: armed.clone() };
            let layered = Arc::new(Layered::over(store.clone(), layer));
            // One that has opened no key yet, for each question.
            let fresh = async || {
                let pay = open(layered.clone(), Arc::new(LocalKeyring::new(old_key()))).await;
                armed.store(true, Ordering::SeqCst);
                pay
            };
            assert_eq!(picture(&fresh().await, &tenant).await.len(), expected.len(), "{kind} on {}", world.name);
            let pay = fresh().await;
            let scope = tenant.scope(&pay);
            match kind {
                EntityKind::Merchant => drop(scope.retrieve().await.unwrap()),
                EntityKind::Profile => drop(scope.profiles(page()).await.unwrap()),
                EntityKind::Connector => {
                    let id = scope.connectors(page()).await.unwrap().items.remove(0).merchant_connector_id;
                    let scope = tenant.scope(&fresh().await);
                    scope.connector(&id).reveal_credentials().await.unwrap();
                }
                _ => drop(scope.payments(page()).await.unwrap()),
            }
            assert!(!armed.load(Ordering::SeqCst), "{kind} was read");
        }
    });
}

#[test]
fn edits_between_the_steps_of_a_rotation_are_kept() {
    on_every_backend(async |world| {
        let tenant = furnished(&world.pay, "acme").await;
        let scope = tenant.scope(&world.pay);
        let connector = scope.connectors(page()).await.unwrap().items.remove(0).merchant_connector_id;
        let mut round = 0;
        scope
            .rotate_data_key(|_| {
                round += 1;
                block_on(async {
                    let body = host::profile_body(&format!("Beside {round}"));
                    scope.create_profile(read(&body).unwrap()).await.unwrap();
                    scope
                        .connector(&connector)
                        .update(read(&exchanged(&format!("sk_{round}"))).unwrap())
                        .await
                        .unwrap();
                    scope.update(read(&format!(r#"{{"merchant_name": "Round {round}"}}"#)).unwrap()).await.unwrap();
                    let body = with_return(&host::payment_body(i64::try_from(round).unwrap(), "EUR"));
                    scope.create_payment(read(&body).unwrap()).await.unwrap();
                });
            })
            .await
            .unwrap();
        assert!(round >= 4, "{}", world.name);
        let again = world.reopened(|settings| settings).await;
        let scope = tenant.scope(&again);
        picture(&again, &tenant).await;
        let revealed = scope.connector(&connector).reveal_credentials().await.unwrap();
        assert_eq!(key_in(&revealed), format!("sk_{round}"), "{}", world.name);
        assert_eq!(scope.retrieve().await.unwrap().merchant_name.unwrap().as_str(), format!("Round {round}"));
        assert_eq!(scope.profiles(page()).await.unwrap().items.len(), 2 + round, "{}", world.name);
        assert_eq!(named(&*world.backend.store, &tenant).await.0.len(), 1, "{}", world.name);
    });
}

#[test]
fn an_organization_sealed_anew_has_one_data_key_and_the_same_details() {
    on_every_backend(async |world| {
        let tenant = furnished(&world.pay, "acme").await;
        let scope: OrganizationScope = tenant.organization_scope(&world.pay);
        let before = scope.retrieve().await.unwrap();
        let key = async || {
            let path = OrganizationPath::Id(tenant.organization.organization_id.clone());
            let found = world.backend.store.get(&Key::Organization(path)).await.unwrap();
            let Some(Record::Organization(row)) = found else { panic!("lives") };
            (row.tenant, row.state.data_key)
        };
        let (incarnation, old) = key().await;
        scope.rotate_data_key().await.unwrap();
        let after = scope.retrieve().await.unwrap();
        assert_eq!(shown(&after), shown(&before), "{}", world.name);
        assert_eq!(after.version, before.version + 1);
        assert_ne!(key().await.1, old);
        assert_eq!(world.backend.store.get(&Key::DataKey(incarnation, old)).await.unwrap(), None);
    });
}

#[test]
fn a_sealed_value_opens_nowhere_but_in_its_own_place() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let pay = open(store.clone(), Arc::new(LocalKeyring::new(old_key()))).await;
        let tenants = [furnished(&pay, "acme").await, furnished(&pay, "rival").await];
        let mut cells: Vec<(Record, usize, Sealed)> = Vec::new();
        for tenant in &tenants {
            for mut record in records(&*store, tenant).await {
                let values = record.sealed_fields();
                // Nothing opens the card-testing secret yet.
                let values = values.into_iter().enumerate().filter(|(_, (field, _))| *field != "card_testing_secret");
                let values: Vec<_> = values.map(|(at, (_, sealed))| (at, sealed.clone())).collect();
                cells.extend(values.into_iter().map(|(at, sealed)| (record.clone(), at, sealed)));
            }
        }
        assert!(cells.len() >= 2 * 15, "{}", cells.len());
        let mut tried = 0;
        for (target, at, own) in &cells {
            for (_, _, foreign) in cells.iter().filter(|(_, _, sealed)| sealed != own) {
                let mut forged = target.clone();
                *forged.sealed_fields()[*at].1 = foreign.clone();
                let opened = pay_opens(&store, &tenants, target, forged).await;
                assert!(!opened, "{} field {at}", target.entity().named());
                tried += 1;
            }
        }
        assert_eq!(tried, cells.len() * (cells.len() - 1));
    });
}

/// Whether all of the account opens with this record in the place of its own.
async fn pay_opens(store: &Arc<dyn Store>, tenants: &[Tenant; 2], target: &Record, forged: Record) -> bool {
    let swapped = Layered::over(store.clone(), Swapped(target.clone(), forged));
    let pay = open(Arc::new(swapped), Arc::new(LocalKeyring::new(old_key()))).await;
    let mut all = true;
    for tenant in tenants {
        all &= opens(&pay, tenant).await;
    }
    all
}

/// Shows one record for another.
#[derive(Debug)]
struct Swapped(Record, Record);

impl Swapped {
    fn turned(&self, record: Record) -> Record {
        if record.entity() == self.0.entity() { self.1.clone() } else { record }
    }
}

#[async_trait]
impl Layer for Swapped {
    async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
        Ok(next.get(key).await?.map(|record| self.turned(record)))
    }

    async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<perfectpay::store::Listing>, Error> {
        let listing = next.list(query).await?;
        Ok(listing.map(|mut listing| {
            listing.records = listing.records.into_iter().map(|record| self.turned(record)).collect();
            listing
        }))
    }

    async fn commit(&self, _: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
        // Revelations and activations come here, and leave no trace.
        Ok(Committed::Applied(perfectpay::store::Receipt { position: LogPosition::from_u64(1), at: set.at }))
    }
}

/// Whether every sealed value of the account opens.
async fn opens(pay: &PerfectPay, tenant: &Tenant) -> bool {
    let scope = tenant.scope(pay);
    let all = async {
        scope.retrieve().await?;
        scope.blocklist().screen(&CARD.parse()?).await?;
        for profile in scope.profiles(page()).await?.items {
            scope.profile(&profile.profile_id).reveal_webhook_secrets().await?;
        }
        for connector in scope.connectors(page()).await?.items {
            let handle = scope.connector(&connector.merchant_connector_id);
            handle.reveal_credentials().await?;
            handle.reveal_previous_credentials().await?;
            handle.activate_credentials().await?;
        }
        scope.payments(page()).await?;
        Ok::<_, Error>(())
    };
    match all.await {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            false
        }
    }
}

/// A keyring before a service that can be down, and that keeps its own form of a wrapped key.
#[derive(Debug)]
struct Service {
    keys: LocalKeyring,
    down: AtomicBool,
    calls: AtomicU64,
}

impl Service {
    fn up(keys: LocalKeyring) -> Arc<Self> {
        Arc::new(Self { keys, down: AtomicBool::new(false), calls: AtomicU64::new(0) })
    }

    fn answer(&self) -> Result<(), Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::unavailable(Unavailability::Keyring, "the service does not answer"));
        }
        Ok(())
    }
}

#[async_trait]
impl Keyring for Service {
    fn key_ids(&self) -> Vec<KeyId> {
        self.keys.key_ids()
    }

    async fn wrap(&self, place: Place<'_>, key: &[u8; 32], entropy: &dyn Entropy) -> Result<Sealed, Error> {
        self.answer()?;
        let wrapped = self.keys.wrap(place, key, entropy).await?;
        let text = [b"service:", wrapped.wrapped()?].concat();
        Ok(Sealed::wrapping(&self.keys.key_ids()[0], &text))
    }

    async fn unwrap(&self, place: Place<'_>, wrapped: &Sealed) -> Result<zeroize::Zeroizing<[u8; 32]>, Error> {
        self.answer()?;
        let text =
            wrapped.wrapped()?.strip_prefix(b"service:").ok_or_else(|| Error::corrupt("is not the service's"))?;
        self.keys.unwrap(place, &Sealed::wrapping(&id(wrapped.key_id()?), text)).await
    }

    async fn derive(&self, key: &KeyId, purpose: &str) -> Result<zeroize::Zeroizing<[u8; 32]>, Error> {
        self.answer()?;
        self.keys.derive(key, purpose).await
    }
}

#[test]
fn while_the_keyring_is_down_nothing_new_is_opened_and_nothing_is_written() {
    on_every_backend(async |world| {
        let store = world.backend.store.clone();
        let service = Service::up(LocalKeyring::new(new_key()));
        let pay = open(store.clone(), service.clone()).await;
        let tenant = furnished(&pay, "acme").await;
        let before = picture(&pay, &tenant).await;
        // Opening looks at the oldest data key, which is none of this account's.
        let rival = furnished(&pay, "rival").await;
        let head_with_rival = pay.log_head().await.unwrap();
        let fresh = open(store.clone(), service.clone()).await;
        service.down.store(true, Ordering::SeqCst);
        let is_down = |error: Error| {
            assert!(matches!(error, Error::Unavailable { reason: Unavailability::Keyring, .. }), "{error:?}");
            assert!(error.is_retryable());
        };
        let organization = tenant.organization_scope(&pay);
        is_down(pay.create_organization(read(&host::organization_body("New")).unwrap()).await.unwrap_err());
        is_down(organization.create_merchant(read(&host::merchant_body("new")).unwrap()).await.unwrap_err());
        is_down(tenant.scope(&pay).rotate_data_key(|_| {}).await.unwrap_err());
        is_down(organization.rotate_data_key().await.unwrap_err());
        is_down(rival.scope(&fresh).retrieve().await.unwrap_err());
        let error = PerfectPay::open(store.clone(), Settings::with_keyring(service.clone())).await.unwrap_err();
        is_down(error);
        assert_eq!(fresh.log_head().await.unwrap(), head_with_rival, "{}", world.name);
        // What was opened stays open.
        assert_eq!(picture(&pay, &tenant).await, before, "{}", world.name);
        let calls = service.calls.load(Ordering::SeqCst);
        tenant.scope(&pay).retrieve().await.unwrap();
        assert_eq!(service.calls.load(Ordering::SeqCst), calls);
        // And when it is back, all of it works.
        service.down.store(false, Ordering::SeqCst);
        tenant.scope(&pay).rotate_data_key(|_| {}).await.unwrap();
        assert_eq!(picture(&fresh, &tenant).await, before, "{}", world.name);
    });
}

#[test]
fn a_keyring_without_keys_opens_nothing() {
    #[derive(Debug)]
    struct Empty;

    #[async_trait]
    impl Keyring for Empty {
        fn key_ids(&self) -> Vec<KeyId> {
            Vec::new()
        }

        async fn wrap(&self, _: Place<'_>, _: &[u8; 32], _: &dyn Entropy) -> Result<Sealed, Error> {
            Err(Error::corrupt("there is no key"))
        }

        async fn unwrap(&self, _: Place<'_>, _: &Sealed) -> Result<zeroize::Zeroizing<[u8; 32]>, Error> {
            Err(Error::corrupt("there is no key"))
        }

        async fn derive(&self, _: &KeyId, _: &str) -> Result<zeroize::Zeroizing<[u8; 32]>, Error> {
            Err(Error::corrupt("there is no key"))
        }
    }

    let settings = Settings::with_keyring(Arc::new(Empty));
    let error = block_on(PerfectPay::open(Arc::new(MemoryStore::new()), settings)).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "keyring.empty"));
}

#[test]
fn a_data_key_that_does_not_open_is_counted_and_the_others_are_wrapped_anew() {
    on_every_backend(async |world| {
        let store = world.backend.store.clone();
        furnished(&world.pay, "acme").await;
        // Not the first data key there is: that one is opened with the store.
        world.clock.step(Duration::from_secs(1));
        let rival = host::stand_up(&world.pay, "rival").await.unwrap();
        let path = MerchantPath::Id(rival.merchant.merchant_id.clone());
        let Some(Record::Merchant(row)) = store.get(&Key::Merchant(path)).await.unwrap() else { panic!("lives") };
        let key = Key::DataKey(row.tenant, row.state.data_key.clone());
        let Some(Record::DataKey(key)) = store.get(&key).await.unwrap() else { panic!("lives") };
        let mut state = key.state.clone();
        state.wrapped = Sealed::wrapping(&id(host::MASTER_KEY_ID), &[7; 60]);
        let owner = Owner::default();
        let mut set = ChangeSet::new(owner, Actor::Host, key.modified_at, CommitClass::Operational);
        set.update(key.next(key.modified_at, state));
        store.commit(set).await.unwrap();
        let pay = open(store, both()).await;
        let rotated = pay.rewrap(|_| {}).await.unwrap();
        assert_eq!((rotated.done, rotated.unreadable), (3, 1), "{}", world.name);
        assert_eq!(pay.left_under(&id(host::MASTER_KEY_ID)).await.unwrap().data_keys, 1, "{}", world.name);
    });
}

#[test]
fn credentials_are_staged_activated_rolled_back_and_retired() {
    on_every_backend(async |world| {
        let pay = world.reopened(|settings| settings.credential_overlap_seconds(3_600)).await;
        let tenant = host::stand_up(&pay, "acme").await.unwrap();
        let scope = tenant.scope(&pay);
        let made = scope.create_connector(read(&host::connector_body("c", "sk_one_1111")).unwrap()).await.unwrap();
        let handle = scope.connector(&made.merchant_connector_id);
        let versions = async || {
            let seen = handle.retrieve().await.unwrap().credentials;
            (seen.active, seen.staged, seen.previous.map(|previous| previous.version))
        };
        let active = async || key_in(&handle.reveal_credentials().await.unwrap());
        let previous = async || handle.reveal_previous_credentials().await.map(|auth| key_in(&auth));
        let code = |error: Error| error.code().to_owned();
        assert_eq!(versions().await, (1, None, None), "{}", world.name);
        assert_eq!(code(handle.activate_credentials().await.unwrap_err()), "connector.nothing_staged");
        assert_eq!(code(handle.roll_back_credentials().await.unwrap_err()), "connector.no_previous");
        assert_eq!(code(previous().await.unwrap_err()), "connector.no_previous");

        // Staged, they change nothing.
        handle.stage_credentials(credentials("sk_bad_0000")).await.unwrap();
        let staged = handle.stage_credentials(credentials("sk_two_2222")).await.unwrap();
        assert_eq!(staged.connector_account_details, made.connector_account_details);
        assert_eq!((versions().await, active().await.as_str()), ((1, Some(3), None), "sk_one_1111"));

        // A masked value is refused, and what was staged stays.
        let masked = perfectpay::ConnectorAuth::HeaderKey { api_key: "sk*******11".into() };
        let head = pay.log_head().await.unwrap();
        let error = handle.stage_credentials(masked).await.unwrap_err();
        assert_eq!(code(error), "connector.masked_credential");
        assert_eq!(pay.log_head().await.unwrap(), head, "{}", world.name);

        // Activated in one commit.
        let activated = handle.activate_credentials().await.unwrap();
        assert_eq!(pay.log_head().await.unwrap().position.as_u64(), head.position.as_u64() + 1);
        assert_eq!(activated.version, staged.version + 1);
        assert_eq!((versions().await, active().await.as_str()), ((3, None, Some(1)), "sk_two_2222"));
        assert_eq!(previous().await.unwrap(), "sk_one_1111", "{}", world.name);

        // Rolled back in one commit, and forth again.
        handle.roll_back_credentials().await.unwrap();
        assert_eq!((versions().await, active().await.as_str()), ((1, None, Some(3)), "sk_one_1111"));
        handle.roll_back_credentials().await.unwrap();
        assert_eq!((versions().await, active().await.as_str()), ((3, None, Some(1)), "sk_two_2222"));

        // The published update is both in one.
        let updated = handle.update(read(&exchanged("sk_new_4444")).unwrap()).await.unwrap();
        assert_eq!((versions().await, active().await.as_str()), ((4, None, Some(3)), "sk_new_4444"));
        // With the credentials that it has, it changes nothing.
        let same = handle.update(read(&exchanged("sk_new_4444")).unwrap()).await.unwrap();
        assert_eq!(same.version, updated.version, "{}", world.name);

        // An expected version is held to.
        let error = handle.activate_credentials().expecting(1).await.unwrap_err();
        assert!(matches!(error, Error::Stale { expected: 1, .. }), "{error:?}");

        // To the second, the overlap ends.
        world.clock.step(Duration::from_secs(3_599));
        assert_eq!(previous().await.unwrap(), "sk_two_2222", "{}", world.name);
        world.clock.step(Duration::from_secs(1));
        assert_eq!(code(previous().await.unwrap_err()), "connector.no_previous", "{}", world.name);
        assert_eq!(code(handle.roll_back_credentials().await.unwrap_err()), "connector.no_previous");
        // Retired, they are destroyed by the next commit.
        let kept = async || {
            let all = records(&*world.backend.store, &tenant).await;
            let connector = all.into_iter().find_map(|record| match record {
                Record::Connector(row) => Some(row.state.credentials),
                _ => None,
            });
            connector.unwrap().previous.is_some()
        };
        assert!(kept().await, "{}", world.name);
        handle.update(read(r#"{"connector_type": "payment_processor", "test_mode": true}"#).unwrap()).await.unwrap();
        assert!(!kept().await, "{}", world.name);
    });
}

#[test]
fn a_placeholder_is_not_activated_on_an_active_account() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let scope = tenant.scope(&world.pay);
        let body = host::connector_body("c", "sk_one_1111").replace("stripe", "paypal").replace("HeaderKey", "BodyKey");
        let body = body.replace(r#""api_key":"#, r#""key1": "k", "api_key":"#);
        let made = scope.create_connector(read(&body).unwrap()).await.unwrap();
        let handle = scope.connector(&made.merchant_connector_id);
        handle.stage_credentials(ConnectorAuth::TemporaryAuth).await.unwrap();
        let error = handle.activate_credentials().await.unwrap_err();
        assert_eq!(error.code(), "connector.temporary_active", "{}", world.name);
        // What the connector does not take is not staged.
        let error = handle.stage_credentials(credentials("sk_two_2222")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{}", world.name);
        assert_eq!(handle.retrieve().await.unwrap().credentials.staged, Some(2), "{}", world.name);
    });
}

#[test]
fn every_revelation_is_in_the_log_before_it_is_answered() {
    on_every_backend(async |world| {
        let tenant = furnished(&world.pay, "acme").await;
        let caller = world.pay.authenticate(tenant.token()).await.unwrap();
        let scope = caller.merchant();
        let connector = scope.connectors(page()).await.unwrap().items.remove(0);
        let profile = scope.profile(&tenant.profile.profile_id).retrieve().await.unwrap();
        let from = world.pay.log_head().await.unwrap();
        scope.connector(&connector.merchant_connector_id).reveal_credentials().await.unwrap();
        scope.connector(&connector.merchant_connector_id).reveal_previous_credentials().await.unwrap();
        scope.profile(&profile.profile_id).reveal_webhook_secrets().await.unwrap();
        let secrets = scope.connector(&connector.merchant_connector_id).reveal_secrets().await.unwrap();
        let text = |secret: Option<SecretString>| secret.map(|secret| secret.expose_secret().to_owned());
        assert_eq!(text(secrets.merchant_secret).as_deref(), Some("whsec-one"), "{}", world.name);
        assert_eq!(text(secrets.additional_secret).as_deref(), Some("whsec-two"));
        let object = |object: Option<SecretObject>| json!(object.unwrap().expose());
        assert_eq!(object(secrets.additional_merchant_data), json!({ "iban": "DE89370400440532013000" }));
        let wallets = json!({ "apple_pay": { "certificate": "wallet-certificate" } });
        assert_eq!(object(secrets.connector_wallets_details), wallets);
        let log = world.pay.log(from.position, 10).await.unwrap();
        let actor = Actor::ApiKey(caller.api_key().key_id.clone());
        for entry in &log {
            assert_eq!((&entry.actor, entry.class), (&actor, CommitClass::Operational), "{}", world.name);
            assert_eq!(entry.merchant_id.as_deref(), Some("acme"));
        }
        let said: Vec<_> = log
            .iter()
            .flat_map(|entry| &entry.changes)
            .map(|change| (change.verb, change.id.clone(), change.version))
            .collect();
        let credentials = (Verb::Revealed, connector.merchant_connector_id.to_string(), connector.version);
        let secrets = (Verb::Revealed, profile.profile_id.to_string(), profile.version);
        assert_eq!(said, [credentials.clone(), credentials.clone(), secrets, credentials], "{}", world.name);
        // Versions and the configuration's head stay.
        assert_eq!(world.pay.log_head().await.unwrap().configuration, from.configuration, "{}", world.name);
        let now = scope.connector(&connector.merchant_connector_id).retrieve().await.unwrap();
        assert_eq!(now, connector, "{}", world.name);
        // In a batch there is none, for what it stages may never be committed.
        let batch = world.pay.batch();
        let scope = tenant.scope(batch.pay());
        let error = scope.connector(&connector.merchant_connector_id).reveal_credentials().await.unwrap_err();
        assert_eq!(error.code(), "batch.reveal", "{}", world.name);
        let error = scope.profile(&profile.profile_id).reveal_webhook_secrets().await.unwrap_err();
        assert_eq!(error.code(), "batch.reveal", "{}", world.name);
        let error = scope.connector(&connector.merchant_connector_id).reveal_secrets().await.unwrap_err();
        assert_eq!(error.code(), "batch.reveal", "{}", world.name);
        // Nor a rotation, which is many commits.
        assert_eq!(scope.rotate_data_key(|_| {}).await.unwrap_err().code(), "batch.rotation");
        assert_eq!(batch.pay().rewrap(|_| {}).await.unwrap_err().code(), "batch.rotation");
        assert_eq!(
            tenant.organization_scope(batch.pay()).rotate_data_key().await.unwrap_err().code(),
            "batch.rotation"
        );
        assert!(batch.preview().is_empty(), "{}", world.name);
    });
}

#[test]
fn without_its_entry_in_the_log_nothing_is_revealed() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let tenant = furnished(&open(store.clone(), Arc::new(LocalKeyring::new(old_key()))).await, "acme").await;
        let full = || Error::unavailable(Unavailability::Full, "the disk is full");
        let layered = Layered::over(store, FailNth::new(On::Commit, 1, When::Before, full));
        let pay = open(Arc::new(layered), Arc::new(LocalKeyring::new(old_key()))).await;
        let scope = tenant.scope(&pay);
        let connector = scope.connectors(page()).await.unwrap().items.remove(0).merchant_connector_id;
        let error = scope.connector(&connector).reveal_credentials().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { reason: Unavailability::Full, .. }), "{error:?}");
        assert_eq!(key_in(&scope.connector(&connector).reveal_credentials().await.unwrap()), "sk_live_second");
    });
}
