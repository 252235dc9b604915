//! Payments from their confirmation to their end, on every back-end: what is decided, which accounts are tried, what the
//! contract's answers show of it, which events webhooks tell, and that a decision can be made again.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test that panics is a test that failed, and a life is read from its beginning to its end"
)]

mod support;

use std::time::Duration;

use futures_lite::future::block_on;
use perfectpay::store::LogPosition;
use perfectpay::webhook::{IntentStatus, SIGNATURE_512, UrlPolicy, WebhookSigner, verify_512};
use perfectpay::{
    AttemptStatus, ConfirmPayment, DeliveryState, EntityKind, Error, Event, EventType, MerchantScope, NewPayment,
    Outcome, PageRequest, Payment, PerfectPay, StopReason,
};
use perfectpay_testkit::host::{self, Tenant};
use serde_json::{Value, json};
use support::{on_every_backend, read, shown, snapshot, told};

const CARD: &str = "4242424242424242";

fn all() -> PageRequest {
    PageRequest::of(100).unwrap()
}

fn card(number: &str) -> Value {
    json!({
        "payment_method": "card",
        "payment_method_type": "credit",
        "payment_method_data": { "card": {
            "card_number": number, "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "123",
            "card_holder_name": "Jane Doe",
        } },
    })
}

fn confirmation(number: &str) -> ConfirmPayment {
    read(&card(number).to_string()).unwrap()
}

fn declined(code: &str) -> Outcome {
    read(&json!({ "result": "declined", "code": code }).to_string()).unwrap()
}

/// An account whose default profile has so many connector accounts, and webhooks.
async fn shop(pay: &PerfectPay, accounts: usize) -> (Tenant, Vec<String>) {
    let tenant = host::stand_up(pay, "acme").await.unwrap();
    let webhooks = json!({ "webhook_details": { "webhook_url": "https://shop.example.com/webhooks" } });
    tenant.profile_scope(pay).update(read(&webhooks.to_string()).unwrap()).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..accounts {
        let body = host::connector_body(&format!("stripe {number}"), "sk_live_1");
        let made = tenant.scope(pay).create_connector(read(&body).unwrap()).await.unwrap();
        ids.push(made.merchant_connector_id.to_string());
    }
    // Made at one moment, they are in the order of their ids.
    ids.sort();
    (tenant, ids)
}

async fn created(scope: &MerchantScope) -> Payment {
    scope.create_payment(read(&host::payment_body(4_999, "USD")).unwrap()).await.unwrap()
}

fn status(payment: &Payment) -> String {
    payment.status.to_string()
}

/// The error's code, and that it changed nothing.
async fn refused<T: std::fmt::Debug>(
    pay: &PerfectPay,
    act: impl IntoFuture<Output = Result<T, Error>>,
) -> (String, String) {
    let before = snapshot(pay).await;
    let error = act.await.unwrap_err();
    assert_eq!(snapshot(pay).await, before, "{error} changed something");
    told(&error)
}

fn code(told: (String, String)) -> String {
    told.0
}

async fn events(scope: &MerchantScope) -> Vec<String> {
    let events = scope.events(all()).await.unwrap().items;
    let mut types: Vec<String> = events.iter().map(|event| event.event_type.to_string()).collect();
    types.sort();
    types
}

