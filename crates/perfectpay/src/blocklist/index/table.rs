//! A hash table that is never changed: an update makes a new one, which shares everything but one leaf and the two or
//! three branches above it with the one before.
//!
//! Digests are uniform, so their order is as good as any hash. A tree over their leading bits ends in leaves of a few
//! hundred to a few thousand slots; a leaf is its entries in order, spread over cache lines so that each stands in the
//! line that its digest points at or closely behind. A look-up of a digest walks the branches, which stay in the cache,
//! and compares two neighbouring lines without a branch in between: the processor can begin the next look-up before
//! this one's memory has come.

use std::cmp::Ordering;
use std::mem::size_of;
use std::sync::Arc;

/// Bits of the digest that one branch decides on.
const BITS: u32 = 6;
/// Children of a branch.
const FANOUT: usize = 1 << BITS;
/// The most entries that a leaf has before it becomes a branch.
const LEAF: usize = 4_096;
/// Entries below which a branch becomes a leaf again.
const JOIN: usize = LEAF / 4;
/// So many branches above each other decide on different bits; below them a leaf grows without a limit.
const DEPTH: u32 = 120 / BITS;
/// Slots of a line.
const LINE: usize = 4;
/// Entries for each line of a leaf when it is made.
const LOAD: usize = 3;

/// What a table keeps.
pub(super) trait Slot: Copy + Send + Sync + 'static {
    /// Stands where nothing does; its digest is [`u128::MAX`], which nothing else's is.
    const EMPTY: Self;
    /// Whether equal slots have nothing that differs.
    const IS_ITS_NAME: bool = false;

    /// Where it belongs.
    fn digest(&self) -> u128;

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

/// One cache line of digests, or as many lines as four larger slots take.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line<S>([S; LINE]);

impl<S: Slot> Line<S> {
    const EMPTY: Self = Self([S::EMPTY; LINE]);
}

#[derive(Clone)]
enum Node<S> {
    Leaf {
        /// The lines that digests point at; behind them follow one or more for what found those full.
        homes: u32,
        lines: Arc<[Line<S>]>,
    },
    Branch(Arc<Branch<S>>),
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
    len: usize,
    bytes: usize,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self { root: None, len: 0, bytes: 0 }
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
        slots.sort_by(S::order);
        // `dedup_by` drops the later of two; what was given last is to stay.
        slots.reverse();
        slots.dedup_by(|a, b| a.order(b).is_eq());
        slots.reverse();
        if slots.is_empty() {
            return Self::default();
        }
        let mut tally = Tally::default();
        let root = Node::build(&slots, 0, &mut tally);
        Self { root: Some(root), len: slots.len(), bytes: tally.bytes_more }
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
        Self { root: Some(root), len, bytes: self.bytes + tally.bytes_more - tally.bytes_less }
    }

    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The lines of the leaf where a digest belongs, from the one that it points at.
    #[inline]
    fn seek(&self, digest: u128) -> Option<&[Line<S>]> {
        let mut node = self.root.as_ref()?;
        let mut rest = digest;
        loop {
            match node {
                Node::Leaf { homes, lines } => return lines.get(home(rest, *homes)..),
                Node::Branch(branch) => {
                    node = branch.children.get(part(rest))?;
                    rest <<= BITS;
                }
            }
        }
    }

    /// The entries with this digest.
    pub(super) fn all(&self, digest: u128) -> impl Iterator<Item = &S> {
        self.seek(digest)
            .unwrap_or_default()
            .iter()
            .flat_map(|line| line.0.iter())
            .skip_while(move |slot| slot.digest() < digest)
            .take_while(move |slot| slot.digest() == digest)
    }

    /// Asks for the memory that a look-up of the digest needs.
    #[inline]
    pub(super) fn touch(&self, digest: u128) -> u64 {
        let Some([first, second, ..]) = self.seek(digest) else { return 0 };
        let ([a, ..], [.., b]) = (first.0, second.0);
        low(a.digest() ^ b.digest())
    }
}

