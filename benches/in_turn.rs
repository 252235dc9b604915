//! Commits beside bare rusqlite, in batches that take turns: the disk has moods, and this way both feel the same one.
//!
//! `cargo bench -p perfectpay-benches --bench in_turn` prints the ratios that `benches/README.md` keeps.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a bench stops at a surprise")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use perfectpay::store::Store as _;
use perfectpay_benches::{CALLERS, callers, floor, payment, world};

/// Ratios of batches taken in turn, so that a machine that others share slows both alike: the median of the pairs.
fn paired(rounds: u32, mut floor: impl FnMut() -> Duration, mut ours: impl FnMut() -> Duration) -> f64 {
    let mut ratios: Vec<f64> = (0..rounds).map(|_| floor().as_secs_f64() / ours().as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn timed(mut run: impl FnMut()) -> Duration {
    let started = Instant::now();
    run();
    started.elapsed()
}

fn main() {
    let (ours, mut theirs) = (Arc::new(world()), floor());
    let mut number = 0;
    let one = paired(
        31,
        || timed(|| (0..100).for_each(|_| theirs.alone())),
        || {
            timed(|| {
                for _ in 0..100 {
                    number += 1;
                    block_on(ours.store.commit(ours.set(number))).unwrap();
                }
            })
        },
    );
    let handle = ours.pay.organization(&ours.organization).merchant(&ours.merchant);
    let by_handle = paired(
        31,
        || timed(|| (0..100).for_each(|_| theirs.alone())),
        || timed(|| (0..100).for_each(|_| drop(block_on(async { handle.create_payment(payment()).await }).unwrap()))),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let many = |number: &mut u64, rounds: u64| {
        let begin = *number;
        *number += rounds * CALLERS;
        callers(&runtime, &ours, begin, rounds)
    };
    let grouped = paired(31, || timed(|| (0..20).for_each(|_| theirs.grouped(CALLERS))), || many(&mut number, 20));
    let against_one_by_one =
        paired(11, || timed(|| (0..4 * CALLERS).for_each(|_| theirs.alone())), || many(&mut number, 4));
    println!("\n{:<58} {:>8}  {:>8}", "ratio of batches in turn, median", "measured", "to reach");
    println!("{:<58} {one:>8.2}  {:>8}", "one caller: store's rate / bare", "≥ 0.9");
    println!("{:<58} {by_handle:>8.2}", "one caller: handle's rate / bare");
    println!("{:<58} {grouped:>8.2}  {:>8}", "64 callers: store's rate / bare grouped", "≥ 0.8");
    println!("{:<58} {against_one_by_one:>8.2}  {:>8}", "64 callers: store's rate / bare one by one", "≥ 6");
}
