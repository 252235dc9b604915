//! Confirming a payment, and what comes of its attempts: decided in memory, and committed with all that it changes as one
//! set.

use std::collections::BTreeMap;

use perfectpay_macros::observed;

use super::command::{Create, CreateOptions, Update, UpdateOptions};
use super::decide::{DecideRequest, decided};
use super::merchant::{MerchantScope, claimed};
use super::operation::Operation;
use super::payment::PaymentScope;
use super::payment_step::{profile_of, refused, retries, stepped, unless_use_moved};
use super::profile::ProfileScope;
use super::session::{Session, Versioned, at_expected, canonical, settle};
use crate::blocklist::CardInfo;
use crate::connector::{ConnectorState, ConnectorStatus};
use crate::error::{EntityKind, Error};
use crate::id::DecisionId;
use crate::payment::{
    ConfirmPayment, Denied, MAX_ATTEMPTS, Payment, PaymentDecision, PaymentDecisionState, PaymentState, ProgramUsed,
    Replayed, Tried, Unreported,
};
use crate::profile::ProfileState;
use crate::routing::{
    Answer, BlockedCard, Candidate, DeclineReason, KnownCard, Outcome, PaymentFacts, ProgramVersion, RoutingMetadata,
    RoutingVersionId, RoutingVersionState,
};
use crate::store::{CommitClass, Key, MerchantPath, Stored};
use crate::text::Object;
use crate::time::Timestamp;

/// What came of a confirmation, to be written.
pub(super) struct Confirmed {
    pub(super) state: PaymentState,
    pub(super) decision: Stored<PaymentDecisionState>,
    /// Whether a webhook tells of it. Of a payment that is blocked none does, as the contract has it.
    pub(super) tells: bool,
}

/// Decides about a payment, and what becomes of it.
pub(super) async fn confirmed(
    merchant: &MerchantScope,
    profile: &Stored<ProfileState>,
    row: &Stored<PaymentState>,
    body: &ConfirmPayment,
    now: Timestamp,
) -> Result<Confirmed, Error> {
    if row.state.expires_at <= now {
        return Err(refused(row, "payment.expired", "can no longer be completed"));
    }
    if row.state.progress.attempts.len() >= MAX_ATTEMPTS {
        return Err(refused(row, "payment.too_many_attempts", "was attempted as often as is possible"));
    }
    let request = DecideRequest {
        payment_id: row.id.clone(),
        facts: facts(&row.state, body, profile)?,
        card: None,
        card_info: known(body),
        customer_id: row.state.customer_id.clone(),
        client_ip: body.ip_address()?,
    };
    let scope = ProfileScope::new(merchant.pinned(row.tenant), profile.id.clone());
    let made = decided(&scope, &request, body.card().map(|card| &card.card_number)).await?;
    let (outcome, tells) = match &made.answer {
        Answer::Candidates(candidates) => match candidates.first() {
            Some(first) => (Ok(tried(first)), true),
            None => return Err(Error::corrupt("a decision has an empty list of candidates")),
        },
        Answer::Declined { reason, .. } => {
            let denied = denied(*reason).ok_or_else(|| {
                refused(row, "payment.card_testing", "is refused: too many attempts of this card or customer failed")
            })?;
            (Err(denied), !denied.by_rules)
        }
    };
    let id = DecisionId::make("dec_", now, &merchant.session.random());
    let state = row.state.confirmed(&row.id, &id, outcome.as_ref().map_err(|denied| *denied), retries(profile), now);
    let mut state = state.map_err(|illegal| match illegal.from {
        crate::webhook::IntentStatus::Failed => {
            refused(row, "payment.retry_disabled", "failed, and its profile does not let it be confirmed again")
        }
        _ => refused(row, "payment.not_confirmable", "is not waiting to be confirmed"),
    })?;
    state.progress.payment_method = body.payment_method;
    state.progress.payment_method_type = body.payment_method_type;
    let screening = made.screened.as_ref().map(|screened| &screened.screening).filter(|screening| screening.guard);
    let print = screening.and_then(|screening| screening.fingerprint);
    state.progress.fingerprint = print.map(|print| print.to_string().parse()).transpose()?;
    let router = made.router();
    let decision = PaymentDecisionState {
        profile_id: profile.id.clone(),
        payment_id: row.id.clone(),
        guard: made.guard,
        blocked: made.screened.as_ref().and_then(BlockedCard::of),
        program: router.program().map(|(id, version)| ProgramUsed { algorithm_id: id.clone(), version }),
        accounts: router.seen(&request.facts),
        fingerprint: state.progress.fingerprint.clone(),
        retry: made.retry_policy().clone(),
        guard_keys: made.guard_keys,
        facts: request.facts,
        answer: made.answer,
    };
    Ok(Confirmed { state, decision: Stored::new(row.tenant, id, now, decision), tells })
}

