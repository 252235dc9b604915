//! Reports of what a removal, or a disabling, would take along or break.
//!
//! A report does not guess: it carries out the very removal in a [batch](super::Batch) that is then dropped, once as it
//! is and once with its cascade, and says how that went. What would go along is counted through the lists that the batch
//! reads; so a report costs a reading of what is below the object, but for the blocklist, whose count the store keeps.
//! It is a picture of one moment: give its version to [`expecting`](super::Remove::expecting), so that the removal stands
//! on the same object.
//!
//! ```
//! use std::sync::Arc;
//!
//! use perfectpay::{ChildCount, EntityKind, MasterKey, NewOrganization, PerfectPay, Settings, json};
//! use perfectpay_memory::MemoryStore;
//!
//! # futures_lite::future::block_on(async {
//! # let master_key = MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?;
//! # let pay = PerfectPay::open(Arc::new(MemoryStore::new()), Settings::new(master_key)).await?;
//! let group = pay.create_organization(NewOrganization::named("Acme Group".parse()?)).await?;
//! let group = pay.organization(&group.organization_id);
//! let shop = group.create_merchant(json::from_slice(br#"{"merchant_id": "acme_us"}"#)?).await?;
//! let shop = group.merchant(&shop.merchant_id);
//!
//! let impact = shop.removal_impact().await?;
//! assert_eq!(impact.refused, Some("has_children"));
//! assert_eq!(impact.children, [ChildCount { kind: EntityKind::Profile, count: 1 }]);
//! shop.remove().expecting(impact.version).cascade().await?;
//! # Ok::<(), perfectpay::Error>(())
//! # }).unwrap();
//! ```

use std::collections::BTreeMap;

use perfectpay_macros::observed;
use serde::Serialize;
use strum::VariantArray as _;

use super::command::Remove;
use super::connector::ConnectorScope;
use super::merchant::MerchantScope;
use super::operation::Operation;
use super::organization::OrganizationScope;
use super::overlay::Overlay;
use super::profile::ProfileScope;
use super::session::Session;
use crate::connector::{ConnectorState, ConnectorUpdate};
use crate::error::{ChildCount, Entity, EntityKind, Error};
use crate::id::{Incarnation, PaymentLinkId, ProfileId, RoutingId};
use crate::merchant::MerchantState;
use crate::page::PageRequest;
use crate::patch::Patch;
use crate::payment::PaymentLinkState;
use crate::store::{Collection, EntityRef, Key, MerchantPath, OrganizationPath, Query, Record, Stored};
use crate::text::Name;
use crate::time::Timestamp;

/// What a removal or a disabling would take along or break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Impact {
    /// The object.
    pub entity: Entity,
    /// The version that it has, for `expecting`.
    pub version: u64,
    /// What stands against it without a cascade: the code of the error that the command would answer.
    pub refused: Option<&'static str>,
    /// What stands against it even with a cascade.
    pub refused_with_cascade: Option<&'static str>,
    /// What holds it up: its direct children, by ascending kind, as [`Error::HasChildren`] would list them.
    pub children: Vec<ChildCount>,
    /// Everything that goes along with a cascade, by ascending kind, the object itself not among it. Revoked API keys
    /// count here, since their records go, too; data keys do not.
    pub takes_along: Vec<ChildCount>,
    /// API keys among that which authenticate now.
    pub dying_keys: u64,
    /// Payment links that open, or will: those that go along; of a connector account those of its profile, which stay open
    /// with one way less to be paid.
    pub open_links: u64,
    /// Of a connector account the routing programs that name it, newest first: what they select without it, their
    /// profile's fallback order may have to replace.
    pub programs: Vec<NamedBy>,
    /// Whether it is its merchant account's default profile.
    pub is_default_profile: bool,
}

impl Impact {
    /// Whether nothing stands against it, and nothing goes along or breaks.
    pub fn is_harmless(&self) -> bool {
        self.refused.is_none() && self.takes_along.is_empty() && self.open_links == 0 && self.programs.is_empty()
    }
}

