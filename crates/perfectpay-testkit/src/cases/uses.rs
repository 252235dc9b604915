//! Uses of API keys: marked beside the record, listed by who looks for keys.

use perfectpay::api_key::ApiKeyState;
use perfectpay::store::{
    Actor, Change, ChangeSet, Collection, CommitClass, Extent, Item, Key, KeyFilter, KeyUse, Load, LogScope,
    OrganizationPath, Owner, Packed, Query, Record, Stored, Verb,
};
use perfectpay::{EntityKind, PageRequest, Timestamp};

use crate::Fixture;
use crate::records::{
    Tenant, World, api_key, key_of, moment, now, organization, organization_data_key, revoked, text, touched,
};

/// A set that marks uses, as housekeeping commits it: nobody's, and of no configuration.
fn marking(uses: &[(&Stored<ApiKeyState>, Timestamp)]) -> ChangeSet {
    let mut set = ChangeSet::new(Owner::default(), Actor::Host, now(), CommitClass::Operational);
    let used =
        |(row, at): &(&Stored<ApiKeyState>, Timestamp)| KeyUse { tenant: row.tenant, id: row.id.clone(), at: *at };
    set.changes.push(Change::MarkUsed(uses.iter().map(used).collect()));
    set
}

fn key(w: &World, row: &Stored<ApiKeyState>) -> Stored<ApiKeyState> {
    w.get(&key_of(&row.entity())).expect("it lives").try_into().expect("an API key")
}

/// The key with the mark, and otherwise as it is.
fn marked(row: &Stored<ApiKeyState>, at: Timestamp) -> Stored<ApiKeyState> {
    let mut row = row.clone();
    row.state.last_used = Some(at);
    row
}

/// The ids of a part of the keys of `acme`, and of all, read in pages of so many.
#[track_caller]
fn ids(w: &World, filter: &KeyFilter, limit: u32) -> [Vec<String>; 2] {
    let own = |page| Query::Within(w.acme.path(), Collection::SomeApiKeys(filter.clone()), page);
    let all = |page| Query::ApiKeys(filter.clone(), page);
    let named = |records: Vec<Record>| records.iter().map(|record| record.meta().id).collect();
    [named(w.pages(limit, own).expect("it lives")), named(w.pages(limit, all).expect("the platform lives"))]
}

pub(super) fn the_last_use_of_a_key_is_marked_and_nothing_else_of_it(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let (one, two) = (api_key(&w.acme.merchant, 1), api_key(&w.rival.merchant, 2));
    w.apply(w.acme.creating([one.clone().into()]));
    w.apply(w.rival.creating([two.clone().into()]));
    assert_eq!(key(&w, &one).state.last_used, None);
    let before = w.head();
    let receipt = w.apply(marking(&[(&one, moment(50)), (&two, moment(60))]));
    // No version and no time of modification moved, and snapshots have nothing to follow.
    let (first, second) = (marked(&one, moment(50)), marked(&two, moment(60)));
    assert_eq!((key(&w, &one), key(&w, &two)), (first.clone(), second.clone()));
    assert_eq!((w.head().position, w.head().configuration), (receipt.position, before.configuration));
    let by_digest = w.get(&Key::ApiKeyByDigest(crate::records::digest(1)));
    assert_eq!(by_digest, Some(first.clone().into()));
    assert_eq!(w.list(&w.acme.query(Collection::ApiKeys)).expect("it lives").records, [first.into()]);
    // One line for all of them, in no account's log.
    let log = w.log(&LogScope::All);
    let entry = log.last().expect("an entry");
    let said: Vec<_> = entry.changes.iter().map(|c| (c.kind, c.id.as_str(), c.verb, c.version, c.count)).collect();
    assert_eq!(said, [(EntityKind::ApiKey, "*", Verb::Used, 0, 2)]);
    assert_eq!((&entry.organization_id, &entry.merchant_id, entry.class), (&None, &None, CommitClass::Operational));
    assert!(w.log(&LogScope::Merchant(w.acme.merchant.tenant)).iter().all(|entry| entry.position < receipt.position));
    // The mark moves on and never back, and the key's next version is the one behind its own.
    w.apply(marking(&[(&one, moment(70)), (&two, moment(59)), (&one, moment(65))]));
    assert_eq!((key(&w, &one), key(&w, &two)), (marked(&one, moment(70)), second));
    let mut set = w.acme.set();
    set.update(touched(&key(&w, &one)));
    w.apply(set);
    assert_eq!(key(&w, &one).version, 2);
}

