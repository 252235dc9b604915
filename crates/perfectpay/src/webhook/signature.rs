//! Signatures of webhooks, made and checked: those of Standard Webhooks 1.0.0, and the contract's HMAC-SHA512 header.
//!
//! ```
//! use perfectpay::webhook::{WebhookSecret, WebhookSigner};
//!
//! let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
//! let signer = WebhookSigner::new(secret);
//! let at = "2021-02-25T15:02:10Z".parse()?;
//! let signed = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#)?;
//! assert_eq!(signed.headers()[1], ("webhook-timestamp", "1614265330"));
//! assert!(signed.headers()[2].1.starts_with("v1,"));
//! # Ok::<(), perfectpay::Fault>(())
//! ```

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::error::Fault;
use crate::time::{Entropy, Timestamp};

/// The header of the contract's signature: HMAC-SHA512 of the body's exact bytes under the profile's response hash key, in
/// hexadecimal.
pub const SIGNATURE_512: &str = "x-webhook-signature-512";

/// The least and the most bytes of a [`WebhookSecret`], as Standard Webhooks has them.
const SECRET: std::ops::RangeInclusive<usize> = 24..=64;
/// The longest id of a message, in bytes.
const MAX_ID: usize = 255;

/// A secret of Standard Webhooks: `whsec_` and the base64 of 24 to 64 bytes. Hidden in `Debug`, never serialised, wiped
/// when dropped.
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

const PREFIX: &str = "whsec_";

impl WebhookSecret {
    /// A new secret of 32 random bytes.
    pub fn make(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new(vec![0; 32]);
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// The text that the receiver is given.
    pub fn expose(&self) -> SecretString {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + BASE64.encode_len(self.0.len())));
        text.push_str(PREFIX);
        BASE64.encode_append(&self.0, &mut text);
        SecretString::from(text.as_str())
    }

    fn signature(&self, signed: &[&[u8]]) -> String {
        // HMAC takes a key of any length, so this cannot fail; an empty signature would match nothing if it did.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        for part in signed {
            mac.update(part);
        }
        BASE64.encode(&mac.finalize().into_bytes())
    }
}

impl FromStr for WebhookSecret {
    type Err = Fault;

    /// Reads a secret, with its prefix or without.
    ///
    /// # Errors
    ///
    /// `webhook_secret.malformed`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("webhook_secret.malformed", "must be `whsec_` and the base64 of 24 to 64 bytes");
        let bytes = BASE64.decode(text.strip_prefix(PREFIX).unwrap_or(text).as_bytes()).map_err(|_| fault())?;
        let bytes = Zeroizing::new(bytes);
        if SECRET.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(fault()) }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// Signs and checks webhooks under the secrets that are live: the current one, and former ones until their overlap ends,
/// so that a receiver may change its own at any moment of it.
#[derive(Debug)]
pub struct WebhookSigner {
    current: WebhookSecret,
    former: Vec<(WebhookSecret, Timestamp)>,
}

impl WebhookSigner {
    /// A signer with one secret.
    pub fn new(current: WebhookSecret) -> Self {
        Self { current, former: Vec::new() }
    }

    /// The same signer with a former secret, which is live until this moment and not at it.
    pub fn with_former(mut self, former: WebhookSecret, until: Timestamp) -> Self {
        self.former.push((former, until));
        self
    }

    fn live(&self, at: Timestamp) -> impl Iterator<Item = &WebhookSecret> {
        let former = self.former.iter().filter(move |(_, until)| at < *until).map(|(secret, _)| secret);
        std::iter::once(&self.current).chain(former)
    }

