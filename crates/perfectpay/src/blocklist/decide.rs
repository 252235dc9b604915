//! Which of the entries that match a card decides: the naive definition, which every index must answer like.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::facts::CardFacts;
use super::fingerprint::Fingerprint;
use super::rule::{BlockAction, BlockKind, BlockRule, BlockRuleId, BlockScope};
use crate::error::Fault;
use crate::time::Timestamp;
use crate::words::words;

/// The card numbers that an entry covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// One card.
    One,
    /// Every card number whose first 11 digits are from `low` to `high`, both included.
    Prefixes {
        /// The least.
        low: u64,
        /// The greatest.
        high: u64,
    },
}

/// The most leading digits that an entry looks at.
const DIGITS: usize = 11;

impl Coverage {
    /// What an entry of this kind with this value covers; `None` where the value is not of the kind.
    pub fn of(kind: BlockKind, value: &str) -> Option<Self> {
        kind.coverage(value).ok()
    }

    /// The numbers whose first `length` digits are from `low` to `high`.
    pub(super) fn digits(low: u64, high: u64, length: usize) -> Self {
        let rest = DIGITS.saturating_sub(length);
        let scale = (0..rest).fold(1_u64, |scale, _| scale * 10);
        Self::Prefixes { low: low * scale, high: high * scale + (scale - 1) }
    }

    /// How many card numbers it covers, in units of all those with the same first 11 digits; 0 for one card.
    pub fn size(self) -> u64 {
        match self {
            Self::One => 0,
            Self::Prefixes { low, high } => high.saturating_sub(low).saturating_add(1),
        }
    }

    /// Whether it covers every card number that begins with these digits.
    pub fn covers(self, bin: &str) -> bool {
        let Some(number) = super::rule::digits(bin) else { return false };
        match (self, Self::digits(number, number, bin.len())) {
            (Self::Prefixes { low, high }, Self::Prefixes { low: from, high: to }) => low <= from && to <= high,
            _ => false,
        }
    }
}

/// Where an entry holds, without saying of whom: the narrower one is the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockLevel {
    /// One profile.
    Profile,
    /// A merchant account.
    Merchant,
    /// All merchant accounts of an organization.
    Organization,
}

impl BlockScope {
    /// The level of the scope.
    pub fn level(&self) -> BlockLevel {
        match self {
            Self::Profile(_) => BlockLevel::Profile,
            Self::Merchant => BlockLevel::Merchant,
            Self::Organization => BlockLevel::Organization,
        }
    }
}

/// How an entry ranks among those that match a card. Of several the least decides:
///
/// 1. the one that covers the fewest card numbers: a fingerprint before every prefix, then by the count of numbers, so
///    that the range `411111-411111` is as good as the BIN `411111`, and the prefix `4111111` better than either;
/// 2. of equals the narrower scope: profile, merchant account, organization;
/// 3. of equals one that allows before one that blocks;
/// 4. what is left is the same answer by two names, and the order only says which one is told: by kind, in the order of
///    [`BlockKind`], and then by value.
///
/// | matching | decides | why |
/// |---|---|---|
/// | block BIN `411111`, allow extended BIN `41111100` | allow | covers fewer numbers |
/// | allow BIN `411111`, block this fingerprint | block | covers one card |
/// | block range `411111-411112` in the profile, allow BIN `411111` in the organization | allow | covers half of the numbers |
/// | block BIN `411111` in the merchant account, allow it in the organization | block | the narrower scope |
/// | block BIN `411111`, allow range `411111-411111`, both in the account | allow | of equals one that allows |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// How many card numbers the entry covers: [`Coverage::size`].
    pub size: u64,
    /// Where it holds.
    pub level: BlockLevel,
    /// What it does.
    pub action: BlockAction,
    /// What its value is.
    pub kind: BlockKind,
}

impl Rank {
    /// The rank of an entry; `None` where its value is not of its kind, which no operation stores.
    pub fn of(kind: BlockKind, value: &str, level: BlockLevel, action: BlockAction) -> Option<Self> {
        Some(Self { size: Coverage::of(kind, value)?.size(), level, action, kind })
    }
}

/// An entry as far as a decision needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its name.
    pub id: &'a BlockRuleId,
    /// What it does.
    pub action: BlockAction,
    /// When it stops matching.
    pub expires_at: Option<Timestamp>,
}

impl<'a> From<&'a BlockRule> for Candidate<'a> {
    fn from(rule: &'a BlockRule) -> Self {
        Self { id: &rule.id, action: rule.action, expires_at: rule.expires_at }
    }
}

