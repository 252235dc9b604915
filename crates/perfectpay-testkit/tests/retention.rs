//! Retention through the handles: what a follower sees, what goes, and who may ask for it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says that it cannot go on by panicking"
)]

#[path = "machine/host.rs"]
mod host;

use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::block_on;
use host::{BEGINNING, Engine, IDEMPOTENCY_SECONDS, SetClock, backends, open};
use perfectpay::store::{Actor, LogBound, LogPosition, LogQuery, LogScope, Prune};
use perfectpay::{Error, LogRetention, NewOrganization, PerfectPay, Pruned, Timestamp};
use perfectpay_testkit::probe::Probe;
use perfectpay_testkit::records::{World, block_rule, now};
use proptest::prelude::*;

fn everywhere(test: impl Fn(&Engine, &PerfectPay, &SetClock)) {
    for engine in backends() {
        let clock = SetClock::new();
        let pay = open(Arc::clone(&engine.store), Arc::clone(&clock));
        test(&engine, &pay, &clock);
    }
}

fn create(pay: &PerfectPay, key: &str) -> String {
    let new = NewOrganization::named("Group".parse().unwrap());
    let made = block_on(async { pay.create_organization(new).idempotency_key(key.parse().unwrap()).await });
    made.unwrap().organization_id.to_string()
}

#[test]
fn a_tail_goes_on_where_another_one_came_to() {
    everywhere(|_, pay, _| {
        for number in 0..5 {
            create(pay, &format!("key-{number}"));
        }
        let all = block_on(pay.log(LogPosition::START, 100)).unwrap();
        let mut tail = pay.log_tail(LogPosition::START);
        assert_eq!(block_on(tail.next(2)).unwrap(), all[..2]);
        assert_eq!(tail.position(), all[1].position);
        let mut other = pay.log_tail(tail.position());
        assert_eq!(block_on(other.next(100)).unwrap(), all[2..]);
        assert_eq!(block_on(other.next(100)).unwrap(), []);
        assert_eq!(other.position(), all[4].position);
        create(pay, "key-5");
        assert_eq!(block_on(other.next(100)).unwrap().len(), 1);
    });
}

#[test]
fn a_tail_is_told_what_it_missed_and_stays_where_it_was() {
    everywhere(|_, pay, _| {
        let id = create(pay, "key-0");
        for number in 1..5 {
            create(pay, &format!("key-{number}"));
        }
        let all = block_on(pay.log(LogPosition::START, 100)).unwrap();
        let mut behind = pay.log_tail(LogPosition::START);
        let mut ahead = pay.log_tail(LogPosition::START);
        block_on(ahead.next(3)).unwrap();
        let operator = pay.acting_as(Actor::Operator("nightly".parse().unwrap()));
        let done = block_on(operator.prune_log(LogRetention::Before(all[3].position))).unwrap();
        assert_eq!(done, Pruned { removed: 3, more: false });
        for _ in 0..2 {
            let error = block_on(behind.next(100)).unwrap_err();
            assert!(matches!(error, Error::LogPruned { through } if through == all[2].position), "{error:?}");
            assert_eq!((error.code(), behind.position()), ("log_pruned", LogPosition::START));
        }
        assert_eq!(block_on(ahead.next(100)).unwrap(), all[3..]);
        let head = block_on(pay.log_head()).unwrap();
        let pruned = head.pruned.as_ref().expect("it was pruned");
        assert_eq!((pruned.through, pruned.by.to_string()), (all[2].position, "operator:nightly".to_owned()));
        assert_eq!(pruned.at.unix_millis(), BEGINNING);
        // An organization's log has the same rule.
        let scope = pay.organization(&id.parse().unwrap());
        assert_eq!(block_on(scope.log(LogPosition::START, 9)).unwrap_err().code(), "log_pruned");
        assert_eq!(block_on(scope.log(head.beginning(), 9)).unwrap(), []);
        block_on(scope.retrieve()).expect("is there as before");
    });
}

#[test]
fn retention_by_age_goes_by_the_clock_of_the_host() {
    everywhere(|_, pay, clock| {
        for (number, at) in [0, 1_000, 2_000, 3_000].into_iter().enumerate() {
            clock.set(BEGINNING + at);
            create(pay, &format!("key-{number}"));
        }
        let older = |millis| LogRetention::OlderThan(Duration::from_millis(millis));
        assert_eq!(block_on(pay.prune_log(older(3_000))).unwrap(), Pruned { removed: 0, more: false });
        assert_eq!(block_on(pay.prune_log(older(2_999))).unwrap(), Pruned { removed: 1, more: false });
        assert_eq!(block_on(pay.prune_log(LogRetention::OlderThan(Duration::MAX))).unwrap().removed, 0);
        // A clock that is behind the log makes nothing old; the newest entry stays at any age.
        clock.set(BEGINNING);
        assert_eq!(block_on(pay.prune_log(older(0))).unwrap().removed, 0);
        clock.set(BEGINNING + 1_000_000);
        assert_eq!(block_on(pay.prune_log(older(0))).unwrap(), Pruned { removed: 2, more: false });
    });
}

