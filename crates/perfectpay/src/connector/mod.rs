//! Connector accounts: what is known of the processors, the credentials for them, and the payment methods they take.
//!
//! This module owns the vocabulary: [`Catalogue`] says which connectors there are and what each accepts,
//! [`ConnectorAuth`] holds one account's credentials, [`EnabledMethods`] the methods it is used for. All of it is
//! values; one that was read from JSON satisfies its rules, one built by hand is held against them with its `check`.
//!
//! ```
//! use perfectpay::{AuthType, Catalogue, ConnectorType};
//!
//! let catalogue = Catalogue::published();
//! let stripe = catalogue.check(&"stripe".parse()?, ConnectorType::PaymentProcessor, AuthType::HeaderKey, false)?;
//! assert!(stripe.routable && stripe.payouts);
//! # Ok::<(), perfectpay::Fault>(())
//! ```

mod auth;
mod catalogue;
mod credentials;
mod method_type;
mod methods;
mod published;
mod state;

pub use auth::*;
pub use catalogue::*;
pub(crate) use credentials::Exchange;
pub use credentials::{CredentialVersions, KeptCredentials, PreviousCredentials, PreviousVersion, StagedCredentials};
pub use method_type::*;
pub use methods::*;
pub(crate) use state::Admission;
#[cfg(feature = "schema")]
pub(crate) use state::WALLETS;
pub use state::{
    Connector, ConnectorSecrets, ConnectorState, ConnectorUpdate, ConnectorWebhookDetails, NewConnector,
    RemovedConnector, WalletDetails,
};
