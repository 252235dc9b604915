//! Every operation that a handle has, by name, and what a key needs for it.

use crate::api_key::{Resource, Right, Touch};

/// An operation of a handle. Whoever must say something about each one, a permission or a test, matches on this without
/// a `_` arm and so cannot forget one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::Display, strum::IntoStaticStr, strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
#[allow(missing_docs, reason = "each is the method of its name, which has the documentation")]
pub enum Operation {
    CreateOrganization,
    RetrieveOrganization,
    ListOrganizations,
    UpdateOrganization,
    RemoveOrganization,
    CreateMerchant,
    RetrieveMerchant,
    ListMerchants,
    UpdateMerchant,
    RemoveMerchant,
    RotatePublishableKey,
    EndFormerPublishableKey,
    CreateProfile,
    RetrieveProfile,
    ListProfiles,
    UpdateProfile,
    RemoveProfile,
    RevealWebhookSecrets,
    CreateConnector,
    RetrieveConnector,
    ListConnectors,
    UpdateConnector,
    RemoveConnector,
    RevealConnectorCredentials,
    RevealConnectorSecrets,
    StageConnectorCredentials,
    ActivateConnectorCredentials,
    RollBackConnectorCredentials,
    CreateRoutingProgram,
    RetrieveRoutingProgram,
    ListRoutingPrograms,
    RemoveRoutingProgram,
    AddRoutingVersion,
    RetrieveRoutingVersion,
    ListRoutingVersions,
    RetrieveRoutingDiff,
    RemoveRoutingVersion,
    ActivateRouting,
    RetrieveActiveRouting,
    DeactivateRouting,
    RollBackRouting,
    RetrieveFallback,
    ReorderFallback,
    DryRunRouting,
    DecidePayment,
    ExplainDecision,
    CountFailedAttempt,
    CreateApiKey,
    RetrieveApiKey,
    ListApiKeys,
    UpdateApiKey,
    RotateApiKey,
    RevokeApiKey,
    RetrieveKeyPolicy,
    SetKeyPolicy,
    AddBlockRule,
    RetrieveBlockRule,
    ListBlockRules,
    RemoveBlockRule,
    ToggleBlocklist,
    ScreenCard,
    ExplainCard,
    ImportBlockRules,
    ExportBlockRules,
    PurgeBlockRules,
    RotateFingerprintSecret,
    ListFingerprintVersions,
    DropFingerprintVersion,
    CreatePayment,
    RetrievePayment,
    ListPayments,
    ConfirmPayment,
    RecordAttempt,
    CancelPayment,
    ExpirePayments,
    RetrieveDecision,
    ReplayDecision,
    ListOutbox,
    ListEvents,
    RetrieveEvent,
    RevealWebhookMessage,
    AcknowledgeEvent,
    FailEvent,
    CreatePaymentLink,
    RetrievePaymentLink,
    ListPaymentLinks,
    DeactivatePaymentLink,
    ReactivatePaymentLink,
    ClaimPaymentLink,
    RetrieveLinkUse,
    ListLinkUses,
    ConfirmLinkUse,
    ReleaseLinkUse,
    PurgeLinkUses,
    ReadLog,
    PruneLog,
    PurgeClaims,
    Maintain,
    CatchUp,
    CommitBatch,
    ReportImpact,
    VerifySeals,
    RewrapDataKeys,
    CountDataKeys,
    RotateDataKey,
}

/// What whoever calls by a key must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// No key suffices: it is the host's.
    Host,
    /// Any key suffices: what it does needs what it needs.
    Nothing,
    /// The right, and no list of profiles: it is about the account as a whole.
    Account(Right),
    /// The right. Objects of a profile that the key is not for are refused where they are read.
    Profile(Right),
}

