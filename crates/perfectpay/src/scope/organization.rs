//! An organization's handle.

use perfectpay_macros::observed;

use super::command::{Create, CreateOptions, Remove, RemoveOptions, Update, UpdateOptions};
use super::merchant::{self, MerchantScope};
use super::operation::Operation;
use super::session::{Session, at_expected, settle};
use crate::error::{EntityKind, Error};
use crate::id::{Incarnation, MerchantId, OrganizationId};
use crate::merchant::{KeyHolder, Merchant, NewMerchant};
use crate::organization::{NewOrganization, Organization, OrganizationState, OrganizationUpdate};
use crate::page::{Page, PageRequest};
use crate::seal::Keys;
use crate::store::{
    ChangeSet, CommitClass, Key, LogEntry, LogPosition, LogQuery, LogScope, MerchantPath, OrganizationPath, Owner,
    Query, Stored, TenantRef,
};

/// One organization and what is below it.
#[derive(Debug, Clone)]
pub struct OrganizationScope {
    pub(super) session: Session,
    pub(super) path: OrganizationPath,
    /// How errors name it.
    pub(super) name: String,
}

pub(super) fn owner(row: &Stored<OrganizationState>) -> Owner {
    let organization = TenantRef { incarnation: row.tenant, id: row.id.to_string() };
    Owner { organization: Some(organization), merchant: None }
}

/// Stages a new organization with its data key, which makes the set its own, and answers it.
pub(super) async fn draft(
    session: &Session,
    stated: Option<OrganizationId>,
    new: NewOrganization,
    set: &mut ChangeSet,
) -> Result<(Stored<OrganizationState>, Organization), Error> {
    let incarnation = Incarnation::make(set.at, &session.random());
    let id = stated.unwrap_or_else(|| OrganizationId::make("org_", set.at, &session.random()));
    let entropy = &*session.inner.entropy;
    let vault = &session.inner.vault;
    let (data_key, key) = vault.new_data_key(KeyHolder::Organization, incarnation, set.at, entropy).await?;
    let (keys, text) = (Keys::from(key), id.to_string());
    let seals = session.seals(&keys, incarnation, EntityKind::Organization, &text);
    let state = OrganizationState::new(new, data_key.id.clone(), &seals)?;
    let row = Stored::new(incarnation, id, set.at, state);
    set.owner = owner(&row);
    set.create(row.clone()).create(data_key);
    let answer = Organization::view(row.clone(), &seals)?;
    Ok((row, answer))
}

/// The organization as it is answered.
pub(super) async fn view(session: &Session, mut row: Stored<OrganizationState>) -> Result<Organization, Error> {
    let keys = session.keys_of(&mut row).await?;
    let id = row.id.to_string();
    let seals = session.seals(&keys, row.tenant, EntityKind::Organization, &id);
    Organization::view(row, &seals)
}

impl OrganizationScope {
    pub(super) fn new(session: Session, path: OrganizationPath, name: String) -> Self {
        Self { session, path, name }
    }

    pub(super) async fn load(&self) -> Result<Stored<OrganizationState>, Error> {
        self.session.require(&Key::Organization(self.path.clone()), &self.name).await
    }

    /// The error of whoever needs the organization's data key: where there is none, the organization went meanwhile.
    fn unless_there(&self, error: Error) -> Error {
        match error {
            Error::NotFound(_) => Error::not_found(EntityKind::Organization, &self.name),
            other => other,
        }
    }

    /// The organization.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn retrieve(&self) -> Result<Organization, Error> {
        self.session.begin(Operation::RetrieveOrganization).await?;
        view(&self.session, self.load().await?).await
    }

    /// Updates the organization and answers it as it is then. An update that changes nothing makes no version.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`], [`Error::Invalid`].
    pub fn update(&self, update: OrganizationUpdate) -> Update<Organization> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.session;
            let moment = session.begin(Operation::UpdateOrganization).await?;
            settle!(session, options.expected_version, {
                let mut row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let key = session.inner.vault.data_key(session.store(), row.tenant, row.state.data_key.as_str()).await;
                let mut keys = Keys::from(key.map_err(|error| scope.unless_there(error))?);
                session.add_keys_of(&mut row, &mut keys).await?;
                let id = row.id.to_string();
                let seals = session.seals(&keys, row.tenant, EntityKind::Organization, &id);
                let state = row.state.updated(update.clone(), &seals)?;
                if state == row.state {
                    return Organization::view(row, &seals);
                }
                let next = row.next(moment, state);
                let mut set = session.changes(owner(&row), moment, CommitClass::Configuration);
                set.update(next.clone());
                session.commit(set, Operation::UpdateOrganization, &update).await?;
                Organization::view(next, &seals)
            })
        })
    }

    /// Removes the organization. It must have no merchant accounts, unless the command cascades: then everything below
    /// goes along in the same commit.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`], [`Error::HasChildren`].
    pub fn remove(&self) -> Remove<OrganizationId> {
        let scope = self.clone();
        Remove::new(async move |options: RemoveOptions| {
            let session = &scope.session;
            let moment = session.begin(Operation::RemoveOrganization).await?;
            settle!(session, options.expected_version, {
                let row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let mut set = session.changes(owner(&row), moment, CommitClass::Configuration);
                set.remove(row.entity(), row.version, options.cascade);
                session.commit(set, Operation::RemoveOrganization, &options).await?;
                Ok(row.id)
            })
        })
    }

    /// Creates a merchant account with its default profile, data key, fingerprint secret and publishable key, in one
    /// commit. With `primary_business_details` it gets a profile for each entry, of which the first is the default.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the organization or the parent account, [`Error::AlreadyExists`] if the id is taken in
    /// any organization, [`Error::Invalid`].
    pub fn create_merchant(&self, new: NewMerchant) -> Create<Merchant> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| merchant::create(&scope, new, options).await)
    }

    /// A handle on a merchant account of this organization, whether it exists or not.
    pub fn merchant(&self, id: &MerchantId) -> MerchantScope {
        let path = match &self.path {
            OrganizationPath::Id(organization) => MerchantPath::Within(organization.clone(), id.clone()),
            // Only a caller's handle is pinned, and it has its merchant already.
            OrganizationPath::Pinned(_) => MerchantPath::Id(id.clone()),
        };
        MerchantScope::new(self.session.clone(), path, id.to_string())
    }

    /// Lists the merchant accounts, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the organization.
    #[observed]
    pub async fn merchants(&self, page: PageRequest) -> Result<Page<Merchant>, Error> {
        self.session.begin(Operation::ListMerchants).await?;
        let rows = self.session.list(&Query::Merchants(self.path.clone(), page)).await?;
        let rows = rows.ok_or_else(|| Error::not_found(EntityKind::Organization, &self.name))?;
        let mut items = Vec::with_capacity(rows.items.len());
        for row in rows.items {
            match merchant::view(&self.session, row).await {
                Ok(merchant) => items.push(merchant),
                // It was removed while the page was put together.
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Page { items, next: rows.next })
    }

    /// Reads the log of the organization and its merchant accounts, oldest first, at most 1,000 entries behind `after`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::LogPruned`] if entries behind `after` were pruned, whosever they were.
    #[observed]
    pub async fn log(&self, after: LogPosition, limit: u32) -> Result<Vec<LogEntry>, Error> {
        self.session.begin(Operation::ReadLog).await?;
        let scope = LogScope::Organization(self.load().await?.tenant);
        self.session.store().log(&LogQuery { scope, after, limit }).await
    }
}
