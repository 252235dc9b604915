//! Lists as files: rows of CSV in and out, each row checked for itself, in bounded memory.
//!
//! The file is UTF-8, with or without a byte-order mark, with line ends of either kind; fields are quoted as RFC 4180
//! says. Its first line names the columns, in any order: `type` and `data` must be there, `action`, `scope`,
//! `profile_id`, `expires_at`, `reason` and `metadata` may be. Empty lines are skipped.

use std::fmt;
use std::io;

use csv_core::{ReadRecordResult, WriteResult};

use super::rows::{BlockRow, BlockRows, RowScope};
use super::rule::{BlockAction, BlockKind, BlockRequest, BlockRuleId, BlockScope};
use crate::error::{Error, Fault};
use crate::id::ProfileId;
use crate::text::{Object, Text};
use crate::time::Timestamp;

/// The most bytes that the fields of one row have together.
pub const MAX_ROW: usize = 64 * 1024;
/// The most rows that an import keeps in memory at once.
pub const MAX_TOGETHER: usize = 1_000_000;

/// How many rows of an import are kept in memory at once where nothing else is said.
pub(crate) const BATCH: usize = 100_000;

/// Whether one bad row keeps the others out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ImportMode {
    /// What is right is added, what is wrong is told.
    #[default]
    BestEffort,
    /// Everything is added in one commit, or, if a row is wrong, nothing. Of a list that is longer than a
    /// [batch](ImportOptions::batch) each batch is first written to a place in the store where nobody sees it; the one
    /// commit then makes entries of all, which takes about as long as writing them. Other commits wait for it, and those of
    /// other processes on the same file are told that it is busy when they have waited long enough. The import itself waits
    /// for other processes.
    AllOrNothing,
}

/// How a list is imported.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    pub(crate) mode: ImportMode,
    pub(crate) dry_run: bool,
    pub(crate) source: Option<Text<255>>,
    pub(crate) batch: usize,
}

impl Default for ImportOptions {
    /// Best effort, in batches of 100,000 rows, without a source.
    fn default() -> Self {
        Self { mode: ImportMode::default(), dry_run: false, source: None, batch: BATCH }
    }
}

impl ImportOptions {
    /// Whether one bad row keeps the others out.
    pub fn mode(mut self, mode: ImportMode) -> Self {
        self.mode = mode;
        self
    }

    /// Only checks and looks up, and writes nothing. A row that repeats another one further away than a batch is then
    /// taken for a new one.
    pub fn dry_run(mut self, dry: bool) -> Self {
        self.dry_run = dry;
        self
    }

    /// What is kept with every entry as the source that it came from: a file's name, for example.
    pub fn source(mut self, source: Text<255>) -> Self {
        self.source = Some(source);
        self
    }

    /// How many rows are kept in memory at once, 1 to [`MAX_TOGETHER`]; others are answered as the nearer end. So many of a
    /// best-effort import are one commit. They are sorted, so that more rows at once are written faster, and take some
    /// 250 bytes each meanwhile; of all rows of a longer list that is imported all or none, two bytes are kept to the end
    /// (and while it is made live, some 30 more of each one that is there already), and its batches get larger on the way, up to 100,000 rows, so that there are not too many to be merged.
    pub fn batch(mut self, rows: usize) -> Self {
        self.batch = rows.clamp(1, MAX_TOGETHER);
        self
    }
}

/// What came of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowOutcome {
    /// It is an entry now; in a dry run, it would be.
    Inserted,
    /// There is an entry of its kind with its value in its scope, or an earlier row said the same. It stays as it is.
    Duplicate,
    /// It is no entry. The fault's path is the column.
    Invalid(Fault),
    /// It could be an entry, and another row keeps it out.
    Withheld,
}

/// What an import tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportEvent {
    /// What came of a row: one event for each, in the order of the rows.
    Row {
        /// The line on which the row begins, from 1; of an iterator the number of the row, from 1.
        line: u64,
        /// What came of it.
        outcome: RowOutcome,
    },
    /// How far it is: after every batch.
    Progress(ImportReport),
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Rows that are entries now, or, in a dry run, would be.
    pub inserted: u64,
    /// Rows that were there already.
    pub duplicates: u64,
    /// Rows that are no entries.
    pub invalid: u64,
    /// Rows that another one kept out.
    pub withheld: u64,
    /// How many bytes of the file were read; 0 of an iterator.
    pub bytes: u64,
}

impl ImportReport {
    /// How many rows were told.
    pub fn rows(&self) -> u64 {
        self.inserted + self.duplicates + self.invalid + self.withheld
    }

