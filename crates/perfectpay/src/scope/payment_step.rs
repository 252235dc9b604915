//! A payment's next state as it is written: with the event of its status, and with what becomes of its use of a link, as
//! one set. Every change of a payment's status goes through here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use perfectpay_macros::observed;
use serde::Serialize;

use super::command::{Update, UpdateOptions};
use super::event::tell;
use super::merchant::{Loaded, MerchantScope};
use super::operation::Operation;
use super::payment::PaymentScope;
use super::session::{Session, at_expected, settle};
use crate::error::{EntityKind, Error};
use crate::id::ProfileId;
use crate::page::{MAX_LIMIT, PageRequest};
use crate::payment::{
    CancelPayment, LinkUseState, Payment, PaymentLinkState, PaymentOutcome, PaymentState, UseOfPayment,
};
use crate::profile::ProfileState;
use crate::store::{ChangeSet, Collection, CommitClass, Expectation, Key, MerchantPath, NO_USE_LEFT, Stored};

/// What one step of [`MerchantScope::expire_payments`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct ExpiredPayments {
    /// How many payments have expired by it.
    pub payments: u64,
    /// Whether there may be more: then another step follows.
    pub more: bool,
}

pub(super) fn refused(row: &Stored<PaymentState>, code: &'static str, message: &'static str) -> Error {
    Error::Refused { entity: row.entity().named(), code, message }
}

/// The payment's profile, as it is now.
pub(super) async fn profile_of(session: &Session, row: &Stored<PaymentState>) -> Result<Stored<ProfileState>, Error> {
    let key = Key::Profile(MerchantPath::Pinned(row.tenant), row.state.profile_id.clone());
    // It went meanwhile, and the payment with it.
    session.get(&key).await?.ok_or_else(|| Error::NotFound(row.entity().named()))
}

/// Whether the profile lets a payment that failed be confirmed again.
pub(super) fn retries(profile: &Stored<ProfileState>) -> bool {
    profile.state.settings.is_manual_retry_enabled == Some(true)
}

/// Answers a payment, and adds the event of its status to the set where that is a new one.
pub(super) async fn answered(
    session: &Session,
    set: &mut ChangeSet,
    loaded: &Loaded,
    profile: &Stored<ProfileState>,
    row: &Stored<PaymentState>,
    tells: bool,
) -> Result<Payment, Error> {
    let id = row.id.to_string();
    let seals = loaded.seals(session, EntityKind::Payment, &id);
    let answer = Payment::view(row.clone(), loaded.row.id.clone(), &seals)?;
    if tells {
        tell(session, set, loaded, profile, row, &answer).await?;
    }
    Ok(answer)
}

/// Adds the payment's next state to the set with all that follows from it, and answers it: the event of a new status,
/// which `tells` lets through, and what becomes of its use of a link. The error of the commit goes through
/// [`unless_use_moved`].
pub(super) async fn stepped(
    session: &Session,
    set: &mut ChangeSet,
    loaded: &Loaded,
    profile: &Stored<ProfileState>,
    (row, next): (&Stored<PaymentState>, PaymentState),
    tells: bool,
) -> Result<Payment, Error> {
    let next = row.next(set.at, next);
    let moves = next.state.status != row.state.status;
    set.update(next.clone());
    if moves {
        use_with(session, set, &next, retries(profile)).await?;
    }
    answered(session, set, loaded, profile, &next, moves && tells).await
}

/// Adds to the set what becomes of the payment's use of a link.
async fn use_with(
    session: &Session,
    set: &mut ChangeSet,
    payment: &Stored<PaymentState>,
    retries: bool,
) -> Result<(), Error> {
    let Some(id) = &payment.state.link_use else { return Ok(()) };
    let key = Key::LinkUse(MerchantPath::Pinned(payment.tenant), id.clone());
    let row: Option<Stored<LinkUseState>> = session.get(&key).await?;
    let stands = row.as_ref().is_some_and(|row| row.state.stands_at(set.at));
    let status = payment.state.status;
    if PaymentOutcome::of(status) == PaymentOutcome::UnderWay {
        let link = link_of(session, payment).await?;
        // Without its use, a payment that was made for one has no place at the link.
        if !stands && link.as_ref().is_none_or(|link| link.state.payment_id.is_none()) {
            return Err(no_link_use(payment));
        }
        // Counted by the store, since whoever goes by a later clock may have taken the place.
        if let (Some(link), Some(row)) = (link, row.as_ref().filter(|_| stands))
            && let Some(limit) = link.state.kind.limit()
        {
            let but = Some(row.entity());
            set.expectations.push(Expectation::Uses { of: link.entity(), but, fewer_than: limit });
        }
    }
    let Some(row) = row else { return Ok(()) };
    match row.state.with_payment(status, retries, set.at) {
        UseOfPayment::Stays => {}
        UseOfPayment::Becomes(state) => {
            set.update(row.next(set.at, state));
        }
        UseOfPayment::Goes => {
            set.remove(row.entity(), row.version, false);
        }
    }
    Ok(())
}

