//! The handles of a payment, the host's and its customer's.

use std::sync::Arc;

use perfectpay_macros::observed;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::command::CreateOptions;
use super::confirm::confirmed;
use super::link::PaymentLinkScope;
use super::merchant::{MerchantScope, claimed};
use super::operation::Operation;
use super::payment_step::answered;
use super::profile;
use super::session::{Session, canonical, settle};
use crate::api_key::random_text;
use crate::error::{EntityKind, Error, Refusal};
use crate::id::{Incarnation, PaymentId, PaymentLinkId, ProfileId};
use crate::merchant::{MerchantState, PublishableKey};
use crate::page::{Page, PageRequest};
use crate::payment::{Given, NewPayment, Payment, PaymentLink, PaymentState, Place, plan};
use crate::store::{Collection, CommitClass, Key, MerchantPath, Stored};

/// One payment.
#[derive(Debug, Clone)]
pub struct PaymentScope {
    pub(super) merchant: MerchantScope,
    /// The profile that the handle was reached through: a payment of another one is absent.
    pub(super) profile: Option<ProfileId>,
    pub(super) id: PaymentId,
}

/// Carries out `create_payment`; `handle` is the profile whose handle it was called on.
pub(super) async fn create(
    merchant: &MerchantScope,
    handle: Option<&ProfileId>,
    new: NewPayment,
    options: CreateOptions,
) -> Result<Payment, Error> {
    let session = &merchant.session;
    let moment = session.begin(Operation::CreatePayment).await?;
    session.may_state(&options)?;
    let stated = options.stated::<PaymentLinkId>()?;
    let loaded = merchant.load().await?;
    let mut claim = claimed(&loaded, Operation::CreatePayment, options);
    if let Some(profile) = handle {
        claim.path = format!("{}/{profile}", claim.path);
    }
    let request = canonical(&new)?;
    if let Some(first) = session.replay(&claim, &request).await? {
        return Ok(first);
    }
    new.check(moment)?;
    let confirmation = new.confirmation();
    let merchant = &merchant.pinned(loaded.row.tenant);
    let named = handle.is_some() || new.profile_id.is_some() || session.bound_profile().is_some();
    let mut first = Some(loaded);
    settle!(session, None, {
        let loaded = merchant.again(&mut first).await?;
        let profile = profile::resolve(merchant, handle, new.profile_id.as_ref()).await?;
        let id = match &new.payment_id {
            Some(id) => id.clone(),
            None => PaymentId::make("pay_", moment, &session.random()),
        };
        let settings = &profile.state.settings;
        let expires_at = moment.plus_seconds(new.session_expiry.unwrap_or(settings.session_expiry).get());
        let mut set = session.changes(loaded.owner(), moment, CommitClass::Operational);
        loaded.stand(&mut set);
        // What the profile says is frozen into the payment and its link.
        set.expect(profile.entity(), profile.version);
        let link = match new.payment_link {
            Some(true) => {
                let name = merchant_name(session, &loaded)?;
                let place = Place {
                    base_url: &session.inner.base_url,
                    merchant_id: &loaded.row.id,
                    merchant_name: name.as_ref().map(|name| name.as_str()),
                };
                let link = match &stated {
                    Some(id) => id.clone(),
                    None => PaymentLinkId::make("plink_", moment, &session.random()),
                };
                let ids = (&id, link);
                Some(plan(&new, ids, (&profile.id, &profile.state), place, expires_at)?)
            }
            _ => None,
        };
        let secret = random_text(20, &*session.inner.entropy);
        let given = Given {
            profile_id: profile.id.clone(),
            profile_return_url: settings.return_url.as_ref(),
            expires_at,
            client_secret: Zeroizing::new(format!("{id}_secret_{}", secret.as_str())),
            payment_link: link.as_ref().map(|link| link.in_payment.clone()),
            link_use: None,
        };
        let text = id.to_string();
        let seals = loaded.seals(session, EntityKind::Payment, &text);
        let mut row =
            Stored::new(loaded.row.tenant, id.clone(), moment, PaymentState::new(new.clone(), given, &seals)?);
        let mut tells = false;
        if let Some(body) = &confirmation {
            let confirmed = confirmed(merchant, &profile, &row, body, moment).await?;
            row.state = confirmed.state;
            tells = confirmed.tells;
            set.create(row.clone()).create(confirmed.decision);
        } else {
            set.create(row.clone());
        }
        if let Some(link) = link {
            let id = link.in_payment.payment_link_id;
            set.create(Stored::new(loaded.row.tenant, id, moment, link.state));
        }
        let answer = answered(session, &mut set, &loaded, &profile, &row, tells).await?;
        let done = session.commit_claimed(set, &claim, &request, answer).await;
        done.map_err(|error| loaded.unless_moved(if named { error } else { loaded.unless_default(error) }))
    })
}

