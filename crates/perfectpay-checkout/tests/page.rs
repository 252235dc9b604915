//! What a page shows in each state and with each setting, and what goes with it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at a surprise")]

use perfectpay::{Branding, PaymentLinkConfig, PaymentLinkConfigRequest};
use perfectpay_checkout::{CheckoutPage, Finding, Framing, PageState, inspect, render};
use serde_json::{Value, json};

use crate::support::{Fixture, STATES};

mod support;

fn branding(body: Value) -> Branding {
    let request: PaymentLinkConfigRequest = perfectpay::json::from_value(body).unwrap();
    Branding::resolve(Some(&request), None, None, None)
}

fn policy(page: &CheckoutPage<'_>) -> String {
    render(page).unwrap().headers.get("content-security-policy").unwrap().to_owned()
}

#[test]
fn each_state_says_what_it_is_in_each_language() {
    let said = [
        ("scheduled", 200, "Not open yet", "Todavía no está abierta", "لم يُفتح بعد"),
        ("open_amount", 200, "Amount (USD)", "Importe (USD)", "المبلغ (USD)"),
        ("active", 200, "Skip to the payment form", "Ir al formulario de pago", "الانتقال إلى نموذج الدفع"),
        ("held", 200, "A payment is under way", "Hay un pago en curso", "هناك عملية دفع جارية"),
        ("paid", 200, "Payment received", "Pago recibido", "تم استلام الدفعة"),
        ("failed", 200, "Payment not completed", "El pago no se ha completado", "لم تكتمل عملية الدفع"),
        ("used_up", 410, "This link has been used", "Este enlace ya se ha usado", "سبق استخدام هذا الرابط"),
        ("expired", 410, "This link has expired", "Este enlace ha caducado", "انتهت صلاحية هذا الرابط"),
        ("deactivated", 410, "This link is switched off", "Este enlace está desactivado", "تم إيقاف هذا الرابط"),
    ];
    let fixture = Fixture::benign("layout1");
    for (state, status, en, es, ar) in said {
        for (locale, text, direction) in [("en", en, "ltr"), ("es", es, "ltr"), ("ar", ar, "rtl")] {
            let document = render(&fixture.page(state, locale)).unwrap();
            assert_eq!(document.status, status, "{state}");
            assert!(document.html.contains(text), "{state} {locale}");
            assert!(document.html.contains(&format!("<html lang=\"{locale}\" dir=\"{direction}\">")));
            assert_eq!(document.headers.get("content-language"), Some(locale));
        }
    }
}

#[test]
fn only_an_open_page_has_a_script_a_secret_or_a_form() {
    let fixture = Fixture::of("pk_snd_1", "https://acme.example/picture.svg", "layout1");
    for state in STATES {
        let document = render(&fixture.page(state, "en")).unwrap();
        let active = state == "active";
        assert_eq!(document.html.contains("<script"), active, "{state}");
        assert_eq!(document.html.contains("publishable_key"), active, "{state}");
        assert_eq!(document.html.contains("<form"), state == "open_amount", "{state}");
        let policy = document.headers.get("content-security-policy").unwrap();
        assert_eq!(policy.contains("script-src"), active, "{state}");
    }
}

#[test]
fn the_policy_names_what_the_page_needs_and_nothing_else() {
    let fixture = Fixture::benign("layout1");
    let mut page = fixture.page("active", "en");
    let csp = policy(&page);
    let (hashes, rest): (Vec<&str>, Vec<&str>) = csp.split(' ').partition(|part| part.starts_with("'sha256-"));
    assert_eq!(hashes.len(), 2);
    assert_eq!(
        rest.join(" "),
        "default-src 'none'; style-src img-src https://acme.example https://*.processor.example; \
         script-src https://js.processor.example; \
         connect-src https://js.processor.example https://*.processor.example; \
         frame-src https://js.processor.example https://*.processor.example; \
         form-action 'none'; base-uri 'none'; frame-ancestors https://*.shop.example https://shop.example"
    );
    page.framing = Framing::Nobody;
    let document = render(&page).unwrap();
    assert!(document.headers.get("content-security-policy").unwrap().ends_with("frame-ancestors 'none'"));
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "strict-origin"),
        ("content-type", "text/html; charset=utf-8"),
        (
            "permissions-policy",
            "payment=(self \"https://js.processor.example\"), camera=(), microphone=(), geolocation=(), usb=()",
        ),
    ] {
        assert_eq!(document.headers.get(name), Some(value));
    }
    assert!(policy(&fixture.page("open_amount", "en")).contains("form-action https://acme.example;"));
}

