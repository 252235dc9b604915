//! What opening makes, accepts and refuses.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::{fs, thread};

use common::{a_whole_tree, apply, bytes, count, creating, in_organization, organization};
use futures_lite::future::block_on;
use perfectpay::store::{Key, OrganizationPath, Store};
use perfectpay::{Error, Unavailability};
use perfectpay_sqlite::{SqliteOptions, SqliteStore};
use rusqlite::Connection;

/// Opens, expects an error, and expects that the folder is byte for byte what it was.
fn refused(path: &Path) -> Error {
    let before = bytes(path.parent().unwrap());
    let error = SqliteStore::open(path).unwrap_err();
    assert!(before == bytes(path.parent().unwrap()), "the refusal left a trace: {error:?}");
    error
}

/// A folder with a closed store in it that has one record of every kind.
fn filled() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let store = SqliteStore::open(&path).unwrap();
    for set in a_whole_tree() {
        apply(&store, set);
    }
    (folder, path)
}

fn with_plain_sql(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn is_unavailable(error: &Error, expected: Unavailability) -> bool {
    matches!(error, Error::Unavailable { reason, .. } if *reason == expected)
}

#[test]
fn a_new_file_and_its_log_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
    apply(&store, creating(in_organization(1), [organization(1).into()]));
    for name in ["accounts.db", "accounts.db-wal", "accounts.db-shm"] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn closing_leaves_one_file() {
    let (folder, _) = filled();
    assert_eq!(bytes(folder.path()).into_keys().collect::<Vec<_>>(), ["accounts.db"]);
}

#[test]
fn an_empty_file_is_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    fs::write(&path, "").unwrap();
    SqliteStore::open(&path).unwrap();
}

#[test]
fn a_path_is_a_path_whatever_it_looks_like() {
    let folder = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:x?mode=memory", "a 'b' %20.db"] {
        drop(SqliteStore::open(folder.path().join(name)).unwrap());
        assert!(folder.path().join(name).is_file(), "{name}");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_as_corrupt() {
    for garbage in [&b"x"[..], &[0; 100], &[0; 8_192], &[0x5a; 9_000], b"SQLite format 3\0 and then something else"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.db");
        fs::write(&path, garbage).unwrap();
        let error = refused(&path);
        assert_eq!(error.code(), "corrupt", "{error:?}");
    }
}

#[test]
fn a_file_that_was_cut_off_is_refused_as_corrupt() {
    let (_folder, path) = filled();
    let whole = fs::read(&path).unwrap();
    // What is missing of the last page alone SQLite reads as zeros.
    for length in [100, 4_096, 5_000, whole.len() - 4_096, whole.len() - 4_097] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = refused(&path);
        assert_eq!(error.code(), "corrupt", "{length}: {error:?}");
    }
}

#[test]
fn an_empty_or_missing_file_beside_a_log_with_content_is_refused_and_the_log_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    fs::write(folder.path().join("accounts.db-wal"), [1; 5_000]).unwrap();
    assert_eq!(refused(&path).code(), "corrupt");
    fs::write(&path, "").unwrap();
    assert_eq!(refused(&path).code(), "corrupt");
}

#[test]
fn a_file_of_someone_else_is_refused_whatever_its_journal() {
    for mode in ["delete", "wal"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.db");
        with_plain_sql(&path, &format!("PRAGMA journal_mode={mode}; CREATE TABLE theirs (x)"));
        assert_eq!(refused(&path).code(), "database.foreign");
    }
}

#[test]
fn a_file_with_the_mark_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    with_plain_sql(&path, "PRAGMA application_id = 77; CREATE TABLE t (x); DROP TABLE t");
    assert_eq!(refused(&path).code(), "database.foreign");
}

#[test]
fn our_tables_among_others_are_refused_unless_the_file_is_shared() {
    let (_folder, path) = filled();
    with_plain_sql(&path, "CREATE TABLE theirs (x)");
    assert_eq!(refused(&path).code(), "database.foreign");
    let store = SqliteOptions::new(&path).shared_with_host(true).open().unwrap();
    assert_eq!(block_on(store.head()).unwrap().position.as_u64(), 4);
}

#[test]
fn a_shared_file_gets_our_tables_beside_the_others_and_keeps_its_mark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    with_plain_sql(&path, "PRAGMA application_id = 77; CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
    let store = SqliteOptions::new(&path).shared_with_host(true).open().unwrap();
    apply(&store, creating(in_organization(1), [organization(1).into()]));
    drop(store);
    assert_eq!(count(&path, "SELECT count(*) FROM theirs"), 1);
    assert_eq!(count(&path, "PRAGMA application_id"), 77);
    SqliteOptions::new(&path).shared_with_host(true).open().unwrap();
}

#[test]
fn a_newer_schema_is_refused() {
    let (_folder, path) = filled();
    with_plain_sql(&path, "UPDATE pp_meta SET value = '9' WHERE key = 'schema_version'; CREATE TABLE pp_new (x)");
    let error = refused(&path);
    assert!(is_unavailable(&error, Unavailability::NewerSchema), "{error:?}");
}

