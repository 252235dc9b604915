//! Values that are shown to nobody: how a credential is masked, and a JSON object that hides what it holds.

use std::fmt;
use std::io;
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::Fault;

/// The form in which a credential may be shown: as many characters as it has, all `*` but the first two and the last
/// two; of a credential of up to four characters none is left.
///
/// ```
/// use perfectpay::secret::mask;
///
/// assert_eq!(mask("sk_test_123"), "sk*******23");
/// assert_eq!(mask("1234"), "****");
/// ```
pub fn mask(secret: &str) -> String {
    let length = secret.chars().count();
    let shown = |at: usize| length > 4 && (at < 2 || at >= length - 2);
    secret.chars().enumerate().map(|(at, c)| if shown(at) { c } else { '*' }).collect()
}

/// The same JSON with every secret masked: a string as by [`mask`], a number or a truth value as `"***"`, for digits
/// can be a secret too and their count would tell of it. Names of members, nulls and the structure stay.
pub fn mask_json(secret: &Value) -> Value {
    match secret {
        Value::Null => Value::Null,
        Value::Bool(_) | Value::Number(_) => "***".into(),
        Value::String(text) => mask(text).into(),
        Value::Array(items) => items.iter().map(mask_json).collect(),
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), mask_json(value))).collect(),
    }
}

/// Whether `text` is what [`mask`] answers, so that a caller may be sending back what it was shown. Empty text is not.
pub fn looks_masked(text: &str) -> bool {
    !text.is_empty() && mask(text) == text
}

/// A secret that is one line of text: 1 to 255 characters, not only white space, none of them a control character, and
/// not what [`mask`] shows. Kept exactly as it was given, hidden in `Debug`, never serialised.
#[derive(Clone)]
pub struct SecretText(SecretString);

/// The longest [`SecretText`], in characters.
const MAX_SECRET: usize = 255;

impl SecretText {
    /// The secret, to be sealed.
    pub fn into_secret(self) -> SecretString {
        self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.as_bytes().to_vec())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

impl FromStr for SecretText {
    type Err = Fault;

    /// Takes a secret.
    ///
    /// # Errors
    ///
    /// `secret.blank`, `secret.too_long`, `secret.bad_character` or `secret.masked`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.trim().is_empty() {
            return Err(Fault::new("secret.blank", "must not be blank"));
        }
        if text.chars().count() > MAX_SECRET {
            return Err(Fault::new("secret.too_long", "must be at most 255 characters"));
        }
        if text.chars().any(char::is_control) {
            return Err(Fault::new("secret.bad_character", "must not contain control characters"));
        }
        if looks_masked(text) {
            return Err(Fault::new("secret.masked", "must not be a masked value"));
        }
        Ok(Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// A secret in the one answer that may show it: hidden in `Debug`, but serialised in clear.
#[derive(Clone)]
pub struct Disclosed(SecretString);

impl Disclosed {
    /// The secret in clear.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<SecretString> for Disclosed {
    fn from(secret: SecretString) -> Self {
        Self(secret)
    }
}

impl PartialEq for Disclosed {
    fn eq(&self, other: &Self) -> bool {
        bool::from(self.expose().as_bytes().ct_eq(other.expose().as_bytes()))
    }
}

impl fmt::Debug for Disclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disclosed(..)")
    }
}

impl Serialize for Disclosed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Disclosed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SecretString::deserialize(deserializer).map(Self)
    }
}

/// A request as an idempotency key is bound to it: its JSON, in which an absent field, a null and a value differ where
/// they mean something else, and beside it what that leaves out.
pub(crate) trait Request: Serialize {
    /// What serialisation leaves out, in a fixed order.
    fn secrets(&self) -> Vec<Zeroizing<Vec<u8>>> {
        Vec::new()
    }
}

/// Nothing more than the operation itself.
impl Request for () {}

/// A switch: to one side, or to the other one.
impl Request for Option<bool> {}
impl Request for u32 {}

/// A JSON object whose values are secrets. `Debug` shows none of them, and dropping it wipes its strings.
///
/// It has no `Serialize`: [`SecretObject::expose`] is the word to look for where a secret leaves.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretObject(Map<String, Value>);

impl SecretObject {
    /// The members in clear.
    pub fn expose(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Checks that it can be read again: of the depth that a [`crate::text::Object`] may have.
    ///
    /// # Errors
    ///
    /// `object.too_deep`.
    pub(crate) fn check_depth(&self) -> Result<(), Fault> {
        let fits = crate::text::is_within(self.0.values(), crate::text::MAX_DEPTH);
        if fits { Ok(()) } else { Err(crate::text::too_deep()) }
    }

    /// Whether `is` holds of any string in it, however deep.
    pub(crate) fn any_text(&self, is: impl Fn(&str) -> bool) -> bool {
        fn holds(value: &Value, is: &dyn Fn(&str) -> bool) -> bool {
            match value {
                Value::Null | Value::Bool(_) | Value::Number(_) => false,
                Value::String(text) => is(text),
                Value::Array(items) => items.iter().any(|item| holds(item, is)),
                Value::Object(map) => map.values().any(|value| holds(value, is)),
            }
        }
        self.0.values().any(|value| holds(value, &is))
    }
}

impl From<Map<String, Value>> for SecretObject {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

impl fmt::Debug for SecretObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretObject([REDACTED])")
    }
}

