//! Unique keys: over which range a value is one object's alone, and when it is free again.

use perfectpay::FormerPublishableKey;
use perfectpay::profile::ProfileState;
use perfectpay::routing::RoutingProgramState;
use perfectpay::store::{Key, MerchantPath, Stored};

use crate::Fixture;
use crate::records::{
    Tenant, World, activated, api_key, connector, digest, incarnation, moment, organization, organization_set, profile,
    renamed, revoked, routing_program, text, touched,
};

const NAME_TAKEN: &str = "another business profile has this profile_name";

pub(super) fn a_profile_name_is_unique_within_its_merchant_account(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let one = profile(&w.acme.merchant, 1);
    w.apply(w.acme.creating([one.clone().into()]));
    let mut same = profile(&w.acme.merchant, 2);
    same.state.profile_name = one.state.profile_name.clone();
    w.refuse(w.acme.creating([same.clone().into()]), "duplicate", NAME_TAKEN);
    let mut set = w.acme.set();
    set.update(renamed(&w.acme.profile, "Profile 1"));
    w.refuse(set, "duplicate", NAME_TAKEN);
    // Elsewhere the name and the id are free, in the same organization and in another.
    for tenant in [&w.sister, &w.rival] {
        let theirs = profile(&tenant.merchant, 1);
        w.apply(tenant.creating([theirs.clone().into()]));
        let key = Key::ProfileByName(tenant.path(), theirs.state.profile_name.clone());
        assert_eq!(w.get(&key), Some(theirs.into()));
    }
    assert_eq!(w.get(&Key::ProfileByName(w.acme.path(), text("Profile 1"))), Some(one.into()));
}

pub(super) fn names_are_compared_character_by_character(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let names = ["Straße", "STRASSE", "Strasse", "straße", "Str aße", "ｓtrasse", "Strasse%", "Stra__e", "'Strasse'"];
    for (number, name) in (1..).zip(names) {
        let mut row = profile(&w.acme.merchant, number);
        row.state.profile_name = text(name);
        w.apply(w.acme.creating([row.clone().into()]));
        assert_eq!(w.get(&Key::ProfileByName(w.acme.path(), text(name))), Some(row.into()), "{name}");
    }
    for absent in ["STRAßE", "strasse", "Stra%", "Strass_", "\"Strasse\""] {
        assert_eq!(w.get(&Key::ProfileByName(w.acme.path(), text(absent))), None, "{absent}");
    }
}

pub(super) fn a_name_is_free_again_after_a_rename_and_after_a_removal(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let one = profile(&w.acme.merchant, 1);
    w.apply(w.acme.creating([one.clone().into()]));
    let mut set = w.acme.set();
    set.update(renamed(&one, "other"));
    w.apply(set);
    assert_eq!(w.get(&Key::ProfileByName(w.acme.path(), text("Profile 1"))), None);
    let mut two = profile(&w.acme.merchant, 2);
    two.state.profile_name = text("Profile 1");
    w.apply(w.acme.creating([two.clone().into()]));
    let mut set = w.acme.set();
    set.update(renamed(&renamed(&one, "other"), "Profile 1"));
    w.refuse(set, "duplicate", NAME_TAKEN);
    let mut set = w.acme.set();
    set.remove(two.entity(), 1, false);
    w.apply(set);
    let mut set = w.acme.set();
    set.update(renamed(&renamed(&one, "other"), "Profile 1"));
    w.apply(set);
}

pub(super) fn an_update_may_keep_its_own_keys(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let (one, key) = (connector(&w.acme.profile, 1), api_key(&w.acme.merchant, 1));
    w.apply(w.acme.creating([one.clone().into(), key.clone().into()]));
    let mut set = w.acme.set();
    set.update(touched(&w.acme.profile)).update(touched(&one)).update(touched(&key)).update(touched(&w.acme.merchant));
    w.apply(set);
    assert_eq!(w.get(&Key::DefaultProfile(w.acme.path())), Some(touched(&w.acme.profile).into()));
}

pub(super) fn a_merchant_account_has_at_most_one_default_profile(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut second = profile(&w.acme.merchant, 1);
    second.state.is_default = true;
    let message = "another business profile has this default_profile";
    w.refuse(w.acme.creating([second.clone().into()]), "duplicate", message);
    let mut set = w.acme.set();
    set.remove(w.acme.profile.entity(), 1, false);
    w.apply(set);
    assert_eq!(w.get(&Key::DefaultProfile(w.acme.path())), None);
    w.apply(w.acme.creating([second.clone().into()]));
    assert_eq!(w.get(&Key::DefaultProfile(w.acme.path())), Some(second.into()));
    assert_eq!(w.get(&Key::DefaultProfile(w.sister.path())), Some(w.sister.profile.clone().into()));
}

