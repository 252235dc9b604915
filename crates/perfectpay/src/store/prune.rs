//! Housekeeping: what a store forgets, and only when it is told to.

use serde::Serialize;

use super::log::LogPosition;
use super::stage::StageId;
use crate::actor::Actor;
use crate::time::Timestamp;

/// The most rows that one [`Prune`] removes.
pub const MAX_PRUNE_LIMIT: u32 = 1_000;

/// The most rows of stages that one [`Prune`] removes.
pub const MAX_STAGED_PRUNE_LIMIT: u32 = 10_000;

/// How far the log is pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogBound {
    /// Entries in front of this position go.
    Before(LogPosition),
    /// Entries with a time before this moment go.
    OlderThan(Timestamp),
}

/// One bounded step of housekeeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prune {
    /// The oldest entries of the log go, and what leads to them from objects. The newest entry never does.
    Log {
        /// How far.
        bound: LogBound,
        /// At most how many entries; more than [`MAX_PRUNE_LIMIT`] is taken as that. A store may stop earlier behind
        /// entries that changed much, but not before it removed one.
        limit: u32,
        /// When, by the clock of who does it.
        at: Timestamp,
        /// Who does it.
        by: Actor,
    },
    /// Claims on idempotency keys go, of every tenant, the first to expire first.
    Claims {
        /// Those that are expired at this moment: whose `expires_at` is not after it.
        expired_at: Timestamp,
        /// At most how many; more than [`MAX_PRUNE_LIMIT`] is taken as that.
        limit: u32,
    },
    /// Rows of one stage go, which can be made live no more from then on; behind the last of them, the stage.
    Stage {
        /// Which.
        stage: StageId,
        /// At most how many; more than [`MAX_STAGED_PRUNE_LIMIT`] is taken as that.
        limit: u32,
    },
    /// Stages go, of every tenant, that were made live or begun to be removed, and those that no part came to since a
    /// moment: imports that never ended.
    Stages {
        /// Those go too whose newest part came before this moment.
        untouched_since: Timestamp,
        /// At most how many rows; more than [`MAX_STAGED_PRUNE_LIMIT`] is taken as that.
        limit: u32,
    },
}

/// What came of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// How many entries, claims or rows it removed.
    pub removed: u64,
    /// Whether there is more to remove: then another step follows.
    pub more: bool,
}

/// The last step that removed entries of the log: where the kept log begins, and whose doing that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogPruning {
    /// The newest position that was removed. Every entry up to it is gone, every later one is there.
    pub through: LogPosition,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Actor,
}
