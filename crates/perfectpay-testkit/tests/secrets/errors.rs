//! No error repeats what was sent.

use futures_lite::future::block_on;
use perfectpay::{
    CardNumber, Error, MasterKey, NewConnector, NewMerchant, NewPayment, PerfectPay, ProfileUpdate, json,
};
use perfectpay_testkit::host;
use perfectpay_testkit::watch::{Watch, canary};
use serde_json::{Value, json};

use super::planted::CARD;
use super::support::{World, backends, read};

/// Bodies that are wrong just where the secret stands, or just beside it.
fn wrong_bodies(secret: &str) -> Vec<(&'static str, Value)> {
    let connector = |details: Value| json!({ "connector_type": "payment_processor", "connector_name": "stripe", "connector_account_details": details });
    let key = |value: Value| connector(json!({ "auth_type": "HeaderKey", "api_key": value }));
    let beside = |field: &str, value: Value| {
        let mut body = key(json!(secret));
        body[field] = value;
        body
    };
    let mut masked: Vec<char> = secret.chars().collect();
    masked[2..30].fill('*');
    let masked: String = masked.into_iter().collect();
    let profile = |field: &str, value: Value| {
        let mut body = json!({});
        body[field] = value;
        body
    };
    let card = |number: Value, month: &str| {
        json!({ "payment_method": "card", "payment_method_data": { "card": {
        "card_number": number, "card_exp_month": month, "card_exp_year": "30", "card_holder_name": secret,
    } } })
    };
    vec![
        ("connector", key(json!([secret]))),
        ("connector", key(json!({ "value": secret }))),
        ("connector", key(json!(masked))),
        ("connector", connector(json!(secret))),
        ("connector", connector(json!([secret]))),
        ("connector", connector(json!({ "auth_type": secret, "api_key": "k12345" }))),
        ("connector", connector(json!({ "auth_type": "BodyKey", "api_key": secret }))),
        ("connector", connector(json!({ "auth_type": "BodyKey", "api_key": secret, "key1": " " }))),
        ("connector", connector(json!({ "auth_type": "BodyKey", "api_key": secret, "key1": secret }))),
        ("connector", connector(json!({ "auth_type": "HeaderKey", "api_key": secret, "key1": secret }))),
        ("connector", connector(json!({ "auth_type": "HeaderKey", "api_key": secret, "nope": secret }))),
        ("connector", connector(json!({ "auth_type": "CurrencyAuthKey", "auth_key_map": secret }))),
        ("connector", connector(json!({ "auth_type": "CurrencyAuthKey", "auth_key_map": { "EUR": secret } }))),
        ("connector", connector(json!({ "auth_type": "CurrencyAuthKey", "auth_key_map": { "EUR": { "a": secret } } }))),
        ("connector", beside("connector_type", json!(secret))),
        ("connector", beside("connector_name", json!(secret))),
        ("connector", beside("connector_name", json!(secret.to_lowercase()))),
        ("connector", beside("status", json!(secret))),
        ("connector", beside("disabled", json!(secret))),
        ("connector", beside("connector_webhook_details", json!({ "merchant_secret": [secret] }))),
        ("connector", beside("connector_webhook_details", json!({ "merchant_secret": format!("{secret}\n") }))),
        ("connector", beside("connector_wallets_details", json!({ "apple_pay": secret }))),
        ("connector", beside("additional_merchant_data", json!([secret]))),
        ("connector", beside("payment_methods_enabled", json!([{ "payment_method": secret }]))),
        (
            "connector",
            beside("payment_methods_enabled", json!([{ "payment_method": "card", "payment_method_types": [secret] }])),
        ),
        ("connector", beside("profile_id", json!(secret))),
        ("profile", profile("payment_response_hash_key", json!([secret]))),
        ("profile", profile("payment_response_hash_key", json!(format!("{secret}\u{0}")))),
        ("profile", profile("payment_response_hash_key", json!(secret.repeat(9)))),
        ("profile", profile("webhook_details", json!(secret))),
        ("profile", profile("webhook_details", json!({ "webhook_password": { "a": secret } }))),
        ("profile", profile("webhook_details", json!({ "webhook_password": secret, "webhook_url": secret }))),
        ("profile", profile("webhook_details", json!({ "webhook_url": format!("https://u:{secret}@a.example") }))),
        ("profile", profile("webhook_details", json!({ "payment_statuses_enabled": [secret] }))),
        ("profile", profile("outgoing_webhook_custom_http_headers", json!({ "A": format!("{secret}\n") }))),
        ("profile", profile("outgoing_webhook_custom_http_headers", json!({ "A": [secret] }))),
        ("profile", profile("outgoing_webhook_custom_http_headers", json!({ "Host": secret }))),
        ("profile", profile("outgoing_webhook_custom_http_headers", json!({ "A": secret, "a": secret }))),
        ("profile", profile("session_expiry", json!(secret))),
        ("profile", profile("merchant_category_code", json!(secret))),
        ("profile", profile("merchant_business_country", json!(secret))),
        ("profile", profile("profile_name", json!(secret.repeat(3)))),
        ("profile", profile("payment_link_config", json!({ "theme": secret }))),
        ("profile", profile("payment_link_config", json!({ "domain_name": format!("{secret} ") }))),
        ("merchant", json!({ "merchant_id": "m", "payment_response_hash_key": 7, "merchant_name": secret })),
        ("merchant", json!({ "merchant_id": "m", "webhook_details": { "webhook_password": [secret] } })),
        ("merchant", json!({ "merchant_id": format!("{secret} {secret}") })),
        ("merchant", json!({ "merchant_id": "m", "organization_id": secret })),
        ("confirm", json!({ "payment_method": CARD })),
        ("confirm", json!({ "payment_method_data": CARD })),
        ("confirm", json!({ "payment_method_data": { "card": CARD } })),
        ("confirm", card(json!([CARD]), "10")),
        ("confirm", card(json!(4_242_424_242_424_242_i64), "10")),
        ("confirm", card(json!(format!("{CARD}1")), "10")),
        ("confirm", card(json!(format!("{CARD}x")), "10")),
        ("confirm", card(json!(CARD), "13")),
        ("confirm", card(json!(CARD), CARD)),
        ("confirm", card(json!(CARD), "10")),
        ("payment", json!({ "amount": secret, "currency": "EUR" })),
        ("payment", json!({ "amount": 1, "currency": secret })),
        ("payment", json!({ "amount": 1, "currency": "EUR", "return_url": format!("https://{secret}@a.example") })),
        ("payment", json!({ "amount": 1, "currency": "EUR", "capture_method": secret })),
        ("payment", json!({ "amount": 1, "currency": "EUR", "payment_link": secret })),
        ("key", json!({ "name": "n", "expiration": secret })),
        ("key", json!({ "name": [secret], "expiration": "never" })),
        ("block", json!({ "type": "card_bin", "data": secret })),
        ("block", json!({ "type": secret, "data": "411111" })),
        ("block", json!({ "type": "card_bin", "data": [secret] })),
    ]
}

