//! The published bodies and calls, exactly as they are published, on every back-end: each body is accepted as it
//! stands, and each answer is the published JSON to the last member.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics is a test that failed")]

mod support;

use std::time::Duration;

use futures_lite::future::block_on;
use perfectpay::{
    Caller, Connector, EntityKind, Error, IssuedApiKey, MerchantUpdate, PageRequest, Patch, Payment, PerfectPay,
    Profile, ProfileUpdate,
};
use perfectpay_testkit::host;
use serde_json::{Value, json};
use support::{World, backends, on_every_backend, read, shown};

fn published() -> Value {
    serde_json::from_str(include_str!("published-requests.json")).unwrap()
}

/// The published body of an operation, as text.
fn body(operation: &str) -> String {
    published()[operation]["body"].to_string()
}

/// Merchant account `merchant_abc123`, as the published paths name it, seen by the holder of its key.
async fn caller(pay: &PerfectPay) -> Caller {
    let tenant = host::stand_up(pay, "merchant_abc123").await.unwrap();
    pay.authenticate(tenant.token()).await.unwrap()
}

async fn profile(caller: &Caller) -> Profile {
    caller.merchant().create_profile(read(&body("create_profile")).unwrap()).await.unwrap()
}

async fn connector(caller: &Caller, operation: &str, label: Option<&str>) -> Connector {
    let mut body = published()[operation]["body"].clone();
    if let Some(label) = label {
        body["connector_label"] = label.into();
    }
    caller.merchant().create_connector(read(&body.to_string()).unwrap()).await.unwrap()
}

fn expected_profile(profile: &Profile, hash_key: &str) -> Value {
    json!({
        "merchant_id": "merchant_abc123",
        "profile_id": profile.profile_id,
        "profile_name": "US Online Store",
        "return_url": "https://store.example.com/checkout/complete",
        "enable_payment_response_hash": true,
        "payment_response_hash_key": hash_key,
        "redirect_to_merchant_with_http_post": false,
        "webhook_details": {
            "webhook_version": null,
            "webhook_username": null,
            "webhook_password": null,
            "webhook_url": "https://store.example.com/webhooks/perfectpay",
            "payment_created_enabled": null,
            "payment_succeeded_enabled": null,
            "payment_failed_enabled": null,
            "payment_statuses_enabled": null,
            "refund_statuses_enabled": null,
            "payout_statuses_enabled": null,
        },
        "metadata": null,
        "intent_fulfillment_time": 900,
        "session_expiry": 900,
        "applepay_verified_domains": null,
        "payment_link_config": null,
        "use_billing_as_payment_method_billing": true,
        "collect_shipping_details_from_wallet_connector": false,
        "collect_billing_details_from_wallet_connector": false,
        "always_collect_shipping_details_from_wallet_connector": false,
        "always_collect_billing_details_from_wallet_connector": false,
        "is_connector_agnostic_mit_enabled": null,
        "outgoing_webhook_custom_http_headers": null,
        "is_auto_retries_enabled": false,
        "max_auto_retries_enabled": null,
        "always_request_extended_authorization": null,
        "card_testing_guard_config": {
            "card_ip_blocking_status": "disabled",
            "card_ip_blocking_threshold": 3,
            "guest_user_card_blocking_status": "disabled",
            "guest_user_card_blocking_threshold": 10,
            "customer_id_blocking_status": "disabled",
            "customer_id_blocking_threshold": 5,
            "guest_ip_blocking_status": "disabled",
            "guest_ip_blocking_threshold": 10,
            "card_testing_guard_expiry": 3600,
        },
        "is_clear_pan_retries_enabled": false,
        "force_3ds_challenge": false,
        "is_debit_routing_enabled": false,
        "merchant_business_country": null,
        "is_iframe_redirection_enabled": null,
        "merchant_category_code": null,
        "merchant_country_code": null,
        "dispute_polling_interval": null,
        "is_manual_retry_enabled": null,
        "always_enable_overcapture": null,
        "is_l2_l3_enabled": false,
        "payment_method_blocking": null,
    })
}

