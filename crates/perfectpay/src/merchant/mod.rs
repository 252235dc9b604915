//! Merchant accounts: who sells, under an organization.
//!
//! This module owns a merchant's settings, its details and the secrets that belong to the account as a whole: the
//! fingerprint secret, the key that signs responses, the webhook password. Profiles inherit from it when they are
//! created; nothing that happens to it later reaches them.
//!
//! Of the published fields those are left out that belong to systems this library does not have: `locker_id` (card
//! vault), `frm_routing_algorithm` (fraud checks), `payout_routing_algorithm`, `pm_collect_link_config` (payouts),
//! `network_tokenization_credentials`, `product_type`, `is_recon_enabled` and `recon_status` (reconciliation), and
//! `merchant_account_type` with the platform accounts that it would tell apart.

mod details;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;
use zeroize::Zeroizing;

pub use self::details::{Address, MerchantDetails, PrimaryBusiness};
use crate::api_key::{Environment, KeyPolicy};
use crate::error::{EntityKind, Error, Fault};
use crate::id::{DataKeyId, Incarnation, MerchantId, OrganizationId, ProfileId};
use crate::list::BoundedList;
use crate::patch::Patch;
use crate::seal::{KeyId, Sealed, Seals};
use crate::secret::{Request, SecretText, mask};
use crate::stored::{State, Stored};
use crate::text::{Object, Text};
use crate::time::Timestamp;
use crate::web_url::WebUrl;
use crate::webhook::{WebhookDetails, WebhookDetailsResponse, WebhookSettings};

/// The profiles that a merchant account is created with, and later gets; at most 64 entries.
pub type PrimaryBusinesses = BoundedList<PrimaryBusiness, 64>;

/// The body that creates a merchant account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewMerchant {
    /// The id, which the caller chooses and no living account may have.
    pub merchant_id: MerchantId,
    /// What people call it. Sealed.
    #[serde(default)]
    pub merchant_name: Option<Text<255>>,
    /// Whom to ask, and where. Sealed.
    #[serde(default)]
    pub merchant_details: Option<MerchantDetails>,
    /// Where a customer returns to after paying.
    #[serde(default)]
    pub return_url: Option<WebUrl>,
    /// Webhook details that profiles inherit when they are created.
    #[serde(default)]
    pub webhook_details: Option<WebhookDetails>,
    /// Whether responses are signed; true unless stated.
    #[serde(default)]
    pub enable_payment_response_hash: Option<bool>,
    /// The key that signs them; 64 random letters and digits unless stated. Sealed, and never serialised.
    #[serde(default, skip_serializing)]
    pub payment_response_hash_key: Option<SecretText>,
    /// Whether a customer returns by POST; false unless stated.
    #[serde(default)]
    pub redirect_to_merchant_with_http_post: Option<bool>,
    /// Whether it acts for `parent_merchant_id`, which must then be given; false unless stated.
    #[serde(default)]
    pub sub_merchants_enabled: Option<bool>,
    /// Another account of the same organization, checked when it is stated. It is a name and nothing more: the account may
    /// be removed later, and nothing is read through it.
    #[serde(default)]
    pub parent_merchant_id: Option<MerchantId>,
    /// Kept and not read.
    #[serde(default)]
    pub metadata: Option<Object>,
    /// Accepted, as it is published, and ignored: the library makes it.
    #[serde(default)]
    pub publishable_key: Option<Text<255>>,
    /// The businesses; each entry becomes a profile.
    #[serde(default)]
    pub primary_business_details: Option<PrimaryBusinesses>,
    /// Must be the organization's, if it is given.
    #[serde(default)]
    pub organization_id: Option<OrganizationId>,
}

