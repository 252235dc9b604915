//! Comparisons that hold together, as what each slot may hold: what rules are compiled from, and what findings about
//! them are reasoned with.

use strum::VariantArray as _;

use super::codes::{self, Slot, Texts};
use super::key::RoutingKey;
use super::program::{Comparison, ComparisonValue, MAX_VALUES, NumberRange, Operator, ValueKind};
use crate::connector::PaymentMethod;
use crate::error::Fault;
use crate::money::MAX_AMOUNT;
use crate::text::Text;

/// Codes: bit by bit, code 0 (nothing is known) first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Set(pub(super) [u64; 4]);

impl Set {
    pub(super) const ALL: Self = Self([u64::MAX; 4]);

    pub(super) fn of(codes: impl IntoIterator<Item = u16>) -> Self {
        codes.into_iter().fold(Self::default(), Self::with)
    }

    pub(super) fn with(mut self, code: u16) -> Self {
        if let Some(word) = self.0.get_mut(usize::from(code / 64)) {
            *word |= 1 << (code % 64);
        }
        self
    }

    pub(super) fn without(self, code: u16) -> Self {
        self.and(Self::default().with(code).not())
    }

    pub(super) fn has(self, code: u16) -> bool {
        self.0.get(usize::from(code / 64)).is_some_and(|word| word >> (code % 64) & 1 == 1)
    }

    pub(super) fn not(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    pub(super) fn and(self, other: Self) -> Self {
        let mut both = self.0;
        for (word, other) in both.iter_mut().zip(other.0) {
            *word &= other;
        }
        Self(both)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == [0; 4]
    }

    pub(super) fn is_within(self, other: Self) -> bool {
        self.and(other) == self
    }

    /// The codes of one slot: there are none behind the last word that has any.
    pub(super) fn count(self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

/// The amounts that a payment may have.
pub(super) const ANY_AMOUNT: (i64, i64) = (0, MAX_AMOUNT);
/// The digits that a card may begin with, as the first of eleven.
pub(super) const ANY_DIGITS: (i64, i64) = (0, 99_999_999_999);

/// Amounts: inclusive ranges, ascending, none next to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    pub(super) fn all() -> Self {
        Self(vec![ANY_AMOUNT])
    }

    /// The amounts there are of these.
    pub(super) fn of(ranges: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut sorted: Vec<_> = ranges
            .into_iter()
            .map(|(low, high)| (low.max(0), high.min(MAX_AMOUNT)))
            .filter(|(low, high)| low <= high)
            .collect();
        sorted.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(sorted.len());
        for (low, high) in sorted {
            match merged.last_mut() {
                Some((_, last)) if low <= last.saturating_add(1) => *last = high.max(*last),
                _ => merged.push((low, high)),
            }
        }
        Self(merged)
    }

    pub(super) fn not(&self) -> Self {
        let mut from = 0;
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        for &(low, high) in &self.0 {
            gaps.push((from, low - 1));
            from = high + 1;
        }
        gaps.push((from, MAX_AMOUNT));
        Self::of(gaps)
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(&&(a, b)), Some(&&(c, d))) = (left.peek(), right.peek()) {
            both.push((a.max(c), b.min(d)));
            if b < d {
                left.next()
            } else {
                right.next()
            };
        }
        Self::of(both)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.and(other) == *self
    }

    pub(super) fn as_slice(&self) -> &[(i64, i64)] {
        &self.0
    }

    /// How many amounts there are.
    pub(super) fn count(&self) -> i64 {
        self.0.iter().map(|(low, high)| high - low + 1).sum()
    }
}

/// The card begins with certain digits, or does not, or not so many are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digits {
    /// The least and the greatest number of eleven digits that begins so.
    pub(super) low: u64,
    pub(super) high: u64,
    /// How many digits must be known.
    pub(super) length: u8,
    /// Whether it must begin so.
    pub(super) holds: bool,
}

