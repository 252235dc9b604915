//! The life of API keys: made, rotated, revoked, ended and used in any order, by two processes on one store, beside a
//! small model that says what every use must come to.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

mod support;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::block_on;
use perfectpay::api_key::TOKEN_PATTERN;
use perfectpay::merchant::PUBLISHABLE_KEY_PATTERN;
use perfectpay::{
    ApiKeyId, Caller, Clock, CommitClass, Error, Expiration, IssuedApiKey, KeyPolicy, LocalKeyring, LogPosition,
    MasterKey, MerchantScope, PageRequest, Patch, PerfectPay, PublishableKey, Refusal, Settings, Timestamp, Token,
    Verdict,
};
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::host::{self, SeededEntropy, TestClock};
use proptest::prelude::*;
use regex::Regex;
use serde_json::json;
use support::{on_every_backend, read, shown, snapshot};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn token(key: &IssuedApiKey) -> &str {
    key.api_key.as_ref().unwrap().expose()
}

async fn made(scope: &MerchantScope, body: serde_json::Value) -> IssuedApiKey {
    scope.create_api_key(read(&body.to_string()).unwrap()).await.unwrap()
}

async fn key(scope: &MerchantScope, expiration: &str) -> IssuedApiKey {
    made(scope, json!({ "name": "k", "expiration": expiration })).await
}

async fn refusal(pay: &PerfectPay, token: &str, peer: Option<&str>) -> Option<Refusal> {
    match pay.verify(token, peer.map(|peer| peer.parse().unwrap())).await.unwrap() {
        Verdict::Valid(_) => None,
        Verdict::Refused(refusal) => Some(refusal),
    }
}

fn after(clock: &TestClock, by: Duration) -> Timestamp {
    clock.now().plus_seconds(u32::try_from(by.as_secs()).unwrap())
}

#[test]
fn a_rotation_makes_a_successor_and_lets_the_old_key_go_on_for_the_grace() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let scope = tenant.scope(pay);
        let restricted = json!({
            "name": "k", "description": "the shop's", "expiration": "2099-01-01T00:00:00Z",
            "scopes": ["payments:write", "merchant:read"], "profile_ids": [tenant.profile.profile_id],
            "networks": ["203.0.113.0/24"],
        });
        let old = made(&scope, restricted).await;
        let position = pay.log_head().await.unwrap().position;
        let new = scope.api_key(&old.key_id).rotate(DAY).idempotency_key("r-1".parse().unwrap()).await.unwrap();
        let log = pay.log(position, 10).await.unwrap();
        assert_eq!(log.len(), 1, "one commit");
        assert_eq!(log[0].changes.len(), 2);
        assert_eq!((&new.name, &new.description, new.expiration), (&old.name, &old.description, old.expiration));
        assert_eq!((&new.access, new.predecessor.as_ref()), (&old.access, Some(&old.key_id)));
        let before = scope.api_key(&old.key_id).retrieve().await.unwrap();
        let end = after(&world.clock, DAY);
        assert_eq!((before.successor.as_ref(), before.expiration), (Some(&new.key_id), Expiration::At(end)));
        // Repeated, it is answered as it was, without the token.
        let again = scope.api_key(&old.key_id).rotate(DAY).idempotency_key("r-1".parse().unwrap()).await.unwrap();
        assert_eq!(again, IssuedApiKey { api_key: None, replayed: true, ..new.clone() });

        let peer = Some("203.0.113.7");
        for token in [token(&old), token(&new)] {
            assert_eq!(refusal(pay, token, peer).await, None, "{}", world.name);
            assert_eq!(refusal(pay, token, Some("198.51.100.7")).await, Some(Refusal::NetworkNotAllowed));
            assert_eq!(refusal(pay, token, None).await, Some(Refusal::NetworkNotAllowed));
        }
        let unchanged = snapshot(pay).await;
        let code = |error: Error| error.code().to_owned();
        let twice = scope.api_key(&old.key_id).rotate(DAY).await.unwrap_err();
        assert_eq!(code(twice), "api_key.rotated");
        let later = read(r#"{"expiration": "never"}"#).unwrap();
        assert_eq!(code(scope.api_key(&old.key_id).update(later).await.unwrap_err()), "api_key.rotated");
        let refused = scope.api_key(&new.key_id).rotate(DAY * 30 + Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(
            (refused.to_string().as_str(), refused.code()),
            ("`grace`: must be at most 30 days", "grace.too_long")
        );
        assert_eq!(snapshot(pay).await, unchanged);

        world.clock.step(DAY);
        assert_eq!(refusal(pay, token(&old), peer).await, Some(Refusal::RotatedOut));
        assert_eq!(refusal(pay, token(&new), peer).await, None);
        let ended = scope.api_key(&old.key_id).rotate(DAY).await.unwrap_err();
        assert_eq!(code(ended), "api_key.rotated");
        let short = key(&scope, "2020-01-01T00:00:00Z").await;
        assert_eq!(code(scope.api_key(&short.key_id).rotate(DAY).await.unwrap_err()), "api_key.expired");
        // A key that ends before the grace does keeps its end.
        let soon = after(&world.clock, Duration::from_secs(60));
        let soon = key(&scope, &soon.to_string()).await;
        scope.api_key(&soon.key_id).rotate(DAY).await.unwrap();
        assert_eq!(scope.api_key(&soon.key_id).retrieve().await.unwrap().expiration, soon.expiration);
        scope.api_key(&new.key_id).revoke().await.unwrap();
        assert_eq!(code(scope.api_key(&new.key_id).rotate(DAY).await.unwrap_err()), "api_key.revoked");
    });
}

