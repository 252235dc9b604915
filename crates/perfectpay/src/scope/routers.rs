//! What a running library keeps of each profile to decide its payments: the compiled router, the rules about cards and
//! the guard against card testing. Loaded when the profile first decides, current by the log, and let go when others
//! need the room.
//!
//! It is little, and read as a whole: whatever is told of a merchant account's connector accounts, programs or profiles
//! makes each of its profiles that is kept be read again when it is next asked. As in [`lists`](super::lists), one reads
//! and everybody else waits for that turn, and who asks a profile that nothing was told of takes no lock of it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwapOption;

use super::follow::Follows;
use super::lists::Ready;
use super::routing::{accounts, routable};
use super::screener::Seat;
use super::session::Session;
use crate::card_testing;
use crate::error::{EntityKind, Error};
use crate::id::{Incarnation, ProfileId};
use crate::merchant::MerchantState;
use crate::profile::{CardTestingGuard, PaymentMethodBlocking, ProfileState};
use crate::routing::{ProgramVersion, RetryPolicy, Router, RoutingProgramState, RoutingVersionState, active_version};
use crate::seal::Opened;
use crate::store::{Key, LogEntry, MerchantPath, Stored, Verb};
use crate::time::Timestamp;

/// What a profile weighs beside its router, in bytes: its places in the maps, its rules.
const WEIGHT: usize = 1_024;

/// What decides a profile's payments, as it was at one moment.
pub(super) struct Routed {
    /// Behind a pointer of its own: decisions hand it out.
    pub(super) router: Arc<Router>,
    pub(super) retry_policy: RetryPolicy,
    pub(super) blocking: Option<PaymentMethodBlocking>,
    pub(super) guard: CardTestingGuard,
    /// Under which the guard counts; `None` while none of its checks is on.
    pub(super) guard_secret: Option<Opened>,
}

impl Routed {
    /// Reads it from the store. `None` where the path leads to no such profile.
    pub(super) async fn load(
        session: &Session,
        path: &MerchantPath,
        profile: &ProfileId,
    ) -> Result<Option<Self>, Error> {
        let row: Option<Stored<ProfileState>> = session.get(&Key::Profile(path.clone(), profile.clone())).await?;
        let Some(mut row) = row else { return Ok(None) };
        let active: Option<Stored<RoutingProgramState>> =
            session.get(&Key::ActiveProgram(path.clone(), profile.clone())).await?;
        let version = match active.as_ref().and_then(active_version) {
            None => None,
            Some(id) => {
                let key = Key::RoutingVersion(path.clone(), id.clone());
                Some(session.require::<RoutingVersionState>(&key, &id).await?)
            }
        };
        let accounts = routable(session, &accounts(session, path, profile).await?);
        let guard_secret = if card_testing::is_on(&row.state.settings.card_testing_guard_config) {
            let keys = match session.keys_of(&mut row).await {
                Ok(keys) => keys,
                Err(Error::NotFound(_)) => return Ok(None),
                Err(other) => return Err(other),
            };
            let id = row.id.to_string();
            Some(row.state.card_testing_secret(&session.seals(&keys, row.tenant, EntityKind::Profile, &id))?)
        } else {
            None
        };
        let (program, retry_policy) = match version {
            None => (None, RetryPolicy::default()),
            Some(row) => {
                let (id, version) = (row.id.program, u64::from(row.id.number));
                (Some(ProgramVersion { id, version, algorithm: Arc::new(row.state.algorithm) }), row.state.retry_policy)
            }
        };
        // It was checked when it was saved.
        let router = Router::new(profile.clone(), program, accounts, &row.state.fallback)
            .map_err(|fault| Error::Corrupt { what: "a routing program".into(), source: Some(fault.into()) })?;
        Ok(Some(Self {
            router: Arc::new(router),
            retry_policy,
            guard: row.state.settings.card_testing_guard_config,
            blocking: row.state.settings.payment_method_blocking,
            guard_secret,
        }))
    }

    fn weight(&self) -> usize {
        self.router.weight() + WEIGHT
    }
}

impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routed").field("router", &self.router).finish_non_exhaustive()
    }
}

/// Everything that is kept.
pub(super) struct Routers {
    /// In bytes.
    budget: usize,
    weight: AtomicUsize,
    shelf: RwLock<Shelf>,
}

#[derive(Default)]
struct Shelf {
    /// By every path by which the account was asked for.
    paths: HashMap<MerchantPath, HashMap<ProfileId, Arc<Place>>>,
    tenants: HashMap<Incarnation, HashMap<ProfileId, Arc<Place>>>,
    /// By the account's id, under which the log knows it. More than one account where an id has had several owners.
    ids: HashMap<Box<str>, HashSet<Incarnation>>,
}

/// What decides a profile's payments, and where it is kept.
pub(super) struct Found {
    pub(super) routed: Arc<Routed>,
    place: Arc<Place>,
}

impl Found {
    /// Where the lists are that decide about the profile's cards.
    pub(super) fn lists(&self) -> &Seat {
        &self.place.lists
    }

