//! Atomic: a set is applied in order and whole, each change in the state that those before it leave.

use perfectpay::store::{Committed, Key, LogScope, Record, Verb};

use crate::Fixture;
use crate::records::{
    World, api_key, block_rule, connector, data_key, key_of, keys_of, now, payment, profile, renamed, revoked, text,
    touched,
};

pub(super) fn a_fresh_store_is_empty(fixture: &mut dyn Fixture) {
    let probe = crate::probe::Probe::new(fixture.store());
    let head = probe.head();
    assert_eq!(head.position, perfectpay::store::LogPosition::START);
    assert_eq!(head.configuration, perfectpay::store::LogPosition::START);
    assert_eq!(head.at, perfectpay::Timestamp::UNIX_EPOCH);
    assert_eq!(probe.log(&LogScope::All), []);
    let listing = probe.list(&perfectpay::store::Query::Organizations(perfectpay::PageRequest::default()));
    assert_eq!(listing, Some(perfectpay::store::Listing::default()));
}

pub(super) fn a_set_is_applied_whole_and_seen_at_once(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut records = w.acme.one_of_each(1);
    let mut spare = data_key(&w.acme.merchant);
    spare.id = text("dk_spare");
    records.push(spare.into());
    let receipt = w.apply(w.acme.creating(records.clone()));
    for record in &records {
        for path in w.acme.paths() {
            for key in keys_of(record, &path) {
                assert_eq!(w.get(&key).as_ref(), Some(record), "{key:?}");
            }
        }
        // Data keys and the outbox are listed by the platform.
        for collection in record.collections() {
            if record.place_in(&collection).0 != w.acme.merchant.tenant {
                continue;
            }
            let listing = w.list(&w.acme.query(collection.clone())).expect("the tenant lives");
            assert!(listing.records.contains(record), "{collection:?}");
        }
    }
    assert_eq!(w.head().position, receipt.position);
    let log = w.log(&LogScope::All);
    let entry = log.last().expect("has an entry");
    assert_eq!((entry.position, entry.at), (receipt.position, receipt.at));
    assert_eq!(entry.changes.len(), records.len());
}

pub(super) fn a_set_whose_last_change_fails_changes_nothing(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.creating(w.acme.one_of_each(1));
    set.update(renamed(&w.acme.profile, "renamed")).create(w.acme.profile.clone());
    w.refuse(set, "already_exists", "business profile `pro_default` exists already");
    let mut set = w.acme.creating(w.acme.one_of_each(1));
    set.remove(w.acme.merchant.entity(), 1, false);
    w.refuse(
        set,
        "has_children",
        "merchant account `merchant_1` still has 2 × business profile, 1 × API key, 1 × blocklist entry",
    );
}

pub(super) fn a_set_whose_middle_change_fails_changes_nothing(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.set();
    let one = profile(&w.acme.merchant, 1);
    set.create(one.clone())
        .update(profile(&w.acme.merchant, 9).next(now(), one.state))
        .create(api_key(&w.acme.merchant, 1));
    w.refuse(set, "not_found", "there is no business profile `pro_9`");
}

pub(super) fn an_empty_set_is_refused(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.refuse(w.acme.set(), "changes.empty", "`changes`: must have a change");
    let mut set = w.acme.set();
    set.expect(w.acme.profile.entity(), 7);
    w.refuse(set, "changes.empty", "`changes`: must have a change");
}

pub(super) fn a_change_behind_a_cascade_is_refused(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.set();
    set.remove(w.acme.merchant.entity(), 1, true).create(profile(&w.sister.merchant, 1));
    w.refuse(set, "changes.after_cascade", "`changes`: must end with the cascade");
    let mut set = w.acme.set();
    set.remove(w.acme.merchant.entity(), 2, true).create(profile(&w.sister.merchant, 1));
    w.refuse(set, "stale", "merchant account `merchant_1` is at version 1, not 2");
}

pub(super) fn a_cascade_takes_what_its_own_set_created(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let records = w.acme.one_of_each(1);
    let mut set = w.acme.creating(records.clone());
    set.remove(w.acme.merchant.entity(), 1, true);
    w.apply(set);
    for record in &records {
        assert_eq!(w.get(&key_of(&record.entity())), None);
    }
    assert_eq!(w.list(&w.acme.query(perfectpay::store::Collection::Profiles)), None);
}

pub(super) fn a_set_moves_the_default_from_one_profile_to_another(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut other = profile(&w.acme.merchant, 1);
    w.apply(w.acme.creating([other.clone().into()]));
    let mut unset = touched(&w.acme.profile);
    unset.state.is_default = false;
    other = touched(&other);
    other.state.is_default = true;

    let mut set = w.acme.set();
    set.update(other.clone()).update(unset.clone());
    w.refuse(set, "duplicate", "another business profile has this default_profile");

    let mut set = w.acme.set();
    set.update(unset).update(other.clone());
    w.apply(set);
    for path in w.acme.paths() {
        assert_eq!(w.get(&Key::DefaultProfile(path)), Some(other.clone().into()));
    }
}

