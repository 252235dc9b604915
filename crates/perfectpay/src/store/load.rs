//! Loads: what goes from one store to another, as it is.
//!
//! [`Store::export`](super::Store::export) answers a store's content at one moment as a sequence of [`Load`]s, and
//! [`Store::import`](super::Store::import) takes them in the same order. A load is the unit of both: it is bounded, it is
//! written in one transaction, and one that is written again changes nothing.
//!
//! The order is that of [`Item`]s that stand on one another: first the log, oldest entry first; then, of a whole store,
//! what is kept under idempotency keys of tenants that do not live; then every organization by its incarnation, each with
//! its data keys, its idempotency keys and its blocklist; then every merchant account by its incarnation, each with all below it, kinds in the order of [`BELOW_MERCHANT`] and
//! objects by their ids as bytes, its idempotency keys in front of its API keys. So a store that took a part of the
//! loads has whole merchant accounts and none by half, but for one that is larger than a load: of that the API keys come
//! last, and nobody authenticates for it before.
//!
//! In front of the log of a whole store that was pruned is where it begins ([`LogBeginning`]). One organization's part of
//! such a log has no mark: what was pruned of it is absent.

use std::fmt;

use async_trait::async_trait;

use super::change::{ChangeSet, CommitClass, IdempotencyClaim, Owner};
use super::judge::{Premises, judge};
use super::key::OrganizationPath;
use super::log::{Head, LogEntry, LogPosition};
use super::prune::LogPruning;
use super::record::Record;
use crate::actor::Actor;
use crate::error::{Entity, EntityKind, Error, Fault};
use crate::id::Incarnation;
use crate::stored::EntityRef;
use crate::time::Timestamp;

/// The most items of one load.
pub const MAX_LOAD_ITEMS: usize = 4_096;
/// The most bytes of text in the items of one load, as [`Item::size`] counts them.
pub const MAX_LOAD_BYTES: usize = 16 * 1024 * 1024;
/// How many items, and how many bytes, a load has before it ends in front of the next tenant.
const FULL: (usize, usize) = (MAX_LOAD_ITEMS / 2, MAX_LOAD_BYTES / 8);

/// The kinds below a merchant account in the order in which a load has them: parents first, API keys last.
pub const BELOW_MERCHANT: [EntityKind; 12] = [
    EntityKind::DataKey,
    EntityKind::Profile,
    EntityKind::Connector,
    EntityKind::RoutingProgram,
    EntityKind::RoutingVersion,
    EntityKind::BlockRule,
    EntityKind::Payment,
    EntityKind::PaymentLink,
    EntityKind::LinkUse,
    EntityKind::PaymentDecision,
    EntityKind::Event,
    EntityKind::ApiKey,
];

/// How much of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Everything,
    /// One organization: its part of the log, itself, and its merchant accounts with all below them. If it does not live
    /// that is nothing, or, where the path is [pinned](OrganizationPath::Pinned), its part of the log.
    Organization(OrganizationPath),
}

/// An entry of the log with what it is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The entry.
    pub entry: LogEntry,
    /// The organization whose it is.
    pub organization: Option<Incarnation>,
    /// The merchant account whose it is.
    pub merchant: Option<Incarnation>,
    /// The object of each change of the entry.
    pub entities: Vec<EntityRef>,
}

/// Where a log begins that was pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBeginning {
    /// The last step that removed entries, as the [`Head`] says it.
    pub pruned: LogPruning,
    /// The newest entry of the class [`CommitClass::Configuration`] if it is one of those that were removed; else
    /// [`LogPosition::START`].
    pub configuration: LogPosition,
}

impl LogBeginning {
    /// Where the log with this head begins; `None` if it is whole.
    pub fn of(head: &Head) -> Option<Self> {
        let pruned = head.pruned.clone()?;
        let removed = head.configuration <= pruned.through;
        let configuration = if removed { head.configuration } else { LogPosition::START };
        Some(Self { pruned, configuration })
    }
}

/// A record with its body written out, so that it is written out once on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    record: Record,
    body: String,
}

impl Packed {
    /// Writes the record's body out.
    ///
    /// # Errors
    ///
    /// As [`Record::body`].
    pub fn new(record: Record) -> Result<Self, Error> {
        Ok(Self { body: record.body()?, record })
    }

    /// The record.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its body, as [`Record::body`] writes it.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The record and its body.
    pub fn into_parts(self) -> (Record, String) {
        (self.record, self.body)
    }
}

/// One thing that is kept.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "as of a record: it is moved a few times, and most are records")]
pub enum Item {
    /// Where the log begins. It is the first item of a load, and the log's first entry is the second.
    Beginning(LogBeginning),
    /// An entry of the log.
    Entry(Logged),
    /// What is kept under an idempotency key, expired or not.
    Claim(IdempotencyClaim),
    /// An object.
    Record(Packed),
}

