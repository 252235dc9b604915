//! Authentication with a million keys in memory, beside its floor: one HMAC-SHA-256 of the token and one probe of a hash
//! table; and beside one look-up in SQLite. Batches take turns, so that a machine that others share slows all alike.
//!
//! `cargo bench -p perfectpay-benches --bench keys` prints the figures that `benches/README.md` keeps.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a bench stops at a surprise"
)]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use async_trait::async_trait;
use futures_lite::future::block_on;
use hmac::{Hmac, KeyInit as _, Mac as _};
use perfectpay::store::{
    BlockPage, BlockScan, ChangeSet, Committed, EntityRef, Export, Extent, Head, IdempotencyClaim, IdempotencyKey, Key,
    Listing, Load, LogEntry, LogPosition, LogQuery, MerchantPath, Prune, Pruned, Query, Record, StageId, StagedPart,
    Store, UseCount, Uses,
};
use perfectpay::{Error, Incarnation, MasterKey, PerfectPay, Settings, Token, Verdict, json};
use rusqlite::Connection;
use sha2::Sha256;

const KEYS: usize = 1_000_000;
const BATCH: usize = 20_000;
const ROUNDS: usize = 41;

/// A store that has a key for every digest: a million rows would take minutes to write, and are read only once.
#[derive(Debug)]
struct Endless {
    store: Arc<dyn Store>,
    template: Record,
}

#[async_trait]
impl Store for Endless {
    async fn commit(&self, set: ChangeSet) -> Result<Committed, Error> {
        self.store.commit(set).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        let Key::ApiKeyByDigest(digest) = key else { return self.store.get(key).await };
        let mut record = self.template.clone();
        if let Record::ApiKey(row) = &mut record {
            row.id = format!("snd_{:026}", u64::from_le_bytes(digest[..8].try_into().unwrap())).parse()?;
        }
        Ok(Some(record))
    }

    async fn list(&self, query: &Query) -> Result<Option<Listing>, Error> {
        self.store.list(query).await
    }

    async fn block_rules(&self, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
        self.store.block_rules(scan).await
    }

    async fn uses(&self, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
        self.store.uses(count).await
    }

    async fn claim(&self, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
        self.store.claim(tenant, key).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
        self.store.log(query).await
    }

    async fn head(&self) -> Result<Head, Error> {
        self.store.head().await
    }

    async fn stage(&self, part: StagedPart) -> Result<(), Error> {
        self.store.stage(part).await
    }

    async fn taken(&self, of: &EntityRef, stage: StageId) -> Result<Option<Vec<u64>>, Error> {
        self.store.taken(of, stage).await
    }

    async fn prune(&self, prune: &Prune) -> Result<Pruned, Error> {
        self.store.prune(prune).await
    }

    async fn export(&self, extent: &Extent) -> Result<Box<dyn Export>, Error> {
        self.store.export(extent).await
    }

    async fn import(&self, load: Load) -> Result<LogPosition, Error> {
        self.store.import(load).await
    }
}

#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>().filter(|_| bytes.len() == 32) {
            self.0 = u64::from_le_bytes(*first);
        }
    }
}

const SYMBOLS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Numbers that look random, the same ones in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

fn token(dice: &mut Dice) -> String {
    let mut text = String::from("snd_");
    text.extend((0..58).map(|_| char::from(SYMBOLS[dice.below(62)])));
    let mut rest = usize::try_from(crc32fast::hash(text.as_bytes())).unwrap();
    let mut check = [0_u8; 6];
    for digit in check.iter_mut().rev() {
        *digit = SYMBOLS[rest % 62];
        rest /= 62;
    }
    text.extend(check.map(char::from));
    text
}

/// The token with another last character.
fn mistype(token: &str) -> String {
    let other = if token.ends_with('a') { 'b' } else { 'a' };
    format!("{}{other}", &token[..67])
}

fn resident() -> f64 {
    let pages: f64 = std::fs::read_to_string("/proc/self/statm")
        .map_or(0.0, |text| text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default());
    pages * 4_096.0
}

fn is_valid(pay: &PerfectPay, token: &str) -> bool {
    match pin!(pay.verify(token, None)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(verdict) => matches!(verdict.unwrap(), Verdict::Valid(_)),
        Poll::Pending => block_on(pay.verify(token, None)).is_ok(),
    }
}

