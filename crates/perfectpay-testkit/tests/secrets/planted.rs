//! The secrets that are planted, and the bodies that bring them.

use perfectpay_testkit::watch::{Watch, canary};
use serde_json::{Value, json};

/// What is kept in clear on purpose: that it is found shows that the search finds.
pub(super) const CONTROL: &str = "plainControlValue0123456789abcdef";
pub(super) const CARD: &str = "4242424242424242";
/// The one that is blocked, one that is not, and one that is created with its payment.
pub(super) const CARDS: [&str; 3] = [CARD, "4111111111111111", "5555555555554444"];

pub(super) const CREDENTIALS: [(&str, &str, &[&str]); 6] = [
    ("HeaderKey", "stripe", &["api_key"]),
    ("BodyKey", "aci", &["api_key", "key1"]),
    ("SignatureKey", "checkout", &["api_key", "key1", "api_secret"]),
    ("MultiAuthKey", "finix", &["api_key", "key1", "api_secret", "key2"]),
    ("CertificateAuth", "santander", &["certificate", "private_key"]),
    ("CurrencyAuthKey", "cashtocode", &["deep"]),
];

pub(super) fn credentials(watch: &mut Watch, round: &str, auth_type: &str, members: &[&str]) -> Value {
    let mut details = json!({ "auth_type": auth_type });
    for member in members {
        let name = format!("{round} {auth_type} {member}");
        let value = canary(&name);
        watch.add(&name, &value);
        if auth_type == "CurrencyAuthKey" {
            details["auth_key_map"] = json!({ "EUR": { "list": [{ "deep": value, "n": 1, "none": null }] } });
        } else {
            details[*member] = value.into();
        }
    }
    details
}

pub(super) fn secret(watch: &mut Watch, name: &str) -> String {
    let value = canary(name);
    watch.add(name, &value);
    value
}

/// One of every connector, with whatever else of it is a secret.
pub(super) fn connectors(watch: &mut Watch, round: &str) -> Vec<Value> {
    let mut bodies = Vec::new();
    for (auth_type, name, members) in CREDENTIALS {
        bodies.push(json!({
            "connector_type": "payment_processor",
            "connector_name": name,
            "connector_label": format!("{name} {round}"),
            "connector_account_details": credentials(watch, round, auth_type, members),
            "connector_webhook_details": {
                "merchant_secret": secret(watch, &format!("{round} {name} merchant_secret")),
                "additional_secret": secret(watch, &format!("{round} {name} additional_secret")),
            },
            "additional_merchant_data": { "a": { "b": [secret(watch, &format!("{round} {name} additional data"))] } },
            "connector_wallets_details": {
                "apple_pay": { "certificate": secret(watch, &format!("{round} {name} wallet")) },
            },
            "metadata": { "control": CONTROL },
        }));
    }
    for (auth_type, name, connector_type) in
        [("NoKey", "cardinal", "authentication_processor"), ("TemporaryAuth", "paypal", "payment_processor")]
    {
        bodies.push(json!({
            "connector_type": connector_type,
            "connector_name": name,
            "connector_label": format!("{name} {round}"),
            "connector_account_details": { "auth_type": auth_type },
        }));
    }
    bodies
}

/// What confirms a payment with this card.
pub(super) fn paid_with(watch: &mut Watch, number: &str) -> Value {
    json!({
        "payment_method": "card",
        "payment_method_type": "credit",
        "payment_method_data": { "card": {
            "card_number": number, "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "737",
            "card_holder_name": secret(watch, &format!("holder of {}", &number[..1])),
        } },
    })
}
