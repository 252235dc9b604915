//! How a payment ends that nobody pays: the merchant cancels it, or its time is over. Pure: the time is given.

use serde::{Deserialize, Serialize};

use super::PaymentState;
use super::status::{IllegalStep, PaymentStep, step};
use crate::secret::Request;
use crate::text::Text;
use crate::time::Timestamp;

/// The body that cancels a payment. Every field is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CancelPayment {
    /// Why; up to 255 characters.
    pub cancellation_reason: Option<Text<255>>,
}

impl Request for CancelPayment {}

impl PaymentState {
    /// Until when it waits for somebody to pay, that moment excluded; `None` if it does not. A store lists payments by it.
    pub fn open_until(&self) -> Option<Timestamp> {
        step(self.status, PaymentStep::Expire, false).is_ok().then_some(self.expires_at)
    }

    /// The state once the merchant cancelled it.
    pub(crate) fn cancelled(&self, reason: Option<Text<255>>) -> Result<Self, IllegalStep> {
        let mut state = Self { status: step(self.status, PaymentStep::Cancel, false)?, ..self.clone() };
        state.progress.cancellation_reason = reason;
        Ok(state)
    }

    /// The state once its time was over; `None` if it is not, or if nobody waits for it.
    pub(crate) fn expired(&self, now: Timestamp) -> Option<Self> {
        self.open_until().filter(|until| *until <= now)?;
        let status = step(self.status, PaymentStep::Expire, false).ok()?;
        Some(Self { status, ..self.clone() })
    }
}
