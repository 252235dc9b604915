//! Blocklists through their handles: scopes, precedence, secrets that rotate, purges, imports and exports.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test that panics is a test that failed, and a story is as long as it is"
)]

mod support;

use std::io::{self, Read};

use futures_lite::future::block_on;
use perfectpay::blocklist::{Candidate, Rank, decide};
use perfectpay::store::{LogPosition, Verb};
use perfectpay::{
    BlockAction, BlockKind, BlockReason, BlockRequest, BlockRuleId, BlockScope, BlocklistScope, CardFacts, CardInfo,
    CardType, CardVerdict, EntityKind, Error, ErrorKind, ImportCause, ImportError, ImportEvent, ImportMode,
    ImportOptions, ImportReport, MerchantScope, Outranked, PageRequest, RowOutcome, Timestamp,
};
use perfectpay_testkit::host::{self, Tenant};
use proptest::prelude::*;
use support::{World, on_every_backend, read, snapshot, told};

const CARD: &str = "4242 4242 4242 4242";

fn request(json: &str) -> BlockRequest {
    read(json).unwrap()
}

fn bin(kind: &str, data: &str) -> BlockRequest {
    request(&host::block_body(kind, data))
}

fn allowing(kind: &str, data: &str) -> BlockRequest {
    BlockRequest { action: Some(BlockAction::Allow), ..bin(kind, data) }
}

fn all() -> PageRequest {
    PageRequest::of(100).unwrap()
}

async fn tenant(world: &World) -> (Tenant, MerchantScope) {
    let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
    let scope = tenant.scope(&world.pay);
    (tenant, scope)
}

async fn exported(blocklist: &BlocklistScope) -> String {
    let mut file = Vec::new();
    blocklist.export_csv(&mut file, |_| {}).await.unwrap();
    String::from_utf8(file).unwrap()
}

/// What came of an import: its end, and of every row its line and what came of it.
type Imported = (Result<ImportReport, ImportError>, Vec<(u64, String)>);

async fn import(blocklist: &BlocklistScope, file: impl Read + Send, options: ImportOptions) -> Imported {
    let mut rows = Vec::new();
    let done = blocklist.import_csv(file, options, |event| {
        if let ImportEvent::Row { line, outcome } = event {
            let outcome = match outcome {
                RowOutcome::Invalid(fault) => format!("{} {}", fault.path(), fault.code()),
                other => format!("{other:?}").to_lowercase(),
            };
            rows.push((line, outcome));
        }
    });
    (done.await, rows)
}

fn lines(rows: &[(u64, String)]) -> Vec<(u64, &str)> {
    rows.iter().map(|(line, outcome)| (*line, outcome.as_str())).collect()
}

fn stopped(done: Result<ImportReport, ImportError>) -> (u64, String, ImportReport) {
    let ImportError { cause, report } = done.unwrap_err();
    match cause {
        ImportCause::File { line, fault } => (line, fault.code().to_owned(), report),
        ImportCause::Read(error) => (0, error.to_string(), report),
        ImportCause::Store(error) => (0, error.code().to_owned(), report),
    }
}

