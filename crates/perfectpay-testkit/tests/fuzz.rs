//! Bytes that may be a routing program, the facts of a payment, the body of a link, its URL or its domains: nothing
//! panics, what is read says the same when it is written and read again, and what reading takes is bounded by the length.
//!
//! Each test goes through published bodies, changes bytes of them, cuts, repeats and mixes parts, and goes on from what
//! still means something. It tries a fixed number of inputs, or goes on for as many seconds as are stated:
//! `PERFECTPAY_FUZZ_SECONDS=180 cargo test --release -p perfectpay-testkit --test fuzz -- --nocapture`. `PERFECTPAY_SEED`
//! says where to begin. A failure names the input.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]
#![allow(clippy::cast_possible_truncation, reason = "random numbers are cut to what is needed")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use perfectpay::routing::{Compiled, interpret};
use perfectpay::{
    Algorithm, AllowedDomain, AllowedDomains, Error, LinkClaim, LinkFilter, LinkTarget, LinkUrl, MerchantScope,
    NewPayment, NewPaymentLink, Outcome, PaymentFacts, PaymentLinkConfig, PaymentLinkConfigRequest, RetryPolicy, json,
    origin_allowed,
};
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::host;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Inputs of each kind, where no time is stated.
const INPUTS: u64 = 1_500;
/// Bytes that an input may cost in memory at once: so many, and so many for each of its own.
const MEMORY: (u64, u64) = (256 * 1_024, 256);

const FACTS: &str = r#"{"amount":4999,"currency":"EUR","payment_method":"card","payment_method_type":"credit",
    "card":{"bin":"42424242","card_network":"Visa","card_type":"credit","issuing_country":"DE","issuer":"x"},
    "authentication_type":"three_ds","capture_method":"manual","billing_country":"FR","business_label":"north",
    "metadata":{"a":"b"}}"#;

const PROGRAMS: [&str; 6] = [
    r#"{"type":"single","data":{"connector":"stripe","merchant_connector_id":"mca_1"}}"#,
    r#"{"data":[{"connector":"stripe","split":60},{"connector":{"connector":"adyen"},"split":40}],"type":"volume_split"}"#,
    r#"{"type":"advanced","data":{"defaultSelection":{"type":"priority","data":["stripe","adyen"]},"metadata":{},"rules":[
        {"name":"a","connectorSelection":{"type":"priority","data":["stripe"]},"statements":[{"condition":[
        {"lhs":"payment_method","comparison":"equal","value":{"type":"enum_variant","value":"card"},"metadata":{}},
        {"lhs":"amount","comparison":"greater_than","value":{"type":"number","value":40},"metadata":{}}],
        "nested":[{"condition":[{"lhs":"amount","comparison":"equal","value":{"type":"number_array","value":[40,50]},
        "metadata":{}}],"nested":[{"condition":[]}]},{"condition":[{"lhs":"billing_country","comparison":"not_equal",
        "value":{"type":"enum_variant_array","value":["Germany","France"]},"metadata":{}}]}]}]},
        {"name":"b","routingOutput":{"data":[{"connector":"adyen","split":100}],"type":"volume_split"},"statements":[
        {"condition":[{"lhs":"metadata","comparison":"equal","value":{"value":{"key":"a","value":"b"},
        "type":"metadata_variant"}},{"lhs":"card_prefix","comparison":"equal","value":{"type":"str_value","value":"42"}},
        {"lhs":"amount","comparison":"equal","value":{"type":"number_range","value":{"minimum":1,"maximum":9}}},
        {"lhs":"amount","comparison":"not_equal","value":{"type":"number_comparison_array","value":[
        {"comparisonType":"less_than","number":5}]}}]}]}]}}"#,
    FACTS,
    r#"{"decline_codes":["51","91"],"hard_declines":["x"],"max_retries":3,"retry_timeouts":true,"retry_errors":false}"#,
    r#"{"result":"declined","code":"51","hard":false}"#,
];

