//! What the tests of this folder share: every back-end, the library opened on it, and a picture of all that it answers.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::needless_pass_by_value, reason = "a test is a closure, written where it is handed over")]

use std::path::PathBuf;
use std::sync::Arc;

use futures_lite::future::block_on;
use perfectpay::store::{LogPosition, Store};
use perfectpay::{BlockKind, Cursor, Error, Page, PageRequest, PerfectPay, Settings, json};
use perfectpay_memory::MemoryStore;
use perfectpay_sqlite::{Durability, SqliteOptions, SqliteStore};
use perfectpay_testkit::host::{self, TestClock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A fresh store of one back-end.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) store: Arc<dyn Store>,
    /// Where its files are, if it has any.
    pub(crate) folder: Option<PathBuf>,
    /// Removes them in the end.
    _keep: Option<tempfile::TempDir>,
}

/// A fresh store of every back-end.
pub(crate) fn backends() -> Vec<Backend> {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteOptions::new(folder.path().join("accounts.db")).durability(Durability::Normal).open().unwrap();
    vec![
        Backend { name: "memory", store: Arc::new(MemoryStore::new()), folder: None, _keep: None },
        Backend {
            name: "SQLite in memory",
            store: Arc::new(SqliteStore::in_memory().unwrap()),
            folder: None,
            _keep: None,
        },
        Backend {
            name: "SQLite file",
            store: Arc::new(file),
            folder: Some(folder.path().to_owned()),
            _keep: Some(folder),
        },
    ]
}

/// The library on a fresh store, with the clock that it reads.
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) pay: PerfectPay,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) backend: Backend,
}

impl World {
    pub(crate) fn on(backend: Backend) -> Self {
        Self::with(backend, |settings| settings)
    }

    pub(crate) fn with(backend: Backend, choose: impl FnOnce(Settings) -> Settings) -> Self {
        let clock = Arc::new(TestClock::default());
        let settings = choose(host::settings().unwrap().clock(clock.clone()));
        let pay = block_on(PerfectPay::open(backend.store.clone(), settings)).unwrap();
        Self { name: backend.name, pay, clock, backend }
    }

    /// The library once more on the same store, as another process or a later start would open it.
    pub(crate) async fn reopened(&self, choose: impl FnOnce(Settings) -> Settings) -> PerfectPay {
        let settings = choose(host::settings().unwrap().clock(self.clock.clone()));
        PerfectPay::open(self.backend.store.clone(), settings).await.unwrap()
    }
}

/// Runs a test on every back-end.
pub(crate) fn on_every_backend(test: impl AsyncFn(&World)) {
    for backend in backends() {
        let world = World::on(backend);
        block_on(test(&world));
    }
}

/// Reads a body.
pub(crate) fn read<T: DeserializeOwned>(body: &str) -> Result<T, Error> {
    json::from_slice(body.as_bytes())
}

/// The JSON of an answer.
pub(crate) fn shown(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap()
}

async fn every<T>(next: impl AsyncFn(PageRequest) -> Result<Page<T>, Error>) -> Vec<T> {
    let mut items = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = next(PageRequest::of(100).unwrap().after(cursor)).await.unwrap();
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return items;
        }
    }
}

/// Everything that the library answers of a store, versions included, and where the log ends: equal before and after
/// what changed nothing.
pub(crate) async fn snapshot(pay: &PerfectPay) -> Vec<String> {
    let mut lines = vec![format!("{:?}", pay.log_head().await.unwrap())];
    for organization in every(async |page| pay.organizations(page).await).await {
        lines.push(format!("{organization:?}"));
        let scope = pay.organization(&organization.organization_id);
        for merchant in every(async |page| scope.merchants(page).await).await {
            lines.push(format!("{merchant:?}"));
            let scope = scope.merchant(&merchant.merchant_id);
            lines.extend(every(async |page| scope.profiles(page).await).await.iter().map(|x| format!("{x:?}")));
            lines.extend(every(async |page| scope.connectors(page).await).await.iter().map(|x| format!("{x:?}")));
            lines.extend(every(async |page| scope.api_keys(page).await).await.iter().map(|x| format!("{x:?}")));
            lines.extend(every(async |page| scope.payments(page).await).await.iter().map(|x| format!("{x:?}")));
            lines.extend(every(async |page| scope.payment_links(page).await).await.iter().map(|x| format!("{x:?}")));
            for kind in [None, Some(BlockKind::CardBin), Some(BlockKind::ExtendedCardBin), Some(BlockKind::Fingerprint)]
            {
                let page = PageRequest::of(100).unwrap();
                lines.push(format!("{:?}", scope.blocklist().entries(kind, page).await.unwrap()));
            }
            let card = "4111111111111111".parse().unwrap();
            lines.push(format!("{:?}", scope.blocklist().screen(&card).await.unwrap()));
        }
    }
    let log = pay.log(LogPosition::START, 1_000).await.unwrap();
    lines.push(format!("{} entries", log.len()));
    lines
}

/// The code of an error, and the path of what is wrong where it is an input.
pub(crate) fn told(error: &Error) -> (String, String) {
    let path = match error {
        Error::Invalid(fault) => fault.path().to_owned(),
        _ => String::new(),
    };
    (error.code().to_owned(), path)
}
