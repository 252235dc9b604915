//! The two kinds of BIN, six digits and eight, by their first six: one slot says everything about those.

use std::cmp::Ordering;

use super::table::{Edit, Slot, Table, tag_at};

/// Above the bits that say which entries there are stands where the slot belongs: 20 bits, and one that only an empty
/// slot has.
const PLACE: u32 = 107;
const ENTRIES: u128 = (1 << PLACE) - 1;
/// Below, one bit for each of the hundred BINs of eight digits, and one for that of six.
const SIX: u32 = 100;

/// What is listed under six digits.
#[derive(Clone, Copy)]
pub(super) struct BinSlot(u128);

impl Slot for BinSlot {
    const EMPTY: Self = Self(u128::MAX);

    #[inline]
    fn digest(&self) -> u128 {
        self.0 | ENTRIES
    }

    #[inline]
    fn tag(digest: u128) -> u8 {
        // The last of the bits that say where it belongs: within a group no two have them alike.
        tag_at(digest, PLACE + 1)
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

    fn bit(self) -> u128 {
        match self {
            Self::Six(_) => 1 << SIX,
            Self::Eight(digits) => 1 << (digits % 100),
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
        self.0 & bin.bit() != 0
    }
}

/// All listed BINs.
#[derive(Clone, Default)]
pub(super) struct Bins {
    slots: Table<BinSlot>,
    len: usize,
}

/// Where six digits belong. A permutation of all numbers of 20 bits, chosen by a key, so that no two meet and nobody who
/// chooses them knows which ones come to stand side by side.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) factors: [u32; 2],
    pub(super) offset: u32,
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
}

impl Bins {
    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    /// The slots, to be asked for early.
    #[inline]
    pub(super) fn slots(&self) -> &Table<BinSlot> {
        &self.slots
    }

    /// What is listed under six digits.
    #[inline]
    pub(super) fn under(&self, place: u128) -> Listed {
        Listed(self.slots.find(place).map_or(0, |slot| slot.0 & ENTRIES))
    }

    /// The BINs after edits, in their order: each is listed from then on, or is not.
    pub(super) fn edited(&self, places: Places, edits: Vec<(Bin, bool)>) -> Self {
        let mut len = self.len;
        let mut edits: Vec<(u128, Bin, bool)> =
            edits.into_iter().map(|(bin, listed)| (places.of(bin.six()), bin, listed)).collect();
        edits.sort_by_key(|(place, ..)| *place);
        let mut changed = Vec::new();
        for run in edits.chunk_by(|(a, ..), (b, ..)| a == b) {
            let Some((place, ..)) = run.first() else { continue };
            let before = self.under(*place).0;
            let after = run.iter().fold(
                before,
                |listed, (_, bin, stays)| {
                    if *stays { listed | bin.bit() } else { listed & !bin.bit() }
                },
            );
            let slot = BinSlot(place & !ENTRIES | after);
            match (before, after) {
                (before, after) if before == after => {}
                (_, 0) => changed.push(Edit::Take(slot)),
                _ => changed.push(Edit::Put(slot)),
            }
            len = len + count(after) - count(before);
        }
        Self { slots: self.slots.edited(changed), len }
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
        let places = Places { factors: [0x9E37_79B9, 0x85EB_CA6B], offset: 77 };
        let mut all: Vec<u128> = (0..1_000_000).map(|six| places.of(six)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1_000_000);
        assert!(!all.contains(&u128::MAX));
    }
}
