//! Deciding a payment: the guard against card testing, the blocklists, the profile's rules about cards, and routing, all
//! from memory.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use perfectpay_macros::observed;
use serde::Serialize;

use super::operation::Operation;
use super::profile::ProfileScope;
use super::routers::Routed;
use super::screen::Screen;
use crate::blocklist::{BlockReason, CardFacts, CardInfo, CardNumber, ScreenedCard, Screening};
use crate::card_testing::{Attempt, GuardKeys};
use crate::connector::PaymentMethod;
use crate::error::{EntityKind, Error, Fault};
use crate::id::{CustomerId, PaymentId};
use crate::routing::{
    Answer, BlockedCard, DecisionInputs, GuardReason, PaymentFacts, RetryPolicy, Router, RoutingExplanation, decide,
    explain,
};

/// A payment that is to be decided.
///
/// No card number is in it: see [`ProfileScope::decide_card`].
#[derive(Debug, Clone)]
pub struct DecideRequest {
    /// The payment. Of a split the same payment always has the same account.
    pub payment_id: PaymentId,
    /// What routing and the accounts' eligibility know of it.
    pub facts: PaymentFacts,
    /// The card as the blocklists know it, where the host does not hand its number over.
    pub card: Option<CardFacts>,
    /// What is known of the card's BIN, for the profile's rules about cards; unless stated what the facts say.
    pub card_info: Option<CardInfo>,
    /// The customer; a guest if none.
    pub customer_id: Option<CustomerId>,
    /// Where the customer is, as the guard against card testing counts it.
    pub client_ip: Option<IpAddr>,
}

impl DecideRequest {
    /// A payment of which no more is known than these facts.
    pub fn new(payment_id: PaymentId, facts: PaymentFacts) -> Self {
        Self { payment_id, facts, card: None, card_info: None, customer_id: None, client_ip: None }
    }
}

/// What is to be done with a payment, and what that stands on.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Declined and why, or the connector accounts to try in this order, each with why.
    pub answer: Answer,
    /// What the blocklists and the profile's rules say of the card; `None` where no card is known, or the guard against
    /// card testing declined before.
    pub screened: Option<ScreenedCard>,
    /// Why the guard against card testing declines it; `None` where it passes.
    pub guard: Option<GuardReason>,
    /// What the attempt counts under if it fails: see [`ProfileScope::count_failed_attempt`].
    pub guard_keys: GuardKeys,
    /// How far the answer may be behind: nothing that was committed earlier than so long ago is missing. Zero where the
    /// store itself was asked.
    pub staleness: Duration,
    blocked: Option<BlockedCard>,
    routed: Arc<Routed>,
}

impl Decision {
    /// The program, the accounts and the fallback order that it was made with.
    pub fn router(&self) -> &Router {
        &self.routed.router
    }

    /// When an attempt that failed goes on to the next candidate.
    pub fn retry_policy(&self) -> &RetryPolicy {
        &self.routed.retry_policy
    }

    /// What the pure decision was made from, besides the router.
    pub fn inputs<'a>(&'a self, request: &'a DecideRequest) -> DecisionInputs<'a> {
        DecisionInputs {
            payment_id: &request.payment_id,
            facts: &request.facts,
            guard: self.guard,
            screening: self.blocked.as_ref(),
        }
    }
}

/// A decision with how it came about, for people and records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedDecision {
    /// The decision's answer.
    pub answer: Answer,
    /// How routing came to it: the rule that holds and every condition of those before it that does not, the accounts
    /// that were left out and why, the bucket of a split, and what came from the fallback order.
    pub routing: RoutingExplanation,
}

impl ProfileScope {
    /// Decides a payment: whether it is declined, or which connector accounts are tried for it, in which order.
    ///
    /// First the guard against card testing, then the blocklists, then the profile's rules about cards, then the active
    /// routing program, the eligibility of the accounts, and the fallback order. The answer comes from memory, as that of
    /// [`screen`](crate::BlocklistScope::screen): the first call loads what it needs, and from then on a call asks the
    /// store for nothing but what was committed meanwhile. It commits nothing. In a batch the store is asked, with what
    /// the batch staged.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile; [`Error::Invalid`] at `facts` for facts that contradict each
    /// other; [`Error::Corrupt`] if a secret does not open; those of the store.
    #[observed(in_place)]
    pub async fn decide(&self, request: &DecideRequest) -> Result<Decision, Error> {
        self.begin_deciding().await?;
        decided(self, request, None).await
    }

