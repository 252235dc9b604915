//! Two processes on one store, in every order that the steps of their calls may have.

use std::collections::{BTreeMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use futures_lite::future::{block_on, yield_now};
use proptest::prelude::*;

use super::{Follower, Follows, WATCH};
use crate::error::{EntityKind, Error, Unavailability};
use crate::id::Incarnation;
use crate::store::{
    Actor, BlockPage, BlockScan, ChangeSet, CommitClass, Committed, EntityRef, Export, Extent, Head, IdempotencyClaim,
    IdempotencyKey, Key, Listing, Load, LogEntry, LogPosition, LogPruning, LogQuery, LogScope, Owner, Prune, Pruned,
    Query, Receipt, Record, StageId, StagedPart, Store, UseCount, Uses,
};
use crate::time::{Clock, Timestamp};

const OBJECTS: usize = 3;
const BOUND: i64 = 1_000;

/// The store both processes share: versions of a few objects, and the log of how they came about.
#[derive(Debug, Default)]
struct Disk {
    versions: [u64; OBJECTS],
    log: Vec<LogEntry>,
    /// Entries up to here are pruned.
    pruned: u64,
    queue: VecDeque<(u64, ChangeSet)>,
    answers: BTreeMap<u64, Receipt>,
    /// Which versions were made, of which object, when, by which set.
    history: Vec<(i64, usize, u64, u64)>,
    sets: u64,
    reads: u64,
    failing: bool,
}

#[derive(Debug, Default)]
struct Shared {
    disk: Mutex<Disk>,
    now: AtomicI64,
}

impl Shared {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    fn read(&self) -> Result<(), Error> {
        let mut disk = self.disk();
        disk.reads += 1;
        if std::mem::take(&mut disk.failing) {
            return Err(Error::unavailable(Unavailability::Failed, "fails once"));
        }
        Ok(())
    }

    /// The writing thread takes the oldest set.
    fn carry_out(&self) {
        let now = self.now();
        let mut disk = self.disk();
        let Some((number, set)) = disk.queue.pop_front() else { return };
        let changes = set.logged();
        let position = LogPosition::from_u64(disk.log.len() as u64 + 1);
        let at = Timestamp::from_unix_millis(now).unwrap();
        if set.class == CommitClass::Configuration {
            let object = changes[0].id.parse::<usize>().unwrap();
            disk.versions[object] += 1;
            let version = disk.versions[object];
            disk.history.push((now, object, version, number));
        }
        let entry = super::entry_of(&set);
        disk.log.push(LogEntry { position, at, ..entry });
        disk.answers.insert(number, Receipt { position, at });
    }
}

impl Clock for Shared {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.now()).unwrap()
    }
}

#[async_trait]
impl Store for Shared {
    async fn commit(&self, set: ChangeSet) -> Result<Committed, Error> {
        let number = {
            let mut disk = self.disk();
            disk.sets += 1;
            let number = disk.sets;
            disk.queue.push_back((number, set));
            number
        };
        loop {
            if let Some(receipt) = self.disk().answers.get(&number) {
                return Ok(Committed::Applied(*receipt));
            }
            yield_now().await;
        }
    }

    async fn get(&self, _: &Key) -> Result<Option<Record>, Error> {
        Ok(None)
    }

    async fn list(&self, _: &Query) -> Result<Option<Listing>, Error> {
        Ok(None)
    }

    async fn block_rules(&self, _: &BlockScan) -> Result<Option<BlockPage>, Error> {
        Ok(None)
    }

    async fn uses(&self, _: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
        Ok(None)
    }

    async fn claim(&self, _: Incarnation, _: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
        Ok(None)
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
        assert_eq!(query.scope, LogScope::Configuration);
        yield_now().await;
        self.read()?;
        let entries = {
            let disk = self.disk();
            if query.after.as_u64() < disk.pruned {
                return Err(Error::LogPruned { through: LogPosition::from_u64(disk.pruned) });
            }
            let behind = disk.log.iter().filter(|e| e.position > query.after && e.class == CommitClass::Configuration);
            // Pages of two, so that a catch-up takes several.
            behind.take(2).cloned().collect()
        };
        yield_now().await;
        Ok(entries)
    }

