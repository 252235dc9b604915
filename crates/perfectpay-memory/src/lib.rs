//! PerfectPay's [`Store`] in memory: the reference semantics, and a store for tests and short-lived hosts.
//!
//! Everything is in ordered maps behind one lock; nothing is durable. What it answers is what the contract means:
//! every commit is [judged](perfectpay::store::judge) and then applied, and nothing else happens in between.
//!
//! ```
//! use perfectpay_memory::MemoryStore;
//!
//! let store = MemoryStore::new();
//! assert!(store.is_empty());
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use perfectpay::blocklist::BlockRuleState;
use perfectpay::payment::LinkUseState;
use perfectpay::store::{
    Actor, BELOW_MERCHANT, BlockCount, BlockPage, BlockRows, BlockScan, BlockSelect, BlocklistPath, Change, ChangeSet,
    Collection, CommitClass, Committed, EntityRef, Export, Extent, Head, IdempotencyClaim, IdempotencyKey, Item, Key,
    KeyFilter, KeyUse, Listing, Load, LoadPremises, LogBeginning, LogBound, LogEntry, LogPosition, LogPruning,
    LogQuery, LogScope, Logged, MAX_COUNTED_LINKS, MAX_LOG_LIMIT, MAX_PRUNE_LIMIT, MAX_SCAN_LIMIT,
    MAX_STAGED_PRUNE_LIMIT, MerchantPath, NewRules, Order, OrganizationPath, Owner, Packed, Packer, Premises, Prune,
    Pruned, Query, Receipt, Record, RowScope, SortedRows, StageId, StageView, StagedPart, StagedRules, Store, Stored,
    UniqueKey, UseCount, Uses, Verdict, judge, judge_load, stage_gone,
};
use perfectpay::{
    ChildCount, Cursor, EntityKind, Error, Incarnation, PageRequest, PaymentLinkId, ProfileId, Timestamp,
};

