//! What routing costs: programs, eligibility and whole decisions, how they grow with the rules, and what it costs to
//! compile and to lint a program.
//!
//! `cargo bench -p perfectpay-benches --bench routing` prints the tables that `benches/README.md` keeps. Figures are
//! medians of rounds in which the contenders take turns; beside the peer's benchmark program stands the same program
//! written as Rust by hand, which nothing that is read at run time can beat.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a bench stops at a surprise")]
#![allow(clippy::cast_precision_loss, reason = "figures to two digits")]
#![allow(clippy::needless_pass_by_value, reason = "JSON is written in place")]

use std::hint::black_box;
use std::time::Instant;

use perfectpay::blocklist::index::{
    Covers, DigestKeys, DigitSpan, DigitsKind, Facts, Index, IndexEdit, IndexEntry, IndexFingerprint, IndexKey,
    IndexScope, LeadingDigits,
};
use perfectpay::blocklist::{BlockAction, BlockReason};
use perfectpay::routing::{
    BlockedCard, Compiled, DecisionInputs, ProgramVersion, RoutableAccount, Router, decide, interpret,
};
use perfectpay::{
    Algorithm, ConnectorStatus, ConnectorType, PaymentFacts, PaymentId, PaymentMethod, SystemEntropy, Timestamp, json,
};
use serde_json::{Value, json as value};

const ROUNDS: usize = 61;

fn choice(at: usize) -> Value {
    value!({"connector": "stripe", "merchant_connector_id": format!("mca_{at}")})
}

fn priority(from: usize, count: usize) -> Value {
    value!({"type": "priority", "data": (from..from + count).map(choice).collect::<Vec<_>>()})
}

fn comparison(lhs: &str, comparison: &str, kind: &str, of: Value) -> Value {
    value!({"lhs": lhs, "comparison": comparison, "value": {"type": kind, "value": of}, "metadata": {}})
}

fn word(lhs: &str, word: &str) -> Value {
    comparison(lhs, "equal", "enum_variant", word.into())
}

fn rule(name: &str, selects: Value, statements: Value) -> Value {
    value!({"name": name, "connectorSelection": selects, "statements": statements})
}

fn program(default: Value, rules: Vec<Value>) -> Algorithm {
    let program = value!({"defaultSelection": default, "rules": rules, "metadata": {}});
    json::from_value(value!({"type": "advanced", "data": program})).unwrap()
}

/// The program that the peer's own benchmark runs.
fn peers() -> Algorithm {
    let nested = value!([{"condition": [
        comparison("payment_method", "equal", "enum_variant_array", value!(["card", "bank_redirect"])),
        comparison("amount", "equal", "number_array", value!([40, 50])),
    ]}]);
    let statement = |method, operator, number: i64| {
        let condition = [word("payment_method", method), comparison("amount", operator, "number", number.into())];
        value!([{"condition": condition, "nested": nested}])
    };
    program(
        priority(0, 3),
        vec![
            rule("stripe_first", priority(0, 2), statement("card", "equal", 40)),
            rule("adyen_first", priority(1, 2), statement("bank_redirect", "greater_than", 60)),
            rule("auth_first", priority(3, 2), value!([{"condition": [word("payment_method", "wallet")]}])),
        ],
    )
}

/// The same, as Rust.
fn by_hand(facts: &PaymentFacts) -> u32 {
    let (method, amount) = (facts.payment_method, facts.amount.get());
    let nested = matches!(method, Some(PaymentMethod::Card | PaymentMethod::BankRedirect)) && matches!(amount, 40 | 50);
    if method == Some(PaymentMethod::Card) && amount == 40 && nested {
        1
    } else if method == Some(PaymentMethod::BankRedirect) && amount > 60 && nested {
        2
    } else if method == Some(PaymentMethod::Wallet) {
        3
    } else {
        0
    }
}

