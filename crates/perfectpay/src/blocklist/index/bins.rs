//! The two kinds of BIN, six digits and eight, by their first six: one slot says everything about those. In front of many
//! slots stands a [`Filter`] of the BINs, and in front of that one bit for each six digits: of most cards it says all.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::digits::LeadingDigits;
use super::filter::Filter;
use super::table::{Edit, Slot, Table};

/// Above the bits that say which entries there are stands where the slot belongs: 20 bits, and one that only an empty
/// slot has.
const PLACE: u32 = 107;
const ENTRIES: u128 = (1 << PLACE) - 1;
/// Below, one bit for each of the hundred BINs of eight digits, and one for that of six.
const SIX: u32 = 100;

/// Bits of the filter for each BIN: all of it is to stay in a processor's nearest caches.
const FILTER: usize = 16;
/// Bits in front of the filter for each BIN, until there is one for each six digits.
const SIXES: usize = 8;
/// Bits of a place, and all of them set.
const PLACES: u32 = 20;
const BITS: u32 = (1 << PLACES) - 1;
/// BINs from which on there is a filter.
const FILTERED: usize = 2_048;

/// What is listed under six digits.
#[derive(Clone, Copy)]
pub(super) struct BinSlot(u128);

impl Slot for BinSlot {
    const EMPTY: Self = Self(u128::MAX);
    /// [`Bins`] has one that says more.
    const IS_FILTERED: bool = false;

    #[inline]
    fn digest(&self) -> u128 {
        self.0 | ENTRIES
    }

    #[inline]
    fn word(digest: u128) -> u64 {
        u64::try_from(digest >> 64).unwrap_or_default()
    }

    fn order(&self, other: &Self) -> Ordering {
        self.digest().cmp(&other.digest())
    }
}

/// A BIN of six digits, or of eight.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bin {
    Six(u32),
    Eight(u32),
}

impl Bin {
    fn six(self) -> u32 {
        match self {
            Self::Six(digits) => digits,
            Self::Eight(digits) => digits / 100,
        }
    }

    #[inline]
    fn bit(self) -> u32 {
        match self {
            Self::Six(_) => SIX,
            Self::Eight(digits) => digits % 100,
        }
    }
}

/// Which BINs of one card are listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed(u128);

impl Listed {
    #[inline]
    pub(super) fn nothing(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has(self, bin: Bin) -> bool {
        self.0 >> bin.bit() & 1 != 0
    }
}

/// All listed BINs.
#[derive(Clone, Default)]
pub(super) struct Bins {
    slots: Table<BinSlot>,
    front: Option<Front>,
    len: usize,
}

/// What stands in front of many slots.
#[derive(Clone)]
struct Front {
    sixes: Sixes,
    filter: Filter,
}

/// A bit for each six digits, by [`Places::near`], or, to save room, one for all that agree there in their last bits:
/// whether any BIN is listed under them. As the bits of a [`Filter`], those of what goes stay, and all tables that were made of one another share them.
#[derive(Clone)]
struct Sixes {
    /// A power of two of them.
    words: Arc<[AtomicU64]>,
}

impl Sixes {
    /// Room for so many.
    fn of(len: usize) -> Self {
        let bits = (len * SIXES).next_power_of_two().trailing_zeros().clamp(6, PLACES);
        Self { words: (0..1_usize << (bits - 6)).map(|_| AtomicU64::new(0)).collect() }
    }

    #[inline]
    fn word(&self, near: u32) -> Option<(&AtomicU64, u64)> {
        let at = usize::try_from(near >> 6).unwrap_or_default() & self.words.len().wrapping_sub(1);
        Some((self.words.get(at)?, 1 << (near & 63)))
    }

    #[inline]
    fn may_have(&self, near: u32) -> bool {
        self.word(near).is_some_and(|(word, bit)| word.load(Relaxed) & bit != 0)
    }

    fn mark(&self, near: u32) {
        if let Some((word, bit)) = self.word(near) {
            word.fetch_or(bit, Relaxed);
        }
    }
}

/// Where six digits belong. A permutation of all numbers of 20 bits, chosen by a key, so that no two meet and nobody who
/// chooses them knows which ones come to stand side by side.
#[derive(Clone, Copy)]
pub(super) struct Places {
    /// Odd ones.
    pub(super) factors: [u32; 2],
    pub(super) offset: u32,
    pub(super) shown: u64,
}

impl Places {
    #[inline]
    pub(super) fn of(&self, six: u32) -> u128 {
        u128::from(self.mixed(six)) << (PLACE + 1) | ENTRIES
    }

    /// The place in 20 bits.
    #[inline]
    fn mixed(&self, six: u32) -> u32 {
        let [_, second] = self.factors;
        let near = self.near(six);
        (near ^ near >> 9).wrapping_mul(second) & BITS
    }

    /// On the way to the place: a permutation of all numbers of 20 bits as well.
    #[inline]
    fn near(&self, six: u32) -> u32 {
        let [first, _] = self.factors;
        six.wrapping_mul(first).wrapping_add(self.offset) & BITS
    }

    /// The way back from the place.
    fn near_of(&self, place: u128) -> u32 {
        let [_, second] = self.factors;
        // Each round doubles the bits that are right, of which every odd number's square has three.
        let inverse =
            (0..4).fold(second, |inverse, _| inverse.wrapping_mul(2_u32.wrapping_sub(second.wrapping_mul(inverse))));
        let mixed = u32::try_from(place >> (PLACE + 1)).unwrap_or_default().wrapping_mul(inverse) & BITS;
        mixed ^ mixed >> 9 ^ mixed >> 18
    }

