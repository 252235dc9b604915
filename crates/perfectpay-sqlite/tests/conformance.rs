//! The contract of a Store, held against a file, a file that one store has alone, and a database in memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use perfectpay::store::Store;
use perfectpay_sqlite::{SqliteOptions, SqliteStore};
use perfectpay_testkit::Fixture;
use tempfile::TempDir;

/// A file in a folder of its own.
#[derive(Debug)]
struct File {
    store: Option<Arc<SqliteStore>>,
    folder: TempDir,
    exclusive: bool,
}

impl File {
    fn new(exclusive: bool) -> Self {
        let mut file = Self { store: None, folder: tempfile::tempdir().unwrap(), exclusive };
        file.open();
        file
    }

    fn open(&mut self) {
        let options = SqliteOptions::new(self.folder.path().join("accounts.db")).exclusive(self.exclusive);
        self.store = Some(Arc::new(options.open().unwrap()));
    }
}

impl Drop for File {
    /// Whatever the contract's cases commit, what they leave is a healthy file.
    fn drop(&mut self) {
        if let Some(store) = &self.store
            && !std::thread::panicking()
        {
            assert_eq!(store.verify(|_| {}).unwrap().faults, []);
        }
    }
}

impl Fixture for File {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().unwrap()
    }

    fn reopen(&mut self) -> bool {
        // The file has one owner at a time: what it holds is on the disk before it is opened again.
        drop(self.store.take());
        self.open();
        true
    }
}

mod file {
    use super::File;

    fn open() -> File {
        File::new(false)
    }

    perfectpay_testkit::conformance!(open);
}

mod exclusive {
    use super::File;

    fn open() -> File {
        File::new(true)
    }

    perfectpay_testkit::conformance!(open);
}

mod in_memory {
    use std::sync::Arc;

    use perfectpay_sqlite::SqliteStore;

    fn open() -> Arc<SqliteStore> {
        Arc::new(SqliteStore::in_memory().unwrap())
    }

    perfectpay_testkit::conformance!(open);
}
