//! A connector account's handle.

use super::command::{CreateOptions, Remove, RemoveOptions, Update, UpdateOptions};
use super::merchant::{MerchantScope, claimed};
use super::operation::Operation;
use super::profile;
use super::session::{Session, at_expected, canonical, settle};
use crate::connector::{
    Admission, Connector, ConnectorAuth, ConnectorState, ConnectorUpdate, NewConnector, RemovedConnector,
};
use crate::error::{EntityKind, Error, Fault};
use crate::id::{ConnectorId, ProfileId};
use crate::merchant::MerchantState;
use crate::page::{Page, PageRequest};
use crate::profile::ProfileState;
use crate::store::{Collection, CommitClass, Key, Query, Stored};

/// One connector account.
#[derive(Debug, Clone)]
pub struct ConnectorScope {
    pub(super) merchant: MerchantScope,
    /// The profile that the handle was reached through: an account of another one is absent.
    pub(super) profile: Option<ProfileId>,
    pub(super) id: ConnectorId,
}

fn admission(session: &Session) -> Admission<'_> {
    Admission { catalogue: &session.inner.catalogue, test_connectors: session.inner.test_connectors }
}

/// Carries out `create_connector`; `handle` is the profile whose handle it was called on.
pub(super) async fn create(
    merchant: &MerchantScope,
    handle: Option<&ProfileId>,
    new: NewConnector,
    options: CreateOptions,
) -> Result<Connector, Error> {
    let session = &merchant.session;
    let moment = session.begin(Operation::CreateConnector).await?;
    let loaded = merchant.load().await?;
    let mut claim = claimed(&loaded, Operation::CreateConnector, options);
    if let Some(profile) = handle {
        claim.path = format!("{}/{profile}", claim.path);
    }
    let request = canonical(&new)?;
    if let Some(first) = session.replay(&claim, &request).await? {
        return Ok(first);
    }
    check_business(&new, &loaded.row.state)?;
    let merchant = &merchant.pinned(loaded.row.tenant);
    let named = handle.is_some() || new.profile_id.is_some();
    settle!(session, None, {
        let profile = match handle.or(new.profile_id.as_ref()) {
            Some(_) => profile::resolve(merchant, handle, new.profile_id.as_ref()).await?,
            None => by_business(merchant, &new).await?,
        };
        let id = ConnectorId::make("mca_", moment, &session.random());
        let text = id.to_string();
        let seals = loaded.seals(session, EntityKind::Connector, &text);
        let place = (profile.id.clone(), &profile.state.profile_name);
        let state = ConnectorState::new(new.clone(), place, &admission(session), &seals)?;
        let row = Stored::new(loaded.row.tenant, id, moment, state);
        let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
        // The default label holds the profile's name.
        set.expect(profile.entity(), profile.version);
        set.create(row.clone());
        let answer = Connector::view(row, &seals)?;
        let done = session.commit_claimed(set, &claim, &request, answer).await;
        done.map_err(|error| if named { error } else { loaded.unless_default(error) })
    })
}

/// A business that is named must be one of the merchant's.
fn check_business(new: &NewConnector, merchant: &MerchantState) -> Result<(), Fault> {
    if new.business_country.is_none() && new.business_label.is_none() {
        return Ok(());
    }
    let known = merchant.primary_business_details.iter().any(|business| {
        new.business_country.is_none_or(|country| business.country == country)
            && new.business_label.as_ref().is_none_or(|label| business.business == *label)
    });
    if known {
        return Ok(());
    }
    let field = if new.business_country.is_some() { "business_country" } else { "business_label" };
    Err(Fault::new("connector.unknown_business", "must be one of the merchant's businesses").at(field))
}

/// The profile of the business that is named, or else the default one. An account with several businesses always has a
/// default profile, which is one business's: it must not take what is another's.
async fn by_business(merchant: &MerchantScope, new: &NewConnector) -> Result<Stored<ProfileState>, Error> {
    if let (Some(country), Some(label)) = (&new.business_country, &new.business_label) {
        let name = format!("{country}_{label}").parse()?;
        let found = merchant.session.get(&Key::ProfileByName(merchant.path.clone(), name)).await?;
        if let Some(profile) = found {
            return Ok(profile);
        }
    }
    profile::resolve(merchant, None, None).await
}

