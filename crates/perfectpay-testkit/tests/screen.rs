//! Screening from memory: it answers what the store would, whoever commits, and fails where it cannot.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at a surprise")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::block_on;
use perfectpay::{
    BlockAction, BlockKind, BlockRequest, BlocklistScope, CardFacts, CardNumber, Error, MerchantScope, PerfectPay,
    Screener, Screening, Timestamp, Unavailability,
};
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::faulty::{FailNth, On, When};
use perfectpay_testkit::host::{self, Tenant};
use perfectpay_testkit::layer::Layered;
use proptest::prelude::*;
use support::{World, backends, on_every_backend, read, told};

const CARDS: [&str; 4] = ["4242424242424242", "4242420000000000", "4111111111111111", "6011000000000004"];

fn card(at: usize) -> CardNumber {
    CARDS[at].parse().unwrap()
}

fn cards() -> Vec<CardNumber> {
    (0..CARDS.len()).map(card).collect()
}

fn bin(kind: &str, data: &str) -> BlockRequest {
    read(&host::block_body(kind, data)).unwrap()
}

/// Whose list is changed, or asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Organization,
    Merchant,
    Profile,
    Other,
}

#[derive(Debug, Clone)]
enum Step {
    Add { at: At, kind: BlockKind, value: String, allow: bool, ends: Option<u64> },
    Remove { at: At, kind: BlockKind, value: String },
    Fingerprint { at: At, card: usize, allow: bool, remove: bool },
    Import(Vec<String>),
    Toggle,
    Rotate,
    Purge,
    Wait(u64),
    RemoveOther,
}

fn value() -> impl Strategy<Value = (BlockKind, String)> {
    let front = prop_oneof![Just("42424242424"), Just("42424200000"), Just("41111111111"), Just("60110000000")];
    (front, 0..5_usize, 6..=11_usize).prop_map(|(front, kind, length)| match kind {
        0 => (BlockKind::CardBin, front[..6].to_owned()),
        1 => (BlockKind::ExtendedCardBin, front[..8].to_owned()),
        2 => (BlockKind::CardPrefix, front[..length].to_owned()),
        3 => (BlockKind::CardRange, format!("{}-{}", &"41111111111"[..length], &"60110000000"[..length])),
        _ => (BlockKind::Fingerprint, format!("tok_{length}")),
    })
}

fn at() -> impl Strategy<Value = At> {
    prop_oneof![2 => Just(At::Merchant), 1 => Just(At::Organization), 1 => Just(At::Profile), 1 => Just(At::Other)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (at(), value(), any::<bool>(), proptest::option::of(1..60_u64))
            .prop_map(|(at, (kind, value), allow, ends)| Step::Add { at, kind, value, allow, ends }),
        4 => (at(), value()).prop_map(|(at, (kind, value))| Step::Remove { at, kind, value }),
        3 => (at(), 0..CARDS.len(), any::<bool>(), any::<bool>())
            .prop_map(|(at, card, allow, remove)| Step::Fingerprint { at, card, allow, remove }),
        1 => proptest::collection::vec("[0-9]{6}", 1..4).prop_map(Step::Import),
        1 => Just(Step::Toggle),
        1 => Just(Step::Rotate),
        1 => Just(Step::Purge),
        2 => (1..40_u64).prop_map(Step::Wait),
        1 => Just(Step::RemoveOther),
    ]
}

/// The handles of one process.
struct Process {
    pay: PerfectPay,
    tenant: Arc<Tenant>,
    other: perfectpay::ProfileId,
    /// Made once, before anything happens.
    screeners: Vec<(At, Screener)>,
}

