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
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
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

/// Not a test of its own: what the next one runs, and kills. It stays in its backup until then.
#[test]
fn as_another_process() {
    let Ok(path) = std::env::var("PERFECTPAY_TEST_FILE") else { return };
    let store = SqliteStore::open(&path).unwrap();
    let stay = |_| {
        println!("begun");
        let _end = std::io::stdin().read(&mut [0]);
    };
    store.backup(std::env::var("PERFECTPAY_TEST_TARGET").unwrap(), stay).unwrap();
}

#[test]
fn what_a_killed_backup_left_behind_goes_with_the_next_one_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let store = filled(&path, false, 10);
    let target = tempfile::tempdir().unwrap();
    let copy = target.path().join("backup.db");
    let names = || bytes(target.path()).into_keys().collect::<Vec<_>>();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["as_another_process", "--exact", "--nocapture"])
        .env("PERFECTPAY_TEST_FILE", &path)
        .env("PERFECTPAY_TEST_TARGET", &copy)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap().contains("begun")));
    let theirs = format!("backup.db.{}-0.partial", process.id());
    assert_eq!(names(), [theirs.as_str()]);

    // It is still at work.
    store.backup(&copy, |_| {}).unwrap();
    assert_eq!(names(), ["backup.db", theirs.as_str()]);
    process.kill().unwrap();
    process.wait().unwrap();
    fs::remove_file(&copy).unwrap();
    assert_eq!(names(), [theirs.as_str()]);

    // Like ones that are not ours: no database, another target, another name, a folder, a link; and one of an earlier
    // process that had the same number as this one.
    let like = [
        ("backup.db.12-3.partial", "my notes"),
        ("other.db.12-3.partial", "SQLite format 3\0"),
        ("backup.db.12.partial", "SQLite format 3\0"),
        ("backup.db.partial", "SQLite format 3\0"),
        ("backup.db.12-3.partial.txt", "SQLite format 3\0"),
        ("backup.db.1a-3.partial", "SQLite format 3\0"),
    ];
    for (name, text) in like {
        fs::write(target.path().join(name), text).unwrap();
    }
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "SQLite format 3\0").unwrap();
    let (inner, link) = (target.path().join("backup.db.7-7.partial"), target.path().join("backup.db.8-8.partial"));
    fs::create_dir(&inner).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    let earlier = target.path().join(format!("backup.db.{}-99999.partial", std::process::id()));
    fs::write(&earlier, "SQLite format 3\0 and so on").unwrap();
    let earlier_log = target.path().join(format!("backup.db.{}-99999.partial-wal", std::process::id()));
    fs::write(&earlier_log, "x").unwrap();
    store.backup(&copy, |_| {}).unwrap();
    assert!(!target.path().join(&theirs).exists());
    assert!(!earlier.exists() && !earlier_log.exists());
    for (name, text) in like {
        assert_eq!(fs::read(target.path().join(name)).unwrap(), text.as_bytes(), "{name}");
    }
    assert!(inner.is_dir() && link.is_symlink() && elsewhere.is_file());
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), like.len() + 3);
    assert_eq!(count(&copy, "SELECT count(*) FROM pp_organization"), 1_000);
}

#[test]
fn two_backups_to_one_path_at_once_do_not_take_each_other_away() {
    for exclusive in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(&folder.path().join("accounts.db"), exclusive, 5);
        let other = filled(&folder.path().join("other.db"), false, 1);
        let target = tempfile::tempdir().unwrap();
        let copy = target.path().join("backup.db");
        let mut inner = None;
        let outer = store.backup(&copy, |_| {
            inner.get_or_insert_with(|| other.backup(&copy, |_| {}));
        });
        // Whoever is done first has the path; what it is told of comes behind what is done, so that either may be.
        let (failed, kept) = match (inner.unwrap(), outer) {
            (Ok(()), Err(error)) => (error, 100),
            (Err(error), Ok(())) => (error, 500),
            both => panic!("{both:?}"),
        };
        assert_eq!(failed.code(), "backup.target_exists");
        assert_eq!(bytes(target.path()).into_keys().collect::<Vec<_>>(), ["backup.db"]);
        assert_eq!(count(&copy, "SELECT count(*) FROM pp_organization"), kept);
    }
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
