//! The URLs of links: how they are made, and how a host that serves them takes them apart.
//!
//! A payment's link is `/payment_link/{merchant_id}/{payment_id}`; a link of its own has `link/` in front of the account,
//! so that a payment's id, which callers choose, is never taken for a link's. In front of that stands `s/` where the page
//! is shown in a frame, and `status/` for the page that says what became of the payment:
//!
//! | form | of a payment | of its own |
//! |---|---|---|
//! | open | `/payment_link/{merchant}/{payment}` | `/payment_link/link/{merchant}/{link}` |
//! | secure | `/payment_link/s/{merchant}/{payment}` | `/payment_link/link/s/{merchant}/{link}` |
//! | status | `/payment_link/status/{merchant}/{payment}` | `/payment_link/link/status/{merchant}/{link}` |
//!
//! Ids are written as they are: no character of theirs needs an escape, and an escaped one is refused. An account that is
//! called `s`, `status` or `link` is told from the words by the number of parts.

use std::fmt;

use crate::error::Fault;
use crate::id::{MerchantId, PaymentId, PaymentLinkId};
use crate::words::words;

/// The longest path with its query that is read, in bytes.
pub const MAX_LINK_URL: usize = 2_048;

/// The locale of a link that names none.
pub const DEFAULT_LOCALE: &str = "en";

words! { "snake_case"
    /// Which page a link's URL opens.
    LinkForm {
        /// The page to pay on.
        Open,
        /// The same in a frame of a page whose domain the profile allows.
        Secure,
        /// What became of the payment.
        Status,
    }
}

/// Whose page a link's URL opens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LinkTarget {
    /// The link of this payment.
    Payment(PaymentId),
    /// This link of its own.
    Link(PaymentLinkId),
}

impl From<&PaymentId> for LinkTarget {
    fn from(id: &PaymentId) -> Self {
        Self::Payment(id.clone())
    }
}

impl From<&PaymentLinkId> for LinkTarget {
    fn from(id: &PaymentLinkId) -> Self {
        Self::Link(id.clone())
    }
}

/// A link's URL behind the host's base URL, taken apart.
///
/// ```
/// use perfectpay::{LinkForm, LinkTarget, LinkUrl};
///
/// let url = LinkUrl::parse("/payment_link/s/acme_us/pay_1?locale=de&utm_source=mail")?;
/// assert_eq!(url.form, LinkForm::Secure);
/// assert_eq!(url.merchant_id.as_str(), "acme_us");
/// assert_eq!(url.target, LinkTarget::Payment("pay_1".parse()?));
/// assert_eq!(url.locale(), "de");
/// assert_eq!(url.to_string(), "/payment_link/s/acme_us/pay_1?locale=de");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LinkUrl {
    /// Which page.
    pub form: LinkForm,
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// Whose page.
    pub target: LinkTarget,
    locale: Option<Box<str>>,
}

/// Whether the text has the form of a language tag: 2 to 35 letters, digits and inner hyphens or underscores.
fn is_locale(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    (2..=35).contains(&text.len()) && text.split(['-', '_']).all(is_part)
}

impl LinkUrl {
    /// The page of this form, in the locale `en`.
    pub fn new(form: LinkForm, merchant_id: MerchantId, target: LinkTarget) -> Self {
        Self { form, merchant_id, target, locale: None }
    }

    /// Takes a request's path and query apart, as they stand behind the host's base URL.
    ///
    /// Of the query only the first `locale` is read; one that is no language tag counts as none, so that a link which was
    /// mangled on its way still opens.
    ///
    /// # Errors
    ///
    /// `link_url.too_long` beyond [`MAX_LINK_URL`] bytes, `link_url.unknown` for any other path, and the codes of ids at
    /// `merchant_id`, `payment_id` or `payment_link_id`.
    pub fn parse(path_and_query: &str) -> Result<Self, Fault> {
        if path_and_query.len() > MAX_LINK_URL {
            return Err(Fault::new("link_url.too_long", "must be at most 2048 bytes"));
        }
        let unknown = || Fault::new("link_url.unknown", "is not the path of a payment link");
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let path = path.strip_prefix("/payment_link/").ok_or_else(unknown)?;
        // At most four parts mean something; what is behind a fifth slash is not looked at.
        let parts: Vec<&str> = path.splitn(5, '/').collect();
        let (form, of_its_own, merchant, id) = match *parts.as_slice() {
            [merchant, id] => (LinkForm::Open, false, merchant, id),
            ["s", merchant, id] => (LinkForm::Secure, false, merchant, id),
            ["status", merchant, id] => (LinkForm::Status, false, merchant, id),
            ["link", merchant, id] => (LinkForm::Open, true, merchant, id),
            ["link", "s", merchant, id] => (LinkForm::Secure, true, merchant, id),
            ["link", "status", merchant, id] => (LinkForm::Status, true, merchant, id),
            _ => return Err(unknown()),
        };
        let merchant_id = merchant.parse().map_err(|fault: Fault| fault.at("merchant_id"))?;
        let target = if of_its_own {
            LinkTarget::Link(id.parse().map_err(|fault: Fault| fault.at("payment_link_id"))?)
        } else {
            LinkTarget::Payment(id.parse().map_err(|fault: Fault| fault.at("payment_id"))?)
        };
        let locale = query.split('&').find_map(|pair| pair.strip_prefix("locale="));
        let locale = locale.filter(|text| is_locale(text) && *text != DEFAULT_LOCALE).map(Box::from);
        Ok(Self { form, merchant_id, target, locale })
    }

