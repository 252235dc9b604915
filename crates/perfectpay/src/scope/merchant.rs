//! A merchant account's handle.

use std::time::Duration;

use perfectpay_macros::observed;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::api_key::ApiKeyScope;
use super::blocklist::BlocklistScope;
use super::command::{Create, CreateOptions, Remove, RemoveOptions, Update, UpdateOptions};
use super::connector::{self, ConnectorScope};
use super::link::{self, PaymentLinkScope};
use super::link_use::LinkUseScope;
use super::operation::Operation;
use super::organization::OrganizationScope;
use super::payment::{self, PaymentScope};
use super::profile::{self, ProfileScope};
use super::routing::RoutingScope;
use super::session::{ATTEMPTS, Claimed, Session, at_expected, canonical, settle};
use crate::api_key::{ApiKey, IssuedApiKey, KeyPolicy, NewApiKey, random_text};
use crate::connector::{Connector, NewConnector};
use crate::error::{Entity, EntityKind, Error};
use crate::id::{ApiKeyId, ConnectorId, Incarnation, LinkUseId, MerchantId, PaymentId, PaymentLinkId, ProfileId};
use crate::merchant::{
    FormerPublishableKey, Given, KeyHolder, Merchant, MerchantState, MerchantUpdate, NewMerchant, PrimaryBusiness,
    PublishableKey, RemovedMerchant, RotatedPublishableKey,
};
use crate::organization::{NewOrganization, Organization, OrganizationState};
use crate::page::{Page, PageRequest};
use crate::patch::Patch;
use crate::payment::{LinkFilter, NewPayment, NewPaymentLink, Payment, PaymentLink};
use crate::profile::{Inherited, NewProfile, Profile, ProfileState};
use crate::seal::{Keys, Seals};
use crate::store::{
    ChangeSet, Collection, CommitClass, Key, LogEntry, LogPosition, LogQuery, LogScope, MerchantPath, OrganizationPath,
    Owner, Query, Record, State, Stored, TenantRef,
};
use crate::text::Name;
use crate::time::Timestamp;

/// One merchant account and what is below it.
#[derive(Debug, Clone)]
pub struct MerchantScope {
    pub(super) session: Session,
    pub(super) path: MerchantPath,
    /// How errors name it.
    pub(super) name: String,
}

/// A merchant account that was read, with its data keys: the one that seals now, and those of its own sealed fields.
pub(super) struct Loaded {
    pub(super) row: Stored<MerchantState>,
    pub(super) keys: Keys,
}

impl Loaded {
    pub(super) fn owner(&self) -> Owner {
        owner(&self.row)
    }

    /// Lets a set stand on the account as it was read: what it seals is sealed under the account's data key of that
    /// moment. When that moves on, [`Self::unless_moved`] says so.
    pub(super) fn stand(&self, set: &mut ChangeSet) {
        set.expect(self.row.entity(), self.row.version);
    }

    /// The error of a command that [stood](Self::stand) on the account without its caller's expecting a version of it.
    pub(super) fn unless_moved(&self, error: Error) -> Error {
        let own = self.row.entity().named();
        match error {
            Error::Stale { entity, .. } if entity == own => Error::Moved { entity: own },
            other => other,
        }
    }

    /// The error of an update of the account: what it stood on besides, its profiles and its parent account, moved while
    /// it was decided. Which version of them was read is nothing that the caller expected.
    fn unless_own(&self, error: Error) -> Error {
        let own = self.row.entity().named();
        match error {
            Error::Stale { entity, .. } | Error::NotFound(entity) if entity != own => Error::Moved { entity: own },
            Error::Duplicate { kind: EntityKind::Profile, field: "profile_name" } => Error::Moved { entity: own },
            other => other,
        }
    }

    /// The error of a command that stood on the default profile without its caller's naming it: that one went meanwhile,
    /// and another may be the default by now.
    pub(super) fn unless_default(&self, error: Error) -> Error {
        match error {
            Error::NotFound(Entity { kind: EntityKind::Profile, .. }) => {
                Error::Moved { entity: self.row.entity().named() }
            }
            other => other,
        }
    }

