//! How what is kept in memory stays current: the follower reads the log and tells the snapshots what moved.
//!
//! A snapshot is whatever a hot call answers from instead of the store. Its owner implements [`Follows`]; the follower
//! tells it of every configuration commit, and resets it where it cannot. A hot call asks [`Follower::is_fresh`], or
//! awaits [`Follower::freshen`], and then answers from the snapshot.
//!
//! # What holds, and why
//!
//! *Seen* is the position up to which every configuration entry was told to every owner. It is where the log ended when
//! the library was opened, when there was no snapshot yet, and moves only behind entries that were told.
//!
//! 1. **An owner that loads as told reflects all that was seen.** It notes its count of tellings, reads the store, and
//!    keeps what it read only if no telling about it came between. A read shows all commits that were visible when it
//!    began, so everything seen by then; what is seen later is told, and throws the loaded object out, or keeps it from
//!    being kept. This is the cold load that replays what came after, object by object.
//! 2. **An entry is a hint.** It says that an object moved, and never what to make of it: owners drop or read again what
//!    it names. So entries may be told twice and in any order, and there is nothing to undo. An own commit is told when
//!    its receipt arrives, ahead of foreign entries before it, and once more when the log is read.
//! 3. **Own commits.** A commit's receipt tells the owners before the command answers: the next hot call in the process
//!    sees it. Where the receipt is lost, since the future was dropped or the outcome is unknown, the guard made before
//!    the set was queued calls for a look at the log. The store may still apply such a set some moments later,
//!    so the looks go on at every hot call for [`WATCH`].
//! 4. **Others' commits.** A hot call answers only from a look at the log that began at most the bound ago, by the host's
//!    clock; a clock that was set back makes the next call look. A look reads the head, then what is behind *seen*, and
//!    its time is that of its beginning. The bound zero looks at every call; calls that wait share a look that
//!    began after they did.
//! 5. **Failure is told.** A look that fails moves nothing: whoever waits for it gets its error, and the next call looks
//!    again. A future that is dropped in the middle has told whole pages only, and *seen* says which.
//! 6. **A log that does not reach back** (its old entries were pruned, an older copy of the file was put in place, or more
//!    happened than is worth telling one by one) resets all owners, and *seen* is the head that was read before. Loads
//!    that were under way are thrown away as in 1.
//!
//! What is not promised: between the moment a commit is applied and the moment its receipt is polled, a read that goes to
//! the store sees it, and a hot call may not yet. A commit within the host's own transaction has no receipt here: the host
//! calls [`PerfectPay::catch_up`](super::PerfectPay::catch_up) after its `COMMIT`, or it is seen within the bound.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::meters;
use super::observed::{self, End};
use crate::error::Error;
use crate::signal::{Signal, TARGET};
use crate::store::{
    ChangeSet, CommitClass, Committed, Head, LogEntry, LogPosition, LogQuery, LogScope, MAX_LOG_LIMIT, Receipt, Store,
};
use crate::time::{Clock, Timestamp};

/// For how long every hot call looks at the log after a commit whose receipt was lost, in milliseconds: longer than a
/// store lets a queued set wait, unless that is one of the largest; behind it the bound holds.
const WATCH: i64 = 10_000;

/// How many pages of the log are told one by one; behind more, everything is loaded anew.
const PAGES: u32 = 100;

/// Owns something that is kept in memory, and is told when it moved.
///
/// Both methods are called from several threads at once, and must not wait for the store.
pub(crate) trait Follows: fmt::Debug + Send + Sync {
    /// The objects that the entry names moved. May be told more than once, and own commits ahead of their turn.
    ///
    /// An entry without a merchant account is that of an organization, or a batch over several of its accounts: its
    /// changes may then belong to any of them. A removal names the top of what went; all below it went, too.
    fn apply(&self, entry: &LogEntry);

    /// Nothing that was loaded may be used any more.
    fn reset(&self);
}

/// How current answers from memory are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Freshness {
    /// Every configuration commit up to this position of the log is reflected.
    pub position: LogPosition,
    /// When the log was last looked at, by the host's clock. Nothing that other processes committed before is missing.
    pub looked_at: Timestamp,
}

