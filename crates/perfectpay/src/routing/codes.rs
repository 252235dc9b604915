//! What is known of a payment as small numbers, one in each slot: the form in which compiled rules and compiled
//! eligibility look at it.
//!
//! A code of 0 says that nothing is known. Codes live in memory only and may differ from release to release.

use strum::VariantArray as _;

use super::country;
use super::facts::PaymentFacts;
use super::key::RoutingKey;
use super::program::MAX_METADATA_KEYS;
use crate::connector::{CardNetwork, PaymentMethod, PaymentMethodType};
use crate::money::Currency;
use crate::profile::CardType;
use crate::text::Text;

/// Where a code stands. Those behind the last of these are of metadata, one a key that the program looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) u8);

impl Slot {
    pub(super) const CURRENCY: Self = Self(0);
    pub(super) const METHOD: Self = Self(1);
    /// The method and its type together: see [`method_type`].
    pub(super) const METHOD_TYPE: Self = Self(2);
    pub(super) const CARD_TYPE: Self = Self(3);
    pub(super) const CARD_NETWORK: Self = Self(4);
    pub(super) const AUTHENTICATION_TYPE: Self = Self(5);
    pub(super) const CAPTURE_METHOD: Self = Self(6);
    pub(super) const BILLING_COUNTRY: Self = Self(7);
    pub(super) const ISSUER_COUNTRY: Self = Self(8);
    pub(super) const BUSINESS_COUNTRY: Self = Self(9);
    pub(super) const SETUP_FUTURE_USAGE: Self = Self(10);
    pub(super) const PAYMENT_TYPE: Self = Self(11);
    pub(super) const MANDATE_TYPE: Self = Self(12);
    pub(super) const MANDATE_ACCEPTANCE_TYPE: Self = Self(13);
    pub(super) const TRANSACTION_INITIATOR: Self = Self(14);
    pub(super) const BUSINESS_LABEL: Self = Self(15);
    pub(super) const METADATA: Self = Self(16);

    /// How many words a set of its codes takes.
    pub(super) fn words(self) -> usize {
        match self {
            Self::CURRENCY | Self::METHOD_TYPE => 3,
            Self::BILLING_COUNTRY | Self::ISSUER_COUNTRY | Self::BUSINESS_COUNTRY => 4,
            _ => 1,
        }
    }
}

/// How many slots there are.
const SLOTS: usize = 16 + MAX_METADATA_KEYS;

/// Of a type that is not one of the method: no word of a rule, and no account, takes it.
pub(super) const IMPOSSIBLE_TYPE: u16 = 124;

/// The code of a method whose type is not known.
pub(super) fn untyped(method: PaymentMethod) -> u16 {
    IMPOSSIBLE_TYPE + 1 + method as u16
}

/// The code of a type as one of a method: 1 to 123. The two types that belong to two methods have two.
pub(super) fn method_type(method: PaymentMethod, of_method: PaymentMethodType) -> u16 {
    match (of_method.methods().iter().position(|known| *known == method), of_method) {
        (None, _) => IMPOSSIBLE_TYPE,
        (Some(0), _) => of_method as u16 + 1,
        (Some(_), PaymentMethodType::Ach) => 122,
        (Some(_), _) => 123,
    }
}

/// All codes of a method's types, without the one for a type that is not known.
pub(super) fn types_of(method: PaymentMethod) -> impl Iterator<Item = u16> {
    let types = PaymentMethodType::VARIANTS.iter().filter(move |one| one.methods().contains(&method));
    types.map(move |one| method_type(method, *one))
}

/// The method that a code of a type belongs to.
pub(super) fn method_of(code: u16) -> Option<PaymentMethod> {
    let of = |method: &&PaymentMethod| untyped(**method) == code || types_of(**method).any(|known| known == code);
    PaymentMethod::VARIANTS.iter().find(of).copied()
}

pub(super) fn card_type(card_type: CardType) -> u16 {
    match card_type {
        CardType::Credit => 1,
        CardType::Debit => 2,
    }
}

pub(super) fn network(network: CardNetwork) -> u16 {
    network as u16 + 1
}

pub(super) fn currency(currency: Currency) -> u16 {
    u16::from(currency.ordinal()) + 1
}