fn expected_connector(connector: &Connector, caller_profile: &Value, connector_type: &str, label: &str) -> Value {
    let method_type = |name: &str| {
        json!({
            "payment_method_type": name,
            "payment_experience": null,
            "card_networks": null,
            "accepted_currencies": null,
            "accepted_countries": null,
            "minimum_amount": null,
            "maximum_amount": null,
            "recurring_enabled": null,
            "installment_payment_enabled": null,
        })
    };
    json!({
        "connector_type": connector_type,
        "connector_name": "stripe",
        "connector_label": label,
        "merchant_connector_id": connector.merchant_connector_id,
        "profile_id": caller_profile,
        "connector_account_details": { "auth_type": "HeaderKey", "api_key": "sk*******.." },
        "payment_methods_enabled": [
            { "payment_method": "card", "payment_method_types": [method_type("credit"), method_type("debit")] },
        ],
        "connector_webhook_details": null,
        "metadata": null,
        "test_mode": null,
        "disabled": false,
        "status": "active",
        "business_country": null,
        "business_label": null,
        "business_sub_label": null,
        "additional_merchant_data": null,
        "connector_wallets_details": null,
    })
}

#[test]
fn the_published_organization_is_found_from_the_callers_key_alone() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        let organization = caller.merchant().organization().await.unwrap();
        let expected = json!({
            "organization_id": organization.organization_id,
            "organization_name": "merchant_abc123 group",
            "organization_details": null,
            "metadata": null,
            "organization_type": "standard",
            "created_at": "2026-11-23T10:00:00.000Z",
            "modified_at": "2026-11-23T10:00:00.000Z",
        });
        assert_eq!(shown(&organization), expected, "{}", world.name);
        assert_eq!(organization.organization_id.as_str().len(), "org_".len() + 26);
    });
}

#[test]
fn the_published_profile_is_answered_with_every_field() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        // Of one millisecond the ids decide the order, and they are random.
        world.clock.step(Duration::from_millis(1));
        let profile = profile(&caller).await;
        // 64 random letters and digits, of which the first two and the last two are shown.
        let key = &profile.payment_response_hash_key;
        assert_eq!((key.len(), key.matches('*').count()), (64, 60));
        let merchant = caller.merchant().retrieve().await.unwrap();
        assert_eq!(key, &merchant.payment_response_hash_key, "it is the merchant's");
        assert_eq!(shown(&profile), expected_profile(&profile, key), "{}", world.name);
        assert_eq!(profile.version, 1);

        let retrieved = caller.merchant().profile(&profile.profile_id).retrieve().await.unwrap();
        assert_eq!(retrieved, profile);
        let listed = caller.merchant().profiles(PageRequest::default()).await.unwrap();
        assert_eq!(listed.items.last(), Some(&profile));
    });
}

#[test]
fn the_published_profile_update_moves_the_webhook_url_and_nothing_else() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        let mut new = published()["create_profile"]["body"].clone();
        new["webhook_details"]["webhook_username"] = "shop".into();
        new["webhook_details"]["webhook_password"] = "correct horse battery".into();
        new["webhook_details"]["webhook_version"] = "1.0.1".into();
        new["webhook_details"]["payment_created_enabled"] = true.into();
        new["webhook_details"]["payment_statuses_enabled"] = json!(["succeeded", "failed", "succeeded"]);
        new["webhook_details"]["refund_statuses_enabled"] = json!(["failure"]);
        new["webhook_details"]["payout_statuses_enabled"] = json!([]);
        let before = caller.merchant().create_profile(read(&new.to_string()).unwrap()).await.unwrap();
        let scope = caller.merchant().profile(&before.profile_id);
        world.clock.step(Duration::from_secs(1));
        let after = scope.update(read(&body("update_profile")).unwrap()).expecting(1).await.unwrap();

        let mut expected = shown(&before);
        expected["webhook_details"]["webhook_url"] = "https://store.example.com/webhooks/v2".into();
        assert_eq!(shown(&after), expected, "{}", world.name);
        assert_eq!(
            expected["webhook_details"],
            json!({
                "webhook_version": "1.0.1",
                "webhook_username": "shop",
                "webhook_password": "co*****************ry",
                "webhook_url": "https://store.example.com/webhooks/v2",
                "payment_created_enabled": true,
                "payment_succeeded_enabled": null,
                "payment_failed_enabled": null,
                "payment_statuses_enabled": ["succeeded", "failed"],
                "refund_statuses_enabled": ["failure"],
                "payout_statuses_enabled": [],
            })
        );
        assert_eq!(after.version, 2);
        assert_eq!(scope.retrieve().await.unwrap(), after);

        // Sent once more it changes nothing, and so makes no version.
        let again = scope.update(read(&body("update_profile")).unwrap()).await.unwrap();
        assert_eq!(again, after);
    });
}

