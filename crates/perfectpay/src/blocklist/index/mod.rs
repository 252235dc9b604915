//! The index of a blocklist: which of its entries decides about a card, answered in memory.
//!
//! An [`Index`] is a value. Edits make another one that shares nearly everything with it, in some twenty microseconds at ten
//! million entries; whoever reads the one before goes on undisturbed. Nothing here does I/O, and time is an argument.
//!
//! What it keeps:
//!
//! - Most entries block in the index's own scope until they are removed. Of those nothing is kept but a digest of 16
//!   bytes, in a hash table whose order is that of the digests, one of fingerprints and one of prefixes; of the two kinds
//!   of BIN a bit in the slot of their first six digits.
//! - Any other entry, one that allows, expires, holds for one profile only or is a range, stands with its terms in a
//!   second table of each sort. A range is there under the fewest prefixes that cover it.
//!
//! A look-up asks the tables for the card's fingerprints and for its prefixes of those lengths that the list has at all.
//! Most cards are listed nowhere, and filters say so by one word of memory for each kind. What they look at is known without
//! a hash, so that a look-up of such a card is some sixty instructions: what it costs is waiting for that word, and the
//! fewer there are the more cards a processor has under way.

mod bins;
mod digest;
mod digits;
mod filter;
mod table;
mod words;

use std::cmp::Ordering;

use self::bins::{Bin, Bins};
pub use self::digest::{DigestKeys, IndexFingerprint};
use self::digits::Prefix;
pub use self::digits::{DigitSpan, DigitsKind, FEWEST, LEADING, LeadingDigits};
use self::table::{BITS, Edit, Slot, Table};
use super::BlockAction;
use crate::time::Timestamp;

/// Cards that [`Index::match_many`] looks at together.
const GROUP: usize = 32;

/// Whom an entry holds for. Narrower ones come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexScope {
    /// One profile, under the number that the owner of the index gave it.
    Profile(u32),
    /// The merchant account.
    Merchant,
    /// The organization.
    Organization,
}

impl IndexScope {
    /// Whether what has this scope holds at a profile.
    fn holds(self, profile: Option<u32>) -> bool {
        match self {
            Self::Profile(own) => profile == Some(own),
            Self::Merchant | Self::Organization => true,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Profile(_) => 0,
            Self::Merchant => 1,
            Self::Organization => 2,
        }
    }
}

/// Which cards an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Covers {
    /// One card.
    Fingerprint(IndexFingerprint),
    /// All cards whose leading digits lie in a span.
    Digits(DigitSpan),
}

/// Names an entry: what it covers, in which scope. A list has one of each name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexKey {
    /// The cards.
    pub covers: Covers,
    /// For whom.
    pub scope: IndexScope,
}

/// An entry as an index takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its name.
    pub key: IndexKey,
    /// What happens to the cards.
    pub action: BlockAction,
    /// When it stops matching: from this moment on it does not.
    pub expires_at: Option<Timestamp>,
}

/// A change of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexEdit {
    /// Adds an entry, or replaces the one of its name.
    Put(IndexEntry),
    /// Removes the entry of this name, if there is one.
    Take(IndexKey),
}

/// What is known of a card that is asked about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Its leading digits, if they are known.
    pub leading: Option<LeadingDigits>,
    /// Its fingerprints: one for each version of the secret, and whatever else it goes by.
    pub fingerprints: &'a [IndexFingerprint],
}

/// An entry that matches a card.
///
/// The order of matches is their precedence, the winner first: the one that covers the fewest cards (a fingerprint fewer
/// than any digits); among equals the narrower scope, then the one that allows. What is left says the same: told is the
/// earlier of the card's fingerprints, and of digits the first by kind and then by the text of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// By what it matches.
    pub by: MatchedBy,
    /// Its scope.
    pub scope: IndexScope,
    /// What it does.
    pub action: BlockAction,
    /// When it stops matching.
    pub expires_at: Option<Timestamp>,
}