    /// The seals of one of the merchant's objects.
    pub(super) fn seals<'a>(&'a self, session: &'a Session, kind: EntityKind, id: &'a str) -> Seals<'a> {
        session.seals(&self.keys, self.row.tenant, kind, id)
    }
}

pub(super) fn owner(row: &Stored<MerchantState>) -> Owner {
    let organization = TenantRef { incarnation: row.state.organization, id: row.state.organization_id.to_string() };
    let merchant = TenantRef { incarnation: row.tenant, id: row.id.to_string() };
    Owner { organization: Some(organization), merchant: Some(merchant) }
}

/// The claim of a command that creates something in the account.
pub(super) fn claimed(loaded: &Loaded, operation: Operation, options: CreateOptions) -> Claimed {
    let mut path = format!("{}/{}", loaded.row.state.organization_id, loaded.row.id);
    if let Some(id) = &options.id {
        path = format!("{path} as {id}");
    }
    Claimed { operation, tenant: loaded.row.tenant, path, key: options.idempotency_key }
}

/// The account as it is answered.
pub(super) async fn view(session: &Session, mut row: Stored<MerchantState>) -> Result<Merchant, Error> {
    let default: Option<Stored<ProfileState>> =
        session.get(&Key::DefaultProfile(MerchantPath::Pinned(row.tenant))).await?;
    let keys = session.keys_of(&mut row).await?;
    let id = row.id.to_string();
    let seals = session.seals(&keys, row.tenant, EntityKind::Merchant, &id);
    Merchant::view(row, default.map(|profile| profile.id), &seals)
}

/// Carries out [`OrganizationScope::create_merchant`].
pub(super) async fn create(
    scope: &OrganizationScope,
    new: NewMerchant,
    options: CreateOptions,
) -> Result<Merchant, Error> {
    let session = &scope.session;
    let moment = session.begin(Operation::CreateMerchant).await?;
    let organization = scope.load().await?;
    let claimed = Claimed {
        operation: Operation::CreateMerchant,
        tenant: organization.tenant,
        path: organization.id.to_string(),
        key: options.idempotency_key,
    };
    let request = canonical(&new)?;
    if let Some(first) = session.replay(&claimed, &request).await? {
        return Ok(first);
    }
    settle!(session, None, {
        let mut set = session.changes(Owner::default(), moment, CommitClass::Configuration);
        expect_parent(session, &mut set, &organization, new.parent_merchant_id.as_ref(), &new.merchant_id).await?;
        let answer = onboard(session, &organization, new.clone(), &mut set).await?;
        session.commit_claimed(set, &claimed, &request, answer).await
    })
}

/// Carries out [`PerfectPay::create_merchant`](super::PerfectPay::create_merchant) of an account that gets an organization
/// of its own.
pub(super) async fn create_alone(
    session: &Session,
    new: NewMerchant,
    options: CreateOptions,
) -> Result<Merchant, Error> {
    let moment = session.begin(Operation::CreateMerchant).await?;
    let claimed = Claimed {
        operation: Operation::CreateMerchant,
        tenant: Incarnation::PLATFORM,
        path: String::new(),
        key: options.idempotency_key,
    };
    let request = canonical(&new)?;
    if let Some(first) = session.replay(&claimed, &request).await? {
        return Ok(first);
    }
    if let Some(parent) = &new.parent_merchant_id {
        // A parent is of the same organization, and this one has no other account.
        return Err(Error::not_found(EntityKind::Merchant, parent));
    }
    let name = match &new.merchant_name {
        Some(name) => name.clone(),
        None => new.merchant_id.as_str().parse()?,
    };
    let mut set = session.changes(Owner::default(), moment, CommitClass::Configuration);
    let (organization, _) = super::organization::draft(session, None, NewOrganization::named(name), &mut set).await?;
    let answer = onboard(session, &organization, new, &mut set).await?;
    session.commit_claimed(set, &claimed, &request, answer).await
}

