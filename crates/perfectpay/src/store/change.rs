//! Change sets: the one way in which anything is written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::log::{LogChange, LogPosition, Verb};
use super::record::{Record, UniqueKey};
use super::stage::StagedRules;
use crate::actor::Actor;
use crate::api_key::KeyUse;
use crate::blocklist::{ExpiredRules, NewRules};
use crate::error::{EntityKind, Fault};
use crate::id::Incarnation;
use crate::seal::Sealed;
use crate::stored::EntityRef;
use crate::time::Timestamp;

/// A tenant as the log and errors name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRef {
    /// Who it is.
    pub incarnation: Incarnation,
    /// The id it goes by.
    pub id: String,
}

/// Whose commit it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    /// The organization; `None` only for what belongs to none.
    pub organization: Option<TenantRef>,
    /// The merchant account, where the commit is within one.
    pub merchant: Option<TenantRef>,
}

/// Whether a commit changes what decisions are made from. Snapshots follow the first class only.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CommitClass {
    /// Accounts, keys, connectors, rules.
    Configuration,
    /// Payments and links.
    Operational,
}

/// One step of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A new object. Its id and its unique keys must be free, its parent must live.
    Create(Record),
    /// The object's next version. It replaces the one with the version below its own. Its parent may be another one than
    /// before, and must live.
    Update(Record),
    /// The object goes.
    Remove {
        /// Which.
        entity: EntityRef,
        /// The version that it must have.
        version: u64,
        /// Whether everything below it goes along. Otherwise an object with children stays, and the commit is refused.
        /// What does not [count as a child](Record::counts_as_child) goes along in any case.
        ///
        /// A cascade is the last change of its set.
        cascade: bool,
    },
    /// Nothing changes; the log says that the object's secrets were revealed.
    Reveal {
        /// Which.
        entity: EntityRef,
        /// The version that it must have.
        version: u64,
    },
    /// Many new entries of a blocklist. Their names must be free, their merchant account or organization and their
    /// profiles must live. The log counts them in one line.
    ///
    /// It is the only change of its set.
    AddBlockRules(Box<NewRules>),
    /// The rows of a stage become entries of a blocklist. As many must be on it as are said to be, their names must be
    /// free, their merchant account or organization and their profiles must live. The log counts them in one line. The
    /// stage can be made live no more.
    ///
    /// It is the only change of its set.
    AddStagedRules(Box<StagedRules>),
    /// Expired entries of a blocklist go. Each must live and have expired by the moment that is named. The log counts them
    /// in one line.
    ///
    /// It is the only change of its set.
    PurgeBlockRules(Box<ExpiredRules>),
    /// API keys were used. Of each that lives the mark of its last use becomes the later one of what it is and of what is
    /// said here; versions and times of modification stay, and keys that do not live are passed over. The log counts
    /// them in one line.
    ///
    /// It is the only change of its set.
    MarkUsed(Vec<KeyUse>),
}

impl Change {
    /// What the log says of the change. A removal is logged with the version that was removed.
    pub fn logged(&self) -> LogChange {
        let counted = |items: usize| u64::try_from(items).unwrap_or(u64::MAX);
        let many = |of: &EntityRef, verb, version, count| {
            let entity = bulk_entity(of);
            LogChange { kind: entity.kind, id: entity.id, verb, version, count }
        };
        let (entity, verb, version) = match self {
            Self::AddBlockRules(new) => return many(new.of(), Verb::Created, 1, counted(new.rows().len())),
            Self::AddStagedRules(new) => return many(new.of(), Verb::Created, 1, new.count()),
            Self::PurgeBlockRules(old) => return many(&old.of, Verb::Removed, 0, counted(old.rows.rows().len())),
            Self::MarkUsed(uses) => {
                let EntityRef { kind, id, .. } = any_key();
                return LogChange { kind, id, verb: Verb::Used, version: 0, count: counted(uses.len()) };
            }
            Self::Create(record) => (record.entity(), Verb::Created, record.meta().version),
            Self::Update(record) => (record.entity(), record.verb_of_update(), record.meta().version),
            Self::Remove { entity, version, .. } => (entity.clone(), Verb::Removed, *version),
            Self::Reveal { entity, version } => (entity.clone(), Verb::Revealed, *version),
        };
        LogChange { kind: entity.kind, id: entity.id, verb, version, count: 1 }
    }

    /// The object under which the log's index knows the change.
    pub fn entity(&self) -> EntityRef {
        match self {
            Self::Create(record) | Self::Update(record) => record.entity(),
            Self::Remove { entity, .. } | Self::Reveal { entity, .. } => entity.clone(),
            Self::AddBlockRules(new) => bulk_entity(new.of()),
            Self::AddStagedRules(new) => bulk_entity(new.of()),
            Self::PurgeBlockRules(old) => bulk_entity(&old.of),
            Self::MarkUsed(_) => any_key(),
        }
    }

    /// Whether it must be the only change of its set.
    pub fn is_bulk(&self) -> bool {
        matches!(self, Self::AddBlockRules(_) | Self::AddStagedRules(_) | Self::PurgeBlockRules(_) | Self::MarkUsed(_))
    }
}

