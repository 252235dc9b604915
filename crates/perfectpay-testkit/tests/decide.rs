//! Deciding payments through the handles: what declines, what is tried and why, from memory, whoever commits.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test stops at a surprise, and a story is as long as it is"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::block_on;
use perfectpay::{
    Answer, CardFacts, ConnectorId, ConnectorUpdate, DecideRequest, Decision, Error, NewRoutingProgram,
    NewRoutingVersion, PageRequest, Patch, PaymentFacts, PerfectPay, ProfileId, ProfileScope, RoutingId, json,
};
use perfectpay_testkit::host::{self, Tenant};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{World, backends, on_every_backend, read, told};

const CARD: &str = "4242424242424242";

fn choice(account: &ConnectorId) -> Value {
    json!({ "connector": "stripe", "merchant_connector_id": account })
}

fn priority(accounts: &[&ConnectorId]) -> Value {
    let choices: Vec<Value> = accounts.iter().map(|account| choice(account)).collect();
    json!({ "type": "priority", "data": choices })
}

/// A rule for payments in a currency, and the second account for all others.
fn by_currency(currency: &str, then: &ConnectorId, otherwise: &ConnectorId) -> Value {
    json!({ "type": "advanced", "data": {
        "defaultSelection": priority(&[otherwise]), "metadata": {},
        "rules": [{ "name": "by currency", "connectorSelection": priority(&[then]), "statements": [{ "condition": [
            { "lhs": "currency", "comparison": "equal", "value": { "type": "enum_variant", "value": currency },
              "metadata": {} }] }] }],
    }})
}

fn program(algorithm: &Value) -> NewRoutingProgram {
    json::from_value(json!({ "name": "p", "description": "d", "algorithm": algorithm })).unwrap()
}

fn facts(currency: &str) -> PaymentFacts {
    let body = json!({ "amount": 4999, "currency": currency, "payment_method": "card", "payment_method_type": "credit",
        "card": { "bin": "424242", "card_network": "Visa", "card_type": "credit", "issuing_country": "DE" } });
    json::from_value(body).unwrap()
}

fn request(payment: &str, currency: &str) -> DecideRequest {
    let mut request = DecideRequest::new(payment.parse().unwrap(), facts(currency));
    request.card = Some(CardFacts::new("42424242", ["tok_1"]).unwrap());
    request
}

async fn accounts<const N: usize>(world: &World, profile: &ProfileScope, labels: [&str; N]) -> [ConnectorId; N] {
    let mut ids = Vec::new();
    for label in labels {
        world.clock.step(Duration::from_secs(1));
        let made = profile.create_connector(read(&host::connector_body(label, "sk_live_1")).unwrap()).await.unwrap();
        ids.push(made.merchant_connector_id);
    }
    ids.try_into().unwrap()
}

async fn activate(profile: &ProfileScope, algorithm: &Value) -> RoutingId {
    let made = profile.routing().create(program(algorithm)).await.unwrap();
    profile.routing().program(&made.record.id).activate(None).await.unwrap();
    made.record.id
}

fn disabled(disabled: bool) -> ConnectorUpdate {
    let mut update = ConnectorUpdate::of(perfectpay::ConnectorType::PaymentProcessor);
    update.disabled = Patch::Set(disabled);
    update
}

fn tried(decision: &Decision) -> Vec<ConnectorId> {
    match &decision.answer {
        Answer::Candidates(candidates) => candidates.iter().map(|candidate| candidate.account.clone()).collect(),
        Answer::Declined { .. } => panic!("{:?}", decision.answer),
    }
}

/// The answer as JSON: declined and why, or what is tried.
fn answer(decision: &Decision) -> Value {
    serde_json::to_value(&decision.answer).unwrap()
}

/// Why a payment is declined, in the answer's own word.
fn declined(decision: &Decision) -> String {
    assert!(matches!(decision.answer, Answer::Declined { .. }), "{:?}", decision.answer);
    let json = answer(decision);
    json.pointer("/declined/reason").and_then(Value::as_str).unwrap_or_else(|| panic!("{json}")).to_owned()
}

