//! Applying a change set, inside a transaction that someone else began.
//!
//! A set is applied straight against the schema's constraints, which are the contract's checks a second time. Only when
//! one of them objects is the set undone and judged, to learn which of the contract's errors it is.

use std::collections::BTreeMap;

use perfectpay::blocklist::{BlockKind, BlockRuleId, BlockScope};
use perfectpay::store::{
    Change, EntityRef, Expectation, ExpiredRules, Head, IdempotencyClaim, IdempotencyKey, Item, KeyUse, Load,
    LoadPremises, LogBeginning, LogPosition, Logged, NewRules, Premises, Receipt, Record, RowScope, StageView,
    StagedRules, UniqueKey, Verb, judge_load,
};
use perfectpay::{ChildCount, EntityKind, Error, Incarnation, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};

use crate::error::{Failure, contradiction};
use crate::read;
use crate::rows::{
    Columns, Prepared, PreparedLoad, Row, Table, action_number, indexed_id, integer, is_organizations, kind_number,
    timestamp, unsigned,
};
use crate::stage;

/// What a transaction finds when it begins.
pub(crate) struct Start {
    /// The schema's version at this moment, 0 for none: another process, with a newer library, may have brought it
    /// further since the file was opened.
    pub(crate) schema: usize,
    /// The time of the log's newest entry, in milliseconds.
    pub(crate) newest: i64,
}

impl Start {
    pub(crate) fn of(conn: &Connection) -> rusqlite::Result<Self> {
        let mut statement = conn.prepare_cached(
            "SELECT (SELECT value FROM pp_meta WHERE key = 'schema_version'),
                    (SELECT at FROM pp_log ORDER BY position DESC LIMIT 1)",
        )?;
        let (schema, newest): (Option<String>, Option<i64>) =
            statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let schema = schema.and_then(|version| version.parse().ok()).unwrap_or_default();
        Ok(Self { schema, newest: newest.unwrap_or_default() })
    }
}

/// Applies the set and appends its entry to the log, at a time that is not before `newest`, the newest entry's.
///
/// # Errors
///
/// An objection, after which the caller undoes what was done and asks `judge`; or the engine's error.
pub(crate) fn apply(conn: &Connection, prepared: &Prepared, newest: i64) -> Result<Receipt, Failure> {
    #[cfg(test)]
    tests::fault_point(conn, prepared)?;
    let set = &prepared.set;
    // The moment of the commit: what its entry says.
    let at = timestamp(set.at.unix_millis().max(newest))?;
    if let Some(claim) = &set.idempotency {
        let kept = read::claim(conn, claim.tenant, &claim.key)?;
        ensure(kept.is_none_or(|kept| kept.expires_at <= set.at))?;
    }
    ensure(!set.changes.is_empty())?;
    ensure(set.changes.len() == 1 || !set.changes.iter().any(Change::is_bulk))?;
    for expectation in &set.expectations {
        expect(conn, expectation, at)?;
    }
    let mut counts = BTreeMap::new();
    let mut closed = false;
    for (change, row) in set.changes.iter().zip(&prepared.rows) {
        ensure(!closed)?;
        match (change, row) {
            (Change::Create(record), Some(row)) => create(conn, record, row, &mut counts)?,
            (Change::Update(record), Some(row)) => update(conn, record, row)?,
            (Change::Remove { entity, version, cascade }, _) => {
                remove(conn, entity, *version, *cascade, &mut counts)?;
                closed = *cascade;
            }
            (Change::Reveal { entity, version: at }, _) => ensure(version(conn, entity)? == Some(*at))?,
            (Change::AddBlockRules(new), _) => add_rules(conn, new, &mut counts)?,
            (Change::AddStagedRules(new), _) => {
                // An engine that was told to check no foreign keys would not notice.
                ensure(version(conn, new.of())?.is_some())?;
                stage::make_live(conn, new, &mut counts)?;
            }
            (Change::PurgeBlockRules(old), _) => purge_rules(conn, old, &mut counts)?,
            (Change::MarkUsed(uses), _) => mark_used(conn, uses)?,
            (Change::Create(_) | Change::Update(_), None) => return Err(Failure::Objection),
        }
    }
    keep_counts(conn, counts)?;
    keep_claim(conn, prepared)?;
    append(conn, prepared, at.unix_millis())
}

fn ensure(holds: bool) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Objection) }
}

fn execute(conn: &Connection, sql: &'static str, bound: impl rusqlite::Params) -> Result<usize, Failure> {
    Ok(conn.prepare_cached(sql)?.execute(bound)?)
}

fn expect(conn: &Connection, expectation: &Expectation, at: Timestamp) -> Result<(), Failure> {
    match expectation {
        Expectation::Version { entity, version: expected } => ensure(version(conn, entity)? == Some(*expected)),
        Expectation::Children { of, kind, count } => {
            let children = children(conn, of)?;
            ensure(children.iter().find(|c| c.kind == *kind).map_or(0, |c| c.count) == *count)
        }
        Expectation::Free { key } => ensure(Seen(conn).holder_of(key)?.is_none()),
        Expectation::Fingerprints { of, version, count } => ensure(fingerprints(conn, of.tenant, *version)? == *count),
        Expectation::Uses { of, but, fewer_than } => ensure(uses(conn, of, but.as_ref(), at)? < *fewer_than),
    }
}

/// By how much a set changes the number of blocklist entries of a merchant account, kind and version of the secret.
pub(crate) type Counts = BTreeMap<(Incarnation, i64, u32), i64>;