#[test]
fn the_narrowest_entry_of_profile_account_and_organization_decides() {
    on_every_backend(async |world| {
        let (tenant, scope) = tenant(world).await;
        let profile = tenant.profile_scope(&world.pay);
        let other = scope.create_profile(read(r#"{"profile_name": "other"}"#).unwrap()).await.unwrap();
        let other = scope.profile(&other.profile_id);
        let organization = tenant.organization_scope(&world.pay);
        let card = CARD.parse().unwrap();
        scope.blocklist().toggle(Some(true)).await.unwrap();
        let told = async |blocklist: BlocklistScope| {
            let screening = blocklist.screen(&card).await.unwrap();
            let explained = blocklist.explain(&card).await.unwrap();
            assert_eq!(explained.is_blocked(), screening.is_blocked(), "{}", world.name);
            let first = explained.rules.first().map(|first| first.rule.id.to_string());
            let matched = screening.matched.as_ref().map(ToString::to_string);
            assert_eq!(matched, first, "{}", world.name);
            match screening.verdict() {
                CardVerdict::Allowed => matched.map(|id| format!("allowed by {id}")),
                CardVerdict::Blocked { entry } => Some(format!("blocked by {entry}")),
            }
        };
        assert_eq!(told(scope.blocklist()).await, None);
        organization.blocklist().add(bin("card_bin", "424242")).await.unwrap();
        assert_eq!(told(scope.blocklist()).await.unwrap(), "blocked by card_bin@*:424242");
        scope.blocklist().add(allowing("card_range", "424242-424242")).await.unwrap();
        assert_eq!(told(scope.blocklist()).await.unwrap(), "allowed by card_range:424242-424242");
        profile.blocklist().add(bin("card_prefix", "424242")).await.unwrap();
        let own = format!("blocked by card_prefix@{}:424242", tenant.profile.profile_id);
        assert_eq!(told(profile.blocklist()).await.unwrap(), own);
        assert_eq!(told(other.blocklist()).await.unwrap(), "allowed by card_range:424242-424242");
        assert_eq!(told(scope.blocklist()).await.unwrap(), "allowed by card_range:424242-424242");
        organization.blocklist().add(allowing("card_prefix", "4242424")).await.unwrap();
        assert_eq!(told(profile.blocklist()).await.unwrap(), "allowed by card_prefix@*:4242424");
        let fingerprint = scope.blocklist().screen(&card).await.unwrap().fingerprint.unwrap().to_string();
        scope.blocklist().add(bin("fingerprint", &fingerprint)).await.unwrap();
        assert_eq!(told(profile.blocklist()).await.unwrap(), format!("blocked by fingerprint:{fingerprint}"));
        let explained = profile.blocklist().explain(&card).await.unwrap();
        let why: Vec<Option<Outranked>> = explained.rules.iter().map(|rule| rule.outranked).collect();
        assert_eq!(
            why,
            [
                None,
                Some(Outranked::CoversMore),
                Some(Outranked::CoversMore),
                Some(Outranked::CoversMore),
                Some(Outranked::CoversMore)
            ]
        );
        let scopes: Vec<&BlockScope> = explained.rules.iter().map(|rule| &rule.rule.id.scope).collect();
        let (merchant, above) = (BlockScope::Merchant, BlockScope::Organization);
        assert_eq!(
            scopes,
            [&merchant, &above, &BlockScope::Profile(tenant.profile.profile_id.clone()), &merchant, &above]
        );
        // The sister account has only what is the organization's.
        let sister = host::merchant_in(&world.pay, &tenant.organization, "sister").await.unwrap().scope(&world.pay);
        let matched = sister.blocklist().screen(&card).await.unwrap().matched.unwrap();
        assert_eq!(matched.to_string(), "card_prefix@*:4242424");
        let facts = CardFacts::new("424242", [&fingerprint]).unwrap();
        let matched = profile.blocklist().screen_facts(&facts).await.unwrap().matched.unwrap();
        assert_eq!(matched.to_string(), format!("fingerprint:{fingerprint}"));
    });
}

#[test]
fn an_entry_is_unique_in_its_scope_and_removed_by_kind_and_value() {
    on_every_backend(async |world| {
        let (tenant, scope) = tenant(world).await;
        let profile = tenant.profile_scope(&world.pay).blocklist();
        let organization = tenant.organization_scope(&world.pay).blocklist();
        let merchant = scope.blocklist();
        for kind in ["card_bin", "card_prefix"] {
            merchant.add(bin(kind, "424242")).await.unwrap();
            profile.add(bin(kind, "424242")).await.unwrap();
            organization.add(bin(kind, "424242")).await.unwrap();
            let before = snapshot(&world.pay).await;
            for again in [
                merchant.add(bin(kind, "424242")).await,
                profile.add(allowing(kind, "424242")).await,
                organization.add(bin(kind, "424242")).await,
            ] {
                assert_eq!(again.unwrap_err().code(), "already_exists", "{}", world.name);
            }
            assert_eq!(snapshot(&world.pay).await, before);
        }
        assert_eq!(merchant.entries(None, all()).await.unwrap().total_count, 4);
        assert_eq!(profile.entries(None, all()).await.unwrap().count, 2);
        assert_eq!(organization.entries(None, all()).await.unwrap().total_count, 2);
        assert_eq!(organization.entries(Some(BlockKind::CardBin), all()).await.unwrap().total_count, 1);
        profile.remove(bin("card_bin", "424242")).await.unwrap();
        assert_eq!(profile.rule(BlockKind::CardBin, "424242").await.unwrap_err().code(), "not_found");
        assert_eq!(profile.remove(bin("card_bin", "424242")).await.unwrap_err().code(), "not_found");
        merchant.rule(BlockKind::CardBin, "424242").await.unwrap();
        organization.remove(bin("card_bin", "424242")).await.unwrap();
        assert_eq!(organization.entries(None, all()).await.unwrap().total_count, 1);
        assert_eq!(merchant.entries(None, all()).await.unwrap().total_count, 3);
        let error = organization.add(bin("fingerprint", "tok_5fa1")).await.unwrap_err();
        assert_eq!(told(&error), ("blocklist.not_for_organization".into(), "type".into()));
    });
}

#[test]
fn an_entry_keeps_all_that_it_was_added_with() {
    on_every_backend(async |world| {
        let (_, scope) = tenant(world).await;
        let operator = world.pay.acting_as("operator:ada".parse().unwrap());
        let scope = operator.merchant(&scope.retrieve().await.unwrap().merchant_id);
        let body = r#"{"type": "card_range", "data": "411111-411299", "action": "allow",
            "expires_at": "2030-01-01T00:00:00Z", "reason": "a partner", "source": "ticket 7", "metadata": {"k": 1}}"#;
        let entry = scope.blocklist().add(request(body)).await.unwrap();
        assert_eq!((entry.fingerprint_id.as_str(), entry.data_kind.as_str()), ("411111-411299", "card_range"));
        let rule = scope.blocklist().rule(BlockKind::CardRange, "411111-411299").await.unwrap();
        assert_eq!(
            (rule.action, rule.expires_at.unwrap().to_string().as_str()),
            (BlockAction::Allow, "2030-01-01T00:00:00.000Z")
        );
        assert_eq!((rule.reason.as_deref(), rule.source.as_deref()), (Some("a partner"), Some("ticket 7")));
        assert_eq!(rule.author.to_string(), "operator:ada");
        assert_eq!(serde_json::to_string(&rule.metadata).unwrap(), r#"{"k":1}"#);
        assert_eq!(scope.blocklist().rules(None, all()).await.unwrap().items, [rule]);
    });
}

#[test]
fn an_entry_stops_matching_at_its_instant_and_is_purged_on_request_only() {
    on_every_backend(async |world| {
        let (tenant, scope) = tenant(world).await;
        let blocklist = scope.blocklist();
        let profile = tenant.profile_scope(&world.pay).blocklist();
        let moment = |millis: i64| Timestamp::from_unix_millis(millis).unwrap();
        let until =
            |kind: &str, data: &str, millis: i64| BlockRequest { expires_at: Some(moment(millis)), ..bin(kind, data) };
        let end = moment(4_000_000_000_000);
        blocklist.add(until("card_bin", "424242", end.unix_millis())).await.unwrap();
        profile.add(until("card_bin", "424242", end.unix_millis() - 1)).await.unwrap();
        for (number, millis) in [(1, -2), (2, -1), (3, 1)] {
            let data = format!("42424{number}");
            blocklist.add(until("card_prefix", &data, end.unix_millis() + millis)).await.unwrap();
        }
        blocklist.add(bin("card_bin", "411111")).await.unwrap();
        let card = CARD.parse().unwrap();
        world.clock.set(moment(end.unix_millis() - 1));
        assert!(blocklist.screen(&card).await.unwrap().matched.is_some(), "{}", world.name);
        world.clock.set(end);
        assert!(blocklist.screen(&card).await.unwrap().matched.is_none(), "{}", world.name);
        assert_eq!(blocklist.entries(None, all()).await.unwrap().total_count, 6, "{}", world.name);
        assert_eq!(blocklist.purge_expired(3).await.unwrap(), 3);
        // Those went first that expired first.
        assert_eq!(blocklist.rule(BlockKind::CardBin, "424242").await.unwrap().expires_at, Some(end));
        let entry = scope.log(LogPosition::START, 1_000).await.unwrap().pop().unwrap();
        let [line] = entry.changes.as_slice() else { panic!("{entry:?}") };
        assert_eq!(
            (line.kind, line.id.as_str(), line.verb, line.version, line.count),
            (EntityKind::BlockRule, "*", Verb::Removed, 0, 3)
        );
        assert_eq!(blocklist.purge_expired(3).await.unwrap(), 1);
        let head = world.pay.log_head().await.unwrap();
        assert_eq!(blocklist.purge_expired(3).await.unwrap(), 0);
        assert_eq!(world.pay.log_head().await.unwrap(), head, "nothing to purge is nothing to log");
        let left = blocklist.entries(None, all()).await.unwrap();
        assert_eq!((left.total_count, left.data.len()), (2, 2), "{}", world.name);
    });
}

#[test]
fn entries_made_under_earlier_secrets_go_on_matching_until_none_is_left() {
    on_every_backend(async |world| {
        let (_, scope) = tenant(world).await;
        let blocklist = scope.blocklist();
        let card = CARD.parse().unwrap();
        let print = async || blocklist.screen(&card).await.unwrap().fingerprint.unwrap().to_string();
        let versions = async || {
            let versions = blocklist.fingerprint_versions().await.unwrap();
            versions.iter().map(|v| (v.version, v.entries, v.is_live, v.is_current)).collect::<Vec<_>>()
        };
        let first = print().await;
        blocklist.add(bin("fingerprint", &first)).await.unwrap();
        blocklist.add(bin("fingerprint", "tok_foreign")).await.unwrap();
        assert_eq!(versions().await, [(1, 1, true, true)]);
        assert_eq!(blocklist.rotate_fingerprint_secret().await.unwrap(), 2);
        let second = print().await;
        assert!(second.starts_with("fp2_") && second[4..] != first[4..]);
        assert_eq!(blocklist.screen(&card).await.unwrap().matched.unwrap().to_string(), format!("fingerprint:{first}"));
        assert_eq!(versions().await, [(1, 1, true, false), (2, 0, true, true)]);
        let before = snapshot(&world.pay).await;
        for (version, code) in
            [(1, "fingerprint_secret.in_use"), (2, "fingerprint_secret.current"), (3, "fingerprint_secret.unknown")]
        {
            let error = blocklist.drop_fingerprint_version(version).await.unwrap_err();
            assert_eq!(error.code(), code, "{}", world.name);
        }
        assert_eq!(snapshot(&world.pay).await, before, "{}", world.name);
        blocklist.add(bin("fingerprint", &second)).await.unwrap();
        blocklist.remove(bin("fingerprint", &first)).await.unwrap();
        blocklist.drop_fingerprint_version(1).await.unwrap();
        assert_eq!(versions().await, [(2, 1, true, true)]);
        assert_eq!(
            blocklist.screen(&card).await.unwrap().matched.unwrap().to_string(),
            format!("fingerprint:{second}")
        );
        // A number is not used again, and versions have an end.
        for version in 3..=9 {
            assert_eq!(blocklist.rotate_fingerprint_secret().await.unwrap(), version);
        }
        let error = blocklist.rotate_fingerprint_secret().await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "fingerprint_secret.too_many"));
    });
}

