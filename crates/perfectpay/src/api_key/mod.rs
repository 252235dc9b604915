//! API keys: tokens that prove who calls.
//!
//! A token is shown once, when its key is created. What is kept is its digest under a pepper that the host's master key
//! gives, and its first characters, by which people recognise it. Nothing leads from them back to the token.

mod access;
mod filter;
mod token;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::access::{Access, Network, Networks, Profiles, Resource, Right, Scopes, Touch};
pub use self::filter::{KeyFilter, KeyUse};
pub(crate) use self::token::random_text;
pub use self::token::{Environment, TOKEN_PATTERN, Token};
use crate::error::{EntityKind, Fault};
use crate::id::{ApiKeyId, MerchantId};
use crate::patch::Patch;
use crate::seal::{KeyId, Sealed};
use crate::secret::{Disclosed, Request};
use crate::stored::{State, Stored};
use crate::text::{Name, Text};
use crate::time::Timestamp;

/// When a key ends: in JSON the word `never` or a moment. At that very moment it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expiration {
    /// It does not end by itself.
    Never,
    /// It ends then. The past is accepted: such a key never authenticates.
    At(Timestamp),
}

impl From<Option<Timestamp>> for Expiration {
    fn from(moment: Option<Timestamp>) -> Self {
        moment.map_or(Self::Never, Self::At)
    }
}

impl From<Expiration> for Option<Timestamp> {
    fn from(expiration: Expiration) -> Self {
        match expiration {
            Expiration::Never => None,
            Expiration::At(moment) => Some(moment),
        }
    }
}

impl FromStr for Expiration {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = |_| Fault::new("expiration.malformed", "must be `never` or an ISO 8601 date and time with a zone");
        if text == "never" { Ok(Self::Never) } else { text.parse().map(Self::At).map_err(fault) }
    }
}

impl fmt::Display for Expiration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::At(moment) => moment.fmt(f),
        }
    }
}

impl Serialize for Expiration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Expiration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// What a merchant account asks of the ends of its keys. The default asks nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct KeyPolicy {
    /// For how many seconds after its creation a key may live; null for ever.
    pub max_lifetime_seconds: Option<u32>,
    /// Whether an end in the past, or now, is refused.
    pub refuse_past: bool,
}

impl Request for KeyPolicy {}

impl KeyPolicy {
    /// Whether a key that was created then may end so.
    ///
    /// # Errors
    ///
    /// `expiration.past` and `expiration.too_late`, at `expiration`.
    pub fn check(&self, ends: Expiration, created: Timestamp, now: Timestamp) -> Result<(), Fault> {
        let fault = |code, message| Err(Fault::new(code, message).at("expiration"));
        match (ends, self.latest(created)) {
            (Expiration::At(end), _) if self.refuse_past && end <= now => {
                fault("expiration.past", "must be in the future")
            }
            (Expiration::Never, Some(_)) => fault("expiration.too_late", "must end within the time that keys may live"),
            (Expiration::At(end), Some(latest)) if end > latest => {
                fault("expiration.too_late", "must end within the time that keys may live")
            }
            _ => Ok(()),
        }
    }

    /// When a key that was created then ends at the latest.
    pub(crate) fn latest(&self, created: Timestamp) -> Option<Timestamp> {
        self.max_lifetime_seconds.map(|seconds| created.plus_seconds(seconds))
    }
}

/// The body that creates an API key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// What people call it; not unique.
    pub name: Name,
    /// What it is for; up to 256 characters.
    #[serde(default)]
    pub description: Option<Text<256>>,
    /// When it ends.
    pub expiration: Expiration,
    /// What it may do. Absent is what its maker may: everything, if that is the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
    /// Which profiles it is for, see [`Access::profile_ids`]. Absent is those of its maker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_ids: Option<Profiles>,
    /// From which networks it is accepted. Absent is those of its maker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Networks>,
}

impl NewApiKey {
    /// A key that may do everything.
    pub fn new(name: Name, expiration: Expiration) -> Self {
        Self { name, description: None, expiration, scopes: None, profile_ids: None, networks: None }
    }

    /// The access that the key gets, if its maker has `own`.
    pub(crate) fn access(&self, own: &Access) -> Access {
        Access {
            scopes: self.scopes.unwrap_or(own.scopes),
            profile_ids: self.profile_ids.clone().or_else(|| own.profile_ids.clone()),
            networks: self.networks.clone().or_else(|| own.networks.clone()),
        }
    }
}

