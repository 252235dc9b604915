//! Rotation: data keys wrapped anew under another key of the keyring, and tenants sealed anew under another data key.
//!
//! Both work online, a batch of records in a commit, beside whoever else writes. What a batch did stays done: a rotation
//! that was killed or failed goes on where it was when it is called again, and at every moment everything opens. They
//! change no answer. A record that is sealed or wrapped anew has a new version, since a version only grows and whoever
//! stands on the former one must decide again; when it was last modified stays.

use perfectpay_macros::observed;
use strum::VariantArray as _;

use super::merchant::{Loaded, MerchantScope};
use super::operation::Operation;
use super::organization::{OrganizationScope, owner};
use super::root::PerfectPay;
use super::session::{Session, settle};
use crate::api_key::{ApiKeyState, KeyFilter};
use crate::error::{EntityKind, Error, Fault};
use crate::id::{DataKeyId, Incarnation};
use crate::merchant::{DataKeyState, KeyHolder, MerchantState};
use crate::organization::OrganizationState;
use crate::page::{Cursor, MAX_LIMIT, PageRequest};
use crate::seal::{KeyId, Keys, Seals};
use crate::store::{Collection, CommitClass, EntityRef, Key, Owner, Query, Record, State, Stored};
use crate::time::Timestamp;

/// How many data keys are wrapped anew in one commit.
const WRAPPED_AT_ONCE: usize = 1_000;
/// How often a batch that met another commit is gathered again before the rotation gives up.
pub(super) const ATTEMPTS: u32 = 32;

/// How far a rotation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rotated {
    /// How many records were wrapped or sealed anew. One that was already is not counted.
    pub done: u64,
    /// How many data keys did not open under the key that their envelope names, and were left as they are.
    pub unreadable: u64,
}

/// What is left under a key of the keyring. While anything is, the key must stay in the keyring: without it data keys do
/// not open, and API keys do not authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LeftUnder {
    /// How many data keys it wraps.
    pub data_keys: u64,
    /// How many API keys, not revoked, have their digest under its pepper. One that is used is kept under the current
    /// pepper with the next [`PerfectPay::maintain`]; one that nobody uses stays.
    pub api_keys: u64,
}

impl PerfectPay {
    /// Wraps every data key that a former key of the keyring wrapped under the current one, 1,000 in a commit, and calls
    /// `progress` after each. Call it again where it was killed or failed: what was wrapped is not wrapped once more. It
    /// may run beside everything else, and beside itself.
    ///
    /// A former key leaves the keyring when [`Self::left_under`] answers that nothing is left, and idempotency keys of its
    /// time have expired ([`Settings::idempotency_seconds`](super::Settings::idempotency_seconds)). API keys that are
    /// left under its pepper do not authenticate any more then.
    ///
    /// # Errors
    ///
    /// Those of the keyring and of the store; [`Error::Invalid`] with code `batch.rotation` in a batch.
    #[observed]
    pub async fn rewrap(&self, mut progress: impl FnMut(Rotated) + Send) -> Result<Rotated, Error> {
        let session = &self.session;
        let now = session.begin(Operation::RewrapDataKeys).await?;
        refuse_batch(session)?;
        let mut rotated = Rotated::default();
        let former: Vec<KeyId> = session.inner.vault.key_ids().skip(1).cloned().collect();
        for key in &former {
            let mut from = None;
            let mut attempts = ATTEMPTS;
            loop {
                let gathered = Gathered::of(session, key, from.clone(), now).await?;
                if gathered.rows.is_empty() && gathered.unreadable == 0 {
                    break;
                }
                let rows = u64::try_from(gathered.rows.len()).unwrap_or(u64::MAX);
                if rows > 0
                    && let Err(error) = wrap_anew(session, gathered.rows, now).await
                {
                    attempts -= 1;
                    if !is_another_commit(&error) || attempts == 0 {
                        return Err(error);
                    }
                    // One of them went, or somebody else wrapped it: gather those that are left.
                    continue;
                }
                attempts = ATTEMPTS;
                rotated.done = rotated.done.saturating_add(rows);
                rotated.unreadable = rotated.unreadable.saturating_add(gathered.unreadable);
                progress(rotated);
                if gathered.last.is_none() {
                    break;
                }
                from = gathered.last;
            }
        }
        Ok(rotated)
    }

