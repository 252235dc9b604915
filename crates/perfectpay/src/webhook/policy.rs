//! Where webhooks may be sent: a policy that is data, for URLs as they are written and for addresses as they are resolved.
//!
//! A URL is checked in the form in which it is gone to: every spelling of an address that the WHATWG URL standard knows,
//! `127.1`, `0x7f.0.0.1` or `2130706433`, is the address itself by then. What a name resolves to is known only when
//! something is delivered: the host asks [`UrlPolicy::admits`] for the address that it is about to connect to, connects to
//! that one, and follows no redirect without asking again.
//!
//! ```
//! use perfectpay::webhook::{AddressRange, UrlPolicy};
//!
//! let policy = UrlPolicy::default();
//! policy.check("https://hooks.example.com/payments")?;
//! for refused in ["http://hooks.example.com", "https://hooks.example.com:8443", "https://127.1/", "https://[::1]/"] {
//!     assert!(policy.check(refused).is_err(), "{refused}");
//! }
//! assert!(policy.admits("10.0.0.1".parse().unwrap()).is_err());
//!
//! let at_home = UrlPolicy { ports: vec![443, 8443], allowed: vec![AddressRange::Private], ..policy };
//! at_home.check("https://10.0.0.1:8443/")?;
//! # Ok::<(), perfectpay::Fault>(())
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use url::Host;

use crate::error::Fault;
use crate::web_url::MAX_URL;
use crate::words::words;

words! { "snake_case"
    /// A scheme that a webhook may be sent by.
    UrlScheme {
        /// Encrypted, and the receiver authenticated.
        Https,
        /// In clear.
        Http,
    }
}

words! { "snake_case"
    /// A range of addresses that are nobody's on the public internet.
    AddressRange {
        /// This machine: `127.0.0.0/8`, `::1`, and the names `localhost` and `*.localhost`.
        Loopback,
        /// A network of its own: `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`, `fc00::/7`, `fec0::/10`.
        Private,
        /// This link, where cloud machines find their own credentials: `169.254.0.0/16`, `fe80::/10`.
        LinkLocal,
        /// Between a carrier and its customers: `100.64.0.0/10`.
        Shared,
        /// Many at once: `224.0.0.0/4`, `255.255.255.255`, `ff00::/8`.
        Multicast,
        /// Nowhere, and on many systems this machine: `0.0.0.0/8`, `::`.
        Unspecified,
        /// Set aside for tests, documents and later: `192.0.0.0/24`, `192.0.2.0/24`, `198.18.0.0/15`,
        /// `198.51.100.0/24`, `203.0.113.0/24`, `240.0.0.0/4`, and what of IPv6 is not `2000::/3`.
        Reserved,
    }
}

