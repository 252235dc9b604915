//! Routing programs of a profile: drafts, versions, what decides, and the fallback order.

use std::sync::Arc;

use perfectpay_macros::observed;
use serde::Serialize;

use super::command::{Create, CreateOptions, Remove, RemoveOptions, Update, UpdateOptions};
use super::merchant::{Loaded, MerchantScope, claimed};
use super::operation::Operation;
use super::profile;
use super::session::{Session, Versioned, at_expected, canonical, settle};
use crate::connector::ConnectorState;
use crate::error::{EntityKind, Error, Fault};
use crate::id::{ConnectorId, PaymentId, ProfileId, RoutingId};
use crate::page::{Cursor, MAX_LIMIT, Page, PageRequest};
use crate::profile::ProfileState;
use crate::routing::{
    Algorithm, Answer, CheckedRouting, ConnectorChoice, DecisionInputs, FallbackOrder, Lint, NewRoutingProgram,
    NewRoutingVersion, PaymentFacts, ProgramVersion, RetryPolicy, RoutableAccount, Router, RoutingDiff,
    RoutingExplanation, RoutingProgram, RoutingProgramState, RoutingRecord, RoutingVersion, RoutingVersionId,
    RoutingVersionState, active_version, decide, explain, fallback_order, move_to, reorder,
};
use crate::secret::Request;
use crate::store::{ChangeSet, Collection, CommitClass, Key, MerchantPath, Query, Stored};

/// The routing programs of a merchant account or, from a [profile's handle](crate::ProfileScope::routing), of one
/// profile.
///
/// A program is a name with versions. A version never changes, and decides nothing until it is activated; of a profile one
/// version of one program is active, or none. Then, and where no account that the program names can take a payment, the
/// profile's fallback order decides.
#[derive(Debug, Clone)]
pub struct RoutingScope {
    merchant: MerchantScope,
    profile: Option<ProfileId>,
}

/// One routing program.
#[derive(Debug, Clone)]
pub struct RoutingProgramScope {
    merchant: MerchantScope,
    /// The profile that the handle was reached through: a program of another one is absent.
    profile: Option<ProfileId>,
    id: RoutingId,
}

/// All connector accounts of a profile, oldest first.
pub(super) async fn accounts(
    session: &Session,
    path: &MerchantPath,
    profile: &ProfileId,
) -> Result<Vec<Stored<ConnectorState>>, Error> {
    let mut accounts = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = PageRequest::of(MAX_LIMIT)?.after(cursor);
        let collection = Collection::Connectors { profile: Some(profile.clone()) };
        let found = session.list::<ConnectorState>(&Query::Within(path.clone(), collection, page)).await?;
        let Some(page) = found else { return Ok(accounts) };
        accounts.extend(page.items);
        match page.next {
            None => return Ok(accounts),
            next => cursor = next,
        }
    }
}

/// The same accounts as routing knows them.
pub(super) fn routable(session: &Session, accounts: &[Stored<ConnectorState>]) -> Vec<RoutableAccount> {
    let is_routable = |row: &Stored<ConnectorState>| {
        session.inner.catalogue.spec(&row.state.connector_name).is_some_and(|spec| spec.routable)
    };
    accounts.iter().map(|row| RoutableAccount::of(row.id.clone(), &row.state, is_routable(row))).collect()
}

/// A fault of one field of a body.
fn within(field: &str, fault: Fault) -> Fault {
    let path = if fault.path().is_empty() { field.to_owned() } else { format!("{field}.{}", fault.path()) };
    fault.at(path)
}

/// Checks an algorithm against the accounts of its profile, and answers what is strange in it.
fn checked(
    session: &Session,
    algorithm: &Algorithm,
    retry_policy: &RetryPolicy,
    accounts: &[Stored<ConnectorState>],
) -> Result<Vec<Lint>, Fault> {
    retry_policy.check().map_err(|fault| within("retry_policy", fault))?;
    let accounts = routable(session, accounts);
    algorithm.check(&accounts).map_err(|fault| within("algorithm", fault))?;
    Ok(algorithm.lints(&accounts))
}

