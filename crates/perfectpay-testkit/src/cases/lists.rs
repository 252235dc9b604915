//! Ordered: by time of creation and then by id as bytes, a page at a time, each record once.

use perfectpay::blocklist::BlockKind;
use perfectpay::store::{
    Actor, ChangeSet, Collection, CommitClass, Key, Order, OrganizationPath, Owner, Query, Record,
};
use perfectpay::{Cursor, PageRequest, Timestamp};

use crate::Fixture;
use crate::probe::cursor_at;
use crate::records::{
    Tenant, World, api_key, block_rule, block_rule_of, connector, data_key, event, moment, now, organization,
    organization_data_key, organization_set, payment, payment_decision, payment_link, profile, routing_program,
    routing_version, sealed, text, touched, wrapped_by,
};

fn page(limit: u32) -> PageRequest {
    PageRequest::of(limit).expect("is a limit")
}

/// The ids of a collection of `acme`, read in pages of so many.
#[track_caller]
fn ids(w: &World, collection: &Collection, limit: u32) -> Vec<String> {
    let query = |page| Query::Within(w.acme.path(), collection.clone(), page);
    let records = w.pages(limit, query).expect("the tenant lives");
    records.iter().map(|record| record.meta().id).collect()
}

/// Makes the record of this number.
type Maker = fn(&Tenant, u32) -> Record;

/// Every collection below a merchant account with a way to fill it, without a default profile in it.
fn makers() -> Vec<(Collection, Maker)> {
    vec![
        (Collection::Connectors { profile: None }, |t, n| connector(&t.profile, n).into()),
        (Collection::Connectors { profile: Some(text("pro_default")) }, |t, n| connector(&t.profile, n).into()),
        (Collection::RoutingPrograms { profile: None }, |t, n| routing_program(&t.profile, n).into()),
        (Collection::RoutingPrograms { profile: Some(text("pro_default")) }, |t, n| {
            routing_program(&t.profile, n).into()
        }),
        (Collection::RoutingVersions { program: None }, |t, n| {
            routing_version(&routing_program(&t.profile, 500), n).into()
        }),
        (Collection::RoutingVersions { program: Some(text("routing_500")) }, |t, n| {
            routing_version(&routing_program(&t.profile, 500), n).into()
        }),
        (Collection::ApiKeys, |t, n| api_key(&t.merchant, n).into()),
        (Collection::BlockRules { kind: None }, |t, n| block_rule(&t.merchant, n).into()),
        (Collection::BlockRules { kind: Some(BlockKind::CardBin) }, |t, n| block_rule(&t.merchant, n).into()),
        (Collection::Payments, |t, n| payment(&t.profile, n).into()),
        (Collection::PaymentLinks { profile: None }, |t, n| payment_link(&payment(&t.profile, 500), n).into()),
        (Collection::Events, |t, n| event(&payment(&t.profile, 500), n).into()),
        (Collection::PaymentDecisions, |t, n| payment_decision(&payment(&t.profile, 500), n).into()),
    ]
}

fn is_filtered(collection: &Collection) -> bool {
    matches!(
        collection,
        Collection::Connectors { profile: Some(_) }
            | Collection::RoutingPrograms { profile: Some(_) }
            | Collection::RoutingVersions { program: Some(_) }
            | Collection::BlockRules { kind: Some(_) }
    )
}

/// A world whose `acme` has the payment that links and events hang on, and the program that versions do.
fn world(fixture: &dyn Fixture) -> World {
    let w = World::open(fixture);
    let (payment, program) = (payment(&w.acme.profile, 500), routing_program(&w.acme.profile, 500));
    w.apply(w.acme.creating([payment.into(), program.into()]));
    w
}

pub(super) fn a_list_has_the_order_of_its_collection(fixture: &mut dyn Fixture) {
    let w = world(fixture);
    for (collection, make) in makers() {
        if is_filtered(&collection) {
            continue; // Filled by the one without a filter.
        }
        // Committed in neither direction.
        for number in [3, 1, 4, 2, 9, 5, 8, 6, 7] {
            w.apply(w.acme.creating([make(&w.acme, number)]));
        }
    }
    for (collection, make) in makers() {
        let mut expected: Vec<String> = (1..=9).map(|n| make(&w.acme, n).meta().id).collect();
        match collection {
            Collection::Payments => expected.push("pay_500".into()),
            Collection::RoutingPrograms { .. } => expected.push("routing_500".into()),
            _ => {}
        }
        if collection.order() == Order::Descending {
            expected.reverse();
        }
        for limit in [1, 2, 3, 9, 10, 100] {
            assert_eq!(ids(&w, &collection, limit), expected, "{collection:?} in pages of {limit}");
        }
    }
}