/// A store in memory. Clones of an `Arc` of it share everything; it is gone with the last of them.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing was ever committed to it.
    pub fn is_empty(&self) -> bool {
        self.state().log.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot happen between two steps of an apply: every step is infallible once judged.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

/// A place in a collection: whose, which, by which time, id.
type Place = (Incarnation, Collection, Timestamp, String);

#[derive(Default)]
struct State {
    /// Every living record, with what holds it up.
    records: BTreeMap<EntityRef, (Record, Option<EntityRef>)>,
    /// What each record holds up.
    below: BTreeMap<EntityRef, BTreeSet<EntityRef>>,
    holders: HashMap<UniqueKey, EntityRef>,
    /// Every collection in its ascending order.
    places: BTreeMap<Place, EntityRef>,
    claims: HashMap<(Incarnation, IdempotencyKey), IdempotencyClaim>,
    /// The claims, the first to expire first.
    expiries: BTreeSet<Expiry>,
    /// What is kept of the log: once there was an entry, there is always one.
    log: VecDeque<Logged>,
    pruned: Option<LogPruning>,
    configuration: LogPosition,
    stages: BTreeMap<StageId, Stage>,
}

/// What was staged for one blocklist.
struct Stage {
    of: Incarnation,
    /// When the newest part came.
    touched: Timestamp,
    /// Whether it can still be made live.
    is_open: bool,
    /// How many parts came.
    parts: u32,
    /// Rows that stand together, by name, with their numbers.
    rows: BTreeMap<(String, u64), BlockRows>,
}

impl Stage {
    /// What stands against its rows, in the order of their names: names that `lives` says yes to, and names of rows in front.
    fn taken(&self, mut goes: impl FnMut(u64) -> bool, lives: impl Fn(&str) -> bool) -> Vec<(&str, u64)> {
        let (mut taken, mut last) = (Vec::new(), None);
        for (name, number) in self.rows.keys().filter(|(_, number)| goes(*number)) {
            if last == Some(name) || lives(name) {
                taken.push((name.as_str(), *number));
            }
            last = Some(name);
        }
        taken
    }
}

/// When a claim expires, and which.
type Expiry = (Timestamp, Incarnation, IdempotencyKey);

impl State {
    fn record(&self, entity: &EntityRef) -> Option<&Record> {
        self.records.get(entity).map(|(record, _)| record)
    }

    fn put(&mut self, record: &Record, parent: Option<EntityRef>) {
        let entity = record.entity();
        let record = &self.marked(&entity, record);
        self.take(&entity);
        for key in record.unique_keys() {
            self.holders.insert(key, entity.clone());
        }
        for place in places(record) {
            self.places.insert(place, entity.clone());
        }
        if let Some(parent) = &parent {
            self.below.entry(parent.clone()).or_default().insert(entity.clone());
        }
        self.records.insert(entity, (record.clone(), parent));
    }

    /// The record with the mark of its last use that is kept: no update writes it.
    fn marked(&self, entity: &EntityRef, record: &Record) -> Record {
        let mut record = record.clone();
        if let (Record::ApiKey(next), Some(Record::ApiKey(kept))) = (&mut record, self.record(entity)) {
            next.state.last_used = kept.state.last_used;
        }
        record
    }

    fn mark(&mut self, used: &KeyUse) {
        let entity = EntityRef { kind: EntityKind::ApiKey, tenant: used.tenant, id: used.id.to_string() };
        if let Some((Record::ApiKey(row), _)) = self.records.get_mut(&entity) {
            row.state.last_used = row.state.last_used.max(Some(used.at));
        }
    }

    fn take(&mut self, entity: &EntityRef) {
        let Some((record, parent)) = self.records.remove(entity) else { return };
        if let Some(siblings) = parent.and_then(|parent| self.below.get_mut(&parent)) {
            siblings.remove(entity);
        }
        for key in record.unique_keys() {
            self.holders.remove(&key);
        }
        for place in places(&record) {
            self.places.remove(&place);
        }
    }

    /// Takes an object and everything below it.
    fn close(&mut self, entity: &EntityRef) {
        let below = self.below.remove(entity).unwrap_or_default();
        for child in below {
            self.close(&child);
        }
        self.take(entity);
        if matches!(entity.kind, EntityKind::Organization | EntityKind::Merchant) {
            self.claims.retain(|(tenant, _), _| *tenant != entity.tenant);
            self.expiries.retain(|(_, tenant, _)| *tenant != entity.tenant);
            self.stages.retain(|_, stage| stage.of != entity.tenant);
        }
    }

    /// Infallible, but for entries of a blocklist that are read before anything is done.
    fn apply(&mut self, set: ChangeSet) -> Result<Receipt, Error> {
        let added = match set.changes.as_slice() {
            [Change::AddBlockRules(new)] => records(new)?,
            [Change::AddStagedRules(new)] => records(&new.with(self.staged(new))?)?,
            _ => Vec::new(),
        };
        let newest = Self::head(self);
        let entry = LogEntry {
            position: LogPosition::from_u64(newest.position.as_u64().saturating_add(1)),
            at: set.at.max(newest.at),
            actor: set.actor.clone(),
            class: set.class,
            organization_id: set.owner.organization.as_ref().map(|t| t.id.clone()),
            merchant_id: set.owner.merchant.as_ref().map(|t| t.id.clone()),
            changes: set.logged(),
        };
        let receipt = Receipt { position: entry.position, at: entry.at };
        if set.class == CommitClass::Configuration {
            self.configuration = entry.position;
        }
        let mut entities = Vec::with_capacity(set.changes.len());
        for change in set.changes {
            entities.push(change.entity());
            match &change {
                Change::Create(record) | Change::Update(record) => {
                    self.put(record, record.parent(&set.owner));
                }
                Change::AddBlockRules(_) | Change::AddStagedRules(_) => {
                    for record in &added {
                        self.put(record, record.parent(&set.owner));
                    }
                    if let Change::AddStagedRules(new) = &change {
                        self.stages.get_mut(&new.stage()).into_iter().for_each(|stage| stage.is_open = false);
                    }
                }
                Change::PurgeBlockRules(old) => {
                    for row in old.rows.rows().iter() {
                        self.close(&rule(&old.of, row.name()));
                    }
                }
                Change::Remove { entity, .. } => {
                    // Judged: without a cascade there is nothing below but what goes along in any case.
                    self.close(entity);
                }
                Change::Reveal { .. } => {}
                Change::MarkUsed(uses) => uses.iter().for_each(|used| self.mark(used)),
            }
        }
        if let Some(claim) = set.idempotency {
            self.keep(claim);
        }
        let incarnation = |tenant: Option<perfectpay::store::TenantRef>| tenant.map(|t| t.incarnation);
        self.log.push_back(Logged {
            entry,
            entities,
            organization: incarnation(set.owner.organization),
            merchant: incarnation(set.owner.merchant),
        });
        Ok(receipt)
    }

    fn keep(&mut self, claim: IdempotencyClaim) {
        self.expiries.insert((claim.expires_at, claim.tenant, claim.key.clone()));
        let expires_at = claim.expires_at;
        if let Some(old) = self.claims.insert((claim.tenant, claim.key.clone()), claim)
            && old.expires_at != expires_at
        {
            self.expiries.remove(&(old.expires_at, old.tenant, old.key));
        }
    }

    /// Writes those items of a judged load that are new.
    fn load(&mut self, load: Load, is_new: &[bool]) -> LogPosition {
        let mut last = LogPosition::START;
        for (item, is_new) in load.items.into_iter().zip(is_new) {
            match item {
                Item::Beginning(beginning) if *is_new => {
                    self.pruned = Some(beginning.pruned);
                    self.configuration = beginning.configuration;
                }
                Item::Entry(mut logged) => {
                    if load.behind.is_some() {
                        let newest = Self::head(self);
                        logged.entry.position = LogPosition::from_u64(newest.position.as_u64().saturating_add(1));
                        logged.entry.at = logged.entry.at.max(newest.at);
                    }
                    last = logged.entry.position;
                    if *is_new {
                        if logged.entry.class == CommitClass::Configuration {
                            self.configuration = last;
                        }
                        self.log.push_back(logged);
                    }
                }
                Item::Claim(claim) if *is_new => self.keep(claim),
                Item::Record(packed) if *is_new => {
                    let parent = packed.record().parent(&Owner::default());
                    self.put(packed.record(), parent);
                }
                Item::Beginning(_) | Item::Claim(_) | Item::Record(_) => {}
            }
        }
        last
    }

    /// Everything in the extent, in the order of loads.
    fn export(&self, extent: &Extent) -> Result<VecDeque<Load>, Error> {
        let (mut packer, mut loads) = (Packer::default(), VecDeque::new());
        let mut give = |item: Item| loads.extend(packer.push(item));
        let only = match extent {
            Extent::Everything => None,
            Extent::Organization(OrganizationPath::Pinned(incarnation)) => Some(*incarnation),
            Extent::Organization(path) => match self.organization(path) {
                Some(incarnation) => Some(incarnation),
                None => return Ok(loads),
            },
        };
        if only.is_none() {
            LogBeginning::of(&self.head()).map(Item::Beginning).into_iter().for_each(&mut give);
        }
        let within = |organization: Option<Incarnation>| only.is_none() || only == organization;
        let log = self.log.iter().filter(|logged| within(logged.organization));
        log.for_each(|logged| give(Item::Entry(logged.clone())));
        let mut claims: BTreeMap<Incarnation, BTreeMap<&str, &IdempotencyClaim>> = BTreeMap::new();
        for ((of, key), claim) in &self.claims {
            claims.entry(*of).or_default().insert(key.as_str(), claim);
        }
        let claims_of = |of: &Incarnation| {
            let claims = claims.get(of).into_iter().flat_map(BTreeMap::values);
            claims.map(|claim| Item::Claim((*claim).clone()))
        };
        let lives = |kind, of| self.tenant(kind, of).is_some();
        for of in claims.keys() {
            if only.is_none() && !lives(EntityKind::Organization, *of) && !lives(EntityKind::Merchant, *of) {
                claims_of(of).for_each(&mut give);
            }
        }
        let pack = |record: &Record| Packed::new(record.clone()).map(Item::Record);
        for (record, _) in self.all(EntityKind::Organization, None) {
            let of = record.meta().tenant;
            if within(Some(of)) {
                give(pack(record)?);
                for (record, _) in self.all(EntityKind::DataKey, Some(of)) {
                    give(pack(record)?);
                }
                claims_of(&of).for_each(&mut give);
                for (record, _) in self.all(EntityKind::BlockRule, Some(of)) {
                    give(pack(record)?);
                }
            }
        }
        for (record, organization) in self.all(EntityKind::Merchant, None) {
            let of = record.meta().tenant;
            if !within(organization.as_ref().map(|parent| parent.tenant)) {
                continue;
            }
            give(pack(record)?);
            for kind in BELOW_MERCHANT {
                if kind == EntityKind::ApiKey {
                    claims_of(&of).for_each(&mut give);
                }
                for (record, _) in self.all(kind, Some(of)) {
                    give(pack(record)?);
                }
            }
        }
        loads.extend(packer.finish());
        Ok(loads)
    }

    /// The records of a kind, of one tenant or of all, by tenant and id.
    fn all(&self, kind: EntityKind, of: Option<Incarnation>) -> impl Iterator<Item = &(Record, Option<EntityRef>)> {
        let first = EntityRef { kind, tenant: of.unwrap_or(Incarnation::PLATFORM), id: String::new() };
        let range = self.records.range(first..);
        range.take_while(move |(e, _)| e.kind == kind && of.is_none_or(|of| e.tenant == of)).map(|(_, kept)| kept)
    }

    fn organization(&self, path: &OrganizationPath) -> Option<Incarnation> {
        match path {
            OrganizationPath::Id(id) => self.holders.get(&UniqueKey::OrganizationId(id.to_string())).map(|e| e.tenant),
            OrganizationPath::Pinned(incarnation) => {
                self.tenant(EntityKind::Organization, *incarnation).map(|_| *incarnation)
            }
        }
    }

    fn merchant(&self, path: &MerchantPath) -> Option<Incarnation> {
        let by_id = |id: &perfectpay::MerchantId| {
            self.holders.get(&UniqueKey::MerchantId(id.to_string())).map(|entity| entity.tenant)
        };
        match path {
            MerchantPath::Id(id) => by_id(id),
            MerchantPath::Within(organization, id) => {
                let incarnation = by_id(id)?;
                let organization = self.organization(&OrganizationPath::Id(organization.clone()))?;
                let Record::Merchant(merchant) = self.tenant(EntityKind::Merchant, incarnation)? else { return None };
                (merchant.state.organization == organization).then_some(incarnation)
            }
            MerchantPath::Pinned(incarnation) => self.tenant(EntityKind::Merchant, *incarnation).map(|_| *incarnation),
        }
    }

    fn tenant(&self, kind: EntityKind, tenant: Incarnation) -> Option<&Record> {
        self.record(&EntityRef { kind, tenant, id: String::new() })
    }

    fn get(&self, key: &Key) -> Option<&Record> {
        let child = |path: &MerchantPath, kind: EntityKind, id: &dyn fmt::Display| {
            let tenant = self.merchant(path)?;
            self.record(&EntityRef { kind, tenant, id: id.to_string() })
        };
        let held = |key: UniqueKey| self.record(self.holders.get(&key)?);
        match key {
            Key::Organization(path) => self.tenant(EntityKind::Organization, self.organization(path)?),
            Key::Merchant(path) => self.tenant(EntityKind::Merchant, self.merchant(path)?),
            Key::DataKey(tenant, id) => {
                self.record(&EntityRef { kind: EntityKind::DataKey, tenant: *tenant, id: id.to_string() })
            }
            Key::Profile(path, id) => child(path, EntityKind::Profile, id),
            Key::ProfileByName(path, name) => held(UniqueKey::ProfileName(self.merchant(path)?, name.to_string())),
            Key::DefaultProfile(path) => held(UniqueKey::DefaultProfile(self.merchant(path)?)),
            Key::Connector(path, id) => child(path, EntityKind::Connector, id),
            Key::RoutingProgram(path, id) => child(path, EntityKind::RoutingProgram, id),
            Key::ActiveProgram(path, id) => held(UniqueKey::ActiveProgram(self.merchant(path)?, id.to_string())),
            Key::RoutingVersion(path, id) => child(path, EntityKind::RoutingVersion, id),
            Key::ApiKey(path, id) => child(path, EntityKind::ApiKey, id),
            Key::MerchantByPublishableKey(key) => held(UniqueKey::PublishableKey(key.to_string())),
            Key::ApiKeyByDigest(digest) => held(UniqueKey::ApiKeyDigest(*digest)),
            Key::BlockRule(BlocklistPath::Merchant(path), id) => child(path, EntityKind::BlockRule, id),
            Key::BlockRule(BlocklistPath::Organization(path), id) => {
                let tenant = self.organization(path)?;
                self.record(&EntityRef { kind: EntityKind::BlockRule, tenant, id: id.to_string() })
            }
            Key::Payment(path, id) => child(path, EntityKind::Payment, id),
            Key::PaymentLink(path, id) => child(path, EntityKind::PaymentLink, id),
            Key::Event(path, id) => child(path, EntityKind::Event, id),
            Key::PaymentDecision(path, id) => child(path, EntityKind::PaymentDecision, id),
            Key::EventOnce(path, once) => held(UniqueKey::EventOnce(self.merchant(path)?, once.clone())),
            Key::LinkUse(path, id) => child(path, EntityKind::LinkUse, id),
        }
    }

    fn list(&self, query: &Query) -> Option<Listing> {
        let tenant = match query {
            Query::ApiKeys(filter, page) => return Some(self.some_keys(None, filter, page)),
            Query::Within(path, Collection::SomeApiKeys(filter), page) => {
                return Some(self.some_keys(Some(self.merchant(path)?), filter, page));
            }
            Query::Organizations(_) | Query::DataKeys(..) | Query::Outbox(_) => Incarnation::PLATFORM,
            Query::Merchants(path, _) | Query::OrganizationBlockRules(path, ..) => self.organization(path)?,
            Query::Within(path, ..) => self.merchant(path)?,
        };
        let collection = query.collection();
        let place = |at: &Cursor| (tenant, collection.clone(), at.created_at, at.id.clone());
        let first = (tenant, collection.clone(), Timestamp::MIN, String::new());
        // No id reaches this text: ids are ASCII, and the value of a blocklist entry ends before it.
        let end = (tenant, collection.clone(), Timestamp::MAX, "\u{10ffff}".to_owned());
        let cursor = query.page().cursor().map(place);
        let wanted = query.page().limit() as usize + 1;
        let found: Vec<&EntityRef> = match collection.order() {
            Order::Ascending => {
                let from = cursor.map_or(Bound::Included(first.clone()), Bound::Excluded);
                // A cursor is the caller's text and may lie behind the end, so the end cannot bound the range.
                let behind = self.places.range((from, Bound::Unbounded)).take_while(|(place, _)| **place < end);
                behind.take(wanted).map(|(_, e)| e).collect()
            }
            Order::Descending => {
                let to = Bound::Excluded(cursor.unwrap_or(end.clone()));
                let range = self.places.range((Bound::Included(first.clone()), to));
                range.rev().take(wanted).map(|(_, e)| e).collect()
            }
        };
        let total = collection.is_counted().then(|| self.places.range(first..end).count() as u64);
        Some(Listing { records: found.into_iter().filter_map(|e| self.record(e)).cloned().collect(), total })
    }

    /// A page of a part of the API keys, of one account or of all.
    fn some_keys(&self, of: Option<Incarnation>, filter: &KeyFilter, page: &PageRequest) -> Listing {
        let keys = self.all(EntityKind::ApiKey, of).filter_map(|(record, _)| match record {
            Record::ApiKey(row) => Some(((filter.moment(row)?, row.id.to_string()), record)),
            _ => None,
        });
        let behind =
            |place: &(Timestamp, String)| page.cursor().is_none_or(|at| (at.created_at, &at.id) < (place.0, &place.1));
        let found: BTreeMap<_, _> = keys.filter(|(place, _)| behind(place)).collect();
        let records = found.into_values().take(page.limit() as usize + 1).cloned().collect();
        Listing { records, total: None }
    }

    fn block_rules(&self, scan: &BlockScan) -> Option<BlockPage> {
        let tenant = match &scan.path {
            BlocklistPath::Organization(path) => self.organization(path)?,
            BlocklistPath::Merchant(path) => self.merchant(path)?,
        };
        let limit = scan.limit.min(MAX_SCAN_LIMIT) as usize;
        let whole = || self.rules_behind(Bound::Included(rule_of(tenant, String::new())));
        let mut page = BlockPage::default();
        match &scan.select {
            BlockSelect::After(Some(after)) => {
                let behind = self.rules_behind(Bound::Excluded(rule_of(tenant, after.to_string())));
                behind.take(limit).for_each(|row| page.rows.push_record(row, scan.details));
            }
            BlockSelect::After(None) => {
                whole().take(limit).for_each(|row| page.rows.push_record(row, scan.details));
                let mut counts = BTreeMap::new();
                for row in whole() {
                    *counts.entry((row.id.kind, row.id.fingerprint_version())).or_default() += 1;
                }
                let count = |((kind, fingerprint_version), count)| BlockCount { kind, fingerprint_version, count };
                page.counts = counts.into_iter().map(count).collect();
            }
            BlockSelect::Expired(by) => {
                let mut expired: Vec<_> = whole().filter(|row| row.state.has_expired(*by)).collect();
                expired.sort_by_key(|row| row.state.expires_at);
                expired.into_iter().take(limit).for_each(|row| page.rows.push_record(row, scan.details));
            }
        }
        Some(page)
    }

    /// The uses of a payment link.
    fn uses_of(&self, link: &EntityRef) -> impl Iterator<Item = &Stored<LinkUseState>> {
        self.below.get(link).into_iter().flatten().filter_map(|below| match self.record(below) {
            Some(Record::LinkUse(row)) => Some(row),
            _ => None,
        })
    }

    fn uses(&self, count: &UseCount) -> Option<Vec<Uses>> {
        let tenant = self.merchant(&count.path)?;
        let of_link = |id: &PaymentLinkId| {
            let link = EntityRef { kind: EntityKind::PaymentLink, tenant, id: id.to_string() };
            let mut uses = Uses::default();
            for row in self.uses_of(&link) {
                match row.state.stands_until() {
                    None => uses.confirmed += 1,
                    Some(until) if count.at < until => uses.held += 1,
                    Some(_) => {}
                }
            }
            uses
        };
        Some(count.links.iter().take(MAX_COUNTED_LINKS).map(of_link).collect())
    }

    /// The entries of one blocklist behind a place in it, by name.
    fn rules_behind(&self, from: Bound<EntityRef>) -> impl Iterator<Item = &Stored<BlockRuleState>> {
        let tenant = match &from {
            Bound::Included(first) | Bound::Excluded(first) => Some(first.tenant),
            Bound::Unbounded => None,
        };
        let of = move |entity: &EntityRef| entity.kind == EntityKind::BlockRule && Some(entity.tenant) == tenant;
        let records = self.records.range((from, Bound::Unbounded)).take_while(move |(entity, _)| of(entity));
        records.filter_map(|(_, (record, _))| match record {
            Record::BlockRule(row) => Some(row),
            _ => None,
        })
    }

    fn head(&self) -> Head {
        let newest = self.log.back().map(|logged| &logged.entry);
        Head {
            position: newest.map_or(LogPosition::START, |entry| entry.position),
            configuration: self.configuration,
            at: newest.map_or(Timestamp::UNIX_EPOCH, |entry| entry.at),
            pruned: self.pruned.clone(),
        }
    }

    fn log(&self, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
        let through = self.pruned.as_ref().map_or(LogPosition::START, |pruned| pruned.through);
        if query.after < through {
            return Err(Error::LogPruned { through });
        }
        let within = |logged: &&Logged| match &query.scope {
            LogScope::All => true,
            LogScope::Configuration => logged.entry.class == CommitClass::Configuration,
            LogScope::Organization(incarnation) => logged.organization == Some(*incarnation),
            LogScope::Merchant(incarnation) => logged.merchant == Some(*incarnation),
            LogScope::Entity(entity) => logged.entities.contains(entity),
        };
        let skip = self.log.partition_point(|logged| logged.entry.position <= query.after);
        let limit = query.limit.min(MAX_LOG_LIMIT) as usize;
        Ok(self.log.iter().skip(skip).filter(within).take(limit).map(|logged| logged.entry.clone()).collect())
    }

    fn prune(&mut self, prune: &Prune) -> Pruned {
        match prune {
            Prune::Log { bound, limit, at, by } => self.prune_log(*bound, *limit, *at, by),
            Prune::Claims { expired_at, limit } => self.prune_claims(*expired_at, *limit),
            Prune::Stage { stage, limit } => self.prune_stages(|id, _| id == stage, *limit),
            Prune::Stages { untouched_since, limit } => {
                self.prune_stages(|_, stage| !stage.is_open || stage.touched < *untouched_since, *limit)
            }
        }
    }

    fn prune_stages(&mut self, goes: impl Fn(&StageId, &Stage) -> bool, limit: u32) -> Pruned {
        let limit = u64::from(limit.min(MAX_STAGED_PRUNE_LIMIT));
        let mut removed = 0;
        while let Some((id, stage)) = self.stages.iter_mut().find(|(id, stage)| goes(id, stage)) {
            stage.is_open = false;
            while removed < limit && stage.rows.pop_first().is_some() {
                removed += 1;
            }
            if !stage.rows.is_empty() {
                return Pruned { removed, more: true };
            }
            let id = *id;
            self.stages.remove(&id);
        }
        Pruned { removed, more: false }
    }

    /// A stage of a list that can be made live.
    fn open_stage(&self, of: &EntityRef, stage: StageId) -> Option<&Stage> {
        self.stages.get(&stage).filter(|stage| stage.is_open && stage.of == of.tenant)
    }

    fn stage(&mut self, part: &StagedPart) -> Result<(), Error> {
        let (of, at) = (part.of().tenant, part.at());
        if self.record(part.of()).is_none() {
            return Err(Error::NotFound(part.of().named()));
        }
        let known = self.stages.get(&part.stage());
        let parts = known.map_or(Some(0), |stage| Some(stage.parts).filter(|_| stage.is_open && stage.of == of));
        if parts.and_then(|parts| parts.checked_add(1)) != Some(part.ordinal()) {
            return Err(stage_gone(part.of()));
        }
        let new = Stage { of, touched: at, is_open: true, parts: 0, rows: BTreeMap::new() };
        let stage = self.stages.entry(part.stage()).or_insert(new);
        stage.parts = part.ordinal();
        stage.touched = stage.touched.max(at);
        for (row, number) in part.rows().iter().zip(part.numbers()) {
            let mut rows = BlockRows::new();
            rows.push(row);
            stage.rows.insert((row.name(), *number), rows);
        }
        Ok(())
    }

    /// The rows of a stage that a change makes entries.
    fn staged(&self, new: &StagedRules) -> Arc<SortedRows> {
        let mut all = BlockRows::new();
        let rows = self.open_stage(new.of(), new.stage()).into_iter().flat_map(|stage| &stage.rows);
        for row in rows.filter(|((_, number), _)| !new.leaves_out(*number)).flat_map(|(_, rows)| rows.iter()) {
            all.push(row);
        }
        Arc::new(SortedRows::of(&all))
    }

    fn prune_log(&mut self, bound: LogBound, limit: u32, at: Timestamp, by: &Actor) -> Pruned {
        let all_but_newest = self.log.iter().take(self.log.len().saturating_sub(1));
        // Neither positions nor times ever step back.
        let goes = |logged: &&Logged| match bound {
            LogBound::Before(position) => logged.entry.position < position,
            LogBound::OlderThan(moment) => logged.entry.at < moment,
        };
        let limit = limit.min(MAX_PRUNE_LIMIT) as usize;
        let found = all_but_newest.take_while(goes).take(limit + 1).count();
        let removed = found.min(limit);
        if let Some(last) = self.log.drain(..removed).next_back() {
            self.pruned = Some(LogPruning { through: last.entry.position, at, by: by.clone() });
        }
        Pruned { removed: removed as u64, more: found > limit }
    }

    fn prune_claims(&mut self, expired_at: Timestamp, limit: u32) -> Pruned {
        let limit = u64::from(limit.min(MAX_PRUNE_LIMIT));
        let mut removed = 0;
        while self.expiries.first().is_some_and(|(at, ..)| *at <= expired_at) {
            if removed == limit {
                return Pruned { removed, more: true };
            }
            if let Some((_, tenant, key)) = self.expiries.pop_first() {
                self.claims.remove(&(tenant, key));
                removed += 1;
            }
        }
        Pruned { removed, more: false }
    }
}

fn records(new: &NewRules) -> Result<Vec<Record>, Error> {
    new.rows().iter().map(|row| Ok(new.record(&row)?.into())).collect()
}

fn rule(of: &EntityRef, id: String) -> EntityRef {
    rule_of(of.tenant, id)
}

fn rule_of(tenant: Incarnation, id: String) -> EntityRef {
    EntityRef { kind: EntityKind::BlockRule, tenant, id }
}

/// Where a record stands in the collections that it is in.
fn places(record: &Record) -> Vec<Place> {
    let id = record.meta().id;
    let place = |collection: Collection| {
        let (of, at) = record.place_in(&collection);
        (of, collection, at, id.clone())
    };
    record.collections().into_iter().map(place).collect()
}

impl Premises for State {
    fn version(&mut self, entity: &EntityRef) -> Result<Option<u64>, Error> {
        Ok(self.record(entity).map(|record| record.meta().version))
    }

    fn holder(&mut self, key: &UniqueKey) -> Result<Option<EntityRef>, Error> {
        Ok(self.holders.get(key).cloned())
    }

    fn children(&mut self, entity: &EntityRef) -> Result<Vec<ChildCount>, Error> {
        let mut counts = BTreeMap::new();
        for child in self.below.get(entity).into_iter().flatten() {
            if self.record(child).is_some_and(Record::counts_as_child) {
                *counts.entry(child.kind).or_default() += 1;
            }
        }
        Ok(counts.into_iter().map(|(kind, count)| ChildCount { kind, count }).collect())
    }

    fn parent(&mut self, entity: &EntityRef) -> Result<Option<EntityRef>, Error> {
        let found = self.records.get(entity).filter(|(record, _)| record.counts_as_child());
        Ok(found.and_then(|(_, parent)| parent.clone()))
    }

    fn expiry(&mut self, rule: &EntityRef) -> Result<Option<Timestamp>, Error> {
        Ok(match self.record(rule) {
            Some(Record::BlockRule(row)) => row.state.expires_at,
            _ => None,
        })
    }

    fn fingerprints(&mut self, merchant: &EntityRef, version: u32) -> Result<u64, Error> {
        let rules = self.rules_behind(Bound::Included(rule_of(merchant.tenant, String::new())));
        Ok(rules.filter(|row| row.id.fingerprint_version() == Some(version)).count() as u64)
    }

    fn uses(&mut self, link: &EntityRef, but: Option<&EntityRef>, at: Timestamp) -> Result<u64, Error> {
        let counts = |row: &&Stored<LinkUseState>| row.state.stands_at(at) && but != Some(&row.entity());
        Ok(self.uses_of(link).filter(counts).count() as u64)
    }

    fn stage(&mut self, new: &StagedRules) -> Result<Option<StageView>, Error> {
        let Some(stage) = self.open_stage(new.of(), new.stage()) else { return Ok(None) };
        let stays = |number: u64| !new.leaves_out(number);
        let taken = stage.taken(stays, |name| self.record(&rule(new.of(), name.to_owned())).is_some());
        let rows = || stage.rows.iter().filter(|((_, number), _)| stays(*number)).flat_map(|(_, rows)| rows.iter());
        let profiles: BTreeSet<&ProfileId> = rows()
            .filter_map(|row| match row.scope {
                RowScope::Profile(profile) => Some(profile),
                RowScope::Organization | RowScope::Merchant => None,
            })
            .collect();
        Ok(Some(StageView {
            count: rows().count() as u64,
            taken: taken.first().map(|(name, _)| rule(new.of(), (*name).to_owned())),
            profiles: profiles.into_iter().cloned().collect(),
        }))
    }

    fn time(&mut self) -> Result<Timestamp, Error> {
        Ok(Self::head(self).at)
    }

    fn idempotency(&mut self, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
        Ok(self.claims.get(&(tenant, key.clone())).cloned())
    }
}

impl LoadPremises for State {
    fn kept(&mut self, entity: &EntityRef) -> Result<Option<Record>, Error> {
        Ok(self.record(entity).cloned())
    }

    fn entry(&mut self, position: LogPosition) -> Result<Option<Logged>, Error> {
        let found = self.log.binary_search_by_key(&position, |logged| logged.entry.position);
        Ok(found.ok().and_then(|index| self.log.get(index)).cloned())
    }

    fn newest(&mut self, organization: Incarnation) -> Result<LogPosition, Error> {
        let newest = self.log.iter().rev().find(|logged| logged.organization == Some(organization));
        Ok(newest.map_or(LogPosition::START, |logged| logged.entry.position))
    }

    fn head(&mut self) -> Result<Head, Error> {
        Ok(Self::head(self))
    }
}

/// What was in the store when the export began, all of it.
#[derive(Debug)]
struct Exported(VecDeque<Load>);

#[async_trait]
impl Export for Exported {
    async fn next(&mut self) -> Result<Option<Load>, Error> {
        Ok(self.0.pop_front())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, set: ChangeSet) -> Result<Committed, Error> {
        let mut state = self.state();
        match judge(&set, &mut *state)? {
            Verdict::Apply => Ok(Committed::Applied(state.apply(set)?)),
            Verdict::Replay(answer) => Ok(Committed::Replayed(answer)),
        }
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        Ok(self.state().get(key).cloned())
    }

    async fn list(&self, query: &Query) -> Result<Option<Listing>, Error> {
        Ok(self.state().list(query))
    }

    async fn block_rules(&self, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
        Ok(self.state().block_rules(scan))
    }

    async fn uses(&self, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
        Ok(self.state().uses(count))
    }

    async fn claim(&self, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
        self.state().idempotency(tenant, key)
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
        self.state().log(query)
    }

    async fn head(&self) -> Result<Head, Error> {
        Ok(self.state().head())
    }

    async fn stage(&self, part: StagedPart) -> Result<(), Error> {
        self.state().stage(&part)
    }

    async fn taken(&self, of: &EntityRef, stage: StageId) -> Result<Option<Vec<u64>>, Error> {
        let state = self.state();
        Ok(state.open_stage(of, stage).map(|stage| {
            let taken = stage.taken(|_| true, |name| state.record(&rule(of, name.to_owned())).is_some());
            let mut numbers: Vec<u64> = taken.into_iter().map(|(_, number)| number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        }))
    }

    async fn prune(&self, prune: &Prune) -> Result<Pruned, Error> {
        Ok(self.state().prune(prune))
    }

    async fn export(&self, extent: &Extent) -> Result<Box<dyn Export>, Error> {
        Ok(Box::new(Exported(self.state().export(extent)?)))
    }

    async fn import(&self, load: Load) -> Result<LogPosition, Error> {
        load.check()?;
        let mut state = self.state();
        let is_new = judge_load(&load, &mut *state)?;
        Ok(state.load(load, &is_new))
    }
}