#[test]
fn the_published_confirmation_tries_the_accounts_in_order_until_one_approves() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, accounts) = shop(pay, 3).await;
        let scope = tenant.scope(pay);
        let created = created(&scope).await;
        assert_eq!(status(&created), "requires_payment_method");
        let handle = scope.payment(&created.payment_id);
        let confirmed = handle.confirm(confirmation(CARD)).await.unwrap();
        let expected = json!({
            "status": "processing",
            "amount": 4_999,
            "currency": "USD",
            "payment_method": "card",
            "payment_method_type": "credit",
            "connector": "stripe",
            "merchant_connector_id": accounts[0],
            "attempt_count": 1,
            "error_code": null,
            "error_message": null,
            "merchant_decision": null,
            "fingerprint": null,
        });
        let part = |payment: &Payment| {
            let mut all = shown(payment);
            let all = all.as_object_mut().unwrap();
            all.retain(|field, _| expected.get(field).is_some());
            Value::Object(all.clone())
        };
        assert_eq!(part(&confirmed), expected, "{}", world.name);
        assert_eq!(handle.retrieve().await.unwrap(), confirmed);

        world.clock.step(Duration::from_secs(1));
        let second = handle.record_attempt(1, declined("51")).await.unwrap();
        assert_eq!(second.merchant_connector_id.as_ref().unwrap().as_str(), accounts[1]);
        let third = handle.record_attempt(2, Outcome::TimedOut).await.unwrap();
        assert_eq!(third.merchant_connector_id.as_ref().unwrap().as_str(), accounts[2]);
        let waiting = handle.record_attempt(3, Outcome::Pending).await.unwrap();
        assert_eq!((status(&waiting).as_str(), waiting.attempt_count), ("processing", 3));
        let paid = handle.record_attempt(3, Outcome::Approved).await.unwrap();
        assert_eq!(status(&paid), "succeeded");
        let attempts: Vec<_> = paid
            .attempts
            .iter()
            .map(|attempt| (attempt.status, attempt.error_code.as_ref().map(ToString::to_string)))
            .collect();
        let failure = |code: &str| (AttemptStatus::Failure, Some(code.to_owned()));
        assert_eq!(attempts, [failure("51"), failure("timed_out"), (AttemptStatus::Charged, None)]);
        assert_eq!((paid.amount, paid.currency), (created.amount, created.currency));
        assert_eq!(handle.retrieve().await.unwrap(), paid);
        assert_eq!(events(&scope).await, ["payment_processing", "payment_succeeded"]);
        let scope = tenant.profile_scope(pay);
        assert_eq!(scope.payment(&created.payment_id).retrieve().await.unwrap(), paid);
    });
}

#[test]
fn failover_ends_with_a_hard_decline_the_last_retry_or_the_last_account() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, accounts) = shop(pay, 6).await;
        let scope = tenant.scope(pay);
        let run = async |outcomes: &[Outcome]| {
            let payment = created(&scope).await;
            let handle = scope.payment(&payment.payment_id);
            let mut last = handle.confirm(confirmation(CARD)).await.unwrap();
            for outcome in outcomes {
                last = handle.record_attempt(last.attempt_count, outcome.clone()).await.unwrap();
            }
            last
        };
        let stopped = |payment: &Payment| payment.attempts.last().unwrap().stop_reason.unwrap();
        let hard = run(&[declined("stolen_card")]).await;
        assert_eq!((status(&hard).as_str(), stopped(&hard)), ("failed", StopReason::HardDecline));
        assert_eq!(hard.error_code.as_ref().unwrap().as_str(), "stolen_card");
        // The first and three retries.
        let soft: Vec<Outcome> = std::iter::repeat_n(declined("51"), 4).collect();
        let used_up = run(&soft).await;
        assert_eq!((status(&used_up).as_str(), stopped(&used_up)), ("failed", StopReason::RetriesUsedUp));
        assert_eq!(used_up.attempt_count, 4);
        // Of the accounts behind the first, all are removed or disabled meanwhile but the last.
        let payment = created(&scope).await;
        let handle = scope.payment(&payment.payment_id);
        handle.confirm(confirmation(CARD)).await.unwrap();
        scope.connector(&accounts[1].parse().unwrap()).remove().await.unwrap();
        for id in &accounts[2..5] {
            let off = json!({ "connector_type": "payment_processor", "disabled": true });
            scope.connector(&id.parse().unwrap()).update(read(&off.to_string()).unwrap()).await.unwrap();
        }
        let next = handle.record_attempt(1, declined("51")).await.unwrap();
        assert_eq!(next.merchant_connector_id.as_ref().unwrap().as_str(), accounts[5]);
        let none = handle.record_attempt(2, declined("91")).await.unwrap();
        assert_eq!((status(&none).as_str(), stopped(&none)), ("failed", StopReason::NoCandidateLeft));
        assert_eq!(none.error_code.as_ref().unwrap().as_str(), "91");
    });
}