    pub(crate) fn count(&mut self, outcome: &RowOutcome) {
        let counter = match outcome {
            RowOutcome::Inserted => &mut self.inserted,
            RowOutcome::Duplicate => &mut self.duplicates,
            RowOutcome::Invalid(_) => &mut self.invalid,
            RowOutcome::Withheld => &mut self.withheld,
        };
        *counter += 1;
    }
}

/// Why an import came to no end.
#[derive(Debug, thiserror::Error)]
pub enum ImportCause {
    /// The file is none that can be read: its header, its encoding, a row beyond every limit.
    #[error("line {line}: {fault}")]
    File {
        /// On which line, from 1.
        line: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// It could not be read to its end.
    #[error("the file cannot be read to its end")]
    Read(#[source] io::Error),
    /// The store, or what the list belongs to.
    #[error(transparent)]
    Store(#[from] Error),
}

/// An import that came to no end: why, and exactly what it did before. Rows that were read and not told yet were not
/// added; in [`ImportMode::AllOrNothing`] nothing was, unless the store does not know
/// ([`Error::OutcomeUnknown`]). Repeating it is safe: what was added is a duplicate then.
#[derive(Debug, thiserror::Error)]
#[error("the import stopped after {} rows: {cause}", report.rows())]
pub struct ImportError {
    /// Why.
    #[source]
    pub cause: ImportCause,
    /// What was done.
    pub report: ImportReport,
}

/// Why an export came to no end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It could not be written.
    #[error("the file cannot be written")]
    Write(#[from] io::Error),
    /// The store, or what the list belongs to.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Rows that wait to be added, each with its line, and with what is known of it already.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) rows: BlockRows,
    /// Of each row in the file's order its line and, where it is no entry, why.
    pub(crate) told: Vec<(u64, Option<Box<Fault>>)>,
}

impl Waiting {
    pub(crate) fn push(&mut self, line: u64, row: Result<BlockRow<'_>, Fault>) {
        let fault = match row {
            Ok(row) => {
                self.rows.push(row);
                None
            }
            Err(fault) => Some(Box::new(fault)),
        };
        self.told.push((line, fault));
    }
}

/// The columns that a file may have.
const COLUMNS: [&str; 8] = ["type", "data", "action", "scope", "profile_id", "expires_at", "reason", "metadata"];
const FIELDS: usize = COLUMNS.len();

/// A row as text, by column; a column that the file does not have, or that is empty, is `None`.
pub(crate) struct Fields<'a>([Option<&'a str>; FIELDS]);

impl<'a> Fields<'a> {
    /// Reads the row as an entry in the scope of a handle, or, in a merchant account, in one of its profiles.
    ///
    /// # Errors
    ///
    /// The first fault, at its column.
    pub(crate) fn read<T>(&self, scope: &BlockScope, then: impl FnOnce(Result<BlockRow<'_>, Fault>) -> T) -> T {
        let mut owned = Owned::default();
        match self.checked(scope, &mut owned) {
            Ok((kind, action, expires_at)) => then(Ok(BlockRow {
                kind,
                value: &owned.value,
                scope: (&owned.scope).into(),
                action,
                expires_at,
                reason: owned.reason.as_deref(),
                metadata: owned.metadata.as_deref(),
            })),
            Err(fault) => then(Err(fault)),
        }
    }

    fn checked(
        &self,
        scope: &BlockScope,
        owned: &mut Owned<'a>,
    ) -> Result<(BlockKind, BlockAction, Option<Timestamp>), Fault> {
        let missing = |column| Fault::new("import.missing", "is required").at(column);
        let word = |column, message| move |_| Fault::new("import.word", message).at(column);
        let Self([kind, data, action, said, profile, expires_at, reason, metadata]) = *self;
        let kind = kind.ok_or_else(|| missing("type"))?;
        let kind: BlockKind = kind
            .parse()
            .map_err(word("type", "must be card_bin, extended_card_bin, fingerprint, card_prefix or card_range"))?;
        owned.value = value(data.ok_or_else(|| missing("data"))?).map_err(|fault| fault.at("data"))?;
        kind.coverage(&owned.value)?;
        let action = action.map_or(Ok(BlockAction::Block), str::parse);
        let action = action.map_err(word("action", "must be block or allow"))?;
        owned.scope = scope_of(said, profile, scope)?;
        if owned.scope == BlockScope::Organization && kind == BlockKind::Fingerprint {
            let fault = Fault::new("blocklist.not_for_organization", "must not be a fingerprint in an organization");
            return Err(fault.at("type"));
        }
        let expires_at = expires_at.map(str::parse).transpose();
        let expires_at = expires_at.map_err(|fault: Fault| fault.at("expires_at"))?;
        let reason = reason.map(str::parse::<Text<255>>).transpose();
        owned.reason = reason.map_err(|fault| fault.at("reason"))?.map(|text| text.as_str().to_owned());
        owned.metadata = metadata.map(object).transpose()?;
        Ok((kind, action, expires_at))
    }
}

/// Where a row's entry holds: where the handle says, or in a profile of its account.
fn scope_of(said: Option<&str>, profile: Option<&str>, handle: &BlockScope) -> Result<BlockScope, Fault> {
    let profile = profile.map(str::parse::<ProfileId>).transpose();
    let profile = profile.map_err(|fault| fault.at("profile_id"))?;
    let said = match (said, profile) {
        (None, None) => return Ok(handle.clone()),
        (None | Some("profile"), Some(profile)) => BlockScope::Profile(profile),
        (Some("profile"), None) => match handle {
            BlockScope::Profile(_) => handle.clone(),
            _ => return Err(Fault::new("import.missing", "is required").at("profile_id")),
        },
        (Some("merchant"), None) => BlockScope::Merchant,
        (Some("organization"), None) => BlockScope::Organization,
        (Some("merchant" | "organization"), Some(_)) => {
            return Err(Fault::new("import.not_for_scope", "must be empty in this scope").at("profile_id"));
        }
        (Some(_), _) => {
            return Err(Fault::new("import.word", "must be organization, merchant or profile").at("scope"));
        }
    };
    match (handle, &said) {
        (BlockScope::Merchant, BlockScope::Profile(_)) => Ok(said),
        (handle, said) if handle == said => Ok(said.clone()),
        _ => Err(Fault::new("blocklist.other_scope", "must hold where the list is").at("scope")),
    }
}

/// What a row's parts are once they are checked.
struct Owned<'a> {
    value: std::borrow::Cow<'a, str>,
    scope: BlockScope,
    reason: Option<String>,
    metadata: Option<String>,
}

impl Default for Owned<'_> {
    fn default() -> Self {
        Self { value: "".into(), scope: BlockScope::Merchant, reason: None, metadata: None }
    }
}

