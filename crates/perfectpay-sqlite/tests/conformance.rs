//! The contract of a Store, held against a file and against a database in memory.
#![allow(clippy::unwrap_used, reason = "a fixture that cannot be opened fails its case")]

use std::sync::Arc;

use perfectpay::store::Store;
use perfectpay_sqlite::SqliteStore;
use perfectpay_testkit::Fixture;
use tempfile::TempDir;

/// A file in a folder of its own.
#[derive(Debug)]
struct File {
    store: Option<Arc<SqliteStore>>,
    folder: TempDir,
}

impl File {
    fn open(folder: &TempDir) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(folder.path().join("accounts.db")).unwrap())
    }
}

impl Fixture for File {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().unwrap()
    }

    fn reopen(&mut self) -> bool {
        // The file has one owner at a time: what it holds is on the disk before it is opened again.
        drop(self.store.take());
        self.store = Some(Self::open(&self.folder));
        true
    }
}

mod file {
    use super::File;

    fn open() -> File {
        let folder = tempfile::tempdir().unwrap();
        File { store: Some(File::open(&folder)), folder }
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
