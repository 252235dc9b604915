//! How payments end, on every back-end: a success confirms the use of a link, a final failure, a cancellation and an expiry
//! release it, and each writes its event; all of that in the commit of the payment's step.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test that panics is a test that failed, and a body is written where it is handed over"
)]

mod support;

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use perfectpay::store::{LogPosition, Verb};
use perfectpay::{
    CancelPayment, ClaimedLink, ConfirmPayment, EntityKind, Error, IntentStatus, LinkState, LinkUseId, LinkUseStatus,
    MerchantScope, NewPaymentLink, Outcome, PageRequest, Payment, PaymentId, PaymentLinkId, PaymentScope, PerfectPay,
};
use perfectpay_testkit::host::{self, Tenant};
use serde_json::{Value, json};
use support::{World, on_every_backend, read, snapshot};

fn confirmation() -> ConfirmPayment {
    let body = json!({
        "payment_method": "card",
        "payment_method_type": "credit",
        "payment_method_data": { "card": {
            "card_number": "4242424242424242", "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "123",
        } },
    });
    read(&body.to_string()).unwrap()
}

fn declined(code: &str) -> Outcome {
    read(&json!({ "result": "declined", "code": code }).to_string()).unwrap()
}

/// An account with two connector accounts, whose profile tells of everything.
async fn shop(pay: &PerfectPay) -> Tenant {
    let tenant = host::stand_up(pay, "acme").await.unwrap();
    profile(pay, &tenant, json!({ "webhook_details": { "webhook_url": "https://shop.example/hook" } })).await;
    for label in ["one", "two"] {
        let body = host::connector_body(label, "sk_live_1");
        tenant.scope(pay).create_connector(read(&body).unwrap()).await.unwrap();
    }
    tenant
}

async fn profile(pay: &PerfectPay, tenant: &Tenant, update: Value) {
    tenant.profile_scope(pay).update(read(&update.to_string()).unwrap()).await.unwrap();
}

