//! Events: what happened to a payment, written out for a webhook in the commit in which it happened, and waiting to be
//! delivered by the host.
//!
//! A payment that comes to a status makes the event of the contract's table ([`EventType::of_payment`]), if the profile's
//! webhook details name a URL and let the status pass, and once for each payment and type. Its body, the published
//! envelope around the payment as it was answered then, is sealed: every try delivers the same bytes. How often it was
//! tried, and when it is due again, is the event's [`Delivery`]; the [`RetryPlan`] says when, and sending is the host's.

mod kind;
mod message;
mod retry;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub use self::kind::{ContentType, EventClass, EventType};
pub use self::message::WebhookMessage;
pub use self::retry::{RetryPlan, RetryStep};
use crate::error::{EntityKind, Error};
use crate::id::{EventId, MerchantId, PaymentId, ProfileId};
use crate::seal::{Sealed, Seals};
use crate::stored::{State, Stored};
use crate::time::Timestamp;
use crate::webhook::{IntentStatus, WebhookSettings};
use crate::words::words;

words! { "snake_case"
    /// Where the delivery of an event stands.
    DeliveryState {
        /// It is due, now or later.
        Pending,
        /// The receiver has it.
        Delivered,
        /// The plan is at its end.
        GivenUp,
    }
}

/// How the delivery of an event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delivery {
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is due; null unless it is pending.
    pub due_at: Option<Timestamp>,
    /// When it was last said to have arrived or failed.
    pub last_attempt_at: Option<Timestamp>,
}

impl Delivery {
    /// One that nobody has tried, and that is due at once.
    pub fn begun(now: Timestamp) -> Self {
        Self { state: DeliveryState::Pending, attempts: 0, due_at: Some(now), last_attempt_at: None }
    }

    /// After a try that arrived, also one that came after the plan's end. One that had arrived stays as it is.
    pub fn arrived(self, now: Timestamp) -> Self {
        if self.state == DeliveryState::Delivered {
            return self;
        }
        let attempts = self.attempts.saturating_add(1);
        Self { state: DeliveryState::Delivered, attempts, due_at: None, last_attempt_at: Some(now) }
    }

    /// After a try that failed: due again by the plan, or given up at its end. `None` unless it was pending.
    pub fn failed(self, plan: &RetryPlan, now: Timestamp) -> Option<Self> {
        if self.state != DeliveryState::Pending {
            return None;
        }
        // The first try is no retry.
        let due_at = plan.delay(self.attempts).map(|seconds| now.plus_seconds(seconds));
        let state = if due_at.is_some() { DeliveryState::Pending } else { DeliveryState::GivenUp };
        Some(Self { state, attempts: self.attempts.saturating_add(1), due_at, last_attempt_at: Some(now) })
    }
}

/// What is kept of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventState {
    /// The payment's profile, whose webhook details it is delivered by.
    pub profile_id: ProfileId,
    /// The payment.
    pub payment_id: PaymentId,
    /// What happened.
    pub event_type: EventType,
    /// What only one event of the account may have: the digest of [`once`].
    pub once: String,
    /// The body, which holds the payment's client secret.
    pub payload: Sealed,
    /// How its delivery goes.
    pub delivery: Delivery,
}

impl State for EventState {
    const KIND: EntityKind = EntityKind::Event;
    type Id = EventId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self { profile_id: _, payment_id: _, event_type: _, once: _, payload, delivery: _ } = self;
        vec![(PAYLOAD, payload)]
    }
}

impl EventState {
    /// When it is due, or this where it is not.
    pub(crate) fn due_or(&self, otherwise: Timestamp) -> Timestamp {
        self.delivery.due_at.unwrap_or(otherwise)
    }
}

pub(crate) const PAYLOAD: &str = "payload";

/// By what an event is the same: base64url of SHA-256 of `{object id}_{event type}`, as the contract has it. An object
/// tells of one type once.
pub fn once(object_id: &str, event_type: EventType) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(format!("{object_id}_{event_type}").as_bytes()))
}

/// The event of a payment that comes to this status, unless the profile's webhooks do not tell of it: without a URL they
/// tell of nothing.
pub fn told(details: Option<&WebhookSettings>, status: IntentStatus) -> Option<EventType> {
    let details = details.filter(|details| details.webhook_url.is_some())?;
    let passes = details.payment_statuses_enabled.as_ref().is_none_or(|filter| filter.passes(status));
    EventType::of_payment(status).filter(|_| passes)
}

/// The published envelope, in the order of the contract.
#[derive(Serialize)]
struct Envelope<'a, T> {
    merchant_id: &'a MerchantId,
    event_id: &'a EventId,
    event_type: EventType,
    content: Content<'a, T>,
    timestamp: Timestamp,
    processor_merchant_id: &'a MerchantId,
}

#[derive(Serialize)]
struct Content<'a, T> {
    r#type: ContentType,
    object: &'a T,
}

/// What an event is of.
pub(crate) struct Told<'a, T> {
    pub(crate) event_id: &'a EventId,
    pub(crate) event_type: EventType,
    pub(crate) merchant_id: &'a MerchantId,
    pub(crate) profile_id: &'a ProfileId,
    pub(crate) payment_id: &'a PaymentId,
    /// The payment as it is answered.
    pub(crate) object: &'a T,
    pub(crate) now: Timestamp,
}

