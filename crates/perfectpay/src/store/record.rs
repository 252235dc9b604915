//! Records: what crosses the [`Store`](super::Store) trait, and the facts about them that a back-end needs.

use super::change::Owner;
use super::key::Collection;
use super::log::Verb;
use crate::api_key::ApiKeyState;
use crate::blocklist::{BlockRuleState, BlockScope};
use crate::connector::ConnectorState;
use crate::error::{EntityKind, Error};
use crate::event::EventState;
use crate::id::{Incarnation, ProfileId};
use crate::merchant::{DataKeyState, KeyHolder, MerchantState};
use crate::organization::OrganizationState;
use crate::payment::{LinkUseState, PaymentDecisionState, PaymentLinkState, PaymentState};
use crate::profile::ProfileState;
use crate::routing::{RoutingProgramState, RoutingVersionState};
use crate::seal::Sealed;
use crate::stored::{EntityRef, State, Stored};
use crate::time::Timestamp;

/// A value that only one living object may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UniqueKey {
    /// An organization's id, over the whole store.
    OrganizationId(String),
    /// A merchant account's id, over the whole store.
    MerchantId(String),
    /// A merchant account's publishable key, present or former, over the whole store.
    PublishableKey(String),
    /// A profile's name within its merchant account, compared character by character.
    ProfileName(Incarnation, String),
    /// The default profile of a merchant account, of which there is at most one.
    DefaultProfile(Incarnation),
    /// A connector account's label within its profile: merchant, profile id, label.
    ConnectorLabel(Incarnation, String, String),
    /// The active routing program of a profile, of which there is at most one: merchant, profile id.
    ActiveProgram(Incarnation, String),
    /// An API key's digest, over the whole store.
    ApiKeyDigest([u8; 32]),
    /// What [an event is the same by](crate::event::once), within its merchant account.
    EventOnce(Incarnation, String),
}

impl UniqueKey {
    /// The field that a [`Error::Duplicate`] names. Tenants' ids answer [`Error::AlreadyExists`] instead.
    pub fn field(&self) -> &'static str {
        match self {
            Self::OrganizationId(_) => "organization_id",
            Self::MerchantId(_) => "merchant_id",
            Self::PublishableKey(_) => "publishable_key",
            Self::ProfileName(..) => "profile_name",
            Self::DefaultProfile(_) => "default_profile",
            Self::ConnectorLabel(..) => "connector_label",
            Self::ActiveProgram(..) => "active_program",
            Self::ApiKeyDigest(_) => "api_key",
            Self::EventOnce(..) => "event_type",
        }
    }
}

/// The columns of a row that are the same for every kind.
#[derive(Debug, Clone)]
pub struct RowMeta {
    /// The tenant's incarnation.
    pub tenant: Incarnation,
    /// The id's text.
    pub id: String,
    /// The version.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last updated.
    pub modified_at: Timestamp,
}

