//! Payment links by their handles, on every back-end: own links, claims, holds that end, listings, URLs and domains.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use perfectpay::{
    ClaimedLink, Error, IntentStatus, LinkClaim, LinkFilter, LinkForm, LinkState, LinkTarget, LinkUrl, LinkUseId,
    LinkUseStatus, MerchantScope, NewPaymentLink, PageRequest, PaymentLink, PaymentLinkId, PaymentLinkStatus,
    PerfectPay, Timestamp, Uses, origin_allowed,
};
use perfectpay_memory::MemoryStore;
use perfectpay_sqlite::SqliteStore;
use perfectpay_testkit::host::{self, TestClock};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{World, on_every_backend, read, shown, snapshot};

const MILLI: Duration = Duration::from_millis(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn own(more: &Value) -> NewPaymentLink {
    let mut body = json!({ "amount": 1_000, "currency": "EUR", "return_url": "https://shop.example/thanks" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    perfectpay::json::from_value(body).unwrap()
}

async fn created(scope: &MerchantScope, more: &Value) -> PaymentLink {
    scope.create_payment_link(own(more)).await.unwrap()
}

async fn claim(scope: &MerchantScope, link: &PaymentLinkId, body: &str) -> Result<ClaimedLink, Error> {
    scope.payment_link(link).claim(read(body).unwrap()).await
}

async fn stands(scope: &MerchantScope, link: &PaymentLinkId) -> (LinkState, u64, u64) {
    let link = scope.payment_link(link).retrieve().await.unwrap();
    (link.state, link.uses.confirmed, link.uses.held)
}

fn code<T: std::fmt::Debug>(answer: Result<T, Error>) -> String {
    answer.unwrap_err().code().to_owned()
}

/// The code and the path of a value that is wrong.
fn fault<T: std::fmt::Debug>(answer: Result<T, Error>) -> (String, String) {
    let Err(Error::Invalid(fault)) = answer else { panic!("{answer:?}") };
    (fault.code().to_owned(), fault.path().to_owned())
}

async fn shop(world: &World) -> MerchantScope {
    host::stand_up(&world.pay, "acme").await.unwrap().scope(&world.pay)
}

#[test]
fn each_use_of_an_own_link_makes_a_payment() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let link = created(&scope, &json!({ "kind": { "limited": 2 }, "description": "Tickets" })).await;
        assert_eq!((link.state, link.payment_id.as_ref()), (LinkState::Active, None));
        let base = format!("/payment_link/link/acme/{}?locale=en", link.payment_link_id);
        assert!(link.link_to_pay.ends_with(&base) && link.secure_link.is_none(), "{}", link.link_to_pay);
        assert_eq!(scope.payment_link(&link.payment_link_id).retrieve().await.unwrap(), link);

        let claimed = claim(&scope, &link.payment_link_id, r#"{"customer_id": "c1", "hold": 60}"#).await.unwrap();
        let (held, payment) = (&claimed.link_use, &claimed.payment);
        assert_eq!((held.status, &held.payment_id), (LinkUseStatus::Held, &payment.payment_id));
        assert_eq!(held.held_until, held.created_at.plus_seconds(60));
        assert_eq!((payment.amount.get(), payment.currency.code()), (1_000, "EUR"));
        assert_eq!(payment.status, IntentStatus::RequiresPaymentMethod);
        assert_eq!((payment.expires_on, payment.customer_id.as_deref_str()), (held.held_until, Some("c1")));
        assert_eq!(payment.description.as_ref().unwrap().as_str(), "Tickets");
        assert_eq!(payment.return_url.as_ref().unwrap().as_str(), "https://shop.example/thanks");
        assert_eq!(payment.payment_link.as_ref().unwrap().payment_link_id, link.payment_link_id);
        assert_eq!(scope.payment(&payment.payment_id).retrieve().await.unwrap(), *payment);

        assert_eq!(stands(&scope, &link.payment_link_id).await, (LinkState::Active, 0, 1));
        let confirmed = scope.link_use(&held.link_use_id).confirm().await.unwrap();
        assert_eq!(confirmed.status, LinkUseStatus::Confirmed);
        assert_eq!(scope.link_use(&held.link_use_id).confirm().await.unwrap(), confirmed, "twice is once");
        let second = claim(&scope, &link.payment_link_id, "{}").await.unwrap();
        assert_ne!(second.payment.payment_id, payment.payment_id);
        assert_eq!(stands(&scope, &link.payment_link_id).await, (LinkState::Held, 1, 1));
        assert_eq!(code(claim(&scope, &link.payment_link_id, "{}").await), "payment_link.held");
        scope.link_use(&second.link_use.link_use_id).confirm().await.unwrap();
        assert_eq!(stands(&scope, &link.payment_link_id).await, (LinkState::UsedUp, 2, 0));
        assert_eq!(code(claim(&scope, &link.payment_link_id, "{}").await), "payment_link.used_up");
        let uses = scope.payment_link(&link.payment_link_id).uses(PageRequest::default()).await.unwrap();
        assert_eq!(uses.items.len(), 2);
    });
}

/// A text that may not be there, to compare with.
trait AsText {
    fn as_deref_str(&self) -> Option<&str>;
}

impl AsText for Option<perfectpay::CustomerId> {
    fn as_deref_str(&self) -> Option<&str> {
        self.as_ref().map(perfectpay::CustomerId::as_str)
    }
}

#[test]
fn a_released_use_is_gone_and_its_payment_cancelled() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let link = created(&scope, &json!({})).await.payment_link_id;
        let claimed = claim(&scope, &link, "{}").await.unwrap();
        let id = &claimed.link_use.link_use_id;
        assert_eq!(scope.link_use(id).release().await.unwrap(), *id);
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 0, 0));
        assert_eq!(code(scope.link_use(id).retrieve().await), "not_found");
        assert_eq!(code(scope.link_use(id).confirm().await), "not_found");
        assert_eq!(code(scope.link_use(id).release().await), "not_found");
        let payment = scope.payment(&claimed.payment.payment_id).retrieve().await.unwrap();
        assert_eq!(payment.status, IntentStatus::Cancelled, "nobody pays for a place that another may have");
        let again = claim(&scope, &link, "{}").await.unwrap();
        scope.link_use(&again.link_use.link_use_id).confirm().await.unwrap();
        let before = snapshot(&world.pay).await;
        assert_eq!(code(scope.link_use(&again.link_use.link_use_id).release().await), "link_use.confirmed");
        assert_eq!(snapshot(&world.pay).await, before);
    });
}

