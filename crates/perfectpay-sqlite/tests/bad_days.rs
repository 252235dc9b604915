//! Bad days: no space, no permission, no descriptors, a lock that is not given back, a file that goes away, a newer
//! library on the same file, callers that go away. Each time: the exact error, nothing acknowledged lost, and service
//! when the cause is gone.
//!
//! Some of it needs more rights than a test has everywhere (mounting a small file system, being another user). Where
//! they are missing, a line on standard error says what was not run.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it could not run"
)]

mod common;

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use common::{a_whole_tree, apply, at, bytes, count, creating, in_organization, once, organization};
use futures_lite::future::block_on;
use perfectpay::store::{Key, LogPosition, LogQuery, LogScope, OrganizationPath, Query, Store};
use perfectpay::{Error, ErrorKind, PageRequest, PerfectPay, Unavailability, json};
use perfectpay_sqlite::{SqliteOptions, SqliteStore};
use perfectpay_testkit::host;
use rusqlite::Connection;

fn is(error: &Error, expected: Unavailability) -> bool {
    matches!(error, Error::Unavailable { reason, .. } if *reason == expected)
}

/// Tries to make an organization.
fn try_one(store: &SqliteStore, number: u64) -> Result<(), Error> {
    block_on(store.commit(creating(in_organization(number), [organization(number).into()]))).map(drop)
}

fn one(store: &SqliteStore, number: u64) {
    apply(store, creating(in_organization(number), [organization(number).into()]));
}

fn is_there(store: &SqliteStore, number: u64) -> bool {
    let path = OrganizationPath::Id(format!("org_{number}").parse().unwrap());
    block_on(store.get(&Key::Organization(path))).unwrap().is_some()
}

fn position(store: &SqliteStore) -> u64 {
    block_on(store.head()).unwrap().position.as_u64()
}

/// Every way of reading answers, and the log ends at `position`.
fn reads_go_on(store: &SqliteStore, at: u64) {
    assert_eq!(position(store), at);
    let listed = block_on(store.list(&Query::Organizations(PageRequest::of(100).unwrap()))).unwrap().unwrap();
    assert_eq!(listed.records.len() as u64, at.min(101));
    let log = LogQuery { scope: LogScope::All, after: LogPosition::START, limit: 1_000 };
    assert_eq!(block_on(store.log(&log)).unwrap().len() as u64, at.min(1_000));
}

/// Commits until one is refused: how many were acknowledged, and why the last one was not.
fn until_refused(store: &SqliteStore, from: u64) -> (u64, Error) {
    (from..).find_map(|number| try_one(store, number).err().map(|error| (number - from, error))).unwrap()
}

fn all_there(path: &Path, acknowledged: u64) {
    let store = SqliteStore::open(path).unwrap();
    assert!((0..acknowledged).all(|number| is_there(&store, number)), "an acknowledged one is lost");
    drop(store);
    assert_eq!(
        Connection::open(path).unwrap().query_row("PRAGMA integrity_check", [], |r| r.get(0)),
        Ok("ok".to_owned())
    );
}

fn filled() -> (tempfile::TempDir, PathBuf, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let store = SqliteStore::open(&path).unwrap();
    (0..5).for_each(|number| one(&store, number));
    (folder, path, store)
}

/// Says it even where the test passes, whose own output is kept back then.
fn not_run(what: &str) {
    std::io::stderr().write_all(format!("NOT RUN: {what}\n").as_bytes()).unwrap();
}

/// Longer than the writing thread waits before it takes it that nothing more comes.
fn a_pause() {
    thread::sleep(Duration::from_millis(800));
}

/// This test program again, with one scene to play, under `limits`: words of the shell.
fn play(scene: &str, path: &Path, limits: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{limits} exec \"$0\" as_another_process --exact --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env("PERFECTPAY_TEST_SCENE", scene)
        .env("PERFECTPAY_TEST_FILE", path)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    shell
}

/// The numbers that a scene told as acknowledged, until it ends or enough were heard.
fn acknowledged(process: &mut Child, enough: u64) -> u64 {
    let mut heard = 0;
    for line in BufReader::new(process.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, number)) = line.split_once("done ") {
            assert_eq!(number.parse(), Ok(heard));
            heard += 1;
            if heard == enough {
                break;
            }
        }
    }
    heard
}