/// A value as entries have it; most are, and are not copied.
fn value(text: &str) -> Result<std::borrow::Cow<'_, str>, Fault> {
    if text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.into());
    }
    text.parse::<Text<64>>().map(|text| text.as_str().to_owned().into())
}

/// An object as it is kept.
fn object(text: &str) -> Result<String, Fault> {
    let object: Result<Object, Error> = crate::json::from_slice(text.as_bytes());
    let text = object.map(|object| serde_json::to_string(&object).unwrap_or_default());
    text.map_err(|error| match error {
        Error::Invalid(fault) => fault.at("metadata"),
        _ => Fault::new("json.malformed", "is not valid JSON").at("metadata"),
    })
}

/// A request as a row of an import, for `then`.
pub(crate) fn requested<T>(
    request: &BlockRequest,
    scope: &BlockScope,
    then: impl FnOnce(Result<BlockRow<'_>, Fault>) -> T,
) -> T {
    if request.source.is_some() {
        let fault = Fault::new("import.source", "is the import's, and must not be given for one entry");
        return then(Err(fault.at("source")));
    }
    if let Err(fault) = BlockRuleId::new(request.kind, request.data.clone(), scope.clone()) {
        return then(Err(fault));
    }
    let metadata = request.metadata.as_ref().and_then(|object| serde_json::to_string(object).ok());
    then(Ok(BlockRow {
        kind: request.kind,
        value: &request.data,
        scope: scope.into(),
        action: request.action.unwrap_or_default(),
        expires_at: request.expires_at,
        reason: request.reason.as_deref(),
        metadata: metadata.as_deref(),
    }))
}

/// What comes next in a file.
pub(crate) enum Line<'a> {
    /// A row.
    Row {
        /// Where it begins.
        line: u64,
        /// Its fields, or what is wrong with it as a whole.
        fields: Result<Fields<'a>, Fault>,
    },
    /// Nothing.
    End,
}

/// Reads a file row by row, in memory that does not grow with it.
pub(crate) struct Rows<R> {
    input: R,
    csv: csv_core::Reader,
    chunk: Box<[u8]>,
    /// What of the chunk is not read yet.
    from: usize,
    to: usize,
    bytes: u64,
    ended: Ended,
    fields: Box<[u8]>,
    ends: [usize; FIELDS + 1],
    /// Which column each field of a row is.
    header: [usize; FIELDS],
    /// How many fields a row has.
    width: usize,
}