#[test]
fn both_published_forms_of_payment_methods_are_answered_alike() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        let default = shown(&caller.merchant().retrieve().await.unwrap())["default_profile"].clone();
        let of_texts = connector(&caller, "create_connector", None).await;
        world.clock.step(Duration::from_millis(1));
        let of_objects = connector(&caller, "create_connector_object_form", Some("second")).await;
        assert_eq!(of_texts.payment_methods_enabled, of_objects.payment_methods_enabled);
        let expected = expected_connector(&of_texts, &default, "payment_processor", "stripe_default");
        assert_eq!(shown(&of_texts), expected, "{}", world.name);
        let expected = expected_connector(&of_objects, &default, "fiz_operations", "second");
        assert_eq!(shown(&of_objects), expected, "{}", world.name);

        let scope = caller.merchant().connector(&of_texts.merchant_connector_id);
        assert_eq!(scope.retrieve().await.unwrap(), of_texts);
        let listed = caller.merchant().connectors(PageRequest::default()).await.unwrap();
        assert_eq!(shown(&listed), json!({ "data": [shown(&of_texts), shown(&of_objects)], "next": null }));
    });
}

#[test]
fn a_second_published_connector_body_needs_a_label_of_its_own() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        connector(&caller, "create_connector", None).await;
        let again = read(&body("create_connector_object_form")).unwrap();
        let error = caller.merchant().create_connector(again).await.unwrap_err();
        assert_eq!(error.to_string(), "another connector account has this connector_label", "{}", world.name);
    });
}

#[test]
fn a_connector_is_updated_and_deleted_as_published() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        let connector = connector(&caller, "create_connector", None).await;
        let scope = caller.merchant().connector(&connector.merchant_connector_id);
        let update = r#"{"connector_type": "payment_processor", "disabled": true, "metadata": {"city": "NY"}}"#;
        let updated = scope.update(read(update).unwrap()).await.unwrap();
        let mut expected = shown(&connector);
        expected["disabled"] = true.into();
        expected["metadata"] = json!({ "city": "NY" });
        assert_eq!(shown(&updated), expected, "{}", world.name);

        let removed = scope.remove().await.unwrap();
        let id = &connector.merchant_connector_id;
        let expected = json!({ "merchant_id": "merchant_abc123", "merchant_connector_id": id, "deleted": true });
        assert_eq!(shown(&removed), expected);
        let error = scope.remove().await.unwrap_err();
        assert_eq!(error.to_string(), format!("there is no connector account `{id}`"));
        // Its label is free again.
        self::connector(&caller, "create_connector", None).await;
    });
}

