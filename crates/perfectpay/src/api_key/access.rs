//! What a key may do, where, and from where. Pure: who asks and from which address are arguments.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strum::VariantArray as _;

use crate::error::Fault;
use crate::id::ProfileId;
use crate::list::UniqueList;

/// What a scope is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::Display, strum::EnumString, strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Resource {
    /// The merchant account itself, and reports on it.
    Merchant,
    /// Its profiles.
    Profiles,
    /// Its connector accounts.
    Connectors,
    /// Its routing programs and fallback orders.
    Routing,
    /// Its API keys.
    ApiKeys,
    /// Its blocklist, and the screening of cards.
    Blocklist,
    /// Its payments and payment links.
    Payments,
    /// Secrets in clear: credentials of connectors, and what signs and delivers webhooks.
    Secrets,
    /// Its log.
    Log,
}

/// How a resource is touched.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::Display, strum::EnumString, strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Touch {
    /// It is looked at.
    Read,
    /// It is changed.
    Write,
}

/// One right: `{resource}:{read|write}`, as in `payments:write`. To write includes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Right {
    /// What about.
    pub resource: Resource,
    /// How.
    pub touch: Touch,
}

impl Right {
    /// The right to `touch` the resource.
    pub const fn new(resource: Resource, touch: Touch) -> Self {
        Self { resource, touch }
    }

    fn bits(self) -> u32 {
        let read = 1 << (2 * self.resource as u32);
        match self.touch {
            Touch::Read => read,
            Touch::Write => read | read << 1,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.resource, self.touch)
    }
}

/// Scopes of a key: a set of rights, or `*`, everything, also what later versions add. In JSON a list of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(u32);

/// The bit of `*`.
const ALL: u32 = 1 << 31;

impl Default for Scopes {
    fn default() -> Self {
        Self::ALL
    }
}

impl Scopes {
    /// Everything: `*`.
    pub const ALL: Self = Self(u32::MAX);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Whether the right is among them.
    pub fn allow(self, right: Right) -> bool {
        self.0 & right.bits() == right.bits()
    }

    /// Whether every right of the other is among them.
    pub fn cover(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The same with a right more.
    pub fn with(self, right: Right) -> Self {
        Self(self.0 | right.bits())
    }

    /// The rights as texts, those that another one includes left out.
    fn texts(self) -> Vec<String> {
        if self.0 & ALL != 0 {
            return vec!["*".to_owned()];
        }
        let greatest = |resource: &Resource| {
            let rights = [Touch::Write, Touch::Read].map(|touch| Right::new(*resource, touch));
            rights.into_iter().find(|right| self.allow(*right)).map(|right| right.to_string())
        };
        Resource::VARIANTS.iter().filter_map(greatest).collect()
    }

    fn of_text(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::ALL);
        }
        let (resource, touch) = text.split_once(':')?;
        Some(Self::NONE.with(Right::new(resource.parse().ok()?, touch.parse().ok()?)))
    }
}

impl FromIterator<Right> for Scopes {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        rights.into_iter().fold(Self::NONE, Self::with)
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.texts().serialize(serializer)
    }
}

/// One entry of the list that is [`Scopes`] in JSON, so that an error has its place in the list.
struct ScopeText(Scopes);

impl FromStr for ScopeText {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("scope.unknown", "must be `*` or a resource with `:read` or `:write`");
        Scopes::of_text(text).map(Self).ok_or_else(fault)
    }
}

impl<'de> Deserialize<'de> for ScopeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = crate::list::BoundedList::<ScopeText, 64>::deserialize(deserializer)?;
        Ok(Self(texts.iter().fold(0, |bits, text| bits | text.0.0)))
    }
}

/// A network of IP addresses: `203.0.113.0/24`, `2001:db8::/32`, or one address. What lies behind the prefix is cut off.
/// IPv4 within IPv6 (`::ffff:203.0.113.7`) counts as IPv4, of networks as of peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address is in it.
    pub fn contains(&self, peer: IpAddr) -> bool {
        self.0.contains(&peer.to_canonical())
    }

    /// Whether every address of the other is in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }
}

