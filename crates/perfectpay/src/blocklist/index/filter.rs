//! A filter in front of a table: of nearly every digest that is not there it says so, by one word of memory.
//!
//! A word stands for some six entries, each of which has four of its bits. What has not all of its bits there is not in
//! the table; what has them may be. Tables are values and share their filter with those that were made of them: an entry
//! that is put is marked for all of them, and one that is taken stays marked. So a filter says too often that something
//! may be there, and never too rarely. Once so much was marked that it says little, or so little is left that it is far too
//! large, whoever keeps it makes it anew.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::words::Words;

/// A filter of digests of which 64 bits, as random as those of a keyed hash, are shown to it.
#[derive(Clone)]
pub(super) struct Filter(Arc<Marked>);

struct Marked {
    /// How often something was marked.
    count: AtomicU64,
    words: Words,
}

impl Filter {
    /// An empty filter for so many digests, with so many bits of memory for each.
    pub(super) fn for_len(len: usize, bits: usize) -> Self {
        let words = Words::zeroed((len * bits).div_ceil(64).max(1));
        Self(Arc::new(Marked { count: AtomicU64::new(0), words }))
    }

    /// A filter of these.
    pub(super) fn of(digests: impl ExactSizeIterator<Item = u64>, bits: usize) -> Self {
        let filter = Self::for_len(digests.len(), bits);
        digests.for_each(|digest| filter.mark(digest));
        filter
    }

    /// Whether it may be there.
    #[inline]
    pub(super) fn may_have(&self, digest: u64) -> bool {
        let bits = bits(digest);
        self.word(digest).is_none_or(|word| word.load(Ordering::Relaxed) & bits == bits)
    }

    /// Has the word that it is in brought near.
    #[inline]
    pub(super) fn prefetch(&self, digest: u64) {
        let words = self.0.words.all();
        prefetch_index::prefetch_index(words, place(digest, words.len()));
    }

    /// Marks it as there. Whoever publishes a table publishes what was marked before.
    pub(super) fn mark(&self, digest: u64) {
        if let Some(word) = self.word(digest) {
            word.fetch_or(bits(digest), Ordering::Relaxed);
            self.0.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether it still serves a table of so many entries. It does not once half as much again was marked as it has room for,
    /// nor where it has room for four times as many.
    pub(super) fn suits(&self, len: usize, bits: usize) -> bool {
        let room = (self.0.words.all().len() * 64 / bits).max(64);
        let marked = usize::try_from(self.0.count.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        marked <= room + room / 2 && room <= len.saturating_mul(4).max(64)
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        16 + size_of::<Marked>() + self.0.words.bytes()
    }

    #[inline]
    fn word(&self, digest: u64) -> Option<&AtomicU64> {
        let words = self.0.words.all();
        words.get(place(digest, words.len()))
    }
}

/// The one of so many words that a digest's leading bits point at.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the upper half of a product is below the smaller factor")]
fn place(digest: u64, words: usize) -> usize {
    ((u128::from(digest) * words as u128) >> 64) as usize
}

/// A digest's four bits in its word, by others than choose that. The last eight are not looked at.
#[inline]
fn bits(digest: u64) -> u64 {
    let bit = |from: u32| 1_u64 << (digest >> from & 63);
    bit(8) | bit(14) | bit(20) | bit(26)
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("words", &self.0.words).finish_non_exhaustive()
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
    fn it_serves_until_half_as_much_again_was_marked_and_the_clone_sees_all_of_it() {
        let filter = Filter::of((0..1_000).map(digest).collect::<Vec<_>>().into_iter(), 10);
        let clone = filter.clone();
        (1_000..1_500).for_each(|n| filter.mark(digest(n)));
        assert!(clone.suits(1_500, 10) && clone.suits(260, 10) && !clone.suits(240, 10));
        (1_500..1_700).for_each(|n| filter.mark(digest(n)));
        assert!(!clone.suits(1_700, 10) && (0..1_700).all(|n| clone.may_have(digest(n))));
    }
}
