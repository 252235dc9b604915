//! Blocklists as a whole: scanned, added to and purged in bulk, in accounts, profiles and organizations.

use std::sync::Arc;

use perfectpay::blocklist::{BlockKind, BlockRow, BlockRows, BlockRuleId, BlockRuleState, BlockScope};
use perfectpay::store::{
    Actor, BlockCount, BlockPage, BlockScan, BlockSelect, BlocklistPath, Change, ChangeSet, Collection, EntityRef,
    Expectation, ExpiredRules, Key, LogScope, NewRules, OrganizationPath, Query, Record, RowScope, SortedRows, Stored,
    Verb,
};
use perfectpay::{EntityKind, Incarnation, PageRequest, Timestamp};
use serde_json::json;

use crate::Fixture;
use crate::records::{Tenant, World, block_rule_of, key_of, moment, organization, organization_set, profile, text};

/// An entry with this name.
fn entry(tenant: Incarnation, id: &str, number: u32) -> Stored<BlockRuleState> {
    let state = block_rule_of(&Tenant::within(&organization(1), 1).merchant, BlockKind::CardBin, "0", number).state;
    Stored::new(tenant, text(id), moment(number), state)
}

fn fingerprint(version: u32, number: u8) -> String {
    let digest = [b'A' + number; 42];
    format!("fingerprint:fp{version}_{}A", String::from_utf8_lossy(&digest))
}

/// Names of every kind and scope, in no order.
fn names(tenant: &Tenant) -> Vec<String> {
    let profile = &tenant.profile.id;
    let mut names = vec![
        "fingerprint:tok".to_owned(),
        "card_bin:411112".into(),
        fingerprint(2, 1),
        format!("card_bin@{profile}:411111"),
        "card_range:411111-411299".into(),
        "extended_card_bin:00000001".into(),
        format!("fingerprint@{profile}:a@b:c"),
        fingerprint(1, 2),
        "card_prefix:4111111".into(),
        "card_bin:411111".into(),
        "fingerprint:日本".into(),
        format!("card_prefix@{profile}:4111111"),
        fingerprint(1, 0),
        "fingerprint:Z".into(),
    ];
    names.dedup();
    names
}

fn scan(path: impl Into<BlocklistPath>, after: Option<&str>, limit: u32) -> BlockScan {
    let select = BlockSelect::After(after.map(text));
    BlockScan { path: path.into(), select, limit, details: false }
}

fn told(page: &BlockPage) -> Vec<String> {
    page.rows.iter().map(|row| row.name()).collect()
}

fn filled(fixture: &dyn Fixture) -> (World, Vec<String>) {
    let w = World::open(fixture);
    let mut names = names(&w.acme);
    for (number, name) in (1..).zip(&names) {
        w.apply(w.acme.creating([entry(w.acme.merchant.tenant, name, number).into()]));
    }
    names.sort();
    (w, names)
}

fn rows(names: &[&str]) -> BlockRows {
    let mut rows = BlockRows::new();
    for name in names {
        rows.push_record(&entry(Incarnation::PLATFORM, name, 1), true);
    }
    rows
}

fn of(tenant: &Tenant) -> EntityRef {
    tenant.merchant.entity()
}

fn adding(tenant: &Tenant, names: &[&str]) -> ChangeSet {
    let rows = Arc::new(SortedRows::of(&rows(names)));
    let new = NewRules::new(of(tenant), rows, Actor::Host, Some(text("list 7")), moment(50));
    let mut set = tenant.set();
    set.changes.push(Change::AddBlockRules(Box::new(new.expect("entries of an account"))));
    set
}

fn purging(tenant: &Tenant, expired_by: Timestamp, names: &[&str]) -> ChangeSet {
    let old = ExpiredRules { of: of(tenant), expired_by, rows: SortedRows::of(&rows(names)) };
    let mut set = tenant.set();
    set.changes.push(Change::PurgeBlockRules(Box::new(old)));
    set
}

fn total(w: &World, query: &Query) -> (Option<u64>, usize) {
    let listing = w.list(query).expect("the tenant lives");
    (listing.total, listing.records.len())
}