fn refused(row: &Stored<RoutingProgramState>, code: &'static str, message: &'static str) -> Error {
    Error::Refused { entity: row.entity().named(), code, message }
}

fn profile_refused(profile: &ProfileId, code: &'static str, message: &'static str) -> Error {
    Error::Refused { entity: crate::error::Entity::new(EntityKind::Profile, profile), code, message }
}

/// The error of a command that stood on more than the program: what else moved while it was decided is decided again.
fn unless_program(row: &Stored<RoutingProgramState>, error: Error) -> Error {
    let own = row.entity().named();
    match error {
        Error::Stale { entity, .. } | Error::NotFound(entity) if entity != own => Error::Moved { entity },
        Error::Duplicate { kind: EntityKind::RoutingProgram, .. } => Error::Moved { entity: own },
        other => other,
    }
}

async fn active_of(
    merchant: &MerchantScope,
    profile: &ProfileId,
) -> Result<Option<Stored<RoutingProgramState>>, Error> {
    merchant.session.get(&Key::ActiveProgram(merchant.path.clone(), profile.clone())).await
}

async fn version_of(merchant: &MerchantScope, id: &RoutingVersionId) -> Result<Stored<RoutingVersionState>, Error> {
    merchant.session.require(&Key::RoutingVersion(merchant.path.clone(), id.clone()), id).await
}

/// Lets a version decide, in a set that stands on everything that it names. Answers the program as it is then.
///
/// The accounts must live when the set is committed, at the version that they were read at, so that no account goes
/// while a program that names it is activated.
async fn activation(
    merchant: &MerchantScope,
    set: &mut ChangeSet,
    row: &Stored<RoutingProgramState>,
    number: u32,
) -> Result<(Stored<RoutingProgramState>, Vec<Lint>), Error> {
    let session = &merchant.session;
    let id = RoutingVersionId { program: row.id.clone(), number };
    let version = version_of(merchant, &id).await?;
    let accounts = accounts(session, &merchant.path, &row.state.profile_id).await?;
    let lints = checked(session, &version.state.algorithm, &version.state.retry_policy, &accounts)?;
    if session.inner.lints_block
        && let Some(lint) = lints.first()
    {
        let message = "has findings, and they keep a program from being activated";
        return Err(Fault::new("routing.lints", message).at(format!("algorithm.{}", lint.path)).into());
    }
    set.expect(version.entity(), version.version);
    for account in accounts.iter().filter(|account| version.state.algorithm.names(&account.id)) {
        set.expect(account.entity(), account.version);
    }
    let before = active_of(merchant, &row.state.profile_id).await?;
    let replaced = before.as_ref().and_then(active_version);
    let next = row.next(set.at, row.state.serving(number, replaced));
    // What frees the place comes before what takes it.
    if let Some(before) = before.filter(|before| before.id != row.id) {
        set.update(before.next(set.at, before.state.resting()));
    }
    set.update(next.clone());
    Ok((next, lints))
}

impl RoutingScope {
    pub(super) fn new(merchant: MerchantScope, profile: Option<ProfileId>) -> Self {
        Self { merchant, profile }
    }

    /// The profile of the handle, else the default one.
    async fn resolved(&self) -> Result<Stored<ProfileState>, Error> {
        profile::resolve(&self.merchant, self.profile.as_ref(), None).await
    }

