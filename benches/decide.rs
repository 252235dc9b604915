//! What a decision costs through a profile's handle: 20 connector accounts, an active program of 10 rules with 3
//! comparisons each, and a blocklist of a million entries.
//!
//! `cargo bench -p perfectpay-benches --bench decide` prints the table that `benches/README.md` keeps; an argument says
//! how many entries the list has. Figures are medians of rounds in which the contenders take turns. A round asks about
//! payments that were made right before, as a host makes them from a request: they are in the processor's cache, and what
//! is looked up for their cards is not.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a bench stops at a surprise")]
#![allow(clippy::cast_precision_loss, reason = "figures to two digits")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use futures_lite::future::block_on;
use perfectpay::routing::{BlockedCard, DecisionInputs, decide};
use perfectpay::{
    Answer, CardFacts, DecideRequest, Fingerprint, ImportOptions, MasterKey, MerchantScope, NewMerchant,
    NewOrganization, PaymentFacts, PerfectPay, ProfileScope, Router, Screener, Settings, json,
};
use perfectpay_sqlite::SqliteStore;
use serde_json::{Value, json as value};

const ROUNDS: usize = 2_001;
/// Payments of one round: as many as stay in the nearest caches between being made and being decided.
const PAYMENTS: usize = 100;
/// So many more are asked about before the clock starts: what made them has taken the place of what decides them.
const WARM: usize = 20;
const ACCOUNTS: usize = 20;
const RULES: usize = 10;

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

    fn fingerprint(&mut self) -> String {
        let words = [(); 4].map(|()| self.next().to_be_bytes()).concat();
        Fingerprint { version: 1, digest: words.try_into().unwrap() }.to_string()
    }
}

fn connector(at: usize) -> Value {
    value!({
        "connector_type": "payment_processor", "connector_name": "stripe", "connector_label": format!("account_{at}"),
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "sk_live_1"},
        "payment_methods_enabled": [
            {"payment_method": "card", "payment_method_types": [
                {"payment_method_type": "credit", "card_networks": ["Visa", "Mastercard"], "minimum_amount": 1,
                    "accepted_currencies": {"type": "enable_only", "list": ["USD", "EUR"]}},
                {"payment_method_type": "debit"}]},
            {"payment_method": "wallet", "payment_method_types": ["paypal", "apple_pay"]},
        ],
    })
}

/// Rules none of which holds for [`request`], each by its last comparison: all are looked at.
fn program(accounts: &[String]) -> Value {
    let priority = |at: usize| value!({"type": "priority", "data": [{"connector": "stripe", "merchant_connector_id": accounts[at % ACCOUNTS]}]});
    let comparison = |lhs: &str, comparison: &str, kind: &str, of: Value| value!({"lhs": lhs, "comparison": comparison, "value": {"type": kind, "value": of}, "metadata": {}});
    let rule = |at: usize| {
        let range = value!({"minimum": 4_000, "maximum": 5_000 + at});
        let condition = [
            comparison("payment_method", "equal", "enum_variant", "card".into()),
            comparison("card_network", "equal", "enum_variant_array", value!(["Visa", "Mastercard"])),
            comparison("amount", "not_equal", "number_range", range),
        ];
        value!({"name": "rule", "connectorSelection": priority(at), "statements": [{"condition": condition}]})
    };
    let rules: Vec<Value> = (0..RULES).map(rule).collect();
    value!({"type": "advanced", "data": {"defaultSelection": priority(3), "rules": rules, "metadata": {}}})
}

fn request(numbers: &mut Numbers) -> DecideRequest {
    let bin = format!("{:08}", 40_000_000 + numbers.next() % 10_000_000);
    let facts: PaymentFacts = json::from_value(value!({
        "amount": 4_999, "currency": "USD", "payment_method": "card", "payment_method_type": "credit",
        "card": {"bin": bin, "card_network": "Visa", "card_type": "credit", "issuing_country": "DE"},
        "authentication_type": "no_three_ds", "capture_method": "automatic", "billing_country": "DE",
        "business_country": "US",
    }))
    .unwrap();
    let payment = format!("pay_{:026}", numbers.next()).parse().unwrap();
    let mut request = DecideRequest::new(payment, facts);
    request.card = Some(CardFacts::new(&bin, [numbers.fingerprint()]).unwrap());
    request
}