impl Table<u128> {
    /// Whether the digest is there.
    #[inline]
    pub(super) fn contains(&self, digest: u128) -> bool {
        let Some([first, second, rest @ ..]) = self.seek(digest) else { return false };
        // Every slot is compared, found or not: a miss and a hit cost the same, and nothing is mispredicted.
        let mut found = false;
        for slot in first.0.iter().chain(&second.0) {
            found |= *slot == digest;
        }
        let [.., last] = second.0;
        if last < digest {
            return found
                || rest.iter().flat_map(|line| line.0).take_while(|slot| *slot <= digest).any(|s| s == digest);
        }
        found
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
#[inline]
fn low(digest: u128) -> u64 {
    digest as u64
}

/// The line of `homes` that the digest's leading bits point at: monotone, so that the order of digests is that of lines.
#[inline]
fn home(digest: u128, homes: u32) -> usize {
    let at = (u128::from(low(digest >> 64)) * u128::from(homes)) >> 64;
    usize::try_from(low(at)).unwrap_or_default()
}

/// The child of a branch that the digest's leading bits choose.
#[inline]
fn part(digest: u128) -> usize {
    usize::try_from(low(digest >> (128 - BITS))).unwrap_or_default()
}

impl<S: Slot> Node<S> {
    /// The node that keeps slots in order, all of which agree in the bits above `depth`.
    fn build(slots: &[S], depth: u32, tally: &mut Tally) -> Self {
        if slots.len() <= LEAF || depth >= DEPTH {
            return Self::leaf(slots, depth, tally);
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

    fn leaf(slots: &[S], depth: u32, tally: &mut Tally) -> Self {
        let homes = u32::try_from(slots.len().div_ceil(LOAD).max(1)).unwrap_or(u32::MAX);
        let wanted = usize::try_from(homes).unwrap_or(usize::MAX).saturating_add(1);
        let mut lines = Vec::with_capacity(wanted + 1);
        // The next free slot of the line that is being filled.
        let mut line = Line::EMPTY;
        let mut free = 0;
        for slot in slots {
            let home = home(slot.digest() << (depth * BITS), homes);
            while lines.len() < home || free == LINE {
                lines.push(std::mem::replace(&mut line, Line::EMPTY));
                free = 0;
            }
            if let Some(place) = line.0.get_mut(free) {
                *place = *slot;
            }
            free += 1;
        }
        lines.push(line);
        // A look-up reads the line behind the last home, too.
        while lines.len() < wanted {
            lines.push(Line::EMPTY);
        }
        tally.bytes_more += leaf_bytes::<S>(lines.len());
        Self::Leaf { homes, lines: Arc::from(lines) }
    }

    fn edited(&self, edits: &[Edit<S>], depth: u32, tally: &mut Tally) -> Self {
        match self {
            Self::Leaf { lines, .. } => {
                tally.bytes_less += leaf_bytes::<S>(lines.len());
                let slots = merged(lines, edits, tally);
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

    /// Everything below, in order, and how many bytes it took.
    fn collect(&self, slots: &mut Vec<S>, bytes: &mut usize) {
        match self {
            Self::Leaf { lines, .. } => {
                *bytes += leaf_bytes::<S>(lines.len());
                slots.extend(kept(lines));
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

fn kept<S: Slot>(lines: &[Line<S>]) -> impl Iterator<Item = S> {
    lines.iter().flat_map(|line| line.0).filter(|slot| slot.digest() != u128::MAX)
}

/// The slots of a leaf after the edits; both are in order.
fn merged<S: Slot>(lines: &[Line<S>], edits: &[Edit<S>], tally: &mut Tally) -> Vec<S> {
    let mut slots = Vec::with_capacity(lines.len() * LINE + edits.len());
    let mut edits = edits.iter().peekable();
    let mut apply = |edit: &Edit<S>, was: bool, slots: &mut Vec<S>| match edit {
        Edit::Put(slot) => {
            tally.added += usize::from(!was);
            slots.push(*slot);
        }
        Edit::Take(_) => tally.removed += usize::from(was),
    };
    for slot in kept(lines) {
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

/// The counters of an [`Arc`], as far apart from what it holds as that wants to be.
fn leaf_bytes<S>(lines: usize) -> usize {
    64 + lines * size_of::<Line<S>>()
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

    fn walked(table: &Table<u128>) -> (Vec<u128>, usize) {
        let (mut slots, mut bytes) = (Vec::new(), 0);
        if let Some(root) = &table.root {
            root.collect(&mut slots, &mut bytes);
        }
        (slots, bytes)
    }

    #[test]
    fn a_table_has_what_was_put_in_and_nothing_else_whatever_its_size() {
        for size in [0, 1, 2, 3, 4, 5, 100, 4_095, 4_096, 4_097, 70_000, 300_000] {
            let table = Table::build((0..size).map(digest).collect());
            assert_eq!(table.len(), usize::try_from(size).unwrap());
            assert!((0..size).all(|n| table.contains(digest(n))), "{size}");
            assert!((size..size + 70_000).all(|n| !table.contains(digest(n))), "{size}");
        }
    }

    #[test]
    fn digests_that_are_not_spread_at_all_are_found_too() {
        let table = Table::build((0..10_000).collect::<Vec<u128>>());
        assert!((0..10_000).all(|n| table.contains(n)));
        assert!(!table.contains(10_000) && !table.contains(u128::MAX - 1));
        let table = table.edited((0..10_000).step_by(2).map(Edit::Take).collect());
        assert!((0..10_000).all(|n| table.contains(n) == (n % 2 == 1)));
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
        assert_eq!(walked(&table), (set.iter().copied().collect(), table.bytes()));
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
            assert_eq!(walked(&table), (set.iter().copied().collect(), table.bytes()));
            assert_eq!(table.len(), set.len());
        }
        let all = set.iter().copied().map(Edit::Take).collect();
        let emptied = table.edited(table.settled(all));
        assert_eq!((emptied.len(), emptied.bytes()), (0, 0));
        assert!(set.iter().all(|slot| table.contains(*slot)), "the table before is what it was");
    }

    #[test]
    fn an_entry_takes_at_most_24_bytes() {
        for size in [2_000, 20_000, 200_000, 1_000_000] {
            let table = Table::build((0..size).map(digest).collect());
            assert!(table.bytes() <= 24 * table.len(), "{} bytes for {size}", table.bytes());
        }
    }
}
