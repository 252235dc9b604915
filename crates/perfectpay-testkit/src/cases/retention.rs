//! Pruned in the open: what goes, what stays, and who is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use perfectpay::store::{
    Actor, CommitClass, EntityRef, LogBound, LogEntry, LogPosition, LogPruning, LogQuery, LogScope, MAX_LOG_LIMIT,
    MAX_PRUNE_LIMIT, Prune, Pruned,
};
use perfectpay::{Error, Incarnation, Timestamp};

use crate::probe::Probe;
use crate::records::{Tenant, World, block_rule, claim, moment, now, payment, profile, text, touched};
use crate::{Fixture, block_on};

fn operator() -> Actor {
    Actor::Operator(text("Zoë, \"nights\""))
}

fn of_log(bound: LogBound, limit: u32) -> Prune {
    Prune::Log { bound, limit, at: now(), by: operator() }
}

fn before(position: LogPosition, limit: u32) -> Prune {
    of_log(LogBound::Before(position), limit)
}

/// A position by its distance to another one.
fn next_to(position: LogPosition, by: i64) -> LogPosition {
    LogPosition::from_u64(position.as_u64().checked_add_signed(by).expect("is a position"))
}

/// Repeats a step until there is no more, and checks on the way that each removes something, and no more than it may.
#[track_caller]
fn all(probe: &Probe, step: &Prune) -> u64 {
    let (Prune::Log { limit, .. }
    | Prune::Claims { limit, .. }
    | Prune::Stage { limit, .. }
    | Prune::Stages { limit, .. }) = step;
    let mut removed = 0;
    for _ in 0..10_000 {
        let done = probe.prune(step);
        assert!(done.removed <= u64::from(*limit), "{step:?} removed {}", done.removed);
        assert!(done.removed > 0 || !done.more, "{step:?} does not come on");
        removed += done.removed;
        if !done.more {
            return removed;
        }
    }
    panic!("{step:?} does not end");
}

/// Commits a blocklist entry of each of these tenants in turn.
fn entries(w: &World, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        let tenant = [&w.acme, &w.rival, &w.sister][number as usize % 3];
        w.apply(tenant.creating([block_rule(&tenant.merchant, number).into()]));
    }
}

fn scopes(w: &World) -> Vec<LogScope> {
    let stranger = EntityRef { id: "pro_nobody".into(), ..w.acme.profile.entity() };
    vec![
        LogScope::All,
        LogScope::Organization(w.acme.organization.tenant),
        LogScope::Organization(w.rival.organization.tenant),
        LogScope::Merchant(w.acme.merchant.tenant),
        LogScope::Merchant(w.rival.merchant.tenant),
        LogScope::Entity(w.acme.merchant.entity()),
        LogScope::Entity(w.acme.profile.entity()),
        LogScope::Entity(block_rule(&w.acme.merchant, 6).entity()),
        LogScope::Entity(stranger),
        LogScope::Merchant(Incarnation::PLATFORM),
    ]
}

pub(super) fn pruning_removes_exactly_the_oldest_entries(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    entries(&w, 1..=6);
    let logs: Vec<(LogScope, Vec<LogEntry>)> = scopes(&w).into_iter().map(|s| (s.clone(), w.log(&s))).collect();
    let log = w.log(&LogScope::All);
    for cut in [2, 2, 3, log.len() - 2] {
        let bound = log[cut].position;
        let stay = |entries: &[LogEntry]| -> Vec<LogEntry> {
            entries.iter().filter(|entry| entry.position >= bound).cloned().collect()
        };
        let gone = log.iter().filter(|e| e.position < bound).count() - (log.len() - w.log(&LogScope::All).len());
        assert_eq!(all(&w, &before(bound, 100)), gone as u64);
        for (scope, entries) in &logs {
            assert_eq!(w.log(scope), stay(entries), "{scope:?}");
        }
        // Once more is as good as once.
        assert_eq!(w.prune(&before(bound, 100)), Pruned { removed: 0, more: false });
        assert_eq!(w.log(&LogScope::All), stay(&log));
    }
    assert_eq!(w.prune(&before(LogPosition::START, 100)), Pruned { removed: 0, more: false });
    assert_eq!(w.log(&LogScope::All), log[log.len() - 2..]);
}

