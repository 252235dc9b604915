//! PerfectPay keeps the accounts of a payment platform: organizations, merchant accounts, business profiles, connector
//! accounts with sealed credentials, API keys, blocklists, payments and their links. It is a library inside the host's
//! own process. The host brings the HTTP server and the calls to processors; PerfectPay brings the model, its rules and
//! the way in which everything is kept.
//!
//! ```text
//! Organization ── Merchant account ─┬─ Business profile ─┬─ Connector account   (sealed credentials)
//!                                   │                    ├─ Routing program     (one active)
//!                                   │                    ├─ Branding, webhook details, return URL
//!                                   │                    └─ Payment ── Payment link
//!                                   ├─ API key
//!                                   └─ Blocklist
//! ```
//!
//! # A program
//!
//! ```
//! use std::sync::Arc;
//!
//! use perfectpay::{MasterKey, NewOrganization, PerfectPay, Settings, json};
//! use perfectpay_memory::MemoryStore;
//!
//! # futures_lite::future::block_on(async {
//! let master_key = MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?;
//! let pay = PerfectPay::open(Arc::new(MemoryStore::new()), Settings::new(master_key)).await?;
//!
//! let group = pay.create_organization(NewOrganization::named("Acme Group".parse()?)).await?;
//! let group = pay.organization(&group.organization_id);
//! let shop = group.create_merchant(json::from_slice(br#"{"merchant_id": "acme_us"}"#)?).await?;
//! let shop = group.merchant(&shop.merchant_id);
//!
//! let body = br#"{"name": "Backend", "expiration": "never"}"#;
//! let issued = shop.create_api_key(json::from_slice(body)?).idempotency_key("key-1".parse()?).await?;
//! let token = issued.api_key.expect("a key that was just made shows its token");
//!
//! let caller = pay.authenticate(token.expose()).await?;
//! let blocklist = caller.merchant().blocklist();
//! blocklist.add(json::from_slice(br#"{"type": "card_bin", "data": "411111"}"#)?).await?;
//! blocklist.toggle(Some(true)).await?;
//! assert!(blocklist.screen(&"4111 1111 1111 1111".parse()?).await?.is_blocked());
//! # Ok::<(), perfectpay::Error>(())
//! # }).unwrap();
//! ```
//!
//! # How to read the rest
//!
//! - **Handles** ([`scope`]). [`PerfectPay`] is the root, which only the host has; [`PerfectPay::authenticate`] gives
//!   the holder of an API key the handle of its merchant account. Nothing takes a bare child id without its scope, and
//!   an object of somebody else is answered as one that does not exist. Reads are futures; writes are [`Command`]s,
//!   which take an idempotency key, an expected version or a cascade before they are awaited.
//! - **Nouns** ([`organization`], [`merchant`], [`profile`], [`webhook`], [`connector`], [`api_key`], [`blocklist`],
//!   [`payment`], [`event`], [`routing`], [`card_testing`]).
//!   `New…` is the body that creates one, `…Update` the body that changes it, the noun itself the answer. All of them
//!   are the contract's JSON; [`json::from_slice`] reads a body and names the path of whatever is wrong with it.
//!   In an update an absent field keeps, null clears, a value replaces: [`Patch`].
//! - **Ground** ([`id`], [`text`], [`list`], [`money`], [`time`], [`page`], [`web_url`], [`secret`]). Values are parsed once and
//!   right from then on; each has a stated limit. Time and randomness come from a [`Clock`] and an [`Entropy`] that the
//!   host may replace.
//! - **Storage** ([`store`]). What a back-end implements, and [`store::judge`], the contract of a commit as code. Hosts
//!   that use `perfectpay-memory` or `perfectpay-sqlite` never need it.
//!
//! # What is sealed, hashed and masked
//!
//! Connector credentials and everything secret beside them, webhook passwords and headers, response hash keys,
//! fingerprint secrets, client secrets, merchants' names and details are encrypted with AES-256-GCM before a store sees
//! them, each bound to its tenant, object and field ([`seal`]). Of an API key only a keyed digest and the first twelve
//! characters are kept; of a card number a keyed fingerprint and [`CardNumber::truncated`]. Answers show credentials masked; `Debug`, errors and the log
//! show no secret in any form. The [`MasterKey`] stays with the host: without it a store's secrets are lost.
//!
//! # Errors
//!
//! There is one [`Error`]. [`Error::kind`] is the family to decide on, [`Error::code`] a stable code for machines, the
//! text a sentence for people; a wrong input is a [`Fault`] with the field's path. Nothing was written, unless the kind
//! is [`ErrorKind::UnknownOutcome`]; a write that is repeated under the same idempotency key happens once in any case.
//! [`Error::envelope`] is the error as the published API answers it, with its status of HTTP.
//!
//! # Features
//!
//! None is on unless it is asked for. A back-end is a crate of its own, and any executor will do.
//!
//! - `metrics`: counters and histograms through the `metrics` facade; see [`signal`].
//! - `schema`: JSON schemas of all bodies and answers, by `schemars`, for a host's own API description.