pub(super) fn an_update_leaves_the_mark_of_the_last_use(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let row = api_key(&w.acme.merchant, 1);
    w.apply(w.acme.creating([row.clone().into()]));
    w.apply(marking(&[(&row, moment(50))]));
    // Decided on what was read before the use was marked.
    let mut next = touched(&row);
    next.state.name = text("Other");
    next.state.expires_at = Some(moment(900));
    let mut set = w.acme.set();
    set.update(next.clone());
    w.apply(set);
    assert_eq!(key(&w, &row), marked(&next, moment(50)));
    // Nor does an update make a mark, earlier or later.
    let mut set = w.acme.set();
    set.update(marked(&touched(&next), moment(80)));
    w.apply(set);
    assert_eq!(key(&w, &row).state.last_used, Some(moment(50)));
    let mut set = w.acme.set();
    set.update(revoked(&key(&w, &row)));
    w.apply(set);
    assert_eq!(key(&w, &row).state.last_used, Some(moment(50)));
    assert_eq!(key(&w, &row).version, 4);
}

pub(super) fn keys_that_do_not_live_are_passed_over_when_uses_are_marked(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let (row, gone) = (api_key(&w.acme.merchant, 1), api_key(&w.acme.merchant, 2));
    w.apply(w.acme.creating([row.clone().into(), gone.clone().into()]));
    w.apply(marking(&[(&gone, moment(40))]));
    let mut set = w.acme.set();
    set.remove(gone.entity(), 1, false);
    w.apply(set);
    // An id that another account has, and one that nobody has.
    let mut foreign = row.clone();
    foreign.tenant = w.rival.merchant.tenant;
    w.apply(marking(&[(&gone, moment(50)), (&foreign, moment(51)), (&row, moment(52))]));
    assert_eq!(key(&w, &row), marked(&row, moment(52)));
    assert_eq!(w.get(&key_of(&gone.entity())), None);
    // Made again under its id, it was never used.
    w.apply(w.acme.creating([gone.clone().into()]));
    assert_eq!(key(&w, &gone), gone);
    // And what goes with its account takes the mark along.
    let mut set = w.acme.set();
    set.remove(w.acme.merchant.entity(), 1, true);
    w.apply(set);
    w.apply(marking(&[(&row, moment(60))]));
    assert_eq!(w.get(&key_of(&row.entity())), None);
}

pub(super) fn marked_uses_are_the_only_change_of_their_set(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let row = api_key(&w.acme.merchant, 1);
    w.apply(w.acme.creating([row.clone().into()]));
    let mut set = marking(&[(&row, moment(50))]);
    set.update(touched(&row));
    w.refuse(set, "changes.bulk_beside_others", "`changes`: must be the only change");
    assert_eq!(key(&w, &row), row);
}

/// Keys of two accounts: when each was made and ends, in seconds.
fn ending(w: &World) {
    let with = |tenant: &Tenant, number: u32, end: Option<u32>| {
        let mut row = api_key(&tenant.merchant, number);
        row.state.expires_at = end.map(moment);
        row
    };
    let keys = [(1, Some(700)), (2, Some(500)), (3, None), (4, Some(600)), (5, Some(500))];
    w.apply(w.acme.creating(keys.map(|(number, end)| with(&w.acme, number, end).into())));
    let keys = [(6, Some(600)), (7, Some(100)), (8, Some(550))];
    w.apply(w.rival.creating(keys.map(|(number, end)| with(&w.rival, number, end).into())));
    let mut set = w.rival.set();
    set.update(revoked(&with(&w.rival, 8, Some(550))));
    w.apply(set);
}

pub(super) fn keys_are_listed_by_when_they_end(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    ending(&w);
    let within = |after, before| KeyFilter::Ending { after: moment(after), before: moment(before) };
    for limit in [1, 2, 3, 100] {
        let [own, all] = ids(&w, &within(200, 800), limit);
        assert_eq!(own, ["dev_2", "dev_5", "dev_4", "dev_1"]);
        assert_eq!(all, ["dev_2", "dev_5", "dev_4", "dev_6", "dev_1"]);
        // Both moments are excluded.
        assert_eq!(ids(&w, &within(500, 700), limit), [vec!["dev_4"], vec!["dev_4", "dev_6"]]);
        assert_eq!(ids(&w, &within(0, 101), limit), [vec![], vec!["dev_7"]]);
    }
    // One that is given another end stands there.
    let row = key(&w, &api_key(&w.acme.merchant, 2));
    let mut next = touched(&row);
    next.state.expires_at = Some(moment(650));
    let mut set = w.acme.set();
    set.update(next);
    w.apply(set);
    assert_eq!(ids(&w, &within(200, 800), 2)[0], ["dev_5", "dev_4", "dev_2", "dev_1"]);
}