    /// Creates a program with its first version. It does not decide until it is activated. The algorithm is checked: what
    /// is wrong in it is an error with the path inside the body, what is only strange is answered as lints.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile; [`Error::Invalid`], whose codes about the algorithm are those
    /// of [`Algorithm::check`], `routing.unknown_account` among them for a connector account that is not one of the profile.
    pub fn create(&self, new: NewRoutingProgram) -> Create<CheckedRouting> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::CreateRoutingProgram).await?;
            let loaded = scope.merchant.load().await?;
            let mut claim = claimed(&loaded, Operation::CreateRoutingProgram, options);
            if let Some(profile) = &scope.profile {
                claim.path = format!("{}/{profile}", claim.path);
            }
            let request = canonical(&new)?;
            if let Some(first) = session.replay(&claim, &request).await? {
                return Ok(first);
            }
            let merchant = scope.merchant.pinned(loaded.row.tenant);
            let named = scope.profile.is_some() || new.profile_id.is_some() || session.bound_profile().is_some();
            settle!(session, None, {
                let profile = profile::resolve(&merchant, scope.profile.as_ref(), new.profile_id.as_ref()).await?;
                let retry_policy = new.retry_policy.clone().unwrap_or_default();
                let accounts = accounts(session, &merchant.path, &profile.id).await?;
                let lints = checked(session, &new.algorithm, &retry_policy, &accounts)?;
                let id = RoutingId::make("routing_", moment, &session.random());
                let state = RoutingProgramState::new(&new, profile.id.clone());
                let row = Stored::new(loaded.row.tenant, id.clone(), moment, state);
                let state = RoutingVersionState {
                    profile_id: profile.id.clone(),
                    algorithm: new.algorithm.clone(),
                    retry_policy,
                };
                let version = RoutingVersionId { program: id, number: 1 };
                let version = Stored::new(loaded.row.tenant, version, moment, state);
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                set.create(row.clone()).create(version);
                let answer = CheckedRouting { record: row.into(), checked_version: 1, lints };
                let done = session.commit_claimed(set, &claim, &request, answer).await;
                done.map_err(|error| if named { error } else { loaded.unless_default(error) })
            })
        })
    }

    /// Lists the programs, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile.
    #[observed]
    pub async fn list(&self, page: PageRequest) -> Result<Page<RoutingRecord>, Error> {
        let session = &self.merchant.session;
        session.begin(Operation::ListRoutingPrograms).await?;
        if let Some(profile) = &self.profile {
            let key = Key::Profile(self.merchant.path.clone(), profile.clone());
            session.require::<ProfileState>(&key, profile).await?;
        }
        let collection = Collection::RoutingPrograms { profile: self.profile.clone() };
        let query = Query::Within(self.merchant.path.clone(), collection, page);
        let rows = session.list(&query).await?.ok_or_else(|| self.merchant.absent())?;
        Ok(rows.map(RoutingRecord::from))
    }

    /// The program that decides in the profile, or in the default profile from the handle of an account. `None` where
    /// none does.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile.
    #[observed]
    pub async fn active(&self) -> Result<Option<RoutingProgram>, Error> {
        self.merchant.session.begin(Operation::RetrieveActiveRouting).await?;
        let profile = self.resolved().await?;
        let Some(row) = active_of(&self.merchant, &profile.id).await? else { return Ok(None) };
        let Some(id) = active_version(&row) else { return Ok(None) };
        let version = version_of(&self.merchant, &id).await?;
        Ok(Some(RoutingProgram::view(row, version)))
    }

    /// Lets no program decide in the profile, and answers the one that did. The version to expect is that one's.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile, [`Error::Stale`]; [`Error::Refused`] with code
    /// `routing.nothing_active`.
    pub fn deactivate(&self) -> Update<RoutingRecord> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::DeactivateRouting).await?;
            settle!(session, options.expected_version, {
                let (row, loaded) = scope.deciding(options).await?;
                let next = row.next(moment, row.state.resting());
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                set.update(next.clone());
                session.commit(set, Operation::DeactivateRouting, &()).await?;
                Ok(next.into())
            })
        })
    }

    /// Lets the version decide that did before the one that does, and answers its program. That, too, can be rolled back.
    /// The version to expect is that of the program that decides.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile, [`Error::Stale`]; [`Error::Refused`] with code
    /// `routing.nothing_active`, or `routing.nothing_before` where nothing decided before; [`Error::Invalid`] as of
    /// [`activate`](RoutingProgramScope::activate).
    pub fn roll_back(&self) -> Update<CheckedRouting> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::RollBackRouting).await?;
            settle!(session, options.expected_version, {
                let (row, loaded) = scope.deciding(options).await?;
                let merchant = scope.merchant.pinned(row.tenant);
                let nothing = || refused(&row, "routing.nothing_before", "took the place of nothing");
                let before = row.state.replaced.as_ref().ok_or_else(nothing)?;
                let target = if before.program == row.id {
                    row.clone()
                } else {
                    let key = Key::RoutingProgram(merchant.path.clone(), before.program.clone());
                    session.get(&key).await?.ok_or_else(nothing)?
                };
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                let (next, lints) = activation(&merchant, &mut set, &target, before.number).await?;
                let done = session.commit(set, Operation::RollBackRouting, &()).await;
                done.map_err(|error| unless_program(&row, error))?;
                Ok(CheckedRouting { record: next.into(), checked_version: before.number, lints })
            })
        })
    }

    /// The program that decides, at the version that is expected.
    async fn deciding(&self, options: UpdateOptions) -> Result<(Stored<RoutingProgramState>, Loaded), Error> {
        let profile = self.resolved().await?;
        let row = active_of(&self.merchant, &profile.id).await?;
        let none = || profile_refused(&profile.id, "routing.nothing_active", "has no active routing program");
        let row = row.ok_or_else(none)?;
        at_expected(&row, options.expected_version)?;
        let loaded = self.merchant.load_for(&row).await?;
        Ok((row, loaded))
    }

    /// What an algorithm that is not saved would do with a payment, among the profile's accounts and with its fallback
    /// order as they are: the card is not screened, and nothing is written.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile; [`Error::Invalid`] at `algorithm` as of
    /// [`create`](Self::create), or at `facts` for facts that contradict each other.
    #[observed]
    pub async fn dry_run(
        &self,
        algorithm: &Algorithm,
        payment: &PaymentId,
        facts: &PaymentFacts,
    ) -> Result<DryRun, Error> {
        let session = &self.merchant.session;
        let moment = session.begin(Operation::DryRunRouting).await?;
        let profile = self.resolved().await?;
        facts.check().map_err(|fault| within("facts", fault))?;
        let accounts = accounts(session, &MerchantPath::Pinned(profile.tenant), &profile.id).await?;
        let lints = checked(session, algorithm, &RetryPolicy::default(), &accounts)?;
        // A name of its own: its splits are those of no program that there is.
        let id = RoutingId::make("routing_", moment, &[0; 10]);
        let program = ProgramVersion { id, version: 0, algorithm: Arc::new(algorithm.clone()) };
        let accounts = routable(session, &accounts);
        let router = Router::new(profile.id.clone(), Some(program), accounts, &profile.state.fallback)
            .map_err(|fault| within("algorithm", fault))?;
        let inputs = DecisionInputs::of(payment, facts);
        Ok(DryRun { answer: decide(&router, inputs), explanation: explain(&router, inputs), lints })
    }

    /// The order in which the profile's connector accounts are tried where no program decides, and behind those that one
    /// selects: the profile's accounts for payments that are neither disabled nor inactive. New ones come last, and those
    /// that are removed or disabled fall out, by themselves.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account or the profile.
    #[observed]
    pub async fn fallback(&self) -> Result<FallbackOrder, Error> {
        let session = &self.merchant.session;
        session.begin(Operation::RetrieveFallback).await?;
        let profile = self.resolved().await?;
        let path = MerchantPath::Pinned(profile.tenant);
        let accounts = accounts(session, &path, &profile.id).await?;
        Ok(shown(&profile, ordered(session, &profile.state.fallback, &accounts)))
    }

    /// Puts the fallback order in another order: exactly the accounts that are in it, each one once. The order is kept on
    /// the profile: its version is what the command may expect, and what grows.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`]; [`Error::Invalid`] with the codes of [`reorder`].
    pub fn set_fallback(&self, order: Vec<ConnectorChoice>) -> Update<FallbackOrder> {
        let request = order.clone();
        self.reordering(request, move |known| reorder(known, &order).map_err(Error::from))
    }

    /// Moves an account of the fallback order to a place in it, 0 being the first; the others keep their order. See
    /// [`set_fallback`](Self::set_fallback).
    ///
    /// # Errors
    ///
    /// As there, with the codes of [`move_to`].
    pub fn move_in_fallback(&self, account: &ConnectorId, to: usize) -> Update<FallbackOrder> {
        let account = account.clone();
        self.reordering((account.clone(), to), move |known| {
            let known: Vec<ConnectorId> = known.iter().filter_map(|c| c.merchant_connector_id.clone()).collect();
            move_to(&known, &account, to).map_err(Error::from)
        })
    }

    fn reordering<R, F>(&self, request: R, decide: F) -> Update<FallbackOrder>
    where
        R: Serialize + Send + Sync + 'static,
        F: Fn(&[ConnectorChoice]) -> Result<Vec<ConnectorId>, Error> + Send + Sync + 'static,
    {
        let scope = self.clone();
        let request = Reordering(request);
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::ReorderFallback).await?;
            settle!(session, options.expected_version, {
                let row = scope.resolved().await?;
                at_expected(&row, options.expected_version)?;
                let loaded = scope.merchant.load_for(&row).await?;
                let accounts = accounts(session, &MerchantPath::Pinned(row.tenant), &row.id).await?;
                let known = ordered(session, &row.state.fallback, &accounts);
                let mut order = decide(&known)?;
                if order.iter().eq(known.iter().filter_map(|choice| choice.merchant_connector_id.as_ref())) {
                    return Ok(shown(&row, known));
                }
                // Accounts that have no place now keep theirs among each other, behind, for when they have one again.
                order.extend(row.state.fallback.iter().filter(|id| is_without_place(id, &known)).cloned());
                order.retain(|id| accounts.iter().any(|account| account.id == *id));
                let next = row.next(moment, ProfileState { fallback: order, ..row.state.clone() });
                let answer = shown(&next, ordered(session, &next.state.fallback, &accounts));
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                set.update(next);
                session.commit(set, Operation::ReorderFallback, &request).await?;
                Ok(answer)
            })
        })
    }

    /// A handle on a program, whether it exists or not.
    pub fn program(&self, id: &RoutingId) -> RoutingProgramScope {
        RoutingProgramScope { merchant: self.merchant.clone(), profile: self.profile.clone(), id: id.clone() }
    }
}