#[test]
fn candidates_come_by_rule_by_split_and_from_the_fallback_order() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let profile = tenant.profile_scope(&world.pay);
        let empty = profile.decide(&request("pay_1", "EUR")).await.unwrap();
        assert_eq!(declined(&empty), "no_eligible_connector", "{}", world.name);
        let [one, two, three] = accounts(world, &profile, ["one", "two", "three"]).await;
        // No program: the accounts by creation.
        let fallback = profile.decide(&request("pay_1", "EUR")).await.unwrap();
        assert_eq!(tried(&fallback), [one.clone(), two.clone(), three.clone()], "{}", world.name);
        assert_eq!(fallback.staleness, Duration::ZERO);
        // By rule, and the fallback order behind it.
        activate(&profile, &by_currency("USD", &three, &two)).await;
        assert_eq!(
            tried(&profile.decide(&request("pay_1", "USD")).await.unwrap()),
            [three.clone(), one.clone(), two.clone()]
        );
        assert_eq!(
            tried(&profile.decide(&request("pay_1", "EUR")).await.unwrap()),
            [two.clone(), one.clone(), three.clone()]
        );
        profile.routing().move_in_fallback(&three, 0).await.unwrap();
        assert_eq!(
            tried(&profile.decide(&request("pay_1", "EUR")).await.unwrap()),
            [two.clone(), three.clone(), one.clone()]
        );
        // A program that names a disabled account passes it over, and takes it again.
        profile.connector(&two).update(disabled(true)).await.unwrap();
        assert_eq!(tried(&profile.decide(&request("pay_1", "EUR")).await.unwrap()), [three.clone(), one.clone()]);
        let explained =
            serde_json::to_string(&profile.explain_decision(&request("pay_1", "EUR")).await.unwrap()).unwrap();
        assert!(explained.contains("disabled") && explained.contains(two.as_str()), "{explained}");
        profile.connector(&two).update(disabled(false)).await.unwrap();
        assert_eq!(tried(&profile.decide(&request("pay_1", "EUR")).await.unwrap())[0], two);
        // A split is the same for the same payment, and reaches every share.
        let split = json!({ "type": "volume_split", "data": [
            { "connector": choice(&one), "split": 50 }, { "connector": choice(&two), "split": 50 }] });
        activate(&profile, &split).await;
        let mut firsts = std::collections::BTreeSet::new();
        for number in 0..40 {
            let payment = format!("pay_{number}");
            let first = tried(&profile.decide(&request(&payment, "EUR")).await.unwrap())[0].clone();
            assert_eq!(tried(&profile.decide(&request(&payment, "EUR")).await.unwrap())[0], first);
            firsts.insert(first);
        }
        assert_eq!(firsts.len(), 2, "{}", world.name);
        // Without a program again.
        profile.routing().deactivate().await.unwrap();
        assert_eq!(tried(&profile.decide(&request("pay_1", "EUR")).await.unwrap())[0], three);
    });
}