impl Request for NewApiKey {}

/// The body that updates an API key: absent keeps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ApiKeyUpdate {
    /// The name; null is refused.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub name: Patch<Name>,
    /// The description.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub description: Patch<Text<256>>,
    /// When it ends; null is refused, `never` clears. A key that has ended may be given a later end.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub expiration: Patch<Expiration>,
    /// What it may do; null is everything.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub scopes: Patch<Scopes>,
    /// Which profiles it is for; null is all.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub profile_ids: Patch<Profiles>,
    /// From which networks it is accepted; null is anywhere.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub networks: Patch<Networks>,
}

impl Request for ApiKeyUpdate {}

/// The digest of a token, and the pepper it was made under.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDigest {
    /// Which master key the pepper comes from.
    pub pepper: KeyId,
    /// HMAC-SHA-256 of the token under the pepper.
    #[serde(with = "hex")]
    pub digest: [u8; 32],
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenDigest").field("pepper", &self.pepper).finish_non_exhaustive()
    }
}

mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::HEXLOWER.encode(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let bytes = data_encoding::HEXLOWER.decode(String::deserialize(deserializer)?.as_bytes());
        let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| D::Error::custom("a digest has 64 hexadecimal digits"))
    }
}

/// What is kept of an API key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiKeyState {
    /// What people call it.
    pub name: Name,
    /// What it is for.
    pub description: Option<Text<256>>,
    /// The digest; gone once the key is revoked.
    pub digest: Option<TokenDigest>,
    /// The first 12 characters of the token.
    pub prefix: String,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// What it may do, where, and from where.
    pub access: Access,
    /// The key that it took the place of.
    pub predecessor: Option<ApiKeyId>,
    /// The key that took its place.
    pub successor: Option<ApiKeyId>,
    /// When it was last used, coarsely. Kept beside the record: marking a use makes no version, and an update leaves the
    /// mark as it is. Not part of the JSON.
    #[serde(skip)]
    pub last_used: Option<Timestamp>,
}

impl State for ApiKeyState {
    const KIND: EntityKind = EntityKind::ApiKey;
    type Id = ApiKeyId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self {
            name: _,
            description: _,
            digest: _,
            prefix: _,
            expires_at: _,
            revoked_at: _,
            access: _,
            predecessor: _,
            successor: _,
            last_used: _,
        } = self;
        Vec::new()
    }
}

impl ApiKeyState {
    /// A new key.
    pub(crate) fn new(new: NewApiKey, access: Access, token: &Token, digest: TokenDigest) -> Self {
        Self {
            name: new.name,
            description: new.description,
            digest: Some(digest),
            prefix: token.prefix().to_owned(),
            expires_at: new.expiration.into(),
            revoked_at: None,
            access,
            predecessor: None,
            successor: None,
            last_used: None,
        }
    }

    /// The two states after a rotation: this key's, which ends with the grace at the latest, and that of the one that takes
    /// its place and ends as this one did, or at `latest`.
    pub(crate) fn rotated(
        &self,
        own: &ApiKeyId,
        next: (&ApiKeyId, &Token, TokenDigest),
        end: Timestamp,
        latest: Option<Timestamp>,
    ) -> (Self, Self) {
        let (id, token, digest) = next;
        let ends = self.expires_at.map_or(end, |expiry| expiry.min(end));
        let expires_at = match (self.expires_at, latest) {
            (Some(expiry), Some(latest)) => Some(expiry.min(latest)),
            (expiry, latest) => expiry.or(latest),
        };
        let old = Self { expires_at: Some(ends), successor: Some(id.clone()), ..self.clone() };
        let new = Self {
            digest: Some(digest),
            prefix: token.prefix().to_owned(),
            expires_at,
            predecessor: Some(own.clone()),
            successor: None,
            last_used: None,
            ..self.clone()
        };
        (old, new)
    }

    /// The state after an update.
    ///
    /// # Errors
    ///
    /// `field.not_nullable` where null is refused.
    pub(crate) fn updated(&self, update: ApiKeyUpdate) -> Result<Self, Fault> {
        let mut state = self.clone();
        update.name.apply_required("name", &mut state.name)?;
        update.description.apply_to(&mut state.description);
        let mut expiration = Expiration::from(self.expires_at);
        update.expiration.apply_required("expiration", &mut expiration)?;
        state.expires_at = expiration.into();
        update.scopes.apply_or(&mut state.access.scopes, Scopes::ALL);
        update.profile_ids.apply_to(&mut state.access.profile_ids);
        update.networks.apply_to(&mut state.access.networks);
        Ok(state)
    }

