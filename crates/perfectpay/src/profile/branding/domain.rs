//! Domains that a payment link is shown on.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Fault;

fn fault(message: &'static str) -> Fault {
    Fault::new("branding.domain", message)
}

/// Letters, digits and inner hyphens, 1 to 63 of them.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A host name as DNS knows it, or an IPv4 address. Names of other scripts stand in their `xn--` form.
fn is_host(host: &str) -> bool {
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    host.len() <= 253 && if numeric { host.parse::<Ipv4Addr>().is_ok() } else { host.split('.').all(is_label) }
}

macro_rules! domains {
    ($($(#[$doc:meta])* $name:ident: $check:path, $message:literal;)+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text, in lower case.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Fault;

            /// Parses a domain.
            ///
            /// # Errors
            ///
            /// `branding.domain`.
            fn from_str(text: &str) -> Result<Self, Fault> {
                if !$check(text) {
                    return Err(fault($message));
                }
                Ok(Self(text.to_ascii_lowercase().into()))
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

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::json::parsed(deserializer)
            }
        }
    )+ };
}

domains! {
    /// A domain by itself: no scheme, no port, no wildcard, for example `pay.example.com`.
    Domain: is_host, "must be a domain such as `pay.example.com`";
    /// A domain that may show a payment link, perhaps with a port, perhaps with all its subdomains:
    /// `shop.example.com`, `localhost:3000`, `*.example.com`.
    ///
    /// A wildcard stands for one or more whole labels at the beginning, and at least two labels follow it, so that
    /// `*.com` cannot let the whole internet in.
    AllowedDomain: is_allowed, "must be a domain such as `shop.example.com`, `*.example.com` or `localhost:3000`";
}

fn is_allowed(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    // `parse` would take a sign, too.
    let is_port = |p: &str| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok_and(|p| p > 0);
    let known = match host.strip_prefix("*.") {
        Some(parent) => parent.contains('.') && is_host(parent) && parent.parse::<Ipv4Addr>().is_err(),
        None => is_host(host),
    };
    known && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_kept_in_lower_case() {
        for (text, kept) in [
            ("Shop.Example.COM", "shop.example.com"),
            ("*.example.com", "*.example.com"),
            ("*.example.com:8443", "*.example.com:8443"),
            ("localhost:3000", "localhost:3000"),
            ("127.0.0.1:65535", "127.0.0.1:65535"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(text.parse::<AllowedDomain>().unwrap().as_str(), kept);
        }
        assert_eq!("Pay.Example.com".parse::<Domain>().unwrap().as_str(), "pay.example.com");
    }

    #[test]
    fn what_is_not_a_domain_is_refused() {
        let long = format!("{}.com", "a".repeat(64));
        for text in [
            "",
            "*",
            "*.",
            "*.com",
            "*.1.2.3.4",
            "a.*.com",
            "*a.com",
            ".com",
            "a..b",
            "a.",
            "-a.com",
            "a-.com",
            "a_b.com",
            "bücher.example",
            "https://a.com",
            "a.com/",
            "a.com:",
            "a.com:0",
            "a.com:65536",
            "a.com:+80",
            "a.com:80:80",
            "1.2.3",
            "1.2.3.256",
            "a b.com",
            "a.com;script-src",
            &long,
        ] {
            assert_eq!(text.parse::<AllowedDomain>().unwrap_err().code(), "branding.domain", "{text}");
        }
        for text in ["*.example.com", "example.com:80", "https://example.com"] {
            assert_eq!(text.parse::<Domain>().unwrap_err().code(), "branding.domain", "{text}");
        }
    }
}
