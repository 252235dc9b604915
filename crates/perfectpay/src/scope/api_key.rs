//! An API key's handle.

use std::collections::HashMap;
use std::time::Duration;

use perfectpay_macros::observed;
use serde::Serialize;

use super::command::{Create, CreateOptions, Remove, RemoveOptions, Update, UpdateOptions};
use super::merchant::{MerchantScope, claimed};
use super::operation::Operation;
use super::root::PerfectPay;
use super::session::{Session, at_expected, canonical, settle};
use crate::api_key::{
    Access, ApiKey, ApiKeyState, ApiKeyUpdate, IssuedApiKey, KeyFilter, NewApiKey, RevokedApiKey, Token, TokenDigest,
};
use crate::error::{Error, Fault};
use crate::id::{ApiKeyId, Incarnation, MerchantId};
use crate::merchant::MerchantState;
use crate::page::{Page, PageRequest};
use crate::profile::ProfileState;
use crate::secret::{Disclosed, Request};
use crate::store::{Collection, CommitClass, Key, MerchantPath, Query, Stored};
use crate::time::Timestamp;

/// One API key.
#[derive(Debug, Clone)]
pub struct ApiKeyScope {
    merchant: MerchantScope,
    id: ApiKeyId,
}

/// Carries out [`MerchantScope::create_api_key`].
pub(super) async fn create(
    merchant: &MerchantScope,
    new: NewApiKey,
    options: CreateOptions,
) -> Result<IssuedApiKey, Error> {
    let session = &merchant.session;
    let moment = session.begin(Operation::CreateApiKey).await?;
    let loaded = merchant.load().await?;
    let claim = claimed(&loaded, Operation::CreateApiKey, options);
    let request = canonical(&new)?;
    if let Some(first) = session.replay(&claim, &request).await? {
        return Ok(first);
    }
    let own = session.access();
    let access = new.access(&own);
    if !own.covers(&access) {
        return Err(Error::Forbidden);
    }
    check_profiles(merchant, &access).await?;
    loaded.row.state.key_policy.check(new.expiration, moment, moment)?;
    let (id, token, digest) = issue(session, moment)?;
    let row = Stored::new(loaded.row.tenant, id, moment, ApiKeyState::new(new, access, &token, digest));
    let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
    set.create(row.clone());
    let kept = IssuedApiKey::kept(row, loaded.row.id.clone());
    let key_id = kept.key_id.clone();
    let answer = session.commit_claimed(set, &claim, &request, kept).await?;
    Ok(shown(answer, &key_id, token))
}

/// What a new key is made of.
fn issue(session: &Session, moment: Timestamp) -> Result<(ApiKeyId, Token, TokenDigest), Error> {
    let environment = session.inner.environment;
    let id = ApiKeyId::make(environment.id_prefix(), moment, &session.random());
    let token = Token::make(environment, &*session.inner.entropy);
    let digest = session.inner.keys.digest(&token).ok_or_else(|| Error::corrupt("there is no pepper"))?;
    Ok((id, token, digest))
}

/// The answer with the token, if it is this call's: the one that is kept has none.
fn shown(answer: IssuedApiKey, made: &ApiKeyId, token: Token) -> IssuedApiKey {
    if answer.key_id != *made {
        return answer;
    }
    IssuedApiKey { api_key: Some(Disclosed::from(token.into_secret())), replayed: false, ..answer }
}

/// Whether the account has the profiles that a key is to be for.
async fn check_profiles(merchant: &MerchantScope, access: &Access) -> Result<(), Error> {
    for (at, id) in access.profile_ids.iter().flat_map(|ids| ids.iter()).enumerate() {
        let key = Key::Profile(merchant.path.clone(), id.clone());
        if merchant.session.get::<ProfileState>(&key).await?.is_none() {
            let fault = Fault::new("api_key.unknown_profile", "must be a profile of the account");
            return Err(fault.at(format!("profile_ids[{at}]")).into());
        }
    }
    Ok(())
}

/// The longest grace of a rotation, in seconds: 30 days.
const MAX_GRACE: u32 = 30 * 24 * 60 * 60;

/// The grace of a rotation in seconds; a part of one does not count.
pub(super) fn grace(grace: Duration) -> Result<u32, Fault> {
    let seconds = u32::try_from(grace.as_secs()).ok().filter(|seconds| *seconds <= MAX_GRACE);
    seconds.ok_or_else(|| Fault::new("grace.too_long", "must be at most 30 days").at("grace"))
}

/// A rotation as an idempotency key is bound to it.
#[derive(Serialize)]
struct Rotation<'a> {
    key_id: &'a ApiKeyId,
    grace: u32,
}

impl Request for Rotation<'_> {}