/// Where an entry is counted; an organization's is not.
fn counted(tenant: Incarnation, id: &BlockRuleId) -> Option<(Incarnation, i64, u32)> {
    let version = id.fingerprint_version().unwrap_or_default();
    Some((tenant, kind_number(id.kind), version)).filter(|_| id.scope != BlockScope::Organization)
}

fn create(conn: &Connection, record: &Record, row: &Row, counts: &mut Counts) -> Result<(), Failure> {
    free_keys(conn, record)?;
    execute(conn, row.table(record.kind()).insert, row.bound().as_slice())?;
    if let Record::BlockRule(rule) = record
        && let Some(key) = counted(rule.tenant, &rule.id)
    {
        *counts.entry(key).or_default() += 1;
    }
    Ok(())
}

/// Neither key of a merchant account is another one's: of the two columns the constraints say so, and not across them.
fn free_keys(conn: &Connection, record: &Record) -> Result<(), Failure> {
    let Record::Merchant(row) = record else { return Ok(()) };
    let former = row.state.former_publishable_key.as_ref().map(|former| former.publishable_key.as_str());
    let mut statement = conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM pp_merchant WHERE former_key = ?2 AND incarnation <> ?1)
             OR EXISTS (SELECT 1 FROM pp_merchant WHERE publishable_key = ?3 AND incarnation <> ?1)",
    )?;
    let bound = params![row.tenant.as_bytes(), row.state.publishable_key.as_str(), former];
    let taken: bool = statement.query_row(bound, |row| row.get(0))?;
    ensure(!taken)
}

fn update(conn: &Connection, record: &Record, row: &Row) -> Result<(), Failure> {
    free_keys(conn, record)?;
    let table = row.table(record.kind());
    if execute(conn, table.touch, row.bound().as_slice())? == 1 {
        return Ok(());
    }
    ensure(execute(conn, table.update, row.bound().as_slice())? == 1)
}

/// Many new entries by one statement, whose bindings stay but for what differs from entry to entry.
fn add_rules(conn: &Connection, new: &NewRules, counts: &mut Counts) -> Result<(), Failure> {
    let is_organizations = new.of().kind == EntityKind::Organization;
    // An engine that was told to check no foreign keys would not notice.
    ensure(version(conn, new.of())?.is_some())?;
    let of = new.of().tenant;
    let mut statement = conn.prepare_cached(Table::of_rules(is_organizations).insert)?;
    let created_at = new.created_at().unix_millis();
    statement.raw_bind_parameter(1, of.as_bytes())?;
    statement.raw_bind_parameter(3, 1)?;
    statement.raw_bind_parameter(4, created_at)?;
    statement.raw_bind_parameter(5, created_at)?;
    statement.raw_bind_parameter(12, new.source().map(perfectpay::Text::as_str))?;
    statement.raw_bind_parameter(13, new.author().to_string())?;
    let mut name = String::new();
    for row in new.rows().iter() {
        name.clear();
        row.write_name(&mut name);
        let profile = match row.scope {
            RowScope::Profile(profile) => Some(profile.as_str()),
            RowScope::Organization | RowScope::Merchant => None,
        };
        let kind = kind_number(row.kind);
        statement.raw_bind_parameter(2, name.as_str())?;
        statement.raw_bind_parameter(7, kind)?;
        statement.raw_bind_parameter(8, profile)?;
        statement.raw_bind_parameter(9, row.expires_at.map(Timestamp::unix_millis))?;
        statement.raw_bind_parameter(10, action_number(row.action))?;
        statement.raw_bind_parameter(11, row.reason)?;
        statement.raw_bind_parameter(14, row.metadata)?;
        statement.raw_execute()?;
        if !is_organizations {
            *counts.entry((of, kind, row.fingerprint_version().unwrap_or_default())).or_default() += 1;
        }
    }
    Ok(())
}

/// Expired entries go, each only if it has expired indeed.
fn purge_rules(conn: &Connection, old: &ExpiredRules, counts: &mut Counts) -> Result<(), Failure> {
    let is_organizations = old.of.kind == EntityKind::Organization;
    let mut statement = conn.prepare_cached(if is_organizations {
        "DELETE FROM pp_organization_rule WHERE organization = ? AND id = ? AND expires_at <= ?"
    } else {
        "DELETE FROM pp_block_rule WHERE merchant = ? AND id = ? AND expires_at <= ?"
    })?;
    for row in old.rows.rows().iter() {
        let gone = params![old.of.tenant.as_bytes(), row.name(), old.expired_by.unix_millis()];
        ensure(statement.execute(gone)? == 1)?;
        if !is_organizations {
            let version = row.fingerprint_version().unwrap_or_default();
            *counts.entry((old.of.tenant, kind_number(row.kind), version)).or_default() -= 1;
        }
    }
    Ok(())
}

/// Moves the marks of last uses on, of those keys that live.
fn mark_used(conn: &Connection, uses: &[KeyUse]) -> Result<(), Failure> {
    let mut statement = conn.prepare_cached(
        "UPDATE pp_api_key SET used_at = ?3 WHERE merchant = ?1 AND id = ?2 AND (used_at IS NULL OR used_at < ?3)",
    )?;
    for used in uses {
        statement.execute(params![used.tenant.as_bytes(), used.id.as_str(), used.at.unix_millis()])?;
    }
    Ok(())
}

