//! What a verification finds, and that it finds nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::path::{Path, PathBuf};

use common::{
    a_whole_tree, apply, bytes, creating, entity, in_merchant, in_organization, organization, removing, tenant,
};
use perfectpay::EntityKind;
use perfectpay_sqlite::{SqliteOptions, SqliteStore};
use rusqlite::Connection;

/// A closed file with one record of every kind.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let store = SqliteStore::open(&path).unwrap();
    for set in a_whole_tree() {
        apply(&store, set);
    }
    (folder, path)
}

fn faults(path: &Path) -> Vec<String> {
    let report = SqliteOptions::new(path).verify(|_| {}).unwrap();
    report.faults.iter().map(ToString::to_string).collect()
}

/// The faults after a file was changed by plain SQL, with foreign keys and checks off.
fn after(sql: &str) -> Vec<String> {
    let (_folder, path) = filled();
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
    conn.execute_batch(sql).unwrap();
    drop(conn);
    faults(&path)
}

/// `what` with the tenants' numbers in braces spelled out.
fn spelled(what: &str) -> String {
    what.replace("{1}", &tenant(1).to_string()).replace("{2}", &tenant(2).to_string())
}

#[test]
fn a_healthy_file_has_no_faults_and_is_left_as_it_was() {
    let (folder, path) = filled();
    let before = bytes(folder.path());
    let report = SqliteOptions::new(&path).verify(|_| {}).unwrap();
    assert!(report.is_healthy(), "{report:?}");
    assert_eq!((report.records, report.entries), (14, 4));
    assert!(before == bytes(folder.path()));
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.verify(|_| {}).unwrap(), report);
}

#[test]
fn removals_with_all_that_is_below_leave_a_healthy_file() {
    for (kind, id, owner, of) in [
        (EntityKind::Payment, "pay_1", in_merchant(2, 1), 2),
        (EntityKind::Profile, "pro_a", in_merchant(2, 1), 2),
        (EntityKind::Merchant, "m2", in_merchant(2, 1), 2),
        (EntityKind::Organization, "org_1", in_organization(1), 1),
    ] {
        let (_folder, path) = filled();
        let store = SqliteStore::open(&path).unwrap();
        apply(&store, removing(owner, entity(kind, of, id), 1, true));
        drop(store);
        assert_eq!(faults(&path), [""; 0], "{kind}");
    }
}

#[test]
fn each_fault_is_named_and_no_other() {
    for (sql, expected) in [
        (
            "UPDATE pp_profile SET version = 7 WHERE id = 'pro_b'",
            "history `profile {2}/pro_b`: its version is 7, and the log says 1",
        ),
        ("UPDATE pp_merchant SET version = 2", "history `merchant {2}`: its version is 2, and the log says 1"),
        (
            "UPDATE pp_connector SET body = '{}'",
            "record `connector {2}/mca_1`: cannot be read: the store is corrupt: the record of connector `mca_1`",
        ),
        (
            "UPDATE pp_profile SET name = 'another' WHERE id = 'pro_b'",
            "record `profile {2}/pro_b`: column name does not say what the body says",
        ),
        (
            "UPDATE pp_api_key SET digest = zeroblob(32) WHERE id = 'snd_1'",
            "record `api_key {2}/snd_1`: column digest does not say what the body says",
        ),
        (
            "UPDATE pp_merchant SET publishable_key = 'pk_dev_other'",
            "record `merchant {2}`: column publishable_key does not say what the body says",
        ),
        (
            "UPDATE pp_payment SET created_at = 9000000000000000",
            "record `payment {2}/pay_1`: cannot be read: the store is corrupt: a time outside the years 0000 to 9999",
        ),
        (
            "UPDATE pp_connector SET profile = 'pro_none', body = json_set(body, '$.profile_id', 'pro_none')",
            "parent `connector {2}/mca_1`: its parent is not there",
        ),
        ("UPDATE pp_block_count SET count = 5 WHERE kind = 1", "count `{2}/card_bin`: 5 are counted, 1 are there"),
        ("DELETE FROM pp_block_count WHERE kind = 1", "count `{2}/card_bin`: 0 are counted, 1 are there"),
        ("DELETE FROM pp_log WHERE position = 2", "log `2`: the index names an entry that is not there"),
        ("DELETE FROM pp_log WHERE position = 4", "log `4`: the index names an entry that is not there"),
        ("UPDATE pp_log SET at = at - 1 WHERE position = 3", "log `3`: its time is before that of the entry in front"),
        ("UPDATE pp_log SET changes = '[1]' WHERE position = 3", "log `3`: its changes cannot be read"),
        ("DELETE FROM pp_connector", "history `connector {2}/mca_1`: it is not there, and the log says that it is"),
        (
            "DELETE FROM pp_payment_link",
            "history `payment_link {2}/plink_1`: it is not there, and the log says that it is",
        ),
        (
            "INSERT INTO pp_data_key SELECT tenant, 'dk_2', 1, created_at, modified_at, holder, wrapped_by, body
             FROM pp_data_key",
            "history `data_key {2}/dk_2`: it is there, and the log says that it is not",
        ),
        (
            "UPDATE pp_idempotency SET answer = '?' WHERE key = 'create-org'",
            "idempotency `{1}/create-org`: the answer is not a sealed one",
        ),
        (
            "INSERT INTO pp_stage VALUES (zeroblob(16), zeroblob(16), 0, 1, 1)",
            "parent `stage 00000000000000000000000000000000`: its tenant is not there",
        ),
        (
            "INSERT INTO pp_staged_rule VALUES
                 (zeroblob(16), 1, 2, 0, 'card_bin:411111', 1, 0, NULL, NULL, 0, NULL, NULL)",
            "parent `stage 00000000000000000000000000000000/1/2`: its stage is not there",
        ),
        (
            "INSERT INTO pp_stage SELECT zeroblob(16), incarnation, 0, 1, 1 FROM pp_merchant LIMIT 1;
             INSERT INTO pp_staged_rule VALUES
                 (zeroblob(16), 1, 1, 0, 'card_bin:411111', 1, 0, NULL, NULL, 0, NULL, NULL),
                 (zeroblob(16), 2, 1, 0, 'card_bin:411111', 1, 0, NULL, NULL, 0, NULL, NULL)",
            "record `stage 00000000000000000000000000000000/2/1`: its stage has no such part",
        ),
        (
            "INSERT INTO pp_stage SELECT zeroblob(16), incarnation, 0, 1, 1 FROM pp_merchant LIMIT 1;
             INSERT INTO pp_staged_rule VALUES (zeroblob(16), 1, 1, 0, 'x', 1, 0, NULL, NULL, 0, NULL, NULL)",
            "record `stage 00000000000000000000000000000000/1/1`: its name is none of an entry",
        ),
        ("CREATE INDEX extra ON pp_log (actor)", "schema `pp_meta`: the schema is not the one of its version"),
        ("CREATE TABLE theirs (x)", "schema `sqlite_schema`: holds what is not PerfectPay's"),
    ] {
        assert_eq!(after(sql), [spelled(expected)], "{sql}");
    }
}

