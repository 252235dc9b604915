//! What is kept of a routing program and of each of its versions, how both are made and how they are answered.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::diff::{Difference, differences};
use super::{Algorithm, ConnectorChoice, Lint, RetryPolicy, RoutingKind};
use crate::error::{EntityKind, Error, Fault};
use crate::id::{ProfileId, RoutingId};
use crate::seal::Sealed;
use crate::secret::Request;
use crate::stored::{State, Stored};
use crate::text::{Name, Text};
use crate::time::Timestamp;
use crate::words::words;

/// The most versions that a program ever has.
pub const MAX_VERSIONS: u32 = 10_000;

words! { "snake_case"
    /// What a program routes.
    TransactionType {
        /// Payments.
        Payment,
    }
}

/// Names one version of a program: the program's id, a full stop and the number, in five digits so that they sort.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutingVersionId {
    /// The program.
    pub program: RoutingId,
    /// The number, from 1.
    pub number: u32,
}

impl fmt::Display for RoutingVersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:05}", self.program, self.number)
    }
}

impl FromStr for RoutingVersionId {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let malformed =
            || Fault::new("routing_version.malformed", "must be the id of a routing program, `.` and five digits");
        let (program, number) = text.rsplit_once('.').ok_or_else(malformed)?;
        if number.len() != 5 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        Ok(Self { program: program.parse()?, number: number.parse().map_err(|_| malformed())? })
    }
}

impl Serialize for RoutingVersionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RoutingVersionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// The body that creates a program with its first version. It does not decide until it is activated.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRoutingProgram {
    /// What people call it. Not unique.
    pub name: Name,
    /// What it is for.
    pub description: Text<256>,
    /// What it does.
    pub algorithm: Algorithm,
    /// The profile; that of the handle unless stated.
    #[serde(default)]
    pub profile_id: Option<ProfileId>,
    /// What it routes; payments unless stated.
    #[serde(default)]
    pub transaction_type: Option<TransactionType>,
    /// When a payment whose attempt failed goes on to the next candidate; the default policy unless stated.
    #[serde(default)]
    pub retry_policy: Option<RetryPolicy>,
}

impl Request for NewRoutingProgram {}

/// The body that adds a version to a program. It does not decide until it is activated.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRoutingVersion {
    /// What it does.
    pub algorithm: Algorithm,
    /// When a payment whose attempt failed goes on to the next candidate; the default policy unless stated.
    #[serde(default)]
    pub retry_policy: Option<RetryPolicy>,
}

impl Request for NewRoutingVersion {}

/// What is kept of a program: what people call it, how many versions it has, and which one decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoutingProgramState {
    /// The profile.
    pub profile_id: ProfileId,
    /// What people call it. Not unique.
    pub name: Name,
    /// What it is for.
    pub description: Text<256>,
    /// The kind of the newest version.
    pub kind: RoutingKind,
    /// The number of the newest version. Numbers are not used again.
    pub latest: u32,
    /// The version that decides; null while none of the program does.
    pub active: Option<u32>,
    /// The versions that ever decided, in ascending order. They stay, so that what they decided can be replayed.
    pub served: Vec<u32>,
    /// What decided in the profile before, where this program decides: what is rolled back to.
    pub replaced: Option<RoutingVersionId>,
}

impl State for RoutingProgramState {
    const KIND: EntityKind = EntityKind::RoutingProgram;
    type Id = RoutingId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self { profile_id: _, name: _, description: _, kind: _, latest: _, active: _, served: _, replaced: _ } =
            self;
        Vec::new()
    }
}

impl RoutingProgramState {
    /// A program with its first version, which does not decide.
    pub(crate) fn new(new: &NewRoutingProgram, profile_id: ProfileId) -> Self {
        Self {
            profile_id,
            name: new.name.clone(),
            description: new.description.clone(),
            kind: new.algorithm.kind(),
            latest: 1,
            active: None,
            served: Vec::new(),
            replaced: None,
        }
    }