#[test]
fn an_outcome_that_is_told_again_changes_nothing_and_another_one_is_refused() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, _) = shop(pay, 2).await;
        let scope = tenant.scope(pay);
        let payment = created(&scope).await;
        let handle = scope.payment(&payment.payment_id);
        assert_eq!(code(refused(pay, handle.record_attempt(1, Outcome::Approved)).await), "payment.no_attempt");
        handle.confirm(confirmation(CARD)).await.unwrap();
        let second = handle.record_attempt(1, declined("51")).await.unwrap();
        let before = snapshot(pay).await;
        assert_eq!(handle.record_attempt(1, declined("51")).await.unwrap(), second);
        assert_eq!(snapshot(pay).await, before);
        for (attempt, outcome, wanted) in [
            (1, Outcome::Approved, "payment.attempt_over"),
            (1, declined("05"), "payment.attempt_over"),
            (0, Outcome::Approved, "payment.no_attempt"),
            (3, Outcome::Approved, "payment.no_attempt"),
            (u32::MAX, Outcome::Approved, "payment.no_attempt"),
        ] {
            assert_eq!(code(refused(pay, handle.record_attempt(attempt, outcome)).await), wanted, "{}", world.name);
        }
        let stale = handle.record_attempt(2, Outcome::Approved).expecting(second.version - 1);
        assert_eq!(code(refused(pay, stale).await), "stale");
        let paid = handle.record_attempt(2, Outcome::Approved).expecting(second.version).await.unwrap();
        assert_eq!(paid.status, IntentStatus::Succeeded);
        assert_eq!(code(refused(pay, handle.record_attempt(2, declined("51"))).await), "payment.attempt_over");
        assert_eq!(code(refused(pay, handle.confirm(confirmation(CARD))).await), "payment.not_confirmable");
    });
}

#[test]
fn a_confirmation_happens_once_and_only_in_time() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, _) = shop(pay, 1).await;
        let scope = tenant.scope(pay);
        let payment = created(&scope).await;
        let handle = scope.payment(&payment.payment_id);
        let key = || "confirm-1".parse().unwrap();
        let first = handle.confirm(confirmation(CARD)).idempotency_key(key()).await.unwrap();
        let before = snapshot(pay).await;
        let again = handle.confirm(confirmation(CARD)).idempotency_key(key()).await.unwrap();
        assert_eq!(shown(&again), shown(&first));
        // The same but for the code, of which nothing is kept.
        let mut body = card(CARD);
        body["payment_method_data"]["card"]["card_cvc"] = json!("987");
        let again = handle.confirm(read(&body.to_string()).unwrap()).idempotency_key(key()).await.unwrap();
        assert_eq!(shown(&again), shown(&first));
        assert_eq!(snapshot(pay).await, before, "{}", world.name);
        let other = handle.confirm(confirmation("4111111111111111")).idempotency_key(key());
        assert_eq!(code(refused(pay, other).await), "idempotency_mismatch");
        assert_eq!(code(refused(pay, handle.confirm(confirmation(CARD))).await), "payment.not_confirmable");

        // Fifteen minutes, and not a millisecond more.
        let late = created(&scope).await;
        let handle = scope.payment(&late.payment_id);
        world.clock.set(late.expires_on);
        assert_eq!(code(refused(pay, handle.confirm(confirmation(CARD))).await), "payment.expired");
        let other = created(&scope).await;
        world.clock.set(other.expires_on);
        world.clock.step_back(Duration::from_millis(1));
        // What the log has seen is past; the clock set back revives nothing.
        assert_eq!(code(refused(pay, handle.confirm(confirmation(CARD))).await), "payment.expired");
        scope.payment(&other.payment_id).confirm(confirmation(CARD)).await.unwrap();
        let nobody = scope.payment(&"pay_nobody".parse().unwrap());
        assert_eq!(code(refused(pay, nobody.confirm(confirmation(CARD))).await), "not_found");
    });
}

