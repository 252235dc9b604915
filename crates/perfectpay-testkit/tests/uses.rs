//! What authentication leaves behind: it writes nothing itself, and housekeeping writes down when keys were used and keeps
//! them under the current pepper.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics is a test that failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::block_on;
use perfectpay::store::Store;
use perfectpay::{
    Actor, ApiKey, Clock, CommitClass, Environment, Error, IssuedApiKey, KeyId, LocalKeyring, MasterKey, MerchantScope,
    PageRequest, PerfectPay, Refusal, Settings, Timestamp, Unavailability, Verb, Verdict,
};
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::faulty::{Counting, Counts, FailNth, On, When};
use perfectpay_testkit::host;
use perfectpay_testkit::layer::Layered;
use support::{on_every_backend, read};

const HOUR: Duration = Duration::from_secs(60 * 60);

async fn key(scope: &MerchantScope, expiration: &str) -> IssuedApiKey {
    scope.create_api_key(read(&host::api_key_body("k", expiration)).unwrap()).await.unwrap()
}

fn token(key: &IssuedApiKey) -> &str {
    key.api_key.as_ref().unwrap().expose()
}

async fn refusal(pay: &PerfectPay, token: &str) -> Option<Refusal> {
    match pay.verify(token, None).await.unwrap() {
        Verdict::Valid(_) => None,
        Verdict::Refused(refusal) => Some(refusal),
    }
}

fn page() -> PageRequest {
    PageRequest::of(100).unwrap()
}

#[test]
fn a_use_is_written_down_once_an_hour_by_maintenance_and_never_by_authentication() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let scope = tenant.scope(pay);
        let ended = key(&scope, "2020-01-01T00:00:00Z").await;
        let shown = async || scope.api_key(&tenant.key.key_id).retrieve().await.unwrap();
        let before = shown().await;
        let head = pay.log_head().await.unwrap();
        for _ in 0..3 {
            assert_eq!(refusal(pay, tenant.token()).await, None);
            assert_eq!(refusal(pay, token(&ended)).await, Some(Refusal::Expired));
        }
        assert_eq!((pay.log_head().await.unwrap(), shown().await.last_used), (head.clone(), None), "{}", world.name);

        let done = pay.acting_as(Actor::Operator("cron".parse().unwrap())).maintain().await.unwrap();
        assert_eq!((done.uses, done.digests, done.claims, done.more), (1, 0, 0, false), "{}", world.name);
        let at = world.clock.now();
        // Nothing else of the key moved, and there is nothing for snapshots to follow.
        assert_eq!(shown().await, ApiKey { last_used: Some(at), ..before.clone() }, "{}", world.name);
        let log = pay.log(head.position, 10).await.unwrap();
        let said: Vec<_> = log[0].changes.iter().map(|c| (c.id.as_str(), c.verb, c.count)).collect();
        assert_eq!((log.len(), log[0].class, said), (1, CommitClass::Operational, vec![("*", Verb::Used, 1)]));
        assert_eq!((log[0].actor.to_string().as_str(), &log[0].merchant_id), ("operator:cron", &None));
        assert_eq!(pay.log_head().await.unwrap().configuration, head.configuration);
        assert_eq!(scope.api_key(&ended.key_id).retrieve().await.unwrap().last_used, None);

        // Within the hour there is no more to say.
        world.clock.step(HOUR.checked_sub(Duration::from_secs(1)).unwrap());
        assert_eq!(refusal(pay, tenant.token()).await, None);
        let head = pay.log_head().await.unwrap();
        assert_eq!(pay.maintain().await.unwrap().uses, 0);
        assert_eq!((pay.log_head().await.unwrap(), shown().await.last_used), (head, Some(at)), "{}", world.name);
        world.clock.step(HOUR);
        assert_eq!(refusal(pay, tenant.token()).await, None);
        assert_eq!(pay.maintain().await.unwrap().uses, 1, "{}", world.name);
        assert_eq!(shown().await.last_used, Some(world.clock.now()));
        // Another process knows from the store that this hour is said.
        let other = world.reopened(|settings| settings).await;
        assert_eq!(refusal(&other, tenant.token()).await, None);
        assert_eq!(other.maintain().await.unwrap().uses, 0, "{}", world.name);

        // What is changed of the key leaves the mark, what takes its place was never used, and a revoked one keeps it.
        let update = read(r#"{"name": "other"}"#).unwrap();
        let updated = scope.api_key(&tenant.key.key_id).update(update).await.unwrap();
        assert_eq!(
            (updated.version, updated.last_used),
            (before.version + 1, Some(world.clock.now())),
            "{}",
            world.name
        );
        let next = scope.api_key(&tenant.key.key_id).rotate(HOUR).await.unwrap();
        assert_eq!(scope.api_key(&next.key_id).retrieve().await.unwrap().last_used, None);
        scope.api_key(&tenant.key.key_id).revoke().await.unwrap();
        assert_eq!(shown().await.last_used, Some(world.clock.now()), "{}", world.name);
    });
}

