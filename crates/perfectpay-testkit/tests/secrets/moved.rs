//! What is sealed opens only where it was sealed, and only as it was.

use futures_lite::future::block_on;
use perfectpay::store::{Actor, ChangeSet, CommitClass, Key, MerchantPath, Owner, Record, RowMeta, Store};
use perfectpay_testkit::host;
use perfectpay_testkit::watch::Watch;
use serde_json::Value;

use super::planted::connectors;
use super::support::{World, backends, read, shown};

/// The same record with another body, at its next version.
fn altered(record: &Record, alter: impl FnOnce(&mut Value)) -> Record {
    let mut body: Value = serde_json::from_str(&record.body().unwrap()).unwrap();
    alter(&mut body);
    let meta = record.meta();
    let meta = RowMeta { version: meta.version + 1, ..meta };
    Record::decode(record.kind(), &meta, &body.to_string()).unwrap()
}

async fn write(store: &dyn Store, record: Record, at: perfectpay::Timestamp) {
    let mut set = ChangeSet::new(Owner::default(), Actor::Host, at, CommitClass::Configuration);
    set.update(record);
    store.commit(set).await.unwrap();
}

#[test]
fn a_sealed_value_that_was_changed_or_moved_does_not_open() {
    for backend in backends() {
        let world = World::on(backend);
        let pay = &world.pay;
        block_on(async {
            let acme = host::stand_up(pay, "acme").await.unwrap();
            let other = host::merchant_in(pay, &acme.organization, "other").await.unwrap();
            let store = world.backend.store.clone();
            let mut watch = Watch::default();
            let bodies = connectors(&mut watch, "first");
            let (a, b) = (acme.scope(pay), other.scope(pay));
            let mine = a.create_connector(read(&bodies[0].to_string()).unwrap()).await.unwrap();
            let sibling = a.create_connector(read(&bodies[1].to_string()).unwrap()).await.unwrap();
            let foreign = b.create_connector(read(&bodies[0].to_string()).unwrap()).await.unwrap();
            let row = async |merchant: &str, id: &perfectpay::ConnectorId| {
                let path = MerchantPath::Id(merchant.parse().unwrap());
                store.get(&Key::Connector(path, id.clone())).await.unwrap().unwrap()
            };
            let sealed = async |merchant: &str, id: &perfectpay::ConnectorId, field: &str| {
                let body: Value = serde_json::from_str(&row(merchant, id).await.body().unwrap()).unwrap();
                body[field].as_str().unwrap().to_owned()
            };
            let fields = [
                "connector_account_details",
                "connector_webhook_details",
                "additional_merchant_data",
                "connector_wallets_details",
            ];
            let handle = a.connector(&mine.merchant_connector_id);
            let now = perfectpay::Timestamp::from_unix_millis(host::START_MILLIS).unwrap();
            let good = row("acme", &mine.merchant_connector_id).await;
            let mut values = Vec::new();
            for field in fields {
                let own = sealed("acme", &mine.merchant_connector_id, field).await;
                // Every character, and so every byte: version, key id, nonce, text and tag.
                for at in 0..own.len() {
                    let mut text = own.clone().into_bytes();
                    text[at] = if text[at] == b'A' { b'Q' } else { b'A' };
                    values.push((field, String::from_utf8(text).unwrap()));
                }
                values.push((field, own[..own.len() - 4].to_owned()));
                values.push((field, String::new()));
                values.push((field, sealed("acme", &sibling.merchant_connector_id, field).await));
                values.push((field, sealed("other", &foreign.merchant_connector_id, field).await));
                for other in fields.iter().filter(|other| **other != field) {
                    values.push((field, sealed("acme", &mine.merchant_connector_id, other).await));
                }
            }
            let mut version = good.clone();
            let mut refused = 0;
            for (field, value) in values {
                let body: Value = serde_json::from_str(&good.body().unwrap()).unwrap();
                if body[field].as_str() == Some(value.as_str()) {
                    continue;
                }
                // The last character of a text may hold bits that no byte has; such a text is no base64url.
                let mut text = body.clone();
                text[field] = value.clone().into();
                let meta = version.meta();
                let meta = RowMeta { version: meta.version + 1, ..meta };
                let Ok(next) = Record::decode(good.kind(), &meta, &text.to_string()) else { continue };
                write(&*store, next.clone(), now).await;
                version = next;
                let error = handle.retrieve().await.err().unwrap_or_else(|| panic!("{field}: {value} was opened"));
                assert_eq!(error.kind(), perfectpay::ErrorKind::Corrupt, "{field}: {error} on {}", world.name);
                watch.error("a sealed value that does not open", &error);
                refused += 1;
            }
            assert!(refused > 500, "{refused} alterations");
            write(&*store, altered(&version, |body| *body = serde_json::from_str(&good.body().unwrap()).unwrap()), now)
                .await;
            assert_eq!(shown(&handle.retrieve().await.unwrap()), shown(&mine), "{}", world.name);
        });
    }
}
