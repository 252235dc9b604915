//! A caller: who holds an API key, with a handle on what the key reaches.

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use super::key_table::Held;
use super::keys::{glance, read};
use super::merchant::MerchantScope;
use super::meters;
use super::operation::{Need, Operation};
use super::session::Session;
use crate::api_key::{Access, ApiKey};
use crate::error::{Error, Refusal};
use crate::id::{MerchantId, ProfileId};
use crate::signal::{Signal, TARGET};
use crate::store::{Actor, MerchantPath};
use crate::time::Timestamp;

/// The key that a caller's handle stands on.
#[derive(Debug)]
pub(super) struct Guard {
    /// As it was when it was last checked.
    known: RwLock<Held>,
    peer: Option<IpAddr>,
}

impl Guard {
    /// The same key, checked apart from this.
    pub(super) fn apart(&self) -> Self {
        Self { known: RwLock::new(self.known()), peer: self.peer }
    }

    pub(super) fn known(&self) -> Held {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the key still lives, and may do this. Asked by every operation, so that a key revoked meanwhile is refused
    /// by the next.
    pub(super) async fn check(&self, session: &Session, operation: Operation) -> Result<Timestamp, Error> {
        let inner = &session.inner;
        let mut known = self.known();
        if !session.is_batched() {
            inner.follower.freshen(session.store()).await?;
        }
        if session.is_batched() || !inner.keys.is_current(&known) {
            known = inner.keys.again(session.store(), &known).await?;
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = known.clone();
        }
        let now = session.now();
        known.judge(now, self.peer).map_err(Error::Unauthorized)?;
        let access = &known.key.access;
        let may = match operation.need() {
            Need::Host => false,
            Need::Nothing => true,
            Need::Account(right) => access.profile_ids.is_none() && access.scopes.allow(right),
            Need::Profile(right) => access.scopes.allow(right),
        };
        if may { Ok(now) } else { Err(Error::Forbidden) }
    }

    /// Whether the key is for the profile.
    pub(super) fn reaches(&self, profile: &ProfileId) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).key.access.reaches(profile)
    }
}

/// A key that was accepted. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Verified {
    known: Held,
    peer: Option<IpAddr>,
}

impl Verified {
    /// The key, as it was when it was verified.
    pub fn api_key(&self) -> &ApiKey {
        &self.known.key
    }

    /// Which merchant account the key belongs to.
    pub fn merchant_id(&self) -> &MerchantId {
        &self.known.key.merchant_id
    }

    /// What the key may do, where, and from where.
    pub fn access(&self) -> &Access {
        &self.known.key.access
    }
}

/// What came of a token, for the host's own eyes. Its caller gets one indistinguishable answer to every refusal.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The key lives, and is accepted from this peer.
    Valid(Verified),
    /// It is refused, and why.
    Refused(Refusal),
}

/// Who was authenticated. A key reaches what its [`Access`] says of its merchant account, by default everything: its
/// holder may then read revealed credentials, make and revoke keys, and remove the account with all that is in it.
#[derive(Debug, Clone)]
pub struct Caller {
    verified: Verified,
    merchant: MerchantScope,
}

impl Caller {
    /// The key, as it was when it authenticated.
    pub fn api_key(&self) -> &ApiKey {
        self.verified.api_key()
    }

    /// Which merchant account the key belongs to.
    pub fn merchant_id(&self) -> &MerchantId {
        self.verified.merchant_id()
    }

    /// The merchant account. The handle is bound to this account and to no later owner of its id; every operation of it
    /// checks the key again, and the log names the key for what it does. What the key may not do is answered with
    /// [`Error::Forbidden`], and so is an object of a profile that it is not for; lists leave such objects out.
    pub fn merchant(&self) -> &MerchantScope {
        &self.merchant
    }

    /// The handle of whoever holds the key.
    pub(super) fn new(session: &Session, verified: Verified) -> Self {
        let known = &verified.known;
        let name = verified.merchant_id().to_string();
        let path = MerchantPath::Pinned(known.tenant);
        let actor = Actor::ApiKey(known.key.key_id.clone());
        let guard = Guard { known: RwLock::new(known.clone()), peer: verified.peer };
        let session = session.clone().by(actor).guarded(guard);
        Self { merchant: MerchantScope::new(session, path, name), verified }
    }
}

pub(super) async fn verdict(session: &Session, token: &str, peer: Option<IpAddr>) -> Result<Verdict, Error> {
    let judged = match glance(session, token, peer) {
        Some(judged) => judged,
        // In a box, so that the future of the usual case is small.
        None => Box::pin(read(session, token, peer)).await?,
    };
    let refusal = judged.as_ref().err().copied();
    meters::verified(refusal);
    let verdict: &'static str = refusal.map_or("valid", Into::into);
    tracing::trace!(name: Signal::Verified.name(), target: TARGET, verdict, "verified");
    Ok(match judged {
        Ok(known) => Verdict::Valid(Verified { known, peer }),
        Err(refusal) => Verdict::Refused(refusal),
    })
}
