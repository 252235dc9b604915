//! What SQLite answers, as the library's errors.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use perfectpay::{Error, Fault, Unavailability};
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// Why a step did not go through.
#[derive(Debug)]
pub(crate) enum Failure {
    /// SQLite said no.
    Engine(rusqlite::Error),
    /// A check of ours, in terms of the contract, said no: `judge` knows why.
    Objection,
    /// The answer is known already.
    Answer(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Answer(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Engine(error) => classify(&Arc::new(error)),
            Failure::Objection => contradiction(),
            Failure::Answer(error) => error,
        }
    }
}

impl Failure {
    /// Whether it is the objection of a check, ours or one of the schema's.
    pub(crate) fn is_objection(&self) -> bool {
        match self {
            Self::Engine(error) => error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation),
            Self::Objection => true,
            Self::Answer(_) => false,
        }
    }

    /// Whether another connection was in the way.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Engine(error) if is_busy(error))
    }
}

/// The error of a check that the schema makes and the contract does not.
pub(crate) fn contradiction() -> Error {
    Error::corrupt("a constraint stands against a change set that the contract allows")
}

/// Whether another connection was in the way.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether nothing can be relied on any more after this error: a sync failed, or the file is not what was written.
pub(crate) fn is_lasting(error: &rusqlite::Error) -> bool {
    const FAILED_SYNCS: [i32; 2] = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];
    let code = error.sqlite_error().map_or(0, |e| e.extended_code);
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || FAILED_SYNCS.contains(&code)
}

/// The error of a step after which nothing was written. Handed out more than once where it befell a whole group.
pub(crate) fn classify(error: &Arc<rusqlite::Error>) -> Error {
    let source = || Driver(Arc::clone(error));
    let unavailable = |reason| Error::unavailable(reason, source());
    let corrupt = |what: &str| Error::Corrupt { what: what.into(), source: Some(source().into()) };
    if matches!(
        **error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    ) {
        return corrupt("a column holds what was never written to it");
    }
    match error.sqlite_error().map(|e| (e.code, e.extended_code)) {
        Some((ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _)) => unavailable(Unavailability::Busy),
        // The shared memory of a database in WAL mode cannot be made on a full disk either.
        Some((ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE)) => unavailable(Unavailability::Full),
        Some((ErrorCode::ReadOnly, _)) => unavailable(Unavailability::ReadOnly),
        Some((ErrorCode::CannotOpen | ErrorCode::PermissionDenied, _)) => unavailable(Unavailability::Inaccessible),
        Some((ErrorCode::NotADatabase, _)) => corrupt("the file is not a database"),
        Some((ErrorCode::DatabaseCorrupt, _)) => corrupt("the file is damaged"),
        Some((ErrorCode::TooBig, _)) => too_large(),
        _ => unavailable(Unavailability::Failed),
    }
}

/// The error of a commit of which one record, or its entry in the log, is larger than a column takes.
pub(crate) fn too_large() -> Error {
    Fault::new("changes.too_large", "has a record above 512 KiB, or an entry in the log above 1 MiB")
        .at("changes")
        .into()
}

/// The error of a write of which nobody knows whether it happened.
pub(crate) fn unknown(error: &Arc<rusqlite::Error>) -> Error {
    Error::OutcomeUnknown { source: Driver(Arc::clone(error)).into() }
}

/// The error of a write that came after one whose outcome is unknown.
pub(crate) fn halted() -> Error {
    Error::Unavailable { reason: Unavailability::Halted, source: None }
}

/// SQLite's error, shared by the members of a group. It holds SQL of ours and the file's path, and no bound value.
#[derive(Debug)]
struct Driver(Arc<rusqlite::Error>);

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Driver {}

#[cfg(test)]
mod tests {
    use perfectpay::ErrorKind;

    use super::*;

    fn engine(code: i32) -> Error {
        Failure::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)).into()
    }

    #[test]
    fn every_code_of_the_engine_has_its_error() {
        for (code, reason) in [
            (ffi::SQLITE_BUSY, Unavailability::Busy),
            (ffi::SQLITE_FULL, Unavailability::Full),
            (ffi::SQLITE_IOERR_SHMSIZE, Unavailability::Full),
            (ffi::SQLITE_READONLY_DIRECTORY, Unavailability::ReadOnly),
            (ffi::SQLITE_CANTOPEN, Unavailability::Inaccessible),
            (ffi::SQLITE_IOERR_READ, Unavailability::Failed),
        ] {
            let error = engine(code);
            assert!(matches!(error, Error::Unavailable { reason: found, .. } if found == reason), "{code}: {error:?}");
        }
        assert_eq!(engine(ffi::SQLITE_NOTADB).kind(), ErrorKind::Corrupt);
        assert_eq!(engine(ffi::SQLITE_CORRUPT).kind(), ErrorKind::Corrupt);
        assert_eq!(engine(ffi::SQLITE_TOOBIG).code(), "changes.too_large");
    }

    #[test]
    fn a_failed_sync_and_a_damaged_file_are_lasting_and_a_full_disk_is_not() {
        let lasting = |code| is_lasting(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert!(lasting(ffi::SQLITE_IOERR_FSYNC));
        assert!(lasting(ffi::SQLITE_CORRUPT));
        assert!(!lasting(ffi::SQLITE_FULL));
        assert!(!lasting(ffi::SQLITE_BUSY));
    }
}