impl<T: Serialize> Told<'_, T> {
    fn body(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let envelope = Envelope {
            merchant_id: self.merchant_id,
            event_id: self.event_id,
            event_type: self.event_type,
            content: Content { r#type: ContentType::PaymentDetails, object: self.object },
            timestamp: self.now,
            processor_merchant_id: self.merchant_id,
        };
        serde_json::to_vec(&envelope)
            .map(Zeroizing::new)
            .map_err(|e| Error::Corrupt { what: "an event is not JSON".into(), source: Some(e.into()) })
    }

    /// The new event; `seals` are its own.
    pub(crate) fn state(&self, seals: &Seals<'_>) -> Result<EventState, Error> {
        Ok(EventState {
            profile_id: self.profile_id.clone(),
            payment_id: self.payment_id.clone(),
            event_type: self.event_type,
            once: once(self.payment_id.as_str(), self.event_type),
            payload: seals.seal(PAYLOAD, &self.body()?)?,
            delivery: Delivery::begun(self.now),
        })
    }
}

/// An event as it is answered: everything but its body, which [`EventScope::message`](crate::EventScope::message) has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// The id, the same at every try.
    pub event_id: EventId,
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// The profile whose webhook details it is delivered by.
    pub profile_id: ProfileId,
    /// What kind of object it is of.
    pub event_class: EventClass,
    /// What happened.
    pub event_type: EventType,
    /// The payment.
    pub object_id: PaymentId,
    /// When it happened.
    pub created: Timestamp,
    /// How its delivery goes.
    pub delivery: Delivery,
    /// The version, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

impl Event {
    pub(crate) fn view(row: Stored<EventState>, merchant_id: MerchantId) -> Self {
        let state = row.state;
        Self {
            event_id: row.id,
            merchant_id,
            profile_id: state.profile_id,
            event_class: state.event_type.class(),
            event_type: state.event_type,
            object_id: state.payment_id,
            created: row.created_at,
            delivery: state.delivery,
            version: row.version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::WebhookDetails;

    fn details(json: &str) -> WebhookSettings {
        crate::json::from_slice::<WebhookDetails>(json.as_bytes()).unwrap().into_parts().0
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000).unwrap()
    }

    #[test]
    fn an_event_is_the_same_by_its_object_and_its_type() {
        // Known answer, computed with another program.
        assert_eq!(once("pay_1", EventType::PaymentSucceeded), "NF57ZDQCjtb8B2sdd_YfZr3cxCTvfsplc1wAKFLupiA");
        assert_ne!(once("pay_1", EventType::PaymentFailed), once("pay_2", EventType::PaymentFailed));
    }

    #[test]
    fn webhooks_tell_of_what_their_details_let_pass_and_of_nothing_without_a_url() {
        let (succeeded, failed) = (IntentStatus::Succeeded, IntentStatus::Failed);
        let all = details(r#"{"webhook_url": "https://a.example/"}"#);
        assert_eq!(told(Some(&all), succeeded), Some(EventType::PaymentSucceeded));
        assert_eq!(told(Some(&all), IntentStatus::RequiresConfirmation), None);
        let empty = details(r#"{"webhook_url": "https://a.example/", "payment_statuses_enabled": []}"#);
        assert_eq!(told(Some(&empty), failed), Some(EventType::PaymentFailed));
        let some = details(r#"{"webhook_url": "https://a.example/", "payment_statuses_enabled": ["failed"]}"#);
        assert_eq!(told(Some(&some), failed), Some(EventType::PaymentFailed));
        assert_eq!(told(Some(&some), succeeded), None);
        // These three are kept and not acted on.
        let kept = details(r#"{"webhook_url": "https://a.example/", "payment_failed_enabled": false}"#);
        assert_eq!(told(Some(&kept), failed), Some(EventType::PaymentFailed));
        assert_eq!(told(Some(&details(r#"{"payment_statuses_enabled": ["failed"]}"#)), failed), None);
        assert_eq!(told(None, failed), None);
    }

    #[test]
    fn a_delivery_that_fails_is_due_by_the_plan_and_given_up_at_its_end() {
        let plan = RetryPlan::published();
        let mut delivery = Delivery::begun(at(0));
        let mut now = 0;
        let mut waits = Vec::new();
        while let Some(due) = delivery.due_at {
            waits.push(due.unix_millis() / 1_000 - now);
            now = due.unix_millis() / 1_000;
            delivery = delivery.failed(&plan, at(now)).unwrap();
        }
        let minutes = [1, 5, 5, 10, 10, 10, 10, 10, 60, 60, 60, 60, 60, 360, 360, 360];
        assert_eq!(waits[0], 0);
        assert_eq!(waits[1..], minutes.map(|minutes| minutes * 60));
        let given_up =
            Delivery { state: DeliveryState::GivenUp, attempts: 17, due_at: None, last_attempt_at: Some(at(now)) };
        assert_eq!(delivery, given_up);
        assert_eq!(delivery.failed(&plan, at(now + 1)), None);
    }

    #[test]
    fn a_delivery_that_arrived_stays_so() {
        let arrived = Delivery::begun(at(0)).arrived(at(5));
        let expected =
            Delivery { state: DeliveryState::Delivered, attempts: 1, due_at: None, last_attempt_at: Some(at(5)) };
        assert_eq!(arrived, expected);
        assert_eq!(arrived.arrived(at(9)), arrived);
        assert_eq!(arrived.failed(&RetryPlan::published(), at(9)), None);
        // Somebody may have delivered it by hand after all.
        let given_up = Delivery::begun(at(0)).failed(&RetryPlan::new([]), at(1)).unwrap();
        assert_eq!(given_up.state, DeliveryState::GivenUp);
        assert_eq!(given_up.arrived(at(2)).state, DeliveryState::Delivered);
    }
}
