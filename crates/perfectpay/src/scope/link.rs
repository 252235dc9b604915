//! The handle of a payment link.

use perfectpay_macros::observed;

use super::command::{Create, CreateOptions, Update, UpdateOptions};
use super::merchant::{Loaded, MerchantScope, claimed, owner};
use super::operation::Operation;
use super::payment::merchant_name;
use super::profile;
use super::session::{at_expected, canonical, settle};
use crate::api_key::random_text;
use crate::error::{EntityKind, Error, Fault};
use crate::id::{LinkUseId, PaymentId, PaymentLinkId, ProfileId};
use crate::merchant::MerchantState;
use crate::page::{Cursor, MAX_LIMIT, Page, PageRequest};
use crate::payment::{
    ClaimedLink, CreatedLink, Given, LinkClaim, LinkFilter, LinkUse, LinkUseState, NewPayment, NewPaymentLink, Payment,
    PaymentLink, PaymentLinkInPayment, PaymentLinkState, PaymentState, Place, Uses,
};
use crate::profile::ProfileState;
use crate::secret::Request;
use crate::store::{
    ChangeSet, Collection, CommitClass, Expectation, Key, MerchantPath, NO_USE_LEFT, Query, Stored, UseCount,
};
use crate::time::Timestamp;

/// How many pages a listing by state reads at most before it answers what it found.
const MAX_READS: u32 = 10;

/// One payment link.
#[derive(Debug, Clone)]
pub struct PaymentLinkScope {
    pub(super) merchant: MerchantScope,
    pub(super) id: PaymentLinkId,
}

/// Carries out `create_payment_link`; `handle` is the profile whose handle it was called on.
pub(super) async fn create(
    merchant: &MerchantScope,
    handle: Option<&ProfileId>,
    new: NewPaymentLink,
    options: CreateOptions,
) -> Result<PaymentLink, Error> {
    let session = &merchant.session;
    let moment = session.begin(Operation::CreatePaymentLink).await?;
    let loaded = merchant.load().await?;
    let mut claim = claimed(&loaded, Operation::CreatePaymentLink, options);
    if let Some(profile) = handle {
        claim.path = format!("{}/{profile}", claim.path);
    }
    let request = canonical(&new)?;
    if let Some(first) = session.replay(&claim, &request).await? {
        return Ok(created(loaded.row.tenant, first));
    }
    let merchant = &merchant.pinned(loaded.row.tenant);
    let named = handle.is_some() || new.profile_id.is_some() || session.bound_profile().is_some();
    let mut first = Some(loaded);
    settle!(session, None, {
        let loaded = merchant.again(&mut first).await?;
        let profile = profile::resolve(merchant, handle, new.profile_id.as_ref()).await?;
        let name = merchant_name(session, &loaded)?;
        let place = Place {
            base_url: &session.inner.base_url,
            merchant_id: &loaded.row.id,
            merchant_name: name.as_ref().map(|name| name.as_str()),
        };
        let id = PaymentLinkId::make("plink_", moment, &session.random());
        let state = new.clone().plan(&id, &profile.id, &profile.state, place, moment)?;
        let mut set = session.changes(loaded.owner(), moment, CommitClass::Operational);
        loaded.stand(&mut set);
        // What the profile says is frozen into the link.
        set.expect(profile.entity(), profile.version);
        set.create(Stored::new(loaded.row.tenant, id.clone(), moment, state.clone()));
        let merchant_id = loaded.row.id.clone();
        let answer = CreatedLink { payment_link_id: id, merchant_id, created_at: moment, state };
        let done = session.commit_claimed(set, &claim, &request, answer).await;
        let done =
            done.map_err(|error| loaded.unless_moved(if named { error } else { loaded.unless_default(error) }))?;
        Ok(created(loaded.row.tenant, done))
    })
}

/// The link as it stood when it was created.
fn created(tenant: crate::id::Incarnation, link: CreatedLink) -> PaymentLink {
    let row = Stored::new(tenant, link.payment_link_id, link.created_at, link.state);
    PaymentLink::view(row, link.merchant_id, Uses::default(), None, link.created_at)
}

