//! The credentials of a connector account: read, masked, and turned into the bytes that are sealed.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::error::Fault;
use crate::money::Currency;
use crate::secret::{SecretObject, json_len, looks_masked, mask, mask_json};
use crate::words::words;

/// The most bytes of one credential: certificates are long. An object per currency counts as JSON text.
pub const MAX_CREDENTIAL: usize = 16 * 1024;

words! { "PascalCase"
    /// The shape of a connector's credentials: the `auth_type` of [`ConnectorAuth`].
    AuthType {
        /// One key.
        HeaderKey,
        /// Two keys.
        BodyKey,
        /// Two keys and a secret to sign with.
        SignatureKey,
        /// Three keys and a secret.
        MultiAuthKey,
        /// An object for each currency.
        CurrencyAuthKey,
        /// A client certificate and its key.
        CertificateAuth,
        /// Nothing: the connector needs none.
        NoKey,
        /// Nothing yet: a placeholder of an inactive account.
        TemporaryAuth,
    }
}

/// A connector's credentials: what is published as `connector_account_details`.
///
/// In JSON they are one flat object whose `auth_type` says which members it has. All of them are required, none may be
/// blank or longer than [`MAX_CREDENTIAL`], and none may be what [`ConnectorAuth::masked`] shows. `Debug` shows none of
/// them and there is no `Serialize`. Read them with [`json::from_slice`](crate::json::from_slice), whose errors repeat
/// nothing of the input; those of serde itself may.
///
/// ```
/// use perfectpay::{AuthType, ConnectorAuth, json};
///
/// let auth: ConnectorAuth = json::from_slice(br#"{"auth_type": "HeaderKey", "api_key": "sk_test_123"}"#)?;
/// assert_eq!(auth.auth_type(), AuthType::HeaderKey);
/// assert_eq!(serde_json::to_string(&auth.masked()).unwrap(), r#"{"auth_type":"HeaderKey","api_key":"sk*******23"}"#);
///
/// let error = json::from_slice::<ConnectorAuth>(br#"{"auth_type": "BodyKey", "api_key": "k"}"#).unwrap_err();
/// assert_eq!(error.to_string(), "`key1`: is required");
/// # Ok::<(), perfectpay::Error>(())
/// ```
#[derive(Debug, Clone)]
pub enum ConnectorAuth {
    /// One key.
    HeaderKey {
        /// The key.
        api_key: SecretString,
    },
    /// Two keys.
    BodyKey {
        /// The first key.
        api_key: SecretString,
        /// The second key; with many processors an account's name.
        key1: SecretString,
    },
    /// Two keys and a secret to sign with.
    SignatureKey {
        /// The first key.
        api_key: SecretString,
        /// The second key; with many processors an account's name.
        key1: SecretString,
        /// The secret.
        api_secret: SecretString,
    },
    /// Three keys and a secret.
    MultiAuthKey {
        /// The first key.
        api_key: SecretString,
        /// The second key.
        key1: SecretString,
        /// The secret.
        api_secret: SecretString,
        /// The third key.
        key2: SecretString,
    },
    /// An object for each currency, at least one. The processor says what is in it.
    CurrencyAuthKey {
        /// The objects.
        auth_key_map: BTreeMap<Currency, SecretObject>,
    },
    /// A client certificate and its key.
    CertificateAuth {
        /// The certificate: PEM in base64. Not decoded.
        certificate: SecretString,
        /// The private key: PEM in base64. Not decoded.
        private_key: SecretString,
    },
    /// Nothing: the connector needs none.
    NoKey,
    /// Nothing yet: a placeholder of an inactive account.
    TemporaryAuth,
}

