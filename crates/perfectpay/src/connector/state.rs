//! Connector accounts: how one is created, updated, kept and answered.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::auth::{AuthType, ConnectorAuth, MaskedAuth};
use super::catalogue::{Catalogue, ConnectorName, ConnectorStatus, ConnectorType};
use super::credentials::{CredentialVersions, Exchange, KeptCredentials, PreviousCredentials, StagedCredentials};
use super::methods::EnabledMethods;
use crate::error::{EntityKind, Error, Fault};
use crate::id::{ConnectorId, MerchantId, ProfileId};
use crate::money::Country;
use crate::patch::Patch;
use crate::seal::{Sealed, Seals};
use crate::secret::{Request, SecretObject, SecretText, mask_json};
use crate::stored::{State, Stored};
use crate::text::{Name, Object, Text};
use crate::time::Timestamp;

/// Secrets that a connector signs its own webhooks with.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConnectorWebhookDetails {
    /// The secret.
    pub merchant_secret: SecretText,
    /// A second one, where the connector has two.
    #[serde(default)]
    pub additional_secret: Option<SecretText>,
}

impl ConnectorWebhookDetails {
    fn to_plaintext(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let text = |secret: &SecretText| std::str::from_utf8(secret.as_bytes()).unwrap_or_default().to_owned();
        let plain = (text(&self.merchant_secret), self.additional_secret.as_ref().map(text));
        let json = secret_json(&plain);
        let (mut first, second) = plain;
        zeroize::Zeroize::zeroize(&mut first);
        zeroize::Zeroize::zeroize(&mut second.unwrap_or_default());
        json
    }
}

/// JSON of a secret, in a buffer of its final size, so that no copy stays behind.
fn secret_json(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut json = Zeroizing::new(Vec::with_capacity(crate::secret::json_len(value)));
    serde_json::to_writer(&mut *json, value)
        .map_err(|e| Error::Corrupt { what: "a secret is not JSON".into(), source: Some(e.into()) })?;
    Ok(json)
}

/// JSON of a free object that is a secret, if it can be read again.
fn object_json(field: &str, object: &SecretObject) -> Result<Zeroizing<Vec<u8>>, Error> {
    object.check_depth().map_err(|fault| fault.at(field))?;
    secret_json(object.expose())
}

/// The body that creates a connector account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewConnector {
    /// What it is used for.
    pub connector_type: ConnectorType,
    /// Which connector, of those in the [`Catalogue`].
    pub connector_name: ConnectorName,
    /// What people call it, unique in the profile; `{connector_name}_{profile_name}` unless stated, or
    /// `{connector_name}_{business_country}_{business_label}` where those are.
    #[serde(default)]
    pub connector_label: Option<Text<255>>,
    /// The profile; unless stated that of the business, else the merchant's default one.
    #[serde(default)]
    pub profile_id: Option<ProfileId>,
    /// Accepted, as it is published, and ignored: the library makes it.
    #[serde(default)]
    pub merchant_connector_id: Option<Text<255>>,
    /// The credentials. Sealed, and never serialised.
    #[serde(skip_serializing)]
    pub connector_account_details: ConnectorAuth,
    /// The payment methods it takes; none unless stated.
    #[serde(default)]
    pub payment_methods_enabled: Option<EnabledMethods>,
    /// Secrets that it signs its webhooks with. Sealed, and never serialised.
    #[serde(default, skip_serializing)]
    pub connector_webhook_details: Option<ConnectorWebhookDetails>,
    /// Kept and not read.
    #[serde(default)]
    pub metadata: Option<Object>,
    /// Whether it is the processor's test side; kept as it is stated.
    #[serde(default)]
    pub test_mode: Option<bool>,
    /// Whether it is left out of payments; unless stated only while it is inactive.
    #[serde(default)]
    pub disabled: Option<bool>,
    /// Whether its credentials are complete; active unless stated, inactive with `TemporaryAuth`.
    #[serde(default)]
    pub status: Option<ConnectorStatus>,
    /// With `business_label`: one of the merchant's businesses.
    #[serde(default)]
    pub business_country: Option<Country>,
    /// With `business_country`: one of the merchant's businesses.
    #[serde(default)]
    pub business_label: Option<Text<61>>,
    /// A part of the business; kept, and part of the default label of `cybersource`.
    #[serde(default)]
    pub business_sub_label: Option<Text<64>>,
    /// Kept sealed and never serialised.
    #[serde(default, skip_serializing)]
    pub additional_merchant_data: Option<SecretObject>,
    /// What wallets need. Sealed, and never serialised.
    #[serde(default, skip_serializing)]
    pub connector_wallets_details: Option<WalletDetails>,
}