    /// Decides a payment by card, with its number: it is screened under the account's own fingerprints, and not kept. See
    /// [`decide`](Self::decide).
    ///
    /// # Errors
    ///
    /// As there.
    #[observed(in_place)]
    pub async fn decide_card(&self, request: &DecideRequest, card: &CardNumber) -> Result<Decision, Error> {
        self.begin_deciding().await?;
        decided(self, request, Some(card)).await
    }

    /// Decides as [`decide`](Self::decide), and says how it came about.
    ///
    /// # Errors
    ///
    /// As there.
    #[observed]
    pub async fn explain_decision(&self, request: &DecideRequest) -> Result<ExplainedDecision, Error> {
        self.merchant.session.begin(Operation::ExplainDecision).await?;
        let decision = decided(self, request, None).await?;
        let routing = explain(decision.router(), decision.inputs(request));
        Ok(ExplainedDecision { answer: decision.answer, routing })
    }

    /// Counts an attempt that failed, for the guard against card testing: under what its decision said. Nothing is
    /// committed.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile; those of the store.
    #[observed]
    pub async fn count_failed_attempt(&self, keys: &GuardKeys) -> Result<(), Error> {
        let session = &self.merchant.session;
        let now = session.begin(Operation::CountFailedAttempt).await?;
        self.load().await?;
        keys.count(&*session.inner.counters, now);
        Ok(())
    }

    /// Begins as every operation does, without its moment: a decision takes one of its own.
    async fn begin_deciding(&self) -> Result<(), Error> {
        let session = &self.merchant.session;
        if session.is_guarded() {
            return session.begin(Operation::DecidePayment).await.map(drop);
        }
        session.began(Operation::DecidePayment);
        Ok(())
    }

    /// Whether the caller's key is for the profile: memory answers for whoever asks.
    async fn reached(&self) -> Result<(), Error> {
        if !self.merchant.session.is_for(&self.id) {
            // It is absent, or else forbidden.
            self.load().await?;
        }
        Ok(())
    }
}

/// Decides a payment for an operation that has begun.
pub(super) async fn decided(
    profile: &ProfileScope,
    request: &DecideRequest,
    card: Option<&CardNumber>,
) -> Result<Decision, Error> {
    let contradiction = |fault: Fault| {
        let path = format!("facts.{}", fault.path());
        Error::Invalid(fault.at(path))
    };
    request.facts.check().map_err(contradiction)?;
    profile.reached().await?;
    if profile.merchant.session.is_batched() {
        // In a box, so that the future of the usual case is small.
        return Box::pin(asked(profile, request, card)).await;
    }
    let (session, path) = (&profile.merchant.session, &profile.merchant.path);
    let (routers, lists, follower) = (&session.inner.routers, &session.inner.lists, &session.inner.follower);
    let mut clock = follower.clock();
    if !follower.is_fresh(clock) {
        follower.freshen(session.store()).await?;
        clock = follower.clock();
    }
    let found = routers.ready(session, path, &profile.id, clock).await?;
    let found = found.ok_or_else(|| Error::not_found(EntityKind::Profile, &profile.id))?;
    let (now, staleness) = (follower.moment_at(clock), follower.age(clock));
    let screening = if is_screened(&found.routed, request, card) {
        let at_once = found.lists().ready().and_then(|ready| {
            let ready = ready.as_ref()?;
            ready.ask(clock);
            Some(screened_by(&ready.screen(session, clock), request, card))
        });
        Some(match at_once {
            Some(screening) => screening?,
            None => {
                let ready = lists.ready(session, path, Some(&profile.id), clock).await?;
                let ready = ready.ok_or_else(|| profile.merchant.absent())?;
                let screening = screened_by(&ready.screen(session, clock), request, card)?;
                found.keep(ready);
                screening
            }
        })
    } else {
        None
    };
    Ok(made(profile, request, found.routed, screening, staleness, now))
}

/// What the lists say of the card, as far as it is known.
fn screened_by(screen: &Screen<'_>, request: &DecideRequest, card: Option<&CardNumber>) -> Result<Screening, Error> {
    match (card, &request.card) {
        (Some(card), _) => screen.card(card),
        (None, Some(card)) => screen.facts(card),
        (None, None) => match known(request)? {
            Some(card) => screen.facts(&card),
            None => Ok(screen.none()),
        },
    }
}

