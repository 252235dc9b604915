//! What a link is for, and where it stands: a pure function of the link, its uses, its payment and the moment.

use std::fmt;

use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::PaymentLinkState;
use crate::error::Fault;
use crate::json::refuse;
use crate::money::{MAX_AMOUNT, MinorUnits};
use crate::profile::numbers;
use crate::time::Timestamp;
use crate::webhook::IntentStatus;
use crate::words::words;

words! { "snake_case"
    /// Where a link stands. It is worked out when the link is read, and never kept.
    ///
    /// The first that holds is the answer, in the order of [`PaymentLinkState::state_at`].
    LinkState {
        /// It does not open yet.
        Scheduled,
        /// It opens, and can be claimed.
        Active,
        /// Everything that is left of it is held by customers who are paying; it may become active again.
        Held,
        /// Its one payment was made.
        Paid,
        /// Nothing is left of it: all its uses are confirmed, or its one payment came to nothing for good.
        UsedUp,
        /// Its expiry is reached.
        Expired,
        /// It was deactivated, and may be reactivated.
        Deactivated,
    }
}

/// How often a link can be used. Frozen when the link is created.
///
/// In JSON `"single_use"`, `{"limited": 25}` or `"reusable"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// Once. The link of a payment is one.
    #[default]
    SingleUse,
    /// So many times.
    Limited(UseLimit),
    /// As often as it is opened until it expires.
    Reusable,
}

impl LinkKind {
    /// How many uses there are at most; `None` without a limit.
    pub fn limit(self) -> Option<u64> {
        match self {
            Self::SingleUse => Some(1),
            Self::Limited(uses) => Some(u64::from(uses.get())),
            Self::Reusable => None,
        }
    }
}

numbers! {
    /// How many uses a limited link has: 1 to 10,000.
    UseLimit: u16, 1 to 10_000, "payment_link.uses", "uses";
    /// How long a use is held: 1 to 86,400 seconds (a day), 900 unless stated.
    HoldTime: u32, 1 to 86_400 default 900, "payment_link.hold", "seconds";
}

/// How much is paid with a link, in minor units of its currency.
///
/// In JSON a number, or `{"minimum": 100, "maximum": 50000}` where who pays chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum LinkAmount {
    /// This much. The link of a payment has the payment's amount.
    Fixed(MinorUnits),
    /// As much as who pays chooses.
    Open(AmountBounds),
}

/// Between which amounts who pays may choose, both included, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct AmountBounds {
    minimum: MinorUnits,
    maximum: MinorUnits,
}

impl AmountBounds {
    /// From the least to the most.
    ///
    /// # Errors
    ///
    /// `payment_link.amount_bounds` at `minimum` if it is above the maximum.
    pub fn new(minimum: MinorUnits, maximum: MinorUnits) -> Result<Self, Fault> {
        if minimum > maximum {
            return Err(Fault::new("payment_link.amount_bounds", "must not be above the maximum").at("minimum"));
        }
        Ok(Self { minimum, maximum })
    }

    /// The least.
    pub fn minimum(self) -> MinorUnits {
        self.minimum
    }

    /// The most.
    pub fn maximum(self) -> MinorUnits {
        self.maximum
    }

    /// Whether the amount lies between them.
    pub fn contain(self, amount: MinorUnits) -> bool {
        (self.minimum..=self.maximum).contains(&amount)
    }
}

impl LinkAmount {
    /// The amount, unless who pays chooses it.
    pub fn fixed(self) -> Option<MinorUnits> {
        match self {
            Self::Fixed(amount) => Some(amount),
            Self::Open(_) => None,
        }
    }

    /// The amount of one use, for which `chosen` was sent.
    ///
    /// # Errors
    ///
    /// At `amount`: `payment_link.amount_required` if the amount is open and none was chosen, `payment_link.amount_bounds`
    /// if it is outside the bounds, `payment_link.amount_fixed` if the amount is fixed and another one was chosen.
    pub fn settle(self, chosen: Option<MinorUnits>) -> Result<MinorUnits, Fault> {
        let refused = |code: &'static str, message: &'static str| Err(Fault::new(code, message).at("amount"));
        match (self, chosen) {
            (Self::Fixed(amount), None) => Ok(amount),
            (Self::Fixed(amount), Some(chosen)) if chosen == amount => Ok(amount),
            (Self::Fixed(_), Some(_)) => refused("payment_link.amount_fixed", "is fixed for this link"),
            (Self::Open(_), None) => {
                refused("payment_link.amount_required", "is required: the link has none of its own")
            }
            (Self::Open(bounds), Some(chosen)) if bounds.contain(chosen) => Ok(chosen),
            (Self::Open(_), Some(_)) => refused("payment_link.amount_bounds", "must be within the bounds of the link"),
        }
    }
}

