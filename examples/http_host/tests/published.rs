//! The real program, started on an empty folder, called by the real curl: the published calls as they are printed, wrong
//! input, and a kill.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

mod support;

use serde_json::{Value, json};
use support::{Answer, Host, paste};

const PROFILE: &str = "/account/merchant_abc123/business_profile/pro_abcdefghijklmnop";
const CONNECTOR: &str = "/account/merchant_abc123/connectors/mca_abc123";

fn published() -> Value {
    serde_json::from_str(include_str!("../../published-requests.json")).unwrap()
}

/// The status and the published code of an error.
fn refused(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["error"]["code"].as_str().unwrap_or_default())
}

/// The body in a printed call.
fn body_of(call: &str) -> Option<Value> {
    let (_, body) = call.split_once("-d '")?;
    Some(serde_json::from_str(body.strip_suffix('\'').unwrap()).unwrap())
}

/// The method and the path of a printed call, without what differs between hosts.
fn line_of(call: &str, host: &Host) -> String {
    let method = call.strip_prefix("curl -X ").map_or("GET", |rest| rest.split(' ').next().unwrap());
    let path = call.split_once(&host.base).unwrap().1;
    format!("{method} {}", path.split('\'').next().unwrap())
}

#[test]
fn the_published_calls_work_as_they_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let mut answers = Vec::new();
    for call in host.printed_calls() {
        let answer = paste(&call);
        let line = line_of(&call, &host);
        assert_eq!(answer.status, 200, "{line}: {}", answer.body);
        answers.push((line, body_of(&call), answer.body));
    }

    // They are the published ones: none is missing, and each body is the published one.
    for (operation, request) in published().as_object().unwrap() {
        // The second form of one call, and one that needs an account in its profile: both are tested below.
        if ["create_connector_object_form", "confirm_payment"].contains(&operation.as_str()) {
            continue;
        }
        let method = request["method"].as_str().unwrap();
        let path = request["path"].as_str().unwrap();
        let pattern: Vec<&str> = path.split('/').collect();
        let is_it = |line: &str| {
            let (found, path) = line.split_once(' ').unwrap();
            let parts: Vec<&str> = path.split('/').collect();
            found == method
                && parts.len() == pattern.len()
                && parts
                    .iter()
                    .zip(&pattern)
                    .all(|(part, wanted)| part == wanted || (wanted.starts_with('{') && *part != "list"))
        };
        let (line, body, _) =
            answers.iter().find(|(line, ..)| is_it(line)).unwrap_or_else(|| panic!("{operation} was not printed"));
        if let Some(wanted) = request.get("body") {
            assert_eq!(body.as_ref(), Some(wanted), "{line}");
        }
    }

    // And they did what they say.
    let of = |line: &str| &answers.iter().find(|(found, ..)| found == line).unwrap().2;
    assert_eq!(of("GET /organization")["organization_name"], "Sandbox");
    assert_eq!(of(&format!("GET {PROFILE}"))["profile_id"], "pro_abcdefghijklmnop");
    let updated = host.call("GET", PROFILE, None).body;
    assert_eq!(updated["webhook_details"]["webhook_url"], "https://store.example.com/webhooks/v2");
    assert_eq!(updated["profile_name"], "Sandbox Store");
    assert_eq!(of(&format!("GET {CONNECTOR}"))["connector_account_details"]["api_key"], "sk***********ox");
    let gone = json!({ "merchant_id": "merchant_abc123", "merchant_connector_id": "mca_abc123", "deleted": true });
    assert_eq!(*of(&format!("DELETE {CONNECTOR}")), gone);
    assert_eq!(refused(&host.call("GET", CONNECTOR, None)), (404, "HE_02"));
    let created = of("POST /account/merchant_abc123/connectors")["merchant_connector_id"].as_str().unwrap();
    let found = host.call("GET", "/account/merchant_abc123/connectors", None).body;
    let ids: Vec<&Value> = found.as_array().unwrap().iter().map(|found| &found["merchant_connector_id"]).collect();
    assert_eq!(ids, [created]);
    let profiles = host.call("GET", "/account/merchant_abc123/business_profile", None).body;
    let names: Vec<&Value> = profiles.as_array().unwrap().iter().map(|profile| &profile["profile_name"]).collect();
    assert_eq!(names, ["default", "Sandbox Store", "US Online Store"]);
    let issued = of("POST /api_keys/merchant_abc123");
    assert_eq!(issued["expiration"], "2027-01-01T00:00:00.000Z");
    let by_new = host.call_by(issued["api_key"].as_str().unwrap(), "GET", "/organization", None);
    assert_eq!(by_new.status, 200);
    let listed = of("GET /blocklist");
    assert_eq!((&listed["count"], &listed["total_count"]), (&json!(1), &json!(1)));
    assert_eq!(listed["data"][0]["fingerprint_id"], "411111");
    assert_eq!(*of("POST /blocklist/toggle"), json!({ "blocklist_guard_status": "enabled" }));
    let payment = of("POST /payments");
    assert_eq!((&payment["amount"], &payment["status"]), (&json!(4999), &json!("requires_payment_method")));
    let link = payment["payment_link"]["link"].as_str().unwrap();
    let id = payment["payment_id"].as_str().unwrap();
    assert_eq!(link, format!("{}/payment_link/merchant_abc123/{id}?locale=en", host.base));
    let link = of("GET /payment_link/plink_abc123");
    assert_eq!((&link["payment_link_id"], &link["status"]), (&json!("plink_abc123"), &json!("active")));
    let links = host.call("POST", "/payment_link/list", None).body;
    assert_eq!(links[0]["payment_link_id"], payment["payment_link"]["payment_link_id"], "the newest comes first");
    assert_eq!(links[1]["payment_link_id"], "plink_abc123");
}