#[test]
fn a_secure_link_without_a_domain_is_shown_by_nobody() {
    let none = branding(json!({}));
    assert_eq!(Framing::secure(&none), Framing::Nobody);
    let profile: PaymentLinkConfig = perfectpay::json::from_value(json!({"allowed_domains": []})).unwrap();
    let empty = Branding::resolve(None, Some(&profile), None, None);
    let page = CheckoutPage { framing: Framing::secure(&empty), ..CheckoutPage::new(&empty, PageState::Held, "en") };
    assert!(policy(&page).ends_with("frame-ancestors 'none'"));
}

#[test]
fn a_paid_page_that_skips_the_status_screen_leads_back() {
    let look = branding(json!({"skip_status_screen": true}));
    let url = "https://acme.example/thanks".parse().unwrap();
    let mut page = CheckoutPage::new(&look, PageState::Paid, "en");
    assert_eq!(render(&page).unwrap().status, 200, "there is nowhere to go");
    page.return_url = Some(&url);
    let document = render(&page).unwrap();
    assert_eq!((document.status, document.headers.get("location")), (303, Some("https://acme.example/thanks")));
    page.state = PageState::Failed;
    assert_eq!(render(&page).unwrap().headers.get("location"), Some("https://acme.example/thanks"));
    page.state = PageState::Expired;
    assert_eq!(render(&page).unwrap().headers.get("location"), None);
}

#[test]
fn settings_are_followed() {
    let fixture = Fixture::benign("layout1");
    let html = |body: Value| {
        let look = branding(body);
        let page = CheckoutPage { branding: &look, ..fixture.page("active", "en") };
        render(&page).unwrap().html
    };
    for (body, has, lacks) in [
        (json!({"details_layout": "layout1"}), "<body class=\"layout1\">", "layout2\""),
        (json!({"details_layout": "layout2"}), "<body class=\"layout2\">", "layout1\""),
        (json!({"display_sdk_only": true}), "<body class=\"layout2 alone\">", "layout1\""),
        (json!({}), "\">Pay $49.99</button>", "disabled"),
        (json!({"payment_button_text": "Donate"}), ">Donate</button>", "Pay $49.99"),
        (json!({"enable_button_only_on_form_ready": true}), "type=\"button\" disabled>", "type=\"button\">"),
        (json!({"payment_form_header_text": "Your card"}), "<h2 id=\"method\">Your card</h2>", "Payment method"),
        (json!({"show_card_terms": "never", "custom_message_for_card_terms": "T&C"}), "submit", "T&#38;C"),
        (json!({"custom_message_for_card_terms": "T&C"}), "<p class=\"terms\"><bdi>T&#38;C</bdi></p>", "By paying"),
        (json!({"show_card_terms": "always", "seller_name": "Acme"}), "you allow Acme to charge it", "later ones"),
        (json!({"is_setup_mandate_flow": true}), "you allow the seller to charge your card", "with a card you"),
        (json!({"seller_name": "Acme", "show_merchant_name": true}), "class=\"seller\"><bdi>Acme<", "<img"),
        (
            json!({"seller_name": "Acme", "logo": "https://acme.example/l.svg"}),
            "<img class=\"logo\" src=\"https://acme.example/l.svg\" alt=\"Pay Acme\"",
            "class=\"seller\"",
        ),
        (json!({"hide_card_nickname_field": true}), "\"hide_card_nickname_field\":true", "nothing"),
        (json!({"sdk_layout": "accordion"}), "\"sdk_layout\":\"accordion\"", "tabs"),
        (json!({"sdk_ui_rules": {".Tab": {"color": "#000"}}}), "{\".Tab\":{\"color\":\"#000\"}}", "nothing"),
        (json!({"payment_form_label_type": "floating"}), "\"payment_form_label_type\":\"floating\"", "nothing"),
        (json!({"enabled_saved_payment_method": true}), "\"enabled_saved_payment_method\":true", "nothing"),
        (json!({"show_card_form_by_default": false}), "\"show_card_form_by_default\":false", "nothing"),
        (json!({"color_icon_card_cvc_error": "#c00"}), "\"color_icon_card_cvc_error\":\"#c00\"", "nothing"),
        (json!({"skip_status_screen": true}), "\"skip_status_screen\":true", "nothing"),
        (json!({"seller_name": "Acme"}), ">Pay Acme</h1>", "<img"),
        (json!({"seller_name": "Zebra", "show_merchant_name": false}), ">Payment</h1>", "Zebra"),
    ] {
        let html = html(body.clone());
        let content = html.split("</head>").nth(1).unwrap();
        assert!(content.contains(has), "{body}: {has}\n{content}");
        assert!(!content.contains(lacks), "{body}: {lacks}\n{content}");
    }
}

