//! An entry of a blocklist: what it matches, where it holds, what it does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use super::card::CardNumber;
use super::decide::Coverage;
use super::fingerprint::Fingerprint;
use crate::actor::Actor;
use crate::error::{EntityKind, Fault};
use crate::id::ProfileId;
use crate::seal::Sealed;
use crate::secret::Request;
use crate::stored::{State, Stored};
use crate::text::{Object, Text};
use crate::time::Timestamp;
use crate::words::words;

words! { "snake_case"
    /// What an entry's value is.
    BlockKind {
        /// A card's fingerprint, up to 64 characters.
        Fingerprint,
        /// The first 8 digits of a card number.
        ExtendedCardBin,
        /// The first 6 digits of a card number.
        CardBin,
        /// The first 6 to 11 digits of a card number.
        CardPrefix,
        /// The first digits of a card number, from one number to another, both included: `411111-411299`. Both have
        /// equally many digits, 6 to 11, and the first is not the greater one.
        CardRange,
    }
}

impl BlockKind {
    /// The word for it in answers: there a fingerprint is a `payment_method`.
    pub fn data_kind(self) -> &'static str {
        match self {
            Self::Fingerprint => "payment_method",
            other => other.into(),
        }
    }

    /// The kind whose word in answers this is.
    ///
    /// # Errors
    ///
    /// `blocklist.unknown_kind` at `data_kind`.
    pub fn of_data_kind(word: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("blocklist.unknown_kind", "is not the kind of an entry").at("data_kind");
        Self::VARIANTS.iter().copied().find(|kind| kind.data_kind() == word).ok_or_else(fault)
    }

    /// What a value of this kind covers.
    ///
    /// # Errors
    ///
    /// `blocklist.bin`, `blocklist.prefix`, `blocklist.range` or `blocklist.card_number` at `data`, for a value that
    /// cannot be of this kind.
    pub(super) fn coverage(self, value: &str) -> Result<Coverage, Fault> {
        let fault = |code, message: &'static str| Fault::new(code, message).at("data");
        let digits = |least, most| digits(value).filter(|_| (least..=most).contains(&value.len()));
        let prefix = |number| Coverage::digits(number, number, value.len());
        match self {
            Self::Fingerprint => refuse_card_number(value).map(|()| Coverage::One).map_err(|fault| fault.at("data")),
            Self::ExtendedCardBin => digits(8, 8).map(prefix).ok_or_else(|| fault("blocklist.bin", "must be 8 digits")),
            Self::CardBin => digits(6, 6).map(prefix).ok_or_else(|| fault("blocklist.bin", "must be 6 digits")),
            Self::CardPrefix => {
                digits(6, 11).map(prefix).ok_or_else(|| fault("blocklist.prefix", "must be 6 to 11 digits"))
            }
            Self::CardRange => range(value).ok_or_else(|| {
                fault("blocklist.range", "must be two numbers of equally many digits, 6 to 11, the lower one first")
            }),
        }
    }
}

/// Whoever means to block one card and sends its number would have it stored in clear.
pub(super) fn refuse_card_number(value: &str) -> Result<(), Fault> {
    if value.parse::<CardNumber>().is_ok() {
        return Err(Fault::new("blocklist.card_number", "must be a fingerprint, not a card number"));
    }
    Ok(())
}

/// The number that a text of digits writes.
pub(super) fn digits(text: &str) -> Option<u64> {
    // `parse` alone takes a sign.
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

fn range(value: &str) -> Option<Coverage> {
    let (low, high) = value.split_once('-')?;
    let length = low.len();
    let good = (6..=11).contains(&length) && high.len() == length && low <= high;
    Some(Coverage::digits(digits(low)?, digits(high)?, length)).filter(|_| good)
}

/// Where an entry holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BlockScope {
    /// In all merchant accounts of an organization. Its entries are BINs, prefixes and ranges: a fingerprint is of one
    /// merchant account.
    Organization,
    /// In a merchant account.
    Merchant,
    /// In one profile of it.
    Profile(ProfileId),
}

impl BlockScope {
    /// Writes the name of an entry in this scope.
    pub(super) fn named(&self, f: &mut fmt::Formatter<'_>, kind: BlockKind, value: &dyn fmt::Display) -> fmt::Result {
        match self {
            Self::Organization => write!(f, "{kind}@*:{value}"),
            Self::Merchant => write!(f, "{kind}:{value}"),
            Self::Profile(profile) => write!(f, "{kind}@{profile}:{value}"),
        }
    }
}

/// Names an entry within its organization or merchant account: `{kind}:{value}`; `{kind}@{profile_id}:{value}` where it
/// holds for one profile only, `{kind}@*:{value}` where it is an organization's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockRuleId {
    /// What the value is.
    pub kind: BlockKind,
    /// The value, 1 to 64 characters.
    pub value: Text<64>,
    /// Where it holds.
    pub scope: BlockScope,
}

