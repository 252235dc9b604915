//! Which accounts can take a payment at all, whatever a program says (contract: `payment_methods_enabled`).

use serde::{Deserialize, Serialize};

use super::codes::{self, Codes, Slot};
use super::conjunction::{ANY_AMOUNT, Conjunction, Ranges, Set};
use super::country;
use super::facts::PaymentFacts;
use super::index::Index;
use crate::connector::{
    Accepted, CardNetwork, ConnectorName, ConnectorState, ConnectorStatus, ConnectorType, EnabledMethods,
    MethodTypeEnabled, PaymentMethod,
};
use crate::id::ConnectorId;
use crate::money::MAX_AMOUNT;
use crate::words::words;

words! { "snake_case"
    /// Why an account does not take a payment. Of several reasons the first that stands here; of the types that are
    /// enabled the one that comes furthest says it.
    Ineligible {
        /// The choice names no account.
        WithoutAccount,
        /// The profile has no such account.
        Missing,
        /// The account is of another connector than the choice says.
        WrongConnector,
        /// It is not there to take payments.
        NotForPayments,
        /// Its connector cannot be routed to.
        NotRoutable,
        /// Its credentials are not complete.
        Inactive,
        /// It is left out of payments.
        Disabled,
        /// No payment methods are enabled.
        NoMethods,
        /// The payment's method is not known yet.
        MethodUnknown,
        /// The method is not enabled.
        Method,
        /// The type is not enabled, or is not known and no card's.
        MethodType,
        /// The card's network is not.
        CardNetwork,
        /// The currency is not.
        Currency,
        /// Payers from the billing country are not accepted.
        Country,
        /// The amount is below the minimum or above the maximum.
        Amount,
    }
}

/// A connector account as far as routing looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutableAccount {
    /// The account.
    pub account: ConnectorId,
    /// Its connector.
    pub connector: ConnectorName,
    /// What it is used for.
    pub connector_type: ConnectorType,
    /// Whether its connector can be routed to, as the catalogue says.
    pub routable: bool,
    /// Whether its credentials are complete.
    pub status: ConnectorStatus,
    /// Whether it is left out of payments.
    pub disabled: bool,
    /// The payment methods it takes.
    pub payment_methods_enabled: Option<EnabledMethods>,
}

impl RoutableAccount {
    /// What is kept of the account, and whether the catalogue has its connector as routable.
    pub fn of(account: ConnectorId, state: &ConnectorState, routable: bool) -> Self {
        Self {
            account,
            connector: state.connector_name.clone(),
            connector_type: state.connector_type,
            routable,
            status: state.status,
            disabled: state.disabled,
            payment_methods_enabled: state.payment_methods_enabled.clone(),
        }
    }

    /// Why the account takes no payment at all; `None` where it may take some.
    pub fn takes_none(&self) -> Option<Ineligible> {
        if self.connector_type != ConnectorType::PaymentProcessor {
            Some(Ineligible::NotForPayments)
        } else if !self.routable {
            Some(Ineligible::NotRoutable)
        } else if self.status == ConnectorStatus::Inactive {
            Some(Ineligible::Inactive)
        } else if self.disabled {
            Some(Ineligible::Disabled)
        } else if self.payment_methods_enabled.as_ref().is_none_or(|methods| methods.is_empty()) {
            Some(Ineligible::NoMethods)
        } else {
            None
        }
    }

    /// Whether it has a place in the default fallback order: whether it is there to take payments and is not left out.
    pub fn is_fallback(&self) -> bool {
        !matches!(
            self.takes_none(),
            Some(Ineligible::NotForPayments | Ineligible::NotRoutable | Ineligible::Inactive | Ineligible::Disabled)
        )
    }

    /// Why the account does not take this payment; `None` where it does. This is the definition that compiled accounts
    /// answer like.
    ///
    /// A list that is absent or empty restricts nothing: of an element's types, of a type's networks, currencies and
    /// countries. Whether a card is a credit or a debit card, its network, and the billing country restrict only where
    /// they are known; the currency always. Bounds of the amount are inclusive, and an amount of 0 is within all of
    /// them.
    pub fn ineligible(&self, facts: &PaymentFacts) -> Option<Ineligible> {
        if let Some(reason) = self.takes_none() {
            return Some(reason);
        }
        let Some(method) = facts.method() else { return Some(Ineligible::MethodUnknown) };
        let of_method =
            self.payment_methods_enabled.iter().flat_map(|all| all.iter()).filter(|one| one.payment_method == method);
        let mut furthest = Ineligible::Method;
        for enabled in of_method {
            let types = &enabled.payment_method_types;
            if types.is_empty() {
                let impossible = facts.method_type().is_some_and(|known| !known.methods().contains(&method));
                if !impossible {
                    return None;
                }
                furthest = furthest.max(Ineligible::MethodType);
            }
            for one in types {
                match refuses(one, method, facts) {
                    None => return None,
                    Some(reason) => furthest = furthest.max(reason),
                }
            }
        }
        Some(furthest)
    }
}