/// Not a test of its own: what the other tests run in processes of their own.
#[test]
fn as_another_process() {
    let Ok(scene) = std::env::var("PERFECTPAY_TEST_SCENE") else { return };
    let path = PathBuf::from(std::env::var("PERFECTPAY_TEST_FILE").unwrap());
    match &*scene {
        "goes on until it ends" => {
            let store = SqliteStore::open(&path).unwrap();
            for number in 0.. {
                one(&store, number);
                println!("done {number}");
            }
        }
        "meets the limit of a file's size" => {
            let store = SqliteStore::open(&path).unwrap();
            let mut number = 0;
            let error = loop {
                if let Err(error) = try_one(&store, number) {
                    break error;
                }
                println!("done {number}");
                number += 1;
            };
            // The system does not say "full" here but "no": SQLite cannot tell it from a disk that fails.
            assert_eq!(error.kind(), ErrorKind::UnknownOutcome, "{error:?}");
            reads_go_on(&store, number);
            assert!(is(&try_one(&store, 9_999).unwrap_err(), Unavailability::Halted));
        }
        "takes the lock" => {
            let conn = Connection::open(&path).unwrap();
            conn.execute_batch("BEGIN IMMEDIATE").unwrap();
            println!("done 0");
            // Until it is killed.
            let _end = std::io::stdin().read(&mut [0]);
        }
        "runs out of descriptors" => run_out_of_descriptors(&path),
        "is someone else" => {
            let error = SqliteStore::open(&path).unwrap_err();
            println!("refused: {error:?}");
        }
        other => panic!("{other}"),
    }
}

// No space.

/// A file system of its own, so small that it is full soon.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, options: &str) -> Option<Self> {
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        done.then(|| Self(folder.to_owned()))
    }

    fn change(&self, options: &str) {
        let change = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &change]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_is_full_refuses_commits_as_full_and_takes_them_again_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let Some(disk) = SmallDisk::mount(folder.path(), "size=640k") else {
        not_run("no right to mount a small disk; a limit on the size of the file stands in for it");
        let store = SqliteOptions::new(&path).size_limit(400 * 1024).open().unwrap();
        let (kept, error) = until_refused(&store, 0);
        assert!(is(&error, Unavailability::Full), "{error:?}");
        reads_go_on(&store, kept);
        drop(store);
        all_there(&path, kept);
        return;
    };
    let store = SqliteStore::open(&path).unwrap();
    let (mut kept, error) = until_refused(&store, 0);
    assert!(is(&error, Unavailability::Full) && error.is_retryable(), "{error:?}");
    assert!(kept > 3, "{kept}");
    reads_go_on(&store, kept);
    // Many at once, while it is full: each is answered for itself.
    let many: Vec<_> = (0..32)
        .map(|number| creating(in_organization(5_000 + number), [organization(5_000 + number).into()]))
        .collect();
    let mut more: Vec<_> = many.into_iter().map(|set| Box::pin(store.commit(set))).collect();
    // The writer may be as quick as to have answered already.
    let begun: Vec<_> =
        more.iter_mut().map(|commit| commit.as_mut().poll(&mut Context::from_waker(Waker::noop()))).collect();
    let mut late = 0;
    for (commit, begun) in more.into_iter().zip(begun) {
        let answer = match begun {
            Poll::Ready(answer) => answer,
            Poll::Pending => block_on(commit),
        };
        match answer {
            Ok(_) => late += 1,
            Err(error) => assert!(is(&error, Unavailability::Full), "{error:?}"),
        }
    }
    disk.change("size=8m");
    for _ in 0..40 {
        one(&store, kept);
        kept += 1;
    }
    reads_go_on(&store, kept + late);
    drop(store);
    all_there(&path, kept);
}