impl Candidate<'_> {
    /// Whether the entry matches the card at this moment. Whose it is, and at which profile, is the caller's to look at.
    pub fn matches(&self, card: &CardFacts, now: Timestamp) -> bool {
        if self.expires_at.is_some_and(|end| end <= now) {
            return false;
        }
        match self.id.kind {
            BlockKind::Fingerprint => card.fingerprints().any(|text| text == self.id.value.as_str()),
            kind => Coverage::of(kind, &self.id.value).is_some_and(|coverage| coverage.covers(card.bin())),
        }
    }

    fn rank(&self) -> (Option<Rank>, &str) {
        let rank = Rank::of(self.id.kind, &self.id.value, self.id.scope.level(), self.action);
        (rank, self.id.value.as_str())
    }
}

/// Which of the entries decides, of those that match the card at this moment: the least by [`Rank`] and then by name.
/// The order in which they are given does not matter. This is what [`screen`](crate::BlocklistScope::screen) means.
pub fn decide<'a>(
    rules: impl IntoIterator<Item = Candidate<'a>>,
    card: &CardFacts,
    now: Timestamp,
) -> Option<Candidate<'a>> {
    let matching = rules.into_iter().filter(|rule| rule.matches(card, now));
    matching.min_by(|a, b| a.rank().cmp(&b.rank()).then_with(|| a.id.to_string().cmp(&b.id.to_string())))
}

/// The entry that decided, named without a copy of its text where it has a form of ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Matched {
    /// What its value is.
    pub kind: BlockKind,
    /// Where it holds.
    pub scope: BlockScope,
    /// What it does.
    pub action: BlockAction,
    /// Its value.
    pub value: MatchedValue,
}

/// The value of an entry that decided. Its text is what the entry was added with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MatchedValue {
    /// The leading digits of a card number.
    Prefix {
        /// As a number.
        digits: u64,
        /// How many there are.
        length: u8,
    },
    /// A range of leading digits.
    Range {
        /// The least, as a number.
        low: u64,
        /// The greatest.
        high: u64,
        /// How many digits each has.
        length: u8,
    },
    /// A fingerprint of ours.
    Fingerprint(Fingerprint),
    /// A foreign fingerprint, as the caller gave it.
    Foreign(Arc<str>),
}

impl MatchedValue {
    /// The value of an entry of this kind with this text; `None` where it is not of the kind.
    pub fn of(kind: BlockKind, text: &str) -> Option<Self> {
        let number = super::rule::digits;
        let length = |text: &str| u8::try_from(text.len()).ok();
        Some(match kind {
            BlockKind::Fingerprint => match Fingerprint::parse(text) {
                Some(fingerprint) => Self::Fingerprint(fingerprint),
                None => Self::Foreign(text.into()),
            },
            BlockKind::ExtendedCardBin | BlockKind::CardBin | BlockKind::CardPrefix => {
                Self::Prefix { digits: number(text)?, length: length(text)? }
            }
            BlockKind::CardRange => {
                let (low, high) = text.split_once('-')?;
                Self::Range { low: number(low)?, high: number(high)?, length: length(low)? }
            }
        })
    }
}

impl fmt::Display for MatchedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix { digits, length } => write!(f, "{digits:0width$}", width = usize::from(*length)),
            Self::Range { low, high, length } => {
                let width = usize::from(*length);
                write!(f, "{low:0width$}-{high:0width$}")
            }
            Self::Fingerprint(fingerprint) => fingerprint.fmt(f),
            Self::Foreign(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Matched {
    /// The entry's name, as [`BlockRuleId`] has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scope.named(f, self.kind, &self.value)
    }
}

impl Matched {
    /// The entry's name, with which [`rule`](crate::BlocklistScope::rule) and `explain` know it.
    ///
    /// # Errors
    ///
    /// `text.…`, where the value is no text that an entry could have: one that nobody stored.
    pub fn id(&self) -> Result<BlockRuleId, Fault> {
        Ok(BlockRuleId { kind: self.kind, value: self.value.to_string().parse()?, scope: self.scope.clone() })
    }
}

impl Candidate<'_> {
    /// The entry as a screening names it.
    pub fn matched(&self) -> Option<Matched> {
        let value = MatchedValue::of(self.id.kind, &self.id.value)?;
        Some(Matched { kind: self.id.kind, scope: self.id.scope.clone(), action: self.action, value })
    }
}

/// What is to be done with a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardVerdict<'a> {
    /// It passes.
    Allowed,
    /// It is declined, by this entry.
    Blocked {
        /// The entry.
        entry: &'a Matched,
    },
}

/// What the blocklist says of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screening {
    /// Whether the guard is on. While it is off, no card is blocked.
    pub guard: bool,
    /// The entry that decides, also while the guard is off, and also one that allows. See [`Rank`].
    pub matched: Option<Matched>,
    /// The card's fingerprint at this merchant account, under its current secret; `None` where the card's number was not
    /// given.
    pub fingerprint: Option<Fingerprint>,
    /// How old what was looked at may be: nothing that was committed earlier than so long ago is missing. Zero where the
    /// store itself was asked.
    pub staleness: Duration,
}

