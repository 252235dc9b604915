//! What sealing costs over the cipher alone, and how fast data keys are wrapped anew.
//!
//! `cargo bench -p perfectpay-benches --bench sealing` prints what `benches/README.md` keeps.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench stops at a surprise"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use futures_lite::future::block_on;
use perfectpay::merchant::{DataKeyState, KeyHolder};
use perfectpay::seal::{Place, SealingKey};
use perfectpay::store::{
    Actor, ChangeSet, CommitClass, Key, MerchantPath, Owner, Record, Store as _, Stored, TenantRef,
};
use perfectpay::{
    EntityKind, Incarnation, Keyring as _, LocalKeyring, MasterKey, NewMerchant, NewOrganization, PerfectPay, Settings,
    SystemEntropy,
};
use perfectpay_sqlite::SqliteStore;

const ROUNDS: u32 = 101;
const TIMES: u32 = 2_000;
const ACCOUNTS: u32 = 100_000;

fn timed(mut run: impl FnMut()) -> Duration {
    let started = Instant::now();
    (0..TIMES).for_each(|_| run());
    started.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Opening a sealed value against the bare cipher, in batches that take turns.
fn opening() {
    println!("\n{:<12} {:>12} {:>14} {:>10} {:>16}", "bytes", "opened, ns", "bare + AAD, ns", "ratio", "ratio, no AAD");
    let id = "dk_06h0e6etjhvr974g64b8tsjdjo";
    let key = SealingKey::new(id, &[7; 32]);
    let bare = Aes256Gcm::new(&[7; 32].into());
    let place = Place {
        tenant: Incarnation::from_bytes([1; 16]),
        kind: EntityKind::Connector,
        id: "mca_06h0e6f49dt4bc47k5ck0ecbu8",
        field: "connector_account_details",
    };
    let aad = place.associated_data(id);
    for size in [64_usize, 128, 256, 1_024, 4_096] {
        let plain = vec![b'k'; size];
        let sealed = key.seal(place, &plain, &SystemEntropy).unwrap();
        let nonce = Nonce::from([9; 12]);
        let with_aad = bare.encrypt(&nonce, Payload { msg: &plain, aad: &aad }).unwrap();
        let without = bare.encrypt(&nonce, plain.as_slice()).unwrap();
        let (mut ours, mut floors, mut ratios, mut alone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let opened = timed(|| drop(black_box(key.open(black_box(place), black_box(&sealed)).unwrap())));
            let floor = timed(|| {
                let payload = Payload { msg: black_box(&with_aad), aad: black_box(&aad) };
                drop(black_box(bare.decrypt(&nonce, payload).unwrap()));
            });
            let bare = timed(|| drop(black_box(bare.decrypt(&nonce, black_box(without.as_slice())).unwrap())));
            ours.push(opened.as_secs_f64());
            floors.push(floor.as_secs_f64());
            ratios.push(opened.as_secs_f64() / floor.as_secs_f64());
            alone.push(opened.as_secs_f64() / bare.as_secs_f64());
        }
        let nanoseconds = |values| median(values) * 1e9 / f64::from(TIMES);
        println!(
            "{size:<12} {:>12.0} {:>14.0} {:>10.2} {:>16.2}",
            nanoseconds(ours),
            nanoseconds(floors),
            median(ratios),
            median(alone)
        );
    }
}

fn master(id: &str, digits: &str) -> MasterKey {
    MasterKey::from_hex(id, &digits.repeat(16)).unwrap()
}

/// As many accounts as there are to be, each with a data key of its own under the old key.
async fn fill(store: &SqliteStore, keyring: &LocalKeyring, row: &Record) {
    let Record::Merchant(row) = row else { panic!("not a merchant account") };
    let organization = TenantRef { incarnation: row.state.organization, id: row.state.organization_id.to_string() };
    for batch in 0..ACCOUNTS / 1_000 {
        let owner = Owner { organization: Some(organization.clone()), merchant: None };
        let mut set = ChangeSet::new(owner, Actor::Host, row.created_at, CommitClass::Configuration);
        for number in batch * 1_000..(batch + 1) * 1_000 {
            let mut bytes = [0xab; 16];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            let tenant = Incarnation::from_bytes(bytes);
            let mut state = row.state.clone();
            state.publishable_key = format!("pk_dev_{number}").parse().unwrap();
            state.data_key = format!("dk_{number:026}").parse().unwrap();
            let id = state.data_key.clone();
            let place = Place { tenant, kind: EntityKind::DataKey, id: id.as_str(), field: "key" };
            let wrapped = keyring.wrap(place, &[7; 32], &SystemEntropy).await.unwrap();
            set.create(Stored::new(tenant, format!("m{number}").parse().unwrap(), row.created_at, state));
            set.create(Stored::new(tenant, id, row.created_at, DataKeyState { holder: KeyHolder::Merchant, wrapped }));
        }
        store.commit(set).await.unwrap();
    }
}

fn wrapping_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path().join("accounts.db")).unwrap());
    block_on(async {
        let old = LocalKeyring::new(master("old", "5fa1"));
        let pay = PerfectPay::open(store.clone(), Settings::new(master("old", "5fa1"))).await.unwrap();
        let group = pay.create_organization(NewOrganization::named("Acme".parse().unwrap())).await.unwrap();
        let shop = pay.organization(&group.organization_id);
        shop.create_merchant(NewMerchant::with_id("acme".parse().unwrap())).await.unwrap();
        let row = store.get(&Key::Merchant(MerchantPath::Id("acme".parse().unwrap()))).await.unwrap().unwrap();
        fill(&store, &old, &row).await;

        let keyring = LocalKeyring::new(master("new", "9c44")).opening(master("old", "5fa1")).unwrap();
        let pay = PerfectPay::open(store.clone(), Settings::with_keyring(Arc::new(keyring))).await.unwrap();
        let started = Instant::now();
        let rotated = pay.rewrap(|_| {}).await.unwrap();
        let took = started.elapsed().as_secs_f64();
        let done = u32::try_from(rotated.done).unwrap();
        println!(
            "\n{done} data keys wrapped anew in {took:.2} s: {:.0} a second, ≥ 20,000 to reach",
            f64::from(done) / took
        );
        let started = Instant::now();
        let left = pay.left_under(&"old".parse().unwrap()).await.unwrap();
        println!("{} left under the old key, told in {:.1} ms", left.data_keys, started.elapsed().as_secs_f64() * 1e3);
        let started = Instant::now();
        let left = pay.left_under(&"new".parse().unwrap()).await.unwrap();
        println!("{} under the new key, counted in {:.2} s", left.data_keys, started.elapsed().as_secs_f64());
    });
}

fn main() {
    opening();
    wrapping_anew();
}
