//! Records as rows: which columns each kind has, and the SQL that goes with them.

use std::borrow::Cow;

use perfectpay::blocklist::{BlockAction, BlockKind, BlockRuleState, BlockScope};
use perfectpay::store::{
    Change, ChangeSet, EntityRef, Item, Load, LogChange, Logged, Packed, Record, RowMeta, Stored, TenantRef, Verb,
};
use perfectpay::{EntityKind, Error, Incarnation, Timestamp};
use rusqlite::ToSql;
use rusqlite::types::Value;
use serde::{Deserialize, Serialize};

use crate::error::too_large;

/// The most bytes that a record's body takes, as the schema's `CHECK` says.
const MAX_BODY: usize = 512 * 1024;

/// The statements of one table. In all of them `?1` is the tenant and `?2` the id; in those that write a row, `?3` is
/// its version, `?4` and `?5` its times, `?6` its body and the rest the columns of the kind.
pub(crate) struct Table {
    /// A new row.
    pub(crate) insert: &'static str,
    /// The row's next version, if no column of an index changes: most updates, and the pages of the indexes stay as
    /// they are.
    pub(crate) touch: &'static str,
    /// The row's next version, whatever changes.
    pub(crate) update: &'static str,
    /// The row goes, if it has version `?3`.
    pub(crate) remove: &'static str,
    /// The row's version.
    pub(crate) version: &'static str,
    /// The columns of the row that [`decode`] reads.
    pub(crate) exact: &'static str,
    /// The columns of every row of tenant `?1` that [`decode`] reads, by id.
    pub(crate) of_tenant: &'static str,
}

/// `fixed` columns are in an index or a foreign key, `free` ones in none. `beside` ones are written with a new row alone:
/// updates of the record leave them as they are; what is read of them follows the body.
macro_rules! table {
    (@statements $table:literal, $tenant:literal, $place:literal, $set_id:literal,
     [$($fixed:literal = $fixed_at:literal),*], [$($free:literal = $free_at:literal),*],
     [$($beside:literal = $beside_at:literal),*]) => {
        Table {
            insert: concat!(
                "INSERT INTO ", $table, " (", $tenant, ", id, version, created_at, modified_at, body"
                $(, ", ", $fixed)* $(, ", ", $free)* $(, ", ", $beside)*, ") VALUES (?1, ?2, ?3, ?4, ?5, ?6"
                $(, ", ", $fixed_at)* $(, ", ", $free_at)* $(, ", ", $beside_at)*, ")"
            ),
            touch: concat!(
                "UPDATE ", $table, " SET version = ?3, modified_at = ?5, body = ?6"
                $(, ", ", $free, " = ", $free_at)*,
                " WHERE ", $tenant, " = ?1 AND id = ?2 AND version = ?3 - 1 AND created_at = ?4"
                $(, " AND ", $fixed, " IS ", $fixed_at)*
            ),
            update: concat!(
                "UPDATE ", $table, " SET ", $set_id, "version = ?3, created_at = ?4, modified_at = ?5, body = ?6"
                $(, ", ", $fixed, " = ", $fixed_at)* $(, ", ", $free, " = ", $free_at)*,
                " WHERE ", $place, " AND version = ?3 - 1"
            ),
            remove: concat!("DELETE FROM ", $table, " WHERE ", $place, " AND version = ?3"),
            version: concat!("SELECT version FROM ", $table, " WHERE ", $place),
            exact: concat!(
                "SELECT ", $tenant, ", id, version, created_at, modified_at, body" $(, ", ", $beside)*,
                " FROM ", $table, " WHERE ", $place
            ),
            of_tenant: concat!(
                "SELECT ", $tenant, ", id, version, created_at, modified_at, body" $(, ", ", $beside)*, " FROM ", $table,
                " WHERE ", $tenant, " = ?1 ORDER BY id"
            ),
        }
    };
    // Of a tenant the incarnation is the key, and the id is only its name.
    (tenant $table:literal, $fixed:tt, $free:tt) => {
        table!(@statements $table, "incarnation", "incarnation = ?1 AND ?2 IS NOT NULL", "id = ?2, ", $fixed, $free, [])
    };
    ($table:literal, $fixed:tt, $free:tt) => {
        table!($table, $fixed, $free, [])
    };
    ($table:literal, $fixed:tt, $free:tt, $beside:tt) => {
        table!(@statements $table, "merchant", "merchant = ?1 AND id = ?2", "", $fixed, $free, $beside)
    };
}

