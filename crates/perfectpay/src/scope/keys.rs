//! Living API keys in memory: who a token is of, without the store.
//!
//! A key is read when it is first used and kept under its token's digest, up to a bound; beyond it a part of the index
//! begins anew. Absence is never kept: what is not in the index is asked of the store. The follower says when keys of an
//! account moved. Then each of them is read again when it is next used, which costs an account that changes a key one
//! read for each of its keys in use, and nobody else anything.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::follow::Follows;
use super::session::Session;
use crate::api_key::{ApiKey, ApiKeyState, Token, TokenDigest};
use crate::error::{EntityKind, Error, Refusal};
use crate::id::Incarnation;
use crate::merchant::MerchantState;
use crate::seal::KeyId;
use crate::store::{Key, LogEntry, MerchantPath, Store, Stored, Verb};
use crate::time::Timestamp;

/// The index is in so many parts, each behind a lock of its own that only loading takes for writing.
const PARTS: usize = 64;
/// How many keys' uses wait to be written down, and how many keys wait for another digest, at most. What finds no place
/// waits for the key's next use.
const WAITING: usize = 65_536;
/// How coarse last uses are, in milliseconds.
const HOUR: i64 = 3_600_000;

/// A pepper that is ready to digest: one that is live, by the id of the key that gave it.
pub(super) struct Pepper {
    id: KeyId,
    mac: Hmac<Sha256>,
}

impl Pepper {
    pub(super) fn new(id: KeyId, pepper: &Zeroizing<[u8; 32]>) -> Option<Self> {
        // HMAC takes a key of any length, so there always is one.
        Some(Self { id, mac: Hmac::new_from_slice(pepper.as_slice()).ok()? })
    }

    fn digest(&self, token: &str) -> Digest {
        let mut mac = self.mac.clone();
        mac.update(token.as_bytes());
        Digest::new(mac.finalize().into_bytes().into())
    }
}

