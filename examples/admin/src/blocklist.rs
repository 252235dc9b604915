//! Blocklists in and out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use perfectpay::{ImportEvent, ImportMode, ImportOptions, ImportReport, MerchantId, PerfectPay, RowOutcome};
use serde_json::json;

use crate::args;
use crate::failure::{Exit, Failure};
use crate::show::{Show, Table, bar};

/// How many wrong rows are told one by one.
const TOLD: u64 = 20;

pub(crate) async fn run(pay: &PerfectPay, command: args::Blocklist, show: &Show) -> Result<(), Failure> {
    match command {
        args::Blocklist::Import { merchant, file, dry_run, all_or_nothing, batch } => {
            let mode = if all_or_nothing { ImportMode::AllOrNothing } else { ImportMode::BestEffort };
            import(pay, &merchant, &file, ImportOptions::default().dry_run(dry_run).mode(mode).batch(batch), show).await
        }
        args::Blocklist::Export { merchant, file } => export(pay, &merchant, &file, show).await,
    }
}

fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

async fn import(
    pay: &PerfectPay,
    merchant: &MerchantId,
    path: &Path,
    options: ImportOptions,
    show: &Show,
) -> Result<(), Failure> {
    // So that a mistyped account is told before the file is read.
    let list = pay.merchant(merchant);
    list.retrieve().await?;
    let list = list.blocklist();
    let (input, total): (Box<dyn Read + Send>, _) = if is_stream(path) {
        (Box::new(io::stdin()), None)
    } else {
        let failed = |error| Failure::new(Exit::File, "file", format!("{}: {error}", path.display()));
        let total = fs::metadata(path).map_err(failed)?.len();
        (Box::new(File::open(path).map_err(failed)?), Some(total))
    };
    let options = match path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()) {
        Some(source) if !is_stream(path) => options.source(source),
        _ => options,
    };
    let bar = bar(total, "importing");
    let mut wrong = 0;
    let report = list.import_csv(input, options, |event| match event {
        ImportEvent::Progress(report) => bar.set_position(if total.is_some() { report.bytes } else { report.rows() }),
        ImportEvent::Row { line, outcome: RowOutcome::Invalid(fault) } => {
            wrong += 1;
            if wrong <= TOLD && !show.is_json() {
                bar.suspend(|| {
                    let _told = writeln!(io::stderr(), "line {line}: {fault}");
                });
            }
        }
        ImportEvent::Row { .. } => {}
    });
    let report = report.await;
    bar.finish_and_clear();
    let report = report?;
    told(&report, show)?;
    if report.invalid == 0 {
        return Ok(());
    }
    let message = format!("{} rows are no entries, {} were withheld for it", report.invalid, report.withheld);
    Err(Failure::new(Exit::Partial, "invalid_rows", message))
}

fn told(report: &ImportReport, show: &Show) -> Result<(), Failure> {
    let value = json!({
        "inserted": report.inserted,
        "duplicates": report.duplicates,
        "invalid": report.invalid,
        "withheld": report.withheld,
    });
    show.answer(&value, |_| {
        Table::pairs([
            ("added", report.inserted.to_string()),
            ("there already", report.duplicates.to_string()),
            ("no entries", report.invalid.to_string()),
            ("withheld", report.withheld.to_string()),
        ])
    })
}

async fn export(pay: &PerfectPay, merchant: &MerchantId, path: &Path, show: &Show) -> Result<(), Failure> {
    let account = pay.merchant(merchant);
    account.retrieve().await?;
    if is_stream(path) {
        let mut out = BufWriter::new(io::stdout());
        account.blocklist().export_csv(&mut out, |_| {}).await?;
        return Ok(out.flush()?);
    }
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let file = file.map_err(|error| Failure::new(Exit::File, "file", format!("{}: {error}", path.display())))?;
    let bar = bar(None, "exporting");
    let mut out = BufWriter::new(file);
    let written = account.blocklist().export_csv(&mut out, |written| bar.set_position(written)).await;
    bar.finish_and_clear();
    let written = match written {
        Ok(written) => written,
        Err(error) => {
            // Half a list must not be taken for one.
            let _gone = fs::remove_file(path);
            return Err(error.into());
        }
    };
    out.flush()?;
    out.get_ref().sync_all()?;
    show.answer(&json!({ "entries": written }), |_| Table::pairs([("entries", written.to_string())]))
}
