//! Imports and exports of blocklists.

use std::collections::BTreeMap;
use std::io::{Read as Input, Write};
use std::sync::Arc;

use perfectpay_macros::observed;

use super::operation::Operation;
use super::rules::{Read, Rules, Whose};
use crate::blocklist::import::{Line, Rows, Waiting, Writing, requested};
use crate::blocklist::{
    BlockRequest, BlockRow, BlockRows, BlockRuleState, BlockScope, ExportError, ImportCause, ImportError, ImportEvent,
    ImportMode, ImportOptions, ImportReport, MAX_TOGETHER, NewRules, RowOutcome, RowScope, SortedRows,
};
use crate::error::{Error, Fault};
use crate::id::ProfileId;
use crate::profile::ProfileState;
use crate::store::{BlockScan, BlockSelect, Change, Key, MerchantPath, Stored};

/// How often a batch that met other additions is looked up again before it gives up.
const ATTEMPTS: u32 = 32;
/// How many entries an export reads at once.
const PAGE: u32 = 10_000;
/// How many profiles an import remembers.
const PROFILES: usize = 1_000;

/// An import while it runs.
struct Import<'a, F> {
    rules: &'a Rules,
    options: ImportOptions,
    on: F,
    report: ImportReport,
    waiting: Waiting,
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
        import.answer(done)
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
        import.answer(done)
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
        Self { rules, options, on, report, waiting, profiles }
    }

    fn answer(self, done: Result<(), ImportCause>) -> Result<ImportReport, ImportError> {
        let report = self.report;
        done.map(|()| report).map_err(|cause| ImportError { cause, report })
    }

    async fn file(&mut self, input: impl Input + Send) -> Result<(), ImportCause> {
        self.begin().await?;
        let mut rows = Rows::open(input)?;
        let scope = &self.rules.scope;
        loop {
            match rows.next()? {
                Line::End => break,
                Line::Row { line, fields: Ok(fields) } => fields.read(scope, |row| self.waiting.push(line, row)),
                Line::Row { line, fields: Err(fault) } => self.waiting.push(line, Err(fault)),
            }
            self.report.bytes = rows.bytes();
            self.full().await?;
        }
        self.report.bytes = rows.bytes();
        self.flush().await
    }

    async fn requests(&mut self, requests: impl Iterator<Item = BlockRequest> + Send) -> Result<(), ImportCause> {
        self.begin().await?;
        let scope = &self.rules.scope;
        for (line, request) in (1..).zip(requests) {
            requested(&request, scope, |row| self.waiting.push(line, row));
            self.full().await?;
        }
        self.flush().await
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

    /// Adds what waits, if there is no room for more.
    async fn full(&mut self) -> Result<(), ImportCause> {
        let waiting = self.waiting.told.len();
        match self.options.mode {
            ImportMode::BestEffort if waiting >= self.options.batch => self.flush().await,
            ImportMode::AllOrNothing if waiting > MAX_TOGETHER => {
                let line = self.waiting.told.last().map_or(0, |(line, _)| *line);
                let fault = Fault::new("import.too_many", "must have at most 1,000,000 rows, all or nothing");
                Err(ImportCause::File { line, fault })
            }
            _ => Ok(()),
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
            let mut first = vec![false; fates.len()];
            for place in &places {
                first.get_mut(*place).into_iter().for_each(|first| *first = true);
            }
            for (fate, _) in fates.iter_mut().zip(first).filter(|(fate, first)| **fate == Fate::Inserted && !first) {
                *fate = Fate::Duplicate;
            }
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
        self.tell(told, fates);
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

    fn tell(&mut self, told: Vec<(u64, Option<Box<Fault>>)>, fates: Vec<Fate>) {
        let mut fates = fates.into_iter();
        for (line, fault) in told {
            let outcome = match fault {
                Some(fault) => RowOutcome::Invalid(*fault),
                None => fates.next().unwrap_or(Fate::Withheld).told(),
            };
            self.report.count(&outcome);
            (self.on)(ImportEvent::Row { line, outcome });
        }
        (self.on)(ImportEvent::Progress(self.report));
    }
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

/// Leaves out what is not to be inserted any more.
fn leave_out(sorted: &mut SortedRows, places: &mut Vec<usize>, fates: &[Fate]) {
    let stays = |place: &usize| fates.get(*place) == Some(&Fate::Inserted);
    sorted.retain(|at| places.get(at).is_some_and(stays));
    places.retain(stays);
}
