//! Screening from memory: the facts of a card, asked of the two compiled lists that decide about it.

use std::time::Duration;

use super::lists::{Compiled, Lists, digest};
use crate::blocklist::index::{DigitSpan, DigitsKind, Facts, IndexFingerprint, LeadingDigits, Match, MatchedBy};
use crate::blocklist::{
    BlockKind, BlockRuleId, CardFacts, CardFingerprint, CardNumber, Fingerprint, MAX_FINGERPRINTS, Matched,
    MatchedValue, Screening,
};
use crate::error::Error;
use crate::merchant::MAX_FINGERPRINT_SECRETS;
use crate::time::Timestamp;

/// The most fingerprints by which a card is looked up at once.
const MOST: usize = if MAX_FINGERPRINTS > MAX_FINGERPRINT_SECRETS { MAX_FINGERPRINTS } else { MAX_FINGERPRINT_SECRETS };

/// Cards that are screened together.
const GROUP: usize = 16;

/// What a screening stands on, besides the card.
pub(super) struct Screen<'a> {
    pub(super) lists: &'a Lists,
    /// The merchant account's list.
    pub(super) own: &'a Compiled,
    /// Its organization's.
    pub(super) above: &'a Compiled,
    /// The number that the account's list has for the profile that is asked at; one without entries has none.
    pub(super) profile: Option<u32>,
    pub(super) now: Timestamp,
    pub(super) staleness: Duration,
}

/// A card's fingerprints under all secrets, and their digests.
#[derive(Clone, Copy)]
struct Prints {
    made: [Option<Fingerprint>; MAX_FINGERPRINT_SECRETS],
    digests: [IndexFingerprint; MOST],
    count: usize,
}

impl Prints {
    const NONE: Self =
        Self { made: [None; MAX_FINGERPRINT_SECRETS], digests: [IndexFingerprint::NONE; MOST], count: 0 };

    fn push(&mut self, made: Option<Fingerprint>, digest: IndexFingerprint) {
        if let Some(place) = self.made.get_mut(self.count) {
            *place = made;
        }
        if let Some(place) = self.digests.get_mut(self.count) {
            *place = digest;
            self.count += 1;
        }
    }

    fn made(&self, at: usize) -> Option<Fingerprint> {
        self.made.get(at).copied().flatten()
    }

    fn digests(&self) -> &[IndexFingerprint] {
        self.digests.get(..self.count).unwrap_or_default()
    }
}

impl Screen<'_> {
    /// Screens a card. Allocates nothing.
    #[inline]
    pub(super) fn card(&self, card: &CardNumber) -> Result<Screening, Error> {
        let leading = LeadingDigits::of(card.prefix());
        // The usual case, for which nothing is laid out.
        if let Some([secret]) = self.own.account.as_ref().map(|account| account.secrets.as_slice()) {
            let made = secret.fingerprint(card);
            let print = [IndexFingerprint::ours(made.version, &made.digest)];
            let winner = self.winner(&Facts { leading, fingerprints: &print });
            return self.answer(winner.as_ref(), |at| (at == 0).then_some(made));
        }
        let mut prints = Prints::NONE;
        for secret in self.own.account.iter().flat_map(|account| &account.secrets) {
            let made = secret.fingerprint(card);
            prints.push(Some(made), IndexFingerprint::ours(made.version, &made.digest));
        }
        let facts = Facts { leading, fingerprints: prints.digests() };
        self.answer(self.winner(&facts).as_ref(), |at| prints.made(at))
    }

    /// Screens many cards, in their order.
    pub(super) fn cards(&self, cards: &[CardNumber]) -> Result<Vec<Screening>, Error> {
        let mut screenings = Vec::with_capacity(cards.len());
        for cards in cards.chunks(GROUP) {
            let mut prints = [Prints::NONE; GROUP];
            for secret in self.own.account.iter().flat_map(|account| &account.secrets) {
                let made = secret.fingerprints(cards, self.lists.level());
                for (prints, made) in prints.iter_mut().zip(made.into_iter().flatten()) {
                    prints.push(Some(made), IndexFingerprint::ours(made.version, &made.digest));
                }
            }
            let mut facts = [Facts::default(); GROUP];
            for (facts, (card, prints)) in facts.iter_mut().zip(cards.iter().zip(&prints)) {
                let leading = LeadingDigits::of(card.prefix());
                *facts = Facts { leading, fingerprints: prints.digests() };
            }
            let facts = facts.get(..cards.len()).unwrap_or_default();
            let mut winners = [None; GROUP];
            let mut places = winners.iter_mut();
            self.own.index.match_many(facts, self.profile, self.now, |found| {
                if let Some(place) = places.next() {
                    *place = found;
                }
            });
            let winners = winners.iter().zip(facts).map(|(winner, facts)| {
                first(*winner, self.above.index.matched(&Facts { fingerprints: &[], ..*facts }, None, self.now))
            });
            for (winner, prints) in winners.zip(&prints) {
                screenings.push(self.answer(winner.as_ref(), |at| prints.made(at))?);
            }
        }
        Ok(screenings)
    }

    /// Screens a card whose number the host does not have.
    pub(super) fn facts(&self, card: &CardFacts) -> Result<Screening, Error> {
        // The usual case, for which nothing is laid out.
        if let [known] = card.parsed() {
            let print = [self.digest(known)];
            let winner = self.winner(&Facts { leading: Some(card.leading()), fingerprints: &print });
            let value = |_| MatchedValue::of(BlockKind::Fingerprint, &known.text);
            let matched = winner.map(|winner| told(self.own, &winner, value));
            return Ok(self.screening(matched.transpose()?, None));
        }
        let sorted = Sorted::of(card);
        let prints = self.prints(&sorted);
        let winner = self.winner(&Facts { leading: Some(card.leading()), fingerprints: prints.digests() });
        let matched = winner.map(|winner| told(self.own, &winner, |at| sorted.value(at)));
        Ok(self.screening(matched.transpose()?, None))
    }

    fn digest(&self, known: &CardFingerprint) -> IndexFingerprint {
        digest(self.lists.keys(), &known.text, known.ours)
    }

    fn prints(&self, sorted: &Sorted<'_>) -> Prints {
        let mut prints = Prints::NONE;
        for known in sorted.all.iter().flatten() {
            prints.push(None, self.digest(known));
        }
        prints
    }

    /// What is screened where no card is known: nothing, and whether the guard is on.
    pub(super) fn none(&self) -> Screening {
        self.screening(None, None)
    }

    /// The names of all entries that match a card, the one that decides first.
    pub(super) fn names(&self, card: &CardFacts) -> Result<Vec<BlockRuleId>, Error> {
        let sorted = Sorted::of(card);
        let prints = self.prints(&sorted);
        let facts = Facts { leading: Some(card.leading()), fingerprints: prints.digests() };
        let mut matches = self.own.index.all_matching(&facts, self.profile, self.now);
        matches.extend(self.above.index.all_matching(&Facts { fingerprints: &[], ..facts }, None, self.now));
        matches.sort();
        matches.iter().map(|found| Ok(told(self.own, found, |at| sorted.value(at))?.id()?)).collect()
    }

    /// The entry of both lists that decides.
    #[inline]
    fn winner(&self, facts: &Facts<'_>) -> Option<Match> {
        first(
            self.own.index.matched(facts, self.profile, self.now),
            self.above.index.matched(&Facts { fingerprints: &[], ..*facts }, None, self.now),
        )
    }

    #[inline]
    fn answer(&self, winner: Option<&Match>, made: impl Fn(usize) -> Option<Fingerprint>) -> Result<Screening, Error> {
        let matched = winner.map(|winner| told(self.own, winner, |at| made(at).map(MatchedValue::Fingerprint)));
        let current = self.own.account.as_ref().and_then(|account| made(account.current));
        Ok(self.screening(matched.transpose()?, current))
    }

    #[inline]
    fn screening(&self, matched: Option<Matched>, fingerprint: Option<Fingerprint>) -> Screening {
        let guard = self.own.account.as_ref().is_some_and(|account| account.guard);
        Screening { guard, matched, fingerprint, staleness: self.staleness }
    }
}

