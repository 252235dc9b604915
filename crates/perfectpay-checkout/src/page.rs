//! What a page is made of: the values that a host hands over.

use std::fmt;
use std::str::FromStr;

use perfectpay::{
    AllowedDomains, BoundedList, Branding, Currency, Disclosed, Fault, LinkAmount, LinkState, MinorUnits, Money,
    Object, PaymentId, PaymentLink, Text, Timestamp, WebUrl,
};

use crate::language::Language;
use crate::qr::QrSvg;

/// A payment page, before it is rendered. [`CheckoutPage::of`] begins with a link; the fields are public for the rest.
#[derive(Debug, Clone)]
pub struct CheckoutPage<'a> {
    /// What the page is in, and what only then is there.
    pub state: PageState<'a>,
    /// The customer's locale as a BCP 47 tag, for example `es-MX`. It chooses the language, English where there is none,
    /// and how numbers are written.
    pub locale: &'a str,
    /// Languages beside [the built-in ones](crate::language::BUILT_IN), looked at first.
    pub languages: &'a [Language],
    /// How the page looks.
    pub branding: &'a Branding,
    /// How much; none where the customer is still to say it.
    pub amount: Option<Money>,
    /// What is paid for.
    pub description: Option<&'a Text<255>>,
    /// What the order consists of; may be empty.
    pub items: &'a LineItems,
    /// Until when the page is open.
    pub expires_at: Option<Timestamp>,
    /// Where the customer returns to.
    pub return_url: Option<&'a WebUrl>,
    /// The QR code of this page, shown on wide screens while it is open.
    pub qr_code: Option<&'a QrSvg>,
    /// The platform's name, shown at the end of the page unless the branding says not to.
    pub platform: Option<&'a Text<64>>,
    /// Who may show the page in a frame.
    pub framing: Framing<'a>,
}

/// What the order of a page consists of; at most 64 rows.
pub type LineItems = BoundedList<LineItem, 64>;

/// One row of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineItem {
    /// The article.
    pub name: Text<255>,
    /// How many of it.
    pub quantity: u32,
    /// What they cost together, in minor units of the page's currency.
    pub amount: MinorUnits,
}

/// What a link is in, as its page shows it.
#[derive(Debug, Clone)]
pub enum PageState<'a> {
    /// It does not open yet.
    Scheduled {
        /// When it does.
        opens_at: Timestamp,
    },
    /// It is open, and the customer says how much first.
    OpenAmount(AmountForm<'a>),
    /// It is open.
    Active(PaymentForm<'a>),
    /// Another attempt holds it.
    Held,
    /// It is paid.
    Paid,
    /// Its one payment failed, or was cancelled.
    Failed,
    /// It was paid as often as it may be.
    UsedUp,
    /// Its time is over.
    Expired,
    /// The merchant closed it.
    Deactivated,
}

/// The form in which the customer states the amount. It is an ordinary form and needs no JavaScript: `amount`, as it was
/// typed, is posted to `action`.
#[derive(Debug, Clone)]
pub struct AmountForm<'a> {
    /// Where the form goes.
    pub action: &'a WebUrl,
    /// The currency.
    pub currency: Currency,
    /// The least amount.
    pub minimum: MinorUnits,
    /// The greatest amount.
    pub maximum: MinorUnits,
}

/// What the processor's own element needs to take over. All of it stands in the page, for whoever has the link.
#[derive(Debug, Clone)]
pub struct PaymentForm<'a> {
    /// The payment.
    pub payment_id: &'a PaymentId,
    /// The merchant's publishable key.
    pub publishable_key: &'a str,
    /// The payment's client secret.
    pub client_secret: &'a Disclosed,
    /// The processor's element.
    pub mount: &'a Mount,
}

/// The processor's element: the script that brings it, what it is told, and whom the page lets it talk to.
///
/// The script finds the mount point `#payment-element`, which it fills, the button `#submit`, the line `#payment-status`
/// for what it has to say, and its configuration as JSON in `#payment-configuration`.
///
/// Texts at payment methods that the branding states are in the page, one item of `#payment-messages` each, with
/// `data-payment-method` and `data-payment-method-type`; the element may hide those of methods that are not chosen. In its
/// configuration they are `hidden`, so that none is shown twice.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The script. Its origin may bring further ones.
    pub script: WebUrl,
    /// The processor's own configuration; handed to it as it is, as `element`.
    pub configuration: Object,
    /// The origins that the element talks to, shows in frames, and loads images from; at most 32.
    pub origins: BoundedList<Origin, 32>,
}

/// An origin of a Content-Security-Policy: `https` with a host, perhaps with a port, perhaps with all its subdomains,
/// such as `https://*.processor.example`. `http` is taken for `localhost` and `127.0.0.1` only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(Box<str>);

impl Origin {
    /// The origin's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The origin of a URL, if its host is one that a policy can name.
    pub(crate) fn of(url: &WebUrl) -> Option<Self> {
        let (scheme, rest) = url.as_str().split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        is_authority(authority).then(|| Self(format!("{scheme}://{authority}").into()))
    }
}