#[test]
fn the_published_key_is_shown_once_then_listed_and_revoked() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        world.clock.step(Duration::from_secs(1));
        let created = caller.merchant().create_api_key(read(&body("create_api_key")).unwrap()).await.unwrap();
        let token = created.api_key.clone().unwrap();
        let token = token.expose();
        let expected = json!({
            "key_id": created.key_id,
            "merchant_id": "merchant_abc123",
            "name": "Production Backend Key",
            "description": null,
            "api_key": token,
            "created": "2026-11-23T10:00:01.000Z",
            "expiration": "2027-01-01T00:00:00.000Z",
        });
        assert_eq!(shown(&created), expected, "{}", world.name);
        assert!(created.key_id.as_str().starts_with("snd_"));
        assert!(token.starts_with("snd_") && token.len() == 68, "four characters and 64");

        let scope = caller.merchant().api_key(&created.key_id);
        let mut expected = json!({
            "key_id": created.key_id,
            "merchant_id": "merchant_abc123",
            "name": "Production Backend Key",
            "description": null,
            "prefix": &token[..12],
            "created": "2026-11-23T10:00:01.000Z",
            "expiration": "2027-01-01T00:00:00.000Z",
            "revoked": null,
        });
        assert_eq!(shown(&scope.retrieve().await.unwrap()), expected);
        let listed = caller.merchant().api_keys(PageRequest::default()).await.unwrap();
        assert_eq!(listed.items.len(), 2, "the caller's own and this one");
        assert_eq!(shown(&listed.items[1]), expected);

        let update = r#"{"name": "Renamed", "description": "the shop's", "expiration": "never"}"#;
        let updated = scope.update(read(update).unwrap()).await.unwrap();
        expected["name"] = "Renamed".into();
        expected["description"] = "the shop's".into();
        expected["expiration"] = "never".into();
        assert_eq!(shown(&updated), expected);

        world.clock.step(Duration::from_millis(1_500));
        let revoked = scope.revoke().await.unwrap();
        let answer = json!({ "merchant_id": "merchant_abc123", "key_id": created.key_id, "revoked": true });
        assert_eq!(shown(&revoked), answer);
        expected["revoked"] = "2026-11-23T10:00:02.500Z".into();
        let listed = caller.merchant().api_keys(PageRequest::default()).await.unwrap();
        assert_eq!(shown(&listed.items[1]), expected);
        assert!(matches!(world.pay.authenticate(token).await, Err(Error::Unauthorized(_))));
    });
}

#[test]
fn the_published_blocklist_calls_add_list_and_toggle_both_ways() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        let blocklist = caller.merchant().blocklist();
        let empty = blocklist.entries(None, PageRequest::default()).await.unwrap();
        assert_eq!(shown(&empty), json!({ "count": 0, "total_count": 0, "data": [], "next": null }));

        let added = blocklist.add(read(&body("add_to_blocklist")).unwrap()).await.unwrap();
        let bin =
            json!({ "fingerprint_id": "411111", "data_kind": "card_bin", "created_at": "2026-11-23T10:00:00.000Z" });
        assert_eq!(shown(&added), bin, "{}", world.name);
        world.clock.step(Duration::from_secs(1));
        let extended = blocklist.add(read(&host::block_body("extended_card_bin", "42424242")).unwrap()).await.unwrap();
        world.clock.step(Duration::from_secs(1));
        let card = blocklist.add(read(&host::block_body("fingerprint", "a card")).unwrap()).await.unwrap();
        let fingerprint = json!({
            "fingerprint_id": "a card",
            "data_kind": "payment_method",
            "created_at": "2026-11-23T10:00:02.000Z",
        });
        assert_eq!(shown(&card), fingerprint);

        let listed = blocklist.entries(None, PageRequest::default()).await.unwrap();
        let newest_first = json!([fingerprint, shown(&extended), bin]);
        assert_eq!(shown(&listed), json!({ "count": 3, "total_count": 3, "data": newest_first, "next": null }));
        let of_kind = blocklist.entries(Some("card_bin".parse().unwrap()), PageRequest::default()).await.unwrap();
        assert_eq!(shown(&of_kind), json!({ "count": 1, "total_count": 1, "data": [bin], "next": null }));
        let first = blocklist.entries(None, PageRequest::of(1).unwrap()).await.unwrap();
        assert_eq!((first.count, first.total_count, first.next.is_some()), (1, 3, true));

        let on = json!({ "blocklist_guard_status": "enabled" });
        let off = json!({ "blocklist_guard_status": "disabled" });
        let visa = "4111111111111111".parse().unwrap();
        let blocked = async || blocklist.screen(&visa).await.unwrap().is_blocked();
        assert!(!blocked().await, "off at first");
        assert_eq!(shown(&blocklist.toggle(None).await.unwrap()), on, "bare: inverts");
        assert!(blocked().await);
        assert_eq!(shown(&blocklist.toggle(None).await.unwrap()), off, "bare: inverts");
        assert!(!blocked().await);
        assert_eq!(shown(&blocklist.toggle(Some(true)).await.unwrap()), on, "with a status: sets");
        assert_eq!(shown(&blocklist.toggle(Some(true)).await.unwrap()), on, "with a status: sets");
        assert!(blocked().await);
        assert_eq!(shown(&blocklist.toggle(Some(false)).await.unwrap()), off, "with a status: sets");

        let removed = blocklist.remove(read(&body("add_to_blocklist")).unwrap()).await.unwrap();
        assert_eq!(shown(&removed), bin, "the entry that was removed");
        let error = blocklist.remove(read(&body("add_to_blocklist")).unwrap()).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no blocklist entry `card_bin:411111`");
    });
}

