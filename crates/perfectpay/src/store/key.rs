//! Paths to one record and to a page of records.

use super::record::Record;
use crate::api_key::KeyFilter;
use crate::blocklist::{BlockCount, BlockKind, BlockRows, BlockRuleId};
use crate::error::EntityKind;
use crate::id::{
    ApiKeyId, ConnectorId, DataKeyId, DecisionId, EventId, Incarnation, LinkUseId, MerchantId, OrganizationId,
    PaymentId, PaymentLinkId, ProfileId, RoutingId,
};
use crate::merchant::PublishableKey;
use crate::page::PageRequest;
use crate::routing::RoutingVersionId;
use crate::seal::KeyId;
use crate::text::Name;
use crate::time::Timestamp;

/// How an organization is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OrganizationPath {
    /// By its id.
    Id(OrganizationId),
    /// This incarnation and no later owner of its id.
    Pinned(Incarnation),
}

/// How a merchant account is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MerchantPath {
    /// By its id alone, which is unique over the whole store. Only the host's root handle makes such a path.
    Id(MerchantId),
    /// By its id, if it belongs to this organization.
    Within(OrganizationId, MerchantId),
    /// This incarnation and no later owner of its id.
    Pinned(Incarnation),
}

/// Whose blocklist.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BlocklistPath {
    /// An organization's.
    Organization(OrganizationPath),
    /// A merchant account's, its profiles' entries among them.
    Merchant(MerchantPath),
}

impl From<OrganizationPath> for BlocklistPath {
    fn from(path: OrganizationPath) -> Self {
        Self::Organization(path)
    }
}

impl From<MerchantPath> for BlocklistPath {
    fn from(path: MerchantPath) -> Self {
        Self::Merchant(path)
    }
}

/// A path to one record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// An organization.
    Organization(OrganizationPath),
    /// A merchant account.
    Merchant(MerchantPath),
    /// A merchant account by its publishable key, present or former, over the whole store: whose it is, is the answer.
    MerchantByPublishableKey(PublishableKey),
    /// A data key of the organization or the merchant account with this incarnation. No caller's path leads to one.
    DataKey(Incarnation, DataKeyId),
    /// A profile.
    Profile(MerchantPath, ProfileId),
    /// A profile by its name.
    ProfileByName(MerchantPath, Name),
    /// A merchant account's default profile.
    DefaultProfile(MerchantPath),
    /// A connector account.
    Connector(MerchantPath, ConnectorId),
    /// A routing program.
    RoutingProgram(MerchantPath, RoutingId),
    /// The active routing program of a profile.
    ActiveProgram(MerchantPath, ProfileId),
    /// One version of a routing program.
    RoutingVersion(MerchantPath, RoutingVersionId),
    /// An API key.
    ApiKey(MerchantPath, ApiKeyId),
    /// An API key by its digest, over the whole store: whose it is, is the answer.
    ApiKeyByDigest([u8; 32]),
    /// An entry of a blocklist.
    BlockRule(BlocklistPath, BlockRuleId),
    /// A payment.
    Payment(MerchantPath, PaymentId),
    /// A payment link.
    PaymentLink(MerchantPath, PaymentLinkId),
    /// An event.
    Event(MerchantPath, EventId),
    /// An event by what [it is the same by](crate::event::once).
    EventOnce(MerchantPath, String),
    /// A decision about a payment.
    PaymentDecision(MerchantPath, DecisionId),
    /// A use of a payment link.
    LinkUse(MerchantPath, LinkUseId),
}