impl ConnectorAuth {
    /// Their shape.
    pub fn auth_type(&self) -> AuthType {
        match self {
            Self::HeaderKey { .. } => AuthType::HeaderKey,
            Self::BodyKey { .. } => AuthType::BodyKey,
            Self::SignatureKey { .. } => AuthType::SignatureKey,
            Self::MultiAuthKey { .. } => AuthType::MultiAuthKey,
            Self::CurrencyAuthKey { .. } => AuthType::CurrencyAuthKey,
            Self::CertificateAuth { .. } => AuthType::CertificateAuth,
            Self::NoKey => AuthType::NoKey,
            Self::TemporaryAuth => AuthType::TemporaryAuth,
        }
    }

    /// The credentials by their names, without the objects per currency.
    fn texts(&self) -> Vec<(&'static str, &str)> {
        let secrets = match self {
            Self::HeaderKey { api_key } => vec![("api_key", api_key)],
            Self::BodyKey { api_key, key1 } => vec![("api_key", api_key), ("key1", key1)],
            Self::SignatureKey { api_key, key1, api_secret } => {
                vec![("api_key", api_key), ("key1", key1), ("api_secret", api_secret)]
            }
            Self::MultiAuthKey { api_key, key1, api_secret, key2 } => {
                vec![("api_key", api_key), ("key1", key1), ("api_secret", api_secret), ("key2", key2)]
            }
            Self::CertificateAuth { certificate, private_key } => {
                vec![("certificate", certificate), ("private_key", private_key)]
            }
            Self::CurrencyAuthKey { .. } | Self::NoKey | Self::TemporaryAuth => vec![],
        };
        secrets.into_iter().map(|(name, secret)| (name, secret.expose_secret())).collect()
    }

    /// The objects per currency, in the order of the currencies' codes.
    fn objects(&self) -> Option<&BTreeMap<Currency, SecretObject>> {
        match self {
            Self::CurrencyAuthKey { auth_key_map } => Some(auth_key_map),
            _ => None,
        }
    }

    /// Checks credentials that were not read from JSON; those that were are checked already.
    ///
    /// # Errors
    ///
    /// `connector.blank_credential`, `connector.long_credential` or `connector.masked_credential` at the member's name,
    /// or `connector.no_currency` or `object.too_deep` at `auth_key_map`. An object per currency is blank if it is empty or any text in it
    /// is blank.
    pub fn check(&self) -> Result<(), Fault> {
        for (name, text) in self.texts() {
            check_credential(text.trim().is_empty(), text.len(), looks_masked(text)).map_err(|fault| fault.at(name))?;
        }
        let Some(objects) = self.objects() else { return Ok(()) };
        if objects.is_empty() {
            return Err(Fault::new("connector.no_currency", "must have at least one currency").at("auth_key_map"));
        }
        for (currency, object) in objects {
            object.check_depth().map_err(|fault| fault.at(format!("auth_key_map.{currency}")))?;
            let blank = object.expose().is_empty() || object.any_text(|text| text.trim().is_empty());
            check_credential(blank, json_len(object.expose()), object.any_text(looks_masked))
                .map_err(|fault| fault.at(format!("auth_key_map.{currency}")))?;
        }
        Ok(())
    }

    /// Whether any credential is in the masked form, so that it cannot be one: see
    /// [`secret::mask`](crate::secret::mask).
    pub fn looks_masked(&self) -> bool {
        self.texts().iter().any(|(_, text)| looks_masked(text))
            || self.objects().is_some_and(|objects| objects.values().any(|object| object.any_text(looks_masked)))
    }

    /// The form in which they are shown.
    pub fn masked(&self) -> MaskedAuth {
        let mut members: BTreeMap<_, _> =
            self.texts().into_iter().map(|(name, text)| (name.to_owned(), Value::from(mask(text)))).collect();
        if let Some(objects) = self.objects() {
            let hide = |object: &SecretObject| object.expose().iter().map(|(k, v)| (k.clone(), mask_json(v))).collect();
            let objects = objects.iter().map(|(currency, object)| (currency.to_string(), hide(object))).collect();
            members.insert("auth_key_map".to_owned(), Value::Object(objects));
        }
        MaskedAuth { auth_type: self.auth_type(), members }
    }