impl FromStr for Network {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("network.malformed", "must be an IP address, or a network as in 203.0.113.0/24");
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| fault())?,
        };
        let net = match net {
            IpNet::V6(six) => match (six.addr().to_ipv4_mapped(), six.prefix_len().checked_sub(96)) {
                (Some(four), Some(length)) => IpNet::V4(Ipv4Net::new(four, length).map_err(|_| fault())?),
                _ => net,
            },
            IpNet::V4(_) => net,
        };
        Ok(Self(net.trunc()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// The profiles that a key is for; up to 64.
pub type Profiles = UniqueList<ProfileId, 64>;
/// The networks that a key is used from; up to 64.
pub type Networks = UniqueList<Network, 64>;

/// What a key may do, where, and from where. The default is everything, everywhere, from anywhere; in JSON what is
/// unrestricted is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Access {
    /// Which rights it has.
    #[serde(skip_serializing_if = "is_all")]
    pub scopes: Scopes,
    /// Which profiles it is for: it reaches them and what belongs to them, and nothing of the account as a whole. `None`
    /// is all of them and the account; an empty list is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_ids: Option<Profiles>,
    /// From which networks it is accepted. `None` is from anywhere; an empty list is from nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<Networks>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_all(scopes: &Scopes) -> bool {
    *scopes == Scopes::ALL
}

impl Access {
    /// Whether a key with this access may make one with the other: in no respect has that one more.
    pub fn covers(&self, other: &Self) -> bool {
        let profiles = match (&self.profile_ids, &other.profile_ids) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.iter().all(|id| own.contains(id)),
        };
        let networks = match (&self.networks, &other.networks) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.iter().all(|net| own.iter().any(|one| one.covers(net))),
        };
        profiles && networks && self.scopes.cover(other.scopes)
    }

    /// Whether the profile is one that the key is for.
    pub fn reaches(&self, profile: &ProfileId) -> bool {
        self.profile_ids.as_ref().is_none_or(|ids| ids.contains(profile))
    }

    /// Whether the key is accepted from the peer. Where networks are stated, a peer that is not known is not in them.
    pub fn admits(&self, peer: Option<IpAddr>) -> bool {
        self.networks.as_ref().is_none_or(|nets| peer.is_some_and(|peer| nets.iter().any(|net| net.contains(peer))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn right() -> impl Strategy<Value = Right> {
        let resource = prop::sample::select(Resource::VARIANTS);
        (resource, prop::sample::select(Touch::VARIANTS)).prop_map(|(resource, touch)| Right::new(resource, touch))
    }

    fn network() -> impl Strategy<Value = Network> {
        // Few addresses and all lengths, so that networks lie within each other.
        let four = (0..4_u32, 0..=32_u8).prop_map(|(n, length)| format!("10.0.0.{n}/{length}"));
        let six = (0..4_u32, 0..=128_u8).prop_map(|(n, length)| format!("2001:db8::{n}/{length}"));
        prop_oneof![four, six].prop_map(|text| text.parse().unwrap())
    }

    fn access() -> impl Strategy<Value = Access> {
        let scopes = prop_oneof![
            1 => Just(Scopes::ALL),
            6 => prop::collection::vec(right(), 0..6).prop_map(Scopes::from_iter),
        ];
        let profiles = prop::option::of(prop::collection::vec(0..4_u8, 0..4));
        let profiles = profiles
            .prop_map(|ids| ids.map(|ids| ids.iter().map(|n| format!("pro_{n}").parse().unwrap()).collect::<Vec<_>>()));
        let networks = prop::option::of(prop::collection::vec(network(), 0..3));
        (scopes, profiles, networks).prop_map(|(scopes, profiles, networks)| Access {
            scopes,
            profile_ids: profiles.map(|ids| ids.try_into().unwrap()),
            networks: networks.map(|nets| nets.try_into().unwrap()),
        })
    }

    type Question = Box<dyn Fn(&Access) -> bool>;

    /// Everything that an access may be asked.
    fn questions() -> Vec<Question> {
        let mut all: Vec<Question> = Vec::new();
        for resource in Resource::VARIANTS {
            for touch in Touch::VARIANTS {
                all.push(Box::new(move |access| access.scopes.allow(Right::new(*resource, *touch))));
            }
        }
        for n in 0..5 {
            let id: ProfileId = format!("pro_{n}").parse().unwrap();
            all.push(Box::new(move |access| access.reaches(&id)));
        }
        all.push(Box::new(|access| access.admits(None)));
        for peer in ["10.0.0.0", "10.0.0.3", "10.9.9.9", "11.0.0.1", "2001:db8::2", "::1", "::ffff:10.0.0.1"] {
            let peer: IpAddr = peer.parse().unwrap();
            all.push(Box::new(move |access| access.admits(Some(peer))));
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn who_is_covered_may_nothing_that_the_other_may_not(parent in access(), child in access()) {
            if parent.covers(&child) {
                for question in questions() {
                    prop_assert!(!question(&child) || question(&parent), "{parent:?} covers {child:?}");
                }
            }
        }

        #[test]
        fn access_is_ordered(one in access(), two in access(), three in access()) {
            prop_assert!(one.covers(&one) && Access::default().covers(&one));
            prop_assert!(!(one.covers(&two) && two.covers(&three)) || one.covers(&three));
        }

        #[test]
        fn access_reads_back_from_its_json(access in access()) {
            let json = serde_json::to_string(&access).unwrap();
            prop_assert_eq!(serde_json::from_str::<Access>(&json).unwrap(), access);
        }
    }

    #[test]
    fn to_write_includes_to_read_and_everything_includes_what_is_to_come() {
        let scopes: Scopes = serde_json::from_str(r#"["payments:write", "log:read", "payments:read"]"#).unwrap();
        assert!(scopes.allow(Right::new(Resource::Payments, Touch::Read)));
        assert!(!scopes.allow(Right::new(Resource::Log, Touch::Write)));
        assert_eq!(serde_json::to_string(&scopes).unwrap(), r#"["payments:write","log:read"]"#);
        let every: Vec<Right> = Resource::VARIANTS.iter().map(|one| Right::new(*one, Touch::Write)).collect();
        assert!(!Scopes::from_iter(every).cover(Scopes::ALL));
    }

    #[test]
    fn a_network_is_an_address_or_a_prefix_cut_to_its_length() {
        for (text, written) in [
            ("203.0.113.7", "203.0.113.7/32"),
            ("203.0.113.7/24", "203.0.113.0/24"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
            ("::ffff:203.0.113.7/120", "203.0.113.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), written);
        }
        for bad in ["", "203.0.113", "203.0.113.0/33", "203.0.113.0/", "example.com", " 203.0.113.7", "::/129"] {
            assert_eq!(bad.parse::<Network>().unwrap_err().code(), "network.malformed", "{bad}");
        }
    }
}
