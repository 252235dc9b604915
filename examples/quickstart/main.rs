//! A payment platform's account set-up, played on a SQLite file with the published request bodies.
//!
//! ```text
//! cargo run --release --example quickstart [PATH]
//! ```
//!
//! Without a path it makes a fresh file in the system's folder for temporary files. On a path that it was run on before
//! it shows what survived. It reads the master key from `PERFECTPAY_MASTER_KEY`, 64 hexadecimal digits, if that is set,
//! and the one before it from `PERFECTPAY_FORMER_MASTER_KEY`: then it wraps everything anew under the new one.
//!
//! Each chapter is a file. None prints a token or a credential in clear; all of them check what they say.

mod accounts;
mod blocklist;
mod connectors;
mod keys;
mod log;
mod mistakes;
mod payments;
mod profiles;
mod published;
mod removals;
mod routing;
mod survived;
mod tell;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use futures_lite::future::block_on;
use perfectpay::{Actor, Catalogue, ConnectorSpec, KeyId, LocalKeyring, MasterKey, PageRequest, PerfectPay, Settings};
use perfectpay_sqlite::SqliteOptions;

use crate::tell::{Failure, line, section};

/// The host's own connector, beside the published ones.
const OWN_CONNECTOR: &str = "acme_bank";

/// A key that everybody can read here. It makes the example run by itself, and is for nothing else: whoever has the
/// master key and the file has every secret in it. A real host keeps 32 random bytes where it keeps its other secrets
/// (`openssl rand -hex 32`), gives them in `PERFECTPAY_MASTER_KEY`, and never writes them into its program.
const SANDBOX_KEY: &str = "3f1c9a52e07b4d68b1a6c2d95e8f0743912fbd6ac8e4703551d7ab2e6c90f418";

fn main() -> ExitCode {
    match block_on(run(env::args_os().nth(1).map(PathBuf::from))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            section("The story ends early");
            line(failure);
            ExitCode::FAILURE
        }
    }
}

async fn run(path: Option<PathBuf>) -> Result<(), Failure> {
    let path = match path {
        Some(path) => path,
        None => tempfile::Builder::new().prefix("perfectpay-").tempdir()?.keep().join("accounts.db"),
    };
    section("The store");
    line(format_args!("SQLite file {}", path.display()));
    // Opening blocks for some milliseconds; inside an async runtime it belongs into its `spawn_blocking`.
    let store = SqliteOptions::new(&path).open()?;
    let (settings, former) = settings()?;
    let pay = PerfectPay::open(Arc::new(store), settings).await?;
    if let Some(former) = former {
        let rotated = pay.rewrap(|_| {}).await?;
        let left = pay.left_under(&former).await?.data_keys;
        line(format_args!("{} data keys wrapped anew, {left} left under the former master key", rotated.done));
    }
    // Whoever acts is named in the log.
    let pay = pay.acting_as(Actor::Operator("quickstart".parse()?));

    if pay.organizations(PageRequest::of(1)?).await?.items.is_empty() {
        play(&pay).await?;
        section("The end");
        line("Run it again on the same file to see what survived:");
        line(format_args!("cargo run --release --example quickstart {}", path.display()));
        Ok(())
    } else {
        survived::show(&pay).await
    }
}

async fn play(pay: &PerfectPay) -> Result<(), Failure> {
    let group = accounts::organization(pay).await?;
    let shop = accounts::merchants(&group).await?;
    let store = profiles::play(&shop).await?;
    connectors::play(&shop, &store).await?;
    let caller = keys::play(pay, &shop).await?;
    blocklist::play(&caller).await?;
    routing::play(&store).await?;
    payments::play(&caller, &store).await?;
    mistakes::play(pay, &caller).await?;
    removals::play(pay, &store).await?;
    log::play(pay, &group, &shop).await
}

/// The master key that a variable of the environment holds, under the id that a second one gives: no two keys may have
/// one id.
fn master_key(variable: &str) -> Result<Option<MasterKey>, Failure> {
    let Some(hex) = env::var_os(variable) else { return Ok(None) };
    let hex = hex.to_str().unwrap_or_default();
    let id = env::var(format!("{variable}_ID")).unwrap_or_else(|_| "environment".to_owned());
    Ok(Some(MasterKey::from_hex(&id, hex).map_err(|fault| format!("{variable}: {fault}"))?))
}

/// The settings, and the id of the former master key where there is one.
fn settings() -> Result<(Settings, Option<KeyId>), Failure> {
    let current = if let Some(key) = master_key("PERFECTPAY_MASTER_KEY")? {
        key
    } else {
        line("PERFECTPAY_MASTER_KEY is not set: using the sandbox key, which is no secret");
        MasterKey::from_hex("sandbox", SANDBOX_KEY)?
    };
    let former = master_key("PERFECTPAY_FORMER_MASTER_KEY")?;
    let id = former.as_ref().map(|key| key.id().clone());
    let keyring = LocalKeyring::new(current);
    let keyring = match former {
        Some(former) => keyring.opening(former)?,
        None => keyring,
    };
    let own = ConnectorSpec::new(OWN_CONNECTOR.parse()?, connectors::SHAPES.map(|(shape, _)| shape).to_vec());
    let settings = Settings::with_keyring(Arc::new(keyring))
        .base_url("https://pay.example.com".parse()?)
        .catalogue(Catalogue::published().with(own)?);
    Ok((settings, id))
}
