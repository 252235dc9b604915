//! The tree: removals that are refused, removals that take everything along, and ids that are used again.

use perfectpay::blocklist::BlockKind;
use perfectpay::store::{
    Change, Collection, EntityRef, Key, LogScope, MerchantPath, OrganizationPath, Query, Record, Verb,
};
use perfectpay::{EntityKind, PageRequest};

use crate::Fixture;
use crate::probe::Probe;
use crate::records::{
    IDEMPOTENCY_KEYS, Tenant, World, api_key, block_rule, block_rule_of, claim, collections, connector, incarnation,
    keys_of, organization_data_key, organization_set, payment, payment_link, profile, revoked, routing_program,
    routing_version,
};

/// Fails if anything of these records answers by any path to their tenant.
#[track_caller]
fn assert_gone(probe: &Probe, tenant: &Tenant, records: &[Record]) {
    for record in records {
        for path in tenant.paths() {
            for key in keys_of(record, &path) {
                assert_eq!(probe.get(&key), None, "{key:?}");
            }
            for collection in record.collections() {
                if matches!(record, Record::Merchant(_) | Record::Organization(_)) {
                    continue;
                }
                let listing = probe.list(&Query::Within(path.clone(), collection.clone(), PageRequest::default()));
                let shown = listing.is_some_and(|l| l.records.iter().any(|r| r.entity() == record.entity()));
                assert!(!shown, "{collection:?} still lists {:?}", record.entity());
            }
        }
    }
}

/// Fails if a merchant account, or anything that it had, answers by any path.
#[track_caller]
fn assert_tenant_gone(probe: &Probe, tenant: &Tenant, records: &[Record]) {
    let mut all: Vec<Record> = records.to_vec();
    all.extend([tenant.merchant.clone().into(), tenant.data_key.clone().into(), tenant.profile.clone().into()]);
    assert_gone(probe, tenant, &all);
    for path in tenant.paths() {
        for collection in collections() {
            let query = Query::Within(path.clone(), collection, PageRequest::default());
            assert_eq!(probe.list(&query), None, "{query:?}");
        }
    }
    for key in IDEMPOTENCY_KEYS {
        assert_eq!(probe.claim(tenant.merchant.tenant, key), None, "{key}");
    }
    let merchants = |page| Query::Merchants(OrganizationPath::Id(tenant.organization.id.clone()), page);
    let listed = probe.pages(100, merchants).unwrap_or_default();
    assert!(!listed.iter().any(|m| m.entity() == tenant.merchant.entity()), "it is still listed");
}

/// The set that removes an object of a tenant.
fn removal(of: &Tenant, entity: EntityRef, version: u64, cascade: bool) -> perfectpay::store::ChangeSet {
    let mut set = of.set();
    set.remove(entity, version, cascade);
    set
}

pub(super) fn a_removal_is_refused_with_the_exact_counts_of_children(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let (one, two) = (profile(&w.acme.merchant, 1), profile(&w.acme.merchant, 2));
    let (paid, key) = (payment(&one, 1), api_key(&w.acme.merchant, 1));
    let program = routing_program(&one, 1);
    w.apply(w.acme.creating([
        one.clone().into(),
        two.into(),
        connector(&one, 1).into(),
        connector(&one, 2).into(),
        connector(&w.acme.profile, 3).into(),
        program.clone().into(),
        routing_version(&program, 1).into(),
        paid.clone().into(),
        payment_link(&paid, 1).into(),
        payment_link(&paid, 2).into(),
        key.clone().into(),
        api_key(&w.acme.merchant, 2).into(),
        block_rule(&w.acme.merchant, 1).into(),
        block_rule(&w.acme.merchant, 2).into(),
        block_rule_of(&w.acme.merchant, BlockKind::Fingerprint, "fp", 3).into(),
    ]));
    let mut set = w.acme.set();
    set.update(revoked(&key));
    w.apply(set);
    let children = [
        (w.acme.organization.entity(), "organization `org_1` still has 2 × merchant account"),
        (
            w.acme.merchant.entity(),
            "merchant account `merchant_1` still has 3 × business profile, 1 × API key, 3 × blocklist entry",
        ),
        (one.entity(), "business profile `pro_1` still has 2 × connector account, 1 × routing program, 1 × payment"),
        (paid.entity(), "payment `pay_1` still has 2 × payment link"),
    ];
    for (entity, message) in children {
        w.refuse(removal(&w.acme, entity, 1, false), "has_children", message);
    }
    // The same profile id elsewhere has no children.
    w.apply(removal(&w.sister, w.sister.profile.entity(), 1, false));
}

