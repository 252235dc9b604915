//! Which connectors there are, and what each of them accepts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use strum::VariantArray as _;

use super::auth::AuthType;
use super::published::{NAMES, NOT_ROUTABLE, PAYOUTS, PURPOSES, TEST_ONLY};
use crate::error::Fault;
use crate::words::words;

words! { "snake_case"
    /// What a connector account is for.
    ConnectorType {
        /// Takes payments.
        PaymentProcessor,
        /// Adds a service to payments.
        PaymentVas,
        /// Financial operations.
        FinOperations,
        /// Operations of a financial institution.
        FizOperations,
        /// Card networks.
        Networks,
        /// Banks.
        BankingEntities,
        /// Finance companies that are no banks.
        NonBankingFinance,
        /// Pays out.
        PayoutProcessor,
        /// Verifies a payment method's owner.
        PaymentMethodAuth,
        /// Authenticates a cardholder.
        AuthenticationProcessor,
        /// Computes taxes.
        TaxProcessor,
        /// Computes surcharges.
        SurchargeProcessor,
        /// Bills subscriptions.
        BillingProcessor,
        /// Keeps payment methods.
        VaultProcessor,
    }
}

words! { "snake_case"
    /// Whether a connector account is in use.
    ConnectorStatus {
        /// It is.
        Active,
        /// It is not; its credentials may be missing.
        Inactive,
    }
}

/// A connector's name: 1 to 64 of `a–z 0–9 _`. Whether there is such a connector is the [`Catalogue`]'s to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ConnectorName(Arc<str>);

/// The longest connector name, in characters.
pub const MAX_CONNECTOR_NAME: usize = 64;

impl ConnectorName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConnectorName {
    type Err = Fault;

    /// Parses a name.
    ///
    /// # Errors
    ///
    /// `connector.malformed_name`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !(1..=MAX_CONNECTOR_NAME).contains(&text.len()) || !text.bytes().all(is_part) {
            let message = "must be 1 to 64 lower-case letters, digits and `_`";
            return Err(Fault::new("connector.malformed_name", message));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<&str> for ConnectorName {
    type Error = Fault;

    fn try_from(text: &str) -> Result<Self, Fault> {
        text.parse()
    }
}

impl fmt::Display for ConnectorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ConnectorName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// What is known of one connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorSpec {
    /// Its name.
    pub name: ConnectorName,
    /// The kinds of credential that it accepts.
    pub auth_types: Cow<'static, [AuthType]>,
    /// The types of account that it allows.
    pub connector_types: Cow<'static, [ConnectorType]>,
    /// Whether a routing choice can hold it.
    pub routable: bool,
    /// Whether it can pay out.
    pub payouts: bool,
    /// Whether it stands for no real processor, so that a host must allow it.
    pub test_only: bool,
}

impl ConnectorSpec {
    /// A connector that accepts these kinds of credential, allows every type of account, is routable, does not pay out
    /// and is real.
    pub fn new(name: ConnectorName, auth_types: impl Into<Cow<'static, [AuthType]>>) -> Self {
        Self {
            name,
            auth_types: auth_types.into(),
            connector_types: ConnectorType::VARIANTS.into(),
            routable: true,
            payouts: false,
            test_only: false,
        }
    }
}

/// The connectors that a host offers. It is prepared once and then only read.
///
/// ```
/// use perfectpay::{AuthType, Catalogue, ConnectorSpec};
///
/// let own = ConnectorSpec::new("acme_bank".parse()?, vec![AuthType::SignatureKey]);
/// let catalogue = Catalogue::published().with(own.clone())?;
/// assert_eq!(catalogue.spec(&"acme_bank".parse()?), Some(&own));
/// assert_eq!(catalogue.with(own).unwrap_err().code(), "connector.name_taken");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue(BTreeMap<ConnectorName, ConnectorSpec>);

impl Default for Catalogue {
    /// The published one.
    fn default() -> Self {
        Self::published()
    }
}

