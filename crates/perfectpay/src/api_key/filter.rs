//! Which keys a host looks for: to remind of those that end, to clean up those that nobody uses, to know which are left
//! under a former pepper.

use super::ApiKeyState;
use crate::id::{ApiKeyId, Incarnation};
use crate::seal::KeyId;
use crate::stored::Stored;
use crate::time::Timestamp;

/// That a key was accepted, for its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The merchant account.
    pub tenant: Incarnation,
    /// The key.
    pub id: ApiKeyId,
    /// When.
    pub at: Timestamp,
}

/// A part of the API keys that live. A revoked key is in none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyFilter {
    /// Those that end within these moments, both excluded; the first to end first.
    Ending {
        /// After which moment.
        after: Timestamp,
        /// Before which moment.
        before: Timestamp,
    },
    /// Those that were last used before a moment, or made before it and never used; the one that is idle longest first.
    Unused {
        /// Since when.
        since: Timestamp,
        /// At which moment they have not ended yet.
        at: Timestamp,
    },
    /// Those whose digest was made under the pepper of this key of the keyring; the oldest first.
    Under(KeyId),
}

impl KeyFilter {
    /// By which moment the key has its place in this part; `None` if it is not in it. Keys of one moment are ordered by
    /// their ids as bytes.
    pub fn moment(&self, row: &Stored<ApiKeyState>) -> Option<Timestamp> {
        let state = &row.state;
        let digest = state.digest.as_ref()?;
        match self {
            Self::Ending { after, before } => state.expires_at.filter(|end| after < end && end < before),
            Self::Unused { since, at } => {
                let idle = state.last_used.unwrap_or(row.created_at);
                Some(idle).filter(|idle| idle < since && !state.has_expired(*at))
            }
            Self::Under(pepper) => Some(row.created_at).filter(|_| digest.pepper == *pepper),
        }
    }
}