impl NewConnector {
    /// An account with these credentials, and nothing else about it.
    pub fn with(connector_type: ConnectorType, connector_name: ConnectorName, credentials: ConnectorAuth) -> Self {
        Self {
            connector_type,
            connector_name,
            connector_label: None,
            profile_id: None,
            merchant_connector_id: None,
            connector_account_details: credentials,
            payment_methods_enabled: None,
            connector_webhook_details: None,
            metadata: None,
            test_mode: None,
            disabled: None,
            status: None,
            business_country: None,
            business_label: None,
            business_sub_label: None,
            additional_merchant_data: None,
            connector_wallets_details: None,
        }
    }
}

impl Request for NewConnector {
    fn secrets(&self) -> Vec<Zeroizing<Vec<u8>>> {
        let json = |object: Option<&SecretObject>| {
            object.and_then(|object| secret_json(object.expose()).ok()).unwrap_or_default()
        };
        let webhook = self.connector_webhook_details.as_ref();
        vec![
            self.connector_account_details.to_plaintext(),
            webhook.and_then(|details| details.to_plaintext().ok()).unwrap_or_default(),
            json(self.additional_merchant_data.as_ref()),
            json(self.connector_wallets_details.as_ref().map(|details| &details.0)),
        ]
    }
}

/// What wallets need of a connector account: an object for any of `apple_pay_combined`, `apple_pay`, `amazon_pay`,
/// `samsung_pay`, `paze` and `google_pay`.
#[derive(Debug, Clone)]
pub struct WalletDetails(SecretObject);

pub(crate) const WALLETS: [&str; 6] =
    ["apple_pay_combined", "apple_pay", "amazon_pay", "samsung_pay", "paze", "google_pay"];

impl<'de> Deserialize<'de> for WalletDetails {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = SecretObject::deserialize(deserializer)?;
        for (wallet, details) in object.expose() {
            if !WALLETS.contains(&wallet.as_str()) {
                let fault = Fault::new("json.unknown_field", "is not a known field").at(wallet.as_str());
                return Err(crate::json::refuse(&fault));
            }
            if !details.is_object() && !details.is_null() {
                let fault = Fault::new("json.wrong_type", "must be an object").at(wallet.as_str());
                return Err(crate::json::refuse(&fault));
            }
        }
        Ok(Self(object))
    }
}

/// The body that updates a connector account: absent keeps, null clears or returns to the default, a value replaces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConnectorUpdate {
    /// What it is used for. Required, as it is published.
    pub connector_type: ConnectorType,
    /// What people call it; null is refused.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub connector_label: Patch<Text<255>>,
    /// The credentials, replaced whole; null is refused.
    #[serde(default, skip_serializing)]
    pub connector_account_details: Patch<ConnectorAuth>,
    /// The payment methods, replaced whole.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub payment_methods_enabled: Patch<EnabledMethods>,
    /// Replaced whole.
    #[serde(default, skip_serializing)]
    pub connector_webhook_details: Patch<ConnectorWebhookDetails>,
    /// Replaced whole.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<Object>,
    /// Whether it is the processor's test side.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub test_mode: Patch<bool>,
    /// Whether it is left out of payments. Absent keeps, also where the status changes to active; cleared, it is false
    /// while the account is active and true while it is not.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub disabled: Patch<bool>,
    /// Whether its credentials are complete; cleared, it is active, or inactive with `TemporaryAuth`.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub status: Patch<ConnectorStatus>,
    /// Replaced whole.
    #[serde(default, skip_serializing)]
    pub additional_merchant_data: Patch<SecretObject>,
    /// Replaced whole.
    #[serde(default, skip_serializing)]
    pub connector_wallets_details: Patch<WalletDetails>,
}

