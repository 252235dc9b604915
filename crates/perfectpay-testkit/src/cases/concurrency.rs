//! Together: many threads at one store, and futures that nobody waits for.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use perfectpay::store::{Committed, Expectation, Key, LogPosition, LogScope, Record, Stored, UniqueKey};
use perfectpay::{EntityKind, Error};

use crate::Fixture;
use crate::probe::Probe;
use crate::records::{
    World, activated, api_key, block_rule, claim, connector, digest, key_of, keys_of, payment, profile, renamed,
    routing_program, text, touched,
};

const THREADS: u32 = 8;
const ROUNDS: u32 = 12;

/// Runs this on [`THREADS`] threads that begin together, with the thread's number.
fn together(run: impl Fn(u32) + Sync) {
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (run, barrier) = (&run, &barrier);
            scope.spawn(move || {
                barrier.wait();
                run(number);
            });
        }
    });
}

fn default_profile(w: &World) -> Stored<perfectpay::profile::ProfileState> {
    match w.get(&key_of(&w.acme.profile.entity())) {
        Some(Record::Profile(row)) => row,
        other => panic!("the profile lives, and the store answered {other:?}"),
    }
}

pub(super) fn racing_updates_are_applied_or_stale_and_none_is_lost(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.set();
    set.update(renamed(&w.acme.profile, "count 0"));
    w.apply(set);
    together(|_| {
        for _ in 0..ROUNDS {
            // Read, add one, write, until nobody came between.
            let applied = (0..10_000).any(|_| {
                let row = default_profile(&w);
                // Gives the others their chance to come between.
                thread::yield_now();
                let count: u32 = row.state.profile_name["count ".len()..].parse().expect("is a number");
                let mut set = w.acme.set();
                set.update(renamed(&row, &format!("count {}", count + 1)));
                match w.commit(set) {
                    Ok(Committed::Applied(_)) => true,
                    Err(Error::Stale { expected, found, .. }) => {
                        assert!(found > expected, "stale, but at version {found} and not past {expected}");
                        false
                    }
                    other => panic!("{other:?}"),
                }
            });
            assert!(applied, "an update was stale ten thousand times");
        }
    });
    let row = default_profile(&w);
    let all = THREADS * ROUNDS;
    assert_eq!(row.state.profile_name.as_str(), format!("count {all}"), "updates were lost");
    assert_eq!(row.version, 2 + u64::from(all));
    let log = w.log(&LogScope::Entity(row.entity()));
    let versions: Vec<u64> =
        log.iter().flat_map(|e| &e.changes).filter(|c| c.id == "pro_default").map(|c| c.version).collect();
    assert_eq!(versions, (1..=row.version).collect::<Vec<_>>(), "the log has not every version once");
}

pub(super) fn of_racing_creations_of_one_unique_key_exactly_one_wins(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for round in 0..ROUNDS {
        let won = AtomicUsize::new(0);
        together(|number| {
            let tenant = if number % 2 == 0 { &w.acme } else { &w.rival };
            let mut key = api_key(&tenant.merchant, 1_000 * (round + 1) + number);
            key.state.digest.as_mut().expect("is a living key").digest = digest(round);
            match w.commit(tenant.creating([key.into()])) {
                Ok(Committed::Applied(_)) => drop(won.fetch_add(1, Ordering::SeqCst)),
                Err(error) => assert_eq!(error.to_string(), "another API key has this api_key"),
                other @ Ok(_) => panic!("{other:?}"),
            }
        });
        assert_eq!(won.load(Ordering::SeqCst), 1, "of the creations of one digest");
        let won = AtomicUsize::new(0);
        together(|number| {
            let mut row = profile(&w.acme.merchant, 1_000 * (round + 1) + number);
            row.state.profile_name = text(format!("the one of round {round}"));
            match w.commit(w.acme.creating([row.into()])) {
                Ok(Committed::Applied(_)) => drop(won.fetch_add(1, Ordering::SeqCst)),
                Err(error) => assert_eq!(error.to_string(), "another business profile has this profile_name"),
                other @ Ok(_) => panic!("{other:?}"),
            }
        });
        assert_eq!(won.load(Ordering::SeqCst), 1, "of the creations of one name");
    }
}

