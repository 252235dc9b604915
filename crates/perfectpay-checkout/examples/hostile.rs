//! Writes the pages that the browser test opens with hostile values in every field: `hostile FOLDER`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "part of a test")]

use std::path::PathBuf;
use std::{env, fs};

use perfectpay_checkout::render;
use serde_json::{Map, json};

#[path = "../tests/support/mod.rs"]
mod support;

fn main() {
    let folder = PathBuf::from(env::args().nth(1).unwrap());
    fs::create_dir_all(&folder).unwrap();
    let plain = "https://acme.example/picture.svg";
    let texts = support::HOSTILE.iter().map(|text| (*text, plain));
    let addresses = support::HOSTILE_URLS.iter().map(|url| ("Acme Outfitters", *url));
    for (at, (text, url)) in texts.chain(addresses).enumerate() {
        for (layout, locale) in [("layout1", "en"), ("layout2", "ar")] {
            let fixture = support::Fixture::of(text, url, layout);
            for state in ["active", "open_amount", "paid"] {
                let document = render(&fixture.page(state, locale)).unwrap();
                let headers: Map<_, _> =
                    document.headers.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                let beside = json!({"status": document.status, "headers": headers, "expected": text});
                let name = format!("hostile-{at:02}-{state}-{layout}-{locale}");
                fs::write(folder.join(format!("{name}.html")), &document.html).unwrap();
                fs::write(folder.join(format!("{name}.json")), beside.to_string()).unwrap();
            }
        }
    }
}
