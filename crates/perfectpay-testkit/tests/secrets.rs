//! Secrets: a whole life is driven with canaries for secrets, and none of them is anywhere it could be read: not in what
//! is printed, not in an error, not in the log, not in a record, not in a byte of a file. What is sealed opens only
//! where it was sealed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

mod support;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_lite::future::block_on;
use perfectpay::store::{
    Actor, BlockPage, BlockScan, ChangeSet, Collection, CommitClass, Committed, Export, Extent, Head, IdempotencyClaim,
    IdempotencyKey, Key, Listing, Load, LogBound, LogEntry, LogPosition, LogQuery, MerchantPath, OrganizationPath,
    Owner, Prune, Pruned, Query, Record, RowMeta, Store, UseCount, Uses, copy,
};
use perfectpay::{
    CardNumber, ConnectorAuth, EntityKind, Entropy, Error, Incarnation, MasterKey, NewConnector, NewMerchant,
    NewPayment, NewProfile, PageRequest, PerfectPay, ProfileUpdate, Settings, json,
};
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::host::{self, SeededEntropy};
use serde_json::{Value, json};
use support::{World, backends, read, shown};

fn base64(bytes: &[u8], symbols: &[u8; 64]) -> Vec<u8> {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| (byte >> (7 - at % 8)) & 1);
    let symbol = |at: usize| symbols[usize::from((0..6).fold(0, |sum, n| (sum << 1) | bit(at * 6 + n)))];
    // Only whole symbols: the last one would depend on what follows.
    (0..bytes.len() * 8 / 6).map(symbol).collect()
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Every form that a value could be read in.
fn forms(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |upper: bool| {
        let digits = value.iter().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") });
        digits.collect::<Vec<_>>().concat()
    };
    let numbers: Vec<String> = value.iter().map(ToString::to_string).collect();
    let mut forms = vec![
        ("plain", value.to_vec()),
        ("reversed", value.iter().rev().copied().collect()),
        ("hex", hex(false).into_bytes()),
        ("upper hex", hex(true).into_bytes()),
        ("UTF-16 LE", value.iter().flat_map(|b| [*b, 0]).collect()),
        ("UTF-16 BE", value.iter().flat_map(|b| [0, *b]).collect()),
        ("a list of numbers", numbers.join(", ").into_bytes()),
    ];
    for symbols in [STANDARD, URL_SAFE] {
        // It may begin at any of three places of a group.
        for (before, skip) in [(0, 0), (1, 2), (2, 3)] {
            let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(value.iter().copied()).collect();
            forms.push(("base64", base64(&padded, symbols)[skip..].to_vec()));
        }
    }
    forms
}

fn holds(bytes: &[u8], form: &[u8]) -> bool {
    bytes.windows(form.len()).any(|window| window == form)
}

/// Whoever looks for canaries.
#[derive(Default)]
struct Watch {
    /// Forms of values that must not be read anywhere, by their first four bytes: whose, which, all of it.
    forms: HashMap<[u8; 4], Vec<(String, Vec<u8>)>>,
    canaries: usize,
    looks: usize,
}

impl Watch {
    /// Looks for the middle of a text: masks may show its ends, and nobody may show more.
    fn add(&mut self, name: &str, text: &str) {
        assert!(text.len() >= 20, "{name} is too short to be sure of");
        self.add_bytes(name, &text.as_bytes()[2..text.len() - 2]);
    }

    fn add_bytes(&mut self, name: &str, bytes: &[u8]) {
        self.canaries += 1;
        for (form, bytes) in forms(bytes) {
            let first = bytes[..4].try_into().unwrap();
            self.forms.entry(first).or_default().push((format!("{name} as {form}"), bytes));
        }
    }

    fn found(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        for (at, first) in bytes.windows(4).enumerate() {
            let first: [u8; 4] = first.try_into().unwrap();
            let candidates = self.forms.get(&first).into_iter().flatten();
            found.extend(candidates.filter(|(_, form)| bytes[at..].starts_with(form)).map(|(name, _)| name.as_str()));
        }
        found
    }

    fn look(&mut self, place: &str, bytes: impl AsRef<[u8]>) {
        self.looks += 1;
        let found = self.found(bytes.as_ref());
        assert!(found.is_empty(), "{place} shows {found:?}: {}", String::from_utf8_lossy(bytes.as_ref()));
    }

    fn print(&mut self, place: &str, value: &impl Debug) {
        self.look(place, format!("{value:?}"));
        self.look(place, format!("{value:#?}"));
    }

    fn error(&mut self, place: &str, error: &Error) {
        self.print(place, error);
        self.look(place, error.to_string());
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            self.look(place, format!("{inner} {inner:?}"));
            source = inner.source();
        }
    }
}

/// The 1st, 2nd, … canary of a name: 32 letters and digits that nothing else has.
fn canary(name: &str) -> String {
    let seed = name.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(131).wrapping_add(u64::from(byte)));
    let mut bytes = [0; 32];
    SeededEntropy::new(seed).fill(&mut bytes);
    bytes.iter().map(|byte| char::from(STANDARD[usize::from(byte % 62)])).collect()
}

/// Randomness that remembers what it gave.
#[derive(Debug)]
struct Recorded {
    inner: SeededEntropy,
    drawn: Mutex<Vec<Vec<u8>>>,
}

impl Entropy for Recorded {
    fn fill(&self, bytes: &mut [u8]) {
        self.inner.fill(bytes);
        self.drawn.lock().unwrap().push(bytes.to_vec());
    }
}

impl Recorded {
    /// Keys of 32 bytes, and texts of base62 that were made of 64: all of these are secrets. Ids, publishable keys and
    /// nonces are drawn in smaller pieces, and are not.
    fn watch(&self, watch: &mut Watch) {
        for (at, drawn) in self.drawn.lock().unwrap().iter().enumerate() {
            match drawn.len() {
                32 => watch.add_bytes(&format!("draw {at}, a key"), drawn),
                64 => {
                    let symbols = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
                    let text: Vec<u8> =
                        drawn.iter().filter(|b| **b < 248).map(|b| symbols[usize::from(b % 62)]).collect();
                    // A key's first 8 are its prefix, and a client secret has 20.
                    watch.add_bytes(&format!("draw {at}, a text"), &text[8..20]);
                }
                _ => {}
            }
        }
    }
}