const LINKS: [&str; 10] = [
    r#"{"amount":4999,"currency":"USD","customer_id":"cus_abc123","capture_method":"automatic",
        "authentication_type":"no_three_ds","return_url":"https://example.com/checkout/complete","confirm":false,
        "description":"Order 1001","metadata":{"order_id":"1001"},"payment_link":true}"#,
    r#"{"amount":1,"currency":"JPY","payment_link":true,"session_expiry":600,"payment_link_config_id":"eu",
        "payment_link_config":{"theme":"orange","logo":"https://a.example/l.png","seller_name":"A","sdk_layout":"tabs",
        "transaction_details":[{"key":"Policy","value":"42","ui_configuration":{"position":1,"is_key_bold":true}}]}}"#,
    r#"{"amount":{"minimum":500,"maximum":90000},"currency":"EUR","kind":{"limited":25},"profile_id":"pro_1",
        "return_url":"https://shop.example.com/thanks?a=b#c","opens_at":"2026-12-01T00:00:00Z",
        "expires_at":"2026-12-02T00:00:00.5Z","description":"Tickets \u00fc","payment_link_config":{"theme":"red"}}"#,
    r#"{"theme":"navy","logo":"https://a.example/l.png","allowed_domains":["*.example.com","b\u00fccher.example:8443",
        "127.0.0.1:8080"],"domain_name":"pay.example.com","branding_visibility":false,
        "business_specific_configs":{"eu":{"theme":"red"}},"payment_link_ui_rules":{".a":{"color":"red"}}}"#,
    r#"{"created.gte":"2027-01-01T00:00:00Z","created.lt":"2027-02-01T00:00:00Z","state":"paid","profile_id":"pro_1"}"#,
    r#"{"amount":700,"customer_id":"cus_1","hold":900}"#,
    "/payment_link/s/acme_us/pay_1?locale=es-MX&utm_source=mail",
    "/payment_link/link/status/link/plink_06h0cm8p3lod5cjmsof3snjqr8?locale=ar",
    "*.shop.example.com:8443",
    "https://xn--bcher-kva.example:8443/checkout?step=2#end",
];

/// Numbers that look random and are the same in every run: `SplitMix64`.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Another input: a byte changed, a part cut out, repeated, wrapped many times over, or taken from another one.
fn changed(numbers: &mut Numbers, from: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    const PIECES: [&[u8]; 22] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"null",
        b"true",
        b"-1",
        b"1e999",
        b"\"\"",
        b"\"type\":",
        b"\"nested\":[{\"condition\":[]}]",
        b"18446744073709551616",
        b"9223372036854775807",
        b"\\u0000",
        b"\\ud800",
        b"\xff",
        b",",
        b"%2f",
        b"../",
        b"xn--",
        "\u{200d}.\u{ff0e}".as_bytes(),
        "\u{1f4a9}\u{202e}".as_bytes(),
    ];
    const WRAPS: [&[u8]; 4] = [b"[", b"{\"nested\":[", b"{\"data\":", b"a."];
    let mut made = from.to_vec();
    for _ in 0..=numbers.below(3) {
        let (at, end) = (numbers.below(made.len() + 1), numbers.below(made.len() + 1));
        let (at, end) = (at.min(end), at.max(end));
        match numbers.below(8) {
            0 | 1 if at < made.len() => made[at] = numbers.next() as u8,
            2 => drop(made.drain(at..end.min(at + 40))),
            3 => {
                let part = made[at..end].to_vec();
                made.splice(at..at, part);
            }
            4 => drop(made.splice(at..at, numbers.one_of(&PIECES).iter().copied())),
            5 => {
                let part = &others[numbers.below(others.len())];
                let (from, upto) = (numbers.below(part.len()), numbers.below(part.len()));
                made.splice(at..at, part[from.min(upto)..from.max(upto)].to_vec());
            }
            6 => {
                let times = numbers.below(300);
                made.splice(at..at, numbers.one_of(&WRAPS).repeat(times));
            }
            _ => made.truncate(end),
        }
    }
    // Some are longer than any body that is read.
    made.truncate(json::MAX_BODY + 1_024);
    made
}

/// Hands changed inputs to `read`, which says whether one means something, and what does to `then`.
fn fuzz(name: &str, seeds: &[&str], read: impl Fn(&[u8]) -> bool, then: impl Fn(&[u8])) {
    let stated = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = stated("PERFECTPAY_SEED").unwrap_or(1);
    let time = stated("PERFECTPAY_FUZZ_SECONDS").map(Duration::from_secs);
    let mut numbers = Numbers(seed);
    let mut corpus: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let (started, mut tried, mut meant) = (Instant::now(), 0_u64, 0_u64);
    let mut slowest = (Duration::ZERO, 0);
    while time.map_or(tried < INPUTS, |time| started.elapsed() < time) {
        let from = numbers.below(corpus.len());
        let input = if tried < seeds.len() as u64 {
            corpus[tried as usize].clone()
        } else {
            changed(&mut numbers, &corpus[from], &corpus)
        };
        let number = tried;
        let told =
            |what: &str| -> ! { panic!("input {number} of seed {seed} {what}: {:?}", String::from_utf8_lossy(&input)) };
        let (began, mut means) = (Instant::now(), Ok(false));
        let counted = allocation_counter::measure(|| means = catch_unwind(AssertUnwindSafe(|| read(&input))));
        let took = began.elapsed();
        let Ok(means) = means else { told("panics") };
        if counted.bytes_max > MEMORY.0 + MEMORY.1 * input.len() as u64 {
            told(&format!("takes {} bytes", counted.bytes_max));
        }
        assert!(means || tried >= seeds.len() as u64, "seed {tried} means nothing");
        if took > slowest.0 {
            slowest = (took, input.len());
        }
        tried += 1;
        if means {
            meant += 1;
            if catch_unwind(AssertUnwindSafe(|| then(&input))).is_err() {
                told("panics behind reading");
            }
            // It is worth changing further.
            if input.len() < 8 * 1_024 {
                if corpus.len() < 2_000 {
                    corpus.push(input);
                } else {
                    let at = seeds.len() + numbers.below(corpus.len() - seeds.len());
                    corpus[at] = input;
                }
            }
        }
    }
    println!("{name}: {tried} inputs, {meant} of which mean something; the slowest took {slowest:?}");
}

