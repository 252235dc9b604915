//! Which of many conjunctions can hold at all, by what is known of a payment: one bit each.
//!
//! Of each slot that any of them tests there is a row of bits for every code, and of amounts and leading digits one for
//! every span between those that they name. What the rows of a payment have in common can hold. A thousand are sixteen
//! words a row, so that those which cannot hold cost next to nothing, whichever of their tests it is that fails. Rows of
//! slots with words are exact, and nobody asks about those again; the others may say too often that one can hold, and
//! whoever asks looks at its amounts, digits and texts once more.

use std::collections::{BTreeMap, BTreeSet};

use super::codes::{Codes, Slot};
use super::conjunction::{ANY_AMOUNT, ANY_DIGITS, Conjunction};

/// The most places at which rows of amounts or digits change, and the most codes of texts of one slot that have rows: of
/// more, rows are for several spans together, or are left out.
const MOST_ROWS: usize = 255;

/// Conjunctions in order, and what stands for each.
#[derive(Debug)]
pub(super) struct Index<T> {
    all: Vec<T>,
    tables: Vec<Table>,
    amounts: Spans,
    digits: Spans,
    /// How many words a row has.
    words: usize,
}

/// The rows of one slot, of all codes one behind the other.
#[derive(Debug)]
struct Table {
    slot: Slot,
    rows: Vec<u64>,
}

/// Rows of numbers: the first for those below the first place, the next ones each from a place on.
#[derive(Debug)]
struct Spans {
    places: Vec<i64>,
    rows: Vec<u64>,
}

/// Rows in which nothing is ruled out, so that what says nothing of them needs no look at each.
fn open_rows(count: usize, words: usize) -> Vec<u64> {
    vec![u64::MAX; count * words]
}

fn rule_out(rows: &mut [u64], row: usize, words: usize, at: usize) {
    if let Some(word) = rows.get_mut(row * words + at / 64) {
        *word &= !(1 << (at % 64));
    }
}

impl Table {
    /// `None` where too many texts are named.
    fn of(slot: Slot, musts: &[Conjunction], words: usize) -> Option<Self> {
        let named = musts.iter().flat_map(|must| &must.texts).filter(|text| text.slot == slot);
        // A text that none names here is as good as unknown: see [`Self::word`].
        let text_codes = named.map(|text| usize::from(text.code)).max().map(|most| most + 1);
        let codes = text_codes.unwrap_or(slot.words() * 64);
        let codes = u16::try_from(codes).ok().filter(|_| text_codes.is_none_or(|codes| codes <= MOST_ROWS))?;
        let mut rows = open_rows(codes.into(), words);
        for (at, must) in musts.iter().enumerate().filter(|(_, must)| must.slots().any(|of| of == slot)) {
            for code in (0..codes).filter(|code| !must.may_be(slot, *code)) {
                rule_out(&mut rows, code.into(), words, at);
            }
        }
        Some(Self { slot, rows })
    }

    /// A word of the row of a code.
    #[inline]
    fn word(&self, code: u16, words: usize, word: usize) -> u64 {
        let of_code = self.rows.get(usize::from(code) * words + word);
        of_code.or_else(|| self.rows.get(word)).copied().unwrap_or(0)
    }
}

impl Spans {
    /// Rows of the ranges in which the number of each may be; `whole` is the range of those that may be any.
    fn of<'a>(all: impl Iterator<Item = &'a [(i64, i64)]> + Clone, whole: (i64, i64), words: usize) -> Self {
        let restricted = all.enumerate().filter(|(_, ranges)| *ranges != [whole]);
        let mut named: BTreeMap<i64, usize> = BTreeMap::new();
        for (low, high) in restricted.clone().flat_map(|(_, ranges)| ranges) {
            *named.entry(*low).or_default() += 1;
            *named.entry(high + 1).or_default() += 1;
        }
        // Below the first number and behind the last one there is none.
        named.remove(&whole.0);
        named.remove(&(whole.1 + 1));
        // Where many change is always a place of its own.
        let (step, mut passed) = (named.values().sum::<usize>().div_ceil(MOST_ROWS).max(1), 0);
        let mut is_place = |count: &usize| {
            let before = passed / step;
            passed += count;
            before != passed / step
        };
        let places: Vec<i64> = named.iter().filter(|(_, count)| is_place(count)).map(|(place, _)| *place).collect();
        let mut spans = Self { rows: open_rows(places.len() + 1, words), places };
        for (at, ranges) in restricted {
            let mut next = 0;
            for (low, high) in ranges {
                let (first, last) = (spans.row(*low), spans.row(*high));
                (next..first).for_each(|row| rule_out(&mut spans.rows, row, words, at));
                next = next.max(last + 1);
            }
            (next..=spans.places.len()).for_each(|row| rule_out(&mut spans.rows, row, words, at));
        }
        spans
    }

    #[inline]
    fn row(&self, number: i64) -> usize {
        self.places.partition_point(|place| *place <= number)
    }

    #[inline]
    fn word(&self, row: usize, words: usize, word: usize) -> u64 {
        self.rows.get(row * words + word).copied().unwrap_or(0)
    }
}

impl<T> Index<T> {
    pub(super) fn of(all: impl IntoIterator<Item = (Conjunction, T)>) -> Self {
        let (musts, all): (Vec<Conjunction>, Vec<T>) = all.into_iter().unzip();
        let words = all.len().div_ceil(64);
        let slots: BTreeSet<Slot> = musts.iter().flat_map(Conjunction::slots).collect();
        let tables = slots.into_iter().filter_map(|slot| Table::of(slot, &musts, words)).collect();
        let amounts = Spans::of(musts.iter().map(|must| must.amounts.as_slice()), ANY_AMOUNT, words);
        let digits: Vec<_> = musts.iter().map(Conjunction::leading_digits).collect();
        let digits = Spans::of(digits.iter().map(std::slice::from_ref), ANY_DIGITS, words);
        Self { all, tables, amounts, digits, words }
    }

    /// Hands over each of those that can hold, in order.
    #[inline]
    pub(super) fn each(&self, codes: &Codes, mut take: impl FnMut(&T)) {
        self.first(codes, |one| {
            take(one);
            None::<()>
        });
    }

    /// What `ask` answers for the first of which it answers anything, of those that can hold.
    #[inline]
    pub(super) fn first<R>(&self, codes: &Codes, mut ask: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let digits = i64::try_from(codes.digits).unwrap_or(i64::MAX);
        let (amount, digits) = (self.amounts.row(codes.amount), self.digits.row(digits));
        let words = self.words;
        for (word, all) in self.all.chunks(64).enumerate() {
            let numbers = self.amounts.word(amount, words, word) & self.digits.word(digits, words, word);
            let with = |bits, table: &Table| bits & table.word(codes.get(table.slot), words, word);
            let mut bits = self.tables.iter().fold(numbers, with);
            while let Some(one) = all.get(bits.trailing_zeros() as usize) {
                if let Some(found) = ask(one) {
                    return Some(found);
                }
                bits &= bits - 1;
            }
        }
        None
    }

    /// Bytes that it takes besides this value itself.
    pub(super) fn weight(&self) -> usize {
        let tables: usize = self.tables.iter().map(|table| size_of::<Table>() + table.rows.len() * 8).sum();
        let spans = |spans: &Spans| (spans.places.len() + spans.rows.len()) * 8;
        tables + spans(&self.amounts) + spans(&self.digits) + self.all.len() * size_of::<T>()
    }
}