/// A store that remembers what crossed it.
#[derive(Debug)]
struct Tapped {
    inner: Arc<dyn Store>,
    crossed: Mutex<Vec<String>>,
}

impl Tapped {
    fn note<T: Debug>(&self, what: T) -> T {
        self.crossed.lock().unwrap().push(format!("{what:?}"));
        what
    }
}

#[async_trait]
impl Store for Tapped {
    async fn commit(&self, set: ChangeSet) -> Result<Committed, Error> {
        self.note(&set);
        for change in &set.changes {
            if let perfectpay::store::Change::Create(record) | perfectpay::store::Change::Update(record) = change {
                self.crossed.lock().unwrap().push(record.body().unwrap());
            }
        }
        if let Some(claim) = &set.idempotency {
            self.crossed.lock().unwrap().push(serde_json::to_string(&claim.answer).unwrap());
        }
        self.inner.commit(set).await.map(|done| self.note(done))
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        self.inner.get(key).await.map(|found| self.note(found))
    }

    async fn list(&self, query: &Query) -> Result<Option<Listing>, Error> {
        self.inner.list(query).await.map(|found| self.note(found))
    }

    async fn block_rules(&self, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
        self.inner.block_rules(scan).await.map(|found| self.note(found))
    }

    async fn uses(&self, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
        self.inner.uses(count).await.map(|found| self.note(found))
    }

    async fn claim(&self, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
        self.inner.claim(tenant, key).await.map(|found| self.note(found))
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
        self.inner.log(query).await.map(|found| self.note(found))
    }

    async fn head(&self) -> Result<Head, Error> {
        self.inner.head().await
    }

    async fn prune(&self, prune: &Prune) -> Result<Pruned, Error> {
        self.note(prune);
        self.inner.prune(prune).await
    }

    async fn export(&self, extent: &Extent) -> Result<Box<dyn Export>, Error> {
        self.inner.export(extent).await
    }

    async fn import(&self, load: Load) -> Result<LogPosition, Error> {
        self.inner.import(self.note(load)).await
    }
}

/// Every living record of a store.
async fn records(store: &dyn Store) -> Vec<Record> {
    let page = || PageRequest::of(100).unwrap();
    let mut all = Vec::new();
    let organizations = store.list(&Query::Organizations(page())).await.unwrap().unwrap().records;
    for organization in organizations {
        let path = OrganizationPath::Pinned(organization.meta().tenant);
        all.push(organization);
        for merchant in store.list(&Query::Merchants(path, page())).await.unwrap().unwrap().records {
            let Record::Merchant(row) = &merchant else { panic!("{merchant:?}") };
            let path = MerchantPath::Pinned(row.tenant);
            all.extend(store.get(&Key::DataKey(row.tenant, row.state.data_key.clone())).await.unwrap());
            all.push(merchant);
            for collection in [
                Collection::Profiles,
                Collection::Connectors { profile: None },
                Collection::ApiKeys,
                Collection::BlockRules { kind: None },
                Collection::Payments,
                Collection::PaymentLinks { profile: None },
                Collection::PaymentDecisions,
                Collection::Events,
            ] {
                let query = Query::Within(path.clone(), collection, page());
                all.extend(store.list(&query).await.unwrap().unwrap().records);
            }
        }
    }
    all
}

/// Everything that lies in a folder, one file after the other.
fn raw(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect()
}

/// What is kept in clear on purpose: that it is found shows that the search finds.
const CONTROL: &str = "plainControlValue0123456789abcdef";
const CARD: &str = "4242424242424242";
/// The one that is blocked, one that is not, and one that is created with its payment.
const CARDS: [&str; 3] = [CARD, "4111111111111111", "5555555555554444"];

const CREDENTIALS: [(&str, &str, &[&str]); 6] = [
    ("HeaderKey", "stripe", &["api_key"]),
    ("BodyKey", "aci", &["api_key", "key1"]),
    ("SignatureKey", "checkout", &["api_key", "key1", "api_secret"]),
    ("MultiAuthKey", "finix", &["api_key", "key1", "api_secret", "key2"]),
    ("CertificateAuth", "santander", &["certificate", "private_key"]),
    ("CurrencyAuthKey", "cashtocode", &["deep"]),
];

fn credentials(watch: &mut Watch, round: &str, auth_type: &str, members: &[&str]) -> Value {
    let mut details = json!({ "auth_type": auth_type });
    for member in members {
        let name = format!("{round} {auth_type} {member}");
        let value = canary(&name);
        watch.add(&name, &value);
        if auth_type == "CurrencyAuthKey" {
            details["auth_key_map"] = json!({ "EUR": { "list": [{ "deep": value, "n": 1, "none": null }] } });
        } else {
            details[*member] = value.into();
        }
    }
    details
}

fn secret(watch: &mut Watch, name: &str) -> String {
    let value = canary(name);
    watch.add(name, &value);
    value
}

/// One of every connector, with whatever else of it is a secret.
fn connectors(watch: &mut Watch, round: &str) -> Vec<Value> {
    let mut bodies = Vec::new();
    for (auth_type, name, members) in CREDENTIALS {
        bodies.push(json!({
            "connector_type": "payment_processor",
            "connector_name": name,
            "connector_label": format!("{name} {round}"),
            "connector_account_details": credentials(watch, round, auth_type, members),
            "connector_webhook_details": {
                "merchant_secret": secret(watch, &format!("{round} {name} merchant_secret")),
                "additional_secret": secret(watch, &format!("{round} {name} additional_secret")),
            },
            "additional_merchant_data": { "a": { "b": [secret(watch, &format!("{round} {name} additional data"))] } },
            "connector_wallets_details": {
                "apple_pay": { "certificate": secret(watch, &format!("{round} {name} wallet")) },
            },
            "metadata": { "control": CONTROL },
        }));
    }
    for (auth_type, name, connector_type) in
        [("NoKey", "cardinal", "authentication_processor"), ("TemporaryAuth", "paypal", "payment_processor")]
    {
        bodies.push(json!({
            "connector_type": connector_type,
            "connector_name": name,
            "connector_label": format!("{name} {round}"),
            "connector_account_details": { "auth_type": auth_type },
        }));
    }
    bodies
}

