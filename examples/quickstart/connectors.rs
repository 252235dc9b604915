//! Connector accounts: credentials for payment processors.

use perfectpay::scope::{MerchantScope, ProfileScope};
use perfectpay::{AuthType, Catalogue, ConnectorAuth, NewConnector, PageRequest};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use crate::OWN_CONNECTOR;
use crate::published::{body, own};
use crate::tell::{Failure, answer, holds, line, section};

/// The eight shapes of credentials, with the members that each has.
pub(crate) const SHAPES: [(AuthType, &str); 8] = [
    (AuthType::HeaderKey, r#"{"api_key": "key-one-0001"}"#),
    (AuthType::BodyKey, r#"{"api_key": "key-one-0002", "key1": "key-two-0002"}"#),
    (AuthType::SignatureKey, r#"{"api_key": "key-one-0003", "key1": "key-two-0003", "api_secret": "sign-0003"}"#),
    (
        AuthType::MultiAuthKey,
        r#"{"api_key": "key-one-0004", "key1": "key-two-0004", "api_secret": "sign-0004", "key2": "key-three-0004"}"#,
    ),
    (AuthType::CurrencyAuthKey, r#"{"auth_key_map": {"USD": {"terminal": "term-0005"}}}"#),
    (AuthType::CertificateAuth, r#"{"certificate": "Y2VydGlmaWNhdGU=", "private_key": "cHJpdmF0ZQ=="}"#),
    (AuthType::NoKey, "{}"),
    (AuthType::TemporaryAuth, "{}"),
];

pub(crate) async fn play(shop: &MerchantScope, profile: &ProfileScope) -> Result<(), Failure> {
    section("Connector accounts");
    catalogue()?;
    let made = profile.create_connector(body("create_connector")?).idempotency_key("stripe-1".parse()?).await?;
    line("created from the published body, credentials sealed in the file and masked in the answer:");
    answer(&made)?;

    let connector = profile.connector(&made.merchant_connector_id);
    if let ConnectorAuth::HeaderKey { api_key } = connector.reveal_credentials().await? {
        let length = api_key.expose_secret().len();
        line(format_args!("the host can reveal them, to call the processor: {length} characters, not shown here"));
    }
    let update = json!({"connector_type": "payment_processor", "connector_label": "stripe_main", "disabled": true});
    let updated = connector.update(own(update)?).expecting(made.version).await?;
    line(format_args!(
        "updated: `{}`, disabled: {}, version {}",
        updated.connector_label, updated.disabled, updated.version
    ));
    holds(connector.retrieve().await? == updated, "what is read is what was written")?;

    let objects = shop.create_connector(body("create_connector_object_form")?).await?;
    line(format_args!(
        "the published body with methods as objects is stored alike, labelled `{}`",
        objects.connector_label
    ));
    holds(objects.payment_methods_enabled == made.payment_methods_enabled, "both forms of the methods mean the same")?;

    line("the host's own connector, once with each shape of credentials:");
    for (shape, members) in SHAPES {
        let made = shop.create_connector(own_connector(shape, members, &format!("{OWN_CONNECTOR} {shape}"))?).await?;
        let masked = serde_json::to_string(&made.connector_account_details)?;
        line(format_args!("  {:<8} disabled: {:<5} {masked}", made.status.to_string(), made.disabled));
    }

    let spare = shop.create_connector(own_connector(AuthType::NoKey, "{}", "spare")?).await?;
    let removed = shop.connector(&spare.merchant_connector_id).remove().expecting(spare.version).await?;
    line(format_args!("made another one and removed it: deleted: {}", removed.deleted));
    let (all, of_profile) = (shop.connectors(PageRequest::default()), profile.connectors(PageRequest::default()));
    let (all, of_profile) = (all.await?.items.len(), of_profile.await?.items.len());
    line(format_args!("{all} accounts at the merchant, {of_profile} of them in this profile"));
    Ok(())
}

fn catalogue() -> Result<(), Failure> {
    let catalogue = Catalogue::published();
    let stripe = catalogue.spec(&"stripe".parse()?).ok_or("stripe is a published connector")?;
    let shapes: Vec<String> = stripe.auth_types.iter().map(ToString::to_string).collect();
    line(format_args!(
        "{} published connectors as data; stripe takes {}, is routable: {}, pays out: {}",
        catalogue.iter().len(),
        shapes.join(" or "),
        stripe.routable,
        stripe.payouts
    ));
    Ok(())
}

fn own_connector(shape: AuthType, members: &str, label: &str) -> Result<NewConnector, Failure> {
    let mut details: Map<String, Value> = serde_json::from_str(members)?;
    details.insert("auth_type".into(), shape.to_string().into());
    own(json!({
        "connector_type": "banking_entities",
        "connector_name": OWN_CONNECTOR,
        "connector_label": label,
        "connector_account_details": details,
    }))
}
