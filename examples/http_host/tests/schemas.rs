//! The document is OpenAPI 3.1, and its schemas are the library's own reading: what one takes the other takes, and what one
//! refuses the other refuses, as far as JSON Schema can say it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

#[path = "../../openapi/document.rs"]
mod document;

use std::collections::BTreeSet;
use std::fmt::Debug;

use document::{ROUTES, document};
use perfectpay::{
    AllowedDomain, ApiKeyId, ApiKeyUpdate, BlockRequest, CardNumber, Colour, ConfirmPayment, ConnectorAuth,
    ConnectorChoice, ConnectorName, ConnectorUpdate, Country, Currency, Domain, EnabledMethods, Expiration, LinkAmount,
    LinkKind, MerchantCategoryCode, MerchantUpdate, MinorUnits, Name, NewApiKey, NewConnector, NewMerchant,
    NewOrganization, NewPayment, NewPaymentLink, NewProfile, NewRoutingProgram, NumericCountryCode, Object,
    OrganizationUpdate, PaymentId, PaymentLinkConfig, PaymentLinkConfigRequest, PaymentMethodBlocking, ProfileId,
    ProfileUpdate, PublishableKey, RetryPolicy, SessionExpiry, Timestamp, WebUrl, WebhookDetails, json as body,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn resolve<'a>(document: &'a Value, reference: &str) -> &'a Value {
    document.pointer(reference.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_openapi_3_1_and_whole() {
    let document = document();
    let text = document.to_string();
    let parsed = oas3::from_json(&text).unwrap();
    assert_eq!(parsed.openapi, "3.1.0");
    assert_eq!(parsed.operations().count(), ROUTES.len());

    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 50, "{}", found.len());
    for reference in &found {
        assert!(resolve(&document, reference).is_object(), "{reference}");
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(found.contains(format!("#/components/schemas/{name}").as_str()), "{name} is used nowhere");
        jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    let mut names = BTreeSet::new();
    for route in ROUTES {
        let operation = &document["paths"][route.path][route.method];
        assert!(names.insert(operation["operationId"].as_str().unwrap()), "{}", operation["operationId"]);
        let declared = operation["parameters"].as_array().unwrap().iter();
        let declared: BTreeSet<&str> =
            declared.filter(|one| one["in"] == "path").map(|one| one["name"].as_str().unwrap()).collect();
        let named: BTreeSet<&str> =
            route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(declared, named, "{}", route.path);
    }
}

#[test]
fn the_published_bodies_are_what_the_document_asks_for() {
    let document = document();
    let published: Value = serde_json::from_str(include_str!("../../published-requests.json")).unwrap();
    let mut bodies = 0;
    for (name, request) in published.as_object().unwrap() {
        let path = request["path"].as_str().unwrap().replace("/api_keys/{merchant_id}", "/api_keys/{account_id}");
        let method = request["method"].as_str().unwrap().to_lowercase();
        let operation = &document["paths"][&path][&method];
        assert!(operation.is_object(), "{name}: {method} {path} is not in the document");
        let Some(body) = request.get("body") else { continue };
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let told = errors(&document, schema, body);
        assert!(told.is_empty(), "{name}: {told:?}");
        bodies += 1;

        // With a member that nobody knows, and of another kind, it is refused.
        let mut unknown = body.clone();
        unknown["unknown_member"] = 1.into();
        assert!(!errors(&document, schema, &unknown).is_empty(), "{name}");
        assert!(!errors(&document, schema, &json!([body])).is_empty(), "{name}");
    }
    assert_eq!(bodies, 8);
}

/// What the schema says against a value; references are those of the document.
fn errors(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut root = schema.clone();
    root["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&root).unwrap();
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Holds the schema of a type against the type itself.
fn agree<T: JsonSchema + DeserializeOwned + Debug>(valid: &[Value], invalid: &[Value]) {
    let schema = schemars::generate::SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let schema = schema.into_root_schema_for::<T>().to_value();
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
    let name = T::schema_name();
    for value in valid {
        assert!(
            body::from_value::<T>(value.clone()).is_ok(),
            "{name} does not take {value}: {:?}",
            body::from_value::<T>(value.clone())
        );
        let told: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(told.is_empty(), "the schema of {name} does not take {value}: {told:?}");
    }
    for value in invalid {
        assert!(body::from_value::<T>(value.clone()).is_err(), "{name} takes {value}");
        assert!(!validator.is_valid(value), "the schema of {name} takes {value}");
    }
}

#[test]
fn what_is_read_by_hand_is_described_as_it_is_read() {
    let long = |length: usize| Value::from("x".repeat(length));
    let wrong = [json!(1), json!(null), json!(["x"]), json!({}), json!("")];
    macro_rules! agree {
        ($type:ty: [$($valid:tt),* $(,)?], [$($invalid:tt),* $(,)?]) => {
            agree::<$type>(&[$(json!($valid)),*], &[$(json!($invalid)),*])
        };
    }

    // Texts, ids, numbers.
    agree::<Name>(&[json!("a"), long(64)], &[&wrong[..], &[long(65)]].concat());
    agree::<ProfileId>(
        &[json!("pro_1"), json!("pro_a-b_C")],
        &[&wrong[..], &[json!("pro_"), json!("mca_1"), json!("pro_ä"), json!("pro_a b")]].concat(),
    );
    agree::<ApiKeyId>(&[json!("dev_1"), json!("prd_x")], &[json!("key_1"), json!("dev")]);
    agree::<PaymentId>(&[json!("1"), long(64)], &[&wrong[..], &[json!("a b"), long(65)]].concat());
    agree::<PublishableKey>(&[json!("pk_snd_0a")], &[&wrong[..], &[json!("pk_snd_"), json!("sk_snd_0a")]].concat());
    agree!(MinorUnits: [0, 999_999_999], [(-1), 1_000_000_000, "1", null, 1.5]);
    agree!(SessionExpiry: [60, 7_890_000], [59, 7_890_001, "60", null]);
    agree!(Currency: ["USD", "EUR"], ["usd", "EURO", 1, null]);
    agree!(Country: ["US", "DE"], ["us", "USA", 1, null]);
    agree!(NumericCountryCode: ["840"], ["84", "0840", 840]);
    agree!(MerchantCategoryCode: ["0742"], ["742", 742, "07420"]);
    agree!(Timestamp: ["2027-01-01T00:00:00Z", "2027-01-01T00:00:00.000+02:00"], ["2027-01-01", "", "tomorrow", 1, null]);
    agree!(Expiration: ["never", "2027-01-01T00:00:00Z"], ["Never", "2027-01-01", "", null, 1]);
    agree!(WebUrl: ["https://a.example/x?y=1", "http://localhost:8080"], ["ftp://a.example", "//a.example", "a", "", 1, null]);
    agree!(Colour: ["#212E46", "red", "rgb(33 46 70 / 50%)"], ["", 1, null]);
    agree!(Domain: ["pay.example.com"], ["https://pay.example.com", "*.example.com", "", 1]);
    agree!(AllowedDomain: ["shop.example.com", "*.example.com", "localhost:3000"], ["https://a.example", "a b", "", 1]);
    agree!(ConnectorName: ["stripe"], ["Stripe", "", "a b", 1]);
    agree!(CardNumber: ["4242424242424242", "4242 4242 4242 4242"], ["4242", "x", "", 4, "42424242424242424242"]);
    agree!(Object: [{}, { "a": [1, null, { "b": "c" }] }], [[], 1, "x", null]);

    // Either a text or an object; one of several shapes.
    agree!(ConnectorChoice:
        ["stripe", { "connector": "stripe" }, { "connector": "stripe", "merchant_connector_id": "mca_1" }],
        [1, {}, { "connector": "stripe", "id": "mca_1" }, { "connector": "stripe", "merchant_connector_id": "pro_1" }, ""]);
    agree!(EnabledMethods:
    [
        [],
        [{ "payment_method": "card" }],
        [{ "payment_method": "card", "payment_method_types": ["credit", { "payment_method_type": "debit" }] }],
        [{ "payment_method": "card", "payment_method_types": [{
            "payment_method_type": "credit", "card_networks": ["Visa", "Mastercard"], "minimum_amount": 1,
            "accepted_currencies": { "type": "enable_only", "list": ["USD"] },
            "accepted_countries": { "type": "all_accepted" }, "recurring_enabled": null,
        }] }],
    ],
    [
        {},
        ["card"],
        [{ "payment_method_types": ["credit"] }],
        [{ "payment_method": "card", "payment_method_types": ["cash"] }],
        [{ "payment_method": "card", "payment_method_types": [{ "payment_method_type": "credit", "card_networks": ["Visa", "Visa"] }] }],
        [{ "payment_method": "card", "payment_method_types": [{ "payment_method_type": "credit", "accepted_currencies": { "type": "enable_only" } }] }],
        [{ "payment_method": "card", "payment_method_types": [{ "payment_method_type": "credit", "accepted_countries": { "type": "all_accepted", "list": [] } }] }],
        [{ "payment_method": "card", "payment_method_types": [{ "payment_method_type": "credit", "maximum": 1 }] }],
    ]);
    agree!(ConnectorAuth:
    [
        { "auth_type": "HeaderKey", "api_key": "a" },
        { "auth_type": "BodyKey", "api_key": "a", "key1": "b" },
        { "auth_type": "SignatureKey", "api_key": "a", "key1": "b", "api_secret": "c" },
        { "auth_type": "MultiAuthKey", "api_key": "a", "key1": "b", "api_secret": "c", "key2": "d" },
        { "auth_type": "CertificateAuth", "certificate": "a", "private_key": "b" },
        { "auth_type": "CurrencyAuthKey", "auth_key_map": { "EUR": { "a": 1 } } },
        { "auth_type": "NoKey" },
        { "auth_type": "TemporaryAuth" },
    ],
    [
        {}, "HeaderKey", null,
        { "auth_type": "HeaderKey" },
        { "auth_type": "HeaderKey", "api_key": "" },
        { "auth_type": "HeaderKey", "api_key": "a", "key1": "b" },
        { "auth_type": "Header", "api_key": "a" },
        { "auth_type": "NoKey", "api_key": "a" },
        { "auth_type": "CurrencyAuthKey", "auth_key_map": {} },
        { "auth_type": "CurrencyAuthKey", "auth_key_map": { "eur": { "a": 1 } } },
        { "auth_type": "CurrencyAuthKey", "auth_key_map": { "EUR": 1 } },
    ]);
    agree!(LinkAmount: [5, { "minimum": 1, "maximum": 5 }, {}, { "maximum": null }], [(-1), "5", null, { "min": 1 }, []]);
    agree!(LinkKind: ["single_use", "reusable", { "limited": 25 }], ["limited", { "limited": 0 }, { "reusable": 1 }, 1]);
}

#[test]
#[allow(clippy::too_many_lines, reason = "one row for each body")]
fn bodies_are_described_as_they_are_read() {
    macro_rules! agree {
        ($type:ty: [$($valid:tt),* $(,)?], [$($invalid:tt),* $(,)?]) => {
            agree::<$type>(&[$(json!($valid)),*], &[$(json!($invalid)),*])
        };
    }
    agree!(NewOrganization: [{ "organization_name": "A" }, { "organization_name": "A", "metadata": { "a": 1 } }],
        [{}, { "organization_name": null }, { "organization_name": "A", "metadata": 1 }]);
    agree!(OrganizationUpdate: [{}, { "metadata": null }, { "organization_name": "B" }], [{ "name": "B" }, { "metadata": [] }]);
    agree!(NewMerchant:
    [
        { "merchant_id": "m" },
        { "merchant_id": "m", "merchant_details": { "address": { "country": "US" } }, "primary_business_details": [{ "country": "US", "business": "food" }] },
        { "merchant_id": "m", "webhook_details": { "webhook_password": "p", "payment_statuses_enabled": ["succeeded"] }, "publishable_key": "x" },
    ],
    [
        {}, { "merchant_id": "a b" },
        { "merchant_id": "m", "merchant_details": { "fax": "1" } },
        { "merchant_id": "m", "primary_business_details": { "country": "US", "business": "food" } },
        { "merchant_id": "m", "webhook_details": { "payment_statuses_enabled": ["requires_confirmation"] } },
    ]);
    agree!(MerchantUpdate: [{}, { "merchant_id": "m", "return_url": null }], [{ "id": "m" }, { "return_url": "x" }]);
    agree!(WebhookDetails: [{}, { "webhook_url": "https://a.example", "webhook_username": null }], [{ "url": "x" }, { "webhook_url": 1 }, []]);
    agree!(NewProfile:
    [
        {},
        { "profile_name": "P", "outgoing_webhook_custom_http_headers": { "X-A": "b" }, "session_expiry": 900 },
        { "card_testing_guard_config": {
            "card_ip_blocking_status": "enabled", "card_ip_blocking_threshold": 3,
            "guest_user_card_blocking_status": "disabled", "guest_user_card_blocking_threshold": 10,
            "customer_id_blocking_status": "disabled", "customer_id_blocking_threshold": 5,
            "card_testing_guard_expiry": 3600, "guest_ip_blocking_status": null,
        } },
        { "payment_link_config": { "theme": "#fff", "allowed_domains": ["*.example.com"], "business_specific_configs": { "a": { "theme": "red" } } } },
    ],
    [
        { "name": "P" }, { "session_expiry": 1 }, { "return_url": "x" },
        { "outgoing_webhook_custom_http_headers": { "X A": "b" } },
        { "card_testing_guard_config": { "card_ip_blocking_status": "enabled" } },
        { "payment_link_config": { "colour": "red" } },
    ]);
    agree!(ProfileUpdate: [{}, { "webhook_details": null }, { "webhook_details": { "webhook_url": null } }], [{ "x": 1 }, { "session_expiry": "900" }]);
    agree!(PaymentMethodBlocking: [{}, { "card": { "issuing_country": ["US"], "card_types": null } }], [{ "card": { "countries": [] } }, { "card": { "issuing_country": ["usa"] } }]);
    agree!(PaymentLinkConfig:
        [{}, { "theme": "red", "domain_name": "pay.example.com", "sdk_ui_rules": { "a": { "b": "c" } } }, { "background_image": { "url": "https://a.example/x.png", "size": "50%", "position": "top left" } }],
        [{ "x": 1 }, { "background_image": { "size": "50%" } }, { "background_image": { "url": "https://a.example", "size": "big" } }, { "show_card_terms": "maybe" }]);
    agree!(PaymentLinkConfigRequest:
        [{}, { "theme": "red", "transaction_details": [{ "key": "a", "value": "b", "ui_configuration": { "position": 1 } }] },
            { "custom_message_for_payment_method_types": [{ "payment_method": "card", "payment_method_types": [{ "payment_method_type": "credit", "message": { "value": "x" } }] }] }],
        [{ "domain_name": "pay.example.com" }, { "transaction_details": [{ "key": "a" }] },
            { "custom_message_for_payment_method_types": [{ "payment_method": "card", "payment_method_types": [{ "payment_method_type": "credit" }] }] }]);
    agree!(NewConnector:
    [
        { "connector_type": "payment_processor", "connector_name": "stripe", "connector_account_details": { "auth_type": "HeaderKey", "api_key": "k" } },
        { "connector_type": "payment_processor", "connector_name": "stripe", "connector_account_details": { "auth_type": "HeaderKey", "api_key": "k" },
            "connector_webhook_details": { "merchant_secret": "s" }, "connector_wallets_details": { "apple_pay": { "a": 1 }, "paze": null }, "additional_merchant_data": { "a": 1 } },
    ],
    [
        {},
        { "connector_type": "x", "connector_name": "stripe", "connector_account_details": { "auth_type": "NoKey" } },
        { "connector_type": "payment_processor", "connector_name": "stripe" },
        { "connector_type": "payment_processor", "connector_name": "stripe", "connector_account_details": { "auth_type": "NoKey" }, "connector_wallets_details": { "cash": {} } },
        { "connector_type": "payment_processor", "connector_name": "stripe", "connector_account_details": { "auth_type": "NoKey" }, "connector_webhook_details": {} },
    ]);
    agree!(ConnectorUpdate: [{ "connector_type": "payment_processor" }, { "connector_type": "payment_processor", "disabled": null }], [{}, { "connector_type": "payment_processor", "x": 1 }]);
    agree!(NewApiKey:
        [{ "name": "k", "expiration": "never" }, { "name": "k", "expiration": "2027-01-01T00:00:00Z", "scopes": ["*"], "networks": ["10.0.0.0/8", "::1"], "profile_ids": ["pro_1"] }],
        [{ "name": "k" }, { "name": "k", "expiration": null }, { "name": "k", "expiration": "never", "scopes": ["all"] }, { "name": "k", "expiration": "never", "networks": ["example.com"] }]);
    agree!(ApiKeyUpdate: [{}, { "description": null }, { "scopes": ["payments:read"] }], [{ "x": 1 }, { "expiration": "soon" }]);
    agree!(BlockRequest: [{ "type": "card_bin", "data": "411111" }, { "type": "fingerprint", "data": "x", "action": "allow", "metadata": {} }], [{}, { "type": "iban", "data": "x" }, { "type": "card_bin", "data": "" }]);
    agree!(NewPayment:
        [
            { "amount": 1, "currency": "USD" },
            { "amount": 1, "currency": "USD", "payment_link": true, "payment_link_config": { "theme": "red" }, "customer_id": "c", "capture_method": "manual" },
        ],
        [{ "amount": 1 }, { "currency": "USD" }, { "amount": "1", "currency": "USD" }, { "amount": 1, "currency": "USD", "x": 1 }, { "amount": 1, "currency": "USD", "capture_method": "later" }]);
    agree!(ConfirmPayment:
    [
        { "payment_method": "card", "payment_method_data": { "card": { "card_number": "4242424242424242", "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "123" } } },
        { "billing": { "address": { "country": "US" }, "phone": { "number": "1", "country_code": "+1" } } },
    ],
    [
        { "payment_method": "cash" },
        { "payment_method_data": { "card": { "card_number": "4242424242424242", "card_exp_month": "13", "card_exp_year": "30" } } },
        { "payment_method_data": { "card": { "card_number": "4242424242424242", "card_exp_month": "10", "card_exp_year": "030" } } },
        { "payment_method_data": { "card": { "card_number": "4242424242424242", "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "12" } } },
        { "payment_method_data": { "iban": {} } },
    ]);
    agree!(NewPaymentLink: [{ "amount": 1, "currency": "USD" }, { "amount": {}, "currency": "USD", "kind": { "limited": 3 } }], [{ "amount": 1 }, { "amount": 1, "currency": "USD", "kind": "twice" }]);
    agree!(RetryPolicy: [{}, { "max_retries": 1, "decline_codes": ["51"] }], [{ "retries": 1 }, { "max_retries": -1 }, { "decline_codes": [51] }]);
    agree!(NewRoutingProgram:
    [
        { "name": "n", "description": "d", "algorithm": { "type": "single", "data": "stripe" } },
        { "name": "n", "description": "d", "algorithm": { "type": "volume_split", "data": [{ "connector": "stripe", "split": 100 }] }, "retry_policy": { "max_retries": 0 } },
        { "name": "n", "description": "d", "algorithm": { "type": "advanced", "data": {
            "defaultSelection": { "type": "priority", "data": ["stripe"] },
            "rules": [{ "name": "r", "connectorSelection": { "type": "priority", "data": ["stripe"] }, "statements": [{
                "condition": [{ "lhs": "amount", "comparison": "greater_than", "value": { "type": "number", "value": 5 }, "metadata": {} }],
                "nested": [{ "condition": [{ "lhs": "bin_country", "comparison": "equal", "value": { "type": "enum_variant_array", "value": ["Germany"] } }] }],
            }] }],
            "metadata": {},
        } } },
        { "name": "n", "description": "d", "algorithm": { "type": "advanced", "data": {
            "defaultSelection": { "type": "priority", "data": ["stripe"] },
            "rules": [{ "name": "r", "routingOutput": { "type": "priority", "data": ["stripe"] }, "statements": [] }],
        } } },
    ],
    [
        { "name": "n", "description": "d" },
        { "name": "n", "description": "d", "algorithm": { "type": "advanced", "data": {
            "defaultSelection": { "type": "priority", "data": ["stripe"] },
            "rules": [{ "name": "r", "statements": [] }],
        } } },
        { "name": "n", "description": "d", "algorithm": { "type": "advanced", "data": {
            "defaultSelection": { "type": "priority", "data": ["stripe"] },
            "rules": [{
                "name": "r", "statements": [],
                "connectorSelection": { "type": "priority", "data": ["stripe"] },
                "routingOutput": { "type": "priority", "data": ["stripe"] },
            }],
        } } },
        { "name": "n", "description": "d", "algorithm": { "type": "random", "data": [] } },
        { "name": "n", "description": "d", "algorithm": { "type": "priority", "data": "stripe" } },
        { "name": "n", "description": "d", "algorithm": { "type": "advanced", "data": { "defaultSelection": { "type": "single", "data": "stripe" }, "rules": [] } } },
        { "name": "n", "description": "d", "algorithm": { "type": "advanced", "data": {
            "defaultSelection": { "type": "priority", "data": ["stripe"] },
            "rules": [{ "name": "r", "connectorSelection": { "type": "priority", "data": ["stripe"] }, "statements": [{
                "condition": [{ "lhs": "colour", "comparison": "equal", "value": { "type": "number", "value": 5 } }],
            }] }],
        } } },
    ]);
}