/// A table of blocklist entries: `?6` is none, and everything that is kept of an entry is a column.
macro_rules! rules {
    ($table:literal, $tenant:literal) => {
        Table {
            insert: concat!(
                "INSERT INTO ",
                $table,
                " (",
                $tenant,
                ", id, version, created_at, modified_at, kind, profile, expires_at,",
                " action, reason, source, author, metadata)",
                " VALUES (?1, ?2, ?3, ?4, ?5, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
            ),
            touch: concat!(
                "UPDATE ",
                $table,
                " SET version = ?3, modified_at = ?5,",
                " action = ?10, reason = ?11, source = ?12, author = ?13, metadata = ?14",
                " WHERE ",
                $tenant,
                " = ?1 AND id = ?2 AND version = ?3 - 1 AND created_at = ?4",
                " AND kind IS ?7 AND profile IS ?8 AND expires_at IS ?9"
            ),
            update: concat!(
                "UPDATE ",
                $table,
                " SET version = ?3, created_at = ?4, modified_at = ?5, kind = ?7, profile = ?8,",
                " expires_at = ?9, action = ?10, reason = ?11, source = ?12, author = ?13, metadata = ?14",
                " WHERE ",
                $tenant,
                " = ?1 AND id = ?2 AND version = ?3 - 1"
            ),
            remove: concat!("DELETE FROM ", $table, " WHERE ", $tenant, " = ?1 AND id = ?2 AND version = ?3"),
            version: concat!("SELECT version FROM ", $table, " WHERE ", $tenant, " = ?1 AND id = ?2"),
            exact: concat!(
                "SELECT ",
                $tenant,
                ", id, version, created_at, modified_at, action, expires_at, reason, source, author, metadata FROM ",
                $table,
                " WHERE ",
                $tenant,
                " = ?1 AND id = ?2"
            ),
            of_tenant: concat!(
                "SELECT ",
                $tenant,
                ", id, version, created_at, modified_at, action, expires_at, reason, source, author, metadata FROM ",
                $table,
                " WHERE ",
                $tenant,
                " = ?1 ORDER BY id"
            ),
        }
    };
}

static ORGANIZATION: Table = table!(tenant "pp_organization", [], []);
static MERCHANT: Table =
    table!(tenant "pp_merchant", ["organization" = "?7", "publishable_key" = "?8", "former_key" = "?9"], []);
static DATA_KEY: Table = table!(
    @statements "pp_data_key", "tenant", "tenant = ?1 AND id = ?2", "", ["holder" = "?7", "wrapped_by" = "?8"], [], []
);
static PROFILE: Table = table!("pp_profile", ["name" = "?7", "is_default" = "?8"], []);
static CONNECTOR: Table = table!("pp_connector", ["profile" = "?7", "label" = "?8"], []);
static ROUTING_PROGRAM: Table = table!("pp_routing_program", ["profile" = "?7", "active" = "?8"], []);
static ROUTING_VERSION: Table = table!("pp_routing_version", ["program" = "?7"], []);
static API_KEY: Table = table!(
    "pp_api_key",
    ["digest" = "?8", "pepper" = "?9", "expires_at" = "?10"],
    ["revoked_at" = "?11"],
    ["used_at" = "?7"]
);
static BLOCK_RULE: Table = rules!("pp_block_rule", "merchant");
static ORGANIZATION_RULE: Table = rules!("pp_organization_rule", "organization");
static PAYMENT: Table = table!("pp_payment", ["profile" = "?7", "open_until" = "?8"], []);
static PAYMENT_LINK: Table = table!("pp_payment_link", ["profile" = "?7", "payment" = "?8"], []);
static LINK_USE: Table = table!("pp_link_use", ["link" = "?7", "stands_until" = "?8"], []);
static PAYMENT_DECISION: Table = table!("pp_payment_decision", ["payment" = "?7"], []);
static EVENT: Table = table!("pp_event", ["payment" = "?7", "once" = "?8", "due_at" = "?9"], []);