impl NewMerchant {
    /// A merchant account of this id, and nothing else about it.
    pub fn with_id(merchant_id: MerchantId) -> Self {
        Self {
            merchant_id,
            merchant_name: None,
            merchant_details: None,
            return_url: None,
            webhook_details: None,
            enable_payment_response_hash: None,
            payment_response_hash_key: None,
            redirect_to_merchant_with_http_post: None,
            sub_merchants_enabled: None,
            parent_merchant_id: None,
            metadata: None,
            publishable_key: None,
            primary_business_details: None,
            organization_id: None,
        }
    }
}

fn bytes(secret: Option<&SecretText>) -> Zeroizing<Vec<u8>> {
    secret.map_or_else(Zeroizing::default, SecretText::to_bytes)
}

impl Request for NewMerchant {
    fn secrets(&self) -> Vec<Zeroizing<Vec<u8>>> {
        let password = self.webhook_details.as_ref().and_then(|details| details.webhook_password.as_ref());
        vec![bytes(self.payment_response_hash_key.as_ref()), bytes(password)]
    }
}

/// The body that updates a merchant account: absent keeps, null clears or returns to the default, a value replaces.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MerchantUpdate {
    /// Must be the account's own, if it is given.
    pub merchant_id: Option<MerchantId>,
    /// What people call it.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub merchant_name: Patch<Text<255>>,
    /// Replaced whole.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub merchant_details: Patch<MerchantDetails>,
    /// Where a customer returns to.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub return_url: Patch<WebUrl>,
    /// Replaced whole, unlike a profile's.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub webhook_details: Patch<WebhookDetails>,
    /// Cleared, it is true.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub enable_payment_response_hash: Patch<bool>,
    /// Null is refused: there always is one. Never serialised.
    #[serde(skip_serializing)]
    pub payment_response_hash_key: Patch<SecretText>,
    /// Cleared, it is false.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub redirect_to_merchant_with_http_post: Patch<bool>,
    /// Cleared, it is false.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub sub_merchants_enabled: Patch<bool>,
    /// Another account of the same organization.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub parent_merchant_id: Patch<MerchantId>,
    /// Replaced whole.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<Object>,
    /// Accepted, as it is published, and ignored.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub publishable_key: Patch<Text<255>>,
    /// Replaced whole. New entries become profiles; profiles of entries that are gone stay.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub primary_business_details: Patch<PrimaryBusinesses>,
    /// The default profile, one of the account's own. Null is refused while there is a profile.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub default_profile: Patch<ProfileId>,
}

impl Request for MerchantUpdate {
    fn secrets(&self) -> Vec<Zeroizing<Vec<u8>>> {
        let password = self.webhook_details.value().and_then(|details| details.webhook_password.as_ref());
        vec![self.payment_response_hash_key.secret(SecretText::to_bytes), bytes(password)]
    }
}

/// The regular expression of publishable keys as this library makes them, for scanners that are to tell them from secrets.
/// [`PublishableKey::check`] sorts out what only looks like one.
pub const PUBLISHABLE_KEY_PATTERN: &str = r"\bpk_(dev|integ|snd|prd)_[0-9a-f]{32}\b";

/// How many hexadecimal digits of a publishable key check the rest.
const CHECK: usize = 8;

/// A publishable key: `pk_{env}_` and 32 hexadecimal digits, of which the last 8 are the CRC-32 of what is before
/// them. It names a merchant account to a browser and is no secret. One that came from elsewhere may have another length
/// and no checksum.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct PublishableKey(Box<str>);

impl<'de> Deserialize<'de> for PublishableKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

impl PublishableKey {
    /// Makes a key from 12 random bytes.
    pub(crate) fn make(environment: Environment, random: &[u8; 12]) -> Self {
        let text = format!("pk_{environment}_{}", data_encoding::HEXLOWER.encode(random));
        let check = crc32fast::hash(text.as_bytes());
        Self(format!("{text}{check:08x}").into())
    }