pub(super) fn a_connector_label_is_unique_within_its_profile(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let other = profile(&w.acme.merchant, 1);
    let one = connector(&w.acme.profile, 1);
    w.apply(w.acme.creating([other.clone().into(), one.clone().into()]));
    let mut same = connector(&w.acme.profile, 2);
    same.state.connector_label = one.state.connector_label.clone();
    let message = "another connector account has this connector_label";
    w.refuse(w.acme.creating([same.clone().into()]), "duplicate", message);
    same.state.profile_id = other.id;
    w.apply(w.acme.creating([same.into()]));
    w.apply(w.sister.creating([connector(&w.sister.profile, 1).into()]));
    let mut third = connector(&w.acme.profile, 3);
    w.apply(w.acme.creating([third.clone().into()]));
    third = touched(&third);
    third.state.connector_label = one.state.connector_label.clone();
    let mut set = w.acme.set();
    set.update(third.clone());
    w.refuse(set.clone(), "duplicate", message);
    set.changes.insert(0, perfectpay::store::Change::Remove { entity: one.entity(), version: 1, cascade: false });
    w.apply(set);
}

pub(super) fn a_profile_has_at_most_one_active_routing_program(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let other = profile(&w.acme.merchant, 1);
    let (one, two) = (routing_program(&w.acme.profile, 1), routing_program(&w.acme.profile, 2));
    let beside = routing_program(&other, 3);
    w.apply(w.acme.creating([other.clone().into(), one.clone().into(), two.clone().into(), beside.clone().into()]));
    let active = |profile: &Stored<ProfileState>| w.get(&Key::ActiveProgram(w.acme.path(), profile.id.clone()));
    assert_eq!(active(&w.acme.profile), None);
    let update = |row: Stored<RoutingProgramState>| {
        let mut set = w.acme.set();
        set.update(row);
        set
    };
    w.apply(update(activated(&one)));
    assert_eq!(active(&w.acme.profile), Some(activated(&one).into()));
    let message = "another routing program has this active_program";
    w.refuse(update(activated(&two)), "duplicate", message);
    let mut third = activated(&routing_program(&w.acme.profile, 4));
    third.version = 1;
    w.refuse(w.acme.creating([third.into()]), "duplicate", message);
    // Another profile has its own, and so has another account with equal ids.
    w.apply(update(activated(&beside)));
    assert_eq!(active(&other), Some(activated(&beside).into()));
    let mut theirs = activated(&routing_program(&w.sister.profile, 1));
    theirs.version = 1;
    w.apply(w.sister.creating([theirs.clone().into()]));
    let key = Key::ActiveProgram(w.sister.path(), w.sister.profile.id.clone());
    assert_eq!(w.get(&key), Some(theirs.into()));
    // What frees the place comes before what takes it; and an update may keep its own.
    let mut resting = touched(&activated(&one));
    resting.state.active = None;
    let mut set = update(resting);
    set.update(activated(&two));
    w.apply(set);
    assert_eq!(active(&w.acme.profile), Some(activated(&two).into()));
    w.apply(update(touched(&activated(&two))));
    let mut set = w.acme.set();
    set.remove(two.entity(), 3, false);
    w.apply(set);
    assert_eq!(active(&w.acme.profile), None);
}

pub(super) fn the_ids_of_tenants_are_unique_over_the_whole_store(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for tenant in [&w.acme, &w.rival] {
        let mut same = Tenant::within(&tenant.organization, 9);
        same.merchant.id = w.acme.merchant.id.clone();
        let message = "merchant account `merchant_1` exists already";
        w.refuse(tenant.creating([same.merchant.into()]), "already_exists", message);
    }
    let mut same = organization(9);
    same.id = w.rival.organization.id.clone();
    let mut set = organization_set(&same);
    set.create(same);
    w.refuse(set, "already_exists", "organization `org_2` exists already");
    // Ids are case sensitive.
    let mut upper = Tenant::within(&w.acme.organization, 9);
    upper.merchant.id = text("MERCHANT_1");
    w.apply(upper.founding());
    assert_eq!(w.get(&Key::Merchant(w.acme.path())), Some(w.acme.merchant.clone().into()));
    assert_eq!(w.get(&Key::Merchant(upper.path())), Some(upper.merchant.into()));
}

