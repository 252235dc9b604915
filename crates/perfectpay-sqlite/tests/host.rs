//! Commits inside the transaction of a host.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use common::{a_whole_tree, apply, count, creating, in_organization, once, organization, touched};
use futures_lite::future::block_on;
use perfectpay::store::{ChangeSet, Committed, Key, OrganizationPath, Store};
use perfectpay::{Error, Unavailability};
use perfectpay_sqlite::rusqlite::{Connection, Transaction, TransactionBehavior};
use perfectpay_sqlite::{SqliteOptions, SqliteStore};

/// A shared file with a table of the host's in it, the store of it, and a connection of the host's.
fn beside_each_other() -> (tempfile::TempDir, SqliteStore, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    let host = Connection::open(&path).unwrap();
    host.execute_batch(
        "PRAGMA foreign_keys = ON; PRAGMA user_version = 42; PRAGMA application_id = 77;
         CREATE TABLE customer (id TEXT)",
    )
    .unwrap();
    let store = SqliteOptions::new(&path).shared_with_host(true).open().unwrap();
    (folder, store, host)
}

fn begin(host: &mut Connection) -> Transaction<'_> {
    host.transaction_with_behavior(TransactionBehavior::Immediate).unwrap()
}

fn first() -> ChangeSet {
    creating(in_organization(1), [organization(1).into()])
}

fn sees_first(store: &SqliteStore) -> bool {
    let key = Key::Organization(OrganizationPath::Id("org_1".parse().unwrap()));
    block_on(store.get(&key)).unwrap().is_some()
}

fn add_customer(conn: &Connection) {
    conn.execute("INSERT INTO customer VALUES ('acme')", []).unwrap();
}

fn customers(conn: &Connection) -> i64 {
    conn.query_row("SELECT count(*) FROM customer", [], |row| row.get(0)).unwrap()
}

#[test]
fn the_rows_of_both_become_visible_with_the_hosts_commit_and_not_before() {
    let (_folder, store, mut host) = beside_each_other();
    let transaction = begin(&mut host);
    add_customer(&transaction);
    let Committed::Applied(receipt) = store.commit_in(&transaction, first()).unwrap() else { panic!("not applied") };
    assert!(!sees_first(&store));
    assert_eq!(block_on(store.head()).unwrap().position.as_u64(), 0);
    transaction.commit().unwrap();
    assert!(sees_first(&store));
    assert_eq!(block_on(store.head()).unwrap().position, receipt.position);
    assert_eq!(customers(&host), 1);
}

#[test]
fn the_rows_of_both_go_with_the_hosts_rollback() {
    let (_folder, store, mut host) = beside_each_other();
    let transaction = begin(&mut host);
    add_customer(&transaction);
    store.commit_in(&transaction, first()).unwrap();
    transaction.rollback().unwrap();
    assert!(!sees_first(&store));
    assert_eq!(customers(&host), 0);
    // The same set is committed by the store itself afterwards, at the position that was given up.
    assert_eq!(apply(&store, first()).position.as_u64(), 1);
}

#[test]
fn several_sets_in_one_transaction_see_each_other() {
    let (_folder, store, mut host) = beside_each_other();
    let transaction = begin(&mut host);
    for (set, position) in a_whole_tree().into_iter().zip(1..) {
        let Committed::Applied(receipt) = store.commit_in(&transaction, set).unwrap() else { panic!("not applied") };
        assert_eq!(receipt.position.as_u64(), position);
    }
    transaction.commit().unwrap();
    assert!(store.verify(|_| {}).unwrap().is_healthy());
}

#[test]
fn an_objection_is_the_same_as_in_a_commit_of_the_stores_own_and_leaves_the_transaction_usable() {
    let (_folder, store, mut host) = beside_each_other();
    apply(&store, first());
    let mut stale = common::set(in_organization(1));
    stale.update(touched(&touched(&organization(1))));
    // Its first change holds up, and must not stay.
    let half = creating(in_organization(2), [organization(2).into(), organization(1).into()]);
    let orphan = creating(common::in_merchant(2, 9), [common::merchant(2, 9).into()]);
    for set in [first(), stale, half, orphan, common::set(in_organization(1))] {
        let expected = common::verdict(&store, set.clone());
        let transaction = begin(&mut host);
        add_customer(&transaction);
        let answer = store.commit_in(&transaction, set);
        assert!(answer.is_err());
        assert_eq!(common::verdict_of(&answer), expected);
        add_customer(&transaction);
        let ours: i64 = transaction.query_row("SELECT count(*) FROM pp_organization", [], |row| row.get(0)).unwrap();
        assert_eq!(ours, 1);
        transaction.commit().unwrap();
    }
    assert_eq!(customers(&host), 10);
    assert_eq!(block_on(store.head()).unwrap().position.as_u64(), 1);
}

#[test]
fn an_idempotency_key_is_replayed_within_the_transaction_and_after_it() {
    let (_folder, store, mut host) = beside_each_other();
    let set = once(first(), "key", 1);
    let transaction = begin(&mut host);
    store.commit_in(&transaction, set.clone()).unwrap();
    let replayed = |answer| matches!(answer, Ok(Committed::Replayed(_)));
    assert!(replayed(store.commit_in(&transaction, set.clone())));
    let other = store.commit_in(&transaction, once(first(), "key", 2)).unwrap_err();
    assert!(matches!(other, Error::IdempotencyMismatch), "{other:?}");
    transaction.commit().unwrap();
    assert!(replayed(block_on(store.commit(set))));
}

