//! What every handle does alike: check who asks, read the clock, load, commit once, answer again.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::caller::Guard;
use super::command::CreateOptions;
use super::follow::Follower;
use super::keys::KeyIndex;
use super::lists::Lists;
use super::meters;
use super::observed::{self, End};
use super::operation::Operation;
use super::overlay::{Names, Overlay, key_of, no_key_of_its_own};
use super::routers::Routers;
use super::vault::Vault;
use crate::api_key::{Access, Environment, Resource, Right, Touch};
use crate::card_testing::GuardCounters;
use crate::connector::Catalogue;
use crate::error::{EntityKind, Error, Fault};
use crate::event::RetryPlan;
use crate::id::{Incarnation, ProfileId};
use crate::page::{Cursor, Page};
use crate::payment::Payment;
use crate::routing::CheckedRouting;
use crate::seal::{Keys, SealingKey, Seals};
use crate::secret::Request;
use crate::store::{
    Actor, Change, ChangeSet, CommitClass, Committed, IdempotencyClaim, IdempotencyKey, Key, Owner, Query, Receipt,
    Record, State, Store, Stored,
};
use crate::time::{Entropy, Timestamp};

/// How often a command that met another one is decided again before it gives up.
pub(super) const ATTEMPTS: u32 = 32;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) vault: Vault,
    pub(super) environment: Environment,
    pub(super) base_url: String,
    pub(super) catalogue: Catalogue,
    pub(super) test_connectors: bool,
    pub(super) idempotency_seconds: u32,
    pub(super) overlap_seconds: u32,
    pub(super) webhook_retries: RetryPlan,
    pub(super) entropy: Arc<dyn Entropy>,
    /// The clocks, and what keeps memory up to the log.
    pub(super) follower: Follower,
    /// API keys that were used.
    pub(super) keys: Arc<KeyIndex>,
    /// The compiled blocklists.
    pub(super) lists: Arc<Lists>,
    /// What decides the payments of each profile.
    pub(super) routers: Arc<Routers>,
    /// The failed attempts that the guard against card testing counts.
    pub(super) counters: Arc<dyn GuardCounters>,
    /// Whether lints keep a routing program from being activated.
    pub(super) lints_block: bool,
    /// Where commands that met another one wait for each other.
    pub(super) lanes: Lanes,
}

/// Commands of this process that are decided again about one object go one after the other: each would otherwise be the
/// cause that the others fail once more, and under enough of them one would never come through.
#[derive(Debug, Default)]
pub(super) struct Lanes([async_lock::Mutex<()>; 16]);

impl Lanes {
    /// Waits until no other command is being decided again about the object that the error names.
    pub(super) async fn enter<T>(&self, done: &Result<T, Error>) -> Option<async_lock::MutexGuard<'_, ()>> {
        let id = match done {
            Err(Error::Stale { entity, .. } | Error::Moved { entity }) => entity.id.as_str(),
            _ => "",
        };
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let lanes = u64::try_from(self.0.len()).unwrap_or(1);
        let lane = self.0.get(usize::try_from(hasher.finish() % lanes).unwrap_or_default())?;
        Some(lane.lock().await)
    }
}

/// Who works, on what: the part that every handle carries.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) inner: Arc<Inner>,
    store: Arc<dyn Store>,
    /// Where commands are staged instead of committed; then `store` is it, too.
    batch: Option<Arc<Overlay>>,
    pub(super) actor: Actor,
    guard: Option<Arc<Guard>>,
    /// The profile that the handle is bound to.
    bound: Option<Arc<ProfileId>>,
}

/// What an idempotency key stands for.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub(super) operation: Operation,
    /// The parent of what is created.
    pub(super) tenant: Incarnation,
    /// The ids on the way to the parent.
    pub(super) path: String,
    pub(super) key: Option<IdempotencyKey>,
}

impl Session {
    pub(super) fn host(inner: Arc<Inner>, store: Arc<dyn Store>) -> Self {
        Self { inner, store, batch: None, actor: Actor::Host, guard: None, bound: None }
    }

    pub(super) fn is_batched(&self) -> bool {
        self.batch.is_some()
    }

    /// The same session on an overlay of its store. What is staged for its own key is nobody else's news.
    pub(super) fn batched(&self) -> (Self, Arc<Overlay>) {
        let overlay = Arc::new(Overlay::new(Arc::clone(&self.store), self.actor.clone()));
        let store: Arc<dyn Store> = Arc::clone(&overlay) as _;
        let guard = self.guard.as_ref().map(|guard| Arc::new(guard.apart()));
        (Self { store, batch: Some(Arc::clone(&overlay)), guard, ..self.clone() }, overlay)
    }

