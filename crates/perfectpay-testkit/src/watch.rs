//! Looks for secrets where none may be: in what a program prints, logs and answers, and in the bytes of its files.
//!
//! A [`Watch`] is told the secrets that a test planted, and looks for each of them in every form that it could be read
//! in: plain, reversed, in hexadecimal digits, in base64 from any of its places, in UTF-16, as a list of numbers. Secrets
//! that the program made itself, and that no test knows, are found by what they are: an API key's token says by its
//! checksum that it is one, and a payment's client secret by its middle.
//!
//! ```
//! use perfectpay_testkit::watch::{Watch, canary};
//!
//! let mut watch = Watch::default();
//! watch.add("the processor's key", &canary("key"));
//! watch.look("standard output", "the account was made");
//! assert_eq!(watch.found(canary("key").to_uppercase().as_bytes()), Vec::<String>::new());
//! assert_eq!(watch.found(format!("key={}", canary("key")).as_bytes()), ["the processor's key as plain"]);
//! ```

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::Path;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use perfectpay::{Entropy as _, Error, Token};

use crate::host::SeededEntropy;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The canary of a name: 32 letters and digits that nothing else has, the same ones every time.
pub fn canary(name: &str) -> String {
    let seed = name.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(131).wrapping_add(u64::from(byte)));
    let mut bytes = [0; 32];
    SeededEntropy::new(seed).fill(&mut bytes);
    bytes.iter().map(|byte| char::from(STANDARD[usize::from(byte % 62)])).collect()
}

/// Every file that lies in a folder, with its path, one after the other.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path()).filter(|path| path.is_file());
    paths.map(|path| (path.display().to_string(), std::fs::read(&path).expect("the file can be read"))).collect()
}

/// Base64 of bytes, without the last symbol if that depends on what follows them.
fn base64(bytes: &[u8], symbols: &[u8; 64]) -> Vec<u8> {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| (byte >> (7 - at % 8)) & 1);
    let symbol = |at: usize| symbols[usize::from((0..6).fold(0, |sum, n| (sum << 1) | bit(at * 6 + n)))];
    (0..bytes.len() * 8 / 6).map(symbol).collect()
}

/// Every form that a value could be read in.
fn forms(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let numbers: Vec<String> = value.iter().map(ToString::to_string).collect();
    let mut forms = vec![
        ("plain", value.to_vec()),
        ("reversed", value.iter().rev().copied().collect()),
        ("hex", data_encoding::HEXLOWER.encode(value).into_bytes()),
        ("upper hex", data_encoding::HEXUPPER.encode(value).into_bytes()),
        ("UTF-16 LE", value.iter().flat_map(|b| [*b, 0]).collect()),
        ("UTF-16 BE", value.iter().flat_map(|b| [0, *b]).collect()),
        ("a list of numbers", numbers.join(", ").into_bytes()),
    ];
    for symbols in [STANDARD, URL_SAFE] {
        // It may begin at any of three places of a group.
        for (before, skip) in [(0, 0), (1, 2), (2, 3)] {
            let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(value.iter().copied()).collect();
            forms.push(("base64", base64(&padded, symbols)[skip..].to_vec()));
        }
    }
    forms
}

/// The longest stretches of a text of such bytes, those of at least so many.
fn stretches(bytes: &[u8], least: usize, of: impl Fn(&u8) -> bool) -> impl Iterator<Item = &[u8]> {
    bytes.split(move |byte| !of(byte)).filter(move |stretch| stretch.len() >= least)
}