impl Table {
    /// Where the record of this kind with this id is kept.
    pub(crate) fn of(kind: EntityKind, id: &str) -> &'static Self {
        match kind {
            EntityKind::Organization => &ORGANIZATION,
            EntityKind::Merchant => &MERCHANT,
            EntityKind::DataKey => &DATA_KEY,
            EntityKind::Profile => &PROFILE,
            EntityKind::Connector => &CONNECTOR,
            EntityKind::RoutingProgram => &ROUTING_PROGRAM,
            EntityKind::RoutingVersion => &ROUTING_VERSION,
            EntityKind::ApiKey => &API_KEY,
            EntityKind::BlockRule if is_organizations(id) => &ORGANIZATION_RULE,
            EntityKind::BlockRule => &BLOCK_RULE,
            EntityKind::Payment => &PAYMENT,
            EntityKind::PaymentLink => &PAYMENT_LINK,
            EntityKind::Event => &EVENT,
            EntityKind::PaymentDecision => &PAYMENT_DECISION,
            EntityKind::LinkUse => &LINK_USE,
        }
    }
}

/// Whether the entry of a blocklist with this name is an organization's.
pub(crate) fn is_organizations(id: &str) -> bool {
    id.split_once(':').is_some_and(|(front, _)| front.ends_with("@*"))
}

/// The number of a kind of blocklist entries in the tables: as the kinds' words sort.
pub(crate) fn kind_number(kind: BlockKind) -> i64 {
    match kind {
        BlockKind::CardBin => 1,
        BlockKind::CardPrefix => 2,
        BlockKind::CardRange => 3,
        BlockKind::ExtendedCardBin => 4,
        BlockKind::Fingerprint => 5,
    }
}

/// The kind with this number.
pub(crate) fn kind_of(number: i64) -> Result<BlockKind, Error> {
    Ok(match number {
        1 => BlockKind::CardBin,
        2 => BlockKind::CardPrefix,
        3 => BlockKind::CardRange,
        4 => BlockKind::ExtendedCardBin,
        5 => BlockKind::Fingerprint,
        _ => return Err(Error::corrupt("the kind of an entry of a blocklist")),
    })
}

/// The number of an action in the tables.
pub(crate) fn action_number(action: BlockAction) -> i64 {
    match action {
        BlockAction::Block => 0,
        BlockAction::Allow => 1,
    }
}

/// The action with this number.
pub(crate) fn action_of(number: i64) -> Result<BlockAction, Error> {
    match number {
        0 => Ok(BlockAction::Block),
        1 => Ok(BlockAction::Allow),
        _ => Err(Error::corrupt("the action of an entry of a blocklist")),
    }
}

impl Table {
    /// Where entries of blocklists are kept.
    pub(crate) fn of_rules(organizations: bool) -> &'static Self {
        if organizations { &ORGANIZATION_RULE } else { &BLOCK_RULE }
    }
}

