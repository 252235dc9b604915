//! Lists that are imported all or none and are longer than a batch: staged, and made live by one commit.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

mod support;

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use futures_lite::future::block_on;
use perfectpay::store::{Change, ChangeSet, Committed, LogPosition, Prune, Store, Verb};
use perfectpay::{
    BlockKind, BlockRequest, BlocklistScope, Error, ImportCause, ImportError, ImportEvent, ImportMode, ImportOptions,
    ImportReport, MerchantScope, PerfectPay, RowOutcome, SystemEntropy, Timestamp, Unavailability,
};
use perfectpay_memory::MemoryStore;
use perfectpay_sqlite::{SqliteOptions, SqliteStore};
use perfectpay_testkit::faulty::{Counting, FailNth, On, Slow, When};
use perfectpay_testkit::host::{self, Tenant, TestClock};
use perfectpay_testkit::layer::{Layer, Layered};
use proptest::prelude::*;
use support::{World, on_every_backend, snapshot};

async fn tenant(world: &World, id: &str) -> (Tenant, MerchantScope) {
    let tenant = host::stand_up(&world.pay, id).await.unwrap();
    let scope = tenant.scope(&world.pay);
    (tenant, scope)
}

fn together(batch: usize) -> ImportOptions {
    ImportOptions::default().mode(ImportMode::AllOrNothing).batch(batch)
}

/// What came of an import: its end, and of every row its line and what came of it.
type Imported = (Result<ImportReport, ImportError>, Vec<(u64, RowOutcome)>);

async fn import(blocklist: &BlocklistScope, file: impl Read + Send, options: ImportOptions) -> Imported {
    let mut rows = Vec::new();
    let done = blocklist.import_csv(file, options, |event| {
        if let ImportEvent::Row { line, outcome } = event {
            rows.push((line, outcome));
        }
    });
    (done.await, rows)
}

fn store_error((done, rows): Imported) -> String {
    let ImportError { cause: ImportCause::Store(error), report } = done.unwrap_err() else { panic!("is the store's") };
    assert_eq!((report.rows(), rows), (0, Vec::new()), "nothing is told of rows that did not come in");
    error.code().to_owned()
}

async fn exported(blocklist: &BlocklistScope) -> String {
    let mut file = Vec::new();
    blocklist.export_csv(&mut file, |_| {}).await.unwrap();
    String::from_utf8(file).unwrap()
}

/// How many rows are on stages, which go with the question.
async fn staged(store: &dyn Store) -> u64 {
    let step = Prune::Stages { untouched_since: Timestamp::MAX, limit: u32::MAX };
    store.prune(&step).await.unwrap().removed
}

fn tokens(numbers: impl IntoIterator<Item = u32>) -> String {
    let rows = numbers.into_iter().map(|n| format!("fingerprint,tok_{n}\n"));
    format!("type,data\n{}", rows.collect::<String>())
}

