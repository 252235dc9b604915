//! The keys that a running library holds: what the keyring derived for it, and the data keys it has opened.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::keys::Pepper;
use crate::error::{EntityKind, Error, Fault};
use crate::id::{DataKeyId, Incarnation};
use crate::keyring::{Keyring, absent};
use crate::merchant::{DataKeyState, KeyHolder, WRAPPED};
use crate::seal::{KeyId, Place, Sealed, SealingKey, mac};
use crate::store::{IdempotencyKey, Key, MerchantPath, OrganizationPath, Store, Stored};
use crate::time::{Entropy, Timestamp};

/// Of how many tenants opened data keys are kept; beyond it the cache begins anew.
const OPENED: usize = 4_096;
/// How many opened data keys are kept of one tenant.
const OPENED_OF_ONE: usize = 4;

/// What one key of the keyring derived for the platform.
struct Derived {
    id: KeyId,
    answers: SealingKey,
    pepper: Zeroizing<[u8; 32]>,
    requests: Zeroizing<[u8; 32]>,
}

pub(crate) struct Vault {
    keyring: Arc<dyn Keyring>,
    current: Derived,
    former: Vec<Derived>,
    opened: RwLock<HashMap<Incarnation, Vec<Arc<SealingKey>>>>,
}

impl Vault {
    /// Has every key of the keyring derive what the platform needs.
    pub(super) async fn open(keyring: Arc<dyn Keyring>) -> Result<Self, Error> {
        let mut derived = Vec::new();
        for id in keyring.key_ids() {
            let answers = keyring.derive(&id, "answer").await?;
            derived.push(Derived {
                answers: SealingKey::new(id.as_str(), &answers),
                pepper: keyring.derive(&id, "api-key").await?,
                requests: keyring.derive(&id, "request").await?,
                id,
            });
        }
        let mut derived = derived.into_iter();
        let current = derived.next().ok_or_else(|| Fault::new("keyring.empty", "must have a key").at("keyring"))?;
        Ok(Self { keyring, current, former: derived.collect(), opened: RwLock::default() })
    }

    /// Every key of the keyring, the current one first.
    pub(super) fn key_ids(&self) -> impl Iterator<Item = &KeyId> {
        self.every().map(|derived| &derived.id)
    }

    fn every(&self) -> impl Iterator<Item = &Derived> {
        std::iter::once(&self.current).chain(&self.former)
    }

    fn derived(&self, id: &str) -> Result<&Derived, Error> {
        self.every().find(|derived| derived.id.as_str() == id).ok_or_else(|| absent(id))
    }

    /// Makes a data key for a tenant, and the record that keeps it.
    pub(crate) async fn new_data_key(
        &self,
        holder: KeyHolder,
        tenant: Incarnation,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(Stored<DataKeyState>, Arc<SealingKey>), Error> {
        let mut random = [0; 10];
        entropy.fill(&mut random);
        let id = DataKeyId::make("dk_", now, &random);
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(bytes.as_mut_slice());
        let wrapped = self.keyring.wrap(wrap_place(tenant, id.as_str()), &bytes, entropy).await?;
        let key = Arc::new(SealingKey::new(id.as_str(), &bytes));
        self.keep(tenant, &key);
        Ok((Stored::new(tenant, id, now, DataKeyState { holder, wrapped }), key))
    }

    /// An opened data key of a tenant, from the cache or from the store.
    pub(crate) async fn data_key(
        &self,
        store: &dyn Store,
        tenant: Incarnation,
        id: &str,
    ) -> Result<Arc<SealingKey>, Error> {
        if let Some(key) = self.cached(tenant, id) {
            return Ok(key);
        }
        let named: DataKeyId = id.parse().map_err(|_| Error::corrupt("a sealed value names no data key"))?;
        let Some(record) = store.get(&Key::DataKey(tenant, named.clone())).await? else {
            // The tenant may have gone since its record was read, and its key with it. Otherwise the key that a sealed
            // value names never was: the value is not what was written.
            let lives = store.get(&Key::Merchant(MerchantPath::Pinned(tenant))).await?.is_some()
                || store.get(&Key::Organization(OrganizationPath::Pinned(tenant))).await?.is_some();
            return Err(if lives {
                Error::corrupt(format!("a sealed value needs the data key `{id}`, which is not there"))
            } else {
                Error::not_found(EntityKind::DataKey, id)
            });
        };
        let row: Stored<DataKeyState> = record.try_into()?;
        let key = Arc::new(self.unwrap_data_key(tenant, &named, &row.state.wrapped).await?);
        self.keep(tenant, &key);
        Ok(key)
    }

    /// Opens a data key of the tenant as it is stored.
    pub(super) async fn unwrap_data_key(
        &self,
        tenant: Incarnation,
        id: &DataKeyId,
        wrapped: &Sealed,
    ) -> Result<SealingKey, Error> {
        let bytes = self.keyring.unwrap(wrap_place(tenant, id.as_str()), wrapped).await?;
        Ok(SealingKey::new(id.as_str(), &bytes))
    }

    /// A data key's bytes wrapped under the current key. They are opened for a moment and kept nowhere.
    pub(super) async fn wrapped_anew(
        &self,
        row: &Stored<DataKeyState>,
        entropy: &dyn Entropy,
    ) -> Result<Sealed, Error> {
        let place = wrap_place(row.tenant, row.id.as_str());
        let bytes = self.keyring.unwrap(place, &row.state.wrapped).await?;
        self.keyring.wrap(place, &bytes, entropy).await
    }

    /// Closes a data key that is no more.
    pub(super) fn forget(&self, tenant: Incarnation, id: &str) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = opened.get_mut(&tenant) {
            keys.retain(|key| key.id() != id);
        }
    }

