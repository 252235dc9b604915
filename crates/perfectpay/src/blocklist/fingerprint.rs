//! A card's fingerprint at one merchant account.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::seal::mac;

/// A card's fingerprint under one version of a merchant account's secret: the HMAC-SHA-256 of the card's digits. The
/// same card has the same fingerprint at one account and another at every other.
///
/// Its text is `fp{version}_` and 43 characters of base64url. Any other text of up to 64 characters is a *foreign*
/// fingerprint, made by somebody else, a vault for example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// The version of the secret, 1 for the first.
    pub version: u32,
    /// The digest.
    pub digest: [u8; 32],
}

impl Fingerprint {
    /// The fingerprint of these digits.
    pub(super) fn of(digits: &str, version: u32, secret: &[u8]) -> Self {
        Self { version, digest: *mac(secret, &[digits.as_bytes()]) }
    }

    /// The fingerprint with exactly this text; `None` for a foreign one.
    ///
    /// ```
    /// use perfectpay::Fingerprint;
    ///
    /// let text = "fp1_iy-3n_n7O9Z419jGmiFHafSwNapqv8w7jo5vV2LNIfQ";
    /// let fingerprint = Fingerprint::parse(text).unwrap();
    /// assert_eq!((fingerprint.version, fingerprint.to_string().as_str()), (1, text));
    /// assert_eq!(Fingerprint::parse("tok_5fa1"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let (version, digest) = text.strip_prefix("fp")?.split_once('_')?;
        let digits = version.bytes().all(|b| b.is_ascii_digit()) && !version.starts_with('0');
        let version = version.parse().ok().filter(|_| digits)?;
        let mut bytes = [0; 32];
        let decoder = data_encoding::BASE64URL_NOPAD;
        let is_whole = digest.len() == 43 && decoder.decode_mut(digest.as_bytes(), &mut bytes) == Ok(bytes.len());
        is_whole.then_some(Self { version, digest: bytes })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fp{}_{}", self.version, data_encoding::BASE64URL_NOPAD.encode_display(&self.digest))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_text_of_a_fingerprint_is_read_as_one() {
        let digest = "iy-3n_n7O9Z419jGmiFHafSwNapqv8w7jo5vV2LNIfQ";
        for version in [1, 2, 10, u32::MAX] {
            let text = format!("fp{version}_{digest}");
            assert_eq!(Fingerprint::parse(&text).unwrap().to_string(), text);
        }
        for foreign in [
            "fp_".to_owned() + digest,
            "fp0_".to_owned() + digest,
            "fp01_".to_owned() + digest,
            "fp+1_".to_owned() + digest,
            "fp4294967296_".to_owned() + digest,
            "FP1_".to_owned() + digest,
            format!("fp1_{digest}A"),
            format!("fp1_{}", &digest[1..]),
            // The last character has bits that no digest has.
            format!("fp1_{}R", &digest[..42]),
            "fp1_".into(),
            String::new(),
        ] {
            assert_eq!(Fingerprint::parse(&foreign), None, "{foreign}");
        }
    }
}
