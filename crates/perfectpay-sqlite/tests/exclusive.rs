//! A store that has its file alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{a_whole_tree, apply, bytes, creating, in_organization, organization};
use futures_lite::future::block_on;
use perfectpay::store::Store;
use perfectpay::{Error, Unavailability};
use perfectpay_sqlite::{SqliteOptions, SqliteStore};

fn exclusive(path: &Path) -> SqliteOptions {
    SqliteOptions::new(path).exclusive(true).busy_timeout(Duration::from_millis(50))
}

fn is_busy(answer: &Result<SqliteStore, Error>) -> bool {
    matches!(answer, Err(Error::Unavailable { reason: Unavailability::Busy, .. }))
}

#[test]
fn there_is_no_shared_memory_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    for expected in 1..3 {
        let store = exclusive(&path).open().unwrap();
        apply(&store, creating(in_organization(expected), [organization(expected).into()]));
        assert_eq!(block_on(store.head()).unwrap().position.as_u64(), expected);
        assert_eq!(bytes(folder.path()).into_keys().collect::<Vec<_>>(), ["accounts.db", "accounts.db-wal"]);
    }
    assert_eq!(bytes(folder.path()).into_keys().collect::<Vec<_>>(), ["accounts.db"]);
}

#[test]
fn whoever_comes_second_is_told_that_the_file_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let shared = || SqliteOptions::new(&path).busy_timeout(Duration::from_millis(50)).open();
    let first = exclusive(&path).open().unwrap();
    assert!(is_busy(&exclusive(&path).open()));
    assert!(is_busy(&shared()));
    apply(&first, creating(in_organization(1), [organization(1).into()]));
    drop(first);
    let first = shared().unwrap();
    assert!(is_busy(&exclusive(&path).open()));
    drop(first);
    // And again on a file that has everything already, so that opening it writes nothing.
    let _first = exclusive(&path).open().unwrap();
    assert!(is_busy(&exclusive(&path).open()));
    assert!(is_busy(&shared()));
}

/// Not a test of its own: what [`another_process_is_told_that_the_file_is_busy`] runs.
#[test]
fn as_another_process() {
    let Ok(path) = std::env::var("PERFECTPAY_TEST_FILE") else { return };
    assert!(is_busy(&SqliteOptions::new(&path).busy_timeout(Duration::from_millis(50)).open()));
}

#[test]
fn another_process_is_told_that_the_file_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let _store = exclusive(&path).open().unwrap();
    let other = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["as_another_process", "--exact"])
        .env("PERFECTPAY_TEST_FILE", &path)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(other.unwrap().success());
}

#[test]
fn a_file_that_was_not_closed_opens_alone_with_everything_in_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
    for set in a_whole_tree() {
        apply(&store, set);
    }
    let copy = tempfile::tempdir().unwrap();
    for name in ["accounts.db", "accounts.db-wal"] {
        std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let copied = exclusive(&copy.path().join("accounts.db")).open().unwrap();
    assert_eq!(block_on(copied.head()).unwrap(), block_on(store.head()).unwrap());
    assert!(!copy.path().join("accounts.db-shm").exists());
}