#[test]
fn the_other_form_of_a_published_body_works_too() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let body = &published()["create_connector_object_form"]["body"];
    let answer = host.call("POST", "/account/merchant_abc123/connectors", Some(body));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["payment_methods_enabled"][0]["payment_method_types"][1]["payment_method_type"], "debit");
    assert_eq!(answer.body["connector_type"], "fiz_operations");
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let payment = host.call("POST", "/payments", Some(&published()["create_payment_with_link"]["body"])).body;
    let entry = host.call("POST", "/blocklist", Some(&published()["add_to_blocklist"]["body"])).body;
    let update = &published()["update_profile"]["body"];
    let profile = host.call("PUT", PROFILE, Some(update)).body;
    let (key, admin) = (host.key.clone(), host.admin.clone());
    host.kill();

    let host = Host::start(folder.path());
    assert_eq!((&host.key, &host.admin), (&key, &admin), "a sandbox keeps its keys");
    let path = format!("/payments/{}", payment["payment_id"].as_str().unwrap());
    assert_eq!(host.call("GET", &path, None).body, payment);
    assert_eq!(host.call("GET", "/blocklist", None).body["data"], json!([entry]));
    assert_eq!(host.call("GET", PROFILE, None).body, profile);
    assert_eq!(host.call("GET", "/payment_link/plink_abc123", None).status, 200);

    assert!(host.terminate().success(), "asked to stop, it stops in order");
    let keys = std::fs::metadata(folder.path().join("sandbox-keys.json")).unwrap();
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&keys.permissions()) & 0o777, 0o600);
}