#[test]
fn a_hold_frees_its_use_at_its_very_deadline() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let link = created(&scope, &json!({ "session_expiry": 7_200 })).await.payment_link_id;
        let first = claim(&scope, &link, r#"{"hold": 10}"#).await.unwrap();
        world.clock.step(seconds(10).checked_sub(MILLI).unwrap());
        assert_eq!(stands(&scope, &link).await, (LinkState::Held, 0, 1));
        assert_eq!(code(claim(&scope, &link, "{}").await), "payment_link.held");
        world.clock.step(MILLI);
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 0, 0));
        let lapsed = scope.link_use(&first.link_use.link_use_id).retrieve().await.unwrap();
        assert_eq!(lapsed.status, LinkUseStatus::Lapsed);
        // A clock that is set back revives nothing: what was committed since stands in the log.
        let second = claim(&scope, &link, r#"{"hold": 10}"#).await.unwrap();
        world.clock.step_back(seconds(5));
        assert_eq!(code(scope.link_use(&first.link_use.link_use_id).confirm().await), "payment_link.held");
        world.clock.step(seconds(5));
        let before = snapshot(&world.pay).await;
        assert_eq!(code(scope.link_use(&first.link_use.link_use_id).confirm().await), "payment_link.held");
        assert_eq!(snapshot(&world.pay).await, before);
        // Its place is free again: then even the late one has it.
        world.clock.step(seconds(10));
        let late = scope.link_use(&first.link_use.link_use_id).confirm().await.unwrap();
        assert_eq!(late.status, LinkUseStatus::Confirmed);
        assert_eq!(stands(&scope, &link).await, (LinkState::Paid, 1, 0));
        assert_eq!(code(scope.link_use(&second.link_use.link_use_id).confirm().await), "payment_link.paid");
        // And lapsed holds are tidied up, confirmed ones are not.
        let (gone, next) = scope.payment_link(&link).purge_lapsed(PageRequest::default()).await.unwrap();
        assert_eq!((gone, next), (1, None));
        let left = scope.payment_link(&link).uses(PageRequest::default()).await.unwrap().items;
        assert_eq!(left, [late]);
        let (gone, _) = scope.payment_link(&link).purge_lapsed(PageRequest::default()).await.unwrap();
        assert_eq!(gone, 0);
    });
}

