//! Merchant accounts.
use crate::error::EntityKind;
use crate::id::{DataKeyId, Incarnation, MerchantId, OrganizationId};
use crate::seal::Sealed;
use crate::store::State;
use crate::text::Text;
use serde::{Deserialize, Serialize};

/// What is kept of a merchant account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MerchantState {
    /// The organization's incarnation.
    pub organization: Incarnation,
    /// The organization's id.
    pub organization_id: OrganizationId,
    /// The publishable key.
    pub publishable_key: Text<128>,
    /// The data key that seals now.
    pub data_key: DataKeyId,
}
impl State for MerchantState {
    const KIND: EntityKind = EntityKind::Merchant;
    type Id = MerchantId;
}

/// A merchant's data key, wrapped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataKeyState {
    /// The wrapped key.
    pub wrapped: Sealed,
}
impl State for DataKeyState {
    const KIND: EntityKind = EntityKind::DataKey;
    type Id = DataKeyId;
}
