//! Batches: several commands gathered into one change set, read back before it is committed, and committed as one.
//!
//! [`PerfectPay::batch`] opens one. [`Batch::pay`] is a root handle like any other, on which every operation works: later
//! commands read what earlier ones staged, and nobody else sees any of it. [`Batch::preview`] lists what would change,
//! [`Batch::commit`] does it: all of it in one commit with one entry in the log, or nothing. A batch that is dropped wrote
//! nothing. A command that is refused stages nothing, and the batch goes on without it.
//!
//! ```
//! use std::sync::Arc;
//!
//! use perfectpay::{MasterKey, NewOrganization, PerfectPay, Settings, json};
//! use perfectpay_memory::MemoryStore;
//!
//! # futures_lite::future::block_on(async {
//! # let master_key = MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?;
//! # let pay = PerfectPay::open(Arc::new(MemoryStore::new()), Settings::new(master_key)).await?;
//! let request = "onboarding-1001".parse()?;
//! if pay.committed_batch(&request).await?.is_none() {
//!     let batch = pay.batch();
//!     let group = batch.pay().create_organization(NewOrganization::named("Acme Group".parse()?)).await?;
//!     let group = batch.pay().organization(&group.organization_id);
//!     let shop = group.create_merchant(json::from_slice(br#"{"merchant_id": "acme_us"}"#)?).await?;
//!     let shop = group.merchant(&shop.merchant_id);
//!     shop.create_profile(json::from_slice(br#"{"profile_name": "Web"}"#)?).await?;
//!     shop.blocklist().add(json::from_slice(br#"{"type": "card_bin", "data": "411111"}"#)?).await?;
//!
//!     assert_eq!(batch.preview().len(), 7);
//!     assert!(pay.merchant(&"acme_us".parse()?).retrieve().await.is_err());
//!     batch.commit().idempotency_key(request.clone()).await?;
//! }
//! assert_eq!(pay.log(perfectpay::LogPosition::START, 10).await?.len(), 1);
//! assert!(pay.merchant(&"acme_us".parse()?).retrieve().await.is_ok());
//! assert_eq!(pay.committed_batch(&request).await?.expect("was committed").changes.len(), 7);
//! # Ok::<(), perfectpay::Error>(())
//! # }).unwrap();
//! ```
//!
//! # In one merchant account
//!
//! [`MerchantScope::batch`] opens a batch whose commands are those of one merchant account, for the host and for whoever
//! holds a key of the account: `caller.merchant().batch()`. It reaches what that handle reaches and nothing else. The key
//! is checked again by every command, by the commit, and once more in it: the commit stands on the key as the commands
//! read it. A batch that revokes its own key takes no more commands, and is committed all the same.
//!
//! # When others write meanwhile
//!
//! Every object that the batch read, one by one, is pinned at the version that it was read at. If it has another one when
//! the batch is committed, or is gone, the commit is refused with [`Error::Stale`] or [`Error::NotFound`]; numbers of
//! children that a decision stood on answer [`Error::Moved`]; unique values and parents are judged again. Nothing was
//! written then, and the batch cannot be saved: open another one and give the commands again. Lists that the batch read
//! are not pinned.
//!
//! # One owner, one actor
//!
//! A batch stays within one organization, which may be a new one; a command in another one is refused with the code
//! `batch.other_organization`. Its entry in the log is the merchant account's where only one has a part in it, and the
//! organization none beyond being made; else it is the organization's alone: then [`MerchantScope::log`] does not show it,
//! and [`MerchantScope::log_of`] does. The entry names whoever opened the batch; a command by
//! another actor is refused with the code `batch.other_actor`: a key that is authenticated in the batch may read there.
//! The log as the batch reads it is that of what happened, without the batch.
//!
//! # Removals
//!
//! A removal that cascades is the last command of its batch: what follows is refused with the code
//! `changes.after_cascade`. Whether something has children is counted through the lists, since a store is asked for
//! nothing else: to remove a profile in a batch reads the account's payments.
//!
//! # Idempotency
//!
//! The key belongs to the batch, and is unique among all that the handle creates which opened it: the root handle, or
//! that of the account. One on a command inside is refused with the code `batch.idempotency_key`. It is bound to the staged commands in order: operation, path and
//! request of each. An id that the library made for an object of the batch counts as "the object made in that step", so
//! that the same commands are the same request although their ids are new. Commands that staged nothing do not count.
//! Bodies are bound wholly, their secrets too: another secret is another request.
//!
//! A batch that is repeated may be refused before it is committed: its names are taken by then. Therefore ask
//! [`PerfectPay::committed_batch`] or [`MerchantScope::committed_batch`] first, as above. Where two run at once, the commit of the second one answers as
//! the first did, or [`Error::IdempotencyMismatch`].