macro_rules! records {
    ($($(#[$doc:meta])* $kind:ident($state:ident),)+) => {
        /// Any record. Closed: a new kind is a new variant, and every back-end then fails to compile until it keeps it.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "a record is moved a few times; a box costs an allocation each time")]
        pub enum Record { $($(#[$doc])* $kind(Stored<$state>),)+ }

        impl Record {
            /// The kind.
            pub fn kind(&self) -> EntityKind {
                match self { $(Self::$kind(_) => EntityKind::$kind,)+ }
            }

            /// The object, exactly.
            pub fn entity(&self) -> EntityRef {
                match self { $(Self::$kind(row) => row.entity(),)+ }
            }

            /// The columns that every kind has.
            pub fn meta(&self) -> RowMeta {
                match self { $(Self::$kind(row) => RowMeta {
                    tenant: row.tenant,
                    id: row.id.to_string(),
                    version: row.version,
                    created_at: row.created_at,
                    modified_at: row.modified_at,
                },)+ }
            }

            /// Every sealed value in it, with the field that it is sealed for.
            pub fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
                match self { $(Self::$kind(row) => row.state.sealed_fields(),)+ }
            }

            /// Makes it the next version of itself, modified when it was.
            pub(crate) fn advance(&mut self) {
                match self { $(Self::$kind(row) => row.version = row.version.saturating_add(1),)+ }
            }

            /// What goes into the JSON column.
            ///
            /// # Errors
            ///
            /// [`Error::Corrupt`] if the state is not JSON, which none of ours is not.
            pub fn body(&self) -> Result<String, Error> {
                let text = match self { $(Self::$kind(row) => serde_json::to_string(&row.state),)+ };
                text.map_err(|e| Error::Corrupt { what: "a record is not JSON".into(), source: Some(e.into()) })
            }

            /// Puts a record together from its columns.
            ///
            /// # Errors
            ///
            /// [`Error::Corrupt`], which names the kind and the id, if the columns cannot be a record's.
            pub fn decode(kind: EntityKind, meta: &RowMeta, body: &str) -> Result<Self, Error> {
                match kind { $(EntityKind::$kind => Stored::decode(meta, body).map(Self::$kind),)+ }
            }
        }

        $(impl TryFrom<Record> for Stored<$state> {
            type Error = Error;

            fn try_from(record: Record) -> Result<Self, Error> {
                match record {
                    Record::$kind(row) => Ok(row),
                    other => Err(Error::corrupt(format!("a {} where a {} was asked for", other.kind(), EntityKind::$kind))),
                }
            }
        }

        impl From<Stored<$state>> for Record {
            fn from(row: Stored<$state>) -> Self {
                Self::$kind(row)
            }
        })+
    };
}

records! {
    /// An organization.
    Organization(OrganizationState),
    /// A merchant account.
    Merchant(MerchantState),
    /// A tenant's data key, wrapped.
    DataKey(DataKeyState),
    /// A business profile.
    Profile(ProfileState),
    /// A connector account.
    Connector(ConnectorState),
    /// A routing program.
    RoutingProgram(RoutingProgramState),
    /// One version of a routing program.
    RoutingVersion(RoutingVersionState),
    /// An API key.
    ApiKey(ApiKeyState),
    /// An entry of a blocklist.
    BlockRule(BlockRuleState),
    /// A payment.
    Payment(PaymentState),
    /// A payment link.
    PaymentLink(PaymentLinkState),
    /// An event that a webhook tells of.
    Event(EventState),
    /// What was decided about a payment.
    PaymentDecision(PaymentDecisionState),
    /// A use of a payment link.
    LinkUse(LinkUseState),
}

impl<S: State> Stored<S> {
    fn decode(meta: &RowMeta, body: &str) -> Result<Self, Error> {
        let corrupt = |source: crate::error::Source| Error::Corrupt {
            what: format!("the record of {} `{}`", S::KIND, meta.id),
            source: Some(source),
        };
        Ok(Self {
            tenant: meta.tenant,
            id: meta.id.parse().map_err(|fault: crate::error::Fault| corrupt(fault.into()))?,
            version: meta.version,
            created_at: meta.created_at,
            modified_at: meta.modified_at,
            // serde's message may quote a value; the line and column say enough.
            state: serde_json::from_str(body)
                .map_err(|e| corrupt(format!("line {}, column {}", e.line(), e.column()).into()))?,
        })
    }
}

impl Record {
    /// The object that must live for this one to live; `None` for an organization.
    pub fn parent(&self, owner: &Owner) -> Option<EntityRef> {
        let tenant_of = |kind, tenant: Incarnation, named: Option<&super::TenantRef>| {
            // Errors name the parent as the caller knows it; who it is, is the incarnation alone.
            let id = named.filter(|t| t.incarnation == tenant).map_or_else(|| tenant.to_string(), |t| t.id.clone());
            Some(EntityRef { kind, tenant, id })
        };
        let within = |tenant, kind, id: String| Some(EntityRef { kind, tenant, id });
        match self {
            Self::Organization(_) => None,
            Self::Merchant(m) => tenant_of(EntityKind::Organization, m.state.organization, owner.organization.as_ref()),
            Self::DataKey(row) => match row.state.holder {
                KeyHolder::Organization => tenant_of(EntityKind::Organization, row.tenant, owner.organization.as_ref()),
                KeyHolder::Merchant => tenant_of(EntityKind::Merchant, row.tenant, owner.merchant.as_ref()),
            },
            Self::Profile(row) => tenant_of(EntityKind::Merchant, row.tenant, owner.merchant.as_ref()),
            Self::ApiKey(row) => tenant_of(EntityKind::Merchant, row.tenant, owner.merchant.as_ref()),
            Self::BlockRule(row) => match &row.id.scope {
                BlockScope::Organization => {
                    tenant_of(EntityKind::Organization, row.tenant, owner.organization.as_ref())
                }
                BlockScope::Merchant => tenant_of(EntityKind::Merchant, row.tenant, owner.merchant.as_ref()),
                BlockScope::Profile(profile) => within(row.tenant, EntityKind::Profile, profile.to_string()),
            },
            Self::Connector(row) => within(row.tenant, EntityKind::Profile, row.state.profile_id.to_string()),
            Self::RoutingProgram(row) => within(row.tenant, EntityKind::Profile, row.state.profile_id.to_string()),
            Self::RoutingVersion(row) => within(row.tenant, EntityKind::RoutingProgram, row.id.program.to_string()),
            Self::Payment(row) => within(row.tenant, EntityKind::Profile, row.state.profile_id.to_string()),
            Self::PaymentLink(row) => match &row.state.payment_id {
                Some(payment) => within(row.tenant, EntityKind::Payment, payment.to_string()),
                None => within(row.tenant, EntityKind::Profile, row.state.profile_id.to_string()),
            },
            Self::LinkUse(row) => within(row.tenant, EntityKind::PaymentLink, row.state.payment_link_id.to_string()),
            Self::Event(row) => within(row.tenant, EntityKind::Payment, row.state.payment_id.to_string()),
            Self::PaymentDecision(row) => within(row.tenant, EntityKind::Payment, row.state.payment_id.to_string()),
        }
    }

    /// The values that no other living object may have.
    pub fn unique_keys(&self) -> Vec<UniqueKey> {
        match self {
            Self::Organization(row) => vec![UniqueKey::OrganizationId(row.id.to_string())],
            Self::Merchant(row) => {
                let former = row.state.former_publishable_key.iter().map(|former| &former.publishable_key);
                let keys = std::iter::once(&row.state.publishable_key).chain(former);
                let keys = keys.map(|key| UniqueKey::PublishableKey(key.to_string()));
                std::iter::once(UniqueKey::MerchantId(row.id.to_string())).chain(keys).collect()
            }
            Self::Profile(row) => {
                let mut keys = vec![UniqueKey::ProfileName(row.tenant, row.state.profile_name.to_string())];
                if row.state.is_default {
                    keys.push(UniqueKey::DefaultProfile(row.tenant));
                }
                keys
            }
            Self::Connector(row) => vec![UniqueKey::ConnectorLabel(
                row.tenant,
                row.state.profile_id.to_string(),
                row.state.connector_label.to_string(),
            )],
            Self::RoutingProgram(row) => {
                let profile = || row.state.profile_id.to_string();
                row.state.active.iter().map(|_| UniqueKey::ActiveProgram(row.tenant, profile())).collect()
            }
            Self::ApiKey(row) => row.state.digest.iter().map(|d| UniqueKey::ApiKeyDigest(d.digest)).collect(),
            Self::Event(row) => vec![UniqueKey::EventOnce(row.tenant, row.state.once.clone())],
            Self::DataKey(_)
            | Self::RoutingVersion(_)
            | Self::BlockRule(_)
            | Self::Payment(_)
            | Self::PaymentLink(_)
            | Self::LinkUse(_)
            | Self::PaymentDecision(_) => Vec::new(),
        }
    }

    /// Whether the object holds up its parent: a removal that does not cascade is refused while one lives.
    pub fn counts_as_child(&self) -> bool {
        match self {
            // Versions are their program's, and go with it.
            Self::DataKey(_) | Self::RoutingVersion(_) => false,
            Self::ApiKey(row) => row.state.revoked_at.is_none(),
            Self::Organization(_)
            | Self::Merchant(_)
            | Self::Profile(_)
            | Self::Connector(_)
            | Self::RoutingProgram(_)
            | Self::BlockRule(_)
            | Self::Payment(_)
            | Self::PaymentLink(_)
            | Self::LinkUse(_)
            | Self::Event(_)
            | Self::PaymentDecision(_) => true,
        }
    }

    /// Whose collections the object is listed in: the tenant's; a merchant account in its organization's, organizations
    /// and data keys in the platform's. The outbox is the platform's, too, whosever the event is: [`Self::place_in`].
    pub fn listed_by(&self) -> Incarnation {
        match self {
            Self::Organization(_) | Self::DataKey(_) => Incarnation::PLATFORM,
            Self::Merchant(row) => row.state.organization,
            other => other.meta().tenant,
        }
    }

    /// Where the object stands in one of its [collections](Self::collections): whose the collection is, and the time by
    /// which it is ordered. Of pending events that is when they are due, of open payments when they expire, of a
    /// [part of the API keys](Collection::SomeApiKeys) the filter's moment, of everything else when it was created.
    pub fn place_in(&self, collection: &Collection) -> (Incarnation, Timestamp) {
        match (self, collection) {
            (Self::Event(row), Collection::Outbox) => (Incarnation::PLATFORM, row.state.due_or(row.created_at)),
            (Self::Event(row), Collection::PendingEvents) => (row.tenant, row.state.due_or(row.created_at)),
            (Self::Payment(row), Collection::OpenPayments) => {
                (row.tenant, row.state.open_until().unwrap_or(row.created_at))
            }
            (Self::ApiKey(row), Collection::SomeApiKeys(filter)) => {
                (row.tenant, filter.moment(row).unwrap_or(row.created_at))
            }
            _ => (self.listed_by(), self.meta().created_at),
        }
    }

    /// The collections that the object is in, those of whoever [lists](Self::listed_by) it and the platform's outbox; a part of
    /// the API keys is none of them.
    pub fn collections(&self) -> Vec<Collection> {
        match self {
            Self::Organization(_) => vec![Collection::Organizations],
            Self::Merchant(_) => vec![Collection::Merchants],
            Self::DataKey(row) => {
                row.state.wrapped_by().map(|wrapped_by| Collection::DataKeys { wrapped_by }).into_iter().collect()
            }
            Self::Profile(_) => vec![Collection::Profiles],
            Self::Connector(row) => vec![
                Collection::Connectors { profile: None },
                Collection::Connectors { profile: Some(row.state.profile_id.clone()) },
            ],
            Self::RoutingProgram(row) => vec![
                Collection::RoutingPrograms { profile: None },
                Collection::RoutingPrograms { profile: Some(row.state.profile_id.clone()) },
            ],
            Self::RoutingVersion(row) => vec![
                Collection::RoutingVersions { program: None },
                Collection::RoutingVersions { program: Some(row.id.program.clone()) },
            ],
            Self::ApiKey(_) => vec![Collection::ApiKeys],
            Self::BlockRule(row) => {
                let mut collections =
                    vec![Collection::BlockRules { kind: None }, Collection::BlockRules { kind: Some(row.id.kind) }];
                if let BlockScope::Profile(profile) = &row.id.scope {
                    collections.push(Collection::ProfileBlockRules { profile: profile.clone() });
                }
                collections
            }
            Self::Payment(row) if row.state.open_until().is_some() => {
                vec![Collection::Payments, Collection::OpenPayments]
            }
            Self::Payment(_) => vec![Collection::Payments],
            Self::PaymentLink(row) => vec![
                Collection::PaymentLinks { profile: None },
                Collection::PaymentLinks { profile: Some(row.state.profile_id.clone()) },
            ],
            Self::LinkUse(row) => vec![Collection::LinkUses { link: row.state.payment_link_id.clone() }],
            Self::Event(row) if row.state.delivery.due_at.is_some() => {
                vec![Collection::Events, Collection::PendingEvents, Collection::Outbox]
            }
            Self::Event(_) => vec![Collection::Events],
            Self::PaymentDecision(_) => vec![Collection::PaymentDecisions],
        }
    }

    /// The profile that it is, or belongs to.
    pub fn profile(&self) -> Option<&ProfileId> {
        match self {
            Self::Profile(row) => Some(&row.id),
            Self::Connector(row) => Some(&row.state.profile_id),
            Self::RoutingProgram(row) => Some(&row.state.profile_id),
            Self::RoutingVersion(row) => Some(&row.state.profile_id),
            Self::Payment(row) => Some(&row.state.profile_id),
            Self::PaymentLink(row) => Some(&row.state.profile_id),
            Self::Event(row) => Some(&row.state.profile_id),
            Self::PaymentDecision(row) => Some(&row.state.profile_id),
            Self::LinkUse(row) => Some(&row.state.profile_id),
            Self::Organization(_) | Self::Merchant(_) | Self::DataKey(_) | Self::ApiKey(_) | Self::BlockRule(_) => None,
        }
    }

    /// What the log says of an update to this state.
    pub(super) fn verb_of_update(&self) -> Verb {
        match self {
            Self::ApiKey(row) if row.state.revoked_at.is_some() => Verb::Revoked,
            _ => Verb::Updated,
        }
    }
}