impl ConnectorUpdate {
    /// An update that says only what the account is used for.
    pub fn of(connector_type: ConnectorType) -> Self {
        Self {
            connector_type,
            connector_label: Patch::Keep,
            connector_account_details: Patch::Keep,
            payment_methods_enabled: Patch::Keep,
            connector_webhook_details: Patch::Keep,
            metadata: Patch::Keep,
            test_mode: Patch::Keep,
            disabled: Patch::Keep,
            status: Patch::Keep,
            additional_merchant_data: Patch::Keep,
            connector_wallets_details: Patch::Keep,
        }
    }
}

impl Request for ConnectorUpdate {
    fn secrets(&self) -> Vec<Zeroizing<Vec<u8>>> {
        let json = |object: &SecretObject| secret_json(object.expose()).unwrap_or_default();
        vec![
            self.connector_account_details.secret(ConnectorAuth::to_plaintext),
            self.connector_webhook_details.secret(|details| details.to_plaintext().unwrap_or_default()),
            self.additional_merchant_data.secret(json),
            self.connector_wallets_details.secret(|details| json(&details.0)),
        ]
    }
}

/// What is kept of a connector account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectorState {
    /// The profile.
    pub profile_id: ProfileId,
    /// What people call it.
    pub connector_label: Text<255>,
    /// What it is used for.
    pub connector_type: ConnectorType,
    /// Which connector.
    pub connector_name: ConnectorName,
    /// The shape of the credentials.
    pub auth_type: AuthType,
    /// The credentials.
    pub connector_account_details: Sealed,
    /// The payment methods it takes.
    pub payment_methods_enabled: Option<EnabledMethods>,
    /// Secrets that it signs its webhooks with.
    pub connector_webhook_details: Option<Sealed>,
    /// Kept and not read.
    pub metadata: Option<Object>,
    /// Whether it is the processor's test side.
    pub test_mode: Option<bool>,
    /// Whether it is left out of payments.
    pub disabled: bool,
    /// Whether its credentials are complete.
    pub status: ConnectorStatus,
    /// One of the merchant's businesses.
    pub business_country: Option<Country>,
    /// One of the merchant's businesses.
    pub business_label: Option<Text<61>>,
    /// A part of it.
    pub business_sub_label: Option<Text<64>>,
    /// Kept and not read.
    pub additional_merchant_data: Option<Sealed>,
    /// What wallets need.
    pub connector_wallets_details: Option<Sealed>,
    /// The versions of the credentials.
    #[serde(default)]
    pub credentials: KeptCredentials,
}

impl State for ConnectorState {
    const KIND: EntityKind = EntityKind::Connector;
    type Id = ConnectorId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self {
            profile_id: _,
            connector_label: _,
            connector_type: _,
            connector_name: _,
            auth_type: _,
            connector_account_details,
            payment_methods_enabled: _,
            connector_webhook_details,
            metadata: _,
            test_mode: _,
            disabled: _,
            status: _,
            business_country: _,
            business_label: _,
            business_sub_label: _,
            additional_merchant_data,
            connector_wallets_details,
            credentials: KeptCredentials { active: _, newest: _, staged, previous },
        } = self;
        let staged = staged.as_mut().map(|staged| (STAGED, &mut staged.credentials));
        let previous = previous.as_mut().map(|previous| (PREVIOUS, &mut previous.credentials));
        let optional = [
            (WEBHOOK, connector_webhook_details),
            (ADDITIONAL, additional_merchant_data),
            (WALLET, connector_wallets_details),
        ];
        let optional = optional.into_iter().filter_map(|(field, sealed)| Some((field, sealed.as_mut()?)));
        optional.chain(staged).chain(previous).chain([(AUTH, connector_account_details)]).collect()
    }
}

