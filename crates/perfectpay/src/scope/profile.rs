//! A profile's handle.

use perfectpay_macros::observed;

use super::blocklist::BlocklistScope;
use super::command::{Create, CreateOptions, Remove, RemoveOptions, Update, UpdateOptions};
use super::connector::{self, ConnectorScope};
use super::link;
use super::merchant::{Loaded, MerchantScope, inherited};
use super::operation::Operation;
use super::payment::{self, PaymentScope};
use super::routing::RoutingScope;
use super::session::{Session, at_expected, settle};
use crate::api_key::random_text;
use crate::connector::{Connector, NewConnector};
use crate::error::{EntityKind, Error};
use crate::id::{ConnectorId, PaymentId, ProfileId};
use crate::page::{Page, PageRequest};
use crate::payment::{NewPayment, NewPaymentLink, Payment, PaymentLink};
use crate::profile::{NewProfile, Profile, ProfileState, ProfileUpdate, WebhookSecrets};
use crate::store::{Collection, CommitClass, Expectation, Key, MerchantPath, Query, Stored};
use crate::time::Timestamp;

/// One business profile and what is below it.
#[derive(Debug, Clone)]
pub struct ProfileScope {
    pub(super) merchant: MerchantScope,
    pub(super) id: ProfileId,
}

/// The id of a new profile.
pub(super) fn new_id(session: &Session, moment: Timestamp) -> ProfileId {
    ProfileId::make("pro_", moment, &session.random())
}

/// A new profile of the merchant, not yet committed.
pub(super) fn draft(
    session: &Session,
    loaded: &Loaded,
    id: ProfileId,
    new: NewProfile,
    is_default: bool,
    moment: Timestamp,
) -> Result<Stored<ProfileState>, Error> {
    let secret = random_text(64, &*session.inner.entropy);
    let text = id.to_string();
    let seals = loaded.seals(session, EntityKind::Profile, &text);
    let state = ProfileState::new(new, is_default, &inherited(session, loaded)?, secret.as_bytes(), &seals)?;
    Ok(Stored::new(loaded.row.tenant, id, moment, state))
}

async fn view(merchant: &MerchantScope, mut row: Stored<ProfileState>) -> Result<Profile, Error> {
    let session = &merchant.session;
    let keys = session.keys_of(&mut row).await?;
    let id = row.id.to_string();
    let seals = session.seals(&keys, row.tenant, EntityKind::Profile, &id);
    Profile::view(row, merchant.merchant_id()?, &seals)
}

pub(super) async fn list(merchant: &MerchantScope, page: PageRequest) -> Result<Page<Profile>, Error> {
    merchant.views(Collection::Profiles, page, |row| view(merchant, row)).await
}

impl ProfileScope {
    pub(super) fn new(merchant: MerchantScope, id: ProfileId) -> Self {
        Self { merchant, id }
    }

    pub(super) async fn load(&self) -> Result<Stored<ProfileState>, Error> {
        let key = Key::Profile(self.merchant.path.clone(), self.id.clone());
        self.merchant.session.require(&key, &self.id).await
    }

