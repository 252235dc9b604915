//! Stages: rows that wait to be made entries of a blocklist by one commit.
//!
//! A part is sorted when it comes and is written behind the parts that are there, so that nothing is written twice. The
//! parts are merged when they are read: a stage of any length is walked over in the order of names, in memory that
//! grows with the number of its parts alone.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use perfectpay::store::{
    EntityRef, MAX_STAGED_PRUNE_LIMIT, Pruned, RowScope, StageId, StageView, StagedPart, StagedRules, stage_gone,
};
use perfectpay::{EntityKind, Error, Incarnation, ProfileId, Timestamp};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Rows, params};

use crate::error::Failure;
use crate::rows::{Table, action_number, integer, kind_number, unsigned};
use crate::write::{Counts, version};

/// Puts a part behind the others.
pub(crate) fn put(conn: &Connection, part: &StagedPart) -> Result<(), Failure> {
    if version(conn, part.of())?.is_none() {
        return Err(Error::NotFound(part.of().named()).into());
    }
    let next = if part.ordinal() == 1 {
        "INSERT INTO pp_stage (id, tenant, touched_at, open, parts) VALUES (?1, ?2, ?3, 1, ?4) ON CONFLICT DO NOTHING"
    } else {
        "UPDATE pp_stage SET parts = ?4, touched_at = max(touched_at, ?3)
         WHERE id = ?1 AND tenant = ?2 AND open = 1 AND parts = ?4 - 1"
    };
    let (of, at) = (part.of().tenant, part.at().unix_millis());
    let next =
        conn.prepare_cached(next)?.execute(params![part.stage().as_bytes(), of.as_bytes(), at, part.ordinal()])?;
    if next == 0 {
        return Err(stage_gone(part.of()).into());
    }
    let mut statement = conn.prepare_cached(
        "INSERT INTO pp_staged_rule
             (stage, part, place, number, id, kind, version, profile, expires_at, action, reason, metadata)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    statement.raw_bind_parameter(1, part.stage().as_bytes())?;
    statement.raw_bind_parameter(2, part.ordinal())?;
    let mut name = String::new();
    for ((place, row), number) in (1_i64..).zip(part.rows().iter()).zip(part.numbers()) {
        name.clear();
        row.write_name(&mut name);
        let profile = match row.scope {
            RowScope::Profile(profile) => Some(profile.as_str()),
            RowScope::Organization | RowScope::Merchant => None,
        };
        statement.raw_bind_parameter(3, place)?;
        statement.raw_bind_parameter(4, integer(*number)?)?;
        statement.raw_bind_parameter(5, name.as_str())?;
        statement.raw_bind_parameter(6, kind_number(row.kind))?;
        statement.raw_bind_parameter(7, row.fingerprint_version().unwrap_or_default())?;
        statement.raw_bind_parameter(8, profile)?;
        statement.raw_bind_parameter(9, row.expires_at.map(Timestamp::unix_millis))?;
        statement.raw_bind_parameter(10, action_number(row.action))?;
        statement.raw_bind_parameter(11, row.reason)?;
        statement.raw_bind_parameter(12, row.metadata)?;
        statement.raw_execute()?;
    }
    Ok(())
}

/// How many parts a stage of a list has, if it can be made live.
fn parts(conn: &Connection, of: Incarnation, stage: StageId) -> Result<Option<i64>, Failure> {
    let mut statement = conn.prepare_cached("SELECT parts FROM pp_stage WHERE id = ? AND tenant = ? AND open = 1")?;
    Ok(statement.query_row(params![stage.as_bytes(), of.as_bytes()], |row| row.get(0)).optional()?)
}

/// A row of a stage. Rows are ordered by their names, and of one name by their numbers.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct StagedRow {
    name: String,
    number: u64,
    part: usize,
    kind: i64,
    version: u32,
    profile: Option<String>,
    expires_at: Option<i64>,
    action: i64,
    reason: Option<String>,
    metadata: Option<String>,
}

impl StagedRow {
    fn next(part: usize, rows: &mut Rows<'_>) -> Result<Option<Self>, Failure> {
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(Self {
            name: row.get(1)?,
            number: unsigned(row.get(0)?)?,
            part,
            kind: row.get(2)?,
            version: row.get(3)?,
            profile: row.get(4)?,
            expires_at: row.get(5)?,
            action: row.get(6)?,
            reason: row.get(7)?,
            metadata: row.get(8)?,
        }))
    }
}

