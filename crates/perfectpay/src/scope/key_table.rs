//! The table of the key index: what every use of a key looks at, a cache line a key, and the keys themselves, in pages.
//!
//! With a million keys in use, memory is what a use waits for. So the line by which a key is found says whether it is
//! accepted, and the key itself is not looked at; and whoever is handed a key is counted as a holder of its page, of which
//! there are few, and not of the key.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use subtle::ConstantTimeEq as _;

use crate::api_key::{ApiKey, TokenDigest};
use crate::error::Refusal;
use crate::id::Incarnation;
use crate::time::Timestamp;

/// How many keys the first page of a table holds. Each later one holds twice as many, up to [`LAST_PAGE`].
const FIRST_PAGE: usize = 8;
const LAST_PAGE: usize = 1_024;
/// How many lines a table begins with.
const FIRST_LINES: usize = 16;

/// A digest as the index finds it. It is random to whoever has not the pepper, so its first bytes are hash enough; what
/// compares takes the same time wherever two differ behind them.
#[derive(Clone, Copy, Eq, Default)]
pub(super) struct Digest([u64; 4]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

impl Digest {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Self(words)
    }

    pub(super) fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    fn first(&self) -> u64 {
        let [first, ..] = self.0;
        first
    }

    /// In which of so many parts it is: not by the bits that find it there.
    pub(super) fn part(&self, parts: usize) -> usize {
        let [.., last] = self.0;
        usize::try_from(last).unwrap_or_default() % parts
    }

    /// Where it is looked for first among so many lines.
    fn place(&self, lines: usize) -> usize {
        let lines = u128::try_from(lines).unwrap_or_default();
        usize::try_from((u128::from(self.first()) * lines) >> 64).unwrap_or_default()
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.first());
    }
}

/// A key as it was read.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) digest: Digest,
    /// Which count of moves is that of its account, and what it was then.
    pub(super) account: u32,
    pub(super) then: u64,
    /// When it ends, in Unix milliseconds; never is the greatest number.
    ends: i64,
    /// Whether it was found to be gone or revoked. It stays so.
    pub(super) dead: bool,
    /// Whether it is accepted from some networks only.
    networks: bool,
    pub(super) tenant: Incarnation,
    pub(super) key: ApiKey,
}

impl Known {
    pub(super) fn new(digest: Digest, tenant: Incarnation, key: ApiKey, account: u32, then: u64) -> Self {
        let ends = Option::from(key.expiration).map_or(i64::MAX, |end: Timestamp| end.unix_millis());
        let (dead, networks) = (key.revoked.is_some(), key.access.networks.is_some());
        Self { digest, account, then, ends, dead, networks, tenant, key }
    }

    /// The same key, gone.
    pub(super) fn dead(&self) -> Self {
        Self { dead: true, ..self.clone() }
    }

    /// The same key, to be read again by whoever asks next.
    pub(super) fn outdated(self) -> Self {
        Self { then: self.then.wrapping_sub(1), ..self }
    }

