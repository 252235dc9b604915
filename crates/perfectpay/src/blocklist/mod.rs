//! Blocklists: cards that a merchant declines.
//!
//! An entry blocks every card with a BIN of six digits or an extended BIN of eight, or one card by its fingerprint. It is
//! named by what it blocks: `{kind}:{value}`, and `{kind}@{profile_id}:{value}` where it holds for one profile only (no
//! operation makes such an entry yet; the stored form has room for it).
//!
//! Whether entries decline is the guard's switch, one for each merchant account and off at first. [`Screening`] says
//! which entry matches also while it is off.

mod card;
pub mod index;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::card::CardNumber;
use crate::actor::Actor;
use crate::error::{EntityKind, Fault};
use crate::id::ProfileId;
use crate::page::Cursor;
use crate::profile::GuardStatus;
use crate::secret::Request;
use crate::stored::{State, Stored};
use crate::text::{Object, Text};
use crate::time::Timestamp;
use crate::words::words;

words! { "snake_case"
    /// What an entry's value is, in the order in which they match: the one that covers the fewest cards first.
    BlockKind {
        /// A card's fingerprint, up to 64 characters.
        Fingerprint,
        /// The first 8 digits of a card number.
        ExtendedCardBin,
        /// The first 6 digits of a card number.
        CardBin,
    }
}

impl BlockKind {
    /// The word for it in answers: there a fingerprint is a `payment_method`.
    pub fn data_kind(self) -> &'static str {
        match self {
            Self::Fingerprint => "payment_method",
            Self::ExtendedCardBin => "extended_card_bin",
            Self::CardBin => "card_bin",
        }
    }

    /// Checks that a value can be of this kind.
    fn check(self, value: &str) -> Result<(), Fault> {
        let digits = |count: usize| value.len() == count && value.bytes().all(|b| b.is_ascii_digit());
        match self {
            Self::CardBin if !digits(6) => Err(Fault::new("blocklist.bin", "must be 6 digits").at("data")),
            Self::ExtendedCardBin if !digits(8) => Err(Fault::new("blocklist.bin", "must be 8 digits").at("data")),
            // Whoever means to block one card and sends its number would have it stored in clear.
            Self::Fingerprint if value.parse::<CardNumber>().is_ok() => {
                Err(Fault::new("blocklist.card_number", "must be a fingerprint, not a card number").at("data"))
            }
            _ => Ok(()),
        }
    }
}

/// The body that adds an entry to a blocklist, or removes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockRequest {
    /// What the value is.
    #[serde(rename = "type")]
    pub kind: BlockKind,
    /// The value.
    pub data: Text<64>,
}

impl BlockRequest {
    /// Which entry the request names.
    ///
    /// # Errors
    ///
    /// `blocklist.bin` or `blocklist.card_number` at `data`.
    pub fn id(&self) -> Result<BlockRuleId, Fault> {
        self.kind.check(&self.data)?;
        Ok(BlockRuleId { kind: self.kind, value: self.data.clone(), profile: None })
    }
}

impl Request for BlockRequest {}

/// Names an entry of a merchant's blocklist.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockRuleId {
    /// What the value is.
    pub kind: BlockKind,
    /// The value, 1 to 64 characters.
    pub value: Text<64>,
    /// The profile that the entry is limited to.
    pub profile: Option<ProfileId>,
}

impl fmt::Display for BlockRuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.profile {
            None => write!(f, "{}:{}", self.kind, self.value),
            Some(profile) => write!(f, "{}@{profile}:{}", self.kind, self.value),
        }
    }
}

impl FromStr for BlockRuleId {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("block_rule.malformed", "is not the name of a blocklist entry");
        // Neither a kind nor a profile's id has a colon in it; a value may have anything.
        let (front, value) = text.split_once(':').ok_or_else(fault)?;
        let (kind, profile) = match front.split_once('@') {
            Some((kind, profile)) => (kind, Some(profile.parse()?)),
            None => (front, None),
        };
        Ok(Self { kind: kind.parse().map_err(|_| fault())?, value: value.parse()?, profile })
    }
}

/// What happens to a payment that the entry matches.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BlockAction {
    /// It is declined.
    #[default]
    Block,
    /// It passes, as an exception.
    Allow,
}

