//! What a payment page costs: its time beside the hash and the copy that it cannot do without, and its size.
//!
//! `cargo bench -p perfectpay-benches --bench checkout` prints what `benches/README.md` keeps.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a bench stops at a surprise")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use perfectpay::{Branding, Disclosed, Money, Object, PaymentId, PaymentLinkConfigRequest, Timestamp};
use perfectpay_checkout::{CheckoutPage, LineItem, LineItems, Mount, PageState, PaymentForm, QrSvg, render};
use serde_json::json;
use sha2::{Digest as _, Sha256};

const ROUNDS: usize = 101;
const TIMES: u32 = 200;

fn timed(mut run: impl FnMut()) -> Duration {
    let started = Instant::now();
    (0..TIMES).for_each(|_| run());
    started.elapsed() / TIMES
}

fn median(mut values: Vec<Duration>) -> f64 {
    values.sort();
    values[values.len() / 2].as_secs_f64() * 1e6
}

fn main() {
    let request: PaymentLinkConfigRequest = perfectpay::json::from_value(json!({
        "theme": "#14532d", "seller_name": "Fjord & Field", "show_merchant_name": true,
        "logo": "https://static.shop.example/logo.svg",
        "background_image": {"url": "https://static.shop.example/back.svg", "size": "cover"},
        "payment_button_colour": "#facc15", "payment_button_text_colour": "#ffffff",
        "custom_message_for_card_terms": "Your card is charged once the parcel is on its way.",
        "transaction_details": [{"key": "Order", "value": "No. 2048"}, {"key": "Delivery", "value": "2 to 3 days"}],
        "payment_link_ui_rules": {".button": {"border-radius": "26px"}, ".amount": {"font-size": "2.5rem"}},
    }))
    .unwrap();
    let branding = Branding::resolve(Some(&request), None, None, None);
    let payment_id: PaymentId = "pay_mbabizu24mvu3mela5njyhpit4".parse().unwrap();
    let client_secret: Disclosed = serde_json::from_value(json!("pay_mbabizu24mvu3mela5njyhpit4_secret_x")).unwrap();
    let mount = Mount {
        script: "https://js.processor.example/v1/element.js".parse().unwrap(),
        configuration: Object::default(),
        origins: vec!["https://*.processor.example".parse().unwrap()].try_into().unwrap(),
    };
    let item = |name: &str, amount: i64| LineItem {
        name: name.parse().unwrap(),
        quantity: 2,
        amount: amount.try_into().unwrap(),
    };
    let items: LineItems =
        vec![item("Merino blanket", 8_900), item("Candles", 2_850), item("Delivery", 1_100)].try_into().unwrap();
    let link = "https://pay.example/payment_link/shops/pay_mbabizu24mvu3mela5njyhpit4?locale=en".parse().unwrap();
    let qr_code = QrSvg::of(&link).unwrap();
    let description = "Spring order".parse().unwrap();
    let expires_at: Timestamp = "2026-12-05T09:07:00Z".parse().unwrap();
    let return_url = "https://shop.example/thanks".parse().unwrap();
    let platform = "PerfectPay".parse().unwrap();
    let page = |locale, active: bool, qr: bool| {
        let form = PaymentForm {
            payment_id: &payment_id,
            publishable_key: "pk_snd_0123456789abcdef0123456789abcdef",
            client_secret: &client_secret,
            mount: &mount,
        };
        let state = if active { PageState::Active(form) } else { PageState::Paid };
        let mut page = CheckoutPage::new(&branding, state, locale);
        page.amount = Some(Money { amount: 12_850.try_into().unwrap(), currency: "EUR".parse().unwrap() });
        page.items = &items;
        page.description = Some(&description);
        page.expires_at = Some(expires_at);
        page.return_url = Some(&return_url);
        page.platform = Some(&platform);
        page.qr_code = qr.then_some(&qr_code);
        page
    };

    println!("{:<34} {:>10} {:>12} {:>8}", "page", "bytes", "median, µs", "floor, µs");
    for (name, page) in [
        ("active, English", page("en", true, false)),
        ("active, Spanish", page("es", true, false)),
        ("active, Arabic", page("ar", true, false)),
        ("active, English, with QR code", page("en", true, true)),
        ("paid, English", page("en", false, false)),
    ] {
        let html = render(&page).unwrap().html;
        // The floor: the branding's own style sheet hashed, the whole page copied.
        let sheet = html.split("<style>").nth(2).and_then(|rest| rest.split("</style>").next()).unwrap();
        let mut ours = Vec::with_capacity(ROUNDS);
        let mut floor = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            ours.push(timed(|| {
                black_box(render(black_box(&page)).unwrap());
            }));
            floor.push(timed(|| {
                black_box(Sha256::digest(black_box(sheet)));
                black_box(black_box(&html).clone());
            }));
        }
        println!("{name:<34} {:>10} {:>12.1} {:>8.1}", html.len(), median(ours), median(floor));
    }
    let mut codes = Vec::with_capacity(ROUNDS);
    for _ in 0..11 {
        codes.push(timed(|| {
            black_box(QrSvg::of(black_box(&link)).unwrap());
        }));
    }
    println!("{:<34} {:>10} {:>12.1}", "QR code by itself", qr_code.document().len(), median(codes));
}