impl<'de> Deserialize<'de> for LinkAmount {
    /// By hand, so that what is wrong inside the bounds keeps its path.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;

        impl<'de> Visitor<'de> for Seen {
            type Value = LinkAmount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("minor units or an object of bounds")
            }

            fn visit_i64<E: serde::de::Error>(self, minor: i64) -> Result<LinkAmount, E> {
                MinorUnits::try_from(minor).map(LinkAmount::Fixed).map_err(|fault| refuse(&fault))
            }

            fn visit_u64<E: serde::de::Error>(self, minor: u64) -> Result<LinkAmount, E> {
                self.visit_i64(i64::try_from(minor).unwrap_or(i64::MAX))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LinkAmount, A::Error> {
                AmountBounds::deserialize(MapAccessDeserializer::new(map)).map(LinkAmount::Open)
            }
        }

        deserializer.deserialize_any(Seen)
    }
}

impl<'de> Deserialize<'de> for AmountBounds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "AmountBounds", deny_unknown_fields)]
        struct Form {
            #[serde(default)]
            minimum: Option<MinorUnits>,
            #[serde(default)]
            maximum: Option<MinorUnits>,
        }

        let form = Form::deserialize(deserializer)?;
        let bound = |given: Option<MinorUnits>, open: i64| given.map_or_else(|| MinorUnits::try_from(open), Ok);
        let bounds = bound(form.minimum, 1).and_then(|least| Self::new(least, bound(form.maximum, MAX_AMOUNT)?));
        bounds.map_err(|fault| refuse(&fault))
    }
}

impl LinkState {
    /// Why a link that stands so is not claimed: a code and a sentence that continues "the link …". `None` for an active
    /// one.
    pub(crate) fn refusal(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Active => None,
            Self::Scheduled => Some(("payment_link.scheduled", "does not open yet")),
            Self::Held => Some(("payment_link.held", "has no use left that is not held")),
            Self::Paid => Some(("payment_link.paid", "is paid")),
            Self::UsedUp => Some(("payment_link.used_up", "has no use left")),
            Self::Expired => Some(("payment_link.expired", "has expired")),
            Self::Deactivated => Some(("payment_link.deactivated", "is deactivated")),
        }
    }
}

/// How many uses of a link stand at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Uses {
    /// Uses that were confirmed.
    pub confirmed: u64,
    /// Holds whose deadline is not reached.
    pub held: u64,
}

/// What a payment's status means for its link, and for the use of a link that it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// It can still be paid.
    Open,
    /// Somebody is paying.
    UnderWay,
    /// The customer paid, or authorized that the money be taken.
    Paid,
    /// It came to nothing, for good.
    Spent,
    /// It was not completed in time.
    Expired,
}

impl PaymentOutcome {
    /// What this status means.
    pub fn of(status: IntentStatus) -> Self {
        match status {
            IntentStatus::RequiresPaymentMethod | IntentStatus::RequiresConfirmation => PaymentOutcome::Open,
            IntentStatus::Processing
            | IntentStatus::RequiresCustomerAction
            | IntentStatus::RequiresMerchantAction
            | IntentStatus::Review => PaymentOutcome::UnderWay,
            IntentStatus::Succeeded
            | IntentStatus::RequiresCapture
            | IntentStatus::PartiallyCaptured
            | IntentStatus::PartiallyCapturedAndCapturable
            | IntentStatus::PartiallyAuthorizedAndRequiresCapture
            | IntentStatus::PartiallyCapturedAndProcessing => PaymentOutcome::Paid,
            IntentStatus::Failed
            | IntentStatus::Cancelled
            | IntentStatus::CancelledPostCapture
            | IntentStatus::Conflicted => PaymentOutcome::Spent,
            IntentStatus::Expired => PaymentOutcome::Expired,
        }
    }
}