    /// Whether the text has the form of a key of any environment that this library made, and its checksum is right.
    pub fn check(text: &str) -> bool {
        let rest = text.strip_prefix("pk_");
        let of = |environment: &Environment| rest.and_then(|rest| rest.strip_prefix(environment.id_prefix()));
        let digit = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        let is_form =
            Environment::VARIANTS.iter().filter_map(of).any(|rest| rest.len() == 24 + CHECK && rest.bytes().all(digit));
        let Some((body, check)) = text.split_at_checked(text.len().saturating_sub(CHECK)) else { return false };
        is_form && format!("{:08x}", crc32fast::hash(body.as_bytes())) == check
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is for the environment.
    pub(crate) fn is_of(&self, environment: Environment) -> bool {
        let rest = self.0.strip_prefix("pk_").and_then(|rest| rest.strip_prefix(environment.id_prefix()));
        rest.is_some()
    }
}

impl std::str::FromStr for PublishableKey {
    type Err = Fault;

    /// Reads a key: `pk_{env}_` and letters or digits, of any length up to 128 characters.
    ///
    /// # Errors
    ///
    /// `publishable_key.malformed`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let rest = ["pk_dev_", "pk_integ_", "pk_snd_", "pk_prd_"].iter().find_map(|prefix| text.strip_prefix(prefix));
        let good = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if text.len() > 128 || !rest.is_some_and(good) {
            return Err(Fault::new("publishable_key.malformed", "is not a publishable key"));
        }
        Ok(Self(text.into()))
    }
}

impl std::fmt::Display for PublishableKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A publishable key that another one has taken the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FormerPublishableKey {
    /// The key.
    pub publishable_key: PublishableKey,
    /// When it ends; at that very moment it has ended.
    pub ends: Timestamp,
}

/// The most versions of a fingerprint secret that are live at once: every card is fingerprinted under each of them.
pub const MAX_FINGERPRINT_SECRETS: usize = 8;

/// One version of the secret under which a merchant's cards are fingerprinted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FingerprintSecret {
    /// The version, 1 for the first.
    pub version: u32,
    /// The secret.
    pub secret: Sealed,
}

/// What is kept of a merchant account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MerchantState {
    /// The organization's incarnation.
    pub organization: Incarnation,
    /// The organization's id.
    pub organization_id: OrganizationId,
    /// The publishable key.
    pub publishable_key: PublishableKey,
    /// The one before it, which stays accepted for a grace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_publishable_key: Option<FormerPublishableKey>,
    /// The data key that seals now.
    pub data_key: DataKeyId,
    /// The one before it, while there may still be something under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_data_key: Option<DataKeyId>,
    /// What people call it.
    pub merchant_name: Option<Sealed>,
    /// Whom to ask, and where.
    pub merchant_details: Option<Sealed>,
    /// Where a customer returns to.
    pub return_url: Option<WebUrl>,
    /// The webhook details without the password.
    pub webhook_details: Option<WebhookSettings>,
    /// The webhook password.
    pub webhook_password: Option<Sealed>,
    /// Whether responses are signed.
    pub enable_payment_response_hash: bool,
    /// The key that signs them.
    pub payment_response_hash_key: Sealed,
    /// Whether a customer returns by POST.
    pub redirect_to_merchant_with_http_post: bool,
    /// Whether it acts for another account.
    pub sub_merchants_enabled: bool,
    /// Which.
    pub parent_merchant_id: Option<MerchantId>,
    /// Kept and not read.
    pub metadata: Option<Object>,
    /// The businesses.
    pub primary_business_details: PrimaryBusinesses,
    /// The fingerprint secrets that are live, by ascending version; the last one is current.
    pub fingerprint_secrets: Vec<FingerprintSecret>,
    /// Whether the blocklist declines.
    pub blocklist_guard: bool,
    /// What it asks of its API keys.
    pub key_policy: KeyPolicy,
}

