//! Calls that are let go: every operation is polled once, twice, and so on until it is done, and dropped each time. What
//! it was to do is then wholly there or not at all, the store goes on, and the repetition makes it once.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test that panics is a test that failed, and a list of operations is as long as it is"
)]

mod support;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use async_trait::async_trait;
use futures_lite::future::{block_on, yield_now};
use perfectpay::store::{
    ChangeSet, Committed, Head, IdempotencyClaim, IdempotencyKey, Key, Listing, LogEntry, LogPosition, LogQuery, Query,
    Record, Store,
};
use perfectpay::{Error, Incarnation, PageRequest, PerfectPay};
use perfectpay_sqlite::SqliteOptions;
use perfectpay_testkit::SeededEntropy;
use perfectpay_testkit::host::{self, Tenant};
use perfectpay_testkit::layer::{Layer, Layered};
use support::{World, on_every_backend, read};

/// Lets whoever calls a store wait once before the call and once behind it, so that every call of a handle can be let
/// go between the two, and with its answer unread.
#[derive(Debug)]
struct Waits;

async fn waiting<T>(call: impl Future<Output = T> + Send) -> T {
    yield_now().await;
    let answer = call.await;
    yield_now().await;
    answer
}

#[async_trait]
impl Layer for Waits {
    async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
        waiting(next.commit(set)).await
    }

    async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
        waiting(next.get(key)).await
    }

    async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
        waiting(next.list(query)).await
    }

    async fn claim(
        &self,
        next: &dyn Store,
        tenant: Incarnation,
        key: &IdempotencyKey,
    ) -> Result<Option<IdempotencyClaim>, Error> {
        waiting(next.claim(tenant, key)).await
    }

    async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
        waiting(next.log(query)).await
    }

    async fn head(&self, next: &dyn Store) -> Result<Head, Error> {
        waiting(next.head()).await
    }
}

/// Wakes the thread that polls.
struct Bell(Thread);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

type Call = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// Polls a call so many times, each time when it was woken, and lets it go; whether it was over by then.
fn polled(mut call: Call, times: usize) -> Option<Result<(), Error>> {
    let waker = Waker::from(Arc::new(Bell(thread::current())));
    for _ in 0..times {
        if let Poll::Ready(answer) = call.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(answer);
        }
        thread::park();
    }
    None
}

/// A call that can be made again.
type Repeated = Box<dyn Fn() -> Call>;

fn repeated<F: Future<Output = Result<(), Error>> + 'static>(call: impl Fn() -> F + 'static) -> Repeated {
    Box::new(move || Box::pin(call()))
}

/// What is let go: its name, and what it answers once it was done before.
const CASES: [(&str, &str); 20] = [
    ("create organization", "ok"),
    ("create merchant", "already_exists"),
    ("update merchant", "ok"),
    ("remove merchant with everything", "not_found"),
    ("remove organization with everything", "not_found"),
    ("create profile", "ok"),
    ("update profile", "ok"),
    ("remove profile with everything", "not_found"),
    ("create connector", "ok"),
    ("update connector", "ok"),
    ("remove connector", "not_found"),
    ("create key", "ok"),
    ("revoke key", "api_key.revoked"),
    ("a caller revokes its key", "unauthorized"),
    ("add entry", "already_exists"),
    ("remove entry", "not_found"),
    ("toggle", "ok"),
    ("create payment with link", "ok"),
    ("batch", "ok"),
    ("commit of a caller's batch", "ok"),
];

