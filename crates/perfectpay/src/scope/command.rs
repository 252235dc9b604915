//! Writes as values: a command does nothing until it is awaited, and takes its options before that.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use serde::Serialize;

use crate::error::Error;
use crate::secret::Request;
use crate::store::IdempotencyKey;

pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A write that waits to be awaited. See [`Create`], [`Update`] and [`Remove`] for its options.
///
/// Dropping the future before it is ready leaves the write wholly done or wholly not done.
#[must_use = "a command does nothing until it is awaited"]
pub struct Command<T, O> {
    options: O,
    run: Box<dyn FnOnce(O) -> BoxFuture<Result<T, Error>> + Send>,
}

/// A command that creates something.
pub type Create<T> = Command<T, CreateOptions>;
/// A command that updates something.
pub type Update<T> = Command<T, UpdateOptions>;
/// A command that removes something.
pub type Remove<T> = Command<T, RemoveOptions>;

/// How something is created.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    pub(super) idempotency_key: Option<IdempotencyKey>,
}

/// How something is updated.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpdateOptions {
    pub(super) expected_version: Option<u64>,
}

/// How something is removed.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct RemoveOptions {
    pub(super) expected_version: Option<u64>,
    pub(super) cascade: bool,
}

impl Request for RemoveOptions {}

impl<T, O: Default> Command<T, O> {
    pub(super) fn new<F, R>(run: R) -> Self
    where
        R: FnOnce(O) -> F + Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        Self { options: O::default(), run: Box::new(move |options| Box::pin(run(options))) }
    }
}

impl<T> Create<T> {
    /// Carries the command out once: repeated with the same key and the same request it answers what it answered the
    /// first time, with another request [`Error::IdempotencyMismatch`]. Keys are kept for the time that
    /// [`Settings`](super::Settings) states, and belong to the parent of what is created.
    pub fn idempotency_key(mut self, key: IdempotencyKey) -> Self {
        self.options.idempotency_key = Some(key);
        self
    }
}

impl<T> Update<T> {
    /// Updates only this version; another one answers [`Error::Stale`]. Without it, an update that meets another is
    /// decided again on what that one left.
    pub fn expecting(mut self, version: u64) -> Self {
        self.options.expected_version = Some(version);
        self
    }
}

impl<T> Remove<T> {
    /// Removes only this version; another one answers [`Error::Stale`].
    pub fn expecting(mut self, version: u64) -> Self {
        self.options.expected_version = Some(version);
        self
    }

    /// Takes everything below along. Without it, what has children stays, and the answer is [`Error::HasChildren`].
    pub fn cascade(mut self) -> Self {
        self.options.cascade = true;
        self
    }
}

impl<T, O> IntoFuture for Command<T, O> {
    type Output = Result<T, Error>;
    type IntoFuture = BoxFuture<Result<T, Error>>;

    fn into_future(self) -> Self::IntoFuture {
        (self.run)(self.options)
    }
}

impl<T, O: fmt::Debug> fmt::Debug for Command<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("options", &self.options).finish_non_exhaustive()
    }
}