/// Walks over all rows of a stage in their order, and says of each whether one with its name was before it.
fn walk(
    conn: &Connection,
    stage: StageId,
    parts: i64,
    mut each: impl FnMut(&StagedRow, bool) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let sql = "SELECT number, id, kind, version, profile, expires_at, action, reason, metadata FROM pp_staged_rule
               WHERE stage = ? AND part = ? ORDER BY place";
    let statements = (0..parts).map(|_| conn.prepare(sql)).collect::<Result<Vec<_>, _>>();
    let mut statements = statements?;
    let mut parts = Vec::with_capacity(statements.len());
    for (part, statement) in (1_i64..).zip(&mut statements) {
        parts.push(statement.query(params![stage.as_bytes(), part])?);
    }
    let mut fronts = BinaryHeap::with_capacity(parts.len());
    for (part, rows) in parts.iter_mut().enumerate() {
        fronts.extend(StagedRow::next(part, rows)?.map(Reverse));
    }
    let mut last = None;
    while let Some(Reverse(row)) = fronts.pop() {
        each(&row, last.as_ref() == Some(&row.name))?;
        let rows = parts.get_mut(row.part).into_iter();
        for next in rows.map(|rows| StagedRow::next(row.part, rows)) {
            fronts.extend(next?.map(Reverse));
        }
        last = Some(row.name);
    }
    Ok(())
}

/// Says of names whether entries of a list have them.
struct Names<'a>(CachedStatement<'a>, Incarnation);

impl<'a> Names<'a> {
    fn of(conn: &'a Connection, of: &EntityRef) -> Result<Self, Failure> {
        let table = Table::of_rules(of.kind == EntityKind::Organization);
        Ok(Self(conn.prepare_cached(table.version)?, of.tenant))
    }

    fn has(&mut self, name: &str) -> Result<bool, Failure> {
        Ok(self.0.exists(params![self.1.as_bytes(), name])?)
    }
}

/// The numbers of the rows that could not be made live.
pub(crate) fn taken(conn: &Connection, of: &EntityRef, stage: StageId) -> Result<Option<Vec<u64>>, Failure> {
    // All of it from one moment.
    let moment = conn.unchecked_transaction()?;
    let Some(parts) = parts(&moment, of.tenant, stage)? else { return Ok(None) };
    let mut names = Names::of(&moment, of)?;
    let mut taken = Vec::new();
    walk(&moment, stage, parts, |row, is_repeated| {
        if is_repeated || names.has(&row.name)? {
            taken.push(row.number);
        }
        Ok(())
    })?;
    taken.sort_unstable();
    taken.dedup();
    Ok(Some(taken))
}

/// What a stage holds, for `judge`.
pub(crate) fn view(conn: &Connection, new: &StagedRules) -> Result<Option<StageView>, Failure> {
    let Some(parts) = parts(conn, new.of().tenant, new.stage())? else { return Ok(None) };
    let mut names = Names::of(conn, new.of())?;
    let (mut count, mut taken, mut profiles) = (0, None, BTreeSet::new());
    let mut last = None;
    walk(conn, new.stage(), parts, |row, _| {
        if new.leaves_out(row.number) {
            return Ok(());
        }
        count += 1;
        if taken.is_none() && (last.as_ref() == Some(&row.name) || names.has(&row.name)?) {
            let (kind, tenant) = (EntityKind::BlockRule, new.of().tenant);
            taken = Some(EntityRef { kind, tenant, id: row.name.clone() });
        }
        if let Some(profile) = &row.profile {
            profiles.insert(profile.parse::<ProfileId>().map_err(Error::from)?);
        }
        last = Some(row.name.clone());
        Ok(())
    })?;
    Ok(Some(StageView { count, taken, profiles: profiles.into_iter().collect() }))
}

