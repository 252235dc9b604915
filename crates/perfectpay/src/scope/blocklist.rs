//! A merchant account's blocklist: the switch, screening, and the fingerprint secrets.

use std::time::Duration;

use perfectpay_macros::observed;
use zeroize::Zeroizing;

use super::command::{Update, UpdateOptions};
use super::lists::Ready;
use super::merchant::{Loaded, MerchantScope};
use super::operation::Operation;
use super::rules::{Rules, Whose};
use super::screen::Screen;
use super::screener::Screener;
use super::session::{Session, at_expected, settle};
use crate::blocklist::{
    BlockKind, BlockRule, BlockRuleId, BlockRuleState, BlockScope, BlocklistGuard, Candidate, CardFacts,
    CardInfoSource, CardNumber, Explanation, Fingerprint, FingerprintVersion, ScreenedCard, Screening, decide,
};
use crate::error::{Entity, EntityKind, Error, Fault};
use crate::id::ProfileId;
use crate::merchant::{FINGERPRINT, FingerprintSecret, MAX_FINGERPRINT_SECRETS, MerchantState};
use crate::page::{Cursor, MAX_LIMIT, PageRequest};
use crate::store::{
    BlockCount, BlockScan, BlockSelect, BlocklistPath, Collection, CommitClass, Expectation, Key, MerchantPath,
    OrganizationPath, Query, Stored,
};
use crate::time::Timestamp;

/// The entries that a merchant account, or one profile of it, declines cards by, and the switch that lets them.
///
/// The handle of a profile ([`ProfileScope::blocklist`](crate::ProfileScope::blocklist)) adds, removes and lists entries
/// that hold in the profile, and screens cards as they are used there. The switch, the fingerprint secrets, imports and
/// purges are the account's.
#[derive(Debug, Clone)]
pub struct BlocklistScope {
    pub(super) rules: Rules,
    merchant: MerchantScope,
}

/// What a card is screened with.
struct Facts {
    loaded: Loaded,
    card: CardFacts,
    /// The current one.
    fingerprint: Option<Fingerprint>,
}