#[test]
fn a_list_of_many_batches_is_made_live_by_one_commit() {
    on_every_backend(async |world| {
        let (_, scope) = tenant(world, "acme").await;
        let blocklist = scope.blocklist();
        import(&blocklist, tokens([17, 950]).as_bytes(), together(10)).await.0.unwrap();
        let head = scope.log(LogPosition::START, 1_000).await.unwrap().len();
        // Rows that repeat one of another batch, and lines that do not follow each other.
        let file = tokens((0..1_000).map(|n| n * 7 % 990)).replace("tok_5\n", "tok_5\n\n\n\r\n");
        let mut progress = Vec::new();
        let mut rows = Vec::new();
        let done = blocklist.import_csv(file.as_bytes(), together(100), |event| match event {
            ImportEvent::Row { line, outcome } => rows.push((line, outcome)),
            ImportEvent::Progress(report) => progress.push((report.rows(), report.bytes > 0)),
        });
        let report = done.await.unwrap();
        assert_eq!((report.inserted, report.duplicates, report.rows()), (988, 12, 1_000), "{}", world.name);
        // Until the commit nothing is known of any row but that it was read.
        let (last, before) = progress.split_last().unwrap();
        assert_eq!((*last, before.len()), ((1_000, true), 10));
        assert!(before.iter().all(|told| *told == (0, true)), "{before:?}");
        let outcome = |n: u32| if [17, 950].contains(&n) { RowOutcome::Duplicate } else { RowOutcome::Inserted };
        let mut line = 2;
        for (at, (told, came)) in rows.iter().enumerate() {
            let n = u32::try_from(at).unwrap() * 7 % 990;
            let expected = if at < 990 { outcome(n) } else { RowOutcome::Duplicate };
            assert_eq!((*told, came), (line, &expected), "row {at} in {}", world.name);
            line += if n == 5 { 4 } else { 1 };
        }
        let log = scope.log(LogPosition::START, 1_000).await.unwrap();
        let [entry] = &log[head..] else { panic!("{} commits", log.len() - head) };
        assert_eq!(
            entry.changes.iter().map(|line| (line.verb, line.count)).collect::<Vec<_>>(),
            [(Verb::Created, 988)]
        );
        assert_eq!(exported(&blocklist).await.lines().count(), 1 + 990);
        assert_eq!(staged(&*world.backend.store).await, 0, "nothing is left behind");
        // Again: nothing is new, and nothing is committed.
        let (done, rows) = import(&blocklist, file.as_bytes(), together(100)).await;
        assert_eq!(done.map(|r| (r.inserted, r.duplicates)).unwrap(), (0, 1_000));
        assert!(rows.iter().all(|(_, outcome)| *outcome == RowOutcome::Duplicate));
        assert_eq!(scope.log(LogPosition::START, 1_000).await.unwrap().len(), head + 1);
    });
}

#[test]
fn one_wrong_row_in_any_batch_keeps_all_others_out() {
    on_every_backend(async |world| {
        let (_, scope) = tenant(world, "acme").await;
        let blocklist = scope.blocklist();
        let before = snapshot(&world.pay).await;
        let good: Vec<String> = (0..35).map(|n| format!("card_bin,{}", 400_000 + n)).collect();
        for wrong in [0, 9, 10, 11, 25, 34] {
            for row in ["card_bin,4,", "card_bin,400000,pro_nowhere"] {
                let mut rows: Vec<String> = good.iter().map(|row| format!("{row},")).collect();
                row.clone_into(&mut rows[wrong]);
                let file = format!("type,data,profile_id\n{}\n", rows.join("\n"));
                let (done, rows) = import(&blocklist, file.as_bytes(), together(10)).await;
                assert_eq!(done.map(|r| (r.inserted, r.withheld, r.invalid)).unwrap(), (0, 34, 1), "{}", world.name);
                assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), (2..37).collect::<Vec<_>>());
                for (at, (_, outcome)) in rows.iter().enumerate() {
                    assert_eq!(matches!(outcome, RowOutcome::Invalid(_)), at == wrong, "row {at}: {outcome:?}");
                }
                assert_eq!(snapshot(&world.pay).await, before, "{}", world.name);
                assert_eq!(staged(&*world.backend.store).await, 0);
            }
        }
    });
}

#[test]
fn a_dry_run_of_many_batches_stages_nothing() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let layered = Layered::over(store, Counting::default());
        let counting = layered.layer.clone();
        let pay = host::open(Arc::new(layered)).await.unwrap();
        let tenant = host::stand_up(&pay, "acme").await.unwrap();
        let blocklist = tenant.scope(&pay).blocklist();
        import(&blocklist, tokens([17]).as_bytes(), together(10)).await.0.unwrap();
        counting.take();
        let (done, _) = import(&blocklist, tokens(0..50).as_bytes(), together(10).dry_run(true)).await;
        assert_eq!(done.map(|r| (r.inserted, r.duplicates)).unwrap(), (49, 1));
        let calls = counting.take();
        assert_eq!((calls.commits, calls.stages, calls.prunes), (0, 0, 0));
    });
}

/// A file that breaks off.
struct Fails<'a>(&'a [u8]);

