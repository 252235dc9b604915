//! One profile's routing, ready to decide: the active program, the accounts and the fallback order together.
//!
//! A router is a value. Whoever keeps one makes another when the program, an account or the order changes; whoever
//! replays a decision makes one of what the decision's record says was seen.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::answer::{Answer, Candidates, DecisionInputs, DeclineReason, Named, Place, Why};
use super::codes::Codes;
use super::compile::{Chosen, Compiled, Selected};
use super::eligibility::{Eligibility, Ineligible, RoutableAccount, Takers};
use super::facts::PaymentFacts;
use super::fallback::fallback_order;
use super::program::{Algorithm, ConnectorChoice};
use super::split::bucket;
use crate::connector::ConnectorName;
use crate::error::Fault;
use crate::id::{ConnectorId, PaymentId, ProfileId, RoutingId};

/// A version of a routing program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramVersion {
    /// The program.
    pub id: RoutingId,
    /// Its version, from 1.
    pub version: u64,
    /// What the version says.
    pub algorithm: Arc<Algorithm>,
}

/// An account as one decision saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenAccount {
    /// The account.
    pub account: ConnectorId,
    /// Its connector.
    pub connector: ConnectorName,
    /// Whether it has a place in the fallback order.
    pub fallback: bool,
    /// Why it does not take the payment; absent where it does.
    pub ineligible: Option<Ineligible>,
}

/// What one decision saw of a router: all that it takes to answer again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterRecord {
    /// The profile.
    pub profile: ProfileId,
    /// The program that was active.
    pub program: Option<ProgramVersion>,
    /// The accounts: those of the fallback order first, in that order.
    pub accounts: Vec<SeenAccount>,
}

impl RouterRecord {
    /// A router that answers for the payment of which this is the record as the one did that it was taken from.
    ///
    /// # Errors
    ///
    /// As [`Router::new`].
    pub fn router(&self) -> Result<Router, Fault> {
        let in_order = self.accounts.iter().filter(|one| one.fallback);
        let order: Vec<ConnectorId> = in_order.map(|one| one.account.clone()).collect();
        let of = |one: &SeenAccount| {
            let named = Named { account: one.account.clone(), connector: one.connector.clone() };
            (named, Eligibility::Seen(one.ineligible))
        };
        Router::of(self.profile.clone(), self.program.clone(), self.accounts.iter().map(of).collect(), &order)
    }
}

/// The program and what was made of it.
#[derive(Debug)]
struct Active {
    id: RoutingId,
    version: u64,
    compiled: Compiled,
    /// One for each of the program's selections.
    routes: Vec<Route>,
}

/// A selection, its choices resolved. Accounts are places in the router's list.
#[derive(Debug)]
struct Route {
    /// The accounts that may take a payment, each once, in the selection's order.
    order: Vec<u32>,
    /// Of a split the sum of the shares up to and with each choice, and its account if that is in the order.
    shares: Vec<(u8, Option<u32>)>,
    /// Which accounts are in the order, bit by bit.
    members: Vec<u64>,
}

/// A profile's routing, ready to decide.
#[derive(Debug)]
pub struct Router {
    profile: ProfileId,
    active: Option<Active>,
    /// The accounts' names, which its answers share.
    named: Arc<[Named]>,
    /// What each of them takes.
    eligibility: Vec<Eligibility>,
    takers: Takers,
    fallback: Vec<u32>,
}

impl Router {
    /// A router of the profile's active program, of all its connector accounts by ascending creation, and of the order
    /// that it listed for the fallback.
    ///
    /// # Errors
    ///
    /// As [`Compiled::new`]; none for a program that was checked when it was saved.
    pub fn new(
        profile: ProfileId,
        program: Option<ProgramVersion>,
        accounts: Vec<RoutableAccount>,
        listed: &[ConnectorId],
    ) -> Result<Self, Fault> {
        let order = fallback_order(listed, &accounts);
        let of = |one: RoutableAccount| {
            let eligibility = Eligibility::of(&one);
            (Named { account: one.account, connector: one.connector }, eligibility)
        };
        Self::of(profile, program, accounts.into_iter().map(of).collect(), &order)
    }