#[test]
fn the_platform_manages_accounts_by_its_own_key() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let by_admin = |method: &str, path: &str, body: Option<&Value>| host.call_by(&host.admin, method, path, body);

    let made = by_admin("POST", "/organization", Some(&json!({ "organization_name": "Acme Group" })));
    assert_eq!(made.status, 200);
    let id = made.body["organization_id"].as_str().unwrap();
    let path = format!("/organization/{id}");
    for (method, name) in [("PUT", "Acme"), ("POST", "Acme Group SE")] {
        let updated = by_admin(method, &path, Some(&json!({ "organization_name": name })));
        assert_eq!((updated.status, &updated.body["organization_name"]), (200, &json!(name)));
    }
    let account = json!({ "merchant_id": "acme_us", "organization_id": id });
    assert_eq!(by_admin("POST", "/accounts", Some(&account)).body["organization_id"], id);
    assert_eq!(refused(&by_admin("POST", "/accounts", Some(&account))), (400, "HE_01"));
    let alone = by_admin("POST", "/accounts", Some(&json!({ "merchant_id": "solo", "merchant_name": "Solo" })));
    let own = format!("/organization/{}", alone.body["organization_id"].as_str().unwrap());
    assert_eq!(by_admin("GET", &own, None).body["organization_name"], "Solo");
    let listed = by_admin("GET", &format!("/accounts/list?organization_id={id}"), None).body;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["merchant_id"], "acme_us");
    for method in ["PUT", "POST"] {
        let name = json!({ "merchant_id": "acme_us", "merchant_name": format!("Acme by {method}") });
        assert_eq!(by_admin(method, "/accounts/acme_us", Some(&name)).body["merchant_name"], name["merchant_name"]);
    }

    // A key of the account, made by the platform; the account with everything that is in it goes.
    let key = by_admin("POST", "/api_keys/acme_us", Some(&json!({ "name": "First", "expiration": "never" }))).body;
    let key = key["api_key"].as_str().unwrap();
    assert_eq!(host.call_by(key, "GET", "/accounts/acme_us", None).body["merchant_id"], "acme_us");
    assert_eq!(host.call_by(key, "GET", &path, None).body["organization_id"], id);
    assert_eq!(refused(&host.call_by(key, "GET", &own, None)), (404, "IR_37"));
    let removed = by_admin("DELETE", "/accounts/acme_us", None).body;
    assert_eq!(removed, json!({ "merchant_id": "acme_us", "deleted": true }));
    assert_eq!(refused(&host.call_by(key, "GET", "/accounts/acme_us", None)), (401, "IR_01"));
    assert_eq!(refused(&by_admin("GET", "/accounts/acme_us", None)), (404, "HE_02"));
}

