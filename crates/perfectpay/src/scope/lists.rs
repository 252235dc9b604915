//! The compiled blocklists that a running library keeps: each is loaded when it is first asked, follows the log from then
//! on, and goes when others need its room.
//!
//! A list is that of an organization or of a merchant account, with the switch and the fingerprint secrets of the account.
//! What is told of it is noted; whoever asks next reads the noted entries again from the store, one at a time in one turn,
//! and everybody else waits for that turn. So an answer reflects everything that was told before it was asked for, in
//! whatever order the tellings came. Who asks a list that nothing was told of takes no lock of it and waits for nobody.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Poll;

use arc_swap::ArcSwapOption;
use fearless_simd::Level;

use super::follow::Follows;
use super::screen::Screen;
use super::screener::{Seat, Seats};
use super::session::Session;
use crate::blocklist::index::{
    Covers, DigestKeys, DigitSpan, DigitsKind, Index, IndexBuilder, IndexEdit, IndexEntry, IndexFingerprint, IndexKey,
    IndexScope,
};
use crate::blocklist::{
    BlockKind, BlockRow, BlockRuleId, BlockRuleState, BlockScope, Fingerprint, FingerprintKey, RowScope,
};
use crate::error::{EntityKind, Error};
use crate::id::{Incarnation, ProfileId};
use crate::merchant::{FINGERPRINT, MerchantState};
use crate::profile::ProfileState;
use crate::store::{
    BlockScan, BlockSelect, BlocklistPath, EntityRef, Key, LogEntry, MerchantPath, OrganizationPath, Stored, Verb,
};
use crate::time::{Entropy, Timestamp};

/// How many noted entries are read again one by one; beyond, the list is loaded anew.
const NOTED: usize = 10_000;

/// How many entries are read at once. While they are indexed, the next ones are read.
const PART: u32 = 20_000;

/// What a list weighs beside its index, in bytes: its places in the maps, its secrets, its profiles.
const WEIGHT: usize = 1_024;

/// All lists that are kept.
pub(super) struct Lists {
    keys: Arc<DigestKeys>,
    level: Level,
    /// In bytes.
    budget: usize,
    /// What the kept lists weigh, in bytes.
    weight: AtomicUsize,
    shelf: RwLock<Shelf>,
}

#[derive(Default)]
struct Shelf {
    /// By every path by which they were asked for.
    paths: HashMap<MerchantPath, Arc<List>>,
    tenants: HashMap<Incarnation, Arc<List>>,
    /// By the id under which the log knows them. More than one where an id has had several owners.
    ids: HashMap<Box<str>, Vec<Arc<List>>>,
}

/// One list.
pub(super) struct List {
    of: EntityRef,
    /// The organization: for its own list itself.
    organization: EntityRef,
    compiled: ArcSwapOption<Compiled>,
    /// How often it was told that something moved.
    told: AtomicU64,
    noted: Mutex<Noted>,
    /// Who holds it reads the store.
    turn: async_lock::Mutex<()>,
    /// When it was last asked, in Unix milliseconds.
    asked: AtomicI64,
    weight: AtomicUsize,
    /// Whether it is on the shelf still, and told of what moves.
    shelved: AtomicBool,
    /// The organization's list, where this one is a merchant account's.
    above: ArcSwapOption<List>,
    /// Profiles without entries that were asked at and live.
    profiles: RwLock<HashSet<ProfileId>>,
    /// The screeners that have it.
    seats: Mutex<Seats>,
}

/// What moved and was not read again yet.
#[derive(Debug, Default)]
struct Noted {
    rules: Vec<BlockRuleId>,
    account: bool,
    all: bool,
}

impl Noted {
    fn add(&mut self, mut more: Self) {
        self.all |= more.all;
        self.account |= more.account;
        self.rules.append(&mut more.rules);
    }
}

/// A list as it was at one moment.
pub(super) struct Compiled {
    /// The count of tellings that it reflects.
    reflects: u64,
    pub(super) index: Index,
    pub(super) account: Option<Arc<Account>>,
    profiles: Arc<Profiles>,
}

/// A merchant account, as far as screening needs it.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) guard: bool,
    /// In the order of their fingerprints' texts.
    pub(super) secrets: Vec<FingerprintKey>,
    /// The place of the newest one.
    pub(super) current: usize,
}

/// The numbers that an index has for profiles.
#[derive(Debug, Clone, Default)]
struct Profiles {
    numbers: HashMap<ProfileId, u32>,
    ids: Vec<ProfileId>,
}