#[test]
fn a_blocked_card_fails_with_he_03_and_is_confirmed_again_only_where_the_profile_lets_it() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, _) = shop(pay, 1).await;
        let scope = tenant.scope(pay);
        scope.blocklist().add(read(&host::block_body("card_bin", "424242")).unwrap()).await.unwrap();
        // While the guard is off nothing is blocked.
        let payment = created(&scope).await;
        let passed = scope.payment(&payment.payment_id).confirm(confirmation(CARD)).await.unwrap();
        assert_eq!((passed.status, passed.fingerprint), (IntentStatus::Processing, None));
        scope.blocklist().toggle(Some(true)).await.unwrap();

        let payment = created(&scope).await;
        let handle = scope.payment(&payment.payment_id);
        let before = events(&scope).await;
        let blocked = handle.confirm(confirmation(CARD)).await.unwrap();
        let answer = shown(&blocked);
        for (field, expected) in [
            ("status", json!("failed")),
            ("error_code", json!("HE-03")),
            ("error_message", json!("This card is not accepted.")),
            ("merchant_decision", json!("rejected")),
            ("connector", Value::Null),
            ("merchant_connector_id", Value::Null),
            ("attempt_count", json!(1)),
        ] {
            assert_eq!(answer[field], expected, "{field} on {}", world.name);
        }
        assert!(!answer.to_string().contains("blocked_bin"), "the reason's name is never shown");
        assert_eq!(handle.retrieve().await.unwrap(), blocked);
        assert_eq!(events(&scope).await, before, "no webhook tells of it");
        assert_eq!(
            code(refused(pay, handle.confirm(confirmation("4111111111111111"))).await),
            "payment.retry_disabled"
        );
        let retries = json!({ "is_manual_retry_enabled": true });
        tenant.profile_scope(pay).update(read(&retries.to_string()).unwrap()).await.unwrap();
        let again = handle.confirm(confirmation("4111111111111111")).await.unwrap();
        assert_eq!((again.status, again.attempt_count), (IntentStatus::Processing, 2));
        assert_eq!((again.error_code.clone(), again.merchant_decision), (None, None));
        assert!(again.fingerprint.as_ref().unwrap().as_str().starts_with("fp1_"));
        let decision = handle.decision(&again.attempts.last().unwrap().decision_id).await.unwrap();
        assert_eq!(decision.made.fingerprint, again.fingerprint, "on {}", world.name);
        // Blocked by its fingerprint: the same card is the same wherever it comes from.
        let print = again.fingerprint.as_ref().unwrap().to_string();
        scope.blocklist().add(read(&host::block_body("fingerprint", &print)).unwrap()).await.unwrap();
        let body = json!({ "amount": 1, "currency": "EUR", "confirm": true });
        let mut body = body.as_object().unwrap().clone();
        body.extend(card("4111 1111 1111 1111").as_object().unwrap().clone());
        let blocked = scope.create_payment(read(&Value::Object(body).to_string()).unwrap()).await.unwrap();
        assert_eq!(blocked.error_code.as_ref().unwrap().as_str(), "HE-03");
    });
}

#[test]
fn a_payment_that_no_account_takes_fails_and_says_so() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, _) = shop(pay, 1).await;
        let scope = tenant.scope(pay);
        let payment = created(&scope).await;
        let handle = scope.payment(&payment.payment_id);
        let wallet = json!({ "payment_method": "wallet", "payment_method_type": "paypal" });
        let failed = handle.confirm(read(&wallet.to_string()).unwrap()).await.unwrap();
        assert_eq!(status(&failed), "failed");
        assert_eq!(failed.error_code.as_ref().unwrap().as_str(), "IR_39");
        assert_eq!((failed.merchant_decision, failed.connector), (None, None));
        assert_eq!(events(&scope).await, ["payment_failed"]);
    });
}