    /// The language that the page is asked in; `en` unless the URL says another.
    pub fn locale(&self) -> &str {
        self.locale.as_deref().unwrap_or(DEFAULT_LOCALE)
    }
}

impl fmt::Display for LinkUrl {
    /// The path and query, which [`parse`](Self::parse) reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/payment_link")?;
        if matches!(self.target, LinkTarget::Link(_)) {
            f.write_str("/link")?;
        }
        f.write_str(match self.form {
            LinkForm::Open => "",
            LinkForm::Secure => "/s",
            LinkForm::Status => "/status",
        })?;
        let id = match &self.target {
            LinkTarget::Payment(id) => id.as_str(),
            LinkTarget::Link(id) => id.as_str(),
        };
        write!(f, "/{}/{id}?locale={}", self.merchant_id, self.locale())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> (String, String) {
        let fault = LinkUrl::parse(text).unwrap_err();
        (fault.path().to_owned(), fault.code().to_owned())
    }

    #[test]
    fn every_form_is_written_and_read_back() {
        let merchant: MerchantId = "acme_us".parse().unwrap();
        let of_payment = LinkTarget::Payment("plink_chosen".parse().unwrap());
        let of_its_own = LinkTarget::Link("plink_1".parse().unwrap());
        for (form, target, text) in [
            (LinkForm::Open, &of_payment, "/payment_link/acme_us/plink_chosen?locale=en"),
            (LinkForm::Secure, &of_payment, "/payment_link/s/acme_us/plink_chosen?locale=en"),
            (LinkForm::Status, &of_payment, "/payment_link/status/acme_us/plink_chosen?locale=en"),
            (LinkForm::Open, &of_its_own, "/payment_link/link/acme_us/plink_1?locale=en"),
            (LinkForm::Secure, &of_its_own, "/payment_link/link/s/acme_us/plink_1?locale=en"),
            (LinkForm::Status, &of_its_own, "/payment_link/link/status/acme_us/plink_1?locale=en"),
        ] {
            let url = LinkUrl::new(form, merchant.clone(), target.clone());
            assert_eq!(url.to_string(), text);
            assert_eq!(LinkUrl::parse(text).unwrap(), url);
        }
    }

    #[test]
    fn an_account_with_the_name_of_a_word_is_an_account() {
        for word in ["s", "status", "link"] {
            let url = LinkUrl::parse(&format!("/payment_link/{word}/pay_1")).unwrap();
            assert_eq!((url.form, url.merchant_id.as_str()), (LinkForm::Open, word));
            let url = LinkUrl::parse(&format!("/payment_link/link/{word}/plink_1")).unwrap();
            assert_eq!((url.form, url.merchant_id.as_str()), (LinkForm::Open, word));
            let url = LinkUrl::parse(&format!("/payment_link/s/{word}/pay_1")).unwrap();
            assert_eq!((url.form, url.merchant_id.as_str()), (LinkForm::Secure, word));
        }
    }

    #[test]
    fn what_is_no_link_is_refused_with_its_place() {
        for text in [
            "",
            "/",
            "payment_link/a/b",
            "/payment_link",
            "/payment_link/",
            "/payment_link/a",
            "/pay/a/b",
            "/payment_link/a/b/c",
            "/payment_link/s/a/b/c",
            "/payment_link/link/x/a/b",
            "/payment_link/link/s/a/b/c",
            "//payment_link/a/b",
        ] {
            assert_eq!(code(text), (String::new(), "link_url.unknown".into()), "{text}");
        }
        for (text, path, fault) in [
            ("/payment_link//b", "merchant_id", "id.empty"),
            ("/payment_link/a/", "payment_id", "id.empty"),
            ("/payment_link/a%2fb/c", "merchant_id", "id.bad_character"),
            ("/payment_link/../c", "merchant_id", "id.bad_character"),
            ("/payment_link/a/b#c", "payment_id", "id.bad_character"),
            ("/payment_link/a/b\u{0}", "payment_id", "id.bad_character"),
            ("/payment_link/link/a/pay_1", "payment_link_id", "id.wrong_prefix"),
        ] {
            assert_eq!(code(text), (path.into(), fault.into()), "{text}");
        }
        let long = format!("/payment_link/a/b?{}", "x".repeat(MAX_LINK_URL));
        assert_eq!(code(&long).1, "link_url.too_long");
    }

    #[test]
    fn a_locale_is_read_and_a_mangled_one_is_english() {
        for (query, locale) in [
            ("", "en"),
            ("?", "en"),
            ("?locale=", "en"),
            ("?locale=ar", "ar"),
            ("?a=b&locale=es-MX", "es-MX"),
            ("?locale=de&locale=fr", "de"),
            ("?locale=<script>", "en"),
            ("?locale=e", "en"),
            ("?locale=-", "en"),
            ("?Locale=de", "en"),
        ] {
            assert_eq!(LinkUrl::parse(&format!("/payment_link/a/b{query}")).unwrap().locale(), locale, "{query}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_read_again(text in "(/payment_link)?(/(link|s|status|[a-z_]{1,3}))*(/[A-Za-z0-9_%.-]{0,5}){0,5}(\\?(locale=)?\\PC{0,12})?") {
            if let Ok(url) = LinkUrl::parse(&text) {
                prop_assert_eq!(LinkUrl::parse(&url.to_string()).unwrap(), url);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _answered = LinkUrl::parse(&text);
            let _answered = LinkUrl::parse(&format!("/payment_link/{text}"));
        }
    }
}
