//! What the library tells of itself is what the list says, and what the page shows; and a life with secrets in it, driven
//! under a subscriber and a recorder that keep everything, shows none of them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Write as _};
use std::future::IntoFuture;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use metrics::{Counter, CounterFn, Gauge, Histogram, HistogramFn, KeyName, Metadata, SharedString, Unit};
use perfectpay::signal::{Signal, SignalKind, TARGET};
use perfectpay::{
    DecideRequest, Error, ImportOptions, LinkClaim, MasterKey, PageRequest, PerfectPay, Settings, Store,
    Unavailability, json,
};
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::faulty::{FailNth, On, Slow, When};
use perfectpay_testkit::layer::{Layer, Layered};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strum::VariantArray as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// A span or an event: its name, its level, and its fields as they were printed.
#[derive(Debug, Clone)]
struct Told {
    is_span: bool,
    name: &'static str,
    level: String,
    fields: BTreeMap<&'static str, String>,
}

/// A layer that keeps everything.
#[derive(Debug, Default)]
struct Kept {
    told: Mutex<Vec<Told>>,
    /// Where the spans stand that are open, by their ids.
    open: Mutex<HashMap<u64, usize>>,
}

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Kept {
    /// Keeps what was told, and answers where it stands.
    fn keep(
        &self,
        is_span: bool,
        metadata: &'static tracing::Metadata<'static>,
        record: impl FnOnce(&mut dyn Visit),
    ) -> usize {
        let mut fields = BTreeMap::new();
        record(&mut Fields(&mut fields));
        let level = metadata.level().to_string().to_lowercase();
        let mut told = self.told.lock().unwrap();
        told.push(Told { is_span, name: metadata.name(), level, fields });
        told.len() - 1
    }
}

/// The one that is installed.
struct Installed(Arc<Kept>);

impl<S: Subscriber> tracing_subscriber::Layer<S> for Installed {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == TARGET
    }

    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let at = self.0.keep(true, span.metadata(), |visit| span.record(visit));
        self.0.open.lock().unwrap().insert(id.into_u64(), at);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let at = self.0.open.lock().unwrap()[&id.into_u64()];
        values.record(&mut Fields(&mut self.0.told.lock().unwrap()[at].fields));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.keep(false, event.metadata(), |visit| event.record(visit));
    }
}

/// A recorder that keeps everything: what was described, and the sum and the number of what was recorded.
#[derive(Debug, Default)]
struct Counted {
    described: Mutex<BTreeMap<String, (Option<Unit>, String)>>,
    counts: Mutex<BTreeMap<String, Arc<Count>>>,
}

#[derive(Debug, Default)]
struct Count(AtomicU64);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl HistogramFn for Count {
    fn record(&self, value: f64) {
        assert!((0.0..60.0).contains(&value), "seconds, and not {value}");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counted {
    fn count(&self, key: &metrics::Key) -> Arc<Count> {
        let mut labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        labels.sort();
        let key = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(self.counts.lock().unwrap().entry(key).or_default())
    }

    fn of(&self, key: &str) -> u64 {
        self.counts.lock().unwrap().get(key).map_or(0, |count| count.0.load(Ordering::Relaxed))
    }
}

struct Recorder(Arc<Counted>);

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.described.lock().unwrap().insert(key.as_str().to_owned(), (unit, description.into_owned()));
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("{key:?} is no gauge of the list");
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe_counter(key, unit, description);
    }

    fn register_counter(&self, key: &metrics::Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.0.count(key))
    }

    fn register_gauge(&self, key: &metrics::Key, _: &Metadata<'_>) -> Gauge {
        panic!("{key:?} is no gauge of the list");
    }

    fn register_histogram(&self, key: &metrics::Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.0.count(key))
    }
}

/// Installed before the library is opened, as a host would.
fn installed() -> &'static (Arc<Kept>, Arc<Counted>) {
    static INSTALLED: OnceLock<(Arc<Kept>, Arc<Counted>)> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let (kept, counted) = (Arc::<Kept>::default(), Arc::<Counted>::default());
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Installed(Arc::clone(&kept))))
            .unwrap();
        metrics::set_global_recorder(Recorder(Arc::clone(&counted))).unwrap();
        (kept, counted)
    })
}

/// Secrets, each 20 characters or more that nothing else has.
const SECRETS: [&str; 12] = [
    "hookPassw0rdAAAAAAAAAAAA",
    "headerValueBBBBBBBBBBBBBB",
    "hashKeyCCCCCCCCCCCCCCCCCC",
    "sk_credentialDDDDDDDDDDDD",
    "merchantSecretEEEEEEEEEE",
    "walletCertFFFFFFFFFFFFFF",
    "merchantNameGGGGGGGGGGGG",
    "fingerprintHHHHHHHHHHHHHH",
    "idempotencyIIIIIIIIIIIIII",
    "4242424242424242",
    "verificationJJJJJJJJJJJJ",
    "tokenKKKKKKKKKKKKKKKKKKKK",
];

