//! Events: listed by when they are due, over all tenants and of one, and unique by what they are the same by.

use perfectpay::store::{Collection, Key, Query, Record};
use perfectpay::{Cursor, PageRequest, Timestamp};

use crate::Fixture;
use crate::records::{Tenant, World, delivered, due, event, moment, now, payment, text};

fn page(limit: u32) -> PageRequest {
    PageRequest::of(limit).expect("is a limit")
}

/// A world in which every tenant has the payment that its events are of.
fn world(fixture: &dyn Fixture) -> World {
    let w = World::open(fixture);
    for tenant in [&w.acme, &w.sister, &w.rival] {
        w.apply(tenant.creating([payment(&tenant.profile, 500).into()]));
    }
    w
}

/// The event of this number.
fn of(tenant: &Tenant, number: u32) -> perfectpay::store::Stored<perfectpay::event::EventState> {
    event(&payment(&tenant.profile, 500), number)
}

fn ids(records: Option<Vec<Record>>) -> Vec<String> {
    records.expect("the parent lives").iter().map(|record| record.meta().id).collect()
}

/// The outbox in pages of so many.
fn outbox(w: &World, limit: u32) -> Vec<String> {
    ids(w.pages(limit, Query::Outbox))
}

fn pending(w: &World, tenant: &Tenant, limit: u32) -> Vec<String> {
    ids(w.pages(limit, |page| Query::Within(tenant.path(), Collection::PendingEvents, page)))
}

pub(super) fn pending_events_are_listed_over_all_tenants_by_when_they_are_due(fixture: &mut dyn Fixture) {
    let w = world(fixture);
    // Created in neither direction, and by whom changes nothing.
    let order = [(&w.rival, 1), (&w.acme, 2), (&w.sister, 3), (&w.acme, 4), (&w.rival, 5), (&w.acme, 6)];
    for at in [3, 1, 5, 0, 4, 2] {
        let (tenant, number) = order[at];
        w.apply(tenant.creating([of(tenant, number).into()]));
    }
    let expected: Vec<String> = order.iter().map(|(tenant, number)| of(tenant, *number).id.to_string()).collect();
    let own: Vec<String> = [2, 4, 6].map(|number| of(&w.acme, number).id.to_string()).into();
    for limit in [1, 2, 3, 6, 100] {
        assert_eq!(outbox(&w, limit), expected, "in pages of {limit}");
        assert_eq!(pending(&w, &w.acme, limit), own, "in pages of {limit}");
    }
    // One that is due later moves behind the others, wherever it was created.
    let mut set = w.acme.set();
    set.update(due(&of(&w.acme, 2), moment(9)));
    w.apply(set);
    let moved = [1, 3, 4, 5, 6, 2].map(|number| {
        let (tenant, _) = order[number - 1];
        of(tenant, u32::try_from(number).expect("is small")).id.to_string()
    });
    for limit in [1, 2, 100] {
        assert_eq!(outbox(&w, limit), moved, "in pages of {limit}");
        assert_eq!(
            pending(&w, &w.acme, limit),
            [own[1].clone(), own[2].clone(), own[0].clone()],
            "in pages of {limit}"
        );
    }
    let behind = |at: Timestamp, id: &str| {
        let cursor = Cursor { created_at: at, id: id.into() };
        w.list(&Query::Outbox(page(100).after(cursor))).expect("the platform lives").records.len()
    };
    assert_eq!(behind(moment(5), moved[3].as_str()), 2, "a cursor is exclusive");
    assert_eq!(behind(moment(7), ""), 1, "and is of the time at which an event is due");
    assert_eq!(behind(moment(9), "\u{10ffff}"), 0);
}

