//! Many at once: grouped commits, two stores on one file, and callers that go away.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::{iter, thread};

use common::{
    a_whole_tree, apply, at, count, creating, in_merchant, in_organization, organization, profile, verdict_of,
};
use futures_lite::future::{block_on, poll_once};
use perfectpay::store::{
    Collection, Committed, Key, LogPosition, LogQuery, LogScope, MerchantPath, Query, Record, Store, Stored,
};
use perfectpay::{Error, PageRequest, Unavailability};
use perfectpay_sqlite::{SqliteOptions, SqliteStore};
use rusqlite::Connection;

fn opened() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
    (folder, store)
}

fn positions(store: &SqliteStore) -> Vec<u64> {
    let query = LogQuery { scope: LogScope::All, after: LogPosition::START, limit: 1_000 };
    block_on(store.log(&query)).unwrap().iter().map(|entry| entry.position.as_u64()).collect()
}

/// Polls once, so that the future has a place in the queue.
fn begin<F: Future>(future: &mut std::pin::Pin<&mut F>) -> bool {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_group_in_which_some_are_refused_leaves_exactly_the_good_ones() {
    let (folder, store) = opened();
    // Someone else holds the write lock, so that all 64 wait and then share transactions.
    let blocker = Connection::open(folder.path().join("accounts.db")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Every fourth takes the id of the one before it.
    let id = |number: u64| if number % 4 == 3 { number - 1 } else { number };
    let commits: Vec<_> = (0..64)
        .map(|number| {
            let row = Stored { id: format!("org_{}", id(number)).parse().unwrap(), ..organization(number) };
            Box::pin(store.commit(creating(in_organization(number), [row.into()])))
        })
        .collect();
    let mut commits = commits;
    for commit in &mut commits {
        assert!(!begin(&mut commit.as_mut()));
    }
    blocker.execute_batch("ROLLBACK").unwrap();
    for (number, commit) in (0u64..).zip(commits) {
        let answer = verdict_of(&block_on(commit));
        if number % 4 == 3 {
            assert!(answer.contains("AlreadyExists"), "{number}: {answer}");
        } else {
            assert_eq!(answer, format!("applied at {}", at(20_000)));
        }
    }
    assert_eq!(positions(&store), (1..=48).collect::<Vec<_>>());
    assert_eq!(count(store.path().unwrap(), "SELECT count(*) FROM pp_organization"), 48);
    assert_eq!(count(store.path().unwrap(), "SELECT count(*) FROM pp_log_entity"), 48);
}

#[test]
fn threads_on_two_stores_of_one_file_lose_no_update() {
    let (folder, first) = opened();
    let second = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
    apply(&first, creating(in_organization(1), [organization(1).into()]));
    let stores = [Arc::new(first), Arc::new(second)];
    let threads: Vec<_> = (0..16)
        .map(|number| {
            let store = Arc::clone(&stores[number % 2]);
            thread::spawn(move || {
                let mut tries = 0;
                for _ in 0..10 {
                    loop {
                        tries += 1;
                        let key = Key::Organization(perfectpay::store::OrganizationPath::Id("org_1".parse().unwrap()));
                        let Some(Record::Organization(row)) = block_on(store.get(&key)).unwrap() else { panic!() };
                        let mut set = common::set(in_organization(1));
                        set.update(row.next(at(9_000), row.state.clone()));
                        match block_on(store.commit(set)) {
                            Ok(Committed::Applied(_)) => break,
                            Err(Error::Stale { .. }) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
                tries
            })
        })
        .collect();
    let tries: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(tries >= 160);
    let path = stores[0].path().unwrap();
    assert_eq!(count(path, "SELECT version FROM pp_organization"), 161);
    assert_eq!(count(path, "SELECT count(*) FROM pp_log"), 161);
}

#[test]
fn a_commit_that_returned_is_seen_by_every_read_that_begins_afterwards() {
    let (_folder, store) = opened();
    for set in a_whole_tree() {
        apply(&store, set);
    }
    let path = MerchantPath::Id("m2".parse().unwrap());
    for number in 0..50 {
        let id = format!("pro_{number}");
        apply(&store, creating(in_merchant(2, 1), [profile(2, &id).into()]));
        let key = Key::Profile(path.clone(), id.parse().unwrap());
        assert!(block_on(store.get(&key)).unwrap().is_some());
        let query = Query::Within(path.clone(), Collection::Profiles, PageRequest::of(100).unwrap());
        assert_eq!(block_on(store.list(&query)).unwrap().unwrap().records.len(), number + 3);
        assert_eq!(positions(&store).len(), number + 5);
    }
}

#[test]
fn a_dropped_future_is_wholly_done_or_not_at_all_and_the_store_goes_on() {
    let (folder, store) = opened();
    for number in 0..200 {
        let rows = [organization(number).into(), common::merchant(1_000 + number, number).into()];
        let mut commit = pin!(store.commit(creating(in_organization(number), rows)));
        begin(&mut commit);
    }
    for number in 0..200 {
        let query = Query::Organizations(PageRequest::of(1 + number % 100).unwrap());
        let mut list = pin!(store.list(&query));
        begin(&mut list);
    }
    apply(&store, creating(in_organization(900), [organization(900).into()]));
    assert!(block_on(store.list(&Query::Organizations(PageRequest::default()))).unwrap().is_some());
    let path = folder.path().join("accounts.db");
    let log = count(&path, "SELECT count(*) FROM pp_log");
    assert_eq!(count(&path, "SELECT count(*) FROM pp_organization"), log);
    assert_eq!(count(&path, "SELECT count(*) FROM pp_merchant"), log - 1);
}

#[test]
fn a_full_queue_makes_callers_wait_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("accounts.db")).queue_limit(2).group_limit(1);
    let store = Arc::new(options.open().unwrap());
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                for number in 0..10 {
                    let number = thread * 100 + number;
                    apply(&*store, creating(in_organization(number), [organization(number).into()]));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(positions(&store).len(), 80);
}

#[test]
fn dropping_the_store_carries_out_what_waits() {
    let (folder, store) = opened();
    for number in 0..50 {
        let mut commit = pin!(store.commit(creating(in_organization(number), [organization(number).into()])));
        begin(&mut commit);
    }
    drop(store);
    assert_eq!(count(&folder.path().join("accounts.db"), "SELECT count(*) FROM pp_organization"), 50);
}

#[test]
fn another_process_that_holds_the_lock_too_long_makes_a_commit_busy_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let store = SqliteOptions::new(&path).busy_timeout(std::time::Duration::from_millis(50)).open().unwrap();
    let blocker = Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let set = creating(in_organization(1), [organization(1).into()]);
    let error = block_on(store.commit(set.clone())).unwrap_err();
    assert!(matches!(error, Error::Unavailable { reason: Unavailability::Busy, .. }), "{error:?}");
    assert!(error.is_retryable());
    assert_eq!(block_on(store.head()).unwrap().position, LogPosition::START);
    blocker.execute_batch("ROLLBACK").unwrap();
    apply(&store, set);
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_keeps_what_was_there_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let store = SqliteOptions::new(&path).size_limit(400 * 1024).open().unwrap();
    let mut kept = 0;
    let error = loop {
        let set = creating(in_organization(kept), [organization(kept).into()]);
        match block_on(store.commit(set)) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Unavailable { reason: Unavailability::Full, .. }), "{error:?}");
    assert!(kept > 10, "{kept}");
    assert_eq!(positions(&store).len() as u64, kept.min(1_000));
    // A group of which some fit no more: each is answered for itself, and nothing of the others is lost.
    let more: Vec<_> =
        (0..40).map(|n| creating(in_organization(5_000 + n), [organization(5_000 + n).into()])).collect();
    let mut commits: Vec<_> = more.into_iter().map(|set| Box::pin(store.commit(set))).collect();
    // Whoever is not answered at once is waited for.
    let at_once: Vec<_> = commits.iter_mut().map(|commit| block_on(poll_once(commit.as_mut()))).collect();
    let answers = iter::zip(commits, at_once).map(|(commit, at_once)| at_once.unwrap_or_else(|| block_on(commit)));
    let applied = answers.flatten().count();
    let rows = count(&path, "SELECT count(*) FROM pp_organization");
    assert_eq!(u64::try_from(rows).unwrap(), kept + applied as u64);
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    apply(&store, creating(in_organization(kept), [organization(kept).into()]));
}

#[test]
fn a_reader_in_a_list_does_not_stop_commits() {
    let (_folder, store) = opened();
    let store = Arc::new(store);
    let reading = Arc::clone(&store);
    let reader = thread::spawn(move || {
        for _ in 0..200 {
            let found = block_on(reading.list(&Query::Organizations(PageRequest::of(100).unwrap()))).unwrap().unwrap();
            let ids: Vec<String> = found.records.iter().map(|record| record.meta().id).collect();
            assert!(iter::zip(&ids, ids.iter().skip(1)).all(|(a, b)| a < b));
        }
    });
    for number in 0..100 {
        apply(&*store, creating(in_organization(number), [organization(number).into()]));
    }
    reader.join().unwrap();
}