    async fn head(&self) -> Result<Head, Error> {
        yield_now().await;
        self.read()?;
        let head = {
            let disk = self.disk();
            let configuration = disk.log.iter().rfind(|e| e.class == CommitClass::Configuration);
            Head {
                position: disk.log.last().map_or(LogPosition::START, |e| e.position),
                configuration: configuration.map_or(LogPosition::START, |e| e.position),
                at: disk.log.last().map_or(Timestamp::UNIX_EPOCH, |e| e.at),
                pruned: (disk.pruned > 0).then(|| LogPruning {
                    through: LogPosition::from_u64(disk.pruned),
                    at: Timestamp::UNIX_EPOCH,
                    by: Actor::Host,
                }),
            }
        };
        yield_now().await;
        Ok(head)
    }

    async fn stage(&self, _: StagedPart) -> Result<(), Error> {
        Err(Error::corrupt("no test stages by the store"))
    }

    async fn taken(&self, _: &EntityRef, _: StageId) -> Result<Option<Vec<u64>>, Error> {
        Ok(None)
    }

    async fn prune(&self, _: &Prune) -> Result<Pruned, Error> {
        Err(Error::corrupt("no test prunes by the store"))
    }

    async fn export(&self, _: &Extent) -> Result<Box<dyn Export>, Error> {
        Err(Error::corrupt("no test exports"))
    }

    async fn import(&self, _: Load) -> Result<LogPosition, Error> {
        Err(Error::corrupt("no test imports"))
    }
}

/// An owner: it keeps the versions that it read, and drops what it is told of.
#[derive(Debug, Default)]
struct Cache {
    kept: Mutex<BTreeMap<usize, u64>>,
    told: AtomicU64,
    resets: AtomicU64,
}

impl Follows for Cache {
    fn apply(&self, entry: &LogEntry) {
        let mut kept = self.kept.lock().unwrap();
        for change in &entry.changes {
            kept.remove(&change.id.parse().unwrap());
        }
        self.told.fetch_add(1, Ordering::SeqCst);
    }

