//! JSON in: bodies of the contract become typed values, or a [`Fault`] with the path of what is wrong.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{DeserializeOwned, Visitor};

use crate::error::{Error, Fault};

/// The longest body that [`from_slice`] reads, in bytes: 32 KiB, the published limit.
pub const MAX_BODY: usize = 32 * 1024;

/// Reads a request body.
///
/// Unknown fields are refused. The error names the field by its path (`webhook_details.webhook_url`,
/// `payment_methods_enabled[0].payment_method`) and never repeats a value from the body.
///
/// ```
/// use perfectpay::{NewOrganization, json};
///
/// let error = json::from_slice::<NewOrganization>(br#"{"organisation_name": "Acme"}"#).unwrap_err();
/// assert_eq!(error.to_string(), "`organisation_name`: is not a known field");
/// assert_eq!(error.code(), "json.unknown_field");
/// ```
///
/// # Errors
///
/// [`Error::Invalid`]; its codes are `json.too_large`, `json.malformed`, `json.unknown_field`, `json.missing_field`,
/// `json.duplicate_field`, `json.unknown_variant`, `json.wrong_type`, and those of the field types.
pub fn from_slice<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    if body.len() > MAX_BODY {
        return Err(Fault::new("json.too_large", "must be at most 32 KiB").into());
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|e| fault(e.path().to_string().as_str(), e.inner()))?;
    deserializer.end().map_err(|e| fault(".", &e))?;
    Ok(value)
}

/// Reads a request body that is JSON already. See [`from_slice`], whose limit of size does not apply.
///
/// # Errors
///
/// As [`from_slice`].
pub fn from_value<T: DeserializeOwned>(body: serde_json::Value) -> Result<T, Error> {
    serde_path_to_error::deserialize(body).map_err(|e| fault(e.path().to_string().as_str(), e.inner()).into())
}

/// What serde says, without what it repeats of the input: its messages quote values, which may be secrets.
fn fault(path: &str, error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    let quoted = |prefix: &str| message.strip_prefix(prefix).and_then(|rest| rest.split('`').next());
    let (field, fault) = if let Some((code, text)) = carried(&message) {
        (None, Fault::new(code, text))
    } else if let Some(field) = quoted("unknown field `") {
        (Some(field), Fault::new("json.unknown_field", "is not a known field"))
    } else if let Some(field) = quoted("missing field `") {
        (Some(field), Fault::new("json.missing_field", "is required"))
    } else if let Some(field) = quoted("duplicate field `") {
        (Some(field), Fault::new("json.duplicate_field", "is given twice"))
    } else if message.starts_with("unknown variant `") {
        let known = message.rsplit_once("expected ").map_or("", |(_, known)| known);
        let known = known.rsplit_once(" at line ").map_or(known, |(known, _)| known);
        (None, Fault::new("json.unknown_variant", format!("must be {known}")))
    } else if message.starts_with("invalid ") && error.is_data() {
        let expected = message.rsplit_once(", expected ").map_or("another type", |(_, expected)| expected);
        let expected = expected.rsplit_once(" at line ").map_or(expected, |(expected, _)| expected);
        (None, Fault::new("json.wrong_type", format!("must be {expected}")))
    } else {
        let place = format!("is not valid JSON at line {}, column {}", error.line(), error.column());
        (None, Fault::new("json.malformed", place))
    };
    let path = if path == "." { "" } else { path };
    match field {
        // Where the field was met its name already ends the path; a missing one is not met.
        Some(field) if path == field || path.ends_with(&format!(".{field}")) => fault.at(path),
        Some(field) if path.is_empty() => fault.at(field),
        Some(field) => fault.at(format!("{path}.{field}")),
        None => fault.at(path),
    }
}

/// The code and text that one of our own types wrote into a serde message.
fn carried(message: &str) -> Option<(Cow<'static, str>, String)> {
    let (text, rest) = message.split_once(" [[")?;
    let (code, _) = rest.split_once("]]")?;
    Some((Cow::Owned(code.to_owned()), text.to_owned()))
}

/// Hands a fault through serde, whose errors are text; [`fault`] takes it apart again.
pub(crate) fn refuse<E: serde::de::Error>(fault: &Fault) -> E {
    E::custom(format_args!("{} [[{}]]", fault.message(), fault.code()))
}

/// Deserialises a type that is parsed from a string, borrowing the string where the input allows it.
pub(crate) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = Fault>,
{
    struct Text<T>(std::marker::PhantomData<T>);

    impl<T: FromStr<Err = Fault>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(|fault| refuse(&fault))
        }
    }

    deserializer.deserialize_str(Text(std::marker::PhantomData))
}
