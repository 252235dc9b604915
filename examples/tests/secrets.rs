//! Every example is run as people run it, and the secrets that it has are in no byte of its databases and in nothing that
//! it prints: master keys, processors' credentials, card numbers; tokens of API keys and client secrets of payments are
//! found by their form, whosever they are.
//!
//! Databases in folders for temporary files go when an example ends. A link to each, made while it runs, keeps what it
//! had in the end.

#![allow(clippy::format_collect, reason = "a test is short-lived")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics is a test that failed")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use perfectpay_testkit::watch::{Watch, canary};

const CARDS: [&str; 3] = ["4242424242424242", "4111111111111111", "5555555555554444"];

/// Where `cargo test` puts examples: beside the folder of this test.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap().join("examples");
    let path = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "{} is not built: `cargo test -p perfectpay-examples` builds it", path.display());
    path
}

/// The examples that the manifest names.
fn examples() -> Vec<String> {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let blocks = manifest.split("[[example]]").skip(1);
    blocks.map(|block| block.split('"').nth(1).unwrap().to_owned()).collect()
}

/// Links every file of a database below `from` to `to` for as long as it is told to go on.
fn keep_databases(from: &Path, to: &Path, go_on: &AtomicBool) {
    fn visit(folder: &Path, to: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                visit(&path, to);
            } else if path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.contains(".db")) {
                let name = path.strip_prefix(folder.parent().unwrap_or(folder)).unwrap().display().to_string();
                // It may be there already, or gone.
                let _linked = fs::hard_link(&path, to.join(name.replace('/', "-")));
            }
        }
    }
    while go_on.load(Ordering::Relaxed) {
        visit(from, to);
        std::thread::sleep(Duration::from_millis(1));
    }
    visit(from, to);
}

/// Runs an example with its temporary files in a folder of ours, and answers what it printed.
fn run(name: &str, arguments: &[&OsStr], master: &str, temporary: &Path, kept: &Path) -> Output {
    let mut command = Command::new(program(name));
    command.args(arguments).env("TMPDIR", temporary).env("PERFECTPAY_MASTER_KEY", master).stdin(Stdio::null());
    command.current_dir(temporary);
    let go_on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| keep_databases(temporary, kept, &go_on));
        let output = command.output().unwrap();
        go_on.store(false, Ordering::Relaxed);
        output
    })
}

/// What is planted in an example, or written in it, and must not be seen.
fn secrets(name: &str, watch: &mut Watch) {
    // The document shows the published bodies, whose card number is one for tests, to whoever reads it.
    let cards: &[&str] = if name == "openapi" { &[] } else { &CARDS };
    for card in cards {
        watch.add_bytes("a card number", card.as_bytes());
        let groups: Vec<&str> = (0..4).map(|group| &card[group * 4..group * 4 + 4]).collect();
        watch.add_bytes("a card number in groups", groups.join(" ").as_bytes());
    }
    let credentials: &[&str] = match name {
        "quickstart" => &[
            "sk_test_...",
            "key-one-0001",
            "key-one-0002",
            "key-two-0002",
            "key-one-0003",
            "key-two-0003",
            "sign-0003",
            "key-one-0004",
            "key-two-0004",
            "sign-0004",
            "key-three-0004",
            "term-0005",
            "Y2VydGlmaWNhdGU=",
            "cHJpdmF0ZQ==",
        ],
        "embedded" => &["sk_test_123"],
        "blocklist" | "openapi" | "pages" => &[],
        other => panic!("say which secrets `{other}` has"),
    };
    for credential in credentials {
        watch.add_bytes(credential, credential.as_bytes());
    }
    // The one that is written in the example, where it does not ask for one.
    watch.add("the example's master key", &"5fa1".repeat(16));
    watch.add_bytes("the example's master key", &[0x5f, 0xa1].repeat(16));
}

#[test]
fn no_example_shows_or_stores_a_secret_in_clear() {
    let names = examples();
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        let (temporary, kept, out) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut watch = Watch::default();
        watch.add_forms();
        secrets(&name, &mut watch);
        let master: String = canary(&name).bytes().map(|byte| format!("{byte:02x}")).collect();
        watch.add("master key", &master);
        watch.add("master key's bytes", &canary(&name));
        let database = temporary.path().join("accounts.db");
        let arguments: &[&OsStr] = match name.as_str() {
            "quickstart" => &[database.as_os_str()],
            "blocklist" => &[OsStr::new("2000")],
            "pages" => &[out.path().as_os_str()],
            _ => &[],
        };
        // The second time the quickstart finds what the first one left.
        let runs = if name == "quickstart" { 2 } else { 1 };
        for _ in 0..runs {
            let output = run(&name, arguments, &master, temporary.path(), kept.path());
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {error} {}", String::from_utf8_lossy(&output.stdout));
            watch.look(&format!("what {name} prints"), &output.stdout);
            watch.look(&format!("what {name} prints to standard error"), &output.stderr);
        }
        let databases = watch.folder(kept.path());
        // One's database is in memory alone, and one has none.
        let stores = !matches!(name.as_str(), "pages" | "openapi");
        assert_eq!(databases >= 1, stores, "{name} has a database, and it was looked at");
        watch.folder(temporary.path());
        // A page has its payment's client secret, for the browser that pays with it, and nothing else that is one.
        let mut pages = Watch::default();
        secrets(&name, &mut pages);
        pages.folder(out.path());
    }
}
