//! API keys that two processes use on one file: what one revokes, the other refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use perfectpay::{
    ApiKeyId, Error, IssuedApiKey, MasterKey, MerchantScope, NewMerchant, NewOrganization, PerfectPay, Refusal,
    Settings, Verdict, json,
};
use perfectpay_sqlite::SqliteStore;

fn open(path: &Path, bound: Duration) -> PerfectPay {
    let store = Arc::new(SqliteStore::open(path).unwrap());
    let master = MasterKey::from_hex("2026-11", &"5fa1".repeat(16)).unwrap();
    block_on(PerfectPay::open(store, Settings::new(master).staleness(bound))).unwrap()
}

async fn account(pay: &PerfectPay) -> MerchantScope {
    let group = pay.create_organization(NewOrganization::named("Acme".parse().unwrap())).await.unwrap();
    let group = pay.organization(&group.organization_id);
    let shop = group.create_merchant(NewMerchant::with_id("acme".parse().unwrap())).await.unwrap();
    group.merchant(&shop.merchant_id)
}

async fn key(shop: &MerchantScope) -> (ApiKeyId, String) {
    let body = br#"{"name": "Key", "expiration": "never"}"#;
    let issued: IssuedApiKey = shop.create_api_key(json::from_slice(body).unwrap()).await.unwrap();
    (issued.key_id, issued.api_key.unwrap().expose().to_owned())
}

/// What comes of a token, in a word.
async fn word(pay: &PerfectPay, token: &str) -> String {
    match pay.verify(token, None).await.unwrap() {
        Verdict::Valid(_) => "valid".to_owned(),
        Verdict::Refused(refusal) => refusal.to_string(),
    }
}

/// Another process on the file, which says what comes of the tokens that it is told.
struct Other {
    process: Child,
    ask: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Other {
    fn start(path: &Path, bound: Duration) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["as_the_other_process", "--exact"])
            .env("PERFECTPAY_TEST_FILE", path)
            .env("PERFECTPAY_TEST_BOUND", bound.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (ask, hear) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, ask, hear }
    }

    fn word(&mut self, token: &str) -> String {
        writeln!(self.ask, "{token}").unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.hear.read_line(&mut line).unwrap() > 0, "the other process ended");
            // What the test runner writes itself has no such sign.
            if let Some((_, word)) = line.split_once('@') {
                return word.trim_end().to_owned();
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Not a test of its own: what the tests below run in a process of its own.
#[test]
fn as_the_other_process() {
    let Ok(path) = std::env::var("PERFECTPAY_TEST_FILE") else { return };
    let bound = std::env::var("PERFECTPAY_TEST_BOUND").unwrap().parse().unwrap();
    let pay = open(Path::new(&path), Duration::from_millis(bound));
    let mut told = String::new();
    while std::io::stdin().read_line(&mut told).unwrap() > 0 {
        let word = block_on(word(&pay, told.trim_end()));
        std::io::stdout().write_all(format!("@{word}\n").as_bytes()).unwrap();
        told.clear();
    }
}

#[test]
fn under_the_bound_zero_the_very_next_call_of_another_process_refuses_a_revoked_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let pay = open(&path, Duration::ZERO);
    let shop = block_on(account(&pay));
    let mut other = Other::start(&path, Duration::ZERO);
    for turn in 0..200 {
        let (id, token) = block_on(key(&shop));
        assert_eq!(other.word(&token), "valid", "turn {turn}");
        block_on(async { shop.api_key(&id).revoke().await }).unwrap();
        assert_eq!(other.word(&token), "revoked", "turn {turn}");
        assert_eq!(block_on(word(&pay, &token)), "unknown", "it was never used here: turn {turn}");
    }
}

#[test]
fn another_process_refuses_a_revoked_key_once_the_bound_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let pay = open(&path, Duration::from_secs(3_600));
    let shop = block_on(account(&pay));
    let bound = Duration::from_millis(50);
    let mut other = Other::start(&path, bound);
    for turn in 0..20 {
        let (id, token) = block_on(key(&shop));
        assert_eq!(other.word(&token), "valid", "turn {turn}");
        assert_eq!(block_on(word(&pay, &token)), "valid");
        block_on(async { shop.api_key(&id).revoke().await }).unwrap();
        // The process that revoked it knows at once, whatever its bound.
        assert_eq!(block_on(word(&pay, &token)), "revoked");
        thread::sleep(bound);
        assert_eq!(other.word(&token), "revoked", "turn {turn}");
    }
    let (_, token) = block_on(key(&shop));
    assert_eq!(other.word(&token), "valid");
    block_on(async { shop.remove().cascade().await }).unwrap();
    thread::sleep(bound);
    assert_eq!(other.word(&token), "revoked", "its account went");
}

#[test]
fn two_handles_on_one_file_agree_after_a_catch_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let hour = Duration::from_secs(3_600);
    let (one, two) = (open(&path, hour), open(&path, hour));
    block_on(async {
        let shop = account(&one).await;
        let (id, token) = key(&shop).await;
        let caller = two.authenticate(&token).await.unwrap();
        caller.merchant().retrieve().await.unwrap();
        let freshness = two.freshness();
        shop.api_key(&id).revoke().await.unwrap();
        // Within the bound the other one may still accept it, and says how current it is.
        assert_eq!(word(&two, &token).await, "valid");
        assert_eq!(two.freshness(), freshness);
        assert!(two.catch_up().await.unwrap().position > freshness.position);
        assert_eq!(word(&two, &token).await, "revoked");
        let refused = caller.merchant().retrieve().await;
        assert!(matches!(refused, Err(Error::Unauthorized(Refusal::Revoked))));
    });
}
