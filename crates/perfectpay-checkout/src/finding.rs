//! What a merchant should know about a branding that the page does not follow to the letter.

use perfectpay::Branding;
use serde::Serialize;

use crate::palette::Palette;
use crate::policy;
use crate::rules::{self, Reason};

/// Something in a branding that the page shows otherwise than asked, and why.
///
/// A finding is not an error: the page is rendered, readable and safe. A host shows findings to whoever edits the
/// branding.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// A text's colour cannot be read on the colour behind it, so that the page uses another one.
    LowContrast {
        /// The branding's field that states the text's colour.
        field: &'static str,
        /// The branding's field that states the colour behind it.
        on: &'static str,
        /// The ratio as asked, 1 to 21, by WCAG 2.2, "contrast ratio".
        ratio: f32,
        /// The least ratio: 4.5, by WCAG 2.2, success criterion 1.4.3.
        needed: f32,
        /// The colour that is used instead.
        used: String,
    },
    /// A colour that a browser would not take, such as `rgb(1deg, 2, 3)`: the built-in one is used.
    ColourIgnored {
        /// The branding's field.
        field: &'static str,
    },
    /// An image whose host cannot be named in a Content-Security-Policy: it is left out.
    ImageIgnored {
        /// The branding's field.
        field: &'static str,
    },
    /// A style rule, or one property of it, that is left out.
    RuleIgnored {
        /// The branding's field.
        field: &'static str,
        /// The rule's selector.
        selector: String,
        /// The property; none where the selector is what is wrong.
        property: Option<String>,
        /// Why.
        reason: Reason,
    },
    /// A style rule that states a colour without the one behind it, or the other way round: it is applied, and nobody
    /// can say here whether the text can be read, least of all in dark mode.
    ContrastUnknown {
        /// The branding's field.
        field: &'static str,
        /// The rule's selector.
        selector: String,
    },
}

/// Everything that there is to say about a branding, without rendering a page; in the order of colours, images, rules.
pub fn inspect(branding: &Branding) -> Vec<Finding> {
    let mut findings = Vec::new();
    Palette::of(branding, &mut findings);
    policy::images(branding, &mut findings);
    rules::page(branding, &mut findings);
    rules::element(branding, &mut findings);
    findings
}
