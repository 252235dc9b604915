//! What is told of an operation, from its beginning to its end. See [`signal`](crate::signal).
//!
//! An operation says which one it is where it begins, with [`Session::begin`](super::session::Session::begin), and how it
//! ended where its future does: a command is run by [`observed`], and a read has the attribute of that name. What lies
//! between the two is one thread's poll, so the one tells the other through a cell of the thread.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tracing::field::Empty;
use tracing::{Level, Span};

use super::meters;
use super::operation::Operation;
use crate::blocklist::{ExportError, ImportCause, ImportError};
use crate::error::{Error, ErrorKind};
use crate::signal::{Signal, TARGET};
use crate::store::Actor;

/// How an operation ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum End<'a> {
    Succeeded,
    Failed(ErrorKind, &'a str),
    /// Its future was dropped.
    Dropped,
}

impl<'a> End<'a> {
    pub(super) fn of<T, E: Failure>(done: &'a Result<T, E>) -> Self {
        match done {
            Ok(_) => Self::Succeeded,
            Err(error) => error.end(),
        }
    }

    pub(super) fn outcome(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed(kind, _) => kind.into(),
            Self::Dropped => "dropped",
        }
    }

    pub(super) fn code(self) -> Option<&'a str> {
        match self {
            Self::Failed(_, code) => Some(code),
            Self::Succeeded | Self::Dropped => None,
        }
    }

    /// Whether it is the store's failure, or that of what is in it.
    fn is_grave(self) -> bool {
        use ErrorKind::{Corrupt, Unavailable, UnknownOutcome};
        matches!(self, Self::Failed(Unavailable | UnknownOutcome | Corrupt, _))
    }
}

/// What an operation may fail with.
pub(super) trait Failure {
    fn end(&self) -> End<'_>;
}

impl Failure for Error {
    fn end(&self) -> End<'_> {
        End::Failed(self.kind(), self.code())
    }
}

impl Failure for ImportError {
    fn end(&self) -> End<'_> {
        match &self.cause {
            ImportCause::File { fault, .. } => End::Failed(ErrorKind::Invalid, fault.code()),
            ImportCause::Read(_) => End::Failed(ErrorKind::Unavailable, "import.read"),
            ImportCause::Store(error) => error.end(),
        }
    }
}

impl Failure for ExportError {
    fn end(&self) -> End<'_> {
        match self {
            Self::Write(_) => End::Failed(ErrorKind::Unavailable, "export.write"),
            Self::Store(error) => error.end(),
        }
    }
}

/// What the operation said that is being polled in this thread.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// None is.
    Nobody,
    /// It has not begun, or has no span.
    Waiting {
        spanned: bool,
    },
    Begun(Begun),
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    operation: Operation,
    staged: bool,
    /// Where somebody wants to know how long it takes.
    since: Option<Instant>,
}

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::Nobody) };
}

/// Says which operation it is that is being polled. The first one counts: what it calls is part of it.
#[inline]
pub(super) fn began(operation: Operation, actor: &Actor, staged: bool) {
    tracing::trace!(name: Signal::Began.name(), target: TARGET, %operation, %actor, "began");
    if let Turn::Waiting { spanned } = TURN.get() {
        if spanned {
            let span = Span::current();
            span.record("operation", tracing::field::display(operation));
            span.record("actor", tracing::field::display(actor));
        }
        TURN.set(Turn::Begun(Begun { operation, staged, since: clock(meters::times(operation)) }));
    }
}

/// Now, if somebody wants to know.
fn clock(is_metered: bool) -> Option<Instant> {
    (is_metered || tracing::enabled!(target: TARGET, Level::DEBUG)).then(Instant::now)
}

/// Runs an operation to its end, and tells how it ended.
pub(super) async fn observed<T, E: Failure>(mut body: impl Future<Output = Result<T, E>> + Unpin) -> Result<T, E> {
    let mut watch = Watch::new();
    let done = poll_fn(|context| watch.during(|| Pin::new(&mut body).poll(context))).await;
    watch.over(End::of(&done));
    done
}

/// Watches one operation. Dropped before it was over, it tells that.
struct Watch {
    span: Span,
    turn: Turn,
}

impl Watch {
    fn new() -> Self {
        let span = tracing::debug_span!(
            target: TARGET,
            Signal::OperationSpan.name(),
            operation = Empty,
            actor = Empty,
            outcome = Empty,
            code = Empty
        );
        let turn = Turn::Waiting { spanned: !span.is_disabled() };
        Self { span, turn }
    }

    fn during<T>(&mut self, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        let outer = TURN.replace(self.turn);
        let polled = self.span.in_scope(poll);
        self.turn = TURN.replace(outer);
        polled
    }

    fn over(&mut self, end: End<'_>) {
        let Turn::Begun(begun) = std::mem::replace(&mut self.turn, Turn::Nobody) else { return };
        if !self.span.is_disabled() {
            self.span.record("outcome", end.outcome());
            if let Some(code) = end.code() {
                self.span.record("code", code);
            }
        }
        self.span.in_scope(|| ended(begun, end));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over(End::Dropped);
    }
}

#[inline]
fn ended(begun: Begun, end: End<'_>) {
    let Begun { operation, staged, since } = begun;
    let took = since.map(|since| since.elapsed());
    if !staged {
        meters::operation(operation, end, took);
    }
    let (outcome, code, micros) = (end.outcome(), end.code(), took.map(micros));
    if end.is_grave() {
        tracing::warn!(name: Signal::Failed.name(), target: TARGET, %operation, outcome, code, staged, micros, "failed");
    } else {
        tracing::debug!(name: Signal::Ended.name(), target: TARGET, %operation, outcome, code, staged, micros, "ended");
    }
}

/// Tells of an operation that succeeded without waiting for anything. Nobody has time to measure it.
#[inline]
pub(super) fn at_once(operation: Operation, actor: &Actor, end: End<'_>) {
    tracing::trace!(name: Signal::Began.name(), target: TARGET, %operation, %actor, "began");
    ended(Begun { operation, staged: false, since: None }, end);
}

/// Watches a commit.
pub(super) struct Commit {
    class: &'static str,
    changes: usize,
    since: Option<Instant>,
}

impl Commit {
    pub(super) fn begins(class: &'static str, changes: usize) -> Self {
        Self { class, changes, since: clock(meters::are_on()) }
    }

    pub(super) fn over(self, end: End<'_>) {
        let Self { class, changes, since } = self;
        let took = since.map(|since| since.elapsed());
        meters::commit(class, end, took);
        let (outcome, code, micros) = (end.outcome(), end.code(), took.map(micros));
        tracing::debug!(name: Signal::Committed.name(), target: TARGET, class, changes, outcome, code, micros, "commit");
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