#[test]
fn a_payment_is_created_and_confirmed_in_one_commit() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, accounts) = shop(pay, 1).await;
        let scope = tenant.scope(pay);
        let mut body = json!({ "amount": 100, "currency": "EUR", "confirm": true, "capture_method": "manual" });
        body.as_object_mut().unwrap().extend(card(CARD).as_object().unwrap().clone());
        let new: NewPayment = read(&body.to_string()).unwrap();
        let key = || "create-1".parse().unwrap();
        let payment = scope.create_payment(new.clone()).idempotency_key(key()).await.unwrap();
        assert_eq!((status(&payment).as_str(), payment.attempt_count), ("processing", 1));
        assert_eq!(payment.merchant_connector_id.as_ref().unwrap().as_str(), accounts[0]);
        let log = scope.log(LogPosition::START, 1_000).await.unwrap();
        let kinds: Vec<EntityKind> = log.last().unwrap().changes.iter().map(|change| change.kind).collect();
        assert_eq!(kinds, [EntityKind::Payment, EntityKind::PaymentDecision, EntityKind::Event]);
        let again = scope.create_payment(new).idempotency_key(key()).await.unwrap();
        assert_eq!(shown(&again), shown(&payment));
        assert_eq!(scope.payment(&payment.payment_id).retrieve().await.unwrap(), payment);
        let authorized = scope.payment(&payment.payment_id).record_attempt(1, Outcome::Approved).await.unwrap();
        assert_eq!(status(&authorized), "requires_capture");
        assert_eq!(authorized.attempts[0].status, AttemptStatus::Authorized);
        assert_eq!(events(&scope).await, ["payment_authorized", "payment_processing"]);
        for (change, path, wanted) in [
            (json!({ "payment_link": true }), "confirm", "payment.confirm_link"),
            (json!({ "payment_method": null }), "payment_method", "json.missing_field"),
            (json!({ "payment_method_data": null }), "payment_method_data.card", "json.missing_field"),
            (json!({ "confirm": false }), "payment_method", "payment.not_confirmed"),
        ] {
            let mut body = body.clone();
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let refused = refused(pay, scope.create_payment(read(&body.to_string()).unwrap())).await;
            assert_eq!(refused, (wanted.to_owned(), path.to_owned()), "{change} on {}", world.name);
        }
    });
}

/// The body that a webhook sends, as JSON.
fn envelope(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[test]
fn an_event_is_delivered_with_the_published_envelope_and_its_signatures() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, _) = shop(pay, 1).await;
        let scope = tenant.scope(pay);
        let headers = json!({ "outgoing_webhook_custom_http_headers": { "X-Shop": "blue shop" } });
        tenant.profile_scope(pay).update(read(&headers.to_string()).unwrap()).await.unwrap();
        let payment = created(&scope).await;
        let handle = scope.payment(&payment.payment_id);
        let confirmed = handle.confirm(confirmation(CARD)).await.unwrap();
        let due = pay.outbox(all()).await.unwrap().items;
        let [event] = due.as_slice() else { panic!("{due:?}") };
        assert_eq!(event.event_type, EventType::PaymentProcessing);
        assert_eq!((&event.object_id, &event.merchant_id), (&payment.payment_id, &tenant.merchant.merchant_id));
        let id = event.event_id.as_str();
        assert!(id.len() == 4 + 32 && id.starts_with("evt_") && id[4..].bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        let event = scope.event(&event.event_id);
        let policy = UrlPolicy::default();
        let message = event.message(&policy).await.unwrap();
        assert_eq!(message.url().as_str(), "https://shop.example.com/webhooks");
        let expected = json!({
            "merchant_id": "acme",
            "event_id": id,
            "event_type": "payment_processing",
            "content": { "type": "payment_details", "object": shown(&confirmed) },
            "timestamp": "2026-11-23T10:00:00.000Z",
            "processor_merchant_id": "acme",
        });
        assert_eq!(envelope(message.body()), expected, "{}", world.name);
        let secrets = tenant.profile_scope(pay).reveal_webhook_secrets().await.unwrap();
        let header = |name: &str| message.headers().find(|(known, _)| *known == name).unwrap().1.to_owned();
        assert!(verify_512(&secrets.payment_response_hash_key, message.body(), &header(SIGNATURE_512)));
        assert_eq!((header("X-Shop").as_str(), header("content-type").as_str()), ("blue shop", "application/json"));
        let signer = WebhookSigner::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap());
        let now = event.retrieve().await.unwrap().created;
        let signed = message.signed(&signer, now).unwrap();
        assert_eq!(signed.headers()[0], ("webhook-id", id));
        signer.verify(signed.received(), message.body(), now, 300).unwrap();

        // Every try sends the same bytes, whatever became of the payment and of the profile.
        let body = message.body().to_vec();
        handle.record_attempt(1, Outcome::Approved).await.unwrap();
        let elsewhere = json!({ "webhook_details": { "webhook_url": "https://10.0.0.1/hook" } });
        tenant.profile_scope(pay).update(read(&elsewhere.to_string()).unwrap()).await.unwrap();
        let refused = event.message(&policy).await.unwrap_err();
        assert!(refused.code().starts_with("url."), "{refused}");
        let open = UrlPolicy { allowed: vec![perfectpay::webhook::AddressRange::Private], ..UrlPolicy::default() };
        let again = event.message(&open).await.unwrap();
        assert_eq!(again.url().as_str(), "https://10.0.0.1/hook");
        assert_eq!(again.body(), body);
        let gone = json!({ "webhook_details": { "webhook_url": null } });
        tenant.profile_scope(pay).update(read(&gone.to_string()).unwrap()).await.unwrap();
        assert_eq!(event.message(&open).await.unwrap_err().code(), "event.no_url");
    });
}