pub(super) fn pruning_by_age_removes_what_is_older_and_nothing_of_the_moment(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    // The clock of the fifth was set back: its entry is as old as the one in front.
    for (number, at) in (1..).zip([2_000_000, 2_000_001, 2_000_001, 2_000_002, 1_000, 2_000_003]) {
        let mut set = w.acme.creating([block_rule(&w.acme.merchant, number).into()]);
        set.at = moment(at);
        w.apply(set);
    }
    let log = w.log(&LogScope::All);
    let made = log.len() - 6;
    let older = |millis: i64| {
        let moment = moment(2_000_001).unix_millis() + millis;
        of_log(LogBound::OlderThan(Timestamp::from_unix_millis(moment).expect("is in the range")), 100)
    };
    assert_eq!(all(&w, &older(0)), made as u64 + 1);
    assert_eq!(w.log(&LogScope::All), log[made + 1..]);
    assert_eq!(all(&w, &older(1)), 2);
    assert_eq!(w.log(&LogScope::All), log[made + 3..]);
    assert_eq!(all(&w, &older(1_000)), 0);
    assert_eq!(all(&w, &older(1_001)), 2);
    assert_eq!(w.log(&LogScope::All), log[made + 5..]);
}

pub(super) fn the_newest_entry_is_never_pruned(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.creating([profile(&w.acme.merchant, 1).into()]);
    set.at = moment(9_000_000);
    w.apply(set);
    let (log, head) = (w.log(&LogScope::All), w.head());
    let newest = &log[log.len() - 1..];
    let bounds = [
        LogBound::Before(head.position),
        LogBound::Before(next_to(head.position, 1)),
        LogBound::Before(LogPosition::from_u64(u64::MAX)),
        LogBound::OlderThan(Timestamp::MAX),
    ];
    for (round, bound) in bounds.into_iter().enumerate() {
        let removed = all(&w, &of_log(bound, 100));
        assert_eq!(removed, if round == 0 { log.len() as u64 - 1 } else { 0 }, "{bound:?}");
        assert_eq!(w.log(&LogScope::All), newest);
    }
    // Positions rise and times never step back, as if nothing had been pruned.
    let receipt = w.apply(w.acme.creating([profile(&w.acme.merchant, 2).into()]));
    assert!(receipt.position > head.position);
    assert_eq!(receipt.at, head.at);
    assert_eq!(w.log(&LogScope::All).len(), 2);
}

pub(super) fn an_empty_log_is_pruned_of_nothing(fixture: &mut dyn Fixture) {
    let probe = Probe::new(fixture.store());
    for bound in [LogBound::Before(LogPosition::from_u64(9)), LogBound::OlderThan(Timestamp::MAX)] {
        assert_eq!(probe.prune(&of_log(bound, 100)), Pruned { removed: 0, more: false });
    }
    assert_eq!(
        probe.prune(&Prune::Claims { expired_at: Timestamp::MAX, limit: 9 }),
        Pruned { removed: 0, more: false }
    );
    assert_eq!(probe.head().pruned, None);
    assert_eq!(probe.log_page(LogScope::All, LogPosition::START, 9), []);
}

pub(super) fn a_log_is_pruned_in_bounded_steps(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    entries(&w, 1..=6);
    let log = w.log(&LogScope::All);
    let bound = log[8].position;
    assert_eq!(w.prune(&before(bound, 0)), Pruned { removed: 0, more: true });
    assert_eq!(w.log(&LogScope::All), log);
    for (done, more) in [(3, true), (6, true), (8, false)] {
        let gone = log.len() - w.log(&LogScope::All).len();
        assert_eq!(w.prune(&before(bound, 3)), Pruned { removed: done - gone as u64, more });
        assert_eq!(w.log(&LogScope::All), log[usize::try_from(done).expect("is small")..]);
        assert_eq!(w.head().beginning(), log[usize::try_from(done).expect("is small") - 1].position);
    }
    assert_eq!(w.prune(&before(bound, 0)), Pruned { removed: 0, more: false });
}

