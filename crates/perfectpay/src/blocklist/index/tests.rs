//! The index against the definition: a list of entries, all of which are asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::time::SystemEntropy;

/// What is known of a card in these tests: all of its digits or fewer, and its fingerprints.
#[derive(Debug, Clone)]
struct Card {
    digits: String,
    fingerprints: Vec<Print>,
}

/// A fingerprint in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Print {
    Ours(u32, u8),
    Foreign(String),
}

impl Print {
    fn digest(&self, keys: &DigestKeys) -> IndexFingerprint {
        match self {
            Self::Ours(version, byte) => IndexFingerprint::ours(*version, &[*byte; 32]),
            Self::Foreign(text) => keys.foreign(text),
        }
    }
}

/// What an entry covers, in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Fingerprint(Print),
    Prefix(DigitsKind, String),
    Range(String, String),
}

type Name = (What, IndexScope);

#[derive(Debug, Clone)]
struct Terms {
    action: BlockAction,
    expires: Option<i64>,
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis).unwrap()
}

impl What {
    fn covers(&self, keys: &DigestKeys) -> Covers {
        match self {
            Self::Fingerprint(print) => Covers::Fingerprint(print.digest(keys)),
            Self::Prefix(kind, digits) => Covers::Digits(DigitSpan::prefix(*kind, digits).unwrap()),
            Self::Range(low, high) => Covers::Digits(DigitSpan::range(low, high).unwrap()),
        }
    }

    /// The definition of matching, in texts.
    fn matches(&self, card: &Card) -> bool {
        match self {
            Self::Fingerprint(print) => card.fingerprints.contains(print),
            Self::Prefix(_, digits) => card.digits.starts_with(digits.as_str()),
            Self::Range(low, high) => {
                let known = &card.digits[..card.digits.len().min(11)];
                let (first, last) = (format!("{known:0<11}"), format!("{known:9<11}"));
                format!("{low:0<11}") <= first && last <= format!("{high:9<11}")
            }
        }
    }

    /// How many card numbers it covers, of those with eleven digits.
    fn coverage(&self) -> u128 {
        let numbers = |digits: &str| digits.parse::<u128>().unwrap();
        let behind = |digits: &str| 10_u128.pow(11 - u32::try_from(digits.len()).unwrap());
        match self {
            Self::Fingerprint(_) => 0,
            Self::Prefix(_, digits) => behind(digits),
            Self::Range(low, high) => (numbers(high) - numbers(low) + 1) * behind(low),
        }
    }
}

/// The definition of precedence: every entry is asked, and of those that match the first in this order is it.
fn naive(entries: &BTreeMap<Name, Terms>, card: &Card, profile: Option<u32>, now: i64) -> Vec<(Name, BlockAction)> {
    let mut matching: Vec<_> = entries
        .iter()
        .filter(|((what, scope), terms)| {
            let holds = match scope {
                IndexScope::Profile(own) => profile == Some(*own),
                _ => true,
            };
            holds && what.matches(card) && terms.expires.is_none_or(|end| end > now)
        })
        .map(|(name, terms)| (name.clone(), terms.action))
        .collect();
    matching.sort_by_key(|((what, scope), action)| {
        let width = match scope {
            IndexScope::Profile(_) => 0,
            IndexScope::Merchant => 1,
            IndexScope::Organization => 2,
        };
        let kind = match what {
            What::Fingerprint(print) => (card.fingerprints.iter().position(|p| p == print), None, String::new()),
            What::Prefix(kind, digits) => (None, Some(*kind), digits.clone()),
            What::Range(low, high) => (None, Some(DigitsKind::CardRange), format!("{low}-{high}")),
        };
        (what.coverage(), width, *action == BlockAction::Block, kind)
    });
    matching
}

fn named(found: &Match, card: &Card) -> (Name, BlockAction) {
    let text = |number: u64, span: DigitSpan| format!("{number:0width$}", width = usize::from(span.length()));
    let what = match found.by {
        MatchedBy::Fingerprint(place) => What::Fingerprint(card.fingerprints[place].clone()),
        MatchedBy::Digits(span) if span.kind() == DigitsKind::CardRange => {
            What::Range(text(span.low(), span), text(span.high(), span))
        }
        MatchedBy::Digits(span) => What::Prefix(span.kind(), text(span.low(), span)),
    };
    ((what, found.scope), found.action)
}