async fn link(scope: &MerchantScope, more: &Value) -> PaymentLinkId {
    let mut body = json!({
        "amount": 1_000, "currency": "EUR", "return_url": "https://shop.example/", "session_expiry": 100_000,
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let new: NewPaymentLink = perfectpay::json::from_value(body).unwrap();
    scope.create_payment_link(new).await.unwrap().payment_link_id
}

async fn claim(scope: &MerchantScope, link: &PaymentLinkId, hold: u32) -> ClaimedLink {
    scope.payment_link(link).claim(read(&json!({ "hold": hold }).to_string()).unwrap()).await.unwrap()
}

async fn stands(scope: &MerchantScope, link: &PaymentLinkId) -> (LinkState, u64, u64) {
    let link = scope.payment_link(link).retrieve().await.unwrap();
    (link.state, link.uses.confirmed, link.uses.held)
}

async fn status_of(scope: &MerchantScope, id: &LinkUseId) -> LinkUseStatus {
    scope.link_use(id).retrieve().await.unwrap().status
}

/// The types of the payment's events, sorted.
async fn events(scope: &MerchantScope, payment: &PaymentId) -> Vec<String> {
    let (mut types, mut after) = (Vec::new(), None);
    loop {
        let page = scope.events(PageRequest::of(100).unwrap().after(after)).await.unwrap();
        let own = page.items.iter().filter(|event| event.object_id == *payment);
        types.extend(own.map(|event| event.event_type.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    types.sort();
    types
}

/// What the last commit of the account did.
async fn last_commit(scope: &MerchantScope) -> Vec<(EntityKind, Verb)> {
    let log = scope.log(LogPosition::START, 1_000).await.unwrap();
    log.last().unwrap().changes.iter().map(|change| (change.kind, change.verb)).collect()
}

fn code<T: std::fmt::Debug>(answer: Result<T, Error>) -> String {
    answer.unwrap_err().code().to_owned()
}

/// The error's code; and that it changed nothing.
async fn refused<T: std::fmt::Debug>(world: &World, act: impl IntoFuture<Output = Result<T, Error>>) -> String {
    let before = snapshot(&world.pay).await;
    let code = code(act.await);
    assert_eq!(snapshot(&world.pay).await, before, "{code} changed something on {}", world.name);
    code
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_success_confirms_the_use_of_its_link_in_the_same_commit() {
    on_every_backend(async |world| {
        let (pay, tenant) = (&world.pay, shop(&world.pay).await);
        let scope = tenant.scope(pay);
        let link = link(&scope, &json!({ "kind": { "limited": 2 } })).await;
        let claimed = claim(&scope, &link, 60).await;
        let (id, payment) = (&claimed.link_use.link_use_id, scope.payment(&claimed.payment.payment_id));
        world.clock.step(seconds(59));
        payment.confirm(confirmation()).await.unwrap();
        assert_eq!(status_of(&scope, id).await, LinkUseStatus::Paying);
        let expected = [
            (EntityKind::Payment, Verb::Updated),
            (EntityKind::LinkUse, Verb::Updated),
            (EntityKind::Event, Verb::Created),
            (EntityKind::PaymentDecision, Verb::Created),
        ];
        assert_eq!(last_commit(&scope).await, expected, "{}", world.name);
        // Whoever is paying keeps the place, whatever the deadline.
        world.clock.step(seconds(3_600));
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 0, 1));
        assert_eq!(refused(world, scope.link_use(id).release()).await, "link_use.paying");
        assert_eq!(scope.payment_link(&link).purge_lapsed(PageRequest::default()).await.unwrap().0, 0);
        assert_eq!(scope.expire_payments().await.unwrap().payments, 0);
        // Another account is tried: nothing new for the link, nor for whoever listens.
        payment.record_attempt(1, declined("51")).await.unwrap();
        assert_eq!(last_commit(&scope).await, [(EntityKind::Payment, Verb::Updated)]);
        payment.record_attempt(2, Outcome::Approved).await.unwrap();
        let expected = [
            (EntityKind::Payment, Verb::Updated),
            (EntityKind::LinkUse, Verb::Updated),
            (EntityKind::Event, Verb::Created),
        ];
        assert_eq!(last_commit(&scope).await, expected, "{}", world.name);
        assert_eq!(status_of(&scope, id).await, LinkUseStatus::Confirmed);
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 1, 0));
        let told = ["payment_processing", "payment_succeeded"];
        assert_eq!(events(&scope, &claimed.payment.payment_id).await, told);
        // What the host says besides changes nothing.
        let version = scope.link_use(id).retrieve().await.unwrap().version;
        assert_eq!(scope.link_use(id).confirm().await.unwrap().version, version);
    });
}

#[test]
fn a_final_failure_releases_the_use_and_one_that_may_be_retried_keeps_it_until_its_deadline() {
    on_every_backend(async |world| {
        let (pay, tenant) = (&world.pay, shop(&world.pay).await);
        let scope = tenant.scope(pay);
        let link = link(&scope, &json!({})).await;
        let first = claim(&scope, &link, 600).await;
        let payment = scope.payment(&first.payment.payment_id);
        payment.confirm(confirmation()).await.unwrap();
        assert_eq!(stands(&scope, &link).await, (LinkState::Held, 0, 1));
        payment.record_attempt(1, declined("stolen_card")).await.unwrap();
        let expected = [
            (EntityKind::Payment, Verb::Updated),
            (EntityKind::LinkUse, Verb::Removed),
            (EntityKind::Event, Verb::Created),
        ];
        assert_eq!(last_commit(&scope).await, expected, "{}", world.name);
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 0, 0));
        assert_eq!(events(&scope, &first.payment.payment_id).await, ["payment_failed", "payment_processing"]);

        // A retry that is allowed later has no place any more.
        profile(pay, &tenant, json!({ "is_manual_retry_enabled": true })).await;
        assert_eq!(refused(world, payment.confirm(confirmation())).await, "payment.no_link_use");

        let second = claim(&scope, &link, 600).await;
        let (id, payment) = (&second.link_use.link_use_id, scope.payment(&second.payment.payment_id));
        payment.confirm(confirmation()).await.unwrap();
        payment.record_attempt(1, declined("stolen_card")).await.unwrap();
        assert_eq!(status_of(&scope, id).await, LinkUseStatus::Held, "{}", world.name);
        payment.confirm(confirmation()).await.unwrap();
        assert_eq!(status_of(&scope, id).await, LinkUseStatus::Paying);
        world.clock.step(seconds(600));
        payment.record_attempt(2, declined("stolen_card")).await.unwrap();
        assert_eq!(status_of(&scope, id).await, LinkUseStatus::Lapsed);
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 0, 0));
        assert_eq!(refused(world, payment.confirm(confirmation())).await, "payment.expired");
    });
}