pub(super) fn profiles_are_listed_oldest_first(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for number in [30, 10, 20] {
        w.apply(w.acme.creating([profile(&w.acme.merchant, number).into()]));
    }
    assert_eq!(ids(&w, &Collection::Profiles, 2), ["pro_default", "pro_10", "pro_20", "pro_30"]);
}

pub(super) fn organizations_and_merchant_accounts_are_listed_oldest_first(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for number in [30, 10, 20] {
        let row = organization(number);
        let mut set = organization_set(&row);
        set.create(row);
        w.apply(set);
        w.apply(Tenant::within(&w.acme.organization, number).founding());
    }
    let names =
        |records: Option<Vec<Record>>| -> Vec<String> { records.expect("lives").iter().map(|r| r.meta().id).collect() };
    for limit in [1, 2, 3, 100] {
        let listed = names(w.pages(limit, Query::Organizations));
        assert_eq!(listed, ["org_1", "org_2", "org_10", "org_20", "org_30"]);
        let path = OrganizationPath::Id(w.acme.organization.id.clone());
        let listed = names(w.pages(limit, |page| Query::Merchants(path.clone(), page)));
        assert_eq!(listed, ["merchant_1", "merchant_2", "merchant_10", "merchant_20", "merchant_30"]);
    }
}

pub(super) fn ties_are_broken_by_the_bytes_of_the_id(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let sorted = ["-a", "10", "2", "A", "Z", "_", "a", "aA", "a_", "aa", "b"];
    for at in [5, 1, 9, 0, 7, 3, 10, 2, 6, 4, 8] {
        let mut connector = connector(&w.acme.profile, 1);
        connector.id = text(format!("mca_{}", sorted[at]));
        connector.state.connector_label = text(format!("label {at}"));
        let mut payment = payment(&w.acme.profile, 1);
        payment.id = text(format!("pay{}", sorted[at]));
        w.apply(w.acme.creating([connector.into(), payment.into()]));
    }
    for limit in [1, 2, 3, 4, 100] {
        let connectors: Vec<String> = sorted.iter().map(|s| format!("mca_{s}")).collect();
        assert_eq!(ids(&w, &Collection::Connectors { profile: None }, limit), connectors);
        let payments: Vec<String> = sorted.iter().rev().map(|s| format!("pay{s}")).collect();
        assert_eq!(ids(&w, &Collection::Payments, limit), payments);
    }
}

pub(super) fn a_page_has_one_record_more_than_its_limit_where_there_is_one(fixture: &mut dyn Fixture) {
    let w = world(fixture);
    w.apply(w.acme.creating((1..=5).map(|n| api_key(&w.acme.merchant, n).into())));
    let size = |limit, after: Option<Cursor>| {
        let query = Query::Within(w.acme.path(), Collection::ApiKeys, page(limit).after(after));
        w.list(&query).expect("the tenant lives").records.len()
    };
    assert_eq!([1, 3, 4, 5, 6, 100].map(|limit| size(limit, None)), [2, 4, 5, 5, 5, 5]);
    let third = cursor_at(&api_key(&w.acme.merchant, 3).into());
    assert_eq!([1, 2, 3].map(|limit| size(limit, Some(third.clone()))), [2, 2, 2]);
    let last = cursor_at(&api_key(&w.acme.merchant, 5).into());
    assert_eq!(size(1, Some(last)), 0);
}

pub(super) fn a_cursor_is_exclusive_and_need_not_live(fixture: &mut dyn Fixture) {
    let w = world(fixture);
    for (collection, make) in makers() {
        if is_filtered(&collection) {
            continue;
        }
        let records: Vec<Record> = (1..=5).map(|n| make(&w.acme, n)).collect();
        w.apply(w.acme.creating(records.clone()));
        let behind = |cursor: Cursor| {
            let query = Query::Within(w.acme.path(), collection.clone(), page(100).after(cursor));
            w.list(&query).expect("the tenant lives").records
        };
        let expected = match collection.order() {
            Order::Ascending => records[3..].to_vec(),
            Order::Descending => records[..2].iter().rev().cloned().collect(),
        };
        let third = cursor_at(&records[2]);
        assert_eq!(behind(third.clone()), expected, "{collection:?}");
        let mut set = w.acme.set();
        set.remove(records[2].entity(), 1, false);
        w.apply(set);
        assert_eq!(behind(third.clone()), expected, "{collection:?} behind a removed record");
        // A record that takes the cursor's place does not show behind it.
        w.apply(w.acme.creating([records[2].clone()]));
        assert_eq!(behind(third), expected);
    }
}

