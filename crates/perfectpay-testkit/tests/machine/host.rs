//! The host's side of a test: a clock that is set, randomness that repeats, and every back-end there is.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_lite::future::block_on;
use perfectpay::store::Store;
use perfectpay::{Clock, Entropy, MasterKey, PerfectPay, Settings, Timestamp};
use perfectpay_memory::MemoryStore;
use perfectpay_sqlite::{Durability, SqliteOptions, SqliteStore};

/// When every test begins, in Unix milliseconds.
pub(crate) const BEGINNING: i64 = 1_800_000_000_000;
/// For how many seconds the tests' idempotency keys are kept.
pub(crate) const IDEMPOTENCY_SECONDS: u32 = 7_200;

/// A clock that stands until it is set.
#[derive(Debug)]
pub(crate) struct SetClock(AtomicI64);

impl SetClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(BEGINNING)))
    }

    pub(crate) fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.load(Ordering::SeqCst)).expect("a time within four digits of a year")
    }
}

/// Randomness that is the same for the same seed: `SplitMix64`.
#[derive(Debug)]
pub(crate) struct Repeated(Mutex<u64>);

impl Repeated {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(seed)))
    }
}

impl Entropy for Repeated {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            chunk.copy_from_slice(&z.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A back-end, and what must outlive it.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    pub(crate) store: Arc<dyn Store>,
    _folder: Option<tempfile::TempDir>,
}

fn memory() -> Engine {
    Engine { name: "memory", store: Arc::new(MemoryStore::new()), _folder: None }
}

fn sqlite_in_memory() -> Engine {
    let store = SqliteStore::in_memory().expect("a database in memory opens");
    Engine { name: "SQLite in memory", store: Arc::new(store), _folder: None }
}

fn sqlite_file() -> Engine {
    let folder = tempfile::tempdir().expect("a folder");
    // What a machine does when its power fails is not asked here; syncing would take most of the time.
    let file = SqliteOptions::new(folder.path().join("accounts.db")).durability(Durability::Normal);
    let store = file.open().expect("a new file opens");
    Engine { name: "SQLite on a file", store: Arc::new(store), _folder: Some(folder) }
}

/// Makes a fresh store of each kind. A new back-end is added here and nowhere else.
pub(crate) const BACKENDS: [fn() -> Engine; 3] = [memory, sqlite_in_memory, sqlite_file];

/// One fresh store of every kind.
pub(crate) fn backends() -> Vec<Engine> {
    BACKENDS.iter().map(|fresh| fresh()).collect()
}

/// The library on a store, with the same clock and the same randomness wherever it is opened.
pub(crate) fn open(store: Arc<dyn Store>, clock: Arc<SetClock>) -> PerfectPay {
    open_with(store, clock, 7)
}

/// The same with randomness from another seed.
pub(crate) fn open_with(store: Arc<dyn Store>, clock: Arc<SetClock>, seed: u64) -> PerfectPay {
    let master = MasterKey::from_hex("2026-11", &"5fa1".repeat(16)).expect("a master key");
    let settings = Settings::new(master)
        .base_url("https://pay.example.com".parse().expect("a URL"))
        .idempotency_seconds(IDEMPOTENCY_SECONDS)
        .clock(clock)
        .entropy(Repeated::new(seed));
    block_on(PerfectPay::open(store, settings)).expect("a fresh store opens")
}