#[test]
fn the_newest_entry_is_missed_even_where_nothing_names_it() {
    let gone = "DELETE FROM pp_log WHERE position = 4; DELETE FROM pp_log_entity WHERE position = 4";
    assert_eq!(
        after(gone),
        [
            "log `4`: the newest entry is not there",
            &spelled("history `event {2}/evt_1`: it is there, and the log says that it is not"),
            &spelled("history `payment {2}/pay_1`: it is there, and the log says that it is not"),
            &spelled("history `payment_decision {2}/dec_1`: it is there, and the log says that it is not"),
            &spelled("history `payment_link {2}/plink_1`: it is there, and the log says that it is not"),
        ]
    );
}

#[test]
fn an_object_that_the_logs_index_lost_is_named_beside_the_entry() {
    assert_eq!(
        after("DELETE FROM pp_log_entity WHERE kind = 'payment_link'"),
        [
            "log `4`: its changes and the index name different objects",
            &spelled("history `payment_link {2}/plink_1`: it is there, and the log says that it is not"),
        ]
    );
}

#[test]
fn a_body_that_breaks_the_schemas_own_check_is_found_by_sqlite_too() {
    let found = after("UPDATE pp_organization SET body = 'no JSON'");
    assert_eq!(
        found,
        [
            "file `integrity_check`: CHECK constraint failed in pp_organization",
            &spelled(
                "record `organization {1}`: cannot be read: the store is corrupt: the record of organization `org_1`"
            ),
        ]
    );
}

#[test]
fn a_page_of_rubbish_is_found_and_a_file_of_rubbish_is_an_error() {
    let (_folder, path) = filled();
    let mut whole = std::fs::read(&path).unwrap();
    let root = common::count(&path, "SELECT rootpage FROM sqlite_schema WHERE name = 'pp_payment'");
    let page = usize::try_from(root - 1).unwrap() * 4_096;
    whole[page..page + 4_096].fill(0x5a);
    std::fs::write(&path, &whole).unwrap();
    let found = faults(&path);
    assert!(!found.is_empty() && found.iter().any(|fault| fault.starts_with("file ")), "{found:?}");
    std::fs::write(&path, [0x5a; 8_192]).unwrap();
    assert_eq!(SqliteOptions::new(&path).verify(|_| {}).unwrap_err().code(), "corrupt");
}

#[test]
fn a_newer_file_is_reported_and_not_looked_into() {
    let newer = "UPDATE pp_meta SET value = '9' WHERE key = 'schema_version'; DELETE FROM pp_log";
    assert_eq!(after(newer), ["schema `pp_meta`: it is of a newer version"]);
}

#[test]
fn faults_are_listed_in_one_order() {
    let sql =
        "UPDATE pp_profile SET version = 7; UPDATE pp_block_count SET count = 9; UPDATE pp_api_key SET digest = NULL";
    let found = after(sql);
    assert_eq!(found.len(), 5);
    assert_eq!(found, after(sql));
}

#[test]
fn several_tenants_in_one_set_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let store = SqliteStore::open(&path).unwrap();
    apply(&store, creating(in_organization(1), (1..5).map(|number| organization(number).into())));
    let accounts = (11..14).flat_map(|n| [common::merchant(n, 1).into(), common::profile(n, "pro_a").into()]);
    apply(&store, creating(in_organization(1), accounts));
    apply(&store, removing(in_organization(1), entity(EntityKind::Organization, 1, "org_1"), 1, true));
    drop(store);
    assert_eq!(faults(&path), [""; 0]);
}