#[test]
fn a_profile_that_goes_takes_its_entries_along_and_an_organization_is_held_by_its_own() {
    on_every_backend(async |world| {
        let (tenant, scope) = tenant(world).await;
        let new = scope.create_profile(read(r#"{"profile_name": "other"}"#).unwrap()).await.unwrap();
        let other = scope.profile(&new.profile_id);
        other.blocklist().add(bin("card_bin", "424242")).await.unwrap();
        other.blocklist().add(bin("fingerprint", "tok_5fa1")).await.unwrap();
        scope.blocklist().add(bin("card_bin", "424242")).await.unwrap();
        let text = other.remove().await.unwrap_err().to_string();
        assert!(text.ends_with("still has 2 × blocklist entry"), "{text}");
        assert_eq!(other.removal_impact().await.unwrap().takes_along[0].count, 2);
        other.remove().cascade().await.unwrap();
        let left = scope.blocklist().entries(None, all()).await.unwrap();
        assert_eq!((left.total_count, left.data.len()), (1, 1), "{}", world.name);
        assert_eq!(other.blocklist().add(bin("card_bin", "424242")).await.unwrap_err().kind(), ErrorKind::NotFound);
        let organization = tenant.organization_scope(&world.pay);
        organization.blocklist().add(bin("card_bin", "424242")).await.unwrap();
        let text = organization.remove().await.unwrap_err().to_string();
        assert!(text.contains("1 × blocklist entry"), "{text}");
        organization.remove().cascade().await.unwrap();
        let gone = organization.blocklist().entries(None, all()).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_row_is_inserted_or_a_duplicate_or_says_why_it_is_neither() {
    on_every_backend(async |world| {
        let (tenant, scope) = tenant(world).await;
        let blocklist = scope.blocklist();
        let profile = &tenant.profile.profile_id;
        let file = format!(
            "data,type,scope,profile_id,action,expires_at,reason,metadata\r\n\
             411111,card_bin,,,,,,\r\n\
             411111,card_bin,merchant,,allow,,,\r\n\
             411111,card_bin,,{profile},,,,\r\n\
             411111,card_bin,profile,{profile},,,,\r\n\
             \r\n\
             tok_1,fingerprint,,,allow,2030-01-01T00:00:00Z,\"a \"\"good\"\" one,\r\nindeed\",\"{{\"\"k\"\": 1}}\"\r\n\
             tok_2,fingerprint,,,allow,2030-01-01T00:00:00Z,\"a \"\"good\"\" one, indeed\",\"{{\"\"k\"\": [1]}}\"\r\n\
             4111,card_bin,,,,,,\r\n\
             41111111111,card_prefix,,,,,,\r\n\
             411111-411299,card_range,,,,,,\r\n\
             4242424242424242,fingerprint,,,,,,\r\n\
             411112,iban,,,,,,\r\n\
             411112,card_bin,organization,,,,,\r\n\
             411112,card_bin,planet,,,,,\r\n\
             411112,card_bin,profile,,,,,\r\n\
             411112,card_bin,,pro_nobody,,,,\r\n\
             411112,card_bin,merchant,{profile},,,,\r\n\
             411112,card_bin,,,deny,,,\r\n\
             411112,card_bin,,,,tomorrow,,\r\n\
             411112,card_bin,,,,,,[1]\r\n\
             411112,card_bin,,,,,,\"{{\"\r\n\
             ,card_bin,,,,,,\r\n\
             411112,,,,,,,\r\n\
             411112,card_bin\r\n\
             411112,card_bin,,,,,,,,\r\n\
             411112,card_bin,,,,,,"
        );
        let options = || ImportOptions::default().source("test.csv".parse().unwrap());
        let (done, rows) = import(&blocklist, file.as_bytes(), options()).await;
        let expected = [
            (2, "inserted"),
            (3, "duplicate"),
            (4, "inserted"),
            (5, "duplicate"),
            (7, "reason text.bad_character"),
            (9, "inserted"),
            (10, "data blocklist.bin"),
            (11, "inserted"),
            (12, "inserted"),
            (13, "data blocklist.card_number"),
            (14, "type import.word"),
            (15, "scope blocklist.other_scope"),
            (16, "scope import.word"),
            (17, "profile_id import.missing"),
            (18, "profile_id import.unknown_profile"),
            (19, "profile_id import.not_for_scope"),
            (20, "action import.word"),
            (21, "expires_at timestamp.malformed"),
            (22, "metadata json.wrong_type"),
            (23, "metadata json.malformed"),
            (24, "data import.missing"),
            (25, "type import.missing"),
            (26, " import.columns"),
            (27, " import.columns"),
            (28, "inserted"),
        ];
        assert_eq!(lines(&rows), expected, "{}", world.name);
        let report = done.unwrap();
        let bytes = file.len() as u64;
        assert_eq!(report, ImportReport { inserted: 6, duplicates: 2, invalid: 17, withheld: 0, bytes });
        let rule = blocklist.rule(BlockKind::Fingerprint, "tok_2").await.unwrap();
        assert_eq!((rule.action, rule.reason.as_deref()), (BlockAction::Allow, Some("a \"good\" one, indeed")));
        assert_eq!((rule.source.as_deref(), rule.author.to_string().as_str()), (Some("test.csv"), "host"));
        let rule = blocklist.rule(BlockKind::CardBin, "411111").await.unwrap();
        assert_eq!(rule.action, BlockAction::Block, "the first of two rows of one name");
        let page = blocklist.entries(None, all()).await.unwrap();
        assert_eq!((page.total_count, page.data.len()), (6, 6));
        let entry = scope.log(LogPosition::START, 1_000).await.unwrap().pop().unwrap();
        let [line] = entry.changes.as_slice() else { panic!("{entry:?}") };
        assert_eq!((line.id.as_str(), line.verb, line.version, line.count), ("*", Verb::Created, 1, 6));
        // Repeated, it finds what it did.
        let head = world.pay.log_head().await.unwrap();
        let (again, _) = import(&blocklist, file.as_bytes(), options()).await;
        let again = again.unwrap();
        assert_eq!((again.inserted, again.duplicates, again.invalid), (0, 8, 17), "{}", world.name);
        assert_eq!(world.pay.log_head().await.unwrap(), head);
    });
}

#[test]
fn all_or_nothing_adds_all_in_one_commit_or_nothing() {
    on_every_backend(async |world| {
        let (_, scope) = tenant(world).await;
        let blocklist = scope.blocklist();
        let together = || ImportOptions::default().mode(ImportMode::AllOrNothing);
        blocklist.add(bin("card_bin", "400002")).await.unwrap();
        let good: String =
            (0..3_000).map(|n| format!("card_bin,{:06}", 400_000 + n)).collect::<Vec<_>>().join("\n") + "\n";
        let before = snapshot(&world.pay).await;
        let bad = format!("type,data\n{good}card_bin,4\n");
        let (done, rows) = import(&blocklist, bad.as_bytes(), together()).await;
        let report = done.unwrap();
        assert_eq!((report.inserted, report.withheld, report.invalid), (0, 3_000, 1), "{}", world.name);
        assert_eq!(rows.last().unwrap(), &(3_002, "data blocklist.bin".to_owned()));
        let (done, _) = import(&blocklist, format!("type,data\n{good}").as_bytes(), together().dry_run(true)).await;
        assert_eq!(done.map(|r| (r.inserted, r.duplicates)).unwrap(), (2_999, 1));
        assert_eq!(snapshot(&world.pay).await, before, "{}", world.name);
        let (done, rows) = import(&blocklist, format!("type,data\n{good}").as_bytes(), together()).await;
        assert_eq!(done.map(|r| (r.inserted, r.duplicates)).unwrap(), (2_999, 1));
        assert_eq!(rows[2], (4, "duplicate".to_owned()));
        let entry = scope.log(LogPosition::START, 1_000).await.unwrap().pop().unwrap();
        assert_eq!(entry.changes.iter().map(|line| line.count).collect::<Vec<_>>(), [2_999]);
    });
}

#[test]
fn a_best_effort_import_commits_batch_by_batch_and_tells_every_row_once() {
    on_every_backend(async |world| {
        let (_, scope) = tenant(world).await;
        let blocklist = scope.blocklist();
        let good: String =
            (0..1_000).map(|n| format!("fingerprint,tok_{}", n * 7 % 990)).collect::<Vec<_>>().join("\n") + "\n";
        let mut progress = Vec::new();
        let options = ImportOptions::default().batch(100);
        let file = format!("type,data\n{good}");
        let done = blocklist.import_csv(file.as_bytes(), options, |event| {
            if let ImportEvent::Progress(report) = event {
                progress.push(report.rows());
            }
        });
        let report = done.await.unwrap();
        assert_eq!((report.inserted, report.duplicates), (990, 10), "{}", world.name);
        assert_eq!(progress[..10], [100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000]);
        assert_eq!(blocklist.entries(None, all()).await.unwrap().total_count, 990);
        // From an iterator it is the same.
        let requests = (980..1_000).map(|n| bin("fingerprint", &format!("tok_{n}")));
        let report = blocklist.import(requests, ImportOptions::default(), |_| {}).await.unwrap();
        assert_eq!((report.inserted, report.duplicates, report.bytes), (10, 10, 0));
    });
}

/// A file that is not there as a whole.
struct Fails<'a>(&'a [u8]);

impl Read for Fails<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the line is dead")),
            read => Ok(read),
        }
    }
}

/// So many bytes of one kind behind a beginning.
fn padded(front: &str, count: u64) -> impl Read + Send + '_ {
    front.as_bytes().chain(io::repeat(b'x').take(count))
}