pub(crate) struct Follower {
    owners: Vec<Arc<dyn Follows>>,
    clock: Arc<dyn Clock>,
    /// In milliseconds.
    bound: i64,
    /// The newest moment seen in the log, in Unix milliseconds.
    newest: AtomicI64,
    /// From when to when the last look suffices, `from` included and `until` not, by the host's clock in Unix
    /// milliseconds. Written under `looked`; `until` is `i64::MIN` where a look is due.
    fresh_from: AtomicI64,
    fresh_until: AtomicI64,
    looked: Mutex<Looked>,
    /// How many looks have begun. One number is handed to each.
    begun: AtomicU64,
    /// Who holds it looks. The number is the last look's that succeeded.
    look: async_lock::Mutex<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Looked {
    seen: LogPosition,
    at: Timestamp,
    /// Until when every call looks, since a receipt was lost.
    watch_until: i64,
}

impl Follower {
    /// A follower of the log from `head` on. The owners have loaded nothing before the head was read, which was not before
    /// `now`.
    pub(super) fn new(
        owners: Vec<Arc<dyn Follows>>,
        clock: Arc<dyn Clock>,
        bound: Duration,
        now: Timestamp,
        head: &Head,
    ) -> Self {
        let bound = i64::try_from(bound.as_millis()).unwrap_or(i64::MAX);
        let from = now.unix_millis();
        Self {
            owners,
            clock,
            bound,
            newest: AtomicI64::new(head.at.unix_millis()),
            fresh_from: AtomicI64::new(from),
            fresh_until: AtomicI64::new(from.saturating_add(bound)),
            looked: Mutex::new(Looked { seen: head.position, at: now, watch_until: i64::MIN }),
            begun: AtomicU64::new(0),
            look: async_lock::Mutex::new(0),
        }
    }

    /// The moment of an operation: the later of the host's clock and the newest time in the log.
    pub(super) fn moment(&self) -> Timestamp {
        self.moment_at(self.clock.now())
    }