#[test]
fn a_store_that_has_its_file_alone_refuses_commits_on_a_full_disk_and_takes_them_again_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let Some(disk) = SmallDisk::mount(folder.path(), "size=640k") else {
        not_run("no right to mount a small disk; a store that has a full one alone was not tried");
        return;
    };
    let open = || SqliteOptions::new(&path).exclusive(true).open();
    let store = open().unwrap();
    let (kept, error) = until_refused(&store, 0);
    assert!(is(&error, Unavailability::Full) && error.is_retryable(), "{error:?}");
    assert!(kept > 3, "{kept}");
    // Not one byte is left: it reads, and refuses what it cannot write, as long as that lasts.
    let ballast = folder.path().join("ballast");
    let fill = || assert!(std::io::copy(&mut std::io::repeat(1), &mut File::create(&ballast).unwrap()).is_err());
    fill();
    for _ in 0..3 {
        reads_go_on(&store, kept);
        let error = try_one(&store, kept).unwrap_err();
        assert!(is(&error, Unavailability::Full), "{error:?}");
        a_pause();
    }
    assert!(!is_there(&store, kept), "what was refused is not there");
    // With space it goes on, without being opened again.
    fs::remove_file(&ballast).unwrap();
    disk.change("size=8m");
    (kept..kept + 40).for_each(|number| one(&store, number));
    reads_go_on(&store, kept + 40);
    assert!(!folder.path().join("accounts.db-shm").exists());

    // Closed on a full disk, and opened again: everything acknowledged is there.
    fill();
    let (more, error) = until_refused(&store, kept + 40);
    assert!(is(&error, Unavailability::Full), "{error:?}");
    let acknowledged = kept + 40 + more;
    drop(store);
    fs::remove_file(&ballast).unwrap();
    let store = open().unwrap();
    reads_go_on(&store, acknowledged);
    one(&store, acknowledged);
    drop(store);
    all_there(&path, acknowledged + 1);
}

#[test]
fn a_store_on_a_full_disk_opens_when_there_is_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let Some(disk) = SmallDisk::mount(folder.path(), "size=2m") else {
        not_run("no right to mount a small disk; opening on a full one was not tried");
        return;
    };
    let store = SqliteStore::open(&path).unwrap();
    (0..5).for_each(|number| one(&store, number));
    drop(store);
    // Not one byte is left.
    let ballast = folder.path().join("ballast");
    assert!(std::io::copy(&mut std::io::repeat(1), &mut File::create(&ballast).unwrap()).is_err());
    let before = fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(is(&error, Unavailability::Full), "{error:?}");
    assert!(before == fs::read(&path).unwrap());
    let error = SqliteStore::open(folder.path().join("another.db")).unwrap_err();
    assert!(is(&error, Unavailability::Full), "{error:?}");
    drop(fs::remove_file(&ballast));
    all_there(&path, 5);
    drop(disk);
}

#[test]
fn the_limit_of_a_files_size_stops_writing_until_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let mut process = play("meets the limit of a file's size", &path, "ulimit -f 1200; trap '' XFSZ;").spawn().unwrap();
    let done = acknowledged(&mut process, u64::MAX);
    assert!(process.wait().unwrap().success());
    assert!(done > 3, "{done}");
    all_there(&path, done);
    let store = SqliteStore::open(&path).unwrap();
    // The one whose outcome was unknown is there or not; asked again, it is there once.
    let again = try_one(&store, done);
    assert!(again.is_ok() || matches!(again, Err(Error::AlreadyExists(_))), "{again:?}");
    one(&store, done + 1);
}

#[test]
fn a_host_that_the_limit_of_a_files_size_ends_has_lost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let mut process = play("goes on until it ends", &path, "ulimit -c 0; ulimit -f 1200;").spawn().unwrap();
    let done = acknowledged(&mut process, u64::MAX);
    let status = process.wait().unwrap();
    assert_eq!(status.signal(), Some(25), "not SIGXFSZ: {status:?}");
    assert!(done > 3, "{done}");
    all_there(&path, done);
}

// No permission.

#[test]
fn a_file_or_a_folder_that_may_not_be_written_is_refused_as_read_only_until_it_may() {
    let (folder, path, store) = filled();
    drop(store);
    for (what, closed, open) in [(path.as_path(), 0o400, 0o600), (folder.path(), 0o500, 0o700)] {
        let before = bytes(folder.path());
        fs::set_permissions(what, Permissions::from_mode(closed)).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(is(&error, Unavailability::ReadOnly), "{error:?}");
        fs::set_permissions(what, Permissions::from_mode(open)).unwrap();
        assert!(before == bytes(folder.path()), "the refusal left a trace");
        all_there(&path, 5);
    }
}