fn expected_payment(payment: &Payment) -> Value {
    let (id, profile) = (&payment.payment_id, &payment.profile_id);
    json!({
        "payment_id": id,
        "merchant_id": "merchant_abc123",
        "profile_id": profile,
        "status": "requires_payment_method",
        "amount": 4999,
        "currency": "USD",
        "client_secret": payment.client_secret.expose(),
        "created": "2026-11-23T10:00:00.000Z",
        "expires_on": "2026-11-23T10:15:00.000Z",
        "customer_id": "cus_abc123",
        "capture_method": "automatic",
        "authentication_type": "no_three_ds",
        "cancellation_reason": null,
        "return_url": "https://example.com/checkout/complete",
        "description": "Order 1001",
        "metadata": { "order_id": "1001" },
        "payment_link": {
            "link": format!("https://pay.example.com/payment_link/merchant_abc123/{id}?locale=en"),
            "secure_link": null,
            "payment_link_id": payment.payment_link.as_ref().unwrap().payment_link_id,
        },
        "payment_method": null,
        "payment_method_type": null,
        "fingerprint": null,
        "connector": null,
        "merchant_connector_id": null,
        "attempt_count": 0,
        "attempts": [],
        "error_code": null,
        "error_message": null,
        "merchant_decision": null,
    })
}

#[test]
fn the_published_payment_comes_with_its_link() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        let new = read(&body("create_payment_with_link")).unwrap();
        let payment = caller.merchant().create_payment(new).await.unwrap();
        assert_eq!(shown(&payment), expected_payment(&payment), "{}", world.name);
        let id = payment.payment_id.as_str();
        assert!(id.starts_with("pay_") && id.len() == 4 + 26);
        let secret = payment.client_secret.expose();
        assert!(secret.starts_with(&format!("{id}_secret_")) && secret.len() == id.len() + 8 + 20);
        assert_eq!(caller.merchant().payment(&payment.payment_id).retrieve().await.unwrap(), payment);
        let merchant = caller.merchant().retrieve().await.unwrap();
        assert_eq!(Some(&payment.profile_id), merchant.default_profile.as_ref());

        let link_id = &payment.payment_link.as_ref().unwrap().payment_link_id;
        let link = caller.merchant().payment_link(link_id).retrieve().await.unwrap();
        let expected = json!({
            "payment_link_id": link_id,
            "merchant_id": "merchant_abc123",
            "link_to_pay": format!("https://pay.example.com/payment_link/merchant_abc123/{id}?locale=en"),
            "secure_link": null,
            "amount": 4999,
            "currency": "USD",
            "created_at": "2026-11-23T10:00:00.000Z",
            "expiry": "2026-11-23T10:15:00.000Z",
            "description": "Order 1001",
            "status": "active",
        });
        assert_eq!(shown(&link), expected);
        let listed = caller.merchant().payment_links(PageRequest::default()).await.unwrap();
        assert_eq!(shown(&listed), json!({ "data": [expected], "next": null }));
        assert_eq!((&link.payment_id, &link.profile_id), (&Some(payment.payment_id.clone()), &payment.profile_id));

        // One commit: the payment and its link.
        let log = caller.merchant().log(perfectpay::store::LogPosition::START, 100).await.unwrap();
        let kinds: Vec<EntityKind> = log.last().unwrap().changes.iter().map(|change| change.kind).collect();
        assert_eq!(kinds, [EntityKind::Payment, EntityKind::PaymentLink]);
    });
}

