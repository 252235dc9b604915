//! Ids that the host states instead of having them made, on every back-end.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that failed")]

mod support;

use perfectpay::{Connector, EntityKind, Error, NewOrganization, NewProfile, Payment, Profile};
use perfectpay_testkit::host;
use support::{on_every_backend, read, snapshot};

const CONNECTOR: &str = r#"{
    "connector_type": "payment_processor", "connector_name": "stripe",
    "connector_account_details": {"auth_type": "HeaderKey", "api_key": "sk_test_123"}
}"#;
const PAYMENT: &str =
    r#"{"amount": 4999, "currency": "USD", "payment_link": true, "return_url": "https://example.com/done"}"#;

fn named(name: &str) -> NewProfile {
    read(&format!(r#"{{"profile_name": "{name}"}}"#)).unwrap()
}

#[test]
fn a_stated_id_is_the_objects_id() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "merchant_abc123").await.unwrap();
        let shop = world.pay.merchant(&tenant.merchant.merchant_id);
        let profile = "pro_abcdefghijklmnop".parse().unwrap();
        let made: Profile = shop.create_profile(named("Store")).with_id(&profile).await.unwrap();
        assert_eq!(made.profile_id, profile);
        assert_eq!(shop.profile(&profile).retrieve().await.unwrap(), made);

        let connector = "mca_abc123".parse().unwrap();
        let body = read(CONNECTOR).unwrap();
        let made: Connector = shop.profile(&profile).create_connector(body).with_id(&connector).await.unwrap();
        assert_eq!(made.merchant_connector_id, connector);
        assert_eq!(shop.connector(&connector).retrieve().await.unwrap(), made);

        let link = "plink_abc123".parse().unwrap();
        let made: Payment = shop.create_payment(read(PAYMENT).unwrap()).with_link_id(&link).await.unwrap();
        assert_eq!(made.payment_link.unwrap().payment_link_id, link);
        assert_eq!(shop.payment_link(&link).retrieve().await.unwrap().payment_id, Some(made.payment_id));

        let organization = "org_abc123".parse().unwrap();
        let new = NewOrganization::named("Acme".parse().unwrap());
        let made = world.pay.create_organization(new).with_id(&organization).await.unwrap();
        assert_eq!(made.organization_id, organization);
        assert_eq!(world.pay.organization(&organization).retrieve().await.unwrap(), made);
    });
}

#[test]
fn a_stated_id_that_is_taken_is_refused_and_changes_nothing() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "merchant_abc123").await.unwrap();
        let shop = world.pay.merchant(&tenant.merchant.merchant_id);
        let taken = |error: Error, kind, id: &str| match error {
            Error::AlreadyExists(entity) => assert_eq!((entity.kind, entity.id.as_str()), (kind, id)),
            other => panic!("{other:?}"),
        };
        let profile = "pro_a".parse().unwrap();
        shop.create_profile(named("First")).with_id(&profile).await.unwrap();
        let connector = "mca_a".parse().unwrap();
        let body = || read(CONNECTOR).unwrap();
        shop.create_connector(body()).with_id(&connector).await.unwrap();
        let link = "plink_a".parse().unwrap();
        let payment = || read(PAYMENT).unwrap();
        shop.create_payment(payment()).with_link_id(&link).await.unwrap();
        let organization = tenant.organization.organization_id.clone();
        let before = snapshot(&world.pay).await;

        let error = shop.create_profile(named("Second")).with_id(&profile).await.unwrap_err();
        taken(error, EntityKind::Profile, "pro_a");
        let error = shop.profile(&profile).create_connector(body()).with_id(&connector).await.unwrap_err();
        taken(error, EntityKind::Connector, "mca_a");
        let error = shop.create_payment(payment()).with_link_id(&link).await.unwrap_err();
        taken(error, EntityKind::PaymentLink, "plink_a");
        let new = NewOrganization::named("Other".parse().unwrap());
        let error = world.pay.create_organization(new).with_id(&organization).await.unwrap_err();
        taken(error, EntityKind::Organization, organization.as_str());
        assert_eq!(snapshot(&world.pay).await, before);
    });
}

#[test]
fn a_caller_by_a_key_states_no_id() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "merchant_abc123").await.unwrap();
        let caller = world.pay.authenticate(tenant.token()).await.unwrap();
        let shop = caller.merchant();
        let before = snapshot(&world.pay).await;
        let error = shop.create_profile(named("Mine")).with_id(&"pro_mine".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::Forbidden), "{error:?}");
        let body = read(CONNECTOR).unwrap();
        let error = shop.create_connector(body).with_id(&"mca_mine".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::Forbidden), "{error:?}");
        let body = read(PAYMENT).unwrap();
        let error = shop.create_payment(body).with_link_id(&"plink_mine".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::Forbidden), "{error:?}");
        assert_eq!(snapshot(&world.pay).await, before);
    });
}

#[test]
fn a_repetition_with_another_stated_id_is_another_request() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "merchant_abc123").await.unwrap();
        let shop = world.pay.merchant(&tenant.merchant.merchant_id);
        let key = || "take-over-1".parse().unwrap();
        let id = "pro_a".parse().unwrap();
        let first = shop.create_profile(named("Store")).with_id(&id).idempotency_key(key()).await.unwrap();
        let before = snapshot(&world.pay).await;
        let again = shop.create_profile(named("Store")).with_id(&id).idempotency_key(key()).await.unwrap();
        assert_eq!(again, first);
        let other = "pro_b".parse().unwrap();
        let error = shop.create_profile(named("Store")).with_id(&other).idempotency_key(key()).await.unwrap_err();
        assert!(matches!(error, Error::IdempotencyMismatch), "{error:?}");
        let error = shop.create_profile(named("Store")).idempotency_key(key()).await.unwrap_err();
        assert!(matches!(error, Error::IdempotencyMismatch), "{error:?}");
        assert_eq!(snapshot(&world.pay).await, before);
    });
}