#[test]
fn a_bad_file_is_told_and_adds_nothing_that_is_not_told() {
    on_every_backend(async |world| {
        let (_, scope) = tenant(world).await;
        let blocklist = scope.blocklist();
        let before = snapshot(&world.pay).await;
        let utf16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain("type,data\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        for (file, line, code) in [
            (&b""[..], 1, "import.header"),
            (b"\n\n", 1, "import.header"),
            (b"type\ncard_bin\n", 1, "import.header"),
            (b"data,reason\n411111,x\n", 1, "import.header"),
            (b"type,data,type\n", 1, "import.header"),
            (b"type,data,color\n", 1, "import.header"),
            (b"Type,Data\ncard_bin,411111\n", 1, "import.header"),
            (b"card_bin,411111\n", 1, "import.header"),
            (b"type;data\ncard_bin;411111\n", 1, "import.header"),
            (&utf16, 1, "import.encoding"),
            (b"\xfe\xff\0t", 1, "import.encoding"),
            (b"type,d\xe4ta\n", 1, "import.encoding"),
        ] {
            for mode in [ImportMode::BestEffort, ImportMode::AllOrNothing] {
                let (done, rows) = import(&blocklist, file, ImportOptions::default().mode(mode)).await;
                let (at, found, report) = stopped(done);
                assert_eq!((at, found.as_str(), rows.len(), report.rows()), (line, code, 0, 0), "{file:?}");
            }
        }
        // Ten million bytes in a line, in quotes and without, in the header and behind it.
        for front in ["", "type,data\ncard_bin,411111\nfingerprint,", "type,data\ncard_bin,411111\nfingerprint,\""] {
            let (done, rows) = import(&blocklist, padded(front, 10_000_000), ImportOptions::default()).await;
            let line = if front.is_empty() { 1 } else { 3 };
            let (at, code, report) = stopped(done);
            assert_eq!((at, code.as_str(), rows.len()), (line, "import.row_too_long", 0));
            assert!(report.bytes < 300_000, "it is not read to its end: {}", report.bytes);
        }
        // A stream that fails in the middle.
        let (done, rows) = import(&blocklist, Fails(b"type,data\ncard_bin,411111\n"), ImportOptions::default()).await;
        let (_, cause, report) = stopped(done);
        assert_eq!((cause.as_str(), rows.len(), report.rows()), ("the line is dead", 0, 0));
        assert_eq!(snapshot(&world.pay).await, before, "{}", world.name);

        // What is wrong with single rows is told of them.
        let file = b"\xef\xbb\xbftype,data\r\ncard_bin,411111\r\nfingerprint,t\xe4k\r\n\"card_bin\",\"411112\"\r\ncard_bin,4111";
        let (done, rows) = import(&blocklist, &file[..], ImportOptions::default()).await;
        let expected = [(2, "inserted"), (3, "data import.encoding"), (4, "inserted"), (5, "data blocklist.bin")];
        assert_eq!(lines(&rows), expected, "{}", world.name);
        assert_eq!(done.unwrap().inserted, 2);
        for (file, outcome) in [
            ("type,data\nfingerprint,\"tok_1", " import.unclosed_quote"),
            ("type,data\nfingerprint,\"tok_1\n", " import.unclosed_quote"),
            ("type,data\nfingerprint", " import.columns"),
            ("type,data\nfingerprint,", "data import.missing"),
        ] {
            let (done, rows) = import(&blocklist, file.as_bytes(), ImportOptions::default()).await;
            assert_eq!((lines(&rows), done.unwrap().inserted), (vec![(2, outcome)], 0), "{file}");
        }
        // Best effort, a batch was added before the stream failed: that and no more is told.
        let file = Fails(b"type,data\ncard_bin,420001\ncard_bin,420002\ncard_bin,420003\n");
        let (done, rows) = import(&blocklist, file, ImportOptions::default().batch(2)).await;
        let (_, _, report) = stopped(done);
        assert_eq!((lines(&rows), report.inserted), (vec![(2, "inserted"), (3, "inserted")], 2));
        assert_eq!(blocklist.entries(None, all()).await.unwrap().total_count, 4);
    });
}