fn rotated(row: &Stored<ApiKeyState>, message: &'static str) -> Error {
    Error::Refused { entity: row.entity().named(), code: "api_key.rotated", message }
}

impl MerchantScope {
    /// Lists the API keys that are accepted now and end before this moment, the first to end first: of these a host
    /// reminds their holders.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    #[observed]
    pub async fn api_keys_ending(&self, before: Timestamp, page: PageRequest) -> Result<Page<ApiKey>, Error> {
        let after = self.session.begin(Operation::ListApiKeys).await?;
        self.some_api_keys(KeyFilter::Ending { after, before }, page).await
    }

    /// Lists the API keys that are accepted now and were not used since this moment, nor made since, the one that is idle
    /// longest first. Uses are known to the hour, and as far as [`PerfectPay::maintain`] has written them down.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the account.
    #[observed]
    pub async fn api_keys_unused(&self, since: Timestamp, page: PageRequest) -> Result<Page<ApiKey>, Error> {
        let at = self.session.begin(Operation::ListApiKeys).await?;
        self.some_api_keys(KeyFilter::Unused { since, at }, page).await
    }

    async fn some_api_keys(&self, filter: KeyFilter, page: PageRequest) -> Result<Page<ApiKey>, Error> {
        let merchant_id = self.merchant_id()?;
        let rows = self.rows(Collection::SomeApiKeys(filter), page).await?;
        Ok(rows.map(|row| ApiKey::view(row, merchant_id.clone())))
    }
}

impl PerfectPay {
    /// Lists the API keys of all accounts that are accepted now and end before this moment, the first to end first.
    ///
    /// # Errors
    ///
    /// Those of the store.
    #[observed]
    pub async fn api_keys_ending(&self, before: Timestamp, page: PageRequest) -> Result<Page<ApiKey>, Error> {
        let after = self.session.begin(Operation::ListApiKeys).await?;
        self.some_api_keys(KeyFilter::Ending { after, before }, page).await
    }

    /// Lists the API keys of all accounts that are accepted now and were not used since this moment, as
    /// [`MerchantScope::api_keys_unused`] does of one.
    ///
    /// # Errors
    ///
    /// Those of the store.
    #[observed]
    pub async fn api_keys_unused(&self, since: Timestamp, page: PageRequest) -> Result<Page<ApiKey>, Error> {
        let at = self.session.begin(Operation::ListApiKeys).await?;
        self.some_api_keys(KeyFilter::Unused { since, at }, page).await
    }

    async fn some_api_keys(&self, filter: KeyFilter, page: PageRequest) -> Result<Page<ApiKey>, Error> {
        let session = &self.session;
        let rows = session.list::<ApiKeyState>(&Query::ApiKeys(filter, page)).await?;
        let rows = rows.unwrap_or(Page { items: Vec::new(), next: None });
        let mut ids: HashMap<Incarnation, Option<MerchantId>> = HashMap::new();
        let mut items = Vec::with_capacity(rows.items.len());
        for row in rows.items {
            let id = if let Some(id) = ids.get(&row.tenant) {
                id.clone()
            } else {
                let path = Key::Merchant(MerchantPath::Pinned(row.tenant));
                let id = session.get::<MerchantState>(&path).await?.map(|merchant| merchant.id);
                ids.insert(row.tenant, id.clone());
                id
            };
            // Without its account it went while the page was put together.
            items.extend(id.map(|id| ApiKey::view(row, id)));
        }
        Ok(Page { items, next: rows.next })
    }
}

impl ApiKeyScope {
    pub(super) fn new(merchant: MerchantScope, id: ApiKeyId) -> Self {
        Self { merchant, id }
    }

    async fn load(&self) -> Result<Stored<ApiKeyState>, Error> {
        let key = Key::ApiKey(self.merchant.path.clone(), self.id.clone());
        self.merchant.session.require(&key, &self.id).await
    }

    /// The key, without its token.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    #[observed]
    pub async fn retrieve(&self) -> Result<ApiKey, Error> {
        self.merchant.session.begin(Operation::RetrieveApiKey).await?;
        Ok(ApiKey::view(self.load().await?, self.merchant.merchant_id()?))
    }

