//! Followed: one entry for each commit, in the order in which they became visible.

use perfectpay::EntityKind;
use perfectpay::store::{Actor, Change, CommitClass, LogChange, LogPosition, LogScope, MAX_LOG_LIMIT, Verb};

use crate::Fixture;
use crate::records::{
    World, api_key, block_rule, claim, key_of, moment, now, organization_set, payment, profile, renamed, revoked, text,
};

pub(super) fn every_commit_stands_in_the_log_once_with_all_that_it_says(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let before = w.log(&LogScope::All);
    let (one, two) = (profile(&w.acme.merchant, 1), profile(&w.acme.merchant, 2));
    let mut set = w.acme.set();
    set.actor = Actor::Operator(text("Zoë O'Brien: \"on call\""));
    set.create(one.clone()).create(two.clone()).update(renamed(&one, "x")).remove(two.entity(), 1, false);
    let receipt = w.apply(set.clone());
    let log = w.log(&LogScope::All);
    assert_eq!(log[..before.len()], before[..]);
    assert_eq!(log.len(), before.len() + 1);
    let entry = &log[before.len()];
    assert_eq!((entry.position, entry.at), (receipt.position, receipt.at));
    assert_eq!((&entry.actor, entry.class, entry.at), (&set.actor, CommitClass::Configuration, now()));
    assert_eq!(entry.organization_id.as_deref(), Some("org_1"));
    assert_eq!(entry.merchant_id.as_deref(), Some("merchant_1"));
    let change =
        |id: &str, verb, version| LogChange { kind: EntityKind::Profile, id: id.into(), verb, version, count: 1 };
    let expected = [
        change("pro_1", Verb::Created, 1),
        change("pro_2", Verb::Created, 1),
        change("pro_1", Verb::Updated, 2),
        change("pro_2", Verb::Removed, 1),
    ];
    assert_eq!(entry.changes, expected);
    assert_eq!(entry.changes, set.logged());
}

pub(super) fn a_revocation_is_logged_as_one(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let key = api_key(&w.acme.merchant, 1);
    w.apply(w.acme.creating([key.clone().into()]));
    let mut set = w.acme.set();
    set.actor = Actor::ApiKey(key.id.clone());
    set.update(revoked(&key));
    w.apply(set);
    let log = w.log(&LogScope::Entity(key.entity()));
    let said: Vec<_> = log.iter().map(|e| (e.actor.to_string(), e.changes[0].verb)).collect();
    assert_eq!(said, [("host".to_owned(), Verb::Created), ("key:dev_1".to_owned(), Verb::Revoked)]);
}

pub(super) fn a_revelation_is_logged_and_changes_nothing(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let profile = profile(&w.acme.merchant, 1);
    w.apply(w.acme.creating([profile.clone().into()]));
    let set = |version| {
        let mut set = w.acme.set();
        set.class = CommitClass::Operational;
        set.changes.push(Change::Reveal { entity: profile.entity(), version });
        set
    };
    let before = w.head();
    let receipt = w.apply(set(1));
    assert_eq!((w.head().position, w.head().configuration), (receipt.position, before.configuration));
    assert_eq!(w.get(&key_of(&profile.entity())), Some(profile.clone().into()));
    let log = w.log(&LogScope::Entity(profile.entity()));
    let said: Vec<_> = log.iter().flat_map(|e| &e.changes).map(|c| (c.id.as_str(), c.verb, c.version)).collect();
    assert_eq!(said, [("pro_1", Verb::Created, 1), ("pro_1", Verb::Revealed, 1)]);
    // It is of the version that was read, and of what lives.
    let stale = format!("{} is at version 1, not 2", profile.entity().named());
    w.refuse(set(2), "stale", &stale);
    let mut gone = w.acme.set();
    gone.remove(profile.entity(), 1, false);
    w.apply(gone);
    w.refuse(set(1), "not_found", &format!("there is no {}", profile.entity().named()));
}