#[test]
fn whoever_is_paying_when_a_link_ends_may_go_on() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let link = created(&scope, &json!({ "kind": { "limited": 3 }, "session_expiry": 60 })).await.payment_link_id;
        let handle = scope.payment_link(&link);
        let first = claim(&scope, &link, "{}").await.unwrap().link_use.link_use_id;
        let off = handle.deactivate().await.unwrap();
        assert_eq!((off.state, off.version), (LinkState::Deactivated, 2));
        assert_eq!(handle.deactivate().await.unwrap(), off, "twice is once");
        assert_eq!(code(claim(&scope, &link, "{}").await), "payment_link.deactivated");
        assert_eq!(scope.link_use(&first).confirm().await.unwrap().status, LinkUseStatus::Confirmed);
        assert_eq!(stands(&scope, &link).await, (LinkState::Deactivated, 1, 0));
        assert_eq!(code(handle.reactivate().expecting(1).await), "stale");
        assert_eq!(handle.reactivate().expecting(2).await.unwrap().state, LinkState::Active);
        let second = claim(&scope, &link, "{}").await.unwrap().link_use.link_use_id;
        let third = claim(&scope, &link, r#"{"hold": 30}"#).await.unwrap().link_use.link_use_id;
        world.clock.step(seconds(60));
        let ended = handle.retrieve().await.unwrap();
        assert_eq!((ended.state, ended.status), (LinkState::Expired, PaymentLinkStatus::Expired));
        assert_eq!(code(claim(&scope, &link, "{}").await), "payment_link.expired");
        scope.link_use(&second).confirm().await.unwrap();
        // One that lapsed would be a new claim.
        assert_eq!(code(scope.link_use(&third).confirm().await), "payment_link.expired");
    });
}

#[test]
fn a_published_link_is_claimed_once_at_a_time_and_its_json_stays_as_it_is() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let payment = read(&host::payment_with_link_body(100, "EUR")).unwrap();
        let payment = scope.create_payment(payment).await.unwrap();
        let link = payment.payment_link.as_ref().unwrap().payment_link_id.clone();
        let keys = |link: &PaymentLink| shown(link).as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let published = [
            "amount",
            "created_at",
            "currency",
            "description",
            "expiry",
            "link_to_pay",
            "merchant_id",
            "payment_link_id",
            "secure_link",
            "status",
        ];
        let before = scope.payment_link(&link).retrieve().await.unwrap();
        assert_eq!(keys(&before), published);
        let claimed = claim(&scope, &link, "{}").await.unwrap();
        assert_eq!(shown(&claimed.payment), shown(&payment), "its own payment, as it is");
        let held = scope.payment_link(&link).retrieve().await.unwrap();
        assert_eq!((held.state, keys(&held)), (LinkState::Held, published.map(str::to_owned).to_vec()));
        assert_eq!(shown(&held), shown(&before));
        assert_eq!(code(claim(&scope, &link, "{}").await), "payment_link.held");
        assert_eq!(code(claim(&scope, &link, r#"{"amount": 99}"#).await), "payment_link.held", "before its amount");
        scope.link_use(&claimed.link_use.link_use_id).release().await.unwrap();
        let left = scope.payment(&payment.payment_id).retrieve().await.unwrap();
        assert_eq!(shown(&left), shown(&payment), "it is not the use's");
        for (body, expected) in [
            (r#"{"amount": 99}"#, ("payment_link.amount_fixed", "amount")),
            (r#"{"customer_id": "somebody"}"#, ("payment_link.customer_fixed", "customer_id")),
        ] {
            let (code, path) = fault(claim(&scope, &link, body).await);
            assert_eq!((code.as_str(), path.as_str()), expected);
        }
        let again = claim(&scope, &link, r#"{"amount": 100}"#).await.unwrap();
        scope.link_use(&again.link_use.link_use_id).confirm().await.unwrap();
        assert_eq!(stands(&scope, &link).await, (LinkState::Paid, 1, 0));
        let own = created(&scope, &json!({ "amount": { "minimum": 5, "maximum": 10 } })).await;
        let json = shown(&own);
        assert_eq!(json["amount"], json!({ "minimum": 5, "maximum": 10 }));
        assert_eq!(
            (&json["state"], &json["kind"], &json["opens_at"]),
            (&json!("active"), &json!("single_use"), &Value::Null)
        );
        assert_eq!(json["uses"], json!({ "confirmed": 0, "held": 0 }));
    });
}

#[test]
fn the_times_of_a_link_are_frozen_when_it_is_created() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let now = |offset: u32| created_at(world).plus_seconds(offset);
        let profile = scope.profiles(PageRequest::default()).await.unwrap().items[0].profile_id.clone();
        let open = created(&scope, &json!({})).await;
        assert_eq!((open.expiry, open.opens_at), (now(900), None), "the contract's default");
        scope.profile(&profile).update(read(r#"{"session_expiry": 3600}"#).unwrap()).await.unwrap();
        assert_eq!(scope.payment_link(&open.payment_link_id).retrieve().await.unwrap().expiry, now(900));
        assert_eq!(created(&scope, &json!({})).await.expiry, now(3_600), "the profile's");
        assert_eq!(created(&scope, &json!({ "session_expiry": 60 })).await.expiry, now(60), "its own");

        let later = created(&scope, &json!({ "opens_at": now(100), "session_expiry": 60 })).await;
        assert_eq!((later.state, later.expiry), (LinkState::Scheduled, now(160)));
        assert_eq!(later.status, PaymentLinkStatus::Active, "the published status knows two words");
        assert_eq!(code(claim(&scope, &later.payment_link_id, "{}").await), "payment_link.scheduled");
        world.clock.step(seconds(100).checked_sub(MILLI).unwrap());
        assert_eq!(stands(&scope, &later.payment_link_id).await.0, LinkState::Scheduled);
        world.clock.step(MILLI);
        assert_eq!(stands(&scope, &later.payment_link_id).await.0, LinkState::Active);

        let past = created(&scope, &json!({ "opens_at": now(0), "expires_at": now(160) })).await;
        assert_eq!((past.state, past.expiry), (LinkState::Active, now(160)), "60 seconds from now");
        let refused = |body: &Value| fault(block_on(scope.create_payment_link(own(body)).into_future()));
        let before = snapshot(&world.pay).await;
        for (body, expected) in [
            (json!({ "expires_at": now(159) }), ("payment_link.expires_at", "expires_at")),
            (json!({ "expires_at": now(100 + 7_890_001) }), ("payment_link.expires_at", "expires_at")),
            (json!({ "opens_at": now(200), "expires_at": now(259) }), ("payment_link.expires_at", "expires_at")),
            (json!({ "opens_at": now(100 + 7_890_001) }), ("payment_link.opens_at", "opens_at")),
            (json!({ "expires_at": now(500), "session_expiry": 60 }), ("payment_link.two_expiries", "expires_at")),
        ] {
            let (code, path) = refused(&body);
            assert_eq!((code.as_str(), path.as_str()), expected, "{body}");
        }
        assert_eq!(snapshot(&world.pay).await, before);
        for body in [
            json!({ "expires_at": now(160) }),
            json!({ "expires_at": now(100 + 7_890_000) }),
            json!({ "opens_at": now(100 + 7_890_000), "session_expiry": 7_890_000 }),
        ] {
            created(&scope, &body).await;
        }
    });
}

#[test]
fn a_link_needs_somewhere_to_return_to() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let profile = scope.profiles(PageRequest::default()).await.unwrap().items[0].profile_id.clone();
        scope.profile(&profile).update(read(r#"{"return_url": null}"#).unwrap()).await.unwrap();
        let before = snapshot(&world.pay).await;
        let refused = fault(scope.create_payment_link(own(&json!({ "return_url": null }))).await);
        assert_eq!(refused, ("payment_link.no_return_url".into(), "return_url".into()));
        assert_eq!(snapshot(&world.pay).await, before);
    });
}

/// When the clock of a world began.
fn created_at(_: &World) -> Timestamp {
    use perfectpay::Clock as _;
    TestClock::default().now()
}

#[test]
fn an_open_amount_is_chosen_within_its_bounds() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let open = json!({ "amount": { "minimum": 500, "maximum": 2_000 }, "kind": "reusable" });
        let link = created(&scope, &open).await.payment_link_id;
        for amount in [500, 1_234, 2_000] {
            let claimed = claim(&scope, &link, &json!({ "amount": amount }).to_string()).await.unwrap();
            assert_eq!(claimed.payment.amount.get(), amount);
        }
        let before = snapshot(&world.pay).await;
        for (body, code) in [
            (r#"{"amount": 499}"#, "payment_link.amount_bounds"),
            (r#"{"amount": 2001}"#, "payment_link.amount_bounds"),
            ("{}", "payment_link.amount_required"),
        ] {
            assert_eq!(fault(claim(&scope, &link, body).await), (code.into(), "amount".into()));
        }
        assert_eq!(snapshot(&world.pay).await, before);
        assert_eq!(stands(&scope, &link).await, (LinkState::Active, 0, 3));
    });
}