    /// The program with a version more.
    ///
    /// # Errors
    ///
    /// `routing.too_many_versions` where it has had [`MAX_VERSIONS`].
    pub(crate) fn extended(&self, kind: RoutingKind) -> Result<Self, Fault> {
        if self.latest >= MAX_VERSIONS {
            return Err(Fault::new("routing.too_many_versions", "has had as many versions as a program can have"));
        }
        Ok(Self { kind, latest: self.latest.saturating_add(1), ..self.clone() })
    }

    /// The program once this version of it decides; `replaced` is what decided in the profile until then.
    pub(crate) fn serving(&self, number: u32, replaced: Option<RoutingVersionId>) -> Self {
        let mut served = self.served.clone();
        if let Err(place) = served.binary_search(&number) {
            served.insert(place, number);
        }
        Self { active: Some(number), served, replaced, ..self.clone() }
    }

    /// The program once it does not decide.
    pub(crate) fn resting(&self) -> Self {
        Self { active: None, replaced: None, ..self.clone() }
    }

    /// Whether a version of it ever decided.
    pub(crate) fn has_served(&self, number: u32) -> bool {
        self.served.binary_search(&number).is_ok()
    }
}

/// The version of a program that decides, if one does.
pub(crate) fn active_version(row: &Stored<RoutingProgramState>) -> Option<RoutingVersionId> {
    row.state.active.map(|number| RoutingVersionId { program: row.id.clone(), number })
}

/// What is kept of one version. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoutingVersionState {
    /// The profile of the program.
    pub profile_id: ProfileId,
    /// What it does.
    pub algorithm: Algorithm,
    /// When a payment whose attempt failed goes on to the next candidate.
    pub retry_policy: RetryPolicy,
}

impl State for RoutingVersionState {
    const KIND: EntityKind = EntityKind::RoutingVersion;
    type Id = RoutingVersionId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self { profile_id: _, algorithm: _, retry_policy: _ } = self;
        Vec::new()
    }
}

/// A program in a list: the contract's record, and which of its versions decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoutingRecord {
    /// The id.
    pub id: RoutingId,
    /// The profile.
    pub profile_id: ProfileId,
    /// What people call it.
    pub name: Name,
    /// The kind of the newest version.
    pub kind: RoutingKind,
    /// What it is for.
    pub description: Text<256>,
    /// When it was created, in Unix seconds.
    pub created_at: i64,
    /// When it was last changed, in Unix seconds.
    pub modified_at: i64,
    /// What it routes.
    pub algorithm_for: TransactionType,
    /// Published, and null.
    #[serde(default)]
    pub decision_engine_routing_id: Option<Text<64>>,
    /// The number of the newest version.
    pub latest_version: u32,
    /// The version that decides; null while none of the program does.
    pub active_version: Option<u32>,
    /// The version of the record, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

fn unix_seconds(at: Timestamp) -> i64 {
    at.unix_millis().div_euclid(1_000)
}

impl From<Stored<RoutingProgramState>> for RoutingRecord {
    fn from(row: Stored<RoutingProgramState>) -> Self {
        Self {
            id: row.id,
            profile_id: row.state.profile_id,
            name: row.state.name,
            kind: row.state.kind,
            description: row.state.description,
            created_at: unix_seconds(row.created_at),
            modified_at: unix_seconds(row.modified_at),
            algorithm_for: TransactionType::Payment,
            decision_engine_routing_id: None,
            latest_version: row.state.latest,
            active_version: row.state.active,
            version: row.version,
        }
    }
}

/// A program whose command checked an algorithm: the contract's record, and what the checks found that is no error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckedRouting {
    /// The program.
    #[serde(flatten)]
    pub record: RoutingRecord,
    /// The version that the command was about.
    pub checked_version: u32,
    /// What is strange in it.
    pub lints: Vec<Lint>,
}

/// The order in which a profile's connector accounts are tried where no program selects one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FallbackOrder {
    /// The profile.
    pub profile_id: ProfileId,
    /// The accounts, the first to be tried first.
    pub connectors: Vec<ConnectorChoice>,
    /// The version of the profile, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

