//! Routing: which connector accounts are tried for a payment, and in which order.
//!
//! An [`Algorithm`] is what a merchant writes, in the contract's JSON. [`Compiled`] is one that was checked and can be
//! run; [`interpret`] says what it means, and every compiled one answers alike. What is known of a payment are
//! [`PaymentFacts`]; no card number is among them. Whether an account takes a payment at all is the account's to say
//! ([`RoutableAccount::ineligible`]), and [`fallback_order`] is the order where no program says another.
//!
//! A [`Router`] is one profile's routing ready to decide; [`decide`] answers, [`explain`] says why, and
//! [`RetryPolicy`] what follows an attempt.
//!
//! ```text
//! facts ────────────┐
//! guard, screening ─┤            ┌─► Declined { reason, entry }
//! Router ───────────┼─► decide ──┤
//!   = program       │            └─► Candidates [account, why] ─► RetryPolicy::after(outcome) ─► next | end
//!   + accounts      │
//!   + fallback ─────┘
//! ```
//!
//! All of it is values and pure functions: nothing here asks a store, a clock or a generator of random numbers, so that
//! a decision can be replayed.

mod answer;
mod codes;
mod compile;
mod conjunction;
mod country;
mod diff;
mod eligibility;
#[cfg(test)]
mod examples;
mod explain;
mod facts;
mod fallback;
mod index;
pub mod interpret;
mod key;
mod lints;
mod program;
mod record;
mod retry;
mod router;
mod split;
mod tagged;
#[cfg(test)]
mod tests;

pub use self::answer::{Answer, BlockedCard, Candidate, Candidates, DecisionInputs, DeclineReason, GuardReason, Why};
pub use self::compile::{Chosen, Compiled};
pub use self::diff::Difference;
pub use self::eligibility::{Ineligible, RoutableAccount};
pub use self::explain::{FailedComparison, FailedRule, LeftOut, MatchedRule, RoutingExplanation, explain};
pub use self::facts::{
    CardBin, FutureUsage, KnownCard, MandateAcceptanceType, MandateType, PaymentFacts, PaymentType, RoutingMetadata,
    TransactionInitiator,
};
pub use self::fallback::{fallback_order, move_to, reorder};
pub use self::key::RoutingKey;
pub use self::lints::{Lint, LintKind, MAX_ALTERNATIVES};
pub use self::program::{
    Algorithm, Comparison, ComparisonValue, ConnectorChoice, MAX_CHOICES, MAX_COMPARISONS, MAX_METADATA_KEYS,
    MAX_NESTING, MAX_PROGRAM, MAX_RULES, MAX_STATEMENTS, MAX_VALUES, MetadataPair, NumberComparison, NumberRange,
    Operator, Program, RoutingKind, Rule, Selection, SelectionKind, Split, Statement, ValueKind,
};
pub(crate) use self::record::active_version;
pub use self::record::{
    CheckedRouting, FallbackOrder, MAX_VERSIONS, NewRoutingProgram, NewRoutingVersion, RoutingDiff, RoutingProgram,
    RoutingProgramState, RoutingRecord, RoutingVersion, RoutingVersionId, RoutingVersionState, TransactionType,
};
pub use self::retry::{AfterAttempt, DeclineCode, HARD_DECLINES, MAX_RETRIES, Outcome, RetryPolicy, StopReason};
pub use self::router::{ProgramVersion, Router, RouterRecord, SeenAccount, decide};
pub use self::split::{BUCKETS, bucket};
