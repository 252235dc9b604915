//! An API key's handle.

use super::command::{CreateOptions, Remove, RemoveOptions, Update, UpdateOptions};
use super::merchant::{MerchantScope, claimed};
use super::operation::Operation;
use super::session::{at_expected, canonical, settle};
use crate::api_key::{ApiKey, ApiKeyState, ApiKeyUpdate, IssuedApiKey, NewApiKey, RevokedApiKey, Token};
use crate::error::Error;
use crate::id::ApiKeyId;
use crate::secret::{Disclosed, Request};
use crate::store::{CommitClass, Key, Stored};

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
    let environment = session.inner.environment;
    let id = ApiKeyId::make(environment.id_prefix(), moment, &session.random());
    let token = Token::make(environment, &*session.inner.entropy);
    let digest = session.inner.vault.digest(token.expose());
    let row = Stored::new(loaded.row.tenant, id, moment, ApiKeyState::new(new, &token, digest));
    let mut set = session.changes(loaded.owner(), moment, CommitClass::Configuration);
    set.create(row.clone());
    // The answer that is kept is the one without the token.
    let kept = IssuedApiKey {
        key_id: row.id,
        merchant_id: loaded.row.id.clone(),
        name: row.state.name,
        description: row.state.description,
        api_key: None,
        created: row.created_at,
        expiration: row.state.expires_at.into(),
        replayed: true,
    };
    let key_id = kept.key_id.clone();
    let answer = session.commit_claimed(set, &claim, &request, kept).await?;
    if answer.key_id != key_id {
        return Ok(answer);
    }
    Ok(IssuedApiKey { api_key: Some(Disclosed::from(token.into_secret())), replayed: false, ..answer })
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
    pub async fn retrieve(&self) -> Result<ApiKey, Error> {
        self.merchant.session.begin(Operation::RetrieveApiKey).await?;
        Ok(ApiKey::view(self.load().await?, self.merchant.merchant_id()?))
    }

    /// Updates the key and answers it as it is then. An update that changes nothing makes no version.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Stale`], [`Error::Invalid`], [`Error::Refused`] with code `api_key.revoked`.
    pub fn update(&self, update: ApiKeyUpdate) -> Update<ApiKey> {
        let scope = self.clone();
        Update::new(async move |options: UpdateOptions| {
            let session = &scope.merchant.session;
            let moment = session.begin(Operation::UpdateApiKey).await?;
            settle!(session, options.expected_version, {
                let row = scope.living(options.expected_version).await?;
                let state = row.state.updated(update.clone())?;
                if state == row.state {
                    return Ok(ApiKey::view(row, scope.merchant.merchant_id()?));
                }
                let next = row.next(moment, state);
                scope.commit(&next, moment, Operation::UpdateApiKey, &update).await?;
                Ok(ApiKey::view(next, scope.merchant.merchant_id()?))
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
        moment: crate::time::Timestamp,
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
