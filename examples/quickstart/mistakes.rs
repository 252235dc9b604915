//! Wrong input, and input that comes at the wrong time. Each of these changes nothing.

use perfectpay::scope::Caller;
use perfectpay::{
    CardNumber, NewConnector, NewMerchant, NewPayment, NewProfile, OrganizationId, PerfectPay, ProfileUpdate, json,
};

use crate::accounts::SHOP;
use crate::published::body;
use crate::tell::{Failure, holds, line, refused, section};

pub(crate) async fn play(pay: &PerfectPay, caller: &Caller) -> Result<(), Failure> {
    section("Mistakes");
    let before = pay.log_head().await?;
    bodies()?;
    conflicts(pay, caller).await?;
    strangers(pay, caller).await?;
    holds(pay.log_head().await? == before, "what is refused changes nothing")?;
    line("nothing of this is in the log");
    Ok(())
}

/// What is wrong with a body is found when it is read, and named by its path. No value of the body is repeated.
fn bodies() -> Result<(), Failure> {
    let unknown = br#"{"webhook_details": {"webhook_uri": "https://acme.example/hooks"}}"#;
    refused("a field that there is not", json::from_slice::<NewProfile>(unknown), "json.unknown_field")?;
    let blank = br#"{"connector_type": "payment_processor", "connector_name": "stripe",
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": " "}}"#;
    refused("a blank credential", json::from_slice::<NewConnector>(blank), "connector.blank_credential")?;
    let currency = br#"{"amount": 4999, "currency": "USX"}"#;
    refused("an unknown currency", json::from_slice::<NewPayment>(currency), "currency.unknown")?;
    let scheme = br#"{"return_url": "ftp://acme.example/return"}"#;
    refused("an address of another scheme", json::from_slice::<ProfileUpdate>(scheme), "url.not_http")?;
    let luhn = "4242 4242 4242 4241".parse::<CardNumber>().map_err(perfectpay::Error::from);
    refused("a mistyped card number", luhn, "card_number.luhn")
}

async fn conflicts(pay: &PerfectPay, caller: &Caller) -> Result<(), Failure> {
    let shop = caller.merchant();
    let twin = shop.create_profile(body("create_profile")?).await;
    refused("a second profile of the same name", twin, "duplicate")?;
    let entry = shop.blocklist().add(body("add_to_blocklist")?).await;
    refused("an entry that is on the blocklist", entry, "already_exists")?;
    let account = shop.retrieve().await?;
    let update = json::from_slice(br#"{"merchant_name": "Acme Elsewhere"}"#)?;
    let stale = shop.update(update).expecting(account.version - 1).await;
    refused("an update of a version that is past", stale, "stale")?;
    let group = pay.organization(&account.organization_id);
    let taken = group.create_merchant(NewMerchant::with_id(SHOP.parse()?)).await;
    refused("a merchant account whose id is taken", taken, "already_exists")?;
    refused("removing an account that has children", shop.remove().await, "has_children")
}

/// What is not there, and what belongs to somebody else, are answered alike.
async fn strangers(pay: &PerfectPay, caller: &Caller) -> Result<(), Failure> {
    let theirs = pay.merchant(&"acme_eu".parse()?).retrieve().await?;
    let profile = theirs.default_profile.ok_or("every account begins with a profile")?;
    let foreign = caller.merchant().profile(&profile).retrieve().await;
    refused("a profile of another account", foreign, "not_found")?;
    let absent = caller.merchant().profile(&"pro_abcdefghijklmnop".parse()?).retrieve().await;
    refused("a profile that does not exist", absent, "not_found")?;
    let link = caller.merchant().payment_link(&"plink_abc123".parse()?).retrieve().await;
    refused("a payment link that does not exist", link, "not_found")?;
    let elsewhere: OrganizationId = "org_somebody_else".parse()?;
    let through = pay.organization(&elsewhere).merchant(&SHOP.parse()?).retrieve().await;
    refused("the account by way of another organization", through, "not_found")?;
    refused("a token that was mistyped", pay.authenticate("snd_mistyped").await, "unauthorized")
}
