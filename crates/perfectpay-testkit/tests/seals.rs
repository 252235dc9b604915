//! Verification of seals on every back-end: everything that is sealed is looked at, and what does not open is named.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

mod support;

use std::collections::BTreeSet;

use futures_lite::future::block_on;
use perfectpay::store::{
    Actor, ChangeSet, Collection, CommitClass, Key, MerchantPath, OrganizationPath, Owner, Query, Record, RowMeta,
    Store,
};
use perfectpay::{ConnectorAuth, EntityKind, PageRequest, PerfectPay, SealFault, Timestamp};
use perfectpay_testkit::host::{self, Tenant};
use serde_json::{Value, json};
use support::{on_every_backend, read, shown, snapshot};

fn credentials(secret: &str) -> ConnectorAuth {
    ConnectorAuth::HeaderKey { api_key: secret.into() }
}

/// Everything that an account and its organization can have sealed.
async fn furnish(pay: &PerfectPay, tenant: &Tenant) {
    let details = json!({ "organization_details": { "contact": "Ada Example" } });
    tenant.organization_scope(pay).update(read(&details.to_string()).unwrap()).await.unwrap();
    let scope = tenant.scope(pay);
    let body = json!({
        "merchant_name": "Acme",
        "merchant_details": { "primary_email": "a@acme.example" },
        "webhook_details": { "webhook_password": "account's" },
    });
    scope.update(read(&body.to_string()).unwrap()).await.unwrap();
    let body = json!({
        "webhook_details": { "webhook_password": "profile's" },
        "outgoing_webhook_custom_http_headers": { "X-Key": "value" },
    });
    tenant.profile_scope(pay).update(read(&body.to_string()).unwrap()).await.unwrap();
    let body = json!({
        "connector_type": "payment_processor",
        "connector_name": "stripe",
        "connector_account_details": { "auth_type": "HeaderKey", "api_key": "sk_live_1" },
        "connector_webhook_details": { "merchant_secret": "a secret" },
        "additional_merchant_data": { "a": "b" },
        "connector_wallets_details": { "apple_pay": { "a": "b" } },
    });
    let connector = scope.create_connector(read(&body.to_string()).unwrap()).await.unwrap();
    let connector = scope.connector(&connector.merchant_connector_id);
    connector.stage_credentials(credentials("sk_live_2")).await.unwrap();
    connector.activate_credentials().await.unwrap();
    connector.stage_credentials(credentials("sk_live_3")).await.unwrap();
    scope.create_payment(read(&host::payment_with_link_body(100, "EUR")).unwrap()).await.unwrap();
    scope.blocklist().add(read(&host::block_body("card_bin", "411111")).unwrap()).await.unwrap();
}

/// Every record of a store, data keys included, with the account that it is in.
async fn records(store: &dyn Store) -> Vec<(Option<String>, Record)> {
    let page = || PageRequest::of(100).unwrap();
    let mut all = Vec::new();
    for organization in store.list(&Query::Organizations(page())).await.unwrap().unwrap().records {
        let Record::Organization(row) = &organization else { panic!("{organization:?}") };
        let path = OrganizationPath::Pinned(row.tenant);
        let key = store.get(&Key::DataKey(row.tenant, row.state.data_key.clone())).await.unwrap();
        all.push((None, key.unwrap()));
        all.push((None, organization));
        for merchant in store.list(&Query::Merchants(path, page())).await.unwrap().unwrap().records {
            let Record::Merchant(row) = &merchant else { panic!("{merchant:?}") };
            let (path, id) = (MerchantPath::Pinned(row.tenant), Some(row.id.to_string()));
            let key = store.get(&Key::DataKey(row.tenant, row.state.data_key.clone())).await.unwrap();
            all.push((id.clone(), key.unwrap()));
            all.push((id.clone(), merchant));
            for collection in [
                Collection::Profiles,
                Collection::Connectors { profile: None },
                Collection::ApiKeys,
                Collection::BlockRules { kind: None },
                Collection::Payments,
                Collection::PaymentLinks { profile: None },
            ] {
                let query = Query::Within(path.clone(), collection, page());
                let found = store.list(&query).await.unwrap().unwrap().records;
                all.extend(found.into_iter().map(|record| (id.clone(), record)));
            }
        }
    }
    all
}

