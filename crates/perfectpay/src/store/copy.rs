//! Copies from one store to another.
//!
//! # What is promised
//!
//! - **One moment.** The copy is the source as it was when the copy began. The source may be written meanwhile; what is
//!   committed later is not in the copy. Whoever moves from one store to another stops writing to the first before.
//! - **As it is.** Ids, incarnations, versions, times and sealed values are taken over: keys authenticate, kept answers
//!   are repeated, followers see the same history. Nothing is opened or sealed anew, so the target is to be opened with
//!   the source's [`MasterKey`](crate::MasterKey).
//! - **The log goes along.** In a copy of everything its entries keep positions and times, so that a follower goes on
//!   with the position that it has. The entries of one organization are appended to the target's log with positions of
//!   the target, and a time that is the later of their own and the newest entry's there, because a log's time never
//!   steps back; objects keep their own times.
//! - **A pruned log is copied as what it is.** A copy of everything begins where the source's log begins, and its head
//!   says so in the same words ([`LogPruning`](super::LogPruning)), so that a follower is told in the copy what it is told
//!   at the source. Of one organization what was pruned is absent: its entries begin later, perhaps there are none. That
//!   is no pruning of the target, whose own mark stays as it is; who reads the organization's part from the start gets
//!   what was kept, and no error.
//! - **Verified.** In the end the target is read, and for each organization with its merchant accounts a digest of
//!   everything is compared with that of what was read from the source.
//! - **Resumable.** A copy that was interrupted, by an error or by dropping the future, is gone on with by calling it
//!   again; it ends as if it had not been. That holds for stores whose content was not written or pruned in between. If
//!   it was, what differs is refused, and the copy begins anew in an empty store (or with the organization removed).
//! - **No half accounts.** The log is there before any object, and a merchant account appears at once with all that is
//!   in it; one that is larger than a [`Load`] appears in several steps, its API keys with the last. Other accounts may
//!   be missing until the copy has ended, so a target belongs to the copy alone until then; writing to an organization
//!   that is being copied makes the copy fail.
//!
//! # Where to
//!
//! A copy of everything wants an empty store (or one that such a copy was interrupted in). A copy of an organization
//! wants a store in which the ids of the organization and of its merchant accounts are free.
//!
//! ```
//! use perfectpay::store::{Extent, copy};
//! use perfectpay_memory::MemoryStore;
//!
//! # futures_lite::future::block_on(async {
//! let (from, to) = (MemoryStore::new(), MemoryStore::new());
//! let report = copy(&from, &to, &Extent::Everything, |progress| println!("{progress:?}")).await?;
//! assert_eq!(report.records, 0);
//! # Ok::<(), perfectpay::Error>(())
//! # }).unwrap();
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use sha2::{Digest as _, Sha256};

use super::Store;
use super::change::IdempotencyClaim;
use super::key::{Key, MerchantPath, OrganizationPath, Query};
use super::load::{Extent, Item, Load, LogBeginning, Logged, Packed, platform, whose};
use super::log::LogPosition;
use super::record::Record;
use crate::error::{Entity, EntityKind, Error, Fault};
use crate::id::Incarnation;
use crate::page::{Cursor, MAX_LIMIT, PageRequest};
use crate::time::Timestamp;

/// What a copy is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyStep {
    /// Copying.
    Copying,
    /// Reading the target, to compare it.
    Verifying,
}

/// How far a copy is. It is told with every load, the last of which may still be on its way; how much there is in all is not known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyProgress {
    /// What is being done.
    pub step: CopyStep,
    /// How many objects are done in this step.
    pub records: u64,
    /// How many entries of the log are done in this step.
    pub entries: u64,
}

/// What a store holds of an organization, in 32 bytes.
///
/// Two stores that hold the same have the same digest, whatever their back-ends. In it is every byte of every record, of
/// what is kept under idempotency keys, and of the log, but for positions and times of entries, which a copy of one
/// organization may change.
#[derive(Clone, PartialEq, Eq)]
pub struct TenantDigest {
    /// The organization, living or removed. [`Incarnation::PLATFORM`] stands for what belongs to none; of a whole store
    /// that is also the order, the positions and the times of all entries of the log, and where a pruned log begins.
    pub tenant: Incarnation,
    /// Its id; that of the platform is `platform`.
    pub id: String,
    /// SHA-256.
    pub digest: [u8; 32],
    /// How many objects there are, itself among them.
    pub records: u64,
    /// How many answers are kept under idempotency keys.
    pub claims: u64,
    /// How many entries the log has.
    pub entries: u64,
}