/// What a text holds in hexadecimal digits or base64, wherever in it that begins.
fn decoded(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for stretch in stretches(bytes, 2 * SECRET.len(), u8::is_ascii_hexdigit) {
        for begins in 0..2 {
            let even = &stretch[begins..stretch.len() - (stretch.len() - begins) % 2];
            all.extend(HEXLOWER_PERMISSIVE.decode(even).ok());
        }
    }
    for (symbols, encoding) in [(STANDARD, BASE64_NOPAD), (URL_SAFE, BASE64URL_NOPAD)] {
        for stretch in stretches(bytes, SECRET.len(), |byte| symbols.contains(byte)) {
            for begins in 0..4 {
                // Whole groups, so that no bit is over.
                let groups = &stretch[begins..stretch.len() - (stretch.len() - begins) % 4];
                all.extend(encoding.decode(groups).ok());
            }
        }
    }
    all
}

/// What is between a payment's id and the random part of its client secret.
const SECRET: &[u8] = b"_secret_";

/// The first secret that is known by its form: an API key's token, or a client secret.
fn by_form(bytes: &[u8]) -> Option<&'static str> {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    for stretch in stretches(bytes, SECRET.len() + 20, word) {
        // A token has its environment in front, `integ` at the longest.
        let is_token = |at: usize| {
            let (from, to) = (at.saturating_sub(5), (at + 65).min(stretch.len()));
            (from..at).any(|from| std::str::from_utf8(&stretch[from..to]).is_ok_and(Token::check))
        };
        if (0..stretch.len()).any(|at| stretch[at] == b'_' && is_token(at)) {
            return Some("a token");
        }
        let random = |at: usize| stretch[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let mut secrets = stretch.windows(SECRET.len()).enumerate().filter(|(_, window)| *window == SECRET);
        if secrets.any(|(at, _)| random(at + SECRET.len()) >= 20) {
            return Some("a client secret");
        }
    }
    None
}

/// Whoever looks for secrets. A look that finds one panics.
#[derive(Debug, Default)]
pub struct Watch {
    /// Forms of values that must not be read anywhere, by their first four bytes: whose, which, all of it.
    forms: HashMap<[u8; 4], Vec<(String, Vec<u8>)>>,
    /// With which two bytes any of them begins.
    begins: Vec<bool>,
    by_form: bool,
    canaries: usize,
    looks: usize,
}

impl Watch {
    /// Looks for the middle of a text from now on: masks may show its ends, and nobody may show more.
    pub fn add(&mut self, name: &str, text: &str) {
        assert!(text.len() >= 20, "{name} is too short to be sure of");
        self.add_bytes(name, &text.as_bytes()[2..text.len() - 2]);
    }

    /// Looks for these bytes from now on.
    pub fn add_bytes(&mut self, name: &str, bytes: &[u8]) {
        self.canaries += 1;
        self.begins.resize(1 << 16, false);
        for (form, bytes) in forms(bytes) {
            let first = *bytes.first_chunk().expect("a form of a secret has four bytes");
            self.begins[begin(first)] = true;
            self.forms.entry(first).or_default().push((format!("{name} as {form}"), bytes));
        }
    }

    /// Looks from now on for tokens of API keys and for client secrets of payments, too, whosever they are.
    pub fn add_forms(&mut self) {
        self.by_form = true;
    }

    /// How many secrets it was told of.
    pub fn canaries(&self) -> usize {
        self.canaries
    }

    /// How often it looked.
    pub fn looks(&self) -> usize {
        self.looks
    }

    /// The secrets that are in these bytes, and in which form.
    pub fn found(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (at, window) in bytes.windows(4).enumerate() {
            let Some(first) = window.first_chunk() else { continue };
            if !self.begins.get(begin(*first)).is_some_and(|begins| *begins) {
                continue;
            }
            let candidates = self.forms.get(first).into_iter().flatten();
            found.extend(candidates.filter(|(_, form)| bytes[at..].starts_with(form)).map(|(name, _)| name.clone()));
        }
        if self.by_form {
            found.extend(by_form(bytes).map(str::to_owned));
            found.extend(
                decoded(bytes).iter().filter_map(|plain| by_form(plain)).map(|name| format!("{name}, encoded")),
            );
        }
        found
    }

