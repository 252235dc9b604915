//! PerfectPay's [`Store`] on SQLite: one file, or a database in memory, inside the host's own process.
//!
//! ```
//! use perfectpay::store::Store;
//! use perfectpay_sqlite::SqliteStore;
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("accounts.db");
//! let store = SqliteStore::open(path)?;
//! let head = futures_lite::future::block_on(store.head())?;
//! assert_eq!(head.position.as_u64(), 0);
//! # Ok::<(), perfectpay::Error>(())
//! ```
//!
//! **Writing.** One thread owns the connection that writes. Commits that wait at the same moment share one transaction,
//! each in a savepoint of its own, so that full durability costs a sync a group and not a sync a commit. A future that
//! is dropped before its commit has a place in the queue writes nothing; after that the commit is carried out whether
//! anyone waits for it or not.
//!
//! **Reading.** Point reads ([`Store::get`], [`Store::claim`], [`Store::head`]) run on the thread that polls them, on a
//! connection of their own, and take some microseconds; lists and the log run on threads of the store. Any executor
//! will do, and none is needed.
//!
//! **Copying.** An export is one read transaction on a connection and a thread of its own, which keeps the write-ahead log
//! from being emptied, and reads two loads ahead of whoever takes them. A store that has one connection only (in memory,
//! or [exclusive](SqliteOptions::exclusive)) commits nothing until the export is taken or dropped. Every load that is
//! imported is a transaction of its own between two groups of commits.
//!
//! **The file.** Everything is in tables that begin with `pp_`, with one view a table (`pp_…_view`) that spells times
//! and JSON out for people with plain SQL. Several processes may open one file, on a local file system. Copy a living
//! file with SQLite's backup or `VACUUM INTO`, never by its bytes: much of it may still be in the `-wal` beside it.
//! The log is moved into the file by the writing thread, between two commits once it is longer than about 1,000 pages,
//! and half a second after the last commit; so no commit waits for it.
//!
//! **Housekeeping.** [`Store::prune`] runs on the writing thread between two groups, in a transaction of its own. What it
//! frees is used again before the file grows; the file itself does not shrink, and a host that wants that runs `VACUUM`
//! while the store is closed.
//!
//! **After an error.** [`Error::OutcomeUnknown`] means that a sync failed or the engine answered what it should not;
//! from then on this store refuses to write ([`Unavailability::Halted`]) and goes on reading. Open the file again, and
//! repeat the commit with its idempotency key.
//!
//! **A file that goes away.** A file that is removed or replaced under a running process lives on for that process
//! alone. Before a commit is acknowledged the store looks whether its path still leads to the file and the `-wal` that
//! it has open (device and inode, two calls of the system a group); after a pause, and every 16 groups, it looks at the
//! `-shm` too, and before it writes. Where they are gone, a commit answers [`Unavailability::Inaccessible`] if nothing
//! was written and [`Error::OutcomeUnknown`] if it was, and the store is halted. Reads go on in what is open, and never
//! in another file. Left out: a file that is exchanged and put back between two looks, files copied over in place, and
//! systems other than Unix, which do not let an open file go.
//!
//! **Several versions on one file.** Every transaction that writes first looks at the version of the schema. When a
//! newer library has brought the file further, commits of the older one answer [`Unavailability::NewerSchema`], with
//! nothing written, and a new start of it is refused. Its reads go on; what they do not understand is
//! [`Error::Corrupt`]. So: end the older processes first.
//!
//! **Limits.** A full disk answers [`Unavailability::Full`] and heals by itself; opening a store needs some space (32 KiB
//! for the `-shm`). A limit on the size of a process's files is told by SQLite as a disk that failed: unknown outcome,
//! and halted; the host ignores SIGXFSZ, or is ended by it (nothing acknowledged is lost either way). A process without
//! descriptors goes on with the connections that it has.
//!
//! [`Unavailability::Halted`]: perfectpay::Unavailability::Halted
//! [`Unavailability::Inaccessible`]: perfectpay::Unavailability::Inaccessible
//! [`Unavailability::NewerSchema`]: perfectpay::Unavailability::NewerSchema
//! [`Unavailability::Full`]: perfectpay::Unavailability::Full

mod backup;
mod error;
mod export;
mod host;
mod open;
mod place;
mod prune;
mod read;
mod reader;
mod rows;
mod schema;
mod stage;
mod verify;
mod write;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use perfectpay::store::{
    BlockPage, BlockScan, ChangeSet, Committed, EntityRef, Export, Extent, Head, IdempotencyClaim, IdempotencyKey, Key,
    Listing, Load, LogEntry, LogPosition, LogQuery, Prune, Pruned, Query, Record, StageId, StagedPart, Store, UseCount,
    Uses,
};
use perfectpay::{Error, Incarnation, Unavailability};
use rusqlite::Connection;

