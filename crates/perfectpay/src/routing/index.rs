//! Which statements of a long program can hold at all, by what is known in each slot: one bit a statement.
//!
//! Of each slot that any statement tests there is a row of bits for every code; what the rows of a payment's codes have in
//! common can hold, as far as the slots are concerned. A thousand statements are sixteen words a slot, so that those
//! which cannot hold cost next to nothing, and the others are not asked about slots again.

use std::collections::BTreeSet;

use super::codes::{Codes, Slot};
use super::conjunction::{Conjunction, Set};

/// The slots that sets of codes are about: those in front of the business label.
const MOST_TABLES: usize = 15;

/// The statements of a program in order, each a stretch of its steps.
#[derive(Debug)]
pub(super) struct Index {
    statements: Vec<Statement>,
    tables: Vec<Table>,
    /// How many words a row has.
    words: usize,
}

/// A stretch of steps, and between which amounts it can hold. An amount is the test that most often decides among
/// statements whose slots hold, and looking at it here saves walking their steps.
#[derive(Debug, Clone, Copy)]
struct Statement {
    first: u32,
    end: u32,
    least: i64,
    most: i64,
}

/// One slot.
#[derive(Debug)]
struct Table {
    slot: Slot,
    /// The rows of all codes, one behind the other.
    rows: Vec<u64>,
}

/// An index while it is made.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    statements: Vec<Statement>,
    sets: Vec<Vec<(Slot, Set)>>,
}

impl IndexBuilder {
    /// The next statement: where its steps begin and end, and what the slots and the amount must be for it.
    pub(super) fn push(&mut self, first: u32, end: u32, must: &Conjunction) {
        let (least, most) = must.amounts.hull();
        self.statements.push(Statement { first, end, least, most });
        self.sets.push(must.sets.clone());
    }

    pub(super) fn build(self) -> Index {
        let words = self.statements.len().div_ceil(64);
        let slots: BTreeSet<Slot> = self.sets.iter().flatten().map(|(slot, _)| *slot).collect();
        let table = |slot: Slot| {
            let codes = u16::try_from(slot.words() * 64).unwrap_or(u16::MAX);
            let mut rows = vec![u64::MAX; usize::from(codes) * words];
            for (at, sets) in self.sets.iter().enumerate() {
                let Some((_, set)) = sets.iter().find(|(known, _)| *known == slot) else { continue };
                let of_statement = rows.iter_mut().skip(at / 64).step_by(words);
                for (code, word) in (0..codes).zip(of_statement) {
                    *word &= !(u64::from(!set.has(code)) << (at % 64));
                }
            }
            Table { slot, rows }
        };
        let tables = slots.into_iter().take(MOST_TABLES).map(table).collect();
        Index { statements: self.statements, tables, words }
    }
}

impl Index {
    /// What `run` answers for the first statement for which it answers anything, of those that can hold.
    #[inline]
    pub(super) fn first<T>(&self, codes: &Codes, mut run: impl FnMut(usize, usize) -> Option<T>) -> Option<T> {
        let mut rows: [&[u64]; MOST_TABLES] = [&[]; MOST_TABLES];
        for (row, table) in rows.iter_mut().zip(&self.tables) {
            let first = usize::from(codes.get(table.slot)) * self.words;
            *row = table.rows.get(first..first + self.words).unwrap_or_default();
        }
        let rows = rows.get(..self.tables.len()).unwrap_or_default();
        for (word, statements) in self.statements.chunks(64).enumerate() {
            let mut bits = rows.iter().fold(u64::MAX, |bits, row| bits & row.get(word).copied().unwrap_or(0));
            while let Some(&Statement { first, end, least, most }) = statements.get(bits.trailing_zeros() as usize) {
                if least <= codes.amount
                    && codes.amount <= most
                    && let Some(found) = run(first as usize, end as usize)
                {
                    return Some(found);
                }
                bits &= bits - 1;
            }
        }
        None
    }

    /// Bytes that it takes besides this value itself.
    pub(super) fn weight(&self) -> usize {
        let rows: usize = self.tables.iter().map(|table| size_of::<Table>() + table.rows.len() * 8).sum();
        rows + self.statements.len() * size_of::<Statement>()
    }
}
