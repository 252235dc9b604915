//! Imports and exports of blocklists.

use std::collections::BTreeMap;
use std::io::{Read as Input, Write};
use std::sync::Arc;

use perfectpay_macros::observed;

use super::held::Held;
use super::operation::Operation;
use super::rules::{Read, Rules, Whose};
use crate::blocklist::import::{BATCH, Line, Rows, Waiting, Writing, requested};
use crate::blocklist::{
    BlockRequest, BlockRow, BlockRows, BlockRuleState, BlockScope, ExportError, ImportCause, ImportError, ImportEvent,
    ImportMode, ImportOptions, ImportReport, NewRules, RowOutcome, RowScope, SortedRows,
};
use crate::error::{Error, Fault, Unavailability};
use crate::id::ProfileId;
use crate::profile::ProfileState;
use crate::store::{
    BlockScan, BlockSelect, Change, Key, MAX_STAGED_PRUNE_LIMIT, MerchantPath, Prune, Pruned, StageId, StagedPart,
    StagedRules, Stored, stage_gone,
};

/// How often a batch that met other additions is looked up again before it gives up.
const ATTEMPTS: u32 = 32;
/// How many entries an export reads at once.
const PAGE: u32 = 10_000;
/// How often a stage that met other additions is looked through again before the import gives up.
const ATTEMPTS_TO_MAKE_LIVE: u32 = 8;
/// How often the import of a long list waits for a store that is busy: as long as the store waits, each time.
const PATIENCE: u32 = 24;
/// After how many parts on a stage the next ones are twice as long.
const PARTS: u32 = 64;
/// How many profiles an import remembers.
const PROFILES: usize = 1_000;

/// An import while it runs.
struct Import<'a, F> {
    rules: &'a Rules,
    options: ImportOptions,
    on: F,
    report: ImportReport,
    waiting: Waiting,
    /// What is known of the batches in front of those that wait, of a list that is imported all or none.
    held: Option<Held>,
    /// Profiles that rows named, and whether they live.
    profiles: BTreeMap<ProfileId, bool>,
}

impl Rules {
    #[observed]
    pub(super) async fn import_csv(
        &self,
        input: impl Input + Send,
        options: ImportOptions,
        on: impl FnMut(ImportEvent) + Send,
    ) -> Result<ImportReport, ImportError> {
        let mut import = Import::new(self, options, on);
        let done = import.file(input).await;
        import.answer(done).await
    }

    #[observed]
    pub(super) async fn import(
        &self,
        requests: impl Iterator<Item = BlockRequest> + Send,
        options: ImportOptions,
        on: impl FnMut(ImportEvent) + Send,
    ) -> Result<ImportReport, ImportError> {
        let mut import = Import::new(self, options, on);
        let done = import.requests(requests).await;
        import.answer(done).await
    }

    #[observed]
    pub(super) async fn export_csv(
        &self,
        output: impl Write + Send,
        mut on: impl FnMut(u64) + Send,
    ) -> Result<u64, ExportError> {
        let session = self.session();
        session.begin(Operation::ExportBlockRules).await?;
        let read = self.read().await?;
        let mut writing = Writing::open(output)?;
        let (mut after, mut count) = (None, 0);
        loop {
            let scan = BlockScan { path: read.path(), select: BlockSelect::After(after), limit: PAGE, details: true };
            let page = session.store().block_rules(&scan).await?;
            let rows = page.ok_or_else(|| Error::NotFound(read.of.named()))?.rows;
            for row in rows.iter() {
                let is_mine = match (&self.scope, row.scope) {
                    (BlockScope::Profile(own), RowScope::Profile(of)) => own == of,
                    (BlockScope::Profile(_), _) => false,
                    _ => true,
                };
                if is_mine {
                    writing.write(&row)?;
                    count += 1;
                }
            }
            on(count);
            let last = rows.iter().next_back().map(|row| row.id()).transpose();
            let last = last.map_err(|_| Error::corrupt("the name of an entry of a blocklist"))?;
            if rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                writing.close()?;
                return Ok(count);
            }
            after = last;
        }
    }
}

impl<'a, F: FnMut(ImportEvent) + Send> Import<'a, F> {
    fn new(rules: &'a Rules, options: ImportOptions, on: F) -> Self {
        let (report, waiting, profiles) = (ImportReport::default(), Waiting::default(), BTreeMap::new());
        Self { rules, options, on, report, waiting, held: None, profiles }
    }

    async fn answer(mut self, done: Result<(), ImportCause>) -> Result<ImportReport, ImportError> {
        self.clear().await;
        let report = self.report;
        done.map(|()| report).map_err(|cause| ImportError { cause, report })
    }

