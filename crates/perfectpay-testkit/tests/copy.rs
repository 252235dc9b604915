//! Copies between back-ends: what is the same afterwards, what goes on working in the copy, and what happens when a copy
//! is interrupted, comes to a place that is taken, or is made while the source is written.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

mod support;

use std::sync::Arc;

use futures_lite::future::block_on;
use perfectpay::store::{
    Actor, CopyProgress, CopyStep, Extent, Head, Load, LogBound, LogPosition, LogScope, OrganizationPath, Prune, Store,
    TenantDigest, copy, digest,
};
use perfectpay::{ConnectorAuth, Entity, EntityKind, Error, PerfectPay, Unavailability};
use perfectpay_memory::MemoryStore;
use perfectpay_sqlite::SqliteStore;
use perfectpay_testkit::faulty::{Counting, FailNth, On, When};
use perfectpay_testkit::host::{self, Tenant, TestClock};
use perfectpay_testkit::layer::{Layer, Layered};
use perfectpay_testkit::probe::Probe;
use perfectpay_testkit::records;
use secrecy::ExposeSecret as _;
use support::{backends, read, snapshot};

const EVERYTHING: Extent = Extent::Everything;

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn of(tenant: &Tenant) -> Extent {
    Extent::Organization(OrganizationPath::Id(tenant.organization.organization_id.clone()))
}

async fn copied(from: &Arc<dyn Store>, to: &Arc<dyn Store>, extent: &Extent) -> Result<Vec<TenantDigest>, Error> {
    copy(&**from, &**to, extent, |_| ()).await.map(|report| report.tenants)
}

/// Two organizations, the first with two accounts; every kind of object, a revoked key, a removed account whose id is
/// used again, and kept answers.
async fn furnished(pay: &PerfectPay) -> [Tenant; 3] {
    let acme = host::stand_up(pay, "acme").await.unwrap();
    let sister = host::merchant_in(pay, &acme.organization, "sister").await.unwrap();
    let rival = host::stand_up(pay, "rival").await.unwrap();
    for tenant in [&acme, &rival] {
        let scope = tenant.scope(pay);
        scope.create_connector(read(&host::connector_body("c", "sk_live_1")).unwrap()).await.unwrap();
        scope.create_payment(read(&host::payment_with_link_body(100, "EUR")).unwrap()).await.unwrap();
        scope.blocklist().add(read(&host::block_body("card_bin", "411111")).unwrap()).await.unwrap();
        scope.blocklist().toggle(Some(true)).await.unwrap();
        let key = scope.create_api_key(read(&host::api_key_body("old", "never")).unwrap()).await.unwrap();
        scope.api_key(&key.key_id).revoke().await.unwrap();
        let body = host::payment_body(4999, "USD");
        scope.create_payment(read(&body).unwrap()).idempotency_key("order-1".parse().unwrap()).await.unwrap();
    }
    let gone = host::merchant_in(pay, &acme.organization, "gone").await.unwrap();
    gone.scope(pay).remove().cascade().await.unwrap();
    host::merchant_in(pay, &rival.organization, "gone").await.unwrap();
    [acme, sister, rival]
}

async fn source() -> (Arc<dyn Store>, PerfectPay, [Tenant; 3]) {
    let store = memory();
    let pay = host::open(store.clone()).await.unwrap();
    let tenants = furnished(&pay).await;
    (store, pay, tenants)
}

/// So many accounts that a copy is several loads.
const MANY: u32 = 2_100;

/// One organization with that many accounts.
async fn large() -> Arc<dyn Store> {
    let store = memory();
    let group = records::organization(1);
    let mut set = records::organization_set(&group);
    set.create(group.clone());
    store.commit(set).await.unwrap();
    for number in 1..=MANY {
        store.commit(records::Tenant::within(&group, number).founding()).await.unwrap();
    }
    store
}