impl Item {
    /// How many bytes of text it has, about: what bounds a load.
    pub fn size(&self) -> usize {
        const COLUMNS: usize = 128;
        COLUMNS
            + match self {
                Self::Beginning(beginning) => beginning.pruned.by.to_string().len(),
                Self::Entry(logged) => logged.entry.changes.iter().map(|c| COLUMNS + c.id.len()).sum(),
                Self::Claim(claim) => claim.key.as_str().len() + claim.answer.as_bytes().len(),
                Self::Record(packed) => packed.body.len(),
            }
    }

    /// Whether a load may end in front of it without parting what belongs together.
    fn begins(&self) -> bool {
        match self {
            Self::Beginning(_) | Self::Entry(_) => true,
            Self::Claim(_) => false,
            Self::Record(packed) => matches!(packed.record, Record::Organization(_) | Record::Merchant(_)),
        }
    }
}

/// Items that are written together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Load {
    /// The items, what others stand on first; at most [`MAX_LOAD_ITEMS`] of at most [`MAX_LOAD_BYTES`].
    pub items: Vec<Item>,
    /// `None`: entries of the log keep their positions and times, and lie behind every other entry of the store.
    ///
    /// Otherwise they are of one organization and are appended, with the next positions of the store. Their times are
    /// the later of their own and the newest entry's, because a log's time never steps back. The position is that of the
    /// newest entry of this organization that the store has ([`LogPosition::START`] for none); if it is another one,
    /// nothing is written. So no entry is appended twice.
    pub behind: Option<LogPosition>,
}

impl Load {
    /// Checks what can be said of a load by itself; every store does, before anything else.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with code `load.too_large`, `load.several_organizations` (entries to be appended are of more
    /// than one), `load.objects` (an entry does not name an object for each of its changes) or `load.beginning` (where
    /// the log begins is not said in front of an entry behind it, or is said to entries that are appended).
    pub fn check(&self) -> Result<(), Error> {
        let refused = |code: &'static str, message: &'static str| Err(Fault::new(code, message).at("items").into());
        let bytes = self.items.iter().fold(0_usize, |bytes, item| bytes.saturating_add(item.size()));
        if self.items.len() > MAX_LOAD_ITEMS || bytes > MAX_LOAD_BYTES {
            return refused("load.too_large", "has more than 4,096 items or 16 MiB");
        }
        let mut organizations = self.entries().map(|logged| logged.organization);
        let first = organizations.next();
        let several = organizations.any(|of| Some(of) != first) || first == Some(None);
        if self.behind.is_some() && several {
            return refused("load.several_organizations", "has entries that are not of one organization");
        }
        let named = |logged: &Logged| {
            let (changes, entities) = (&logged.entry.changes, &logged.entities);
            changes.len() == entities.len() && changes.iter().zip(entities).all(|(c, e)| c.kind == e.kind)
        };
        if !self.entries().all(named) {
            return refused("load.objects", "has an entry that does not name the object of each change");
        }
        let begins = |(index, item): (usize, &Item)| match item {
            Item::Beginning(beginning) => {
                let first = match self.items.get(1) {
                    Some(Item::Entry(logged)) => logged.entry.position,
                    _ => LogPosition::START,
                };
                index == 0 && self.behind.is_none() && first > beginning.pruned.through
            }
            _ => true,
        };
        if !self.items.iter().enumerate().all(begins) {
            return refused("load.beginning", "says where a log begins, and has not its first entry behind that");
        }
        Ok(())
    }

    /// The entries of the log in it.
    pub fn entries(&self) -> impl Iterator<Item = &Logged> {
        self.items.iter().filter_map(|item| match item {
            Item::Entry(logged) => Some(logged),
            Item::Beginning(_) | Item::Claim(_) | Item::Record(_) => None,
        })
    }
}

/// Puts items together to loads that are within the bounds, and that end in front of a tenant where they can.
#[derive(Debug, Default)]
pub struct Packer {
    items: Vec<Item>,
    bytes: usize,
}

impl Packer {
    /// Adds an item, and answers the load that ended in front of it.
    pub fn push(&mut self, item: Item) -> Option<Load> {
        let size = item.size();
        let beyond = self.items.len() >= MAX_LOAD_ITEMS || self.bytes.saturating_add(size) > MAX_LOAD_BYTES;
        let full = self.items.len() >= FULL.0 || self.bytes >= FULL.1;
        let ended = if beyond || (full && item.begins()) { self.finish() } else { None };
        self.items.push(item);
        self.bytes = self.bytes.saturating_add(size);
        ended
    }

    /// The last load, unless there is nothing in it.
    pub fn finish(&mut self) -> Option<Load> {
        self.bytes = 0;
        let items = std::mem::take(&mut self.items);
        if items.is_empty() { None } else { Some(Load { items, behind: None }) }
    }
}