    /// The bytes to seal, in clear; [`ConnectorAuth::from_plaintext`] reads them. They are wiped when dropped, and no
    /// other copy of them was made.
    pub fn to_plaintext(&self) -> Zeroizing<Vec<u8>> {
        let clear = Clear(self);
        // A buffer that grew would leave its earlier, shorter copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(json_len(&clear)));
        let written = serde_json::to_writer(&mut *bytes, &clear);
        debug_assert!(written.is_ok(), "memory takes any text, currency and JSON value");
        bytes
    }

    /// The credentials that [`ConnectorAuth::to_plaintext`] wrote.
    ///
    /// # Errors
    ///
    /// `connector.bad_plaintext` for any other bytes.
    pub fn from_plaintext(bytes: &[u8]) -> Result<Self, Fault> {
        // What serde says of them may quote them.
        serde_json::from_slice(bytes).map_err(|_| Fault::new("connector.bad_plaintext", "is not what was sealed"))
    }

    /// Whether both are the same credentials, decided in a time that does not depend on where they differ.
    pub fn same_as(&self, other: &Self) -> bool {
        self.to_plaintext().ct_eq(&other.to_plaintext()).into()
    }
}

fn check_credential(blank: bool, length: usize, masked: bool) -> Result<(), Fault> {
    if blank {
        return Err(Fault::new("connector.blank_credential", "must not be blank"));
    }
    if length > MAX_CREDENTIAL {
        return Err(Fault::new("connector.long_credential", "must be at most 16 KiB"));
    }
    if masked {
        return Err(Fault::new("connector.masked_credential", "is a masked credential, not the credential itself"));
    }
    Ok(())
}

/// Credentials in the form in which they are shown: every text by [`secret::mask`](crate::secret::mask), every other
/// value by [`secret::mask_json`](crate::secret::mask_json), names, currencies and the `auth_type` as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedAuth {
    auth_type: AuthType,
    #[serde(flatten)]
    members: BTreeMap<String, Value>,
}

impl MaskedAuth {
    /// The credentials' shape.
    pub fn auth_type(&self) -> AuthType {
        self.auth_type
    }

    /// The masked members by name, without `auth_type`.
    pub fn members(&self) -> &BTreeMap<String, Value> {
        &self.members
    }
}

/// Credentials that serialise in clear.
struct Clear<'a>(&'a ConnectorAuth);

impl Serialize for Clear<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("auth_type", &self.0.auth_type())?;
        for (name, text) in self.0.texts() {
            map.serialize_entry(name, text)?;
        }
        if let Some(objects) = self.0.objects() {
            let objects: BTreeMap<_, _> =
                objects.iter().map(|(currency, object)| (currency, object.expose())).collect();
            map.serialize_entry("auth_key_map", &objects)?;
        }
        map.end()
    }
}

/// Every member of every shape. A tagged enum would have serde copy the credentials into buffers that nobody wipes.
#[derive(Deserialize)]
#[serde(rename = "ConnectorAuth", expecting = "an object with an `auth_type`", deny_unknown_fields)]
struct Members {
    auth_type: AuthType,
    api_key: Option<SecretString>,
    key1: Option<SecretString>,
    api_secret: Option<SecretString>,
    key2: Option<SecretString>,
    certificate: Option<SecretString>,
    private_key: Option<SecretString>,
    auth_key_map: Option<Objects>,
}

impl Members {
    /// The first member that no shape took.
    fn left(&self) -> Option<&'static str> {
        [
            ("api_key", self.api_key.is_some()),
            ("key1", self.key1.is_some()),
            ("api_secret", self.api_secret.is_some()),
            ("key2", self.key2.is_some()),
            ("certificate", self.certificate.is_some()),
            ("private_key", self.private_key.is_some()),
            ("auth_key_map", self.auth_key_map.is_some()),
        ]
        .into_iter()
        .find_map(|(name, is_left)| is_left.then_some(name))
    }
}

