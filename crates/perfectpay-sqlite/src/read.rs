//! Reads.

use perfectpay::blocklist::BlockKind;
use perfectpay::store::{
    BlockCount, BlockPage, BlockRow, BlockRows, BlockScan, BlockSelect, BlocklistPath, Collection, EntityRef, Head,
    IdempotencyClaim, IdempotencyKey, Key, KeyFilter, Listing, LogChange, LogEntry, LogPosition, LogPruning, LogQuery,
    LogScope, Logged, MAX_COUNTED_LINKS, MAX_LOG_LIMIT, MAX_SCAN_LIMIT, MerchantPath, Order, OrganizationPath, Query,
    Record, RowScope, UseCount, Uses,
};
use perfectpay::{EntityKind, Error, Incarnation, PaymentLinkId, ProfileId, Timestamp};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use crate::error::Failure;
use crate::rows::{Table, action_of, changes, decode, indexed_id, kind_number, kind_of, timestamp, unsigned};

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
        by_path!(body_columns, $table, $after)
    };
    ($columns:ident, $table:literal, $after:literal) => {
        ByPath {
            id: concat!(
                "SELECT merchant, ",
                $columns!(),
                $table,
                " WHERE merchant = (SELECT incarnation FROM pp_merchant WHERE id = ?)",
                $after
            ),
            within: concat!(
                "SELECT merchant, ",
                $columns!(),
                $table,
                " WHERE merchant = (SELECT incarnation FROM pp_merchant WHERE id = ? AND organization =",
                " (SELECT incarnation FROM pp_organization WHERE id = ?))",
                $after
            ),
            pinned: concat!("SELECT merchant, ", $columns!(), $table, " WHERE merchant = ?", $after),
        }
    };
}

macro_rules! body_columns {
    () => {
        "id, version, created_at, modified_at, body FROM "
    };
}

macro_rules! rule_columns {
    () => {
        "id, version, created_at, modified_at, action, expires_at, reason, source, author, metadata FROM "
    };
}

macro_rules! rule_of_merchant {
    () => {
        concat!("SELECT merchant, ", rule_columns!())
    };
}

macro_rules! rule_of_organization {
    () => {
        concat!("SELECT organization, ", rule_columns!())
    };
}

macro_rules! used_columns {
    () => {
        "id, version, created_at, modified_at, body, used_at FROM "
    };
}

macro_rules! api_key_columns {
    () => {
        concat!("SELECT merchant, ", used_columns!())
    };
}