#[test]
fn a_policy_holds_for_ends_that_are_chosen_after_it() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let scope = host::stand_up(pay, "acme").await.unwrap().scope(pay);
        assert_eq!(scope.key_policy().await.unwrap(), KeyPolicy::default());
        let (endless, past) = (key(&scope, "never").await, key(&scope, "2020-01-01T00:00:00Z").await);
        let policy = KeyPolicy { max_lifetime_seconds: Some(3_600), refuse_past: true };
        assert_eq!(scope.set_key_policy(policy).await.unwrap(), policy);
        assert_eq!(scope.key_policy().await.unwrap(), policy);
        let before = snapshot(pay).await;
        let latest = after(&world.clock, Duration::from_secs(3_600));
        let now = world.clock.now().to_string();
        for (expiration, code) in [
            ("never".to_owned(), "expiration.too_late"),
            (latest.plus_seconds(1).to_string(), "expiration.too_late"),
            (now, "expiration.past"),
            ("2020-01-01T00:00:00Z".to_owned(), "expiration.past"),
        ] {
            let body = json!({ "name": "k", "expiration": expiration }).to_string();
            let error = scope.create_api_key(read(&body).unwrap()).await.unwrap_err();
            assert_eq!(error.code(), code, "{expiration}");
            assert!(error.to_string().starts_with("`expiration`: "), "{error}");
            let body = json!({ "expiration": expiration }).to_string();
            let update = read(&body).unwrap();
            let target = if expiration.starts_with("2020") { &endless } else { &past };
            assert_eq!(scope.api_key(&target.key_id).update(update).await.unwrap_err().code(), code, "{expiration}");
        }
        assert_eq!(snapshot(pay).await, before, "{}", world.name);
        // What is there stays, whatever else is changed of it; what takes its place keeps to the policy.
        scope.api_key(&endless.key_id).update(read(r#"{"name": "other"}"#).unwrap()).await.unwrap();
        let next = scope.api_key(&endless.key_id).rotate(Duration::ZERO).await.unwrap();
        assert_eq!(next.expiration, Expiration::At(latest));
        key(&scope, &latest.to_string()).await;
    });
}

#[test]
fn what_is_not_restricted_is_not_in_the_json() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let scope = tenant.scope(&world.pay);
        let full = scope.api_key(&tenant.key.key_id).retrieve().await.unwrap();
        let restricted = made(
            &scope,
            json!({ "name": "k", "expiration": "never", "scopes": ["log:read"], "profile_ids": [], "networks": ["::1"] }),
        );
        let restricted = restricted.await;
        let members = |json: serde_json::Value| -> Vec<String> { json.as_object().unwrap().keys().cloned().collect() };
        let published = ["created", "description", "expiration", "key_id", "merchant_id", "name", "prefix", "revoked"];
        assert_eq!(members(shown(&full)), published);
        let shown = shown(&restricted);
        assert_eq!(shown["scopes"], json!(["log:read"]));
        assert_eq!(shown["profile_ids"], json!([]));
        assert_eq!(shown["networks"], json!(["::1/128"]));
    });
}