impl fmt::Debug for TenantDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantDigest")
            .field("tenant", &self.tenant)
            .field("id", &self.id)
            .field("digest", &data_encoding::HEXLOWER.encode(&self.digest))
            .field("records", &self.records)
            .field("claims", &self.claims)
            .field("entries", &self.entries)
            .finish()
    }
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CopyReport {
    /// The digests, which both stores have, by incarnation.
    pub tenants: Vec<TenantDigest>,
    /// How many objects.
    pub records: u64,
    /// How many answers kept under idempotency keys.
    pub claims: u64,
    /// How many entries of the log.
    pub entries: u64,
}

/// Copies a store, or one organization, into another store. What is promised: that the target then
/// [digests](digest) as the source did at the moment at which this began, and ids, times, versions and sealed values
/// are the source's.
///
/// - The source may be written meanwhile; the copy is of the moment at which it began.
/// - The target is the copy's alone until this answers. Merchant accounts appear in it one after the other, each whole.
/// - Calling it again after an error goes on where that one ended, if the source was not written in between.
/// - The target is opened with the source's [`MasterKey`](crate::MasterKey): sealed values are copied as they are.
/// - A copy of everything wants an empty target and keeps the log's positions; a copy of an organization appends its
///   part of the log, with times that are not before the newest entry's.
///
/// Memory: some loads, and 300 bytes for each organization.
///
/// # Errors
///
/// - [`Error::NotFound`]: the organization does not live in the source.
/// - [`Error::AlreadyExists`]: the id of the organization, or of one of its merchant accounts, belongs to another one in
///   the target. Nothing was written, unless it was taken while the copy ran.
/// - [`Error::Invalid`] with code `copy.same_store`.
/// - [`Error::Refused`], which names an organization or an object: with code `copy.diverged` if the target's log is not
///   a beginning of the source's, `load.differs` if it has an object that is not equal, `copy.differs` if all was written
///   and the digests are not equal.
/// - What the stores answer. The target may have a part of the loads then; calling again goes on behind them.
pub async fn copy(
    from: &dyn Store,
    to: &dyn Store,
    extent: &Extent,
    mut progress: impl FnMut(CopyProgress) + Send,
) -> Result<CopyReport, Error> {
    if std::ptr::addr_eq(from, to) {
        return Err(Fault::new("copy.same_store", "is the store that is copied").at("to").into());
    }
    let extent = &pinned(from, to, extent).await?;
    let (mut kept, mut behind) = known_log(to, extent).await?;
    let mut source = from.export(extent).await?;
    let mut tally = Tally::of(extent);
    let mut flight: Option<Flight<'_>> = None;
    while let Some(mut load) = source.next().await? {
        load.items.iter().for_each(|item| tally.add(item));
        kept.pass(&mut load, extent)?;
        if let Some(flight) = flight.take() {
            behind = flight.landed(behind).await?;
        }
        let appends = load.entries().next().is_some();
        load.behind = (appends && matches!(extent, Extent::Organization(_))).then_some(behind);
        if !load.items.is_empty() {
            flight = Some(Flight::begin(to.import(load), appends).await);
        }
        progress(tally.progress(CopyStep::Copying));
    }
    if let Some(flight) = flight {
        flight.landed(behind).await?;
    }
    kept.end()?;
    drop(source);
    let expected = tally.close();
    let found = digest_telling(to, extent, |so_far| progress(so_far.progress(CopyStep::Verifying))).await?;
    compare(&expected, &found)?;
    let sum = |count: fn(&TenantDigest) -> u64| expected.iter().map(count).sum();
    let (records, claims, entries) = (sum(|t| t.records), sum(|t| t.claims), sum(|t| t.entries));
    Ok(CopyReport { tenants: expected, records, claims, entries })
}

/// A load that the target writes while the next one is read and digested.
struct Flight<'a> {
    import: Pin<Box<dyn Future<Output = Result<LogPosition, Error>> + Send + 'a>>,
    landed: Option<Result<LogPosition, Error>>,
    appends: bool,
}

