//! A hash table that is never changed: an update makes a new one, which shares everything but one leaf and the two or
//! three branches above it with the one before.
//!
//! Digests are uniform, so their order is as good as any hash. A tree over their leading bits ends in leaves of at most a
//! few thousand slots. A leaf is its entries in order, in groups of four that for a digest alone are one cache line, each in
//! the group that its digest points at or, where that is full, closely behind. Branches are few and stay in the nearest
//! caches: what is found costs one line of memory.
//!
//! A table of more than one leaf has a [`Filter`] in front: what is not there is mostly found out by one word, whose place is
//! known before anything was read.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use prefetch_index::prefetch_index;

use super::filter::Filter;

/// Bits of the digest that one branch decides on. An edit copies a leaf and a branch of each level, whose children it counts
/// as shared, most of them far away: at ten million entries 28 microseconds with 64 children and 21 with 16. With 32 it was 9,
/// since leaves are small at that length, but eight times as many leaves made every look-up slower.
pub(super) const BITS: u32 = 4;
/// Children of a branch.
const FANOUT: usize = 1 << BITS;
/// The most entries that a leaf has before it becomes a branch.
const LEAF: usize = 4_096;
/// Entries below which a branch becomes a leaf again.
const JOIN: usize = LEAF / 4;
/// So many branches above each other decide on different bits; below them a leaf grows without a limit.
const DEPTH: u32 = 120 / BITS;
/// Slots of a group.
const GROUP: usize = 4;
/// Entries for each group of a leaf when it is made.
const LOAD: usize = 3;
/// Bits of the filter for each entry.
const FILTER: usize = 12;
/// Parts, by a digest's leading bits, in which a filter is made anew.
const PARTS: usize = 1 << PART_BITS;
const PART_BITS: u32 = 12;

/// What stands in front of a long table.
#[derive(Clone)]
struct Front {
    filter: Filter,
    /// The one that takes the place of a worn one, and of how many [parts](PARTS) of the table it has the entries. Edits bring it
    /// on, so that none of them has to wait for all of it.
    next: Option<(Filter, usize)>,
}

/// What a table keeps.
pub(super) trait Slot: Copy + Send + Sync + 'static {
    /// Stands where nothing does; its digest is [`u128::MAX`], which nothing else's is.
    const EMPTY: Self;
    /// Whether equal slots have nothing that differs.
    const IS_ITS_NAME: bool = false;
    /// Whether a long table has filters in front.
    const IS_FILTERED: bool = true;

    /// Where it belongs.
    fn digest(&self) -> u128;

    /// Half of a digest, which two that stand close together hardly ever have in common.
    #[inline]
    fn word(digest: u128) -> u64 {
        low(digest)
    }

    /// What a filter is shown of a digest.
    #[inline]
    fn shown(digest: u128) -> u64 {
        low(digest >> 64)
    }

    /// The order of entries. Equal ones are the same entry, of which a table keeps one; begins with the digest's order.
    fn order(&self, other: &Self) -> Ordering;
}

impl Slot for u128 {
    const EMPTY: Self = Self::MAX;
    const IS_ITS_NAME: bool = true;

    #[inline]
    fn digest(&self) -> u128 {
        *self
    }

    #[inline]
    fn order(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

/// Slots side by side, the free ones last.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Group<S>([S; GROUP]);

#[derive(Clone)]
enum Node<S> {
    Leaf(Leaf<S>),
    Branch(Arc<Branch<S>>),
}

/// Stands in its branch, so that whoever comes from there reads nothing between it and the slots.
#[derive(Clone)]
struct Leaf<S> {
    groups: Arc<[Group<S>]>,
    len: u32,
    /// The groups that digests point at; behind them may follow more for what found those full.
    homes: u32,
}

#[derive(Clone)]
struct Branch<S> {
    /// Entries below.
    len: usize,
    children: [Node<S>; FANOUT],
}

/// A set of slots.
#[derive(Clone)]
pub(super) struct Table<S> {
    root: Option<Node<S>>,
    /// Where the root is a branch.
    front: Option<Front>,
    len: usize,
    /// Of the nodes.
    bytes: usize,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self { root: None, front: None, len: 0, bytes: 0 }
    }
}

/// One change of a table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edit<S> {
    /// Puts the slot in, in place of an equal one.
    Put(S),
    /// Takes the slot out that is equal to this one, if there is one.
    Take(S),
}