/// How many uses of a link stand at a moment, one of them not counted.
fn uses(conn: &Connection, link: &EntityRef, but: Option<&EntityRef>, at: Timestamp) -> Result<u64, Failure> {
    let all = read::standing(conn, link.tenant, &link.id, at)?;
    let all = all.confirmed.saturating_add(all.held);
    let Some(but) = but.filter(|but| but.kind == EntityKind::LinkUse && but.tenant == link.tenant) else {
        return Ok(all);
    };
    let mut statement = conn.prepare_cached(
        "SELECT 1 FROM pp_link_use WHERE merchant = ?1 AND id = ?2 AND link = ?3
         AND (stands_until IS NULL OR stands_until > ?4)",
    )?;
    let counted = statement.exists(params![but.tenant.as_bytes(), but.id, link.id, at.unix_millis()])?;
    Ok(all.saturating_sub(u64::from(counted)))
}

fn expiry(conn: &Connection, rule: &EntityRef) -> Result<Option<i64>, Failure> {
    let mut statement = conn.prepare_cached(if is_organizations(&rule.id) {
        "SELECT expires_at FROM pp_organization_rule WHERE organization = ? AND id = ?"
    } else {
        "SELECT expires_at FROM pp_block_rule WHERE merchant = ? AND id = ?"
    })?;
    Ok(statement.query_row(params![rule.tenant.as_bytes(), rule.id], |row| row.get(0)).optional()?.flatten())
}

fn fingerprints(conn: &Connection, merchant: Incarnation, version: u32) -> Result<u64, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT coalesce(sum(count), 0) FROM pp_block_count WHERE merchant = ? AND kind = ? AND version = ?",
    )?;
    let of = params![merchant.as_bytes(), kind_number(BlockKind::Fingerprint), version];
    Ok(unsigned(statement.query_row(of, |row| row.get(0))?)?)
}

fn remove(
    conn: &Connection,
    entity: &EntityRef,
    at_version: u64,
    cascade: bool,
    counts: &mut Counts,
) -> Result<(), Failure> {
    ensure(version(conn, entity)? == Some(at_version))?;
    match entity.kind {
        EntityKind::Organization => {
            if cascade {
                let rules = "DELETE FROM pp_organization_rule WHERE organization = ?";
                execute(conn, rules, [entity.tenant.as_bytes()])?;
                for merchant in merchants(conn, entity.tenant)? {
                    close_merchant(conn, merchant)?;
                    execute(conn, "DELETE FROM pp_merchant WHERE incarnation = ?", [merchant.as_bytes()])?;
                }
            }
            execute(conn, "DELETE FROM pp_data_key WHERE tenant = ?", [entity.tenant.as_bytes()])?;
            execute(conn, "DELETE FROM pp_idempotency WHERE tenant = ?", [entity.tenant.as_bytes()])?;
            stage::close(conn, entity.tenant)?;
        }
        EntityKind::Merchant if cascade => close_merchant(conn, entity.tenant)?,
        EntityKind::Merchant => leave_merchant(conn, entity.tenant)?,
        EntityKind::Profile if cascade => close_profile(conn, entity, counts)?,
        EntityKind::RoutingProgram => {
            let of = params![entity.tenant.as_bytes(), entity.id];
            execute(conn, "DELETE FROM pp_routing_version WHERE merchant = ? AND program = ?", of)?;
        }
        EntityKind::Payment if cascade => {
            for sql in [
                "DELETE FROM pp_link_use WHERE merchant = ?1
                 AND link IN (SELECT id FROM pp_payment_link WHERE merchant = ?1 AND payment = ?2)",
                "DELETE FROM pp_payment_link WHERE merchant = ?1 AND payment = ?2",
                "DELETE FROM pp_payment_decision WHERE merchant = ?1 AND payment = ?2",
                "DELETE FROM pp_event WHERE merchant = ?1 AND payment = ?2",
            ] {
                execute(conn, sql, params![entity.tenant.as_bytes(), entity.id])?;
            }
        }
        EntityKind::PaymentLink if cascade => {
            let of = params![entity.tenant.as_bytes(), entity.id];
            execute(conn, "DELETE FROM pp_link_use WHERE merchant = ? AND link = ?", of)?;
        }
        EntityKind::BlockRule => {
            let id: BlockRuleId = entity.id.parse().map_err(Error::from)?;
            if let Some(key) = counted(entity.tenant, &id) {
                *counts.entry(key).or_default() -= 1;
            }
        }
        EntityKind::DataKey
        | EntityKind::Profile
        | EntityKind::Connector
        | EntityKind::RoutingVersion
        | EntityKind::ApiKey
        | EntityKind::Payment
        | EntityKind::PaymentLink
        | EntityKind::Event
        | EntityKind::PaymentDecision
        | EntityKind::LinkUse => {}
    }
    let removed = params![entity.tenant.as_bytes(), entity.id, integer(at_version)?];
    ensure(execute(conn, Table::of(entity.kind, &entity.id).remove, removed)? == 1)
}

