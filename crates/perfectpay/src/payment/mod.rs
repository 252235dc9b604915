//! Payments and the links that open a page for them.
//!
//! A payment is created with an amount and waits for a payment method; confirming and deciding it is not part of this
//! version. A link is created together with its payment, in one commit: its branding, its expiry and its URL are
//! resolved then and do not move afterwards.

mod decision;
mod link;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::decision::PaymentDecisionState;
pub(crate) use self::link::plan;
pub use self::link::{PaymentLink, PaymentLinkInPayment, PaymentLinkState, PaymentLinkStatus};
use crate::error::{EntityKind, Error, Fault};
use crate::id::{CustomerId, MerchantId, PaymentId, PaymentLinkId, ProfileId};
use crate::money::{Currency, MinorUnits, Money};
use crate::profile::{PaymentLinkConfigRequest, SessionExpiry};
use crate::seal::{Sealed, Seals};
use crate::secret::{Disclosed, Request};
use crate::stored::{State, Stored};
use crate::text::{Object, Text};
use crate::time::Timestamp;
use crate::web_url::WebUrl;
use crate::webhook::IntentStatus;
use crate::words::words;

words! { "snake_case"
    /// When the money is taken.
    #[derive(Default)]
    CaptureMethod {
        /// At once.
        #[default]
        Automatic,
        /// When the merchant says so.
        Manual,
        /// In several steps.
        ManualMultiple,
        /// At a stated time.
        Scheduled,
        /// At once, as a step of its own.
        SequentialAutomatic,
    }
}

words! { "snake_case"
    /// Whether the customer proves who they are.
    #[derive(Default)]
    AuthenticationType {
        /// By 3-D Secure.
        ThreeDs,
        /// Not.
        #[default]
        NoThreeDs,
    }
}

/// The body that creates a payment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPayment {
    /// How much, in minor units: 0 to 999,999,999.
    pub amount: MinorUnits,
    /// Of what.
    pub currency: Currency,
    /// The id; made by the library unless stated.
    #[serde(default)]
    pub payment_id: Option<PaymentId>,
    /// The profile; the merchant's default one unless stated.
    #[serde(default)]
    pub profile_id: Option<ProfileId>,
    /// Whether to confirm at once. Only false is accepted by this version.
    #[serde(default)]
    pub confirm: Option<bool>,
    /// Who pays.
    #[serde(default)]
    pub customer_id: Option<CustomerId>,
    /// When the money is taken; automatic unless stated.
    #[serde(default)]
    pub capture_method: Option<CaptureMethod>,
    /// Whether the customer proves who they are; not unless stated.
    #[serde(default)]
    pub authentication_type: Option<AuthenticationType>,
    /// Where the customer returns to; the profile's unless stated. A link needs one of the two.
    #[serde(default)]
    pub return_url: Option<WebUrl>,
    /// What is paid for; up to 255 characters.
    #[serde(default)]
    pub description: Option<Text<255>>,
    /// Kept and not read.
    #[serde(default)]
    pub metadata: Option<Object>,
    /// For how many seconds the payment and its link are open; the profile's time unless stated.
    #[serde(default)]
    pub session_expiry: Option<SessionExpiry>,
    /// Whether to create a link; no unless stated.
    #[serde(default)]
    pub payment_link: Option<bool>,
    /// The link's branding, field by field in front of the profile's.
    #[serde(default)]
    pub payment_link_config: Option<PaymentLinkConfigRequest>,
    /// Which of the profile's `business_specific_configs` stands behind it; an unknown one is the default.
    #[serde(default)]
    pub payment_link_config_id: Option<Text<64>>,
}

impl NewPayment {
    /// A payment of this much, and nothing else about it.
    pub fn of(money: Money) -> Self {
        Self {
            amount: money.amount,
            currency: money.currency,
            payment_id: None,
            profile_id: None,
            confirm: None,
            customer_id: None,
            capture_method: None,
            authentication_type: None,
            return_url: None,
            description: None,
            metadata: None,
            session_expiry: None,
            payment_link: None,
            payment_link_config: None,
            payment_link_config_id: None,
        }
    }

    /// The same with a link.
    pub fn with_link(mut self) -> Self {
        self.payment_link = Some(true);
        self
    }

    /// Checks what the fields say together.
    ///
    /// # Errors
    ///
    /// `payment.confirm_link` or `payment.confirm` at `confirm`, `payment.no_link` at a field that only a link has.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let link = self.payment_link == Some(true);
        if self.confirm == Some(true) {
            return Err(if link {
                Fault::new("payment.confirm_link", "must be false for a payment with a link").at("confirm")
            } else {
                Fault::new("payment.confirm", "must be false: this version does not confirm payments").at("confirm")
            });
        }
        for (field, given) in [
            ("payment_link_config", self.payment_link_config.is_some()),
            ("payment_link_config_id", self.payment_link_config_id.is_some()),
        ] {
            if given && !link {
                return Err(Fault::new("payment.no_link", "needs `payment_link` to be true").at(field));
            }
        }
        Ok(())
    }
}

impl Request for NewPayment {}