impl AddressRange {
    /// The range that an address is in, or `None` for a public one. An IPv4 address within an IPv6 one, mapped,
    /// translated or tunnelled, is what it leads to.
    pub fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Option<Self> {
        Some(match address.octets() {
            [0, ..] => Self::Unspecified,
            [127, ..] => Self::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [169, 254, ..] => Self::LinkLocal,
            [100, 64..=127, ..] => Self::Shared,
            [224..=239, ..] | [255, 255, 255, 255] => Self::Multicast,
            [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [240..=255, ..] => {
                Self::Reserved
            }
            _ => return None,
        })
    }

    fn of_v6(address: Ipv6Addr) -> Option<Self> {
        let within = |high: u16, low: u16| {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Self::of_v4(Ipv4Addr::new(a, b, c, d))
        };
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Some(Self::Unspecified),
            [0, 0, 0, 0, 0, 0, 0, 1] => Some(Self::Loopback),
            // Mapped, compatible, translated by the well-known prefix, and 6to4.
            [0, 0, 0, 0, 0, 0xffff | 0, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => within(high, low),
            // Teredo: the server's is behind the prefix, and the client's inverted at the end.
            [0x2001, 0, server_high, server_low, _, _, high, low] => {
                within(server_high, server_low).or_else(|| within(!high, !low))
            }
            [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some(Self::Reserved),
            [0xff00..=0xffff, ..] => Some(Self::Multicast),
            [0xfe80..=0xfebf, ..] => Some(Self::LinkLocal),
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Some(Self::Private),
            [0x2000..=0x3fff, ..] => None,
            _ => Some(Self::Reserved),
        }
    }
}

/// Where webhooks may be sent. What is not named is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UrlPolicy {
    /// The schemes; https alone unless stated.
    pub schemes: Vec<UrlScheme>,
    /// The ports; 443 alone unless stated. A URL that names none has its scheme's.
    pub ports: Vec<u16>,
    /// Whether a URL may have a user name and a password, which end up in logs; not unless stated.
    pub user_info: bool,
    /// Whether a URL may name an address instead of a host; it may unless stated, if the address may be gone to.
    pub address_literals: bool,
    /// The ranges that may be gone to although they are not public; none unless stated.
    pub allowed: Vec<AddressRange>,
}

impl Default for UrlPolicy {
    fn default() -> Self {
        let schemes = vec![UrlScheme::Https];
        Self { schemes, ports: vec![443], user_info: false, address_literals: true, allowed: Vec::new() }
    }
}

impl UrlPolicy {
    /// Checks a URL as it is written, and answers it in the form in which it is gone to.
    ///
    /// # Errors
    ///
    /// `url.too_long`, `url.not_absolute`, `url.scheme_not_allowed`, `url.no_host`, `url.has_credentials`,
    /// `url.port_not_allowed`, `url.literal_not_allowed` or `url.address_not_allowed`.
    pub fn check(&self, text: &str) -> Result<String, Fault> {
        if text.len() > MAX_URL {
            return Err(Fault::new("url.too_long", "must be at most 2048 characters"));
        }
        let not_absolute = || Fault::new("url.not_absolute", "must be an absolute URL");
        // What the standard would repair is refused: two parsers may repair it differently.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(not_absolute());
        }
        let url = url::Url::parse(text).map_err(|_| not_absolute())?;
        if !self.schemes.iter().any(|scheme| scheme.to_string() == url.scheme()) {
            return Err(Fault::new("url.scheme_not_allowed", "must have a scheme that the policy allows"));
        }
        if !text.get(url.scheme().len()..).is_some_and(|rest| rest.starts_with("://")) {
            return Err(not_absolute());
        }
        if !self.user_info && (!url.username().is_empty() || url.password().is_some()) {
            return Err(Fault::new("url.has_credentials", "must not contain a user name or a password"));
        }
        if !url.port_or_known_default().is_some_and(|port| self.ports.contains(&port)) {
            return Err(Fault::new("url.port_not_allowed", "must have a port that the policy allows"));
        }
        match url.host() {
            None => return Err(Fault::new("url.no_host", "must name a host")),
            Some(Host::Ipv4(address)) => self.literal(address.into())?,
            Some(Host::Ipv6(address)) => self.literal(address.into())?,
            Some(Host::Domain(name)) => self.name(name)?,
        }
        Ok(url.into())
    }

    /// Whether a connection may be made to this address: to be asked for what a name resolves to, each time that something
    /// is delivered, and for the very address that is then connected to.
    ///
    /// # Errors
    ///
    /// `url.address_not_allowed`.
    pub fn admits(&self, address: IpAddr) -> Result<(), Fault> {
        self.range(AddressRange::of(address))
    }

    fn literal(&self, address: IpAddr) -> Result<(), Fault> {
        if !self.address_literals {
            return Err(Fault::new("url.literal_not_allowed", "must name a host, not an address"));
        }
        self.admits(address)
    }

