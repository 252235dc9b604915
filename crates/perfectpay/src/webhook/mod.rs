//! Where a profile's webhooks go, which statuses are delivered, how a delivery is signed, and where it may be sent.

mod policy;
mod signature;

pub use self::policy::{AddressRange, UrlPolicy, UrlScheme};
pub use self::signature::{
    Received, SIGNATURE_512, SignedWebhook, WebhookSecret, WebhookSigner, signature_512, verify_512,
};

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Fault;
use crate::json::refuse;
use crate::patch::Patch;
use crate::secret::SecretText;
use crate::text::Text;
use crate::web_url::WebUrl;

macro_rules! statuses {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ } delivers { $($delivered:ident,)+ }
    )+) => { $(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantArray,
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        #[strum(serialize_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl DeliverableStatus for $name {
            fn is_deliverable(self) -> bool {
                matches!(self, $(Self::$delivered)|+)
            }
        }
    )+ };
}

/// A status that a webhook can tell of.
pub trait DeliverableStatus: Copy + PartialEq {
    /// Whether the contract lets a webhook be asked for this status.
    fn is_deliverable(self) -> bool;
}

statuses! {
    /// Where a payment stands.
    IntentStatus {
        /// The money was taken.
        Succeeded,
        /// The payment failed.
        Failed,
        /// It was cancelled before any money was taken.
        Cancelled,
        /// It was cancelled after the money was taken.
        CancelledPostCapture,
        /// The connector has not answered for good.
        Processing,
        /// The customer has to act, for example to authenticate.
        RequiresCustomerAction,
        /// The merchant has to act, for example to review a suspicion of fraud.
        RequiresMerchantAction,
        /// No means of payment was given yet.
        RequiresPaymentMethod,
        /// Everything was given; the payment is to be confirmed.
        RequiresConfirmation,
        /// Authorized; the money is to be taken.
        RequiresCapture,
        /// Part of the money was taken and no more will be.
        PartiallyCaptured,
        /// Part of the money was taken and more can be.
        PartiallyCapturedAndCapturable,
        /// Part of the amount was authorized; the money is to be taken.
        PartiallyAuthorizedAndRequiresCapture,
        /// Part of the money was taken and another part is on its way.
        PartiallyCapturedAndProcessing,
        /// The connector's answer contradicts the payment, for example in its amount.
        Conflicted,
        /// It was not completed in time.
        Expired,
        /// It is held for review.
        Review,
    } delivers {
        Succeeded, Failed, Cancelled, CancelledPostCapture, Processing, RequiresCustomerAction,
        RequiresMerchantAction, RequiresCapture, PartiallyCaptured, PartiallyCapturedAndCapturable,
        PartiallyAuthorizedAndRequiresCapture, PartiallyCapturedAndProcessing, Conflicted, Expired, Review,
    }

    /// Where a refund stands, as the webhook filter names it.
    RefundStatus {
        /// The refund failed.
        Failure,
        /// It is held for review.
        ManualReview,
        /// The connector has not answered for good.
        Pending,
        /// The money went back.
        Success,
        /// The transaction behind it failed.
        TransactionFailure,
    } delivers { Success, Failure, }

    /// Where a payout stands.
    PayoutStatus {
        /// The money arrived.
        Success,
        /// The payout failed.
        Failed,
        /// It was cancelled.
        Cancelled,
        /// It was handed to the connector.
        Initiated,
        /// It was not completed in time.
        Expired,
        /// The money came back.
        Reversed,
        /// The connector has not answered for good.
        Pending,
        /// The recipient cannot be paid in this way.
        Ineligible,
        /// It is to be created at the connector.
        RequiresCreation,
        /// It is to be confirmed.
        RequiresConfirmation,
        /// No means of payout was given yet.
        RequiresPayoutMethodData,
        /// It is to be carried out.
        RequiresFulfillment,
        /// The connector needs an account for the recipient.
        RequiresVendorAccountCreation,
    } delivers { Success, Failed, Cancelled, Initiated, Expired, Reversed, }
}

/// The statuses that are delivered, each one once, in the caller's order. An empty filter lets every deliverable status
/// pass.
///
/// ```
/// use perfectpay::{RefundStatus, StatusFilter};
///
/// let filter = StatusFilter::try_from(vec![RefundStatus::Failure])?;
/// assert!(filter.passes(RefundStatus::Failure));
/// assert!(!filter.passes(RefundStatus::Success));
/// assert!(StatusFilter::default().passes(RefundStatus::Success));
///
/// let error = StatusFilter::try_from(vec![RefundStatus::Pending]).unwrap_err();
/// assert_eq!(error.code(), "webhook.status_not_allowed");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StatusFilter<S>(Vec<S>);