#[test]
fn wrong_input_is_refused_in_the_published_envelope() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let other = json!({ "merchant_id": "other" });
    assert_eq!(host.call_by(&host.admin, "POST", "/accounts", Some(&other)).status, 200);
    let before = host.call("GET", "/account/merchant_abc123/business_profile", None).body;

    // Who calls.
    for key in ["", "snd_wrong", "pk_snd_0", &format!("{}x", host.key), &host.admin[1..]] {
        assert_eq!(refused(&host.call_by(key, "GET", PROFILE, None)), (401, "IR_01"), "{key:?}");
    }
    assert_eq!(refused(&host.curl(&[], PROFILE)), (401, "IR_01"), "no key at all");
    assert_eq!(refused(&host.call("GET", "/accounts/other", None)), (401, "IR_01"));
    assert_eq!(refused(&host.call("GET", "/account/other/business_profile", None)), (401, "IR_01"));
    assert_eq!(refused(&host.call("POST", "/accounts", Some(&json!({ "merchant_id": "mine" })))), (401, "IR_01"));
    assert_eq!(refused(&host.call_by(&host.admin, "GET", "/organization", None)), (401, "IR_01"));

    // What is asked for.
    let foreign = "/account/merchant_abc123/business_profile/pro_of_somebody_else";
    assert_eq!(refused(&host.call("GET", foreign, None)), (404, "HE_02"));
    assert_eq!(
        refused(&host.call("GET", "/account/merchant_abc123/business_profile/mca_no_profile", None)),
        (404, "IR_02")
    );
    assert_eq!(refused(&host.call("GET", "/nowhere", None)), (404, "IR_02"));
    assert_eq!(refused(&host.call("DELETE", "/payments", None)), (405, "IR_03"));
    assert_eq!(refused(&host.call("GET", "/api_keys/merchant_abc123/list?limit=many", None)), (400, "IR_06"));
    assert_eq!(refused(&host.call("GET", "/api_keys/merchant_abc123/list?page=1", None)), (400, "IR_06"));
    assert_eq!(refused(&host.call("GET", "/blocklist?data_kind=iban", None)), (400, "IR_06"));
    assert_eq!(refused(&host.call("POST", "/blocklist/toggle?status=maybe", None)), (400, "IR_06"));

    // What is sent.
    let profiles = "/account/merchant_abc123/business_profile";
    let unknown = host.call("POST", profiles, Some(&json!({ "profile_name": "x", "webhook_details": { "url": "x" } })));
    let expected = json!({ "error": {
        "type": "invalid_request",
        "error_type": "invalid_request",
        "message": "`webhook_details.url`: is not a known field",
        "code": "IR_06",
        "data": { "code": "json.unknown_field", "path": "webhook_details.url" },
    }});
    assert_eq!(unknown, Answer { status: 400, body: expected });
    let key = format!("api-key: {}", host.key);
    let json_type = "Content-Type: application/json";
    let bad = host.curl(&["-H", &key, "-H", json_type, "-d", "{\"profile_name\": "], profiles);
    assert_eq!((refused(&bad), &bad.body["error"]["data"]["code"]), ((400, "IR_06"), &json!("json.malformed")));
    let form = host.curl(&["-H", &key, "-d", "{\"profile_name\": \"x\"}"], profiles);
    assert_eq!((refused(&form), &form.body["error"]["data"]["code"]), ((400, "IR_06"), &json!("json.content_type")));
    let large = folder.path().join("large.json");
    let text = |length: usize| json!({ "metadata": { "x": "y".repeat(length) } }).to_string();
    for length in [33 * 1024, 3 * 1024 * 1024] {
        std::fs::write(&large, text(length)).unwrap();
        let body = format!("@{}", large.display());
        let answer = host.curl(&["-H", &key, "-H", json_type, "--data-binary", &body], profiles);
        let told = (refused(&answer), &answer.body["error"]["data"]["code"]);
        assert_eq!(told, ((400, "IR_06"), &json!("json.too_large")), "{length}");
    }
    let body = published()["create_payment_with_link"]["body"].clone();
    let with = |field: &str, value: Value| {
        let mut body = body.clone();
        body[field] = value;
        host.call("POST", "/payments", Some(&body))
    };
    assert_eq!(refused(&with("amount", json!(1_000_000_000))), (400, "IR_16"));
    assert_eq!(refused(&with("currency", json!("XXQ"))), (400, "IR_06"));
    assert_eq!(refused(&with("session_expiry", json!(1))), (422, "IR_06"));
    assert_eq!(refused(&host.call("POST", "/payments", Some(&json!({ "currency": "USD" })))), (400, "IR_04"));
    assert_eq!(
        refused(&host.call("POST", "/blocklist", Some(&json!({ "type": "card_bin", "data": "4111" })))),
        (422, "IR_05")
    );
    assert_eq!(
        refused(&host.call("POST", "/blocklist", Some(&json!({ "type": "iban", "data": "4111" })))),
        (400, "IR_06")
    );
    let entry = json!({ "type": "card_bin", "data": "411111" });
    assert_eq!(host.call("POST", "/blocklist", Some(&entry)).status, 200);
    assert_eq!(refused(&host.call("POST", "/blocklist", Some(&entry))), (400, "IR_16"));
    assert_eq!(host.call("DELETE", "/blocklist", Some(&entry)).body["fingerprint_id"], "411111");
    assert_eq!(refused(&host.call("DELETE", "/blocklist", Some(&entry))), (404, "IR_37"));
    let connector = json!({
        "connector_type": "payment_processor", "connector_name": "stripe",
        "connector_account_details": { "auth_type": "HeaderKey", "api_key": " " },
    });
    let path = "/account/merchant_abc123/connectors";
    assert_eq!(refused(&host.call("POST", path, Some(&connector))), (422, "IR_05"));
    assert_eq!(refused(&host.call("PUT", CONNECTOR, None)), (400, "IR_06"), "`connector_type` is required");

    // Nothing of it left anything behind.
    assert_eq!(host.call("GET", "/account/merchant_abc123/business_profile", None).body, before);
    assert_eq!(host.call("GET", "/health", None), Answer { status: 200, body: json!({ "status": "ok" }) });
}

#[test]
fn a_call_that_is_repeated_with_its_key_happens_once() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let key = format!("api-key: {}", host.key);
    let body = published()["create_payment_with_link"]["body"].to_string();
    let arguments = |body: &str| -> Vec<String> {
        let headers = [&key, "idempotency-key: order-1001", "Content-Type: application/json"];
        headers
            .iter()
            .flat_map(|header| ["-H".to_owned(), (*header).to_owned()])
            .chain(["-d".to_owned(), body.to_owned()])
            .collect()
    };
    let pay = |body: &str| {
        let arguments = arguments(body);
        host.curl(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), "/payments")
    };
    let first = pay(&body);
    assert_eq!(first.status, 200);
    assert_eq!(pay(&body), first);
    let answer = pay(&body.replace("4999", "5000"));
    assert_eq!(refused(&answer), (400, "IR_16"));
    let links = host.call("POST", "/payment_link/list", None).body;
    assert_eq!(links.as_array().unwrap().len(), 2, "the sandbox's own, and one more");
}