/// A life with every kind of secret in it. Whatever it prints on the way is looked at, and all of it again when the
/// randomness that was drawn is known.
#[allow(clippy::too_many_lines, reason = "a life is read from its beginning to its end")]
async fn live(pay: &PerfectPay, watch: &mut Watch, printed: &mut Vec<(String, String)>) {
    macro_rules! print {
        ($place:expr, $value:expr) => {{
            let value = $value;
            printed.push((format!("Debug of {}", $place), format!("{value:?} {value:#?}")));
        }};
        ($place:expr, $value:expr, json) => {{
            let value = $value;
            print!($place, value);
            printed.push((format!("JSON of {}", $place), serde_json::to_string(value).unwrap()));
        }};
    }
    let key = |text: &str| text.parse::<IdempotencyKey>().unwrap();
    let body = json!({ "organization_name": "O", "metadata": { "control": CONTROL } }).to_string();
    let organization = pay.create_organization(read(&body).unwrap()).idempotency_key(key("o")).await.unwrap();
    let organization = pay.organization(&organization.organization_id);
    print!("PerfectPay", pay);
    print!("OrganizationScope", &organization);

    let body = json!({
        "merchant_id": "acme",
        "merchant_name": canary("name"),
        "merchant_details": { "primary_email": canary("email") },
        "payment_response_hash_key": secret(watch, "merchant hash key"),
        "return_url": "https://shop.example/",
        "webhook_details": { "webhook_username": "u", "webhook_password": secret(watch, "merchant password") },
    });
    let new: NewMerchant = read(&body.to_string()).unwrap();
    print!("NewMerchant", &new);
    let merchant = organization.create_merchant(new.clone()).idempotency_key(key("m")).await.unwrap();
    print!("Merchant", &merchant, json);
    print!("replayed Merchant", &organization.create_merchant(new).idempotency_key(key("m")).await.unwrap(), json);
    let scope = organization.merchant(&merchant.merchant_id);
    print!("MerchantScope", &scope);
    let update = json!({
        "payment_response_hash_key": secret(watch, "second merchant hash key"),
        "webhook_details": { "webhook_password": secret(watch, "second merchant password") },
    });
    let update: perfectpay::MerchantUpdate = read(&update.to_string()).unwrap();
    print!("MerchantUpdate", &update);
    print!("Update<Merchant>", &scope.update(update.clone()));
    print!("updated Merchant", &scope.update(update).await.unwrap(), json);

    let body = json!({
        "profile_name": "P",
        "payment_response_hash_key": secret(watch, "profile hash key"),
        "webhook_details": {
            "webhook_password": secret(watch, "profile password"),
            "webhook_url": "https://shop.example/webhooks",
        },
        "outgoing_webhook_custom_http_headers": { "X-Control": secret(watch, "header"), "X-Short": "abcd" },
        "metadata": { "control": CONTROL },
    });
    let new: NewProfile = read(&body.to_string()).unwrap();
    print!("NewProfile", &new);
    print!("Create<Profile>", &scope.create_profile(new.clone()));
    let profile = scope.create_profile(new).idempotency_key(key("p")).await.unwrap();
    print!("Profile", &profile, json);
    let handle = scope.profile(&profile.profile_id);
    print!("ProfileScope", &handle);
    let update = json!({
        "payment_response_hash_key": secret(watch, "second profile hash key"),
        "webhook_details": { "webhook_password": secret(watch, "second profile password") },
        "outgoing_webhook_custom_http_headers": { "X-Control": secret(watch, "second header") },
    });
    let update: ProfileUpdate = read(&update.to_string()).unwrap();
    print!("ProfileUpdate", &update);
    print!("updated Profile", &handle.update(update).await.unwrap(), json);

    for body in connectors(watch, "first") {
        let new: NewConnector = read(&body.to_string()).unwrap();
        print!("NewConnector", &new);
        print!("ConnectorAuth", &new.connector_account_details);
        print!("MaskedAuth", &new.connector_account_details.masked(), json);
        let label = new.connector_label.clone().unwrap().replace(' ', "-");
        let connector = handle.create_connector(new.clone()).idempotency_key(key(&label)).await.unwrap();
        print!("Connector", &connector, json);
        print!("replayed", &handle.create_connector(new).idempotency_key(key(&label)).await.unwrap(), json);
        let handle = scope.connector(&connector.merchant_connector_id);
        print!("ConnectorScope", &handle);
        let revealed: ConnectorAuth = handle.reveal_credentials().await.unwrap();
        print!("revealed ConnectorAuth", &revealed);
    }
    let listed = handle.connectors(PageRequest::default()).await.unwrap();
    print!("Page<Connector>", &listed, json);
    for (connector, body) in listed.items.iter().zip(connectors(watch, "second")) {
        let mut body = body;
        // What may not be changed; and each connector keeps its own shape.
        body.as_object_mut().unwrap().retain(|field, _| field != "connector_name");
        let same_shape = body["connector_account_details"]["auth_type"]
            == serde_json::to_value(connector.connector_account_details.auth_type()).unwrap();
        if !same_shape {
            body.as_object_mut().unwrap().remove("connector_account_details");
            body["connector_type"] = serde_json::to_value(connector.connector_type).unwrap();
        }
        let update: perfectpay::ConnectorUpdate = read(&body.to_string()).unwrap();
        print!("ConnectorUpdate", &update);
        let updated = scope.connector(&connector.merchant_connector_id).update(update).await.unwrap();
        print!("updated Connector", &updated, json);
    }

    let new: perfectpay::NewApiKey = read(&host::api_key_body("k", "never")).unwrap();
    let issued = scope.create_api_key(new.clone()).idempotency_key(key("k")).await.unwrap();
    print!("IssuedApiKey", &issued);
    let token = issued.api_key.clone().unwrap();
    print!("Disclosed", &token);
    watch.add("token", &token.expose()[12..]);
    print!("replayed IssuedApiKey", &scope.create_api_key(new).idempotency_key(key("k")).await.unwrap(), json);
    print!("Page<ApiKey>", &scope.api_keys(PageRequest::default()).await.unwrap(), json);
    print!("ApiKeyScope", &scope.api_key(&issued.key_id));
    let caller = pay.authenticate(token.expose()).await.unwrap();
    print!("Caller", &caller);
    print!("Merchant of a caller", &caller.merchant().retrieve().await.unwrap(), json);

    let card: CardNumber = CARD.parse().unwrap();
    print!("CardNumber", &card);
    let screening = caller.merchant().blocklist().screen(&card).await.unwrap();
    print!("Screening", &screening);
    let entry = read(&host::block_body("fingerprint", &screening.fingerprint.unwrap().to_string())).unwrap();
    print!("BlockEntry", &scope.blocklist().add(entry).await.unwrap(), json);
    print!("BlockEntries", &scope.blocklist().entries(None, PageRequest::default()).await.unwrap(), json);
    scope.blocklist().toggle(None).await.unwrap();
    assert!(scope.blocklist().screen(&card).await.unwrap().is_blocked());

    let new: NewPayment = read(&host::payment_with_link_body(100, "EUR")).unwrap();
    let payment = caller.merchant().create_payment(new).idempotency_key(key("y")).await.unwrap();
    print!("Payment", &payment);
    watch.add("client secret", payment.client_secret.expose().rsplit_once("_secret_").unwrap().1);
    let link = scope.payment_link(&payment.payment_link.as_ref().unwrap().payment_link_id).retrieve().await.unwrap();
    print!("PaymentLink", &link, json);
    let new =
        r#"{"amount": {"minimum": 5}, "currency": "EUR", "return_url": "https://shop.example", "kind": "reusable"}"#;
    let own = caller.merchant().create_payment_link(read(new).unwrap()).idempotency_key(key("z")).await.unwrap();
    print!("PaymentLink of its own", &own, json);
    let amount = r#"{"amount": 7}"#;
    let claimed = scope.payment_link(&own.payment_link_id).claim(read(amount).unwrap()).idempotency_key(key("u"));
    let claimed = claimed.await.unwrap();
    watch.add("client secret of a use", claimed.payment.client_secret.expose().rsplit_once("_secret_").unwrap().1);
    print!("ClaimedLink", &claimed);
    print!("LinkUse", &scope.link_use(&claimed.link_use.link_use_id).confirm().await.unwrap(), json);
    print!("Page<Payment>", &scope.payments(PageRequest::default()).await.unwrap());

    confirm(pay, &scope, &handle, watch, printed).await;

    for entry in pay.log(LogPosition::START, 1_000).await.unwrap() {
        print!("LogEntry", &entry, json);
    }
    // Something that was there and went leaves nothing behind either.
    let spare = host::merchant_in(pay, &organization.retrieve().await.unwrap(), "spare").await.unwrap();
    watch.add("spare token", &spare.token()[12..]);
    for body in connectors(watch, "spare") {
        spare.scope(pay).create_connector(read(&body.to_string()).unwrap()).await.unwrap();
    }
    spare.scope(pay).remove().cascade().await.unwrap();
    scope.connector(&listed.items[0].merchant_connector_id).remove().await.unwrap();
    scope.api_key(&issued.key_id).revoke().await.unwrap();
}

