//! The one thread that writes. It takes every commit that waits, up to a limit, into one transaction, a savepoint each,
//! so that many commits share one sync and still stand and fall alone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_lock::{Semaphore, SemaphoreGuardArc};
use perfectpay::store::{Committed, Verdict, judge};
use perfectpay::{Error, Unavailability};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use crate::error::{Failure, classify, contradiction, halted, is_busy, is_lasting, unknown};
use crate::place::{Place, gone, gone_meanwhile};
use crate::rows::Prepared;
use crate::write::{Seen, Start, apply};
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

/// An answer, and of a group the set that it is about: whoever made it lets it go, and the thread that writes does not
/// spend the others' time on memory that is another thread's.
type Reply = (Answer, Option<Prepared>);

enum Job {
    Commit(Box<Waiting>),
    Apart(Apart),
    Task(Task),
}

/// A write in a transaction of its own, which answers whoever waits for it.
type Apart = Box<dyn FnOnce(&mut Engine) + Send>;

/// A commit, whoever waits for it, and its place in the queue.
struct Waiting {
    prepared: Prepared,
    reply: oneshot::Sender<Reply>,
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
            written: None,
            newest: 0,
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
        answer.await.map_or_else(|e| Err(Error::OutcomeUnknown { source: e.into() }), |(answer, _set)| answer)
    }

    /// Writes in a transaction of its own between two groups, waiting and cancelled as a commit is. What the work leaves
    /// behind when it fails is undone.
    pub(crate) async fn apart<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let place = self.places.acquire_arc().await;
        let (reply, answer) = oneshot::async_channel();
        self.send(Job::Apart(Box::new(move |engine| {
            let _place = place;
            let written = catch_unwind(AssertUnwindSafe(|| engine.apart(work)));
            // Whoever asked may have gone.
            let _heard = reply.send(written.unwrap_or_else(|panic| Err(engine.panicked(&*panic))));
        })))?;
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
    /// What SQLite counts up when another connection writes, if [`Self::newest`] was looked up at that count and no
    /// transaction was undone since.
    written: Option<i64>,
    /// The time of the log's newest entry, as the transaction sees it that is open.
    newest: i64,
    /// Set by a write whose outcome is unknown, and never taken back.
    halted: bool,
    /// Groups since the number of frames was last looked up.
    groups: u32,
    /// Whether the write-ahead log holds what is not in the file yet.
    unmoved: bool,
    /// Whether rows were removed since the write-ahead log was last emptied.
    purged: bool,
}

/// Why a transaction did not begin or did not commit; every member of it is told.
enum Refused {
    Halted,
    Gone,
    GoneMeanwhile,
    Schema(usize),
    NotWritten(Arc<rusqlite::Error>),
    Unknown(Arc<rusqlite::Error>),
}

impl From<&Refused> for Error {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::Halted => halted(),
            Refused::Gone => gone(),
            Refused::GoneMeanwhile => gone_meanwhile(),
            Refused::Schema(version) => schema::not_ours(*version),
            Refused::NotWritten(error) => classify(error),
            Refused::Unknown(error) => unknown(error),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::from(&refused)
    }
}

/// Commits that share a transaction, and the queue that more of them come from.
struct Group<'a> {
    sets: Vec<Prepared>,
    /// Whoever waits for them, in the same order.
    replies: Vec<(oneshot::Sender<Reply>, SemaphoreGuardArc)>,
    /// What came behind the last of them.
    next: Option<Job>,
    jobs: &'a Receiver<Job>,
    /// How many there are at most.
    limit: usize,
    /// How many there were the last time.
    expected: usize,
}

