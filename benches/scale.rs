//! One organization with many merchant accounts, and copies of it.
//!
//! `cargo bench -p perfectpay-benches --bench scale -- 1000000` imports 10³, 10⁴ … up to so many accounts (10⁵ unless
//! said otherwise), each with its data key and its default profile, all in one organization, the worst case for a list.
//! Of each it prints what loading, keeping, reading and committing cost. `-- copy 100000` copies so many accounts from
//! file to file, in turn with bare `INSERT … SELECT` of the same rows through one connection.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench stops at a surprise"
)]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded when they are printed")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use perfectpay::store::{
    Actor, Change, ChangeSet, CommitClass, CopyStep, Extent, Item, Key, LogEntry, LogPosition, Logged, MerchantPath,
    Owner, Packed, Packer, Record, Store, TenantRef, copy,
};
use perfectpay::{Incarnation, MerchantId, MerchantUpdate, PageRequest, Timestamp, json};
use perfectpay_benches::{World, bare, world};
use perfectpay_sqlite::SqliteStore;
use tempfile::TempDir;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The median of so many runs, after some that do not count.
fn typical(runs: u32, mut run: impl FnMut(u32)) -> Duration {
    (0..=runs / 10).for_each(&mut run);
    median((0..runs).map(|number| timed(|| run(number))).collect())
}

fn timed(run: impl FnOnce()) -> Duration {
    let started = Instant::now();
    run();
    started.elapsed()
}

fn id(number: u64) -> MerchantId {
    format!("m{number:09}").parse().unwrap()
}

fn moment(number: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_800_000_000_000 + i64::try_from(number).unwrap()).unwrap()
}

/// What one account is made of, taken from one that the library made itself.
struct Pattern {
    organization: TenantRef,
    rows: [Record; 3],
}

impl Pattern {
    fn of(world: &World) -> Self {
        let path = MerchantPath::Id(world.merchant.clone());
        let get = |key| block_on(world.store.get(&key)).unwrap().unwrap();
        let merchant = get(Key::Merchant(path.clone()));
        let Record::Merchant(row) = &merchant else { panic!("not a merchant") };
        let data_key = get(Key::DataKey(row.tenant, row.state.data_key.clone()));
        let profile = get(Key::DefaultProfile(path));
        Self { organization: world.owner.organization.clone().unwrap(), rows: [merchant, data_key, profile] }
    }

    /// The records of account `number`, which has the sealed values of the pattern: nobody opens them.
    fn account(&self, number: u64) -> (TenantRef, Vec<Record>) {
        let at = moment(number);
        let mut bytes = [7; 16];
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        let tenant = TenantRef { incarnation: Incarnation::from_bytes(bytes), id: id(number).to_string() };
        let mut rows = self.rows.to_vec();
        for row in &mut rows {
            match row {
                Record::Merchant(row) => {
                    (row.tenant, row.id, row.created_at, row.modified_at) = (tenant.incarnation, id(number), at, at);
                    row.state.publishable_key = format!("pk_snd_{number:032}").parse().unwrap();
                }
                Record::DataKey(row) => (row.tenant, row.created_at, row.modified_at) = (tenant.incarnation, at, at),
                Record::Profile(row) => (row.tenant, row.created_at, row.modified_at) = (tenant.incarnation, at, at),
                _ => panic!("not a row of an account"),
            }
        }
        (tenant, rows)
    }
}

/// Imports accounts `from..to` behind what there is, the entries that would have made them first, as a copy does.
fn import(store: &SqliteStore, pattern: &Pattern, from: u64, to: u64) {
    let mut packer = Packer::default();
    let give = |item: Option<perfectpay::store::Load>| {
        if let Some(load) = item {
            block_on(store.import(load)).unwrap();
        }
    };
    let mut position = block_on(store.head()).unwrap().position.as_u64();
    for number in from..to {
        let (tenant, rows) = pattern.account(number);
        position += 1;
        let organization = pattern.organization.clone();
        let owner = Owner { organization: Some(organization.clone()), merchant: Some(tenant.clone()) };
        let mut set = ChangeSet::new(owner, Actor::Host, moment(number), CommitClass::Configuration);
        set.changes.extend(rows.into_iter().map(Change::Create));
        let entry = LogEntry {
            position: LogPosition::from_u64(position),
            at: set.at,
            actor: Actor::Host,
            class: set.class,
            organization_id: Some(organization.id),
            merchant_id: Some(tenant.id),
            changes: set.logged(),
        };
        let mut entities = Vec::new();
        let mut records = Vec::new();
        for change in set.changes {
            let Change::Create(record) = change else { continue };
            entities.push(record.entity());
            records.push(record);
        }
        let (organization, merchant) = (Some(organization.incarnation), Some(tenant.incarnation));
        give(packer.push(Item::Entry(Logged { entry, organization, merchant, entities })));
        for record in records {
            give(packer.push(Item::Record(Packed::new(record).unwrap())));
        }
    }
    give(packer.finish());
}

/// The file and what is beside it.
fn size(path: &Path) -> u64 {
    let of = |suffix: &str| std::fs::metadata(format!("{}{suffix}", path.display())).map_or(0, |file| file.len());
    of("") + of("-wal")
}

