use serde_json::{Value, json};

use super::*;
use crate::error::Error;
use crate::json::{from_slice, from_value};

fn request(body: Value) -> PaymentLinkConfigRequest {
    from_value(body).unwrap()
}

fn profile(body: Value) -> PaymentLinkConfig {
    from_value(body).unwrap()
}

fn place(error: &Error) -> (&str, &str) {
    match error {
        Error::Invalid(fault) => (fault.path(), fault.code()),
        other => panic!("{other}"),
    }
}

/// A profile's body as far as it matters here: paths begin where the contract's do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[allow(dead_code, reason = "only refusals are looked at")]
    payment_link_config: PaymentLinkConfig,
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    for (body, path, code) in [
        (
            r#"{"business_specific_configs": {"eu": {"theme": "blurple"}}}"#,
            "business_specific_configs.eu.theme",
            "branding.colour",
        ),
        (
            r#"{"business_specific_configs": {"eu": {"them": "red"}}}"#,
            "business_specific_configs.eu.them",
            "json.unknown_field",
        ),
        (
            r#"{"business_specific_configs": {"eu": {"allowed_domains": []}}}"#,
            "business_specific_configs.eu.allowed_domains",
            "json.unknown_field",
        ),
        (r#"{"thene": "red"}"#, "thene", "json.unknown_field"),
        (r#"{"theme": "red", "theme": "red"}"#, "theme", "json.duplicate_field"),
        (r#"{"transaction_details": []}"#, "transaction_details", "json.unknown_field"),
        (r#"{"logo": "logo.png"}"#, "logo", "url.not_absolute"),
        (r#"{"display_sdk_only": "yes"}"#, "display_sdk_only", "json.wrong_type"),
        (r#"{"allowed_domains": ["a.example", "*"]}"#, "allowed_domains[1]", "branding.domain"),
        (r#"{"domain_name": "*.example.com"}"#, "domain_name", "branding.domain"),
        (r#"{"background_image": {"position": "top"}}"#, "background_image.url", "json.missing_field"),
        (
            r#"{"background_image": {"url": "https://a.example", "size": "big"}}"#,
            "background_image.size",
            "branding.size",
        ),
        (r#"{"sdk_ui_rules": {".card": {"color": ""}}}"#, "sdk_ui_rules..card.color", "text.empty"),
        (r#"{"show_card_terms": "often"}"#, "show_card_terms", "json.unknown_variant"),
        (
            r#"{"custom_message_for_payment_method_types": [{"payment_method": "card", "payment_method_types":
                [{"payment_method_type": "credit", "message": {"value": "x", "display_mode": "loud"}}]}]}"#,
            "custom_message_for_payment_method_types[0].payment_method_types[0].message.display_mode",
            "json.unknown_variant",
        ),
    ] {
        let body = format!(r#"{{"payment_link_config": {body}}}"#);
        let error = from_slice::<Body>(body.as_bytes()).unwrap_err();
        assert_eq!(place(&error), (format!("payment_link_config.{path}").as_str(), code));
    }
    for (body, path, code) in [
        (json!({"allowed_domains": []}), "allowed_domains", "json.unknown_field"),
        (json!({"transaction_details": [{"key": "k"}]}), "transaction_details[0].value", "json.missing_field"),
        (
            json!({"transaction_details": [{"key": "k", "value": "v", "ui_configuration": {"position": 128}}]}),
            "transaction_details[0].ui_configuration.position",
            "json.wrong_type",
        ),
    ] {
        assert_eq!(place(&from_value::<PaymentLinkConfigRequest>(body).unwrap_err()), (path, code));
    }
}

#[test]
fn both_sides_of_the_limits() {
    let details = |n: usize| json!({"transaction_details": vec![json!({"key": "k", "value": "v"}); n]});
    assert_eq!(request(details(64)).transaction_details.unwrap().len(), 64);
    let error = from_value::<PaymentLinkConfigRequest>(details(65)).unwrap_err();
    assert_eq!(place(&error), ("transaction_details", "list.too_long"));

    let rules = |n: usize| (0..n).map(|i| (format!("p{i}"), json!("v"))).collect::<Value>();
    assert!(from_value::<BrandingFields>(json!({"sdk_ui_rules": {"a": rules(64)}})).is_ok());
    let error = from_value::<BrandingFields>(json!({"sdk_ui_rules": {"a": rules(65)}})).unwrap_err();
    assert_eq!(place(&error), ("sdk_ui_rules.a", "map.too_long"));

    let configs = |n: usize| (0..n).map(|i| (format!("c{i}"), json!({}))).collect::<Value>();
    assert!(from_value::<PaymentLinkConfig>(json!({"business_specific_configs": configs(64)})).is_ok());
    let error = from_value::<PaymentLinkConfig>(json!({"business_specific_configs": configs(65)})).unwrap_err();
    assert_eq!(place(&error), ("business_specific_configs", "map.too_long"));
}

#[test]
fn a_configuration_is_written_as_it_is_read() {
    let config = profile(json!({
        "theme": "#fff",
        "allowed_domains": ["b.example", "a.example", "B.example"],
        "business_specific_configs": {"eu": {"logo": "https://eu.example/logo.png"}},
    }));
    let written = serde_json::to_value(&config).unwrap();
    assert_eq!(written["theme"], "#fff");
    assert_eq!(written["logo"], Value::Null);
    assert_eq!(written["allowed_domains"], json!(["b.example", "a.example"]));
    assert_eq!(written["business_specific_configs"]["eu"]["logo"], "https://eu.example/logo.png");
    assert_eq!(profile(written), config);

    let config = request(json!({"sdk_layout": "accordion", "transaction_details": [{"key": "k", "value": "v"}]}));
    assert_eq!(request(serde_json::to_value(&config).unwrap()), config);
}

#[test]
fn a_field_comes_from_the_strongest_level_that_states_it() {
    let request = request(json!({"theme": "red", "display_sdk_only": null}));
    let profile = profile(json!({"theme": "blue", "display_sdk_only": true, "payment_button_text": "Pay"}));
    let branding = Branding::resolve(Some(&request), Some(&profile), None, None);
    assert_eq!((branding.theme.value.as_str(), branding.theme.level), ("red", Level::Request));
    assert_eq!(branding.display_sdk_only, Resolved { value: true, level: Level::Profile });
    assert_eq!(branding.payment_button_text.value.as_deref(), Some("Pay"));
    assert_eq!(branding.show_card_form_by_default, Resolved { value: true, level: Level::BuiltIn });
    assert_eq!(branding.skip_status_screen, Resolved { value: None, level: Level::BuiltIn });
}

#[test]
fn a_specific_configuration_takes_the_place_of_the_default_one_and_an_unknown_one_does_not() {
    let profile = profile(json!({
        "theme": "blue",
        "hide_card_nickname_field": true,
        "allowed_domains": ["a.example"],
        "business_specific_configs": {"eu": {"theme": "green"}},
    }));
    let specific = Branding::resolve(None, Some(&profile), Some("eu"), None);
    assert_eq!((specific.theme.value.as_str(), specific.theme.level), ("green", Level::ProfileSpecific));
    assert_eq!(specific.hide_card_nickname_field, Resolved { value: false, level: Level::BuiltIn });
    assert_eq!(specific.allowed_domains.level, Level::Profile);

    for unknown in [None, Some("us"), Some("")] {
        let default = Branding::resolve(None, Some(&profile), unknown, None);
        assert_eq!((default.theme.value.as_str(), default.theme.level), ("blue", Level::Profile));
        assert_eq!(default.hide_card_nickname_field, Resolved { value: true, level: Level::Profile });
    }
}

#[test]
fn the_merchants_name_stands_in_for_the_sellers() {
    let named = request(json!({"seller_name": "Shop"}));
    let seller = |request, merchant| Branding::resolve(request, None, None, merchant).seller_name;
    let shop = seller(Some(&named), Some("Acme"));
    assert_eq!((shop.value.as_deref(), shop.level), (Some("Shop"), Level::Request));
    let acme = seller(None, Some("Acme"));
    assert_eq!((acme.value.as_deref(), acme.level), (Some("Acme"), Level::BuiltIn));
    assert_eq!(seller(None, None), Resolved { value: None, level: Level::BuiltIn });
}

#[test]
fn the_merchants_name_is_shown_by_default_only_without_any_configuration() {
    let (request, profile) = (request(json!({})), profile(json!({})));
    let shown = |r, p| Branding::resolve(r, p, None, None).show_merchant_name;
    assert_eq!(shown(None, None), Resolved { value: true, level: Level::BuiltIn });
    assert_eq!(shown(Some(&request), None), Resolved { value: false, level: Level::BuiltIn });
    assert_eq!(shown(None, Some(&profile)), Resolved { value: false, level: Level::BuiltIn });
}

#[test]
fn without_any_configuration_the_published_form_is_the_contracts_default() {
    let branding = Branding::resolve(None, None, None, None);
    let written = serde_json::to_value(branding.config()).unwrap();
    let set: Value = written
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, v)| !v.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    assert_eq!(
        set,
        json!({
            "theme": "#212E46", "logo": "", "seller_name": "", "sdk_layout": "tabs", "display_sdk_only": false,
            "enabled_saved_payment_method": false, "hide_card_nickname_field": false,
            "show_card_form_by_default": true, "enable_button_only_on_form_ready": false, "show_merchant_name": true,
        })
    );
    assert_eq!(written.as_object().unwrap().len(), 29);
}

#[test]
fn a_stored_branding_reads_back_as_it_was() {
    let request = request(json!({
        "theme": "rgb(1, 2, 3)",
        "logo": "https://a.example/logo.png",
        "background_image": {"url": "https://a.example/b.png", "size": "50%"},
        "custom_message_for_payment_method_types": [{"payment_method": "card", "payment_method_types":
            [{"payment_method_type": "credit", "message": {"value": "x", "display_mode": "hidden"}}]}],
        "sdk_ui_rules": {".card": {"color": "red"}},
        "show_card_terms": "never",
    }));
    let branding = Branding::resolve(Some(&request), None, None, Some("Acme"));
    let stored = serde_json::to_string(&branding).unwrap();
    assert_eq!(serde_json::from_str::<Branding>(&stored).unwrap(), branding);
    assert!(stored.contains(r#""theme":{"value":"rgb(1, 2, 3)","level":"request"}"#));
}