fn merchants(conn: &Connection, organization: Incarnation) -> Result<Vec<Incarnation>, Failure> {
    let mut statement = conn.prepare_cached("SELECT incarnation FROM pp_merchant WHERE organization = ?")?;
    let found = statement.query_map([organization.as_bytes()], |row| row.get(0).map(Incarnation::from_bytes))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Everything below a merchant account, from the bottom up, and what is kept of its commands.
fn close_merchant(conn: &Connection, merchant: Incarnation) -> Result<(), Failure> {
    for sql in [
        "DELETE FROM pp_link_use WHERE merchant = ?",
        "DELETE FROM pp_payment_link WHERE merchant = ?",
        "DELETE FROM pp_payment_decision WHERE merchant = ?",
        "DELETE FROM pp_event WHERE merchant = ?",
        "DELETE FROM pp_payment WHERE merchant = ?",
        "DELETE FROM pp_connector WHERE merchant = ?",
        "DELETE FROM pp_routing_version WHERE merchant = ?",
        "DELETE FROM pp_routing_program WHERE merchant = ?",
        "DELETE FROM pp_block_rule WHERE merchant = ?",
        "DELETE FROM pp_profile WHERE merchant = ?",
        "DELETE FROM pp_api_key WHERE merchant = ?",
        "DELETE FROM pp_block_count WHERE merchant = ?",
        "DELETE FROM pp_data_key WHERE tenant = ?",
        "DELETE FROM pp_idempotency WHERE tenant = ?",
    ] {
        execute(conn, sql, [merchant.as_bytes()])?;
    }
    stage::close(conn, merchant)
}

/// What does not hold a merchant account up, and what is kept of its commands.
fn leave_merchant(conn: &Connection, merchant: Incarnation) -> Result<(), Failure> {
    for sql in [
        "DELETE FROM pp_data_key WHERE tenant = ?",
        "DELETE FROM pp_api_key WHERE merchant = ? AND revoked_at IS NOT NULL",
        "DELETE FROM pp_block_count WHERE merchant = ?",
        "DELETE FROM pp_idempotency WHERE tenant = ?",
    ] {
        execute(conn, sql, [merchant.as_bytes()])?;
    }
    stage::close(conn, merchant)
}

fn close_profile(conn: &Connection, profile: &EntityRef, counts: &mut Counts) -> Result<(), Failure> {
    let rules = "DELETE FROM pp_block_rule WHERE merchant = ? AND profile = ? RETURNING id";
    let mut rules = conn.prepare_cached(rules)?;
    let mut gone = rules.query(params![profile.tenant.as_bytes(), profile.id])?;
    while let Some(row) = gone.next()? {
        let id: BlockRuleId = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?.parse().map_err(Error::from)?;
        if let Some(key) = counted(profile.tenant, &id) {
            *counts.entry(key).or_default() -= 1;
        }
    }
    for sql in [
        "DELETE FROM pp_link_use WHERE merchant = ?1 AND link IN (
             SELECT id FROM pp_payment_link WHERE merchant = ?1 AND holder = ?2
             UNION ALL
             SELECT id FROM pp_payment_link WHERE merchant = ?1
             AND payment IN (SELECT id FROM pp_payment WHERE merchant = ?1 AND profile = ?2))",
        "DELETE FROM pp_payment_link WHERE merchant = ?1
         AND payment IN (SELECT id FROM pp_payment WHERE merchant = ?1 AND profile = ?2)",
        "DELETE FROM pp_payment_decision WHERE merchant = ?1
         AND payment IN (SELECT id FROM pp_payment WHERE merchant = ?1 AND profile = ?2)",
        "DELETE FROM pp_event WHERE merchant = ?1
         AND payment IN (SELECT id FROM pp_payment WHERE merchant = ?1 AND profile = ?2)",
        "DELETE FROM pp_payment_link WHERE merchant = ?1 AND holder = ?2",
        "DELETE FROM pp_payment WHERE merchant = ?1 AND profile = ?2",
        "DELETE FROM pp_connector WHERE merchant = ?1 AND profile = ?2",
        "DELETE FROM pp_routing_version WHERE merchant = ?1
         AND program IN (SELECT id FROM pp_routing_program WHERE merchant = ?1 AND profile = ?2)",
        "DELETE FROM pp_routing_program WHERE merchant = ?1 AND profile = ?2",
    ] {
        execute(conn, sql, params![profile.tenant.as_bytes(), profile.id])?;
    }
    Ok(())
}

/// Changes the kept counts, but for merchant accounts that the same set removed.
fn keep_counts(conn: &Connection, counts: Counts) -> Result<(), Failure> {
    for ((merchant, kind, version), by) in counts {
        if by != 0 {
            execute(
                conn,
                "INSERT INTO pp_block_count (merchant, kind, version, count)
                 SELECT incarnation, ?2, ?3, max(?4, 0) FROM pp_merchant WHERE incarnation = ?1
                 ON CONFLICT DO UPDATE SET count = count + ?4",
                params![merchant.as_bytes(), kind, version, by],
            )?;
        }
    }
    Ok(())
}

fn keep_claim(conn: &Connection, prepared: &Prepared) -> Result<(), Failure> {
    let (Some(claim), Some(answer)) = (&prepared.set.idempotency, &prepared.answer) else { return Ok(()) };
    execute(
        conn,
        "INSERT INTO pp_idempotency (tenant, key, request, answer, expires_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET request = excluded.request, answer = excluded.answer,
                                   expires_at = excluded.expires_at",
        params![claim.tenant.as_bytes(), claim.key.as_str(), claim.request, answer, claim.expires_at.unix_millis()],
    )?;
    Ok(())
}