    /// How much is left under this key of the keyring, which need not be in it any more. Reads all of it.
    ///
    /// # Errors
    ///
    /// Those of the store.
    #[observed]
    pub async fn left_under(&self, key: &KeyId) -> Result<LeftUnder, Error> {
        let session = &self.session;
        session.begin(Operation::CountDataKeys).await?;
        let mut left = LeftUnder::default();
        let mut cursor: Option<Cursor> = None;
        loop {
            let query = Query::DataKeys(key.clone(), PageRequest::of(MAX_LIMIT)?.after(cursor.take()));
            let Some(page) = session.list::<DataKeyState>(&query).await? else { break };
            left.data_keys = left.data_keys.saturating_add(u64::try_from(page.items.len()).unwrap_or(u64::MAX));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        loop {
            let page = PageRequest::of(MAX_LIMIT)?.after(cursor.take());
            let query = Query::ApiKeys(KeyFilter::Under(key.clone()), page);
            let Some(page) = session.list::<ApiKeyState>(&query).await? else { return Ok(left) };
            left.api_keys = left.api_keys.saturating_add(u64::try_from(page.items.len()).unwrap_or(u64::MAX));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(left);
            }
        }
    }
}

pub(super) fn refuse_batch(session: &Session) -> Result<(), Error> {
    if session.is_batched() {
        return Err(Fault::new("batch.rotation", "cannot hold a rotation, which is many commits").at("batch").into());
    }
    Ok(())
}

/// Whether another commit came between, so that what is left of a batch can be decided again.
pub(super) fn is_another_commit(error: &Error) -> bool {
    matches!(error, Error::Stale { .. } | Error::NotFound(_) | Error::Moved { .. })
}

/// A batch of data keys, wrapped anew and not yet committed.
struct Gathered {
    rows: Vec<Stored<DataKeyState>>,
    unreadable: u64,
    /// Where the next batch begins, unless this is the last.
    last: Option<Cursor>,
}

impl Gathered {
    async fn of(session: &Session, key: &KeyId, from: Option<Cursor>, now: Timestamp) -> Result<Self, Error> {
        let vault = &session.inner.vault;
        let mut gathered = Self { rows: Vec::with_capacity(WRAPPED_AT_ONCE), unreadable: 0, last: from };
        while gathered.rows.len() < WRAPPED_AT_ONCE {
            let query = Query::DataKeys(key.clone(), PageRequest::of(MAX_LIMIT)?.after(gathered.last.take()));
            let Some(page) = session.list::<DataKeyState>(&query).await? else { break };
            for row in page.items {
                match vault.wrapped_anew(&row, &*session.inner.entropy).await {
                    Ok(wrapped) => {
                        let state = DataKeyState { wrapped, ..row.state.clone() };
                        gathered.rows.push(Stored { modified_at: row.modified_at, ..row.next(now, state) });
                    }
                    Err(Error::Corrupt { .. }) => gathered.unreadable += 1,
                    Err(error) => return Err(error),
                }
            }
            gathered.last = page.next;
            if gathered.last.is_none() {
                break;
            }
        }
        Ok(gathered)
    }
}

async fn wrap_anew(session: &Session, rows: Vec<Stored<DataKeyState>>, now: Timestamp) -> Result<(), Error> {
    // It belongs to no tenant, and no decision is made from it.
    let mut set = session.changes(Owner::default(), now, CommitClass::Operational);
    for row in rows {
        set.update(row);
    }
    session.commit(set, Operation::RewrapDataKeys, &()).await.map(drop)
}

