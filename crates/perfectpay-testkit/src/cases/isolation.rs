//! Isolated, and absent is `None`: a path that does not match the stored hierarchy leads nowhere, to whomever it goes.

use perfectpay::store::{Collection, Key, Listing, MerchantPath, OrganizationPath, Query, Record};
use perfectpay::{Incarnation, PageRequest};

use crate::Fixture;
use crate::records::{World, collections, connector, digest, incarnation, keys_of, profile, text};

/// Everything of the merchant account that a path could lead to.
fn everything(w: &World) -> Vec<Record> {
    let mut records = w.acme.one_of_each(1);
    records.extend([w.acme.merchant.clone().into(), w.acme.data_key.clone().into(), w.acme.profile.clone().into()]);
    records
}

/// Paths on which nothing of `acme` lies.
fn foreign_paths(w: &World) -> Vec<MerchantPath> {
    let within = |organization: &str, merchant: &str| MerchantPath::Within(text(organization), text(merchant));
    vec![
        within("org_2", "merchant_1"),
        within("org_9", "merchant_1"),
        within("org_1", "merchant_9"),
        within("org_1", "Merchant_1"),
        within("org_1", "merchant_"),
        within("org_1", "merchant-1"),
        MerchantPath::Id(text("merchant_9")),
        MerchantPath::Id(text("org_1")),
        MerchantPath::Pinned(w.acme.organization.tenant),
        MerchantPath::Pinned(incarnation(12_345)),
        MerchantPath::Pinned(Incarnation::PLATFORM),
    ]
}

pub(super) fn a_path_through_another_organization_leads_nowhere(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.apply(w.acme.creating(w.acme.one_of_each(1)));
    for path in foreign_paths(&w) {
        for record in everything(&w) {
            for key in keys_of(&record, &path) {
                // These two do not go through it.
                if !matches!(key, Key::ApiKeyByDigest(_) | Key::DataKey(..)) {
                    assert_eq!(w.get(&key), None, "{key:?}");
                }
            }
        }
        for collection in collections() {
            let query = Query::Within(path.clone(), collection, PageRequest::default());
            assert_eq!(w.list(&query), None, "{query:?}");
        }
        let of_profile = Collection::Connectors { profile: Some(text("pro_1")) };
        assert_eq!(w.list(&Query::Within(path, of_profile, PageRequest::default())), None);
    }
}

pub(super) fn a_path_to_another_tenant_does_not_find_the_ids_of_this_one(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let records = w.acme.one_of_each(1);
    w.apply(w.acme.creating(records.clone()));
    for tenant in [&w.sister, &w.rival] {
        for path in tenant.paths() {
            for key in records.iter().flat_map(|record| keys_of(record, &path)) {
                if !matches!(key, Key::ApiKeyByDigest(_)) {
                    assert_eq!(w.get(&key), None, "{key:?}");
                }
            }
            assert_eq!(w.get(&Key::DataKey(tenant.merchant.tenant, w.acme.data_key.id.clone())), None);
            let default = w.get(&Key::DefaultProfile(path.clone()));
            assert_eq!(default, Some(tenant.profile.clone().into()));
            for collection in collections() {
                let query = Query::Within(path.clone(), collection.clone(), PageRequest::default());
                let listing = w.list(&query).expect("the tenant lives");
                let own: Vec<Record> = match collection {
                    Collection::Profiles => vec![tenant.profile.clone().into()],
                    _ => Vec::new(),
                };
                let total = collection.is_counted().then_some(0);
                assert_eq!(listing, Listing { records: own, total }, "{query:?}");
            }
        }
    }
}

pub(super) fn equal_ids_in_two_tenants_are_two_objects(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for (number, tenant) in [(1, &w.acme), (2, &w.rival)] {
        let mut records = tenant.one_of_each(5);
        for record in &mut records {
            if let Record::ApiKey(key) = record {
                key.state.digest.as_mut().expect("is a living key").digest = digest(number);
            }
        }
        w.apply(tenant.creating(records.clone()));
        for key in records.iter().flat_map(|record| keys_of(record, &tenant.path()).into_iter().zip([record])) {
            assert_eq!(w.get(&key.0).as_ref(), Some(key.1), "{:?}", key.0);
        }
    }
    let before: Vec<_> = collections().into_iter().map(|c| w.list(&w.rival.query(c))).collect();
    let mut set = w.acme.set();
    for record in w.acme.one_of_each(5).iter().rev() {
        set.remove(record.entity(), 1, false);
    }
    w.apply(set);
    let after: Vec<_> = collections().into_iter().map(|c| w.list(&w.rival.query(c))).collect();
    assert_eq!(before, after);
}