/// Rules of three comparisons each, none of which holds for [`payment`]; in the worst case the last of the three fails.
fn rules(count: usize, worst: bool) -> Algorithm {
    let one = |at: usize| {
        let low = 1_000_000 + i64::try_from(at).unwrap() * 1_000;
        let condition = if worst {
            // Tests stand by how rarely they hold; the one that fails is made the widest.
            value!([
                word("payment_method", "card"),
                comparison("card_network", "equal", "enum_variant_array", value!(["Visa", "Mastercard"])),
                comparison("amount", "not_equal", "number_range", value!({"minimum": 4_000, "maximum": 5_000 + at})),
            ])
        } else {
            value!([
                word("payment_method", ["card", "wallet", "upi"][at % 3]),
                word("currency", ["USD", "EUR", "INR", "GBP"][at % 4]),
                comparison("amount", "equal", "number_range", value!({"minimum": low, "maximum": low + 999})),
            ])
        };
        rule("rule", priority(at % 20, 1), value!([{"condition": condition}]))
    };
    program(priority(0, 3), (0..count).map(one).collect())
}

fn payment() -> PaymentFacts {
    json::from_value(value!({
        "amount": 4_999, "currency": "USD", "payment_method": "card", "payment_method_type": "credit",
        "card": {"bin": "42424242", "card_network": "Visa", "card_type": "credit", "issuing_country": "DE"},
        "authentication_type": "no_three_ds", "capture_method": "automatic", "billing_country": "DE",
        "business_country": "US", "metadata": {"tier": "gold"},
    }))
    .unwrap()
}

fn accounts(count: usize) -> Vec<RoutableAccount> {
    let methods = value!([
        {"payment_method": "card", "payment_method_types": [
            {"payment_method_type": "credit", "card_networks": ["Visa", "Mastercard"], "minimum_amount": 1,
                "accepted_currencies": {"type": "enable_only", "list": ["USD", "EUR"]}},
            {"payment_method_type": "debit"}]},
        {"payment_method": "wallet", "payment_method_types": ["paypal", "apple_pay"]},
    ]);
    let one = |at: usize| RoutableAccount {
        account: format!("mca_{at}").parse().unwrap(),
        connector: "stripe".parse().unwrap(),
        connector_type: ConnectorType::PaymentProcessor,
        routable: true,
        status: ConnectorStatus::Active,
        disabled: false,
        payment_methods_enabled: Some(json::from_value(methods.clone()).unwrap()),
    };
    (0..count).map(one).collect()
}

fn router(algorithm: Algorithm, accounts: &[RoutableAccount]) -> Router {
    let program =
        ProgramVersion { id: "routing_1".parse().unwrap(), version: 1, algorithm: std::sync::Arc::new(algorithm) };
    Router::new("pro_1".parse().unwrap(), Some(program), accounts.to_vec(), &[]).unwrap()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

struct Contender<'a> {
    name: &'a str,
    /// How often it is asked in a round.
    times: u32,
    ask: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    fn of<T>(name: &'a str, times: u32, mut ask: impl FnMut() -> T + 'a) -> Self {
        Self { name, times, ask: Box::new(move || drop(black_box(ask()))) }
    }

    /// Nanoseconds for one, the call through the box among them.
    fn round(&mut self) -> f64 {
        let started = Instant::now();
        for _ in 0..self.times {
            (self.ask)();
        }
        started.elapsed().as_nanos() as f64 / f64::from(self.times)
    }
}

fn contest(title: &str, mut contenders: Vec<Contender<'_>>) {
    let mut figures = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for (contender, figures) in contenders.iter_mut().zip(&mut figures) {
            figures.push(contender.round());
        }
    }
    println!("\n{title}");
    for (contender, figures) in contenders.iter().zip(figures) {
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        println!("  {:<58} {:>12.1} ns   least {:>12.1}", contender.name, median(figures), least);
    }
}

fn programs() {
    let algorithm = peers();
    let Algorithm::Advanced(json) = &algorithm else { unreachable!("is one") };
    let compiled = Compiled::new(&algorithm).unwrap();
    let facts: PaymentFacts = json::from_value(value!({
        "amount": 32, "currency": "USD", "payment_method": "pay_later", "authentication_type": "no_three_ds",
        "capture_method": "automatic", "business_country": "US", "billing_country": "FR",
    }))
    .unwrap();
    assert_eq!((compiled.choose(&facts).rule(), by_hand(&facts)), (None, 0));
    contest(
        "the peer's benchmark program",
        vec![
            Contender::of("nothing", 100_000, || black_box(&facts).amount),
            Contender::of("by hand, as Rust", 100_000, || by_hand(black_box(&facts))),
            Contender::of("compiled", 100_000, || compiled.choose(black_box(&facts))),
            Contender::of("its JSON interpreted", 20_000, || interpret::matched(json, black_box(&facts))),
        ],
    );
}