fn append(conn: &Connection, prepared: &Prepared, at: i64) -> Result<Receipt, Failure> {
    let set = &prepared.set;
    let (organization, merchant) = (set.owner.organization.as_ref(), set.owner.merchant.as_ref());
    execute(
        conn,
        "INSERT INTO pp_log (at, actor, class, organization, merchant, organization_id, merchant_id, changes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            at,
            set.actor.to_string(),
            <&str>::from(set.class),
            organization.map(|t| *t.incarnation.as_bytes()),
            merchant.map(|t| *t.incarnation.as_bytes()),
            organization.map(|t| t.id.as_str()),
            merchant.map(|t| t.id.as_str()),
            prepared.logged,
        ],
    )?;
    let position = conn.last_insert_rowid();
    let mut index =
        conn.prepare_cached("INSERT OR IGNORE INTO pp_log_entity (tenant, kind, id, position) VALUES (?, ?, ?, ?)")?;
    for change in &set.changes {
        let entity = change.entity();
        index.execute(params![entity.tenant.as_bytes(), <&str>::from(entity.kind), indexed_id(&entity), position])?;
    }
    Ok(Receipt { position: LogPosition::from_u64(unsigned(position)?), at: timestamp(at)? })
}

/// Writes a load, inside a transaction of its own. What the contract has against it is answered as `judge_load` does.
pub(crate) fn import(conn: &Connection, prepared: &PreparedLoad) -> Result<LogPosition, Failure> {
    execute(conn, "SAVEPOINT load", [])?;
    match load(conn, prepared, None) {
        Err(failure) if failure.is_objection() => {}
        written => return written,
    }
    execute(conn, "ROLLBACK TO load", [])?;
    // Some of it may be there already, as after an interrupted copy.
    let is_new = judge_load(&prepared.load, &mut Seen(conn))?;
    load(conn, prepared, Some(&is_new)).map_err(|failure| match failure {
        failure if failure.is_objection() => contradiction().into(),
        failure => failure,
    })
}

/// Writes those items of a load that are new, or all of them where that is not known. Answers the position of the last
/// entry.
///
/// # Errors
///
/// An objection, after which the caller undoes what was done and asks `judge_load`; or the engine's error.
fn load(conn: &Connection, prepared: &PreparedLoad, is_new: Option<&[bool]>) -> Result<LogPosition, Failure> {
    let mut log = LogEnd::of(conn, &prepared.load)?;
    let mut last = LogPosition::START;
    let mut counts = BTreeMap::new();
    let items = prepared.load.items.iter().zip(&prepared.columns).enumerate();
    for (index, (item, columns)) in items {
        let is_new = is_new.is_none_or(|is_new| is_new.get(index) == Some(&true));
        match (item, columns) {
            (Item::Beginning(beginning), _) if is_new => log.begin(conn, beginning)?,
            (Item::Entry(logged), Columns::Entry(changes)) if is_new => {
                last = log.append(conn, logged, changes)?;
                for (change, entity) in logged.entry.changes.iter().zip(&logged.entities) {
                    if change.kind == EntityKind::Organization && change.verb != Verb::Created {
                        note_cut(conn, entity.tenant, &change.id)?;
                    }
                }
            }
            (Item::Entry(logged), _) => last = logged.entry.position,
            (Item::Claim(claim), Columns::Claim(answer)) if is_new => {
                execute(
                    conn,
                    "INSERT INTO pp_idempotency (tenant, key, request, answer, expires_at) VALUES (?, ?, ?, ?, ?)",
                    params![
                        claim.tenant.as_bytes(),
                        claim.key.as_str(),
                        claim.request,
                        answer,
                        claim.expires_at.unix_millis()
                    ],
                )?;
            }
            (Item::Record(packed), Columns::Record(row)) if is_new => {
                create(conn, packed.record(), row, &mut counts)?;
                if let Record::Organization(organization) = packed.record() {
                    note_cut(conn, organization.tenant, organization.id.as_str())?;
                }
            }
            _ => {}
        }
    }
    keep_counts(conn, counts)?;
    Ok(last)
}

/// Remembers of an organization that the log does not have its creation, because the log that it comes from was pruned.
fn note_cut(conn: &Connection, organization: Incarnation, id: &str) -> Result<(), Failure> {
    execute(
        conn,
        "INSERT OR IGNORE INTO pp_log_cut (organization)
         SELECT ?1 WHERE NOT EXISTS (
             SELECT 1 FROM pp_log_entity JOIN pp_log USING (position), json_each(pp_log.changes) AS change
             WHERE pp_log_entity.tenant = ?1 AND pp_log_entity.kind = 'organization' AND pp_log_entity.id = ''
             AND change.value ->> '$.kind' = 'organization' AND change.value ->> '$.id' = ?2
             AND change.value ->> '$.verb' = 'created')",
        params![organization.as_bytes(), id],
    )?;
    Ok(())
}

/// Where a load's next entry comes.
struct LogEnd {
    position: i64,
    at: i64,
    appends: bool,
}

impl LogEnd {
    fn of(conn: &Connection, load: &Load) -> Result<Self, Failure> {
        let head = read::head(conn)?;
        let first = load.entries().next().and_then(|logged| logged.organization);
        if let (Some(behind), Some(organization)) = (load.behind, first) {
            ensure(read::newest(conn, organization)? == behind)?;
        }
        let position = integer(head.position.as_u64())?;
        Ok(Self { position, at: head.at.unix_millis(), appends: load.behind.is_some() })
    }

    /// Lets the log, which is empty, begin behind what was pruned elsewhere.
    fn begin(&mut self, conn: &Connection, beginning: &LogBeginning) -> Result<(), Failure> {
        ensure(self.position == 0)?;
        let LogBeginning { pruned, configuration } = beginning;
        self.position = integer(pruned.through.as_u64())?;
        execute(
            conn,
            "INSERT INTO pp_log_pruning (id, through, configuration, at, actor) VALUES (1, ?, ?, ?, ?)",
            params![self.position, integer(configuration.as_u64())?, pruned.at.unix_millis(), pruned.by.to_string()],
        )?;
        Ok(())
    }