/// Reads a body. One that means something is written, and read again as the same.
fn reads<T: Serialize + DeserializeOwned>(input: &[u8]) -> Option<T> {
    let read: T = json::from_slice(input).ok()?;
    let written = serde_json::to_value(&read).unwrap();
    let again: T = json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), written);
    Some(read)
}

#[test]
fn bytes_that_may_be_a_program_are_read_compiled_and_run_or_refused() {
    let facts: PaymentFacts = json::from_slice(FACTS.as_bytes()).unwrap();
    let read = |input: &[u8]| {
        let others = [
            reads::<PaymentFacts>(input).map(|facts| facts.check().is_ok()),
            reads::<RetryPolicy>(input).map(|policy| policy.check().is_ok()),
            reads::<Outcome>(input).map(|_| true),
        ];
        let Some(algorithm) = reads::<Algorithm>(input) else { return others.contains(&Some(true)) };
        let Ok(compiled) = Compiled::new(&algorithm) else { return false };
        let _ = algorithm.lints(&[]);
        if let Algorithm::Advanced(program) = &algorithm {
            let rule = compiled.choose(&facts).rule().map(|rule| rule as usize);
            assert_eq!(rule, interpret::matched(program, &facts), "means what it says");
        }
        true
    };
    fuzz("programs", &PROGRAMS, read, |_| {});
}

/// Whether the error is one about what was asked.
fn refused(error: &Error) -> bool {
    matches!(error, Error::Invalid(_) | Error::NotFound(_) | Error::AlreadyExists(_) | Error::Refused { .. })
}

/// A body for a link is carried out or refused, and the URL that is answered reads back.
fn created(account: &MerchantScope, input: &[u8]) {
    let opens = |url: &str, target: &LinkTarget| {
        let path = &url[url.find("/payment_link/").unwrap()..];
        let read = LinkUrl::parse(path).unwrap();
        assert_eq!((read.merchant_id.as_str(), &read.target), ("acme", target));
    };
    if let Ok(new) = json::from_slice::<NewPaymentLink>(input) {
        match block_on(async { account.create_payment_link(new).await }) {
            Ok(link) => opens(&link.link_to_pay, &LinkTarget::Link(link.payment_link_id)),
            Err(error) => assert!(refused(&error), "{error}"),
        }
    }
    if let Ok(new) = json::from_slice::<NewPayment>(input) {
        match block_on(async { account.create_payment(new).await }) {
            Ok(payment) => {
                if let Some(link) = &payment.payment_link {
                    opens(&link.link, &LinkTarget::Payment(payment.payment_id));
                }
            }
            Err(error) => assert!(refused(&error), "{error}"),
        }
    }
}

#[test]
fn bytes_that_may_be_of_a_link_are_read_and_carried_out_or_refused() {
    let domains: AllowedDomains =
        vec!["*.example.com".parse().unwrap(), "xn--bcher-kva.example:8443".parse().unwrap()].try_into().unwrap();
    let read = |input: &[u8]| {
        let mut means = reads::<NewPaymentLink>(input).is_some();
        means |= json::from_slice::<NewPayment>(input).is_ok();
        means |= reads::<LinkFilter>(input).is_some();
        means |= reads::<LinkClaim>(input).is_some();
        means |= reads::<PaymentLinkConfig>(input).is_some();
        means |= reads::<PaymentLinkConfigRequest>(input).is_some();
        let Ok(text) = std::str::from_utf8(input) else { return means };
        if let Ok(url) = LinkUrl::parse(text) {
            assert_eq!(LinkUrl::parse(&url.to_string()).unwrap(), url);
            means = true;
        }
        if let Ok(domain) = text.parse::<AllowedDomain>() {
            assert_eq!(domain.to_string().parse::<AllowedDomain>().unwrap(), domain);
            assert!(domain.csp_source().bytes().all(|b| b.is_ascii_graphic() && b != b';' && b != b',' || b == b' '));
            means = true;
        }
        means | origin_allowed(Some(&domains), text)
    };
    let pay = block_on(host::open(Arc::new(MemoryStore::new()))).unwrap();
    let account = block_on(host::stand_up(&pay, "acme")).unwrap().scope(&pay);
    fuzz("links", &LINKS, read, |input| created(&account, input));
}