#[test]
fn a_maintenance_that_fails_is_done_by_the_next_one() {
    block_on(async {
        let full = || Error::unavailable(Unavailability::Full, "the disk is full");
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let tenant = host::stand_up(&host::open(store.clone()).await.unwrap(), "acme").await.unwrap();
        let layered = Layered::over(store, FailNth::new(On::Commit, 1, When::Before, full));
        let pay = host::open(Arc::new(layered)).await.unwrap();
        assert_eq!(refusal(&pay, tenant.token()).await, None);
        let error = pay.maintain().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { reason: Unavailability::Full, .. }), "{error:?}");
        assert_eq!(pay.maintain().await.unwrap().uses, 1);
        assert_eq!(pay.maintain().await.unwrap().uses, 0);
        // In a batch, which may never be committed, it is not done at all.
        let batch = pay.batch();
        assert_eq!(batch.pay().maintain().await.unwrap_err().code(), "batch.rotation");
    });
}

#[test]
fn maintenance_forgets_idempotency_keys_that_expired() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let create = || {
            let new = read(&host::api_key_body("k", "never")).unwrap();
            tenant.scope(&world.pay).create_api_key(new).idempotency_key("once".parse().unwrap())
        };
        let first = create().await.unwrap();
        assert_eq!(world.pay.maintain().await.unwrap().claims, 0, "{}", world.name);
        world.clock.step(HOUR * 25);
        let before = world.pay.maintain().await.unwrap();
        assert!(before.claims >= 1 && !before.more, "{before:?}");
        assert_ne!(create().await.unwrap().key_id, first.key_id);
    });
}

