//! What follows an attempt: the next account, or the end.

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Fault;
use crate::json;
use crate::list::UniqueList;
use crate::text::Text;
use crate::words::words;

/// Why an attempt was declined, in the words of whoever declined it: 1 to 64 characters, compared exactly.
pub type DeclineCode = Text<64>;

/// The most retries that a policy allows.
pub const MAX_RETRIES: u8 = 20;

/// Codes that no policy retries: the card's issuer will not approve it, by whichever account it is asked again. The first
/// twelve are ISO 8583 response codes of Visa's category 1 ("issuer will never approve"), the others the words that
/// processors use for the same.
pub const HARD_DECLINES: [&str; 23] = [
    "04",
    "07",
    "12",
    "14",
    "15",
    "41",
    "43",
    "46",
    "57",
    "R0",
    "R1",
    "R3",
    "fraudulent",
    "incorrect_number",
    "invalid_account",
    "invalid_number",
    "lost_card",
    "pickup_card",
    "restricted_card",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "stolen_card",
    "stop_payment_order",
];

/// When a payment whose attempt failed goes on to the next candidate. Part of a program's version.
///
/// Unless stated: at most 3 retries, after every decline that is not a hard one, after a time-out and after an error.
///
/// ```
/// use perfectpay::{AfterAttempt, Outcome, RetryPolicy, StopReason};
///
/// let policy = RetryPolicy::default();
/// let declined = |code: &str| Outcome::Declined { code: code.parse().unwrap(), hard: false };
/// assert_eq!(policy.after(&declined("51"), 0), AfterAttempt::Retry);
/// assert_eq!(policy.after(&declined("stolen_card"), 0), AfterAttempt::Failed(StopReason::HardDecline));
/// assert_eq!(policy.after(&declined("51"), 3), AfterAttempt::Failed(StopReason::RetriesUsedUp));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// The decline codes that retry, at most 256; every code that is not a hard decline, if null.
    pub decline_codes: Option<UniqueList<DeclineCode, 256>>,
    /// Codes that never retry, besides [`HARD_DECLINES`]; at most 256.
    pub hard_declines: UniqueList<DeclineCode, 256>,
    /// How many attempts may follow the first: 0 to [`MAX_RETRIES`].
    pub max_retries: u8,
    /// Whether a time-out retries.
    pub retry_timeouts: bool,
    /// Whether an error of the connector retries.
    pub retry_errors: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            decline_codes: None,
            hard_declines: UniqueList::default(),
            max_retries: 3,
            retry_timeouts: true,
            retry_errors: true,
        }
    }
}

/// How an attempt ended. In JSON `{"result": …}`, with `code` where it was declined or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// It was approved.
    Approved,
    /// It goes on: the customer or the connector has something to do yet.
    Pending,
    /// It was declined.
    Declined {
        /// Why.
        code: DeclineCode,
        /// Whether the processor says that it must not be tried again, whatever the code.
        hard: bool,
    },
    /// There was no answer in time.
    TimedOut,
    /// The connector failed.
    Errored {
        /// How, if it said so.
        code: Option<DeclineCode>,
    },
}

impl<'de> Deserialize<'de> for Outcome {
    /// Reads an outcome; `hard` is false unless stated.
    ///
    /// # Errors
    ///
    /// `json.missing_field` at the `code` of a decline, `attempt.needless` at a member that the result does not have.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Kind {
            Approved,
            Pending,
            Declined,
            TimedOut,
            Errored,
        }

        // A tagged enum would be buffered by serde, and the buffer would lose the path of what is wrong in it.
        #[derive(Deserialize)]
        #[serde(expecting = "an object with a `result`", deny_unknown_fields)]
        struct Members {
            result: Kind,
            code: Option<DeclineCode>,
            hard: Option<bool>,
        }

        let Members { result, code, hard } = Members::deserialize(deserializer)?;
        let needless = |member| json::refuse(&Fault::new("attempt.needless", "must be absent here").at(member));
        if hard.is_some() && !matches!(result, Kind::Declined) {
            return Err(needless("hard"));
        }
        if code.is_some() && !matches!(result, Kind::Declined | Kind::Errored) {
            return Err(needless("code"));
        }
        Ok(match result {
            Kind::Approved => Self::Approved,
            Kind::Pending => Self::Pending,
            Kind::Declined => {
                let missing = || json::refuse(&Fault::new("json.missing_field", "is required").at("code"));
                Self::Declined { code: code.ok_or_else(missing)?, hard: hard.unwrap_or(false) }
            }
            Kind::TimedOut => Self::TimedOut,
            Kind::Errored => Self::Errored { code },
        })
    }
}

