//! What the benches share: an account on a file of its own, and the bare connection beside it that writes the same rows.
//!
//! The floor writes what the store writes for the same commit — a payment, its entry in the log, its line in the log's
//! index — with prepared statements on one connection that is set up alike, and is handed the finished JSON.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "for the benches beside this folder alone")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a bench stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use perfectpay::payment::PaymentState;
use perfectpay::store::{Actor, ChangeSet, CommitClass, Key, MerchantPath, Owner, Record, Store, Stored, TenantRef};
use perfectpay::{
    Incarnation, MasterKey, MerchantId, Money, NewMerchant, NewOrganization, NewPayment, OrganizationId, PaymentId,
    PerfectPay, ProfileId, Settings, Timestamp,
};
use perfectpay_sqlite::SqliteStore;
use rusqlite::{Connection, params};

/// How many callers commit at once.
pub const CALLERS: u64 = 64;

/// An account to write payments into, on a file of its own.
#[derive(Debug)]
pub struct World {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
    pub store: Arc<SqliteStore>,
    pub pay: PerfectPay,
    pub owner: Owner,
    pub tenant: Incarnation,
    pub organization: OrganizationId,
    pub merchant: MerchantId,
    pub profile: ProfileId,
    payment: Stored<PaymentState>,
}

pub fn world() -> World {
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

pub fn payment() -> NewPayment {
    NewPayment::of(Money { amount: 4999.try_into().unwrap(), currency: "USD".parse().unwrap() })
}

impl World {
    /// A commit of one new payment.
    pub fn set(&self, number: u64) -> ChangeSet {
        let mut row = self.payment.clone();
        row.id = id(number);
        let mut set = ChangeSet { class: CommitClass::Operational, ..self.empty_set() };
        set.create(row);
        set
    }

    /// A set of the account's without changes.
    pub fn empty_set(&self) -> ChangeSet {
        let now = Timestamp::from_unix_millis(1_800_000_000_000).unwrap();
        ChangeSet::new(self.owner.clone(), Actor::Host, now, CommitClass::Configuration)
    }
}

/// Ids that sort by their number, as made ones do by their time.
fn id(number: u64) -> PaymentId {
    format!("pay_{number:026}").parse().unwrap()
}

/// A fresh file with the store's schema and an account in it, under a bare connection that is set up alike.
#[derive(Debug)]
pub struct Floor {
    _world: World,
    conn: Connection,
    tenant: [u8; 16],
    organization: [u8; 16],
    profile: String,
    body: String,
    next: u64,
}

pub fn floor() -> Floor {
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

pub fn bare(path: &Path) -> Connection {
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
    pub fn alone(&mut self) {
        self.run("BEGIN IMMEDIATE");
        self.rows();
        self.run("COMMIT");
    }

    /// So many commits in one transaction, each in a savepoint.
    pub fn grouped(&mut self, commits: u64) {
        self.run("BEGIN IMMEDIATE");
        for _ in 0..commits {
            self.run("SAVEPOINT member");
            self.rows();
            self.run("RELEASE member");
        }
        self.run("COMMIT");
    }
}

/// So many rounds of one commit of every caller, at once. Ids are taken as commits begin, as made ones are: the floor's
/// grow, too, and rows that lie side by side touch fewer pages than scattered ones.
pub fn callers(runtime: &tokio::runtime::Runtime, ours: &Arc<World>, begin: u64, rounds: u64) -> Duration {
    runtime.block_on(async {
        let started = Instant::now();
        let next = Arc::new(AtomicU64::new(begin));
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (ours, next) = (Arc::clone(ours), Arc::clone(&next));
                tokio::spawn(async move {
                    for _ in 0..rounds {
                        let set = ours.set(next.fetch_add(1, Ordering::Relaxed) + 1);
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
}
