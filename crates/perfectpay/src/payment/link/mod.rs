//! Payment links.
//!
//! A link is created with a payment, whose page it opens, or on its own: then every use of it makes a payment. What it is
//! for and where it stands is in [`state`].

mod filter;
mod new;
mod state;
mod url;
mod usage;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

pub use self::filter::LinkFilter;
pub(crate) use self::new::CreatedLink;
pub use self::new::NewPaymentLink;
pub use self::state::{AmountBounds, HoldTime, LinkAmount, LinkKind, LinkState, PaymentOutcome, UseLimit, Uses};
pub use self::url::{DEFAULT_LOCALE, LinkForm, LinkTarget, LinkUrl, MAX_LINK_URL};
pub(crate) use self::usage::UseOfPayment;
pub use self::usage::{ClaimedLink, LinkClaim, LinkUse, LinkUseState, LinkUseStatus};
use super::NewPayment;
use crate::error::{EntityKind, Fault};
use crate::id::{MerchantId, PaymentId, PaymentLinkId, ProfileId};
use crate::money::Currency;
use crate::profile::{Branding, PaymentLinkConfig, ProfileState};
use crate::seal::Sealed;
use crate::stored::{State, Stored};
use crate::text::Text;
use crate::time::Timestamp;
use crate::web_url::WebUrl;
use crate::webhook::IntentStatus;
use crate::words::words;

words! { "snake_case"
    /// Whether a link's time is over. Decided by its expiry when it is read; nothing else changes it. [`LinkState`] says
    /// more.
    PaymentLinkStatus {
        /// It opens.
        Active,
        /// Its expiry is reached.
        Expired,
    }
}

/// A payment's link, as the payment names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The payment that the link was created with; `None` for a link of its own.
    pub payment_id: Option<PaymentId>,
    /// The profile.
    pub profile_id: ProfileId,
    /// Where the page is.
    pub link_to_pay: String,
    /// Where it is to be shown in a frame.
    pub secure_link: Option<String>,
    /// How much.
    pub amount: LinkAmount,
    /// Of what.
    pub currency: Currency,
    /// How often it can be used.
    pub kind: LinkKind,
    /// When it begins to open; at once where there is no such moment.
    pub opens_at: Option<Timestamp>,
    /// When it stops opening.
    pub expires_at: Timestamp,
    /// When it was deactivated, if it is.
    pub deactivated_at: Option<Timestamp>,
    /// Where the customer returns to.
    pub return_url: Option<WebUrl>,
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
            kind: _,
            opens_at: _,
            expires_at: _,
            deactivated_at: _,
            return_url: _,
            description: _,
            branding: _,
        } = self;
        Vec::new()
    }
}

/// Where links are made, and for whom.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) base_url: &'a str,
    pub(crate) merchant_id: &'a MerchantId,
    pub(crate) merchant_name: Option<&'a str>,
}

/// The longest URL of a link, in characters; published.
const MAX_LENGTH: usize = 255;

/// The URL of a page, and of the same page in a frame where the profile allows domains to show it.
///
/// # Errors
///
/// `payment_link.url_too_long` at `payment_link`: the ids leave too little room behind the host's base URL or the
/// profile's domain.
pub(crate) fn urls(
    base_url: &str,
    config: Option<&PaymentLinkConfig>,
    merchant_id: &MerchantId,
    target: &LinkTarget,
) -> Result<(String, Option<String>), Fault> {
    let base = match config.and_then(|config| config.domain_name.as_ref()) {
        Some(domain) => format!("https://{domain}"),
        None => base_url.to_owned(),
    };
    let url = |form| {
        let url = format!("{base}{}", LinkUrl::new(form, merchant_id.clone(), target.clone()));
        if url.len() > MAX_LENGTH {
            let fault = Fault::new("payment_link.url_too_long", "would have a URL of more than 255 characters");
            return Err(fault.at("payment_link"));
        }
        Ok(url)
    };
    let framed = config.and_then(|config| config.allowed_domains.as_ref()).is_some_and(|domains| !domains.is_empty());
    Ok((url(LinkForm::Open)?, framed.then(|| url(LinkForm::Secure)).transpose()?))
}

