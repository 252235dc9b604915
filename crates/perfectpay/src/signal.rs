//! What the library tells of itself while it works, by name: a span and events through [`tracing`], counters and histograms
//! through the [`metrics`](https://docs.rs/metrics) facade behind the feature `metrics`.
//!
//! Names and fields are stable, and this is the list of them; `docs/observability.md` shows it as a table. All spans and
//! events have the target [`TARGET`]. No field and no label holds a secret, a card number, or a value of a body: there are
//! words of this library, ids of API keys, numbers and durations.
//!
//! A host installs its subscriber and its recorder before it opens the library: the handles of metrics are made once, with
//! the first [`PerfectPay::open`](crate::PerfectPay::open) of the process. Where nobody listens, an operation costs some
//! look-ups of one word for it, and allocates nothing.

use serde::Serialize;

/// The target of all spans and events.
pub const TARGET: &str = "perfectpay";

/// What something that is told is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SignalKind {
    /// A span of `tracing`.
    Span,
    /// An event of `tracing`.
    Event,
    /// A counter of `metrics`.
    Counter,
    /// A histogram of `metrics`.
    Histogram,
}

/// Everything that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::VariantArray)]
pub enum Signal {
    /// The span in which an operation runs.
    OperationSpan,
    /// An operation begins.
    Began,
    /// An operation is over.
    Ended,
    /// An operation failed by the store, or by what is in it.
    Failed,
    /// A credential was judged.
    Verified,
    /// A set of changes was committed, or was not.
    Committed,
    /// The log was looked at.
    Looked,
    /// What was kept in memory was dropped.
    Reset,
    /// How many operations came to which end.
    Operations,
    /// How long they took.
    OperationSeconds,
    /// How many credentials were judged, and how.
    Verifications,
    /// How many sets of changes came to which end.
    Commits,
    /// How long the store took.
    CommitSeconds,
    /// How many commands met another one.
    Repetitions,
    /// How many looks at the log there were.
    Looks,
    /// How many times memory was dropped.
    Resets,
}

/// The fields of what is told at the end of an operation.
const END: &[&str] = &["operation", "outcome", "code", "staged", "micros"];

impl Signal {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OperationSpan => "operation",
            Self::Began => "operation.began",
            Self::Ended => "operation.ended",
            Self::Failed => "operation.failed",
            Self::Verified => "credential.verified",
            Self::Committed => "commit",
            Self::Looked => "log.looked",
            Self::Reset => "memory.reset",
            Self::Operations => "perfectpay_operations_total",
            Self::OperationSeconds => "perfectpay_operation_seconds",
            Self::Verifications => "perfectpay_verifications_total",
            Self::Commits => "perfectpay_commits_total",
            Self::CommitSeconds => "perfectpay_commit_seconds",
            Self::Repetitions => "perfectpay_repetitions_total",
            Self::Looks => "perfectpay_log_looks_total",
            Self::Resets => "perfectpay_memory_resets_total",
        }
    }

    /// What it is.
    pub const fn kind(self) -> SignalKind {
        match self {
            Self::OperationSpan => SignalKind::Span,
            Self::Began
            | Self::Ended
            | Self::Failed
            | Self::Verified
            | Self::Committed
            | Self::Looked
            | Self::Reset => SignalKind::Event,
            Self::Operations | Self::Verifications | Self::Commits | Self::Repetitions | Self::Looks | Self::Resets => {
                SignalKind::Counter
            }
            Self::OperationSeconds | Self::CommitSeconds => SignalKind::Histogram,
        }
    }

    /// The level of a span or an event; what is counted has the unit: `seconds`, or `count`.
    pub const fn level_or_unit(self) -> &'static str {
        match self {
            Self::OperationSpan | Self::Ended | Self::Committed | Self::Reset => "debug",
            Self::Began | Self::Verified | Self::Looked => "trace",
            Self::Failed => "warn",
            Self::OperationSeconds | Self::CommitSeconds => "seconds",
            Self::Operations | Self::Verifications | Self::Commits | Self::Repetitions | Self::Looks | Self::Resets => {
                "count"
            }
        }
    }

    /// The names of its fields, or labels. One that has nothing to say is left out where it is told.
    pub const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::OperationSpan => &["operation", "actor", "outcome", "code"],
            Self::Began => &["operation", "actor"],
            Self::Ended | Self::Failed => END,
            Self::Verified | Self::Verifications => &["verdict"],
            Self::Committed => &["class", "changes", "outcome", "code", "micros"],
            Self::Looked | Self::Reset => &["position"],
            Self::Operations => &["operation", "outcome"],
            Self::OperationSeconds => &["operation"],
            Self::Commits | Self::CommitSeconds => &["class", "outcome"],
            Self::Repetitions | Self::Looks | Self::Resets => &[],
        }
    }

    /// When it is told.
    pub const fn when(self) -> &'static str {
        match self {
            Self::OperationSpan => "around every operation of a handle, from its first poll to its end",
            Self::Began => "an operation begins, before the caller's key is checked",
            Self::Ended => "an operation is over: it succeeded, was refused, or its future was dropped",
            Self::Failed => "an operation ended as `unavailable`, `unknown_outcome` or `corrupt`",
            Self::Verified | Self::Verifications => "a token was judged by `verify` or `authenticate`",
            Self::Committed | Self::Commits => "the store answered to a set of changes",
            Self::Looked | Self::Looks => "the log was read to bring memory up to it",
            Self::Reset | Self::Resets => "the log did not reach back, and memory is loaded anew",
            Self::Operations => {
                "an operation is over; what is staged in a batch is counted when the batch is committed"
            }
            Self::OperationSeconds => "as those, but for `screen_card` and `decide_payment`, which are not timed",
            Self::CommitSeconds => "how long it took to answer",
            Self::Repetitions => "a command met another one and was decided again",
        }
    }
}
