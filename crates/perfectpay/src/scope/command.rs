//! Writes as values: a command does nothing until it is awaited, and takes its options before that.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use super::observed::observed;
use crate::connector::Connector;
use crate::error::{Error, Fault};
use crate::id::{ConnectorId, OrganizationId, PaymentLinkId, ProfileId};
use crate::organization::Organization;
use crate::payment::Payment;
use crate::profile::Profile;
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
    /// The id that the host states, of the kind of what is created.
    pub(super) id: Option<Arc<str>>,
}

impl CreateOptions {
    /// The id that the host states; the library makes one where there is none.
    pub(super) fn stated<T: FromStr<Err = Fault>>(&self) -> Result<Option<T>, Error> {
        Ok(self.id.as_deref().map(str::parse).transpose()?)
    }
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
        T: 'static,
        R: FnOnce(O) -> F + Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let run = move |options| -> BoxFuture<_> {
            let body = Box::pin(run(options));
            Box::pin(observed(body))
        };
        Self { options: O::default(), run: Box::new(run) }
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

/// Declares the option of stating an id, for those kinds of which the library otherwise makes it.
macro_rules! stated {
    ($($noun:ident: $method:ident($id:ident), $what:literal;)+) => { $(
        impl Create<$noun> {
            #[doc = concat!("States the id of ", $what, " instead of having one made.")]
            ///
            /// It is for a host that takes over accounts from elsewhere with the ids that their merchants know. It must be
            /// free: [`Error::AlreadyExists`]. Whoever kept the id of an object that is gone, such as an API key that is
            /// for some profiles only, means the new one by it. Only the host's own handles may state an id; through
            /// those of an API key it is [`Error::Forbidden`].
            pub fn $method(mut self, id: &$id) -> Self {
                self.options.id = Some(id.as_str().into());
                self
            }
        }
    )+ };
}

stated! {
    Organization: with_id(OrganizationId), "the organization";
    Profile: with_id(ProfileId), "the profile";
    Connector: with_id(ConnectorId), "the connector account";
    Payment: with_link_id(PaymentLinkId), "the payment's link";
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
