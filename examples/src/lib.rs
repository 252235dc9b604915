//! Hosts of `PerfectPay`, as a user would write them: one folder each, beside this one.
//!
//! `cargo run --release --example quickstart` plays a whole account set-up on a SQLite file.

/// The programs in the README, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
