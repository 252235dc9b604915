//! The entries of one scope of a blocklist: what the handles of organizations, merchant accounts and profiles have alike.

use std::io::{Read as Input, Write};

use perfectpay_macros::observed;

use super::blocklist::BlocklistScope;
use super::command::{Create, CreateOptions, Remove, RemoveOptions};
use super::merchant::{self, MerchantScope};
use super::operation::Operation;
use super::organization::{self, OrganizationScope};
use super::session::{Claimed, Session, at_expected, canonical, settle};
use crate::blocklist::{
    BlockEntries, BlockEntry, BlockKind, BlockRequest, BlockRule, BlockRuleId, BlockRuleState, BlockScope,
    ExpiredRules, ExportError, ImportError, ImportEvent, ImportOptions, ImportReport, SortedRows,
};
use crate::error::{EntityKind, Error};
use crate::merchant::MerchantState;
use crate::page::{Page, PageRequest};
use crate::store::{
    BlockScan, BlockSelect, BlocklistPath, Change, ChangeSet, Collection, CommitClass, EntityRef, Key, MAX_SCAN_LIMIT,
    MerchantPath, OrganizationPath, Owner, Query, Stored,
};
use crate::time::Timestamp;

/// Whose list.
#[derive(Debug, Clone)]
pub(super) enum Whose {
    Organization(OrganizationScope),
    Merchant(MerchantScope),
}

/// The entries of one scope.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) whose: Whose,
    /// The scope of what is added and removed.
    pub(super) scope: BlockScope,
}

/// Whose list it is, as it was read.
pub(super) struct Read {
    pub(super) of: EntityRef,
    pub(super) owner: Owner,
}

impl Read {
    /// The list of exactly this owner.
    pub(super) fn path(&self) -> BlocklistPath {
        match self.of.kind {
            EntityKind::Organization => OrganizationPath::Pinned(self.of.tenant).into(),
            _ => MerchantPath::Pinned(self.of.tenant).into(),
        }
    }

    /// A set of the owner's that changes the list.
    pub(super) fn changes(&self, session: &Session, moment: Timestamp) -> ChangeSet {
        session.changes(self.owner.clone(), moment, CommitClass::Configuration)
    }
}

impl Rules {
    pub(super) fn session(&self) -> &Session {
        match &self.whose {
            Whose::Organization(scope) => &scope.session,
            Whose::Merchant(scope) => &scope.session,
        }
    }

    pub(super) fn path(&self) -> BlocklistPath {
        match &self.whose {
            Whose::Organization(scope) => scope.path.clone().into(),
            Whose::Merchant(scope) => scope.path.clone().into(),
        }
    }

    fn absent(&self) -> Error {
        match &self.whose {
            Whose::Organization(scope) => Error::not_found(EntityKind::Organization, &scope.name),
            Whose::Merchant(scope) => scope.absent(),
        }
    }

    pub(super) async fn read(&self) -> Result<Read, Error> {
        Ok(match &self.whose {
            Whose::Organization(scope) => {
                let row = scope.load().await?;
                Read { of: row.entity(), owner: organization::owner(&row) }
            }
            Whose::Merchant(scope) => {
                let key = Key::Merchant(scope.path.clone());
                let row: Stored<MerchantState> = scope.session.require(&key, &scope.name).await?;
                Read { of: row.entity(), owner: merchant::owner(&row) }
            }
        })
    }

    /// The claim of an addition: the path says in which scope it is made.
    fn claimed(&self, read: &Read, options: CreateOptions) -> Claimed {
        let ids = [&read.owner.organization, &read.owner.merchant].map(|t| t.as_ref().map(|t| t.id.clone()));
        let mut path = ids.into_iter().flatten().collect::<Vec<_>>().join("/");
        if let BlockScope::Profile(profile) = &self.scope {
            path = format!("{path}/{profile}");
        }
        Claimed { operation: Operation::AddBlockRule, tenant: read.of.tenant, path, key: options.idempotency_key }
    }

    pub(super) fn add(&self, new: BlockRequest) -> Create<BlockEntry> {
        let rules = self.clone();
        Create::new(async move |options: CreateOptions| {
            let session = rules.session();
            let moment = session.begin(Operation::AddBlockRule).await?;
            let read = rules.read().await?;
            let claim = rules.claimed(&read, options);
            let request = canonical(&new)?;
            if let Some(first) = session.replay(&claim, &request).await? {
                return Ok(first);
            }
            let id = new.id_in(rules.scope.clone())?;
            let row = Stored::new(read.of.tenant, id, moment, new.into_state(session.actor.clone()));
            let mut set = read.changes(session, moment);
            set.create(row.clone());
            session.commit_claimed(set, &claim, &request, BlockEntry::from(row)).await
        })
    }

