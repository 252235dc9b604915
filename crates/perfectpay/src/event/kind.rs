//! What an event is of: the contract's words (§14), and which of them a payment's status is (§13.2).

use crate::webhook::IntentStatus;
use crate::words::words;

words! { "snake_case"
    /// What happened. Those that this library makes are of payments.
    #[allow(missing_docs, reason = "each is what its words say")]
    EventType {
        PaymentSucceeded,
        PaymentFailed,
        PaymentProcessing,
        PaymentCancelled,
        PaymentCancelledPostCapture,
        PaymentAuthorized,
        PaymentPartiallyAuthorized,
        PaymentCaptured,
        PaymentExpired,
        ActionRequired,
        RefundSucceeded,
        RefundFailed,
        DisputeOpened,
        DisputeExpired,
        DisputeAccepted,
        DisputeCancelled,
        DisputeChallenged,
        DisputeWon,
        DisputeLost,
        MandateActive,
        MandateRevoked,
        PayoutSuccess,
        PayoutFailed,
        PayoutInitiated,
        PayoutProcessing,
        PayoutCancelled,
        PayoutExpired,
        PayoutReversed,
        InvoicePaid,
    }
}

words! { "snake_case"
    /// What kind of object an event is of.
    #[allow(missing_docs, reason = "each is what its words say")]
    EventClass { Payments, Refunds, Disputes, Mandates, Payouts, Subscriptions, }
}

words! { "snake_case"
    /// What the object in a webhook's body is.
    #[allow(missing_docs, reason = "each is what its words say")]
    ContentType {
        PaymentDetails,
        RefundDetails,
        DisputeDetails,
        MandateDetails,
        PayoutDetails,
        SubscriptionDetails,
    }
}

impl EventType {
    /// The event of a payment that comes to this status, by the contract's table; `None` where it makes none.
    pub fn of_payment(status: IntentStatus) -> Option<Self> {
        Some(match status {
            IntentStatus::Succeeded => Self::PaymentSucceeded,
            IntentStatus::Failed => Self::PaymentFailed,
            IntentStatus::Processing | IntentStatus::PartiallyCapturedAndProcessing => Self::PaymentProcessing,
            IntentStatus::RequiresCustomerAction
            | IntentStatus::RequiresMerchantAction
            | IntentStatus::Conflicted
            | IntentStatus::Review => Self::ActionRequired,
            IntentStatus::Cancelled => Self::PaymentCancelled,
            IntentStatus::CancelledPostCapture => Self::PaymentCancelledPostCapture,
            IntentStatus::Expired => Self::PaymentExpired,
            IntentStatus::PartiallyCaptured | IntentStatus::PartiallyCapturedAndCapturable => Self::PaymentCaptured,
            IntentStatus::RequiresCapture => Self::PaymentAuthorized,
            IntentStatus::PartiallyAuthorizedAndRequiresCapture => Self::PaymentPartiallyAuthorized,
            IntentStatus::RequiresPaymentMethod | IntentStatus::RequiresConfirmation => return None,
        })
    }

    /// What kind of object it is of.
    pub fn class(self) -> EventClass {
        match self {
            Self::PaymentSucceeded
            | Self::PaymentFailed
            | Self::PaymentProcessing
            | Self::PaymentCancelled
            | Self::PaymentCancelledPostCapture
            | Self::PaymentAuthorized
            | Self::PaymentPartiallyAuthorized
            | Self::PaymentCaptured
            | Self::PaymentExpired
            | Self::ActionRequired => EventClass::Payments,
            Self::RefundSucceeded | Self::RefundFailed => EventClass::Refunds,
            Self::DisputeOpened
            | Self::DisputeExpired
            | Self::DisputeAccepted
            | Self::DisputeCancelled
            | Self::DisputeChallenged
            | Self::DisputeWon
            | Self::DisputeLost => EventClass::Disputes,
            Self::MandateActive | Self::MandateRevoked => EventClass::Mandates,
            Self::PayoutSuccess
            | Self::PayoutFailed
            | Self::PayoutInitiated
            | Self::PayoutProcessing
            | Self::PayoutCancelled
            | Self::PayoutExpired
            | Self::PayoutReversed => EventClass::Payouts,
            Self::InvoicePaid => EventClass::Subscriptions,
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;
    use crate::webhook::DeliverableStatus as _;
    use crate::words::assert_published;

    #[test]
    fn the_words_are_the_contract_s() {
        assert_published::<EventType>(
            "payment_succeeded payment_failed payment_processing payment_cancelled payment_cancelled_post_capture
             payment_authorized payment_partially_authorized payment_captured payment_expired action_required
             refund_succeeded refund_failed dispute_opened dispute_expired dispute_accepted dispute_cancelled
             dispute_challenged dispute_won dispute_lost mandate_active mandate_revoked payout_success payout_failed
             payout_initiated payout_processing payout_cancelled payout_expired payout_reversed invoice_paid",
        );
        assert_published::<EventClass>("payments refunds disputes mandates payouts subscriptions");
        assert_published::<ContentType>(
            "payment_details refund_details dispute_details mandate_details payout_details subscription_details",
        );
    }

    #[test]
    fn every_status_that_can_be_delivered_makes_an_event_of_payments_and_no_other_one_does() {
        for status in IntentStatus::VARIANTS {
            let event = EventType::of_payment(*status);
            assert_eq!(event.is_some(), status.is_deliverable(), "{status}");
            assert!(event.is_none_or(|event| event.class() == EventClass::Payments), "{status}");
        }
        let published = [
            ("succeeded", "payment_succeeded"),
            ("failed", "payment_failed"),
            ("processing", "payment_processing"),
            ("partially_captured_and_processing", "payment_processing"),
            ("requires_customer_action", "action_required"),
            ("requires_merchant_action", "action_required"),
            ("conflicted", "action_required"),
            ("review", "action_required"),
            ("cancelled", "payment_cancelled"),
            ("cancelled_post_capture", "payment_cancelled_post_capture"),
            ("expired", "payment_expired"),
            ("partially_captured", "payment_captured"),
            ("partially_captured_and_capturable", "payment_captured"),
            ("requires_capture", "payment_authorized"),
            ("partially_authorized_and_requires_capture", "payment_partially_authorized"),
        ];
        assert_eq!(published.len() + 2, IntentStatus::VARIANTS.len());
        for (status, event) in published {
            let status: IntentStatus = status.parse().unwrap();
            assert_eq!(EventType::of_payment(status).unwrap().to_string(), event);
        }
    }
}