impl Digits {
    fn of(text: &str, holds: bool) -> Option<Self> {
        let length = u8::try_from(text.len()).ok().filter(|length| (1..=11).contains(length))?;
        let number: u64 = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))?;
        let low = super::facts::padded(number, length);
        Some(Self { low, high: low + (super::facts::padded(1, length) - 1), length, holds })
    }

    pub(super) fn match_card(self, digits: u64, known: u8) -> bool {
        (known >= self.length && (self.low..=self.high).contains(&digits)) == self.holds
    }

    /// Whether every card that begins as `self` says begins as `other` says.
    fn is_within(self, other: Self) -> bool {
        other.low <= self.low && self.high <= other.high && other.length <= self.length
    }

    fn contradicts(self, other: Self) -> bool {
        match (self.holds, other.holds) {
            (true, true) => self.high < other.low || other.high < self.low,
            (true, false) => self.is_within(other),
            (false, true) => other.is_within(self),
            (false, false) => false,
        }
    }

    fn implies(self, other: Self) -> bool {
        match (self.holds, other.holds) {
            (true, true) => self.is_within(other),
            // It begins otherwise, so that it does not begin so.
            (true, false) => self.high < other.low || other.high < self.low,
            (false, false) => other.is_within(self),
            (false, true) => false,
        }
    }
}

/// A slot holds a text, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextTest {
    pub(super) slot: Slot,
    pub(super) code: u16,
    pub(super) holds: bool,
}

impl TextTest {
    fn contradicts(self, other: Self) -> bool {
        self.slot == other.slot
            && match (self.holds, other.holds) {
                (true, true) => self.code != other.code,
                (true, false) | (false, true) => self.code == other.code,
                (false, false) => false,
            }
    }

    fn implies(self, other: Self) -> bool {
        self.slot == other.slot
            && match (self.holds, other.holds) {
                (true, true) | (false, false) => self.code == other.code,
                (true, false) => self.code != other.code,
                (false, true) => false,
            }
    }
}

/// What must hold together. What is not named may hold anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conjunction {
    /// By ascending slot.
    pub(super) sets: Vec<(Slot, Set)>,
    pub(super) amounts: Ranges,
    pub(super) digits: Vec<Digits>,
    pub(super) texts: Vec<TextTest>,
}

impl Conjunction {
    pub(super) fn all() -> Self {
        Self { sets: Vec::new(), amounts: Ranges::all(), digits: Vec::new(), texts: Vec::new() }
    }

    /// What the comparisons say together.
    ///
    /// # Errors
    ///
    /// What is wrong with the first that means nothing, at its place in the list: `[3].value.value`.
    pub(super) fn of(comparisons: &[Comparison], texts: &mut Texts) -> Result<Self, Fault> {
        let mut all = Self::all();
        for (at, comparison) in comparisons.iter().enumerate() {
            all.add(comparison, texts).map_err(|fault| {
                let path = format!("[{at}].{}", fault.path());
                fault.at(path)
            })?;
        }
        Ok(all)
    }