    /// Whether this is the digest that it was found by.
    pub(super) fn is_under(&self, kept: &TokenDigest) -> bool {
        self.digest == Digest::new(kept.digest)
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

/// Keys that are counted together. A key that is in it stays what it is.
struct Page {
    keys: Box<[OnceLock<Known>]>,
    /// What is told where nothing is, which nobody asks: a key that is gone.
    gone: Known,
}

/// A key in somebody's hands. It stays what it was, whatever becomes of it in the table.
#[derive(Clone)]
pub(super) struct Held {
    page: Arc<Page>,
    at: u16,
}

impl Held {
    /// A key that is in no table.
    pub(super) fn alone(known: Known) -> Self {
        let gone = known.dead();
        Self { page: Arc::new(Page { keys: Box::new([OnceLock::from(known)]), gone }), at: 0 }
    }
}

impl Deref for Held {
    type Target = Known;

    fn deref(&self) -> &Known {
        self.page.keys.get(usize::from(self.at)).and_then(OnceLock::get).unwrap_or(&self.page.gone)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Nothing was ever in the line.
const FREE: u8 = 0;
/// The key that was in the line went; others may lie behind it.
const LEFT: u8 = 1;
/// A key that is accepted from anywhere until it ends.
const PLAIN: u8 = 2;
/// A key that is accepted from some networks.
const NETWORKS: u8 = 3;
/// A key that is gone.
const DEAD: u8 = 4;

/// What is looked at with every use of a key.
#[repr(C, align(64))]
pub(super) struct Line {
    digest: Digest,
    pub(super) then: u64,
    ends: i64,
    pub(super) account: u32,
    /// In which hour since 1970 a use was noted last; 0 for none.
    pub(super) noted: AtomicU32,
    page: u32,
    at: u16,
    state: u8,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            digest: Digest::default(),
            then: 0,
            ends: 0,
            account: 0,
            noted: AtomicU32::new(0),
            page: 0,
            at: 0,
            state: FREE,
        }
    }
}

fn free(lines: usize) -> Box<[Line]> {
    std::iter::repeat_with(Line::default).take(lines).collect()
}

/// A part of the index.
#[derive(Default)]
pub(super) struct Table {
    lines: Box<[Line]>,
    /// How many lines are not free.
    taken: usize,
    pages: Vec<Arc<Page>>,
    /// How many keys are in the last page.
    in_last: usize,
    /// How many keys are in all pages, those among them that others took the place of.
    keys: usize,
}

impl Table {
    /// How many keys it holds in memory, those among them that others took the place of.
    pub(super) fn len(&self) -> usize {
        self.keys
    }

    /// The line of a digest.
    pub(super) fn find(&self, digest: &Digest) -> Option<&Line> {
        let (front, back) = self.lines.split_at_checked(digest.place(self.lines.len()))?;
        let mut lines = back.iter().chain(front).take_while(|line| line.state != FREE);
        lines.find(|line| line.is_of(digest))
    }

    /// The key of a line.
    pub(super) fn held(&self, line: &Line) -> Option<Held> {
        let page = self.pages.get(usize::try_from(line.page).ok()?)?;
        Some(Held { page: Arc::clone(page), at: line.at })
    }

    /// The key of a line, if it is accepted.
    pub(super) fn judge(&self, line: &Line, now: Timestamp, peer: Option<IpAddr>) -> Option<Result<Held, Refusal>> {
        let held = self.held(line)?;
        if line.state == PLAIN && line.ends > now.unix_millis() {
            return Some(Ok(held));
        }
        Some(held.judge(now, peer).map(|()| held))
    }

    /// Puts a key where its digest is found, in the place of what was there.
    pub(super) fn put(&mut self, known: Known, noted: u32) -> Held {
        let state = match (known.dead, known.networks) {
            (true, _) => DEAD,
            (false, true) => NETWORKS,
            (false, false) => PLAIN,
        };
        let (digest, then, ends, account) = (known.digest, known.then, known.ends, known.account);
        let held = self.shelve(known);
        let page = u32::try_from(self.pages.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let noted = AtomicU32::new(noted);
        self.write(Line { digest, then, ends, account, noted, page, at: held.at, state });
        held
    }

    fn shelve(&mut self, known: Known) -> Held {
        let room = self.pages.last().map_or(0, |page| page.keys.len());
        if self.in_last >= room {
            let size = if room == 0 { FIRST_PAGE } else { (room * 2).min(LAST_PAGE) };
            let keys = std::iter::repeat_with(OnceLock::new).take(size).collect();
            self.pages.push(Arc::new(Page { keys, gone: known.dead() }));
            self.in_last = 0;
        }
        let at = u16::try_from(self.in_last).unwrap_or(u16::MAX);
        let Some(page) = self.pages.last() else { return Held::alone(known) };
        let held = Held { page: Arc::clone(page), at };
        if let Some(place) = page.keys.get(self.in_last) {
            // Nobody was there before.
            let _new = place.set(known);
        }
        self.in_last += 1;
        self.keys += 1;
        held
    }

    fn write(&mut self, line: Line) {
        // At most three of five are taken, so that a look-up looks at two on the average.
        if (self.taken + 1) * 5 > self.lines.len() * 3 {
            let lines = free((self.lines.len() * 2).max(FIRST_LINES));
            let old = std::mem::replace(&mut self.lines, lines);
            self.taken = 0;
            for line in old {
                if line.state > LEFT {
                    self.settle(line);
                }
            }
        }
        self.settle(line);
    }

    fn settle(&mut self, line: Line) {
        let place = line.digest.place(self.lines.len());
        let Some((front, back)) = self.lines.split_at_mut_checked(place) else { return };
        let mut lines = back.iter_mut().chain(front);
        if let Some(found) = lines.find(|found| found.state == FREE || found.is_of(&line.digest)) {
            self.taken += usize::from(found.state == FREE);
            *found = line;
        }
    }

    /// Takes what is under a digest away.
    pub(super) fn take(&mut self, digest: &Digest) {
        let place = digest.place(self.lines.len());
        let Some((front, back)) = self.lines.split_at_mut_checked(place) else { return };
        let mut lines = back.iter_mut().chain(front).take_while(|line| line.state != FREE);
        if let Some(found) = lines.find(|line| line.is_of(digest)) {
            found.state = LEFT;
        }
    }
}

impl Line {
    fn is_of(&self, digest: &Digest) -> bool {
        // The first bytes found the line; whoever could tell by the time where they differ would know where it lies.
        self.digest.first() == digest.first() && self.state > LEFT && self.digest == *digest
    }

    /// Whether the key is gone, which it stays.
    pub(super) fn is_dead(&self) -> bool {
        self.state == DEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_key::{Access, Expiration};

    fn known(digest: Digest) -> Known {
        let key = ApiKey {
            key_id: "snd_1".parse().unwrap(),
            merchant_id: "m".parse().unwrap(),
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
        Known::new(digest, Incarnation::PLATFORM, key, 0, digest.first())
    }

    #[test]
    fn a_line_is_a_cache_line() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
    }

    #[test]
    fn what_was_put_is_found_and_what_was_taken_is_not_however_they_lie() {
        let mut table = Table::default();
        // All of them want the last line, and the first ones behind the end.
        let digest = |number: u64| Digest([u64::MAX, number, 0, 0]);
        assert!(table.find(&digest(0)).is_none());
        for number in 0..200 {
            table.put(known(digest(number)), 7);
        }
        for number in (0..200).step_by(3) {
            table.take(&digest(number));
        }
        for number in 0..200 {
            let found = table.find(&digest(number)).map(|line| table.held(line).unwrap().digest.bytes());
            assert_eq!(found, (number % 3 > 0).then(|| digest(number).bytes()), "{number}");
        }
        // What is put once more is there once, and whoever holds the former one keeps it.
        let line = table.find(&digest(1)).unwrap();
        let held = table.held(line).unwrap();
        table.put(Known { then: 9, ..known(digest(1)) }, 8);
        let line = table.find(&digest(1)).unwrap();
        assert_eq!((line.then, table.held(line).unwrap().then, held.then), (9, 9, u64::MAX));
        table.take(&digest(1));
        assert!(table.find(&digest(1)).is_none());
        assert_eq!(held.then, u64::MAX);
        assert_eq!(table.len(), 201);
    }

    #[test]
    fn many_keys_lie_where_they_are_found() {
        let mut table = Table::default();
        let mut number = 1_u64;
        let mut next = || {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Digest([number, number >> 7, 3, number])
        };
        let digests: Vec<Digest> = (0..20_000).map(|_| next()).collect();
        for digest in &digests {
            table.put(known(*digest), 0);
        }
        let found = |digest: &&Digest| table.find(digest).is_some_and(|line| line.then == digest.first());
        assert_eq!(digests.iter().filter(found).count(), digests.len());
        assert!((0..20_000).all(|_| table.find(&next()).is_none()));
        // Twenty thousand keys are in pages of a thousand, but for the first few.
        assert!(table.pages.len() < 30 && table.lines.len() < 80_000, "{} {}", table.pages.len(), table.lines.len());
    }
}