pub(super) fn an_event_that_is_not_pending_is_in_no_outbox(fixture: &mut dyn Fixture) {
    let w = world(fixture);
    let (one, two) = (of(&w.acme, 1), of(&w.acme, 2));
    w.apply(w.acme.creating([one.clone().into(), two.clone().into()]));
    let gone = delivered(&one);
    let mut set = w.acme.set();
    set.update(gone.clone());
    w.apply(set);
    assert_eq!(outbox(&w, 1), [two.id.to_string()]);
    assert_eq!(pending(&w, &w.acme, 1), [two.id.to_string()]);
    let events = w.list(&w.acme.query(Collection::Events)).expect("the tenant lives").records;
    assert_eq!(events, [two.clone().into(), gone.clone().into()], "newest first, by when they were created");
    // Due again, it is back.
    let mut again = gone.next(now(), gone.state.clone());
    again.state.delivery = one.state.delivery;
    let mut set = w.acme.set();
    set.update(again);
    w.apply(set);
    assert_eq!(outbox(&w, 1), [one.id.to_string(), two.id.to_string()]);
}

pub(super) fn a_merchant_account_lists_its_own_events_and_the_outbox_is_none_of_its_lists(fixture: &mut dyn Fixture) {
    let w = world(fixture);
    for tenant in [&w.acme, &w.sister, &w.rival] {
        w.apply(tenant.creating([of(tenant, 1).into()]));
    }
    for tenant in [&w.acme, &w.sister, &w.rival] {
        for collection in [Collection::Events, Collection::PendingEvents] {
            let own = w.list(&tenant.query(collection)).expect("the tenant lives").records;
            assert_eq!(own, [of(tenant, 1).into()]);
        }
        assert_eq!(w.list(&tenant.query(Collection::Outbox)).expect("the tenant lives").records, []);
    }
    // With its tenant an event leaves the outbox.
    let mut set = w.sister.set();
    set.remove(w.sister.merchant.entity(), 1, true);
    w.apply(set);
    assert_eq!(outbox(&w, 100), [of(&w.acme, 1).id.to_string(), of(&w.rival, 1).id.to_string()]);
}

pub(super) fn an_event_is_unique_within_its_account_by_what_it_is_the_same_by(fixture: &mut dyn Fixture) {
    let w = world(fixture);
    let first = of(&w.acme, 1);
    w.apply(w.acme.creating([first.clone().into()]));
    let found = |tenant: &Tenant| w.get(&Key::EventOnce(tenant.path(), first.state.once.clone()));
    assert_eq!(found(&w.acme), Some(first.clone().into()));
    assert_eq!(found(&w.sister), None);
    let mut same = of(&w.acme, 2);
    same.state.once.clone_from(&first.state.once);
    w.refuse(w.acme.creating([same.clone().into()]), "duplicate", "another event has this event_type");
    // Delivered, it still is the one.
    let mut set = w.acme.set();
    set.update(delivered(&first));
    w.apply(set);
    w.refuse(w.acme.creating([same.clone().into()]), "duplicate", "another event has this event_type");
    // To another account it is nothing.
    let mut elsewhere = of(&w.sister, 1);
    elsewhere.state.once.clone_from(&first.state.once);
    w.apply(w.sister.creating([elsewhere.clone().into()]));
    assert_eq!(found(&w.sister), Some(elsewhere.into()));
    let mut set = w.acme.set();
    set.remove(first.entity(), 2, false).create(same.clone());
    w.apply(set);
    assert_eq!(found(&w.acme), Some(same.into()));
}

pub(super) fn a_payment_takes_its_events_along_and_is_held_up_by_them(fixture: &mut dyn Fixture) {
    let w = world(fixture);
    let (own, other) = (payment(&w.acme.profile, 1), of(&w.acme, 2));
    let gone = event(&own, 1);
    w.apply(w.acme.creating([own.clone().into(), gone.clone().into(), other.clone().into()]));
    let mut absent = event(&payment(&w.acme.profile, 7), 7);
    absent.state.payment_id = text("pay_7");
    w.refuse(w.acme.creating([absent.into()]), "not_found", "there is no payment `pay_7`");
    let mut set = w.acme.set();
    set.remove(own.entity(), 1, false);
    w.refuse(set, "has_children", "payment `pay_1` still has 1 × event");
    let mut set = w.acme.set();
    set.remove(own.entity(), 1, true);
    w.apply(set);
    assert_eq!(w.get(&Key::Event(w.acme.path(), gone.id)), None);
    assert_eq!(outbox(&w, 100), [other.id.to_string()]);
}
