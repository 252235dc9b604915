//! Stores that each break one sentence of the contract, to show that a suite notices.
//!
//! Every one is a [`Layer`] over a store that is right. [`all`] lists them with the cases of this suite that must fail
//! on each; a host's own suite can be held to the same list.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_lite::future::yield_now;
use perfectpay::merchant::KeyHolder;
use perfectpay::store::{
    Actor, BlockPage, BlockRows, BlockScan, BlocklistPath, Change, ChangeSet, Collection, CommitClass, Committed,
    EntityRef, Expectation, Export, Extent, Head, IdempotencyClaim, IdempotencyKey, Item, Key, KeyFilter, Listing,
    Load, LogBound, LogEntry, LogPosition, LogQuery, LogScope, MAX_LOG_LIMIT, MerchantPath, NewRules, Order, Owner,
    Packed, Prune, Pruned, Query, Receipt, Record, SortedRows, StageId, StagedPart, StagedRules, Store, UseCount, Uses,
    Verb,
};
use perfectpay::{Cursor, EntityKind, Error, Incarnation, PageRequest, Timestamp};

use crate::layer::{Layer, Layered};
use crate::records::{key_of, text, with_version};

/// A way to break a store.
#[derive(Clone, Copy)]
pub struct Broken {
    /// What is broken.
    pub name: &'static str,
    /// Cases of this suite that must fail on it; others may.
    pub caught_by: &'static [&'static str],
    over: fn(Arc<dyn Store>) -> Arc<dyn Store>,
}

impl Broken {
    /// Breaks this store.
    pub fn over(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        (self.over)(store)
    }
}

impl std::fmt::Debug for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same page request behind another cursor.
fn behind(query: &Query, cursor: Option<Cursor>) -> Query {
    let page = PageRequest::of(query.page().limit()).expect("it was one").after(cursor);
    match query {
        Query::Organizations(_) => Query::Organizations(page),
        Query::Merchants(path, _) => Query::Merchants(path.clone(), page),
        Query::DataKeys(wrapped_by, _) => Query::DataKeys(wrapped_by.clone(), page),
        Query::Outbox(_) => Query::Outbox(page),
        Query::ApiKeys(filter, _) => Query::ApiKeys(filter.clone(), page),
        Query::OrganizationBlockRules(path, kind, _) => Query::OrganizationBlockRules(path.clone(), *kind, page),
        Query::Within(path, collection, _) => Query::Within(path.clone(), collection.clone(), page),
    }
}

/// The key with its merchant account's path replaced.
fn through(key: &Key, turn: impl Fn(&MerchantPath) -> MerchantPath) -> Key {
    match key.clone() {
        Key::Organization(path) => Key::Organization(path),
        Key::Merchant(path) => Key::Merchant(turn(&path)),
        Key::DataKey(tenant, id) => Key::DataKey(tenant, id),
        Key::Profile(path, id) => Key::Profile(turn(&path), id),
        Key::ProfileByName(path, name) => Key::ProfileByName(turn(&path), name),
        Key::DefaultProfile(path) => Key::DefaultProfile(turn(&path)),
        Key::Connector(path, id) => Key::Connector(turn(&path), id),
        Key::RoutingProgram(path, id) => Key::RoutingProgram(turn(&path), id),
        Key::ActiveProgram(path, id) => Key::ActiveProgram(turn(&path), id),
        Key::RoutingVersion(path, id) => Key::RoutingVersion(turn(&path), id),
        Key::ApiKey(path, id) => Key::ApiKey(turn(&path), id),
        Key::MerchantByPublishableKey(key) => Key::MerchantByPublishableKey(key),
        Key::ApiKeyByDigest(digest) => Key::ApiKeyByDigest(digest),
        Key::BlockRule(BlocklistPath::Merchant(path), id) => Key::BlockRule(turn(&path).into(), id),
        Key::BlockRule(path, id) => Key::BlockRule(path, id),
        Key::Payment(path, id) => Key::Payment(turn(&path), id),
        Key::PaymentLink(path, id) => Key::PaymentLink(turn(&path), id),
        Key::Event(path, id) => Key::Event(turn(&path), id),
        Key::PaymentDecision(path, id) => Key::PaymentDecision(turn(&path), id),
        Key::EventOnce(path, once) => Key::EventOnce(turn(&path), once),
        Key::LinkUse(path, id) => Key::LinkUse(turn(&path), id),
    }
}

/// The set with these changes only, and without expectations and claim.
fn part(set: &ChangeSet, changes: &[Change]) -> ChangeSet {
    ChangeSet { changes: changes.to_vec(), expectations: Vec::new(), idempotency: None, ..set.clone() }
}

/// The error that a set without expectations and claim fails with, if it does; nothing is applied in any case.
async fn trial(next: &dyn Store, mut set: ChangeSet) -> Option<Error> {
    // A change that always fails, at the end.
    let poison =
        perfectpay::store::EntityRef { kind: EntityKind::Payment, tenant: Incarnation::PLATFORM, id: "poison".into() };
    set.remove(poison.clone(), 1, false);
    match next.commit(set).await {
        Err(Error::NotFound(entity)) if entity == poison.named() => None,
        // Of a cascade that is no longer the last change.
        Err(Error::Invalid(_)) | Ok(_) => None,
        Err(error) => Some(error),
    }
}

/// Shows one record as another.
fn turned(listing: Option<Listing>, turn: impl Fn(Record) -> Record) -> Option<Listing> {
    listing.map(|l| Listing { records: l.records.into_iter().map(turn).collect(), total: l.total })
}

macro_rules! broken {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident { $($field:ident: $type:ty),* } [$($case:literal),+ $(,)?] { $($method:item)* }
    )+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug, Default)]
            pub struct $name { $($field: $type),* }

            #[async_trait]
            impl Layer for $name { $($method)* }
        )+

        /// All of them.
        pub const fn all() -> &'static [Broken] {
            &[$(Broken {
                name: stringify!($name),
                caught_by: &[$($case),+],
                over: |store| Arc::new(Layered::over(store, $name::default())),
            }),+]
        }
    };
}

