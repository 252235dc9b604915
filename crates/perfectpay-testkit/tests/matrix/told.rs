//! Every operation tells how it ended, through every handle that has it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use perfectpay::Operation;
use perfectpay::signal::{Signal, TARGET};
use strum::VariantArray as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::rows::{InProfile, Merchant, Organization, Platform, Relative, Row, Seen, What, Within, rows};
use crate::world;
use crate::world::World;

thread_local! {
    /// The operations whose end was told in this thread, with the outcome.
    static ENDS: RefCell<BTreeSet<(String, String)>> = const { RefCell::new(BTreeSet::new()) };
}

struct Ends;

#[derive(Debug, Default)]
struct End {
    operation: String,
    outcome: String,
}

impl Visit for End {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "operation" => value.clone_into(&mut self.operation),
            "outcome" => value.clone_into(&mut self.outcome),
            _ => {}
        }
    }
}

impl<S: Subscriber> Layer<S> for Ends {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let name = event.metadata().name();
        if event.metadata().target() == TARGET && (name == Signal::Ended.name() || name == Signal::Failed.name()) {
            let mut end = End::default();
            event.record(&mut end);
            ENDS.with_borrow_mut(|ends| ends.insert((end.operation, end.outcome)));
        }
    }
}

/// Tries a row on what is its own.
fn own(row: &Row, world: &World) -> Seen {
    let account = world.merchant(&world.a, "a1");
    match row {
        Platform(act) => act(&world.pay),
        Organization(act) => act(&world.organization(&world.a)),
        Relative(act) => act(&world.organization(&world.a), "a2"),
        Merchant(act) => act(&account),
        Within(what, act) => {
            // An account is nothing within itself; another one of its organization is.
            let ids = if *what == What::Merchant { &world.sibling } else { &world.one };
            act(&account, ids.of(*what))
        }
        InProfile(what, act) => act(&account.profile(&world.one.profile.parse().unwrap()), world.one.of(*what)),
    }
}

#[test]
fn every_operation_tells_how_it_ended_through_every_handle() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Ends)).unwrap();
    let still = world(0);
    for &operation in Operation::VARIANTS {
        for (at, row) in rows(operation).iter().enumerate() {
            let world = still.copied();
            ENDS.take();
            let seen = own(row, &world);
            assert!(seen.is_ok(), "{operation}, row {at}: {seen:?}");
            let (ends, told) = (ENDS.take(), (operation.to_string(), "succeeded".to_owned()));
            assert!(ends.contains(&told), "{operation}, row {at}, told only {ends:?}");
        }
    }
}
