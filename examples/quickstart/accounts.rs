//! Organizations and merchant accounts.

use perfectpay::scope::{MerchantScope, OrganizationScope};
use perfectpay::{MerchantId, NewOrganization, PageRequest, PerfectPay};
use serde_json::json;

use crate::published::own;
use crate::tell::{Failure, answer, holds, line, refused, section};

/// The account in the published paths.
pub(crate) const SHOP: &str = "merchant_abc123";

pub(crate) async fn organization(pay: &PerfectPay) -> Result<OrganizationScope, Failure> {
    section("An organization");
    let new = NewOrganization::named("Acme".parse()?);
    // With an idempotency key a host may repeat the call as often as it must: after a timeout, after a crash.
    let made = pay.create_organization(new.clone()).idempotency_key("set-up-1".parse()?).await?;
    line(format_args!("created {} `{}`", made.organization_id, made.organization_name));
    let again = pay.create_organization(new).idempotency_key("set-up-1".parse()?).await?;
    holds(again == made, "a repeated command answers what it answered before")?;
    line("the same command under the same idempotency key: the same answer, and nothing made twice");
    let other = NewOrganization::named("Zenith".parse()?);
    let outcome = pay.create_organization(other).idempotency_key("set-up-1".parse()?).await;
    refused("another command under that key", outcome, "idempotency_mismatch")?;

    let group = pay.organization(&made.organization_id);
    let update = own(json!({"organization_name": "Acme Group", "metadata": {"region": "US"}}))?;
    let updated = group.update(update).expecting(made.version).await?;
    line(format_args!("renamed to `{}`, version {} to {}", updated.organization_name, made.version, updated.version));
    answer(&group.retrieve().await?)?;
    line(format_args!("{} organization in the list", pay.organizations(PageRequest::default()).await?.items.len()));
    Ok(group)
}

pub(crate) async fn merchants(group: &OrganizationScope) -> Result<MerchantScope, Failure> {
    section("Merchant accounts");
    let new = json!({
        "merchant_id": SHOP,
        "merchant_name": "Acme US",
        "merchant_details": {"primary_contact_person": "Jo Doe", "primary_email": "jo@acme.example"},
        "return_url": "https://acme.example/return",
        "webhook_details": {"webhook_url": "https://acme.example/hooks", "webhook_password": "not-for-the-eyes"},
    });
    let made = group.create_merchant(own(new)?).idempotency_key("set-up-2".parse()?).await?;
    line("created in one commit: the account, its default profile, its keys. Secrets come back masked");
    line("(nulls are left out here):");
    answer(&made)?;

    let shop = group.merchant(&made.merchant_id);
    let updated = shop.update(own(json!({"merchant_name": "Acme United States"}))?).expecting(made.version).await?;
    holds(shop.retrieve().await? == updated, "what is read is what was written")?;
    line(format_args!("renamed, now version {}", updated.version));
    line(format_args!(
        "its organization, read from inside the account: {}",
        shop.organization().await?.organization_name
    ));

    let businesses = json!([{"country": "GB", "business": "tea"}, {"country": "FR", "business": "wine"}]);
    let new = json!({"merchant_id": "acme_eu", "primary_business_details": businesses});
    let id: MerchantId = group.create_merchant(own(new)?).await?.merchant_id;
    let profiles = group.merchant(&id).profiles(PageRequest::default()).await?;
    let names: Vec<&str> = profiles.items.iter().map(|profile| &*profile.profile_name).collect();
    line(format_args!("{id} has one profile for each of its businesses: {}", names.join(", ")));
    let listed = group.merchants(PageRequest::of(1)?).await?;
    let rest = group.merchants(PageRequest::default().after(listed.next)).await?;
    line(format_args!("listed by pages: {} account, then {} more", listed.items.len(), rest.items.len()));
    Ok(shop)
}