    /// The slots that it says something about.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.sets.iter().map(|(slot, _)| *slot).chain(self.texts.iter().map(|text| text.slot))
    }

    /// Whether the slot may hold the code.
    pub(super) fn may_be(&self, slot: Slot, code: u16) -> bool {
        self.sets.iter().all(|(of, set)| *of != slot || set.has(code))
            && self.texts.iter().all(|text| text.slot != slot || (text.code == code) == text.holds)
    }

    /// The least and the greatest that the card's digits may be, as the first of eleven.
    pub(super) fn leading_digits(&self) -> (i64, i64) {
        let begins = self.digits.iter().filter(|digits| digits.holds);
        begins.fold(ANY_DIGITS, |(low, high), digits| {
            let signed = |number| i64::try_from(number).unwrap_or(ANY_DIGITS.1);
            (low.max(signed(digits.low)), high.min(signed(digits.high)))
        })
    }

    pub(super) fn narrow(&mut self, slot: Slot, set: Set) {
        match self.sets.binary_search_by_key(&slot, |(known, _)| *known) {
            Ok(at) => self.sets.iter_mut().skip(at).take(1).for_each(|(_, known)| *known = known.and(set)),
            Err(at) => self.sets.insert(at, (slot, set)),
        }
    }

    fn add(&mut self, comparison: &Comparison, texts: &mut Texts) -> Result<(), Fault> {
        let (key, operator) = (comparison.lhs, comparison.comparison);
        if key == RoutingKey::Amount {
            self.amounts = self.amounts.and(&amounts(operator, &comparison.value)?);
            return Ok(());
        }
        let holds = operator != Operator::NotEqual;
        match (&comparison.value, key) {
            (ComparisonValue::EnumVariant(word), _) => {
                let (slot, code) = known(key, word, "value.value", comparison)?;
                self.one_of(slot, &[code], holds);
            }
            (ComparisonValue::EnumVariantArray(words), _) => {
                check_length(words.len())?;
                let mut codes = Vec::with_capacity(words.len());
                let mut of_key = None;
                for (at, word) in words.iter().enumerate() {
                    let (slot, code) = known(key, word, &format!("value.value[{at}]"), comparison)?;
                    of_key = Some(slot);
                    codes.push(code);
                }
                if let Some(slot) = of_key {
                    self.one_of(slot, &codes, holds);
                }
            }
            (ComparisonValue::StrValue(text), RoutingKey::BusinessLabel) => {
                let (slot, code) = texts.label(text);
                self.texts.push(TextTest { slot, code, holds });
            }
            (
                ComparisonValue::StrValue(text),
                RoutingKey::CardBin | RoutingKey::ExtendedCardBin | RoutingKey::CardPrefix,
            ) => {
                let (lengths, message) = match key {
                    RoutingKey::CardBin => (6..=6, "must be 6 digits"),
                    RoutingKey::ExtendedCardBin => (8..=8, "must be 8 digits"),
                    _ => (1..=11, "must be 1 to 11 digits"),
                };
                let digits = Digits::of(text, holds).filter(|digits| lengths.contains(&digits.length));
                self.digits.push(digits.ok_or_else(|| Fault::new("routing.digits", message).at("value.value"))?);
            }
            (ComparisonValue::MetadataVariant(pair), RoutingKey::Metadata) => {
                let many =
                    || Fault::new("routing.too_many_metadata_keys", "must be one of at most 32 keys in a program");
                let (slot, code) = texts.pair(&pair.key, &pair.value).ok_or_else(|| many().at("value.value.key"))?;
                self.texts.push(TextTest { slot, code, holds });
            }
            (value, _) => return Err(wrong_value(key, value.kind())),
        }
        Ok(())
    }

    fn one_of(&mut self, slot: Slot, codes: &[u16], holds: bool) {
        let set = Set::of(codes.iter().copied());
        self.narrow(slot, if holds { set } else { set.not() });
    }

    /// Both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        other.sets.iter().for_each(|(slot, set)| both.narrow(*slot, *set));
        both.amounts = both.amounts.and(&other.amounts);
        both.digits.extend(&other.digits);
        both.texts.extend(&other.texts);
        both
    }

    /// What the slot may hold.
    pub(super) fn set(&self, slot: Slot) -> Set {
        let found = self.sets.binary_search_by_key(&slot, |(known, _)| *known).ok();
        found.and_then(|at| self.sets.get(at)).map_or(Set::ALL, |(_, set)| *set)
    }

    /// Whether it is certain that no payment satisfies all of it.
    pub(super) fn is_contradiction(&self) -> bool {
        fn any<T: Copy>(all: &[T], contradicts: impl Fn(T, T) -> bool) -> bool {
            all.iter().enumerate().any(|(at, one)| all.iter().skip(at + 1).any(|other| contradicts(*one, *other)))
        }
        self.amounts.is_empty()
            || self.sets.iter().any(|(_, set)| set.is_empty())
            || self.misses_method()
            || any(&self.digits, Digits::contradicts)
            || any(&self.texts, TextTest::contradicts)
    }

    /// A type says its method.
    fn misses_method(&self) -> bool {
        let types = self.set(Slot::METHOD_TYPE);
        // Where the type may be unknown the method may be any.
        if types.has(0) || types.has(codes::IMPOSSIBLE_TYPE) {
            return false;
        }
        let methods = self.set(Slot::METHOD);
        let says = |method: &PaymentMethod| {
            codes::types_of(*method).any(|code| types.has(code)) || types.has(codes::untyped(*method))
        };
        !PaymentMethod::VARIANTS.iter().filter(|method| says(method)).any(|method| methods.has(*method as u16 + 1))
    }

    /// Whether it is certain that every payment that satisfies this one satisfies the other.
    pub(super) fn implies(&self, other: &Self) -> bool {
        other.sets.iter().all(|(slot, set)| self.set(*slot).is_within(*set))
            && self.amounts.is_within(&other.amounts)
            && other.digits.iter().all(|one| self.digits.iter().any(|known| known.implies(*one)))
            && other.texts.iter().all(|one| self.texts.iter().any(|known| known.implies(*one)))
    }
}

