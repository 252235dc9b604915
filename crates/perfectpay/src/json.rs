//! JSON in: bodies of the contract become typed values, or a [`Fault`] with the path of what is wrong.

use std::fmt;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{DeserializeOwned, Visitor};

use crate::error::{Error, Fault};
use crate::strict::Strict;

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
/// [`Error::Invalid`]; its codes are `json.too_large`, `json.too_deep`, `json.malformed`, `json.unknown_field`, `json.missing_field`,
/// `json.duplicate_field`, `json.unknown_variant`, `json.wrong_type`, and those of the field types.
pub fn from_slice<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    if body.len() > MAX_BODY {
        return Err(Fault::new("json.too_large", "must be at most 32 KiB").into());
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(Strict(&mut deserializer)).map_err(|e| {
        let fault = fault(e.path().to_string().as_str(), e.inner());
        if fault.code() == "json.malformed" { well_formed(body, fault, e.inner()) } else { fault }
    })?;
    deserializer.end().map_err(|e| fault(".", &e))?;
    Ok(value)
}

/// Reads a request body that is JSON already. See [`from_slice`], whose limit of size does not apply.
///
/// # Errors
///
/// As [`from_slice`].
pub fn from_value<T: DeserializeOwned>(body: serde_json::Value) -> Result<T, Error> {
    serde_path_to_error::deserialize(Strict(body)).map_err(|e| fault(e.path().to_string().as_str(), e.inner()).into())
}

/// Syntax is also what `serde_json` calls a value of the wrong type where a word of an enumeration is asked for, and JSON
/// that is deeper than it reads. Neither is malformed.
fn well_formed(body: &[u8], fault: Fault, error: &serde_json::Error) -> Fault {
    let path = fault.path().to_owned();
    if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err() {
        // A body that ends within a name of a field leaves its path at a question mark.
        let path = path.strip_suffix('?').map_or(path.as_str(), |path| path.trim_end_matches('.'));
        return fault.at(path);
    }
    let fault = if error.to_string().starts_with("recursion limit") {
        Fault::new("json.too_deep", "is nested too deeply")
    } else {
        Fault::new("json.wrong_type", "must be of another type")
    };
    fault.at(path)
}

/// What serde expected, in the words of JSON rather than of Rust.
fn in_words(expected: &str) -> &str {
    match expected {
        "a map" => "an object",
        "a sequence" => "an array",
        "a boolean" => "true or false",
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" => "a whole number",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

/// A path as it may be shown: names of fields come from the caller, who may hide line ends and escapes in them.
fn shown(path: &str) -> String {
    let plain = path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut shown: String = plain.clone().take(MAX_PATH).collect();
    if plain.count() > MAX_PATH {
        shown.push('…');
    }
    shown
}

/// The longest path that an error shows, in characters.
const MAX_PATH: usize = 256;

/// What serde says, without what it repeats of the input: its messages quote values, which may be secrets.
fn fault(path: &str, error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    let quoted = |prefix: &str| message.strip_prefix(prefix).and_then(|rest| rest.split('`').next());
    let (field, fault) = if let Some(field) = quoted("unknown field `") {
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
        (None, Fault::new("json.wrong_type", format!("must be {}", in_words(expected))))
    // Only now: the messages above quote the input, which could hold the marks of one of ours.
    } else if let Some(fault) = carried(&message) {
        (None, fault)
    } else {
        let place = format!("is not valid JSON at line {}, column {}", error.line(), error.column());
        (None, Fault::new("json.malformed", place))
    };
    let path = if path == "." { String::new() } else { shown(path) };
    let path = path.as_str();
    let field = field.map(shown);
    match field.as_deref() {
        // Where the field was met its name already ends the path; a missing one is not met.
        Some(field) if path == field || path.ends_with(&format!(".{field}")) => fault.at(path),
        Some(field) if path.is_empty() => fault.at(field),
        Some(field) => fault.at(format!("{path}.{field}")),
        None => {
            let path = join(path, fault.path());
            fault.at(path)
        }
    }
}

/// The fault that one of our own types wrote into a serde message.
fn carried(message: &str) -> Option<Fault> {
    let (text, rest) = message.split_once(" [[")?;
    // From the back: a path may itself end in a bracket.
    let (mark, _) = rest.rsplit_once("]]")?;
    let (code, path) = mark.split_once('|')?;
    Some(Fault::new(code.to_owned(), text.to_owned()).at(path))
}

/// The path of `inner`, which counts from `outer`.
pub(crate) fn join(outer: &str, inner: &str) -> String {
    let dot = if outer.is_empty() || inner.is_empty() || inner.starts_with('[') { "" } else { "." };
    format!("{outer}{dot}{inner}")
}

/// Hands a fault through serde, whose errors are text; [`fault`] takes it apart again. The fault's own path counts from
/// the value that is being read.
pub(crate) fn refuse<E: serde::de::Error>(fault: &Fault) -> E {
    E::custom(Marked(fault.clone()))
}

/// A fault as the error of a `#[serde(try_from = …)]`, which serde turns into text by itself.
pub(crate) struct Marked(Fault);

impl From<Fault> for Marked {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [[{}|{}]]", self.0.message(), self.0.code(), self.0.path())
    }
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug)]
    struct Pair;

    impl<'de> Deserialize<'de> for Pair {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let path = String::deserialize(deserializer)?;
            Err(refuse(&Fault::new("pair.odd", "must be even").at(path)))
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its errors are looked at")]
    struct Body {
        pairs: Vec<Pair>,
    }

    fn path_and_code(body: &str) -> (String, String) {
        match from_slice::<Body>(body.as_bytes()) {
            Err(Error::Invalid(fault)) => (fault.path().to_owned(), fault.code().to_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_fault_within_a_value_lengthens_the_path_to_it() {
        for (inner, path) in
            [("", "pairs[0]"), ("left", "pairs[0].left"), ("[3]", "pairs[0][3]"), ("[3].x", "pairs[0][3].x")]
        {
            let body = format!(r#"{{"pairs": ["{inner}"]}}"#);
            assert_eq!(path_and_code(&body), (path.to_owned(), "pair.odd".to_owned()));
        }
    }

    #[test]
    fn json_that_is_well_formed_is_not_called_malformed() {
        #[derive(Debug, Deserialize)]
        enum Word {
            One,
        }

        #[derive(Debug, Deserialize)]
        struct Words {
            #[allow(dead_code, reason = "only its errors are looked at")]
            words: Vec<Word>,
        }

        let told = |body: &str| match from_slice::<Words>(body.as_bytes()) {
            Err(Error::Invalid(fault)) => (fault.path().to_owned(), fault.code().to_owned()),
            other => panic!("{other:?}"),
        };
        for value in ["null", "7", "[]", "true"] {
            let body = format!(r#"{{"words": ["One", {value}]}}"#);
            assert_eq!(told(&body), ("words[1]".to_owned(), "json.wrong_type".to_owned()), "{body}");
        }
        for (body, path) in
            [("", ""), ("{", ""), (r#"{"words": ["One", }"#, "words[1]"), (r#"{"words": [nul"#, "words[0]")]
        {
            assert_eq!(told(body), (path.to_owned(), "json.malformed".to_owned()), "{body}");
        }
    }

    #[test]
    fn a_body_cannot_forge_a_fault_of_ours() {
        assert_eq!(path_and_code(r#"{"a [[forged|]]": 1}"#).1, "json.unknown_field");
        assert_eq!(path_and_code(r#"{"pairs": "a [[forged|]]"}"#).1, "json.wrong_type");
    }
}