async fn attempt(pay: &PerfectPay, tenant: &host::Tenant, what: &str, body: &[u8]) -> Result<(), Error> {
    let scope = tenant.scope(pay);
    match what {
        "connector" => drop(scope.create_connector(json::from_slice(body)?).await?),
        "profile" => drop(tenant.profile_scope(pay).update(json::from_slice(body)?).await?),
        "merchant" => drop(tenant.organization_scope(pay).create_merchant(json::from_slice(body)?).await?),
        "payment" => drop(scope.create_payment(json::from_slice(body)?).await?),
        "confirm" => drop(scope.payment(&"pay_nobody".parse()?).confirm(json::from_slice(body)?).await?),
        "key" => drop(scope.create_api_key(json::from_slice(body)?).await?),
        "block" => drop(scope.blocklist().add(json::from_slice(body)?).await?),
        other => panic!("{other}"),
    }
    Ok(())
}

fn as_value(what: &str, body: Value) -> Result<(), Error> {
    match what {
        "connector" => json::from_value::<NewConnector>(body).map(drop),
        "profile" => json::from_value::<ProfileUpdate>(body).map(drop),
        "merchant" => json::from_value::<NewMerchant>(body).map(drop),
        "payment" => json::from_value::<NewPayment>(body).map(drop),
        "confirm" => json::from_value::<perfectpay::ConfirmPayment>(body).map(drop),
        "key" => json::from_value::<perfectpay::NewApiKey>(body).map(drop),
        "block" => json::from_value::<perfectpay::BlockRequest>(body).map(drop),
        other => panic!("{other}"),
    }
}

