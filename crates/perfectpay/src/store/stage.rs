//! Stages: where new entries of a blocklist wait, unseen, until one commit makes them all entries.
//!
//! A list that is too long for one change set is put on a stage part by part ([`Store::stage`](super::Store::stage)), asked
//! which of its names are taken ([`Store::taken`](super::Store::taken)), and made live by one
//! [`Change::AddStagedRules`](super::Change::AddStagedRules). Nothing else sees a stage: no read, no list, no count, no
//! log and no export. What was left behind goes by [`Prune::Stage`](super::Prune::Stage) and
//! [`Prune::Stages`](super::Prune::Stages), or with its tenant.

use std::fmt;
use std::sync::Arc;

use crate::actor::Actor;
use crate::blocklist::{BlockRows, NewRules, SortedRows};
use crate::error::Fault;
use crate::id::{Incarnation, ProfileId};
use crate::stored::EntityRef;
use crate::text::Text;
use crate::time::Timestamp;

/// The code of a commit, or of a part, whose stage is not there, was made live already, or lost rows.
pub const STAGE_GONE: &str = "block_rule.stage_gone";

/// Which stage: 16 bytes (a `UUIDv7`) that are never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(Incarnation);

impl StageId {
    /// A new one.
    pub fn make(now: Timestamp, random: &[u8; 10]) -> Self {
        Self(Incarnation::make(now, random))
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StageId({})", self.0)
    }
}

/// Rows that come to a stage behind those that are there. The first part makes the stage, and every other one comes behind
/// the one before it or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedPart {
    stage: StageId,
    of: EntityRef,
    ordinal: u32,
    rows: Arc<SortedRows>,
    numbers: Arc<[u64]>,
    at: Timestamp,
}

impl StagedPart {
    /// The part with this ordinal, from 1: rows for the list of an organization or a merchant account, each with its number,
    /// at one moment by the clock of who brings them. No two rows of a stage have one number, and the lower one was given
    /// first.
    ///
    /// # Errors
    ///
    /// `changes.empty`, where there are none; `blocklist.other_scope`, where one holds in another scope than the list's;
    /// `text.…`, where a value is no text that an entry can have; `block_rule.stage_numbers`, where there are not as many
    /// numbers as rows, two are equal, or one is beyond 2⁶³ − 1, and where the ordinal is 0.
    pub fn new(
        stage: StageId,
        of: EntityRef,
        ordinal: u32,
        rows: Arc<SortedRows>,
        numbers: Vec<u64>,
        at: Timestamp,
    ) -> Result<Self, Fault> {
        NewRules::check(&of, rows.rows())?;
        for row in rows.rows().iter() {
            row.id()?;
        }
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        let is_twice = sorted.windows(2).any(|pair| matches!(pair, [number, next] if number == next));
        let is_beyond = sorted.last().is_some_and(|last| i64::try_from(*last).is_err());
        if numbers.len() != rows.rows().len() || is_twice || is_beyond || ordinal == 0 {
            return Err(Fault::new("block_rule.stage_numbers", "must be one of its own for each row").at("numbers"));
        }
        Ok(Self { stage, of, ordinal, rows, numbers: numbers.into(), at })
    }

    /// Where they come.
    pub fn stage(&self) -> StageId {
        self.stage
    }

    /// Whose list they are for.
    pub fn of(&self) -> &EntityRef {
        &self.of
    }

    /// Which part it is, from 1.
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// The rows, each name once.
    pub fn rows(&self) -> &BlockRows {
        self.rows.rows()
    }

    /// Their numbers, in their order.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// When they come, by the clock of who brings them: what [`Prune::Stages`](super::Prune::Stages) goes by.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

/// What makes the rows of a stage entries: all of them but some.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedRules {
    of: EntityRef,
    stage: StageId,
    without: Arc<[u64]>,
    count: u64,
    author: Actor,
    source: Option<Text<255>>,
    created_at: Timestamp,
}

impl StagedRules {
    /// The rows of a stage but those with these numbers: so many of them, all added by one, from one source, at one moment.
    ///
    /// # Errors
    ///
    /// `changes.empty`, where there are none.
    pub fn new(
        of: EntityRef,
        stage: StageId,
        mut without: Vec<u64>,
        count: u64,
        author: Actor,
        source: Option<Text<255>>,
        created_at: Timestamp,
    ) -> Result<Self, Fault> {
        if count == 0 {
            return Err(Fault::new("changes.empty", "must have a change").at("changes"));
        }
        without.sort_unstable();
        without.dedup();
        Ok(Self { of, stage, without: without.into(), count, author, source, created_at })
    }

    /// Whose list it is.
    pub fn of(&self) -> &EntityRef {
        &self.of
    }

    /// Which stage.
    pub fn stage(&self) -> StageId {
        self.stage
    }

    /// Whether the row with this number stays where it is.
    pub fn leaves_out(&self, number: u64) -> bool {
        self.without.binary_search(&number).is_ok()
    }

    /// How many rows become entries.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Who adds them.
    pub fn author(&self) -> &Actor {
        &self.author
    }

    /// Where they come from.
    pub fn source(&self) -> Option<&Text<255>> {
        self.source.as_ref()
    }

    /// When they are added.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Those of its rows that become entries, as entries that are added together.
    ///
    /// # Errors
    ///
    /// As [`NewRules::new`].
    pub fn with(&self, rows: Arc<SortedRows>) -> Result<NewRules, Fault> {
        NewRules::new(self.of.clone(), rows, self.author.clone(), self.source.clone(), self.created_at)
    }
}

/// What a stage holds for a [`StagedRules`], rows that stay where they are not counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StageView {
    /// How many rows it has.
    pub count: u64,
    /// The first one by name whose name an entry of the list has, or another row of the stage.
    pub taken: Option<EntityRef>,
    /// In which profiles rows hold, in the order of their ids, each once.
    pub profiles: Vec<ProfileId>,
}