    /// Updates the key and answers it as it is then. An update that changes nothing makes no version. What its caller may
    /// not do itself it can give to no key, nor change a key that has it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`], [`Error::Invalid`], [`Error::Forbidden`], [`Error::Refused`] with code
    /// `api_key.revoked`, or `api_key.rotated` where it would move the end of a key that another has taken the place of.
    pub fn update(&self, update: ApiKeyUpdate) -> Update<ApiKey> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::UpdateApiKey).await?;
            settle!(session, options.expected_version, {
                let row = scope.living(options.expected_version).await?;
                let state = row.state.updated(update.clone())?;
                let own = session.access();
                if !own.covers(&row.state.access) || !own.covers(&state.access) {
                    return Err(Error::Forbidden);
                }
                if state.access.profile_ids != row.state.access.profile_ids {
                    check_profiles(&scope.merchant, &state.access).await?;
                }
                if state.expires_at != row.state.expires_at {
                    if row.state.successor.is_some() {
                        return Err(rotated(&row, "ends with its rotation"));
                    }
                    let policy = scope.merchant.load_for(&row).await?.row.state.key_policy;
                    policy.check(state.expires_at.into(), row.created_at, moment)?;
                }
                if state == row.state {
                    return Ok(ApiKey::view(row, scope.merchant.merchant_id()?));
                }
                let next = row.next(moment, state);
                scope.commit(&next, moment, Operation::UpdateApiKey, &update).await?;
                Ok(ApiKey::view(next, scope.merchant.merchant_id()?))
            })
        })
    }

    /// Puts another key in its place, in one commit: that one has the same name, description, access and end, and its token
    /// is in the answer; this one goes on for the grace, or to its own end if that is earlier. Each names the other. A
    /// policy of the account that is narrower by now moves the new key's end forward.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Invalid`] with code `grace.too_long` beyond 30 days, [`Error::Forbidden`] if the
    /// caller may not do what the key may, [`Error::Refused`] with code `api_key.revoked`, `api_key.rotated` or
    /// `api_key.expired`.
    pub fn rotate(&self, grace: Duration) -> Create<IssuedApiKey> {
        let scope = self.clone();
        Create::new(async move |options: CreateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::RotateApiKey).await?;
            let grace = self::grace(grace)?;
            let loaded = scope.merchant.load().await?;
            let claim = claimed(&loaded, Operation::RotateApiKey, options);
            let request = canonical(&Rotation { key_id: &scope.id, grace })?;
            if let Some(first) = session.replay(&claim, &request).await? {
                return Ok(first);
            }
            let scope = Self::new(scope.merchant.pinned(loaded.row.tenant), scope.id.clone());
            settle!(session, None, {
                let row = scope.living(None).await?;
                if !session.access().covers(&row.state.access) {
                    return Err(Error::Forbidden);
                }
                if row.state.successor.is_some() {
                    return Err(rotated(&row, "has a successor"));
                }
                if row.state.has_expired(moment) {
                    let entity = row.entity().named();
                    return Err(Error::Refused { entity, code: "api_key.expired", message: "has expired" });
                }
                let (id, token, digest) = issue(session, moment)?;
                let end = moment.plus_seconds(grace);
                let latest = loaded.row.state.key_policy.latest(moment);
                let (old, new) = row.state.rotated(&row.id, (&id, &token, digest), end, latest);
                let next = Stored::new(row.tenant, id.clone(), moment, new);
                let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
                set.create(next.clone()).update(row.next(moment, old));
                let kept = IssuedApiKey::kept(next, loaded.row.id.clone());
                let answer = session.commit_claimed(set, &claim, &request, kept).await?;
                Ok(shown(answer, &id, token))
            })
        })
    }

    /// Revokes the key: it never authenticates again. Its record stays and is listed as revoked; its digest is gone.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`], [`Error::Refused`] with code `api_key.revoked` the second time.
    pub fn revoke(&self) -> Remove<RevokedApiKey> {
        let scope = self.clone();
        Remove::new(async move |options: RemoveOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::RevokeApiKey).await?;
            settle!(session, options.expected_version, {
                let row = scope.living(options.expected_version).await?;
                let next = row.next(moment, row.state.revoked(moment));
                scope.commit(&next, moment, Operation::RevokeApiKey, &options).await?;
                Ok(RevokedApiKey { merchant_id: scope.merchant.merchant_id()?, key_id: row.id, revoked: true })
            })
        })
    }

    /// The key, if it is not revoked.
    async fn living(&self, expected: Option<u64>) -> Result<Stored<ApiKeyState>, Error> {
        let row = self.load().await?;
        at_expected(&row, expected)?;
        if row.state.revoked_at.is_some() {
            let entity = row.entity().named();
            return Err(Error::Refused { entity, code: "api_key.revoked", message: "is revoked" });
        }
        Ok(row)
    }

    async fn commit(
        &self,
        next: &Stored<ApiKeyState>,
        moment: Timestamp,
        operation: Operation,
        body: &(impl Request + Sync),
    ) -> Result<(), Error> {
        let loaded = self.merchant.load_for(next).await?;
        let session = &self.merchant.session;
        let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
        set.update(next.clone());
        session.commit(set, operation, body).await.map(drop)
    }
}
