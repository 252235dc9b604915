//! A merchant account's blocklist.

use super::command::{Create, CreateOptions, Remove, RemoveOptions, Update, UpdateOptions};
use super::merchant::{MerchantScope, claimed};
use super::operation::Operation;
use super::session::{at_expected, canonical, settle};
use crate::blocklist::{
    BlockAction, BlockEntries, BlockEntry, BlockKind, BlockRequest, BlockRuleId, BlockRuleState, BlocklistGuard,
    CardNumber, Screening,
};
use crate::error::{EntityKind, Error};
use crate::merchant::{FINGERPRINT, MerchantState};
use crate::page::PageRequest;
use crate::store::{Collection, CommitClass, Key, MerchantPath, Query, Stored};

/// The entries that a merchant account declines cards by, and the switch that lets them.
#[derive(Debug, Clone)]
pub struct BlocklistScope {
    merchant: MerchantScope,
}

impl BlocklistScope {
    pub(super) fn new(merchant: MerchantScope) -> Self {
        Self { merchant }
    }

    /// Adds an entry. It takes effect for the next card that is screened, if the guard is on.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account, [`Error::Invalid`], [`Error::AlreadyExists`] if the value is listed as this
    /// kind.
    pub fn add(&self, new: BlockRequest) -> Create<BlockEntry> {
        let merchant = self.merchant.clone();
        Create::new(async move |options: CreateOptions| {
            let session = &merchant.session;
            let moment = session.begin(Operation::AddBlockRule).await?;
            let loaded = merchant.load().await?;
            let claim = claimed(&loaded, Operation::AddBlockRule, options);
            let request = canonical(&new)?;
            if let Some(first) = session.replay(&claim, &request).await? {
                return Ok(first);
            }
            let state = BlockRuleState {
                kind: new.kind,
                action: BlockAction::Block,
                expires_at: None,
                reason: None,
                source: None,
                author: session.actor.clone(),
                metadata: None,
            };
            let row = Stored::new(loaded.row.tenant, new.id()?, moment, state);
            let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
            set.create(row.clone());
            session.commit_claimed(set, &claim, &request, BlockEntry::from(row)).await
        })
    }

    /// Removes an entry and answers what it was.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the entry, [`Error::Invalid`], [`Error::Stale`].
    pub fn remove(&self, request: BlockRequest) -> Remove<BlockEntry> {
        let merchant = self.merchant.clone();
        Remove::new(async move |options: RemoveOptions| {
            let session = &merchant.session;
            let moment = session.begin(Operation::RemoveBlockRule).await?;
            let id = request.id()?;
            settle!(session, options.expected_version, {
                let key = Key::BlockRule(merchant.path.clone(), id.clone());
                let row: Stored<BlockRuleState> = session.require(&key, &id).await?;
                at_expected(&row, options.expected_version)?;
                let loaded = merchant.load_for(&row).await?;
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                set.remove(row.entity(), row.version, false);
                session.commit(set, Operation::RemoveBlockRule, &options).await?;
                Ok(row.into())
            })
        })
    }

    /// Lists the entries of one kind, or of all, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    pub async fn entries(&self, kind: Option<BlockKind>, page: PageRequest) -> Result<BlockEntries, Error> {
        let session = &self.merchant.session;
        session.begin(Operation::ListBlockRules).await?;
        let query = Query::Within(self.merchant.path.clone(), Collection::BlockRules { kind }, page);
        let listed = session.list_counted::<BlockRuleState>(&query).await?;
        let (rows, total) = listed.ok_or_else(|| self.merchant.absent())?;
        let data: Vec<BlockEntry> = rows.items.into_iter().map(BlockEntry::from).collect();
        let count = u64::try_from(data.len()).unwrap_or(u64::MAX);
        Ok(BlockEntries { count, total_count: total.unwrap_or(count), data, next: rows.next })
    }

    /// Switches the guard on or off; without a status, to the other of the two. Entries stay as they are.
    ///
    /// The switch is part of the merchant account: its version is what the command may expect, and what grows. With a
    /// status the command may be repeated; without one a repetition switches back.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account, [`Error::Stale`].
    pub fn toggle(&self, status: Option<bool>) -> Update<BlocklistGuard> {
        let merchant = self.merchant.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &merchant.session;
            let moment = session.begin(Operation::ToggleBlocklist).await?;
            settle!(session, options.expected_version, {
                let loaded = merchant.load().await?;
                at_expected(&loaded.row, options.expected_version)?;
                let on = status.unwrap_or(!loaded.row.state.blocklist_guard);
                if on != loaded.row.state.blocklist_guard {
                    let state = MerchantState { blocklist_guard: on, ..loaded.row.state.clone() };
                    let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                    set.update(loaded.row.next(moment, state));
                    session.commit(set, Operation::ToggleBlocklist, &status).await?;
                }
                Ok(BlocklistGuard::of(on))
            })
        })
    }

    /// Screens a card: which entry matches it, and whether it is to be declined.
    ///
    /// A store that cannot answer is an error, for the host to pass or to decline; it is never a silent pass. This
    /// version asks the store once for each kind and each live fingerprint secret.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account; [`Error::Corrupt`] if the fingerprint secret does not open.
    pub async fn screen(&self, card: &CardNumber) -> Result<Screening, Error> {
        let session = &self.merchant.session;
        let now = session.begin(Operation::ScreenCard).await?;
        let loaded = self.merchant.load().await?;
        let name = loaded.row.id.to_string();
        let seals = loaded.seals(session, EntityKind::Merchant, &name);
        let mut fingerprints = Vec::with_capacity(1);
        // Newest first: what is answered as the card's fingerprint is the current one.
        for secret in loaded.row.state.fingerprint_secrets.iter().rev() {
            let plain = seals.open(FINGERPRINT, &secret.secret)?;
            fingerprints.push(card.fingerprint(secret.version, &plain));
        }
        let fingerprint = fingerprints.first().cloned().unwrap_or_default();
        let bins =
            [(BlockKind::ExtendedCardBin, card.extended_bin().to_owned()), (BlockKind::CardBin, card.bin().to_owned())];
        let candidates = fingerprints.into_iter().map(|value| (BlockKind::Fingerprint, value)).chain(bins);
        let mut matched = None;
        for (kind, value) in candidates {
            let id = BlockRuleId { kind, value: value.parse()?, profile: None };
            let path = MerchantPath::Pinned(loaded.row.tenant);
            let row: Option<Stored<BlockRuleState>> = session.get(&Key::BlockRule(path, id)).await?;
            let live = row.filter(|row| {
                row.state.action == BlockAction::Block && row.state.expires_at.is_none_or(|end| end > now)
            });
            if let Some(row) = live {
                matched = Some(row.id);
                break;
            }
        }
        Ok(Screening { guard: loaded.row.state.blocklist_guard, matched, fingerprint })
    }
}
