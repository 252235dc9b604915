//! What the tests of a host want: a clock that it moves, randomness that it repeats, the library opened with both, and
//! an organization with everything below it in one call.
//!
//! ```
//! use std::sync::Arc;
//!
//! use perfectpay::json;
//! use perfectpay_memory::MemoryStore;
//! use perfectpay_testkit::host;
//!
//! # futures_lite::future::block_on(async {
//! let pay = host::open(Arc::new(MemoryStore::new())).await?;
//! let acme = host::stand_up(&pay, "acme").await?;
//! let caller = pay.authenticate(acme.token()).await?;
//! assert_eq!(caller.merchant_id(), &acme.merchant.merchant_id);
//!
//! let body = host::payment_with_link_body(4999, "USD");
//! let payment = caller.merchant().create_payment(json::from_slice(body.as_bytes())?).await?;
//! assert_eq!(payment.expires_on.to_string(), "2026-11-23T10:15:00.000Z");
//! # Ok::<(), perfectpay::Error>(())
//! # }).unwrap();
//! ```

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use perfectpay::store::Store;
use perfectpay::{
    Clock, Entropy, Error, Fault, IssuedApiKey, MasterKey, Merchant, MerchantScope, Organization, OrganizationScope,
    PerfectPay, Profile, ProfileScope, Settings, Timestamp, json,
};
use serde_json::json;

/// The id of the master key that [`settings`] has.
pub const MASTER_KEY_ID: &str = "test-1";
/// The master key that [`settings`] has. It is in this source, so it protects nothing.
pub const MASTER_KEY_HEX: &str = "5fa1c3e7902b4d68f1a37c5e9b04d2862e8f6071b3d95ac4e7180f3b6d92a5c4";
/// When a [`TestClock`] starts, in Unix milliseconds: 2026-11-23T10:00:00.000Z.
pub const START_MILLIS: i64 = 1_795_428_000_000;
/// Where [`settings`] has payment links.
pub const BASE_URL: &str = "https://pay.example.com";

/// A clock that stands still until it is moved, forward or back.
///
/// ```
/// use std::time::Duration;
///
/// use perfectpay::Clock as _;
/// use perfectpay_testkit::TestClock;
///
/// let clock = TestClock::default();
/// assert_eq!(clock.now().to_string(), "2026-11-23T10:00:00.000Z");
/// clock.step(Duration::from_secs(60));
/// clock.step_back(Duration::from_millis(1));
/// assert_eq!(clock.now().to_string(), "2026-11-23T10:00:59.999Z");
/// clock.set("2030-01-01T00:00:00Z".parse()?);
/// assert_eq!(clock.now().to_string(), "2030-01-01T00:00:00.000Z");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl Default for TestClock {
    /// A clock that shows [`START_MILLIS`].
    fn default() -> Self {
        Self(AtomicI64::new(START_MILLIS))
    }
}

impl TestClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.unix_millis()))
    }

    /// Moves it to `now`, wherever that is.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.unix_millis(), Ordering::SeqCst);
    }

    /// Moves it forward.
    pub fn step(&self, by: Duration) {
        self.0.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Moves it back.
    pub fn step_back(&self, by: Duration) {
        self.0.fetch_sub(millis(by), Ordering::SeqCst);
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let millis = self.0.load(Ordering::SeqCst);
        Timestamp::from_unix_millis(millis).unwrap_or(if millis < 0 { Timestamp::MIN } else { Timestamp::MAX })
    }
}

/// Randomness that is the same in every run: `SplitMix64` from a seed. Not for anything but tests.
///
/// ```
/// use perfectpay::Entropy as _;
/// use perfectpay_testkit::SeededEntropy;
///
/// let draw = |seed| {
///     let mut bytes = [0; 24];
///     SeededEntropy::new(seed).fill(&mut bytes);
///     bytes
/// };
/// assert_eq!(draw(7), draw(7));
/// assert_ne!(draw(7), draw(8));
/// ```
#[derive(Debug)]
pub struct SeededEntropy(Mutex<u64>);

impl SeededEntropy {
    /// The sequence of this seed, from its beginning.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // One lock for the whole draw: two threads take turns, but neither sees half of the other's bytes.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let word = (z ^ (z >> 31)).to_le_bytes();
            for (byte, drawn) in chunk.iter_mut().zip(word) {
                *byte = drawn;
            }
        }
    }
}

/// Settings under which a run repeats itself: a fixed master key, a [`TestClock`] at [`START_MILLIS`],
/// [`SeededEntropy`] of seed 1, and links below [`BASE_URL`]. A test that moves the clock gives its own:
/// `settings()?.clock(clock.clone())`.
///
/// # Errors
///
/// None that the constants above would not make.
pub fn settings() -> Result<Settings, Fault> {
    Ok(Settings::new(MasterKey::from_hex(MASTER_KEY_ID, MASTER_KEY_HEX)?)
        .base_url(BASE_URL.parse()?)
        .clock(Arc::new(TestClock::default()))
        .entropy(Arc::new(SeededEntropy::new(1))))
}

