//! How payment links look: what a request and a profile may say, and what comes out of both.
//!
//! The shared fields are declared once, at the end of this file. From that list come the fields of a level
//! ([`BrandingFields`]), the JSON forms of a request and of a profile, in which they stand beside fields of their own,
//! the resolved [`Branding`], and its published form ([`BrandingConfig`]).
//!
//! The contract checks neither colours nor URLs nor lengths. They are typed here on purpose: what is wrong is refused
//! when it is sent and not found on a page that customers pay on, and nothing can break out of a style sheet.

use serde::{Deserialize, Serialize, Serializer};

use crate::list::{BoundedMap, UniqueList};
use crate::text::Text;
use crate::web_url::WebUrl;

mod colour;
mod domain;
mod parts;
#[cfg(test)]
mod tests;

pub use colour::Colour;
pub use domain::{AllowedDomain, Domain, Origin, origin_allowed};
pub use parts::*;

/// Where a resolved value comes from, from the strongest to the weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The request that made the link.
    Request,
    /// The profile's configuration of the id that the request named.
    ProfileSpecific,
    /// The profile's default configuration.
    Profile,
    /// The contract's own default.
    BuiltIn,
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub level: Level,
}

/// The domains that may show a payment link, each one once; at most 64.
pub type AllowedDomains = UniqueList<AllowedDomain, 64>;

/// The configurations that a request chooses among by id; at most 64.
pub type SpecificConfigs = BoundedMap<Text<64>, BrandingFields, 64>;

/// The branding that a payment request brings along, its strongest level. Every field is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "RequestForm")]
pub struct PaymentLinkConfigRequest {
    /// The shared fields, beside the others in JSON.
    #[serde(flatten)]
    pub branding: BrandingFields,
    /// Rows about the order.
    pub transaction_details: Option<TransactionDetails>,
}

/// The branding of a profile. Every field is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "ProfileForm")]
pub struct PaymentLinkConfig {
    /// The default configuration, beside the other fields in JSON.
    #[serde(flatten)]
    pub branding: BrandingFields,
    /// The domains that may show a link in a frame.
    pub allowed_domains: Option<AllowedDomains>,
    /// The domain that links are made on.
    pub domain_name: Option<Domain>,
    /// Whether the page names the platform.
    pub branding_visibility: Option<bool>,
    /// Configurations that a request chooses by id. One that is chosen takes the place of the default configuration;
    /// what it leaves open is not filled from there.
    pub business_specific_configs: Option<SpecificConfigs>,
}

/// The two levels above the built-in one.
struct Levels<'a> {
    request: Option<&'a BrandingFields>,
    profile: Option<(&'a BrandingFields, Level)>,
}

impl<'a> Levels<'a> {
    fn new(
        request: Option<&'a PaymentLinkConfigRequest>,
        profile: Option<&'a PaymentLinkConfig>,
        config_id: Option<&str>,
    ) -> Self {
        let profile = profile.map(|profile| {
            let configs = profile.business_specific_configs.as_ref();
            let id = config_id.and_then(|id| id.parse().ok());
            match configs.zip(id).and_then(|(configs, id)| configs.get(&id)) {
                Some(specific) => (specific, Level::ProfileSpecific),
                None => (&profile.branding, Level::Profile),
            }
        });
        Self { request: request.map(|request| &request.branding), profile }
    }

    /// The strongest level's value of one field. `T` is how a level states it and `R` how it comes out: the same where
    /// there always is one, `Option<T>` where there may be none.
    fn pick<T: Clone, R: From<T>>(&self, field: impl Fn(&BrandingFields) -> Option<&T>, built_in: R) -> Resolved<R> {
        let mut levels = self.request.map(|fields| (fields, Level::Request)).into_iter().chain(self.profile);
        levels
            .find_map(|(fields, level)| Some(Resolved { value: R::from(field(fields)?.clone()), level }))
            .unwrap_or(Resolved { value: built_in, level: Level::BuiltIn })
    }
}

/// A field that only one level has.
fn only<T: Clone>(value: Option<&T>, level: Level) -> Resolved<Option<T>> {
    match value {
        Some(value) => Resolved { value: Some(value.clone()), level },
        None => Resolved { value: None, level: Level::BuiltIn },
    }
}