#[test]
fn a_repeated_command_is_answered_as_the_first_time() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let key = |text: &str| text.parse().unwrap();
        let new = own(&json!({ "kind": { "limited": 2 } }));
        let link = scope.create_payment_link(new.clone()).idempotency_key(key("link")).await.unwrap();
        let body = LinkClaim::default();
        let handle = scope.payment_link(&link.payment_link_id);
        let first = handle.claim(body.clone()).idempotency_key(key("claim")).await.unwrap();
        let again = handle.claim(body.clone()).idempotency_key(key("claim")).await.unwrap();
        assert_eq!(again, first);
        assert_eq!(scope.create_payment_link(new).idempotency_key(key("link")).await.unwrap(), link);
        assert_eq!(stands(&scope, &link.payment_link_id).await, (LinkState::Active, 0, 1));
        let other = created(&scope, &json!({})).await.payment_link_id;
        let other = scope.payment_link(&other).claim(body).idempotency_key(key("claim")).await;
        assert_eq!(code(other), "idempotency_mismatch", "the link is part of the request");
    });
}

#[test]
fn uses_are_neither_claimed_nor_confirmed_in_a_batch() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let link = created(&scope, &json!({})).await.payment_link_id;
        let held = claim(&scope, &link, "{}").await.unwrap().link_use.link_use_id;
        let before = snapshot(&world.pay).await;
        let batch = scope.batch();
        let staged = batch.merchant();
        let of_its_own = created(staged, &json!({})).await.payment_link_id;
        assert_eq!(staged.payment_link(&of_its_own).retrieve().await.unwrap().state, LinkState::Active);
        assert_eq!(fault(claim(staged, &of_its_own, "{}").await).0, "batch.link_use");
        assert_eq!(fault(staged.link_use(&held).confirm().await).0, "batch.link_use");
        drop(batch);
        assert_eq!(snapshot(&world.pay).await, before);
    });
}

