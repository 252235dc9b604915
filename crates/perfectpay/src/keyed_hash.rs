//! HMAC-SHA-256 (RFC 2104) under a key that is made ready once: what every use of an API key and every card waits for.
//!
//! It gives what the crate `hmac` gives, and takes less time for it: nothing is buffered, so that no buffer has to be
//! copied and wiped for every message, and blocks are compressed where they lie. The compression is that of `sha2`, which
//! finds the processor's instructions for it.

use std::fmt;

use sha2::block_api::compress256;
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;
/// Bytes of a digest.
const DIGEST: usize = 32;
/// Bytes that say how many bits there are.
const LENGTH: usize = 8;
/// The state that SHA-256 begins with (FIPS 180-4, 5.3.3).
const BEGIN: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A key that hashes: both of HMAC's pads are compressed. Wiped when dropped.
pub(crate) struct KeyedHash {
    inner: Zeroizing<[u32; 8]>,
    outer: Zeroizing<[u32; 8]>,
}

impl KeyedHash {
    pub(crate) fn new(key: &[u8; DIGEST]) -> Self {
        Self::padded(key)
    }

    /// Under a key of at most a block; `None` for a longer one, which HMAC would hash first and nobody makes.
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        (key.len() <= BLOCK).then(|| Self::padded(key))
    }

    fn padded(key: &[u8]) -> Self {
        let keyed = |pad: u8| {
            let mut block = Zeroizing::new([pad; BLOCK]);
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            let mut state = Zeroizing::new(BEGIN);
            compress256(&mut state, std::slice::from_ref(&*block));
            state
        };
        Self { inner: keyed(0x36), outer: keyed(0x5c) }
    }

    /// HMAC-SHA-256 of the message.
    pub(crate) fn digest(&self, message: &[u8]) -> [u8; DIGEST] {
        let mut state = *self.inner;
        finish(&mut state, message);
        self.closed(state)
    }

    /// HMAC-SHA-256 of a message that ends within the one block, in which it is padded.
    #[inline]
    pub(crate) fn digest_of_block(&self, block: &[u8; BLOCK]) -> [u8; DIGEST] {
        let mut state = *self.inner;
        compress256(&mut state, std::slice::from_ref(block));
        self.closed(state)
    }

    /// What SHA-256 goes on from behind the pads, for whoever compresses many messages side by side.
    pub(crate) fn states(&self) -> [&[u32; 8]; 2] {
        [&self.inner, &self.outer]
    }

    /// What the inner digest comes to behind the outer pad.
    #[inline]
    fn closed(&self, inner: [u32; 8]) -> [u8; DIGEST] {
        let mut block = [0; BLOCK];
        let words = inner.into_iter().chain([0x8000_0000, 0, 0, 0, 0, 0, 0, (64 + 32) * 8]);
        block.as_chunks_mut::<4>().0.iter_mut().zip(words).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
        let mut state = *self.outer;
        compress256(&mut state, &[block]);
        bytes(&state)
    }
}

/// Compresses a message, which follows one block, and what ends it: a bit, and its length with that block.
#[inline]
fn finish(state: &mut [u32; 8], message: &[u8]) {
    let (blocks, rest) = message.as_chunks::<BLOCK>();
    if !blocks.is_empty() {
        compress256(state, blocks);
    }
    let mut last = [[0; BLOCK]; 2];
    let ends = last.as_flattened_mut();
    ends.iter_mut().zip(rest.iter().chain(&[0x80])).for_each(|(to, from)| *to = *from);
    let blocks = if rest.len() + 1 + LENGTH <= BLOCK { 1 } else { 2 };
    let bits = u64::try_from(BLOCK + message.len()).unwrap_or(u64::MAX).wrapping_mul(8);
    if let Some(length) = ends.get_mut(blocks * BLOCK - LENGTH..blocks * BLOCK) {
        length.copy_from_slice(&bits.to_be_bytes());
    }
    if let Some(last) = last.get(..blocks) {
        compress256(state, last);
    }
    // The rest of it is no part of the message.
    if let Some(copied) = last.as_flattened_mut().get_mut(..rest.len()) {
        copied.zeroize();
    }
}

/// A state as the digest that it is.
#[inline]
pub(crate) fn bytes(state: &[u32; 8]) -> [u8; DIGEST] {
    let mut bytes = [0; DIGEST];
    bytes.as_chunks_mut::<4>().0.iter_mut().zip(state).for_each(|(to, word)| *to = word.to_be_bytes());
    bytes
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;
    use crate::seal::mac;

    #[test]
    fn it_gives_the_published_values() {
        // RFC 4231, cases 1 and 3, whose keys have 20 bytes: a shorter key is one that ends in zeros.
        let padded = |byte: u8| {
            let mut key = [0; 32];
            key[..20].fill(byte);
            key
        };
        for (key, message, expected) in [
            (padded(0x0b), b"Hi There".to_vec(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (padded(0xaa), vec![0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        ] {
            assert_eq!(HEXLOWER.encode(&KeyedHash::new(&key).digest(&message)), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_gives_what_the_library_gives(key in any::<[u8; 32]>(), message in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(KeyedHash::new(&key).digest(&message), *mac(&key, &[&message]));
        }
    }

    #[test]
    fn every_length_around_a_block_is_padded_right() {
        for length in 0..=130 {
            let message = vec![0xa5; length];
            assert_eq!(KeyedHash::new(&[7; 32]).digest(&message), *mac(&[7; 32], &[&message]), "{length}");
        }
    }
}
