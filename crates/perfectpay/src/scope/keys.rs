//! Living API keys in memory: who a token is of, without the store.
//!
//! A key is read when it is first used and kept under its token's digest, up to a bound; beyond it a part of the index
//! begins anew. How it lies there is `key_table`. Absence is never kept: what is not in the index is asked of the store. The follower says when keys of an
//! account moved. Then each of them is read again when it is next used, which costs an account that changes a key one
//! read for each of its keys in use, and nobody else anything.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash as _, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use super::follow::Follows;
use super::key_table::{Digest, Held, Known, Table};
use super::session::Session;
use crate::api_key::{ApiKey, ApiKeyState, Token, TokenDigest};
use crate::error::{EntityKind, Error, Refusal};
use crate::keyed_hash::KeyedHash;
use crate::merchant::MerchantState;
use crate::seal::KeyId;
use crate::store::{Key, LogEntry, MerchantPath, Store, Stored, Verb};
use crate::time::Timestamp;

/// The index is in so many parts, each behind a lock of its own that only loading takes for writing.
const PARTS: usize = 64;
/// How many keys' uses wait to be written down, and how many keys wait for another digest, at most. What finds no place
/// waits for the key's next use.
const WAITING: usize = 65_536;
/// How many counts of moves there are.
const COUNTS: usize = 16_384;
/// How coarse last uses are, in milliseconds.
const HOUR: i64 = 3_600_000;

/// A pepper that is ready to digest: one that is live, by the id of the key that gave it.
pub(super) struct Pepper {
    id: KeyId,
    hash: KeyedHash,
}

impl Pepper {
    pub(super) fn new(id: KeyId, pepper: &[u8; 32]) -> Self {
        Self { id, hash: KeyedHash::new(pepper) }
    }

    fn digest(&self, token: &str) -> Digest {
        Digest::new(self.hash.digest(token.as_bytes()))
    }
}

type Part = RwLock<Table>;

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

fn hour(moment: Timestamp) -> u32 {
    u32::try_from(moment.unix_millis().div_euclid(HOUR)).unwrap_or_default()
}

/// What authentication saw and housekeeping writes down.
#[derive(Default)]
struct Seen {
    /// Keys that were used, and when.
    used: Vec<(Held, Timestamp)>,
    /// Keys that were found under a former pepper, by that digest, with the one under the current pepper.
    former: HashMap<Digest, (Held, Digest), BuildHasherDefault<FirstBytes>>,
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
    /// How often keys of accounts moved. A count is that of all accounts whose ids hash to it: another one's moves, and
    /// those of a later owner of an id, only cost a read.
    moves: Box<[AtomicU64]>,
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
            moves: std::iter::repeat_with(AtomicU64::default).take(COUNTS).collect(),
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

    /// Notes that a key was accepted, unless it was in this hour; `current` is the token's digest under the current pepper
    /// where it was found under a former one. Waits for nobody: what cannot be noted now is noted with the next use.
    fn note(&self, noted: &AtomicU32, held: &Held, now: Timestamp, current: Option<Digest>) {
        let this_hour = hour(now);
        if noted.load(Ordering::Relaxed) == this_hour && current.is_none() {
            return;
        }
        let Ok(mut seen) = self.seen.try_lock() else { return };
        if noted.load(Ordering::Relaxed) != this_hour && seen.used.len() < WAITING {
            noted.store(this_hour, Ordering::Relaxed);
            if seen.used.capacity() == 0 {
                // Once: what is not used of it takes no memory.
                seen.used.reserve(WAITING);
            }
            seen.used.push((held.clone(), now));
        }
        if let Some(current) = current
            && seen.former.len() < WAITING
        {
            seen.former.entry(held.digest).or_insert_with(|| (held.clone(), current));
        }
    }

    /// As [`Self::note`], of a key that was read for this use.
    fn note_read(&self, held: &Held, now: Timestamp, token: &str) {
        let current = self.peppers.first().map(|pepper| pepper.digest(token)).filter(|digest| *digest != held.digest);
        let Some(part) = self.part(&held.digest) else { return };
        let part = part.read().unwrap_or_else(PoisonError::into_inner);
        match part.find(&held.digest) {
            Some(line) => self.note(&line.noted, held, now, current),
            // Not kept, since something was told meanwhile.
            None => self.note(&AtomicU32::new(0), held, now, current),
        }
    }