#[test]
fn links_are_listed_by_time_profile_and_state() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let second = scope.create_profile(read(&host::profile_body("Second")).unwrap()).await.unwrap().profile_id;
        let mut links = Vec::new();
        for number in 0..12 {
            let profile = (number % 3 == 0).then_some(&second);
            let link = created(&scope, &json!({ "profile_id": profile, "session_expiry": 600 })).await;
            match number % 4 {
                1 => drop(scope.payment_link(&link.payment_link_id).deactivate().await.unwrap()),
                2 => drop(claim(&scope, &link.payment_link_id, r#"{"hold": 86400}"#).await.unwrap()),
                _ => {}
            }
            links.insert(0, (number, link));
            world.clock.step(seconds(10));
        }
        let at = |number: u64| links.iter().find(|(n, _)| *n == number).unwrap().1.created_at;
        let listed = |filter: LinkFilter, limit: u32| {
            block_on(async {
                let (mut ids, mut cursor) = (Vec::new(), None);
                loop {
                    let page = PageRequest::of(limit).unwrap().after(cursor);
                    let page = scope.payment_links_where(&filter, page).await.unwrap();
                    assert!(page.items.len() <= limit as usize);
                    ids.extend(page.items.into_iter().map(|link| link.payment_link_id));
                    cursor = page.next;
                    if cursor.is_none() {
                        return ids;
                    }
                }
            })
        };
        let numbers = |filter: LinkFilter| {
            let all = [1, 2, 5, 12, 100].map(|limit| listed(filter.clone(), limit));
            assert!(all.iter().all(|ids| *ids == all[0]), "{filter:?}: {all:?}");
            let number = |id: &PaymentLinkId| links.iter().find(|(_, link)| link.payment_link_id == *id).unwrap().0;
            all[0].iter().map(number).collect::<Vec<u64>>()
        };
        let filter = |body: Value| perfectpay::json::from_value::<LinkFilter>(body).unwrap();
        let milli = |moment: Timestamp, by: i64| Timestamp::from_unix_millis(moment.unix_millis() + by).unwrap();
        for (body, expected) in [
            (json!({}), (0..12).rev().collect::<Vec<_>>()),
            (json!({ "created": at(5) }), vec![5]),
            (json!({ "created": milli(at(5), 1) }), vec![]),
            (json!({ "created.lt": at(2) }), vec![1, 0]),
            (json!({ "created.lt": milli(at(2), 1) }), vec![2, 1, 0]),
            (json!({ "created.lte": at(2) }), vec![2, 1, 0]),
            (json!({ "created.lte": milli(at(2), -1) }), vec![1, 0]),
            (json!({ "created.gt": at(9) }), vec![11, 10]),
            (json!({ "created.gt": milli(at(9), -1) }), vec![11, 10, 9]),
            (json!({ "created.gte": at(9) }), vec![11, 10, 9]),
            (json!({ "created.gte": milli(at(9), 1) }), vec![11, 10]),
            (json!({ "created.gte": at(3), "created.lt": at(6) }), vec![5, 4, 3]),
            (json!({ "created.gt": at(6), "created.lt": at(6) }), vec![]),
            (json!({ "profile_id": second }), vec![9, 6, 3, 0]),
            (json!({ "profile_id": second, "created.lt": at(9) }), vec![6, 3, 0]),
            (json!({ "state": "deactivated" }), vec![9, 5, 1]),
            (json!({ "state": "held" }), vec![10, 6, 2]),
            (json!({ "state": "active" }), vec![11, 8, 7, 4, 3, 0]),
            (json!({ "state": "paid" }), vec![]),
            (json!({ "state": "active", "profile_id": second, "created.gt": at(0) }), vec![3]),
        ] {
            assert_eq!(numbers(filter(body.clone())), expected, "{body}");
        }
        for (body, path) in [
            (json!({ "created.le": at(2) }), "created.le"),
            (json!({ "state": "open" }), "state"),
            (json!({ "created.lt": "yesterday" }), "created\\.lt"),
        ] {
            let wrong = perfectpay::json::from_value::<LinkFilter>(body);
            let Err(Error::Invalid(wrong)) = wrong else { panic!("{path}") };
            assert_eq!(wrong.path().replace('\\', ""), path.replace('\\', ""));
        }
        let nobody = filter(json!({ "profile_id": "pro_nobody" }));
        assert_eq!(code(scope.payment_links_where(&nobody, PageRequest::default()).await), "not_found");
        // The expiry of all moves all at once.
        world.clock.step(seconds(10_000));
        assert_eq!(numbers(filter(json!({ "state": "expired" }))), [11, 10, 8, 7, 6, 4, 3, 2, 0]);
    });
}