use std::fmt;
use std::sync::Arc;

use perfectpay_macros::observed;
use serde::{Deserialize, Serialize};

use super::command::{Create, CreateOptions};
use super::merchant::MerchantScope;
use super::operation::Operation;
use super::overlay::Overlay;
use super::root::PerfectPay;
use super::session::{Claimed, Session};
use crate::error::{Error, Fault};
use crate::id::Incarnation;
use crate::merchant::MerchantState;
use crate::store::{Actor, ChangeSet, IdempotencyKey, Key, LogChange, Receipt, Stored};
use crate::time::Timestamp;

/// Commands that are staged, to be committed as one: on the root handle, or on that of a merchant account. See the
/// [module](self).
///
/// Clones share what is staged.
#[derive(Clone)]
pub struct Batch<H = PerfectPay> {
    /// The session that commits, on the real store.
    session: Session,
    overlay: Arc<Overlay>,
    /// On which commands are staged.
    handle: H,
}

/// What a committed batch changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchReceipt {
    /// Who committed it.
    pub actor: Actor,
    /// What changed, in order, as the log's entry lists it: the ids of what was created among it.
    pub changes: Vec<LogChange>,
    /// Where the entry stands and when it was made; `None` in an answer that is replayed for an idempotency key, which
    /// was sealed before the commit had its place.
    #[serde(skip)]
    pub receipt: Option<Receipt>,
}

impl BatchReceipt {
    /// Whether the answer is that of an earlier commit under the same idempotency key. Nothing was applied then.
    pub fn replayed(&self) -> bool {
        self.receipt.is_none()
    }
}

impl PerfectPay {
    /// Opens a batch. See [`Batch`].
    pub fn batch(&self) -> Batch {
        let (session, overlay) = self.session.batched();
        Batch { session: self.session.clone(), overlay, handle: Self { session } }
    }

    /// What the batch under this idempotency key changed, if it was committed and its key is still kept.
    ///
    /// # Errors
    ///
    /// [`Error::IdempotencyMismatch`] if the key is another command's; those of the store.
    #[observed]
    pub async fn committed_batch(&self, key: &IdempotencyKey) -> Result<Option<BatchReceipt>, Error> {
        self.session.begin(Operation::CommitBatch).await?;
        self.session.kept(Incarnation::PLATFORM, key).await
    }
}

impl MerchantScope {
    /// Opens a batch within the account. See [`Batch`].
    pub fn batch(&self) -> Batch<Self> {
        let (session, overlay) = self.session.batched();
        Batch { session: self.session.clone(), overlay, handle: self.on(session) }
    }

    /// What the batch of this account under this idempotency key changed, if it was committed and its key is still kept.
    /// It is told to whoever committed it, and to whoever may read the account's log, which says the same.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account; [`Error::Forbidden`] for another one's batch; [`Error::IdempotencyMismatch`]
    /// if the key is another command's; those of the store.
    #[observed]
    pub async fn committed_batch(&self, key: &IdempotencyKey) -> Result<Option<BatchReceipt>, Error> {
        self.session.begin(Operation::CommitBatch).await?;
        let row: Stored<MerchantState> = self.session.require(&Key::Merchant(self.path.clone()), &self.name).await?;
        let kept: Option<BatchReceipt> = self.session.kept(row.tenant, key).await?;
        let is_own = |kept: &BatchReceipt| kept.actor == self.session.actor;
        if kept.as_ref().is_none_or(is_own) || self.session.may_read_log() { Ok(kept) } else { Err(Error::Forbidden) }
    }
}

