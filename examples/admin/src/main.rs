//! What an operator of a database needs: accounts and keys, what holds in a profile and why, blocklists in and out,
//! backups, verification, rotation, the log.
//!
//! ```text
//! cargo run --release -p perfectpay-admin -- --help
//! ```
//!
//! Tables for people, `--json` for scripts, progress on standard error, and exit codes that say what to do next: see
//! [`failure`]. Keys come from the environment or from a prompt, never from the command line, where everybody on the
//! machine can read them.

mod accounts;
mod args;
mod blocklist;
mod config;
mod database;
mod failure;
mod log;
mod show;
mod store;

use std::process::ExitCode;

use clap::Parser as _;
use futures_lite::future::block_on;

use crate::args::{Arguments, Command};
use crate::failure::Failure;
use crate::show::Show;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let show = Show::new(arguments.json);
    match block_on(run(arguments, &show)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(&show),
    }
}

async fn run(arguments: Arguments, show: &Show) -> Result<(), Failure> {
    let path = &arguments.database;
    match arguments.command {
        Command::Init => database::init(path, show),
        Command::Verify { seals: false } => database::verify(path, show),
        Command::Backup { to } => database::backup(path, &to, show),
        Command::Verify { seals: true } => {
            database::verify(path, show)?;
            database::verify_seals(&store::open(path).await?, show).await
        }
        Command::RotateMasterKey => database::rotate(path, show).await,
        Command::Organization(command) => accounts::organization(&store::open(path).await?, command, show).await,
        Command::Merchant(command) => accounts::merchant(&store::open(path).await?, command, show).await,
        Command::Key(command) => accounts::key(&store::open(path).await?, command, show).await,
        Command::Config { merchant, profile } => {
            config::show(&store::open(path).await?, &merchant, profile.as_ref(), show).await
        }
        Command::Blocklist(command) => blocklist::run(&store::open(path).await?, command, show).await,
        Command::Log(command) => log::run(&store::open(path).await?, command, show).await,
        Command::Stats { payments } => database::stats(&store::open(path).await?, path, payments, show).await,
    }
}