/// A routing program that names a connector account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedBy {
    /// The program.
    pub program: RoutingId,
    /// What people call it.
    pub name: Name,
    /// Its versions that name the account, in ascending order.
    pub versions: Vec<u32>,
    /// Whether one of them decides.
    pub is_active: bool,
}

/// What is below an object, while it is counted.
#[derive(Default)]
struct Below {
    counts: BTreeMap<EntityKind, u64>,
    keys: u64,
    links: u64,
    /// Links whose uses are still to be counted.
    uses_of: Vec<PaymentLinkId>,
}

impl Below {
    fn count(&mut self, record: &Record, now: Timestamp) {
        *self.counts.entry(record.kind()).or_default() += 1;
        match record {
            Record::ApiKey(row) if row.state.digest.is_some() && !row.state.has_expired(now) => self.keys += 1,
            Record::PaymentLink(row) => {
                self.links += u64::from(opens(row, now));
                self.uses_of.push(row.id.clone());
            }
            _ => {}
        }
    }

    /// Counts the uses of the links that were counted.
    async fn uses(&mut self, overlay: &Overlay, tenant: Incarnation, now: Timestamp) -> Result<(), Error> {
        for link in std::mem::take(&mut self.uses_of) {
            overlay.each(within(tenant, Collection::LinkUses { link }), |record| self.count(record, now)).await?;
        }
        Ok(())
    }

    async fn merchant(&mut self, overlay: &Overlay, tenant: Incarnation, now: Timestamp) -> Result<(), Error> {
        for kind in EntityKind::VARIANTS {
            let Some(collection) = Collection::of_all(*kind) else { continue };
            let query = within(tenant, collection);
            match overlay.counted(&query).await? {
                Some(0) => {}
                Some(count) => *self.counts.entry(*kind).or_default() += count,
                None => overlay.each(query, |record| self.count(record, now)).await?,
            }
        }
        self.uses(overlay, tenant, now).await
    }

    async fn profile(
        &mut self,
        overlay: &Overlay,
        tenant: Incarnation,
        id: &ProfileId,
        now: Timestamp,
    ) -> Result<(), Error> {
        for collection in [
            Collection::Connectors { profile: Some(id.clone()) },
            Collection::RoutingPrograms { profile: Some(id.clone()) },
            Collection::RoutingVersions { program: None },
            Collection::ProfileBlockRules { profile: id.clone() },
            Collection::Payments,
            Collection::PaymentLinks { profile: Some(id.clone()) },
            Collection::Events,
            Collection::PaymentDecisions,
        ] {
            overlay
                .each(within(tenant, collection), |record| {
                    let is_its = match record {
                        Record::RoutingVersion(row) => row.state.profile_id == *id,
                        Record::Payment(row) => row.state.profile_id == *id,
                        Record::Event(row) => row.state.profile_id == *id,
                        Record::PaymentDecision(row) => row.state.profile_id == *id,
                        _ => true,
                    };
                    if is_its {
                        self.count(record, now);
                    }
                })
                .await?;
        }
        self.uses(overlay, tenant, now).await
    }

    fn counts(&self) -> Vec<ChildCount> {
        self.counts.iter().map(|(kind, count)| ChildCount { kind: *kind, count: *count }).collect()
    }
}

/// Whether the link opens now, or will.
fn opens(link: &Stored<PaymentLinkState>, now: Timestamp) -> bool {
    link.state.expires_at > now && link.state.deactivated_at.is_none()
}

fn within(tenant: Incarnation, collection: Collection) -> Query {
    Query::Within(MerchantPath::Pinned(tenant), collection, PageRequest::default())
}

/// How a command goes that is then dropped: what stands against it. An error that says nothing of the object is one.
async fn tried<T>(
    command: impl IntoFuture<Output = Result<T, Error>>,
) -> Result<(Option<&'static str>, Vec<ChildCount>), Error> {
    match command.await {
        Ok(_) => Ok((None, Vec::new())),
        Err(Error::HasChildren { children, .. }) => Ok((Some("has_children"), children)),
        Err(Error::Refused { code, .. }) => Ok((Some(code), Vec::new())),
        Err(error) => Err(error),
    }
}

