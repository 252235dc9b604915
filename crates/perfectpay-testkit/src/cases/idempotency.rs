//! Once: what a key that was used before answers.

use perfectpay::store::{ChangeSet, IdempotencyClaim, LogScope};
use perfectpay::{Incarnation, Timestamp};

use crate::Fixture;
use crate::probe::plain;
use crate::records::{Tenant, World, claim, moment, now, organization, organization_set, profile, sealed, text};

const MISMATCH: &str = "this idempotency key was used with another request";

/// A set that creates a profile under a claim.
fn claiming(of: &Tenant, number: u32, claim: IdempotencyClaim) -> ChangeSet {
    let mut set = of.creating([profile(&of.merchant, number).into()]);
    set.idempotency = Some(claim);
    set
}

pub(super) fn an_equal_request_is_answered_with_the_first_answer(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.apply(claiming(&w.acme, 1, claim(0, 1)));
    w.replay(claiming(&w.acme, 1, claim(0, 1)), &claim(0, 1).answer);
    // The request's digest says what is equal, not the changes or the answer that would have been given.
    let mut again = claim(0, 1);
    again.answer = sealed(99);
    again.expires_at = again.expires_at.plus_seconds(9_999);
    w.replay(claiming(&w.acme, 2, again), &claim(0, 1).answer);
    w.apply(claiming(&w.acme, 2, claim(1, 1)));
}

pub(super) fn another_request_under_a_used_key_is_refused(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.apply(claiming(&w.acme, 1, claim(0, 1)));
    let mut other = claim(0, 1);
    other.request[31] ^= 1;
    w.refuse(claiming(&w.acme, 2, other), "idempotency_mismatch", MISMATCH);
    w.refuse(claiming(&w.acme, 2, claim(0, 2)), "idempotency_mismatch", MISMATCH);
    w.replay(claiming(&w.acme, 1, claim(0, 1)), &claim(0, 1).answer);
}

pub(super) fn a_claim_reads_back_exactly(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    assert_eq!(w.claim(w.acme.merchant.tenant, "key-0"), None);
    let kept = claim(0, 7);
    w.apply(claiming(&w.acme, 1, kept.clone()));
    let found = w.claim(w.acme.merchant.tenant, "key-0").expect("it was kept");
    assert_eq!(plain(&found.answer), plain(&kept.answer));
    assert_eq!(found, kept);
    for tenant in [w.acme.organization.tenant, w.sister.merchant.tenant, Incarnation::PLATFORM] {
        assert_eq!(w.claim(tenant, "key-0"), None);
    }
    for absent in ["key-1", "KEY-0", "key-", "key-00"] {
        assert_eq!(w.claim(w.acme.merchant.tenant, absent), None, "{absent}");
    }
}

pub(super) fn keys_are_kept_exactly_as_they_are_written(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let visible: String = (b'!'..=b'~').map(char::from).collect();
    let keys = ["A", "a", "!", "%", "'", &visible, &"x".repeat(255), &"x".repeat(254)];
    for (number, key) in (1..).zip(keys) {
        let mut kept = claim(0, u8::try_from(number).expect("is small"));
        kept.key = text(key);
        w.apply(claiming(&w.acme, number, kept.clone()));
        assert_eq!(w.claim(w.acme.merchant.tenant, key), Some(kept), "{key}");
    }
}

pub(super) fn an_expired_claim_is_as_good_as_none_and_is_replaced(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let first = claim(0, 1);
    w.apply(claiming(&w.acme, 1, first.clone()));
    let at = |millis: i64, number: u32, claim: IdempotencyClaim| {
        let mut set = claiming(&w.acme, number, claim);
        set.at = Timestamp::from_unix_millis(first.expires_at.unix_millis() + millis).expect("is in the range");
        set
    };
    // One millisecond before its end it holds; at its end it does not.
    w.replay(at(-1, 2, first.clone()), &first.answer);
    w.refuse(at(-1, 2, claim(0, 2)), "idempotency_mismatch", MISMATCH);
    assert_eq!(w.claim(w.acme.merchant.tenant, "key-0"), Some(first.clone()));
    let mut second = claim(0, 2);
    second.expires_at = first.expires_at.plus_seconds(60);
    w.apply(at(0, 2, second.clone()));
    assert_eq!(w.claim(w.acme.merchant.tenant, "key-0"), Some(second.clone()));
    w.replay(at(59_999, 3, second.clone()), &second.answer);
    let mut third = claim(0, 1);
    third.expires_at = first.expires_at.plus_seconds(600);
    w.apply(at(60_000, 3, third.clone()));
    assert_eq!(w.claim(w.acme.merchant.tenant, "key-0"), Some(third));
}

pub(super) fn a_claim_expires_by_the_time_of_the_set_and_not_of_the_log(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    w.apply(claiming(&w.acme, 1, claim(0, 1)));
    let mut late = w.acme.creating([profile(&w.acme.merchant, 2).into()]);
    late.at = now().plus_seconds(1_000_000);
    w.apply(late);
    w.replay(claiming(&w.acme, 3, claim(0, 1)), &claim(0, 1).answer);
}

pub(super) fn an_expired_claim_is_kept_where_its_successor_is_refused(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut old = claim(0, 1);
    old.expires_at = moment(0);
    w.apply(claiming(&w.acme, 1, old));
    w.refuse(claiming(&w.acme, 1, claim(0, 2)), "already_exists", "business profile `pro_1` exists already");
    w.apply(claiming(&w.acme, 2, claim(0, 2)));
}

pub(super) fn equal_keys_of_two_tenants_are_two_keys(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for (request, tenant) in [(1, &w.acme), (2, &w.sister), (3, &w.rival)] {
        w.apply(claiming(tenant, 1, claim(0, request)));
    }
    let mut of_organization = organization_set(&w.acme.organization);
    of_organization.update(crate::records::touched(&w.acme.organization));
    of_organization.idempotency = Some(claim(0, 4));
    w.apply(of_organization);
    for (request, tenant) in [(1, &w.acme), (2, &w.sister), (3, &w.rival)] {
        w.replay(claiming(tenant, 2, claim(0, request)), &claim(0, request).answer);
        w.refuse(claiming(tenant, 2, claim(0, 9)), "idempotency_mismatch", MISMATCH);
    }
    assert_eq!(w.claim(w.acme.organization.tenant, "key-0"), Some(claim(0, 4)));
}

pub(super) fn what_belongs_to_no_organization_is_claimed_by_the_platform(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let row = organization(9);
    let mut set = organization_set(&row);
    set.owner = perfectpay::store::Owner::default();
    set.create(row.clone());
    set.idempotency = Some(claim(2, 1));
    w.apply(set.clone());
    assert_eq!(w.claim(Incarnation::PLATFORM, "key-2"), Some(claim(2, 1)));
    assert_eq!(w.claim(row.tenant, "key-2"), None);
    w.replay(set, &claim(2, 1).answer);
    let log = w.log(&LogScope::All);
    let entry = log.last().expect("has an entry");
    assert_eq!((&entry.organization_id, &entry.merchant_id), (&None, &None));
}