/// The fault of a link that nobody would come back from.
fn no_return_url() -> Fault {
    let fault = Fault::new("payment_link.no_return_url", "is required for a link: the profile has none either");
    fault.at("return_url")
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
/// `payment_link.no_return_url` at `return_url` where neither the payment nor the profile has one; those of [`urls`].
pub(crate) fn plan(
    new: &NewPayment,
    (payment_id, payment_link_id): (&PaymentId, PaymentLinkId),
    (profile_id, profile): (&ProfileId, &ProfileState),
    place: Place<'_>,
    expires_at: Timestamp,
) -> Result<LinkPlan, Fault> {
    let settings = &profile.settings;
    let return_url = new.return_url.as_ref().or(settings.return_url.as_ref());
    if return_url.is_none() {
        return Err(no_return_url());
    }
    let config = settings.payment_link_config.as_ref();
    let branding = Branding::resolve(
        new.payment_link_config.as_ref(),
        config,
        new.payment_link_config_id.as_deref(),
        place.merchant_name,
    );
    let (link, secure_link) = urls(place.base_url, config, place.merchant_id, &payment_id.into())?;
    let in_payment = PaymentLinkInPayment { link, secure_link, payment_link_id };
    let state = PaymentLinkState {
        payment_id: Some(payment_id.clone()),
        profile_id: profile_id.clone(),
        link_to_pay: in_payment.link.clone(),
        secure_link: in_payment.secure_link.clone(),
        amount: LinkAmount::Fixed(new.amount),
        currency: new.currency,
        kind: LinkKind::SingleUse,
        opens_at: None,
        expires_at,
        deactivated_at: None,
        return_url: return_url.cloned(),
        description: new.description.clone(),
        branding,
    };
    Ok(LinkPlan { state, in_payment })
}

/// A payment link as it is answered.
///
/// The JSON of the link of a payment is the published one. That of a link of its own, which the published API has not,
/// has `state`, `kind`, `opens_at` and `uses` besides.
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentLink {
    /// The id.
    pub payment_link_id: PaymentLinkId,
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// The payment that the link was created with; `None` for a link of its own. Not part of the JSON.
    pub payment_id: Option<PaymentId>,
    /// The profile. Not part of the JSON.
    pub profile_id: ProfileId,
    /// Where the page is.
    pub link_to_pay: String,
    /// Where it is to be shown in a frame.
    pub secure_link: Option<String>,
    /// How much.
    pub amount: LinkAmount,
    /// Of what.
    pub currency: Currency,
    /// How often it can be used.
    pub kind: LinkKind,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it begins to open; `None` for at once.
    pub opens_at: Option<Timestamp>,
    /// When it stops opening.
    pub expiry: Timestamp,
    /// What is paid for.
    pub description: Option<Text<255>>,
    /// Whether its time is over.
    pub status: PaymentLinkStatus,
    /// Where it stands.
    pub state: LinkState,
    /// How many of its uses are confirmed, and how many are held.
    pub uses: Uses,
    /// How the page looks, and which level said so; resolved when the link was created. Not part of the JSON;
    /// [`Branding::config`] has the published form.
    pub branding: Branding,
    /// The version, for `expecting`; not part of the JSON.
    pub version: u64,
}

impl PaymentLink {
    /// The link as it stands at a moment, with the uses that stand then and the status of its payment.
    pub(crate) fn view(
        row: Stored<PaymentLinkState>,
        merchant_id: MerchantId,
        uses: Uses,
        payment: Option<IntentStatus>,
        now: Timestamp,
    ) -> Self {
        let state = row.state;
        let stands = state.state_at(uses, payment, now);
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
            kind: state.kind,
            created_at: row.created_at,
            opens_at: state.opens_at,
            expiry: state.expires_at,
            description: state.description,
            status: if expired { PaymentLinkStatus::Expired } else { PaymentLinkStatus::Active },
            state: stands,
            uses,
            branding: state.branding,
            version: row.version,
        }
    }
}

impl Serialize for PaymentLink {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_published = self.payment_id.is_some();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("payment_link_id", &self.payment_link_id)?;
        map.serialize_entry("merchant_id", &self.merchant_id)?;
        map.serialize_entry("link_to_pay", &self.link_to_pay)?;
        map.serialize_entry("secure_link", &self.secure_link)?;
        map.serialize_entry("amount", &self.amount)?;
        map.serialize_entry("currency", &self.currency)?;
        map.serialize_entry("created_at", &self.created_at)?;
        map.serialize_entry("expiry", &self.expiry)?;
        map.serialize_entry("description", &self.description)?;
        map.serialize_entry("status", &self.status)?;
        if !is_published {
            map.serialize_entry("state", &self.state)?;
            map.serialize_entry("kind", &self.kind)?;
            map.serialize_entry("opens_at", &self.opens_at)?;
            map.serialize_entry("uses", &self.uses)?;
        }
        map.end()
    }
}
