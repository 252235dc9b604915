//! What a batch has staged, as a store over the real one.
//!
//! Reads answer the real store's state under the staged changes. Writes are judged by [`judge`] against that, and kept.
//! Nothing here writes to the real store; [`Overlay::gathered`] is the one change set that would.
//!
//! What was read from the real store is pinned at the version it had then: the real commit is refused if it has another
//! one. Lists and absences are not pinned; what a decision stood on of them, it says as an [`Expectation`], and unique
//! keys and parents are judged again by the real commit.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::blocklist::{BlockRuleId, BlockScope};
use crate::error::{ChildCount, EntityKind, Error, Fault};
use crate::id::{Incarnation, ProfileId};
use crate::merchant::MerchantState;
use crate::page::{Cursor, PageRequest};
use crate::store::{
    Actor, BlockPage, BlockScan, BlocklistPath, Change, ChangeSet, Collection, CommitClass, Committed, EntityRef,
    Expectation, Export, Extent, Head, IdempotencyClaim, IdempotencyKey, Key, Listing, Load, LogChange, LogEntry,
    LogPosition, LogQuery, MerchantPath, Order, OrganizationPath, Owner, Premises, Prune, Pruned, Query, Receipt,
    Record, StageId, StageView, StagedPart, StagedRules, Store, Stored, TenantRef, UniqueKey, UseCount, Uses, judge,
};
use crate::time::Timestamp;

/// The receipt of what is only staged: it stands nowhere in the log.
const STAGED: Receipt = Receipt { position: LogPosition::START, at: Timestamp::UNIX_EPOCH };

pub(super) struct Overlay {
    base: Arc<dyn Store>,
    actor: Actor,
    staged: Mutex<Staged>,
}

/// One object that the batch wrote.
struct Touched {
    /// What it was in the real store, when the batch first wrote it.
    origin: Option<Record>,
    /// What it is now; `None` once removed.
    now: Option<Record>,
}

#[derive(Default)]
struct Staged {
    /// How many sets were staged: what was judged before another one is judged again.
    sets: u64,
    changes: Vec<Change>,
    touched: BTreeMap<EntityRef, Touched>,
    holders: HashMap<UniqueKey, EntityRef>,
    /// What was read or expected of the real store, at the first version seen.
    pins: BTreeMap<EntityRef, u64>,
    /// Numbers of children, and free keys, that decisions stood on, as they are in the real store.
    stood_on: Vec<Expectation>,
    organization: Option<TenantRef>,
    merchants: Vec<TenantRef>,
    /// Whether a command concerned an organization that was there before the batch.
    above: bool,
    configuration: bool,
    closed: bool,
    committed: bool,
    /// The MAC of each command's request, in order.
    requests: Vec<u8>,
}

/// How a command's request is bound: the texts of ids that the batch made are replaced by where they were made, so that
/// the same commands are the same request again.
pub(super) struct Names(Vec<(String, String)>);

impl Names {
    /// The text with every id that the batch made replaced.
    pub(super) fn replace(&self, text: &[u8]) -> Zeroizing<Vec<u8>> {
        // Of the same length as an id, at the most: nothing is moved, and no copy of a secret stays behind.
        let mut out = Zeroizing::new(text.to_vec());
        for (id, name) in &self.0 {
            let (id, name) = (id.as_bytes(), name.as_bytes());
            let mut at = 0_usize;
            while let Some(window) = out.get_mut(at..at.saturating_add(id.len())) {
                if window == id {
                    for (place, byte) in window.iter_mut().zip(name.iter().copied().chain(std::iter::repeat(b'#'))) {
                        *place = byte;
                    }
                    at += id.len();
                } else {
                    at += 1;
                }
            }
        }
        out
    }
}