async fn view(session: &Session, mut row: Stored<ConnectorState>) -> Result<Connector, Error> {
    let keys = session.keys_of(&mut row).await?;
    let id = row.id.to_string();
    let seals = session.seals(&keys, row.tenant, EntityKind::Connector, &id);
    Connector::view(row, &seals)
}

pub(super) async fn list(
    merchant: &MerchantScope,
    profile: Option<ProfileId>,
    page: PageRequest,
) -> Result<Page<Connector>, Error> {
    let query = Query::Within(merchant.path.clone(), Collection::Connectors { profile }, page);
    let rows = merchant.session.list(&query).await?.ok_or_else(|| merchant.absent())?;
    let mut items = Vec::with_capacity(rows.items.len());
    for row in rows.items {
        items.push(view(&merchant.session, row).await.map_err(|error| merchant.unless_there(error))?);
    }
    Ok(Page { items, next: rows.next })
}

impl ConnectorScope {
    pub(super) fn new(merchant: MerchantScope, profile: Option<ProfileId>, id: ConnectorId) -> Self {
        Self { merchant, profile, id }
    }

    pub(super) async fn load(&self) -> Result<Stored<ConnectorState>, Error> {
        let key = Key::Connector(self.merchant.path.clone(), self.id.clone());
        let row: Option<Stored<ConnectorState>> = self.merchant.session.get(&key).await?;
        row.filter(|row| self.profile.as_ref().is_none_or(|profile| row.state.profile_id == *profile))
            .ok_or_else(|| Error::not_found(EntityKind::Connector, &self.id))
    }

    /// The account, its credentials masked.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub async fn retrieve(&self) -> Result<Connector, Error> {
        self.merchant.session.begin(Operation::RetrieveConnector).await?;
        view(&self.merchant.session, self.load().await?).await
    }

    /// The credentials in clear, to call the processor with.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Corrupt`] if they do not open with the master key at hand.
    pub async fn reveal_credentials(&self) -> Result<ConnectorAuth, Error> {
        let session = &self.merchant.session;
        session.begin(Operation::RevealConnectorCredentials).await?;
        let mut row = self.load().await?;
        let keys = session.keys_of(&mut row).await?;
        let id = row.id.to_string();
        row.state.reveal(&session.seals(&keys, row.tenant, EntityKind::Connector, &id))
    }

    /// Updates the account and answers it as it is then. An update that changes nothing makes no version.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`], [`Error::Invalid`], [`Error::Duplicate`] if the label is taken in the
    /// profile.
    pub fn update(&self, update: ConnectorUpdate) -> Update<Connector> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::UpdateConnector).await?;
            settle!(session, options.expected_version, {
                let mut row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let mut loaded = scope.merchant.load_for(&row).await?;
                session.add_keys_of(&mut row, &mut loaded.keys).await?;
                let id = row.id.to_string();
                let seals = loaded.seals(session, EntityKind::Connector, &id);
                let state = row.state.updated(update.clone(), &admission(session), &seals)?;
                if state == row.state {
                    return Connector::view(row, &seals);
                }
                let next = row.next(moment, state);
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                set.update(next.clone());
                session.commit(set, Operation::UpdateConnector, &update).await?;
                Connector::view(next, &seals)
            })
        })
    }

    /// Removes the account with its credentials. Its label is free again.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`].
    pub fn remove(&self) -> Remove<RemovedConnector> {
        let scope = self.clone();
        Remove::new(async move |options: RemoveOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::RemoveConnector).await?;
            settle!(session, options.expected_version, {
                let row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let loaded = scope.merchant.load_for(&row).await?;
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                set.remove(row.entity(), row.version, false);
                session.commit(set, Operation::RemoveConnector, &options).await?;
                let merchant_id = loaded.row.id.clone();
                Ok(RemovedConnector { merchant_id, merchant_connector_id: row.id, deleted: true })
            })
        })
    }
}
