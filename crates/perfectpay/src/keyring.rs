//! The keyring: who holds the keys that wrap data keys.
//!
//! A [`Keyring`] wraps and opens data keys, 32 bytes each, and derives the few keys that serve the platform as a whole.
//! Its own keys never reach the library, so that a key service or a hardware module can hold them; [`LocalKeyring`] holds
//! [`MasterKey`]s in memory. One key is current, which wraps; the others still open, until everything under them was
//! [wrapped anew](crate::PerfectPay::rewrap).
//!
//! ```
//! use perfectpay::{LocalKeyring, MasterKey, Settings};
//! use std::sync::Arc;
//!
//! // Where the text comes from is the host's line: a file, its environment, a secret store.
//! let current = MasterKey::from_hex("2027-01", &"9c44".repeat(16))?;
//! let former = MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?;
//! let keyring = LocalKeyring::new(current).opening(former)?;
//! let settings = Settings::with_keyring(Arc::new(keyring));
//! # Ok::<(), perfectpay::Fault>(())
//! ```

use std::fmt;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::error::{Error, Fault};
use crate::seal::{KeyId, MasterKey, Place, Sealed, SealingKey};
use crate::time::Entropy;

/// Wraps and opens data keys. Nothing is written while it fails, and what was opened before stays usable.
///
/// A service that cannot answer is told as [`Error::Unavailable`] with
/// [`Unavailability::Keyring`](crate::Unavailability::Keyring); a wrapped key that does not open, or names a key that is
/// not here, as [`Error::Corrupt`].
#[async_trait]
pub trait Keyring: fmt::Debug + Send + Sync + 'static {
    /// The keys that there are, at least one, and the same for as long as the library is open. The first one is current:
    /// it wraps, and derives what is kept from now on. The others open what they once wrapped.
    fn key_ids(&self) -> Vec<KeyId>;

    /// Wraps a data key under the current key, bound to its place: it must not open anywhere else. A service keeps its
    /// own text in [`Sealed::wrapping`], and gives [`Place::associated_data`] as the context that must be equal.
    /// `entropy` is for a nonce; a service needs none.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    async fn wrap(&self, place: Place<'_>, key: &[u8; 32], entropy: &dyn Entropy) -> Result<Sealed, Error>;

    /// Opens what [`Self::wrap`] made for this place, under whichever key it [names](Sealed::key_id).
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]; [`Error::Corrupt`] if it does not open, or its key is not here.
    async fn unwrap(&self, place: Place<'_>, wrapped: &Sealed) -> Result<Zeroizing<[u8; 32]>, Error>;

    /// The key for one purpose: HMAC-SHA-256 of `perfectpay/{purpose}/1` and the byte 1 under the key of this id, or any
    /// other function of both that stays the same and that nobody without the key can compute. Asked for each key and
    /// purpose once, when the library is opened.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]; [`Error::Corrupt`] if there is no such key.
    async fn derive(&self, key: &KeyId, purpose: &str) -> Result<Zeroizing<[u8; 32]>, Error>;
}

struct Held {
    master: MasterKey,
    wrapping: SealingKey,
}

impl Held {
    fn new(master: MasterKey) -> Self {
        Self { wrapping: master.wrapping_key(), master }
    }
}

/// Master keys in memory: one that wraps, and others that still open. Wiped when dropped.
pub struct LocalKeyring {
    current: Held,
    former: Vec<Held>,
}

impl LocalKeyring {
    /// A keyring of this key alone.
    pub fn new(current: MasterKey) -> Self {
        Self { current: Held::new(current), former: Vec::new() }
    }

    /// The same keyring with a key that opens what it wrapped, and wraps no more.
    ///
    /// # Errors
    ///
    /// `keyring.duplicate_id` if there is a key of this id.
    pub fn opening(mut self, former: MasterKey) -> Result<Self, Fault> {
        if self.held(former.id().as_str()).is_some() {
            return Err(Fault::new("keyring.duplicate_id", "must be the id of one key only"));
        }
        self.former.push(Held::new(former));
        Ok(self)
    }

    fn every(&self) -> impl Iterator<Item = &Held> {
        std::iter::once(&self.current).chain(&self.former)
    }

    fn held(&self, id: &str) -> Option<&Held> {
        self.every().find(|held| held.master.id().as_str() == id)
    }
}

/// The error of whoever needs a key that the keyring does not have.
pub(crate) fn absent(id: &str) -> Error {
    Error::corrupt(format!("the key `{id}` is needed, and the keyring does not have it"))
}