    pub(super) fn remove(&self, request: BlockRequest) -> Remove<BlockEntry> {
        let rules = self.clone();
        Remove::new(async move |options: RemoveOptions| {
            let session = rules.session();
            let moment = session.begin(Operation::RemoveBlockRule).await?;
            let id = request.id_in(rules.scope.clone())?;
            settle!(session, options.expected_version, {
                let row: Stored<BlockRuleState> =
                    session.require(&Key::BlockRule(rules.path(), id.clone()), &id).await?;
                at_expected(&row, options.expected_version)?;
                // The id may have another owner by now: then the entry is gone.
                let read = rules.read().await.ok().filter(|read| read.of.tenant == row.tenant);
                let read = read.ok_or_else(|| Error::NotFound(row.entity().named()))?;
                let mut set = read.changes(session, moment);
                set.remove(row.entity(), row.version, false);
                session.commit(set, Operation::RemoveBlockRule, &options).await?;
                Ok(row.into())
            })
        })
    }

    #[observed]
    pub(super) async fn rule(&self, kind: BlockKind, value: &str) -> Result<BlockRule, Error> {
        let session = self.session();
        session.begin(Operation::RetrieveBlockRule).await?;
        let value = value.parse().map_err(|fault: crate::error::Fault| fault.at("data"))?;
        let id = BlockRuleId::new(kind, value, self.scope.clone())?;
        let row: Stored<BlockRuleState> = session.require(&Key::BlockRule(self.path(), id.clone()), &id).await?;
        Ok(row.into())
    }

    /// A page of the list: of a profile's handle the profile's entries.
    #[observed]
    async fn list(
        &self,
        kind: Option<BlockKind>,
        page: PageRequest,
    ) -> Result<(Page<Stored<BlockRuleState>>, Option<u64>), Error> {
        let session = self.session();
        session.begin(Operation::ListBlockRules).await?;
        let query = match (&self.whose, &self.scope) {
            (Whose::Organization(scope), _) => Query::OrganizationBlockRules(scope.path.clone(), kind, page),
            (Whose::Merchant(scope), BlockScope::Profile(profile)) => {
                let profile: crate::id::ProfileId = profile.clone();
                let key = Key::Profile(scope.path.clone(), profile.clone());
                session.require::<crate::profile::ProfileState>(&key, &profile).await?;
                Query::Within(scope.path.clone(), Collection::ProfileBlockRules { profile }, page)
            }
            (Whose::Merchant(scope), _) => Query::Within(scope.path.clone(), Collection::BlockRules { kind }, page),
        };
        session.list_counted::<BlockRuleState>(&query).await?.ok_or_else(|| self.absent())
    }

    pub(super) async fn entries(&self, kind: Option<BlockKind>, page: PageRequest) -> Result<BlockEntries, Error> {
        let (rows, total) = self.list(kind, page).await?;
        let data: Vec<BlockEntry> = rows.items.into_iter().map(BlockEntry::from).collect();
        let count = u64::try_from(data.len()).unwrap_or(u64::MAX);
        Ok(BlockEntries { count, total_count: total.unwrap_or(count), data, next: rows.next })
    }

    pub(super) async fn rules(&self, kind: Option<BlockKind>, page: PageRequest) -> Result<Page<BlockRule>, Error> {
        Ok(self.list(kind, page).await?.0.map(BlockRule::from))
    }

    #[observed]
    pub(super) async fn purge_expired(&self, limit: u32) -> Result<u64, Error> {
        let session = self.session();
        let moment = session.begin(Operation::PurgeBlockRules).await?;
        let limit = limit.min(MAX_SCAN_LIMIT);
        settle!(session, None, {
            let read = self.read().await?;
            let scan = BlockScan { path: read.path(), select: BlockSelect::Expired(moment), limit, details: false };
            let page = session.store().block_rules(&scan).await?.ok_or_else(|| self.absent())?;
            let count = u64::try_from(page.rows.len()).unwrap_or(u64::MAX);
            if count > 0 {
                let rows = SortedRows::of(&page.rows);
                let mut set = read.changes(session, moment);
                let old = ExpiredRules { of: read.of.clone(), expired_by: moment, rows };
                set.changes.push(Change::PurgeBlockRules(Box::new(old)));
                session.commit(set, Operation::PurgeBlockRules, &limit).await?;
            }
            Ok(count)
        })
    }
}

/// The list that holds in all merchant accounts of an organization: BINs, prefixes and ranges. Only the host has it.
#[derive(Debug, Clone)]
pub struct OrganizationBlocklistScope {
    pub(super) rules: Rules,
}