/// By what an entry matches a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchedBy {
    /// By the card's fingerprint at this place of [`Facts::fingerprints`].
    Fingerprint(usize),
    /// By its leading digits.
    Digits(DigitSpan),
}

/// Which of several entries is told that say the same.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Fingerprint(usize),
    /// In the order of the values' texts.
    Digits(DigitsKind, u64, u8),
}

impl Match {
    fn rank(&self) -> (u64, u8, bool, Name) {
        let (coverage, name) = match self.by {
            MatchedBy::Fingerprint(at) => (0, Name::Fingerprint(at)),
            MatchedBy::Digits(span) => (span.coverage(), Name::Digits(span.kind(), span.begin(), span.length())),
        };
        (coverage, self.scope.rank(), self.action == BlockAction::Block, name)
    }
}

impl PartialOrd for Match {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Match {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank()).then(self.expires_at.cmp(&other.expires_at))
    }
}

/// What an entry says besides which cards it is about.
#[derive(Debug, Clone, Copy)]
struct Terms {
    /// In Unix milliseconds; the largest value is never.
    expires: i64,
    /// [`scope_code`]
    scope: u32,
    action: BlockAction,
}

const MERCHANT: u32 = u32::MAX - 1;
const ORGANIZATION: u32 = u32::MAX;

impl Terms {
    const NONE: Self = Self { expires: i64::MIN, scope: ORGANIZATION, action: BlockAction::Allow };

    fn of(entry: &IndexEntry) -> Self {
        let expires = entry.expires_at.map_or(i64::MAX, Timestamp::unix_millis);
        Self { expires, scope: scope_code(entry.key.scope), action: entry.action }
    }

    /// The match, if the entry lives and holds at the profile.
    #[inline]
    fn matched(self, by: MatchedBy, profile: Option<u32>, now: Timestamp) -> Option<Match> {
        let scope = match self.scope {
            ORGANIZATION => IndexScope::Organization,
            MERCHANT => IndexScope::Merchant,
            profile => IndexScope::Profile(profile),
        };
        let lives = self.expires > now.unix_millis() && scope.holds(profile);
        let expires_at = if self.expires == i64::MAX { None } else { Timestamp::from_unix_millis(self.expires) };
        lives.then_some(Match { by, scope, action: self.action, expires_at })
    }
}

/// Profiles are numbered from zero; nobody has as many as would reach the other two.
fn scope_code(scope: IndexScope) -> u32 {
    match scope {
        IndexScope::Profile(number) => number.min(MERCHANT - 1),
        IndexScope::Merchant => MERCHANT,
        IndexScope::Organization => ORGANIZATION,
    }
}

/// A fingerprint that blocks in the index's own scope until it is removed.
#[derive(Debug, Clone, Copy)]
struct PlainSlot(u128);

impl Slot for PlainSlot {
    const EMPTY: Self = Self(u128::MAX);
    const IS_ITS_NAME: bool = true;

    #[inline]
    fn digest(&self) -> u128 {
        self.0
    }

    #[inline]
    fn shown(digest: u128) -> u64 {
        shown(digest)
    }

    #[inline]
    fn order(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

/// What a filter is shown of a fingerprint's digest: its leading bits and its last ones, which [`IndexFingerprint::shown`]
/// knows without the digest.
#[inline]
fn shown(digest: u128) -> u64 {
    let behind = u64::MAX >> BITS;
    table::low(digest >> 64) & !behind | table::low(digest) & behind
}

/// A fingerprint with terms of its own.
#[derive(Clone, Copy)]
struct FingerprintSlot {
    digest: u128,
    terms: Terms,
}

impl Slot for FingerprintSlot {
    const EMPTY: Self = Self { digest: u128::MAX, terms: Terms::NONE };

    fn digest(&self) -> u128 {
        self.digest
    }

    fn shown(digest: u128) -> u64 {
        shown(digest)
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.digest, self.terms.scope).cmp(&(other.digest, other.terms.scope))
    }
}

/// Leading digits with terms of their own, under one of the prefixes that cover the span.
#[derive(Clone, Copy)]
struct DigitsSlot {
    digest: u128,
    /// `None` in an empty slot.
    span: Option<DigitSpan>,
    terms: Terms,
}

impl Slot for DigitsSlot {
    const EMPTY: Self = Self { digest: u128::MAX, span: None, terms: Terms::NONE };

