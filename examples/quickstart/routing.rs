//! Routing: which connector account takes a payment, and why.

use perfectpay::scope::ProfileScope;
use perfectpay::{Answer, CardFacts, DecideRequest, PageRequest};
use serde_json::{Value, json};

use crate::published::own;
use crate::tell::{Failure, answer, holds, line, refused, section};

pub(crate) async fn play(profile: &ProfileScope) -> Result<(), Failure> {
    section("Routing and a decision");
    let mut names = Vec::new();
    for (name, credentials) in [
        ("stripe", json!({"auth_type": "HeaderKey", "api_key": "key-0001"})),
        (
            "adyen",
            json!({"auth_type": "SignatureKey", "api_key": "key-0001", "key1": "key-0002", "api_secret": "key-0003"}),
        ),
    ] {
        let new = json!({
            "connector_type": "payment_processor", "connector_name": name, "connector_label": format!("{name} for routing"),
            "connector_account_details": credentials,
            "payment_methods_enabled": [{"payment_method": "card", "payment_method_types": ["credit", "debit"]}],
        });
        let made = profile.create_connector(own(new)?).await?;
        names.push(json!({"connector": name, "merchant_connector_id": made.merchant_connector_id}));
    }
    let [stripe, adyen] = names.as_slice() else { return Err("two accounts were made".into()) };
    let selects = |account: &Value| json!({"type": "priority", "data": [account]});
    let program = json!({"name": "Large payments to Adyen", "description": "above 100.00", "algorithm": {
        "type": "advanced", "data": {"defaultSelection": selects(stripe), "metadata": {}, "rules": [{
            "name": "large", "connectorSelection": selects(adyen), "statements": [{"condition": [
                {"lhs": "amount", "comparison": "greater_than", "value": {"type": "number", "value": 10000}, "metadata": {}},
                {"lhs": "payment_method", "comparison": "equal", "value": {"type": "enum_variant", "value": "card"}, "metadata": {}},
            ]}],
        }]},
    }});
    let routing = profile.routing();
    let drafted = routing.create(own(program)?).idempotency_key("routing-1".parse()?).await?;
    let program = routing.program(&drafted.record.id);
    line(format_args!("drafted {}, which decides nothing yet; {} findings", drafted.record.id, drafted.lints.len()));
    program.activate(None).expecting(drafted.record.version).await?;
    line("activated: from now on its version 1 decides");

    for (payment, amount) in [("pay_small", 4999), ("pay_large", 25_000)] {
        let request = request(payment, amount)?;
        let decision = profile.decide(&request).await?;
        let Answer::Candidates(candidates) = &decision.answer else { return Err("it should be taken".into()) };
        let order: Vec<&str> = candidates.iter().map(|candidate| candidate.connector.as_str()).collect();
        line(format_args!("  {payment} of {amount}: {}", order.join(", then ")));
        let first = if amount > 10_000 { "adyen" } else { "stripe" };
        holds(order.first() == Some(&first), "the rule selects the account")?;
    }
    line("why the small one goes where it goes:");
    answer(&profile.explain_decision(&request("pay_small", 4999)?).await?)?;

    let second = json!({"algorithm": {"type": "volume_split", "data": [
        {"connector": stripe, "split": 30}, {"connector": adyen, "split": 70}]}});
    let added = program.add_version(own(second)?).await?;
    let diff = program.diff(1, added.checked_version).await?;
    line(format_args!("version {} differs from 1 in {} places", added.checked_version, diff.differences.len()));
    program.activate(None).await?;
    let back = routing.roll_back().await?;
    line(format_args!("activated it, and rolled back to version {}", back.checked_version));
    let named = routing.fallback().await?.connectors.into_iter().filter_map(|choice| choice.merchant_connector_id);
    let last = named.last().ok_or("there are accounts")?;
    let account = profile.connector(&last);
    for named in account.removal_impact().await?.programs {
        line(format_args!("that account is named by `{}`, versions {:?}", named.name, named.versions));
    }
    refused("its removal", account.remove().await, "connector.routed")?;
    let listed = routing.list(PageRequest::default()).await?;
    holds(listed.items.len() == 1, "there is one program")
}

fn request(payment: &str, amount: u32) -> Result<DecideRequest, Failure> {
    let facts = json!({"amount": amount, "currency": "EUR", "payment_method": "card", "payment_method_type": "credit",
        "card": {"bin": "51051051", "card_network": "Mastercard"}, "billing_country": "DE"});
    let mut request = DecideRequest::new(payment.parse()?, own(facts)?);
    request.card = Some(CardFacts::new("51051051", [] as [&str; 0])?);
    Ok(request)
}