impl Process {
    fn scope<'a>(&self, pay: &'a PerfectPay) -> (MerchantScope, &'a PerfectPay) {
        (self.tenant.scope(pay), pay)
    }

    fn blocklist(&self, pay: &PerfectPay, at: At) -> BlocklistScope {
        let (scope, _) = self.scope(pay);
        match at {
            At::Profile => scope.profile(&self.tenant.profile.profile_id).blocklist(),
            At::Other => scope.profile(&self.other).blocklist(),
            At::Merchant | At::Organization => scope.blocklist(),
        }
    }

    /// Carries the step out; what is refused is refused.
    async fn take(&self, world: &World, step: &Step) {
        let pay = &self.pay;
        let organization = self.tenant.organization_scope(pay).blocklist();
        let request = |kind: BlockKind, value: &str, allow: bool, ends: Option<u64>| {
            let mut request = BlockRequest::new(kind, value.parse().unwrap());
            request.action = allow.then_some(BlockAction::Allow);
            request.expires_at = ends.map(|seconds| now(world).plus_seconds(u32::try_from(seconds).unwrap()));
            request
        };
        match step {
            Step::Add { at: At::Organization, kind, value, allow, ends } => {
                organization.add(request(*kind, value, *allow, *ends)).await.ok();
            }
            Step::Add { at, kind, value, allow, ends } => {
                self.blocklist(pay, *at).add(request(*kind, value, *allow, *ends)).await.ok();
            }
            Step::Remove { at: At::Organization, kind, value } => {
                organization.remove(request(*kind, value, false, None)).await.ok();
            }
            Step::Remove { at, kind, value } => {
                self.blocklist(pay, *at).remove(request(*kind, value, false, None)).await.ok();
            }
            Step::Fingerprint { at, card: number, allow, remove } => {
                let blocklist = self.blocklist(pay, *at);
                let Ok(screening) = blocklist.screen(&card(*number)).await else { return };
                let value = screening.fingerprint.unwrap().to_string();
                let request = request(BlockKind::Fingerprint, &value, *allow, None);
                if *remove {
                    blocklist.remove(request).await.ok();
                } else {
                    blocklist.add(request).await.ok();
                }
            }
            Step::Import(values) => {
                let file = format!("type,data\ncard_bin,{}\n", values.join("\ncard_bin,"));
                let blocklist = self.blocklist(pay, At::Merchant);
                blocklist.import_csv(file.as_bytes(), perfectpay::ImportOptions::default(), |_| {}).await.ok();
            }
            Step::Toggle => drop(self.blocklist(pay, At::Merchant).toggle(None).await.unwrap()),
            Step::Rotate => drop(self.blocklist(pay, At::Merchant).rotate_fingerprint_secret().await),
            Step::Purge => drop(self.blocklist(pay, At::Merchant).purge_expired(10).await.unwrap()),
            Step::Wait(seconds) => world.clock.step(Duration::from_secs(*seconds)),
            Step::RemoveOther => {
                drop(self.tenant.scope(pay).profile(&self.other).remove().cascade().await);
            }
        }
    }

    /// Whether memory answers what the store does, everywhere.
    async fn check(&self) {
        let batch = self.pay.batch();
        for (at, screener) in &self.screeners {
            let at = *at;
            let (memory, store) = (self.blocklist(&self.pay, at), self.blocklist(batch.pay(), at));
            let mut expected = Vec::new();
            for number in 0..CARDS.len() {
                let of_store = answer(store.screen(&card(number)).await);
                assert_eq!(answer(memory.screen(&card(number)).await), of_store, "{at:?} {number}");
                // The first call may go the ordinary way, the second one does not.
                for _ in 0..2 {
                    assert_eq!(answer(screener.screen(&card(number)).await), of_store, "{at:?} {number}");
                }
                let explained = |found: Result<perfectpay::Explanation, Error>| {
                    found.map(|found| format!("{found:?}")).map_err(|error| told(&error))
                };
                let (ours, theirs) = (memory.explain(&card(number)).await, store.explain(&card(number)).await);
                assert_eq!(explained(ours), explained(theirs), "{at:?} {number}");
                expected.push(of_store);
            }
            for many in [memory.screen_many(&cards()).await, screener.screen_many(&cards()).await] {
                match many {
                    Ok(many) => assert_eq!(many.into_iter().map(|one| answer(Ok(one))).collect::<Vec<_>>(), expected),
                    Err(error) => assert!(expected.iter().all(|one| *one == Err(told(&error)))),
                }
            }
            for known in ["424242", "42424242", "41111111111"] {
                let facts = CardFacts::new(known, ["tok_8", "tok_11", "tok_10"]).unwrap();
                let of_store = answer(store.screen_facts(&facts).await);
                assert_eq!(answer(memory.screen_facts(&facts).await), of_store, "{at:?} {known}");
                assert_eq!(answer(screener.screen_facts(&facts).await), of_store, "{at:?} {known}");
            }
        }
    }
}

