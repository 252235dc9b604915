//! Reads.

use perfectpay::store::{
    Collection, EntityRef, Head, IdempotencyClaim, IdempotencyKey, Key, Listing, LogChange, LogEntry, LogPosition,
    LogPruning, LogQuery, LogScope, Logged, MAX_LOG_LIMIT, MerchantPath, Order, OrganizationPath, Query, Record,
};
use perfectpay::{EntityKind, Error, Incarnation};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use crate::error::Failure;
use crate::rows::{Table, changes, decode, indexed_id, timestamp, unsigned};

/// What is bound to a statement: borrowed from the path that was asked for.
type Bound<'a> = ToSqlOutput<'a>;

fn text(text: &str) -> Bound<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
}

fn blob(bytes: &[u8]) -> Bound<'_> {
    ToSqlOutput::Borrowed(ValueRef::Blob(bytes))
}

/// One statement for each way in which a merchant account is found. The path is resolved inside the statement, so that
/// it and what lies at its end are read at one moment.
struct ByPath {
    id: &'static str,
    within: &'static str,
    pinned: &'static str,
}

impl ByPath {
    /// The statement for the path, and what is bound to it in front of `rest`.
    fn resolve<'a>(
        &self,
        path: &'a MerchantPath,
        rest: impl IntoIterator<Item = Bound<'a>>,
    ) -> (&'static str, Vec<Bound<'a>>) {
        let (sql, mut bound) = match path {
            MerchantPath::Id(id) => (self.id, vec![text(id.as_str())]),
            MerchantPath::Within(organization, id) => {
                (self.within, vec![text(id.as_str()), text(organization.as_str())])
            }
            MerchantPath::Pinned(incarnation) => (self.pinned, vec![blob(incarnation.as_bytes())]),
        };
        bound.extend(rest);
        (sql, bound)
    }
}

/// A record of a merchant account, found by what `$after` says. Subqueries, because a join in their place would be
/// planned anew for every new value that is bound to it (measured: 8 microseconds against 1).
macro_rules! by_path {
    ($table:literal, $after:literal) => {
        ByPath {
            id: concat!(
                child_columns!(),
                $table,
                " WHERE merchant = (SELECT incarnation FROM pp_merchant WHERE id = ?)",
                $after
            ),
            within: concat!(
                child_columns!(),
                $table,
                " WHERE merchant = (SELECT incarnation FROM pp_merchant WHERE id = ? AND organization =",
                " (SELECT incarnation FROM pp_organization WHERE id = ?))",
                $after
            ),
            pinned: concat!(child_columns!(), $table, " WHERE merchant = ?", $after),
        }
    };
}

macro_rules! child_columns {
    () => {
        "SELECT merchant, id, version, created_at, modified_at, body FROM "
    };
}

macro_rules! key_columns {
    () => {
        "SELECT tenant, id, version, created_at, modified_at, body FROM "
    };
}

macro_rules! tenant_columns {
    () => {
        "SELECT incarnation, id, version, created_at, modified_at, body FROM "
    };
}

static MERCHANT: ByPath = ByPath {
    id: concat!(tenant_columns!(), "pp_merchant WHERE id = ?"),
    within: concat!(
        tenant_columns!(),
        "pp_merchant WHERE id = ? AND organization = (SELECT incarnation FROM pp_organization WHERE id = ?)"
    ),
    pinned: concat!(tenant_columns!(), "pp_merchant WHERE incarnation = ?"),
};
static PROFILE: ByPath = by_path!("pp_profile", " AND id = ?");
static PROFILE_BY_NAME: ByPath = by_path!("pp_profile", " AND name = ?");
static DEFAULT_PROFILE: ByPath = by_path!("pp_profile", " AND is_default = 1");
static CONNECTOR: ByPath = by_path!("pp_connector", " AND id = ?");
static API_KEY: ByPath = by_path!("pp_api_key", " AND id = ?");
static BLOCK_RULE: ByPath = by_path!("pp_block_rule", " AND id = ?");
static PAYMENT: ByPath = by_path!("pp_payment", " AND id = ?");
static PAYMENT_LINK: ByPath = by_path!("pp_payment_link", " AND id = ?");