    fn of(
        profile: ProfileId,
        program: Option<ProgramVersion>,
        accounts: Vec<(Named, Eligibility)>,
        order: &[ConnectorId],
    ) -> Result<Self, Fault> {
        let by_id: HashMap<&ConnectorId, u32> = accounts.iter().map(|(one, _)| &one.account).zip(0..).collect();
        let fallback = order.iter().filter_map(|id| by_id.get(id).copied()).collect();
        let active = match program {
            None => None,
            Some(program) => {
                let compiled = Compiled::shared(program.algorithm)?;
                let routes = compiled.selections().iter().map(|one| Route::of(one, &by_id, &accounts)).collect();
                Some(Active { id: program.id, version: program.version, compiled, routes })
            }
        };
        let (named, eligibility): (Vec<Named>, Vec<Eligibility>) = accounts.into_iter().unzip();
        let takers = Takers::of(&eligibility);
        Ok(Self { profile, active, named: named.into(), eligibility, takers, fallback })
    }

    /// The profile.
    pub fn profile(&self) -> &ProfileId {
        &self.profile
    }

    /// The active program and its version.
    pub fn program(&self) -> Option<(&RoutingId, u64)> {
        self.active.as_ref().map(|active| (&active.id, active.version))
    }

    /// The program, ready to be asked; `None` where none is active.
    pub(super) fn compiled(&self) -> Option<&Compiled> {
        self.active.as_ref().map(|active| &active.compiled)
    }

    /// Every account with what it says to this payment: those of the fallback order first, in that order.
    pub fn seen(&self, facts: &PaymentFacts) -> Vec<SeenAccount> {
        let codes = self.codes(facts);
        let seen = |fallback: bool| {
            let codes = &codes;
            move |(one, eligibility): (&Named, &Eligibility)| SeenAccount {
                account: one.account.clone(),
                connector: one.connector.clone(),
                fallback,
                ineligible: eligibility.ineligible(codes),
            }
        };
        let rest = (0_u32..).zip(self.named.iter().zip(&self.eligibility));
        let rest = rest.filter(|(place, _)| !self.fallback.contains(place)).map(|(_, account)| account);
        let first = self.fallback.iter().filter_map(|place| self.account(*place));
        first.map(seen(true)).chain(rest.map(seen(false))).collect()
    }

    /// All that a replay of the decision on this payment needs.
    pub fn record(&self, facts: &PaymentFacts) -> RouterRecord {
        let of = |active: &Active| ProgramVersion {
            id: active.id.clone(),
            version: active.version,
            algorithm: Arc::clone(active.compiled.algorithm()),
        };
        let program = self.active.as_ref().map(of);
        RouterRecord { profile: self.profile.clone(), program, accounts: self.seen(facts) }
    }

    /// About how many bytes it takes.
    pub fn weight(&self) -> usize {
        let account = |one: &Eligibility| size_of::<(Named, Eligibility)>() + 160 + one.weight();
        let accounts: usize = self.eligibility.iter().map(account).sum();
        let routes = |active: &Active| -> usize {
            let route = |one: &Route| {
                size_of::<Route>() + one.order.len() * 4 + size_of_val(&*one.shares) + one.members.len() * 8
            };
            active.compiled.weight() + active.routes.iter().map(route).sum::<usize>()
        };
        size_of::<Self>()
            + accounts
            + self.takers.weight()
            + self.fallback.len() * 4
            + self.active.as_ref().map_or(0, routes)
    }

    pub(super) fn codes(&self, facts: &PaymentFacts) -> Codes {
        match &self.active {
            Some(active) => active.compiled.codes(facts),
            None => Codes::of(facts, &super::codes::Texts::default()),
        }
    }

    fn account(&self, place: u32) -> Option<(&Named, &Eligibility)> {
        Some((self.named.get(place as usize)?, self.eligibility.get(place as usize)?))
    }

    /// The bucket of a payment, where the selection is a split.
    pub(super) fn bucket(&self, chosen: Chosen, payment: &PaymentId) -> Option<u8> {
        let active = self.active.as_ref()?;
        let route = active.routes.get(chosen.index())?;
        (!route.shares.is_empty()).then(|| bucket(&self.profile, &active.id, active.version, payment))
    }

    /// Why a choice is no candidate for the payment; `None` where it is one.
    pub(super) fn refuses(&self, choice: &ConnectorChoice, codes: &Codes) -> Option<Ineligible> {
        let Some(id) = &choice.merchant_connector_id else { return Some(Ineligible::WithoutAccount) };
        let mut accounts = self.named.iter().zip(&self.eligibility);
        let Some((account, eligibility)) = accounts.find(|(one, _)| one.account == *id) else {
            return Some(Ineligible::Missing);
        };
        if account.connector != choice.connector {
            return Some(Ineligible::WrongConnector);
        }
        eligibility.ineligible(codes)
    }