fn report(world: &World, accounts: u64, loaded: Option<Duration>, rows: u64, empty: u64) {
    // What the write-ahead log holds is moved into the file half a second after the last commit.
    std::thread::sleep(Duration::from_millis(800));
    let bytes = std::fs::metadata(&world.path).unwrap().len().saturating_sub(empty);
    let scope = world.pay.organization(&world.organization);
    // The one that the library made itself: the others' sealed values are of another account.
    let own = scope.merchant(&world.merchant);
    let scattered = |number: u32| id(u64::from(number).wrapping_mul(2_654_435_761) % accounts);
    let read = typical(2_000, |_| drop(block_on(own.retrieve()).unwrap()));
    let reads = typical(2_000, |number| {
        let key = Key::Merchant(MerchantPath::Within(world.organization.clone(), scattered(number)));
        assert!(block_on(world.store.get(&key)).unwrap().is_some());
    });
    let page = |after: Option<u64>| {
        let cursor = after.map(|number| perfectpay::Cursor { created_at: moment(number), id: id(number).to_string() });
        let page = PageRequest::of(25).unwrap().after(cursor);
        let query = perfectpay::store::Query::Merchants(
            perfectpay::store::OrganizationPath::Id(world.organization.clone()),
            page,
        );
        assert!(block_on(world.store.list(&query)).unwrap().unwrap().records.len() >= 25);
    };
    let (mut firsts, mut fars) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        firsts.push(timed(|| page(Some(0))));
        fars.push(timed(|| page(Some(accounts - 27))));
    }
    let (first, far) = (median(firsts), median(fars));
    let commit = typical(200, |number| {
        let body = format!(r#"{{"merchant_name": "Shop {number}"}}"#);
        let update: MerchantUpdate = json::from_slice(body.as_bytes()).unwrap();
        block_on(async { own.update(update).await }).unwrap();
    });
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let rate = loaded.map_or(0.0, |time| rows as f64 / time.as_secs_f64());
    println!(
        "| {accounts} | {rate:.0} | {:.0} | {:.1} | {:.1} | {:.0} | {:.0} | {:.2} | {:.0} |",
        bytes as f64 / accounts as f64,
        micros(read),
        micros(reads),
        micros(first),
        micros(far),
        far.as_secs_f64() / first.as_secs_f64(),
        micros(commit),
    );
}

fn scale(largest: u64) {
    println!(
        "| accounts | rows/s loaded | bytes an account | get by handle, one, µs | get by store, scattered, µs | first page, µs \
         | far page, µs | far / first | commit by handle, µs |\n|---|---|---|---|---|---|---|---|---|"
    );
    let world = world();
    let pattern = Pattern::of(&world);
    std::thread::sleep(Duration::from_millis(800));
    let empty = std::fs::metadata(&world.path).unwrap().len();
    let (mut done, mut accounts) = (0, 1_000);
    while accounts <= largest {
        let took = timed(|| import(&world.store, &pattern, done, accounts));
        // Three records, an entry and its three lines in the index.
        report(&world, accounts, Some(took), (accounts - done) * 7, empty);
        done = accounts;
        accounts *= 10;
    }
}

/// A fresh file with nothing but the schema.
fn fresh() -> (TempDir, PathBuf, Arc<SqliteStore>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    (folder, path, store)
}

/// The same rows by SQLite alone, in one transaction: parents first.
fn floor(source: &Path) -> Duration {
    let (_folder, path, store) = fresh();
    drop(store);
    let conn = bare(&path);
    conn.execute("ATTACH ? AS source", [source.to_str().unwrap()]).unwrap();
    timed(|| {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        for table in [
            "organization",
            "merchant",
            "data_key",
            "profile",
            "connector",
            "api_key",
            "block_rule",
            "block_count",
            "payment",
            "payment_link",
            "idempotency",
            "log",
            "log_entity",
        ] {
            let columns = conn.prepare(&format!("SELECT * FROM pp_{table} LIMIT 0")).unwrap();
            let columns = columns.column_names().collect::<Vec<_>>().join(", ");
            let sql = format!("INSERT INTO pp_{table} ({columns}) SELECT {columns} FROM source.pp_{table}");
            conn.execute_batch(&sql).unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
    })
}

fn copies(accounts: u64, rounds: u32) {
    let world = world();
    import(&world.store, &Pattern::of(&world), 0, accounts);
    std::thread::sleep(Duration::from_millis(800));
    let (mut copying, mut verifying, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ratios, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let floor = floor(&world.path);
        let (_folder, path, to) = fresh();
        let started = Instant::now();
        let mut copied = None;
        let told = |progress: perfectpay::store::CopyProgress| {
            if progress.step == CopyStep::Copying {
                copied = Some(started.elapsed());
            }
        };
        block_on(copy(&*world.store, &*to, &Extent::Everything, told)).unwrap();
        let (all, copied) = (started.elapsed(), copied.unwrap());
        ratios.push(floor.as_secs_f64() / copied.as_secs_f64());
        whole.push(floor.as_secs_f64() / all.as_secs_f64());
        bare.push(floor);
        copying.push(copied);
        verifying.push(all.checked_sub(copied).unwrap());
        assert!(size(&path) > 0);
    }
    ratios.sort_by(f64::total_cmp);
    whole.sort_by(f64::total_cmp);
    let rows = accounts as f64 * 7.0;
    let rate = |times: Vec<Duration>| rows / median(times).as_secs_f64();
    println!("copy of {accounts} accounts, medians of {rounds} rounds in turn, rows/s");
    println!("bare INSERT … SELECT   {:>10.0}", rate(bare));
    println!("copied                 {:>10.0}   ratio {:.2}, to reach 0.5", rate(copying), ratios[ratios.len() / 2]);
    println!("verified               {:>10.0}   ratio with it {:.2}", rate(verifying), whole[whole.len() / 2]);
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |at: usize, otherwise| words.get(at).map_or(otherwise, |word| word.parse().unwrap());
    if words.first().is_some_and(|word| word == "copy") {
        copies(number(1, 20_000), 5);
    } else {
        scale(number(0, 100_000));
    }
}
