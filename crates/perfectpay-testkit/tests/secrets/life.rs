//! A life with every kind of secret in it.

use perfectpay::store::{IdempotencyKey, LogPosition};
use perfectpay::{
    CardNumber, ConnectorAuth, NewConnector, NewMerchant, NewPayment, NewProfile, PageRequest, PerfectPay,
    ProfileUpdate,
};
use perfectpay_testkit::host;
use perfectpay_testkit::watch::{Watch, canary};
use serde_json::json;

use super::holds;
use super::planted::{CARD, CARDS, CONTROL, connectors, paid_with, secret};
use super::support::read;

/// A life with every kind of secret in it. Whatever it prints on the way is looked at, and all of it again when the
/// randomness that was drawn is known.
#[allow(clippy::too_many_lines, reason = "a life is read from its beginning to its end")]
pub(super) async fn live(pay: &PerfectPay, watch: &mut Watch, printed: &mut Vec<(String, String)>) {
    macro_rules! print {
        ($place:expr, $value:expr) => {{
            let value = $value;
            printed.push((format!("Debug of {}", $place), format!("{value:?} {value:#?}")));
        }};
        ($place:expr, $value:expr, json) => {{
            let value = $value;
            print!($place, value);
            printed.push((format!("JSON of {}", $place), serde_json::to_string(value).unwrap()));
        }};
    }
    let key = |text: &str| text.parse::<IdempotencyKey>().unwrap();
    let body = json!({ "organization_name": "O", "metadata": { "control": CONTROL } }).to_string();
    let organization = pay.create_organization(read(&body).unwrap()).idempotency_key(key("o")).await.unwrap();
    let organization = pay.organization(&organization.organization_id);
    print!("PerfectPay", pay);
    print!("OrganizationScope", &organization);

    let body = json!({
        "merchant_id": "acme",
        "merchant_name": canary("name"),
        "merchant_details": { "primary_email": canary("email") },
        "payment_response_hash_key": secret(watch, "merchant hash key"),
        "return_url": "https://shop.example/",
        "webhook_details": { "webhook_username": "u", "webhook_password": secret(watch, "merchant password") },
    });
    let new: NewMerchant = read(&body.to_string()).unwrap();
    print!("NewMerchant", &new);
    let merchant = organization.create_merchant(new.clone()).idempotency_key(key("m")).await.unwrap();
    print!("Merchant", &merchant, json);
    print!("replayed Merchant", &organization.create_merchant(new).idempotency_key(key("m")).await.unwrap(), json);
    let scope = organization.merchant(&merchant.merchant_id);
    print!("MerchantScope", &scope);
    let update = json!({
        "payment_response_hash_key": secret(watch, "second merchant hash key"),
        "webhook_details": { "webhook_password": secret(watch, "second merchant password") },
    });
    let update: perfectpay::MerchantUpdate = read(&update.to_string()).unwrap();
    print!("MerchantUpdate", &update);
    print!("Update<Merchant>", &scope.update(update.clone()));
    print!("updated Merchant", &scope.update(update).await.unwrap(), json);

    let body = json!({
        "profile_name": "P",
        "payment_response_hash_key": secret(watch, "profile hash key"),
        "webhook_details": {
            "webhook_password": secret(watch, "profile password"),
            "webhook_url": "https://shop.example/webhooks",
        },
        "outgoing_webhook_custom_http_headers": { "X-Control": secret(watch, "header"), "X-Short": "abcd" },
        "metadata": { "control": CONTROL },
    });
    let new: NewProfile = read(&body.to_string()).unwrap();
    print!("NewProfile", &new);
    print!("Create<Profile>", &scope.create_profile(new.clone()));
    let profile = scope.create_profile(new).idempotency_key(key("p")).await.unwrap();
    print!("Profile", &profile, json);
    let handle = scope.profile(&profile.profile_id);
    print!("ProfileScope", &handle);
    let update = json!({
        "payment_response_hash_key": secret(watch, "second profile hash key"),
        "webhook_details": { "webhook_password": secret(watch, "second profile password") },
        "outgoing_webhook_custom_http_headers": { "X-Control": secret(watch, "second header") },
    });
    let update: ProfileUpdate = read(&update.to_string()).unwrap();
    print!("ProfileUpdate", &update);
    print!("updated Profile", &handle.update(update).await.unwrap(), json);

    for body in connectors(watch, "first") {
        let new: NewConnector = read(&body.to_string()).unwrap();
        print!("NewConnector", &new);
        print!("ConnectorAuth", &new.connector_account_details);
        print!("MaskedAuth", &new.connector_account_details.masked(), json);
        let label = new.connector_label.clone().unwrap().replace(' ', "-");
        let connector = handle.create_connector(new.clone()).idempotency_key(key(&label)).await.unwrap();
        print!("Connector", &connector, json);
        print!("replayed", &handle.create_connector(new).idempotency_key(key(&label)).await.unwrap(), json);
        let handle = scope.connector(&connector.merchant_connector_id);
        print!("ConnectorScope", &handle);
        let revealed: ConnectorAuth = handle.reveal_credentials().await.unwrap();
        print!("revealed ConnectorAuth", &revealed);
    }
    let listed = handle.connectors(PageRequest::default()).await.unwrap();
    print!("Page<Connector>", &listed, json);
    for (connector, body) in listed.items.iter().zip(connectors(watch, "second")) {
        let mut body = body;
        // What may not be changed; and each connector keeps its own shape.
        body.as_object_mut().unwrap().retain(|field, _| field != "connector_name");
        let same_shape = body["connector_account_details"]["auth_type"]
            == serde_json::to_value(connector.connector_account_details.auth_type()).unwrap();
        if !same_shape {
            body.as_object_mut().unwrap().remove("connector_account_details");
            body["connector_type"] = serde_json::to_value(connector.connector_type).unwrap();
        }
        let update: perfectpay::ConnectorUpdate = read(&body.to_string()).unwrap();
        print!("ConnectorUpdate", &update);
        let updated = scope.connector(&connector.merchant_connector_id).update(update).await.unwrap();
        print!("updated Connector", &updated, json);
    }

    let named = &listed.items[1];
    let choice = json!({ "connector": named.connector_name, "merchant_connector_id": named.merchant_connector_id });
    let program = json!({ "name": "first", "description": "what is tried", "algorithm": { "type": "priority", "data": [choice] } }).to_string();
    let new: perfectpay::NewRoutingProgram = read(&program).unwrap();
    print!("NewRoutingProgram", &new);
    let drafted = handle.routing().create(new).idempotency_key(key("g")).await.unwrap();
    print!("CheckedRouting", &drafted);
    print!("RoutingRecord", &drafted.record, json);
    let program = handle.routing().program(&drafted.record.id);
    print!("activated RoutingRecord", &program.activate(None).await.unwrap().record, json);

    let new: perfectpay::NewApiKey = read(&host::api_key_body("k", "never")).unwrap();
    let issued = scope.create_api_key(new.clone()).idempotency_key(key("k")).await.unwrap();
    print!("IssuedApiKey", &issued);
    let token = issued.api_key.clone().unwrap();
    print!("Disclosed", &token);
    watch.add("token", &token.expose()[12..]);
    print!("replayed IssuedApiKey", &scope.create_api_key(new).idempotency_key(key("k")).await.unwrap(), json);
    print!("Page<ApiKey>", &scope.api_keys(PageRequest::default()).await.unwrap(), json);
    print!("ApiKeyScope", &scope.api_key(&issued.key_id));
    let caller = pay.authenticate(token.expose()).await.unwrap();
    print!("Caller", &caller);
    print!("Merchant of a caller", &caller.merchant().retrieve().await.unwrap(), json);

    let card: CardNumber = CARD.parse().unwrap();
    print!("CardNumber", &card);
    let screening = caller.merchant().blocklist().screen(&card).await.unwrap();
    print!("Screening", &screening);
    let entry = read(&host::block_body("fingerprint", &screening.fingerprint.unwrap().to_string())).unwrap();
    print!("BlockEntry", &scope.blocklist().add(entry).await.unwrap(), json);
    print!("BlockEntries", &scope.blocklist().entries(None, PageRequest::default()).await.unwrap(), json);
    scope.blocklist().toggle(None).await.unwrap();
    assert!(scope.blocklist().screen(&card).await.unwrap().is_blocked());

    let new: NewPayment = read(&host::payment_with_link_body(100, "EUR")).unwrap();
    let payment = caller.merchant().create_payment(new).idempotency_key(key("y")).await.unwrap();
    print!("Payment", &payment);
    watch.add("client secret", payment.client_secret.expose().rsplit_once("_secret_").unwrap().1);
    let link = scope.payment_link(&payment.payment_link.as_ref().unwrap().payment_link_id).retrieve().await.unwrap();
    print!("PaymentLink", &link, json);
    let new =
        r#"{"amount": {"minimum": 5}, "currency": "EUR", "return_url": "https://shop.example", "kind": "reusable"}"#;
    let own = caller.merchant().create_payment_link(read(new).unwrap()).idempotency_key(key("z")).await.unwrap();
    print!("PaymentLink of its own", &own, json);
    let amount = r#"{"amount": 7}"#;
    let claimed = scope.payment_link(&own.payment_link_id).claim(read(amount).unwrap()).idempotency_key(key("u"));
    let claimed = claimed.await.unwrap();
    watch.add("client secret of a use", claimed.payment.client_secret.expose().rsplit_once("_secret_").unwrap().1);
    print!("ClaimedLink", &claimed);
    print!("LinkUse", &scope.link_use(&claimed.link_use.link_use_id).confirm().await.unwrap(), json);
    print!("Page<Payment>", &scope.payments(PageRequest::default()).await.unwrap());

    confirm(pay, &scope, &handle, watch, printed).await;

    for entry in pay.log(LogPosition::START, 1_000).await.unwrap() {
        print!("LogEntry", &entry, json);
    }
    // Something that was there and went leaves nothing behind either.
    let spare = host::merchant_in(pay, &organization.retrieve().await.unwrap(), "spare").await.unwrap();
    watch.add("spare token", &spare.token()[12..]);
    for body in connectors(watch, "spare") {
        spare.scope(pay).create_connector(read(&body.to_string()).unwrap()).await.unwrap();
    }
    spare.scope(pay).remove().cascade().await.unwrap();
    scope.connector(&listed.items[0].merchant_connector_id).remove().await.unwrap();
    scope.api_key(&issued.key_id).revoke().await.unwrap();
}

