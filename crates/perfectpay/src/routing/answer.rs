//! What a decision is made of, and what it answers.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::facts::PaymentFacts;
use crate::blocklist::{BlockReason, Matched, ScreenedCard};
use crate::connector::ConnectorName;
use crate::id::{ConnectorId, PaymentId};
use crate::words::words;

words! { "snake_case"
    /// Which counter of the card-testing guard stands at its threshold. They are looked at in this order.
    GuardReason {
        /// Of the card and the address together.
        CardAndAddress,
        /// Of the card, in payments of guests.
        GuestCard,
        /// Of the customer.
        Customer,
        /// Of the address, in payments of guests.
        GuestAddress,
    }
}

words! { "snake_case"
    /// Why a payment is declined before any account is tried.
    DeclineReason {
        /// The card-testing guard: too many failed attempts with the card from the address.
        CardTestingCardAndAddress,
        /// Too many failed attempts of guests with the card.
        CardTestingGuestCard,
        /// Too many failed attempts of the customer.
        CardTestingCustomer,
        /// Too many failed attempts of guests from the address.
        CardTestingGuestAddress,
        /// An entry of a list, or nothing is known of the BIN and the profile takes no such cards.
        BlockedBin,
        /// The country that issued the card.
        BlockedIssuerCountry,
        /// How the card is funded.
        BlockedCardType,
        /// The card's subtype.
        BlockedCardSubtype,
        /// Who issued the card.
        BlockedIssuer,
        /// No account takes the payment.
        NoEligibleConnector,
    }
}

impl From<GuardReason> for DeclineReason {
    fn from(reason: GuardReason) -> Self {
        match reason {
            GuardReason::CardAndAddress => Self::CardTestingCardAndAddress,
            GuardReason::GuestCard => Self::CardTestingGuestCard,
            GuardReason::Customer => Self::CardTestingCustomer,
            GuardReason::GuestAddress => Self::CardTestingGuestAddress,
        }
    }
}

impl From<BlockReason> for DeclineReason {
    fn from(reason: BlockReason) -> Self {
        match reason {
            BlockReason::BlockedBin => Self::BlockedBin,
            BlockReason::BlockedIssuerCountry => Self::BlockedIssuerCountry,
            BlockReason::BlockedCardType => Self::BlockedCardType,
            BlockReason::BlockedCardSubtype => Self::BlockedCardSubtype,
            BlockReason::BlockedIssuer => Self::BlockedIssuer,
        }
    }
}

/// What screening declines a payment for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockedCard {
    /// Why.
    pub reason: BlockReason,
    /// The entry of a list that decided, by its name; absent where it was none.
    pub entry: Option<String>,
}

impl BlockedCard {
    /// A card that is declined for this reason, because of this entry where one of a list decided.
    pub fn new(reason: BlockReason, entry: Option<&Matched>) -> Self {
        Self { reason, entry: entry.map(ToString::to_string) }
    }

    /// What the lists and the profile's rules say together; `None` where they let the card pass.
    pub fn of(screened: &ScreenedCard) -> Option<Self> {
        let by_list = screened.screening.matched.as_ref().filter(|_| screened.screening.is_blocked());
        screened.reason.map(|reason| Self::new(reason, by_list))
    }
}

/// What a decision is made on, besides the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DecisionInputs<'a> {
    /// The payment.
    pub payment_id: &'a PaymentId,
    /// What is known of it.
    pub facts: &'a PaymentFacts,
    /// What the card-testing guard found.
    pub guard: Option<GuardReason>,
    /// What screening found.
    pub screening: Option<&'a BlockedCard>,
}

impl<'a> DecisionInputs<'a> {
    /// A payment of which neither the guard nor screening found anything.
    pub fn of(payment_id: &'a PaymentId, facts: &'a PaymentFacts) -> Self {
        Self { payment_id, facts, guard: None, screening: None }
    }

    /// The answer where the guard, or else screening, declines.
    pub(super) fn declined(&self) -> Option<Answer> {
        if let Some(reason) = self.guard {
            return Some(Answer::Declined { reason: reason.into(), entry: None });
        }
        let blocked = self.screening?;
        Some(Answer::Declined { reason: blocked.reason.into(), entry: blocked.entry.clone() })
    }
}

/// What happens to a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is declined.
    Declined {
        /// Why.
        reason: DeclineReason,
        /// The entry of a blocklist that decided, by its name.
        entry: Option<String>,
    },
    /// These accounts are tried, in this order; at least one.
    Candidates(Candidates),
}

/// The accounts to try, the first one first. In JSON a list.
///
/// Their names are those that the router has, and shared with it: a decision copies and counts none of them. Two are equal
/// if they say the same.
#[derive(Clone, Default)]
pub struct Candidates {
    named: Arc<[Named]>,
    order: Vec<Place>,
}

/// An account by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) account: ConnectorId,
    pub(super) connector: ConnectorName,
}

/// A candidate by its place among the accounts of its router.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) account: u32,
    pub(super) why: Why,
}

/// An account to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Candidate<'a> {
    /// The account.
    pub account: &'a ConnectorId,
    /// Its connector.
    pub connector: &'a ConnectorName,
    /// Why it stands here.
    pub why: Why,
}

impl Candidates {
    /// Every place must be one of the accounts'.
    pub(super) fn new(named: Arc<[Named]>, order: Vec<Place>) -> Self {
        Self { named, order }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none, which no decision answers.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The one at this place, 0 being the first to be tried.
    pub fn get(&self, place: usize) -> Option<Candidate<'_>> {
        self.order.get(place).and_then(|place| self.named(*place))
    }

    /// The one to be tried first.
    pub fn first(&self) -> Option<Candidate<'_>> {
        self.get(0)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Candidate<'_>> + Clone {
        self.order.iter().filter_map(|place| self.named(*place))
    }

    fn named(&self, place: Place) -> Option<Candidate<'_>> {
        let Named { account, connector } = self.named.get(place.account as usize)?;
        Some(Candidate { account, connector, why: place.why })
    }
}

impl PartialEq for Candidates {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Candidates {}

impl fmt::Debug for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Candidates {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Candidates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Read {
            account: ConnectorId,
            connector: ConnectorName,
            why: Why,
        }
        let read = Vec::<Read>::deserialize(deserializer)?;
        let order = (0_u32..).zip(&read).map(|(account, one)| Place { account, why: one.why }).collect();
        let named = read.into_iter().map(|one| Named { account: one.account, connector: one.connector });
        Ok(Self::new(named.collect(), order))
    }
}

/// Why an account is a candidate. `drawn` says that it stands first because the payment fell into its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Why {
    /// The algorithm names it, which has no rules.
    Algorithm {
        /// Whether it was drawn.
        drawn: bool,
    },
    /// A rule selects it.
    Rule {
        /// The rule's place, from 0.
        rule: u32,
        /// Whether it was drawn.
        drawn: bool,
    },
    /// No rule holds, and the default selection names it.
    DefaultSelection {
        /// Whether it was drawn.
        drawn: bool,
    },
    /// It stands in the fallback order.
    Fallback,
}
