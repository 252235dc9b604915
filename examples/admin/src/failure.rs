//! Why the program ends without success, as an exit code that means something.

use std::io::{self, Write as _};
use std::process::ExitCode;

use perfectpay::{Error, ErrorKind, ExportError, Fault, ImportCause, ImportError};
use serde_json::json;

use crate::show::Show;

/// What a caller would do differently. 2 is a wrong command line, which the parser tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A file could not be read or written.
    File = 1,
    /// There is no such object.
    Absent = 3,
    /// What is stored stands against it.
    Conflict = 4,
    /// A value is wrong.
    Invalid = 5,
    /// The database cannot be used.
    Unusable = 6,
    /// Damage was found.
    Damaged = 7,
    /// Done in part.
    Partial = 8,
}

/// An end without success.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    code: String,
    message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), message: message.into() }
    }

    /// The same failure, which means that the database cannot be used.
    pub(crate) fn unusable(self) -> Self {
        Self { exit: Exit::Unusable, ..self }
    }

    /// Says why, where nobody takes it for the answer, and ends.
    pub(crate) fn end(self, show: &Show) -> ExitCode {
        let text = if show.is_json() {
            json!({ "error": { "code": self.code, "message": self.message } }).to_string()
        } else {
            format!("perfectpay-admin: {}", self.message)
        };
        let _said = writeln!(io::stderr(), "{text}");
        ExitCode::from(self.exit as u8)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::NotFound => Exit::Absent,
            ErrorKind::Conflict | ErrorKind::Unauthorized | ErrorKind::Forbidden => Exit::Conflict,
            ErrorKind::Invalid => Exit::Invalid,
            ErrorKind::Unavailable | ErrorKind::UnknownOutcome => Exit::Unusable,
            ErrorKind::Corrupt => Exit::Damaged,
        };
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Self::new(exit, error.code(), format!("{error}{}", cause.unwrap_or_default()))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Error::from(fault).into()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::File, "file", error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Exit::File, "json", error.to_string())
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let message = error.to_string();
        let (exit, code) = match error.cause {
            ImportCause::File { fault, .. } => (Exit::Invalid, fault.code().to_owned()),
            ImportCause::Read(_) => (Exit::File, "file".to_owned()),
            ImportCause::Store(error) => {
                let failure = Self::from(error);
                (failure.exit, failure.code)
            }
        };
        Self { exit, code, message }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Write(error) => error.into(),
            ExportError::Store(error) => error.into(),
        }
    }
}
