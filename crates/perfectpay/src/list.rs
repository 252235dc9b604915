//! Lists and maps with a stated limit, and null for a default.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Fault;
use crate::json::refuse;

fn too_long(max: usize) -> Fault {
    Fault::new("list.too_long", format!("must have at most {max} entries"))
}

/// A list of at most `MAX` entries, in the caller's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BoundedList<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for BoundedList<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for BoundedList<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for BoundedList<T, MAX> {
    type Error = Fault;

    /// Takes the entries as they stand.
    ///
    /// # Errors
    ///
    /// `list.too_long`.
    fn try_from(entries: Vec<T>) -> Result<Self, Fault> {
        if entries.len() > MAX { Err(too_long(MAX)) } else { Ok(Self(entries)) }
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for BoundedList<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Vec::deserialize(deserializer)?).map_err(|fault| refuse(&fault))
    }
}

/// A list of at most `MAX` different entries. One given twice counts once, where it stood first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct UniqueList<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for UniqueList<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for UniqueList<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: PartialEq, const MAX: usize> TryFrom<Vec<T>> for UniqueList<T, MAX> {
    type Error = Fault;

    /// Takes the entries without their repetitions, which do not count towards the limit.
    ///
    /// # Errors
    ///
    /// `list.too_long`.
    fn try_from(entries: Vec<T>) -> Result<Self, Fault> {
        let mut unique = Vec::new();
        for entry in entries {
            if unique.contains(&entry) {
                continue;
            }
            // Checked at every step, so that a long input costs no more than its first `MAX` entries squared.
            if unique.len() == MAX {
                return Err(too_long(MAX));
            }
            unique.push(entry);
        }
        Ok(Self(unique))
    }
}

impl<'de, T: Deserialize<'de> + PartialEq, const MAX: usize> Deserialize<'de> for UniqueList<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Vec::deserialize(deserializer)?).map_err(|fault| refuse(&fault))
    }
}

/// A map of at most `MAX` keys, by ascending key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BoundedMap<K, V, const MAX: usize>(BTreeMap<K, V>);

impl<K, V, const MAX: usize> Default for BoundedMap<K, V, MAX> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K, V, const MAX: usize> Deref for BoundedMap<K, V, MAX> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &BTreeMap<K, V> {
        &self.0
    }
}

impl<K, V, const MAX: usize> TryFrom<BTreeMap<K, V>> for BoundedMap<K, V, MAX> {
    type Error = Fault;

    /// Takes the map as it stands.
    ///
    /// # Errors
    ///
    /// `map.too_long`.
    fn try_from(map: BTreeMap<K, V>) -> Result<Self, Fault> {
        if map.len() > MAX {
            return Err(Fault::new("map.too_long", format!("must have at most {MAX} keys")));
        }
        Ok(Self(map))
    }
}

impl<'de, K, V, const MAX: usize> Deserialize<'de> for BoundedMap<K, V, MAX>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = deserializer.deserialize_map(Distinct(PhantomData))?;
        Self::try_from(map).map_err(|fault| refuse(&fault))
    }
}

/// Reads a map and refuses a key that is given twice: keys are normalised, so two that look different may be one, and
/// which of them was meant cannot be known.
struct Distinct<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Distinct<K, V> {
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = access.next_entry()? {
            if map.insert(key, value).is_some() {
                return Err(refuse(&Fault::new("map.duplicate_key", "has a key twice")));
            }
        }
        Ok(map)
    }
}

/// Reads a field for which null means the same as absent: its default. Goes with `#[serde(default)]`.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::from_slice;
    use crate::text::Text;

    #[test]
    fn both_sides_of_a_lists_limit() {
        assert_eq!(&*from_slice::<BoundedList<u8, 2>>(b"[1, 1]").unwrap(), &[1, 1]);
        assert_eq!(from_slice::<BoundedList<u8, 2>>(b"[1, 1, 1]").unwrap_err().code(), "list.too_long");
    }

    #[test]
    fn what_is_given_twice_counts_once_and_keeps_its_first_place() {
        assert_eq!(&*from_slice::<UniqueList<u8, 2>>(b"[3, 1, 3, 1]").unwrap(), &[3, 1]);
        assert_eq!(from_slice::<UniqueList<u8, 2>>(b"[3, 1, 3, 2]").unwrap_err().code(), "list.too_long");
    }

    #[test]
    fn a_map_has_a_limit_and_no_key_twice_even_when_it_is_written_differently() {
        type Map = BoundedMap<Text<8>, u8, 2>;
        assert_eq!(from_slice::<Map>(br#"{"b": 1, "a": 2}"#).unwrap().len(), 2);
        assert_eq!(from_slice::<Map>(br#"{"b": 1, "a": 2, "c": 3}"#).unwrap_err().code(), "map.too_long");
        assert_eq!(from_slice::<Map>(br#"{"a": 1, " a": 2}"#).unwrap_err().code(), "map.duplicate_key");
    }
}
