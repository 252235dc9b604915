//! What is kept of a connector account.
use serde::{Deserialize, Serialize};

/// What is kept of a connector account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectorState {
    /// The profile.
    pub profile_id: ProfileId,
    /// The label.
    pub connector_label: Text<255>,
}
impl State for ConnectorState {
    const KIND: EntityKind = EntityKind::Connector;
    type Id = ConnectorId;
}