/// What confirms a payment with this card.
fn paid_with(watch: &mut Watch, number: &str) -> Value {
    json!({
        "payment_method": "card",
        "payment_method_type": "credit",
        "payment_method_data": { "card": {
            "card_number": number, "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "737",
            "card_holder_name": secret(watch, &format!("holder of {}", &number[..1])),
        } },
    })
}

/// Payments that are confirmed: with a card that is blocked, with one that no account takes, and at once.
async fn confirm(
    pay: &PerfectPay,
    merchant: &perfectpay::MerchantScope,
    profile: &perfectpay::ProfileScope,
    watch: &mut Watch,
    printed: &mut Vec<(String, String)>,
) {
    let mut show = |place: &str, debug: String, json: Option<String>| {
        printed.push((format!("Debug of {place}"), debug));
        printed.extend(json.map(|json| (format!("JSON of {place}"), json)));
    };
    let text = |answer: &perfectpay::Payment| {
        // An answer names its own client secret, as the contract has it.
        let mut json = serde_json::to_value(answer).unwrap();
        json.as_object_mut().unwrap().remove("client_secret");
        Some(json.to_string())
    };
    for (number, key) in [(CARDS[0], "c1"), (CARDS[1], "c2")] {
        let body = paid_with(watch, number).to_string();
        let confirm: perfectpay::ConfirmPayment = read(&body).unwrap();
        show("ConfirmPayment", format!("{confirm:?} {confirm:#?}"), Some(serde_json::to_string(&confirm).unwrap()));
        let payment = profile.create_payment(read(&host::payment_body(100, "EUR")).unwrap()).await.unwrap();
        watch.add("client secret", payment.client_secret.expose().rsplit_once("_secret_").unwrap().1);
        let handle = merchant.payment(&payment.payment_id);
        let command = handle.confirm(confirm.clone()).idempotency_key(key.parse().unwrap());
        show("Create<Payment>", format!("{command:?}"), None);
        let confirmed = command.await.unwrap();
        assert_eq!(confirmed.status.to_string(), "failed");
        show("confirmed Payment", format!("{confirmed:?}"), text(&confirmed));
        let again = handle.confirm(confirm).idempotency_key(key.parse().unwrap()).await.unwrap();
        show("replayed Payment", format!("{again:?}"), text(&again));
        let decision = handle.decision(&confirmed.attempts[0].decision_id).await.unwrap();
        show("PaymentDecision", format!("{decision:?}"), Some(serde_json::to_string(&decision).unwrap()));
    }
    let mut body = json!({ "amount": 100, "currency": "EUR", "confirm": true });
    body.as_object_mut().unwrap().extend(paid_with(watch, CARDS[2]).as_object().unwrap().clone());
    let new: NewPayment = read(&body.to_string()).unwrap();
    show("NewPayment", format!("{new:?} {new:#?}"), Some(serde_json::to_string(&new).unwrap()));
    let payment = profile.create_payment(new).idempotency_key("c3".parse().unwrap()).await.unwrap();
    watch.add("client secret", payment.client_secret.expose().rsplit_once("_secret_").unwrap().1);
    let events = pay.outbox(PageRequest::default()).await.unwrap();
    assert_eq!(events.items.len(), 2, "of a payment that is blocked no webhook tells");
    show("Page<Event>", format!("{events:?}"), Some(serde_json::to_string(&events).unwrap()));
    let event = merchant.event(&events.items[0].event_id);
    let message = event.message(&perfectpay::webhook::UrlPolicy::default()).await.unwrap();
    show("WebhookMessage", format!("{message:?} {message:#?} {event:?}"), None);
    for number in CARDS {
        assert!(!holds(message.body(), number.as_bytes()));
    }
}

