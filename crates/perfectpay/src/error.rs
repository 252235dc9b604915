//! What can go wrong, as one type: what a caller would do differently is a variant of its own.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::store::LogPosition;

/// The kinds of object that a store keeps.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EntityKind {
    /// An organization.
    Organization,
    /// A merchant account.
    Merchant,
    /// A tenant's data key, wrapped by the master key.
    DataKey,
    /// A business profile.
    Profile,
    /// A connector account.
    Connector,
    /// A routing program.
    RoutingProgram,
    /// One version of a routing program.
    RoutingVersion,
    /// An API key.
    ApiKey,
    /// An entry of a blocklist.
    BlockRule,
    /// A payment.
    Payment,
    /// A payment link.
    PaymentLink,
    /// An event that a webhook tells of.
    Event,
    /// What was decided about a payment.
    PaymentDecision,
    /// A use of a payment link.
    LinkUse,
}

impl EntityKind {
    /// The kind in the words of a sentence.
    fn words(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Merchant => "merchant account",
            Self::DataKey => "data key",
            Self::Profile => "business profile",
            Self::Connector => "connector account",
            Self::RoutingProgram => "routing program",
            Self::RoutingVersion => "version of a routing program",
            Self::ApiKey => "API key",
            Self::BlockRule => "blocklist entry",
            Self::Payment => "payment",
            Self::PaymentLink => "payment link",
            Self::Event => "event",
            Self::PaymentDecision => "decision",
            Self::LinkUse => "use of a payment link",
        }
    }
}

/// One object, as an error names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entity {
    /// What it is.
    pub kind: EntityKind,
    /// Its id, as the caller gave it.
    pub id: String,
}

impl Entity {
    /// The object of this kind with this id.
    pub fn new(kind: EntityKind, id: impl fmt::Display) -> Self {
        Self { kind, id: id.to_string() }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind.words(), self.id)
    }
}

/// What is wrong with one value of an input: where it stands, a stable code, and a sentence without the value itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    path: String,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
}

impl Fault {
    /// A fault with a stable `code` (`noun.what`) and a `message` that continues "the field …". The message must not
    /// hold the value: it may be a secret.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { path: String::new(), code: code.into(), message: message.into() }
    }

    /// The same fault at `path`: field names joined by dots, list positions in brackets.
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Where the value stands in the input; empty for the input as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "the input {}", self.message)
        } else {
            write!(f, "`{}`: {}", self.path, self.message)
        }
    }
}

impl StdError for Fault {}

/// How many children of one kind an object has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ChildCount {
    /// What the children are.
    pub kind: EntityKind,
    /// How many there are.
    pub count: u64,
}

/// Why a credential was refused. For the host's own eyes: its caller gets one indistinguishable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// It has not the form of a key, or its checksum is wrong. Decided without asking the store.
    Malformed,
    /// It is a key of another environment. Decided without asking the store.
    WrongEnvironment,
    /// No living key has this digest: it was never issued, or was revoked, or its merchant was removed, and this process
    /// had not used it before.
    Unknown,
    /// The key's expiry is reached.
    Expired,
    /// The key was revoked, or its merchant removed, after this process had used it: of a key that is gone the store
    /// keeps no digest, and only memory knows whose a token was.
    Revoked,
    /// Another key took its place, and the grace is over.
    RotatedOut,
    /// The key is not accepted from the peer's address, or has networks and no address was told.
    NetworkNotAllowed,
}

/// Why the store cannot answer now. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Unavailability {
    /// Another process held the write lock for longer than the store waits.
    Busy,
    /// The disk is full, or a size limit is reached.
    Full,
    /// The file or its folder cannot be written.
    ReadOnly,
    /// The file cannot be opened or read.
    Inaccessible,
    /// The store stopped writing after an error whose outcome is unknown; it must be opened again.
    Halted,
    /// The store was closed.
    Closed,
    /// The file was written by a newer version of the library.
    NewerSchema,
    /// The SQLite that the program was linked with is too old to be safe.
    OldEngine,
    /// The keyring cannot wrap or open a data key now: the service that holds its keys does not answer.
    Keyring,
    /// The store failed in a way that is none of the others.
    Failed,
}

/// The family of an error: what a host decides on first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ErrorKind {
    /// There is no such object in the scope that asked.
    NotFound,
    /// The input is wrong; the same call fails again.
    Invalid,
    /// The input is right, but what is stored stands against it.
    Conflict,
    /// The caller did not prove who it is.
    Unauthorized,
    /// The caller is known and may not do this.
    Forbidden,
    /// The store cannot answer now; nothing was written.
    Unavailable,
    /// Nobody can know whether the write happened; repeat it with the same idempotency key.
    UnknownOutcome,
    /// What is stored is not what was written.
    Corrupt,
}

/// A driver's own error, boxed.
pub type Source = Box<dyn StdError + Send + Sync>;