#[test]
fn access_that_makes_no_sense_is_refused_with_its_path() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let scope = tenant.scope(&world.pay);
        let before = snapshot(&world.pay).await;
        let many: Vec<String> = (0..65).map(|n| format!("10.0.0.{n}")).collect();
        for (member, value, path, code) in [
            ("scopes", json!(["payments:write", "payment:write"]), "scopes[1]", "scope.unknown"),
            ("scopes", json!(["payments"]), "scopes[0]", "scope.unknown"),
            ("scopes", json!(["payments:delete"]), "scopes[0]", "scope.unknown"),
            ("scopes", json!(["*:read"]), "scopes[0]", "scope.unknown"),
            ("networks", json!(["10.0.0.0/8", "example.com"]), "networks[1]", "network.malformed"),
            ("networks", json!(many), "networks", "list.too_long"),
            ("profile_ids", json!([tenant.profile.profile_id, "pro_x"]), "profile_ids[1]", "api_key.unknown_profile"),
        ] {
            let mut body = json!({ "name": "k", "expiration": "never" });
            body[member] = value.clone();
            let refused = match read(&body.to_string()) {
                Ok(new) => scope.create_api_key(new).await.unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(refused.code(), code, "{body}");
            assert!(refused.to_string().starts_with(&format!("`{path}`: ")), "{refused}");
            let body = json!({ member: value }).to_string();
            let refused = match read(&body) {
                Ok(update) => scope.api_key(&tenant.key.key_id).update(update).await.unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(refused.code(), code, "{body}");
        }
        assert_eq!(snapshot(&world.pay).await, before);
    });
}

#[test]
fn a_narrowed_key_is_narrower_for_the_handles_that_it_has() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let scope = tenant.scope(&world.pay);
        let caller = world.pay.authenticate(tenant.token()).await.unwrap();
        caller.merchant().log(LogPosition::START, 1).await.unwrap();
        let narrow = read(r#"{"scopes": ["payments:read"]}"#).unwrap();
        scope.api_key(&tenant.key.key_id).update(narrow).await.unwrap();
        let refused = caller.merchant().log(LogPosition::START, 1).await;
        assert!(matches!(refused, Err(Error::Forbidden)));
        let elsewhere = read(r#"{"networks": ["203.0.113.0/24"]}"#).unwrap();
        scope.api_key(&tenant.key.key_id).update(elsewhere).await.unwrap();
        let refused = caller.merchant().payments(PageRequest::default()).await;
        assert!(matches!(refused, Err(Error::Unauthorized(Refusal::NetworkNotAllowed))));
    });
}

#[test]
fn a_repeated_command_is_answered_to_the_keys_for_the_same_profiles_and_to_no_other() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let scope = tenant.scope(pay);
        let holder = async |profiles: serde_json::Value| {
            let body = json!({ "name": "k", "expiration": "never", "profile_ids": profiles }).to_string();
            let issued = scope.create_api_key(read(&body).unwrap()).await.unwrap();
            pay.authenticate(issued.api_key.unwrap().expose()).await.unwrap()
        };
        let (wide, narrow) = (holder(json!(null)).await, holder(json!([tenant.profile.profile_id])).await);
        let again = async |caller: &Caller, key: &str| {
            let new = read(&host::payment_body(100, "EUR")).unwrap();
            let made = caller.merchant().create_payment(new).idempotency_key(key.parse().unwrap()).await;
            made.map(|payment| payment.payment_id)
        };
        let first = again(&narrow, "narrow").await.unwrap();
        assert_eq!(again(&narrow, "narrow").await.unwrap(), first, "{}", world.name);
        assert!(matches!(again(&wide, "narrow").await, Err(Error::IdempotencyMismatch)));
        let first = again(&wide, "wide").await.unwrap();
        assert_eq!(again(&wide, "wide").await.unwrap(), first);
        assert!(matches!(again(&narrow, "wide").await, Err(Error::IdempotencyMismatch)), "{}", world.name);
    });
}