/// Puts a report together. `removal` begins the removal on a session of its own.
async fn report<T>(
    session: &Session,
    entity: &EntityRef,
    version: u64,
    below: Below,
    removal: impl Fn(Session) -> Remove<T>,
) -> Result<Impact, Error> {
    // Who may have the report may not always do what it is about.
    let session = session.clone().unguarded();
    let (dropped, overlay) = session.batched();
    let (refused, children) = tried(removal(dropped).expecting(version)).await?;
    let (dropped, _) = session.batched();
    let (refused_with_cascade, _) = tried(removal(dropped).expecting(version).cascade()).await?;
    let children = match refused {
        // Something else was in the way first.
        Some(code) if code != "has_children" => overlay.children(entity).await?,
        _ => children,
    };
    Ok(Impact {
        entity: entity.named(),
        version,
        refused,
        refused_with_cascade,
        children,
        takes_along: below.counts(),
        dying_keys: below.keys,
        open_links: below.links,
        programs: Vec::new(),
        is_default_profile: false,
    })
}

impl OrganizationScope {
    /// What [`remove`](Self::remove) would take along. It reads everything below the organization. See [`Impact`].
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Stale`] if it was changed meanwhile.
    #[observed]
    pub async fn removal_impact(&self) -> Result<Impact, Error> {
        let now = self.session.begin(Operation::ReportImpact).await?;
        let row = self.load().await?;
        let (_, overlay) = self.session.batched();
        let mut below = Below::default();
        let mut merchants = Vec::new();
        let query = Query::Merchants(OrganizationPath::Pinned(row.tenant), PageRequest::default());
        overlay
            .each(query, |record| {
                below.count(record, now);
                merchants.push(record.meta().tenant);
            })
            .await?;
        for tenant in merchants {
            below.merchant(&overlay, tenant, now).await?;
        }
        let rules = Query::OrganizationBlockRules(OrganizationPath::Pinned(row.tenant), None, PageRequest::default());
        overlay.each(rules, |record| below.count(record, now)).await?;
        let scope = self.clone();
        report(&self.session, &row.entity(), row.version, below, move |session| {
            Self { session, ..scope.clone() }.remove()
        })
        .await
    }
}

impl MerchantScope {
    /// The same handle on another session.
    pub(super) fn on(&self, session: Session) -> Self {
        Self { session, ..self.clone() }
    }

    /// What [`remove`](Self::remove) would take along. It reads everything below the account. See [`Impact`].
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Stale`] if it was changed meanwhile.
    #[observed]
    pub async fn removal_impact(&self) -> Result<Impact, Error> {
        let now = self.session.begin(Operation::ReportImpact).await?;
        let row: Stored<MerchantState> =
            self.session.get(&Key::Merchant(self.path.clone())).await?.ok_or_else(|| self.absent())?;
        let (_, overlay) = self.session.batched();
        let mut below = Below::default();
        below.merchant(&overlay, row.tenant, now).await?;
        report(&self.session, &row.entity(), row.version, below, |session| self.on(session).remove()).await
    }
}