words! { "snake_case"
    /// Why no other candidate is tried.
    StopReason {
        /// The decline is one that never retries.
        HardDecline,
        /// The policy does not retry this decline.
        CodeNotRetried,
        /// The policy does not retry time-outs.
        TimeoutNotRetried,
        /// The policy does not retry errors.
        ErrorNotRetried,
        /// As many attempts were made as the policy allows.
        RetriesUsedUp,
        /// There is no other candidate.
        NoCandidateLeft,
    }
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterAttempt {
    /// The payment succeeds.
    Succeeded,
    /// The attempt is not over.
    Waiting,
    /// The next candidate is tried, if there is one.
    Retry,
    /// The payment fails.
    Failed(StopReason),
}

impl RetryPolicy {
    /// What follows an attempt that ended so, `retries` attempts after the first one. Of several reasons to stop the
    /// first in the order of [`StopReason`].
    pub fn after(&self, outcome: &Outcome, retries: u8) -> AfterAttempt {
        let stop = match outcome {
            Outcome::Approved => return AfterAttempt::Succeeded,
            Outcome::Pending => return AfterAttempt::Waiting,
            Outcome::Declined { code, hard } if *hard || self.is_hard(code) => Some(StopReason::HardDecline),
            Outcome::Declined { code, .. } => {
                let listed = self.decline_codes.as_ref().is_none_or(|codes| codes.contains(code));
                (!listed).then_some(StopReason::CodeNotRetried)
            }
            Outcome::TimedOut => (!self.retry_timeouts).then_some(StopReason::TimeoutNotRetried),
            Outcome::Errored { .. } => (!self.retry_errors).then_some(StopReason::ErrorNotRetried),
        };
        match stop {
            Some(reason) => AfterAttempt::Failed(reason),
            None if retries >= self.max_retries => AfterAttempt::Failed(StopReason::RetriesUsedUp),
            None => AfterAttempt::Retry,
        }
    }

    /// Checks what the fields say together.
    ///
    /// # Errors
    ///
    /// `retry.too_many` at `max_retries`; `retry.hard_decline` at the first code that is to retry and never does.
    pub fn check(&self) -> Result<(), Fault> {
        if self.max_retries > MAX_RETRIES {
            return Err(Fault::new("retry.too_many", "must be at most 20").at("max_retries"));
        }
        let codes = self.decline_codes.as_deref().unwrap_or_default();
        match codes.iter().position(|code| self.is_hard(code)) {
            Some(at) => {
                let fault = Fault::new("retry.hard_decline", "is a code that never retries");
                Err(fault.at(format!("decline_codes[{at}]")))
            }
            None => Ok(()),
        }
    }

    fn is_hard(&self, code: &DeclineCode) -> bool {
        HARD_DECLINES.contains(&code.as_str()) || self.hard_declines.contains(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(json: &str) -> RetryPolicy {
        json::from_slice(json.as_bytes()).unwrap()
    }

    fn outcome(json: &str) -> Outcome {
        json::from_slice(json.as_bytes()).unwrap()
    }

    fn declined(code: &str) -> Outcome {
        Outcome::Declined { code: code.parse().unwrap(), hard: false }
    }

    #[test]
    fn an_empty_policy_is_the_default_one() {
        assert_eq!(policy("{}"), RetryPolicy::default());
        assert_eq!(RetryPolicy::default().check(), Ok(()));
    }

    #[test]
    fn a_hard_decline_never_retries_whatever_the_policy_lists() {
        let lists = policy(r#"{"hard_declines": ["do_not_honor"]}"#);
        let hard = Outcome::Declined { code: "51".parse().unwrap(), hard: true };
        let never = AfterAttempt::Failed(StopReason::HardDecline);
        assert_eq!(lists.after(&hard, 0), never);
        assert_eq!(lists.after(&declined("do_not_honor"), 0), never);
        for code in HARD_DECLINES {
            assert_eq!(RetryPolicy::default().after(&declined(code), 0), never, "{code}");
            let fault = policy(&format!(r#"{{"decline_codes": ["51", "{code}"]}}"#)).check().unwrap_err();
            assert_eq!((fault.path(), fault.code()), ("decline_codes[1]", "retry.hard_decline"));
        }
    }

    #[test]
    fn only_listed_codes_retry_where_codes_are_listed() {
        let listed = policy(r#"{"decline_codes": ["51", "91"], "max_retries": 1}"#);
        assert_eq!(listed.after(&declined("91"), 0), AfterAttempt::Retry);
        assert_eq!(listed.after(&declined("91"), 1), AfterAttempt::Failed(StopReason::RetriesUsedUp));
        assert_eq!(listed.after(&declined("05"), 0), AfterAttempt::Failed(StopReason::CodeNotRetried));
        let none = policy(r#"{"decline_codes": []}"#);
        assert_eq!(none.after(&declined("51"), 0), AfterAttempt::Failed(StopReason::CodeNotRetried));
    }

    #[test]
    fn time_outs_and_errors_have_switches_of_their_own() {
        let never = policy(r#"{"retry_timeouts": false, "retry_errors": false}"#);
        let errored = Outcome::Errored { code: None };
        assert_eq!(never.after(&Outcome::TimedOut, 0), AfterAttempt::Failed(StopReason::TimeoutNotRetried));
        assert_eq!(never.after(&errored, 0), AfterAttempt::Failed(StopReason::ErrorNotRetried));
        assert_eq!(RetryPolicy::default().after(&Outcome::TimedOut, 2), AfterAttempt::Retry);
        assert_eq!(RetryPolicy::default().after(&errored, 2), AfterAttempt::Retry);
        assert_eq!(never.after(&Outcome::Approved, 9), AfterAttempt::Succeeded);
        assert_eq!(never.after(&Outcome::Pending, 9), AfterAttempt::Waiting);
    }

    #[test]
    fn an_outcome_reads_back_and_has_only_the_members_of_its_result() {
        for one in [
            Outcome::Approved,
            Outcome::Pending,
            declined("51"),
            Outcome::TimedOut,
            Outcome::Errored { code: None },
            Outcome::Errored { code: Some("503".parse().unwrap()) },
        ] {
            assert_eq!(outcome(&serde_json::to_string(&one).unwrap()), one);
        }
        assert_eq!(outcome(r#"{"result": "declined", "code": "51"}"#), declined("51"));
        for (body, path, code) in [
            (r#"{"result": "declined"}"#, "code", "json.missing_field"),
            (r#"{"result": "approved", "code": "51"}"#, "code", "attempt.needless"),
            (r#"{"result": "errored", "hard": true}"#, "hard", "attempt.needless"),
            (r#"{"result": "declined", "code": ""}"#, "code", "text.empty"),
            (r#"{"result": "maybe"}"#, "result", "json.unknown_variant"),
        ] {
            match json::from_slice::<Outcome>(body.as_bytes()) {
                Err(crate::Error::Invalid(fault)) => assert_eq!((fault.path(), fault.code()), (path, code), "{body}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn both_ends_of_the_number_of_retries() {
        assert_eq!(policy(r#"{"max_retries": 20}"#).check(), Ok(()));
        assert_eq!(policy(r#"{"max_retries": 21}"#).check().unwrap_err().code(), "retry.too_many");
        assert_eq!(
            policy(r#"{"max_retries": 0}"#).after(&Outcome::TimedOut, 0),
            AfterAttempt::Failed(StopReason::RetriesUsedUp)
        );
    }
}
