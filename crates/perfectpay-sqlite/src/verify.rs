//! Checks of a whole file: whether what is stored is what commits would have left.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use perfectpay::blocklist::BlockRuleId;
use perfectpay::store::{IdempotencyKey, LogChange, Record, Verb};
use perfectpay::{EntityKind, Error, Incarnation, Sealed, Unavailability};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, Transaction, TransactionBehavior};

use crate::backup::Tell;
use crate::error::Failure;
use crate::rows::{columns, decode, indexed_id, kind_of, timestamp, unsigned};
use crate::{Progress, SqliteOptions, Step, open, schema};

/// How many faults a report lists at most.
const MAX_FAULTS: usize = 10_000;
/// How many lines SQLite's own check answers at most.
const MAX_LINES: i64 = 100;

/// What sort of thing is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The file, by SQLite's own checks.
    File,
    /// The schema.
    Schema,
    /// A record that cannot be read, or a column that does not say what the record's body says.
    Record,
    /// A parent that is not there.
    Parent,
    /// A kept count.
    Count,
    /// An entry of the log or of its index.
    Log,
    /// An object that lives, or does not, or at a version, other than the log says.
    History,
    /// What is kept under an idempotency key.
    Idempotency,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Schema => "schema",
            Self::Record => "record",
            Self::Parent => "parent",
            Self::Count => "count",
            Self::Log => "log",
            Self::History => "history",
            Self::Idempotency => "idempotency",
        })
    }
}

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct VerifyFault {
    /// What sort of thing.
    pub kind: FaultKind,
    /// Which: of an object `{kind} {incarnation}` and, below a merchant account, `/{id}`; of the log the position; of a
    /// count the account and the kind.
    pub id: String,
    /// What is wrong with it. Never a value that is stored.
    pub what: String,
}