impl<S: Copy> Edit<S> {
    pub(super) fn slot(&self) -> S {
        match *self {
            Self::Put(slot) | Self::Take(slot) => slot,
        }
    }
}

/// What an update changed besides the nodes.
#[derive(Default)]
struct Tally {
    added: usize,
    removed: usize,
    bytes_more: usize,
    bytes_less: usize,
}

impl<S: Slot> Table<S> {
    /// A table of these slots; of equal ones the last.
    pub(super) fn build(mut slots: Vec<S>) -> Self {
        if S::IS_ITS_NAME {
            slots.sort_unstable_by(S::order);
        } else {
            // `dedup_by` drops the later of two; what was given last is to stay.
            slots.reverse();
            slots.sort_by(S::order);
        }
        slots.dedup_by(|a, b| a.order(b).is_eq());
        if slots.is_empty() {
            return Self::default();
        }
        let mut tally = Tally::default();
        let root = Node::build(&slots, 0, &mut tally);
        let front = (S::IS_FILTERED && matches!(root, Node::Branch(_))).then(|| Front::of(&slots));
        Self { root: Some(root), front, len: slots.len(), bytes: tally.bytes_more }
    }

    /// Those of the edits that change something, in the order of the table: of several of one entry the last, and none
    /// that takes what is not there.
    pub(super) fn settled(&self, mut edits: Vec<Edit<S>>) -> Vec<Edit<S>> {
        edits.sort_by(|a, b| a.slot().order(&b.slot()));
        edits.reverse();
        edits.dedup_by(|a, b| a.slot().order(&b.slot()).is_eq());
        edits.reverse();
        edits.retain(|edit| match edit {
            Edit::Put(slot) => !S::IS_ITS_NAME || !self.has(slot),
            Edit::Take(slot) => self.has(slot),
        });
        edits
    }

    /// Whether an equal entry is there.
    pub(super) fn has(&self, slot: &S) -> bool {
        self.all(slot.digest()).any(|kept| kept.order(slot).is_eq())
    }

    /// The table after edits that are [settled](Self::settled).
    pub(super) fn edited(&self, edits: Vec<Edit<S>>) -> Self {
        if edits.is_empty() {
            return self.clone();
        }
        let Some(root) = &self.root else {
            let put = |edit: Edit<S>| match edit {
                Edit::Put(slot) => Some(slot),
                Edit::Take(_) => None,
            };
            return Self::build(edits.into_iter().filter_map(put).collect());
        };
        let mut tally = Tally::default();
        let root = root.edited(&edits, 0, &mut tally);
        let len = self.len + tally.added - tally.removed;
        if len == 0 {
            return Self::default();
        }
        let front = self.marked(&root, len, &edits);
        Self { root: Some(root), front, len, bytes: self.bytes + tally.bytes_more - tally.bytes_less }
    }

    /// What stands in front of the table that edits made.
    fn marked(&self, root: &Node<S>, len: usize, edits: &[Edit<S>]) -> Option<Front> {
        if !S::IS_FILTERED || matches!(root, Node::Leaf(_)) {
            return None;
        }
        let Some(mut front) = self.front.clone() else {
            let mut slots = Vec::new();
            root.collect(&mut slots, &mut 0);
            return Some(Front::of(&slots));
        };
        edits.iter().filter(|edit| matches!(edit, Edit::Put(_))).for_each(|edit| front.mark::<S>(edit.slot().digest()));
        // Each edit brings some leaf's worth of entries over: as much as it had to copy.
        let parts = (PARTS * LEAF).saturating_mul(edits.len()) / len.max(1);
        front.renewed(root, len, parts.clamp(1, PARTS));
        Some(front)
    }

    /// All entries, in order.
    pub(super) fn kept(&self) -> Vec<S> {
        let mut slots = Vec::with_capacity(self.len);
        self.root.iter().for_each(|root| root.collect(&mut slots, &mut 0));
        slots
    }

    /// Whether there may be an entry with this digest: of what is not there, one in a hundred may be.
    #[inline]
    pub(super) fn may_have(&self, digest: u128) -> bool {
        self.may_have_shown(S::shown(digest))
    }