impl Profiles {
    fn number(&mut self, id: &ProfileId) -> u32 {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        let number = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.ids.push(id.clone());
        self.numbers.insert(id.clone(), number);
        number
    }
}

impl Compiled {
    /// The number of a profile; one that has no entries has none.
    pub(super) fn number(&self, profile: &ProfileId) -> Option<u32> {
        self.profiles.numbers.get(profile).copied()
    }

    /// A scope of the index in words.
    pub(super) fn scope(&self, scope: IndexScope) -> Option<BlockScope> {
        Some(match scope {
            IndexScope::Organization => BlockScope::Organization,
            IndexScope::Merchant => BlockScope::Merchant,
            IndexScope::Profile(number) => {
                BlockScope::Profile(self.profiles.ids.get(usize::try_from(number).ok()?)?.clone())
            }
        })
    }
}

/// A merchant account's list and that of its organization, both current when they were handed out, with the number of the
/// profile that is asked at.
pub(super) struct Ready {
    pub(super) own: Arc<List>,
    pub(super) above: Arc<List>,
    compiled: Arc<Compiled>,
    compiled_above: Arc<Compiled>,
    profile: Option<u32>,
}

impl Ready {
    /// Whether both are told of what moves, and nothing was told.
    #[inline]
    pub(super) fn is_current(&self) -> bool {
        let reflects = |list: &List, compiled: &Compiled| {
            list.told.load(Ordering::Acquire) == compiled.reflects && list.shelved.load(Ordering::Acquire)
        };
        reflects(&self.own, &self.compiled) && reflects(&self.above, &self.compiled_above)
    }

    /// Whether the first one is this account's, whoever's its id is.
    pub(super) fn is_of(&self, tenant: Incarnation) -> bool {
        self.own.of.tenant == tenant
    }

    /// Notes that they were asked.
    #[inline]
    pub(super) fn ask(&self, clock: Timestamp) {
        self.own.ask(clock);
        self.above.ask(clock);
    }

    /// What a card is screened with, at a moment of the host's clock.
    #[inline]
    pub(super) fn screen<'a>(&'a self, session: &'a Session, clock: Timestamp) -> Screen<'a> {
        let follower = &session.inner.follower;
        Screen {
            lists: &session.inner.lists,
            own: &self.compiled,
            above: &self.compiled_above,
            profile: self.profile,
            now: follower.moment_at(clock),
            staleness: follower.age(clock),
        }
    }
}

impl Lists {
    pub(super) fn new(entropy: &dyn Entropy, budget: usize) -> Self {
        Self {
            keys: Arc::new(DigestKeys::draw(entropy)),
            level: Level::new(),
            budget,
            weight: AtomicUsize::new(0),
            shelf: RwLock::default(),
        }
    }

    pub(super) fn keys(&self) -> &DigestKeys {
        &self.keys
    }

    /// What the processor's vectors can do.
    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// The lists that decide about a merchant account's cards, up to everything that was told before. `None` where the
    /// path leads to nothing. Ready at first poll, and without an allocation, where both are kept and current.
    pub(super) async fn ready(
        &self,
        session: &Session,
        path: &MerchantPath,
        profile: Option<&ProfileId>,
        clock: Timestamp,
    ) -> Result<Option<Ready>, Error> {
        let (own, compiled) = loop {
            let kept = self.shelf().paths.get(path).cloned();
            let own = match kept {
                Some(own) => own,
                None => match self.shelve(session, path).await? {
                    Some(own) => own,
                    None => return Ok(None),
                },
            };
            if let Some(compiled) = self.compiled(session, &own).await? {
                break (own, compiled);
            }
            // Its owner is gone and it left the shelf; another one may have the path by now.
        };
        let above = self.above(&own);
        let Some(compiled_above) = self.compiled(session, &above).await? else { return Ok(None) };
        if let Some(profile) = profile
            && !own.lives(session, profile, &compiled).await?
        {
            return Err(Error::not_found(EntityKind::Profile, profile));
        }
        let profile = profile.and_then(|profile| compiled.number(profile));
        let ready = Ready { own, above, compiled, compiled_above, profile };
        ready.ask(clock);
        Ok(Some(ready))
    }

    /// The list up to everything that was told before; `None` where its owner is gone.
    async fn compiled(&self, session: &Session, list: &Arc<List>) -> Result<Option<Arc<Compiled>>, Error> {
        match list.current() {
            None => self.refresh(session, list).await,
            current => Ok(current),
        }
    }

