//! The schema: its versions, how a file is recognised, and how it is brought up to date.

use std::sync::OnceLock;

use perfectpay::{Error, Fault, Unavailability};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};

use crate::error::Failure;

/// The steps; a step's index plus one is the version that it leads to. A shipped step is never edited.
const STEPS: [&str; 2] =
    [include_str!("../migrations/0001_accounts.sql"), include_str!("../migrations/0002_stages.sql")];

/// `PPay` in a file that is ours alone.
const APPLICATION_ID: i32 = 0x5050_6179;

/// What a file holds of ours: the version of the schema, 0 for an empty one.
///
/// # Errors
///
/// [`Error::Invalid`] with code `database.foreign` for a file that holds tables of someone else, unless it is shared;
/// [`Unavailability::NewerSchema`]; [`Error::Corrupt`] for anything that is not exactly one of our schemas.
pub(crate) fn inspect(conn: &Connection, shared: bool) -> Result<usize, Failure> {
    let application: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let (ours, theirs): (i64, i64) = conn.query_row(
        "SELECT count(*) FILTER (WHERE tbl_name GLOB 'pp_*'), count(*) FILTER (WHERE tbl_name NOT GLOB 'pp_*')
         FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*'",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let foreign = theirs > 0 || (application != 0 && application != APPLICATION_ID);
    if foreign && !shared {
        return Err(Error::from(Fault::new("database.foreign", "holds what is not PerfectPay's").at("path")).into());
    }
    if ours == 0 {
        return Ok(0);
    }
    let version = recorded(conn, "schema_version")?.and_then(|text| text.parse::<usize>().ok());
    let version = version.filter(|v| *v > 0).ok_or_else(|| Error::corrupt("the schema has no version"))?;
    if version > STEPS.len() {
        return Err(not_ours(version).into());
    }
    let (found, expected) = (fingerprint(conn)?, expected(version)?);
    if found != expected || recorded(conn, "schema_hash")?.as_deref() != Some(&expected) {
        return Err(Error::corrupt("the schema is not the one of its version").into());
    }
    Ok(version)
}

/// The version that this library writes.
pub(crate) const CURRENT: usize = STEPS.len();

/// The error of a file with a version that is not [`CURRENT`].
pub(crate) fn not_ours(version: usize) -> Error {
    if version < CURRENT {
        return Error::corrupt("the schema lost its version");
    }
    let source = format!("the file has schema version {version}, this library knows {CURRENT}");
    Error::unavailable(Unavailability::NewerSchema, source)
}

/// The fingerprint of the newest version, once it was taken.
static NEWEST: OnceLock<String> = OnceLock::new();

/// Whether the connection's file has our tables in the newest version, as it says itself: for a file whose schema was
/// looked at when the store was opened.
pub(crate) fn is_newest(conn: &Connection) -> Result<bool, Failure> {
    if recorded(conn, "schema_version")?.is_none_or(|text| text != STEPS.len().to_string()) {
        return Ok(false);
    }
    let newest = if let Some(newest) = NEWEST.get() {
        newest
    } else {
        let newest = expected(STEPS.len())?;
        NEWEST.get_or_init(|| newest)
    };
    Ok(recorded(conn, "schema_hash")?.as_deref() == Some(newest))
}

/// A line of `pp_meta`; `None` also where there is no such table.
fn recorded(conn: &Connection, key: &str) -> Result<Option<String>, Failure> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'pp_meta'
                 AND sql LIKE '%key%' AND sql LIKE '%value%'";
    if conn.query_row(table, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    Ok(conn.query_row("SELECT value FROM pp_meta WHERE key = ?", [key], |row| row.get(0)).optional()?)
}

/// Brings the schema up to date, in one transaction that waits for any other process at the same work.
pub(crate) fn migrate(conn: &mut Connection, shared: bool) -> Result<(), Failure> {
    if inspect(conn, shared)? == STEPS.len() {
        return Ok(());
    }
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = inspect(&transaction, shared)?;
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    if !shared {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    let version = STEPS.len().to_string();
    for (key, value) in [("schema_version", version), ("schema_hash", fingerprint(&transaction)?)] {
        transaction.execute(
            "INSERT INTO pp_meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            params![key, value],
        )?;
    }
    Ok(transaction.commit()?)
}

/// The hash of everything in the schema that is ours or hangs on a table of ours: a foreign trigger is in it.
fn fingerprint(conn: &Connection) -> Result<String, Failure> {
    let mut statement = conn.prepare(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema
         WHERE tbl_name GLOB 'pp_*' AND sql IS NOT NULL ORDER BY type, name",
    )?;
    let mut rows = statement.query([])?;
    let mut hash = Sha256::new();
    while let Some(row) = rows.next()? {
        for column in 0..4 {
            let text = row.get_ref(column)?.as_bytes().map_err(rusqlite::Error::from)?;
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text);
        }
    }
    let digits = hash.finalize().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect())
}

/// The fingerprint of a version, taken from a database that was just made.
fn expected(version: usize) -> Result<String, Failure> {
    let fresh = Connection::open_in_memory()?;
    for step in STEPS.iter().take(version) {
        fresh.execute_batch(step)?;
    }
    fingerprint(&fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fingerprints of the versions that were shipped. A line is added with each step and never changed.
    const SHIPPED: [&str; 2] = [
        "039ce5fb5a695a41d541e86ecb0c7ab2a212132818df5c311daf4f5fcf1c9cee",
        "35ffd762dc3b3a0af647c97241d788cbc94b82792f775b3bfe2b32d7bf7f09b4",
    ];

    #[test]
    fn no_shipped_step_was_edited() {
        for (version, shipped) in (1..).zip(SHIPPED) {
            assert_eq!(expected(version).unwrap(), shipped, "version {version}");
        }
        assert_eq!(SHIPPED.len(), STEPS.len());
    }

    #[test]
    fn a_file_of_any_shipped_version_is_brought_up_to_date_with_what_is_in_it() {
        for version in 1..=STEPS.len() {
            let mut conn = Connection::open_in_memory().unwrap();
            for step in STEPS.iter().take(version) {
                conn.execute_batch(step).unwrap();
            }
            let written = [("schema_version", version.to_string()), ("schema_hash", fingerprint(&conn).unwrap())];
            for (key, value) in written {
                conn.execute("INSERT INTO pp_meta (key, value) VALUES (?, ?)", [key, &value]).unwrap();
            }
            let log = "INSERT INTO pp_log (at, actor, class, changes) VALUES (7, 'host', 'operational', '[]')";
            conn.execute_batch(log).unwrap();
            assert_eq!(inspect(&conn, false).unwrap(), version);
            migrate(&mut conn, false).unwrap();
            assert_eq!(inspect(&conn, false).unwrap(), CURRENT);
            assert!(is_newest(&conn).unwrap());
            assert_eq!(conn.query_row("SELECT sum(at) FROM pp_log", [], |row| row.get::<_, i64>(0)).unwrap(), 7);
        }
    }

    #[test]
    fn every_step_is_shorter_than_the_longest_statement() {
        assert!(STEPS.iter().all(|step| step.len() < crate::open::MAX_SQL));
    }
}