impl Branding {
    /// Resolves every field by itself: the request, else the profile, else the contract's default.
    ///
    /// Of the profile one configuration counts: the one named `config_id` if it is known, else the default one.
    /// Without any seller name the merchant's stands in, at [`Level::BuiltIn`]; one that is not a text of at most 255
    /// visible characters counts as none. The merchant's name is shown by default only where neither a request nor a
    /// profile configured anything.
    pub fn resolve(
        request: Option<&PaymentLinkConfigRequest>,
        profile: Option<&PaymentLinkConfig>,
        config_id: Option<&str>,
        merchant_name: Option<&str>,
    ) -> Self {
        let mut branding = Self::of(
            &Levels::new(request, profile, config_id),
            only(request.and_then(|r| r.transaction_details.as_ref()), Level::Request),
            only(profile.and_then(|p| p.allowed_domains.as_ref()), Level::Profile),
            only(profile.and_then(|p| p.branding_visibility.as_ref()), Level::Profile),
        );
        if branding.seller_name.level == Level::BuiltIn {
            branding.seller_name.value = merchant_name.and_then(|name| name.parse().ok());
        }
        if branding.show_merchant_name.level == Level::BuiltIn {
            branding.show_merchant_name.value = request.is_none() && profile.is_none();
        }
        branding
    }
}

/// The contract's resolved form has a text where there is no logo or no seller's name: an empty one.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference to the field")]
fn or_empty<T: Serialize, S: Serializer>(value: &&Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => value.serialize(serializer),
        None => serializer.serialize_str(""),
    }
}

