//! Backups of a living store.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{a_whole_tree, apply, bytes, count, creating, in_organization, organization};
use futures_lite::future::block_on;
use perfectpay::store::Store;
use perfectpay_sqlite::{SqliteOptions, SqliteStore, Step};

/// A store with so many organizations, a hundred a commit.
fn filled(path: &std::path::Path, exclusive: bool, hundreds: u64) -> SqliteStore {
    let store = SqliteOptions::new(path).exclusive(exclusive).open().unwrap();
    for hundred in 0..hundreds {
        let records = (hundred * 100..(hundred + 1) * 100).map(|number| organization(number).into());
        apply(&store, creating(in_organization(hundred * 100), records));
    }
    store
}

#[test]
fn a_backup_is_one_private_file_that_opens_as_a_store_with_all_of_it() {
    use std::os::unix::fs::PermissionsExt as _;
    for exclusive in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(&folder.path().join("accounts.db"), exclusive, 5);
        let target = tempfile::tempdir().unwrap();
        let path = target.path().join("backup.db");
        let (mut copied, mut verified) = (Vec::new(), Vec::new());
        store
            .backup(&path, |progress| match progress.step {
                Step::Copying => copied.push((progress.done, progress.total)),
                Step::Verifying => verified.push((progress.done, progress.total)),
            })
            .unwrap();
        for told in [&copied, &verified] {
            assert!(told.is_sorted() && told.iter().all(|(_, total)| *total == told[0].1), "{told:?}");
            assert_eq!(told.last().unwrap().0, told[0].1);
        }
        assert_eq!(bytes(target.path()).into_keys().collect::<Vec<_>>(), ["backup.db"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(copied[0].1 * 4096, fs::metadata(&path).unwrap().len());
        let restored = SqliteStore::open(&path).unwrap();
        assert_eq!(block_on(restored.head()).unwrap(), block_on(store.head()).unwrap());
        assert_eq!(count(&path, "SELECT count(*) FROM pp_organization"), 500);
        apply(&restored, creating(in_organization(9_000), [organization(9_000).into()]));
    }
}

#[test]
fn a_store_in_memory_is_backed_up_into_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup.db");
    let store = SqliteStore::in_memory().unwrap();
    for set in a_whole_tree() {
        apply(&store, set);
    }
    store.backup(&path, |_| {}).unwrap();
    let restored = SqliteStore::open(&path).unwrap();
    assert_eq!(block_on(restored.head()).unwrap(), block_on(store.head()).unwrap());
}

#[test]
fn a_backup_of_a_shared_file_has_the_hosts_tables_and_marks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 42; CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .unwrap();
    let store = SqliteOptions::new(&path).shared_with_host(true).open().unwrap();
    let copy = folder.path().join("backup.db");
    store.backup(&copy, |_| {}).unwrap();
    assert_eq!(count(&copy, "SELECT count(*) FROM theirs"), 1);
    assert_eq!(count(&copy, "PRAGMA user_version"), 42);
    SqliteOptions::new(&copy).shared_with_host(true).open().unwrap();
}

#[test]
fn nothing_is_replaced_and_a_failure_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let store = filled(&path, false, 1);
    let target = tempfile::tempdir().unwrap();
    for there in ["backup.db", "backup.db-wal", "backup.db-journal"] {
        fs::write(target.path().join(there), "x").unwrap();
        let error = store.backup(target.path().join("backup.db"), |_| {}).unwrap_err();
        assert_eq!(error.code(), "backup.target_exists");
        assert_eq!(fs::read(target.path().join(there)).unwrap(), b"x");
        fs::remove_file(target.path().join(there)).unwrap();
    }
    assert_eq!(store.backup(&path, |_| {}).unwrap_err().code(), "backup.target_exists");
    assert!(store.backup(target.path().join("none").join("backup.db"), |_| {}).is_err());
    // One that appears while the copy is made.
    let late = target.path().join("backup.db");
    let error = store.backup(&late, |_| fs::write(&late, "x").unwrap()).unwrap_err();
    assert_eq!(error.code(), "backup.target_exists");
    assert_eq!(bytes(target.path()).into_keys().collect::<Vec<_>>(), ["backup.db"]);
}

#[test]
fn a_database_with_a_fault_gives_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let store = filled(&path, false, 1);
    rusqlite::Connection::open(&path).unwrap().execute("UPDATE pp_organization SET version = 2", []).unwrap();
    let target = tempfile::tempdir().unwrap();
    let error = store.backup(target.path().join("backup.db"), |_| {}).unwrap_err();
    assert_eq!(error.code(), "corrupt");
    assert!(bytes(target.path()).is_empty());
}

#[test]
fn commits_go_on_while_a_backup_is_made_and_it_is_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder.path().join("accounts.db"), false, 100);
    let backed_up = AtomicBool::new(false);
    let copy = folder.path().join("backup.db");
    let before = block_on(store.head()).unwrap().position;
    let commits = |from: u64, enough: &dyn Fn(usize) -> bool| {
        let mut took = Vec::new();
        while !enough(took.len()) {
            let number = from + took.len() as u64;
            let started = Instant::now();
            apply(&store, creating(in_organization(number), [organization(number).into()]));
            took.push(started.elapsed());
        }
        took.sort();
        took
    };
    let percentile = |took: &[Duration], of: usize| took[(took.len() - 1) * of / 100];
    let alone = commits(100_000, &|n| n >= 500);
    let took = std::thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let answer = store.backup(&copy, |_| {});
            // Whatever it was, nobody goes on for ever.
            backed_up.store(true, Ordering::SeqCst);
            answer.unwrap();
        });
        let took = commits(200_000, &|_| backed_up.load(Ordering::SeqCst));
        beside.join().unwrap();
        took
    });
    let pages = fs::metadata(&copy).unwrap().len() / 4096;
    println!(
        "{pages} pages; {} commits alone: p50 {:?} p99 {:?} max {:?}; {} beside: p50 {:?} p99 {:?} max {:?}",
        alone.len(),
        percentile(&alone, 50),
        percentile(&alone, 99),
        percentile(&alone, 100),
        took.len(),
        percentile(&took, 50),
        percentile(&took, 99),
        percentile(&took, 100),
    );
    // They did go on, and none waited for all of it.
    assert!(took.len() > 1);
    let restored = SqliteStore::open(&copy).unwrap();
    let at = block_on(restored.head()).unwrap().position;
    assert!(at > before && at <= block_on(store.head()).unwrap().position);
    assert_eq!(u64::try_from(count(&copy, "SELECT count(*) FROM pp_log")).unwrap(), at.as_u64());
}
