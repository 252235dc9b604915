//! Nothing that a field holds becomes markup: every page is read by a browser's own parser and compared, element by
//! element and attribute by attribute, with one whose fields are plain.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at a surprise")]

use std::collections::BTreeMap;

use html5ever::tendril::TendrilSink as _;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use perfectpay_checkout::{Document, render};
use proptest::prelude::*;

use crate::support::{Fixture, HOSTILE, HOSTILE_URLS, STATES};

mod support;

/// The elements in order, each with the names of its attributes and the values of those that never hold a text.
fn skeleton(document: &Document) -> Vec<String> {
    fn walk(node: &Handle, found: &mut Vec<String>) {
        match &node.data {
            NodeData::Element { name, attrs, .. } => {
                let attributes: BTreeMap<String, String> = attrs
                    .borrow()
                    .iter()
                    .map(|attribute| {
                        let name = attribute.name.local.to_string();
                        let free = ["alt", "src", "href", "action", "content", "datetime", "lang", "viewBox", "d"];
                        let value = if free.contains(&&*name) { String::new() } else { attribute.value.to_string() };
                        (name, value)
                    })
                    .collect();
                found.push(format!("{} {attributes:?}", &*name.local));
            }
            NodeData::Comment { .. } => found.push("comment".to_owned()),
            NodeData::ProcessingInstruction { .. } => found.push("instruction".to_owned()),
            _ => {}
        }
        for child in node.children.borrow().iter() {
            walk(child, found);
        }
    }
    let dom = parse_document(RcDom::default(), ParseOpts::default()).one(document.html.as_str());
    assert_eq!(dom.errors.borrow().as_slice(), [] as [&str; 0], "the parser objects");
    let mut found = Vec::new();
    walk(&dom.document, &mut found);
    found
}

/// The text of the first element with this name or id.
fn text_of(document: &Document, id: &str) -> String {
    fn find(node: &Handle, id: &str) -> Option<String> {
        if let NodeData::Element { name, attrs, .. } = &node.data {
            let named = attrs.borrow().iter().any(|a| &*a.name.local == "id" && &*a.value == id);
            if named || &*name.local == id {
                let mut text = String::new();
                for child in node.children.borrow().iter() {
                    if let NodeData::Text { contents } = &child.data {
                        text.push_str(&contents.borrow());
                    }
                }
                return Some(text);
            }
        }
        node.children.borrow().iter().find_map(|child| find(child, id))
    }
    let dom = parse_document(RcDom::default(), ParseOpts::default()).one(document.html.as_str());
    find(&dom.document, id).unwrap()
}

fn assert_inert(hostile: &Document, benign: &Document, what: &str) {
    assert_eq!(skeleton(hostile), skeleton(benign), "{what}");
    for (name, value) in hostile.headers.iter() {
        assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{name}: {value}");
        if name != "location" {
            assert_eq!(Some(value), known(name, value, benign), "{name} of {what}");
        }
    }
    let sheet = hostile.html.split("<style>").nth(2).unwrap().split("</style>").next().unwrap();
    assert!(sheet.matches('@').count() == 1 && !sheet.contains("{display"), "{what}: {sheet}");
}

/// What a header should be: that of the plain page, but for the hash of the branding's own style sheet.
fn known<'a>(name: &str, value: &'a str, benign: &'a Document) -> Option<&'a str> {
    let expected = benign.headers.get(name)?;
    let hashless = |csp: &str| csp.split('\'').filter(|part| !part.starts_with("sha256-")).collect::<String>();
    if hashless(expected) == hashless(value) { Some(value) } else { Some(expected) }
}

#[test]
fn a_hostile_text_in_every_field_of_every_state_stays_a_text() {
    for layout in ["layout1", "layout2"] {
        let benign = Fixture::benign(layout);
        for text in HOSTILE {
            let hostile = Fixture::of(text, "https://acme.example/picture.svg", layout);
            for state in STATES {
                for locale in ["en", "ar"] {
                    let plain = render(&benign.page(state, locale)).unwrap();
                    let document = render(&hostile.page(state, locale)).unwrap();
                    assert_inert(&document, &plain, &format!("{state} {locale} {text}"));
                }
            }
        }
    }
}

#[test]
fn a_hostile_address_stays_an_address() {
    let benign = Fixture::benign("layout2");
    for url in HOSTILE_URLS {
        let hostile = Fixture::of("Acme Outfitters", url, "layout2");
        for state in STATES {
            let plain = render(&benign.page(state, "en")).unwrap();
            let document = render(&hostile.page(state, "en")).unwrap();
            assert_inert(&document, &plain, &format!("{state} {url}"));
        }
    }
}

#[test]
fn an_image_whose_host_is_a_directive_is_left_out_and_told() {
    let hostile = Fixture::of("Acme", "https://acme.example;script-src*/x.png", "layout1");
    let document = render(&hostile.page("active", "en")).unwrap();
    let policy = document.headers.get("content-security-policy").unwrap();
    assert!(!policy.contains("acme.example"), "{policy}");
    assert!(!document.html.contains("<img"));
    let told: Vec<_> = document
        .findings
        .iter()
        .filter_map(|finding| match finding {
            perfectpay_checkout::Finding::ImageIgnored { field } => Some(*field),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["logo", "background_image"]);
}

#[test]
fn the_elements_configuration_comes_out_as_it_went_in() {
    for text in HOSTILE {
        let fixture = Fixture::of(text, "https://acme.example/picture.svg", "layout1");
        let document = render(&fixture.page("active", "en")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text_of(&document, "payment-configuration")).unwrap();
        assert_eq!(json["publishable_key"], text);
        assert_eq!(json["client_secret"], text);
        assert_eq!(json["element"]["note"], text);
        assert_eq!(json["amount"], 4_999);
        assert_eq!(json["currency"], "USD");
        assert_eq!(json["show_card_terms"], "never", "the page shows them");
    }
}

#[test]
fn a_text_is_shown_as_it_is() {
    let text = HOSTILE[0];
    let fixture = Fixture::of(text, "https://acme.example/picture.svg", "layout1");
    let document = render(&fixture.page("active", "en")).unwrap();
    assert_eq!(text_of(&document, "title"), format!("Pay {text}"));
    assert_eq!(text_of(&document, "submit"), text);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn no_text_at_all_becomes_markup(text in "[<>\"'&/=;:{}()\\\\!\\- a-z\\x{a0}-\\x{2fff}]{1,80}", state in 0..STATES.len()) {
        prop_assume!(text.parse::<perfectpay::Text<255>>().is_ok());
        let benign = Fixture::benign("layout1");
        let hostile = Fixture::of(text.trim(), "https://acme.example/picture.svg", "layout1");
        let plain = render(&benign.page(STATES[state], "es")).unwrap();
        let document = render(&hostile.page(STATES[state], "es")).unwrap();
        assert_inert(&document, &plain, &text);
    }
}
