//! The state machine of `state_machine.rs`: what may be done, what should happen, and what does.

pub(crate) mod command;
pub(crate) mod host;
pub(crate) mod model;
pub(crate) mod payments;
pub(crate) mod system;
