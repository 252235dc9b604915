//! Headers of a merchant's own on outgoing webhooks.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::error::{Error, Fault};
use crate::json::refuse;

/// Headers of the merchant's own that every outgoing webhook carries: at most 32, their values secret.
///
/// A name is an RFC 9110 token of at most 128 characters, kept as written; a value is 1 to 4,096 visible ASCII
/// characters, with spaces only between them. Names that differ only in case are one. The headers that frame a message
/// or sign it are the library's and refused. Values are hidden in `Debug` and not serialised.
///
/// ```
/// use perfectpay::{WebhookHeaders, json};
///
/// let headers: WebhookHeaders = json::from_slice(br#"{"Authorization": "Bearer 123456"}"#)?;
/// assert_eq!(headers.masked()["Authorization"], "Be*********56");
/// # Ok::<(), perfectpay::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct WebhookHeaders(BTreeMap<HeaderName, SecretString>);

const MAX_HEADERS: usize = 32;
const MAX_HEADER_NAME: usize = 128;
const MAX_HEADER_VALUE: usize = 4096;

/// What the sender of a message states itself: its framing and its receiver, what only the next hop reads, and the
/// signature, which a merchant's header must not be taken for.
const RESERVED: [&str; 14] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-webhook-signature-256",
    "x-webhook-signature-512",
];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct HeaderName(Box<str>);

