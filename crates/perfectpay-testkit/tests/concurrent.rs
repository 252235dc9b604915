//! Many at once, through the handles, on every back-end. First by the dozen on threads of their own; then exactly: one
//! command is stopped right before its commit, another comes between, and the first must come out as if it had been
//! decided after that.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says that it cannot go on by panicking"
)]

#[path = "machine/host.rs"]
mod host;

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use async_trait::async_trait;
use futures_lite::future::block_on;
use host::{Engine, SetClock, backends, open};
use perfectpay::store::{ChangeSet, Committed, Key, Listing, LogPosition, Query, Record, Store};
use perfectpay::{
    ConnectorId, EntityKind, Error, Merchant, MerchantScope, NewMerchant, NewOrganization, NewProfile,
    OrganizationScope, PageRequest, PerfectPay, Profile, ProfileId, json,
};
use perfectpay_testkit::layer::{Layer, Layered};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const THREADS: usize = 8;

fn wait<F: IntoFuture>(future: F) -> F::Output {
    block_on(future.into_future())
}

fn body<T: DeserializeOwned>(body: Value) -> T {
    json::from_value(body).expect("a body")
}

fn page() -> PageRequest {
    PageRequest::of(100).expect("a limit")
}

fn named(name: &str) -> NewProfile {
    NewProfile::named(name.parse().expect("a name"))
}

fn connector(label: Option<&str>) -> perfectpay::NewConnector {
    body(json!({
        "connector_type": "payment_processor",
        "connector_name": "stripe",
        "connector_label": label,
        "connector_account_details": { "auth_type": "HeaderKey", "api_key": "sk_test_123" },
    }))
}

fn payment(id: &str) -> perfectpay::NewPayment {
    body(json!({ "amount": 5, "currency": "EUR", "payment_id": id }))
}

/// An organization with the account `m`, on a fresh store.
struct World {
    engine: Engine,
    pay: PerfectPay,
    organization: OrganizationScope,
    merchant: MerchantScope,
}

impl World {
    fn on(engine: Engine) -> Self {
        let pay = open(Arc::clone(&engine.store), SetClock::new());
        let made = wait(pay.create_organization(NewOrganization::named("Group".parse().expect("a name"))));
        let organization = pay.organization(&made.expect("an organization").organization_id);
        wait(organization.create_merchant(NewMerchant::with_id("m".parse().expect("an id")))).expect("an account");
        let merchant = organization.merchant(&"m".parse().expect("an id"));
        Self { engine, pay, organization, merchant }
    }

    fn merchant(&self) -> Merchant {
        wait(self.merchant.retrieve()).expect("the account")
    }

    fn profiles(&self) -> Vec<Profile> {
        wait(self.merchant.profiles(page())).expect("profiles").items
    }

    fn default(&self) -> ProfileId {
        self.merchant().default_profile.expect("a default profile")
    }

    /// An account has a default profile exactly while it has profiles, and it is one of them.
    fn has_one_default(&self) {
        let ids: Vec<_> = self.profiles().into_iter().map(|profile| profile.profile_id).collect();
        match self.merchant().default_profile {
            Some(default) => assert!(ids.contains(&default), "{}: the default is not there", self.engine.name),
            None => assert!(ids.is_empty(), "{}: {} profiles and no default", self.engine.name, ids.len()),
        }
    }

    fn head(&self) -> LogPosition {
        wait(self.pay.log_head()).expect("the head").position
    }
}

fn everywhere(test: impl Fn(World)) {
    for engine in backends() {
        test(World::on(engine));
    }
}

