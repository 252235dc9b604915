//! The versions of a connector account's credentials: staged → active → previous → retired.
//!
//! New credentials are staged beside those in use, and change nothing until they are activated. The ones they replace
//! stay readable for an overlap, so that what is on its way at the processor can come home, and so that one commit rolls
//! back to them. After that they are retired: nothing reveals them, and the next commit of the account destroys them.

use serde::{Deserialize, Serialize};

use super::auth::AuthType;
use crate::seal::Sealed;
use crate::time::Timestamp;

/// Credentials that wait to be activated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagedCredentials {
    /// Their version.
    pub version: u32,
    /// Their shape.
    pub auth_type: AuthType,
    /// They themselves.
    pub credentials: Sealed,
}

/// Credentials that were in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviousCredentials {
    /// Their version.
    pub version: u32,
    /// Their shape.
    pub auth_type: AuthType,
    /// They themselves.
    pub credentials: Sealed,
    /// From when on they are retired.
    pub readable_until: Timestamp,
}

impl PreviousCredentials {
    /// Whether their overlap is not over.
    pub fn is_readable(&self, now: Timestamp) -> bool {
        now < self.readable_until
    }
}

/// Every version that is kept, but for the secret of the active one, which is in its own field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptCredentials {
    /// The version in use.
    pub active: u32,
    /// The greatest version that ever was: a number is never used twice.
    pub newest: u32,
    /// The version that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<StagedCredentials>,
    /// The version that was in use before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousCredentials>,
}

impl Default for KeptCredentials {
    fn default() -> Self {
        Self { active: 1, newest: 1, staged: None, previous: None }
    }
}

impl KeptCredentials {
    /// The next number.
    pub(super) fn number(&mut self) -> u32 {
        self.newest = self.newest.saturating_add(1);
        self.newest
    }

    /// Which versions there are, without any of them.
    pub(super) fn versions(&self) -> CredentialVersions {
        CredentialVersions {
            active: self.active,
            staged: self.staged.as_ref().map(|staged| staged.version),
            previous: self
                .previous
                .as_ref()
                .map(|previous| PreviousVersion { version: previous.version, readable_until: previous.readable_until }),
        }
    }
}

/// Which versions of its credentials a connector account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialVersions {
    /// The version in use, 1 for the first.
    pub active: u32,
    /// The version that waits to be activated.
    pub staged: Option<u32>,
    /// The version that was in use before.
    pub previous: Option<PreviousVersion>,
}

impl Default for CredentialVersions {
    fn default() -> Self {
        KeptCredentials::default().versions()
    }
}

/// The version that was in use before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreviousVersion {
    /// Which.
    pub version: u32,
    /// From when on it is retired: neither revealed nor rolled back to.
    pub readable_until: Timestamp,
}

/// When credentials are exchanged, and for how many seconds the former ones stay readable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    pub(crate) now: Timestamp,
    pub(crate) overlap_seconds: u32,
}

impl Exchange {
    pub(super) fn readable_until(self) -> Timestamp {
        self.now.plus_seconds(self.overlap_seconds)
    }
}