impl TryFrom<Members> for ConnectorAuth {
    type Error = Fault;

    fn try_from(mut members: Members) -> Result<Self, Fault> {
        fn take<T>(name: &'static str, member: &mut Option<T>) -> Result<T, Fault> {
            member.take().ok_or_else(|| Fault::new("json.missing_field", "is required").at(name))
        }
        let m = &mut members;
        let auth = match m.auth_type {
            AuthType::HeaderKey => Self::HeaderKey { api_key: take("api_key", &mut m.api_key)? },
            AuthType::BodyKey => {
                Self::BodyKey { api_key: take("api_key", &mut m.api_key)?, key1: take("key1", &mut m.key1)? }
            }
            AuthType::SignatureKey => Self::SignatureKey {
                api_key: take("api_key", &mut m.api_key)?,
                key1: take("key1", &mut m.key1)?,
                api_secret: take("api_secret", &mut m.api_secret)?,
            },
            AuthType::MultiAuthKey => Self::MultiAuthKey {
                api_key: take("api_key", &mut m.api_key)?,
                key1: take("key1", &mut m.key1)?,
                api_secret: take("api_secret", &mut m.api_secret)?,
                key2: take("key2", &mut m.key2)?,
            },
            AuthType::CurrencyAuthKey => {
                Self::CurrencyAuthKey { auth_key_map: take("auth_key_map", &mut m.auth_key_map)?.0 }
            }
            AuthType::CertificateAuth => Self::CertificateAuth {
                certificate: take("certificate", &mut m.certificate)?,
                private_key: take("private_key", &mut m.private_key)?,
            },
            AuthType::NoKey => Self::NoKey,
            AuthType::TemporaryAuth => Self::TemporaryAuth,
        };
        if let Some(name) = members.left() {
            let message = format!("is not a field of {}", members.auth_type);
            return Err(Fault::new("connector.auth_field", message).at(name));
        }
        auth.check()?;
        Ok(auth)
    }
}

impl<'de> Deserialize<'de> for ConnectorAuth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Members::deserialize(deserializer)?.try_into().map_err(|fault| crate::json::refuse(&fault))
    }
}

/// The objects per currency. A map of the standard library would keep the last of two objects for one currency.
struct Objects(BTreeMap<Currency, SecretObject>);