fn tried(candidate: Candidate<'_>) -> Tried {
    Tried { connector: candidate.connector.clone(), account: candidate.account.clone() }
}

/// What a payment says that was declined so. `None` where the contract makes no attempt of it at all: the guard against
/// card testing answers an error, and the payment stays as it is.
fn denied(reason: DeclineReason) -> Option<Denied> {
    let blocked = |message| Some(Denied { code: "HE-03", message, by_rules: true });
    match reason {
        DeclineReason::BlockedBin => blocked("This card is not accepted."),
        DeclineReason::BlockedIssuerCountry => blocked("Cards that were issued in this country are not accepted."),
        DeclineReason::BlockedCardType | DeclineReason::BlockedCardSubtype => {
            blocked("This type of card is not accepted.")
        }
        DeclineReason::BlockedIssuer => blocked("Cards of this bank are not accepted."),
        DeclineReason::NoEligibleConnector => {
            Some(Denied { code: "IR_39", message: "No connector account takes this payment.", by_rules: false })
        }
        DeclineReason::CardTestingCardAndAddress
        | DeclineReason::CardTestingGuestCard
        | DeclineReason::CardTestingCustomer
        | DeclineReason::CardTestingGuestAddress => None,
    }
}

/// What is known of the card's BIN, where the body says so.
fn known(body: &ConfirmPayment) -> Option<CardInfo> {
    let card = body.card()?;
    let info = CardInfo {
        issuing_country: card.card_issuing_country,
        card_type: card.card_type,
        card_subtype: None,
        issuer: card.card_issuer.clone(),
    };
    (info != CardInfo::default()).then_some(info)
}

/// What a decision knows of the payment.
fn facts(payment: &PaymentState, body: &ConfirmPayment, profile: &Stored<ProfileState>) -> Result<PaymentFacts, Error> {
    let card = body.card().map(|card| {
        Ok::<_, Error>(KnownCard {
            // It is kept with the decision, which is to be decided again by what is kept.
            bin: Some(card.card_number.truncated().parse()?),
            card_network: card.card_network,
            card_type: card.card_type,
            issuing_country: card.card_issuing_country,
            issuer: card.card_issuer.clone(),
        })
    });
    Ok(PaymentFacts {
        payment_method: body.payment_method,
        payment_method_type: body.payment_method_type,
        card: card.transpose()?,
        authentication_type: Some(payment.authentication_type),
        capture_method: Some(payment.capture_method),
        setup_future_usage: body.setup_future_usage,
        payment_type: body.payment_type,
        billing_country: body.billing_country(),
        business_country: profile.state.settings.merchant_business_country,
        metadata: routing_parameters(payment.metadata.as_ref())?,
        ..PaymentFacts::of(crate::money::Money { amount: payment.amount, currency: payment.currency })
    })
}

/// The pairs under `routing_parameters` of a payment's metadata. What is no pair of texts, no rule can ask for.
fn routing_parameters(metadata: Option<&Object>) -> Result<RoutingMetadata, Error> {
    let pairs = metadata.and_then(|metadata| metadata.get("routing_parameters")).and_then(|pairs| pairs.as_object());
    let pair = |(key, value): (&String, &serde_json::Value)| Some((key.parse().ok()?, value.as_str()?.parse().ok()?));
    let pairs: BTreeMap<_, _> = pairs.into_iter().flatten().filter_map(pair).collect();
    Ok(pairs.try_into()?)
}

