//! What becomes of a payment that is confirmed: its attempts, and its status by them. Pure: the accounts that may be
//! tried, and the time, are given.

use serde::{Deserialize, Serialize};

use super::status::{IllegalStep, PaymentStep, step};
use super::{CaptureMethod, PaymentState};
use crate::connector::ConnectorName;
use crate::id::{ConnectorId, DecisionId, PaymentId};
use crate::routing::{AfterAttempt, Outcome, RetryPolicy, StopReason};
use crate::text::Text;
use crate::time::Timestamp;
use crate::words::words;

/// The most attempts of one payment, over all of its confirmations.
pub const MAX_ATTEMPTS: usize = 100;

words! { "snake_case"
    /// Where an attempt stands, in the contract's words.
    AttemptStatus {
        /// The account is to be tried, or is being tried.
        Started,
        /// The connector or the customer has something to do yet.
        Pending,
        /// It was approved, and the money taken.
        Charged,
        /// It was approved; the money is taken later.
        Authorized,
        /// It failed.
        Failure,
    }
}

words! { "snake_case"
    /// What a merchant's rules decided about a payment.
    MerchantDecision {
        /// It was rejected.
        Rejected,
    }
}

/// A try of a connector account, or a confirmation that tried none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attempt {
    /// The id: the payment's and the attempt's number, which counts from 1.
    pub attempt_id: String,
    /// The decision that it follows.
    pub decision_id: DecisionId,
    /// Where it stands.
    pub status: AttemptStatus,
    /// The connector; null where none was tried.
    pub connector: Option<ConnectorName>,
    /// The connector account; null where none was tried.
    pub merchant_connector_id: Option<ConnectorId>,
    /// Why it failed, for machines.
    pub error_code: Option<Text<64>>,
    /// Why it failed, for people.
    pub error_message: Option<Text<255>>,
    /// Why no other account was tried after it; null where one was, and while it is not known.
    pub stop_reason: Option<StopReason>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last said how it goes.
    pub modified_at: Timestamp,
}

impl Attempt {
    /// Whether it is not over.
    pub fn is_running(&self) -> bool {
        matches!(self.status, AttemptStatus::Started | AttemptStatus::Pending)
    }
}

/// A connector account that is tried next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) connector: ConnectorName,
    pub(crate) account: ConnectorId,
}

/// Why a confirmation tries no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
    /// Whether the merchant's own rules say so.
    pub(crate) by_rules: bool,
}

/// What stands against an outcome that is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreported {
    /// The payment has no attempt of this number.
    NoSuchAttempt,
    /// The attempt is over, and ended otherwise.
    Over,
    /// The payment is not where an attempt's outcome leads anywhere.
    Illegal(IllegalStep),
}

impl From<IllegalStep> for Unreported {
    fn from(illegal: IllegalStep) -> Self {
        Self::Illegal(illegal)
    }
}

impl PaymentState {
    /// The attempt that is not over, with its number, which counts from 1.
    pub fn running(&self) -> Option<(usize, &Attempt)> {
        let last = self.progress.attempts.last().filter(|attempt| attempt.is_running())?;
        Some((self.progress.attempts.len(), last))
    }

    /// The state after a confirmation that tries an account, or none.
    ///
    /// # Errors
    ///
    /// [`IllegalStep`] where the payment is not to be confirmed.
    pub(crate) fn confirmed(
        &self,
        id: &PaymentId,
        decision_id: &DecisionId,
        tried: Result<&Tried, Denied>,
        retries: bool,
        now: Timestamp,
    ) -> Result<Self, IllegalStep> {
        let taken = if tried.is_ok() { PaymentStep::Try } else { PaymentStep::Decline };
        let status = step(self.status, taken, retries)?;
        let mut state = self.clone();
        state.status = status;
        state.progress.merchant_decision = None;
        (state.progress.error_code, state.progress.error_message) = (None, None);
        match tried {
            Ok(tried) => state.progress.attempts.push(self.begun(id, decision_id, tried, now)),
            Err(denied) => {
                state.progress.error_code = Some(Text::known(denied.code));
                state.progress.error_message = Some(Text::known(denied.message));
                state.progress.merchant_decision = denied.by_rules.then_some(MerchantDecision::Rejected);
                state.progress.attempts.push(Attempt {
                    attempt_id: self.next_attempt(id),
                    decision_id: decision_id.clone(),
                    status: AttemptStatus::Failure,
                    connector: None,
                    merchant_connector_id: None,
                    error_code: state.progress.error_code.clone(),
                    error_message: state.progress.error_message.clone(),
                    stop_reason: None,
                    created_at: now,
                    modified_at: now,
                });
            }
        }
        Ok(state)
    }

