//! What is known of a card by whoever keeps its number elsewhere.

use super::fingerprint::Fingerprint;
use super::index::LeadingDigits;
use crate::error::Fault;
use crate::text::Text;

/// The most fingerprints that a card is screened by at once.
pub const MAX_FINGERPRINTS: usize = 16;

/// A card as derived facts, for a host whose vault keeps the number: the leading digits that it knows, and the
/// fingerprints by which the card may be listed.
///
/// Entries of more digits than are known cannot match: with 6 digits no extended BIN does. A host that uses this
/// library's fingerprints gives one for each live version of the secret; one that uses its vault's gives those.
///
/// ```
/// use perfectpay::CardFacts;
///
/// let facts = CardFacts::new("42424242", ["tok_5fa1"])?;
/// assert_eq!((facts.bin(), facts.fingerprints().count()), ("42424242", 1));
/// assert_eq!(CardFacts::new("4242", [] as [&str; 0]).unwrap_err().code(), "card_facts.bin");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardFacts {
    bin: Box<str>,
    fingerprints: Vec<CardFingerprint>,
    /// The BIN as an index takes it.
    leading: LeadingDigits,
}

/// One fingerprint, read once: a card is screened at the speed of memory, where a text takes as long as the look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CardFingerprint {
    pub(crate) text: Text<64>,
    /// What it says, if it is not a foreign one.
    pub(crate) ours: Option<Fingerprint>,
}

impl CardFacts {
    /// The facts: 6 to 11 leading digits, and at most [`MAX_FINGERPRINTS`] fingerprints of 1 to 64 characters each.
    ///
    /// # Errors
    ///
    /// `card_facts.bin` at `bin`; `card_facts.too_many`, `text.…` or `blocklist.card_number` at `fingerprints[…]`.
    pub fn new<S: AsRef<str>>(bin: &str, fingerprints: impl IntoIterator<Item = S>) -> Result<Self, Fault> {
        let leading = LeadingDigits::of(bin).filter(|_| bin.len() <= 11);
        let leading = leading.ok_or_else(|| Fault::new("card_facts.bin", "must be 6 to 11 digits").at("bin"))?;
        let mut facts = Self { bin: bin.into(), fingerprints: Vec::new(), leading };
        for (at, text) in fingerprints.into_iter().enumerate() {
            let path = || format!("fingerprints[{at}]");
            if at >= MAX_FINGERPRINTS {
                return Err(Fault::new("card_facts.too_many", "must be at most 16").at("fingerprints"));
            }
            let text: Text<64> = text.as_ref().parse().map_err(|fault: Fault| fault.at(path()))?;
            super::rule::refuse_card_number(&text).map_err(|fault| fault.at(path()))?;
            let ours = Fingerprint::parse(&text);
            facts.fingerprints.push(CardFingerprint { text, ours });
        }
        Ok(facts)
    }

    /// The leading digits that are known.
    pub fn bin(&self) -> &str {
        &self.bin
    }

    /// The fingerprints, in the order in which they were given.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> + Clone {
        self.fingerprints.iter().map(|known| known.text.as_str())
    }

    /// The BIN as an index takes it.
    pub(crate) fn leading(&self) -> LeadingDigits {
        self.leading
    }

    /// The fingerprints as they were read, in the same order.
    pub(crate) fn parsed(&self) -> &[CardFingerprint] {
        &self.fingerprints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_every_limit() {
        let none: [&str; 0] = [];
        for good in ["123456", "12345678901"] {
            assert_eq!(CardFacts::new(good, none).unwrap().bin(), good);
        }
        for bad in ["", "12345", "123456789012", "12345a", "１２３４５６", "1234 5678"] {
            let fault = CardFacts::new(bad, none).unwrap_err();
            assert_eq!((fault.path(), fault.code()), ("bin", "card_facts.bin"));
        }
        assert_eq!(CardFacts::new("123456", ["x"; MAX_FINGERPRINTS]).unwrap().fingerprints().count(), 16);
        for (fingerprints, path, code) in [
            (vec!["x"; MAX_FINGERPRINTS + 1], "fingerprints", "card_facts.too_many"),
            (vec!["x", ""], "fingerprints[1]", "text.empty"),
            (vec!["4242424242424242"], "fingerprints[0]", "blocklist.card_number"),
        ] {
            let fault = CardFacts::new("123456", fingerprints).unwrap_err();
            assert_eq!((fault.path(), fault.code()), (path, code));
        }
    }
}
