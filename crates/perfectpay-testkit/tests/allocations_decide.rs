//! A program of its own, since it counts what the whole program allocates.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use futures_lite::future::block_on;
use perfectpay::{Answer, CardFacts, DecideRequest, Decision, PerfectPay, ProfileScope, json};
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::host::{self, TestClock};
use serde_json::json;

fn decide(profile: &ProfileScope, request: &DecideRequest) -> Decision {
    block_on(profile.decide(request)).unwrap()
}

#[test]
fn a_warm_decision_allocates_nothing_but_its_answer() {
    let profile = block_on(async {
        // A clock that stands still keeps the snapshots fresh.
        let settings = host::settings().unwrap().clock(Arc::new(TestClock::default()));
        let pay = PerfectPay::open(Arc::new(MemoryStore::new()), settings).await.unwrap();
        let tenant = host::stand_up(&pay, "acme").await.unwrap();
        let profile = tenant.profile_scope(&pay);
        let mut choices = Vec::new();
        for label in ["one", "two", "three"] {
            let body = host::connector_body(label, "sk_live_1");
            let made = profile.create_connector(json::from_slice(body.as_bytes()).unwrap()).await.unwrap();
            choices.push(json!({ "connector": "stripe", "merchant_connector_id": made.merchant_connector_id }));
        }
        let selection = |from: usize| json!({ "type": "priority", "data": [choices[from]] });
        let algorithm = json!({ "type": "advanced", "data": {
            "defaultSelection": selection(0), "metadata": {},
            "rules": [{ "name": "large", "connectorSelection": selection(2), "statements": [{ "condition": [
                { "lhs": "amount", "comparison": "greater_than", "value": { "type": "number", "value": 1_000 },
                  "metadata": {} },
                { "lhs": "currency", "comparison": "equal", "value": { "type": "enum_variant", "value": "EUR" },
                  "metadata": {} }] }] }],
        }});
        let body = json!({ "name": "p", "description": "d", "algorithm": algorithm });
        let made = profile.routing().create(json::from_value(body).unwrap()).await.unwrap();
        profile.routing().program(&made.record.id).activate(None).await.unwrap();
        let blocklist = tenant.scope(&pay).blocklist();
        blocklist.toggle(Some(true)).await.unwrap();
        blocklist.add(json::from_slice(host::block_body("card_bin", "411111").as_bytes()).unwrap()).await.unwrap();
        profile
    });
    let request = |bin: &str| {
        let facts = json!({ "amount": 4999, "currency": "EUR", "payment_method": "card",
            "payment_method_type": "credit", "card": { "bin": bin } });
        let mut request = DecideRequest::new("pay_1".parse().unwrap(), json::from_value(facts).unwrap());
        request.card = Some(CardFacts::new(bin, ["tok_1"]).unwrap());
        request
    };
    let (passes, blocked) = (request("424242"), request("411111"));
    // The first call loads everything.
    for _ in 0..2 {
        decide(&profile, &passes);
        decide(&profile, &blocked);
    }
    let mut answer = None;
    let counted = allocation_counter::measure(|| answer = Some(decide(&profile, &passes)));
    let Some(Answer::Candidates(candidates)) = answer.map(|decision| decision.answer) else { panic!("is declined") };
    assert_eq!(candidates.len(), 3);
    assert_eq!(counted.count_total, 1, "the list");
    let mut answer = None;
    let counted = allocation_counter::measure(|| answer = Some(decide(&profile, &blocked)));
    assert!(matches!(answer.map(|decision| decision.answer), Some(Answer::Declined { .. })));
    assert!(counted.count_total <= 4, "{} allocations for the entry's name", counted.count_total);
}
