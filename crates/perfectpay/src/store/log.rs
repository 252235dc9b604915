//! The log: who did what, when, in the order in which it became visible.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::change::CommitClass;
use super::prune::LogPruning;
use crate::actor::Actor;
use crate::error::EntityKind;
use crate::id::Incarnation;
use crate::stored::EntityRef;
use crate::time::Timestamp;

/// Where an entry stands in the log. Later commits have greater positions; they are not numbered without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogPosition(u64);

impl LogPosition {
    /// Before every entry.
    pub const START: Self = Self(0);

    /// The position with this number, as a back-end keeps it.
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Verb {
    /// It came into being.
    Created,
    /// It has a new version.
    Updated,
    /// It is an API key, and its digest is gone.
    Revoked,
    /// It went, and everything below it.
    Removed,
    /// Its secrets were revealed; it is as it was.
    Revealed,
    /// It is an API key and was used; it is as it was, but for the mark of its last use.
    Used,
}

/// One object's part in a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChange {
    /// The object's kind.
    pub kind: EntityKind,
    /// Its id.
    pub id: String,
    /// What happened to it.
    pub verb: Verb,
    /// The version it has since; of a removal the version that was removed, of a
    /// revelation the version whose secrets were revealed.
    pub version: u64,
    /// How many objects the line stands for: 1, but for entries of a blocklist that were added or purged together, and for
    /// API keys that were used. Their line has the id `*`, and the version 0 where they go or were used.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
}

fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_one(count: &u64) -> bool {
    *count == 1
}

/// One commit. It never holds a secret: ids, verbs and versions only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// Where it stands.
    pub position: LogPosition,
    /// When it was committed; never before the entry in front of it.
    pub at: Timestamp,
    /// Who made it.
    pub actor: Actor,
    /// Whether snapshots follow it.
    pub class: CommitClass,
    /// The organization's id at that time.
    pub organization_id: Option<String>,
    /// The merchant account's id at that time.
    pub merchant_id: Option<String>,
    /// What it changed, in order.
    pub changes: Vec<LogChange>,
}

/// Whose part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogScope {
    /// All of it.
    All,
    /// The entries of the class [`CommitClass::Configuration`], which snapshots follow.
    Configuration,
    /// An organization's and its merchants'.
    Organization(Incarnation),
    /// A merchant account's.
    Merchant(Incarnation),
    /// One object's.
    Entity(EntityRef),
}

/// The most entries that one [`LogQuery`] asks for.
pub const MAX_LOG_LIMIT: u32 = 1_000;

/// Which entries of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// Whose.
    pub scope: LogScope,
    /// Behind which position.
    pub after: LogPosition,
    /// At most how many; more than [`MAX_LOG_LIMIT`] is answered as that.
    pub limit: u32,
}

/// Where the log ends, and where it begins. Both positions are [`LogPosition::START`] while it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// The newest entry.
    pub position: LogPosition,
    /// The newest entry of the class [`CommitClass::Configuration`], pruned or not.
    pub configuration: LogPosition,
    /// The newest entry's time, or the beginning of Unix time.
    pub at: Timestamp,
    /// How far the log was pruned; `None` while it is whole.
    pub pruned: Option<LogPruning>,
}

impl Head {
    /// Behind which position all that is kept of the log is read.
    pub fn beginning(&self) -> LogPosition {
        self.pruned.as_ref().map_or(LogPosition::START, |pruned| pruned.through)
    }
}
