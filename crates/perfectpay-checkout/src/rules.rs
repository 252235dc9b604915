//! Style rules of a branding: which selectors, properties and values are let through.
//!
//! Rules are a map of texts. What is written into a style sheet is only what is known to be harmless: selectors made of
//! names, properties of a list that changes looks and neither place nor presence, values made of numbers, words and
//! colours within bounds. There is no way to load anything, to run anything, to hide a price or to leave the rule.

use std::fmt::Write as _;

use perfectpay::{Branding, Colour, UiRules};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::finding::Finding;
use crate::palette::Rgb;

/// Why a style rule, or a property of it, is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The selector is more than names, descendants, lists and the known states.
    Selector,
    /// The property is not one that may be set.
    Property,
    /// The value is not one that the property may have.
    Value,
}

/// What a property's value is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// One opaque colour, so that a text stays visible.
    Opaque,
    /// One colour.
    Colour,
    /// Words, colours, and numbers that are not negative; lengths up to 96 px.
    Parts,
    /// As [`Form::Parts`], and negative numbers.
    Signed,
    /// A length up to 1,600 px.
    Width,
    /// A size of type that can be read: 10 to 64 px, 0.625 to 4 em.
    FontSize,
    /// A plain number from 1 to 3.
    LineHeight,
}

/// The properties that may be set; sorted, because they are searched.
const PROPERTIES: [(&str, Form); 62] = [
    ("accent-color", Form::Colour),
    ("background-color", Form::Opaque),
    ("border", Form::Parts),
    ("border-bottom", Form::Parts),
    ("border-bottom-left-radius", Form::Parts),
    ("border-bottom-right-radius", Form::Parts),
    ("border-color", Form::Parts),
    ("border-left", Form::Parts),
    ("border-radius", Form::Parts),
    ("border-right", Form::Parts),
    ("border-style", Form::Parts),
    ("border-top", Form::Parts),
    ("border-top-left-radius", Form::Parts),
    ("border-top-right-radius", Form::Parts),
    ("border-width", Form::Parts),
    ("box-shadow", Form::Signed),
    ("caret-color", Form::Colour),
    ("color", Form::Opaque),
    ("column-gap", Form::Parts),
    ("fill", Form::Colour),
    ("font-family", Form::Parts),
    ("font-size", Form::FontSize),
    ("font-stretch", Form::Parts),
    ("font-style", Form::Parts),
    ("font-variant-numeric", Form::Parts),
    ("font-weight", Form::Parts),
    ("gap", Form::Parts),
    ("letter-spacing", Form::Parts),
    ("line-height", Form::LineHeight),
    ("margin", Form::Parts),
    ("margin-block", Form::Parts),
    ("margin-block-end", Form::Parts),
    ("margin-block-start", Form::Parts),
    ("margin-bottom", Form::Parts),
    ("margin-inline", Form::Parts),
    ("margin-left", Form::Parts),
    ("margin-right", Form::Parts),
    ("margin-top", Form::Parts),
    ("max-width", Form::Width),
    ("min-height", Form::Parts),
    ("outline", Form::Parts),
    ("outline-color", Form::Colour),
    ("outline-offset", Form::Parts),
    ("outline-style", Form::Parts),
    ("outline-width", Form::Parts),
    ("padding", Form::Parts),
    ("padding-block", Form::Parts),
    ("padding-bottom", Form::Parts),
    ("padding-inline", Form::Parts),
    ("padding-left", Form::Parts),
    ("padding-right", Form::Parts),
    ("padding-top", Form::Parts),
    ("row-gap", Form::Parts),
    ("stroke", Form::Colour),
    ("text-align", Form::Parts),
    ("text-decoration", Form::Parts),
    ("text-decoration-color", Form::Colour),
    ("text-decoration-style", Form::Parts),
    ("text-decoration-thickness", Form::Parts),
    ("text-transform", Form::Parts),
    ("text-underline-offset", Form::Parts),
    ("word-spacing", Form::Parts),
];

