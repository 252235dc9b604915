//! A card number, while it is looked at: never kept, never shown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::fingerprint::Fingerprint;
use crate::error::Fault;

/// A card number: 12 to 19 digits that satisfy the Luhn check (ISO/IEC 7812-1). Spaces and dashes between them are
/// ignored. Wiped when dropped, copies of it too; `Debug` and every error hide it, and it cannot be serialised.
///
/// ```
/// use perfectpay::CardNumber;
///
/// let card: CardNumber = "4242 4242-4242 4242".parse()?;
/// assert_eq!(card.bin(), "424242");
/// assert_eq!(format!("{card:?}"), "CardNumber(..)");
/// assert_eq!("4242424242424241".parse::<CardNumber>().unwrap_err().code(), "card_number.luhn");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Clone)]
pub struct CardNumber(Zeroizing<String>);

impl CardNumber {
    /// The first six digits.
    pub fn bin(&self) -> &str {
        self.0.get(..6).unwrap_or_default()
    }

    /// The first eight digits.
    pub fn extended_bin(&self) -> &str {
        self.0.get(..8).unwrap_or_default()
    }

    /// The first eleven digits: all that an entry looks at.
    pub fn prefix(&self) -> &str {
        self.0.get(..11).unwrap_or_default()
    }

    /// The leading digits that may be kept in clear: eight of a number of 16 digits or more, six of a shorter one (PCI SSC
    /// FAQ 1091, on truncation).
    pub fn truncated(&self) -> &str {
        if self.0.len() < 16 { self.bin() } else { self.extended_bin() }
    }

    /// The digits.
    pub(crate) fn digits(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The card's fingerprint under one version of a merchant account's secret.
    pub(crate) fn fingerprint(&self, version: u32, secret: &[u8]) -> Fingerprint {
        Fingerprint::of(&self.0, version, secret)
    }
}

impl FromStr for CardNumber {
    type Err = Fault;

    /// Reads a card number.
    ///
    /// # Errors
    ///
    /// `card_number.bad_character`, `card_number.length` or `card_number.luhn`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let length = || Fault::new("card_number.length", "must have 12 to 19 digits");
        // Room for a separator between any two digits; what is longer is not even looked at.
        if text.len() > 40 {
            return Err(length());
        }
        if !text.bytes().all(|b| b.is_ascii_digit() || b == b' ' || b == b'-') {
            return Err(Fault::new("card_number.bad_character", "may contain only digits, spaces and dashes"));
        }
        let mut digits = Zeroizing::new(String::with_capacity(text.len()));
        digits.extend(text.chars().filter(char::is_ascii_digit));
        if !(12..=19).contains(&digits.len()) {
            return Err(length());
        }
        if !satisfies_luhn(&digits) {
            return Err(Fault::new("card_number.luhn", "is not a card number"));
        }
        Ok(Self(digits))
    }
}

/// The Luhn check: from the right, every second digit counts twice, and the sum of all digits is a multiple of ten.
fn satisfies_luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, byte)| {
            let digit = u32::from(byte - b'0');
            let counted = if at % 2 == 1 { digit * 2 } else { digit };
            counted / 10 + counted % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

impl<'de> Deserialize<'de> for CardNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

impl fmt::Debug for CardNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardNumber(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_short_number_six_digits_may_be_kept_and_of_others_eight() {
        let truncated = |text: &str| text.parse::<CardNumber>().unwrap().truncated().to_owned();
        for (number, kept) in [
            ("501234567896", "501234"),
            ("378282246310005", "378282"),
            ("4242424242424242", "42424242"),
            ("6304000000000000000", "63040000"),
        ] {
            assert_eq!(truncated(number), kept);
        }
    }

    #[test]
    fn every_single_wrong_digit_fails_the_check() {
        let good = "4242424242424242";
        for at in 0..good.len() {
            for digit in b'0'..=b'9' {
                let mut bytes = good.as_bytes().to_vec();
                let same = bytes[at] == digit;
                bytes[at] = digit;
                let text = String::from_utf8(bytes).unwrap();
                assert_eq!(text.parse::<CardNumber>().is_ok(), same, "{at} {digit}");
            }
        }
    }

    #[test]
    fn what_is_no_card_number_says_why_and_not_what() {
        for (text, code) in [
            ("", "card_number.length"),
            ("42424242424", "card_number.length"),
            ("42424242424242424242", "card_number.length"),
            (&"4".repeat(1_000_000), "card_number.length"),
            ("4242a24242424242", "card_number.bad_character"),
            ("４２４２", "card_number.bad_character"),
            ("4242424242424243", "card_number.luhn"),
        ] {
            let fault = text.parse::<CardNumber>().unwrap_err();
            assert_eq!(fault.code(), code);
            assert!(!fault.to_string().contains("4242"));
        }
    }

    #[test]
    fn a_fingerprint_is_of_the_digits_under_the_secret() {
        let card = |text: &str| text.parse::<CardNumber>().unwrap();
        let plain = card("4242424242424242").fingerprint(1, b"secret");
        assert_eq!(card("4242 4242 4242 4242").fingerprint(1, b"secret"), plain);
        assert_ne!(card("4242424242424242").fingerprint(1, b"other"), plain);
        assert_ne!(card("4111111111111111").fingerprint(1, b"secret"), plain);
        // Known answer: HMAC-SHA-256, computed with another program.
        assert_eq!(plain.to_string(), "fp1_iy-3n_n7O9Z419jGmiFHafSwNapqv8w7jo5vV2LNIfQ");
    }
}