    /// Waits until nobody else writes down what was seen.
    pub(super) async fn maintenance(&self) -> async_lock::MutexGuard<'_, ()> {
        self.maintenance.lock().await
    }

    /// The first uses that wait to be written down.
    pub(super) fn used(&self, limit: usize) -> Vec<(Held, Timestamp)> {
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
    pub(super) fn due(&self, limit: usize) -> Vec<(Held, TokenDigest)> {
        let Some(pepper) = self.peppers.first() else { return Vec::new() };
        let digest = |digest: &Digest| TokenDigest { pepper: pepper.id.clone(), digest: digest.bytes() };
        let seen = self.seen();
        seen.former.values().take(limit).map(|(known, current)| (known.clone(), digest(current))).collect()
    }

    /// These are under the current pepper by now, or gone: whoever uses one finds it anew.
    pub(super) fn digested(&self, done: &[(Held, TokenDigest)]) {
        for (known, _) in done {
            self.seen().former.remove(&known.digest);
            if let Some(part) = self.part(&known.digest) {
                part.write().unwrap_or_else(PoisonError::into_inner).take(&known.digest);
            }
        }
    }

    fn part(&self, digest: &Digest) -> Option<&Part> {
        self.parts.get(digest.part(PARTS))
    }

    fn get(&self, digest: &Digest) -> Option<Held> {
        let part = self.part(digest)?.read().unwrap_or_else(PoisonError::into_inner);
        part.held(part.find(digest)?)
    }

    fn keep(&self, known: Known) -> Held {
        let Some(part) = self.part(&known.digest) else { return Held::alone(known) };
        let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
        if part.len() >= self.limit {
            *part = Table::default();
        }
        let said = known.key.last_used.map_or(0, hour);
        let noted = part.find(&known.digest).map_or(0, |line| line.noted.load(Ordering::Relaxed));
        part.put(known, noted.max(said))
    }

    /// Whether nothing was told of its account since it was read. What is dead stays so.
    pub(super) fn is_current(&self, known: &Known) -> bool {
        known.dead || self.is_at(known.account, known.then)
    }

    fn is_at(&self, account: u32, then: u64) -> bool {
        self.count(account).is_some_and(|moves| moves.load(Ordering::Acquire) == then)
    }

    /// What comes of a token whose key is kept and current.
    fn judge(&self, token: &str, now: Timestamp, peer: Option<IpAddr>) -> Option<Result<Held, Refusal>> {
        let mut current = None;
        self.peppers.iter().find_map(|pepper| {
            let digest = pepper.digest(token);
            let is_former = current.is_some();
            let current = *current.get_or_insert(digest);
            let part = self.part(&digest)?.read().unwrap_or_else(PoisonError::into_inner);
            let line = part.find(&digest)?;
            if !line.is_dead() && !self.is_at(line.account, line.then) {
                return None;
            }
            let judged = part.judge(line, now, peer)?;
            if let Ok(held) = &judged {
                self.note(&line.noted, held, now, is_former.then_some(current));
            }
            Some(judged)
        })
    }

    /// The key that is kept for a token of this form, current or not.
    fn find(&self, token: &str) -> Option<Held> {
        self.peppers.iter().find_map(|pepper| self.get(&pepper.digest(token)))
    }

    /// Reads the key of a token and keeps it; `old` is what was kept before. `None` where there is none.
    async fn load(&self, store: &dyn Store, token: &str, old: Option<&Held>) -> Result<Option<Held>, Error> {
        let told = self.told.load(Ordering::Acquire);
        let mut found = self.read(store, token).await?;
        if found.is_none()
            && let Some(old) = old
        {
            // It may have got another digest while one after the other was asked for.
            found = self.by_id(store, old).await?.filter(|known| !known.dead);
        }
        if let Some(known) = found {
            if self.told.load(Ordering::Acquire) == told {
                return Ok(Some(self.keep(known)));
            }
            // Told between: it may have been read before what was told of. It serves this call, which began before, and
            // is read again for the next.
            return Ok(Some(Held::alone(known.outdated())));
        }
        // It was there and is gone: remembered, so that whoever goes on using it is told why, and costs no reads.
        let Some(old) = old else { return Ok(None) };
        let dead = old.dead();
        Ok(Some(if self.told.load(Ordering::Acquire) == told { self.keep(dead) } else { Held::alone(dead) }))
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

    /// Reads a key that is known.
    async fn by_id(&self, store: &dyn Store, old: &Known) -> Result<Option<Known>, Error> {
        let path = Key::ApiKey(MerchantPath::Pinned(old.tenant), old.key.key_id.clone());
        match store.get(&path).await? {
            Some(record) => self.known(store, old.digest, record.try_into()?).await,
            None => Ok(None),
        }
    }

    /// A key with the account it is of, or `None` if that is gone.
    async fn known(&self, store: &dyn Store, digest: Digest, row: Stored<ApiKeyState>) -> Result<Option<Known>, Error> {
        let tenant = row.tenant;
        let path = Key::Merchant(MerchantPath::Pinned(tenant));
        let Some(record) = store.get(&path).await? else { return Ok(None) };
        let merchant: Stored<MerchantState> = record.try_into()?;
        let account = account(merchant.id.as_ref());
        let then = self.count(account).map_or(0, |moves| moves.load(Ordering::Acquire));
        Ok(Some(Known::new(digest, tenant, ApiKey::view(row, merchant.id), account, then)))
    }

    /// The same key as it is now, for a handle that stands on it.
    pub(super) async fn again(&self, store: &dyn Store, old: &Held) -> Result<Held, Error> {
        let told = self.told.load(Ordering::Acquire);
        Ok(Held::alone(match self.by_id(store, old).await? {
            Some(known) if self.told.load(Ordering::Acquire) == told => known,
            // Told between: to be read again by the next operation.
            Some(known) => known.outdated(),
            None => old.dead(),
        }))
    }

    fn count(&self, account: u32) -> Option<&AtomicU64> {
        self.moves.get(usize::try_from(account).ok()?)
    }

    fn moved(&self, merchant: Option<&str>) {
        // In this order: who loads reads its account's count before it asks whether anything was told.
        self.told.fetch_add(1, Ordering::AcqRel);
        let one = merchant.and_then(|merchant| self.count(account(merchant)));
        let all = merchant.is_none().then(|| self.moves.iter()).into_iter().flatten();
        for moves in one.into_iter().chain(all) {
            moves.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Which count of moves is an account's.
fn account(merchant: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    merchant.hash(&mut hasher);
    let counts = u64::try_from(COUNTS).unwrap_or(1);
    u32::try_from(hasher.finish() % counts).unwrap_or_default()
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
            *part.write().unwrap_or_else(PoisonError::into_inner) = Table::default();
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
pub(super) fn glance(session: &Session, token: &str, peer: Option<IpAddr>) -> Option<Result<Held, Refusal>> {
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
pub(super) async fn read(session: &Session, token: &str, peer: Option<IpAddr>) -> Result<Result<Held, Refusal>, Error> {
    let inner = &session.inner;
    let token = match Token::admit(token, inner.environment) {
        Ok(token) => token,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let store = session.store();
    let known = if session.is_batched() {
        inner.keys.read(store, token).await?.map(Held::alone)
    } else {
        inner.follower.freshen(store).await?;
        match inner.keys.find(token) {
            Some(known) if inner.keys.is_current(&known) => Some(known),
            old => inner.keys.load(store, token, old.as_ref()).await?,
        }
    };
    let Some(known) = known else { return Ok(Err(Refusal::Unknown)) };
    let now = session.now();
    Ok(known.judge(now, peer).map(|()| {
        // What a batch made may never be there.
        if !session.is_batched() {
            inner.keys.note_read(&known, now, token);
        }
        known
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_key::{Access, Expiration};
    use crate::id::Incarnation;
    use crate::store::{Actor, CommitClass, LogChange, LogPosition};

    fn index(limit: usize) -> KeyIndex {
        KeyIndex::new(Vec::new(), limit)
    }

    fn known(index: &KeyIndex, merchant: &str, number: u64) -> Known {
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
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        digest[24..].copy_from_slice(&number.to_le_bytes());
        let account = account(merchant);
        let then = index.count(account).unwrap().load(Ordering::Acquire);
        Known::new(Digest::new(digest), Incarnation::PLATFORM, key, account, then)
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
            assert_eq!(keys.map(|key| !index.is_current(&key)), concerned, "{kind} {verb} of {merchant:?}");
        }
    }

    #[test]
    fn after_a_reset_nothing_is_kept_and_no_handle_goes_on_by_what_it_has() {
        let index = index(100);
        let key = known(&index, "a", 1);
        let held = index.keep(key.clone());
        assert!(index.get(&key.digest).is_some_and(|kept| index.is_current(&kept)));
        index.reset();
        assert!(index.get(&key.digest).is_none() && !index.is_current(&held));
    }

    #[test]
    fn what_waits_to_be_written_down_is_bounded_and_what_found_no_place_comes_with_its_next_use() {
        let index = index(10);
        let now = Timestamp::from_unix_millis(100 * HOUR).unwrap();
        let held = Held::alone(known(&index, "a", 1));
        let noted: Vec<AtomicU32> = (0..WAITING + 10).map(|_| AtomicU32::new(0)).collect();
        for _ in 0..2 {
            for noted in &noted {
                index.note(noted, &held, now, None);
            }
            assert_eq!(index.seen().used.len(), WAITING);
        }
        let waiting = |noted: &&AtomicU32| noted.load(Ordering::Relaxed) == 0;
        assert_eq!(noted.iter().filter(waiting).count(), 10);
        index.marked(index.used(1_000).len());
        for noted in &noted {
            index.note(noted, &held, now, None);
        }
        assert_eq!((noted.iter().filter(waiting).count(), index.seen().used.len()), (0, WAITING - 990));
    }

    #[test]
    fn no_more_is_kept_than_was_said() {
        let index = index(1_000);
        for number in 0..100_000 {
            index.keep(known(&index, &format!("m{number}"), number));
        }
        let kept: usize = index.parts.iter().map(|part| part.read().unwrap().len()).sum();
        let bound = index.limit * PARTS;
        assert!(bound < 2_000 && kept <= bound, "{kept} of {bound}");
    }
}