    async fn file(&mut self, input: impl Input + Send) -> Result<(), ImportCause> {
        self.begin().await?;
        let mut rows = Rows::open(input)?;
        let scope = &self.rules.scope;
        loop {
            let next = rows.next()?;
            if !matches!(next, Line::End) {
                self.make_room().await?;
            }
            match next {
                Line::End => break,
                Line::Row { line, fields: Ok(fields) } => fields.read(scope, |row| self.waiting.push(line, row)),
                Line::Row { line, fields: Err(fault) } => self.waiting.push(line, Err(fault)),
            }
            self.report.bytes = rows.bytes();
        }
        self.report.bytes = rows.bytes();
        self.end().await
    }

    async fn requests(&mut self, requests: impl Iterator<Item = BlockRequest> + Send) -> Result<(), ImportCause> {
        self.begin().await?;
        let scope = &self.rules.scope;
        for (line, request) in (1..).zip(requests) {
            self.make_room().await?;
            requested(&request, scope, |row| self.waiting.push(line, row));
        }
        self.end().await
    }

    async fn begin(&self) -> Result<(), ImportCause> {
        self.rules.session().begin(Operation::ImportBlockRules).await?;
        let read = self.rules.read().await?;
        if let (Whose::Merchant(_), BlockScope::Profile(profile)) = (&self.rules.whose, &self.rules.scope) {
            let key = Key::Profile(MerchantPath::Pinned(read.of.tenant), profile.clone());
            self.rules.session().require::<ProfileState>(&key, profile).await?;
        }
        Ok(())
    }

    /// Adds what waits, or puts it aside, if there is no room for the row that comes.
    async fn make_room(&mut self) -> Result<(), ImportCause> {
        let waiting = self.waiting.told.len();
        match self.options.mode {
            ImportMode::BestEffort if waiting >= self.options.batch => self.flush().await,
            ImportMode::AllOrNothing if waiting >= self.room() => self.hold().await,
            _ => Ok(()),
        }
    }

    /// How many rows the next batch on the stage has.
    fn room(&self) -> usize {
        let batch = self.options.batch;
        let doublings = self.held.as_ref().map_or(0, |held| held.parts / PARTS).min(BATCH.ilog2() + 1);
        batch.max((batch << doublings).min(BATCH))
    }

    /// Nothing comes any more.
    async fn end(&mut self) -> Result<(), ImportCause> {
        if self.held.is_none() {
            return self.flush().await;
        }
        self.hold().await?;
        self.make_live().await
    }

    /// Puts a batch of a list that is imported all or none where nobody sees it, unless a row was wrong: then nothing is
    /// added, and what came of each row is known.
    async fn hold(&mut self) -> Result<(), ImportCause> {
        let Waiting { rows, told } = std::mem::take(&mut self.waiting);
        let session = self.rules.session();
        let moment = session.begin(Operation::ImportBlockRules).await?;
        let read = self.rules.read().await?;
        let mut fates = vec![Fate::Inserted; rows.len()];
        self.look_up_profiles(&read, &rows, &mut fates).await?;
        let is_wrong = told.iter().any(|(_, fault)| fault.is_some()) || fates.contains(&Fate::UnknownProfile);
        let mut random = [0; 10];
        session.inner.entropy.fill(&mut random);
        let mut held = self.held.take().unwrap_or_else(|| Held::on(StageId::make(moment, &random)));
        if held.is_wrong || is_wrong {
            held.is_wrong = true;
            let before = held.take();
            self.held = Some(held);
            self.tell(before.map(|(line, _)| (line, RowOutcome::Withheld)));
            fates.iter_mut().filter(|fate| **fate == Fate::Inserted).for_each(|fate| *fate = Fate::Withheld);
            self.tell(outcomes(told, fates));
            return Ok(());
        }
        let (sorted, places) = SortedRows::traced(&rows);
        mark_repeated(&mut fates, &places);
        if self.options.dry_run {
            for (row, place) in sorted.rows().iter().zip(&places) {
                if let Some(fate) = fates.get_mut(*place)
                    && self.exists(&read, &row).await?
                {
                    *fate = Fate::Duplicate;
                }
            }
        } else if !places.is_empty() {
            let first = held.len();
            let numbers = places.iter().map(|place| first.saturating_add(u64::try_from(*place).unwrap_or(u64::MAX)));
            // Known before it is asked for: what may be on it is cleared, whatever comes of asking.
            held.is_staged = true;
            held.parts += 1;
            let (stage, of) = (held.stage, read.of.clone());
            let (ordinal, rows, numbers) = (held.parts, Arc::new(sorted), numbers.collect());
            self.held = Some(held);
            let part = StagedPart::new(stage, of, ordinal, rows, numbers, moment).map_err(Error::from)?;
            let mut patience = PATIENCE;
            while let Err(error) = session.store().stage(part.clone()).await {
                patience = less(patience, error)?;
            }
            held = self.held.take().unwrap_or_else(|| Held::on(stage));
        }
        for ((line, _), fate) in told.iter().zip(fates) {
            held.push(*line, fate == Fate::Duplicate);
        }
        self.held = Some(held);
        (self.on)(ImportEvent::Progress(self.report));
        Ok(())
    }

