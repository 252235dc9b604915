//! The published API over HTTP: a host of `PerfectPay`, on one SQLite file.
//!
//! ```text
//! cargo run --release -p perfectpay-http-host
//! ```
//!
//! With no more than that it plays a sandbox: a fresh account with the ids that the published examples name, whose keys it
//! keeps beside the database and prints, with the published calls ready to be pasted. With `PERFECTPAY_MASTER_KEY` and
//! `PERFECTPAY_ADMIN_KEY` in its environment it serves the database as it is, and keeps no secret anywhere; with
//! `PERFECTPAY_FORMER_MASTER_KEY` besides, it opens what that one sealed, while another one takes over.
//!
//! Who calls is in the `api-key` header: a secret key of an account, or the admin key, which is the platform's own and
//! reaches every account by its path. Bodies, answers and errors are the library's; what is here is the way to them.

mod answer;
mod ask;
mod lists;
mod pages;
mod published;
mod routes;
mod routing;
mod sandbox;

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use perfectpay::{Actor, LocalKeyring, MasterKey, PerfectPay, Settings, WebUrl};
use perfectpay_checkout::Mount;
use perfectpay_sqlite::SqliteStore;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;

/// Whatever keeps the host from starting.
pub(crate) type Failure = Box<dyn StdError + Send + Sync>;

/// Serves the published API from one SQLite file.
///
/// Without `PERFECTPAY_MASTER_KEY` it plays a sandbox: it makes keys and an account with the published ids, keeps the keys
/// in the folder (for nobody else to read), and prints the published calls. With `PERFECTPAY_MASTER_KEY` and
/// `PERFECTPAY_ADMIN_KEY` it serves what is in the folder and makes nothing. `RUST_LOG` says what is logged, to standard
/// error.
#[derive(Debug, Parser)]
struct Options {
    /// Where the database is, and in a sandbox its keys; made if it is not there.
    #[arg(long, default_value = "perfectpay-sandbox")]
    folder: PathBuf,
    /// Where to listen. Port 0 is any that is free.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Under which URL the host is reached, for payment links; where it listens, unless stated.
    #[arg(long)]
    base_url: Option<WebUrl>,
}

/// What every handler has.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pay: PerfectPay,
    /// Whoever calls with the admin key; the log calls it so.
    platform: PerfectPay,
    admin_key: Arc<[u8; 32]>,
    /// The processor's element, as pages of links name it.
    element: Arc<Mount>,
}

impl Host {
    fn new(pay: PerfectPay, admin_key: &str, element: Mount) -> Result<Self, Failure> {
        let platform = pay.acting_as(Actor::Operator("admin".parse()?));
        let admin_key = Arc::new(Sha256::digest(admin_key).into());
        Ok(Self { pay, platform, admin_key, element: Arc::new(element) })
    }

    /// Digests are compared, so that neither the content nor the length of the key shows in the time that it takes.
    fn is_admin(&self, key: &str) -> bool {
        bool::from(Sha256::digest(key).as_slice().ct_eq(&*self.admin_key))
    }
}

/// The keys that the host works with.
struct Secrets {
    keyring: LocalKeyring,
    admin_key: String,
    /// In a sandbox, where they are kept.
    sandbox: Option<sandbox::Keys>,
}

impl Secrets {
    /// From the environment, or else the sandbox's in the folder.
    fn find(folder: &std::path::Path) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(hex) = variable("PERFECTPAY_MASTER_KEY") else {
            let keys = sandbox::Keys::load_or_make(folder)?;
            let master_key = MasterKey::from_hex("sandbox", &keys.master_key)?;
            let keyring = LocalKeyring::new(master_key);
            return Ok(Self { keyring, admin_key: keys.admin_key.clone(), sandbox: Some(keys) });
        };
        let master_key = |name: &str, hex: &str, unnamed: &str| {
            let id = variable(&format!("{name}_ID")).unwrap_or_else(|| unnamed.to_owned());
            MasterKey::from_hex(&id, hex).map_err(|fault| format!("{name}: {fault}"))
        };
        let mut keyring = LocalKeyring::new(master_key("PERFECTPAY_MASTER_KEY", &hex, "environment")?);
        if let Some(hex) = variable("PERFECTPAY_FORMER_MASTER_KEY") {
            keyring = keyring.opening(master_key("PERFECTPAY_FORMER_MASTER_KEY", &hex, "former")?)?;
        }
        let admin_key = variable("PERFECTPAY_ADMIN_KEY").filter(|key| key.len() >= 32);
        let admin_key = admin_key.ok_or("PERFECTPAY_ADMIN_KEY must have at least 32 characters")?;
        Ok(Self { keyring, admin_key, sandbox: None })
    }
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match start(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("cannot serve: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Opens the store before there is a runtime, since that blocks.
fn start(options: Options) -> Result<(), Failure> {
    std::fs::create_dir_all(&options.folder)?;
    let secrets = Secrets::find(&options.folder)?;
    let store = SqliteStore::open(options.folder.join("accounts.db"))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(options, secrets, store))
}

async fn serve(options: Options, secrets: Secrets, store: SqliteStore) -> Result<(), Failure> {
    let listener = TcpListener::bind(options.listen).await?;
    let reached = format!("http://{}", listener.local_addr()?);
    let base_url = match options.base_url {
        Some(url) => url,
        None => reached.parse()?,
    };
    let element = pages::element(base_url.as_str())?;
    let pay =
        PerfectPay::open(Arc::new(store), Settings::with_keyring(Arc::new(secrets.keyring)).base_url(base_url)).await?;
    let host = Host::new(pay.clone(), &secrets.admin_key, element)?;
    if let Some(keys) = secrets.sandbox {
        let sandbox = sandbox::stand_up(&pay, keys).await?;
        published::show(&reached, &sandbox)?;
    }
    // Other processes' commits are looked for here, so that no request has to.
    let follower = tokio::spawn(follow(pay.clone()));
    let keeper = tokio::spawn(keep_house(pay));
    tracing::info!(%reached, folder = %options.folder.display(), "listening");
    let service = routes::routes(host).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(told_to_stop()).await?;
    follower.abort();
    keeper.abort();
    tracing::info!("stopped");
    Ok(())
}

async fn follow(pay: PerfectPay) {
    loop {
        let Err(error) = pay.follow(tokio::time::sleep).await;
        tracing::warn!(%error, "the log could not be followed; requests look at it themselves meanwhile");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// Writes down every minute which keys were used, moves those on to the current master key's pepper, and purges what expired.
async fn keep_house(pay: PerfectPay) {
    loop {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        if let Err(error) = pay.maintain().await {
            tracing::warn!(%error, "housekeeping failed, and is tried again in a minute");
        }
    }
}

/// Ready when the process is asked to end. Requests under way are answered then, and no new ones are taken.
async fn told_to_stop() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
    tracing::info!("stopping");
}
