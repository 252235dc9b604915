//! Payments and the links that open a page for them.
//!
//! A payment is created with an amount and waits for a payment method. [Confirmed](ConfirmPayment), it is decided, and the
//! accounts that the decision names are tried one after the other, until one approves; where it may go from where it
//! stands is [`step`]. Card numbers and verification codes are used for the decision and wiped. A link is created together
//! with its payment, in one commit: its branding, its expiry and its URL are resolved then and do not move afterwards.

mod attempt;
mod decision;
mod ending;
mod link;
mod method;
mod status;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::attempt::{Attempt, AttemptStatus, MAX_ATTEMPTS, MerchantDecision};
pub(crate) use self::attempt::{Denied, Tried, Unreported};
pub use self::decision::{PaymentDecision, PaymentDecisionState, ProgramUsed, Replayed};
pub use self::ending::CancelPayment;
pub use self::link::{
    AmountBounds, ClaimedLink, DEFAULT_LOCALE, HoldTime, LinkAmount, LinkClaim, LinkFilter, LinkForm, LinkKind,
    LinkState, LinkTarget, LinkUrl, LinkUse, LinkUseState, LinkUseStatus, MAX_LINK_URL, NewPaymentLink, PaymentLink,
    PaymentLinkInPayment, PaymentLinkState, PaymentLinkStatus, PaymentOutcome, UseLimit, Uses,
};
pub(crate) use self::link::{CreatedLink, Place, UseOfPayment, plan};
pub use self::method::{
    Billing, CardCvc, ConfirmPayment, ExpiryMonth, ExpiryYear, PaymentCard, PaymentMethodData, Phone,
};
pub use self::status::{IllegalStep, PaymentStep, step};
use crate::connector::{ConnectorName, PaymentMethod, PaymentMethodType};
use crate::error::{EntityKind, Error, Fault};
use crate::id::{ConnectorId, CustomerId, LinkUseId, MerchantId, PaymentId, ProfileId};
use crate::money::{Currency, MinorUnits, Money};
use crate::profile::{PaymentLinkConfigRequest, SessionExpiry};
use crate::routing::{FutureUsage, PaymentType};
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Whether to confirm at once, with the payment method below; no unless stated. Not with a link.
    #[serde(default)]
    pub confirm: Option<bool>,
    /// The payment method, of a payment that is confirmed at once.
    #[serde(default)]
    pub payment_method: Option<PaymentMethod>,
    /// Its type.
    #[serde(default)]
    pub payment_method_type: Option<PaymentMethodType>,
    /// Its data. Never serialised.
    #[serde(default, skip_serializing)]
    pub payment_method_data: Option<PaymentMethodData>,
    /// Where the payer is billed.
    #[serde(default)]
    pub billing: Option<Billing>,
    /// What is known of the payer's browser. Only `ip_address` is looked at.
    #[serde(default)]
    pub browser_info: Option<Object>,
    /// Whether the payment method is kept for later payments.
    #[serde(default)]
    pub setup_future_usage: Option<FutureUsage>,
    /// What the payment has to do with a mandate.
    #[serde(default)]
    pub payment_type: Option<PaymentType>,
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
            payment_method: None,
            payment_method_type: None,
            payment_method_data: None,
            billing: None,
            browser_info: None,
            setup_future_usage: None,
            payment_type: None,
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
    /// `payment.confirm_link` at `confirm`, `payment.not_confirmed` at a field that only a confirmation has,
    /// `payment.no_link` at a field that only a link has, and those of a confirmation.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Fault> {
        let link = self.payment_link == Some(true);
        match self.confirmation() {
            Some(_) if link => {
                return Err(Fault::new("payment.confirm_link", "must be false for a payment with a link").at("confirm"));
            }
            Some(confirm) => confirm.check(now)?,
            None => self.check_unconfirmed()?,
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

impl NewPayment {
    /// What of the body confirms the payment, if it does.
    pub(crate) fn confirmation(&self) -> Option<ConfirmPayment> {
        (self.confirm == Some(true)).then(|| ConfirmPayment {
            payment_method_data: self.payment_method_data.clone(),
            payment_method: self.payment_method,
            payment_method_type: self.payment_method_type,
            billing: self.billing.clone(),
            browser_info: self.browser_info.clone(),
            setup_future_usage: self.setup_future_usage,
            payment_type: self.payment_type,
        })
    }

    /// A payment method is used for the decision or not taken at all: nothing of it waits for a confirmation.
    fn check_unconfirmed(&self) -> Result<(), Fault> {
        for (field, given) in [
            ("payment_method", self.payment_method.is_some()),
            ("payment_method_type", self.payment_method_type.is_some()),
            ("payment_method_data", self.payment_method_data.is_some()),
            ("billing", self.billing.is_some()),
            ("browser_info", self.browser_info.is_some()),
            ("setup_future_usage", self.setup_future_usage.is_some()),
            ("payment_type", self.payment_type.is_some()),
        ] {
            if given {
                return Err(Fault::new("payment.not_confirmed", "needs `confirm` to be true").at(field));
            }
        }
        Ok(())
    }
}

impl Request for NewPayment {
    fn secrets(&self) -> Vec<Zeroizing<Vec<u8>>> {
        self.confirmation().map(|confirm| confirm.secrets()).unwrap_or_default()
    }
}

/// What was confirmed, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PaymentProgress {
    /// The payment method.
    pub payment_method: Option<PaymentMethod>,
    /// Its type.
    pub payment_method_type: Option<PaymentMethodType>,
    /// The card's fingerprint at the merchant account; null where the blocklist is off, and without a card.
    pub fingerprint: Option<Text<64>>,
    /// Why the payment failed, for machines.
    pub error_code: Option<Text<64>>,
    /// Why the payment failed, for people.
    pub error_message: Option<Text<255>>,
    /// What the merchant's rules decided.
    pub merchant_decision: Option<MerchantDecision>,
    /// Why it was cancelled, if the merchant said so.
    pub cancellation_reason: Option<Text<255>>,
    /// The attempts, in order; at most [`MAX_ATTEMPTS`].
    pub attempts: Vec<Attempt>,
}

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
    /// The use of the link that was last claimed for it. A use that lapsed or was released may be gone.
    pub link_use: Option<LinkUseId>,
    /// What was confirmed, and what came of it.
    pub progress: PaymentProgress,
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
            link_use: _,
            progress: _,
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
    /// The use of its link that it is created for.
    pub(crate) link_use: Option<LinkUseId>,
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
            link_use: given.link_use,
            progress: PaymentProgress::default(),
        })
    }
}