    fn digest(&self) -> u128 {
        self.digest
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.digest, self.span, self.terms.scope).cmp(&(other.digest, other.span, other.terms.scope))
    }
}

/// How many entries there are under prefixes of each length; as bits, which lengths there are at all.
#[derive(Debug, Clone, Copy, Default)]
struct Lengths {
    counts: [u32; 12],
    present: u16,
}

impl Lengths {
    fn add(&mut self, length: u8, more: i32) {
        if let Some(count) = self.counts.get_mut(usize::from(length)) {
            *count = count.saturating_add_signed(more);
            let bit = 1 << length;
            self.present = if *count == 0 { self.present & !bit } else { self.present | bit };
        }
    }

    /// Which there are of those that are known, the shortest first.
    #[inline]
    fn up_to(self, known: u8) -> impl Iterator<Item = u8> {
        let mut rest = self.present & ((2 << known) - 1);
        std::iter::from_fn(move || {
            let length = u8::try_from(rest.trailing_zeros()).ok()?;
            (rest != 0).then(|| rest &= rest - 1)?;
            Some(length)
        })
    }
}

/// The entries of one list, compiled. See the [module](self).
#[derive(Clone)]
pub struct Index {
    keys: std::sync::Arc<DigestKeys>,
    /// The scope of entries whose scope is not kept.
    own: IndexScope,
    fingerprints: Table<PlainSlot>,
    bins: Bins,
    prefixes: Table<u128>,
    lengths: Lengths,
    special_fingerprints: Table<FingerprintSlot>,
    special_digits: Table<DigitsSlot>,
    special_lengths: Lengths,
    /// Whether there are entries for which neither the filter of the fingerprints nor that of the BINs speaks.
    is_unfiltered: bool,
}

/// Makes an index of many entries at once, in less time and memory than edits do.
#[derive(Debug)]
pub struct IndexBuilder {
    empty: Index,
    /// By their leading bits.
    fingerprints: [Vec<PlainSlot>; 1 << BITS],
    /// The leading bits of the last one, and how many in a row had them.
    run: (usize, usize),
    others: Vec<IndexEdit>,
}

impl IndexBuilder {
    /// Begins with an empty index.
    pub fn new(keys: std::sync::Arc<DigestKeys>, own: IndexScope) -> Self {
        let fingerprints = std::array::from_fn(|_| Vec::new());
        Self { empty: Index::new(keys, own), fingerprints, run: (0, 0), others: Vec::new() }
    }

    /// Adds an entry. A name is to come once; of several the last one stays, but for one that has terms, which stays before those
    /// that have none.
    pub fn push(&mut self, entry: IndexEntry) {
        let plain =
            entry.key.scope == self.empty.own && entry.expires_at.is_none() && entry.action == BlockAction::Block;
        match entry.key.covers {
            Covers::Fingerprint(print) if plain => {
                let front = print.front();
                if front != self.run.0 {
                    self.sort_run();
                    self.run = (front, 0);
                }
                self.run.1 += 1;
                let slot = PlainSlot(self.empty.keys.digest(&print));
                self.fingerprints.get_mut(front).into_iter().for_each(|slots| slots.push(slot));
            }
            _ => self.others.push(IndexEdit::Put(entry)),
        }
    }

    /// Sorts what came in a row, if that is most of what begins alike: a list in the order of its texts is sorted while
    /// it is read.
    fn sort_run(&mut self) {
        let (front, count) = self.run;
        if let Some(slots) = self.fingerprints.get_mut(front).filter(|slots| count > slots.len() / 2) {
            slots.sort_unstable_by(PlainSlot::order);
        }
    }