    pub(super) fn by(mut self, actor: Actor) -> Self {
        self.actor = actor;
        self
    }

    pub(super) fn guarded(mut self, guard: Guard) -> Self {
        self.guard = Some(Arc::new(guard));
        self
    }

    /// The same session with nobody's key to check: for what is tried and never committed.
    pub(super) fn unguarded(mut self) -> Self {
        self.guard = None;
        self
    }

    /// The same session, in which what belongs to another profile is refused.
    pub(super) fn bound_to(mut self, profile: ProfileId) -> Self {
        self.bound = Some(Arc::new(profile));
        self
    }

    /// The profile that the handle is bound to.
    pub(super) fn bound_profile(&self) -> Option<&ProfileId> {
        self.bound.as_deref()
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// What the caller may do; everything, if it is the host.
    pub(super) fn access(&self) -> Access {
        self.guard.as_ref().map_or_else(Access::default, |guard| guard.known().key.access.clone())
    }

    /// Whether the caller may read all that the log says of the account.
    pub(super) fn may_read_log(&self) -> bool {
        let access = self.access();
        access.profile_ids.is_none() && access.scopes.allow(Right::new(Resource::Log, Touch::Read))
    }

    /// Refuses what was read of a profile that the caller's key is not for, or that the handle is not bound to. Every read
    /// of a handle comes through here.
    fn reach(&self, record: &Record) -> Result<(), Error> {
        match record.profile() {
            Some(profile) if self.guard.as_ref().is_some_and(|guard| !guard.reaches(profile)) => Err(Error::Forbidden),
            Some(profile) if self.bound_profile().is_some_and(|bound| bound != profile) => {
                Err(Fault::new("profile.other", "must be the profile that the call is bound to")
                    .at("profile_id")
                    .into())
            }
            _ => Ok(()),
        }
    }

    /// Whether the profile is one that the caller's key is for, and that the handle is bound to: asked where memory
    /// answers, and nothing is read.
    pub(super) fn is_for(&self, profile: &ProfileId) -> bool {
        self.guard.as_ref().is_none_or(|guard| guard.reaches(profile))
            && self.bound_profile().is_none_or(|bound| bound == profile)
    }

    /// The first line of every operation: whether the caller's key still lives and may do it, and the moment.
    ///
    /// The moment is the later of the clock and the newest one in the log, so that a clock set back revives nothing.
    pub(super) async fn begin(&self, operation: Operation) -> Result<Timestamp, Error> {
        self.began(operation);
        match &self.guard {
            Some(guard) => guard.check(self, operation).await,
            None => Ok(self.now()),
        }
    }

    /// Says which operation begins.
    #[inline]
    pub(super) fn began(&self, operation: Operation) {
        observed::began(operation, &self.actor, self.is_batched());
    }

    /// The one line of an operation that is over already: of the host's own, which waits for nothing.
    #[inline]
    pub(super) fn at_once<T>(&self, operation: Operation, done: Result<T, Error>) -> Result<T, Error> {
        observed::at_once(operation, &self.actor, End::of(&done));
        done
    }

    /// Whether a caller's key is to be checked.
    pub(super) fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.inner.follower.moment()
    }

    /// Whether the caller may state an id. Only the host may.
    pub(super) fn may_state(&self, options: &CreateOptions) -> Result<(), Error> {
        if options.id.is_some() && self.guard.is_some() { Err(Error::Forbidden) } else { Ok(()) }
    }