/// A payment as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The payment method; null until it is confirmed.
    pub payment_method: Option<PaymentMethod>,
    /// Its type.
    pub payment_method_type: Option<PaymentMethodType>,
    /// The card's fingerprint at the merchant account; null where the blocklist is off, and without a card.
    pub fingerprint: Option<Text<64>>,
    /// The connector of the last attempt. While the payment is `processing`, it is the one to try.
    pub connector: Option<ConnectorName>,
    /// The connector account of the last attempt.
    pub merchant_connector_id: Option<ConnectorId>,
    /// How many attempts there were.
    pub attempt_count: u32,
    /// The attempts, in order.
    pub attempts: Vec<Attempt>,
    /// Why the payment failed, for machines: `HE-03` where it is blocked, otherwise what its last attempt says.
    pub error_code: Option<Text<64>>,
    /// Why the payment failed, for people.
    pub error_message: Option<Text<255>>,
    /// `rejected` where the merchant's rules say so.
    pub merchant_decision: Option<MerchantDecision>,
    /// Why it was cancelled; null where nobody said so.
    pub cancellation_reason: Option<Text<255>>,
    /// The version, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

impl Payment {
    pub(crate) fn view(row: Stored<PaymentState>, merchant_id: MerchantId, seals: &Seals<'_>) -> Result<Self, Error> {
        let state = row.state;
        let client_secret = seals.open_text(CLIENT_SECRET, &state.client_secret)?;
        let progress = state.progress;
        let last = progress.attempts.last();
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
            payment_method: progress.payment_method,
            payment_method_type: progress.payment_method_type,
            fingerprint: progress.fingerprint,
            connector: last.and_then(|attempt| attempt.connector.clone()),
            merchant_connector_id: last.and_then(|attempt| attempt.merchant_connector_id.clone()),
            attempt_count: u32::try_from(progress.attempts.len()).unwrap_or(u32::MAX),
            attempts: progress.attempts,
            error_code: progress.error_code,
            error_message: progress.error_message,
            merchant_decision: progress.merchant_decision,
            cancellation_reason: progress.cancellation_reason,
            version: row.version,
        })
    }

    /// The amount with its currency.
    pub fn money(&self) -> Money {
        Money { amount: self.amount, currency: self.currency }
    }
}