#[test]
fn a_card_is_declined_by_a_list_by_the_profiles_rules_and_by_the_guard() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let (scope, profile) = (tenant.scope(&world.pay), tenant.profile_scope(&world.pay));
        accounts(world, &profile, ["one"]).await;
        scope.blocklist().add(read(&host::block_body("fingerprint", "tok_1")).unwrap()).await.unwrap();
        // The switch is off.
        let passed = profile.decide(&request("pay_1", "EUR")).await.unwrap();
        assert_eq!(tried(&passed).len(), 1);
        assert!(passed.screened.unwrap().screening.would_be_blocked());
        scope.blocklist().toggle(Some(true)).await.unwrap();
        let listed = profile.decide(&request("pay_1", "EUR")).await.unwrap();
        assert_eq!(declined(&listed), "blocked_bin", "{}", world.name);
        assert!(answer(&listed).to_string().contains("fingerprint:tok_1"), "{}", answer(&listed));
        scope.blocklist().remove(read(&host::block_body("fingerprint", "tok_1")).unwrap()).await.unwrap();
        assert_eq!(tried(&profile.decide(&request("pay_1", "EUR")).await.unwrap()).len(), 1);
        // By its number, under the account's own fingerprint.
        let number = CARD.parse().unwrap();
        let print = profile.decide_card(&request("pay_1", "EUR"), &number).await.unwrap();
        let print = print.screened.unwrap().screening.fingerprint.unwrap().to_string();
        scope.blocklist().add(read(&host::block_body("fingerprint", &print)).unwrap()).await.unwrap();
        let by_number = profile.decide_card(&request("pay_1", "EUR"), &number).await.unwrap();
        assert_eq!(declined(&by_number), "blocked_bin");
        scope.blocklist().remove(read(&host::block_body("fingerprint", &print)).unwrap()).await.unwrap();
        // By what the card is.
        let rules = r#"{"payment_method_blocking": {"card": {"issuing_country": ["DE"]}}}"#;
        profile.update(read(rules).unwrap()).await.unwrap();
        assert_eq!(declined(&profile.decide(&request("pay_1", "EUR")).await.unwrap()), "blocked_issuer_country");
        let wallet = r#"{"payment_method_blocking": {"wallet": {"card_types": ["credit"]}}}"#;
        profile.update(read(wallet).unwrap()).await.unwrap();
        let mut by_wallet = DecideRequest::new("pay_1".parse().unwrap(), facts("EUR"));
        by_wallet.facts.payment_method = Some(perfectpay::PaymentMethod::Wallet);
        by_wallet.facts.payment_method_type = None;
        assert_eq!(declined(&profile.decide(&by_wallet).await.unwrap()), "blocked_card_type", "{}", world.name);
        profile.update(read(r#"{"payment_method_blocking": null}"#).unwrap()).await.unwrap();

        // By the guard against card testing, which counts failed attempts and comes before the lists.
        let guard = r#"{"card_testing_guard_config": {"card_ip_blocking_status": "enabled", "card_ip_blocking_threshold": 2,
            "guest_user_card_blocking_status": "disabled", "guest_user_card_blocking_threshold": 10,
            "customer_id_blocking_status": "disabled", "customer_id_blocking_threshold": 5,
            "card_testing_guard_expiry": 3600}}"#;
        profile.update(read(guard).unwrap()).await.unwrap();
        let mut request = request("pay_1", "EUR");
        request.client_ip = Some("203.0.113.9".parse().unwrap());
        for _ in 0..2 {
            let decision = profile.decide(&request).await.unwrap();
            assert_eq!(tried(&decision).len(), 1);
            profile.count_failed_attempt(&decision.guard_keys).await.unwrap();
        }
        let head = world.pay.log_head().await.unwrap();
        let decision = profile.decide(&request).await.unwrap();
        assert_eq!(declined(&decision), "card_testing_card_and_address", "{}: {}", world.name, answer(&decision));
        assert_eq!(decision.screened, None);
        let kept = serde_json::to_string(&decision.guard_keys).unwrap();
        assert!(!kept.contains("203.0.113") && !kept.contains("tok_1"), "{kept}");
        request.client_ip = Some("203.0.113.10".parse().unwrap());
        assert_eq!(tried(&profile.decide(&request).await.unwrap()).len(), 1);
        request.client_ip = Some("203.0.113.9".parse().unwrap());
        world.clock.step(Duration::from_secs(3_600));
        assert_eq!(tried(&profile.decide(&request).await.unwrap()).len(), 1);
        assert_eq!(world.pay.log_head().await.unwrap(), head, "deciding commits nothing");
    });
}

#[test]
fn what_contradicts_itself_or_is_not_there_is_told() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let profile = tenant.profile_scope(&world.pay);
        let mut wrong = request("pay_1", "EUR");
        wrong.facts.payment_method_type = Some(perfectpay::PaymentMethodType::Klarna);
        let error = profile.decide(&wrong).await.unwrap_err();
        assert_eq!(told(&error), ("facts.method_mismatch".into(), "facts.payment_method_type".into()));
        let nobody: ProfileId = "pro_nobody".parse().unwrap();
        let error = tenant.scope(&world.pay).profile(&nobody).decide(&request("pay_1", "EUR")).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no business profile `pro_nobody`", "{}", world.name);
        let gone = world.pay.merchant(&"nobody".parse().unwrap()).profile(&tenant.profile.profile_id);
        assert_eq!(told(&gone.decide(&request("pay_1", "EUR")).await.unwrap_err()).0, "not_found");
    });
}

#[test]
fn a_new_owner_of_an_id_decides_by_nothing_of_the_old_ones() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let by_id = world.pay.merchant(&tenant.merchant.merchant_id);
        let profile = by_id.profile(&tenant.profile.profile_id);
        accounts(world, &profile, ["one"]).await;
        assert_eq!(tried(&profile.decide(&request("pay_1", "EUR")).await.unwrap()).len(), 1);
        by_id.remove().cascade().await.unwrap();
        assert_eq!(told(&profile.decide(&request("pay_1", "EUR")).await.unwrap_err()).0, "not_found");
        let heir = host::merchant_in(&world.pay, &tenant.organization, "acme").await.unwrap();
        assert_eq!(told(&profile.decide(&request("pay_1", "EUR")).await.unwrap_err()).0, "not_found");
        let theirs = by_id.profile(&heir.profile.profile_id).decide(&request("pay_1", "EUR")).await.unwrap();
        assert_eq!(declined(&theirs), "no_eligible_connector", "{}", world.name);
    });
}

/// The handles of one process.
struct Process {
    pay: PerfectPay,
    tenant: Arc<Tenant>,
    other: ProfileId,
}