    /// Signs a message under every secret that is live at the time of its sending, the current one first. A message that is
    /// sent again keeps its id and is signed again, with the new time.
    ///
    /// # Errors
    ///
    /// `webhook.id_malformed` unless the id is 1 to 255 visible ASCII characters without a dot.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> Result<SignedWebhook, Fault> {
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(|b| b.is_ascii_graphic() && b != b'.') {
            let message = "must be 1 to 255 visible ASCII characters without a dot";
            return Err(Fault::new("webhook.id_malformed", message).at("webhook-id"));
        }
        let timestamp = at.unix_millis().div_euclid(1_000).to_string();
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let mut signature = String::new();
        for secret in self.live(at) {
            if !signature.is_empty() {
                signature.push(' ');
            }
            signature.push_str("v1,");
            signature.push_str(&secret.signature(&signed));
        }
        Ok(SignedWebhook { id: id.to_owned(), timestamp, signature })
    }

    /// Whether a message that was received is a sender's with a live secret, and was sent within `tolerance_seconds` of
    /// `now`, five minutes being usual. Signatures are compared in constant time; those of other versions are passed over.
    ///
    /// # Errors
    ///
    /// `webhook.timestamp_malformed`, `webhook.too_old`, `webhook.too_new` or `webhook.signature_mismatch`.
    pub fn verify(
        &self,
        received: Received<'_>,
        body: &[u8],
        now: Timestamp,
        tolerance_seconds: u32,
    ) -> Result<(), Fault> {
        let at = "webhook-timestamp";
        let malformed = || Fault::new("webhook.timestamp_malformed", "must be seconds of Unix time").at(at);
        let is_decimal = !received.timestamp.is_empty() && received.timestamp.bytes().all(|b| b.is_ascii_digit());
        let sent: i64 = received.timestamp.parse().ok().filter(|_| is_decimal).ok_or_else(malformed)?;
        let now_seconds = now.unix_millis().div_euclid(1_000);
        let tolerance = i64::from(tolerance_seconds);
        if sent < now_seconds.saturating_sub(tolerance) {
            return Err(Fault::new("webhook.too_old", "is too long ago").at(at));
        }
        if sent > now_seconds.saturating_add(tolerance) {
            return Err(Fault::new("webhook.too_new", "is too far ahead").at(at));
        }
        let signed = [received.id.as_bytes(), b".", received.timestamp.as_bytes(), b".", body];
        let mut is_one = subtle::Choice::from(0);
        for secret in self.live(now) {
            let expected = secret.signature(&signed);
            for given in received.signature.split(' ').filter_map(|given| given.strip_prefix("v1,")) {
                is_one |= expected.as_bytes().ct_eq(given.as_bytes());
            }
        }
        if bool::from(is_one) {
            return Ok(());
        }
        Err(Fault::new("webhook.signature_mismatch", "is of no live secret").at("webhook-signature"))
    }
}

/// The headers of a message that was received.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
}

/// A message's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedWebhook {
    id: String,
    timestamp: String,
    signature: String,
}

impl SignedWebhook {
    /// The three headers, by their names in lower case.
    pub fn headers(&self) -> [(&'static str, &str); 3] {
        [("webhook-id", &self.id), ("webhook-timestamp", &self.timestamp), ("webhook-signature", &self.signature)]
    }

    /// The same as a receiver has them.
    pub fn received(&self) -> Received<'_> {
        Received { id: &self.id, timestamp: &self.timestamp, signature: &self.signature }
    }
}