/// The fingerprints of derived facts in the order of their texts, which is the one in which an index tells them.
struct Sorted<'a> {
    all: [Option<&'a CardFingerprint>; MAX_FINGERPRINTS],
}

impl<'a> Sorted<'a> {
    fn of(card: &'a CardFacts) -> Self {
        let mut all = [None; MAX_FINGERPRINTS];
        for (place, known) in all.iter_mut().zip(card.parsed()) {
            *place = Some(known);
        }
        if let Some(all) = all.get_mut(..card.parsed().len()) {
            all.sort_unstable_by_key(|known| known.map(|known| known.text.as_str()));
        }
        Self { all }
    }

    fn value(&self, at: usize) -> Option<MatchedValue> {
        MatchedValue::of(BlockKind::Fingerprint, &self.all.get(at).copied().flatten()?.text)
    }
}

/// Of the two lists' winners the one that decides.
fn first(own: Option<Match>, above: Option<Match>) -> Option<Match> {
    match (own, above) {
        (Some(own), Some(above)) => Some(own.min(above)),
        (own, above) => own.or(above),
    }
}

/// An entry that matched, in words.
fn told(
    own: &Compiled,
    found: &Match,
    fingerprint: impl FnOnce(usize) -> Option<MatchedValue>,
) -> Result<Matched, Error> {
    let (kind, value) = match found.by {
        MatchedBy::Fingerprint(at) => (BlockKind::Fingerprint, fingerprint(at)),
        MatchedBy::Digits(span) => (kind(span.kind()), Some(value(span))),
    };
    let unknown = || Error::corrupt("an entry of a blocklist has no name");
    let scope = own.scope(found.scope).ok_or_else(unknown)?;
    Ok(Matched { kind, scope, action: found.action, value: value.ok_or_else(unknown)? })
}

fn kind(kind: DigitsKind) -> BlockKind {
    match kind {
        DigitsKind::ExtendedCardBin => BlockKind::ExtendedCardBin,
        DigitsKind::CardBin => BlockKind::CardBin,
        DigitsKind::CardPrefix => BlockKind::CardPrefix,
        DigitsKind::CardRange => BlockKind::CardRange,
    }
}

fn value(span: DigitSpan) -> MatchedValue {
    let (low, high, length) = (span.low(), span.high(), span.length());
    match span.kind() {
        DigitsKind::CardRange => MatchedValue::Range { low, high, length },
        DigitsKind::ExtendedCardBin | DigitsKind::CardBin | DigitsKind::CardPrefix => {
            MatchedValue::Prefix { digits: low, length }
        }
    }
}