fn growth() {
    let facts = payment();
    let sizes = [10, 100, 300, 1_000];
    let made: Vec<_> = [false, true]
        .into_iter()
        .flat_map(|worst| sizes.map(|count| (worst, count, Compiled::new(&rules(count, worst)).unwrap())))
        .collect();
    let names: Vec<String> = made
        .iter()
        .map(|(worst, count, _)| {
            format!("{count} rules of 3 comparisons, {}", if *worst { "the third fails" } else { "mixed" })
        })
        .collect();
    let contenders = made.iter().zip(&names).map(|((_, count, compiled), name)| {
        assert_eq!(compiled.choose(&facts).rule(), None);
        let times = u32::try_from(200_000 / count).unwrap();
        Contender::of(name, times, || compiled.choose(black_box(&facts)))
    });
    contest("programs, no rule of which holds", contenders.collect());
}

fn decisions() {
    let (facts, payment_id): (_, PaymentId) = (payment(), "pay_06h0cm8p3lod5cjmsof3snjqr8".parse().unwrap());
    let accounts = accounts(20);
    let router = router(rules(10, true), &accounts);
    let nobody = self::router(rules(10, true), &[]);
    let keys = std::sync::Arc::new(DigestKeys::draw(&SystemEntropy));
    let put = |covers| {
        let key = IndexKey { covers, scope: IndexScope::Merchant };
        IndexEdit::Put(IndexEntry { key, action: BlockAction::Block, expires_at: None })
    };
    let mut state = 1_u64;
    let mut mac = || {
        let mut mac = [0; 32];
        for chunk in mac.chunks_exact_mut(8) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            chunk.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes());
        }
        mac
    };
    let prints = (0..990_000).map(|_| put(Covers::Fingerprint(IndexFingerprint::ours(1, &mac()))));
    let digits = (0..10_000_u32).map(|at| {
        let text = format!("{:08}", 50_000_000 + at);
        put(Covers::Digits(DigitSpan::prefix(DigitsKind::ExtendedCardBin, &text).unwrap()))
    });
    let index = Index::new(std::sync::Arc::clone(&keys), IndexScope::Merchant).edited(prints.chain(digits));
    let print = [9_u8; 32];
    let leading = LeadingDigits::of("42424242").unwrap();
    let screen = || {
        let fingerprints = [IndexFingerprint::ours(1, black_box(&print))];
        index.matched(&Facts { leading: Some(leading), fingerprints: &fingerprints }, None, Timestamp::UNIX_EPOCH)
    };
    let inputs = DecisionInputs::of(&payment_id, &facts);
    let blocked = BlockedCard { reason: BlockReason::BlockedBin, entry: None };
    contest(
        "decisions: 20 accounts, 10 rules, a blocklist of a million",
        vec![
            Contender::of("screened, routed: 20 candidates", 20_000, || {
                let blocked = screen().map(|_| &blocked);
                decide(&router, DecisionInputs { screening: blocked, ..inputs })
            }),
            Contender::of("screened alone", 20_000, screen),
            Contender::of("routed alone: 20 candidates", 20_000, || decide(&router, black_box(inputs))),
            Contender::of("routed alone, no account", 20_000, || decide(&nobody, black_box(inputs))),
        ],
    );
}

fn preparing() {
    let accounts = accounts(20);
    let hundred = [rules(100, true), rules(100, false)];
    let thousand = rules(1_000, false);
    let json = serde_json::to_vec(&hundred[0]).unwrap();
    contest(
        "preparing",
        vec![
            Contender::of("compile 100 rules", 20, || Compiled::new(&hundred[0])),
            Contender::of("compile 100 rules, mixed", 20, || Compiled::new(&hundred[1])),
            Contender::of("compile 1,000 rules, mixed", 4, || Compiled::new(&thousand)),
            Contender::of("read 100 rules from JSON", 4, || serde_json::from_slice::<Algorithm>(&json)),
            Contender::of("a router of 100 rules and 20 accounts", 20, || router(hundred[0].clone(), &accounts)),
            Contender::of("findings about 100 rules", 4, || hundred[0].lints(&accounts)),
            Contender::of("findings about 1,000 rules, mixed", 1, || thousand.lints(&accounts)),
        ],
    );
}

fn main() {
    programs();
    growth();
    decisions();
    preparing();
}
