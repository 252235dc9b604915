//! Stores that fail, are slow, or count what they are asked, for the tests of hosts.
//!
//! ```
//! use std::sync::Arc;
//!
//! use perfectpay::{Error, Unavailability};
//! use perfectpay_memory::MemoryStore;
//! use perfectpay_testkit::faulty::{FailNth, On, When};
//! use perfectpay_testkit::layer::Layered;
//! use perfectpay_testkit::probe::Probe;
//! use perfectpay_testkit::records::{organization, organization_set};
//!
//! let full = || Error::unavailable(Unavailability::Full, "the disk is full");
//! let fault = FailNth::new(On::Commit, 1, When::Before, full);
//! let store = Probe::new(Arc::new(Layered::over(Arc::new(MemoryStore::new()), fault)));
//!
//! let row = organization(1);
//! let mut set = organization_set(&row);
//! set.create(row);
//! assert_eq!(store.commit(set.clone()).unwrap_err().code(), "unavailable");
//! store.apply(set);
//! ```

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_lite::future::yield_now;
use perfectpay::store::{
    BlockPage, BlockScan, ChangeSet, Committed, EntityRef, Export, Extent, Head, IdempotencyClaim, IdempotencyKey, Key,
    Listing, Load, LogEntry, LogPosition, LogQuery, Prune, Pruned, Query, Record, StageId, StagedPart, Store, UseCount,
    Uses,
};
use perfectpay::{Error, Incarnation};

use crate::layer::Layer;

/// Which calls a [`FailNth`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// [`Store::commit`].
    Commit,
    /// [`Store::stage`].
    Stage,
    /// [`Store::prune`].
    Prune,
    /// [`Store::import`].
    Import,
    /// Every other call.
    Read,
}

/// On which side of the call a [`FailNth`] fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing is done.
    Before,
    /// Everything is done, and the answer is lost: the honest error for a commit is
    /// [`Error::OutcomeUnknown`].
    After,
}

/// Lets one call fail, and every other pass.
pub struct FailNth {
    on: On,
    nth: u64,
    when: When,
    error: Box<dyn Fn() -> Error + Send + Sync>,
    seen: AtomicU64,
}

impl FailNth {
    /// Fails the `nth` call, counted from 1, with this error.
    pub fn new(on: On, nth: u64, when: When, error: impl Fn() -> Error + Send + Sync + 'static) -> Self {
        Self { on, nth, when, error: Box::new(error), seen: AtomicU64::new(0) }
    }

    /// Whether the call that was to fail has come.
    pub fn has_failed(&self) -> bool {
        self.seen.load(Ordering::SeqCst) >= self.nth
    }

    async fn pass<T>(&self, on: On, call: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        let is_it = on == self.on && self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.nth;
        if is_it && self.when == When::Before {
            return Err((self.error)());
        }
        let answer = call.await?;
        if is_it { Err((self.error)()) } else { Ok(answer) }
    }
}

impl fmt::Debug for FailNth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { on, nth, when, .. } = self;
        f.debug_struct("FailNth").field("on", on).field("nth", nth).field("when", when).finish_non_exhaustive()
    }
}

/// Makes every call wait: a store that is never ready at the first poll.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slow {
    /// How often a call gives way before it is carried out, and again before it answers.
    pub yields: u32,
    /// How long the thread sleeps each time.
    pub sleep: Duration,
}

impl Slow {
    async fn wait(&self) {
        for _ in 0..self.yields {
            if !self.sleep.is_zero() {
                std::thread::sleep(self.sleep);
            }
            yield_now().await;
        }
    }

    async fn pass<T>(&self, call: impl Future<Output = T> + Send) -> T {
        self.wait().await;
        let answer = call.await;
        self.wait().await;
        answer
    }
}

/// Counts the calls.
#[derive(Debug, Default)]
pub struct Counting {
    commits: AtomicU64,
    gets: AtomicU64,
    lists: AtomicU64,
    scans: AtomicU64,
    uses: AtomicU64,
    claims: AtomicU64,
    logs: AtomicU64,
    heads: AtomicU64,
    stages: AtomicU64,
    taken: AtomicU64,
    prunes: AtomicU64,
    exports: AtomicU64,
    imports: AtomicU64,
}