/// One record.
pub(crate) fn get(conn: &Connection, key: &Key) -> Result<Option<Record>, Failure> {
    let rule;
    let (kind, (sql, bound)) = match key {
        Key::Organization(path) => (EntityKind::Organization, organization_by(path)),
        Key::Merchant(path) => (EntityKind::Merchant, MERCHANT.resolve(path, [])),
        Key::MerchantByPublishableKey(key) => {
            let sql = concat!(tenant_columns!(), "pp_merchant WHERE publishable_key = ?");
            (EntityKind::Merchant, (sql, vec![text(key.as_str())]))
        }
        Key::DataKey(tenant, id) => {
            let sql = concat!(key_columns!(), "pp_data_key WHERE tenant = ? AND id = ?");
            (EntityKind::DataKey, (sql, vec![blob(tenant.as_bytes()), text(id.as_str())]))
        }
        Key::Profile(path, id) => (EntityKind::Profile, PROFILE.resolve(path, [text(id.as_str())])),
        Key::ProfileByName(path, name) => (EntityKind::Profile, PROFILE_BY_NAME.resolve(path, [text(name.as_str())])),
        Key::DefaultProfile(path) => (EntityKind::Profile, DEFAULT_PROFILE.resolve(path, [])),
        Key::Connector(path, id) => (EntityKind::Connector, CONNECTOR.resolve(path, [text(id.as_str())])),
        Key::ApiKey(path, id) => (EntityKind::ApiKey, API_KEY.resolve(path, [text(id.as_str())])),
        Key::ApiKeyByDigest(digest) => {
            let sql = concat!(child_columns!(), "pp_api_key WHERE digest = ?");
            (EntityKind::ApiKey, (sql, vec![blob(digest)]))
        }
        Key::BlockRule(path, id) => {
            rule = id.to_string();
            (EntityKind::BlockRule, BLOCK_RULE.resolve(path, [text(&rule)]))
        }
        Key::Payment(path, id) => (EntityKind::Payment, PAYMENT.resolve(path, [text(id.as_str())])),
        Key::PaymentLink(path, id) => (EntityKind::PaymentLink, PAYMENT_LINK.resolve(path, [text(id.as_str())])),
    };
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(bound))?;
    rows.next()?.map(|row| decode(kind, row)).transpose()
}

fn organization_by(path: &OrganizationPath) -> (&'static str, Vec<Bound<'_>>) {
    match path {
        OrganizationPath::Id(id) => {
            (concat!(tenant_columns!(), "pp_organization WHERE id = ?"), vec![text(id.as_str())])
        }
        OrganizationPath::Pinned(incarnation) => {
            (concat!(tenant_columns!(), "pp_organization WHERE incarnation = ?"), vec![blob(incarnation.as_bytes())])
        }
    }
}

/// One page of a collection, all of it from one moment.
pub(crate) fn list(conn: &Connection, query: &Query) -> Result<Option<Listing>, Failure> {
    let moment = conn.unchecked_transaction()?;
    let tenant = match query {
        Query::Organizations(_) | Query::DataKeys(..) => Some(Incarnation::PLATFORM),
        Query::Merchants(path, _) => incarnation(&moment, organization_by(path))?,
        Query::Within(path, ..) => incarnation(&moment, MERCHANT.resolve(path, []))?,
    };
    let Some(tenant) = tenant else { return Ok(None) };
    let listing = Listing { records: page(&moment, tenant, query)?, total: total(&moment, tenant, query)? };
    moment.commit()?;
    Ok(Some(listing))
}

/// The tenant that a path leads to.
fn incarnation(conn: &Connection, path: (&'static str, Vec<Bound<'_>>)) -> Result<Option<Incarnation>, Failure> {
    let (sql, bound) = path;
    let mut statement = conn.prepare_cached(sql)?;
    let found = statement.query_row(params_from_iter(bound), |row| row.get(0)).optional()?;
    Ok(found.map(Incarnation::from_bytes))
}

/// A page in ascending order, of rows for which `$of` holds.
macro_rules! ascending {
    ($columns:ident, $of:literal) => {
        concat!($columns!(), $of, " (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?")
    };
}

/// A page in descending order, of rows for which `$of` holds.
macro_rules! descending {
    ($columns:ident, $of:literal) => {
        concat!($columns!(), $of, " (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT ?")
    };
}

