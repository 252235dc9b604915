//! The real program with secrets planted in its environment and in what is sent to it: they are in no byte of its files
//! and in nothing that it prints or logs, at the finest level; an answer shows what it is for, and no more.

#![allow(clippy::format_collect, clippy::assigning_clones, reason = "a test is short-lived")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use perfectpay_testkit::watch::{Watch, canary, files};
use serde_json::{Value, json};
use support::{Answer, Host, run};

const CARD: &str = "4242424242424242";
/// What is kept in clear on purpose: that it is found shows that the search finds.
const CONTROL: &str = "plainControlValue0123456789abcdef";

/// A host that serves, with keys of ours.
struct Served {
    process: std::process::Child,
    base: String,
    admin: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

impl Served {
    fn start(folder: &Path, log: &Path, master: &str, admin: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_http_host"));
        command.args(["--listen", "127.0.0.1:0", "--folder"]).arg(folder);
        command.env("RUST_LOG", "trace").env("NO_COLOR", "1");
        command.env("PERFECTPAY_MASTER_KEY", master).env("PERFECTPAY_ADMIN_KEY", admin);
        let said = File::create(log).unwrap();
        command.stdout(said.try_clone().unwrap()).stderr(said).stdin(Stdio::null());
        let process = command.spawn().unwrap();
        let mut host = Self { process, base: String::new(), admin: admin.to_owned() };
        // As long as a machine with much to do needs.
        for _ in 0..2_000 {
            let said = fs::read_to_string(log).unwrap();
            if let Some((_, reached)) = said.split_once("reached=") {
                host.base = reached.split_whitespace().next().unwrap().to_owned();
                return host;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not listen: {}", fs::read_to_string(log).unwrap());
    }

    fn call(&self, key: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", "\n%{http_code}", "-X", method, "-H", &format!("api-key: {key}")]);
        if let Some(body) = body {
            curl.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
        }
        curl.arg(format!("{}{path}", self.base));
        run(curl)
    }

    /// Asks it to end, and waits until it has.
    fn terminate(mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
    }
}

fn secret(watch: &mut Watch, name: &str) -> String {
    let value = canary(name);
    watch.add(name, &value);
    value
}

#[test]
fn what_a_host_is_given_is_in_no_file_and_in_no_line_of_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut watch = Watch::default();
    watch.add_forms();
    watch.add_bytes("card number", CARD.as_bytes());
    let master: String = canary("master").bytes().map(|byte| format!("{byte:02x}")).collect();
    watch.add("master key", &master);
    watch.add("master key's bytes", &canary("master"));
    let admin = secret(&mut watch, "admin key");
    let host = Served::start(folder.path(), log.path(), &master, &admin);
    let asked = |key: &str, method: &str, path: &str, body: Value| {
        let answer = host.call(key, method, path, Some(&body).filter(|body| !body.is_null()));
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.body
    };

    let password = secret(&mut watch, "merchant password");
    let body = json!({
        "merchant_id": "acme", "metadata": { "control": CONTROL }, "return_url": "https://shop.example/",
        "payment_response_hash_key": secret(&mut watch, "merchant hash key"),
        "webhook_details": { "webhook_password": password },
    });
    let merchant = asked(&host.admin, "POST", "/accounts", body);
    watch.look("a merchant account", merchant.to_string());
    let issued = asked(&host.admin, "POST", "/api_keys/acme", json!({ "name": "k", "expiration": "never" }));
    // The one answer that shows it.
    let token = issued["api_key"].as_str().unwrap().to_owned();
    watch.add("token", &token[12..]);
    let profile = merchant["default_profile"].as_str().unwrap();
    let body = json!({ "outgoing_webhook_custom_http_headers": { "X-Secret": secret(&mut watch, "header") } });
    let path = format!("/account/acme/business_profile/{profile}");
    watch.look("a profile", asked(&token, "PUT", &path, body).to_string());
    let body = json!({
        "connector_type": "payment_processor", "connector_name": "stripe",
        "connector_account_details": { "auth_type": "HeaderKey", "api_key": secret(&mut watch, "processor's key") },
        "connector_webhook_details": { "merchant_secret": secret(&mut watch, "processor's webhook secret") },
        "payment_methods_enabled": [{ "payment_method": "card", "payment_method_types": ["credit", "debit"] }],
    });
    let connector = asked(&token, "POST", "/account/acme/connectors", body);
    watch.look("a connector", connector.to_string());
    watch.look("connectors", asked(&token, "GET", "/account/acme/connectors", Value::Null).to_string());
    watch.look("keys", asked(&token, "GET", "/api_keys/acme/list", Value::Null).to_string());
    let body = json!({
        "amount": 100, "currency": "EUR", "confirm": true, "payment_method": "card", "payment_method_type": "credit",
        "payment_method_data": { "card": {
            "card_number": CARD, "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "737",
            "card_holder_name": secret(&mut watch, "holder"),
        } },
    });
    let mut payment = asked(&token, "POST", "/payments", body);
    // For the customer's browser, which confirms with it.
    let client = payment.as_object_mut().unwrap().remove("client_secret").unwrap();
    watch.add("client secret", client.as_str().unwrap().rsplit_once("_secret_").unwrap().1);
    watch.look("a payment", payment.to_string());

    // Refused, and what was sent is not repeated.
    let wrong = canary("wrong");
    watch.add("what is refused", &wrong);
    for (key, body) in [
        (token.as_str(), json!({ "connector_type": "payment_processor", "connector_name": wrong })),
        (token.as_str(), json!({ "connector_account_details": { "auth_type": "HeaderKey", "api_key": [wrong] } })),
        (wrong.as_str(), json!({})),
        (&format!("{token}x"), json!({ "a": wrong })),
    ] {
        let answer = host.call(key, "POST", "/account/acme/connectors", Some(&body));
        assert!(answer.status >= 400, "{}", answer.body);
        watch.look("a refusal", answer.body.to_string());
    }
    let while_it_runs = watch.folder(folder.path());
    assert!(while_it_runs >= 2, "a database and its log: {while_it_runs}");
    host.terminate();
    watch.folder(folder.path());
    let said = fs::read_to_string(log.path()).unwrap();
    assert!(said.contains("TRACE") && said.contains("create_connector"), "the finest level is on: {said}");
    watch.look("what it printed and logged", &said);
    let holds = |bytes: &[u8]| bytes.windows(CONTROL.len()).any(|window| window == CONTROL.as_bytes());
    assert!(files(folder.path()).iter().any(|(_, bytes)| holds(bytes)), "the search finds what is there");
}

#[test]
fn a_sandbox_prints_its_keys_once_and_keeps_them_beside_the_database_and_not_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path());
    let mut watch = Watch::default();
    watch.add("token", &host.key[12..]);
    watch.add("admin key", &host.admin);
    watch.add_bytes("sandbox credential", b"sk_test_sandbox");
    let kept: Value = serde_json::from_slice(&fs::read(folder.path().join("sandbox-keys.json")).unwrap()).unwrap();
    watch.add("master key", kept["master_key"].as_str().unwrap());
    host.kill();
    let mut looked = 0;
    for (path, bytes) in files(folder.path()) {
        if path.ends_with("sandbox-keys.json") {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "for its owner alone");
        } else {
            watch.look(&path, bytes);
            looked += 1;
        }
    }
    assert!(looked >= 2, "a database and its log");
}
