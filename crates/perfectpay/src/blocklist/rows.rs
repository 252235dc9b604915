//! Many entries at once: what crosses the store's trait when lists of millions are read, imported or purged.

use std::cmp::Ordering;
use std::sync::Arc;

use super::fingerprint::Fingerprint;
use super::rule::{BlockAction, BlockKind, BlockRuleId, BlockRuleState, BlockScope};
use crate::actor::Actor;
use crate::error::{EntityKind, Error, Fault};
use crate::id::ProfileId;
use crate::stored::{EntityRef, Stored};
use crate::text::Text;
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

    /// Appends the entry's name to a text, as [`BlockRuleId`] writes it.
    pub fn write_name(&self, text: &mut String) {
        text.push_str(self.kind.into());
        match self.scope {
            RowScope::Organization => text.push_str("@*"),
            RowScope::Merchant => {}
            RowScope::Profile(profile) => {
                text.push('@');
                text.push_str(profile.as_str());
            }
        }
        text.push(':');
        text.push_str(self.value);
    }

    /// The entry's name, as [`BlockRuleId`] writes it.
    pub fn name(&self) -> String {
        let mut name = String::new();
        self.write_name(&mut name);
        name
    }

    /// The version of the secret under which its fingerprint was made; `None` for a foreign one, and for other kinds.
    pub fn fingerprint_version(&self) -> Option<u32> {
        let is_fingerprint = self.kind == BlockKind::Fingerprint;
        Some(self.value).filter(|_| is_fingerprint).and_then(Fingerprint::parse).map(|found| found.version)
    }

    /// What of the name decides about most orders: the kind and, of an account's own entry, the value's first bytes. Where two
    /// are alike, the names decide.
    fn front(&self) -> u128 {
        let kind = match self.kind {
            BlockKind::CardBin => 0,
            BlockKind::CardPrefix => 2,
            BlockKind::CardRange => 4,
            BlockKind::ExtendedCardBin => 6,
            BlockKind::Fingerprint => 8,
        };
        // A colon is before the sign behind which other scopes are named.
        let is_named = self.scope != RowScope::Merchant;
        let mut bytes = [0; 16];
        let [first, rest @ ..] = &mut bytes;
        *first = kind + u8::from(is_named);
        let value = if is_named { &[] } else { self.value.as_bytes() };
        rest.iter_mut().zip(value).for_each(|(place, byte)| *place = *byte);
        u128::from_be_bytes(bytes)
    }

    /// The order of the names as bytes, without writing them.
    fn by_name(&self, other: &Self) -> Ordering {
        let scope = |scope| match scope {
            RowScope::Merchant => [":", "", ""],
            RowScope::Organization => ["@", "*", ":"],
            RowScope::Profile(profile) => ["@", profile.as_str(), ":"],
        };
        let bytes = |scope: [&'_ str; 3]| scope.map(str::as_bytes).concat();
        // No kind's word begins another's.
        let kinds = || <&str>::from(self.kind).cmp(other.kind.into());
        let scopes = || {
            if self.scope == other.scope {
                Ordering::Equal
            } else {
                bytes(scope(self.scope)).cmp(&bytes(scope(other.scope)))
            }
        };
        if self.kind == other.kind { Ordering::Equal } else { kinds() }
            .then_with(scopes)
            .then_with(|| self.value.cmp(other.value))
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

    /// Adds an entry that is kept as a record; its reason and metadata only if `details` are asked for.
    pub fn push_record(&mut self, rule: &Stored<BlockRuleState>, details: bool) {
        let metadata = rule.state.metadata.as_ref().filter(|_| details);
        let metadata = metadata.and_then(|object| serde_json::to_string(object).ok());
        self.push(BlockRow {
            kind: rule.id.kind,
            value: &rule.id.value,
            scope: (&rule.id.scope).into(),
            action: rule.state.action,
            expires_at: rule.state.expires_at,
            reason: rule.state.reason.as_deref().filter(|_| details),
            metadata: metadata.as_deref(),
        });
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

    /// All texts of an entry.
    fn texts_of(&self, packed: &Packed) -> &str {
        let end = packed.value.saturating_add(usize::try_from(packed.end).unwrap_or(usize::MAX));
        self.texts.get(packed.value..end).unwrap_or_default()
    }

    /// Makes room for so many more entries like those that are there.
    pub fn reserve(&mut self, more: usize) {
        let each = self.texts.len().checked_div(self.rows.len()).unwrap_or_default() + 1;
        self.texts.reserve(each.saturating_mul(more));
        self.rows.reserve(more);
    }

    /// How many bytes the entries take.
    pub fn bytes(&self) -> usize {
        self.texts.len() + self.rows.len() * size_of::<Packed>()
    }
}

/// Entries in the order of their names as bytes, each name once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SortedRows(BlockRows);

impl SortedRows {
    /// Sorts entries. Of several with one name the first one that was given stays.
    pub fn of(rows: &BlockRows) -> Self {
        Self::traced(rows).0
    }

    /// Sorts entries, and answers besides at which place each of them was given.
    pub(crate) fn traced(rows: &BlockRows) -> (Self, Vec<usize>) {
        // What mostly decides lies beside the place: rows that are far apart are looked at only where it does not.
        let mut order: Vec<(u128, usize)> = rows.iter().map(|row| row.front()).zip(0..).collect();
        let by_name = |at: usize, other: usize| match (rows.get(at), rows.get(other)) {
            (Some(row), Some(other)) => row.by_name(&other),
            _ => Ordering::Equal,
        };
        order.sort_unstable_by(|(front, at), (other_front, other)| {
            front.cmp(other_front).then_with(|| by_name(*at, *other)).then_with(|| at.cmp(other))
        });
        order.dedup_by(|(front, at), (kept_front, kept)| front == kept_front && by_name(*at, *kept).is_eq());
        // Texts, too, stand in their order then, so that whoever walks over them reads one after the other.
        let mut sorted = BlockRows { profiles: rows.profiles.clone(), ..BlockRows::default() };
        sorted.rows.reserve_exact(order.len());
        sorted.texts.reserve_exact(rows.texts.len());
        let places: Vec<usize> = order.into_iter().map(|(_, at)| at).collect();
        for packed in places.iter().filter_map(|at| rows.rows.get(*at)) {
            let value = sorted.texts.len();
            sorted.texts.push_str(rows.texts_of(packed));
            sorted.rows.push(Packed { value, ..*packed });
        }
        (Self(sorted), places)
    }

    /// Leaves those out for whose places `keep` says no.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut at = 0;
        self.0.rows.retain(|_| {
            at += 1;
            keep(at - 1)
        });
    }

    /// The entries.
    pub fn rows(&self) -> &BlockRows {
        &self.0
    }
}

/// Many new entries of one blocklist.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRules {
    of: EntityRef,
    rows: Arc<SortedRows>,
    author: Actor,
    source: Option<Text<255>>,
    created_at: Timestamp,
}