    /// The index of what was added.
    pub fn build(self) -> Index {
        let mut slots = Vec::with_capacity(self.fingerprints.iter().map(Vec::len).sum());
        for mut part in self.fingerprints {
            part.sort_unstable_by(PlainSlot::order);
            slots.append(&mut part);
        }
        let fingerprints = Table::build(slots);
        Index { fingerprints, ..self.empty }.edited(self.others)
    }
}

/// The edits of each table.
#[derive(Default)]
struct Sorted {
    fingerprints: Vec<Edit<PlainSlot>>,
    bins: Vec<(Bin, bool)>,
    prefixes: Vec<Edit<u128>>,
    special_fingerprints: Vec<Edit<FingerprintSlot>>,
    special_digits: Vec<Edit<DigitsSlot>>,
}

impl Index {
    /// The index of an empty list, most of whose entries will have this scope.
    pub fn new(keys: std::sync::Arc<DigestKeys>, own: IndexScope) -> Self {
        Self {
            keys,
            own,
            fingerprints: Table::default(),
            bins: Bins::default(),
            prefixes: Table::default(),
            lengths: Lengths::default(),
            special_fingerprints: Table::default(),
            special_digits: Table::default(),
            special_lengths: Lengths::default(),
            is_unfiltered: false,
        }
    }

    /// The keys of its digests.
    pub fn keys(&self) -> &DigestKeys {
        &self.keys
    }

    /// Entries, as they are stored in the tables: a range counts once for each prefix that covers it.
    pub fn len(&self) -> usize {
        let special = self.special_fingerprints.len() + self.special_digits.len();
        self.fingerprints.len() + self.bins.len() + self.prefixes.len() + special
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes, itself included, without what the allocator adds.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.fingerprints.bytes()
            + self.bins.bytes()
            + self.prefixes.bytes()
            + self.special_fingerprints.bytes()
            + self.special_digits.bytes()
    }

    /// The index after the edits, in their order. What the list has of them already costs nothing.
    pub fn edited(&self, edits: impl IntoIterator<Item = IndexEdit>) -> Self {
        let mut sorted = Sorted::default();
        for edit in edits {
            self.sort_in(&edit, &mut sorted);
        }
        let mut next = self.clone();
        next.fingerprints = self.fingerprints.edited(self.fingerprints.settled(sorted.fingerprints));
        next.special_fingerprints =
            self.special_fingerprints.edited(self.special_fingerprints.settled(sorted.special_fingerprints));
        next.bins = self.bins.edited(self.keys.bins(), sorted.bins);
        let prefixes = self.prefixes.settled(sorted.prefixes);
        for edit in &prefixes {
            next.lengths.add(length_of(edit.slot()), if matches!(edit, Edit::Put(_)) { 1 } else { -1 });
        }
        next.prefixes = self.prefixes.edited(prefixes);
        let special = self.special_digits.settled(sorted.special_digits);
        for edit in &special {
            let length = length_of(edit.slot().digest);
            match edit {
                Edit::Put(slot) if self.special_digits.has(slot) => {}
                Edit::Put(_) => next.special_lengths.add(length, 1),
                Edit::Take(_) => next.special_lengths.add(length, -1),
            }
        }
        next.special_digits = self.special_digits.edited(special);
        next.is_unfiltered =
            next.special_fingerprints.len() > 0 || next.lengths.present | next.special_lengths.present != 0;
        next
    }

