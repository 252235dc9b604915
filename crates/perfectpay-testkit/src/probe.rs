//! A store as the cases see it: synchronous, and panicking where an answer is not what the contract says.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::Arc;

use futures_lite::future::block_on;
use perfectpay::store::{
    BlockPage, BlockScan, ChangeSet, Collection, Committed, EntityRef, Export, Extent, Head, IdempotencyClaim, Item,
    Key, Listing, Load, LogEntry, LogPosition, LogQuery, LogScope, MAX_LOG_LIMIT, MerchantPath, OrganizationPath,
    Prune, Pruned, Query, Receipt, Record, StageId, StagedPart, Store, UseCount, Uses,
};
use perfectpay::{Cursor, Error, Incarnation, PageRequest, Sealed};

use crate::records::{IDEMPOTENCY_KEYS, collections, keys_of, text};

/// No list and no log of the cases has so many pages: what goes on longer goes in circles.
const MAX_PAGES: usize = 2_000;

/// Reads and writes a store.
#[derive(Debug, Clone)]
pub struct Probe {
    store: Arc<dyn Store>,
}

impl Probe {
    /// A probe of this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Commits, whatever comes of it.
    ///
    /// # Errors
    ///
    /// The store's.
    ///
    /// A [`claim`](crate::records::claim) belongs to whose set it is: the merchant account, else the organization.
    pub fn commit(&self, mut set: ChangeSet) -> Result<Committed, Error> {
        if let Some(claim) = &mut set.idempotency {
            let owner = set.owner.merchant.as_ref().or(set.owner.organization.as_ref());
            claim.tenant = owner.map_or(Incarnation::PLATFORM, |tenant| tenant.incarnation);
        }
        block_on(self.store.commit(set))
    }

    /// Commits what must be applied.
    #[track_caller]
    pub fn apply(&self, set: ChangeSet) -> Receipt {
        match self.commit(set) {
            Ok(Committed::Applied(receipt)) => receipt,
            other => panic!("the set must be applied, and the store answered {other:?}"),
        }
    }

    /// Commits what must be answered with an earlier answer, and checks that nothing changed.
    #[track_caller]
    pub fn replay(&self, set: ChangeSet, answer: &Sealed) {
        let before = self.snapshot();
        match self.commit(set) {
            Ok(Committed::Replayed(replayed)) => assert_eq!(plain(&replayed), plain(answer), "another answer"),
            other => panic!("the set must be replayed, and the store answered {other:?}"),
        }
        before.assert_same(&self.snapshot());
    }

    /// Commits what must be refused with an error of this code and text, and checks that nothing changed.
    #[track_caller]
    pub fn refuse(&self, set: ChangeSet, code: &str, message: &str) {
        let before = self.snapshot();
        match self.commit(set) {
            Err(error) => assert_eq!((error.code(), error.to_string().as_str()), (code, message), "another error"),
            Ok(other) => panic!("the set must be refused with `{code}`, and the store answered {other:?}"),
        }
        before.assert_same(&self.snapshot());
    }

    /// One record.
    #[track_caller]
    pub fn get(&self, key: &Key) -> Option<Record> {
        block_on(self.store.get(key)).unwrap_or_else(|e| panic!("get({key:?}): {e}"))
    }

    /// One page.
    #[track_caller]
    pub fn list(&self, query: &Query) -> Option<Listing> {
        block_on(self.store.list(query)).unwrap_or_else(|e| panic!("list({query:?}): {e}"))
    }

    /// A part of a blocklist.
    #[track_caller]
    pub fn block_rules(&self, scan: &BlockScan) -> Option<BlockPage> {
        block_on(self.store.block_rules(scan)).expect("the store answers")
    }

    /// How many uses of links stand.
    #[track_caller]
    pub fn uses(&self, count: &UseCount) -> Option<Vec<Uses>> {
        block_on(self.store.uses(count)).unwrap_or_else(|e| panic!("uses({count:?}): {e}"))
    }

    /// What is kept under an idempotency key.
    #[track_caller]
    pub fn claim(&self, tenant: Incarnation, key: &str) -> Option<IdempotencyClaim> {
        let kept = block_on(self.store.claim(tenant, &text(key)));
        let mut kept = kept.unwrap_or_else(|e| panic!("claim({tenant}, {key}): {e}"))?;
        assert_eq!(kept.tenant, tenant, "the claim of another tenant was answered");
        kept.tenant = Incarnation::PLATFORM;
        Some(kept)
    }

    /// Where the log ends.
    #[track_caller]
    pub fn head(&self) -> Head {
        block_on(self.store.head()).unwrap_or_else(|e| panic!("head(): {e}"))
    }

    /// One read of the log.
    #[track_caller]
    pub fn log_page(&self, scope: LogScope, after: LogPosition, limit: u32) -> Vec<LogEntry> {
        let query = LogQuery { scope, after, limit };
        block_on(self.store.log(&query)).unwrap_or_else(|e| panic!("log({query:?}): {e}"))
    }

