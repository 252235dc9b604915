//! Hosts of `PerfectPay`, as a user would write them: one folder each, beside this one.
//!
//! `cargo run --release --example quickstart` plays a whole account set-up on a SQLite file.

/// The programs in the README, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The programs in the how-to pages, likewise.
#[cfg(doctest)]
mod howto {
    #[doc = include_str!("../../docs/howto/write-a-store.md")]
    struct WriteAStore;
    #[doc = include_str!("../../docs/howto/rotate-keys.md")]
    struct RotateKeys;
    #[doc = include_str!("../../docs/howto/deliver-webhooks.md")]
    struct DeliverWebhooks;
    #[doc = include_str!("../../docs/howto/import-a-blocklist.md")]
    struct ImportABlocklist;
    #[doc = include_str!("../../docs/howto/several-processes.md")]
    struct SeveralProcesses;
    #[doc = include_str!("../../docs/howto/back-up-and-restore.md")]
    struct BackUpAndRestore;
    #[doc = include_str!("../../docs/howto/upgrade.md")]
    struct Upgrade;
    #[doc = include_str!("../../docs/howto/migrate-a-table.md")]
    struct MigrateATable;
}