    /// What a filter is shown of a BIN: where its first six digits belong, which decides on the word, and behind it
    /// something of its bit there.
    #[inline]
    fn shown(&self, place: u128, bit: u32) -> u64 {
        let place = u64::try_from(place >> (PLACE + 1)).unwrap_or_default();
        place << 44 | (place << 7 | u64::from(bit)).wrapping_mul(self.shown | 1) >> 20
    }
}

impl Bins {
    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        let front = |front: &Front| front.filter.bytes() + 16 + front.sixes.words.len() * size_of::<AtomicU64>();
        self.slots.bytes() + self.front.as_ref().map_or(0, front)
    }

    /// Whether a card's BINs may be listed.
    #[inline]
    pub(super) fn may_have(&self, places: &Places, leading: &LeadingDigits) -> bool {
        match &self.front {
            Some(front) => front.sixes.may_have(places.near(leading.six())) && front.may_have(places, leading),
            None => self.len > 0,
        }
    }

    /// What is listed under a card's first six digits.
    #[inline]
    pub(super) fn under(&self, places: &Places, leading: &LeadingDigits) -> Listed {
        let listed = self.may_have(places, leading).then(|| self.at(places.of(leading.six())));
        listed.unwrap_or(Listed(0))
    }

    #[inline]
    fn at(&self, place: u128) -> Listed {
        Listed(self.slots.find(place).map_or(0, |slot| slot.0 & ENTRIES))
    }

    /// The BINs after edits, in their order: each is listed from then on, or is not.
    pub(super) fn edited(&self, places: &Places, edits: Vec<(Bin, bool)>) -> Self {
        let mut len = self.len;
        let mut edits: Vec<(u128, Bin, bool)> =
            edits.into_iter().map(|(bin, listed)| (places.of(bin.six()), bin, listed)).collect();
        edits.sort_by_key(|(place, ..)| *place);
        let (mut changed, mut listed) = (Vec::new(), Vec::new());
        for run in edits.chunk_by(|(a, ..), (b, ..)| a == b) {
            let Some((place, ..)) = run.first() else { continue };
            let before = self.at(*place).0;
            let after =
                run.iter().fold(
                    before,
                    |listed, (_, bin, stays)| {
                        if *stays { listed | 1 << bin.bit() } else { listed & !(1 << bin.bit()) }
                    },
                );
            let slot = BinSlot(place & !ENTRIES | after);
            match (before, after) {
                (before, after) if before == after => {}
                (_, 0) => changed.push(Edit::Take(slot)),
                _ => changed.push(Edit::Put(slot)),
            }
            len = len + count(after) - count(before);
            let stay = run.iter().filter(|(.., stays)| *stays);
            listed.extend(stay.map(|(place, bin, _)| (*place, places.shown(*place, bin.bit()))));
        }
        let slots = self.slots.edited(changed);
        let kept = self.front.as_ref().filter(|_| len >= FILTERED);
        let kept =
            kept.inspect(|front| listed.iter().for_each(|(place, shown)| front.mark(places.near_of(*place), *shown)));
        let front = match kept.filter(|front| front.filter.suits(len, FILTER)) {
            None if len >= FILTERED => Some(Front::of(places, &slots)),
            kept => kept.cloned(),
        };
        Self { slots, front, len }
    }
}

impl Front {
    /// In front of all BINs that are listed.
    fn of(places: &Places, slots: &Table<BinSlot>) -> Self {
        let (slots, mut listed) = (slots.kept(), Vec::new());
        for BinSlot(slot) in &slots {
            let mut rest = slot & ENTRIES;
            while rest != 0 {
                listed.push(places.shown(*slot, rest.trailing_zeros()));
                rest &= rest - 1;
            }
        }
        let sixes = Sixes::of(listed.len());
        for BinSlot(slot) in slots {
            sixes.mark(places.near_of(slot));
        }
        Self { sixes, filter: Filter::of(listed.into_iter(), FILTER) }
    }

    fn mark(&self, near: u32, shown: u64) {
        self.sixes.mark(near);
        self.filter.mark(shown);
    }

    /// Whether a BIN may be listed, of which the six digits may be among those under which any is.
    #[inline(never)]
    fn may_have(&self, places: &Places, leading: &LeadingDigits) -> bool {
        let place = places.of(leading.six());
        self.filter.may_have(places.shown(place, SIX))
            || leading.eight().is_some_and(|eight| self.filter.may_have(places.shown(place, Bin::Eight(eight).bit())))
    }
}

fn count(entries: u128) -> usize {
    usize::try_from(entries.count_ones()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_six_digits_have_one_place_and_none_has_that_of_an_empty_slot() {
        let places = Places { factors: [0x9E37_79B9, 0x85EB_CA6B], offset: 77, shown: 0xDA94_2042_E4DD_58B5 };
        assert!((0..1_000_000).all(|six| places.near_of(places.of(six)) == places.near(six)));
        let mut all: Vec<u128> = (0..1_000_000).map(|six| places.of(six)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1_000_000);
        assert!(!all.contains(&u128::MAX));
    }
}
