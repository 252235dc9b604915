//! Wrapper stores: a [`Layer`] over a store changes some of its methods and passes the others on.

use std::sync::Arc;

use async_trait::async_trait;
use perfectpay::store::{
    BlockPage, BlockScan, ChangeSet, Committed, EntityRef, Export, Extent, Head, IdempotencyClaim, IdempotencyKey, Key,
    Listing, Load, LogEntry, LogPosition, LogQuery, Prune, Pruned, Query, Record, StageId, StagedPart, Store, UseCount,
    Uses,
};
use perfectpay::{Error, Incarnation};

/// What stands between a caller and a store. Every method passes on unless it is written anew.
#[async_trait]
#[allow(clippy::missing_errors_doc, reason = "they are those of `Store`")]
pub trait Layer: std::fmt::Debug + Send + Sync + 'static {
    /// [`Store::commit`].
    async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
        next.commit(set).await
    }

    /// [`Store::get`].
    async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
        next.get(key).await
    }

    /// [`Store::list`].
    async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
        next.list(query).await
    }

    /// [`Store::uses`].
    async fn uses(&self, next: &dyn Store, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
        next.uses(count).await
    }

    /// [`Store::claim`].
    async fn claim(
        &self,
        next: &dyn Store,
        tenant: Incarnation,
        key: &IdempotencyKey,
    ) -> Result<Option<IdempotencyClaim>, Error> {
        next.claim(tenant, key).await
    }

    /// [`Store::log`].
    async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
        next.log(query).await
    }

    /// [`Store::block_rules`].
    async fn block_rules(&self, next: &dyn Store, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
        next.block_rules(scan).await
    }

    /// [`Store::head`].
    async fn head(&self, next: &dyn Store) -> Result<Head, Error> {
        next.head().await
    }

    /// [`Store::stage`].
    async fn stage(&self, next: &dyn Store, part: StagedPart) -> Result<(), Error> {
        next.stage(part).await
    }

    /// [`Store::taken`].
    async fn taken(&self, next: &dyn Store, of: &EntityRef, stage: StageId) -> Result<Option<Vec<u64>>, Error> {
        next.taken(of, stage).await
    }

    /// [`Store::prune`].
    async fn prune(&self, next: &dyn Store, prune: &Prune) -> Result<Pruned, Error> {
        next.prune(prune).await
    }

    /// [`Store::export`].
    async fn export(&self, next: &dyn Store, extent: &Extent) -> Result<Box<dyn Export>, Error> {
        next.export(extent).await
    }

    /// [`Store::import`].
    async fn import(&self, next: &dyn Store, load: Load) -> Result<LogPosition, Error> {
        next.import(load).await
    }
}

/// A layer over a store.
#[derive(Debug, Clone)]
pub struct Layered<L> {
    /// The layer, to be asked what it saw.
    pub layer: Arc<L>,
    next: Arc<dyn Store>,
}

impl<L: Layer> Layered<L> {
    /// Puts the layer over the store.
    pub fn over(next: Arc<dyn Store>, layer: L) -> Self {
        Self { layer: Arc::new(layer), next }
    }
}

#[async_trait]
impl<L: Layer> Store for Layered<L> {
    async fn commit(&self, set: ChangeSet) -> Result<Committed, Error> {
        self.layer.commit(&*self.next, set).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        self.layer.get(&*self.next, key).await
    }

    async fn list(&self, query: &Query) -> Result<Option<Listing>, Error> {
        self.layer.list(&*self.next, query).await
    }

    async fn block_rules(&self, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
        self.layer.block_rules(&*self.next, scan).await
    }

    async fn uses(&self, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
        self.layer.uses(&*self.next, count).await
    }

    async fn claim(&self, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
        self.layer.claim(&*self.next, tenant, key).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
        self.layer.log(&*self.next, query).await
    }

    async fn head(&self) -> Result<Head, Error> {
        self.layer.head(&*self.next).await
    }

    async fn stage(&self, part: StagedPart) -> Result<(), Error> {
        self.layer.stage(&*self.next, part).await
    }

    async fn taken(&self, of: &EntityRef, stage: StageId) -> Result<Option<Vec<u64>>, Error> {
        self.layer.taken(&*self.next, of, stage).await
    }

    async fn prune(&self, prune: &Prune) -> Result<Pruned, Error> {
        self.layer.prune(&*self.next, prune).await
    }

    async fn export(&self, extent: &Extent) -> Result<Box<dyn Export>, Error> {
        self.layer.export(&*self.next, extent).await
    }

    async fn import(&self, load: Load) -> Result<LogPosition, Error> {
        self.layer.import(&*self.next, load).await
    }
}