/// The columns of a kind beyond those that all have, in the order of its [`Table`].
pub(crate) fn columns(record: &Record) -> Result<Vec<Value>, Error> {
    let text = |text: &dyn std::fmt::Display| Value::Text(text.to_string());
    let time = |time: Option<Timestamp>| time.map_or(Value::Null, |t| Value::Integer(t.unix_millis()));
    Ok(match record {
        Record::Organization(_) => Vec::new(),
        Record::DataKey(row) => {
            let wrapped_by = row.state.wrapped_by().map_or(Value::Null, |id| text(&id));
            vec![text(&row.state.holder), wrapped_by]
        }
        Record::Merchant(row) => {
            let former = row.state.former_publishable_key.as_ref();
            let former = former.map_or(Value::Null, |former| text(&former.publishable_key));
            vec![Value::Blob(row.state.organization.as_bytes().to_vec()), text(&row.state.publishable_key), former]
        }
        Record::Profile(row) => vec![text(&row.state.profile_name), Value::Integer(row.state.is_default.into())],
        Record::Connector(row) => vec![text(&row.state.profile_id), text(&row.state.connector_label)],
        Record::RoutingProgram(row) => {
            vec![text(&row.state.profile_id), row.state.active.map_or(Value::Null, |number| i64::from(number).into())]
        }
        Record::RoutingVersion(row) => vec![text(&row.id.program)],
        Record::ApiKey(row) => {
            let digest = row.state.digest.as_ref().map_or(Value::Null, |d| Value::Blob(d.digest.to_vec()));
            let pepper = row.state.digest.as_ref().map_or(Value::Null, |d| text(&d.pepper));
            let (ends, revoked) = (time(row.state.expires_at), time(row.state.revoked_at));
            vec![time(row.state.last_used), digest, pepper, ends, revoked]
        }
        Record::BlockRule(row) => {
            let some = |text: Option<&str>| text.map_or(Value::Null, |text| Value::Text(text.to_owned()));
            let profile = match &row.id.scope {
                BlockScope::Profile(profile) => Some(profile.as_str()),
                BlockScope::Organization | BlockScope::Merchant => None,
            };
            let metadata = row.state.metadata.as_ref().map_or(Ok(Value::Null), |object| {
                let text = serde_json::to_string(object).map(Value::Text);
                text.map_err(|e| Error::Corrupt { what: "a record is not JSON".into(), source: Some(e.into()) })
            });
            vec![
                Value::Integer(kind_number(row.id.kind)),
                some(profile),
                time(row.state.expires_at),
                Value::Integer(action_number(row.state.action)),
                some(row.state.reason.as_deref()),
                some(row.state.source.as_deref()),
                text(&row.state.author),
                metadata?,
            ]
        }
        Record::Payment(row) => vec![text(&row.state.profile_id), time(row.state.open_until())],
        Record::PaymentLink(row) => {
            let payment = row.state.payment_id.as_ref().map_or(Value::Null, |payment| text(payment));
            vec![text(&row.state.profile_id), payment]
        }
        Record::LinkUse(row) => vec![text(&row.state.payment_link_id), time(row.state.stands_until())],
        Record::PaymentDecision(row) => vec![text(&row.state.payment_id)],
        Record::Event(row) => {
            vec![text(&row.state.payment_id), text(&row.state.once), time(row.state.delivery.due_at)]
        }
    })
}

/// Whether the record has its body in a column; of an entry of a blocklist everything is a column.
fn has_body(record: &Record) -> bool {
    !matches!(record, Record::BlockRule(_))
}

/// A record as it is bound to a statement.
pub(crate) struct Row {
    tenant: Incarnation,
    id: String,
    version: i64,
    created_at: i64,
    modified_at: i64,
    /// `None` where everything is a column.
    body: Option<String>,
    columns: Vec<Value>,
}

impl Row {
    fn of(record: &Record) -> Result<Self, Error> {
        let body = if has_body(record) { Some(record.body()?) } else { None };
        Self::with(record, body)
    }

    fn with(record: &Record, body: Option<String>) -> Result<Self, Error> {
        let RowMeta { tenant, id, version, created_at, modified_at } = record.meta();
        if body.as_ref().is_some_and(|body| body.len() > MAX_BODY) {
            return Err(too_large());
        }
        let version = integer(version)?;
        let (created_at, modified_at) = (created_at.unix_millis(), modified_at.unix_millis());
        Ok(Self { tenant, id, version, created_at, modified_at, body, columns: columns(record)? })
    }

    /// Where the record, of this kind, is kept.
    pub(crate) fn table(&self, kind: EntityKind) -> &'static Table {
        Table::of(kind, &self.id)
    }

    fn packed(packed: &Packed) -> Result<Self, Error> {
        let record = packed.record();
        Self::with(record, has_body(record).then(|| packed.body().to_owned()))
    }

    /// What `?1` and so on stand for.
    pub(crate) fn bound(&self) -> Vec<&dyn ToSql> {
        let mut bound: Vec<&dyn ToSql> = Vec::with_capacity(6 + self.columns.len());
        let common: [&dyn ToSql; 6] =
            [self.tenant.as_bytes(), &self.id, &self.version, &self.created_at, &self.modified_at, &self.body];
        bound.extend(common);
        bound.extend(self.columns.iter().map(|column| column as &dyn ToSql));
        bound
    }
}

/// A change set with everything that has to be written out as text already written out, by the thread that asks for
/// the commit rather than by the one thread that writes.
pub(crate) struct Prepared {
    /// The set.
    pub(crate) set: ChangeSet,
    /// The rows of its changes; `None` for a removal.
    pub(crate) rows: Vec<Option<Row>>,
    /// What the log lists.
    pub(crate) logged: String,
    /// The sealed answer of its idempotency claim.
    pub(crate) answer: Option<String>,
}

