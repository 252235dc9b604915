//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use perfectpay::{ApiKeyId, Expiration, MerchantId, Name, OrganizationId, ProfileId, Text};

/// Works on a PerfectPay database.
///
/// Other processes may use the database meanwhile. The master key is read from `PERFECTPAY_MASTER_KEY`, 64 hexadecimal
/// digits, and its id from `PERFECTPAY_MASTER_KEY_ID` ("environment" where there is none); on a terminal it is asked for.
/// No key is ever an argument: everybody on the machine can read those.
///
/// Tables are for people and may change; scripts ask for `--json`.
#[derive(Debug, Parser)]
#[command(version, after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The database's file.
    #[arg(long, short, global = true, default_value = "accounts.db", value_name = "FILE")]
    pub(crate) database: PathBuf,
    /// Answer with JSON: one document, or of the log one in a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  # A database, an organization, an account, and a key whose token is shown this once
  export PERFECTPAY_MASTER_KEY=$(openssl rand -hex 32)      # keep it: nothing opens without it
  perfectpay-admin init
  perfectpay-admin organization create 'Acme Group'
  perfectpay-admin merchant create acme_us --organization org_…
  perfectpay-admin key create acme_us 'Backend' --expires 2027-12-31T00:00:00Z

  # Which value of a profile comes from where
  perfectpay-admin config acme_us pro_…

  # A blocklist from a file: try it first; `-` is standard input or output
  perfectpay-admin blocklist import acme_us list.csv --dry-run
  perfectpay-admin blocklist export acme_us - | wc -l

  # Every night
  perfectpay-admin backup \"accounts-$(date +%F).db\" && perfectpay-admin verify --seals

  # Another master key: start every host with both, wrap anew, and take the former one away when this ends with 0
  PERFECTPAY_FORMER_MASTER_KEY=… PERFECTPAY_FORMER_MASTER_KEY_ID=2026 \\
  PERFECTPAY_MASTER_KEY=… PERFECTPAY_MASTER_KEY_ID=2027 perfectpay-admin rotate-master-key

Exit codes:
  0  done
  1  a file could not be read or written
  2  the command line is wrong
  3  there is no such object
  4  what is stored stands against it: taken already, not empty, revoked
  5  a value is wrong; the message names it
  6  the database cannot be used: locked, full, read-only, of a newer version, or the master key is missing or another
  7  damage was found, and is listed
  8  done in part: rows of an import that are no entries, keys that still need the former master key";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an empty database. Every other command wants one that is there, so that a mistyped path makes none.
    Init,
    /// Organizations.
    #[command(subcommand)]
    Organization(Organization),
    /// Merchant accounts.
    #[command(subcommand)]
    Merchant(Merchant),
    /// API keys of a merchant account.
    #[command(subcommand)]
    Key(Key),
    /// What holds in a profile, and which level each value comes from.
    ///
    /// `profile` is what the profile itself says, `account` what its account gave it when it was made and still says, and
    /// `built_in` the library's default. Secrets are masked.
    Config {
        /// The account.
        merchant: MerchantId,
        /// The profile; the default one, unless stated.
        profile: Option<ProfileId>,
    },
    /// Blocklists of merchant accounts.
    #[command(subcommand)]
    Blocklist(Blocklist),
    /// Copy the database, as it is at this moment, to a new file; it is verified before it appears there.
    Backup {
        /// The new file. Nothing is ever replaced.
        to: PathBuf,
    },
    /// Check everything in the file, while others may write. Needs no key, unless seals are asked for.
    Verify {
        /// Open every sealed value, too.
        #[arg(long)]
        seals: bool,
    },
    /// Wrap every data key under the current master key.
    ///
    /// The former one is read from `PERFECTPAY_FORMER_MASTER_KEY` and `PERFECTPAY_FORMER_MASTER_KEY_ID`. It may be
    /// interrupted and called again.
    RotateMasterKey,
    /// The log: who did what, when.
    Log(Log),
    /// How much there is of everything.
    Stats {
        /// Count payments, too, which reads every one.
        #[arg(long)]
        payments: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Organization {
    /// Create one.
    Create {
        /// What people call it.
        name: Text<255>,
    },
    /// List all, oldest first.
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Merchant {
    /// Create one, with its default profile.
    Create {
        /// Its id, which the platform chooses.
        id: MerchantId,
        /// In which organization; in one of its own, unless stated.
        #[arg(long)]
        organization: Option<OrganizationId>,
        /// What people call it.
        #[arg(long)]
        name: Option<Text<255>>,
    },
    /// List those of an organization, oldest first.
    List {
        /// Which organization.
        #[arg(long)]
        organization: OrganizationId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Create one. Its token is in the answer, and nowhere else ever again.
    Create {
        /// The account.
        merchant: MerchantId,
        /// What people call it.
        name: Name,
        /// When it ends: `never`, or a time such as 2027-12-31T00:00:00Z.
        #[arg(long, value_parser = expiration)]
        expires: Expiration,
    },
    /// List all, revoked ones too, oldest first.
    List {
        /// The account.
        merchant: MerchantId,
    },
    /// Revoke one: it never authenticates again.
    Revoke {
        /// The account.
        merchant: MerchantId,
        /// The key.
        key: ApiKeyId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Blocklist {
    /// Add the entries of a CSV file: columns `type` and `data`, and others as they like. Repeating it is safe.
    Import {
        /// The account.
        merchant: MerchantId,
        /// The file; `-` is standard input.
        file: PathBuf,
        /// Only check, and write nothing.
        #[arg(long)]
        dry_run: bool,
        /// Add everything in one commit, or nothing if a row is wrong.
        #[arg(long)]
        all_or_nothing: bool,
        /// How many rows are one commit.
        #[arg(long, default_value_t = 100_000, value_name = "ROWS")]
        batch: usize,
    },
    /// Write all entries as CSV.
    Export {
        /// The account.
        merchant: MerchantId,
        /// The new file; `-` is standard output. Nothing is ever replaced.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Log {
    /// Behind which position; of all that is kept, unless stated.
    #[arg(long)]
    pub(crate) after: Option<u64>,
    /// Of one account only.
    #[arg(long)]
    pub(crate) merchant: Option<MerchantId>,
    /// At most how many entries.
    #[arg(long)]
    pub(crate) limit: Option<u64>,
    /// Go on with what is committed from now on, until interrupted.
    #[arg(long, short, conflicts_with = "limit")]
    pub(crate) follow: bool,
}

fn expiration(text: &str) -> Result<Expiration, perfectpay::Fault> {
    text.parse()
}
