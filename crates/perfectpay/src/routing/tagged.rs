//! Objects that say by their `type` what stands beside it, read so that the path of what is wrong inside is kept.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::{Error, Fault};
use crate::json;

/// A value of `{"type": …, CONTENT: …}`. An enumeration that derives this would be buffered by serde, and the buffer
/// would lose the path of what is wrong in it.
pub(super) trait Tagged: Sized {
    /// The words that `type` takes.
    type Kind: DeserializeOwned;
    /// What is expected, for an error.
    const EXPECTED: &'static str;
    /// The names of both members; the first is `type`.
    const MEMBERS: &'static [&'static str; 2];

    /// Reads what stands beside the kind.
    fn read<'de, A: MapAccess<'de>>(kind: Self::Kind, content: Content<'_, A>) -> Result<Self, A::Error>;
}

/// What stands beside the `type`: still to be read, or read before its kind was known.
pub(super) enum Content<'a, A> {
    Ahead(&'a mut A),
    Behind(&'static str, Value),
}

impl<'de, A: MapAccess<'de>> Content<'_, A> {
    /// Reads it as what the kind says that it is.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, A::Error> {
        match self {
            Self::Ahead(map) => map.next_value(),
            Self::Behind(member, value) => json::from_value(value).map_err(|error| match error {
                Error::Invalid(fault) => json::refuse(&fault.clone().at(json::join(member, fault.path()))),
                other => A::Error::custom(other),
            }),
        }
    }
}

/// Reads a [`Tagged`] value, its members in either order.
pub(super) fn tagged<'de, D: Deserializer<'de>, T: Tagged>(deserializer: D) -> Result<T, D::Error> {
    struct Members<T>(PhantomData<T>);

    impl<'de, T: Tagged> Visitor<'de> for Members<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(T::EXPECTED)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
            let [tag, content] = T::MEMBERS;
            let (mut kind, mut early, mut read) = (None, None, None);
            while let Some(name) = map.next_key::<String>()? {
                let twice = if name == *tag { kind.is_some() } else { early.is_some() };
                let done = read.is_some();
                if name == *tag && !twice && !done {
                    kind = Some(map.next_value()?);
                } else if name == *content && !twice && !done {
                    match kind.take() {
                        Some(known) => read = Some(T::read(known, Content::Ahead(&mut map))?),
                        None => early = Some(map.next_value::<Buffered>()?.0),
                    }
                } else if T::MEMBERS.contains(&name.as_str()) {
                    return Err(refused("json.duplicate_field", "is given twice", &name));
                } else {
                    return Err(refused("json.unknown_field", "is not a known field", &name));
                }
            }
            match (read, kind, early) {
                (Some(read), _, _) => Ok(read),
                (None, Some(kind), Some(early)) => T::read(kind, Content::<A>::Behind(content, early)),
                (None, None, _) => Err(refused("json.missing_field", "is required", tag)),
                (None, Some(_), None) => Err(refused("json.missing_field", "is required", content)),
            }
        }
    }

    deserializer.deserialize_struct("tagged", T::MEMBERS, Members(PhantomData))
}

/// A fault of one member. serde's own errors say a name and no path, and the name may be that of the object around it.
fn refused<E: serde::de::Error>(code: &'static str, message: &'static str, member: &str) -> E {
    json::refuse(&Fault::new(code, message).at(member))
}

/// JSON that is kept until its kind is known. A member that is given twice is refused, as it is everywhere.
struct Buffered(Value);

impl<'de> Deserialize<'de> for Buffered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Buffered;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Buffered, E> {
                Ok(Buffered(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Buffered, E> {
                Ok(Buffered(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Buffered, E> {
                Ok(Buffered(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Buffered, E> {
                Ok(Buffered(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Buffered, E> {
                Ok(Buffered(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Buffered, E> {
                Ok(Buffered(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Buffered, A::Error> {
                let mut items = Vec::new();
                while let Some(Buffered(item)) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Buffered(items.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Buffered, A::Error> {
                let mut members = Map::new();
                while let Some((name, Buffered(value))) = map.next_entry::<String, Buffered>()? {
                    if members.insert(name.clone(), value).is_some() {
                        return Err(refused("json.duplicate_field", "is given twice", &name));
                    }
                }
                Ok(Buffered(members.into()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
