//! The handles of events: the outbox that the host delivers from, and one event.

use perfectpay_macros::observed;

use super::command::{Update, UpdateOptions};
use super::merchant::{Loaded, MerchantScope};
use super::operation::Operation;
use super::root::PerfectPay;
use super::session::{Session, at_expected, settle};
use crate::error::{EntityKind, Error};
use crate::event::{DeliveryState, Event, EventState, Told, WebhookMessage, once, told};
use crate::id::{EventId, MerchantId};
use crate::merchant::MerchantState;
use crate::page::{Page, PageRequest};
use crate::payment::{Payment, PaymentState};
use crate::profile::ProfileState;
use crate::store::{ChangeSet, Collection, CommitClass, Key, MerchantPath, Query, Stored};
use crate::time::Timestamp;
use crate::webhook::UrlPolicy;

/// One event of a merchant account.
#[derive(Debug, Clone)]
pub struct EventScope {
    merchant: MerchantScope,
    id: EventId,
}

/// Adds the event of a payment's new status to the set, unless the profile's webhooks do not tell of it or told of it
/// before. `row` is the payment as the set leaves it, `answer` as it is answered then.
pub(super) async fn tell(
    session: &Session,
    set: &mut ChangeSet,
    loaded: &Loaded,
    profile: &Stored<ProfileState>,
    row: &Stored<PaymentState>,
    answer: &Payment,
) -> Result<(), Error> {
    let Some(event_type) = told(profile.state.webhook_details.as_ref(), row.state.status) else { return Ok(()) };
    let path = MerchantPath::Pinned(row.tenant);
    let key = Key::EventOnce(path, once(row.id.as_str(), event_type));
    if session.get::<EventState>(&key).await?.is_some() {
        return Ok(());
    }
    let now = set.at;
    let id = EventId::of_moment(now, &session.random());
    let told = Told {
        event_id: &id,
        event_type,
        merchant_id: &loaded.row.id,
        profile_id: &profile.id,
        payment_id: &row.id,
        object: answer,
        now,
    };
    let text = id.to_string();
    let state = told.state(&loaded.seals(session, EntityKind::Event, &text))?;
    set.create(Stored::new(row.tenant, id, now, state));
    Ok(())
}

/// Those of a page that are due. What is behind the first one that is not, is not either.
fn due(page: Page<Stored<EventState>>, now: Timestamp) -> Page<Stored<EventState>> {
    let is_due = |row: &Stored<EventState>| row.state.delivery.due_at.is_some_and(|due| due <= now);
    let all = page.items.len();
    let items: Vec<_> = page.items.into_iter().take_while(is_due).collect();
    let next = page.next.filter(|_| items.len() == all);
    Page { items, next }
}

impl PerfectPay {
    /// Lists the events of all merchant accounts whose delivery is due, the one that is due first in front: the host sends
    /// each ([`EventScope::message`]) and says what came of it ([`EventScope::acknowledge`], [`EventScope::failed`]), by
    /// which it leaves this list or comes back when the plan says. An event is in the commit that made it; one that is
    /// neither acknowledged nor failed stays due, so that it is delivered at least once.
    ///
    /// # Errors
    ///
    /// Those of the store.
    #[observed]
    pub async fn outbox(&self, page: PageRequest) -> Result<Page<Event>, Error> {
        let session = &self.session;
        let now = session.begin(Operation::ListOutbox).await?;
        let rows = session.list::<EventState>(&Query::Outbox(page)).await?;
        let rows = due(rows.unwrap_or(Page { items: Vec::new(), next: None }), now);
        let mut known: Vec<(crate::id::Incarnation, MerchantId)> = Vec::new();
        let mut items = Vec::with_capacity(rows.items.len());
        for row in rows.items {
            let merchant_id = match known.iter().find(|(tenant, _)| *tenant == row.tenant) {
                Some((_, id)) => id.clone(),
                None => {
                    let key = Key::Merchant(MerchantPath::Pinned(row.tenant));
                    // It was removed while the page was put together, and its events with it.
                    let Some(merchant) = session.get::<MerchantState>(&key).await? else { continue };
                    known.push((row.tenant, merchant.id.clone()));
                    merchant.id
                }
            };
            items.push(Event::view(row, merchant_id));
        }
        Ok(Page { items, next: rows.next })
    }
}

impl MerchantScope {
    /// Lists the account's events whose delivery is due. See [`PerfectPay::outbox`].
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    #[observed]
    pub async fn outbox(&self, page: PageRequest) -> Result<Page<Event>, Error> {
        let now = self.session.begin(Operation::ListOutbox).await?;
        let rows = self.rows(Collection::PendingEvents, page).await?;
        let merchant_id = self.merchant_id()?;
        Ok(due(rows, now).map(|row| Event::view(row, merchant_id.clone())))
    }