pub(super) fn no_more_than_a_thousand_rows_go_at_once(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for number in 1..=MAX_PRUNE_LIMIT {
        w.apply(w.acme.creating([block_rule(&w.acme.merchant, number).into()]));
    }
    let head = w.head().position;
    let done = w.prune(&before(head, u32::MAX));
    assert!(done.removed <= u64::from(MAX_PRUNE_LIMIT) && done.more, "{done:?}");
    all(&w, &before(head, u32::MAX));
    assert_eq!(w.log(&LogScope::All).len(), 1);
}

pub(super) fn a_long_entry_is_pruned_with_all_that_leads_to_it(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let rules = |numbers: std::ops::Range<u32>| numbers.map(|n| block_rule(&w.acme.merchant, n).into());
    for numbers in [0..1_500, 1_500..3_000, 3_000..4_500, 4_500..4_501] {
        w.apply(w.acme.creating(rules(numbers)));
    }
    let (log, head) = (w.log(&LogScope::All), w.head().position);
    assert_eq!(all(&w, &before(head, 1_000)), log.len() as u64 - 1);
    assert_eq!(w.log(&LogScope::All), log[log.len() - 1..]);
    for number in [0, 1_499, 1_500, 4_499] {
        assert_eq!(w.log(&LogScope::Entity(block_rule(&w.acme.merchant, number).entity())), []);
    }
    let newest = LogScope::Entity(block_rule(&w.acme.merchant, 4_500).entity());
    assert_eq!(w.log(&newest), log[log.len() - 1..]);
}

pub(super) fn a_follower_behind_what_was_pruned_is_told_and_one_ahead_is_not(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    entries(&w, 1..=6);
    for scope in scopes(&w) {
        assert_eq!(w.pruned_behind(scope, LogPosition::START), None, "nothing was pruned yet");
    }
    let log = w.log(&LogScope::All);
    for cut in [1, 2, 7, log.len() - 2] {
        let through = log[cut].position;
        all(&w, &before(next_to(through, 1), 100));
        assert_eq!(w.head().beginning(), through);
        for scope in scopes(&w) {
            for entry in &log {
                let told = w.pruned_behind(scope.clone(), entry.position);
                assert_eq!(told, (entry.position < through).then_some(through), "{scope:?} {}", entry.position);
            }
            // Who has read nothing cannot take what is left for the whole.
            assert_eq!(w.pruned_behind(scope.clone(), LogPosition::START), Some(through), "{scope:?}");
            assert_eq!(w.pruned_behind(scope.clone(), next_to(through, -1)), Some(through), "{scope:?}");
            assert_eq!(w.pruned_behind(scope, LogPosition::from_u64(u64::MAX)), None);
        }
        // A limit of none is no way round it.
        let query = LogQuery { scope: LogScope::All, after: LogPosition::START, limit: 0 };
        let error = block_on(w.store().log(&query)).expect_err("is refused");
        assert_eq!((error.code(), matches!(error, Error::LogPruned { .. })), ("log_pruned", true));
        assert_eq!(error.to_string(), format!("the log was pruned up to position {through}"));
        assert_eq!(w.log_page(LogScope::All, through, MAX_LOG_LIMIT), log[cut + 1..]);
    }
}

pub(super) fn the_head_says_how_far_when_and_by_whom_the_log_was_pruned(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    assert_eq!(w.head().pruned, None);
    let log = w.log(&LogScope::All);
    let step = |position, at, by: &Actor| {
        w.prune(&Prune::Log { bound: LogBound::Before(position), limit: 100, at: moment(at), by: by.clone() })
    };
    step(log[1].position, 7, &operator());
    let first = LogPruning { through: log[0].position, at: moment(7), by: operator() };
    assert_eq!(w.head().pruned, Some(first.clone()));
    // A step that removes nothing leaves no trace.
    step(log[1].position, 8, &Actor::Host);
    step(LogPosition::START, 9, &Actor::Host);
    assert_eq!(w.head().pruned, Some(first));
    step(log[3].position, 10, &Actor::Host);
    let second = LogPruning { through: log[2].position, at: moment(10), by: Actor::Host };
    assert_eq!(w.head().pruned, Some(second));
}

