//! API keys: who calls.

use perfectpay::scope::{Caller, MerchantScope};
use perfectpay::{PageRequest, PerfectPay};
use serde_json::json;

use crate::published::{body, own};
use crate::tell::{Failure, holds, line, refused, section};

pub(crate) async fn play(pay: &PerfectPay, shop: &MerchantScope) -> Result<Caller, Failure> {
    section("API keys");
    let made = shop.create_api_key(body("create_api_key")?).idempotency_key("key-1".parse()?).await?;
    let token = made.api_key.ok_or("the token is in the first answer")?;
    let key = shop.api_key(&made.key_id);
    let kept = key.retrieve().await?;
    line(format_args!("created `{}`: token {}…, shown in full once, kept as a keyed digest", kept.name, kept.prefix));
    let replayed = shop.create_api_key(body("create_api_key")?).idempotency_key("key-1".parse()?).await?;
    holds(replayed.replayed && replayed.api_key.is_none(), "a replay does not show the token again")?;
    line("the same command again answers the same key, without its token");

    let update = own(json!({"expiration": "never", "description": "the shop's server"}))?;
    let updated = key.update(update).expecting(kept.version).await?;
    line(format_args!("moved its expiry from {} to {}", kept.expiration, updated.expiration));

    let caller = pay.authenticate(token.expose()).await?;
    line(format_args!("authenticated: the holder of {} calls for {}", caller.api_key().prefix, caller.merchant_id()));
    let name = caller.merchant().organization().await?.organization_name;
    line(format_args!("its handle reaches its own account, and reads the organization's name: {name}"));

    let spare = shop.create_api_key(own(json!({"name": "Spare key", "expiration": "never"}))?).await?;
    let token = spare.api_key.ok_or("the token is in the first answer")?;
    let spare_caller = pay.authenticate(token.expose()).await?;
    shop.api_key(&spare.key_id).revoke().await?;
    refused("a revoked key", pay.authenticate(token.expose()).await, "unauthorized")?;
    refused("a handle made before the key was revoked", spare_caller.merchant().retrieve().await, "unauthorized")?;

    line("listed, the revoked one too:");
    for key in shop.api_keys(PageRequest::default()).await?.items {
        let state = key.revoked.map_or("lives".to_owned(), |at| format!("revoked {at}"));
        line(format_args!("  {}…  {:<24} {state}", key.prefix, &*key.name));
    }
    Ok(caller)
}