    /// Looks at what is in a place.
    pub fn look(&mut self, place: &str, bytes: impl AsRef<[u8]>) {
        self.looks += 1;
        let found = self.found(bytes.as_ref());
        assert!(found.is_empty(), "{place} shows {found:?}: {}", String::from_utf8_lossy(bytes.as_ref()));
    }

    /// Looks at a value as `Debug` prints it, in one line and in many.
    pub fn print(&mut self, place: &str, value: &impl Debug) {
        self.look(place, format!("{value:?}"));
        self.look(place, format!("{value:#?}"));
    }

    /// Looks at an error and at all that it comes from.
    pub fn error(&mut self, place: &str, error: &Error) {
        self.print(place, error);
        self.look(place, error.to_string());
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            self.look(place, format!("{inner} {inner:?}"));
            source = inner.source();
        }
    }

    /// Looks at every file of a folder, and answers how many there are.
    pub fn folder(&mut self, folder: &Path) -> usize {
        let files = files(folder);
        for (path, bytes) in &files {
            self.look(path, bytes);
        }
        files.len()
    }
}

fn begin(first: [u8; 4]) -> usize {
    usize::from(first[0]) << 8 | usize::from(first[1])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use perfectpay_memory::MemoryStore;

    use super::*;
    use crate::{block_on, host};

    #[test]
    fn a_canary_is_found_in_every_form() {
        let mut watch = Watch::default();
        let value = canary("control");
        watch.add("control", &value);
        let bytes = value.as_bytes();
        let padded = |n: usize, symbols| base64(&[&vec![b'x'; n], bytes, b"yyy"].concat(), symbols);
        let utf16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
        #[allow(clippy::format_collect, reason = "a test is short-lived")]
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        for (form, bytes) in [
            ("plain", bytes.to_vec()),
            ("within", format!("a{value}b").into_bytes()),
            ("without its ends", bytes[2..30].to_vec()),
            ("reversed", value.chars().rev().collect::<String>().into_bytes()),
            ("hex", hex.clone().into_bytes()),
            ("upper hex", hex.to_uppercase().into_bytes()),
            ("UTF-16", utf16),
            ("numbers", format!("{bytes:?}").into_bytes()),
            ("base64", padded(0, STANDARD)),
            ("base64 from the second byte", padded(1, STANDARD)),
            ("base64 from the third byte", padded(2, URL_SAFE)),
            ("base64 from the fourth byte", padded(3, URL_SAFE)),
        ] {
            assert!(!watch.found(&bytes).is_empty(), "{form}");
        }
        assert!(watch.found(perfectpay::secret::mask(&value).as_bytes()).is_empty());
        assert_eq!(watch.found(canary("other").as_bytes()), Vec::<String>::new());
    }

    #[test]
    fn what_nobody_told_of_is_found_by_its_form() {
        let tenant = block_on(async {
            let pay = host::open(Arc::new(MemoryStore::new())).await?;
            host::stand_up(&pay, "acme").await
        });
        let tenant = tenant.expect("a memory has room");
        let client = "pay_06h0e6f49dt4bc47k5ck0ecbu8_secret_0123456789abcdefghij";
        let mut watch = Watch::default();
        watch.add_forms();
        for secret in [tenant.token(), client] {
            for text in [
                format!("token: {secret}."),
                format!("x_{secret}"),
                data_encoding::HEXLOWER.encode(format!("a{secret}").as_bytes()),
                data_encoding::BASE64.encode(format!("{{\"a\": \"{secret}\", \"b\": 1}}").as_bytes()),
                data_encoding::BASE64URL_NOPAD.encode(format!("ab{secret}...").as_bytes()),
            ] {
                assert!(!watch.found(text.as_bytes()).is_empty(), "{text}");
                assert!(Watch::default().found(text.as_bytes()).is_empty());
            }
            assert!(watch.found(&secret.as_bytes()[..secret.len() - 1]).is_empty(), "cut off it is none");
        }
    }
}
