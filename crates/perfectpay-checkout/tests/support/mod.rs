//! Pages for tests: one with every setting, and what somebody hostile would put into each of them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "shared by test programs that each use a part"
)]

use perfectpay::{
    Branding, Disclosed, Money, Object, PaymentId, PaymentLinkConfig, PaymentLinkConfigRequest, Text, Timestamp, WebUrl,
};
use perfectpay_checkout::{
    AmountForm, CheckoutPage, Framing, LineItem, LineItems, Mount, PageState, PaymentForm, QrSvg,
};
use serde_json::{Value, json};

/// Everything that a page borrows.
pub struct Fixture {
    pub branding: Branding,
    pub description: Text<255>,
    pub items: LineItems,
    pub return_url: WebUrl,
    pub qr_code: QrSvg,
    pub platform: Text<64>,
    pub payment_id: PaymentId,
    pub publishable_key: String,
    pub client_secret: Disclosed,
    pub mount: Mount,
}

/// The names of the states, in the order of [`PageState`].
pub const STATES: [&str; 9] =
    ["scheduled", "open_amount", "active", "held", "paid", "failed", "used_up", "expired", "deactivated"];

/// Up to `max` characters of a text.
fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

impl Fixture {
    /// A page with every setting, `text` in every text, `url` as every address that the page shows.
    pub fn of(text: &str, url: &str, layout: &str) -> Self {
        let short = cut(text, 255);
        let rules = json!({
            ".button": {"border-radius": "8px"},
            cut(text, 255): {"color": "red"},
            ".amount": {cut(text, 255): "red", "color": short},
        });
        let request: PaymentLinkConfigRequest = perfectpay::json::from_value(json!({
            "theme": "#0f766e",
            "logo": url,
            "seller_name": short,
            "sdk_layout": short,
            "show_merchant_name": true,
            "enabled_saved_payment_method": true,
            "enable_button_only_on_form_ready": true,
            "background_image": {"url": url, "position": "bottom right", "size": "cover"},
            "details_layout": layout,
            "payment_button_text": short,
            "payment_button_colour": "#ffd400",
            "payment_button_text_colour": "#ffffff",
            "background_colour": "rgb(10 60 80 / 90%)",
            "custom_message_for_card_terms": short,
            "custom_message_for_payment_method_types": [{"payment_method": "card", "payment_method_types":
                [{"payment_method_type": "credit", "message": {"value": short, "display_mode": "custom_message"}}]}],
            "payment_form_header_text": short,
            "sdk_ui_rules": rules,
            "payment_link_ui_rules": rules,
            "show_card_terms": "always",
            "transaction_details": [
                {"key": short, "value": short, "ui_configuration": {"is_key_bold": true, "is_value_bold": true}},
                {"key": "Order", "value": "A-1", "ui_configuration": {"position": 1}},
            ],
        }))
        .unwrap();
        let profile: PaymentLinkConfig =
            perfectpay::json::from_value(json!({"allowed_domains": ["*.shop.example", "shop.example"]})).unwrap();
        let configuration: Object = match json!({"note": text, text: [text]}) {
            Value::Object(map) => map.try_into().unwrap(),
            _ => Object::default(),
        };
        let item = |amount: i64, quantity| LineItem {
            name: short.parse().unwrap(),
            quantity,
            amount: amount.try_into().unwrap(),
        };
        Self {
            branding: Branding::resolve(Some(&request), Some(&profile), None, None),
            description: short.parse().unwrap(),
            items: vec![item(2_500, 1), item(2_499, 1_200)].try_into().unwrap(),
            return_url: url.parse().unwrap(),
            qr_code: QrSvg::of(&url.parse().unwrap()).unwrap(),
            platform: cut(text, 64).parse().unwrap(),
            payment_id: "pay_mbabizu24mvu3mela5njyhpit4".parse().unwrap(),
            publishable_key: text.to_owned(),
            client_secret: serde_json::from_value(json!(text)).unwrap(),
            mount: Mount {
                script: "https://js.processor.example/v1/element.js".parse().unwrap(),
                configuration,
                origins: vec!["https://*.processor.example".parse().unwrap()].try_into().unwrap(),
            },
        }
    }

    /// A page with every setting and nothing wrong with it.
    pub fn benign(layout: &str) -> Self {
        Self::of("Acme Outfitters", "https://acme.example/picture.svg", layout)
    }

    /// The page in a state, by the state's name.
    pub fn page<'a>(&'a self, state: &str, locale: &'a str) -> CheckoutPage<'a> {
        let money = Money { amount: 4_999.try_into().unwrap(), currency: "USD".parse().unwrap() };
        let moment: Timestamp = "2026-12-05T09:07:00Z".parse().unwrap();
        let state = match state {
            "scheduled" => PageState::Scheduled { opens_at: moment },
            "open_amount" => PageState::OpenAmount(AmountForm {
                action: &self.return_url,
                currency: money.currency,
                minimum: 100.try_into().unwrap(),
                maximum: 100_000.try_into().unwrap(),
            }),
            "active" => PageState::Active(PaymentForm {
                payment_id: &self.payment_id,
                publishable_key: &self.publishable_key,
                client_secret: &self.client_secret,
                mount: &self.mount,
            }),
            "held" => PageState::Held,
            "paid" => PageState::Paid,
            "failed" => PageState::Failed,
            "used_up" => PageState::UsedUp,
            "expired" => PageState::Expired,
            _ => PageState::Deactivated,
        };
        CheckoutPage {
            amount: Some(money),
            description: Some(&self.description),
            items: &self.items,
            expires_at: Some(moment),
            return_url: Some(&self.return_url),
            qr_code: Some(&self.qr_code),
            platform: Some(&self.platform),
            framing: Framing::secure(&self.branding),
            ..CheckoutPage::new(&self.branding, state, locale)
        }
    }
}

/// Texts that somebody hostile, or somebody with an unusual name, would put into any field.
pub const HOSTILE: [&str; 14] = [
    "<script>window.__hostile=1</script>",
    "\"><script>window.__hostile=1</script>",
    "'><img src=x onerror=window.__hostile=1>",
    "</title></style></script><script>window.__hostile=1</script>",
    "</textarea></noscript><svg onload=window.__hostile=1>",
    "--><!--<script>--><script>window.__hostile=1</script>",
    "javascript:window.__hostile=1",
    "{{7*7}}{% if true %}{amount}{seller}",
    "red;}body{display:none}",
    "url(https://evil.example/x)",
    "\" autofocus onfocus=window.__hostile=1 x=\"",
    "&lt;b&gt;&#60;script&#62;&quot;",
    "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW\
     WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
    "ש\u{5c1}\u{5b8}לוֹם مرحبا 你好 👩👧 Ⱥ̷̡̛",
];

/// Addresses that the core takes and that would break out of an attribute, a style sheet or a policy.
pub const HOSTILE_URLS: [&str; 4] = [
    "https://acme.example/a.png?x=\"onerror=1&y='</style><script>",
    "https://acme.example/a.png#)}body{display:none}/*",
    "https://acme.example/');@import'https://evil.example/x.css",
    "https://acme.example/a,b;script-src/*",
];