fn refuses(enabled: &MethodTypeEnabled, method: PaymentMethod, facts: &PaymentFacts) -> Option<Ineligible> {
    let takes_type = match facts.method_type() {
        Some(known) => known == enabled.payment_method_type,
        None => method == PaymentMethod::Card,
    };
    let network = facts.card.as_ref().and_then(|card| card.card_network);
    let takes_network = match (&enabled.card_networks, network) {
        (Some(networks), Some(network)) => networks.is_empty() || networks.contains(&network),
        _ => true,
    };
    let takes_currency = enabled.accepted_currencies.as_ref().is_none_or(|all| all.accepts(&facts.currency));
    let takes_country = match (&enabled.accepted_countries, &facts.billing_country) {
        (Some(countries), Some(country)) => countries.accepts(country),
        _ => true,
    };
    let within = enabled.minimum_amount.is_none_or(|least| facts.amount >= least)
        && enabled.maximum_amount.is_none_or(|most| facts.amount <= most);
    if !takes_type {
        Some(Ineligible::MethodType)
    } else if !takes_network {
        Some(Ineligible::CardNetwork)
    } else if !takes_currency {
        Some(Ineligible::Currency)
    } else if !takes_country {
        Some(Ineligible::Country)
    } else if !within && facts.amount.get() != 0 {
        Some(Ineligible::Amount)
    } else {
        None
    }
}

/// One type that is enabled, as sets of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    networks: u64,
    currencies: Set,
    countries: Set,
    low: i64,
    high: i64,
}

impl Entry {
    const ANY: Self = Self { networks: u64::MAX, currencies: Set::ALL, countries: Set::ALL, low: 0, high: MAX_AMOUNT };

    fn of(enabled: &MethodTypeEnabled) -> Self {
        fn set<T: Copy>(accepted: Option<&Accepted<T>>, code: impl Fn(T) -> u16) -> Set {
            match accepted {
                Some(Accepted::EnableOnly { list }) if !list.is_empty() => Set::of(list.iter().map(|one| code(*one))),
                Some(Accepted::DisableOnly { list }) => Set::of(list.iter().map(|one| code(*one))).not(),
                _ => Set::ALL,
            }
        }
        let networks = enabled.card_networks.as_deref().unwrap_or_default();
        let bit = |network: &CardNetwork| 1 << codes::network(*network);
        Self {
            // The lowest bit is of a network that is not known.
            networks: if networks.is_empty() {
                u64::MAX
            } else {
                networks.iter().map(bit).fold(1, |all, one: u64| all | one)
            },
            currencies: set(enabled.accepted_currencies.as_ref(), codes::currency),
            countries: set(enabled.accepted_countries.as_ref(), country::code).with(0),
            low: enabled.minimum_amount.map_or(0, crate::money::MinorUnits::get),
            high: enabled.maximum_amount.map_or(MAX_AMOUNT, crate::money::MinorUnits::get),
        }
    }

    /// What a payment must be to be taken, if its type is one of these.
    fn conjunction(&self, types: Set) -> Conjunction {
        let networks = Set([self.networks, 0, 0, 0]);
        let mut must = Conjunction::all();
        for (slot, set, all) in [
            (Slot::METHOD_TYPE, types, Set::ALL),
            (Slot::CARD_NETWORK, networks, Set([u64::MAX, 0, 0, 0])),
            (Slot::CURRENCY, self.currencies, Set::ALL),
            (Slot::BILLING_COUNTRY, self.countries, Set::ALL),
        ] {
            if set != all {
                must.narrow(slot, set);
            }
        }
        if (self.low, self.high) != ANY_AMOUNT {
            must.amounts = Ranges::of([(self.low, self.high), (0, 0)]);
        }
        must
    }