pub(super) fn each_head_outlives_its_entry(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let configured = w.head();
    for number in 1..=3 {
        let mut set = w.acme.creating([payment(&w.acme.profile, number).into()]);
        set.class = CommitClass::Operational;
        w.apply(set);
    }
    let head = w.head();
    assert_eq!(head.configuration, configured.position);
    all(&w, &before(head.position, 2));
    let after = w.head();
    assert_eq!((after.position, after.configuration, after.at), (head.position, head.configuration, head.at));
    assert!(after.configuration < after.beginning());
    let receipt = w.apply(w.acme.creating([profile(&w.acme.merchant, 1).into()]));
    assert_eq!(w.head().configuration, receipt.position);
}

pub(super) fn pruning_the_log_changes_nothing_else(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.creating(w.acme.one_of_each(1));
    set.idempotency = Some(claim(0, 1));
    w.apply(set.clone());
    entries(&w, 1..=4);
    let before_it = w.snapshot().without_log();
    all(&w, &before(w.head().position, 3));
    before_it.assert_same(&w.snapshot().without_log());
    // What was made by entries that are gone is judged as before.
    w.replay(set, &claim(0, 1).answer);
    w.refuse(
        w.acme.creating([profile(&w.acme.merchant, 1).into()]),
        "already_exists",
        "business profile `pro_1` exists already",
    );
    let mut set = w.acme.set();
    set.update(touched(&w.acme.profile));
    w.apply(set);
    let mut set = w.rival.set();
    set.remove(w.rival.merchant.entity(), 1, true);
    w.apply(set);
}

/// Keeps a claim of this tenant until `expires_at`.
fn claiming(w: &World, of: &Tenant, number: u32, key: usize, expires_at: Timestamp) {
    let mut set = of.creating([profile(&of.merchant, number).into()]);
    set.idempotency = Some(perfectpay::store::IdempotencyClaim { expires_at, ..claim(key, 1) });
    w.apply(set);
}

pub(super) fn claims_go_at_the_moment_of_their_expiry_and_others_still_replay(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let late = |millis: i64| {
        let moment = now().plus_seconds(60).unix_millis() + millis;
        Timestamp::from_unix_millis(moment).expect("is in the range")
    };
    claiming(&w, &w.acme, 1, 0, late(-1));
    claiming(&w, &w.acme, 2, 1, late(0));
    claiming(&w, &w.acme, 3, 2, late(1));
    claiming(&w, &w.rival, 1, 0, late(0));
    claiming(&w, &w.sister, 1, 0, late(5));
    let log = w.log(&LogScope::All);
    let gone = |tenant: &Tenant, key: &str| w.claim(tenant.merchant.tenant, key).is_none();
    let purge = |millis| w.prune(&Prune::Claims { expired_at: late(millis), limit: 100 });
    assert_eq!(purge(-2), Pruned { removed: 0, more: false });
    assert_eq!(purge(-1), Pruned { removed: 1, more: false });
    assert_eq!([gone(&w.acme, "key-0"), gone(&w.acme, "key-1"), gone(&w.rival, "key-0")], [true, false, false]);
    assert_eq!(purge(0), Pruned { removed: 2, more: false });
    assert_eq!([gone(&w.acme, "key-1"), gone(&w.acme, "key-2"), gone(&w.rival, "key-0")], [true, false, true]);
    assert_eq!(purge(0), Pruned { removed: 0, more: false });
    // The others hold, and the log is none of a claim's business.
    let mut again = w.acme.creating([profile(&w.acme.merchant, 9).into()]);
    again.idempotency = Some(claim(2, 1));
    w.replay(again, &claim(2, 1).answer);
    assert!(!gone(&w.sister, "key-0"));
    assert_eq!((w.log(&LogScope::All), w.head().pruned), (log, None));
    // A key whose claim is gone is free.
    claiming(&w, &w.acme, 4, 0, late(9));
    assert_eq!(purge(8), Pruned { removed: 2, more: false });
    assert!(!gone(&w.acme, "key-0"));
}

