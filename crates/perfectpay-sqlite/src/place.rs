//! Whether the files at the path are still the ones that are open.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use perfectpay::{Error, Unavailability};

/// What a removal or a replacement is called.
const GONE: &str = "the file at the path, or the log beside it, is not the one that this store has open";

/// A file as the system tells it from others.
#[cfg(unix)]
type Identity = (u64, u64);
/// Elsewhere a file that is open cannot be removed or replaced.
#[cfg(not(unix))]
type Identity = ();

/// The file, its write-ahead log and its shared memory, as they were when the store was opened.
///
/// A file that is removed or replaced lives on for whoever has it open, and nobody finds again what is written to it.
/// The three stay the same ones for as long as a connection is open: nothing but a stranger takes them away.
#[derive(Debug)]
pub(crate) struct Place([(PathBuf, Option<Identity>); 3]);

impl Place {
    /// The files there are.
    pub(crate) fn of(path: &Path) -> Self {
        Self(["", "-wal", "-shm"].map(|suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            let path = PathBuf::from(name);
            let found = identity(&path).flatten();
            (path, found)
        }))
    }

    /// Whether the file itself is the one that it was.
    pub(crate) fn has_the_file_of(&self, other: &Self) -> bool {
        let [(_, this), ..] = &self.0;
        let [(_, that), ..] = &other.0;
        this == that
    }

    /// Whether all of them are still there. Where that cannot be found out, because a folder on the way may not be
    /// searched, they are taken to be.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.iter().all(is_still_there)
    }

    /// Whether the file and its log, which hold what was committed, are still there: short enough for every commit.
    pub(crate) fn keeps_what_is_written(&self) -> bool {
        let [file, log, _] = &self.0;
        is_still_there(file) && is_still_there(log)
    }
}

fn is_still_there((path, known): &(PathBuf, Option<Identity>)) -> bool {
    identity(path).is_none_or(|found| found == *known)
}

/// Which file is there, if any; `None` where that cannot be found out.
#[allow(clippy::option_option, reason = "what is not there and what cannot be seen are two answers")]
fn identity(path: &Path) -> Option<Option<Identity>> {
    match look(path) {
        Ok(found) => Some(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Some(None),
        Err(_) => None,
    }
}

/// Asks for the number alone. A system that tells a file's times notes that they were seen, and gives the next write one
/// of its own, which the sync after it then has to write out: on ext4 a fifth of what a small commit costs.
#[cfg(target_os = "linux")]
fn look(path: &Path) -> io::Result<Identity> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    match statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
        Ok(found) => Ok((makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino)),
        Err(rustix::io::Errno::NOSYS) => look_at_all(path),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
use look_at_all as look;

fn look_at_all(path: &Path) -> io::Result<Identity> {
    let file = fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Ok((file.dev(), file.ino()))
    }
    #[cfg(not(unix))]
    Ok(drop(file))
}

/// The answer while nothing was written yet.
pub(crate) fn gone() -> Error {
    Error::unavailable(Unavailability::Inaccessible, GONE)
}

/// The answer where it was found out after the commit: what was written is in a file that may come back or not.
pub(crate) fn gone_meanwhile() -> Error {
    Error::OutcomeUnknown { source: GONE.into() }
}