#[test]
fn a_store_that_went_through_every_back_end_answers_every_question_alike() {
    block_on(async {
        let (store, pay, _) = source().await;
        let (answers, seen) = (snapshot(&pay).await, Probe::new(store.clone()).snapshot());
        let digests = digest(&*store, &EVERYTHING).await.unwrap();
        let mut from = store;
        for backend in backends().into_iter().chain(backends()) {
            let report = copy(&*from, &*backend.store, &EVERYTHING, |_| ()).await.unwrap();
            assert_eq!(report.tenants, digests, "{}", backend.name);
            assert_eq!(report.records, digests.iter().map(|t| t.records).sum::<u64>());
            let there = host::open(backend.store.clone()).await.unwrap();
            assert_eq!(snapshot(&there).await, answers, "{}", backend.name);
            seen.assert_same(&Probe::new(backend.store.clone()).snapshot());
            from = backend.store.clone();
            // Its folder stays until the next copy was made from it.
            std::mem::forget(backend);
        }
    });
}

#[test]
fn a_copy_in_a_file_is_found_whole_by_its_verification() {
    block_on(async {
        let (store, _, tenants) = source().await;
        let folder = tempfile::tempdir().unwrap();
        let whole = SqliteStore::open(folder.path().join("whole.db")).unwrap();
        copy(&*store, &whole, &EVERYTHING, |_| ()).await.unwrap();
        let report = whole.verify(|_| ()).unwrap();
        assert!(report.is_healthy(), "{report:?}");
        let part = SqliteStore::open(folder.path().join("part.db")).unwrap();
        copy(&whole, &part, &of(&tenants[2]), |_| ()).await.unwrap();
        let report = part.verify(|_| ()).unwrap();
        assert!(report.is_healthy(), "{report:?}");
    });
}

#[test]
fn in_a_copy_keys_authenticate_credentials_open_and_commands_are_repeated() {
    block_on(async {
        let (store, pay, tenants) = source().await;
        for backend in backends() {
            copied(&store, &backend.store, &EVERYTHING).await.unwrap();
            let there = host::open(backend.store.clone()).await.unwrap();
            for tenant in &tenants {
                let caller = there.authenticate(tenant.token()).await.unwrap();
                assert_eq!(caller.merchant_id(), &tenant.merchant.merchant_id);
            }
            let (here, there) = (tenants[0].scope(&pay), tenants[0].scope(&there));
            let connector = here.connectors(perfectpay::PageRequest::default()).await.unwrap().items.remove(0);
            let shown = there.connector(&connector.merchant_connector_id).reveal_credentials().await.unwrap();
            let ConnectorAuth::HeaderKey { api_key } = &shown else { panic!("{shown:?}") };
            assert_eq!(api_key.expose_secret(), "sk_live_1", "{}", backend.name);
            let pay_again = async |scope: &perfectpay::MerchantScope| {
                let body = host::payment_body(4999, "USD");
                let key = "order-1".parse().unwrap();
                scope.create_payment(read(&body).unwrap()).idempotency_key(key).await.unwrap()
            };
            let head = backend.store.head().await.unwrap();
            assert_eq!(pay_again(&there).await, pay_again(&here).await, "{}", backend.name);
            assert_eq!(backend.store.head().await.unwrap(), head, "a repetition is no commit");
            let card = "4111111111111111".parse().unwrap();
            assert!(there.blocklist().screen(&card).await.unwrap().is_blocked());
        }
    });
}