/// A digest as the index finds it. It is random to whoever has not the pepper, so its first bytes are hash enough; what
/// compares takes the same time wherever two differ.
#[derive(Clone, Copy, Eq)]
struct Digest([u64; 4]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

impl Digest {
    fn new(bytes: [u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Self(words)
    }

    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    /// In which part it is: not by the bits that find it there.
    fn part(&self) -> usize {
        let [.., last] = self.0;
        usize::try_from(last).unwrap_or_default() % PARTS
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [first, ..] = self.0;
        state.write_u64(first);
    }
}

/// Hands a digest's first bytes on as they are.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// A key in the set of its part, found by its digest. The set's own memory is a pointer a key, so that most of it stays
/// near the processor, and the digest that is compared lies beside what is looked at next.
struct ByDigest(Arc<Known>);

impl Borrow<Digest> for ByDigest {
    fn borrow(&self) -> &Digest {
        &self.0.digest
    }
}

impl Hash for ByDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

impl PartialEq for ByDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for ByDigest {}

type Part = RwLock<HashSet<ByDigest, BuildHasherDefault<FirstBytes>>>;

/// A key as it was read. What every use looks at lies in front, together: with a million keys, memory is what it waits
/// for.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Known {
    digest: Digest,
    /// How often keys of its account moved, now and then.
    moves: Arc<AtomicU64>,
    then: u64,
    /// When it ends, in Unix milliseconds; never is the greatest number.
    ends: i64,
    /// In which hour since 1970 a use of it was noted last; 0 for none.
    noted: AtomicU32,
    /// Whether it was found to be gone or revoked. It stays so.
    dead: bool,
    /// Whether it is accepted from some networks only.
    networks: bool,
    pub(super) tenant: Incarnation,
    pub(super) key: ApiKey,
}

impl Known {
    fn new(digest: Digest, tenant: Incarnation, key: ApiKey, moves: Arc<AtomicU64>, then: u64) -> Self {
        let ends = Option::from(key.expiration).map_or(i64::MAX, |end: Timestamp| end.unix_millis());
        let (dead, networks) = (key.revoked.is_some(), key.access.networks.is_some());
        let noted = AtomicU32::new(key.last_used.map_or(0, hour));
        Self { digest, moves, then, ends, noted, dead, networks, tenant, key }
    }

    /// Whether this is the digest that it was found by.
    pub(super) fn is_under(&self, kept: &TokenDigest) -> bool {
        self.digest == Digest::new(kept.digest)
    }

    /// The same key, gone.
    fn dead(&self) -> Self {
        Self { dead: true, ..Self::new(self.digest, self.tenant, self.key.clone(), Arc::clone(&self.moves), self.then) }
    }

    /// Whether nothing was told of its account since it was read. What is dead stays so.
    pub(super) fn is_current(&self) -> bool {
        self.dead || self.moves.load(Ordering::Acquire) == self.then
    }

    /// Whether it is accepted.
    pub(super) fn judge(&self, now: Timestamp, peer: Option<IpAddr>) -> Result<(), Refusal> {
        if self.dead {
            return Err(Refusal::Revoked);
        }
        if self.ends <= now.unix_millis() {
            return Err(if self.key.successor.is_some() { Refusal::RotatedOut } else { Refusal::Expired });
        }
        if !self.networks || self.key.access.admits(peer) { Ok(()) } else { Err(Refusal::NetworkNotAllowed) }
    }
}

fn hour(moment: Timestamp) -> u32 {
    u32::try_from(moment.unix_millis().div_euclid(HOUR)).unwrap_or_default()
}

/// What authentication saw and housekeeping writes down.
#[derive(Default)]
struct Seen {
    /// Keys that were used, and when.
    used: Vec<(Arc<Known>, Timestamp)>,
    /// Keys that were found under a former pepper, by that digest, with the one under the current pepper.
    former: HashMap<Digest, (Arc<Known>, Digest), BuildHasherDefault<FirstBytes>>,
}

pub(super) struct KeyIndex {
    /// The current one first.
    peppers: Vec<Pepper>,
    seen: Mutex<Seen>,
    /// Who holds it writes down what was seen.
    maintenance: async_lock::Mutex<()>,
    parts: Vec<Part>,
    /// How many keys a part keeps.
    limit: usize,
    /// How often keys of an account moved, by the account's id: a later owner of an id only costs a read.
    accounts: RwLock<HashMap<Box<str>, Arc<AtomicU64>>>,
    /// How often anything was told.
    told: AtomicU64,
}

impl KeyIndex {
    /// An index that keeps about `limit` keys.
    pub(super) fn new(peppers: Vec<Pepper>, limit: usize) -> Self {
        let parts = std::iter::repeat_with(Part::default).take(PARTS).collect();
        // Keys do not spread evenly: a part may hold more than its share.
        let limit = (limit + limit / 8) / PARTS + 8;
        Self {
            peppers,
            seen: Mutex::default(),
            maintenance: async_lock::Mutex::new(()),
            parts,
            limit,
            accounts: RwLock::default(),
            told: AtomicU64::new(0),
        }
    }

    /// The digest under which a new key is kept.
    pub(super) fn digest(&self, token: &Token) -> Option<TokenDigest> {
        let pepper = self.peppers.first()?;
        Some(TokenDigest { pepper: pepper.id.clone(), digest: pepper.digest(token.expose()).bytes() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a key was accepted; `current` is the token's digest under the current pepper. Waits for nobody: what
    /// cannot be noted now is noted with the next use.
    fn note(&self, known: &Arc<Known>, now: Timestamp, current: Digest, is_former: bool) {
        let this_hour = hour(now);
        if known.noted.load(Ordering::Relaxed) == this_hour && !is_former {
            return;
        }
        let Ok(mut seen) = self.seen.try_lock() else { return };
        if known.noted.load(Ordering::Relaxed) != this_hour && seen.used.len() < WAITING {
            known.noted.store(this_hour, Ordering::Relaxed);
            if seen.used.capacity() == 0 {
                // Once: what is not used of it takes no memory.
                seen.used.reserve(WAITING);
            }
            seen.used.push((Arc::clone(known), now));
        }
        if is_former && seen.former.len() < WAITING {
            seen.former.entry(known.digest).or_insert_with(|| (Arc::clone(known), current));
        }
    }

    /// Waits until nobody else writes down what was seen.
    pub(super) async fn maintenance(&self) -> async_lock::MutexGuard<'_, ()> {
        self.maintenance.lock().await
    }

    /// The first uses that wait to be written down.
    pub(super) fn used(&self, limit: usize) -> Vec<(Arc<Known>, Timestamp)> {
        self.seen().used.iter().take(limit).cloned().collect()
    }

    /// Whether anything waits to be written down.
    pub(super) fn waits(&self) -> bool {
        let seen = self.seen();
        !seen.used.is_empty() || !seen.former.is_empty()
    }

    /// So many of them were written down.
    pub(super) fn marked(&self, uses: usize) {
        let used = &mut self.seen().used;
        let uses = uses.min(used.len());
        used.drain(..uses);
    }

    /// Keys that wait for a digest under the current pepper, and that digest.
    pub(super) fn due(&self, limit: usize) -> Vec<(Arc<Known>, TokenDigest)> {
        let Some(pepper) = self.peppers.first() else { return Vec::new() };
        let digest = |digest: &Digest| TokenDigest { pepper: pepper.id.clone(), digest: digest.bytes() };
        let seen = self.seen();
        seen.former.values().take(limit).map(|(known, current)| (Arc::clone(known), digest(current))).collect()
    }

    /// These are under the current pepper by now, or gone: whoever uses one finds it anew.
    pub(super) fn digested(&self, done: &[(Arc<Known>, TokenDigest)]) {
        for (known, _) in done {
            self.seen().former.remove(&known.digest);
            if let Some(part) = self.part(&known.digest) {
                part.write().unwrap_or_else(PoisonError::into_inner).remove(&known.digest);
            }
        }
    }

    fn part(&self, digest: &Digest) -> Option<&Part> {
        self.parts.get(digest.part())
    }

    fn get(&self, digest: &Digest) -> Option<Arc<Known>> {
        let part = self.part(digest)?.read().unwrap_or_else(PoisonError::into_inner);
        part.get(digest).map(|found| Arc::clone(&found.0))
    }

    fn keep(&self, known: &Arc<Known>) {
        let Some(part) = self.part(&known.digest) else { return };
        let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
        if part.len() >= self.limit && !part.contains(&known.digest) {
            part.clear();
        }
        part.replace(ByDigest(Arc::clone(known)));
    }

    /// What comes of a token whose key is kept and current. Everything is looked at before the key is counted as shared,
    /// which would make what is looked at later wait.
    fn judge(&self, token: &str, now: Timestamp, peer: Option<IpAddr>) -> Option<Result<Arc<Known>, Refusal>> {
        let mut current = None;
        self.peppers.iter().find_map(|pepper| {
            let digest = pepper.digest(token);
            let is_former = current.is_some();
            let current = *current.get_or_insert(digest);
            let part = self.part(&digest)?.read().unwrap_or_else(PoisonError::into_inner);
            let known = &part.get(&digest)?.0;
            known.is_current().then(|| {
                known.judge(now, peer).map(|()| {
                    self.note(known, now, current, is_former);
                    Arc::clone(known)
                })
            })
        })
    }

    /// The key that is kept for a token of this form, current or not.
    fn find(&self, token: &str) -> Option<Arc<Known>> {
        self.peppers.iter().find_map(|pepper| self.get(&pepper.digest(token)))
    }

    /// Reads the key of a token and keeps it; `old` is what was kept before. `None` where there is none.
    async fn load(
        &self,
        store: &dyn Store,
        token: &str,
        old: Option<&Arc<Known>>,
    ) -> Result<Option<Arc<Known>>, Error> {
        let told = self.told.load(Ordering::Acquire);
        if let Some(known) = self.read(store, token).await? {
            if self.told.load(Ordering::Acquire) == told {
                let known = Arc::new(known);
                self.keep(&known);
                return Ok(Some(known));
            }
            // Told between: it may have been read before what was told of. It serves this call, which began before, and
            // is read again for the next.
            return Ok(Some(Arc::new(Known { then: known.then.wrapping_sub(1), ..known })));
        }
        // It was there and is gone: remembered, so that whoever goes on using it is told why, and costs no reads.
        let Some(old) = old else { return Ok(None) };
        let dead = Arc::new(old.dead());
        if self.told.load(Ordering::Acquire) == told {
            self.keep(&dead);
        }
        Ok(Some(dead))
    }

    /// Reads the key of a token without keeping it.
    async fn read(&self, store: &dyn Store, token: &str) -> Result<Option<Known>, Error> {
        for pepper in &self.peppers {
            let digest = pepper.digest(token);
            if let Some(record) = store.get(&Key::ApiKeyByDigest(digest.bytes())).await? {
                return self.known(store, digest, record.try_into()?).await;
            }
        }
        Ok(None)
    }

    /// A key with the account it is of, or `None` if that is gone.
    async fn known(&self, store: &dyn Store, digest: Digest, row: Stored<ApiKeyState>) -> Result<Option<Known>, Error> {
        let tenant = row.tenant;
        let path = Key::Merchant(MerchantPath::Pinned(tenant));
        let Some(record) = store.get(&path).await? else { return Ok(None) };
        let merchant: Stored<MerchantState> = record.try_into()?;
        let moves = self.moves(merchant.id.as_ref());
        let then = moves.load(Ordering::Acquire);
        Ok(Some(Known::new(digest, tenant, ApiKey::view(row, merchant.id), moves, then)))
    }

    /// The same key as it is now, for a handle that stands on it.
    pub(super) async fn again(&self, store: &dyn Store, old: &Arc<Known>) -> Result<Arc<Known>, Error> {
        let told = self.told.load(Ordering::Acquire);
        let path = Key::ApiKey(MerchantPath::Pinned(old.tenant), old.key.key_id.clone());
        let known = match store.get(&path).await? {
            Some(record) => self.known(store, old.digest, record.try_into()?).await?,
            None => None,
        };
        Ok(Arc::new(match known {
            Some(known) if self.told.load(Ordering::Acquire) == told => known,
            // Told between: to be read again by the next operation.
            Some(known) => Known { then: known.then.wrapping_sub(1), ..known },
            None => old.dead(),
        }))
    }

    fn accounts(&self) -> RwLockReadGuard<'_, HashMap<Box<str>, Arc<AtomicU64>>> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The count of an account's moves.
    fn moves(&self, merchant: &str) -> Arc<AtomicU64> {
        if let Some(moves) = self.accounts().get(merchant) {
            return Arc::clone(moves);
        }
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= self.limit * PARTS {
            self.told.fetch_add(1, Ordering::AcqRel);
            // No more accounts than keys. Those who hold a count that is thrown away read again.
            for moves in accounts.values() {
                moves.fetch_add(1, Ordering::AcqRel);
            }
            accounts.clear();
        }
        Arc::clone(accounts.entry(merchant.into()).or_default())
    }

    fn moved(&self, merchant: Option<&str>) {
        // In this order: who loads reads its account's count before it asks whether anything was told.
        self.told.fetch_add(1, Ordering::AcqRel);
        let accounts = self.accounts();
        let all = merchant.is_none().then(|| accounts.values()).into_iter().flatten();
        for moves in merchant.and_then(|merchant| accounts.get(merchant)).into_iter().chain(all) {
            moves.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Follows for KeyIndex {
    fn apply(&self, entry: &LogEntry) {
        let concerns = entry.changes.iter().any(|change| match change.kind {
            // Of a key that was just made nothing was read.
            EntityKind::ApiKey => change.verb != Verb::Created,
            EntityKind::Merchant | EntityKind::Organization => change.verb == Verb::Removed,
            _ => false,
        });
        if concerns {
            self.moved(entry.merchant_id.as_deref());
        }
    }

    fn reset(&self) {
        self.moved(None);
        for part in &self.parts {
            part.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl fmt::Debug for KeyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept: usize = self.parts.iter().map(|part| part.read().unwrap_or_else(PoisonError::into_inner).len()).sum();
        f.debug_struct("KeyIndex").field("kept", &kept).field("limit", &(self.limit * PARTS)).finish_non_exhaustive()
    }
}

/// Who a token is of, if that can be said without the store: the key is kept, and the log was looked at within the bound.
/// A text that is no token needs neither. Allocates nothing.
pub(super) fn glance(session: &Session, token: &str, peer: Option<IpAddr>) -> Option<Result<Arc<Known>, Refusal>> {
    let inner = &session.inner;
    let token = match Token::admit(token, inner.environment) {
        Ok(token) => token,
        Err(refusal) => return Some(Err(refusal)),
    };
    let clock = inner.follower.clock();
    // A batch sees what it staged, and nobody else does: not the index.
    if session.is_batched() || !inner.follower.is_fresh(clock) {
        return None;
    }
    inner.keys.judge(token, inner.follower.moment_at(clock), peer)
}

/// Who a token is of, where [`glance`] cannot say it.
pub(super) async fn read(
    session: &Session,
    token: &str,
    peer: Option<IpAddr>,
) -> Result<Result<Arc<Known>, Refusal>, Error> {
    let inner = &session.inner;
    let token = match Token::admit(token, inner.environment) {
        Ok(token) => token,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let store = session.store();
    let known = if session.is_batched() {
        inner.keys.read(store, token).await?.map(Arc::new)
    } else {
        inner.follower.freshen(store).await?;
        match inner.keys.find(token) {
            Some(known) if known.is_current() => Some(known),
            old => inner.keys.load(store, token, old.as_ref()).await?,
        }
    };
    let Some(known) = known else { return Ok(Err(Refusal::Unknown)) };
    let now = session.now();
    Ok(known.judge(now, peer).map(|()| {
        // What a batch made may never be there.
        if !session.is_batched()
            && let Some(pepper) = inner.keys.peppers.first()
        {
            let current = pepper.digest(token);
            inner.keys.note(&known, now, current, known.digest != current);
        }
        known
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_key::{Access, Expiration};
    use crate::store::{Actor, CommitClass, LogChange, LogPosition};

    fn index(limit: usize) -> KeyIndex {
        KeyIndex::new(Vec::new(), limit)
    }

    fn known(index: &KeyIndex, merchant: &str, number: u64) -> Arc<Known> {
        let key = ApiKey {
            key_id: format!("snd_{number}").parse().unwrap(),
            merchant_id: merchant.parse().unwrap(),
            name: "k".parse().unwrap(),
            description: None,
            prefix: String::new(),
            created: Timestamp::UNIX_EPOCH,
            expiration: Expiration::Never,
            revoked: None,
            last_used: None,
            access: Access::default(),
            predecessor: None,
            successor: None,
            version: 1,
        };
        let moves = index.moves(merchant);
        let then = moves.load(Ordering::Acquire);
        Arc::new(Known::new(Digest([number, 0, 0, number]), Incarnation::PLATFORM, key, moves, then))
    }

    fn entry(merchant: Option<&str>, kind: EntityKind, verb: Verb) -> LogEntry {
        LogEntry {
            position: LogPosition::START,
            at: Timestamp::UNIX_EPOCH,
            actor: Actor::Host,
            class: CommitClass::Configuration,
            organization_id: None,
            merchant_id: merchant.map(str::to_owned),
            changes: vec![LogChange { kind, id: "x".to_owned(), verb, version: 1, count: 1 }],
        }
    }

    #[test]
    fn what_is_told_of_an_account_concerns_its_keys_and_without_one_all_keys() {
        for (merchant, kind, verb, concerned) in [
            (Some("a"), EntityKind::ApiKey, Verb::Revoked, [true, false]),
            (Some("a"), EntityKind::ApiKey, Verb::Updated, [true, false]),
            (Some("a"), EntityKind::Merchant, Verb::Removed, [true, false]),
            (None, EntityKind::Organization, Verb::Removed, [true, true]),
            (None, EntityKind::ApiKey, Verb::Revoked, [true, true]),
            // Of a new key nothing was read; nothing that a key is judged by is in the others.
            (Some("a"), EntityKind::ApiKey, Verb::Created, [false, false]),
            (Some("a"), EntityKind::Merchant, Verb::Updated, [false, false]),
            (Some("a"), EntityKind::Profile, Verb::Removed, [false, false]),
        ] {
            let index = index(100);
            let keys = [known(&index, "a", 1), known(&index, "b", 2)];
            index.apply(&entry(merchant, kind, verb));
            assert_eq!(keys.map(|key| !key.is_current()), concerned, "{kind} {verb} of {merchant:?}");
        }
    }

    #[test]
    fn after_a_reset_nothing_is_kept_and_no_handle_goes_on_by_what_it_has() {
        let index = index(100);
        let key = known(&index, "a", 1);
        index.keep(&key);
        assert!(index.get(&key.digest).is_some_and(|kept| kept.is_current()));
        index.reset();
        assert!(index.get(&key.digest).is_none() && !key.is_current());
    }

    #[test]
    fn no_more_is_kept_than_was_said() {
        let index = index(1_000);
        for number in 0..100_000 {
            index.keep(&known(&index, &format!("m{number}"), number));
        }
        let kept: usize = index.parts.iter().map(|part| part.read().unwrap().len()).sum();
        let bound = index.limit * PARTS;
        assert!(bound < 2_000 && kept <= bound && index.accounts().len() <= bound, "{kept} of {bound}");
    }
}
