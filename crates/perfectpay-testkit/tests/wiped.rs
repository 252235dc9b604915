//! Secrets are wiped when they are done with: a process brings some in, works with them, lets go of everything, and looks
//! through its own memory. In a program of its own, since it looks at all of it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics is a test that failed")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use futures_lite::future::block_on;
use perfectpay::{ConnectorAuth, NewConnector, PerfectPay, json};
use perfectpay_sqlite::SqliteStore;
use perfectpay_testkit::host;
use secrecy::ExposeSecret as _;
use zeroize::{Zeroize as _, Zeroizing};

/// What hides a secret from the search: nothing in the program has it in clear.
const VEIL: u8 = 0x5a;

/// A secret that the program has only veiled.
struct Veiled(Vec<u8>);

impl Veiled {
    fn new(seed: u8) -> Self {
        Self((0..40).map(|at| (b'a' + (at % 26 * 7 + seed) % 26) ^ VEIL).collect())
    }

    fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len()));
        text.extend(self.0.iter().map(|byte| char::from(byte ^ VEIL)));
        text
    }

    /// How many copies of it are in the writable memory of this process.
    fn copies(&self) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut copies = 0;
        // Read anew in pieces that overlap by all but one byte of a secret.
        let mut piece = vec![0_u8; 1 << 20];
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (range, _) = line.split_once(' ').unwrap();
            let (from, to) = range.split_once('-').unwrap();
            let (mut from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
            while from < to {
                let wanted = usize::try_from(to - from).unwrap().min(piece.len());
                // Some of the kernel's own pages cannot be read.
                let Ok(read) = memory.read_at(&mut piece[..wanted], from) else { break };
                let first = self.0[0] ^ VEIL;
                for (at, _) in piece[..read].iter().enumerate().filter(|(_, byte)| **byte == first) {
                    let here =
                        piece[at..read].iter().zip(&self.0).take_while(|(byte, veiled)| **byte ^ VEIL == **veiled);
                    copies += usize::from(here.count() == self.0.len());
                }
                piece[..read].zeroize();
                if read < wanted || from + u64::try_from(read).unwrap() >= to {
                    break;
                }
                from += u64::try_from(read - (self.0.len() - 1)).unwrap();
            }
        }
        copies
    }
}

fn body(key: &str) -> Zeroizing<String> {
    let (before, after) = (
        r#"{"connector_type": "payment_processor", "connector_name": "stripe", "connector_account_details": {"auth_type": "HeaderKey", "api_key": ""#,
        r#""}}"#,
    );
    let mut text = Zeroizing::new(String::with_capacity(before.len() + key.len() + after.len()));
    text.push_str(before);
    text.push_str(key);
    text.push_str(after);
    text
}

#[test]
fn of_a_credential_that_was_sealed_revealed_and_sealed_anew_no_copy_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, secret) = (Veiled::new(1), Veiled::new(2));
    let held = kept.text();
    block_on(async {
        let store = Arc::new(SqliteStore::open(folder.path().join("accounts.db")).unwrap());
        let pay = PerfectPay::open(store, host::settings().unwrap()).await.unwrap();
        let tenant = host::stand_up(&pay, "acme").await.unwrap();
        let scope = tenant.scope(&pay);
        let new: NewConnector = json::from_slice(body(&secret.text()).as_bytes()).unwrap();
        let made = scope.create_connector(new).idempotency_key("once".parse().unwrap()).await.unwrap();
        let handle = scope.connector(&made.merchant_connector_id);
        handle.retrieve().await.unwrap();
        let revealed = handle.reveal_credentials().await.unwrap();
        let ConnectorAuth::HeaderKey { api_key } = &revealed else { unreachable!("it is what was sent") };
        assert_eq!(api_key.expose_secret(), secret.text().as_str());
        assert!(secret.copies() > 0, "the search finds what is there");
        drop(revealed);
        scope.rotate_data_key(|_| {}).await.unwrap();
        handle.reveal_credentials().await.unwrap();
    });
    assert_eq!((kept.copies() > 0, secret.copies()), (true, 0));
    drop(held);
}