/// The link that the payment was made with, or for.
async fn link_of(session: &Session, payment: &Stored<PaymentState>) -> Result<Option<Stored<PaymentLinkState>>, Error> {
    let Some(link) = &payment.state.payment_link else { return Ok(None) };
    session.get(&Key::PaymentLink(MerchantPath::Pinned(payment.tenant), link.payment_link_id.clone())).await
}

fn no_link_use(payment: &Stored<PaymentState>) -> Error {
    refused(payment, "payment.no_link_use", "has lost its use of the link")
}

/// The error of a commit with a payment's use of a link in it: where that moved, the payment is looked at again.
pub(super) fn unless_use_moved(error: Error, payment: &Stored<PaymentState>) -> Error {
    match error {
        Error::Refused { code: NO_USE_LEFT, .. } => no_link_use(payment),
        Error::Stale { entity, .. } | Error::NotFound(entity) if entity.kind == EntityKind::LinkUse => {
            Error::Moved { entity }
        }
        other => other,
    }
}

impl PaymentScope {
    /// Cancels the payment: nobody can pay it any more. A use of a link that was held for it is released in the same
    /// commit, and the event `payment_cancelled` is in it. A payment that is being tried, or that came to something, is
    /// not cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`]; [`Error::Refused`] with code `payment.not_cancellable`; nothing has changed
    /// then.
    pub fn cancel(&self, body: CancelPayment) -> Update<Payment> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::CancelPayment).await?;
            settle!(session, options.expected_version, {
                let mut row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let mut loaded = scope.merchant.load_for(&row).await?;
                session.add_keys_of(&mut row, &mut loaded.keys).await?;
                let next = row.state.cancelled(body.cancellation_reason.clone());
                let next = next.map_err(|_| refused(&row, "payment.not_cancellable", "is under way or over"))?;
                let profile = profile_of(session, &row).await?;
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Operational);
                loaded.stand(&mut set);
                let answer = stepped(session, &mut set, &loaded, &profile, (&row, next), true).await?;
                let done = session.commit(set, Operation::CancelPayment, &body).await;
                done.map_err(|error| unless_use_moved(loaded.unless_moved(error), &row))?;
                Ok(answer)
            })
        })
    }
}

impl MerchantScope {
    /// Closes payments of the account that nobody paid in time, those that ended first in front: up to a hundred in one
    /// commit, in which their events `payment_expired` are and their uses of links are released. A payment that is being
    /// tried goes on. A host calls it every minute or so for each account, and again while there is more. Nothing depends on
    /// when: a payment is refused from its expiry on, closed or not.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    #[observed]
    pub async fn expire_payments(&self) -> Result<ExpiredPayments, Error> {
        let session = &self.session;
        let moment = session.begin(Operation::ExpirePayments).await?;
        settle!(session, None, {
            let mut loaded = self.load().await?;
            let pinned = self.pinned(loaded.row.tenant);
            let page = pinned.rows::<PaymentState>(Collection::OpenPayments, PageRequest::of(MAX_LIMIT)?).await?;
            let mut set = session.changes(loaded.owner(), moment, CommitClass::Operational);
            loaded.stand(&mut set);
            let mut profiles: BTreeMap<ProfileId, Stored<ProfileState>> = BTreeMap::new();
            let (mut payments, mut more) = (0, page.next.is_some());
            for mut row in page.items {
                let Some(next) = row.state.expired(moment) else {
                    more = false;
                    break;
                };
                session.add_keys_of(&mut row, &mut loaded.keys).await?;
                let profile = match profiles.entry(row.state.profile_id.clone()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => place.insert(profile_of(session, &row).await?),
                };
                stepped(session, &mut set, &loaded, profile, (&row, next), true).await?;
                payments += 1;
            }
            if payments > 0 {
                let done = session.commit(set, Operation::ExpirePayments, &()).await;
                done.map_err(|error| match loaded.unless_moved(error) {
                    // Paid, cancelled or removed beside this step.
                    Error::Stale { entity, .. } | Error::NotFound(entity) => Error::Moved { entity },
                    other => other,
                })?;
            }
            Ok(ExpiredPayments { payments, more })
        })
    }
}