/// Runs `act` on threads that begin at the same moment, each with its number, and collects what they answer.
fn together<T: Send>(threads: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let run = |number| {
            let (act, barrier) = (&act, &barrier);
            scope.spawn(move || {
                barrier.wait();
                act(number)
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().map(|thread| thread.join().expect("a thread that ends well")).collect()
    })
}

/// How many succeeded, and the codes of the others.
fn tally<T>(answers: Vec<Result<T, Error>>) -> (usize, BTreeSet<String>) {
    let codes =
        answers.iter().filter_map(|answer| answer.as_ref().err()).map(|error| error.code().to_owned()).collect();
    (answers.into_iter().flatten().count(), codes)
}

#[test]
fn what_expects_a_version_is_acknowledged_or_told_and_never_lost() {
    everywhere(|world| {
        let scope = &world.organization;
        let acknowledged: u64 = together(THREADS, |thread| {
            let mut acknowledged = 0;
            for round in 0..12 {
                let read = wait(scope.retrieve()).expect("the organization");
                let update = body(json!({ "organization_name": format!("{thread}.{round}") }));
                match wait(scope.update(update).expecting(read.version)) {
                    Ok(written) => {
                        assert_eq!(written.version, read.version + 1);
                        acknowledged += 1;
                    }
                    Err(Error::Stale { expected, found, .. }) => {
                        assert_eq!(expected, read.version);
                        assert!(found > expected);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            acknowledged
        })
        .into_iter()
        .sum();
        assert!(acknowledged > 0);
        assert_eq!(
            wait(scope.retrieve()).expect("the organization").version,
            1 + acknowledged,
            "{}",
            world.engine.name
        );
    });
}

#[test]
fn what_expects_nothing_always_lands() {
    everywhere(|world| {
        let profile = world.merchant.profile(&world.default());
        together(THREADS, |thread| {
            for round in 0..12 {
                // Each thread has a key of its own in what it reads, and loses none of it to the others.
                let expiry = 60 + 100 * thread + round;
                let update = match thread % 3 {
                    0 => json!({ "session_expiry": expiry }),
                    1 => json!({ "intent_fulfillment_time": expiry }),
                    _ => json!({ "metadata": { "thread": thread, "round": round } }),
                };
                let written = wait(profile.update(body(update)));
                written.unwrap_or_else(|error| panic!("{}, {thread}.{round}: {error}", world.engine.name));
            }
        });
        let last = wait(profile.retrieve()).expect("the profile");
        let updates = u64::try_from(THREADS * 12).expect("a small number");
        assert_eq!(last.version, 1 + updates, "{}", world.engine.name);
        assert_eq!(last.settings.session_expiry.get() % 100, 71, "the last round of some thread");
        assert_eq!(last.settings.intent_fulfillment_time.get() % 100, 71);
        assert_eq!(last.settings.metadata.expect("metadata").get("round"), Some(&json!(11)));
    });
}

#[test]
fn among_very_many_nobody_is_left_behind() {
    everywhere(|world| {
        let updates = together(4 * THREADS, |thread| {
            (0..4)
                .map(|round| {
                    let name = body(json!({ "merchant_name": format!("{thread}.{round}") }));
                    wait(world.merchant.update(name))
                })
                .collect::<Vec<_>>()
        });
        let (landed, codes) = tally(updates.into_iter().flatten().collect());
        assert_eq!((landed, codes), (16 * THREADS, BTreeSet::new()), "{}", world.engine.name);
    });
}

#[test]
fn of_many_who_want_one_name_exactly_one_gets_it() {
    everywhere(|world| {
        let (merchant, name) = (&world.merchant, world.engine.name);
        let one = |answers: (usize, BTreeSet<String>), code: &str| {
            assert_eq!(answers, (1, BTreeSet::from([code.to_owned()])), "{name}");
        };
        one(tally(together(THREADS, |_| wait(merchant.create_profile(named("Web"))))), "duplicate");
        one(tally(together(THREADS, |_| wait(merchant.create_connector(connector(Some("main")))))), "duplicate");
        one(tally(together(THREADS, |_| wait(merchant.create_payment(payment("p"))))), "already_exists");
        let entry = || body(json!({ "type": "card_bin", "data": "411111" }));
        one(tally(together(THREADS, |_| wait(merchant.blocklist().add(entry())))), "already_exists");
        let other = wait(world.pay.create_organization(NewOrganization::named("Other".parse().expect("a name"))));
        let other = world.pay.organization(&other.expect("an organization").organization_id);
        let create = |thread: usize| {
            let new = NewMerchant::with_id("n".parse().expect("an id"));
            wait(if thread.is_multiple_of(2) { &world.organization } else { &other }.create_merchant(new))
        };
        one(tally(together(THREADS, create)), "already_exists");
        assert_eq!(wait(merchant.blocklist().entries(None, page())).expect("entries").total_count, 1);
        // And of many who remove one thing, one does.
        one(tally(together(THREADS, |_| wait(merchant.blocklist().remove(entry())))), "not_found");
        assert_eq!(wait(merchant.blocklist().entries(None, page())).expect("entries").total_count, 0);
    });
}

#[test]
fn a_child_and_the_end_of_its_parent_never_both_come_true() {
    everywhere(|world| {
        for round in 0..15 {
            let id = format!("n{round}").parse().expect("an id");
            wait(world.organization.create_merchant(NewMerchant::with_id(id))).expect("an account");
            let scope = world.organization.merchant(&format!("n{round}").parse().expect("an id"));
            let default = wait(scope.retrieve()).expect("the account").default_profile.expect("a default");
            let done = together(4, |thread| match thread {
                0 => wait(scope.create_payment(payment("p"))).map(drop),
                1 => wait(scope.create_connector(connector(None))).map(drop),
                2 => wait(scope.profile(&default).remove()).map(drop),
                _ => wait(scope.remove().cascade()).map(drop),
            });
            assert!(done[3].is_ok(), "{:?}", done[3]);
            for error in done.iter().filter_map(|answer| answer.as_ref().err()) {
                let code = error.code();
                assert!(matches!(code, "not_found" | "has_children" | "profile.no_default"), "{error}");
            }
            assert_eq!(wait(scope.payments(page())).expect_err("removed").code(), "not_found");
        }
    });
}

#[test]
fn an_account_with_profiles_never_loses_its_default() {
    everywhere(|world| {
        for round in 0..20 {
            let default = world.default();
            together(3, |thread| match thread {
                0 => drop(wait(world.merchant.profile(&default).remove())),
                1 => drop(wait(world.merchant.create_profile(named(&format!("Web {round}"))))),
                _ => {
                    let business = json!([{ "country": "US", "business": format!("b{round}") }]);
                    let update = body(json!({ "primary_business_details": business }));
                    drop(wait(world.merchant.update(update)));
                }
            });
            world.has_one_default();
            // Back to one profile, which is the default.
            let default = world.default();
            for profile in world.profiles() {
                if profile.profile_id != default {
                    wait(world.merchant.profile(&profile.profile_id).remove()).expect("not the default");
                }
            }
        }
        // And moved about by everyone at once.
        for name in ["A", "B", "C"] {
            wait(world.merchant.create_profile(named(name))).expect("a profile");
        }
        let ids: Vec<_> = world.profiles().into_iter().map(|profile| profile.profile_id).collect();
        together(4, |thread| {
            for round in 0..8 {
                let id = &ids[(thread + round) % ids.len()];
                let moved = wait(world.merchant.update(body(json!({ "default_profile": id }))));
                moved.unwrap_or_else(|error| panic!("{}: {error}", world.engine.name));
            }
        });
        world.has_one_default();
    });
}

#[test]
fn one_idempotency_key_makes_one_object_however_many_use_it() {
    everywhere(|world| {
        let key = |name: &str| name.parse().expect("a key");
        let answers = together(THREADS, |_| {
            let profile = wait(world.merchant.create_profile(named("Once")).idempotency_key(key("profile")));
            let api_key = body(json!({ "name": "Once", "expiration": "never" }));
            let api_key = wait(world.merchant.create_api_key(api_key).idempotency_key(key("api-key")));
            let payment = body(json!({ "amount": 1, "currency": "EUR" }));
            let payment = wait(world.merchant.create_payment(payment).idempotency_key(key("payment")));
            let account = NewMerchant::with_id("once".parse().expect("an id"));
            let account = wait(world.organization.create_merchant(account).idempotency_key(key("account")));
            let group = NewOrganization::named("Once".parse().expect("a name"));
            let group = wait(world.pay.create_organization(group).idempotency_key(key("organization")));
            let text = |name: &str, done: Result<Value, Error>| {
                done.unwrap_or_else(|error| panic!("{}, {name}: {error}", world.engine.name))
            };
            let json = |value: serde_json::Result<Value>| value.expect("an answer is JSON");
            let shown = api_key.as_ref().is_ok_and(|issued| issued.api_key.is_some());
            let same = [
                text("profile", profile.map(|one| json(serde_json::to_value(one)))),
                text("API key", api_key.map(|one| Value::from(one.key_id.as_str()))),
                text("payment", payment.map(|one| json(serde_json::to_value(one)))),
                text("account", account.map(|one| json(serde_json::to_value(one)))),
                text("organization", group.map(|one| json(serde_json::to_value(one)))),
            ];
            (same, shown)
        });
        assert!(answers.iter().all(|(same, _)| *same == answers[0].0), "{}", world.engine.name);
        assert_eq!(answers.iter().filter(|(_, shown)| *shown).count(), 1, "a token is shown once");
        assert_eq!(world.profiles().len(), 2);
        assert_eq!(wait(world.merchant.api_keys(page())).expect("keys").items.len(), 1);
        assert_eq!(wait(world.merchant.payments(page())).expect("payments").items.len(), 1);
        assert_eq!(wait(world.organization.merchants(page())).expect("accounts").items.len(), 2);
        assert_eq!(wait(world.pay.organizations(page())).expect("organizations").items.len(), 2);
    });
}

#[test]
fn who_follows_the_log_misses_nothing_and_sees_nothing_twice() {
    const EACH: usize = 15;
    everywhere(|world| {
        let start = world.head();
        let over = AtomicBool::new(false);
        let seen = thread::scope(|scope| {
            let follow = |limit: u32| {
                let (over, pay, merchant) = (&over, &world.pay, &world.merchant);
                scope.spawn(move || {
                    let (mut after, mut seen) = (start, Vec::new());
                    loop {
                        // Asked before the log is read: what was written by then is in what is read.
                        let last = over.load(Ordering::SeqCst);
                        let entries = match limit {
                            2 => wait(merchant.log(after, limit)),
                            _ => wait(pay.log(after, limit)),
                        };
                        let entries = entries.expect("the log");
                        if last && entries.is_empty() {
                            return seen;
                        }
                        for entry in entries {
                            assert!(entry.position > after, "positions grow");
                            after = entry.position;
                            seen.push(entry.changes[0].id.clone());
                        }
                    }
                })
            };
            let following: Vec<_> = [1_000, 3, 2].map(follow).into();
            together(6, |thread| {
                for round in 0..EACH {
                    wait(world.merchant.create_payment(payment(&format!("p{thread}-{round}")))).expect("a payment");
                }
            });
            over.store(true, Ordering::SeqCst);
            following.into_iter().map(|thread| thread.join().expect("a follower")).collect::<Vec<_>>()
        });
        let wanted: BTreeSet<String> =
            (0..6).flat_map(|thread| (0..EACH).map(move |round| format!("p{thread}-{round}"))).collect();
        for seen in seen {
            assert_eq!(seen.len(), wanted.len(), "{}", world.engine.name);
            assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), wanted, "{}", world.engine.name);
        }
    });
}

/// Polls a future so many times, a moment apart, and drops it. Whether it was ready before.
fn dropped_after<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut context) {
            return Some(answer);
        }
        thread::yield_now();
    }
    None
}