impl Screening {
    /// What is to be done with the card.
    pub fn verdict(&self) -> CardVerdict<'_> {
        match &self.matched {
            Some(entry) if self.guard && entry.action == BlockAction::Block => CardVerdict::Blocked { entry },
            _ => CardVerdict::Allowed,
        }
    }

    /// Whether the card is to be declined.
    pub fn is_blocked(&self) -> bool {
        matches!(self.verdict(), CardVerdict::Blocked { .. })
    }

    /// Whether the card would be declined if the guard were on.
    pub fn would_be_blocked(&self) -> bool {
        self.matched.as_ref().is_some_and(|entry| entry.action == BlockAction::Block)
    }
}

words! { "snake_case"
    /// Why an entry that matches does not decide.
    Outranked {
        /// Another one covers fewer card numbers.
        CoversMore,
        /// Another one has a narrower scope.
        WiderScope,
        /// Another one allows.
        Blocks,
        /// Another one says the same, and comes first by kind and value.
        SaysTheSame,
    }
}

/// An entry that matches, and why it does not decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedRule {
    /// The entry.
    pub rule: BlockRule,
    /// Why the first one decides and not this; `None` for the first one.
    pub outranked: Option<Outranked>,
}

/// Every entry that matches a card, the one that decides first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the guard is on. While it is off, no card is blocked.
    pub guard: bool,
    /// The entries in the order of their [`Rank`]: the first one decides.
    pub rules: Vec<ExplainedRule>,
}

impl Explanation {
    /// Explains which of the entries decides, of those that match the card at this moment.
    pub fn new(guard: bool, rules: impl IntoIterator<Item = BlockRule>, card: &CardFacts, now: Timestamp) -> Self {
        let matches = |rule: &BlockRule| Candidate::from(rule).matches(card, now);
        let mut rules: Vec<BlockRule> = rules.into_iter().filter(matches).collect();
        rules.sort_by(|a, b| Candidate::from(a).rank().cmp(&Candidate::from(b).rank()));
        let first = rules.first().cloned();
        let explain = |(at, rule): (usize, BlockRule)| {
            let winner = first.as_ref().filter(|_| at > 0);
            let outranked = winner.map(|winner| why(&Candidate::from(winner), &Candidate::from(&rule)));
            ExplainedRule { rule, outranked }
        };
        Self { guard, rules: rules.into_iter().enumerate().map(explain).collect() }
    }

    /// Whether the card is to be declined.
    pub fn is_blocked(&self) -> bool {
        self.guard && self.rules.first().is_some_and(|first| first.rule.action == BlockAction::Block)
    }
}

