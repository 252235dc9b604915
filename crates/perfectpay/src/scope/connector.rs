//! A connector account's handle.

use perfectpay_macros::observed;
use serde::Serialize;
use zeroize::Zeroizing;

use super::command::{CreateOptions, Remove, RemoveOptions, Update, UpdateOptions};
use super::merchant::{MerchantScope, claimed};
use super::operation::Operation;
use super::profile;
use super::session::{Session, at_expected, canonical, settle};
use crate::connector::{
    Admission, Connector, ConnectorAuth, ConnectorSecrets, ConnectorState, ConnectorUpdate, Exchange, NewConnector,
    RemovedConnector,
};
use crate::error::{EntityKind, Error, Fault};
use crate::id::{ConnectorId, ProfileId};
use crate::merchant::MerchantState;
use crate::page::{Page, PageRequest};
use crate::profile::ProfileState;
use crate::routing::{RoutingProgramState, RoutingVersionState, active_version};
use crate::seal::Seals;
use crate::secret::Request;
use crate::store::{ChangeSet, Collection, CommitClass, Expectation, Key, MerchantPath, Stored, UniqueKey};
use crate::time::Timestamp;

/// One connector account.
#[derive(Debug, Clone)]
pub struct ConnectorScope {
    pub(super) merchant: MerchantScope,
    /// The profile that the handle was reached through: an account of another one is absent.
    pub(super) profile: Option<ProfileId>,
    pub(super) id: ConnectorId,
}

/// A request to stage credentials.
#[derive(Serialize)]
struct Staging {
    #[serde(skip)]
    credentials: Zeroizing<Vec<u8>>,
}

impl Request for Staging {
    fn secrets(&self) -> Vec<Zeroizing<Vec<u8>>> {
        vec![self.credentials.clone()]
    }
}

fn admission(session: &Session) -> Admission<'_> {
    Admission { catalogue: &session.inner.catalogue, test_connectors: session.inner.test_connectors }
}