#[test]
fn a_listing_by_state_reads_a_bounded_part_and_goes_on_from_there() {
    let world = World::on(support::backends().remove(0));
    block_on(async {
        let scope = shop(&world).await;
        let wanted = created(&scope, &json!({})).await.payment_link_id;
        scope.payment_link(&wanted).deactivate().await.unwrap();
        world.clock.step(MILLI);
        for _ in 0..1_250 {
            created(&scope, &json!({})).await;
        }
        let filter: LinkFilter = read(r#"{"state": "deactivated"}"#).unwrap();
        let first = scope.payment_links_where(&filter, PageRequest::default()).await.unwrap();
        assert!(first.items.is_empty() && first.next.is_some(), "a thousand are looked at, and the rest is left");
        let second = scope.payment_links_where(&filter, PageRequest::default().after(first.next)).await.unwrap();
        assert_eq!((second.items.len(), second.next), (1, None));
        assert_eq!(second.items[0].payment_link_id, wanted);
    });
}

#[test]
fn the_urls_of_a_link_read_back_and_its_frame_opens_on_allowed_domains_only() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let profile = scope.profiles(PageRequest::default()).await.unwrap().items[0].profile_id.clone();
        let config = r#"{"payment_link_config": {"domain_name": "Zahlen.Bücher.example",
            "allowed_domains": ["*.bücher.example", "localhost:3000"]}}"#;
        scope.profile(&profile).update(read(config).unwrap()).await.unwrap();
        let link = created(&scope, &json!({})).await;
        let payment = read(&host::payment_with_link_body(100, "EUR")).unwrap();
        let payment = scope.create_payment(payment).await.unwrap();
        let published = payment.payment_link.unwrap();
        let base = "https://zahlen.xn--bcher-kva.example";
        for (url, form, target) in [
            (&link.link_to_pay, LinkForm::Open, LinkTarget::Link(link.payment_link_id.clone())),
            (link.secure_link.as_ref().unwrap(), LinkForm::Secure, LinkTarget::Link(link.payment_link_id.clone())),
            (&published.link, LinkForm::Open, LinkTarget::Payment(payment.payment_id.clone())),
            (published.secure_link.as_ref().unwrap(), LinkForm::Secure, LinkTarget::Payment(payment.payment_id)),
        ] {
            let read = LinkUrl::parse(url.strip_prefix(base).unwrap()).unwrap();
            assert_eq!((read.form, read.merchant_id.as_str(), &read.target), (form, "acme", &target));
            assert_eq!(format!("{base}{read}"), *url);
        }
        let allowed = link.branding.allowed_domains.value.as_ref();
        assert!(origin_allowed(allowed, "https://shop.xn--bcher-kva.example"));
        assert!(origin_allowed(allowed, "http://localhost:3000/checkout"));
        assert!(!origin_allowed(allowed, "https://xn--bcher-kva.example.evil.example"));
        // What the profile allows later is nothing to a link that is out.
        scope.profile(&profile).update(read(r#"{"payment_link_config": null}"#).unwrap()).await.unwrap();
        assert!(scope.payment_link(&link.payment_link_id).retrieve().await.unwrap().secure_link.is_some());
        assert!(created(&scope, &json!({})).await.secure_link.is_none());
        // A URL has room in 255 characters, or there is no link.
        let long = format!("{}.example", ["a".repeat(60), "b".repeat(60), "c".repeat(60)].join("."));
        let config = json!({ "payment_link_config": { "domain_name": long } }).to_string();
        scope.profile(&profile).update(read(&config).unwrap()).await.unwrap();
        let before = snapshot(&world.pay).await;
        let refused = fault(scope.create_payment_link(own(&json!({}))).await);
        assert_eq!(refused, ("payment_link.url_too_long".into(), "payment_link".into()));
        assert_eq!(snapshot(&world.pay).await, before);
    });
}