    /// Puts an edit before the tables that it may concern: an entry that is put stands in one of two, and no longer in
    /// the other.
    fn sort_in(&self, edit: &IndexEdit, sorted: &mut Sorted) {
        let (key, terms) = match edit {
            IndexEdit::Put(entry) => (entry.key, Some(Terms::of(entry))),
            IndexEdit::Take(key) => (*key, None),
        };
        let plain = key.scope == self.own;
        let stays_plain =
            plain && terms.is_some_and(|terms| terms.expires == i64::MAX && terms.action == BlockAction::Block);
        let kept = terms.unwrap_or(Terms { scope: scope_code(key.scope), ..Terms::NONE });
        match key.covers {
            Covers::Fingerprint(print) => {
                let digest = self.keys.digest(&print);
                if plain {
                    let slot = PlainSlot(digest);
                    sorted.fingerprints.push(if stays_plain { Edit::Put(slot) } else { Edit::Take(slot) });
                }
                let slot = FingerprintSlot { digest, terms: kept };
                let stays = terms.is_some() && !stays_plain;
                sorted.special_fingerprints.push(if stays { Edit::Put(slot) } else { Edit::Take(slot) });
            }
            Covers::Digits(span) => {
                let stays_plain = stays_plain && span.kind() != DigitsKind::CardRange;
                if let Some(bin) = span.bin().filter(|_| plain) {
                    sorted.bins.push((bin, stays_plain));
                } else if let Some(prefix) = span.prefix_alone().filter(|_| plain) {
                    let digest = self.keys.digits(prefix.code());
                    sorted.prefixes.push(if stays_plain { Edit::Put(digest) } else { Edit::Take(digest) });
                }
                let stays = terms.is_some() && !stays_plain;
                for prefix in span.prefixes() {
                    let digest = self.keys.digits(prefix.code());
                    let slot = DigitsSlot { digest, span: Some(span), terms: kept };
                    sorted.special_digits.push(if stays { Edit::Put(slot) } else { Edit::Take(slot) });
                }
            }
        }
    }

    /// Which entry decides about a card, at a profile and at a moment.
    #[inline]
    pub fn matched(&self, card: &Facts<'_>, profile: Option<u32>, now: Timestamp) -> Option<Match> {
        // The usual list says no of the usual card by one word for its fingerprint and one for its BINs. That is short and stands
        // in line, so that the processor is at the next cards while it waits for this one's words.
        match card.fingerprints {
            [print] if !self.is_unfiltered => {
                if self.fingerprints.may_have_shown(print.shown()) {
                    return self.decided_by_one(print, card, profile, now);
                }
            }
            [] if !self.is_unfiltered => {}
            _ => return self.decided(card, profile, now),
        }
        if self.may_have_bin(card) { self.decided_by_digits(card, profile, now) } else { None }
    }

    /// What decides about a card of one fingerprint, which may be there, where no entry has terms of its own.
    #[inline(never)]
    fn decided_by_one(
        &self,
        print: &IndexFingerprint,
        card: &Facts<'_>,
        profile: Option<u32>,
        now: Timestamp,
    ) -> Option<Match> {
        // Nothing covers fewer cards.
        match self.fingerprints.find(self.keys.digest(print)) {
            Some(_) => Some(self.plain(MatchedBy::Fingerprint(0))),
            None => self.decided_by_digits(card, profile, now),
        }
    }

    #[inline(never)]
    fn decided(&self, card: &Facts<'_>, profile: Option<u32>, now: Timestamp) -> Option<Match> {
        let mut winner: Option<Match> = None;
        self.each_by_fingerprint(card, profile, now, |found| {
            winner = Some(winner.map_or(found, |best| best.min(found)));
        });
        // Nothing by digits decides before what a fingerprint says.
        winner.or_else(|| self.decided_by_digits(card, profile, now))
    }

    #[inline(never)]
    fn decided_by_digits(&self, card: &Facts<'_>, profile: Option<u32>, now: Timestamp) -> Option<Match> {
        let mut winner: Option<Match> = None;
        self.each_by_digits(card, profile, now, |found| winner = Some(winner.map_or(found, |best| best.min(found))));
        winner
    }

    /// Whether there may be a BIN that matches.
    #[inline]
    fn may_have_bin(&self, card: &Facts<'_>) -> bool {
        card.leading.as_ref().is_some_and(|leading| self.bins.may_have(self.keys.bins(), leading))
    }

    #[inline]
    fn has_plain(&self, print: &IndexFingerprint) -> bool {
        self.fingerprints.may_have_shown(print.shown()) && self.fingerprints.find(self.keys.digest(print)).is_some()
    }