use crate::error::Failure;
use crate::open::Location;
use crate::reader::{Readers, asking};
use crate::rows::{Prepared, PreparedLoad};
pub use crate::verify::{FaultKind, VerifyFault, VerifyReport};
use crate::writer::Writer;

/// The rusqlite that this crate uses, so that a host can have the same one for [`SqliteStore::commit_in`].
pub use rusqlite;

/// How far a [backup](SqliteStore::backup) or a [verification](SqliteStore::verify) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// How much of it is done.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
}

/// A part of a longer work, and what is counted in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Copying, in pages.
    Copying,
    /// Verifying, in checks.
    Verifying,
}

/// What an acknowledged commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A power cut, on every file system that keeps what it synced: also the file's folder is synced.
    #[default]
    Extra,
    /// A power cut, on file systems that order what they keep about files, as ext4 does.
    Full,
    /// The end of the process. A power cut may take the last commits; what remains is whole.
    Normal,
}

/// How a file is opened.
///
/// ```
/// use std::time::Duration;
///
/// use perfectpay_sqlite::{Durability, SqliteOptions};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("accounts.db");
/// let store = SqliteOptions::new(path).durability(Durability::Full).busy_timeout(Duration::from_secs(1)).open()?;
/// # drop(store);
/// # Ok::<(), perfectpay::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    path: PathBuf,
    durability: Durability,
    busy_timeout: Duration,
    shared_with_host: bool,
    exclusive: bool,
    group_limit: usize,
    queue_limit: usize,
    size_limit: Option<u64>,
}

impl SqliteOptions {
    /// The file at `path`, which is made if it is not there. It is always a path: `:memory:` and `file:` mean nothing
    /// special.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            busy_timeout: Duration::from_secs(5),
            shared_with_host: false,
            exclusive: false,
            group_limit: 256,
            queue_limit: 1_024,
            size_limit: None,
        }
    }

    /// What an acknowledged commit survives; [`Durability::Extra`] unless said otherwise.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long a commit waits for another process that writes before it answers `Busy`; 5 seconds unless said
    /// otherwise.
    pub fn busy_timeout(mut self, busy_timeout: Duration) -> Self {
        self.busy_timeout = busy_timeout;
        self
    }

    /// Whether the file may hold other tables than ours, whose names do not begin with `pp_`. Otherwise such a file is
    /// refused.
    pub fn shared_with_host(mut self, shared: bool) -> Self {
        self.shared_with_host = shared;
        self
    }

    /// Whether this store is the only one that has the file open, and keeps everyone else out for as long as it lives:
    /// another process, another store and the `sqlite3` shell get `Busy` after their busy timeout.
    ///
    /// There is no shared-memory file (`-shm`) then. With one, SQLite needs some 32 KiB of free disk even to read, and a
    /// disk that is full to the last block can end the host's process by a signal; without one neither happens.
    ///
    /// The price: one connection does everything. Reads wait for their turn between groups of commits on the writing
    /// thread, a [backup](SqliteStore::backup) and a [verification](SqliteStore::verify) keep commits waiting from
    /// beginning to end, and there is no [`SqliteStore::commit_in`]. For a host that is one process and reads little, or
    /// from memory of its own.
    pub fn exclusive(mut self, exclusive: bool) -> Self {
        self.exclusive = exclusive;
        self
    }

    /// How many commits share one transaction at most; 256 unless said otherwise, and never less than one.
    pub fn group_limit(mut self, commits: usize) -> Self {
        self.group_limit = commits.max(1);
        self
    }

    /// How many commits wait at most; whoever comes later waits for a place. 1,024 unless said otherwise, and never
    /// less than one.
    pub fn queue_limit(mut self, commits: usize) -> Self {
        self.queue_limit = commits.max(1);
        self
    }

    /// How many bytes the file grows to at most; a commit beyond that answers `Full`. No limit unless said otherwise.
    pub fn size_limit(mut self, bytes: u64) -> Self {
        self.size_limit = Some(bytes);
        self
    }

    /// Opens the file, or makes it, readable by its owner alone.
    ///
    /// This blocks, for some milliseconds or, while other processes open the same file, up to the busy timeout. A host
    /// opens its store once, before it serves anyone; inside an async runtime call it where blocking is allowed
    /// (`spawn_blocking`).
    ///
    /// A file that is refused is left byte for byte as it was.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`] with code `database.foreign`: the file holds tables that are not ours, and is not
    ///   [shared](Self::shared_with_host).
    /// - [`Error::Corrupt`]: it is not a database, is damaged, or its schema was altered.
    /// - [`Error::Unavailable`]: it was written by a newer version (`NewerSchema`), may not be written (`ReadOnly`),
    ///   cannot be reached (`Inaccessible`), is locked (`Busy`), or the SQLite in use is older than 3.51.3
    ///   (`OldEngine`).
    pub fn open(self) -> Result<SqliteStore, Error> {
        let (location, conn) = open::open(&self)?;
        let writer = Writer::spawn(conn, &self, Some(Arc::clone(&location.place)))?;
        let readers = if self.exclusive { None } else { Some(Readers::spawn(location.clone())?) };
        Ok(SqliteStore { readers, location: Some(location), shared: self.shared_with_host, writer })
    }

    /// Checks a file without opening it as a store, and without changing it: [`SqliteStore::verify`] says what. A file
    /// whose schema was altered, or is a newer version's, is reported as such and not refused.
    ///
    /// This blocks, for as long as reading the whole file takes.
    ///
    /// # Errors
    ///
    /// - [`Error::Corrupt`]: it is not a database at all, or its schema cannot be read.
    /// - [`Error::Unavailable`]: it cannot be read.
    pub fn verify(&self, mut progress: impl FnMut(Progress)) -> Result<VerifyReport, Error> {
        verify::file(self, &mut progress)
    }
}