    /// Makes entries of all that is held, by one commit, and tells what came of it.
    async fn make_live(&mut self) -> Result<(), ImportCause> {
        let Some(mut held) = self.held.take() else { return Ok(()) };
        let is_waiting = held.is_staged && !held.is_wrong;
        let live = if is_waiting { self.commit(&mut held).await } else { Ok(()) };
        let rows = held.take();
        self.held = Some(held);
        live?;
        self.tell(rows.map(|(line, is_duplicate)| {
            (line, if is_duplicate { RowOutcome::Duplicate } else { RowOutcome::Inserted })
        }));
        Ok(())
    }

    /// Commits what is on the stage, without what is there already.
    async fn commit(&self, held: &mut Held) -> Result<(), ImportCause> {
        let session = self.rules.session();
        let (mut left, mut patience) = (ATTEMPTS_TO_MAKE_LIVE, PATIENCE);
        loop {
            let moment = session.begin(Operation::ImportBlockRules).await?;
            let read = self.rules.read().await?;
            let taken = session.store().taken(&read.of, held.stage).await?.ok_or_else(|| stage_gone(&read.of))?;
            // What was there once stays out, so that what is told of it stays true.
            held.mark(&taken);
            let count = held.new_ones();
            if count == 0 {
                return Ok(());
            }
            let (author, source) = (session.actor.clone(), self.options.source.clone());
            let rules = StagedRules::new(read.of.clone(), held.stage, held.repeated(), count, author, source, moment);
            let mut set = read.changes(session, moment);
            set.changes.push(Change::AddStagedRules(Box::new(rules.map_err(Error::from)?)));
            match session.commit(set, Operation::ImportBlockRules, &()).await {
                Ok(_) => return Ok(()),
                // Somebody added or removed one of them meanwhile.
                Err(Error::AlreadyExists(_)) if left > 0 => left -= 1,
                Err(error) => patience = less(patience, error)?,
            }
        }
    }

    /// Removes what is on the stage. What cannot be removed now goes by maintenance.
    async fn clear(&mut self) {
        let Some(held) = self.held.take().filter(|held| held.is_staged) else { return };
        let step = Prune::Stage { stage: held.stage, limit: MAX_STAGED_PRUNE_LIMIT };
        let mut patience = PATIENCE;
        loop {
            match self.rules.session().store().prune(&step).await {
                Ok(Pruned { more: true, .. }) => {}
                Ok(Pruned { more: false, .. }) => break,
                Err(error) => match less(patience, error) {
                    Ok(left) => patience = left,
                    Err(_) => break,
                },
            }
        }
    }

    /// Adds what waits, and tells what came of it.
    async fn flush(&mut self) -> Result<(), ImportCause> {
        let Waiting { rows, told } = std::mem::take(&mut self.waiting);
        let session = self.rules.session();
        let moment = session.begin(Operation::ImportBlockRules).await?;
        let read = self.rules.read().await?;
        let mut fates = vec![Fate::Inserted; rows.len()];
        self.look_up_profiles(&read, &rows, &mut fates).await?;
        let is_wrong = told.iter().any(|(_, fault)| fault.is_some()) || fates.contains(&Fate::UnknownProfile);
        if is_wrong && self.options.mode == ImportMode::AllOrNothing {
            for fate in fates.iter_mut().filter(|fate| **fate == Fate::Inserted) {
                *fate = Fate::Withheld;
            }
        } else {
            let (mut sorted, mut places) = SortedRows::traced(&rows);
            mark_repeated(&mut fates, &places);
            leave_out(&mut sorted, &mut places, &fates);
            let mut left = ATTEMPTS;
            while !places.is_empty() {
                let new = Arc::new(sorted);
                if !self.options.dry_run {
                    let author = session.actor.clone();
                    let source = self.options.source.clone();
                    let rules = NewRules::new(read.of.clone(), Arc::clone(&new), author, source, moment);
                    let mut set = read.changes(session, moment);
                    set.changes.push(Change::AddBlockRules(Box::new(rules.map_err(Error::from)?)));
                    match session.commit(set, Operation::ImportBlockRules, &()).await {
                        Ok(_) => break,
                        Err(Error::AlreadyExists(_)) if left > 0 => left -= 1,
                        Err(error) => return Err(error.into()),
                    }
                }
                for (row, place) in new.rows().iter().zip(&places) {
                    if let Some(fate) = fates.get_mut(*place)
                        && self.exists(&read, &row).await?
                    {
                        *fate = Fate::Duplicate;
                    }
                }
                if self.options.dry_run {
                    break;
                }
                sorted = Arc::unwrap_or_clone(new);
                leave_out(&mut sorted, &mut places, &fates);
            }
        }
        self.tell(outcomes(told, fates));
        Ok(())
    }