pub(super) fn records_that_come_and_go_between_pages_skip_and_repeat_no_other(fixture: &mut dyn Fixture) {
    let w = world(fixture);
    for (collection, make) in makers() {
        if is_filtered(&collection) {
            continue;
        }
        let stay: Vec<Record> = (100..130).map(|n| make(&w.acme, n)).collect();
        w.apply(w.acme.creating(stay.clone()));
        let mut seen: Vec<String> = Vec::new();
        let mut request = page(4);
        let mut passing: Option<Record> = None;
        for round in 0..60 {
            let query = Query::Within(w.acme.path(), collection.clone(), request.clone());
            let mut records = w.list(&query).expect("the tenant lives").records;
            let more = records.len() > 4;
            records.truncate(4);
            seen.extend(records.iter().map(|r| r.meta().id));
            if !more {
                break;
            }
            let last = records.last().expect("a full page");
            request = page(4).after(cursor_at(last));
            // One comes at either end, the one of the round before goes.
            let mut set = w.acme.creating([make(&w.acme, 10 + round), make(&w.acme, 200 + round)]);
            if let Some(gone) = passing.replace(make(&w.acme, 10 + round)) {
                set.remove(gone.entity(), 1, false);
            }
            w.apply(set);
        }
        for record in &stay {
            let id = record.meta().id;
            assert_eq!(seen.iter().filter(|s| **s == id).count(), 1, "{collection:?}: {id} in {seen:?}");
        }
        let distinct: std::collections::BTreeSet<&String> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "{collection:?} repeats: {seen:?}");
    }
}

pub(super) fn a_page_behind_a_cursor_that_no_list_gave_is_what_lies_behind_it(fixture: &mut dyn Fixture) {
    let w = world(fixture);
    w.apply(w.acme.creating((1..=3).map(|n| api_key(&w.acme.merchant, n).into())));
    w.apply(w.acme.creating((1..=3).map(|n| block_rule(&w.acme.merchant, n).into())));
    let rules = Collection::BlockRules { kind: None };
    let found = |collection: &Collection, created_at: Timestamp, id: &str| {
        let cursor = Cursor { created_at, id: id.into() };
        let query = Query::Within(w.acme.path(), collection.clone(), page(100).after(cursor));
        w.list(&query).expect("the tenant lives").records.len()
    };
    for (created_at, id, keys, blocked) in [
        (Timestamp::MIN, "", 3, 0),
        (Timestamp::MIN, "\u{10ffff}\u{10ffff}", 3, 0),
        (moment(2), "", 2, 1),
        (moment(2), "\u{10ffff}", 1, 2),
        (moment(2), "' OR 1=1 --", 2, 1),
        (Timestamp::MAX, "", 0, 3),
        (Timestamp::MAX, "\u{10ffff}", 0, 3),
        (Timestamp::MAX, "\u{10ffff}\u{10ffff}", 0, 3),
    ] {
        assert_eq!(found(&Collection::ApiKeys, created_at, id), keys, "keys behind {created_at} {id:?}");
        assert_eq!(found(&rules, created_at, id), blocked, "rules behind {created_at} {id:?}");
    }
}

pub(super) fn a_list_reaches_to_both_ends_of_time(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let times = [Timestamp::MIN, text("1969-12-31T23:59:59.999Z"), Timestamp::UNIX_EPOCH, moment(1), Timestamp::MAX];
    for (number, created_at) in (1..).zip(times) {
        let (mut key, mut rule) = (api_key(&w.acme.merchant, number), block_rule(&w.acme.merchant, number));
        (key.created_at, key.modified_at) = (created_at, created_at);
        (rule.created_at, rule.modified_at) = (created_at, created_at);
        w.apply(w.acme.creating([key.into(), rule.into()]));
    }
    for limit in [1, 2, 5] {
        assert_eq!(ids(&w, &Collection::ApiKeys, limit), ["dev_1", "dev_2", "dev_3", "dev_4", "dev_5"]);
        let rules: Vec<String> = (1..=5).rev().map(|n| format!("card_bin:00000{n}")).collect();
        assert_eq!(ids(&w, &Collection::BlockRules { kind: None }, limit), rules);
    }
}

pub(super) fn an_update_moves_nothing_in_a_list(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.apply(w.acme.creating((1..=4).map(|n| connector(&w.acme.profile, n).into())));
    let all = Collection::Connectors { profile: None };
    let before = ids(&w, &all, 2);
    let mut set = w.acme.set();
    set.update(crate::records::touched(&connector(&w.acme.profile, 2)));
    w.apply(set);
    assert_eq!(ids(&w, &all, 2), before);
}