/// The slot of a key and the code of one of its words; `None` of a key that takes no words, or a word that is none.
pub(super) fn word(key: RoutingKey, word: &str) -> Option<(Slot, u16)> {
    /// The place of a word in its vocabulary, plus 1.
    fn place<T: Copy + PartialEq + strum::VariantArray + std::str::FromStr>(word: &str) -> Option<u16> {
        let value = word.parse::<T>().ok()?;
        u16::try_from(T::VARIANTS.iter().position(|known| *known == value)?).ok().map(|place| place + 1)
    }
    let country = |slot| country::named(word).map(|known| (slot, country::code(known)));
    Some(match key {
        RoutingKey::Currency => (Slot::CURRENCY, currency(word.parse().ok()?)),
        RoutingKey::PaymentMethod => (Slot::METHOD, place::<PaymentMethod>(word)?),
        RoutingKey::CardType => {
            let known = [CardType::Credit, CardType::Debit].into_iter().find(|known| known.to_string() == word)?;
            (Slot::CARD_TYPE, card_type(known))
        }
        RoutingKey::CardNetwork => (Slot::CARD_NETWORK, place::<CardNetwork>(word)?),
        RoutingKey::AuthenticationType => {
            (Slot::AUTHENTICATION_TYPE, place::<crate::payment::AuthenticationType>(word)?)
        }
        RoutingKey::CaptureMethod => (Slot::CAPTURE_METHOD, place::<crate::payment::CaptureMethod>(word)?),
        RoutingKey::BillingCountry => country(Slot::BILLING_COUNTRY)?,
        RoutingKey::IssuerCountry => country(Slot::ISSUER_COUNTRY)?,
        RoutingKey::BusinessCountry => country(Slot::BUSINESS_COUNTRY)?,
        RoutingKey::SetupFutureUsage => (Slot::SETUP_FUTURE_USAGE, place::<super::FutureUsage>(word)?),
        RoutingKey::PaymentType => (Slot::PAYMENT_TYPE, place::<super::PaymentType>(word)?),
        RoutingKey::MandateType => (Slot::MANDATE_TYPE, place::<super::MandateType>(word)?),
        RoutingKey::MandateAcceptanceType => {
            (Slot::MANDATE_ACCEPTANCE_TYPE, place::<super::MandateAcceptanceType>(word)?)
        }
        RoutingKey::TransactionInitiator => (Slot::TRANSACTION_INITIATOR, place::<super::TransactionInitiator>(word)?),
        RoutingKey::Amount
        | RoutingKey::CardBin
        | RoutingKey::ExtendedCardBin
        | RoutingKey::CardPrefix
        | RoutingKey::BusinessLabel
        | RoutingKey::Metadata => return None,
        types => {
            let method = types.types_of()?;
            let known = PaymentMethodType::VARIANTS.iter().find(|known| type_word(**known, method) == Some(word))?;
            (Slot::METHOD_TYPE, method_type(method, *known))
        }
    })
}

/// The word of a rule for a type of a method: as it is published, but for the classic reward.
pub(super) fn type_word(of_method: PaymentMethodType, method: PaymentMethod) -> Option<&'static str> {
    of_method.methods().contains(&method).then(|| match of_method {
        PaymentMethodType::Classic => "classic_reward",
        other => other.into(),
    })
}

/// The texts that a program compares with, each with a code: what it does not name is as good as unknown.
#[derive(Debug, Default)]
pub(super) struct Texts {
    labels: Known,
    metadata: Vec<(Text<64>, Known)>,
}

/// Texts by ascending text, the code behind each one.
#[derive(Debug, Default)]
struct Known(Vec<(Box<str>, u16)>);

impl Known {
    fn code(&self, text: &str) -> u16 {
        let found = self.0.binary_search_by(|(known, _)| (**known).cmp(text)).ok();
        found.and_then(|at| self.0.get(at)).map_or(0, |(_, code)| *code)
    }

    /// The text's code, a new one if it has none. There are fewer comparisons in a program than codes.
    fn intern(&mut self, text: &str) -> u16 {
        match self.0.binary_search_by(|(known, _)| (**known).cmp(text)) {
            Ok(at) => self.0.get(at).map_or(0, |(_, code)| *code),
            Err(at) => {
                let code = u16::try_from(self.0.len() + 1).unwrap_or(u16::MAX);
                self.0.insert(at, (text.into(), code));
                code
            }
        }
    }
}