    /// [`Self::may_have`] of a digest of which only that much is known which a filter is shown.
    #[inline]
    pub(super) fn may_have_shown(&self, shown: u64) -> bool {
        match &self.front {
            Some(front) => front.filter.may_have(shown),
            None => self.root.is_some(),
        }
    }

    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.front.as_ref().map_or(0, Front::bytes)
    }

    /// The leaf where a digest belongs, and the group of it.
    #[inline]
    fn seek(&self, digest: u128) -> Option<(&Leaf<S>, usize)> {
        let mut node = self.root.as_ref()?;
        let mut rest = digest;
        loop {
            match node {
                Node::Leaf(leaf) => return Some((leaf, home(rest, leaf.homes))),
                Node::Branch(branch) => {
                    node = branch.children.get(part(rest))?;
                    rest <<= BITS;
                }
            }
        }
    }

    /// The first entry with this digest. Whoever asks has asked [`Self::may_have`].
    #[inline]
    pub(super) fn find(&self, digest: u128) -> Option<&S> {
        let (leaf, home) = self.seek(digest)?;
        let groups = leaf.groups.get(home..)?;
        let [Group(near), Group(next), ..] = groups else { return None };
        // Most are in one of two groups. In which place of them nobody can foresee, so that it decides no branch: the
        // processor goes on to the next card before these have come. Half of each digest is enough to find the place.
        let word = S::word(digest);
        let mut place = 2 * GROUP;
        // Two loops of a known length are made straight, one over both is not.
        for (at, slot) in (0..GROUP).zip(near) {
            place = if S::word(slot.digest()) == word { at } else { place };
        }
        for (at, slot) in (GROUP..2 * GROUP).zip(next) {
            place = if S::word(slot.digest()) == word { at } else { place };
        }
        let found = groups.get(place / GROUP).and_then(|Group(slots)| slots.get(place % GROUP));
        if place < 2 * GROUP && found.is_some_and(|slot| slot.digest() == digest) {
            return found;
        }
        if place == 2 * GROUP && next.last()?.digest() > digest {
            return None;
        }
        self.all(digest).next()
    }

    /// Has what [`Self::may_have_shown`] looks at brought near.
    #[inline]
    pub(super) fn prefetch_shown(&self, shown: u64) {
        if let Some(front) = &self.front {
            front.filter.prefetch(shown);
        }
    }

    /// Has the slots that [`Self::find`] looks at brought near.
    #[inline]
    pub(super) fn prefetch(&self, digest: u128) {
        if let Some((leaf, home)) = self.seek(digest) {
            prefetch_index(&leaf.groups, home);
            prefetch_index(&leaf.groups, home + 1);
        }
    }

    /// The entries with this digest.
    pub(super) fn all(&self, digest: u128) -> impl Iterator<Item = &S> {
        let sought = if self.may_have(digest) { self.seek(digest) } else { None };
        let groups = sought.and_then(|(leaf, home)| leaf.groups.get(home..)).unwrap_or_default();
        groups
            .iter()
            .flat_map(|Group(slots)| slots)
            .skip_while(move |slot| slot.digest() < digest)
            .take_while(move |slot| slot.digest() == digest)
    }
}

impl Front {
    fn of<S: Slot>(slots: &[S]) -> Self {
        Self { filter: Filter::of(slots.iter().map(|slot| S::shown(slot.digest())), FILTER), next: None }
    }

    fn mark<S: Slot>(&self, digest: u128) {
        self.filter.mark(S::shown(digest));
        // The other parts are marked as a whole when their turn comes.
        if let Some((next, parts)) = &self.next
            && part_of_all(digest) < *parts
        {
            next.mark(S::shown(digest));
        }
    }

    /// Brings the successor of a filter that is worn, or far too large, on by so many parts of the table, which has `len`
    /// entries.
    fn renewed<S: Slot>(&mut self, root: &Node<S>, len: usize, parts: usize) {
        if self.next.is_none() && self.filter.suits(len, FILTER) {
            return;
        }
        // One that was begun for another length would be replaced again as soon as it is done.
        let begun = self.next.take().filter(|(next, _)| next.suits(len, FILTER));
        let (next, done) = begun.unwrap_or_else(|| (Filter::for_len(len, FILTER), 0));
        let turn = done..PARTS.min(done + parts);
        root.each_of_parts(&turn, 0, PARTS, &mut |slot| next.mark(S::shown(slot.digest())));
        if turn.end < PARTS {
            self.next = Some((next, turn.end));
        } else {
            self.filter = next;
        }
    }

