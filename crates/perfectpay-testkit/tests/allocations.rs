//! A program of its own, since it counts what the whole program allocates.

use std::sync::Arc;

use futures_lite::future::block_on;
use perfectpay::{BlockRequest, CardNumber, PerfectPay, json};
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::host::{self, TestClock};

#[test]
fn a_warm_screen_allocates_nothing_hit_or_miss() {
    let cards: Vec<CardNumber> =
        ["4242424242424242", "4111111111111111", "6011000000000004", "5555555555554444", "378282246310005"]
            .map(|card| card.parse().unwrap())
            .into();
    let (blocklist, screener) = block_on(async {
        // A clock that stands still keeps the list fresh.
        let settings = host::settings().unwrap().clock(Arc::new(TestClock::default()));
        let pay = PerfectPay::open(Arc::new(MemoryStore::new()), settings).await.unwrap();
        let tenant = host::stand_up(&pay, "acme").await.unwrap();
        let (account, profile) = (tenant.scope(&pay).blocklist(), tenant.profile_scope(&pay).blocklist());
        let add = |kind: &str, data: &str| -> BlockRequest {
            json::from_slice(host::block_body(kind, data).as_bytes()).unwrap()
        };
        account.toggle(Some(true)).await.unwrap();
        account.add(add("card_bin", "411111")).await.unwrap();
        profile.add(add("card_range", "601100-601199")).await.unwrap();
        tenant.organization_scope(&pay).blocklist().add(add("card_prefix", "5555555")).await.unwrap();
        let fingerprint = account.screen(&cards[0]).await.unwrap().fingerprint.unwrap().to_string();
        account.add(add("fingerprint", &fingerprint)).await.unwrap();
        let screener = profile.screener().await.unwrap();
        (profile, screener)
    });
    let screen = || {
        block_on(async {
            let mut blocked = 0;
            for card in &cards {
                blocked += u32::from(blocklist.screen(card).await.unwrap().is_blocked());
            }
            blocked
        })
    };
    assert_eq!(screen(), 4, "loads the lists");
    let mut blocked = 0;
    let allocated = allocation_counter::measure(|| blocked = screen());
    assert_eq!((blocked, allocated.count_total), (4, 0));
    let held = || block_on(async { screener.screen(&cards[0]).await.unwrap().is_blocked() });
    assert!(held(), "keeps the lists");
    let allocated = allocation_counter::measure(|| assert!(held()));
    assert_eq!(allocated.count_total, 0);
}