/// The records of a page, and one more where there is a next page.
fn page(conn: &Connection, tenant: Incarnation, query: &Query) -> Result<Vec<Record>, Failure> {
    let collection = query.collection();
    let of = blob(tenant.as_bytes());
    let (kind, sql, mut bound) = match (query, &collection) {
        (Query::Organizations(_), _) => {
            (EntityKind::Organization, ascending!(tenant_columns, "pp_organization WHERE"), vec![])
        }
        (Query::Merchants(..), _) => {
            (EntityKind::Merchant, ascending!(tenant_columns, "pp_merchant WHERE organization = ? AND"), vec![of])
        }
        (Query::DataKeys(wrapped_by, _), _) => (
            EntityKind::DataKey,
            ascending!(key_columns, "pp_data_key WHERE wrapped_by = ? AND"),
            vec![text(wrapped_by.as_str())],
        ),
        // A merchant account has none of them.
        (Query::Within(..), Collection::Organizations | Collection::Merchants | Collection::DataKeys { .. }) => {
            return Ok(Vec::new());
        }
        (Query::Within(..), Collection::Profiles) => {
            (EntityKind::Profile, ascending!(child_columns, "pp_profile WHERE merchant = ? AND"), vec![of])
        }
        (Query::Within(..), Collection::Connectors { profile: None }) => {
            (EntityKind::Connector, ascending!(child_columns, "pp_connector WHERE merchant = ? AND"), vec![of])
        }
        (Query::Within(..), Collection::Connectors { profile: Some(profile) }) => (
            EntityKind::Connector,
            ascending!(child_columns, "pp_connector WHERE merchant = ? AND profile = ? AND"),
            vec![of, text(profile.as_str())],
        ),
        (Query::Within(..), Collection::ApiKeys) => {
            (EntityKind::ApiKey, ascending!(child_columns, "pp_api_key WHERE merchant = ? AND"), vec![of])
        }
        (Query::Within(..), Collection::BlockRules { kind: None }) => {
            (EntityKind::BlockRule, descending!(child_columns, "pp_block_rule WHERE merchant = ? AND"), vec![of])
        }
        (Query::Within(..), Collection::BlockRules { kind: Some(kind) }) => (
            EntityKind::BlockRule,
            descending!(child_columns, "pp_block_rule WHERE merchant = ? AND kind = ? AND"),
            vec![of, text((*kind).into())],
        ),
        (Query::Within(..), Collection::Payments) => {
            (EntityKind::Payment, descending!(child_columns, "pp_payment WHERE merchant = ? AND"), vec![of])
        }
        (Query::Within(..), Collection::PaymentLinks) => {
            (EntityKind::PaymentLink, descending!(child_columns, "pp_payment_link WHERE merchant = ? AND"), vec![of])
        }
    };
    let front = if collection.order() == Order::Ascending { i64::MIN } else { i64::MAX };
    let (moment, id) = query.page().cursor().map_or((front, ""), |c| (c.created_at.unix_millis(), c.id.as_str()));
    bound.extend([moment.into(), text(id), i64::from(query.page().limit()).saturating_add(1).into()]);
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(bound))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(decode(kind, row)?);
    }
    Ok(records)
}

/// How many there are in all, from the count that the commits keep.
fn total(conn: &Connection, tenant: Incarnation, query: &Query) -> Result<Option<u64>, Failure> {
    let Collection::BlockRules { kind } = query.collection() else { return Ok(None) };
    let total: i64 = match kind {
        None => conn
            .prepare_cached("SELECT coalesce(sum(count), 0) FROM pp_block_count WHERE merchant = ?")?
            .query_row([tenant.as_bytes()], |row| row.get(0))?,
        Some(kind) => conn
            .prepare_cached("SELECT coalesce(sum(count), 0) FROM pp_block_count WHERE merchant = ? AND kind = ?")?
            .query_row(params![tenant.as_bytes(), <&str>::from(kind)], |row| row.get(0))?,
    };
    Ok(Some(unsigned(total)?))
}