fn wrong_value(key: RoutingKey, kind: ValueKind) -> Fault {
    Fault::new("routing.wrong_value", format!("must not be `{kind}`, which `{key}` is not compared with"))
        .at("value.type")
}

fn wrong_operator() -> Fault {
    Fault::new("routing.wrong_operator", "must be `equal` or `not_equal` with this value").at("comparison")
}

fn check_length(length: usize) -> Result<(), Fault> {
    if length == 0 {
        return Err(Fault::new("routing.empty_list", "must not be empty").at("value.value"));
    }
    if length > MAX_VALUES {
        let message = format!("must have at most {MAX_VALUES} values");
        return Err(Fault::new("routing.too_many_values", message).at("value.value"));
    }
    Ok(())
}

/// The slot and the code of a word of the key.
fn known(key: RoutingKey, text: &Text<64>, path: &str, comparison: &Comparison) -> Result<(Slot, u16), Fault> {
    let takes_no_words = matches!(
        key,
        RoutingKey::CardBin
            | RoutingKey::ExtendedCardBin
            | RoutingKey::CardPrefix
            | RoutingKey::BusinessLabel
            | RoutingKey::Metadata
    );
    if takes_no_words {
        return Err(wrong_value(key, comparison.value.kind()));
    }
    if !matches!(comparison.comparison, Operator::Equal | Operator::NotEqual) {
        return Err(wrong_operator());
    }
    codes::word(key, text)
        .ok_or_else(|| Fault::new("routing.unknown_word", format!("is not a word of `{key}`")).at(path))
}

/// The amounts that a comparison takes.
fn amounts(operator: Operator, value: &ComparisonValue) -> Result<Ranges, Fault> {
    let one = |operator, number: i64| {
        Ranges::of(match operator {
            Operator::Equal => vec![(number, number)],
            Operator::NotEqual => vec![(0, number.saturating_sub(1)), (number.saturating_add(1), MAX_AMOUNT)],
            Operator::LessThan => vec![(0, number.saturating_sub(1))],
            Operator::LessThanEqual => vec![(0, number)],
            Operator::GreaterThan => vec![(number.saturating_add(1), MAX_AMOUNT)],
            Operator::GreaterThanEqual => vec![(number, MAX_AMOUNT)],
        })
    };
    let negative = |path: String| Fault::new("routing.negative_number", "must be 0 or more").at(path);
    let is = match value {
        ComparisonValue::Number(number) if *number < 0 => return Err(negative("value.value".into())),
        ComparisonValue::Number(number) => return Ok(one(operator, *number)),
        ComparisonValue::NumberArray(numbers) => {
            check_length(numbers.len())?;
            if let Some(at) = numbers.iter().position(|number| *number < 0) {
                return Err(negative(format!("value.value[{at}]")));
            }
            Ranges::of(numbers.iter().map(|number| (*number, *number)))
        }
        ComparisonValue::NumberComparisonArray(all) => {
            check_length(all.len())?;
            Ranges::of(all.iter().flat_map(|each| one(each.comparison_type, each.number).0))
        }
        ComparisonValue::NumberRange(NumberRange { minimum, maximum }) => {
            let fault = match (minimum, maximum) {
                (None, None) => Some("must have a minimum or a maximum"),
                (Some(least), Some(most)) if least > most => Some("must have a minimum of at most its maximum"),
                _ => None,
            };
            if let Some(message) = fault {
                return Err(Fault::new("routing.empty_range", message).at("value.value"));
            }
            Ranges::of([(minimum.unwrap_or(0), maximum.unwrap_or(MAX_AMOUNT))])
        }
        other => return Err(wrong_value(RoutingKey::Amount, other.kind())),
    };
    match operator {
        Operator::Equal => Ok(is),
        Operator::NotEqual => Ok(is.not()),
        _ => Err(wrong_operator()),
    }
}
