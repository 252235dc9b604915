//! Whether everything that is sealed opens: what a store cannot check by itself, since it has no keys.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use perfectpay_macros::observed;
use serde::Serialize;
use strum::VariantArray as _;

use super::operation::Operation;
use super::overlay::{key_of, paged};
use super::root::PerfectPay;
use super::session::Session;
use crate::error::{Entity, EntityKind, Error};
use crate::id::{DataKeyId, Incarnation, MerchantId};
use crate::merchant::{DataKeyState, MerchantState, WRAPPED};
use crate::organization::OrganizationState;
use crate::page::{Cursor, MAX_LIMIT, PageRequest};
use crate::seal::{Place, Sealed, SealingKey};
use crate::store::{Collection, Key, MerchantPath, OrganizationPath, Query, Record, Stored};

/// How many faults a report lists at most.
const MAX_FAULTS: usize = 10_000;
/// How many data keys of one account are kept open while its values are.
const MAX_KEYS: usize = 1_024;
/// How often a record that others change meanwhile is read again.
const READINGS: u32 = 8;

/// A sealed value that does not open, or the data key that would open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SealFault {
    /// The merchant account; `None` for an object that is in none.
    pub merchant_id: Option<MerchantId>,
    /// The object.
    pub entity: Entity,
    /// The field that the value was sealed for; of a data key its own wrapped one.
    pub field: &'static str,
}

impl fmt::Display for SealFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the sealed {} of {} does not open", self.field, self.entity)?;
        self.merchant_id.as_ref().map_or(Ok(()), |id| write!(f, ", in the merchant account `{id}`"))
    }
}

/// What [`PerfectPay::verify_seals`] looked at, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct SealReport {
    /// How many merchant accounts were looked at.
    pub merchants: u64,
    /// How many records were looked at, those of the accounts and of their data keys among them.
    pub records: u64,
    /// How many sealed values were looked at.
    pub seals: u64,
    /// Which of them do not open; at most 10,000 are listed.
    pub faults: Vec<SealFault>,
    /// How many more there were.
    pub left_out: u64,
}

impl SealReport {
    /// Whether everything opens.
    pub fn is_healthy(&self) -> bool {
        self.faults.is_empty()
    }

    /// How many do not open, listed or not.
    pub fn total(&self) -> u64 {
        self.left_out.saturating_add(u64::try_from(self.faults.len()).unwrap_or(u64::MAX))
    }

    fn fault(&mut self, merchant_id: Option<&MerchantId>, entity: Entity, field: &'static str) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(SealFault { merchant_id: merchant_id.cloned(), entity, field });
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}

impl PerfectPay {
    /// Opens every sealed value of every record, and reports each one that does not open. It says nothing of what is in
    /// them. Data keys are read anew from the store, whether this process has opened them before or not; answers that
    /// are kept under idempotency keys are no records, and left out.
    ///
    /// It reads the whole store, 100 records at a time, and keeps no more than those and the report. What others change
    /// meanwhile is looked at as it is before or after, and what they remove is no fault. `progress` hears the report as
    /// it stands, after every page.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if a record cannot be read at all, of which the store's own verification says more; those of the
    /// store.
    #[observed]
    pub async fn verify_seals(&self, mut progress: impl FnMut(&SealReport) + Send) -> Result<SealReport, Error> {
        let session = &self.session;
        session.begin(Operation::VerifySeals).await?;
        let mut report = SealReport::default();
        let mut organizations = Pages::of(Query::Organizations(PageRequest::default()));
        while let Some(page) = organizations.next(session).await? {
            for organization in page {
                let row: Stored<OrganizationState> = organization.clone().try_into()?;
                let path = OrganizationPath::Pinned(row.tenant);
                let mut keys = Keys::of(session, row.tenant, None);
                keys.get(&row.state.data_key, &mut report).await?;
                keys.check(organization, &mut report).await?;
                let mut merchants = Pages::of(Query::Merchants(path, PageRequest::default()));
                while let Some(page) = merchants.next(session).await? {
                    for merchant in page {
                        let row: Stored<MerchantState> = merchant.clone().try_into()?;
                        let mut keys = Keys::of(session, row.tenant, Some(row.id));
                        for id in [Some(&row.state.data_key), row.state.former_data_key.as_ref()].into_iter().flatten()
                        {
                            keys.get(id, &mut report).await?;
                        }
                        keys.check(merchant, &mut report).await?;
                        keys.account(&mut report, &mut progress).await?;
                        report.merchants = report.merchants.saturating_add(1);
                        progress(&report);
                    }
                }
            }
            progress(&report);
        }
        Ok(report)
    }
}

/// A collection, a page at a time.
struct Pages {
    query: Query,
    after: Option<Cursor>,
    is_over: bool,
}

impl Pages {
    fn of(query: Query) -> Self {
        Self { query, after: None, is_over: false }
    }

