//! What the library draws and what crosses the [`Store`] trait, kept to be looked at.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use perfectpay::store::{
    BlockPage, BlockScan, Change, ChangeSet, Collection, Committed, EntityRef, Export, Extent, Head, IdempotencyClaim,
    IdempotencyKey, Key, Listing, Load, LogEntry, LogPosition, LogQuery, MerchantPath, OrganizationPath, Prune, Pruned,
    Query, Record, StageId, StagedPart, Store, UseCount, Uses,
};
use perfectpay::{EntityKind, Entropy, Error, Incarnation, PageRequest};
use perfectpay_testkit::SeededEntropy;
use perfectpay_testkit::watch::Watch;
use strum::VariantArray as _;

/// Randomness that remembers what it gave.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) inner: SeededEntropy,
    pub(super) drawn: Mutex<Vec<Vec<u8>>>,
}

impl Entropy for Recorded {
    fn fill(&self, bytes: &mut [u8]) {
        self.inner.fill(bytes);
        self.drawn.lock().unwrap().push(bytes.to_vec());
    }
}

impl Recorded {
    /// Keys of 32 bytes, and texts of base62 that were made of 64: all of these are secrets. Ids, publishable keys and
    /// nonces are drawn in smaller pieces, and are not.
    pub(super) fn watch(&self, watch: &mut Watch) {
        for (at, drawn) in self.drawn.lock().unwrap().iter().enumerate() {
            match drawn.len() {
                32 => watch.add_bytes(&format!("draw {at}, a key"), drawn),
                64 => {
                    let symbols = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
                    let text: Vec<u8> =
                        drawn.iter().filter(|b| **b < 248).map(|b| symbols[usize::from(b % 62)]).collect();
                    // A key's first 8 are its prefix, and a client secret has 20.
                    watch.add_bytes(&format!("draw {at}, a text"), &text[8..20]);
                }
                _ => {}
            }
        }
    }
}

/// A store that remembers what crossed it.
#[derive(Debug)]
pub(super) struct Tapped {
    pub(super) inner: Arc<dyn Store>,
    pub(super) crossed: Mutex<Vec<String>>,
}

impl Tapped {
    fn note<T: Debug>(&self, what: T) -> T {
        self.crossed.lock().unwrap().push(format!("{what:?}"));
        what
    }
}

#[async_trait]
impl Store for Tapped {
    async fn commit(&self, set: ChangeSet) -> Result<Committed, Error> {
        self.note(&set);
        for change in &set.changes {
            if let Change::Create(record) | Change::Update(record) = change {
                self.crossed.lock().unwrap().push(record.body().unwrap());
            }
        }
        if let Some(claim) = &set.idempotency {
            self.crossed.lock().unwrap().push(serde_json::to_string(&claim.answer).unwrap());
        }
        self.inner.commit(set).await.map(|done| self.note(done))
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        self.inner.get(key).await.map(|found| self.note(found))
    }

    async fn list(&self, query: &Query) -> Result<Option<Listing>, Error> {
        self.inner.list(query).await.map(|found| self.note(found))
    }

    async fn block_rules(&self, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
        self.inner.block_rules(scan).await.map(|found| self.note(found))
    }

    async fn uses(&self, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
        self.inner.uses(count).await.map(|found| self.note(found))
    }

    async fn claim(&self, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
        self.inner.claim(tenant, key).await.map(|found| self.note(found))
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
        self.inner.log(query).await.map(|found| self.note(found))
    }

    async fn head(&self) -> Result<Head, Error> {
        self.inner.head().await
    }

    async fn stage(&self, part: StagedPart) -> Result<(), Error> {
        self.inner.stage(self.note(part)).await
    }

    async fn taken(&self, of: &EntityRef, stage: StageId) -> Result<Option<Vec<u64>>, Error> {
        self.inner.taken(of, stage).await
    }

    async fn prune(&self, prune: &Prune) -> Result<Pruned, Error> {
        self.note(prune);
        self.inner.prune(prune).await
    }

    async fn export(&self, extent: &Extent) -> Result<Box<dyn Export>, Error> {
        self.inner.export(extent).await
    }

    async fn import(&self, load: Load) -> Result<LogPosition, Error> {
        self.inner.import(self.note(load)).await
    }
}

/// Every living record of a store. A kind that is new is looked for where [`Collection::of_all`] says, which does not
/// compile without saying it.
pub(super) async fn records(store: &dyn Store) -> Vec<Record> {
    let page = || PageRequest::of(100).unwrap();
    let listed = async |query: Query| store.list(&query).await.unwrap().unwrap().records;
    let mut all = Vec::new();
    for organization in listed(Query::Organizations(page())).await {
        let path = OrganizationPath::Pinned(organization.meta().tenant);
        all.push(organization);
        for merchant in listed(Query::Merchants(path, page())).await {
            let Record::Merchant(row) = &merchant else { panic!("{merchant:?}") };
            let path = MerchantPath::Pinned(row.tenant);
            all.extend(store.get(&Key::DataKey(row.tenant, row.state.data_key.clone())).await.unwrap());
            all.push(merchant);
            let mut collections: Vec<Collection> =
                EntityKind::VARIANTS.iter().filter_map(|kind| Collection::of_all(*kind)).collect();
            // Uses are listed by their link.
            let links = Collection::PaymentLinks { profile: None };
            for link in listed(Query::Within(path.clone(), links, page())).await {
                let Record::PaymentLink(row) = link else { panic!("{link:?}") };
                collections.push(Collection::LinkUses { link: row.id });
            }
            for collection in collections {
                all.extend(listed(Query::Within(path.clone(), collection, page())).await);
            }
        }
    }
    all
}