/// A value of each field of the contract's table that the page's other settings do not have.
const CHANGED: &str = r##"{
    "theme": "#7c2d12",
    "logo": "https://acme.example/logo.svg",
    "seller_name": "Somebody Else",
    "sdk_layout": "accordion",
    "display_sdk_only": true,
    "enabled_saved_payment_method": true,
    "hide_card_nickname_field": true,
    "show_card_form_by_default": false,
    "enable_button_only_on_form_ready": true,
    "show_merchant_name": false,
    "background_image": {"url": "https://acme.example/back.svg", "position": "center", "size": "50%"},
    "details_layout": "layout2",
    "payment_button_text": "Donate",
    "payment_button_colour": "#ffd400",
    "payment_button_text_colour": "#ffff99",
    "background_colour": "#eef2ff",
    "custom_message_for_card_terms": "Our terms.",
    "custom_message_for_payment_method_types": [{"payment_method": "card", "payment_method_types":
        [{"payment_method_type": "credit", "message": {"value": "x", "display_mode": "custom_message"}}]}],
    "skip_status_screen": true,
    "is_setup_mandate_flow": true,
    "sdk_ui_rules": {".Tab": {"color": "#000"}},
    "payment_link_ui_rules": {".button": {"border-radius": "8px"}},
    "payment_form_header_text": "Your card",
    "payment_form_label_type": "never",
    "show_card_terms": "always",
    "color_icon_card_cvc_error": "#c00000"
}"##;

#[test]
fn every_setting_of_the_contract_changes_the_page() {
    let changed: Value = serde_json::from_str(CHANGED).unwrap();
    let known = serde_json::to_value(perfectpay::BrandingFields::default()).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&changed), names(&known), "each field is in the table");
    let fixture = Fixture::benign("layout1");
    let shown = |look: &Branding| {
        let page = CheckoutPage { branding: look, framing: Framing::secure(look), ..fixture.page("active", "en") };
        let document = render(&page).unwrap();
        (document.html, document.headers.get("content-security-policy").unwrap().to_owned())
    };
    let plain = json!({"seller_name": "Acme"});
    let base = shown(&branding(plain.clone()));
    for (field, value) in changed.as_object().unwrap() {
        let mut body = plain.clone();
        body[field] = value.clone();
        assert_ne!(shown(&branding(body)).0, base.0, "{field}");
    }
    let rows = branding(json!({"seller_name": "Acme", "transaction_details": [{"key": "Order", "value": "A-1"}]}));
    assert_ne!(shown(&rows).0, base.0, "transaction_details");
    // Of the profile's own three, the domain is part of the link's URL, and no page's.
    let of_profile = |body: Value| {
        let profile: PaymentLinkConfig = perfectpay::json::from_value(body).unwrap();
        let request = perfectpay::json::from_value(plain.clone()).unwrap();
        shown(&Branding::resolve(Some(&request), Some(&profile), None, None))
    };
    assert_ne!(of_profile(json!({"branding_visibility": false})).0, base.0, "branding_visibility");
    assert_ne!(of_profile(json!({"allowed_domains": ["*.shop.example"]})).1, base.1, "allowed_domains");
    assert_eq!(of_profile(json!({"domain_name": "pay.shop.example"})), base);
}

