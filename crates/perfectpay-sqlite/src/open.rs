//! Opening: what the file is, found out without changing it; then the connections, each with the same switches.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use perfectpay::{Error, Unavailability};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, ffi};

use crate::error::{Failure, is_busy};
use crate::place::{Place, gone};
use crate::write::Start;
use crate::{Durability, SqliteOptions, schema};

/// The first version without the race of two connections over a write-ahead log, which can corrupt a file.
const OLDEST_ENGINE: i32 = 3_051_003;
/// The longest value or row, in bytes.
const MAX_LENGTH: i32 = 1024 * 1024;
/// The longest statement, in bytes.
pub(crate) const MAX_SQL: usize = 64 * 1024;
/// The size of the shortest file that is a database.
const SMALLEST_PAGE: u64 = 512;
/// The size of a file whose creation was interrupted: one page, at most.
const FIRST_PAGE: u64 = 4096;

/// Only one store of this process opens at a time. Closing a file gives up every lock that the process has on it, so
/// the handle that creates a file must be closed before any connection takes a lock.
static OPENING: Mutex<()> = Mutex::new(());

/// Keeps every store of this process from opening meanwhile.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    OPENING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Finds or makes the file and connects its writer. The path answered is absolute and without symbolic links.
///
/// # Errors
///
/// As [`SqliteOptions::open`].
pub(crate) fn open(options: &SqliteOptions) -> Result<(Location, Connection), Error> {
    check_engine()?;
    let _turn = turn();
    let path = locate(options)?;
    let before = Place::of(&path);
    let mut conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE, options.busy_timeout)?;
    let prepare = |conn: &mut Connection| -> Result<(), Failure> {
        if options.exclusive {
            alone(conn)?;
        }
        write_ahead(conn, options)?;
        harden(conn)?;
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        schema::migrate(conn, options.shared_with_host)?;
        limit_size(conn, options)
    };
    prepare(&mut conn)?;
    let place = Place::of(&path);
    if !place.has_the_file_of(&before) {
        return Err(gone());
    }
    Ok((Location { path: path.into(), busy_timeout: options.busy_timeout, place: Arc::new(place) }, conn))
}

/// A database in memory, empty but for the schema.
pub(crate) fn in_memory(options: &SqliteOptions) -> Result<Connection, Error> {
    check_engine()?;
    let prepare = || -> Result<Connection, Failure> {
        let mut conn = Connection::open_in_memory()?;
        harden(&conn)?;
        schema::migrate(&mut conn, false)?;
        limit_size(&conn, options)?;
        Ok(conn)
    };
    Ok(prepare()?)
}

/// A connection that only reads. It waits for other connections only if it is told to.
///
/// SQLite opens the file now and what is beside it with the first read, by name: so the first read is now. Later there
/// may be the log of another file.
pub(crate) fn reader(path: &Path, busy_timeout: Duration) -> Result<Connection, Error> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, busy_timeout)?;
    let prepare = || -> Result<(), Failure> {
        harden(&conn)?;
        Start::of(&conn)?;
        Ok(())
    };
    prepare()?;
    Ok(conn)
}

/// A connection for looking at a whole file, beside whoever uses it or, if `exclusive`, alone. It writes nothing, and
/// leaves beside the file what it found there.
pub(crate) fn looker(options: &SqliteOptions) -> Result<Connection, Error> {
    check_engine()?;
    let path = fs::canonicalize(&options.path).map_err(inaccessible)?;
    if !fs::metadata(&path).map_err(inaccessible)?.is_file() {
        return Err(Error::unavailable(Unavailability::Inaccessible, "the path does not lead to a file"));
    }
    let log = size(&beside(&path, "-wal")) > 0;
    Ok(look(&path, options, log, options.exclusive)?)
}

/// A connection that reads, and that needs to write only what reading needs.
fn look(path: &Path, options: &SqliteOptions, log: bool, exclusive: bool) -> Result<Connection, Failure> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options.busy_timeout)?;
    // Closing would otherwise move the log of a file that was not closed into it. Where there is no log, closing takes
    // away what reading made.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, log)?;
    if exclusive {
        alone(&conn)?;
    }
    harden(&conn)?;
    Ok(conn)
}

/// Makes the connection the only one of its file. Before the first access; there is then no shared memory.
fn alone(conn: &Connection) -> Result<(), Failure> {
    Ok(conn.pragma_update(None, "locking_mode", "EXCLUSIVE")?)
}

/// A new, empty file, readable by its owner alone.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new();
    file.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    file.open(path)
}

/// A connection that fills the empty file of a backup. Until it is whole nobody else knows it, so that it needs no
/// journal.
pub(crate) fn target(path: &Path) -> Result<Connection, Error> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, Duration::ZERO)?;
    let prepare = || -> Result<(), Failure> {
        alone(&conn)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        Ok(conn.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?)
    };
    prepare()?;
    Ok(conn)
}

fn check_engine() -> Result<(), Error> {
    if rusqlite::version_number() < OLDEST_ENGINE {
        let source = format!("SQLite {} is linked, 3.51.3 is needed", rusqlite::version());
        return Err(Error::unavailable(Unavailability::OldEngine, source));
    }
    Ok(())
}