#[test]
fn permissions_that_are_taken_away_from_a_running_store_take_nothing_from_it() {
    let (folder, path, store) = filled();
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o500)).unwrap();
    (5..10).for_each(|number| one(&store, number));
    reads_go_on(&store, 10);
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    drop(store);
    all_there(&path, 10);
}

#[test]
fn a_disk_that_is_mounted_read_only_is_refused_as_read_only_until_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let Some(disk) = SmallDisk::mount(folder.path(), "size=4m") else {
        not_run("no right to mount a disk; one that is mounted read-only was not tried");
        return;
    };
    let store = SqliteStore::open(&path).unwrap();
    (0..5).for_each(|number| one(&store, number));
    drop(store);
    disk.change("ro");
    let before = bytes(folder.path());
    for path in [&path, &folder.path().join("another.db")] {
        let error = SqliteStore::open(path).unwrap_err();
        assert!(is(&error, Unavailability::ReadOnly), "{error:?}");
    }
    assert!(before == bytes(folder.path()));
    disk.change("rw");
    all_there(&path, 5);
}

#[test]
fn another_user_is_refused_by_what_the_file_and_the_folder_allow() {
    let (folder, path, store) = filled();
    drop(store);
    for (of_file, of_folder, expected) in [
        (0o600, 0o755, "Inaccessible"),
        (0o644, 0o755, "ReadOnly"),
        (0o666, 0o755, "ReadOnly"),
        (0o666, 0o700, "Inaccessible"),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(of_file)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(of_folder)).unwrap();
        // As root the rights would say nothing, and only root can be someone else.
        let output = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(std::env::current_exe().unwrap())
            .args(["as_another_process", "--exact", "--nocapture"])
            .env("PERFECTPAY_TEST_SCENE", "is someone else")
            .env("PERFECTPAY_TEST_FILE", &path)
            .output();
        let said = output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
        if !said.contains("running 1 test") {
            not_run("no right to be another user; what one is refused for was not tried");
            return;
        }
        assert!(
            said.contains(&format!("refused: Unavailable {{ reason: {expected}")),
            "{of_file:o} {of_folder:o}: {said}"
        );
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    all_there(&path, 5);
}

// The file goes away.

#[test]
fn a_file_that_is_moved_away_takes_no_more_commits_and_has_all_when_it_is_back() {
    let (folder, path, store) = filled();
    let aside = folder.path().join("aside.db");
    a_pause();
    fs::rename(&path, &aside).unwrap();
    let error = try_one(&store, 5).unwrap_err();
    assert!(is(&error, Unavailability::Inaccessible), "{error:?}");
    assert!(is(&try_one(&store, 5).unwrap_err(), Unavailability::Halted));
    reads_go_on(&store, 5);
    drop(store);
    // Nothing is made in its place while the log with its newest commits lies there.
    assert_eq!(SqliteStore::open(&path).unwrap_err().kind(), ErrorKind::Corrupt);
    fs::rename(&aside, &path).unwrap();
    all_there(&path, 5);
    one(&SqliteStore::open(&path).unwrap(), 5);
}