pub(super) fn an_organization_that_does_not_live_is_none(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for path in [
        OrganizationPath::Id(text("org_9")),
        OrganizationPath::Id(text("org_1x")),
        OrganizationPath::Pinned(w.acme.merchant.tenant),
        OrganizationPath::Pinned(Incarnation::PLATFORM),
    ] {
        assert_eq!(w.get(&Key::Organization(path.clone())), None, "{path:?}");
        assert_eq!(w.list(&Query::Merchants(path, PageRequest::default())), None);
    }
}

pub(super) fn an_organization_lists_its_own_merchant_accounts(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for (tenant, own) in [
        (&w.acme, vec![w.acme.merchant.clone().into(), w.sister.merchant.clone().into()]),
        (&w.rival, vec![w.rival.merchant.clone().into()]),
    ] {
        for path in
            [OrganizationPath::Id(tenant.organization.id.clone()), OrganizationPath::Pinned(tenant.organization.tenant)]
        {
            let listing = w.list(&Query::Merchants(path, PageRequest::default()));
            assert_eq!(listing, Some(Listing { records: own.clone(), total: None }));
        }
    }
}

pub(super) fn an_empty_collection_is_not_an_absent_one(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.set();
    set.remove(w.acme.profile.entity(), 1, false);
    w.apply(set);
    for path in w.acme.paths() {
        for collection in collections() {
            let total = collection.is_counted().then_some(0);
            let query = Query::Within(path.clone(), collection, PageRequest::default());
            assert_eq!(w.list(&query), Some(Listing { records: Vec::new(), total }), "{query:?}");
        }
        assert_eq!(w.get(&Key::DefaultProfile(path)), None);
    }
}

pub(super) fn connectors_are_listed_by_profile_within_their_tenant(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let other = profile(&w.acme.merchant, 1);
    let (one, two, theirs) = (connector(&w.acme.profile, 1), connector(&other, 2), connector(&w.sister.profile, 3));
    w.apply(w.acme.creating([other.clone().into(), one.clone().into(), two.clone().into()]));
    w.apply(w.sister.creating([theirs.clone().into()]));
    let listed = |tenant: &crate::records::Tenant, profile: Option<&str>| {
        let profile = profile.map(text);
        w.list(&tenant.query(Collection::Connectors { profile })).map(|listing| listing.records)
    };
    let (one, two, theirs): (Record, Record, Record) = (one.into(), two.into(), theirs.into());
    assert_eq!(listed(&w.acme, None), Some(vec![one.clone(), two.clone()]));
    assert_eq!(listed(&w.acme, Some("pro_default")), Some(vec![one]));
    assert_eq!(listed(&w.acme, Some("pro_1")), Some(vec![two]));
    assert_eq!(listed(&w.acme, Some("pro_absent")), Some(Vec::new()));
    assert_eq!(listed(&w.sister, Some("pro_default")), Some(vec![theirs]));
    assert_eq!(listed(&w.sister, Some("pro_1")), Some(Vec::new()));
}

pub(super) fn a_publishable_key_leads_to_its_account_whosever_it_is(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for tenant in [&w.acme, &w.sister, &w.rival] {
        let key = Key::MerchantByPublishableKey(tenant.merchant.state.publishable_key.clone());
        assert_eq!(w.get(&key), Some(tenant.merchant.clone().into()));
    }
    assert_eq!(w.get(&Key::MerchantByPublishableKey(text("pk_dev_absent"))), None);
    let gone = Key::MerchantByPublishableKey(w.acme.merchant.state.publishable_key.clone());
    let mut set = w.acme.set();
    set.remove(w.acme.merchant.entity(), 1, true);
    w.apply(set);
    assert_eq!(w.get(&gone), None);
}

pub(super) fn a_digest_leads_to_its_key_whosever_it_is(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for (number, tenant) in [(1, &w.acme), (2, &w.rival)] {
        w.apply(tenant.creating(tenant.one_of_each(number)));
        let found = w.get(&Key::ApiKeyByDigest(digest(number))).expect("the key lives");
        assert_eq!(found.meta().tenant, tenant.merchant.tenant);
    }
    for absent in [[0; 32], [0xff; 32], digest(3)] {
        assert_eq!(w.get(&Key::ApiKeyByDigest(absent)), None);
    }
}