    fn reset(&self) {
        self.kept.lock().unwrap().clear();
        self.told.fetch_add(1, Ordering::SeqCst);
        self.resets.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Process {
    shared: Arc<Shared>,
    cache: Arc<Cache>,
    follower: Follower,
}

impl Process {
    fn open(shared: &Arc<Shared>, bound: i64) -> Arc<Self> {
        let cache = Arc::new(Cache::default());
        let (now, head) = (Clock::now(&**shared), block_on(shared.head()).unwrap());
        let bound = Duration::from_millis(bound.unsigned_abs());
        let follower = Follower::new(vec![Arc::clone(&cache) as _], Arc::clone(shared) as _, bound, now, &head);
        Arc::new(Self { shared: Arc::clone(shared), cache, follower })
    }

    /// The version of an object, from memory where it is kept.
    async fn hot(&self, object: usize) -> Result<u64, Error> {
        self.follower.freshen(&*self.shared).await?;
        if let Some(version) = self.cache.kept.lock().unwrap().get(&object) {
            return Ok(*version);
        }
        let told = self.cache.told.load(Ordering::SeqCst);
        yield_now().await;
        let version = self.shared.disk().versions[object];
        yield_now().await;
        let mut kept = self.cache.kept.lock().unwrap();
        if self.cache.told.load(Ordering::SeqCst) == told {
            kept.insert(object, version);
        }
        Ok(version)
    }

    async fn commit(&self, object: usize, class: CommitClass) -> Result<Committed, Error> {
        let mut set = ChangeSet::new(Owner::default(), Actor::Host, Clock::now(&*self.shared), class);
        let entity = EntityRef { kind: EntityKind::Profile, tenant: Incarnation::PLATFORM, id: object.to_string() };
        set.remove(entity, 1, false);
        self.follower.commit(&*self.shared, set).await
    }
}

type Running<T> = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

enum Task {
    /// A hot call, and the least version that it may answer.
    Hot {
        call: Running<u64>,
        object: usize,
        least: u64,
    },
    Commit {
        call: Running<Committed>,
        process: usize,
        object: usize,
        number: Option<u64>,
    },
    CatchUp {
        call: Running<u64>,
        process: usize,
    },
}

struct World {
    shared: Arc<Shared>,
    processes: [Arc<Process>; 2],
    tasks: Vec<Task>,
    /// The versions whose commit was acknowledged to the process.
    acknowledged: [[u64; OBJECTS]; 2],
    /// Sets whose receipt the process lost, and when.
    lost: [Vec<(u64, i64)>; 2],
    bound: i64,
}

impl World {
    fn open(bound: i64) -> Self {
        let shared = Arc::new(Shared::default());
        shared.now.store(1_000_000, Ordering::SeqCst);
        let processes = [Process::open(&shared, bound), Process::open(&shared, bound)];
        Self { shared, processes, tasks: Vec::new(), acknowledged: Default::default(), lost: Default::default(), bound }
    }

    /// What a hot call that begins now must not answer an older version than.
    fn least(&self, process: usize, object: usize) -> u64 {
        let now = self.shared.now();
        let is_seen = |at: i64, number: u64| {
            at <= now - self.bound || self.lost[process].iter().any(|(set, when)| *set == number && now < when + WATCH)
        };
        let disk = self.shared.disk();
        let made = disk.history.iter().filter(|(at, of, _, number)| *of == object && is_seen(*at, *number));
        made.map(|(_, _, version, _)| *version).max().unwrap_or(0).max(self.acknowledged[process][object])
    }

    fn hot(&mut self, process: usize, object: usize) {
        let least = self.least(process, object);
        let of = Arc::clone(&self.processes[process]);
        self.tasks.push(Task::Hot { call: Box::pin(async move { of.hot(object).await }), object, least });
    }

    fn commit(&mut self, process: usize, object: usize, class: CommitClass) {
        let of = Arc::clone(&self.processes[process]);
        let call = Box::pin(async move { of.commit(object, class).await });
        self.tasks.push(Task::Commit { call, process, object, number: None });
    }

    fn catch_up(&mut self, process: usize) {
        let of = Arc::clone(&self.processes[process]);
        let call = Box::pin(async move { of.follower.catch_up(&*of.shared).await.map(|f| f.position.as_u64()) });
        self.tasks.push(Task::CatchUp { call, process });
    }

    /// Lets a task take one step.
    fn step(&mut self, at: usize) -> Result<(), TestCaseError> {
        let Some(at) = at.checked_rem(self.tasks.len()) else { return Ok(()) };
        let mut context = Context::from_waker(Waker::noop());
        let over = match &mut self.tasks[at] {
            Task::Hot { call, object, least } => match call.as_mut().poll(&mut context) {
                Poll::Ready(Ok(version)) => {
                    prop_assert!(version >= *least, "object {object}: {version} is older than {least}");
                    prop_assert!(version <= self.shared.disk().versions[*object]);
                    true
                }
                done => done.is_ready(),
            },
            Task::Commit { call, process, object, number } => {
                let done = call.as_mut().poll(&mut context);
                let set = *number.get_or_insert(self.shared.disk().sets);
                if done.is_ready() {
                    let made = self.shared.disk().history.iter().find(|made| made.3 == set).copied();
                    let known = &mut self.acknowledged[*process][*object];
                    *known = (*known).max(made.map_or(0, |made| made.2));
                }
                done.is_ready()
            }
            Task::CatchUp { call, process } => match call.as_mut().poll(&mut context) {
                Poll::Ready(Ok(position)) => {
                    // What it says is seen is: nothing older is kept.
                    let kept = self.processes[*process].cache.kept.lock().unwrap().clone();
                    let disk = self.shared.disk();
                    for (object, version) in kept {
                        let made = disk.log.iter().take(usize::try_from(position).unwrap());
                        let made = made.filter(|e| e.class == CommitClass::Configuration);
                        let made = made.filter(|e| e.changes[0].id == object.to_string()).count() as u64;
                        prop_assert!(version >= made, "object {object}: kept {version}, made {made}");
                    }
                    true
                }
                done => done.is_ready(),
            },
        };
        if over {
            drop(self.tasks.swap_remove(at));
        }
        Ok(())
    }

    /// Drops a task where it stands.
    fn drop_one(&mut self, at: usize) {
        let Some(at) = at.checked_rem(self.tasks.len()) else { return };
        if let Task::Commit { process, number: Some(number), .. } = &self.tasks[at] {
            self.lost[*process].push((*number, self.shared.now()));
        }
        drop(self.tasks.swap_remove(at));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Hot(usize, usize),
    Commit(usize, usize),
    Operational(usize),
    CatchUp(usize),
    Poll(usize, usize),
    Drop(usize),
    CarryOut,
    Advance(i64),
    Fail,
    Prune,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, 0..OBJECTS).prop_map(|(p, o)| Step::Hot(p, o)),
        3 => (0..2_usize, 0..OBJECTS).prop_map(|(p, o)| Step::Commit(p, o)),
        1 => (0..2_usize).prop_map(Step::Operational),
        1 => (0..2_usize).prop_map(Step::CatchUp),
        20 => (any::<usize>(), 1..6_usize).prop_map(|(t, n)| Step::Poll(t, n)),
        2 => any::<usize>().prop_map(Step::Drop),
        6 => Just(Step::CarryOut),
        3 => prop_oneof![0..200_i64, 900..1_100_i64, 9_000..11_000_i64].prop_map(Step::Advance),
        1 => Just(Step::Fail),
        1 => Just(Step::Prune),
    ]
}

fn run(bound: i64, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut world = World::open(bound);
    for step in steps {
        match step {
            Step::Hot(process, object) => world.hot(process, object),
            Step::Commit(process, object) => world.commit(process, object, CommitClass::Configuration),
            Step::Operational(process) => world.commit(process, 0, CommitClass::Operational),
            Step::CatchUp(process) => world.catch_up(process),
            Step::Poll(task, times) => {
                for _ in 0..times {
                    world.step(task)?;
                }
            }
            Step::Drop(task) => world.drop_one(task),
            Step::CarryOut => world.shared.carry_out(),
            Step::Advance(millis) => drop(world.shared.now.fetch_add(millis, Ordering::SeqCst)),
            Step::Fail => world.shared.disk().failing = true,
            Step::Prune => {
                let mut disk = world.shared.disk();
                disk.pruned = disk.log.len() as u64;
            }
        }
    }
    // Everything comes to its end, and then both see everything.
    for turn in 0..100_000 {
        if world.tasks.is_empty() {
            break;
        }
        world.shared.carry_out();
        world.step(turn)?;
    }
    prop_assert!(world.tasks.is_empty(), "a call hangs");
    while !world.shared.disk().queue.is_empty() {
        world.shared.carry_out();
    }
    world.shared.disk().failing = false;
    world.shared.now.fetch_add(bound, Ordering::SeqCst);
    for process in &world.processes {
        for object in 0..OBJECTS {
            prop_assert_eq!(block_on(process.hot(object)).unwrap(), world.shared.disk().versions[object]);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_hot_call_answers_what_is_older_than_it_may_be(steps in prop::collection::vec(step(), 0..150)) {
        run(BOUND, steps)?;
    }

    #[test]
    fn under_the_bound_zero_every_call_sees_everything(steps in prop::collection::vec(step(), 0..100)) {
        run(0, steps)?;
    }
}

fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

#[test]
fn a_fresh_call_is_ready_at_first_poll_and_reads_nothing() {
    let world = World::open(BOUND);
    let process = &world.processes[0];
    block_on(process.hot(0)).unwrap();
    let reads = world.shared.disk().reads;
    assert_eq!(ready(process.hot(0)).unwrap().unwrap(), 0);
    world.shared.now.fetch_add(BOUND - 1, Ordering::SeqCst);
    assert_eq!(ready(process.hot(0)).unwrap().unwrap(), 0);
    assert_eq!(world.shared.disk().reads, reads);
    world.shared.now.fetch_add(1, Ordering::SeqCst);
    assert!(ready(process.hot(0)).is_none());
    assert_eq!(block_on(process.hot(0)).unwrap(), 0);
    assert_eq!(world.shared.disk().reads, reads + 1);
}

#[test]
fn a_clock_that_was_set_back_makes_the_next_call_look() {
    let world = World::open(BOUND);
    let process = &world.processes[0];
    assert!(process.follower.is_fresh(process.follower.clock()));
    world.shared.now.fetch_sub(1, Ordering::SeqCst);
    assert!(!process.follower.is_fresh(process.follower.clock()));
    block_on(process.hot(0)).unwrap();
    assert!(process.follower.is_fresh(process.follower.clock()));
}

#[test]
fn calls_that_wait_share_one_look() {
    let mut world = World::open(0);
    for _ in 0..10 {
        world.hot(0, 0);
    }
    let before = world.shared.disk().reads;
    for turn in 0..1_000 {
        world.step(turn).unwrap();
    }
    assert!(world.tasks.is_empty());
    // The one that is under way when the others come began before them; the next one serves them all.
    assert!(world.shared.disk().reads - before <= 2, "{} looks", world.shared.disk().reads - before);
}

#[test]
fn a_look_is_as_old_as_its_beginning() {
    let world = World::open(BOUND);
    let process = &world.processes[0];
    let begun = process.follower.clock();
    let mut look = pin!(process.follower.catch_up(&*world.shared));
    for _ in 0..2 {
        assert!(ready(look.as_mut()).is_none());
    }
    world.shared.now.fetch_add(BOUND, Ordering::SeqCst);
    assert_eq!(block_on(look).unwrap().looked_at, begun);
    assert!(!process.follower.is_fresh(process.follower.clock()));
}

#[test]
fn a_failed_look_is_the_callers_error_and_the_next_call_looks_again() {
    let world = World::open(BOUND);
    let process = &world.processes[0];
    world.shared.now.fetch_add(BOUND, Ordering::SeqCst);
    world.shared.disk().failing = true;
    assert_eq!(block_on(process.hot(0)).unwrap_err().code(), "unavailable");
    assert!(!process.follower.is_fresh(process.follower.clock()));
    assert_eq!(block_on(process.hot(0)).unwrap(), 0);
}

#[test]
fn a_log_that_does_not_reach_back_resets_what_is_kept() {
    let world = World::open(BOUND);
    let [one, other] = &world.processes;
    assert_eq!(block_on(one.hot(0)).unwrap(), 0);
    let mut commit = pin!(other.commit(0, CommitClass::Configuration));
    assert!(ready(commit.as_mut()).is_none());
    world.shared.carry_out();
    assert!(ready(commit).unwrap().is_ok());
    world.shared.disk().pruned = 1;
    block_on(one.follower.catch_up(&*world.shared)).unwrap();
    assert_eq!(one.cache.resets.load(Ordering::SeqCst), 1);
    assert_eq!(block_on(one.hot(0)).unwrap(), 1);
    assert_eq!(one.follower.freshness().position, LogPosition::from_u64(1));
}

#[test]
fn the_newest_time_of_the_log_is_known_without_asking_for_it() {
    let world = World::open(BOUND);
    let [one, other] = &world.processes;
    world.shared.now.fetch_add(5_000, Ordering::SeqCst);
    let mut commit = pin!(other.commit(0, CommitClass::Operational));
    assert!(ready(commit.as_mut()).is_none());
    world.shared.carry_out();
    let made = Clock::now(&*world.shared);
    assert!(ready(commit).unwrap().is_ok());
    block_on(one.follower.catch_up(&*world.shared)).unwrap();
    world.shared.now.fetch_sub(60_000, Ordering::SeqCst);
    assert_eq!((one.follower.moment(), other.follower.moment()), (made, made));
}
