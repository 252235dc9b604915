//! Every operation that a handle has, by name.

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
    CreateApiKey,
    RetrieveApiKey,
    ListApiKeys,
    UpdateApiKey,
    RevokeApiKey,
    AddBlockRule,
    ListBlockRules,
    RemoveBlockRule,
    ToggleBlocklist,
    ScreenCard,
    CreatePayment,
    RetrievePayment,
    ListPayments,
    RetrievePaymentLink,
    ListPaymentLinks,
    ReadLog,
    CatchUp,
    CommitBatch,
    ReportImpact,
}