#[test]
fn a_file_that_is_moved_away_in_a_stream_of_commits_ends_the_stream_and_loses_none_of_it() {
    for suffix in ["", "-wal"] {
        let (folder, path, store) = filled();
        let acknowledged = AtomicU64::new(5);
        let aside = folder.path().join("aside");
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        let error = thread::scope(|scope| {
            let stream = scope.spawn(|| {
                loop {
                    if let Err(error) = try_one(&store, acknowledged.load(Ordering::SeqCst)) {
                        break error;
                    }
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            });
            thread::sleep(Duration::from_millis(100));
            fs::rename(&name, &aside).unwrap();
            let before = acknowledged.load(Ordering::SeqCst);
            let error = stream.join().unwrap();
            // One may have been past the look, and not heard of yet, when the file was moved.
            assert!(acknowledged.load(Ordering::SeqCst) <= before + 1);
            error
        });
        // Unknown, but where the look between two groups was the first to notice.
        let noticed = error.kind() == ErrorKind::UnknownOutcome || is(&error, Unavailability::Inaccessible);
        assert!(noticed, "{suffix}: {error:?}");
        let acknowledged = acknowledged.into_inner();
        assert!(is(&try_one(&store, acknowledged).unwrap_err(), Unavailability::Halted), "{suffix}");
        drop(store);
        fs::rename(&aside, &name).unwrap();
        all_there(&path, acknowledged);
    }
}

#[test]
fn a_file_a_log_or_a_shared_memory_that_is_removed_stops_the_commits() {
    for suffix in ["", "-wal", "-shm"] {
        let (_folder, path, store) = filled();
        let mut name = path.into_os_string();
        name.push(suffix);
        fs::remove_file(&name).unwrap();
        a_pause();
        let error = try_one(&store, 5).unwrap_err();
        assert!(is(&error, Unavailability::Inaccessible), "{suffix}: {error:?}");
        assert!(is(&try_one(&store, 5).unwrap_err(), Unavailability::Halted), "{suffix}");
        reads_go_on(&store, 5);
    }
}

#[test]
fn a_folder_that_is_removed_stops_the_commits() {
    let (folder, _path, store) = filled();
    fs::remove_dir_all(folder.path()).unwrap();
    a_pause();
    let error = try_one(&store, 5).unwrap_err();
    assert!(is(&error, Unavailability::Inaccessible), "{error:?}");
    reads_go_on(&store, 5);
}

#[test]
fn a_file_that_is_replaced_is_neither_read_nor_written_by_the_store_of_the_old_one() {
    let (folder, path, old) = filled();
    // A backup of another day, brought back by someone who did not stop the host.
    let elsewhere = folder.path().join("elsewhere.db");
    let backup = SqliteStore::open(&elsewhere).unwrap();
    one(&backup, 77);
    drop(backup);
    for suffix in ["-wal", "-shm"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        fs::remove_file(name).unwrap();
    }
    fs::rename(&elsewhere, &path).unwrap();
    let new = SqliteStore::open(&path).unwrap();
    one(&new, 78);
    a_pause();
    let error = try_one(&old, 5).unwrap_err();
    assert!(is(&error, Unavailability::Inaccessible), "{error:?}");
    // More readers at one moment than there are connections: none of them reads the other file.
    let old = Arc::new(old);
    let start = Arc::new(Barrier::new(48));
    let readers: Vec<_> = (0..48)
        .map(|_| {
            let (old, start) = (Arc::clone(&old), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                (0..50).all(|_| position(&old) == 5 && is_there(&old, 3) && !is_there(&old, 77))
            })
        })
        .collect();
    assert!(readers.into_iter().all(|reader| reader.join().unwrap()));
    // Closing the old one takes nothing from the new one, whose log has not been moved yet.
    drop(old);
    one(&new, 79);
    let copy = folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let with = |path: &Path| {
            let mut name = path.to_owned().into_os_string();
            name.push(suffix);
            name
        };
        fs::copy(with(&path), with(&copy)).unwrap();
    }
    let copied = SqliteStore::open(&copy).unwrap();
    assert!([77, 78, 79].into_iter().all(|number| is_there(&copied, number)));
    assert_eq!(position(&copied), 3);
}

#[test]
fn a_file_that_goes_during_a_commit_leaves_its_outcome_unknown_and_its_repetition_makes_it_certain() {
    let (folder, path, store) = filled();
    let blocker = Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let set = once(creating(in_organization(5), [organization(5).into()]), "five", 5);
    let mut commit = Box::pin(store.commit(set.clone()));
    assert!(commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // The thread is past its look at the path and waits for the lock.
    thread::sleep(Duration::from_millis(200));
    let aside = folder.path().join("aside.db");
    fs::rename(&path, &aside).unwrap();
    blocker.execute_batch("ROLLBACK").unwrap();
    let error = block_on(commit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownOutcome, "{error:?}");
    assert!(is(&try_one(&store, 6).unwrap_err(), Unavailability::Halted));
    drop((store, blocker));
    fs::rename(&aside, &path).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    block_on(store.commit(set)).unwrap();
    assert_eq!(position(&store), 6);
    all_there(&path, 6);
}

// Limits of the process.

fn run_out_of_descriptors(path: &Path) {
    let store = Arc::new(SqliteStore::open(path).unwrap());
    one(&store, 0);
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    assert!(!taken.is_empty());
    (1..20).for_each(|number| one(&store, number));
    reads_go_on(&store, 20);
    // More readers at one moment than there are connections, and no more to be had.
    let start = Arc::new(Barrier::new(24));
    let readers: Vec<_> = (0..24)
        .map(|_| {
            let (store, start) = (Arc::clone(&store), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                (0..200).all(|_| is_there(&store, 7))
            })
        })
        .collect();
    assert!(readers.into_iter().all(|reader| reader.join().unwrap()));
    let another = path.with_file_name("another.db");
    for path in [path, &another] {
        let error = SqliteStore::open(path).unwrap_err();
        assert!(is(&error, Unavailability::Inaccessible), "{error:?}");
    }
    drop(taken);
    one(&SqliteStore::open(path).unwrap(), 20);
    one(&SqliteStore::open(&another).unwrap(), 20);
    one(&store, 21);
}