#[test]
fn no_secret_is_printed_logged_or_stored() {
    for backend in backends() {
        let tapped = Arc::new(Tapped { inner: backend.store.clone(), crossed: Mutex::default() });
        let entropy = Arc::new(Recorded { inner: SeededEntropy::new(11), drawn: Mutex::default() });
        let settings = host::settings().unwrap().entropy(entropy.clone());
        let mut printed = vec![("Debug of Settings".to_owned(), format!("{settings:?} {settings:#?}"))];
        let world = World::on(backend);
        let pay = block_on(PerfectPay::open(tapped.clone(), settings)).unwrap();
        let mut watch = Watch::default();
        block_on(live(&pay, &mut watch, &mut printed));
        let copied = Tapped { inner: Arc::new(MemoryStore::new()), crossed: Mutex::default() };
        let report = block_on(copy(&*tapped, &copied, &Extent::Everything, |_| ())).unwrap();
        printed.push(("Debug of a copy's report".to_owned(), format!("{report:?}")));
        let bound = LogBound::Before(block_on(tapped.head()).unwrap().position);
        let step = Prune::Log { bound, limit: 1, at: perfectpay_testkit::records::now(), by: Actor::Host };
        block_on(tapped.prune(&step)).unwrap();

        watch.add("master key", host::MASTER_KEY_HEX);
        watch.add_bytes("master key's bytes", &unhex(host::MASTER_KEY_HEX));
        for number in [CARD, CARDS[1], CARDS[2]] {
            watch.add_bytes("card number", number.as_bytes());
        }
        for member in ["\"card_cvc\"", "\"card_exp_month\""] {
            watch.add_bytes("a member of a card", member.as_bytes());
        }
        entropy.watch(&mut watch);
        assert!(watch.canaries > 100, "{} canaries", watch.canaries);
        let name = world.name;
        for (place, text) in &printed {
            watch.look(&format!("{place} on {name}"), text);
        }
        assert!(!copied.crossed.lock().unwrap().is_empty());
        for text in tapped.crossed.lock().unwrap().iter().chain(copied.crossed.lock().unwrap().iter()) {
            watch.look(&format!("the Store trait on {name}"), text);
        }

        // At rest there is also nothing of the people of the account.
        watch.add("e-mail address", &canary("email"));
        let stored = block_on(records(&*world.backend.store));
        let kinds: std::collections::BTreeSet<_> = stored.iter().map(Record::kind).collect();
        // Programs, their versions and uses of links hold nothing that is sealed, and are not made here.
        assert_eq!(kinds.len(), 11, "every other kind of record is looked at: {kinds:?}");
        for record in &stored {
            let body = record.body().unwrap();
            // A link names its seller in clear, since its page does; nothing else does.
            let named = body.contains(&canary("name"));
            assert_eq!(named, record.kind() == EntityKind::PaymentLink, "{body}");
            watch.look(&format!("a record on {name}"), body);
            watch.print(&format!("Debug of a record on {name}"), record);
        }
        assert!(stored.iter().any(|record| record.body().unwrap().contains(CONTROL)), "the search finds what is there");
        if let Some(folder) = &world.backend.folder {
            let files = raw(folder);
            for (path, bytes) in &files {
                watch.look(path, bytes);
            }
            let control = files.iter().filter(|(_, bytes)| holds(bytes, CONTROL.as_bytes())).count();
            assert!(
                control > 0,
                "the search finds what is there: {:?}",
                files.iter().map(|f| &f.0).collect::<Vec<_>>()
            );
        }
        assert!(watch.looks > 200, "{} looks", watch.looks);
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

#[test]
fn the_watch_finds_a_canary_in_every_form() {
    let mut watch = Watch::default();
    let value = canary("control");
    watch.add("control", &value);
    let bytes = value.as_bytes();
    let debug = format!("{bytes:?}");
    let padded = |n: usize, symbols| base64(&[&vec![b'x'; n], bytes, b"yyy"].concat(), symbols);
    let utf16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hex = bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat();
    let reversed: String = value.chars().rev().collect();
    for (form, bytes) in [
        ("plain", bytes.to_vec()),
        ("within", format!("a{value}b").into_bytes()),
        ("without its ends", bytes[2..30].to_vec()),
        ("reversed", reversed.into_bytes()),
        ("hex", hex.clone().into_bytes()),
        ("upper hex", hex.to_uppercase().into_bytes()),
        ("UTF-16", utf16),
        ("numbers", debug.into_bytes()),
        ("base64", padded(0, STANDARD)),
        ("base64 from the second byte", padded(1, STANDARD)),
        ("base64 from the third byte", padded(2, URL_SAFE)),
        ("base64 from the fourth byte", padded(3, URL_SAFE)),
    ] {
        assert!(!watch.found(&bytes).is_empty(), "{form}");
    }
    assert!(watch.found(perfectpay::secret::mask(&value).as_bytes()).is_empty());
}

/// Bodies that are wrong just where the secret stands, or just beside it.
fn wrong_bodies(secret: &str) -> Vec<(&'static str, Value)> {
    let connector = |details: Value| json!({ "connector_type": "payment_processor", "connector_name": "stripe", "connector_account_details": details });
    let key = |value: Value| connector(json!({ "auth_type": "HeaderKey", "api_key": value }));
    let beside = |field: &str, value: Value| {
        let mut body = key(json!(secret));
        body[field] = value;
        body
    };
    let mut masked: Vec<char> = secret.chars().collect();
    masked[2..30].fill('*');
    let masked: String = masked.into_iter().collect();
    let profile = |field: &str, value: Value| {
        let mut body = json!({});
        body[field] = value;
        body
    };
    let card = |number: Value, month: &str| {
        json!({ "payment_method": "card", "payment_method_data": { "card": {
        "card_number": number, "card_exp_month": month, "card_exp_year": "30", "card_holder_name": secret,
    } } })
    };
    vec![
        ("connector", key(json!([secret]))),
        ("connector", key(json!({ "value": secret }))),
        ("connector", key(json!(masked))),
        ("connector", connector(json!(secret))),
        ("connector", connector(json!([secret]))),
        ("connector", connector(json!({ "auth_type": secret, "api_key": "k12345" }))),
        ("connector", connector(json!({ "auth_type": "BodyKey", "api_key": secret }))),
        ("connector", connector(json!({ "auth_type": "BodyKey", "api_key": secret, "key1": " " }))),
        ("connector", connector(json!({ "auth_type": "BodyKey", "api_key": secret, "key1": secret }))),
        ("connector", connector(json!({ "auth_type": "HeaderKey", "api_key": secret, "key1": secret }))),
        ("connector", connector(json!({ "auth_type": "HeaderKey", "api_key": secret, "nope": secret }))),
        ("connector", connector(json!({ "auth_type": "CurrencyAuthKey", "auth_key_map": secret }))),
        ("connector", connector(json!({ "auth_type": "CurrencyAuthKey", "auth_key_map": { "EUR": secret } }))),
        ("connector", connector(json!({ "auth_type": "CurrencyAuthKey", "auth_key_map": { "EUR": { "a": secret } } }))),
        ("connector", beside("connector_type", json!(secret))),
        ("connector", beside("connector_name", json!(secret))),
        ("connector", beside("connector_name", json!(secret.to_lowercase()))),
        ("connector", beside("status", json!(secret))),
        ("connector", beside("disabled", json!(secret))),
        ("connector", beside("connector_webhook_details", json!({ "merchant_secret": [secret] }))),
        ("connector", beside("connector_webhook_details", json!({ "merchant_secret": format!("{secret}\n") }))),
        ("connector", beside("connector_wallets_details", json!({ "apple_pay": secret }))),
        ("connector", beside("additional_merchant_data", json!([secret]))),
        ("connector", beside("payment_methods_enabled", json!([{ "payment_method": secret }]))),
        (
            "connector",
            beside("payment_methods_enabled", json!([{ "payment_method": "card", "payment_method_types": [secret] }])),
        ),
        ("connector", beside("profile_id", json!(secret))),
        ("profile", profile("payment_response_hash_key", json!([secret]))),
        ("profile", profile("payment_response_hash_key", json!(format!("{secret}\u{0}")))),
        ("profile", profile("payment_response_hash_key", json!(secret.repeat(9)))),
        ("profile", profile("webhook_details", json!(secret))),
        ("profile", profile("webhook_details", json!({ "webhook_password": { "a": secret } }))),
        ("profile", profile("webhook_details", json!({ "webhook_password": secret, "webhook_url": secret }))),
        ("profile", profile("webhook_details", json!({ "webhook_url": format!("https://u:{secret}@a.example") }))),
        ("profile", profile("webhook_details", json!({ "payment_statuses_enabled": [secret] }))),
        ("profile", profile("outgoing_webhook_custom_http_headers", json!({ "A": format!("{secret}\n") }))),
        ("profile", profile("outgoing_webhook_custom_http_headers", json!({ "A": [secret] }))),
        ("profile", profile("outgoing_webhook_custom_http_headers", json!({ "Host": secret }))),
        ("profile", profile("outgoing_webhook_custom_http_headers", json!({ "A": secret, "a": secret }))),
        ("profile", profile("session_expiry", json!(secret))),
        ("profile", profile("merchant_category_code", json!(secret))),
        ("profile", profile("merchant_business_country", json!(secret))),
        ("profile", profile("profile_name", json!(secret.repeat(3)))),
        ("profile", profile("payment_link_config", json!({ "theme": secret }))),
        ("profile", profile("payment_link_config", json!({ "domain_name": format!("{secret} ") }))),
        ("merchant", json!({ "merchant_id": "m", "payment_response_hash_key": 7, "merchant_name": secret })),
        ("merchant", json!({ "merchant_id": "m", "webhook_details": { "webhook_password": [secret] } })),
        ("merchant", json!({ "merchant_id": format!("{secret} {secret}") })),
        ("merchant", json!({ "merchant_id": "m", "organization_id": secret })),
        ("confirm", json!({ "payment_method": CARD })),
        ("confirm", json!({ "payment_method_data": CARD })),
        ("confirm", json!({ "payment_method_data": { "card": CARD } })),
        ("confirm", card(json!([CARD]), "10")),
        ("confirm", card(json!(4_242_424_242_424_242_i64), "10")),
        ("confirm", card(json!(format!("{CARD}1")), "10")),
        ("confirm", card(json!(format!("{CARD}x")), "10")),
        ("confirm", card(json!(CARD), "13")),
        ("confirm", card(json!(CARD), CARD)),
        ("confirm", card(json!(CARD), "10")),
        ("payment", json!({ "amount": secret, "currency": "EUR" })),
        ("payment", json!({ "amount": 1, "currency": secret })),
        ("payment", json!({ "amount": 1, "currency": "EUR", "return_url": format!("https://{secret}@a.example") })),
        ("payment", json!({ "amount": 1, "currency": "EUR", "capture_method": secret })),
        ("payment", json!({ "amount": 1, "currency": "EUR", "payment_link": secret })),
        ("key", json!({ "name": "n", "expiration": secret })),
        ("key", json!({ "name": [secret], "expiration": "never" })),
        ("block", json!({ "type": "card_bin", "data": secret })),
        ("block", json!({ "type": secret, "data": "411111" })),
        ("block", json!({ "type": "card_bin", "data": [secret] })),
    ]
}

async fn attempt(pay: &PerfectPay, tenant: &host::Tenant, what: &str, body: &[u8]) -> Result<(), Error> {
    let scope = tenant.scope(pay);
    match what {
        "connector" => drop(scope.create_connector(json::from_slice(body)?).await?),
        "profile" => drop(tenant.profile_scope(pay).update(json::from_slice(body)?).await?),
        "merchant" => drop(tenant.organization_scope(pay).create_merchant(json::from_slice(body)?).await?),
        "payment" => drop(scope.create_payment(json::from_slice(body)?).await?),
        "confirm" => drop(scope.payment(&"pay_nobody".parse()?).confirm(json::from_slice(body)?).await?),
        "key" => drop(scope.create_api_key(json::from_slice(body)?).await?),
        "block" => drop(scope.blocklist().add(json::from_slice(body)?).await?),
        other => panic!("{other}"),
    }
    Ok(())
}

fn as_value(what: &str, body: Value) -> Result<(), Error> {
    match what {
        "connector" => json::from_value::<NewConnector>(body).map(drop),
        "profile" => json::from_value::<ProfileUpdate>(body).map(drop),
        "merchant" => json::from_value::<NewMerchant>(body).map(drop),
        "payment" => json::from_value::<NewPayment>(body).map(drop),
        "confirm" => json::from_value::<perfectpay::ConfirmPayment>(body).map(drop),
        "key" => json::from_value::<perfectpay::NewApiKey>(body).map(drop),
        "block" => json::from_value::<perfectpay::BlockRequest>(body).map(drop),
        other => panic!("{other}"),
    }
}

#[test]
fn no_error_repeats_a_secret() {
    for backend in backends() {
        let world = World::on(backend);
        let pay = &world.pay;
        block_on(async {
            let secret = canary("error");
            let mut watch = Watch::default();
            watch.add("secret", &secret);
            watch.add("secret in lower case", &secret.to_lowercase());
            watch.add_bytes("card number", CARD.as_bytes());
            let tenant = host::stand_up(pay, "acme").await.unwrap();
            watch.add("token", &tenant.token()[12..]);
            for (what, body) in wrong_bodies(&secret) {
                let text = body.to_string();
                let Err(error) = attempt(pay, &tenant, what, text.as_bytes()).await else { panic!("accepted: {text}") };
                watch.error(&text.replace(&secret, "SECRET"), &error);
                if let Err(error) = as_value(what, body) {
                    watch.error(&text.replace(&secret, "SECRET"), &error);
                }
                // Cut off anywhere, it is told where and not what.
                for end in (0..text.len()).step_by(7) {
                    let Err(error) = attempt(pay, &tenant, what, &text.as_bytes()[..end]).await else { continue };
                    watch.error("a body that is cut off", &error);
                }
                let Err(error) = attempt(pay, &tenant, what, format!("{text} {secret}").as_bytes()).await else {
                    panic!("accepted with more behind it")
                };
                watch.error("a body with more behind it", &error);
            }
            for text in [secret.as_str(), &format!("\"{secret}"), &format!("{{\"{secret}")] {
                watch.error("no JSON", &json::from_slice::<NewConnector>(text.as_bytes()).unwrap_err());
            }

            // What stands against a good body does not repeat it either.
            let good = host::connector_body("c", &secret);
            let connector: NewConnector = read(&good).unwrap();
            let scope = tenant.scope(pay);
            let key = || "k".parse().unwrap();
            let made = scope.create_connector(connector.clone()).idempotency_key(key()).await.unwrap();
            watch.error("a taken label", &scope.create_connector(connector.clone()).await.unwrap_err());
            let other: NewConnector = read(&host::connector_body("d", &secret)).unwrap();
            let error = scope.create_connector(other).idempotency_key(key()).await.unwrap_err();
            watch.error("a used idempotency key", &error);
            let nowhere = pay.merchant(&"nobody".parse().unwrap());
            watch.error("no account", &nowhere.create_connector(connector).await.unwrap_err());
            let update = json!({
                "connector_type": "payment_processor",
                "connector_account_details": { "auth_type": "HeaderKey", "api_key": secret },
            });
            let update: perfectpay::ConnectorUpdate = read(&update.to_string()).unwrap();
            let handle = scope.connector(&made.merchant_connector_id);
            watch.error("a stale version", &handle.update(update).expecting(9).await.unwrap_err());

            let token = tenant.token();
            for token in [&token[..60], &format!("{token}x"), &format!("x{token}"), &secret, CARD] {
                watch.error("a malformed key", &pay.authenticate(token).await.unwrap_err());
            }
            scope.api_key(&tenant.key.key_id).revoke().await.unwrap();
            watch.error("a revoked key", &pay.authenticate(token).await.unwrap_err());
            for card in ["4242424242424241", "42424242424242424242424242424242", "4242-4242-4242-4242x"] {
                let fault = card.parse::<CardNumber>().unwrap_err();
                assert!(!format!("{fault} {fault:?}").contains("4242"), "{card}");
            }
            for hex in
                [host::MASTER_KEY_HEX[1..].to_owned(), format!("{}zz", &host::MASTER_KEY_HEX[2..]), "0".repeat(64)]
            {
                let fault = MasterKey::from_hex("k", &hex).unwrap_err();
                assert!(!format!("{fault} {fault:?}").contains(&hex[10..20]), "{fault}");
            }
            assert!(watch.looks > 1_000, "{} looks", watch.looks);
        });
    }
}

/// The same record with another body, at its next version.
fn altered(record: &Record, alter: impl FnOnce(&mut Value)) -> Record {
    let mut body: Value = serde_json::from_str(&record.body().unwrap()).unwrap();
    alter(&mut body);
    let meta = record.meta();
    let meta = RowMeta { version: meta.version + 1, ..meta };
    Record::decode(record.kind(), &meta, &body.to_string()).unwrap()
}

async fn write(store: &dyn Store, record: Record, at: perfectpay::Timestamp) {
    let mut set = ChangeSet::new(Owner::default(), Actor::Host, at, CommitClass::Configuration);
    set.update(record);
    store.commit(set).await.unwrap();
}

#[test]
fn a_sealed_value_that_was_changed_or_moved_does_not_open() {
    for backend in backends() {
        let world = World::on(backend);
        let pay = &world.pay;
        block_on(async {
            let acme = host::stand_up(pay, "acme").await.unwrap();
            let other = host::merchant_in(pay, &acme.organization, "other").await.unwrap();
            let store = world.backend.store.clone();
            let mut watch = Watch::default();
            let bodies = connectors(&mut watch, "first");
            let (a, b) = (acme.scope(pay), other.scope(pay));
            let mine = a.create_connector(read(&bodies[0].to_string()).unwrap()).await.unwrap();
            let sibling = a.create_connector(read(&bodies[1].to_string()).unwrap()).await.unwrap();
            let foreign = b.create_connector(read(&bodies[0].to_string()).unwrap()).await.unwrap();
            let row = async |merchant: &str, id: &perfectpay::ConnectorId| {
                let path = MerchantPath::Id(merchant.parse().unwrap());
                store.get(&Key::Connector(path, id.clone())).await.unwrap().unwrap()
            };
            let sealed = async |merchant: &str, id: &perfectpay::ConnectorId, field: &str| {
                let body: Value = serde_json::from_str(&row(merchant, id).await.body().unwrap()).unwrap();
                body[field].as_str().unwrap().to_owned()
            };
            let fields = [
                "connector_account_details",
                "connector_webhook_details",
                "additional_merchant_data",
                "connector_wallets_details",
            ];
            let handle = a.connector(&mine.merchant_connector_id);
            let now = perfectpay::Timestamp::from_unix_millis(host::START_MILLIS).unwrap();
            let good = row("acme", &mine.merchant_connector_id).await;
            let mut values = Vec::new();
            for field in fields {
                let own = sealed("acme", &mine.merchant_connector_id, field).await;
                // Every character, and so every byte: version, key id, nonce, text and tag.
                for at in 0..own.len() {
                    let mut text = own.clone().into_bytes();
                    text[at] = if text[at] == b'A' { b'Q' } else { b'A' };
                    values.push((field, String::from_utf8(text).unwrap()));
                }
                values.push((field, own[..own.len() - 4].to_owned()));
                values.push((field, String::new()));
                values.push((field, sealed("acme", &sibling.merchant_connector_id, field).await));
                values.push((field, sealed("other", &foreign.merchant_connector_id, field).await));
                for other in fields.iter().filter(|other| **other != field) {
                    values.push((field, sealed("acme", &mine.merchant_connector_id, other).await));
                }
            }
            let mut version = good.clone();
            let mut refused = 0;
            for (field, value) in values {
                let body: Value = serde_json::from_str(&good.body().unwrap()).unwrap();
                if body[field].as_str() == Some(value.as_str()) {
                    continue;
                }
                // The last character of a text may hold bits that no byte has; such a text is no base64url.
                let mut text = body.clone();
                text[field] = value.clone().into();
                let meta = version.meta();
                let meta = RowMeta { version: meta.version + 1, ..meta };
                let Ok(next) = Record::decode(good.kind(), &meta, &text.to_string()) else { continue };
                write(&*store, next.clone(), now).await;
                version = next;
                let error = handle.retrieve().await.err().unwrap_or_else(|| panic!("{field}: {value} was opened"));
                assert_eq!(error.kind(), perfectpay::ErrorKind::Corrupt, "{field}: {error} on {}", world.name);
                watch.error("a sealed value that does not open", &error);
                refused += 1;
            }
            assert!(refused > 500, "{refused} alterations");
            write(&*store, altered(&version, |body| *body = serde_json::from_str(&good.body().unwrap()).unwrap()), now)
                .await;
            assert_eq!(shown(&handle.retrieve().await.unwrap()), shown(&mine), "{}", world.name);
        });
    }
}

#[test]
fn the_same_card_has_another_fingerprint_at_every_account_and_none_under_another_settings() {
    for backend in backends() {
        let world = World::on(backend);
        let pay = &world.pay;
        block_on(async {
            let acme = host::stand_up(pay, "acme").await.unwrap();
            let sibling = host::merchant_in(pay, &acme.organization, "sibling").await.unwrap();
            let print = async |tenant: &host::Tenant, card: &str| {
                tenant
                    .scope(pay)
                    .blocklist()
                    .screen(&card.parse().unwrap())
                    .await
                    .unwrap()
                    .fingerprint
                    .unwrap()
                    .to_string()
            };
            let first = print(&acme, CARD).await;
            assert!(first.starts_with("fp1_") && first.len() == 4 + 43, "{first}");
            assert_eq!(print(&acme, "4242 4242-4242 4242").await, first, "{}", world.name);
            assert_ne!(print(&sibling, CARD).await, first, "{}", world.name);
            assert_ne!(print(&acme, "4111111111111111").await, first, "{}", world.name);
            let again = PerfectPay::open(world.backend.store.clone(), host::settings().unwrap()).await.unwrap();
            let card = CARD.parse().unwrap();
            let same = acme.scope(&again).blocklist().screen(&card).await.unwrap().fingerprint.unwrap().to_string();
            assert_eq!(same, first, "{}", world.name);
            let wrong = MasterKey::from_hex("test-1", &"0123456789abcdef".repeat(4)).unwrap();
            let error = PerfectPay::open(world.backend.store.clone(), Settings::new(wrong)).await.unwrap_err();
            assert_eq!(error.kind(), perfectpay::ErrorKind::Corrupt, "{}", world.name);
        });
    }
}