#[test]
fn one_organization_of_several_is_copied_beside_others_with_its_log() {
    block_on(async {
        let (store, pay, tenants) = source().await;
        let answers = digest(&*store, &of(&tenants[2])).await.unwrap();
        for backend in backends() {
            // The target has a later clock and content of its own.
            let clock = Arc::new(TestClock::at("2030-01-01T00:00:00Z".parse().unwrap()));
            let settings =
                host::settings().unwrap().clock(clock).entropy(Arc::new(perfectpay_testkit::SeededEntropy::new(9)));
            let there = PerfectPay::open(backend.store.clone(), settings).await.unwrap();
            let neighbour = host::stand_up(&there, "neighbour").await.unwrap();
            let before = backend.store.head().await.unwrap();
            assert_eq!(copied(&store, &backend.store, &of(&tenants[2])).await.unwrap(), answers, "{}", backend.name);

            let caller = there.authenticate(tenants[2].token()).await.unwrap();
            assert_eq!(caller.merchant_id(), &tenants[2].merchant.merchant_id);
            let known = there.merchant(&tenants[0].merchant.merchant_id).retrieve().await;
            assert!(matches!(known, Err(Error::NotFound(_))), "{}", backend.name);
            neighbour.scope(&there).retrieve().await.unwrap();
            let probe = Probe::new(backend.store.clone());
            let log = probe.log(&LogScope::All);
            assert!(log.windows(2).all(|two| two[0].position < two[1].position && two[0].at <= two[1].at));
            let new: Vec<_> = log.iter().filter(|entry| entry.position > before.position).collect();
            assert_eq!(u64::try_from(new.len()).unwrap(), answers[0].entries);
            assert!(new.iter().all(|entry| entry.at == before.at), "older than all here, they say when they arrived");
            // And once more: nothing is new, and nothing is doubled.
            assert_eq!(copied(&store, &backend.store, &of(&tenants[2])).await.unwrap(), answers);
            assert_eq!(probe.log(&LogScope::All), log);
        }
        drop(pay);
    });
}

#[test]
fn a_copy_that_failed_at_any_load_is_gone_on_with() {
    block_on(async {
        let store = large().await;
        let counted = Arc::new(Layered::over(memory(), Counting::default()));
        copy(&*store, &*counted, &EVERYTHING, |_| ()).await.unwrap();
        let loads = counted.layer.take().imports;
        assert!(loads >= 4, "{loads} loads");
        let group = OrganizationPath::Id(records::text("org_1"));
        for (extent, when) in [(EVERYTHING, When::Before), (Extent::Organization(group), When::After)] {
            let part = digest(&*store, &extent).await.unwrap();
            for nth in 1..=loads {
                let to = memory();
                let lost = || Error::unavailable(Unavailability::Full, "the disk is full");
                let faulty = Layered::over(to.clone(), FailNth::new(On::Import, nth, when, lost));
                let error = copy(&*store, &faulty, &extent, |_| ()).await.unwrap_err();
                assert_eq!(error.code(), "unavailable");
                assert_eq!(copied(&store, &to, &extent).await.unwrap(), part, "load {nth}, {when:?}");
            }
        }
    });
}

#[test]
fn a_copy_in_a_file_is_gone_on_with_after_a_failure_and_after_the_future_was_dropped() {
    block_on(async {
        let store = large().await;
        let expected = digest(&*store, &EVERYTHING).await.unwrap();
        for backend in backends() {
            let full = || Error::unavailable(Unavailability::Full, "the disk is full");
            let faulty = Layered::over(backend.store.clone(), FailNth::new(On::Import, 3, When::After, full));
            copy(&*store, &faulty, &EVERYTHING, |_| ()).await.unwrap_err();
            let mut polls = 0;
            {
                let mut half = Box::pin(copy(&*store, &*backend.store, &EVERYTHING, |_| ()));
                futures_lite::future::poll_fn(|context| {
                    polls += 1;
                    match half.as_mut().poll(context) {
                        std::task::Poll::Pending if polls < 3 => std::task::Poll::Pending,
                        _ => std::task::Poll::Ready(()),
                    }
                })
                .await;
            }
            assert_eq!(copied(&store, &backend.store, &EVERYTHING).await.unwrap(), expected, "{}", backend.name);
        }
    });
}

/// Writes to the source before every load that is imported.
#[derive(Debug)]
struct Meanwhile {
    pay: PerfectPay,
    tenant: Tenant,
}

