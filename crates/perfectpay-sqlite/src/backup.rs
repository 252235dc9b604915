//! A copy of a living database, taken a few pages at a time.

use std::collections::BTreeSet;
#[cfg(unix)]
use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use perfectpay::{Error, Fault, Unavailability};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, TransactionBehavior};

use crate::error::Failure;
use crate::open::{self, beside, inaccessible};
use crate::verify;
use crate::{Progress, SqliteOptions, Step};

/// How many pages are copied before others have their turn.
const PAGES: i32 = 64;
/// How long the others have it.
const PAUSE: Duration = Duration::from_millis(1);

/// Tells how far the work is.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(Progress);

/// Copies the database as it is at this moment to a new file, which appears at its path when it is whole.
pub(crate) fn backup(conn: &Connection, to: &Path, gently: bool, tell: Tell<'_>) -> Result<(), Error> {
    let to = std::path::absolute(to).map_err(inaccessible)?;
    ensure_free(&to)?;
    let partial = Partial::beside(&to)?;
    copy(conn, &partial.path, gently, tell)?;
    let options = SqliteOptions::new(&partial.path).shared_with_host(true).exclusive(true);
    let report = verify::file(&options, tell)?;
    if let Some(fault) = report.faults.first() {
        let what = format!("the backup has {} faults, the first: {fault}", report.total());
        return Err(Error::corrupt(what));
    }
    partial.file.sync_all().map_err(inaccessible)?;
    ensure_free(&to)?;
    partial.rename(&to)?;
    // So that the name survives a power cut, too.
    #[cfg(unix)]
    if let Some(folder) = to.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(inaccessible)?;
    }
    Ok(())
}

/// Refuses to replace what is there. A write-ahead log that was left there would be taken for the backup's.
fn ensure_free(path: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-journal", "-shm"] {
        if beside(path, suffix).symlink_metadata().is_ok() {
            return Err(Fault::new("backup.target_exists", "leads to a file that is there already").at("path").into());
        }
    }
    Ok(())
}

fn copy(conn: &Connection, to: &Path, gently: bool, tell: Tell<'_>) -> Result<(), Error> {
    let mut run = || -> Result<(), Failure> {
        let mut target = open::target(to)?;
        // One moment for the whole copy: a commit meanwhile neither waits nor makes the copy begin again.
        let moment = rusqlite::Transaction::new_unchecked(conn, TransactionBehavior::Deferred)?;
        moment.query_row("SELECT count(*) FROM pp_meta", [], |_| Ok(()))?;
        let backup = Backup::new(&moment, &mut target)?;
        loop {
            let step = backup.step(PAGES)?;
            let pages = |number: i32| u64::try_from(number).unwrap_or(0);
            let (total, left) = (pages(backup.progress().pagecount), pages(backup.progress().remaining));
            tell(Progress { step: Step::Copying, done: total.saturating_sub(left), total });
            match step {
                StepResult::Done => break,
                StepResult::More if gently => thread::sleep(PAUSE),
                StepResult::More => {}
                _ => return Err(Error::Unavailable { reason: Unavailability::Busy, source: None }.into()),
            }
        }
        drop(backup);
        moment.commit()?;
        target.close().map_err(|(_, error)| Failure::from(error))
    };
    Ok(run()?)
}

/// The partial copies that this process makes now.
static LIVING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn living() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that goes with this, unless it was renamed. It is locked (`flock`, which SQLite does not use) for as long as
/// this lives: one that nobody has locked was left behind by a process that ended.
struct Partial {
    path: PathBuf,
    /// Held for its lock. Closing it gives up every lock of SQLite on the file, so that it is the last to go.
    file: File,
}