    /// The list of the organization above, kept or not.
    fn above(&self, own: &Arc<List>) -> Arc<List> {
        if let Some(above) = own.above.load_full().filter(|above| above.shelved.load(Ordering::Acquire)) {
            return above;
        }
        let above = self.put(&own.organization, &own.organization);
        own.above.store(Some(Arc::clone(&above)));
        above
    }

    /// Makes room for the list that a path leads to. Nothing is loaded.
    async fn shelve(&self, session: &Session, path: &MerchantPath) -> Result<Option<Arc<List>>, Error> {
        let row: Option<Stored<MerchantState>> = session.get(&Key::Merchant(path.clone())).await?;
        let Some(row) = row else { return Ok(None) };
        let organization = EntityRef {
            kind: EntityKind::Organization,
            tenant: row.state.organization,
            id: row.state.organization_id.to_string(),
        };
        let list = self.put(&row.entity(), &organization);
        let mut places = self.shelf_mut();
        if list.shelved.load(Ordering::Acquire) {
            places.paths.insert(path.clone(), Arc::clone(&list));
        }
        drop(places);
        Ok(Some(list))
    }

    fn put(&self, of: &EntityRef, organization: &EntityRef) -> Arc<List> {
        let mut places = self.shelf_mut();
        if let Some(list) = places.tenants.get(&of.tenant) {
            return Arc::clone(list);
        }
        let list = Arc::new(List::new(of.clone(), organization.clone()));
        places.tenants.insert(of.tenant, Arc::clone(&list));
        places.ids.entry(of.id.as_str().into()).or_default().push(Arc::clone(&list));
        list
    }

    /// Reads what moved, or everything. `None` where the list's owner is gone.
    async fn refresh(&self, session: &Session, list: &Arc<List>) -> Result<Option<Arc<Compiled>>, Error> {
        let _turn = list.turn.lock().await;
        // Whoever had the turn before may have read it all.
        if let Some(current) = list.current() {
            return Ok(Some(current));
        }
        let taken = list.take();
        let before = list.compiled.load_full().filter(|_| !taken.noted.all);
        let read = match &before {
            Some(before) => list.update(session, before, &taken).await?,
            None => list.load(session, &self.keys, taken.told).await?,
        };
        let Some(compiled) = read else {
            taken.done();
            self.drop_all(std::slice::from_ref(list));
            return Ok(None);
        };
        let weight = compiled.index.bytes() + WEIGHT;
        let compiled = Arc::new(compiled);
        // The one before is let go here, behind its readers, and not by one of them.
        list.compiled.store(Some(Arc::clone(&compiled)));
        list.seats().clear();
        taken.done();
        drop(before);
        let was = list.weight.swap(weight, Ordering::AcqRel);
        let weight = self.weight.fetch_add(weight, Ordering::AcqRel).saturating_add(weight);
        self.weight.fetch_sub(was, Ordering::AcqRel);
        if !list.shelved.load(Ordering::Acquire) {
            // It went meanwhile, and with it its weight.
            self.weight.fetch_sub(list.weight.swap(0, Ordering::AcqRel), Ordering::AcqRel);
        } else if weight.saturating_sub(was) > self.budget {
            self.make_room(list);
        }
        Ok(Some(compiled))
    }

    /// Lets go of lists that were not asked for longest, until an eighth of the budget is free or only this one is left.
    fn make_room(&self, but: &Arc<List>) {
        let mut kept: Vec<Arc<List>> = self.shelf().tenants.values().cloned().collect();
        kept.retain(|list| list.of.tenant != but.of.tenant);
        kept.sort_by_key(|list| list.asked.load(Ordering::Relaxed));
        let enough = self.budget - self.budget / 8;
        let mut weight = self.weight.load(Ordering::Acquire);
        let going = kept.iter().take_while(|list| {
            let goes = weight > enough;
            weight = weight.saturating_sub(list.weight.load(Ordering::Acquire));
            goes
        });
        self.drop_all(&going.cloned().collect::<Vec<_>>());
    }

