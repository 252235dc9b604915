//! The real program with master keys of ours: neither they nor the token of a key are in any byte of the database, of its
//! copies and of what is printed, but for the one answer that shows a new key to its owner.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that failed")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use perfectpay_testkit::watch::{Watch, canary};
use serde_json::Value;

#[allow(clippy::format_collect, reason = "a key in a test is short")]
fn hex(name: &str) -> String {
    canary(name).bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs it with the second master key and the first one as the former.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfectpay-admin"));
    command.arg("--json").arg("--database").arg(folder.join("accounts.db")).args(arguments).stdin(Stdio::null());
    let (current, former) =
        if arguments == ["rotate-master-key"] { ("second", Some("first")) } else { ("first", None) };
    command.env("PERFECTPAY_MASTER_KEY", hex(current)).env("PERFECTPAY_MASTER_KEY_ID", current).env("USER", "tester");
    if let Some(former) = former {
        command.env("PERFECTPAY_FORMER_MASTER_KEY", hex(former)).env("PERFECTPAY_FORMER_MASTER_KEY_ID", former);
    }
    command.output().unwrap()
}

#[test]
fn no_key_is_in_a_file_or_on_the_screen_but_for_the_answer_that_shows_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut watch = Watch::default();
    watch.add_forms();
    for name in ["first", "second"] {
        watch.add(&format!("the {name} master key"), &hex(name));
        watch.add(&format!("the {name} master key's bytes"), &canary(name));
    }
    let list = folder.join("list.csv");
    std::fs::write(&list, "type,data\ncard_bin,411111\nfingerprint,fp_of_a_card\nfingerprint,4242424242424242x\n")
        .unwrap();
    let (list, copy) = (list.to_str().unwrap(), folder.join("copy.db"));
    assert!(run(folder, &["init"]).status.success());
    assert!(run(folder, &["merchant", "create", "acme"]).status.success());
    let output = run(folder, &["key", "create", "acme", "Backend", "--expires", "never"]);
    let issued: Value = serde_json::from_slice(&output.stdout).unwrap();
    let token = issued["api_key"].as_str().unwrap();
    watch.add("token", token.split_at(12).1);
    assert!(watch.found(&output.stdout).len() > 1, "the search finds what is there");
    watch.look("standard error", output.stderr);

    for arguments in [
        &["key", "list", "acme"][..],
        &["key", "create", "acme", token, "--expires", "tomorrow"],
        &["key", "revoke", "acme", "snd_nobody"],
        &["config", "acme"],
        &["blocklist", "import", "acme", list],
        &["blocklist", "export", "acme", "-"],
        &["backup", copy.to_str().unwrap()],
        &["verify", "--seals"],
        &["log"],
        &["stats", "--payments"],
        &["rotate-master-key"],
    ] {
        let output = run(folder, arguments);
        let printed = [output.stdout, output.stderr].concat();
        assert!(!printed.is_empty(), "{arguments:?}");
        // What is wrong on a command line is quoted to whoever typed it.
        if !arguments.contains(&token) {
            watch.look(&format!("{arguments:?}"), printed);
        }
        watch.folder(folder);
    }
    assert!(watch.folder(folder) >= 3, "a database, its copy and a list");
}
