//! Lists in bulk beside bare rusqlite: fingerprints imported, and read back for an index.
//!
//! `cargo bench -p perfectpay-benches --bench import` prints the ratios that `benches/README.md` keeps. An argument says
//! how many fingerprints, 1,000,000 without one; `staged` besides imports them all or none, and nothing else.
//!
//! The floor writes the same rows, sorted, into the same table with the same indexes, by one prepared statement in one
//! transaction of a connection that is set up alike. The clock runs until COMMIT returns; making the rows, which both
//! have to, runs before for the floor, and is inside the store's time only where the row says so.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a bench stops at a surprise")]
#![allow(clippy::cast_precision_loss, reason = "rates are rounded in any case")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use perfectpay::blocklist::MAX_TOGETHER;
use perfectpay::store::{
    Actor, BlockRow, BlockRows, BlockScan, BlockSelect, Change, EntityRef, MerchantPath, NewRules, RowScope,
    SortedRows, Store as _,
};
use perfectpay::{
    BlockAction, BlockKind, BlockRequest, EntityKind, Fingerprint, ImportEvent, ImportMode, ImportOptions, Timestamp,
};
use perfectpay_benches::{World, bare, world};
use rusqlite::{Connection, params};

/// Fingerprints that look as random ones do: four words of a `SplitMix64`.
fn fingerprints(count: usize, mut seed: u64) -> Vec<String> {
    let mut next = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_be_bytes()
    };
    let mut text = || {
        let words = [next(), next(), next(), next()].concat();
        Fingerprint { version: 1, digest: words.try_into().unwrap() }.to_string()
    };
    (0..count).map(|_| text()).collect()
}

fn rows(values: &[String]) -> BlockRows {
    let mut rows = BlockRows::new();
    for value in values {
        rows.push(BlockRow {
            kind: BlockKind::Fingerprint,
            value,
            scope: RowScope::Merchant,
            action: BlockAction::Block,
            expires_at: None,
            reason: None,
            metadata: None,
        });
    }
    rows
}

/// The floor: the rows, sorted, into the store's own table.
fn floor(conn: &mut Connection, world: &World, values: &[String]) -> Duration {
    let mut names: Vec<String> = values.iter().map(|value| format!("fingerprint:{value}")).collect();
    names.sort();
    let started = Instant::now();
    let transaction = conn.transaction().unwrap();
    {
        let mut insert = transaction
            .prepare(
                "INSERT INTO pp_block_rule (merchant, id, version, created_at, modified_at, kind, profile, expires_at,
                                            action, reason, source, author, metadata)
                 VALUES (?, ?, 1, ?, ?, 5, NULL, NULL, 0, NULL, NULL, 'host', NULL)",
            )
            .unwrap();
        for name in &names {
            insert
                .execute(params![world.tenant.as_bytes(), name, 1_790_000_000_000_i64, 1_790_000_000_000_i64])
                .unwrap();
        }
    }
    transaction.commit().unwrap();
    started.elapsed()
}

/// One change set of the store's, the rows unsorted: sorting is inside the clock.
fn change_set(world: &World, values: &[String]) -> Duration {
    let rows = rows(values);
    let of = EntityRef { kind: EntityKind::Merchant, tenant: world.tenant, id: world.merchant.to_string() };
    let started = Instant::now();
    let sorted = Arc::new(SortedRows::of(&rows));
    let at = Timestamp::from_unix_millis(1_790_000_000_000).unwrap();
    let new = NewRules::new(of, sorted, Actor::Host, None, at).unwrap();
    let mut set = world.empty_set();
    set.changes.push(Change::AddBlockRules(Box::new(new)));
    block_on(world.store.commit(set)).unwrap();
    started.elapsed()
}

/// A file of CSV through the handle: read, checked, sorted, committed, and every row told.
fn csv(world: &World, values: &[String], options: ImportOptions) -> Duration {
    let mut file = "type,data\n".to_owned();
    for value in values {
        writeln!(file, "fingerprint,{value}").unwrap();
    }
    let blocklist = world.pay.organization(&world.organization).merchant(&world.merchant).blocklist();
    let started = Instant::now();
    let mut read = started;
    let on = |event| {
        if matches!(event, ImportEvent::Progress(report) if report.rows() == 0) {
            read = Instant::now();
        }
    };
    let report = block_on(blocklist.import_csv(file.as_bytes(), options, on)).unwrap();
    assert_eq!(report.inserted, values.len() as u64);
    if read > started {
        println!(
            "    staged in {:.1} s, made live in {:.1} s",
            (read - started).as_secs_f64(),
            read.elapsed().as_secs_f64()
        );
    }
    started.elapsed()
}