/// Stages a new account with its data key and its profiles, and answers it.
async fn onboard(
    session: &Session,
    organization: &Stored<OrganizationState>,
    new: NewMerchant,
    set: &mut ChangeSet,
) -> Result<Merchant, Error> {
    let entropy = &*session.inner.entropy;
    let incarnation = Incarnation::make(set.at, &session.random());
    let vault = &session.inner.vault;
    let (data_key, key) = vault.new_data_key(KeyHolder::Merchant, incarnation, set.at, entropy).await?;
    let keys = Keys::from(key);
    let mut fingerprint_secret = Zeroizing::new([0; 32]);
    entropy.fill(fingerprint_secret.as_mut_slice());
    let given = Given {
        organization: organization.tenant,
        organization_id: organization.id.clone(),
        publishable_key: new_publishable_key(session),
        data_key: data_key.id.clone(),
        response_hash_key: SecretString::from(random_text(64, entropy).as_str()),
        fingerprint_secret,
    };
    let id = new.merchant_id.clone();
    let text = id.to_string();
    let seals = session.seals(&keys, incarnation, EntityKind::Merchant, &text);
    let names = profile_names(new.primary_business_details.as_deref().unwrap_or_default())?;
    let state = MerchantState::new(new, given, &seals)?;
    let loaded = Loaded { row: Stored::new(incarnation, id, set.at, state), keys: keys.clone() };
    set.owner = loaded.owner();
    set.create(loaded.row.clone());
    set.create(data_key);
    let mut default = None;
    for name in if names.is_empty() { vec!["default".parse()?] } else { names } {
        let id = profile::new_id(session, set.at);
        let row = profile::draft(session, &loaded, id, NewProfile::named(name), default.is_none(), set.at)?;
        default.get_or_insert(row.id.clone());
        set.create(row);
    }
    Merchant::view(loaded.row.clone(), default, &seals)
}

fn new_publishable_key(session: &Session) -> PublishableKey {
    let mut random = [0; 12];
    session.inner.entropy.fill(&mut random);
    PublishableKey::make(session.inner.environment, &random)
}