/// The file: identified if there is one, made if there is none.
fn locate(options: &SqliteOptions) -> Result<PathBuf, Error> {
    let path = std::path::absolute(&options.path).map_err(inaccessible)?;
    match fs::metadata(&path) {
        Ok(_) => {
            let path = fs::canonicalize(&path).map_err(inaccessible)?;
            identify(&path, options)?;
            Ok(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if size(&beside(&path, "-wal")) > 0 {
                return Err(Error::corrupt("the file is gone, and its write-ahead log is not"));
            }
            create(&path)?;
            fs::canonicalize(&path).map_err(inaccessible)
        }
        Err(error) => Err(inaccessible(error)),
    }
}

/// An empty file that only its owner reads. Another process may have been faster.
fn create(path: &Path) -> Result<(), Error> {
    match private(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(inaccessible(error)),
    }
}

/// Refuses a file that is not ours, or not whole, and leaves it and its folder as they were.
///
/// The file is read through SQLite alone: a handle of our own would, when closed, give up the locks of every connection
/// that this process has on it.
fn identify(path: &Path, options: &SqliteOptions) -> Result<(), Error> {
    let file = fs::metadata(path).map_err(inaccessible)?;
    if !file.is_file() {
        return Err(Error::unavailable(Unavailability::Inaccessible, "the path does not lead to a file"));
    }
    let folder = path.parent().map(fs::metadata).transpose().map_err(inaccessible)?;
    if file.permissions().readonly() || folder.is_some_and(|folder| folder.permissions().readonly()) {
        return Err(Error::unavailable(Unavailability::ReadOnly, "nobody may write to the file or to its folder"));
    }
    let log = size(&beside(path, "-wal")) > 0;
    if file.len() == 0 {
        // SQLite would delete the log of an empty file.
        return if log { Err(Error::corrupt("the file is empty, and its write-ahead log is not")) } else { Ok(()) };
    }
    if size(&beside(path, "-journal")) > 0 {
        if unfinished(path, &file, options)? {
            return Ok(());
        }
    } else if file.len() < SMALLEST_PAGE {
        // SQLite would take it for an empty file.
        return Err(Error::corrupt("the file is not a database"));
    }
    let inspect = |exclusive: bool| -> Result<(), Failure> {
        let conn = look(path, options, log, exclusive)?;
        schema::inspect(&conn, options.shared_with_host).map(drop)
    };
    if options.exclusive {
        return Ok(inspect(true)?);
    }
    // A log without its shared memory: nobody is using the file, and nothing is made beside it if we use it alone.
    if log && !beside(path, "-shm").exists() {
        match inspect(true) {
            Err(failure) if failure.is_busy() => {}
            answer => return Ok(answer?),
        }
    }
    Ok(inspect(false)?)
}

/// Whether the file has a rollback journal because its creation was interrupted. From before its first table on a file
/// of ours is in WAL mode and has none; a journal that must be rolled back is therefore someone else's.
fn unfinished(path: &Path, file: &fs::Metadata, options: &SqliteOptions) -> Result<bool, Error> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, options.busy_timeout)?;
    match schema::inspect(&conn, options.shared_with_host) {
        Err(Failure::Engine(error))
            if error.sqlite_error().is_some_and(|e| e.extended_code == ffi::SQLITE_READONLY_ROLLBACK) =>
        {
            if file.len() > FIRST_PAGE {
                let fault = perfectpay::Fault::new("database.foreign", "has a journal that is not PerfectPay's");
                return Err(fault.at("path").into());
            }
            Ok(true)
        }
        Err(failure) => Err(failure.into()),
        Ok(_) => Ok(false),
    }
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

pub(crate) fn inaccessible(error: io::Error) -> Error {
    let reason = match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => Unavailability::ReadOnly,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Unavailability::Full,
        _ => Unavailability::Inaccessible,
    };
    Error::unavailable(reason, error)
}

/// A connection to a file that is there. The path is a path, whatever it looks like: never a URI, never `:memory:`.
fn connect(path: &Path, mode: OpenFlags, busy_timeout: Duration) -> Result<Connection, Error> {
    let connect = || -> Result<Connection, Failure> {
        let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        if mode.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) && conn.is_readonly("main")? {
            // SQLite would go on, and say so with the first write.
            return Err(Error::unavailable(Unavailability::ReadOnly, "this process may not write to the file").into());
        }
        conn.busy_timeout(busy_timeout)?;
        conn.set_prepared_statement_cache_capacity(256);
        Ok(conn)
    };
    Ok(connect()?)
}

/// Switches to the write-ahead log, with the durability set first: so the file's own creation is as durable.
fn write_ahead(conn: &Connection, options: &SqliteOptions) -> Result<(), Failure> {
    let level = match options.durability {
        Durability::Extra => "EXTRA",
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", level)?;
    let started = Instant::now();
    let mode: String = loop {
        // Two processes that switch at the same moment are told so at once, without the usual wait.
        match conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)) {
            Err(error) if is_busy(&error) && started.elapsed() < options.busy_timeout => {
                thread::sleep(Duration::from_millis(2));
            }
            answer => break answer?,
        }
    };
    if mode == "wal" {
        return Ok(());
    }
    Err(Error::unavailable(Unavailability::Failed, "the file system does not carry a write-ahead log").into())
}

/// The switches that every connection has, whatever the file says.
fn harden(conn: &Connection) -> Result<(), Failure> {
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "secure_delete", true)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "mmap_size", 0)?;
    for (switch, on) in [
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        conn.set_db_config(switch, on)?;
    }
    conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_LENGTH)?;
    conn.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, i32::try_from(MAX_SQL).unwrap_or(i32::MAX))?;
    conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    Ok(())
}

fn limit_size(conn: &Connection, options: &SqliteOptions) -> Result<(), Failure> {
    let Some(bytes) = options.size_limit else { return Ok(()) };
    let page: i64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = i64::try_from(bytes).unwrap_or(i64::MAX).checked_div(page).unwrap_or(i64::MAX);
    let pages = pages.clamp(1, i64::from(u32::MAX) - 1);
    conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    Ok(())
}

/// What is shared by the threads of one store about its file.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    pub(crate) path: Arc<Path>,
    pub(crate) busy_timeout: Duration,
    pub(crate) place: Arc<Place>,
}
