//! Checked: every refusal, and which one wins where several are due.

use perfectpay::EntityKind;
use perfectpay::store::{Expectation, Key, Record, UniqueKey};

use crate::Fixture;
use crate::records::{
    World, activated, api_key, block_rule, claim, connector, data_key, organization, organization_set, payment,
    payment_link, profile, renamed, revoked, routing_program, text, touched,
};

pub(super) fn an_id_that_lives_is_not_created_again(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let records = w.acme.one_of_each(1);
    w.apply(w.acme.creating(records.clone()));
    let founding: [Record; 3] =
        [w.acme.merchant.clone().into(), w.acme.data_key.clone().into(), w.acme.profile.clone().into()];
    for record in records.iter().chain(&founding) {
        let message = format!("{} exists already", record.entity().named());
        w.refuse(w.acme.creating([record.clone()]), "already_exists", &message);
    }
    let mut set = organization_set(&w.acme.organization);
    set.create(w.acme.organization.clone());
    w.refuse(set, "already_exists", "organization `org_1` exists already");
    let twice = profile(&w.acme.merchant, 2);
    w.refuse(
        w.acme.creating([twice.clone().into(), twice.into()]),
        "already_exists",
        "business profile `pro_2` exists already",
    );
}

pub(super) fn an_incarnation_is_not_created_again_under_another_id(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut row = organization(9);
    row.tenant = w.acme.organization.tenant;
    let mut set = organization_set(&row);
    set.create(row);
    w.refuse(set, "already_exists", "organization `org_9` exists already");
}

pub(super) fn nothing_is_created_without_its_parent(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let stranger = crate::records::Tenant::within(&organization(9), 9);
    let no_organization = "there is no organization `org_9`";
    w.refuse(stranger.creating([stranger.merchant.clone().into()]), "not_found", no_organization);
    let no_merchant = "there is no merchant account `merchant_9`";
    let orphans: [Record; 4] = [
        stranger.data_key.clone().into(),
        stranger.profile.clone().into(),
        api_key(&stranger.merchant, 1).into(),
        block_rule(&stranger.merchant, 1).into(),
    ];
    for orphan in orphans {
        w.refuse(stranger.creating([orphan]), "not_found", no_merchant);
    }
    let absent = profile(&w.acme.merchant, 1);
    let no_profile = "there is no business profile `pro_1`";
    w.refuse(w.acme.creating([connector(&absent, 1).into()]), "not_found", no_profile);
    w.refuse(w.acme.creating([payment(&absent, 1).into()]), "not_found", no_profile);
    let unpaid = payment(&w.acme.profile, 1);
    w.refuse(w.acme.creating([payment_link(&unpaid, 1).into()]), "not_found", "there is no payment `pay_1`");
}

pub(super) fn a_parent_of_another_tenant_is_no_parent(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.apply(w.sister.creating([profile(&w.sister.merchant, 1).into()]));
    let mut theirs = connector(&profile(&w.acme.merchant, 1), 1);
    theirs.tenant = w.acme.merchant.tenant;
    w.refuse(w.acme.creating([theirs.into()]), "not_found", "there is no business profile `pro_1`");
}

pub(super) fn an_update_replaces_the_version_below_its_own(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let records = w.acme.one_of_each(1);
    w.apply(w.acme.creating(records.clone()));
    for record in &records {
        let named = record.entity().named();
        for (version, found) in [(1, "0"), (3, "2"), (1_000_000, "999999")] {
            let mut set = w.acme.set();
            set.update(crate::records::with_version(record, version));
            w.refuse(set, "stale", &format!("{named} is at version 1, not {found}"));
        }
        let next = crate::records::with_version(record, 2);
        let mut set = w.acme.set();
        set.update(next.clone());
        w.apply(set.clone());
        assert_eq!(w.get(&crate::records::key_of(&record.entity())), Some(next));
        w.refuse(set, "stale", &format!("{named} is at version 2, not 1"));
    }
    for (row, path) in [(&w.acme, w.acme.path()), (&w.rival, w.rival.path())] {
        let mut next = touched(&row.merchant);
        next.state.publishable_key = text(format!("pk_dev_new_{}", row.merchant.id));
        let mut set = row.set();
        set.update(next.clone());
        w.apply(set);
        assert_eq!(w.get(&Key::Merchant(path)), Some(next.into()));
    }
}

