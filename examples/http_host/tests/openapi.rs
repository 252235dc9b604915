//! The document of the paths, held against the real program: it has the routes that the document has, and what it answers,
//! well and badly, is what the document says.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

#[path = "../../openapi/document.rs"]
mod document;
mod support;

use std::collections::BTreeSet;

use document::{ROUTES, document};
use serde_json::{Value, json};
use support::{Answer, Host};

const ACCOUNT: &str = "merchant_abc123";
const PROFILE: &str = "pro_abcdefghijklmnop";

#[test]
fn the_documents_paths_are_the_hosts() {
    let source = include_str!("../src/routes.rs");
    let table = source.split_once("Router::new()").unwrap().1.split_once(".fallback(").unwrap().0;
    let mut served = BTreeSet::new();
    for route in table.split(".route(").skip(1) {
        let path = route.split('"').nth(1).unwrap();
        for method in ["get", "post", "put", "delete"] {
            if route.contains(&format!(" {method}(")) || route.contains(&format!(".{method}(")) {
                served.insert((path, method));
            }
        }
    }
    // Not of the API: what the sandbox's pages mount.
    served.remove(&("/element.js", "get"));
    let described: BTreeSet<_> = ROUTES.iter().map(|route| (route.path, route.method)).collect();
    assert_eq!(served, described);
}

/// The host, and what the document says of it.
struct Checked {
    host: Host,
    document: Value,
    /// The paths and methods that answered as they should.
    seen: BTreeSet<(&'static str, &'static str)>,
}

impl Checked {
    /// Makes a call, and holds the answer against the document.
    fn call(&mut self, by: &str, line: &str, body: Option<&Value>) -> Value {
        let (method, path) = line.split_once(' ').unwrap();
        let answer = self.host.call_by(by, &method.to_uppercase(), path, body);
        let bare = path.split('?').next().unwrap();
        let is_it = |pattern: &str| {
            let (parts, pattern): (Vec<_>, Vec<_>) = (bare.split('/').collect(), pattern.split('/').collect());
            parts.len() == pattern.len() && parts.iter().zip(&pattern).all(|(p, w)| p == w || w.starts_with('{'))
        };
        // One that is written out goes before one with a place for an id.
        let route = ROUTES.iter().filter(|route| route.method == method && is_it(route.path));
        let route = route.min_by_key(|route| route.path.matches('{').count()).unwrap_or_else(|| panic!("{line}"));
        let responses = &self.document["paths"][route.path][route.method]["responses"];
        let status = if answer.status == 200 { "200" } else { "default" };
        let told = self.told(&responses[status]["content"]["application/json"]["schema"], &answer);
        assert!(told.is_empty(), "{line} answers {} {}: {told:?}", answer.status, answer.body);
        if answer.status == 200 {
            self.seen.insert((route.path, route.method));
        }
        answer.body
    }

    fn told(&self, schema: &Value, answer: &Answer) -> Vec<String> {
        let mut root = schema.clone();
        root["components"] = self.document["components"].clone();
        let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&root).unwrap();
        validator.iter_errors(&answer.body).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

#[test]
#[allow(clippy::too_many_lines, reason = "every path is called once")]
fn what_the_host_answers_is_what_the_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let (key, admin) = (host.key.clone(), host.admin.clone());
    let mut checked = Checked { host, document: document(), seen: BTreeSet::new() };
    let published: Value = serde_json::from_str(include_str!("../../published-requests.json")).unwrap();
    let body = |name: &str| Some(published[name]["body"].clone());
    macro_rules! call {
        ($by:expr, $line:expr) => {
            checked.call($by, &format!($line), None)
        };
        ($by:expr, $line:expr, $body:expr) => {
            checked.call($by, &format!($line), Some(&$body))
        };
    }

