//! A handle for the hot way: it keeps hold of the compiled lists, so that a card is screened without looking for them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwapOption, Guard};
use perfectpay_macros::observed;

use super::blocklist::BlocklistScope;
use super::lists::Ready;
use super::operation::Operation;
use super::screen::Screen;
use super::session::Session;
use crate::blocklist::{CardFacts, CardNumber, Screening};
use crate::error::Error;

/// Screens cards at one merchant account, or at one profile of it, as fast as memory allows.
///
/// It answers what [`BlocklistScope::screen`] answers, under the same promises. It is for a host that screens many cards
/// at one place, makes it once and keeps it: a call looks at two counters to know that its lists are current, and
/// goes the ordinary way where one is not. It keeps no list alive: one that has to make room goes, and is loaded again by
/// the next card. Clones share what they hold.
///
/// ```
/// # futures_lite::future::block_on(async {
/// # use std::sync::Arc;
/// # use perfectpay::{MasterKey, NewMerchant, NewOrganization, PerfectPay, Settings};
/// # use perfectpay_memory::MemoryStore;
/// # let settings = Settings::new(MasterKey::from_hex("k1", &"5fa1".repeat(16))?);
/// # let pay = PerfectPay::open(Arc::new(MemoryStore::new()), settings).await?;
/// # let acme = pay.create_organization(NewOrganization::named("Acme".parse()?)).await?;
/// # let scope = pay.organization(&acme.organization_id);
/// # let shop = scope.create_merchant(NewMerchant::with_id("shop".parse()?)).await?;
/// let screener = scope.merchant(&shop.merchant_id).blocklist().screener().await?;
/// let screening = screener.screen(&"4242 4242 4242 4242".parse()?).await?;
/// assert!(!screening.is_blocked());
/// # Ok::<(), perfectpay::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Screener {
    scope: BlocklistScope,
    seat: Arc<Seat>,
}

/// Where a screener has the lists from which it answers, until one of them moves or goes.
#[derive(Default)]
pub(super) struct Seat(ArcSwapOption<Ready>);

impl Seat {
    /// Lets go of the lists.
    pub(super) fn clear(&self) {
        self.0.store(None);
    }

    /// The lists, if nothing was told of either since they were compiled.
    #[inline]
    pub(super) fn ready(&self) -> Option<Guard<Option<Arc<Ready>>>> {
        let ready = self.0.load();
        ready.as_ref().is_some_and(|ready| ready.is_current()).then_some(ready)
    }

    /// Keeps the lists, unless one of them moved or went meanwhile.
    pub(super) fn keep(self: &Arc<Self>, ready: Ready) {
        let ready = Arc::new(ready);
        self.0.store(Some(Arc::clone(&ready)));
        // Whoever lets go of a list says so first, and has its seats let go then: either it finds this one, or what it said
        // is seen here.
        for list in [&ready.own, &ready.above] {
            list.seat(self);
        }
        if !ready.is_current() {
            self.clear();
        }
    }
}

/// The seats of a list.
#[derive(Default)]
pub(super) struct Seats(HashMap<usize, Weak<Seat>>);

impl Seats {
    pub(super) fn add(&mut self, seat: &Arc<Seat>) {
        // Before it grows, those are left out that are gone.
        if self.0.len() == self.0.capacity() {
            self.0.retain(|_, seat| seat.strong_count() > 0);
        }
        self.0.insert(Arc::as_ptr(seat).addr(), Arc::downgrade(seat));
    }

    /// Has all of them let go of the lists.
    pub(super) fn clear(&mut self) {
        for (_, seat) in self.0.drain() {
            if let Some(seat) = seat.upgrade() {
                seat.clear();
            }
        }
    }
}

impl Screener {
    pub(super) fn new(scope: BlocklistScope) -> Self {
        Self { scope, seat: Arc::default() }
    }

    fn session(&self) -> &Session {
        self.scope.session()
    }

    /// Screens a card. See [`BlocklistScope::screen`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn screen(&self, card: &CardNumber) -> Result<Screening, Error> {
        match self.at_once(|screen| screen.card(card)) {
            Some(done) => done,
            // In a box: what is awaited rarely makes no future larger that is awaited for each card.
            None => Box::pin(self.ordinary(|screen| screen.card(card))).await,
        }
    }

    /// Screens a card whose number the host does not have. See [`BlocklistScope::screen_facts`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn screen_facts(&self, card: &CardFacts) -> Result<Screening, Error> {
        match self.at_once(|screen| screen.facts(card)) {
            Some(done) => done,
            None => Box::pin(self.ordinary(|screen| screen.facts(card))).await,
        }
    }

    /// Screens many cards, in their order. See [`BlocklistScope::screen_many`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn screen_many(&self, cards: &[CardNumber]) -> Result<Vec<Screening>, Error> {
        match self.at_once(|screen| screen.cards(cards)) {
            Some(done) => done,
            None => Box::pin(self.ordinary(|screen| screen.cards(cards))).await,
        }
    }

    /// Answers without waiting, where nothing is to be waited for: the host asks, and both lists are kept and current.
    #[inline]
    fn at_once<T>(&self, answer: impl FnOnce(&Screen<'_>) -> Result<T, Error>) -> Option<Result<T, Error>> {
        let session = self.session();
        if session.is_guarded() {
            return None;
        }
        let follower = &session.inner.follower;
        let clock = follower.clock();
        if !follower.is_fresh(clock) {
            return None;
        }
        let ready = self.seat.ready()?;
        let ready = ready.as_ref()?;
        ready.ask(clock);
        Some(session.at_once(Operation::ScreenCard, answer(&ready.screen(session, clock))))
    }

    /// Answers behind whatever has to be waited for, and keeps the lists for the next card.
    #[observed(in_place)]
    async fn ordinary<T>(&self, answer: impl FnOnce(&Screen<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let session = self.session();
        session.begin(Operation::ScreenCard).await?;
        let (ready, clock) = self.scope.ready().await?;
        let answer = answer(&ready.screen(session, clock));
        if !session.is_guarded() && !session.is_batched() {
            self.seat.keep(ready);
        }
        answer
    }

    /// Has the lists loaded.
    pub(super) async fn load(self) -> Result<Self, Error> {
        self.ordinary(|_| Ok(())).await?;
        Ok(self)
    }
}

impl fmt::Debug for Screener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screener").field("scope", &self.scope).finish_non_exhaustive()
    }
}