    fn next_attempt(&self, id: &PaymentId) -> String {
        format!("{id}_{}", self.progress.attempts.len() + 1)
    }

    fn begun(&self, id: &PaymentId, decision_id: &DecisionId, tried: &Tried, now: Timestamp) -> Attempt {
        Attempt {
            attempt_id: self.next_attempt(id),
            decision_id: decision_id.clone(),
            status: AttemptStatus::Started,
            connector: Some(tried.connector.clone()),
            merchant_connector_id: Some(tried.account.clone()),
            error_code: None,
            error_message: None,
            stop_reason: None,
            created_at: now,
            modified_at: now,
        }
    }

    /// How many attempts of the same decision were made before the running one.
    fn retries(&self, decision_id: &DecisionId) -> u8 {
        let made = self.progress.attempts.iter().filter(|attempt| attempt.decision_id == *decision_id).count();
        u8::try_from(made.saturating_sub(1)).unwrap_or(u8::MAX)
    }

    /// Whether another account is to be tried if the running attempt ended so.
    pub(crate) fn goes_on(&self, outcome: &Outcome, policy: &RetryPolicy) -> bool {
        self.progress
            .attempts
            .last()
            .is_some_and(|last| policy.after(outcome, self.retries(&last.decision_id)) == AfterAttempt::Retry)
    }

    /// The state after the attempt of this number was said to go so. `next` is the account that is tried then, if another
    /// one is. An outcome that is said once more changes nothing.
    pub(crate) fn reported(
        &self,
        id: &PaymentId,
        number: usize,
        outcome: &Outcome,
        policy: &RetryPolicy,
        next: Option<&Tried>,
        now: Timestamp,
    ) -> Result<Self, Unreported> {
        let mut state = self.clone();
        let capture = self.capture_method;
        let found = number.checked_sub(1).and_then(|index| state.progress.attempts.get_mut(index));
        let attempt = found.ok_or(Unreported::NoSuchAttempt)?;
        let ended = attempt.ended(outcome, capture, now);
        if attempt.status == ended.status && attempt.error_code == ended.error_code {
            return Ok(self.clone());
        }
        if !attempt.is_running() {
            return Err(Unreported::Over);
        }
        let retries = self.retries(&attempt.decision_id);
        *attempt = ended;
        let decision_id = attempt.decision_id.clone();
        let (taken, stop) = match policy.after(outcome, retries) {
            AfterAttempt::Waiting => (PaymentStep::Continue, None),
            AfterAttempt::Succeeded if takes_at_once(capture) => (PaymentStep::Succeed, None),
            AfterAttempt::Succeeded => (PaymentStep::Authorize, None),
            AfterAttempt::Retry if next.is_some() => (PaymentStep::Continue, None),
            AfterAttempt::Retry => (PaymentStep::Fail, Some(StopReason::NoCandidateLeft)),
            AfterAttempt::Failed(reason) => (PaymentStep::Fail, Some(reason)),
        };
        attempt.stop_reason = stop;
        let (code, message) = (attempt.error_code.clone(), attempt.error_message.clone());
        state.status = step(self.status, taken, false)?;
        if taken == PaymentStep::Fail {
            (state.progress.error_code, state.progress.error_message) = (code, message);
        }
        if let Some(next) = next.filter(|_| taken == PaymentStep::Continue && *outcome != Outcome::Pending) {
            let begun = state.begun(id, &decision_id, next, now);
            state.progress.attempts.push(begun);
        }
        Ok(state)
    }

