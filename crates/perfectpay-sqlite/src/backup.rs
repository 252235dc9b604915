//! A copy of a living database, taken a few pages at a time.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
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
    copy(conn, &partial.0, gently, tell)?;
    let options = SqliteOptions::new(&partial.0).shared_with_host(true).exclusive(true);
    let report = verify::file(&options, tell)?;
    if let Some(fault) = report.faults.first() {
        let what = format!("the backup has {} faults, the first: {fault}", report.total());
        return Err(Error::corrupt(what));
    }
    File::open(&partial.0).and_then(|file| file.sync_all()).map_err(inaccessible)?;
    ensure_free(&to)?;
    fs::rename(&partial.0, &to).map_err(inaccessible)?;
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

/// A file that goes with this, unless it was renamed.
struct Partial(PathBuf);

impl Partial {
    /// A name that nobody else has: the target's, the process's and a number.
    fn beside(to: &Path) -> Result<Self, Error> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let missing = || Error::unavailable(Unavailability::Inaccessible, "the path does not name a file");
        let folder = to.parent().ok_or_else(missing)?;
        // The target's name may be a link into another folder; the folder itself may be one, too.
        let folder = fs::canonicalize(folder).map_err(inaccessible)?;
        loop {
            let mut name = OsString::from(to.file_name().ok_or_else(missing)?);
            name.push(format!(".{}-{}.partial", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
            let path = folder.join(name);
            if path.symlink_metadata().is_err() {
                return Ok(Self(path));
            }
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-journal"] {
            // It is there only if something failed.
            let _gone = fs::remove_file(beside(&self.0, suffix));
        }
    }
}
