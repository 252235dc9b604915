//! A profile's settings: how it is created, updated, kept and answered.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::branding::PaymentLinkConfig;
use super::headers::WebhookHeaders;
use super::settings::{
    CardTestingGuard, DisputePollingInterval, FulfillmentTime, MerchantCategoryCode, NumericCountryCode,
    PaymentMethodBlocking, SessionExpiry,
};
use crate::error::{EntityKind, Error, Fault};
use crate::id::{ConnectorId, MerchantId, ProfileId};
use crate::list::UniqueList;
use crate::merchant::MerchantState;
use crate::money::Country;
use crate::patch::Patch;
use crate::seal::{Opened, Sealed, Seals};
use crate::secret::{Request, SecretText, mask};
use crate::stored::{State, Stored};
use crate::text::{Name, Object, Text};
use crate::web_url::WebUrl;
use crate::webhook::{WebhookDetails, WebhookDetailsResponse, WebhookDetailsUpdate, WebhookSettings};

/// Domains that a wallet has verified for the merchant; at most 64.
pub type VerifiedDomains = UniqueList<Text<255>, 64>;

/// Declares the plain settings once, for the request, the update and the stored form. A nullable one is null unless
/// stated, and null once cleared; one with a default returns to it.
macro_rules! settings {
    (
        nullable { $($(#[$n_doc:meta])* $n:ident: $n_type:ty,)+ }
        defaulted { $($(#[$d_doc:meta])* $d:ident: $d_type:ty = $default:expr,)+ }
    ) => {
        /// The body that creates a profile. Every field is optional, and null is the same as absent.
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(deny_unknown_fields, default)]
        pub struct NewProfile {
            /// The name, unique in the merchant account; `default` unless stated.
            pub profile_name: Option<Name>,
            /// Where and of what webhooks tell; the merchant's unless stated.
            pub webhook_details: Option<WebhookDetails>,
            /// The key that signs responses and webhooks; the merchant's unless stated. Sealed, and never serialised.
            #[serde(skip_serializing)]
            pub payment_response_hash_key: Option<SecretText>,
            /// Headers that webhooks are sent with. Sealed, and never serialised.
            #[serde(skip_serializing)]
            pub outgoing_webhook_custom_http_headers: Option<WebhookHeaders>,
            $($(#[$n_doc])* pub $n: Option<$n_type>,)+
            $($(#[$d_doc])* pub $d: Option<$d_type>,)+
        }

        /// The body that updates a profile: absent keeps, null clears or returns to the default, a value replaces as a
        /// whole, but for the webhook details, which are merged field by field.
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(deny_unknown_fields, default)]
        pub struct ProfileUpdate {
            /// The name; null is refused.
            #[serde(skip_serializing_if = "Patch::is_keep")]
            pub profile_name: Patch<Name>,
            /// Merged field by field; null clears all of them.
            #[serde(skip_serializing_if = "Patch::is_keep")]
            pub webhook_details: Patch<WebhookDetailsUpdate>,
            /// Null is refused: there always is one. Never serialised.
            #[serde(skip_serializing)]
            pub payment_response_hash_key: Patch<SecretText>,
            /// Replaced whole.
            #[serde(skip_serializing)]
            pub outgoing_webhook_custom_http_headers: Patch<WebhookHeaders>,
            $($(#[$n_doc])* #[serde(skip_serializing_if = "Patch::is_keep")] pub $n: Patch<$n_type>,)+
            $($(#[$d_doc])* #[serde(skip_serializing_if = "Patch::is_keep")] pub $d: Patch<$d_type>,)+
        }

        /// The plain settings of a profile, as they are kept and answered.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub struct ProfileSettings {
            $($(#[$n_doc])* pub $n: Option<$n_type>,)+
            $($(#[$d_doc])* pub $d: $d_type,)+
        }

        impl ProfileSettings {
            /// What holds where nothing is stated: the merchant's settings, and otherwise the contract's defaults.
            pub fn inherited(merchant: &MerchantState) -> Self {
                let settings = Self { $($n: None,)+ $($d: $default,)+ };
                Self {
                    return_url: merchant.return_url.clone(),
                    enable_payment_response_hash: merchant.enable_payment_response_hash,
                    redirect_to_merchant_with_http_post: merchant.redirect_to_merchant_with_http_post,
                    ..settings
                }
            }

            fn stated(new: &NewProfile, merchant: &MerchantState) -> Self {
                let inherited = Self::inherited(merchant);
                Self {
                    $($n: new.$n.clone().or(inherited.$n),)+
                    $($d: new.$d.clone().unwrap_or(inherited.$d),)+
                }
            }

            fn apply(&mut self, update: &ProfileUpdate, merchant: &MerchantState) {
                let inherited = Self::inherited(merchant);
                $(update.$n.clone().apply_to(&mut self.$n);)+
                $(update.$d.clone().apply_or(&mut self.$d, inherited.$d);)+
            }
        }
    };
}

settings! {
    nullable {
        /// Where a customer returns to after paying; the merchant's at creation unless stated.
        return_url: WebUrl,
        /// Kept and not read.
        metadata: Object,
        /// The branding of payment links.
        payment_link_config: PaymentLinkConfig,
        /// Domains verified for Apple Pay.
        applepay_verified_domains: VerifiedDomains,
        /// Whether a payment by the merchant may go to another connector than the customer's first one.
        is_connector_agnostic_mit_enabled: bool,
        /// How often a payment is retried by itself, 0 to 255.
        max_auto_retries_enabled: u8,
        /// Whether extended authorization is always asked for.
        always_request_extended_authorization: bool,
        /// Whether the page of a redirect opens in a frame.
        is_iframe_redirection_enabled: bool,
        /// Whether a failed payment may be confirmed again.
        is_manual_retry_enabled: bool,
        /// Whether capturing more than was authorized is always asked for.
        always_enable_overcapture: bool,
        /// Where the business is.
        merchant_business_country: Country,
        /// What the business does, by its ISO 18245 code: four digits.
        merchant_category_code: MerchantCategoryCode,
        /// Where the business is, by its ISO 3166 number: three digits.
        merchant_country_code: NumericCountryCode,
        /// Every how many hours disputes are asked for, 0 to 24.
        dispute_polling_interval: DisputePollingInterval,
        /// Cards and wallets that are declined by what they are.
        payment_method_blocking: PaymentMethodBlocking,
    }
    defaulted {
        /// Whether responses are signed; the merchant's unless stated.
        enable_payment_response_hash: bool = true,
        /// Whether a customer returns by POST; the merchant's unless stated.
        redirect_to_merchant_with_http_post: bool = false,
        /// For how many seconds a payment may be completed: 60 to 1,800, by default 900.
        intent_fulfillment_time: FulfillmentTime = FulfillmentTime::default(),
        /// For how many seconds a payment's session lasts: 60 to 7,890,000, by default 900.
        session_expiry: SessionExpiry = SessionExpiry::default(),
        /// Whether the payment's billing address serves the payment method.
        use_billing_as_payment_method_billing: bool = true,
        /// Whether a wallet is asked for the shipping address where the connector needs it.
        collect_shipping_details_from_wallet_connector: bool = false,
        /// Whether a wallet is asked for the billing address where the connector needs it.
        collect_billing_details_from_wallet_connector: bool = false,
        /// Whether a wallet is always asked for the shipping address.
        always_collect_shipping_details_from_wallet_connector: bool = false,
        /// Whether a wallet is always asked for the billing address.
        always_collect_billing_details_from_wallet_connector: bool = false,
        /// Whether payments are retried by themselves.
        is_auto_retries_enabled: bool = false,
        /// When repeated attempts count as card testing.
        card_testing_guard_config: CardTestingGuard = CardTestingGuard::default(),
        /// Whether a retry may use the card number in clear.
        is_clear_pan_retries_enabled: bool = false,
        /// Whether a 3-D Secure challenge is always asked for.
        force_3ds_challenge: bool = false,
        /// Whether debit networks are chosen by cost.
        is_debit_routing_enabled: bool = false,
        /// Whether level 2 and 3 details are sent.
        is_l2_l3_enabled: bool = false,
    }
}

impl NewProfile {
    /// A profile of this name, and nothing else about it.
    pub fn named(profile_name: Name) -> Self {
        Self { profile_name: Some(profile_name), ..Self::default() }
    }
}

impl Request for NewProfile {
    fn secrets(&self) -> Vec<Zeroizing<Vec<u8>>> {
        let text = |secret: Option<&SecretText>| secret.map_or_else(Zeroizing::default, SecretText::to_bytes);
        let password = self.webhook_details.as_ref().and_then(|details| details.webhook_password.as_ref());
        let headers = self.outgoing_webhook_custom_http_headers.as_ref();
        vec![
            text(self.payment_response_hash_key.as_ref()),
            text(password),
            headers.map_or_else(|| Zeroizing::new(Vec::new()), WebhookHeaders::to_plaintext),
        ]
    }
}

impl Request for ProfileUpdate {
    fn secrets(&self) -> Vec<Zeroizing<Vec<u8>>> {
        let details = self.webhook_details.value();
        vec![
            self.payment_response_hash_key.secret(SecretText::to_bytes),
            details.map_or_else(Zeroizing::default, |details| details.webhook_password.secret(SecretText::to_bytes)),
            self.outgoing_webhook_custom_http_headers.secret(WebhookHeaders::to_plaintext),
        ]
    }
}

/// What is kept of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileState {
    /// The name.
    pub profile_name: Name,
    /// Whether it is the merchant's default.
    pub is_default: bool,
    /// The plain settings.
    pub settings: ProfileSettings,
    /// The webhook details without the password.
    pub webhook_details: Option<WebhookSettings>,
    /// The webhook password.
    pub webhook_password: Option<Sealed>,
    /// The key that signs responses and webhooks.
    pub payment_response_hash_key: Sealed,
    /// Headers that webhooks are sent with.
    pub outgoing_webhook_custom_http_headers: Option<Sealed>,
    /// The secret under which the card-testing guard counts cards.
    pub card_testing_secret: Sealed,
    /// The order in which connector accounts are tried where no routing program selects one, as far as it was said: the
    /// others follow. Accounts that are gone may be in it.
    #[serde(default)]
    pub fallback: Vec<ConnectorId>,
}

impl State for ProfileState {
    const KIND: EntityKind = EntityKind::Profile;
    type Id = ProfileId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self {
            profile_name: _,
            is_default: _,
            settings: _,
            webhook_details: _,
            webhook_password,
            payment_response_hash_key,
            outgoing_webhook_custom_http_headers,
            card_testing_secret,
            fallback: _,
        } = self;
        let optional = [(PASSWORD, webhook_password), (HEADERS, outgoing_webhook_custom_http_headers)];
        let always = [(HASH_KEY, payment_response_hash_key), (CARD_TESTING, card_testing_secret)];
        let optional = optional.into_iter().filter_map(|(field, sealed)| Some((field, sealed.as_mut()?)));
        optional.chain(always).collect()
    }
}

const HASH_KEY: &str = "payment_response_hash_key";
const HEADERS: &str = "outgoing_webhook_custom_http_headers";
const PASSWORD: &str = "webhook_password";
const CARD_TESTING: &str = "card_testing_secret";

/// What a new profile takes from its merchant account, opened.
pub(crate) struct Inherited<'a> {
    pub(crate) merchant: &'a MerchantState,
    pub(crate) webhook_password: Option<Opened>,
    pub(crate) payment_response_hash_key: Opened,
}

impl<'a> Inherited<'a> {
    /// Opens what the merchant passes on; `seals` are the merchant's.
    pub(crate) fn open(merchant: &'a MerchantState, seals: &Seals<'_>) -> Result<Self, Error> {
        let password = merchant.webhook_password.as_ref();
        Ok(Self {
            merchant,
            webhook_password: password.map(|sealed| seals.open(PASSWORD, sealed)).transpose()?,
            payment_response_hash_key: seals.open(HASH_KEY, &merchant.payment_response_hash_key)?,
        })
    }
}

impl ProfileState {
    /// A new profile.
    pub(crate) fn new(
        new: NewProfile,
        is_default: bool,
        inherited: &Inherited<'_>,
        card_testing_secret: &[u8],
        seals: &Seals<'_>,
    ) -> Result<Self, Error> {
        let settings = ProfileSettings::stated(&new, inherited.merchant);
        let (webhook_details, password) = match new.webhook_details {
            Some(mut details) => {
                let password = details.webhook_password.take().map(|p| Zeroizing::new(p.as_bytes().to_vec()));
                (Some(details.into_parts().0), password)
            }
            None => {
                let password = inherited.webhook_password.as_ref().map(|plain| Zeroizing::new(plain.to_vec()));
                (inherited.merchant.webhook_details.clone(), password)
            }
        };
        let hash_key = new.payment_response_hash_key.as_ref().map(SecretText::as_bytes);
        let hash_key = hash_key.unwrap_or(&inherited.payment_response_hash_key);
        let headers = new.outgoing_webhook_custom_http_headers.map(|headers| headers.to_plaintext());
        Ok(Self {
            profile_name: match new.profile_name {
                Some(name) => name,
                None => "default".parse()?,
            },
            is_default,
            settings,
            webhook_details,
            webhook_password: password.map(|p| seals.seal(PASSWORD, p.as_slice())).transpose()?,
            payment_response_hash_key: seals.seal(HASH_KEY, hash_key)?,
            outgoing_webhook_custom_http_headers: headers.map(|h| seals.seal(HEADERS, h.as_slice())).transpose()?,
            card_testing_secret: seals.seal(CARD_TESTING, card_testing_secret)?,
            fallback: Vec::new(),
        })
    }

    /// The state after an update.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where null is refused.
    pub(crate) fn updated(
        &self,
        update: ProfileUpdate,
        merchant: &MerchantState,
        seals: &Seals<'_>,
    ) -> Result<Self, Error> {
        let mut state = self.clone();
        state.settings.apply(&update, merchant);
        update.profile_name.apply_required("profile_name", &mut state.profile_name)?;
        match update.webhook_details {
            Patch::Keep => {}
            Patch::Clear => (state.webhook_details, state.webhook_password) = (None, None),
            Patch::Set(mut details) => {
                let password = match std::mem::take(&mut details.webhook_password) {
                    Patch::Keep => Patch::Keep,
                    Patch::Clear => Patch::Clear,
                    Patch::Set(password) => Patch::Set(Zeroizing::new(password.as_bytes().to_vec())),
                };
                seals.patch(PASSWORD, &mut state.webhook_password, &password)?;
                state.webhook_details.get_or_insert_default().apply(details);
            }
        }
        match update.payment_response_hash_key {
            Patch::Keep => {}
            Patch::Clear => return Err(Fault::new("field.not_nullable", "must not be null").at(HASH_KEY).into()),
            Patch::Set(key) => {
                state.payment_response_hash_key =
                    seals.reseal(HASH_KEY, Some(&self.payment_response_hash_key), key.as_bytes())?;
            }
        }
        let headers = match update.outgoing_webhook_custom_http_headers {
            Patch::Keep => Patch::Keep,
            Patch::Clear => Patch::Clear,
            Patch::Set(headers) => Patch::Set(headers.to_plaintext()),
        };
        seals.patch(HEADERS, &mut state.outgoing_webhook_custom_http_headers, &headers)?;
        Ok(state)
    }
}

impl ProfileState {
    /// The secret under which the card-testing guard counts, in clear.
    pub(crate) fn card_testing_secret(&self, seals: &Seals<'_>) -> Result<Opened, Error> {
        seals.open(CARD_TESTING, &self.card_testing_secret)
    }

    /// What is needed to deliver webhooks, in clear.
    pub(crate) fn reveal(&self, seals: &Seals<'_>) -> Result<WebhookSecrets, Error> {
        let text =
            |field, sealed: &Sealed| seals.open_text(field, sealed).map(|text| SecretString::from(text.as_str()));
        let headers = self.outgoing_webhook_custom_http_headers.as_ref();
        let headers = headers.map(|sealed| seals.open(HEADERS, sealed)).transpose()?;
        Ok(WebhookSecrets {
            payment_response_hash_key: text(HASH_KEY, &self.payment_response_hash_key)?,
            webhook_password: self.webhook_password.as_ref().map(|sealed| text(PASSWORD, sealed)).transpose()?,
            outgoing_webhook_custom_http_headers: headers
                .map(|plain| WebhookHeaders::from_plaintext(&plain))
                .transpose()?,
        })
    }
}

/// What a host needs in clear to deliver a profile's webhooks and to sign its responses. `Debug` hides all of it, and it
/// cannot be serialised.
#[derive(Debug, Clone)]
pub struct WebhookSecrets {
    /// The key that signs responses and webhooks.
    pub payment_response_hash_key: SecretString,
    /// The password that the receiver asks for.
    pub webhook_password: Option<SecretString>,
    /// Headers that webhooks are sent with.
    pub outgoing_webhook_custom_http_headers: Option<WebhookHeaders>,
}

/// A profile as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Profile {
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// The id.
    pub profile_id: ProfileId,
    /// The name.
    pub profile_name: Name,
    /// The plain settings, beside the other fields in JSON.
    #[serde(flatten)]
    pub settings: ProfileSettings,
    /// The webhook details, the password masked.
    pub webhook_details: Option<WebhookDetailsResponse>,
    /// The key that signs responses and webhooks, masked.
    pub payment_response_hash_key: String,
    /// Headers that webhooks are sent with: names in clear, values masked.
    pub outgoing_webhook_custom_http_headers: Option<std::collections::BTreeMap<String, String>>,
    /// The version, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

impl Profile {
    /// The profile as it is answered.
    pub(crate) fn view(row: Stored<ProfileState>, merchant_id: MerchantId, seals: &Seals<'_>) -> Result<Self, Error> {
        let state = row.state;
        let password = state.webhook_password.map(|sealed| seals.open_text(PASSWORD, &sealed)).transpose()?;
        let password = password.map(|password| mask(&password));
        let headers = state.outgoing_webhook_custom_http_headers;
        let headers = headers.map(|sealed| seals.open(HEADERS, &sealed)).transpose()?;
        let headers = headers.map(|plain| WebhookHeaders::from_plaintext(&plain)).transpose()?;
        Ok(Self {
            merchant_id,
            profile_id: row.id,
            profile_name: state.profile_name,
            settings: state.settings,
            webhook_details: state.webhook_details.map(|settings| WebhookDetailsResponse::new(settings, password)),
            payment_response_hash_key: mask(&seals.open_text(HASH_KEY, &state.payment_response_hash_key)?),
            outgoing_webhook_custom_http_headers: headers.map(|headers| headers.masked()),
            version: row.version,
        })
    }
}