impl<'a> Flight<'a> {
    /// Polls the import once, with which it is on its way.
    async fn begin(
        mut import: Pin<Box<dyn Future<Output = Result<LogPosition, Error>> + Send + 'a>>,
        appends: bool,
    ) -> Self {
        let landed = poll_fn(|context| match import.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => Poll::Ready(None),
        });
        let landed = landed.await;
        Self { import, landed, appends }
    }

    /// Where the next entry of the log comes, now that this load is written.
    async fn landed(self, behind: LogPosition) -> Result<LogPosition, Error> {
        let last = match self.landed {
            Some(answer) => answer?,
            None => self.import.await?,
        };
        Ok(if self.appends { last } else { behind })
    }
}

/// What a store holds, one digest for each organization in the extent, by incarnation. It is of one moment.
///
/// # Errors
///
/// Those of [`Store::export`].
pub async fn digest(store: &dyn Store, extent: &Extent) -> Result<Vec<TenantDigest>, Error> {
    digest_telling(store, extent, |_| ()).await
}

async fn digest_telling(
    store: &dyn Store,
    extent: &Extent,
    mut tell: impl FnMut(&Tally) + Send,
) -> Result<Vec<TenantDigest>, Error> {
    let mut export = store.export(extent).await?;
    let mut tally = Tally::of(extent);
    while let Some(load) = export.next().await? {
        load.items.iter().for_each(|item| tally.add(item));
        tell(&tally);
    }
    Ok(tally.close())
}

/// The first organization that both stores do not hold alike.
fn compare(expected: &[TenantDigest], found: &[TenantDigest]) -> Result<(), Error> {
    let by_tenant = |digests: &[TenantDigest]| -> BTreeMap<Incarnation, TenantDigest> {
        digests.iter().map(|digest| (digest.tenant, digest.clone())).collect()
    };
    let (expected, found) = (by_tenant(expected), by_tenant(found));
    let both = expected.iter().chain(found.iter());
    let unequal = both.filter(|(tenant, _)| expected.get(*tenant) != found.get(*tenant));
    // What is the platform's differs along with any other, and says less.
    let Some((_, tenant)) = unequal.max_by_key(|(tenant, _)| **tenant != Incarnation::PLATFORM) else { return Ok(()) };
    let entity = Entity::new(EntityKind::Organization, &tenant.id);
    Err(Error::Refused { entity, code: "copy.differs", message: "is not the same in both stores after the copy" })
}

/// The extent as both stores understand it, if the ids in it are free in the target.
async fn pinned(from: &dyn Store, to: &dyn Store, extent: &Extent) -> Result<Extent, Error> {
    let Extent::Organization(path) = extent else { return Ok(Extent::Everything) };
    let found = from.get(&Key::Organization(path.clone())).await?;
    let Some(Record::Organization(organization)) = found else {
        let id = match path {
            OrganizationPath::Id(id) => id.to_string(),
            OrganizationPath::Pinned(incarnation) => incarnation.to_string(),
        };
        return Err(Error::not_found(EntityKind::Organization, id));
    };
    let is_free = |row: Record, kept: Option<Record>| match kept {
        Some(kept) if kept.meta().tenant != row.meta().tenant => Err(Error::AlreadyExists(row.entity().named())),
        _ => Ok(()),
    };
    let key = Key::Organization(OrganizationPath::Id(organization.id.clone()));
    let path = OrganizationPath::Pinned(organization.tenant);
    is_free(organization.into(), to.get(&key).await?)?;
    let mut page = PageRequest::of(MAX_LIMIT)?;
    loop {
        let listing = from.list(&Query::Merchants(path.clone(), page.clone())).await?.unwrap_or_default();
        let more = listing.records.len() > usize::try_from(MAX_LIMIT).unwrap_or(usize::MAX);
        let mut last = None;
        for record in listing.records {
            let Record::Merchant(merchant) = &record else { continue };
            let key = Key::Merchant(MerchantPath::Id(merchant.id.clone()));
            last = Some(Cursor { created_at: merchant.created_at, id: merchant.id.to_string() });
            is_free(record, to.get(&key).await?)?;
        }
        if !more {
            return Ok(Extent::Organization(path));
        }
        page = page.after(last);
    }
}

/// What the target's log has of the extent already: entries that an interrupted copy left, or of somebody else.
struct KnownLog {
    left: u64,
    /// Whether the extent has objects in the target and no entry: those were pruned, and must not come a second time.
    lost: bool,
    expected: Sha256,
    seen: Sha256,
    newest: Option<Logged>,
}

