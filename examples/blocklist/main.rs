//! A list of a million fingerprints, imported from CSV and screened against.
//!
//! ```text
//! cargo run --release --example blocklist [ROWS]
//! ```
//!
//! It makes the file (1,000,000 rows, if none are said) and a database in a folder of its own, which goes in the end.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures_lite::future::block_on;
use perfectpay::{
    BlockAction, BlockKind, BlockRequest, CardNumber, CardVerdict, Fingerprint, ImportEvent, ImportOptions, MasterKey,
    NewMerchant, NewOrganization, PerfectPay, RowOutcome, Settings,
};
use perfectpay_sqlite::SqliteStore;

/// A test card that the list has, and one that it has not.
const LISTED: &str = "4242 4242 4242 4242";
const OTHER: &str = "5555 5555 5555 4444";

fn main() -> ExitCode {
    let rows = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse());
    let done = rows.map_err(Into::into).and_then(|rows: u64| block_on(run(rows)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _said = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(rows: u64) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(folder.path().join("accounts.db"))?;
    // A key for this folder alone.
    let master = MasterKey::from_hex("example", &"5fa1".repeat(16))?;
    let pay = PerfectPay::open(Arc::new(store), Settings::new(master)).await?;
    let group = pay.create_organization(NewOrganization::named("Acme Group".parse()?)).await?;
    let group = pay.organization(&group.organization_id);
    let shop = group.create_merchant(NewMerchant::with_id("acme_us".parse()?)).await?;
    let blocklist = group.merchant(&shop.merchant_id).blocklist();
    blocklist.toggle(Some(true)).await?;

    // The card's fingerprint at this account, as an earlier screening told it.
    let listed: CardNumber = LISTED.parse()?;
    let fingerprint = blocklist.screen(&listed).await?.fingerprint.ok_or("a card number has a fingerprint")?;
    let path = folder.path().join("list.csv");
    let bytes = write_list(&path, rows, &fingerprint.to_string())?;

    let mut out = io::stdout();
    let began = Instant::now();
    let options = ImportOptions::default().source("list.csv".parse()?);
    let report = blocklist.import_csv(File::open(&path)?, options, |event| {
        let told = match event {
            ImportEvent::Progress(report) => bar(report.bytes, bytes, report.rows()),
            ImportEvent::Row { line, outcome: RowOutcome::Invalid(fault) } => format!("\nline {line}: {fault}\n"),
            ImportEvent::Row { .. } => return,
        };
        // A terminal that is gone stops no import.
        let _shown = out.write_all(told.as_bytes()).and_then(|()| out.flush());
    });
    let report = report.await?;
    let seconds = began.elapsed().as_secs_f64();
    // What was added last is still in the write-ahead log.
    let files = ["accounts.db", "accounts.db-wal"].map(|name| fs::metadata(folder.path().join(name)));
    let bytes: u64 = files.into_iter().flatten().map(|file| file.len()).sum();
    writeln!(
        io::stdout(),
        "\n{} added, {} there already, {} wrong, in {seconds:.1} s; the database has {} MB",
        report.inserted,
        report.duplicates,
        report.invalid,
        bytes / 1_000_000,
    )?;

    for number in [LISTED, OTHER] {
        let card: CardNumber = number.parse()?;
        let screening = blocklist.screen(&card).await?;
        let verdict = match screening.verdict() {
            CardVerdict::Allowed => "passes".to_owned(),
            CardVerdict::Blocked { entry } => {
                format!("is declined by a {} of the {:?}", entry.kind, entry.scope.level())
            }
        };
        // The first six digits may be shown, the others never.
        writeln!(io::stdout(), "a card that begins with {} {verdict}", card.bin())?;
    }

    // An exception for one card, and why it holds.
    blocklist.remove(BlockRequest::new(BlockKind::Fingerprint, fingerprint.to_string().parse()?)).await?;
    blocklist.add(BlockRequest::new(BlockKind::CardBin, "424242".parse()?)).await?;
    let mut exception = BlockRequest::new(BlockKind::Fingerprint, fingerprint.to_string().parse()?);
    exception.action = Some(BlockAction::Allow);
    exception.reason = Some("the owner of the shop".parse()?);
    blocklist.add(exception).await?;
    for explained in blocklist.explain(&listed).await?.rules {
        let why = explained.outranked.map_or("decides".to_owned(), |why| why.to_string());
        writeln!(io::stdout(), "{} by a {}: {why}", explained.rule.action, explained.rule.id.kind)?;
    }
    Ok(())
}

/// Writes a list of random-looking fingerprints, with one in the middle that is a card's.
fn write_list(path: &Path, rows: u64, listed: &str) -> io::Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "type,data,reason")?;
    for row in 0..rows {
        if row == rows / 2 {
            writeln!(file, "fingerprint,{listed},stolen")?;
        } else {
            writeln!(file, "fingerprint,{},", fingerprint(row))?;
        }
    }
    file.flush()?;
    file.get_ref().metadata().map(|metadata| metadata.len())
}

/// What stands in for the fingerprint of a card that nobody has.
fn fingerprint(number: u64) -> Fingerprint {
    let mut digest = [0; 32];
    for (at, chunk) in (0..).zip(digest.chunks_exact_mut(8)) {
        let word = (number * 4 + at).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        chunk.copy_from_slice(&word.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes());
    }
    Fingerprint { version: 1, digest }
}

/// A line that draws over itself.
fn bar(bytes: u64, of: u64, rows: u64) -> String {
    const WIDTH: u64 = 40;
    let done = usize::try_from(bytes * WIDTH / of.max(1)).unwrap_or(0).min(40);
    format!("\r[{:<40}] {:>3} % {rows} rows", "#".repeat(done), bytes * 100 / of.max(1))
}