fn why(winner: &Candidate<'_>, other: &Candidate<'_>) -> Outranked {
    let (Some(winner), Some(other)) = (winner.rank().0, other.rank().0) else { return Outranked::SaysTheSame };
    let steps = [
        (winner.size.cmp(&other.size), Outranked::CoversMore),
        (winner.level.cmp(&other.level), Outranked::WiderScope),
        (winner.action.cmp(&other.action), Outranked::Blocks),
    ];
    let step = steps.into_iter().find(|(order, _)| *order != Ordering::Equal);
    step.map_or(Outranked::SaysTheSame, |(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::Actor;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn rule(id: &str, action: BlockAction) -> BlockRule {
        BlockRule {
            id: id.parse().unwrap(),
            action,
            expires_at: None,
            reason: None,
            source: None,
            metadata: None,
            author: Actor::Host,
            created_at: NOW,
            version: 1,
        }
    }

    fn card(bin: &str) -> CardFacts {
        CardFacts::new(bin, ["tok_1", "tok_2"]).unwrap()
    }

    /// The names of the entries that match, the deciding one first, each with why it does not decide.
    fn told(rules: &[(&str, BlockAction)], card: &CardFacts) -> Vec<(String, Option<Outranked>)> {
        let rules = || rules.iter().map(|(id, action)| rule(id, *action));
        let explained = Explanation::new(true, rules(), card, NOW);
        let listed: Vec<BlockRule> = rules().collect();
        let decided = decide(listed.iter().map(Candidate::from), card, NOW);
        assert_eq!(decided.as_ref().map(|d| d.id), explained.rules.first().map(|first| &first.rule.id));
        if let Some(matched) = decided.and_then(|decided| decided.matched()) {
            assert_eq!(matched.to_string(), explained.rules[0].rule.id.to_string());
            assert_eq!(matched.id().unwrap(), explained.rules[0].rule.id);
        }
        explained.rules.into_iter().map(|e| (e.rule.id.to_string(), e.outranked)).collect()
    }

    #[test]
    fn a_card_is_matched_by_all_that_covers_it_and_by_nothing_else() {
        use BlockAction::Block;
        for (id, bin, matches) in [
            ("card_bin:411111", "411111", true),
            ("card_bin:411111", "41111199999", true),
            ("card_bin:411111", "411112", false),
            ("card_bin:000001", "000001", true),
            ("extended_card_bin:41111122", "41111122", true),
            // The host knows six digits only.
            ("extended_card_bin:41111122", "411111", false),
            ("card_prefix:41111122333", "41111122333", true),
            ("card_prefix:41111122333", "4111112233", false),
            ("card_range:411111-411113", "411110", false),
            ("card_range:411111-411113", "411111", true),
            ("card_range:411111-411113", "41111399999", true),
            ("card_range:411111-411113", "411114", false),
            ("card_range:4111110-4111119", "411111", true),
            ("card_range:4111110-4111118", "411111", false),
            ("fingerprint:tok_2", "411111", true),
            ("fingerprint:tok_3", "411111", false),
            ("fingerprint:411111", "411111", false),
        ] {
            assert_eq!(!told(&[(id, Block)], &card(bin)).is_empty(), matches, "{id} {bin}");
        }
    }

    #[test]
    fn an_entry_stops_matching_at_its_instant() {
        for (millis, matches) in [(-1, false), (0, false), (1, true)] {
            let mut rule = rule("card_bin:411111", BlockAction::Block);
            rule.expires_at = Timestamp::from_unix_millis(millis);
            assert_eq!(decide([Candidate::from(&rule)], &card("411111"), NOW).is_some(), matches);
        }
    }

    #[test]
    fn fewest_numbers_then_the_narrower_scope_then_allow_before_block() {
        use BlockAction::{Allow, Block};
        use Outranked::{Blocks, CoversMore, SaysTheSame, WiderScope};
        type Told<'a, T> = &'a [(&'a str, T)];
        let cases: [(Told<'_, BlockAction>, Told<'_, Option<Outranked>>); 7] = [
            (
                &[("card_bin:411111", Block), ("extended_card_bin:41111100", Allow)],
                &[("extended_card_bin:41111100", None), ("card_bin:411111", Some(CoversMore))],
            ),
            (
                &[("card_prefix:41111100000", Allow), ("fingerprint:tok_1", Block)],
                &[("fingerprint:tok_1", None), ("card_prefix:41111100000", Some(CoversMore))],
            ),
            (
                &[("card_bin@*:411111", Allow), ("card_range:411110-411111", Block)],
                &[("card_bin@*:411111", None), ("card_range:411110-411111", Some(CoversMore))],
            ),
            (
                &[("card_bin@*:411111", Allow), ("card_bin:411111", Allow), ("card_bin@pro_a:411111", Block)],
                &[
                    ("card_bin@pro_a:411111", None),
                    ("card_bin:411111", Some(WiderScope)),
                    ("card_bin@*:411111", Some(WiderScope)),
                ],
            ),
            (
                &[("card_bin:411111", Block), ("card_range:411111-411111", Allow)],
                &[("card_range:411111-411111", None), ("card_bin:411111", Some(Blocks))],
            ),
            (
                &[("card_range:411111-411111", Block), ("card_prefix:411111", Block), ("card_bin:411111", Block)],
                &[
                    ("card_bin:411111", None),
                    ("card_prefix:411111", Some(SaysTheSame)),
                    ("card_range:411111-411111", Some(SaysTheSame)),
                ],
            ),
            (
                &[("fingerprint:tok_2", Block), ("fingerprint:tok_1", Block)],
                &[("fingerprint:tok_1", None), ("fingerprint:tok_2", Some(SaysTheSame))],
            ),
        ];
        for (rules, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|(id, why)| ((*id).to_owned(), *why)).collect();
            assert_eq!(told(rules, &card("41111100000")), expected);
            let reversed: Vec<_> = rules.iter().rev().copied().collect();
            assert_eq!(told(&reversed, &card("41111100000")), expected);
        }
    }

    #[test]
    fn a_guard_that_is_off_blocks_nothing_and_says_what_it_would() {
        for (action, guard, blocked, would) in [
            (BlockAction::Block, true, true, true),
            (BlockAction::Block, false, false, true),
            (BlockAction::Allow, true, false, false),
        ] {
            let rule = rule("card_bin:041111", action);
            let matched = Candidate::from(&rule).matched();
            let screening = Screening { guard, matched, fingerprint: None, staleness: Duration::ZERO };
            assert_eq!((screening.is_blocked(), screening.would_be_blocked()), (blocked, would));
            let explained = Explanation::new(guard, [rule], &card("041111"), NOW);
            assert_eq!(explained.is_blocked(), blocked);
        }
    }
}
