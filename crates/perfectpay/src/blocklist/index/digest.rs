//! Keyed digests: what the tables of an index are ordered by.
//!
//! The keys are drawn once for a process and never stored. Whoever writes entries does not know them, and so cannot
//! choose values that meet in one place of a table, or a text that is taken for another.

use std::fmt;
use std::hash::Hash as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::bins::Places;
use crate::time::Entropy;

/// A fingerprint as an index knows it: 128 bits, keyed.
///
/// Two cards have the same one with a probability of 2^-128. Whoever writes a text of our form that is to be taken for
/// another one, without knowing the keys, succeeds with a probability of 2^-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FingerprintDigest(pub(super) u128);

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
                factors: [first, second].map(u32::from_le_bytes),
                offset: u32::from_le_bytes(offset),
                shown: u64::from_le_bytes(shown),
            },
            text,
        }
    }

    /// The digest of a fingerprint of ours: the version of the secret, and the HMAC under it.
    #[inline]
    pub fn fingerprint(&self, version: u32, mac: &[u8; 32]) -> FingerprintDigest {
        let mut words = [0, 0, 0, 0, u64::from(version)];
        let (chunks, _) = mac.as_chunks::<8>();
        for (word, bytes) in words.iter_mut().zip(chunks) {
            *word = u64::from_le_bytes(*bytes);
        }
        // One half is of the whole, keyed; the other is a quarter of the HMAC, as random as it is.
        let [first, ..] = words;
        FingerprintDigest::of(u128::from(self.ours.half(words)) << 64 | u128::from(first))
    }

    /// The digest of a foreign fingerprint.
    pub fn foreign(&self, text: &str) -> FingerprintDigest {
        let mut hasher = SipHasher24::new_with_key(&self.text);
        text.as_bytes().hash(&mut hasher);
        FingerprintDigest::of(hasher.finish128().as_u128())
    }

    /// The digest of a prefix: half a hash, half the digits themselves, so that no two are alike.
    #[inline]
    pub(super) fn digits(&self, code: u64) -> u128 {
        u128::from(self.digits.half([code])) << 64 | u128::from(code)
    }
}

impl FingerprintDigest {
    /// What no fingerprint has.
    pub(crate) const NONE: Self = Self(u128::MAX);
}

impl DigestKeys {
    /// Where BINs stand.
    #[inline]
    pub(super) fn bins(&self) -> Places {
        self.bins
    }
}

impl FingerprintDigest {
    /// The largest value means an empty slot; nothing has it.
    fn of(digest: u128) -> Self {
        Self(digest.min(u128::MAX - 1))
    }
}

impl fmt::Debug for DigestKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestKeys").finish_non_exhaustive()
    }
}