#[test]
fn a_connection_over_which_the_constraints_would_not_hold_is_refused() {
    for (sql, code) in [
        ("PRAGMA foreign_keys = OFF", "transaction.foreign_keys_off"),
        ("PRAGMA ignore_check_constraints = ON", "transaction.checks_off"),
        ("CREATE TEMP TABLE pp_log (x)", "transaction.shadowed"),
        ("CREATE TEMP TRIGGER t AFTER INSERT ON main.pp_organization BEGIN SELECT 1; END", "transaction.shadowed"),
        ("UPDATE pp_meta SET value = '9' WHERE key = 'schema_version'", "transaction.other_schema"),
        ("UPDATE pp_meta SET value = 'x' WHERE key = 'schema_hash'", "transaction.other_schema"),
    ] {
        let (_folder, store, mut host) = beside_each_other();
        host.execute_batch(sql).unwrap();
        let transaction = begin(&mut host);
        assert_eq!(store.commit_in(&transaction, first()).unwrap_err().code(), code, "{sql}");
        transaction.commit().unwrap();
        assert_eq!(block_on(store.head()).unwrap().position.as_u64(), 0);
    }
    let (_folder, store, mut host) = beside_each_other();
    let transaction = begin(&mut host);
    transaction.execute_batch("PRAGMA defer_foreign_keys = ON").unwrap();
    let error = store.commit_in(&transaction, first()).unwrap_err();
    assert_eq!(error.code(), "transaction.foreign_keys_deferred");
}

#[test]
fn a_connection_to_another_file_is_refused() {
    let (_folder, store, _host) = beside_each_other();
    let (_other_folder, _other_store, mut other) = beside_each_other();
    let mut in_memory = Connection::open_in_memory().unwrap();
    for host in [&mut other, &mut in_memory] {
        let error = store.commit_in(&begin(host), first()).unwrap_err();
        assert_eq!(error.code(), "transaction.other_file");
    }
}

#[test]
fn a_link_to_the_stores_file_is_the_stores_file() {
    let (folder, store, _host) = beside_each_other();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(folder.path().join("host.db"), &link).unwrap();
    let mut host = Connection::open(link).unwrap();
    host.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    let transaction = begin(&mut host);
    store.commit_in(&transaction, first()).unwrap();
    transaction.commit().unwrap();
    assert!(sees_first(&store));
}

#[test]
fn a_store_that_is_not_shared_or_has_its_database_alone_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Connection::open_in_memory().unwrap();
    let alone = SqliteStore::open(folder.path().join("alone.db")).unwrap();
    let exclusive = SqliteOptions::new(folder.path().join("host.db")).shared_with_host(true).exclusive(true);
    let exclusive = exclusive.open().unwrap();
    let in_memory = SqliteStore::in_memory().unwrap();
    for (store, code) in
        [(alone, "transaction.not_shared"), (exclusive, "transaction.exclusive"), (in_memory, "transaction.exclusive")]
    {
        assert_eq!(store.commit_in(&begin(&mut host), first()).unwrap_err().code(), code);
    }
}

#[test]
fn a_host_that_began_by_reading_and_was_overtaken_is_told_that_the_store_is_busy() {
    let (_folder, store, mut host) = beside_each_other();
    let transaction = host.transaction().unwrap();
    assert_eq!(customers(&transaction), 0);
    apply(&store, first());
    let second = creating(in_organization(2), [organization(2).into()]);
    let error = store.commit_in(&transaction, second).unwrap_err();
    assert!(matches!(error, Error::Unavailable { reason: Unavailability::Busy, .. }), "{error:?}");
}

#[test]
fn a_shared_file_keeps_the_hosts_own_marks() {
    let (folder, store, mut host) = beside_each_other();
    let transaction = begin(&mut host);
    store.commit_in(&transaction, first()).unwrap();
    transaction.commit().unwrap();
    drop((store, host));
    let path = folder.path().join("host.db");
    assert_eq!(count(&path, "PRAGMA user_version"), 42);
    assert_eq!(count(&path, "PRAGMA application_id"), 77);
    assert_eq!(SqliteStore::open(&path).unwrap_err().code(), "database.foreign");
}

#[test]
fn commits_of_the_store_and_of_hosts_take_turns() {
    let (folder, store, _host) = beside_each_other();
    let path = folder.path().join("host.db");
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (store, path) = (&store, &path);
            scope.spawn(move || {
                let mut host = Connection::open(path).unwrap();
                host.execute_batch("PRAGMA foreign_keys = ON").unwrap();
                for number in 0..20 {
                    let number = thread * 100 + number;
                    let set = |n| creating(in_organization(n), [organization(n).into()]);
                    let transaction = begin(&mut host);
                    add_customer(&transaction);
                    store.commit_in(&transaction, set(number)).unwrap();
                    transaction.commit().unwrap();
                    apply(store, set(1_000 + number));
                }
            });
        }
    });
    assert_eq!(count(&path, "SELECT count(*) FROM customer"), 60);
    assert_eq!(count(&path, "SELECT count(*) FROM pp_organization"), 120);
    assert!(store.verify(|_| {}).unwrap().is_healthy());
}