#[test]
fn webhooks_tell_of_what_the_profile_lets_pass_and_of_each_once() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, _) = shop(pay, 1).await;
        let scope = tenant.scope(pay);
        let profile = tenant.profile_scope(pay);
        let choose = async |details: Value| {
            profile.update(read(&json!({ "webhook_details": details }).to_string()).unwrap()).await.unwrap();
        };
        let run = async |outcome: Outcome| {
            let payment = created(&scope).await;
            let handle = scope.payment(&payment.payment_id);
            handle.confirm(confirmation(CARD)).await.unwrap();
            handle.record_attempt(1, outcome).await.unwrap();
            payment.payment_id
        };
        let of = async |id: &perfectpay::PaymentId| {
            let events = scope.events(all()).await.unwrap().items;
            let own = events.iter().filter(|event| event.object_id == *id);
            let mut types: Vec<String> = own.map(|event| event.event_type.to_string()).collect();
            types.sort();
            types
        };
        let everything = run(declined("stolen_card")).await;
        assert_eq!(of(&everything).await, ["payment_failed", "payment_processing"]);
        choose(json!({ "payment_statuses_enabled": ["succeeded"] })).await;
        let refused = run(declined("stolen_card")).await;
        assert_eq!(of(&refused).await, [""; 0]);
        let paid = run(Outcome::Approved).await;
        assert_eq!(of(&paid).await, ["payment_succeeded"]);
        choose(json!({ "payment_statuses_enabled": [], "webhook_url": null })).await;
        let silent = run(Outcome::Approved).await;
        assert_eq!(of(&silent).await, [""; 0], "{}", world.name);

        // Of one that fails twice they tell once.
        choose(json!({ "webhook_url": "https://shop.example.com/webhooks" })).await;
        let retries = json!({ "is_manual_retry_enabled": true });
        profile.update(read(&retries.to_string()).unwrap()).await.unwrap();
        let twice = run(declined("stolen_card")).await;
        let handle = scope.payment(&twice);
        handle.confirm(confirmation(CARD)).await.unwrap();
        handle.record_attempt(2, declined("lost_card")).await.unwrap();
        assert_eq!(of(&twice).await, ["payment_failed", "payment_processing"]);
    });
}