/// What is kept of an entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockRuleState {
    /// What the value is.
    pub kind: BlockKind,
    /// What the entry does.
    pub action: BlockAction,
    /// When it stops matching.
    pub expires_at: Option<Timestamp>,
    /// Why it is there.
    pub reason: Option<Text<255>>,
    /// Where it came from.
    pub source: Option<Text<255>>,
    /// Who added it.
    pub author: Actor,
    /// Kept and not read.
    pub metadata: Option<Object>,
}

impl State for BlockRuleState {
    const KIND: EntityKind = EntityKind::BlockRule;
    type Id = BlockRuleId;
}

/// An entry as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// The value; of a BIN its digits.
    pub fingerprint_id: Text<64>,
    /// What the value is: `payment_method`, `card_bin` or `extended_card_bin`.
    pub data_kind: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// The version, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

impl From<Stored<BlockRuleState>> for BlockEntry {
    fn from(row: Stored<BlockRuleState>) -> Self {
        Self {
            fingerprint_id: row.id.value,
            data_kind: row.id.kind.data_kind().to_owned(),
            created_at: row.created_at,
            version: row.version,
        }
    }
}

/// A page of a blocklist, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockEntries {
    /// How many entries this page has.
    pub count: u64,
    /// How many there are of the kind that was asked for, or of all kinds.
    pub total_count: u64,
    /// The entries.
    pub data: Vec<BlockEntry>,
    /// Where the next page begins; null when this one is the last.
    pub next: Option<Cursor>,
}

/// Whether the guard declines: the answer to toggling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BlocklistGuard {
    /// `enabled` or `disabled`.
    pub blocklist_guard_status: GuardStatus,
}

impl BlocklistGuard {
    pub(crate) fn of(on: bool) -> Self {
        Self { blocklist_guard_status: if on { GuardStatus::Enabled } else { GuardStatus::Disabled } }
    }
}

/// What the blocklist says of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screening {
    /// Whether the guard is on. While it is off, no card is blocked.
    pub guard: bool,
    /// The entry that matches, also while the guard is off: of several the one that covers the fewest cards.
    pub matched: Option<BlockRuleId>,
    /// The card's fingerprint at this merchant, under its current secret.
    pub fingerprint: String,
}

impl Screening {
    /// Whether the card is to be declined.
    pub fn is_blocked(&self) -> bool {
        self.guard && self.matched.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_entry_reads_back_whatever_its_value_is() {
        let id = |value: &str, profile: Option<&str>| BlockRuleId {
            kind: BlockKind::Fingerprint,
            value: value.parse().unwrap(),
            profile: profile.map(|id| id.parse().unwrap()),
        };
        for id in [id("abc", None), id("abc@pro_x", None), id("a:b", None), id("a:b", Some("pro_x")), id("@:", None)] {
            assert_eq!(id.to_string().parse::<BlockRuleId>().unwrap(), id);
        }
        assert_ne!(id("abc@pro_x", None).to_string(), id("abc", Some("pro_x")).to_string());
    }

    #[test]
    fn a_bin_is_exactly_its_digits() {
        let check = |kind, data: &str| BlockRequest { kind, data: data.parse().unwrap() }.id().map(|_| ());
        assert!(check(BlockKind::CardBin, "411111").is_ok());
        assert!(check(BlockKind::ExtendedCardBin, "41111111").is_ok());
        for (kind, data) in [
            (BlockKind::CardBin, "41111"),
            (BlockKind::CardBin, "4111111"),
            (BlockKind::CardBin, "41111a"),
            (BlockKind::CardBin, "４１１１１１"),
            (BlockKind::ExtendedCardBin, "411111"),
        ] {
            let fault = check(kind, data).unwrap_err();
            assert_eq!((fault.path(), fault.code()), ("data", "blocklist.bin"));
        }
    }

    #[test]
    fn a_card_number_is_no_fingerprint() {
        let check = |data: &str| BlockRequest { kind: BlockKind::Fingerprint, data: data.parse().unwrap() }.id();
        for number in ["4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242"] {
            let fault = check(number).unwrap_err();
            assert_eq!((fault.path(), fault.code()), ("data", "blocklist.card_number"));
            assert!(!fault.to_string().contains("4242"));
        }
        assert!(check("4242424242424241").is_ok(), "digits that no card has are any other text");
    }
}
