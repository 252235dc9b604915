//! The log for the host: followed, and kept to a length.

use std::time::Duration;

use perfectpay_macros::observed;

use super::operation::Operation;
use super::root::PerfectPay;
use super::session::Session;
use crate::error::Error;
use crate::store::{LogBound, LogEntry, LogPosition, LogQuery, LogScope, MAX_PRUNE_LIMIT, Prune, Pruned};
use crate::time::Timestamp;

/// For how long, in milliseconds, a claim is kept behind its expiry: for a repetition that began before it and is still
/// on its way, and for a process whose clock is a little behind.
const CLAIM_GRACE: i64 = 60_000;

/// Which entries of the log may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogRetention {
    /// Those in front of this position: for example the one that the slowest follower has reached.
    Before(LogPosition),
    /// Those that are older than this, to the millisecond, by the host's [clock](crate::Clock).
    OlderThan(Duration),
}

/// A follower of the whole log, which knows how far it came.
///
/// It misses no entry and sees none twice. What it has seen it does not remember anywhere: a host that keeps
/// [`Self::position`] with what it made of the entries goes on there with [`PerfectPay::log_tail`].
///
/// ```
/// # use std::sync::Arc;
/// # use perfectpay::{Error, MasterKey, PerfectPay, Settings};
/// # use perfectpay_memory::MemoryStore;
/// # fn remember(_: perfectpay::LogPosition) {}
/// # futures_lite::future::block_on(async {
/// # let master_key = MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?;
/// # let pay = PerfectPay::open(Arc::new(MemoryStore::new()), Settings::new(master_key)).await?;
/// # let position = perfectpay::LogPosition::START;
/// let mut tail = pay.log_tail(position);
/// loop {
///     match tail.next(100).await {
///         Ok(entries) if entries.is_empty() => break, // and again in a moment
///         Ok(entries) => println!("{} commits", entries.len()),
///         // Entries that were never seen are gone: the position first, then all that is followed, then on from there.
///         Err(Error::LogPruned { .. }) => tail = pay.log_tail(pay.log_head().await?.position),
///         Err(error) => return Err(error),
///     }
///     remember(tail.position());
/// }
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct LogTail {
    session: Session,
    position: LogPosition,
}

impl LogTail {
    /// The next entries, oldest first, at most `limit` and at most 1,000; none if there are no more yet. Those that are
    /// answered count as seen; a future that is dropped leaves the tail where it was.
    ///
    /// # Errors
    ///
    /// [`Error::LogPruned`] if entries behind the tail's position were pruned, and the store's. The tail stays where it
    /// was.
    #[observed]
    pub async fn next(&mut self, limit: u32) -> Result<Vec<LogEntry>, Error> {
        self.session.begin(Operation::ReadLog).await?;
        let query = LogQuery { scope: LogScope::All, after: self.position, limit };
        let entries = self.session.store().log(&query).await?;
        if let Some(last) = entries.last() {
            self.position = last.position;
        }
        Ok(entries)
    }

    /// The position of the entry that was seen last, or where the tail began.
    pub fn position(&self) -> LogPosition {
        self.position
    }
}

impl PerfectPay {
    /// A follower of the whole log that begins behind `after`: [`LogPosition::START`], or where an earlier one came to.
    pub fn log_tail(&self, after: LogPosition) -> LogTail {
        LogTail { session: self.session.clone(), position: after }
    }

    /// Removes the oldest entries of the log, in one short step of at most 1,000; the newest entry always stays. Objects,
    /// idempotency keys and positions are not touched. Followers and readers that are behind are told from then on
    /// ([`Error::LogPruned`]), and [`Self::log_head`] says up to where, when and by which actor the log was pruned last.
    ///
    /// Repeat it while there is more, as fast as other work allows:
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use perfectpay::{LogRetention, MasterKey, PerfectPay, Settings};
    /// # use perfectpay_memory::MemoryStore;
    /// # futures_lite::future::block_on(async {
    /// # let master_key = MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?;
    /// # let pay = PerfectPay::open(Arc::new(MemoryStore::new()), Settings::new(master_key)).await?;
    /// let ninety_days = LogRetention::OlderThan(Duration::from_secs(90 * 24 * 60 * 60));
    /// while pay.prune_log(ninety_days).await?.more {}
    /// while pay.purge_claims().await?.more {}
    /// # Ok::<(), perfectpay::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// Age is counted by the host's clock alone, so that a time which a wrong clock once left in the log makes no other
    /// entry old.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with code `batch.prune` inside a batch; those of the store.
    #[observed]
    pub async fn prune_log(&self, retention: LogRetention) -> Result<Pruned, Error> {
        let at = self.session.begin(Operation::PruneLog).await?;
        let bound = match retention {
            LogRetention::Before(position) => LogBound::Before(position),
            LogRetention::OlderThan(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                LogBound::OlderThan(self.before_now(age))
            }
        };
        let step = Prune::Log { bound, limit: MAX_PRUNE_LIMIT, at, by: self.session.actor.clone() };
        self.session.store().prune(&step).await
    }

    /// Removes what is kept under idempotency keys that expired a minute ago or earlier, of every tenant, in one short
    /// step of at most 1,000. Repeat it while there is more, as [`Self::prune_log`]. A command that is repeated under
    /// such a key is carried out anew, as it is from the key's expiry on.
    ///
    /// # Errors
    ///
    /// As [`Self::prune_log`].
    #[observed]
    pub async fn purge_claims(&self) -> Result<Pruned, Error> {
        self.session.begin(Operation::PurgeClaims).await?;
        let step = Prune::Claims { expired_at: self.before_now(CLAIM_GRACE), limit: MAX_PRUNE_LIMIT };
        self.session.store().prune(&step).await
    }

    /// So many milliseconds before the clock's present moment.
    pub(super) fn before_now(&self, millis: i64) -> Timestamp {
        let now = self.session.inner.follower.clock();
        Timestamp::from_unix_millis(now.unix_millis().saturating_sub(millis)).unwrap_or(Timestamp::MIN)
    }
}