impl fmt::Display for VerifyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`: {}", self.kind, self.id, self.what)
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The faults, ordered by kind, id and text; at most 10,000.
    pub faults: Vec<VerifyFault>,
    /// How many more there were.
    pub left_out: u64,
    /// How many records were read.
    pub records: u64,
    /// How many entries of the log were read.
    pub entries: u64,
}

impl VerifyReport {
    /// Whether nothing was found.
    pub fn is_healthy(&self) -> bool {
        self.faults.is_empty()
    }

    /// How many faults there are, listed or not.
    pub fn total(&self) -> u64 {
        self.left_out.saturating_add(u64::try_from(self.faults.len()).unwrap_or(u64::MAX))
    }

    fn add(&mut self, kind: FaultKind, id: impl Into<String>, what: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(VerifyFault { kind, id: id.into(), what: what.into() });
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}

/// Checks a file that is not open as a store.
pub(crate) fn file(options: &SqliteOptions, tell: Tell<'_>) -> Result<VerifyReport, Error> {
    all(&open::looker(options)?, options.shared_with_host, tell)
}

/// Where records of a kind are kept, as far as the checks need to know.
struct Kept {
    kind: EntityKind,
    table: &'static str,
    tenant: &'static str,
    /// The columns of the kind, as [`columns`] answers them.
    columns: &'static [&'static str],
    /// Whether the parent of row `r` is there.
    parent: &'static str,
    /// What [`decode`] reads behind the columns that all kinds have.
    body: &'static [&'static str],
}

const OF_MERCHANT: &str = "EXISTS (SELECT 1 FROM pp_merchant AS p WHERE p.incarnation = r.merchant)";
const OF_HOLDER: &str = "coalesce((SELECT 1 FROM pp_organization AS p WHERE p.incarnation = r.organization),
    (SELECT 1 FROM pp_merchant AS p WHERE p.incarnation = r.merchant), 0)";
const OF_PROFILE: &str = "EXISTS (SELECT 1 FROM pp_profile AS p WHERE p.merchant = r.merchant AND p.id = r.profile)";
const OF_PAYMENT: &str = "EXISTS (SELECT 1 FROM pp_payment AS p WHERE p.merchant = r.merchant AND p.id = r.payment)";

const BODY: &[&str] = &["body"];
const RULE_BODY: &[&str] = &["action", "expires_at", "reason", "source", "author", "metadata"];
const RULE_COLUMNS: &[&str] = &["kind", "profile"];

static KEPT: [Kept; 15] = [
    Kept {
        kind: EntityKind::Organization,
        table: "pp_organization",
        tenant: "incarnation",
        columns: &[],
        parent: "1",
        body: BODY,
    },
    Kept {
        kind: EntityKind::Merchant,
        table: "pp_merchant",
        tenant: "incarnation",
        columns: &["organization", "publishable_key", "former_key"],
        parent: "EXISTS (SELECT 1 FROM pp_organization AS p WHERE p.incarnation = r.organization)",
        body: BODY,
    },
    Kept {
        kind: EntityKind::DataKey,
        table: "pp_data_key",
        tenant: "tenant",
        columns: &["holder", "wrapped_by"],
        parent: OF_HOLDER,
        body: BODY,
    },
    Kept {
        kind: EntityKind::Profile,
        table: "pp_profile",
        tenant: "merchant",
        columns: &["name", "is_default"],
        parent: OF_MERCHANT,
        body: BODY,
    },
    Kept {
        kind: EntityKind::Connector,
        table: "pp_connector",
        tenant: "merchant",
        columns: &["profile", "label"],
        parent: OF_PROFILE,
        body: BODY,
    },
    Kept {
        kind: EntityKind::RoutingProgram,
        table: "pp_routing_program",
        tenant: "merchant",
        columns: &["profile", "active"],
        parent: OF_PROFILE,
        body: BODY,
    },
    Kept {
        kind: EntityKind::RoutingVersion,
        table: "pp_routing_version",
        tenant: "merchant",
        columns: &["program"],
        parent: "EXISTS (SELECT 1 FROM pp_routing_program AS p WHERE p.merchant = r.merchant AND p.id = r.program)",
        body: BODY,
    },
    Kept {
        kind: EntityKind::ApiKey,
        table: "pp_api_key",
        tenant: "merchant",
        columns: &["used_at", "digest", "pepper", "expires_at", "revoked_at"],
        parent: OF_MERCHANT,
        body: &["body", "used_at"],
    },
    Kept {
        kind: EntityKind::BlockRule,
        table: "pp_block_rule",
        tenant: "merchant",
        columns: RULE_COLUMNS,
        parent: "EXISTS (SELECT 1 FROM pp_merchant AS p WHERE p.incarnation = r.merchant) AND (r.profile IS NULL
                 OR EXISTS (SELECT 1 FROM pp_profile AS p WHERE p.merchant = r.merchant AND p.id = r.profile))",
        body: RULE_BODY,
    },
    Kept {
        kind: EntityKind::BlockRule,
        table: "pp_organization_rule",
        tenant: "organization",
        columns: RULE_COLUMNS,
        parent: "EXISTS (SELECT 1 FROM pp_organization AS p WHERE p.incarnation = r.organization)",
        body: RULE_BODY,
    },
    Kept {
        kind: EntityKind::Payment,
        table: "pp_payment",
        tenant: "merchant",
        columns: &["profile", "open_until"],
        parent: OF_PROFILE,
        body: BODY,
    },
    Kept {
        kind: EntityKind::PaymentLink,
        table: "pp_payment_link",
        tenant: "merchant",
        columns: &["profile", "payment"],
        parent: "EXISTS (SELECT 1 FROM pp_payment AS p WHERE p.merchant = r.merchant AND p.id = r.payment)
                 OR EXISTS (SELECT 1 FROM pp_profile AS p WHERE p.merchant = r.merchant AND p.id = r.holder)",
        body: BODY,
    },
    Kept {
        kind: EntityKind::LinkUse,
        table: "pp_link_use",
        tenant: "merchant",
        columns: &["link", "stands_until"],
        parent: "EXISTS (SELECT 1 FROM pp_payment_link AS p WHERE p.merchant = r.merchant AND p.id = r.link)",
        body: BODY,
    },
    Kept {
        kind: EntityKind::PaymentDecision,
        table: "pp_payment_decision",
        tenant: "merchant",
        columns: &["payment"],
        parent: OF_PAYMENT,
        body: BODY,
    },
    Kept {
        kind: EntityKind::Event,
        table: "pp_event",
        tenant: "merchant",
        columns: &["payment", "once", "due_at"],
        parent: OF_PAYMENT,
        body: BODY,
    },
];

/// Runs every check, all of them at one moment.
pub(crate) fn all(conn: &Connection, shared: bool, tell: Tell<'_>) -> Result<VerifyReport, Error> {
    let mut report = VerifyReport::default();
    let mut history = History::default();
    let steps = u64::try_from(KEPT.len()).unwrap_or(0).saturating_add(6);
    let mut done = 0;
    let mut next = || {
        tell(Progress { step: Step::Verifying, done, total: steps });
        done += 1;
    };
    let moment = Transaction::new_unchecked(conn, TransactionBehavior::Deferred).map_err(Failure::from)?;
    next();
    let readable = checked(&mut report, "SQLite", |report| engine(&moment, report))?;
    next();
    let ours = checked(&mut report, "the schema", |report| layout(&moment, shared, report))?;
    if readable && ours == Some(true) {
        next();
        checked(&mut report, "pp_log", |report| history.read(&moment, report))?;
        for kept in &KEPT {
            next();
            checked(&mut report, kept.table, |report| records(&moment, kept, &mut history, report))?;
        }
        history.close(&mut report);
        next();
        checked(&mut report, "pp_block_count", |report| counts(&moment, report))?;
        next();
        checked(&mut report, "pp_idempotency", |report| claims(&moment, report))?;
        next();
        checked(&mut report, "pp_stage", |report| stages(&moment, report))?;
    }
    // It wrote nothing, and over a damaged file it may not even end as it should.
    drop(moment);
    next();
    report.faults.sort();
    report.faults.dedup();
    Ok(report)
}

/// What a check answers. One that cannot go on because the file is damaged has found a fault.
fn checked<T: Default>(
    report: &mut VerifyReport,
    part: &str,
    check: impl FnOnce(&mut VerifyReport) -> Result<T, Failure>,
) -> Result<T, Error> {
    match check(report) {
        Ok(answer) => Ok(answer),
        Err(Failure::Engine(error)) => match error.sqlite_error_code() {
            // Not a database at all is an error, because there is nothing to report on.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::Unknown) => {
                report.add(FaultKind::File, part, "cannot be read to its end");
                Ok(T::default())
            }
            _ => Err(Failure::Engine(error).into()),
        },
        Err(failure) => Err(failure.into()),
    }
}

/// SQLite's own checks. Whether the file can be read at all.
fn engine(conn: &Connection, report: &mut VerifyReport) -> Result<bool, Failure> {
    let mut statement = conn.prepare(&format!("PRAGMA integrity_check({MAX_LINES})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            report.add(FaultKind::File, "integrity_check", line);
        }
    }
    Ok(true)
}

/// The schema's version and hash. Whether there are tables that can be checked further.
fn layout(conn: &Connection, shared: bool, report: &mut VerifyReport) -> Result<Option<bool>, Failure> {
    match schema::inspect(conn, shared) {
        Ok(0) => report.add(FaultKind::Schema, "pp_meta", "the file has no tables of PerfectPay"),
        Ok(_) => return Ok(Some(true)),
        Err(Failure::Answer(Error::Unavailable { reason: Unavailability::NewerSchema, .. })) => {
            report.add(FaultKind::Schema, "pp_meta", "it is of a newer version");
        }
        Err(Failure::Answer(Error::Corrupt { what, .. })) => {
            report.add(FaultKind::Schema, "pp_meta", what);
            // What can be checked of it still is.
            return Ok(Some(true));
        }
        Err(Failure::Answer(Error::Invalid(fault))) => {
            report.add(FaultKind::Schema, "sqlite_schema", fault.message());
            return Ok(Some(true));
        }
        Err(failure) => return Err(failure),
    }
    Ok(Some(false))
}

/// How a report names an object.
fn name(kind: EntityKind, tenant: Incarnation, id: &str) -> String {
    match kind {
        EntityKind::Organization | EntityKind::Merchant => format!("{kind} {tenant}"),
        _ => format!("{kind} {tenant}/{id}"),
    }
}

/// Every row of a kind: read, compared with its columns, its parent and the log.
fn records(conn: &Connection, kept: &Kept, history: &mut History, report: &mut VerifyReport) -> Result<(), Failure> {
    let Kept { kind, table, tenant, columns: own, parent, body } = kept;
    let mut sql = format!("SELECT {tenant}, id, version, created_at, modified_at");
    for column in body.iter().chain(*own) {
        sql.push_str(", ");
        sql.push_str(column);
    }
    sql.push_str(", ");
    sql.push_str(parent);
    sql.push_str(" FROM ");
    sql.push_str(table);
    sql.push_str(" AS r");
    let first = body.len().saturating_add(5);
    let last = first.saturating_add(own.len());
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut orphans: u64 = 0;
    while let Some(row) = rows.next()? {
        report.records = report.records.saturating_add(1);
        let (of, id) = (row.get(0).ok().map(Incarnation::from_bytes), lossy(row.get_ref(1)?));
        let Some(of) = of else {
            report.add(FaultKind::Record, format!("{kind} ?/{id}"), "its tenant is not an incarnation");
            continue;
        };
        let named = name(*kind, of, &id);
        if !row.get::<_, bool>(last)? {
            orphans = orphans.saturating_add(1);
            report.add(FaultKind::Parent, &*named, "its parent is not there");
        }
        match decode(*kind, row) {
            Ok(record) => agree(&record, row, (own, first), &named, report)?,
            Err(failure) => report.add(FaultKind::Record, &*named, format!("cannot be read: {}", Error::from(failure))),
        }
        history.lives(*kind, of, &id, row.get(2).ok(), report);
    }
    let mut statement = conn.prepare(&format!("PRAGMA foreign_key_check({table})"))?;
    let mut rows = statement.query([])?;
    let mut violations: u64 = 0;
    while rows.next()?.is_some() {
        violations = violations.saturating_add(1);
    }
    if violations != orphans {
        report.add(FaultKind::Parent, *table, "SQLite's foreign key check found other rows than these");
    }
    Ok(())
}

/// Whether the columns of the kind say what the record says.
fn agree(
    record: &Record,
    row: &Row<'_>,
    (own, first): (&[&str], usize),
    named: &str,
    report: &mut VerifyReport,
) -> Result<(), Failure> {
    for (index, (column, said)) in own.iter().zip(columns(record)?).enumerate() {
        if row.get::<_, Value>(index.saturating_add(first))? != said {
            report.add(FaultKind::Record, named, format!("column {column} does not say what the body says"));
        }
    }
    Ok(())
}

fn lossy(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    }
}

/// The kept counts against the rows.
fn counts(conn: &Connection, report: &mut VerifyReport) -> Result<(), Failure> {
    let mut statement = conn.prepare(
        "SELECT merchant, kind, sum(kept), sum(found), max(there) FROM (
             SELECT merchant, kind, count AS kept, 0 AS found,
                    EXISTS (SELECT 1 FROM pp_merchant AS p WHERE p.incarnation = c.merchant) AS there
             FROM pp_block_count AS c
             UNION ALL SELECT merchant, kind, 0, count(*), 1 FROM pp_block_rule GROUP BY merchant, kind)
         GROUP BY merchant, kind",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let of = row.get(0).ok().map_or_else(|| "?".into(), |of| Incarnation::from_bytes(of).to_string());
        let kind = row.get(1).ok().and_then(|number| kind_of(number).ok());
        let id = kind.map_or_else(|| format!("{of}/?"), |kind| format!("{of}/{kind}"));
        let (kept, found): (i64, i64) = (row.get(2)?, row.get(3)?);
        if kept != found {
            report.add(FaultKind::Count, &*id, format!("{kept} are counted, {found} are there"));
        }
        if !row.get::<_, bool>(4)? {
            report.add(FaultKind::Count, id, "its merchant account is not there");
        }
    }
    Ok(())
}

/// What is kept under idempotency keys.
fn claims(conn: &Connection, report: &mut VerifyReport) -> Result<(), Failure> {
    let mut statement =
        conn.prepare("SELECT tenant, key, octet_length(request), answer, expires_at FROM pp_idempotency")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let of = row.get(0).ok().map_or_else(|| "?".into(), |of| Incarnation::from_bytes(of).to_string());
        let key = lossy(row.get_ref(1)?);
        let id = format!("{of}/{key}");
        if key.parse::<IdempotencyKey>().is_err() {
            report.add(FaultKind::Idempotency, &*id, "the key is none");
        }
        if row.get::<_, Option<i64>>(2)? != Some(32) {
            report.add(FaultKind::Idempotency, &*id, "the request's digest is none");
        }
        if serde_json::from_str::<Sealed>(&lossy(row.get_ref(3)?)).is_err() {
            report.add(FaultKind::Idempotency, &*id, "the answer is not a sealed one");
        }
        if row.get(4).ok().is_none_or(|at| timestamp(at).is_err()) {
            report.add(FaultKind::Idempotency, id, "its expiry is not a time");
        }
    }
    Ok(())
}

/// Stages belong to tenants that live, and their rows to them.
fn stages(conn: &Connection, report: &mut VerifyReport) -> Result<(), Failure> {
    let mut statement = conn.prepare(
        "SELECT lower(hex(id)) FROM pp_stage
         WHERE tenant NOT IN (SELECT incarnation FROM pp_merchant UNION ALL SELECT incarnation FROM pp_organization)",
    )?;
    let mut orphans = statement.query([])?;
    while let Some(row) = orphans.next()? {
        report.add(FaultKind::Parent, format!("stage {}", lossy(row.get_ref(0)?)), "its tenant is not there");
    }
    let mut statement = conn.prepare(
        "SELECT lower(hex(r.stage)), r.part, r.place, r.id, s.id IS NOT NULL, r.part BETWEEN 1 AND s.parts
         FROM pp_staged_rule AS r LEFT JOIN pp_stage AS s ON s.id = r.stage",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (part, place): (i64, i64) = (row.get(1)?, row.get(2)?);
        let named = format!("stage {}/{part}/{place}", lossy(row.get_ref(0)?));
        if !row.get::<_, bool>(4)? {
            report.add(FaultKind::Parent, &*named, "its stage is not there");
        } else if !row.get::<_, bool>(5)? {
            report.add(FaultKind::Record, &*named, "its stage has no such part");
        }
        if lossy(row.get_ref(3)?).parse::<BlockRuleId>().is_err() {
            report.add(FaultKind::Record, named, "its name is none of an entry");
        }
    }
    Ok(())
}

/// What the log says of an object.
#[derive(Debug, Clone, Copy)]
struct Said {
    /// The entry that spoke of it last.
    position: i64,
    /// The version it has; `None` if the entries leave it open, because one of them is gone or speaks of several objects
    /// of one name.
    version: Option<u64>,
    /// Whether its row was found.
    found: bool,
}

/// What the log says of a merchant account's objects, or of an organization.
#[derive(Debug, Default)]
struct Tenant {
    said: HashMap<(EntityKind, Box<str>), Said>,
    organization: Option<Incarnation>,
    /// When a profile, a routing program, a payment and a link last went, and perhaps took along what was below them.
    profile_went: i64,
    program_went: i64,
    payment_went: i64,
    link_went: i64,
    /// When an entry that spoke of the tenant itself could not be read.
    unclear: i64,
    /// The entries of its blocklist.
    rules: Rules,
}

/// The state that the log leads to.
#[derive(Debug, Default)]
struct History {
    tenants: HashMap<Incarnation, Tenant>,
    /// When an organization last went whose merchant accounts the log does not all name, or may have gone.
    organization_went: i64,
    /// Up to where the log was pruned, or 0: then what it does not speak of may live, at any version, unless an entry
    /// that is kept removed it.
    pruned: i64,
    /// Tenants whose entries begin after their creation, because the store that they were copied from was pruned: of
    /// these, too.
    cut: HashSet<Incarnation>,
    gone: HashSet<(Incarnation, EntityKind, Box<str>)>,
    gone_tenants: HashSet<Incarnation>,
}

/// An object as the index of the log names it: tenant, kind and id.
type Indexed = (Incarnation, EntityKind, String);

impl History {
    /// Up to where the log was pruned.
    fn read_pruning(&mut self, conn: &Connection, report: &mut VerifyReport) -> Result<(), Failure> {
        let mut statement = conn.prepare("SELECT id, through, configuration, at, actor FROM pp_log_pruning")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, through, configuration): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if id != 1 || through < 1 || !(0..=through).contains(&configuration) {
                report.add(FaultKind::Log, "pp_log_pruning", "it says what no pruning leaves");
            }
            if timestamp(row.get(3)?).is_err() || lossy(row.get_ref(4)?).parse::<perfectpay::store::Actor>().is_err() {
                report.add(FaultKind::Log, "pp_log_pruning", "its time or its actor cannot be read");
            }
            self.pruned = self.pruned.max(through);
        }
        Ok(())
    }

    /// Whose part of the log begins later than they did: organizations, and the merchant accounts that live below them.
    fn read_cut(&mut self, conn: &Connection, report: &mut VerifyReport) -> Result<(), Failure> {
        let mut statement = conn.prepare(
            "SELECT organization FROM pp_log_cut UNION ALL
             SELECT incarnation FROM pp_merchant WHERE organization IN (SELECT organization FROM pp_log_cut)",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            match row.get(0) {
                Ok(tenant) => drop(self.cut.insert(Incarnation::from_bytes(tenant))),
                Err(_) => report.add(FaultKind::Log, "pp_log_cut", "it names what is no organization"),
            }
        }
        Ok(())
    }

    /// Whether the log may not have all of a tenant's history from its creation on.
    fn begins_late(&self, of: Incarnation) -> bool {
        self.pruned > 0 || self.cut.contains(&of)
    }

    /// Follows the log from its beginning.
    fn read(&mut self, conn: &Connection, report: &mut VerifyReport) -> Result<(), Failure> {
        self.read_pruning(conn, report)?;
        self.read_cut(conn, report)?;
        let mut index = conn.prepare("SELECT position, tenant, kind, id FROM pp_log_entity ORDER BY position")?;
        let mut index = index.query([])?;
        let mut ahead = indexed(index.next()?)?;
        let mut log = conn.prepare(
            "SELECT position, at, actor, class, organization, merchant, changes FROM pp_log ORDER BY position",
        )?;
        let mut log = log.query([])?;
        let (mut newest, mut time) = (0, i64::MIN);
        loop {
            let row = log.next()?;
            let position = row.map(|row| row.get::<_, i64>(0)).transpose()?;
            // What the index says of entries in front of this one, which are not there.
            while let Some((gone, entity)) = &ahead
                && position.is_none_or(|position| *gone < position)
            {
                report.add(FaultKind::Log, gone.to_string(), "the index names an entry that is not there");
                newest = newest.max(*gone);
                if let Some(entity) = entity {
                    self.unclear(*gone, entity);
                }
                ahead = indexed(index.next()?)?;
            }
            let (Some(row), Some(position)) = (row, position) else { break };
            let mut named = Vec::new();
            while let Some((at, entity)) = &ahead
                && *at == position
            {
                match entity {
                    Some(entity) => named.push(entity.clone()),
                    None => {
                        report.add(FaultKind::Log, position.to_string(), "the index has a line that cannot be read");
                    }
                }
                ahead = indexed(index.next()?)?;
            }
            report.entries = report.entries.saturating_add(1);
            newest = newest.max(position);
            if position <= self.pruned {
                report.add(FaultKind::Log, position.to_string(), "it was pruned, and is there");
            }
            let at: i64 = row.get(1)?;
            if at < time {
                report.add(FaultKind::Log, position.to_string(), "its time is before that of the entry in front");
            }
            time = time.max(at);
            let text = |column| row.get_ref(column).map(lossy);
            if timestamp(at).is_err()
                || text(2)?.parse::<perfectpay::store::Actor>().is_err()
                || text(3)?.parse::<perfectpay::store::CommitClass>().is_err()
            {
                report.add(FaultKind::Log, position.to_string(), "its time, its actor or its class cannot be read");
            }
            let Ok(changes) = serde_json::from_str::<Vec<LogChange>>(&text(6)?) else {
                report.add(FaultKind::Log, position.to_string(), "its changes cannot be read");
                for entity in &named {
                    self.unclear(position, entity);
                }
                continue;
            };
            let organization = row.get(4).ok().map(Incarnation::from_bytes);
            self.entry(position, organization, &changes, named, report);
        }
        let sequence = "SELECT seq FROM sqlite_sequence WHERE name = 'pp_log'";
        let last: i64 = conn.query_row(sequence, [], |row| row.get(0)).optional()?.unwrap_or(0);
        if last > newest {
            report.add(FaultKind::Log, last.to_string(), "the newest entry is not there");
        }
        Ok(())
    }

    /// One entry: each change is of the object that the index names beside it.
    fn entry(
        &mut self,
        position: i64,
        organization: Option<Incarnation>,
        changes: &[LogChange],
        named: Vec<Indexed>,
        report: &mut VerifyReport,
    ) {
        let mut objects: BTreeMap<(EntityKind, String), Vec<Incarnation>> = BTreeMap::new();
        for (tenant, kind, id) in named {
            objects.entry((kind, id)).or_default().push(tenant);
        }
        let key = |change: &LogChange| match change.kind {
            EntityKind::Organization | EntityKind::Merchant => (change.kind, String::new()),
            _ => (change.kind, change.id.clone()),
        };
        let mut of: BTreeMap<(EntityKind, String), Vec<&LogChange>> = BTreeMap::new();
        for change in changes {
            of.entry(key(change)).or_default().push(change);
        }
        if of.keys().ne(objects.keys()) {
            report.add(FaultKind::Log, position.to_string(), "its changes and the index name different objects");
        }
        for ((kind, id), tenants) in &objects {
            let changes = of.get(&(*kind, id.clone())).map_or(&[][..], Vec::as_slice);
            let alike = changes.windows(2).all(|two| match two {
                [one, other] => one.verb == other.verb && one.version == other.version,
                _ => true,
            });
            if !alike && tenants.len() > 1 || changes.len() < tenants.len() {
                // Several objects of one name, and no telling which change is whose.
                for tenant in tenants {
                    self.unclear(position, &(*tenant, *kind, id.clone()));
                }
            }
        }
        for change in changes {
            let (kind, id) = key(change);
            let Some(tenants) = objects.get(&(kind, id.clone())) else { continue };
            let all = of.get(&(kind, id.clone())).map_or(0, Vec::len);
            match tenants.as_slice() {
                [tenant] => self.change(position, organization, *tenant, &id, change, report),
                many if many.len() == all && !self.is_unclear(position, many, kind, &id) => {
                    for tenant in many {
                        self.change(position, organization, *tenant, &id, change, report);
                    }
                    // They are alike, and all of them are done.
                    objects.remove(&(kind, id));
                }
                _ => {}
            }
        }
    }

    fn is_unclear(&self, position: i64, tenants: &[Incarnation], kind: EntityKind, id: &str) -> bool {
        tenants.iter().any(|tenant| {
            let said = self.tenants.get(tenant).and_then(|t| t.said.get(&(kind, id.into())));
            said.is_some_and(|said| said.position == position && said.version.is_none())
        })
    }

    fn change(
        &mut self,
        position: i64,
        organization: Option<Incarnation>,
        of: Incarnation,
        id: &str,
        change: &LogChange,
        report: &mut VerifyReport,
    ) {
        if change.verb == Verb::Used {
            // It is of many keys, names none, and leaves all at their versions.
            return;
        }
        if organization.is_some_and(|organization| self.cut.contains(&organization)) {
            // An account that does not live any more.
            self.cut.insert(of);
        }
        let untold = self.may_be_untold(of, change.kind, id);
        let begins_late = self.begins_late(of);
        let tenant = self.tenants.entry(of).or_default();
        if change.kind == EntityKind::BlockRule {
            tenant.rules.log(change);
            if tenant.rules.together && id == "*" {
                return;
            }
        }
        let key = (change.kind, Box::from(id));
        let before = tenant.said.get(&key).copied();
        let follows = match (change.verb, before.map(|said| said.version)) {
            // An object that went along with another one may have been created again.
            (_, Some(None)) | (Verb::Created, None) | (Verb::Used, _) => true,
            (Verb::Created, Some(_)) => tenant.gone_since(change.kind, before.map_or(0, |said| said.position)),
            (Verb::Updated | Verb::Revoked, Some(Some(version))) => change.version == version.saturating_add(1),
            (Verb::Removed | Verb::Revealed, Some(Some(version))) => change.version == version,
            (Verb::Updated | Verb::Revoked | Verb::Removed | Verb::Revealed, None) => untold,
        };
        let unnamed = tenant.rules.together && change.kind == EntityKind::BlockRule;
        if !follows && !unnamed {
            let what = format!("{} does not follow from the entries before", name(change.kind, of, id));
            report.add(FaultKind::Log, position.to_string(), what);
        }
        if change.verb == Verb::Removed {
            self.removed(position, of, &key);
            return;
        }
        if change.kind == EntityKind::Merchant {
            tenant.organization = organization;
        }
        if begins_late {
            self.gone.remove(&(of, change.kind, Box::from(id)));
        }
        tenant.said.insert(key, Said { position, version: Some(change.version), found: false });
    }

    /// Whether an object that no kept entry spoke of may live all the same.
    fn may_be_untold(&self, of: Incarnation, kind: EntityKind, id: &str) -> bool {
        self.begins_late(of) && !self.gone_tenants.contains(&of) && !self.gone.contains(&(of, kind, id.into()))
    }

    fn removed(&mut self, position: i64, of: Incarnation, key: &(EntityKind, Box<str>)) {
        if self.begins_late(of) {
            self.gone.insert((of, key.0, key.1.clone()));
        }
        match key.0 {
            EntityKind::Merchant => {
                self.tenants.remove(&of);
                self.gone_tenants.insert(of);
            }
            EntityKind::Organization => {
                self.tenants.remove(&of);
                self.gone_tenants.insert(of);
                let below = self.tenants.iter().filter(|(_, tenant)| tenant.organization == Some(of));
                self.gone_tenants.extend(below.map(|(below, _)| *below));
                self.tenants.retain(|_, tenant| tenant.organization != Some(of));
                self.organization_went = position;
            }
            kind => {
                let tenant = self.tenants.entry(of).or_default();
                tenant.said.remove(key);
                match kind {
                    EntityKind::Profile => tenant.profile_went = position,
                    EntityKind::RoutingProgram => tenant.program_went = position,
                    EntityKind::Payment => tenant.payment_went = position,
                    EntityKind::PaymentLink => tenant.link_went = position,
                    _ => {}
                }
            }
        }
    }

    /// An entry spoke of the object, and nobody knows what.
    fn unclear(&mut self, position: i64, (of, kind, id): &Indexed) {
        let tenant = self.tenants.entry(*of).or_default();
        tenant.said.insert((*kind, id.as_str().into()), Said { position, version: None, found: false });
        match kind {
            EntityKind::Organization => self.organization_went = position,
            EntityKind::Merchant => tenant.unclear = position,
            EntityKind::Profile => tenant.profile_went = position,
            EntityKind::RoutingProgram => tenant.program_went = position,
            EntityKind::Payment => tenant.payment_went = position,
            EntityKind::PaymentLink => tenant.link_went = position,
            _ => {}
        }
    }

    /// A row: whether the log says that the object lives, at this version.
    fn lives(&mut self, kind: EntityKind, of: Incarnation, id: &str, version: Option<i64>, report: &mut VerifyReport) {
        let entity = perfectpay::store::EntityRef { kind, tenant: of, id: id.into() };
        let key = (kind, Box::from(indexed_id(&entity)));
        let untold = self.may_be_untold(of, kind, &key.1);
        if kind == EntityKind::BlockRule
            && let Some(tenant) = self.tenants.get_mut(&of)
        {
            tenant.rules.found = tenant.rules.found.saturating_add(1);
            if tenant.rules.together && !tenant.said.contains_key(&key) {
                return;
            }
        }
        let Some(said) = self.tenants.get_mut(&of).and_then(|tenant| tenant.said.get_mut(&key)) else {
            if untold {
                return;
            }
            report.add(FaultKind::History, name(kind, of, id), "it is there, and the log says that it is not");
            return;
        };
        said.found = true;
        let version = version.and_then(|version| unsigned(version).ok());
        if let Some(expected) = said.version
            && version != Some(expected)
        {
            let found = version.map_or_else(|| "none".into(), |version| version.to_string());
            let what = format!("its version is {found}, and the log says {expected}");
            report.add(FaultKind::History, name(kind, of, id), what);
        }
    }

    /// After the last row: what the log says that lives, and that was not found.
    fn close(&self, report: &mut VerifyReport) {
        for (of, tenant) in &self.tenants {
            let Rules { together, said, found } = tenant.rules;
            let told = tenant.profile_went == 0 && tenant.unclear == 0 && !self.begins_late(*of);
            if together && told && said != found {
                let what = format!("{found} entries are there, and the log says {said}");
                report.add(FaultKind::History, name(EntityKind::BlockRule, *of, "*"), what);
            }
            for ((kind, id), said) in &tenant.said {
                let excused = said.found
                    // What was purged is counted, and not named.
                    || (*kind == EntityKind::BlockRule && together)
                    || said.version.is_none()
                    || tenant.gone_since(*kind, said.position)
                    // The account is gone, too, and the log does not say of which organization it was.
                    || (*kind != EntityKind::Organization
                        && tenant.organization.is_none()
                        && self.organization_went >= said.position);
                if !excused {
                    let what = "it is not there, and the log says that it is";
                    report.add(FaultKind::History, name(*kind, *of, id), what);
                }
            }
        }
    }
}

/// The entries of a tenant's blocklist, by number: lines that count many do not name them.
#[derive(Debug, Clone, Copy, Default)]
struct Rules {
    /// Whether there was such a line.
    together: bool,
    said: i128,
    found: i128,
}

impl Rules {
    fn log(&mut self, change: &LogChange) {
        self.together |= change.id == "*";
        match change.verb {
            Verb::Created => self.said = self.said.saturating_add(change.count.into()),
            Verb::Removed => self.said = self.said.saturating_sub(change.count.into()),
            Verb::Updated | Verb::Revoked | Verb::Revealed | Verb::Used => {}
        }
    }
}

impl Tenant {
    /// Whether an object of this kind, of which an entry spoke last, may have gone along with another one since.
    fn gone_since(&self, kind: EntityKind, position: i64) -> bool {
        self.unclear >= position && self.unclear > 0
            || match kind {
                EntityKind::Connector | EntityKind::RoutingProgram | EntityKind::Payment | EntityKind::BlockRule => {
                    self.profile_went >= position
                }
                EntityKind::RoutingVersion => self.profile_went.max(self.program_went) >= position,
                EntityKind::PaymentLink | EntityKind::Event | EntityKind::PaymentDecision => {
                    self.profile_went.max(self.payment_went) >= position
                }
                EntityKind::LinkUse => self.profile_went.max(self.payment_went).max(self.link_went) >= position,
                _ => false,
            }
    }
}

/// A line of the log's index: the position, and the object if it can be read.
fn indexed(row: Option<&Row<'_>>) -> Result<Option<(i64, Option<Indexed>)>, Failure> {
    let Some(row) = row else { return Ok(None) };
    let of = row.get(1).ok().map(Incarnation::from_bytes);
    let kind = lossy(row.get_ref(2)?).parse::<EntityKind>().ok();
    let entity = of.zip(kind).map(|(of, kind)| Ok::<_, Failure>((of, kind, lossy(row.get_ref(3)?)))).transpose()?;
    Ok(Some((row.get(0)?, entity)))
}
