//! Payments and payment links.
use crate::error::EntityKind;
use crate::id::{PaymentId, PaymentLinkId, ProfileId};
use crate::store::State;
use serde::{Deserialize, Serialize};

/// What is kept of a payment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaymentState {
    /// The profile.
    pub profile_id: ProfileId,
}
impl State for PaymentState {
    const KIND: EntityKind = EntityKind::Payment;
    type Id = PaymentId;
}
/// What is kept of a payment link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaymentLinkState {
    /// The payment.
    pub payment_id: PaymentId,
}
impl State for PaymentLinkState {
    const KIND: EntityKind = EntityKind::PaymentLink;
    type Id = PaymentLinkId;
}