/// Nanoseconds for each of the batch's items.
fn timed<T>(items: &[T], mut each: impl FnMut(&T)) -> f64 {
    let started = Instant::now();
    for item in items {
        each(item);
    }
    started.elapsed().as_secs_f64() * 1e9 / items.len() as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let world = perfectpay_benches::world();
    let shop = world.pay.organization(&world.organization).merchant(&world.merchant);
    let body = br#"{"name": "Backend", "description": "the shop's server", "expiration": "2099-01-01T00:00:00Z"}"#;
    let issued = block_on(async { shop.create_api_key(json::from_slice(body).unwrap()).await }).unwrap();
    let path = MerchantPath::Id(world.merchant.clone());
    let template = block_on(world.store.get(&Key::ApiKey(path, issued.key_id))).unwrap().unwrap();

    let mut dice = Dice(7);
    let tokens: Vec<String> = (0..KEYS).map(|_| token(&mut dice)).collect();
    assert!(tokens.iter().all(|token| Token::check(token)));
    let store = Endless { store: world.store.clone(), template: template.clone() };
    let master = MasterKey::from_hex("bench", &"5fa1".repeat(16)).unwrap();
    let pay = block_on(PerfectPay::open(Arc::new(store), Settings::new(master).cached_keys(KEYS))).unwrap();
    let before = resident();
    assert!(tokens.iter().all(|token| is_valid(&pay, token)));
    let bytes = (resident() - before) / KEYS as f64;

    let keyed = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
    let digest_of = |token: &str| -> [u8; 32] {
        let mut mac = keyed.clone();
        mac.update(token.as_bytes());
        mac.finalize().into_bytes().into()
    };
    let known: HashMap<[u8; 32], u64, BuildHasherDefault<AsIs>> =
        tokens.iter().zip(0..).map(|(token, number)| (digest_of(token), number)).collect();

    // The same keys in SQLite, a row each of the size that one has.
    let folder = tempfile::tempdir().unwrap();
    let mut conn = Connection::open(folder.path().join("keys.db")).unwrap();
    conn.execute_batch("CREATE TABLE key (digest BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID").unwrap();
    let mut digests: Vec<&[u8; 32]> = known.keys().collect();
    digests.sort();
    let transaction = conn.transaction().unwrap();
    for digest in digests {
        let mut insert = transaction.prepare_cached("INSERT INTO key VALUES (?, ?)").unwrap();
        insert.execute((digest, template.body().unwrap().as_bytes())).unwrap();
    }
    transaction.commit().unwrap();
    let mut statement = conn.prepare("SELECT body FROM key WHERE digest = ?").unwrap();

    let mistyped: Vec<String> = tokens[..BATCH].iter().map(|token| format!("{}-", &token[..67])).collect();
    let (mut ours, mut floor, mut fresh, mut sqlite) = (vec![], vec![], vec![], vec![]);
    let (mut malformed, mut wrong) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        // As a request brings them: where the processor has just put them.
        let some: Vec<String> = (0..BATCH).map(|_| tokens[dice.below(KEYS)].clone()).collect();
        floor.push(timed(&some, |token| {
            black_box(known.get(&digest_of(token)));
        }));
        ours.push(timed(&some, |token| assert!(is_valid(&pay, token))));
        fresh.push(timed(&some, |token| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
            mac.update(token.as_bytes());
            let digest: [u8; 32] = mac.finalize().into_bytes().into();
            black_box(known.get(&digest));
        }));
        malformed.push(timed(&mistyped, |token| assert!(!is_valid(&pay, token))));
        // The right form, and the wrong checksum.
        let swapped: Vec<String> = some.iter().map(|token| mistype(token)).collect();
        wrong.push(timed(&swapped, |token| assert!(!is_valid(&pay, token))));
        let digests: Vec<[u8; 32]> = some[..1_000].iter().map(|token| digest_of(token)).collect();
        sqlite.push(timed(&digests, |digest| {
            let found: Vec<u8> = statement.query_row([digest], |row| row.get(0)).unwrap();
            black_box(found);
        }));
    }
    let ratio = |one: &[f64], other: &[f64]| median(one.iter().zip(other).map(|(one, other)| one / other).collect());
    println!("\n{:<62} {:>9}  {:>8}", "a million keys, median of batches in turn", "measured", "to reach");
    println!("{:<62} {:>6.0} ns", "floor: HMAC (pads computed before) and one probe", median(floor.clone()));
    println!("{:<62} {:>6.0} ns", "the same, HMAC keyed anew", median(fresh.clone()));
    println!("{:<62} {:>6.0} ns", "verify, warm", median(ours.clone()));
    println!("{:<62} {:>9.2}  {:>8}", "verify / floor", ratio(&ours, &floor), "≤ 1.6");
    println!("{:<62} {:>9.2}", "verify / floor keyed anew", ratio(&ours, &fresh));
    println!("{:<62} {:>9.1}  {:>8}", "one look-up in SQLite, as many keys / verify", ratio(&sqlite, &ours), "≥ 20");
    println!("{:<62} {:>6.0} ns  {:>8}", "a malformed token", median(malformed), "≤ 100 ns");
    println!("{:<62} {:>6.0} ns  {:>8}", "a mistyped token", median(wrong), "≤ 100 ns");
    println!("{:<62} {bytes:>6.0} bytes", "memory of a key");
}