#[test]
fn the_outbox_is_pulled_over_all_tenants_acknowledged_and_retried_to_the_end_of_the_plan() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (acme, _) = shop(pay, 1).await;
        let other = host::stand_up(pay, "other").await.unwrap();
        let webhooks = json!({ "webhook_details": { "webhook_url": "https://other.example.com/" } });
        other.profile_scope(pay).update(read(&webhooks.to_string()).unwrap()).await.unwrap();
        other.scope(pay).create_connector(read(&host::connector_body("s", "sk")).unwrap()).await.unwrap();
        for tenant in [&acme, &other, &acme] {
            world.clock.step(Duration::from_secs(1));
            let payment = created(&tenant.scope(pay)).await;
            tenant.scope(pay).payment(&payment.payment_id).confirm(confirmation(CARD)).await.unwrap();
        }
        let merchants = |events: &[Event]| events.iter().map(|event| event.merchant_id.to_string()).collect::<Vec<_>>();
        let due = pay.outbox(all()).await.unwrap().items;
        assert_eq!(merchants(&due), ["acme", "other", "acme"], "{}", world.name);
        let first = pay.outbox(PageRequest::of(2).unwrap()).await.unwrap();
        let rest = pay.outbox(PageRequest::of(2).unwrap().after(first.next.clone())).await.unwrap();
        assert_eq!([first.items, rest.items].concat(), due);
        assert_eq!(rest.next, None);
        assert_eq!(other.scope(pay).outbox(all()).await.unwrap().items, [due[1].clone()]);
        // To another account it is absent.
        let foreign = other.scope(pay).event(&due[0].event_id);
        assert_eq!(foreign.acknowledge().await.unwrap_err().code(), "not_found");

        let event = acme.scope(pay).event(&due[0].event_id);
        let done = event.acknowledge().await.unwrap();
        assert_eq!((done.delivery.state, done.delivery.attempts), (DeliveryState::Delivered, 1));
        assert_eq!(event.acknowledge().await.unwrap(), done);
        assert_eq!(event.failed().await.unwrap_err().code(), "event.not_pending");
        assert_eq!(merchants(&pay.outbox(all()).await.unwrap().items), ["other", "acme"]);

        // The other one fails again and again: it is due when the plan says, and not a moment before.
        let event = other.scope(pay).event(&due[1].event_id);
        let mut waits = Vec::new();
        loop {
            let now = event.retrieve().await.unwrap();
            let Some(at) = now.delivery.due_at else { break };
            if now.delivery.attempts > 0 {
                world.clock.set(at);
                world.clock.step_back(Duration::from_millis(1));
                assert_eq!(other.scope(pay).outbox(all()).await.unwrap().items, []);
                world.clock.step(Duration::from_millis(1));
                assert_eq!(other.scope(pay).outbox(all()).await.unwrap().items, std::slice::from_ref(&now));
            }
            let failed = event.failed().expecting(now.version).await.unwrap();
            assert_eq!(event.failed().expecting(now.version).await.unwrap_err().code(), "stale");
            let last = failed.delivery.last_attempt_at.unwrap();
            waits.extend(failed.delivery.due_at.map(|due| (due.unix_millis() - last.unix_millis()) / 60_000));
        }
        assert_eq!(waits, [1, 5, 5, 10, 10, 10, 10, 10, 60, 60, 60, 60, 60, 360, 360, 360]);
        let given_up = event.retrieve().await.unwrap().delivery;
        assert_eq!((given_up.state, given_up.attempts), (DeliveryState::GivenUp, 17));
        assert_eq!(event.failed().await.unwrap_err().code(), "event.not_pending");
        assert_eq!(merchants(&pay.outbox(all()).await.unwrap().items), ["acme"]);
        // With its account an event goes, wherever it is listed.
        acme.scope(pay).remove().cascade().await.unwrap();
        assert_eq!(pay.outbox(all()).await.unwrap().items, []);
        assert_eq!(other.scope(pay).events(all()).await.unwrap().items.len(), 1);
    });
}