impl Read for Fails<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the line is dead")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_file_that_breaks_off_adds_nothing_and_leaves_nothing_behind() {
    on_every_backend(async |world| {
        let (_, scope) = tenant(world, "acme").await;
        let before = snapshot(&world.pay).await;
        let file = tokens(0..35);
        let (done, rows) = import(&scope.blocklist(), Fails(file.as_bytes()), together(10)).await;
        let ImportError { cause, report } = done.unwrap_err();
        assert!(matches!(cause, ImportCause::Read(_)), "{cause:?}");
        assert_eq!((report.rows(), rows.len()), (0, 0), "nothing was added, and nothing is told of rows");
        assert_eq!(snapshot(&world.pay).await, before, "{}", world.name);
        assert_eq!(staged(&*world.backend.store).await, 0);
    });
}

#[test]
fn a_store_that_fails_on_the_way_adds_nothing_or_says_that_it_does_not_know() {
    let full = || Error::unavailable(Unavailability::Full, "the disk is full");
    let lost = || Error::OutcomeUnknown { source: "the answer was lost".into() };
    let file = tokens(0..35);
    block_on(async {
        for (fault, code, inserted) in [
            (FailNth::new(On::Stage, 1, When::Before, full), "unavailable", 35),
            (FailNth::new(On::Stage, 3, When::After, full), "unavailable", 35),
            (FailNth::new(On::Commit, 1, When::Before, full), "unavailable", 35),
            // It was made live, and nobody knows.
            (FailNth::new(On::Commit, 1, When::After, lost), "outcome_unknown", 0),
        ] {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let tenant = host::stand_up(&host::open(store.clone()).await.unwrap(), "acme").await.unwrap();
            let name = format!("{fault:?}");
            let pay = host::open(Arc::new(Layered::over(store.clone(), fault))).await.unwrap();
            let blocklist = tenant.scope(&pay).blocklist();
            let imported = import(&blocklist, file.as_bytes(), together(10)).await;
            assert_eq!(store_error(imported), code, "{name}");
            assert_eq!(staged(&*store).await, 0, "{name}");
            // Repeating it is safe.
            let (done, _) = import(&blocklist, file.as_bytes(), together(10)).await;
            assert_eq!(done.map(|r| (r.inserted, r.duplicates)).unwrap(), (inserted, 35 - inserted), "{name}");
            assert_eq!(exported(&blocklist).await.lines().count(), 1 + 35);
        }
    });
}

#[test]
fn what_cannot_be_cleared_after_the_commit_does_not_undo_it() {
    block_on(async {
        let full = || Error::unavailable(Unavailability::Full, "the disk is full");
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let layered = Layered::over(store.clone(), FailNth::new(On::Prune, 1, When::Before, full));
        let pay = host::open(Arc::new(layered)).await.unwrap();
        let tenant = host::stand_up(&pay, "acme").await.unwrap();
        let blocklist = tenant.scope(&pay).blocklist();
        let (done, _) = import(&blocklist, tokens(0..35).as_bytes(), together(10)).await;
        assert_eq!(done.unwrap().inserted, 35);
        assert_eq!(pay.maintain().await.unwrap().staged, 35, "it need not wait for a day");
        assert_eq!(staged(&*store).await, 0);
        assert_eq!(exported(&blocklist).await.lines().count(), 1 + 35);
    });
}

#[test]
fn a_store_that_is_busy_is_waited_for() {
    let busy = || Error::unavailable(Unavailability::Busy, "another process writes");
    block_on(async {
        for (on, nth) in [(On::Stage, 1), (On::Stage, 3), (On::Commit, 1), (On::Prune, 1)] {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let tenant = host::stand_up(&host::open(store.clone()).await.unwrap(), "acme").await.unwrap();
            let layered = Layered::over(store.clone(), FailNth::new(on, nth, When::Before, busy));
            let layer = layered.layer.clone();
            let pay = host::open(Arc::new(layered)).await.unwrap();
            let blocklist = tenant.scope(&pay).blocklist();
            let (done, rows) = import(&blocklist, tokens(0..35).as_bytes(), together(10)).await;
            assert_eq!((done.unwrap().inserted, rows.len()), (35, 35), "{on:?}");
            assert!(layer.has_failed());
            assert_eq!(staged(&*store).await, 0, "{on:?}");
        }
    });
}