const AUTH: &str = "connector_account_details";
const STAGED: &str = "staged_credentials";
const PREVIOUS: &str = "previous_credentials";
const WEBHOOK: &str = "connector_webhook_details";
const ADDITIONAL: &str = "additional_merchant_data";
const WALLET: &str = "connector_wallets_details";

/// Which connectors may have an account here.
pub(crate) struct Admission<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) test_connectors: bool,
}

/// The status and whether the account is left out of payments, from what is stated of them.
///
/// # Errors
///
/// `connector.temporary_active` for an active placeholder, `connector.inactive_enabled` for one that is inactive and to
/// take payments.
fn standing(
    auth: AuthType,
    status: Option<ConnectorStatus>,
    disabled: Option<bool>,
) -> Result<(ConnectorStatus, bool), Fault> {
    let temporary = auth == AuthType::TemporaryAuth;
    let status = status.unwrap_or(if temporary { ConnectorStatus::Inactive } else { ConnectorStatus::Active });
    if temporary && status == ConnectorStatus::Active {
        return Err(Fault::new("connector.temporary_active", "must be inactive with `TemporaryAuth`").at("status"));
    }
    let disabled = disabled.unwrap_or(status == ConnectorStatus::Inactive);
    if status == ConnectorStatus::Inactive && !disabled {
        return Err(
            Fault::new("connector.inactive_enabled", "must be true while the account is inactive").at("disabled")
        );
    }
    Ok((status, disabled))
}

impl ConnectorState {
    /// A new account in `profile`, whose name the default label ends with.
    pub(crate) fn new(
        new: NewConnector,
        profile: (ProfileId, &Name),
        admission: &Admission<'_>,
        seals: &Seals<'_>,
    ) -> Result<Self, Error> {
        let auth = &new.connector_account_details;
        auth.check().map_err(|fault| within(AUTH, fault))?;
        let auth_type = auth.auth_type();
        admission.catalogue.check(&new.connector_name, new.connector_type, auth_type, admission.test_connectors)?;
        let (status, disabled) = standing(auth_type, new.status, new.disabled)?;
        let connector_label = match &new.connector_label {
            Some(label) => label.clone(),
            None => default_label(&new, profile.1)?,
        };
        let webhook = new.connector_webhook_details.map(|details| details.to_plaintext()).transpose()?;
        let seal_json = |field, object: &SecretObject| seals.seal(field, &object_json(field, object)?);
        Ok(Self {
            profile_id: profile.0,
            connector_label,
            connector_type: new.connector_type,
            connector_name: new.connector_name,
            auth_type,
            connector_account_details: seals.seal(AUTH, &auth.to_plaintext())?,
            payment_methods_enabled: new.payment_methods_enabled,
            connector_webhook_details: webhook.map(|plain| seals.seal(WEBHOOK, &plain)).transpose()?,
            metadata: new.metadata,
            test_mode: new.test_mode,
            disabled,
            status,
            business_country: new.business_country,
            business_label: new.business_label,
            business_sub_label: new.business_sub_label,
            additional_merchant_data: new.additional_merchant_data.map(|o| seal_json(ADDITIONAL, &o)).transpose()?,
            connector_wallets_details: new.connector_wallets_details.map(|o| seal_json(WALLET, &o.0)).transpose()?,
            credentials: KeptCredentials::default(),
        })
    }

