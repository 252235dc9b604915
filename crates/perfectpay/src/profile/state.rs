//! What is kept of a profile.
use serde::{Deserialize, Serialize};

/// What is kept of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileState {
    /// The name.
    pub profile_name: Name,
    /// Whether it is the merchant's default.
    pub is_default: bool,
}
impl State for ProfileState {
    const KIND: EntityKind = EntityKind::Profile;
    type Id = ProfileId;
}