#[test]
fn a_browser_reads_its_own_link_and_a_payment_ends_with_its_hold() {
    on_every_backend(async |world| {
        let scope = shop(world).await;
        let publishable = scope.retrieve().await.unwrap().publishable_key.to_string();
        let link = created(&scope, &json!({ "session_expiry": 7_200 })).await.payment_link_id;
        let claimed = claim(&scope, &link, r#"{"hold": 30}"#).await.unwrap();
        let secret = claimed.payment.client_secret.expose();
        let browser = world.pay.authenticate_client(&publishable, secret).await.unwrap();
        let seen = browser.payment_link().await.unwrap().unwrap();
        assert_eq!((seen.payment_link_id, seen.state), (link.clone(), LinkState::Held));
        world.clock.step(seconds(30));
        assert!(matches!(browser.payment_link().await, Err(Error::Unauthorized(_))), "its hold is over");
    });
}

#[test]
fn however_many_claim_at_once_nobody_gets_a_use_that_is_not_there() {
    const THREADS: usize = 8;
    for backend in support::backends() {
        let world = World::on(backend);
        let scope = block_on(shop(&world));
        let link = block_on(created(&scope, &json!({ "kind": { "limited": 10 } }))).payment_link_id;
        let barrier = Barrier::new(THREADS);
        let found: Vec<Result<LinkUseId, String>> = thread::scope(|threads| {
            let started: Vec<_> = (0..THREADS)
                .map(|number| {
                    let (scope, link, barrier) = (&scope, &link, &barrier);
                    threads.spawn(move || {
                        barrier.wait();
                        let mut mine = Vec::new();
                        for round in 0..4 {
                            let claimed = block_on(claim(scope, link, "{}"));
                            let claimed = claimed.map(|claimed| claimed.link_use.link_use_id);
                            if let Ok(id) = &claimed
                                && (number + round) % 2 == 0
                            {
                                block_on(scope.link_use(id).confirm().into_future()).unwrap();
                            }
                            mine.push(claimed.map_err(|error| error.code().to_owned()));
                        }
                        mine
                    })
                })
                .collect();
            started.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let won = found.iter().filter(|claimed| claimed.is_ok()).count();
        assert_eq!(won, 10, "on {}", world.name);
        let refused: Vec<&String> = found.iter().filter_map(|claimed| claimed.as_ref().err()).collect();
        assert!(refused.iter().all(|code| ["payment_link.held", "payment_link.used_up"].contains(&code.as_str())));
        let (_, confirmed, held) = block_on(stands(&scope, &link));
        assert_eq!(confirmed + held, 10, "on {}", world.name);
    }
}

/// What a link is asked to do.
#[derive(Debug, Clone)]
enum Step {
    Claim { hold: u32 },
    Confirm(usize),
    Release(usize),
    Deactivate,
    Reactivate,
    Forward(u64),
    Back(u64),
    Purge,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..40u32).prop_map(|hold| Step::Claim { hold }),
        4 => (0..12usize).prop_map(Step::Confirm),
        3 => (0..12usize).prop_map(Step::Release),
        1 => Just(Step::Deactivate),
        1 => Just(Step::Reactivate),
        4 => (0..15_000u64).prop_map(Step::Forward),
        1 => (0..15_000u64).prop_map(Step::Back),
        1 => Just(Step::Purge),
    ];
    proptest::collection::vec(step, 1..40)
}

/// A link in a few lines: what the library must agree with.
#[derive(Debug, Clone)]
struct Model {
    limit: u64,
    single: bool,
    opens_at: i64,
    expires_at: i64,
    off: bool,
    /// Uses in the order of their claims: the deadline, and whether it was confirmed; `None` once gone.
    uses: Vec<Option<(i64, bool)>>,
    clock: i64,
    /// The newest commit: time never steps behind it.
    log: i64,
}

impl Model {
    fn now(&self) -> i64 {
        self.clock.max(self.log)
    }

    fn uses(&self) -> Uses {
        let all = self.uses.iter().flatten();
        let confirmed = all.clone().filter(|(_, confirmed)| *confirmed).count() as u64;
        let held = all.filter(|(until, confirmed)| !confirmed && self.now() < *until).count() as u64;
        Uses { confirmed, held }
    }

    fn state(&self) -> &'static str {
        let Uses { confirmed, held } = self.uses();
        match () {
            () if confirmed >= self.limit && self.single => "paid",
            () if confirmed >= self.limit => "used_up",
            () if self.off => "deactivated",
            () if self.now() >= self.expires_at => "expired",
            () if self.now() < self.opens_at => "scheduled",
            () if confirmed + held >= self.limit => "held",
            () => "active",
        }
    }

    fn open(&self) -> Result<(), String> {
        if self.state() == "active" { Ok(()) } else { Err(format!("payment_link.{}", self.state())) }
    }

    /// What the step answers; it is done where that is `Ok`.
    fn take(&mut self, step: &Step) -> Result<(), String> {
        let now = self.now();
        match *step {
            Step::Claim { hold } => {
                self.open()?;
                self.uses.push(Some((now + i64::from(hold) * 1_000, false)));
                self.log = now;
            }
            Step::Confirm(number) => match self.uses.get(number).copied().flatten() {
                None => return Err("not_found".into()),
                Some((_, true)) => {}
                Some((until, false)) => {
                    if now >= until {
                        self.open()?;
                    }
                    self.uses[number] = Some((until, true));
                    self.log = now;
                }
            },
            Step::Release(number) => match self.uses.get(number).copied().flatten() {
                None => return Err("not_found".into()),
                Some((_, true)) => return Err("link_use.confirmed".into()),
                Some((_, false)) => {
                    self.uses[number] = None;
                    self.log = now;
                }
            },
            Step::Deactivate | Step::Reactivate => {
                let off = matches!(step, Step::Deactivate);
                if self.off != off {
                    self.off = off;
                    self.log = now;
                }
            }
            Step::Forward(by) => self.clock += i64::try_from(by).unwrap(),
            Step::Back(by) => self.clock -= i64::try_from(by).unwrap(),
            Step::Purge => {
                for held in &mut self.uses {
                    if held.is_some_and(|(until, confirmed)| !confirmed && until <= now) {
                        *held = None;
                        self.log = now;
                    }
                }
            }
        }
        Ok(())
    }
}

