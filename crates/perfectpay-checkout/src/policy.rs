//! The headers that belong to a page, as data for the host to send.

use std::fmt::Write as _;

use perfectpay::{Branding, WebUrl};

use crate::finding::Finding;
use crate::page::{CheckoutPage, Framing, Mount, Origin, PageState};
use crate::style::Sheets;

/// A page's headers, in the order in which they were set. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers(Vec<(&'static str, String)>);

impl Headers {
    /// The value of a header, by its name in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Every header: name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// The images of a branding that a policy can name, each with its origin.
pub(crate) struct Images<'a> {
    pub(crate) logo: Option<(&'a WebUrl, Origin)>,
    pub(crate) background: Option<(&'a WebUrl, Origin)>,
}

pub(crate) fn images<'a>(branding: &'a Branding, findings: &mut Vec<Finding>) -> Images<'a> {
    let mut image = |field, url: Option<&'a WebUrl>| {
        let url = url?;
        let origin = Origin::of(url);
        if origin.is_none() {
            findings.push(Finding::ImageIgnored { field });
        }
        Some((url, origin?))
    };
    Images {
        logo: image("logo", branding.logo.value.as_ref()),
        background: image("background_image", branding.background_image.value.as_ref().map(|image| &image.url)),
    }
}

/// The processor's script, checked.
pub(crate) struct Script<'a> {
    pub(crate) mount: &'a Mount,
    pub(crate) origin: Origin,
}

/// Builds the headers of a page. Style sheets are let through by their hashes, scripts by the processor's origin;
/// everything that is not named is refused.
pub(crate) fn headers(
    page: &CheckoutPage<'_>,
    sheets: &Sheets,
    images: &Images<'_>,
    script: Option<&Script<'_>>,
) -> Headers {
    let mut csp = format!("default-src 'none'; style-src '{}' '{}'", sheets.base.hash, sheets.own.hash);
    let origins = |csp: &mut String, name: &str, first: &[&Origin], rest: &[Origin]| {
        let mut named = Vec::new();
        for origin in first.iter().copied().chain(rest) {
            if !named.contains(&origin) {
                named.push(origin);
            }
        }
        if !named.is_empty() {
            let _ = write!(csp, "; {name}");
            for origin in named {
                let _ = write!(csp, " {origin}");
            }
        }
    };
    let allowed = script.map_or(&[] as &[Origin], |script| &script.mount.origins);
    let scripts: Vec<&Origin> = script.iter().map(|script| &script.origin).collect();
    let shown: Vec<&Origin> =
        [&images.logo, &images.background].into_iter().flatten().map(|(_, origin)| origin).collect();
    origins(&mut csp, "img-src", &shown, allowed);
    origins(&mut csp, "script-src", &scripts, &[]);
    origins(&mut csp, "connect-src", &scripts, allowed);
    origins(&mut csp, "frame-src", &scripts, allowed);
    match &page.state {
        PageState::OpenAmount(form) => match Origin::of(form.action) {
            Some(origin) => origins(&mut csp, "form-action", &[&origin], &[]),
            None => csp.push_str("; form-action 'none'"),
        },
        _ => csp.push_str("; form-action 'none'"),
    }
    csp.push_str("; base-uri 'none'; frame-ancestors");
    let domains = match page.framing {
        Framing::Domains(domains) => &**domains,
        Framing::Nobody => &[],
    };
    for domain in domains {
        let _ = write!(csp, " {}", domain.csp_source());
    }
    if domains.is_empty() {
        csp.push_str(" 'none'");
    }

    let mut payment = String::from("payment=(self");
    for origin in scripts.iter().copied().chain(allowed).filter(|origin| !origin.as_str().contains('*')) {
        let _ = write!(payment, " \"{origin}\"");
    }
    payment.push(')');

    let mut headers = vec![
        ("content-type", "text/html; charset=utf-8".to_owned()),
        ("content-language", sheets.language.clone()),
        ("content-security-policy", csp),
        ("cache-control", "no-store".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        // The link's path is what lets somebody pay; other sites see the origin at most.
        ("referrer-policy", "strict-origin".to_owned()),
        ("permissions-policy", format!("{payment}, camera=(), microphone=(), geolocation=(), usb=()")),
        ("cross-origin-opener-policy", "same-origin-allow-popups".to_owned()),
        ("x-robots-tag", "noindex, nofollow".to_owned()),
    ];
    if domains.is_empty() {
        headers.push(("x-frame-options", "DENY".to_owned()));
    }
    Headers(headers)
}

impl Headers {
    pub(crate) fn push(&mut self, name: &'static str, value: String) {
        self.0.push((name, value));
    }
}