/// What went wrong. See [`Error::kind`] for the family and [`Error::code`] for a stable machine code.
///
/// No variant holds or prints a key, a credential, a card number or any other value of the input; ids and field names
/// say enough.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such object in this scope. An object of another tenant is answered in the same way.
    #[error("there is no {0}")]
    NotFound(Entity),
    /// A value of the input is wrong.
    #[error("{0}")]
    Invalid(Fault),
    /// The id is taken.
    #[error("{0} exists already")]
    AlreadyExists(Entity),
    /// Another object of the same parent has this value.
    #[error("another {} has this {field}", kind.words())]
    Duplicate {
        /// The kind of object.
        kind: EntityKind,
        /// The field whose value is taken.
        field: &'static str,
    },
    /// The object is not at the version that the write expected.
    #[error("{entity} is at version {found}, not {expected}")]
    Stale {
        /// The object.
        entity: Entity,
        /// The version that the write stood on.
        expected: u64,
        /// The version that the object has.
        found: u64,
    },
    /// The object has children, and the removal did not say to take them along.
    #[error("{entity} still has {}", list(children))]
    HasChildren {
        /// The object.
        entity: Entity,
        /// What it has, by kind, without what goes along by itself.
        children: Vec<ChildCount>,
    },
    /// What is stored stands against the command.
    #[error("{entity} {message}")]
    Refused {
        /// The object.
        entity: Entity,
        /// A stable code.
        code: &'static str,
        /// A sentence that continues the object's name.
        message: &'static str,
    },
    /// What the write stood on moved meanwhile: the number of an object's children, its default profile, its parent.
    /// Deciding again may succeed.
    #[error("{entity} changed while the command was decided")]
    Moved {
        /// The object.
        entity: Entity,
    },
    /// The idempotency key was used with another request.
    #[error("this idempotency key was used with another request")]
    IdempotencyMismatch,
    /// Entries of the log behind the position that was asked for were pruned: what follows would not be all. A follower
    /// reads the log's head, loads what it follows anew, and goes on behind that head; whoever wants what is left of the
    /// log reads behind `through`.
    #[error("the log was pruned up to position {through}")]
    LogPruned {
        /// The newest position that was pruned.
        through: LogPosition,
    },
    /// The credential was refused. `Display` is the same for every reason; the reason is for the host's log.
    #[error("the credential was not accepted")]
    Unauthorized(Refusal),
    /// The caller is known and may not do this.
    #[error("the caller may not do this")]
    Forbidden,
    /// The store cannot answer now. Nothing was written.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: Unavailability,
        /// The driver's error.
        #[source]
        source: Option<Source>,
    },
    /// Nobody can know whether the write happened. Open the store again and repeat the call with its idempotency key.
    #[error("the outcome of the write is unknown")]
    OutcomeUnknown {
        /// The driver's error.
        #[source]
        source: Source,
    },
    /// What is stored is not what was written, or a sealed value does not open with the keys at hand.
    #[error("the store is corrupt: {what}")]
    Corrupt {
        /// What was found, without the value.
        what: String,
        /// The driver's error.
        #[source]
        source: Option<Source>,
    },
}

impl Error {
    /// The family.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::AlreadyExists(_)
            | Self::Duplicate { .. }
            | Self::Stale { .. }
            | Self::HasChildren { .. }
            | Self::Refused { .. }
            | Self::Moved { .. }
            | Self::IdempotencyMismatch
            | Self::LogPruned { .. } => ErrorKind::Conflict,
            Self::Unauthorized(_) => ErrorKind::Unauthorized,
            Self::Forbidden => ErrorKind::Forbidden,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::OutcomeUnknown { .. } => ErrorKind::UnknownOutcome,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
        }
    }

    /// A stable machine code. Those of a wrong input are the [`Fault`]'s.
    pub fn code(&self) -> &str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Invalid(fault) => fault.code(),
            Self::AlreadyExists(_) => "already_exists",
            Self::Duplicate { .. } => "duplicate",
            Self::Stale { .. } => "stale",
            Self::HasChildren { .. } => "has_children",
            Self::Refused { code, .. } => code,
            Self::Moved { .. } => "moved",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::LogPruned { .. } => "log_pruned",
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Unavailable { .. } => "unavailable",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::Corrupt { .. } => "corrupt",
        }
    }

    /// Whether the same call may succeed later without any change to it. A write whose outcome is unknown may be
    /// repeated only with its idempotency key.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { reason, .. } => {
                matches!(reason, Unavailability::Busy | Unavailability::Full | Unavailability::Keyring)
            }
            Self::Moved { .. } => true,
            _ => false,
        }
    }

    /// The error of an object that is not there.
    pub fn not_found(kind: EntityKind, id: impl fmt::Display) -> Self {
        Self::NotFound(Entity::new(kind, id))
    }

    /// The error of a store that cannot answer now.
    pub fn unavailable(reason: Unavailability, source: impl Into<Source>) -> Self {
        Self::Unavailable { reason, source: Some(source.into()) }
    }

    /// The error of a stored value that cannot be what was written.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), source: None }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Invalid(fault)
    }
}

fn list(children: &[ChildCount]) -> String {
    let counts: Vec<String> = children.iter().map(|c| format!("{} × {}", c.count, c.kind.words())).collect();
    counts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_looks_the_same_to_the_caller() {
        let texts: Vec<String> = [Refusal::Malformed, Refusal::Unknown, Refusal::Expired, Refusal::Revoked]
            .map(|reason| Error::Unauthorized(reason).to_string())
            .into();
        assert!(texts.iter().all(|text| text == "the credential was not accepted"));
    }

    #[test]
    fn children_are_listed_by_kind() {
        let children =
            vec![ChildCount { kind: EntityKind::Profile, count: 2 }, ChildCount { kind: EntityKind::ApiKey, count: 1 }];
        let error = Error::HasChildren { entity: Entity::new(EntityKind::Merchant, "m"), children };
        assert_eq!(error.to_string(), "merchant account `m` still has 2 × business profile, 1 × API key");
    }
}