/// Lists the links of a merchant account that the filter lets through, newest first.
#[observed]
pub(super) async fn list(
    merchant: &MerchantScope,
    filter: &LinkFilter,
    page: PageRequest,
) -> Result<Page<PaymentLink>, Error> {
    let now = merchant.session.begin(Operation::ListPaymentLinks).await?;
    if let Some(profile) = &filter.profile_id {
        let key = Key::Profile(merchant.path.clone(), profile.clone());
        merchant.session.require::<ProfileState>(&key, profile).await?;
    }
    let collection = Collection::PaymentLinks { profile: filter.profile_id.clone() };
    let limit = usize::try_from(page.limit()).unwrap_or(usize::MAX);
    // One that is filtered by its state is looked at before it is known to be listed.
    let (reads, size) = if filter.state.is_some() { (MAX_READS, MAX_LIMIT) } else { (1, page.limit()) };
    let mut at: Option<Cursor> = filter.begins_behind().into_iter().chain(page.cursor().cloned()).min();
    let mut items = Vec::new();
    for _ in 0..reads {
        let part = PageRequest::of(size)?.after(at.take());
        let rows = merchant.rows::<PaymentLinkState>(collection.clone(), part).await?;
        at.clone_from(&rows.next);
        let uses = counted(merchant, &rows.items, now).await?;
        for (row, uses) in rows.items.into_iter().zip(uses) {
            if filter.is_past(row.created_at) {
                return Ok(Page { items, next: None });
            }
            let place = Cursor { created_at: row.created_at, id: row.id.to_string() };
            let link = view(merchant, row, uses, now).await?;
            if filter.state.is_none_or(|state| state == link.state) {
                items.push(link);
                if items.len() == limit && filter.state.is_some() {
                    // What comes behind it was not looked at.
                    return Ok(Page { items, next: Some(place) });
                }
            }
        }
        if at.is_none() {
            break;
        }
    }
    Ok(Page { items, next: at })
}

/// How many uses of each link stand at a moment.
async fn counted(
    merchant: &MerchantScope,
    rows: &[Stored<PaymentLinkState>],
    at: Timestamp,
) -> Result<Vec<Uses>, Error> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let links = rows.iter().map(|row| row.id.clone()).collect();
    let count = UseCount { path: MerchantPath::Pinned(first.tenant), links, at };
    merchant.session.store().uses(&count).await?.ok_or_else(|| merchant.absent())
}

/// The link as it stands at a moment.
async fn view(
    merchant: &MerchantScope,
    row: Stored<PaymentLinkState>,
    uses: Uses,
    now: Timestamp,
) -> Result<PaymentLink, Error> {
    let payment = payment_of(merchant, &row).await?;
    Ok(PaymentLink::view(row, merchant.merchant_id()?, uses, payment.map(|payment| payment.state.status), now))
}

/// The payment that the link was created with.
async fn payment_of(
    merchant: &MerchantScope,
    row: &Stored<PaymentLinkState>,
) -> Result<Option<Stored<PaymentState>>, Error> {
    let Some(payment) = &row.state.payment_id else { return Ok(None) };
    merchant.session.get(&Key::Payment(MerchantPath::Pinned(row.tenant), payment.clone())).await
}

impl PaymentLinkScope {
    pub(super) fn new(merchant: MerchantScope, id: PaymentLinkId) -> Self {
        Self { merchant, id }
    }

    pub(super) async fn load(&self) -> Result<Stored<PaymentLinkState>, Error> {
        let key = Key::PaymentLink(self.merchant.path.clone(), self.id.clone());
        self.merchant.session.require(&key, &self.id).await
    }

    /// How many uses of the link stand at a moment.
    pub(super) async fn uses_at(&self, row: &Stored<PaymentLinkState>, at: Timestamp) -> Result<Uses, Error> {
        let uses = counted(&self.merchant, std::slice::from_ref(row), at).await?;
        Ok(uses.first().copied().unwrap_or_default())
    }