fn agrees(pay: &PerfectPay, clock: &TestClock, kind: &Value, opens: u32, steps: &[Step]) -> Result<(), TestCaseError> {
    use perfectpay::Clock as _;
    block_on(async {
        let scope = host::stand_up(pay, "acme").await.unwrap().scope(pay);
        let begin = clock.now();
        let opens_at = begin.plus_seconds(opens);
        let link = created(&scope, &json!({ "kind": kind, "opens_at": opens_at, "session_expiry": 60 })).await;
        let mut model = Model {
            limit: link.kind.limit().unwrap_or(u64::MAX),
            single: *kind == json!("single_use"),
            opens_at: opens_at.unix_millis(),
            expires_at: opens_at.unix_millis() + 60_000,
            off: false,
            uses: Vec::new(),
            clock: begin.unix_millis(),
            log: begin.unix_millis(),
        };
        let handle = scope.payment_link(&link.payment_link_id);
        let mut ids: Vec<LinkUseId> = Vec::new();
        let mut payments = BTreeMap::new();
        for step in steps {
            let expected = model.take(step);
            let id = |number: usize| ids.get(number).cloned().unwrap_or_else(|| "use_nobody".parse().unwrap());
            let answer = match *step {
                Step::Claim { hold } => {
                    let claimed = claim(&scope, &link.payment_link_id, &json!({ "hold": hold }).to_string()).await;
                    claimed.map(|claimed| {
                        payments.insert(ids.len(), claimed.payment.payment_id);
                        ids.push(claimed.link_use.link_use_id);
                    })
                }
                Step::Confirm(number) => scope.link_use(&id(number)).confirm().await.map(drop),
                Step::Release(number) => {
                    let done = scope.link_use(&id(number)).release().await.map(drop);
                    if done.is_ok() {
                        let payment = scope.payment(&payments[&number]).retrieve().await.unwrap();
                        prop_assert_eq!(payment.status, IntentStatus::Cancelled);
                    }
                    done
                }
                Step::Deactivate => handle.deactivate().await.map(drop),
                Step::Reactivate => handle.reactivate().await.map(drop),
                Step::Forward(by) => {
                    clock.step(Duration::from_millis(by));
                    Ok(())
                }
                Step::Back(by) => {
                    clock.step_back(Duration::from_millis(by));
                    Ok(())
                }
                Step::Purge => handle.purge_lapsed(PageRequest::of(100).unwrap()).await.map(drop),
            };
            prop_assert_eq!(answer.map_err(|error| error.code().to_owned()), expected, "{:?} of {:?}", step, model);
            let seen = handle.retrieve().await.unwrap();
            prop_assert_eq!(
                (seen.state.to_string(), seen.uses),
                (model.state().to_owned(), model.uses()),
                "{:?}",
                step
            );
            prop_assert!(seen.uses.confirmed + seen.uses.held <= model.limit);
        }
        let listed = handle.uses(PageRequest::of(100).unwrap()).await.unwrap().items.len();
        prop_assert_eq!(listed, model.uses.iter().flatten().count());
        Ok(())
    })
}

fn kinds() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("single_use")),
        (1..4i64).prop_map(|uses| json!({ "limited": uses })),
        Just(json!("reusable"))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn claims_under_any_clock_are_as_a_small_model_says(kind in kinds(), opens in 0..20u32, steps in steps()) {
        let clock = Arc::new(TestClock::default());
        let settings = host::settings().unwrap().clock(clock.clone());
        let pay = block_on(PerfectPay::open(Arc::new(MemoryStore::new()), settings)).unwrap();
        agrees(&pay, &clock, &kind, opens, &steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn claims_on_sqlite_are_as_the_same_model_says(kind in kinds(), opens in 0..20u32, steps in steps()) {
        let clock = Arc::new(TestClock::default());
        let settings = host::settings().unwrap().clock(clock.clone());
        let pay = block_on(PerfectPay::open(Arc::new(SqliteStore::in_memory().unwrap()), settings)).unwrap();
        agrees(&pay, &clock, &kind, opens, &steps)?;
    }
}