pub(super) fn merchant_name(
    session: &Session,
    loaded: &super::merchant::Loaded,
) -> Result<Option<Zeroizing<String>>, Error> {
    let id = loaded.row.id.to_string();
    let seals = loaded.seals(session, EntityKind::Merchant, &id);
    let name = loaded.row.state.merchant_name.as_ref();
    name.map(|sealed| seals.open_text(crate::merchant::NAME, sealed)).transpose()
}

async fn view(merchant: &MerchantScope, mut row: Stored<PaymentState>) -> Result<Payment, Error> {
    let session = &merchant.session;
    let keys = session.keys_of(&mut row).await?;
    let id = row.id.to_string();
    let seals = session.seals(&keys, row.tenant, EntityKind::Payment, &id);
    Payment::view(row, merchant.merchant_id()?, &seals)
}

pub(super) async fn list(merchant: &MerchantScope, page: PageRequest) -> Result<Page<Payment>, Error> {
    merchant.views(Collection::Payments, page, |row| view(merchant, row)).await
}

impl PaymentScope {
    pub(super) fn new(merchant: MerchantScope, profile: Option<ProfileId>, id: PaymentId) -> Self {
        Self { merchant, profile, id }
    }

    /// The payment.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn retrieve(&self) -> Result<Payment, Error> {
        self.merchant.session.begin(Operation::RetrievePayment).await?;
        view(&self.merchant, self.load().await?).await
    }

    pub(super) async fn load(&self) -> Result<Stored<PaymentState>, Error> {
        let key = Key::Payment(self.merchant.path.clone(), self.id.clone());
        let row: Option<Stored<PaymentState>> = self.merchant.session.get(&key).await?;
        row.filter(|row| self.profile.as_ref().is_none_or(|profile| row.state.profile_id == *profile))
            .ok_or_else(|| Error::not_found(EntityKind::Payment, &self.id))
    }

    /// The same handle on this account and no later owner of its id.
    pub(super) fn pinned(&self, tenant: Incarnation) -> Self {
        Self { merchant: self.merchant.pinned(tenant), ..self.clone() }
    }
}

/// Who holds a payment's client secret, and the publishable key of its account: a customer's browser. It reads this one
/// payment, and nothing else.
#[derive(Debug, Clone)]
pub struct PaymentClient {
    payment: PaymentScope,
    secret: Arc<SecretString>,
}

impl PaymentClient {
    /// Checks the publishable key and the client secret.
    pub(super) async fn authenticate(session: &Session, publishable_key: &str, secret: &str) -> Result<Self, Error> {
        let refused = |refusal| Error::Unauthorized(refusal);
        let key: PublishableKey = publishable_key.trim_ascii().parse().map_err(|_| refused(Refusal::Malformed))?;
        if !key.is_of(session.inner.environment) {
            return Err(refused(Refusal::WrongEnvironment));
        }
        // Of the id the secret says itself, so that what is left to compare is random.
        let id = secret.rsplit_once("_secret_").and_then(|(id, _)| id.parse::<PaymentId>().ok());
        let id = id.ok_or_else(|| refused(Refusal::Malformed))?;
        let merchant: Option<Stored<MerchantState>> = session.get(&Key::MerchantByPublishableKey(key.clone())).await?;
        let merchant = merchant.ok_or_else(|| refused(Refusal::Unknown))?;
        if !merchant.state.accepts(&key, session.now()) {
            return Err(refused(Refusal::RotatedOut));
        }
        let name = merchant.id.to_string();
        let scope = MerchantScope::new(session.clone(), MerchantPath::Pinned(merchant.tenant), name);
        let client = Self { payment: PaymentScope::new(scope, None, id), secret: Arc::new(secret.into()) };
        client.retrieve().await?;
        Ok(client)
    }

    /// The payment. Its secret is checked again.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] if there is no such payment any more, if its secret is another, or if it has expired.
    pub async fn retrieve(&self) -> Result<Payment, Error> {
        let payment = match self.payment.retrieve().await {
            Err(Error::NotFound(_)) => return Err(Error::Unauthorized(Refusal::Unknown)),
            other => other?,
        };
        let kept = payment.client_secret.expose().as_bytes();
        if !bool::from(kept.ct_eq(self.secret.expose_secret().as_bytes())) {
            return Err(Error::Unauthorized(Refusal::Unknown));
        }
        if payment.expires_on <= self.payment.merchant.session.now() {
            return Err(Error::Unauthorized(Refusal::Expired));
        }
        Ok(payment)
    }

    /// The link that the payment was made with or for, as it stands now; `None` where it has none.
    ///
    /// # Errors
    ///
    /// As [`retrieve`](Self::retrieve).
    pub async fn payment_link(&self) -> Result<Option<PaymentLink>, Error> {
        let Some(link) = self.retrieve().await?.payment_link else { return Ok(None) };
        match PaymentLinkScope::new(self.payment.merchant.clone(), link.payment_link_id).retrieve().await {
            Err(Error::NotFound(_)) => Err(Error::Unauthorized(Refusal::Unknown)),
            other => other.map(Some),
        }
    }
}
