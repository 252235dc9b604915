//! The page's two style sheets: one that is the same for all pages, and the branding's own.

use std::fmt::Write as _;
use std::sync::LazyLock;

use data_encoding::BASE64;
use perfectpay::Branding;
use sha2::{Digest as _, Sha256};

use crate::finding::Finding;
use crate::palette::Palette;
use crate::policy::Images;
use crate::rules;

/// A style sheet and the source expression that lets a browser apply it.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    pub(crate) text: String,
    /// `sha256-…`, by Content Security Policy Level 3, "hash-source".
    pub(crate) hash: String,
}

impl Sheet {
    fn of(text: String) -> Self {
        let hash = format!("sha256-{}", BASE64.encode(&Sha256::digest(&text)));
        Self { text, hash }
    }
}

/// What all pages share, without its comments and its indentation; hashed once.
static BASE: LazyLock<Sheet> = LazyLock::new(|| {
    let lines = include_str!("../templates/page.css").lines().map(str::trim);
    Sheet::of(lines.filter(|line| !line.starts_with("/*")).collect())
});

/// The sheets of a page, and its language's tag.
pub(crate) struct Sheets {
    pub(crate) base: &'static Sheet,
    pub(crate) own: Sheet,
    pub(crate) language: String,
}

impl Sheets {
    pub(crate) fn of(branding: &Branding, images: &Images<'_>, language: &str, findings: &mut Vec<Finding>) -> Self {
        let palette = Palette::of(branding, findings);
        let mut own =
            format!(":root{{{}}}@media(prefers-color-scheme:dark){{:root{{{}}}}}", palette.light, palette.dark);
        background(branding, images, &mut own);
        own.push_str(&rules::page(branding, findings));
        Self { base: &BASE, own: Sheet::of(own), language: language.to_owned() }
    }
}

/// The image behind the page, or behind the order where that has a half of its own. Texts stand on a plain ground there.
fn background(branding: &Branding, images: &Images<'_>, sheet: &mut String) {
    let (Some(image), Some((url, _))) = (&branding.background_image.value, &images.background) else { return };
    // Of the two, the one that the page has; a closed page has neither.
    let selector = ".layout1 .summary,.layout2.image";
    let position = serde_json::to_value(image.position);
    let position = position.as_ref().ok().and_then(|word| word.as_str()).unwrap_or("top left");
    let _ = write!(sheet, "{selector}{{background-image:url(\"{}\");", css_string(url.as_str()));
    let _ = write!(sheet, "background-position:{position};background-repeat:no-repeat");
    if let Some(size) = image.size {
        let _ = write!(sheet, ";background-size:{size}");
    }
    sheet.push('}');
}

/// A text within the quotes of a CSS string: whatever means something to CSS or HTML is written as an escape (CSS Syntax
/// Level 3, "consume an escaped code point").
fn css_string(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '<' | '>' | '\'' | '(' | ')' | '{' | '}' | '@' | ';' | '*') || c.is_control() {
            let _ = write!(escaped, "\\{:x} ", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_does_not_leave_its_string() {
        assert_eq!(css_string("https://a/b?\")</style>\\"), "https://a/b?\\22 \\29 \\3c /style\\3e \\5c ");
    }

    #[test]
    fn the_shared_sheet_is_whole() {
        let opened = BASE.text.matches('{').count();
        assert_eq!(opened, BASE.text.matches('}').count());
        assert!(opened > 40 && !BASE.text.contains("/*") && !BASE.text.contains('<'));
    }
}