/// Where the sealed values of a body are, found by their form alone.
fn envelopes(body: &Value, at: &str, found: &mut Vec<String>) {
    match body {
        Value::String(text) => {
            let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap_or_default();
            // Version, length of the key's id, the id itself.
            let names_a_key = bytes.get(2..).is_some_and(|id| id.starts_with(b"dk_") || id.starts_with(b"test-"));
            if bytes.first() == Some(&1) && names_a_key {
                found.push(at.to_owned());
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| envelopes(item, &format!("{at}/{n}"), found));
        }
        Value::Object(map) => map.iter().for_each(|(name, item)| envelopes(item, &format!("{at}/{name}"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn body(record: &Record) -> Value {
    serde_json::from_str(&record.body().unwrap()).unwrap()
}

/// The field that a value is sealed for, by where it is kept.
fn field(pointer: &str) -> &str {
    match pointer {
        "/wrapped" => "key",
        "/fingerprint_secrets/0/secret" => "fingerprint_secret",
        "/credentials/staged/credentials" => "staged_credentials",
        "/credentials/previous/credentials" => "previous_credentials",
        other => &other[1..],
    }
}

/// Writes the record with another body over whatever is there.
async fn overwrite(store: &dyn Store, version: &mut u64, record: &Record, body: &Value) {
    let meta = RowMeta { version: *version + 1, ..record.meta() };
    let record = Record::decode(record.kind(), &meta, &body.to_string()).unwrap();
    let now = Timestamp::from_unix_millis(host::START_MILLIS).unwrap();
    let mut set = ChangeSet::new(Owner::default(), Actor::Host, now, CommitClass::Configuration);
    set.update(record);
    store.commit(set).await.unwrap();
    *version += 1;
}

/// One bit of the ciphertext is another one.
fn flipped(text: &str) -> String {
    let mut bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    data_encoding::BASE64URL_NOPAD.encode(&bytes)
}

type Told = (Option<String>, EntityKind, String, &'static str);

fn told(fault: &SealFault) -> Told {
    let merchant = fault.merchant_id.as_ref().map(ToString::to_string);
    (merchant, fault.entity.kind, fault.entity.id.clone(), fault.field)
}

#[test]
fn every_sealed_value_is_looked_at_and_each_one_that_does_not_open_is_named() {
    on_every_backend(async |world| {
        let (pay, store) = (&world.pay, &*world.backend.store);
        let acme = host::stand_up(pay, "acme").await.unwrap();
        let other = host::stand_up(pay, "other").await.unwrap();
        furnish(pay, &acme).await;
        furnish(pay, &other).await;
        let kept = records(store).await;
        let mut sealed = Vec::new();
        for (merchant, record) in &kept {
            let mut found = Vec::new();
            envelopes(&body(record), "", &mut found);
            let mut shown: Vec<_> = record.clone().sealed_fields().into_iter().map(|(field, _)| field).collect();
            let mut named: Vec<_> = found.iter().map(|pointer| field(pointer)).collect();
            named.sort_unstable();
            shown.sort_unstable();
            assert_eq!(shown, named, "every {} shows what it has sealed", record.kind());
            sealed.extend(found.into_iter().map(|pointer| (merchant.clone(), record, pointer)));
        }
        let fields: BTreeSet<_> = sealed.iter().map(|(_, record, at)| (record.kind(), field(at))).collect();
        assert_eq!(fields.len(), 18, "{fields:?}");

        let report = pay.verify_seals(|_| {}).await.unwrap();
        assert!(report.is_healthy(), "{:?}", report.faults);
        assert_eq!((report.merchants, report.total()), (2, 0), "{}", world.name);
        assert_eq!(usize::try_from(report.records).unwrap(), kept.len());
        assert_eq!(usize::try_from(report.seals).unwrap(), sealed.len());

        let mut versions: Vec<u64> = kept.iter().map(|(_, record)| record.meta().version).collect();
        for (merchant, record, pointer) in &sealed {
            let version = &mut versions[kept.iter().position(|(_, kept)| kept.entity() == record.entity()).unwrap()];
            let good = body(record);
            let own = good.pointer(pointer).unwrap().as_str().unwrap();
            // Changed by a bit; and another one's, which is whole and stands in the wrong place.
            let tenant = record.meta().tenant;
            let (_, foreign, _) = sealed
                .iter()
                .find(|(_, other, at)| at == pointer && other.kind() == record.kind() && other.meta().tenant != tenant)
                .unwrap();
            let foreign = body(foreign).pointer(pointer).unwrap().as_str().unwrap().to_owned();
            for value in [flipped(own), foreign] {
                let mut bad = good.clone();
                *bad.pointer_mut(pointer).unwrap() = value.into();
                overwrite(store, version, record, &bad).await;
                let report = pay.verify_seals(|_| {}).await.unwrap();
                let found: Vec<Told> = report.faults.iter().map(told).collect();
                let this = (merchant.clone(), record.kind(), record.meta().id, field(pointer));
                if record.kind() == EntityKind::DataKey {
                    // With it everything that it sealed, and nothing of anybody else.
                    assert_eq!(found[0].1, EntityKind::DataKey);
                    assert_eq!(found[0].3, "key");
                    let its = sealed.iter().filter(|(_, other, _)| other.meta().tenant == tenant).count();
                    assert_eq!(found.len(), its, "{found:?}");
                    assert!(found.iter().all(|(of, ..)| of == merchant), "{found:?}");
                } else {
                    assert_eq!(found.len(), 1, "{found:?}");
                    assert_eq!((&found[0].0, found[0].1, &found[0].2), (&this.0, this.1, &this.2), "{}", world.name);
                    assert_eq!(found[0].3, this.3);
                    let text = report.faults[0].to_string();
                    assert!(text.contains(this.3) && text.contains(&this.2), "{text}");
                }
                assert_eq!(usize::try_from(report.seals).unwrap(), sealed.len(), "the broken one was looked at, too");
            }
            overwrite(store, version, record, &good).await;
        }
        assert!(pay.verify_seals(|_| {}).await.unwrap().is_healthy());
    });
}

#[test]
fn what_is_not_even_an_envelope_is_a_fault_like_another() {
    on_every_backend(async |world| {
        let (pay, store) = (&world.pay, &*world.backend.store);
        let acme = host::stand_up(pay, "acme").await.unwrap();
        furnish(pay, &acme).await;
        let (_, payment) = records(store).await.into_iter().find(|(_, r)| r.kind() == EntityKind::Payment).unwrap();
        let mut version = payment.meta().version;
        for value in ["", "AAAA", "AQNka18"] {
            overwrite(store, &mut version, &payment, &{
                let mut bad = body(&payment);
                bad["client_secret"] = value.into();
                bad
            })
            .await;
            let report = pay.verify_seals(|_| {}).await.unwrap();
            let found: Vec<_> = report.faults.iter().map(|fault| (fault.entity.kind, fault.field)).collect();
            assert_eq!(found, [(EntityKind::Payment, "client_secret")], "{value:?} on {}", world.name);
        }
    });
}

#[test]
fn a_verification_changes_nothing_tells_how_far_it_is_and_minds_nobody_elses_work() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let acme = host::stand_up(pay, "acme").await.unwrap();
        let other = host::merchant_in(pay, &acme.organization, "other").await.unwrap();
        furnish(pay, &acme).await;
        furnish(pay, &other).await;
        let before = snapshot(pay).await;
        let mut heard = Vec::new();
        let report = pay.verify_seals(|report| heard.push(report.clone())).await.unwrap();
        assert_eq!(snapshot(pay).await, before, "{}", world.name);
        assert_eq!(heard.last(), Some(&report));
        assert!(heard.is_sorted_by_key(|report| (report.records, report.seals)));
        assert!(heard.len() > 2);
        assert_eq!(shown(&report)["faults"], json!([]));

        // An account that goes, and one that is changed, while they are looked at.
        let mut first = true;
        let report = pay.verify_seals(|_| {
            if std::mem::take(&mut first) {
                block_on(async {
                    other.scope(pay).remove().cascade().await.unwrap();
                    let update = json!({ "payment_response_hash_key": "another" });
                    acme.scope(pay).update(read(&update.to_string()).unwrap()).await.unwrap();
                });
            }
        });
        let report = report.await.unwrap();
        assert!(report.is_healthy(), "{:?} on {}", report.faults, world.name);
        assert!(!first);
    });
}
