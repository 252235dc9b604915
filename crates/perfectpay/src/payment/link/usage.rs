//! Uses of a link: held until a deadline, then confirmed, released, or lapsed.

use serde::{Deserialize, Serialize};

use super::state::HoldTime;
use crate::error::EntityKind;
use crate::id::{CustomerId, LinkUseId, MerchantId, PaymentId, PaymentLinkId, ProfileId};
use crate::money::MinorUnits;
use crate::payment::Payment;
use crate::seal::Sealed;
use crate::secret::Request;
use crate::stored::{State, Stored};
use crate::time::Timestamp;
use crate::words::words;

words! { "snake_case"
    /// Where a use of a link stands.
    LinkUseStatus {
        /// It is held, and its deadline is not reached.
        Held,
        /// Its deadline is reached: it stands no more, and another customer may have its place.
        Lapsed,
        /// It was confirmed, and stands for good.
        Confirmed,
    }
}

/// The body that claims a use of a link. Every field is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// When it was confirmed, if it was.
    pub confirmed_at: Option<Timestamp>,
}

impl LinkUseState {
    /// Until when the use stands, that moment excluded; `None` for good. A store counts uses by it.
    pub fn stands_until(&self) -> Option<Timestamp> {
        if self.confirmed_at.is_some() { None } else { Some(self.held_until) }
    }

    /// Whether the use stands at a moment.
    pub fn stands_at(&self, now: Timestamp) -> bool {
        self.stands_until().is_none_or(|until| now < until)
    }

    /// Where the use stands at a moment.
    pub fn status_at(&self, now: Timestamp) -> LinkUseStatus {
        match self.stands_until() {
            None => LinkUseStatus::Confirmed,
            Some(until) if now < until => LinkUseStatus::Held,
            Some(_) => LinkUseStatus::Lapsed,
        }
    }

    /// The use once it is confirmed.
    pub(crate) fn confirmed(&self, now: Timestamp) -> Self {
        Self { confirmed_at: Some(now), ..self.clone() }
    }
}

impl State for LinkUseState {
    const KIND: EntityKind = EntityKind::LinkUse;
    type Id = LinkUseId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self { payment_link_id: _, profile_id: _, payment_id: _, held_until: _, confirmed_at: _ } = self;
        Vec::new()
    }
}

/// A use of a link as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct ClaimedLink {
    /// The use.
    pub link_use: LinkUse,
    /// The payment. Of a link of its own it was created with the use, and is open as long as the use is held.
    pub payment: Payment,
}