impl Staged {
    /// Whether what holds the record up was not removed by the batch.
    fn stands(&self, record: &Record) -> bool {
        let gone = |kind, tenant, id: String| {
            let found = self.touched.get(&EntityRef { kind, tenant, id });
            found.is_some_and(|touched| touched.now.is_none())
        };
        match record {
            Record::Merchant(row) => !gone(EntityKind::Organization, row.state.organization, String::new()),
            Record::Connector(row) => !gone(EntityKind::Profile, row.tenant, row.state.profile_id.to_string()),
            Record::RoutingProgram(row) => !gone(EntityKind::Profile, row.tenant, row.state.profile_id.to_string()),
            Record::RoutingVersion(row) => {
                !gone(EntityKind::Profile, row.tenant, row.state.profile_id.to_string())
                    && !gone(EntityKind::RoutingProgram, row.tenant, row.id.program.to_string())
            }
            Record::Payment(row) => !gone(EntityKind::Profile, row.tenant, row.state.profile_id.to_string()),
            Record::PaymentLink(row) => {
                !gone(EntityKind::Profile, row.tenant, row.state.profile_id.to_string())
                    && !row
                        .state
                        .payment_id
                        .as_ref()
                        .is_some_and(|payment| gone(EntityKind::Payment, row.tenant, payment.to_string()))
            }
            Record::LinkUse(row) => {
                !gone(EntityKind::Profile, row.tenant, row.state.profile_id.to_string())
                    && !gone(EntityKind::PaymentLink, row.tenant, row.state.payment_link_id.to_string())
            }
            Record::PaymentDecision(row) => {
                !gone(EntityKind::Profile, row.tenant, row.state.profile_id.to_string())
                    && !gone(EntityKind::Payment, row.tenant, row.state.payment_id.to_string())
            }
            Record::Event(row) => {
                !gone(EntityKind::Profile, row.tenant, row.state.profile_id.to_string())
                    && !gone(EntityKind::Payment, row.tenant, row.state.payment_id.to_string())
            }
            Record::BlockRule(row) => match &row.id.scope {
                BlockScope::Organization => !gone(EntityKind::Organization, row.tenant, String::new()),
                BlockScope::Merchant => true,
                BlockScope::Profile(profile) => !gone(EntityKind::Profile, row.tenant, profile.to_string()),
            },
            Record::Organization(_) | Record::DataKey(_) | Record::Profile(_) | Record::ApiKey(_) => true,
        }
    }

    /// The record as the batch sees it, where the real store has `base`; and whether it is the real store's.
    fn seen(&self, entity: &EntityRef, base: Option<Record>) -> (Option<Record>, bool) {
        match self.touched.get(entity) {
            Some(touched) => (touched.now.clone().filter(|record| self.stands(record)), false),
            None => (base.filter(|record| self.stands(record)), true),
        }
    }

    /// Which records of a collection the batch wrote that are there now, and how many of them were there before.
    fn members(&self, of: Incarnation, collection: &Collection) -> (Vec<&Record>, u64) {
        let is_in = |record: &Record| match (collection, record) {
            (Collection::SomeApiKeys(filter), Record::ApiKey(row)) => {
                (of == Incarnation::PLATFORM || of == row.tenant) && filter.moment(row).is_some()
            }
            _ => record.place_in(collection).0 == of && record.collections().contains(collection),
        };
        let now = self.touched.values().filter_map(|touched| touched.now.as_ref());
        let before = self.touched.values().filter_map(|touched| touched.origin.as_ref());
        let before = before.filter(|record| is_in(record)).count();
        let now = now.filter(|record| is_in(record) && self.stands(record)).collect();
        (now, u64::try_from(before).unwrap_or(u64::MAX))
    }

    /// Whether the batch's organization is made by it, with these changes or before them.
    fn founds(&self, changes: &[Change]) -> bool {
        let is_founding =
            |change: &Change| matches!(change, Change::Create(record) if record.kind() == EntityKind::Organization);
        self.changes.iter().chain(changes).any(is_founding)
    }

    /// Whether another set may join, and as whose.
    fn admits(&self, set: &ChangeSet, actor: &Actor) -> Result<(), Error> {
        if self.committed {
            return Err(Fault::new("batch.committed", "was committed, and takes no more").at("batch").into());
        }
        if self.closed {
            return Err(Fault::new("changes.after_cascade", "must end with the cascade").at("changes").into());
        }
        if set.changes.iter().any(Change::is_bulk) {
            return Err(no_bulk());
        }
        if set.expectations.iter().any(|e| matches!(e, Expectation::Uses { .. })) {
            return Err(no_uses());
        }
        if set.actor != *actor {
            let fault = Fault::new("batch.other_actor", "has one actor: who opened it").at("actor");
            return Err(fault.into());
        }
        if let (Some(known), Some(new)) = (&self.organization, &set.owner.organization)
            && known.incarnation != new.incarnation
        {
            let entity = EntityRef { kind: EntityKind::Organization, tenant: new.incarnation, id: new.id.clone() };
            return Err(Error::Refused {
                entity: entity.named(),
                code: "batch.other_organization",
                message: "is another organization than the batch's",
            });
        }
        Ok(())
    }