pub(super) fn a_claim_that_was_replaced_expires_when_its_successor_does(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    claiming(&w, &w.acme, 1, 0, moment(1));
    claiming(&w, &w.acme, 2, 0, moment(3));
    let purge = |at| w.prune(&Prune::Claims { expired_at: moment(at), limit: 100 });
    assert_eq!(purge(2), Pruned { removed: 0, more: false });
    assert!(w.claim(w.acme.merchant.tenant, "key-0").is_some());
    assert_eq!(purge(3), Pruned { removed: 1, more: false });
    assert_eq!(w.claim(w.acme.merchant.tenant, "key-0"), None);
    // What went with its tenant is not there to be purged.
    claiming(&w, &w.rival, 1, 0, moment(4));
    let mut set = w.rival.set();
    set.remove(w.rival.merchant.entity(), 1, true);
    w.apply(set);
    assert_eq!(purge(9), Pruned { removed: 0, more: false });
}

pub(super) fn claims_are_purged_in_bounded_steps_the_first_to_expire_first(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for (number, at) in (1..).zip([5_u32, 3, 1, 4, 2]) {
        claiming(&w, &w.acme, number, number as usize % 3, moment(at));
    }
    claiming(&w, &w.sister, 1, 0, moment(6));
    // Of `acme` the keys 1, 2 and 0 were claimed until 4, 2 and 1.
    let step = |limit| w.prune(&Prune::Claims { expired_at: moment(5), limit });
    let kept = || ["key-0", "key-1", "key-2"].map(|key| w.claim(w.acme.merchant.tenant, key).is_some());
    assert_eq!(step(0), Pruned { removed: 0, more: true });
    assert_eq!(kept(), [true, true, true]);
    assert_eq!(step(1), Pruned { removed: 1, more: true });
    assert_eq!(kept(), [false, true, true]);
    assert_eq!(step(1), Pruned { removed: 1, more: true });
    assert_eq!(kept(), [false, true, false]);
    assert_eq!(step(1), Pruned { removed: 1, more: false });
    assert_eq!(kept(), [false, false, false]);
    assert!(w.claim(w.sister.merchant.tenant, "key-0").is_some());
}