/// The names of the businesses' profiles, each one once.
fn profile_names(businesses: &[PrimaryBusiness]) -> Result<Vec<Name>, Error> {
    let mut names = Vec::new();
    for business in businesses {
        let name = business.profile_name()?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Checks that the parent account is one of the same organization, and lets the commit stand on it.
async fn expect_parent(
    session: &Session,
    set: &mut ChangeSet,
    organization: &Stored<OrganizationState>,
    parent: Option<&MerchantId>,
    own: &MerchantId,
) -> Result<(), Error> {
    let Some(parent) = parent else { return Ok(()) };
    let absent = || Error::not_found(EntityKind::Merchant, parent);
    let row: Stored<MerchantState> = session
        .get(&Key::Merchant(MerchantPath::Within(organization.id.clone(), parent.clone())))
        .await?
        .filter(|_| parent != own)
        .ok_or_else(absent)?;
    set.expect(row.entity(), row.version);
    Ok(())
}

impl MerchantScope {
    pub(super) fn new(session: Session, path: MerchantPath, name: String) -> Self {
        Self { session, path, name }
    }

    pub(super) async fn load(&self) -> Result<Loaded, Error> {
        let session = &self.session;
        let mut attempts = ATTEMPTS;
        loop {
            let mut row: Stored<MerchantState> = session.require(&Key::Merchant(self.path.clone()), &self.name).await?;
            match self.keys_of(&mut row).await {
                Ok(keys) => return Ok(Loaded { row, keys }),
                // Sealed anew since it was read.
                Err(Error::Moved { .. }) if attempts > 0 => attempts -= 1,
                Err(error) => return Err(self.unless_there(error)),
            }
        }
    }

    /// The data key that seals now, and those of the account's own sealed fields.
    async fn keys_of(&self, row: &mut Stored<MerchantState>) -> Result<Keys, Error> {
        let current = self.session.data_key_of(row, row.state.data_key.as_str()).await?;
        let mut keys = Keys::from(current);
        self.session.add_keys_of(row, &mut keys).await?;
        Ok(keys)
    }

    /// The account as it was read for the first attempt, and as it is for every later one.
    pub(super) async fn again(&self, first: &mut Option<Loaded>) -> Result<Loaded, Error> {
        match first.take() {
            Some(loaded) => Ok(loaded),
            None => self.load().await,
        }
    }

    /// The account that an object was read from. Its id may have another owner by now: then the object is gone.
    pub(super) async fn load_for<S: State>(&self, row: &Stored<S>) -> Result<Loaded, Error> {
        let found = self.pinned(row.tenant).load().await;
        found.map_err(|error| match error {
            Error::NotFound(_) => Error::NotFound(row.entity().named()),
            other => other,
        })
    }

    /// The same handle on this account and no later owner of its id, for what a command reads after the account itself.
    pub(super) fn pinned(&self, tenant: Incarnation) -> Self {
        Self { path: MerchantPath::Pinned(tenant), ..self.clone() }
    }

    /// A page of one of the account's collections, as it is kept.
    pub(super) async fn rows<S: State>(&self, of: Collection, page: PageRequest) -> Result<Page<Stored<S>>, Error>
    where
        Stored<S>: TryFrom<Record, Error = Error>,
    {
        let query = Query::Within(self.path.clone(), of, page);
        self.session.list(&query).await?.ok_or_else(|| self.absent())
    }

    /// The same as it is answered: each row by a view that opens what is sealed in it.
    pub(super) async fn views<S: State, T, F: Future<Output = Result<T, Error>>>(
        &self,
        of: Collection,
        page: PageRequest,
        view: impl Fn(Stored<S>) -> F,
    ) -> Result<Page<T>, Error>
    where
        Stored<S>: TryFrom<Record, Error = Error>,
    {
        let rows = self.rows(of, page).await?;
        let mut items = Vec::with_capacity(rows.items.len());
        for row in rows.items {
            items.push(view(row).await.map_err(|error| self.unless_there(error))?);
        }
        Ok(Page { items, next: rows.next })
    }

    /// The error of whoever needs the account's data key: where there is none, the account went meanwhile.
    pub(super) fn unless_there(&self, error: Error) -> Error {
        match error {
            Error::NotFound(_) => self.absent(),
            other => other,
        }
    }

    /// The error of an account that is not there.
    pub(super) fn absent(&self) -> Error {
        Error::not_found(EntityKind::Merchant, &self.name)
    }

    /// The merchant's id: what the handle was made with, or what authentication found.
    pub(super) fn merchant_id(&self) -> Result<MerchantId, Error> {
        Ok(self.name.parse()?)
    }

    /// The same handle for calls about one profile, as the published header `X-Profile-Id` binds them: what belongs to
    /// another profile is refused, lists leave it out, and a payment, a link, a connector account or a routing program that
    /// is created belongs to this one unless its body names it. What belongs to the account as a whole is as it was.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the profile; [`Error::Forbidden`] if the caller's key is not for it. Of the handle's
    /// operations: [`Error::Invalid`] with code `profile.other` for what belongs to another profile.
    pub async fn bound_to(&self, profile: &ProfileId) -> Result<Self, Error> {
        let row: Stored<ProfileState> =
            self.session.require(&Key::Profile(self.path.clone(), profile.clone()), profile).await?;
        let session = self.session.clone().bound_to(row.id);
        Ok(Self { path: MerchantPath::Pinned(row.tenant), session, ..self.clone() })
    }

    /// The merchant account.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn retrieve(&self) -> Result<Merchant, Error> {
        self.session.begin(Operation::RetrieveMerchant).await?;
        let row = self.session.require(&Key::Merchant(self.path.clone()), &self.name).await?;
        view(&self.session, row).await
    }

    /// The organization that the account belongs to. A caller may read it, and nothing else of it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn organization(&self) -> Result<Organization, Error> {
        self.session.begin(Operation::RetrieveOrganization).await?;
        let row: Stored<MerchantState> = self.session.require(&Key::Merchant(self.path.clone()), &self.name).await?;
        let path = OrganizationPath::Pinned(row.state.organization);
        let row: Stored<OrganizationState> =
            self.session.require(&Key::Organization(path), &row.state.organization_id).await?;
        super::organization::view(&self.session, row).await
    }

    /// Updates the account and answers it as it is then. An update that changes nothing makes no version.
    ///
    /// New entries of `primary_business_details` become profiles, but where a profile of that name is there already.
    /// `default_profile` must be one of the account's own profiles.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account, the profile or the parent account, [`Error::Stale`], [`Error::Invalid`].
    pub fn update(&self, update: MerchantUpdate) -> Update<Merchant> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.session;
            let moment = session.begin(Operation::UpdateMerchant).await?;
            settle!(session, options.expected_version, { scope.updated(update.clone(), options, moment).await })
        })
    }

    async fn updated(
        &self,
        update: MerchantUpdate,
        options: UpdateOptions,
        moment: Timestamp,
    ) -> Result<Merchant, Error> {
        let session = &self.session;
        let asked = update.clone();
        let loaded = self.load().await?;
        let row = &loaded.row;
        at_expected(row, options.expected_version)?;
        let id = row.id.to_string();
        let seals = loaded.seals(session, EntityKind::Merchant, &id);
        let state = row.state.updated(&row.id, update.clone(), &seals)?;
        let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
        let path = MerchantPath::Pinned(row.tenant);
        if state.parent_merchant_id != row.state.parent_merchant_id {
            let organization = OrganizationPath::Pinned(row.state.organization);
            let organization = session.require(&Key::Organization(organization), &row.state.organization_id).await?;
            expect_parent(session, &mut set, &organization, state.parent_merchant_id.as_ref(), &row.id).await?;
        }
        let default: Option<Stored<ProfileState>> = session.get(&Key::DefaultProfile(path.clone())).await?;
        let mut answer = default.as_ref().map(|profile| profile.id.clone());
        let mut profiles = Vec::new();
        match update.default_profile {
            Patch::Keep => {}
            Patch::Clear if default.is_none() => {}
            Patch::Clear => return Err(not_nullable("default_profile")),
            Patch::Set(id) if answer.as_ref() == Some(&id) => {}
            Patch::Set(id) => {
                let next: Stored<ProfileState> = session.require(&Key::Profile(path.clone(), id.clone()), &id).await?;
                // What frees the place of the default comes before what takes it.
                let moves = default.iter().map(|old| (old, false)).chain([(&next, true)]);
                profiles.extend(moves.map(|(profile, is_default)| {
                    profile.next(moment, ProfileState { is_default, ..profile.state.clone() })
                }));
                answer = Some(id);
            }
        }
        let known = profile_names(&row.state.primary_business_details)?;
        let wanted = profile_names(&state.primary_business_details)?;
        let added: Vec<Name> = wanted.into_iter().filter(|name| !known.contains(name)).collect();
        if state == row.state && profiles.is_empty() {
            return Merchant::view(row.clone(), answer, &seals);
        }
        let next = row.next(moment, state);
        set.update(next.clone());
        if let Some(default) = default.filter(|_| !added.is_empty() && profiles.is_empty()) {
            // Should it go meanwhile, a new profile is the one that is left.
            set.expect(default.entity(), default.version);
        }
        for profile in profiles {
            set.update(profile);
        }
        for name in added {
            let key = Key::ProfileByName(path.clone(), name.clone());
            if session.get::<ProfileState>(&key).await?.is_some() {
                continue;
            }
            let id = profile::new_id(session, moment);
            let draft = profile::draft(session, &loaded, id, NewProfile::named(name), answer.is_none(), moment)?;
            answer.get_or_insert(draft.id.clone());
            set.create(draft);
        }
        let done = session.commit(set, Operation::UpdateMerchant, &asked).await;
        done.map_err(|error| loaded.unless_own(error))?;
        Merchant::view(next, answer, &seals)
    }

    /// Removes the account. It must have no profiles, living API keys or blocklist entries, unless the command cascades:
    /// then everything below goes along in the same commit. Either way its data key goes, and with it whatever copy of
    /// its secrets is left anywhere; its API keys never authenticate again, even if the id is used again.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`], [`Error::HasChildren`].
    pub fn remove(&self) -> Remove<RemovedMerchant> {
        let scope = self.clone();
        Remove::new(async move |options: RemoveOptions| {
            let session = &scope.session;
            let moment = session.begin(Operation::RemoveMerchant).await?;
            settle!(session, options.expected_version, {
                let row: Stored<MerchantState> =
                    session.require(&Key::Merchant(scope.path.clone()), &scope.name).await?;
                at_expected(&row, options.expected_version)?;
                let mut set = session.changes(owner(&row), moment, CommitClass::Configuration);
                set.remove(row.entity(), row.version, options.cascade);
                session.commit(set, Operation::RemoveMerchant, &options).await?;
                Ok(RemovedMerchant { merchant_id: row.id, deleted: true })
            })
        })
    }

    /// Puts another publishable key in the place of the account's, in one commit; the former one is accepted for the grace,
    /// so that pages that hold it can be changed meanwhile. An account has one former key that is accepted, at most: another
    /// rotation waits for its end, or [ends it](Self::end_former_publishable_key) first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Invalid`] with code `grace.too_long` beyond 30 days, [`Error::Refused`] with code
    /// `publishable_key.rotated` while a former key is accepted.
    pub fn rotate_publishable_key(&self, grace: Duration) -> Create<RotatedPublishableKey> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| {
            let session = &scope.session;
            let moment = session.begin(Operation::RotatePublishableKey).await?;
            let grace = super::api_key::grace(grace)?;
            let loaded = scope.load().await?;
            let claim = claimed(&loaded, Operation::RotatePublishableKey, options);
            let request = canonical(&grace)?;
            if let Some(first) = session.replay(&claim, &request).await? {
                return Ok(first);
            }
            let scope = scope.pinned(loaded.row.tenant);
            settle!(session, None, {
                let row: Stored<MerchantState> =
                    session.require(&Key::Merchant(scope.path.clone()), &scope.name).await?;
                if row.state.living_former_key(moment).is_some() {
                    let message = "has a former publishable key that is still accepted";
                    return Err(Error::Refused {
                        entity: row.entity().named(),
                        code: "publishable_key.rotated",
                        message,
                    });
                }
                let publishable_key = new_publishable_key(session);
                let former = FormerPublishableKey {
                    publishable_key: row.state.publishable_key.clone(),
                    ends: moment.plus_seconds(grace),
                };
                let state = MerchantState {
                    publishable_key: publishable_key.clone(),
                    former_publishable_key: Some(former.clone()),
                    ..row.state.clone()
                };
                let mut set = session.changes(owner(&row), moment, CommitClass::Configuration);
                set.update(row.next(moment, state));
                let merchant_id = row.id.clone();
                let answer = RotatedPublishableKey { merchant_id, publishable_key, former_publishable_key: former };
                session.commit_claimed(set, &claim, &request, answer).await
            })
        })
    }

    /// Ends the former publishable key now, and answers the account as it is then. Where none is accepted, nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`].
    pub fn end_former_publishable_key(&self) -> Update<Merchant> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.session;
            let moment = session.begin(Operation::EndFormerPublishableKey).await?;
            settle!(session, options.expected_version, {
                let row: Stored<MerchantState> =
                    session.require(&Key::Merchant(scope.path.clone()), &scope.name).await?;
                at_expected(&row, options.expected_version)?;
                let Some(former) = row.state.living_former_key(moment).cloned() else {
                    return view(session, row).await;
                };
                let ended = Some(FormerPublishableKey { ends: moment, ..former });
                let next = row.next(moment, MerchantState { former_publishable_key: ended, ..row.state.clone() });
                let mut set = session.changes(owner(&row), moment, CommitClass::Configuration);
                set.update(next.clone());
                session.commit(set, Operation::EndFormerPublishableKey, &()).await?;
                view(session, next).await
            })
        })
    }

    /// Creates a profile. It becomes the default one only where the account has none.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account, [`Error::Duplicate`] if the name is taken.
    pub fn create_profile(&self, new: NewProfile) -> Create<Profile> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| {
            let session = &scope.session;
            let moment = session.begin(Operation::CreateProfile).await?;
            session.may_state(&options)?;
            let stated = options.stated::<ProfileId>()?;
            let loaded = scope.load().await?;
            let claim = claimed(&loaded, Operation::CreateProfile, options);
            let request = canonical(&new)?;
            if let Some(first) = session.replay(&claim, &request).await? {
                return Ok(first);
            }
            let scope = scope.pinned(loaded.row.tenant);
            let mut first = Some(loaded);
            settle!(session, None, {
                let loaded = scope.again(&mut first).await?;
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                loaded.stand(&mut set);
                let path = MerchantPath::Pinned(loaded.row.tenant);
                let default: Option<Stored<ProfileState>> = session.get(&Key::DefaultProfile(path)).await?;
                if let Some(default) = &default {
                    // Should it go meanwhile, this profile is the one that is left.
                    set.expect(default.entity(), default.version);
                }
                let id = stated.clone().unwrap_or_else(|| profile::new_id(session, moment));
                let row = profile::draft(session, &loaded, id, new.clone(), default.is_none(), moment)?;
                set.create(row.clone());
                let id = row.id.to_string();
                let seals = loaded.seals(session, EntityKind::Profile, &id);
                let answer = Profile::view(row.clone(), loaded.row.id.clone(), &seals)?;
                let done = session.commit_claimed(set, &claim, &request, answer).await;
                done.map_err(|error| loaded.unless_moved(loaded.unless_default(error)))
            })
        })
    }

    /// A handle on a profile, whether it exists or not.
    pub fn profile(&self, id: &ProfileId) -> ProfileScope {
        ProfileScope::new(self.clone(), id.clone())
    }

    /// Lists the profiles, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    #[observed]
    pub async fn profiles(&self, page: PageRequest) -> Result<Page<Profile>, Error> {
        self.session.begin(Operation::ListProfiles).await?;
        profile::list(self, page).await
    }

    /// Creates a connector account in the profile that the body names, else in that of the business that it names, else
    /// in the default one.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile, [`Error::Invalid`], [`Error::Duplicate`] if the label is
    /// taken in the profile.
    pub fn create_connector(&self, new: NewConnector) -> Create<Connector> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| connector::create(&scope, None, new, options).await)
    }

    /// A handle on a connector account, whether it exists or not.
    pub fn connector(&self, id: &ConnectorId) -> ConnectorScope {
        ConnectorScope::new(self.clone(), None, id.clone())
    }

    /// Lists the connector accounts of all profiles, disabled ones too, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    #[observed]
    pub async fn connectors(&self, page: PageRequest) -> Result<Page<Connector>, Error> {
        self.session.begin(Operation::ListConnectors).await?;
        connector::list(self, None, page).await
    }

    /// Creates an API key. Its token is in the answer and nowhere else; an answer that is replayed for an idempotency
    /// key has none.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    pub fn create_api_key(&self, new: NewApiKey) -> Create<IssuedApiKey> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| super::api_key::create(&scope, new, options).await)
    }

    /// A handle on an API key, whether it exists or not.
    pub fn api_key(&self, id: &ApiKeyId) -> ApiKeyScope {
        ApiKeyScope::new(self.clone(), id.clone())
    }

    /// Lists the API keys, revoked ones too, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    #[observed]
    pub async fn api_keys(&self, page: PageRequest) -> Result<Page<ApiKey>, Error> {
        self.session.begin(Operation::ListApiKeys).await?;
        let merchant_id = self.merchant_id()?;
        let rows = self.rows(Collection::ApiKeys, page).await?;
        Ok(rows.map(|row| ApiKey::view(row, merchant_id.clone())))
    }

    /// What the account asks of the ends of its API keys.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn key_policy(&self) -> Result<KeyPolicy, Error> {
        self.session.begin(Operation::RetrieveKeyPolicy).await?;
        let row: Stored<MerchantState> = self.session.require(&Key::Merchant(self.path.clone()), &self.name).await?;
        Ok(row.state.key_policy)
    }

    /// Sets what the account asks of the ends of its API keys: of those that are created, and of ends that are changed,
    /// from now on. Keys that are there stay as they are. The policy is part of the account: its version is what the
    /// command may expect, and what grows.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`].
    pub fn set_key_policy(&self, policy: KeyPolicy) -> Update<KeyPolicy> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.session;
            let moment = session.begin(Operation::SetKeyPolicy).await?;
            settle!(session, options.expected_version, {
                let row: Stored<MerchantState> =
                    session.require(&Key::Merchant(scope.path.clone()), &scope.name).await?;
                at_expected(&row, options.expected_version)?;
                if row.state.key_policy != policy {
                    let mut set = session.changes(owner(&row), moment, CommitClass::Configuration);
                    set.update(row.next(moment, MerchantState { key_policy: policy, ..row.state.clone() }));
                    session.commit(set, Operation::SetKeyPolicy, &policy).await?;
                }
                Ok(policy)
            })
        })
    }

    /// The routing programs of all profiles. What is of one profile, as what decides, is that of the default one.
    pub fn routing(&self) -> RoutingScope {
        RoutingScope::new(self.clone(), None)
    }

    /// The account's blocklist.
    pub fn blocklist(&self) -> BlocklistScope {
        BlocklistScope::new(self.clone(), None)
    }

    /// Creates a payment, with its link where the body asks for one, in one commit.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile, [`Error::AlreadyExists`] if the id is taken in the account,
    /// [`Error::Invalid`].
    pub fn create_payment(&self, new: NewPayment) -> Create<Payment> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| payment::create(&scope, None, new, options).await)
    }

    /// A handle on a payment, whether it exists or not.
    pub fn payment(&self, id: &PaymentId) -> PaymentScope {
        PaymentScope::new(self.clone(), None, id.clone())
    }

    /// Lists the payments of all profiles, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    #[observed]
    pub async fn payments(&self, page: PageRequest) -> Result<Page<Payment>, Error> {
        self.session.begin(Operation::ListPayments).await?;
        payment::list(self, page).await
    }

    /// A handle on a payment link, whether it exists or not.
    pub fn payment_link(&self, id: &PaymentLinkId) -> PaymentLinkScope {
        PaymentLinkScope::new(self.clone(), id.clone())
    }

    /// Lists the payment links of all profiles, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    pub async fn payment_links(&self, page: PageRequest) -> Result<Page<PaymentLink>, Error> {
        link::list(self, &LinkFilter::default(), page).await
    }

    /// Lists the payment links that the filter lets through, newest first. Filtered by state, a page may have fewer links
    /// than its limit, or none, though another page follows: some thousand links are looked at for one page.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account, or for the profile that the filter names.
    pub async fn payment_links_where(
        &self,
        filter: &LinkFilter,
        page: PageRequest,
    ) -> Result<Page<PaymentLink>, Error> {
        link::list(self, filter, page).await
    }

    /// A handle on a use of a payment link, whether it exists or not.
    pub fn link_use(&self, id: &LinkUseId) -> LinkUseScope {
        LinkUseScope::new(self.clone(), id.clone())
    }

    /// Creates a payment link on its own: each use of it makes a payment. Its branding, URL and times are resolved now,
    /// and do not move afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile; [`Error::Invalid`].
    pub fn create_payment_link(&self, new: NewPaymentLink) -> Create<PaymentLink> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| link::create(&scope, None, new, options).await)
    }

    /// Reads the account's log, oldest first, at most 1,000 entries behind `after`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::LogPruned`] if entries behind `after` were pruned, whosever they were.
    #[observed]
    pub async fn log(&self, after: LogPosition, limit: u32) -> Result<Vec<LogEntry>, Error> {
        self.session.begin(Operation::ReadLog).await?;
        let row: Stored<MerchantState> = self.session.require(&Key::Merchant(self.path.clone()), &self.name).await?;
        let scope = LogScope::Merchant(row.tenant);
        self.session.store().log(&LogQuery { scope, after, limit }).await
    }

    /// Reads the log of one of the account's objects, living or removed, oldest first, at most 1,000 entries behind
    /// `after`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account; [`Error::LogPruned`] as [`Self::log`].
    #[observed]
    pub async fn log_of(&self, entity: Entity, after: LogPosition, limit: u32) -> Result<Vec<LogEntry>, Error> {
        self.session.begin(Operation::ReadLog).await?;
        let row: Stored<MerchantState> = self.session.require(&Key::Merchant(self.path.clone()), &self.name).await?;
        let scope = LogScope::Entity(crate::store::EntityRef { kind: entity.kind, tenant: row.tenant, id: entity.id });
        self.session.store().log(&LogQuery { scope, after, limit }).await
    }
}

fn not_nullable(path: &str) -> Error {
    crate::error::Fault::new("field.not_nullable", "must not be null").at(path).into()
}

/// Opens what a new profile takes from the account.
pub(super) fn inherited<'a>(session: &'a Session, loaded: &'a Loaded) -> Result<Inherited<'a>, Error> {
    let id = loaded.row.id.to_string();
    Inherited::open(&loaded.row.state, &loaded.seals(session, EntityKind::Merchant, &id))
}
