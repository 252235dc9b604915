//! Payment links of their own and their uses: never more than a link has, however many claim at once.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use perfectpay::payment::{LinkKind, LinkUseState, PaymentLinkState, UseLimit};
use perfectpay::store::{
    ChangeSet, Collection, CommitClass, Committed, EntityRef, Expectation, Key, NO_USE_LEFT, Query, Record, Stored,
    UseCount, Uses,
};
use perfectpay::{ChildCount, EntityKind, Error, PaymentLinkId, Timestamp};

use crate::Fixture;
use crate::records::{World, link_use, moment, now, own_link, payment, payment_link, profile, text};

const THREADS: u64 = 8;
/// The deadline of the holds of these cases.
const DEADLINE: u32 = 2_000_000;

fn limited(uses: i64) -> LinkKind {
    LinkKind::Limited(UseLimit::try_from(uses).expect("is a limit"))
}

/// A world whose `acme` has this link of its own.
fn with_link(fixture: &dyn Fixture, kind: LinkKind) -> (World, Stored<PaymentLinkState>) {
    let w = World::open(fixture);
    let link = own_link(&w.acme.profile, 1, kind);
    w.apply(w.acme.creating([link.clone().into()]));
    (w, link)
}

/// The use of this number, held until [`DEADLINE`].
fn hold(link: &Stored<PaymentLinkState>, number: u32) -> Stored<LinkUseState> {
    let mut row = link_use(link, number);
    row.state.held_until = moment(DEADLINE);
    row
}

fn confirmed(row: &Stored<LinkUseState>) -> Stored<LinkUseState> {
    row.next(now(), LinkUseState { confirmed_at: Some(now()), ..row.state.clone() })
}

/// A set that claims a use at this moment where fewer than `limit` stand.
fn claim(w: &World, link: EntityRef, row: Stored<LinkUseState>, fewer_than: u64, at: Timestamp) -> ChangeSet {
    let mut set = ChangeSet { at, class: CommitClass::Operational, ..w.acme.creating([row.into()]) };
    set.expectations.push(Expectation::Uses { of: link, but: None, fewer_than });
    set
}

