//! Identifiers: one type a kind of object, so that a profile's id cannot be passed as a connector's.
//!
//! An id is opaque and case sensitive. Those that the library makes are a prefix and 26 characters of lower-case
//! base32hex, the text of a UUIDv7, so that they sort by the time they were made. On input any length of the random
//! part is accepted: 1 to [`MAX_LENGTH`] characters of `A–Z a–z 0–9 _ -` in all, beginning with the prefix of the kind.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Fault;
use crate::time::Timestamp;

/// The longest id accepted, in characters.
pub const MAX_LENGTH: usize = 64;

/// Checks the form that every id has: 1 to 64 of `A–Z a–z 0–9 _ -`.
fn check_form(text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new("id.empty", "must not be empty"));
    }
    if text.len() > MAX_LENGTH {
        return Err(Fault::new("id.too_long", "must be at most 64 characters"));
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return Err(Fault::new("id.bad_character", "may contain only letters, digits, `_` and `-`"));
    }
    Ok(())
}

/// The 26 characters that a new id carries behind its prefix.
pub(crate) fn random_part(now: Timestamp, random: &[u8; 10]) -> String {
    let millis = u64::try_from(now.unix_millis()).unwrap_or(0);
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid();
    data_encoding::BASE32_DNSSEC.encode(uuid.as_bytes())
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $($prefix:literal)|+, $what:literal;)+) => { $(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// What an id of this kind begins with; empty where the caller chooses it freely.
            pub const PREFIXES: &'static [&'static str] = &[$($prefix),+];

            /// The id's whole text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Makes a new id: `prefix`, which the kind must have, and the text of a UUIDv7 of this
            /// moment and these random bytes.
            pub fn make(prefix: &str, now: Timestamp, random: &[u8; 10]) -> Self {
                Self(format!("{prefix}{}", random_part(now, random)).into())
            }
        }

        impl FromStr for $name {
            type Err = Fault;

            /// Parses an id.
            ///
            /// # Errors
            ///
            /// A [`Fault`] with code `id.empty`, `id.too_long`, `id.bad_character` or `id.wrong_prefix`.
            fn from_str(text: &str) -> Result<Self, Fault> {
                check_form(text)?;
                if !Self::PREFIXES.iter().any(|p| text.len() > p.len() && text.starts_with(p)) {
                    return Err(Fault::new("id.wrong_prefix", concat!("is not the id of ", $what)));
                }
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Fault;

            fn try_from(text: &str) -> Result<Self, Fault> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                crate::schema::id(Self::PREFIXES, $what)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::json::parsed(deserializer)
            }
        }
    )+ };
}

ids! {
    /// Names an organization: `org_…`.
    OrganizationId = "org_", "an organization";
    /// Names a merchant account. The caller chooses it; it is unique over the whole store while the account lives.
    MerchantId = "", "a merchant account";
    /// Names a business profile: `pro_…`.
    ProfileId = "pro_", "a business profile";
    /// Names a connector account, in the contract `merchant_connector_id`: `mca_…`.
    ConnectorId = "mca_", "a connector account";
    /// Names an API key, not its secret: `{env}_…`.
    ApiKeyId = "dev_" | "integ_" | "snd_" | "prd_", "an API key";
    /// Names a payment. The library makes `pay_…`; a caller may choose any other.
    PaymentId = "", "a payment";
    /// Names a payment link: `plink_…`.
    PaymentLinkId = "plink_", "a payment link";
    /// Names a use of a payment link: `use_…`.
    LinkUseId = "use_", "a use of a payment link";
    /// Names a routing program: `routing_…`.
    RoutingId = "routing_", "a routing program";
    /// Names an event that a webhook tells of: `evt_` and the 32 hexadecimal digits of a UUIDv7.
    EventId = "evt_", "an event";
    /// Names a decision about a payment: `dec_…`.
    DecisionId = "dec_", "a decision";
    /// Names a tenant's data key: `dk_…`.
    DataKeyId = "dk_", "a data key";
    /// Names a customer of a merchant. The caller chooses it.
    CustomerId = "", "a customer";
}

impl EventId {
    /// Makes a new id in the published form: the UUIDv7 as 32 hexadecimal digits in lower case, without dashes.
    pub fn of_moment(now: Timestamp, random: &[u8; 10]) -> Self {
        let millis = u64::try_from(now.unix_millis()).unwrap_or(0);
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid();
        Self(format!("evt_{}", uuid.simple()).into())
    }
}

/// A tenant's internal number: 16 bytes, made once, never used again.
///
/// A merchant's id can be used again after the account was removed; its incarnation cannot. Every stored row, every
/// entry of the log and every sealed value carries it, so that a new owner of an id sees nothing of the old one's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation([u8; 16]);

impl Incarnation {
    /// The tenant of what belongs to no organization: the idempotency keys of creating one.
    pub const PLATFORM: Self = Self([0; 16]);

    /// Makes a new one: a UUIDv7, so that rows of tenants made one after the other lie side by side.
    pub fn make(now: Timestamp, random: &[u8; 10]) -> Self {
        let millis = u64::try_from(now.unix_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid().into_bytes())
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The incarnation with these bytes, as a back-end reads it from a column.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

impl FromStr for Incarnation {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("incarnation.malformed", "must be 32 hexadecimal digits");
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| fault())?;
        Ok(Self(bytes.try_into().map_err(|_| fault())?))
    }
}

impl Serialize for Incarnation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Incarnation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_any_length_up_to_64_is_accepted() {
        for text in ["mca_abc123", "mca_a", &format!("mca_{}", "x".repeat(60))] {
            assert_eq!(text.parse::<ConnectorId>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_malformed_id_names_what_is_wrong_with_it() {
        let code = |text: &str| text.parse::<ProfileId>().unwrap_err().code().to_owned();
        assert_eq!(code(""), "id.empty");
        assert_eq!(code(&format!("pro_{}", "x".repeat(61))), "id.too_long");
        assert_eq!(code("pro_ä"), "id.bad_character");
        assert_eq!(code("pro_a b"), "id.bad_character");
        assert_eq!(code("mca_abc"), "id.wrong_prefix");
        assert_eq!(code("pro_"), "id.wrong_prefix");
    }

    #[test]
    fn a_made_id_is_its_prefix_and_26_characters_that_sort_by_time() {
        let at = |ms| Timestamp::from_unix_millis(ms).unwrap();
        let early = ProfileId::make("pro_", at(1_700_000_000_000), &[255; 10]);
        let late = ProfileId::make("pro_", at(1_700_000_000_001), &[0; 10]);
        assert_eq!(early.as_str().len(), 4 + 26);
        assert!(early < late);
        assert_eq!(early.as_str().parse::<ProfileId>().unwrap(), early);
    }

    #[test]
    fn the_id_of_an_event_is_a_uuid_of_version_7_in_hexadecimal() {
        let at = Timestamp::from_unix_millis(1_700_000_000_000).unwrap();
        let id = EventId::of_moment(at, &[255; 10]);
        assert_eq!(id.as_str(), "evt_018bcfe568007fffbfffffffffffffff");
        assert_eq!(id.as_str().parse::<EventId>().unwrap(), id);
    }

    #[test]
    fn an_incarnation_reads_back_from_its_text() {
        let made = Incarnation::make(Timestamp::from_unix_millis(5).unwrap(), &[7; 10]);
        assert_eq!(made.to_string().parse::<Incarnation>().unwrap(), made);
        assert!("xyz".parse::<Incarnation>().is_err());
    }
}
