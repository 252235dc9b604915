//! One field of an update: absent keeps, null clears, a value replaces.

use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::error::Fault;

/// What an update says of one field.
///
/// In JSON an absent field keeps, `null` clears, and a value replaces. Clearing a nullable field makes it null;
/// clearing a field that has a default returns it to that default; any other field refuses null.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// The field stays as it is.
    #[default]
    Keep,
    /// The field becomes null, or its default.
    Clear,
    /// The field becomes this.
    Set(T),
}

impl<T> Patch<T> {
    /// Whether the field stays as it is.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The value that is to be set, if any.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    /// Applies the patch to a nullable field.
    pub fn apply_to(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }

    /// Applies the patch to a field that always has a value and returns to `default` when cleared.
    pub fn apply_or(self, field: &mut T, default: T) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = default,
            Self::Set(value) => *field = value,
        }
    }

    /// Applies the patch to a field that always has a value and cannot be cleared.
    ///
    /// # Errors
    ///
    /// `field.not_nullable`, with the field's path, if the patch clears.
    pub fn apply_required(self, path: &str, field: &mut T) -> Result<(), Fault> {
        match self {
            Self::Keep => Ok(()),
            Self::Clear => Err(Fault::new("field.not_nullable", "must not be null").at(path)),
            Self::Set(value) => {
                *field = value;
                Ok(())
            }
        }
    }
}

impl<T> Patch<T> {
    /// What the patch says of a secret, for the request that it is part of: `write` tells the value's bytes.
    pub(crate) fn secret(&self, write: impl FnOnce(&T) -> Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Keep => Zeroizing::new(Vec::new()),
            Self::Clear => Zeroizing::new(vec![0]),
            Self::Set(value) => {
                let value = write(value);
                let mut bytes = Zeroizing::new(Vec::with_capacity(value.len().saturating_add(1)));
                bytes.push(1);
                bytes.extend_from_slice(&value);
                bytes
            }
        }
    }
}

/// Null or the value. What is kept is left out by `#[serde(skip_serializing_if = "Patch::is_keep")]`, and is an error
/// without.
impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep => Err(S::Error::custom("a field that is kept is left out")),
            Self::Clear => serializer.serialize_none(),
            Self::Set(value) => value.serialize(serializer),
        }
    }
}

impl<T> From<T> for Patch<T> {
    fn from(value: T) -> Self {
        Self::Set(value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Serde calls this only for a field that is there; `#[serde(default)]` on the struct answers for one that is not.
        Ok(Option::<T>::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Update {
        #[serde(skip_serializing_if = "Patch::is_keep")]
        field: Patch<u32>,
    }

    #[test]
    fn absent_keeps_null_clears_and_a_value_replaces() {
        let read = |text| serde_json::from_str::<Update>(text).unwrap().field;
        assert_eq!(read("{}"), Patch::Keep);
        assert_eq!(read(r#"{"field": null}"#), Patch::Clear);
        assert_eq!(read(r#"{"field": 3}"#), Patch::Set(3));
    }

    #[test]
    fn what_was_read_is_written_as_it_was_read() {
        for text in ["{}", r#"{"field":null}"#, r#"{"field":3}"#] {
            let update: Update = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&update).unwrap(), text);
        }
        assert!(serde_json::to_string(&Patch::<u32>::Keep).is_err());
    }

    #[test]
    fn a_secret_that_is_kept_cleared_or_set_is_told_apart() {
        let bytes = |patch: Patch<Vec<u8>>| patch.secret(|value| Zeroizing::new(value.clone())).to_vec();
        let told = [Patch::Keep, Patch::Clear, Patch::Set(vec![]), Patch::Set(vec![0]), Patch::Set(vec![1])].map(bytes);
        for (at, one) in told.iter().enumerate() {
            assert!(!told[..at].contains(one), "{told:?}");
        }
    }

    #[test]
    fn clearing_returns_a_field_to_null_or_to_its_default() {
        let mut nullable = Some(1);
        Patch::Clear.apply_to(&mut nullable);
        assert_eq!(nullable, None);
        let mut defaulted = 1;
        Patch::Clear.apply_or(&mut defaulted, 900);
        assert_eq!(defaulted, 900);
    }
}
