//! Where a payment may go from where it stands: the transitions as one table.
//!
//! Of the contract's statuses only those are left and reached that confirming, trying accounts, cancelling and expiring
//! need; the others belong to captures and refunds, which are not this library's.

use crate::webhook::IntentStatus;
use crate::words::words;

words! { "snake_case"
    /// What happens to a payment.
    PaymentStep {
        /// It is confirmed, and there is an account to try.
        Try,
        /// It is confirmed, and is not to be tried: the card is blocked, or no account takes it.
        Decline,
        /// An attempt goes on, or the next account is tried.
        Continue,
        /// An attempt was approved, and the money taken.
        Succeed,
        /// An attempt was approved; the money is taken later.
        Authorize,
        /// The last attempt failed.
        Fail,
        /// The merchant takes it back before anybody pays.
        Cancel,
        /// Its time is over, and nobody paid.
        Expire,
    }
}

/// A step that a payment cannot take from where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IllegalStep {
    /// Where it stands.
    pub from: IntentStatus,
    /// The step.
    pub step: PaymentStep,
}

/// Where a payment stands after a step. `retries` is whether its profile lets a payment that failed be confirmed again
/// (`is_manual_retry_enabled`).
///
/// | from | `try` | `decline` | `continue` | `succeed` | `authorize` | `fail` | `cancel` | `expire` |
/// |---|---|---|---|---|---|---|---|---|
/// | `requires_payment_method`, `requires_confirmation` | `processing` | `failed` | | | | | `cancelled` | `expired` |
/// | `processing` | | | `processing` | `succeeded` | `requires_capture` | `failed` | | |
/// | `failed`, where the profile lets it | `processing` | `failed` | | | | | | |
///
/// While an account is tried nobody but that account knows whether the customer pays, so that such a payment is neither
/// cancelled nor does it expire.
///
/// Sources: the contract's §9.9 (a blocked payment has failed, and is confirmed again only where manual retry is enabled),
/// §13.2 (cancelled and expired are statuses of their own, with events) and §21 (one after the other is tried, and the
/// payment succeeds with the first approval or fails after all).
///
/// # Errors
///
/// [`IllegalStep`] for every other pair.
pub fn step(from: IntentStatus, step: PaymentStep, retries: bool) -> Result<IntentStatus, IllegalStep> {
    use IntentStatus::{
        Cancelled, Expired, Failed, Processing, RequiresCapture, RequiresConfirmation, RequiresPaymentMethod, Succeeded,
    };
    let confirmable = match from {
        RequiresPaymentMethod | RequiresConfirmation => true,
        Failed => retries,
        _ => false,
    };
    match (step, from) {
        (PaymentStep::Try, _) if confirmable => Ok(Processing),
        (PaymentStep::Decline, _) if confirmable => Ok(Failed),
        (PaymentStep::Continue, Processing) => Ok(Processing),
        (PaymentStep::Succeed, Processing) => Ok(Succeeded),
        (PaymentStep::Authorize, Processing) => Ok(RequiresCapture),
        (PaymentStep::Fail, Processing) => Ok(Failed),
        (PaymentStep::Cancel, RequiresPaymentMethod | RequiresConfirmation) => Ok(Cancelled),
        (PaymentStep::Expire, RequiresPaymentMethod | RequiresConfirmation) => Ok(Expired),
        (step, from) => Err(IllegalStep { from, step }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strum::VariantArray as _;

    use super::*;

    /// The table once more, as text.
    const TABLE: &str = "
        requires_payment_method try processing
        requires_payment_method decline failed
        requires_payment_method cancel cancelled
        requires_payment_method expire expired
        requires_confirmation try processing
        requires_confirmation decline failed
        requires_confirmation cancel cancelled
        requires_confirmation expire expired
        processing continue processing
        processing succeed succeeded
        processing authorize requires_capture
        processing fail failed
    ";
    const WITH_RETRIES: &str = "
        failed try processing
        failed decline failed
    ";

    #[test]
    fn exactly_the_pairs_of_the_table_are_legal() {
        for retries in [false, true] {
            let mut found = Vec::new();
            for from in IntentStatus::VARIANTS {
                for taken in PaymentStep::VARIANTS {
                    match step(*from, *taken, retries) {
                        Ok(to) => found.push(format!("{from} {taken} {to}")),
                        Err(illegal) => assert_eq!(illegal, IllegalStep { from: *from, step: *taken }),
                    }
                }
            }
            let mut expected: Vec<String> = TABLE.trim().lines().map(|line| line.trim().to_owned()).collect();
            if retries {
                expected.extend(WITH_RETRIES.trim().lines().map(|line| line.trim().to_owned()));
            }
            found.sort();
            expected.sort();
            assert_eq!(found, expected);
        }
    }

    proptest! {
        /// Whatever is tried in whatever order: nothing leads out of a payment that is approved, cancelled or expired, none
        /// is approved that was not tried, and a failed one stays so where it may not be confirmed again.
        #[test]
        fn an_approved_payment_is_final_and_was_tried(
            steps in proptest::collection::vec(proptest::sample::select(PaymentStep::VARIANTS), 0..40),
            retries in any::<bool>(),
        ) {
            let mut status = IntentStatus::RequiresPaymentMethod;
            let mut seen = vec![status];
            for taken in steps {
                let before = status;
                if let Ok(next) = step(status, taken, retries) {
                    status = next;
                    seen.push(next);
                }
                let is_final = matches!(
                    before,
                    IntentStatus::Succeeded
                        | IntentStatus::RequiresCapture
                        | IntentStatus::Cancelled
                        | IntentStatus::Expired
                ) || (before == IntentStatus::Failed && !retries);
                prop_assert!(!is_final || status == before);
            }
            if matches!(status, IntentStatus::Succeeded | IntentStatus::RequiresCapture) {
                prop_assert_eq!(seen[seen.len() - 2], IntentStatus::Processing);
            }
        }
    }
}