async fn known_log(to: &dyn Store, extent: &Extent) -> Result<(KnownLog, LogPosition), Error> {
    let mut known = KnownLog { left: 0, lost: false, expected: Sha256::new(), seen: Sha256::new(), newest: None };
    let mut export = to.export(extent).await?;
    // The log comes first.
    while let Some(load) = export.next().await? {
        let mut others = false;
        for item in load.items {
            let Some(link) = link(&item, extent) else {
                others = true;
                break;
            };
            known.left = known.left.saturating_add(1);
            known.expected.update(link);
            if let Item::Entry(logged) = item {
                known.newest = Some(logged);
            }
        }
        if others {
            known.lost = known.left == 0;
            break;
        }
    }
    let behind = known.newest.as_ref().map_or(LogPosition::START, |logged| logged.entry.position);
    Ok((known, behind))
}

impl KnownLog {
    /// Takes the entries that the target has out of the load.
    fn pass(&mut self, load: &mut Load, extent: &Extent) -> Result<(), Error> {
        if self.lost && load.entries().next().is_some() {
            return Err(self.diverged(load));
        }
        if self.left == 0 {
            return Ok(());
        }
        load.items.retain(|item| match link(item, extent) {
            Some(link) if self.left > 0 => {
                self.left = self.left.saturating_sub(1);
                self.seen.update(link);
                false
            }
            _ => true,
        });
        if self.left == 0 || !load.items.is_empty() { self.end() } else { Ok(()) }
    }

    /// The source's log has all of them.
    fn end(&self) -> Result<(), Error> {
        if self.left == 0 && self.seen.clone().finalize() == self.expected.clone().finalize() {
            return Ok(());
        }
        Err(self.diverged(&Load::default()))
    }

    fn diverged(&self, load: &Load) -> Error {
        let entity = self.newest.as_ref().or_else(|| load.entries().next()).map_or_else(platform, whose);
        let message = "has entries in the target's log that are not a beginning of the source's";
        Error::Refused { entity, code: "copy.diverged", message }
    }
}

/// What is of the log, as both stores must have it: an entry with its place only if it keeps that.
fn link(item: &Item, extent: &Extent) -> Option<[u8; 32]> {
    let mut fields = Fields::default();
    match item {
        Item::Beginning(beginning) => fields.beginning(beginning),
        Item::Entry(logged) => {
            if matches!(extent, Extent::Everything) {
                fields.place(logged);
            }
            fields.entry(logged);
        }
        Item::Claim(_) | Item::Record(_) => return None,
    }
    Some(fields.0.finalize().into())
}

/// Digests in the making.
struct Tally {
    everything: bool,
    tenants: BTreeMap<Incarnation, (TenantDigest, Fields)>,
    records: u64,
    entries: u64,
    /// The tenant whose items are coming, and its organization.
    current: (Incarnation, Incarnation),
}

impl Tally {
    fn of(extent: &Extent) -> Self {
        let everything = matches!(extent, Extent::Everything);
        let current = (Incarnation::PLATFORM, Incarnation::PLATFORM);
        Self { everything, tenants: BTreeMap::new(), records: 0, entries: 0, current }
    }

    fn tenant(&mut self, tenant: Incarnation) -> (&mut TenantDigest, &mut Fields) {
        let new = || {
            let id = if tenant == Incarnation::PLATFORM { "platform".to_owned() } else { tenant.to_string() };
            (TenantDigest { tenant, id, digest: [0; 32], records: 0, claims: 0, entries: 0 }, Fields::default())
        };
        let (digest, fields) = self.tenants.entry(tenant).or_insert_with(new);
        (digest, fields)
    }