/// Takes lines of `field: type of a level => resolved type = built-in value`, with `as "…"` where the published form is
/// written by a function of its own.
macro_rules! branding {
    ($($(#[$doc:meta])* $field:ident: $type:ty => $resolved:ty = $built_in:expr $(, as $published:literal)?;)+) => {
        /// The fields that every level of branding may state. None is required; null is the same as absent.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct BrandingFields {
            $($(#[$doc])* pub $field: Option<$type>,)+
        }

        /// What a request's JSON is read into: serde refuses unknown fields only where nothing is flattened.
        #[derive(Default, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        struct RequestForm {
            $($(#[$doc])* $field: Option<$type>,)+
            transaction_details: Option<TransactionDetails>,
        }

        impl From<RequestForm> for PaymentLinkConfigRequest {
            fn from(form: RequestForm) -> Self {
                let branding = BrandingFields { $($field: form.$field,)+ };
                Self { branding, transaction_details: form.transaction_details }
            }
        }

        /// What a profile's JSON is read into, as [`RequestForm`].
        #[derive(Default, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        struct ProfileForm {
            $($(#[$doc])* $field: Option<$type>,)+
            allowed_domains: Option<AllowedDomains>,
            domain_name: Option<Domain>,
            branding_visibility: Option<bool>,
            business_specific_configs: Option<SpecificConfigs>,
        }

        impl From<ProfileForm> for PaymentLinkConfig {
            fn from(form: ProfileForm) -> Self {
                Self {
                    branding: BrandingFields { $($field: form.$field,)+ },
                    allowed_domains: form.allowed_domains,
                    domain_name: form.domain_name,
                    branding_visibility: form.branding_visibility,
                    business_specific_configs: form.business_specific_configs,
                }
            }
        }

        /// The branding of one payment link: every value, and the level that it comes from.
        ///
        /// It is resolved when the link is made and stored with it; a later change of the profile leaves it alone.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Branding {
            $($(#[$doc])* pub $field: Resolved<$resolved>,)+
            /// Rows about the order, from the request alone.
            pub transaction_details: Resolved<Option<TransactionDetails>>,
            /// The domains that may show the link in a frame, from the profile alone.
            pub allowed_domains: Resolved<Option<AllowedDomains>>,
            /// Whether the page names the platform, from the profile alone.
            pub branding_visibility: Resolved<Option<bool>>,
        }

        impl Branding {
            fn of(
                levels: &Levels<'_>,
                transaction_details: Resolved<Option<TransactionDetails>>,
                allowed_domains: Resolved<Option<AllowedDomains>>,
                branding_visibility: Resolved<Option<bool>>,
            ) -> Self {
                Self {
                    $($field: levels.pick(|fields| fields.$field.as_ref(), $built_in),)+
                    transaction_details,
                    allowed_domains,
                    branding_visibility,
                }
            }

            /// The branding in the contract's resolved form.
            pub fn config(&self) -> BrandingConfig<'_> {
                BrandingConfig {
                    $($field: &self.$field.value,)+
                    transaction_details: &self.transaction_details.value,
                    allowed_domains: &self.allowed_domains.value,
                    branding_visibility: &self.branding_visibility.value,
                }
            }
        }

        /// A [`Branding`] in the contract's resolved form: plain values, null where there is none. A missing logo or
        /// seller's name is an empty text, since the contract requires one.
        #[derive(Debug, Clone, Copy, Serialize)]
        pub struct BrandingConfig<'a> {
            $($(#[serde(serialize_with = $published)])? $field: &'a $resolved,)+
            transaction_details: &'a Option<TransactionDetails>,
            allowed_domains: &'a Option<AllowedDomains>,
            branding_visibility: &'a Option<bool>,
        }
    };
}

branding! {
    /// The main colour.
    theme: Colour => Colour = Colour::theme();
    /// Where the logo is. There is no built-in one: the contract's is its vendor's placeholder.
    logo: WebUrl => Option<WebUrl> = None, as "or_empty";
    /// The seller's name, at most 255 characters.
    seller_name: Text<255> => Option<Text<255>> = None, as "or_empty";
    /// How the payment methods are laid out, for example `tabs` or `accordion`; at most 255 characters.
    sdk_layout: Text<255> => Text<255> = Text::known("tabs");
    /// Whether only the payment form is shown, without the details of the order.
    display_sdk_only: bool => bool = false;
    /// Whether the customer's saved means of payment are offered.
    enabled_saved_payment_method: bool => bool = false;
    /// Whether the field for a card's nickname is left out.
    hide_card_nickname_field: bool => bool = false;
    /// Whether the card form is open from the beginning.
    show_card_form_by_default: bool => bool = true;
    /// Whether the button waits until the form is complete.
    enable_button_only_on_form_ready: bool => bool = false;
    /// Whether the merchant's name is shown.
    show_merchant_name: bool => bool = false;
    /// The image behind the page.
    background_image: BackgroundImage => Option<BackgroundImage> = None;
    /// Where the details of the order stand.
    details_layout: DetailsLayout => Option<DetailsLayout> = None;
    /// The text of the button, at most 255 characters.
    payment_button_text: Text<255> => Option<Text<255>> = None;
    /// The colour of the button.
    payment_button_colour: Colour => Option<Colour> = None;
    /// The colour of the button's text.
    payment_button_text_colour: Colour => Option<Colour> = None;
    /// The colour behind the page.
    background_colour: Colour => Option<Colour> = None;
    /// The terms shown at a card payment, at most 255 characters.
    custom_message_for_card_terms: Text<255> => Option<Text<255>> = None;
    /// The texts shown at payment methods.
    custom_message_for_payment_method_types: MethodMessages => Option<MethodMessages> = None;
    /// Whether the customer returns to the shop without seeing the outcome first.
    skip_status_screen: bool => Option<bool> = None;
    /// Whether the page sets up a mandate.
    is_setup_mandate_flow: bool => Option<bool> = None;
    /// Style rules for the payment form.
    sdk_ui_rules: UiRules => Option<UiRules> = None;
    /// Style rules for the page around it.
    payment_link_ui_rules: UiRules => Option<UiRules> = None;
    /// The heading of the form, at most 255 characters.
    payment_form_header_text: Text<255> => Option<Text<255>> = None;
    /// Where the labels of the form stand.
    payment_form_label_type: LabelType => Option<LabelType> = None;
    /// When the terms of a card payment are shown.
    show_card_terms: ShowTerms => Option<ShowTerms> = None;
    /// The colour of the icon that marks a wrong security code.
    color_icon_card_cvc_error: Colour => Option<Colour> = None;
}
