//! Blocklists: cards that a merchant declines.
//!
//! An entry matches every card whose number begins with certain digits (a BIN of six, an extended BIN of eight, a
//! prefix or a range), or one card by its [`Fingerprint`]. It holds for one profile, for a merchant account or for all
//! accounts of an organization ([`BlockScope`]), blocks or allows, and may end. Of the entries that match, [`Rank`] says
//! which one decides; [`decide`] is that as code.
//!
//! Whether entries decline is the guard's switch, one for each merchant account and off at first. [`Screening`] says
//! which entry decides also while it is off.

mod attributes;
mod card;
mod decide;
mod facts;
mod fingerprint;
pub(crate) mod import;
pub mod index;
mod rows;
mod rule;
mod secret;

use serde::{Deserialize, Serialize};

pub use self::attributes::{BlockReason, CardInfo, CardInfoSource, ScreenedCard};
pub use self::card::CardNumber;
pub use self::decide::{
    BlockLevel, Candidate, CardVerdict, Coverage, ExplainedRule, Explanation, Matched, MatchedValue, Outranked, Rank,
    Screening, decide,
};
pub(crate) use self::facts::CardFingerprint;
pub use self::facts::{CardFacts, MAX_FINGERPRINTS};
pub use self::fingerprint::Fingerprint;
pub use self::import::{
    ExportError, ImportCause, ImportError, ImportEvent, ImportMode, ImportOptions, ImportReport, MAX_ROW, MAX_TOGETHER,
    RowOutcome,
};
pub use self::rows::{BlockCount, BlockRow, BlockRows, ExpiredRules, NewRules, RowScope, SortedRows};
pub use self::rule::{BlockAction, BlockKind, BlockRequest, BlockRule, BlockRuleId, BlockRuleState, BlockScope};
pub(crate) use self::secret::FingerprintKey;
use crate::page::Cursor;
use crate::profile::GuardStatus;
use crate::stored::Stored;
use crate::text::Text;
use crate::time::Timestamp;

/// An entry as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BlockEntry {
    /// The value; of a BIN its digits.
    pub fingerprint_id: Text<64>,
    /// What the value is: `payment_method`, `card_bin`, `extended_card_bin`, `card_prefix` or `card_range`.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// A version of the secret under which a merchant account's cards are fingerprinted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FingerprintVersion {
    /// The version.
    pub version: u32,
    /// How many entries were made under it.
    pub entries: u64,
    /// Whether cards are matched under it.
    pub is_live: bool,
    /// Whether new fingerprints are made under it.
    pub is_current: bool,
}

/// Whether the guard declines: the answer to toggling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BlocklistGuard {
    /// `enabled` or `disabled`.
    pub blocklist_guard_status: GuardStatus,
}

impl BlocklistGuard {
    pub(crate) fn of(on: bool) -> Self {
        Self { blocklist_guard_status: if on { GuardStatus::Enabled } else { GuardStatus::Disabled } }
    }
}
