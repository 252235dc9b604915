//! The real program on a database of its own: what it answers as JSON, its exit codes, a kill in the middle, and what a
//! later start finds.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

const KEY: &str = "3f1c9a52e07b4d68b1a6c2d95e8f0743912fbd6ac8e4703551d7ab2e6c90f418";
const NEXT_KEY: &str = "91d0f2a86b5c43e7a1f90c3d7e28b4564fa1d39c02e85b77c6d410f9ab3e6258";

/// A folder with a database in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        assert_eq!(place.answer(&["init"])["database"], place.path("accounts.db").to_str().unwrap());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfectpay-admin"));
        if !arguments.contains(&"--database") {
            command.arg("--database").arg(self.path("accounts.db"));
        }
        command.args(arguments).stdin(Stdio::null());
        for variable in ["PERFECTPAY_MASTER_KEY_ID", "PERFECTPAY_FORMER_MASTER_KEY", "PERFECTPAY_FORMER_MASTER_KEY_ID"]
        {
            command.env_remove(variable);
        }
        command.env("PERFECTPAY_MASTER_KEY", KEY).env("USER", "tester");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The answer of a command that must succeed.
    fn answer(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["--json"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The exit code of a command that must fail, and the code of its error.
    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        told(&self.run(&[&["--json"], arguments].concat()))
    }

    /// An account with a key; the answers to their creation.
    fn account(&self, id: &str) -> (Value, Value) {
        let organization = self.answer(&["organization", "create", "Acme Group"]);
        let organization = organization[0]["organization_id"].as_str().unwrap().to_owned();
        let merchant = self.answer(&["merchant", "create", id, "--organization", &organization, "--name", "Acme US"]);
        let key = self.answer(&["key", "create", id, "Backend", "--expires", "never"]);
        (merchant[0].clone(), key)
    }
}

fn told(output: &Output) -> (i32, String) {
    let error: Value = serde_json::from_slice(&output.stderr)
        .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), error["error"]["code"].as_str().unwrap().to_owned())
}

/// A list of fingerprints, as the CSV that is imported.
fn list(rows: u32) -> String {
    let mut text = "type,data,reason\n".to_owned();
    for row in 0..rows {
        writeln!(text, "fingerprint,fp_of_a_card_{row:07},stolen").unwrap();
    }
    text
}

#[test]
fn accounts_and_keys_are_made_listed_and_found_again_by_a_later_start() {
    let place = Place::new();
    let (merchant, key) = place.account("acme_us");
    assert_eq!((&merchant["merchant_id"], &merchant["merchant_name"]), (&json!("acme_us"), &json!("Acme US")));
    assert!(key["api_key"].as_str().unwrap().starts_with("snd_"));

    let organizations = place.answer(&["organization", "list"]);
    assert_eq!(organizations[0]["organization_name"], "Acme Group");
    let organization = organizations[0]["organization_id"].as_str().unwrap();
    assert_eq!(place.answer(&["merchant", "list", "--organization", organization]), json!([merchant]));
    let alone = place.answer(&["merchant", "create", "solo"]);
    assert_ne!(alone[0]["organization_id"], organization, "it has an organization of its own");

    let id = key["key_id"].as_str().unwrap();
    let revoked = place.answer(&["key", "revoke", "acme_us", id]);
    assert_eq!(revoked, json!({ "merchant_id": "acme_us", "key_id": id, "revoked": true }));
    let keys = place.answer(&["key", "list", "acme_us"]);
    assert_eq!((keys.as_array().unwrap().len(), &keys[0]["key_id"]), (1, &json!(id)));
    assert!(keys[0].get("api_key").is_none() && !keys[0]["revoked"].is_null(), "{keys}");

    let table = String::from_utf8(place.run(&["key", "list", "acme_us"]).stdout).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("KEY") && lines[1].starts_with(id), "{table}");
    let stats = place.answer(&["stats", "--payments"]);
    let counts = ["organizations", "merchants", "profiles", "connectors", "api_keys", "living_api_keys", "payments"];
    assert_eq!(counts.map(|count| stats[count].as_u64().unwrap()), [2, 2, 2, 0, 1, 0, 0]);
}