#[test]
fn an_altered_schema_is_refused_as_corrupt() {
    for alteration in [
        "CREATE TRIGGER harmless AFTER INSERT ON pp_api_key BEGIN SELECT 1; END",
        "CREATE INDEX extra ON pp_log (actor)",
        "ALTER TABLE pp_payment ADD COLUMN x TEXT",
        "DROP VIEW pp_log_view",
        "DROP INDEX pp_profile_default",
        "CREATE TABLE pp_more (x)",
        "UPDATE pp_meta SET value = 'x' WHERE key = 'schema_hash'",
        "UPDATE pp_meta SET value = '0' WHERE key = 'schema_version'",
        "DELETE FROM pp_meta",
        "DROP TABLE pp_meta",
        "DROP TABLE pp_meta; CREATE TABLE pp_meta (name TEXT)",
        "DROP TABLE pp_meta; CREATE VIEW pp_meta AS SELECT 'schema_version' AS key, '1' AS value",
    ] {
        let (_folder, path) = filled();
        with_plain_sql(&path, alteration);
        let error = refused(&path);
        assert_eq!(error.code(), "corrupt", "{alteration}: {error:?}");
    }
}

#[test]
fn a_refusal_leaves_the_log_of_a_file_that_was_not_closed() {
    let (folder, path) = filled();
    with_plain_sql(&path, "UPDATE pp_meta SET value = '9' WHERE key = 'schema_version'");
    let open = Connection::open(&path).unwrap();
    open.execute_batch("PRAGMA wal_autocheckpoint = 0; CREATE TABLE pp_new (x)").unwrap();
    // With and without the shared memory that a process leaves behind when it is killed.
    for left in [&["accounts.db", "accounts.db-wal"][..], &["accounts.db", "accounts.db-wal", "accounts.db-shm"]] {
        let copy = tempfile::tempdir().unwrap();
        for name in left {
            fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        let path = copy.path().join("accounts.db");
        let before = bytes(copy.path());
        let error = SqliteStore::open(&path).unwrap_err();
        let after = bytes(copy.path());
        assert!(is_unavailable(&error, Unavailability::NewerSchema), "{error:?}");
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
        for name in ["accounts.db", "accounts.db-wal"] {
            assert!(before[name] == after[name], "{name}");
        }
    }
}

#[test]
fn a_file_that_was_not_closed_opens_with_everything_in_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
    for set in a_whole_tree() {
        apply(&store, set);
    }
    let copy = tempfile::tempdir().unwrap();
    for name in ["accounts.db", "accounts.db-wal"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let copied = SqliteStore::open(copy.path().join("accounts.db")).unwrap();
    assert_eq!(block_on(copied.head()).unwrap(), block_on(store.head()).unwrap());
}

#[test]
fn a_journal_of_someone_else_is_not_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    with_plain_sql(&path, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (zeroblob(20000))");
    let busy = Connection::open(&path).unwrap();
    busy.execute_batch("PRAGMA cache_size = 1; BEGIN; UPDATE theirs SET x = randomblob(20000)").unwrap();
    let copy = tempfile::tempdir().unwrap();
    for name in ["theirs.db", "theirs.db-journal"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let error = refused(&copy.path().join("theirs.db"));
    assert_eq!(error.code(), "database.foreign", "{error:?}");
}

#[test]
fn a_file_without_write_permission_is_refused_as_read_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path) = filled();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let error = refused(&path);
    assert!(is_unavailable(&error, Unavailability::ReadOnly), "{error:?}");
}

#[test]
fn a_missing_folder_and_a_folder_in_place_of_the_file_are_inaccessible() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("none").join("accounts.db"), folder.path().to_path_buf()] {
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(is_unavailable(&error, Unavailability::Inaccessible), "{error:?}");
    }
    assert!(bytes(folder.path()).is_empty());
}

#[test]
fn a_store_that_is_opened_again_holds_what_it_held() {
    let (_folder, path) = filled();
    let store = SqliteStore::open(&path).unwrap();
    let found = block_on(store.get(&Key::Organization(OrganizationPath::Id("org_1".parse().unwrap()))));
    assert_eq!(found.unwrap(), Some(organization(1).into()));
    assert_eq!(block_on(store.head()).unwrap().position.as_u64(), 4);
}

#[test]
fn many_open_one_new_file_at_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let start = Arc::new(Barrier::new(8));
    let openers: Vec<_> = (0..8)
        .map(|number| {
            let (path, start) = (path.clone(), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                let store = SqliteStore::open(path).unwrap();
                apply(&store, creating(in_organization(number), [organization(number).into()]));
            })
        })
        .collect();
    for opener in openers {
        opener.join().unwrap();
    }
    assert_eq!(count(&path, "SELECT count(*) FROM pp_organization"), 8);
}

/// Not a test of its own: what [`several_processes_make_and_use_one_file`] runs in each process.
#[test]
fn as_one_of_several_processes() {
    let Ok(path) = std::env::var("PERFECTPAY_TEST_FILE") else { return };
    let number: u64 = std::env::var("PERFECTPAY_TEST_NUMBER").unwrap().parse().unwrap();
    let store = SqliteStore::open(path).unwrap();
    for commit in 0..20 {
        let number = number * 100 + commit;
        apply(&store, creating(in_organization(number), [organization(number).into()]));
    }
}

#[test]
fn several_processes_make_and_use_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let processes: Vec<_> = (1..=4)
        .map(|number: u64| {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["as_one_of_several_processes", "--exact"])
                .env("PERFECTPAY_TEST_FILE", &path)
                .env("PERFECTPAY_TEST_NUMBER", number.to_string())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    assert_eq!(count(&path, "SELECT count(*) FROM pp_organization"), 80);
    assert_eq!(count(&path, "SELECT count(*) FROM pp_log"), 80);
}
