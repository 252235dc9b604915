//! The one thread that writes. It takes every commit that waits, up to a limit, into one transaction, a savepoint each,
//! so that many commits share one sync and still stand and fall alone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_lock::{Semaphore, SemaphoreGuardArc};
use perfectpay::store::{Committed, Verdict, judge};
use perfectpay::{Error, Unavailability};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use crate::error::{classify, contradiction, halted, is_busy, is_lasting, unknown};
use crate::place::{Place, gone, gone_meanwhile};
use crate::rows::Prepared;
use crate::write::{Seen, apply};
use crate::{SqliteOptions, schema};

/// How many frames the write-ahead log has before they are moved into the file, between two groups.
const MANY_FRAMES: i64 = 1_000;
/// After how many groups the number of frames is looked up.
const GROUPS_BETWEEN_LOOKS: u32 = 16;
/// How long nothing must happen before they are moved into the file in any case.
const IDLE: Duration = Duration::from_millis(500);

/// How long a group waits for one more commit while it has fewer than the group before it: far less than the sync that
/// the late one would cost by itself.
const LINGER: Duration = Duration::from_micros(100);

/// Work with the writer's own connection, for a database that has no other.
pub(crate) type Task = Box<dyn FnOnce(&Connection) + Send>;

type Answer = Result<Committed, Error>;

enum Job {
    Commit(Box<Waiting>),
    Task(Task),
}

/// A commit, whoever waits for it, and its place in the queue.
struct Waiting {
    prepared: Prepared,
    reply: oneshot::Sender<Answer>,
    place: SemaphoreGuardArc,
}

/// The thread and its queue. Dropping it lets what waits in the queue finish, and waits for that.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<Sender<Job>>,
    places: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Gives the connection to a thread of its own.
    pub(crate) fn spawn(conn: Connection, options: &SqliteOptions, place: Option<Arc<Place>>) -> Result<Self, Error> {
        let (queue, jobs) = channel();
        let engine = Engine {
            conn,
            place,
            group_limit: options.group_limit,
            last_group: 0,
            halted: false,
            groups: 0,
            unmoved: false,
            purged: false,
        };
        let thread = thread::Builder::new().name("perfectpay-writer".into());
        let thread =
            thread.spawn(move || engine.run(&jobs)).map_err(|e| Error::unavailable(Unavailability::Failed, e))?;
        Ok(Self { queue: Some(queue), places: Arc::new(Semaphore::new(options.queue_limit)), thread: Some(thread) })
    }

    /// Commits a set, waiting for a place in the queue first. Once it has one, the commit is carried out whether anyone
    /// waits for the answer or not.
    pub(crate) async fn commit(&self, prepared: Prepared) -> Answer {
        let place = self.places.acquire_arc().await;
        let (reply, answer) = oneshot::async_channel();
        self.send(Job::Commit(Box::new(Waiting { prepared, reply, place })))?;
        // Every path of the thread answers; if it does not, nobody knows how far it came.
        answer.await.unwrap_or_else(|e| Err(Error::OutcomeUnknown { source: e.into() }))
    }

    /// Runs a task between two groups.
    pub(crate) fn task(&self, task: Task) -> Result<(), Error> {
        self.send(Job::Task(task))
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        let closed = || Error::Unavailable { reason: Unavailability::Closed, source: None };
        self.queue.as_ref().ok_or_else(closed)?.send(job).map_err(|_| closed())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // Panics are caught in the thread.
            let _ended = thread.join();
        }
    }
}

/// What the thread owns.
struct Engine {
    conn: Connection,
    /// Where its file is, if it has one.
    place: Option<Arc<Place>>,
    group_limit: usize,
    /// How many commits the last group had.
    last_group: usize,
    /// Set by a write whose outcome is unknown, and never taken back.
    halted: bool,
    /// Groups since the number of frames was last looked up.
    groups: u32,
    /// Whether the write-ahead log holds what is not in the file yet.
    unmoved: bool,
    /// Whether rows were removed since the write-ahead log was last emptied.
    purged: bool,
}

/// The transaction is gone, and with it the work of every member before this one.
struct RolledBack {
    culprit: usize,
    error: Error,
}