/// A request to put a fallback order in another order.
#[derive(Serialize)]
struct Reordering<T>(T);

impl<T: Serialize> Request for Reordering<T> {}

/// The fallback order as it is now: what was said, then what was not.
fn ordered(session: &Session, said: &[ConnectorId], accounts: &[Stored<ConnectorState>]) -> Vec<ConnectorChoice> {
    let order = fallback_order(said, &routable(session, accounts));
    let choice = |id: ConnectorId| {
        let row = accounts.iter().find(|row| row.id == id)?;
        Some(ConnectorChoice { connector: row.state.connector_name.clone(), merchant_connector_id: Some(id) })
    };
    order.into_iter().filter_map(choice).collect()
}

fn shown(profile: &Stored<ProfileState>, connectors: Vec<ConnectorChoice>) -> FallbackOrder {
    FallbackOrder { profile_id: profile.id.clone(), connectors, version: profile.version }
}

fn is_without_place(id: &ConnectorId, order: &[ConnectorChoice]) -> bool {
    order.iter().all(|choice| choice.merchant_connector_id.as_ref() != Some(id))
}

/// What a draft would do with a payment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryRun {
    /// The accounts that would be tried, or that none would be.
    pub answer: Answer,
    /// How the draft comes to it.
    pub explanation: RoutingExplanation,
    /// What is strange in the draft.
    pub lints: Vec<Lint>,
}

