//! Routing: which connector accounts are tried for a payment, and in which order.
//!
//! An [`Algorithm`] is what a merchant writes, in the contract's JSON. What is known of a payment are [`PaymentFacts`];
//! no card number is among them. All of it is values and pure functions: nothing here asks a store, a clock or a
//! generator of random numbers, so that a decision can be replayed.

mod diff;
mod facts;
mod key;
mod program;
mod record;
mod retry;
mod tagged;

pub use self::diff::Difference;
pub use self::facts::{
    CardBin, FutureUsage, KnownCard, MandateAcceptanceType, MandateType, PaymentFacts, PaymentType, RoutingMetadata,
    TransactionInitiator,
};
pub use self::key::RoutingKey;
pub use self::program::{
    Algorithm, Comparison, ComparisonValue, ConnectorChoice, MAX_CHOICES, MAX_COMPARISONS, MAX_METADATA_KEYS,
    MAX_NESTING, MAX_PROGRAM, MAX_RULES, MAX_STATEMENTS, MAX_VALUES, MetadataPair, NumberComparison, NumberRange,
    Operator, Program, RoutingKind, Rule, Selection, SelectionKind, Split, Statement, ValueKind,
};
pub use self::record::{
    MAX_VERSIONS, NewRoutingProgram, NewRoutingVersion, RoutingDiff, RoutingProgram, RoutingProgramState,
    RoutingRecord, RoutingVersion, RoutingVersionId, RoutingVersionState, TransactionType,
};
pub use self::retry::{AfterAttempt, DeclineCode, HARD_DECLINES, MAX_RETRIES, Outcome, RetryPolicy, StopReason};
