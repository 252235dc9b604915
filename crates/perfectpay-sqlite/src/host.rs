//! A commit inside a transaction that the host began on a connection of its own.

use std::fs;
use std::path::Path;

use perfectpay::store::{ChangeSet, Committed, Verdict, judge};
use perfectpay::{Error, Fault};
use rusqlite::{Connection, Transaction};

use crate::error::{Failure, contradiction};
use crate::rows::Prepared;
use crate::schema;
use crate::write::{Seen, Start, apply};

/// Applies the set in a savepoint of the host's transaction, or leaves nothing of it there.
pub(crate) fn commit(file: &Path, transaction: &Transaction<'_>, set: ChangeSet) -> Result<Committed, Error> {
    let conn: &Connection = transaction;
    check(file, conn)?;
    let prepared = Prepared::new(set)?;
    let Start { newest, .. } = Start::of(conn).map_err(Failure::from)?;
    execute(conn, "SAVEPOINT pp_commit").map_err(Failure::from)?;
    let applied = apply(conn, &prepared, newest).and_then(|receipt| {
        execute(conn, "RELEASE pp_commit")?;
        Ok(receipt)
    });
    let failure = match applied {
        Ok(receipt) => return Ok(Committed::Applied(receipt)),
        Err(failure) => failure,
    };
    if conn.is_autocommit() {
        // SQLite rolled the whole transaction back by itself, as it does when a disk is full; nothing is left to undo.
        return Err(failure.into());
    }
    if execute(conn, "ROLLBACK TO pp_commit").and_then(|()| execute(conn, "RELEASE pp_commit")).is_err() {
        // Nothing of ours may stay, so the host's own rows go, too.
        execute(conn, "ROLLBACK").map_err(Failure::from)?;
        return Err(failure.into());
    }
    if !failure.is_objection() {
        return Err(failure.into());
    }
    match judge(&prepared.set, &mut Seen(conn))? {
        Verdict::Apply => Err(contradiction()),
        Verdict::Replay(answer) => Ok(Committed::Replayed(answer)),
    }
}

fn execute(conn: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute([]).map(drop)
}

/// Refuses a connection over which the schema's constraints would not hold, or would hold something else.
fn check(file: &Path, conn: &Connection) -> Result<(), Error> {
    let on = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, bool>(0)).map_err(Failure::from);
    if !conn.path().is_some_and(|path| is_same(Path::new(path), file)) {
        return Err(refused("transaction.other_file", "is not of the file that the store keeps"));
    }
    if !schema::is_newest(conn)? {
        return Err(refused("transaction.other_schema", "is of a file that is not of this version of PerfectPay"));
    }
    if !on("foreign_keys")? {
        return Err(refused("transaction.foreign_keys_off", "has foreign keys switched off"));
    }
    if on("defer_foreign_keys")? {
        return Err(refused("transaction.foreign_keys_deferred", "has foreign keys deferred"));
    }
    if on("ignore_check_constraints")? {
        return Err(refused("transaction.checks_off", "has check constraints switched off"));
    }
    let shadows = "SELECT EXISTS (SELECT 1 FROM temp.sqlite_schema WHERE tbl_name GLOB 'pp_*')";
    let mut statement = conn.prepare_cached(shadows).map_err(Failure::from)?;
    if statement.query_row([], |row| row.get(0)).map_err(Failure::from)? {
        return Err(refused("transaction.shadowed", "has temporary tables or triggers named like PerfectPay's"));
    }
    Ok(())
}

/// The error of a transaction that is not taken.
pub(crate) fn refused(code: &'static str, message: &'static str) -> Error {
    Fault::new(code, message).at("transaction").into()
}

/// Whether both paths lead to one file. Nothing is opened: closing it would give up locks of this process.
fn is_same(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let id = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        id(one).is_some_and(|found| id(other) == Some(found))
    }
    #[cfg(not(unix))]
    fs::canonicalize(one).is_ok_and(|path| path == other)
}