fn now(world: &World) -> Timestamp {
    use perfectpay::Clock as _;
    world.clock.now()
}

type Answer = Result<Screening, (String, String)>;

/// Without its age, which is the one thing that the two ways may differ in.
fn answer(screening: Result<Screening, Error>) -> Answer {
    screening.map(|screening| Screening { staleness: Duration::ZERO, ..screening }).map_err(|error| told(&error))
}

async fn processes(world: &World, staleness: Duration, bytes: usize) -> [Process; 2] {
    let choose = |settings: perfectpay::Settings| settings.staleness(staleness).blocklist_bytes(bytes);
    let pays = [world.reopened(choose).await, world.reopened(choose).await];
    let tenant = Arc::new(host::stand_up(&pays[0], "acme").await.unwrap());
    let other = tenant.scope(&pays[0]).create_profile(read(r#"{"profile_name": "other"}"#).unwrap()).await.unwrap();
    let [one, two] = pays.map(|pay| {
        let (tenant, other, screeners) = (tenant.clone(), other.profile_id.clone(), Vec::new());
        Process { pay, tenant, other, screeners }
    });
    let mut processes = [one, two];
    for process in &mut processes {
        for at in [At::Merchant, At::Profile, At::Other] {
            let screener = process.blocklist(&process.pay, at).screener().await.unwrap();
            process.screeners.push((at, screener));
        }
    }
    processes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant: whatever two processes on one store do, in whatever order, each of them screens from memory as the store
    /// itself answers, for every card at every place; also where there is hardly room for a list.
    #[test]
    fn memory_answers_what_the_store_answers_after_every_commit_of_either_process(
        steps in proptest::collection::vec((step(), 0..2_usize), 1..24),
        bytes in prop_oneof![Just(1_usize), Just(1 << 20)],
    ) {
        block_on(async {
            let backend = backends().remove(0);
            let world = World::on(backend);
            let processes = processes(&world, Duration::ZERO, bytes).await;
            for (step, by) in &steps {
                processes[*by].take(&world, step).await;
                processes[1 - *by].check().await;
                processes[*by].check().await;
            }
        });
    }
}

#[test]
fn an_entry_of_another_process_counts_when_the_bound_has_passed_and_says_how_old_it_may_be() {
    on_every_backend(async |world| {
        let [one, two] = processes(world, Duration::from_secs(5), 1 << 20).await;
        one.blocklist(&one.pay, At::Merchant).toggle(Some(true)).await.unwrap();
        let theirs = two.blocklist(&two.pay, At::Merchant);
        world.clock.step(Duration::from_secs(6));
        let before = theirs.screen(&card(0)).await.unwrap();
        assert_eq!((before.is_blocked(), before.staleness), (false, Duration::ZERO), "{}", world.name);
        one.blocklist(&one.pay, At::Merchant).add(bin("card_bin", "424242")).await.unwrap();
        let ours = one.blocklist(&one.pay, At::Merchant).screen(&card(0)).await.unwrap();
        assert!(ours.is_blocked(), "{}", world.name);
        world.clock.step(Duration::from_secs(4));
        let within = theirs.screen(&card(0)).await.unwrap();
        assert_eq!((within.is_blocked(), within.staleness), (false, Duration::from_secs(4)), "{}", world.name);
        world.clock.step(Duration::from_secs(1));
        let beyond = theirs.screen(&card(0)).await.unwrap();
        assert_eq!((beyond.is_blocked(), beyond.staleness), (true, Duration::ZERO), "{}", world.name);
    });
}

#[test]
fn a_list_that_cannot_be_read_is_an_error_and_the_next_call_reads_it() {
    let down = || Error::unavailable(Unavailability::Busy, "the disk is away");
    let memory = Arc::new(MemoryStore::new());
    let tenant = block_on(async {
        let pay = PerfectPay::open(memory.clone(), host::settings().unwrap()).await.unwrap();
        let tenant = host::stand_up(&pay, "acme").await.unwrap();
        let blocklist = tenant.scope(&pay).blocklist();
        blocklist.add(bin("card_bin", "424242")).await.unwrap();
        blocklist.toggle(Some(true)).await.unwrap();
        tenant
    });
    let mut failed = 0;
    // Every read on the way of the first call fails once.
    for nth in 1..20 {
        let layer = FailNth::new(On::Read, nth, When::Before, down);
        let store = Arc::new(Layered::over(memory.clone(), layer));
        block_on(async {
            let Ok(pay) = PerfectPay::open(store, host::settings().unwrap()).await else { return };
            let blocklist = tenant.scope(&pay).blocklist();
            match blocklist.screen(&card(0)).await {
                Ok(screening) => assert!(screening.is_blocked(), "{nth}"),
                Err(error) => {
                    failed += 1;
                    assert_eq!(error.code(), "unavailable", "{nth}");
                }
            }
            assert!(blocklist.screen(&card(0)).await.unwrap().is_blocked(), "{nth}");
        });
    }
    assert!(failed >= 4, "the account, its key, its list and the organization's are read: {failed}");
}

#[test]
fn a_new_owner_of_an_id_has_nothing_of_the_old_ones_list() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let caller = world.pay.authenticate(tenant.key.api_key.as_ref().unwrap().expose()).await.unwrap();
        let by_id = world.pay.merchant(&tenant.merchant.merchant_id);
        for scope in [&by_id, &tenant.scope(&world.pay), caller.merchant()] {
            scope.blocklist().toggle(Some(true)).await.unwrap();
            assert!(!scope.blocklist().screen(&card(0)).await.unwrap().is_blocked(), "{}", world.name);
        }
        let screener = by_id.blocklist().screener().await.unwrap();
        assert!(!screener.screen(&card(0)).await.unwrap().is_blocked(), "{}", world.name);
        by_id.blocklist().add(bin("card_bin", "424242")).await.unwrap();
        assert!(screener.screen(&card(0)).await.unwrap().is_blocked(), "{}", world.name);
        for scope in [&by_id, &tenant.scope(&world.pay), caller.merchant()] {
            assert!(scope.blocklist().screen(&card(0)).await.unwrap().is_blocked(), "{}", world.name);
        }
        by_id.remove().cascade().await.unwrap();
        assert_eq!(screener.screen(&card(0)).await.unwrap_err().code(), "not_found", "{}", world.name);
        for scope in [&by_id, &tenant.scope(&world.pay)] {
            let error = scope.blocklist().screen(&card(0)).await.unwrap_err();
            assert_eq!(error.code(), "not_found", "{}", world.name);
        }
        host::merchant_in(&world.pay, &tenant.organization, "acme").await.unwrap();
        let screening = screener.screen(&card(0)).await.unwrap();
        assert_eq!((screening.guard, screening.matched), (false, None), "{}", world.name);
        for scope in [&by_id, &tenant.scope(&world.pay)] {
            let screening = scope.blocklist().screen(&card(0)).await.unwrap();
            assert_eq!((screening.guard, screening.matched), (false, None), "{}", world.name);
        }
        assert!(caller.merchant().blocklist().screen(&card(0)).await.is_err(), "{}", world.name);
    });
}

#[test]
fn a_batch_has_no_screener_and_a_callers_key_is_checked_at_every_card() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let batch = world.pay.batch();
        let error = tenant.scope(batch.pay()).blocklist().screener().await.unwrap_err();
        assert_eq!(error.code(), "blocklist.screener_in_batch", "{}", world.name);
        let issued = tenant.key.api_key.as_ref().unwrap().expose();
        let caller = world.pay.authenticate(issued).await.unwrap();
        let screener = caller.merchant().blocklist().screener().await.unwrap();
        assert!(!screener.screen(&card(0)).await.unwrap().is_blocked(), "{}", world.name);
        tenant.scope(&world.pay).api_key(&tenant.key.key_id).revoke().await.unwrap();
        let error = screener.screen(&card(0)).await.unwrap_err();
        assert_eq!(error.code(), "unauthorized", "{}", world.name);
    });
}