pub(super) fn a_set_swaps_two_names_by_way_of_a_third(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let (one, two) = (profile(&w.acme.merchant, 1), profile(&w.acme.merchant, 2));
    w.apply(w.acme.creating([one.clone().into(), two.clone().into()]));
    let mut set = w.acme.set();
    set.update(renamed(&one, "Profile 2")).update(renamed(&two, "Profile 1"));
    w.refuse(set, "duplicate", "another business profile has this profile_name");

    let away = renamed(&one, "away");
    let (two, one) = (renamed(&two, "Profile 1"), renamed(&away, "Profile 2"));
    let mut set = w.acme.set();
    set.update(away).update(two.clone()).update(one.clone());
    w.apply(set);
    let by_name = |name: &str| w.get(&Key::ProfileByName(w.acme.path(), text(name)));
    assert_eq!(by_name("Profile 1"), Some(two.into()));
    assert_eq!(by_name("Profile 2"), Some(one.into()));
    assert_eq!(by_name("away"), None);
}

pub(super) fn a_parent_comes_before_its_child_in_a_set(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let profile = profile(&w.acme.merchant, 1);
    let connector = connector(&profile, 1);
    w.refuse(
        w.acme.creating([connector.clone().into(), profile.clone().into()]),
        "not_found",
        "there is no business profile `pro_1`",
    );
    w.apply(w.acme.creating([profile.into(), connector.into()]));
}

pub(super) fn a_child_goes_before_its_parent_in_a_set(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let profile = profile(&w.acme.merchant, 1);
    let connector = connector(&profile, 1);
    w.apply(w.acme.creating([profile.clone().into(), connector.clone().into()]));
    let mut set = w.acme.set();
    set.remove(profile.entity(), 1, false).remove(connector.entity(), 1, false);
    w.refuse(set, "has_children", "business profile `pro_1` still has 1 × connector account");
    let mut set = w.acme.set();
    set.remove(connector.entity(), 1, false).remove(profile.entity(), 1, false);
    w.apply(set);
    assert_eq!(w.get(&Key::Profile(w.acme.pinned(), profile.id)), None);
    assert_eq!(w.get(&Key::Connector(w.acme.pinned(), connector.id)), None);
}

pub(super) fn a_set_creates_updates_and_removes_one_object(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let first = profile(&w.acme.merchant, 1);
    let third = renamed(&touched(&first), "third");
    let mut set = w.acme.set();
    set.create(first.clone()).update(touched(&first)).update(third.clone());
    w.apply(set);
    assert_eq!(w.get(&Key::Profile(w.acme.path(), first.id.clone())), Some(third.into()));
    let log = w.log(&LogScope::Entity(first.entity()));
    let said: Vec<_> = log.iter().flat_map(|e| &e.changes).map(|c| (c.verb, c.version)).collect();
    assert_eq!(said, [(Verb::Created, 1), (Verb::Updated, 2), (Verb::Updated, 3)]);

    let passing = profile(&w.acme.merchant, 2);
    let before = w.acme.query(perfectpay::store::Collection::Profiles);
    let shown = w.list(&before);
    let mut set = w.acme.set();
    set.create(passing.clone()).remove(passing.entity(), 1, false);
    w.apply(set);
    assert_eq!(w.list(&before), shown);

    let mut set = w.acme.set();
    set.create(passing.clone()).update(passing.clone());
    w.refuse(set, "stale", "business profile `pro_2` is at version 1, not 0");
    let mut set = w.acme.set();
    set.create(passing.clone()).remove(passing.entity(), 1, false).update(touched(&passing));
    w.refuse(set, "not_found", "there is no business profile `pro_2`");
    let mut set = w.acme.set();
    set.create(passing.clone()).remove(passing.entity(), 2, false);
    w.refuse(set, "stale", "business profile `pro_2` is at version 1, not 2");
}

pub(super) fn a_set_removes_an_object_and_uses_its_id_and_name_again(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let old = profile(&w.acme.merchant, 1);
    w.apply(w.acme.creating([old.clone().into()]));
    let old = touched(&old);
    let mut set = w.acme.set();
    set.update(old.clone());
    w.apply(set);
    let new = profile(&w.acme.merchant, 1);
    let mut set = w.acme.set();
    set.create(new.clone()).remove(old.entity(), 2, false);
    w.refuse(set, "already_exists", "business profile `pro_1` exists already");
    let mut set = w.acme.set();
    set.remove(old.entity(), 2, false).create(new.clone());
    w.apply(set);
    assert_eq!(w.get(&Key::Profile(w.acme.path(), new.id.clone())), Some(new.clone().into()));
    let name = new.state.profile_name.clone();
    assert_eq!(w.get(&Key::ProfileByName(w.acme.path(), name)), Some(new.into()));
}