#[test]
fn two_processes_that_import_into_one_list_make_it_the_union_of_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let tenant = block_on(async {
        let pay = host::open(Arc::new(SqliteStore::open(&path).unwrap())).await.unwrap();
        host::stand_up(&pay, "acme").await.unwrap()
    });
    let start = Barrier::new(3);
    let done = |numbers: std::ops::Range<u32>| {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
        start.wait();
        block_on(async {
            // Two processes that drew the same randomness would be on one stage.
            let settings = host::settings().unwrap().entropy(Arc::new(SystemEntropy));
            let pay = PerfectPay::open(store, settings).await.unwrap();
            let blocklist = tenant.scope(&pay).blocklist();
            import(&blocklist, tokens(numbers).as_bytes(), together(100)).await.0.unwrap()
        })
    };
    let reports = std::thread::scope(|scope| {
        let imports = [0..2_000, 1_000..3_000].map(|numbers| scope.spawn(|| done(numbers)));
        // Others go on meanwhile, one commit behind the other.
        let pay = block_on(host::open(Arc::new(SqliteStore::open(&path).unwrap()))).unwrap();
        start.wait();
        for number in 0..20 {
            let request = BlockRequest::new(BlockKind::CardBin, format!("{}", 400_000 + number).parse().unwrap());
            block_on(async { tenant.scope(&pay).blocklist().add(request).await }).unwrap();
        }
        imports.map(|import| import.join().unwrap())
    });
    let [first, second] = reports.map(|report| (report.inserted, report.duplicates));
    assert_eq!((first.0 + second.0, first.1 + second.1), (3_000, 1_000), "{first:?}, {second:?}");
    let report = SqliteOptions::new(&path).verify(|_| {}).unwrap();
    assert!(report.is_healthy(), "{report:?}");
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
        let pay = host::open(store.clone()).await.unwrap();
        assert_eq!(exported(&tenant.scope(&pay).blocklist()).await.lines().count(), 1 + 3_000 + 20);
        assert_eq!(staged(&*store).await, 0);
    });
}

/// Another process, which adds entries right before a stage is made live.
#[derive(Debug, Default)]
struct Meanwhile {
    others: Mutex<Vec<ChangeSet>>,
    armed: AtomicBool,
}

#[async_trait]
impl Layer for Meanwhile {
    async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
        if matches!(set.changes.as_slice(), [Change::AddStagedRules(_)]) {
            for _ in 0..2 {
                let other = self.others.lock().unwrap().pop();
                if let Some(other) = other {
                    next.commit(other).await?;
                }
            }
        } else if self.armed.load(Ordering::SeqCst) {
            self.others.lock().unwrap().push(set);
            return Err(Error::unavailable(Unavailability::Busy, "is kept for later"));
        }
        next.commit(set).await
    }
}

