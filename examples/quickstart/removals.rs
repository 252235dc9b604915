//! Removing: refused while there are children, unless the command takes them along.

use perfectpay::scope::ProfileScope;
use perfectpay::{NewMerchant, NewOrganization, NewProfile, PageRequest, PerfectPay};
use serde_json::json;

use crate::published::own;
use crate::tell::{Failure, holds, line, refused, section};

pub(crate) async fn play(pay: &PerfectPay, kept: &ProfileScope) -> Result<(), Failure> {
    section("Removals");
    let made = pay.create_organization(NewOrganization::named("Pop-up Shops".parse()?)).await?;
    let group = pay.organization(&made.organization_id);
    let made = group.create_merchant(NewMerchant::with_id("popup_berlin".parse()?)).await?;
    let shop = group.merchant(&made.merchant_id);
    let issued = shop.create_api_key(own(json!({"name": "Till", "expiration": "never"}))?).await?;
    let token = issued.api_key.ok_or("the token is in the first answer")?;
    pay.authenticate(token.expose()).await?;

    let stall = shop.create_profile(NewProfile::named("stall".parse()?)).await?;
    let gone = shop.profile(&stall.profile_id).remove().expecting(stall.version).await?;
    line(format_args!("removed the profile {gone}"));
    let default = made.default_profile.ok_or("every account begins with a profile")?;
    refused("the default profile, while there are others", kept.remove().await, "profile.is_default")?;
    refused("an organization that has accounts", group.remove().await, "has_children")?;
    let removed = shop.remove().cascade().await?;
    line(format_args!("removed {} with everything below it: {}", removed.merchant_id, removed.deleted));
    refused("its API key", pay.authenticate(token.expose()).await, "unauthorized")?;
    refused("its profile", shop.profile(&default).retrieve().await, "not_found")?;

    // The id is free, and its new owner sees nothing of the old one.
    group.create_merchant(NewMerchant::with_id("popup_berlin".parse()?)).await?;
    let keys = shop.api_keys(PageRequest::default()).await?;
    holds(keys.items.is_empty(), "the new owner of an id has none of the old one's keys")?;
    refused("the old API key at the new owner of the id", pay.authenticate(token.expose()).await, "unauthorized")?;
    let removed = group.remove().cascade().await?;
    line(format_args!("removed {removed} with the account that had taken the id again"));
    refused("the organization", group.retrieve().await, "not_found")
}
