//! The `X-Profile-Id` header, and the page of a link as what is decided about its payment moves.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

mod support;

use std::sync::Arc;

use perfectpay::{MasterKey, Outcome, PerfectPay, Settings};
use perfectpay_sqlite::SqliteStore;
use serde_json::{Value, json};
use support::{Answer, Host};

const PROFILE: &str = "pro_abcdefghijklmnop";

fn published() -> Value {
    serde_json::from_str(include_str!("../../published-requests.json")).unwrap()
}

fn refused(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["error"]["code"].as_str().unwrap_or_default())
}

#[test]
fn a_call_is_bound_to_the_profile_that_its_header_names() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let key = format!("api-key: {}", host.key);
    let bound = |profile: &str, method: &str, path: &str, body: Option<Value>| {
        let header = format!("X-Profile-Id: {profile}");
        let text = body.map(|body| body.to_string());
        let mut arguments = vec!["-X", method, "-H", &key, "-H", &header];
        if let Some(text) = &text {
            arguments.extend(["-H", "Content-Type: application/json", "-d", text]);
        }
        host.curl(&arguments, path)
    };
    let account = host.call("GET", "/accounts/merchant_abc123", None).body;
    let default = account["default_profile"].as_str().unwrap();
    assert_ne!(default, PROFILE);
    let payment = published()["create_payment_with_link"]["body"].clone();

    // What is created without a profile belongs to the one that is named, and otherwise to the default one.
    let of_header = bound(PROFILE, "POST", "/payments", Some(payment.clone()));
    assert_eq!((of_header.status, &of_header.body["profile_id"]), (200, &json!(PROFILE)), "{}", of_header.body);
    let of_default = host.call("POST", "/payments", Some(&payment)).body;
    assert_eq!(of_default["profile_id"], default);

    // Objects of another profile are refused, and left out of lists; the account itself is as it was.
    let path = |payment: &Value| format!("/payments/{}", payment["payment_id"].as_str().unwrap());
    assert_eq!(bound(PROFILE, "GET", &path(&of_header.body), None).status, 200);
    assert_eq!(refused(&bound(PROFILE, "GET", &path(&of_default), None)), (400, "IR_16"));
    let connector = "/account/merchant_abc123/connectors/mca_abc123";
    assert_eq!(bound(PROFILE, "GET", connector, None).status, 200);
    assert_eq!(refused(&bound(default, "GET", connector, None)), (400, "IR_16"));
    assert_eq!(refused(&bound(default, "DELETE", connector, None)), (400, "IR_16"));
    let listed = bound(default, "GET", "/account/merchant_abc123/connectors", None);
    assert_eq!((listed.status, listed.body), (200, json!([])));
    let profile = format!("/account/merchant_abc123/business_profile/{PROFILE}");
    assert_eq!(refused(&bound(default, "PUT", &profile, Some(json!({ "profile_name": "x" })))), (400, "IR_16"));
    let mut other = payment.clone();
    other["profile_id"] = default.into();
    assert_eq!(refused(&bound(PROFILE, "POST", "/payments", Some(other))), (400, "IR_16"));
    assert_eq!(bound(PROFILE, "GET", "/accounts/merchant_abc123", None).body, account);

    // A profile that is not there is a credential that is not accepted.
    for unknown in ["pro_none", "mca_abc123", "x y"] {
        assert_eq!(refused(&bound(unknown, "GET", "/accounts/merchant_abc123", None)), (401, "IR_01"), "{unknown}");
    }
    assert_eq!(host.call("GET", connector, None).status, 200, "nothing of it was removed");
}

#[test]
fn the_page_of_a_link_shows_what_was_decided() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let mut body = published()["create_payment_with_link"]["body"].clone();
    body["profile_id"] = PROFILE.into();
    let card = &published()["confirm_payment"]["body"];
    let title = |link: &str| {
        let (_, html) = host.page(link, &[]);
        html.split_once("<h1")
            .and_then(|(_, rest)| rest.split_once('>'))
            .map_or(html.clone(), |(_, rest)| rest.split('<').next().unwrap().trim().to_owned())
    };
    let create = || {
        let payment = host.call("POST", "/payments", Some(&body)).body;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&payment["payment_id"]), text(&payment["payment_link"]["link"]))
    };
    let confirm = |id: &str| host.call("POST", &format!("/payments/{id}/confirm"), Some(card)).body;

    let (id, link) = create();
    let open = title(&link);
    assert_eq!(confirm(&id)["status"], "processing");
    let held = title(&link);
    assert_ne!(held, open);

    // The processor's answer is recorded by another process on the same file.
    let keys: Value = serde_json::from_slice(&std::fs::read(folder.path().join("sandbox-keys.json")).unwrap()).unwrap();
    let master_key = MasterKey::from_hex("sandbox", keys["master_key"].as_str().unwrap()).unwrap();
    let store = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let pay = PerfectPay::open(Arc::new(store), Settings::new(master_key)).await.unwrap();
        let payment = pay.merchant(&"merchant_abc123".parse().unwrap()).payment(&id.parse().unwrap());
        payment.record_attempt(1, Outcome::Approved).await.unwrap();
    });
    let paid = title(&link);
    assert!(paid != held && paid != open, "{open} / {held} / {paid}");

    // A payment that was screened out is over.
    let (blocked, link) = create();
    assert_eq!(title(&link), open);
    assert_eq!(host.call("POST", "/blocklist", Some(&json!({ "type": "card_bin", "data": "424242" }))).status, 200);
    assert_eq!(host.call("POST", "/blocklist/toggle?status=true", None).status, 200);
    assert_eq!(confirm(&blocked)["error"]["type"], "blocked");
    let over = title(&link);
    assert!(![&open, &held, &paid].contains(&&over), "{over}");
}
