//! The SQLite store beside bare rusqlite: the same rows with the same durability, in the same run.
//!
//! `cargo bench -p perfectpay-benches --bench sqlite` prints, after criterion's own figures, the ratios that
//! `benches/README.md` keeps. Reading, the floor runs the one statement that finds a profile and decodes the same JSON.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a bench stops at a surprise")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use futures_lite::future::block_on;
use perfectpay::store::{Key, MerchantPath, Store as _};
use perfectpay_benches::{CALLERS, bare, callers, floor, payment, world};
use rusqlite::params;

/// One caller, one commit after the other.
fn one_caller(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one_caller");
    group.sample_size(30).measurement_time(Duration::from_secs(8)).throughput(Throughput::Elements(1));
    let (ours, mut theirs) = (world(), floor());
    let mut number = 0;
    group.bench_function("store", |b| {
        b.iter(|| {
            number += 1;
            block_on(ours.store.commit(ours.set(number))).unwrap()
        });
    });
    group.bench_function("bare", |b| b.iter(|| theirs.alone()));
    let handle = ours.pay.organization(&ours.organization).merchant(&ours.merchant);
    group.bench_function("handle", |b| b.iter(|| block_on(async { handle.create_payment(payment()).await }).unwrap()));
    group.finish();
}

/// Many callers at once; a round is one commit of each.
fn many_callers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("many_callers");
    group.sample_size(20).measurement_time(Duration::from_secs(8)).throughput(Throughput::Elements(CALLERS));
    let ours = Arc::new(world());
    let mut theirs = floor();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut number = 0;
    group.bench_function("store", |b| {
        b.iter_custom(|rounds| {
            let begin = number;
            number += rounds * CALLERS;
            callers(&runtime, &ours, begin, rounds)
        });
    });
    group.bench_function("bare", |b| b.iter(|| theirs.grouped(CALLERS)));
    group.bench_function("bare_one_by_one", |b| b.iter(|| (0..CALLERS).for_each(|_| theirs.alone())));
    group.finish();
}

/// One profile, read again and again.
fn point_read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("point_read");
    group.sample_size(50).measurement_time(Duration::from_secs(5));
    let ours = world();
    let profile = ours.pay.organization(&ours.organization).merchant(&ours.merchant).profile(&ours.profile);
    group.bench_function("handle", |b| b.iter(|| block_on(profile.retrieve()).unwrap()));
    let key =
        Key::Profile(MerchantPath::Within(ours.organization.clone(), ours.merchant.clone()), ours.profile.clone());
    group.bench_function("store", |b| b.iter(|| block_on(ours.store.get(&key)).unwrap().unwrap()));
    let conn = bare(&ours.path);
    let (tenant, id) = (*ours.tenant.as_bytes(), ours.profile.to_string());
    group.bench_function("bare", |b| {
        b.iter(|| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT version, created_at, modified_at, body FROM pp_profile WHERE merchant = ?1 AND id = ?2",
                )
                .unwrap();
            statement
                .query_row(params![tenant, id], |row| {
                    let head: (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    let body = row.get_ref(3)?.as_str()?;
                    Ok((head, serde_json::from_str::<perfectpay::profile::ProfileState>(body).unwrap()))
                })
                .unwrap()
        });
    });
    group.finish();
}

/// The median of a bench of this run, in nanoseconds.
fn median(group: &str, bench: &str) -> Option<f64> {
    let home = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), std::path::PathBuf::from);
    let path = home.join("criterion").join(group).join(bench).join("new/estimates.json");
    let text = std::fs::read_to_string(path).ok()?;
    serde_json::from_str::<serde_json::Value>(&text).ok()?["median"]["point_estimate"].as_f64()
}

fn ratios() {
    println!("\n{:<58} {:>8}  {:>8}", "ratio of medians", "measured", "to reach");
    for (what, (above, below), goal) in [
        ("one caller: store's rate / bare", (("one_caller", "bare"), ("one_caller", "store")), "≥ 0.9"),
        ("one caller: handle's rate / bare", (("one_caller", "bare"), ("one_caller", "handle")), ""),
        ("64 callers: store's rate / bare grouped", (("many_callers", "bare"), ("many_callers", "store")), "≥ 0.8"),
        (
            "64 callers: store's rate / bare one by one",
            (("many_callers", "bare_one_by_one"), ("many_callers", "store")),
            "≥ 6",
        ),
        ("point read: handle's time / bare", (("point_read", "handle"), ("point_read", "bare")), "≤ 2"),
        ("point read: store's time / bare", (("point_read", "store"), ("point_read", "bare")), ""),
    ] {
        if let (Some(above), Some(below)) = (median(above.0, above.1), median(below.0, below.1)) {
            println!("{what:<58} {:>8.2}  {goal:>8}", above / below);
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    one_caller(&mut criterion);
    many_callers(&mut criterion);
    point_read(&mut criterion);
    criterion.final_summary();
    ratios();
}