pub(super) fn an_object_that_does_not_live_is_neither_updated_nor_removed(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for record in w.acme.one_of_each(1) {
        let message = format!("there is no {}", record.entity().named());
        let mut set = w.acme.set();
        set.update(crate::records::with_version(&record, 2));
        w.refuse(set, "not_found", &message);
        for cascade in [false, true] {
            let mut set = w.acme.set();
            set.remove(record.entity(), 1, cascade);
            w.refuse(set, "not_found", &message);
        }
    }
}

pub(super) fn a_removal_names_the_version_that_it_removes(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for cascade in [false, true] {
        let mut set = w.acme.set();
        set.remove(w.acme.profile.entity(), 2, cascade);
        w.refuse(set, "stale", "business profile `pro_default` is at version 1, not 2");
    }
}

pub(super) fn of_one_creation_the_id_is_judged_before_the_parent_and_the_parent_before_the_keys(
    fixture: &mut dyn Fixture,
) {
    let w = World::open(fixture);
    let one = connector(&w.acme.profile, 1);
    w.apply(w.acme.creating([one.clone().into()]));
    // Taken id, no parent, and (were there the parent) nothing said of the label.
    let mut wrong = one.clone();
    wrong.state.profile_id = text("pro_absent");
    w.refuse(w.acme.creating([wrong.into()]), "already_exists", "connector account `mca_1` exists already");
    // Taken id and taken label.
    w.refuse(w.acme.creating([one.into()]), "already_exists", "connector account `mca_1` exists already");
    // A tenant's id, taken; its organization absent; its publishable key taken.
    let mut wrong = crate::records::merchant(&organization(9), 8);
    wrong.id = w.acme.merchant.id.clone();
    wrong.state.publishable_key = w.acme.merchant.state.publishable_key.clone();
    let set = |row: &perfectpay::store::Stored<_>| {
        let mut set = organization_set(&organization(9));
        set.create(row.clone());
        set
    };
    w.refuse(set(&wrong), "already_exists", "merchant account `merchant_1` exists already");
    // Its organization absent, its publishable key taken.
    wrong.id = text("merchant_8");
    w.refuse(set(&wrong), "not_found", "there is no organization `org_9`");
    // A digest that is taken, and no merchant account.
    w.apply(w.acme.creating([api_key(&w.acme.merchant, 1).into()]));
    let stranger = crate::records::Tenant::within(&organization(9), 9);
    w.refuse(
        stranger.creating([api_key(&stranger.merchant, 1).into()]),
        "not_found",
        "there is no merchant account `merchant_9`",
    );
}

pub(super) fn of_one_update_or_removal_the_version_is_judged_first(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let (one, two) = (profile(&w.acme.merchant, 1), profile(&w.acme.merchant, 2));
    w.apply(w.acme.creating([one.clone().into(), two.clone().into(), connector(&one, 1).into()]));
    let mut set = w.acme.set();
    set.update(renamed(&touched(&one), "Profile 2"));
    w.refuse(set, "stale", "business profile `pro_1` is at version 1, not 2");
    let mut set = w.acme.set();
    set.update(renamed(&profile(&w.acme.merchant, 3), "Profile 2"));
    w.refuse(set, "not_found", "there is no business profile `pro_3`");
    let mut set = w.acme.set();
    set.remove(one.entity(), 5, false);
    w.refuse(set, "stale", "business profile `pro_1` is at version 1, not 5");
}

pub(super) fn of_several_keys_the_first_that_is_taken_is_named(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut both = profile(&w.acme.merchant, 1);
    both.state.profile_name = text("default");
    both.state.is_default = true;
    w.refuse(w.acme.creating([both.clone().into()]), "duplicate", "another business profile has this profile_name");
    both.state.profile_name = text("free");
    w.refuse(w.acme.creating([both.into()]), "duplicate", "another business profile has this default_profile");
}