#[test]
fn lists_are_windows_by_limit_and_offset_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    for bin in 0..12 {
        let entry = json!({ "type": "card_bin", "data": format!("4000{bin:02}") });
        assert_eq!(host.call("POST", "/blocklist", Some(&entry)).status, 200);
    }
    let bins = |query: &str| -> (Value, Vec<String>) {
        let body = host.call("GET", &format!("/blocklist{query}"), None).body;
        let entries = body["data"].as_array().unwrap();
        assert_eq!(body["count"], entries.len());
        let bins = entries.iter().map(|entry| entry["fingerprint_id"].as_str().unwrap().to_owned()).collect();
        (body["total_count"].clone(), bins)
    };
    assert_eq!((bins("").0, bins("").1.len()), (json!(12), 10), "ten unless said otherwise");
    assert_eq!(bins("?limit=2"), (json!(12), vec!["400011".to_owned(), "400010".to_owned()]));
    assert_eq!(bins("?limit=2&offset=11").1, ["400000"]);
    assert_eq!(bins("?data_kind=payment_method"), (json!(0), Vec::new()));
    assert_eq!(bins("?data_kind=card_bin&limit=100").1.len(), 12);

    let keys = |query: &str| {
        let body = host.call("GET", &format!("/api_keys/merchant_abc123/list{query}"), None).body;
        body.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys(""), ["Sandbox Key", "Spare Key"]);
    assert_eq!(keys("?limit=1"), ["Sandbox Key"]);
    assert_eq!(keys("?limit=1&skip=1"), ["Spare Key"]);
    assert_eq!(keys("?limit=0"), Vec::<String>::new());

    for _ in 0..3 {
        let body = published()["create_payment_with_link"]["body"].clone();
        assert_eq!(host.call("POST", "/payments", Some(&body)).status, 200);
    }
    let links = |query: &str| -> Vec<(String, String)> {
        let body = host.call("POST", &format!("/payment_link/list{query}"), None).body;
        let text = |link: &Value, field: &str| link[field].as_str().unwrap().to_owned();
        body.as_array().unwrap().iter().map(|l| (text(l, "payment_link_id"), text(l, "created_at"))).collect()
    };
    let all = links("");
    assert_eq!(all.len(), 4);
    for (at, (_, created)) in all.iter().enumerate() {
        let among = |keep: &dyn Fn(&str) -> bool| -> Vec<(String, String)> {
            all.iter().filter(|(_, time)| keep(time)).cloned().collect()
        };
        assert_eq!(links(&format!("?created.lt={created}")), among(&|time| time < created.as_str()), "{at}");
        assert_eq!(links(&format!("?created.lte={created}")), among(&|time| time <= created.as_str()), "{at}");
        assert_eq!(links(&format!("?created.gt={created}")), among(&|time| time > created.as_str()), "{at}");
        assert_eq!(links(&format!("?created.gte={created}")), among(&|time| time >= created.as_str()), "{at}");
        assert_eq!(links(&format!("?created={created}")), among(&|time| time == created), "{at}");
    }
    assert_eq!(links("?limit=1"), all[..1]);
}

