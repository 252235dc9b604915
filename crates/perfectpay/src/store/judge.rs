//! What a store checks when it commits, once, as code.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, ChangeSet, Expectation, IdempotencyClaim, IdempotencyKey, NO_USE_LEFT};
use super::record::{Record, UniqueKey};
use super::stage::{STAGE_GONE, StageView, StagedRules};
use crate::blocklist::{BlockRow, ExpiredRules, NewRules, RowScope};
use crate::error::{ChildCount, EntityKind, Error, Fault};
use crate::id::{Incarnation, ProfileId};
use crate::seal::Sealed;
use crate::stored::EntityRef;
use crate::time::Timestamp;

/// What [`judge`] asks a store: the state right before the commit, which nothing else may change until it is applied.
pub trait Premises {
    /// The version of a living object.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn version(&mut self, entity: &EntityRef) -> Result<Option<u64>, Error>;

    /// Which living object has this key.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn holder(&mut self, key: &UniqueKey) -> Result<Option<EntityRef>, Error>;

    /// The living objects directly below this one that [count as children](Record::counts_as_child), by ascending kind,
    /// kinds without any left out.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn children(&mut self, entity: &EntityRef) -> Result<Vec<ChildCount>, Error>;

    /// The living object that holds this one up and [counts it as a child](Record::counts_as_child); `None` if it does
    /// not live, or does not count.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn parent(&mut self, entity: &EntityRef) -> Result<Option<EntityRef>, Error>;

    /// When an entry of a blocklist stops matching; `None` if it does not live, or never does.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn expiry(&mut self, rule: &EntityRef) -> Result<Option<Timestamp>, Error>;

    /// How many entries of a merchant account's blocklist have a fingerprint that was made under this version of its
    /// secret.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn fingerprints(&mut self, merchant: &EntityRef, version: u32) -> Result<u64, Error>;

    /// How many uses of a payment link [stand](crate::payment::LinkUseState::stands_at) at a moment, `but` not among them.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn uses(&mut self, link: &EntityRef, but: Option<&EntityRef>, at: Timestamp) -> Result<u64, Error>;

    /// What a stage of this list holds beyond the rows that are to stay on it; `None` if there is none, or it was made live
    /// or begun to be removed.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn stage(&mut self, new: &StagedRules) -> Result<Option<StageView>, Error>;

    /// The time of the log's newest entry; the beginning of Unix time for an empty log.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn time(&mut self) -> Result<Timestamp, Error>;

    /// What is kept under an idempotency key, expired or not.
    ///
    /// # Errors
    ///
    /// Whatever the engine answers.
    fn idempotency(&mut self, tenant: Incarnation, key: &IdempotencyKey) -> Result<Option<IdempotencyClaim>, Error>;
}

/// What is to be done with a set that nothing stands against.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Apply its changes in order, keep its claim in place of an expired one, append its entry to the log.
    Apply,
    /// Apply nothing: an equal request was carried out under the same idempotency key, and this was its answer.
    Replay(Sealed),
}

