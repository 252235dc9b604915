//! A caller: who holds an API key, with a handle on what the key reaches.

use super::merchant::MerchantScope;
use super::session::Session;
use crate::api_key::{ApiKey, ApiKeyState, Token};
use crate::error::{Error, Refusal};
use crate::id::{ApiKeyId, Incarnation, MerchantId};
use crate::merchant::MerchantState;
use crate::store::{Actor, Key, MerchantPath, Store, Stored};
use crate::time::Timestamp;

/// The key that a caller's handle stands on.
#[derive(Debug)]
pub(super) struct Guard {
    merchant: Incarnation,
    key: ApiKeyId,
}

impl Guard {
    /// Whether the key still lives. Asked by every operation, so that a key revoked meanwhile is refused by the next.
    pub(super) async fn check(&self, store: &dyn Store, now: Timestamp) -> Result<(), Error> {
        let path = Key::ApiKey(MerchantPath::Pinned(self.merchant), self.key.clone());
        let row: Option<Stored<ApiKeyState>> = store.get(&path).await?.map(Stored::try_from).transpose()?;
        match row {
            None => Err(Error::Unauthorized(Refusal::Revoked)),
            Some(row) if row.state.digest.is_none() => Err(Error::Unauthorized(Refusal::Revoked)),
            Some(row) if row.state.has_expired(now) => Err(Error::Unauthorized(Refusal::Expired)),
            Some(_) => Ok(()),
        }
    }
}

/// Who was authenticated. A key reaches everything of its merchant account: its holder may read revealed credentials, make
/// and revoke keys, and remove the account with all that is in it. Keys with less are not part of this version; a host
/// that hands keys to others decides itself which of the handle's operations it offers them.
#[derive(Debug, Clone)]
pub struct Caller {
    api_key: ApiKey,
    merchant: MerchantScope,
}

impl Caller {
    /// The key, as it was when it authenticated.
    pub fn api_key(&self) -> &ApiKey {
        &self.api_key
    }

    /// Which merchant account the key belongs to.
    pub fn merchant_id(&self) -> &MerchantId {
        &self.api_key.merchant_id
    }

    /// The merchant account. The handle is bound to this account and to no later owner of its id; every operation of it
    /// checks the key again, and the log names the key for what it does.
    pub fn merchant(&self) -> &MerchantScope {
        &self.merchant
    }
}

pub(super) async fn authenticate(session: &Session, token: &str) -> Result<Caller, Error> {
    let token = Token::parse(token, session.inner.environment).map_err(Error::Unauthorized)?;
    let now = session.now();
    // The look-up by a keyed digest is what compares: nothing about the token can be learned from how long it takes.
    let unknown = || Error::Unauthorized(Refusal::Unknown);
    let mut found: Option<Stored<ApiKeyState>> = None;
    for kept in session.inner.vault.digests(token.expose()) {
        found = session.get(&Key::ApiKeyByDigest(kept.digest)).await?;
        if found.is_some() {
            break;
        }
    }
    let row = found.ok_or_else(unknown)?;
    if row.state.has_expired(now) {
        return Err(Error::Unauthorized(Refusal::Expired));
    }
    let path = MerchantPath::Pinned(row.tenant);
    let merchant: Stored<MerchantState> = session.get(&Key::Merchant(path.clone())).await?.ok_or_else(unknown)?;
    let guard = Guard { merchant: row.tenant, key: row.id.clone() };
    let session = session.clone().by(Actor::ApiKey(row.id.clone())).guarded(guard);
    let name = merchant.id.to_string();
    Ok(Caller { api_key: ApiKey::view(row, merchant.id), merchant: MerchantScope::new(session, path, name) })
}
