//! The file, seen by someone with plain SQL.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use common::{
    a_whole_tree, apply, count, creating, entity, in_merchant, in_organization, merchant, organization, removing,
    tenant,
};
use perfectpay::EntityKind;
use perfectpay::store::{Actor, ChangeSet, EntityRef, LogBound, LogPosition, Prune, Store as _};
use perfectpay_sqlite::SqliteStore;
use perfectpay_testkit::records;
use rusqlite::Connection;

fn filled() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
    for set in a_whole_tree() {
        apply(&store, set);
    }
    // Another tree, which nothing may touch.
    let other = [organization(5).into(), merchant(6, 5).into(), common::profile(6, "pro_a").into()];
    apply(&store, creating(in_organization(5), other));
    (folder, store)
}

fn tables(conn: &Connection, kind: &str) -> Vec<String> {
    let mut names = conn.prepare("SELECT name FROM sqlite_schema WHERE type = ? AND name GLOB 'pp_*'").unwrap();
    names.query_map([kind], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// How many rows of every table but the log have this tenant in any column, and how many each table has.
fn rows_of(conn: &Connection, number: u64) -> Vec<(String, i64)> {
    let mut found = Vec::new();
    for table in tables(conn, "table").into_iter().filter(|table| !table.starts_with("pp_log")) {
        let mut columns = conn.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
        let columns: Vec<String> = columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let any = columns.iter().map(|column| format!("{column} = ?1")).collect::<Vec<_>>().join(" OR ");
        let sql = format!("SELECT count(*) FROM {table} WHERE {any}");
        let rows: i64 = conn.query_row(&sql, [tenant(number).as_bytes()], |row| row.get(0)).unwrap();
        if rows > 0 {
            found.push((table, rows));
        }
    }
    found
}

#[test]
fn every_table_has_a_view_that_reads() {
    let (_folder, store) = filled();
    let program = records::routing_program(&common::profile(2, "pro_a"), 1);
    let version = records::routing_version(&program, 1);
    let held = common::link_use(2, "plink_1", "use_1");
    apply(&store, creating(in_merchant(2, 1), [program.into(), version.into(), held.into()]));
    let bound = LogBound::Before(LogPosition::from_u64(2));
    let step = Prune::Log { bound, limit: 1, at: common::at(0), by: Actor::Host };
    futures_lite::future::block_on(store.prune(&step)).unwrap();
    let conn = Connection::open(store.path().unwrap()).unwrap();
    conn.execute_batch(
        "INSERT INTO pp_stage VALUES (zeroblob(16), (SELECT incarnation FROM pp_merchant LIMIT 1), 0, 1, 1);
         INSERT INTO pp_staged_rule VALUES
             (zeroblob(16), 1, 1, 0, 'card_bin:411111', 1, 0, NULL, NULL, 0, NULL, NULL)",
    )
    .unwrap();
    conn.execute("INSERT INTO pp_log_cut SELECT incarnation FROM pp_organization LIMIT 1", []).unwrap();
    let views = tables(&conn, "view");
    for table in tables(&conn, "table") {
        if table == "pp_meta" || table == "pp_log_entity" {
            continue;
        }
        assert!(views.contains(&format!("{table}_view")), "{table}");
        let rows: i64 = conn.query_row(&format!("SELECT count(*) FROM {table}_view"), [], |row| row.get(0)).unwrap();
        assert!(rows > 0 || table == "pp_organization_rule", "{table}");
    }
}

#[test]
fn the_views_spell_times_and_json_out() {
    let (_folder, store) = filled();
    let conn = Connection::open(store.path().unwrap()).unwrap();
    let text = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(
        text("SELECT organization_name FROM pp_organization_view WHERE organization_id = 'org_1'"),
        "Organization 1"
    );
    assert_eq!(text("SELECT created_at FROM pp_organization_view"), "1970-01-01T00:00:01.000Z");
    assert_eq!(text("SELECT organization_id FROM pp_merchant_view WHERE merchant_id = 'm2'"), "org_1");
    assert_eq!(text("SELECT author || ' ' || reason FROM pp_block_rule_view"), "host seen before");
    assert_eq!(text("SELECT revoked_at FROM pp_api_key_view WHERE key_id = 'snd_2'"), "1970-01-01T00:00:06.000Z");
    assert_eq!(text("SELECT group_concat(kind || '=' || count) FROM pp_block_count_view"), "card_bin=1,fingerprint=1");
    assert_eq!(
        text(
            "SELECT verb || ' ' || kind || ' ' || id || ' ' || version || ' ' || at FROM pp_log_view WHERE position = 3"
        ),
        "revoked api_key snd_2 2 1970-01-01T00:00:20.000Z"
    );
}

#[test]
fn a_commit_upholds_every_foreign_key_and_every_check() {
    let (_folder, store) = filled();
    let conn = Connection::open(store.path().unwrap()).unwrap();
    assert_eq!(conn.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    assert_eq!(conn.prepare("PRAGMA foreign_key_check").unwrap().query_map([], |_| Ok(())).unwrap().count(), 0);
}

fn remove(of: perfectpay::store::Owner, entity: EntityRef, version: u64) -> ChangeSet {
    removing(of, entity, version, true)
}

#[test]
fn a_removed_organization_leaves_nothing_but_its_log() {
    let (_folder, store) = filled();
    let path = store.path().unwrap();
    let conn = Connection::open(path).unwrap();
    let other = (rows_of(&conn, 5), rows_of(&conn, 6));
    apply(&store, remove(in_organization(1), entity(EntityKind::Organization, 1, "org_1"), 1));
    assert_eq!(rows_of(&conn, 1), []);
    assert_eq!(rows_of(&conn, 2), []);
    assert_eq!((rows_of(&conn, 5), rows_of(&conn, 6)), other);
    assert_eq!(count(path, "SELECT count(*) FROM pp_log WHERE organization_id = 'org_1'"), 5);
    assert_eq!(count(path, "SELECT count(*) FROM pp_idempotency"), 0);
}

#[test]
fn a_removed_merchant_leaves_nothing_but_its_log() {
    let (_folder, store) = filled();
    let conn = Connection::open(store.path().unwrap()).unwrap();
    let other = (rows_of(&conn, 5), rows_of(&conn, 6));
    apply(&store, remove(in_organization(1), entity(EntityKind::Merchant, 2, "m2"), 1));
    assert_eq!(rows_of(&conn, 2), []);
    assert_eq!(rows_of(&conn, 1), [("pp_organization".into(), 1), ("pp_idempotency".into(), 1)]);
    assert_eq!((rows_of(&conn, 5), rows_of(&conn, 6)), other);
}

#[test]
fn a_removed_profile_leaves_nothing_below_it_and_everything_beside_it() {
    let (_folder, store) = filled();
    let path = store.path().unwrap();
    let before = count(path, "SELECT count(*) FROM pp_block_rule") + count(path, "SELECT count(*) FROM pp_api_key");
    apply(&store, remove(in_merchant(2, 1), entity(EntityKind::Profile, 2, "pro_a"), 1));
    for table in ["pp_connector", "pp_payment", "pp_payment_link", "pp_payment_decision", "pp_event"] {
        assert_eq!(count(path, &format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    let after = count(path, "SELECT count(*) FROM pp_block_rule") + count(path, "SELECT count(*) FROM pp_api_key");
    // Of the two entries of the blocklist one holds in the profile.
    assert_eq!(before - 1, after);
    assert_eq!(count(path, "SELECT sum(count) FROM pp_block_count WHERE kind = 5"), 0);
    assert_eq!(count(path, "SELECT count(*) FROM pp_profile"), 2);
}

#[test]
fn a_removed_payment_takes_its_links_and_leaves_its_profile() {
    let (_folder, store) = filled();
    let path = store.path().unwrap();
    apply(&store, remove(in_merchant(2, 1), entity(EntityKind::Payment, 2, "pay_1"), 1));
    for table in ["pp_payment", "pp_payment_link", "pp_payment_decision", "pp_event"] {
        assert_eq!(count(path, &format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    assert_eq!(count(path, "SELECT count(*) FROM pp_connector"), 1);
}

/// A claim counts in one index, and reads no row.
#[test]
fn uses_are_counted_in_an_index() {
    let (_folder, store) = filled();
    let conn = Connection::open(store.path().unwrap()).unwrap();
    for (until, range) in [("IS NULL", "stands_until=?"), ("> 5", "stands_until>?")] {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT count(*) FROM pp_link_use
             WHERE merchant = x'00' AND link = 'l' AND stands_until {until}"
        );
        let mut plan = conn.prepare(&sql).unwrap();
        let plan: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        let covered = "COVERING INDEX pp_link_use_standing";
        assert!(plan.len() == 1 && plan[0].contains(covered) && plan[0].contains(range), "{sql}: {plan:?}");
    }
}

/// Every statement that a list or a look-up runs finds its rows by an index, in the order of the index.
#[test]
fn no_list_sorts_or_scans() {
    let (_folder, store) = filled();
    let conn = Connection::open(store.path().unwrap()).unwrap();
    for (table, of, order) in [
        ("pp_merchant", "organization = x'00' AND", ""),
        ("pp_profile", "merchant = x'00' AND", ""),
        ("pp_connector", "merchant = x'00' AND", ""),
        ("pp_connector", "merchant = x'00' AND profile = 'p' AND", ""),
        ("pp_api_key", "merchant = x'00' AND", ""),
        ("pp_block_rule", "merchant = x'00' AND kind = 5 AND", " DESC"),
        ("pp_block_rule", "merchant = x'00' AND profile = 'p' AND", " DESC"),
        ("pp_organization_rule", "organization = x'00' AND kind = 1 AND", " DESC"),
        ("pp_payment", "merchant = x'00' AND", " DESC"),
        ("pp_payment_link", "merchant = x'00' AND", " DESC"),
        ("pp_payment_decision", "merchant = x'00' AND", " DESC"),
        ("pp_event", "merchant = x'00' AND", " DESC"),
        ("pp_payment_link", "merchant = x'00' AND profile = 'p' AND", " DESC"),
        ("pp_link_use", "merchant = x'00' AND link = 'l' AND", " DESC"),
    ] {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT version FROM {table} WHERE {of} (created_at, id) > (1, 'a')
             ORDER BY created_at{order}, id{order} LIMIT 9"
        );
        let mut plan = conn.prepare(&sql).unwrap();
        let plan: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan.len() == 1 && plan[0].contains("(created_at,id)>"), "{sql}: {plan:?}");
    }
    for (of, index) in [("", "pp_event_due "), ("merchant = x'00' AND", "pp_event_due_of_merchant ")] {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT version FROM pp_event WHERE {of} due_at IS NOT NULL AND (due_at, id) > (1, 'a')
             ORDER BY due_at, id LIMIT 9"
        );
        let mut plan = conn.prepare(&sql).unwrap();
        let plan: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan.len() == 1 && plan[0].contains(index) && plan[0].contains("(due_at,id)>"), "{sql}: {plan:?}");
    }
    let sql = "EXPLAIN QUERY PLAN SELECT version FROM pp_payment WHERE merchant = x'00' AND open_until IS NOT NULL
               AND (open_until, id) > (1, 'a') ORDER BY open_until, id LIMIT 9";
    let mut plan = conn.prepare(sql).unwrap();
    let plan: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
    assert!(plan.len() == 1 && plan[0].contains("pp_payment_open (merchant=? AND (open_until,id)>"), "{plan:?}");
    for (of, order) in [
        ("pepper IS NOT NULL AND expires_at > 1 AND expires_at < 9", "expires_at"),
        ("pepper IS NOT NULL AND coalesce(used_at, created_at) < 9", "coalesce(used_at, created_at)"),
        ("pepper = 'p'", "created_at"),
    ] {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT version FROM pp_api_key WHERE {of} AND ({order}, id) > (1, 'a')
             ORDER BY {order}, id LIMIT 9"
        );
        let mut plan = conn.prepare(&sql).unwrap();
        let plan: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan.len() == 1 && plan[0].starts_with("SEARCH pp_api_key USING INDEX"), "{sql}: {plan:?}");
    }
}