    fn append(&mut self, conn: &Connection, logged: &Logged, changes: &str) -> Result<LogPosition, Failure> {
        let entry = &logged.entry;
        let (kept, at) = (integer(entry.position.as_u64())?, entry.at.unix_millis());
        ensure(self.appends || (kept > self.position && at >= self.at))?;
        self.at = self.at.max(at);
        let mut statement = conn.prepare_cached(
            "INSERT INTO pp_log
                 (position, at, actor, class, organization, merchant, organization_id, merchant_id, changes)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        statement.execute(params![
            // SQLite gives the next one itself.
            (!self.appends).then_some(kept),
            self.at,
            entry.actor.to_string(),
            entry.class.to_string(),
            logged.organization.as_ref().map(Incarnation::as_bytes),
            logged.merchant.as_ref().map(Incarnation::as_bytes),
            entry.organization_id,
            entry.merchant_id,
            changes,
        ])?;
        self.position = conn.last_insert_rowid();
        let mut index = conn
            .prepare_cached("INSERT OR IGNORE INTO pp_log_entity (tenant, kind, id, position) VALUES (?, ?, ?, ?)")?;
        for entity in &logged.entities {
            let (tenant, kind) = (entity.tenant.as_bytes(), <&str>::from(entity.kind));
            index.execute(params![tenant, kind, indexed_id(entity), self.position])?;
        }
        Ok(LogPosition::from_u64(unsigned(self.position)?))
    }
}

pub(crate) fn version(conn: &Connection, entity: &EntityRef) -> Result<Option<u64>, Failure> {
    let mut statement = conn.prepare_cached(Table::of(entity.kind, &entity.id).version)?;
    let found = statement.query_row(params![entity.tenant.as_bytes(), entity.id], |row| row.get(0)).optional()?;
    Ok(found.map(unsigned).transpose()?)
}

fn children(conn: &Connection, entity: &EntityRef) -> Result<Vec<ChildCount>, Failure> {
    const OF_ORGANIZATION: [(EntityKind, &str); 2] = [
        (EntityKind::Merchant, "SELECT count(*) FROM pp_merchant WHERE organization = ?1 AND ?2 IS NOT NULL"),
        (EntityKind::BlockRule, "SELECT count(*) FROM pp_organization_rule WHERE organization = ?1 AND ?2 IS NOT NULL"),
    ];
    const OF_MERCHANT: [(EntityKind, &str); 3] = [
        (EntityKind::Profile, "SELECT count(*) FROM pp_profile WHERE merchant = ?1 AND ?2 IS NOT NULL"),
        (
            EntityKind::ApiKey,
            "SELECT count(*) FROM pp_api_key WHERE merchant = ?1 AND ?2 IS NOT NULL AND revoked_at IS NULL",
        ),
        (
            EntityKind::BlockRule,
            // Those that hold in a profile are the profile's.
            "SELECT coalesce(sum(count), 0)
                    - (SELECT count(*) FROM pp_block_rule WHERE merchant = ?1 AND profile IS NOT NULL)
             FROM pp_block_count WHERE merchant = ?1 AND ?2 IS NOT NULL",
        ),
    ];
    const OF_PROFILE: [(EntityKind, &str); 5] = [
        (EntityKind::Connector, "SELECT count(*) FROM pp_connector WHERE merchant = ?1 AND profile = ?2"),
        (EntityKind::RoutingProgram, "SELECT count(*) FROM pp_routing_program WHERE merchant = ?1 AND profile = ?2"),
        (EntityKind::BlockRule, "SELECT count(*) FROM pp_block_rule WHERE merchant = ?1 AND profile = ?2"),
        (EntityKind::Payment, "SELECT count(*) FROM pp_payment WHERE merchant = ?1 AND profile = ?2"),
        (EntityKind::PaymentLink, "SELECT count(*) FROM pp_payment_link WHERE merchant = ?1 AND holder = ?2"),
    ];
    const OF_PAYMENT: [(EntityKind, &str); 3] = [
        (EntityKind::PaymentLink, "SELECT count(*) FROM pp_payment_link WHERE merchant = ?1 AND payment = ?2"),
        (EntityKind::Event, "SELECT count(*) FROM pp_event WHERE merchant = ?1 AND payment = ?2"),
        (EntityKind::PaymentDecision, "SELECT count(*) FROM pp_payment_decision WHERE merchant = ?1 AND payment = ?2"),
    ];
    const OF_LINK: [(EntityKind, &str); 1] =
        [(EntityKind::LinkUse, "SELECT count(*) FROM pp_link_use WHERE merchant = ?1 AND link = ?2")];
    let kinds: &[(EntityKind, &'static str)] = match entity.kind {
        EntityKind::Organization => &OF_ORGANIZATION,
        EntityKind::Merchant => &OF_MERCHANT,
        EntityKind::Profile => &OF_PROFILE,
        EntityKind::Payment => &OF_PAYMENT,
        EntityKind::PaymentLink => &OF_LINK,
        EntityKind::DataKey
        | EntityKind::Connector
        | EntityKind::RoutingProgram
        | EntityKind::RoutingVersion
        | EntityKind::ApiKey
        | EntityKind::BlockRule
        | EntityKind::Event
        | EntityKind::PaymentDecision
        | EntityKind::LinkUse => &[],
    };
    let mut found = Vec::new();
    for (kind, sql) in kinds {
        let count =
            conn.prepare_cached(sql)?.query_row(params![entity.tenant.as_bytes(), entity.id], |row| row.get(0))?;
        if count != 0 {
            found.push(ChildCount { kind: *kind, count: unsigned(count)? });
        }
    }
    Ok(found)
}

/// The state that a transaction sees, as `judge` asks for it.
pub(crate) struct Seen<'a>(pub(crate) &'a Connection);

impl Seen<'_> {
    fn one<T: rusqlite::types::FromSql>(&self, sql: &'static str, bound: &[&dyn ToSql]) -> Result<Option<T>, Failure> {
        Ok(self.0.prepare_cached(sql)?.query_row(bound, |row| row.get(0)).optional()?)
    }