impl Prepared {
    /// Writes the set's records out.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a record that is too large.
    pub(crate) fn new(set: ChangeSet) -> Result<Self, Error> {
        let row = |change: &Change| match change {
            Change::Create(record) | Change::Update(record) => Row::of(record).map(Some),
            Change::Remove { .. }
            | Change::Reveal { .. }
            | Change::AddBlockRules(_)
            | Change::AddStagedRules(_)
            | Change::PurgeBlockRules(_)
            | Change::MarkUsed(_) => Ok(None),
        };
        let rows = set.changes.iter().map(row).collect::<Result<_, _>>()?;
        let (changes, entities) = (set.logged(), set.changes.iter().map(Change::entity));
        let tenant = |tenant: &Option<TenantRef>| tenant.as_ref().map(|t| t.incarnation);
        let (organization, merchant) = (tenant(&set.owner.organization), tenant(&set.owner.merchant));
        let tenants = entities.map(|entity| entity.tenant);
        let logged = noted(&changes, tenants, organization, merchant)?;
        let answer = set.idempotency.as_ref().map(|claim| serde_json::to_string(&claim.answer).map_err(json));
        Ok(Self { rows, logged, answer: answer.transpose()?, set })
    }

    /// Whether nobody can say how long it takes, so that it shares a transaction with no other.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self.set.changes.as_slice(), [Change::AddStagedRules(_)])
    }
}

fn json(error: serde_json::Error) -> Error {
    Error::Corrupt { what: "a commit is not JSON".into(), source: Some(error.into()) }
}

/// A change in the column of the log.
#[derive(Serialize, Deserialize)]
struct Noted<'a> {
    kind: EntityKind,
    #[serde(borrow)]
    id: Cow<'a, str>,
    verb: Verb,
    version: u64,
    /// How many objects it stands for.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    count: u64,
    /// The tenant of the object, where the entry's owner does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<Incarnation>,
}

fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_one(count: &u64) -> bool {
    *count == 1
}

/// The tenant of an object of the kind in an entry that belongs to these.
fn owned(kind: EntityKind, organization: Option<Incarnation>, merchant: Option<Incarnation>) -> Option<Incarnation> {
    if kind == EntityKind::Organization { organization } else { merchant }
}

/// The changes of an entry as its column has them.
fn noted(
    changes: &[LogChange],
    tenants: impl Iterator<Item = Incarnation>,
    organization: Option<Incarnation>,
    merchant: Option<Incarnation>,
) -> Result<String, Error> {
    let note = |(change, tenant): (&LogChange, Incarnation)| Noted {
        kind: change.kind,
        id: Cow::Owned(change.id.clone()),
        verb: change.verb,
        version: change.version,
        count: change.count,
        tenant: Some(tenant).filter(|_| owned(change.kind, organization, merchant) != Some(tenant)),
    };
    let notes: Vec<Noted<'_>> = changes.iter().zip(tenants).map(note).collect();
    serde_json::to_string(&notes).map_err(json)
}

/// The changes in a column of the log, each with its object.
pub(crate) fn changes(
    column: &str,
    organization: Option<Incarnation>,
    merchant: Option<Incarnation>,
) -> Result<(Vec<LogChange>, Vec<EntityRef>), Error> {
    let corrupt = || Error::corrupt("an entry of the log");
    let notes: Vec<Noted<'_>> = serde_json::from_str(column).map_err(|_| corrupt())?;
    let (mut changes, mut entities) = (Vec::with_capacity(notes.len()), Vec::with_capacity(notes.len()));
    for Noted { kind, id, verb, version, count, tenant } in notes {
        let tenant = tenant.or_else(|| owned(kind, organization, merchant)).ok_or_else(corrupt)?;
        entities.push(EntityRef { kind, tenant, id: id.clone().into_owned() });
        changes.push(LogChange { kind, id: id.into_owned(), verb, version, count });
    }
    Ok((changes, entities))
}

/// A load with everything written out, as [`Prepared`] is a set.
pub(crate) struct PreparedLoad {
    /// The load. Of its records the bodies are in the rows.
    pub(crate) load: Load,
    /// What is bound for each of its items.
    pub(crate) columns: Vec<Columns>,
}