    /// The state after an update. New credentials are staged and activated at once.
    pub(crate) fn updated(
        &self,
        update: ConnectorUpdate,
        admission: &Admission<'_>,
        exchange: Exchange,
        seals: &Seals<'_>,
    ) -> Result<Self, Error> {
        let mut state = self.clone();
        state.connector_type = update.connector_type;
        update.connector_label.apply_required("connector_label", &mut state.connector_label)?;
        match update.connector_account_details {
            Patch::Keep => {}
            Patch::Clear => return Err(Fault::new("field.not_nullable", "must not be null").at(AUTH).into()),
            Patch::Set(auth) => {
                auth.check().map_err(|fault| within(AUTH, fault))?;
                if !self.reveal(seals)?.same_as(&auth) {
                    state.keep_active(exchange, seals)?;
                    state.credentials.staged = None;
                    state.credentials.active = state.credentials.number();
                    state.auth_type = auth.auth_type();
                    state.connector_account_details = seals.seal(AUTH, &auth.to_plaintext())?;
                }
            }
        }
        admission.catalogue.check(
            &state.connector_name,
            state.connector_type,
            state.auth_type,
            admission.test_connectors,
        )?;
        let status = match update.status {
            Patch::Keep => Some(self.status),
            Patch::Clear => None,
            Patch::Set(status) => Some(status),
        };
        let disabled = match update.disabled {
            // An account that turns inactive stops taking payments; nothing else moves what was not stated.
            Patch::Keep if status == Some(ConnectorStatus::Inactive) => Some(true),
            Patch::Keep => Some(self.disabled),
            Patch::Clear => None,
            Patch::Set(disabled) => Some(disabled),
        };
        (state.status, state.disabled) = standing(state.auth_type, status, disabled)?;
        update.payment_methods_enabled.apply_to(&mut state.payment_methods_enabled);
        update.metadata.apply_to(&mut state.metadata);
        update.test_mode.apply_to(&mut state.test_mode);
        let webhook = match update.connector_webhook_details {
            Patch::Keep => Patch::Keep,
            Patch::Clear => Patch::Clear,
            Patch::Set(details) => Patch::Set(details.to_plaintext()?),
        };
        seals.patch(WEBHOOK, &mut state.connector_webhook_details, &webhook)?;
        let json = |field, patch: Patch<SecretObject>| {
            Ok::<_, Error>(match patch {
                Patch::Keep => Patch::Keep,
                Patch::Clear => Patch::Clear,
                Patch::Set(object) => Patch::Set(object_json(field, &object)?),
            })
        };
        let additional = json(ADDITIONAL, update.additional_merchant_data)?;
        seals.patch(ADDITIONAL, &mut state.additional_merchant_data, &additional)?;
        let wallets = match update.connector_wallets_details {
            Patch::Keep => Patch::Keep,
            Patch::Clear => Patch::Clear,
            Patch::Set(details) => Patch::Set(details.0),
        };
        seals.patch(WALLET, &mut state.connector_wallets_details, &json(WALLET, wallets)?)?;
        if state != *self {
            state.retire(exchange.now);
        }
        Ok(state)
    }

    /// Destroys the previous credentials if their overlap is over.
    fn retire(&mut self, now: Timestamp) {
        let _retired = self.credentials.previous.take_if(|previous| !previous.is_readable(now));
    }

    /// The credentials in use become the previous ones.
    fn keep_active(&mut self, exchange: Exchange, seals: &Seals<'_>) -> Result<(), Error> {
        let plain = seals.open(AUTH, &self.connector_account_details)?;
        self.credentials.previous = Some(PreviousCredentials {
            version: self.credentials.active,
            auth_type: self.auth_type,
            credentials: seals.seal(PREVIOUS, &plain)?,
            readable_until: exchange.readable_until(),
        });
        Ok(())
    }

    /// The state with these credentials staged, in the place of any that are.
    pub(crate) fn with_staged(
        &self,
        auth: &ConnectorAuth,
        admission: &Admission<'_>,
        now: Timestamp,
        seals: &Seals<'_>,
    ) -> Result<Self, Error> {
        auth.check().map_err(|fault| within(AUTH, fault))?;
        let auth_type = auth.auth_type();
        admission.catalogue.check(&self.connector_name, self.connector_type, auth_type, admission.test_connectors)?;
        let mut state = self.clone();
        state.retire(now);
        let version = state.credentials.number();
        let credentials = seals.seal(STAGED, &auth.to_plaintext())?;
        state.credentials.staged = Some(StagedCredentials { version, auth_type, credentials });
        Ok(state)
    }