    /// The next page; `None` behind the last one, and where the parent is gone.
    async fn next(&mut self, session: &Session) -> Result<Option<Vec<Record>>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let page = PageRequest::of(MAX_LIMIT)?.after(self.after.take());
        let Some(mut listing) = session.store().list(&paged(&self.query, page)).await? else { return Ok(None) };
        let limit = usize::try_from(MAX_LIMIT).unwrap_or(usize::MAX);
        self.is_over = listing.records.len() <= limit;
        listing.records.truncate(limit);
        self.after = listing.records.last().map(Record::meta).map(|m| Cursor { created_at: m.created_at, id: m.id });
        Ok(Some(listing.records))
    }
}

/// The data keys of one tenant, while its values are opened.
struct Keys<'a> {
    session: &'a Session,
    tenant: Incarnation,
    merchant_id: Option<MerchantId>,
    /// `None` for one that does not open or is not there.
    opened: HashMap<DataKeyId, Option<Arc<SealingKey>>>,
}

impl<'a> Keys<'a> {
    fn of(session: &'a Session, tenant: Incarnation, merchant_id: Option<MerchantId>) -> Self {
        Self { session, tenant, merchant_id, opened: HashMap::new() }
    }

    /// Looks at everything below the account.
    async fn account(
        &mut self,
        report: &mut SealReport,
        progress: &mut (impl FnMut(&SealReport) + Send),
    ) -> Result<(), Error> {
        for collection in EntityKind::VARIANTS.iter().filter_map(|kind| Collection::of_all(*kind)) {
            let query = Query::Within(MerchantPath::Pinned(self.tenant), collection, PageRequest::default());
            let mut pages = Pages::of(query);
            while let Some(page) = pages.next(self.session).await? {
                for record in page {
                    self.check(record, report).await?;
                }
                progress(report);
            }
        }
        Ok(())
    }

    /// Opens the sealed values of one record.
    async fn check(&mut self, mut record: Record, report: &mut SealReport) -> Result<(), Error> {
        let entity = record.entity();
        let mut readings = 1;
        loop {
            let version = record.meta().version;
            let mut looked = 0_u64;
            let mut closed = Vec::new();
            for (field, sealed) in record.sealed_fields() {
                looked = looked.saturating_add(1);
                let place = Place { tenant: self.tenant, kind: entity.kind, id: &entity.id, field };
                if !self.opens(place, sealed, report).await? {
                    closed.push(field);
                }
            }
            if !closed.is_empty() {
                // Its key may have gone with an older version of it.
                match self.session.store().get(&key_of(&entity)?).await? {
                    None => return Ok(()),
                    Some(next) if next.meta().version != version && readings < READINGS => {
                        record = next;
                        readings += 1;
                        continue;
                    }
                    Some(_) => {}
                }
            }
            for field in closed {
                report.fault(self.merchant_id.as_ref(), entity.named(), field);
            }
            report.records = report.records.saturating_add(1);
            report.seals = report.seals.saturating_add(looked);
            return Ok(());
        }
    }

    async fn opens(&mut self, place: Place<'_>, sealed: &Sealed, report: &mut SealReport) -> Result<bool, Error> {
        let Ok(id) = sealed.key_id() else { return Ok(false) };
        let Ok(id) = id.parse::<DataKeyId>() else { return Ok(false) };
        Ok(self.get(&id, report).await?.is_some_and(|key| key.open(place, sealed).is_ok()))
    }

    /// A data key, which is looked at itself when it is first asked for.
    async fn get(&mut self, id: &DataKeyId, report: &mut SealReport) -> Result<Option<Arc<SealingKey>>, Error> {
        if let Some(known) = self.opened.get(id) {
            return Ok(known.clone());
        }
        if self.opened.len() >= MAX_KEYS {
            self.opened.clear();
        }
        let path = Key::DataKey(self.tenant, id.clone());
        let Some(record) = self.session.store().get(&path).await? else {
            self.opened.insert(id.clone(), None);
            return Ok(None);
        };
        let row: Stored<DataKeyState> = record.try_into()?;
        let key = match self.session.inner.vault.unwrap_data_key(self.tenant, id, &row.state.wrapped).await {
            Ok(key) => Some(Arc::new(key)),
            Err(Error::Corrupt { .. }) => {
                report.fault(self.merchant_id.as_ref(), row.entity().named(), WRAPPED);
                None
            }
            Err(other) => return Err(other),
        };
        report.records = report.records.saturating_add(1);
        report.seals = report.seals.saturating_add(1);
        self.opened.insert(id.clone(), key.clone());
        Ok(key)
    }
}