impl NewRules {
    /// Entries of an organization or a merchant account, all added by one, from one source, at one moment.
    ///
    /// # Errors
    ///
    /// `blocklist.other_scope`, where an entry holds in another scope than the list's: an organization's in a merchant
    /// account, or the other way round. `changes.empty`, where there are none.
    pub fn new(
        of: EntityRef,
        rows: Arc<SortedRows>,
        author: Actor,
        source: Option<Text<255>>,
        created_at: Timestamp,
    ) -> Result<Self, Fault> {
        Self::check(&of, rows.rows())?;
        Ok(Self { of, rows, author, source, created_at })
    }

    /// Whether there are rows, and all of them hold where the list is.
    pub(crate) fn check(of: &EntityRef, rows: &BlockRows) -> Result<(), Fault> {
        if rows.is_empty() {
            return Err(Fault::new("changes.empty", "must have a change").at("changes"));
        }
        let is_organization = of.kind == EntityKind::Organization;
        if rows.iter().any(|row| (row.scope == RowScope::Organization) != is_organization) {
            return Err(Fault::new("blocklist.other_scope", "must hold where the list is").at("scope"));
        }
        Ok(())
    }

    /// Whose they are.
    pub fn of(&self) -> &EntityRef {
        &self.of
    }

    /// The entries.
    pub fn rows(&self) -> &BlockRows {
        &self.rows.0
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

    /// The record of one of them.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], for a row whose texts cannot be an entry's.
    pub fn record(&self, row: &BlockRow<'_>) -> Result<Stored<BlockRuleState>, Error> {
        let corrupt = |_| Error::corrupt("an entry of a blocklist");
        let metadata = row.metadata.map(serde_json::from_str).transpose();
        let state = BlockRuleState {
            action: row.action,
            expires_at: row.expires_at,
            reason: row.reason.map(str::parse).transpose().map_err(corrupt)?,
            source: self.source.clone(),
            author: self.author.clone(),
            metadata: metadata.map_err(|_| Error::corrupt("what is kept with an entry of a blocklist"))?,
        };
        Ok(Stored::new(self.of.tenant, row.id().map_err(corrupt)?, self.created_at, state))
    }
}

/// Entries of one blocklist that go because they have expired.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpiredRules {
    /// Whose they are: an organization's or a merchant account's.
    pub of: EntityRef,
    /// By which moment each of them must have expired.
    pub expired_by: Timestamp,
    /// Which.
    pub rows: SortedRows,
}

