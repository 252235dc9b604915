//! A pruned log in a file: reopened, looked at with plain SQL, verified, backed up, and its pages used again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{a_whole_tree, apply, at, block_rule, creating, in_merchant, in_organization, organization, set, touched};
use futures_lite::future::block_on;
use perfectpay::Error;
use perfectpay::store::{Actor, LogBound, LogPosition, LogQuery, LogScope, Prune, Pruned, Store as _};
use perfectpay_sqlite::{SqliteOptions, SqliteStore};
use rusqlite::Connection;

fn prune(store: &SqliteStore, before: u64) -> Pruned {
    let bound = LogBound::Before(LogPosition::from_u64(before));
    let by = Actor::Operator("nightly".parse().unwrap());
    let step = Prune::Log { bound, limit: 1_000, at: at(30_000), by };
    block_on(store.prune(&step)).unwrap()
}

fn pruned() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
    for set in a_whole_tree() {
        apply(&store, set);
    }
    assert_eq!(prune(&store, 3), Pruned { removed: 2, more: false });
    (folder, store)
}

fn behind(store: &SqliteStore, after: u64) -> Result<usize, Error> {
    let query = LogQuery { scope: LogScope::All, after: LogPosition::from_u64(after), limit: 10 };
    block_on(store.log(&query)).map(|entries| entries.len())
}

fn faults(path: &std::path::Path) -> Vec<String> {
    let report = SqliteOptions::new(path).verify(|_| {}).unwrap();
    report.faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_that_is_opened_again_knows_how_far_its_log_was_pruned() {
    let (folder, store) = pruned();
    let head = block_on(store.head()).unwrap();
    drop(store);
    let store = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
    assert_eq!(block_on(store.head()).unwrap(), head);
    assert!(matches!(behind(&store, 1), Err(Error::LogPruned { through }) if through.as_u64() == 2));
    assert_eq!(behind(&store, 2).unwrap(), 2);
}

#[test]
fn plain_sql_shows_how_far_when_and_by_whom_and_finds_nothing_of_what_is_gone() {
    let (_folder, store) = pruned();
    let conn = Connection::open(store.path().unwrap()).unwrap();
    let sql = "SELECT through || ' ' || at || ' ' || actor FROM pp_log_pruning_view";
    let line: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(line, "2 1970-01-01T00:00:30.000Z operator:nightly");
    for table in ["pp_log", "pp_log_view", "pp_log_entity"] {
        let sql = format!("SELECT min(position) FROM {table}");
        assert_eq!(conn.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap(), 3, "{table}");
    }
}

#[test]
fn a_backup_keeps_the_mark_and_is_healthy() {
    let (folder, store) = pruned();
    let to = folder.path().join("backup.db");
    store.backup(&to, |_| {}).unwrap();
    let copy = SqliteStore::open(&to).unwrap();
    assert_eq!(block_on(copy.head()).unwrap(), block_on(store.head()).unwrap());
    assert_eq!(copy.verify(|_| {}).unwrap().faults, []);
}

#[test]
fn a_verification_follows_what_is_left_of_the_log() {
    let damaged = |sql: &str| {
        let (folder, store) = pruned();
        let path = folder.path().join("accounts.db");
        drop(store);
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
        conn.execute_batch(sql).unwrap();
        drop(conn);
        faults(&path)
    };
    assert_eq!(damaged(""), [""; 0]);
    // What the kept part speaks of is still held to it, what it does not is not.
    assert_eq!(damaged("UPDATE pp_api_key SET version = 9 WHERE id = 'snd_2'").len(), 1);
    assert_eq!(damaged("UPDATE pp_organization SET version = 9"), [""; 0]);
    // Without the mark it is a log that lost its beginning.
    assert!(!damaged("DELETE FROM pp_log_pruning").is_empty());
    let there = damaged("UPDATE pp_log_pruning SET through = 3");
    assert_eq!(there, ["log `3`: it was pruned, and is there"]);
    let actor = damaged("UPDATE pp_log_pruning SET actor = 'nobody'");
    assert_eq!(actor, ["log `pp_log_pruning`: its time or its actor cannot be read"]);
}

#[test]
fn a_log_that_is_pruned_again_and_again_does_not_make_the_file_grow() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("accounts.db"));
    let store = options.durability(perfectpay_sqlite::Durability::Normal).open().unwrap();
    for set in a_whole_tree() {
        apply(&store, set);
    }
    let conn = Connection::open(store.path().unwrap()).unwrap();
    let pages = || conn.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap();
    let mut row = organization(1);
    let mut grown = Vec::new();
    for _ in 0..6 {
        for _ in 0..400 {
            row = touched(&row);
            let mut update = set(in_organization(1));
            update.update(row.clone());
            apply(&store, update);
        }
        let newest = block_on(store.head()).unwrap().position.as_u64();
        while prune(&store, newest).more {}
        grown.push(pages());
    }
    assert!(grown[1..].iter().all(|count| *count <= grown[0] + 2), "{grown:?}");
    assert_eq!(store.verify(|_| {}).unwrap().faults, []);
}

#[test]
fn a_store_that_has_its_file_alone_prunes_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteOptions::new(folder.path().join("accounts.db")).exclusive(true).open().unwrap();
    for set in a_whole_tree() {
        apply(&store, set);
    }
    assert_eq!(prune(&store, 3), Pruned { removed: 2, more: false });
    assert_eq!(behind(&store, 2).unwrap(), 2);
    apply(&store, creating(in_merchant(2, 1), [block_rule(2, "card_bin:999999").into()]));
    assert_eq!(store.verify(|_| {}).unwrap().faults, []);
}

#[test]
fn a_file_that_is_gone_is_not_pruned() {
    let (folder, store) = pruned();
    std::fs::rename(folder.path().join("accounts.db"), folder.path().join("elsewhere.db")).unwrap();
    let bound = LogBound::Before(LogPosition::from_u64(9));
    let step = Prune::Log { bound, limit: 1_000, at: at(30_000), by: Actor::Host };
    // Nothing was written, or nobody knows; never is it acknowledged.
    let error = block_on(store.prune(&step)).unwrap_err();
    assert!(["unavailable", "outcome_unknown"].contains(&error.code()), "{error:?}");
    assert_eq!(block_on(store.prune(&step)).unwrap_err().code(), "unavailable");
}