    fn refuses(&self, codes: &Codes) -> Option<Ineligible> {
        if self.networks >> codes.get(Slot::CARD_NETWORK) & 1 == 0 {
            Some(Ineligible::CardNetwork)
        } else if !self.currencies.has(codes.get(Slot::CURRENCY)) {
            Some(Ineligible::Currency)
        } else if !self.countries.has(codes.get(Slot::BILLING_COUNTRY)) {
            Some(Ineligible::Country)
        } else if !(self.low..=self.high).contains(&codes.amount) && codes.amount != 0 {
            Some(Ineligible::Amount)
        } else {
            None
        }
    }
}

/// An account that is ready to be asked.
#[derive(Debug, Clone)]
pub(super) enum Eligibility {
    /// What it takes.
    Takes(Taken),
    /// It takes no payment.
    Never(Ineligible),
    /// It was asked before, of the one payment that is replayed.
    Seen(Option<Ineligible>),
}

/// What an account takes, by method and type.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    /// The methods of which anything is enabled, bit by bit.
    methods: u64,
    /// Of each code of a method's type, where its entries end; they begin where those of the code before end.
    ends: Box<[u16]>,
    entries: Box<[Entry]>,
}

impl Eligibility {
    pub(super) fn of(account: &RoutableAccount) -> Self {
        match (account.takes_none(), &account.payment_methods_enabled) {
            (None, Some(methods)) => Self::Takes(Taken::of(methods)),
            (reason, _) => Self::Never(reason.unwrap_or(Ineligible::NoMethods)),
        }
    }

    pub(super) fn ineligible(&self, codes: &Codes) -> Option<Ineligible> {
        match self {
            Self::Takes(taken) => taken.ineligible(codes),
            Self::Never(reason) => Some(*reason),
            Self::Seen(verdict) => *verdict,
        }
    }

    pub(super) fn takes(&self, codes: &Codes) -> bool {
        self.ineligible(codes).is_none()
    }

    /// Bytes that it takes besides this value itself.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Takes(taken) => taken.ends.len() * 2 + taken.entries.len() * size_of::<Entry>(),
            Self::Never(_) | Self::Seen(_) => 0,
        }
    }
}

impl Taken {
    fn of(methods: &EnabledMethods) -> Self {
        let last = codes::untyped(PaymentMethod::NetworkToken);
        let mut by_code: Vec<Vec<Entry>> = vec![Vec::new(); usize::from(last) + 1];
        let mut put =
            |code: u16, entry: Entry| by_code.iter_mut().skip(code.into()).take(1).for_each(|all| all.push(entry));
        let mut taken = 0;
        for enabled in methods.iter() {
            let method = enabled.payment_method;
            taken |= 1 << (method as u16 + 1);
            if enabled.payment_method_types.is_empty() {
                codes::types_of(method).chain([codes::untyped(method)]).for_each(|code| put(code, Entry::ANY));
            }
            for one in &enabled.payment_method_types {
                // Whether a card is a credit or a debit card restricts only where it is known.
                let unknown = (method == PaymentMethod::Card).then(|| codes::untyped(method));
                let known = codes::method_type(method, one.payment_method_type);
                unknown.into_iter().chain([known]).for_each(|code| put(code, Entry::of(one)));
            }
        }
        let mut ends = Vec::with_capacity(by_code.len());
        let mut entries = Vec::new();
        for of_code in by_code {
            entries.extend(of_code);
            ends.push(u16::try_from(entries.len()).unwrap_or(u16::MAX));
        }
        Self { methods: taken, ends: ends.into(), entries: entries.into() }
    }

    fn entries(&self, code: u16) -> &[Entry] {
        let end = |code: u16| self.ends.get(usize::from(code)).copied().map_or(0, usize::from);
        let first = code.checked_sub(1).map_or(0, end);
        self.entries.get(first..end(code)).unwrap_or_default()
    }

    fn ineligible(&self, codes: &Codes) -> Option<Ineligible> {
        let method = codes.get(Slot::METHOD);
        if method == 0 {
            return Some(Ineligible::MethodUnknown);
        }
        if self.methods >> method & 1 == 0 {
            return Some(Ineligible::Method);
        }
        let mut furthest = Ineligible::MethodType;
        for entry in self.entries(codes.get(Slot::METHOD_TYPE)) {
            match entry.refuses(codes) {
                None => return None,
                Some(reason) => furthest = furthest.max(reason),
            }
        }
        Some(furthest)
    }

