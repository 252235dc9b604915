//! Organizations: the roof over merchant accounts.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{EntityKind, Error};
use crate::id::{DataKeyId, OrganizationId};
use crate::patch::Patch;
use crate::seal::{Sealed, Seals};
use crate::secret::Request;
use crate::stored::{State, Stored};
use crate::text::{Object, Text};
use crate::time::Timestamp;

/// Whether an organization's merchants act for each other.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OrganizationType {
    /// Its merchants stand side by side.
    #[default]
    Standard,
}

/// The body that creates an organization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewOrganization {
    /// What people call it; up to 255 characters, not unique.
    pub organization_name: Text<255>,
    /// Kept sealed and not read.
    #[serde(default)]
    pub organization_details: Option<Object>,
    /// Kept and not read.
    #[serde(default)]
    pub metadata: Option<Object>,
}

impl NewOrganization {
    /// An organization of this name, and nothing else about it.
    pub fn named(organization_name: Text<255>) -> Self {
        Self { organization_name, organization_details: None, metadata: None }
    }
}

impl Request for NewOrganization {}

/// The body that updates an organization: absent keeps, null clears, a value replaces as a whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct OrganizationUpdate {
    /// The name; null is refused.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub organization_name: Patch<Text<255>>,
    /// Replaced whole.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub organization_details: Patch<Object>,
    /// Replaced whole.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<Object>,
    /// Accepted, as it is published, and without effect: platform organizations are not kept.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub platform_merchant_id: Patch<crate::id::MerchantId>,
}

impl Request for OrganizationUpdate {}

/// What is kept of an organization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrganizationState {
    /// The name.
    pub organization_name: Text<255>,
    /// The data key that seals.
    pub data_key: DataKeyId,
    /// Kept and not read.
    pub organization_details: Option<Sealed>,
    /// Kept and not read.
    pub metadata: Option<Object>,
}

impl State for OrganizationState {
    const KIND: EntityKind = EntityKind::Organization;
    type Id = OrganizationId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self { organization_name: _, data_key: _, organization_details, metadata: _ } = self;
        organization_details.iter_mut().map(|sealed| (DETAILS, sealed)).collect()
    }
}

/// The field that is sealed, as its value is bound to it.
const DETAILS: &str = "organization_details";

fn json(details: &Object) -> Result<Zeroizing<Vec<u8>>, Error> {
    serde_json::to_vec(details)
        .map(Zeroizing::new)
        .map_err(|e| Error::Corrupt { what: "details are not JSON".into(), source: Some(e.into()) })
}

impl OrganizationState {
    /// A new organization, under this data key.
    pub(crate) fn new(new: NewOrganization, data_key: DataKeyId, seals: &Seals<'_>) -> Result<Self, Error> {
        let details = new.organization_details.as_ref();
        Ok(Self {
            organization_name: new.organization_name,
            data_key,
            organization_details: details.map(|details| seals.seal(DETAILS, &json(details)?)).transpose()?,
            metadata: new.metadata,
        })
    }

    /// The state after an update.
    ///
    /// # Errors
    ///
    /// `field.not_nullable` if the name is to be cleared.
    pub(crate) fn updated(&self, update: OrganizationUpdate, seals: &Seals<'_>) -> Result<Self, Error> {
        let mut state = self.clone();
        update.organization_name.apply_required("organization_name", &mut state.organization_name)?;
        let details = match &update.organization_details {
            Patch::Keep => Patch::Keep,
            Patch::Clear => Patch::Clear,
            Patch::Set(details) => Patch::Set(json(details)?),
        };
        seals.patch(DETAILS, &mut state.organization_details, &details)?;
        update.metadata.apply_to(&mut state.metadata);
        Ok(state)
    }
}

/// An organization as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Organization {
    /// The id.
    pub organization_id: OrganizationId,
    /// The name.
    pub organization_name: Text<255>,
    /// Kept and not read.
    pub organization_details: Option<Object>,
    /// Kept and not read.
    pub metadata: Option<Object>,
    /// Always `standard`.
    pub organization_type: OrganizationType,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last updated.
    pub modified_at: Timestamp,
    /// The version, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

impl Organization {
    /// The organization as it is answered.
    pub(crate) fn view(row: Stored<OrganizationState>, seals: &Seals<'_>) -> Result<Self, Error> {
        let details = row.state.organization_details;
        Ok(Self {
            organization_id: row.id,
            organization_name: row.state.organization_name,
            organization_details: details.map(|sealed| seals.open_json(DETAILS, &sealed)).transpose()?,
            metadata: row.state.metadata,
            organization_type: OrganizationType::Standard,
            created_at: row.created_at,
            modified_at: row.modified_at,
            version: row.version,
        })
    }
}