impl<'de> Deserialize<'de> for Objects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByCurrency;

        impl<'de> Visitor<'de> for ByCurrency {
            type Value = Objects;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of objects by currency")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Objects, A::Error> {
                let mut objects = BTreeMap::new();
                while let Some((currency, object)) = map.next_entry::<Currency, SecretObject>()? {
                    if objects.insert(currency, object).is_some() {
                        let fault = Fault::new("json.duplicate_field", "is given twice").at(currency.code());
                        return Err(crate::json::refuse(&fault));
                    }
                }
                Ok(Objects(objects))
            }
        }

        deserializer.deserialize_map(ByCurrency)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Error;
    use crate::words::assert_published;

    const SHAPES: [&str; 8] = [
        r#"{"auth_type":"HeaderKey","api_key":"key-one"}"#,
        r#"{"auth_type":"BodyKey","api_key":"key-one","key1":"key-two"}"#,
        r#"{"auth_type":"SignatureKey","api_key":"key-one","key1":"key-two","api_secret":"key-three"}"#,
        r#"{"auth_type":"MultiAuthKey","api_key":"key-one","key1":"key-two","api_secret":"key-3","key2":"key-4"}"#,
        r#"{"auth_type":"CurrencyAuthKey","auth_key_map":{"EUR":{"pin":4711},"USD":{"password":"key-one"}}}"#,
        r#"{"auth_type":"CertificateAuth","certificate":"key-one","private_key":"key-two"}"#,
        r#"{"auth_type":"NoKey"}"#,
        r#"{"auth_type":"TemporaryAuth"}"#,
    ];

    #[derive(Debug, Deserialize)]
    struct Body {
        connector_account_details: ConnectorAuth,
    }

    fn read(auth: &str) -> Result<ConnectorAuth, Fault> {
        let body = format!(r#"{{"connector_account_details": {auth}}}"#);
        match crate::json::from_slice::<Body>(body.as_bytes()) {
            Ok(body) => Ok(body.connector_account_details),
            Err(Error::Invalid(fault)) => Err(fault),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn refused(auth: &str) -> (String, String) {
        let fault = read(auth).unwrap_err();
        (fault.path().replace("connector_account_details", "$"), fault.code().to_owned())
    }

    #[test]
    fn the_auth_types_are_the_published_ones() {
        assert_published::<AuthType>(
            "HeaderKey BodyKey SignatureKey MultiAuthKey CurrencyAuthKey CertificateAuth NoKey TemporaryAuth",
        );
    }

    #[test]
    fn every_shape_reads_back_from_its_plaintext() {
        for shape in SHAPES {
            let auth = read(shape).unwrap();
            let plaintext = auth.to_plaintext();
            assert_eq!(std::str::from_utf8(&plaintext).unwrap(), shape);
            assert_eq!(plaintext.capacity(), shape.len());
            assert!(ConnectorAuth::from_plaintext(&plaintext).unwrap().same_as(&auth));
        }
    }

    #[test]
    fn the_published_example_is_accepted() {
        let auth = read(r#"{"auth_type": "HeaderKey", "api_key": "sk_test_..."}"#).unwrap();
        assert!(auth.same_as(&ConnectorAuth::HeaderKey { api_key: "sk_test_...".into() }));
    }

    #[test]
    fn credentials_that_differ_in_anything_are_not_the_same() {
        for (i, one) in SHAPES.iter().enumerate() {
            for (j, other) in SHAPES.iter().enumerate() {
                assert_eq!(read(one).unwrap().same_as(&read(other).unwrap()), i == j);
            }
        }
        assert!(!read(SHAPES[0]).unwrap().same_as(&read(&SHAPES[0].replace("one", "two")).unwrap()));
    }

    #[test]
    fn no_shape_shows_a_credential_in_debug_or_masked() {
        for shape in SHAPES {
            let auth = read(shape).unwrap();
            let shown = format!("{auth:?} {:?} {}", auth.masked(), serde_json::to_string(&auth.masked()).unwrap());
            assert!(!shown.contains("key-") && !shown.contains("4711"), "{shown}");
        }
    }

    #[test]
    fn the_masked_form_keeps_the_shape_and_cannot_be_sent_back() {
        let masked = |i: usize| serde_json::to_value(read(SHAPES[i]).unwrap().masked()).unwrap();
        assert_eq!(masked(1), json!({"auth_type": "BodyKey", "api_key": "ke***ne", "key1": "ke***wo"}));
        let objects = json!({"EUR": {"pin": "***"}, "USD": {"password": "ke***ne"}});
        assert_eq!(masked(4), json!({"auth_type": "CurrencyAuthKey", "auth_key_map": objects}));
        for (i, path) in [(0, "$.api_key"), (4, "$.auth_key_map.EUR"), (5, "$.certificate")] {
            let sent_back = masked(i).to_string();
            assert_eq!(refused(&sent_back), (path.into(), "connector.masked_credential".into()));
        }
        assert!(!read(SHAPES[4]).unwrap().looks_masked());
        assert!(ConnectorAuth::HeaderKey { api_key: "ke***ne".into() }.looks_masked());
    }

    #[test]
    fn what_is_wrong_with_credentials_is_named_by_path_and_code() {
        for (auth, path, code) in [
            (r#"{"api_key": "k"}"#, "$.auth_type", "json.missing_field"),
            (r#"{"auth_type": "headerkey"}"#, "$.auth_type", "json.unknown_variant"),
            (r#"{"auth_type": "HeaderKey"}"#, "$.api_key", "json.missing_field"),
            (r#"{"auth_type": "HeaderKey", "api_key": null}"#, "$.api_key", "json.missing_field"),
            (r#"{"auth_type": "HeaderKey", "api_key": 5}"#, "$.api_key", "json.wrong_type"),
            (r#"{"auth_type": "HeaderKey", "api_key": " \t"}"#, "$.api_key", "connector.blank_credential"),
            (r#"{"auth_type": "HeaderKey", "api_key": "k", "key1": "k"}"#, "$.key1", "connector.auth_field"),
            (r#"{"auth_type": "HeaderKey", "api_key": "k", "key3": "k"}"#, "$.key3", "json.unknown_field"),
            (r#"{"auth_type": "HeaderKey", "api_key": "k", "api_key": "k"}"#, "$.api_key", "json.duplicate_field"),
            (r#"{"auth_type": "NoKey", "api_key": "k"}"#, "$.api_key", "connector.auth_field"),
            (r#"{"auth_type": "CurrencyAuthKey", "auth_key_map": {}}"#, "$.auth_key_map", "connector.no_currency"),
            (
                r#"{"auth_type": "CurrencyAuthKey", "auth_key_map": {"usd": {"k": "k"}}}"#,
                "$.auth_key_map.usd",
                "currency.unknown",
            ),
            (
                r#"{"auth_type": "CurrencyAuthKey", "auth_key_map": {"USD": "k"}}"#,
                "$.auth_key_map.USD",
                "json.wrong_type",
            ),
            (
                r#"{"auth_type": "CurrencyAuthKey", "auth_key_map": {"USD": {}}}"#,
                "$.auth_key_map.USD",
                "connector.blank_credential",
            ),
            (
                r#"{"auth_type": "CurrencyAuthKey", "auth_key_map": {"USD": {"k": "k"}, "USD": {"k": "k"}}}"#,
                "$.auth_key_map.USD",
                "json.duplicate_field",
            ),
            (r#""sk_live_123""#, "$", "json.wrong_type"),
        ] {
            assert_eq!(refused(auth), (path.to_owned(), code.to_owned()), "{auth}");
        }
    }

    #[test]
    fn no_refusal_repeats_a_credential() {
        for auth in [
            r#""hunter22""#,
            r#"{"auth_type": "hunter22"}"#,
            r#"{"auth_type": "HeaderKey", "api_key": ["hunter22"]}"#,
            r#"{"auth_type": "NoKey", "api_key": "hunter22"}"#,
            r#"{"auth_type": "CurrencyAuthKey", "auth_key_map": {"USD": "hunter22"}}"#,
            r#"{"auth_type": "HeaderKey", "api_key": "hunter22"#,
        ] {
            let fault = read(auth).unwrap_err();
            assert!(!format!("{fault} {fault:?}").contains("hunter22"), "{fault}");
        }
    }

    #[test]
    fn both_sides_of_the_longest_credential() {
        let key = |length: usize| ConnectorAuth::HeaderKey { api_key: "k".repeat(length).into() };
        assert_eq!(key(MAX_CREDENTIAL).check(), Ok(()));
        let fault = key(MAX_CREDENTIAL + 1).check().unwrap_err();
        assert_eq!((fault.path(), fault.code()), ("api_key", "connector.long_credential"));
    }

    #[test]
    fn bytes_that_are_no_credentials_are_refused_without_repeating_them() {
        for bytes in ["", "{}", r#"{"auth_type":"HeaderKey","api_key":"hunter22","#, r#""hunter22""#] {
            let fault = ConnectorAuth::from_plaintext(bytes.as_bytes()).unwrap_err();
            assert_eq!(fault, Fault::new("connector.bad_plaintext", "is not what was sealed"));
        }
    }
}
