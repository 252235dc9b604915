//! Plays every operation of an account set-up with the published request bodies, on memory for now.
use futures_lite::future::block_on;
use perfectpay::json::from_slice;
use perfectpay::*;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    block_on(run())
}

#[allow(clippy::print_stdout, reason = "an example speaks to people")]
async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let store = Arc::new(perfectpay_memory::MemoryStore::new());
    let settings =
        Settings::new(MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?).base_url("https://pay.example.com".parse()?);
    let pay = PerfectPay::open(store, settings).await?;
    let org = pay
        .create_organization(NewOrganization::named("Acme Group".parse()?))
        .idempotency_key("org-1".parse()?)
        .await?;
    let again = pay
        .create_organization(NewOrganization::named("Acme Group".parse()?))
        .idempotency_key("org-1".parse()?)
        .await?;
    assert_eq!(org, again);
    println!("{}", serde_json::to_string_pretty(&org)?);
    let scope = pay.organization(&org.organization_id);
    let merchant = scope.create_merchant(from_slice(br#"{"merchant_id":"merchant_abc123","merchant_name":"Acme US","webhook_details":{"webhook_url":"https://x.example/","webhook_password":"hunter22"}}"#)?).await?;
    println!("{}", serde_json::to_string_pretty(&merchant)?);
    let m = scope.merchant(&merchant.merchant_id);
    let profile = m.create_profile(from_slice(br#"{"profile_name":"US Online Store","return_url":"https://store.example.com/checkout/complete","webhook_details":{"webhook_url":"https://store.example.com/webhooks/perfectpay"}}"#)?).idempotency_key("p1".parse()?).await?;
    println!("{}", serde_json::to_string_pretty(&profile)?);
    let p = m.profile(&profile.profile_id);
    let updated = p
        .update(from_slice(br#"{"webhook_details":{"webhook_url":"https://store.example.com/webhooks/v2"}}"#)?)
        .expecting(1)
        .await?;
    assert_eq!(updated.version, 2);
    let c = p.create_connector(from_slice(br#"{"connector_type":"payment_processor","connector_name":"stripe","connector_account_details":{"auth_type":"HeaderKey","api_key":"sk_test_..."},"payment_methods_enabled":[{"payment_method":"card","payment_method_types":["credit","debit"]}]}"#)?).idempotency_key("c1".parse()?).await?;
    println!("{}", serde_json::to_string_pretty(&c)?);
    let key = m
        .create_api_key(from_slice(br#"{"name":"Production Backend Key","expiration":"2027-01-01T00:00:00Z"}"#)?)
        .idempotency_key("k1".parse()?)
        .await?;
    println!("{key:?} {}", serde_json::to_string_pretty(&key)?);
    let key2 = m
        .create_api_key(from_slice(br#"{"name":"Production Backend Key","expiration":"2027-01-01T00:00:00Z"}"#)?)
        .idempotency_key("k1".parse()?)
        .await?;
    assert!(key2.replayed && key2.api_key.is_none());
    let caller = pay.authenticate(key.api_key.as_ref().unwrap().expose()).await?;
    println!("{}", serde_json::to_string(&caller.merchant().organization().await?)?);
    caller.merchant().blocklist().add(from_slice(br#"{"type":"card_bin","data":"411111"}"#)?).await?;
    println!("{}", serde_json::to_string(&caller.merchant().blocklist().entries(None, PageRequest::default()).await?)?);
    println!("{:?}", caller.merchant().blocklist().screen(&"4111111111111111".parse()?).await?);
    println!("{:?}", caller.merchant().blocklist().toggle(None).await?);
    println!("{:?}", caller.merchant().blocklist().screen(&"4111111111111111".parse()?).await?.is_blocked());
    m.update(MerchantUpdate { default_profile: Patch::Set(profile.profile_id.clone()), ..Default::default() }).await?;
    let payment = caller.merchant().create_payment(from_slice(br#"{"amount":4999,"currency":"USD","customer_id":"cus_abc123","capture_method":"automatic","authentication_type":"no_three_ds","return_url":"https://example.com/checkout/complete","confirm":false,"description":"Order 1001","metadata":{"order_id":"1001"},"payment_link":true}"#)?).idempotency_key("pay1".parse()?).await?;
    println!("{}", serde_json::to_string_pretty(&payment)?);
    let link = m.payment_link(&payment.payment_link.as_ref().unwrap().payment_link_id).retrieve().await?;
    println!("{}", serde_json::to_string_pretty(&link)?);
    println!("{}", serde_json::to_string_pretty(&link.branding.config())?);
    m.api_key(&key.key_id).revoke().await?;
    println!("{:?}", caller.merchant().retrieve().await);
    println!("{:?}", m.remove().await.unwrap_err().to_string());
    for entry in pay.log(Default::default(), 100).await? {
        println!("{}", serde_json::to_string(&entry)?);
    }
    println!("{}", serde_json::to_string(&m.remove().cascade().await?)?);
    println!("{:?}", m.retrieve().await.unwrap_err().to_string());
    Ok(())
}