    /// Stages a set that was judged; `origins` are its objects as they are in the real store.
    fn take(&mut self, set: ChangeSet, mut origins: BTreeMap<EntityRef, Option<Record>>, request: [u8; 32]) {
        self.sets += 1;
        self.requests.extend(request);
        self.configuration |= set.class == CommitClass::Configuration;
        for expectation in set.expectations {
            self.expect(expectation);
        }
        match set.owner.merchant {
            Some(merchant) if self.merchants.iter().any(|known| known.incarnation == merchant.incarnation) => {}
            Some(merchant) => self.merchants.push(merchant),
            // What a batch founds nobody else has a part in yet.
            None => self.above |= !self.founds(&set.changes),
        }
        self.organization = self.organization.take().or(set.owner.organization);
        for change in set.changes {
            let (entity, now) = match &change {
                Change::Create(record) | Change::Update(record) => (record.entity(), Some(record.clone())),
                Change::Remove { entity, cascade, .. } => {
                    self.closed |= *cascade;
                    (entity.clone(), None)
                }
                Change::Reveal { .. } => {
                    self.changes.push(change);
                    continue;
                }
                // Not admitted.
                Change::AddBlockRules(_)
                | Change::AddStagedRules(_)
                | Change::PurgeBlockRules(_)
                | Change::MarkUsed(_) => continue,
            };
            let origin = origins.remove(&entity).flatten();
            let touched = self.touched.entry(entity.clone()).or_insert(Touched { origin, now: None });
            let old = std::mem::replace(&mut touched.now, now.clone());
            for key in old.iter().flat_map(Record::unique_keys) {
                if self.holders.get(&key) == Some(&entity) {
                    self.holders.remove(&key);
                }
            }
            for key in now.iter().flat_map(Record::unique_keys) {
                self.holders.insert(key, entity.clone());
            }
            self.changes.push(change);
        }
    }

    /// Keeps what the real commit must check again. What the batch itself wrote, its changes hold.
    fn expect(&mut self, expectation: Expectation) {
        match expectation {
            Expectation::Version { entity, version } => {
                if !self.touched.contains_key(&entity) {
                    self.pins.entry(entity).or_insert(version);
                }
            }
            Expectation::Children { of, kind, count } => {
                if self.touched.get(&of).is_some_and(|touched| touched.origin.is_none()) {
                    return;
                }
                let counted = |record: &Record| record.kind() == kind && is_child(record, &of);
                let now = self.touched.values().filter_map(|t| t.now.as_ref()).filter(|r| counted(r)).count();
                let before = self.touched.values().filter_map(|t| t.origin.as_ref()).filter(|r| counted(r)).count();
                let [now, before] = [now, before].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
                let count = count.saturating_add(before).saturating_sub(now);
                let expectation = Expectation::Children { of, kind, count };
                if !self.stood_on.contains(&expectation) {
                    self.stood_on.push(expectation);
                }
            }
            Expectation::Free { key } => {
                let held = |record: &Record| record.unique_keys().contains(&key);
                // Whoever has it in the real store loses it by the batch's own changes.
                let frees = self.touched.values().filter_map(|touched| touched.origin.as_ref()).any(held);
                let expectation = Expectation::Free { key };
                if !frees && !self.stood_on.contains(&expectation) {
                    self.stood_on.push(expectation);
                }
            }
            // Not admitted: what they count is not known here.
            Expectation::Fingerprints { .. } | Expectation::Uses { .. } => {}
        }
    }
}

fn is_child(record: &Record, of: &EntityRef) -> bool {
    record.counts_as_child() && record.parent(&Owner::default()).as_ref() == Some(of)
}

fn place(collection: &Collection, record: &Record) -> (Timestamp, String) {
    (record.place_in(collection).1, record.meta().id)
}

/// The same query for another page.
pub(super) fn paged(query: &Query, page: PageRequest) -> Query {
    match query {
        Query::Organizations(_) => Query::Organizations(page),
        Query::Merchants(path, _) => Query::Merchants(path.clone(), page),
        Query::DataKeys(wrapped_by, _) => Query::DataKeys(wrapped_by.clone(), page),
        Query::Outbox(_) => Query::Outbox(page),
        Query::ApiKeys(filter, _) => Query::ApiKeys(filter.clone(), page),
        Query::OrganizationBlockRules(path, kind, _) => Query::OrganizationBlockRules(path.clone(), *kind, page),
        Query::Within(path, collection, _) => Query::Within(path.clone(), collection.clone(), page),
    }
}

/// The path to exactly this object.
pub(super) fn key_of(entity: &EntityRef) -> Result<Key, Error> {
    let path = MerchantPath::Pinned(entity.tenant);
    Ok(match entity.kind {
        EntityKind::Organization => Key::Organization(OrganizationPath::Pinned(entity.tenant)),
        EntityKind::Merchant => Key::Merchant(path),
        EntityKind::DataKey => Key::DataKey(entity.tenant, entity.id.parse()?),
        EntityKind::Profile => Key::Profile(path, entity.id.parse()?),
        EntityKind::Connector => Key::Connector(path, entity.id.parse()?),
        EntityKind::RoutingProgram => Key::RoutingProgram(path, entity.id.parse()?),
        EntityKind::RoutingVersion => Key::RoutingVersion(path, entity.id.parse()?),
        EntityKind::ApiKey => Key::ApiKey(path, entity.id.parse()?),
        EntityKind::BlockRule => {
            let id: BlockRuleId = entity.id.parse()?;
            let path = match id.scope {
                BlockScope::Organization => OrganizationPath::Pinned(entity.tenant).into(),
                BlockScope::Merchant | BlockScope::Profile(_) => path.into(),
            };
            Key::BlockRule(path, id)
        }
        EntityKind::Payment => Key::Payment(path, entity.id.parse()?),
        EntityKind::PaymentLink => Key::PaymentLink(path, entity.id.parse()?),
        EntityKind::Event => Key::Event(path, entity.id.parse()?),
        EntityKind::PaymentDecision => Key::PaymentDecision(path, entity.id.parse()?),
        EntityKind::LinkUse => Key::LinkUse(path, entity.id.parse()?),
    })
}