#[test]
fn claims_are_purged_a_minute_after_they_expire() {
    everywhere(|engine, pay, clock| {
        let first = create(pay, "key");
        let expiry = BEGINNING + i64::from(IDEMPOTENCY_SECONDS) * 1_000;
        let kept = || {
            let key = "key".parse().unwrap();
            block_on(engine.store.claim(perfectpay::Incarnation::PLATFORM, &key)).unwrap().is_some()
        };
        clock.set(expiry - 1);
        assert_eq!(block_on(pay.purge_claims()).unwrap(), Pruned { removed: 0, more: false });
        assert_eq!(create(pay, "key"), first);
        clock.set(expiry + 59_999);
        assert_eq!((block_on(pay.purge_claims()).unwrap().removed, kept()), (0, true));
        clock.set(expiry + 60_000);
        assert_eq!((block_on(pay.purge_claims()).unwrap().removed, kept()), (1, false));
        assert_ne!(create(pay, "key"), first);
    });
}

#[test]
fn nothing_is_pruned_in_a_batch() {
    everywhere(|_, pay, _| {
        create(pay, "key-0");
        create(pay, "key-1");
        let (head, batch) = (block_on(pay.log_head()).unwrap(), pay.batch());
        let refused = block_on(batch.pay().prune_log(LogRetention::Before(head.position))).unwrap_err();
        assert_eq!(refused.code(), "batch.prune");
        assert_eq!(block_on(batch.pay().purge_claims()).unwrap_err().code(), "batch.prune");
        assert_eq!(block_on(pay.log_head()).unwrap(), head);
    });
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Commit,
    Prune { distance: u64, limit: u32 },
    Age { seconds: u32, limit: u32 },
    Read { follower: usize, limit: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Commit),
        1 => (0..8_u64, 0..6_u32).prop_map(|(distance, limit)| Step::Prune { distance, limit }),
        1 => (0..12_u32, 0..6_u32).prop_map(|(seconds, limit)| Step::Age { seconds, limit }),
        3 => (0..3_usize, 0..5_u32).prop_map(|(follower, limit)| Step::Read { follower, limit }),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_follower_sees_each_entry_exactly_once_or_is_told(steps in steps()) {
        for engine in backends() {
            let store = Arc::clone(&engine.store);
            let w = World::open(&store);
            let probe = Probe::new(store);
            let mut committed: Vec<LogPosition> = probe.log(&LogScope::All).iter().map(|e| e.position).collect();
            let mut gone = LogPosition::START;
            let mut followers = [LogPosition::START; 3];
            for (number, step) in (1..).zip(&steps) {
                let at = now().plus_seconds(number);
                let prune = |bound, limit| probe.prune(&Prune::Log { bound, limit, at, by: Actor::Host });
                match *step {
                    Step::Commit => {
                        let mut set = w.acme.creating([block_rule(&w.acme.merchant, number).into()]);
                        set.at = at;
                        committed.push(probe.apply(set).position);
                    }
                    Step::Prune { distance, limit } => {
                        let newest = committed.last().expect("there are entries").as_u64();
                        prune(LogBound::Before(LogPosition::from_u64(newest.saturating_sub(distance))), limit);
                    }
                    Step::Age { seconds, limit } => {
                        let moment = Timestamp::from_unix_millis(at.unix_millis() - i64::from(seconds) * 1_000);
                        prune(LogBound::OlderThan(moment.expect("is in the range")), limit);
                    }
                    Step::Read { follower, limit } => {
                        let after = followers[follower];
                        let query = LogQuery { scope: LogScope::All, after, limit };
                        let expected: Vec<LogPosition> =
                            committed.iter().copied().filter(|p| *p > after).take(limit as usize).collect();
                        match block_on(probe.store().log(&query)) {
                            Ok(entries) => {
                                prop_assert!(after >= gone, "{}: {after} is behind {gone}, and nobody said so", engine.name);
                                let seen: Vec<LogPosition> = entries.iter().map(|entry| entry.position).collect();
                                prop_assert_eq!(&seen, &expected, "{}", engine.name);
                                followers[follower] = seen.last().copied().unwrap_or(after);
                            }
                            Err(Error::LogPruned { through }) => {
                                prop_assert!(after < gone && through == gone, "{}: {after} {through} {gone}", engine.name);
                                followers[follower] = through;
                            }
                            Err(error) => panic!("{}: {error}", engine.name),
                        }
                    }
                }
                let head = probe.head();
                prop_assert!(head.beginning() >= gone && head.beginning() < head.position, "{}", engine.name);
                prop_assert_eq!(Some(&head.position), committed.last());
                gone = head.beginning();
                let left: Vec<LogPosition> = probe.log(&LogScope::All).iter().map(|e| e.position).collect();
                let expected: Vec<LogPosition> = committed.iter().copied().filter(|p| *p > gone).collect();
                prop_assert_eq!(left, expected, "{}", engine.name);
            }
        }
    }
}
