//! The two kinds of BIN, six digits and eight, by their first six: one slot says everything about those. In front of many
//! slots stands a [`Filter`] of the BINs.

use std::cmp::Ordering;

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
    filter: Option<Filter>,
    len: usize,
}

/// Where six digits belong. A permutation of all numbers of 20 bits, chosen by a key, so that no two meet and nobody who
/// chooses them knows which ones come to stand side by side.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) factors: [u32; 2],
    pub(super) offset: u32,
    pub(super) shown: u64,
}

impl Places {
    #[inline]
    pub(super) fn of(self, six: u32) -> u128 {
        const BITS: u32 = (1 << 20) - 1;
        let [first, second] = self.factors;
        let mixed = six.wrapping_mul(first | 1).wrapping_add(self.offset) & BITS;
        let mixed = (mixed ^ mixed >> 9).wrapping_mul(second | 1) & BITS;
        u128::from(mixed) << (PLACE + 1) | ENTRIES
    }

    /// What a filter is shown of a BIN: where its first six digits belong, which decides on the word, and behind it
    /// something of its bit there.
    #[inline]
    fn shown(self, place: u128, bit: u32) -> u64 {
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
        self.slots.bytes() + self.filter.as_ref().map_or(0, Filter::bytes)
    }

    /// Whether a card's BINs may be listed.
    #[inline]
    pub(super) fn may_have(&self, places: Places, six: u32, eight: Option<u32>) -> bool {
        match &self.filter {
            Some(filter) => {
                let place = places.of(six);
                filter.may_have(places.shown(place, SIX))
                    || eight.is_some_and(|eight| filter.may_have(places.shown(place, Bin::Eight(eight).bit())))
            }
            None => self.len > 0,
        }
    }

    /// What is listed under six digits, the next two of which are such.
    #[inline]
    pub(super) fn under(&self, places: Places, six: u32, eight: Option<u32>) -> Listed {
        let listed = self.may_have(places, six, eight).then(|| self.at(places.of(six)));
        listed.unwrap_or(Listed(0))
    }

    #[inline]
    fn at(&self, place: u128) -> Listed {
        Listed(self.slots.find(place).map_or(0, |slot| slot.0 & ENTRIES))
    }

    /// The BINs after edits, in their order: each is listed from then on, or is not.
    pub(super) fn edited(&self, places: Places, edits: Vec<(Bin, bool)>) -> Self {
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
            listed
                .extend(run.iter().filter(|(.., stays)| *stays).map(|(place, bin, _)| places.shown(*place, bin.bit())));
        }
        let slots = self.slots.edited(changed);
        let kept = self.filter.as_ref().filter(|_| len >= FILTERED);
        let kept = kept.inspect(|filter| listed.iter().for_each(|bin| filter.mark(*bin)));
        let filter = match kept.filter(|filter| !filter.is_worn(FILTER)) {
            None if len >= FILTERED => Some(filter(places, &slots)),
            kept => kept.cloned(),
        };
        Self { slots, filter, len }
    }
}

/// The filter of all BINs that are listed.
fn filter(places: Places, slots: &Table<BinSlot>) -> Filter {
    let mut listed = Vec::new();
    for BinSlot(slot) in slots.kept() {
        let mut rest = slot & ENTRIES;
        while rest != 0 {
            listed.push(places.shown(slot, rest.trailing_zeros()));
            rest &= rest - 1;
        }
    }
    Filter::of(listed.into_iter(), FILTER)
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
        let mut all: Vec<u128> = (0..1_000_000).map(|six| places.of(six)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1_000_000);
        assert!(!all.contains(&u128::MAX));
    }
}