#[test]
fn no_error_repeats_a_secret() {
    for backend in backends() {
        let world = World::on(backend);
        let pay = &world.pay;
        block_on(async {
            let secret = canary("error");
            let mut watch = Watch::default();
            watch.add("secret", &secret);
            watch.add("secret in lower case", &secret.to_lowercase());
            watch.add_bytes("card number", CARD.as_bytes());
            let tenant = host::stand_up(pay, "acme").await.unwrap();
            watch.add("token", &tenant.token()[12..]);
            for (what, body) in wrong_bodies(&secret) {
                let text = body.to_string();
                let Err(error) = attempt(pay, &tenant, what, text.as_bytes()).await else { panic!("accepted: {text}") };
                watch.error(&text.replace(&secret, "SECRET"), &error);
                if let Err(error) = as_value(what, body) {
                    watch.error(&text.replace(&secret, "SECRET"), &error);
                }
                // Cut off anywhere, it is told where and not what.
                for end in (0..text.len()).step_by(7) {
                    let Err(error) = attempt(pay, &tenant, what, &text.as_bytes()[..end]).await else { continue };
                    watch.error("a body that is cut off", &error);
                }
                let Err(error) = attempt(pay, &tenant, what, format!("{text} {secret}").as_bytes()).await else {
                    panic!("accepted with more behind it")
                };
                watch.error("a body with more behind it", &error);
            }
            for text in [secret.as_str(), &format!("\"{secret}"), &format!("{{\"{secret}")] {
                watch.error("no JSON", &json::from_slice::<NewConnector>(text.as_bytes()).unwrap_err());
            }

            // What stands against a good body does not repeat it either.
            let good = host::connector_body("c", &secret);
            let connector: NewConnector = read(&good).unwrap();
            let scope = tenant.scope(pay);
            let key = || "k".parse().unwrap();
            let made = scope.create_connector(connector.clone()).idempotency_key(key()).await.unwrap();
            watch.error("a taken label", &scope.create_connector(connector.clone()).await.unwrap_err());
            let other: NewConnector = read(&host::connector_body("d", &secret)).unwrap();
            let error = scope.create_connector(other).idempotency_key(key()).await.unwrap_err();
            watch.error("a used idempotency key", &error);
            let nowhere = pay.merchant(&"nobody".parse().unwrap());
            watch.error("no account", &nowhere.create_connector(connector).await.unwrap_err());
            let update = json!({
                "connector_type": "payment_processor",
                "connector_account_details": { "auth_type": "HeaderKey", "api_key": secret },
            });
            let update: perfectpay::ConnectorUpdate = read(&update.to_string()).unwrap();
            let handle = scope.connector(&made.merchant_connector_id);
            watch.error("a stale version", &handle.update(update).expecting(9).await.unwrap_err());

            let token = tenant.token();
            for token in [&token[..60], &format!("{token}x"), &format!("x{token}"), &secret, CARD] {
                watch.error("a malformed key", &pay.authenticate(token).await.unwrap_err());
            }
            scope.api_key(&tenant.key.key_id).revoke().await.unwrap();
            watch.error("a revoked key", &pay.authenticate(token).await.unwrap_err());
            for card in ["4242424242424241", "42424242424242424242424242424242", "4242-4242-4242-4242x"] {
                let fault = card.parse::<CardNumber>().unwrap_err();
                assert!(!format!("{fault} {fault:?}").contains("4242"), "{card}");
            }
            for hex in
                [host::MASTER_KEY_HEX[1..].to_owned(), format!("{}zz", &host::MASTER_KEY_HEX[2..]), "0".repeat(64)]
            {
                let fault = MasterKey::from_hex("k", &hex).unwrap_err();
                assert!(!format!("{fault} {fault:?}").contains(&hex[10..20]), "{fault}");
            }
            assert!(watch.looks() > 1_000, "{} looks", watch.looks());
        });
    }
}