#[test]
fn a_client_reads_the_one_payment_whose_secret_it_has() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (one, two) = (host::stand_up(pay, "acme").await.unwrap(), host::stand_up(pay, "other").await.unwrap());
        let payment = |scope: MerchantScope| async move {
            scope.create_payment(read(&host::payment_body(100, "EUR")).unwrap()).await.unwrap()
        };
        let first = payment(one.scope(pay)).await;
        let second = payment(one.scope(pay)).await;
        let theirs = payment(two.scope(pay)).await;
        let key = one.merchant.publishable_key.as_str();
        let client = pay.authenticate_client(key, first.client_secret.expose()).await.unwrap();
        assert_eq!(client.retrieve().await.unwrap(), first);
        let mixed = first.client_secret.expose().replace(first.payment_id.as_ref(), second.payment_id.as_ref());
        let shorter = &first.client_secret.expose()[..first.client_secret.expose().len() - 1];
        let absent = format!("pk_snd_{}", "0".repeat(32));
        for (what, key, secret, reason) in [
            ("another payment's secret", key, mixed.as_str(), Refusal::Unknown),
            ("a shorter one", key, shorter, Refusal::Unknown),
            ("another account's", key, theirs.client_secret.expose(), Refusal::Unknown),
            ("a key that nobody has", &absent, first.client_secret.expose(), Refusal::Unknown),
            ("no secret", key, "", Refusal::Malformed),
            ("an id alone", key, "pay_1", Refusal::Malformed),
            ("no key", "", first.client_secret.expose(), Refusal::Malformed),
            ("an API key", one.token(), first.client_secret.expose(), Refusal::Malformed),
            ("of another environment", &key.replace("_snd_", "_prd_"), mixed.as_str(), Refusal::WrongEnvironment),
        ] {
            let error = pay.authenticate_client(key, secret).await.unwrap_err();
            assert_eq!(error.to_string(), "the credential was not accepted", "{what}");
            assert!(matches!(error, Error::Unauthorized(found) if found == reason), "{what}: {error:?}");
        }
        world.clock.set(first.expires_on);
        assert!(matches!(client.retrieve().await, Err(Error::Unauthorized(Refusal::Expired))));
        one.scope(pay).remove().cascade().await.unwrap();
        assert!(matches!(client.retrieve().await, Err(Error::Unauthorized(Refusal::Unknown))));
    });
}

#[test]
fn a_publishable_key_is_rotated_and_the_former_one_goes_on_for_the_grace() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let scope = tenant.scope(pay);
        let body = host::payment_body(100, "EUR").replace('{', r#"{"session_expiry": 5184000, "#);
        let payment = scope.create_payment(read(&body).unwrap()).await.unwrap();
        let accepted = async |key: &str| match pay.authenticate_client(key, payment.client_secret.expose()).await {
            Ok(_) => None,
            Err(Error::Unauthorized(refusal)) => Some(refusal),
            Err(error) => panic!("{error:?}"),
        };
        let first = tenant.merchant.publishable_key.clone();
        let from = pay.log_head().await.unwrap();
        let rotated = scope.rotate_publishable_key(DAY).idempotency_key("r-1".parse().unwrap()).await.unwrap();
        let end = after(&world.clock, DAY);
        assert_eq!(
            (&rotated.former_publishable_key.publishable_key, rotated.former_publishable_key.ends),
            (&first, end)
        );
        assert_ne!(rotated.publishable_key, first);
        let log = pay.log(from.position, 10).await.unwrap();
        assert_eq!(
            (log.len(), log[0].changes.len(), log[0].class),
            (1, 1, CommitClass::Configuration),
            "{}",
            world.name
        );
        let again = scope.rotate_publishable_key(DAY).idempotency_key("r-1".parse().unwrap()).await.unwrap();
        assert_eq!(again, rotated, "{}", world.name);
        let now = scope.retrieve().await.unwrap();
        assert_eq!(now.publishable_key, rotated.publishable_key);
        assert_eq!(now.former_publishable_key.as_ref(), Some(&rotated.former_publishable_key));
        // Both work meanwhile, and a third one has to wait.
        let second = rotated.publishable_key.clone();
        assert_eq!((accepted(first.as_str()).await, accepted(second.as_str()).await), (None, None));
        let unchanged = snapshot(pay).await;
        let refused = scope.rotate_publishable_key(Duration::ZERO).await.unwrap_err();
        assert_eq!(refused.code(), "publishable_key.rotated");
        let refused = scope.rotate_publishable_key(DAY * 30 + Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.to_string().as_str()),
            ("grace.too_long", "`grace`: must be at most 30 days")
        );
        assert_eq!(snapshot(pay).await, unchanged, "{}", world.name);
        world.clock.step(DAY);
        assert_eq!(accepted(first.as_str()).await, Some(Refusal::RotatedOut), "{}", world.name);
        assert_eq!(accepted(second.as_str()).await, None);
        // Without a grace the former one has ended at once, and with one it can be ended.
        let third = scope.rotate_publishable_key(Duration::ZERO).await.unwrap().publishable_key;
        assert_eq!(
            (accepted(second.as_str()).await, accepted(third.as_str()).await),
            (Some(Refusal::RotatedOut), None)
        );
        assert_eq!(accepted(first.as_str()).await, Some(Refusal::Unknown));
        let fourth = scope.rotate_publishable_key(DAY).await.unwrap().publishable_key;
        assert_eq!(accepted(third.as_str()).await, None);
        let ended = scope.end_former_publishable_key().await.unwrap();
        assert_eq!(ended.former_publishable_key.unwrap().ends, world.clock.now());
        assert_eq!(
            (accepted(third.as_str()).await, accepted(fourth.as_str()).await),
            (Some(Refusal::RotatedOut), None)
        );
        let unchanged = snapshot(pay).await;
        scope.end_former_publishable_key().await.unwrap();
        assert_eq!(snapshot(pay).await, unchanged, "{}", world.name);
    });
}