/// The direction of a collection, by [time](super::Record::place_in) and then by id as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// A collection within its tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    /// All organizations, oldest first.
    Organizations,
    /// An organization's merchant accounts, oldest first.
    Merchants,
    /// A merchant account's profiles, oldest first.
    Profiles,
    /// A merchant account's connector accounts, oldest first.
    Connectors {
        /// Only those of this profile.
        profile: Option<ProfileId>,
    },
    /// A merchant account's routing programs, newest first.
    RoutingPrograms {
        /// Only those of this profile.
        profile: Option<ProfileId>,
    },
    /// The versions of a merchant account's routing programs, newest first.
    RoutingVersions {
        /// Only those of this program.
        program: Option<RoutingId>,
    },
    /// A merchant account's API keys, revoked ones too, oldest first.
    ApiKeys,
    /// A part of the API keys of a merchant account or, of the platform, of all. Its order is [the
    /// filter's](KeyFilter::moment). Nobody chooses the id of an API key, so that two are never equal, whosever they are.
    SomeApiKeys(KeyFilter),
    /// An organization's or a merchant account's blocklist, newest first; of a merchant account with the entries of its
    /// profiles. The listing counts the whole collection.
    BlockRules {
        /// Only entries of this kind.
        kind: Option<BlockKind>,
    },
    /// The entries of a merchant account's blocklist that hold in one of its profiles, newest first.
    ProfileBlockRules {
        /// Which profile.
        profile: ProfileId,
    },
    /// A merchant account's payments, newest first.
    Payments,
    /// Those of a merchant account's payments that wait for somebody to pay, the one that expires first in front.
    OpenPayments,
    /// A merchant account's payment links, newest first.
    PaymentLinks {
        /// Only those of this profile.
        profile: Option<ProfileId>,
    },
    /// The uses of one payment link of a merchant account, newest first.
    LinkUses {
        /// Which link.
        link: PaymentLinkId,
    },
    /// What was decided about a merchant account's payments, newest first.
    PaymentDecisions,
    /// A merchant account's events, delivered ones too, newest first.
    Events,
    /// A merchant account's pending events, the one that is due first in front.
    PendingEvents,
    /// The pending events of all tenants, the one that is due first in front. Nobody chooses the id of an event, so that
    /// two are never equal, whosever they are.
    Outbox,
    /// The data keys of all tenants that one key of the keyring wrapped, oldest first. Nobody chooses the id of a data
    /// key, so that two are never equal, whosever they are.
    DataKeys {
        /// The key that wrapped them.
        wrapped_by: KeyId,
    },
}

impl Collection {
    /// In which collection of a merchant account all of its objects of the kind are; `None` for organizations, for
    /// merchant accounts and for data keys, which are in none, and for uses of links, which are listed by their link.
    pub fn of_all(kind: EntityKind) -> Option<Self> {
        match kind {
            EntityKind::Organization | EntityKind::Merchant | EntityKind::DataKey | EntityKind::LinkUse => None,
            EntityKind::Profile => Some(Self::Profiles),
            EntityKind::Connector => Some(Self::Connectors { profile: None }),
            EntityKind::RoutingProgram => Some(Self::RoutingPrograms { profile: None }),
            EntityKind::RoutingVersion => Some(Self::RoutingVersions { program: None }),
            EntityKind::ApiKey => Some(Self::ApiKeys),
            EntityKind::BlockRule => Some(Self::BlockRules { kind: None }),
            EntityKind::Payment => Some(Self::Payments),
            EntityKind::PaymentLink => Some(Self::PaymentLinks { profile: None }),
            EntityKind::Event => Some(Self::Events),
            EntityKind::PaymentDecision => Some(Self::PaymentDecisions),
        }
    }

    /// The order.
    pub fn order(&self) -> Order {
        match self {
            Self::Organizations
            | Self::Merchants
            | Self::Profiles
            | Self::Connectors { .. }
            | Self::ApiKeys
            | Self::OpenPayments
            | Self::PendingEvents
            | Self::Outbox
            | Self::SomeApiKeys(_)
            | Self::DataKeys { .. } => Order::Ascending,
            Self::RoutingPrograms { .. }
            | Self::RoutingVersions { .. }
            | Self::BlockRules { .. }
            | Self::ProfileBlockRules { .. }
            | Self::Payments
            | Self::PaymentLinks { .. }
            | Self::LinkUses { .. }
            | Self::PaymentDecisions
            | Self::Events => Order::Descending,
        }
    }