#[track_caller]
fn uses(w: &World, links: &[&PaymentLinkId], at: Timestamp) -> Vec<(u64, u64)> {
    let links: Vec<PaymentLinkId> = links.iter().map(|id| (*id).clone()).collect();
    let answers = w.acme.paths().map(|path| {
        let count = UseCount { path, links: links.clone(), at };
        w.uses(&count).expect("the tenant lives")
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "the paths disagree: {answers:?}");
    answers[0].iter().map(|Uses { confirmed, held }| (*confirmed, *held)).collect()
}

pub(super) fn a_hold_stands_until_its_deadline_and_a_confirmed_use_for_good(fixture: &mut dyn Fixture) {
    let (w, link) = with_link(fixture, limited(9));
    let (one, two, three) = (hold(&link, 1), hold(&link, 2), hold(&link, 3));
    w.apply(w.acme.creating([one.clone().into(), two.clone().into(), three.clone().into()]));
    let end = moment(DEADLINE);
    let before = Timestamp::from_unix_millis(end.unix_millis() - 1).expect("is in the range");
    assert_eq!(uses(&w, &[&link.id], before), [(0, 3)]);
    assert_eq!(uses(&w, &[&link.id], end), [(0, 0)]);
    let mut set = w.acme.set();
    set.update(confirmed(&one)).remove(two.entity(), 1, false);
    w.apply(set);
    for (at, held) in [(Timestamp::MIN, 1), (before, 1), (end, 0), (Timestamp::MAX, 0)] {
        assert_eq!(uses(&w, &[&link.id], at), [(1, held)], "{at}");
    }
}

pub(super) fn uses_are_counted_for_each_link_and_of_its_tenant(fixture: &mut dyn Fixture) {
    let (w, link) = with_link(fixture, limited(9));
    let other = own_link(&w.acme.profile, 2, LinkKind::Reusable);
    let sisters = own_link(&w.sister.profile, 1, limited(9));
    w.apply(w.acme.creating([other.clone().into(), hold(&link, 1).into(), hold(&other, 2).into()]));
    w.apply(w.acme.creating([hold(&other, 3).into()]));
    w.apply(w.sister.creating([sisters.clone().into(), hold(&sisters, 1).into(), hold(&sisters, 4).into()]));
    let absent: PaymentLinkId = text("plink_absent");
    let counted = uses(&w, &[&other.id, &absent, &link.id, &other.id], now());
    assert_eq!(counted, [(0, 2), (0, 0), (0, 1), (0, 2)]);
    assert_eq!(uses(&w, &[], now()), []);
    let none = UseCount { path: perfectpay::store::MerchantPath::Id(text("nobody")), links: vec![link.id], at: now() };
    assert_eq!(w.uses(&none), None, "of an account that does not live");
}

pub(super) fn no_use_is_claimed_beyond_the_limit(fixture: &mut dyn Fixture) {
    let (w, link) = with_link(fixture, limited(2));
    let refused = |set| w.refuse(set, NO_USE_LEFT, &format!("payment link `{}` has no use left", link.id));
    let of = link.entity();
    refused(claim(&w, of.clone(), hold(&link, 1), 0, now()));
    w.apply(claim(&w, of.clone(), hold(&link, 1), 2, now()));
    w.apply(claim(&w, of.clone(), hold(&link, 2), 2, now()));
    refused(claim(&w, of.clone(), hold(&link, 3), 2, now()));
    // Confirming takes no second place: the use itself is not counted.
    let confirm = |but: Option<EntityRef>| {
        let mut set = w.acme.set();
        set.update(confirmed(&hold(&link, 1)));
        set.expectations.push(Expectation::Uses { of: of.clone(), but, fewer_than: 2 });
        set
    };
    refused(confirm(None));
    refused(confirm(Some(hold(&link, 9).entity())));
    w.apply(confirm(Some(hold(&link, 1).entity())));
    refused(claim(&w, of.clone(), hold(&link, 3), 2, now()));
    // A place that is released is free.
    let mut release = w.acme.set();
    release.remove(hold(&link, 2).entity(), 1, false);
    w.apply(release);
    w.apply(claim(&w, of.clone(), hold(&link, 3), 2, now()));
    // At its deadline a hold frees its place by itself.
    let end = moment(DEADLINE);
    let before = Timestamp::from_unix_millis(end.unix_millis() - 1).expect("is in the range");
    refused(claim(&w, of.clone(), hold(&link, 4), 2, before));
    let mut late = hold(&link, 4);
    late.state.held_until = moment(DEADLINE + 10);
    w.apply(claim(&w, of.clone(), late, 2, end));
    // Of what does not live there is no use.
    let nobody = EntityRef { id: "plink_absent".into(), ..of };
    w.apply(claim(&w, nobody, hold(&link, 5), 1, end));
}

pub(super) fn a_clock_that_is_behind_revives_no_hold_and_claims_none_twice(fixture: &mut dyn Fixture) {
    let (w, link) = with_link(fixture, LinkKind::SingleUse);
    let of = link.entity();
    let first = hold(&link, 1);
    w.apply(claim(&w, of.clone(), first.clone(), 1, now()));
    // Whose clock is ahead finds the hold lapsed and takes its place.
    let mut second = hold(&link, 2);
    second.state.held_until = moment(DEADLINE + 100);
    w.apply(claim(&w, of.clone(), second, 1, moment(DEADLINE)));
    // Whose clock is behind takes the first hold for standing. By the time of the log it does not, and its place is gone.
    let mut set = w.acme.set();
    set.update(confirmed(&first));
    set.expectations.push(Expectation::Uses { of: of.clone(), but: Some(first.entity()), fewer_than: 1 });
    assert!(set.at < first.state.held_until);
    w.refuse(set, NO_USE_LEFT, &format!("payment link `{}` has no use left", link.id));
    // The second one lapses by the log's time too, whatever the set's own time is.
    let mut tick = w.acme.creating([profile(&w.acme.merchant, 7).into()]);
    tick.at = moment(DEADLINE + 100);
    w.apply(tick);
    w.apply(claim(&w, of, hold(&link, 3), 1, now()));
}

pub(super) fn never_more_than_n_uses_however_many_claim_at_once(fixture: &mut dyn Fixture) {
    const LIMIT: u64 = 12;
    const CLAIMS: u64 = 5;
    let (w, link) = with_link(fixture, limited(12));
    let of = link.entity();
    let (won, full) = (AtomicU64::new(0), AtomicU64::new(0));
    let barrier = Barrier::new(usize::try_from(THREADS).expect("is small"));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (w, link, of, won, full, barrier) = (&w, &link, &of, &won, &full, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for round in 0..CLAIMS {
                    let number = u32::try_from(thread * CLAIMS + round).expect("is small");
                    // Every other one is confirmed at once: a use for good.
                    let mut row = hold(link, number);
                    row.state.confirmed_at = (number % 2 == 0).then(now);
                    match w.commit(claim(w, of.clone(), row, LIMIT, now())) {
                        Ok(Committed::Applied(_)) => drop(won.fetch_add(1, Ordering::SeqCst)),
                        Err(Error::Refused { code: NO_USE_LEFT, .. }) => drop(full.fetch_add(1, Ordering::SeqCst)),
                        other => panic!("{other:?}"),
                    }
                    thread::yield_now();
                }
            });
        }
    });
    let (won, full) = (won.into_inner(), full.into_inner());
    assert_eq!((won, full), (LIMIT, THREADS * CLAIMS - LIMIT), "of {} claims on {LIMIT} uses", THREADS * CLAIMS);
    let [(confirmed, held)] = uses(&w, &[&link.id], now())[..] else { panic!("one link was asked for") };
    assert_eq!(confirmed + held, LIMIT);
}