/// A [`Store`] on SQLite.
///
/// Dropping it blocks until the commits that wait are carried out, moves the write-ahead log into the file and closes
/// it.
pub struct SqliteStore {
    // Dropped in this order: the connection that writes closes last, and takes the log with it.
    /// `None` for a database that has one connection: one in memory, or a file that is used alone.
    readers: Option<Readers>,
    location: Option<Location>,
    /// Whether the file may hold the host's tables.
    shared: bool,
    writer: Writer,
}

impl SqliteStore {
    /// Opens the file at `path` with the options as they are.
    ///
    /// # Errors
    ///
    /// As [`SqliteOptions::open`], which also says that this blocks.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        SqliteOptions::new(path).open()
    }

    /// A database in memory, gone with the store. It is for tests: reads wait for their turn between the writes.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], if SQLite is too old or a thread cannot be started.
    pub fn in_memory() -> Result<Self, Error> {
        let options = SqliteOptions::new("");
        let writer = Writer::spawn(open::in_memory(&options)?, &options, None)?;
        Ok(Self { readers: None, location: None, shared: false, writer })
    }

    /// Where the file is; `None` for a database in memory.
    pub fn path(&self) -> Option<&Path> {
        self.location.as_ref().map(|location| &*location.path)
    }

    /// Commits a set inside the host's own transaction, so that its rows and ours become visible together or not at all.
    ///
    /// The transaction is one on a connection of the host's own to this store's file, which holds the host's tables
    /// beside ours ([`SqliteOptions::shared_with_host`]). The set is applied in a savepoint of it, and judged by the same
    /// checks as by [`Store::commit`]. After an error there is nothing of the set in the transaction, and the host may go
    /// on with it; only where SQLite itself ended the transaction (a full disk can do that) is it gone as a whole.
    ///
    /// Reads of this store see the commit when the host's COMMIT has returned; the position in the answer is given up
    /// when the host rolls back. Durability and the wait for other writers are those of the host's connection: switch it
    /// to `synchronous = EXTRA` for what [`Durability::Extra`] promises, to `secure_delete = ON` for what a removal
    /// promises, and begin with [`TransactionBehavior::Immediate`](rusqlite::TransactionBehavior::Immediate), because a
    /// transaction that reads first and writes then is refused at once if another one wrote between.
    ///
    /// ```
    /// use perfectpay_sqlite::{SqliteOptions, rusqlite};
    /// # use perfectpay::store::{Actor, ChangeSet, CommitClass, Owner, Stored};
    /// # let organization = perfectpay_testkit::records::organization(1);
    /// # let mut set = perfectpay_testkit::records::organization_set(&organization);
    /// # set.create(organization);
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("host.db");
    /// let store = SqliteOptions::new(&path).shared_with_host(true).open()?;
    /// let mut host = rusqlite::Connection::open(&path)?;
    /// host.execute_batch("PRAGMA foreign_keys = ON; CREATE TABLE customer (id TEXT)")?;
    ///
    /// let transaction = host.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    /// transaction.execute("INSERT INTO customer VALUES ('acme')", [])?;
    /// store.commit_in(&transaction, set)?;
    /// transaction.commit()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`], before anything is done, with code `transaction.not_shared` (the store was not opened as
    ///   shared), `transaction.exclusive` (it has its file alone, or in memory), `transaction.other_file`,
    ///   `transaction.other_schema`, `transaction.foreign_keys_off`, `transaction.foreign_keys_deferred`,
    ///   `transaction.checks_off`, or `transaction.shadowed` (temporary tables or triggers named like ours).
    /// - What [`Store::commit`] answers, but never [`Error::OutcomeUnknown`]: the outcome is that of the host's COMMIT.
    pub fn commit_in(&self, transaction: &rusqlite::Transaction<'_>, set: ChangeSet) -> Result<Committed, Error> {
        let (Some(location), Some(_)) = (&self.location, &self.readers) else {
            return Err(host::refused("transaction.exclusive", "is not possible: the store has its database alone"));
        };
        if !self.shared {
            let message = "is not possible: the store was not opened as shared with the host";
            return Err(host::refused("transaction.not_shared", message));
        }
        // Once there are snapshots, they are marked dirty here, before anything is applied, and the host calls
        // `catch_up()` after its COMMIT: only then is it known which of these commits came to be.
        host::commit(&location.path, transaction, set)
    }

    /// Copies the whole database, the host's tables too, as it is at this moment, to a new file, while writers go on.
    ///
    /// The copy is made a few pages at a time under a temporary name beside the target (`{name}.….partial`), readable by
    /// its owner alone; then it is [verified](Self::verify), synced, and renamed. So what is at the path is whole. It is
    /// one file, and is restored by opening it. Nobody who commits waits for it, but the write-ahead log cannot be
    /// shortened meanwhile. `progress` hears of every few pages, and of every check.
    ///
    /// What a backup to the same path left behind when its process was killed is removed by the next one, on Unix. A file
    /// that merely has such a name stays.
    ///
    /// This blocks, for as long as copying and reading the whole file takes; inside an async runtime call it where
    /// blocking is allowed (`spawn_blocking`). A store in memory or in [exclusive](SqliteOptions::exclusive) mode has one
    /// connection: there commits wait until the backup is done.
    ///
    /// # Errors
    ///
    /// After any of them there is nothing at the path.
    ///
    /// - [`Error::Invalid`] with code `backup.target_exists`: nothing is ever replaced.
    /// - [`Error::Corrupt`]: the copy has faults, and so probably this database; [verify](Self::verify) names them.
    /// - [`Error::Unavailable`]: the file cannot be written, or the disk is full.
    pub fn backup(&self, to: impl AsRef<Path>, mut progress: impl FnMut(Progress)) -> Result<(), Error> {
        let (to, gently) = (to.as_ref().to_path_buf(), self.readers.is_some());
        self.blocking(move |conn, tell| backup::backup(conn, &to, gently, tell), &mut progress)
    }

    /// Checks everything that can be checked without keys, at one moment, while writers go on, and names each fault:
    ///
    /// - SQLite's own checks of the whole file, and of our foreign keys;
    /// - the schema, by its hash;
    /// - every record can be read, and its columns say what its body says (unique values, parents, kinds, times);
    /// - every parent is there;
    /// - the kept counts are those of the rows;
    /// - the log, from its first entry to its newest, leads to exactly the objects that live, each at its version. It
    ///   does not say below which profile an account or a payment was: one that is gone without an entry of its own
    ///   is excused if a profile (or for a link a payment) of its merchant account went later;
    /// - what is kept under idempotency keys can be read.
    ///
    /// Of a log that was pruned the kept part is followed: what it does not speak of may live at any version, and an
    /// object that went before it began is not missed. The same holds of an organization that was copied from a store
    /// whose log had been pruned.
    ///
    /// It cannot see a body that was altered into another one that can be read and has the same columns. The memory that
    /// it takes grows with the number of living objects and entries: some 150 bytes each.
    ///
    /// This blocks, for as long as reading the whole file takes.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], if the file cannot be read. Faults are no error.
    pub fn verify(&self, mut progress: impl FnMut(Progress)) -> Result<VerifyReport, Error> {
        let shared = self.shared;
        self.blocking(move |conn, tell| verify::all(conn, shared, tell), &mut progress)
    }

    /// Work that takes long and says how far it is: on a connection of its own, or on the only one there is.
    fn blocking<T, W>(&self, work: W, progress: &mut dyn FnMut(Progress)) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&Connection, backup::Tell<'_>) -> Result<T, Error> + Send + 'static,
    {
        if let (Some(location), Some(_)) = (&self.location, &self.readers) {
            return work(&open::reader(&location.path, location.busy_timeout)?, progress);
        }
        let (tell, told) = mpsc::channel();
        let (reply, answer) = mpsc::channel();
        self.writer.task(Box::new(move |conn| {
            // Whoever asked may have gone.
            let answer = work(conn, &mut |progress| {
                let _heard = tell.send(progress);
            });
            let _heard = reply.send(answer);
        }))?;
        told.into_iter().for_each(progress);
        answer.recv().unwrap_or_else(|e| Err(Error::unavailable(Unavailability::Failed, e)))
    }

    /// A read that is short: right here, or elsewhere if someone is in its way.
    async fn point<T, R>(&self, read: R) -> Result<T, Error>
    where
        T: Send + 'static,
        R: Fn(&Connection) -> Result<T, Failure> + Clone + Send + 'static,
    {
        if let Some(readers) = &self.readers {
            match readers.here(&read) {
                None => {}
                Some(Err(failure)) if failure.is_busy() => {}
                Some(answer) => return Ok(answer?),
            }
        }
        self.elsewhere(read).await
    }

    /// A read that may be long.
    async fn elsewhere<T, R>(&self, read: R) -> Result<T, Error>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        if let Some(readers) = &self.readers {
            return readers.elsewhere(read).await;
        }
        let (task, answer) = asking(read);
        self.writer.task(task)?;
        answer.await.unwrap_or_else(|e| Err(Error::unavailable(Unavailability::Failed, e)))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, set: ChangeSet) -> Result<Committed, Error> {
        self.writer.commit(Prepared::new(set)?).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        let key = key.clone();
        self.point(move |conn| read::get(conn, &key)).await
    }

    async fn list(&self, query: &Query) -> Result<Option<Listing>, Error> {
        let query = query.clone();
        self.elsewhere(move |conn| read::list(conn, &query)).await
    }

    async fn block_rules(&self, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
        let scan = scan.clone();
        self.elsewhere(move |conn| read::block_rules(conn, &scan)).await
    }

    async fn uses(&self, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
        let count = count.clone();
        self.point(move |conn| read::uses(conn, &count)).await
    }

    async fn claim(&self, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
        let key = key.clone();
        self.point(move |conn| read::claim(conn, tenant, &key)).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
        let query = query.clone();
        self.elsewhere(move |conn| read::log(conn, &query)).await
    }

    async fn head(&self) -> Result<Head, Error> {
        self.point(read::head).await
    }

    async fn stage(&self, part: StagedPart) -> Result<(), Error> {
        self.writer.apart(move |conn| stage::put(conn, &part)).await
    }

    async fn taken(&self, of: &EntityRef, stage: StageId) -> Result<Option<Vec<u64>>, Error> {
        let of = of.clone();
        let read = move |conn: &Connection| stage::taken(conn, &of, stage);
        let Some(location) = self.location.as_ref().filter(|_| self.readers.is_some()) else {
            return self.elsewhere(read).await;
        };
        // It reads everything that is staged: whoever lists, or looks at the log, does not wait for that.
        let conn = open::reader(&location.path, location.busy_timeout)?;
        let (task, answer) = asking(read);
        let failed =
            |error: Box<dyn std::error::Error + Send + Sync>| Error::unavailable(Unavailability::Failed, error);
        let thread = thread::Builder::new().name("perfectpay-stage".into());
        thread.spawn(move || task(&conn)).map_err(|error| failed(error.into()))?;
        answer.await.unwrap_or_else(|error| Err(failed(error.into())))
    }

    async fn prune(&self, prune: &Prune) -> Result<Pruned, Error> {
        let prune = prune.clone();
        self.writer.apart(move |conn| prune::prune(conn, &prune)).await
    }

    async fn export(&self, extent: &Extent) -> Result<Box<dyn Export>, Error> {
        let location = self.location.clone().filter(|_| self.readers.is_some());
        export::begin(location, &self.writer, extent).await
    }

    async fn import(&self, load: Load) -> Result<LogPosition, Error> {
        let prepared = PreparedLoad::new(load)?;
        self.writer.apart(move |conn| write::import(conn, &prepared)).await
    }
}