impl Overlay {
    pub(super) fn new(base: Arc<dyn Store>, actor: Actor) -> Self {
        Self { base, actor, staged: Mutex::default() }
    }

    fn staged(&self) -> MutexGuard<'_, Staged> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What would change, in order.
    pub(super) fn preview(&self) -> Vec<LogChange> {
        self.staged().changes.iter().map(Change::logged).collect()
    }

    /// The MACs of the staged requests, one behind the other.
    pub(super) fn requests(&self) -> Vec<u8> {
        self.staged().requests.clone()
    }

    /// More may be staged, since what was gathered was not committed.
    pub(super) fn reopen(&self) {
        self.staged().committed = false;
    }

    /// Everything staged, as one set for the real store. From then on no more may be staged.
    pub(super) fn gathered(&self, now: Timestamp) -> Result<ChangeSet, Error> {
        let mut staged = self.staged();
        if staged.committed {
            return Err(Fault::new("batch.committed", "was committed, and takes no more").at("batch").into());
        }
        staged.committed = true;
        let merchant = match staged.merchants.as_slice() {
            [only] if !staged.above => Some(only.clone()),
            _ => None,
        };
        let owner = Owner { organization: staged.organization.clone(), merchant };
        let class = if staged.configuration { CommitClass::Configuration } else { CommitClass::Operational };
        let mut set = ChangeSet::new(owner, self.actor.clone(), now, class);
        for (entity, version) in &staged.pins {
            set.expect(entity.clone(), *version);
        }
        set.expectations.extend(staged.stood_on.iter().cloned());
        set.changes.clone_from(&staged.changes);
        Ok(set)
    }

    /// Judges a set under what is staged, and stages it. `bind` makes the MAC of its request.
    pub(super) async fn stage(
        &self,
        set: ChangeSet,
        bind: impl Fn(&Names) -> [u8; 32] + Send + Sync,
    ) -> Result<Receipt, Error> {
        loop {
            let sets = {
                let staged = self.staged();
                staged.admits(&set, &self.actor)?;
                staged.sets
            };
            let mut known = Known::default();
            loop {
                let verdict = judge(&set, &mut known);
                let Some(question) = known.open.take() else {
                    verdict?;
                    break;
                };
                self.answer(&mut known, question).await?;
            }
            let mut staged = self.staged();
            if staged.sets == sets {
                let request = bind(&staged.names());
                staged.take(set, known.origins, request);
                return Ok(STAGED);
            }
        }
    }

    async fn answer(&self, known: &mut Known, question: Question) -> Result<(), Error> {
        match question {
            Question::Version(entity) => {
                let base = self.base.get(&key_of(&entity)?).await?;
                known.origins.insert(entity.clone(), base.clone());
                let (seen, _) = self.staged().seen(&entity, base);
                known.versions.insert(entity, seen.map(|record| record.meta().version));
            }
            Question::Holder(key) => {
                let holder = self.holder(&key).await?.map(|record| record.entity());
                known.holders.insert(key, holder);
            }
            Question::Children(entity) => {
                let children = self.children(&entity).await?;
                known.children.insert(entity, children);
            }
            Question::Parent(entity) => {
                let base = self.base.get(&key_of(&entity)?).await?;
                let (seen, _) = self.staged().seen(&entity, base);
                let parent = seen.filter(Record::counts_as_child).and_then(|r| r.parent(&Owner::default()));
                known.parents.insert(entity, parent);
            }
        }
        Ok(())
    }

    /// One object, exactly, which a handle reads: from then on it is pinned.
    async fn read(&self, entity: EntityRef) -> Result<Option<Record>, Error> {
        let base = self.base.get(&key_of(&entity)?).await?;
        let mut staged = self.staged();
        let (seen, is_base) = staged.seen(&entity, base);
        if let Some(record) = seen.as_ref().filter(|_| is_base) {
            staged.pins.entry(entity).or_insert(record.meta().version);
        }
        Ok(seen)
    }