    fn cached(&self, tenant: Incarnation, id: &str) -> Option<Arc<SealingKey>> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        opened.get(&tenant)?.iter().find(|key| key.id() == id).cloned()
    }

    fn keep(&self, tenant: Incarnation, key: &Arc<SealingKey>) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.len() >= OPENED {
            opened.clear();
        }
        let keys = opened.entry(tenant).or_default();
        if keys.len() >= OPENED_OF_ONE {
            keys.remove(0);
        }
        if !keys.iter().any(|known| known.id() == key.id()) {
            keys.push(Arc::clone(key));
        }
    }

    /// The peppers under which API keys may be kept, one for each key of the keyring, that of the current key first.
    pub(super) fn peppers(&self) -> Vec<Pepper> {
        self.every().map(|derived| Pepper::new(derived.id.clone(), &derived.pepper)).collect()
    }

    /// What an idempotency key is bound to: the operation, the path and the request.
    pub(super) fn request(&self, operation: &str, path: &str, request: &[u8]) -> [u8; 32] {
        self.current.request(operation, path, request)
    }

    /// The same as a kept answer's key bound it.
    pub(super) fn request_as(
        &self,
        kept: &Sealed,
        operation: &str,
        path: &str,
        request: &[u8],
    ) -> Result<[u8; 32], Error> {
        Ok(self.derived(kept.key_id()?)?.request(operation, path, request))
    }

    pub(super) fn seal_answer<T: Serialize>(
        &self,
        tenant: Incarnation,
        key: &IdempotencyKey,
        answer: &T,
        entropy: &dyn Entropy,
    ) -> Result<Sealed, Error> {
        let plain = serde_json::to_vec(answer)
            .map(Zeroizing::new)
            .map_err(|e| Error::Corrupt { what: "an answer is not JSON".into(), source: Some(e.into()) })?;
        self.current.answers.seal(answer_place(tenant, key), &plain, entropy)
    }

    pub(super) fn open_answer<T: DeserializeOwned>(
        &self,
        tenant: Incarnation,
        key: &IdempotencyKey,
        sealed: &Sealed,
    ) -> Result<T, Error> {
        let plain = self.derived(sealed.key_id()?)?.answers.open(answer_place(tenant, key), sealed)?;
        serde_json::from_slice(&plain).map_err(|_| Error::corrupt("a kept answer is not what was answered"))
    }
}

impl Derived {
    fn request(&self, operation: &str, path: &str, request: &[u8]) -> [u8; 32] {
        let length = |part: &str| u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes();
        let (l1, l2) = (length(operation), length(path));
        *mac(self.requests.as_slice(), &[&l1, operation.as_bytes(), &l2, path.as_bytes(), request])
    }
}

fn wrap_place(tenant: Incarnation, id: &str) -> Place<'_> {
    Place { tenant, kind: EntityKind::DataKey, id, field: WRAPPED }
}

fn answer_place(tenant: Incarnation, key: &IdempotencyKey) -> Place<'_> {
    // An answer belongs to its key, whatever kind of object it is about; the organization stands for the tenant.
    Place { tenant, kind: EntityKind::Organization, id: key.as_str(), field: "answer" }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("keyring", &self.keyring).finish_non_exhaustive()
    }
}