    /// The match of an entry of which no terms are kept.
    #[inline]
    fn plain(&self, by: MatchedBy) -> Match {
        Match { by, scope: self.own, action: BlockAction::Block, expires_at: None }
    }

    /// Every entry that matches a card, the one that decides first.
    pub fn all_matching(&self, card: &Facts<'_>, profile: Option<u32>, now: Timestamp) -> Vec<Match> {
        let mut all = Vec::new();
        self.each_by_fingerprint(card, profile, now, |found| all.push(found));
        self.each_by_digits(card, profile, now, |found| all.push(found));
        all.sort();
        all
    }

    /// [`Self::matched`] of many cards, in their order. The memory that a group of them needs is asked for together, so
    /// that they wait for it together.
    pub fn match_many(
        &self,
        cards: &[Facts<'_>],
        profile: Option<u32>,
        now: Timestamp,
        mut answer: impl FnMut(Option<Match>),
    ) {
        for group in cards.chunks(GROUP) {
            let prints = group.iter().flat_map(|card| card.fingerprints);
            prints.clone().for_each(|print| self.fingerprints.prefetch_shown(print.shown()));
            for print in prints {
                if self.fingerprints.may_have_shown(print.shown()) {
                    self.fingerprints.prefetch(self.keys.digest(print));
                }
            }
            for card in group {
                answer(self.matched(card, profile, now));
            }
        }
    }

    /// Hands out every entry that matches by a fingerprint.
    #[inline]
    fn each_by_fingerprint(
        &self,
        card: &Facts<'_>,
        profile: Option<u32>,
        now: Timestamp,
        mut found: impl FnMut(Match),
    ) {
        for (at, print) in card.fingerprints.iter().enumerate() {
            let by = MatchedBy::Fingerprint(at);
            if self.has_plain(print) {
                found(self.plain(by));
            }
            if self.special_fingerprints.may_have_shown(print.shown()) {
                let all = self.special_fingerprints.all(self.keys.digest(print));
                all.filter_map(|slot| slot.terms.matched(by, profile, now)).for_each(&mut found);
            }
        }
    }

    /// Hands out every entry that matches by the leading digits.
    #[inline]
    fn each_by_digits(&self, card: &Facts<'_>, profile: Option<u32>, now: Timestamp, mut found: impl FnMut(Match)) {
        let Some(leading) = card.leading else { return };
        let (six, eight) = (leading.six(), leading.eight());
        let listed = self.bins.under(self.keys.bins(), &leading);
        if !listed.nothing() {
            if listed.has(Bin::Six(six)) {
                let prefix = Prefix { length: 6, value: six.into() };
                found(self.plain(MatchedBy::Digits(DigitSpan::of(DigitsKind::CardBin, prefix))));
            }
            if let Some(eight) = eight.filter(|eight| listed.has(Bin::Eight(*eight))) {
                let prefix = Prefix { length: 8, value: eight.into() };
                found(self.plain(MatchedBy::Digits(DigitSpan::of(DigitsKind::ExtendedCardBin, prefix))));
            }
        }
        for length in self.lengths.up_to(leading.known()) {
            let prefix = Prefix::of(leading, length);
            let digest = self.keys.digits(prefix.code());
            if self.prefixes.may_have(digest) && self.prefixes.find(digest).is_some() {
                found(self.plain(MatchedBy::Digits(DigitSpan::of(DigitsKind::CardPrefix, prefix))));
            }
        }
        for length in self.special_lengths.up_to(leading.known()) {
            let digest = self.keys.digits(Prefix::of(leading, length).code());
            for slot in self.special_digits.all(digest) {
                // All of the prefix lies in the span, and with it every card that the known digits may be of.
                if let Some(span) = slot.span {
                    slot.terms.matched(MatchedBy::Digits(span), profile, now).into_iter().for_each(&mut found);
                }
            }
        }
    }
}

/// The length in the digest of a prefix, whose lower half is its code.
fn length_of(digest: u128) -> u8 {
    u8::try_from(digest >> 37 & 0xf).unwrap_or_default()
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("own", &self.own).field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
