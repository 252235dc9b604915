//! The SQLite store beside bare rusqlite: the same rows with the same durability, in the same run.
//!
//! `cargo bench -p perfectpay-benches --bench sqlite` prints, after criterion's own figures, the ratios that
//! `benches/README.md` keeps. The floor writes what the store writes for the same commit — a payment, its entry in the
//! log, its line in the log's index — with prepared statements on one connection that is set up alike, and is handed
//! the finished JSON; reading, it runs the one statement that finds a profile and decodes the same JSON.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench stops at the first surprise"
)]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a bench stops at the first surprise")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use futures_lite::future::block_on;
use perfectpay::store::{Actor, ChangeSet, CommitClass, Key, MerchantPath, Owner, Record, Store, Stored, TenantRef};
use perfectpay::{
    Incarnation, MasterKey, MerchantId, Money, NewMerchant, NewOrganization, NewPayment, OrganizationId, PaymentId,
    PerfectPay, Profile, ProfileId, Settings, Timestamp,
};
use perfectpay_sqlite::SqliteStore;
use rusqlite::{Connection, params};

/// How many callers commit at once.
const CALLERS: u64 = 64;

/// An account to write payments into, on a file of its own.
struct World {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    store: Arc<SqliteStore>,
    pay: PerfectPay,
    owner: Owner,
    tenant: Incarnation,
    organization: OrganizationId,
    merchant: MerchantId,
    profile: ProfileId,
    payment: Stored<perfectpay::payment::PaymentState>,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let master = MasterKey::from_hex("bench", &"5fa1".repeat(16)).unwrap();
    block_on(async {
        let pay = PerfectPay::open(store.clone(), Settings::new(master)).await.unwrap();
        let organization = pay.create_organization(NewOrganization::named("Acme".parse().unwrap())).await.unwrap();
        let scope = pay.organization(&organization.organization_id);
        let merchant = scope.create_merchant(NewMerchant::with_id("merchant".parse().unwrap())).await.unwrap();
        let account = scope.merchant(&merchant.merchant_id);
        let payment = account.create_payment(payment()).await.unwrap();
        let path_of = MerchantPath::Id(merchant.merchant_id.clone());
        let row = store.get(&Key::Merchant(path_of.clone())).await.unwrap().unwrap();
        let Record::Merchant(row) = row else { panic!("not a merchant") };
        let payment = store.get(&Key::Payment(path_of, payment.payment_id)).await.unwrap().unwrap();
        let Record::Payment(payment) = payment else { panic!("not a payment") };
        let owner = Owner {
            organization: Some(TenantRef {
                incarnation: row.state.organization,
                id: organization.organization_id.to_string(),
            }),
            merchant: Some(TenantRef { incarnation: row.tenant, id: row.id.to_string() }),
        };
        World {
            _folder: folder,
            path,
            store,
            pay,
            owner,
            tenant: row.tenant,
            organization: organization.organization_id,
            merchant: merchant.merchant_id,
            profile: merchant.default_profile.unwrap(),
            payment,
        }
    })
}

fn payment() -> NewPayment {
    NewPayment::of(Money { amount: 4999.try_into().unwrap(), currency: "USD".parse().unwrap() })
}

impl World {
    /// A commit of one new payment.
    fn set(&self, number: u64) -> ChangeSet {
        let mut row = self.payment.clone();
        row.id = id(number);
        let now = Timestamp::from_unix_millis(1_800_000_000_000).unwrap();
        let mut set = ChangeSet::new(self.owner.clone(), Actor::Host, now, CommitClass::Operational);
        set.create(row);
        set
    }
}

/// Ids that sort by their number, as made ones do by their time.
fn id(number: u64) -> PaymentId {
    format!("pay_{number:026}").parse().unwrap()
}

/// A fresh file with the store's schema and an account in it, under a bare connection that is set up alike.
struct Floor {
    _world: World,
    conn: Connection,
    tenant: [u8; 16],
    organization: [u8; 16],
    profile: String,
    body: String,
    next: u64,
}