pub(super) fn commits_beside_a_pruning_are_all_followed_or_their_loss_is_told(fixture: &mut dyn Fixture) {
    const WRITERS: u32 = 3;
    const ROUNDS: u32 = 30;
    let w = World::open(fixture);
    let begin = w.head().position;
    let writing = AtomicBool::new(true);
    let seen = thread::scope(|scope| {
        let pruner = scope.spawn(|| {
            while writing.load(Ordering::SeqCst) {
                let head = w.head().position;
                w.prune(&before(next_to(head, -4).max(begin), 5));
                thread::yield_now();
            }
        });
        let follower = scope.spawn(|| {
            let (mut seen, mut told, mut at) = (Vec::<LogPosition>::new(), Vec::new(), begin);
            loop {
                let done = !writing.load(Ordering::SeqCst);
                match block_on(w.store().log(&LogQuery { scope: LogScope::All, after: at, limit: 4 })) {
                    Ok(page) if page.is_empty() && done => return (seen, told),
                    Ok(page) => seen.extend(page.iter().map(|entry| entry.position)),
                    Err(Error::LogPruned { through }) => {
                        assert!(at < through, "a follower was told that had missed nothing");
                        told.push((at, through));
                    }
                    Err(e) => panic!("{e}"),
                }
                let skipped = told.last().map_or(begin, |(_, through)| *through);
                let next = seen.last().map_or(skipped, |last| skipped.max(*last));
                assert!(next >= at, "the follower is thrown back");
                assert!(seen.len() < 100_000, "the log does not end");
                at = next;
            }
        });
        let writers: Vec<_> = (1..=WRITERS)
            .map(|number| {
                let w = &w;
                scope.spawn(move || {
                    let made = |round| {
                        let tenant = [&w.acme, &w.sister, &w.rival][number as usize % 3];
                        w.apply(tenant.creating([block_rule(&tenant.merchant, number * 1_000 + round).into()])).position
                    };
                    (0..ROUNDS).map(made).collect::<Vec<_>>()
                })
            })
            .collect();
        // Whether they hold or not, the others end.
        let committed: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        writing.store(false, Ordering::SeqCst);
        let mut committed: Vec<LogPosition> =
            committed.into_iter().flat_map(|made| made.expect("the writer holds")).collect();
        pruner.join().expect("the pruner holds");
        let (seen, told) = follower.join().expect("the follower holds");
        committed.sort();
        for position in committed {
            let times = seen.iter().filter(|found| **found == position).count();
            let lost = told.iter().any(|(at, through)| *at < position && position <= *through);
            assert!(times == 1 || lost, "the commit at {position} was seen {times} times, and no loss was told");
        }
        seen
    });
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "an entry came twice or late");
    // Nothing but the log is missing of all that was committed.
    for number in 1..=WRITERS {
        let tenant = [&w.acme, &w.sister, &w.rival][number as usize % 3];
        for round in 0..ROUNDS {
            let id = block_rule(&tenant.merchant, number * 1_000 + round).id;
            assert!(w.get(&perfectpay::store::Key::BlockRule(tenant.path().into(), id)).is_some());
        }
    }
}

pub(super) fn a_pruning_that_is_dropped_on_its_way_is_whole_or_absent(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    entries(&w, 1..=12);
    for polls in 0..4 {
        let log = w.log(&LogScope::All);
        let step = before(log[2].position, 2);
        let mut pruning = w.store().prune(&step);
        for _ in 0..polls {
            if block_on(futures_lite::future::poll_once(&mut pruning)).is_some() {
                pruning = Box::pin(std::future::pending());
                break;
            }
        }
        drop(pruning);
        // This one waits for whatever is still on its way.
        let mut set = w.acme.creating([profile(&w.acme.merchant, 10 + polls).into()]);
        set.at = now();
        w.apply(set);
        let (left, beginning) = (w.log(&LogScope::All), w.head().beginning());
        let gone = log.len() + 1 - left.len();
        assert!(gone == 0 || gone == 2, "dropped after {polls} polls, the step removed {gone} of 2");
        assert!(left.iter().all(|entry| entry.position > beginning));
        assert_eq!(w.pruned_behind(LogScope::All, log[1].position), None);
        if gone == 0 {
            assert_eq!(all(&w, &step), 2);
        }
    }
}

pub(super) fn a_pruned_log_goes_on_after_a_crash(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    claiming(&w, &w.acme, 1, 0, moment(5));
    claiming(&w, &w.acme, 2, 1, now().plus_seconds(9));
    let log = w.log(&LogScope::All);
    all(&w, &before(log[log.len() - 1].position, 2));
    all(&w, &Prune::Claims { expired_at: moment(5), limit: 1 });
    let before_it = w.snapshot();
    let (head, World { probe, acme, .. }) = (w.head(), w);
    drop(probe);
    for round in 0..3 {
        if !fixture.reopen() {
            return;
        }
        let probe = Probe::new(fixture.store());
        if round == 0 {
            before_it.assert_same(&probe.snapshot());
            assert_eq!(probe.head(), head);
        }
        assert_eq!(probe.pruned_behind(LogScope::All, LogPosition::START), Some(head.beginning()));
        assert_eq!(probe.claim(acme.merchant.tenant, "key-0"), None);
        let newest = probe.head().position;
        let receipt = probe.apply(acme.creating([profile(&acme.merchant, 10 + round).into()]));
        assert!(receipt.position > newest, "a position came twice");
        assert_eq!(probe.head().pruned, head.pruned);
    }
}