broken! {
    /// A scan leaves out the last entry of each part.
    ScanStopsEarly {} ["a_blocklist_is_scanned_by_name_whole_and_in_parts"] {
        async fn block_rules(&self, next: &dyn Store, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
            let found = next.block_rules(scan).await?;
            Ok(found.map(|page| {
                let mut rows = BlockRows::new();
                page.rows.iter().take(page.rows.len().saturating_sub(1)).for_each(|row| rows.push(row));
                BlockPage { rows, ..page }
            }))
        }
    }

    /// A scan goes the other way.
    ScanBackwards {} [
        "a_blocklist_is_scanned_by_name_whole_and_in_parts",
        "a_scan_finds_what_has_expired_in_the_order_in_which_it_did",
    ] {
        async fn block_rules(&self, next: &dyn Store, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
            let found = next.block_rules(scan).await?;
            Ok(found.map(|page| {
                let mut rows = BlockRows::new();
                page.rows.iter().rev().for_each(|row| rows.push(row));
                BlockPage { rows, ..page }
            }))
        }
    }

    /// A scan does not look at the organization in its path.
    ScanLeaks {} ["a_scan_keeps_to_its_tenant"] {
        async fn block_rules(&self, next: &dyn Store, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
            let path = match &scan.path {
                BlocklistPath::Merchant(path) => without_organization(path).into(),
                path @ BlocklistPath::Organization(_) => path.clone(),
            };
            next.block_rules(&BlockScan { path, ..scan.clone() }).await
        }
    }

    /// A scan always tells everything.
    ScanTellsAll {} ["a_scan_tells_reasons_and_metadata_where_they_are_asked_for"] {
        async fn block_rules(&self, next: &dyn Store, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
            next.block_rules(&BlockScan { details: true, ..scan.clone() }).await
        }
    }

    /// Fingerprints are counted whatever version made them.
    VersionsTogether {} ["a_scan_counts_the_list_by_kind_and_version"] {
        async fn block_rules(&self, next: &dyn Store, scan: &BlockScan) -> Result<Option<BlockPage>, Error> {
            let mut found = next.block_rules(scan).await?;
            if let Some(page) = &mut found {
                page.counts.iter_mut().for_each(|count| count.fingerprint_version = None);
            }
            Ok(found)
        }
    }

    /// How many fingerprints were expected is not checked.
    FingerprintsUnchecked {} ["an_expected_number_of_fingerprints_guards"] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            set.expectations.retain(|expectation| !matches!(expectation, Expectation::Fingerprints { .. }));
            next.commit(set).await
        }
    }

    /// A purge takes what it is told, expired by then or later.
    PurgeAhead {} ["a_purge_takes_what_has_expired_and_nothing_else"] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            for change in &mut set.changes {
                if let Change::PurgeBlockRules(old) = change {
                    old.expired_by = Timestamp::MAX;
                }
            }
            next.commit(set).await
        }
    }

    /// Of many entries those are added that are new, and the others passed over in silence.
    BulkPartly {} ["many_entries_are_added_whole_or_not_at_all"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let [Change::AddBlockRules(new)] = set.changes.as_slice() else { return next.commit(set).await };
            for row in new.rows().iter() {
                let record = new.record(&row)?.into();
                let one = ChangeSet { changes: vec![Change::Create(record)], ..set.clone() };
                match next.commit(one).await {
                    Ok(_) | Err(Error::AlreadyExists(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let head = next.head().await?;
            Ok(Committed::Applied(Receipt { position: head.position, at: head.at }))
        }
    }

    /// A part of what is staged is lost.
    StageLosesPart { parts: Mutex<BTreeMap<StageId, u64>> } ["a_stage_is_seen_by_nobody_until_it_is_made_live"] {
        async fn stage(&self, next: &dyn Store, part: StagedPart) -> Result<(), Error> {
            let mut parts = locked(&self.parts).clone();
            let seen = parts.entry(part.stage()).or_default();
            *seen += 1;
            let is_second = *seen == 2;
            *locked(&self.parts) = parts;
            if is_second { Ok(()) } else { next.stage(part).await }
        }
    }

    /// Rows of a stage are entries at once.
    StageIsLive {} ["a_stage_is_seen_by_nobody_until_it_is_made_live"] {
        async fn stage(&self, next: &dyn Store, part: StagedPart) -> Result<(), Error> {
            let owner = Owner { merchant: None, ..Owner::default() };
            let rows = Arc::new(SortedRows::of(part.rows()));
            let new = NewRules::new(part.of().clone(), rows, Actor::Host, None, part.at())?;
            let mut set = ChangeSet::new(owner, Actor::Host, part.at(), CommitClass::Configuration);
            set.changes.push(Change::AddBlockRules(Box::new(new)));
            next.commit(set).await?;
            next.stage(part).await
        }
    }

    /// No row of a stage is ever told to be taken.
    StageNeverTaken {} ["a_stage_says_which_of_its_rows_are_taken"] {
        async fn taken(&self, next: &dyn Store, of: &EntityRef, stage: StageId) -> Result<Option<Vec<u64>>, Error> {
            Ok(next.taken(of, stage).await?.map(|_| Vec::new()))
        }
    }

    /// Of a stage what is taken is passed over in silence.
    StagePartly {} ["a_stage_is_made_live_whole_or_not_at_all"] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await;
            let (Err(Error::AlreadyExists(_)), [Change::AddStagedRules(new)]) = (&answer, set.changes.as_slice()) else {
                return answer;
            };
            let Some(taken) = next.taken(new.of(), new.stage()).await? else { return answer };
            let fresh = taken.iter().filter(|number| !new.leaves_out(**number)).count() as u64;
            let (of, count) = (new.of().clone(), new.count().saturating_sub(fresh));
            let (author, source) = (new.author().clone(), new.source().cloned());
            let new = StagedRules::new(of, new.stage(), taken, count, author, source, new.created_at())?;
            set.changes = vec![Change::AddStagedRules(Box::new(new))];
            next.commit(set).await
        }
    }

    /// A stage is whoever's that asks.
    StageOfAll { owners: Mutex<BTreeMap<StageId, EntityRef>> } ["a_stage_of_one_list_is_no_others"] {
        async fn stage(&self, next: &dyn Store, part: StagedPart) -> Result<(), Error> {
            locked(&self.owners).entry(part.stage()).or_insert_with(|| part.of().clone());
            next.stage(part).await
        }

        async fn taken(&self, next: &dyn Store, of: &EntityRef, stage: StageId) -> Result<Option<Vec<u64>>, Error> {
            let owner = locked(&self.owners).get(&stage).cloned();
            next.taken(owner.as_ref().unwrap_or(of), stage).await
        }
    }

    /// What is left of stages stays.
    StagesStay {} ["stages_are_pruned_in_bounded_steps_the_untouched_ones"] {
        async fn prune(&self, next: &dyn Store, prune: &Prune) -> Result<Pruned, Error> {
            match prune {
                Prune::Stages { .. } => Ok(Pruned { removed: 0, more: false }),
                _ => next.prune(prune).await,
            }
        }
    }

    /// The log names every one of many entries.
    BulkUncounted {} ["many_entries_are_added_as_one_change_and_one_counted_line"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let [Change::AddBlockRules(new)] = set.changes.as_slice() else { return next.commit(set).await };
            let mut many = ChangeSet { changes: Vec::new(), ..set.clone() };
            for row in new.rows().iter() {
                many.create(new.record(&row)?);
            }
            next.commit(many).await
        }
    }

    /// The last writer wins: versions are not compared.
    LostUpdate {} [
        "racing_updates_are_applied_or_stale_and_none_is_lost",
        "an_update_replaces_the_version_below_its_own",
        "a_removal_names_the_version_that_it_removes",
    ] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            loop {
                let mut set = set.clone();
                for change in &mut set.changes {
                    let entity = match change {
                        Change::Update(record) => record.entity(),
                        Change::Remove { entity, .. } => entity.clone(),
                        Change::Create(_)
                        | Change::Reveal { .. }
                        | Change::AddBlockRules(_)
                        | Change::AddStagedRules(_)
                        | Change::PurgeBlockRules(_)
                        | Change::MarkUsed(_) => continue,
                    };
                    let Some(found) = next.get(&key_of(&entity)).await? else { continue };
                    match change {
                        Change::Update(record) => *record = with_version(record, found.meta().version + 1),
                        Change::Remove { version, .. } => *version = found.meta().version,
                        Change::Create(_)
                        | Change::Reveal { .. }
                        | Change::AddBlockRules(_)
                        | Change::AddStagedRules(_)
                        | Change::PurgeBlockRules(_)
                        | Change::MarkUsed(_) => {}
                    }
                }
                match next.commit(set.clone()).await {
                    // Another came between; a set that is wrong by itself is answered.
                    Err(Error::Stale { .. }) if set.changes.len() == 1 && set.expectations.is_empty() => {}
                    answer => return answer,
                }
            }
        }
    }

    /// What a decision stood on is not checked.
    ExpectationsIgnored {} [
        "an_expectation_is_judged_before_every_change",
        "an_expected_version_guards_what_is_only_read",
        "an_expected_count_is_of_children_that_count",
        "racing_sets_hold_their_expectations",
    ] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            set.expectations.clear();
            next.commit(set).await
        }
    }

    /// How many uses stand is not checked.
    UsesUnchecked {} [
        "no_use_is_claimed_beyond_the_limit",
        "a_clock_that_is_behind_revives_no_hold_and_claims_none_twice",
        "never_more_than_n_uses_however_many_claim_at_once",
        "racing_claims_and_late_confirmations_share_the_places_of_lapsed_holds",
    ] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            set.expectations.retain(|e| !matches!(e, Expectation::Uses { .. }));
            next.commit(set).await
        }
    }

    /// How many uses stand is looked up before the commit, and not in it: whoever claims meanwhile is overlooked.
    UsesCountedBefore {} ["never_more_than_n_uses_however_many_claim_at_once"] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            for expectation in std::mem::take(&mut set.expectations) {
                let Expectation::Uses { of, but: None, fewer_than } = &expectation else {
                    set.expectations.push(expectation);
                    continue;
                };
                let (path, links) = (MerchantPath::Pinned(of.tenant), vec![text(&of.id)]);
                let counted = next.uses(&UseCount { path, links, at: set.at }).await?.unwrap_or_default();
                if counted.iter().any(|uses| uses.confirmed + uses.held >= *fewer_than) {
                    let (entity, message) = (of.named(), "has no use left");
                    return Err(Error::Refused { entity, code: perfectpay::store::NO_USE_LEFT, message });
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            next.commit(set).await
        }
    }

    /// The place of a use that is confirmed is not counted any more.
    ConfirmedForgotten {} [
        "a_hold_stands_until_its_deadline_and_a_confirmed_use_for_good",
        "never_more_than_n_uses_however_many_claim_at_once",
    ] {
        async fn uses(&self, next: &dyn Store, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
            let found = next.uses(count).await?;
            Ok(found.map(|all| all.into_iter().map(|uses| Uses { confirmed: 0, ..uses }).collect()))
        }
    }

    /// A hold stands past its deadline.
    HoldsForGood {} ["a_hold_stands_until_its_deadline_and_a_confirmed_use_for_good"] {
        async fn uses(&self, next: &dyn Store, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
            next.uses(&UseCount { at: Timestamp::MIN, ..count.clone() }).await
        }
    }

    /// Uses are counted together for all links that are asked for.
    UsesTogether {} ["uses_are_counted_for_each_link_and_of_its_tenant"] {
        async fn uses(&self, next: &dyn Store, count: &UseCount) -> Result<Option<Vec<Uses>>, Error> {
            let found = next.uses(count).await?;
            Ok(found.map(|all| {
                let held = all.iter().map(|uses| uses.held).sum();
                all.into_iter().map(|uses| Uses { held, ..uses }).collect()
            }))
        }
    }

    /// Expectations of versions are checked, those of children are not.
    ChildCountsIgnored {} ["an_expected_count_is_of_children_that_count"] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            set.expectations.retain(|e| !matches!(e, perfectpay::store::Expectation::Children { .. }));
            next.commit(set).await
        }
    }

    /// Whether a key is free as was expected is not checked.
    FreeKeysUnchecked {} [
        "an_expected_free_key_is_nobodys",
        "of_an_activation_and_a_removal_of_its_account_exactly_one_wins",
    ] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            set.expectations.retain(|expectation| !matches!(expectation, Expectation::Free { .. }));
            next.commit(set).await
        }
    }

    /// A second program of a profile becomes active where nobody is told: the first one stays what the profile's path leads to.
    TwoActivePrograms {} ["a_profile_has_at_most_one_active_routing_program"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            match next.commit(set.clone()).await {
                Err(Error::Duplicate { kind: EntityKind::RoutingProgram, .. }) => {
                    let mut quiet = set;
                    for change in &mut quiet.changes {
                        if let Change::Create(Record::RoutingProgram(row)) | Change::Update(Record::RoutingProgram(row)) = change {
                            row.state.active = None;
                        }
                    }
                    next.commit(quiet).await
                }
                answer => answer,
            }
        }
    }

    /// Versions of a routing program hold it up.
    VersionsHoldUp {} ["a_routing_program_takes_its_versions_along_without_a_cascade"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            for change in &set.changes {
                if let Change::Remove { entity, cascade: false, .. } = change
                    && entity.kind == EntityKind::RoutingProgram
                {
                    let of = Collection::RoutingVersions { program: Some(text(&entity.id)) };
                    let query = Query::Within(MerchantPath::Pinned(entity.tenant), of, PageRequest::default());
                    let count = next.list(&query).await?.map_or(0, |found| found.records.len());
                    if count > 0 {
                        let count = u64::try_from(count).expect("is a page");
                        let children = vec![perfectpay::ChildCount { kind: EntityKind::RoutingVersion, count }];
                        return Err(Error::HasChildren { entity: entity.named(), children });
                    }
                }
            }
            next.commit(set).await
        }
    }

    /// The active program of a profile is that of the whole account.
    ActiveProgramOfAnyone {} ["a_profile_has_at_most_one_active_routing_program"] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            let Key::ActiveProgram(path, _) = key else { return next.get(key).await };
            let all = Collection::RoutingPrograms { profile: None };
            let listing = next.list(&Query::Within(path.clone(), all, PageRequest::default())).await?;
            let is_active = |record: &Record| matches!(record, Record::RoutingProgram(row) if row.state.active.is_some());
            Ok(listing.and_then(|listing| listing.records.into_iter().find(is_active)))
        }
    }

    /// Of a set that is refused, the changes before the one that fails stay.
    HalfApplied {} [
        "a_set_whose_last_change_fails_changes_nothing",
        "a_set_whose_middle_change_fails_changes_nothing",
    ] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await;
            if let Err(Error::AlreadyExists(_) | Error::NotFound(_) | Error::HasChildren { .. }) = &answer
                && set.changes.len() > 1
            {
                for change in &set.changes {
                    if next.commit(part(&set, std::slice::from_ref(change))).await.is_err() {
                        break;
                    }
                }
            }
            answer
        }
    }

    /// A future that is dropped leaves the first change of its set behind.
    HalfOnDrop {} ["a_commit_that_is_dropped_on_its_way_is_whole_or_absent"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            if set.changes.len() < 6 || set.idempotency.is_some() {
                return next.commit(set).await;
            }
            let (first, rest) = set.changes.split_at(1);
            next.commit(part(&set, first)).await?;
            yield_now().await;
            next.commit(part(&set, rest)).await
        }
    }

    /// An empty set is a commit: of the organization's next version.
    EmptySetsApplied {} ["an_empty_set_is_refused"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let head = next.head().await?;
            if set.changes.is_empty() && set.idempotency.is_none() {
                return Ok(Committed::Applied(Receipt { position: head.position, at: head.at }));
            }
            next.commit(set).await
        }
    }

    /// A change behind a cascade is carried out before it.
    CascadeAnywhere {} ["a_change_behind_a_cascade_is_refused"] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            set.changes.sort_by_key(|change| matches!(change, Change::Remove { cascade: true, .. }));
            next.commit(set).await
        }
    }

    /// The changes of a set are sorted: what frees a key comes first, whatever the order said.
    ChangesSorted {} ["a_parent_comes_before_its_child_in_a_set", "a_child_goes_before_its_parent_in_a_set"] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            set.changes.sort_by_key(|change| match change {
                Change::Remove { entity, .. } | Change::Reveal { entity, .. } => {
                    (0, std::cmp::Reverse(Some(entity.kind)), None)
                }
                Change::Update(record) => (1, std::cmp::Reverse(None), Some(record.kind())),
                Change::Create(record) => (2, std::cmp::Reverse(None), Some(record.kind())),
                Change::AddBlockRules(_)
                | Change::AddStagedRules(_)
                | Change::PurgeBlockRules(_)
                | Change::MarkUsed(_) => (3, std::cmp::Reverse(None), None),
            });
            next.commit(set).await
        }
    }

    /// A cascade stops at the default profile of the merchant account, which stays in sight.
    CascadeLeavesProfile { profiles: Mutex<HashMap<Key, Record>> } [
        "a_merchant_account_takes_everything_below_it_along_and_nothing_else",
        "an_organization_takes_its_merchant_accounts_along_and_no_other",
    ] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            let found = next.get(key).await?;
            let Key::Profile(MerchantPath::Pinned(_), _) = key else { return Ok(found) };
            Ok(found.or_else(|| locked(&self.profiles).get(key).cloned()))
        }

        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await?;
            for change in &set.changes {
                if let Change::Create(record @ Record::Profile(_)) = change {
                    locked(&self.profiles).insert(key_of(&record.entity()), record.clone());
                }
            }
            Ok(answer)
        }
    }

    /// An organization goes and its data key stays.
    DataKeyLeft { keys: Mutex<HashMap<Key, Record>> } [
        "an_organization_takes_its_data_keys_along_without_a_cascade",
    ] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            let found = next.get(key).await?;
            Ok(found.or_else(|| locked(&self.keys).get(key).cloned()))
        }

        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await?;
            for change in &set.changes {
                if let Change::Create(Record::DataKey(row)) = change
                    && set.owner.merchant.is_none()
                {
                    locked(&self.keys).insert(key_of(&row.entity()), row.clone().into());
                }
            }
            Ok(answer)
        }
    }

    /// What is revealed is not logged.
    RevealedInSilence {} ["a_revelation_is_logged_and_changes_nothing"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            if set.changes.iter().all(|change| matches!(change, Change::Reveal { .. })) && !set.changes.is_empty() {
                let head = next.head().await?;
                return Ok(Committed::Applied(Receipt { position: head.position, at: head.at }));
            }
            next.commit(set).await
        }
    }

    /// A use is a version.
    UseVersioned {} ["the_last_use_of_a_key_is_marked_and_nothing_else_of_it"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await?;
            let [Change::MarkUsed(uses)] = set.changes.as_slice() else { return Ok(answer) };
            for used in uses {
                let key = Key::ApiKey(MerchantPath::Pinned(used.tenant), used.id.clone());
                if let Some(Record::ApiKey(row)) = next.get(&key).await? {
                    let mut update = ChangeSet { changes: Vec::new(), ..set.clone() };
                    update.update(row.next(row.modified_at, row.state.clone()));
                    next.commit(update).await?;
                }
            }
            Ok(answer)
        }
    }

    /// An update of a key loses the mark of its last use.
    MarkLost { updated: Mutex<BTreeSet<perfectpay::store::EntityRef>> } ["an_update_leaves_the_mark_of_the_last_use"] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            let mut found = next.get(key).await?;
            if let Some(Record::ApiKey(row)) = &mut found
                && locked(&self.updated).contains(&row.entity())
            {
                row.state.last_used = None;
            }
            Ok(found)
        }

        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await?;
            for change in &set.changes {
                if let Change::Update(record @ Record::ApiKey(_)) = change {
                    locked(&self.updated).insert(record.entity());
                }
            }
            Ok(answer)
        }
    }

    /// A key that does not live any more spoils the marks of all that were used beside it.
    MarksAllOrNothing {} ["keys_that_do_not_live_are_passed_over_when_uses_are_marked"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            if let [Change::MarkUsed(uses)] = set.changes.as_slice() {
                for used in uses {
                    let key = Key::ApiKey(MerchantPath::Pinned(used.tenant), used.id.clone());
                    if next.get(&key).await?.is_none() {
                        return Err(Error::not_found(EntityKind::ApiKey, &used.id));
                    }
                }
            }
            next.commit(set).await
        }
    }

    /// Keys that end are listed whenever they end.
    EndingWhenever {} ["keys_are_listed_by_when_they_end"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut query = query.clone();
            if let Query::ApiKeys(KeyFilter::Ending { before, .. }, _)
            | Query::Within(_, Collection::SomeApiKeys(KeyFilter::Ending { before, .. }), _) = &mut query
            {
                *before = Timestamp::MAX;
            }
            next.list(&query).await
        }
    }

    /// Keys that ended long ago are taken for idle ones.
    IdleForEver {} ["keys_are_listed_by_how_long_they_are_idle"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut query = query.clone();
            if let Query::ApiKeys(KeyFilter::Unused { at, .. }, _)
            | Query::Within(_, Collection::SomeApiKeys(KeyFilter::Unused { at, .. }), _) = &mut query
            {
                *at = Timestamp::MIN;
            }
            next.list(&query).await
        }
    }

    /// A key is counted under the first pepper for ever.
    PepperForgotten {} ["keys_are_listed_by_the_pepper_of_their_digest"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let Query::ApiKeys(KeyFilter::Under(_), page) = query else { return next.list(query).await };
            next.list(&Query::ApiKeys(KeyFilter::Under(text("master-1")), page.clone())).await
        }
    }

    /// A data key is listed by what wrapped it first, whatever wrapped it since.
    WrappingForgotten {} ["data_keys_are_listed_by_what_wrapped_them_over_all_tenants"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let Query::DataKeys(_, page) = query else { return next.list(query).await };
            next.list(&Query::DataKeys(text("mk_1"), page.clone())).await
        }
    }

    /// A parent goes and its children stay.
    OrphanAllowed { gone: Mutex<BTreeSet<perfectpay::store::EntityRef>> } [
        "a_removal_is_refused_with_the_exact_counts_of_children",
        "a_child_goes_before_its_parent_in_a_set",
        "no_child_outlives_a_parent_that_is_removed_beside_its_creation",
    ] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let removed = set.changes.iter().find_map(|change| match change {
                Change::Remove { entity, .. } => Some(entity.clone()),
                _ => None,
            });
            match (next.commit(set).await, removed) {
                (Err(Error::HasChildren { .. }), Some(entity)) => {
                    let head = next.head().await?;
                    locked(&self.gone).insert(entity);
                    Ok(Committed::Applied(Receipt { position: head.position, at: head.at }))
                }
                (answer, _) => answer,
            }
        }

        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            let found = next.get(key).await?;
            Ok(found.filter(|record| !locked(&self.gone).contains(&record.entity())))
        }
    }

    /// Every removal takes along what is below.
    CascadesSilently {} ["a_removal_is_refused_with_the_exact_counts_of_children"] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            if let Some(Change::Remove { cascade, .. }) = set.changes.last_mut() {
                *cascade = true;
            }
            next.commit(set).await
        }
    }

    /// A removal is refused without saying by what.
    ChildrenNotCounted {} ["a_removal_is_refused_with_the_exact_counts_of_children"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            next.commit(set).await.map_err(|error| match error {
                Error::HasChildren { entity, mut children } => {
                    children.truncate(1);
                    Error::HasChildren { entity, children }
                }
                other => other,
            })
        }
    }

    /// The organization in a path is not looked at.
    LeakAcrossTenants {} ["a_path_through_another_organization_leads_nowhere"] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            next.get(&through(key, without_organization)).await
        }

        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            match query {
                Query::Within(path, collection, page) => {
                    let path = without_organization(path);
                    next.list(&Query::Within(path, collection.clone(), page.clone())).await
                }
                other => next.list(other).await,
            }
        }
    }

    /// Only lists forget to look at the organization.
    LeakInLists {} ["a_path_through_another_organization_leads_nowhere"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            match query {
                Query::Within(path, collection, page) => {
                    let path = without_organization(path);
                    next.list(&Query::Within(path, collection.clone(), page.clone())).await
                }
                other => next.list(other).await,
            }
        }
    }

    /// A pinned path leads to whoever has the id now.
    PinnedFollowsId { ids: Mutex<HashMap<Incarnation, String>> } [
        "a_merchant_id_used_again_sees_nothing_of_its_former_owner",
    ] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            for change in &set.changes {
                if let Change::Create(Record::Merchant(row)) = change {
                    locked(&self.ids).insert(row.tenant, row.id.to_string());
                }
            }
            next.commit(set).await
        }

        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            let key = through(key, |path| match path {
                MerchantPath::Pinned(tenant) => match locked(&self.ids).get(tenant) {
                    Some(id) => MerchantPath::Id(text(id)),
                    None => path.clone(),
                },
                other => other.clone(),
            });
            next.get(&key).await
        }
    }

    /// What is gone is answered from a cache.
    StaleReads { seen: Mutex<HashMap<Key, Record>> } [
        "a_digest_is_unique_over_the_whole_store_and_free_after_revocation",
        "an_update_replaces_the_version_below_its_own",
    ] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            if let Some(record) = locked(&self.seen).get(key) {
                return Ok(Some(record.clone()));
            }
            let found = next.get(key).await?;
            if let Some(record) = &found {
                locked(&self.seen).insert(key.clone(), record.clone());
            }
            Ok(found)
        }
    }

    /// A digest still leads to its key after the key's tenant was removed.
    GhostKeys { keys: Mutex<HashMap<[u8; 32], Record>> } [
        "a_merchant_account_takes_everything_below_it_along_and_nothing_else",
        "a_digest_is_unique_over_the_whole_store_and_free_after_revocation",
    ] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            let found = next.get(key).await?;
            let Key::ApiKeyByDigest(digest) = key else { return Ok(found) };
            Ok(found.or_else(|| locked(&self.keys).get(digest).cloned()))
        }

        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await?;
            for change in &set.changes {
                if let Change::Create(Record::ApiKey(row)) = change
                    && let Some(digest) = &row.state.digest
                {
                    locked(&self.keys).insert(digest.digest, Record::ApiKey(row.clone()));
                }
            }
            Ok(answer)
        }
    }

    /// A publishable key leads to the account that was asked for by one first.
    OnePublishableKey { first: Mutex<Option<Record>> } ["a_publishable_key_leads_to_its_account_whosever_it_is"] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            let found = next.get(key).await?;
            if !matches!(key, Key::MerchantByPublishableKey(_)) {
                return Ok(found);
            }
            let mut first = locked(&self.first);
            *first = first.take().or(found);
            Ok(first.clone())
        }
    }

    /// Absence is an error.
    AbsentIsError {} ["a_path_through_another_organization_leads_nowhere"] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            match next.get(key).await? {
                None => Err(Error::not_found(EntityKind::Profile, "absent")),
                found => Ok(found),
            }
        }
    }

    /// An empty collection is answered as an absent one.
    EmptyIsNone {} ["an_empty_collection_is_not_an_absent_one"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            Ok(next.list(query).await?.filter(|listing| !listing.records.is_empty()))
        }
    }

    /// The list of a parent that does not live is empty.
    NoneIsEmpty {} ["a_path_through_another_organization_leads_nowhere"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            Ok(Some(next.list(query).await?.unwrap_or_default()))
        }
    }

    /// A page behind a cursor begins one too late.
    SkipsAtTheCursor {} [
        "a_list_has_the_order_of_its_collection",
        "a_cursor_is_exclusive_and_need_not_live",
        "records_that_come_and_go_between_pages_skip_and_repeat_no_other",
    ] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut listing = next.list(query).await?;
            if let (Some(_), Some(listing)) = (query.page().cursor(), &mut listing) {
                listing.records = listing.records.split_off(listing.records.len().min(1));
            }
            Ok(listing)
        }
    }

    /// A page behind a cursor begins with the cursor's own record.
    RepeatsAtTheCursor {} [
        "a_cursor_is_exclusive_and_need_not_live",
        "records_that_come_and_go_between_pages_skip_and_repeat_no_other",
    ] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let Some(cursor) = query.page().cursor() else { return next.list(query).await };
            let mut cursor = cursor.clone();
            match query.collection().order() {
                Order::Ascending => drop(cursor.id.pop()),
                Order::Descending => cursor.id.push('!'),
            }
            next.list(&behind(query, Some(cursor))).await
        }
    }

    /// The outbox is in the order in which its events were created.
    OutboxByCreation {} ["pending_events_are_listed_over_all_tenants_by_when_they_are_due"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut listing = next.list(query).await?;
            if let (Query::Outbox(_), Some(listing)) = (query, &mut listing) {
                listing.records.sort_by_key(|record| record.meta().created_at);
            }
            Ok(listing)
        }
    }

    /// The outbox has the events of one tenant.
    OutboxOfOne {} [
        "pending_events_are_listed_over_all_tenants_by_when_they_are_due",
        "a_merchant_account_lists_its_own_events_and_the_outbox_is_none_of_its_lists",
    ] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut listing = next.list(query).await?;
            if let (Query::Outbox(_), Some(listing)) = (query, &mut listing) {
                let first = listing.records.first().map(|record| record.meta().tenant);
                listing.records.retain(|record| Some(record.meta().tenant) == first);
            }
            Ok(listing)
        }
    }

    /// An account's open payments are all of its payments.
    OpenIsAll {} ["open_payments_are_listed_by_when_they_expire", "a_payment_that_nobody_waits_for_is_not_open"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            match query {
                Query::Within(path, Collection::OpenPayments, page) => {
                    next.list(&Query::Within(path.clone(), Collection::Payments, page.clone())).await
                }
                other => next.list(other).await,
            }
        }
    }

    /// An account's pending events are all of its events.
    PendingIsAll {} ["an_event_that_is_not_pending_is_in_no_outbox"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            match query {
                Query::Within(path, Collection::PendingEvents, page) => {
                    next.list(&Query::Within(path.clone(), Collection::Events, page.clone())).await
                }
                other => next.list(other).await,
            }
        }
    }

    /// An account that asks for the outbox is answered with everybody's.
    OutboxLeaks {} ["a_merchant_account_lists_its_own_events_and_the_outbox_is_none_of_its_lists"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            match query {
                Query::Within(_, Collection::Outbox, page) => next.list(&Query::Outbox(page.clone())).await,
                other => next.list(other).await,
            }
        }
    }

    /// Two events may be the same.
    EventsTwice {} ["an_event_is_unique_within_its_account_by_what_it_is_the_same_by"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            match next.commit(set.clone()).await {
                Err(Error::Duplicate { kind: EntityKind::Event, .. }) => {
                    let mut other = set;
                    for change in &mut other.changes {
                        if let Change::Create(Record::Event(row)) = change {
                            row.state.once = row.id.to_string();
                        }
                    }
                    next.commit(other).await
                }
                answer => answer,
            }
        }
    }

    /// Pages are counted off, not cut at a cursor.
    PagesByOffset { offsets: Mutex<BTreeMap<Cursor, usize>> } [
        "records_that_come_and_go_between_pages_skip_and_repeat_no_other",
    ] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut all: Vec<Record> = Vec::new();
            let Some(listing) = next.list(&behind(query, None)).await? else { return Ok(None) };
            let total = listing.total;
            let mut page = listing.records;
            let limit = query.page().limit() as usize;
            while page.len() > limit {
                page.truncate(limit);
                let last = page.last().map(|last| crate::probe::cursor_in(&query.collection(), last));
                all.append(&mut page);
                page = next.list(&behind(query, last)).await?.unwrap_or_default().records;
            }
            all.append(&mut page);
            let known = query.page().cursor().and_then(|cursor| locked(&self.offsets).get(cursor).copied());
            let start = match (query.page().cursor(), known) {
                (None, _) => 0,
                (Some(_), Some(offset)) => offset,
                (Some(_), None) => return next.list(query).await,
            };
            let records: Vec<Record> = all.into_iter().skip(start).take(limit + 1).collect();
            if let Some(last) = records.get(limit - 1) {
                locked(&self.offsets).insert(crate::probe::cursor_in(&query.collection(), last), start + limit);
            }
            Ok(Some(Listing { records, total }))
        }
    }

    /// A page has no more records than its limit, so nobody knows whether there is a next one.
    NoRecordMore {} ["a_page_has_one_record_more_than_its_limit_where_there_is_one"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut listing = next.list(query).await?;
            if let Some(listing) = &mut listing {
                listing.records.truncate(query.page().limit() as usize);
            }
            Ok(listing)
        }
    }

    /// Ties are in no order.
    TiesReversed {} ["ties_are_broken_by_the_bytes_of_the_id"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut listing = next.list(query).await?;
            if let Some(listing) = &mut listing {
                for tied in listing.records.chunk_by_mut(|a, b| a.meta().created_at == b.meta().created_at) {
                    tied.reverse();
                }
            }
            Ok(listing)
        }
    }

    /// Ties are in the order of a dictionary, not of bytes.
    TiesByDictionary {} ["ties_are_broken_by_the_bytes_of_the_id"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut listing = next.list(query).await?;
            if let Some(listing) = &mut listing {
                for tied in listing.records.chunk_by_mut(|a, b| a.meta().created_at == b.meta().created_at) {
                    tied.sort_by_key(|record| record.meta().id.to_lowercase());
                }
            }
            Ok(listing)
        }
    }

    /// The newest collections are listed oldest first.
    DescendingAscends {} ["a_list_has_the_order_of_its_collection"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut listing = next.list(query).await?;
            if let (Order::Descending, Some(listing)) = (query.collection().order(), &mut listing) {
                listing.records.reverse();
            }
            Ok(listing)
        }
    }

    /// The count is of the page.
    CountsThePage {} ["a_blocklist_counts_all_of_its_entries_on_every_page"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut listing = next.list(query).await?;
            if let Some(Listing { records, total: Some(total) }) = &mut listing {
                *total = records.len() as u64;
            }
            Ok(listing)
        }
    }

    /// Every collection is counted.
    CountsEverything {} ["no_other_collection_is_counted"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut listing = next.list(query).await?;
            if let Some(listing) = &mut listing {
                listing.total.get_or_insert(listing.records.len() as u64);
            }
            Ok(listing)
        }
    }

    /// Every sixth entry of the log is missing.
    MissedLogEntry {} [
        "every_commit_stands_in_the_log_once_with_all_that_it_says",
        "a_follower_beside_many_writers_misses_no_commit_and_sees_none_twice",
    ] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            let mut entries = next.log(query).await?;
            entries.retain(|entry| entry.position.as_u64() % 6 != 0);
            Ok(entries)
        }
    }

    /// A position is visible before the ones below it: one entry in five comes late.
    PositionsBeforeVisibility { hidden: Mutex<BTreeSet<LogPosition>>, commits: AtomicU64 } [
        "a_follower_beside_many_writers_misses_no_commit_and_sees_none_twice",
    ] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            if self.commits.fetch_add(1, Ordering::SeqCst) % 5 != 4 {
                return next.commit(set).await;
            }
            // Nobody reads the log while it is decided which position is hidden.
            let receipt = {
                let mut hidden = locked(&self.hidden);
                let answer = futures_lite::future::block_on(next.commit(set))?;
                let Committed::Applied(receipt) = answer else { return Ok(answer) };
                hidden.insert(receipt.position);
                receipt
            };
            std::thread::sleep(Duration::from_millis(3));
            locked(&self.hidden).remove(&receipt.position);
            Ok(Committed::Applied(receipt))
        }

        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            let hidden = locked(&self.hidden);
            let mut entries = futures_lite::future::block_on(next.log(query))?;
            entries.retain(|entry| !hidden.contains(&entry.position));
            Ok(entries)
        }
    }

    /// A follower is given the entry that it saw last once more.
    LogRepeats {} [
        "the_log_is_read_behind_a_position_and_up_to_a_limit",
        "a_follower_beside_many_writers_misses_no_commit_and_sees_none_twice",
    ] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            let after = LogPosition::from_u64(query.after.as_u64().saturating_sub(1));
            next.log(&LogQuery { after, ..query.clone() }).await
        }
    }

    /// The newest entries come first.
    LogReversed {} ["positions_rise_and_times_never_step_back"] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            let mut entries = next.log(query).await?;
            entries.reverse();
            Ok(entries)
        }
    }

    /// Entries have the time of their set, whatever stands in front of them.
    LogTimeSteps { times: Mutex<BTreeMap<LogPosition, Timestamp>> } ["positions_rise_and_times_never_step_back"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let at = set.at;
            let answer = next.commit(set).await?;
            let Committed::Applied(receipt) = answer else { return Ok(answer) };
            locked(&self.times).insert(receipt.position, at);
            Ok(Committed::Applied(Receipt { at, ..receipt }))
        }

        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            let mut entries = next.log(query).await?;
            for entry in &mut entries {
                entry.at = locked(&self.times).get(&entry.position).copied().unwrap_or(entry.at);
            }
            Ok(entries)
        }

        async fn head(&self, next: &dyn Store) -> Result<Head, Error> {
            let head = next.head().await?;
            Ok(Head { at: locked(&self.times).get(&head.position).copied().unwrap_or(head.at), ..head })
        }
    }

    /// The log of a tenant or of an object is everybody's.
    LogUnscoped {} ["the_log_is_read_by_tenant_and_by_object"] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            next.log(&LogQuery { scope: LogScope::All, ..query.clone() }).await
        }
    }

    /// The log of the configuration has what is operational, too.
    ConfigurationUnfiltered {} ["each_class_has_a_head_of_its_own"] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            let scope = if query.scope == LogScope::Configuration { LogScope::All } else { query.scope.clone() };
            next.log(&LogQuery { scope, ..query.clone() }).await
        }
    }

    /// As many entries come as are asked for.
    LogUnlimited {} ["no_more_than_a_thousand_entries_come_at_once"] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            let mut entries = next.log(query).await?;
            if query.limit > MAX_LOG_LIMIT && entries.len() == MAX_LOG_LIMIT as usize {
                let after = entries.last().map_or(query.after, |entry| entry.position);
                let limit = query.limit - MAX_LOG_LIMIT;
                entries.extend(next.log(&LogQuery { after, limit, ..query.clone() }).await?);
            }
            Ok(entries)
        }
    }

    /// A revocation is logged as any update.
    RevocationIsUpdate {} ["a_revocation_is_logged_as_one"] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            let mut entries = next.log(query).await?;
            for change in entries.iter_mut().flat_map(|entry| &mut entry.changes) {
                if change.verb == Verb::Revoked {
                    change.verb = Verb::Updated;
                }
            }
            Ok(entries)
        }
    }

    /// The log of a tenant ends with the tenant.
    LogDiesWithTenant {} ["the_entries_of_removed_tenants_stay"] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            if let LogScope::Merchant(tenant) = query.scope
                && next.get(&Key::Merchant(MerchantPath::Pinned(tenant))).await?.is_none()
            {
                return Ok(Vec::new());
            }
            next.log(query).await
        }
    }

    /// Refused sets are logged, too.
    RefusalsLogged {} ["an_id_that_lives_is_not_created_again"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await;
            if answer.is_err()
                && let Some(tenant) = &set.owner.organization
            {
                let key = Key::Organization(perfectpay::store::OrganizationPath::Pinned(tenant.incarnation));
                if let Some(record) = next.get(&key).await? {
                    let version = record.meta().version + 1;
                    next.commit(part(&set, &[Change::Update(with_version(&record, version))])).await?;
                }
            }
            answer
        }
    }

    /// Every commit moves the head of the configuration.
    OneHeadForBothClasses {} ["each_class_has_a_head_of_its_own"] {
        async fn head(&self, next: &dyn Store) -> Result<Head, Error> {
            let head = next.head().await?;
            Ok(Head { configuration: head.position, ..head })
        }
    }

    /// Who is behind what was pruned is given what is left.
    PrunesInSilence {} ["a_follower_behind_what_was_pruned_is_told_and_one_ahead_is_not"] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            let mut query = query.clone();
            loop {
                match next.log(&query).await {
                    Err(Error::LogPruned { through }) => query.after = through,
                    answer => return answer,
                }
            }
        }
    }

    /// Only who follows the whole log is told that it was pruned.
    TenantsNotTold {} ["a_follower_behind_what_was_pruned_is_told_and_one_ahead_is_not"] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            match next.log(query).await {
                Err(Error::LogPruned { through }) if query.scope != LogScope::All => {
                    next.log(&LogQuery { after: through, ..query.clone() }).await
                }
                answer => answer,
            }
        }
    }

    /// Who begins at the start is given what is left as if it were all.
    BeginnersNotTold {} ["a_follower_behind_what_was_pruned_is_told_and_one_ahead_is_not"] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            match next.log(query).await {
                Err(Error::LogPruned { through }) if query.after == LogPosition::START => {
                    next.log(&LogQuery { after: through, ..query.clone() }).await
                }
                answer => answer,
            }
        }
    }

    /// Who has seen everything that was pruned is told that it missed something.
    ToldWithoutCause {} ["a_follower_behind_what_was_pruned_is_told_and_one_ahead_is_not"] {
        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            match next.head().await?.pruned {
                Some(pruned) if query.after == pruned.through => Err(Error::LogPruned { through: pruned.through }),
                _ => next.log(query).await,
            }
        }
    }

    /// The entry at the bound goes, too.
    PrunesOneMore {} [
        "pruning_removes_exactly_the_oldest_entries",
        "pruning_by_age_removes_what_is_older_and_nothing_of_the_moment",
    ] {
        async fn prune(&self, next: &dyn Store, prune: &Prune) -> Result<Pruned, Error> {
            let mut prune = prune.clone();
            if let Prune::Log { bound, .. } = &mut prune {
                *bound = match *bound {
                    LogBound::Before(position) => LogBound::Before(LogPosition::from_u64(position.as_u64().saturating_add(1))),
                    LogBound::OlderThan(moment) => LogBound::OlderThan(later(moment, 1)),
                };
            }
            next.prune(&prune).await
        }
    }

    /// The newest entry goes with the others.
    PrunesNewest { gone: Mutex<LogPosition> } ["the_newest_entry_is_never_pruned"] {
        async fn prune(&self, next: &dyn Store, prune: &Prune) -> Result<Pruned, Error> {
            let head = next.head().await?;
            let done = next.prune(prune).await?;
            if let Prune::Log { bound: LogBound::Before(position), .. } = prune
                && *position > head.position
                && !done.more
            {
                *locked(&self.gone) = head.position;
            }
            Ok(done)
        }

        async fn log(&self, next: &dyn Store, query: &LogQuery) -> Result<Vec<LogEntry>, Error> {
            let entries = next.log(query).await?;
            let gone = *locked(&self.gone);
            Ok(entries.into_iter().filter(|entry| entry.position > gone).collect())
        }
    }

    /// One step removes all there is to remove.
    PruneUnbounded {} [
        "a_log_is_pruned_in_bounded_steps",
        "no_more_than_a_thousand_rows_go_at_once",
        "claims_are_purged_in_bounded_steps_the_first_to_expire_first",
        "stages_are_pruned_in_bounded_steps_the_untouched_ones",
    ] {
        async fn prune(&self, next: &dyn Store, prune: &Prune) -> Result<Pruned, Error> {
            let mut prune = prune.clone();
            let (Prune::Log { limit, .. }
            | Prune::Claims { limit, .. }
            | Prune::Stage { limit, .. }
            | Prune::Stages { limit, .. }) = &mut prune;
            *limit = u32::MAX;
            let mut removed = 0;
            loop {
                let done = next.prune(&prune).await?;
                removed += done.removed;
                if !done.more {
                    return Ok(Pruned { removed, more: false });
                }
            }
        }
    }

    /// A step never says that there is more.
    PruneSaysDone {} [
        "a_log_is_pruned_in_bounded_steps",
        "claims_are_purged_in_bounded_steps_the_first_to_expire_first",
    ] {
        async fn prune(&self, next: &dyn Store, prune: &Prune) -> Result<Pruned, Error> {
            Ok(Pruned { more: false, ..next.prune(prune).await? })
        }
    }

    /// Nobody knows who pruned the log.
    PrunedByNobody {} ["the_head_says_how_far_when_and_by_whom_the_log_was_pruned"] {
        async fn head(&self, next: &dyn Store) -> Result<Head, Error> {
            let mut head = next.head().await?;
            if let Some(pruned) = &mut head.pruned {
                pruned.by = perfectpay::store::Actor::Host;
            }
            Ok(head)
        }
    }

    /// The head of the configuration goes with its entry.
    PrunesHead {} ["each_head_outlives_its_entry"] {
        async fn head(&self, next: &dyn Store) -> Result<Head, Error> {
            let mut head = next.head().await?;
            if head.configuration <= head.beginning() {
                head.configuration = LogPosition::START;
            }
            Ok(head)
        }
    }

    /// A claim goes a millisecond before it expires.
    PurgesEarly {} ["claims_go_at_the_moment_of_their_expiry_and_others_still_replay"] {
        async fn prune(&self, next: &dyn Store, prune: &Prune) -> Result<Pruned, Error> {
            let mut prune = prune.clone();
            if let Prune::Claims { expired_at, .. } = &mut prune {
                *expired_at = later(*expired_at, 1);
            }
            next.prune(&prune).await
        }
    }

    /// A claim stays at the moment of its expiry.
    PurgesLate {} ["claims_go_at_the_moment_of_their_expiry_and_others_still_replay"] {
        async fn prune(&self, next: &dyn Store, prune: &Prune) -> Result<Pruned, Error> {
            let mut prune = prune.clone();
            if let Prune::Claims { expired_at, .. } = &mut prune {
                *expired_at = later(*expired_at, -1);
            }
            next.prune(&prune).await
        }
    }

    /// A claim that took an expired one's place goes when that one would have gone.
    PurgesReplaced { expiries: Mutex<HashMap<(Incarnation, IdempotencyKey), Timestamp>> } [
        "a_claim_that_was_replaced_expires_when_its_successor_does",
    ] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            if let Some(claim) = &mut set.idempotency {
                let first = *locked(&self.expiries).entry((claim.tenant, claim.key.clone())).or_insert(claim.expires_at);
                claim.expires_at = claim.expires_at.min(first);
            }
            next.commit(set).await
        }
    }

    /// Idempotency keys are not kept.
    ForgetsClaims {} [
        "an_equal_request_is_answered_with_the_first_answer",
        "of_racing_equal_requests_exactly_one_is_carried_out",
        "a_claim_reads_back_exactly",
    ] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            set.idempotency = None;
            next.commit(set).await
        }
    }

    /// A claim never expires.
    ClaimsForEver {} ["an_expired_claim_is_as_good_as_none_and_is_replaced"] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            if let Some(claim) = &mut set.idempotency {
                claim.expires_at = Timestamp::MAX;
            }
            next.commit(set).await
        }
    }

    /// One key is one key, whichever tenant used it.
    ClaimsShared { owner: Mutex<HashMap<IdempotencyKey, Incarnation>> } [
        "equal_keys_of_two_tenants_are_two_keys",
    ] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            if let Some(claim) = &set.idempotency {
                let first = *locked(&self.owner).entry(claim.key.clone()).or_insert(claim.tenant);
                let other = next.claim(first, &claim.key).await?;
                if first != claim.tenant && let Some(kept) = other {
                    return if kept.request == claim.request {
                        Ok(Committed::Replayed(kept.answer))
                    } else {
                        Err(Error::IdempotencyMismatch)
                    };
                }
            }
            next.commit(set).await
        }
    }

    /// Another request under a used key is answered with the first one's answer.
    MismatchIsReplayed {} ["another_request_under_a_used_key_is_refused"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let kept = match &set.idempotency {
                Some(claim) => next.claim(claim.tenant, &claim.key).await?,
                None => None,
            };
            match (next.commit(set).await, kept) {
                (Err(Error::IdempotencyMismatch), Some(kept)) => Ok(Committed::Replayed(kept.answer)),
                (answer, _) => answer,
            }
        }
    }

    /// A replay is carried out once more.
    ReplayIsApplied {} ["an_equal_request_is_answered_with_the_first_answer"] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await?;
            if let Committed::Replayed(_) = answer {
                set.idempotency = None;
                let _ = next.commit(set).await;
            }
            Ok(answer)
        }
    }

    /// The claims of a removed tenant stay.
    ClaimsOutlive { kept: Mutex<HashMap<(Incarnation, IdempotencyKey), IdempotencyClaim>> } [
        "a_merchant_account_takes_everything_below_it_along_and_nothing_else",
    ] {
        async fn claim(
            &self,
            next: &dyn Store,
            tenant: Incarnation,
            key: &IdempotencyKey,
        ) -> Result<Option<IdempotencyClaim>, Error> {
            let found = next.claim(tenant, key).await?;
            Ok(found.or_else(|| locked(&self.kept).get(&(tenant, key.clone())).cloned()))
        }

        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await?;
            if let Some(claim) = set.idempotency {
                locked(&self.kept).insert((claim.tenant, claim.key.clone()), claim);
            }
            Ok(answer)
        }
    }

    /// The changes are judged before the idempotency key and the expectations.
    ChangesJudgedFirst {} [
        "an_expectation_is_judged_before_every_change",
        "an_idempotency_key_is_judged_before_everything_else",
    ] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            match trial(next, part(&set, &set.changes)).await {
                Some(error) if !set.changes.is_empty() => return Err(error),
                _ => {}
            }
            next.commit(set).await
        }
    }

    /// Of several changes that fail the last is answered.
    LastErrorWins {} ["of_several_changes_the_first_that_fails_wins"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await;
            let of_changes = trial(next, part(&set, &set.changes)).await;
            if answer.is_ok() || of_changes.is_none() {
                return answer;
            }
            let mut reversed = part(&set, &set.changes);
            reversed.changes.reverse();
            trial(next, reversed).await.map_or(answer, Err)
        }
    }

    /// Two profiles of one merchant account may have one name.
    NamesNotUnique { count: AtomicU64 } [
        "a_profile_name_is_unique_within_its_merchant_account",
        "of_racing_creations_of_one_unique_key_exactly_one_wins",
    ] {
        async fn commit(&self, next: &dyn Store, mut set: ChangeSet) -> Result<Committed, Error> {
            loop {
                match next.commit(set.clone()).await {
                    Err(Error::Duplicate { field: "profile_name", .. }) => {}
                    answer => return answer,
                }
                for change in &mut set.changes {
                    if let Change::Create(Record::Profile(row)) | Change::Update(Record::Profile(row)) = change {
                        let number = self.count.fetch_add(1, Ordering::SeqCst);
                        let name = row.state.profile_name.split('⁂').next().unwrap_or_default();
                        row.state.profile_name = text(format!("{name}⁂{number}"));
                    }
                }
            }
        }

        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            Ok(next.get(key).await?.map(unmarked))
        }

        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            Ok(turned(next.list(query).await?, unmarked))
        }
    }

    /// Names differ only by more than their case.
    NamesIgnoreCase {} ["names_are_compared_character_by_character"] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            let Key::ProfileByName(path, name) = key else { return next.get(key).await };
            let all = Query::Within(path.clone(), perfectpay::store::Collection::Profiles, PageRequest::of(100)?);
            let same = |record: &Record| match record {
                Record::Profile(row) => row.state.profile_name.to_lowercase() == name.to_lowercase(),
                _ => false,
            };
            Ok(next.list(&all).await?.and_then(|listing| listing.records.into_iter().find(same)))
        }
    }

    /// Texts come back in lower case.
    TextsLowered {} ["texts_keep_their_case_and_their_characters"] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            Ok(next.get(key).await?.map(lowered))
        }

        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            Ok(turned(next.list(query).await?, lowered))
        }
    }

    /// Times are kept to the second.
    WholeSeconds {} ["times_keep_their_milliseconds_from_the_first_to_the_last"] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            Ok(next.get(key).await?.as_ref().map(to_the_second))
        }

        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            Ok(turned(next.list(query).await?, |record| to_the_second(&record)))
        }
    }

    /// Every change is a commit of its own.
    InPieces {} ["a_reader_beside_a_writer_sees_whole_sets_only", "a_set_is_applied_whole_and_seen_at_once"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let wrong = trial(next, part(&set, &set.changes)).await.is_some();
            if wrong || set.changes.len() < 2 || set.idempotency.is_some() || !set.expectations.is_empty() {
                return next.commit(set).await;
            }
            let mut answer = None;
            for change in &set.changes {
                answer = Some(next.commit(part(&set, std::slice::from_ref(change))).await?);
                std::thread::yield_now();
            }
            answer.ok_or_else(|| Error::corrupt("a set has changes"))
        }
    }

    /// What is missing is said to be the child, not its parent.
    ChildIsMissing {} ["nothing_is_created_without_its_parent"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let created = set.changes.iter().find_map(|change| match change {
                Change::Create(record) => Some(record.entity().named()),
                _ => None,
            });
            match (next.commit(set).await, created) {
                (Err(Error::NotFound(_)), Some(created)) => Err(Error::NotFound(created)),
                (answer, _) => answer,
            }
        }
    }

    /// The claim of a set that was refused is kept.
    RefusedKeepsClaim { kept: Mutex<HashMap<(Incarnation, IdempotencyKey), IdempotencyClaim>> } [
        "a_refused_set_keeps_no_claim",
    ] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await;
            if let (Err(_), Some(claim)) = (&answer, set.idempotency) {
                locked(&self.kept).insert((claim.tenant, claim.key.clone()), claim);
            }
            answer
        }

        async fn claim(
            &self,
            next: &dyn Store,
            tenant: Incarnation,
            key: &IdempotencyKey,
        ) -> Result<Option<IdempotencyClaim>, Error> {
            let found = next.claim(tenant, key).await?;
            Ok(found.or_else(|| locked(&self.kept).get(&(tenant, key.clone())).cloned()))
        }
    }

    /// The connector accounts of a profile are the merchant account's.
    FilterIgnored {} ["connectors_are_listed_by_profile_within_their_tenant"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let Query::Within(path, perfectpay::store::Collection::Connectors { .. }, page) = query else {
                return next.list(query).await;
            };
            let all = perfectpay::store::Collection::Connectors { profile: None };
            next.list(&Query::Within(path.clone(), all, page.clone())).await
        }
    }

    /// Long texts are cut.
    TextsCut {} ["the_longest_texts_are_kept"] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            Ok(next.get(key).await?.map(|mut record| {
                if let Record::Connector(row) = &mut record {
                    row.state.connector_label = text(row.state.connector_label.chars().take(191).collect::<String>());
                }
                record
            }))
        }
    }

    /// What was updated last is listed as the newest.
    ListedByUpdate {} ["an_update_moves_nothing_in_a_list"] {
        async fn list(&self, next: &dyn Store, query: &Query) -> Result<Option<Listing>, Error> {
            let mut listing = next.list(query).await?;
            if let (Order::Ascending, None, Some(listing)) = (query.collection().order(), query.page().cursor(), &mut listing) {
                listing.records.sort_by_key(|record| record.meta().modified_at);
            }
            Ok(listing)
        }
    }

    /// The last record of a load that has several is not written.
    LoadDropsRecord {} ["an_imported_load_is_there_as_it_was"] {
        async fn import(&self, next: &dyn Store, mut load: Load) -> Result<LogPosition, Error> {
            if load.items.len() > 5 {
                load.items.pop_if(|item| matches!(item, Item::Record(_)));
            }
            next.import(load).await
        }
    }

    /// An imported record begins at version 1.
    LoadForgetsVersions {} ["an_imported_load_is_there_as_it_was"] {
        async fn import(&self, next: &dyn Store, mut load: Load) -> Result<LogPosition, Error> {
            for item in &mut load.items {
                if let Item::Record(packed) = item {
                    *packed = Packed::new(with_version(packed.record(), 1))?;
                }
            }
            next.import(load).await
        }
    }

    /// Entries that are appended again are appended again.
    EntriesAppendedTwice {} ["entries_of_an_organization_are_appended_once"] {
        async fn import(&self, next: &dyn Store, mut load: Load) -> Result<LogPosition, Error> {
            let organization = load.entries().next().and_then(|logged| logged.organization);
            if let (Some(behind), Some(of)) = (&mut load.behind, organization) {
                let query = LogQuery { scope: LogScope::Organization(of), after: LogPosition::START, limit: 1_000 };
                *behind = next.log(&query).await?.last().map_or(LogPosition::START, |entry| entry.position);
            }
            next.import(load).await
        }
    }

    /// A record whose parent does not live is left out, and the load accepted.
    OrphansLeftOut {} ["of_a_load_that_is_refused_nothing_is_written"] {
        async fn import(&self, next: &dyn Store, mut load: Load) -> Result<LogPosition, Error> {
            while let Err(Error::NotFound(_)) = next.import(load.clone()).await {
                load.items.pop();
            }
            next.import(load).await
        }
    }

    /// Of a load that is refused the items before the one that fails stay.
    LoadHalfWritten {} ["of_a_load_that_is_refused_nothing_is_written"] {
        async fn import(&self, next: &dyn Store, load: Load) -> Result<LogPosition, Error> {
            let answer = next.import(load.clone()).await;
            if answer.is_err() {
                for item in load.items {
                    if next.import(Load { items: vec![item], behind: load.behind }).await.is_err() {
                        break;
                    }
                }
            }
            answer
        }
    }

    /// A load that is not new is refused.
    LoadOnlyOnce { seen: Mutex<Vec<Load>> } ["a_load_that_is_written_again_changes_nothing"] {
        async fn import(&self, next: &dyn Store, load: Load) -> Result<LogPosition, Error> {
            let again = locked(&self.seen).contains(&load);
            if again {
                return Err(Error::corrupt("it is there already"));
            }
            locked(&self.seen).push(load.clone());
            next.import(load).await
        }
    }

    /// Imported entries get the next positions of the store.
    EntriesRenumbered {} ["an_imported_load_is_there_as_it_was", "an_entry_keeps_its_place_or_is_refused"] {
        async fn import(&self, next: &dyn Store, mut load: Load) -> Result<LogPosition, Error> {
            let mut position = next.head().await?.position.as_u64();
            for item in &mut load.items {
                if let Item::Entry(logged) = item {
                    position += 1;
                    logged.entry.position = LogPosition::from_u64(position);
                }
            }
            next.import(load).await
        }
    }

    /// A copied log is said to be whole.
    LoadDropsBeginning {} ["a_log_is_imported_with_its_beginning"] {
        async fn import(&self, next: &dyn Store, mut load: Load) -> Result<LogPosition, Error> {
            load.check()?;
            load.items.retain(|item| !matches!(item, Item::Beginning(_)));
            next.import(load).await
        }
    }

    /// An export of a pruned store looks like one of a store whose log begins there.
    ExportWithoutBeginning {} ["an_export_of_a_pruned_store_begins_where_its_log_does"] {
        async fn export(&self, next: &dyn Store, extent: &Extent) -> Result<Box<dyn Export>, Error> {
            let mut inner = next.export(extent).await?;
            let mut loads = VecDeque::new();
            while let Some(mut load) = inner.next().await? {
                load.items.retain(|item| !matches!(item, Item::Beginning(_)));
                loads.push_back(load);
            }
            Ok(Box::new(Prepared(loads)))
        }
    }

    /// An export has no kept answers.
    ExportWithoutClaims {} ["an_export_is_the_whole_store_in_the_order_of_loads"] {
        async fn export(&self, next: &dyn Store, extent: &Extent) -> Result<Box<dyn Export>, Error> {
            let mut inner = next.export(extent).await?;
            let mut loads = VecDeque::new();
            while let Some(mut load) = inner.next().await? {
                load.items.retain(|item| !matches!(item, Item::Claim(_)));
                loads.push_back(load);
            }
            Ok(Box::new(Prepared(loads)))
        }
    }

    /// An export has the data keys of merchant accounts only.
    ExportWithoutOrganizationKeys {} ["an_export_is_the_whole_store_in_the_order_of_loads"] {
        async fn export(&self, next: &dyn Store, extent: &Extent) -> Result<Box<dyn Export>, Error> {
            let of_organization = |item: &Item| match item {
                Item::Record(packed) => match packed.record() {
                    Record::DataKey(row) => row.state.holder == KeyHolder::Organization,
                    _ => false,
                },
                _ => false,
            };
            let mut inner = next.export(extent).await?;
            let mut loads = VecDeque::new();
            while let Some(mut load) = inner.next().await? {
                load.items.retain(|item| !of_organization(item));
                loads.push_back(load);
            }
            Ok(Box::new(Prepared(loads)))
        }
    }

    /// An export of an organization is one of everything.
    ExportOfAll {} ["an_export_of_an_organization_is_its_own_part_of_everything"] {
        async fn export(&self, next: &dyn Store, _: &Extent) -> Result<Box<dyn Export>, Error> {
            next.export(&Extent::Everything).await
        }
    }

    /// What is created while an export goes on is in it.
    ExportOfTwoMoments { late: Arc<Mutex<Vec<Item>>> } ["an_export_is_of_one_moment"] {
        async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
            let answer = next.commit(set.clone()).await?;
            for change in set.changes {
                if let Change::Create(record) = change {
                    locked(&self.late).push(Item::Record(Packed::new(record)?));
                }
            }
            Ok(answer)
        }

        async fn export(&self, next: &dyn Store, extent: &Extent) -> Result<Box<dyn Export>, Error> {
            locked(&self.late).clear();
            Ok(Box::new(Drifting { inner: next.export(extent).await?, late: self.late.clone() }))
        }
    }

    /// A version is a double.
    VersionsAreDoubles {} ["versions_are_exact_up_to_the_largest"] {
        async fn get(&self, next: &dyn Store, key: &Key) -> Result<Option<Record>, Error> {
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "that is what is broken")]
            let turn = |record: Record| with_version(&record, record.meta().version as f64 as u64);
            Ok(next.get(key).await?.map(turn))
        }
    }
}