#[test]
fn a_process_without_descriptors_goes_on_with_the_store_that_it_has_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let output = play("runs out of descriptors", &path, "ulimit -n 48;").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    all_there(&path, 22);
}

// Others on the same file.

#[test]
fn a_lock_that_another_process_holds_too_long_is_busy_and_free_when_that_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let store = SqliteOptions::new(&path).busy_timeout(Duration::from_millis(300)).open().unwrap();
    one(&store, 0);
    let mut holder = play("takes the lock", &path, "").spawn().unwrap();
    assert_eq!(acknowledged(&mut holder, 1), 1);
    let started = Instant::now();
    let error = try_one(&store, 1).unwrap_err();
    assert!(is(&error, Unavailability::Busy) && error.is_retryable(), "{error:?}");
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(250) && waited < Duration::from_secs(20), "{waited:?}");
    reads_go_on(&store, 1);
    holder.kill().unwrap();
    holder.wait().unwrap();
    one(&store, 1);
    drop(store);
    all_there(&path, 2);
}

#[test]
fn a_killed_process_leaves_a_log_from_which_everything_acknowledged_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let mut process = play("goes on until it ends", &path, "").spawn().unwrap();
    let done = acknowledged(&mut process, 30);
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(fs::metadata(folder.path().join("accounts.db-wal")).unwrap().len() > 0);
    all_there(&path, done);
    // Closed properly, nothing of it is left.
    assert_eq!(bytes(folder.path()).into_keys().collect::<Vec<_>>(), ["accounts.db"]);
}

#[test]
fn a_newer_library_on_the_same_file_stops_the_commits_of_the_older_one_and_not_its_reads() {
    let (_folder, path, store) = filled();
    // The newer one brings the schema further while a commit of the older one waits for the lock.
    let newer = Connection::open(&path).unwrap();
    newer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waits = Box::pin(store.commit(creating(in_organization(5), [organization(5).into()])));
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    thread::sleep(Duration::from_millis(100));
    newer
        .execute_batch("CREATE TABLE pp_newer (x); UPDATE pp_meta SET value = '9' WHERE key = 'schema_version'; COMMIT")
        .unwrap();
    let error = block_on(waits).unwrap_err();
    assert!(is(&error, Unavailability::NewerSchema), "{error:?}");
    for _ in 0..2 {
        let error = try_one(&store, 5).unwrap_err();
        assert!(is(&error, Unavailability::NewerSchema) && !error.is_retryable(), "{error:?}");
    }
    reads_go_on(&store, 5);
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(is(&error, Unavailability::NewerSchema), "{error:?}");
    // Taken back, as no library does: the older one goes on.
    newer.execute_batch("DROP TABLE pp_newer; UPDATE pp_meta SET value = '2' WHERE key = 'schema_version'").unwrap();
    one(&store, 5);
    drop((store, newer));
    all_there(&path, 6);
}

#[test]
fn a_schema_that_lost_its_version_takes_no_more_commits() {
    let (_folder, path, store) = filled();
    Connection::open(&path).unwrap().execute_batch("DELETE FROM pp_meta WHERE key = 'schema_version'").unwrap();
    assert_eq!(try_one(&store, 5).unwrap_err().kind(), ErrorKind::Corrupt);
    reads_go_on(&store, 5);
}