#[test]
fn a_dropped_command_is_wholly_done_or_wholly_not() {
    everywhere(|world| {
        let start = world.head();
        for round in 0..60_usize {
            let polls = round % 12;
            let key = || format!("k{round}").parse().expect("a key");
            let new = || {
                let mut new = NewMerchant::with_id(format!("n{round}").parse().expect("an id"));
                new.primary_business_details =
                    Some(body(json!([{ "country": "US", "business": "a" }, { "country": "DE", "business": "b" }])));
                new
            };
            let create = || world.organization.create_merchant(new()).idempotency_key(key());
            let first = dropped_after(create().into_future(), polls);
            let other =
                dropped_after(world.merchant.create_payment(payment(&format!("p{round}"))).into_future(), polls);
            assert!(other.is_none_or(|answer| answer.is_ok()));
            // A commit that was queued may still be on its way: the same command again waits behind it, and is the same.
            let again = wait(create()).expect("the account");
            assert!(first.is_none_or(|first| first.expect("the account") == again));
            let scope = world.organization.merchant(&again.merchant_id);
            assert_eq!(wait(scope.profiles(page())).expect("profiles").items.len(), 2);
            assert_eq!(wait(scope.log(LogPosition::START, 10)).expect("the log").len(), 1, "made once");
        }
        // What is listed is what was logged, no half of anything.
        wait(world.merchant.create_payment(payment("last"))).expect("a payment");
        let entries = wait(world.merchant.log(start, 1_000)).expect("the log");
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let payments = wait(world.merchant.payments(page().after(after))).expect("payments");
            listed.extend(payments.items.into_iter().map(|payment| payment.payment_id.to_string()));
            after = payments.next;
            if after.is_none() {
                break;
            }
        }
        let mut logged: Vec<_> = entries.into_iter().map(|entry| entry.changes[0].id.clone()).collect();
        logged.sort();
        listed.sort();
        assert_eq!(listed, logged, "{}", world.engine.name);
    });
}