/// What stands for many entries of a blocklist: no entry has this name.
fn bulk_entity(of: &EntityRef) -> EntityRef {
    EntityRef { kind: EntityKind::BlockRule, tenant: of.tenant, id: "*".to_owned() }
}

/// What stands for many API keys, whosever they are: none has this id.
fn any_key() -> EntityRef {
    EntityRef { kind: EntityKind::ApiKey, tenant: Incarnation::PLATFORM, id: "*".to_owned() }
}

/// What a decision stood on without changing it. Checked before the first change is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// The object lives and has this version.
    Version {
        /// The object.
        entity: EntityRef,
        /// The version that was read.
        version: u64,
    },
    /// The object has exactly so many children of the kind. One that does not live has none.
    Children {
        /// The parent.
        of: EntityRef,
        /// The children's kind.
        kind: EntityKind,
        /// How many were counted.
        count: u64,
    },
    /// No living object has this key.
    Free {
        /// The key.
        key: UniqueKey,
    },
    /// The merchant account's blocklist has exactly so many entries whose fingerprints were made under this version of
    /// its secret. One that does not live has none.
    Fingerprints {
        /// The merchant account.
        of: EntityRef,
        /// The version.
        version: u32,
        /// How many were counted.
        count: u64,
    },
    /// Fewer than so many uses of the payment link stand at the moment of the commit, the one that is named not among
    /// them: the later of the set's time and that of the log's newest entry. Not met, it is answered with
    /// [`Error::Refused`](crate::Error::Refused) and code [`NO_USE_LEFT`], since deciding again would change nothing.
    Uses {
        /// The link. One that does not live has none.
        of: EntityRef,
        /// A use of it that is not counted.
        but: Option<EntityRef>,
        /// How many there are at most, and one.
        fewer_than: u64,
    },
}

/// The code of [`Expectation::Uses`] that is not met.
pub const NO_USE_LEFT: &str = "payment_link.no_use_left";

/// A key under which a command is carried out once: 1 to 255 visible ASCII characters, unique in its tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.len() > 255 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            let message = "must be 1 to 255 visible ASCII characters";
            return Err(Fault::new("idempotency_key.malformed", message).at("idempotency_key"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for IdempotencyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// A claim on an idempotency key: kept with the commit, in the same transaction. It goes with its tenant, but for one of
/// the very set that removes the tenant, which is kept for a repetition.
#[derive(Debug, Clone, PartialEq)]
pub struct IdempotencyClaim {
    /// The tenant in which the key is unique: the parent of what the command creates.
    pub tenant: Incarnation,
    /// The key.
    pub key: IdempotencyKey,
    /// HMAC-SHA-256 of the request in canonical form.
    pub request: [u8; 32],
    /// What the command answered, sealed, to be answered again.
    pub answer: Sealed,
    /// Until when the key is kept. An expired claim is as good as none.
    pub expires_at: Timestamp,
}

/// Everything that one command writes.
///
/// Changes are ordered so that every step alone holds up: parents before children, what frees a unique key before what
/// takes it. A set without changes is not committed.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeSet {
    /// Whose commit it is.
    pub owner: Owner,
    /// Who did it.
    pub actor: Actor,
    /// When, by the clock of who did it.
    pub at: Timestamp,
    /// Whether snapshots follow it.
    pub class: CommitClass,
    /// What it stood on.
    pub expectations: Vec<Expectation>,
    /// What it does, in order.
    pub changes: Vec<Change>,
    /// Under which key it is carried out once.
    pub idempotency: Option<IdempotencyClaim>,
}

impl ChangeSet {
    /// A set without changes.
    pub fn new(owner: Owner, actor: Actor, at: Timestamp, class: CommitClass) -> Self {
        Self { owner, actor, at, class, expectations: Vec::new(), changes: Vec::new(), idempotency: None }
    }

    /// Adds a new object.
    pub fn create(&mut self, record: impl Into<Record>) -> &mut Self {
        self.changes.push(Change::Create(record.into()));
        self
    }

    /// Adds an object's next version.
    pub fn update(&mut self, record: impl Into<Record>) -> &mut Self {
        self.changes.push(Change::Update(record.into()));
        self
    }

    /// Adds a removal.
    pub fn remove(&mut self, entity: EntityRef, version: u64, cascade: bool) -> &mut Self {
        self.changes.push(Change::Remove { entity, version, cascade });
        self
    }

    /// Adds that the object must live at this version.
    pub fn expect(&mut self, entity: EntityRef, version: u64) -> &mut Self {
        self.expectations.push(Expectation::Version { entity, version });
        self
    }

    /// What the log's entry lists.
    pub fn logged(&self) -> Vec<LogChange> {
        self.changes.iter().map(Change::logged).collect()
    }
}

/// What a commit that was applied leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Where its entry stands in the log.
    pub position: LogPosition,
    /// The entry's time.
    pub at: Timestamp,
}

/// What came of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// It was applied.
    Applied(Receipt),
    /// Its idempotency key was used by an equal request before; nothing was applied. This was its answer.
    Replayed(Sealed),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_is_visible_ascii() {
        assert!("order-1001:create".parse::<IdempotencyKey>().is_ok());
        for bad in ["", "a b", "ä", &"x".repeat(256)] {
            assert_eq!(bad.parse::<IdempotencyKey>().unwrap_err().code(), "idempotency_key.malformed");
        }
    }
}
