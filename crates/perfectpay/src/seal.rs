//! Sealing: secrets are encrypted before they reach a store, each bound to the one place where it belongs.
//!
//! The host gives a [`MasterKey`], or a [`Keyring`](crate::Keyring) of several. It never encrypts a secret itself: keys for
//! its purposes are derived from it, and one of those wraps a random data key per merchant, which seals that merchant's
//! secrets with AES-256-GCM (NIST SP 800-38D) under random 96-bit nonces. A data key seals a few values per edit of an account, far below the 2^32 that
//! the standard allows.
//!
//! The associated data names the format version, the tenant's [`Incarnation`], the kind and id of the object, the field
//! and the key, each with its length in front. So a sealed value that is moved to another row, field or tenant does not
//! open, while a store can be copied and a record edited without sealing it again.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::{EntityKind, Error, Fault};
use crate::id::Incarnation;
use crate::patch::Patch;
use crate::time::Entropy;

/// The format of an envelope: version, length of the key id, key id, nonce, ciphertext with its tag.
const VERSION: u8 = 1;
const NONCE: usize = 12;

/// Names a key: 1 to 64 of `A–Z a–z 0–9 _ . -`. Stored beside what the key made, so it must not be a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(good) {
            return Err(Fault::new("key_id.malformed", "must be 1 to 64 letters, digits, `_`, `.` or `-`"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// The key that the host keeps, apart from the store: 32 random bytes with an id.
///
/// From it the library derives, each for one purpose, the key that wraps data keys, the pepper under which API keys are
/// digested, and the key that binds idempotency records. Whoever loses it loses every sealed secret and every API key.
///
/// ```
/// use perfectpay::MasterKey;
///
/// let key = MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?;
/// assert_eq!(format!("{key:?}"), r#"MasterKey { id: "2026-11", .. }"#);
/// assert_eq!(MasterKey::from_hex("2026-11", "short").unwrap_err().code(), "master_key.malformed");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
pub struct MasterKey {
    id: KeyId,
    secret: SecretBox<[u8; 32]>,
}

impl MasterKey {
    /// The key with these bytes.
    ///
    /// # Errors
    ///
    /// `key_id.malformed`, or `master_key.weak` where all bytes are equal: what was never filled with random bytes.
    pub fn from_bytes(id: &str, bytes: [u8; 32]) -> Result<Self, Fault> {
        let bytes = Zeroizing::new(bytes);
        let id = id.parse()?;
        if bytes.windows(2).all(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(Fault::new("master_key.weak", "must be 32 random bytes"));
        }
        let mut secret = Box::new([0; 32]);
        secret.copy_from_slice(bytes.as_slice());
        Ok(Self { id, secret: SecretBox::new(secret) })
    }

    /// The key whose bytes are written as 64 hexadecimal digits, as a host reads them from its environment.
    ///
    /// # Errors
    ///
    /// As [`Self::from_bytes`], and `master_key.malformed` where the text is anything else.
    pub fn from_hex(id: &str, hex: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("master_key.malformed", "must be 64 hexadecimal digits");
        let bytes = Zeroizing::new(data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|_| fault())?);
        Self::from_bytes(id, bytes.as_slice().try_into().map_err(|_| fault())?)
    }

    /// Which key this is.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The key for one purpose: HMAC-SHA-256 of the purpose under the master key, as HKDF's expand step does for one
    /// block of output (RFC 5869).
    pub(crate) fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        mac(self.secret.expose_secret(), &[b"perfectpay/", purpose.as_bytes(), b"/1\x01"])
    }

    /// The key that wraps data keys.
    pub(crate) fn wrapping_key(&self) -> SealingKey {
        SealingKey::new(self.id.as_str(), &self.derive("wrap"))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id.as_str()).finish_non_exhaustive()
    }
}

