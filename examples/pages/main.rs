//! The checkout pages of a shop in every state, layout and language, written to files.
//!
//! ```text
//! cargo run --release --example pages [FOLDER]
//! ```
//!
//! Each page is an HTML file, to be opened in a browser, and beside it a JSON file with its status, its headers and what
//! there is to say about its branding. Without a folder they go to `target/pages`.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs};

use futures_lite::future::block_on;
use perfectpay::{
    MasterKey, NewOrganization, NewPayment, Payment, PaymentLink, PerfectPay, Settings, Timestamp, WebUrl, json,
};
use perfectpay_checkout::{
    AmountForm, CheckoutPage, Framing, LineItem, LineItems, Mount, PageState, PaymentForm, QrSvg, render,
};
use perfectpay_sqlite::SqliteStore;
use serde_json::json;

/// What the looks are called, and the branding that the payment's request states.
const LOOKS: [(&str, &str); 4] = [
    (
        "layout1",
        r##"{
            "theme": "#14532d", "seller_name": "Fjord & Field", "show_merchant_name": true, "details_layout": "layout1",
            "custom_message_for_card_terms": "Your card is charged once the parcel is on its way.",
            "transaction_details": [{"key": "Order", "value": "No. 2048", "ui_configuration": {"is_value_bold": true}},
                                    {"key": "Delivery", "value": "2 to 3 working days"}]
        }"##,
    ),
    (
        "layout2",
        r##"{
            "theme": "#4338ca", "seller_name": "Atelier Noor", "details_layout": "layout2", "sdk_layout": "accordion",
            "logo": "https://static.shop.example/logo.svg", "show_merchant_name": true,
            "background_colour": "#eef2ff", "payment_form_header_text": "Choose how to pay", "show_card_terms": "always",
            "custom_message_for_payment_method_types": [{"payment_method": "card", "payment_method_types": [
                {"payment_method_type": "credit", "message": {"value": "Credit cards of all banks are taken.",
                                                              "display_mode": "custom_message"}}]}]
        }"##,
    ),
    (
        "image",
        r##"{
            "theme": "#b45309", "seller_name": "Sol y Sombra", "show_merchant_name": true, "details_layout": "layout1",
            "background_image": {"url": "https://static.shop.example/back.svg", "position": "center", "size": "cover"},
            "payment_button_text": "Book now", "payment_button_colour": "#facc15", "payment_button_text_colour": "#fff",
            "payment_link_ui_rules": {".button": {"border-radius": "26px"}}
        }"##,
    ),
    ("form", r##"{"theme": "#be123c", "seller_name": "Kite", "display_sdk_only": true}"##),
];

const LOCALES: [&str; 3] = ["en", "es", "ar"];