/// Makes the rows of a stage entries, by one statement whose bindings stay but for what differs from row to row.
pub(crate) fn make_live(conn: &Connection, new: &StagedRules, counts: &mut Counts) -> Result<(), Failure> {
    let is_organizations = new.of().kind == EntityKind::Organization;
    let of = new.of().tenant;
    let parts = parts(conn, of, new.stage())?.ok_or(Failure::Objection)?;
    let mut statement = conn.prepare_cached(Table::of_rules(is_organizations).insert)?;
    let created_at = new.created_at().unix_millis();
    statement.raw_bind_parameter(1, of.as_bytes())?;
    statement.raw_bind_parameter(3, 1)?;
    statement.raw_bind_parameter(4, created_at)?;
    statement.raw_bind_parameter(5, created_at)?;
    statement.raw_bind_parameter(12, new.source().map(perfectpay::Text::as_str))?;
    statement.raw_bind_parameter(13, new.author().to_string())?;
    let mut count = 0_u64;
    walk(conn, new.stage(), parts, |row, _| {
        if new.leaves_out(row.number) {
            return Ok(());
        }
        count += 1;
        statement.raw_bind_parameter(2, row.name.as_str())?;
        statement.raw_bind_parameter(7, row.kind)?;
        statement.raw_bind_parameter(8, row.profile.as_deref())?;
        statement.raw_bind_parameter(9, row.expires_at)?;
        statement.raw_bind_parameter(10, row.action)?;
        statement.raw_bind_parameter(11, row.reason.as_deref())?;
        statement.raw_bind_parameter(14, row.metadata.as_deref())?;
        statement.raw_execute()?;
        if !is_organizations {
            *counts.entry((of, row.kind, row.version)).or_default() += 1;
        }
        Ok(())
    })?;
    if count != new.count() {
        return Err(Failure::Objection);
    }
    conn.prepare_cached("UPDATE pp_stage SET open = 0 WHERE id = ?")?.execute([new.stage().as_bytes()])?;
    Ok(())
}

/// Removes everything that is staged for a list whose owner goes.
pub(crate) fn close(conn: &Connection, of: Incarnation) -> Result<(), Failure> {
    for sql in [
        "DELETE FROM pp_staged_rule WHERE stage IN (SELECT id FROM pp_stage WHERE tenant = ?)",
        "DELETE FROM pp_stage WHERE tenant = ?",
    ] {
        conn.prepare_cached(sql)?.execute([of.as_bytes()])?;
    }
    Ok(())
}

/// Removes rows of one stage.
pub(crate) fn prune(conn: &Connection, stage: StageId, limit: u32) -> Result<Pruned, Failure> {
    rows_of(conn, stage.as_bytes(), limit.min(MAX_STAGED_PRUNE_LIMIT))
}

/// Removes rows of stages that can be made live no more, or that no part came to since a moment.
pub(crate) fn prune_untouched(conn: &Connection, since: Timestamp, limit: u32) -> Result<Pruned, Failure> {
    let limit = limit.min(MAX_STAGED_PRUNE_LIMIT);
    let mut removed = 0;
    let mut next = conn.prepare_cached("SELECT id FROM pp_stage WHERE open = 0 OR touched_at < ? LIMIT 1")?;
    while let Some(stage) = next.query_row([since.unix_millis()], |row| row.get::<_, [u8; 16]>(0)).optional()? {
        let left = limit.saturating_sub(u32::try_from(removed).unwrap_or(u32::MAX));
        let pruned = rows_of(conn, &stage, left)?;
        removed += pruned.removed;
        if pruned.more {
            return Ok(Pruned { removed, more: true });
        }
    }
    Ok(Pruned { removed, more: false })
}

/// Removes rows of a stage, which cannot be made live from then on, and behind the last of them the stage.
fn rows_of(conn: &Connection, stage: &[u8; 16], limit: u32) -> Result<Pruned, Failure> {
    // The first row that stays.
    let stays: Option<(i64, i64)> = conn
        .prepare_cached("SELECT part, place FROM pp_staged_rule WHERE stage = ? ORDER BY part, place LIMIT 1 OFFSET ?")?
        .query_row(params![stage, limit], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (part, place) = stays.unwrap_or((i64::MAX, i64::MAX));
    let gone = conn
        .prepare_cached("DELETE FROM pp_staged_rule WHERE stage = ? AND (part, place) < (?, ?)")?
        .execute(params![stage, part, place])?;
    let more = stays.is_some();
    let rest = if more { "UPDATE pp_stage SET open = 0 WHERE id = ?" } else { "DELETE FROM pp_stage WHERE id = ?" };
    conn.prepare_cached(rest)?.execute([stage])?;
    Ok(Pruned { removed: u64::try_from(gone).unwrap_or(u64::MAX), more })
}