impl PaymentScope {
    /// Confirms the payment: it is decided, in memory, whether it is declined, or which connector accounts are tried for it
    /// in which order. The card's number and its code are used for that, and kept nowhere: the blocklists look at the number,
    /// the routing program at its [truncated](crate::CardNumber::truncated) digits, which the decision keeps. While the
    /// answer's status is `processing`, its `merchant_connector_id` is the account to try; what came of the attempt is told
    /// by [`record_attempt`](Self::record_attempt).
    ///
    /// The use of a link that the payment was made for, or that was claimed for it, stands from then on until the payment
    /// came to something, whatever its deadline: it is confirmed in the commit in which the payment succeeds, and released
    /// in the one in which it fails for good. Without its use a payment that was made for one is refused.
    ///
    /// A payment that is blocked has failed, with `HE-03`; one that no account takes has failed, with `IR_39`. A payment
    /// that failed is confirmed again only where its profile enables manual retries. The decision is kept with all that it
    /// was made from, in the same commit as the status and its event.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Refused`] with code `payment.expired`, `payment.not_confirmable`,
    /// `payment.retry_disabled`, `payment.too_many_attempts`, `payment.card_testing` or `payment.no_link_use`; nothing has
    /// changed then. In a batch [`Error::Invalid`] with code `batch.link_use` for a payment that has a use of a link.
    pub fn confirm(&self, body: ConfirmPayment) -> Create<Payment> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::ConfirmPayment).await?;
            let loaded = scope.merchant.load().await?;
            let mut claim = claimed(&loaded, Operation::ConfirmPayment, options);
            claim.path = format!("{}/{}", claim.path, scope.id);
            let request = canonical(&body)?;
            if let Some(first) = session.replay::<Versioned<Payment>>(&claim, &request).await? {
                return Ok(first.into_answer());
            }
            body.check(moment)?;
            let scope = scope.pinned(loaded.row.tenant);
            let mut first = Some(loaded);
            settle!(session, None, {
                let mut loaded = scope.merchant.again(&mut first).await?;
                let mut row = scope.load().await?;
                session.add_keys_of(&mut row, &mut loaded.keys).await?;
                let profile = profile_of(session, &row).await?;
                let confirmed = confirmed(&scope.merchant, &profile, &row, &body, moment).await?;
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Operational);
                loaded.stand(&mut set);
                let step = (&row, confirmed.state);
                let answer = stepped(session, &mut set, &loaded, &profile, step, confirmed.tells).await?;
                set.create(confirmed.decision);
                let done = session.commit_claimed(set, &claim, &request, Versioned::of(answer)).await;
                done.map(Versioned::into_answer).map_err(|error| unless_use_moved(loaded.unless_moved(error), &row))
            })
        })
    }

    /// Says how an attempt of the payment goes. `attempt` is its number, [`Payment::attempt_count`] as the answer had it
    /// that named the account: an outcome that is told once more changes nothing. After one that failed the next account of
    /// the decision is tried, if the program's retry policy lets it and there is one that is still there and enabled; the
    /// answer names it. Otherwise the payment has failed. It succeeds with the first approval.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Stale`]; [`Error::Refused`] with code `payment.no_attempt` where there is none of this
    /// number, and `payment.attempt_over` where it ended otherwise; nothing has changed then.
    pub fn record_attempt(&self, attempt: u32, outcome: Outcome) -> Update<Payment> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::RecordAttempt).await?;
            let number = usize::try_from(attempt).unwrap_or(usize::MAX);
            settle!(session, options.expected_version, {
                let mut row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let mut loaded = scope.merchant.load_for(&row).await?;
                session.add_keys_of(&mut row, &mut loaded.keys).await?;
                let decision = decision_of(session, &row, number).await?;
                let next = match row.state.running() {
                    Some((running, _)) if running == number && row.state.goes_on(&outcome, &decision.state.retry) => {
                        following(session, &row, &decision).await?
                    }
                    _ => None,
                };
                let state = row.state.reported(&row.id, number, &outcome, &decision.state.retry, next.as_ref(), moment);
                let state = state.map_err(|unreported| match unreported {
                    Unreported::NoSuchAttempt => no_attempt(&row),
                    Unreported::Over | Unreported::Illegal(_) => {
                        refused(&row, "payment.attempt_over", "has ended this attempt otherwise")
                    }
                })?;
                let id = row.id.to_string();
                if state == row.state {
                    let seals = loaded.seals(session, EntityKind::Payment, &id);
                    return Payment::view(row, loaded.row.id.clone(), &seals);
                }
                let failed = matches!(outcome, Outcome::Declined { .. } | Outcome::TimedOut | Outcome::Errored { .. });
                let profile = profile_of(session, &row).await?;
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Operational);
                loaded.stand(&mut set);
                let answer = stepped(session, &mut set, &loaded, &profile, (&row, state), true).await?;
                let told = ToldOutcome { attempt, outcome: outcome.clone() };
                let done = session.commit(set, Operation::RecordAttempt, &told).await;
                done.map_err(|error| unless_use_moved(loaded.unless_moved(error), &row))?;
                if failed {
                    decision.state.guard_keys.count(&*session.inner.counters, moment);
                }
                Ok(answer)
            })
        })
    }

    /// A decision about the payment, with all that it was made from.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also for a decision about another payment.
    #[observed]
    pub async fn decision(&self, id: &DecisionId) -> Result<PaymentDecision, Error> {
        self.merchant.session.begin(Operation::RetrieveDecision).await?;
        Ok(PaymentDecision::view(self.decision_row(id).await?, self.merchant.merchant_id()?))
    }

    /// Makes a decision about the payment again from what is kept of it, and answers both: the same, unless what is kept was
    /// changed.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the decision, and for the program's version.
    #[observed]
    pub async fn replay_decision(&self, id: &DecisionId) -> Result<Replayed, Error> {
        let session = &self.merchant.session;
        session.begin(Operation::ReplayDecision).await?;
        let row = self.decision_row(id).await?;
        let program = match &row.state.program {
            None => None,
            Some(used) => Some(program(session, &row, used).await?),
        };
        let again = row.state.replay(program)?;
        Ok(Replayed { then: row.state.answer, again })
    }

    async fn decision_row(&self, id: &DecisionId) -> Result<Stored<PaymentDecisionState>, Error> {
        let key = Key::PaymentDecision(self.merchant.path.clone(), id.clone());
        let row: Option<Stored<PaymentDecisionState>> = self.merchant.session.get(&key).await?;
        let own = |row: &Stored<PaymentDecisionState>| {
            row.state.payment_id == self.id
                && self.profile.as_ref().is_none_or(|profile| row.state.profile_id == *profile)
        };
        row.filter(own).ok_or_else(|| Error::not_found(EntityKind::PaymentDecision, id))
    }
}