pub(super) fn of_several_changes_the_first_that_fails_wins(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut duplicate = profile(&w.acme.merchant, 1);
    duplicate.state.profile_name = text("default");
    let wrongs: [(&str, &str); 4] = [
        ("duplicate", "another business profile has this profile_name"),
        ("not_found", "there is no business profile `pro_absent`"),
        ("stale", "merchant account `merchant_1` is at version 1, not 8"),
        ("has_children", "merchant account `merchant_1` still has 1 × business profile"),
    ];
    for first in 0..wrongs.len() {
        let mut set = w.acme.set();
        for nth in 0..wrongs.len() {
            match (first + nth) % wrongs.len() {
                0 => set.create(duplicate.clone()),
                1 => {
                    let mut orphan = connector(&w.acme.profile, 1);
                    orphan.state.profile_id = text("pro_absent");
                    set.create(orphan)
                }
                2 => set.update(crate::records::with_version(&w.acme.merchant.clone().into(), 9)),
                _ => set.remove(w.acme.merchant.entity(), 1, false),
            };
        }
        w.refuse(set, wrongs[first].0, wrongs[first].1);
    }
}

pub(super) fn an_expectation_is_judged_before_every_change(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let failing = || w.acme.creating([w.acme.profile.clone().into()]);
    let mut set = failing();
    set.expect(w.acme.merchant.entity(), 2);
    w.refuse(set, "stale", "merchant account `merchant_1` is at version 1, not 2");
    let mut set = failing();
    set.expect(profile(&w.acme.merchant, 1).entity(), 1);
    w.refuse(set, "not_found", "there is no business profile `pro_1`");
    let mut set = failing();
    let of = w.acme.merchant.entity();
    set.expectations.push(Expectation::Children { of, kind: EntityKind::Profile, count: 2 });
    w.refuse(set, "moved", "merchant account `merchant_1` changed while the command was decided");
    // In the state before the set, not in the one that its changes leave.
    let mut set = w.acme.set();
    let next = renamed(&w.acme.profile, "next");
    set.update(next).expect(w.acme.profile.entity(), 2);
    w.refuse(set.clone(), "stale", "business profile `pro_default` is at version 1, not 2");
    set.expectations.clear();
    set.expect(w.acme.profile.entity(), 1);
    w.apply(set);
}

pub(super) fn of_several_expectations_the_first_that_fails_wins(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let of = w.acme.merchant.entity();
    let moved = Expectation::Children { of, kind: EntityKind::Profile, count: 0 };
    let stale = Expectation::Version { entity: w.acme.merchant.entity(), version: 2 };
    let absent = Expectation::Version { entity: profile(&w.acme.merchant, 1).entity(), version: 1 };
    let right = Expectation::Version { entity: w.acme.merchant.entity(), version: 1 };
    for (order, code, message) in [
        (
            [&right, &moved, &stale, &absent],
            "moved",
            "merchant account `merchant_1` changed while the command was decided",
        ),
        ([&right, &stale, &absent, &moved], "stale", "merchant account `merchant_1` is at version 1, not 2"),
        ([&right, &absent, &moved, &stale], "not_found", "there is no business profile `pro_1`"),
    ] {
        let mut set = w.acme.creating(w.acme.one_of_each(2));
        set.expectations = order.into_iter().cloned().collect();
        w.refuse(set, code, message);
    }
}

pub(super) fn an_expected_version_guards_what_is_only_read(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let read = profile(&w.acme.merchant, 1);
    w.apply(w.acme.creating([read.clone().into()]));
    let deciding = |version: u64, number: u32| {
        let mut set = w.acme.creating([api_key(&w.acme.merchant, number).into()]);
        set.expect(read.entity(), version);
        set
    };
    w.apply(deciding(1, 1));
    let mut set = w.acme.set();
    set.update(renamed(&read, "meanwhile"));
    w.apply(set);
    w.refuse(deciding(1, 2), "stale", "business profile `pro_1` is at version 2, not 1");
    w.apply(deciding(2, 2));
    let mut set = w.acme.set();
    set.remove(read.entity(), 2, false);
    w.apply(set);
    w.refuse(deciding(2, 3), "not_found", "there is no business profile `pro_1`");
}

pub(super) fn an_expected_version_is_of_the_tenant_that_it_names(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.set();
    set.update(renamed(&w.acme.profile, "other"));
    w.apply(set);
    // Both tenants have a `pro_default`; only one of them is past version 1.
    let mut set = w.sister.creating([profile(&w.sister.merchant, 1).into()]);
    set.expect(w.sister.profile.entity(), 1);
    w.apply(set);
}

