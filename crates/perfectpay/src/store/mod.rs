//! The Store contract: how everything is kept, and how little a back-end has to know.
//!
//! A back-end implements [`Store`], thirteen methods. One of them writes what a command decided: [`Store::commit`] applies a
//! [`ChangeSet`] whole or not at all, and appends one [`LogEntry`] in the same transaction. [`Store::prune`] forgets old
//! entries, claims and stages, a bounded step at a time, and never a record. The rules of payments are not in here; a store
//! knows kinds of records, who is whose child, which keys are unique, and versions. What it must check when it commits
//! is [`judge`], written once as code that a back-end may call.
//!
//! Identity: a tenant is its [`Incarnation`], which is in every row; ids, which can be used again,
//! lead to it. Reads therefore take a *path* of ids ([`Key`], [`Query`]), and a path that does not match the stored
//! hierarchy is absent, whoever owns what lies at its end.
//!
//! [`copy`] takes a whole store, or one organization, into another one by [`Store::export`] and [`Store::import`], which
//! hand [`Load`]s over; [`digest`] says whether two stores hold the same.

mod change;
mod copy;
mod judge;
mod key;
mod load;
mod log;
mod prune;
mod record;
mod stage;

use std::fmt::Debug;

use async_trait::async_trait;

pub use self::change::{
    Change, ChangeSet, CommitClass, Committed, Expectation, IdempotencyClaim, IdempotencyKey, NO_USE_LEFT, Owner,
    Receipt, TenantRef,
};
pub use self::copy::{CopyProgress, CopyReport, CopyStep, TenantDigest, copy, digest};
pub use self::judge::{Premises, Verdict, judge, stage_gone};
pub use self::key::{
    BlockPage, BlockScan, BlockSelect, BlocklistPath, Collection, Key, Listing, MAX_COUNTED_LINKS, MAX_SCAN_LIMIT,
    MerchantPath, Order, OrganizationPath, Query, UseCount,
};
pub use self::load::{
    BELOW_MERCHANT, Export, Extent, Item, Load, LoadPremises, LogBeginning, Logged, MAX_LOAD_BYTES, MAX_LOAD_ITEMS,
    Packed, Packer, judge_load,
};
pub use self::log::{Head, LogChange, LogEntry, LogPosition, LogQuery, LogScope, MAX_LOG_LIMIT, Verb};
pub use self::prune::{LogBound, LogPruning, MAX_PRUNE_LIMIT, MAX_STAGED_PRUNE_LIMIT, Prune, Pruned};
pub use self::record::{Record, RowMeta, UniqueKey};
pub use self::stage::{STAGE_GONE, StageId, StageView, StagedPart, StagedRules};
pub use crate::actor::Actor;
pub use crate::api_key::{KeyFilter, KeyUse};
pub use crate::blocklist::{BlockCount, BlockRow, BlockRows, ExpiredRules, NewRules, RowScope, SortedRows};
use crate::error::Error;
use crate::id::Incarnation;
pub use crate::payment::Uses;
pub use crate::stored::{EntityRef, State, Stored};