/// A host of letters, digits, hyphens and dots, or an IPv6 address, perhaps with a port. The URL standard lets more
/// through, `;` and `*` among it, which would be a directive of its own in a policy.
fn is_authority(text: &str) -> bool {
    let host = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            if !(1..=5).contains(&port.len()) || !port.bytes().all(|b| b.is_ascii_digit()) {
                return false;
            }
            host
        }
        _ => text,
    };
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')),
    }
}

impl FromStr for Origin {
    type Err = Fault;

    /// Parses an origin.
    ///
    /// # Errors
    ///
    /// `checkout.origin`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("checkout.origin", "must be an origin such as `https://*.processor.example`");
        let (scheme, authority) = text.split_once("://").ok_or_else(fault)?;
        let host = authority.strip_prefix("*.").unwrap_or(authority);
        let local = matches!(host.split(':').next(), Some("localhost" | "127.0.0.1"));
        // Behind a wildcard stand two labels at least, so that it is not everybody.
        let wide = authority.starts_with("*.") && !host.contains('.');
        let known = scheme == "https" || (scheme == "http" && local);
        if !known || wide || authority.len() > 255 || !is_authority(host) {
            return Err(fault());
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who may show the page in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing<'a> {
    /// Nobody: the page of an ordinary link.
    #[default]
    Nobody,
    /// These: the page of a secure link. Without any domain it is nobody.
    Domains(&'a AllowedDomains),
}

impl<'a> Framing<'a> {
    /// The framing of a secure link: the domains that its branding allows.
    pub fn secure(branding: &'a Branding) -> Self {
        branding.allowed_domains.value.as_ref().map_or(Self::Nobody, Self::Domains)
    }
}

/// No rows.
static NO_ITEMS: std::sync::LazyLock<LineItems> = std::sync::LazyLock::new(LineItems::default);

impl<'a> CheckoutPage<'a> {
    /// The page of a link in a state. What a link does not have is empty: rows, a return URL, a QR code, a platform.
    pub fn of(link: &'a PaymentLink, state: PageState<'a>, locale: &'a str) -> Self {
        Self {
            amount: link.amount.fixed().map(|amount| Money { amount, currency: link.currency }),
            description: link.description.as_ref(),
            expires_at: Some(link.expiry),
            ..Self::new(&link.branding, state, locale)
        }
    }

    /// A page with a look and a state, and nothing else.
    pub fn new(branding: &'a Branding, state: PageState<'a>, locale: &'a str) -> Self {
        Self {
            state,
            locale,
            languages: &[],
            branding,
            amount: None,
            description: None,
            items: &NO_ITEMS,
            expires_at: None,
            return_url: None,
            qr_code: None,
            platform: None,
            framing: Framing::Nobody,
        }
    }
}

impl<'a> AmountForm<'a> {
    /// The form of a link with an open amount; none where the amount is fixed.
    pub fn of(link: &PaymentLink, action: &'a WebUrl) -> Option<Self> {
        match link.amount {
            LinkAmount::Fixed(_) => None,
            LinkAmount::Open(bounds) => {
                Some(Self { action, currency: link.currency, minimum: bounds.minimum(), maximum: bounds.maximum() })
            }
        }
    }
}

/// The page's state where the link is not open; none where it is, for then the page needs a [`PaymentForm`] or an
/// [`AmountForm`].
pub fn closed(link: &PaymentLink) -> Option<PageState<'static>> {
    match link.state {
        LinkState::Active => None,
        // One that is scheduled says until when; its creation stands in for what it never lacks.
        LinkState::Scheduled => Some(PageState::Scheduled { opens_at: link.opens_at.unwrap_or(link.created_at) }),
        LinkState::Held => Some(PageState::Held),
        LinkState::Paid => Some(PageState::Paid),
        // With a payment of its own it is used up where that came to nothing: where it was paid, it is paid.
        LinkState::UsedUp if link.payment_id.is_some() => Some(PageState::Failed),
        LinkState::UsedUp => Some(PageState::UsedUp),
        LinkState::Expired => Some(PageState::Expired),
        LinkState::Deactivated => Some(PageState::Deactivated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_names_a_host_and_nothing_else() {
        for good in ["https://js.processor.example", "https://*.processor.example:8443", "http://localhost:3000"] {
            assert_eq!(good.parse::<Origin>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "https://",
            "http://processor.example",
            "https://*",
            "https://*.example",
            "https://a.example/path",
            "https://a.example;script-src",
            "https://a.example 'unsafe-inline'",
            "https://a.example:",
            "https://a.example:123456",
            "data:",
            "wss://a.example",
            "https://a_b.example",
        ] {
            assert_eq!(bad.parse::<Origin>().unwrap_err().code(), "checkout.origin", "{bad}");
        }
    }

    #[test]
    fn a_url_has_the_origin_that_a_policy_can_name() {
        for (url, origin) in [
            ("https://a.example/x/y.png?z#w", Some("https://a.example")),
            ("http://a.example:8080", Some("http://a.example:8080")),
            ("https://[2001:db8::1]:8443/x", Some("https://[2001:db8::1]:8443")),
            ("https://[2001:db8::1]/x", Some("https://[2001:db8::1]")),
            ("https://a;script-src/x", None),
            ("https://*/x", None),
            ("https://a'b/x", None),
        ] {
            let url: WebUrl = url.parse().unwrap();
            assert_eq!(Origin::of(&url).as_ref().map(Origin::as_str), origin, "{url}");
        }
    }
}