/// Makes what the call needs, and the call.
async fn prepared(case: &str, pay: &PerfectPay, slow: &PerfectPay, tenant: &Tenant, number: usize) -> Repeated {
    let scope = tenant.scope(slow);
    let key = move || format!("once-{number}").parse::<IdempotencyKey>().unwrap();
    let slow = slow.clone();
    match case {
        "create organization" => repeated(move || {
            let call = slow.create_organization(read(&host::organization_body("other")).unwrap());
            let call = call.idempotency_key(key()).into_future();
            async { call.await.map(drop) }
        }),
        "create merchant" => {
            let scope = tenant.organization_scope(&slow);
            repeated(move || {
                let body = read(&host::merchant_body(&format!("new_{number}"))).unwrap();
                let call = scope.create_merchant(body).into_future();
                async { call.await.map(drop) }
            })
        }
        "update merchant" => repeated(move || {
            let call = scope.update(read(r#"{"payment_response_hash_key": "another"}"#).unwrap()).into_future();
            async { call.await.map(drop) }
        }),
        "remove merchant with everything" => repeated(move || {
            let call = scope.remove().cascade().into_future();
            async { call.await.map(drop) }
        }),
        "remove organization with everything" => {
            let scope = tenant.organization_scope(&slow);
            repeated(move || {
                let call = scope.remove().cascade().into_future();
                async { call.await.map(drop) }
            })
        }
        "create profile" => repeated(move || {
            let call = scope.create_profile(read(&host::profile_body("web")).unwrap());
            let call = call.idempotency_key(key()).into_future();
            async { call.await.map(drop) }
        }),
        "update profile" => {
            let scope = tenant.profile_scope(&slow);
            repeated(move || {
                let call = scope.update(read(r#"{"payment_response_hash_key": "another"}"#).unwrap()).into_future();
                async { call.await.map(drop) }
            })
        }
        "remove profile with everything" => {
            let scope = tenant.profile_scope(&slow);
            repeated(move || {
                let call = scope.remove().cascade().into_future();
                async { call.await.map(drop) }
            })
        }
        "create connector" => repeated(move || {
            let call = scope.create_connector(read(&host::connector_body("new", "sk_live_2")).unwrap());
            let call = call.idempotency_key(key()).into_future();
            async { call.await.map(drop) }
        }),
        "update connector" | "remove connector" => {
            let page = tenant.scope(pay).connectors(PageRequest::default()).await.unwrap();
            let scope = scope.connector(&page.items[0].merchant_connector_id);
            if case == "remove connector" {
                return repeated(move || {
                    let call = scope.remove().into_future();
                    async { call.await.map(drop) }
                });
            }
            repeated(move || {
                let body = r#"{
                    "connector_type": "payment_processor",
                    "connector_account_details": {"auth_type": "HeaderKey", "api_key": "sk_live_3"}
                }"#;
                let call = scope.update(read(body).unwrap()).into_future();
                async { call.await.map(drop) }
            })
        }
        "create key" => repeated(move || {
            let call = scope.create_api_key(read(&host::api_key_body("k", "never")).unwrap());
            let call = call.idempotency_key(key()).into_future();
            async { call.await.map(drop) }
        }),
        "revoke key" => {
            let scope = scope.api_key(&tenant.key.key_id);
            repeated(move || {
                let call = scope.revoke().into_future();
                async { call.await.map(drop) }
            })
        }
        "a caller revokes its key" => {
            let caller = slow.authenticate(tenant.token()).await.unwrap();
            let scope = caller.merchant().api_key(&tenant.key.key_id);
            repeated(move || {
                let call = scope.revoke().into_future();
                async { call.await.map(drop) }
            })
        }
        "add entry" => repeated(move || {
            let call = scope.blocklist().add(read(&host::block_body("card_bin", "422222")).unwrap()).into_future();
            async { call.await.map(drop) }
        }),
        "remove entry" => repeated(move || {
            let call = scope.blocklist().remove(read(&host::block_body("card_bin", "411111")).unwrap()).into_future();
            async { call.await.map(drop) }
        }),
        "toggle" => repeated(move || {
            let call = scope.blocklist().toggle(Some(true)).into_future();
            async { call.await.map(drop) }
        }),
        "create payment with link" => repeated(move || {
            let call = scope.create_payment(read(&host::payment_with_link_body(1, "EUR")).unwrap());
            let call = call.idempotency_key(key()).into_future();
            async { call.await.map(drop) }
        }),
        // From its beginning to its commit, as a host would write it.
        "batch" => {
            let (tenant, slow) = (tenant.clone(), slow.clone());
            repeated(move || {
                let (tenant, slow) = (tenant.clone(), slow.clone());
                async move {
                    if slow.committed_batch(&key()).await?.is_some() {
                        return Ok(());
                    }
                    let batch = slow.batch();
                    let scope = tenant.scope(batch.pay());
                    scope.create_profile(read(&host::profile_body("web"))?).await?;
                    scope.blocklist().add(read(&host::block_body("card_bin", "422222"))?).await?;
                    scope.update(read(r#"{"payment_response_hash_key": "another"}"#)?).await?;
                    batch.commit().idempotency_key(key()).await.map(drop)
                }
            })
        }
        // The same batch again.
        "commit of a caller's batch" => {
            let caller = slow.authenticate(tenant.token()).await.unwrap();
            let batch = caller.merchant().batch();
            let body = read(&host::block_body("card_bin", "422222")).unwrap();
            batch.merchant().blocklist().add(body).await.unwrap();
            let body = read(&host::profile_body("web")).unwrap();
            batch.merchant().create_profile(body).await.unwrap();
            repeated(move || {
                let call = batch.commit().idempotency_key(key()).into_future();
                async { call.await.map(drop) }
            })
        }
        other => panic!("{other}"),
    }
}

async fn entries(pay: &PerfectPay) -> u64 {
    pay.log_head().await.unwrap().position.as_u64()
}

fn code(answer: &Result<(), Error>) -> &str {
    answer.as_ref().err().map_or("ok", Error::code)
}

/// A tenant with something of everything.
async fn furnished(pay: &PerfectPay, number: usize) -> Tenant {
    let tenant = host::stand_up(pay, &format!("m_{number}")).await.unwrap();
    let scope = tenant.scope(pay);
    scope.create_connector(read(&host::connector_body("main", "sk_live_1")).unwrap()).await.unwrap();
    scope.blocklist().add(read(&host::block_body("card_bin", "411111")).unwrap()).await.unwrap();
    scope.create_payment(read(&host::payment_with_link_body(1, "EUR")).unwrap()).await.unwrap();
    tenant
}

/// Whether the call was over when it was let go, and how many commits it made: all that came of it, over all points.
async fn let_go_everywhere(world: &World, case: &str, again: &str, number: &mut usize) -> BTreeSet<(bool, u64)> {
    let pay = &world.pay;
    let waits = Arc::new(Layered::over(world.backend.store.clone(), Waits));
    let entropy = Arc::new(SeededEntropy::new(1_000 + *number as u64));
    let slow = PerfectPay::open(waits, host::settings().unwrap().entropy(entropy)).await.unwrap();
    let mut outcomes = BTreeSet::new();
    for times in 0.. {
        *number += 1;
        let place = format!("{case}, let go after {times} polls, on {}", world.name);
        let tenant = furnished(pay, *number).await;
        let call = prepared(case, pay, &slow, &tenant, *number).await;
        let before = entries(pay).await;
        let first = polled(call(), times);
        // What has its place in the queue is in front of this one.
        pay.create_organization(read(&host::organization_body("behind")).unwrap()).await.unwrap();
        let done = entries(pay).await - before - 1;
        assert!(done <= 1, "{place}");
        let repetition = call().await;
        let expected = match (done, &first) {
            (0, _) => "ok",
            // One that heard of its commit is spent; one that did not may be asked again.
            (_, Some(_)) if case == "commit of a caller's batch" => "batch.committed",
            _ => again,
        };
        assert_eq!(code(&repetition), expected, "{place}");
        assert_eq!(entries(pay).await, before + 2, "{place}: it is done once");
        outcomes.insert((first.is_some(), done));
        if let Some(first) = first {
            assert_eq!((code(&first), done), ("ok", 1), "{place}");
            break;
        }
    }
    outcomes
}

#[test]
fn an_operation_that_is_let_go_anywhere_is_done_wholly_or_not_at_all_and_its_repetition_makes_it_once() {
    on_every_backend(async |world| {
        let mut number = 0;
        let mut behind_its_commit = 0;
        for (case, again) in CASES {
            let outcomes = let_go_everywhere(world, case, again, &mut number).await;
            // Before its commit, and not at all.
            assert!(outcomes.contains(&(false, 0)) && outcomes.contains(&(true, 1)), "{case} on {}", world.name);
            behind_its_commit += usize::from(outcomes.contains(&(false, 1)));
        }
        // Not every time: how often a call is woken is a matter of threads.
        assert!(behind_its_commit > CASES.len() / 2, "{behind_its_commit} on {}", world.name);
        assert!(world.pay.verify_seals(|_| {}).await.unwrap().is_healthy(), "{}", world.name);
        if let Some(folder) = &world.backend.folder {
            let report = SqliteOptions::new(folder.join("accounts.db")).verify(|_| {}).unwrap();
            assert!(report.is_healthy(), "{:?}", report.faults);
        }
    });
}

#[test]
fn a_question_that_is_let_go_anywhere_leaves_nothing_behind() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let waits = Arc::new(Layered::over(world.backend.store.clone(), Waits));
        let slow = PerfectPay::open(waits, host::settings().unwrap()).await.unwrap();
        let tenant = furnished(pay, 1).await;
        let before = support::snapshot(pay).await;
        let questions: Vec<(&str, Repeated)> = vec![
            ("authenticate", {
                let (slow, token) = (slow.clone(), tenant.token().to_owned());
                repeated(move || {
                    let (slow, token) = (slow.clone(), token.clone());
                    async move { slow.authenticate(&token).await.map(drop) }
                })
            }),
            ("screen", {
                let scope = tenant.scope(&slow);
                repeated(move || {
                    let scope = scope.clone();
                    async move { scope.blocklist().screen(&"4111111111111111".parse()?).await.map(drop) }
                })
            }),
            ("impact", {
                let scope = tenant.organization_scope(&slow);
                repeated(move || {
                    let scope = scope.clone();
                    async move { scope.removal_impact().await.map(drop) }
                })
            }),
            ("seals", {
                let slow = slow.clone();
                repeated(move || {
                    let slow = slow.clone();
                    async move { slow.verify_seals(|_| {}).await.map(drop) }
                })
            }),
            ("log", {
                let scope = tenant.scope(&slow);
                repeated(move || {
                    let scope = scope.clone();
                    async move { scope.log(LogPosition::START, 100).await.map(drop) }
                })
            }),
        ];
        for (question, call) in questions {
            let over = (0..).find_map(|times| polled(call(), times)).unwrap();
            assert_eq!(code(&over), "ok", "{question} on {}", world.name);
            assert_eq!(support::snapshot(pay).await, before, "{question} on {}", world.name);
        }
        block_on(async { tenant.scope(&slow).retrieve().await }).unwrap();
    });
}