    /// Lists the account's events, delivered ones too, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    #[observed]
    pub async fn events(&self, page: PageRequest) -> Result<Page<Event>, Error> {
        self.session.begin(Operation::ListEvents).await?;
        let rows = self.rows(Collection::Events, page).await?;
        let merchant_id = self.merchant_id()?;
        Ok(rows.map(|row| Event::view(row, merchant_id.clone())))
    }

    /// A handle on an event, whether it exists or not.
    pub fn event(&self, id: &EventId) -> EventScope {
        EventScope { merchant: self.clone(), id: id.clone() }
    }
}

impl EventScope {
    async fn load(&self) -> Result<Stored<EventState>, Error> {
        let key = Key::Event(self.merchant.path.clone(), self.id.clone());
        self.merchant.session.require(&key, &self.id).await
    }

    /// The event.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn retrieve(&self) -> Result<Event, Error> {
        self.merchant.session.begin(Operation::RetrieveEvent).await?;
        Ok(Event::view(self.load().await?, self.merchant.merchant_id()?))
    }

    /// What a try sends, and where to: the profile's URL of this moment, which the policy must admit; the profile's headers
    /// and the signature under its response hash key of this moment; and the body as it was when the event was made. What
    /// the URL's name resolves to, the host asks [`UrlPolicy::admits`].
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Refused`] with code `event.no_url` where the profile has no URL any more;
    /// [`Error::Invalid`] with a code of [`UrlPolicy::check`]; [`Error::Corrupt`] if it does not open with the keyring at
    /// hand.
    #[observed]
    pub async fn message(&self, policy: &UrlPolicy) -> Result<WebhookMessage, Error> {
        let session = &self.merchant.session;
        session.begin(Operation::RevealWebhookMessage).await?;
        let mut row = self.load().await?;
        let key = Key::Profile(MerchantPath::Pinned(row.tenant), row.state.profile_id.clone());
        let gone = || Error::NotFound(row.entity().named());
        let profile: Option<Stored<ProfileState>> = session.get(&key).await?;
        let mut profile = profile.ok_or_else(gone)?;
        let url = profile.state.webhook_details.as_ref().and_then(|details| details.webhook_url.clone());
        let url = url.ok_or_else(|| Error::Refused {
            entity: row.entity().named(),
            code: "event.no_url",
            message: "is of a profile that has no webhook URL any more",
        })?;
        policy.check(url.as_str())?;
        let keys = session.keys_of(&mut profile).await?;
        let id = profile.id.to_string();
        let secrets = profile.state.reveal(&session.seals(&keys, profile.tenant, EntityKind::Profile, &id))?;
        let keys = session.keys_of(&mut row).await?;
        let id = row.id.to_string();
        let seals = session.seals(&keys, row.tenant, EntityKind::Event, &id);
        let body = seals.open(crate::event::PAYLOAD, &row.state.payload)?;
        Ok(WebhookMessage::new(row.id, url, &secrets, body))
    }

    /// Says that the receiver has the event: any answer of the 2xx. Once more it changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`].
    pub fn acknowledge(&self) -> Update<Event> {
        self.ended(Operation::AcknowledgeEvent)
    }

    /// Says that a try failed: the event is due again when the plan of [`Settings::webhook_retries`] says, or given up at
    /// the plan's end. Two who deliver the same event, and both fail, say so with the version that they expect, so that
    /// one try counts once.
    ///
    /// [`Settings::webhook_retries`]: crate::Settings::webhook_retries
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Stale`]; [`Error::Refused`] with code `event.not_pending` where it was delivered or
    /// given up.
    pub fn failed(&self) -> Update<Event> {
        self.ended(Operation::FailEvent)
    }

    fn ended(&self, operation: Operation) -> Update<Event> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(operation).await?;
            settle!(session, options.expected_version, {
                let row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let merchant = scope.merchant.load_for(&row).await?;
                let delivery = row.state.delivery;
                let delivery = if operation == Operation::FailEvent {
                    let failed = delivery.failed(&session.inner.webhook_retries, moment);
                    failed.ok_or_else(|| Error::Refused {
                        entity: row.entity().named(),
                        code: "event.not_pending",
                        message: if delivery.state == DeliveryState::Delivered {
                            "was delivered"
                        } else {
                            "was given up"
                        },
                    })?
                } else {
                    delivery.arrived(moment)
                };
                let id = merchant.row.id.clone();
                if delivery == row.state.delivery {
                    return Ok(Event::view(row, id));
                }
                let next = row.next(moment, EventState { delivery, ..row.state.clone() });
                let mut set = session.changes(merchant.owner(), moment, CommitClass::Operational);
                set.update(next.clone());
                session.commit(set, operation, &()).await?;
                Ok(Event::view(next, id))
            })
        })
    }
}
