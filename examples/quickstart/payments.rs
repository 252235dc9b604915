//! Payments and payment links.

use perfectpay::scope::{Caller, ProfileScope};
use perfectpay::{Level, PageRequest, Payment, Resolved};
use serde_json::json;

use crate::published::{body, own};
use crate::tell::{Failure, answer, holds, line, section};

pub(crate) async fn play(caller: &Caller, profile: &ProfileScope) -> Result<(), Failure> {
    section("A payment and its link");
    let shop = caller.merchant();
    let new = body("create_payment_with_link")?;
    let made = shop.create_payment(new).idempotency_key("order-1001".parse()?).await?;
    tell_of(&made);
    holds(shop.payment(&made.payment_id).retrieve().await? == made, "what is read is what was written")?;
    let again = shop.create_payment(body("create_payment_with_link")?).idempotency_key("order-1001".parse()?).await?;
    holds(again == made, "an order is paid for once")?;
    line("the same order sent again: the same payment, not a second one");

    let link = made.payment_link.ok_or("the body asked for a link")?;
    let link = shop.payment_link(&link.payment_link_id).retrieve().await?;
    answer(&link)?;
    let branding = &link.branding;
    line("its branding was resolved with it; each value says where it comes from:");
    line(format_args!("  theme      {:<10} from the {}", branding.theme.value.as_str(), level(&branding.theme)));
    line(format_args!("  sdk_layout {:<10} from the {}", &*branding.sdk_layout.value, level(&branding.sdk_layout)));

    let new = own(json!({
        "amount": 1250, "currency": "EUR", "return_url": "https://acme.example/return", "session_expiry": 86_400,
        "payment_link": true, "payment_link_config_id": "winter",
        "payment_link_config": {"payment_button_text": "Pay now", "sdk_layout": "accordion"},
    }))?;
    let made = profile.create_payment(new).await?;
    tell_of(&made);
    let link = made.payment_link.ok_or("the body asked for a link")?;
    let branding = shop.payment_link(&link.payment_link_id).retrieve().await?.branding;
    line(format_args!("  theme      {:<10} from the {}", branding.theme.value.as_str(), level(&branding.theme)));
    line(format_args!("  sdk_layout {:<10} from the {}", &*branding.sdk_layout.value, level(&branding.sdk_layout)));

    let payments = shop.payments(PageRequest::default()).await?.items.len();
    let links = shop.payment_links(PageRequest::default()).await?.items.len();
    line(format_args!("{payments} payments and {links} links in the lists"));
    Ok(())
}

/// Without the client secret, which the answer holds in clear: it is for the customer's browser.
fn tell_of(payment: &Payment) {
    let (id, money) = (&payment.payment_id, payment.money());
    line(format_args!("created {id}: {money}, {}", payment.status));
}

fn level<T>(resolved: &Resolved<T>) -> &'static str {
    match resolved.level {
        Level::Request => "request",
        Level::ProfileSpecific => "profile's winter variant",
        Level::Profile => "profile",
        Level::BuiltIn => "library",
    }
}