impl Operation {
    /// What a key must have for it. The host's own handles need nothing.
    #[allow(clippy::too_many_lines, reason = "one table, a line for each need")]
    pub fn need(self) -> Need {
        use Resource::{ApiKeys, Blocklist, Connectors, Log, Merchant, Payments, Profiles, Routing, Secrets};
        use Touch::{Read, Write};
        let account = |resource, touch| Need::Account(Right::new(resource, touch));
        let profile = |resource, touch| Need::Profile(Right::new(resource, touch));
        match self {
            Self::CreateOrganization
            | Self::ListOrganizations
            | Self::UpdateOrganization
            | Self::RemoveOrganization
            | Self::CreateMerchant
            | Self::ListMerchants
            | Self::CatchUp
            | Self::PruneLog
            | Self::PurgeClaims
            | Self::Maintain
            | Self::VerifySeals
            | Self::RewrapDataKeys
            | Self::CountDataKeys => Need::Host,
            Self::CommitBatch => Need::Nothing,
            Self::RetrieveOrganization | Self::RetrieveMerchant | Self::ReportImpact | Self::RetrieveKeyPolicy => {
                account(Merchant, Read)
            }
            Self::UpdateMerchant
            | Self::RemoveMerchant
            | Self::RotatePublishableKey
            | Self::EndFormerPublishableKey
            | Self::SetKeyPolicy
            | Self::RotateDataKey => account(Merchant, Write),
            Self::ExpirePayments => account(Payments, Write),
            Self::CreateProfile | Self::RemoveProfile => account(Profiles, Write),
            Self::RetrieveProfile | Self::ListProfiles => profile(Profiles, Read),
            Self::UpdateProfile => profile(Profiles, Write),
            Self::RevealWebhookSecrets
            | Self::RevealConnectorCredentials
            | Self::RevealConnectorSecrets
            | Self::RevealWebhookMessage => profile(Secrets, Read),
            Self::RetrieveConnector | Self::ListConnectors => profile(Connectors, Read),
            Self::CreateConnector
            | Self::UpdateConnector
            | Self::RemoveConnector
            | Self::StageConnectorCredentials
            | Self::ActivateConnectorCredentials
            | Self::RollBackConnectorCredentials => profile(Connectors, Write),
            Self::RetrieveRoutingProgram
            | Self::ListRoutingPrograms
            | Self::RetrieveRoutingVersion
            | Self::ListRoutingVersions
            | Self::RetrieveRoutingDiff
            | Self::RetrieveActiveRouting
            | Self::RetrieveFallback
            | Self::DryRunRouting => profile(Routing, Read),
            Self::CreateRoutingProgram
            | Self::RemoveRoutingProgram
            | Self::AddRoutingVersion
            | Self::RemoveRoutingVersion
            | Self::ActivateRouting
            | Self::DeactivateRouting
            | Self::RollBackRouting
            | Self::ReorderFallback => profile(Routing, Write),
            Self::RetrieveApiKey | Self::ListApiKeys => account(ApiKeys, Read),
            Self::CreateApiKey | Self::UpdateApiKey | Self::RotateApiKey | Self::RevokeApiKey => {
                account(ApiKeys, Write)
            }
            Self::RetrieveBlockRule
            | Self::ListBlockRules
            | Self::ExplainCard
            | Self::ExportBlockRules
            | Self::ListFingerprintVersions => account(Blocklist, Read),
            Self::AddBlockRule
            | Self::RemoveBlockRule
            | Self::ToggleBlocklist
            | Self::ImportBlockRules
            | Self::PurgeBlockRules
            | Self::RotateFingerprintSecret
            | Self::DropFingerprintVersion => account(Blocklist, Write),
            // Of the list it tells no more than whether this card is on it.
            Self::ScreenCard => profile(Blocklist, Read),
            Self::CreatePayment
            | Self::ConfirmPayment
            | Self::RecordAttempt
            | Self::CancelPayment
            | Self::AcknowledgeEvent
            | Self::FailEvent
            | Self::CreatePaymentLink
            | Self::DeactivatePaymentLink
            | Self::ReactivatePaymentLink
            | Self::ClaimPaymentLink
            | Self::ConfirmLinkUse
            | Self::ReleaseLinkUse
            | Self::PurgeLinkUses
            | Self::CountFailedAttempt => profile(Payments, Write),
            Self::RetrievePayment
            | Self::ListPayments
            | Self::RetrieveDecision
            | Self::ReplayDecision
            | Self::ListOutbox
            | Self::ListEvents
            | Self::RetrieveEvent
            | Self::RetrievePaymentLink
            | Self::ListPaymentLinks
            | Self::RetrieveLinkUse
            | Self::ListLinkUses
            | Self::DecidePayment
            | Self::ExplainDecision => profile(Payments, Read),
            Self::ReadLog => account(Log, Read),
        }
    }
}
