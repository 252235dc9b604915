//! Many entries at once: what crosses the store's trait when lists of millions are read, imported or purged.

use super::rule::{BlockAction, BlockKind, BlockRuleId, BlockScope};
use crate::error::Fault;
use crate::id::ProfileId;
use crate::time::Timestamp;

/// An entry in a [`BlockRows`], borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRow<'a> {
    /// What the value is.
    pub kind: BlockKind,
    /// The value.
    pub value: &'a str,
    /// Where the entry holds.
    pub scope: RowScope<'a>,
    /// What it does.
    pub action: BlockAction,
    /// When it stops matching.
    pub expires_at: Option<Timestamp>,
    /// Why it is there; `None` also where the reason was not asked for.
    pub reason: Option<&'a str>,
    /// What is kept with it, as the text of a JSON object; `None` also where it was not asked for.
    pub metadata: Option<&'a str>,
}

/// Where an entry in a [`BlockRows`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowScope<'a> {
    /// In all merchant accounts of an organization.
    Organization,
    /// In a merchant account.
    Merchant,
    /// In one profile of it.
    Profile(&'a ProfileId),
}

impl<'a> From<&'a BlockScope> for RowScope<'a> {
    fn from(scope: &'a BlockScope) -> Self {
        match scope {
            BlockScope::Organization => Self::Organization,
            BlockScope::Merchant => Self::Merchant,
            BlockScope::Profile(profile) => Self::Profile(profile),
        }
    }
}

impl From<RowScope<'_>> for BlockScope {
    fn from(scope: RowScope<'_>) -> Self {
        match scope {
            RowScope::Organization => Self::Organization,
            RowScope::Merchant => Self::Merchant,
            RowScope::Profile(profile) => Self::Profile(profile.clone()),
        }
    }
}

impl BlockRow<'_> {
    /// The entry's name.
    ///
    /// # Errors
    ///
    /// `text.…`, where the value is no text that an entry can have.
    pub fn id(&self) -> Result<BlockRuleId, Fault> {
        Ok(BlockRuleId { kind: self.kind, value: self.value.parse()?, scope: self.scope.into() })
    }
}

/// Entries of one blocklist, close together: some 40 bytes each beside their texts, and no allocation of their own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockRows {
    texts: String,
    rows: Vec<Packed>,
    profiles: Vec<ProfileId>,
}

/// Where the parts of an entry are. A text ends where the next one of its entry begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packed {
    value: usize,
    reason: u32,
    metadata: u32,
    end: u32,
    /// 0 for an organization, 1 for a merchant account, and 2 more than the place among the profiles.
    scope: u32,
    kind: BlockKind,
    action: BlockAction,
    expires_at: Option<Timestamp>,
}

impl BlockRows {
    /// No entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds an entry behind the others.
    pub fn push(&mut self, row: BlockRow<'_>) {
        let scope = match row.scope {
            RowScope::Organization => 0,
            RowScope::Merchant => 1,
            RowScope::Profile(profile) => {
                // Entries of one profile mostly follow each other.
                let known = self.profiles.iter().rposition(|known| known == profile).unwrap_or_else(|| {
                    self.profiles.push(profile.clone());
                    self.profiles.len() - 1
                });
                u32::try_from(known).unwrap_or(u32::MAX - 2) + 2
            }
        };
        let value = self.texts.len();
        let behind = |texts: &str| u32::try_from(texts.len() - value).unwrap_or(u32::MAX);
        self.texts.push_str(row.value);
        let reason = behind(&self.texts);
        self.texts.push_str(row.reason.unwrap_or_default());
        let metadata = behind(&self.texts);
        self.texts.push_str(row.metadata.unwrap_or_default());
        let end = behind(&self.texts);
        let BlockRow { kind, action, expires_at, .. } = row;
        self.rows.push(Packed { value, reason, metadata, end, scope, kind, action, expires_at });
    }

    /// The entry at a place.
    pub fn get(&self, at: usize) -> Option<BlockRow<'_>> {
        self.rows.get(at).map(|packed| self.unpacked(packed))
    }

    /// The entries, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = BlockRow<'_>> + DoubleEndedIterator {
        self.rows.iter().map(|packed| self.unpacked(packed))
    }

    fn unpacked(&self, packed: &Packed) -> BlockRow<'_> {
        let at = |offset: u32| packed.value.saturating_add(usize::try_from(offset).unwrap_or(usize::MAX));
        let text = |from: usize, to: usize| self.texts.get(from..to).unwrap_or_default();
        let some = |from: u32, to: u32| Some(text(at(from), at(to))).filter(|text| !text.is_empty());
        let profile = packed.scope.checked_sub(2).and_then(|at| self.profiles.get(usize::try_from(at).ok()?));
        BlockRow {
            kind: packed.kind,
            value: text(packed.value, at(packed.reason)),
            scope: match (packed.scope, profile) {
                (_, Some(profile)) => RowScope::Profile(profile),
                (0, None) => RowScope::Organization,
                (_, None) => RowScope::Merchant,
            },
            action: packed.action,
            expires_at: packed.expires_at,
            reason: some(packed.reason, packed.metadata),
            metadata: some(packed.metadata, packed.end),
        }
    }

    /// How many bytes the entries take.
    pub fn bytes(&self) -> usize {
        self.texts.len() + self.rows.len() * size_of::<Packed>()
    }
}