macro_rules! child_columns {
    () => {
        concat!("SELECT merchant, ", body_columns!())
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
static ROUTING_PROGRAM: ByPath = by_path!("pp_routing_program", " AND id = ?");
static ACTIVE_PROGRAM: ByPath = by_path!("pp_routing_program", " AND profile = ? AND active IS NOT NULL");
static ROUTING_VERSION: ByPath = by_path!("pp_routing_version", " AND id = ?");
static API_KEY: ByPath = by_path!(used_columns, "pp_api_key", " AND id = ?");
static BLOCK_RULE: ByPath = by_path!(rule_columns, "pp_block_rule", " AND id = ?");
static PAYMENT: ByPath = by_path!("pp_payment", " AND id = ?");
static PAYMENT_LINK: ByPath = by_path!("pp_payment_link", " AND id = ?");
static PAYMENT_DECISION: ByPath = by_path!("pp_payment_decision", " AND id = ?");
static EVENT: ByPath = by_path!("pp_event", " AND id = ?");
static EVENT_ONCE: ByPath = by_path!("pp_event", " AND once = ?");
static LINK_USE: ByPath = by_path!("pp_link_use", " AND id = ?");

/// One record.
pub(crate) fn get(conn: &Connection, key: &Key) -> Result<Option<Record>, Failure> {
    let (rule, version);
    let (kind, (sql, bound)) = match key {
        Key::Organization(path) => (EntityKind::Organization, organization_by(path)),
        Key::Merchant(path) => (EntityKind::Merchant, MERCHANT.resolve(path, [])),
        Key::MerchantByPublishableKey(key) => {
            let sql = concat!(
                tenant_columns!(),
                "pp_merchant WHERE incarnation = coalesce(
                     (SELECT incarnation FROM pp_merchant WHERE publishable_key = ?1),
                     (SELECT incarnation FROM pp_merchant WHERE former_key = ?1))"
            );
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
        Key::RoutingProgram(path, id) => {
            (EntityKind::RoutingProgram, ROUTING_PROGRAM.resolve(path, [text(id.as_str())]))
        }
        Key::ActiveProgram(path, profile) => {
            (EntityKind::RoutingProgram, ACTIVE_PROGRAM.resolve(path, [text(profile.as_str())]))
        }
        Key::RoutingVersion(path, id) => {
            version = id.to_string();
            (EntityKind::RoutingVersion, ROUTING_VERSION.resolve(path, [text(&version)]))
        }
        Key::ApiKey(path, id) => (EntityKind::ApiKey, API_KEY.resolve(path, [text(id.as_str())])),
        Key::ApiKeyByDigest(digest) => {
            let sql = concat!(api_key_columns!(), "pp_api_key WHERE digest = ?");
            (EntityKind::ApiKey, (sql, vec![blob(digest)]))
        }
        Key::BlockRule(BlocklistPath::Merchant(path), id) => {
            rule = id.to_string();
            (EntityKind::BlockRule, BLOCK_RULE.resolve(path, [text(&rule)]))
        }
        Key::BlockRule(BlocklistPath::Organization(path), id) => {
            rule = id.to_string();
            (EntityKind::BlockRule, organization_rule(path, &rule))
        }
        Key::Payment(path, id) => (EntityKind::Payment, PAYMENT.resolve(path, [text(id.as_str())])),
        Key::PaymentLink(path, id) => (EntityKind::PaymentLink, PAYMENT_LINK.resolve(path, [text(id.as_str())])),
        Key::Event(path, id) => (EntityKind::Event, EVENT.resolve(path, [text(id.as_str())])),
        Key::PaymentDecision(path, id) => {
            (EntityKind::PaymentDecision, PAYMENT_DECISION.resolve(path, [text(id.as_str())]))
        }
        Key::EventOnce(path, once) => (EntityKind::Event, EVENT_ONCE.resolve(path, [text(once)])),
        Key::LinkUse(path, id) => (EntityKind::LinkUse, LINK_USE.resolve(path, [text(id.as_str())])),
    };
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(bound))?;
    rows.next()?.map(|row| decode(kind, row)).transpose()
}

fn organization_rule<'a>(path: &'a OrganizationPath, rule: &'a str) -> (&'static str, Vec<Bound<'a>>) {
    macro_rules! found {
        ($organization:literal) => {
            concat!(
                "SELECT organization, ",
                rule_columns!(),
                "pp_organization_rule WHERE organization = ",
                $organization,
                " AND id = ?"
            )
        };
    }
    match path {
        OrganizationPath::Id(id) => {
            (found!("(SELECT incarnation FROM pp_organization WHERE id = ?)"), vec![text(id.as_str()), text(rule)])
        }
        OrganizationPath::Pinned(incarnation) => (found!("?"), vec![blob(incarnation.as_bytes()), text(rule)]),
    }
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
        Query::Organizations(_) | Query::DataKeys(..) | Query::ApiKeys(..) | Query::Outbox(_) => {
            Some(Incarnation::PLATFORM)
        }
        Query::Merchants(path, _) | Query::OrganizationBlockRules(path, ..) => {
            incarnation(&moment, organization_by(path))?
        }
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

/// A page of rows that have a moment, the one that comes to it first in front.
macro_rules! by_moment {
    ($moment:literal, $of:literal) => {
        concat!(
            child_columns!(),
            $of,
            " ",
            $moment,
            " IS NOT NULL AND (",
            $moment,
            ", id) > (?, ?) ORDER BY ",
            $moment,
            ", id LIMIT ?"
        )
    };
}

/// A page in descending order, of rows for which `$of` holds.
macro_rules! descending {
    ($columns:ident, $of:literal) => {
        concat!($columns!(), $of, " (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT ?")
    };
}

/// A page of blocklist entries of all kinds, newest first: of each kind as many as the page has at most, by the index of
/// that kind, so that no index of all kinds is kept.
macro_rules! newest_of_all_kinds {
    ($columns:ident, $of:literal) => {
        concat!(
            newest_of_all_kinds!(@kind $columns, $of, 1),
            " UNION ALL ",
            newest_of_all_kinds!(@kind $columns, $of, 2),
            " UNION ALL ",
            newest_of_all_kinds!(@kind $columns, $of, 3),
            " UNION ALL ",
            newest_of_all_kinds!(@kind $columns, $of, 4),
            " UNION ALL ",
            newest_of_all_kinds!(@kind $columns, $of, 5),
            " ORDER BY created_at DESC, id DESC LIMIT ?4"
        )
    };
    (@kind $columns:ident, $of:literal, $kind:literal) => {
        concat!(
            "SELECT * FROM (",
            $columns!(),
            $of,
            " AND kind = ",
            $kind,
            " AND (created_at, id) < (?2, ?3) ORDER BY created_at DESC, id DESC LIMIT ?4)"
        )
    };
}

/// A page of a part of the API keys, in the order of its moments. Those with a digest live.
macro_rules! keys_by {
    ($moment:literal, $of:literal) => {
        [
            keys_by!(@of "merchant = ? AND ", $moment, $of),
            keys_by!(@of "", $moment, $of),
        ]
    };
    (@of $merchant:literal, $moment:literal, $of:literal) => {
        concat!(
            api_key_columns!(), "pp_api_key WHERE ", $merchant, $of, " AND (", $moment, ", id) > (?, ?) ORDER BY ", $moment,
            ", id LIMIT ?"
        )
    };
}

/// The statement of a part of the API keys, of one merchant account or of all, and what is bound to it.
fn some_keys(filter: &KeyFilter, within: bool) -> (&'static str, Vec<Bound<'_>>) {
    let ([of_one, of_all], bound) = match filter {
        KeyFilter::Ending { after, before } => (
            keys_by!("expires_at", "pepper IS NOT NULL AND expires_at > ? AND expires_at < ?"),
            vec![after.unix_millis().into(), before.unix_millis().into()],
        ),
        KeyFilter::Unused { since, at } => (
            keys_by!(
                "coalesce(used_at, created_at)",
                "pepper IS NOT NULL AND coalesce(used_at, created_at) < ? AND (expires_at IS NULL OR expires_at > ?)"
            ),
            vec![since.unix_millis().into(), at.unix_millis().into()],
        ),
        KeyFilter::Under(pepper) => (keys_by!("created_at", "pepper = ?"), vec![text(pepper.as_str())]),
    };
    (if within { of_one } else { of_all }, bound)
}

/// The records of a page, and one more where there is a next page.
#[allow(clippy::too_many_lines, reason = "one table of what is asked and how")]
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
        (Query::Outbox(_), _) => (EntityKind::Event, by_moment!("due_at", "pp_event WHERE"), vec![]),
        // A merchant account has none of them.
        (
            Query::Within(..),
            Collection::Organizations | Collection::Merchants | Collection::DataKeys { .. } | Collection::Outbox,
        ) => return Ok(Vec::new()),
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
        (Query::Within(..), Collection::RoutingPrograms { profile: None }) => (
            EntityKind::RoutingProgram,
            descending!(child_columns, "pp_routing_program WHERE merchant = ? AND"),
            vec![of],
        ),
        (Query::Within(..), Collection::RoutingPrograms { profile: Some(profile) }) => (
            EntityKind::RoutingProgram,
            descending!(child_columns, "pp_routing_program WHERE merchant = ? AND profile = ? AND"),
            vec![of, text(profile.as_str())],
        ),
        (Query::Within(..), Collection::RoutingVersions { program: None }) => (
            EntityKind::RoutingVersion,
            descending!(child_columns, "pp_routing_version WHERE merchant = ? AND"),
            vec![of],
        ),
        (Query::Within(..), Collection::RoutingVersions { program: Some(program) }) => (
            EntityKind::RoutingVersion,
            descending!(child_columns, "pp_routing_version WHERE merchant = ? AND program = ? AND"),
            vec![of, text(program.as_str())],
        ),
        (Query::Within(..), Collection::ApiKeys) => {
            (EntityKind::ApiKey, ascending!(api_key_columns, "pp_api_key WHERE merchant = ? AND"), vec![of])
        }
        (Query::Within(..), Collection::SomeApiKeys(filter)) => {
            let (sql, bound) = some_keys(filter, true);
            (EntityKind::ApiKey, sql, std::iter::once(of).chain(bound).collect())
        }
        (Query::ApiKeys(filter, _), _) => {
            let (sql, bound) = some_keys(filter, false);
            (EntityKind::ApiKey, sql, bound)
        }
        (Query::Within(..), Collection::BlockRules { kind: None }) => (
            EntityKind::BlockRule,
            newest_of_all_kinds!(rule_of_merchant, "pp_block_rule WHERE merchant = ?1"),
            vec![of],
        ),
        (Query::Within(..), Collection::BlockRules { kind: Some(kind) }) => (
            EntityKind::BlockRule,
            descending!(rule_of_merchant, "pp_block_rule WHERE merchant = ? AND kind = ? AND"),
            vec![of, kind_number(*kind).into()],
        ),
        (Query::Within(..), Collection::ProfileBlockRules { profile }) => (
            EntityKind::BlockRule,
            descending!(rule_of_merchant, "pp_block_rule WHERE merchant = ? AND profile = ? AND"),
            vec![of, text(profile.as_str())],
        ),
        (Query::OrganizationBlockRules(_, None, _), _) => (
            EntityKind::BlockRule,
            newest_of_all_kinds!(rule_of_organization, "pp_organization_rule WHERE organization = ?1"),
            vec![of],
        ),
        (Query::OrganizationBlockRules(_, Some(kind), _), _) => (
            EntityKind::BlockRule,
            descending!(rule_of_organization, "pp_organization_rule WHERE organization = ? AND kind = ? AND"),
            vec![of, kind_number(*kind).into()],
        ),
        (Query::Within(..), Collection::Payments) => {
            (EntityKind::Payment, descending!(child_columns, "pp_payment WHERE merchant = ? AND"), vec![of])
        }
        (Query::Within(..), Collection::OpenPayments) => {
            (EntityKind::Payment, by_moment!("open_until", "pp_payment WHERE merchant = ? AND"), vec![of])
        }
        (Query::Within(..), Collection::PaymentLinks { profile: None }) => {
            (EntityKind::PaymentLink, descending!(child_columns, "pp_payment_link WHERE merchant = ? AND"), vec![of])
        }
        (Query::Within(..), Collection::PaymentDecisions) => (
            EntityKind::PaymentDecision,
            descending!(child_columns, "pp_payment_decision WHERE merchant = ? AND"),
            vec![of],
        ),
        (Query::Within(..), Collection::Events) => {
            (EntityKind::Event, descending!(child_columns, "pp_event WHERE merchant = ? AND"), vec![of])
        }
        (Query::Within(..), Collection::PendingEvents) => {
            (EntityKind::Event, by_moment!("due_at", "pp_event WHERE merchant = ? AND"), vec![of])
        }
        (Query::Within(..), Collection::PaymentLinks { profile: Some(profile) }) => (
            EntityKind::PaymentLink,
            descending!(child_columns, "pp_payment_link WHERE merchant = ? AND profile = ? AND"),
            vec![of, text(profile.as_str())],
        ),
        (Query::Within(..), Collection::LinkUses { link }) => (
            EntityKind::LinkUse,
            descending!(child_columns, "pp_link_use WHERE merchant = ? AND link = ? AND"),
            vec![of, text(link.as_str())],
        ),
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

/// How many there are in all, from the count that the commits keep. An organization lists few enough to be counted.
fn total(conn: &Connection, tenant: Incarnation, query: &Query) -> Result<Option<u64>, Failure> {
    let Collection::BlockRules { kind } = query.collection() else { return Ok(None) };
    let is_organizations = matches!(query, Query::OrganizationBlockRules(..));
    let (all, of_kind) = if is_organizations {
        (
            "SELECT count(*) FROM pp_organization_rule WHERE organization = ?",
            "SELECT count(*) FROM pp_organization_rule WHERE organization = ? AND kind = ?",
        )
    } else {
        (
            "SELECT coalesce(sum(count), 0) FROM pp_block_count WHERE merchant = ?",
            "SELECT coalesce(sum(count), 0) FROM pp_block_count WHERE merchant = ? AND kind = ?",
        )
    };
    let total: i64 = match kind {
        None => conn.prepare_cached(all)?.query_row([tenant.as_bytes()], |row| row.get(0))?,
        Some(kind) => {
            conn.prepare_cached(of_kind)?.query_row(params![tenant.as_bytes(), kind_number(kind)], |row| row.get(0))?
        }
    };
    Ok(Some(unsigned(total)?))
}

macro_rules! scan {
    ($table:literal, $tenant:literal, $details:literal, $rest:literal) => {
        concat!("SELECT id, action, expires_at", $details, " FROM ", $table, " WHERE ", $tenant, " = ?1", $rest)
    };
    ($table:literal, $tenant:literal, $rest:literal) => {
        [scan!($table, $tenant, "", $rest), scan!($table, $tenant, ", reason, metadata", $rest)]
    };
}

/// A part of a blocklist that has so many entries may well be as long as was asked for: room is made for all of it.
const FEW: usize = 1_000;

/// A part of a blocklist, all of it from one moment.
pub(crate) fn block_rules(conn: &Connection, scan: &BlockScan) -> Result<Option<BlockPage>, Failure> {
    let moment = conn.unchecked_transaction()?;
    let is_organizations = matches!(scan.path, BlocklistPath::Organization(_));
    let tenant = match &scan.path {
        BlocklistPath::Organization(path) => incarnation(&moment, organization_by(path))?,
        BlocklistPath::Merchant(path) => incarnation(&moment, MERCHANT.resolve(path, []))?,
    };
    let Some(tenant) = tenant else { return Ok(None) };
    let mut page = BlockPage::default();
    let (after, sql) = match &scan.select {
        BlockSelect::After(after) => {
            let after = after.as_ref().map(ToString::to_string).unwrap_or_default();
            let sql = if is_organizations {
                scan!("pp_organization_rule", "organization", " AND id > ?2 ORDER BY id LIMIT ?3")
            } else {
                scan!("pp_block_rule", "merchant", " AND id > ?2 ORDER BY id LIMIT ?3")
            };
            (Value::Text(after), sql)
        }
        BlockSelect::Expired(by) => {
            let sql = if is_organizations {
                scan!("pp_organization_rule", "organization", " AND expires_at <= ?2 ORDER BY expires_at, id LIMIT ?3")
            } else {
                scan!("pp_block_rule", "merchant", " AND expires_at <= ?2 ORDER BY expires_at, id LIMIT ?3")
            };
            (Value::Integer(by.unix_millis()), sql)
        }
    };
    let [brief, detailed] = sql;
    let mut statement = moment.prepare_cached(if scan.details { detailed } else { brief })?;
    let limit = scan.limit.min(MAX_SCAN_LIMIT);
    let mut rows = statement.query(params![tenant.as_bytes(), after, limit])?;
    while let Some(row) = rows.next()? {
        push(&mut page.rows, row, scan.details)?;
        if page.rows.len() == FEW {
            page.rows.reserve(usize::try_from(limit).unwrap_or_default().saturating_sub(FEW));
        }
    }
    drop(rows);
    if scan.select == BlockSelect::After(None) {
        page.counts = block_counts(&moment, tenant, is_organizations)?;
    }
    drop(statement);
    moment.commit()?;
    Ok(Some(page))
}

fn push(rows: &mut BlockRows, row: &rusqlite::Row<'_>, details: bool) -> Result<(), Failure> {
    let corrupt = || Error::corrupt("the name of an entry of a blocklist");
    let id = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
    let profile: ProfileId;
    let (kind, scope, value) = if let Some(value) = id.strip_prefix("fingerprint:") {
        // What a list of millions is made of.
        (BlockKind::Fingerprint, RowScope::Merchant, value)
    } else {
        let (front, value) = id.split_once(':').ok_or_else(corrupt)?;
        let (kind, scope) = match front.split_once('@') {
            None => (front, RowScope::Merchant),
            Some((kind, "*")) => (kind, RowScope::Organization),
            Some((kind, of)) => {
                profile = of.parse().map_err(|_| corrupt())?;
                (kind, RowScope::Profile(&profile))
            }
        };
        (kind.parse().map_err(|_| corrupt())?, scope, value)
    };
    let expires_at: Option<i64> = row.get(2)?;
    let text = |column| row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from);
    rows.push(BlockRow {
        kind,
        value,
        scope,
        action: action_of(row.get(1)?)?,
        expires_at: expires_at.map(timestamp).transpose()?,
        reason: if details { text(3)? } else { None },
        metadata: if details { text(4)? } else { None },
    });
    Ok(())
}