    /// Whether a listing says how many there are in all. A store keeps the count with the commits; it does not count
    /// when it is asked.
    pub fn is_counted(&self) -> bool {
        matches!(self, Self::BlockRules { .. })
    }
}

/// Whose collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// All organizations.
    Organizations(PageRequest),
    /// An organization's merchant accounts.
    Merchants(OrganizationPath, PageRequest),
    /// The data keys of all tenants that this key of the keyring wrapped.
    DataKeys(KeyId, PageRequest),
    /// The pending events of all tenants.
    Outbox(PageRequest),
    /// A part of the API keys of all merchant accounts.
    ApiKeys(KeyFilter, PageRequest),
    /// An organization's blocklist, or its entries of one kind.
    OrganizationBlockRules(OrganizationPath, Option<BlockKind>, PageRequest),
    /// A collection of a merchant account. Of organizations, merchant accounts, data keys and the outbox it has none: an
    /// empty listing.
    Within(MerchantPath, Collection, PageRequest),
}

impl Query {
    /// Which page.
    pub fn page(&self) -> &PageRequest {
        match self {
            Self::Organizations(page)
            | Self::Merchants(_, page)
            | Self::DataKeys(_, page)
            | Self::Outbox(page)
            | Self::ApiKeys(_, page)
            | Self::OrganizationBlockRules(_, _, page)
            | Self::Within(_, _, page) => page,
        }
    }

    /// The collection.
    pub fn collection(&self) -> Collection {
        match self {
            Self::Organizations(_) => Collection::Organizations,
            Self::Merchants(..) => Collection::Merchants,
            Self::Outbox(_) => Collection::Outbox,
            Self::DataKeys(wrapped_by, _) => Collection::DataKeys { wrapped_by: wrapped_by.clone() },
            Self::ApiKeys(filter, _) => Collection::SomeApiKeys(filter.clone()),
            Self::OrganizationBlockRules(_, kind, _) => Collection::BlockRules { kind: *kind },
            Self::Within(_, collection, _) => collection.clone(),
        }
    }
}

/// A page of records.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listing {
    /// The records, in the collection's order: one more than the page's limit where there is a next page, so that the
    /// caller need not ask again to know.
    pub records: Vec<Record>,
    /// How many there are in all, where the collection [is counted](Collection::is_counted).
    pub total: Option<u64>,
}

/// The most entries that one [`BlockScan`] asks for.
pub const MAX_SCAN_LIMIT: u32 = 100_000;

/// A part of a blocklist, read for an index, an export or a purge rather than for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockScan {
    /// Whose.
    pub path: BlocklistPath,
    /// Which entries, and in which order.
    pub select: BlockSelect,
    /// At most how many; more than [`MAX_SCAN_LIMIT`] is answered as that.
    pub limit: u32,
    /// Whether reasons and metadata come along.
    pub details: bool,
}

/// Which entries of a blocklist a [`BlockScan`] reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockSelect {
    /// All whose name is behind this one, in the order of their names as bytes. `None` begins at the front.
    After(Option<BlockRuleId>),
    /// Those that expired by this moment, in the order in which they did, and of those at one moment by name.
    Expired(Timestamp),
}

/// What a [`BlockScan`] found, all of it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockPage {
    /// The entries: as many as were asked for, or those that there are.
    pub rows: BlockRows,
    /// How many entries the whole list has, by kind and version in ascending order, sorts without any left out. Told only
    /// where the scan begins at the front ([`BlockSelect::After`] nothing); a scan with the limit 0 asks for nothing else.
    pub counts: Vec<BlockCount>,
}

/// How many uses of some links stand, asked for at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseCount {
    /// Whose links.
    pub path: MerchantPath,
    /// Which: at most [`MAX_COUNTED_LINKS`]; what is behind them is not counted.
    pub links: Vec<PaymentLinkId>,
    /// At which moment.
    pub at: Timestamp,
}

/// The most links that one [`UseCount`] counts the uses of: a page of them.
pub const MAX_COUNTED_LINKS: usize = 100;