#[test]
fn every_exit_code_says_what_was_wrong() {
    let place = Place::new();
    let (_, key) = place.account("acme_us");
    let key = key["key_id"].as_str().unwrap();
    let is = |told: (i32, String), exit: i32, code: &str| assert_eq!(told, (exit, code.to_owned()));

    // 1: files.
    is(place.refused(&["blocklist", "import", "acme_us", "/nowhere/list.csv"]), 1, "file");
    is(place.refused(&["blocklist", "export", "acme_us", "/nowhere/list.csv"]), 1, "file");
    // 2: the command line.
    for wrong in [&["key", "make"][..], &["merchant", "create", "not an id"], &["log", "--limit", "many"], &[]] {
        assert_eq!(place.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(place.run(&["key", "create", "acme_us", "K", "--expires", "tomorrow"]).status.code(), Some(2));
    // 3: absent.
    is(place.refused(&["key", "list", "nobody"]), 3, "not_found");
    is(place.refused(&["blocklist", "import", "nobody", "-"]), 3, "not_found");
    let elsewhere = place.path("other.db");
    is(place.refused(&["--database", elsewhere.to_str().unwrap(), "stats"]), 3, "no_database");
    assert!(!elsewhere.exists(), "a mistyped path makes no database");
    // 4: conflicts.
    is(place.refused(&["merchant", "create", "acme_us"]), 4, "already_exists");
    is(place.refused(&["init"]), 4, "exists");
    place.answer(&["key", "revoke", "acme_us", key]);
    is(place.refused(&["key", "revoke", "acme_us", key]), 4, "api_key.revoked");
    // 5: values.
    let taken = place.write("taken.db", "");
    is(place.refused(&["backup", &taken]), 5, "backup.target_exists");
    let headless = place.write("headless.csv", "fingerprint,x\n");
    is(place.refused(&["blocklist", "import", "acme_us", &headless]), 5, "import.header");
    // 6: the database cannot be used.
    let by = |name: &str, value: &str| told(&place.command(&["--json", "stats"]).env(name, value).output().unwrap());
    is(by("PERFECTPAY_MASTER_KEY", ""), 6, "no_master_key");
    is(by("PERFECTPAY_MASTER_KEY", "short"), 6, "master_key.malformed");
    is(by("PERFECTPAY_MASTER_KEY", NEXT_KEY), 6, "corrupt");
    // 7: damage. Somebody took a key out of the file that the log says is there.
    place.answer(&["backup", place.path("copy.db").to_str().unwrap()]);
    let copy = perfectpay_sqlite::rusqlite::Connection::open(place.path("copy.db")).unwrap();
    assert_eq!(copy.execute("DELETE FROM pp_api_key", []).unwrap(), 1);
    copy.close().unwrap();
    let output = place.run(&["--json", "--database", place.path("copy.db").to_str().unwrap(), "verify"]);
    is(told(&output), 7, "faults");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["healthy"] == false && !report["faults"].as_array().unwrap().is_empty(), "{report}");
    // 8: in part.
    let mixed = place.write("mixed.csv", "type,data\ncard_bin,411111\ncard_bin,4111\n");
    is(place.refused(&["blocklist", "import", "acme_us", &mixed]), 8, "invalid_rows");
    let stats = place.answer(&["stats"]);
    assert_eq!(stats["blocklist_entries"], 1, "what was right is there");
    assert_eq!(place.answer(&["verify"])["healthy"], true, "nothing of it left a fault");
}

#[test]
fn a_list_goes_in_and_comes_out_the_same() {
    let place = Place::new();
    place.account("acme_us");
    let file = place.write("list.csv", &list(5_000));
    let tried = place.answer(&["blocklist", "import", "acme_us", &file, "--dry-run"]);
    assert_eq!(tried, json!({ "inserted": 5_000, "duplicates": 0, "invalid": 0, "withheld": 0 }));
    assert_eq!(place.answer(&["stats"])["blocklist_entries"], 0, "a dry run writes nothing");
    assert_eq!(place.answer(&["blocklist", "import", "acme_us", &file])["inserted"], 5_000);
    let again = place.answer(&["blocklist", "import", "acme_us", &file, "--all-or-nothing"]);
    assert_eq!((&again["inserted"], &again["duplicates"]), (&json!(0), &json!(5_000)));

    let out = place.path("out.csv");
    let out = out.to_str().unwrap();
    assert_eq!(place.answer(&["blocklist", "export", "acme_us", out])["entries"], 5_000);
    assert_eq!(place.refused(&["blocklist", "export", "acme_us", out]).0, 1, "nothing is ever replaced");
    place.answer(&["merchant", "create", "other"]);
    assert_eq!(place.answer(&["blocklist", "import", "other", out])["inserted"], 5_000);
    let streams = ["acme_us", "other"].map(|account| place.run(&["blocklist", "export", account, "-"]).stdout);
    // The source of an entry is the file that it was imported from.
    let texts = streams.map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(texts[0].lines().count(), 5_001);
    assert_eq!(texts[0], texts[1].replace("out.csv", "list.csv"));
}

#[test]
fn an_import_that_was_killed_is_gone_on_with_by_repeating_it() {
    let place = Place::new();
    place.account("acme_us");
    let file = place.write("list.csv", &list(40_000));
    let import = ["blocklist", "import", "acme_us", &file, "--batch", "2000"];
    let mut import = place.command(&import).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Killed as soon as a part of it is there.
    let mut before = 0;
    while before == 0 && import.try_wait().unwrap().is_none() {
        before = place.answer(&["stats"])["blocklist_entries"].as_u64().unwrap();
    }
    import.kill().unwrap();
    import.wait().unwrap();
    assert_eq!(place.answer(&["verify"])["healthy"], true, "a kill leaves whole commits");
    let there = place.answer(&["stats"])["blocklist_entries"].as_u64().unwrap();
    assert!(there >= before && there.is_multiple_of(2_000), "{there} are not whole batches");
    let report = place.answer(&["blocklist", "import", "acme_us", &file]);
    assert_eq!((&report["inserted"], &report["duplicates"]), (&json!(40_000 - there), &json!(there)));
    assert_eq!(place.answer(&["stats"])["blocklist_entries"], 40_000);
}

#[test]
fn a_backup_is_a_database_with_everything_in_it() {
    let place = Place::new();
    place.account("acme_us");
    let copy = place.path("copy.db");
    let copy = copy.to_str().unwrap();
    assert_eq!(place.answer(&["backup", copy])["backup"], copy);
    place.answer(&["merchant", "create", "later"]);
    let merchants = |database: &str| place.answer(&["--database", database, "stats"])["merchants"].clone();
    assert_eq!((merchants(copy), place.answer(&["stats"])["merchants"].clone()), (json!(1), json!(2)));
    let output = place.run(&["--database", copy, "verify", "--seals"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn another_master_key_takes_over() {
    let place = Place::new();
    let (_, key) = place.account("acme_us");
    let key_id = key["key_id"].as_str().unwrap();
    let with = |arguments: &[&str], keys: &[(&str, &str)]| {
        let mut command = place.command(arguments);
        command.env_remove("PERFECTPAY_MASTER_KEY").envs(keys.iter().copied());
        command.output().unwrap()
    };
    let next = [("PERFECTPAY_MASTER_KEY", NEXT_KEY), ("PERFECTPAY_MASTER_KEY_ID", "next")];
    let both =
        [&next[..], &[("PERFECTPAY_FORMER_MASTER_KEY", KEY), ("PERFECTPAY_FORMER_MASTER_KEY_ID", "environment")]]
            .concat();

    assert_eq!(told(&with(&["--json", "rotate-master-key"], &next)), (6, "no_master_key".to_owned()));
    let output = with(&["--json", "rotate-master-key"], &both);
    // The account's API key would die with the former master key: nobody has used it since.
    assert_eq!(output.status.code(), Some(8), "{}", String::from_utf8_lossy(&output.stderr));
    let left = |output: &std::process::Output, wrapped: u64, api_keys: u64| {
        let rotated: Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = json!({
            "wrapped": wrapped, "unreadable": 0, "data_keys_left": 0, "api_keys_left": api_keys, "former": "environment",
        });
        assert_eq!(rotated, expected);
    };
    // An organization's and a merchant account's.
    left(&output, 2, 1);
    let revoked = with(&["key", "revoke", "acme_us", key_id], &both);
    assert_eq!(revoked.status.code(), Some(0), "{}", String::from_utf8_lossy(&revoked.stderr));
    let output = with(&["--json", "rotate-master-key"], &both);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    left(&output, 0, 0);
    assert_eq!(with(&["verify", "--seals"], &next).status.code(), Some(0), "the new key alone opens everything");
    assert_eq!(told(&place.run(&["--json", "stats"])).0, 6, "the former one alone opens nothing");
}

#[test]
fn the_configuration_says_which_level_each_value_comes_from() {
    let place = Place::new();
    let (merchant, _) = place.account("acme_us");
    let rows = place.answer(&["config", "acme_us"]);
    let of = |field: &str| -> (Value, Value) {
        let row = rows.as_array().unwrap().iter().find(|row| row["field"] == field);
        let row = row.unwrap_or_else(|| panic!("{field} is not there"));
        (row["value"].clone(), row["level"].clone())
    };
    assert_eq!(of("session_expiry"), (json!(900), json!("built_in")));
    assert_eq!(of("enable_payment_response_hash"), (json!(true), json!("account")));
    assert_eq!(of("payment_link_config.theme").1, json!("built_in"));
    assert_eq!(of("payment_link_config.seller_name"), (json!("Acme US"), json!("built_in")));
    assert!(rows.as_array().unwrap().iter().all(|row| row["field"] != "merchant_id"));
    let named = merchant["default_profile"].as_str().unwrap();
    assert_eq!(place.answer(&["config", "acme_us", named]), rows);
    assert_eq!(place.refused(&["config", "acme_us", "pro_none"]), (3, "not_found".to_owned()));
    let before = place.answer(&["stats"])["log"].clone();
    place.answer(&["config", "acme_us"]);
    assert_eq!(place.answer(&["stats"])["log"], before, "looking writes nothing");
}

/// A program that is ended with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn the_log_is_told_once_and_as_it_grows() {
    let place = Place::new();
    place.account("acme_us");
    let lines = |arguments: &[&str]| -> Vec<Value> {
        let output = place.run(&[&["--json", "log"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = lines(&[]);
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|entry| entry["actor"] == "operator:admin tester"), "{all:?}");
    assert_eq!(lines(&["--limit", "2"]), all[..2]);
    let first = all[0]["position"].to_string();
    assert_eq!(lines(&["--after", &first]), all[1..]);
    assert_eq!(lines(&["--merchant", "acme_us"]), all[1..]);

    let last = all[2]["position"].to_string();
    let mut follow = place.command(&["--json", "log", "--follow", "--after", &last]);
    let mut follow = Running(follow.stdout(Stdio::piped()).spawn().unwrap());
    let mut told = BufReader::new(follow.0.stdout.take().unwrap()).lines();
    place.answer(&["key", "create", "acme_us", "Another", "--expires", "never"]);
    let entry: Value = serde_json::from_str(&told.next().unwrap().unwrap()).unwrap();
    assert_eq!((&entry["changes"][0]["kind"], &entry["changes"][0]["verb"]), (&json!("api_key"), &json!("created")));
}

#[test]
fn the_help_teaches() {
    let place = Place::new();
    let help = String::from_utf8(place.run(&["--help"]).stdout).unwrap();
    for taught in ["Exit codes:", "Examples:", "PERFECTPAY_MASTER_KEY", "rotate-master-key", "--json"] {
        assert!(help.contains(taught), "{taught} is not in {help}");
    }
}
