//! Uses of a link: held until a deadline, then confirmed, released, or lapsed. Once the payment of a use is under way, the
//! deadline waits until that came to something.

use serde::{Deserialize, Serialize};

use super::state::HoldTime;
use crate::error::EntityKind;
use crate::id::{CustomerId, LinkUseId, MerchantId, PaymentId, PaymentLinkId, ProfileId};
use crate::money::MinorUnits;
use crate::payment::{Payment, PaymentOutcome};
use crate::seal::Sealed;
use crate::secret::Request;
use crate::stored::{State, Stored};
use crate::time::Timestamp;
use crate::webhook::IntentStatus;
use crate::words::words;

words! { "snake_case"
    /// Where a use of a link stands.
    LinkUseStatus {
        /// It is held, and its deadline is not reached.
        Held,
        /// Its payment is under way: it stands until that came to something, whatever its deadline.
        Paying,
        /// Its deadline is reached: it stands no more, and another customer may have its place.
        Lapsed,
        /// It was confirmed, and stands for good.
        Confirmed,
    }
}

/// The body that claims a use of a link. Every field is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LinkClaim {
    /// How much is paid, in minor units: required where the link's amount is open, else the link's own.
    pub amount: Option<MinorUnits>,
    /// Who pays.
    pub customer_id: Option<CustomerId>,
    /// For how many seconds the use is held: 1 to 86,400, 900 unless stated.
    pub hold: Option<HoldTime>,
}

impl Request for LinkClaim {}

/// What is kept of a use. One that was released is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkUseState {
    /// The link.
    pub payment_link_id: PaymentLinkId,
    /// The link's profile.
    pub profile_id: ProfileId,
    /// The payment that is made by it: the link's own, or one that was created with the use.
    pub payment_id: PaymentId,
    /// The deadline of the hold.
    pub held_until: Timestamp,
    /// Since when its payment is under way, if it is.
    pub paying_since: Option<Timestamp>,
    /// When it was confirmed, if it was.
    pub confirmed_at: Option<Timestamp>,
}

/// What becomes of the use of a link with its payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UseOfPayment {
    /// It stays as it is.
    Stays,
    /// It is this now.
    Becomes(LinkUseState),
    /// It is released.
    Goes,
}

impl LinkUseState {
    /// Until when the use stands, that moment excluded; `None` for good. A store counts uses by it.
    pub fn stands_until(&self) -> Option<Timestamp> {
        match (self.confirmed_at, self.paying_since) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(Timestamp::MAX),
            (None, None) => Some(self.held_until),
        }
    }

    /// Whether the use stands at a moment.
    pub fn stands_at(&self, now: Timestamp) -> bool {
        self.stands_until().is_none_or(|until| now < until)
    }

    /// Where the use stands at a moment.
    pub fn status_at(&self, now: Timestamp) -> LinkUseStatus {
        match self.stands_until() {
            None => LinkUseStatus::Confirmed,
            Some(_) if self.paying_since.is_some() => LinkUseStatus::Paying,
            Some(until) if now < until => LinkUseStatus::Held,
            Some(_) => LinkUseStatus::Lapsed,
        }
    }

    /// The use once it is confirmed.
    pub(crate) fn confirmed(&self, now: Timestamp) -> Self {
        Self { paying_since: None, confirmed_at: Some(now), ..self.clone() }
    }

    /// What becomes of the use when its payment comes to this status. A payment that failed may be confirmed again where
    /// its profile `retries`; its use then goes back to its deadline. A use that is confirmed stays: whoever confirmed it
    /// said that it is paid. One that lapsed is not revived, since its place may be taken.
    pub(crate) fn with_payment(&self, status: IntentStatus, retries: bool, now: Timestamp) -> UseOfPayment {
        if self.confirmed_at.is_some() {
            return UseOfPayment::Stays;
        }
        match PaymentOutcome::of(status) {
            PaymentOutcome::UnderWay if self.paying_since.is_none() && self.stands_at(now) => {
                UseOfPayment::Becomes(Self { paying_since: Some(now), ..self.clone() })
            }
            PaymentOutcome::Paid if self.stands_at(now) => UseOfPayment::Becomes(self.confirmed(now)),
            PaymentOutcome::Spent if status == IntentStatus::Failed && retries => {
                UseOfPayment::Becomes(Self { paying_since: None, ..self.clone() })
            }
            PaymentOutcome::Spent | PaymentOutcome::Expired => UseOfPayment::Goes,
            PaymentOutcome::Open | PaymentOutcome::UnderWay | PaymentOutcome::Paid => UseOfPayment::Stays,
        }
    }
}