/// A store's content at one moment, load by load.
#[async_trait]
pub trait Export: fmt::Debug + Send {
    /// The next load; `None` at the end.
    ///
    /// # Errors
    ///
    /// Those of a read. After one there is nothing more.
    async fn next(&mut self) -> Result<Option<Load>, Error>;
}

/// What [`judge_load`] asks a store beyond [`Premises`].
pub trait LoadPremises: Premises {
    /// A living record.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn kept(&mut self, entity: &EntityRef) -> Result<Option<Record>, Error>;

    /// The entry at a position.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn entry(&mut self, position: LogPosition) -> Result<Option<Logged>, Error>;

    /// The newest entry of an organization, or [`LogPosition::START`].
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn newest(&mut self, organization: Incarnation) -> Result<LogPosition, Error>;

    /// Where the log ends.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn head(&mut self) -> Result<Head, Error>;
}

/// Judges a load that [was checked](Load::check), as [`judge`] judges a change set: this function *is* the contract of
/// what an import checks. It answers which items are to be written; the others are there already, equal.
///
/// # Errors
///
/// - of where the log begins: [`Error::Refused`] with code `load.differs`, if the store has entries already, and its log
///   does not begin there;
/// - of an entry: [`Error::Moved`], if the newest entry of its organization is another one than the load says;
///   [`Error::Refused`] with code `load.differs`, if another entry has its position, or with code `load.behind`, if it is
///   behind newer entries of the store;
/// - of a claim: [`Error::IdempotencyMismatch`], if something else is kept under the key;
/// - of a record: [`Error::Refused`] with code `load.differs`, if the object lives and is not equal; else those of its
///   creation by [`judge`]: [`Error::AlreadyExists`], [`Error::NotFound`], [`Error::Duplicate`];
/// - what [`LoadPremises`] answers.
///
/// What is of the log, and claims, are judged before records.
pub fn judge_load<P: LoadPremises>(load: &Load, premises: &mut P) -> Result<Vec<bool>, Error> {
    let mut creations =
        ChangeSet::new(Owner::default(), Actor::Host, Timestamp::UNIX_EPOCH, CommitClass::Configuration);
    let mut head = premises.head()?;
    let mut is_new = Vec::with_capacity(load.items.len());
    let mut appends = false;
    for item in &load.items {
        is_new.push(match item {
            Item::Beginning(beginning) => begins_there(beginning, &mut head)?,
            Item::Entry(logged) => {
                if let Some(behind) = load.behind {
                    let newest = logged.organization.map(|of| premises.newest(of)).transpose()?;
                    if !appends && newest.is_some_and(|newest| newest != behind) {
                        return Err(Error::Moved { entity: whose(logged) });
                    }
                    appends = true;
                    true
                } else {
                    keeps_its_place(logged, &mut head, premises)?
                }
            }
            Item::Claim(claim) => match premises.idempotency(claim.tenant, &claim.key)? {
                None => true,
                Some(kept) if kept == *claim => false,
                Some(_) => return Err(Error::IdempotencyMismatch),
            },
            Item::Record(packed) => match premises.kept(&packed.record.entity())? {
                None => {
                    creations.create(packed.record.clone());
                    true
                }
                Some(kept) if kept == packed.record => false,
                Some(_) => return Err(differs(packed.record.entity().named())),
            },
        });
    }
    if !creations.changes.is_empty() {
        judge(&creations, premises)?;
    }
    Ok(is_new)
}

/// Whether it is to be written where the log begins.
fn begins_there(beginning: &LogBeginning, head: &mut Head) -> Result<bool, Error> {
    if LogBeginning::of(head).as_ref() == Some(beginning) {
        return Ok(false);
    }
    if head.position > LogPosition::START || head.pruned.is_some() {
        return Err(differs(platform()));
    }
    // Nothing is kept up to there.
    head.position = beginning.pruned.through;
    Ok(true)
}

/// Whether an entry that keeps its position is to be written.
fn keeps_its_place<P: LoadPremises>(logged: &Logged, head: &mut Head, premises: &mut P) -> Result<bool, Error> {
    let (position, at) = (logged.entry.position, logged.entry.at);
    if let Some(kept) = premises.entry(position)? {
        return if kept == *logged { Ok(false) } else { Err(differs(whose(logged))) };
    }
    if position <= head.position || at < head.at {
        let message = "has entries in the log that lie before newer ones";
        return Err(Error::Refused { entity: whose(logged), code: "load.behind", message });
    }
    (head.position, head.at) = (position, at);
    Ok(true)
}

/// Whose entry it is, as an error names it.
pub(super) fn whose(logged: &Logged) -> Entity {
    logged.entry.organization_id.as_deref().map_or_else(platform, |id| Entity::new(EntityKind::Organization, id))
}

/// What belongs to no organization, as an error names it.
pub(super) fn platform() -> Entity {
    Entity::new(EntityKind::Organization, "platform")
}

fn differs(entity: Entity) -> Error {
    Error::Refused { entity, code: "load.differs", message: "is kept already, and not as it is in the load" }
}
