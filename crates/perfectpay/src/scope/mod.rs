//! Handles: what a host holds in its hands. A handle is a capability for one scope, made without any I/O; it loads,
//! lets the nouns decide, and commits.
//!
//! [`PerfectPay`] is the root, which only the host has. From it the way goes down, and nothing takes a bare child id
//! without its scope:
//!
//! ```text
//! PerfectPay ─ organization(id) ─ merchant(id) ─┬─ profile(id) ─┬─ connector(id)
//!     └─ authenticate(token) ─ Caller ─┘        │               ├─ routing() ─ program(id)
//!                                               ├─ connector(id)└─ …
//!                                               ├─ api_key(id)
//!                                               ├─ blocklist()
//!                                               ├─ payment(id)
//!                                               ├─ event(id)
//!                                               └─ payment_link(id)
//! ```
//!
//! Reads are plain futures. Writes are [`Command`]s: `merchant.create_profile(new).idempotency_key(key).await`.

mod api_key;
pub mod batch;
mod blocklist;
mod bulk;
mod caller;
mod command;
mod confirm;
mod connector;
mod decide;
mod event;
mod follow;
mod held;
pub mod impact;
mod key_table;
mod keys;
mod link;
mod link_use;
mod lists;
mod log;
mod maintain;
mod merchant;
mod meters;
mod observed;
mod operation;
mod organization;
mod overlay;
mod payment;
mod payment_step;
mod profile;
mod root;
mod rotation;
mod routers;
mod routing;
mod rules;
mod screen;
mod screener;
mod seals;
mod session;
mod vault;

pub use self::api_key::ApiKeyScope;
pub use self::batch::{Batch, BatchReceipt};
pub use self::blocklist::BlocklistScope;
pub use self::caller::{Caller, Verdict, Verified};
pub use self::command::{Command, Create, CreateOptions, Remove, RemoveOptions, Update, UpdateOptions};
pub use self::connector::ConnectorScope;
pub use self::decide::{DecideRequest, Decision, ExplainedDecision};
pub use self::event::EventScope;
pub use self::follow::Freshness;
pub use self::impact::{Impact, NamedBy};
pub use self::link::PaymentLinkScope;
pub use self::link_use::LinkUseScope;
pub use self::log::{LogRetention, LogTail};
pub use self::maintain::Maintained;
pub use self::merchant::MerchantScope;
pub use self::operation::{Need, Operation};
pub use self::organization::OrganizationScope;
pub use self::payment::{PaymentClient, PaymentScope};
pub use self::payment_step::ExpiredPayments;
pub use self::profile::ProfileScope;
pub use self::root::{PerfectPay, Settings};
pub use self::rotation::{LeftUnder, Rotated};
pub use self::routing::{DryRun, RoutingProgramScope, RoutingScope};
pub use self::rules::OrganizationBlocklistScope;
pub use self::screener::Screener;
pub use self::seals::{SealFault, SealReport};