#[async_trait::async_trait]
impl Layer for Meanwhile {
    async fn import(&self, next: &dyn Store, load: Load) -> Result<LogPosition, Error> {
        let scope = self.tenant.scope(&self.pay);
        scope.create_payment(read(&host::payment_body(1, "USD"))?).await?;
        host::stand_up(&self.pay, "newcomer").await?;
        next.import(load).await
    }
}

#[test]
fn a_copy_of_a_source_that_is_written_meanwhile_is_of_the_moment_at_which_it_began() {
    block_on(async {
        for backend in backends().into_iter().filter(|backend| backend.name != "SQLite in memory") {
            let pay = host::open(backend.store.clone()).await.unwrap();
            let tenants = furnished(&pay).await;
            let (answers, digests) = (snapshot(&pay).await, digest(&*backend.store, &EVERYTHING).await.unwrap());
            let target = memory();
            let to = Layered::over(target.clone(), Meanwhile { pay: pay.clone(), tenant: tenants[0].clone() });
            let report = copy(&*backend.store, &to, &EVERYTHING, |_| ()).await.unwrap();
            assert_eq!(report.tenants, digests, "{}", backend.name);
            let there = host::open(target).await.unwrap();
            assert_eq!(snapshot(&there).await, answers, "{}", backend.name);
            assert_ne!(digest(&*backend.store, &EVERYTHING).await.unwrap(), digests, "the source went on");
        }
    });
}

#[test]
fn where_an_id_belongs_to_another_nothing_is_written() {
    block_on(async {
        let (store, _, tenants) = source().await;
        for backend in backends() {
            let settings = host::settings().unwrap().entropy(Arc::new(perfectpay_testkit::SeededEntropy::new(9)));
            let there = PerfectPay::open(backend.store.clone(), settings).await.unwrap();
            host::stand_up(&there, "sister").await.unwrap();
            let before = digest(&*backend.store, &EVERYTHING).await.unwrap();
            let error = copied(&store, &backend.store, &of(&tenants[0])).await.unwrap_err();
            let taken = Entity::new(EntityKind::Merchant, "sister");
            assert!(matches!(&error, Error::AlreadyExists(entity) if *entity == taken), "{error:?}");
            let error = copied(&store, &backend.store, &EVERYTHING).await.unwrap_err();
            assert_eq!(error.code(), "copy.diverged", "{error}");
            assert_eq!(digest(&*backend.store, &EVERYTHING).await.unwrap(), before, "{}", backend.name);
        }
    });
}

#[test]
fn a_copy_that_went_its_own_way_is_not_written_over() {
    block_on(async {
        let (store, pay, tenants) = source().await;
        let to = memory();
        copied(&store, &to, &EVERYTHING).await.unwrap();
        let there = host::open(to.clone()).await.unwrap();
        tenants[0].scope(&there).create_payment(read(&host::payment_body(1, "USD")).unwrap()).await.unwrap();
        let before = digest(&*to, &EVERYTHING).await.unwrap();
        for extent in [EVERYTHING, of(&tenants[0])] {
            let error = copied(&store, &to, &extent).await.unwrap_err();
            assert_eq!(error.code(), "copy.diverged");
            let organization = tenants[0].organization.organization_id.as_str();
            assert!(error.to_string().contains(organization), "{error}");
        }
        assert_eq!(digest(&*to, &EVERYTHING).await.unwrap(), before);
        // The other organization did not, and is the same in both.
        copied(&store, &to, &of(&tenants[2])).await.unwrap();
        // A source that went on is told from one that did not by what differs.
        tenants[2].scope(&pay).blocklist().toggle(Some(false)).await.unwrap();
        assert_eq!(copied(&store, &to, &of(&tenants[2])).await.unwrap_err().code(), "load.differs");
    });
}

#[test]
fn an_organization_that_does_not_live_is_not_copied_nor_a_store_into_itself() {
    block_on(async {
        let (store, _, _) = source().await;
        let extent = Extent::Organization(OrganizationPath::Id(records::text("org_nobody")));
        assert_eq!(copied(&store, &memory(), &extent).await.unwrap_err().code(), "not_found");
        assert_eq!(copied(&store, &store, &EVERYTHING).await.unwrap_err().code(), "copy.same_store");
    });
}

