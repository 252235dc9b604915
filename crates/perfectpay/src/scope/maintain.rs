//! What authentication leaves behind for later: last uses of API keys, and digests under a former pepper.
//!
//! Authentication never writes. What it saw waits in memory, up to a bound, until the host has time.

use perfectpay_macros::observed;
use serde::Serialize;

use super::key_table::Known;
use super::operation::Operation;
use super::root::PerfectPay;
use super::rotation::{ATTEMPTS, is_another_commit, refuse_batch};
use super::session::Session;
use crate::api_key::{ApiKeyState, KeyUse, TokenDigest};
use crate::error::Error;
use crate::store::{Change, CommitClass, Key, MAX_STAGED_PRUNE_LIMIT, MerchantPath, Owner, Prune, Stored};
use crate::time::Timestamp;

/// How many uses are marked in one step.
const MARKED_AT_ONCE: usize = 1_000;
/// How many keys get another digest in one step.
const DIGESTED_AT_ONCE: usize = 100;
/// How long an import may rest between two parts, in milliseconds: a day.
const ABANDONED: i64 = 86_400_000;

/// What one step of [`PerfectPay::maintain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Maintained {
    /// How many keys' last uses were written down.
    pub uses: u64,
    /// How many keys are kept under the current pepper since, that were kept under a former one.
    pub digests: u64,
    /// How many expired idempotency keys were removed.
    pub claims: u64,
    /// How many rows were removed that imports had put aside and left behind.
    pub staged: u64,
    /// Whether there is more to do: then another step follows.
    pub more: bool,
}

impl PerfectPay {
    /// Does in one short step what can wait: writes down when API keys were last used, keeps keys that were used and whose
    /// digest is under a former pepper under the current one, removes expired idempotency keys as
    /// [`Self::purge_claims`] does, and what imports left behind, of those that were interrupted a day later. A host calls it every minute or so, and again while there is more; before it ends,
    /// too, since what was not written down is forgotten then.
    ///
    /// Last uses are coarse: of a key one use an hour is written down. They make no version of a key, and one line of
    /// the log that names none. Another digest makes a version; the key's answer is the same. Which
    /// entries of the log may go is the host's own decision: [`Self::prune_log`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use perfectpay::{MasterKey, PerfectPay, Settings};
    /// # use perfectpay_memory::MemoryStore;
    /// # futures_lite::future::block_on(async {
    /// # let master_key = MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?;
    /// # let pay = PerfectPay::open(Arc::new(MemoryStore::new()), Settings::new(master_key)).await?;
    /// while pay.maintain().await?.more {}
    /// # Ok::<(), perfectpay::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with code `batch.rotation` in a batch; those of the store, after which what was not done waits for
    /// the next call.
    #[observed]
    pub async fn maintain(&self) -> Result<Maintained, Error> {
        let session = &self.session;
        let now = session.begin(Operation::Maintain).await?;
        refuse_batch(session)?;
        let keys = &session.inner.keys;
        // What is taken by one is done when the next one takes.
        let turn = keys.maintenance().await;
        let uses = mark(session, now).await?;
        let digests = digest_anew(session, now).await?;
        drop(turn);
        let claims = self.purge_claims().await?;
        let left = Prune::Stages { untouched_since: self.before_now(ABANDONED), limit: MAX_STAGED_PRUNE_LIMIT };
        let stages = session.store().prune(&left).await?;
        let more = claims.more || stages.more || keys.waits();
        Ok(Maintained { uses, digests, claims: claims.removed, staged: stages.removed, more })
    }
}

async fn mark(session: &Session, now: Timestamp) -> Result<u64, Error> {
    let keys = &session.inner.keys;
    let used = keys.used(MARKED_AT_ONCE);
    if used.is_empty() {
        return Ok(0);
    }
    let marks = used.iter().map(|(known, at)| KeyUse { tenant: known.tenant, id: known.key.key_id.clone(), at: *at });
    // They belong to no one tenant, and no decision is made from them.
    let mut set = session.changes(Owner::default(), now, CommitClass::Operational);
    set.changes.push(Change::MarkUsed(marks.collect()));
    session.commit(set, Operation::Maintain, &()).await?;
    keys.marked(used.len());
    Ok(count(used.len()))
}

async fn digest_anew(session: &Session, now: Timestamp) -> Result<u64, Error> {
    let keys = &session.inner.keys;
    let due = keys.due(DIGESTED_AT_ONCE);
    if due.is_empty() {
        return Ok(0);
    }
    let mut attempts = ATTEMPTS;
    let done = loop {
        let mut set = session.changes(Owner::default(), now, CommitClass::Operational);
        for (known, digest) in &due {
            if let Some(next) = under_current(session, known, digest, now).await? {
                set.update(next);
            }
        }
        let changes = set.changes.len();
        if changes == 0 {
            break 0;
        }
        match session.commit(set, Operation::Maintain, &()).await {
            Ok(_) => break count(changes),
            // One of them went or was changed meanwhile.
            Err(error) if is_another_commit(&error) && attempts > 0 => attempts -= 1,
            Err(error) => return Err(error),
        }
    };
    keys.digested(&due);
    Ok(done)
}

/// The key's next version under the current pepper, unless it went or is there already.
async fn under_current(
    session: &Session,
    known: &Known,
    digest: &TokenDigest,
    now: Timestamp,
) -> Result<Option<Stored<ApiKeyState>>, Error> {
    let path = Key::ApiKey(MerchantPath::Pinned(known.tenant), known.key.key_id.clone());
    let row: Option<Stored<ApiKeyState>> = session.get(&path).await?;
    let row = row.filter(|row| row.state.digest.as_ref().is_some_and(|kept| known.is_under(kept)));
    Ok(row.map(|row| {
        let state = ApiKeyState { digest: Some(digest.clone()), ..row.state.clone() };
        Stored { modified_at: row.modified_at, ..row.next(now, state) }
    }))
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
