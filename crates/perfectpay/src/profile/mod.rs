//! What a business profile is made of: webhook details, branding, and the settings with rules of their own.
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
mod shape;
mod webhook;

pub use branding::*;
pub use headers::WebhookHeaders;
pub use settings::*;
pub use shape::{BoundedList, BoundedMap, UniqueList};
pub use webhook::*;

mod state;
pub use self::state::ProfileState;