impl BlocklistScope {
    pub(super) fn new(merchant: MerchantScope, profile: Option<ProfileId>) -> Self {
        let scope = profile.map_or(BlockScope::Merchant, BlockScope::Profile);
        Self { rules: Rules { whose: Whose::Merchant(merchant.clone()), scope }, merchant }
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

    /// Screens a card: which entry decides, and whether the card is to be declined.
    ///
    /// The answer comes from memory. The first call loads the account's list and its organization's; from then on a call
    /// asks the store for nothing but what was committed meanwhile, and allocates nothing. Commits of this process count at
    /// once, others' within [`Settings::staleness`](crate::Settings::staleness): [`Screening::staleness`] says how far the
    /// answer may be behind. A list that cannot be read is an error, for the host to pass or to decline; it is never a
    /// silent pass. In a batch the store is asked, with what the batch staged.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account, or for the profile; [`Error::Corrupt`] if the fingerprint secret does not open;
    /// those of the store.
    #[observed(in_place)]
    pub async fn screen(&self, card: &CardNumber) -> Result<Screening, Error> {
        let session = &self.merchant.session;
        let now = session.begin(Operation::ScreenCard).await?;
        if session.is_batched() {
            return self.screened(&self.facts_of(card).await?, now).await;
        }
        self.in_memory(|screen| screen.card(card)).await
    }

    /// Screens many cards at once, in their order. Each costs half of what it costs alone, or less, where the processor has
    /// wide vectors.
    ///
    /// # Errors
    ///
    /// As [`screen`](Self::screen).
    #[observed(in_place)]
    pub async fn screen_many(&self, cards: &[CardNumber]) -> Result<Vec<Screening>, Error> {
        let session = &self.merchant.session;
        let now = session.begin(Operation::ScreenCard).await?;
        if session.is_batched() {
            let mut screenings = Vec::with_capacity(cards.len());
            for card in cards {
                screenings.push(self.screened(&self.facts_of(card).await?, now).await?);
            }
            return Ok(screenings);
        }
        self.in_memory(|screen| screen.cards(cards)).await
    }

    /// Screens a card whose number the host does not have. See [`screen`](Self::screen).
    ///
    /// # Errors
    ///
    /// As [`screen`](Self::screen).
    #[observed(in_place)]
    pub async fn screen_facts(&self, card: &CardFacts) -> Result<Screening, Error> {
        let session = &self.merchant.session;
        let now = session.begin(Operation::ScreenCard).await?;
        if session.is_batched() {
            let facts = Facts { loaded: self.merchant.load().await?, card: card.clone(), fingerprint: None };
            return self.screened(&facts, now).await;
        }
        self.in_memory(|screen| screen.facts(card)).await
    }

    /// Whether the caller's key is for the profile whose cards are screened: memory answers for whoever asks.
    async fn reached(&self) -> Result<(), Error> {
        let session = &self.merchant.session;
        if let BlockScope::Profile(profile) = &self.rules.scope
            && !session.is_for(profile)
        {
            // It is absent, or else forbidden.
            let key = Key::Profile(self.merchant.path.clone(), profile.clone());
            session.require::<crate::profile::ProfileState>(&key, profile).await?;
        }
        Ok(())
    }

    /// Answers from the compiled lists, once they are current.
    async fn in_memory<T>(&self, answer: impl FnOnce(&Screen<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let (ready, clock) = self.ready().await?;
        answer(&ready.screen(&self.merchant.session, clock))
    }

    /// The compiled lists, current, and the moment of the host's clock at which they are.
    pub(super) async fn ready(&self) -> Result<(Ready, Timestamp), Error> {
        let session = &self.merchant.session;
        self.reached().await?;
        let (lists, follower) = (&session.inner.lists, &session.inner.follower);
        let mut clock = follower.clock();
        if !follower.is_fresh(clock) {
            follower.freshen(session.store()).await?;
            clock = follower.clock();
        }
        let profile = match &self.rules.scope {
            BlockScope::Profile(profile) => Some(profile),
            BlockScope::Merchant | BlockScope::Organization => None,
        };
        let ready = lists.ready(session, &self.merchant.path, profile, clock).await?;
        Ok((ready.ok_or_else(|| self.merchant.absent())?, clock))
    }

    /// A handle that keeps hold of the compiled lists, for a host that screens many cards here: it answers in a fraction
    /// of the time of [`screen`](Self::screen). The lists are loaded before it is handed out. In a batch there is none.
    ///
    /// # Errors
    ///
    /// As [`screen`](Self::screen); [`Error::Refused`] with code `blocklist.screener_in_batch` in a batch.
    pub async fn screener(&self) -> Result<Screener, Error> {
        if self.merchant.session.is_batched() {
            let entity = Entity::new(EntityKind::Merchant, &self.merchant.name);
            let (code, message) = ("blocklist.screener_in_batch", "is screened card by card in a batch");
            return Err(Error::Refused { entity, code, message });
        }
        Screener::new(self.clone()).load().await
    }

    pub(super) fn session(&self) -> &Session {
        &self.merchant.session
    }

    /// Screens a card by the lists, and then by the rules of the handle's profile (`payment_method_blocking`) about what the
    /// host knows of the card's BIN. The handle of a merchant account has no such rules. See [`ScreenedCard`].
    ///
    /// # Errors
    ///
    /// As [`screen`](Self::screen), and [`Error::NotFound`] for the profile.
    pub async fn screen_with(
        &self,
        card: &CardNumber,
        source: &(dyn CardInfoSource + Sync),
    ) -> Result<ScreenedCard, Error> {
        let screening = self.screen(card).await?;
        let rules = match &self.rules.scope {
            BlockScope::Profile(profile) if screening.guard => {
                let key = Key::Profile(self.merchant.path.clone(), profile.clone());
                let row: Stored<crate::profile::ProfileState> = self.merchant.session.require(&key, profile).await?;
                row.state.settings.payment_method_blocking
            }
            _ => None,
        };
        Ok(ScreenedCard::new(screening, rules.as_ref(), card.bin(), source))
    }

    /// Explains what [`screen`](Self::screen) says of a card: every entry that matches, and why the first one decides. It
    /// reads the entries from the store.
    ///
    /// # Errors
    ///
    /// As [`screen`](Self::screen).
    #[observed]
    pub async fn explain(&self, card: &CardNumber) -> Result<Explanation, Error> {
        let now = self.merchant.session.begin(Operation::ExplainCard).await?;
        let facts = self.facts_of(card).await?;
        self.explained(&facts, now).await
    }

    /// Explains what [`screen_facts`](Self::screen_facts) says of a card. See [`explain`](Self::explain).
    ///
    /// # Errors
    ///
    /// As [`screen`](Self::screen).
    #[observed]
    pub async fn explain_facts(&self, card: &CardFacts) -> Result<Explanation, Error> {
        let now = self.merchant.session.begin(Operation::ExplainCard).await?;
        let facts = Facts { loaded: self.merchant.load().await?, card: card.clone(), fingerprint: None };
        self.explained(&facts, now).await
    }

    /// Screens a card by what the store says, for an operation that has begun.
    pub(super) async fn screened_now(&self, card: &CardNumber, now: Timestamp) -> Result<Screening, Error> {
        self.screened(&self.facts_of(card).await?, now).await
    }

    /// As [`screened_now`](Self::screened_now), of a card whose number the host does not have.
    pub(super) async fn screened_facts_now(&self, card: &CardFacts, now: Timestamp) -> Result<Screening, Error> {
        let facts = Facts { loaded: self.merchant.load().await?, card: card.clone(), fingerprint: None };
        self.screened(&facts, now).await
    }

    /// Of no card: whether the guard is on.
    pub(super) async fn screened_none(&self) -> Result<Screening, Error> {
        let guard = self.merchant.load().await?.row.state.blocklist_guard;
        Ok(Screening { guard, matched: None, fingerprint: None, staleness: Duration::ZERO })
    }

    async fn facts_of(&self, card: &CardNumber) -> Result<Facts, Error> {
        let loaded = self.merchant.load().await?;
        let name = loaded.row.id.to_string();
        let seals = loaded.seals(&self.merchant.session, EntityKind::Merchant, &name);
        let mut fingerprints = Vec::with_capacity(1);
        for secret in &loaded.row.state.fingerprint_secrets {
            let plain = seals.open(FINGERPRINT, &secret.secret)?;
            fingerprints.push(card.fingerprint(secret.version, &plain));
        }
        let card = CardFacts::new(card.prefix(), fingerprints.iter().map(Fingerprint::to_string))?;
        Ok(Facts { fingerprint: fingerprints.last().copied(), card, loaded })
    }

    async fn screened(&self, facts: &Facts, now: Timestamp) -> Result<Screening, Error> {
        let rules = self.matching(facts).await?;
        let winner = decide(rules.iter().map(Candidate::from), &facts.card, now);
        let matched = winner.and_then(|winner| winner.matched());
        let guard = facts.loaded.row.state.blocklist_guard;
        Ok(Screening { guard, matched, fingerprint: facts.fingerprint, staleness: Duration::ZERO })
    }

    async fn explained(&self, facts: &Facts, now: Timestamp) -> Result<Explanation, Error> {
        let session = &self.merchant.session;
        let rules = if session.is_batched() {
            self.matching(facts).await?
        } else {
            let row = &facts.loaded.row;
            let (own, above) = (MerchantPath::Pinned(row.tenant), OrganizationPath::Pinned(row.state.organization));
            let mut rules = Vec::new();
            for id in self.in_memory(|screen| screen.names(&facts.card)).await? {
                let path = match id.scope {
                    BlockScope::Organization => above.clone().into(),
                    BlockScope::Merchant | BlockScope::Profile(_) => own.clone().into(),
                };
                let row: Option<Stored<BlockRuleState>> = session.get(&Key::BlockRule(path, id)).await?;
                rules.extend(row.map(BlockRule::from));
            }
            rules
        };
        Ok(Explanation::new(facts.loaded.row.state.blocklist_guard, rules, &facts.card, now))
    }

    /// Every entry that could match the card: what has one of the names that cover it, and all ranges.
    async fn matching(&self, facts: &Facts) -> Result<Vec<BlockRule>, Error> {
        let session = &self.merchant.session;
        let row = &facts.loaded.row;
        let own = MerchantPath::Pinned(row.tenant);
        let above = OrganizationPath::Pinned(row.state.organization);
        let bin = facts.card.bin();
        let mut names: Vec<(BlockKind, &str)> = Vec::new();
        for (kind, lengths) in
            [(BlockKind::CardBin, 6..=6), (BlockKind::ExtendedCardBin, 8..=8), (BlockKind::CardPrefix, 6..=11)]
        {
            names.extend(lengths.filter_map(|length| Some((kind, bin.get(..length)?))));
        }
        let fingerprints = facts.card.fingerprints().map(|text| (BlockKind::Fingerprint, text));
        let mut scopes: Vec<(BlocklistPath, BlockScope)> =
            vec![(above.clone().into(), BlockScope::Organization), (own.clone().into(), BlockScope::Merchant)];
        if let BlockScope::Profile(profile) = &self.rules.scope {
            let key = Key::Profile(own.clone(), profile.clone());
            session.require::<crate::profile::ProfileState>(&key, profile).await?;
            scopes.push((own.clone().into(), self.rules.scope.clone()));
        }
        let mut rules = Vec::new();
        for (path, scope) in scopes {
            let fingerprints = fingerprints.clone().filter(|_| scope != BlockScope::Organization);
            for (kind, value) in names.iter().copied().chain(fingerprints) {
                let id = BlockRuleId { kind, value: value.parse()?, scope: scope.clone() };
                let row: Option<Stored<BlockRuleState>> = session.get(&Key::BlockRule(path.clone(), id)).await?;
                rules.extend(row.map(BlockRule::from));
            }
        }
        let ranges = Some(BlockKind::CardRange);
        let of_account = |page| Query::Within(own.clone(), Collection::BlockRules { kind: ranges }, page);
        let of_organization = |page| Query::OrganizationBlockRules(above.clone(), ranges, page);
        self.each(&of_account, &mut rules).await?;
        self.each(&of_organization, &mut rules).await?;
        // Of the account's ranges those of other profiles do not hold here.
        rules.retain(|rule| !matches!(&rule.id.scope, BlockScope::Profile(_)) || rule.id.scope == self.rules.scope);
        Ok(rules)
    }

    async fn each(
        &self,
        query: &(dyn Fn(PageRequest) -> Query + Sync),
        rules: &mut Vec<BlockRule>,
    ) -> Result<(), Error> {
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = PageRequest::of(MAX_LIMIT)?.after(cursor);
            let Some(page) = self.merchant.session.list::<BlockRuleState>(&query(page)).await? else { return Ok(()) };
            rules.extend(page.items.into_iter().map(BlockRule::from));
            match page.next {
                None => return Ok(()),
                next => cursor = next,
            }
        }
    }

    /// Makes a new version of the secret under which the account's cards are fingerprinted, and answers its number. Cards
    /// are matched under the earlier versions, too, as long as they are live: their entries go on matching.
    ///
    /// The secrets are part of the merchant account: its version is what the command may expect, and what grows.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account; [`Error::Stale`]; [`Error::Refused`] with code
    /// `fingerprint_secret.too_many`, where [`MAX_FINGERPRINT_SECRETS`] versions are live.
    pub fn rotate_fingerprint_secret(&self) -> Update<u32> {
        let merchant = self.merchant.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &merchant.session;
            let moment = session.begin(Operation::RotateFingerprintSecret).await?;
            settle!(session, options.expected_version, {
                let loaded = merchant.load().await?;
                at_expected(&loaded.row, options.expected_version)?;
                let refused = |code, message| Error::Refused { entity: loaded.row.entity().named(), code, message };
                let mut state = loaded.row.state.clone();
                if state.fingerprint_secrets.len() >= MAX_FINGERPRINT_SECRETS {
                    return Err(refused(
                        "fingerprint_secret.too_many",
                        "has as many live fingerprint secrets as it may",
                    ));
                }
                let newest = state.fingerprint_secrets.last().map_or(0, |secret| secret.version);
                let version = newest.checked_add(1);
                let version =
                    version.ok_or_else(|| refused("fingerprint_secret.too_many", "has no further version"))?;
                let mut plain = Zeroizing::new([0; 32]);
                session.inner.entropy.fill(plain.as_mut_slice());
                let name = loaded.row.id.to_string();
                let seals = loaded.seals(session, EntityKind::Merchant, &name);
                let secret = seals.seal(FINGERPRINT, plain.as_slice())?;
                state.fingerprint_secrets.push(FingerprintSecret { version, secret });
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                set.update(loaded.row.next(moment, state));
                session.commit(set, Operation::RotateFingerprintSecret, &()).await?;
                Ok(version)
            })
        })
    }

    /// The versions of the secret that are live, or that entries are left of, in ascending order: how many entries were
    /// made under each.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    #[observed]
    pub async fn fingerprint_versions(&self) -> Result<Vec<FingerprintVersion>, Error> {
        let session = &self.merchant.session;
        session.begin(Operation::ListFingerprintVersions).await?;
        let row: Stored<MerchantState> =
            session.require(&Key::Merchant(self.merchant.path.clone()), &self.merchant.name).await?;
        let counts = self.counts(MerchantPath::Pinned(row.tenant)).await?;
        let live: Vec<u32> = row.state.fingerprint_secrets.iter().map(|secret| secret.version).collect();
        let mut versions: Vec<u32> = counts.iter().filter_map(|count| count.fingerprint_version).collect();
        versions.extend(&live);
        versions.sort_unstable();
        versions.dedup();
        let told = |version| FingerprintVersion {
            version,
            entries: entries_of(&counts, version),
            is_live: live.contains(&version),
            is_current: live.last() == Some(&version),
        };
        Ok(versions.into_iter().map(told).collect())
    }

    async fn counts(&self, path: MerchantPath) -> Result<Vec<BlockCount>, Error> {
        let scan = BlockScan { path: path.into(), select: BlockSelect::After(None), limit: 0, details: false };
        let page = self.merchant.session.store().block_rules(&scan).await?;
        Ok(page.ok_or_else(|| self.merchant.absent())?.counts)
    }

    /// Drops a version of the secret that no entry is left of; the commit counts them again. Cards are not fingerprinted
    /// under it any more, and no number is used again. Not possible in a batch.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account; [`Error::Stale`]; [`Error::Invalid`] with code
    /// `fingerprint_secret.unknown` for a version that is not live; [`Error::Refused`] with code
    /// `fingerprint_secret.current` for the newest one, `fingerprint_secret.in_use` where entries are left.
    pub fn drop_fingerprint_version(&self, version: u32) -> Update<()> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let merchant = &scope.merchant;
            let session = &merchant.session;
            let moment = session.begin(Operation::DropFingerprintVersion).await?;
            settle!(session, options.expected_version, {
                let loaded = merchant.load().await?;
                at_expected(&loaded.row, options.expected_version)?;
                let refused = |code, message| Error::Refused { entity: loaded.row.entity().named(), code, message };
                let mut state = loaded.row.state.clone();
                if !state.fingerprint_secrets.iter().any(|secret| secret.version == version) {
                    let fault = Fault::new("fingerprint_secret.unknown", "must be the number of a live version");
                    return Err(fault.at("version").into());
                }
                if state.fingerprint_secrets.last().is_some_and(|secret| secret.version == version) {
                    return Err(refused("fingerprint_secret.current", "makes its fingerprints under this version"));
                }
                let counts = scope.counts(MerchantPath::Pinned(loaded.row.tenant)).await?;
                if entries_of(&counts, version) > 0 {
                    return Err(refused("fingerprint_secret.in_use", "has entries that were made under this version"));
                }
                state.fingerprint_secrets.retain(|secret| secret.version != version);
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                let of = loaded.row.entity();
                set.expectations.push(Expectation::Fingerprints { of, version, count: 0 });
                set.update(loaded.row.next(moment, state));
                session.commit(set, Operation::DropFingerprintVersion, &version).await?;
                Ok(())
            })
        })
    }
}

fn entries_of(counts: &[BlockCount], version: u32) -> u64 {
    counts.iter().filter(|count| count.fingerprint_version == Some(version)).map(|count| count.count).sum()
}