    async fn exists(&self, read: &Read, row: &BlockRow<'_>) -> Result<bool, Error> {
        let id = row.id()?;
        let found: Option<Stored<BlockRuleState>> = self.rules.session().get(&Key::BlockRule(read.path(), id)).await?;
        Ok(found.is_some())
    }

    /// Marks the rows whose profiles do not live.
    async fn look_up_profiles(&mut self, read: &Read, rows: &BlockRows, fates: &mut [Fate]) -> Result<(), ImportCause> {
        for (row, fate) in rows.iter().zip(fates) {
            let RowScope::Profile(profile) = row.scope else { continue };
            let known = self.profiles.get(profile).copied();
            let lives = if let Some(known) = known {
                known
            } else {
                let key = Key::Profile(MerchantPath::Pinned(read.of.tenant), profile.clone());
                let found: Option<Stored<ProfileState>> = self.rules.session().get(&key).await?;
                if self.profiles.len() < PROFILES {
                    self.profiles.insert(profile.clone(), found.is_some());
                }
                found.is_some()
            };
            if !lives {
                *fate = Fate::UnknownProfile;
            }
        }
        // One that is made or removed between two batches is looked up again.
        self.profiles.clear();
        Ok(())
    }

    fn tell(&mut self, outcomes: impl Iterator<Item = (u64, RowOutcome)>) {
        for (line, outcome) in outcomes {
            self.report.count(&outcome);
            (self.on)(ImportEvent::Row { line, outcome });
        }
        (self.on)(ImportEvent::Progress(self.report));
    }
}

/// What came of rows: their faults where they have one, else their fates, in order.
fn outcomes(told: Vec<(u64, Option<Box<Fault>>)>, fates: Vec<Fate>) -> impl Iterator<Item = (u64, RowOutcome)> {
    let mut fates = fates.into_iter();
    told.into_iter().map(move |(line, fault)| {
        let outcome = match fault {
            Some(fault) => RowOutcome::Invalid(*fault),
            None => fates.next().unwrap_or(Fate::Withheld).told(),
        };
        (line, outcome)
    })
}

/// What comes of a row that is an entry by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Inserted,
    Duplicate,
    UnknownProfile,
    Withheld,
}

impl Fate {
    fn told(self) -> RowOutcome {
        match self {
            Self::Inserted => RowOutcome::Inserted,
            Self::Duplicate => RowOutcome::Duplicate,
            Self::Withheld => RowOutcome::Withheld,
            Self::UnknownProfile => {
                let fault = Fault::new("import.unknown_profile", "is no profile of the account");
                RowOutcome::Invalid(fault.at("profile_id"))
            }
        }
    }
}

/// Lets another process that was in the way have its turn, so often; it wrote nothing then. Every other error is one.
fn less(patience: u32, error: Error) -> Result<u32, Error> {
    match error {
        Error::Unavailable { reason: Unavailability::Busy, .. } => patience.checked_sub(1).ok_or(error),
        error => Err(error),
    }
}

/// Of rows with one name all but the first, which is at one of the places, are duplicates.
fn mark_repeated(fates: &mut [Fate], places: &[usize]) {
    let mut first = vec![false; fates.len()];
    for place in places {
        first.get_mut(*place).into_iter().for_each(|first| *first = true);
    }
    for (fate, _) in fates.iter_mut().zip(first).filter(|(fate, first)| **fate == Fate::Inserted && !first) {
        *fate = Fate::Duplicate;
    }
}

/// Leaves out what is not to be inserted any more.
fn leave_out(sorted: &mut SortedRows, places: &mut Vec<usize>, fates: &[Fate]) {
    let stays = |place: &usize| fates.get(*place) == Some(&Fate::Inserted);
    sorted.retain(|at| places.get(at).is_some_and(stays));
    places.retain(stays);
}
