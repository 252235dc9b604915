//! The faulty stores fail, wait and count as they say.

use std::sync::Arc;
use std::time::Duration;

use perfectpay::store::{Key, LogScope};
use perfectpay::{Error, Unavailability};
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::block_on;
use perfectpay_testkit::faulty::{Counting, Counts, FailNth, On, Slow, When};
use perfectpay_testkit::layer::{Layer, Layered};
use perfectpay_testkit::probe::Probe;
use perfectpay_testkit::records::{World, api_key};

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new())
}

/// A slow store is a right one: it passes the whole suite, and no future of it is ready at the first poll.
mod slow {
    use super::*;

    fn open() -> Arc<Layered<Slow>> {
        Arc::new(Layered::over(memory(), Slow { yields: 1, sleep: Duration::ZERO }))
    }

    perfectpay_testkit::conformance!(open);
}

fn over<L: Layer>(layer: L) -> (World, Probe, Arc<L>) {
    let store = memory();
    let world = World::open(&store);
    let layered = Layered::over(store, layer);
    let layer = layered.layer.clone();
    (world, Probe::new(Arc::new(layered)), layer)
}

#[test]
fn the_nth_commit_fails_before_it_takes_effect() {
    let busy = || Error::unavailable(Unavailability::Busy, "another process writes");
    let (w, faulty, layer) = over(FailNth::new(On::Commit, 2, When::Before, busy));
    let set = |number| w.acme.creating([api_key(&w.acme.merchant, number).into()]);
    faulty.apply(set(1));
    assert!(!layer.has_failed());
    faulty.refuse(set(2), "unavailable", "the store is unavailable: busy");
    assert!(layer.has_failed());
    faulty.apply(set(2));
}

#[test]
fn the_nth_commit_fails_after_it_took_effect() {
    let lost = || Error::OutcomeUnknown { source: "the answer was lost".into() };
    let (w, faulty, _) = over(FailNth::new(On::Commit, 1, When::After, lost));
    let key = api_key(&w.acme.merchant, 1);
    let error = faulty.commit(w.acme.creating([key.clone().into()])).unwrap_err();
    assert_eq!(error.code(), "outcome_unknown");
    assert_eq!(faulty.get(&Key::ApiKey(w.acme.path(), key.id.clone())), Some(key.into()));
}

#[test]
fn the_nth_read_fails() {
    let corrupt = || Error::corrupt("a bit flipped");
    let (w, faulty, _) = over(FailNth::new(On::Read, 2, When::After, corrupt));
    let key = Key::DefaultProfile(w.acme.path());
    faulty.head();
    assert_eq!(block_on(faulty.store().get(&key)).unwrap_err().code(), "corrupt");
    assert_eq!(faulty.get(&key), Some(w.acme.profile.clone().into()));
}

#[test]
fn calls_are_counted_by_method() {
    let (w, counted, layer) = over(Counting::default());
    counted.apply(w.acme.creating([api_key(&w.acme.merchant, 1).into()]));
    counted.get(&Key::DefaultProfile(w.acme.path()));
    counted.get(&Key::DefaultProfile(w.rival.path()));
    counted.claim(w.acme.merchant.tenant, "key-0");
    counted.head();
    counted.log(&LogScope::All);
    let counts = layer.take();
    assert_eq!(counts, Counts { commits: 1, gets: 2, lists: 0, scans: 0, claims: 1, logs: 2, heads: 1 });
    assert_eq!(counts.reads(), 6);
    assert_eq!(layer.take(), Counts::default());
}