    pub(super) fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.inner.entropy.fill(&mut bytes);
        bytes
    }

    pub(super) fn changes(&self, owner: Owner, now: Timestamp, class: CommitClass) -> ChangeSet {
        ChangeSet::new(owner, self.actor.clone(), now, class)
    }

    /// One object, or `None` where the path leads to nothing. [`Error::Forbidden`] if it belongs to a profile that the
    /// caller's key is not for, [`Error::Invalid`] if to another one than the handle is bound to.
    pub(super) async fn get<S: State>(&self, key: &Key) -> Result<Option<Stored<S>>, Error>
    where
        Stored<S>: TryFrom<Record, Error = Error>,
    {
        let record = self.store().get(key).await?;
        match record.as_ref().map_or(Ok(()), |record| self.reach(record)) {
            // Which profile is the default one is the account's to say.
            Err(Error::Invalid(_)) if matches!(key, Key::DefaultProfile(_)) => {}
            reached => reached?,
        }
        record.map(Stored::try_from).transpose()
    }

    /// One object that must be there; `id` is how the error names it.
    pub(super) async fn require<S: State>(&self, key: &Key, id: &(dyn fmt::Display + Sync)) -> Result<Stored<S>, Error>
    where
        Stored<S>: TryFrom<Record, Error = Error>,
    {
        self.get(key).await?.ok_or_else(|| Error::not_found(S::KIND, id))
    }

    /// The data keys that sealed the fields of an object. Where one is not there the tenant was removed meanwhile, and the
    /// object with it; that there is such a thing as a data key is nobody's to know. Where the object was sealed anew since
    /// it was read, it is read again.
    pub(super) async fn keys_of<S: State>(&self, row: &mut Stored<S>) -> Result<Keys, Error>
    where
        Stored<S>: TryFrom<Record, Error = Error>,
    {
        let mut attempts = ATTEMPTS;
        loop {
            let mut keys = Keys::default();
            match self.add_keys_of(row, &mut keys).await {
                Ok(()) => return Ok(keys),
                Err(Error::Moved { .. }) if attempts > 0 => attempts -= 1,
                Err(error) => return Err(error),
            }
            *row = self.require(&key_of(&row.entity())?, &row.id).await?;
        }
    }

    /// Adds the data keys that sealed the fields of an object.
    ///
    /// # Errors
    ///
    /// [`Error::Moved`] where the object was sealed anew since it was read, and the former key is gone.
    pub(super) async fn add_keys_of<S: State>(&self, row: &mut Stored<S>, keys: &mut Keys) -> Result<(), Error>
    where
        Stored<S>: TryFrom<Record, Error = Error>,
    {
        for id in row.data_keys()? {
            keys.add(self.data_key_of(row, &id).await?);
        }
        Ok(())
    }

    /// The data key of this id, which the object names.
    pub(super) async fn data_key_of<S: State>(&self, row: &Stored<S>, id: &str) -> Result<Arc<SealingKey>, Error>
    where
        Stored<S>: TryFrom<Record, Error = Error>,
    {
        let error = match self.inner.vault.data_key(self.store(), row.tenant, id).await {
            Err(Error::NotFound(_)) => return Err(Error::NotFound(row.entity().named())),
            Err(error @ Error::Corrupt { .. }) => error,
            found => return found,
        };
        let now: Option<Stored<S>> = self.get(&key_of(&row.entity())?).await?;
        let Some(mut now) = now else { return Err(Error::NotFound(row.entity().named())) };
        let still = now.data_keys()?.iter().any(|named| **named == *id);
        Err(if still { error } else { Error::Moved { entity: row.entity().named() } })
    }

    /// The seals of an object of this tenant.
    pub(super) fn seals<'a>(&'a self, keys: &'a Keys, tenant: Incarnation, kind: EntityKind, id: &'a str) -> Seals<'a> {
        Seals { keys, entropy: &*self.inner.entropy, tenant, kind, id }
    }

    /// One page, or `None` where the path leads to no parent.
    pub(super) async fn list<S: State>(&self, query: &Query) -> Result<Option<Page<Stored<S>>>, Error>
    where
        Stored<S>: TryFrom<Record, Error = Error>,
    {
        Ok(self.list_counted(query).await?.map(|(page, _)| page))
    }

    /// One page and how many there are in all, where the collection is counted.
    pub(super) async fn list_counted<S: State>(
        &self,
        query: &Query,
    ) -> Result<Option<(Page<Stored<S>>, Option<u64>)>, Error>
    where
        Stored<S>: TryFrom<Record, Error = Error>,
    {
        let Some(listing) = self.store().list(query).await? else { return Ok(None) };
        let limit = usize::try_from(query.page().limit()).unwrap_or(usize::MAX);
        let more = listing.records.len() > limit;
        let page = listing.records.get(..limit).unwrap_or(&listing.records);
        let last = page.last().filter(|_| more);
        let collection = query.collection();
        let next = last.map(|last| Cursor { created_at: last.place_in(&collection).1, id: last.meta().id });
        // What the caller's key is not for is left out; the page is shorter then, and the cursor the same.
        let records = listing.records.into_iter().take(limit).filter(|record| self.reach(record).is_ok());
        let items: Vec<Stored<S>> = records.map(Stored::try_from).collect::<Result<_, _>>()?;
        Ok(Some((Page { items, next }, listing.total)))
    }

    /// Commits a set that claims no idempotency key. In a batch it is staged, and its request is bound: the operation,
    /// the object and the body.
    pub(super) async fn commit(
        &self,
        set: ChangeSet,
        operation: Operation,
        body: &(impl Request + Sync),
    ) -> Result<Receipt, Error> {
        if let Some(batch) = &self.batch {
            let object = set.changes.first().map(Change::logged).map(|c| format!("{}/{}", c.kind, c.id));
            let (object, body) = (object.unwrap_or_default(), canonical(body)?);
            return batch.stage(set, |names| self.bound_by(names, operation, &object, &body)).await;
        }
        self.applied(set).await
    }

    /// The MAC of a request with the ids of its batch replaced.
    fn bound_by(&self, names: &Names, operation: Operation, path: &str, request: &[u8]) -> [u8; 32] {
        let path = names.replace(path.as_bytes());
        let path = String::from_utf8_lossy(&path);
        self.inner.vault.request(operation.into(), &path, &names.replace(request))
    }

    /// Has the log say that the secrets of an object are revealed, before they are. Not in a batch: what it stages may
    /// never be committed.
    pub(super) async fn reveal<S: State>(&self, owner: Owner, now: Timestamp, row: &Stored<S>) -> Result<(), Error> {
        if self.is_batched() {
            return Err(Fault::new("batch.reveal", "cannot reveal secrets").at("batch").into());
        }
        let mut set = self.changes(owner, now, CommitClass::Operational);
        set.changes.push(Change::Reveal { entity: row.entity(), version: row.version });
        self.applied(set).await.map(drop)
    }

    async fn applied(&self, set: ChangeSet) -> Result<Receipt, Error> {
        match self.inner.follower.commit(self.store(), set).await? {
            Committed::Applied(receipt) => Ok(receipt),
            Committed::Replayed(_) => Err(Error::corrupt("a commit without an idempotency key was replayed")),
        }
    }

    /// What the command answered the first time, looked up before any rule is asked.
    pub(super) async fn replay<T: DeserializeOwned>(
        &self,
        claimed: &Claimed,
        request: &[u8],
    ) -> Result<Option<T>, Error> {
        let Some(key) = &claimed.key else { return Ok(None) };
        if self.batch.is_some() {
            return Err(no_key_of_its_own());
        }
        let Some(kept) = self.store().claim(claimed.tenant, key).await? else { return Ok(None) };
        if kept.expires_at <= self.now() {
            return Ok(None);
        }
        let vault = &self.inner.vault;
        // The key may have been another one then.
        if kept.request
            != vault.request_as(&kept.answer, claimed.operation.into(), &self.bound_path(claimed), request)?
        {
            return Err(Error::IdempotencyMismatch);
        }
        vault.open_answer(claimed.tenant, key, &kept.answer).map(Some)
    }

    /// What is kept under a key, whatever its request was; another kind of answer is that of another command.
    pub(super) async fn kept<T: DeserializeOwned>(
        &self,
        tenant: Incarnation,
        key: &IdempotencyKey,
    ) -> Result<Option<T>, Error> {
        let Some(kept) = self.store().claim(tenant, key).await? else { return Ok(None) };
        if kept.expires_at <= self.now() {
            return Ok(None);
        }
        let answer: serde_json::Value = self.inner.vault.open_answer(tenant, key, &kept.answer)?;
        serde_json::from_value(answer).map(Some).map_err(|_| Error::IdempotencyMismatch)
    }

    fn bound(&self, claimed: &Claimed, request: &[u8]) -> [u8; 32] {
        self.inner.vault.request(claimed.operation.into(), &self.bound_path(claimed), request)
    }

    /// A kept answer is given before any object is read: one key's answer must not be that of a key for other profiles, nor
    /// that of a call that is bound to another one.
    fn bound_path(&self, claimed: &Claimed) -> String {
        let ids = self.access().profile_ids;
        let path = ids.iter().flat_map(|ids| ids.iter()).fold(claimed.path.clone(), |path, id| format!("{path} {id}"));
        self.bound_profile().map_or(path.clone(), |bound| format!("{path} @{bound}"))
    }

    /// Commits a command's set, with its claim where it has one, and answers `answer`, or what was answered the first
    /// time.
    pub(super) async fn commit_claimed<T: Serialize + DeserializeOwned>(
        &self,
        set: ChangeSet,
        claimed: &Claimed,
        request: &[u8],
        answer: T,
    ) -> Result<T, Error> {
        if let Some(batch) = &self.batch {
            let bind = |names: &Names| self.bound_by(names, claimed.operation, &claimed.path, request);
            batch.stage(set, bind).await?;
            return Ok(answer);
        }
        Ok(self.commit_received(set, claimed, request, answer).await?.0)
    }

    /// Commits a set past any batch, and answers with its receipt too, if it was applied now.
    pub(super) async fn commit_received<T: Serialize + DeserializeOwned>(
        &self,
        mut set: ChangeSet,
        claimed: &Claimed,
        request: &[u8],
        answer: T,
    ) -> Result<(T, Option<Receipt>), Error> {
        let Some(key) = &claimed.key else {
            let receipt = self.applied(set).await?;
            return Ok((answer, Some(receipt)));
        };
        set.idempotency = Some(IdempotencyClaim {
            tenant: claimed.tenant,
            key: key.clone(),
            request: self.bound(claimed, request),
            answer: self.inner.vault.seal_answer(claimed.tenant, key, &answer, &*self.inner.entropy)?,
            expires_at: set.at.plus_seconds(self.inner.idempotency_seconds),
        });
        match self.inner.follower.commit(self.store(), set).await {
            Ok(Committed::Applied(receipt)) => Ok((answer, Some(receipt))),
            Ok(Committed::Replayed(first)) => Ok((self.inner.vault.open_answer(claimed.tenant, key, &first)?, None)),
            // An equal request that another process bound under another current key is seen to be equal only here.
            Err(Error::IdempotencyMismatch) => match self.replay(claimed, request).await? {
                Some(first) => Ok((first, None)),
                None => Err(Error::IdempotencyMismatch),
            },
            Err(error) => Err(error),
        }
    }
}