/// The value of [`SIGNATURE_512`] for a body: what the contract's receivers check.
pub fn signature_512(response_hash_key: &SecretString, body: &[u8]) -> String {
    // As above.
    let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(response_hash_key.expose_secret().as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// Whether a [`SIGNATURE_512`] is the body's, decided in constant time. Its hexadecimal digits may be of either case.
pub fn verify_512(response_hash_key: &SecretString, body: &[u8], signature: &str) -> bool {
    let expected = signature_512(response_hash_key, body);
    !expected.is_empty() && expected.as_bytes().ct_eq(signature.to_ascii_lowercase().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SystemEntropy;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SECOND: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000).unwrap()
    }

    fn signer(secret: &str) -> WebhookSigner {
        WebhookSigner::new(secret.parse().unwrap())
    }

    fn code(result: Result<(), Fault>) -> String {
        result.unwrap_err().code().to_owned()
    }

    #[test]
    fn the_known_answers() {
        let signed = signer(FIRST).sign(ID, at(1_614_265_330), BODY).unwrap();
        assert_eq!(
            signed.headers(),
            [
                ("webhook-id", ID),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            ]
        );
        // RFC 4231, test case 2.
        let key = SecretString::from("Jefe");
        assert_eq!(
            signature_512(&key, b"what do ya want for nothing?"),
            concat!(
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554",
                "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
            )
        );
    }

    #[test]
    fn every_live_secret_signs_and_a_former_one_ends_to_the_millisecond() {
        let until = at(1_614_265_400);
        let signer = signer(SECOND).with_former(FIRST.parse().unwrap(), until);
        let both = signer.sign(ID, at(1_614_265_330), BODY).unwrap();
        assert_eq!(
            both.headers()[2].1,
            "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        let before = Timestamp::from_unix_millis(until.unix_millis() - 1).unwrap();
        assert_eq!(signer.sign(ID, before, BODY).unwrap().headers()[2].1.split(' ').count(), 2);
        assert_eq!(signer.sign(ID, until, BODY).unwrap().headers()[2].1.split(' ').count(), 1);
        // Whoever has either secret finds its signature; whoever checks after the overlap takes the new one only.
        for secret in [FIRST, SECOND] {
            let receiver = WebhookSigner::new(secret.parse().unwrap());
            receiver.verify(both.received(), BODY, at(1_614_265_330), 300).unwrap();
        }
        let old = WebhookSigner::new(FIRST.parse().unwrap()).sign(ID, at(1_614_265_390), BODY).unwrap();
        signer.verify(old.received(), BODY, before, 300).unwrap();
        assert_eq!(code(signer.verify(old.received(), BODY, until, 300)), "webhook.signature_mismatch");
    }

    #[test]
    fn a_message_is_taken_within_the_tolerance_and_only_as_it_was_signed() {
        let signer = signer(FIRST);
        let sent = 1_614_265_330;
        let message = signer.sign(ID, at(sent), BODY).unwrap();
        for now in [sent - 300, sent, sent + 300] {
            signer.verify(message.received(), BODY, at(now), 300).unwrap();
        }
        assert_eq!(code(signer.verify(message.received(), BODY, at(sent + 301), 300)), "webhook.too_old");
        assert_eq!(code(signer.verify(message.received(), BODY, at(sent - 301), 300)), "webhook.too_new");
        let good = message.received();
        let mismatch = "webhook.signature_mismatch";
        assert_eq!(code(signer.verify(good, b"{}", at(sent), 300)), mismatch);
        assert_eq!(code(signer.verify(Received { id: "msg_other", ..good }, BODY, at(sent), 300)), mismatch);
        assert_eq!(code(signer.verify(Received { timestamp: "1614265331", ..good }, BODY, at(sent), 300)), mismatch);
        for signature in [
            "",
            "v1,",
            "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "v1,G0Hm9sSe+otpjtgT/TMikTsYzLe3UfjelvLniolj1oe=",
        ] {
            let received = Received { signature, ..good };
            assert_eq!(code(signer.verify(received, BODY, at(sent), 300)), mismatch, "{signature}");
        }
        // Other versions beside a right one do not matter.
        let signature = "v1a,unknown v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        signer.verify(Received { signature, ..good }, BODY, at(sent), 300).unwrap();
        for timestamp in ["", "soon", "+1614265330", "-1", "1614265330.0", "99999999999999999999"] {
            let received = Received { timestamp, ..good };
            assert_eq!(
                code(signer.verify(received, BODY, at(sent), 300)),
                "webhook.timestamp_malformed",
                "{timestamp}"
            );
        }
    }

    #[test]
    fn an_id_that_could_be_read_as_another_is_refused() {
        for id in ["", "msg.1", "msg 1", "msg_\u{e9}", "msg\n", &"x".repeat(256)] {
            assert_eq!(signer(FIRST).sign(id, at(0), BODY).unwrap_err().code(), "webhook.id_malformed");
        }
        signer(FIRST).sign(&"x".repeat(255), at(0), BODY).unwrap();
    }

    #[test]
    fn a_secret_is_read_as_it_is_shown_and_never_printed() {
        let made = WebhookSecret::make(&SystemEntropy);
        let text = made.expose();
        let again: WebhookSecret = text.expose_secret().parse().unwrap();
        assert_eq!(again.expose().expose_secret(), text.expose_secret());
        assert_eq!(format!("{again:?}"), "WebhookSecret(..)");
        assert!(!format!("{:?}", signer(FIRST)).contains("MfKQ"));
        let of = |length: usize| BASE64.encode(&vec![7; length]);
        for good in [24, 64] {
            assert!(of(good).parse::<WebhookSecret>().is_ok());
        }
        for bad in [of(23), of(65), "whsec_".into(), "whsec_?".into(), format!("wsec_{}", of(32))] {
            assert_eq!(bad.parse::<WebhookSecret>().unwrap_err().code(), "webhook_secret.malformed");
        }
    }

    #[test]
    fn the_contract_s_header_is_checked_to_the_bit() {
        let key = SecretString::from("the-hash-key");
        let body = br#"{"event_type":"payment_succeeded"}"#;
        let signature = signature_512(&key, body);
        assert_eq!(
            signature,
            "34ed1c1bb69f1b8b488901a80f477e76d94b1089abfaa024fe7361d29529e40bf2b4adb6f407017ca4ce6cb799c700866462bb32c7efc4a0d743237756df986a"
        );
        assert!(verify_512(&key, body, &signature) && verify_512(&key, body, &signature.to_ascii_uppercase()));
        let other = SecretString::from("another-key");
        assert!(!verify_512(&other, body, &signature) && !verify_512(&key, b"{}", &signature));
        assert!(!verify_512(&key, body, "") && !verify_512(&key, body, &signature[..127]));
    }
}
