//! What every [`Store`] must pass, and what hosts and store authors need for tests of their own.
//!
//! # For the author of a store
//!
//! One macro turns the contract into tests, one `#[test]` for each case, named as the sentence that it holds:
//!
//! ```
//! use std::sync::Arc;
//!
//! use perfectpay_memory::MemoryStore;
//!
//! fn open() -> Arc<MemoryStore> {
//!     Arc::new(MemoryStore::new())
//! }
//!
//! perfectpay_testkit::conformance!(open);
//! # // The macro makes tests; the example runs one of its cases as they do.
//! # perfectpay_testkit::run("a_set_is_applied_whole_and_seen_at_once", &mut open());
//! ```
//!
//! `open` makes a fresh, empty store each time it is called. It may answer any [`Fixture`]: a store that keeps files
//! answers one that owns their folder, and that can [open them again](Fixture::reopen). Expand the macro once for every
//! configuration of the store, in a module or a test file of its own.
//!
//! What the cases certify, by the sentences of [`Store`]:
//!
//! - *atomic, checked*: sets of many changes, every error of [`judge`](perfectpay::store::judge) with its code and text,
//!   which of several errors wins, and that a refused set changed nothing that can be read;
//! - *the tree*: unique keys and when they are free again, removals refused and cascading, ids used again;
//! - *isolated, absent is `None`*: every key and every collection by paths that lead elsewhere;
//! - *ordered*: order, ties, cursors, pages while records come and go, counts;
//! - *followed*: the log's order, times, scopes and heads, and a follower beside many writers;
//! - *once*: idempotency keys, replayed, mismatched, expired, of other tenants;
//! - *portable*: exports in order and of one moment, loads written as they are, once, and whole or not at all;
//! - *exact*: texts, times, versions and free objects at their limits;
//! - *together*: racing updates and racing unique keys, dropped futures, and for durable stores opening again.
//!
//! What they cannot see from outside: that a commit is on the disk when power fails, and *honest*, the ninth sentence.
//! A store proves those with faults below it.
//!
//! # For a host
//!
//! [`host`] opens the library with a clock that stands still and randomness that repeats itself, and stands up accounts;
//! [`records`] builds records and a small world; [`faulty`] wraps a store so that a call fails, is slow, or is counted;
//! [`broken`] holds stores that break one sentence each, against which a suite can show that it notices; [`watch`] looks
//! for secrets in whatever a program prints and keeps.
//!
//! Everything here panics by design: a test that cannot go on says so.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "the crate is for tests, which fail by panicking"
)]

use std::fmt::Debug;
use std::sync::Arc;

pub use futures_lite::future::block_on;
use perfectpay::store::Store;

pub mod broken;
mod cases;
pub mod faulty;
pub mod host;
pub mod layer;
pub mod probe;
pub mod records;
pub mod watch;

pub use self::cases::{CASES, Case, run};
pub use self::host::{SeededEntropy, Tenant, TestClock};

/// A fresh store and whatever it needs to live.
pub trait Fixture: Debug {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// Opens the store again as after a crash: without asking the old one to close or to write anything.
    ///
    /// `false`, the default, says that the store is not durable, and the cases about that end there. A fixture that
    /// answers `true` has replaced what [`Self::store`] answers. A case has dropped what it got from there before.
    fn reopen(&mut self) -> bool {
        false
    }
}

impl<S: Store> Fixture for Arc<S> {
    fn store(&self) -> Arc<dyn Store> {
        self.clone()
    }
}

impl Fixture for Arc<dyn Store> {
    fn store(&self) -> Arc<dyn Store> {
        self.clone()
    }
}