#[test]
fn a_host_finds_the_keys_that_end_and_those_that_nobody_uses() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (one, two) = (host::stand_up(pay, "acme").await.unwrap(), host::stand_up(pay, "other").await.unwrap());
        let (acme, other) = (one.scope(pay), two.scope(pay));
        let now = world.clock.now();
        let later = |hours: u32| now.plus_seconds(hours * 3_600);
        let third = key(&acme, &later(30).to_string()).await;
        let first = key(&acme, &later(10).to_string()).await;
        let theirs = key(&other, &later(20).to_string()).await;
        let gone = key(&acme, &later(5).to_string()).await;
        key(&acme, "2020-01-01T00:00:00Z").await;
        acme.api_key(&gone.key_id).revoke().await.unwrap();
        let ids = |keys: Vec<ApiKey>| -> Vec<_> {
            keys.into_iter().map(|key| (key.merchant_id.to_string(), key.key_id)).collect()
        };
        let of = |key: &IssuedApiKey| (key.merchant_id.to_string(), key.key_id.clone());
        let own = async |before: Timestamp| ids(acme.api_keys_ending(before, page()).await.unwrap().items);
        let all = async |before: Timestamp| ids(pay.api_keys_ending(before, page()).await.unwrap().items);
        assert_eq!(own(later(31)).await, [of(&first), of(&third)], "{}", world.name);
        assert_eq!(all(later(31)).await, [of(&first), of(&theirs), of(&third)], "{}", world.name);
        assert_eq!((own(later(30)).await, all(later(10)).await), (vec![of(&first)], vec![]));
        // A page at a time, and what has ended meanwhile is no longer in it.
        let page_of =
            async |cursor| pay.api_keys_ending(later(31), PageRequest::of(1).unwrap().after(cursor)).await.unwrap();
        let page_one = page_of(None).await;
        assert_eq!(ids(page_one.items), [of(&first)]);
        let page_two = page_of(page_one.next).await;
        assert_eq!(ids(page_two.items), [of(&theirs)]);
        let page_three = page_of(page_two.next).await;
        assert_eq!((ids(page_three.items), page_three.next), (vec![of(&third)], None), "{}", world.name);
        world.clock.step(HOUR * 15);
        assert_eq!(all(later(31)).await, [of(&theirs), of(&third)], "{}", world.name);

        // Of the living ones the account's first key is used, and the others are not.
        assert_eq!(refusal(pay, one.token()).await, None);
        pay.maintain().await.unwrap();
        let now = world.clock.now();
        assert_eq!(ids(acme.api_keys_unused(now, page()).await.unwrap().items), [of(&third)], "{}", world.name);
        let mut unused = ids(pay.api_keys_unused(now, page()).await.unwrap().items);
        let mut expected =
            vec![(two.merchant.merchant_id.to_string(), two.key.key_id.clone()), of(&third), of(&theirs)];
        unused.sort();
        expected.sort();
        assert_eq!(unused, expected, "{}", world.name);
        world.clock.step(HOUR);
        let idle = acme.api_keys_unused(world.clock.now(), page()).await.unwrap().items;
        // The one that is idle longest comes first.
        assert_eq!(ids(idle), [of(&third), (one.merchant.merchant_id.to_string(), one.key.key_id.clone())]);
        acme.remove().cascade().await.unwrap();
        assert!(acme.api_keys_unused(now, page()).await.is_err());
        assert_eq!(all(later(31)).await, [of(&theirs)], "{}", world.name);
    });
}

#[test]
fn what_is_no_token_of_the_host_is_refused_without_a_word_to_the_store() {
    block_on(async {
        let counted = Arc::new(Layered::over(Arc::new(MemoryStore::new()), Counting::default()));
        // Whoever asks with what may be a key looks at the log every time.
        let settings = host::settings().unwrap().staleness(Duration::ZERO);
        let pay = PerfectPay::open(counted.clone(), settings).await.unwrap();
        let tenant = host::stand_up(&pay, "acme").await.unwrap();
        let production = {
            let entropy = Arc::new(host::SeededEntropy::new(7));
            let settings = host::settings().unwrap().environment(Environment::Production).entropy(entropy);
            let pay = PerfectPay::open(Arc::new(MemoryStore::new()), settings).await.unwrap();
            host::stand_up(&pay, "acme").await.unwrap().token().to_owned()
        };
        let good = tenant.token();
        let last = if good.ends_with('a') { 'b' } else { 'a' };
        counted.layer.take();
        for (text, reason) in [
            (String::new(), Refusal::Malformed),
            ("Bearer".to_owned(), Refusal::Malformed),
            (good[..67].to_owned(), Refusal::Malformed),
            (format!("{}{last}", &good[..67]), Refusal::Malformed),
            (tenant.merchant.publishable_key.to_string(), Refusal::Malformed),
            ("x".repeat(1_000_000), Refusal::Malformed),
            (production, Refusal::WrongEnvironment),
        ] {
            assert_eq!(refusal(&pay, &text).await, Some(reason));
            assert_eq!(counted.layer.take(), Counts::default(), "{reason}");
        }
        assert_eq!(refusal(&pay, good).await, None);
        assert!(counted.layer.take().reads() > 0, "one that may be a key is asked of the store");
    });
}