pub(super) fn of_racing_equal_requests_exactly_one_is_carried_out(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let entries = w.log(&LogScope::All).len();
    let applied = AtomicUsize::new(0);
    together(|number| {
        let mut set = w.acme.creating([profile(&w.acme.merchant, 10 + number).into()]);
        set.idempotency = Some(claim(0, 1));
        match w.commit(set) {
            Ok(Committed::Applied(_)) => drop(applied.fetch_add(1, Ordering::SeqCst)),
            Ok(Committed::Replayed(answer)) => assert_eq!(answer, claim(0, 1).answer),
            Err(error) => panic!("{error}"),
        }
    });
    assert_eq!(applied.load(Ordering::SeqCst), 1);
    assert_eq!(w.log(&LogScope::All).len(), entries + 1);
}

pub(super) fn no_child_outlives_a_parent_that_is_removed_beside_its_creation(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for round in 0..ROUNDS {
        let parent = profile(&w.acme.merchant, 100 + round);
        w.apply(w.acme.creating([parent.clone().into()]));
        together(|number| {
            let mut set = w.acme.set();
            if number == 0 {
                set.remove(parent.entity(), 1, false);
            } else {
                set.create(connector(&parent, 1_000 * (round + 1) + number));
            }
            match w.commit(set) {
                Ok(Committed::Applied(_)) => {}
                Err(error) if number == 0 => assert_eq!(error.code(), "has_children"),
                Err(error) => assert_eq!(error.code(), "not_found"),
                other @ Ok(_) => panic!("{other:?}"),
            }
        });
        let lives = w.get(&key_of(&parent.entity())).is_some();
        let below = perfectpay::store::Collection::Connectors { profile: Some(parent.id.clone()) };
        let children = w.list(&w.acme.query(below)).expect("the tenant lives").records.len();
        assert_eq!(lives, children > 0, "the parent lives: {lives}, and has {children} children");
    }
}

pub(super) fn racing_sets_hold_their_expectations(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let applied = AtomicUsize::new(0);
    together(|number| {
        // Each wants to be the only connector account.
        let mut set = w.acme.creating([connector(&w.acme.profile, number + 1).into()]);
        let of = w.acme.profile.entity();
        set.expectations.push(Expectation::Children { of, kind: EntityKind::Connector, count: 0 });
        match w.commit(set) {
            Ok(Committed::Applied(_)) => drop(applied.fetch_add(1, Ordering::SeqCst)),
            Err(error) => assert_eq!(error.code(), "moved"),
            other @ Ok(_) => panic!("{other:?}"),
        }
    });
    assert_eq!(applied.load(Ordering::SeqCst), 1);
}

pub(super) fn of_an_activation_and_a_removal_of_its_account_exactly_one_wins(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for round in 1..=ROUNDS {
        let profile = profile(&w.acme.merchant, round);
        let (account, program) = (connector(&profile, round), routing_program(&profile, round));
        w.apply(w.acme.creating([profile.clone().into(), account.clone().into(), program.clone().into()]));
        let won = AtomicUsize::new(0);
        together(|number| {
            // Whoever begins first is not always of the same side.
            let activates = (number + round) % 2 == 0;
            let mut set = w.acme.set();
            if activates {
                set.expect(account.entity(), 1);
                set.update(activated(&program));
            } else {
                let key = UniqueKey::ActiveProgram(w.acme.merchant.tenant, profile.id.to_string());
                set.expectations.push(Expectation::Free { key });
                set.remove(account.entity(), 1, false);
            }
            match w.commit(set) {
                Ok(Committed::Applied(_)) => drop(won.fetch_add(1, Ordering::SeqCst)),
                Err(error) if activates => assert!(matches!(error.code(), "not_found" | "stale"), "{error}"),
                Err(error) => assert!(matches!(error.code(), "moved" | "not_found"), "{error}"),
                other @ Ok(_) => panic!("{other:?}"),
            }
        });
        assert_eq!(won.load(Ordering::SeqCst), 1, "of activations and removals");
        let lives = w.get(&key_of(&account.entity())).is_some();
        let active = w.get(&Key::ActiveProgram(w.acme.path(), profile.id.clone())).is_some();
        assert_eq!(lives, active, "the account lives: {lives}, and the program is active: {active}");
    }
}

