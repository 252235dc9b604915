//! URLs that a browser or a webhook goes to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Fault;

/// An absolute `http` or `https` URL with a host and without credentials, at most 2,048 characters.
///
/// Stored in the canonical form of the WHATWG URL standard, which is what a browser would go to. Whether the host may
/// be reached is not decided here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct WebUrl(Box<str>);

/// The longest URL accepted, in characters.
pub const MAX_URL: usize = 2048;

impl WebUrl {
    /// The URL's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebUrl {
    type Err = Fault;

    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// `url.too_long`, `url.not_absolute`, `url.not_http`, `url.no_host` or `url.has_credentials`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.len() > MAX_URL {
            return Err(Fault::new("url.too_long", "must be at most 2048 characters"));
        }
        let not_absolute = || Fault::new("url.not_absolute", "must be an absolute URL");
        // The standard repairs `https:host` and drops tabs and line ends; what needs repair is refused instead.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(not_absolute());
        }
        let url = url::Url::parse(text).map_err(|_| not_absolute())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Fault::new("url.not_http", "must be an http or https URL"));
        }
        if !text.get(url.scheme().len()..).is_some_and(|rest| rest.starts_with("://")) {
            return Err(not_absolute());
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(Fault::new("url.no_host", "must name a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Fault::new("url.has_credentials", "must not contain a user name or a password"));
        }
        let text = String::from(url);
        if text.len() > MAX_URL {
            return Err(Fault::new("url.too_long", "must be at most 2048 characters"));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<&str> for WebUrl {
    type Error = Fault;

    fn try_from(text: &str) -> Result<Self, Fault> {
        text.parse()
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WebUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_url_has_a_code() {
        for (text, code) in [
            ("store.example.com/path", "url.not_absolute"),
            ("/relative", "url.not_absolute"),
            ("", "url.not_absolute"),
            ("https:evil.example", "url.not_absolute"),
            ("https:/evil.example", "url.not_absolute"),
            ("ht\ttps://example.com", "url.not_absolute"),
            ("https://exa mple.com", "url.not_absolute"),
            ("https:\\\\example.com", "url.not_absolute"),
            ("ftp://example.com", "url.not_http"),
            ("javascript:alert(1)", "url.not_http"),
            ("file:///etc/passwd", "url.not_http"),
            ("https://user@example.com", "url.has_credentials"),
            ("https://user:pass@example.com", "url.has_credentials"),
        ] {
            assert_eq!(text.parse::<WebUrl>().unwrap_err().code(), code, "{text}");
        }
        let long = format!("https://example.com/{}", "x".repeat(MAX_URL));
        assert_eq!(long.parse::<WebUrl>().unwrap_err().code(), "url.too_long");
    }

    #[test]
    fn a_url_is_kept_in_the_form_a_browser_goes_to() {
        let url: WebUrl = "HTTPS://Store.Example.COM:443/a/../b?x=1".parse().unwrap();
        assert_eq!(url.as_str(), "https://store.example.com/b?x=1");
        assert_eq!(url.as_str().parse::<WebUrl>().unwrap(), url);
    }
}