impl Group<'_> {
    fn join(&mut self, waiting: Waiting) {
        self.sets.push(waiting.prepared);
        self.replies.push((waiting.reply, waiting.place));
    }

    /// Takes one more commit out of the queue, if one is there. While there are fewer than the last time, it waits a
    /// moment for it: those who were answered together are likely to come back together.
    fn grow(&mut self) -> bool {
        let patience = if self.sets.len() < self.expected { Some(LINGER) } else { None };
        self.grow_within(patience)
    }

    /// Takes out of the queue whoever waits in it.
    fn take_who_waits(&mut self) {
        while self.grow_within(None) {}
    }

    fn grow_within(&mut self, patience: Option<Duration>) -> bool {
        // A job that is taken out of the queue is carried out: only then may one be taken.
        if self.next.is_some() || self.sets.len() >= self.limit {
            return false;
        }
        let job = patience.map_or_else(|| self.jobs.try_recv().ok(), |time| self.jobs.recv_timeout(time).ok());
        match job {
            Some(Job::Commit(waiting)) if !waiting.prepared.is_long() => self.join(*waiting),
            other => {
                self.next = other;
                return false;
            }
        }
        true
    }

    /// The same answer for every one of them.
    fn refuse(&self, why: &Refused) -> Vec<Answer> {
        self.sets.iter().map(|_| Err(why.into())).collect()
    }
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
            self.carry_out(first, jobs);
        }
        self.close();
    }

    /// Carries out a job, and of commits everything that joins while it does.
    fn carry_out(&mut self, job: Job, jobs: &Receiver<Job>) {
        let next = match job {
            Job::Commit(first) => self.group(*first, jobs),
            Job::Apart(write) => {
                write(self);
                self.purged = true;
                self.between();
                None
            }
            Job::Task(task) => {
                // A task that panics drops its own reply, and whoever waits for it is told.
                let _done = catch_unwind(AssertUnwindSafe(|| task(&self.conn)));
                None
            }
        };
        // What came behind a group was taken out of the queue with it.
        if let Some(job) = next {
            self.carry_out(job, jobs);
        }
    }

    /// Writes a commit and those that join it, and answers what came behind them.
    fn group(&mut self, first: Waiting, jobs: &Receiver<Job>) -> Option<Job> {
        if first.prepared.is_long() {
            self.long(first);
            return None;
        }
        let (limit, expected) = (self.group_limit, self.last_group);
        let mut group = Group { sets: Vec::new(), replies: Vec::new(), next: None, jobs, limit, expected };
        group.join(first);
        let answers = self.answers(&mut group);
        let Group { sets, replies, next, .. } = group;
        self.last_group = sets.len();
        self.purged |= sets.iter().any(|set| set.rows.iter().any(Option::is_none));
        let alone = sets.len() == 1;
        for (((reply, _place), answer), set) in replies.into_iter().zip(answers).zip(sets) {
            let (theirs, _ours) = if alone { (None, Some(set)) } else { (Some(set), None) };
            // Whoever asked may have gone.
            let _heard = reply.send((answer, theirs));
        }
        self.between();
        next
    }

    /// Writes a commit of any length and answers it.
    fn long(&mut self, Waiting { prepared, reply, place: _place }: Waiting) {
        let written = catch_unwind(AssertUnwindSafe(|| self.by_itself(&prepared)));
        // Whoever asked may have gone.
        let _heard = reply.send((written.unwrap_or_else(|panic| Err(self.panicked(&*panic))), None));
        self.between();
    }

    /// A transaction for one set without a savepoint, inside which SQLite would keep a copy of every page that is touched,
    /// in memory. Where something stands against it, a second transaction only judges it. What stood there may have gone
    /// between the two, by another process: then it is written anew.
    fn by_itself(&mut self, set: &Prepared) -> Answer {
        for _ in 0..3 {
            if let Some(answer) = self.written_or_judged(set)? {
                return Ok(answer);
            }
        }
        Err(contradiction())
    }

    /// `None` if it could not be written, and a moment later nothing stood against it.
    fn written_or_judged(&mut self, set: &Prepared) -> Result<Option<Committed>, Error> {
        self.writable()?;
        self.begin()?;
        let failure = match apply(&self.conn, set, self.newest) {
            Ok(receipt) => {
                self.newest = receipt.at.unix_millis();
                return Ok(self.end().map(|()| Some(Committed::Applied(receipt)))?);
            }
            Err(failure) => failure,
        };
        if let Failure::Engine(error) = &failure {
            self.halted |= is_lasting(error);
        }
        if !self.rollback() || !failure.is_objection() {
            return Err(failure.into());
        }
        self.begin()?;
        let verdict = judge(&set.set, &mut Seen(&self.conn));
        self.rollback();
        Ok(match verdict? {
            Verdict::Apply => None,
            Verdict::Replay(answer) => Some(Committed::Replayed(answer)),
        })
    }

    /// A transaction for one piece of work.
    fn apart<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Error> {
        self.writable()?;
        // What it writes on this connection counts up nothing by which the next transaction would notice it.
        self.written = None;
        self.begin()?;
        self.written = None;
        match work(&self.conn) {
            Ok(answer) => self.end().map(|()| answer).map_err(Error::from),
            Err(failure) => {
                if let Failure::Engine(error) = &failure {
                    self.halted |= is_lasting(error);
                }
                self.rollback();
                Err(failure.into())
            }
        }
    }

    /// After a panic in the middle of a transaction.
    fn panicked(&mut self, panic: &(dyn Any + Send)) -> Error {
        self.halted = true;
        let _undone = self.rollback();
        Error::OutcomeUnknown { source: format!("the writer panicked: {}", message(panic)).into() }
    }

    /// One answer for each set of the group as it has become, whatever happens.
    fn answers(&mut self, group: &mut Group<'_>) -> Vec<Answer> {
        let written = catch_unwind(AssertUnwindSafe(|| self.write(group)));
        written.unwrap_or_else(|panic| group.sets.iter().map(|_| Err(self.panicked(&*panic))).collect())
    }

    /// Whether anything may be written.
    fn writable(&mut self) -> Result<(), Refused> {
        if self.halted {
            return Err(Refused::Halted);
        }
        // After a pause, in which most of what happens to a file happens, and before anything is written. In a stream of
        // commits the look after each is enough.
        if !self.unmoved && !self.is_in_place() {
            self.halted = true;
            return Err(Refused::Gone);
        }
        Ok(())
    }

    fn write(&mut self, group: &mut Group<'_>) -> Vec<Answer> {
        if let Err(why) = self.writable() {
            group.take_who_waits();
            return group.refuse(&why);
        }
        // Whoever was alone is likely to be again, and waits for nobody.
        if self.last_group <= 1
            && !group.grow()
            && let [set] = &*group.sets
            && let Some(answer) = self.unshared(set)
        {
            return vec![answer];
        }
        match self.together(group) {
            Ok(answers) => answers,
            Err(RolledBack { culprit, error }) => {
                let mut error = Some(error);
                let alone = |(index, set)| match error.take_if(|_| index == culprit) {
                    Some(error) => Err(error),
                    None if self.halted => Err(halted()),
                    None => self.alone(set),
                };
                group.sets.iter().enumerate().map(alone).collect()
            }
        }
    }

    fn alone(&mut self, set: &Prepared) -> Answer {
        self.begin()?;
        let answer = self.member(set)?;
        self.end()?;
        answer
    }

    /// A transaction for one set that nothing stands against, without a savepoint: inside one SQLite keeps a copy of every
    /// page that is touched. `None` if something did stand against it; nothing is left of it then, and it is to begin anew
    /// with a savepoint, to learn what.
    fn unshared(&mut self, set: &Prepared) -> Option<Answer> {
        if let Err(why) = self.begin() {
            return Some(Err(why.into()));
        }
        match apply(&self.conn, set, self.newest) {
            Err(_) if self.rollback() => None,
            Err(failure) => Some(Err(failure.into())),
            Ok(receipt) => {
                self.newest = receipt.at.unix_millis();
                Some(self.end().map(|()| Committed::Applied(receipt)).map_err(Error::from))
            }
        }
    }

    /// One transaction for all, those who join while it is open among them. A set that is refused leaves no trace in it.
    fn together(&mut self, group: &mut Group<'_>) -> Result<Vec<Answer>, RolledBack> {
        if let Err(why) = self.begin() {
            group.take_who_waits();
            return Ok(group.refuse(&why));
        }
        let mut answers = Vec::new();
        while let Some(set) = group.sets.get(answers.len()) {
            match self.member(set) {
                Ok(answer) => answers.push(answer),
                Err(error) => return Err(RolledBack { culprit: answers.len(), error }),
            }
            if answers.len() == group.sets.len() {
                group.grow();
            }
        }
        // The answers of members that were refused may stand on what other members wrote: should it fail, none holds.
        Ok(self.end().map_or_else(|why| group.refuse(&why), |()| answers))
    }

    /// Begins a transaction in the schema that this library writes.
    fn begin(&mut self) -> Result<(), Refused> {
        self.execute("BEGIN IMMEDIATE").map_err(|error| self.nothing_written(error))?;
        let refused = match self.start() {
            Ok(schema::CURRENT) => return Ok(()),
            Ok(schema) => Refused::Schema(schema),
            Err(error) => self.nothing_written(error),
        };
        self.rollback();
        Err(refused)
    }

    /// The schema's version. It and the newest entry are looked up only if anyone else wrote since they last were.
    fn start(&mut self) -> rusqlite::Result<usize> {
        let mut statement = self.conn.prepare_cached("PRAGMA data_version")?;
        let written = statement.query_row([], |row| row.get(0))?;
        if self.written != Some(written) {
            let start = Start::of(&self.conn)?;
            if start.schema != schema::CURRENT {
                return Ok(start.schema);
            }
            (self.newest, self.written) = (start.newest, Some(written));
        }
        Ok(schema::CURRENT)
    }

    /// Commits, so that it may be acknowledged: whoever opens the path finds it.
    fn end(&mut self) -> Result<(), Refused> {
        self.execute("COMMIT").map_err(|error| self.not_committed(error))?;
        if self.place.as_ref().is_none_or(|place| place.keeps_what_is_written()) {
            return Ok(());
        }
        self.halted = true;
        Err(Refused::GoneMeanwhile)
    }

    /// One set in a savepoint of its own: applied, or judged. The error is one that took the transaction with it.
    fn member(&mut self, set: &Prepared) -> Result<Answer, Error> {
        let savepoint = self.execute("SAVEPOINT member");
        let applied = savepoint.map_err(Into::into).and_then(|()| apply(&self.conn, set, self.newest));
        let failure = match applied {
            Ok(receipt) => match self.execute("RELEASE member") {
                Ok(()) => {
                    self.newest = receipt.at.unix_millis();
                    return Ok(Ok(Committed::Applied(receipt)));
                }
                Err(error) => error.into(),
            },
            Err(failure) => failure,
        };
        if let Failure::Engine(error) = &failure
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
    fn nothing_written(&mut self, error: rusqlite::Error) -> Refused {
        self.halted |= is_lasting(&error);
        Refused::NotWritten(Arc::new(error))
    }

    /// Whether whoever opens the path finds what is written here.
    fn is_in_place(&self) -> bool {
        self.place.as_ref().is_none_or(|place| place.is_kept())
    }

    /// The transaction did not commit: either it is certain that nothing was written, or nobody knows.
    fn not_committed(&mut self, error: rusqlite::Error) -> Refused {
        let certain = is_busy(&error) || error.sqlite_error_code() == Some(ErrorCode::DiskFull);
        if self.rollback() && certain {
            return self.nothing_written(error);
        }
        self.halted = true;
        Refused::Unknown(Arc::new(error))
    }

    /// Ends a transaction that is open still. A store that cannot even do that halts.
    fn rollback(&mut self) -> bool {
        self.written = None;
        let ended = self.conn.is_autocommit() || self.execute("ROLLBACK").is_ok();
        self.halted |= !ended;
        ended
    }

    fn execute(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// After a group was answered: keeps the write-ahead log short.
    fn between(&mut self) {
        self.unmoved = true;
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
        let [first, second, third] = answers;
        assert_eq!(first.unwrap_err().kind(), ErrorKind::UnknownOutcome);
        assert_eq!(second.unwrap_err().kind(), ErrorKind::UnknownOutcome);
        assert!(is_halted(&third), "it had not joined yet");
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
