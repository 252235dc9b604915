//! The page that a payment link opens, rendered as a value.
//!
//! ```text
//!   PaymentLink ── Branding ─┐
//!   state, items, amount     ├─► CheckoutPage ── render ─► Document { status, headers, html, findings }
//!   locale ── Language       │                                        │          │       │
//!   the processor's Mount ───┘                                 the host sends them   what the merchant's editor is told
//!
//!   inspect(branding) ─► findings, when a branding is saved            QrSvg::of(link) ─► SVG
//! ```
//!
//! ```
//! use perfectpay::{Branding, Money, PaymentLinkConfigRequest, json};
//! use perfectpay_checkout::{CheckoutPage, PageState, render};
//!
//! let look: PaymentLinkConfigRequest = json::from_slice(br##"{"seller_name": "Acme Outfitters", "theme": "#0f766e"}"##)?;
//! let branding = Branding::resolve(Some(&look), None, None, None);
//!
//! let mut page = CheckoutPage::new(&branding, PageState::Paid, "es-MX");
//! page.amount = Some(Money { amount: 4999.try_into()?, currency: "EUR".parse()? });
//! let document = render(&page)?;
//!
//! assert!(document.html.contains("Se han pagado 49.99\u{a0}€."));
//! assert_eq!(document.status, 200);
//! assert!(document.headers.get("content-security-policy").unwrap().starts_with("default-src 'none'"));
//! assert!(document.findings.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`render`] is a pure function: no clock, no randomness, no store, no network. The host decides what state a link is
//! in, sends the headers, and serves nothing else: styles are part of the page and let through by their hashes.
//!
//! # What the page does
//!
//! - It works without JavaScript up to the point where the processor's own element takes over: everything is shown, the
//!   open amount is an ordinary form, and where scripts are off it says that the payment form needs them. No script of
//!   ours exists. [`Mount`] says what the element finds.
//! - It follows the branding: theme, logo, seller, both layouts, background, button, heading, terms, rows about the
//!   order, texts at payment methods, style rules. Settings of the payment form itself (layout of the methods, labels,
//!   nickname, saved methods) are handed to the element in its configuration.
//! - It speaks the languages of [`language`], right to left where that is so, and formats amounts for the locale.
//! - It is light or dark as the customer's system is, and readable in both: colours that do not go together are
//!   replaced, and told as [`Finding`]s.
//!
//! # What cannot happen
//!
//! Texts are escaped by the template, which is compiled. Colours leave as six hexadecimal digits. URLs come from the
//! core, checked, and their hosts are checked again before a policy names them. Style rules are let through property by
//! property ([`Reason`]). The configuration is JSON in a block that is no script. And should all of this fail, the
//! Content-Security-Policy lets no inline script run and nothing load that it does not name.

mod amount;
mod config;
mod finding;
pub mod language;
mod page;
mod palette;
mod policy;
mod qr;
mod rules;
mod style;
mod view;

pub use finding::{Finding, inspect};
pub use language::Language;
pub use page::{AmountForm, CheckoutPage, Framing, LineItem, LineItems, Mount, Origin, PageState, PaymentForm, closed};
use perfectpay::Fault;
pub use policy::Headers;
pub use qr::QrSvg;
pub use rules::Reason;

use crate::policy::Script;
use crate::style::Sheets;
use crate::view::View;

/// A page, ready to be sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Document {
    /// The HTTP status: 200; 410 for a link that is over; 303 where the branding skips the status screen of what is paid or
    /// has failed, with the return URL as `location`.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    /// The HTML, UTF-8.
    pub html: String,
    /// What the page shows otherwise than its branding asked; the same as [`inspect`] tells.
    pub findings: Vec<Finding>,
}

/// Renders a page.
///
/// # Errors
///
/// `checkout.script` at `mount.script` where the script's URL has a host that a Content-Security-Policy cannot name.
/// `checkout.template` where the template fails, which it does for no value that the types allow.
pub fn render(page: &CheckoutPage<'_>) -> Result<Document, Fault> {
    let mut findings = Vec::new();
    let language = Language::find(page.locale, page.languages);
    let images = policy::images(page.branding, &mut findings);
    let sheets = Sheets::of(page.branding, &images, &language.tag, &mut findings);
    rules::element(page.branding, &mut findings);
    let script = match &page.state {
        PageState::Active(form) => {
            let fault = || Fault::new("checkout.script", "must have a host of letters, digits, hyphens and dots");
            let origin = Origin::of(&form.mount.script).ok_or_else(|| fault().at("mount.script"))?;
            Some(Script { mount: form.mount, origin })
        }
        _ => None,
    };
    let mut headers = policy::headers(page, &sheets, &images, script.as_ref());
    let html = View::of(page, language, &sheets, &images, script.as_ref()).html()?;
    let skips = page.branding.skip_status_screen.value == Some(true);
    let status = match (&page.state, page.return_url) {
        (PageState::Paid | PageState::Failed, Some(url)) if skips => {
            headers.push("location", url.to_string());
            303
        }
        (PageState::UsedUp | PageState::Expired | PageState::Deactivated, _) => 410,
        _ => 200,
    };
    Ok(Document { status, headers, html, findings })
}