// ---- exactly between decision and commit ---------------------------------------------------------------------------

type Intrusion = Box<dyn FnOnce() + Send>;

/// Lets someone come between, once, right before a commit or before some read.
#[derive(Default)]
struct Between {
    armed: Mutex<Option<Intrusion>>,
    /// Before which call of the store, reads counted too.
    armed_at: Mutex<Option<(usize, Intrusion)>>,
}

impl Between {
    /// Counts a call down.
    fn call(&self) {
        let mut armed = self.armed_at.lock().expect("no panic before");
        match armed.take() {
            Some((0, intrude)) => {
                drop(armed);
                intrude();
            }
            Some((more, intrude)) => *armed = Some((more - 1, intrude)),
            None => {}
        }
    }
}

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Between").finish_non_exhaustive()
    }
}

#[async_trait]
impl Layer for Between {
    async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
        let armed = self.armed.lock().expect("no panic before").take();
        if let Some(intrude) = armed {
            intrude();
        }
        self.call();
        next.commit(set).await
    }

    async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
        self.call();
        next.get(key).await
    }

    async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
        self.call();
        next.list(query).await
    }
}

/// A world, and a second handle on its account whose next commit is intruded on.
struct Interrupted {
    world: World,
    layer: Arc<Between>,
    organization: OrganizationScope,
    merchant: MerchantScope,
}

impl Interrupted {
    /// Runs `intrude` between the decision and the commit of `command`.
    fn between<F: IntoFuture>(&self, intrude: impl FnOnce() + Send + 'static, command: F) -> F::Output {
        *self.layer.armed.lock().expect("no panic before") = Some(Box::new(intrude));
        let answer = wait(command);
        assert!(self.layer.armed.lock().expect("no panic before").is_none(), "nothing was committed");
        answer
    }
}

fn interrupted(test: impl Fn(Interrupted)) {
    for engine in backends() {
        let world = World::on(engine);
        let layered = Layered::over(Arc::clone(&world.engine.store), Between::default());
        let layer = Arc::clone(&layered.layer);
        let pay = open_apart(Arc::new(layered));
        let id = wait(world.organization.retrieve()).expect("the organization").organization_id;
        let organization = pay.organization(&id);
        let merchant = organization.merchant(&"m".parse().expect("an id"));
        test(Interrupted { world, layer, organization, merchant });
    }
}

/// The library on a store that another handle uses too: with randomness of its own, or it would make the same ids.
fn open_apart(store: Arc<dyn Store>) -> PerfectPay {
    host::open_with(store, SetClock::new(), 99)
}

#[test]
fn a_new_business_while_the_only_profile_goes_becomes_the_default() {
    interrupted(|at| {
        let (other, default) = (at.world.merchant.clone(), at.world.default());
        let intrude = move || drop(wait(other.profile(&default).remove()).expect("the last profile may go"));
        let update = body(json!({ "primary_business_details": [{ "country": "US", "business": "a" }] }));
        let updated = at.between(intrude, at.merchant.update(update)).expect("updated");
        at.world.has_one_default();
        assert_eq!(updated.default_profile, Some(at.world.default()));
    });
}