    /// Keeps these for the next decision, unless they are those of another owner of the account's id.
    pub(super) fn keep(&self, lists: Ready) {
        if lists.is_of(self.place.tenant) {
            self.place.lists.keep(lists);
        }
    }
}

/// Where one profile's is kept.
struct Place {
    tenant: Incarnation,
    merchant_id: Box<str>,
    organization_id: Box<str>,
    profile: ProfileId,
    routed: ArcSwapOption<Kept>,
    /// How often it was told that something moved.
    told: AtomicU64,
    /// Who holds it reads the store.
    turn: async_lock::Mutex<()>,
    /// When it was last asked, in Unix milliseconds.
    asked: AtomicI64,
    weight: AtomicUsize,
    /// Whether it is on the shelf still, and told of what moves.
    shelved: AtomicBool,
    /// The lists that were asked last, while they are current.
    lists: Arc<Seat>,
}

struct Kept {
    /// The count of tellings that it reflects.
    reflects: u64,
    routed: Arc<Routed>,
}

impl Place {
    /// What is kept, if it reflects everything that was told.
    fn current(&self) -> Option<Arc<Routed>> {
        let told = self.told.load(Ordering::Acquire);
        let kept = self.routed.load();
        kept.as_ref().filter(|kept| kept.reflects == told).map(|kept| Arc::clone(&kept.routed))
    }

    fn tell(&self) {
        self.told.fetch_add(1, Ordering::AcqRel);
    }
}