impl BlockRuleId {
    /// Names an entry that can be: of this kind, with this value, in this scope.
    ///
    /// # Errors
    ///
    /// `blocklist.bin`, `blocklist.prefix`, `blocklist.range` or `blocklist.card_number` at `data`, for a value that is
    /// not of the kind; `blocklist.not_for_organization` at `type`.
    pub fn new(kind: BlockKind, value: Text<64>, scope: BlockScope) -> Result<Self, Fault> {
        kind.coverage(&value)?;
        if scope == BlockScope::Organization && kind == BlockKind::Fingerprint {
            let fault = Fault::new("blocklist.not_for_organization", "must not be a fingerprint in an organization");
            return Err(fault.at("type"));
        }
        Ok(Self { kind, value, scope })
    }

    /// The version of the secret under which its fingerprint was made; `None` for a foreign one, and for other kinds.
    pub fn fingerprint_version(&self) -> Option<u32> {
        let is_fingerprint = self.kind == BlockKind::Fingerprint;
        Fingerprint::parse(&self.value).filter(|_| is_fingerprint).map(|fingerprint| fingerprint.version)
    }
}

impl fmt::Display for BlockRuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scope.named(f, self.kind, &self.value)
    }
}

impl FromStr for BlockRuleId {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("block_rule.malformed", "is not the name of a blocklist entry");
        // Neither a kind nor a profile's id has a colon in it; a value may have anything.
        let (front, value) = text.split_once(':').ok_or_else(fault)?;
        let (kind, scope) = match front.split_once('@') {
            Some((kind, "*")) => (kind, BlockScope::Organization),
            Some((kind, profile)) => (kind, BlockScope::Profile(profile.parse()?)),
            None => (front, BlockScope::Merchant),
        };
        Ok(Self { kind: kind.parse().map_err(|_| fault())?, value: value.parse()?, scope })
    }
}

words! { "snake_case"
    /// What happens to a payment that the entry decides.
    #[derive(Default)]
    BlockAction {
        /// It passes, as an exception.
        Allow,
        /// It is declined.
        #[default]
        Block,
    }
}

/// The body that adds an entry to a blocklist, or removes one. The published body is `type` and `data`; the other
/// members may be left out, and are not looked at where an entry is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BlockRequest {
    /// What the value is.
    #[serde(rename = "type")]
    pub kind: BlockKind,
    /// The value.
    pub data: Text<64>,
    /// What the entry does: it blocks unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<BlockAction>,
    /// When it stops matching; never unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<255>>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Text<255>>,
    /// Kept and not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
}

impl BlockRequest {
    /// The published body: an entry that blocks, without an end.
    pub fn new(kind: BlockKind, data: Text<64>) -> Self {
        Self { kind, data, action: None, expires_at: None, reason: None, source: None, metadata: None }
    }

    /// Which entry of a merchant account the request names.
    ///
    /// # Errors
    ///
    /// As [`BlockRuleId::new`].
    pub fn id(&self) -> Result<BlockRuleId, Fault> {
        self.id_in(BlockScope::Merchant)
    }

    /// Which entry of a scope the request names.
    ///
    /// # Errors
    ///
    /// As [`BlockRuleId::new`].
    pub fn id_in(&self, scope: BlockScope) -> Result<BlockRuleId, Fault> {
        BlockRuleId::new(self.kind, self.data.clone(), scope)
    }

    /// What is kept of the entry.
    pub(crate) fn into_state(self, author: Actor) -> BlockRuleState {
        BlockRuleState {
            action: self.action.unwrap_or_default(),
            expires_at: self.expires_at,
            reason: self.reason,
            source: self.source,
            author,
            metadata: self.metadata,
        }
    }
}

impl Request for BlockRequest {}

/// What is kept of an entry beside its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockRuleState {
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

impl BlockRuleState {
    /// Whether the entry matches nothing any more.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

impl State for BlockRuleState {
    const KIND: EntityKind = EntityKind::BlockRule;
    type Id = BlockRuleId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self { action: _, expires_at: _, reason: _, source: _, author: _, metadata: _ } = self;
        Vec::new()
    }
}

/// An entry with everything that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRule {
    /// Its name.
    pub id: BlockRuleId,
    /// What it does.
    pub action: BlockAction,
    /// When it stops matching.
    pub expires_at: Option<Timestamp>,
    /// Why it is there.
    pub reason: Option<Text<255>>,
    /// Where it came from.
    pub source: Option<Text<255>>,
    /// Kept and not read.
    pub metadata: Option<Object>,
    /// Who added it.
    pub author: Actor,
    /// When it was added.
    pub created_at: Timestamp,
    /// The version, for `expecting`.
    pub version: u64,
}