impl Batch {
    /// The root handle on which commands are staged, and which reads what they staged.
    pub fn pay(&self) -> &PerfectPay {
        &self.handle
    }

    /// Commits everything staged, or nothing. The batch then takes no more commands. After an error it is as it was, and
    /// may be committed again where the error allows it.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::Moved`], [`Error::AlreadyExists`] or [`Error::Duplicate`] if what
    /// the batch stood on changed meanwhile; [`Error::IdempotencyMismatch`]; [`Error::Invalid`] with code
    /// `changes.empty` if nothing is staged, `batch.committed` if it was committed, `batch.nested` if the batch was
    /// opened in another one.
    pub fn commit(&self) -> Create<BatchReceipt> {
        let batch = self.clone();
        Create::new(async move |options: CreateOptions| {
            let moment = batch.begin().await?;
            let operation = Operation::CommitBatch;
            let key = options.idempotency_key;
            let claimed = Claimed { operation, tenant: Incarnation::PLATFORM, path: String::new(), key };
            batch.commit_as(&claimed, moment).await
        })
    }
}

impl Batch<MerchantScope> {
    /// The account's handle on which commands are staged, and which reads what they staged.
    pub fn merchant(&self) -> &MerchantScope {
        &self.handle
    }

    /// Commits everything staged, or nothing. The batch then takes no more commands. After an error it is as it was, and
    /// may be committed again where the error allows it.
    ///
    /// # Errors
    ///
    /// As those of a batch on the root handle; [`Error::Unauthorized`] if the key of the handle no longer lives.
    pub fn commit(&self) -> Create<BatchReceipt> {
        let batch = self.clone();
        Create::new(async move |options: CreateOptions| {
            let moment = batch.begin().await?;
            let MerchantScope { path, name, .. } = &batch.handle;
            let row: Stored<MerchantState> = batch.session.require(&Key::Merchant(path.clone()), name).await?;
            let path = format!("{}/{}", row.state.organization_id, row.id);
            let key = options.idempotency_key;
            let claimed = Claimed { operation: Operation::CommitBatch, tenant: row.tenant, path, key };
            batch.commit_as(&claimed, moment).await
        })
    }
}

impl<H> Batch<H> {
    /// What would change, in order, exactly as the log will list it. An object that several commands change is listed
    /// once for each.
    pub fn preview(&self) -> Vec<LogChange> {
        self.overlay.preview()
    }

    async fn begin(&self) -> Result<Timestamp, Error> {
        let moment = self.session.begin(Operation::CommitBatch).await?;
        if self.session.is_batched() {
            return Err(Fault::new("batch.nested", "cannot be committed into another batch").at("batch").into());
        }
        Ok(moment)
    }

    async fn commit_as(&self, claimed: &Claimed, moment: Timestamp) -> Result<BatchReceipt, Error> {
        let (set, committing) = Committing::begin(&self.overlay, moment)?;
        let answer = BatchReceipt { actor: set.actor.clone(), changes: set.logged(), receipt: None };
        let requests = self.overlay.requests();
        let (answer, receipt) = self.session.commit_received(set, claimed, &requests, answer).await?;
        committing.done();
        Ok(BatchReceipt { receipt, ..answer })
    }
}

/// While a batch is committed it takes no more; if that fails, or its future is dropped, it is open again.
struct Committing<'a>(Option<&'a Overlay>);

impl<'a> Committing<'a> {
    fn begin(overlay: &'a Overlay, moment: Timestamp) -> Result<(ChangeSet, Self), Error> {
        let set = overlay.gathered(moment)?;
        Ok((set, Self(Some(overlay))))
    }

    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        if let Some(overlay) = self.0 {
            overlay.reopen();
        }
    }
}

impl<H> fmt::Debug for Batch<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("overlay", &self.overlay).finish_non_exhaustive()
    }
}
