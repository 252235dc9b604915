//! Leading digits: of a card, and the spans of them that entries cover.

use std::fmt;

use super::bins::Bin;

/// The most leading digits that an entry looks at; every card number has more.
pub const LEADING: u8 = 11;
/// The fewest.
pub const FEWEST: u8 = 6;

/// The leading digits of a card: the first 11 of its number, or the 6 to 10 of them that are known.
///
/// An entry matches if it covers every card that begins with the known digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LeadingDigits {
    /// Eleven digits, zeros behind what is known.
    number: u64,
    /// The first six.
    six: u32,
    known: u8,
}

impl LeadingDigits {
    /// The leading digits of a card number, or of a part of one: 6 to 19 digits. `None` for anything else.
    #[inline]
    pub fn of(digits: &str) -> Option<Self> {
        let known = digits.len().min(usize::from(LEADING));
        let known = u8::try_from(known).ok().filter(|known| *known >= FEWEST)?;
        if digits.len() > 19 {
            return None;
        }
        let (front, rest) = digits.as_bytes().split_at_checked(usize::from(known))?;
        // Characters that are no digits make numbers above nine, and are told by that behind the loop.
        let (number, highest) = front.iter().fold((0, 0), |(number, highest): (u64, u8), byte| {
            let digit = byte.wrapping_sub(b'0');
            (number * 10 + u64::from(digit), highest.max(digit))
        });
        if highest > 9 || !rest.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = number * ten_to(LEADING - known);
        let six = u32::try_from(number / ten_to(LEADING - FEWEST)).ok()?;
        Some(Self { number, six, known })
    }

    /// How many of them are known: 6 to 11.
    pub fn known(self) -> u8 {
        self.known
    }

    /// The first six.
    #[inline]
    pub(super) fn six(self) -> u32 {
        self.six
    }

    /// The first eight, where they are known.
    #[inline]
    pub(super) fn eight(self) -> Option<u32> {
        u32::try_from(self.first(8)).ok().filter(|_| self.known >= 8)
    }

    /// The first `length` of them as a number.
    #[inline]
    fn first(self, length: u8) -> u64 {
        // Divisors that the compiler knows make multiplications.
        match length {
            0 => 0,
            6 => self.number / 100_000,
            8 => self.number / 1_000,
            11 => self.number,
            other => self.number / ten_to(LEADING.saturating_sub(other)),
        }
    }
}

impl fmt::Debug for LeadingDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeadingDigits({} known)", self.known)
    }
}

/// What an entry about leading digits is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigitsKind {
    /// Eight digits.
    ExtendedCardBin,
    /// Six digits.
    CardBin,
    /// Six to eleven digits.
    CardPrefix,
    /// From one number of six to eleven digits to another of as many, both of them included.
    CardRange,
}

/// The numbers that an entry about leading digits covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DigitSpan {
    kind: DigitsKind,
    length: u8,
    low: u64,
    high: u64,
}

impl DigitSpan {
    /// The span of a BIN, an extended BIN or a prefix. `None` if the kind has no such value.
    pub fn prefix(kind: DigitsKind, digits: &str) -> Option<Self> {
        let (length, low) = number(digits)?;
        let fits = match kind {
            DigitsKind::CardBin => length == 6,
            DigitsKind::ExtendedCardBin => length == 8,
            DigitsKind::CardPrefix => true,
            DigitsKind::CardRange => false,
        };
        fits.then_some(Self { kind, length, low, high: low })
    }

    /// The span from `low` to `high`, both included. `None` unless they have equally many digits and are in order.
    pub fn range(low: &str, high: &str) -> Option<Self> {
        let ((length, low), (same, high)) = (number(low)?, number(high)?);
        (length == same && low <= high).then_some(Self { kind: DigitsKind::CardRange, length, low, high })
    }

    /// The span of a card's own prefix, of the length that it has.
    #[inline]
    pub(super) fn of(kind: DigitsKind, Prefix { length, value }: Prefix) -> Self {
        Self { kind, length, low: value, high: value }
    }

    /// What kind of entry it is of.
    pub fn kind(self) -> DigitsKind {
        self.kind
    }

    /// How many digits the entry looks at.
    pub fn length(self) -> u8 {
        self.length
    }

    /// The BIN that it is, where it is of one of the two kinds.
    pub(super) fn bin(self) -> Option<Bin> {
        let digits = u32::try_from(self.low).ok()?;
        match self.kind {
            DigitsKind::CardBin => Some(Bin::Six(digits)),
            DigitsKind::ExtendedCardBin => Some(Bin::Eight(digits)),
            DigitsKind::CardPrefix | DigitsKind::CardRange => None,
        }
    }

    /// The prefix that it is, where it is of that kind.
    pub(super) fn prefix_alone(self) -> Option<Prefix> {
        (self.kind == DigitsKind::CardPrefix).then_some(Prefix { length: self.length, value: self.low })
    }

    /// The first number.
    pub fn low(self) -> u64 {
        self.low
    }

    /// The last number; of a prefix the same as the first.
    pub fn high(self) -> u64 {
        self.high
    }

