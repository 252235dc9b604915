//! Claims on one payment link by several processes that share a file: together they get exactly the uses that it has.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and a process of this one says what it got"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use futures_lite::future::block_on;
use perfectpay::{
    LinkClaim, LinkState, MasterKey, MerchantId, MerchantScope, NewPaymentLink, PageRequest, PaymentLinkId, PerfectPay,
    Settings, Uses, json,
};
use perfectpay_sqlite::{Durability, SqliteOptions};
use perfectpay_testkit::host;

/// How many processes claim, each on so many threads.
const PROCESSES: usize = 4;
const THREADS: usize = 3;
/// How many uses the link has, and how often each thread claims.
const USES: usize = 30;
const CLAIMS: usize = 8;

/// The library on the file, with the system's clock and randomness.
fn opened(path: &Path) -> PerfectPay {
    let store = SqliteOptions::new(path).durability(Durability::Normal).open().unwrap();
    let master_key = MasterKey::from_hex(host::MASTER_KEY_ID, host::MASTER_KEY_HEX).unwrap();
    let settings = Settings::new(master_key).base_url(host::BASE_URL.parse().unwrap());
    block_on(PerfectPay::open(Arc::new(store), settings)).unwrap()
}

/// Claims, and confirms every other use that it got; answers their ids.
fn claims(scope: &MerchantScope, link: &PaymentLinkId) -> Vec<String> {
    let mut mine = Vec::new();
    for _ in 0..CLAIMS {
        match block_on(scope.payment_link(link).claim(LinkClaim::default()).into_future()) {
            Ok(claimed) => {
                let id = claimed.link_use.link_use_id;
                if mine.len() % 2 == 0 {
                    block_on(scope.link_use(&id).confirm().into_future()).unwrap();
                }
                mine.push(id.to_string());
            }
            Err(error) => {
                assert!(["payment_link.held", "payment_link.used_up"].contains(&error.code()), "{error:?}");
            }
        }
    }
    mine
}

/// Not a test of its own: what a process of the one below does.
#[test]
fn as_one_of_the_processes_that_claim() {
    let Ok(path) = std::env::var("PERFECTPAY_TEST_FILE") else { return };
    let link: PaymentLinkId = std::env::var("PERFECTPAY_TEST_LINK").unwrap().parse().unwrap();
    let scope = opened(Path::new(&path)).merchant(&"acme".parse::<MerchantId>().unwrap());
    thread::scope(|threads| {
        let started: Vec<_> = (0..THREADS).map(|_| threads.spawn(|| claims(&scope, &link))).collect();
        for id in started.into_iter().flat_map(|thread| thread.join().unwrap()) {
            println!("@{id}");
        }
    });
}

fn started(path: &Path, link: &PaymentLinkId) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["as_one_of_the_processes_that_claim", "--exact", "--nocapture"])
        .env("PERFECTPAY_TEST_FILE", path)
        .env("PERFECTPAY_TEST_LINK", link.as_str())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn processes_that_share_a_file_never_claim_more_than_a_link_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let pay = opened(&path);
    let scope = block_on(host::stand_up(&pay, "acme")).unwrap().scope(&pay);
    let body = format!(
        r#"{{"amount": 1000, "currency": "EUR", "kind": {{"limited": {USES}}}, "return_url": "https://shop.example"}}"#
    );
    let new: NewPaymentLink = json::from_slice(body.as_bytes()).unwrap();
    let link = block_on(scope.create_payment_link(new).into_future()).unwrap().payment_link_id;

    let processes: Vec<Child> = (0..PROCESSES).map(|_| started(&path, &link)).collect();
    let mut ids = BTreeSet::new();
    let mut won = 0;
    for process in processes {
        let done = process.wait_with_output().unwrap();
        let told = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success(), "{told}");
        let mine = told.lines().filter_map(|line| line.split_once('@')).map(|(_, id)| id.to_owned());
        won += mine.map(|id| assert!(ids.insert(id), "one use went to two")).count();
    }
    assert_eq!(won, USES, "of {} claims", PROCESSES * THREADS * CLAIMS);
    let seen = block_on(scope.payment_link(&link).retrieve()).unwrap();
    let Uses { confirmed, held } = seen.uses;
    assert_eq!((confirmed + held, seen.state), (30, LinkState::Held));
    let listed = block_on(scope.payment_link(&link).uses(PageRequest::of(100).unwrap())).unwrap();
    let listed: BTreeSet<String> = listed.items.into_iter().map(|used| used.link_use_id.to_string()).collect();
    assert_eq!(listed, ids, "what is kept is what was answered");
}