pub(super) fn an_object_without_children_is_removed_alone(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let records = w.acme.one_of_each(1);
    w.apply(w.acme.creating(records.clone()));
    for (gone, record) in (1..).zip(records.iter().rev()) {
        w.apply(removal(&w.acme, record.entity(), 1, false));
        let (left, taken) = records.split_at(records.len() - gone);
        assert_gone(&w, &w.acme, taken);
        for record in left {
            assert_eq!(w.get(&crate::records::key_of(&record.entity())).as_ref(), Some(record));
        }
    }
}

pub(super) fn revoked_keys_and_data_keys_go_along_without_a_cascade(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let key = api_key(&w.acme.merchant, 1);
    let mut set = w.acme.creating([key.clone().into()]);
    set.remove(w.acme.profile.entity(), 1, false);
    w.apply(set);
    w.refuse(
        removal(&w.acme, w.acme.merchant.entity(), 1, false),
        "has_children",
        "merchant account `merchant_1` still has 1 × API key",
    );
    let mut set = w.acme.set();
    set.update(revoked(&key));
    w.apply(set);
    w.apply(removal(&w.acme, w.acme.merchant.entity(), 1, false));
    assert_tenant_gone(&w, &w.acme, &[key.clone().into(), revoked(&key).into()]);
}

pub(super) fn a_payment_takes_its_links_along(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let (one, two) = (payment(&w.acme.profile, 1), payment(&w.acme.profile, 2));
    let (link, other) = (payment_link(&one, 1), payment_link(&two, 2));
    w.apply(w.acme.creating([one.clone().into(), two.into(), link.clone().into(), other.clone().into()]));
    w.apply(removal(&w.acme, one.entity(), 1, true));
    assert_gone(&w, &w.acme, &[one.into(), link.into()]);
    let links = w.list(&w.acme.query(Collection::PaymentLinks { profile: None })).expect("the tenant lives");
    assert_eq!(links.records, [other.into()]);
}

pub(super) fn a_routing_program_takes_its_versions_along_without_a_cascade(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let (one, two) = (routing_program(&w.acme.profile, 1), routing_program(&w.acme.profile, 2));
    let versions = [1, 2].map(|number| routing_version(&one, number));
    let other = routing_version(&two, 1);
    let mut records: Vec<Record> = vec![one.clone().into(), two.into(), other.clone().into()];
    records.extend(versions.clone().map(Record::from));
    w.apply(w.acme.creating(records));
    // Of the versions, one by one.
    let [first, second] = versions;
    w.apply(removal(&w.acme, first.entity(), 1, false));
    assert_gone(&w, &w.acme, &[first.into()]);
    // A later change of the set finds none of what went along.
    let mut set = removal(&w.acme, one.entity(), 1, false);
    set.remove(second.entity(), 1, false);
    w.refuse(set, "not_found", "there is no version of a routing program `routing_1.00002`");
    w.apply(removal(&w.acme, one.entity(), 1, false));
    assert_gone(&w, &w.acme, &[one.clone().into(), second.clone().into()]);
    let left = w.list(&w.acme.query(Collection::RoutingVersions { program: None })).expect("the tenant lives");
    assert_eq!(left.records, [other.into()]);
    w.refuse(w.acme.creating([second.into()]), "not_found", "there is no routing program `routing_1`");
}

pub(super) fn a_profile_takes_everything_below_it_along_and_nothing_else(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    // Equal ids in both tenants, but for what is unique over the whole store.
    let all = w.acme.one_of_each(1);
    let sisters: Vec<Record> = w.sister.one_of_each(1).into_iter().filter(|r| r.kind() != EntityKind::ApiKey).collect();
    w.apply(w.acme.creating(all.iter().cloned().chain(tenant_second(&w.acme))));
    w.apply(w.sister.creating(sisters.iter().cloned().chain(tenant_second(&w.sister))));
    w.apply(removal(&w.acme, all[0].entity(), 1, true));
    let (below, beside): (Vec<Record>, Vec<Record>) =
        all.into_iter().partition(|r| !matches!(r.kind(), EntityKind::ApiKey | EntityKind::BlockRule));
    assert_eq!(below.len(), 10);
    assert_gone(&w, &w.acme, &below);
    for record in beside.iter().chain(&tenant_second(&w.acme)).chain(&sisters).chain(&tenant_second(&w.sister)) {
        assert_eq!(w.get(&crate::records::key_of(&record.entity())).as_ref(), Some(record));
    }
}