    call!(&key, "get /health");
    call!(&key, "get /organization");
    let organization =
        call!(&admin, "post /organization", json!({ "organization_name": "Acme", "metadata": { "a": 1 } }));
    let organization = text(&organization["organization_id"]);
    call!(&admin, "get /organization/{organization}");
    call!(&admin, "put /organization/{organization}", json!({ "organization_details": { "b": 2 } }));
    call!(&admin, "post /organization/{organization}", json!({ "metadata": null }));
    call!(
        &admin,
        "post /accounts",
        json!({
            "merchant_id": "acme_us", "organization_id": organization, "merchant_name": "Acme US",
            "merchant_details": { "primary_email": "a@acme.example", "address": { "country": "US" } },
            "primary_business_details": [{ "country": "US", "business": "food" }],
            "webhook_details": { "webhook_url": "https://acme.example/hooks", "webhook_password": "secret" },
        })
    );
    call!(&admin, "get /accounts/list?organization_id={organization}");
    call!(&key, "get /accounts/{ACCOUNT}");
    call!(
        &key,
        "put /accounts/{ACCOUNT}",
        json!({ "merchant_id": ACCOUNT, "return_url": "https://store.example.com" })
    );
    call!(&key, "post /accounts/{ACCOUNT}", json!({ "merchant_id": ACCOUNT, "metadata": { "a": [1, "b", null] } }));

    let profile = call!(&key, "post /account/{ACCOUNT}/business_profile", body("create_profile").unwrap());
    let profile = text(&profile["profile_id"]);
    call!(&key, "get /account/{ACCOUNT}/business_profile");
    call!(&key, "get /account/{ACCOUNT}/business_profile/{profile}");
    call!(&key, "put /account/{ACCOUNT}/business_profile/{profile}", body("update_profile").unwrap());
    call!(
        &key,
        "post /account/{ACCOUNT}/business_profile/{profile}",
        json!({
            "outgoing_webhook_custom_http_headers": { "X-Shop": "value-of-it" },
            "payment_link_config": {
                "theme": "#212E46", "allowed_domains": ["shop.example.com"], "sdk_ui_rules": { ".a": { "color": "red" } },
                "background_image": { "url": "https://a.example/b.png", "size": "50%" },
                "custom_message_for_payment_method_types": [{
                    "payment_method": "card",
                    "payment_method_types": [{ "payment_method_type": "credit", "message": { "value": "text" } }],
                }],
            },
            "payment_method_blocking": { "card": { "issuing_country": ["US"] } },
        })
    );
    call!(&key, "delete /account/{ACCOUNT}/business_profile/{profile}");

    let connectors = format!("/account/{ACCOUNT}/connectors");
    for name in ["create_connector", "create_connector_object_form"] {
        call!(&key, "post {connectors}", body(name).unwrap());
    }
    call!(&key, "get {connectors}");
    call!(&key, "get {connectors}/mca_abc123");
    call!(
        &key,
        "put {connectors}/mca_abc123",
        json!({ "connector_type": "payment_processor", "metadata": { "a": 1 } })
    );
    call!(
        &key,
        "post {connectors}/mca_abc123",
        json!({
            "connector_type": "payment_processor",
            "payment_methods_enabled": [{ "payment_method": "card", "payment_method_types": [{
                "payment_method_type": "credit", "card_networks": ["Visa"], "minimum_amount": 1,
                "accepted_currencies": { "type": "enable_only", "list": ["USD"] },
                "accepted_countries": { "type": "all_accepted" },
            }, "debit"] }],
            "connector_webhook_details": { "merchant_secret": "a secret of theirs" },
        })
    );

    let issued = call!(&key, "post /api_keys/{ACCOUNT}", body("create_api_key").unwrap());
    let id = text(&issued["key_id"]);
    let narrow = json!({
        "name": "Narrow", "expiration": "never", "scopes": ["payments:read"], "networks": ["10.0.0.0/8"],
        "profile_ids": [PROFILE],
    });
    call!(&key, "post /api_keys/{ACCOUNT}", narrow);
    call!(&key, "get /api_keys/{ACCOUNT}/list?limit=5");
    call!(&key, "get /api_keys/{ACCOUNT}/{id}");
    call!(&key, "put /api_keys/{ACCOUNT}/{id}", json!({ "description": "what it is for" }));
    call!(&key, "post /api_keys/{ACCOUNT}/{id}", json!({ "expiration": "never" }));
    call!(&key, "delete /api_keys/{ACCOUNT}/{id}");

