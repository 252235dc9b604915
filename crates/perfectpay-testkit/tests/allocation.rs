//! What is answered from memory allocates nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_lite::future::block_on;
use perfectpay::{MasterKey, NewMerchant, NewOrganization, PerfectPay, Refusal, Settings, Verdict, json};
use perfectpay_memory::MemoryStore;

/// The answer of a future that is ready at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("is not ready at first poll"),
    }
}

#[test]
fn a_key_in_memory_and_a_text_that_is_no_token_are_answered_without_an_allocation() {
    let hour = std::time::Duration::from_secs(3_600);
    let master = MasterKey::from_hex("2026-11", &"5fa1".repeat(16)).unwrap();
    let settings = Settings::new(master).staleness(hour);
    let (pay, token) = block_on(async {
        let pay = PerfectPay::open(Arc::new(MemoryStore::new()), settings).await.unwrap();
        let group = pay.create_organization(NewOrganization::named("Acme".parse().unwrap())).await.unwrap();
        let group = pay.organization(&group.organization_id);
        let shop = group.create_merchant(NewMerchant::with_id("acme".parse().unwrap())).await.unwrap();
        let shop = group.merchant(&shop.merchant_id);
        let body = br#"{"name": "Key", "expiration": "never", "networks": ["203.0.113.0/24", "2001:db8::/32"]}"#;
        let issued = shop.create_api_key(json::from_slice(body).unwrap()).await.unwrap();
        (pay, issued.api_key.unwrap().expose().to_owned())
    });
    let peer = Some("203.0.113.7".parse().unwrap());
    // The first call reads the key, the first of all a few things of the crates below.
    assert!(matches!(block_on(pay.verify(&token, peer)).unwrap(), Verdict::Valid(_)));
    let mistyped = format!("{}!", &token[..67]);
    let cases: [(&str, _, Option<Refusal>); 6] = [
        (&token, peer, None),
        (&token, Some("2001:db8::7".parse().unwrap()), None),
        (&token, Some("198.51.100.1".parse().unwrap()), Some(Refusal::NetworkNotAllowed)),
        (&mistyped, peer, Some(Refusal::Malformed)),
        ("Bearer", peer, Some(Refusal::Malformed)),
        ("", None, Some(Refusal::Malformed)),
    ];
    for (text, peer, refused) in cases {
        let mut verdict = None;
        let counted = allocation_counter::measure(|| verdict = Some(ready(pay.verify(text, peer)).unwrap()));
        assert_eq!(counted.count_total, 0, "{refused:?}");
        match verdict.unwrap() {
            Verdict::Valid(_) => assert_eq!(refused, None),
            Verdict::Refused(found) => assert_eq!(refused, Some(found)),
        }
    }
}
