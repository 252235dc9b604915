//! Payment links.

use serde::{Deserialize, Serialize};

use super::{LinkSite, NewPayment};
use crate::error::{EntityKind, Fault};
use crate::id::{MerchantId, PaymentId, PaymentLinkId, ProfileId};
use crate::money::{Currency, MinorUnits};
use crate::profile::{Branding, ProfileState};
use crate::seal::Sealed;
use crate::stored::{State, Stored};
use crate::text::Text;
use crate::time::Timestamp;
use crate::words::words;

words! { "snake_case"
    /// Whether a link still opens. Decided by its expiry when it is read; what became of the payment does not change it.
    PaymentLinkStatus {
        /// It opens.
        Active,
        /// Its expiry is reached.
        Expired,
    }
}

/// A payment's link, as the payment names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentLinkInPayment {
    /// Where the page is.
    pub link: String,
    /// Where it is to be shown in a frame; null unless the profile allows domains to do so.
    pub secure_link: Option<String>,
    /// The link's id.
    pub payment_link_id: PaymentLinkId,
}

/// What is kept of a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaymentLinkState {
    /// The payment.
    pub payment_id: PaymentId,
    /// The payment's profile.
    pub profile_id: ProfileId,
    /// Where the page is.
    pub link_to_pay: String,
    /// Where it is to be shown in a frame.
    pub secure_link: Option<String>,
    /// How much.
    pub amount: MinorUnits,
    /// Of what.
    pub currency: Currency,
    /// When it stops opening.
    pub expires_at: Timestamp,
    /// What is paid for.
    pub description: Option<Text<255>>,
    /// How the page looks, and which level said so.
    pub branding: Branding,
}

impl State for PaymentLinkState {
    const KIND: EntityKind = EntityKind::PaymentLink;
    type Id = PaymentLinkId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self {
            payment_id: _,
            profile_id: _,
            link_to_pay: _,
            secure_link: _,
            amount: _,
            currency: _,
            expires_at: _,
            description: _,
            branding: _,
        } = self;
        Vec::new()
    }
}

/// A link that is to be created with its payment.
pub(crate) struct LinkPlan {
    pub(crate) state: PaymentLinkState,
    pub(crate) in_payment: PaymentLinkInPayment,
}

/// Works out the link of a new payment.
///
/// # Errors
///
/// `payment_link.no_return_url` at `return_url` where neither the payment nor the profile has one.
pub(crate) fn plan(
    new: &NewPayment,
    profile_id: &ProfileId,
    profile: &ProfileState,
    site: LinkSite<'_>,
    expires_at: Timestamp,
) -> Result<LinkPlan, Fault> {
    let settings = &profile.settings;
    if new.return_url.is_none() && settings.return_url.is_none() {
        let fault = Fault::new("payment_link.no_return_url", "is required for a link: the profile has none either");
        return Err(fault.at("return_url"));
    }
    let config = settings.payment_link_config.as_ref();
    let branding = Branding::resolve(
        new.payment_link_config.as_ref(),
        config,
        new.payment_link_config_id.as_deref(),
        site.merchant_name,
    );
    let base = match config.and_then(|config| config.domain_name.as_ref()) {
        Some(domain) => format!("https://{domain}"),
        None => site.base_url.to_owned(),
    };
    let url = |kind: &str| format!("{base}/payment_link{kind}/{}/{}?locale=en", site.merchant_id, site.payment_id);
    let framed = config.and_then(|config| config.allowed_domains.as_ref()).is_some_and(|domains| !domains.is_empty());
    let in_payment = PaymentLinkInPayment {
        link: url(""),
        secure_link: framed.then(|| url("/s")),
        payment_link_id: site.payment_link_id,
    };
    let state = PaymentLinkState {
        payment_id: site.payment_id.clone(),
        profile_id: profile_id.clone(),
        link_to_pay: in_payment.link.clone(),
        secure_link: in_payment.secure_link.clone(),
        amount: new.amount,
        currency: new.currency,
        expires_at,
        description: new.description.clone(),
        branding,
    };
    Ok(LinkPlan { state, in_payment })
}

/// A payment link as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PaymentLink {
    /// The id.
    pub payment_link_id: PaymentLinkId,
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// The payment. Not published, and so not part of the JSON.
    #[serde(skip)]
    pub payment_id: PaymentId,
    /// The profile. Not published, and so not part of the JSON.
    #[serde(skip)]
    pub profile_id: ProfileId,
    /// Where the page is.
    pub link_to_pay: String,
    /// Where it is to be shown in a frame.
    pub secure_link: Option<String>,
    /// How much, in minor units.
    pub amount: MinorUnits,
    /// Of what.
    pub currency: Currency,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stops opening.
    pub expiry: Timestamp,
    /// What is paid for.
    pub description: Option<Text<255>>,
    /// Whether it still opens.
    pub status: PaymentLinkStatus,
    /// How the page looks, and which level said so; resolved when the link was created. Not published, and so not part
    /// of the JSON; [`Branding::config`] has the published form.
    #[serde(skip)]
    pub branding: Branding,
}

impl PaymentLink {
    pub(crate) fn view(row: Stored<PaymentLinkState>, merchant_id: MerchantId, now: Timestamp) -> Self {
        let state = row.state;
        let expired = state.expires_at <= now;
        Self {
            payment_link_id: row.id,
            merchant_id,
            payment_id: state.payment_id,
            profile_id: state.profile_id,
            link_to_pay: state.link_to_pay,
            secure_link: state.secure_link,
            amount: state.amount,
            currency: state.currency,
            created_at: row.created_at,
            expiry: state.expires_at,
            description: state.description,
            status: if expired { PaymentLinkStatus::Expired } else { PaymentLinkStatus::Active },
            branding: state.branding,
        }
    }
}