    /// The fallback order with what each account says to the payment.
    pub(super) fn fallback(&self, codes: &Codes) -> impl Iterator<Item = (ConnectorChoice, Option<Ineligible>)> {
        let of = |(one, eligibility): (&Named, &Eligibility)| {
            let choice =
                ConnectorChoice { connector: one.connector.clone(), merchant_connector_id: Some(one.account.clone()) };
            (choice, eligibility.ineligible(codes))
        };
        self.fallback.iter().filter_map(|place| self.account(*place)).map(of)
    }

    fn candidates(&self, payment: &PaymentId, facts: &PaymentFacts) -> Vec<Place> {
        let codes = self.codes(facts);
        let taking = self.takers.taking(&codes);
        let alone = |account: u32| self.eligibility.get(account as usize).is_some_and(|one| one.takes(&codes));
        let mut candidates = Vec::with_capacity(self.eligibility.len());
        let mut add = |account: u32, why: Why| {
            if taking.has(account).unwrap_or_else(|| alone(account)) {
                candidates.push(Place { account, why });
            }
        };
        let chosen = self.active.as_ref().map(|active| (active, active.compiled.choose_by(&codes)));
        let route = chosen.and_then(|(active, chosen)| Some((chosen, active.routes.get(chosen.index())?)));
        if let Some((chosen, route)) = route {
            let bucket = self.bucket(chosen, payment);
            let drawn = bucket.and_then(|bucket| route.drawn(bucket));
            let why = |drawn| self.why(chosen, drawn);
            if let Some(place) = drawn {
                add(place, why(true));
            }
            route.order.iter().filter(|place| Some(**place) != drawn).for_each(|place| add(*place, why(false)));
        }
        let has_turn = |place: &&u32| route.is_none_or(|(_, route)| !route.has(**place));
        self.fallback.iter().filter(has_turn).for_each(|place| add(*place, Why::Fallback));
        candidates
    }

    pub(super) fn why(&self, chosen: Chosen, drawn: bool) -> Why {
        let program = self.compiled().is_some_and(|compiled| matches!(**compiled.algorithm(), Algorithm::Advanced(_)));
        match chosen.rule() {
            Some(rule) => Why::Rule { rule, drawn },
            None if program => Why::DefaultSelection { drawn },
            None => Why::Algorithm { drawn },
        }
    }
}

impl Route {
    fn of(selected: &Selected, by_id: &HashMap<&ConnectorId, u32>, accounts: &[(Named, Eligibility)]) -> Self {
        let place = |choice: &ConnectorChoice| {
            let place = *by_id.get(choice.merchant_connector_id.as_ref()?)?;
            let (account, eligibility) = accounts.get(place as usize)?;
            let never = matches!(eligibility, Eligibility::Never(_) | Eligibility::Seen(Some(_)));
            (account.connector == choice.connector && !never).then_some(place)
        };
        let places: Vec<Option<u32>> = selected.choices.iter().map(place).collect();
        let mut route = Self { order: Vec::new(), shares: Vec::new(), members: vec![0; accounts.len().div_ceil(64)] };
        for place in places.iter().flatten() {
            if !route.has(*place) {
                route.order.push(*place);
                let word = route.members.iter_mut().skip(*place as usize / 64).take(1);
                word.for_each(|word| *word |= 1 << (place % 64));
            }
        }
        if let Some(shares) = &selected.shares {
            route.shares = shares.iter().copied().zip(places).collect();
        }
        route
    }

    fn has(&self, place: u32) -> bool {
        self.members.get(place as usize / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// The account whose share the bucket falls into.
    fn drawn(&self, bucket: u8) -> Option<u32> {
        self.shares.iter().find(|(upto, _)| bucket < *upto).and_then(|(_, place)| *place)
    }
}

/// What happens to a payment: declined because of what screening or the guard found, else the accounts to try in this
/// order — those that the program selects and then those of the fallback order, without any that do not take the payment.
///
/// Pure: the same router and the same inputs give the same answer, in every process and every release. It allocates
/// nothing but the answer.
pub fn decide(router: &Router, inputs: DecisionInputs<'_>) -> Answer {
    if let Some(declined) = inputs.declined() {
        return declined;
    }
    let candidates = router.candidates(inputs.payment_id, inputs.facts);
    if candidates.is_empty() {
        return Answer::Declined { reason: DeclineReason::NoEligibleConnector, entry: None };
    }
    Answer::Candidates(Candidates::new(Arc::clone(&router.named), candidates))
}