    /// The state with the staged credentials in use, if there are any.
    pub(crate) fn activated(&self, exchange: Exchange, seals: &Seals<'_>) -> Result<Option<Self>, Error> {
        let mut state = self.clone();
        let Some(staged) = state.credentials.staged.take() else { return Ok(None) };
        let plain = seals.open(STAGED, &staged.credentials)?;
        state.keep_active(exchange, seals)?;
        state.put(staged.version, staged.auth_type, &plain, seals)?;
        Ok(Some(state))
    }

    /// The state with the previous credentials in use again, and those in use as the previous ones, if there are any whose
    /// overlap is not over.
    pub(crate) fn rolled_back(&self, exchange: Exchange, seals: &Seals<'_>) -> Result<Option<Self>, Error> {
        let mut state = self.clone();
        state.retire(exchange.now);
        let Some(previous) = state.credentials.previous.take() else { return Ok(None) };
        let plain = seals.open(PREVIOUS, &previous.credentials)?;
        state.keep_active(exchange, seals)?;
        state.put(previous.version, previous.auth_type, &plain, seals)?;
        Ok(Some(state))
    }

    fn put(&mut self, version: u32, auth_type: AuthType, plain: &[u8], seals: &Seals<'_>) -> Result<(), Error> {
        (self.status, self.disabled) = standing(auth_type, Some(self.status), Some(self.disabled))?;
        self.auth_type = auth_type;
        self.credentials.active = version;
        self.connector_account_details = seals.seal(AUTH, plain)?;
        Ok(())
    }

    /// The credentials in clear.
    pub(crate) fn reveal(&self, seals: &Seals<'_>) -> Result<ConnectorAuth, Error> {
        clear(&seals.open(AUTH, &self.connector_account_details)?)
    }

    /// The previous credentials in clear, if their overlap is not over.
    pub(crate) fn reveal_previous(&self, now: Timestamp, seals: &Seals<'_>) -> Result<Option<ConnectorAuth>, Error> {
        let previous = self.credentials.previous.as_ref().filter(|previous| previous.is_readable(now));
        previous.map(|previous| clear(&seals.open(PREVIOUS, &previous.credentials)?)).transpose()
    }

    /// What is sealed beside the credentials, in clear.
    pub(crate) fn reveal_secrets(&self, seals: &Seals<'_>) -> Result<ConnectorSecrets, Error> {
        let object = |field, sealed: Option<&Sealed>| sealed.map(|sealed| seals.open_json(field, sealed)).transpose();
        let webhook: Option<(SecretString, Option<SecretString>)> =
            self.connector_webhook_details.as_ref().map(|sealed| seals.open_json(WEBHOOK, sealed)).transpose()?;
        let (merchant_secret, additional_secret) = webhook.unzip();
        Ok(ConnectorSecrets {
            merchant_secret,
            additional_secret: additional_secret.flatten(),
            additional_merchant_data: object(ADDITIONAL, self.additional_merchant_data.as_ref())?,
            connector_wallets_details: object(WALLET, self.connector_wallets_details.as_ref())?,
        })
    }
}

/// What a connector account has sealed beside its credentials, in clear. `Debug` hides all of it, and it cannot be
/// serialised.
#[derive(Debug, Clone)]
pub struct ConnectorSecrets {
    /// The secret that the connector signs its webhooks with.
    pub merchant_secret: Option<SecretString>,
    /// A second one, where the connector has two.
    pub additional_secret: Option<SecretString>,
    /// What was stated as `additional_merchant_data`.
    pub additional_merchant_data: Option<SecretObject>,
    /// What wallets need.
    pub connector_wallets_details: Option<SecretObject>,
}

fn clear(plain: &[u8]) -> Result<ConnectorAuth, Error> {
    ConnectorAuth::from_plaintext(plain).map_err(|_| Error::corrupt("sealed credentials are not what was sealed"))
}

fn within(field: &str, fault: Fault) -> Fault {
    let path = if fault.path().is_empty() { field.to_owned() } else { format!("{field}.{}", fault.path()) };
    fault.at(path)
}