/// The library on `store`, with [`settings`].
///
/// # Errors
///
/// Those of [`PerfectPay::open`].
pub async fn open(store: Arc<dyn Store>) -> Result<PerfectPay, Error> {
    PerfectPay::open(store, settings()?).await
}

/// An organization with a merchant account, its default profile, and an API key of it.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// The organization.
    pub organization: Organization,
    /// The merchant account.
    pub merchant: Merchant,
    /// Its default profile, which has a return URL, so that links can be made.
    pub profile: Profile,
    /// The key, with its token. It does not expire.
    pub key: IssuedApiKey,
}

impl Tenant {
    /// The organization's handle.
    pub fn organization_scope(&self, pay: &PerfectPay) -> OrganizationScope {
        pay.organization(&self.organization.organization_id)
    }

    /// The merchant account's handle, within the organization.
    pub fn scope(&self, pay: &PerfectPay) -> MerchantScope {
        self.organization_scope(pay).merchant(&self.merchant.merchant_id)
    }

    /// The default profile's handle.
    pub fn profile_scope(&self, pay: &PerfectPay) -> ProfileScope {
        self.scope(pay).profile(&self.profile.profile_id)
    }

    /// The key's token.
    pub fn token(&self) -> &str {
        self.key.api_key.as_ref().map_or("", |token| token.expose())
    }
}

/// Stands up an organization of its own for a merchant account with this id. See [`merchant_in`] for a second account
/// of the same organization.
///
/// # Errors
///
/// Those of the operations; [`Error::AlreadyExists`] if the id is taken.
pub async fn stand_up(pay: &PerfectPay, merchant_id: &str) -> Result<Tenant, Error> {
    let body = organization_body(&format!("{merchant_id} group"));
    let organization = pay.create_organization(json::from_slice(body.as_bytes())?).await?;
    merchant_in(pay, &organization, merchant_id).await
}

/// Stands up a merchant account with this id in an organization that there is.
///
/// # Errors
///
/// Those of the operations; [`Error::AlreadyExists`] if the id is taken.
pub async fn merchant_in(pay: &PerfectPay, organization: &Organization, merchant_id: &str) -> Result<Tenant, Error> {
    let scope = pay.organization(&organization.organization_id);
    let merchant = scope.create_merchant(json::from_slice(merchant_body(merchant_id).as_bytes())?).await?;
    let scope = scope.merchant(&merchant.merchant_id);
    let missing = || Error::corrupt("a new merchant account has no default profile");
    let profile = scope.profile(merchant.default_profile.as_ref().ok_or_else(missing)?).retrieve().await?;
    let key = scope.create_api_key(json::from_slice(api_key_body("test key", "never").as_bytes())?).await?;
    Ok(Tenant { organization: organization.clone(), merchant, profile, key })
}

/// The body that creates an organization.
pub fn organization_body(name: &str) -> String {
    json!({ "organization_name": name }).to_string()
}

/// The body that creates a merchant account whose profiles inherit a return URL.
pub fn merchant_body(merchant_id: &str) -> String {
    json!({ "merchant_id": merchant_id, "return_url": "https://shop.example.com/return" }).to_string()
}

/// The body that creates a profile.
pub fn profile_body(name: &str) -> String {
    json!({ "profile_name": name }).to_string()
}

/// The body that creates a connector account of `stripe` for cards.
pub fn connector_body(label: &str, api_key: &str) -> String {
    json!({
        "connector_type": "payment_processor",
        "connector_name": "stripe",
        "connector_label": label,
        "connector_account_details": { "auth_type": "HeaderKey", "api_key": api_key },
        "payment_methods_enabled": [{ "payment_method": "card", "payment_method_types": ["credit", "debit"] }],
    })
    .to_string()
}

/// The body that creates an API key; `expiration` is `never` or a moment.
pub fn api_key_body(name: &str, expiration: &str) -> String {
    json!({ "name": name, "expiration": expiration }).to_string()
}

/// The body that adds an entry to a blocklist, or removes one; `kind` is `card_bin`, `extended_card_bin` or
/// `fingerprint`.
pub fn block_body(kind: &str, data: &str) -> String {
    json!({ "type": kind, "data": data }).to_string()
}

/// The body that creates a payment.
pub fn payment_body(amount: i64, currency: &str) -> String {
    json!({ "amount": amount, "currency": currency }).to_string()
}

/// The body that creates a payment with a link.
pub fn payment_with_link_body(amount: i64, currency: &str) -> String {
    json!({ "amount": amount, "currency": currency, "payment_link": true }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_stays_within_what_a_timestamp_can_say() {
        let clock = TestClock::at(Timestamp::MAX);
        clock.step(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::MAX);
        clock.set(Timestamp::MIN);
        clock.step_back(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::MIN);
    }

    #[test]
    fn drawing_in_pieces_advances_the_sequence() {
        let entropy = SeededEntropy::new(1);
        let mut draws = [[0; 10]; 64];
        for draw in &mut draws {
            entropy.fill(draw);
        }
        for (at, draw) in draws.iter().enumerate() {
            assert!(!draws[..at].contains(draw));
        }
    }
}