/// CRC-32 as it is defined, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |rest: u32, _| (rest >> 1) ^ (0xedb8_8320 * (rest & 1));
    !bytes.iter().fold(u32::MAX, |rest, byte| (0..8).fold(rest ^ u32::from(*byte), bit))
}

/// Six digits of base62, the greatest first.
fn base62(number: u32) -> String {
    let symbols = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (0..6).rev().map(|place| char::from(symbols[usize::try_from(number / 62_u32.pow(place) % 62).unwrap()])).collect()
}

/// What the model knows of a key.
#[derive(Debug, Clone)]
struct Kept {
    id: ApiKeyId,
    token: String,
    ends: Option<Timestamp>,
    rotated: bool,
    revoked: bool,
    /// Under which process's pepper it is kept.
    pepper: usize,
    /// Whether a use of it was written down. The model's life is shorter than an hour.
    marked: bool,
}

impl Kept {
    fn expected(&self, now: Timestamp) -> Option<&'static str> {
        if self.revoked {
            return Some("gone");
        }
        let ended = self.ends.is_some_and(|end| end <= now);
        match (ended, self.rotated) {
            (false, _) => None,
            (true, false) => Some("expired"),
            (true, true) => Some("rotated_out"),
        }
    }
}

/// What the model knows of a process. A key is named by its number, and kept in memory by that and a pepper.
#[derive(Debug, Default)]
struct Process {
    /// Under which pepper the process has a key in memory, of those that it need not read again.
    held: HashMap<usize, usize>,
    /// Whose use of this hour it has noted.
    noted: HashSet<(usize, usize)>,
    /// How many uses it is to write down.
    uses: u64,
    /// Which keys it is to keep under its own pepper, and under which it found them.
    due: BTreeMap<usize, usize>,
}

impl Process {
    /// A key is used, and accepted. `own` is the number of the process.
    fn accepts(&mut self, own: usize, at: usize, key: &Kept) {
        self.reads(at, key);
        let pepper = self.held[&at];
        self.uses += u64::from(self.noted.insert((at, pepper)));
        if pepper != own {
            self.due.insert(at, pepper);
        }
    }

    /// A living key is used, accepted or not.
    fn reads(&mut self, at: usize, key: &Kept) {
        if let Entry::Vacant(held) = self.held.entry(at) {
            held.insert(key.pepper);
            if key.marked {
                self.noted.insert((at, key.pepper));
            }
        }
    }