/// A program with the algorithm of one of its versions: the one that decides or, where none does, the newest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoutingProgram {
    /// The id.
    pub id: RoutingId,
    /// The profile.
    pub profile_id: ProfileId,
    /// What people call it.
    pub name: Name,
    /// What it is for.
    pub description: Text<256>,
    /// What it does.
    pub algorithm: Algorithm,
    /// When it was created, in Unix seconds.
    pub created_at: i64,
    /// When it was last changed, in Unix seconds.
    pub modified_at: i64,
    /// What it routes.
    pub algorithm_for: TransactionType,
    /// When a payment whose attempt failed goes on to the next candidate.
    pub retry_policy: RetryPolicy,
    /// The number of the version that is shown.
    pub shown_version: u32,
    /// The number of the newest version.
    pub latest_version: u32,
    /// The version that decides; null while none of the program does.
    pub active_version: Option<u32>,
    /// The version of the record, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

impl RoutingProgram {
    pub(crate) fn view(row: Stored<RoutingProgramState>, shown: Stored<RoutingVersionState>) -> Self {
        Self {
            id: row.id,
            profile_id: row.state.profile_id,
            name: row.state.name,
            description: row.state.description,
            algorithm: shown.state.algorithm,
            created_at: unix_seconds(row.created_at),
            modified_at: unix_seconds(row.modified_at),
            algorithm_for: TransactionType::Payment,
            retry_policy: shown.state.retry_policy,
            shown_version: shown.id.number,
            latest_version: row.state.latest,
            active_version: row.state.active,
            version: row.version,
        }
    }
}

/// One version of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoutingVersion {
    /// The program.
    pub program_id: RoutingId,
    /// The number.
    pub number: u32,
    /// What it does.
    pub algorithm: Algorithm,
    /// When a payment whose attempt failed goes on to the next candidate.
    pub retry_policy: RetryPolicy,
    /// When it was made.
    pub created_at: Timestamp,
}

impl From<Stored<RoutingVersionState>> for RoutingVersion {
    fn from(row: Stored<RoutingVersionState>) -> Self {
        Self {
            program_id: row.id.program,
            number: row.id.number,
            algorithm: row.state.algorithm,
            retry_policy: row.state.retry_policy,
            created_at: row.created_at,
        }
    }
}

/// What differs between two versions of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoutingDiff {
    /// The number of the one.
    pub from: u32,
    /// The number of the other.
    pub to: u32,
    /// Each place in their JSON that differs, in the order of the document.
    pub differences: Vec<Difference>,
}

impl RoutingDiff {
    /// Compares two versions: their algorithms and retry policies as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if one of them is not JSON, which none is not.
    pub fn new(from: &RoutingVersion, to: &RoutingVersion) -> Result<Self, Error> {
        #[derive(Serialize)]
        struct Compared<'a> {
            algorithm: &'a Algorithm,
            retry_policy: &'a RetryPolicy,
        }
        let json = |version: &RoutingVersion| {
            let compared = Compared { algorithm: &version.algorithm, retry_policy: &version.retry_policy };
            serde_json::to_value(compared)
                .map_err(|e| Error::Corrupt { what: "a routing program is not JSON".into(), source: Some(e.into()) })
        };
        Ok(Self { from: from.number, to: to.number, differences: differences(&json(from)?, &json(to)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_version_reads_back_and_sorts_by_number() {
        let id = |number| RoutingVersionId { program: "routing_a".parse().unwrap(), number };
        for number in [1, 9, 10, MAX_VERSIONS] {
            assert_eq!(id(number).to_string().parse::<RoutingVersionId>().unwrap(), id(number));
        }
        assert!(id(9).to_string() < id(10).to_string());
        for bad in ["routing_a", "routing_a.1", "routing_a.000001", "routing_a.0000x", "routing_a.+0001"] {
            assert_eq!(bad.parse::<RoutingVersionId>().unwrap_err().code(), "routing_version.malformed", "{bad}");
        }
        assert_eq!("pro_a.00001".parse::<RoutingVersionId>().unwrap_err().code(), "id.wrong_prefix");
    }
}