pub(super) fn the_log_of_an_organization_names_no_merchant_account(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let log = w.log(&LogScope::Organization(w.rival.organization.tenant));
    let said: Vec<_> = log.iter().map(|e| (e.organization_id.as_deref(), e.merchant_id.as_deref())).collect();
    assert_eq!(said, [(Some("org_2"), None), (Some("org_2"), Some("merchant_3"))]);
}

pub(super) fn a_refused_or_replayed_set_does_not_stand_in_the_log(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.creating([profile(&w.acme.merchant, 1).into()]);
    set.idempotency = Some(claim(0, 1));
    w.apply(set.clone());
    let (log, head) = (w.log(&LogScope::All), w.head());
    w.replay(set.clone(), &claim(0, 1).answer);
    set.idempotency = None;
    w.refuse(set, "already_exists", "business profile `pro_1` exists already");
    assert_eq!((w.log(&LogScope::All), w.head()), (log, head));
}

pub(super) fn positions_rise_and_times_never_step_back(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let seconds = [5_000_000, 4_000_000, 6_000_000, 1, 6_000_001];
    let expected = [5_000_000, 5_000_000, 6_000_000, 6_000_000, 6_000_001];
    let mut receipts = vec![];
    for (number, at) in (1..).zip(seconds) {
        let mut set = w.acme.creating([block_rule(&w.acme.merchant, number).into()]);
        set.at = moment(at);
        let receipt = w.apply(set);
        let head = w.head();
        assert_eq!((head.position, head.at), (receipt.position, receipt.at));
        receipts.push(receipt);
    }
    let log = w.log(&LogScope::All);
    let last = &log[log.len() - seconds.len()..];
    for ((entry, receipt), at) in last.iter().zip(&receipts).zip(expected) {
        assert_eq!((entry.position, entry.at), (receipt.position, receipt.at));
        assert_eq!(entry.at, moment(at));
    }
    assert!(log.windows(2).all(|pair| pair[0].position < pair[1].position && pair[0].at <= pair[1].at));
    assert!(log[0].position > LogPosition::START);
}

pub(super) fn each_class_has_a_head_of_its_own(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let configured = w.head();
    assert_eq!(configured.configuration, configured.position);
    let mut set = w.acme.creating([payment(&w.acme.profile, 1).into()]);
    set.class = CommitClass::Operational;
    let receipt = w.apply(set);
    let head = w.head();
    assert_eq!((head.position, head.configuration), (receipt.position, configured.position));
    assert_eq!(w.log(&LogScope::All).last().map(|e| e.class), Some(CommitClass::Operational));
    let receipt = w.apply(w.acme.creating([profile(&w.acme.merchant, 1).into()]));
    assert_eq!((w.head().position, w.head().configuration), (receipt.position, receipt.position));
    let configuration = w.log(&LogScope::Configuration);
    let mut expected = w.log(&LogScope::All);
    expected.retain(|entry| entry.class == CommitClass::Configuration);
    assert_eq!(configuration, expected);
    let behind = w.log_page(LogScope::Configuration, configured.position, 10);
    assert_eq!(behind.iter().map(|entry| entry.position).collect::<Vec<_>>(), [receipt.position]);
}

