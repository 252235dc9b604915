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
//! **The file.** Everything is in tables that begin with `pp_`, with one view a table (`pp_…_view`) that spells times
//! and JSON out for people with plain SQL. Several processes may open one file, on a local file system. Copy a living
//! file with SQLite's backup or `VACUUM INTO`, never by its bytes: much of it may still be in the `-wal` beside it.
//! The log is moved into the file by the writing thread, between two commits once it is longer than about 1,000 pages,
//! and half a second after the last commit; so no commit waits for it.
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

mod error;
mod open;
mod place;
mod read;
mod reader;
mod rows;
mod schema;
mod write;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use perfectpay::store::{
    ChangeSet, Committed, Head, IdempotencyClaim, IdempotencyKey, Key, Listing, LogEntry, LogQuery, Query, Record,
    Store,
};
use perfectpay::{Error, Incarnation, Unavailability};
use rusqlite::Connection;

use crate::error::Failure;
use crate::open::Location;
use crate::reader::{Readers, asking};
use crate::rows::Prepared;
use crate::writer::Writer;

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
        let readers = Readers::spawn(location.clone())?;
        Ok(SqliteStore { readers: Some(readers), location: Some(location), writer })
    }
}

/// A [`Store`] on SQLite.
///
/// Dropping it blocks until the commits that wait are carried out, moves the write-ahead log into the file and closes
/// it.
pub struct SqliteStore {
    // Dropped in this order: the connection that writes closes last, and takes the log with it.
    /// `None` for a database in memory, which has one connection.
    readers: Option<Readers>,
    location: Option<Location>,
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
        Ok(Self { readers: None, location: None, writer })
    }

    /// Where the file is; `None` for a database in memory.
    pub fn path(&self) -> Option<&Path> {
        self.location.as_ref().map(|location| &*location.path)
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
}