    /// Takes lists off the shelf. Whoever is asking one of them gets its answer; the next one loads it anew.
    fn drop_all(&self, lists: &[Arc<List>]) {
        // By themselves and not by their tenants: another list of one of them may have been put there meanwhile.
        let going: HashSet<*const List> = lists.iter().map(Arc::as_ptr).collect();
        let mut places = self.shelf_mut();
        places.paths.retain(|_, list| !going.contains(&Arc::as_ptr(list)));
        for list in lists {
            if !places.tenants.get(&list.of.tenant).is_some_and(|kept| Arc::ptr_eq(kept, list)) {
                continue;
            }
            places.tenants.remove(&list.of.tenant);
            list.shelved.store(false, Ordering::Release);
            if let Some(same) = places.ids.get_mut(list.of.id.as_str()) {
                same.retain(|kept| !Arc::ptr_eq(kept, list));
                if same.is_empty() {
                    places.ids.remove(list.of.id.as_str());
                }
            }
            self.weight.fetch_sub(list.weight.swap(0, Ordering::AcqRel), Ordering::AcqRel);
        }
        drop(places);
        // What is off the shelf is nobody's any more once these let go of it.
        for list in lists {
            list.seats().clear();
        }
    }

    fn shelf(&self) -> RwLockReadGuard<'_, Shelf> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelf_mut(&self) -> RwLockWriteGuard<'_, Shelf> {
        self.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn new(of: EntityRef, organization: EntityRef) -> Self {
        Self {
            of,
            organization,
            compiled: ArcSwapOption::empty(),
            told: AtomicU64::new(0),
            noted: Mutex::default(),
            turn: async_lock::Mutex::new(()),
            asked: AtomicI64::new(i64::MAX),
            weight: AtomicUsize::new(0),
            shelved: AtomicBool::new(true),
            above: ArcSwapOption::empty(),
            profiles: RwLock::default(),
            seats: Mutex::default(),
        }
    }

    /// The list, if it is kept and reflects everything that was told.
    fn current(&self) -> Option<Arc<Compiled>> {
        let told = self.told.load(Ordering::Acquire);
        let compiled = self.compiled.load();
        let current = compiled.as_ref().filter(|compiled| compiled.reflects == told);
        current.map(Arc::clone)
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a screener has it.
    pub(super) fn seat(&self, seat: &Arc<Seat>) {
        self.seats().add(seat);
    }

    fn ask(&self, clock: Timestamp) {
        let now = clock.unix_millis();
        // Written only when it changes: the line of memory is everybody's.
        if self.asked.load(Ordering::Relaxed) != now {
            self.asked.store(now, Ordering::Relaxed);
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something moved.
    fn tell(&self, note: impl FnOnce(&mut Noted)) {
        let mut noted = self.noted();
        note(&mut noted);
        if noted.rules.len() > NOTED {
            noted.all = true;
        }
        if noted.all {
            noted.rules = Vec::new();
        }
        self.told.fetch_add(1, Ordering::AcqRel);
    }

    fn take(&self) -> Taken<'_> {
        let mut noted = self.noted();
        let told = self.told.load(Ordering::Acquire);
        Taken { list: self, noted: std::mem::take(&mut *noted), told, open: true }
    }

    fn path(&self) -> BlocklistPath {
        match self.of.kind {
            EntityKind::Organization => OrganizationPath::Pinned(self.of.tenant).into(),
            _ => MerchantPath::Pinned(self.of.tenant).into(),
        }
    }

    fn scope(&self) -> IndexScope {
        match self.of.kind {
            EntityKind::Organization => IndexScope::Organization,
            _ => IndexScope::Merchant,
        }
    }

    /// Whether a profile lives at which it is asked.
    async fn lives(&self, session: &Session, profile: &ProfileId, compiled: &Compiled) -> Result<bool, Error> {
        // One that has entries does: they go with it.
        let has_entries = compiled.number(profile).is_some();
        if has_entries || self.profiles.read().unwrap_or_else(PoisonError::into_inner).contains(profile) {
            return Ok(true);
        }
        let told = self.told.load(Ordering::Acquire);
        let key = Key::Profile(MerchantPath::Pinned(self.of.tenant), profile.clone());
        let lives = session.get::<ProfileState>(&key).await?.is_some();
        let mut profiles = self.profiles.write().unwrap_or_else(PoisonError::into_inner);
        if lives && self.told.load(Ordering::Acquire) == told {
            profiles.insert(profile.clone());
        }
        Ok(lives)
    }

    /// Reads all of it. `None` if its owner is gone.
    async fn load(&self, session: &Session, keys: &Arc<DigestKeys>, told: u64) -> Result<Option<Compiled>, Error> {
        let account = match self.of.kind {
            EntityKind::Organization => None,
            _ => match self.account(session).await? {
                Some(account) => Some(account),
                None => return Ok(None),
            },
        };
        let (mut builder, mut profiles) = (IndexBuilder::new(Arc::clone(keys), self.scope()), Profiles::default());
        let read = |after| {
            let scan = BlockScan { path: self.path(), select: BlockSelect::After(after), limit: PART, details: false };
            Box::pin(async move { session.store().block_rules(&scan).await })
        };
        let mut part = read(None).await?;
        loop {
            let Some(page) = part else { return Ok(None) };
            let last = page.rows.iter().next_back().filter(|_| page.rows.len() >= PART as usize);
            let last = last.map(|last| last.id().map_err(|_| Error::corrupt("an entry of a blocklist"))).transpose()?;
            let mut next = last.map(|last| read(Some(last)));
            // Asked once, a store begins to read.
            let at_once = match &mut next {
                Some(next) => poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await,
                None => Poll::Pending,
            };
            for row in page.rows.iter() {
                builder.push(entry(&row, keys, &mut profiles)?);
            }
            part = match (at_once, next) {
                (Poll::Ready(next), _) => next?,
                (Poll::Pending, Some(next)) => next.await?,
                (Poll::Pending, None) => break,
            };
        }
        Ok(Some(Compiled { reflects: told, index: builder.build(), account, profiles: Arc::new(profiles) }))
    }

    /// Reads what was noted.
    async fn update(&self, session: &Session, before: &Compiled, taken: &Taken<'_>) -> Result<Option<Compiled>, Error> {
        let mut account = before.account.clone();
        if taken.noted.account {
            account = self.account(session).await?;
            if account.is_none() {
                return Ok(None);
            }
        }
        let mut profiles = Arc::clone(&before.profiles);
        let mut edits = Vec::with_capacity(taken.noted.rules.len());
        for id in &taken.noted.rules {
            let row: Option<Stored<BlockRuleState>> = session.get(&Key::BlockRule(self.path(), id.clone())).await?;
            // A batch over several accounts may have named another one's profile.
            if let BlockScope::Profile(profile) = &id.scope
                && row.is_some()
                && before.number(profile).is_none()
            {
                Arc::make_mut(&mut profiles).number(profile);
            }
            let mut known = |profile: &ProfileId| profiles.numbers.get(profile).copied().unwrap_or_default();
            let key = key(id.kind, &id.value, (&id.scope).into(), before.index.keys(), &mut known)?;
            edits.push(match row {
                None => IndexEdit::Take(key),
                Some(row) => {
                    IndexEdit::Put(IndexEntry { key, action: row.state.action, expires_at: row.state.expires_at })
                }
            });
        }
        Ok(Some(Compiled { reflects: taken.told, index: before.index.edited(edits), account, profiles }))
    }

    /// Reads the account and opens its secrets.
    async fn account(&self, session: &Session) -> Result<Option<Arc<Account>>, Error> {
        let key = Key::Merchant(MerchantPath::Pinned(self.of.tenant));
        let row: Option<Stored<MerchantState>> = session.get(&key).await?;
        let Some(mut row) = row else { return Ok(None) };
        let keys = match session.keys_of(&mut row).await {
            Ok(keys) => keys,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(other) => return Err(other),
        };
        let id = row.id.to_string();
        let seals = session.seals(&keys, row.tenant, EntityKind::Merchant, &id);
        let mut secrets = Vec::with_capacity(row.state.fingerprint_secrets.len());
        for secret in &row.state.fingerprint_secrets {
            let plain = seals.open(FINGERPRINT, &secret.secret)?;
            let key = FingerprintKey::new(secret.version, &plain);
            secrets.push(key.ok_or_else(|| Error::corrupt("a fingerprint secret is too long"))?);
        }
        secrets.sort_by_key(|key| key.version().to_string());
        let newest = secrets.iter().enumerate().max_by_key(|(_, key)| key.version());
        let current = newest.map_or(0, |(at, _)| at);
        Ok(Some(Arc::new(Account { guard: row.state.blocklist_guard, secrets, current })))
    }
}

/// What was noted and is being read. Dropped before [`Taken::done`], it is noted again.
struct Taken<'a> {
    list: &'a List,
    noted: Noted,
    told: u64,
    open: bool,
}

impl Taken<'_> {
    fn done(mut self) {
        self.open = false;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.open {
            self.list.noted().add(std::mem::take(&mut self.noted));
        }
    }
}

/// An entry as the index takes it.
fn entry(row: &BlockRow<'_>, keys: &DigestKeys, profiles: &mut Profiles) -> Result<IndexEntry, Error> {
    let key = key(row.kind, row.value, row.scope, keys, &mut |profile| profiles.number(profile))?;
    Ok(IndexEntry { key, action: row.action, expires_at: row.expires_at })
}

fn key(
    kind: BlockKind,
    value: &str,
    scope: RowScope<'_>,
    keys: &DigestKeys,
    number: &mut dyn FnMut(&ProfileId) -> u32,
) -> Result<IndexKey, Error> {
    let scope = match scope {
        RowScope::Organization => IndexScope::Organization,
        RowScope::Merchant => IndexScope::Merchant,
        RowScope::Profile(profile) => IndexScope::Profile(number(profile)),
    };
    let prefix = |kind| DigitSpan::prefix(kind, value);
    let span = match kind {
        BlockKind::Fingerprint => {
            return Ok(IndexKey { covers: Covers::Fingerprint(digest(keys, value, Fingerprint::parse(value))), scope });
        }
        BlockKind::ExtendedCardBin => prefix(DigitsKind::ExtendedCardBin),
        BlockKind::CardBin => prefix(DigitsKind::CardBin),
        BlockKind::CardPrefix => prefix(DigitsKind::CardPrefix),
        BlockKind::CardRange => value.split_once('-').and_then(|(low, high)| DigitSpan::range(low, high)),
    };
    let span = span.ok_or_else(|| Error::corrupt(format!("an entry of a blocklist is no {kind}")))?;
    Ok(IndexKey { covers: Covers::Digits(span), scope })
}

/// The digest of a fingerprint's text, of which `ours` is what it says if it is not a foreign one.
pub(super) fn digest(keys: &DigestKeys, text: &str, ours: Option<Fingerprint>) -> IndexFingerprint {
    match ours {
        Some(ours) => IndexFingerprint::ours(ours.version, &ours.digest),
        None => keys.foreign(text),
    }
}

impl Follows for Lists {
    fn apply(&self, entry: &LogEntry) {
        let concerns = entry.changes.iter().any(|change| {
            let goes = change.verb == Verb::Removed;
            match change.kind {
                EntityKind::BlockRule => true,
                EntityKind::Merchant => change.verb != Verb::Created,
                EntityKind::Organization | EntityKind::Profile => goes,
                _ => false,
            }
        });
        if !concerns {
            return;
        }
        let places = self.shelf();
        match &entry.merchant_id {
            Some(id) => places.ids.get(id.as_str()).into_iter().flatten().for_each(|list| list.told_of(entry)),
            // An organization's, or a batch over several of its accounts.
            None => places
                .tenants
                .values()
                .filter(|list| entry.organization_id.as_ref().is_none_or(|id| *id == list.organization.id))
                .for_each(|list| list.told_of(entry)),
        }
    }