/// Judges a change set. This function *is* the contract of what a commit checks and of which error wins: the first of
///
/// 1. the idempotency key: [`Error::IdempotencyMismatch`], or the verdict [`Verdict::Replay`];
/// 2. the expectations in order: [`Error::NotFound`], [`Error::Stale`], [`Error::Moved`], [`Error::Refused`];
/// 3. the changes in order, and of one change: its id ([`Error::AlreadyExists`]), its parent ([`Error::NotFound`]), its
///    version ([`Error::NotFound`], [`Error::Stale`]), its children ([`Error::HasChildren`]), its unique keys
///    ([`Error::Duplicate`]).
///
/// Every change is judged in the state that the changes before it leave. A back-end may call this before it applies a
/// set, or apply the set against its own constraints and call this only to learn why one of them objected.
///
/// # Errors
///
/// As listed; [`Error::Moved`] for an entry of a blocklist that is to be purged and has not expired;
/// [`Error::Refused`] with code [`STAGE_GONE`] for a stage that is not there whole;
/// [`Error::Invalid`] for a set without changes, with a change behind a cascade, or with many entries of a blocklist and
/// another change; what [`Premises`] answers.
pub fn judge(set: &ChangeSet, premises: &mut dyn Premises) -> Result<Verdict, Error> {
    if let Some(claim) = &set.idempotency
        && let Some(kept) = premises.idempotency(claim.tenant, &claim.key)?
        && kept.expires_at > set.at
    {
        return if kept.request == claim.request {
            Ok(Verdict::Replay(kept.answer))
        } else {
            Err(Error::IdempotencyMismatch)
        };
    }
    if set.changes.is_empty() {
        return Err(Fault::new("changes.empty", "must have a change").at("changes").into());
    }
    if set.changes.len() > 1 && set.changes.iter().any(Change::is_bulk) {
        return Err(Fault::new("changes.bulk_beside_others", "must be the only change").at("changes").into());
    }
    for expectation in &set.expectations {
        expect(expectation, set.at, premises)?;
    }
    let mut staged = Staged { premises, versions: BTreeMap::new(), holders: BTreeMap::new(), records: BTreeMap::new() };
    let mut closed = false;
    for change in &set.changes {
        if closed {
            return Err(Fault::new("changes.after_cascade", "must end with the cascade").at("changes").into());
        }
        match change {
            Change::Create(record) => staged.create(set, record)?,
            Change::Update(record) => staged.update(set, record)?,
            Change::Remove { entity, version, cascade } => {
                staged.remove(entity, *version, *cascade)?;
                closed = *cascade;
            }
            Change::Reveal { entity, version } => {
                let found = staged.version(entity)?;
                at_version(entity, *version, found)?;
            }
            Change::AddBlockRules(new) => staged.add(set, new)?,
            Change::AddStagedRules(new) => staged.add_staged(set, new)?,
            Change::PurgeBlockRules(old) => staged.purge(old)?,
            // Nothing stands against it: what does not live is passed over.
            Change::MarkUsed(_) => {}
        }
    }
    Ok(Verdict::Apply)
}

fn expect(expectation: &Expectation, at: Timestamp, premises: &mut dyn Premises) -> Result<(), Error> {
    match expectation {
        Expectation::Version { entity, version } => at_version(entity, *version, premises.version(entity)?),
        Expectation::Children { of, kind, count } => {
            let children = premises.children(of)?;
            let found = children.iter().find(|c| c.kind == *kind).map_or(0, |c| c.count);
            if found == *count { Ok(()) } else { Err(Error::Moved { entity: of.named() }) }
        }
        Expectation::Free { key } => match premises.holder(key)? {
            None => Ok(()),
            Some(holder) => Err(Error::Moved { entity: holder.named() }),
        },
        Expectation::Fingerprints { of, version, count } => {
            let found = premises.fingerprints(of, *version)?;
            if found == *count { Ok(()) } else { Err(Error::Moved { entity: of.named() }) }
        }
        Expectation::Uses { of, but, fewer_than } => {
            // By the log's time too, so that a clock that is behind revives no hold.
            let at = at.max(premises.time()?);
            if premises.uses(of, but.as_ref(), at)? < *fewer_than {
                return Ok(());
            }
            Err(Error::Refused { entity: of.named(), code: NO_USE_LEFT, message: "has no use left" })
        }
    }
}

fn at_version(entity: &EntityRef, expected: u64, found: Option<u64>) -> Result<(), Error> {
    match found {
        None => Err(Error::NotFound(entity.named())),
        Some(found) if found != expected => Err(Error::Stale { entity: entity.named(), expected, found }),
        Some(_) => Ok(()),
    }
}

/// The error of a stage that is not there, was made live or begun to be removed, or does not hold what it should.
pub fn stage_gone(of: &EntityRef) -> Error {
    Error::Refused {
        entity: of.named(),
        code: STAGE_GONE,
        message: "has no such stage for its blocklist, or not whole",
    }
}

/// The premises under the changes judged so far.
struct Staged<'a> {
    premises: &'a mut dyn Premises,
    /// Objects that the set touched: their version, or `None` once removed.
    versions: BTreeMap<EntityRef, Option<u64>>,
    /// Keys that the set touched: who has them now.
    holders: BTreeMap<UniqueKey, Option<EntityRef>>,
    /// Records that the set wrote, to know which keys a later change of theirs frees and whose children they are.
    records: BTreeMap<EntityRef, (Record, Option<EntityRef>)>,
}