/// Records beside [`Tenant::one_of_each`] of 1, below the default profile.
fn tenant_second(of: &Tenant) -> Vec<Record> {
    let (paid, program) = (payment(&of.profile, 2), routing_program(&of.profile, 2));
    let version = routing_version(&program, 2);
    vec![
        connector(&of.profile, 2).into(),
        program.into(),
        version.into(),
        paid.clone().into(),
        payment_link(&paid, 2).into(),
    ]
}

pub(super) fn a_merchant_account_takes_everything_below_it_along_and_nothing_else(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let all = w.acme.one_of_each(1);
    let mut set = w.acme.creating(all.clone());
    set.idempotency = Some(claim(0, 1));
    w.apply(set);
    let mut set = w.sister.creating(w.sister.one_of_each(2));
    set.idempotency = Some(claim(0, 2));
    w.apply(set);
    w.apply(removal(&w.acme, w.acme.merchant.entity(), 1, true));
    assert_tenant_gone(&w, &w.acme, &all);
    for record in w.sister.one_of_each(2) {
        assert_eq!(w.get(&crate::records::key_of(&record.entity())), Some(record));
    }
    assert_eq!(w.claim(w.sister.merchant.tenant, "key-0"), Some(claim(0, 2)));
    let left = Query::Merchants(OrganizationPath::Id(w.acme.organization.id.clone()), PageRequest::default());
    assert_eq!(w.list(&left).map(|l| l.records), Some(vec![w.sister.merchant.clone().into()]));
    // What is gone holds nothing up any more.
    w.refuse(
        removal(&w.acme, w.acme.merchant.entity(), 1, true),
        "not_found",
        "there is no merchant account `merchant_1`",
    );
    w.refuse(
        w.acme.creating([profile(&w.acme.merchant, 5).into()]),
        "not_found",
        "there is no merchant account `merchant_1`",
    );
}

pub(super) fn an_organization_takes_its_merchant_accounts_along_and_no_other(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for (number, tenant) in [(1, &w.acme), (2, &w.sister), (3, &w.rival)] {
        let mut set = tenant.creating(tenant.one_of_each(number));
        set.idempotency = Some(claim(1, 1));
        w.apply(set);
    }
    let mut set = organization_set(&w.acme.organization);
    set.remove(w.acme.organization.entity(), 1, true);
    w.apply(set);
    for (number, tenant) in [(1, &w.acme), (2, &w.sister)] {
        assert_tenant_gone(&w, tenant, &tenant.one_of_each(number));
    }
    for path in
        [OrganizationPath::Id(w.acme.organization.id.clone()), OrganizationPath::Pinned(w.acme.organization.tenant)]
    {
        assert_eq!(w.get(&Key::Organization(path.clone())), None);
        assert_eq!(w.list(&Query::Merchants(path, PageRequest::default())), None);
    }
    let left = w.list(&Query::Organizations(PageRequest::default())).map(|l| l.records);
    assert_eq!(left, Some(vec![w.rival.organization.clone().into()]));
    for record in w.rival.one_of_each(3) {
        assert_eq!(w.get(&crate::records::key_of(&record.entity())), Some(record));
    }
    assert!(w.claim(w.rival.merchant.tenant, "key-1").is_some());
}

pub(super) fn an_organization_takes_its_data_keys_along_without_a_cascade(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let organization = &w.rival.organization;
    let key = organization_data_key(organization);
    let mut set = organization_set(organization);
    set.create(key.clone());
    w.apply(set);
    let path = Key::DataKey(organization.tenant, key.id.clone());
    assert_eq!(w.get(&path), Some(key.clone().into()));
    // It holds nothing up, and is not its merchant account's.
    w.apply(removal(&w.rival, w.rival.merchant.entity(), 1, true));
    assert_eq!(w.get(&path), Some(key.clone().into()));
    let mut set = organization_set(organization);
    set.remove(organization.entity(), 1, false);
    w.apply(set);
    assert_eq!(w.get(&path), None);
    // Without its organization there is none.
    let mut set = organization_set(organization);
    set.create(key);
    w.refuse(set, "not_found", &format!("there is no {}", organization.entity().named()));
    assert_eq!(
        w.get(&Key::DataKey(w.acme.merchant.tenant, w.acme.data_key.id.clone())),
        Some(w.acme.data_key.clone().into())
    );
}

pub(super) fn a_cascade_is_one_entry_that_names_only_what_it_was_told(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.apply(w.acme.creating(w.acme.one_of_each(1)));
    let entries = w.log(&LogScope::All).len();
    let receipt = w.apply(removal(&w.acme, w.acme.merchant.entity(), 1, true));
    let log = w.log(&LogScope::All);
    assert_eq!(log.len(), entries + 1);
    let entry = log.last().expect("has an entry");
    assert_eq!(entry.position, receipt.position);
    let said: Vec<_> = entry.changes.iter().map(|c| (c.kind, c.id.as_str(), c.verb, c.version)).collect();
    assert_eq!(said, [(EntityKind::Merchant, "merchant_1", Verb::Removed, 1)]);
    assert_eq!(w.log(&LogScope::Entity(w.acme.merchant.entity())).last(), Some(entry));
}