pub(super) fn a_publishable_key_is_unique_over_the_whole_store(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let message = "another merchant account has this publishable_key";
    let mut new = Tenant::within(&w.rival.organization, 9);
    new.merchant.state.publishable_key = w.acme.merchant.state.publishable_key.clone();
    w.refuse(new.founding(), "duplicate", message);
    let mut next = touched(&w.rival.merchant);
    next.state.publishable_key = w.acme.merchant.state.publishable_key.clone();
    let mut set = w.rival.set();
    set.update(next);
    w.refuse(set.clone(), "duplicate", message);
    let mut rotated = touched(&w.acme.merchant);
    rotated.state.publishable_key = text("pk_dev_rotated");
    let mut rotation = w.acme.set();
    rotation.update(rotated);
    w.apply(rotation);
    w.apply(set);
}

pub(super) fn a_former_publishable_key_leads_to_its_account_and_is_nobody_elses(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let message = "another merchant account has this publishable_key";
    let old = w.acme.merchant.state.publishable_key.clone();
    let mut rotated = touched(&w.acme.merchant);
    rotated.state.publishable_key = text("pk_dev_rotated");
    rotated.state.former_publishable_key =
        Some(FormerPublishableKey { publishable_key: old.clone(), ends: moment(500) });
    let mut rotation = w.acme.set();
    rotation.update(rotated.clone());
    w.apply(rotation);
    for key in [&old, &rotated.state.publishable_key] {
        assert_eq!(w.get(&Key::MerchantByPublishableKey(key.clone())), Some(rotated.clone().into()));
    }
    // As another account's key, and as its former one.
    for key in [&old, &rotated.state.publishable_key] {
        let mut new = Tenant::within(&w.rival.organization, 9);
        new.merchant.state.publishable_key = key.clone();
        w.refuse(new.founding(), "duplicate", message);
        let mut next = touched(&w.rival.merchant);
        next.state.former_publishable_key =
            Some(FormerPublishableKey { publishable_key: key.clone(), ends: moment(500) });
        let mut set = w.rival.set();
        set.update(next);
        w.refuse(set, "duplicate", message);
    }
    // The account's own next version may have both, or give the former one up; then it is free.
    let mut next = touched(&rotated);
    next.state.former_publishable_key = None;
    let mut set = w.acme.set();
    set.update(touched(&rotated));
    next.version += 1;
    set.update(next);
    w.apply(set);
    assert_eq!(w.get(&Key::MerchantByPublishableKey(old.clone())), None);
    let mut new = Tenant::within(&w.rival.organization, 9);
    new.merchant.state.publishable_key = old;
    w.apply(new.founding());
}

pub(super) fn a_digest_is_unique_over_the_whole_store_and_free_after_revocation(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let key = api_key(&w.acme.merchant, 1);
    w.apply(w.acme.creating([key.clone().into()]));
    for tenant in [&w.acme, &w.sister, &w.rival] {
        let mut same = api_key(&tenant.merchant, 2);
        same.state.digest.clone_from(&key.state.digest);
        w.refuse(tenant.creating([same.into()]), "duplicate", "another API key has this api_key");
    }
    assert_eq!(w.get(&Key::ApiKeyByDigest(digest(1))), Some(key.clone().into()));
    let gone = revoked(&key);
    let mut set = w.acme.set();
    set.update(gone.clone());
    w.apply(set);
    assert_eq!(w.get(&Key::ApiKeyByDigest(digest(1))), None);
    assert_eq!(w.get(&Key::ApiKey(w.acme.path(), key.id.clone())), Some(gone.into()));
    let same = api_key(&w.rival.merchant, 1);
    w.apply(w.rival.creating([same.clone().into()]));
    assert_eq!(w.get(&Key::ApiKeyByDigest(digest(1))), Some(same.into()));
}

pub(super) fn what_a_cascade_removed_holds_no_keys(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.apply(w.acme.creating(w.acme.one_of_each(1)));
    let mut set = w.acme.set();
    set.remove(w.acme.merchant.entity(), 1, true);
    w.apply(set);
    // The same id, publishable key and digest, in another organization.
    let mut heir = Tenant::within(&w.rival.organization, 1);
    let tenant = incarnation(77);
    (heir.merchant.tenant, heir.data_key.tenant, heir.profile.tenant) = (tenant, tenant, tenant);
    w.apply(heir.founding());
    w.apply(heir.creating(heir.one_of_each(1)));
    let merchant = w.get(&Key::Merchant(MerchantPath::Id(heir.merchant.id.clone())));
    assert_eq!(merchant, Some(heir.merchant.clone().into()));
    assert_eq!(w.get(&Key::ApiKeyByDigest(digest(1))), Some(api_key(&heir.merchant, 1).into()));
    let publishable = Key::MerchantByPublishableKey(heir.merchant.state.publishable_key.clone());
    assert_eq!(w.get(&publishable), Some(heir.merchant.into()));
}
