//! Counters and histograms. Without the feature `metrics` there are none, and none of this costs anything.

use std::time::Duration;

use super::observed::End;
use super::operation::Operation;
use crate::error::Refusal;

/// Whether anything is metered.
pub(super) const fn are_on() -> bool {
    cfg!(feature = "metrics")
}

/// Whether it is measured how long the operation takes: not where that is less than asking the clock for it twice.
pub(super) const fn times(operation: Operation) -> bool {
    are_on() && !matches!(operation, Operation::ScreenCard | Operation::DecidePayment)
}

#[cfg(not(feature = "metrics"))]
mod none {
    use super::{Duration, End, Operation, Refusal};

    pub(in crate::scope) fn register() {}
    pub(in crate::scope) fn operation(_: Operation, _: End<'_>, _: Option<Duration>) {}
    pub(in crate::scope) fn commit(_: &'static str, _: End<'_>, _: Option<Duration>) {}
    pub(in crate::scope) fn verified(_: Option<Refusal>) {}
    pub(in crate::scope) fn repeated() {}
    pub(in crate::scope) fn looked() {}
    pub(in crate::scope) fn reset() {}
}

#[cfg(not(feature = "metrics"))]
pub(super) use none::{commit, looked, operation, register, repeated, reset, verified};

#[cfg(feature = "metrics")]
pub(super) use some::{commit, looked, operation, register, repeated, reset, verified};

/// The handles of what is counted often are made once; what is rare asks the recorder for them.
#[cfg(feature = "metrics")]
mod some {
    use std::sync::LazyLock;

    use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};
    use strum::VariantArray as _;

    use super::{Duration, End, Operation, Refusal, times};
    use crate::signal::{Signal, SignalKind};

    static METERS: LazyLock<Meters> = LazyLock::new(Meters::registered);

    struct Meters {
        /// By operation.
        succeeded: Vec<Counter>,
        /// By operation; none where it is not timed.
        seconds: Vec<Option<Histogram>>,
        valid: Counter,
        /// By refusal.
        refused: Vec<Counter>,
        repetitions: Counter,
        looks: Counter,
        resets: Counter,
    }

    fn operations(operation: Operation, end: End<'_>) -> Counter {
        let name: &'static str = operation.into();
        counter!(Signal::Operations.name(), "operation" => name, "outcome" => end.outcome())
    }

    impl Meters {
        fn registered() -> Self {
            for signal in Signal::VARIANTS {
                match signal.kind() {
                    SignalKind::Counter => describe_counter!(signal.name(), Unit::Count, signal.when()),
                    SignalKind::Histogram => describe_histogram!(signal.name(), Unit::Seconds, signal.when()),
                    SignalKind::Span | SignalKind::Event => {}
                }
            }
            let seconds = |operation: Operation| {
                let name: &'static str = operation.into();
                times(operation).then(|| histogram!(Signal::OperationSeconds.name(), "operation" => name))
            };
            let verdict = |verdict: &'static str| counter!(Signal::Verifications.name(), "verdict" => verdict);
            Self {
                succeeded: Operation::VARIANTS.iter().map(|op| operations(*op, End::Succeeded)).collect(),
                seconds: Operation::VARIANTS.iter().map(|op| seconds(*op)).collect(),
                valid: verdict("valid"),
                refused: Refusal::VARIANTS.iter().map(|refusal| verdict(refusal.into())).collect(),
                repetitions: counter!(Signal::Repetitions.name()),
                looks: counter!(Signal::Looks.name()),
                resets: counter!(Signal::Resets.name()),
            }
        }
    }

    /// Makes the handles, with the recorder that is installed.
    pub(in crate::scope) fn register() {
        LazyLock::force(&METERS);
    }

    pub(in crate::scope) fn operation(operation: Operation, end: End<'_>, took: Option<Duration>) {
        let at = operation as usize;
        match (end, METERS.succeeded.get(at)) {
            (End::Succeeded, Some(counter)) => counter.increment(1),
            _ => operations(operation, end).increment(1),
        }
        if let (Some(took), Some(Some(seconds))) = (took, METERS.seconds.get(at)) {
            seconds.record(took);
        }
    }

    pub(in crate::scope) fn commit(class: &'static str, end: End<'_>, took: Option<Duration>) {
        counter!(Signal::Commits.name(), "class" => class, "outcome" => end.outcome()).increment(1);
        if let Some(took) = took {
            histogram!(Signal::CommitSeconds.name(), "class" => class, "outcome" => end.outcome()).record(took);
        }
    }

    pub(in crate::scope) fn verified(refusal: Option<Refusal>) {
        let counter = match refusal {
            None => Some(&METERS.valid),
            Some(refusal) => METERS.refused.get(refusal as usize),
        };
        if let Some(counter) = counter {
            counter.increment(1);
        }
    }

    pub(in crate::scope) fn repeated() {
        METERS.repetitions.increment(1);
    }

    pub(in crate::scope) fn looked() {
        METERS.looks.increment(1);
    }

    pub(in crate::scope) fn reset() {
        METERS.resets.increment(1);
    }
}