    /// The state after it was revoked.
    pub(crate) fn revoked(&self, now: Timestamp) -> Self {
        Self { digest: None, revoked_at: Some(now), ..self.clone() }
    }

    /// Whether the key has ended by now.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// An API key as it is answered, without its token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApiKey {
    /// The id.
    pub key_id: ApiKeyId,
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// What people call it.
    pub name: Name,
    /// What it is for.
    pub description: Option<Text<256>>,
    /// The first 12 characters of the token.
    pub prefix: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it ends.
    pub expiration: Expiration,
    /// When it was revoked; null while it lives. Not published: there a revoked key is not listed.
    pub revoked: Option<Timestamp>,
    /// When it was last accepted, to the hour, as far as [`maintain`](crate::PerfectPay::maintain) has written it down.
    /// In JSON only where it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used: Option<Timestamp>,
    /// What it may do, where, and from where. In JSON only what is restricted.
    #[serde(flatten)]
    pub access: Access,
    /// The key that it took the place of. In JSON only where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub predecessor: Option<ApiKeyId>,
    /// The key that took its place. In JSON only where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub successor: Option<ApiKeyId>,
    /// The version, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

impl ApiKey {
    /// The key as it is answered.
    pub(crate) fn view(row: Stored<ApiKeyState>, merchant_id: MerchantId) -> Self {
        Self {
            key_id: row.id,
            merchant_id,
            name: row.state.name,
            description: row.state.description,
            prefix: row.state.prefix,
            created: row.created_at,
            expiration: row.state.expires_at.into(),
            revoked: row.state.revoked_at,
            last_used: row.state.last_used,
            access: row.state.access,
            predecessor: row.state.predecessor,
            successor: row.state.successor,
            version: row.version,
        }
    }
}

/// The answer to creating an API key: the only one that shows the token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IssuedApiKey {
    /// The id.
    pub key_id: ApiKeyId,
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// What people call it.
    pub name: Name,
    /// What it is for.
    pub description: Option<Text<256>>,
    /// The token. Left out when the answer is [`Self::replayed`]: it is not kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api_key: Option<Disclosed>,
    /// When it was created.
    pub created: Timestamp,
    /// When it ends.
    pub expiration: Expiration,
    /// What it may do, where, and from where. In JSON only what is restricted.
    #[serde(flatten)]
    pub access: Access,
    /// The key that it takes the place of. In JSON only where it was made by a rotation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub predecessor: Option<ApiKeyId>,
    /// Whether the key was created by an earlier call with the same idempotency key. In JSON only where it was.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub replayed: bool,
}

impl IssuedApiKey {
    /// The answer without the token: the one that is kept for a repetition.
    pub(crate) fn kept(row: Stored<ApiKeyState>, merchant_id: MerchantId) -> Self {
        Self {
            key_id: row.id,
            merchant_id,
            name: row.state.name,
            description: row.state.description,
            api_key: None,
            created: row.created_at,
            expiration: row.state.expires_at.into(),
            access: row.state.access,
            predecessor: row.state.predecessor,
            replayed: true,
        }
    }
}

/// The answer to revoking an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RevokedApiKey {
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// The key.
    pub key_id: ApiKeyId,
    /// True.
    pub revoked: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiration_is_never_or_a_moment_with_a_zone() {
        assert_eq!("never".parse::<Expiration>().unwrap(), Expiration::Never);
        assert_eq!("2027-01-01T00:00:00Z".parse::<Expiration>().unwrap().to_string(), "2027-01-01T00:00:00.000Z");
        for bad in ["Never", "", "2027-01-01", "tomorrow"] {
            assert_eq!(bad.parse::<Expiration>().unwrap_err().code(), "expiration.malformed");
        }
    }

    #[test]
    fn a_missing_or_null_expiration_is_refused_at_creation() {
        for body in [r#"{"name": "k"}"#, r#"{"name": "k", "expiration": null}"#] {
            let error = crate::json::from_slice::<NewApiKey>(body.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("`expiration`: "), "{error}");
        }
    }
}