/// How many entries a blocklist has of one sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockCount {
    /// What their values are.
    pub kind: BlockKind,
    /// Under which version of the secret their fingerprints were made; `None` for foreign ones, and for other kinds.
    pub fingerprint_version: Option<u32>,
    /// How many.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(kind: BlockKind, value: &'a str, scope: RowScope<'a>) -> BlockRow<'a> {
        let (action, expires_at) = (BlockAction::Block, None);
        BlockRow { kind, value, scope, action, expires_at, reason: None, metadata: None }
    }

    #[test]
    fn what_is_pushed_is_what_is_there() {
        let profiles: Vec<ProfileId> = ["pro_a", "pro_b"].map(|id| id.parse().unwrap()).into();
        let mut rows = BlockRows::new();
        let mut expected = Vec::new();
        for (at, value) in ["a", "日本", "c:d", "x"].into_iter().enumerate() {
            let scope = match at {
                0 => RowScope::Merchant,
                at => RowScope::Profile(&profiles[at % 2]),
            };
            let reason = Some("why").filter(|_| at != 1);
            let metadata = Some("{}").filter(|_| at > 1);
            let expires_at = Timestamp::from_unix_millis(7).filter(|_| at == 3);
            let row = BlockRow { expires_at, reason, metadata, ..row(BlockKind::Fingerprint, value, scope) };
            rows.push(row);
            expected.push(row);
        }
        assert_eq!(rows.iter().collect::<Vec<_>>(), expected);
        assert_eq!((rows.len(), rows.get(2), rows.get(4)), (4, Some(expected[2]), None));
        assert!(rows.bytes() < 4 * 80);
    }

    #[test]
    fn rows_are_sorted_by_their_names_and_each_name_stays_once() {
        let profiles: Vec<ProfileId> = ["pro_a", "pro_a-b", "pro_aa", "pro_A"].map(|id| id.parse().unwrap()).into();
        let mut scopes = vec![RowScope::Merchant, RowScope::Organization];
        scopes.extend(profiles.iter().map(RowScope::Profile));
        let mut rows = BlockRows::new();
        let kinds = [BlockKind::CardRange, BlockKind::Fingerprint, BlockKind::CardBin, BlockKind::ExtendedCardBin];
        for (turn, kind) in [0, 1].into_iter().flat_map(|turn| kinds.map(|kind| (turn, kind))) {
            for scope in &scopes {
                for value in ["b", "a", "ä", "a:", "Z"] {
                    let reason = Some("again").filter(|_| turn == 1);
                    rows.push(BlockRow { reason, ..row(kind, value, *scope) });
                }
            }
        }
        let half = rows.len() / 2;
        let mut expected: Vec<String> = rows.iter().take(half).map(|row| row.name()).collect();
        expected.sort();
        let (sorted, places) = SortedRows::traced(&rows);
        assert_eq!(sorted.rows().iter().map(|row| row.name()).collect::<Vec<_>>(), expected);
        assert!(places.iter().all(|place| *place < half) && places.len() == half);
        assert!(sorted.rows().iter().all(|row| row.reason.is_none()), "the first one stays");
        for row in sorted.rows().iter() {
            assert_eq!(row.id().unwrap().to_string(), row.name());
        }
    }
}
