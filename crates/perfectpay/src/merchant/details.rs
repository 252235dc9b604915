//! Whom to ask about a merchant account, and what its businesses are.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::money::Country;
use crate::seal::{Sealed, Seals};
use crate::text::{Name, Text};

/// Whom to ask about a merchant account, and where. Sealed as a whole; every field is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MerchantDetails {
    /// Whom to ask first.
    pub primary_contact_person: Option<Text<255>>,
    /// Their telephone number.
    pub primary_phone: Option<Text<255>>,
    /// Their e-mail address.
    pub primary_email: Option<Text<255>>,
    /// Whom to ask otherwise.
    pub secondary_contact_person: Option<Text<255>>,
    /// Their telephone number.
    pub secondary_phone: Option<Text<255>>,
    /// Their e-mail address.
    pub secondary_email: Option<Text<255>>,
    /// The web site, as text.
    pub website: Option<Text<255>>,
    /// What the business does.
    pub about_business: Option<Text<255>>,
    /// Where it is.
    pub address: Option<Address>,
    /// Its tax number.
    pub merchant_tax_registration_id: Option<Text<255>>,
}

impl MerchantDetails {
    pub(super) fn sealed(&self, seals: &Seals<'_>, old: Option<&Sealed>) -> Result<Sealed, Error> {
        let json = serde_json::to_vec(self)
            .map(Zeroizing::new)
            .map_err(|e| Error::Corrupt { what: "details are not JSON".into(), source: Some(e.into()) })?;
        seals.reseal(super::DETAILS, old, &json)
    }
}

/// A postal address; every field is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Address {
    /// The first line.
    pub line1: Option<Text<255>>,
    /// The second line.
    pub line2: Option<Text<255>>,
    /// The third line.
    pub line3: Option<Text<255>>,
    /// The town.
    pub city: Option<Text<255>>,
    /// The postal code.
    pub zip: Option<Text<255>>,
    /// The postal code of dispatch.
    pub origin_zip: Option<Text<255>>,
    /// The state or province.
    pub state: Option<Text<255>>,
    /// The country.
    pub country: Option<Country>,
    /// A given name.
    pub first_name: Option<Text<255>>,
    /// A family name.
    pub last_name: Option<Text<255>>,
}

/// A business of a merchant account. It has a profile, named `{country}_{business}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PrimaryBusiness {
    /// Where it is.
    pub country: Country,
    /// What it is called; up to 61 characters, so that the profile's name has at most 64.
    pub business: Text<61>,
}

impl PrimaryBusiness {
    /// The name of its profile.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is no name, which two valid parts cannot make.
    pub fn profile_name(&self) -> Result<Name, Error> {
        Ok(format!("{}_{}", self.country, self.business).parse::<Name>()?)
    }
}