#[async_trait]
impl Keyring for LocalKeyring {
    fn key_ids(&self) -> Vec<KeyId> {
        self.every().map(|held| held.master.id().clone()).collect()
    }

    async fn wrap(&self, place: Place<'_>, key: &[u8; 32], entropy: &dyn Entropy) -> Result<Sealed, Error> {
        self.current.wrapping.seal(place, key, entropy)
    }

    async fn unwrap(&self, place: Place<'_>, wrapped: &Sealed) -> Result<Zeroizing<[u8; 32]>, Error> {
        let id = wrapped.key_id()?;
        let bytes = self.held(id).ok_or_else(|| absent(id))?.wrapping.open(place, wrapped)?;
        let mut key = Zeroizing::new([0; 32]);
        let fits = key.len() == bytes.len();
        key.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
        if fits { Ok(key) } else { Err(Error::corrupt("a data key has not 32 bytes")) }
    }

    async fn derive(&self, key: &KeyId, purpose: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
        self.held(key.as_str()).map(|held| held.master.derive(purpose)).ok_or_else(|| absent(key.as_str()))
    }
}

impl fmt::Debug for LocalKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let former: Vec<_> = self.former.iter().map(|held| held.master.id().as_str()).collect();
        f.debug_struct("LocalKeyring")
            .field("current", &self.current.master.id().as_str())
            .field("former", &former)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;
    use crate::error::EntityKind;
    use crate::id::Incarnation;
    use crate::time::SystemEntropy;

    const PLACE: Place<'_> =
        Place { tenant: Incarnation::PLATFORM, kind: EntityKind::DataKey, id: "dk_1", field: "key" };

    fn master(id: &str, digits: &str) -> MasterKey {
        MasterKey::from_hex(id, &digits.repeat(16)).unwrap()
    }

    #[test]
    fn the_current_key_wraps_and_every_key_opens_what_it_wrapped() {
        let old = LocalKeyring::new(master("old", "5fa1"));
        let both = LocalKeyring::new(master("new", "9c44")).opening(master("old", "5fa1")).unwrap();
        let by_old = block_on(old.wrap(PLACE, &[7; 32], &SystemEntropy)).unwrap();
        let by_new = block_on(both.wrap(PLACE, &[8; 32], &SystemEntropy)).unwrap();
        assert_eq!((by_old.key_id().unwrap(), by_new.key_id().unwrap()), ("old", "new"));
        assert_eq!(*block_on(both.unwrap(PLACE, &by_old)).unwrap(), [7; 32]);
        assert_eq!(*block_on(both.unwrap(PLACE, &by_new)).unwrap(), [8; 32]);
        let error = block_on(old.unwrap(PLACE, &by_new)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the store is corrupt: the key `new` is needed, and the keyring does not have it"
        );
        let elsewhere = Place { id: "dk_2", ..PLACE };
        assert!(matches!(block_on(both.unwrap(elsewhere, &by_new)), Err(Error::Corrupt { .. })));
        assert_eq!(both.key_ids(), ["new", "old"].map(|id| id.parse().unwrap()));
    }

    #[test]
    fn a_former_key_derives_what_it_derived_when_it_was_current() {
        let old = LocalKeyring::new(master("old", "5fa1"));
        let both = LocalKeyring::new(master("new", "9c44")).opening(master("old", "5fa1")).unwrap();
        let [old_id, new_id] = ["old", "new"].map(|id| id.parse().unwrap());
        let derived = |keyring: &LocalKeyring, id| *block_on(keyring.derive(id, "api-key")).unwrap();
        assert_eq!(derived(&old, &old_id), derived(&both, &old_id));
        assert_ne!(derived(&both, &old_id), derived(&both, &new_id));
        assert!(matches!(block_on(old.derive(&new_id, "api-key")), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn two_keys_of_one_id_are_refused_and_nothing_prints_a_key() {
        let keyring = LocalKeyring::new(master("m", "5fa1"));
        let fault = keyring.opening(master("m", "9c44")).unwrap_err();
        assert_eq!(fault.code(), "keyring.duplicate_id");
        let keyring = LocalKeyring::new(master("m", "5fa1")).opening(master("n", "9c44")).unwrap();
        assert_eq!(format!("{keyring:?}"), r#"LocalKeyring { current: "m", former: ["n"], .. }"#);
    }
}