/// One step of pruning that removes the oldest entries, so many of them.
fn oldest(entries: u32, all: LogPosition) -> Prune {
    let by = Actor::Operator(records::text("night shift"));
    Prune::Log { bound: LogBound::Before(all), limit: entries, at: records::now(), by }
}

async fn prune(store: &Arc<dyn Store>, entries: u32) -> Head {
    let done = store.prune(&oldest(entries, store.head().await.unwrap().position)).await.unwrap();
    assert_eq!(done.removed, u64::from(entries));
    store.head().await.unwrap()
}

#[test]
fn a_pruned_store_that_went_through_every_back_end_begins_where_it_did() {
    block_on(async {
        let (store, ..) = source().await;
        let whole = digest(&*store, &EVERYTHING).await.unwrap();
        let head = prune(&store, 9).await;
        let digests = digest(&*store, &EVERYTHING).await.unwrap();
        assert_ne!(digests, whole);
        let mut from = store;
        for backend in backends().into_iter().chain(backends()) {
            assert_eq!(copied(&from, &backend.store, &EVERYTHING).await.unwrap(), digests, "{}", backend.name);
            assert_eq!(backend.store.head().await.unwrap(), head, "{}", backend.name);
            assert_eq!(copied(&from, &backend.store, &EVERYTHING).await.unwrap(), digests, "once more");
            let told = Probe::new(backend.store.clone()).pruned_behind(LogScope::All, LogPosition::START);
            assert_eq!(told, Some(head.beginning()), "{}", backend.name);
            from = backend.store.clone();
            // Its folder stays until the next copy was made from it.
            std::mem::forget(backend);
        }
    });
}

#[test]
fn a_digest_tells_pruned_stores_apart_by_when_and_by_whom() {
    block_on(async {
        let (one, ..) = source().await;
        let other = memory();
        copied(&one, &other, &EVERYTHING).await.unwrap();
        prune(&one, 3).await;
        let bound = LogBound::Before(other.head().await.unwrap().position);
        let by = Actor::Operator(records::text("day shift"));
        other.prune(&Prune::Log { bound, limit: 3, at: records::now(), by }).await.unwrap();
        let (one, other) = (digest(&*one, &EVERYTHING).await.unwrap(), digest(&*other, &EVERYTHING).await.unwrap());
        let unequal: Vec<_> = one.iter().zip(&other).filter(|(a, b)| a != b).map(|(a, _)| a.id.as_str()).collect();
        assert_eq!(unequal, ["platform"]);
    });
}

#[test]
fn of_an_organization_of_a_pruned_store_the_kept_entries_come_and_the_targets_own_mark_stays() {
    block_on(async {
        let (store, _, tenants) = source().await;
        // Of the third organization its creation goes, and of the second all but little.
        let log = Probe::new(store.clone()).log(&LogScope::All);
        prune(&store, u32::try_from(log.len()).unwrap() - 4).await;
        let extents = [of(&tenants[0]), of(&tenants[2])];
        for is_pruned in [false, true] {
            for backend in backends() {
                let settings = host::settings().unwrap().entropy(Arc::new(perfectpay_testkit::SeededEntropy::new(9)));
                let there = PerfectPay::open(backend.store.clone(), settings).await.unwrap();
                host::stand_up(&there, "neighbour").await.unwrap();
                if is_pruned {
                    prune(&backend.store, 1).await;
                }
                let before = backend.store.head().await.unwrap();
                let probe = Probe::new(backend.store.clone());
                let own = probe.log_page(LogScope::All, before.beginning(), 1_000);
                let mut arrived = 0;
                for extent in &extents {
                    let expected = digest(&*store, extent).await.unwrap();
                    arrived += expected[0].entries;
                    assert_eq!(copied(&store, &backend.store, extent).await.unwrap(), expected, "{}", backend.name);
                    assert_eq!(copied(&store, &backend.store, extent).await.unwrap(), expected, "once more");
                }
                assert!(arrived < u64::try_from(log.len()).unwrap());
                assert_eq!(backend.store.head().await.unwrap().pruned, before.pruned, "{}", backend.name);
                let now = probe.log_page(LogScope::All, before.beginning(), 1_000);
                assert_eq!(now[..own.len()], own[..], "nothing of the target's own log changed");
                assert_eq!(u64::try_from(now.len() - own.len()).unwrap(), arrived);
                for tenant in &tenants {
                    let caller = there.authenticate(tenant.token()).await.unwrap();
                    assert_eq!(caller.merchant_id(), &tenant.merchant.merchant_id);
                }
            }
        }
    });
}

