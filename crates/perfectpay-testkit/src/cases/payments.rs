//! Payments that wait for somebody to pay: listed by when they expire.

use perfectpay::store::{Collection, Query};
use perfectpay::webhook::IntentStatus;
use perfectpay::{Cursor, PageRequest};

use crate::Fixture;
use crate::records::{Tenant, World, moment, payment, touched};

/// The ids of the account's open payments, read in pages of so many.
fn open(w: &World, tenant: &Tenant, limit: u32) -> Vec<String> {
    let listed = w.pages(limit, |page| Query::Within(tenant.path(), Collection::OpenPayments, page));
    listed.expect("the account lives").iter().map(|record| record.meta().id).collect()
}

pub(super) fn open_payments_are_listed_by_when_they_expire(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    // Created in the one order, and expiring in the other; two of them at one moment.
    for (number, until) in [(1, 50), (2, 40), (3, 30), (4, 30)] {
        let mut row = payment(&w.acme.profile, number);
        row.state.expires_at = moment(until);
        w.apply(w.acme.creating([row.into()]));
    }
    w.apply(w.sister.creating([payment(&w.sister.profile, 1).into()]));
    for limit in [1, 2, 3, 100] {
        assert_eq!(open(&w, &w.acme, limit), ["pay_3", "pay_4", "pay_2", "pay_1"], "in pages of {limit}");
        assert_eq!(open(&w, &w.sister, limit), ["pay_1"], "in pages of {limit}");
    }
    let cursor = Cursor { created_at: moment(40), id: "pay_2".into() };
    let page = PageRequest::of(100).expect("is a limit").after(Some(cursor));
    let behind = w.list(&Query::Within(w.acme.path(), Collection::OpenPayments, page)).expect("the account lives");
    assert_eq!(behind.records.len(), 1, "a cursor is exclusive, and of the time at which a payment expires");
}

pub(super) fn a_payment_that_nobody_waits_for_is_not_open(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let rows = [1, 2].map(|number| payment(&w.acme.profile, number));
    w.apply(w.acme.creating(rows.clone().map(Into::into)));
    let [mut row, _] = rows;
    for (status, is_open) in [
        (IntentStatus::Processing, false),
        (IntentStatus::Succeeded, false),
        (IntentStatus::RequiresConfirmation, true),
        (IntentStatus::Expired, false),
        (IntentStatus::Cancelled, false),
        (IntentStatus::RequiresPaymentMethod, true),
        (IntentStatus::Failed, false),
    ] {
        row = touched(&row);
        row.state.status = status;
        let mut set = w.acme.set();
        set.update(row.clone());
        w.apply(set);
        let expected: &[&str] = if is_open { &["pay_1", "pay_2"] } else { &["pay_2"] };
        assert_eq!(open(&w, &w.acme, 1), expected, "{status}");
    }
    let mut set = w.acme.set();
    set.remove(payment(&w.acme.profile, 2).entity(), 1, false);
    w.apply(set);
    assert_eq!(open(&w, &w.acme, 1), [""; 0]);
}
