//! API keys.
use crate::error::EntityKind;
use crate::id::ApiKeyId;
use crate::seal::KeyId;
use crate::store::State;
use crate::text::{Name, Text};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The digest of a key's token, and the pepper it was made under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDigest {
    /// Which master key the pepper comes from.
    pub pepper: KeyId,
    /// HMAC-SHA-256 of the token.
    #[serde(with = "hex")]
    pub digest: [u8; 32],
}
mod hex {
    use serde::{Deserializer, Serializer};
    pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::HEXLOWER.encode(digest))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text: String = serde::Deserialize::deserialize(deserializer)?;
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        bytes.try_into().map_err(|_| serde::de::Error::custom("a digest has 32 bytes"))
    }
}
/// What is kept of an API key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiKeyState {
    /// The name.
    pub name: Name,
    /// The description.
    pub description: Option<Text<256>>,
    /// The digest.
    pub digest: Option<TokenDigest>,
    /// The first characters of the token.
    pub prefix: String,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}
impl State for ApiKeyState {
    const KIND: EntityKind = EntityKind::ApiKey;
    type Id = ApiKeyId;
}