impl State for MerchantState {
    const KIND: EntityKind = EntityKind::Merchant;
    type Id = MerchantId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self {
            organization: _,
            organization_id: _,
            publishable_key: _,
            former_publishable_key: _,
            data_key: _,
            former_data_key: _,
            merchant_name,
            merchant_details,
            return_url: _,
            webhook_details: _,
            webhook_password,
            enable_payment_response_hash: _,
            payment_response_hash_key,
            redirect_to_merchant_with_http_post: _,
            sub_merchants_enabled: _,
            parent_merchant_id: _,
            metadata: _,
            primary_business_details: _,
            fingerprint_secrets,
            blocklist_guard: _,
            key_policy: _,
        } = self;
        let optional = [(NAME, merchant_name), (DETAILS, merchant_details), (PASSWORD, webhook_password)];
        let optional = optional.into_iter().filter_map(|(field, sealed)| Some((field, sealed.as_mut()?)));
        let fingerprints = fingerprint_secrets.iter_mut().map(|version| (FINGERPRINT, &mut version.secret));
        optional.chain([(HASH_KEY, payment_response_hash_key)]).chain(fingerprints).collect()
    }
}

/// What a new account gets that its creator does not choose.
pub(crate) struct Given {
    pub(crate) organization: Incarnation,
    pub(crate) organization_id: OrganizationId,
    pub(crate) publishable_key: PublishableKey,
    pub(crate) data_key: DataKeyId,
    /// Used where the body states none.
    pub(crate) response_hash_key: SecretString,
    pub(crate) fingerprint_secret: Zeroizing<[u8; 32]>,
}

/// The fields that are sealed, as their values are bound to them.
const HASH_KEY: &str = "payment_response_hash_key";
const PASSWORD: &str = "webhook_password";
const DETAILS: &str = "merchant_details";
pub(crate) const NAME: &str = "merchant_name";
pub(crate) const FINGERPRINT: &str = "fingerprint_secret";
/// A wrapped data key's own.
pub(crate) const WRAPPED: &str = "key";

impl MerchantState {
    /// A new account.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] at `organization_id` or `sub_merchants_enabled`.
    pub(crate) fn new(new: NewMerchant, given: Given, seals: &Seals<'_>) -> Result<Self, Error> {
        use secrecy::ExposeSecret as _;
        if new.organization_id.is_some_and(|id| id != given.organization_id) {
            let fault = Fault::new("merchant.other_organization", "must be the organization it is created under");
            return Err(fault.at("organization_id").into());
        }
        let (webhook_details, password) = new.webhook_details.map(WebhookDetails::into_parts).unzip();
        let hash_key = new.payment_response_hash_key.map_or(given.response_hash_key, SecretText::into_secret);
        let fingerprint = seals.seal(FINGERPRINT, given.fingerprint_secret.as_slice())?;
        let state = Self {
            organization: given.organization,
            organization_id: given.organization_id,
            publishable_key: given.publishable_key,
            former_publishable_key: None,
            data_key: given.data_key,
            former_data_key: None,
            merchant_name: new.merchant_name.map(|n| seals.seal(NAME, n.as_bytes())).transpose()?,
            merchant_details: new.merchant_details.map(|d| d.sealed(seals, None)).transpose()?,
            return_url: new.return_url,
            webhook_details,
            webhook_password: password
                .flatten()
                .map(|p| seals.seal(PASSWORD, p.expose_secret().as_bytes()))
                .transpose()?,
            enable_payment_response_hash: new.enable_payment_response_hash.unwrap_or(true),
            payment_response_hash_key: seals.seal(HASH_KEY, hash_key.expose_secret().as_bytes())?,
            redirect_to_merchant_with_http_post: new.redirect_to_merchant_with_http_post.unwrap_or(false),
            sub_merchants_enabled: new.sub_merchants_enabled.unwrap_or(false),
            parent_merchant_id: new.parent_merchant_id,
            metadata: new.metadata,
            primary_business_details: new.primary_business_details.unwrap_or_default(),
            fingerprint_secrets: vec![FingerprintSecret { version: 1, secret: fingerprint }],
            blocklist_guard: false,
            key_policy: KeyPolicy::default(),
        };
        state.check()?;
        Ok(state)
    }

