//! The file as a whole: made, copied, verified, counted, and its keys wrapped anew.

use std::path::Path;

use perfectpay::{MerchantScope, PageRequest, PerfectPay};
use perfectpay_sqlite::{Progress, SqliteOptions, SqliteStore, Step};
use serde_json::json;

use crate::accounts::all;
use crate::failure::{Exit, Failure};
use crate::show::{Show, Table, bar};
use crate::store;

pub(crate) fn init(path: &Path, show: &Show) -> Result<(), Failure> {
    if path.exists() {
        let message = format!("there is something at {} already", path.display());
        return Err(Failure::new(Exit::Conflict, "exists", message));
    }
    SqliteStore::open(path)?;
    show.answer(&json!({ "database": path }), |_| Table::pairs([("made", path.display().to_string())]))
}

pub(crate) fn backup(path: &Path, to: &Path, show: &Show) -> Result<(), Failure> {
    let store = store::file(path)?;
    let (bar, tell) = telling();
    let done = store.backup(to, tell);
    bar.finish_and_clear();
    done?;
    show.answer(&json!({ "backup": to }), |_| Table::pairs([("copied and verified", to.display().to_string())]))
}

pub(crate) fn verify(path: &Path, show: &Show) -> Result<(), Failure> {
    store::there(path)?;
    let (bar, tell) = telling();
    let report = SqliteOptions::new(path).verify(tell);
    bar.finish_and_clear();
    let report = report?;
    let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    let value = json!({
        "healthy": report.is_healthy(), "records": report.records, "entries": report.entries,
        "faults": faults, "left_out": report.left_out,
    });
    show.answer(&value, |_| {
        let counts = [("records", report.records.to_string()), ("log entries", report.entries.to_string())];
        Table::pairs(counts.into_iter().chain(faults.iter().map(|fault| ("fault", fault.clone()))))
    })?;
    healthy(report.total())
}

pub(crate) async fn verify_seals(pay: &PerfectPay, show: &Show) -> Result<(), Failure> {
    let bar = bar(None, "opening seals");
    let report = pay.verify_seals(|report| bar.set_position(report.records)).await;
    bar.finish_and_clear();
    let report = report?;
    show.answer(&report, |report| {
        let counts = [("records", report.records.to_string()), ("seals", report.seals.to_string())];
        Table::pairs(counts.into_iter().chain(report.faults.iter().map(|fault| ("fault", fault.to_string()))))
    })?;
    healthy(report.total())
}

fn healthy(faults: u64) -> Result<(), Failure> {
    if faults == 0 {
        return Ok(());
    }
    Err(Failure::new(Exit::Damaged, "faults", format!("{faults} faults were found")))
}

/// A bar, and what moves it.
fn telling() -> (indicatif::ProgressBar, impl FnMut(Progress)) {
    let bar = bar(Some(0), "");
    let told = bar.clone();
    let tell = move |progress: Progress| {
        told.set_message(match progress.step {
            Step::Copying => "copying",
            Step::Verifying => "verifying",
        });
        told.set_length(progress.total);
        told.set_position(progress.done);
    };
    (bar, tell)
}

pub(crate) async fn rotate(path: &Path, show: &Show) -> Result<(), Failure> {
    let (pay, former) = store::open_for_rotation(path).await?;
    let before = pay.left_under(&former).await?.data_keys;
    let bar = bar(Some(before), "wrapping anew");
    let rotated = pay.rewrap(|rotated| bar.set_position(rotated.done)).await;
    bar.finish_and_clear();
    let rotated = rotated?;
    let left = pay.left_under(&former).await?;
    let value = json!({
        "wrapped": rotated.done,
        "unreadable": rotated.unreadable,
        "data_keys_left": left.data_keys,
        "api_keys_left": left.api_keys,
        "former": former,
    });
    show.answer(&value, |_| {
        Table::pairs([
            ("wrapped anew", rotated.done.to_string()),
            ("unreadable", rotated.unreadable.to_string()),
            ("data keys left under the former key", left.data_keys.to_string()),
            ("API keys left under its pepper", left.api_keys.to_string()),
        ])
    })?;
    if (left.data_keys, left.api_keys) == (0, 0) {
        return Ok(());
    }
    let message = format!(
        "{} data keys and {} API keys still need the former master key; an API key that is used goes over to the new one where \
         a host has both, and one that nobody uses is to be rotated or revoked",
        left.data_keys, left.api_keys
    );
    Err(Failure::new(Exit::Partial, "keys_left", message))
}

/// A page at a time, since there may be millions.
async fn payments_of(account: &MerchantScope) -> Result<usize, Failure> {
    let (mut count, mut cursor) = (0, None);
    loop {
        let page = account.payments(PageRequest::of(100)?.after(cursor)).await?;
        count += page.items.len();
        cursor = page.next;
        if cursor.is_none() {
            return Ok(count);
        }
    }
}

pub(crate) async fn stats(pay: &PerfectPay, path: &Path, payments: bool, show: &Show) -> Result<(), Failure> {
    let (mut merchants, mut profiles, mut connectors) = (0, 0, 0);
    let (mut keys, mut living, mut entries, mut paid) = (0, 0, 0, 0);
    let organizations = all(|page| pay.organizations(page)).await?;
    for organization in &organizations {
        let organization = pay.organization(&organization.organization_id);
        for merchant in all(|page| organization.merchants(page)).await? {
            let account = organization.merchant(&merchant.merchant_id);
            merchants += 1;
            profiles += all(|page| account.profiles(page)).await?.len();
            connectors += all(|page| account.connectors(page)).await?.len();
            let of = all(|page| account.api_keys(page)).await?;
            keys += of.len();
            living += of.iter().filter(|key| key.revoked.is_none()).count();
            entries += account.blocklist().entries(None, PageRequest::of(1)?).await?.total_count;
            if payments {
                paid += payments_of(&account).await?;
            }
        }
    }
    let head = pay.log_head().await?;
    let bytes = std::fs::metadata(path)?.len();
    let value = json!({
        "organizations": organizations.len(), "merchants": merchants, "profiles": profiles, "connectors": connectors,
        "api_keys": keys, "living_api_keys": living, "blocklist_entries": entries,
        "payments": payments.then_some(paid), "log": head, "file_bytes": bytes,
    });
    show.answer(&value, |_| {
        let mut rows = vec![
            ("organizations", organizations.len().to_string()),
            ("merchant accounts", merchants.to_string()),
            ("profiles", profiles.to_string()),
            ("connector accounts", connectors.to_string()),
            ("API keys", format!("{keys}, {living} not revoked")),
            ("blocklist entries", entries.to_string()),
            ("log", format!("position {}, {}", head.position, head.at)),
            ("file", format!("{bytes} bytes")),
        ];
        if payments {
            rows.push(("payments", paid.to_string()));
        }
        Table::pairs(rows)
    })
}
