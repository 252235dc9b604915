//! A sandbox: keys that are made and kept in the folder, and an account with the ids that the published examples name.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use perfectpay::{
    ApiKey, ApiKeyId, Entropy as _, Expiration, MerchantScope, NewApiKey, NewOrganization, PageRequest, PerfectPay,
    SystemEntropy, Verdict, json,
};
use serde::{Deserialize, Serialize};

use crate::Failure;

/// The published ids.
pub(crate) const MERCHANT: &str = "merchant_abc123";
const PROFILE: &str = "pro_abcdefghijklmnop";
const CONNECTOR: &str = "mca_abc123";
const LINK: &str = "plink_abc123";

const PROFILE_BODY: &[u8] = br#"{
    "profile_name": "Sandbox Store",
    "return_url": "https://store.example.com/checkout/complete",
    "webhook_details": { "webhook_url": "https://store.example.com/webhooks/perfectpay" }
}"#;
const CONNECTOR_BODY: &[u8] = br#"{
    "connector_type": "payment_processor",
    "connector_name": "stripe",
    "connector_account_details": { "auth_type": "HeaderKey", "api_key": "sk_test_sandbox" },
    "payment_methods_enabled": [{ "payment_method": "card", "payment_method_types": ["credit", "debit"] }]
}"#;
/// Open for as long as a session may be: 91 days.
const PAYMENT_BODY: &[u8] = br#"{
    "amount": 4999, "currency": "USD", "payment_link": true, "description": "Order 1000",
    "return_url": "https://store.example.com/checkout/complete", "session_expiry": 7890000
}"#;

/// The sandbox's secrets, in a file of the folder that its owner alone may read. A host with anything to lose keeps its
/// master key elsewhere: whoever has the file and the database has everything.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    #[serde(skip)]
    path: PathBuf,
    pub(crate) master_key: String,
    pub(crate) admin_key: String,
    /// The account's, once it is made: of a key the database has only a digest.
    api_key: Option<String>,
}

impl Keys {
    /// The keys of the folder; fresh ones if it has none and no database either.
    pub(crate) fn load_or_make(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("sandbox-keys.json");
        match fs::read(&path) {
            Ok(bytes) => {
                let keys: Self = serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))?;
                Ok(Self { path, ..keys })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if folder.join("accounts.db").exists() {
                    return Err("the folder has a database and no keys: give PERFECTPAY_MASTER_KEY".into());
                }
                let keys = Self { path, master_key: random_hex()?, admin_key: random_hex()?, api_key: None };
                keys.save()?;
                Ok(keys)
            }
            Err(error) => Err(format!("{}: {error}", path.display()).into()),
        }
    }

    /// Writes a new file and puts it in the place of the old one, so that there is one at every moment.
    fn save(&self) -> Result<(), Failure> {
        let fresh = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file: File = options.open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        Ok(())
    }
}

/// 32 random bytes in hexadecimal digits.
fn random_hex() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes);
    let mut text = String::with_capacity(64);
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// What the published calls are made with.
pub(crate) struct Sandbox {
    pub(crate) api_key: String,
    pub(crate) admin_key: String,
    /// A key to try things on.
    pub(crate) spare: ApiKeyId,
}

/// Stands the account up, if it is not there yet; gives it an API key, if the one that is kept does not live.
pub(crate) async fn stand_up(pay: &PerfectPay, mut keys: Keys) -> Result<Sandbox, Failure> {
    let account = pay.merchant(&MERCHANT.parse()?);
    if pay.organizations(PageRequest::of(1)?).await?.items.is_empty() {
        seed(pay).await?;
    }
    let known = match &keys.api_key {
        Some(token) => match pay.verify(token, None).await? {
            Verdict::Valid(verified) => Some((token.clone(), verified.api_key().key_id.clone())),
            Verdict::Refused(_) => None,
        },
        None => None,
    };
    let (api_key, own) = if let Some(known) = known {
        known
    } else {
        let issued = account.create_api_key(NewApiKey::new("Sandbox Key".parse()?, Expiration::Never)).await?;
        let token = issued.api_key.ok_or("a new key shows its token")?.expose().to_owned();
        keys.api_key = Some(token.clone());
        keys.save()?;
        (token, issued.key_id)
    };
    Ok(Sandbox { api_key, spare: spare_key(&account, &own).await?, admin_key: keys.admin_key })
}

/// Everything with a published id, in one commit.
async fn seed(pay: &PerfectPay) -> Result<(), Failure> {
    let batch = pay.batch();
    let pay = batch.pay();
    let organization = pay.create_organization(NewOrganization::named("Sandbox".parse()?)).await?;
    let organization = pay.organization(&organization.organization_id);
    organization.create_merchant(json::from_value(serde_json::json!({ "merchant_id": MERCHANT }))?).await?;
    let account = organization.merchant(&MERCHANT.parse()?);
    let profile = PROFILE.parse()?;
    account.create_profile(json::from_slice(PROFILE_BODY)?).with_id(&profile).await?;
    let profile = account.profile(&profile);
    profile.create_connector(json::from_slice(CONNECTOR_BODY)?).with_id(&CONNECTOR.parse()?).await?;
    profile.create_payment(json::from_slice(PAYMENT_BODY)?).with_link_id(&LINK.parse()?).await?;
    batch.commit().await?;
    Ok(())
}

/// A living key beside the sandbox's own.
async fn spare_key(account: &MerchantScope, own: &ApiKeyId) -> Result<ApiKeyId, Failure> {
    let is_spare = |key: &ApiKey| key.revoked.is_none() && key.key_id != *own;
    if let Some(key) = account.api_keys(PageRequest::of(100)?).await?.items.into_iter().find(is_spare) {
        return Ok(key.key_id);
    }
    Ok(account.create_api_key(NewApiKey::new("Spare Key".parse()?, Expiration::Never)).await?.key_id)
}