fn default_label(new: &NewConnector, profile_name: &Name) -> Result<Text<255>, Fault> {
    let name = new.connector_name.as_str();
    match (&new.business_country, &new.business_label) {
        (Some(country), Some(label)) if name == "cybersource" => {
            let part = new.business_sub_label.as_ref().map_or("default", |part| part.as_str());
            format!("{name}_{country}_{label}_{part}").parse()
        }
        (Some(country), Some(label)) => format!("{name}_{country}_{label}").parse(),
        _ => format!("{name}_{profile_name}").parse(),
    }
}

/// A connector account as it is answered. No credential is in it but masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Connector {
    /// The id.
    pub merchant_connector_id: ConnectorId,
    /// The profile.
    pub profile_id: ProfileId,
    /// What it is used for.
    pub connector_type: ConnectorType,
    /// Which connector.
    pub connector_name: ConnectorName,
    /// What people call it.
    pub connector_label: Text<255>,
    /// The credentials, masked.
    pub connector_account_details: MaskedAuth,
    /// The payment methods it takes.
    pub payment_methods_enabled: Option<EnabledMethods>,
    /// Secrets that it signs its webhooks with, masked.
    pub connector_webhook_details: Option<serde_json::Value>,
    /// Kept and not read.
    pub metadata: Option<Object>,
    /// Whether it is the processor's test side.
    pub test_mode: Option<bool>,
    /// Whether it is left out of payments.
    pub disabled: bool,
    /// Whether its credentials are complete.
    pub status: ConnectorStatus,
    /// One of the merchant's businesses.
    pub business_country: Option<Country>,
    /// One of the merchant's businesses.
    pub business_label: Option<Text<61>>,
    /// A part of it.
    pub business_sub_label: Option<Text<64>>,
    /// Kept and not read; values masked.
    pub additional_merchant_data: Option<serde_json::Value>,
    /// What wallets need; values masked.
    pub connector_wallets_details: Option<serde_json::Value>,
    /// Which versions of the credentials there are; not part of the JSON.
    #[serde(skip)]
    pub credentials: CredentialVersions,
    /// The version, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

impl Connector {
    /// The account as it is answered.
    pub(crate) fn view(row: Stored<ConnectorState>, seals: &Seals<'_>) -> Result<Self, Error> {
        let credentials = row.state.reveal(seals)?.masked();
        let state = row.state;
        let masked = |field, sealed: Option<Sealed>| -> Result<Option<serde_json::Value>, Error> {
            let Some(sealed) = sealed else { return Ok(None) };
            let object: SecretObject = seals.open_json(field, &sealed)?;
            Ok(Some(object.expose().iter().map(|(name, value)| (name.clone(), mask_json(value))).collect()))
        };
        let webhook = match &state.connector_webhook_details {
            None => None,
            Some(sealed) => {
                let (first, second): (SecretString, Option<SecretString>) = seals.open_json(WEBHOOK, sealed)?;
                let mask = |secret: &str| serde_json::Value::from(crate::secret::mask(secret));
                let second = second.map_or(serde_json::Value::Null, |second| mask(second.expose_secret()));
                Some(
                    [("merchant_secret", mask(first.expose_secret())), ("additional_secret", second)]
                        .into_iter()
                        .collect(),
                )
            }
        };
        Ok(Self {
            merchant_connector_id: row.id,
            profile_id: state.profile_id,
            connector_type: state.connector_type,
            connector_name: state.connector_name,
            connector_label: state.connector_label,
            connector_account_details: credentials,
            payment_methods_enabled: state.payment_methods_enabled,
            connector_webhook_details: webhook,
            metadata: state.metadata,
            test_mode: state.test_mode,
            disabled: state.disabled,
            status: state.status,
            business_country: state.business_country,
            business_label: state.business_label,
            business_sub_label: state.business_sub_label,
            additional_merchant_data: masked(ADDITIONAL, state.additional_merchant_data)?,
            connector_wallets_details: masked(WALLET, state.connector_wallets_details)?,
            credentials: state.credentials.versions(),
            version: row.version,
        })
    }
}

/// The answer to a connector account's removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RemovedConnector {
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// The connector account.
    pub merchant_connector_id: ConnectorId,
    /// True.
    pub deleted: bool,
}