    call!(&key, "post /blocklist", body("add_to_blocklist").unwrap());
    call!(&key, "get /blocklist?limit=3");
    call!(&key, "delete /blocklist", body("add_to_blocklist").unwrap());
    call!(&key, "post /blocklist/toggle?status=true");

    let mut new = body("create_payment_with_link").unwrap();
    new["profile_id"] = PROFILE.into();
    let payment = call!(&key, "post /payments", new);
    let (id, link) = (text(&payment["payment_id"]), text(&payment["payment_link"]["payment_link_id"]));
    call!(&key, "get /payments/{id}");
    call!(&key, "post /payments/{id}/confirm", body("confirm_payment").unwrap());
    call!(&key, "get /payments/{id}");
    call!(&key, "post /payment_link/list?limit=2");
    call!(&key, "get /payment_link/{link}");
    // One that is screened out, and another one whose attempt is recorded nowhere.
    call!(&key, "post /blocklist", json!({ "type": "card_bin", "data": "424242" }));
    let blocked = text(&call!(&key, "post /payments", new)["payment_id"]);
    let answer = call!(&key, "post /payments/{blocked}/confirm", body("confirm_payment").unwrap());
    assert_eq!(answer["error"]["type"], "blocked");
    call!(&key, "get /payments/{blocked}");

    let choice = json!({ "connector": "stripe", "merchant_connector_id": "mca_abc123" });
    let rule = json!({
        "name": "dear", "connectorSelection": { "type": "volume_split", "data": [{ "connector": choice, "split": 100 }] },
        "statements": [{ "condition": [{
            "lhs": "amount", "comparison": "greater_than", "value": { "type": "number", "value": 5000 }, "metadata": {},
        }] }],
    });
    let program = json!({ "type": "advanced", "data": {
        "defaultSelection": { "type": "priority", "data": [choice] }, "rules": [rule], "metadata": {},
    } });
    let mut routing = Vec::new();
    for algorithm in [json!({ "type": "single", "data": choice }), program] {
        let new = json!({ "name": "n", "description": "d", "profile_id": PROFILE, "algorithm": algorithm });
        routing.push(text(&call!(&key, "post /routing", new)["id"]));
    }
    call!(&key, "get /routing");
    call!(&key, "get /routing/active?profile_id={PROFILE}");
    for id in &routing {
        call!(&key, "get /routing/{id}");
        call!(&key, "post /routing/{id}/activate", json!({}));
    }
    call!(&key, "get /routing/active?profile_id={PROFILE}");
    call!(&key, "post /routing/deactivate", json!({ "profile_id": PROFILE }));
    let order = call!(&key, "get /routing/default");
    call!(&key, "post /routing/default", order);
    call!(&key, "get /routing/default/profile");
    call!(&key, "post /routing/default/profile/{PROFILE}", json!([choice]));

    // What is refused, in every form that an error has.
    let profiles = format!("/account/{ACCOUNT}/business_profile");
    call!(&key, "post {profiles}", json!({ "unknown": 1 }));
    call!(&key, "post {profiles}", json!({ "session_expiry": 1 }));
    call!(&key, "get {profiles}/pro_none");
    call!("wrong", "get {profiles}");
    call!(&key, "post /payments", json!({ "currency": "USD" }));
    call!(&key, "post /payments/{id}/confirm", body("confirm_payment").unwrap());
    call!(&key, "get /blocklist?limit=many");

    call!(&key, "delete {connectors}/mca_abc123");
    call!(&admin, "delete /accounts/acme_us");

    // Every path that answers JSON answered well at least once.
    let pages = ["show_payment_page", "show_framed_payment_page", "show_payment_status"];
    let paths = &checked.document["paths"];
    let all =
        ROUTES.iter().filter(|route| !pages.iter().any(|page| paths[route.path][route.method]["operationId"] == *page));
    let all: BTreeSet<_> = all.map(|route| (route.path, route.method)).collect();
    assert_eq!(checked.seen, all);
}
