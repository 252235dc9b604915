//! Words of memory in which many threads read bits and set them, in large pages where they are many.
//!
//! Whoever looks up a word of many megabytes waits for the page table about as long as for the word. So from some megabytes
//! on the words are memory of their own, with the advice to the system to use large pages for it, which no allocator gives
//! unless it is told to. Where a system has none, or gives no such memory, the words are on the heap and as good but
//! for that.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicU64;

use memmap2::MmapMut;
use self_cell::{MutBorrow, self_cell};
use zerocopy::FromBytes as _;

/// Bytes of a large page, and of its alignment, on the systems that we know.
const PAGE: usize = 2 << 20;
/// Bytes from which on large pages are asked for: below, what the last one has left over would weigh.
const LARGE: usize = 2 * PAGE;
const WORD: usize = size_of::<AtomicU64>();

enum Memory {
    Heap(Box<[AtomicU64]>),
    Mapped { map: MmapMut, used: Range<usize> },
}

impl Memory {
    fn zeroed(words: usize) -> Self {
        Self::mapped(words).unwrap_or_else(|| Self::Heap((0..words).map(|_| AtomicU64::new(0)).collect()))
    }

    /// Whole pages: a part of one would take all of it.
    fn mapped(words: usize) -> Option<Self> {
        let bytes = words.checked_mul(WORD).filter(|bytes| *bytes >= LARGE)?.checked_next_multiple_of(PAGE)?;
        let map = MmapMut::map_anon(bytes.checked_add(PAGE)?).ok()?;
        // A system that has no large pages refuses, and the memory is good all the same.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let from = map.as_ptr().align_offset(PAGE);
        let used = from..from.checked_add(bytes).filter(|end| *end <= map.len())?;
        Some(Self::Mapped { map, used })
    }

    fn words(&mut self) -> &[AtomicU64] {
        match self {
            Self::Heap(words) => words,
            Self::Mapped { map, used } => {
                let bytes = map.get_mut(used.clone());
                bytes.and_then(|bytes| <[AtomicU64]>::mut_from_bytes(bytes).ok()).map_or(&[], |words| words)
            }
        }
    }
}

type Slice<'a> = &'a [AtomicU64];

self_cell! {
    struct Kept {
        owner: MutBorrow<Memory>,
        #[covariant]
        dependent: Slice,
    }
}

/// The words.
pub(super) struct Words(Kept);

impl Words {
    /// At least so many, all of them zero.
    pub(super) fn zeroed(words: usize) -> Self {
        Self(Kept::new(MutBorrow::new(Memory::zeroed(words)), |memory| memory.borrow_mut().words()))
    }

    #[inline]
    pub(super) fn all(&self) -> &[AtomicU64] {
        self.0.borrow_dependent()
    }

    /// Bytes on the heap or beside it.
    pub(super) fn bytes(&self) -> usize {
        size_of::<MutBorrow<Memory>>() + size_of::<Slice<'_>>() + size_of_val(self.all())
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("len", &self.all().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[test]
    fn few_words_are_as_many_as_asked_and_many_fill_large_pages() {
        for (asked, given) in [
            (1, 1),
            (LARGE / WORD - 1, LARGE / WORD - 1),
            (LARGE / WORD, LARGE / WORD),
            (LARGE / WORD + 1, (LARGE + PAGE) / WORD),
        ] {
            let words = Words::zeroed(asked);
            assert_eq!(words.all().len(), given);
            assert!(words.all().iter().all(|word| word.load(Relaxed) == 0));
            for (at, word) in words.all().iter().enumerate() {
                word.store(at as u64, Relaxed);
            }
            assert!(words.all().iter().enumerate().all(|(at, word)| word.load(Relaxed) == at as u64));
        }
    }

    #[test]
    fn many_words_begin_where_a_large_page_does() {
        let words = Words::zeroed(LARGE / WORD);
        assert_eq!(words.all().as_ptr().align_offset(PAGE), 0);
    }
}