#[test]
fn the_published_confirmation_is_decided() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        let merchant = caller.merchant();
        let account = connector(&caller, "create_connector", None).await;
        let created = merchant.create_payment(read(&body("create_payment_with_link")).unwrap()).await.unwrap();
        let handle = merchant.payment(&created.payment_id);
        let payment = handle.confirm(read(&body("confirm_payment")).unwrap()).await.unwrap();
        let mut expected = expected_payment(&created);
        let attempt = json!({
            "attempt_id": format!("{}_1", created.payment_id),
            "decision_id": payment.attempts[0].decision_id,
            "status": "started",
            "connector": "stripe",
            "merchant_connector_id": account.merchant_connector_id,
            "error_code": null,
            "error_message": null,
            "stop_reason": null,
            "created_at": "2026-11-23T10:00:00.000Z",
            "modified_at": "2026-11-23T10:00:00.000Z",
        });
        for (field, value) in [
            ("status", json!("processing")),
            ("payment_method", json!("card")),
            ("payment_method_type", json!("credit")),
            ("connector", json!("stripe")),
            ("merchant_connector_id", json!(account.merchant_connector_id)),
            ("attempt_count", json!(1)),
            ("attempts", json!([attempt])),
        ] {
            expected[field] = value;
        }
        assert_eq!(shown(&payment), expected, "{}", world.name);
    });
}

#[test]
fn a_payment_link_is_looked_up_in_its_merchants_scope_only() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        let payment = caller.merchant().create_payment(read(&body("create_payment_with_link")).unwrap()).await.unwrap();
        let id = payment.payment_link.unwrap().payment_link_id;
        let other = host::stand_up(&world.pay, "other").await.unwrap();
        let error = other.scope(&world.pay).payment_link(&id).retrieve().await.unwrap_err();
        assert_eq!(error.to_string(), format!("there is no payment link `{id}`"), "{}", world.name);
    });
}

#[test]
fn an_empty_update_answers_what_is_there() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        let before = caller.merchant().retrieve().await.unwrap();
        assert_eq!(caller.merchant().update(read("{}").unwrap()).await.unwrap(), before, "{}", world.name);
        let profile = profile(&caller).await;
        let scope = caller.merchant().profile(&profile.profile_id);
        assert_eq!(scope.update(ProfileUpdate::default()).await.unwrap(), profile);
    });
}

#[test]
fn every_timestamp_of_every_answer_has_three_digits() {
    fn look(value: &Value, found: &mut usize) {
        match value {
            Value::String(text) if text.starts_with("20") && text.contains('T') => {
                *found += 1;
                let fraction = text.rsplit_once('.').unwrap().1;
                assert!(fraction.len() == 4 && fraction.ends_with('Z'), "{text}");
            }
            Value::Array(items) => items.iter().for_each(|item| look(item, found)),
            Value::Object(map) => map.values().for_each(|item| look(item, found)),
            _ => {}
        }
    }
    on_every_backend(async |world| {
        // A moment whose fraction ends in zeros, and one that has three digits.
        for (step, wanted) in [(0, "2026-11-23T10:00:00.000Z"), (120, "2026-11-23T10:00:00.120Z")] {
            world.clock.set("2026-11-23T10:00:00Z".parse().unwrap());
            world.clock.step(Duration::from_millis(step));
            let tenant = host::stand_up(&world.pay, &format!("m{step}")).await.unwrap();
            let scope = tenant.scope(&world.pay);
            let key = scope.create_api_key(read(&body("create_api_key")).unwrap()).await.unwrap();
            let entry = scope.blocklist().add(read(&body("add_to_blocklist")).unwrap()).await.unwrap();
            let payment = scope.create_payment(read(&body("create_payment_with_link")).unwrap()).await.unwrap();
            let link = &payment.payment_link.as_ref().unwrap().payment_link_id;
            let link = scope.payment_link(link).retrieve().await.unwrap();
            let log = scope.log(perfectpay::store::LogPosition::START, 100).await.unwrap();
            let answers = [
                shown(&tenant.organization),
                shown(&tenant.merchant),
                shown(&tenant.profile),
                shown(&key),
                shown(&scope.api_key(&key.key_id).retrieve().await.unwrap()),
                shown(&entry),
                shown(&payment),
                shown(&link),
                shown(&log),
            ];
            let mut found = 0;
            for answer in &answers {
                look(answer, &mut found);
            }
            assert_eq!(found, 16, "{}", world.name);
            assert_eq!(answers[5]["created_at"], wanted);
        }
    });
}