impl PaymentLinkState {
    /// Where the link stands at a moment. `uses` are those that stand then, `payment` is the status of the payment that
    /// the link was created with, `None` for a link of its own.
    ///
    /// The first of these that holds:
    ///
    /// 1. what the payment came to: paid, used up, or held while it is under way, whatever the link says since;
    /// 2. paid or used up, if every use is confirmed;
    /// 3. deactivated;
    /// 4. expired, from [`expires_at`](Self::expires_at) on, that moment included;
    /// 5. scheduled, in front of [`opens_at`](Self::opens_at);
    /// 6. held, if the uses that are confirmed and those that are held leave none;
    /// 7. active.
    pub fn state_at(&self, uses: Uses, payment: Option<IntentStatus>, now: Timestamp) -> LinkState {
        let limit = self.kind.limit().unwrap_or(u64::MAX);
        let paid = payment.map_or(PaymentOutcome::Open, PaymentOutcome::of);
        match paid {
            PaymentOutcome::Paid => return LinkState::Paid,
            PaymentOutcome::Spent => return LinkState::UsedUp,
            PaymentOutcome::UnderWay => return LinkState::Held,
            PaymentOutcome::Open | PaymentOutcome::Expired => {}
        }
        if uses.confirmed >= limit {
            return if self.kind == LinkKind::SingleUse { LinkState::Paid } else { LinkState::UsedUp };
        }
        if self.deactivated_at.is_some() {
            return LinkState::Deactivated;
        }
        if self.expires_at <= now || paid == PaymentOutcome::Expired {
            return LinkState::Expired;
        }
        if self.opens_at.is_some_and(|opens_at| now < opens_at) {
            return LinkState::Scheduled;
        }
        if uses.confirmed.saturating_add(uses.held) >= limit {
            return LinkState::Held;
        }
        LinkState::Active
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;
    use crate::json;
    use crate::profile::Branding;
    use crate::words::assert_published;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis).unwrap()
    }

    /// A link that opens at 1,000 and expires at 2,000.
    fn link(kind: LinkKind) -> PaymentLinkState {
        PaymentLinkState {
            payment_id: None,
            profile_id: "pro_1".parse().unwrap(),
            link_to_pay: "https://pay.example.com/".into(),
            secure_link: None,
            amount: LinkAmount::Fixed(MinorUnits::try_from(100).unwrap()),
            currency: "EUR".parse().unwrap(),
            kind,
            opens_at: Some(at(1_000)),
            expires_at: at(2_000),
            deactivated_at: None,
            return_url: None,
            description: None,
            branding: Branding::resolve(None, None, None, None),
        }
    }

    fn uses(confirmed: u64, held: u64) -> Uses {
        Uses { confirmed, held }
    }

    #[test]
    fn the_states_and_their_words() {
        assert_published::<LinkState>("scheduled active held paid used_up expired deactivated");
    }

    #[test]
    fn a_link_opens_and_expires_at_its_very_moments() {
        let link = link(LinkKind::Reusable);
        for (now, state) in [
            (999, LinkState::Scheduled),
            (1_000, LinkState::Active),
            (1_999, LinkState::Active),
            (2_000, LinkState::Expired),
        ] {
            assert_eq!(link.state_at(uses(3, 3), None, at(now)), state, "{now}");
        }
    }

    #[test]
    fn uses_decide_between_active_held_paid_and_used_up() {
        let limited = |uses| LinkKind::Limited(UseLimit::try_from(uses).unwrap());
        for (kind, confirmed, held, state) in [
            (LinkKind::SingleUse, 0, 0, LinkState::Active),
            (LinkKind::SingleUse, 0, 1, LinkState::Held),
            (LinkKind::SingleUse, 1, 0, LinkState::Paid),
            (limited(1), 1, 0, LinkState::UsedUp),
            (limited(3), 1, 1, LinkState::Active),
            (limited(3), 1, 2, LinkState::Held),
            (limited(3), 2, 1, LinkState::Held),
            (limited(3), 3, 0, LinkState::UsedUp),
            (LinkKind::Reusable, 1_000_000, 1_000_000, LinkState::Active),
        ] {
            assert_eq!(
                link(kind).state_at(uses(confirmed, held), None, at(1_500)),
                state,
                "{kind:?} {confirmed} {held}"
            );
        }
    }

    #[test]
    fn what_was_paid_stays_paid_and_what_was_deactivated_says_so_before_its_time() {
        let mut gone = link(LinkKind::SingleUse);
        gone.deactivated_at = Some(at(1_100));
        for now in [500, 1_500, 2_500] {
            assert_eq!(gone.state_at(uses(0, 1), None, at(now)), LinkState::Deactivated, "{now}");
            assert_eq!(gone.state_at(uses(1, 0), None, at(now)), LinkState::Paid, "{now}");
        }
    }

    #[test]
    fn the_payment_of_a_published_link_decides_before_everything_else() {
        let mut link = link(LinkKind::SingleUse);
        link.opens_at = None;
        let at_once = |link: &PaymentLinkState, status, now| link.state_at(uses(0, 0), Some(status), at(now));
        for status in IntentStatus::VARIANTS {
            let state = at_once(&link, *status, 1_500);
            let late = at_once(&link, *status, 2_000);
            match status {
                IntentStatus::RequiresPaymentMethod | IntentStatus::RequiresConfirmation => {
                    assert_eq!((state, late), (LinkState::Active, LinkState::Expired), "{status}");
                }
                IntentStatus::Expired => {
                    assert_eq!((state, late), (LinkState::Expired, LinkState::Expired));
                }
                IntentStatus::Succeeded => assert_eq!((state, late), (LinkState::Paid, LinkState::Paid)),
                IntentStatus::Failed => assert_eq!((state, late), (LinkState::UsedUp, LinkState::UsedUp)),
                IntentStatus::Processing => assert_eq!((state, late), (LinkState::Held, LinkState::Held)),
                _ => assert_eq!(state, late, "{status} says the same before and after the expiry"),
            }
        }
    }

    #[test]
    fn an_amount_is_a_number_or_bounds() {
        let read = |body: &str| json::from_slice::<LinkAmount>(body.as_bytes());
        let minor = |minor: i64| MinorUnits::try_from(minor).unwrap();
        assert_eq!(read("4999").unwrap(), LinkAmount::Fixed(minor(4999)));
        let bounds = |least, most| LinkAmount::Open(AmountBounds::new(minor(least), minor(most)).unwrap());
        assert_eq!(read(r#"{"minimum": 100, "maximum": 50000}"#).unwrap(), bounds(100, 50_000));
        assert_eq!(read("{}").unwrap(), bounds(1, MAX_AMOUNT));
        for amount in [LinkAmount::Fixed(minor(0)), bounds(100, 100)] {
            assert_eq!(read(&serde_json::to_string(&amount).unwrap()).unwrap(), amount);
        }
        for (body, path, code) in [
            ("-1", "", "amount.out_of_range"),
            ("1000000000", "", "amount.out_of_range"),
            (r#"{"minimum": -1}"#, "minimum", "amount.out_of_range"),
            (r#"{"minimum": 2, "maximum": 1}"#, "minimum", "payment_link.amount_bounds"),
            (r#"{"least": 2}"#, "least", "json.unknown_field"),
            (r#""all""#, "", "json.wrong_type"),
        ] {
            let Err(crate::Error::Invalid(fault)) = read(body) else { panic!("{body}") };
            assert_eq!((fault.path(), fault.code()), (path, code), "{body}");
        }
    }

    #[test]
    fn a_chosen_amount_is_within_the_bounds_and_a_fixed_one_is_not_chosen() {
        let minor = |minor: i64| MinorUnits::try_from(minor).unwrap();
        let open = LinkAmount::Open(AmountBounds::new(minor(100), minor(200)).unwrap());
        let code = |amount: LinkAmount, chosen: Option<i64>| {
            let fault = amount.settle(chosen.map(minor)).unwrap_err();
            assert_eq!(fault.path(), "amount");
            fault.code().to_owned()
        };
        for chosen in [100, 150, 200] {
            assert_eq!(open.settle(Some(minor(chosen))).unwrap(), minor(chosen));
        }
        assert_eq!(code(open, Some(99)), "payment_link.amount_bounds");
        assert_eq!(code(open, Some(201)), "payment_link.amount_bounds");
        assert_eq!(code(open, None), "payment_link.amount_required");
        let fixed = LinkAmount::Fixed(minor(100));
        assert_eq!(fixed.settle(None).unwrap(), minor(100));
        assert_eq!(fixed.settle(Some(minor(100))).unwrap(), minor(100));
        assert_eq!(code(fixed, Some(101)), "payment_link.amount_fixed");
    }

    #[test]
    fn a_limit_is_1_to_10000() {
        for uses in [1, 10_000] {
            assert_eq!(i64::from(UseLimit::try_from(uses).unwrap().get()), uses);
        }
        for uses in [0, -1, 10_001, i64::MAX] {
            assert_eq!(UseLimit::try_from(uses).unwrap_err().code(), "payment_link.uses");
        }
        for (body, kind) in [
            (r#""single_use""#, LinkKind::SingleUse),
            (r#""reusable""#, LinkKind::Reusable),
            (r#"{"limited":25}"#, LinkKind::Limited(UseLimit::try_from(25).unwrap())),
        ] {
            assert_eq!(json::from_slice::<LinkKind>(body.as_bytes()).unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), body);
        }
        for seconds in [0, -1, 86_401] {
            assert_eq!(HoldTime::try_from(seconds).unwrap_err().code(), "payment_link.hold");
        }
        assert_eq!(HoldTime::default().get(), 900);
    }
}