#[test]
fn in_a_file_the_verification_knows_that_an_organization_came_without_its_beginning() {
    block_on(async {
        let (store, _, tenants) = source().await;
        let log = Probe::new(store.clone()).log(&LogScope::All);
        prune(&store, u32::try_from(log.len()).unwrap() - 2).await;
        let folder = tempfile::tempdir().unwrap();
        let whole = SqliteStore::open(folder.path().join("whole.db")).unwrap();
        copy(&*store, &whole, &EVERYTHING, |_| ()).await.unwrap();
        let report = whole.verify(|_| ()).unwrap();
        assert!(report.is_healthy(), "{report:?}");
        let part: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path().join("part.db")).unwrap());
        copy(&whole, &*part, &of(&tenants[0]), |_| ()).await.unwrap();
        copy(&whole, &*part, &of(&tenants[2]), |_| ()).await.unwrap();
        // There it goes on: what came is changed and removed, and new things come.
        let there = host::open(part.clone()).await.unwrap();
        tenants[0].scope(&there).blocklist().toggle(Some(false)).await.unwrap();
        tenants[0].scope(&there).create_payment(read(&host::payment_body(1, "USD")).unwrap()).await.unwrap();
        tenants[1].scope(&there).remove().cascade().await.unwrap();
        let rival = there.organization(&tenants[2].organization.organization_id);
        rival.remove().cascade().await.unwrap();
        drop((there, part));
        let part = SqliteStore::open(folder.path().join("part.db")).unwrap();
        let report = part.verify(|_| ()).unwrap();
        assert!(report.is_healthy(), "{report:?}");
        // And from there on as well.
        let third = SqliteStore::open(folder.path().join("third.db")).unwrap();
        copy(&part, &third, &EVERYTHING, |_| ()).await.unwrap();
        let report = third.verify(|_| ()).unwrap();
        assert!(report.is_healthy(), "{report:?}");
    });
}

/// Prunes the source before every load that is imported.
#[derive(Debug)]
struct Pruning {
    source: Arc<dyn Store>,
}

#[async_trait::async_trait]
impl Layer for Pruning {
    async fn import(&self, next: &dyn Store, load: Load) -> Result<LogPosition, Error> {
        let all = self.source.head().await?.position;
        self.source.prune(&oldest(5, all)).await?;
        next.import(load).await
    }
}

#[test]
fn a_pruning_at_the_source_beside_a_copy_is_not_in_the_copy() {
    block_on(async {
        for backend in backends().into_iter().filter(|backend| backend.name != "SQLite in memory") {
            let pay = host::open(backend.store.clone()).await.unwrap();
            furnished(&pay).await;
            let head = prune(&backend.store, 2).await;
            let digests = digest(&*backend.store, &EVERYTHING).await.unwrap();
            let target = memory();
            let to = Layered::over(target.clone(), Pruning { source: backend.store.clone() });
            let report = copy(&*backend.store, &to, &EVERYTHING, |_| ()).await.unwrap();
            assert_eq!(report.tenants, digests, "{}", backend.name);
            assert_eq!(target.head().await.unwrap(), head, "{}", backend.name);
            assert!(backend.store.head().await.unwrap().beginning() > head.beginning(), "the source was pruned on");
            // What was copied is not a beginning of what is left.
            let error = copied(&backend.store, &target, &EVERYTHING).await.unwrap_err();
            assert_eq!(error.code(), "copy.diverged", "{}", backend.name);
            assert_eq!(digest(&*target, &EVERYTHING).await.unwrap(), digests);
        }
    });
}