mod actor;
pub mod api_key;
pub mod blocklist;
pub mod card_testing;
pub mod connector;
pub mod envelope;
pub mod error;
pub mod event;
pub mod id;
pub mod json;
mod keyed_hash;
pub mod keyring;
pub mod list;
pub mod merchant;
pub mod money;
pub mod organization;
pub mod page;
pub mod patch;
pub mod payment;
pub mod profile;
pub mod routing;
#[cfg(feature = "schema")]
pub mod schema;
pub mod scope;
pub mod seal;
pub mod secret;
pub mod signal;
pub mod store;
mod stored;
mod strict;
pub mod text;
pub mod time;
pub mod web_url;
pub mod webhook;
mod words;

pub use api_key::{
    Access, ApiKey, ApiKeyUpdate, Environment, Expiration, IssuedApiKey, KeyPolicy, NewApiKey, RevokedApiKey, Token,
};
pub use blocklist::{
    BlockAction, BlockEntries, BlockEntry, BlockKind, BlockReason, BlockRequest, BlockRule, BlockRuleId, BlockScope,
    BlocklistGuard, CardFacts, CardInfo, CardInfoSource, CardNumber, CardVerdict, ExplainedRule, Explanation,
    ExportError, Fingerprint, FingerprintVersion, ImportCause, ImportError, ImportEvent, ImportMode, ImportOptions,
    ImportReport, Matched, Outranked, RowOutcome, ScreenedCard, Screening,
};
pub use card_testing::{GuardCounters, GuardKey, GuardKeys, MemoryCounters};
pub use connector::{
    Accepted, AcceptedCountries, AcceptedCurrencies, AuthType, CardNetwork, Catalogue, Connector, ConnectorAuth,
    ConnectorName, ConnectorSecrets, ConnectorSpec, ConnectorStatus, ConnectorType, ConnectorUpdate,
    ConnectorWebhookDetails, CredentialVersions, EnabledMethods, MaskedAuth, MethodTypeEnabled, NewConnector,
    PaymentExperience, PaymentMethod, PaymentMethodType, PaymentMethodsEnabled, PreviousVersion, RemovedConnector,
    WalletDetails,
};
pub use envelope::{Envelope, ErrorCode};
pub use error::{ChildCount, Entity, EntityKind, Error, ErrorKind, Fault, Refusal, Source, Unavailability};
pub use event::{Delivery, DeliveryState, Event, EventClass, EventType, RetryPlan, RetryStep, WebhookMessage};
pub use id::{
    ApiKeyId, ConnectorId, CustomerId, DataKeyId, DecisionId, EventId, Incarnation, LinkUseId, MerchantId,
    OrganizationId, PaymentId, PaymentLinkId, ProfileId, RoutingId,
};
pub use keyring::{Keyring, LocalKeyring};
pub use list::{BoundedList, BoundedMap, UniqueList};
pub use merchant::{
    Address, FormerPublishableKey, Merchant, MerchantDetails, MerchantUpdate, NewMerchant, PrimaryBusiness,
    PrimaryBusinesses, PublishableKey, RemovedMerchant, RotatedPublishableKey,
};
pub use money::{Country, Currency, MinorUnits, Money};
pub use organization::{NewOrganization, Organization, OrganizationType, OrganizationUpdate};
pub use page::{Cursor, Page, PageRequest};
pub use patch::Patch;
pub use payment::{
    AmountBounds, Attempt, AttemptStatus, AuthenticationType, Billing, CancelPayment, CaptureMethod, CardCvc,
    ClaimedLink, ConfirmPayment, HoldTime, LinkAmount, LinkClaim, LinkFilter, LinkForm, LinkKind, LinkState,
    LinkTarget, LinkUrl, LinkUse, LinkUseStatus, MerchantDecision, NewPayment, NewPaymentLink, Payment, PaymentCard,
    PaymentDecision, PaymentLink, PaymentLinkInPayment, PaymentLinkStatus, PaymentMethodData, PaymentOutcome,
    PaymentStep, Phone, ProgramUsed, Replayed, UseLimit, Uses,
};
pub use profile::{
    AllowedDomain, AllowedDomains, BackgroundImage, BackgroundPosition, BackgroundSize, Branding, BrandingConfig,
    BrandingFields, CardBlocking, CardTestingGuard, CardType, Colour, CustomMessage, DetailsLayout,
    DisputePollingInterval, Domain, FulfillmentTime, GuardExpiry, GuardStatus, GuardThreshold, LabelType, Level,
    MerchantCategoryCode, MessageMode, MethodMessage, MethodMessages, NewProfile, NumericCountryCode, Origin,
    PaymentLinkConfig, PaymentLinkConfigRequest, PaymentMethodBlocking, Profile, ProfileSettings, ProfileUpdate,
    Resolved, SessionExpiry, ShowTerms, SpecificConfigs, TransactionDetail, TransactionDetailStyle, TransactionDetails,
    TypeMessage, UiRules, VerifiedDomains, WalletBlocking, WebhookHeaders, WebhookSecrets, origin_allowed,
};
pub use routing::{
    AfterAttempt, Algorithm, Answer, BlockedCard, Candidate, Candidates, CardBin, CheckedRouting, Comparison,
    ComparisonValue, ConnectorChoice, DecisionInputs, DeclineCode, DeclineReason, Difference, FallbackOrder,
    FutureUsage, GuardReason, Ineligible, KnownCard, Lint, LintKind, MandateAcceptanceType, MandateType, MetadataPair,
    NewRoutingProgram, NewRoutingVersion, NumberComparison, NumberRange, Operator, Outcome, PaymentFacts, PaymentType,
    Program, ProgramVersion, RetryPolicy, RoutableAccount, Router, RouterRecord, RoutingDiff, RoutingExplanation,
    RoutingKey, RoutingKind, RoutingMetadata, RoutingProgram, RoutingRecord, RoutingVersion, RoutingVersionId, Rule,
    SeenAccount, Selection, Split, Statement, StopReason, TransactionInitiator, TransactionType, Why,
};
pub use scope::{
    ApiKeyScope, Batch, BatchReceipt, BlocklistScope, Caller, Command, ConnectorScope, Create, CreateOptions,
    DecideRequest, Decision, DryRun, EventScope, ExpiredPayments, ExplainedDecision, Freshness, Impact, LeftUnder,
    LinkUseScope, LogRetention, LogTail, Maintained, MerchantScope, NamedBy, Need, Operation,
    OrganizationBlocklistScope, OrganizationScope, PaymentClient, PaymentLinkScope, PaymentScope, PerfectPay,
    ProfileScope, Remove, RemoveOptions, Rotated, RoutingProgramScope, RoutingScope, Screener, SealFault, SealReport,
    Settings, Update, UpdateOptions, Verdict, Verified,
};
pub use seal::{KeyId, MasterKey, Sealed};
pub use secret::{Disclosed, SecretObject, SecretText};
pub use store::{
    Actor, CommitClass, Head, IdempotencyKey, LogChange, LogEntry, LogPosition, LogPruning, Pruned, Store, Verb,
};
pub use text::{Name, Object, Text};
pub use time::{Clock, Entropy, SystemClock, SystemEntropy, Timestamp};
pub use web_url::WebUrl;
pub use webhook::{
    IntentStatus, PayoutStatus, RefundStatus, StatusFilter, WebhookDetails, WebhookDetailsResponse,
    WebhookDetailsUpdate, WebhookSettings,
};