    /// Who has the unique key.
    async fn holder(&self, key: &UniqueKey) -> Result<Option<Record>, Error> {
        let base = match key {
            UniqueKey::OrganizationId(id) => Some(Key::Organization(OrganizationPath::Id(id.parse()?))),
            UniqueKey::MerchantId(id) => Some(Key::Merchant(MerchantPath::Id(id.parse()?))),
            UniqueKey::ProfileName(tenant, name) => {
                Some(Key::ProfileByName(MerchantPath::Pinned(*tenant), name.parse()?))
            }
            UniqueKey::DefaultProfile(tenant) => Some(Key::DefaultProfile(MerchantPath::Pinned(*tenant))),
            UniqueKey::ActiveProgram(tenant, profile) => {
                Some(Key::ActiveProgram(MerchantPath::Pinned(*tenant), profile.parse()?))
            }
            UniqueKey::ApiKeyDigest(digest) => Some(Key::ApiKeyByDigest(*digest)),
            UniqueKey::ConnectorLabel(tenant, profile, _) => return self.labelled(*tenant, profile, key).await,
            UniqueKey::PublishableKey(key) => Some(Key::MerchantByPublishableKey(key.parse()?)),
            UniqueKey::EventOnce(tenant, once) => Some(Key::EventOnce(MerchantPath::Pinned(*tenant), once.clone())),
        };
        let base = match base {
            Some(path) => self.base.get(&path).await?,
            None => None,
        };
        let staged = self.staged();
        let holder = staged.holders.get(key).cloned();
        let Some(entity) = holder.or_else(|| base.as_ref().map(Record::entity)) else { return Ok(None) };
        let (seen, _) = staged.seen(&entity, base);
        Ok(seen.filter(|record| record.unique_keys().contains(key)))
    }

    async fn labelled(&self, tenant: Incarnation, profile: &str, key: &UniqueKey) -> Result<Option<Record>, Error> {
        let collection = Collection::Connectors { profile: Some(profile.parse()?) };
        let mut found = None;
        self.each(Query::Within(MerchantPath::Pinned(tenant), collection, PageRequest::default()), |record| {
            if record.unique_keys().contains(key) {
                found = Some(record.clone());
            }
        })
        .await?;
        Ok(found)
    }