impl Partial {
    /// A name that nobody else has: the target's, the process's and a number.
    fn beside(to: &Path) -> Result<Self, Error> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let missing = || Error::unavailable(Unavailability::Inaccessible, "the path does not name a file");
        let folder = to.parent().ok_or_else(missing)?;
        // The target's name may be a link into another folder; the folder itself may be one, too.
        let folder = fs::canonicalize(folder).map_err(inaccessible)?;
        let target = to.file_name().ok_or_else(missing)?;
        loop {
            let mut name = OsString::from(target);
            name.push(format!(".{}-{}.partial", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
            let path = folder.join(name);
            // Nobody of this process takes it for one that was left behind.
            living().insert(path.clone());
            match open::private(&path) {
                Ok(file) if is_locked_here(&file, &path) => {
                    let partial = Self { path, file };
                    #[cfg(unix)]
                    partial.remove_abandoned(&folder, target);
                    return Ok(partial);
                }
                // Someone else was about to remove it as abandoned.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    living().remove(&path);
                    return Err(inaccessible(error));
                }
            }
            living().remove(&path);
        }
    }

    /// Removes what backups to the same target left behind when their process was killed. It must have the name of one
    /// and belong to the same user, begin like a database or with nothing, and nobody may be at work on it.
    #[cfg(unix)]
    fn remove_abandoned(&self, folder: &Path, target: &OsStr) {
        use std::os::unix::fs::MetadataExt as _;
        let (Ok(entries), Ok(own)) = (fs::read_dir(folder), self.file.metadata()) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            if !is_partial_of(target, &entry.file_name()) || living().contains(&path) {
                continue;
            }
            let is_candidate = path.symlink_metadata().is_ok_and(|found| found.is_file() && found.uid() == own.uid());
            let Some(mut file) = is_candidate.then(|| File::open(&path).ok()).flatten() else { continue };
            if file.try_lock().is_ok() && leads_to(&path, &file) && begins_as_database(&mut file) {
                remove(&path);
            }
        }
    }

    /// Gives the file its name.
    fn rename(self, to: &Path) -> Result<(), Error> {
        // A store that opened it already would lose its locks when ours is closed.
        let _turn = open::turn();
        fs::rename(&self.path, to).map_err(inaccessible)?;
        drop(self);
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It is there only if something failed.
        remove(&self.path);
        living().remove(&self.path);
    }
}

fn remove(partial: &Path) {
    for suffix in ["", "-wal", "-journal"] {
        let _gone = fs::remove_file(beside(partial, suffix));
    }
}

/// Locks a file that was just made. Where there are no such locks, nobody removes what seems abandoned either.
#[cfg(unix)]
fn is_locked_here(file: &File, path: &Path) -> bool {
    !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) && leads_to(path, file)
}

/// Elsewhere a lock would keep SQLite itself out.
#[cfg(not(unix))]
fn is_locked_here(_: &File, _: &Path) -> bool {
    true
}

/// Whether the path leads to this very file.
#[cfg(unix)]
fn leads_to(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    path.symlink_metadata().ok().map(identity) == file.metadata().ok().map(identity)
}

/// Whether a partial copy of the target may have this name.
#[cfg(unix)]
fn is_partial_of(target: &OsStr, name: &OsStr) -> bool {
    let inner = || {
        let rest = name.as_encoded_bytes().strip_prefix(target.as_encoded_bytes())?;
        let rest = rest.strip_prefix(b".")?.strip_suffix(b".partial")?;
        let at = rest.iter().position(|byte| *byte == b'-')?;
        let (process, number) = rest.split_at_checked(at)?;
        let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        Some(is_number(process) && is_number(number.strip_prefix(b"-")?))
    };
    inner() == Some(true)
}

/// Whether a file begins as every SQLite database does, or with what was not written yet.
#[cfg(unix)]
fn begins_as_database(file: &mut File) -> bool {
    use std::io::Read as _;
    let mut head = Vec::new();
    let read = file.take(16).read_to_end(&mut head);
    read.is_ok() && (head == b"SQLite format 3\0" || head.iter().all(|byte| *byte == 0))
}
