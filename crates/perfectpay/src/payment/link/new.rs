//! Links that are created on their own.

use serde::{Deserialize, Serialize};

use super::state::{LinkAmount, LinkKind};
use super::{PaymentLinkState, Place, urls};
use crate::error::Fault;
use crate::id::{MerchantId, PaymentLinkId, ProfileId};
use crate::money::Currency;
use crate::profile::{Branding, PaymentLinkConfigRequest, ProfileState, SessionExpiry};
use crate::secret::Request;
use crate::text::Text;
use crate::time::Timestamp;
use crate::web_url::WebUrl;

/// The body that creates a link without a payment: each use of it makes one.
///
/// ```
/// use perfectpay::{LinkKind, NewPaymentLink, json};
///
/// let body = br#"{"amount": {"minimum": 500}, "currency": "EUR", "kind": {"limited": 25},
///                 "return_url": "https://shop.example.com/thanks", "opens_at": "2027-01-01T00:00:00Z"}"#;
/// let new: NewPaymentLink = json::from_slice(body)?;
/// assert_eq!(new.kind.and_then(LinkKind::limit), Some(25));
/// # Ok::<(), perfectpay::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPaymentLink {
    /// How much: minor units, or bounds between which who pays chooses.
    pub amount: LinkAmount,
    /// Of what.
    pub currency: Currency,
    /// How often it can be used; once unless stated.
    #[serde(default)]
    pub kind: Option<LinkKind>,
    /// The profile; the merchant's default one unless stated.
    #[serde(default)]
    pub profile_id: Option<ProfileId>,
    /// Where the customer returns to; the profile's unless stated. One of the two is needed.
    #[serde(default)]
    pub return_url: Option<WebUrl>,
    /// What is paid for; up to 255 characters.
    #[serde(default)]
    pub description: Option<Text<255>>,
    /// When the link begins to open: at most 7,890,000 seconds ahead; at once unless stated.
    #[serde(default)]
    pub opens_at: Option<Timestamp>,
    /// When it stops: 60 to 7,890,000 seconds after it opens. Not together with `session_expiry`.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// How many seconds after it opens it stops; the profile's time unless stated.
    #[serde(default)]
    pub session_expiry: Option<SessionExpiry>,
    /// The link's branding, field by field in front of the profile's.
    #[serde(default)]
    pub payment_link_config: Option<PaymentLinkConfigRequest>,
    /// Which of the profile's `business_specific_configs` stands behind it; an unknown one is the default.
    #[serde(default)]
    pub payment_link_config_id: Option<Text<64>>,
}

impl Request for NewPaymentLink {}

impl NewPaymentLink {
    /// A link for this much, to be used once, and nothing else about it.
    pub fn of(amount: LinkAmount, currency: Currency) -> Self {
        Self {
            amount,
            currency,
            kind: None,
            profile_id: None,
            return_url: None,
            description: None,
            opens_at: None,
            expires_at: None,
            session_expiry: None,
            payment_link_config: None,
            payment_link_config_id: None,
        }
    }

    /// The moment at which the link expires, created now.
    ///
    /// # Errors
    ///
    /// `payment_link.two_expiries` or `payment_link.expires_at` at `expires_at`, `payment_link.opens_at` at `opens_at`.
    pub(crate) fn expiry(&self, now: Timestamp, of_profile: SessionExpiry) -> Result<Timestamp, Fault> {
        let opens_at = self.opens_at.map_or(now, |opens_at| opens_at.max(now));
        if opens_at > now.plus_seconds(SessionExpiry::MAX) {
            let fault = Fault::new("payment_link.opens_at", "must be at most 7890000 seconds ahead");
            return Err(fault.at("opens_at"));
        }
        let Some(expires_at) = self.expires_at else {
            return Ok(opens_at.plus_seconds(self.session_expiry.unwrap_or(of_profile).get()));
        };
        if self.session_expiry.is_some() {
            let fault = Fault::new("payment_link.two_expiries", "must not stand beside `session_expiry`");
            return Err(fault.at("expires_at"));
        }
        let (first, last) = (opens_at.plus_seconds(SessionExpiry::MIN), opens_at.plus_seconds(SessionExpiry::MAX));
        if !(first..=last).contains(&expires_at) {
            let fault = Fault::new("payment_link.expires_at", "must be 60 to 7890000 seconds after the link opens");
            return Err(fault.at("expires_at"));
        }
        Ok(expires_at)
    }

    /// Works the link out.
    ///
    /// # Errors
    ///
    /// Those of [`Self::expiry`] and of [`urls`]; `payment_link.no_return_url` at `return_url` where neither the link nor
    /// the profile has one.
    pub(crate) fn plan(
        self,
        id: &PaymentLinkId,
        profile_id: &ProfileId,
        profile: &ProfileState,
        place: Place<'_>,
        now: Timestamp,
    ) -> Result<PaymentLinkState, Fault> {
        let settings = &profile.settings;
        let expires_at = self.expiry(now, settings.session_expiry)?;
        let config = settings.payment_link_config.as_ref();
        let branding = Branding::resolve(
            self.payment_link_config.as_ref(),
            config,
            self.payment_link_config_id.as_deref(),
            place.merchant_name,
        );
        let (link_to_pay, secure_link) = urls(place.base_url, config, place.merchant_id, &id.into())?;
        let return_url = self.return_url.or_else(|| settings.return_url.clone());
        if return_url.is_none() {
            return Err(super::no_return_url());
        }
        Ok(PaymentLinkState {
            payment_id: None,
            profile_id: profile_id.clone(),
            link_to_pay,
            secure_link,
            amount: self.amount,
            currency: self.currency,
            kind: self.kind.unwrap_or_default(),
            opens_at: self.opens_at,
            expires_at,
            deactivated_at: None,
            return_url,
            description: self.description,
            branding,
        })
    }
}