impl OrganizationScope {
    /// Seals the organization's own secrets anew under a new data key, in one commit, which destroys the former key. Its
    /// merchant accounts have keys of their own: [`MerchantScope::rotate_data_key`].
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; those of the keyring; [`Error::Invalid`] with code `batch.rotation` in a batch.
    #[observed]
    pub async fn rotate_data_key(&self) -> Result<(), Error> {
        let session = &self.session;
        let now = session.begin(Operation::RotateDataKey).await?;
        refuse_batch(session)?;
        settle!(session, None, {
            let row: Stored<OrganizationState> = self.load().await?;
            let former = self.former(&row).await?;
            let vault = &session.inner.vault;
            let entropy = &*session.inner.entropy;
            let (data_key, key) = vault.new_data_key(KeyHolder::Organization, row.tenant, now, entropy).await?;
            let mut state = row.state.clone();
            state.data_key = data_key.id.clone();
            let mut next = resealed_row(&row, state);
            let mut keys = Keys::from(key);
            session.add_keys_of(&mut next, &mut keys).await?;
            let id = next.id.to_string();
            reseal(&mut next.state, &session.seals(&keys, row.tenant, EntityKind::Organization, &id))?;
            let mut set = session.changes(owner(&row), now, CommitClass::Operational);
            set.create(data_key).update(next).remove(former.entity(), former.version, false);
            session.commit(set, Operation::RotateDataKey, &()).await?;
            vault.forget(row.tenant, former.id.as_str());
            Ok(())
        })
    }

    async fn former(&self, row: &Stored<OrganizationState>) -> Result<Stored<DataKeyState>, Error> {
        let former = self.session.get(&Key::DataKey(row.tenant, row.state.data_key.clone())).await?;
        former.ok_or_else(|| Error::Moved { entity: row.entity().named() })
    }
}

impl MerchantScope {
    /// Seals everything of the account anew under a new data key, and then destroys the former key. The first commit makes
    /// the new key, which seals from then on; records follow, up to 100 in a commit, with `progress` after each; the last
    /// commit removes the former key, when nothing is left under it and nothing can come to be. Where it was killed or
    /// failed, the next call goes on; a rotation that is not finished is finished before another one can begin.
    ///
    /// It may run beside everything else. It reads the whole account.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Corrupt`] for a sealed value that does not open, after which nothing is lost; those of
    /// the keyring; [`Error::Invalid`] with code `batch.rotation` in a batch.
    #[observed]
    pub async fn rotate_data_key(&self, mut progress: impl FnMut(Rotated) + Send) -> Result<Rotated, Error> {
        let session = &self.session;
        let now = session.begin(Operation::RotateDataKey).await?;
        refuse_batch(session)?;
        let (tenant, former) = self.stage_data_key(now).await?;
        let account = self.pinned(tenant);
        let mut rotated = Rotated { done: 1, unreadable: 0 };
        progress(rotated);
        for collection in EntityKind::VARIANTS.iter().filter_map(|kind| Collection::of_all(*kind)) {
            account.seal_anew(&collection, now, &mut rotated, &mut progress).await?;
        }
        account.drop_data_key(&former, now).await?;
        session.inner.vault.forget(tenant, former.as_str());
        Ok(rotated)
    }

    /// Makes the account's next data key, unless an earlier rotation did and was not finished. Answers the one that is
    /// to go.
    async fn stage_data_key(&self, now: Timestamp) -> Result<(Incarnation, DataKeyId), Error> {
        let session = &self.session;
        settle!(session, None, {
            let loaded = self.load().await?;
            let row = &loaded.row;
            if let Some(former) = &row.state.former_data_key {
                return Ok((row.tenant, former.clone()));
            }
            let vault = &session.inner.vault;
            let (data_key, key) =
                vault.new_data_key(KeyHolder::Merchant, row.tenant, now, &*session.inner.entropy).await?;
            let former = row.state.data_key.clone();
            let state = MerchantState {
                data_key: data_key.id.clone(),
                former_data_key: Some(former.clone()),
                ..row.state.clone()
            };
            let mut next = resealed_row(row, state);
            let mut keys = Keys::from(key);
            session.add_keys_of(&mut next, &mut keys).await?;
            let id = next.id.to_string();
            reseal(&mut next.state, &session.seals(&keys, row.tenant, EntityKind::Merchant, &id))?;
            let mut set = session.changes(loaded.owner(), now, CommitClass::Operational);
            set.create(data_key).update(next);
            session.commit(set, Operation::RotateDataKey, &()).await?;
            Ok((row.tenant, former))
        })
    }

