//! One field of an update: absent keeps, null clears, a value replaces.

use serde::{Deserialize, Deserializer};

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

    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Update {
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
    fn clearing_returns_a_field_to_null_or_to_its_default() {
        let mut nullable = Some(1);
        Patch::Clear.apply_to(&mut nullable);
        assert_eq!(nullable, None);
        let mut defaulted = 1;
        Patch::Clear.apply_or(&mut defaulted, 900);
        assert_eq!(defaulted, 900);
    }
}
