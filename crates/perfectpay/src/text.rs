//! Free text and free objects, bounded.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;

use crate::error::Fault;

/// Text of 1 to `MAX` characters in Unicode normalization form C.
///
/// Control characters, zero-width characters and bidirectional overrides are refused: they make two texts look alike
/// or one text look like another. White space around it is cut off. Two texts are equal when their characters are.
///
/// ```
/// use perfectpay::Text;
///
/// let name: Text<64> = " Café ".parse()?;
/// assert_eq!(name.as_str(), "Café");
/// assert_eq!("".parse::<Text<64>>().unwrap_err().code(), "text.empty");
/// assert_eq!("four".parse::<Text<3>>().unwrap_err().code(), "text.too_long");
/// assert_eq!("a\u{202e}b".parse::<Text<64>>().unwrap_err().code(), "text.bad_character");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(Box<str>);

/// A name of a profile, a key or a seller: up to 64 characters.
pub type Name = Text<64>;

impl<const MAX: usize> Text<MAX> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text that the library itself states: a default of the contract, which keeps the rules as it stands.
    pub(crate) fn known(text: &'static str) -> Self {
        Self(text.into())
    }
}

/// Characters that cannot be seen, or that reorder what can.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

impl<const MAX: usize> FromStr for Text<MAX> {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        // Normalising can shorten a text, by far less than this; what is longer is not even looked at.
        if text.len() > MAX.saturating_mul(16) {
            return Err(Fault::new("text.too_long", format!("must be at most {MAX} characters")));
        }
        let text = text.trim();
        // ASCII is in normal form as it is.
        let text: String = if text.is_ascii() { text.to_owned() } else { text.nfc().collect() };
        if text.is_empty() {
            return Err(Fault::new("text.empty", "must not be empty"));
        }
        if text.chars().count() > MAX {
            return Err(Fault::new("text.too_long", format!("must be at most {MAX} characters")));
        }
        if text.chars().any(is_hidden) {
            return Err(Fault::new("text.bad_character", "must not contain control or invisible characters"));
        }
        Ok(Self(text.into()))
    }
}

impl<const MAX: usize> TryFrom<&str> for Text<MAX> {
    type Error = Fault;

    fn try_from(text: &str) -> Result<Self, Fault> {
        text.parse()
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// A JSON object that the library keeps and does not read: at most 16 KiB as text, and at most [`MAX_DEPTH`] objects and
/// lists within each other, itself included.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Object(Map<String, Value>);

/// The most bytes that an [`Object`] takes as JSON text.
pub const MAX_OBJECT: usize = 16 * 1024;

/// How many objects and lists may be within each other in an [`Object`]. A reader of JSON gives up at 128; a record adds
/// levels of its own to what a body had, and must be read again.
pub const MAX_DEPTH: usize = 64;

/// Whether at most `left` objects and lists are within each other, beginning with those that are here. It goes no
/// deeper than that itself.
pub(crate) fn is_within<'a>(mut values: impl Iterator<Item = &'a Value>, left: usize) -> bool {
    let Some(left) = left.checked_sub(1) else { return false };
    values.all(|value| match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Array(items) => is_within(items.iter(), left),
        Value::Object(map) => is_within(map.values(), left),
    })
}

/// The fault of an object that nests too deeply.
pub(crate) fn too_deep() -> Fault {
    Fault::new("object.too_deep", format!("must have at most {MAX_DEPTH} objects and lists within each other"))
}

impl TryFrom<Map<String, Value>> for Object {
    type Error = Fault;

    fn try_from(map: Map<String, Value>) -> Result<Self, Fault> {
        if !is_within(map.values(), MAX_DEPTH) {
            return Err(too_deep());
        }
        let size = serde_json::to_string(&map).map_or(usize::MAX, |text| text.len());
        if size > MAX_OBJECT {
            return Err(Fault::new("object.too_large", "must be at most 16 KiB of JSON"));
        }
        Ok(Self(map))
    }
}

impl Deref for Object {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        Self::try_from(map).map_err(|fault| crate::json::refuse(&fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_the_limit() {
        assert_eq!("ä".repeat(64).parse::<Name>().unwrap().chars().count(), 64);
        assert_eq!("ä".repeat(65).parse::<Name>().unwrap_err().code(), "text.too_long");
        assert_eq!("ä".repeat(64_000).parse::<Name>().unwrap_err().code(), "text.too_long");
    }

    #[test]
    fn a_composed_and_a_decomposed_name_are_one_name() {
        assert_eq!("Café".parse::<Name>().unwrap(), "Cafe\u{301}".parse::<Name>().unwrap());
    }

    #[test]
    fn characters_that_cannot_be_seen_are_refused() {
        for bad in ["a\0b", "a\nb", "a\u{200b}b", "a\u{202e}b", "a\u{feff}b", "a\u{7f}b"] {
            assert_eq!(bad.parse::<Name>().unwrap_err().code(), "text.bad_character", "{bad:?}");
        }
    }

    #[test]
    fn an_object_has_a_greatest_depth() {
        let object = |lists: usize| {
            let mut value = Value::Null;
            for _ in 0..lists {
                value = Value::Array(vec![value]);
            }
            Object::try_from(Map::from_iter([("k".to_owned(), value)]))
        };
        assert!(object(MAX_DEPTH - 1).is_ok());
        assert_eq!(object(MAX_DEPTH).unwrap_err().code(), "object.too_deep");
        assert_eq!(object(1_000).unwrap_err().code(), "object.too_deep");
    }

    #[test]
    fn an_object_has_a_limit() {
        let object = |n: usize| {
            let mut map = Map::new();
            map.insert("k".into(), Value::String("x".repeat(n)));
            Object::try_from(map)
        };
        assert!(object(MAX_OBJECT - 8).is_ok());
        assert_eq!(object(MAX_OBJECT - 7).unwrap_err().code(), "object.too_large");
    }
}