impl<S> Default for StatusFilter<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S: DeliverableStatus> StatusFilter<S> {
    /// The statuses that were asked for; empty for all.
    pub fn statuses(&self) -> &[S] {
        &self.0
    }

    /// Whether a webhook tells of this status.
    pub fn passes(&self, status: S) -> bool {
        status.is_deliverable() && (self.0.is_empty() || self.0.contains(&status))
    }
}

fn deliverable<S: DeliverableStatus>(status: S) -> Result<S, Fault> {
    if status.is_deliverable() {
        Ok(status)
    } else {
        Err(Fault::new("webhook.status_not_allowed", "must be a status that webhooks tell of"))
    }
}

fn distinct<S: DeliverableStatus>(statuses: impl IntoIterator<Item = S>) -> Vec<S> {
    let mut kept = Vec::new();
    for status in statuses {
        if !kept.contains(&status) {
            kept.push(status);
        }
    }
    kept
}

impl<S: DeliverableStatus> TryFrom<Vec<S>> for StatusFilter<S> {
    type Error = Fault;

    /// Takes the statuses without their repetitions.
    ///
    /// # Errors
    ///
    /// `webhook.status_not_allowed`.
    fn try_from(statuses: Vec<S>) -> Result<Self, Fault> {
        let statuses: Vec<S> = statuses.into_iter().map(deliverable).collect::<Result<_, _>>()?;
        Ok(Self(distinct(statuses)))
    }
}

impl<'de, S: DeliverableStatus + Deserialize<'de>> Deserialize<'de> for StatusFilter<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Fails by itself, so that the path of the fault names the entry.
        struct Entry<S>(S);

        impl<'de, S: DeliverableStatus + Deserialize<'de>> Deserialize<'de> for Entry<S> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deliverable(S::deserialize(deserializer)?).map(Self).map_err(|fault| refuse(&fault))
            }
        }

        let entries = Vec::<Entry<S>>::deserialize(deserializer)?;
        Ok(Self(distinct(entries.into_iter().map(|entry| entry.0))))
    }
}