    /// The tenant that a statement finds, as `judge` compares it: by incarnation alone.
    fn tenant(&self, kind: EntityKind, sql: &'static str, bound: &[&dyn ToSql]) -> Result<Option<EntityRef>, Failure> {
        let found = self.one(sql, bound)?.map(Incarnation::from_bytes);
        Ok(found.map(|tenant| EntityRef { kind, tenant, id: tenant.to_string() }))
    }

    /// The object of this tenant whose id a statement finds.
    fn within(
        &self,
        tenant: Incarnation,
        kind: EntityKind,
        sql: &'static str,
        bound: &[&dyn ToSql],
    ) -> Result<Option<EntityRef>, Failure> {
        Ok(self.one(sql, bound)?.map(|id| EntityRef { kind, tenant, id }))
    }

    fn holder_of(&self, key: &UniqueKey) -> Result<Option<EntityRef>, Failure> {
        use EntityKind::{ApiKey, Connector, Event, Merchant, Organization, Profile, RoutingProgram};
        match key {
            UniqueKey::OrganizationId(id) => {
                self.tenant(Organization, "SELECT incarnation FROM pp_organization WHERE id = ?", &[id])
            }
            UniqueKey::MerchantId(id) => {
                self.tenant(Merchant, "SELECT incarnation FROM pp_merchant WHERE id = ?", &[id])
            }
            UniqueKey::PublishableKey(text) => {
                let sql = "SELECT coalesce((SELECT incarnation FROM pp_merchant WHERE publishable_key = ?1),
                                           (SELECT incarnation FROM pp_merchant WHERE former_key = ?1)) AS found
                           WHERE found IS NOT NULL";
                self.tenant(Merchant, sql, &[text])
            }
            UniqueKey::ProfileName(of, name) => {
                let sql = "SELECT id FROM pp_profile WHERE merchant = ? AND name = ?";
                self.within(*of, Profile, sql, &[of.as_bytes(), name])
            }
            UniqueKey::DefaultProfile(of) => {
                let sql = "SELECT id FROM pp_profile WHERE merchant = ? AND is_default = 1";
                self.within(*of, Profile, sql, &[of.as_bytes()])
            }
            UniqueKey::ConnectorLabel(of, profile, label) => {
                let sql = "SELECT id FROM pp_connector WHERE merchant = ? AND profile = ? AND label = ?";
                self.within(*of, Connector, sql, &[of.as_bytes(), profile, label])
            }
            UniqueKey::ActiveProgram(of, profile) => {
                let sql = "SELECT id FROM pp_routing_program WHERE merchant = ? AND profile = ? AND active IS NOT NULL";
                self.within(*of, RoutingProgram, sql, &[of.as_bytes(), profile])
            }
            UniqueKey::EventOnce(of, once) => {
                let sql = "SELECT id FROM pp_event WHERE merchant = ? AND once = ?";
                self.within(*of, Event, sql, &[of.as_bytes(), once])
            }
            UniqueKey::ApiKeyDigest(digest) => {
                let mut statement = self.0.prepare_cached("SELECT merchant, id FROM pp_api_key WHERE digest = ?")?;
                let found = statement.query_row([digest], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                Ok(found.map(|(of, id)| EntityRef { kind: ApiKey, tenant: Incarnation::from_bytes(of), id }))
            }
        }
    }