impl Texts {
    pub(super) fn label(&mut self, text: &str) -> (Slot, u16) {
        (Slot::BUSINESS_LABEL, self.labels.intern(text))
    }

    /// `None` where the program looks at more keys than it may.
    pub(super) fn pair(&mut self, key: &Text<64>, value: &str) -> Option<(Slot, u16)> {
        let at = match self.metadata.iter().position(|(known, _)| known == key) {
            Some(at) => at,
            None if self.metadata.len() == MAX_METADATA_KEYS => return None,
            None => {
                self.metadata.push((key.clone(), Known::default()));
                self.metadata.len() - 1
            }
        };
        let slot = Slot(Slot::METADATA.0.saturating_add(u8::try_from(at).ok()?));
        self.metadata.get_mut(at).map(|(_, known)| (slot, known.intern(value)))
    }

    /// Bytes that the texts take besides this value itself.
    pub(super) fn weight(&self) -> usize {
        let texts =
            |known: &Known| known.0.iter().map(|(text, _)| text.len() + size_of::<(Box<str>, u16)>()).sum::<usize>();
        let of_metadata = |(key, known): &(Text<64>, Known)| key.len() + size_of::<(Text<64>, Known)>() + texts(known);
        texts(&self.labels) + self.metadata.iter().map(of_metadata).sum::<usize>()
    }
}

/// What is known of one payment.
#[derive(Debug, Clone)]
pub(super) struct Codes {
    by_slot: [u16; SLOTS],
    /// The amount, in minor units.
    pub(super) amount: i64,
    /// The card's leading digits as the first of eleven, zeros behind them.
    pub(super) digits: u64,
    /// How many of them are known.
    pub(super) known_digits: u8,
}

impl Codes {
    pub(super) fn of(facts: &PaymentFacts, texts: &Texts) -> Self {
        fn place<T: Copy>(value: Option<T>, code: impl Fn(T) -> u16) -> u16 {
            value.map_or(0, code)
        }
        let (method, of_method) = (facts.method(), facts.method_type());
        let card = facts.card.as_ref();
        let fixed = [
            currency(facts.currency),
            place(method, |method| method as u16 + 1),
            method.map_or(0, |method| of_method.map_or(untyped(method), |known| method_type(method, known))),
            funding(facts).map_or(0, card_type),
            place(card.and_then(|card| card.card_network), network),
            place(facts.authentication_type, |value| value as u16 + 1),
            place(facts.capture_method, |value| value as u16 + 1),
            place(facts.billing_country, country::code),
            place(card.and_then(|card| card.issuing_country), country::code),
            place(facts.business_country, country::code),
            place(facts.setup_future_usage, |value| value as u16 + 1),
            place(facts.payment_type, |value| value as u16 + 1),
            place(facts.mandate_type, |value| value as u16 + 1),
            place(facts.mandate_acceptance_type, |value| value as u16 + 1),
            place(facts.transaction_initiator, |value| value as u16 + 1),
            facts.business_label.as_ref().map_or(0, |label| texts.labels.code(label)),
        ];
        let mut codes = [0; SLOTS];
        for (slot, code) in codes.iter_mut().zip(fixed) {
            *slot = code;
        }
        let first = usize::from(Slot::METADATA.0);
        for (slot, (key, known)) in codes.iter_mut().skip(first).zip(&texts.metadata) {
            *slot = facts.metadata.get(key).map_or(0, |value| known.code(value));
        }
        let bin = card.and_then(|card| card.bin);
        Self {
            by_slot: codes,
            amount: facts.amount.get(),
            digits: bin.map_or(0, super::CardBin::padded),
            known_digits: bin.map_or(0, super::CardBin::length),
        }
    }

    pub(super) fn get(&self, slot: Slot) -> u16 {
        self.by_slot.get(usize::from(slot.0)).copied().unwrap_or(0)
    }
}

/// How the card is funded: by its type where that is stated, else as it is known.
pub(super) fn funding(facts: &PaymentFacts) -> Option<CardType> {
    match facts.payment_method_type {
        Some(PaymentMethodType::Credit) => Some(CardType::Credit),
        Some(PaymentMethodType::Debit) => Some(CardType::Debit),
        _ => facts.card.as_ref()?.card_type,
    }
}