/// What is kept under an idempotency key.
pub(crate) fn claim(
    conn: &Connection,
    tenant: Incarnation,
    key: &IdempotencyKey,
) -> Result<Option<IdempotencyClaim>, Failure> {
    let mut statement =
        conn.prepare_cached("SELECT request, answer, expires_at FROM pp_idempotency WHERE tenant = ? AND key = ?")?;
    let mut rows = statement.query(params![tenant.as_bytes(), key.as_str()])?;
    rows.next()?.map(|row| claim_of(row, tenant, key.clone())).transpose()
}

/// What is kept under a key, in the columns request, answer and expires at.
pub(crate) fn claim_of(
    row: &rusqlite::Row<'_>,
    tenant: Incarnation,
    key: IdempotencyKey,
) -> Result<IdempotencyClaim, Failure> {
    let answer = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
    Ok(IdempotencyClaim {
        tenant,
        key,
        request: row.get(0)?,
        answer: serde_json::from_str(answer).map_err(|_| Error::corrupt("the answer of an idempotency key"))?,
        expires_at: timestamp(row.get(2)?)?,
    })
}

/// The columns of an entry, for [`whole_entry`].
macro_rules! logged_columns {
    () => {
        "SELECT position, at, actor, class, organization_id, merchant_id, changes, organization, merchant FROM pp_log "
    };
}
pub(crate) use logged_columns;

/// The object itself, whoever asks.
pub(crate) fn object(conn: &Connection, entity: &EntityRef) -> Result<Option<Record>, Failure> {
    let mut statement = conn.prepare_cached(Table::of(entity.kind).exact)?;
    let mut rows = statement.query(params![entity.tenant.as_bytes(), entity.id])?;
    rows.next()?.map(|row| decode(entity.kind, row)).transpose()
}

/// The newest entry of an organization.
pub(crate) fn newest(conn: &Connection, organization: Incarnation) -> Result<LogPosition, Failure> {
    let mut statement = conn.prepare_cached("SELECT coalesce(max(position), 0) FROM pp_log WHERE organization = ?")?;
    let position: i64 = statement.query_row([organization.as_bytes()], |row| row.get(0))?;
    Ok(LogPosition::from_u64(unsigned(position)?))
}

/// An entry of the log with what it is found by.
pub(crate) fn logged(conn: &Connection, position: LogPosition) -> Result<Option<Logged>, Failure> {
    let mut statement = conn.prepare_cached(concat!(logged_columns!(), "WHERE position = ?"))?;
    let mut rows = statement.query([i64::try_from(position.as_u64()).unwrap_or(i64::MAX)])?;
    rows.next()?.map(whole_entry).transpose()
}

/// The entry, with what it is found by, in the columns of [`logged_columns`].
pub(crate) fn whole_entry(row: &rusqlite::Row<'_>) -> Result<Logged, Failure> {
    let tenant =
        |column| -> Result<_, Failure> { Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Incarnation::from_bytes)) };
    let (organization, merchant) = (tenant(7)?, tenant(8)?);
    let column = row.get_ref(6)?.as_str().map_err(rusqlite::Error::from)?;
    let (changes, entities) = changes(column, organization, merchant)?;
    Ok(Logged { entry: entry_of(row, changes)?, organization, merchant, entities })
}

macro_rules! log {
    ($from:literal) => {
        concat!("SELECT l.position, at, actor, class, organization_id, merchant_id, changes FROM pp_log AS l ", $from)
    };
}

/// Entries of the log, if none of those that were asked for is gone at the moment of the read.
pub(crate) fn log(conn: &Connection, query: &LogQuery) -> Result<Vec<LogEntry>, Failure> {
    let moment = conn.unchecked_transaction()?;
    let mut statement = moment.prepare_cached("SELECT through FROM pp_log_pruning")?;
    let through: Option<i64> = statement.query_row([], |row| row.get(0)).optional()?;
    let through = LogPosition::from_u64(unsigned(through.unwrap_or(0))?);
    drop(statement);
    if query.after < through {
        return Err(Error::LogPruned { through }.into());
    }
    let entries = entries(&moment, query)?;
    moment.commit()?;
    Ok(entries)
}