fn main() -> ExitCode {
    let folder = env::args().nth(1).map_or_else(|| PathBuf::from("target/pages"), PathBuf::from);
    match block_on(run(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _said = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let mut out = io::stdout().lock();
    let master_key = MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?;
    let pay = PerfectPay::open(Arc::new(SqliteStore::in_memory()?), Settings::new(master_key)).await?;
    let group = pay.create_organization(NewOrganization::named("Shops".parse()?)).await?;
    let group = pay.organization(&group.organization_id);
    let merchant = group.create_merchant(json::from_slice(br#"{"merchant_id": "shops"}"#)?).await?;
    let shop = group.merchant(&"shops".parse()?);

    let (mut pages, mut bytes) = (0, 0);
    for (look, branding) in LOOKS {
        // The profile and the request state the branding; a link keeps what came of both.
        let mut body: NewPayment = json::from_slice(
            br#"{"amount": 12850, "currency": "EUR", "payment_link": true, "session_expiry": 86400,
                 "description": "Spring order", "return_url": "https://shop.example/thanks"}"#,
        )?;
        body.payment_link_config = Some(json::from_slice(branding.as_bytes())?);
        let payment = shop.create_payment(body).await?;
        let named = payment.payment_link.as_ref().ok_or("no link")?;
        let link = shop.payment_link(&named.payment_link_id).retrieve().await?;
        let shown = Shown::of(&payment, &link, merchant.publishable_key.as_str())?;
        for (state, state_name) in shown.states()? {
            for locale in LOCALES {
                let page = shown.page(state.clone(), locale);
                let document = render(&page)?;
                let name = format!("{look}-{state_name}-{locale}");
                fs::write(folder.join(format!("{name}.html")), &document.html)?;
                let headers: serde_json::Map<_, _> =
                    document.headers.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                let beside = json!({"status": document.status, "headers": headers, "findings": document.findings});
                fs::write(folder.join(format!("{name}.json")), serde_json::to_vec_pretty(&beside)?)?;
                writeln!(out, "{name}.html  {} bytes, status {}", document.html.len(), document.status)?;
                for finding in document.findings {
                    writeln!(out, "    {}", serde_json::to_string(&finding)?)?;
                }
                pages += 1;
                bytes += document.html.len();
            }
        }
        let code = format!("{look}-qr.svg");
        fs::write(folder.join(&code), shown.qr_code.document())?;
        writeln!(out, "{code}  the QR code of {}", link.link_to_pay)?;
    }
    writeln!(out, "{pages} pages, {} bytes each on average, in {}", bytes / pages, folder.display())?;
    Ok(())
}

/// Everything that the pages of one link show.
struct Shown<'a> {
    payment: &'a Payment,
    link: &'a PaymentLink,
    publishable_key: &'a str,
    items: LineItems,
    qr_code: QrSvg,
    mount: Mount,
    amount_form: WebUrl,
    platform: perfectpay::Text<64>,
}

impl<'a> Shown<'a> {
    fn of(payment: &'a Payment, link: &'a PaymentLink, publishable_key: &'a str) -> Result<Self, Box<dyn Error>> {
        let item = |name: &str, quantity, amount: i64| -> Result<LineItem, Box<dyn Error>> {
            Ok(LineItem { name: name.parse()?, quantity, amount: amount.try_into()? })
        };
        let items = vec![
            item("Merino blanket, 140 × 200 cm", 1, 8_900)?,
            item("Beeswax candles", 3, 2_850)?,
            item("Delivery", 1, 1_100)?,
        ];
        Ok(Self {
            payment,
            link,
            publishable_key,
            items: items.try_into()?,
            qr_code: QrSvg::of(&link.link_to_pay.parse()?)?,
            mount: Mount {
                script: "https://js.processor.example/v1/element.js".parse()?,
                configuration: json::from_slice(br#"{"wallets": ["apple_pay", "google_pay"]}"#)?,
                origins: vec!["https://*.processor.example".parse()?].try_into()?,
            },
            amount_form: "https://pay.example/amount".parse()?,
            platform: "PerfectPay".parse()?,
        })
    }

    /// What the link may be in, and a name for the file.
    fn states(&'a self) -> Result<Vec<(PageState<'a>, &'static str)>, Box<dyn Error>> {
        let opens_at: Timestamp = "2027-03-01T08:00:00Z".parse()?;
        Ok(vec![
            (
                PageState::Active(PaymentForm {
                    payment_id: &self.payment.payment_id,
                    publishable_key: self.publishable_key,
                    client_secret: &self.payment.client_secret,
                    mount: &self.mount,
                }),
                "active",
            ),
            (
                PageState::OpenAmount(AmountForm {
                    action: &self.amount_form,
                    currency: self.link.currency,
                    minimum: 500.try_into()?,
                    maximum: 50_000.try_into()?,
                }),
                "open-amount",
            ),
            (PageState::Scheduled { opens_at }, "scheduled"),
            (PageState::Held, "held"),
            (PageState::Paid, "paid"),
            (PageState::Failed, "failed"),
            (PageState::UsedUp, "used-up"),
            (PageState::Expired, "expired"),
            (PageState::Deactivated, "deactivated"),
        ])
    }

    fn page(&'a self, state: PageState<'a>, locale: &'a str) -> CheckoutPage<'a> {
        let open_amount = matches!(state, PageState::OpenAmount(_));
        let mut page = CheckoutPage::of(self.link, state, locale);
        if open_amount {
            page.amount = None;
        }
        page.items = &self.items;
        page.return_url = self.payment.return_url.as_ref();
        page.qr_code = Some(&self.qr_code);
        page.platform = Some(&self.platform);
        page.framing = Framing::secure(&self.link.branding);
        page
    }
}