    fn parent_of(&self, entity: &EntityRef) -> Result<Option<EntityRef>, Failure> {
        use EntityKind::{Merchant, Organization, Payment, PaymentLink, Profile};
        let (tenant, bound) = (entity.tenant, &[entity.tenant.as_bytes() as &dyn ToSql, &entity.id]);
        let merchant_of = |sql| self.tenant(Merchant, sql, bound);
        match entity.kind {
            EntityKind::Organization | EntityKind::DataKey | EntityKind::RoutingVersion => Ok(None),
            EntityKind::Merchant => {
                let sql = "SELECT organization FROM pp_merchant WHERE incarnation = ?1 AND ?2 IS NOT NULL";
                self.tenant(Organization, sql, bound)
            }
            EntityKind::Profile => merchant_of("SELECT merchant FROM pp_profile WHERE merchant = ? AND id = ?"),
            EntityKind::ApiKey => {
                merchant_of("SELECT merchant FROM pp_api_key WHERE merchant = ? AND id = ? AND revoked_at IS NULL")
            }
            EntityKind::BlockRule if is_organizations(&entity.id) => {
                let sql = "SELECT organization FROM pp_organization_rule WHERE organization = ? AND id = ?";
                self.tenant(Organization, sql, bound)
            }
            EntityKind::BlockRule => {
                let sql = "SELECT profile FROM pp_block_rule WHERE merchant = ? AND id = ?";
                Ok(match self.one::<Option<String>>(sql, bound)? {
                    None => None,
                    Some(Some(id)) => Some(EntityRef { kind: Profile, tenant, id }),
                    Some(None) => Some(EntityRef { kind: Merchant, tenant, id: tenant.to_string() }),
                })
            }
            EntityKind::Connector => {
                self.within(tenant, Profile, "SELECT profile FROM pp_connector WHERE merchant = ? AND id = ?", bound)
            }
            EntityKind::RoutingProgram => {
                let sql = "SELECT profile FROM pp_routing_program WHERE merchant = ? AND id = ?";
                self.within(tenant, Profile, sql, bound)
            }
            EntityKind::Payment => {
                self.within(tenant, Profile, "SELECT profile FROM pp_payment WHERE merchant = ? AND id = ?", bound)
            }
            EntityKind::PaymentLink => {
                let sql = "SELECT payment, holder FROM pp_payment_link WHERE merchant = ? AND id = ?";
                let mut statement = self.0.prepare_cached(sql)?;
                let found: Option<(Option<String>, Option<String>)> =
                    statement.query_row(bound, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                Ok(found.and_then(|(payment, holder)| {
                    let payment = payment.map(|id| EntityRef { kind: Payment, tenant, id });
                    payment.or_else(|| holder.map(|id| EntityRef { kind: Profile, tenant, id }))
                }))
            }
            EntityKind::LinkUse => {
                self.within(tenant, PaymentLink, "SELECT link FROM pp_link_use WHERE merchant = ? AND id = ?", bound)
            }
            EntityKind::PaymentDecision => {
                let sql = "SELECT payment FROM pp_payment_decision WHERE merchant = ? AND id = ?";
                self.within(tenant, Payment, sql, bound)
            }
            EntityKind::Event => {
                self.within(tenant, Payment, "SELECT payment FROM pp_event WHERE merchant = ? AND id = ?", bound)
            }
        }
    }
}

impl Premises for Seen<'_> {
    fn version(&mut self, entity: &EntityRef) -> Result<Option<u64>, Error> {
        Ok(version(self.0, entity)?)
    }

    fn holder(&mut self, key: &UniqueKey) -> Result<Option<EntityRef>, Error> {
        Ok(self.holder_of(key)?)
    }

    fn children(&mut self, entity: &EntityRef) -> Result<Vec<ChildCount>, Error> {
        Ok(children(self.0, entity)?)
    }

    fn parent(&mut self, entity: &EntityRef) -> Result<Option<EntityRef>, Error> {
        Ok(self.parent_of(entity)?)
    }

    fn expiry(&mut self, rule: &EntityRef) -> Result<Option<Timestamp>, Error> {
        expiry(self.0, rule)?.map(timestamp).transpose()
    }

    fn fingerprints(&mut self, merchant: &EntityRef, version: u32) -> Result<u64, Error> {
        Ok(fingerprints(self.0, merchant.tenant, version)?)
    }

    fn uses(&mut self, link: &EntityRef, but: Option<&EntityRef>, at: Timestamp) -> Result<u64, Error> {
        Ok(uses(self.0, link, but, at)?)
    }

    fn stage(&mut self, new: &StagedRules) -> Result<Option<StageView>, Error> {
        Ok(stage::view(self.0, new)?)
    }

    fn time(&mut self) -> Result<Timestamp, Error> {
        Ok(read::head(self.0)?.at)
    }

    fn idempotency(&mut self, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error> {
        Ok(read::claim(self.0, tenant, key)?)
    }
}

impl LoadPremises for Seen<'_> {
    fn kept(&mut self, entity: &EntityRef) -> Result<Option<Record>, Error> {
        Ok(read::object(self.0, entity)?)
    }

    fn entry(&mut self, position: LogPosition) -> Result<Option<Logged>, Error> {
        Ok(read::logged(self.0, position)?)
    }

    fn newest(&mut self, organization: Incarnation) -> Result<LogPosition, Error> {
        Ok(read::newest(self.0, organization)?)
    }

    fn head(&mut self) -> Result<Head, Error> {
        Ok(read::head(self.0)?)
    }
}

#[cfg(test)]
mod tests {
    use perfectpay::store::Actor;
    use rusqlite::ffi;

    use super::{Connection, Failure, Prepared};

    /// What goes wrong if the operator of a commit is called so.
    pub(super) fn fault_point(conn: &Connection, prepared: &Prepared) -> Result<(), Failure> {
        let Actor::Operator(name) = &prepared.set.actor else { return Ok(()) };
        match name.as_str() {
            "panic" => panic!("a fault that a test asked for"),
            // A constraint that only COMMIT checks.
            "uncommittable" => conn.execute_batch(
                "PRAGMA defer_foreign_keys = ON;
                 INSERT INTO pp_data_key VALUES (zeroblob(16), 'dk_orphan', 1, 0, 0, 'merchant', NULL, '{}')",
            )?,
            // What SQLite does by itself when a disk is full in the middle of a statement.
            "rolled back" => {
                conn.execute_batch("ROLLBACK")?;
                let full = ffi::Error::new(ffi::SQLITE_FULL);
                return Err(rusqlite::Error::SqliteFailure(full, None).into());
            }
            "contradicted" => conn.execute_batch("INSERT INTO pp_block_count VALUES (zeroblob(16), 1, 0, 1)")?,
            _ => {}
        }
        Ok(())
    }
}