pub(super) fn a_set_moves_a_child_and_removes_its_former_parent(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let (from, to) = (profile(&w.acme.merchant, 1), profile(&w.acme.merchant, 2));
    let (old, new) = (connector(&from, 1), connector(&to, 1));
    w.apply(w.acme.creating([from.clone().into(), to.clone().into(), old.clone().into()]));
    let moving = || {
        let mut set = w.acme.set();
        set.remove(old.entity(), 1, false).create(new.clone());
        set
    };
    let mut set = moving();
    set.remove(to.entity(), 1, false);
    w.refuse(set, "has_children", "business profile `pro_2` still has 1 × connector account");
    let mut set = moving();
    set.remove(from.entity(), 1, false);
    w.apply(set);
    assert_eq!(w.get(&Key::Connector(w.acme.path(), new.id.clone())), Some(new.into()));
    assert_eq!(w.get(&Key::Profile(w.acme.path(), from.id)), None);
}

pub(super) fn what_went_along_in_a_set_is_gone_for_its_later_changes(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let key = api_key(&w.acme.merchant, 1);
    w.apply(w.acme.creating([key.clone().into()]));
    let mut set = w.acme.set();
    set.update(revoked(&key));
    w.apply(set);
    let emptying = || {
        let mut set = w.acme.set();
        set.remove(w.acme.profile.entity(), 1, false).remove(w.acme.merchant.entity(), 1, false);
        set
    };
    let mut set = emptying();
    set.update(touched(&w.acme.data_key));
    w.refuse(set, "not_found", "there is no data key `dk_1`");
    let mut set = emptying();
    set.update(touched(&revoked(&key)));
    w.refuse(set, "not_found", "there is no API key `dev_1`");
    let mut set = emptying();
    set.remove(w.acme.data_key.entity(), 1, false);
    w.refuse(set, "not_found", "there is no data key `dk_1`");
    let mut set = emptying();
    set.create(profile(&w.acme.merchant, 5));
    w.refuse(set, "not_found", "there is no merchant account `merchant_1`");
}

pub(super) fn a_set_counts_children_as_it_leaves_them(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let key = api_key(&w.acme.merchant, 1);
    w.apply(w.acme.creating([key.clone().into(), block_rule(&w.acme.merchant, 1).into()]));
    let rule = block_rule(&w.acme.merchant, 1);

    let mut set = w.acme.set();
    set.update(revoked(&key)).remove(rule.entity(), 1, false).remove(w.acme.merchant.entity(), 1, false);
    w.refuse(set, "has_children", "merchant account `merchant_1` still has 1 × business profile");

    let mut set = w.acme.set();
    set.update(revoked(&key));
    w.apply(set);
    let mut again = touched(&revoked(&key));
    again.state.clone_from(&key.state);
    let mut set = w.acme.set();
    set.update(again).remove(rule.entity(), 1, false).remove(w.acme.profile.entity(), 1, false);
    set.remove(w.acme.merchant.entity(), 1, false);
    w.refuse(set, "has_children", "merchant account `merchant_1` still has 1 × API key");

    let mut set = w.acme.set();
    set.remove(rule.entity(), 1, false).remove(w.acme.profile.entity(), 1, false);
    set.remove(w.acme.merchant.entity(), 1, false);
    w.apply(set);
    for path in w.acme.paths() {
        for key in keys_of(&Record::Merchant(w.acme.merchant.clone()), &path) {
            assert_eq!(w.get(&key), None, "{key:?}");
        }
    }
}

pub(super) fn a_set_of_hundreds_of_changes_is_one_commit(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let entries = w.log(&LogScope::All).len();
    let mut set = w.acme.creating((1..=400).map(|n| block_rule(&w.acme.merchant, n).into()));
    let Ok(Committed::Applied(_)) = w.commit(set.clone()) else { panic!("a large set must be applied") };
    let rules = |page| {
        let all = perfectpay::store::Collection::BlockRules { kind: None };
        perfectpay::store::Query::Within(w.acme.path(), all, page)
    };
    assert_eq!(w.pages(100, rules).map(|rules| rules.len()), Some(400));
    assert_eq!(w.log(&LogScope::All).len(), entries + 1);
    set.changes.rotate_left(200);
    w.refuse(set, "already_exists", "blocklist entry `card_bin:000201` exists already");
}

pub(super) fn one_set_writes_to_payments_and_profiles_alike(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let one = payment(&w.acme.profile, 1);
    let mut set = w.acme.set();
    set.create(one.clone()).update(renamed(&w.acme.profile, "busy"));
    w.apply(set);
    let mut set = w.acme.set();
    set.update(touched(&one)).remove(w.acme.profile.entity(), 2, false);
    w.refuse(set, "has_children", "business profile `pro_default` still has 1 × payment");
}