impl Staged<'_> {
    fn version(&mut self, entity: &EntityRef) -> Result<Option<u64>, Error> {
        match self.versions.get(entity) {
            Some(version) => Ok(*version),
            // It went along: what does not count as a child does not keep its tenant from going.
            None if self.is_below_a_removed_tenant(entity) || self.is_of_a_removed_program(entity) => Ok(None),
            None => self.premises.version(entity),
        }
    }

    fn is_below_a_removed_tenant(&self, entity: &EntityRef) -> bool {
        [EntityKind::Organization, EntityKind::Merchant].into_iter().any(|kind| {
            let tenant = EntityRef { kind, tenant: entity.tenant, id: String::new() };
            matches!(self.versions.get(&tenant), Some(None))
        })
    }

    fn is_of_a_removed_program(&self, entity: &EntityRef) -> bool {
        let program = match entity.kind {
            EntityKind::RoutingVersion => entity.id.rsplit_once('.').map(|(program, _)| program),
            _ => None,
        };
        program.is_some_and(|id| {
            let program = EntityRef { kind: EntityKind::RoutingProgram, tenant: entity.tenant, id: id.to_owned() };
            matches!(self.versions.get(&program), Some(None))
        })
    }

    /// Who has the key, other than `but`.
    fn other_holder(&mut self, key: &UniqueKey, but: &EntityRef) -> Result<Option<EntityRef>, Error> {
        let holder = match self.holders.get(key) {
            Some(holder) => holder.clone(),
            None => self.premises.holder(key)?,
        };
        let Some(holder) = holder.filter(|h| h != but) else { return Ok(None) };
        // Whom the store names may have lost the key to an earlier change of the same set.
        let lost = match (self.versions.get(&holder), self.records.get(&holder)) {
            (Some(None), _) => true,
            (Some(Some(_)), Some((record, _))) => !record.unique_keys().contains(key),
            _ => false,
        };
        Ok(if lost { None } else { Some(holder) })
    }

    fn create(&mut self, set: &ChangeSet, record: &Record) -> Result<(), Error> {
        let entity = record.entity();
        let ids = record.unique_keys().into_iter().filter(names_tenant);
        let mut taken = self.version(&entity)?.is_some();
        for id in ids {
            taken = taken || self.other_holder(&id, &entity)?.is_some();
        }
        if taken {
            return Err(Error::AlreadyExists(entity.named()));
        }
        let parent = self.living_parent(set, record)?;
        self.claim(entity, record, parent)
    }

    /// Judges each entry as [`create`](Self::create) would: its name, then what it hangs on.
    fn add(&mut self, set: &ChangeSet, new: &NewRules) -> Result<(), Error> {
        let mut living = BTreeSet::new();
        for row in new.rows().iter() {
            let entity = named(new.of(), &row);
            if self.premises.version(&entity)?.is_some() {
                return Err(Error::AlreadyExists(entity.named()));
            }
            let parent = match row.scope {
                RowScope::Profile(profile) => {
                    EntityRef { kind: EntityKind::Profile, tenant: entity.tenant, id: profile.to_string() }
                }
                RowScope::Organization | RowScope::Merchant => owned(set, new.of()),
            };
            if !living.contains(&parent) {
                if self.premises.version(&parent)?.is_none() {
                    return Err(Error::NotFound(parent.named()));
                }
                living.insert(parent);
            }
        }
        Ok(())
    }

    /// Judges the rows of a stage: that they are all there, their names, then what they hang on.
    fn add_staged(&mut self, set: &ChangeSet, new: &StagedRules) -> Result<(), Error> {
        let view = self.premises.stage(new)?.filter(|view| view.count == new.count());
        let Some(view) = view else { return Err(stage_gone(new.of())) };
        if let Some(taken) = view.taken {
            return Err(Error::AlreadyExists(taken.named()));
        }
        let owner = std::iter::once(owned(set, new.of()));
        let of_profile =
            |id: ProfileId| EntityRef { kind: EntityKind::Profile, tenant: new.of().tenant, id: id.to_string() };
        for parent in owner.chain(view.profiles.into_iter().map(of_profile)) {
            if self.premises.version(&parent)?.is_none() {
                return Err(Error::NotFound(parent.named()));
            }
        }
        Ok(())
    }

    fn purge(&mut self, old: &ExpiredRules) -> Result<(), Error> {
        for row in old.rows.rows().iter() {
            let entity = named(&old.of, &row);
            if self.premises.expiry(&entity)?.is_none_or(|end| end > old.expired_by) {
                return Err(Error::Moved { entity: entity.named() });
            }
        }
        Ok(())
    }

    fn living_parent(&mut self, set: &ChangeSet, record: &Record) -> Result<Option<EntityRef>, Error> {
        let parent = record.parent(&set.owner);
        match &parent {
            Some(parent) if self.version(parent)?.is_none() => Err(Error::NotFound(parent.named())),
            _ => Ok(parent),
        }
    }

    fn update(&mut self, set: &ChangeSet, record: &Record) -> Result<(), Error> {
        let entity = record.entity();
        let found = self.version(&entity)?;
        at_version(&entity, record.meta().version.saturating_sub(1), found)?;
        // It may be another one than before: an update moves what it updates.
        let parent = self.living_parent(set, record)?;
        self.claim(entity, record, parent)
    }

    /// Takes the record's unique keys and stages it.
    fn claim(&mut self, entity: EntityRef, record: &Record, parent: Option<EntityRef>) -> Result<(), Error> {
        for key in record.unique_keys() {
            if self.other_holder(&key, &entity)?.is_some() {
                return Err(Error::Duplicate { kind: entity.kind, field: key.field() });
            }
            self.holders.insert(key, Some(entity.clone()));
        }
        self.versions.insert(entity.clone(), Some(record.meta().version));
        self.records.insert(entity, (record.clone(), parent));
        Ok(())
    }

    fn remove(&mut self, entity: &EntityRef, version: u64, cascade: bool) -> Result<(), Error> {
        let found = self.version(entity)?;
        at_version(entity, version, found)?;
        if !cascade {
            let children = self.children(entity)?;
            if !children.is_empty() {
                return Err(Error::HasChildren { entity: entity.named(), children });
            }
        }
        self.versions.insert(entity.clone(), None);
        Ok(())
    }

    /// The children as the set leaves them so far.
    fn children(&mut self, entity: &EntityRef) -> Result<Vec<ChildCount>, Error> {
        let stored = self.premises.children(entity)?;
        let mut counts: BTreeMap<EntityKind, u64> = stored.iter().map(|c| (c.kind, c.count)).collect();
        let touched: Vec<(EntityRef, bool)> = self.versions.iter().map(|(e, v)| (e.clone(), v.is_some())).collect();
        for (child, lives) in touched {
            let before = self.premises.parent(&child)?;
            let counted = before.as_ref() == Some(entity);
            let counts_now = lives
                && match self.records.get(&child) {
                    // Removed and created again, it may have another parent.
                    Some((record, parent)) => parent.as_ref() == Some(entity) && record.counts_as_child(),
                    None => counted,
                };
            match (counted, counts_now) {
                (false, true) => *counts.entry(child.kind).or_default() += 1,
                (true, false) => drop(counts.entry(child.kind).and_modify(|n| *n = n.saturating_sub(1))),
                _ => {}
            }
        }
        Ok(counts.into_iter().filter(|(_, n)| *n > 0).map(|(kind, count)| ChildCount { kind, count }).collect())
    }
}

fn named(of: &EntityRef, row: &BlockRow<'_>) -> EntityRef {
    EntityRef { kind: EntityKind::BlockRule, tenant: of.tenant, id: row.name() }
}

/// A tenant as the set's caller knows it.
fn owned(set: &ChangeSet, of: &EntityRef) -> EntityRef {
    let owner = if of.kind == EntityKind::Organization { &set.owner.organization } else { &set.owner.merchant };
    let id = owner.as_ref().filter(|t| t.incarnation == of.tenant).map_or_else(|| of.id.clone(), |t| t.id.clone());
    EntityRef { id, ..of.clone() }
}

/// Whether the key is a tenant's id, which answers [`Error::AlreadyExists`] rather than [`Error::Duplicate`].
fn names_tenant(key: &UniqueKey) -> bool {
    matches!(key, UniqueKey::OrganizationId(_) | UniqueKey::MerchantId(_))
}