#[test]
fn the_page_of_a_link_opens_for_everybody_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let payment = host.call("POST", "/payments", Some(&published()["create_payment_with_link"]["body"])).body;
    let id = payment["payment_id"].as_str().unwrap();
    let link = payment["payment_link"]["link"].as_str().unwrap();
    let (headers, html) = host.page(link, &[]);
    assert!(headers.starts_with("HTTP/1.1 200"), "{headers}");
    for header in
        ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "cache-control: no-store"]
    {
        assert!(headers.to_lowercase().contains(header), "{header} is not in {headers}");
    }
    assert!(html.contains("49.99") && html.contains("Order 1001"), "{html}");
    assert!(html.contains(id) && html.contains(&format!("{}/element.js", host.base)));
    let (_, spanish) = host.page(&link.replace("locale=en", "locale=es"), &[]);
    assert!(spanish.contains("lang=\"es\""), "{spanish}");
    let (headers, script) = host.page(&format!("{}/element.js", host.base), &[]);
    assert!(headers.to_lowercase().contains("content-type: text/javascript") && script.contains("payment-element"));

    // A link that may be framed has a second URL, which opens in a frame alone.
    let profile = json!({ "payment_link_config": { "allowed_domains": ["shop.example.com"] } });
    assert_eq!(host.call("PUT", PROFILE, Some(&profile)).status, 200);
    let mut body = published()["create_payment_with_link"]["body"].clone();
    body["profile_id"] = "pro_abcdefghijklmnop".into();
    let payment = host.call("POST", "/payments", Some(&body)).body;
    let secure = payment["payment_link"]["secure_link"].as_str().unwrap();
    let framed = ["sec-fetch-dest: iframe", "referer: https://shop.example.com/cart"];
    let (headers, _) = host.page(secure, &framed);
    assert!(headers.starts_with("HTTP/1.1 200"), "{headers}");
    assert!(headers.contains("frame-ancestors https://shop.example.com"), "{headers}");
    assert!(host.page(secure, &[]).0.starts_with("HTTP/1.1 403"));
    assert!(host.page(&link.replace("/payment_link/", "/payment_link/s/"), &framed).0.starts_with("HTTP/1.1 404"));
    assert!(host.page(&link.replace(id, "pay_none"), &[]).0.starts_with("HTTP/1.1 404"));
}

#[test]
fn a_customers_browser_reads_the_one_payment_that_its_secret_opens() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let payment = host.call("POST", "/payments", Some(&published()["create_payment_with_link"]["body"])).body;
    let other = host.call("POST", "/payments", Some(&published()["create_payment_with_link"]["body"])).body;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let account = host.call("GET", "/accounts/merchant_abc123", None).body;
    let publishable = text(&account["publishable_key"]);
    let secret = text(&payment["client_secret"]);
    let read = |key: &str, path: &str| host.call_by(key, "GET", path, None);

    let own = format!("/payments/{}", text(&payment["payment_id"]));
    let link = format!("/payment_link/{}", text(&payment["payment_link"]["payment_link_id"]));
    assert_eq!(read(&publishable, &format!("{own}?client_secret={secret}")).body, payment);
    assert_eq!(read(&publishable, &format!("{link}?client_secret={secret}")).body["amount"], 4999);

    assert_eq!(refused(&read(&publishable, &own)), (400, "IR_04"));
    assert_eq!(refused(&read(&host.key, &format!("{own}?client_secret={secret}"))), (422, "IR_06"));
    let foreign = format!("/payments/{}?client_secret={secret}", text(&other["payment_id"]));
    assert_eq!(refused(&read(&publishable, &foreign)), (400, "IR_09"));
    assert_eq!(
        refused(&read(&publishable, &format!("/payment_link/plink_abc123?client_secret={secret}"))),
        (400, "IR_09")
    );
    let last = if secret.ends_with('x') { 'y' } else { 'x' };
    let wrong = format!("{own}?client_secret={}{last}", &secret[..secret.len() - 1]);
    assert_eq!(refused(&read(&publishable, &wrong)), (401, "IR_01"));
    assert_eq!(refused(&read(&publishable, "/blocklist")), (401, "IR_01"));
    assert_eq!(refused(&read(&publishable, "/account/merchant_abc123/connectors")), (401, "IR_01"));
}