pub(super) fn a_blocklist_is_scanned_by_name_whole_and_in_parts(fixture: &mut dyn Fixture) {
    let (w, names) = filled(fixture);
    w.apply(w.sister.creating([entry(w.sister.merchant.tenant, "card_bin:411111", 1).into()]));
    for path in w.acme.paths() {
        let whole = w.block_rules(&scan(path, None, 100)).expect("it lives");
        assert_eq!(told(&whole), names);
    }
    for limit in [1, 2, 3, 14, 15] {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = w.block_rules(&scan(w.acme.pinned(), after.as_deref(), limit)).expect("it lives");
            let page = told(&page);
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            found.extend(page);
        }
        assert_eq!(found, names, "in parts of {limit}");
    }
    // A name need not live to be gone on from.
    let behind = w.block_rules(&scan(w.acme.pinned(), Some("card_prefix:0"), 100)).expect("it lives");
    assert_eq!(told(&behind), names[3..]);
    assert_eq!(w.block_rules(&scan(w.acme.pinned(), Some(&names[13]), 100)), Some(BlockPage::default()));
}

pub(super) fn a_scan_tells_reasons_and_metadata_where_they_are_asked_for(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut row = entry(w.acme.merchant.tenant, "card_bin:411111", 1);
    row.state.reason = Some(text("Zoë \"said\" so"));
    row.state.metadata = Some(serde_json::from_value(json!({ "k": [1.5, "ä"] })).expect("an object"));
    row.state.expires_at = Some(moment(77));
    row.state.action = perfectpay::BlockAction::Allow;
    w.apply(w.acme.creating([row.clone().into()]));
    for details in [false, true] {
        let page = w.block_rules(&BlockScan { details, ..scan(w.acme.pinned(), None, 10) }).expect("it lives");
        let found = page.rows.get(0).expect("an entry");
        let expected = BlockRow {
            kind: BlockKind::CardBin,
            value: "411111",
            scope: RowScope::Merchant,
            action: row.state.action,
            expires_at: row.state.expires_at,
            reason: Some("Zoë \"said\" so").filter(|_| details),
            metadata: Some(r#"{"k":[1.5,"ä"]}"#).filter(|_| details),
        };
        assert_eq!(found, expected);
    }
}

pub(super) fn a_scan_counts_the_list_by_kind_and_version(fixture: &mut dyn Fixture) {
    let (w, names) = filled(fixture);
    let count = |kind, fingerprint_version, count| BlockCount { kind, fingerprint_version, count };
    let counts = || w.block_rules(&scan(w.acme.pinned(), None, 0)).expect("it lives");
    let expected = [
        count(BlockKind::Fingerprint, None, 4),
        count(BlockKind::Fingerprint, Some(1), 2),
        count(BlockKind::Fingerprint, Some(2), 1),
        count(BlockKind::ExtendedCardBin, None, 1),
        count(BlockKind::CardBin, None, 3),
        count(BlockKind::CardPrefix, None, 2),
        count(BlockKind::CardRange, None, 1),
    ];
    assert_eq!(counts(), BlockPage { rows: BlockRows::new(), counts: expected.into() });
    let later = w.block_rules(&scan(w.acme.pinned(), Some(&names[0]), 1)).expect("it lives");
    assert_eq!(later.counts, [], "told at the front only");
    let mut set = w.acme.set();
    for name in [&fingerprint(2, 1), "card_bin:411111"] {
        set.remove(entry(w.acme.merchant.tenant, name, 1).entity(), 1, false);
    }
    w.apply(set);
    let mut expected = expected.to_vec();
    expected.remove(2);
    expected[3].count = 2;
    assert_eq!(counts().counts, expected);
    assert_eq!(w.block_rules(&scan(w.sister.pinned(), None, 0)), Some(BlockPage::default()));
}

pub(super) fn a_scan_finds_what_has_expired_in_the_order_in_which_it_did(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for (name, end) in [
        ("card_bin:411115", Some(50)),
        ("card_bin:411114", Some(30)),
        ("card_bin:411113", Some(51)),
        ("card_bin:411112", None),
        ("card_prefix:4111110", Some(30)),
        ("card_bin:411111", Some(40)),
    ] {
        let mut row = entry(w.acme.merchant.tenant, name, 1);
        row.state.expires_at = end.map(moment);
        w.apply(w.acme.creating([row.into()]));
    }
    let expired = |by, limit| {
        let select = BlockSelect::Expired(moment(by));
        let page = w.block_rules(&BlockScan { select, ..scan(w.acme.pinned(), None, limit) }).expect("it lives");
        assert_eq!(page.counts, []);
        told(&page)
    };
    let order = ["card_bin:411114", "card_prefix:4111110", "card_bin:411111", "card_bin:411115"];
    assert_eq!(expired(50, 100), order);
    assert_eq!(expired(50, 3), order[..3]);
    assert_eq!(expired(29, 100), [""; 0]);
}

pub(super) fn a_scan_keeps_to_its_tenant(fixture: &mut dyn Fixture) {
    let (w, _) = filled(fixture);
    let wrong = perfectpay::store::MerchantPath::Within(w.rival.organization.id.clone(), w.acme.merchant.id.clone());
    assert_eq!(w.block_rules(&scan(wrong, None, 10)), None);
    let absent = OrganizationPath::Id(text("org_9"));
    assert_eq!(w.block_rules(&scan(absent, None, 10)), None);
    let above = OrganizationPath::Id(w.acme.organization.id.clone());
    assert_eq!(w.block_rules(&scan(above, None, 10)), Some(BlockPage::default()));
    assert_eq!(w.block_rules(&scan(w.sister.path(), None, 10)), Some(BlockPage::default()));
    let mut set = organization_set(&w.acme.organization);
    set.remove(w.acme.merchant.entity(), 1, true);
    w.apply(set);
    assert_eq!(w.block_rules(&scan(w.acme.pinned(), None, 10)), None);
}

pub(super) fn many_entries_are_added_as_one_change_and_one_counted_line(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let names = names(&w.acme);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let before = w.head();
    let receipt = w.apply(adding(&w.acme, &names));
    assert!(receipt.position > before.position);
    for name in &names {
        let mut row = entry(w.acme.merchant.tenant, name, 50);
        row.state.source = Some(text("list 7"));
        assert_eq!(w.get(&key_of(&row.entity())), Some(Record::BlockRule(row)), "{name}");
    }
    let all = w.acme.query(Collection::BlockRules { kind: None });
    assert_eq!(total(&w, &all), (Some(14), 14));
    let of_profile = Collection::ProfileBlockRules { profile: w.acme.profile.id.clone() };
    assert_eq!(total(&w, &w.acme.query(of_profile)), (None, 3));
    let log = w.log(&LogScope::Merchant(w.acme.merchant.tenant));
    let entry = log.last().expect("an entry");
    let [line] = entry.changes.as_slice() else { panic!("{entry:?}") };
    let line = (line.kind, line.id.as_str(), line.verb, line.version, line.count);
    assert_eq!(line, (EntityKind::BlockRule, "*", Verb::Created, 1, 14));
    // What was added in bulk goes as anything else does.
    let mut set = w.acme.set();
    set.remove(entry_ref(&w.acme, "card_bin:411111"), 1, false);
    w.apply(set);
    assert_eq!(total(&w, &all), (Some(13), 13));
}

fn entry_ref(tenant: &Tenant, name: &str) -> EntityRef {
    entry(tenant.merchant.tenant, name, 1).entity()
}

pub(super) fn many_entries_are_added_whole_or_not_at_all(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.apply(w.acme.creating([entry(w.acme.merchant.tenant, "card_prefix:4111111", 1).into()]));
    w.apply(w.acme.creating([entry(w.acme.merchant.tenant, "fingerprint:tok", 1).into()]));
    let names = ["card_bin:411111", "fingerprint:tok", "card_prefix:4111111", "fingerprint:zzz"];
    // Of several that are there the first by name is told.
    let exists = "blocklist entry `card_prefix:4111111` exists already";
    w.refuse(adding(&w.acme, &names), "already_exists", exists);
    let stranger = Tenant::within(&w.acme.organization, 9);
    let absent = "there is no merchant account `merchant_9`";
    w.refuse(adding(&stranger, &["card_bin:411111"]), "not_found", absent);
    let nowhere = ["card_bin:411111", "card_bin@pro_nowhere:411111"];
    w.refuse(adding(&w.acme, &nowhere), "not_found", "there is no business profile `pro_nowhere`");
    let mut set = adding(&w.acme, &["card_bin:411111"]);
    set.create(profile(&w.acme.merchant, 3));
    w.refuse(set, "changes.bulk_beside_others", "`changes`: must be the only change");
    w.apply(adding(&w.acme, &["card_bin:411111"]));
}

pub(super) fn a_purge_takes_what_has_expired_and_nothing_else(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let names = ["card_bin:411111", "card_bin:411112", "card_bin:411113", "fingerprint@pro_default:tok"];
    for (name, end) in names.into_iter().zip([Some(40), Some(41), None, Some(39)]) {
        let mut row = entry(w.acme.merchant.tenant, name, 1);
        row.state.expires_at = end.map(moment);
        w.apply(w.acme.creating([row.into()]));
    }
    let moved = |name: &str| format!("blocklist entry `{name}` changed while the command was decided");
    for late in ["card_bin:411112", "card_bin:411113", "card_bin:411119"] {
        w.refuse(purging(&w.acme, moment(40), &[names[0], late]), "moved", &moved(late));
    }
    w.apply(purging(&w.acme, moment(40), &[names[3], names[0]]));
    let left = w.block_rules(&scan(w.acme.pinned(), None, 10)).expect("it lives");
    assert_eq!(told(&left), [names[1], names[2]]);
    assert_eq!(total(&w, &w.acme.query(Collection::BlockRules { kind: None })), (Some(2), 2));
    let log = w.log(&LogScope::Merchant(w.acme.merchant.tenant));
    let [line] = log.last().expect("an entry").changes.as_slice() else { panic!("{log:?}") };
    let line = (line.kind, line.id.as_str(), line.verb, line.version, line.count);
    assert_eq!(line, (EntityKind::BlockRule, "*", Verb::Removed, 0, 2));
}

pub(super) fn an_expected_number_of_fingerprints_guards(fixture: &mut dyn Fixture) {
    let (w, _) = filled(fixture);
    let expecting = |version, count| {
        let mut set = w.acme.set();
        set.expectations.push(Expectation::Fingerprints { of: of(&w.acme), version, count });
        set.update(crate::records::touched(&w.acme.profile));
        set
    };
    let moved = "merchant account `merchant_1` changed while the command was decided";
    for (version, count) in [(1, 1), (1, 3), (2, 0), (3, 1)] {
        w.refuse(expecting(version, count), "moved", moved);
    }
    let mut set = expecting(1, 2);
    for (version, count) in [(2, 1), (3, 0)] {
        set.expectations.push(Expectation::Fingerprints { of: of(&w.acme), version, count });
    }
    set.expectations.push(Expectation::Fingerprints { of: of(&w.sister), version: 1, count: 0 });
    w.apply(set);
}

pub(super) fn entries_of_a_profile_go_with_it_and_hold_it_up(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let row = profile(&w.acme.merchant, 3);
    w.apply(w.acme.creating([row.clone().into()]));
    let own = |value: &str| format!("{value}@pro_3:411111");
    let names = [own("card_bin"), own("card_prefix"), "card_bin:411111".into(), fingerprint(1, 1)];
    let of_profile = fingerprint(1, 2).replacen(':', "@pro_3:", 1);
    for name in names.iter().chain([&of_profile]) {
        w.apply(w.acme.creating([entry(w.acme.merchant.tenant, name, 1).into()]));
    }
    let removing = |cascade| {
        let mut set = w.acme.set();
        set.remove(row.entity(), 1, cascade);
        set
    };
    w.refuse(removing(false), "has_children", "business profile `pro_3` still has 3 × blocklist entry");
    let mut set = organization_set(&w.acme.organization);
    set.remove(w.acme.merchant.entity(), 1, false);
    let held = "merchant account `merchant_1` still has 2 × business profile, 2 × blocklist entry";
    w.refuse(set, "has_children", held);
    w.apply(removing(true));
    let left = w.block_rules(&scan(w.acme.pinned(), None, 10)).expect("it lives");
    assert_eq!(told(&left), ["card_bin:411111", &fingerprint(1, 1)]);
    let counts = w.block_rules(&scan(w.acme.pinned(), None, 0)).expect("it lives").counts;
    assert_eq!(counts.iter().map(|count| count.count).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(total(&w, &w.acme.query(Collection::BlockRules { kind: None })), (Some(2), 2));
    let absent = "there is no business profile `pro_3`";
    w.refuse(w.acme.creating([entry(w.acme.merchant.tenant, &names[0], 1).into()]), "not_found", absent);
}

pub(super) fn entries_of_an_organization_go_with_it_and_hold_it_up(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let row = organization(7);
    let mut set = organization_set(&row);
    set.create(row.clone());
    let names = ["card_bin@*:411111", "card_range@*:411111-411299", "card_prefix@*:4111111"];
    for (number, name) in (1..).zip(names) {
        set.create(entry(row.tenant, name, number));
    }
    w.apply(set);
    let path = OrganizationPath::Id(row.id.clone());
    let query = |kind| Query::OrganizationBlockRules(path.clone(), kind, PageRequest::of(2).expect("a limit"));
    let listing = w.list(&query(None)).expect("it lives");
    let ids: Vec<String> = listing.records.iter().map(|record| record.meta().id).collect();
    assert_eq!((listing.total, ids), (Some(3), [names[2], names[1], names[0]].map(str::to_owned).into()));
    assert_eq!(total(&w, &query(Some(BlockKind::CardBin))), (Some(1), 1));
    assert_eq!(total(&w, &query(Some(BlockKind::ExtendedCardBin))), (Some(0), 0));
    for path in [path.clone(), OrganizationPath::Pinned(row.tenant)] {
        let key = Key::BlockRule(path.into(), text(names[0]));
        assert_eq!(w.get(&key), Some(entry(row.tenant, names[0], 1).into()));
    }
    let foreign = Key::BlockRule(OrganizationPath::Id(w.acme.organization.id.clone()).into(), text(names[0]));
    assert_eq!(w.get(&foreign), None);
    let found = w.block_rules(&scan(path.clone(), None, 10)).expect("it lives");
    assert_eq!(told(&found), [names[0], names[2], names[1]]);
    assert_eq!(found.counts.iter().map(|count| count.count).sum::<u64>(), 3);
    let removing = |cascade| {
        let mut set = organization_set(&row);
        set.remove(row.entity(), 1, cascade);
        set
    };
    w.refuse(removing(false), "has_children", "organization `org_7` still has 3 × blocklist entry");
    w.apply(removing(true));
    assert_eq!(w.list(&query(None)), None);
    assert_eq!(w.block_rules(&scan(OrganizationPath::Pinned(row.tenant), None, 10)), None);
}

pub(super) fn equal_names_in_an_organization_and_a_merchant_account_are_two_entries(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = organization_set(&w.acme.organization);
    set.create(entry(w.acme.organization.tenant, "card_bin@*:411111", 1));
    w.apply(set.clone());
    w.refuse(set, "already_exists", "blocklist entry `card_bin@*:411111` exists already");
    let own = entry(w.acme.merchant.tenant, "card_bin:411111", 1);
    w.apply(w.acme.creating([own.clone().into()]));
    let mut set = organization_set(&w.acme.organization);
    set.remove(entry(w.acme.organization.tenant, "card_bin@*:411111", 1).entity(), 1, false);
    w.apply(set);
    assert_eq!(w.get(&key_of(&own.entity())), Some(own.into()));
    let scope = BlockScope::Organization;
    let gone = BlockRuleId { kind: BlockKind::CardBin, value: text("411111"), scope };
    let path = OrganizationPath::Pinned(w.acme.organization.tenant);
    assert_eq!(w.get(&Key::BlockRule(path.into(), gone)), None);
}