    /// The moment of an operation that has read the host's clock.
    pub(super) fn moment_at(&self, clock: Timestamp) -> Timestamp {
        let newest = Timestamp::from_unix_millis(self.newest.load(Ordering::Relaxed));
        clock.max(newest.unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// The host's clock, as [`Self::is_fresh`] takes it.
    pub(super) fn clock(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a hot call may answer from memory at this moment of the host's clock.
    pub(super) fn is_fresh(&self, clock: Timestamp) -> bool {
        let now = clock.unix_millis();
        // In this order: whoever renews them first takes `until` away.
        now < self.fresh_until.load(Ordering::Acquire) && now >= self.fresh_from.load(Ordering::Acquire)
    }

    /// How long ago the last look began, by a moment of the host's clock.
    pub(super) fn age(&self, clock: Timestamp) -> Duration {
        let from = self.fresh_from.load(Ordering::Acquire);
        let millis = u64::try_from(clock.unix_millis().saturating_sub(from)).unwrap_or_default();
        Duration::from_millis(millis)
    }

    /// Ready at once where [`Self::is_fresh`], else behind a look at the log.
    pub(super) async fn freshen(&self, store: &dyn Store) -> Result<(), Error> {
        if self.is_fresh(self.clock.now()) {
            return Ok(());
        }
        let arrived = self.begun.load(Ordering::Acquire);
        let mut last = self.look.lock().await;
        if *last > arrived || self.is_fresh(self.clock.now()) {
            return Ok(());
        }
        self.look(store, &mut last).await
    }

    /// Looks at the log, or waits for a look that began after this was called.
    pub(super) async fn catch_up(&self, store: &dyn Store) -> Result<Freshness, Error> {
        let arrived = self.begun.load(Ordering::Acquire);
        let mut last = self.look.lock().await;
        if *last <= arrived {
            self.look(store, &mut last).await?;
        }
        Ok(self.freshness())
    }

    pub(super) fn freshness(&self) -> Freshness {
        let looked = self.looked();
        Freshness { position: looked.seen, looked_at: looked.at }
    }

    /// How long whoever follows on a runtime may pause, so that no hot call has to look.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.bound / 2).unwrap_or_default().clamp(10, 60_000))
    }

    async fn look(&self, store: &dyn Store, last: &mut u64) -> Result<(), Error> {
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let began = self.clock.now();
        let head = store.head().await?;
        self.saw(head.at);
        self.replay(store, &head).await?;
        let mut looked = self.looked();
        meters::looked();
        tracing::trace!(name: Signal::Looked.name(), target: TARGET, position = %looked.seen, "looked");
        looked.at = began;
        let from = began.unix_millis();
        // A receipt that was lost, before or meanwhile, may be that of a commit behind the head.
        if from >= looked.watch_until {
            self.fresh_until.store(i64::MIN, Ordering::Release);
            self.fresh_from.store(from, Ordering::Release);
            self.fresh_until.store(from.saturating_add(self.bound), Ordering::Release);
        }
        *last = number;
        Ok(())
    }

    /// Tells the owners what is between *seen* and the head.
    async fn replay(&self, store: &dyn Store, head: &Head) -> Result<(), Error> {
        for _ in 0..PAGES {
            let after = self.looked().seen;
            if head.position < after {
                break;
            }
            if head.configuration <= after {
                // Up to the head all are told, whatever class the last ones have.
                self.looked().seen = head.position;
                return Ok(());
            }
            let query = LogQuery { scope: LogScope::Configuration, after, limit: MAX_LOG_LIMIT };
            let page = match store.log(&query).await {
                // What happened meanwhile was forgotten.
                Err(Error::LogPruned { .. }) => break,
                page => page?,
            };
            let Some(last) = page.last() else { break };
            for entry in &page {
                self.tell(entry);
            }
            // More may have come since the head was read; that was told, too.
            let seen =
                if last.position < head.configuration { last.position } else { last.position.max(head.position) };
            self.looked().seen = seen;
            if seen >= head.position {
                return Ok(());
            }
        }
        self.reset(head);
        Ok(())
    }

    /// The entries between *seen* and the head cannot be told. Nothing is awaited in between: whoever loads from now on
    /// reads what the head stands for, or newer.
    fn reset(&self, head: &Head) {
        meters::reset();
        tracing::debug!(name: Signal::Reset.name(), target: TARGET, position = %head.position, "reset");
        for owner in &self.owners {
            owner.reset();
        }
        self.looked().seen = head.position;
    }

    fn tell(&self, entry: &LogEntry) {
        for owner in &self.owners {
            owner.apply(entry);
        }
    }

    fn saw(&self, at: Timestamp) {
        self.newest.fetch_max(at.unix_millis(), Ordering::Relaxed);
    }

    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits a set: whoever answers from memory in this process sees it from then on.
    pub(super) async fn commit(&self, store: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
        let mut awaited = Awaited { follower: self, entry: None, open: false };
        if set.class == CommitClass::Configuration {
            awaited.entry = Some(entry_of(&set));
            awaited.open = true;
        }
        let watch = observed::Commit::begins(set.class.into(), set.changes.len());
        let committed = store.commit(set).await;
        watch.over(End::of(&committed));
        awaited.answered(&committed);
        committed
    }
}

/// A commit that was queued, and whose receipt is awaited. Dropped without it, it calls for looks at the log.
struct Awaited<'a> {
    follower: &'a Follower,
    entry: Option<LogEntry>,
    open: bool,
}

impl Awaited<'_> {
    fn answered(mut self, committed: &Result<Committed, Error>) {
        // Every other error means that nothing was written.
        self.open = self.open && matches!(committed, Err(Error::OutcomeUnknown { .. }));
        if let Ok(Committed::Applied(Receipt { position, at })) = committed {
            self.follower.saw(*at);
            if let Some(entry) = self.entry.take() {
                self.follower.tell(&LogEntry { position: *position, at: *at, ..entry });
            }
        }
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        if self.open {
            let mut looked = self.follower.looked();
            looked.watch_until = self.follower.clock.now().unix_millis().saturating_add(WATCH);
            self.follower.fresh_until.store(i64::MIN, Ordering::Release);
        }
    }
}

/// The entry that the set will leave; its place and time come with the receipt.
fn entry_of(set: &ChangeSet) -> LogEntry {
    LogEntry {
        position: LogPosition::START,
        at: set.at,
        actor: set.actor.clone(),
        class: set.class,
        organization_id: set.owner.organization.as_ref().map(|tenant| tenant.id.clone()),
        merchant_id: set.owner.merchant.as_ref().map(|tenant| tenant.id.clone()),
        changes: set.logged(),
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("bound", &self.bound).field("looked", &self.looked()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