/// How much of the file's end was seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    No,
    /// No byte is left. A line end was put behind the last one.
    Closed,
    /// The last row ends within quotes.
    Unclosed,
}

impl<R: io::Read> Rows<R> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// [`ImportCause::File`] with code `import.header` or `import.encoding`; [`ImportCause::Read`].
    pub(crate) fn open(input: R) -> Result<Self, ImportCause> {
        let mut rows = Self {
            input,
            csv: csv_core::Reader::new(),
            chunk: vec![0; 64 * 1024].into(),
            from: 0,
            to: 0,
            bytes: 0,
            ended: Ended::No,
            fields: vec![0; MAX_ROW].into(),
            ends: [0; FIELDS + 1],
            header: [0; FIELDS],
            width: 0,
        };
        rows.skip_mark()?;
        let file = |fault| ImportCause::File { line: 1, fault };
        let header = |message| file(Fault::new("import.header", message));
        let mut names = Vec::new();
        match rows.record()? {
            Some((_, fields)) => {
                for field in fields? {
                    let name = field.ok_or_else(|| file(encoding()))?;
                    let known = COLUMNS.iter().position(|column| *column == name);
                    let known = known.ok_or_else(|| {
                        header(
                            "must name the columns type, data, action, scope, profile_id, expires_at, reason, metadata",
                        )
                    })?;
                    if names.contains(&known) {
                        return Err(header("must name each column once"));
                    }
                    names.push(known);
                }
            }
            None => return Err(header("must be there")),
        }
        if !names.contains(&0) || !names.contains(&1) {
            return Err(header("must name the columns type and data"));
        }
        rows.width = names.len();
        for (place, name) in rows.header.iter_mut().zip(names) {
            *place = name;
        }
        Ok(rows)
    }

    /// How many bytes were read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next row.
    ///
    /// # Errors
    ///
    /// [`ImportCause::File`] with code `import.row_too_long`; [`ImportCause::Read`].
    pub(crate) fn next(&mut self) -> Result<Line<'_>, ImportCause> {
        let (columns, width) = (self.header, self.width);
        let Some((line, fields)) = self.record()? else { return Ok(Line::End) };
        let fields = fields.and_then(|fields| {
            let mut row = [None; FIELDS];
            let mut count = 0;
            for (at, field) in fields.enumerate() {
                count += 1;
                let Some(column) = columns.get(at).filter(|_| at < width) else { continue };
                let name = COLUMNS.get(*column).copied().unwrap_or_default();
                let text = field.ok_or_else(|| row_fault(encoding().at(name)))?;
                if let Some(place) = row.get_mut(*column) {
                    *place = Some(text).filter(|text| !text.is_empty());
                }
            }
            if count != width {
                let fault = Fault::new("import.columns", "must have as many fields as the header");
                return Err(row_fault(fault));
            }
            Ok(Fields(row))
        });
        match fields {
            Ok(fields) => Ok(Line::Row { line, fields: Ok(fields) }),
            Err(ImportCause::File { fault, .. }) => Ok(Line::Row { line, fields: Err(fault) }),
            Err(other) => Err(other),
        }
    }

    /// Looks at the first bytes: a mark of UTF-8 is skipped, one of UTF-16 is refused.
    fn skip_mark(&mut self) -> Result<(), ImportCause> {
        while self.to < 3 && self.ended == Ended::No {
            self.fill()?;
        }
        let front = self.chunk.get(..self.to).unwrap_or_default();
        if front.starts_with(&[0xff, 0xfe]) || front.starts_with(&[0xfe, 0xff]) {
            return Err(ImportCause::File { line: 1, fault: encoding() });
        }
        if front.starts_with(&[0xef, 0xbb, 0xbf]) {
            self.from = 3;
        }
        Ok(())
    }

    /// Reads more behind what is there.
    fn fill(&mut self) -> Result<(), ImportCause> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
        let room = self.chunk.get_mut(self.to..).unwrap_or_default();
        let read = loop {
            match self.input.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(ImportCause::Read)?,
            }
        };
        if read == 0 {
            // What is not a whole row now never is.
            if let Some(end) = room.first_mut() {
                *end = b'\n';
                self.to += 1;
            }
            self.ended = Ended::Closed;
        }
        self.to += read;
        self.bytes += u64::try_from(read).unwrap_or(0);
        Ok(())
    }

    /// The next record: its first line, and its fields, `None` for one that is no UTF-8.
    #[allow(clippy::type_complexity, reason = "a name for it would say no more")]
    fn record(
        &mut self,
    ) -> Result<Option<(u64, Result<impl Iterator<Item = Option<&str>> + use<'_, R>, ImportCause>)>, ImportCause> {
        let (mut written, mut ended) = (0, 0);
        let mut line = self.csv.line();
        let mut too_many = false;
        loop {
            if self.from == self.to && self.ended == Ended::No {
                self.fill()?;
            }
            let input = self.chunk.get(self.from..self.to).unwrap_or_default();
            // Empty lines in front of a row are no part of it.
            if written == 0 && ended == 0 {
                let blank = input.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
                let lines = input.iter().take(blank).filter(|b| **b == b'\n').count();
                line = self.csv.line() + u64::try_from(lines).unwrap_or(0);
            }
            let output = self.fields.get_mut(written..).unwrap_or_default();
            let ends = self.ends.get_mut(ended..).unwrap_or_default();
            let is_over = input.is_empty() && self.ended != Ended::No;
            let (result, read, wrote, closed) = self.csv.read_record(input, output, ends);
            self.from += read;
            written += wrote;
            ended += closed;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    let fault = Fault::new("import.row_too_long", "must have at most 64 KiB in a row");
                    return Err(ImportCause::File { line, fault });
                }
                ReadRecordResult::OutputEndsFull => {
                    // More fields than there are columns: they are read over, and the row told.
                    too_many = true;
                    (written, ended) = (0, 1);
                }
                ReadRecordResult::Record => {
                    if is_over {
                        self.ended = Ended::Unclosed;
                        let fault = Fault::new("import.unclosed_quote", "ends within quotes");
                        return Ok(Some((line, Err(row_fault(fault)))));
                    }
                    let count = if too_many { FIELDS + 1 } else { ended };
                    let (fields, ends) = (&self.fields, &self.ends);
                    let mut from = 0;
                    let fields = (0..count).map(move |at| {
                        let to = ends.get(at).copied().unwrap_or(from);
                        let field = fields.get(from..to).unwrap_or_default();
                        from = to;
                        if too_many { Some("") } else { std::str::from_utf8(field).ok() }
                    });
                    return Ok(Some((line, Ok(fields))));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }
}