/// What is kept of a payment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaymentState {
    /// The profile.
    pub profile_id: ProfileId,
    /// Where it stands.
    pub status: IntentStatus,
    /// How much.
    pub amount: MinorUnits,
    /// Of what.
    pub currency: Currency,
    /// The secret that opens this one payment to a browser.
    pub client_secret: Sealed,
    /// When it can no longer be completed.
    pub expires_at: Timestamp,
    /// Who pays.
    pub customer_id: Option<CustomerId>,
    /// When the money is taken.
    pub capture_method: CaptureMethod,
    /// Whether the customer proves who they are.
    pub authentication_type: AuthenticationType,
    /// Where the customer returns to.
    pub return_url: Option<WebUrl>,
    /// What is paid for.
    pub description: Option<Text<255>>,
    /// Kept and not read.
    pub metadata: Option<Object>,
    /// Its link.
    pub payment_link: Option<PaymentLinkInPayment>,
}

impl State for PaymentState {
    const KIND: EntityKind = EntityKind::Payment;
    type Id = PaymentId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self {
            profile_id: _,
            status: _,
            amount: _,
            currency: _,
            client_secret,
            expires_at: _,
            customer_id: _,
            capture_method: _,
            authentication_type: _,
            return_url: _,
            description: _,
            metadata: _,
            payment_link: _,
        } = self;
        vec![(CLIENT_SECRET, client_secret)]
    }
}

const CLIENT_SECRET: &str = "client_secret";

/// What a new payment gets that its creator does not choose.
pub(crate) struct Given<'a> {
    pub(crate) profile_id: ProfileId,
    pub(crate) profile_return_url: Option<&'a WebUrl>,
    pub(crate) expires_at: Timestamp,
    /// `{payment_id}_secret_` and 20 random letters and digits.
    pub(crate) client_secret: Zeroizing<String>,
    pub(crate) payment_link: Option<PaymentLinkInPayment>,
}

impl PaymentState {
    pub(crate) fn new(new: NewPayment, given: Given<'_>, seals: &Seals<'_>) -> Result<Self, Error> {
        Ok(Self {
            profile_id: given.profile_id,
            status: IntentStatus::RequiresPaymentMethod,
            amount: new.amount,
            currency: new.currency,
            client_secret: seals.seal(CLIENT_SECRET, given.client_secret.as_bytes())?,
            expires_at: given.expires_at,
            customer_id: new.customer_id,
            capture_method: new.capture_method.unwrap_or_default(),
            authentication_type: new.authentication_type.unwrap_or_default(),
            return_url: new.return_url.or_else(|| given.profile_return_url.cloned()),
            description: new.description,
            metadata: new.metadata,
            payment_link: given.payment_link,
        })
    }
}

/// A payment as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// The id.
    pub payment_id: PaymentId,
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// The profile.
    pub profile_id: ProfileId,
    /// Where it stands.
    pub status: IntentStatus,
    /// How much, in minor units.
    pub amount: MinorUnits,
    /// Of what.
    pub currency: Currency,
    /// The secret that opens this one payment to a browser.
    pub client_secret: Disclosed,
    /// When it was created.
    pub created: Timestamp,
    /// When it can no longer be completed.
    pub expires_on: Timestamp,
    /// Who pays.
    pub customer_id: Option<CustomerId>,
    /// When the money is taken.
    pub capture_method: CaptureMethod,
    /// Whether the customer proves who they are.
    pub authentication_type: AuthenticationType,
    /// Where the customer returns to.
    pub return_url: Option<WebUrl>,
    /// What is paid for.
    pub description: Option<Text<255>>,
    /// Kept and not read.
    pub metadata: Option<Object>,
    /// Its link; null where it has none.
    pub payment_link: Option<PaymentLinkInPayment>,
    /// The version, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

impl Payment {
    pub(crate) fn view(row: Stored<PaymentState>, merchant_id: MerchantId, seals: &Seals<'_>) -> Result<Self, Error> {
        let state = row.state;
        let client_secret = seals.open_text(CLIENT_SECRET, &state.client_secret)?;
        Ok(Self {
            payment_id: row.id,
            merchant_id,
            profile_id: state.profile_id,
            status: state.status,
            amount: state.amount,
            currency: state.currency,
            client_secret: Disclosed::from(secrecy::SecretString::from(client_secret.as_str())),
            created: row.created_at,
            expires_on: state.expires_at,
            customer_id: state.customer_id,
            capture_method: state.capture_method,
            authentication_type: state.authentication_type,
            return_url: state.return_url,
            description: state.description,
            metadata: state.metadata,
            payment_link: state.payment_link,
            version: row.version,
        })
    }

    /// The amount with its currency.
    pub fn money(&self) -> Money {
        Money { amount: self.amount, currency: self.currency }
    }
}

/// Where links are made, and for whom.
pub(crate) struct LinkSite<'a> {
    pub(crate) base_url: &'a str,
    pub(crate) merchant_id: &'a MerchantId,
    pub(crate) merchant_name: Option<&'a str>,
    pub(crate) payment_id: &'a PaymentId,
    pub(crate) payment_link_id: PaymentLinkId,
}
