//! Stages: lists that are too long for one set, unseen until one commit makes them entries.

use std::sync::Arc;

use perfectpay::blocklist::{BlockKind, BlockRow, BlockRows};
use perfectpay::organization::OrganizationState;
use perfectpay::store::{
    Actor, BlockCount, BlockPage, BlockScan, BlockSelect, Change, ChangeSet, EntityRef, Expectation, Extent, Key,
    LogScope, MAX_STAGED_PRUNE_LIMIT, Prune, Pruned, RowScope, SortedRows, StageId, StagedPart, StagedRules, Stored,
    Verb,
};
use perfectpay::{BlockAction, EntityKind, ProfileId, Timestamp};

use crate::Fixture;
use crate::probe::Probe;
use crate::records::{Tenant, World, block_rule, moment, organization, organization_set, text, touched};

const GONE: &str = "has no such stage for its blocklist, or not whole";

fn stage(number: u8) -> StageId {
    StageId::make(moment(1), &[number; 10])
}

fn of(tenant: &Tenant) -> EntityRef {
    tenant.merchant.entity()
}

/// A part whose rows are fingerprints with these numbers.
fn part(of: &EntityRef, stage: StageId, ordinal: u32, rows: &[(&str, u64)], at: Timestamp) -> StagedPart {
    let mut all = BlockRows::new();
    let mut sorted: Vec<(&str, u64)> = rows.to_vec();
    sorted.sort_unstable();
    for (value, number) in &sorted {
        let reason = format!("given as {number}");
        all.push(BlockRow {
            kind: BlockKind::Fingerprint,
            value,
            scope: RowScope::Merchant,
            action: if number % 2 == 0 { BlockAction::Block } else { BlockAction::Allow },
            expires_at: Some(moment(9)).filter(|_| number % 3 == 0),
            reason: Some(reason.as_str()).filter(|_| number % 2 == 0),
            metadata: Some(r#"{"k":1}"#).filter(|_| number % 5 == 0),
        });
    }
    let numbers = sorted.iter().map(|(_, number)| *number).collect();
    StagedPart::new(stage, of.clone(), ordinal, Arc::new(SortedRows::of(&all)), numbers, at)
        .expect("rows of an account")
}

fn put(probe: &Probe, tenant: &Tenant, stage: StageId, ordinal: u32, rows: &[(&str, u64)]) {
    probe.stage(part(&of(tenant), stage, ordinal, rows, moment(20))).expect("is taken");
}

fn live(tenant: &Tenant, stage: StageId, without: &[u64], count: u64) -> ChangeSet {
    let new =
        StagedRules::new(of(tenant), stage, without.to_vec(), count, Actor::Host, Some(text("list 7")), moment(50));
    let mut set = tenant.set();
    set.changes.push(Change::AddStagedRules(Box::new(new.expect("has rows"))));
    set
}

fn page(probe: &Probe, tenant: &Tenant) -> BlockPage {
    let select = BlockSelect::After(None);
    let scan = BlockScan { path: tenant.pinned().into(), select, limit: 100, details: true };
    probe.block_rules(&scan).expect("it lives")
}

fn names(probe: &Probe, tenant: &Tenant) -> Vec<String> {
    page(probe, tenant).rows.iter().map(|row| row.name()).collect()
}

fn gone(id: &str) -> String {
    format!("merchant account `{id}` {GONE}")
}

pub(super) fn a_stage_is_seen_by_nobody_until_it_is_made_live(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.apply(w.acme.creating([block_rule(&w.acme.merchant, 1).into()]));
    let (before, head, listed) = (w.snapshot(), w.head(), page(&w, &w.acme));
    let exported = w.export(&Extent::Everything).len();
    put(&w, &w.acme, stage(1), 1, &[("m", 0), ("b", 1), ("z", 2)]);
    put(&w, &w.acme, stage(1), 2, &[("a", 3), ("n", 4), ("c", 5), ("zz", 6)]);
    put(&w, &w.acme, stage(1), 3, &[("mm", 7)]);
    before.assert_same(&w.snapshot());
    assert_eq!((w.head(), page(&w, &w.acme), w.export(&Extent::Everything).len()), (head, listed.clone(), exported));
    // Two rows stay where they are.
    let receipt = w.apply(live(&w.acme, stage(1), &[7, 2], 6));
    let found = page(&w, &w.acme);
    let mut expected = listed.rows;
    for (value, number) in [("a", 3), ("b", 1), ("c", 5), ("m", 0), ("n", 4), ("zz", 6)] {
        let part = part(&of(&w.acme), stage(1), 1, &[(value, number)], moment(20));
        expected.push(part.rows().get(0).expect("a row"));
    }
    assert_eq!(found.rows, SortedRows::of(&expected).rows().clone());
    let fingerprints = found.counts.iter().find(|count| count.kind == BlockKind::Fingerprint);
    assert_eq!(fingerprints.map(|count| (count.fingerprint_version, count.count)), Some((None, 6)));
    let log = w.log(&LogScope::Merchant(w.acme.merchant.tenant));
    let entry = log.last().expect("an entry");
    let [line] = entry.changes.as_slice() else { panic!("{entry:?}") };
    let line = (line.kind, line.id.as_str(), line.verb, line.version, line.count);
    assert_eq!((entry.position, line), (receipt.position, (EntityKind::BlockRule, "*", Verb::Created, 1, 6)));
    let rule = Key::BlockRule(w.acme.pinned().into(), text("fingerprint:n"));
    let Some(perfectpay::store::Record::BlockRule(row)) = w.get(&rule) else { panic!("is no entry") };
    assert_eq!((row.created_at, row.state.source, row.version), (moment(50), Some(text("list 7")), 1));
    // What was made live is made so once.
    w.refuse(live(&w.acme, stage(1), &[], 2), "block_rule.stage_gone", &gone("merchant_1"));
    assert_eq!(w.taken(&of(&w.acme), stage(1)), None);
    let late = part(&of(&w.acme), stage(1), 4, &[("late", 8)], moment(20));
    assert_eq!(w.stage(late).expect_err("is closed").code(), "block_rule.stage_gone");
}

pub(super) fn a_stage_says_which_of_its_rows_are_taken(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    put(&w, &w.acme, stage(1), 1, &[("m", 3), ("b", 1)]);
    w.apply(live(&w.acme, stage(1), &[], 2));
    put(&w, &w.acme, stage(2), 1, &[("x", 5), ("a", 1), ("m", 0)]);
    put(&w, &w.acme, stage(2), 2, &[("x", 2), ("b", 9), ("c", 7)]);
    put(&w, &w.acme, stage(2), 3, &[("x", 11), ("d", 12)]);
    put(&w, &w.acme, stage(3), 1, &[("a", 1), ("d", 2)]);
    // Of rows with one name the one with the lowest number stays, in whichever part it is.
    assert_eq!(w.taken(&of(&w.acme), stage(2)), Some(vec![0, 5, 9, 11]));
    assert_eq!(w.taken(&of(&w.acme), stage(3)), Some(vec![]), "each stage by itself");
    assert_eq!(w.taken(&of(&w.acme), stage(9)), None);
    w.apply(live(&w.acme, stage(2), &[0, 5, 9, 11], 4));
    let expected = ["a", "b", "c", "d", "m", "x"].map(|value| format!("fingerprint:{value}"));
    assert_eq!(names(&w, &w.acme), expected);
    assert_eq!(w.taken(&of(&w.acme), stage(3)), Some(vec![1, 2]));
}

pub(super) fn a_stage_is_made_live_whole_or_not_at_all(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    put(&w, &w.acme, stage(1), 1, &[("m", 3), ("b", 1)]);
    w.apply(live(&w.acme, stage(1), &[], 2));
    put(&w, &w.acme, stage(2), 1, &[("n", 5), ("m", 1), ("a", 0)]);
    put(&w, &w.acme, stage(2), 2, &[("n", 2), ("b", 9)]);
    let exists = |name: &str| format!("blocklist entry `fingerprint:{name}` exists already");
    // Of several the first by name is told.
    w.refuse(live(&w.acme, stage(2), &[], 5), "already_exists", &exists("b"));
    w.refuse(live(&w.acme, stage(2), &[9], 4), "already_exists", &exists("m"));
    w.refuse(live(&w.acme, stage(2), &[9, 1], 3), "already_exists", &exists("n"));
    for count in [1, 3] {
        w.refuse(live(&w.acme, stage(2), &[9, 1, 5], count), "block_rule.stage_gone", &gone("merchant_1"));
    }
    w.refuse(live(&w.acme, stage(9), &[], 1), "block_rule.stage_gone", &gone("merchant_1"));
    let mut set = live(&w.acme, stage(2), &[9, 1, 5], 2);
    set.create(block_rule(&w.acme.merchant, 3));
    w.refuse(set, "changes.bulk_beside_others", "`changes`: must be the only change");
    // What was refused may still be made live.
    w.apply(live(&w.acme, stage(2), &[9, 1, 5], 2));
    assert_eq!(names(&w, &w.acme), ["a", "b", "m", "n"].map(|value| format!("fingerprint:{value}")));
}

pub(super) fn rows_of_a_profile_that_went_keep_a_stage_from_being_made_live(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut rows = BlockRows::new();
    let profiles: [ProfileId; 2] = [w.acme.profile.id.clone(), text("pro_nowhere")];
    for profile in &profiles {
        let (kind, value, scope) = (BlockKind::CardBin, "411111", RowScope::Profile(profile));
        let (action, expires_at) = (BlockAction::Block, None);
        rows.push(BlockRow { kind, value, scope, action, expires_at, reason: None, metadata: None });
    }
    let sorted = Arc::new(SortedRows::of(&rows));
    w.stage(StagedPart::new(stage(1), of(&w.acme), 1, sorted, vec![0, 1], moment(1)).expect("two rows"))
        .expect("is taken");
    let absent = "there is no business profile `pro_nowhere`";
    w.refuse(live(&w.acme, stage(1), &[], 2), "not_found", absent);
    w.apply(live(&w.acme, stage(1), &[1], 1));
    assert_eq!(names(&w, &w.acme), ["card_bin@pro_default:411111"]);
}

pub(super) fn a_stage_of_one_list_is_no_others(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    put(&w, &w.acme, stage(1), 1, &[("m", 3), ("b", 1)]);
    assert_eq!(w.taken(&of(&w.sister), stage(1)), None);
    let foreign = part(&of(&w.sister), stage(1), 2, &[("c", 4)], moment(20));
    assert_eq!(w.stage(foreign).expect_err("is another's").code(), "block_rule.stage_gone");
    w.refuse(live(&w.sister, stage(1), &[], 2), "block_rule.stage_gone", &gone("merchant_2"));
    w.apply(live(&w.acme, stage(1), &[], 2));
}

/// Two BINs of an organization.
fn of_organization(row: &Stored<OrganizationState>, stage: StageId) -> StagedPart {
    let mut rows = BlockRows::new();
    for value in ["411111", "411112"] {
        let (kind, scope, action, expires_at) = (BlockKind::CardBin, RowScope::Organization, BlockAction::Block, None);
        rows.push(BlockRow { kind, value, scope, action, expires_at, reason: None, metadata: None });
    }
    let sorted = Arc::new(SortedRows::of(&rows));
    StagedPart::new(stage, row.entity(), 1, sorted, vec![0, 1], moment(1)).expect("two rows")
}

pub(super) fn parts_come_one_behind_the_other_or_not_at_all(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let refused = |stage, ordinal, value| {
        let wrong = part(&of(&w.acme), stage, ordinal, &[(value, 9)], moment(20));
        assert_eq!(w.stage(wrong).expect_err("comes out of turn").code(), "block_rule.stage_gone");
    };
    refused(stage(1), 2, "a");
    put(&w, &w.acme, stage(1), 1, &[("a", 0)]);
    for ordinal in [1, 3] {
        refused(stage(1), ordinal, "b");
    }
    put(&w, &w.acme, stage(1), 2, &[("b", 1)]);
    refused(stage(1), 2, "b");
    // What was removed is not begun anew by what comes late.
    assert_eq!(w.prune(&Prune::Stage { stage: stage(1), limit: 9 }), Pruned { removed: 2, more: false });
    refused(stage(1), 3, "c");
    assert_eq!(w.prune(&Prune::Stage { stage: stage(1), limit: 9 }), Pruned { removed: 0, more: false });
}

pub(super) fn what_is_made_live_is_counted_by_kind_and_version(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let own = |version: u32, digit: &str| format!("fp{version}_{}A", digit.repeat(42));
    let (first, second, third) = (own(1, "A"), own(2, "B"), own(2, "C"));
    put(&w, &w.acme, stage(1), 1, &[("tok", 0), (&first, 1), (&second, 2)]);
    put(&w, &w.acme, stage(1), 2, &[("tok", 3), (&third, 4)]);
    w.apply(live(&w.acme, stage(1), &[3], 4));
    let fingerprints =
        |version, count| BlockCount { kind: BlockKind::Fingerprint, fingerprint_version: version, count };
    assert_eq!(page(&w, &w.acme).counts, [fingerprints(None, 1), fingerprints(Some(1), 1), fingerprints(Some(2), 2)]);
    let mut set = w.acme.set();
    set.expectations.push(Expectation::Fingerprints { of: of(&w.acme), version: 2, count: 2 });
    set.update(touched(&w.acme.profile));
    w.apply(set);
}

pub(super) fn an_organizations_list_has_stages_too(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let row = organization(1);
    let mut rows = BlockRows::new();
    for value in ["411111", "411112"] {
        let (kind, scope, action, expires_at) = (BlockKind::CardBin, RowScope::Organization, BlockAction::Block, None);
        rows.push(BlockRow { kind, value, scope, action, expires_at, reason: None, metadata: None });
    }
    let sorted = Arc::new(SortedRows::of(&rows));
    let wrong = StagedPart::new(stage(1), of(&w.acme), 1, Arc::clone(&sorted), vec![0, 1], moment(1));
    assert_eq!(wrong.expect_err("holds elsewhere").code(), "blocklist.other_scope");
    for (ordinal, numbers) in [(1, vec![0]), (1, vec![1, 1]), (1, vec![0, u64::MAX]), (0, vec![0, 1])] {
        let wrong = StagedPart::new(stage(1), row.entity(), ordinal, Arc::clone(&sorted), numbers, moment(1));
        assert_eq!(wrong.expect_err("is numbered wrongly").code(), "block_rule.stage_numbers");
    }
    w.stage(StagedPart::new(stage(1), row.entity(), 1, sorted, vec![0, 1], moment(1)).expect("rows"))
        .expect("is taken");
    let new = StagedRules::new(row.entity(), stage(1), Vec::new(), 2, Actor::Host, None, moment(50)).expect("rows");
    let mut set = organization_set(&row);
    set.changes.push(Change::AddStagedRules(Box::new(new)));
    w.apply(set);
    let path = perfectpay::store::OrganizationPath::Pinned(row.tenant).into();
    let scan = BlockScan { path, select: BlockSelect::After(None), limit: 9, details: false };
    let found = w.block_rules(&scan).expect("it lives");
    let names: Vec<String> = found.rows.iter().map(|row| row.name()).collect();
    assert_eq!(names, ["card_bin@*:411111", "card_bin@*:411112"]);
}

pub(super) fn stages_are_pruned_in_bounded_steps_the_untouched_ones(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let step = |stage, limit| w.prune(&Prune::Stage { stage, limit });
    put(&w, &w.acme, stage(1), 1, &[("a", 0), ("b", 1), ("c", 2)]);
    put(&w, &w.acme, stage(1), 2, &[("d", 3), ("e", 4)]);
    put(&w, &w.acme, stage(2), 1, &[("a", 0)]);
    assert_eq!(step(stage(9), 9), Pruned { removed: 0, more: false });
    assert_eq!(step(stage(1), 2), Pruned { removed: 2, more: true });
    // What is begun to be removed is whole no more.
    w.refuse(live(&w.acme, stage(1), &[], 3), "block_rule.stage_gone", &gone("merchant_1"));
    assert_eq!(w.taken(&of(&w.acme), stage(1)), None);
    assert_eq!(step(stage(1), 3), Pruned { removed: 3, more: false });
    assert_eq!(step(stage(1), 3), Pruned { removed: 0, more: false });
    w.apply(live(&w.acme, stage(2), &[], 1));
    assert_eq!(step(stage(2), u32::MAX), Pruned { removed: 1, more: false });
    // What was made live, or begun to be removed, goes at once.
    put(&w, &w.acme, stage(8), 1, &[("b", 0)]);
    put(&w, &w.acme, stage(9), 1, &[("c", 0), ("d", 1)]);
    put(&w, &w.acme, stage(10), 1, &[("c", 0)]);
    w.apply(live(&w.acme, stage(8), &[], 1));
    assert_eq!(step(stage(9), 1), Pruned { removed: 1, more: true });
    let at_once = Prune::Stages { untouched_since: Timestamp::UNIX_EPOCH, limit: 9 };
    assert_eq!(w.prune(&at_once), Pruned { removed: 2, more: false });
    assert_eq!(step(stage(10), 9), Pruned { removed: 1, more: false });
    assert_eq!(names(&w, &w.acme), ["fingerprint:a", "fingerprint:b"], "entries stay");

    let at = |number: u8, ordinal, value, seconds| {
        let rows = [(value, u64::from(ordinal))];
        w.stage(part(&of(&w.acme), stage(number), ordinal, &rows, moment(seconds))).expect("is taken");
    };
    at(3, 1, "x", 30);
    at(4, 1, "x", 31);
    // The newest part counts, by whatever clocks they came.
    at(5, 1, "x", 32);
    at(5, 2, "y", 29);
    at(6, 1, "x", 28);
    let untouched = |seconds, limit| w.prune(&Prune::Stages { untouched_since: moment(seconds), limit });
    assert_eq!(untouched(28, 9), Pruned { removed: 0, more: false });
    assert_eq!(untouched(31, 1), Pruned { removed: 1, more: true });
    assert_eq!(untouched(31, 9), Pruned { removed: 1, more: false });
    for (number, lives) in [(3, false), (4, true), (5, true), (6, false)] {
        assert_eq!(w.taken(&of(&w.acme), stage(number)).is_some(), lives, "stage {number}");
    }
    let most = u64::from(MAX_STAGED_PRUNE_LIMIT);
    let values: Vec<(String, u64)> = (0..=most).map(|number| (format!("{number:07}"), number)).collect();
    let rows: Vec<(&str, u64)> = values.iter().map(|(value, number)| (value.as_str(), *number)).collect();
    put(&w, &w.acme, stage(7), 1, &rows);
    assert_eq!(step(stage(7), u32::MAX), Pruned { removed: most, more: true });
    assert_eq!(untouched(100, u32::MAX), Pruned { removed: 4, more: false });
}

pub(super) fn a_stage_goes_with_its_tenant(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for (number, tenant) in (1..).zip([&w.acme, &w.sister, &w.rival]) {
        put(&w, tenant, stage(number), 1, &[("a", 0), ("b", 1)]);
    }
    let mut set = organization_set(&w.acme.organization);
    set.remove(w.acme.merchant.entity(), 1, true);
    w.apply(set);
    let mut set = organization_set(&w.rival.organization);
    set.remove(w.rival.organization.entity(), 1, true);
    w.apply(set);
    for (number, tenant, lives) in [(1, &w.acme, false), (2, &w.sister, true), (3, &w.rival, false)] {
        assert_eq!(w.taken(&of(tenant), stage(number)).is_some(), lives);
    }
    for number in [1, 3] {
        let pruned = w.prune(&Prune::Stage { stage: stage(number), limit: 9 });
        assert_eq!(pruned, Pruned { removed: 0, more: false });
    }
    // Nothing is staged for one that does not live.
    let late = w.stage(part(&of(&w.acme), stage(4), 1, &[("a", 0)], moment(20))).expect_err("does not live");
    assert_eq!(late.to_string(), "there is no merchant account `merchant_1`");
    // Whatever has no children goes without a cascade, and what is staged for it all the same.
    let mut set = w.sister.set();
    set.remove(w.sister.profile.entity(), 1, false);
    w.apply(set);
    let mut set = organization_set(&w.sister.organization);
    set.remove(w.sister.merchant.entity(), 1, false);
    w.apply(set);
    assert_eq!(w.prune(&Prune::Stage { stage: stage(2), limit: 9 }), Pruned { removed: 0, more: false });
    let row = &w.acme.organization;
    w.stage(of_organization(row, stage(5))).expect("is taken");
    let mut set = organization_set(row);
    set.remove(row.entity(), 1, false);
    w.apply(set);
    assert_eq!(w.prune(&Prune::Stage { stage: stage(5), limit: 9 }), Pruned { removed: 0, more: false });
}

pub(super) fn a_stage_outlives_a_crash(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    put(&w, &w.acme, stage(1), 1, &[("m", 0), ("b", 1)]);
    put(&w, &w.acme, stage(1), 2, &[("a", 2), ("b", 3)]);
    let World { probe, acme, .. } = w;
    drop(probe);
    if !fixture.reopen() {
        return;
    }
    let probe = Probe::new(fixture.store());
    assert_eq!(probe.taken(&of(&acme), stage(1)), Some(vec![3]));
    put(&probe, &acme, stage(1), 3, &[("c", 4)]);
    probe.apply(live(&acme, stage(1), &[3], 4));
    assert_eq!(names(&probe, &acme), ["a", "b", "c", "m"].map(|value| format!("fingerprint:{value}")));
}