    /// Every entry once, with the codes of the types that it is of.
    fn by_entry(&self) -> Vec<(Set, Entry)> {
        let mut all: Vec<(Set, Entry)> = Vec::new();
        for code in (1_u16..).take(self.ends.len().saturating_sub(1)) {
            for entry in self.entries(code) {
                match all.iter_mut().find(|(_, known)| known == entry) {
                    Some((codes, _)) => *codes = codes.with(code),
                    None => all.push((Set::of([code]), *entry)),
                }
            }
        }
        all
    }

    /// Whether it is certain that no payment which satisfies the conjunction is taken.
    fn takes_nothing_of(&self, together: &Conjunction) -> bool {
        let types = together.set(Slot::METHOD_TYPE);
        let methods = together.set(Slot::METHOD);
        let networks = together.set(Slot::CARD_NETWORK).0.first().copied().unwrap_or(u64::MAX);
        let currencies = together.set(Slot::CURRENCY);
        let countries = together.set(Slot::BILLING_COUNTRY);
        let takes = |entry: &Entry| {
            entry.networks & networks != 0
                && !entry.currencies.and(currencies).without(0).is_empty()
                && !entry.countries.and(countries).is_empty()
                && !Ranges::of([(entry.low, entry.high), (0, 0)]).and(&together.amounts).is_empty()
        };
        let codes = (1_u16..).take(self.ends.len().saturating_sub(1));
        !codes.into_iter().any(|code| {
            let method = codes::method_of(code).map_or(0, |method| method as u16 + 1);
            types.has(code) && methods.has(method) && self.entries(code).iter().any(takes)
        })
    }
}

/// The most accounts that are asked together, and the most types that are enabled at all of those.
const TOGETHER: usize = 512;
const MOST_ENTRIES: usize = 4_096;

/// Which accounts of a list take a payment, the first of them asked together: those behind are asked one by one.
#[derive(Debug)]
pub(super) struct Takers {
    /// Everything that is enabled at any of them.
    index: Index<Taker>,
    /// Those that take the payment, whatever it is.
    always: Taking,
}

/// An account by its place, and the amounts that it takes.
#[derive(Debug, Clone, Copy)]
struct Taker {
    account: u32,
    low: i64,
    high: i64,
}

/// Which of the first accounts take a payment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taking {
    bits: [u64; TOGETHER / 64],
    /// How many were asked.
    asked: u32,
}

impl Taking {
    #[inline]
    fn set(&mut self, account: u32) {
        if let Some(word) = self.bits.get_mut(account as usize / 64) {
            *word |= 1 << (account % 64);
        }
    }

    /// Whether the account takes it; `None` of one that was not asked.
    #[inline]
    pub(super) fn has(&self, account: u32) -> Option<bool> {
        let word = self.bits.get(account as usize / 64).filter(|_| account < self.asked)?;
        Some(word >> (account % 64) & 1 == 1)
    }
}

impl Takers {
    pub(super) fn of(accounts: &[Eligibility]) -> Self {
        let mut always = Taking { bits: [0; TOGETHER / 64], asked: 0 };
        let mut enabled = Vec::new();
        for (account, eligibility) in (0..).zip(accounts).take(TOGETHER) {
            match eligibility {
                Eligibility::Takes(taken) => {
                    let entries = taken.by_entry();
                    if enabled.len() + entries.len() > MOST_ENTRIES {
                        break;
                    }
                    let of = |(codes, entry): (Set, Entry)| {
                        (entry.conjunction(codes), Taker { account, low: entry.low, high: entry.high })
                    };
                    enabled.extend(entries.into_iter().map(of));
                }
                Eligibility::Seen(None) => always.set(account),
                Eligibility::Never(_) | Eligibility::Seen(Some(_)) => {}
            }
            always.asked = account + 1;
        }
        Self { index: Index::of(enabled), always }
    }

    /// Those that take the payment.
    #[inline]
    pub(super) fn taking(&self, codes: &Codes) -> Taking {
        let mut taking = self.always;
        self.index.each(codes, |taker| {
            if codes.amount == 0 || (taker.low..=taker.high).contains(&codes.amount) {
                taking.set(taker.account);
            }
        });
        taking
    }

    /// Bytes that it takes besides this value itself.
    pub(super) fn weight(&self) -> usize {
        self.index.weight()
    }
}

impl RoutableAccount {
    /// Whether it is certain that it takes no payment which satisfies the conjunction.
    pub(super) fn takes_nothing_of(&self, together: &Conjunction) -> bool {
        match Eligibility::of(self) {
            Eligibility::Takes(taken) => taken.takes_nothing_of(together),
            Eligibility::Never(_) | Eligibility::Seen(_) => true,
        }
    }
}