pub(super) fn racing_claims_and_late_confirmations_share_the_places_of_lapsed_holds(fixture: &mut dyn Fixture) {
    const LIMIT: u64 = 4;
    let (w, link) = with_link(fixture, limited(4));
    let of = link.entity();
    let lapsed: Vec<_> = (0..4).map(|number| hold(&link, number)).collect();
    w.apply(w.acme.creating(lapsed.iter().cloned().map(Record::from)));
    let late = moment(DEADLINE + 1);
    let barrier = Barrier::new(usize::try_from(THREADS).expect("is small"));
    let won = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (w, link, of, won, barrier, lapsed) = (&w, &link, &of, &won, &barrier, &lapsed);
            scope.spawn(move || {
                barrier.wait();
                let number = u32::try_from(thread).expect("is small");
                let mut set = match lapsed.get(usize::try_from(thread).expect("is small")) {
                    Some(row) => {
                        let mut set = w.acme.set();
                        set.update(confirmed(row));
                        let but = Some(row.entity());
                        set.expectations.push(Expectation::Uses { of: of.clone(), but, fewer_than: LIMIT });
                        set
                    }
                    None => {
                        let mut row = hold(link, 100 + number);
                        row.state.held_until = moment(DEADLINE + 100);
                        claim(w, of.clone(), row, LIMIT, late)
                    }
                };
                set.at = late;
                match w.commit(set) {
                    Ok(Committed::Applied(_)) => drop(won.fetch_add(1, Ordering::SeqCst)),
                    Err(Error::Refused { code: NO_USE_LEFT, .. }) => {}
                    other => panic!("{other:?}"),
                }
            });
        }
    });
    assert_eq!(won.into_inner(), LIMIT, "of {THREADS} for the places of four lapsed holds");
    let [(confirmed, held)] = uses(&w, &[&link.id], late)[..] else { panic!("one link was asked for") };
    assert_eq!(confirmed + held, LIMIT);
}