    fn reset(&self) {
        for list in self.shelf().tenants.values() {
            list.tell(|noted| noted.all = true);
            list.forget_profiles();
        }
    }
}

impl List {
    fn told_of(&self, entry: &LogEntry) {
        let is_organization = self.of.kind == EntityKind::Organization;
        let mut moved = Noted::default();
        for change in &entry.changes {
            let goes = change.verb == Verb::Removed;
            match change.kind {
                EntityKind::BlockRule => match change.id.parse::<BlockRuleId>() {
                    Ok(_) if change.count != 1 => moved.all = true,
                    Ok(id) if (id.scope == BlockScope::Organization) == is_organization => moved.rules.push(id),
                    Ok(_) => {}
                    // Many at once, which no entry is named for: never in a batch, so that the entry is of one list.
                    Err(_) => moved.all |= is_organization == entry.merchant_id.is_none(),
                },
                EntityKind::Merchant if !goes => moved.account = !is_organization,
                EntityKind::Merchant | EntityKind::Organization | EntityKind::Profile if goes => moved.all = true,
                _ => {}
            }
        }
        if moved.all || moved.account || !moved.rules.is_empty() {
            self.tell(|noted| noted.add(moved));
        }
        if entry.changes.iter().any(|change| change.verb == Verb::Removed && change.kind != EntityKind::BlockRule) {
            self.forget_profiles();
        }
    }

    fn forget_profiles(&self) {
        self.profiles.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl fmt::Debug for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.shelf().tenants.len();
        let weight = self.weight.load(Ordering::Relaxed);
        f.debug_struct("Lists").field("kept", &kept).field("weight", &weight).finish_non_exhaustive()
    }
}