fn floor() -> Floor {
    let world = world();
    let conn = bare(&world.path);
    let body = Record::from(world.payment.clone()).body().unwrap();
    Floor {
        conn,
        tenant: *world.tenant.as_bytes(),
        organization: *world.owner.organization.as_ref().unwrap().incarnation.as_bytes(),
        profile: world.profile.to_string(),
        body,
        next: 0,
        _world: world,
    }
}

fn bare(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.set_prepared_statement_cache_capacity(64);
    for (pragma, value) in [
        ("synchronous", "EXTRA"),
        ("journal_mode", "WAL"),
        ("foreign_keys", "ON"),
        ("secure_delete", "ON"),
        ("cell_size_check", "ON"),
        ("temp_store", "MEMORY"),
        ("mmap_size", "0"),
    ] {
        conn.pragma_update(None, pragma, value).unwrap();
    }
    conn
}

impl Floor {
    /// The rows of one commit, without a transaction around them.
    fn rows(&mut self) {
        self.next += 1;
        let id = format!("pay_{:026}", self.next);
        let at = 1_800_000_000_000_i64;
        self.conn
            .prepare_cached(
                "INSERT INTO pp_payment (merchant, id, version, created_at, modified_at, profile, body) \
                 VALUES (?1, ?2, 1, ?3, ?3, ?4, ?5)",
            )
            .unwrap()
            .execute(params![self.tenant, id, at, self.profile, self.body])
            .unwrap();
        let changes = format!(r#"[{{"kind":"payment","id":"{id}","verb":"created","version":1}}]"#);
        self.conn
            .prepare_cached(
                "INSERT INTO pp_log (at, actor, class, organization, merchant, organization_id, merchant_id, changes) \
                 VALUES (?1, 'host', 'operational', ?2, ?3, 'org_06h0cm8p3lod5cjmsof3snjqr8', 'merchant', ?4)",
            )
            .unwrap()
            .execute(params![at, self.organization, self.tenant, changes])
            .unwrap();
        let position = self.conn.last_insert_rowid();
        self.conn
            .prepare_cached("INSERT INTO pp_log_entity (tenant, kind, id, position) VALUES (?1, 'payment', ?2, ?3)")
            .unwrap()
            .execute(params![self.tenant, id, position])
            .unwrap();
    }

    fn run(&self, sql: &str) {
        self.conn.prepare_cached(sql).unwrap().raw_execute().unwrap();
    }

    /// One commit, one transaction.
    fn alone(&mut self) {
        self.run("BEGIN IMMEDIATE");
        self.rows();
        self.run("COMMIT");
    }

    /// So many commits in one transaction, each in a savepoint.
    fn grouped(&mut self, commits: u64) {
        self.run("BEGIN IMMEDIATE");
        for _ in 0..commits {
            self.run("SAVEPOINT member");
            self.rows();
            self.run("RELEASE member");
        }
        self.run("COMMIT");
    }
}

/// One caller, one commit after the other.
fn one_caller(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one_caller");
    group.sample_size(30).measurement_time(Duration::from_secs(8)).throughput(Throughput::Elements(1));
    let (ours, mut theirs) = (world(), floor());
    let mut number = 0;
    group.bench_function("store", |b| {
        b.iter(|| {
            number += 1;
            block_on(ours.store.commit(ours.set(number))).unwrap()
        });
    });
    group.bench_function("bare", |b| b.iter(|| theirs.alone()));
    let handle = ours.pay.organization(&ours.organization).merchant(&ours.merchant);
    group.bench_function("handle", |b| b.iter(|| block_on(async { handle.create_payment(payment()).await }).unwrap()));
    group.finish();
}

/// Many callers at once; a round is one commit of each.
fn many_callers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("many_callers");
    group.sample_size(20).measurement_time(Duration::from_secs(8)).throughput(Throughput::Elements(CALLERS));
    let ours = Arc::new(world());
    let mut theirs = floor();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut number = 0;
    group.bench_function("store", |b| {
        b.iter_custom(|rounds| {
            let begin = number;
            number += rounds * CALLERS;
            let ours = Arc::clone(&ours);
            runtime.block_on(async move {
                let started = Instant::now();
                let callers: Vec<_> = (0..CALLERS)
                    .map(|caller| {
                        let ours = Arc::clone(&ours);
                        tokio::spawn(async move {
                            for round in 0..rounds {
                                let set = ours.set(begin + caller * rounds + round + 1);
                                ours.store.commit(set).await.unwrap();
                            }
                        })
                    })
                    .collect();
                for caller in callers {
                    caller.await.unwrap();
                }
                started.elapsed()
            })
        });
    });
    group.bench_function("bare", |b| b.iter(|| theirs.grouped(CALLERS)));
    group.bench_function("bare_one_by_one", |b| b.iter(|| (0..CALLERS).for_each(|_| theirs.alone())));
    group.finish();
}