pub(super) fn uses_are_listed_by_their_link_newest_first(fixture: &mut dyn Fixture) {
    let (w, link) = with_link(fixture, LinkKind::Reusable);
    let other = own_link(&w.acme.profile, 2, LinkKind::Reusable);
    w.apply(w.acme.creating([other.clone().into(), hold(&other, 50).into()]));
    let rows: Vec<Record> = (0..30).map(|number| hold(&link, number).into()).collect();
    w.apply(w.acme.creating(rows.iter().cloned()));
    let of = |id: &PaymentLinkId| Collection::LinkUses { link: id.clone() };
    for limit in [1, 7, 100] {
        let query = |page| Query::Within(w.acme.path(), of(&link.id), page);
        let listed = w.pages(limit, query).expect("the tenant lives");
        assert!(listed.iter().eq(rows.iter().rev()), "in pages of {limit}");
    }
    let absent = w.list(&w.acme.query(of(&text("plink_absent")))).expect("the tenant lives");
    assert_eq!((absent.records.len(), absent.total), (0, None));
}

pub(super) fn a_link_of_its_own_is_held_up_by_its_profile_and_holds_up_its_uses(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let shop = profile(&w.acme.merchant, 5);
    let link = own_link(&shop, 1, LinkKind::Reusable);
    w.refuse(
        w.acme.creating([link.clone().into()]),
        "not_found",
        &format!("there is no business profile `{}`", shop.id),
    );
    w.refuse(w.acme.creating([hold(&link, 1).into()]), "not_found", &format!("there is no payment link `{}`", link.id));
    let paid = payment(&shop, 1);
    let published = payment_link(&paid, 2);
    let all: Vec<Record> =
        vec![shop.clone().into(), link.clone().into(), paid.clone().into(), published.clone().into()];
    w.apply(w.acme.creating(all.clone()));
    w.apply(w.acme.creating([hold(&link, 1).into(), hold(&published, 2).into()]));
    let removal = |entity: EntityRef, cascade| {
        let mut set = w.acme.set();
        set.remove(entity, 1, cascade);
        set
    };
    let count = |kind| ChildCount { kind, count: 1 };
    for (of, children) in [
        (shop.entity(), vec![count(EntityKind::Payment), count(EntityKind::PaymentLink)]),
        (paid.entity(), vec![count(EntityKind::PaymentLink)]),
        (link.entity(), vec![count(EntityKind::LinkUse)]),
        (published.entity(), vec![count(EntityKind::LinkUse)]),
    ] {
        let before = w.snapshot();
        match w.commit(removal(of.clone(), false)) {
            Err(Error::HasChildren { children: found, .. }) => assert_eq!(found, children, "{of:?}"),
            other => panic!("{other:?}"),
        }
        before.assert_same(&w.snapshot());
    }
    // By profile, whatever holds them up.
    let by_profile = w.list(&w.acme.query(Collection::PaymentLinks { profile: Some(shop.id.clone()) }));
    assert_eq!(by_profile.expect("the tenant lives").records, [published.clone().into(), link.clone().into()]);
    w.apply(removal(published.entity(), true));
    let gone = |row: &Stored<LinkUseState>| w.get(&Key::LinkUse(w.acme.path(), row.id.clone())).is_none();
    assert!(gone(&hold(&published, 2)) && !gone(&hold(&link, 1)));
    w.apply(removal(shop.entity(), true));
    assert!(gone(&hold(&link, 1)));
    assert_eq!(uses(&w, &[&link.id, &published.id], now()), [(0, 0), (0, 0)]);
    assert!(w.get(&Key::PaymentLink(w.acme.path(), link.id)).is_none());
}