fn body<T: DeserializeOwned>(body: Value) -> T {
    json::from_value(body).unwrap()
}

fn wait<F: IntoFuture>(future: F) -> F::Output {
    block_on(future.into_future())
}

fn page() -> PageRequest {
    PageRequest::of(10).unwrap()
}

fn code<T>(done: Result<T, Error>) -> String {
    done.err().unwrap().code().to_owned()
}

fn opened(store: Arc<dyn Store>) -> PerfectPay {
    let settings = Settings::new(MasterKey::from_hex("k1", &"5fa1".repeat(16)).unwrap());
    wait(PerfectPay::open(store, settings)).unwrap()
}

/// The library on an empty store behind a layer.
fn behind(layer: impl Layer + 'static) -> PerfectPay {
    opened(Arc::new(Layered::over(Arc::new(MemoryStore::new()), layer)))
}

/// A life with all of the secrets in it, and what else must not be told: tokens, client secrets.
#[allow(clippy::too_many_lines, reason = "a life is read from its beginning to its end")]
fn live() -> Vec<String> {
    let [password, header, hash_key, credential, merchant_secret, wallet, name, fingerprint, once, card, cvc, bogus] =
        SECRETS;
    let pay = opened(Arc::new(MemoryStore::new()));
    let organization = wait(pay.create_organization(body(json!({ "organization_name": name })))).unwrap();
    let organization = pay.organization(&organization.organization_id);
    let new = json!({
        "merchant_id": "shop", "merchant_name": name, "payment_response_hash_key": hash_key,
        "webhook_details": { "webhook_password": password },
    });
    wait(organization.create_merchant(body(new)).idempotency_key(once.parse().unwrap())).unwrap();
    let shop = pay.merchant(&"shop".parse().unwrap());
    let issued = wait(shop.create_api_key(body(json!({ "name": name, "expiration": "never" })))).unwrap();
    let token = issued.api_key.unwrap().expose().to_owned();
    let mut secrets = vec![token.clone()];
    let caller = wait(pay.authenticate(&token)).unwrap();
    assert_eq!(code(wait(pay.authenticate(bogus))), "unauthorized");
    let shop = caller.merchant();
    let new = json!({
        "profile_name": "P", "payment_response_hash_key": hash_key,
        "webhook_details": { "webhook_password": password, "webhook_url": "https://shop.example/hooks" },
        "outgoing_webhook_custom_http_headers": { "X-Secret": header },
    });
    let profile = wait(shop.create_profile(body(new))).unwrap();
    let profile = shop.profile(&profile.profile_id);
    let new = json!({
        "connector_type": "payment_processor", "connector_name": "stripe",
        "connector_account_details": { "auth_type": "HeaderKey", "api_key": credential },
        "connector_webhook_details": { "merchant_secret": merchant_secret },
        "connector_wallets_details": { "apple_pay": { "certificate": wallet } },
        "payment_methods_enabled": [{ "payment_method": "card", "payment_method_types": ["credit"] }],
    });
    let connector = wait(profile.create_connector(body(new))).unwrap();
    let connector = profile.connector(&connector.merchant_connector_id);
    wait(connector.reveal_credentials()).unwrap();
    wait(profile.reveal_webhook_secrets()).unwrap();
    // Wrong values of secrets, as they are refused.
    let blank =
        json!({ "connector_type": "payment_processor", "connector_account_details": { "auth_type": credential } });
    let blank: Result<perfectpay::ConnectorUpdate, _> = json::from_value(blank);
    assert!(blank.is_err());
    let long = json!({ "connector_type": "payment_processor", "connector_label": credential.repeat(20) });
    assert!(json::from_value::<perfectpay::ConnectorUpdate>(long).is_err());

    let list = shop.blocklist();
    wait(list.add(body(json!({ "type": "fingerprint", "data": fingerprint })))).unwrap();
    assert_ne!(code(wait(list.add(body(json!({ "type": "fingerprint", "data": fingerprint }))))), "");
    wait(list.add(body(json!({ "type": "card_bin", "data": "555555" })))).unwrap();
    wait(list.toggle(Some(true))).unwrap();
    let number = card.parse().unwrap();
    wait(list.screen(&number)).unwrap();
    wait(list.explain(&number)).unwrap();
    let screener = wait(pay.merchant(&"shop".parse().unwrap()).blocklist().screener()).unwrap();
    wait(screener.screen(&number)).unwrap();
    let csv = format!("type,data\nfingerprint,{fingerprint}\n");
    wait(list.import_csv(csv.as_bytes(), ImportOptions::default(), |_| ())).unwrap();
    assert!(wait(list.import_csv(fingerprint.as_bytes(), ImportOptions::default(), |_| ())).is_err());

    let decided = DecideRequest::new("pay_1".parse().unwrap(), body(json!({ "amount": 1_000, "currency": "EUR" })));
    wait(profile.decide_card(&decided, &number)).unwrap();
    let new = json!({
        "amount": 1_000, "currency": "EUR", "payment_link": true, "return_url": "https://shop.example/done",
    });
    let payment = wait(profile.create_payment(body(new)).idempotency_key(once.parse().unwrap())).unwrap();
    let client_secret = payment.client_secret.expose().to_owned();
    let publishable = wait(shop.retrieve()).unwrap().publishable_key.to_string();
    wait(pay.authenticate_client(&publishable, &client_secret)).unwrap();
    assert_eq!(code(wait(pay.authenticate_client(&publishable, bogus)).map(drop)), "unauthorized");
    secrets.push(client_secret);
    let confirmation = json!({
        "payment_method": "card", "payment_method_type": "credit",
        "payment_method_data": { "card": {
            "card_number": card, "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "737",
            "card_holder_name": name,
        } },
    });
    wait(profile.payment(&payment.payment_id).confirm(body(confirmation))).unwrap();
    let unread: Result<perfectpay::ConfirmPayment, _> = json::from_value(json!({
        "payment_method": "card", "payment_method_data": { "card": { "card_number": card, "card_cvc": cvc } },
    }));
    assert!(unread.is_err());
    let new = json!({
        "amount": 1_000, "currency": "EUR", "kind": "reusable", "return_url": "https://shop.example/done",
    });
    let link = wait(profile.create_payment_link(body(new))).unwrap();
    wait(shop.payment_link(&link.payment_link_id).claim(LinkClaim::default())).unwrap();
    wait(shop.events(page())).unwrap();
    wait(shop.log(perfectpay::store::LogPosition::START, 10)).unwrap();

    // Nothing there; nothing that a key may do; a version that is gone.
    assert_eq!(code(wait(pay.merchant(&"nobody".parse().unwrap()).retrieve())), "not_found");
    assert_eq!(code(wait(pay.merchant(&"nobody".parse().unwrap()).retrieve())), "not_found");
    let rename = || body(json!({ "profile_name": "Q" }));
    assert_eq!(code(wait(profile.update(rename()).expecting(99))), "stale");
    // A batch: staged, and committed as one.
    let batch = pay.batch();
    wait(batch.pay().merchant(&"shop".parse().unwrap()).profile(&profile_id(&profile)).update(rename())).unwrap();
    wait(batch.commit()).unwrap();
    // A future that is dropped before its end.
    let slow = behind(Slow { yields: 1, sleep: Duration::ZERO });
    let update = slow.merchant(&"shop".parse().unwrap()).profile(&profile_id(&profile)).update(rename());
    assert!(block_on(poll_once(update.into_future())).is_none());
    // A store that fails, once it was opened.
    let failing = behind(FailNth::new(On::Read, 4, When::Before, || {
        Error::unavailable(Unavailability::Failed, "the disk is gone")
    }));
    assert_eq!(code(wait(failing.merchant(&"shop".parse().unwrap()).retrieve())), "unavailable");
    wait(pay.catch_up()).unwrap();
    secrets
}