    /// The first eleven digits of the first card in it.
    pub(super) fn begin(self) -> u64 {
        self.low * ten_to(LEADING - self.length)
    }

    /// How many cards it covers, in units of all cards with the same first 11 digits.
    pub fn coverage(self) -> u64 {
        (self.high - self.low + 1) * ten_to(LEADING - self.length)
    }

    /// Whether every card with these leading digits lies in it.
    pub fn covers(self, card: LeadingDigits) -> bool {
        let first = card.number;
        let last = first + (ten_to(LEADING - card.known) - 1);
        self.begin() <= first && last < self.begin() + self.coverage()
    }

    /// The fewest prefixes that together cover the span: at most eighteen of each length.
    pub(super) fn prefixes(self) -> Vec<Prefix> {
        let (mut length, mut low, mut end) = (self.length, self.low, self.high + 1);
        let mut prefixes = Vec::new();
        // On every level what does not fill ten of the level above, at both ends; what is between goes one level up.
        while low < end {
            let (up, down) = (low.next_multiple_of(10), end - end % 10);
            if up > down || length == 0 {
                prefixes.extend((low..end).map(|value| Prefix { length, value }));
                break;
            }
            prefixes.extend((low..up).chain(down..end).map(|value| Prefix { length, value }));
            (low, end, length) = (up / 10, down / 10, length - 1);
        }
        prefixes
    }
}

/// Leading digits of any length from none to eleven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) length: u8,
    pub(super) value: u64,
}

impl Prefix {
    #[inline]
    pub(super) fn of(card: LeadingDigits, length: u8) -> Self {
        Self { length, value: card.first(length) }
    }

    /// Length and digits in 41 bits.
    #[inline]
    pub(super) fn code(self) -> u64 {
        // 10^11 is below 2^37.
        u64::from(self.length) << 37 | self.value
    }
}

/// The number that 6 to 11 digits are, and how many they are.
fn number(digits: &str) -> Option<(u8, u64)> {
    let length = u8::try_from(digits.len()).ok().filter(|length| (FEWEST..=LEADING).contains(length))?;
    let all = digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten().map(|number| (length, number))
}

fn ten_to(exponent: u8) -> u64 {
    10_u64.pow(u32::from(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_of_a_card_decides_nothing() {
        let prefix = |digits: &str| DigitSpan::prefix(DigitsKind::CardPrefix, digits).unwrap();
        let known = |digits: &str| LeadingDigits::of(digits).unwrap();
        assert!(prefix("411111").covers(known("411111")));
        assert!(!prefix("41111100").covers(known("411111")), "zeros are not what is unknown");
        assert!(prefix("41111100").covers(known("41111100")));
        assert!(prefix("41111111111").covers(known("4111111111111111")));
        assert!(DigitSpan::range("411100", "411199").unwrap().covers(known("411111")));
        assert!(DigitSpan::range("4111000", "4112000").unwrap().covers(known("411111")), "whatever comes behind");
        assert!(!DigitSpan::range("4111000", "4111118").unwrap().covers(known("411111")));
    }

    #[test]
    fn only_digits_of_the_right_number_are_leading_digits_or_a_span() {
        for text in ["", "41111", "41111a", "４１１１１１", "41111111111111111111", "411111111111111a"] {
            assert_eq!(LeadingDigits::of(text), None, "{text}");
        }
        for text in ["", "41111", "411111111111", "41111a", "+41111", "４１１１１１"] {
            assert_eq!(DigitSpan::prefix(DigitsKind::CardPrefix, text), None, "{text}");
            assert_eq!(DigitSpan::range(text, text), None, "{text}");
        }
        assert_eq!(DigitSpan::prefix(DigitsKind::CardBin, "4111111"), None);
        assert_eq!(DigitSpan::prefix(DigitsKind::ExtendedCardBin, "411111"), None);
        assert_eq!(DigitSpan::prefix(DigitsKind::CardRange, "411111"), None);
        assert_eq!(DigitSpan::range("411112", "411111"), None);
        assert_eq!(DigitSpan::range("411111", "4111112"), None);
    }

    #[test]
    fn the_prefixes_of_a_span_cover_it_and_nothing_twice() {
        for (low, high) in [
            ("000000", "999999"),
            ("000001", "999998"),
            ("411111", "411111"),
            ("411109", "411110"),
            ("399999", "500000"),
            ("12345678901", "98765432109"),
            ("00000000000", "99999999999"),
        ] {
            let span = DigitSpan::range(low, high).unwrap();
            let prefixes = span.prefixes();
            assert!(prefixes.len() <= 18 * 11, "{low} {high}");
            let width = |prefix: &Prefix| ten_to(span.length - prefix.length);
            let mut pieces: Vec<_> =
                prefixes.iter().map(|prefix| (prefix.value * width(prefix), width(prefix))).collect();
            pieces.sort_unstable();
            let mut next = span.low;
            for (from, width) in pieces {
                assert_eq!(from, next, "{low} {high}");
                next += width;
            }
            assert_eq!(next, span.high + 1);
        }
    }
}
