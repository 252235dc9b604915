//! A filter in front of a table: of nearly every digest that is not there it says so, by one word of memory.
//!
//! A word stands for some six entries, each of which has four of its bits. What has not all of its bits there is not in
//! the table; what has them may be. Tables are values and share their filter with those that were made of them: an entry
//! that is put is marked for all of them, and one that is taken stays marked. So a filter says too often that something
//! may be there, and never too rarely. Once so much was marked that it says little it is made anew.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A filter of digests of which 64 bits, as random as those of a keyed hash, are shown to it. The first word counts what was
/// marked.
#[derive(Clone)]
pub(super) struct Filter(Arc<[AtomicU64]>);

impl Filter {
    /// A filter of these, with so many bits of memory for each.
    pub(super) fn of(digests: impl ExactSizeIterator<Item = u64>, bits: usize) -> Self {
        let words = (digests.len() * bits).div_ceil(64).max(1);
        let filter = Self((0..=words).map(|_| AtomicU64::new(0)).collect());
        digests.for_each(|digest| filter.mark(digest));
        filter
    }

    /// Whether it may be there.
    #[inline]
    pub(super) fn may_have(&self, digest: u64) -> bool {
        let (at, bits) = self.place(digest);
        self.0.get(at).is_some_and(|word| word.load(Ordering::Relaxed) & bits == bits)
    }

    /// Marks it as there. Whoever publishes a table publishes what was marked before.
    pub(super) fn mark(&self, digest: u64) {
        let (at, bits) = self.place(digest);
        if let (Some(word), Some(count)) = (self.0.get(at), self.0.first()) {
            word.fetch_or(bits, Ordering::Relaxed);
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether so much was marked that it is to be made anew: half as much again as it was made for.
    pub(super) fn is_worn(&self, bits: usize) -> bool {
        let marked = self.0.first().map_or(0, |count| count.load(Ordering::Relaxed));
        let room = (self.0.len() * 64 / bits).max(64);
        usize::try_from(marked).is_ok_and(|marked| marked > room + room / 2)
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        16 + self.0.len() * size_of::<AtomicU64>()
    }

    /// The word that a digest's leading bits point at, and its four bits there by others. The last eight are not looked at.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the upper half of a product is below the smaller factor")]
    fn place(&self, digest: u64) -> (usize, u64) {
        let words = (self.0.len() as u64).wrapping_sub(1);
        let at = ((u128::from(digest) * u128::from(words)) >> 64) as usize;
        // Behind the first one.
        let at = at.wrapping_add(1);
        let bit = |from: u32| 1_u64 << (digest >> from & 63);
        (at, bit(8) | bit(14) | bit(20) | bit(26))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("words", &self.0.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u64) -> u64 {
        let mixed = (u128::from(n) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let mixed = (mixed ^ (mixed >> 61)).wrapping_mul(0xDA94_2042_E4DD_58B5_BF58_476D_1CE4_E5B9);
        u64::try_from(mixed >> 64).unwrap()
    }

    #[test]
    fn what_is_marked_may_be_there_and_little_else() {
        let filter = Filter::of((0..100_000).map(digest).collect::<Vec<_>>().into_iter(), 10);
        assert!((0..100_000).all(|n| filter.may_have(digest(n))));
        let wrong = (100_000..300_000).filter(|n| filter.may_have(digest(*n))).count();
        assert!(wrong < 8_000, "{wrong} of 200,000");
        assert!(filter.bytes() <= 126_000);
    }

    #[test]
    fn it_is_worn_once_half_as_much_again_was_marked_and_the_clone_sees_all_of_it() {
        let filter = Filter::of((0..1_000).map(digest).collect::<Vec<_>>().into_iter(), 10);
        let clone = filter.clone();
        (1_000..1_500).for_each(|n| filter.mark(digest(n)));
        assert!(!clone.is_worn(10));
        (1_500..1_700).for_each(|n| filter.mark(digest(n)));
        assert!(clone.is_worn(10) && (0..1_700).all(|n| clone.may_have(digest(n))));
    }
}