/// What the handles of a blocklist share.
macro_rules! shared {
    ($scope:ident) => {
        impl $scope {
            /// Adds an entry. It takes effect for the next card that is screened, where the guard is on.
            ///
            /// # Errors
            ///
            /// [`Error::NotFound`] for what the list belongs to, [`Error::Invalid`], [`Error::AlreadyExists`] if the value
            /// is listed as this kind in this scope.
            pub fn add(&self, new: BlockRequest) -> Create<BlockEntry> {
                self.rules.add(new)
            }

            /// Removes the entry of this kind with this value and answers what it was.
            ///
            /// # Errors
            ///
            /// [`Error::NotFound`] for the entry, [`Error::Invalid`], [`Error::Stale`].
            pub fn remove(&self, request: BlockRequest) -> Remove<BlockEntry> {
                self.rules.remove(request)
            }

            /// The entry of this kind with this value in this scope, with everything that is kept of it.
            ///
            /// # Errors
            ///
            /// [`Error::NotFound`], [`Error::Invalid`].
            pub async fn rule(&self, kind: BlockKind, value: &str) -> Result<BlockRule, Error> {
                self.rules.rule(kind, value).await
            }

            /// Lists the entries of one kind, or of all, newest first. A merchant account's list has the entries of its
            /// profiles, too; a profile's has its own only, of all kinds, and counts the page.
            ///
            /// # Errors
            ///
            /// [`Error::NotFound`] for what the list belongs to.
            pub async fn entries(&self, kind: Option<BlockKind>, page: PageRequest) -> Result<BlockEntries, Error> {
                self.rules.entries(kind, page).await
            }

            /// As [`entries`](Self::entries), with everything that is kept of each.
            ///
            /// # Errors
            ///
            /// [`Error::NotFound`] for what the list belongs to.
            pub async fn rules(&self, kind: Option<BlockKind>, page: PageRequest) -> Result<Page<BlockRule>, Error> {
                self.rules.rules(kind, page).await
            }

            /// Removes entries that have expired, those first that did first, at most `limit` and 100,000 of them, in one
            /// commit that the log counts in one line; of a merchant account those of its profiles, too. Answers how many
            /// went: fewer than the limit means that none is left. Not possible in a batch.
            ///
            /// # Errors
            ///
            /// [`Error::NotFound`] for what the list belongs to.
            pub async fn purge_expired(&self, limit: u32) -> Result<u64, Error> {
                self.rules.purge_expired(limit).await
            }

            /// Imports a list from CSV: UTF-8, with the columns `type` and `data`, and, as the file likes, `action`,
            /// `scope`, `profile_id`, `expires_at`, `reason` and `metadata`. An empty field is an absent one. A row holds
            /// where the handle is; in a merchant account it may name a profile.
            ///
            /// The file is read as it comes, with blocking reads, and its rows are added in sorted batches, each one commit
            /// that the log counts in one line. `on` hears what came of every row, and how far it is. Memory is bounded,
            /// whatever the file is; a row may have 64 KiB. Repeating an import is safe. Not possible in a batch.
            ///
            /// # Errors
            ///
            /// [`ImportError`], with exactly what was done before: [`ImportCause::File`] with code `import.header`,
            /// `import.encoding`, `import.row_too_long` or `import.too_many`; [`ImportCause::Read`];
            /// [`ImportCause::Store`]. A wrong row is no error, but an outcome: its codes are those of the fields, and
            /// `import.missing`, `import.word`, `import.columns`, `import.unclosed_quote`, `import.encoding`,
            /// `import.unknown_profile`, `import.not_for_scope` and `blocklist.other_scope`.
            ///
            /// [`ImportCause::File`]: crate::ImportCause::File
            /// [`ImportCause::Read`]: crate::ImportCause::Read
            /// [`ImportCause::Store`]: crate::ImportCause::Store
            pub async fn import_csv(
                &self,
                input: impl Input + Send,
                options: ImportOptions,
                on: impl FnMut(ImportEvent) + Send,
            ) -> Result<ImportReport, ImportError> {
                self.rules.import_csv(input, options, on).await
            }

            /// Imports a list from memory or from wherever an iterator has it, in the scope of the handle. See
            /// [`import_csv`](Self::import_csv). The requests have no source of their own: it is the import's.
            ///
            /// # Errors
            ///
            /// [`ImportError`], as [`import_csv`](Self::import_csv).
            pub async fn import(
                &self,
                requests: impl IntoIterator<Item = BlockRequest, IntoIter: Send> + Send,
                options: ImportOptions,
                on: impl FnMut(ImportEvent) + Send,
            ) -> Result<ImportReport, ImportError> {
                self.rules.import(requests.into_iter(), options, on).await
            }

            /// Writes the list as CSV that [`import_csv`](Self::import_csv) reads, with all columns, in the order of the
            /// entries' names as bytes, and answers how many entries it has. A merchant account's list has the entries of
            /// its profiles; a profile's has its own only. `on` hears how many entries were written so far.
            ///
            /// Entries that are added or removed while it runs may be in it or not; every other one is in it once. Not
            /// possible in a batch.
            ///
            /// # Errors
            ///
            /// [`ExportError`]; what was written before is then not the whole list.
            pub async fn export_csv(
                &self,
                output: impl Write + Send,
                on: impl FnMut(u64) + Send,
            ) -> Result<u64, ExportError> {
                self.rules.export_csv(output, on).await
            }
        }
    };
}

shared!(OrganizationBlocklistScope);
shared!(BlocklistScope);

impl OrganizationScope {
    /// The list that holds in all of the organization's merchant accounts.
    pub fn blocklist(&self) -> OrganizationBlocklistScope {
        let rules = Rules { whose: Whose::Organization(self.clone()), scope: BlockScope::Organization };
        OrganizationBlocklistScope { rules }
    }
}
