//! The suite notices: every broken store fails the cases that are named with it, and the right one passes all.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Arc;

use perfectpay::store::Store;
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::broken::{self, Broken};
use perfectpay_testkit::{CASES, Fixture};

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

/// A fixture that says it is durable; `keeps` is whether it is.
#[derive(Debug)]
struct Reopening {
    store: Arc<dyn Store>,
    keeps: bool,
}

impl Fixture for Reopening {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn reopen(&mut self) -> bool {
        if !self.keeps {
            self.store = memory();
        }
        true
    }
}

/// The cases, of those that are asked for, that fail on what this opens.
fn red<F: Fixture>(open: impl Fn() -> F, asked: impl Fn(&str) -> bool) -> BTreeSet<&'static str> {
    let fails = |case: &perfectpay_testkit::Case| catch_unwind(AssertUnwindSafe(|| case.run(&mut open()))).is_err();
    CASES.iter().filter(|case| asked(case.name) && fails(case)).map(|case| case.name).collect()
}

#[test]
fn every_broken_store_is_noticed_by_the_cases_of_its_sentence() {
    // The suite is run to fail some hundred times; nobody wants to read that.
    let hook = take_hook();
    set_hook(Box::new(move |_| {}));
    let on_memory = red(memory, |_| true);
    let on_durable = red(|| Reopening { store: memory(), keeps: true }, |_| true);
    let on_forgetful = red(|| Reopening { store: memory(), keeps: false }, |_| true);
    let of_all = |all: &'static [Broken]| -> Vec<(&Broken, BTreeSet<&str>)> {
        let red_on = |broken: &Broken| red(|| broken.over(memory()), |case| broken.caught_by.contains(&case));
        all.iter().map(|broken| (broken, red_on(broken))).collect()
    };
    let (some, others) = broken::all().split_at(broken::all().len() / 2);
    let found = std::thread::scope(|scope| {
        let some = scope.spawn(|| of_all(some));
        let others = of_all(others);
        [some.join().expect("does not panic"), others].concat()
    });
    set_hook(hook);

    assert_eq!(on_memory, BTreeSet::new(), "a right store fails");
    assert_eq!(on_durable, BTreeSet::new(), "a right store that is opened again fails");
    let durable = [
        "a_pruned_log_goes_on_after_a_crash",
        "a_stage_outlives_a_crash",
        "all_that_was_committed_is_there_after_a_crash",
        "the_log_goes_on_after_a_crash_where_it_ended",
    ];
    assert_eq!(on_forgetful, durable.into());

    let mut ever: BTreeSet<&str> = on_forgetful;
    let mut unnoticed = Vec::new();
    for (broken, red) in &found {
        println!("{:28} {}", broken.name, broken.caught_by.join(", "));
        unnoticed.extend(broken.caught_by.iter().filter(|case| !red.contains(*case)).map(|case| (broken.name, *case)));
        ever.extend(red);
    }
    let never: Vec<&str> = CASES.iter().map(|case| case.name).filter(|name| !ever.contains(name)).collect();
    println!("named with no broken store: {never:#?}");
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:#?}");
}