pub(super) fn an_expected_count_is_of_children_that_count(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let key = api_key(&w.acme.merchant, 1);
    w.apply(w.acme.creating([
        key.clone().into(),
        api_key(&w.acme.merchant, 2).into(),
        connector(&w.acme.profile, 1).into(),
        block_rule(&w.acme.merchant, 1).into(),
    ]));
    let mut set = w.acme.set();
    set.update(revoked(&key));
    w.apply(set);
    let expecting = |of, kind, count| {
        let mut set = w.acme.creating([profile(&w.acme.merchant, 9).into()]);
        set.expectations.push(Expectation::Children { of, kind, count });
        set
    };
    let merchant = w.acme.merchant.entity();
    let counts = [
        (w.acme.organization.entity(), EntityKind::Merchant, 2_u64),
        (merchant.clone(), EntityKind::ApiKey, 1),
        (merchant.clone(), EntityKind::DataKey, 0),
        (merchant.clone(), EntityKind::BlockRule, 1),
        (merchant.clone(), EntityKind::Payment, 0),
        (merchant.clone(), EntityKind::Connector, 0),
        (w.acme.profile.entity(), EntityKind::Connector, 1),
        (w.acme.profile.entity(), EntityKind::Profile, 0),
        (w.sister.profile.entity(), EntityKind::Connector, 0),
    ];
    for (of, kind, count) in counts.clone() {
        for wrong in [count + 1, count.wrapping_sub(1)] {
            let message = format!("{} changed while the command was decided", of.named());
            w.refuse(expecting(of.clone(), kind, wrong), "moved", &message);
        }
    }
    let mut set = expecting(merchant, EntityKind::Profile, 1);
    set.expectations.extend(counts.map(|(of, kind, count)| Expectation::Children { of, kind, count }));
    w.apply(set);
}

pub(super) fn an_expected_free_key_is_nobodys(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let program = routing_program(&w.acme.profile, 1);
    w.apply(w.acme.creating([program.clone().into()]));
    let profile_id = || w.acme.profile.id.to_string();
    let active = |tenant| UniqueKey::ActiveProgram(tenant, profile_id());
    let expecting = |key, number| {
        let mut set = w.acme.creating([block_rule(&w.acme.merchant, number).into()]);
        set.expectations.push(Expectation::Free { key });
        set
    };
    w.apply(expecting(active(w.acme.merchant.tenant), 1));
    let mut set = w.acme.set();
    set.update(activated(&program));
    w.apply(set);
    let message = "routing program `routing_1` changed while the command was decided";
    w.refuse(expecting(active(w.acme.merchant.tenant), 2), "moved", message);
    // The same profile's id elsewhere.
    w.apply(expecting(active(w.sister.merchant.tenant), 2));
    let named = |name: &str| UniqueKey::ProfileName(w.acme.merchant.tenant, name.to_owned());
    w.apply(expecting(named("nobody's"), 3));
    let message = "business profile `pro_default` changed while the command was decided";
    w.refuse(expecting(named("default"), 4), "moved", message);
    w.refuse(expecting(UniqueKey::DefaultProfile(w.acme.merchant.tenant), 4), "moved", message);
    let mut set = w.acme.set();
    set.remove(program.entity(), 2, false);
    w.apply(set);
    w.apply(expecting(active(w.acme.merchant.tenant), 4));
}

pub(super) fn an_idempotency_key_is_judged_before_everything_else(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.creating([profile(&w.acme.merchant, 1).into()]);
    set.idempotency = Some(claim(0, 1));
    w.apply(set);
    let mut wrong = w.acme.creating([w.acme.profile.clone().into()]);
    wrong.expect(w.acme.merchant.entity(), 9);
    let empty = w.acme.set();
    for mut set in [wrong, empty] {
        set.idempotency = Some(claim(0, 2));
        let message = "this idempotency key was used with another request";
        w.refuse(set.clone(), "idempotency_mismatch", message);
        set.idempotency = Some(claim(0, 1));
        w.replay(set, &claim(0, 1).answer);
    }
}

pub(super) fn a_refused_set_keeps_no_claim(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.creating([w.acme.profile.clone().into()]);
    set.idempotency = Some(claim(0, 1));
    w.refuse(set, "already_exists", "business profile `pro_default` exists already");
    assert_eq!(w.claim(w.acme.merchant.tenant, "key-0"), None);
    let mut spare = data_key(&w.acme.merchant);
    spare.id = text("dk_spare");
    let mut set = w.acme.creating([spare.into()]);
    set.idempotency = Some(claim(0, 2));
    w.apply(set);
}