    /// The link, its state worked out for this moment.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn retrieve(&self) -> Result<PaymentLink, Error> {
        let now = self.merchant.session.begin(Operation::RetrievePaymentLink).await?;
        let row = self.load().await?;
        let uses = self.uses_at(&row, now).await?;
        view(&self.merchant, row, uses, now).await
    }

    /// Lets the link be claimed no more. Uses that are held stay held until their deadline, and can be confirmed: whoever
    /// is paying may go on. A link that is deactivated already stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`].
    pub fn deactivate(&self) -> Update<PaymentLink> {
        self.switch(Operation::DeactivatePaymentLink, Some)
    }

    /// Takes a deactivation back: the link stands as if there had been none.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`].
    pub fn reactivate(&self) -> Update<PaymentLink> {
        self.switch(Operation::ReactivatePaymentLink, |_| None)
    }

    fn switch(&self, operation: Operation, deactivated_at: fn(Timestamp) -> Option<Timestamp>) -> Update<PaymentLink> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(operation).await?;
            settle!(session, options.expected_version, {
                let mut row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let next = deactivated_at(moment);
                if row.state.deactivated_at.is_some() != next.is_some() {
                    let merchant = scope.account(&row).await?;
                    let mut set = session.changes(owner(&merchant), moment, CommitClass::Operational);
                    row = row.next(moment, PaymentLinkState { deactivated_at: next, ..row.state.clone() });
                    set.update(row.clone());
                    session.commit(set, operation, &Bare).await?;
                }
                let uses = scope.uses_at(&row, moment).await?;
                view(&scope.merchant, row, uses, moment).await
            })
        })
    }

    /// The account that the link was read from.
    pub(super) async fn account(&self, row: &Stored<PaymentLinkState>) -> Result<Stored<MerchantState>, Error> {
        self.merchant.session.require(&Key::Merchant(MerchantPath::Pinned(row.tenant)), &self.merchant.name).await
    }

    /// Claims a use of the link: holds it for one customer until a deadline, in which it is to be
    /// [confirmed](super::LinkUseScope::confirm) or [released](super::LinkUseScope::release). A link of its own makes the payment of the
    /// use in the same commit; the payment is open as long as the use is held.
    ///
    /// However many claim at once, in however many processes, there are never more uses than the link has: the store
    /// counts them in the commit. Claims that find one do not stand in each other's way.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Invalid`] at `amount` or `customer_id`; [`Error::Refused`] with code
    /// `payment_link.scheduled`, `payment_link.held`, `payment_link.paid`, `payment_link.used_up`, `payment_link.expired` or
    /// `payment_link.deactivated`. In a batch [`Error::Invalid`] with code `batch.link_use`.
    pub fn claim(&self, claim: LinkClaim) -> Create<ClaimedLink> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::ClaimPaymentLink).await?;
            let loaded = scope.merchant.load().await?;
            let mut claimed = claimed(&loaded, Operation::ClaimPaymentLink, options);
            claimed.path = format!("{}/{}", claimed.path, scope.id);
            let request = canonical(&claim)?;
            if let Some(first) = session.replay(&claimed, &request).await? {
                return Ok(first);
            }
            let scope = Self { merchant: scope.merchant.pinned(loaded.row.tenant), ..scope.clone() };
            let mut first = Some(loaded);
            settle!(session, None, {
                let loaded = scope.merchant.again(&mut first).await?;
                let row = scope.load().await?;
                let (set, answer) = scope.held(&loaded, &row, &claim, moment).await?;
                let done = session.commit_claimed(set, &claimed, &request, answer).await;
                done.map_err(|error| match error {
                    // Looked at again, the link says why.
                    Error::Refused { entity, code: NO_USE_LEFT, .. } => Error::Moved { entity },
                    other => loaded.unless_moved(other),
                })
            })
        })
    }

    /// The commit that holds a use, and its answer.
    async fn held(
        &self,
        loaded: &Loaded,
        row: &Stored<PaymentLinkState>,
        claim: &LinkClaim,
        moment: Timestamp,
    ) -> Result<(ChangeSet, ClaimedLink), Error> {
        let session = &self.merchant.session;
        let uses = self.uses_at(row, moment).await?;
        let own = payment_of(&self.merchant, row).await?;
        let stands = row.state.state_at(uses, own.as_ref().map(|payment| payment.state.status), moment);
        if let Some((code, message)) = stands.refusal() {
            return Err(Error::Refused { entity: row.entity().named(), code, message });
        }
        let amount = row.state.amount.settle(claim.amount)?;
        let held_until = moment.plus_seconds(claim.hold.unwrap_or_default().get());
        let mut set = session.changes(loaded.owner(), moment, CommitClass::Operational);
        loaded.stand(&mut set);
        set.expect(row.entity(), row.version);
        if let Some(limit) = row.state.kind.limit() {
            set.expectations.push(Expectation::Uses { of: row.entity(), but: None, fewer_than: limit });
        }
        let use_id = LinkUseId::make("use_", moment, &session.random());
        let (payment, keys) = match own {
            Some(mut payment) => {
                if claim.customer_id.is_some() && claim.customer_id != payment.state.customer_id {
                    let fault = Fault::new("payment_link.customer_fixed", "is fixed for this link");
                    return Err(fault.at("customer_id").into());
                }
                let keys = session.keys_of(&mut payment).await?;
                let state = PaymentState { link_use: Some(use_id.clone()), ..payment.state.clone() };
                let payment = payment.next(moment, state);
                set.update(payment.clone());
                (payment, keys)
            }
            None => {
                let new = NewPayment {
                    customer_id: claim.customer_id.clone(),
                    return_url: row.state.return_url.clone(),
                    description: row.state.description.clone(),
                    ..NewPayment::of(crate::money::Money { amount, currency: row.state.currency })
                };
                let id = PaymentId::make("pay_", moment, &session.random());
                let secret = random_text(20, &*session.inner.entropy);
                let given = Given {
                    profile_id: row.state.profile_id.clone(),
                    profile_return_url: None,
                    expires_at: held_until,
                    client_secret: zeroize::Zeroizing::new(format!("{id}_secret_{}", secret.as_str())),
                    payment_link: Some(PaymentLinkInPayment {
                        link: row.state.link_to_pay.clone(),
                        secure_link: row.state.secure_link.clone(),
                        payment_link_id: row.id.clone(),
                    }),
                    link_use: Some(use_id.clone()),
                };
                let text = id.to_string();
                let seals = loaded.seals(session, EntityKind::Payment, &text);
                let payment = Stored::new(row.tenant, id, moment, PaymentState::new(new, given, &seals)?);
                set.create(payment.clone());
                (payment, loaded.keys.clone())
            }
        };
        let held = LinkUseState {
            payment_link_id: row.id.clone(),
            profile_id: row.state.profile_id.clone(),
            payment_id: payment.id.clone(),
            held_until,
            paying_since: None,
            confirmed_at: None,
        };
        let held = Stored::new(row.tenant, use_id, moment, held);
        set.create(held.clone());
        let merchant_id = &loaded.row.id;
        let text = payment.id.to_string();
        let seals = session.seals(&keys, row.tenant, EntityKind::Payment, &text);
        let payment = Payment::view(payment, merchant_id.clone(), &seals)?;
        Ok((set, ClaimedLink { link_use: LinkUse::view(held, merchant_id.clone(), moment), payment }))
    }

    /// Lists the uses of the link, newest first; lapsed holds too, until they are [purged](Self::purge_lapsed).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the link.
    #[observed]
    pub async fn uses(&self, page: PageRequest) -> Result<Page<LinkUse>, Error> {
        let now = self.merchant.session.begin(Operation::ListLinkUses).await?;
        let row = self.load().await?;
        let merchant_id = self.merchant.merchant_id()?;
        let rows = self.stored_uses(&row, page).await?;
        Ok(rows.map(|row| LinkUse::view(row, merchant_id.clone(), now)))
    }

    async fn stored_uses(
        &self,
        row: &Stored<PaymentLinkState>,
        page: PageRequest,
    ) -> Result<Page<Stored<LinkUseState>>, Error> {
        let collection = Collection::LinkUses { link: row.id.clone() };
        let query = Query::Within(MerchantPath::Pinned(row.tenant), collection, page);
        let rows = self.merchant.session.list(&query).await?;
        rows.ok_or_else(|| Error::not_found(EntityKind::PaymentLink, &self.id))
    }

    /// Removes lapsed holds of a page of the link's [uses](Self::uses), and answers the next page and how many went. A
    /// lapsed hold takes no place and may stay; this only tidies up. One that is confirmed at the same moment stays.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the link.
    #[observed]
    pub async fn purge_lapsed(&self, page: PageRequest) -> Result<(u32, Option<Cursor>), Error> {
        let session = &self.merchant.session;
        let moment = session.begin(Operation::PurgeLinkUses).await?;
        settle!(session, None, {
            let row = self.load().await?;
            let merchant = self.account(&row).await?;
            let uses = self.stored_uses(&row, page.clone()).await?;
            let mut set = session.changes(owner(&merchant), moment, CommitClass::Operational);
            for lapsed in uses.items.iter().filter(|held| !held.state.stands_at(moment)) {
                set.remove(lapsed.entity(), lapsed.version, false);
            }
            let gone = u32::try_from(set.changes.len()).unwrap_or(u32::MAX);
            if gone > 0 {
                let done = session.commit(set, Operation::PurgeLinkUses, &Bare).await;
                done.map_err(|error| match error {
                    // Confirmed or purged beside this one.
                    Error::NotFound(_) => Error::Moved { entity: row.entity().named() },
                    other => other,
                })?;
            }
            Ok((gone, uses.next))
        })
    }
}

/// The body of a command that has none.
#[derive(serde::Serialize)]
pub(super) struct Bare;

impl Request for Bare {}