    fn add(&mut self, item: &Item) {
        match item {
            Item::Beginning(beginning) => {
                let (_, fields) = self.tenant(Incarnation::PLATFORM);
                fields.beginning(beginning);
            }
            Item::Entry(logged) => {
                self.entries = self.entries.saturating_add(1);
                if self.everything {
                    let (_, fields) = self.tenant(Incarnation::PLATFORM);
                    fields.place(logged);
                    fields.tenant(logged.organization);
                }
                let (digest, fields) = self.tenant(logged.organization.unwrap_or(Incarnation::PLATFORM));
                digest.entries = digest.entries.saturating_add(1);
                if let Some(id) = &logged.entry.organization_id {
                    digest.id.clone_from(id);
                }
                fields.entry(logged);
            }
            Item::Claim(claim) => {
                let (tenant, organization) = self.current;
                let of = if claim.tenant == tenant { organization } else { Incarnation::PLATFORM };
                let (digest, fields) = self.tenant(of);
                digest.claims = digest.claims.saturating_add(1);
                fields.claim(claim);
            }
            Item::Record(packed) => {
                self.records = self.records.saturating_add(1);
                match packed.record() {
                    Record::Organization(row) => {
                        self.current = (row.tenant, row.tenant);
                        let (digest, _) = self.tenant(row.tenant);
                        digest.id = row.id.to_string();
                    }
                    Record::Merchant(row) => self.current = (row.tenant, row.state.organization),
                    _ => {}
                }
                let (digest, fields) = self.tenant(self.current.1);
                digest.records = digest.records.saturating_add(1);
                fields.record(packed);
            }
        }
    }

    fn progress(&self, step: CopyStep) -> CopyProgress {
        CopyProgress { step, records: self.records, entries: self.entries }
    }

    fn close(self) -> Vec<TenantDigest> {
        let closed =
            |(digest, fields): (TenantDigest, Fields)| TenantDigest { digest: fields.0.finalize().into(), ..digest };
        self.tenants.into_values().map(closed).collect()
    }
}

/// The bytes of what is kept: one after the other, each with its length in front.
#[derive(Default)]
struct Fields(Sha256);

impl Fields {
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn text(&mut self, text: Option<&str>) {
        self.0.update([u8::from(text.is_some())]);
        self.bytes(text.unwrap_or_default().as_bytes());
    }

    fn tenant(&mut self, tenant: Option<Incarnation>) {
        self.bytes(tenant.as_ref().map_or(&[], |tenant| tenant.as_bytes()));
    }

    fn place(&mut self, logged: &Logged) {
        self.number(logged.entry.position.as_u64());
        self.0.update(logged.entry.at.unix_millis().to_be_bytes());
    }

    fn beginning(&mut self, beginning: &LogBeginning) {
        self.bytes(b"beginning");
        self.number(beginning.pruned.through.as_u64());
        self.0.update(beginning.pruned.at.unix_millis().to_be_bytes());
        self.bytes(beginning.pruned.by.to_string().as_bytes());
        self.number(beginning.configuration.as_u64());
    }

    /// An entry without its place.
    fn entry(&mut self, logged: &Logged) {
        let entry = &logged.entry;
        self.bytes(b"entry");
        self.bytes(entry.actor.to_string().as_bytes());
        self.bytes(entry.class.to_string().as_bytes());
        self.tenant(logged.organization);
        self.text(entry.organization_id.as_deref());
        self.tenant(logged.merchant);
        self.text(entry.merchant_id.as_deref());
        self.number(u64::try_from(entry.changes.len()).unwrap_or(u64::MAX));
        for (change, entity) in entry.changes.iter().zip(&logged.entities) {
            self.bytes(<&str>::from(change.kind).as_bytes());
            self.tenant(Some(entity.tenant));
            self.bytes(change.id.as_bytes());
            self.bytes(change.verb.to_string().as_bytes());
            self.number(change.version);
            self.number(change.count);
        }
    }

    fn claim(&mut self, claim: &IdempotencyClaim) {
        self.bytes(b"claim");
        self.tenant(Some(claim.tenant));
        self.bytes(claim.key.as_str().as_bytes());
        self.bytes(&claim.request);
        self.bytes(claim.answer.as_bytes());
        self.0.update(claim.expires_at.unix_millis().to_be_bytes());
    }

    fn record(&mut self, packed: &Packed) {
        let (record, meta) = (packed.record(), packed.record().meta());
        self.bytes(<&str>::from(record.kind()).as_bytes());
        self.tenant(Some(meta.tenant));
        self.bytes(meta.id.as_bytes());
        self.number(meta.version);
        self.0.update(meta.created_at.unix_millis().to_be_bytes());
        self.0.update(meta.modified_at.unix_millis().to_be_bytes());
        self.bytes(packed.body().as_bytes());
        // Kept beside the body.
        if let Record::ApiKey(row) = record {
            self.0.update(row.state.last_used.map_or(i64::MIN, Timestamp::unix_millis).to_be_bytes());
        }
    }
}