#[test]
fn a_million_repetitions_of_a_row_are_one_entry() {
    let world = World::on(support::backends().pop().unwrap());
    block_on(async {
        let (_, scope) = tenant(&world).await;
        let row = "fingerprint,tok_5fa1\n";
        let file = "type,data\n".as_bytes().chain(Repeated { row: row.as_bytes(), left: 1_000_000, at: 0 });
        let report = scope.blocklist().import_csv(file, ImportOptions::default(), |_| {}).await.unwrap();
        assert_eq!((report.inserted, report.duplicates), (1, 999_999));
    });
}

/// A row again and again.
struct Repeated {
    row: &'static [u8],
    left: u64,
    at: usize,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < buffer.len() && self.left > 0 {
            let read = (&self.row[self.at..]).read(&mut buffer[written..])?;
            (written, self.at) = (written + read, self.at + read);
            if self.at == self.row.len() {
                (self.at, self.left) = (0, self.left - 1);
            }
        }
        Ok(written)
    }
}

#[test]
fn what_is_exported_imports_again_to_the_same_list() {
    on_every_backend(async |world| {
        let (tenant, scope) = tenant(world).await;
        let profile = tenant.profile_scope(&world.pay);
        let awkward = ["a,b", "a\"b", "\"", "=1+1", "ä日\u{10fffd}", "#", "'x'", "a:b@c"];
        for (at, value) in (0_i64..).zip(awkward) {
            let mut request = BlockRequest::new(BlockKind::Fingerprint, value.parse().unwrap());
            request.reason = Some(format!("why, \"{value}\"").parse().unwrap());
            request.expires_at = Timestamp::from_unix_millis(4_000_000_000_000 + at).filter(|_| at % 2 == 0);
            request.metadata = Some(read(r#"{"a": "b,\"c\"\n", "n": 1.5}"#).unwrap()).filter(|_| at % 3 == 0);
            request.action = Some(BlockAction::Allow).filter(|_| at % 4 == 0);
            scope.blocklist().add(request.clone()).await.unwrap();
            profile.blocklist().add(request).await.unwrap();
        }
        for (kind, data) in [("card_bin", "000001"), ("card_range", "000001-000009"), ("extended_card_bin", "00000001")]
        {
            scope.blocklist().add(bin(kind, data)).await.unwrap();
        }
        let file = exported(&scope.blocklist()).await;
        assert_eq!(file.lines().next().unwrap(), "type,data,action,scope,profile_id,expires_at,reason,metadata");
        let own = exported(&profile.blocklist()).await;
        assert!(own.matches(tenant.profile.profile_id.as_str()).count() == awkward.len() && own.len() < file.len());
        // Into the same list: everything is there. Into an emptied one: everything comes back.
        let (done, _) = import(&scope.blocklist(), file.as_bytes(), ImportOptions::default()).await;
        assert_eq!(done.map(|r| (r.inserted, r.duplicates, r.invalid)).unwrap(), (0, 19, 0), "{}", world.name);
        for rule in scope.blocklist().rules(None, all()).await.unwrap().items {
            let request = BlockRequest::new(rule.id.kind, rule.id.value);
            match rule.id.scope {
                BlockScope::Profile(_) => profile.blocklist().remove(request).await.unwrap(),
                _ => scope.blocklist().remove(request).await.unwrap(),
            };
        }
        assert_eq!(exported(&scope.blocklist()).await.lines().count(), 1);
        let (done, _) = import(&scope.blocklist(), file.as_bytes(), ImportOptions::default()).await;
        assert_eq!(done.map(|r| (r.inserted, r.duplicates, r.invalid)).unwrap(), (19, 0, 0), "{}", world.name);
        assert_eq!(exported(&scope.blocklist()).await, file, "{}", world.name);
        // An organization's list goes the same way.
        let organization = tenant.organization_scope(&world.pay).blocklist();
        let report =
            organization.import([bin("card_bin", "424242"), bin("fingerprint", "x")], ImportOptions::default(), |_| {});
        assert_eq!(report.await.map(|r| (r.inserted, r.invalid)).unwrap(), (1, 1));
        let mut file = Vec::new();
        assert_eq!(organization.export_csv(&mut file, |_| {}).await.unwrap(), 1);
        let again = organization.import_csv(&file[..], ImportOptions::default(), |_| {}).await.unwrap();
        assert_eq!((again.inserted, again.duplicates), (0, 1));
    });
}

#[test]
fn whole_lists_are_refused_in_a_batch() {
    on_every_backend(async |world| {
        let (tenant, scope) = tenant(world).await;
        let batch = world.pay.batch();
        let staged = batch.pay().organization(&tenant.organization.organization_id);
        let staged = staged.merchant(&scope.retrieve().await.unwrap().merchant_id);
        let error: Error = staged.blocklist().purge_expired(1).await.unwrap_err();
        assert_eq!(told(&error), ("batch.bulk".into(), "batch".into()));
        let (done, _) =
            import(&staged.blocklist(), &b"type,data\ncard_bin,411111\n"[..], ImportOptions::default()).await;
        assert_eq!(stopped(done).1, "batch.bulk");
        let file: Result<u64, _> = staged.blocklist().export_csv(Vec::new(), |_| {}).await;
        assert!(
            matches!(file, Err(perfectpay::ExportError::Store(Error::Invalid(fault))) if fault.code() == "batch.bulk")
        );
        // Single entries are staged as everything is.
        staged.profile(&tenant.profile.profile_id).blocklist().add(bin("card_bin", "411111")).await.unwrap();
        let staged = staged.profile(&tenant.profile.profile_id).blocklist();
        let screening = staged.screen(&"4111111111111111".parse().unwrap()).await.unwrap();
        assert!(screening.would_be_blocked(), "{}", world.name);
    });
}

#[test]
fn a_profile_declines_by_what_the_host_knows_of_a_card_after_the_lists() {
    on_every_backend(async |world| {
        let (tenant, scope) = tenant(world).await;
        let profile = tenant.profile_scope(&world.pay);
        let rules = r#"{"payment_method_blocking": {"card": {"card_types": ["debit"]}}}"#;
        profile.update(read(rules).unwrap()).await.unwrap();
        let source = |bin: &str| {
            assert_eq!(bin, "424242");
            Some(CardInfo { card_type: Some(CardType::Debit), ..CardInfo::default() })
        };
        let card = CARD.parse().unwrap();
        let reason = async |blocklist: BlocklistScope| blocklist.screen_with(&card, &source).await.unwrap().reason;
        assert_eq!(reason(profile.blocklist()).await, None, "the guard is off");
        scope.blocklist().toggle(Some(true)).await.unwrap();
        assert_eq!(reason(profile.blocklist()).await, Some(BlockReason::BlockedCardType), "{}", world.name);
        assert_eq!(reason(scope.blocklist()).await, None, "the rules are the profile's");
        profile.blocklist().add(bin("card_bin", "424242")).await.unwrap();
        assert_eq!(reason(profile.blocklist()).await, Some(BlockReason::BlockedBin), "{}", world.name);
    });
}

/// An entry as far as a decision needs it.
type Rule = (BlockRuleId, BlockAction, Option<Timestamp>);

/// Entries over few names, so that they meet.
fn rules() -> impl Strategy<Value = Rule> {
    let scope = prop::sample::select(vec!["", "@pro_a", "@pro_b", "@*"]);
    let value = prop_oneof![
        (411_109..411_113_u32).prop_map(|bin| ("card_bin", bin.to_string())),
        (41_111_098..41_111_103_u32).prop_map(|bin| ("extended_card_bin", bin.to_string())),
        (6..=11_usize).prop_map(|length| ("card_prefix", "41111100000"[..length].to_owned())),
        (411_108..411_112_u32, 0..4_u32).prop_map(|(low, more)| ("card_range", format!("{low}-{}", low + more))),
        (1..3_u32).prop_map(|number| ("fingerprint", format!("tok_{number}"))),
    ];
    let action = prop::sample::select(vec![BlockAction::Block, BlockAction::Allow]);
    (value, scope, action, prop::option::of(-1..2_i64)).prop_map(|((kind, value), scope, action, end)| {
        let id = format!("{kind}{scope}:{value}").parse().unwrap();
        (id, action, end.and_then(Timestamp::from_unix_millis))
    })
}

fn decided(rules: &[Rule], card: &CardFacts) -> Option<(BlockRuleId, BlockAction)> {
    let candidate = |(id, action, expires_at): &'_ Rule| (id.clone(), *action, *expires_at);
    let owned: Vec<Rule> = rules.iter().map(candidate).collect();
    let candidates =
        owned.iter().map(|(id, action, expires_at)| Candidate { id, action: *action, expires_at: *expires_at });
    decide(candidates, card, Timestamp::UNIX_EPOCH).map(|winner| (winner.id.clone(), winner.action))
}

fn rank((id, action): &(BlockRuleId, BlockAction)) -> Rank {
    Rank::of(id.kind, &id.value, id.scope.level(), *action).unwrap()
}

proptest! {
    #[test]
    fn the_order_of_entries_decides_nothing_and_a_wider_one_changes_no_narrower_winner(
        rules in prop::collection::vec(rules(), 0..12),
        rotation in 0..12_usize,
    ) {
        let card = CardFacts::new("41111100000", ["tok_1"]).unwrap();
        let winner = decided(&rules, &card);
        let mut turned = rules.clone();
        turned.reverse();
        prop_assert_eq!(&decided(&turned, &card), &winner);
        turned.rotate_left(rotation.min(rules.len()));
        prop_assert_eq!(&decided(&turned, &card), &winner);
        let Some(winner) = winner else {
            let now = Timestamp::UNIX_EPOCH;
            let matches = |(id, action, end): &Rule| Candidate { id, action: *action, expires_at: *end }.matches(&card, now);
            prop_assert!(!rules.iter().any(matches));
            return Ok(());
        };
        // Without the winner somebody else decides, who ranks behind it.
        let others: Vec<Rule> = rules.iter().filter(|rule| rule.0 != winner.0).cloned().collect();
        if let Some(next) = decided(&others, &card) {
            prop_assert!(rank(&winner) <= rank(&next));
        }
        // Whatever covers more changes nothing, wherever it holds and whatever it says.
        let mut more = rules;
        for action in [BlockAction::Allow, BlockAction::Block] {
            for wide in ["card_range:411000-411999", "card_range@*:400000-499999", "card_range@pro_a:411100-411199"] {
                more.push((wide.parse().unwrap(), action, None));
            }
        }
        prop_assert_eq!(decided(&more, &card), Some(winner));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_list_is_exported_and_imported_to_itself(
        entries in prop::collection::btree_map(
            "[ -~äß日]{1,20}",
            (any::<bool>(), prop::option::of("[ -~ä]{1,20}"), prop::option::of(0..4_000_000_000_000_i64)),
            0..12,
        ),
    ) {
        let world = World::on(support::backends().swap_remove(0));
        block_on(async {
            let (_, scope) = tenant(&world).await;
            let request = |(value, (allow, reason, end)): (String, (bool, Option<String>, Option<i64>))| {
                let mut request = BlockRequest::new(BlockKind::Fingerprint, value.parse().ok()?);
                request.action = allow.then_some(BlockAction::Allow);
                request.reason = reason.and_then(|reason| reason.parse().ok());
                request.expires_at = end.and_then(Timestamp::from_unix_millis);
                Some(request)
            };
            let requests: Vec<BlockRequest> = entries.into_iter().filter_map(request).collect();
            scope.blocklist().import(requests, ImportOptions::default(), |_| {}).await.unwrap();
            let file = exported(&scope.blocklist()).await;
            let other = host::stand_up(&world.pay, "other").await.unwrap().scope(&world.pay);
            let (done, _) = import(&other.blocklist(), file.as_bytes(), ImportOptions::default()).await;
            let report = done.unwrap();
            assert_eq!((report.duplicates, report.invalid), (0, 0));
            assert_eq!(exported(&other.blocklist()).await, file);
        });
    }
}
