//! x
pub mod host;
pub use host::{SeededEntropy, Tenant, TestClock};
