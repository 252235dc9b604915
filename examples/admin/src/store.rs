//! The database, opened with the keys of the environment or the prompt.

use std::env;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;

use perfectpay::{Actor, KeyId, LocalKeyring, MasterKey, PerfectPay, Settings};
use perfectpay_sqlite::{SqliteOptions, SqliteStore};

use crate::failure::{Exit, Failure};

const CURRENT: &str = "PERFECTPAY_MASTER_KEY";
const FORMER: &str = "PERFECTPAY_FORMER_MASTER_KEY";

/// The library on a database that is there. Whoever acts is named in the log.
pub(crate) async fn open(path: &Path) -> Result<PerfectPay, Failure> {
    let keyring = LocalKeyring::new(required(CURRENT)?);
    let keyring = match key(FORMER)? {
        Some(former) => keyring.opening(former)?,
        None => keyring,
    };
    opened(path, keyring).await
}

/// As [`open`], with a former master key that must be given: its id is answered.
pub(crate) async fn open_for_rotation(path: &Path) -> Result<(PerfectPay, KeyId), Failure> {
    let former = required(FORMER)?;
    let id = former.id().clone();
    Ok((opened(path, LocalKeyring::new(required(CURRENT)?).opening(former)?).await?, id))
}

async fn opened(path: &Path, keyring: LocalKeyring) -> Result<PerfectPay, Failure> {
    let store = file(path)?;
    let pay = PerfectPay::open(Arc::new(store), Settings::with_keyring(Arc::new(keyring))).await;
    // That it does not open with these keys is no damage.
    let pay = pay.map_err(|error| Failure::from(error).unusable())?;
    Ok(pay.acting_as(Actor::Operator(operator().parse()?)))
}

/// The database, if it is there: opening would make one.
pub(crate) fn file(path: &Path) -> Result<SqliteStore, Failure> {
    there(path)?;
    Ok(SqliteOptions::new(path).open()?)
}

pub(crate) fn there(path: &Path) -> Result<(), Failure> {
    if path.is_file() {
        return Ok(());
    }
    let message = format!("there is no database at {}; `init` makes one", path.display());
    Err(Failure::new(Exit::Absent, "no_database", message))
}

/// Who is logged in, as far as the environment says: a note for the log, no proof.
fn operator() -> String {
    let name = env::var("USER").or_else(|_| env::var("USERNAME")).unwrap_or_default();
    let name: String = name.chars().filter(char::is_ascii_graphic).take(64).collect();
    if name.is_empty() { "admin".to_owned() } else { format!("admin {name}") }
}

fn required(variable: &str) -> Result<MasterKey, Failure> {
    if let Some(key) = key(variable)? {
        return Ok(key);
    }
    if !io::stdin().is_terminal() {
        let message = format!("{variable} is not set, and there is no terminal to ask at");
        return Err(Failure::new(Exit::Unusable, "no_master_key", message));
    }
    let hex = rpassword::prompt_password(format!("{variable}, 64 hexadecimal digits: "))?;
    read(variable, hex.trim())
}

fn key(variable: &str) -> Result<Option<MasterKey>, Failure> {
    match env::var(variable) {
        Ok(hex) if !hex.is_empty() => read(variable, &hex).map(Some),
        _ => Ok(None),
    }
}

fn read(variable: &str, hex: &str) -> Result<MasterKey, Failure> {
    let id = env::var(format!("{variable}_ID")).unwrap_or_else(|_| {
        // Two keys of a keyring may not have one id.
        if variable == FORMER { "former".to_owned() } else { "environment".to_owned() }
    });
    MasterKey::from_hex(&id, hex)
        .map_err(|fault| Failure::new(Exit::Unusable, fault.code(), format!("{variable}: {fault}")))
}
