//! Domains that a payment link is made on or shown on, and the origins of pages that show one.
//!
//! A domain's text is read by the rules that a browser reads a host by: other scripts than ASCII are converted to their
//! `xn--` form (IDNA, UTS 46), and what a browser would take for something else is refused rather than repaired:
//! numbers that only look like a domain, escapes, underscores, trailing dots, addresses of IPv6 (no frame policy can name
//! one).

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::AllowedDomains;
use crate::error::Fault;
use crate::web_url::WebUrl;

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

/// A host name as DNS knows it, in lower case and ASCII, or an IPv4 address; `None` for anything else.
fn host(text: &str) -> Option<String> {
    // Longer than any name can be in any script.
    if text.is_empty() || text.len() > 1_024 {
        return None;
    }
    if text.is_ascii() && !text.split('.').all(is_label) {
        return None;
    }
    let known = match url::Host::parse(text).ok()? {
        url::Host::Domain(name) => name,
        // Only where it was written as one: no other form that a browser takes for it, such as `0x7f.1`.
        url::Host::Ipv4(address) => Some(address.to_string()).filter(|plain| plain == text)?,
        url::Host::Ipv6(_) => return None,
    };
    (known.len() <= 253 && known.split('.').all(is_label)).then_some(known)
}

fn domain(text: &str) -> Option<String> {
    host(text)
}

fn allowed(text: &str) -> Option<String> {
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let mut known = match name.strip_prefix("*.") {
        Some(parent) => {
            let parent = host(parent).filter(|p| p.contains('.') && p.parse::<Ipv4Addr>().is_err())?;
            format!("*.{parent}")
        }
        None => host(name)?,
    };
    if let Some(port) = port {
        // `parse` would take a sign, too.
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse::<u16>().ok().filter(|port| digits && *port > 0)?;
        known = format!("{known}:{port}");
    }
    Some(known)
}