    /// The profile.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn retrieve(&self) -> Result<Profile, Error> {
        self.merchant.session.begin(Operation::RetrieveProfile).await?;
        view(&self.merchant, self.load().await?).await
    }

    /// What it takes to deliver the profile's webhooks and to sign its responses, in clear. Answers mask it. The log says
    /// that it was revealed, and to whom: the entry is committed before it is answered.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Corrupt`] if it does not open with the keyring at hand; those of a commit;
    /// [`Error::Invalid`] with code `batch.reveal` in a batch.
    #[observed]
    pub async fn reveal_webhook_secrets(&self) -> Result<WebhookSecrets, Error> {
        let session = &self.merchant.session;
        let moment = session.begin(Operation::RevealWebhookSecrets).await?;
        settle!(session, None, {
            let mut row = self.load().await?;
            let mut loaded = self.merchant.load_for(&row).await?;
            session.add_keys_of(&mut row, &mut loaded.keys).await?;
            let id = row.id.to_string();
            let revealed = row.state.reveal(&loaded.seals(session, EntityKind::Profile, &id))?;
            session.reveal(loaded.owner(), moment, &row).await?;
            Ok(revealed)
        })
    }

    /// Updates the profile and answers it as it is then. An update that changes nothing makes no version.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`], [`Error::Invalid`], [`Error::Duplicate`] if the name is taken.
    pub fn update(&self, update: ProfileUpdate) -> Update<Profile> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::UpdateProfile).await?;
            settle!(session, options.expected_version, {
                let mut row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let mut loaded = scope.merchant.load_for(&row).await?;
                session.add_keys_of(&mut row, &mut loaded.keys).await?;
                let id = row.id.to_string();
                let seals = loaded.seals(session, EntityKind::Profile, &id);
                let state = row.state.updated(update.clone(), &loaded.row.state, &seals)?;
                if state == row.state {
                    return Profile::view(row, loaded.row.id.clone(), &seals);
                }
                let next = row.next(moment, state);
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                loaded.stand(&mut set);
                set.update(next.clone());
                let done = session.commit(set, Operation::UpdateProfile, &update).await;
                done.map_err(|error| loaded.unless_moved(error))?;
                Profile::view(next, loaded.row.id.clone(), &seals)
            })
        })
    }

    /// Removes the profile. It must have no connector accounts and no payments, unless the command cascades. The default
    /// profile goes last: while the account has others, another one must become the default first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`], [`Error::HasChildren`], [`Error::Refused`] with code
    /// `profile.is_default`.
    pub fn remove(&self) -> Remove<ProfileId> {
        let scope = self.clone();
        Remove::new(async move |options: RemoveOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::RemoveProfile).await?;
            settle!(session, options.expected_version, {
                let row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let loaded = scope.merchant.load_for(&row).await?;
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                if row.state.is_default {
                    scope.refuse_while_others(&row).await?;
                    let of = loaded.row.entity();
                    set.expectations.push(Expectation::Children { of, kind: EntityKind::Profile, count: 1 });
                }
                set.remove(row.entity(), row.version, options.cascade);
                session.commit(set, Operation::RemoveProfile, &options).await?;
                Ok(row.id)
            })
        })
    }

    async fn refuse_while_others(&self, row: &Stored<ProfileState>) -> Result<(), Error> {
        let two = PageRequest::of(2)?;
        let query = Query::Within(MerchantPath::Pinned(row.tenant), Collection::Profiles, two);
        let profiles = self.merchant.session.list::<ProfileState>(&query).await?;
        if profiles.is_some_and(|page| page.items.len() > 1) {
            return Err(Error::Refused {
                entity: row.entity().named(),
                code: "profile.is_default",
                message: "is the default profile while there are others",
            });
        }
        Ok(())
    }

    /// Creates a connector account in this profile. See [`MerchantScope::create_connector`].
    ///
    /// # Errors
    ///
    /// As there; [`Error::Invalid`] if the body names another profile.
    pub fn create_connector(&self, new: NewConnector) -> Create<Connector> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| {
            connector::create(&scope.merchant, Some(&scope.id), new, options).await
        })
    }

    /// The profile's routing programs, and its fallback order.
    pub fn routing(&self) -> RoutingScope {
        RoutingScope::new(self.merchant.clone(), Some(self.id.clone()))
    }

    /// The entries of the blocklist that hold in the profile, and the account's.
    pub fn blocklist(&self) -> BlocklistScope {
        BlocklistScope::new(self.merchant.clone(), Some(self.id.clone()))
    }

    /// A handle on a connector account of this profile, whether it exists or not.
    pub fn connector(&self, id: &ConnectorId) -> ConnectorScope {
        ConnectorScope::new(self.merchant.clone(), Some(self.id.clone()), id.clone())
    }

    /// Lists the profile's connector accounts, disabled ones too, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the profile.
    #[observed]
    pub async fn connectors(&self, page: PageRequest) -> Result<Page<Connector>, Error> {
        self.merchant.session.begin(Operation::ListConnectors).await?;
        self.load().await?;
        connector::list(&self.merchant, Some(self.id.clone()), page).await
    }

    /// Creates a payment in this profile. See [`MerchantScope::create_payment`].
    ///
    /// # Errors
    ///
    /// As there; [`Error::Invalid`] if the body names another profile.
    pub fn create_payment(&self, new: NewPayment) -> Create<Payment> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| {
            payment::create(&scope.merchant, Some(&scope.id), new, options).await
        })
    }

    /// Creates a payment link of this profile on its own. See [`MerchantScope::create_payment_link`].
    ///
    /// # Errors
    ///
    /// As there; [`Error::Invalid`] if the body names another profile.
    pub fn create_payment_link(&self, new: NewPaymentLink) -> Create<PaymentLink> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| {
            link::create(&scope.merchant, Some(&scope.id), new, options).await
        })
    }

    /// A handle on a payment of this profile, whether it exists or not.
    pub fn payment(&self, id: &PaymentId) -> PaymentScope {
        PaymentScope::new(self.merchant.clone(), Some(self.id.clone()), id.clone())
    }
}

/// Which profile a new object of the merchant belongs to: the one that the handle is of, the one that the body names, the
/// one that the call is bound to, or the default one.
pub(super) async fn resolve(
    merchant: &MerchantScope,
    handle: Option<&ProfileId>,
    body: Option<&ProfileId>,
) -> Result<Stored<ProfileState>, Error> {
    use crate::error::Fault;
    if let (Some(handle), Some(body)) = (handle, body)
        && handle != body
    {
        return Err(Fault::new("profile.other", "must be the profile that it is created in").at("profile_id").into());
    }
    let path = merchant.path.clone();
    if let Some(id) = handle.or(body).or(merchant.session.bound_profile()) {
        return merchant.session.require(&Key::Profile(path, id.clone()), id).await;
    }
    if let Some(default) = merchant.session.get(&Key::DefaultProfile(path)).await? {
        return Ok(default);
    }
    // Without an account there is no default profile either.
    merchant.load().await?;
    Err(Fault::new("profile.no_default", "is required: the account has no profile").at("profile_id").into())
}