/// The version of a program that a decision used. It never changes, and is never removed once it was active.
async fn program(
    session: &Session,
    row: &Stored<PaymentDecisionState>,
    used: &ProgramUsed,
) -> Result<ProgramVersion, Error> {
    let number = u32::try_from(used.version).map_err(|_| Error::corrupt("the version of a program"))?;
    let id = RoutingVersionId { program: used.algorithm_id.clone(), number };
    let key = Key::RoutingVersion(MerchantPath::Pinned(row.tenant), id.clone());
    let found: Stored<RoutingVersionState> = session.require(&key, &id).await?;
    Ok(ProgramVersion { id: id.program, version: used.version, algorithm: found.state.algorithm.into() })
}

/// What an outcome that is told is bound to in a batch.
#[derive(serde::Serialize)]
struct ToldOutcome {
    attempt: u32,
    outcome: Outcome,
}

impl crate::secret::Request for ToldOutcome {}

fn no_attempt(row: &Stored<PaymentState>) -> Error {
    refused(row, "payment.no_attempt", "has no attempt of this number")
}

/// The decision that an attempt follows.
async fn decision_of(
    session: &Session,
    row: &Stored<PaymentState>,
    number: usize,
) -> Result<Stored<PaymentDecisionState>, Error> {
    let found = number.checked_sub(1).and_then(|index| row.state.progress.attempts.get(index));
    let id = &found.ok_or_else(|| no_attempt(row))?.decision_id;
    session.require(&Key::PaymentDecision(MerchantPath::Pinned(row.tenant), id.clone()), id).await
}

/// The next account of a decision that was not tried, is there and is enabled.
async fn following(
    session: &Session,
    row: &Stored<PaymentState>,
    decision: &Stored<PaymentDecisionState>,
) -> Result<Option<Tried>, Error> {
    if row.state.progress.attempts.len() >= MAX_ATTEMPTS {
        return Ok(None);
    }
    for candidate in decision.state.candidates() {
        if row.state.tried(&decision.id).any(|account| *account == *candidate.account) {
            continue;
        }
        let key = Key::Connector(MerchantPath::Pinned(row.tenant), candidate.account.clone());
        let account: Option<Stored<ConnectorState>> = session.get(&key).await?;
        let open = |state: &ConnectorState| {
            !state.disabled && state.status == ConnectorStatus::Active && state.profile_id == row.state.profile_id
        };
        if account.is_some_and(|account| open(&account.state)) {
            return Ok(Some(tried(candidate)));
        }
    }
    Ok(None)
}