pub(super) fn keys_are_listed_by_how_long_they_are_idle(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    ending(&w);
    let unused = |since, at| KeyFilter::Unused { since: moment(since), at: moment(at) };
    for limit in [1, 2, 100] {
        // Never used, since they were made. Revoked and ended ones are no matter.
        let three = ["dev_1", "dev_2", "dev_3"];
        assert_eq!(ids(&w, &unused(4, 200), limit), [three, three]);
        assert_eq!(ids(&w, &unused(9, 500), limit)[1], ["dev_1", "dev_3", "dev_4", "dev_6"]);
    }
    let one = api_key(&w.acme.merchant, 1);
    let six = api_key(&w.rival.merchant, 6);
    w.apply(marking(&[(&one, moment(300)), (&six, moment(250))]));
    for limit in [1, 2, 100] {
        assert_eq!(ids(&w, &unused(9, 200), limit)[1], ["dev_2", "dev_3", "dev_4", "dev_5"]);
        assert_eq!(ids(&w, &unused(300, 200), limit)[1], ["dev_2", "dev_3", "dev_4", "dev_5", "dev_6"]);
        let [own, all] = ids(&w, &unused(301, 200), limit);
        assert_eq!(own, ["dev_2", "dev_3", "dev_4", "dev_5", "dev_1"]);
        assert_eq!(all, ["dev_2", "dev_3", "dev_4", "dev_5", "dev_6", "dev_1"]);
    }
    // A page shows the mark by which it is ordered.
    let page = Query::Within(w.acme.path(), Collection::SomeApiKeys(unused(301, 200)), PageRequest::default());
    let listed = w.list(&page).expect("it lives").records;
    assert_eq!(listed.last(), Some(&key(&w, &one).into()));
}

pub(super) fn keys_are_listed_by_the_pepper_of_their_digest(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    ending(&w);
    let under = |pepper: &str| KeyFilter::Under(text(pepper));
    let mut next = touched(&key(&w, &api_key(&w.acme.merchant, 2)));
    let digest = next.state.digest.as_mut().expect("it is not revoked");
    (digest.pepper, digest.digest) = (text("master-2"), crate::records::digest(99));
    let mut set = ChangeSet::new(Owner::default(), Actor::Host, now(), CommitClass::Operational);
    set.update(next.clone());
    w.apply(set);
    for limit in [1, 2, 100] {
        let [own, all] = ids(&w, &under("master-1"), limit);
        assert_eq!(own, ["dev_1", "dev_3", "dev_4", "dev_5"]);
        assert_eq!(all, ["dev_1", "dev_3", "dev_4", "dev_5", "dev_6", "dev_7"]);
        assert_eq!(ids(&w, &under("master-2"), limit), [["dev_2"], ["dev_2"]]);
        assert_eq!(ids(&w, &under("master"), limit), [Vec::<String>::new(), vec![]]);
    }
    // Under its new digest it is found, and under the former one no longer.
    assert_eq!(w.get(&Key::ApiKeyByDigest(crate::records::digest(99))), Some(next.clone().into()));
    assert_eq!(w.get(&Key::ApiKeyByDigest(crate::records::digest(2))), None);
    let mut set = w.acme.set();
    set.update(revoked(&next));
    w.apply(set);
    assert_eq!(ids(&w, &under("master-2"), 10)[1], Vec::<String>::new());
}

pub(super) fn a_copy_takes_the_marks_of_last_uses_along(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let tenant = Tenant::within(&organization(4), 4);
    let row = marked(&api_key(&tenant.merchant, 4), moment(50));
    let records: [Record; 6] = [
        tenant.organization.clone().into(),
        organization_data_key(&tenant.organization).into(),
        tenant.merchant.clone().into(),
        tenant.data_key.clone().into(),
        tenant.profile.clone().into(),
        row.clone().into(),
    ];
    let packed = |record| Item::Record(Packed::new(record).expect("a state is JSON"));
    let load = Load { items: records.map(packed).into(), behind: None };
    w.import(load.clone()).expect("nothing stands against it");
    assert_eq!(key(&w, &row), row);
    let of = Extent::Organization(OrganizationPath::Pinned(tenant.organization.tenant));
    let exported = w.export(&of);
    assert_eq!(exported.last(), load.items.last());
    // Written again it is there already; with another mark it is not the same any more.
    w.import(load.clone()).expect("it is there, and equal");
    w.apply(marking(&[(&row, moment(60))]));
    let before = key(&w, &row);
    assert_eq!(w.import(load).expect_err("it was used since").code(), "load.differs");
    assert_eq!(key(&w, &row), before);
}