#[test]
fn a_card_that_is_blocked_or_that_nobody_takes_releases_its_use_at_once() {
    on_every_backend(async |world| {
        let (pay, tenant) = (&world.pay, shop(&world.pay).await);
        let scope = tenant.scope(pay);
        let link = link(&scope, &json!({})).await;
        let claimed = claim(&scope, &link, 600).await;
        scope.blocklist().add(read(&host::block_body("card_bin", "424242")).unwrap()).await.unwrap();
        scope.blocklist().toggle(Some(true)).await.unwrap();
        let failed = scope.payment(&claimed.payment.payment_id).confirm(confirmation()).await.unwrap();
        assert_eq!(failed.status, IntentStatus::Failed);
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 0, 0), "{}", world.name);
        assert_eq!(events(&scope, &claimed.payment.payment_id).await, [""; 0], "no webhook tells of a block");
    });
}

#[test]
fn a_payment_is_cancelled_while_nobody_pays_and_not_otherwise() {
    on_every_backend(async |world| {
        let (pay, tenant) = (&world.pay, shop(&world.pay).await);
        let scope = tenant.scope(pay);
        let link = link(&scope, &json!({})).await;
        let claimed = claim(&scope, &link, 600).await;
        let payment = scope.payment(&claimed.payment.payment_id);
        let body = || read::<CancelPayment>(r#"{"cancellation_reason": "requested_by_customer"}"#).unwrap();
        assert_eq!(refused(world, payment.cancel(body()).expecting(7)).await, "stale");
        let cancelled = payment.cancel(body()).expecting(1).await.unwrap();
        assert_eq!((cancelled.status, cancelled.version), (IntentStatus::Cancelled, 2));
        assert_eq!(cancelled.cancellation_reason.as_ref().unwrap().as_str(), "requested_by_customer");
        assert_eq!(cancelled.money(), claimed.payment.money());
        assert_eq!(payment.retrieve().await.unwrap(), cancelled);
        assert_eq!(events(&scope, &cancelled.payment_id).await, ["payment_cancelled"], "{}", world.name);
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 0, 0));
        assert_eq!(refused(world, payment.cancel(body())).await, "payment.not_cancellable");
        assert_eq!(refused(world, payment.confirm(confirmation())).await, "payment.not_confirmable");
        let attempt = payment.record_attempt(1, Outcome::Approved);
        assert_eq!(refused(world, attempt).await, "payment.no_attempt");

        let start = async || {
            let payment = scope.create_payment(read(&host::payment_body(4_999, "USD")).unwrap()).await.unwrap();
            scope.payment(&payment.payment_id)
        };
        let paying = start().await;
        paying.confirm(confirmation()).await.unwrap();
        assert_eq!(refused(world, paying.cancel(body())).await, "payment.not_cancellable", "somebody is paying");
        paying.record_attempt(1, Outcome::Approved).await.unwrap();
        assert_eq!(refused(world, paying.cancel(body())).await, "payment.not_cancellable", "it was paid");
        let failed = start().await;
        failed.confirm(confirmation()).await.unwrap();
        failed.record_attempt(1, declined("stolen_card")).await.unwrap();
        assert_eq!(refused(world, failed.cancel(body())).await, "payment.not_cancellable");
        let expired = start().await;
        world.clock.step(seconds(900));
        assert_eq!(scope.expire_payments().await.unwrap().payments, 1);
        assert_eq!(refused(world, expired.cancel(body())).await, "payment.not_cancellable");
        let nobody = scope.payment(&"pay_nobody".parse().unwrap());
        assert_eq!(refused(world, nobody.cancel(body())).await, "not_found");
        let long = json!({ "cancellation_reason": "x".repeat(256) }).to_string();
        assert_eq!(code(read::<CancelPayment>(&long)), "text.too_long");
        assert_eq!(code(read::<CancelPayment>(r#"{"reason": "x"}"#)), "json.unknown_field");
    });
}

#[test]
fn what_the_profile_does_not_tell_of_is_told_by_no_way_that_ends_a_payment() {
    on_every_backend(async |world| {
        let (pay, tenant) = (&world.pay, shop(&world.pay).await);
        let scope = tenant.scope(pay);
        let link = link(&scope, &json!({ "kind": "reusable" })).await;
        let told = async |details: Value| {
            profile(pay, &tenant, json!({ "webhook_details": details })).await;
            let released = claim(&scope, &link, 600).await;
            scope.link_use(&released.link_use.link_use_id).release().await.unwrap();
            let cancelled = claim(&scope, &link, 600).await;
            scope.payment(&cancelled.payment.payment_id).cancel(CancelPayment::default()).await.unwrap();
            let expired = claim(&scope, &link, 600).await;
            world.clock.step(seconds(600));
            scope.expire_payments().await.unwrap();
            let mut all = Vec::new();
            for claimed in [released, cancelled, expired] {
                all.extend(events(&scope, &claimed.payment.payment_id).await);
            }
            all
        };
        let url = "https://shop.example/hook";
        let all = ["payment_cancelled", "payment_cancelled", "payment_expired"];
        assert_eq!(told(json!({ "webhook_url": url })).await, all, "{}", world.name);
        let some = json!({ "webhook_url": url, "payment_statuses_enabled": ["expired"] });
        assert_eq!(told(some).await, ["payment_expired"]);
        assert_eq!(told(json!({ "webhook_url": null, "payment_statuses_enabled": [] })).await, [""; 0]);
        // A payment is in one place alone: none is left open.
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 0, 0));
    });
}