#[test]
fn a_new_business_whose_profile_is_made_meanwhile_needs_none() {
    interrupted(|at| {
        let other = at.world.merchant.clone();
        let intrude = move || drop(wait(other.create_profile(named("US_a"))).expect("a profile"));
        let update = body(json!({ "primary_business_details": [{ "country": "US", "business": "a" }] }));
        at.between(intrude, at.merchant.update(update)).expect("updated");
        assert_eq!(at.world.profiles().len(), 2);
    });
}

#[test]
fn a_new_profile_while_the_only_one_goes_becomes_the_default() {
    interrupted(|at| {
        let (other, default) = (at.world.merchant.clone(), at.world.default());
        let intrude = move || drop(wait(other.profile(&default).remove()).expect("the last profile may go"));
        let made = at.between(intrude, at.merchant.create_profile(named("Web"))).expect("a profile");
        assert_eq!(at.world.default(), made.profile_id);
    });
}

/// Another profile becomes the default, and the old one goes.
fn replace_default(world: &World) -> impl FnOnce() + Send + use<> {
    let (other, old) = (world.merchant.clone(), world.default());
    move || {
        let web = wait(other.create_profile(named("Web"))).expect("a profile").profile_id;
        wait(other.update(body(json!({ "default_profile": web })))).expect("moved");
        wait(other.profile(&old).remove()).expect("removed");
    }
}

#[test]
fn what_names_no_profile_goes_to_the_default_there_is_by_then() {
    interrupted(|at| {
        let made = at.between(replace_default(&at.world), at.merchant.create_connector(connector(None)));
        let made = made.expect("a connector account");
        assert_eq!(made.profile_id, at.world.default());
        assert_eq!(made.connector_label.as_str(), "stripe_Web");
    });
    interrupted(|at| {
        let made = at.between(replace_default(&at.world), at.merchant.create_payment(payment("p"))).expect("a payment");
        assert_eq!(made.profile_id, at.world.default());
    });
    // Where the account goes, it is the account that is not there.
    interrupted(|at| {
        let other = at.world.merchant.clone();
        let remove = move || drop(wait(other.remove().cascade()).expect("removed"));
        let error = at.between(remove, at.merchant.create_payment(payment("p"))).expect_err("gone");
        assert_eq!(error.to_string(), "there is no merchant account `m`");
    });
    // A profile that is named and goes is not there.
    interrupted(|at| {
        let (other, old) = (replace_default(&at.world), at.world.default());
        let made = at.between(other, at.merchant.profile(&old).create_connector(connector(None)));
        assert_eq!(made.expect_err("gone").to_string(), format!("there is no business profile `{old}`"));
    });
}

#[test]
fn a_default_label_holds_the_name_that_the_profile_has_by_then() {
    interrupted(|at| {
        let profile = at.world.merchant.profile(&at.world.default());
        let rename = move || drop(wait(profile.update(body(json!({ "profile_name": "Renamed" })))).expect("renamed"));
        let made = at.between(rename, at.merchant.create_connector(connector(None))).expect("a connector account");
        assert_eq!(made.connector_label.as_str(), "stripe_Renamed");
    });
}

#[test]
fn an_expected_version_is_the_accounts_own_and_not_its_profiles() {
    interrupted(|at| {
        let web = wait(at.world.merchant.create_profile(named("Web"))).expect("a profile").profile_id;
        let version = at.world.merchant().version;
        // Both profiles are at the version that the account is at.
        let profile = at.world.merchant.profile(&web);
        let rename = move || drop(wait(profile.update(body(json!({ "profile_name": "Renamed" })))).expect("renamed"));
        let update = at.merchant.update(body(json!({ "default_profile": web }))).expecting(version);
        let moved = at.between(rename, update).expect("the account itself is as expected");
        assert_eq!(moved.default_profile, Some(web));
        assert_eq!(at.world.profiles().iter().map(|p| p.version).max(), Some(3));
    });
}

#[test]
fn a_default_profile_that_gets_company_or_a_profile_that_becomes_the_default_stays() {
    interrupted(|at| {
        let (other, default) = (at.world.merchant.clone(), at.world.default());
        let company = move || drop(wait(other.create_profile(named("Web"))).expect("a profile"));
        let removed = at.between(company, at.merchant.profile(&default).remove());
        assert_eq!(removed.expect_err("has company").code(), "profile.is_default");
        at.world.has_one_default();
    });
    interrupted(|at| {
        let other = at.world.merchant.clone();
        let web = wait(other.create_profile(named("Web"))).expect("a profile").profile_id;
        let id = web.clone();
        let chosen = move || drop(wait(other.update(body(json!({ "default_profile": id })))).expect("moved"));
        let removed = at.between(chosen, at.merchant.profile(&web).remove());
        assert_eq!(removed.expect_err("is the default").code(), "profile.is_default");
        at.world.has_one_default();
    });
}