#[test]
fn entries_that_the_target_pruned_do_not_come_a_second_time() {
    block_on(async {
        let (store, _, tenants) = source().await;
        for backend in backends() {
            let there = host::open(backend.store.clone()).await.unwrap();
            for all in [false, true] {
                copied(&store, &backend.store, &of(&tenants[2])).await.unwrap_or_default();
                if all {
                    host::stand_up(&there, "newcomer").await.unwrap();
                    let position = backend.store.head().await.unwrap().position;
                    backend.store.prune(&oldest(1_000, position)).await.unwrap();
                } else {
                    prune(&backend.store, 1).await;
                }
                let before = digest(&*backend.store, &EVERYTHING).await.unwrap();
                let error = copied(&store, &backend.store, &of(&tenants[2])).await.unwrap_err();
                assert_eq!(error.code(), "copy.diverged", "{}: {error}", backend.name);
                assert_eq!(digest(&*backend.store, &EVERYTHING).await.unwrap(), before, "{}", backend.name);
            }
        }
    });
}

/// A target that loses one record of every load, and says that all is well.
#[derive(Debug)]
struct Forgetful;

#[async_trait::async_trait]
impl Layer for Forgetful {
    async fn import(&self, next: &dyn Store, mut load: Load) -> Result<LogPosition, Error> {
        load.items.pop();
        next.import(load).await
    }
}

#[test]
fn a_target_that_does_not_hold_what_it_took_is_told_by_its_digest() {
    block_on(async {
        let (store, _, tenants) = source().await;
        let to = Layered::over(memory(), Forgetful);
        let error = copy(&*store, &to, &of(&tenants[2]), |_| ()).await.unwrap_err();
        let organization = Entity::new(EntityKind::Organization, &tenants[2].organization.organization_id);
        assert!(
            matches!(&error, Error::Refused { entity, code: "copy.differs", .. } if *entity == organization),
            "{error:?}"
        );
    });
}

#[test]
fn progress_is_told_load_by_load_in_both_steps() {
    block_on(async {
        let store = large().await;
        let mut told: Vec<CopyProgress> = Vec::new();
        let report = copy(&*store, &*memory(), &EVERYTHING, |progress| told.push(progress)).await.unwrap();
        for step in [CopyStep::Copying, CopyStep::Verifying] {
            let steps: Vec<_> = told.iter().filter(|progress| progress.step == step).collect();
            assert!(steps.len() >= 4);
            assert!(steps.windows(2).all(|two| two[0].records + two[0].entries < two[1].records + two[1].entries));
            assert_eq!(steps.last().map(|last| (last.records, last.entries)), Some((report.records, report.entries)));
        }
        assert_eq!((report.records, report.entries), (1 + 3 * u64::from(MANY), 1 + u64::from(MANY)));
    });
}

#[test]
fn a_digest_tells_stores_apart_that_differ_in_one_thing() {
    block_on(async {
        let (store, pay, tenants) = source().await;
        let before = digest(&*store, &EVERYTHING).await.unwrap();
        tenants[0].scope(&pay).blocklist().toggle(Some(false)).await.unwrap();
        let after = digest(&*store, &EVERYTHING).await.unwrap();
        let changed: Vec<_> =
            before.iter().zip(&after).filter(|(was, is)| was != is).map(|(_, is)| is.id.clone()).collect();
        assert_eq!(changed, ["platform".to_owned(), tenants[0].organization.organization_id.to_string()]);
        assert!(format!("{:?}", after[0]).contains("digest: \""));
    });
}