#[test]
fn payments_expire_at_their_very_moment_in_bounded_steps_with_their_uses() {
    on_every_backend(async |world| {
        let (pay, tenant) = (&world.pay, shop(&world.pay).await);
        let scope = tenant.scope(pay);
        let other = host::stand_up(pay, "other").await.unwrap();
        let neighbour = other.scope(pay).create_payment(read(&host::payment_body(1, "EUR")).unwrap()).await.unwrap();
        let link = link(&scope, &json!({ "kind": "reusable" })).await;
        let mut claimed = Vec::new();
        for _ in 0..130 {
            claimed.push(claim(&scope, &link, 900).await);
        }
        let paying = scope.payment(&claimed[0].payment.payment_id);
        paying.confirm(confirmation()).await.unwrap();
        world.clock.step(seconds(900).checked_sub(Duration::from_millis(1)).unwrap());
        let before = snapshot(pay).await;
        let nothing = scope.expire_payments().await.unwrap();
        assert_eq!((nothing.payments, nothing.more), (0, false));
        assert_eq!(snapshot(pay).await, before);
        world.clock.step(Duration::from_millis(1));
        let late = claim(&scope, &link, 900).await;
        let first = scope.expire_payments().await.unwrap();
        assert_eq!((first.payments, first.more), (100, true), "{}", world.name);
        let second = scope.expire_payments().await.unwrap();
        assert_eq!((second.payments, second.more), (29, false));
        assert_eq!(scope.expire_payments().await.unwrap().payments, 0, "once");
        for claimed in &claimed[1..] {
            let id = &claimed.payment.payment_id;
            assert_eq!(scope.payment(id).retrieve().await.unwrap().status, IntentStatus::Expired);
            assert_eq!(code(scope.link_use(&claimed.link_use.link_use_id).retrieve().await), "not_found");
        }
        for claimed in [&claimed[1], &claimed[129]] {
            assert_eq!(events(&scope, &claimed.payment.payment_id).await, ["payment_expired"]);
        }
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 0, 2), "who pays, and who came later");
        paying.record_attempt(1, Outcome::Approved).await.unwrap();
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 1, 1));
        scope.payment(&late.payment.payment_id).confirm(confirmation()).await.unwrap();
        let untouched = other.scope(pay).payment(&neighbour.payment_id).retrieve().await.unwrap();
        assert_eq!(untouched, neighbour, "another account's wait for their own step");
        assert_eq!(other.scope(pay).expire_payments().await.unwrap().payments, 1);
        let nobody = pay.merchant(&"nobody".parse().unwrap());
        assert_eq!(code(nobody.expire_payments().await), "not_found");
    });
}