/// Digits of which many share their beginnings.
fn digits(lengths: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = String> {
    let digit = prop_oneof![Just('0'), Just('1'), Just('9')];
    (prop_oneof![Just("4111"), Just("0000"), Just("9999")], proptest::collection::vec(digit, 15), lengths).prop_map(
        |(front, rest, length)| {
            let all: String = front.chars().chain(rest).collect();
            all[..length].to_owned()
        },
    )
}

fn print() -> impl Strategy<Value = Print> {
    prop_oneof![
        (1..3_u32, 0..4_u8).prop_map(|(version, byte)| Print::Ours(version, byte)),
        "[ab]{1,2}".prop_map(Print::Foreign)
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        print().prop_map(What::Fingerprint),
        digits(6..=6).prop_map(|digits| What::Prefix(DigitsKind::CardBin, digits)),
        digits(8..=8).prop_map(|digits| What::Prefix(DigitsKind::ExtendedCardBin, digits)),
        digits(6..=11).prop_map(|digits| What::Prefix(DigitsKind::CardPrefix, digits)),
        (digits(11..=11), digits(11..=11), 6..=11_usize).prop_map(|(a, b, length)| {
            let (a, b) = (a[..length].to_owned(), b[..length].to_owned());
            if a <= b { What::Range(a, b) } else { What::Range(b, a) }
        }),
    ]
}

fn scope() -> impl Strategy<Value = IndexScope> {
    prop_oneof![
        4 => Just(IndexScope::Merchant),
        1 => Just(IndexScope::Organization),
        1 => (0..3_u32).prop_map(IndexScope::Profile)
    ]
}

fn terms() -> impl Strategy<Value = Terms> {
    let action = prop_oneof![3 => Just(BlockAction::Block), 1 => Just(BlockAction::Allow)];
    (action, proptest::option::of(-3..6_i64)).prop_map(|(action, expires)| Terms { action, expires })
}

fn card() -> impl Strategy<Value = Card> {
    (digits(6..=19), proptest::collection::btree_set(print(), 0..3))
        .prop_map(|(digits, fingerprints)| Card { digits, fingerprints: fingerprints.into_iter().collect() })
}

/// Edits that come in one commit each: to put, with terms, or to take.
fn commits() -> impl Strategy<Value = Vec<Vec<(Name, Option<Terms>)>>> {
    let edit = ((what(), scope()), proptest::option::weighted(0.75, terms()));
    proptest::collection::vec(proptest::collection::vec(edit, 0..12), 0..8)
}

fn edit(name: &Name, terms: Option<&Terms>, keys: &DigestKeys) -> IndexEdit {
    let key = IndexKey { covers: name.0.covers(keys), scope: name.1 };
    match terms {
        None => IndexEdit::Take(key),
        Some(terms) => IndexEdit::Put(IndexEntry { key, action: terms.action, expires_at: terms.expires.map(at) }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant: whatever the entries are, in whatever order they came and went, the index answers what the definition
    /// answers, for every card, profile and moment; so does the index of the same list made at once.
    #[test]
    fn the_index_answers_what_the_definition_says(
        commits in commits(),
        cards in proptest::collection::vec(card(), 1..12),
        own in prop_oneof![Just(IndexScope::Merchant), Just(IndexScope::Organization)],
    ) {
        let keys = Arc::new(DigestKeys::draw(&SystemEntropy));
        let empty = Index::new(Arc::clone(&keys), own);
        let (mut index, mut entries) = (empty.clone(), BTreeMap::new());
        for commit in &commits {
            index = index.edited(commit.iter().map(|(name, terms)| edit(name, terms.as_ref(), &keys)));
            for (name, terms) in commit {
                match terms {
                    Some(terms) => entries.insert(name.clone(), terms.clone()),
                    None => entries.remove(name),
                };
            }
        }
        let at_once = empty.edited(entries.iter().map(|(name, terms)| edit(name, Some(terms), &keys)));
        prop_assert_eq!(index.len(), at_once.len());
        let prints: Vec<Vec<IndexFingerprint>> =
            cards.iter().map(|card| card.fingerprints.iter().map(|print| print.digest(&keys)).collect()).collect();
        let facts: Vec<Facts<'_>> = cards
            .iter()
            .zip(&prints)
            .map(|(card, prints)| Facts { leading: LeadingDigits::of(&card.digits), fingerprints: prints })
            .collect();
        for profile in [None, Some(0), Some(2)] {
            for now in [-3, 0, 2, 6] {
                let mut many = Vec::new();
                index.match_many(&facts, profile, at(now), |found| many.push(found));
                for ((card, facts), of_many) in cards.iter().zip(&facts).zip(many) {
                    let definition = naive(&entries, card, profile, now);
                    let found = index.matched(facts, profile, at(now));
                    prop_assert_eq!(found.map(|found| named(&found, card)), definition.first().cloned());
                    prop_assert_eq!(at_once.matched(facts, profile, at(now)), found);
                    prop_assert_eq!(of_many, found);
                    let all = index.all_matching(facts, profile, at(now));
                    let all: Vec<_> = all.iter().map(|found| named(found, card)).collect();
                    prop_assert_eq!(all, definition);
                }
            }
        }
        let takes: Vec<_> = entries.keys().map(|name| edit(name, None, &keys)).collect();
        prop_assert_eq!(index.edited(takes).bytes(), empty.bytes());
    }
}

#[test]
fn a_merchant_with_100_entries_takes_less_than_4_kib() {
    let keys = Arc::new(DigestKeys::draw(&SystemEntropy));
    let entry = |covers| {
        IndexEdit::Put(IndexEntry {
            key: IndexKey { covers, scope: IndexScope::Merchant },
            action: BlockAction::Block,
            expires_at: None,
        })
    };
    let prints = (0..60_u8).map(|n| entry(Covers::Fingerprint(IndexFingerprint::ours(1, &[n; 32]))));
    let bin = |kind, n: u64| DigitSpan::prefix(kind, &n.to_string()).unwrap();
    let six = (0..20).map(|n| entry(Covers::Digits(bin(DigitsKind::CardBin, 411_111 + n))));
    let eight = (0..20).map(|n| entry(Covers::Digits(bin(DigitsKind::ExtendedCardBin, 41_111_100 + n))));
    let index = Index::new(Arc::clone(&keys), IndexScope::Merchant).edited(prints.chain(six).chain(eight));
    assert_eq!(index.len(), 100);
    assert!(index.bytes() < 4_096, "{} bytes", index.bytes());
}

/// A fingerprint by number, spread as an HMAC's are.
fn spread(n: u32) -> IndexFingerprint {
    let mixed = u64::from(n).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut mac = [0; 32];
    mac[..8].copy_from_slice(&(mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9).to_le_bytes());
    IndexFingerprint::ours(1, &mac)
}

#[test]
fn a_list_of_hundreds_of_thousands_is_found_whole_and_changes_in_place() {
    let keys = Arc::new(DigestKeys::draw(&SystemEntropy));
    let key = |n| IndexKey { covers: Covers::Fingerprint(spread(n)), scope: IndexScope::Merchant };
    let put = |n| IndexEdit::Put(IndexEntry { key: key(n), action: BlockAction::Block, expires_at: None });
    let before = Index::new(Arc::clone(&keys), IndexScope::Merchant).edited((0..300_000).map(put));
    let after = before.edited([IndexEdit::Take(key(7)), put(300_000)]);
    let has = |index: &Index, n| {
        let facts = Facts { leading: None, fingerprints: &[spread(n)] };
        index.matched(&facts, None, Timestamp::UNIX_EPOCH).is_some()
    };
    assert!((0..300_000).all(|n| has(&before, n) && has(&after, n) == (n != 7)));
    assert!(!has(&before, 300_000) && has(&after, 300_000));
    assert!((300_001..600_000).all(|n| !has(&after, n)));
}

#[test]
fn thousands_of_bins_are_found_each_and_nothing_beside_them_while_they_come_and_go() {
    let keys = Arc::new(DigestKeys::draw(&SystemEntropy));
    let key = |text: &str| {
        let kind = if text.len() == 6 { DigitsKind::CardBin } else { DigitsKind::ExtendedCardBin };
        IndexKey { covers: Covers::Digits(DigitSpan::prefix(kind, text).unwrap()), scope: IndexScope::Merchant }
    };
    let put = |text: &str| IndexEdit::Put(IndexEntry { key: key(text), action: BlockAction::Block, expires_at: None });
    let texts: Vec<String> =
        (0..12_000_u64)
            .map(|n| {
                if n % 4 == 0 {
                    format!("{:06}", n * 61 % 1_000_000)
                } else {
                    format!("{:08}", n * 7_919 % 100_000_000)
                }
            })
            .collect();
    let has = |index: &Index, digits: &str| {
        let facts = Facts { leading: LeadingDigits::of(digits), fingerprints: &[] };
        index.matched(&facts, None, Timestamp::UNIX_EPOCH).is_some()
    };
    let mut index = Index::new(Arc::clone(&keys), IndexScope::Merchant);
    let mut listed = std::collections::BTreeSet::new();
    let check = |index: &Index, listed: &std::collections::BTreeSet<&str>| {
        for text in &texts {
            let card = format!("{text:0<11}");
            let expected = listed.contains(&card[..6]) || listed.contains(&card[..8]);
            assert_eq!(has(index, &card), expected, "{card}");
        }
        assert!((0..20_000_u64).all(|n| {
            let card = format!("{:011}", n * 4_999_999 % 100_000_000_000);
            has(index, &card) == (listed.contains(&card[..6]) || listed.contains(&card[..8]))
        }));
    };
    // Below the number from which on there is a filter, beyond it, worn, and below again.
    for part in [1_000, 3_000, 12_000_usize] {
        index = index.edited(texts[..part].iter().map(|text| put(text)));
        listed.extend(texts[..part].iter().map(String::as_str));
        check(&index, &listed);
        let before = index.clone();
        index = index.edited(texts[..part].iter().step_by(3).map(|text| IndexEdit::Take(key(text))));
        let had = listed.clone();
        texts[..part].iter().step_by(3).for_each(|text| assert!(listed.remove(text.as_str())));
        check(&index, &listed);
        check(&before, &had);
    }
    index = index.edited(texts[500..].iter().map(|text| IndexEdit::Take(key(text))));
    listed.retain(|text| texts[..500].iter().any(|kept| kept == text));
    check(&index, &listed);
}

#[test]
fn a_long_list_says_of_one_card_and_of_many_what_its_entries_say() {
    let keys = Arc::new(DigestKeys::draw(&SystemEntropy));
    let bin = |n: u32| DigitSpan::prefix(DigitsKind::ExtendedCardBin, &format!("{:08}", 40_000_000 + n * 7)).unwrap();
    let entry =
        |covers, action| IndexEntry { key: IndexKey { covers, scope: IndexScope::Merchant }, action, expires_at: None };
    for has_terms in [false, true] {
        // Every other fingerprint is listed, one of them to be let through where some have terms.
        let is_allowed = |n: u32| has_terms && n == 2;
        let action = |n| if is_allowed(n) { BlockAction::Allow } else { BlockAction::Block };
        let prints = (0..12_000).step_by(2).map(|n| entry(Covers::Fingerprint(spread(n)), action(n)));
        let entries: Vec<_> =
            prints.chain((0..3_000).map(|n| entry(Covers::Digits(bin(n)), BlockAction::Block))).collect();
        let mut builder = IndexBuilder::new(Arc::clone(&keys), IndexScope::Merchant);
        for entry in &entries {
            builder.push(*entry);
        }
        let empty = Index::new(Arc::clone(&keys), IndexScope::Merchant);
        let one_by_one = entries.iter().fold(empty, |index, entry| index.edited([IndexEdit::Put(*entry)]));
        // Cards of none, one or two fingerprints, and of BINs of which every other one is listed.
        let numbers: Vec<Vec<u32>> =
            (0..600_u32).map(|n| (0..n % 3).map(|at| if n % 50 == 7 { 2 } else { n * 31 + at }).collect()).collect();
        let known: Vec<Vec<IndexFingerprint>> =
            numbers.iter().map(|card| card.iter().map(|n| spread(*n)).collect()).collect();
        let digits = |at: usize| format!("{:08}456", 40_000_000 + at / 2 * 7 + at % 2);
        let facts: Vec<Facts<'_>> = known
            .iter()
            .enumerate()
            .map(|(at, prints)| Facts { leading: LeadingDigits::of(&digits(at)), fingerprints: prints })
            .collect();
        for index in [builder.build(), one_by_one] {
            let mut many = Vec::new();
            index.match_many(&facts, None, Timestamp::UNIX_EPOCH, |found| many.push(found));
            for (at, card) in facts.iter().enumerate() {
                let allowed = numbers[at].iter().position(|n| is_allowed(*n));
                let listed = numbers[at].iter().position(|n| n % 2 == 0 && *n < 12_000);
                let by_digits =
                    (at % 2 == 0).then(|| (MatchedBy::Digits(bin(u32::try_from(at / 2).unwrap())), BlockAction::Block));
                let expected = match (allowed, listed) {
                    (Some(at), _) => Some((MatchedBy::Fingerprint(at), BlockAction::Allow)),
                    (None, Some(at)) => Some((MatchedBy::Fingerprint(at), BlockAction::Block)),
                    (None, None) => by_digits,
                };
                let found = index.matched(card, None, Timestamp::UNIX_EPOCH);
                assert_eq!(found.map(|found| (found.by, found.action)), expected, "card {at}, terms: {has_terms}");
                assert_eq!(many[at], found, "card {at}");
                assert_eq!(index.all_matching(card, None, Timestamp::UNIX_EPOCH).first().copied(), found);
            }
        }
    }
}