    /// The accounts that the decision's attempts have tried.
    pub(crate) fn tried<'a>(&'a self, decision_id: &'a DecisionId) -> impl Iterator<Item = &'a ConnectorId> {
        let own = self.progress.attempts.iter().filter(move |attempt| attempt.decision_id == *decision_id);
        own.filter_map(|attempt| attempt.merchant_connector_id.as_ref())
    }
}

fn takes_at_once(capture: CaptureMethod) -> bool {
    match capture {
        CaptureMethod::Automatic | CaptureMethod::SequentialAutomatic => true,
        CaptureMethod::Manual | CaptureMethod::ManualMultiple | CaptureMethod::Scheduled => false,
    }
}

impl Attempt {
    /// The attempt after this outcome.
    fn ended(&self, outcome: &Outcome, capture: CaptureMethod, now: Timestamp) -> Self {
        let status = match outcome {
            Outcome::Approved if takes_at_once(capture) => AttemptStatus::Charged,
            Outcome::Approved => AttemptStatus::Authorized,
            Outcome::Pending => AttemptStatus::Pending,
            Outcome::Declined { .. } | Outcome::TimedOut | Outcome::Errored { .. } => AttemptStatus::Failure,
        };
        let (error_code, error_message) = match outcome {
            Outcome::Approved | Outcome::Pending => (None, None),
            Outcome::Declined { code, .. } => (Some(code.clone()), Some("The payment was declined.")),
            Outcome::TimedOut => (Some(Text::known("timed_out")), Some("The payment was not answered in time.")),
            Outcome::Errored { code } => {
                let code = code.clone().unwrap_or_else(|| Text::known("errored"));
                (Some(code), Some("The payment could not be carried out."))
            }
        };
        let error_message = error_message.map(Text::known);
        Self { status, error_code, error_message, modified_at: now, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::payment::{AuthenticationType, PaymentProgress};
    use crate::webhook::IntentStatus;

    fn at(seconds: u32) -> Timestamp {
        Timestamp::UNIX_EPOCH.plus_seconds(seconds)
    }

    fn payment(capture_method: CaptureMethod) -> PaymentState {
        PaymentState {
            profile_id: "pro_1".parse().unwrap(),
            status: IntentStatus::RequiresPaymentMethod,
            amount: 4_999.try_into().unwrap(),
            currency: "USD".parse().unwrap(),
            client_secret: "AAAA".parse().unwrap(),
            expires_at: at(900),
            customer_id: None,
            capture_method,
            authentication_type: AuthenticationType::NoThreeDs,
            return_url: None,
            description: None,
            metadata: None,
            payment_link: None,
            link_use: None,
            progress: PaymentProgress::default(),
        }
    }

    fn account(number: usize) -> Tried {
        Tried { connector: "stripe".parse().unwrap(), account: format!("mca_{number}").parse().unwrap() }
    }

    fn id() -> PaymentId {
        "pay_1".parse().unwrap()
    }

    fn decision(number: u32) -> DecisionId {
        format!("dec_{number}").parse().unwrap()
    }

    fn declined(code: &str) -> Outcome {
        Outcome::Declined { code: code.parse().unwrap(), hard: false }
    }

    /// A payment that was confirmed, with so many accounts; after each outcome the next one is offered.
    fn run(capture: CaptureMethod, policy: &RetryPolicy, accounts: usize, outcomes: &[Outcome]) -> PaymentState {
        let mut state = payment(capture).confirmed(&id(), &decision(1), Ok(&account(1)), false, at(1)).unwrap();
        for outcome in outcomes {
            let Some((number, _)) = state.running() else { break };
            let next = Some(account(number + 1)).filter(|_| number < accounts);
            state = state.reported(&id(), number, outcome, policy, next.as_ref(), at(2)).unwrap();
        }
        state
    }

    #[test]
    fn failover_goes_on_until_an_account_approves() {
        use AttemptStatus::{Charged, Failure};

        let outcomes = [declined("51"), Outcome::TimedOut, Outcome::Approved];
        let state = run(CaptureMethod::Automatic, &RetryPolicy::default(), 5, &outcomes);
        assert_eq!(state.status, IntentStatus::Succeeded);
        let seen: Vec<_> = state
            .progress
            .attempts
            .iter()
            .map(|a| (a.attempt_id.as_str(), a.merchant_connector_id.as_ref().unwrap().as_str(), a.status))
            .collect();
        let expected = [("pay_1_1", "mca_1", Failure), ("pay_1_2", "mca_2", Failure), ("pay_1_3", "mca_3", Charged)];
        assert_eq!(seen, expected);
        assert_eq!((state.progress.error_code, state.progress.error_message), (None, None));
        assert!(state.progress.attempts.iter().all(|attempt| attempt.stop_reason.is_none()));
    }

    #[test]
    fn failover_ends_where_the_policy_or_the_candidates_do() {
        let soft = || vec![declined("51"); 30];
        for (policy, accounts, outcomes, attempts, reason, code) in [
            ("{}", 9, vec![declined("stolen_card")], 1, StopReason::HardDecline, "stolen_card"),
            ("{}", 9, soft(), 4, StopReason::RetriesUsedUp, "51"),
            (r#"{"max_retries": 0}"#, 9, soft(), 1, StopReason::RetriesUsedUp, "51"),
            (r#"{"max_retries": 20}"#, 3, soft(), 3, StopReason::NoCandidateLeft, "51"),
            (r#"{"decline_codes": ["91"]}"#, 9, soft(), 1, StopReason::CodeNotRetried, "51"),
            (r#"{"retry_timeouts": false}"#, 9, vec![Outcome::TimedOut], 1, StopReason::TimeoutNotRetried, "timed_out"),
            (
                r#"{"retry_errors": false}"#,
                9,
                vec![Outcome::Errored { code: None }],
                1,
                StopReason::ErrorNotRetried,
                "errored",
            ),
        ] {
            let state = run(CaptureMethod::Automatic, &policy_of(policy), accounts, &outcomes);
            assert_eq!(state.status, IntentStatus::Failed, "{policy}");
            assert_eq!(state.progress.attempts.len(), attempts, "{policy}");
            assert_eq!(state.progress.attempts.last().unwrap().stop_reason, Some(reason), "{policy}");
            assert_eq!(state.progress.error_code.as_ref().unwrap().as_str(), code, "{policy}");
        }
    }

    fn policy_of(json: &str) -> RetryPolicy {
        crate::json::from_slice(json.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_taken_later_is_authorized() {
        for (capture, status, attempt) in [
            (CaptureMethod::Automatic, IntentStatus::Succeeded, AttemptStatus::Charged),
            (CaptureMethod::SequentialAutomatic, IntentStatus::Succeeded, AttemptStatus::Charged),
            (CaptureMethod::Manual, IntentStatus::RequiresCapture, AttemptStatus::Authorized),
            (CaptureMethod::ManualMultiple, IntentStatus::RequiresCapture, AttemptStatus::Authorized),
            (CaptureMethod::Scheduled, IntentStatus::RequiresCapture, AttemptStatus::Authorized),
        ] {
            let state = run(capture, &RetryPolicy::default(), 1, &[Outcome::Pending, Outcome::Approved]);
            assert_eq!((state.status, state.progress.attempts[0].status), (status, attempt), "{capture}");
        }
    }

    #[test]
    fn an_outcome_that_is_told_twice_counts_once_and_another_one_is_refused() {
        let policy = RetryPolicy::default();
        let state = run(CaptureMethod::Automatic, &policy, 3, &[declined("51")]);
        let again = state.reported(&id(), 1, &declined("51"), &policy, Some(&account(3)), at(9)).unwrap();
        assert_eq!(again, state);
        for other in [declined("05"), Outcome::Approved, Outcome::Pending] {
            assert_eq!(state.reported(&id(), 1, &other, &policy, None, at(9)), Err(Unreported::Over));
        }
        for number in [0, 3, usize::MAX] {
            let refused = state.reported(&id(), number, &Outcome::Approved, &policy, None, at(9));
            assert_eq!(refused, Err(Unreported::NoSuchAttempt));
        }
        let waiting = state.reported(&id(), 2, &Outcome::Pending, &policy, None, at(9)).unwrap();
        assert_eq!(waiting.reported(&id(), 2, &Outcome::Pending, &policy, None, at(10)).unwrap(), waiting);
        assert_eq!((waiting.status, waiting.running().unwrap().0), (IntentStatus::Processing, 2));
    }

    #[test]
    fn a_card_that_is_blocked_fails_and_is_confirmed_again_only_where_the_profile_lets_it() {
        let denied = Denied { code: "HE-03", message: "This card is not accepted.", by_rules: true };
        let blocked =
            payment(CaptureMethod::Automatic).confirmed(&id(), &decision(1), Err(denied), false, at(1)).unwrap();
        assert_eq!(blocked.status, IntentStatus::Failed);
        assert_eq!(blocked.progress.error_code.as_ref().unwrap().as_str(), "HE-03");
        assert_eq!(blocked.progress.merchant_decision, Some(MerchantDecision::Rejected));
        let attempt = &blocked.progress.attempts[0];
        assert_eq!((attempt.status, &attempt.connector), (AttemptStatus::Failure, &None));
        let again = |retries| blocked.confirmed(&id(), &decision(2), Ok(&account(1)), retries, at(2));
        let illegal = IllegalStep { from: IntentStatus::Failed, step: PaymentStep::Try };
        assert_eq!(again(false), Err(illegal));
        let again = again(true).unwrap();
        assert_eq!((again.status, again.progress.attempts.len()), (IntentStatus::Processing, 2));
        assert_eq!((&again.progress.error_code, again.progress.merchant_decision), (&None, None));
        // The retries of a decision are its own.
        let policy = policy_of(r#"{"max_retries": 1}"#);
        let next = again.reported(&id(), 2, &declined("51"), &policy, Some(&account(2)), at(3)).unwrap();
        assert_eq!((next.status, next.progress.attempts.len()), (IntentStatus::Processing, 3));
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Approved),
            Just(Outcome::Pending),
            Just(Outcome::TimedOut),
            Just(Outcome::Errored { code: None }),
            Just(declined("51")),
            Just(declined("stolen_card")),
            Just(Outcome::Declined { code: "05".parse().unwrap(), hard: true }),
        ]
    }

    proptest! {
        #[test]
        fn accounts_are_tried_in_order_within_the_policy_and_the_amount_stays(
            outcomes in proptest::collection::vec(any_outcome(), 0..30),
            accounts in 1..8_usize,
            max_retries in 0..6_u8,
        ) {
            let policy = RetryPolicy { max_retries, ..RetryPolicy::default() };
            let state = run(CaptureMethod::Automatic, &policy, accounts, &outcomes);
            let attempts = &state.progress.attempts;
            prop_assert!(attempts.len() <= accounts.min(usize::from(max_retries) + 1));
            for (number, attempt) in (1..).zip(attempts) {
                prop_assert_eq!(attempt.merchant_connector_id.as_ref().unwrap(), &account(number).account);
                prop_assert!(number == attempts.len() || attempt.status == AttemptStatus::Failure);
            }
            let last = attempts.last().unwrap();
            match state.status {
                IntentStatus::Succeeded => prop_assert_eq!(last.status, AttemptStatus::Charged),
                IntentStatus::Processing => prop_assert!(last.is_running()),
                IntentStatus::Failed => {
                    prop_assert_eq!(last.status, AttemptStatus::Failure);
                    prop_assert!(last.stop_reason.is_some());
                    prop_assert_eq!(&state.progress.error_code, &last.error_code);
                }
                other => prop_assert!(false, "{}", other),
            }
            let before = payment(CaptureMethod::Automatic);
            prop_assert_eq!((state.amount, state.currency), (before.amount, before.currency));
            // What is over stays as it is, whatever is told of it.
            if state.running().is_none() {
                for outcome in &outcomes {
                    match state.reported(&id(), attempts.len(), outcome, &policy, Some(&account(99)), at(9)) {
                        Ok(same) => prop_assert_eq!(&same, &state),
                        Err(refused) => prop_assert_eq!(refused, Unreported::Over),
                    }
                }
            }
        }
    }
}
