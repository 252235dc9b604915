//! The form of a token: `{env}_`, 58 random characters of base62, and 6 that check the rest.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;
use zeroize::Zeroizing;

use crate::error::Refusal;
use crate::time::Entropy;

/// Which environment a key is for; the first part of its token and of its id.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
pub enum Environment {
    /// A developer's machine: `dev`.
    #[serde(rename = "dev")]
    #[strum(serialize = "dev")]
    Development,
    /// Integration: `integ`.
    #[serde(rename = "integ")]
    #[strum(serialize = "integ")]
    Integration,
    /// Sandbox: `snd`.
    #[serde(rename = "snd")]
    #[strum(serialize = "snd")]
    Sandbox,
    /// Production: `prd`.
    #[serde(rename = "prd")]
    #[strum(serialize = "prd")]
    Production,
}

impl Environment {
    /// What the ids of its keys begin with.
    pub(crate) fn id_prefix(self) -> &'static str {
        match self {
            Self::Development => "dev_",
            Self::Integration => "integ_",
            Self::Sandbox => "snd_",
            Self::Production => "prd_",
        }
    }
}

/// The regular expression of tokens, for secret scanners. [`Token::check`] sorts out what only looks like one.
pub const TOKEN_PATTERN: &str = r"\b(dev|integ|snd|prd)_[0-9A-Za-z]{64}\b";

/// 58 of 62 symbols: 345 bits.
const RANDOM: usize = 58;
const CHECK: usize = 6;
const SYMBOLS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// An API key's token, in clear.
///
/// `Debug` hides it, and it is wiped when dropped. The checksum is CRC-32 of everything before it, in base62: it tells a
/// typo from a key and a key from other text, and protects nothing. A secret scanner finds tokens by [`TOKEN_PATTERN`] and
/// [`Token::check`].
pub struct Token(SecretString);

impl Token {
    /// Makes a new one.
    pub(crate) fn make(environment: Environment, entropy: &dyn Entropy) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(environment.id_prefix().len() + RANDOM + CHECK));
        text.push_str(environment.id_prefix());
        text.push_str(&random_text(RANDOM, entropy));
        let check = checksum(text.as_bytes());
        text.extend(check.map(char::from));
        Self(text.as_str().into())
    }

    /// Whether the text has the form of a token of any environment and its checksum is right. Looks at no more of a text
    /// than a token has.
    pub fn check(text: &str) -> bool {
        Self::form(text).is_some()
    }

    /// The environment of a text that is a token by its form and checksum.
    fn form(text: &str) -> Option<Environment> {
        let is_of = |environment: &&Environment| {
            let random = text.strip_prefix(environment.id_prefix());
            random.is_some_and(|random| {
                // Without an early end, so that many bytes are looked at at once.
                random.len() == RANDOM + CHECK && random.bytes().fold(true, |all, b| all & b.is_ascii_alphanumeric())
            })
        };
        let environment = Environment::VARIANTS.iter().find(is_of)?;
        let (body, check) = text.split_at_checked(text.len().checked_sub(CHECK)?)?;
        (checksum(body.as_bytes()) == check.as_bytes()).then_some(*environment)
    }

    /// The token in a text, without asking anything but its form. White space around it is ignored.
    ///
    /// # Errors
    ///
    /// [`Refusal::Malformed`] where it is not a token or its checksum is wrong, [`Refusal::WrongEnvironment`] where it
    /// is one of another environment.
    pub(crate) fn admit(text: &str, environment: Environment) -> Result<&str, Refusal> {
        let text = text.trim_ascii();
        match Self::form(text) {
            None => Err(Refusal::Malformed),
            Some(of) if of != environment => Err(Refusal::WrongEnvironment),
            Some(_) => Ok(text),
        }
    }

    /// The first 12 characters, by which people recognise a key.
    pub(crate) fn prefix(&self) -> &str {
        self.expose().get(..12).unwrap_or_default()
    }

    /// The token in clear.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    pub(crate) fn into_secret(self) -> SecretString {
        self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// `length` symbols of base62, each as likely as the others.
pub(crate) fn random_text(length: usize, entropy: &dyn Entropy) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(length));
    let mut bytes = Zeroizing::new([0; 64]);
    while text.len() < length {
        entropy.fill(bytes.as_mut_slice());
        // 248 is the last multiple of 62 in a byte; what lies above would make some symbols likelier.
        for byte in bytes.iter().filter(|byte| **byte < 248) {
            if let Some(symbol) = SYMBOLS.get(usize::from(byte % 62)).filter(|_| text.len() < length) {
                text.push(char::from(*symbol));
            }
        }
    }
    text
}

/// CRC-32 in six digits of base62, the greatest first.
fn checksum(body: &[u8]) -> [u8; CHECK] {
    let mut rest = crc32fast::hash(body);
    let mut digits = [0; CHECK];
    for digit in digits.iter_mut().rev() {
        *digit = SYMBOLS.get(usize::try_from(rest % 62).unwrap_or_default()).copied().unwrap_or_default();
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SystemEntropy;

    fn token() -> Token {
        Token::make(Environment::Sandbox, &SystemEntropy)
    }

    #[test]
    fn a_token_has_the_published_form() {
        let token = token();
        assert_eq!(token.expose().len(), 68);
        assert!(token.expose().starts_with("snd_"));
        assert!(Token::check(token.expose()));
        assert_eq!(token.prefix().len(), 12);
        assert!(!format!("{token:?}").contains(token.prefix()));
    }

    #[test]
    fn every_mistyped_character_is_found_by_the_checksum() {
        let good = token().expose().to_owned();
        for at in 4..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'a' { b'b' } else { b'a' };
            assert!(!Token::check(std::str::from_utf8(&bad).unwrap()), "at {at}");
        }
    }

    #[test]
    fn a_refused_token_says_why_to_the_host() {
        let good = token().expose().to_owned();
        let refusal = |text: &str| Token::admit(text, Environment::Production).unwrap_err();
        assert_eq!(refusal(&good), Refusal::WrongEnvironment);
        assert_eq!(refusal(""), Refusal::Malformed);
        assert_eq!(refusal("snd_"), Refusal::Malformed);
        assert_eq!(refusal(&good[..67]), Refusal::Malformed);
        assert_eq!(refusal(&format!("{good}a")), Refusal::Malformed);
        assert_eq!(refusal(&good.replace("snd_", "xyz_")), Refusal::Malformed);
        assert_eq!(refusal(&"ä".repeat(100)), Refusal::Malformed);
        assert!(Token::admit(&format!(" {good}\n"), Environment::Sandbox).is_ok());
    }

    #[test]
    fn random_text_uses_every_symbol() {
        let text = random_text(10_000, &SystemEntropy);
        assert_eq!(text.len(), 10_000);
        assert!(SYMBOLS.iter().all(|symbol| text.contains(char::from(*symbol))));
    }
}
