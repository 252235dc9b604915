//! Random commands over several organizations, on every back-end at once: the answers are the same everywhere, errors
//! included, and they are what a small independent model says.
//!
//! Held after every step: everything has one living parent and is in exactly the lists of its parents; versions only
//! grow; a refused command changed nothing; an account with profiles has one default; names and labels are unique; every
//! change stands in the log once and in order; an empty update changes nothing; screening answers as the naive
//! definition over the entries does.
//!
//! `PROPTEST_CASES` says how many runs there are. What fails is kept in `state_machine.regressions` and tried first the
//! next time.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says that it cannot go on by panicking"
)]

mod machine;

use machine::command::{Command, command};
use machine::model::Model;
use machine::payments;
use machine::system::System;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

impl ReferenceStateMachine for Model {
    type State = Model;
    type Transition = Command;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Command> {
        command(model.merchant_count())
    }

    fn apply(model: Model, command: &Command) -> Model {
        model.apply(command)
    }
}

struct Everywhere;

impl StateMachineTest for Everywhere {
    type SystemUnderTest = System;
    type Reference = Model;

    fn init_test(_: &Model) -> System {
        System::new()
    }

    fn apply(mut system: System, model: &Model, _: Command) -> System {
        system.step(model);
        system.check(model);
        system
    }

    fn teardown(system: System, model: Model) {
        system.finish(&model);
    }
}

struct Payments;

impl StateMachineTest for Payments {
    type SystemUnderTest = payments::System;
    type Reference = payments::Model;

    fn init_test(_: &payments::Model) -> payments::System {
        payments::System::new()
    }

    fn apply(mut system: payments::System, model: &payments::Model, _: payments::Step) -> payments::System {
        system.step(model);
        system
    }
}

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(16);
    Config {
        cases,
        max_shrink_iters: 3_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn any_commands_answer_alike_everywhere_and_as_the_model_says(sequential 40..120 => Everywhere);
}

prop_state_machine! {
    #![proptest_config(config())]

    /// As `machine::payments` has it.
    #[test]
    fn payments_and_links_come_to_what_their_model_says(sequential 20..80 => Payments);
}
