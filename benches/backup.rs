//! What commits cost while a backup is made: one thread commits without a pause, alone and beside a running backup, in
//! rounds that take turns, so that both feel the same disk.
//!
//! `cargo bench -p perfectpay-benches --bench backup` prints the figures that `benches/README.md` keeps. By its first
//! argument the store has so many megabytes (200 unless said), by its second it takes so many rounds (5).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench stops at a surprise, and prints what it measured"
)]

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use perfectpay::store::{ChangeSet, Store as _};
use perfectpay_benches::{World, world};
use perfectpay_sqlite::Step;

/// How many payments one commit of the filling has.
const FILLING: u64 = 500;

/// A commit of many new payments.
fn filling(world: &World, from: u64) -> ChangeSet {
    let mut set = world.set(from);
    for number in from + 1..from + FILLING {
        set.changes.extend(world.set(number).changes);
    }
    set
}

fn size(world: &World) -> u64 {
    fs::metadata(&world.path).unwrap().len()
}

/// Commits one by one until `enough`, and how long each took.
fn commits(world: &World, number: &mut u64, enough: impl Fn(&[Duration]) -> bool) -> Vec<Duration> {
    let mut took = Vec::new();
    while !enough(&took) {
        *number += 1;
        let set = world.set(*number);
        let started = Instant::now();
        block_on(world.store.commit(set)).unwrap();
        took.push(started.elapsed());
    }
    took
}

fn percentile(took: &[Duration], per_mille: usize) -> f64 {
    let mut took = took.to_vec();
    took.sort();
    took[(took.len() - 1) * per_mille / 1_000].as_secs_f64() * 1e3
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// What one round measured, in milliseconds and megabytes a second.
struct Round {
    alone: [f64; 3],
    beside: [f64; 3],
    copying: f64,
    whole: f64,
}

const QUANTILES: [usize; 3] = [500, 990, 1_000];

fn round(world: &World, number: &mut u64, at: u64) -> Round {
    let target = world.path.with_file_name(format!("backup-{at}.db"));
    let megabytes = size(world) as f64 / 1e6;
    let is_over = AtomicBool::new(false);
    let (beside, copying, whole) = thread::scope(|scope| {
        let backup = scope.spawn(|| {
            let started = Instant::now();
            let mut copied = None;
            let answer = world.store.backup(&target, |progress| {
                if progress.step == Step::Verifying {
                    copied.get_or_insert_with(|| started.elapsed());
                }
            });
            is_over.store(true, Ordering::Relaxed);
            answer.unwrap();
            (copied.unwrap(), started.elapsed())
        });
        let beside = commits(world, number, |_| is_over.load(Ordering::Relaxed));
        let (copied, whole) = backup.join().unwrap();
        (beside, copied, whole)
    });
    fs::remove_file(&target).unwrap();
    // What the backup left in the log is moved now, and not in the next part.
    thread::sleep(Duration::from_millis(800));
    let all: Duration = beside.iter().sum();
    let alone = commits(world, number, |took| took.iter().sum::<Duration>() >= all);
    println!("  {} commits alone, {} beside", alone.len(), beside.len());
    Round {
        alone: QUANTILES.map(|at| percentile(&alone, at)),
        beside: QUANTILES.map(|at| percentile(&beside, at)),
        copying: megabytes / copying.as_secs_f64(),
        whole: megabytes / whole.as_secs_f64(),
    }
}

fn main() {
    let argument =
        |at: usize| std::env::args().filter(|a| !a.starts_with("--")).nth(at).and_then(|a| a.parse::<u64>().ok());
    let (megabytes, rounds) = (argument(1).unwrap_or(200), argument(2).unwrap_or(5));
    let world = world();
    let mut number = 0;
    while size(&world) < megabytes * 1_000_000 {
        block_on(world.store.commit(filling(&world, number + 1))).unwrap();
        number += FILLING;
    }
    // What filled it is in the file, and not in its log.
    thread::sleep(Duration::from_secs(1));
    commits(&world, &mut number, |took| took.len() == 500);
    println!("{:.0} MB, {number} payments", size(&world) as f64 / 1e6);
    let _warm = round(&world, &mut number, 0);
    let rounds: Vec<Round> = (1..=rounds).map(|at| round(&world, &mut number, at)).collect();
    println!("\n{:<26} {:>9} {:>9} {:>9}", "medians of the rounds", "p50 ms", "p99 ms", "max ms");
    let of = |pick: &dyn Fn(&Round) -> f64| median(rounds.iter().map(pick).collect());
    for (name, pick) in [("alone", (|r: &Round| r.alone) as fn(&Round) -> [f64; 3]), ("beside a backup", |r| r.beside)]
    {
        let [p50, p99, max] = [0, 1, 2].map(|at| of(&|r| pick(r)[at]));
        println!("{name:<26} {p50:>9.3} {p99:>9.3} {max:>9.3}");
    }
    let [p50, p99, max] = [0, 1, 2].map(|at| of(&|r| r.beside[at] / r.alone[at]));
    println!("{:<26} {p50:>9.2} {p99:>9.2} {max:>9.2}", "ratio");
    println!("{:<26} {:>9.1} MB/s", "copying", of(&|r| r.copying));
    println!("{:<26} {:>9.1} MB/s", "backup, with verification", of(&|r| r.whole));
}