/// Declares the plain fields once, for the request, the update and the stored form.
macro_rules! webhook_details {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)+) => {
        /// The webhook details of a new profile. Every field is optional and null is the same as absent.
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct WebhookDetails {
            $($(#[$doc])* pub $field: Option<$type>,)+
            /// The password that the receiver asks for. Never serialised.
            #[serde(skip_serializing)]
            pub webhook_password: Option<SecretText>,
        }

        /// A change of the webhook details, field by field: absent keeps, null clears, a value replaces.
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct WebhookDetailsUpdate {
            $($(#[$doc])* #[serde(skip_serializing_if = "Patch::is_keep")] pub $field: Patch<$type>,)+
            /// The password that the receiver asks for. Never serialised.
            #[serde(skip_serializing)]
            pub webhook_password: Patch<SecretText>,
        }

        /// The webhook details as they are stored: everything but the password, which is sealed apart.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct WebhookSettings {
            $($(#[$doc])* pub $field: Option<$type>,)+
        }

        impl WebhookDetails {
            /// Takes the details apart: what is stored as it is, and the password to be sealed.
            pub fn into_parts(self) -> (WebhookSettings, Option<SecretString>) {
                let settings = WebhookSettings { $($field: self.$field,)+ };
                (settings, self.webhook_password.map(SecretText::into_secret))
            }
        }

        impl WebhookSettings {
            /// Applies a change, and hands back what it says of the password.
            pub fn apply(&mut self, update: WebhookDetailsUpdate) -> Patch<SecretString> {
                $(update.$field.apply_to(&mut self.$field);)+
                match update.webhook_password {
                    Patch::Keep => Patch::Keep,
                    Patch::Clear => Patch::Clear,
                    Patch::Set(password) => Patch::Set(password.into_secret()),
                }
            }
        }
    };
}

webhook_details! {
    /// A label that the merchant chooses, for example of a version.
    webhook_version: Text<255>,
    /// The user name that the receiver asks for.
    webhook_username: Text<255>,
    /// Where webhooks are delivered; without it none are.
    webhook_url: WebUrl,
    /// Kept and returned; the contract does not act on it.
    payment_created_enabled: bool,
    /// Kept and returned; the contract does not act on it.
    payment_succeeded_enabled: bool,
    /// Kept and returned; the contract does not act on it.
    payment_failed_enabled: bool,
    /// The payment statuses that are delivered; absent or empty for all.
    payment_statuses_enabled: StatusFilter<IntentStatus>,
    /// The refund statuses that are delivered; absent or empty for all.
    refund_statuses_enabled: StatusFilter<RefundStatus>,
    /// The payout statuses that are delivered; absent or empty for all.
    payout_statuses_enabled: StatusFilter<PayoutStatus>,
}

/// The webhook details as the contract returns them: every field, null where unset, and the password masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WebhookDetailsResponse {
    /// The plain fields, beside the password in JSON.
    #[serde(flatten)]
    pub settings: WebhookSettings,
    /// The password, masked.
    pub webhook_password: Option<String>,
}

impl WebhookDetailsResponse {
    /// The response of these settings; `masked_password` must be masked already.
    pub fn new(settings: WebhookSettings, masked_password: Option<String>) -> Self {
        Self { settings, webhook_password: masked_password }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};
    use strum::VariantArray as _;

    use super::*;
    use crate::error::Error;
    use crate::json::{from_slice, from_value};

    fn place(error: &Error) -> (&str, &str) {
        match error {
            Error::Invalid(fault) => (fault.path(), fault.code()),
            other => panic!("{other}"),
        }
    }

    fn statuses<S: strum::VariantArray + DeliverableStatus + std::fmt::Display>(deliverable: bool) -> Vec<String> {
        S::VARIANTS.iter().filter(|s| s.is_deliverable() == deliverable).map(ToString::to_string).collect()
    }

    #[test]
    fn every_status_of_the_contract_is_known_by_the_same_word_everywhere() {
        assert_eq!(IntentStatus::VARIANTS.len(), 17);
        assert_eq!(RefundStatus::VARIANTS.len(), 5);
        assert_eq!(PayoutStatus::VARIANTS.len(), 13);
        for status in IntentStatus::VARIANTS {
            assert_eq!(serde_json::to_value(status).unwrap(), Value::String(status.to_string()));
            assert_eq!(status.to_string().parse::<IntentStatus>().unwrap(), *status);
        }
    }

    #[test]
    fn only_the_statuses_that_the_contract_lists_can_be_asked_for() {
        assert_eq!(statuses::<IntentStatus>(false), ["requires_payment_method", "requires_confirmation"]);
        assert_eq!(statuses::<RefundStatus>(true), ["failure", "success"]);
        assert_eq!(
            statuses::<PayoutStatus>(true),
            ["success", "failed", "cancelled", "initiated", "expired", "reversed"]
        );
    }

    #[test]
    fn a_status_that_cannot_be_asked_for_is_refused_where_it_stands() {
        for (body, path, code) in [
            (
                json!({"payment_statuses_enabled": ["failed", "requires_confirmation"]}),
                "payment_statuses_enabled[1]",
                "webhook.status_not_allowed",
            ),
            (
                json!({"refund_statuses_enabled": ["pending"]}),
                "refund_statuses_enabled[0]",
                "webhook.status_not_allowed",
            ),
            (
                json!({"payout_statuses_enabled": ["pending"]}),
                "payout_statuses_enabled[0]",
                "webhook.status_not_allowed",
            ),
            (json!({"payout_statuses_enabled": ["paid"]}), "payout_statuses_enabled[0]", "json.unknown_variant"),
            (json!({"webhook_ulr": "https://example.com"}), "webhook_ulr", "json.unknown_field"),
            (json!({"webhook_url": "example.com"}), "webhook_url", "url.not_absolute"),
        ] {
            assert_eq!(place(&from_value::<WebhookDetails>(body.clone()).unwrap_err()), (path, code));
            assert_eq!(place(&from_value::<WebhookDetailsUpdate>(body).unwrap_err()), (path, code));
        }
    }

    #[test]
    fn a_status_given_twice_counts_once_and_the_order_stays() {
        let body = br#"{"refund_statuses_enabled": ["success", "failure", "success"]}"#;
        let filter = from_slice::<WebhookDetails>(body).unwrap().refund_statuses_enabled.unwrap();
        assert_eq!(filter.statuses(), [RefundStatus::Success, RefundStatus::Failure]);
    }

    #[test]
    fn an_empty_filter_lets_every_deliverable_status_pass() {
        let filter = StatusFilter::default();
        assert!(filter.passes(IntentStatus::Succeeded));
        assert!(!filter.passes(IntentStatus::RequiresConfirmation));
    }

    #[test]
    fn both_sides_of_the_limits_of_a_password() {
        assert!("é".repeat(255).parse::<SecretText>().is_ok());
        for (text, code) in [
            ("é".repeat(256), "secret.too_long"),
            (" \t".into(), "secret.blank"),
            (String::new(), "secret.blank"),
            ("a\nb".into(), "secret.bad_character"),
        ] {
            assert_eq!(text.parse::<SecretText>().unwrap_err().code(), code);
        }
    }

    #[test]
    fn the_password_is_kept_as_given_and_never_printed_or_stored_with_the_rest() {
        let details: WebhookDetails =
            from_value(json!({"webhook_username": "u", "webhook_password": " hunter2 "})).unwrap();
        assert!(!format!("{details:?}").contains("hunter2"));
        let (settings, password) = details.into_parts();
        assert_eq!(password.unwrap().expose_secret(), " hunter2 ");
        assert_eq!(settings.webhook_username.as_deref(), Some("u"));
        assert!(!serde_json::to_string(&settings).unwrap().contains("password"));
        let stored = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<WebhookSettings>(&stored).unwrap(), settings);
    }

    #[test]
    fn an_update_keeps_clears_or_replaces_each_field_by_itself() {
        let details: WebhookDetails = from_value(json!({
            "webhook_url": "https://example.com/v1",
            "webhook_username": "u",
            "webhook_password": "p",
            "payment_statuses_enabled": ["failed"],
        }))
        .unwrap();
        let (mut settings, _) = details.into_parts();
        let apply = |settings: &mut WebhookSettings, body| settings.apply(from_value(body).unwrap());

        let before = settings.clone();
        assert!(apply(&mut settings, json!({})).is_keep());
        assert_eq!(settings, before);

        let password = apply(
            &mut settings,
            json!({"webhook_url": "https://example.com/v2", "webhook_username": null, "webhook_password": null}),
        );
        assert!(matches!(password, Patch::Clear));
        assert_eq!(settings.webhook_url.as_ref().map(WebUrl::as_str), Some("https://example.com/v2"));
        assert_eq!(settings.webhook_username, None);
        assert_eq!(settings.payment_statuses_enabled, before.payment_statuses_enabled);

        let password = apply(&mut settings, json!({"webhook_password": "q", "payment_statuses_enabled": []}));
        assert_eq!(password.value().map(ExposeSecret::expose_secret), Some("q"));
        assert_eq!(settings.payment_statuses_enabled, Some(StatusFilter::default()));
    }

    #[test]
    fn the_published_bodies_are_read() {
        #[derive(Deserialize)]
        struct Create {
            webhook_details: WebhookDetails,
        }
        #[derive(Deserialize)]
        struct Update {
            webhook_details: WebhookDetailsUpdate,
        }
        let create: Create = from_value(json!({
            "profile_name": "US Online Store",
            "return_url": "https://store.example.com/checkout/complete",
            "webhook_details": {"webhook_url": "https://store.example.com/webhooks/perfectpay"},
        }))
        .unwrap();
        let (mut settings, password) = create.webhook_details.into_parts();
        assert!(password.is_none());
        let update: Update =
            from_value(json!({"webhook_details": {"webhook_url": "https://store.example.com/webhooks/v2"}})).unwrap();
        assert!(settings.apply(update.webhook_details).is_keep());
        assert_eq!(settings.webhook_url.unwrap().as_str(), "https://store.example.com/webhooks/v2");
    }

    #[test]
    fn a_response_carries_every_field_and_null_where_it_is_unset() {
        let response = WebhookDetailsResponse::new(WebhookSettings::default(), Some("hu***r2".into()));
        assert_eq!(
            serde_json::to_value(response).unwrap(),
            json!({
                "webhook_version": null, "webhook_username": null, "webhook_password": "hu***r2", "webhook_url": null,
                "payment_created_enabled": null, "payment_succeeded_enabled": null, "payment_failed_enabled": null,
                "payment_statuses_enabled": null, "refund_statuses_enabled": null, "payout_statuses_enabled": null,
            })
        );
    }
}
