//! Business profiles: how a merchant account sells at one place. Webhook details, branding, and the settings with rules
//! of their own.
//!
//! Of the published settings those are left out that belong to systems this library does not have: routing algorithms
//! other than those of payments, payout links, authentication, tax, surcharge, billing and vault connectors, network
//! tokenization, click to pay, extended card information, dynamic routing and acquirer lists.
//!
//! Everything here is a plain value. It is parsed once from the contract's JSON, within stated limits, and is right
//! from then on; unknown fields are refused with their path. Nothing here reads a store, a clock or a key: secrets come
//! out as [`secrecy::SecretString`] and are sealed by whoever keeps them.
//!
//! ```
//! use perfectpay::{Branding, Level, PaymentLinkConfig, json};
//!
//! let profile: PaymentLinkConfig = json::from_slice(br##"{"theme": "#123456"}"##)?;
//! let branding = Branding::resolve(None, Some(&profile), None, Some("Acme"));
//! assert_eq!(branding.theme.value.as_str(), "#123456");
//! assert_eq!(branding.theme.level, Level::Profile);
//! assert_eq!(branding.sdk_layout.level, Level::BuiltIn);
//! # Ok::<(), perfectpay::Error>(())
//! ```

mod branding;
mod headers;
mod settings;
mod state;

pub use branding::*;
pub use headers::WebhookHeaders;
pub(crate) use settings::numbers;
pub use settings::*;
pub(crate) use state::Inherited;
pub use state::{NewProfile, Profile, ProfileSettings, ProfileState, ProfileUpdate, VerifiedDomains, WebhookSecrets};