    /// The state after an update; what it says of profiles is not decided here.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a null that is refused, or at `merchant_id` or `sub_merchants_enabled`.
    pub(crate) fn updated(&self, id: &MerchantId, update: MerchantUpdate, seals: &Seals<'_>) -> Result<Self, Error> {
        let mut state = self.clone();
        if update.merchant_id.is_some_and(|given| given != *id) {
            return Err(Fault::new("merchant.other_id", "must be the account's own id").at("merchant_id").into());
        }
        let name = map(update.merchant_name, |name| Ok(name.as_bytes().to_vec()))?;
        seals.patch(NAME, &mut state.merchant_name, &name)?;
        match update.merchant_details {
            Patch::Keep => {}
            Patch::Clear => state.merchant_details = None,
            Patch::Set(details) => {
                state.merchant_details = Some(details.sealed(seals, self.merchant_details.as_ref())?);
            }
        }
        update.return_url.apply_to(&mut state.return_url);
        match update.webhook_details {
            Patch::Keep => {}
            Patch::Clear => (state.webhook_details, state.webhook_password) = (None, None),
            Patch::Set(mut details) => {
                let password = details.webhook_password.take().map_or(Patch::Clear, Patch::Set);
                let password = map(password, |p| Ok(p.as_bytes().to_vec()))?;
                seals.patch(PASSWORD, &mut state.webhook_password, &password)?;
                state.webhook_details = Some(details.into_parts().0);
            }
        }
        update.enable_payment_response_hash.apply_or(&mut state.enable_payment_response_hash, true);
        match update.payment_response_hash_key {
            Patch::Keep => {}
            Patch::Clear => return Err(Fault::new("field.not_nullable", "must not be null").at(HASH_KEY).into()),
            Patch::Set(key) => {
                state.payment_response_hash_key =
                    seals.reseal(HASH_KEY, Some(&self.payment_response_hash_key), key.as_bytes())?;
            }
        }
        update.redirect_to_merchant_with_http_post.apply_or(&mut state.redirect_to_merchant_with_http_post, false);
        update.sub_merchants_enabled.apply_or(&mut state.sub_merchants_enabled, false);
        update.parent_merchant_id.apply_to(&mut state.parent_merchant_id);
        update.metadata.apply_to(&mut state.metadata);
        update.primary_business_details.apply_or(&mut state.primary_business_details, PrimaryBusinesses::default());
        state.check()?;
        Ok(state)
    }

    /// Whether a publishable key is the account's at this moment.
    pub(crate) fn accepts(&self, key: &PublishableKey, now: Timestamp) -> bool {
        self.publishable_key == *key || self.living_former_key(now).is_some_and(|former| former.publishable_key == *key)
    }

    /// The former publishable key, while it is accepted.
    pub(crate) fn living_former_key(&self, now: Timestamp) -> Option<&FormerPublishableKey> {
        self.former_publishable_key.as_ref().filter(|former| former.ends > now)
    }

    fn check(&self) -> Result<(), Fault> {
        if self.sub_merchants_enabled && self.parent_merchant_id.is_none() {
            let fault = Fault::new("merchant.no_parent", "needs `parent_merchant_id`");
            return Err(fault.at("sub_merchants_enabled"));
        }
        Ok(())
    }
}

fn map<T, U>(patch: Patch<T>, turn: impl FnOnce(T) -> Result<U, Error>) -> Result<Patch<U>, Error> {
    Ok(match patch {
        Patch::Keep => Patch::Keep,
        Patch::Clear => Patch::Clear,
        Patch::Set(value) => Patch::Set(turn(value)?),
    })
}

/// Whose a data key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum KeyHolder {
    /// An organization's.
    Organization,
    /// A merchant account's.
    Merchant,
}

/// A tenant's data key, wrapped by a key of the keyring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataKeyState {
    /// Whose it is; which one is the record's tenant.
    pub holder: KeyHolder,
    /// The wrapped key.
    pub wrapped: Sealed,
}

