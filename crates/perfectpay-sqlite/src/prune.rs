//! Housekeeping, inside a transaction that the writer began: one bounded step of it.

use perfectpay::Timestamp;
use perfectpay::store::{Actor, LogBound, MAX_PRUNE_LIMIT, Prune, Pruned};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Failure;
use crate::stage;

/// How many lines of the log's index one step removes at most, unless a single entry has more.
const MAX_LINES: i64 = 4_000;

/// Carries out one step.
pub(crate) fn prune(conn: &Connection, prune: &Prune) -> Result<Pruned, Failure> {
    match prune {
        Prune::Log { bound, limit, at, by } => log(conn, *bound, *limit, *at, by),
        Prune::Claims { expired_at, limit } => claims(conn, *expired_at, *limit),
        Prune::Stage { stage, limit } => stage::prune(conn, *stage, *limit),
        Prune::Stages { untouched_since, limit } => stage::prune_untouched(conn, *untouched_since, *limit),
    }
}

fn log(conn: &Connection, bound: LogBound, limit: u32, at: Timestamp, by: &Actor) -> Result<Pruned, Failure> {
    let Some(through) = last_to_go(conn, bound, limit.min(MAX_PRUNE_LIMIT))? else {
        return Ok(Pruned { removed: 0, more: last_to_go(conn, bound, 1)?.is_some() });
    };
    let through = short_of(conn, through)?;
    let configuration: Option<i64> = conn
        .prepare_cached("SELECT max(position) FROM pp_log WHERE class = 'configuration' AND position <= ?")?
        .query_row([through], |row| row.get(0))?;
    conn.prepare_cached("DELETE FROM pp_log_entity WHERE position <= ?")?.execute([through])?;
    let removed = conn.prepare_cached("DELETE FROM pp_log WHERE position <= ?")?.execute([through])?;
    conn.prepare_cached(
        "INSERT INTO pp_log_pruning (id, through, configuration, at, actor) VALUES (1, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET through = excluded.through, at = excluded.at, actor = excluded.actor,
                                   configuration = max(configuration, excluded.configuration)",
    )?
    .execute(params![through, configuration.unwrap_or(0), at.unix_millis(), by.to_string()])?;
    Ok(Pruned { removed: counted(removed), more: last_to_go(conn, bound, 1)?.is_some() })
}

/// The newest of the `limit` oldest entries within the bound. The newest of all is never one of them.
fn last_to_go(conn: &Connection, bound: LogBound, limit: u32) -> Result<Option<i64>, Failure> {
    let (before, older) = match bound {
        LogBound::Before(position) => (i64::try_from(position.as_u64()).unwrap_or(i64::MAX), i64::MAX),
        LogBound::OlderThan(moment) => (i64::MAX, moment.unix_millis()),
    };
    let mut statement = conn.prepare_cached(
        "SELECT max(position) FROM (SELECT position, at FROM pp_log WHERE position < (SELECT max(position) FROM pp_log)
                                    ORDER BY position LIMIT ?)
         WHERE position < ? AND at < ?",
    )?;
    Ok(statement.query_row(params![limit, before, older], |row| row.get(0))?)
}

/// The same position, or one in front of it where there are too many lines of the index up to there.
fn short_of(conn: &Connection, through: i64) -> Result<i64, Failure> {
    let mut statement = conn.prepare_cached("SELECT position FROM pp_log_entity ORDER BY position LIMIT 1 OFFSET ?")?;
    let beyond: Option<i64> = statement.query_row([MAX_LINES], |row| row.get(0)).optional()?;
    let Some(beyond) = beyond.filter(|beyond| *beyond <= through) else { return Ok(through) };
    let mut statement = conn.prepare_cached(
        "SELECT coalesce((SELECT max(position) FROM pp_log WHERE position < ?), (SELECT min(position) FROM pp_log))",
    )?;
    Ok(statement.query_row([beyond], |row| row.get(0))?)
}

fn claims(conn: &Connection, expired_at: Timestamp, limit: u32) -> Result<Pruned, Failure> {
    let expired_at = expired_at.unix_millis();
    let mut statement = conn.prepare_cached(
        "DELETE FROM pp_idempotency WHERE rowid IN
             (SELECT rowid FROM pp_idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
    )?;
    let removed = statement.execute(params![expired_at, limit.min(MAX_PRUNE_LIMIT)])?;
    let mut statement = conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM pp_idempotency WHERE expires_at <= ?)")?;
    Ok(Pruned { removed: counted(removed), more: statement.query_row([expired_at], |row| row.get(0))? })
}

fn counted(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