fn profile_id(profile: &perfectpay::ProfileScope) -> perfectpay::ProfileId {
    wait(profile.retrieve()).unwrap().profile_id
}

#[test]
fn a_life_tells_what_the_list_says_and_none_of_its_secrets() {
    let (kept, counted) = installed();
    let secrets = live();
    let told = kept.told.lock().unwrap().clone();
    let counts: Vec<String> = counted.counts.lock().unwrap().keys().cloned().collect();

    // No secret, in no field and no label.
    for secret in secrets.iter().map(String::as_str).chain(SECRETS) {
        for (name, value) in told.iter().flat_map(|told| &told.fields) {
            assert!(!value.contains(secret), "{name} shows {secret}: {value}");
        }
        assert!(counts.iter().all(|key| !key.contains(secret)), "a label shows {secret}");
    }

    // What is told is on the list, with its level and with no other field; and what is on the list is told.
    let mut seen = BTreeSet::new();
    for told in &told {
        let kind = if told.is_span { SignalKind::Span } else { SignalKind::Event };
        let signal = Signal::VARIANTS.iter().find(|signal| signal.name() == told.name && signal.kind() == kind);
        let signal = signal.unwrap_or_else(|| panic!("{told:?} is not on the list"));
        assert_eq!(told.level, signal.level_or_unit(), "{told:?}");
        let fields: BTreeSet<&str> = told.fields.keys().copied().filter(|field| *field != "message").collect();
        let named: BTreeSet<&str> = signal.fields().iter().copied().collect();
        assert!(fields.is_subset(&named), "{told:?}");
        seen.insert(told.name);
    }
    for key in &counts {
        let (name, labels) = key.split_once('{').unwrap();
        let signal = Signal::VARIANTS.iter().find(|signal| signal.name() == name);
        let signal = signal.unwrap_or_else(|| panic!("{key} is not on the list"));
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        let mut labels: Vec<&str> = labels.map(|label| label.split_once('=').unwrap().0).collect();
        labels.sort_unstable();
        let mut named = signal.fields().to_vec();
        named.sort_unstable();
        assert_eq!(labels, named, "{key}");
        let (unit, description) = counted.described.lock().unwrap()[name].clone();
        assert_eq!(unit.unwrap().as_str(), signal.level_or_unit(), "{key}");
        assert_eq!(description, signal.when());
        seen.insert(signal.name());
    }
    let silent = [Signal::Reset];
    for signal in Signal::VARIANTS.iter().filter(|signal| !silent.contains(signal)) {
        assert!(seen.contains(signal.name()), "{signal:?} was never told");
    }

    // They are the right ones.
    for (key, count) in [
        ("perfectpay_operations_total{operation=create_organization,outcome=succeeded}", 1),
        ("perfectpay_operations_total{operation=create_merchant,outcome=succeeded}", 1),
        ("perfectpay_operations_total{operation=retrieve_merchant,outcome=not_found}", 2),
        ("perfectpay_operations_total{operation=retrieve_merchant,outcome=unavailable}", 1),
        ("perfectpay_operations_total{operation=update_profile,outcome=conflict}", 1),
        ("perfectpay_operations_total{operation=update_profile,outcome=dropped}", 1),
        // What was staged is counted as the commit of its batch.
        ("perfectpay_operations_total{operation=update_profile,outcome=succeeded}", 0),
        ("perfectpay_operations_total{operation=commit_batch,outcome=succeeded}", 1),
        ("perfectpay_operations_total{operation=decide_payment,outcome=succeeded}", 1),
        ("perfectpay_operations_total{operation=import_block_rules,outcome=succeeded}", 1),
        ("perfectpay_operations_total{operation=import_block_rules,outcome=invalid}", 1),
        // Screened by a handle, by a screener, and by the loading of one.
        ("perfectpay_operations_total{operation=screen_card,outcome=succeeded}", 3),
        ("perfectpay_operation_seconds{operation=retrieve_merchant}", 4),
        ("perfectpay_operation_seconds{operation=screen_card}", 0),
        ("perfectpay_verifications_total{verdict=valid}", 1),
        ("perfectpay_verifications_total{verdict=malformed}", 1),
        ("perfectpay_memory_resets_total{}", 0),
    ] {
        assert_eq!(counted.of(key), count, "{key}");
    }
    let fields = |signal: Signal| told.iter().filter(move |told| told.name == signal.name()).map(|told| &told.fields);
    let ended: Vec<_> = fields(Signal::Ended).filter(|fields| fields["operation"] == "update_profile").collect();
    let outcomes: Vec<_> = ended.iter().map(|fields| (fields["outcome"].as_str(), fields["staged"].as_str())).collect();
    assert_eq!(outcomes, [("conflict", "false"), ("succeeded", "true"), ("dropped", "false")]);
    assert_eq!(ended[0]["code"], "stale");
    assert!(ended.iter().all(|fields| fields["micros"].parse::<u64>().is_ok()));
    let failed: Vec<_> = fields(Signal::Failed).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((&*failed[0]["operation"], &*failed[0]["code"]), ("retrieve_merchant", "unavailable"));
    // Every span says which operation it was, and every one that ended how.
    let spans: Vec<_> = fields(Signal::OperationSpan).collect();
    assert!(spans.iter().all(|span| span.contains_key("operation") && span.contains_key("actor")), "{spans:?}");
    assert!(spans.iter().all(|span| span.contains_key("outcome")), "{spans:?}");
}

#[test]
fn the_page_shows_the_list() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/observability.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut table = String::from("| name | kind | level or unit | fields or labels | when |\n|---|---|---|---|---|\n");
    for signal in Signal::VARIANTS {
        let fields: Vec<String> = signal.fields().iter().map(|field| format!("`{field}`")).collect();
        let (name, kind, unit) = (signal.name(), signal.kind(), signal.level_or_unit());
        writeln!(table, "| `{name}` | {kind} | {unit} | {} | {} |", fields.join(", "), signal.when()).unwrap();
    }
    assert!(page.contains(&table), "docs/observability.md must have this table:\n\n{table}");
}