/// How many entries there are of each sort.
fn block_counts(conn: &Connection, tenant: Incarnation, is_organizations: bool) -> Result<Vec<BlockCount>, Failure> {
    let sql = if is_organizations {
        "SELECT kind, 0, count(*) FROM pp_organization_rule WHERE organization = ? GROUP BY kind"
    } else {
        "SELECT kind, version, count FROM pp_block_count WHERE merchant = ? AND count > 0"
    };
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([tenant.as_bytes()])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let version: u32 = row.get(1)?;
        let fingerprint_version = Some(version).filter(|version| *version > 0);
        counts.push(BlockCount { kind: kind_of(row.get(0)?)?, fingerprint_version, count: unsigned(row.get(2)?)? });
    }
    counts.sort();
    Ok(counts)
}

/// How many uses of each link stand, all of them at one moment.
pub(crate) fn uses(conn: &Connection, count: &UseCount) -> Result<Option<Vec<Uses>>, Failure> {
    let moment = conn.unchecked_transaction()?;
    let Some(tenant) = incarnation(&moment, MERCHANT.resolve(&count.path, []))? else { return Ok(None) };
    let of_link = |id: &PaymentLinkId| standing(&moment, tenant, id.as_str(), count.at);
    let found = count.links.iter().take(MAX_COUNTED_LINKS).map(of_link).collect::<Result<_, _>>()?;
    moment.commit()?;
    Ok(Some(found))
}

/// How many uses of a link stand at a moment.
pub(crate) fn standing(conn: &Connection, tenant: Incarnation, link: &str, at: Timestamp) -> Result<Uses, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT (SELECT count(*) FROM pp_link_use WHERE merchant = ?1 AND link = ?2 AND stands_until IS NULL),
                (SELECT count(*) FROM pp_link_use WHERE merchant = ?1 AND link = ?2 AND stands_until > ?3)",
    )?;
    let bound = params![tenant.as_bytes(), link, at.unix_millis()];
    let (confirmed, held) = statement.query_row(bound, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Uses { confirmed: unsigned(confirmed)?, held: unsigned(held)? })
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
    let mut statement = conn.prepare_cached(Table::of(entity.kind, &entity.id).exact)?;
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