/// The request as an idempotency key is bound to it: its JSON and the secrets that are not in that, each with its length
/// in front.
pub(super) fn canonical(request: &impl Request) -> Result<Zeroizing<Vec<u8>>, Error> {
    let json = serde_json::to_vec(request)
        .map(Zeroizing::new)
        .map_err(|e| Error::Corrupt { what: "a request is not JSON".into(), source: Some(e.into()) })?;
    let parts: Vec<_> = std::iter::once(json).chain(request.secrets()).collect();
    let length = parts.iter().map(|part| part.len() + 8).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    for part in &parts {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

/// An answer that has the version of its object, which is no part of its JSON.
pub(super) trait HasVersion {
    fn version(&mut self) -> &mut u64;
}

impl HasVersion for CheckedRouting {
    fn version(&mut self) -> &mut u64 {
        &mut self.record.version
    }
}

impl HasVersion for Payment {
    fn version(&mut self) -> &mut u64 {
        &mut self.version
    }
}

/// The answer of a command that changed what was there, as it is kept under an idempotency key. What a creation answers
/// is kept as it is: its version is the first one.
#[derive(Serialize, Deserialize)]
pub(super) struct Versioned<T> {
    answer: T,
    version: u64,
}

impl<T: HasVersion> Versioned<T> {
    pub(super) fn of(mut answer: T) -> Self {
        let version = *answer.version();
        Self { answer, version }
    }

    pub(super) fn into_answer(mut self) -> T {
        *self.answer.version() = self.version;
        self.answer
    }
}

/// Decides and commits again while others come between. `$pinned` is the version that the caller expects, if any: should
/// it be gone, the caller is told instead. A macro, since the future of an async closure cannot be promised to be `Send`.
macro_rules! settle {
    ($session:expr, $pinned:expr, $attempt:block) => {{
        let mut turns = $crate::scope::session::Turns::new($pinned);
        let mut lane = None;
        loop {
            let done: Result<_, $crate::error::Error> = async { $attempt }.await;
            if turns.are_over(&done) {
                break done;
            }
            if lane.is_none() {
                lane = $session.inner.lanes.enter(&done).await;
            }
        }
    }};
}

pub(super) use settle;

/// How often a command may still be decided again.
pub(super) struct Turns {
    pinned: Option<u64>,
    left: u32,
}

impl Turns {
    pub(super) fn new(pinned: Option<u64>) -> Self {
        Self { pinned, left: ATTEMPTS }
    }

    pub(super) fn are_over<T>(&mut self, done: &Result<T, Error>) -> bool {
        self.left = self.left.saturating_sub(1);
        let again = match done {
            Err(Error::Stale { expected, .. }) => self.pinned != Some(*expected),
            Err(Error::Moved { .. } | Error::Duplicate { kind: EntityKind::Profile, field: "default_profile" }) => true,
            _ => false,
        };
        let are_over = !again || self.left == 0;
        if !are_over {
            meters::repeated();
        }
        are_over
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("actor", &self.actor).finish_non_exhaustive()
    }
}

/// The version that an update or a removal stands on: the one that was read, if it is the one that was expected.
pub(super) fn at_expected<S: State>(row: &Stored<S>, expected: Option<u64>) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != row.version => {
            Err(Error::Stale { entity: row.entity().named(), expected, found: row.version })
        }
        _ => Ok(()),
    }
}