#[test]
fn a_decision_is_kept_without_a_card_number_and_made_again_to_the_byte() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, accounts) = shop(pay, 3).await;
        let scope = tenant.scope(pay);
        let off = json!({ "connector_type": "payment_processor", "disabled": true });
        scope.connector(&accounts[1].parse().unwrap()).update(read(&off.to_string()).unwrap()).await.unwrap();
        let payment = created(&scope).await;
        let handle = scope.payment(&payment.payment_id);
        let confirmed = handle.confirm(confirmation(CARD)).await.unwrap();
        let id = confirmed.attempts[0].decision_id.clone();
        let decision = handle.decision(&id).await.unwrap();
        let kept = shown(&decision);
        assert_eq!(kept["payment_id"], json!(payment.payment_id));
        assert_eq!(kept["facts"]["card"]["bin"], json!("42424242"));
        assert!(!kept.to_string().contains(CARD) && !kept.to_string().contains("Jane"), "{kept}");
        let candidates: Vec<&str> = decision.made.candidates().map(|one| one.account.as_str()).collect();
        assert_eq!(candidates, [accounts[0].as_str(), accounts[2].as_str()]);
        let replayed = handle.replay_decision(&id).await.unwrap();
        assert!(replayed.is_same(), "{replayed:?} on {}", world.name);
        // Whatever becomes of the accounts.
        for account in &accounts {
            scope.connector(&account.parse().unwrap()).remove().await.unwrap();
        }
        assert!(handle.replay_decision(&id).await.unwrap().is_same());
        // It is this payment's.
        let other = created(&scope).await;
        let elsewhere = scope.payment(&other.payment_id);
        assert_eq!(elsewhere.decision(&id).await.unwrap_err().code(), "not_found");
        assert_eq!(elsewhere.replay_decision(&id).await.unwrap_err().code(), "not_found");
    });
}

#[test]
fn a_batch_confirms_what_it_created_and_nothing_before_it_is_committed() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, _) = shop(pay, 1).await;
        let scope = tenant.scope(pay);
        let before = snapshot(pay).await;
        let batch = pay.batch();
        let staged = batch.pay().merchant(&tenant.merchant.merchant_id);
        let payment = staged.create_payment(read(&host::payment_body(1, "EUR")).unwrap()).await.unwrap();
        let confirmed = staged.payment(&payment.payment_id).confirm(confirmation(CARD)).await.unwrap();
        assert_eq!(confirmed.status, IntentStatus::Processing);
        assert_eq!(snapshot(pay).await, before);
        assert_eq!(pay.outbox(all()).await.unwrap().items, []);
        batch.commit().await.unwrap();
        assert_eq!(scope.payment(&payment.payment_id).retrieve().await.unwrap().status, IntentStatus::Processing);
        assert_eq!(pay.outbox(all()).await.unwrap().items.len(), 1, "{}", world.name);
    });
}

#[test]
fn a_browser_reads_its_payment_and_confirms_nothing() {
    // The handle of a client has no operation but `retrieve`: what is read is what the confirmation left.
    on_every_backend(async |world| {
        let pay: &PerfectPay = &world.pay;
        let (tenant, _) = shop(pay, 1).await;
        let payment = created(&tenant.scope(pay)).await;
        let client = pay
            .authenticate_client(&tenant.merchant.publishable_key.to_string(), payment.client_secret.expose())
            .await
            .unwrap();
        tenant.scope(pay).payment(&payment.payment_id).confirm(confirmation(CARD)).await.unwrap();
        assert_eq!(client.retrieve().await.unwrap().status, IntentStatus::Processing, "{}", world.name);
    });
}

#[test]
fn of_many_who_confirm_or_report_at_once_one_is_heard() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let (tenant, _) = shop(pay, 4).await;
        let scope = tenant.scope(pay);
        let payment = created(&scope).await;
        let handle = scope.payment(&payment.payment_id);
        let codes = |act: &(dyn Fn() -> Result<Payment, Error> + Sync)| {
            let all: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(act)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let mut refused: Vec<String> =
                all.iter().filter_map(|one| Some(one.as_ref().err()?.code().to_owned())).collect();
            refused.dedup();
            (all.into_iter().filter_map(Result::ok).collect::<Vec<_>>(), refused)
        };
        let (won, refused) = codes(&|| block_on(handle.confirm(confirmation(CARD)).into_future()));
        assert_eq!((won.len(), refused), (1, vec!["payment.not_confirmable".to_owned()]), "{}", world.name);
        // The same outcome, told eight times, fails the attempt once.
        let (told, refused) = codes(&|| block_on(handle.record_attempt(1, declined("51")).into_future()));
        assert_eq!((told.len(), refused), (8, Vec::new()), "{}", world.name);
        let now = handle.retrieve().await.unwrap();
        assert_eq!((now.attempt_count, now.status), (2, IntentStatus::Processing));
        assert!(told.iter().all(|answer| *answer == now));
        assert_eq!(events(&scope).await, ["payment_processing"]);
    });
}
