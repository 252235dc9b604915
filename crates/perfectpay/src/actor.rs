//! Who did it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Fault;
use crate::id::ApiKeyId;
use crate::text::Text;

/// Who made a commit. Its text is `host`, `operator:{name}` or `key:{key_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Actor {
    /// The host, without saying for whom.
    #[default]
    Host,
    /// A person or a system that the host names.
    Operator(Text<128>),
    /// The holder of an API key.
    ApiKey(ApiKeyId),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Operator(name) => write!(f, "operator:{name}"),
            Self::ApiKey(id) => write!(f, "key:{id}"),
        }
    }
}

impl FromStr for Actor {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        match text.split_once(':') {
            None if text == "host" => Ok(Self::Host),
            Some(("operator", name)) => name.parse().map(Self::Operator),
            Some(("key", id)) => id.parse().map(Self::ApiKey),
            _ => Err(Fault::new("actor.malformed", "must be `host`, `operator:…` or `key:…`")),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}
