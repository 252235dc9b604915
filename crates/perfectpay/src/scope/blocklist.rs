//! A merchant account's blocklist.

use super::command::{Create, CreateOptions, Remove, RemoveOptions, Update, UpdateOptions};
use super::merchant::{MerchantScope, claimed};
use super::operation::Operation;
use super::session::{at_expected, canonical, settle};
use crate::blocklist::{
    BlockEntries, BlockEntry, BlockKind, BlockRequest, BlockRule, BlockRuleId, BlockRuleState, BlockScope,
    BlocklistGuard, Candidate, CardFacts, CardNumber, Fingerprint, Screening, decide,
};
use crate::error::{EntityKind, Error};
use crate::merchant::MerchantState;
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
            let id = new.id()?;
            let row = Stored::new(loaded.row.tenant, id, moment, new.into_state(session.actor.clone()));
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
                let key = Key::BlockRule(merchant.path.clone().into(), id.clone());
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
        for secret in &loaded.row.state.fingerprint_secrets {
            let plain = seals.open("fingerprint_secret", &secret.secret)?;
            fingerprints.push(card.fingerprint(secret.version, &plain));
        }
        let facts = CardFacts::new(card.prefix(), fingerprints.iter().map(Fingerprint::to_string))?;
        let mut rules = Vec::new();
        let texts = facts.fingerprints().map(|text| (BlockKind::Fingerprint, text));
        let bins = [(BlockKind::ExtendedCardBin, card.extended_bin()), (BlockKind::CardBin, card.bin())];
        for (kind, value) in texts.chain(bins) {
            let id = BlockRuleId { kind, value: value.parse()?, scope: BlockScope::Merchant };
            let path = MerchantPath::Pinned(loaded.row.tenant);
            let row: Option<Stored<BlockRuleState>> = session.get(&Key::BlockRule(path.into(), id)).await?;
            rules.extend(row.map(BlockRule::from));
        }
        let matched = decide(rules.iter().map(Candidate::from), &facts, now).and_then(|winner| winner.matched());
        let fingerprint = fingerprints.last().copied();
        let guard = loaded.row.state.blocklist_guard;
        Ok(Screening { guard, matched, fingerprint, staleness: std::time::Duration::ZERO })
    }
}