    /// Puts rows on a stage.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn stage(&self, part: StagedPart) -> Result<(), Error> {
        block_on(self.store.stage(part))
    }

    /// Which rows of a stage are taken.
    #[track_caller]
    pub fn taken(&self, of: &EntityRef, stage: StageId) -> Option<Vec<u64>> {
        block_on(self.store.taken(of, stage)).unwrap_or_else(|e| panic!("taken({of:?}, {stage:?}): {e}"))
    }

    /// Carries out one step of housekeeping.
    #[track_caller]
    pub fn prune(&self, prune: &Prune) -> Pruned {
        block_on(self.store.prune(prune)).unwrap_or_else(|e| panic!("prune({prune:?}): {e}"))
    }

    /// Up to where the log was pruned, if a read behind this position is refused for it.
    #[track_caller]
    pub fn pruned_behind(&self, scope: LogScope, after: LogPosition) -> Option<LogPosition> {
        let query = LogQuery { scope, after, limit: 1 };
        match block_on(self.store.log(&query)) {
            Ok(_) => None,
            Err(Error::LogPruned { through }) => Some(through),
            Err(e) => panic!("log({query:?}): {e}"),
        }
    }

    /// All entries of a scope that are kept, read as a follower reads them.
    #[track_caller]
    pub fn log(&self, scope: &LogScope) -> Vec<LogEntry> {
        let mut entries: Vec<LogEntry> = Vec::new();
        let mut after = LogPosition::START;
        for _ in 0..MAX_PAGES {
            let query = LogQuery { scope: scope.clone(), after, limit: MAX_LOG_LIMIT };
            let page = match block_on(self.store.log(&query)) {
                Ok(page) => page,
                Err(Error::LogPruned { through }) if entries.is_empty() && after < through => {
                    after = through;
                    continue;
                }
                Err(e) => panic!("log({query:?}): {e}"),
            };
            after = page.last().map_or(after, |entry| entry.position);
            if page.is_empty() {
                return entries;
            }
            entries.extend(page);
        }
        panic!("the log of {scope:?} does not end");
    }

    /// All records of a collection, read in pages of `limit`, each checked to hold no more than it may.
    #[track_caller]
    pub fn pages(&self, limit: u32, query: impl Fn(PageRequest) -> Query) -> Option<Vec<Record>> {
        let mut records: Vec<Record> = Vec::new();
        let mut page = PageRequest::of(limit).expect("is a limit");
        for _ in 0..MAX_PAGES {
            let query = query(page.clone());
            let mut listing = self.list(&query)?;
            let kept = limit as usize;
            assert!(listing.records.len() <= kept + 1, "{query:?} answers more than its limit and one");
            let more = listing.records.len() > kept;
            listing.records.truncate(kept);
            records.append(&mut listing.records);
            if !more {
                return Some(records);
            }
            let last = records.last().expect("a full page has a last record");
            page = page.after(cursor_in(&query.collection(), last));
        }
        panic!("the list {:?} does not end", query(page));
    }

    /// Begins an export.
    #[track_caller]
    pub fn begin_export(&self, extent: &Extent) -> Box<dyn Export> {
        block_on(self.store.export(extent)).unwrap_or_else(|e| panic!("export({extent:?}): {e}"))
    }

    /// All items of an extent, in loads that are checked to be within their bounds.
    #[track_caller]
    pub fn export(&self, extent: &Extent) -> Vec<Item> {
        let mut export = self.begin_export(extent);
        let mut items = Vec::new();
        while let Some(load) = block_on(export.next()).unwrap_or_else(|e| panic!("export({extent:?}): {e}")) {
            load.check().unwrap_or_else(|e| panic!("export({extent:?}): {e}"));
            assert!(
                !load.items.is_empty() && load.behind.is_none(),
                "{extent:?} has an empty load, or one with a place"
            );
            items.extend(load.items);
        }
        items
    }

    /// Imports a load.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn import(&self, load: Load) -> Result<LogPosition, Error> {
        block_on(self.store.import(load))
    }

    /// All that can be reached: every list by every path, every record by each of its keys, every claim on one of
    /// [`IDEMPOTENCY_KEYS`], the log by every scope, and its head.
    ///
    /// On the way it checks that the paths agree: what a list shows, `get` answers.
    #[track_caller]
    pub fn snapshot(&self) -> Snapshot {
        let mut seen = Snapshot::default();
        seen.claims(self, Incarnation::PLATFORM);
        seen.log(self, &LogScope::All);
        seen.note("head", &self.head());
        seen.list(self, "outbox", Query::Outbox);
        for organization in seen.list(self, "organizations", Query::Organizations) {
            let Record::Organization(row) = &organization else { panic!("{organization:?} among organizations") };
            let mut merchants = Vec::new();
            for path in [OrganizationPath::Pinned(row.tenant), OrganizationPath::Id(row.id.clone())] {
                let key = Key::Organization(path.clone());
                assert_eq!(self.get(&key).as_ref(), Some(&organization), "{key:?}");
                merchants = seen.list(self, &format!("merchants of {path:?}"), |p| Query::Merchants(path.clone(), p));
            }
            for merchant in merchants {
                let Record::Merchant(merchant) = &merchant else { panic!("{merchant:?} among merchants") };
                for path in [
                    MerchantPath::Id(merchant.id.clone()),
                    MerchantPath::Within(row.id.clone(), merchant.id.clone()),
                    MerchantPath::Pinned(merchant.tenant),
                ] {
                    seen.merchant(self, &Record::Merchant(merchant.clone()), &path);
                }
                seen.claims(self, merchant.tenant);
                seen.log(self, &LogScope::Merchant(merchant.tenant));
            }
            seen.claims(self, row.tenant);
            seen.log(self, &LogScope::Organization(row.tenant));
        }
        seen
    }
}

