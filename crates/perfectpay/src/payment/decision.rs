//! What was decided about a payment.

use serde::{Deserialize, Serialize};

use crate::error::EntityKind;
use crate::id::{DecisionId, PaymentId, ProfileId};
use crate::seal::Sealed;
use crate::stored::State;

/// What is kept of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDecisionState {
    /// The payment's profile.
    pub profile_id: ProfileId,
    /// The payment.
    pub payment_id: PaymentId,
}

impl State for PaymentDecisionState {
    const KIND: EntityKind = EntityKind::PaymentDecision;
    type Id = DecisionId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self { profile_id: _, payment_id: _ } = self;
        Vec::new()
    }
}
