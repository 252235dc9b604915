//! What a store keeps when it is opened again. On stores that keep nothing these cases end early.

use perfectpay::store::LogScope;

use crate::Fixture;
use crate::probe::Probe;
use crate::records::{World, claim, moment, profile, revoked, touched};

pub(super) fn all_that_was_committed_is_there_after_a_crash(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let records = w.acme.one_of_each(1);
    let mut set = w.acme.creating(records.clone());
    set.idempotency = Some(claim(0, 1));
    w.apply(set.clone());
    let mut update = w.acme.set();
    update.update(revoked(&crate::records::api_key(&w.acme.merchant, 1)));
    w.apply(update);
    let mut removal = w.rival.set();
    removal.remove(w.rival.merchant.entity(), 1, true);
    w.apply(removal.clone());
    let before = w.snapshot();
    let World { probe, acme, .. } = w;
    drop(probe);
    for _ in 0..3 {
        if !fixture.reopen() {
            return;
        }
        let probe = Probe::new(fixture.store());
        before.assert_same(&probe.snapshot());
        // The rules hold as before.
        probe.replay(set.clone(), &claim(0, 1).answer);
        probe.refuse(removal.clone(), "not_found", "there is no merchant account `merchant_3`");
        probe.refuse(
            acme.creating([profile(&acme.merchant, 1).into()]),
            "already_exists",
            "business profile `pro_1` exists already",
        );
    }
}

pub(super) fn the_log_goes_on_after_a_crash_where_it_ended(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.creating([profile(&w.acme.merchant, 1).into()]);
    set.at = moment(9_000_000);
    let last = w.apply(set);
    let World { probe, acme, .. } = w;
    drop(probe);
    if !fixture.reopen() {
        return;
    }
    let probe = Probe::new(fixture.store());
    assert_eq!((probe.head().position, probe.head().at), (last.position, last.at));
    let mut set = acme.set();
    set.update(touched(&acme.profile));
    let next = probe.apply(set);
    assert!(next.position > last.position);
    assert_eq!(next.at, last.at);
    let log = probe.log(&LogScope::All);
    assert_eq!(log.last().map(|e| e.position), Some(next.position));
    assert_eq!(log.len(), 7);
}