#[test]
fn a_child_that_comes_meanwhile_holds_its_parent() {
    interrupted(|at| {
        let (other, default) = (at.world.merchant.clone(), at.world.default());
        let child = move || drop(wait(other.create_connector(connector(None))).expect("a connector account"));
        let removed = at.between(child, at.merchant.profile(&default).remove());
        assert_eq!(removed.expect_err("has a child").code(), "has_children");
        at.world.has_one_default();
    });
}

#[test]
fn an_update_that_meets_another_keeps_what_that_one_wrote() {
    interrupted(|at| {
        let other = at.world.merchant.clone();
        let rename = move || drop(wait(other.update(body(json!({ "merchant_name": "Other" })))).expect("renamed"));
        let updated = at.between(rename, at.merchant.update(body(json!({ "metadata": { "a": 1 } })))).expect("updated");
        assert_eq!(updated.merchant_name.expect("a name").as_str(), "Other");
        assert_eq!(at.world.merchant().version, 3);
        // What expects a version is told instead, and writes nothing.
        let (other, head) = (at.world.merchant.clone(), at.world.head());
        let toggle = move || _ = wait(other.blocklist().toggle(None)).expect("toggled");
        let update = at.merchant.update(body(json!({ "metadata": { "a": 2 } }))).expecting(3);
        let error = at.between(toggle, update).expect_err("stale");
        assert_eq!(error.to_string(), "merchant account `m` is at version 4, not 3");
        assert_eq!(wait(at.world.pay.log(head, 10)).expect("the log").len(), 1);
    });
}

#[test]
fn a_key_that_is_revoked_meanwhile_is_not_updated() {
    interrupted(|at| {
        let new = body(json!({ "name": "Key", "expiration": "never" }));
        let id = wait(at.world.merchant.create_api_key(new)).expect("a key").key_id;
        let other = at.world.merchant.api_key(&id);
        let revoke = move || drop(wait(other.revoke()).expect("revoked"));
        let updated = at.between(revoke, at.merchant.api_key(&id).update(body(json!({ "name": "Other" }))));
        assert_eq!(updated.expect_err("revoked").code(), "api_key.revoked");
    });
}

#[test]
fn a_parent_account_that_changes_is_no_matter_and_one_that_goes_is_absent() {
    let create = |at: &Interrupted| {
        let new = body(json!({ "merchant_id": "child", "parent_merchant_id": "m" }));
        at.organization.create_merchant(new)
    };
    interrupted(|at| {
        let other = at.world.merchant.clone();
        let toggle = move || _ = wait(other.blocklist().toggle(None)).expect("toggled");
        at.between(toggle, create(&at)).expect("an account");
    });
    interrupted(|at| {
        let other = at.world.merchant.clone();
        let remove = move || drop(wait(other.remove().cascade()).expect("removed"));
        let error = at.between(remove, create(&at)).expect_err("the parent is gone");
        assert_eq!(error.to_string(), "there is no merchant account `m`");
    });
    interrupted(|at| {
        let other = at.world.organization.clone();
        let rename = move || drop(wait(other.update(body(json!({ "organization_name": "Other" })))).expect("renamed"));
        at.between(rename, create(&at)).expect("an account");
    });
}

#[test]
fn a_command_carried_out_meanwhile_under_the_same_key_is_answered_and_not_repeated() {
    interrupted(|at| {
        let key = || "key".parse().expect("a key");
        let other = at.world.merchant.clone();
        let first = move || drop(wait(other.create_profile(named("Web")).idempotency_key(key())).expect("a profile"));
        let made = at.between(first, at.merchant.create_profile(named("Web")).idempotency_key(key()));
        let made = made.expect("the first one's profile");
        assert_eq!(at.world.profiles().len(), 2);
        assert!(at.world.profiles().contains(&made));
    });
    interrupted(|at| {
        let key = || "key".parse().expect("a key");
        let other = at.world.merchant.clone();
        let first = move || drop(wait(other.create_profile(named("Web")).idempotency_key(key())).expect("a profile"));
        let made = at.between(first, at.merchant.create_profile(named("Shop")).idempotency_key(key()));
        assert_eq!(made.expect_err("another request").code(), "idempotency_mismatch");
        assert_eq!(at.world.profiles().len(), 2);
    });
}

#[test]
fn a_toggle_that_meets_another_toggles_what_that_one_left() {
    interrupted(|at| {
        let other = at.world.merchant.clone();
        let toggle = move || _ = wait(other.blocklist().toggle(None)).expect("toggled");
        let guard = at.between(toggle, at.merchant.blocklist().toggle(None)).expect("toggled");
        assert_eq!(serde_json::to_value(guard).expect("JSON"), json!({ "blocklist_guard_status": "disabled" }));
    });
}

/// What may be done to an account by its id alone, with the profile and the connector account that it has.
type Act = fn(&MerchantScope, &ProfileId, &ConnectorId) -> Result<(), Error>;

