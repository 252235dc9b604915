//! A host of several threads is killed with SIGKILL at random moments; then the file must hold every command that was
//! acknowledged, and every other one wholly or not at all.
//!
//! What this shows is that no command is ever half there and that recovery works. It says nothing about a power cut: a
//! killed process loses nothing that it handed to the system, synced or not.
//!
//! `PERFECTPAY_KILLS` says how often (100 unless said otherwise), `PERFECTPAY_SEED` repeats the choices of a run.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and this one says what it did"
)]

#[path = "killed/host.rs"]
mod host;
#[path = "killed/judge.rs"]
mod judge;
#[path = "killed/report.rs"]
mod report;

use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use host::Dice;
use judge::Tally;
use report::Report;

/// How many times one file is used, killed over and checked before the next one begins.
const LIVES: u64 = 8;

/// The tests below take turns: each wants the machine for itself.
static TURN: Mutex<()> = Mutex::new(());

/// What the killed hosts must have done at least once, or the test would say less than it seems to.
const EVERYTHING: [&str; 20] = [
    "organization created",
    "organization updated",
    "organization removed",
    "merchant created",
    "merchant updated",
    "merchant removed",
    "data_key created",
    "profile created",
    "profile updated",
    "profile removed",
    "connector created",
    "connector updated",
    "connector removed",
    "api_key created",
    "api_key updated",
    "api_key revoked",
    "block_rule created",
    "block_rule removed",
    "payment created",
    "payment_link created",
];

/// Says it even where the test passes, whose own output is kept back then.
fn say(what: &str) {
    std::io::stderr().write_all(format!("{what}\n").as_bytes()).unwrap();
}

fn chosen(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn seed() -> u64 {
    chosen("PERFECTPAY_SEED").unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish() >> 16)
}

/// A host in a process of its own, and the thread that takes down what it reports.
struct Running {
    process: Child,
    ready: Receiver<()>,
    heard: JoinHandle<Vec<String>>,
}

impl Running {
    fn start(path: &Path, mode: &str, name: &str, seed: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["as_the_host_that_is_killed", "--exact"])
            .env("PERFECTPAY_TEST_FILE", path)
            .env("PERFECTPAY_TEST_MODE", mode)
            .env("PERFECTPAY_TEST_NAME", name)
            .env("PERFECTPAY_TEST_SEED", seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = BufReader::new(process.stdout.take().unwrap());
        let (tell, ready) = channel();
        let heard = thread::spawn(move || {
            let (mut lines, mut line) = (Vec::new(), String::new());
            while pipe.read_line(&mut line).unwrap() > 0 {
                // A line without its end was cut off by the kill: what it speaks of had not begun, or was not told.
                if line.ends_with('\n')
                    && let Some(at) = line.find('@')
                {
                    let told = line[at + 1..].trim_end();
                    if told == "ready" {
                        let _waited = tell.send(());
                    } else {
                        lines.push(told.to_owned());
                    }
                }
                line.clear();
            }
            lines
        });
        Self { process, ready, heard }
    }

    fn wait_until_ready(&self) {
        self.ready.recv_timeout(Duration::from_secs(60)).expect("the host did not open its file");
    }

    /// SIGKILL, and all that was told before it.
    fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        let status = self.process.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "the host ended by itself");
        self.heard.join().unwrap()
    }
}

/// Kills hosts until it was done `kills` times or the check finds something; answers what it found.
fn kill_and_check(kills: u64, mode: &str, seed: u64) -> (Tally, Vec<String>) {
    let mut dice = Dice::new(seed);
    let mut tally = Tally::default();
    while tally.kills < kills {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.db");
        let mut report = Report::default();
        let durability = ["extra", "full", "normal"][dice.below(3)];
        for life in 0..LIVES.min(kills - tally.kills) {
            let round = tally.kills;
            let processes = if dice.below(4) == 0 { 2 } else { 1 };
            let hosts: Vec<Running> = (0..processes)
                .map(|n| Running::start(&path, &format!("{mode}-{durability}"), &format!("{round}.{n}"), dice.next()))
                .collect();
            // Now and then while the file is made, opened or recovered.
            let early = dice.below(8) == 0;
            for host in hosts {
                if !early {
                    host.wait_until_ready();
                }
                thread::sleep(Duration::from_micros(dice.below(if early { 60_000 } else { 300_000 }) as u64));
                report.take_down(&host.kill());
            }
            tally.kills += 1;
            let problems = judge::check(&path, &mut report, &mut tally, &mut dice, life + 1 == LIVES);
            if !problems.is_empty() {
                return (tally, problems);
            }
        }
    }
    (tally, Vec::new())
}

#[test]
fn a_killed_host_leaves_what_it_acknowledged_and_nothing_half_done() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (seed, started) = (seed(), Instant::now());
    let (tally, problems) = kill_and_check(chosen("PERFECTPAY_KILLS").unwrap_or(100), "all", seed);
    say(&format!("{tally} in {:.0} s (PERFECTPAY_SEED={seed})", started.elapsed().as_secs_f64()));
    assert!(problems.is_empty(), "PERFECTPAY_SEED={seed}, kill {}:\n{}", tally.kills, problems.join("\n"));
    assert!(tally.acknowledged > tally.kills, "hardly anything was done: {tally}");
    if tally.kills >= 50 {
        let missing: Vec<_> = EVERYTHING.into_iter().filter(|what| !tally.done.contains(*what)).collect();
        assert!(missing.is_empty(), "never done, so nothing is known of it: {missing:?} (PERFECTPAY_SEED={seed})");
    }
}

#[test]
fn a_command_of_two_commits_is_found_half_done_within_forty_kills() {
    planted("pairs", "half done");
}

#[test]
fn an_acknowledgement_before_the_commit_is_found_within_forty_kills() {
    planted("hasty", "acknowledged without a commit");
}

/// Kills hosts with a fault until the check finds it, which it must.
fn planted(fault: &str, found: &str) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = seed();
    let (tally, problems) = kill_and_check(40, fault, seed);
    assert!(!problems.is_empty(), "the check is blind: {tally} (PERFECTPAY_SEED={seed})");
    assert!(problems.iter().all(|problem| problem.starts_with(found)), "PERFECTPAY_SEED={seed}: {problems:?}");
    say(&format!("the planted fault {fault} was found at kill {}", tally.kills));
}

/// Not a test of its own: what the tests above run in a process that they kill.
#[test]
fn as_the_host_that_is_killed() {
    let Ok(path) = std::env::var("PERFECTPAY_TEST_FILE") else { return };
    host::run(Path::new(&path));
}