#[test]
fn an_expiration_is_read_in_any_zone_and_written_in_utc() {
    on_every_backend(async |world| {
        let caller = caller(&world.pay).await;
        for (given, answered) in [
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.000Z"),
            ("2027-01-01T00:00:00.1Z", "2027-01-01T00:00:00.100Z"),
            ("2027-01-01T02:30:00.123456789+02:30", "2027-01-01T00:00:00.123Z"),
            ("2026-12-31T19:00:00-05:00", "2027-01-01T00:00:00.000Z"),
            ("never", "never"),
            ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00.000Z"),
        ] {
            let new = read(&host::api_key_body("k", given)).unwrap();
            let key: IssuedApiKey = caller.merchant().create_api_key(new).await.unwrap();
            assert_eq!(key.expiration.to_string(), answered, "{}", world.name);
        }
    });
}

#[test]
fn every_published_body_is_known() {
    // Each was sent above.
    let mut with_body: Vec<String> = published()
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, operation)| operation.get("body").is_some())
        .map(|(name, _)| name.clone())
        .collect();
    with_body.sort();
    let known = [
        "add_to_blocklist",
        "confirm_payment",
        "create_api_key",
        "create_connector",
        "create_connector_object_form",
        "create_payment_with_link",
        "create_profile",
        "update_profile",
    ];
    assert_eq!(with_body, known);
}

/// A whole published life, as the lines that a host would see.
async fn transcript(world: &World) -> Vec<String> {
    let caller = caller(&world.pay).await;
    let merchant = caller.merchant();
    let mut lines = vec![shown(&merchant.organization().await.unwrap())];
    let profile = profile(&caller).await;
    lines.push(shown(&profile));
    let scope = merchant.profile(&profile.profile_id);
    lines.push(shown(&scope.update(read(&body("update_profile")).unwrap()).await.unwrap()));
    let update =
        MerchantUpdate { default_profile: Patch::Set(profile.profile_id.clone()), ..MerchantUpdate::default() };
    lines.push(shown(&merchant.update(update).await.unwrap()));
    lines.push(shown(&connector(&caller, "create_connector", None).await));
    lines.push(shown(&connector(&caller, "create_connector_object_form", Some("b")).await));
    lines.push(shown(&merchant.create_api_key(read(&body("create_api_key")).unwrap()).await.unwrap()));
    lines.push(shown(&merchant.blocklist().add(read(&body("add_to_blocklist")).unwrap()).await.unwrap()));
    lines.push(shown(&merchant.blocklist().toggle(None).await.unwrap()));
    lines.push(shown(&merchant.create_payment(read(&body("create_payment_with_link")).unwrap()).await.unwrap()));
    lines.push(shown(&merchant.payments(PageRequest::default()).await.unwrap()));
    lines.push(shown(&merchant.payment_links(PageRequest::default()).await.unwrap()));
    lines.push(shown(&world.pay.log(perfectpay::store::LogPosition::START, 100).await.unwrap()));
    let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    lines.push(merchant.profile(&profile.profile_id).remove().await.unwrap_err().to_string());
    lines.extend(support::snapshot(&world.pay).await);
    lines
}

#[test]
fn a_published_life_reads_the_same_on_every_backend() {
    let transcripts: Vec<(&str, Vec<String>)> =
        backends().into_iter().map(World::on).map(|world| (world.name, block_on(transcript(&world)))).collect();
    let (_, first) = &transcripts[0];
    for (name, lines) in &transcripts[1..] {
        for (line, expected) in lines.iter().zip(first) {
            assert_eq!(line, expected, "{name}");
        }
        assert_eq!(lines.len(), first.len());
    }
}