    fn bytes(&self) -> usize {
        self.filter.bytes() + self.next.as_ref().map_or(0, |(next, _)| next.bytes())
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
#[inline]
pub(super) fn low(digest: u128) -> u64 {
    digest as u64
}

/// The group of `homes` that the digest's leading bits point at: monotone, so that the order of digests is that of groups.
#[inline]
fn home(digest: u128, homes: u32) -> usize {
    let at = (u128::from(low(digest >> 64)) * u128::from(homes)) >> 64;
    usize::try_from(low(at)).unwrap_or_default()
}

/// The part of a whole table that the digest's leading bits choose.
fn part_of_all(digest: u128) -> usize {
    usize::try_from(low(digest >> (128 - PART_BITS))).unwrap_or_default()
}

/// The child of a branch that the digest's leading bits choose.
#[inline]
fn part(digest: u128) -> usize {
    usize::try_from(low(digest >> (128 - BITS))).unwrap_or_default()
}

impl<S: Slot> Node<S> {
    /// The node that keeps slots in order, all of which agree in the bits above `depth`.
    fn build(slots: &[S], depth: u32, tally: &mut Tally) -> Self {
        if is_leaf(slots.len(), depth) {
            let leaf = Leaf::of(slots, depth);
            tally.bytes_more += leaf.bytes();
            return Self::Leaf(leaf);
        }
        let mut rest = slots;
        let children = std::array::from_fn(|child| {
            let count = rest.partition_point(|slot| part(slot.digest() << (depth * BITS)) <= child);
            let (front, behind) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = behind;
            Self::build(front, depth + 1, tally)
        });
        tally.bytes_more += branch_bytes::<S>();
        Self::Branch(Arc::new(Branch { len: slots.len(), children }))
    }

    fn edited(&self, edits: &[Edit<S>], depth: u32, tally: &mut Tally) -> Self {
        match self {
            Self::Leaf(leaf) => {
                tally.bytes_less += leaf.bytes();
                if let [edit] = edits
                    && let Some((next, more)) = leaf.edited(edit, depth)
                {
                    tally.added += usize::from(more && matches!(edit, Edit::Put(_)));
                    tally.removed += usize::from(more && matches!(edit, Edit::Take(_)));
                    tally.bytes_more += next.bytes();
                    return Self::Leaf(next);
                }
                let slots = leaf.merged(edits, tally);
                Self::build(&slots, depth, tally)
            }
            Self::Branch(branch) => {
                let mut branch = Branch::clone(branch);
                let (added, removed) = (tally.added, tally.removed);
                let part_of = |edit: &Edit<S>| part(edit.slot().digest() << (depth * BITS));
                for run in edits.chunk_by(|a, b| part_of(a) == part_of(b)) {
                    let child = run.first().and_then(|edit| branch.children.get_mut(part_of(edit)));
                    if let Some(child) = child {
                        *child = child.edited(run, depth + 1, tally);
                    }
                }
                branch.len = branch.len + (tally.added - added) - (tally.removed - removed);
                if branch.len <= JOIN {
                    let node = Self::Branch(Arc::new(branch));
                    let mut slots = Vec::new();
                    node.collect(&mut slots, &mut tally.bytes_less);
                    return Self::build(&slots, depth, tally);
                }
                Self::Branch(Arc::new(branch))
            }
        }
    }

    /// Hands out what lies in some of the table's parts, from a node that begins with part `first` and covers `span` of them.
    fn each_of_parts(&self, turn: &Range<usize>, first: usize, span: usize, found: &mut impl FnMut(S)) {
        if turn.end <= first || first + span <= turn.start {
            return;
        }
        match self {
            Self::Leaf(leaf) => leaf.kept().filter(|slot| turn.contains(&part_of_all(slot.digest()))).for_each(found),
            Self::Branch(branch) => {
                for (at, child) in branch.children.iter().enumerate() {
                    child.each_of_parts(turn, first + at * span / FANOUT, (span / FANOUT).max(1), found);
                }
            }
        }
    }

    /// Everything below, in order, and how many bytes it took.
    fn collect(&self, slots: &mut Vec<S>, bytes: &mut usize) {
        match self {
            Self::Leaf(leaf) => {
                *bytes += leaf.bytes();
                slots.extend(leaf.kept());
            }
            Self::Branch(branch) => {
                *bytes += branch_bytes::<S>();
                for child in &branch.children {
                    child.collect(slots, bytes);
                }
            }
        }
    }
}

impl<S: Slot> Leaf<S> {
    /// The leaf of these slots, which are in order: each in the group that its digest points at, or behind what found that
    /// full.
    fn of(slots: &[S], depth: u32) -> Self {
        let homes = homes(slots.len());
        let place_behind = |last: usize, slot: &S| last.max(home(slot.digest() << (depth * BITS), homes) * GROUP) + 1;
        let groups = slots.iter().fold(1, place_behind).div_ceil(GROUP);
        // One more than digests point at: a look-up reads two.
        let groups = groups.max(usize::try_from(homes).unwrap_or_default() + 1);
        let mut placed = vec![Group([S::EMPTY; GROUP]); groups];
        slots.iter().fold(0, |last, slot| {
            let behind = place_behind(last, slot);
            let group = placed.get_mut((behind - 1) / GROUP);
            if let Some(place) = group.and_then(|Group(group)| group.get_mut((behind - 1) % GROUP)) {
                *place = *slot;
            }
            behind
        });
        Self { groups: placed.into(), len: count(slots.len()), homes }
    }

    /// The leaf after one edit, and whether that made it longer or shorter. `None` where it is to be made anew.
    fn edited(&self, edit: &Edit<S>, depth: u32) -> Option<(Self, bool)> {
        let slot = edit.slot();
        let first = home(slot.digest() << (depth * BITS), self.homes);
        // Behind full groups whose last entry comes before it.
        let behind =
            self.groups.get(first..)?.iter().position(|Group(slots)| !slots.iter().all(|s| s.order(&slot).is_lt()));
        let mut at = first + behind?;
        let found = self.groups.get(at)?.0.iter().position(|kept| kept.order(&slot).is_ge())?;
        let is_there = self.groups.get(at)?.0.get(found)?.order(&slot).is_eq();
        if !is_there && matches!(edit, Edit::Take(_)) {
            return Some((self.clone(), false));
        }
        let mut groups: Arc<[Group<S>]> = self.groups.iter().copied().collect();
        let moving = Arc::get_mut(&mut groups)?;
        let mut len = self.len;
        match edit {
            Edit::Put(slot) if is_there => *moving.get_mut(at)?.0.get_mut(found)? = *slot,
            Edit::Put(slot) => {
                len += 1;
                // Beyond so many entries groups run over too often.
                let most = self.homes.saturating_mul(13) / 4;
                if !is_leaf(usize::try_from(len).ok()?, depth) || len > most.max(count(LOAD)) {
                    return None;
                }
                let mut place = found;
                let mut carried = *slot;
                while carried.digest() != u128::MAX {
                    let Group(group) = moving.get_mut(at)?;
                    let over = *group.last()?;
                    group.get_mut(place..)?.rotate_right(1);
                    *group.get_mut(place)? = carried;
                    (carried, place, at) = (over, 0, at + 1);
                }
            }
            Edit::Take(_) => {
                len -= 1;
                if len.saturating_mul(3) < self.homes.saturating_mul(count(LOAD)) {
                    return None;
                }
                let mut place = found;
                loop {
                    // What follows closes up; the next group's first one, if it belongs here or before, comes over.
                    let over = moving.get(at + 1).and_then(|Group(group)| group.first()).copied();
                    let over = over.filter(|over| {
                        over.digest() != u128::MAX && home(over.digest() << (depth * BITS), self.homes) <= at
                    });
                    let Group(group) = moving.get_mut(at)?;
                    group.get_mut(place..)?.rotate_left(1);
                    *group.last_mut()? = over.unwrap_or(S::EMPTY);
                    if over.is_none() {
                        break;
                    }
                    (place, at) = (0, at + 1);
                }
            }
        }
        Some((Self { groups, len, homes: self.homes }, !(is_there && matches!(edit, Edit::Put(_)))))
    }

    fn kept(&self) -> impl Iterator<Item = S> {
        self.groups.iter().flat_map(|Group(slots)| slots).copied().filter(|slot| slot.digest() != u128::MAX)
    }

    /// Its slots after the edits, in order as both are.
    fn merged(&self, edits: &[Edit<S>], tally: &mut Tally) -> Vec<S> {
        let mut slots = Vec::with_capacity(self.groups.len() * GROUP + edits.len());
        let mut edits = edits.iter().peekable();
        let mut apply = |edit: &Edit<S>, was: bool, slots: &mut Vec<S>| match edit {
            Edit::Put(slot) => {
                tally.added += usize::from(!was);
                slots.push(*slot);
            }
            Edit::Take(_) => tally.removed += usize::from(was),
        };
        for slot in self.kept() {
            while let Some(edit) = edits.next_if(|edit| edit.slot().order(&slot).is_lt()) {
                apply(edit, false, &mut slots);
            }
            match edits.next_if(|edit| edit.slot().order(&slot).is_eq()) {
                Some(edit) => apply(edit, true, &mut slots),
                None => slots.push(slot),
            }
        }
        for edit in edits {
            apply(edit, false, &mut slots);
        }
        slots
    }

    /// Bytes on the heap, the counters of its [`Arc`] included.
    fn bytes(&self) -> usize {
        align_of::<Group<S>>() + self.groups.len() * size_of::<Group<S>>()
    }
}

/// Whether so many entries make a leaf.
fn is_leaf(len: usize, depth: u32) -> bool {
    len <= LEAF || depth >= DEPTH
}

/// The groups that so many entries are spread over.
fn homes(len: usize) -> u32 {
    count(len.div_ceil(LOAD).max(1))
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn branch_bytes<S>() -> usize {
    16 + size_of::<Branch<S>>()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Digests that are spread as real ones, from a counter.
    fn digest(n: u64) -> u128 {
        let mut x = u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).wrapping_add(1);
        x ^= x >> 67;
        x = x.wrapping_mul(0xDA94_2042_E4DD_58B5_BF58_476D_1CE4_E5B9);
        x ^ (x >> 71)
    }

    fn has(table: &Table<u128>, digest: u128) -> bool {
        table.may_have(digest) && table.find(digest) == Some(&digest)
    }

    fn walked(table: &Table<u128>) -> (Vec<u128>, usize) {
        let (mut slots, mut bytes) = (Vec::new(), 0);
        table.root.iter().for_each(|root| root.collect(&mut slots, &mut bytes));
        (slots, bytes)
    }

    #[test]
    fn a_table_has_what_was_put_in_and_nothing_else_whatever_its_size() {
        for size in [0, 1, 2, 3, 4, 5, 100, 4_095, 4_096, 4_097, 70_000, 300_000] {
            let table = Table::build((0..size).map(digest).collect());
            assert_eq!(table.len(), usize::try_from(size).unwrap());
            assert!((0..size).all(|n| has(&table, digest(n))), "{size}");
            assert!((size..size + 70_000).all(|n| !has(&table, digest(n))), "{size}");
        }
    }

    #[test]
    fn digests_that_are_not_spread_at_all_are_found_too() {
        let table = Table::build((0..10_000).collect::<Vec<u128>>());
        assert!((0..10_000).all(|n| has(&table, n)));
        assert!(!has(&table, 10_000) && !has(&table, u128::MAX - 1));
        let table = table.edited((0..10_000).step_by(2).map(Edit::Take).collect());
        assert!((0..10_000).all(|n| has(&table, n) == (n % 2 == 1)));
    }

    #[test]
    fn edits_one_by_one_and_all_at_once_leave_what_a_set_would_have() {
        let (mut table, mut set) = (Table::default(), BTreeSet::new());
        for n in 0..9_000_u64 {
            let slot = digest(n.wrapping_mul(n) % 6_000);
            if n % 3 == 2 {
                set.remove(&slot);
                table = table.edited(table.settled(vec![Edit::Take(slot)]));
            } else {
                set.insert(slot);
                table = table.edited(table.settled(vec![Edit::Put(slot)]));
            }
        }
        assert_eq!(walked(&table), (set.iter().copied().collect(), table.bytes));
        for round in 0..20_u64 {
            let edits: Vec<_> = (0..3_000 * round)
                .map(|n| {
                    let slot = digest(n.wrapping_mul(7 + round) % 50_000);
                    if (n + round) % 5 < 2 { Edit::Take(slot) } else { Edit::Put(slot) }
                })
                .collect();
            for edit in &edits {
                match edit {
                    Edit::Put(slot) => set.insert(*slot),
                    Edit::Take(slot) => set.remove(slot),
                };
            }
            table = table.edited(table.settled(edits));
            assert_eq!(walked(&table), (set.iter().copied().collect(), table.bytes));
            assert_eq!(table.len(), set.len());
            assert!(set.iter().all(|slot| has(&table, *slot)));
        }
        let all = set.iter().copied().map(Edit::Take).collect();
        let emptied = table.edited(table.settled(all));
        assert_eq!((emptied.len(), emptied.bytes()), (0, 0));
        assert!(set.iter().all(|slot| has(&table, *slot)), "the table before is what it was");
    }

    #[test]
    fn a_worn_filter_is_followed_by_another_that_edits_bring_on_part_by_part() {
        let put = |table: &Table<u128>, n| table.edited(vec![Edit::Put(digest(n))]);
        let parts = |table: &Table<u128>| table.front.as_ref().unwrap().next.as_ref().map(|(_, parts)| *parts);
        let mut table = Table::build((0..50_000).map(digest).collect());
        let (mut stages, mut midway) = (Vec::new(), None);
        for n in 50_000..80_000 {
            table = put(&table, n);
            stages.extend(parts(&table));
            if stages.len() == 5 {
                midway.get_or_insert((table.clone(), n));
            }
        }
        let turn = PARTS * LEAF / 75_000;
        assert!(
            stages.len() > 15 && stages.iter().zip(1..).all(|(parts, at)| parts.abs_diff(at * turn) < at),
            "{stages:?}"
        );
        assert!((0..80_000).all(|n| has(&table, digest(n))));
        let wrong = |table: &Table<u128>| (300_000..400_000).filter(|n| table.may_have(digest(*n))).count();
        assert!(wrong(&table) < 1_700, "{} of 100,000", wrong(&table));
        let all_at_once = table.edited(table.settled((80_000..150_000).map(digest).map(Edit::Put).collect()));
        assert!(parts(&all_at_once).is_none() && (0..150_000).all(|n| has(&all_at_once, digest(n))));
        assert!(wrong(&all_at_once) < 1_700, "{} of 100,000", wrong(&all_at_once));
        // What is made of one value twice shares the filter that comes, and has all that is its own.
        let (midway, last) = midway.unwrap();
        let grown = midway.edited(midway.settled((80_000..280_000).map(digest).map(Edit::Put).collect()));
        assert!(parts(&grown).is_none() && (0..=last).chain(80_000..280_000).all(|n| has(&grown, digest(n))));
        assert!(wrong(&grown) < 1_700, "{} of 100,000, with a filter that was begun for fewer", wrong(&grown));
        let (mut one, mut other) = (midway.clone(), midway);
        for more in 0..200 {
            (one, other) = (put(&one, 500_000 + more), put(&other, 600_000 + more));
        }
        for (made, own, not) in [(&one, 500_000, 600_000), (&other, 600_000, 500_000)] {
            assert!((0..=last).chain(own..own + 200).all(|n| has(made, digest(n))));
            assert!((not..not + 200).all(|n| !has(made, digest(n))));
        }
    }

    #[test]
    fn a_filter_shrinks_with_its_table_and_comes_again_with_it() {
        let mut table = Table::build((0..100_000).map(digest).collect());
        let before = table.bytes();
        for n in 5_000..100_000 {
            table = table.edited(vec![Edit::Take(digest(n))]);
        }
        assert!(table.bytes() < before / 10, "{} bytes of {before}", table.bytes());
        assert!((0..5_000).all(|n| has(&table, digest(n))) && (5_000..100_000).all(|n| !has(&table, digest(n))));
        for n in 0..4_500 {
            table = table.edited(vec![Edit::Take(digest(n))]);
        }
        assert!(table.front.is_none(), "a leaf has none");
        for n in 0..4_900 {
            table = table.edited(table.settled(vec![Edit::Put(digest(n))]));
        }
        assert!(table.front.is_some() && (0..5_000).all(|n| has(&table, digest(n))));
    }

    #[test]
    fn an_entry_takes_at_most_24_bytes() {
        for size in [2_000, 20_000, 200_000, 1_000_000] {
            let table = Table::build((0..size).map(digest).collect());
            assert!(table.bytes() <= 24 * table.len(), "{} bytes for {size}", table.bytes());
        }
    }
}