impl Catalogue {
    /// The 148 published connectors.
    pub fn published() -> Self {
        let has = |names: &str, name: &str| names.split(' ').any(|one| one == name);
        let spec = |auth_types: &'static [AuthType], name: &str| ConnectorSpec {
            name: ConnectorName(name.into()),
            auth_types: auth_types.into(),
            connector_types: PURPOSES
                .iter()
                .find_map(|(types, names)| has(names, name).then_some(*types))
                .unwrap_or(ConnectorType::VARIANTS)
                .into(),
            routable: !has(NOT_ROUTABLE, name),
            payouts: has(PAYOUTS, name),
            test_only: has(TEST_ONLY, name),
        };
        let specs = NAMES.iter().flat_map(|&(types, names)| names.split(' ').map(move |name| spec(types, name)));
        Self(specs.map(|spec| (spec.name.clone(), spec)).collect())
    }

    /// The same catalogue with a connector of the host's own.
    ///
    /// # Errors
    ///
    /// `connector.name_taken` at `connector_name`.
    pub fn with(mut self, spec: ConnectorSpec) -> Result<Self, Fault> {
        if self.0.contains_key(&spec.name) {
            return Err(Fault::new("connector.name_taken", "is in the catalogue already").at("connector_name"));
        }
        self.0.insert(spec.name.clone(), spec);
        Ok(self)
    }

    /// What is known of this connector; `None` if there is none.
    pub fn spec(&self, name: &ConnectorName) -> Option<&ConnectorSpec> {
        self.0.get(name)
    }

    /// All connectors, by ascending name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &ConnectorSpec> {
        self.0.values()
    }

    /// The connector that an account may be made of: one that exists, that allows this type of account and that accepts
    /// this kind of credential; one that stands for no real processor only if `allow_test`.
    ///
    /// # Errors
    ///
    /// In this order: `connector.unknown_name` or `connector.test_only` at `connector_name`, `connector.wrong_type` at
    /// `connector_type`, `connector.wrong_auth` at `connector_account_details`.
    pub fn check(
        &self,
        name: &ConnectorName,
        connector_type: ConnectorType,
        auth_type: AuthType,
        allow_test: bool,
    ) -> Result<&ConnectorSpec, Fault> {
        let refuse = |path: &str, code: &'static str, message| Err(Fault::new(code, message).at(path));
        let Some(spec) = self.spec(name) else {
            return refuse("connector_name", "connector.unknown_name", "is not a known connector");
        };
        if spec.test_only && !allow_test {
            return refuse("connector_name", "connector.test_only", "is a test connector, which is not allowed here");
        }
        if !spec.connector_types.contains(&connector_type) {
            return refuse("connector_type", "connector.wrong_type", "is not a type that this connector allows");
        }
        if !spec.auth_types.contains(&auth_type) {
            let message = "has an `auth_type` that this connector does not accept";
            return refuse("connector_account_details", "connector.wrong_auth", message);
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::words::assert_published;

    fn check(
        name: &str,
        connector_type: ConnectorType,
        auth: AuthType,
        allow_test: bool,
    ) -> Result<(), (String, String)> {
        match Catalogue::published().check(&name.parse().unwrap(), connector_type, auth, allow_test) {
            Ok(spec) => {
                assert_eq!(spec.name.as_str(), name);
                Ok(())
            }
            Err(fault) => Err((fault.path().to_owned(), fault.code().to_owned())),
        }
    }

    #[test]
    fn the_types_and_states_are_the_published_ones() {
        assert_published::<ConnectorType>(
            "payment_processor payment_vas fin_operations fiz_operations networks banking_entities non_banking_finance \
             payout_processor payment_method_auth authentication_processor tax_processor surcharge_processor \
             billing_processor vault_processor",
        );
        assert_published::<ConnectorStatus>("active inactive");
    }

    #[test]
    fn each_group_has_as_many_names_as_published_and_no_name_is_twice() {
        let counts = NAMES.map(|(_, names)| names.split(' ').count());
        assert_eq!(counts, [35, 48, 41, 6, 3, 2, 3, 1, 3, 1, 5]);
        let names: BTreeSet<&str> = NAMES.iter().flat_map(|(_, names)| names.split(' ')).collect();
        assert_eq!(names.len(), 148);
        assert!(names.iter().all(|name| name.parse::<ConnectorName>().is_ok()));
        assert!(Catalogue::published().iter().map(|spec| spec.name.as_str()).eq(names));
    }

    #[test]
    fn each_trait_belongs_to_as_many_connectors_as_published() {
        let catalogue = Catalogue::published();
        let count = |is: fn(&ConnectorSpec) -> bool| catalogue.iter().filter(|spec| is(spec)).count();
        assert_eq!(count(|spec| spec.routable), 143);
        assert_eq!(count(|spec| spec.payouts), 18);
        assert_eq!(count(|spec| spec.test_only), 8);
        assert_eq!(count(|spec| spec.connector_types.len() < 14), 1 + 7 + 1 + 5 + 3 + 1);
        assert_eq!(count(|spec| spec.auth_types.len() == 8), 5);
    }

    #[test]
    fn a_check_names_the_field_that_does_not_fit() {
        use AuthType::{BodyKey, HeaderKey, NoKey};
        use ConnectorType::{FizOperations, PaymentProcessor, TaxProcessor};

        let refused = |path: &str, code: &str| Err((path.to_owned(), code.to_owned()));
        let name = "connector_name";
        assert_eq!(check("stripe", PaymentProcessor, HeaderKey, false), Ok(()));
        assert_eq!(check("stripe", FizOperations, HeaderKey, false), Ok(()));
        assert_eq!(check("nmi", PaymentProcessor, BodyKey, false), Ok(()));
        assert_eq!(check("taxjar", TaxProcessor, HeaderKey, false), Ok(()));
        assert_eq!(check("strype", PaymentProcessor, HeaderKey, true), refused(name, "connector.unknown_name"));
        assert_eq!(check("stripe_test", PaymentProcessor, HeaderKey, false), refused(name, "connector.test_only"));
        assert_eq!(check("stripe_test", PaymentProcessor, HeaderKey, true), Ok(()));
        let wrong_type = refused("connector_type", "connector.wrong_type");
        assert_eq!(check("taxjar", PaymentProcessor, HeaderKey, false), wrong_type);
        assert_eq!(check("taxjar", PaymentProcessor, NoKey, false), wrong_type);
        let wrong_auth = refused("connector_account_details", "connector.wrong_auth");
        assert_eq!(check("stripe", PaymentProcessor, BodyKey, false), wrong_auth);
    }

    #[test]
    fn a_name_outside_the_form_is_refused() {
        for good in ["a", "absa_sanlam", "revolv3", &"x".repeat(64)] {
            assert_eq!(good.parse::<ConnectorName>().unwrap().to_string(), good);
        }
        for bad in ["", "Stripe", "str-ipe", "strípe", " stripe", &"x".repeat(65)] {
            assert_eq!(bad.parse::<ConnectorName>().unwrap_err().code(), "connector.malformed_name", "{bad:?}");
        }
    }
}