async fn processes(world: &World, staleness: Duration, bytes: usize) -> [Process; 2] {
    let choose = |settings: perfectpay::Settings| settings.staleness(staleness).router_bytes(bytes);
    let pays = [world.reopened(choose).await, world.reopened(choose).await];
    let tenant = Arc::new(host::stand_up(&pays[0], "acme").await.unwrap());
    let other = tenant.scope(&pays[0]).create_profile(read(r#"{"profile_name": "other"}"#).unwrap()).await.unwrap();
    pays.map(|pay| Process { pay, tenant: tenant.clone(), other: other.profile_id.clone() })
}

impl Process {
    fn profile(&self, pay: &PerfectPay, other: bool) -> ProfileScope {
        let id = if other { &self.other } else { &self.tenant.profile.profile_id };
        self.tenant.scope(pay).profile(id)
    }
}

#[test]
fn an_activation_of_another_process_decides_when_the_bound_has_passed() {
    on_every_backend(async |world| {
        let [one, two] = processes(world, Duration::from_secs(5), 1 << 20).await;
        let ours = one.profile(&one.pay, false);
        let [first, second] = accounts(world, &ours, ["one", "two"]).await;
        let theirs = two.profile(&two.pay, false);
        world.clock.step(Duration::from_secs(6));
        assert_eq!(tried(&theirs.decide(&request("pay_1", "EUR")).await.unwrap())[0], first);
        activate(&ours, &priority(&[&second])).await;
        assert_eq!(tried(&ours.decide(&request("pay_1", "EUR")).await.unwrap())[0], second, "{}", world.name);
        world.clock.step(Duration::from_secs(4));
        let within = theirs.decide(&request("pay_1", "EUR")).await.unwrap();
        assert_eq!((&tried(&within)[0], within.staleness), (&first, Duration::from_secs(4)), "{}", world.name);
        world.clock.step(Duration::from_secs(1));
        let beyond = theirs.decide(&request("pay_1", "EUR")).await.unwrap();
        assert_eq!((&tried(&beyond)[0], beyond.staleness), (&second, Duration::ZERO), "{}", world.name);
    });
}

#[derive(Debug, Clone)]
enum Step {
    Account { other: bool },
    Disable { other: bool, at: usize, disabled: bool },
    RemoveAccount { other: bool, at: usize, cascade: bool },
    Draft { other: bool, kind: u8, at: usize },
    Version { at: usize, of: usize },
    Activate { at: usize },
    Deactivate { other: bool },
    RollBack { other: bool },
    Move { other: bool, at: usize },
    List { remove: bool },
    Toggle,
    Rules { other: bool, on: bool },
    Wait,
    RemoveOther,
}

fn step() -> impl Strategy<Value = Step> {
    let (other, at) = (prop_oneof![3 => Just(false), 1 => Just(true)], 0..4_usize);
    prop_oneof![
        5 => other.clone().prop_map(|other| Step::Account { other }),
        3 => (other.clone(), at.clone(), any::<bool>())
            .prop_map(|(other, at, disabled)| Step::Disable { other, at, disabled }),
        2 => (other.clone(), at.clone(), any::<bool>())
            .prop_map(|(other, at, cascade)| Step::RemoveAccount { other, at, cascade }),
        5 => (other.clone(), 0..3_u8, at.clone()).prop_map(|(other, kind, at)| Step::Draft { other, kind, at }),
        2 => (at.clone(), at.clone()).prop_map(|(at, of)| Step::Version { at, of }),
        5 => at.clone().prop_map(|at| Step::Activate { at }),
        1 => other.clone().prop_map(|other| Step::Deactivate { other }),
        2 => other.clone().prop_map(|other| Step::RollBack { other }),
        2 => (other.clone(), at).prop_map(|(other, at)| Step::Move { other, at }),
        2 => any::<bool>().prop_map(|remove| Step::List { remove }),
        1 => Just(Step::Toggle),
        1 => (other, any::<bool>()).prop_map(|(other, on)| Step::Rules { other, on }),
        1 => Just(Step::Wait),
        1 => Just(Step::RemoveOther),
    ]
}

impl Process {
    async fn accounts_of(&self, other: bool) -> Vec<ConnectorId> {
        let page = self.profile(&self.pay, other).connectors(PageRequest::of(100).unwrap()).await;
        page.map(|page| page.items.into_iter().map(|found| found.merchant_connector_id).collect()).unwrap_or_default()
    }

    /// Carries the step out; what is refused is refused.
    async fn take(&self, world: &World, step: &Step) {
        let of = |other: bool| self.profile(&self.pay, other);
        let scope = self.tenant.scope(&self.pay);
        let programs = || async { scope.routing().list(PageRequest::of(100).unwrap()).await.unwrap().items };
        match step {
            Step::Account { other } => {
                let label = format!("account {}", self.accounts_of(*other).await.len());
                of(*other).create_connector(read(&host::connector_body(&label, "sk_live_1")).unwrap()).await.ok();
            }
            Step::Disable { other, at, disabled: off } => {
                if let Some(account) = self.accounts_of(*other).await.get(*at) {
                    scope.connector(account).update(disabled(*off)).await.ok();
                }
            }
            Step::RemoveAccount { other, at, cascade } => {
                if let Some(account) = self.accounts_of(*other).await.get(*at) {
                    let removal = scope.connector(account).remove();
                    let removal = if *cascade { removal.cascade() } else { removal };
                    removal.await.ok();
                }
            }
            Step::Draft { other, kind, at } => {
                let accounts = self.accounts_of(*other).await;
                if let (Some(one), Some(two)) = (accounts.first(), accounts.get(*at)) {
                    let algorithm = match kind {
                        0 => priority(&[two, one]),
                        1 => by_currency("USD", two, one),
                        _ => json!({ "type": "volume_split", "data": [
                            { "connector": choice(one), "split": 40 }, { "connector": choice(two), "split": 60 }] }),
                    };
                    of(*other).routing().create(program(&algorithm)).await.ok();
                }
            }
            Step::Version { at, of } => {
                if let Some(found) = programs().await.get(*at) {
                    let accounts = self.accounts_of(found.profile_id == self.other).await;
                    if let Some(account) = accounts.get(*of) {
                        let new: NewRoutingVersion =
                            json::from_value(json!({ "algorithm": priority(&[account]) })).unwrap();
                        scope.routing().program(&found.id).add_version(new).await.ok();
                    }
                }
            }
            Step::Activate { at } => {
                if let Some(found) = programs().await.get(*at) {
                    scope.routing().program(&found.id).activate(None).await.ok();
                }
            }
            Step::Deactivate { other } => drop(of(*other).routing().deactivate().await),
            Step::RollBack { other } => drop(of(*other).routing().roll_back().await),
            Step::Move { other, at } => {
                if let Some(account) = self.accounts_of(*other).await.get(*at) {
                    of(*other).routing().move_in_fallback(account, 0).await.ok();
                }
            }
            Step::List { remove } => {
                let entry = read(&host::block_body("card_bin", "424242")).unwrap();
                if *remove {
                    scope.blocklist().remove(entry).await.ok();
                } else {
                    scope.blocklist().add(entry).await.ok();
                }
            }
            Step::Toggle => drop(scope.blocklist().toggle(None).await.unwrap()),
            Step::Rules { other, on } => {
                let rules = if *on { json!({ "card": { "card_types": ["credit"] } }) } else { Value::Null };
                let update = json::from_value(json!({ "payment_method_blocking": rules })).unwrap();
                of(*other).update(update).await.ok();
            }
            Step::Wait => world.clock.step(Duration::from_secs(7)),
            Step::RemoveOther => drop(of(true).remove().cascade().await),
        }
    }

    /// Whether memory decides as the store does, everywhere: a batch loads everything anew.
    async fn check(&self) {
        let batch = self.pay.batch();
        for other in [false, true] {
            let (memory, store) = (self.profile(&self.pay, other), self.profile(batch.pay(), other));
            for (payment, currency) in [("pay_1", "EUR"), ("pay_2", "USD"), ("pay_3", "USD")] {
                let request = request(payment, currency);
                let shown = |found: Result<Decision, Error>| {
                    found.map(|decision| answer(&decision).to_string()).map_err(|error| told(&error))
                };
                let (ours, theirs) = (memory.decide(&request).await, store.decide(&request).await);
                assert_eq!(shown(ours), shown(theirs), "{payment} {other}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant 11: whatever two processes on one store do, in whatever order, each of them decides from memory as the
    /// pure decision over what the store holds; also where there is hardly room for a router.
    #[test]
    fn memory_decides_as_the_store_says_after_every_commit_of_either_process(
        steps in proptest::collection::vec((step(), 0..2_usize), 1..28),
        bytes in prop_oneof![Just(1_usize), Just(1 << 20)],
    ) {
        block_on(async {
            let backend = backends().remove(0);
            let world = World::on(backend);
            let processes = processes(&world, Duration::ZERO, bytes).await;
            for (step, by) in &steps {
                processes[*by].take(&world, step).await;
                processes[1 - *by].check().await;
                processes[*by].check().await;
            }
        });
    }
}