fn exchange(session: &Session, now: Timestamp) -> Exchange {
    Exchange { now, overlap_seconds: session.inner.overlap_seconds }
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
    session.may_state(&options)?;
    let stated = options.stated::<ConnectorId>()?;
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
    let named = handle.is_some() || new.profile_id.is_some() || session.bound_profile().is_some();
    let mut first = Some(loaded);
    settle!(session, None, {
        let loaded = merchant.again(&mut first).await?;
        let profile = match handle.or(new.profile_id.as_ref()) {
            Some(_) => profile::resolve(merchant, handle, new.profile_id.as_ref()).await?,
            None => by_business(merchant, &new).await?,
        };
        let id = stated.clone().unwrap_or_else(|| ConnectorId::make("mca_", moment, &session.random()));
        let text = id.to_string();
        let seals = loaded.seals(session, EntityKind::Connector, &text);
        let place = (profile.id.clone(), &profile.state.profile_name);
        let state = ConnectorState::new(new.clone(), place, &admission(session), &seals)?;
        let row = Stored::new(loaded.row.tenant, id, moment, state);
        let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
        loaded.stand(&mut set);
        // The default label holds the profile's name.
        set.expect(profile.entity(), profile.version);
        set.create(row.clone());
        let answer = Connector::view(row, &seals)?;
        let done = session.commit_claimed(set, &claim, &request, answer).await;
        done.map_err(|error| loaded.unless_moved(if named { error } else { loaded.unless_default(error) }))
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
    merchant.views(Collection::Connectors { profile }, page, |row| view(&merchant.session, row)).await
}

fn no_previous(row: &Stored<ConnectorState>) -> Error {
    let entity = row.entity().named();
    Error::Refused { entity, code: "connector.no_previous", message: "has no previous credentials to read" }
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
    #[observed]
    pub async fn retrieve(&self) -> Result<Connector, Error> {
        self.merchant.session.begin(Operation::RetrieveConnector).await?;
        view(&self.merchant.session, self.load().await?).await
    }

    /// The credentials in use in clear, to call the processor with. The log says that they were revealed, and to whom: the
    /// entry is committed before they are answered.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Corrupt`] if they do not open with the keyring at hand; those of a commit;
    /// [`Error::Invalid`] with code `batch.reveal` in a batch.
    pub async fn reveal_credentials(&self) -> Result<ConnectorAuth, Error> {
        self.revealed(Operation::RevealConnectorCredentials, |row, _, seals| row.state.reveal(seals)).await
    }

    /// The previous credentials in clear, until their overlap is over. The log says so as of those in use.
    ///
    /// # Errors
    ///
    /// As [`Self::reveal_credentials`], and [`Error::Refused`] with code `connector.no_previous` where there are none, or
    /// they are retired.
    pub async fn reveal_previous_credentials(&self) -> Result<ConnectorAuth, Error> {
        let open = |row: &Stored<ConnectorState>, now, seals: &Seals<'_>| {
            row.state.reveal_previous(now, seals)?.ok_or_else(|| no_previous(row))
        };
        self.revealed(Operation::RevealConnectorCredentials, open).await
    }

    /// What is sealed beside the credentials in clear: the secrets that the connector signs its webhooks with, to verify
    /// them; what wallets need; additional data. The log says so as of credentials, whatever there is.
    ///
    /// # Errors
    ///
    /// As [`Self::reveal_credentials`].
    pub async fn reveal_secrets(&self) -> Result<ConnectorSecrets, Error> {
        self.revealed(Operation::RevealConnectorSecrets, |row, _, seals| row.state.reveal_secrets(seals)).await
    }

    #[observed]
    async fn revealed<T: Send>(
        &self,
        operation: Operation,
        open: impl Fn(&Stored<ConnectorState>, Timestamp, &Seals<'_>) -> Result<T, Error> + Send + Sync,
    ) -> Result<T, Error> {
        let session = &self.merchant.session;
        let moment = session.begin(operation).await?;
        settle!(session, None, {
            let mut row = self.load().await?;
            let mut loaded = self.merchant.load_for(&row).await?;
            session.add_keys_of(&mut row, &mut loaded.keys).await?;
            let id = row.id.to_string();
            let revealed = open(&row, moment, &loaded.seals(session, EntityKind::Connector, &id))?;
            session.reveal(loaded.owner(), moment, &row).await?;
            Ok(revealed)
        })
    }

    /// Stages credentials beside those in use, in the place of any that are staged, and answers the account. They are used
    /// when they are [activated](Self::activate_credentials).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`], [`Error::Invalid`] as of an update: masked ones are refused.
    pub fn stage_credentials(&self, credentials: ConnectorAuth) -> Update<Connector> {
        let request = Staging { credentials: credentials.to_plaintext() };
        self.exchanging(Operation::StageConnectorCredentials, request, move |row, session, now, seals| {
            row.state.with_staged(&credentials, &admission(session), now, seals)
        })
    }

    /// Takes the staged credentials into use, and answers the account. Those that were in use stay readable, and can be
    /// rolled back to, for the time that [`Settings`](super::Settings::credential_overlap_seconds) states.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`]; [`Error::Refused`] with code `connector.nothing_staged`;
    /// [`Error::Invalid`] if a placeholder would be active.
    pub fn activate_credentials(&self) -> Update<Connector> {
        self.exchanging(Operation::ActivateConnectorCredentials, (), |row, session, now, seals| {
            let activated = row.state.activated(exchange(session, now), seals)?;
            activated.ok_or_else(|| Error::Refused {
                entity: row.entity().named(),
                code: "connector.nothing_staged",
                message: "has no staged credentials",
            })
        })
    }

    /// Takes the previous credentials into use again, and answers the account. Those that were in use become the previous
    /// ones, with an overlap of their own, so that this, too, can be rolled back.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`]; [`Error::Refused`] with code `connector.no_previous` where there are none, or
    /// they are retired.
    pub fn roll_back_credentials(&self) -> Update<Connector> {
        self.exchanging(Operation::RollBackConnectorCredentials, (), |row, session, now, seals| {
            row.state.rolled_back(exchange(session, now), seals)?.ok_or_else(|| no_previous(row))
        })
    }

    fn exchanging<R, F>(&self, operation: Operation, request: R, decide: F) -> Update<Connector>
    where
        R: Request + Send + Sync + 'static,
        F: Fn(&Stored<ConnectorState>, &Session, Timestamp, &Seals<'_>) -> Result<ConnectorState, Error>
            + Send
            + Sync
            + 'static,
    {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(operation).await?;
            settle!(session, options.expected_version, {
                let mut row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let mut loaded = scope.merchant.load_for(&row).await?;
                session.add_keys_of(&mut row, &mut loaded.keys).await?;
                let id = row.id.to_string();
                let seals = loaded.seals(session, EntityKind::Connector, &id);
                let next = row.next(moment, decide(&row, session, moment, &seals)?);
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                loaded.stand(&mut set);
                set.update(next.clone());
                let done = session.commit(set, operation, &request).await;
                done.map_err(|error| loaded.unless_moved(error))?;
                Connector::view(next, &seals)
            })
        })
    }

    /// Updates the account and answers it as it is then. An update that changes nothing makes no version. New credentials
    /// are staged and activated in its commit: those that they replace stay readable for the overlap, and can be rolled
    /// back to.
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
                let exchange = exchange(session, moment);
                let state = row.state.updated(update.clone(), &admission(session), exchange, &seals)?;
                if state == row.state {
                    return Connector::view(row, &seals);
                }
                let next = row.next(moment, state);
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                loaded.stand(&mut set);
                set.update(next.clone());
                let done = session.commit(set, Operation::UpdateConnector, &update).await;
                done.map_err(|error| loaded.unless_moved(error))?;
                Connector::view(next, &seals)
            })
        })
    }

    /// Removes the account with its credentials. Its label is free again. An account that the active routing program of its
    /// profile names stays, unless the command cascades: then it goes, and the program passes it over.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`], [`Error::Refused`] with code `connector.routed`.
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
                if !options.cascade {
                    scope.unrouted(&row, &mut set).await?;
                }
                set.remove(row.entity(), row.version, false);
                let own = row.entity().named();
                let done = session.commit(set, Operation::RemoveConnector, &options).await;
                done.map_err(|error| match error {
                    // The program that was looked at moved meanwhile.
                    Error::Stale { entity, .. } | Error::NotFound(entity) if entity != own => Error::Moved { entity },
                    other => other,
                })?;
                let merchant_id = loaded.row.id.clone();
                Ok(RemovedConnector { merchant_id, merchant_connector_id: row.id, deleted: true })
            })
        })
    }

    /// Refuses where the active program of the profile names the account; else lets a set stand on that.
    async fn unrouted(&self, row: &Stored<ConnectorState>, set: &mut ChangeSet) -> Result<(), Error> {
        let session = &self.merchant.session;
        let (path, profile) = (MerchantPath::Pinned(row.tenant), &row.state.profile_id);
        let active: Option<Stored<RoutingProgramState>> =
            session.get(&Key::ActiveProgram(path.clone(), profile.clone())).await?;
        let Some(active) = active else {
            let key = UniqueKey::ActiveProgram(row.tenant, profile.to_string());
            set.expectations.push(Expectation::Free { key });
            return Ok(());
        };
        set.expect(active.entity(), active.version);
        let Some(id) = active_version(&active) else { return Ok(()) };
        let version: Option<Stored<RoutingVersionState>> = session.get(&Key::RoutingVersion(path, id)).await?;
        if version.is_some_and(|version| version.state.algorithm.names(&row.id)) {
            let entity = row.entity().named();
            let message = "is named by the active routing program";
            return Err(Error::Refused { entity, code: "connector.routed", message });
        }
        Ok(())
    }
}