impl Engine {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let first = if self.unmoved && !self.halted {
                match jobs.recv_timeout(IDLE) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => {
                        self.tidy();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            } else {
                let Ok(job) = jobs.recv() else { break };
                job
            };
            self.group(first, jobs);
        }
        self.close();
    }

    /// Carries out a job and everything that waits behind it.
    fn group(&mut self, first: Job, jobs: &Receiver<Job>) {
        let (mut sets, mut replies, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Commit(waiting) => {
                    sets.push(waiting.prepared);
                    replies.push((waiting.reply, waiting.place));
                }
                Job::Task(task) => tasks.push(task),
            }
            let full = sets.len() + tasks.len() >= self.group_limit;
            // A job that is taken out of the queue is carried out: only then may one be taken.
            next = if full {
                None
            } else if tasks.is_empty() && sets.len() < self.last_group {
                // Those who were answered together are likely to come back together, a moment apart. Whoever is alone
                // was alone before, and waits for nobody.
                jobs.recv_timeout(LINGER).ok()
            } else {
                jobs.try_recv().ok()
            };
        }
        self.last_group = sets.len();
        if !sets.is_empty() {
            let answers = self.answers(&sets);
            for ((reply, _place), answer) in replies.into_iter().zip(answers) {
                // Whoever asked may have gone.
                let _heard = reply.send(answer);
            }
            self.between(&sets);
        }
        for task in tasks {
            // A task that panics drops its own reply, and whoever waits for it is told.
            let _done = catch_unwind(AssertUnwindSafe(|| task(&self.conn)));
        }
    }

    /// One answer a set, whatever happens.
    fn answers(&mut self, sets: &[Prepared]) -> Vec<Answer> {
        let written = catch_unwind(AssertUnwindSafe(|| self.write(sets)));
        written.unwrap_or_else(|panic| {
            self.halted = true;
            let _undone = self.rollback();
            let source = || -> perfectpay::Source { format!("the writer panicked: {}", message(&*panic)).into() };
            sets.iter().map(|_| Err(Error::OutcomeUnknown { source: source() })).collect()
        })
    }

    fn write(&mut self, sets: &[Prepared]) -> Vec<Answer> {
        if self.halted {
            return sets.iter().map(|_| Err(halted())).collect();
        }
        // After a pause, in which most of what happens to a file happens, and before anything is written. In a stream of
        // commits the look after each is enough.
        if !self.unmoved && !self.is_in_place() {
            self.halted = true;
            return sets.iter().map(|_| Err(gone())).collect();
        }
        if let [set] = sets
            && let Some(answer) = self.unshared(set)
        {
            return vec![answer];
        }
        match self.together(sets) {
            Ok(answers) => answers,
            Err(RolledBack { culprit, error }) => {
                let mut error = Some(error);
                let alone = |(index, set)| match error.take_if(|_| index == culprit) {
                    Some(error) => Err(error),
                    None if self.halted => Err(halted()),
                    None => self.alone(set),
                };
                sets.iter().enumerate().map(alone).collect()
            }
        }
    }

    fn alone(&mut self, set: &Prepared) -> Answer {
        match self.together(slice::from_ref(set)) {
            Ok(answers) => answers.into_iter().next().unwrap_or_else(|| Err(contradiction())),
            Err(RolledBack { error, .. }) => Err(error),
        }
    }

    /// A transaction for one set that nothing stands against, without a savepoint: inside one SQLite keeps a copy of every
    /// page that is touched. `None` if something did stand against it; nothing is left of it then, and it is to begin anew
    /// with a savepoint, to learn what.
    fn unshared(&mut self, set: &Prepared) -> Option<Answer> {
        let sets = slice::from_ref(set);
        let answers = match self.begin(sets) {
            Err(answers) => answers,
            Ok(()) => match apply(&self.conn, set) {
                Err(_) if self.rollback() => return None,
                Err(failure) => vec![Err(failure.into())],
                Ok(receipt) => self.end(sets, vec![Ok(Committed::Applied(receipt))]),
            },
        };
        answers.into_iter().next()
    }

    /// One transaction for all. A set that is refused leaves no trace in it.
    fn together(&mut self, sets: &[Prepared]) -> Result<Vec<Answer>, RolledBack> {
        if let Err(answers) = self.begin(sets) {
            return Ok(answers);
        }
        let mut answers = Vec::with_capacity(sets.len());
        for (culprit, set) in sets.iter().enumerate() {
            match self.member(set) {
                Ok(answer) => answers.push(answer),
                Err(error) => return Err(RolledBack { culprit, error }),
            }
        }
        // The answers of members that were refused may stand on what other members wrote: should it fail, none holds.
        Ok(self.end(sets, answers))
    }

    /// Begins a transaction in the schema that this library writes, or answers why not.
    fn begin(&mut self, sets: &[Prepared]) -> Result<(), Vec<Answer>> {
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            return Err(self.nothing_written(sets, error));
        }
        let version = schema::version(&self.conn);
        if version.as_ref().is_ok_and(|version| *version == schema::CURRENT) {
            return Ok(());
        }
        self.rollback();
        Err(match version {
            Ok(version) => sets.iter().map(|_| Err(schema::not_ours(version))).collect(),
            Err(error) => self.nothing_written(sets, error),
        })
    }

    /// Commits, and acknowledges what whoever opens the path finds.
    fn end(&mut self, sets: &[Prepared], answers: Vec<Answer>) -> Vec<Answer> {
        match self.execute("COMMIT") {
            Ok(()) if self.place.as_ref().is_none_or(|place| place.keeps_what_is_written()) => answers,
            Ok(()) => {
                self.halted = true;
                sets.iter().map(|_| Err(gone_meanwhile())).collect()
            }
            Err(error) => self.not_committed(sets, error),
        }
    }

    /// One set in a savepoint of its own: applied, or judged. The error is one that took the transaction with it.
    fn member(&mut self, set: &Prepared) -> Result<Answer, Error> {
        let savepoint = self.execute("SAVEPOINT member");
        let applied = savepoint.map_err(Into::into).and_then(|()| apply(&self.conn, set));
        let failure = match applied {
            Ok(receipt) => match self.execute("RELEASE member") {
                Ok(()) => return Ok(Ok(Committed::Applied(receipt))),
                Err(error) => error.into(),
            },
            Err(failure) => failure,
        };
        if let crate::error::Failure::Engine(error) = &failure
            && is_lasting(error)
        {
            self.halted = true;
        }
        let undone = !self.conn.is_autocommit()
            && self.execute("ROLLBACK TO member").is_ok()
            && self.execute("RELEASE member").is_ok();
        if !undone {
            self.rollback();
            return Err(failure.into());
        }
        if !failure.is_objection() {
            return Ok(Err(failure.into()));
        }
        Ok(match judge(&set.set, &mut Seen(&self.conn)) {
            Ok(Verdict::Apply) => Err(contradiction()),
            Ok(Verdict::Replay(answer)) => Ok(Committed::Replayed(answer)),
            Err(error) => Err(error),
        })
    }

    /// The transaction could not begin.
    fn nothing_written(&mut self, sets: &[Prepared], error: rusqlite::Error) -> Vec<Answer> {
        self.halted |= is_lasting(&error);
        let error = Arc::new(error);
        sets.iter().map(|_| Err(classify(&error))).collect()
    }

    /// Whether whoever opens the path finds what is written here.
    fn is_in_place(&self) -> bool {
        self.place.as_ref().is_none_or(|place| place.is_kept())
    }

    /// The transaction did not commit: either it is certain that nothing was written, or nobody knows.
    fn not_committed(&mut self, sets: &[Prepared], error: rusqlite::Error) -> Vec<Answer> {
        let certain = is_busy(&error) || error.sqlite_error_code() == Some(ErrorCode::DiskFull);
        if self.rollback() && certain {
            return self.nothing_written(sets, error);
        }
        self.halted = true;
        let error = Arc::new(error);
        sets.iter().map(|_| Err(unknown(&error))).collect()
    }

    /// Ends a transaction that is open still. A store that cannot even do that halts.
    fn rollback(&mut self) -> bool {
        let ended = self.conn.is_autocommit() || self.execute("ROLLBACK").is_ok();
        self.halted |= !ended;
        ended
    }

    fn execute(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// After a group was answered: keeps the write-ahead log short.
    fn between(&mut self, sets: &[Prepared]) {
        self.unmoved = true;
        self.purged |= sets.iter().any(|set| set.rows.iter().any(Option::is_none));
        self.groups += 1;
        if self.groups >= GROUPS_BETWEEN_LOOKS && !self.halted {
            self.groups = 0;
            if !self.is_in_place() {
                // The next commit looks again, and is told.
                self.unmoved = false;
                return;
            }
            if self.checkpoint("PRAGMA wal_checkpoint(NOOP)").is_some_and(|frames| frames >= MANY_FRAMES) {
                self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
            }
        }
    }

    /// When nothing happens: moves the write-ahead log into the file, and empties it if it holds what was removed.
    fn tidy(&mut self) {
        self.unmoved = false;
        if !self.is_in_place() {
            // The log of whoever put another file there is not ours to move. The next commit is told.
            return;
        }
        if self.purged {
            // Never in the way of a commit: whoever reads now keeps the log from being emptied.
            self.purged = self.emptied().is_none();
        } else {
            self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
        }
    }

    /// Moves everything into the file and empties the log, unless someone reads in it.
    fn emptied(&mut self) -> Option<()> {
        let waits: i64 = self.conn.pragma_query_value(None, "busy_timeout", |row| row.get(0)).ok()?;
        self.conn.busy_timeout(Duration::ZERO).ok()?;
        let emptied = self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)").map(drop);
        self.conn.busy_timeout(Duration::from_millis(waits.unsigned_abs())).ok()?;
        emptied
    }

    /// Runs a checkpoint and answers how many frames the log had, if nobody was in its way. After a failed sync the file
    /// cannot be relied on, and the log, which still holds everything, must not be used again.
    fn checkpoint(&mut self, sql: &'static str) -> Option<i64> {
        let run = || self.conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)));
        match run() {
            Ok((busy, frames)) => (busy == 0).then_some(frames),
            Err(error) => {
                let io = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
                self.halted |= io || is_lasting(&error);
                None
            }
        }
    }

    fn close(mut self) {
        if self.halted || !self.is_in_place() {
            // What a failed sync left in the cache of the system must not be taken for what is on the disk.
            let _kept = self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        } else {
            self.emptied();
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use futures_lite::future::block_on;
    use perfectpay::organization::OrganizationState;
    use perfectpay::store::{Actor, ChangeSet, CommitClass, Owner, Store as _, Stored};
    use perfectpay::{ErrorKind, Incarnation, Timestamp};

    use super::*;
    use crate::SqliteStore;

    /// A commit of one organization. What the operator is called decides on its fault.
    fn creating(number: u8, operator: &str) -> ChangeSet {
        let state = OrganizationState {
            organization_name: "An organization".parse().unwrap(),
            data_key: "dk_1".parse().unwrap(),
            organization_details: None,
            metadata: None,
        };
        let actor = Actor::Operator(operator.parse().unwrap());
        let mut set = ChangeSet::new(Owner::default(), actor, Timestamp::UNIX_EPOCH, CommitClass::Configuration);
        let id = format!("org_{number}").parse().unwrap();
        set.create(Stored::new(Incarnation::from_bytes([number; 16]), id, Timestamp::UNIX_EPOCH, state));
        set
    }

    /// Three commits that share a group, of which the second has a fault.
    fn group_with(fault: &str) -> (tempfile::TempDir, SqliteStore, [Answer; 3]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.db");
        let store = SqliteStore::open(&path).unwrap();
        let blocker = Connection::open(&path).unwrap();
        blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
        let answers = {
            // The first waits for the lock alone; the others gather behind it.
            let mut alone = pin!(store.commit(creating(9, "alone")));
            let mut first = pin!(store.commit(creating(1, "good")));
            let mut second = pin!(store.commit(creating(2, fault)));
            let mut third = pin!(store.commit(creating(3, "good")));
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(alone.as_mut().poll(cx).is_pending());
            thread::sleep(Duration::from_millis(100));
            assert!(first.as_mut().poll(cx).is_pending());
            assert!(second.as_mut().poll(cx).is_pending());
            assert!(third.as_mut().poll(cx).is_pending());
            blocker.execute_batch("ROLLBACK").unwrap();
            block_on(alone).unwrap();
            [block_on(first), block_on(second), block_on(third)]
        };
        (folder, store, answers)
    }

    fn is_halted(answer: &Answer) -> bool {
        matches!(answer, Err(Error::Unavailable { reason: Unavailability::Halted, .. }))
    }

    #[test]
    fn a_panic_becomes_an_unknown_outcome_for_the_group_and_reads_go_on() {
        let (folder, store, answers) = group_with("panic");
        for answer in answers {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::UnknownOutcome);
        }
        assert!(is_halted(&block_on(store.commit(creating(4, "good")))));
        assert_eq!(block_on(store.head()).unwrap().position.as_u64(), 1);
        drop(store);
        let again = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
        block_on(again.commit(creating(1, "good"))).unwrap();
    }

    #[test]
    fn a_commit_that_fails_in_an_unknown_way_halts_the_store() {
        let (folder, store, answers) = group_with("uncommittable");
        for answer in answers {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::UnknownOutcome);
        }
        assert!(is_halted(&block_on(store.commit(creating(4, "good")))));
        assert_eq!(block_on(store.head()).unwrap().position.as_u64(), 1);
        drop(store);
        let again = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
        assert_eq!(block_on(again.head()).unwrap().position.as_u64(), 1);
    }

    #[test]
    fn members_of_a_group_whose_transaction_is_gone_run_alone() {
        let (_folder, store, [first, second, third]) = group_with("rolled back");
        assert!(first.is_ok() && third.is_ok(), "{first:?} {third:?}");
        assert_eq!(second.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(block_on(store.head()).unwrap().position.as_u64(), 3);
    }

    #[test]
    fn a_constraint_that_the_contract_does_not_know_is_corruption_and_harms_no_other() {
        let (_folder, store, [first, second, third]) = group_with("contradicted");
        assert!(first.is_ok() && third.is_ok(), "{first:?} {third:?}");
        assert_eq!(second.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(block_on(store.head()).unwrap().position.as_u64(), 3);
    }
}