    /// Walks a whole collection.
    pub(super) async fn each(&self, query: Query, mut visit: impl FnMut(&Record) + Send) -> Result<(), Error> {
        let mut cursor: Option<Cursor> = None;
        let limit = crate::page::MAX_LIMIT;
        let collection = query.collection();
        loop {
            let page = PageRequest::of(limit)?.after(cursor);
            let Some(listing) = self.list(&paged(&query, page)).await? else { return Ok(()) };
            let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
            let more = listing.records.len() > wanted;
            cursor = None;
            for record in listing.records.iter().take(wanted) {
                visit(record);
                let (created_at, id) = place(&collection, record);
                cursor = Some(Cursor { created_at, id });
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// How many objects a collection has, where its listings say so: then it need not be walked.
    pub(super) async fn counted(&self, query: &Query) -> Result<Option<u64>, Error> {
        if !query.collection().is_counted() {
            return Ok(None);
        }
        let listing = self.list(&paged(query, PageRequest::of(1)?)).await?;
        Ok(listing.and_then(|listing| listing.total))
    }

    /// The children that hold a removal up. Asked of the lists, since a store is asked for nothing else: it costs a
    /// reading of those that are not counted.
    pub(super) async fn children(&self, entity: &EntityRef) -> Result<Vec<ChildCount>, Error> {
        let first = PageRequest::default();
        let within = |collection| Query::Within(MerchantPath::Pinned(entity.tenant), collection, first.clone());
        let queries = match entity.kind {
            EntityKind::Organization => {
                let path = OrganizationPath::Pinned(entity.tenant);
                vec![
                    Query::Merchants(path.clone(), first.clone()),
                    Query::OrganizationBlockRules(path, None, first.clone()),
                ]
            }
            EntityKind::Merchant => {
                [Collection::Profiles, Collection::ApiKeys, Collection::BlockRules { kind: None }].map(within).into()
            }
            EntityKind::Profile => {
                let profile: ProfileId = entity.id.parse()?;
                let rules = Collection::ProfileBlockRules { profile: profile.clone() };
                let programs = Collection::RoutingPrograms { profile: Some(profile.clone()) };
                let links = Collection::PaymentLinks { profile: Some(profile.clone()) };
                let connectors = Collection::Connectors { profile: Some(profile) };
                [connectors, programs, rules, Collection::Payments, links].map(within).into()
            }
            EntityKind::Payment => {
                [Collection::PaymentLinks { profile: None }, Collection::Events, Collection::PaymentDecisions]
                    .map(within)
                    .into()
            }
            EntityKind::DataKey
            | EntityKind::Connector
            | EntityKind::RoutingProgram
            | EntityKind::RoutingVersion
            | EntityKind::ApiKey
            | EntityKind::BlockRule
            | EntityKind::LinkUse
            | EntityKind::Event
            | EntityKind::PaymentDecision => Vec::new(),
            EntityKind::PaymentLink => vec![within(Collection::LinkUses { link: entity.id.parse()? })],
        };
        let mut counts: BTreeMap<EntityKind, u64> = BTreeMap::new();
        for query in queries {
            if let Some(count) = self.counted(&query).await? {
                // Of the counted collections every member holds its account up: it is the blocklist.
                if count > 0 {
                    counts.insert(EntityKind::BlockRule, count);
                }
                continue;
            }
            self.each(query, |record| {
                if is_child(record, entity) {
                    *counts.entry(record.kind()).or_default() += 1;
                }
            })
            .await?;
        }
        Ok(counts.into_iter().map(|(kind, count)| ChildCount { kind, count }).collect())
    }

    async fn organization(&self, path: &OrganizationPath) -> Result<Option<Record>, Error> {
        match path {
            OrganizationPath::Id(id) => self.holder(&UniqueKey::OrganizationId(id.to_string())).await,
            OrganizationPath::Pinned(tenant) => {
                let entity = EntityRef { kind: EntityKind::Organization, tenant: *tenant, id: String::new() };
                let base = self.base.get(&key_of(&entity)?).await?;
                Ok(self.staged().seen(&entity, base).0)
            }
        }
    }

    async fn merchant(&self, path: &MerchantPath) -> Result<Option<Stored<MerchantState>>, Error> {
        let record = match path {
            MerchantPath::Id(id) => self.holder(&UniqueKey::MerchantId(id.to_string())).await?,
            MerchantPath::Within(organization, id) => {
                let above = self.organization(&OrganizationPath::Id(organization.clone())).await?;
                let found = self.holder(&UniqueKey::MerchantId(id.to_string())).await?;
                found.filter(|record| above.is_some_and(|above| record.listed_by() == above.meta().tenant))
            }
            MerchantPath::Pinned(tenant) => {
                let entity = EntityRef { kind: EntityKind::Merchant, tenant: *tenant, id: String::new() };
                let base = self.base.get(&key_of(&entity)?).await?;
                self.staged().seen(&entity, base).0
            }
        };
        record.map(Stored::try_from).transpose()
    }

    /// The object that a key leads to.
    async fn target(&self, key: &Key) -> Result<Option<EntityRef>, Error> {
        let (path, kind, id) = match key {
            Key::Organization(path) => return Ok(self.organization(path).await?.map(|record| record.entity())),
            Key::ApiKeyByDigest(digest) => {
                let Some(found) = self.holder(&UniqueKey::ApiKeyDigest(*digest)).await? else { return Ok(None) };
                let entity = found.entity();
                return Ok(self.merchant(&MerchantPath::Pinned(entity.tenant)).await?.map(|_| entity));
            }
            Key::MerchantByPublishableKey(key) => {
                let found = self.holder(&UniqueKey::PublishableKey(key.to_string())).await?;
                return Ok(found.map(|record| record.entity()));
            }
            Key::DataKey(tenant, id) => {
                let lives = self.merchant(&MerchantPath::Pinned(*tenant)).await?.is_some()
                    || self.organization(&OrganizationPath::Pinned(*tenant)).await?.is_some();
                let entity = EntityRef { kind: EntityKind::DataKey, tenant: *tenant, id: id.to_string() };
                return Ok(lives.then_some(entity));
            }
            Key::Merchant(path) => (path, EntityKind::Merchant, String::new()),
            Key::Profile(path, id) => (path, EntityKind::Profile, id.to_string()),
            Key::ProfileByName(path, _) | Key::DefaultProfile(path) => (path, EntityKind::Profile, String::new()),
            Key::RoutingProgram(path, id) => (path, EntityKind::RoutingProgram, id.to_string()),
            Key::ActiveProgram(path, _) => (path, EntityKind::RoutingProgram, String::new()),
            Key::RoutingVersion(path, id) => (path, EntityKind::RoutingVersion, id.to_string()),
            Key::Connector(path, id) => (path, EntityKind::Connector, id.to_string()),
            Key::ApiKey(path, id) => (path, EntityKind::ApiKey, id.to_string()),
            Key::BlockRule(BlocklistPath::Merchant(path), id) => (path, EntityKind::BlockRule, id.to_string()),
            Key::BlockRule(BlocklistPath::Organization(path), id) => {
                let above = self.organization(path).await?.map(|record| record.meta().tenant);
                let entity = |tenant| EntityRef { kind: EntityKind::BlockRule, tenant, id: id.to_string() };
                return Ok(above.filter(|_| id.scope == BlockScope::Organization).map(entity));
            }
            Key::Payment(path, id) => (path, EntityKind::Payment, id.to_string()),
            Key::PaymentLink(path, id) => (path, EntityKind::PaymentLink, id.to_string()),
            Key::Event(path, id) => (path, EntityKind::Event, id.to_string()),
            Key::PaymentDecision(path, id) => (path, EntityKind::PaymentDecision, id.to_string()),
            Key::EventOnce(path, _) => (path, EntityKind::Event, String::new()),
            Key::LinkUse(path, id) => (path, EntityKind::LinkUse, id.to_string()),
        };
        let Some(merchant) = self.merchant(path).await? else { return Ok(None) };
        let held = match key {
            Key::ProfileByName(_, name) => UniqueKey::ProfileName(merchant.tenant, name.to_string()),
            Key::DefaultProfile(_) => UniqueKey::DefaultProfile(merchant.tenant),
            Key::ActiveProgram(_, profile) => UniqueKey::ActiveProgram(merchant.tenant, profile.to_string()),
            Key::EventOnce(_, once) => UniqueKey::EventOnce(merchant.tenant, once.clone()),
            _ => return Ok(Some(EntityRef { kind, tenant: merchant.tenant, id })),
        };
        Ok(self.holder(&held).await?.map(|record| record.entity()))
    }
}

impl Staged {
    /// The ids that the library made for what the batch created, each by its number. Those that a caller chooses, of
    /// accounts and blocklist entries, are the same again.
    fn names(&self) -> Names {
        let created = self.changes.iter().enumerate().filter_map(|(number, change)| match change {
            Change::Create(record) => match record.kind() {
                EntityKind::Merchant | EntityKind::BlockRule | EntityKind::DataKey => None,
                // As long as an id, so that it cannot be found in front of a digit.
                _ => Some((record.meta().id, format!("#{number}#"))),
            },
            _ => None,
        });
        // A short id is a caller's own, of a payment: the same again, and too easily part of another text.
        Names(created.filter(|(id, _)| id.len() >= 26).collect())
    }
}

#[derive(Debug)]
enum Question {
    Version(EntityRef),
    Holder(UniqueKey),
    Children(EntityRef),
    Parent(EntityRef),
}

/// The premises that were asked for so far. A store answers later than a judge asks, so what is not known yet stops the
/// judging, is found out, and the set is judged again.
#[derive(Default)]
struct Known {
    open: Option<Question>,
    origins: BTreeMap<EntityRef, Option<Record>>,
    versions: BTreeMap<EntityRef, Option<u64>>,
    holders: BTreeMap<UniqueKey, Option<EntityRef>>,
    children: BTreeMap<EntityRef, Vec<ChildCount>>,
    parents: BTreeMap<EntityRef, Option<EntityRef>>,
}

impl Known {
    fn unknown<T>(&mut self, question: Question) -> Result<T, Error> {
        self.open = Some(question);
        Err(Error::corrupt("a premise that was not asked for yet"))
    }
}

impl Premises for Known {
    fn version(&mut self, entity: &EntityRef) -> Result<Option<u64>, Error> {
        match self.versions.get(entity) {
            Some(version) => Ok(*version),
            None => self.unknown(Question::Version(entity.clone())),
        }
    }

    fn holder(&mut self, key: &UniqueKey) -> Result<Option<EntityRef>, Error> {
        match self.holders.get(key) {
            Some(holder) => Ok(holder.clone()),
            None => self.unknown(Question::Holder(key.clone())),
        }
    }

    fn children(&mut self, entity: &EntityRef) -> Result<Vec<ChildCount>, Error> {
        match self.children.get(entity) {
            Some(children) => Ok(children.clone()),
            None => self.unknown(Question::Children(entity.clone())),
        }
    }

    fn parent(&mut self, entity: &EntityRef) -> Result<Option<EntityRef>, Error> {
        match self.parents.get(entity) {
            Some(parent) => Ok(parent.clone()),
            None => self.unknown(Question::Parent(entity.clone())),
        }
    }

    fn expiry(&mut self, _: &EntityRef) -> Result<Option<Timestamp>, Error> {
        Err(no_bulk())
    }

    fn fingerprints(&mut self, _: &EntityRef, _: u32) -> Result<u64, Error> {
        Err(no_bulk())
    }

    fn uses(&mut self, _: &EntityRef, _: Option<&EntityRef>, _: Timestamp) -> Result<u64, Error> {
        Err(no_uses())
    }

    fn stage(&mut self, _: &StagedRules) -> Result<Option<StageView>, Error> {
        Err(no_bulk())
    }

    fn time(&mut self) -> Result<Timestamp, Error> {
        Err(no_uses())
    }

    fn idempotency(&mut self, _: Incarnation, _: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
        // The batch has the one key, and the real commit looks at it.
        Ok(None)
    }
}

#[async_trait]
impl Store for Overlay {
    async fn commit(&self, set: ChangeSet) -> Result<Committed, Error> {
        if set.idempotency.is_some() {
            return Err(no_key_of_its_own());
        }
        self.stage(set, |_| [0; 32]).await.map(Committed::Applied)
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        match self.target(key).await? {
            Some(entity) => self.read(entity).await,
            None => Ok(None),
        }
    }

    async fn list(&self, query: &Query) -> Result<Option<Listing>, Error> {
        let (of, query) = match query {
            Query::Organizations(_) | Query::DataKeys(..) | Query::ApiKeys(..) | Query::Outbox(_) => {
                (Incarnation::PLATFORM, query.clone())
            }
            Query::Merchants(path, page) => {
                let Some(found) = self.organization(path).await? else { return Ok(None) };
                let of = found.meta().tenant;
                (of, Query::Merchants(OrganizationPath::Pinned(of), page.clone()))
            }
            Query::OrganizationBlockRules(path, kind, page) => {
                let Some(found) = self.organization(path).await? else { return Ok(None) };
                let of = found.meta().tenant;
                (of, Query::OrganizationBlockRules(OrganizationPath::Pinned(of), *kind, page.clone()))
            }
            Query::Within(path, collection, page) => {
                let Some(found) = self.merchant(path).await? else { return Ok(None) };
                let path = MerchantPath::Pinned(found.tenant);
                (found.tenant, Query::Within(path, collection.clone(), page.clone()))
            }
        };
        let collection = query.collection();
        let ascending = collection.order() == Order::Ascending;
        let limit = query.page().limit();
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
        let start = query.page().cursor().cloned();
        let mut cursor = start.clone();
        let mut total = None;
        let mut rows: Vec<Record> = Vec::new();
        loop {
            let page = PageRequest::of(limit)?.after(cursor.clone());
            let listing = self.base.list(&paged(&query, page)).await?.unwrap_or_default();
            let more = listing.records.len() >= wanted;
            total = total.or(listing.total);
            rows.extend(listing.records);
            let last = rows.last().map(|last| place(&collection, last));
            cursor = last.map(|(created_at, id)| Cursor { created_at, id });
            let staged = self.staged();
            rows.retain(|row| !staged.touched.contains_key(&row.entity()) && staged.stands(row));
            if more && rows.len() < wanted {
                continue;
            }
            // There are enough of the real store's: whatever it has behind them comes behind the page, too.
            let (members, before) = staged.members(of, &collection);
            let count = u64::try_from(members.len()).unwrap_or(u64::MAX);
            let behind = |record: &&&Record| {
                let Some(start) = &start else { return true };
                let at = place(&collection, record);
                let start = (start.created_at, start.id.clone());
                if ascending { at > start } else { at < start }
            };
            rows.extend(members.iter().filter(behind).map(|record| (*record).clone()));
            rows.sort_by_cached_key(|row| place(&collection, row));
            if !ascending {
                rows.reverse();
            }
            rows.truncate(wanted);
            let total = total.unwrap_or(0).saturating_sub(before).saturating_add(count);
            return Ok(Some(Listing { records: rows, total: collection.is_counted().then_some(total) }));
        }
    }

    async fn block_rules(&self, _: &BlockScan) -> Result<Option<BlockPage>, Error> {
        // What was staged is not in it.
        Err(no_bulk())
    }

    async fn uses(&self, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
        let Some(found) = self.merchant(&count.path).await? else { return Ok(None) };
        let pinned = UseCount { path: MerchantPath::Pinned(found.tenant), ..count.clone() };
        // Uses are not claimed here, so that of what the batch made there are none; those that it releases count until then.
        let none = || count.links.iter().map(|_| Uses::default()).collect();
        Ok(Some(self.base.uses(&pinned).await?.unwrap_or_else(none)))
    }

    async fn claim(&self, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
        self.base.claim(tenant, key).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
        self.base.log(query).await
    }

    async fn head(&self) -> Result<Head, Error> {
        self.base.head().await
    }

    async fn stage(&self, _: StagedPart) -> Result<(), Error> {
        Err(no_bulk())
    }

    async fn taken(&self, _: &EntityRef, _: StageId) -> Result<Option<Vec<u64>>, Error> {
        Err(no_bulk())
    }

    async fn prune(&self, _: &Prune) -> Result<Pruned, Error> {
        // It would be done at once, whatever becomes of the batch.
        Err(Fault::new("batch.prune", "is no command, and is not done in a batch").at("batch").into())
    }

    async fn export(&self, _: &Extent) -> Result<Box<dyn Export>, Error> {
        Err(no_copies())
    }

    async fn import(&self, _: Load) -> Result<LogPosition, Error> {
        Err(no_copies())
    }
}

/// The error of a copy out of a batch or into one, which nothing of this library asks for.
fn no_copies() -> Error {
    Fault::new("batch.copy", "is a batch, and only stores are copied").at("store").into()
}

/// The error of a command that has an idempotency key inside a batch.
pub(super) fn no_key_of_its_own() -> Error {
    Fault::new("batch.idempotency_key", "is the batch's, which has one for all of it").at("idempotency_key").into()
}

fn no_uses() -> Error {
    Fault::new("batch.link_use", "cannot claim or confirm uses of payment links").at("batch").into()
}

fn no_bulk() -> Error {
    Fault::new("batch.bulk", "is not possible for whole blocklists").at("batch").into()
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("changes", &self.staged().changes.len()).finish_non_exhaustive()
    }
}