impl Drop for SecretObject {
    fn drop(&mut self) {
        fn wipe(value: &mut Value) {
            match value {
                Value::Null => {}
                Value::Bool(_) | Value::Number(_) => *value = Value::Null,
                Value::String(text) => text.zeroize(),
                Value::Array(items) => items.iter_mut().for_each(wipe),
                Value::Object(map) => map.values_mut().for_each(wipe),
            }
        }
        self.0.values_mut().for_each(wipe);
    }
}

/// How many bytes `value` takes as JSON, counted without writing it anywhere. `usize::MAX` for what is not JSON.
pub(crate) fn json_len(value: &impl Serialize) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Whether a type has a trait: the inherent constant wins where its bound holds, and the trait's is what is left.
    macro_rules! has {
        ($type:ty: $($bound:tt)+) => {{
            struct Is<T: ?Sized>(std::marker::PhantomData<T>);
            #[allow(dead_code, reason = "of a type with the trait the inherent one is used")]
            trait Otherwise {
                const HOLDS: bool = false;
            }
            impl<T: ?Sized> Otherwise for T {}
            #[allow(dead_code, reason = "of a type without the trait the other one is used")]
            impl<T: ?Sized + $($bound)+> Is<T> {
                const HOLDS: bool = true;
            }
            Is::<$type>::HOLDS
        }};
    }

    #[test]
    fn no_type_that_holds_a_secret_can_be_shown_or_serialised() {
        macro_rules! hidden {
            ($($type:ty),+ $(,)?) => {$(
                assert!(!has!($type: fmt::Display), "{} has Display", stringify!($type));
                assert!(!has!($type: Serialize), "{} has Serialize", stringify!($type));
                assert!(!has!($type: PartialEq), "{} compares in no constant time", stringify!($type));
                assert!(has!($type: fmt::Debug), "{} has no Debug", stringify!($type));
            )+};
        }
        assert!(has!(String: fmt::Display) && has!(String: Serialize) && has!(String: PartialEq));
        hidden!(
            SecretText,
            SecretObject,
            crate::MasterKey,
            crate::LocalKeyring,
            crate::seal::SealingKey,
            crate::seal::Opened,
            crate::ConnectorAuth,
            crate::ConnectorWebhookDetails,
            crate::WalletDetails,
            crate::WebhookSecrets,
            crate::ConnectorSecrets,
            crate::webhook::WebhookSecret,
            crate::webhook::WebhookSigner,
            crate::Token,
            crate::CardNumber,
            crate::CardCvc,
            crate::PaymentCard,
            crate::PaymentMethodData,
            crate::payment::ExpiryMonth,
            crate::payment::ExpiryYear,
            crate::WebhookMessage,
        );
        // The one that an answer may show, and is compared in constant time.
        assert!(!has!(Disclosed: fmt::Display) && has!(Disclosed: Serialize));
    }

    #[test]
    fn a_mask_keeps_the_length_in_characters_and_at_most_four_of_them() {
        for (secret, masked) in
            [("", ""), ("a", "*"), ("abcd", "****"), ("abcde", "ab*de"), ("äöüß€", "äö*ß€"), ("sk_test_1", "sk*****_1")]
        {
            assert_eq!(mask(secret), masked);
        }
    }

    #[test]
    fn only_what_a_mask_answers_looks_masked() {
        for masked in ["*", "****", "********", "ab*de", "sk*****_1"] {
            assert!(looks_masked(masked), "{masked}");
        }
        for clear in ["", "a", "abcd", "ab*d", "abcde", "sk_*****_1", "*abc*"] {
            assert!(!looks_masked(clear), "{clear}");
        }
    }

    #[test]
    fn every_leaf_of_a_json_secret_is_masked() {
        let secret =
            json!({"user": "merchant", "pin": 1234, "live": true, "none": null, "keys": ["abcdef", {"x": 1.5}]});
        let masked =
            json!({"user": "me****nt", "pin": "***", "live": "***", "none": null, "keys": ["ab**ef", {"x": "***"}]});
        assert_eq!(mask_json(&secret), masked);
    }

    #[test]
    fn a_secret_object_does_not_show_itself() {
        let object: SecretObject = serde_json::from_value(json!({"password": "hunter22"})).unwrap();
        assert_eq!(format!("{object:?}"), "SecretObject([REDACTED])");
    }

    #[test]
    fn the_counted_length_is_the_written_length() {
        let value = json!({"a": "quote \" and ü", "b": [1, 2.5, null]});
        assert_eq!(json_len(&value), value.to_string().len());
    }
}