macro_rules! domains {
    ($($(#[$doc:meta])* $name:ident: $read:path, $message:literal;)+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text, in lower case and ASCII.
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
                $read(text).map(|known| Self(known.into())).ok_or_else(|| fault($message))
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
    Domain: domain, "must be a domain such as `pay.example.com`";
    /// A domain that may show a payment link, perhaps with a port, perhaps with all its subdomains:
    /// `shop.example.com`, `localhost:3000`, `*.example.com`.
    ///
    /// A wildcard stands for one or more whole labels at the beginning, and at least two labels follow it, so that
    /// `*.com` cannot let the whole internet in. Without a port it is the scheme's own: 443 of `https`.
    AllowedDomain: allowed, "must be a domain such as `shop.example.com`, `*.example.com` or `localhost:3000`";
}

/// Whether a host is the browser's own machine, whose pages need no `https`.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

impl AllowedDomain {
    fn parts(&self) -> (&str, Option<u16>) {
        match self.0.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (&self.0, None),
        }
    }

    /// Whether a page of this origin may show the link. It must be an `https` page, but on the browser's own machine.
    pub fn allows(&self, origin: &Origin) -> bool {
        let (host, port) = self.parts();
        let is_safe = origin.is_https || is_loopback(&origin.host);
        let is_named = match host.strip_prefix("*.") {
            // The dot belongs to the parent: `evilexample.com` is none of `*.example.com`.
            Some(parent) => origin
                .host
                .strip_suffix(parent)
                .and_then(|front| front.strip_suffix('.'))
                .is_some_and(|f| !f.is_empty()),
            None => *origin.host == *host,
        };
        is_safe && is_named && origin.port == port.unwrap_or(if origin.is_https { 443 } else { 80 })
    }

    /// The domain as a source of a Content-Security-Policy's `frame-ancestors`, which lets the same pages through as
    /// [`allows`](Self::allows).
    pub fn csp_source(&self) -> String {
        let text = &self.0;
        match self.parts() {
            (host, _) if is_loopback(host) => format!("https://{text} http://{text}"),
            _ => format!("https://{text}"),
        }
    }
}

/// Whether a page of this origin may show a payment link in a frame, by the domains that its profile allows.
///
/// `origin` is the request's `Origin` header or, where there is none, its `Referer`. A text that names no web origin, such
/// as `null`, is allowed nothing, and where no domain is allowed nothing is.
///
/// ```
/// use perfectpay::{AllowedDomains, origin_allowed};
///
/// let domains: AllowedDomains = vec!["*.example.com".parse()?, "bücher.example:8443".parse()?].try_into()?;
/// assert!(origin_allowed(Some(&domains), "https://shop.example.com"));
/// assert!(origin_allowed(Some(&domains), "https://xn--bcher-kva.example:8443/checkout?step=2"));
/// assert!(!origin_allowed(Some(&domains), "https://example.com"));
/// assert!(!origin_allowed(Some(&domains), "https://shop.example.com.evil.example"));
/// assert!(!origin_allowed(None, "https://shop.example.com"));
/// # Ok::<(), perfectpay::Fault>(())
/// ```
pub fn origin_allowed(allowed: Option<&AllowedDomains>, origin: &str) -> bool {
    let Ok(origin) = origin.parse::<Origin>() else { return false };
    allowed.is_some_and(|domains| domains.iter().any(|domain| domain.allows(&origin)))
}

/// Where a page comes from: scheme, host and port of an `http` or `https` URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    is_https: bool,
    /// In lower case and ASCII.
    host: Box<str>,
    port: u16,
}

impl FromStr for Origin {
    type Err = Fault;

    /// Reads the origin of a URL, whatever path and query it has.
    ///
    /// # Errors
    ///
    /// Those of [`WebUrl`].
    fn from_str(text: &str) -> Result<Self, Fault> {
        let known: WebUrl = text.parse()?;
        let no_host = || Fault::new("url.no_host", "must name a host");
        let url = url::Url::parse(known.as_str()).map_err(|_| no_host())?;
        let host = url.host_str().ok_or_else(no_host)?;
        let port = url.port_or_known_default().ok_or_else(no_host)?;
        // A dot at the end is the same host to DNS and another one to a browser.
        Ok(Self { is_https: url.scheme() == "https", host: host.into(), port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_domain_is_kept_in_lower_case_and_ascii() {
        for (text, kept) in [
            ("Shop.Example.COM", "shop.example.com"),
            ("*.example.com", "*.example.com"),
            ("*.example.com:8443", "*.example.com:8443"),
            ("localhost:3000", "localhost:3000"),
            ("127.0.0.1:65535", "127.0.0.1:65535"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("*.BÜCHER.example:443", "*.xn--bcher-kva.example:443"),
            ("متجر.example", "xn--pgbep1f.example"),
            ("shop。example", "shop.example"),
            ("faß.example", "xn--fa-hia.example"),
        ] {
            assert_eq!(text.parse::<AllowedDomain>().unwrap().as_str(), kept, "{text}");
        }
        assert_eq!("Pay.Example.com".parse::<Domain>().unwrap().as_str(), "pay.example.com");
        assert_eq!("zahlen.bücher.example".parse::<Domain>().unwrap().as_str(), "zahlen.xn--bcher-kva.example");
    }

    #[test]
    fn what_is_not_a_domain_is_refused() {
        let long = format!("{}.com", "a".repeat(64));
        let longer = "ü.".repeat(600);
        for text in [
            "",
            "*",
            "*.",
            "*.com",
            "*.1.2.3.4",
            "a.*.com",
            "*a.com",
            "*.*.com",
            "＊.example.com",
            ".com",
            "a..b",
            "a.",
            "a.b。",
            "-a.com",
            "a-.com",
            "a_b.com",
            "xn--a",
            "xn--.com",
            "bücher_.example",
            "https://a.com",
            "a.com/",
            "a.com:",
            "a.com:0",
            "a.com:65536",
            "a.com:+80",
            "a.com:80:80",
            "a.com:８０",
            "1.2.3",
            "1.2.3.256",
            "0x7f.0.0.1",
            "127.1",
            "2130706433",
            "１２７.0.0.1",
            "[::1]",
            "::1",
            "a b.com",
            "a%2ecom",
            "a.com\u{0}",
            "a.com\n",
            "a.com;script-src",
            "a.com' *",
            "user@a.com",
            &long,
            &longer,
        ] {
            assert_eq!(
                text.parse::<AllowedDomain>().map_err(|f| f.code().to_owned()),
                Err("branding.domain".into()),
                "{text}"
            );
        }
        for text in ["*.example.com", "example.com:80", "https://example.com"] {
            assert_eq!(text.parse::<Domain>().unwrap_err().code(), "branding.domain", "{text}");
        }
    }

    fn allows(domain: &str, origin: &str) -> bool {
        let domains: AllowedDomains = vec![domain.parse().unwrap()].try_into().unwrap();
        origin_allowed(Some(&domains), origin)
    }

    #[test]
    fn an_origin_is_allowed_by_its_host_and_port() {
        for (domain, origin) in [
            ("shop.example.com", "https://shop.example.com"),
            ("shop.example.com", "https://SHOP.example.com:443"),
            ("shop.example.com", "https://shop.example.com/a/page?with=a#part"),
            ("shop.example.com:443", "https://shop.example.com"),
            ("shop.example.com:8443", "https://shop.example.com:8443"),
            ("*.example.com", "https://shop.example.com"),
            ("*.example.com", "https://a.b.example.com"),
            ("bücher.example", "https://xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "https://bücher.example"),
            ("localhost:3000", "http://localhost:3000"),
            ("localhost", "http://localhost"),
            ("127.0.0.1:3000", "https://127.0.0.1:3000"),
        ] {
            assert!(allows(domain, origin), "{domain} {origin}");
        }
    }

    #[test]
    fn a_hostile_origin_is_not_allowed() {
        for (domain, origin) in [
            ("shop.example.com", "http://shop.example.com"),
            ("shop.example.com", "https://shop.example.com:8443"),
            ("shop.example.com:8443", "https://shop.example.com"),
            ("shop.example.com", "https://evil-shop.example.com"),
            ("shop.example.com", "https://shop.example.com.evil.example"),
            ("shop.example.com", "https://shop.example.com@evil.example"),
            ("shop.example.com", "https://evil.example/shop.example.com"),
            ("shop.example.com", "https://evil.example#shop.example.com"),
            ("shop.example.com", "https://evil.example\\@shop.example.com"),
            ("shop.example.com", "https://shop.example.com."),
            ("shop.example.com", "//shop.example.com"),
            ("shop.example.com", "shop.example.com"),
            ("shop.example.com", "ftp://shop.example.com"),
            ("shop.example.com", "https://shop.example.com\n.evil.example"),
            ("shop.example.com", "null"),
            ("shop.example.com", ""),
            ("*.example.com", "https://example.com"),
            ("*.example.com", "https://evilexample.com"),
            ("*.example.com", "https://.example.com"),
            ("*.example.com", "https://shop.example.com.evil.example"),
            ("*.example.com", "https://shop.example.com:444"),
            ("127.0.0.1", "https://[::1]"),
            ("bücher.example", "https://bucher.example"),
        ] {
            assert!(!allows(domain, origin), "{domain} {origin}");
        }
        // What a browser itself takes for the host is the host.
        assert!(allows("127.0.0.1", "http://2130706433"));
        assert!(!origin_allowed(None, "https://shop.example.com"));
        assert!(!origin_allowed(Some(&AllowedDomains::default()), "https://shop.example.com"));
    }

    #[test]
    fn a_policy_names_the_pages_that_are_allowed() {
        for (domain, source) in [
            ("shop.example.com", "https://shop.example.com"),
            ("*.example.com:8443", "https://*.example.com:8443"),
            ("bücher.example", "https://xn--bcher-kva.example"),
            ("localhost:3000", "https://localhost:3000 http://localhost:3000"),
        ] {
            assert_eq!(domain.parse::<AllowedDomain>().unwrap().csp_source(), source);
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_plain_and_reads_back(text in "(\\*\\.)?[a-z0-9üß٣。.-]{1,12}(:[0-9]{1,6})?|\\PC{0,20}") {
            if let Ok(domain) = text.parse::<AllowedDomain>() {
                prop_assert!(domain.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"-.*:".contains(&b)));
                prop_assert_eq!(domain.as_str().parse::<AllowedDomain>().unwrap(), domain);
            }
        }

        #[test]
        fn a_domain_without_a_wildcard_allows_itself_and_no_other(name in "[a-z]{1,8}\\.[a-z]{2,4}", other in "[a-z]{1,8}\\.[a-z]{2,4}") {
            let own = format!("https://{name}");
            let below = format!("https://{other}.{name}");
            prop_assert!(allows(&name, &own));
            prop_assert_eq!(allows(&name, &format!("https://{other}")), name == other);
            prop_assert!(!allows(&name, &below));
            let wild = format!("*.{name}");
            prop_assert!(allows(&wild, &below));
            prop_assert!(!allows(&wild, &own));
        }
    }
}