#[test]
fn a_published_link_follows_its_payment_with_and_without_a_claim() {
    on_every_backend(async |world| {
        let (pay, tenant) = (&world.pay, shop(&world.pay).await);
        let scope = tenant.scope(pay);
        let published = async || {
            let body = read(&host::payment_with_link_body(100, "EUR")).unwrap();
            let payment = scope.create_payment(body).await.unwrap();
            (payment.payment_link.unwrap().payment_link_id, scope.payment(&payment.payment_id))
        };
        let run = async |payment: &PaymentScope, outcome: Outcome| {
            payment.confirm(confirmation()).await.unwrap();
            payment.record_attempt(1, outcome).await.unwrap()
        };
        let (link, payment) = published().await;
        run(&payment, Outcome::Approved).await;
        assert_eq!(stands(&scope, &link).await, (LinkState::Paid, 0, 0), "nobody claimed it");
        let (link, payment) = published().await;
        let held = claim(&scope, &link, 60).await.link_use.link_use_id;
        run(&payment, Outcome::Approved).await;
        assert_eq!(status_of(&scope, &held).await, LinkUseStatus::Confirmed);
        assert_eq!(stands(&scope, &link).await, (LinkState::Paid, 1, 0), "{}", world.name);
        let (link, payment) = published().await;
        let held = claim(&scope, &link, 60).await.link_use.link_use_id;
        run(&payment, declined("stolen_card")).await;
        assert_eq!(code(scope.link_use(&held).retrieve().await), "not_found");
        assert_eq!(stands(&scope, &link).await, (LinkState::UsedUp, 0, 0));
        // One that lapsed is no bar: the link is the payment's.
        let (link, payment) = published().await;
        let lapsed = claim(&scope, &link, 60).await.link_use.link_use_id;
        world.clock.step(seconds(60));
        run(&payment, Outcome::Approved).await;
        assert_eq!(status_of(&scope, &lapsed).await, LinkUseStatus::Lapsed);
        assert_eq!(stands(&scope, &link).await, (LinkState::Paid, 0, 0));
        // Cancelled, it is used up; expired, it is expired.
        let (link, payment) = published().await;
        let held = claim(&scope, &link, 60).await.link_use.link_use_id;
        payment.cancel(CancelPayment::default()).await.unwrap();
        assert_eq!(code(scope.link_use(&held).retrieve().await), "not_found");
        assert_eq!(stands(&scope, &link).await.0, LinkState::UsedUp);
        let (link, payment) = published().await;
        world.clock.step(seconds(900));
        scope.expire_payments().await.unwrap();
        assert_eq!(payment.retrieve().await.unwrap().status, IntentStatus::Expired);
        assert_eq!(stands(&scope, &link).await.0, LinkState::Expired);
    });
}

#[test]
fn amount_and_currency_are_what_they_were_whatever_happens() {
    on_every_backend(async |world| {
        let (pay, tenant) = (&world.pay, shop(&world.pay).await);
        let scope = tenant.scope(pay);
        let link = link(&scope, &json!({ "amount": { "minimum": 1, "maximum": 9_000 }, "kind": "reusable" })).await;
        let body = read(r#"{"amount": 4321}"#).unwrap();
        let claimed = scope.payment_link(&link).claim(body).await.unwrap();
        let payment = scope.payment(&claimed.payment.payment_id);
        let money = claimed.payment.money();
        let same = |answer: Payment| assert_eq!(answer.money(), money, "{}", world.name);
        same(payment.confirm(confirmation()).await.unwrap());
        same(payment.record_attempt(1, declined("51")).await.unwrap());
        // A body that names an amount is no confirmation, and no cancellation.
        assert_eq!(code(read::<ConfirmPayment>(r#"{"payment_method": "card", "amount": 1}"#)), "json.unknown_field");
        assert_eq!(code(read::<CancelPayment>(r#"{"amount": 1}"#)), "json.unknown_field");
        same(payment.record_attempt(2, Outcome::Approved).await.unwrap());
        same(payment.retrieve().await.unwrap());
    });
}

#[test]
fn however_many_pay_at_once_a_link_is_not_paid_more_often_than_it_may_be() {
    const THREADS: u32 = 6;
    for backend in support::backends() {
        let world = World::on(backend);
        let tenant = block_on(shop(&world.pay));
        let scope = tenant.scope(&world.pay);
        let link = block_on(link(&scope, &json!({ "kind": { "limited": 5 } })));
        let barrier = Barrier::new(THREADS as usize);
        let won: usize = thread::scope(|threads| {
            let run = |number: u32| {
                barrier.wait();
                let mut won = 0;
                for round in 0..3 {
                    let body = read(r#"{"hold": 600}"#).unwrap();
                    let claimed = match block_on(scope.payment_link(&link).claim(body).into_future()) {
                        Ok(claimed) => claimed,
                        Err(error) => {
                            let full = ["payment_link.held", "payment_link.used_up"];
                            assert!(full.contains(&error.code()), "{error}");
                            continue;
                        }
                    };
                    let payment = scope.payment(&claimed.payment.payment_id);
                    block_on(payment.confirm(confirmation()).into_future()).unwrap();
                    let approved = !(number + round).is_multiple_of(3);
                    let outcome = if approved { Outcome::Approved } else { declined("stolen_card") };
                    block_on(payment.record_attempt(1, outcome).into_future()).unwrap();
                    won += usize::from(approved);
                }
                won
            };
            let started: Vec<_> = (0..THREADS).map(|number| threads.spawn(move || run(number))).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let (_, confirmed, held) = block_on(stands(&scope, &link));
        assert_eq!((confirmed, held), (won as u64, 0), "on {}", world.name);
        assert!(confirmed <= 5, "on {}", world.name);
    }
}