/// One profile, read again and again.
fn point_read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("point_read");
    group.sample_size(50).measurement_time(Duration::from_secs(5));
    let ours = world();
    let profile = ours.pay.organization(&ours.organization).merchant(&ours.merchant).profile(&ours.profile);
    group.bench_function("handle", |b| b.iter(|| block_on(profile.retrieve()).unwrap()));
    let key =
        Key::Profile(MerchantPath::Within(ours.organization.clone(), ours.merchant.clone()), ours.profile.clone());
    group.bench_function("store", |b| b.iter(|| block_on(ours.store.get(&key)).unwrap().unwrap()));
    let conn = bare(&ours.path);
    let (tenant, id) = (*ours.tenant.as_bytes(), ours.profile.to_string());
    group.bench_function("bare", |b| {
        b.iter(|| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT version, created_at, modified_at, body FROM pp_profile WHERE merchant = ?1 AND id = ?2",
                )
                .unwrap();
            statement
                .query_row(params![tenant, id], |row| {
                    let head: (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    let body = row.get_ref(3)?.as_str()?;
                    Ok((head, serde_json::from_str::<perfectpay::profile::ProfileState>(body).unwrap()))
                })
                .unwrap()
        });
    });
    drop(profile);
    let _: Option<Profile> = None;
    group.finish();
}

/// The median of a bench of this run, in nanoseconds.
fn median(group: &str, bench: &str) -> Option<f64> {
    let home = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), std::path::PathBuf::from);
    let path = home.join("criterion").join(group).join(bench).join("new/estimates.json");
    let text = std::fs::read_to_string(path).ok()?;
    serde_json::from_str::<serde_json::Value>(&text).ok()?["median"]["point_estimate"].as_f64()
}

fn ratios() {
    println!("\n{:<58} {:>8}  {:>8}", "ratio of medians", "measured", "to reach");
    for (what, (above, below), goal) in [
        ("one caller: store's rate / bare", (("one_caller", "bare"), ("one_caller", "store")), "≥ 0.9"),
        ("one caller: handle's rate / bare", (("one_caller", "bare"), ("one_caller", "handle")), ""),
        ("64 callers: store's rate / bare grouped", (("many_callers", "bare"), ("many_callers", "store")), "≥ 0.8"),
        (
            "64 callers: store's rate / bare one by one",
            (("many_callers", "bare_one_by_one"), ("many_callers", "store")),
            "≥ 6",
        ),
        ("point read: handle's time / bare", (("point_read", "handle"), ("point_read", "bare")), "≤ 2"),
        ("point read: store's time / bare", (("point_read", "store"), ("point_read", "bare")), ""),
    ] {
        if let (Some(above), Some(below)) = (median(above.0, above.1), median(below.0, below.1)) {
            println!("{what:<58} {:>8.2}  {goal:>8}", above / below);
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    one_caller(&mut criterion);
    many_callers(&mut criterion);
    point_read(&mut criterion);
    criterion.final_summary();
    ratios();
}