/// HMAC-SHA-256 of the parts, one after the other.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    // HMAC takes a key of any length, so this cannot fail; an empty digest would match nothing if it did.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Zeroizing::new([0; 32]) };
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// A sealed value: an envelope that names its key and holds nothing readable.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// The id of the key that sealed it.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it is not an envelope of a known version.
    pub fn key_id(&self) -> Result<&str, Error> {
        self.split().map(|(id, _)| id).ok_or_else(unknown_form)
    }

    /// An envelope around what a keyring's key wrapped a data key to, in the keyring's own form: what
    /// [`Self::wrapped`] answers again.
    pub fn wrapping(key: &KeyId, wrapped: &[u8]) -> Self {
        Self(envelope(key.as_str(), &[wrapped]))
    }

    /// What is in the envelope, behind the key's id.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it is not an envelope of a known version.
    pub fn wrapped(&self) -> Result<&[u8], Error> {
        self.split().map(|(_, content)| content).ok_or_else(unknown_form)
    }

    fn split(&self) -> Option<(&str, &[u8])> {
        let (&version, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (id, content) = rest.split_at_checked(usize::from(length))?;
        (version == VERSION).then_some((std::str::from_utf8(id).ok()?, content))
    }

    /// The envelope.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn parts(&self) -> Result<(&str, &[u8], &[u8]), Error> {
        let read = || {
            let (id, content) = self.split()?;
            let (nonce, ciphertext) = content.split_at_checked(NONCE)?;
            Some((id, nonce, ciphertext))
        };
        read().ok_or_else(unknown_form)
    }
}

fn unknown_form() -> Error {
    Error::corrupt("a sealed value has an unknown form")
}

/// Version, length of the key id, key id, content.
fn envelope(key_id: &str, content: &[&[u8]]) -> Vec<u8> {
    let length = content.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(2 + key_id.len() + length);
    bytes.push(VERSION);
    bytes.push(u8::try_from(key_id.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(key_id.as_bytes());
    for part in content {
        bytes.extend_from_slice(part);
    }
    bytes
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::BASE64URL_NOPAD.encode(&self.0))
    }
}

impl FromStr for Sealed {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        data_encoding::BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map(Self)
            .map_err(|_| Fault::new("sealed.malformed", "must be base64url"))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// Where a sealed value belongs. It opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The tenant.
    pub tenant: Incarnation,
    /// The kind of object.
    pub kind: EntityKind,
    /// The object's id.
    pub id: &'a str,
    /// The field.
    pub field: &'static str,
}