    fn name(&self, name: &str) -> Result<(), Fault> {
        // A name may end with the dot of the root.
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            return Err(Fault::new("url.no_host", "must name a host"));
        }
        let is_local = name == "localhost" || name.ends_with(".localhost");
        self.range(is_local.then_some(AddressRange::Loopback))
    }

    fn range(&self, range: Option<AddressRange>) -> Result<(), Fault> {
        match range {
            Some(range) if !self.allowed.contains(&range) => {
                Err(Fault::new("url.address_not_allowed", "must not lead to an address that is not public"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    fn code(policy: &UrlPolicy, url: &str) -> String {
        policy.check(url).map_or_else(|fault| fault.code().to_owned(), |_| "allowed".to_owned())
    }

    #[test]
    fn every_spelling_of_an_address_is_the_address() {
        let policy = UrlPolicy::default();
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "①②⑦.0.0.1",
            "１２７.０.０.１",
            "%31%32%37.0.0.1",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "0",
            "0.0.0.0",
            "10.1.2.3",
            "0xa.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "3232235521",
            "169.254.169.254",
            "0xa9fea9fe",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "240.0.0.1",
            "[::]",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:7f00:1::]",
            "[2002:a9fe:a9fe::1]",
            "[2001:0:7f00:1::1]",
            "[2001:0:808:808::f5ff:fffe]",
            "[fe80::1]",
            "[febf::1]",
            "[fc00::1]",
            "[fdff::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[3fff::1]",
            "[100::1]",
            "[4000::1]",
            "[64:ff9b:1::1]",
        ] {
            assert_eq!(code(&policy, &format!("https://{host}/hook")), "url.address_not_allowed", "{host}");
        }
        for host in [
            "hooks.example.com",
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "[2606:4700::1111]",
            "[2002:808:808::1]",
            "[::ffff:8.8.8.8]",
            "[64:ff9b::8.8.8.8]",
            "localhost.example.com",
            "notlocalhost",
        ] {
            assert_eq!(code(&policy, &format!("https://{host}/hook")), "allowed", "{host}");
        }
    }

    #[test]
    fn what_the_policy_does_not_name_is_refused_and_what_it_names_is_not() {
        let policy = UrlPolicy::default();
        for (url, expected) in [
            ("http://hooks.example.com/", "url.scheme_not_allowed"),
            ("ftp://hooks.example.com/", "url.scheme_not_allowed"),
            ("file:///etc/passwd", "url.scheme_not_allowed"),
            ("https://hooks.example.com:8443/", "url.port_not_allowed"),
            ("https://user@hooks.example.com/", "url.has_credentials"),
            ("https://user:pass@hooks.example.com/", "url.has_credentials"),
            ("hooks.example.com", "url.not_absolute"),
            ("https:hooks.example.com", "url.not_absolute"),
            ("https://hooks.example.com\\@10.0.0.1/", "url.not_absolute"),
            ("https://hooks.\texample.com/", "url.not_absolute"),
            ("https://./", "url.no_host"),
            ("https://hooks.example.com:443/a", "allowed"),
        ] {
            assert_eq!(code(&policy, url), expected, "{url}");
        }
        let long = format!("https://hooks.example.com/{}", "x".repeat(MAX_URL));
        assert_eq!(code(&policy, &long), "url.too_long");

        let open = UrlPolicy {
            schemes: UrlScheme::VARIANTS.to_vec(),
            ports: vec![80, 443, 8080],
            user_info: true,
            address_literals: true,
            allowed: AddressRange::VARIANTS.to_vec(),
        };
        for url in ["http://127.1:8080/", "https://user:pass@[::1]/", "http://localhost/", "http://169.254.169.254/"] {
            assert_eq!(code(&open, url), "allowed", "{url}");
        }
        let names_only = UrlPolicy { address_literals: false, ..open };
        assert_eq!(code(&names_only, "http://8.8.8.8/"), "url.literal_not_allowed");
        let private = UrlPolicy { allowed: vec![AddressRange::Private], ..UrlPolicy::default() };
        assert_eq!(code(&private, "https://10.0.0.1/"), "allowed");
        assert_eq!(code(&private, "https://127.0.0.1/"), "url.address_not_allowed");
        assert!(private.admits([192, 168, 0, 1].into()).is_ok());
        assert_eq!(private.admits([169, 254, 169, 254].into()).unwrap_err().code(), "url.address_not_allowed");
    }

    #[test]
    fn a_url_is_answered_in_the_form_in_which_it_is_gone_to() {
        let policy = UrlPolicy::default();
        assert_eq!(
            policy.check("HTTPS://Hooks.Example.COM:443/a/../b?x=1").unwrap(),
            "https://hooks.example.com/b?x=1"
        );
        assert_eq!(policy.check("https://bücher.example/").unwrap(), "https://xn--bcher-kva.example/");
        assert_eq!(policy.check("https://0x08080808/").unwrap(), "https://8.8.8.8/");
    }

    #[test]
    fn a_policy_is_data() {
        let json = r#"{"schemes":["https"],"ports":[443],"user_info":false,"address_literals":true,"allowed":[]}"#;
        assert_eq!(serde_json::to_string(&UrlPolicy::default()).unwrap(), json);
        assert_eq!(crate::json::from_slice::<UrlPolicy>(b"{}").unwrap(), UrlPolicy::default());
        let read = crate::json::from_slice::<UrlPolicy>(br#"{"allowed": ["link_local", "private"]}"#).unwrap();
        assert_eq!(read.allowed, [AddressRange::LinkLocal, AddressRange::Private]);
        let error = crate::json::from_slice::<UrlPolicy>(br#"{"allow": []}"#).unwrap_err();
        assert_eq!(error.code(), "json.unknown_field");
    }
}