impl State for LinkUseState {
    const KIND: EntityKind = EntityKind::LinkUse;
    type Id = LinkUseId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self { payment_link_id: _, profile_id: _, payment_id: _, held_until: _, paying_since: _, confirmed_at: _ } =
            self;
        Vec::new()
    }
}

/// A use of a link as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LinkUse {
    /// The id.
    pub link_use_id: LinkUseId,
    /// The link.
    pub payment_link_id: PaymentLinkId,
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// The profile.
    pub profile_id: ProfileId,
    /// The payment that is made by it.
    pub payment_id: PaymentId,
    /// Where it stands.
    pub status: LinkUseStatus,
    /// When it was claimed.
    pub created_at: Timestamp,
    /// The deadline of the hold.
    pub held_until: Timestamp,
    /// When it was confirmed; null if it was not.
    pub confirmed_at: Option<Timestamp>,
    /// The version, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

impl LinkUse {
    /// The use as it stands at a moment.
    pub(crate) fn view(row: Stored<LinkUseState>, merchant_id: MerchantId, now: Timestamp) -> Self {
        let status = row.state.status_at(now);
        Self {
            link_use_id: row.id,
            payment_link_id: row.state.payment_link_id,
            merchant_id,
            profile_id: row.state.profile_id,
            payment_id: row.state.payment_id,
            status,
            created_at: row.created_at,
            held_until: row.state.held_until,
            confirmed_at: row.state.confirmed_at,
            version: row.version,
        }
    }
}

/// What a claim answers: the use that is held, and the payment that is to be made until its deadline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClaimedLink {
    /// The use.
    pub link_use: LinkUse,
    /// The payment. Of a link of its own it was created with the use, and is open as long as the use is held.
    pub payment: Payment,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u32) -> Timestamp {
        Timestamp::UNIX_EPOCH.plus_seconds(seconds)
    }

    /// Held until 100.
    fn held() -> LinkUseState {
        LinkUseState {
            payment_link_id: "plink_1".parse().unwrap(),
            profile_id: "pro_1".parse().unwrap(),
            payment_id: "pay_1".parse().unwrap(),
            held_until: at(100),
            paying_since: None,
            confirmed_at: None,
        }
    }

    fn after(state: &LinkUseState, status: IntentStatus, retries: bool, now: u32) -> UseOfPayment {
        state.with_payment(status, retries, at(now))
    }

    #[test]
    fn a_use_whose_payment_is_under_way_stands_beyond_its_deadline() {
        let paying = match after(&held(), IntentStatus::Processing, false, 99) {
            UseOfPayment::Becomes(paying) => paying,
            other => panic!("{other:?}"),
        };
        assert_eq!(paying.paying_since, Some(at(99)));
        for now in [99, 100, 1_000_000] {
            assert!(paying.stands_at(at(now)));
            assert_eq!(paying.status_at(at(now)), LinkUseStatus::Paying);
        }
        assert_eq!(after(&paying, IntentStatus::RequiresCustomerAction, false, 200), UseOfPayment::Stays);
        let back = LinkUseState { paying_since: None, ..paying.clone() };
        assert_eq!(after(&paying, IntentStatus::Failed, true, 200), UseOfPayment::Becomes(back.clone()));
        assert_eq!(back.status_at(at(200)), LinkUseStatus::Lapsed, "its deadline counts again");
        let paid = after(&paying, IntentStatus::Succeeded, false, 200);
        assert_eq!(paid, UseOfPayment::Becomes(LinkUseState { confirmed_at: Some(at(200)), ..held() }));
    }

    #[test]
    fn a_use_goes_with_its_payment_and_one_that_lapsed_is_not_revived() {
        for status in [IntentStatus::Failed, IntentStatus::Cancelled, IntentStatus::Expired] {
            for now in [0, 100] {
                assert_eq!(after(&held(), status, false, now), UseOfPayment::Goes, "{status} at {now}");
            }
        }
        for status in [IntentStatus::Processing, IntentStatus::Succeeded, IntentStatus::RequiresCapture] {
            assert_eq!(after(&held(), status, false, 100), UseOfPayment::Stays, "{status}");
        }
        let confirmed = held().confirmed(at(5));
        for status in [IntentStatus::Processing, IntentStatus::Succeeded, IntentStatus::Failed, IntentStatus::Expired] {
            assert_eq!(after(&confirmed, status, false, 6), UseOfPayment::Stays, "{status}");
        }
    }
}