impl Routers {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, weight: AtomicUsize::new(0), shelf: RwLock::default() }
    }

    /// What decides the profile's payments, up to everything that was told before. `None` where the path leads to no
    /// such profile. Ready at first poll, and without an allocation, where it is kept and current.
    pub(super) async fn ready(
        &self,
        session: &Session,
        path: &MerchantPath,
        profile: &ProfileId,
        clock: Timestamp,
    ) -> Result<Option<Found>, Error> {
        loop {
            let kept = self.shelf().paths.get(path).and_then(|profiles| profiles.get(profile)).cloned();
            let place = match kept {
                Some(place) => place,
                None => match self.shelve(session, path, profile).await? {
                    Some(place) => place,
                    None => return Ok(None),
                },
            };
            let now = clock.unix_millis();
            // Written only when it changes: the line of memory is everybody's.
            if place.asked.load(Ordering::Relaxed) != now {
                place.asked.store(now, Ordering::Relaxed);
            }
            if let Some(routed) = place.current() {
                return Ok(Some(Found { routed, place }));
            }
            match self.refresh(session, &place).await? {
                Some(routed) => return Ok(Some(Found { routed, place })),
                // The path may have another owner by now: only one that was pinned leads nowhere for good.
                None if !self.leads_elsewhere(session, path, &place).await? => return Ok(None),
                None => {}
            }
        }
    }

    /// Whether a path leads to another account than it did.
    async fn leads_elsewhere(&self, session: &Session, path: &MerchantPath, place: &Place) -> Result<bool, Error> {
        let row: Option<Stored<MerchantState>> = session.get(&Key::Merchant(path.clone())).await?;
        Ok(row.is_some_and(|row| row.tenant != place.tenant))
    }

    /// Makes room for the profile that a path leads to, if the account lives. Nothing else is loaded.
    async fn shelve(
        &self,
        session: &Session,
        path: &MerchantPath,
        profile: &ProfileId,
    ) -> Result<Option<Arc<Place>>, Error> {
        let row: Option<Stored<MerchantState>> = session.get(&Key::Merchant(path.clone())).await?;
        let Some(row) = row else { return Ok(None) };
        let mut shelf = self.shelf_mut();
        let place = shelf.tenants.entry(row.tenant).or_default().entry(profile.clone()).or_insert_with(|| {
            Arc::new(Place {
                tenant: row.tenant,
                merchant_id: row.id.as_str().into(),
                organization_id: row.state.organization_id.as_str().into(),
                profile: profile.clone(),
                routed: ArcSwapOption::empty(),
                told: AtomicU64::new(0),
                turn: async_lock::Mutex::new(()),
                asked: AtomicI64::new(i64::MAX),
                weight: AtomicUsize::new(0),
                shelved: AtomicBool::new(true),
                lists: Arc::default(),
            })
        });
        let place = Arc::clone(place);
        shelf.ids.entry(row.id.as_str().into()).or_default().insert(row.tenant);
        shelf.paths.entry(path.clone()).or_default().insert(profile.clone(), Arc::clone(&place));
        Ok(Some(place))
    }

    /// Reads a profile anew. `None` if it is gone, and then so is its place.
    async fn refresh(&self, session: &Session, place: &Arc<Place>) -> Result<Option<Arc<Routed>>, Error> {
        let _turn = place.turn.lock().await;
        // Whoever had the turn before may have read it.
        if let Some(routed) = place.current() {
            return Ok(Some(routed));
        }
        let reflects = place.told.load(Ordering::Acquire);
        let read = Routed::load(session, &MerchantPath::Pinned(place.tenant), &place.profile).await;
        let routed = match read {
            Ok(Some(routed)) => Arc::new(routed),
            // An error leaves what is not current where it is; one that cannot be loaded takes no room.
            Ok(None) => {
                self.drop_all(std::slice::from_ref(place));
                return Ok(None);
            }
            Err(error) => {
                if place.routed.load().is_none() {
                    self.drop_all(std::slice::from_ref(place));
                }
                return Err(error);
            }
        };
        let weight = routed.weight();
        place.routed.store(Some(Arc::new(Kept { reflects, routed: Arc::clone(&routed) })));
        let was = place.weight.swap(weight, Ordering::AcqRel);
        let weight = self.weight.fetch_add(weight, Ordering::AcqRel).saturating_add(weight);
        self.weight.fetch_sub(was, Ordering::AcqRel);
        if !place.shelved.load(Ordering::Acquire) {
            // It went meanwhile, and with it its weight.
            self.weight.fetch_sub(place.weight.swap(0, Ordering::AcqRel), Ordering::AcqRel);
        } else if weight.saturating_sub(was) > self.budget {
            self.make_room(place);
        }
        Ok(Some(routed))
    }

    /// Lets go of profiles that were not asked for longest, until an eighth of the budget is free or only this one is
    /// left.
    fn make_room(&self, but: &Arc<Place>) {
        let mut kept: Vec<Arc<Place>> = self.shelf().tenants.values().flat_map(HashMap::values).cloned().collect();
        kept.retain(|place| !Arc::ptr_eq(place, but));
        kept.sort_by_key(|place| place.asked.load(Ordering::Relaxed));
        let enough = self.budget - self.budget / 8;
        let mut weight = self.weight.load(Ordering::Acquire);
        let going = kept.into_iter().take_while(|place| {
            let goes = weight > enough;
            weight = weight.saturating_sub(place.weight.load(Ordering::Acquire));
            goes
        });
        self.drop_all(&going.collect::<Vec<_>>());
    }

    /// Takes profiles off the shelf. Whoever is asking one of them gets its answer; the next one loads it anew.
    fn drop_all(&self, places: &[Arc<Place>]) {
        // By themselves and not by their names: another one may have been put there meanwhile.
        let going: HashSet<*const Place> = places.iter().map(Arc::as_ptr).collect();
        let mut shelf = self.shelf_mut();
        for profiles in shelf.paths.values_mut() {
            profiles.retain(|_, place| !going.contains(&Arc::as_ptr(place)));
        }
        shelf.paths.retain(|_, profiles| !profiles.is_empty());
        for place in places {
            let Some(profiles) = shelf.tenants.get_mut(&place.tenant) else { continue };
            if !profiles.get(&place.profile).is_some_and(|kept| Arc::ptr_eq(kept, place)) {
                continue;
            }
            profiles.remove(&place.profile);
            if profiles.is_empty() {
                shelf.tenants.remove(&place.tenant);
                if let Some(tenants) = shelf.ids.get_mut(&place.merchant_id) {
                    tenants.remove(&place.tenant);
                    if tenants.is_empty() {
                        shelf.ids.remove(&place.merchant_id);
                    }
                }
            }
            place.shelved.store(false, Ordering::Release);
            self.weight.fetch_sub(place.weight.swap(0, Ordering::AcqRel), Ordering::AcqRel);
        }
    }

    fn shelf(&self) -> RwLockReadGuard<'_, Shelf> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelf_mut(&self) -> RwLockWriteGuard<'_, Shelf> {
        self.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follows for Routers {
    fn apply(&self, entry: &LogEntry) {
        let concerns = entry.changes.iter().any(|change| match change.kind {
            EntityKind::Connector | EntityKind::RoutingProgram => change.verb != Verb::Revealed,
            EntityKind::Profile => matches!(change.verb, Verb::Updated | Verb::Removed),
            EntityKind::Merchant | EntityKind::Organization => change.verb == Verb::Removed,
            _ => false,
        });
        if !concerns {
            return;
        }
        let shelf = self.shelf();
        match &entry.merchant_id {
            Some(id) => {
                let tenants = shelf.ids.get(id.as_str()).into_iter().flatten();
                tenants.filter_map(|tenant| shelf.tenants.get(tenant)).flat_map(HashMap::values).for_each(|p| p.tell());
            }
            // An organization's, or a batch over several of its accounts.
            None => {
                let places = shelf.tenants.values().flat_map(HashMap::values);
                let of = |place: &&Arc<Place>| {
                    entry.organization_id.as_deref().is_none_or(|id| id == &*place.organization_id)
                };
                places.filter(of).for_each(|place| place.tell());
            }
        }
    }

    fn reset(&self) {
        self.shelf().tenants.values().flat_map(HashMap::values).for_each(|place| place.tell());
    }
}

impl fmt::Debug for Routers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = self.weight.load(Ordering::Relaxed);
        f.debug_struct("Routers").field("weight", &weight).finish_non_exhaustive()
    }
}