#[test]
fn what_others_add_before_the_commit_is_told_as_there_already() {
    block_on(async {
        let layered = Layered::over(Arc::new(MemoryStore::new()), Meanwhile::default());
        let meanwhile = layered.layer.clone();
        let pay = host::open(Arc::new(layered)).await.unwrap();
        let tenant = host::stand_up(&pay, "acme").await.unwrap();
        let blocklist = tenant.scope(&pay).blocklist();
        meanwhile.armed.store(true, Ordering::SeqCst);
        for list in [tokens([3, 90]), tokens([30])] {
            import(&blocklist, list.as_bytes(), together(10)).await.0.unwrap_err();
        }
        meanwhile.armed.store(false, Ordering::SeqCst);
        // The one that was there first goes when the second one comes: what was told of it stays true.
        import(&blocklist, tokens([7]).as_bytes(), together(10)).await.0.unwrap();
        meanwhile.armed.store(true, Ordering::SeqCst);
        let gone = BlockRequest::new(BlockKind::Fingerprint, "tok_7".parse().unwrap());
        blocklist.remove(gone).await.unwrap_err();
        meanwhile.armed.store(false, Ordering::SeqCst);
        meanwhile.others.lock().unwrap().swap(1, 2);
        let (done, rows) = import(&blocklist, tokens(0..35).as_bytes(), together(10)).await;
        assert_eq!(done.map(|r| (r.inserted, r.duplicates)).unwrap(), (32, 3));
        let duplicates = rows.iter().filter(|(_, outcome)| *outcome == RowOutcome::Duplicate);
        assert_eq!(duplicates.map(|(line, _)| *line).collect::<Vec<_>>(), [3 + 2, 7 + 2, 30 + 2]);
        assert_eq!(meanwhile.others.lock().unwrap().len(), 0);
        assert_eq!(exported(&blocklist).await.lines().count(), 1 + 35);
    });
}

#[test]
fn an_import_that_is_dropped_adds_all_or_nothing_and_maintenance_clears_what_it_left() {
    block_on(async {
        let clock = Arc::new(TestClock::default());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let slow = Layered::over(store.clone(), Slow { yields: 1, sleep: Duration::ZERO });
        let settings = host::settings().unwrap().clock(clock.clone());
        let pay = PerfectPay::open(Arc::new(slow), settings).await.unwrap();
        let (mut left, mut whole) = (0, 0);
        for polls in 1.. {
            let tenant = host::stand_up(&pay, &format!("acme{polls}")).await.unwrap();
            let blocklist = tenant.scope(&pay).blocklist();
            let file = tokens(0..35);
            let mut import = Box::pin(blocklist.import_csv(file.as_bytes(), together(10), |_| {}));
            let mut context = Context::from_waker(Waker::noop());
            let is_done = (0..polls).any(|_| import.as_mut().poll(&mut context).is_ready());
            drop(import);
            let rows = exported(&blocklist).await.lines().count() - 1;
            assert!([0, 35].contains(&rows), "{rows} rows after {polls} polls");
            whole += u32::from(rows == 35);
            clock.step(Duration::from_secs(86_400));
            let cleared = pay.maintain().await.unwrap();
            // What was made live needs its stage no more.
            assert!(cleared.staged == 0 || rows == 35, "for a day it may go on: {cleared:?}");
            left += cleared.staged;
            clock.step(Duration::from_millis(1));
            left += pay.maintain().await.unwrap().staged;
            assert_eq!(staged(&*store).await, 0);
            assert_eq!(exported(&blocklist).await.lines().count() - 1, rows, "entries stay");
            if is_done {
                break;
            }
        }
        assert!(left > 35 && whole > 1, "{left} rows were left, {whole} imports were whole");
    });
}

const ROWS: u32 = 2_000;

/// Not a test of its own: imports one list after the other, told when it begins and when it is done.
#[test]
fn as_another_process() {
    let Ok(path) = std::env::var("PERFECTPAY_TEST_FILE") else { return };
    block_on(async {
        let store = Arc::new(SqliteStore::open(path).unwrap());
        let pay = host::open(store).await.unwrap();
        let scope = pay.merchant(&std::env::var("PERFECTPAY_TEST_MERCHANT").unwrap().parse().unwrap());
        let first: u32 = std::env::var("PERFECTPAY_TEST_LIST").unwrap().parse().unwrap();
        for list in first.. {
            println!("begins {list}");
            let rows = tokens((0..ROWS).map(|n| list * ROWS + n));
            import(&scope.blocklist(), rows.as_bytes(), together(100)).await.0.unwrap();
            println!("done {list}");
        }
    });
}