pub(super) fn the_log_is_read_by_tenant_and_by_object(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut made = Vec::new();
    for (number, tenant) in [(1, &w.acme), (1, &w.sister), (1, &w.rival), (2, &w.acme), (2, &w.rival)] {
        made.push(w.apply(tenant.creating([profile(&tenant.merchant, number).into()])).position);
    }
    let mut set = organization_set(&w.acme.organization);
    set.update(crate::records::touched(&w.acme.organization));
    made.push(w.apply(set).position);
    let late = |scope: LogScope| -> Vec<usize> {
        let found = w.log(&scope).into_iter().filter_map(|e| made.iter().position(|p| *p == e.position));
        found.collect()
    };
    assert_eq!(late(LogScope::All), [0, 1, 2, 3, 4, 5]);
    assert_eq!(late(LogScope::Merchant(w.acme.merchant.tenant)), [0, 3]);
    assert_eq!(late(LogScope::Merchant(w.sister.merchant.tenant)), [1]);
    assert_eq!(late(LogScope::Merchant(w.rival.merchant.tenant)), [2, 4]);
    assert_eq!(late(LogScope::Organization(w.acme.organization.tenant)), [0, 1, 3, 5]);
    assert_eq!(late(LogScope::Organization(w.rival.organization.tenant)), [2, 4]);
    assert_eq!(late(LogScope::Entity(profile(&w.acme.merchant, 1).entity())), [0]);
    assert_eq!(late(LogScope::Entity(profile(&w.rival.merchant, 2).entity())), [4]);
    assert_eq!(late(LogScope::Entity(w.acme.organization.entity())), [5]);
    // A tenant of one kind is none of the other; who never lived has no log.
    assert!(w.log(&LogScope::Merchant(w.acme.organization.tenant)).is_empty());
    assert!(w.log(&LogScope::Organization(w.acme.merchant.tenant)).is_empty());
    assert!(w.log(&LogScope::Entity(profile(&w.sister.merchant, 2).entity())).is_empty());
}

pub(super) fn the_entries_of_removed_tenants_stay(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.apply(w.acme.creating(w.acme.one_of_each(1)));
    let scopes = [
        LogScope::All,
        LogScope::Organization(w.acme.organization.tenant),
        LogScope::Merchant(w.acme.merchant.tenant),
        LogScope::Entity(w.acme.merchant.entity()),
        LogScope::Entity(api_key(&w.acme.merchant, 1).entity()),
    ];
    let before = scopes.clone().map(|scope| w.log(&scope));
    let mut set = organization_set(&w.acme.organization);
    set.remove(w.acme.organization.entity(), 1, true);
    let receipt = w.apply(set);
    for (scope, mut before) in scopes.into_iter().zip(before) {
        let mut after = w.log(&scope);
        // The removal itself is the organization's.
        after.retain(|entry| entry.position != receipt.position);
        before.retain(|entry| entry.position != receipt.position);
        assert!(!before.is_empty());
        assert_eq!(after, before, "{scope:?}");
    }
}

pub(super) fn the_log_is_read_behind_a_position_and_up_to_a_limit(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let of_acme = LogScope::Merchant(w.acme.merchant.tenant);
    for number in 1..=6 {
        let tenant = if number % 2 == 0 { &w.acme } else { &w.rival };
        w.apply(tenant.creating([block_rule(&tenant.merchant, number).into()]));
    }
    for scope in [LogScope::All, of_acme] {
        let all = w.log_page(scope.clone(), LogPosition::START, MAX_LOG_LIMIT);
        assert!(all.len() >= 4);
        for skip in 0..=all.len() {
            let after = if skip == 0 { LogPosition::START } else { all[skip - 1].position };
            for limit in 0..=all.len() {
                let expected = &all[skip..all.len().min(skip + limit)];
                let limit = u32::try_from(limit).expect("is small");
                assert_eq!(w.log_page(scope.clone(), after, limit), expected, "{scope:?} {after} {limit}");
            }
        }
        // A position of another scope's entry is a position all the same.
        let head = w.head().position;
        assert_eq!(w.log_page(scope.clone(), head, 10), []);
        assert_eq!(w.log_page(scope, LogPosition::from_u64(i64::MAX.cast_unsigned()), 10), []);
    }
}

pub(super) fn no_more_than_a_thousand_entries_come_at_once(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let most = MAX_LOG_LIMIT as usize;
    for number in 1..=MAX_LOG_LIMIT {
        w.apply(w.acme.creating([block_rule(&w.acme.merchant, number).into()]));
    }
    for limit in [MAX_LOG_LIMIT, MAX_LOG_LIMIT + 1, u32::MAX] {
        assert_eq!(w.log_page(LogScope::All, LogPosition::START, limit).len(), most);
    }
    assert_eq!(w.log(&LogScope::All).len(), most + 5);
}