#[test]
fn routing_is_configured_and_activated_by_the_published_paths() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let profile = "pro_abcdefghijklmnop";
    let choice = json!({ "connector": "stripe", "merchant_connector_id": "mca_abc123" });
    let body = json!({
        "name": "Stripe first", "description": "one processor", "profile_id": profile,
        "algorithm": { "type": "priority", "data": [choice] },
    });
    let made = host.call("POST", "/routing", Some(&body));
    assert_eq!((made.status, &made.body["kind"], &made.body["profile_id"]), (200, &json!("priority"), &json!(profile)));
    let id = made.body["id"].as_str().unwrap();
    let listed = host.call("GET", "/routing", None).body;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &made.body["id"]));
    assert_eq!(host.call("GET", "/routing?limit=0", None).body, json!([]));
    assert_eq!(host.call("GET", &format!("/routing/{id}"), None).body["algorithm"], body["algorithm"]);
    let active = format!("/routing/active?profile_id={profile}");
    assert_eq!(host.call("GET", &active, None).body, json!([]), "nothing decides before it is activated");

    let activate = format!("/routing/{id}/activate");
    let activated = host.call("POST", &activate, Some(&json!({ "transaction_type": "payment" })));
    assert_eq!((activated.status, &activated.body["id"]), (200, &made.body["id"]), "{}", activated.body);
    assert_eq!(refused(&host.call("POST", &activate, Some(&json!({})))), (400, "IR_16"), "it is active already");
    assert_eq!(host.call("GET", &active, None).body["id"], made.body["id"]);
    let deactivate = json!({ "profile_id": profile });
    assert_eq!(host.call("POST", "/routing/deactivate", Some(&deactivate)).body["id"], made.body["id"]);
    assert_eq!(refused(&host.call("POST", "/routing/deactivate", Some(&deactivate))), (400, "IR_16"));

    let path = format!("/routing/default/profile/{profile}");
    let order = host.call("POST", &path, Some(&json!([choice])));
    assert_eq!(order.body, json!({ "profile_id": profile, "connectors": [choice] }));
    let orders = host.call("GET", "/routing/default/profile", None).body;
    assert_eq!(orders.as_array().unwrap().len(), 2);
    assert_eq!(orders[1], order.body);
    assert_eq!(host.call("GET", "/routing/default", None).body, json!([]), "the default profile has no account");

    let mut wrong = body.clone();
    wrong["algorithm"]["data"][0]["merchant_connector_id"] = "mca_none".into();
    assert_eq!(refused(&host.call("POST", "/routing", Some(&wrong))), (422, "IR_06"));
    wrong["algorithm"]["data"] = json!([]);
    assert_eq!(refused(&host.call("POST", "/routing", Some(&wrong))).0, 400);
    assert_eq!(refused(&host.call("GET", "/routing/routing_none", None)), (404, "HE_02"));
    assert_eq!(
        refused(&host.call("POST", "/routing/deactivate", Some(&json!({ "profile_id": "pro_none" })))),
        (404, "HE_02")
    );
}

#[test]
fn a_confirmed_payment_is_decided_and_a_blocked_card_is_answered_as_blocked() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let mut body = published()["create_payment_with_link"]["body"].clone();
    body["profile_id"] = "pro_abcdefghijklmnop".into();
    let card = &published()["confirm_payment"]["body"];
    let path = || {
        let payment = host.call("POST", "/payments", Some(&body)).body;
        format!("/payments/{}", payment["payment_id"].as_str().unwrap())
    };
    let first = path();
    let confirmed = host.call("POST", &format!("{first}/confirm"), Some(card));
    assert_eq!(confirmed.status, 200, "{}", confirmed.body);
    assert_eq!((&confirmed.body["status"], &confirmed.body["connector"]), (&json!("processing"), &json!("stripe")));
    assert_eq!(confirmed.body["merchant_connector_id"], "mca_abc123");
    assert!(!confirmed.body.to_string().contains("4242424242424242"), "no card number comes back");
    assert_eq!(refused(&host.call("POST", &format!("{first}/confirm"), Some(card))), (400, "IR_14"));

    assert_eq!(host.call("POST", "/blocklist", Some(&json!({ "type": "card_bin", "data": "424242" }))).status, 200);
    assert_eq!(host.call("POST", "/blocklist/toggle?status=true", None).status, 200);
    let second = path();
    let blocked = host.call("POST", &format!("{second}/confirm"), Some(card));
    let error = &blocked.body["error"];
    assert_eq!(
        (blocked.status, &error["type"], &error["code"]),
        (200, &json!("blocked"), &json!("HE_03")),
        "{}",
        blocked.body
    );
    assert_eq!(error["reason"], "Blocked");
    let failed = host.call("GET", &second, None).body;
    assert_eq!((&failed["status"], &failed["error_code"]), (&json!("failed"), &json!("HE-03")));
}