const ACTS: &[(&str, Act)] = &[
    ("retrieve", |m, _, _| wait(m.retrieve()).map(drop)),
    ("organization", |m, _, _| wait(m.organization()).map(drop)),
    ("update", |m, _, _| wait(m.update(body(json!({ "merchant_name": "Meddled", "metadata": {} })))).map(drop)),
    ("default profile", |m, p, _| wait(m.update(body(json!({ "default_profile": p })))).map(drop)),
    ("business", |m, _, _| {
        let business = json!([{ "country": "US", "business": "meddled" }]);
        wait(m.update(body(json!({ "primary_business_details": business })))).map(drop)
    }),
    ("create profile", |m, _, _| wait(m.create_profile(named("Meddled"))).map(drop)),
    ("retrieve profile", |m, p, _| wait(m.profile(p).retrieve()).map(drop)),
    ("reveal webhook secrets", |m, p, _| wait(m.profile(p).reveal_webhook_secrets()).map(drop)),
    ("update profile", |m, p, _| {
        let update = json!({ "profile_name": "Meddled", "payment_response_hash_key": "hash-key-123" });
        wait(m.profile(p).update(body(update))).map(drop)
    }),
    ("remove profile", |m, p, _| wait(m.profile(p).remove().cascade()).map(drop)),
    ("profiles", |m, _, _| wait(m.profiles(page())).map(drop)),
    ("create connector", |m, _, _| wait(m.create_connector(connector(Some("meddled")))).map(drop)),
    ("create connector there", |m, p, _| wait(m.profile(p).create_connector(connector(Some("meddled")))).map(drop)),
    ("retrieve connector", |m, _, c| wait(m.connector(c).retrieve()).map(drop)),
    ("reveal", |m, _, c| wait(m.connector(c).reveal_credentials()).map(drop)),
    ("update connector", |m, _, c| {
        let auth = json!({ "auth_type": "HeaderKey", "api_key": "sk_test_meddled" });
        let update = json!({ "connector_type": "payment_processor", "connector_account_details": auth });
        wait(m.connector(c).update(body(update))).map(drop)
    }),
    ("remove connector", |m, _, c| wait(m.connector(c).remove()).map(drop)),
    ("connectors", |m, _, _| wait(m.connectors(page())).map(drop)),
    ("create key", |m, _, _| {
        wait(m.create_api_key(body(json!({ "name": "Meddled", "expiration": "never" })))).map(drop)
    }),
    ("add entry", |m, _, _| wait(m.blocklist().add(body(json!({ "type": "card_bin", "data": "999999" })))).map(drop)),
    ("toggle", |m, _, _| wait(m.blocklist().toggle(None)).map(drop)),
    ("screen", |m, _, _| wait(m.blocklist().screen(&"4242424242424242".parse()?)).map(drop)),
    ("create payment", |m, _, _| {
        let new = json!({ "amount": 5, "currency": "EUR", "payment_link": true, "return_url": "https://a.example/" });
        wait(m.create_payment(body(new))).map(drop)
    }),
    ("payments", |m, _, _| wait(m.payments(page())).map(drop)),
    ("remove", |m, _, _| wait(m.remove().cascade()).map(drop)),
];