/// How often each method was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each is the method's name")]
pub struct Counts {
    pub commits: u64,
    pub gets: u64,
    pub lists: u64,
    pub scans: u64,
    pub uses: u64,
    pub claims: u64,
    pub logs: u64,
    pub heads: u64,
    pub stages: u64,
    pub taken: u64,
    pub prunes: u64,
    pub exports: u64,
    pub imports: u64,
}

impl Counts {
    /// All but commits, parts of stages, prunings and imports.
    pub fn reads(&self) -> u64 {
        let of_records = self.gets + self.lists + self.scans + self.uses + self.claims + self.exports;
        of_records + self.logs + self.heads + self.taken
    }
}

impl Counting {
    /// The counts since the last time that this was called.
    pub fn take(&self) -> Counts {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::SeqCst);
        Counts {
            commits: take(&self.commits),
            gets: take(&self.gets),
            lists: take(&self.lists),
            scans: take(&self.scans),
            uses: take(&self.uses),
            claims: take(&self.claims),
            logs: take(&self.logs),
            heads: take(&self.heads),
            stages: take(&self.stages),
            taken: take(&self.taken),
            prunes: take(&self.prunes),
            exports: take(&self.exports),
            imports: take(&self.imports),
        }
    }

    async fn pass<T>(&self, counter: &AtomicU64, call: impl Future<Output = T> + Send) -> T {
        counter.fetch_add(1, Ordering::SeqCst);
        call.await
    }
}

/// Writes a layer whose methods all go through its `pass`, each with its own argument in front.
macro_rules! passing {
    (
        $layer:ident: $this:ident
        $(, $commit:expr, $get:expr, $list:expr, $scan:expr, $uses:expr, $claim:expr, $log:expr, $head:expr, $stage:expr, $taken:expr,
            $prune:expr, $export:expr, $import:expr)?
    ) => {
        #[async_trait]
        impl Layer for $layer {
            async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
                let $this = self;
                $this.pass($($commit, )? next.commit(set)).await
            }

            async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
                let $this = self;
                $this.pass($($get, )? next.get(key)).await
            }

            async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
                let $this = self;
                $this.pass($($list, )? next.list(query)).await
            }

            async fn block_rules(&self, next: &dyn Store, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
                let $this = self;
                $this.pass($($scan, )? next.block_rules(scan)).await
            }

            async fn uses(&self, next: &dyn Store, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
                let $this = self;
                $this.pass($($uses, )? next.uses(count)).await
            }

            async fn claim(&self, next: &dyn Store, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
                let $this = self;
                $this.pass($($claim, )? next.claim(tenant, key)).await
            }

            async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
                let $this = self;
                $this.pass($($log, )? next.log(query)).await
            }

            async fn head(&self, next: &dyn Store) -> Result<Head, Error> {
                let $this = self;
                $this.pass($($head, )? next.head()).await
            }

            async fn stage(&self, next: &dyn Store, part: StagedPart) -> Result<(), Error> {
                let $this = self;
                $this.pass($($stage, )? next.stage(part)).await
            }

            async fn taken(&self, next: &dyn Store, of: &EntityRef, stage: StageId) -> Result<Option<Vec<u64>>, Error> {
                let $this = self;
                $this.pass($($taken, )? next.taken(of, stage)).await
            }

            async fn prune(&self, next: &dyn Store, prune: &Prune) -> Result<Pruned, Error> {
                let $this = self;
                $this.pass($($prune, )? next.prune(prune)).await
            }

            async fn export(&self, next: &dyn Store, extent: &Extent) -> Result<Box<dyn Export>, Error> {
                let $this = self;
                $this.pass($($export, )? next.export(extent)).await
            }

            async fn import(&self, next: &dyn Store, load: Load) -> Result<LogPosition, Error> {
                let $this = self;
                $this.pass($($import, )? next.import(load)).await
            }
        }
    };
}

passing!(
    FailNth: this, On::Commit, On::Read, On::Read, On::Read, On::Read, On::Read, On::Read, On::Read, On::Stage, On::Read,
    On::Prune, On::Read, On::Import
);
passing!(Slow: this);
passing!(
    Counting: this, &this.commits, &this.gets, &this.lists, &this.scans, &this.uses, &this.claims, &this.logs, &this.heads,
    &this.stages, &this.taken, &this.prunes, &this.exports, &this.imports
);