impl Place<'_> {
    /// The place and the key as bytes, each part with its length in front: what a sealed value is bound to.
    pub fn associated_data(&self, key_id: &str) -> Vec<u8> {
        let kind: &'static str = self.kind.into();
        let parts =
            [self.tenant.as_bytes(), kind.as_bytes(), self.id.as_bytes(), self.field.as_bytes(), key_id.as_bytes()];
        let length = parts.iter().map(|part| 4 + part.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(1 + length);
        bytes.push(VERSION);
        for part in parts {
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// What was opened. It is wiped when it is dropped, all that was allocated in one pass; a `Zeroizing<Vec<u8>>` goes from
/// byte to byte.
pub struct Opened(Vec<u8>);

impl Opened {
    /// The same bytes as text, without another copy.
    fn into_text(mut self) -> Option<Zeroizing<String>> {
        match String::from_utf8(std::mem::take(&mut self.0)) {
            Ok(text) => Some(Zeroizing::new(text)),
            Err(error) => {
                self.0 = error.into_bytes();
                None
            }
        }
    }
}

impl Deref for Opened {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // All that was allocated, whether there is something in it or was.
        self.0.clear();
        self.0.spare_capacity_mut().zeroize();
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened(..)")
    }
}

/// A key that seals and opens: a tenant's data key, or the wrapping key. Wiped when dropped.
pub struct SealingKey {
    id: Box<str>,
    cipher: Aes256Gcm,
}

impl SealingKey {
    /// The key with these bytes under this id.
    pub fn new(id: &str, bytes: &[u8; 32]) -> Self {
        Self { id: id.into(), cipher: Aes256Gcm::new(bytes.into()) }
    }

    /// Which key this is.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals `plaintext` for `place`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the plaintext is longer than AES-GCM takes, 64 GiB.
    pub fn seal(&self, place: Place<'_>, plaintext: &[u8], entropy: &dyn Entropy) -> Result<Sealed, Error> {
        let mut nonce = [0; NONCE];
        entropy.fill(&mut nonce);
        let aad = place.associated_data(&self.id);
        let ciphertext = self
            .cipher
            .encrypt(&Nonce::from(nonce), Payload { msg: plaintext, aad: &aad })
            .map_err(|_| Fault::new("sealed.too_large", "is too large to be sealed"))?;
        Ok(Sealed(envelope(&self.id, &[&nonce, &ciphertext])))
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if another key sealed it, it was changed, or it was sealed for another place.
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Opened, Error> {
        let (key_id, nonce, ciphertext) = sealed.parts()?;
        if key_id != &*self.id {
            return Err(Error::corrupt(format!("a sealed value needs the key `{key_id}`, not `{}`", self.id)));
        }
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| Error::corrupt("a sealed value has an unknown form"))?;
        let aad = place.associated_data(&self.id);
        let payload = Payload { msg: ciphertext, aad: &aad };
        self.cipher.decrypt(&Nonce::from(nonce), payload).map(Opened).map_err(|_| {
            Error::corrupt(format!("the sealed {} of {} `{}` does not open", place.field, place.kind, place.id))
        })
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The data keys of a tenant that a command works with: the first one seals, all of them open. There are several only
/// while the tenant is sealed anew under another one.
#[derive(Clone, Default)]
pub(crate) struct Keys(Vec<Arc<SealingKey>>);

impl Keys {
    /// Adds a key, unless it is there.
    pub(crate) fn add(&mut self, key: Arc<SealingKey>) {
        if self.of(key.id()).is_err() {
            self.0.push(key);
        }
    }

    fn sealing(&self) -> Result<&SealingKey, Error> {
        self.0.first().map(|key| &**key).ok_or_else(|| Error::corrupt("there is no data key to seal with"))
    }

    fn of(&self, id: &str) -> Result<&SealingKey, Error> {
        let found = self.0.iter().find(|key| key.id() == id);
        found.map(|key| &**key).ok_or_else(|| Error::corrupt(format!("a sealed value needs the key `{id}`")))
    }
}

impl From<Arc<SealingKey>> for Keys {
    fn from(key: Arc<SealingKey>) -> Self {
        Self(vec![key])
    }
}

/// One object's secrets: seals and opens its fields with the tenant's data keys.
pub(crate) struct Seals<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) entropy: &'a dyn Entropy,
    pub(crate) tenant: Incarnation,
    pub(crate) kind: EntityKind,
    pub(crate) id: &'a str,
}

impl Seals<'_> {
    fn place(&self, field: &'static str) -> Place<'_> {
        Place { tenant: self.tenant, kind: self.kind, id: self.id, field }
    }

    pub(crate) fn seal(&self, field: &'static str, plaintext: &[u8]) -> Result<Sealed, Error> {
        self.keys.sealing()?.seal(self.place(field), plaintext, self.entropy)
    }

    /// Seals a field anew, unless it holds this already: an update that changes nothing is to change nothing.
    pub(crate) fn reseal(&self, field: &'static str, old: Option<&Sealed>, plaintext: &[u8]) -> Result<Sealed, Error> {
        if let Some(old) = old
            && bool::from(self.open(field, old)?.ct_eq(plaintext))
        {
            return Ok(old.clone());
        }
        self.seal(field, plaintext)
    }

    pub(crate) fn open(&self, field: &'static str, sealed: &Sealed) -> Result<Opened, Error> {
        self.keys.of(sealed.key_id()?)?.open(self.place(field), sealed)
    }

    pub(crate) fn open_text(&self, field: &'static str, sealed: &Sealed) -> Result<Zeroizing<String>, Error> {
        let text = self.open(field, sealed)?.into_text();
        text.ok_or_else(|| Error::corrupt(format!("the sealed {field} is not text")))
    }

    pub(crate) fn open_json<T: serde::de::DeserializeOwned>(
        &self,
        field: &'static str,
        sealed: &Sealed,
    ) -> Result<T, Error> {
        // serde's message may quote what was opened.
        serde_json::from_slice(&self.open(field, sealed)?)
            .map_err(|_| Error::corrupt(format!("the sealed {field} is not what was sealed")))
    }

    /// Applies a patch to a sealed field that may be null.
    pub(crate) fn patch(
        &self,
        field: &'static str,
        sealed: &mut Option<Sealed>,
        patch: &Patch<impl AsRef<[u8]>>,
    ) -> Result<(), Error> {
        match patch {
            Patch::Keep => {}
            Patch::Clear => *sealed = None,
            Patch::Set(plaintext) => *sealed = Some(self.reseal(field, sealed.as_ref(), plaintext.as_ref())?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SystemEntropy;

    const PLACE: Place<'_> =
        Place { tenant: Incarnation::PLATFORM, kind: EntityKind::Connector, id: "mca_1", field: "auth" };

    fn key() -> SealingKey {
        SealingKey::new("dk_1", &[7; 32])
    }

    #[test]
    fn what_a_value_is_bound_to_is_all_of_its_place() {
        let mut expected = vec![VERSION];
        let parts: [&[u8]; 5] =
            [PLACE.tenant.as_bytes(), b"connector", PLACE.id.as_bytes(), PLACE.field.as_bytes(), b"dk_1"];
        for part in parts {
            expected.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            expected.extend(part);
        }
        assert_eq!(PLACE.associated_data("dk_1"), expected);
    }

    #[test]
    fn a_value_opens_in_its_place_and_in_no_other() {
        let sealed = key().seal(PLACE, b"sk_live", &SystemEntropy).unwrap();
        assert_eq!(*key().open(PLACE, &sealed).unwrap(), *b"sk_live");
        let elsewhere = [
            Place { tenant: Incarnation::from_bytes([1; 16]), ..PLACE },
            Place { kind: EntityKind::Profile, ..PLACE },
            Place { id: "mca_2", ..PLACE },
            Place { field: "wallets", ..PLACE },
        ];
        for place in elsewhere {
            assert!(matches!(key().open(place, &sealed), Err(Error::Corrupt { .. })), "{place:?}");
        }
        assert!(matches!(SealingKey::new("dk_1", &[8; 32]).open(PLACE, &sealed), Err(Error::Corrupt { .. })));
        assert!(matches!(SealingKey::new("dk_2", &[7; 32]).open(PLACE, &sealed), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let sealed = key().seal(PLACE, b"sk_live", &SystemEntropy).unwrap();
        for bit in 0..sealed.0.len() * 8 {
            let mut bytes = sealed.0.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(key().open(PLACE, &Sealed(bytes)), Err(Error::Corrupt { .. })), "bit {bit}");
        }
        for length in 0..sealed.0.len() {
            assert!(key().open(PLACE, &Sealed(sealed.0[..length].to_vec())).is_err(), "length {length}");
        }
    }

    #[test]
    fn nothing_prints_a_secret() {
        let master = MasterKey::from_bytes("m", std::array::from_fn(|i| u8::try_from(i).unwrap())).unwrap();
        let sealed = master.wrapping_key().seal(PLACE, b"sk_live", &SystemEntropy).unwrap();
        let text =
            format!("{master:?} {:?} {sealed:?} {}", master.wrapping_key(), serde_json::to_string(&sealed).unwrap());
        assert!(!text.contains("sk_live") && !text.contains("000102"), "{text}");
        assert_eq!(serde_json::from_str::<Sealed>(&serde_json::to_string(&sealed).unwrap()).unwrap(), sealed);
    }

    #[test]
    fn a_key_that_was_never_filled_is_refused() {
        assert_eq!(MasterKey::from_bytes("m", [0; 32]).unwrap_err().code(), "master_key.weak");
        assert_eq!(MasterKey::from_bytes("", [1; 32]).unwrap_err().code(), "key_id.malformed");
    }
}