/// A merchant account with a list of so many entries, and a profile with accounts and a program.
async fn furnished(path: &std::path::Path, entries: usize) -> (MerchantScope, ProfileScope) {
    let store = Arc::new(SqliteStore::open(path).unwrap());
    let master = MasterKey::from_hex("bench", &"5fa1".repeat(16)).unwrap();
    let pay = PerfectPay::open(store, Settings::new(master)).await.unwrap();
    let organization = pay.create_organization(NewOrganization::named("Acme".parse().unwrap())).await.unwrap();
    let scope = pay.organization(&organization.organization_id);
    let merchant = scope.create_merchant(NewMerchant::with_id("merchant".parse().unwrap())).await.unwrap();
    let account = scope.merchant(&merchant.merchant_id);
    let profile = account.profile(&merchant.default_profile.unwrap());
    let mut accounts = Vec::new();
    for at in 0..ACCOUNTS {
        let made = profile.create_connector(json::from_value(connector(at)).unwrap()).await.unwrap();
        accounts.push(made.merchant_connector_id.to_string());
    }
    let body = value!({"name": "program", "description": "ten rules", "algorithm": program(&accounts)});
    let made = profile.routing().create(json::from_value(body).unwrap()).await.unwrap();
    profile.routing().program(&made.record.id).activate(None).await.unwrap();
    let mut numbers = Numbers(1);
    let mut file = "type,data\n".to_owned();
    // Fingerprints, and one BIN for every hundred of them, none of which is asked about.
    for at in 0..entries {
        if at % 100 == 0 && at / 100 < 10_000 {
            writeln!(file, "extended_card_bin,{}", 50_000_000 + at / 100).unwrap();
        } else {
            writeln!(file, "fingerprint,{}", numbers.fingerprint()).unwrap();
        }
    }
    let blocklist = account.blocklist();
    let report = blocklist.import_csv(file.as_bytes(), ImportOptions::default(), |_| {}).await.unwrap();
    assert_eq!(report.inserted, entries as u64);
    blocklist.toggle(Some(true)).await.unwrap();
    (account, profile)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Asks about every payment of a round. Boxed: nothing of one contender is inlined into another.
type Ask<'a> = Box<dyn Fn(&[DecideRequest]) + 'a>;

fn contest(contenders: &[(&str, Ask<'_>)]) {
    let mut figures = vec![Vec::new(); contenders.len()];
    let mut numbers = Numbers(2);
    for round in 0..ROUNDS {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            let requests: Vec<DecideRequest> = (0..WARM + PAYMENTS).map(|_| request(&mut numbers)).collect();
            contenders[at].1(&requests[..WARM]);
            let started = Instant::now();
            contenders[at].1(&requests[WARM..]);
            figures[at].push(started.elapsed().as_nanos() as f64 / PAYMENTS as f64);
        }
    }
    for ((name, _), figures) in contenders.iter().zip(figures) {
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        println!("  {name:<58} {:>9.1} ns   least {least:>9.1}", median(figures));
    }
}

fn decided(profile: &ProfileScope, requests: &[DecideRequest]) {
    block_on(async {
        for request in requests {
            black_box(profile.decide(black_box(request)).await.unwrap());
        }
    });
}

fn routed(router: &Router, blocked: Option<&BlockedCard>, requests: &[DecideRequest]) {
    for request in requests {
        let inputs = DecisionInputs::of(&request.payment_id, &request.facts);
        black_box(decide(router, DecisionInputs { screening: blocked, ..black_box(inputs) }));
    }
}

fn screened(screener: &Screener, requests: &[DecideRequest]) {
    block_on(async {
        for request in requests {
            black_box(screener.screen_facts(request.card.as_ref().unwrap()).await.unwrap());
        }
    });
}

/// Decisions a second of so many threads together: of each the median of its rounds, whose payments nobody asked about
/// before.
fn rate(profile: &ProfileScope, threads: u64) -> f64 {
    let of_thread = |thread: u64| {
        let mut numbers = Numbers(100 + thread);
        let round = |_| {
            let requests: Vec<DecideRequest> = (0..WARM + PAYMENTS).map(|_| request(&mut numbers)).collect();
            decided(profile, &requests[..WARM]);
            let started = Instant::now();
            decided(profile, &requests[WARM..]);
            PAYMENTS as f64 / started.elapsed().as_secs_f64()
        };
        median((0..ROUNDS).map(round).collect())
    };
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|thread| scope.spawn(move || of_thread(thread))).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

fn main() {
    let entries = std::env::args().skip(1).find_map(|one| one.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let (account, profile) = block_on(furnished(&folder.path().join("accounts.db"), entries));
    let screener = block_on(account.blocklist().screener()).unwrap();
    let first = request(&mut Numbers(3));
    let decision = block_on(profile.decide(&first)).unwrap();
    let Answer::Candidates(candidates) = &decision.answer else { unreachable!("every account takes it") };
    assert_eq!(candidates.len(), ACCOUNTS);
    let router = decision.router();
    println!("{ACCOUNTS} connector accounts, {RULES} rules of 3 comparisons, {entries} entries");
    contest(&[
        ("decide, through the profile's handle", Box::new(|all| decided(&profile, all))),
        ("of it: the card screened alone, by a Screener", Box::new(|all| screened(&screener, all))),
        ("of it: routed alone, 20 candidates", Box::new(|all| routed(router, None, all))),
        (
            "the list of candidates copied, as the answer has to be",
            Box::new(|all| all.iter().for_each(|_| drop(black_box(candidates.clone())))),
        ),
    ]);
    for threads in [1, 2] {
        println!("  {threads} thread(s): {:.0} decisions a second", rate(&profile, threads));
    }
}
