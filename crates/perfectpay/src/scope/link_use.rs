//! The handle of a use of a payment link.

use perfectpay_macros::observed;

use super::command::{Remove, RemoveOptions, Update, UpdateOptions};
use super::link::{Bare, PaymentLinkScope};
use super::merchant::{MerchantScope, owner};
use super::operation::Operation;
use super::payment_step::{profile_of, stepped};
use super::session::{at_expected, settle};
use crate::error::Error;
use crate::id::LinkUseId;
use crate::payment::{LinkUse, LinkUseState, PaymentLinkState, PaymentOutcome, PaymentState};
use crate::store::{CommitClass, Expectation, Key, MerchantPath, NO_USE_LEFT, Stored};

/// One use of a payment link.
#[derive(Debug, Clone)]
pub struct LinkUseScope {
    merchant: MerchantScope,
    id: LinkUseId,
}

impl LinkUseScope {
    pub(super) fn new(merchant: MerchantScope, id: LinkUseId) -> Self {
        Self { merchant, id }
    }

    async fn load(&self) -> Result<Stored<LinkUseState>, Error> {
        let key = Key::LinkUse(self.merchant.path.clone(), self.id.clone());
        self.merchant.session.require(&key, &self.id).await
    }

    /// The handle of the link that the use was read from, and the link. Where it is gone, the use is too.
    async fn link_of(&self, row: &Stored<LinkUseState>) -> Result<(PaymentLinkScope, Stored<PaymentLinkState>), Error> {
        let scope = PaymentLinkScope::new(self.merchant.pinned(row.tenant), row.state.payment_link_id.clone());
        let link = scope.load().await.map_err(|error| match error {
            Error::NotFound(_) => Error::NotFound(row.entity().named()),
            other => other,
        })?;
        Ok((scope, link))
    }

    /// The use, its status worked out for this moment.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also once it was released.
    #[observed]
    pub async fn retrieve(&self) -> Result<LinkUse, Error> {
        let now = self.merchant.session.begin(Operation::RetrieveLinkUse).await?;
        Ok(LinkUse::view(self.load().await?, self.merchant.merchant_id()?, now))
    }

    /// Confirms the use: it stands for good. A link that was deactivated or that expired while the use was held does not
    /// stand against it, since the customer has paid by now. One that is confirmed already stays as it is.
    ///
    /// A hold that lapsed can still be confirmed, as if it were claimed anew: if the link is open, and its place was not
    /// taken meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`]; of a lapsed hold [`Error::Refused`] with code `link_use.lapsed` if its place
    /// was taken, or with the code of the link's state as a claim; in a batch [`Error::Invalid`] with code
    /// `batch.link_use`.
    pub fn confirm(&self) -> Update<LinkUse> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::ConfirmLinkUse).await?;
            settle!(session, options.expected_version, {
                let row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let merchant_id = scope.merchant.merchant_id()?;
                if row.state.confirmed_at.is_some() {
                    return Ok(LinkUse::view(row, merchant_id, moment));
                }
                let (of, link) = scope.link_of(&row).await?;
                let account = of.account(&link).await?;
                let mut set = session.changes(owner(&account), moment, CommitClass::Operational);
                if !row.state.stands_at(moment) {
                    // Whatever became of the payment: that is why it is confirmed.
                    let uses = of.uses_at(&link, moment).await?;
                    if let Some((code, message)) = link.state.state_at(uses, None, moment).refusal() {
                        return Err(Error::Refused { entity: link.entity().named(), code, message });
                    }
                    set.expect(link.entity(), link.version);
                }
                if let Some(limit) = link.state.kind.limit() {
                    let but = Some(row.entity());
                    set.expectations.push(Expectation::Uses { of: link.entity(), but, fewer_than: limit });
                }
                let next = row.next(moment, row.state.confirmed(moment));
                set.update(next.clone());
                let done = session.commit(set, Operation::ConfirmLinkUse, &Bare).await;
                done.map_err(|error| match error {
                    Error::Refused { code: NO_USE_LEFT, .. } => Error::Refused {
                        entity: row.entity().named(),
                        code: "link_use.lapsed",
                        message: "lapsed, and its place was taken",
                    },
                    Error::Stale { entity, .. } if entity != row.entity().named() => Error::Moved { entity },
                    other => other,
                })?;
                Ok(LinkUse::view(next, merchant_id, moment))
            })
        })
    }

    /// Releases the use: its place is free at once, and it is gone. The payment that was made for it is cancelled in the
    /// same commit, with its event, unless it came to nothing already; that of a link that was created with it stays as it
    /// is.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`]; [`Error::Refused`] with code `link_use.confirmed`, or with code
    /// `link_use.paying` while its payment is under way or if it was made.
    pub fn release(&self) -> Remove<LinkUseId> {
        let scope = self.clone();
        Remove::new(async move |options: RemoveOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::ReleaseLinkUse).await?;
            settle!(session, options.expected_version, {
                let row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let refused = |code, message| Error::Refused { entity: row.entity().named(), code, message };
                if row.state.confirmed_at.is_some() {
                    return Err(refused("link_use.confirmed", "is confirmed"));
                }
                let (of, link) = scope.link_of(&row).await?;
                let mut loaded = of.merchant.load_for(&row).await?;
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Operational);
                let path = MerchantPath::Pinned(row.tenant);
                let payment: Option<Stored<PaymentState>> =
                    session.get(&Key::Payment(path, row.state.payment_id.clone())).await?;
                let outcome = payment.as_ref().map(|payment| PaymentOutcome::of(payment.state.status));
                match (payment, outcome) {
                    (_, Some(PaymentOutcome::UnderWay | PaymentOutcome::Paid)) => {
                        return Err(refused("link_use.paying", "is being paid"));
                    }
                    (Some(mut payment), Some(PaymentOutcome::Open)) if link.state.payment_id.is_none() => {
                        session.add_keys_of(&mut payment, &mut loaded.keys).await?;
                        let next = payment.state.cancelled(None);
                        let next = next.map_err(|_| refused("link_use.paying", "is being paid"))?;
                        let profile = profile_of(session, &payment).await?;
                        loaded.stand(&mut set);
                        // The use goes with it.
                        stepped(session, &mut set, &loaded, &profile, (&payment, next), true).await?;
                    }
                    (Some(payment), _) => {
                        set.expect(payment.entity(), payment.version);
                        set.remove(row.entity(), row.version, false);
                    }
                    (None, _) => {
                        set.remove(row.entity(), row.version, false);
                    }
                }
                let done = session.commit(set, Operation::ReleaseLinkUse, &Bare).await;
                done.map_err(|error| match error {
                    Error::Stale { entity, .. } if entity != row.entity().named() => Error::Moved { entity },
                    other => other,
                })?;
                Ok(row.id)
            })
        })
    }
}