#[test]
fn a_process_that_is_killed_has_added_a_list_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let merchant = block_on(async {
        let pay = host::open(Arc::new(SqliteStore::open(&path).unwrap())).await.unwrap();
        host::stand_up(&pay, "acme").await.unwrap().scope(&pay).retrieve().await.unwrap().merchant_id.to_string()
    });
    let (mut next, mut done, mut interrupted, mut left) = (0_u32, Vec::new(), 0, 0);
    let rounds = std::env::var("PERFECTPAY_KILLS").map_or(12, |kills| kills.parse().unwrap());
    for round in 0..rounds {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["as_another_process", "--exact", "--nocapture"])
            .env("PERFECTPAY_TEST_FILE", &path)
            .env("PERFECTPAY_TEST_MERCHANT", &merchant)
            .env("PERFECTPAY_TEST_LIST", next.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(process.stdout.take().unwrap()).lines();
        // It has begun; from here on any moment is as good as another.
        while !told.next().unwrap().unwrap().contains("begins") {}
        std::thread::sleep(Duration::from_millis(7 + round * 13_u64 % 90));
        process.kill().unwrap();
        process.wait().unwrap();
        done.push(next);
        for line in told.map(Result::unwrap) {
            if let Some((_, list)) = line.split_once("begins ") {
                done.push(list.parse().unwrap());
            }
        }
        let begun = done.pop().unwrap();
        let report = SqliteOptions::new(&path).verify(|_| {}).unwrap();
        assert!(report.is_healthy(), "{report:?}");
        block_on(async {
            let clock = Arc::new(TestClock::at(Timestamp::MAX));
            let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
            let pay = PerfectPay::open(store, host::settings().unwrap().clock(clock)).await.unwrap();
            let file = exported(&pay.merchant(&merchant.parse().unwrap()).blocklist()).await;
            let mut lists: BTreeMap<u32, u32> = BTreeMap::new();
            for (_, number) in file.lines().filter_map(|line| line.split(',').nth(1)?.split_once("tok_")) {
                *lists.entry(number.parse::<u32>().unwrap() / ROWS).or_default() += 1;
            }
            let whole = lists.remove(&begun);
            assert!(whole.is_none_or(|rows| rows == ROWS), "{whole:?} rows of list {begun}");
            interrupted += u32::from(whole.is_none());
            assert_eq!(lists, done.iter().map(|list| (*list, ROWS)).collect(), "round {round}");
            done.extend(whole.map(|_| begun));
            loop {
                let cleared = pay.maintain().await.unwrap();
                left += cleared.staged;
                if !cleared.more {
                    break;
                }
            }
        });
        next = begun + 1;
    }
    assert!(interrupted > 3 && left > 100, "{interrupted} lists were interrupted, {left} rows were left");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// In how many batches a list comes makes no difference: neither to what is there, nor to what is told.
    #[test]
    fn a_staged_list_is_what_one_change_set_makes_of_it(
        rows in prop::collection::vec((0_u32..40, 0_usize..4, any::<bool>()), 1..80),
        there in prop::collection::vec(0_u32..40, 0..8),
        batch in 1_usize..20,
    ) {
        let kinds = ["fingerprint,tok_", "card_bin,4000", "card_prefix,40000", "fingerprint,4000"];
        let row = |(n, kind, why): &(u32, usize, bool)| {
            format!("{}{:02},{}\n", kinds[*kind], n, if *why { "because" } else { "" })
        };
        let file = format!("type,data,reason\n{}", rows.iter().map(row).collect::<String>());
        let run = |batch: usize, store: Arc<dyn Store>| block_on(async {
            let pay = host::open(store).await.unwrap();
            let tenant = host::stand_up(&pay, "acme").await.unwrap();
            let blocklist = tenant.scope(&pay).blocklist();
            import(&blocklist, tokens(there.iter().copied()).as_bytes(), together(1_000)).await.0.unwrap();
            let (done, told) = import(&blocklist, file.as_bytes(), together(batch)).await;
            (done.unwrap(), told, exported(&blocklist).await)
        });
        let whole = run(1_000, Arc::new(MemoryStore::new()));
        prop_assert_eq!(&run(batch, Arc::new(MemoryStore::new())), &whole);
        prop_assert_eq!(&run(batch, Arc::new(SqliteStore::in_memory().unwrap())), &whole);
    }
}