/// Whatever the moment at which an id gets another owner: the command is about the one or about the other, and never
/// mixes the two.
#[test]
fn an_id_that_changes_hands_in_the_middle_of_a_command_is_no_mixture() {
    let mut wrong = BTreeSet::new();
    for &(name, act) in ACTS {
        for call in 0..12 {
            let mut reached = false;
            // The rules are the core's: one store is enough.
            let world = World::on(backends().remove(0));
            let layered = Layered::over(Arc::clone(&world.engine.store), Between::default());
            let layer = Arc::clone(&layered.layer);
            let pay = open_apart(Arc::new(layered));
            let made = wait(world.merchant.create_connector(connector(None))).expect("a connector account");
            let made_for =
                wait(world.pay.create_organization(NewOrganization::named("Other".parse().expect("a name"))));
            let other = world.pay.organization(&made_for.expect("an organization").organization_id);
            let (merchant, heir) = (world.merchant.clone(), other.clone());
            let intrude = move || {
                wait(merchant.remove().cascade()).expect("removed");
                wait(heir.create_merchant(NewMerchant::with_id("m".parse().expect("an id")))).expect("an account");
                let new = heir.merchant(&"m".parse().expect("an id"));
                wait(new.create_connector(connector(None))).expect("a connector account");
            };
            *layer.armed_at.lock().expect("no panic before") = Some((call, Box::new(intrude)));
            let scope = pay.merchant(&"m".parse().expect("an id"));
            let done = act(&scope, &made.profile_id, &made.merchant_connector_id);
            if layer.armed_at.lock().expect("no panic before").is_none() {
                reached = true;
                let new = other.merchant(&"m".parse().expect("an id"));
                let entries = wait(new.log(LogPosition::START, 100)).map_or(0, |log| log.len());
                match done {
                    // Two entries are the new owner's own, a third is the command's, which found the new owner alone.
                    Ok(()) => {}
                    Err(Error::NotFound(entity)) if entity.kind != EntityKind::DataKey && entries == 2 => {}
                    Err(error) => _ = wrong.insert(format!("{name}, before call {call}: {error:?}; {entries} entries")),
                }
                if let Ok(merchant) = wait(new.retrieve()) {
                    let profiles = wait(new.profiles(page())).expect("profiles").items;
                    let connectors = wait(new.connectors(page())).expect("what opens with its own key").items;
                    let known = |id: &ProfileId| profiles.iter().any(|profile| profile.profile_id == *id);
                    assert!(merchant.default_profile.as_ref().is_some_and(known), "{name}, {call}");
                    assert!(connectors.iter().all(|connector| known(&connector.profile_id)), "{name}, {call}");
                    let payments = wait(new.payments(page())).expect("payments").items;
                    assert!(payments.iter().all(|payment| known(&payment.profile_id)), "{name}, {call}");
                }
            }
            if !reached {
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_list_of_accounts_leaves_out_the_one_that_goes_while_it_is_read() {
    interrupted(|at| {
        wait(at.world.organization.create_merchant(NewMerchant::with_id("n".parse().expect("an id"))))
            .expect("another");
        let other = at.world.organization.merchant(&"n".parse().expect("an id"));
        let remove = move || drop(wait(other.remove().cascade()).expect("removed"));
        // The page is read, and then an account of it goes whose data key was not opened yet.
        *at.layer.armed_at.lock().expect("no panic before") = Some((1, Box::new(remove)));
        let page = wait(at.organization.merchants(page())).expect("a page");
        let ids: Vec<_> = page.items.iter().map(|merchant| merchant.merchant_id.as_str()).collect();
        assert_eq!(ids, ["m"], "{}", at.world.engine.name);
    });
}

/// The default profile of the account, with a connector account and a program that names it.
fn routed(world: &World) -> (ProfileId, ConnectorId, perfectpay::RoutingId) {
    let profile = world.default();
    let account = wait(world.merchant.create_connector(connector(None))).expect("an account").merchant_connector_id;
    let algorithm = json!({ "type": "single", "data": { "connector": "stripe", "merchant_connector_id": account } });
    let new = body(json!({ "name": "n", "description": "d", "algorithm": algorithm }));
    let program = wait(world.merchant.profile(&profile).routing().create(new)).expect("a program").record.id;
    (profile, account, program)
}

#[test]
fn a_program_is_not_activated_while_an_account_that_it_names_is_removed() {
    interrupted(|at| {
        let (profile, account, program) = routed(&at.world);
        let (other, gone) = (at.world.merchant.clone(), account);
        let intrude = move || drop(wait(other.connector(&gone).remove()).expect("nothing names it that decides"));
        let activation = at.merchant.profile(&profile).routing().program(&program).activate(None);
        let error = at.between(intrude, activation).expect_err("it names nobody");
        assert_eq!(error.code(), "routing.unknown_account");
        assert_eq!(wait(at.merchant.profile(&profile).routing().active()).expect("a profile"), None);
    });
}

#[test]
fn an_account_is_not_removed_while_a_program_that_names_it_is_activated() {
    interrupted(|at| {
        let (profile, account, program) = routed(&at.world);
        let (other, at_profile) = (at.world.merchant.clone(), profile.clone());
        let intrude = move || {
            drop(wait(other.profile(&at_profile).routing().program(&program).activate(None)).expect("it is there"));
        };
        let error = at.between(intrude, at.merchant.connector(&account).remove()).expect_err("it is named");
        assert_eq!(error.code(), "connector.routed");
        wait(at.merchant.connector(&account).retrieve()).expect("it lives");
        assert!(wait(at.merchant.profile(&profile).routing().active()).expect("a profile").is_some());
    });
}

#[test]
fn an_account_that_is_disabled_while_a_program_is_activated_is_looked_at_again() {
    interrupted(|at| {
        let (profile, account, program) = routed(&at.world);
        let (other, named) = (at.world.merchant.clone(), account);
        let intrude = move || {
            let update = body(json!({ "connector_type": "payment_processor", "disabled": true }));
            drop(wait(other.connector(&named).update(update)).expect("disabled"));
        };
        let activation = at.merchant.profile(&profile).routing().program(&program).activate(None);
        let activated = at.between(intrude, activation).expect("disabled accounts may be named");
        let kinds: Vec<perfectpay::LintKind> = activated.lints.iter().map(|lint| lint.kind).collect();
        assert_eq!(kinds, [perfectpay::LintKind::AccountDisabled], "as it is when it is activated");
    });
}

#[test]
fn of_two_activations_at_once_the_later_one_decides_and_knows_the_earlier_one() {
    interrupted(|at| {
        let (profile, account, first) = routed(&at.world);
        let algorithm =
            json!({ "type": "single", "data": { "connector": "stripe", "merchant_connector_id": account } });
        let new = body(json!({ "name": "n", "description": "d", "algorithm": algorithm }));
        let routing = at.merchant.profile(&profile).routing();
        let second = wait(routing.create(new)).expect("a program").record.id;
        let (other, at_profile, earlier) = (at.world.merchant.clone(), profile.clone(), first.clone());
        let intrude = move || {
            drop(wait(other.profile(&at_profile).routing().program(&earlier).activate(None)).expect("it is there"));
        };
        at.between(intrude, routing.program(&second).activate(None)).expect("decided again");
        assert_eq!(wait(routing.active()).expect("a profile").map(|program| program.id), Some(second));
        assert_eq!(wait(routing.roll_back()).expect("knows").record.id, first);
    });
}