#[test]
fn a_text_at_a_payment_method_is_shown_where_it_is_asked_for_and_once() {
    let fixture = Fixture::benign("layout1");
    let html = |mode: Value| {
        let look = branding(json!({"custom_message_for_payment_method_types": [
            {"payment_method": "card", "payment_method_types": [
                {"payment_method_type": "credit", "message": {"value": "Credit & more", "display_mode": mode}},
            ]},
            {"payment_method": "wallet", "payment_method_types": [
                {"payment_method_type": "paypal", "message": {"value": "A wallet", "display_mode": "hidden"}},
            ]},
        ]}));
        render(&CheckoutPage { branding: &look, ..fixture.page("active", "en") }).unwrap().html
    };
    let shown = html(json!("custom_message"));
    let item = "<li data-payment-method=\"card\" data-payment-method-type=\"credit\"><bdi>Credit &#38; more</bdi></li>";
    assert_eq!(shown.matches(item).count(), 1);
    assert_eq!(shown.matches("<li data-payment-method").count(), 1, "the wallet's is hidden");
    let told = shown.split("id=\"payment-configuration\">").nth(1).unwrap().split("</script>").next().unwrap();
    let told: Value = serde_json::from_str(told).unwrap();
    let mode = |told: &Value, at: usize| {
        let methods = &told["custom_message_for_payment_method_types"][at];
        methods["payment_method_types"][0]["message"]["display_mode"].clone()
    };
    assert_eq!((mode(&told, 0), mode(&told, 1)), (json!("hidden"), json!("hidden")));
    for left in [json!("default_sdk_message"), json!("hidden"), Value::Null] {
        let html = html(left.clone());
        assert!(!html.contains("payment-messages"), "{left}");
        let mode = if left.is_null() { json!("default_sdk_message") } else { left };
        assert!(html.contains(&format!("\"display_mode\":{mode}")), "the element is told {mode}");
    }
}

#[test]
fn rows_about_the_order_stand_in_their_places() {
    let look = branding(json!({"transaction_details": [
        {"key": "last", "value": "x"},
        {"key": "second", "value": "x", "ui_configuration": {"position": 2, "is_value_bold": true}},
        {"key": "first", "value": "x", "ui_configuration": {"position": -1}},
    ]}));
    let fixture = Fixture::benign("layout1");
    let html = render(&CheckoutPage { branding: &look, ..fixture.page("active", "en") }).unwrap().html;
    let at = |text: &str| html.find(&format!("<bdi>{text}</bdi></dt>")).unwrap();
    assert!(at("first") < at("second") && at("second") < at("last"));
    assert_eq!(html.matches("<dd class=\"bold\">").count(), 1);
}

#[test]
fn the_platform_is_named_unless_the_profile_hides_it() {
    let fixture = Fixture::benign("layout1");
    for (visible, named) in [(json!(null), true), (json!(true), true), (json!(false), false)] {
        let profile: PaymentLinkConfig =
            perfectpay::json::from_value(json!({ "branding_visibility": visible })).unwrap();
        let look = Branding::resolve(None, Some(&profile), None, None);
        let html = render(&CheckoutPage { branding: &look, ..fixture.page("held", "en") }).unwrap().html;
        assert_eq!(html.contains("Powered by Acme Outfitters"), named);
    }
}

#[test]
fn a_script_whose_host_no_policy_can_name_is_an_error() {
    let mut fixture = Fixture::benign("layout1");
    fixture.mount.script = "https://js;script-src/x.js".parse().unwrap();
    let fault = render(&fixture.page("active", "en")).unwrap_err();
    assert_eq!((fault.code(), fault.path()), ("checkout.script", "mount.script"));
}

#[test]
fn a_document_tells_the_findings_that_an_inspection_tells() {
    let fixture = Fixture::benign("layout2");
    let document = render(&fixture.page("active", "en")).unwrap();
    let inspected = inspect(&fixture.branding);
    assert_eq!(document.findings.len(), inspected.len());
    assert!(inspected.iter().all(|finding| document.findings.contains(finding)));
    assert!(inspected.iter().any(|f| matches!(f, Finding::LowContrast { field: "payment_button_text_colour", .. })));
}

#[test]
fn nothing_secret_is_in_what_debug_shows() {
    let fixture = Fixture::of("cs_hidden", "https://acme.example/", "layout1");
    let page = fixture.page("active", "en");
    let PageState::Active(form) = &page.state else { panic!("not active") };
    assert_eq!(format!("{:?}", form.client_secret), "Disclosed(..)");
}

#[test]
fn a_full_page_is_within_forty_kilobytes() {
    let fixture = Fixture::benign("layout1");
    let size = render(&fixture.page("active", "ar")).unwrap().html.len();
    assert!(size <= 40_000, "{size}");
}