fn later(moment: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(moment.unix_millis().saturating_add(millis)).unwrap_or(moment)
}

/// Loads that were read before.
#[derive(Debug)]
struct Prepared(VecDeque<Load>);

#[async_trait]
impl Export for Prepared {
    async fn next(&mut self) -> Result<Option<Load>, Error> {
        Ok(self.0.pop_front())
    }
}

/// An export that ends with what came late.
#[derive(Debug)]
struct Drifting {
    inner: Box<dyn Export>,
    late: Arc<Mutex<Vec<Item>>>,
}

#[async_trait]
impl Export for Drifting {
    async fn next(&mut self) -> Result<Option<Load>, Error> {
        if let Some(load) = self.inner.next().await? {
            return Ok(Some(load));
        }
        let items = std::mem::take(&mut *locked(&self.late));
        Ok((!items.is_empty()).then_some(Load { items, behind: None }))
    }
}

fn without_organization(path: &MerchantPath) -> MerchantPath {
    match path {
        MerchantPath::Within(_, id) => MerchantPath::Id(id.clone()),
        other => other.clone(),
    }
}

fn unmarked(mut record: Record) -> Record {
    if let Record::Profile(row) = &mut record {
        row.state.profile_name = text(row.state.profile_name.split('⁂').next().unwrap_or_default());
    }
    record
}

fn lowered(mut record: Record) -> Record {
    if let Record::Profile(row) = &mut record {
        row.state.profile_name = text(row.state.profile_name.to_lowercase());
    }
    record
}

fn to_the_second(record: &Record) -> Record {
    let mut meta = record.meta();
    let second = |at: Timestamp| {
        let millis = at.unix_millis();
        Timestamp::from_unix_millis(millis - millis % 1000).unwrap_or(at)
    };
    (meta.created_at, meta.modified_at) = (second(meta.created_at), second(meta.modified_at));
    let body = record.body().expect("a state is JSON");
    Record::decode(record.kind(), &meta, &body).expect("its own columns are a record's")
}