impl FromStr for HeaderName {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if text.is_empty() || text.len() > MAX_HEADER_NAME || !text.bytes().all(is_token) {
            return Err(Fault::new("webhook.header_name", "must be a header name of at most 128 characters"));
        }
        if RESERVED.iter().any(|reserved| text.eq_ignore_ascii_case(reserved)) {
            return Err(Fault::new("webhook.header", "is a header that the library sets"));
        }
        Ok(Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for HeaderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

struct HeaderValue(SecretString);

impl FromStr for HeaderValue {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let visible = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if text.is_empty() || text.len() > MAX_HEADER_VALUE || !visible || text.trim() != text {
            return Err(Fault::new("webhook.header_value", "must be 1 to 4096 visible ASCII characters"));
        }
        Ok(Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for HeaderValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

impl WebhookHeaders {
    /// The headers by ascending name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.0.iter().map(|(name, value)| (&*name.0, value))
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a header.
    ///
    /// # Errors
    ///
    /// `webhook.header_name` or `webhook.header_value` for what has not the form of one, `webhook.header` for a header
    /// that the library sets, `webhook.header_twice`, `webhook.too_many_headers`.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        self.add(name.parse()?, value.parse()?)
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Fault> {
        if self.0.keys().any(|known| known.0.eq_ignore_ascii_case(&name.0)) {
            return Err(Fault::new("webhook.header_twice", "has a header twice"));
        }
        if self.0.len() == MAX_HEADERS {
            return Err(Fault::new("webhook.too_many_headers", "must have at most 32 headers"));
        }
        self.0.insert(name, value.0);
        Ok(())
    }

    /// The headers with masked values, as the contract returns them.
    pub fn masked(&self) -> BTreeMap<String, String> {
        self.iter().map(|(name, value)| (name.to_owned(), mask(value.expose_secret()))).collect()
    }

    /// The headers with their values as JSON, to be sealed.
    pub fn to_plaintext(&self) -> Zeroizing<Vec<u8>> {
        // Written by hand into a buffer that never grows: a growing one leaves copies of the values behind. A value is
        // at most doubled, by a backslash before each of its characters.
        let size = self.iter().map(|(name, value)| name.len() + 2 * value.expose_secret().len() + 6).sum::<usize>();
        let mut json = Zeroizing::new(Vec::with_capacity(size + 2));
        json.push(b'{');
        for (index, (name, value)) in self.iter().enumerate() {
            json.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            json.extend_from_slice(name.as_bytes());
            json.extend_from_slice(b"\":\"");
            for byte in value.expose_secret().bytes() {
                if matches!(byte, b'"' | b'\\') {
                    json.push(b'\\');
                }
                json.push(byte);
            }
            json.push(b'"');
        }
        json.push(b'}');
        json
    }

    /// Reads what [`to_plaintext`](Self::to_plaintext) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it is anything else; its source is left out, which could repeat a value.
    pub fn from_plaintext(json: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(json).map_err(|_| Error::corrupt("the headers of a profile's webhooks"))
    }
}

impl<'de> Deserialize<'de> for WebhookHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Headers;

        impl<'de> Visitor<'de> for Headers {
            type Value = WebhookHeaders;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of header names and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<WebhookHeaders, A::Error> {
                let mut headers = WebhookHeaders::default();
                while let Some((name, value)) = access.next_entry()? {
                    headers.add(name, value).map_err(|fault| refuse(&fault))?;
                }
                Ok(headers)
            }
        }

        deserializer.deserialize_map(Headers)
    }
}

/// Hides a secret: all of it up to 4 characters, else all but the first 2 and the last 2. The length stays.
fn mask(secret: &str) -> String {
    let length = secret.chars().count();
    let shown = |index| length > 4 && (index < 2 || index >= length - 2);
    secret.chars().enumerate().map(|(index, c)| if shown(index) { c } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json::{from_slice, from_value};

    #[test]
    fn headers_that_cannot_be_sent_are_refused_by_name_or_value() {
        let long = |n| "x".repeat(n);
        let mut headers = WebhookHeaders::default();
        headers.insert(&long(128), &long(4096)).unwrap();
        for (name, value, code) in [
            ("", "v", "webhook.header_name"),
            ("a b", "v", "webhook.header_name"),
            ("a:b", "v", "webhook.header_name"),
            ("ä", "v", "webhook.header_name"),
            (&long(129), "v", "webhook.header_name"),
            ("Content-Type", "v", "webhook.header"),
            ("TRANSFER-ENCODING", "v", "webhook.header"),
            ("x-webhook-signature-512", "v", "webhook.header"),
            ("a", "", "webhook.header_value"),
            ("a", " v", "webhook.header_value"),
            ("a", "v\r\nb: c", "webhook.header_value"),
            ("a", "ä", "webhook.header_value"),
            ("a", &long(4097), "webhook.header_value"),
            (&long(128).to_uppercase(), "v", "webhook.header_twice"),
        ] {
            assert_eq!(headers.insert(name, value).unwrap_err().code(), code, "{name}");
        }
        for i in 1..32 {
            headers.insert(&format!("h{i}"), "v").unwrap();
        }
        assert_eq!(headers.insert("h32", "v").unwrap_err().code(), "webhook.too_many_headers");
        assert_eq!(headers.len(), 32);
    }

    #[test]
    fn a_header_is_named_by_its_path() {
        #[derive(Debug, Deserialize)]
        struct Body {
            #[allow(dead_code, reason = "only refusals are looked at")]
            headers: WebhookHeaders,
        }
        for (body, path, code) in [
            (json!({"headers": {"X-A": "a\nb"}}), "headers.X-A", "webhook.header_value"),
            (json!({"headers": {"X-A": 1}}), "headers.X-A", "json.wrong_type"),
            (json!({"headers": {"Host": "a"}}), "headers.Host", "webhook.header"),
            (json!({"headers": {"X-A": "a", "x-a": "b"}}), "headers", "webhook.header_twice"),
        ] {
            match from_value::<Body>(body).unwrap_err() {
                Error::Invalid(fault) => assert_eq!((fault.path(), fault.code()), (path, code)),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn values_are_hidden_and_survive_being_sealed() {
        let body = json!({"X-Quoted": r#"say "hi" \ bye"#, "Authorization": "Bearer s3cret", "X-Short": "abcd"});
        let headers: WebhookHeaders = from_value(body.clone()).unwrap();
        assert!(!format!("{headers:?}").contains("s3cret"));
        assert_eq!(
            serde_json::to_value(headers.masked()).unwrap(),
            json!({"X-Quoted": "sa**********ye", "Authorization": "Be*********et", "X-Short": "****"})
        );
        let plaintext = headers.to_plaintext();
        assert_eq!(from_slice::<Value>(&plaintext).unwrap(), body);
        let opened = WebhookHeaders::from_plaintext(&plaintext).unwrap();
        assert_eq!(opened.to_plaintext(), plaintext);
        assert_eq!(WebhookHeaders::from_plaintext(b"{}").unwrap().to_plaintext().as_slice(), b"{}");
        assert_eq!(WebhookHeaders::from_plaintext(b"{").unwrap_err().code(), "corrupt");
    }
}