/// Payments that are confirmed: with a card that is blocked, with one that no account takes, and at once.
async fn confirm(
    pay: &PerfectPay,
    merchant: &perfectpay::MerchantScope,
    profile: &perfectpay::ProfileScope,
    watch: &mut Watch,
    printed: &mut Vec<(String, String)>,
) {
    let mut show = |place: &str, debug: String, json: Option<String>| {
        printed.push((format!("Debug of {place}"), debug));
        printed.extend(json.map(|json| (format!("JSON of {place}"), json)));
    };
    let text = |answer: &perfectpay::Payment| {
        // An answer names its own client secret, as the contract has it.
        let mut json = serde_json::to_value(answer).unwrap();
        json.as_object_mut().unwrap().remove("client_secret");
        Some(json.to_string())
    };
    for (number, key) in [(CARDS[0], "c1"), (CARDS[1], "c2")] {
        let body = paid_with(watch, number).to_string();
        let confirm: perfectpay::ConfirmPayment = read(&body).unwrap();
        show("ConfirmPayment", format!("{confirm:?} {confirm:#?}"), Some(serde_json::to_string(&confirm).unwrap()));
        let payment = profile.create_payment(read(&host::payment_body(100, "EUR")).unwrap()).await.unwrap();
        watch.add("client secret", payment.client_secret.expose().rsplit_once("_secret_").unwrap().1);
        let handle = merchant.payment(&payment.payment_id);
        let command = handle.confirm(confirm.clone()).idempotency_key(key.parse().unwrap());
        show("Create<Payment>", format!("{command:?}"), None);
        let confirmed = command.await.unwrap();
        assert_eq!(confirmed.status.to_string(), "failed");
        show("confirmed Payment", format!("{confirmed:?}"), text(&confirmed));
        let again = handle.confirm(confirm).idempotency_key(key.parse().unwrap()).await.unwrap();
        show("replayed Payment", format!("{again:?}"), text(&again));
        let decision = handle.decision(&confirmed.attempts[0].decision_id).await.unwrap();
        show("PaymentDecision", format!("{decision:?}"), Some(serde_json::to_string(&decision).unwrap()));
    }
    let mut body = json!({ "amount": 100, "currency": "EUR", "confirm": true });
    body.as_object_mut().unwrap().extend(paid_with(watch, CARDS[2]).as_object().unwrap().clone());
    let new: NewPayment = read(&body.to_string()).unwrap();
    show("NewPayment", format!("{new:?} {new:#?}"), Some(serde_json::to_string(&new).unwrap()));
    let payment = profile.create_payment(new).idempotency_key("c3".parse().unwrap()).await.unwrap();
    watch.add("client secret", payment.client_secret.expose().rsplit_once("_secret_").unwrap().1);
    let events = pay.outbox(PageRequest::default()).await.unwrap();
    assert_eq!(events.items.len(), 2, "of a payment that is blocked no webhook tells");
    show("Page<Event>", format!("{events:?}"), Some(serde_json::to_string(&events).unwrap()));
    let event = merchant.event(&events.items[0].event_id);
    let message = event.message(&perfectpay::webhook::UrlPolicy::default()).await.unwrap();
    show("WebhookMessage", format!("{message:?} {message:#?} {event:?}"), None);
    for number in CARDS {
        assert!(!holds(message.body(), number.as_bytes()));
    }
}