/// One by one: a look-up and then a commit for each, as a host without an import would do it.
fn one_by_one(world: &World, values: &[String]) -> Duration {
    let blocklist = world.pay.organization(&world.organization).merchant(&world.merchant).blocklist();
    let started = Instant::now();
    for value in values {
        block_on(async {
            if blocklist.rule(BlockKind::Fingerprint, value).await.is_err() {
                let new = BlockRequest::new(BlockKind::Fingerprint, value.parse().unwrap());
                blocklist.add(new).await.unwrap();
            }
        });
    }
    started.elapsed()
}

/// Reads the whole list as an index would.
fn scanned(world: &World, count: usize) -> Duration {
    let started = Instant::now();
    let (mut after, mut found) = (None, 0);
    loop {
        let path = MerchantPath::Pinned(world.tenant).into();
        let scan = BlockScan { path, select: BlockSelect::After(after), limit: 50_000, details: false };
        let page = block_on(world.store.block_rules(&scan)).unwrap().unwrap();
        for row in page.rows.iter() {
            found += usize::from(!row.value.is_empty());
        }
        let Some(last) = page.rows.iter().next_back() else { break };
        after = Some(last.id().unwrap());
    }
    assert_eq!(found, count);
    started.elapsed()
}

/// The floor of that: the same columns of the same rows, looked at and left.
fn bare_scan(conn: &Connection, world: &World, count: usize) -> Duration {
    let started = Instant::now();
    let mut select =
        conn.prepare("SELECT id, action, expires_at FROM pp_block_rule WHERE merchant = ? ORDER BY id").unwrap();
    let mut rows = select.query([world.tenant.as_bytes()]).unwrap();
    let mut found = 0;
    while let Some(row) = rows.next().unwrap() {
        let id = row.get_ref(0).unwrap().as_str().unwrap();
        let (_action, _end): (i64, Option<i64>) = (row.get(1).unwrap(), row.get(2).unwrap());
        found += usize::from(!id.is_empty());
    }
    assert_eq!(found, count);
    started.elapsed()
}

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let rate = |took: Duration| count as f64 / took.as_secs_f64();
    let values = fingerprints(count, 1);
    let line = |what: &str, took: Duration, ratio: f64, reach: &str| {
        println!("{what:<58} {:>9.0}/s  {ratio:>8.2}  {reach:>8}", rate(took));
    };
    println!("\n{:<58} {:>11}  {:>8}  {:>8}", format!("{count} fingerprints"), "rows", "ratio", "to reach");
    let staged = || {
        let ours = world();
        csv(&ours, &values, ImportOptions::default().mode(ImportMode::AllOrNothing))
    };
    if std::env::args().any(|argument| argument == "staged") {
        line("CSV all or none, staged in batches of 100,000", staged(), 0.0, "");
        return;
    }
    let bare_world = world();
    let theirs = floor(&mut bare(&bare_world.path), &bare_world, &values);
    line("bare rusqlite, sorted, one transaction", theirs, 1.0, "");
    drop(bare_world);
    let ours = world();
    let together = change_set(&ours, &values);
    line("one change set, sorting inside", together, theirs.as_secs_f64() / together.as_secs_f64(), "≥ 0.8");
    drop(ours);
    let ours = world();
    let took = csv(&ours, &values, ImportOptions::default().batch(MAX_TOGETHER));
    line("CSV through the handle, one batch", took, theirs.as_secs_f64() / took.as_secs_f64(), "≥ 0.8");
    let fresh = bare(&ours.path);
    let pages = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let size: i64 = fresh.query_row(pages, [], |row| row.get(0)).unwrap();
    bare_scan(&fresh, &ours, count);
    let their_scan = bare_scan(&fresh, &ours, count);
    let our_scan = scanned(&ours, count);
    line("bare rusqlite, table scan", their_scan, 1.0, "");
    line("scan of the store", our_scan, their_scan.as_secs_f64() / our_scan.as_secs_f64(), "≥ 0.7");
    drop(ours);
    let ours = world();
    let took = csv(&ours, &values, ImportOptions::default());
    line("CSV through the handle, batches of 100,000", took, theirs.as_secs_f64() / took.as_secs_f64(), "");
    drop(ours);
    let took = staged();
    line("CSV all or none, staged in batches of 100,000", took, theirs.as_secs_f64() / took.as_secs_f64(), "");
    let few = fingerprints(1_000, 2);
    let ours = world();
    let slow = one_by_one(&ours, &few);
    let slow = few.len() as f64 / slow.as_secs_f64();
    println!("{:<58} {slow:>9.0}/s", "look-up, then insert, one by one, a commit each");
    println!("{:<58} {:>11}  {:>8.0}  {:>8}", "one change set / one by one", "", rate(together) / slow, "≥ 100");
    println!("bytes of the file for each entry: {}", size / i64::try_from(count.max(1)).unwrap());
}
