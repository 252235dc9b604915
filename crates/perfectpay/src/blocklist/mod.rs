//! Blocklists.
//!
//! An entry is named by what it blocks: `{kind}:{value}`, and `{kind}:{value}@{profile_id}` where it holds for one
//! profile only.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{EntityKind, Fault};
use crate::id::ProfileId;
use crate::store::{Actor, State};
use crate::text::{Object, Text};
use crate::time::Timestamp;

/// What an entry's value is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BlockKind {
    /// The first 6 digits of a card number.
    CardBin,
    /// The first 8 digits of a card number.
    ExtendedCardBin,
    /// A card's fingerprint.
    Fingerprint,
}

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
        write!(f, "{}:{}", self.kind, self.value)?;
        self.profile.as_ref().map_or(Ok(()), |profile| write!(f, "@{profile}"))
    }
}
impl FromStr for BlockRuleId {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("block_rule.malformed", "is not the name of a blocklist entry");
        let (kind, rest) = text.split_once(':').ok_or_else(fault)?;
        let (value, profile) = match rest.rsplit_once('@') {
            Some((value, profile)) if profile.starts_with("pro_") => (value, Some(profile.parse()?)),
            _ => (rest, None),
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