pub(super) fn a_follower_beside_many_writers_misses_no_commit_and_sees_none_twice(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let begin = w.head().position;
    let writing = AtomicBool::new(true);
    let committed = AtomicU64::new(0);
    let seen: Vec<LogPosition> = thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let mut seen: Vec<LogPosition> = Vec::new();
            loop {
                let done = !writing.load(Ordering::SeqCst);
                let after = seen.last().copied().unwrap_or(begin);
                let head = w.head().position;
                let page = w.log_page(LogScope::All, after, 7);
                let reached = page.last().map_or(after, |e| e.position);
                assert!(
                    reached >= head || page.len() == 7,
                    "the head {head} is ahead of the log, which ends at {reached}"
                );
                if page.is_empty() && done {
                    return seen;
                }
                assert!(seen.len() < 100_000, "the log does not end");
                seen.extend(page.iter().map(|entry| entry.position));
            }
        });
        together(|number| {
            for round in 0..ROUNDS * 2 {
                let tenant = [&w.acme, &w.sister, &w.rival][number as usize % 3];
                w.apply(tenant.creating([block_rule(&tenant.merchant, number * 1_000 + round).into()]));
                committed.fetch_add(1, Ordering::SeqCst);
            }
        });
        writing.store(false, Ordering::SeqCst);
        follower.join().expect("the follower holds")
    });
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "positions do not rise as they become visible");
    assert_eq!(seen.len() as u64, committed.load(Ordering::SeqCst), "the follower missed commits");
    let log: Vec<LogPosition> = w.log(&LogScope::All).iter().map(|e| e.position).filter(|p| *p > begin).collect();
    assert_eq!(seen, log);
}

pub(super) fn a_reader_beside_a_writer_sees_whole_sets_only(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let writing = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..ROUNDS * 4 {
                let pair = [2 * number, 2 * number + 1].map(|n| block_rule(&w.acme.merchant, n));
                w.apply(w.acme.creating(pair.clone().map(Record::from)));
                let mut set = w.acme.set();
                for row in pair {
                    set.remove(row.entity(), 1, false);
                }
                w.apply(set);
            }
            writing.store(false, Ordering::SeqCst);
        });
        while writing.load(Ordering::SeqCst) {
            let rules = w.acme.query(perfectpay::store::Collection::BlockRules { kind: None });
            let listing = w.list(&rules).expect("the tenant lives");
            assert_eq!(listing.records.len() % 2, 0, "half a set was seen: {listing:?}");
            assert_eq!(listing.total, Some(listing.records.len() as u64));
        }
    });
}

pub(super) fn a_commit_that_is_not_polled_is_not_done(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let before = w.snapshot();
    drop(w.store().commit(w.acme.creating(w.acme.one_of_each(1))));
    before.assert_same(&w.snapshot());
    w.apply(w.acme.creating(w.acme.one_of_each(1)));
}

/// Whether the commit of these records was done: all of them are there and one entry, or none of either.
fn is_whole(probe: &Probe, w: &World, records: &[Record], entries: usize) -> Option<bool> {
    let keys = records.iter().flat_map(|record| keys_of(record, &w.acme.path()));
    let found: Vec<bool> = keys.map(|key| probe.get(&key).is_some()).collect();
    let logged = probe.log(&LogScope::All).len() - entries;
    match (found.iter().all(|f| *f), found.iter().any(|f| *f), logged) {
        (true, _, 1) => Some(true),
        (_, false, 0) => Some(false),
        _ => None,
    }
}

pub(super) fn a_commit_that_is_dropped_on_its_way_is_whole_or_absent(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for polls in 1..=6 {
        let records = w.acme.one_of_each(polls);
        let entries = w.log(&LogScope::All).len();
        let mut commit = w.store().commit(w.acme.creating(records.clone()));
        block_on(async {
            for _ in 0..polls {
                if poll_once(&mut commit).await.is_some() {
                    commit = Box::pin(std::future::pending());
                    break;
                }
            }
        });
        drop(commit);
        // The store is usable: this one waits for whatever is still on its way.
        let mut set = w.rival.set();
        let row = payment(&w.rival.profile, polls);
        set.create(row);
        w.apply(set);
        // A store may carry on behind our back, but not for ever.
        let whole = (0..200).find_map(|_| {
            let whole = is_whole(&w.probe, &w, &records, entries + 1);
            if whole.is_none() {
                thread::sleep(Duration::from_millis(5));
            }
            whole
        });
        let Some(done) = whole else { panic!("dropped after {polls} polls, the commit is half done") };
        if !done {
            w.apply(w.acme.creating(records));
        }
    }
}

pub(super) fn a_read_that_is_dropped_leaves_the_store_usable(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let key = Key::DefaultProfile(w.acme.path());
    for _ in 0..50 {
        let mut get = w.store().get(&key);
        let _ = block_on(poll_once(&mut get));
        drop(get);
        let query = w.acme.query(perfectpay::store::Collection::Profiles);
        let mut list = w.store().list(&query);
        let _ = block_on(poll_once(&mut list));
    }
    assert_eq!(w.get(&key), Some(w.acme.profile.clone().into()));
    let mut set = w.acme.set();
    set.update(touched(&w.acme.profile));
    w.apply(set);
}