/// What of an item was written out.
pub(crate) enum Columns {
    /// Nothing: what is bound is in the item.
    None,
    /// The changes of an entry.
    Entry(String),
    /// The answer of a claim.
    Claim(String),
    /// The row of a record.
    Record(Row),
}

impl PreparedLoad {
    /// Writes the load's items out.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a load that fails [its own check](Load::check), or has a record that is too large.
    pub(crate) fn new(load: Load) -> Result<Self, Error> {
        load.check()?;
        let columns = |item: &Item| match item {
            Item::Beginning(_) => Ok(Columns::None),
            Item::Entry(Logged { entry, organization, merchant, entities }) => {
                let tenants = entities.iter().map(|entity| entity.tenant);
                noted(&entry.changes, tenants, *organization, *merchant).map(Columns::Entry)
            }
            Item::Claim(claim) => serde_json::to_string(&claim.answer).map_err(json).map(Columns::Claim),
            Item::Record(packed) => Row::packed(packed).map(Columns::Record),
        };
        let columns = load.items.iter().map(columns).collect::<Result<_, _>>()?;
        Ok(Self { load, columns })
    }
}

/// A number of the contract as SQLite keeps it.
pub(crate) fn integer(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Error::corrupt("a version beyond 2^63"))
}

/// The id under which the log's index knows an object: a tenant's incarnation says it all.
pub(crate) fn indexed_id(entity: &EntityRef) -> &str {
    match entity.kind {
        EntityKind::Organization | EntityKind::Merchant => "",
        _ => &entity.id,
    }
}

/// The record in the columns tenant, id, version, created at, modified at and body; of an API key with the mark of its
/// last use behind it; of an entry of a blocklist, in place of the body, action, expiry, reason, source, author and
/// metadata.
pub(crate) fn decode(kind: EntityKind, row: &rusqlite::Row<'_>) -> Result<Record, crate::error::Failure> {
    let meta = RowMeta {
        tenant: Incarnation::from_bytes(row.get(0)?),
        id: row.get(1)?,
        version: unsigned(row.get(2)?)?,
        created_at: timestamp(row.get(3)?)?,
        modified_at: timestamp(row.get(4)?)?,
    };
    if kind == EntityKind::BlockRule {
        return rule(meta, row).map(Record::BlockRule);
    }
    let body = row.get_ref(5)?.as_str().map_err(rusqlite::Error::from)?;
    let mut record = Record::decode(kind, &meta, body)?;
    if let Record::ApiKey(key) = &mut record {
        key.state.last_used = row.get::<_, Option<i64>>(6)?.map(timestamp).transpose()?;
    }
    Ok(record)
}

fn rule(meta: RowMeta, row: &rusqlite::Row<'_>) -> Result<Stored<BlockRuleState>, crate::error::Failure> {
    let RowMeta { tenant, id, version, created_at, modified_at } = meta;
    let corrupt = |_| Error::corrupt(format!("the record of {} `{id}`", EntityKind::BlockRule));
    let text = |column| row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from);
    let expires_at: Option<i64> = row.get(6)?;
    let metadata = text(10)?.map(serde_json::from_str).transpose();
    let state = BlockRuleState {
        action: action_of(row.get(5)?)?,
        expires_at: expires_at.map(timestamp).transpose()?,
        reason: text(7)?.map(str::parse).transpose().map_err(corrupt)?,
        source: text(8)?.map(str::parse).transpose().map_err(corrupt)?,
        author: text(9)?.unwrap_or_default().parse().map_err(corrupt)?,
        metadata: metadata.map_err(|_| Error::corrupt(format!("the record of {} `{id}`", EntityKind::BlockRule)))?,
    };
    Ok(Stored { tenant, id: id.parse().map_err(corrupt)?, version, created_at, modified_at, state })
}

/// A column that holds no negative number.
pub(crate) fn unsigned(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| Error::corrupt("a negative version or position"))
}

/// A column that holds a time.
pub(crate) fn timestamp(millis: i64) -> Result<Timestamp, Error> {
    Timestamp::from_unix_millis(millis).ok_or_else(|| Error::corrupt("a time outside the years 0000 to 9999"))
}