impl ProfileScope {
    /// What [`remove`](Self::remove) would take along. It reads the profile's connector accounts, and the payments and
    /// links of its merchant account. See [`Impact`].
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Stale`] if it was changed meanwhile.
    #[observed]
    pub async fn removal_impact(&self) -> Result<Impact, Error> {
        let session = &self.merchant.session;
        let now = session.begin(Operation::ReportImpact).await?;
        let row = self.load().await?;
        let (_, overlay) = session.batched();
        let mut below = Below::default();
        below.profile(&overlay, row.tenant, &row.id, now).await?;
        let removal = |session| Self { merchant: self.merchant.on(session), id: self.id.clone() }.remove();
        let impact = report(session, &row.entity(), row.version, below, removal).await?;
        Ok(Impact { is_default_profile: row.state.is_default, ..impact })
    }
}

impl ConnectorScope {
    /// What [`remove`](Self::remove) would break: the open links of its profile, and the routing programs that name it. It
    /// reads the links and the programs' versions of its merchant account. See [`Impact`].
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Stale`] if it was changed meanwhile.
    #[observed]
    pub async fn removal_impact(&self) -> Result<Impact, Error> {
        let session = &self.merchant.session;
        let now = session.begin(Operation::ReportImpact).await?;
        let row = self.load().await?;
        let links = self.open_links(&row, now).await?;
        let programs = self.named_by(&row).await?;
        let removal = |session| Self { merchant: self.merchant.on(session), ..self.clone() }.remove();
        let impact = report(session, &row.entity(), row.version, Below::default(), removal).await?;
        Ok(Impact { open_links: links, programs, ..impact })
    }

    /// What an update to `disabled` would break: as [`removal_impact`](Self::removal_impact), but that it is the update
    /// that is tried. An account that is disabled already breaks nothing more.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Stale`] if it was changed meanwhile.
    #[observed]
    pub async fn disabling_impact(&self) -> Result<Impact, Error> {
        let session = &self.merchant.session;
        let now = session.begin(Operation::ReportImpact).await?;
        let row = self.load().await?;
        let (dropped, overlay) = session.clone().unguarded().batched();
        let mut disabled = ConnectorUpdate::of(row.state.connector_type);
        disabled.disabled = Patch::Set(true);
        let update = Self { merchant: self.merchant.on(dropped), ..self.clone() }.update(disabled);
        let (refused, children) = tried(update.expecting(row.version)).await?;
        let changes = !overlay.preview().is_empty();
        Ok(Impact {
            entity: row.entity().named(),
            version: row.version,
            refused,
            refused_with_cascade: refused,
            children,
            takes_along: Vec::new(),
            dying_keys: 0,
            open_links: if changes { self.open_links(&row, now).await? } else { 0 },
            programs: if changes { self.named_by(&row).await? } else { Vec::new() },
            is_default_profile: false,
        })
    }

    /// The programs of the account's profile that name it.
    async fn named_by(&self, row: &Stored<ConnectorState>) -> Result<Vec<NamedBy>, Error> {
        let (_, overlay) = self.merchant.session.batched();
        let profile = &row.state.profile_id;
        let mut naming: BTreeMap<RoutingId, Vec<u32>> = BTreeMap::new();
        overlay
            .each(within(row.tenant, Collection::RoutingVersions { program: None }), |record| {
                if let Record::RoutingVersion(version) = record
                    && version.state.profile_id == *profile
                    && version.state.algorithm.names(&row.id)
                {
                    naming.entry(version.id.program.clone()).or_default().push(version.id.number);
                }
            })
            .await?;
        let mut programs = Vec::new();
        overlay
            .each(within(row.tenant, Collection::RoutingPrograms { profile: Some(profile.clone()) }), |record| {
                if let Record::RoutingProgram(program) = record
                    && let Some(mut versions) = naming.remove(&program.id)
                {
                    versions.sort_unstable();
                    let is_active = program.state.active.is_some_and(|active| versions.contains(&active));
                    let (id, name) = (program.id.clone(), program.state.name.clone());
                    programs.push(NamedBy { program: id, name, versions, is_active });
                }
            })
            .await?;
        Ok(programs)
    }

    /// The links of the account's profile that open now.
    async fn open_links(&self, row: &Stored<ConnectorState>, now: Timestamp) -> Result<u64, Error> {
        let (_, overlay) = self.merchant.session.batched();
        let mut links = 0;
        let links_of_profile = Collection::PaymentLinks { profile: Some(row.state.profile_id.clone()) };
        overlay
            .each(within(row.tenant, links_of_profile), |record| {
                if let Record::PaymentLink(link) = record
                    && opens(link, now)
                {
                    links += 1;
                }
            })
            .await?;
        Ok(links)
    }
}
