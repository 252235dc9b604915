//! A later run on the same file: what is there. Nothing is written.

use perfectpay::scope::{MerchantScope, OrganizationScope};
use perfectpay::{Money, PageRequest, PerfectPay};

use crate::tell::{Failure, holds, line, section};

pub(crate) async fn show(pay: &PerfectPay) -> Result<(), Failure> {
    section("What survived");
    let before = pay.log_head().await?;
    for found in pay.organizations(PageRequest::default()).await?.items {
        line(format_args!("organization {} `{}`", found.organization_id, found.organization_name));
        organization(&pay.organization(&found.organization_id)).await?;
    }
    let after = pay.log_head().await?;
    holds(after == before, "reading writes nothing")?;
    line(format_args!("the log ends at {}, {}; nothing was added", after.position, after.at));
    Ok(())
}

async fn organization(group: &OrganizationScope) -> Result<(), Failure> {
    for found in group.merchants(PageRequest::default()).await?.items {
        let name = found.merchant_name.as_deref().unwrap_or("without a name");
        line(format_args!("  merchant account {} `{name}`, version {}", found.merchant_id, found.version));
        merchant(&group.merchant(&found.merchant_id)).await?;
    }
    Ok(())
}

async fn merchant(shop: &MerchantScope) -> Result<(), Failure> {
    for profile in shop.profiles(PageRequest::default()).await?.items {
        line(format_args!("    profile {} `{}`", profile.profile_id, profile.profile_name));
        let accounts = shop.profile(&profile.profile_id).connectors(PageRequest::default()).await?;
        for account in accounts.items {
            let masked = serde_json::to_string(&account.connector_account_details)?;
            line(format_args!("      connector {:<26} {masked}", &*account.connector_label));
        }
    }
    for key in shop.api_keys(PageRequest::default()).await?.items {
        let state = if key.revoked.is_some() { "revoked" } else { "lives" };
        line(format_args!("    API key {}… `{}`, {state}", key.prefix, key.name));
    }
    for entry in shop.blocklist().entries(None, PageRequest::default()).await?.data {
        line(format_args!("    blocked: {} {}", entry.data_kind, entry.fingerprint_id));
    }
    for link in shop.payment_links(PageRequest::default()).await?.items {
        let amount = link.amount.fixed().map(|amount| Money { amount, currency: link.currency }.to_string());
        let amount = amount.as_deref().unwrap_or("any amount");
        line(format_args!("    payment link {} for {amount}, {}", link.payment_link_id, link.state));
    }
    Ok(())
}
