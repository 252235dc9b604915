//! The form of a token: `{env}_`, 58 random characters of base62, and 6 that check the rest.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
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

/// 58 of 62 symbols: 345 bits.
const RANDOM: usize = 58;
const CHECK: usize = 6;
const SYMBOLS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// An API key's token, in clear.
///
/// `Debug` hides it, and it is wiped when dropped. The checksum is CRC-32 of everything before it, in base62: it tells a
/// typo from a key and a key from other text, and protects nothing. A secret scanner finds tokens by
/// `\b(dev|integ|snd|prd)_[0-9A-Za-z]{64}\b` and [`Token::check`].
pub struct Token(SecretString);

impl Token {
    /// Makes a new one.
    pub(crate) fn make(environment: Environment, entropy: &dyn Entropy) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(environment.id_prefix().len() + RANDOM + CHECK));
        text.push_str(environment.id_prefix());
        text.push_str(&random_text(RANDOM, entropy));
        let check = checksum(&text);
        text.push_str(&check);
        Self(text.as_str().into())
    }

    /// Reads a token, without asking anything but its form. White space around it is ignored.
    ///
    /// # Errors
    ///
    /// [`Refusal::Malformed`] where it is not a token or its checksum is wrong, [`Refusal::WrongEnvironment`] where it
    /// is one of another environment.
    pub(crate) fn parse(text: &str, environment: Environment) -> Result<Self, Refusal> {
        let text = text.trim();
        if !Self::check(text) {
            return Err(Refusal::Malformed);
        }
        if !text.starts_with(environment.id_prefix()) {
            return Err(Refusal::WrongEnvironment);
        }
        Ok(Self(text.into()))
    }

    /// Whether the text has the form of a token of any environment and its checksum is right.
    pub fn check(text: &str) -> bool {
        let known = ["dev_", "integ_", "snd_", "prd_"];
        let Some(random) = known.iter().find_map(|prefix| text.strip_prefix(prefix)) else { return false };
        if random.len() != RANDOM + CHECK || !random.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return false;
        }
        text.split_at_checked(text.len() - CHECK).is_some_and(|(body, check)| checksum(body) == check)
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

fn checksum(body: &str) -> String {
    format!("{:0>CHECK$}", base62::encode(crc32fast::hash(body.as_bytes())))
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
        let refusal = |text: &str| Token::parse(text, Environment::Production).unwrap_err();
        assert_eq!(refusal(&good), Refusal::WrongEnvironment);
        assert_eq!(refusal(""), Refusal::Malformed);
        assert_eq!(refusal("snd_"), Refusal::Malformed);
        assert_eq!(refusal(&good[..67]), Refusal::Malformed);
        assert_eq!(refusal(&format!("{good}a")), Refusal::Malformed);
        assert_eq!(refusal(&good.replace("snd_", "xyz_")), Refusal::Malformed);
        assert_eq!(refusal(&"ä".repeat(100)), Refusal::Malformed);
        assert!(Token::parse(&format!(" {good}\n"), Environment::Sandbox).is_ok());
    }

    #[test]
    fn random_text_uses_every_symbol() {
        let text = random_text(10_000, &SystemEntropy);
        assert_eq!(text.len(), 10_000);
        assert!(SYMBOLS.iter().all(|symbol| text.contains(char::from(*symbol))));
    }
}
