//! Keyed digests: what the tables of an index are ordered by.
//!
//! The keys are drawn once for a process and never stored. Whoever writes entries does not know them, and so cannot
//! choose values that meet in one place of a table, or a text that is taken for another.

use std::fmt;
use std::hash::Hash as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::bins::Places;
use super::table::BITS;
use crate::time::Entropy;

/// A fingerprint as an index takes it. What the index keeps of it is a digest of 128 bits, keyed, which is made only of
/// those that a filter does not rule out.
///
/// Two cards have the same digest with a probability of 2^-128. Whoever writes a text of our form that is to be taken for
/// another one, without knowing the keys, succeeds with a probability of 2^-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexFingerprint {
    /// The HMAC; of a foreign text both halves of its keyed hash, and zeros. The first word is a number of its bytes in their
    /// order: a list that is read in the order of its texts comes one part of a table after the other.
    words: [u64; 4],
    /// Of the secret; [`FOREIGN`] of a foreign text.
    version: u64,
}

/// Versions are of 32 bits.
const FOREIGN: u64 = u64::MAX;

/// So many leading bits of a fingerprint are the leading ones of its digest too: what a filter looks at needs no hash.
const FRONT: u32 = BITS;
const BEHIND: u32 = u64::BITS - FRONT;

/// The keys of the digests of a process.
#[derive(Clone)]
pub struct DigestKeys {
    ours: Lane<5>,
    digits: Lane<1>,
    bins: Places,
    text: [u8; 16],
}

/// The keyed half of a digest: a sum of products, modulo 2^128, of which the upper half is kept. Its values for two different
/// messages are independent of each other and uniform (Lemire and Kaser, Strongly universal string hashing is fast,
/// 2014).
#[derive(Clone)]
struct Lane<const WORDS: usize> {
    offset: u128,
    factors: [u128; WORDS],
}

impl<const WORDS: usize> Lane<WORDS> {
    fn draw(entropy: &dyn Entropy) -> Self {
        Self { offset: number(entropy), factors: std::array::from_fn(|_| number(entropy)) }
    }

    #[inline]
    fn half(&self, words: [u64; WORDS]) -> u64 {
        let products = self.factors.iter().zip(words).map(|(factor, word)| factor.wrapping_mul(u128::from(word)));
        let sum = products.fold(self.offset, u128::wrapping_add);
        u64::try_from(sum >> 64).unwrap_or_default()
    }
}

fn number(entropy: &dyn Entropy) -> u128 {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    u128::from_le_bytes(bytes)
}

impl DigestKeys {
    /// Draws new keys.
    pub fn draw(entropy: &dyn Entropy) -> Self {
        let mut text = [0; 16];
        entropy.fill(&mut text);
        let [mut first, mut second, mut offset] = [[0; 4]; 3];
        for bytes in [&mut first, &mut second, &mut offset] {
            entropy.fill(bytes);
        }
        let mut shown = [0; 8];
        entropy.fill(&mut shown);
        Self {
            ours: Lane::draw(entropy),
            digits: Lane::draw(entropy),
            bins: Places {
                factors: [first, second].map(|bytes| u32::from_le_bytes(bytes) | 1),
                offset: u32::from_le_bytes(offset),
                shown: u64::from_le_bytes(shown),
            },
            text,
        }
    }

    /// A foreign fingerprint.
    pub fn foreign(&self, text: &str) -> IndexFingerprint {
        let mut hasher = SipHasher24::new_with_key(&self.text);
        text.as_bytes().hash(&mut hasher);
        let hash = hasher.finish128();
        IndexFingerprint { words: [hash.h1, hash.h2, 0, 0], version: FOREIGN }
    }

    /// The digest of a fingerprint: half of it a hash of the whole, keyed, in the middle of a quarter of the HMAC, which
    /// is as random. The largest value means an empty slot; nothing has it.
    #[inline]
    pub(super) fn digest(&self, fingerprint: &IndexFingerprint) -> u128 {
        let [first, second, third, fourth] = fingerprint.words;
        let keyed = match fingerprint.version {
            FOREIGN => second,
            version => self.ours.half([first, second, third, fourth, version]),
        };
        let (front, behind) = (first >> BEHIND, first & ((1 << BEHIND) - 1));
        let digest = u128::from(front) << (128 - FRONT) | u128::from(keyed) << BEHIND | u128::from(behind);
        if digest == u128::MAX { digest - (1 << BEHIND) } else { digest }
    }

    /// The digest of a prefix: half a hash, half the digits themselves, so that no two are alike.
    #[inline]
    pub(super) fn digits(&self, code: u64) -> u128 {
        u128::from(self.digits.half([code])) << 64 | u128::from(code)
    }
}

impl IndexFingerprint {
    /// Stands where there is none.
    pub(crate) const NONE: Self = Self { words: [0; 4], version: 0 };

    /// A fingerprint of ours: the version of the secret, and the HMAC under it.
    #[inline]
    pub fn ours(version: u32, mac: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        let (chunks, _) = mac.as_chunks::<8>();
        for (word, bytes) in words.iter_mut().zip(chunks) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [first, ..] = &mut words;
        *first = first.swap_bytes();
        Self { words, version: u64::from(version) }
    }

    /// What [`Slot::shown`](super::table::Slot::shown) is of its digest.
    #[inline]
    pub(super) fn shown(&self) -> u64 {
        let [first, ..] = self.words;
        first
    }

    /// The leading bits of its digest.
    #[inline]
    pub(super) fn front(&self) -> usize {
        usize::try_from(self.shown() >> BEHIND).unwrap_or_default()
    }
}

impl DigestKeys {
    /// Where BINs stand.
    #[inline]
    pub(super) fn bins(&self) -> &Places {
        &self.bins
    }
}

impl fmt::Debug for DigestKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestKeys").finish_non_exhaustive()
    }
}