/// A link as its creation is kept under an idempotency key: what was answered, without what is worked out at reading.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CreatedLink {
    pub(crate) payment_link_id: PaymentLinkId,
    pub(crate) merchant_id: MerchantId,
    pub(crate) created_at: Timestamp,
    pub(crate) state: PaymentLinkState,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::error::Error;
    use crate::json;

    #[test]
    fn what_is_wrong_with_a_body_has_a_path_and_a_code() {
        for (body, path, code) in [
            (r#"{"currency": "EUR"}"#, "amount", "json.missing_field"),
            (r#"{"amount": 1}"#, "currency", "json.missing_field"),
            (r#"{"amount": -1, "currency": "EUR"}"#, "amount", "amount.out_of_range"),
            (r#"{"amount": "1", "currency": "EUR"}"#, "amount", "json.wrong_type"),
            (
                r#"{"amount": {"minimum": 9, "maximum": 8}, "currency": "EUR"}"#,
                "amount.minimum",
                "payment_link.amount_bounds",
            ),
            (r#"{"amount": {"maximum": 1000000000}, "currency": "EUR"}"#, "amount.maximum", "amount.out_of_range"),
            (r#"{"amount": {"most": 5}, "currency": "EUR"}"#, "amount.most", "json.unknown_field"),
            (r#"{"amount": 1, "currency": "eur"}"#, "currency", "currency.unknown"),
            (r#"{"amount": 1, "currency": "EUR", "kind": "twice"}"#, "kind", "json.unknown_variant"),
            (r#"{"amount": 1, "currency": "EUR", "kind": {"limited": 0}}"#, "kind.limited", "payment_link.uses"),
            (r#"{"amount": 1, "currency": "EUR", "kind": {"limited": 10001}}"#, "kind.limited", "payment_link.uses"),
            (r#"{"amount": 1, "currency": "EUR", "opens_at": "soon"}"#, "opens_at", "timestamp.malformed"),
            (
                r#"{"amount": 1, "currency": "EUR", "session_expiry": 59}"#,
                "session_expiry",
                "session_expiry.out_of_range",
            ),
            (r#"{"amount": 1, "currency": "EUR", "payment_id": "pay_1"}"#, "payment_id", "json.unknown_field"),
            (r#"{"amount": 1, "currency": "EUR", "return_url": "javascript:alert(1)"}"#, "return_url", "url.not_http"),
        ] {
            let Err(Error::Invalid(fault)) = json::from_slice::<NewPaymentLink>(body.as_bytes()) else {
                panic!("{body}")
            };
            assert_eq!((fault.path(), fault.code()), (path, code), "{body}");
        }
    }

    const WHOLE: &str = r#"{"amount":{"minimum":5,"maximum":10},"currency":"EUR","kind":{"limited":3},"profile_id":"pro_1",
        "return_url":"https://shop.example/","description":"Tickets","opens_at":"2027-01-01T00:00:00Z",
        "expires_at":"2027-01-02T00:00:00Z","session_expiry":null,"payment_link_config":{"theme":"red"},
        "payment_link_config_id":"eu"}"#;

    fn reads_back(new: &NewPaymentLink) -> bool {
        json::from_slice::<NewPaymentLink>(&serde_json::to_vec(new).unwrap()).unwrap() == *new
    }

    #[test]
    fn every_field_reads_back() {
        assert!(reads_back(&json::from_slice(WHOLE.as_bytes()).unwrap()));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused_and_what_is_read_reads_back(
            raw in proptest::collection::vec(any::<u8>(), 0..64),
            at in any::<Index>(),
            gone in 0..12_usize,
            put in "[0-9a-z{}\\[\\]\":,.e+-]{0,6}|\\PC{0,6}",
        ) {
            let _answered = json::from_slice::<NewPaymentLink>(&raw);
            let mut body = WHOLE.to_owned();
            let at = at.index(body.len());
            body.replace_range(at..(at + gone).min(body.len()), &put);
            if let Ok(new) = json::from_slice::<NewPaymentLink>(body.as_bytes()) {
                prop_assert!(reads_back(&new), "{}", body);
                // Whatever it says, its expiry is a moment or an error.
                let _answered = new.expiry(Timestamp::MAX, SessionExpiry::default());
            }
        }
    }

    #[test]
    fn a_moment_near_the_end_of_time_is_refused_or_kept_within_it() {
        let new = NewPaymentLink::of(LinkAmount::Fixed(1.try_into().unwrap()), "EUR".parse().unwrap());
        let late = Timestamp::MAX;
        assert_eq!(new.expiry(late, SessionExpiry::default()).unwrap(), late);
        let ends = NewPaymentLink { expires_at: Some(Timestamp::MIN), ..new.clone() };
        assert_eq!(ends.expiry(late, SessionExpiry::default()).unwrap_err().code(), "payment_link.expires_at");
        let opens = NewPaymentLink { opens_at: Some(late), ..new };
        assert_eq!(opens.expiry(Timestamp::MIN, SessionExpiry::default()).unwrap_err().code(), "payment_link.opens_at");
    }
}