pub(super) fn a_merchant_id_used_again_sees_nothing_of_its_former_owner(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let old = w.acme.one_of_each(1);
    let mut set = w.acme.creating(old.clone());
    set.idempotency = Some(claim(0, 1));
    w.apply(set);
    w.apply(removal(&w.acme, w.acme.merchant.entity(), 1, true));
    let mut heir = Tenant::within(&w.acme.organization, 1);
    let tenant = incarnation(99);
    (heir.merchant.tenant, heir.data_key.tenant, heir.profile.tenant) = (tenant, tenant, tenant);
    w.apply(heir.founding());

    for path in [heir.path(), MerchantPath::Id(heir.merchant.id.clone()), heir.pinned()] {
        assert_eq!(w.get(&Key::Merchant(path.clone())), Some(heir.merchant.clone().into()));
        for key in old.iter().flat_map(|record| keys_of(record, &path)) {
            assert_eq!(w.get(&key), None, "{key:?}");
        }
        for collection in collections() {
            let query = Query::Within(path.clone(), collection.clone(), PageRequest::default());
            let listing = w.list(&query).expect("the heir lives");
            let expected: Vec<Record> =
                if collection == Collection::Profiles { vec![heir.profile.clone().into()] } else { Vec::new() };
            assert_eq!(listing.records, expected, "{collection:?}");
            assert!(listing.total.is_none_or(|total| total == 0), "{collection:?}");
        }
    }
    assert_eq!(w.claim(tenant, "key-0"), None);
    assert_eq!(w.log(&LogScope::Merchant(tenant)).len(), 1);
    assert_eq!(w.log(&LogScope::Merchant(w.acme.merchant.tenant)).len(), 3);
    assert_eq!(w.log(&LogScope::Entity(heir.merchant.entity())).len(), 1);
    assert_eq!(w.log(&LogScope::Entity(heir.profile.entity())).len(), 1);

    // Who stood on the former owner finds nothing, though the id lives.
    assert_eq!(w.get(&Key::Merchant(w.acme.pinned())), None);
    assert_eq!(w.get(&Key::DefaultProfile(w.acme.pinned())), None);
    assert_eq!(w.get(&Key::DataKey(w.acme.merchant.tenant, w.acme.data_key.id.clone())), None);
    for collection in collections() {
        assert_eq!(w.list(&Query::Within(w.acme.pinned(), collection, PageRequest::default())), None);
    }
    for entity in [w.acme.merchant.entity(), w.acme.profile.entity()] {
        let message = format!("there is no {}", entity.named());
        w.refuse(removal(&w.acme, entity.clone(), 1, true), "not_found", &message);
        let mut set = heir.creating([profile(&heir.merchant, 7).into()]);
        set.expect(entity, 1);
        w.refuse(set, "not_found", &message);
    }
    w.refuse(
        w.acme.creating([api_key(&w.acme.merchant, 5).into()]),
        "not_found",
        "there is no merchant account `merchant_1`",
    );
}

pub(super) fn an_organization_is_pinned_by_its_incarnation(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let old = &w.acme.organization;
    let mut set = organization_set(old);
    set.remove(old.entity(), 1, true);
    w.apply(set);
    let mut heir = old.clone();
    heir.tenant = incarnation(98);
    let mut set = organization_set(&heir);
    set.create(heir.clone());
    w.apply(set);
    let pinned = |tenant| OrganizationPath::Pinned(tenant);
    assert_eq!(w.get(&Key::Organization(pinned(old.tenant))), None);
    assert_eq!(w.list(&Query::Merchants(pinned(old.tenant), PageRequest::default())), None);
    assert_eq!(w.get(&Key::Organization(pinned(heir.tenant))), Some(heir.clone().into()));
    let merchants = Query::Merchants(OrganizationPath::Id(heir.id.clone()), PageRequest::default());
    assert_eq!(w.list(&merchants).map(|l| l.records), Some(Vec::new()));
    // Its former merchant accounts' ids do not lead below the heir either.
    assert_eq!(w.get(&Key::Merchant(w.acme.path())), None);
    let mut orphan = Tenant::within(old, 8).founding();
    orphan.changes.truncate(1);
    assert!(matches!(orphan.changes[0], Change::Create(_)));
    w.refuse(orphan, "not_found", "there is no organization `org_1`");
}