fn id(text: &str) -> KeyId {
    text.parse().unwrap()
}

fn new_key() -> MasterKey {
    MasterKey::from_hex("test-new", &"9c44".repeat(16)).unwrap()
}

#[test]
fn a_key_that_is_used_is_kept_under_the_current_pepper_from_then_on() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let scope = tenant.scope(&world.pay);
        let (idle, revoked) = (key(&scope, "never").await, key(&scope, "never").await);
        let (old, new) = (id(host::MASTER_KEY_ID), id("test-new"));
        let old_key = || MasterKey::from_hex(host::MASTER_KEY_ID, host::MASTER_KEY_HEX).unwrap();
        let with = async |keyring: LocalKeyring| {
            let settings = Settings::with_keyring(Arc::new(keyring)).clock(world.clock.clone());
            PerfectPay::open(world.backend.store.clone(), settings).await.unwrap()
        };
        let pay = with(LocalKeyring::new(new_key()).opening(old_key()).unwrap()).await;
        let left = async |key: &KeyId| pay.left_under(key).await.unwrap().api_keys;
        assert_eq!((left(&old).await, left(&new).await), (3, 0), "{}", world.name);
        let before = tenant.scope(&pay).api_key(&tenant.key.key_id).retrieve().await.unwrap();
        // In memory and out of it, before and after: the key is the same to whoever holds it.
        for _ in 0..2 {
            assert_eq!(refusal(&pay, tenant.token()).await, None);
            assert_eq!(refusal(&pay, token(&revoked)).await, None);
            assert_eq!(refusal(&world.pay, tenant.token()).await, None);
        }
        let caller = pay.authenticate(tenant.token()).await.unwrap();
        // Nobody brings back what went meanwhile.
        tenant.scope(&pay).api_key(&revoked.key_id).revoke().await.unwrap();
        assert_eq!((left(&old).await, left(&new).await), (2, 0));
        let done = pay.maintain().await.unwrap();
        assert_eq!((done.digests, done.more), (1, false), "{}", world.name);
        assert_eq!((left(&old).await, left(&new).await), (1, 1), "{}", world.name);
        for _ in 0..2 {
            assert_eq!(refusal(&pay, tenant.token()).await, None);
            assert!(refusal(&pay, token(&revoked)).await.is_some());
        }
        caller.merchant().retrieve().await.unwrap();
        assert_eq!(pay.maintain().await.unwrap().digests, 0);
        let after = tenant.scope(&pay).api_key(&tenant.key.key_id).retrieve().await.unwrap();
        let same = ApiKey { version: before.version + 1, last_used: after.last_used, ..before };
        assert_eq!(after, same, "{}", world.name);
        // It can be rotated and revoked as before, and the last one moves when it is used.
        assert_eq!(refusal(&pay, token(&idle)).await, None);
        assert_eq!(pay.maintain().await.unwrap().digests, 1);
        assert_eq!((left(&old).await, left(&new).await), (0, 2), "{}", world.name);
        pay.rewrap(|_| {}).await.unwrap();
        let left = pay.left_under(&old).await.unwrap();
        assert_eq!((left.data_keys, left.api_keys), (0, 0), "{}", world.name);
        // Now the former key may leave.
        let alone = with(LocalKeyring::new(new_key())).await;
        assert_eq!(refusal(&alone, tenant.token()).await, None, "{}", world.name);
        assert_eq!(refusal(&alone, token(&idle)).await, None);
        tenant.scope(&alone).api_key(&idle.key_id).revoke().await.unwrap();
        assert_eq!(refusal(&alone, token(&idle)).await, Some(Refusal::Revoked));
    });
}