// Callers that go away.

/// Wakes the thread that polls.
struct Bell(Thread);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a call until it went on `times` times, and lets it go; `None` if it was not over by then. A call that is not
/// woken within `patience` stands where it will stand.
fn polled<T>(call: impl Future<Output = T>, times: usize, patience: Duration) -> Option<T> {
    let mut call = pin!(call);
    let waker = Waker::from(Arc::new(Bell(thread::current())));
    for _ in 0..times {
        if let Poll::Ready(answer) = call.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(answer);
        }
        thread::park_timeout(patience);
    }
    None
}

#[test]
fn a_call_that_is_cancelled_at_any_await_leaves_the_store_usable_and_its_repetition_makes_one_object() {
    for crowded in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.db");
        let store = Arc::new(SqliteOptions::new(&path).queue_limit(1).open().unwrap());
        let pay = block_on(PerfectPay::open(store.clone(), host::settings().unwrap())).unwrap();
        let made = block_on(host::stand_up(&pay, "acme")).unwrap();
        let scope = made.scope(&pay);
        let patience = if crowded { Duration::from_millis(5) } else { Duration::from_secs(10) };
        let mut over = 0;
        for times in 0..20 {
            // The one place in the queue is taken by a commit that waits for the lock.
            let blocker = Connection::open(&path).unwrap();
            let before = pin!(store.commit(creating(in_organization(times), [organization(times).into()])));
            let mut before = Some(before).filter(|_| crowded);
            if let Some(before) = &mut before {
                blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
                assert!(before.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            let name = format!("{crowded} {times}");
            let key = || format!("once-{crowded}-{times}").parse().unwrap();
            let new = || json::from_slice(host::profile_body(&name).as_bytes()).unwrap();
            let times = usize::try_from(times).unwrap();
            let first = polled(scope.create_profile(new()).idempotency_key(key()).into_future(), times, patience);
            let payment = json::from_slice(host::payment_with_link_body(100, "USD").as_bytes()).unwrap();
            let paid = polled(scope.create_payment(payment).into_future(), times, patience);
            // Reads too, which stand in no commit's way.
            let _found = polled(scope.profiles(PageRequest::default()), times, patience);
            let _found = polled(scope.retrieve(), times, patience);
            let _found = polled(pay.log(LogPosition::START, 100), times, patience);
            if let Some(before) = before {
                blocker.execute_batch("ROLLBACK").unwrap();
                block_on(before).unwrap();
            }
            let again = block_on(scope.create_profile(new()).idempotency_key(key()).into_future()).unwrap();
            if let Some(first) = first {
                assert_eq!(first.unwrap().profile_id, again.profile_id);
                over += 1;
            }
            if let Some(paid) = paid {
                paid.unwrap();
            }
            let profiles = block_on(scope.profiles(PageRequest::of(100).unwrap())).unwrap().items;
            let named = profiles.iter().filter(|profile| *profile.profile_name == name);
            assert_eq!(named.count(), 1, "{name}");
            assert_eq!(profiles.len(), times + 2, "{name}");
        }
        assert!(crowded || over > 5, "no call was over in time");
        drop((pay, scope, made));
        drop(store);
        let links = count(&path, "SELECT count(*) FROM pp_payment_link");
        assert_eq!(count(&path, "SELECT count(*) FROM pp_payment"), links);
        all_there(&path, if crowded { 20 } else { 0 });
    }
}

#[test]
fn every_kind_of_commit_that_is_let_go_is_wholly_there_or_not_at_all() {
    for times in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.db");
        let store = SqliteStore::open(&path).unwrap();
        for set in a_whole_tree() {
            let _gone = polled(store.commit(set.clone()), times, Duration::from_secs(10));
            // What comes behind it in the queue is answered after it; the repetition is a replay, or refused for what
            // is there already.
            let again = block_on(store.commit(set));
            assert!(again.is_ok() || matches!(again, Err(Error::AlreadyExists(_) | Error::Stale { .. })), "{again:?}");
        }
        assert_eq!(position(&store), 4, "{times}");
        assert_eq!(block_on(store.head()).unwrap().at, at(20_000));
    }
}