pub(super) fn a_blocklist_counts_all_of_its_entries_on_every_page(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let total = |kind: Option<BlockKind>, request: PageRequest| {
        let query = Query::Within(w.acme.path(), Collection::BlockRules { kind }, request);
        w.list(&query).expect("the tenant lives").total
    };
    let totals = || {
        let kinds = [None, Some(BlockKind::CardBin), Some(BlockKind::ExtendedCardBin), Some(BlockKind::Fingerprint)];
        kinds.map(|kind| {
            let behind = page(1).after(Cursor { created_at: moment(2), id: "x".into() });
            let counted = total(kind, page(1));
            assert_eq!(total(kind, behind), counted, "the count depends on the page");
            assert_eq!(total(kind, page(100)), counted, "the count depends on the page");
            counted.expect("a blocklist is counted")
        })
    };
    assert_eq!(totals(), [0, 0, 0, 0]);
    let print = block_rule_of(&w.acme.merchant, BlockKind::Fingerprint, "fp1_abc", 7);
    let mut set = w.acme.creating((1..=5).map(|n| block_rule(&w.acme.merchant, n).into()));
    set.create(print.clone());
    w.apply(set);
    w.apply(w.sister.creating([block_rule(&w.sister.merchant, 1).into()]));
    assert_eq!(totals(), [6, 5, 0, 1]);
    let mut set = w.acme.set();
    set.update(crate::records::touched(&print));
    w.apply(set);
    assert_eq!(totals(), [6, 5, 0, 1]);
    let mut set = w.acme.set();
    set.remove(print.entity(), 2, false).remove(block_rule(&w.acme.merchant, 1).entity(), 1, false);
    w.apply(set.clone());
    assert_eq!(totals(), [4, 4, 0, 0]);
    // Refused: the counts stay.
    w.refuse(set, "not_found", "there is no blocklist entry `fingerprint:fp1_abc`");
    assert_eq!(totals(), [4, 4, 0, 0]);
}

pub(super) fn no_other_collection_is_counted(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut spare = data_key(&w.acme.merchant);
    spare.id = text("dk_spare");
    w.apply(w.acme.creating([spare.into()]));
    for collection in crate::records::collections() {
        let total = w.list(&w.acme.query(collection.clone())).expect("the tenant lives").total;
        assert_eq!(total.is_some(), collection.is_counted(), "{collection:?}");
    }
    assert_eq!(w.list(&Query::Organizations(page(1))).expect("always lives").total, None);
}

pub(super) fn data_keys_are_listed_by_what_wrapped_them_over_all_tenants(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let of_organization = organization_data_key(&w.acme.organization);
    let mut set = organization_set(&w.acme.organization);
    set.create(of_organization.clone());
    w.apply(set);
    let ids = |wrapped_by: &str, limit: u32| -> Vec<String> {
        let records = w.pages(limit, |page| Query::DataKeys(text(wrapped_by), page)).expect("the platform lives");
        records.iter().map(|record| record.meta().id).collect()
    };
    for limit in [1, 2, 3, 4, 100] {
        assert_eq!(ids("mk_1", limit), ["dk_1", "dk_of_org_1", "dk_2", "dk_3"]);
        assert!(ids("mk_2", limit).is_empty() && ids("mk", limit).is_empty() && ids("MK_1", limit).is_empty());
    }
    // Wrapped anew, whosever they are, in one set.
    let mut set = ChangeSet::new(Owner::default(), Actor::Host, now(), CommitClass::Operational);
    for row in [&of_organization, &w.acme.data_key, &w.rival.data_key] {
        let mut next = touched(row);
        next.state.wrapped = wrapped_by("mk_2");
        set.update(next);
    }
    w.apply(set);
    for limit in [1, 2, 100] {
        assert_eq!(ids("mk_1", limit), ["dk_2"]);
        assert_eq!(ids("mk_2", limit), ["dk_1", "dk_of_org_1", "dk_3"]);
    }
    // They are in no merchant account's list, and nothing is left of who went.
    let within = Query::Within(w.acme.path(), Collection::DataKeys { wrapped_by: text("mk_2") }, page(100));
    assert_eq!(w.list(&within).expect("the tenant lives").records, []);
    let mut set = w.rival.set();
    set.remove(w.rival.merchant.entity(), 1, true);
    w.apply(set);
    assert_eq!(ids("mk_2", 1), ["dk_1", "dk_of_org_1"]);
    // What no key is known to have wrapped is in no list.
    let mut unknown = touched(&w.sister.data_key);
    unknown.state.wrapped = sealed(1);
    let mut set = w.sister.set();
    set.update(unknown.clone());
    w.apply(set);
    assert!(ids("mk_1", 1).is_empty());
    assert_eq!(w.get(&Key::DataKey(unknown.tenant, unknown.id.clone())), Some(unknown.into()));
}