fn entries(conn: &Connection, query: &LogQuery) -> Result<Vec<LogEntry>, Failure> {
    let after = i64::try_from(query.after.as_u64()).unwrap_or(i64::MAX);
    let limit = query.limit.min(MAX_LOG_LIMIT);
    let (sql, mut bound) = match &query.scope {
        LogScope::All => (log!("WHERE position > ? ORDER BY position LIMIT ?"), vec![]),
        LogScope::Configuration => {
            (log!("WHERE class = 'configuration' AND position > ? ORDER BY position LIMIT ?"), vec![])
        }
        LogScope::Organization(incarnation) => (
            log!("WHERE organization = ? AND position > ? ORDER BY position LIMIT ?"),
            vec![blob(incarnation.as_bytes())],
        ),
        LogScope::Merchant(incarnation) => {
            (log!("WHERE merchant = ? AND position > ? ORDER BY position LIMIT ?"), vec![blob(incarnation.as_bytes())])
        }
        LogScope::Entity(entity) => (
            log!(
                "JOIN pp_log_entity AS e ON e.position = l.position
                 WHERE e.tenant = ? AND e.kind = ? AND e.id = ? AND e.position > ? ORDER BY e.position LIMIT ?"
            ),
            vec![blob(entity.tenant.as_bytes()), text(entity.kind.into()), text(indexed_id(entity))],
        ),
    };
    bound.extend([after.into(), i64::from(limit).into()]);
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(bound))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row)?);
    }
    Ok(entries)
}

fn entry(row: &rusqlite::Row<'_>) -> Result<LogEntry, Failure> {
    let column = row.get_ref(6)?.as_str().map_err(rusqlite::Error::from)?;
    entry_of(row, serde_json::from_str(column).map_err(|_| Error::corrupt("an entry of the log"))?)
}

fn entry_of(row: &rusqlite::Row<'_>, changes: Vec<LogChange>) -> Result<LogEntry, Failure> {
    let text = |column| -> Result<_, Failure> { Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?) };
    Ok(LogEntry {
        position: LogPosition::from_u64(unsigned(row.get(0)?)?),
        at: timestamp(row.get(1)?)?,
        actor: text(2)?.parse().map_err(|_| Error::corrupt("the actor of an entry of the log"))?,
        class: text(3)?.parse().map_err(|_| Error::corrupt("the class of an entry of the log"))?,
        organization_id: row.get(4)?,
        merchant_id: row.get(5)?,
        changes,
    })
}

/// Where the log ends and begins, all of it read at one moment.
pub(crate) fn head(conn: &Connection) -> Result<Head, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT coalesce((SELECT max(position) FROM pp_log), 0),
                coalesce((SELECT max(position) FROM pp_log WHERE class = 'configuration'), p.configuration, 0),
                coalesce((SELECT at FROM pp_log ORDER BY position DESC LIMIT 1), 0),
                p.through, p.at, p.actor
         FROM (SELECT 1) LEFT JOIN pp_log_pruning AS p",
    )?;
    let mut rows = statement.query([])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let position = |column| -> Result<_, Failure> { Ok(LogPosition::from_u64(unsigned(row.get(column)?)?)) };
    let pruned = match row.get::<_, Option<i64>>(3)? {
        None => None,
        Some(_) => Some(LogPruning {
            through: position(3)?,
            at: timestamp(row.get(4)?)?,
            by: row.get::<_, String>(5)?.parse().map_err(|_| Error::corrupt("the actor who pruned the log"))?,
        }),
    };
    Ok(Head { position: position(0)?, configuration: position(1)?, at: timestamp(row.get(2)?)?, pruned })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn no_point_read_is_planned_anew_for_another_id() {
        let conn = crate::open::in_memory(&crate::SqliteOptions::new("")).unwrap();
        let of = |table: &'static ByPath| [(table.id, 1), (table.within, 2), (table.pinned, 1)];
        for table in [&PROFILE, &PROFILE_BY_NAME, &CONNECTOR, &API_KEY, &BLOCK_RULE, &PAYMENT, &PAYMENT_LINK] {
            for (sql, path) in of(table) {
                let mut statement = conn.prepare(sql).unwrap();
                for id in ["a", "b", "c"] {
                    let bound = vec![text(id); path + 1];
                    assert!(statement.query(params_from_iter(bound)).unwrap().next().unwrap().is_none());
                }
                assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
            }
        }
    }
}