impl DataKeyState {
    /// Which key of the keyring wrapped it; `None` if that cannot be told, and the data key not be opened.
    pub fn wrapped_by(&self) -> Option<KeyId> {
        self.wrapped.key_id().ok()?.parse().ok()
    }
}

impl State for DataKeyState {
    const KIND: EntityKind = EntityKind::DataKey;
    type Id = DataKeyId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self { holder: _, wrapped } = self;
        vec![(WRAPPED, wrapped)]
    }
}

/// A merchant account as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Merchant {
    /// The id.
    pub merchant_id: MerchantId,
    /// What people call it.
    pub merchant_name: Option<Text<255>>,
    /// Whom to ask, and where.
    pub merchant_details: Option<MerchantDetails>,
    /// Where a customer returns to.
    pub return_url: Option<WebUrl>,
    /// The webhook details, the password masked.
    pub webhook_details: Option<WebhookDetailsResponse>,
    /// Whether responses are signed.
    pub enable_payment_response_hash: bool,
    /// The key that signs them, masked.
    pub payment_response_hash_key: String,
    /// Whether a customer returns by POST.
    pub redirect_to_merchant_with_http_post: bool,
    /// Whether it acts for another account.
    pub sub_merchants_enabled: bool,
    /// Which.
    pub parent_merchant_id: Option<MerchantId>,
    /// Kept and not read.
    pub metadata: Option<Object>,
    /// The publishable key.
    pub publishable_key: PublishableKey,
    /// The one before it and when it ends, or ended. In JSON only where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub former_publishable_key: Option<FormerPublishableKey>,
    /// The businesses.
    pub primary_business_details: PrimaryBusinesses,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The default profile; null only while the account has no profile.
    pub default_profile: Option<ProfileId>,
    /// The version, for `expecting`; not part of the JSON.
    #[serde(skip, default = "crate::stored::first_version")]
    pub version: u64,
}

impl Merchant {
    /// The account as it is answered.
    pub(crate) fn view(
        row: Stored<MerchantState>,
        default_profile: Option<ProfileId>,
        seals: &Seals<'_>,
    ) -> Result<Self, Error> {
        let state = row.state;
        let name = state.merchant_name.map(|sealed| seals.open_text(NAME, &sealed)).transpose()?;
        let corrupt = |_| Error::corrupt("a merchant's name is not what was sealed");
        let password = state.webhook_password.map(|p| seals.open_text(PASSWORD, &p)).transpose()?;
        let password = password.map(|password| mask(&password));
        Ok(Self {
            merchant_id: row.id,
            merchant_name: name.map(|name| name.parse().map_err(corrupt)).transpose()?,
            merchant_details: state.merchant_details.map(|d| seals.open_json(DETAILS, &d)).transpose()?,
            return_url: state.return_url,
            webhook_details: state.webhook_details.map(|settings| WebhookDetailsResponse::new(settings, password)),
            enable_payment_response_hash: state.enable_payment_response_hash,
            payment_response_hash_key: mask(&seals.open_text(HASH_KEY, &state.payment_response_hash_key)?),
            redirect_to_merchant_with_http_post: state.redirect_to_merchant_with_http_post,
            sub_merchants_enabled: state.sub_merchants_enabled,
            parent_merchant_id: state.parent_merchant_id,
            metadata: state.metadata,
            publishable_key: state.publishable_key,
            former_publishable_key: state.former_publishable_key,
            primary_business_details: state.primary_business_details,
            organization_id: state.organization_id,
            default_profile,
            version: row.version,
        })
    }
}

/// The answer to rotating a merchant account's publishable key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RotatedPublishableKey {
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// The key from now on.
    pub publishable_key: PublishableKey,
    /// The key that it takes the place of, and when that ends.
    pub former_publishable_key: FormerPublishableKey,
}

/// The answer to a merchant account's removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RemovedMerchant {
    /// The account.
    pub merchant_id: MerchantId,
    /// True.
    pub deleted: bool,
}