impl RoutingProgramScope {
    async fn load(&self) -> Result<Stored<RoutingProgramState>, Error> {
        let key = Key::RoutingProgram(self.merchant.path.clone(), self.id.clone());
        let row: Option<Stored<RoutingProgramState>> = self.merchant.session.get(&key).await?;
        row.filter(|row| self.profile.as_ref().is_none_or(|profile| row.state.profile_id == *profile))
            .ok_or_else(|| Error::not_found(EntityKind::RoutingProgram, &self.id))
    }

    async fn load_version(&self, number: u32) -> Result<Stored<RoutingVersionState>, Error> {
        let id = RoutingVersionId { program: self.id.clone(), number };
        let row = version_of(&self.merchant, &id).await?;
        if self.profile.as_ref().is_some_and(|profile| row.state.profile_id != *profile) {
            return Err(Error::not_found(EntityKind::RoutingVersion, &id));
        }
        Ok(row)
    }

    /// The program, with the version that decides or, where none does, the newest.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn retrieve(&self) -> Result<RoutingProgram, Error> {
        self.merchant.session.begin(Operation::RetrieveRoutingProgram).await?;
        let row = self.load().await?;
        let version = self.load_version(row.state.active.unwrap_or(row.state.latest)).await?;
        Ok(RoutingProgram::view(row, version))
    }

    /// One version of the program.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn version(&self, number: u32) -> Result<RoutingVersion, Error> {
        self.merchant.session.begin(Operation::RetrieveRoutingVersion).await?;
        Ok(self.load_version(number).await?.into())
    }

    /// Lists the program's versions, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn versions(&self, page: PageRequest) -> Result<Page<RoutingVersion>, Error> {
        let session = &self.merchant.session;
        session.begin(Operation::ListRoutingVersions).await?;
        self.load().await?;
        let collection = Collection::RoutingVersions { program: Some(self.id.clone()) };
        let query = Query::Within(self.merchant.path.clone(), collection, page);
        let rows = session.list(&query).await?.ok_or_else(|| self.merchant.absent())?;
        Ok(rows.map(RoutingVersion::from))
    }

    /// What differs between two versions of the program.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the program or one of the versions.
    #[observed]
    pub async fn diff(&self, from: u32, to: u32) -> Result<RoutingDiff, Error> {
        self.merchant.session.begin(Operation::RetrieveRoutingDiff).await?;
        RoutingDiff::new(&self.load_version(from).await?.into(), &self.load_version(to).await?.into())
    }

    /// Adds a version, which does not decide until it is activated. It is checked as
    /// [a new program](RoutingScope::create) is.
    ///
    /// # Errors
    ///
    /// As there, and [`Error::NotFound`] for the program; `routing.too_many_versions` where it has had 10,000.
    pub fn add_version(&self, new: NewRoutingVersion) -> Create<CheckedRouting> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::AddRoutingVersion).await?;
            let loaded = scope.merchant.load().await?;
            let mut claim = claimed(&loaded, Operation::AddRoutingVersion, options);
            claim.path = format!("{}/{}", claim.path, scope.id);
            let request = canonical(&new)?;
            if let Some(first) = session.replay::<Versioned<CheckedRouting>>(&claim, &request).await? {
                return Ok(first.into_answer());
            }
            settle!(session, None, {
                let row = scope.load().await?;
                let retry_policy = new.retry_policy.clone().unwrap_or_default();
                let accounts = accounts(session, &MerchantPath::Pinned(row.tenant), &row.state.profile_id).await?;
                let lints = checked(session, &new.algorithm, &retry_policy, &accounts)?;
                let next = row.next(moment, row.state.extended(new.algorithm.kind())?);
                let id = RoutingVersionId { program: row.id.clone(), number: next.state.latest };
                let state = RoutingVersionState {
                    profile_id: row.state.profile_id.clone(),
                    algorithm: new.algorithm.clone(),
                    retry_policy,
                };
                let version = Stored::new(row.tenant, id, moment, state);
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                set.update(next.clone()).create(version);
                let answer = CheckedRouting { checked_version: next.state.latest, record: next.into(), lints };
                let done = session.commit_claimed(set, &claim, &request, Versioned::of(answer)).await;
                done.map(Versioned::into_answer)
            })
        })
    }

    /// Lets a version decide in the profile, the newest unless one is named, in the place of whatever does. It is checked
    /// again: every account that it names must be there still, and stay until the commit.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the program or the version, [`Error::Stale`]; [`Error::Refused`] with code
    /// `routing.already_active`; [`Error::Invalid`] with code `routing.unknown_account` and the path inside the version,
    /// and with code `routing.lints` where there are findings and
    /// [`Settings::lints_block_activation`](crate::Settings::lints_block_activation) says so.
    pub fn activate(&self, number: Option<u32>) -> Update<CheckedRouting> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::ActivateRouting).await?;
            settle!(session, options.expected_version, {
                let row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let number = number.unwrap_or(row.state.latest);
                if row.state.active == Some(number) {
                    return Err(refused(&row, "routing.already_active", "decides by this version already"));
                }
                let loaded = scope.merchant.load_for(&row).await?;
                let merchant = scope.merchant.pinned(row.tenant);
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                let (next, lints) = activation(&merchant, &mut set, &row, number).await?;
                let done = session.commit(set, Operation::ActivateRouting, &number).await;
                done.map_err(|error| unless_program(&row, error))?;
                Ok(CheckedRouting { record: next.into(), checked_version: number, lints })
            })
        })
    }

    /// Removes a version that never decided and is not the newest. The version to expect is the program's.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`]; [`Error::Refused`] with code `routing.served` for one that ever decided, or
    /// `routing.newest_version`.
    pub fn remove_version(&self, number: u32) -> Remove<RoutingRecord> {
        let scope = self.clone();
        Remove::new(async move |options: RemoveOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::RemoveRoutingVersion).await?;
            settle!(session, options.expected_version, {
                let row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                let version = scope.load_version(number).await?;
                if row.state.has_served(number) {
                    return Err(refused(
                        &row,
                        "routing.served",
                        "decided by this version once, and what it decided stays",
                    ));
                }
                if row.state.latest == number {
                    return Err(refused(&row, "routing.newest_version", "has this version as its newest one"));
                }
                let loaded = scope.merchant.load_for(&row).await?;
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                // Nobody may activate it meanwhile.
                set.expect(row.entity(), row.version);
                set.remove(version.entity(), version.version, false);
                let done = session.commit(set, Operation::RemoveRoutingVersion, &options).await;
                done.map_err(|error| unless_program(&row, error))?;
                Ok(row.into())
            })
        })
    }

    /// Removes the program with its versions, none of which ever decided.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`]; [`Error::Refused`] with code `routing.served` if one did.
    pub fn remove(&self) -> Remove<RoutingId> {
        let scope = self.clone();
        Remove::new(async move |options: RemoveOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::RemoveRoutingProgram).await?;
            settle!(session, options.expected_version, {
                let row = scope.load().await?;
                at_expected(&row, options.expected_version)?;
                if !row.state.served.is_empty() {
                    return Err(refused(&row, "routing.served", "decided once, and what it decided stays"));
                }
                let loaded = scope.merchant.load_for(&row).await?;
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                set.remove(row.entity(), row.version, false);
                session.commit(set, Operation::RemoveRoutingProgram, &options).await?;
                Ok(row.id)
            })
        })
    }
}