/// Decides by what the store says: in a batch, with what it staged.
async fn asked(profile: &ProfileScope, request: &DecideRequest, card: Option<&CardNumber>) -> Result<Decision, Error> {
    let session = &profile.merchant.session;
    let now = session.now();
    let routed = Routed::load(session, &profile.merchant.path, &profile.id).await?;
    let routed = routed.ok_or_else(|| Error::not_found(EntityKind::Profile, &profile.id))?;
    let screening = if is_screened(&routed, request, card) {
        let blocklist = profile.blocklist();
        Some(match (card, &request.card) {
            (Some(card), _) => blocklist.screened_now(card, now).await?,
            (None, Some(card)) => blocklist.screened_facts_now(card, now).await?,
            (None, None) => match known(request)? {
                Some(card) => blocklist.screened_facts_now(&card, now).await?,
                None => blocklist.screened_none().await?,
            },
        })
    } else {
        None
    };
    Ok(made(profile, request, Arc::new(routed), screening, Duration::ZERO, now))
}

/// Whether the blocklists, or at least their switch, have a say in it.
fn is_screened(routed: &Routed, request: &DecideRequest, card: Option<&CardNumber>) -> bool {
    let rules = routed.blocking.as_ref();
    let known = request.facts.card.as_ref();
    card.is_some()
        || request.card.is_some()
        || match request.facts.method() {
            Some(PaymentMethod::Wallet) => rules.is_some_and(|rules| rules.wallet.is_some()),
            Some(PaymentMethod::Card) => known.is_some() || rules.is_some_and(|rules| rules.card.is_some()),
            _ => known.is_some(),
        }
}

/// The card, as far as the facts know it. The card behind a wallet is not looked up.
fn known(request: &DecideRequest) -> Result<Option<CardFacts>, Error> {
    let known = request.facts.card.as_ref().filter(|_| request.facts.method() != Some(PaymentMethod::Wallet));
    let bin = known.and_then(|card| card.bin);
    let none: [&str; 0] = [];
    Ok(bin.map(|bin| CardFacts::new(&bin.to_string(), none)).transpose()?)
}

/// The decision, once everything is known.
fn made(
    profile: &ProfileScope,
    request: &DecideRequest,
    routed: Arc<Routed>,
    screening: Option<Screening>,
    staleness: Duration,
    now: crate::time::Timestamp,
) -> Decision {
    let counters = &*profile.merchant.session.inner.counters;
    let guard_keys = routed.guard_secret.as_ref().map_or_else(GuardKeys::default, |secret| {
        let print = screening.as_ref().and_then(|screening| screening.fingerprint);
        let foreign = || request.card.as_ref().and_then(|card| card.parsed().first());
        // The same card counts as the same, whether its number or its fingerprint is known.
        let print = print.or_else(|| foreign().and_then(|known| known.ours));
        let text = || foreign().map(|known| known.text.as_bytes());
        let card = print.as_ref().map(|print| print.digest.as_slice()).or_else(text);
        let attempt = Attempt { card, customer: request.customer_id.as_ref(), address: request.client_ip };
        GuardKeys::of(&routed.guard, secret, attempt)
    });
    let guard = guard_keys.tripped(&routed.guard, counters, now);
    let screened = screening.filter(|_| guard.is_none()).map(|screening| screened(screening, &routed, request));
    let blocked = screened.as_ref().and_then(BlockedCard::of);
    let inputs =
        DecisionInputs { payment_id: &request.payment_id, facts: &request.facts, guard, screening: blocked.as_ref() };
    let answer = decide(&routed.router, inputs);
    Decision { answer, screened, guard, guard_keys, staleness, blocked, routed }
}

/// Adds what the profile's rules say.
fn screened(screening: Screening, routed: &Routed, request: &DecideRequest) -> ScreenedCard {
    let rules = routed.blocking.as_ref();
    if request.facts.method() == Some(PaymentMethod::Wallet) {
        let card_type = request.facts.card.as_ref().and_then(|card| card.card_type);
        let listed = screening.is_blocked().then_some(BlockReason::BlockedBin);
        let reason =
            listed.or_else(|| rules.filter(|_| screening.guard).and_then(|rules| rules.blocks_wallet(card_type)));
        return ScreenedCard { screening, reason };
    }
    let known = request.facts.card.as_ref();
    let source = |_: &str| {
        let told =
            known.filter(|card| card.issuing_country.is_some() || card.card_type.is_some() || card.issuer.is_some());
        request.card_info.clone().or_else(|| {
            told.map(|card| CardInfo {
                issuing_country: card.issuing_country,
                card_type: card.card_type,
                card_subtype: None,
                issuer: card.issuer.clone(),
            })
        })
    };
    ScreenedCard::new(screening, rules, "", &source)
}