/// Keeps records. See the [module](self) for the contract as a whole; what follows are its sentences, each held by
/// cases of the testkit.
///
/// 1. **Atomic.** A commit applies every change in order, or none; its entry in the log is part of it. Once `commit`
///    returns, every later read sees it, and it is as durable as the store promises.
/// 2. **Checked.** A commit that [`judge`] refuses changes nothing, leaves no entry in the log, and answers with
///    `judge`'s error, also when other commits run at the same moment.
/// 3. **Isolated.** A read answers only from what its path names. A foreign object is answered as an absent one.
/// 4. **Absent is `None`.** Neither `get` nor `list` turns absence into an error.
/// 5. **Ordered.** A list has the order that its [`Collection`] names, ties broken by id as bytes; its cursor is
///    exclusive; records that come or go between two pages are never the cause that another is skipped or repeated.
/// 6. **Followed.** [`LogPosition`]s are ordered as commits become visible. A reader that asks again and again for what
///    comes after the last position it saw misses no commit and sees none twice, whatever is committed meanwhile. A
///    position is not a count: numbers may be left out.
/// 7. **Exact.** Records read back equal to what was written: text keeps its case and characters, times their
///    milliseconds.
/// 8. **Cancel-safe.** A future that is dropped leaves the commit wholly done or wholly not done, and the store usable.
/// 9. **Honest.** A write whose outcome the store cannot know answers [`Error::OutcomeUnknown`], and the store then
///    refuses to write until it is opened again. Every other error means that nothing was written.
/// 10. **Pruned in the open.** Entries of the log and expired claims go by [`Self::prune`] alone, or claims with their
///     tenant. A read of the log behind a position in front of the kept part is refused, whosever log it reads, so that
///     nobody misses an entry without being told. Records, heads and positions are as if nothing had been pruned.
/// 11. **Portable.** An export is the store at one moment, whatever is committed meanwhile, complete and in the order of
///     [`Load`]s. An import writes a load as it is, whole or not at all; what is there already and equal it leaves alone,
///     and of a load that [`judge_load`] refuses it writes nothing.
/// 12. **Staged apart.** What is on a [stage](StagedPart) is no entry: no read, list, count, log or export has anything
///     of it until the commit that makes it live, and that commit is as atomic as every other. A stage goes with its
///     tenant.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// Applies the changes, or none of them, and appends one entry to the log.
    ///
    /// Where the set claims an idempotency key that is already kept and not expired at the set's time, nothing is
    /// applied: the answer is [`Committed::Replayed`] if the requests are equal.
    ///
    /// The entry's time is the later of the set's time and the newest entry's, so that the log's times never step back.
    ///
    /// # Errors
    ///
    /// What [`judge`] answers; [`Error::Unavailable`], [`Error::OutcomeUnknown`] and [`Error::Corrupt`] from the engine.
    async fn commit(&self, set: ChangeSet) -> Result<Committed, Error>;

    /// One record, or `None` if the path does not lead to a living one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Corrupt`] from the engine.
    async fn get(&self, key: &Key) -> Result<Option<Record>, Error>;

    /// One page of a collection, or `None` if the path does not lead to a living parent.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    async fn list(&self, query: &Query) -> Result<Option<Listing>, Error>;

    /// A part of a blocklist, or `None` if the path does not lead to a living organization or merchant account. A list of
    /// millions is read by it, from name to name: it costs what reading the rows costs.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    async fn block_rules(&self, scan: &BlockScan) -> Result<Option<BlockPage>, Error>;

    /// How many uses of each of these links stand at a moment, in the links' order, or `None` if the path does not lead to
    /// a living merchant account. A link that does not live has none.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    async fn uses(&self, count: &UseCount) -> Result<Option<Vec<Uses>>, Error>;

    /// What is kept under an idempotency key of a tenant, expired or not.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    async fn claim(&self, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error>;

    /// Entries of the log, oldest first. Entries of removed tenants stay.
    ///
    /// # Errors
    ///
    /// As [`Self::get`], and [`Error::LogPruned`] if the query's `after` is before the newest position that was pruned,
    /// in every scope and whether an entry of that scope was pruned or not. [`LogPosition::START`] is such a position on
    /// every pruned log: what is answered behind it is the whole log, or an error. Of an organization that was
    /// [copied](copy()) from a pruned store, what was pruned there was never in this log.
    async fn log(&self, query: &LogQuery) -> Result<Vec<LogEntry>, Error>;

    /// Where the log ends, and where it begins.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    async fn head(&self) -> Result<Head, Error>;

    /// Puts rows on a stage, for a list that is too long for one set. It is as atomic, durable, cancel-safe and honest as
    /// a commit, and leaves no entry in the log. The first part makes the stage.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], if the list's owner does not live; [`stage_gone`], if the part's ordinal is not the next one of
    /// the stage, or the stage is another list's, was made live or begun to be removed; [`Error::Unavailable`],
    /// [`Error::OutcomeUnknown`] and [`Error::Corrupt`] from the engine.
    async fn stage(&self, part: StagedPart) -> Result<(), Error>;

    /// The numbers of the rows of a stage that could not be made live now, in ascending order: an entry of the list has
    /// their name, or a row of the stage with a lower number. `None` if there is no such stage of this list, or it was
    /// made live or begun to be removed.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    async fn taken(&self, of: &EntityRef, stage: StageId) -> Result<Option<Vec<u64>>, Error>;

    /// Removes the oldest entries of the log, expired claims on idempotency keys, or what is left of stages: at most as many as the step says,
    /// so that nobody who commits waits for long. It is as atomic, durable, cancel-safe and honest as a commit, may be
    /// repeated at any time, and leaves no entry in the log; the [`LogPruning`] it leaves is part of the [`Head`].
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::OutcomeUnknown`] and [`Error::Corrupt`] from the engine.
    async fn prune(&self, prune: &Prune) -> Result<Pruned, Error>;

    /// What the store holds at one moment, as loads for another store. The moment is before this answers.
    ///
    /// An export that is not taken to its end, nor dropped, may keep a store from tidying up behind its commits, and one
    /// that has a single connection from committing.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    async fn export(&self, extent: &Extent) -> Result<Box<dyn Export>, Error>;

    /// Writes what another store exported as it is, versions, times, sealed values and all, without an entry of its own
    /// in the log. It answers the position of the load's last entry in this store, or [`LogPosition::START`] if the load
    /// has none.
    ///
    /// # Errors
    ///
    /// What [`Load::check`] and [`judge_load`] answer; else as [`Self::commit`].
    async fn import(&self, load: Load) -> Result<LogPosition, Error>;
}