    /// Seals a whole collection anew, a page in a commit.
    async fn seal_anew(
        &self,
        collection: &Collection,
        now: Timestamp,
        rotated: &mut Rotated,
        progress: &mut (impl FnMut(Rotated) + Send),
    ) -> Result<(), Error> {
        let session = &self.session;
        let limit = usize::try_from(MAX_LIMIT).unwrap_or(usize::MAX);
        let mut cursor: Option<Cursor> = None;
        let mut attempts = ATTEMPTS;
        loop {
            // Read first: whatever is sealed after this stands on the account as it is now.
            let loaded = self.load().await?;
            let page = PageRequest::of(MAX_LIMIT)?.after(cursor.clone());
            let query = Query::Within(self.path.clone(), collection.clone(), page);
            let records = session.store().list(&query).await?.ok_or_else(|| self.absent())?.records;
            let more = records.len() > limit;
            let last = records.get(..limit).and_then(<[Record]>::last).map(Record::meta);
            let mut set = session.changes(loaded.owner(), now, CommitClass::Operational);
            for record in records.into_iter().take(limit) {
                if let Some(next) = self.record_anew(&loaded, record).await? {
                    set.update(next);
                }
            }
            let count = u64::try_from(set.changes.len()).unwrap_or(u64::MAX);
            if count > 0 {
                loaded.stand(&mut set);
                if let Err(error) = session.commit(set, Operation::RotateDataKey, &()).await {
                    attempts -= 1;
                    if !is_another_commit(&error) || attempts == 0 {
                        return Err(error);
                    }
                    continue;
                }
                rotated.done = rotated.done.saturating_add(count);
                progress(*rotated);
            }
            attempts = ATTEMPTS;
            match last.filter(|_| more) {
                Some(meta) => cursor = Some(Cursor { created_at: meta.created_at, id: meta.id }),
                None => return Ok(()),
            }
        }
    }

    /// The record's next version under the account's data key, unless all of it is under that already.
    async fn record_anew(&self, loaded: &Loaded, mut record: Record) -> Result<Option<Record>, Error> {
        let current = loaded.row.state.data_key.as_str();
        let mut keys = loaded.keys.clone();
        let mut stale = false;
        let EntityRef { kind, tenant, id } = record.entity();
        for (_, sealed) in record.sealed_fields() {
            let named = sealed.key_id()?;
            if named != current {
                stale = true;
                keys.add(self.session.inner.vault.data_key(self.session.store(), tenant, named).await?);
            }
        }
        if !stale {
            return Ok(None);
        }
        let seals = self.session.seals(&keys, tenant, kind, &id);
        for (field, sealed) in record.sealed_fields() {
            *sealed = seals.seal(field, &seals.open(field, sealed)?)?;
        }
        record.advance();
        Ok(Some(record))
    }

    /// Removes the former data key, under which nothing is left.
    async fn drop_data_key(&self, former: &DataKeyId, now: Timestamp) -> Result<(), Error> {
        let session = &self.session;
        settle!(session, None, {
            let loaded = self.load().await?;
            let row = &loaded.row;
            if row.state.former_data_key.as_ref() != Some(former) {
                // Another rotation finished it.
                return Ok(());
            }
            let key: Option<Stored<DataKeyState>> = session.get(&Key::DataKey(row.tenant, former.clone())).await?;
            let mut set = session.changes(loaded.owner(), now, CommitClass::Operational);
            set.update(resealed_row(row, MerchantState { former_data_key: None, ..row.state.clone() }));
            if let Some(key) = key {
                set.remove(key.entity(), key.version, false);
            }
            session.commit(set, Operation::RotateDataKey, &()).await.map(drop)
        })
    }
}

/// The object's next version, which was modified when the former one was.
fn resealed_row<S: State>(row: &Stored<S>, state: S) -> Stored<S> {
    Stored { modified_at: row.modified_at, ..row.next(row.modified_at, state) }
}

/// Seals every sealed field anew.
fn reseal<S: State>(state: &mut S, seals: &Seals<'_>) -> Result<(), Error> {
    for (field, sealed) in state.sealed_fields() {
        *sealed = seals.seal(field, &seals.open(field, sealed)?)?;
    }
    Ok(())
}