/// The states and parts that a selector may name behind `:`.
const STATES: [&str; 9] = [
    ":active",
    ":checked",
    ":disabled",
    ":first-child",
    ":focus",
    ":focus-visible",
    ":hover",
    ":last-child",
    "::placeholder",
];

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// `div`, `.a.b`, `#submit:hover`: a name or none, classes and ids, at most one state.
fn is_compound(text: &str) -> bool {
    let (names, state) = text.find(':').map_or((text, ""), |at| text.split_at(at));
    let mut parts = names.split(['.', '#']);
    let element = parts.next().unwrap_or("");
    (state.is_empty() || STATES.contains(&state))
        && !names.is_empty()
        && (element.is_empty() || is_name(element))
        && parts.all(is_name)
}

fn is_selector(text: &str) -> bool {
    text.split(',').all(|one| {
        let mut compounds = one.split(' ').filter(|part| !part.is_empty()).peekable();
        compounds.peek().is_some() && compounds.all(is_compound)
    })
}

/// A value's parts: split at spaces, commas and slashes outside of brackets.
fn parts(value: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    value
        .split(|c: char| {
            match c {
                '(' => depth = depth.saturating_add(1),
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && matches!(c, ' ' | ',' | '/')
        })
        .filter(|part| !part.is_empty())
        .collect()
}

/// A number and its unit.
fn number(part: &str) -> Option<(f64, &str)> {
    let end = part.find(|c: char| c.is_ascii_alphabetic() || c == '%').unwrap_or(part.len());
    let (digits, unit) = part.split_at_checked(end)?;
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let plain = unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !plain || unsigned.len() > 8 {
        return None;
    }
    Some((digits.parse().ok()?, unit))
}

/// The bounds of a number in a general value, by its unit.
fn is_bounded(number: f64, unit: &str) -> bool {
    let most = match unit {
        "px" => 96.0,
        "em" | "rem" => 6.0,
        "%" => 100.0,
        "" => 1000.0,
        _ => return false,
    };
    number.abs() <= most
}

fn is_word(part: &str) -> bool {
    part.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') && part.bytes().any(|b| b.is_ascii_alphabetic())
}

fn is_value(form: Form, value: &str) -> bool {
    let is_colour = |part: &str| part.parse::<Colour>().is_ok_and(|colour| Rgb::of(&colour, BEHIND).is_some());
    match form {
        Form::Opaque => is_colour(value) && opaque(value).is_some(),
        Form::Colour => is_colour(value),
        Form::Width => number(value).is_some_and(|(n, unit)| match unit {
            "px" => (200.0..=1600.0).contains(&n),
            "em" | "rem" => (12.0..=100.0).contains(&n),
            "%" => (50.0..=100.0).contains(&n),
            _ => false,
        }),
        Form::FontSize => number(value).is_some_and(|(n, unit)| match unit {
            "px" => (10.0..=64.0).contains(&n),
            "em" | "rem" => (0.625..=4.0).contains(&n),
            "%" => (62.5..=400.0).contains(&n),
            _ => false,
        }),
        Form::LineHeight => number(value).is_some_and(|(n, unit)| unit.is_empty() && (1.0..=3.0).contains(&n)),
        Form::Parts | Form::Signed => {
            let parts = parts(value);
            !parts.is_empty()
                && parts.len() <= 16
                && parts.iter().all(|part| {
                    is_word(part)
                        || is_colour(part)
                        || number(part)
                            .is_some_and(|(n, unit)| is_bounded(n, unit) && (n >= 0.0 || form == Form::Signed))
                })
        }
    }
}

/// What a colour is laid over where only its form matters.
const BEHIND: Rgb = Rgb::SURFACE;

/// A colour through which nothing shows.
fn opaque(value: &str) -> Option<Rgb> {
    let colour: Colour = value.parse().ok()?;
    let on_white = Rgb::of(&colour, Rgb::SURFACE)?;
    (Rgb::of(&colour, Rgb::BLACK)? == on_white).then_some(on_white)
}

fn form(property: &str) -> Option<Form> {
    let at = PROPERTIES.binary_search_by(|(name, _)| (*name).cmp(property)).ok()?;
    PROPERTIES.get(at).map(|(_, form)| *form)
}

/// Walks over the rules, tells what is left out, and hands over what is let through.
fn walk<'a>(
    field: &'static str,
    rules: &'a UiRules,
    findings: &mut Vec<Finding>,
    mut take: impl FnMut(&'a str, &[(&'a str, &'a str)]),
) {
    for (selector, properties) in rules.iter() {
        let ignored = |property: Option<&str>, reason| Finding::RuleIgnored {
            field,
            selector: selector.to_string(),
            property: property.map(str::to_owned),
            reason,
        };
        if !is_selector(selector) {
            findings.push(ignored(None, Reason::Selector));
            continue;
        }
        let mut taken: Vec<(&str, &str)> = Vec::new();
        for (property, value) in properties.iter() {
            match form(property) {
                None => findings.push(ignored(Some(property), Reason::Property)),
                Some(form) if !is_value(form, value) => findings.push(ignored(Some(property), Reason::Value)),
                Some(_) => taken.push((property, value)),
            }
        }
        contrast(field, selector, &taken, findings);
        if !taken.is_empty() {
            take(selector, &taken);
        }
    }
}

/// Tells what can be said of the contrast of one rule by itself.
fn contrast(field: &'static str, selector: &str, taken: &[(&str, &str)], findings: &mut Vec<Finding>) {
    let find = |name: &str| taken.iter().find(|(property, _)| *property == name).and_then(|(_, value)| opaque(value));
    match (find("color"), find("background-color")) {
        (None, None) => {}
        (Some(text), Some(behind)) if text.contrast(behind) >= 4.5 => {}
        // Which text the rule is about is not known, so that it is told and left as it is.
        _ => findings.push(Finding::ContrastUnknown { field, selector: selector.to_owned() }),
    }
}

/// The page's rules as a style sheet.
pub(crate) fn page(branding: &Branding, findings: &mut Vec<Finding>) -> String {
    let mut sheet = String::new();
    if let Some(rules) = &branding.payment_link_ui_rules.value {
        walk("payment_link_ui_rules", rules, findings, |selector, taken| {
            sheet.push_str(selector);
            sheet.push('{');
            for (property, value) in taken {
                // Writing into a string does not fail.
                let _ = write!(sheet, "{property}:{value};");
            }
            sheet.push('}');
        });
    }
    sheet
}

/// The rules for the processor's element as JSON: selector to property to value.
pub(crate) fn element(branding: &Branding, findings: &mut Vec<Finding>) -> Map<String, Value> {
    let mut json = Map::new();
    if let Some(rules) = &branding.sdk_ui_rules.value {
        walk("sdk_ui_rules", rules, findings, |selector, taken| {
            let taken = taken.iter().map(|(property, value)| ((*property).to_owned(), Value::from(*value))).collect();
            json.insert(selector.to_owned(), Value::Object(taken));
        });
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use perfectpay::PaymentLinkConfigRequest;
    use proptest::prelude::*;
    use serde_json::json;

    fn rendered(rules: &Value) -> (String, Vec<Finding>) {
        let request: PaymentLinkConfigRequest =
            perfectpay::json::from_value(json!({ "payment_link_ui_rules": rules })).unwrap();
        let mut findings = Vec::new();
        let sheet = page(&Branding::resolve(Some(&request), None, None, None), &mut findings);
        (sheet, findings)
    }

    #[test]
    fn the_properties_are_sorted() {
        assert!(PROPERTIES.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn what_is_harmless_is_written_as_it_stands() {
        let (sheet, findings) = rendered(&json!({
            "#submit:hover, .button": {"background-color": "#111", "color": "white", "border-radius": "12px 8px"},
            ".summary .amount": {"font-size": "2.5rem", "box-shadow": "0 -1px 2px rgba(0, 0, 0, .2)"},
            "h1": {"font-family": "Georgia, serif", "line-height": "1.2", "max-width": "640px"},
        }));
        assert_eq!(findings, []);
        assert_eq!(
            sheet,
            "#submit:hover, .button{background-color:#111;border-radius:12px 8px;color:white;}\
             .summary .amount{box-shadow:0 -1px 2px rgba(0, 0, 0, .2);font-size:2.5rem;}\
             h1{font-family:Georgia, serif;line-height:1.2;max-width:640px;}"
        );
    }

    #[test]
    fn what_could_load_hide_move_or_escape_is_left_out_and_told() {
        for selector in [
            "a[href]",
            "*",
            "a>b",
            "a{",
            "a}b",
            "@import x",
            "a:has(b)",
            "a\\b",
            "</style>",
            "a,",
            ",",
            "a::before",
            "1a",
        ] {
            let (sheet, findings) = rendered(&json!({ selector: {"color": "#000"} }));
            assert_eq!(sheet, "", "{selector}");
            assert!(
                matches!(findings.as_slice(), [Finding::RuleIgnored { property: None, reason: Reason::Selector, .. }]),
                "{selector}: {findings:?}"
            );
        }
        for (property, value, reason) in [
            ("background", "url(//evil.example)", Reason::Property),
            ("background-image", "url(//evil.example)", Reason::Property),
            ("display", "none", Reason::Property),
            ("position", "fixed", Reason::Property),
            ("opacity", "0", Reason::Property),
            ("--canvas", "#000", Reason::Property),
            ("content", "x", Reason::Property),
            ("Color", "#000", Reason::Property),
            ("color", "transparent", Reason::Value),
            ("color", "#0000", Reason::Value),
            ("color", "var(--canvas)", Reason::Value),
            ("color", "red;position:fixed", Reason::Value),
            ("border", "1px solid url(x)", Reason::Value),
            ("border", "1px solid red !important", Reason::Value),
            ("border", "1px}body{color:red", Reason::Value),
            ("font-family", "\"Arial\"", Reason::Value),
            ("font-size", "1px", Reason::Value),
            ("font-size", "999px", Reason::Value),
            ("margin", "-40px", Reason::Value),
            ("padding", "5000px", Reason::Value),
            ("padding", "10vw", Reason::Value),
            ("padding", "calc(1px)", Reason::Value),
            ("padding", "/**/", Reason::Value),
            ("padding", "1e3px", Reason::Value),
            ("max-width", "1px", Reason::Value),
            ("line-height", "0", Reason::Value),
        ] {
            let (sheet, findings) = rendered(&json!({"a": {property: value}}));
            assert_eq!(sheet, "", "{property}: {value}");
            assert_eq!(
                findings,
                [Finding::RuleIgnored {
                    field: "payment_link_ui_rules",
                    selector: "a".to_owned(),
                    property: Some(property.to_owned()),
                    reason
                }]
            );
        }
    }

    #[test]
    fn a_colour_by_itself_is_applied_and_told() {
        let (sheet, findings) = rendered(&json!({".amount": {"color": "red"}}));
        assert_eq!(sheet, ".amount{color:red;}");
        let told = Finding::ContrastUnknown { field: "payment_link_ui_rules", selector: ".amount".to_owned() };
        assert_eq!(findings, [told]);
    }

    proptest! {
        #[test]
        fn nothing_leaves_its_rule(
            selector in "[ -~]{1,24}", property in "[ -~]{1,24}|color|border|padding|font-family", value in "[ -~]{1,32}",
        ) {
            prop_assume!(!selector.trim().is_empty() && !property.trim().is_empty() && !value.trim().is_empty());
            let (sheet, _) = rendered(&json!({ selector: { property: value } }));
            let inside = sheet.matches('{').count() <= 1 && sheet.matches('}').count() <= 1;
            prop_assert!(inside && !sheet.contains(['<', '@', '\\', '"', '\'', '!']) && !sheet.contains("/*"), "{sheet}");
            prop_assert!(!sheet.to_ascii_lowercase().contains("url("), "{sheet}");
        }
    }
}