/// A fault of one row, which does not end the import.
fn row_fault(fault: Fault) -> ImportCause {
    ImportCause::File { line: 0, fault }
}

fn encoding() -> Fault {
    Fault::new("import.encoding", "must be UTF-8")
}

/// Writes entries as a file that [`Rows`] reads.
pub(crate) struct Writing<W> {
    output: W,
    csv: csv_core::Writer,
    line: Vec<u8>,
}

impl<W: io::Write> Writing<W> {
    /// Writes the header.
    pub(crate) fn open(output: W) -> io::Result<Self> {
        let mut writing = Self { output, csv: csv_core::Writer::new(), line: Vec::new() };
        writing.row(COLUMNS)?;
        Ok(writing)
    }

    /// Writes an entry.
    pub(crate) fn write(&mut self, row: &BlockRow<'_>) -> io::Result<()> {
        let (scope, profile) = match row.scope {
            RowScope::Organization => ("organization", ""),
            RowScope::Merchant => ("merchant", ""),
            RowScope::Profile(profile) => ("profile", profile.as_str()),
        };
        let end = row.expires_at.map(|end| end.to_string()).unwrap_or_default();
        let (kind, action) = (row.kind.into(), row.action.into());
        let (reason, metadata) = (row.reason.unwrap_or_default(), row.metadata.unwrap_or_default());
        self.row([kind, row.value, action, scope, profile, &end, reason, metadata])
    }

    fn row(&mut self, fields: [&str; FIELDS]) -> io::Result<()> {
        let mut room = [0; 256];
        self.line.clear();
        for (at, field) in fields.into_iter().enumerate() {
            if at > 0 {
                let (_, wrote) = self.csv.delimiter(&mut room);
                self.line.extend_from_slice(room.get(..wrote).unwrap_or_default());
            }
            let mut rest = field.as_bytes();
            loop {
                let (result, read, wrote) = self.csv.field(rest, &mut room);
                rest = rest.get(read..).unwrap_or_default();
                self.line.extend_from_slice(room.get(..wrote).unwrap_or_default());
                if result == WriteResult::InputEmpty {
                    break;
                }
            }
        }
        let (_, wrote) = self.csv.terminator(&mut room);
        self.line.extend_from_slice(room.get(..wrote).unwrap_or_default());
        self.output.write_all(&self.line)
    }

    pub(crate) fn close(mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl<R> fmt::Debug for Rows<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
