//! The keys that a running library holds: what it derived from the master key, and the data keys it has opened.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::keys::Pepper;
use crate::error::{EntityKind, Error};
use crate::id::{DataKeyId, Incarnation};
use crate::merchant::{DataKeyState, WRAPPED};
use crate::seal::{KeyId, MasterKey, Place, Sealed, SealingKey, mac};
use crate::store::{IdempotencyKey, Key, MerchantPath, Store, Stored};
use crate::time::{Entropy, Timestamp};

/// How many opened data keys are kept; beyond it the cache begins anew.
const OPENED: usize = 4_096;

pub(crate) struct Vault {
    id: KeyId,
    wrapping: SealingKey,
    answers: SealingKey,
    pepper: Zeroizing<[u8; 32]>,
    requests: Zeroizing<[u8; 32]>,
    opened: RwLock<HashMap<(Incarnation, DataKeyId), Arc<SealingKey>>>,
}

impl Vault {
    pub(super) fn new(master: &MasterKey) -> Self {
        Self {
            id: master.id().clone(),
            wrapping: master.wrapping_key(),
            answers: SealingKey::new(master.id().as_str(), &master.derive("answer")),
            pepper: master.derive("api-key"),
            requests: master.derive("request"),
            opened: RwLock::default(),
        }
    }

    /// Makes a data key for a merchant, and the record that keeps it.
    pub(crate) fn new_data_key(
        &self,
        merchant: Incarnation,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(Stored<DataKeyState>, Arc<SealingKey>), Error> {
        let mut random = [0; 10];
        entropy.fill(&mut random);
        let id = DataKeyId::make("dk_", now, &random);
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(bytes.as_mut_slice());
        let wrapped = self.wrapping.seal(wrap_place(merchant, id.as_str()), bytes.as_slice(), entropy)?;
        let key = Arc::new(SealingKey::new(id.as_str(), &bytes));
        self.keep(merchant, &id, &key);
        Ok((Stored::new(merchant, id, now, DataKeyState { wrapped }), key))
    }

    /// The opened data key of a merchant, from the cache or from the store.
    pub(crate) async fn data_key(
        &self,
        store: &dyn Store,
        merchant: Incarnation,
        id: &DataKeyId,
    ) -> Result<Arc<SealingKey>, Error> {
        let cached = self.opened.read().unwrap_or_else(PoisonError::into_inner).get(&(merchant, id.clone())).cloned();
        if let Some(key) = cached {
            return Ok(key);
        }
        let path = MerchantPath::Pinned(merchant);
        let Some(record) = store.get(&Key::DataKey(path.clone(), id.clone())).await? else {
            // The account may have gone since its record was read, and its key with it. Otherwise the key that a sealed
            // value names never was: the value is not what was written.
            return Err(match store.get(&Key::Merchant(path)).await? {
                None => Error::not_found(EntityKind::DataKey, id),
                Some(_) => Error::corrupt(format!("a sealed value needs the data key `{id}`, which is not there")),
            });
        };
        let row: Stored<DataKeyState> = record.try_into()?;
        let key = Arc::new(self.unwrap_data_key(&row)?);
        self.keep(merchant, id, &key);
        Ok(key)
    }

    /// Opens a data key as it is stored.
    pub(super) fn unwrap_data_key(&self, row: &Stored<DataKeyState>) -> Result<SealingKey, Error> {
        let id = row.id.as_str();
        let bytes = self.wrapping.open(wrap_place(row.tenant, id), &row.state.wrapped)?;
        let bytes: &[u8; 32] =
            bytes.as_slice().try_into().map_err(|_| Error::corrupt(format!("the data key `{id}` has not 32 bytes")))?;
        Ok(SealingKey::new(id, bytes))
    }

    /// The data key that a sealed value names.
    pub(crate) async fn key_of(
        &self,
        store: &dyn Store,
        merchant: Incarnation,
        sealed: &Sealed,
    ) -> Result<Arc<SealingKey>, Error> {
        let id = sealed.key_id()?.parse().map_err(|_| Error::corrupt("a sealed value names no data key"))?;
        self.data_key(store, merchant, &id).await
    }

    fn keep(&self, merchant: Incarnation, id: &DataKeyId, key: &Arc<SealingKey>) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.len() >= OPENED {
            opened.clear();
        }
        opened.insert((merchant, id.clone()), Arc::clone(key));
    }

    /// The peppers under which API keys may be kept, that of the current key first.
    pub(super) fn peppers(&self) -> Vec<Pepper> {
        Pepper::new(self.id.clone(), &self.pepper).into_iter().collect()
    }

    /// What an idempotency key is bound to: the operation, the path and the request.
    pub(super) fn request(&self, operation: &str, path: &str, request: &[u8]) -> [u8; 32] {
        let length = |part: &str| u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes();
        let (l1, l2) = (length(operation), length(path));
        *mac(self.requests.as_slice(), &[&l1, operation.as_bytes(), &l2, path.as_bytes(), request])
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
        self.answers.seal(answer_place(tenant, key), &plain, entropy)
    }

    pub(super) fn open_answer<T: DeserializeOwned>(
        &self,
        tenant: Incarnation,
        key: &IdempotencyKey,
        sealed: &Sealed,
    ) -> Result<T, Error> {
        let plain = self.answers.open(answer_place(tenant, key), sealed)?;
        serde_json::from_slice(&plain).map_err(|_| Error::corrupt("a kept answer is not what was answered"))
    }
}

fn wrap_place(merchant: Incarnation, id: &str) -> Place<'_> {
    Place { tenant: merchant, kind: EntityKind::DataKey, id, field: WRAPPED }
}

fn answer_place(tenant: Incarnation, key: &IdempotencyKey) -> Place<'_> {
    // An answer belongs to its key, whatever kind of object it is about; the organization stands for the tenant.
    Place { tenant, kind: EntityKind::Organization, id: key.as_str(), field: "answer" }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("id", &self.id.as_str()).finish_non_exhaustive()
    }
}