impl From<Stored<BlockRuleState>> for BlockRule {
    fn from(row: Stored<BlockRuleState>) -> Self {
        let BlockRuleState { action, expires_at, reason, source, author, metadata } = row.state;
        let (id, created_at, version) = (row.id, row.created_at, row.version);
        Self { id, action, expires_at, reason, source, metadata, author, created_at, version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(kind: BlockKind, data: &str) -> Result<BlockRuleId, Fault> {
        BlockRequest::new(kind, data.parse().unwrap()).id()
    }

    #[test]
    fn the_name_of_an_entry_reads_back_whatever_its_value_is() {
        let id = |value: &str, profile: Option<&str>| BlockRuleId {
            kind: BlockKind::Fingerprint,
            value: value.parse().unwrap(),
            scope: profile.map_or(BlockScope::Merchant, |id| match id {
                "*" => BlockScope::Organization,
                id => BlockScope::Profile(id.parse().unwrap()),
            }),
        };
        for id in [
            id("abc", None),
            id("abc@pro_x", None),
            id("a:b", None),
            id("a:b", Some("pro_x")),
            id("a:b", Some("*")),
            id("@:", None),
            id("@*:", None),
        ] {
            assert_eq!(id.to_string().parse::<BlockRuleId>().unwrap(), id);
        }
        assert_ne!(id("abc@pro_x", None).to_string(), id("abc", Some("pro_x")).to_string());
    }

    #[test]
    fn a_value_is_exactly_what_its_kind_says() {
        for (kind, data) in [
            (BlockKind::CardBin, "411111"),
            (BlockKind::ExtendedCardBin, "41111111"),
            (BlockKind::CardPrefix, "411111"),
            (BlockKind::CardPrefix, "41111111111"),
            (BlockKind::CardRange, "411111-411111"),
            (BlockKind::CardRange, "411111-411299"),
            (BlockKind::CardRange, "00000000000-99999999999"),
        ] {
            assert_eq!(named(kind, data).unwrap().to_string(), format!("{kind}:{data}"));
        }
        for (kind, code, data) in [
            (BlockKind::CardBin, "blocklist.bin", "41111"),
            (BlockKind::CardBin, "blocklist.bin", "4111111"),
            (BlockKind::CardBin, "blocklist.bin", "41111a"),
            (BlockKind::CardBin, "blocklist.bin", "+41111"),
            (BlockKind::CardBin, "blocklist.bin", "４１１１１１"),
            (BlockKind::ExtendedCardBin, "blocklist.bin", "411111"),
            (BlockKind::CardPrefix, "blocklist.prefix", "41111"),
            (BlockKind::CardPrefix, "blocklist.prefix", "411111111111"),
            (BlockKind::CardPrefix, "blocklist.prefix", "411111-"),
            (BlockKind::CardRange, "blocklist.range", "411111"),
            (BlockKind::CardRange, "blocklist.range", "411112-411111"),
            (BlockKind::CardRange, "blocklist.range", "411111-4111112"),
            (BlockKind::CardRange, "blocklist.range", "41111-41112"),
            (BlockKind::CardRange, "blocklist.range", "411111111111-411111111112"),
            (BlockKind::CardRange, "blocklist.range", "411111 - 411299"),
            (BlockKind::CardRange, "blocklist.range", "411111-411112-411113"),
            (BlockKind::CardRange, "blocklist.range", "41111a-41111b"),
        ] {
            let fault = named(kind, data).unwrap_err();
            assert_eq!((fault.path(), fault.code()), ("data", code), "{kind} {data}");
        }
    }

    #[test]
    fn a_card_number_is_no_fingerprint() {
        for number in ["4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242"] {
            let fault = named(BlockKind::Fingerprint, number).unwrap_err();
            assert_eq!((fault.path(), fault.code()), ("data", "blocklist.card_number"));
            assert!(!fault.to_string().contains("4242"));
        }
        assert!(
            named(BlockKind::Fingerprint, "4242424242424241").is_ok(),
            "digits that no card has are any other text"
        );
    }

    #[test]
    fn an_organization_lists_no_fingerprints() {
        let fault = BlockRequest::new(BlockKind::Fingerprint, "tok_5fa1".parse().unwrap())
            .id_in(BlockScope::Organization)
            .unwrap_err();
        assert_eq!((fault.path(), fault.code()), ("type", "blocklist.not_for_organization"));
        for (kind, data) in [
            (BlockKind::CardBin, "411111"),
            (BlockKind::ExtendedCardBin, "41111111"),
            (BlockKind::CardPrefix, "4111111"),
            (BlockKind::CardRange, "411111-411299"),
        ] {
            let request = BlockRequest::new(kind, data.parse().unwrap());
            let id = request.id_in(BlockScope::Organization).unwrap();
            assert_eq!(id.to_string(), format!("{kind}@*:{data}"));
        }
    }
}