/// The cursor behind this record, in a list by creation.
pub fn cursor_at(record: &Record) -> Cursor {
    let meta = record.meta();
    Cursor { created_at: meta.created_at, id: meta.id }
}

/// The cursor behind this record in a collection that it is in.
pub fn cursor_in(collection: &Collection, record: &Record) -> Cursor {
    Cursor { created_at: record.place_in(collection).1, id: record.meta().id }
}

/// The text of a sealed value, whose `Debug` shows nothing.
pub(crate) fn plain(sealed: &Sealed) -> String {
    serde_json::to_string(sealed).expect("a sealed value is a string")
}

/// What a store answers to all questions at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// The same without the log and its head.
    #[must_use]
    pub fn without_log(mut self) -> Self {
        self.0.retain(|question, _| question != "head" && !question.starts_with("log of "));
        self
    }

    fn note(&mut self, question: impl Into<String>, answer: &dyn Debug) {
        self.0.insert(question.into(), format!("{answer:?}"));
    }

    #[track_caller]
    fn list(&mut self, probe: &Probe, name: &str, query: impl Fn(PageRequest) -> Query) -> Vec<Record> {
        let total = probe.list(&query(PageRequest::default())).and_then(|listing| listing.total);
        let records = probe.pages(100, query);
        let records = records.unwrap_or_else(|| panic!("the {name} are none, though their parent was listed"));
        let shown: Vec<String> = records.iter().map(shown).collect();
        self.note(name, &(total, shown));
        records
    }

    #[track_caller]
    fn merchant(&mut self, probe: &Probe, merchant: &Record, path: &MerchantPath) {
        let mut lists = collections();
        for key in keys_of(merchant, path) {
            let answer = probe.get(&key);
            self.note(format!("{key:?}"), &answer.as_ref().map(shown));
        }
        let mut records = Vec::new();
        while let Some(collection) = lists.pop() {
            let name = format!("{collection:?} of {path:?}");
            let listed = self.list(probe, &name, |page| Query::Within(path.clone(), collection.clone(), page));
            if collection == Collection::Profiles {
                for id in listed.iter().map(|r| r.meta().id) {
                    lists.push(Collection::Connectors { profile: Some(text(&id)) });
                    lists.push(Collection::PaymentLinks { profile: Some(text(&id)) });
                }
            }
            if collection == (Collection::PaymentLinks { profile: None }) {
                lists.extend(listed.iter().map(|r| Collection::LinkUses { link: text(r.meta().id) }));
            }
            records.extend(listed);
        }
        for record in records {
            for key in keys_of(&record, path) {
                assert_eq!(probe.get(&key).as_ref(), Some(&record), "{key:?} against the list");
            }
        }
    }

    fn claims(&mut self, probe: &Probe, tenant: Incarnation) {
        for key in IDEMPOTENCY_KEYS {
            let kept = probe.claim(tenant, key).map(|c| (plain(&c.answer), c));
            self.note(format!("claim {key} of {tenant}"), &kept);
        }
    }

    #[track_caller]
    fn log(&mut self, probe: &Probe, scope: &LogScope) {
        let entries = probe.log(scope);
        self.note(format!("log of {scope:?}"), &entries);
    }

    /// Fails with the first answers that differ.
    #[track_caller]
    pub fn assert_same(&self, later: &Self) {
        let mut report = String::new();
        for question in self.0.keys().chain(later.0.keys().filter(|q| !self.0.contains_key(*q))) {
            let (was, is) = (self.0.get(question), later.0.get(question));
            if was != is && report.len() < 4_000 {
                let _ = writeln!(report, "{question}:\n  was {was:?}\n  is  {is:?}");
            }
        }
        assert!(report.is_empty(), "something else changed:\n{report}");
    }
}

/// A record with its sealed values readable.
fn shown(record: &Record) -> String {
    format!("{:?} {}", record.meta(), record.body().expect("a state is JSON"))
}