    /// What maintenance did: how many uses it wrote down, and how many keys it keeps under another pepper since.
    fn maintains(&mut self, own: usize, keys: &mut [Kept]) -> (u64, u64) {
        for (at, _) in &self.noted {
            keys[*at].marked = true;
        }
        let mut digests = 0;
        for (at, found) in std::mem::take(&mut self.due) {
            if !keys[at].revoked && keys[at].pepper == found {
                keys[at].pepper = own;
                digests += 1;
            }
            self.noted.remove(&(at, found));
            if self.held.get(&at) == Some(&found) {
                self.held.remove(&at);
            }
        }
        (std::mem::take(&mut self.uses), digests)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Create(Option<u32>),
    Rotate(usize, u32),
    Revoke(usize),
    Ends(usize, Option<u32>),
    Advance(u32),
    Authenticate(usize, usize),
    Maintain(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let end = || prop::option::of(1..50_u32);
    prop_oneof![
        2 => end().prop_map(Step::Create),
        3 => (any::<usize>(), 0..40_u32).prop_map(|(at, grace)| Step::Rotate(at, grace)),
        2 => any::<usize>().prop_map(Step::Revoke),
        2 => (any::<usize>(), end()).prop_map(|(at, end)| Step::Ends(at, end)),
        3 => (1..20_u32).prop_map(Step::Advance),
        10 => (any::<usize>(), 0..2_usize).prop_map(|(at, process)| Step::Authenticate(at, process)),
        4 => (0..2_usize).prop_map(Step::Maintain),
    ]
}

/// Two master keys, each of which the other process has as the former one.
const PEPPERS: [(&str, &str); 2] = [("one", "5fa1"), ("two", "9c44")];

fn opened(store: &Arc<MemoryStore>, clock: &Arc<TestClock>, process: usize, bound: u64) -> PerfectPay {
    let key = |(id, digits): (&str, &str)| MasterKey::from_hex(id, &digits.repeat(16)).unwrap();
    let keyring = LocalKeyring::new(key(PEPPERS[process])).opening(key(PEPPERS[1 - process])).unwrap();
    let entropy = SeededEntropy::new(u64::try_from(process).unwrap());
    let settings = Settings::with_keyring(Arc::new(keyring)).clock(clock.clone()).entropy(Arc::new(entropy));
    block_on(PerfectPay::open(store.clone(), settings.staleness(Duration::from_secs(bound)))).unwrap()
}

/// Carries the steps out by the first of two processes, and uses keys by both, each of which keeps what it uses under a
/// pepper of its own. The second one looks at the log at every call: what it may see late is another test's.
#[allow(clippy::too_many_lines, reason = "a model is read beside what it models")]
fn agree(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(TestClock::at("2026-11-23T10:00:00Z".parse().unwrap()));
    let processes = [opened(&store, &clock, 0, 3_600), opened(&store, &clock, 1, 0)];
    let pay = &processes[0];
    let tenant = block_on(host::stand_up(pay, "acme")).unwrap();
    let scope = tenant.scope(pay);
    let kept = |issued: IssuedApiKey| Kept {
        id: issued.key_id.clone(),
        token: token(&issued).to_owned(),
        ends: issued.expiration.into(),
        rotated: false,
        revoked: false,
        pepper: 0,
        marked: false,
    };
    let mut keys: Vec<Kept> = vec![kept(tenant.key.clone())];
    let mut minds = [Process::default(), Process::default()];
    for step in steps {
        let now = clock.now();
        let ends = |end: Option<u32>| Expiration::from(end.map(|seconds| now.plus_seconds(seconds)));
        // Both read the account's keys again where one of them was changed.
        let mut changed = false;
        match step {
            Step::Create(end) => {
                let new = perfectpay::NewApiKey::new("k".parse().unwrap(), ends(end));
                keys.push(kept(block_on(async { scope.create_api_key(new).await }).unwrap()));
            }
            Step::Advance(seconds) => clock.step(Duration::from_secs(seconds.into())),
            Step::Rotate(at, grace) => {
                let at = at % keys.len();
                let old = keys[at].clone();
                let done = block_on(async { scope.api_key(&old.id).rotate(Duration::from_secs(grace.into())).await });
                let code = match old.expected(now) {
                    Some("gone") => Some("api_key.revoked"),
                    _ if old.rotated => Some("api_key.rotated"),
                    Some(_) => Some("api_key.expired"),
                    None => None,
                };
                prop_assert_eq!(done.as_ref().err().map(Error::code), code);
                if let Ok(issued) = done {
                    let end = now.plus_seconds(grace);
                    let new = kept(issued);
                    prop_assert_eq!(new.ends, old.ends);
                    keys[at] = Kept { ends: Some(old.ends.map_or(end, |own| own.min(end))), rotated: true, ..old };
                    keys.push(new);
                    changed = true;
                }
            }
            Step::Revoke(at) => {
                let at = at % keys.len();
                let done = block_on(async { scope.api_key(&keys[at].id).revoke().await });
                prop_assert_eq!(done.is_ok(), !keys[at].revoked);
                changed = done.is_ok();
                keys[at].revoked = true;
            }
            Step::Ends(at, end) => {
                let at = at % keys.len();
                let update = perfectpay::ApiKeyUpdate { expiration: Patch::Set(ends(end)), ..Default::default() };
                let same = keys[at].ends == Option::from(ends(end));
                let done = block_on(async { scope.api_key(&keys[at].id).update(update).await });
                prop_assert_eq!(done.is_ok(), !keys[at].revoked && (!keys[at].rotated || same));
                if done.is_ok() {
                    keys[at].ends = ends(end).into();
                    changed = !same;
                }
            }
            Step::Authenticate(at, process) => {
                let at = at % keys.len();
                let key = &keys[at];
                let found = match block_on(processes[process].verify(&key.token, None)).unwrap() {
                    Verdict::Valid(verified) => {
                        prop_assert_eq!(&verified.api_key().key_id, &key.id);
                        None
                    }
                    Verdict::Refused(Refusal::Unknown | Refusal::Revoked) => Some("gone"),
                    Verdict::Refused(refusal) => Some(refusal.into()),
                };
                prop_assert_eq!(found, key.expected(now), "by process {}", process);
                if found.is_none() {
                    minds[process].accepts(process, at, key);
                } else if !key.revoked {
                    minds[process].reads(at, key);
                }
            }
            Step::Maintain(process) => {
                let done = block_on(processes[process].maintain()).unwrap();
                let expected = minds[process].maintains(process, &mut keys);
                prop_assert_eq!((done.uses, done.digests), expected, "by process {}", process);
                prop_assert!(!done.more);
                for (pepper, (id, _)) in PEPPERS.iter().enumerate() {
                    let left = block_on(pay.left_under(&id.parse().unwrap())).unwrap().api_keys;
                    let expected = keys.iter().filter(|key| !key.revoked && key.pepper == pepper).count();
                    prop_assert_eq!(left, u64::try_from(expected).unwrap(), "under the pepper of process {}", pepper);
                }
                for key in &keys {
                    let shown = block_on(scope.api_key(&key.id).retrieve()).unwrap();
                    prop_assert_eq!(shown.last_used.is_some(), key.marked);
                }
            }
        }
        if changed {
            for mind in &mut minds {
                mind.held.clear();
            }
        }
    }
    Ok(())
}

/// Whether a token has the form of its kind.
type Check = fn(&str) -> bool;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_rotation_revocation_expiry_use_and_maintenance_agrees_with_the_model(
        steps in prop::collection::vec(step(), 0..60)
    ) {
        agree(steps)?;
    }

    #[test]
    fn the_check_of_a_key_and_its_published_pattern_agree(
        environment in "dev|integ|snd|prd", random in "[0-9A-Za-z]{58}", digits in "[0-9a-f]{24}",
        before in "[ \"=/:]{0,3}", after in "[ \"&\\n.]{0,3}", at in any::<usize>(), other in "[0-9A-Za-z_\\- ]",
    ) {
        let body = format!("{environment}_{random}");
        let token = format!("{body}{}", base62(crc32(body.as_bytes())));
        let body = format!("pk_{environment}_{digits}");
        let publishable = format!("{body}{:08x}", crc32(body.as_bytes()));
        let checks: [(&str, &str, Check); 2] = [
            (&token, TOKEN_PATTERN, Token::check),
            (&publishable, PUBLISHABLE_KEY_PATTERN, PublishableKey::check),
        ];
        for (key, pattern, check) in checks {
            let pattern = Regex::new(pattern).unwrap();
            prop_assert!(check(key), "{key}");
            // In running text the pattern finds it and no more.
            let text = format!("{before}{key}{after}");
            prop_assert_eq!(pattern.find(&text).map(|found| found.as_str()), Some(key));
            prop_assert_eq!(check(&text), text.len() == key.len());
            // One character otherwise, or one less, or one more, it is none; whatever is one matches as a whole.
            let (front, back) = key.split_at(at % key.len());
            for text in [format!("{front}{other}{}", &back[1..]), format!("{front}{}", &back[1..]), format!("{key}{other}")] {
                prop_assert_eq!(check(&text), text == key, "{}", text);
                prop_assert!(!check(&text) || pattern.find(&text).is_some_and(|found| found.len() == text.len()));
            }
        }
    }

    #[test]
    fn no_text_but_a_token_is_one(text in "\\PC{0,80}", random in "(dev|integ|snd|prd)_[0-9A-Za-z]{64}") {
        prop_assert!(!Token::check(&text));
        // One in four thousand million random ones has the right checksum by chance.
        prop_assert!(!Token::check(&random));
    }
}
