//! What must hold of a file after the kill.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use futures_lite::future::block_on;
use perfectpay::{Cursor, Error, Page, PageRequest, PerfectPay};
use perfectpay_sqlite::SqliteStore;
use rusqlite::Connection;
use serde_json::Value;

use crate::host::{Dice, by, create, opened};
use crate::report::{End, Report, Sink, Step, Told, named};

/// What was seen over all kills.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    pub(crate) begun: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// Killed before the answer, and found wholly there.
    pub(crate) whole: u64,
    /// Killed before the answer, and not there.
    pub(crate) absent: u64,
    pub(crate) repeated: u64,
    /// What was done to which kind of object.
    pub(crate) done: BTreeSet<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills: {} commands begun, {} acknowledged, {} refused; {} caught in between, of which {} wholly there \
             and {} wholly absent; {} repeated under their idempotency keys",
            self.kills,
            self.begun,
            self.acknowledged,
            self.refused,
            self.whole + self.absent,
            self.whole,
            self.absent,
            self.repeated
        )
    }
}

/// Why a command of the killed host may be refused: another one came before it.
const REFUSALS: [&str; 9] = [
    "not_found",
    "already_exists",
    "duplicate",
    "stale",
    "moved",
    "has_children",
    "profile.is_default",
    "api_key.revoked",
    "profile.no_default",
];

/// The objects that live, by name, with their versions.
type Living = BTreeMap<String, u64>;

struct Entry {
    position: u64,
    steps: Vec<Step>,
}

struct Found {
    living: Living,
    /// By who made them.
    entries: BTreeMap<String, Vec<Entry>>,
}

/// Opens the file again, and answers everything that is not as it must be.
pub(crate) fn check(path: &Path, report: &mut Report, tally: &mut Tally, dice: &mut Dice, walk: bool) -> Vec<String> {
    let store = match SqliteStore::open(path) {
        Ok(store) => Arc::new(store),
        Err(error) => return vec![format!("the file does not open: {error:?}")],
    };
    let mut problems = Vec::new();
    let found = stored(path, report, &mut problems);
    for (actor, told) in &mut report.commands {
        let entries = found.entries.get(actor).map_or(&[][..], Vec::as_slice);
        if !told.settled {
            count(told, entries, tally);
        }
        command(actor, told, entries, &mut problems);
    }
    for actor in found.entries.keys() {
        if !report.commands.contains_key(actor) {
            problems.push(format!("in the log, and never begun: {actor}"));
        }
    }
    if problems.is_empty() {
        let (pay, recorder) = opened(store, Sink::Kept(std::sync::Mutex::default()));
        repeat(&pay, report, &found, tally, dice, &mut problems);
        if let Sink::Kept(lines) = &recorder.sink {
            let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
            report.take_down(&lines);
        }
        let found = stored(path, report, &mut problems);
        if walk || dice.below(4) == 0 {
            block_on(handles(&pay, path, &found.living, &mut problems));
        }
    }
    for told in report.commands.values_mut() {
        told.settled = true;
    }
    problems
}

fn count(told: &Told, entries: &[Entry], tally: &mut Tally) {
    tally.begun += 1;
    let kind = |step: &Step| step.name.split('/').next().map(str::to_owned).unwrap_or_default();
    tally.done.extend(entries.iter().flat_map(|e| &e.steps).map(|step| format!("{} {}", kind(step), step.verb)));
    match &told.answer {
        Some(Ok(_)) => tally.acknowledged += 1,
        Some(Err(_)) => tally.refused += 1,
        None if entries.is_empty() => tally.absent += 1,
        None => tally.whole += 1,
    }
}

/// Whether one command is wholly there, or wholly absent if it was not acknowledged.
fn command(actor: &str, told: &Told, entries: &[Entry], problems: &mut Vec<String>) {
    let mut say = |what: String| problems.push(format!("{what}: {actor} {told:?}"));
    if !told.makes.is_empty() && !entries.is_empty() {
        let steps = entries.iter().flat_map(|entry| &entry.steps).filter(|step| step.verb == "created");
        let mut made: Vec<&str> = steps.filter_map(|step| step.name.split('/').next()).collect();
        made.sort_unstable();
        if made != told.makes {
            say(format!("half done, made only {made:?}"));
        }
    }
    let mut applied = false;
    for set in &told.sets {
        let there = entries.iter().filter(|entry| entry.steps == set.steps).count();
        match &set.end {
            End::Applied(position) => {
                applied = true;
                if !entries.iter().any(|entry| entry.position == *position && entry.steps == set.steps) {
                    say("acknowledged and lost".into());
                }
            }
            End::NotApplied(code) if code == "replayed" => {}
            End::NotApplied(code) => {
                let same = told.sets.iter().filter(|other| other.steps == set.steps && other.number != set.number);
                if there > same.count() {
                    say("refused and written".into());
                }
                if !REFUSALS.contains(&&**code) {
                    say("refused for a reason that nobody gave".into());
                }
            }
            End::Untold => {}
        }
    }
    for entry in entries {
        if !told.sets.iter().any(|set| set.steps == entry.steps) {
            say(format!("in the log otherwise than it was sent, {:?}", entry.steps));
        }
    }
    match &told.answer {
        Some(Ok(_)) if !told.makes.is_empty() && !applied && !actor.ends_with('+') => {
            say("acknowledged without a commit".into());
        }
        Some(Err(error)) => {
            if !REFUSALS.iter().any(|code| error.starts_with(code)) {
                say("refused for a reason that nobody gave".into());
            }
            if !entries.is_empty() {
                say("refused and written".into());
            }
        }
        _ => {}
    }
    // Only the planted fault sends two, and what it leaves is to be found by its halves.
    if entries.len() > 1 && told.command.is_some() {
        say("one command in several commits".into());
    }
}

const LIVING: &str = "
    SELECT 'organization', lower(hex(incarnation)), '', version FROM pp_organization
    UNION ALL SELECT 'merchant', lower(hex(incarnation)), '', version FROM pp_merchant
    UNION ALL SELECT 'data_key', lower(hex(tenant)), id, version FROM pp_data_key
    UNION ALL SELECT 'profile', lower(hex(merchant)), id, version FROM pp_profile
    UNION ALL SELECT 'connector', lower(hex(merchant)), id, version FROM pp_connector
    UNION ALL SELECT 'api_key', lower(hex(merchant)), id, version FROM pp_api_key
    UNION ALL SELECT 'block_rule', lower(hex(merchant)), id, version FROM pp_block_rule
    UNION ALL SELECT 'payment', lower(hex(merchant)), id, version FROM pp_payment
    UNION ALL SELECT 'payment_link', lower(hex(merchant)), id, version FROM pp_payment_link
    UNION ALL SELECT 'payment_decision', lower(hex(merchant)), id, version FROM pp_payment_decision
    UNION ALL SELECT 'event', lower(hex(merchant)), id, version FROM pp_event";

/// What must be empty, and what it would mean if it were not.
const NOTHING: [(&str, &str); 10] = [
    ("an organization without its data key", "SELECT id FROM pp_organization WHERE NOT EXISTS (SELECT 1 FROM pp_data_key
        WHERE organization = incarnation AND id = pp_organization.body ->> '$.data_key')"),
    ("an account without its data key", "SELECT id FROM pp_merchant WHERE NOT EXISTS (SELECT 1 FROM pp_data_key
        WHERE merchant = incarnation AND id = pp_merchant.body ->> '$.data_key')"),
    ("an account whose profiles have no default one", "SELECT hex(merchant) FROM pp_profile GROUP BY merchant
        HAVING sum(is_default) <> 1"),
    ("a payment without its link", "SELECT id FROM pp_payment AS p WHERE body ->> '$.payment_link.payment_link_id' IS NOT NULL
        AND body ->> '$.payment_link.payment_link_id' NOT IN (SELECT id FROM pp_payment_link AS l WHERE l.merchant = p.merchant AND l.payment = p.id)"),
    ("a link that its payment does not know", "SELECT id FROM pp_payment_link AS l WHERE NOT EXISTS (SELECT 1
        FROM pp_payment AS p WHERE p.merchant = l.merchant AND p.id = l.payment
        AND p.body ->> '$.payment_link.payment_link_id' = l.id)"),
    ("a count that does not agree with its list", "SELECT hex(c.merchant) FROM pp_block_count AS c WHERE count <>
        (SELECT count(*) FROM pp_block_rule AS r WHERE r.merchant = c.merchant AND r.kind = c.kind)"),
    ("a list without its count", "SELECT DISTINCT hex(r.merchant) FROM pp_block_rule AS r WHERE NOT EXISTS
        (SELECT 1 FROM pp_block_count AS c WHERE c.merchant = r.merchant AND c.kind = r.kind)"),
    ("an idempotency key of a tenant that is gone", "SELECT key FROM pp_idempotency WHERE tenant <> zeroblob(16)
        AND tenant NOT IN (SELECT incarnation FROM pp_organization UNION ALL SELECT incarnation FROM pp_merchant)"),
    ("a log whose time goes back", "SELECT position FROM (SELECT position, at, lag(at) OVER (ORDER BY position) AS before
        FROM pp_log) WHERE at < before"),
    ("an entry of the log's index without its entry", "SELECT position FROM pp_log_entity WHERE position NOT IN
        (SELECT position FROM pp_log)"),
];

/// Reads the file with plain SQL: what lives, what the log says, and whether they agree.
fn stored(path: &Path, report: &Report, problems: &mut Vec<String>) -> Found {
    let conn = Connection::open(path).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement
            .query_map([], |row| row.get_ref(0).map(|value| format!("{:?}", rusqlite::types::Value::try_from(value))))
            .unwrap();
        rows.map(Result::unwrap).collect()
    };
    let sound = texts("PRAGMA integrity_check");
    if sound != [r#"Ok(Text("ok"))"#] {
        problems.push(format!("the file is damaged: {sound:?}"));
    }
    if !texts("PRAGMA foreign_key_check").is_empty() {
        problems.push("a row without what it refers to".into());
    }
    for (what, sql) in NOTHING {
        let rows = texts(sql);
        if !rows.is_empty() {
            problems.push(format!("{what}: {rows:?}"));
        }
    }
    let mut living = Living::new();
    let mut statement = conn.prepare(LIVING).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let text = |column| row.get::<_, String>(column).unwrap();
        living.insert(named(&text(0), &text(1), &text(2)), number(row, 3));
    }
    let (entries, replayed) = replay(&conn, report, problems);
    if living != replayed {
        let only = |a: &Living, b: &Living| -> Vec<String> {
            a.iter().filter(|(name, version)| b.get(*name) != Some(version)).map(|x| format!("{x:?}")).collect()
        };
        problems.push(format!(
            "log and entities disagree: stored only {:?}, in the log only {:?}",
            only(&living, &replayed),
            only(&replayed, &living)
        ));
    }
    Found { living, entries }
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> u64 {
    u64::try_from(row.get::<_, i64>(column).unwrap()).unwrap()
}

/// Carries out what the log says, on nothing.
fn replay(conn: &Connection, report: &Report, problems: &mut Vec<String>) -> (BTreeMap<String, Vec<Entry>>, Living) {
    let mut indexed = BTreeSet::new();
    let mut statement = conn.prepare("SELECT position, kind, lower(hex(tenant)), id FROM pp_log_entity").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let text = |column| row.get::<_, String>(column).unwrap();
        indexed.insert((number(row, 0), named(&text(1), &text(2), &text(3))));
    }
    let mut entries: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    let mut living = Living::new();
    let sql = "SELECT position, actor, lower(hex(organization)), lower(hex(merchant)), changes FROM pp_log ORDER BY 1";
    let mut statement = conn.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let position = number(row, 0);
        let actor: String = row.get(1).unwrap();
        let actor = actor.strip_prefix("operator:").unwrap_or(&actor).to_owned();
        let organization: String = row.get(2).unwrap();
        let merchant: String = row.get(3).unwrap();
        let changes: Value = serde_json::from_str(&row.get::<_, String>(4).unwrap()).unwrap();
        let mut steps = Vec::new();
        for change in changes.as_array().unwrap() {
            let text = |field: &str| change[field].as_str().unwrap().to_owned();
            let kind = text("kind");
            let of_organization = kind == "organization" || merchant.is_empty();
            let tenant = if of_organization { &organization } else { &merchant };
            let step = Step {
                name: named(&kind, tenant, &text("id")),
                verb: text("verb"),
                version: change["version"].as_u64().unwrap(),
            };
            if !indexed.contains(&(position, step.name.clone())) {
                problems.push(format!("an entry that the log's index does not know: {position} {step:?}"));
            }
            if !carry_out(&step, &mut living, report) {
                problems.push(format!("an entry that does not follow from those before it: {position} {step:?}"));
            }
            steps.push(step);
        }
        entries.entry(actor).or_default().push(Entry { position, steps });
    }
    (entries, living)
}

fn carry_out(step: &Step, living: &mut Living, report: &Report) -> bool {
    match &*step.verb {
        "created" => step.version == 1 && living.insert(step.name.clone(), 1).is_none(),
        "removed" => {
            let there = living.remove(&step.name) == Some(step.version);
            // Everything below goes along: all whose way up leads here.
            let below = |name: &String| {
                let mut at = name;
                while let Some(parent) = report.parents.get(at) {
                    if *parent == step.name {
                        return true;
                    }
                    at = parent;
                }
                false
            };
            living.retain(|name, _| !below(name));
            there
        }
        "revealed" => living.get(&step.name) == Some(&step.version),
        _ => living.insert(step.name.clone(), step.version) == Some(step.version - 1),
    }
}

/// Repeats commands under their idempotency keys: there must be exactly one object of each in the end.
fn repeat(
    pay: &PerfectPay,
    report: &mut Report,
    found: &Found,
    tally: &mut Tally,
    dice: &mut Dice,
    problems: &mut Vec<String>,
) {
    for (actor, told) in &report.commands {
        let Some(command) = told.command.as_ref().filter(|command| command.key.is_some()) else { continue };
        // Of those that were acknowledged some; of those that were not, each.
        if actor.ends_with('+') || told.settled || (told.answer.is_some() && dice.below(6) > 0) {
            continue;
        }
        tally.repeated += 1;
        let again = by(pay, &format!("{actor}+"));
        let head = || block_on(pay.log_head()).unwrap().position;
        let before = head();
        let first = block_on(create(&again, command));
        let between = head();
        let mut say = |what: &str| problems.push(format!("{what}: {actor} {told:?}, repeated: {first:?}"));
        let there = found.entries.get(actor).and_then(|entries| entries.first());
        match (&first, there) {
            // The first step is the object itself, and its id is the last part of its name.
            (Ok(id), Some(entry)) => {
                let name = &entry.steps[0].name;
                if before != between {
                    say("done once more when it was repeated");
                } else if told.answer.as_ref().is_some_and(|answer| answer.as_ref() != Ok(id)) {
                    say("answered otherwise when it was repeated");
                } else if !name.ends_with('/') && !name.ends_with(&format!("/{id}")) {
                    say("answered as another object when it was repeated");
                }
            }
            (Ok(id), None) => {
                if between.as_u64() != before.as_u64() + 1 {
                    say("not done by its repetition");
                }
                let second = block_on(create(&again, command));
                if second.as_ref().ok() != Some(id) || head() != between {
                    say("done twice by two repetitions");
                }
            }
            (Err(error), entry) => {
                if before != between {
                    say("refused and written when it was repeated");
                }
                // The idempotency key goes with the tenant that it belongs to.
                let gone = matches!(error, Error::NotFound(_));
                if !gone && entry.is_some() {
                    say("refused when it was repeated");
                }
                if !REFUSALS.contains(&error.code()) {
                    say("refused for a reason that nobody gave");
                }
                if let (true, Some(entry)) = (gone, entry)
                    && let Some(parent) = report.parents.get(&entry.steps[0].name)
                    && found.living.contains_key(parent)
                {
                    say("not found when it was repeated, with its parent alive");
                }
            }
        }
    }
}

async fn every<T>(next: impl AsyncFn(PageRequest) -> Result<Page<T>, Error>) -> Result<Vec<T>, Error> {
    let mut items = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = next(PageRequest::of(100)?.after(cursor)).await?;
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(items);
        }
    }
}

/// Reads everything through the handles: what lives is found, decodes, and its secrets open.
async fn handles(pay: &PerfectPay, path: &Path, living: &Living, problems: &mut Vec<String>) {
    match seen(pay, path).await {
        Ok(seen) => {
            let expected = living.iter().filter(|(name, _)| !name.starts_with("data_key/"));
            let expected: BTreeSet<String> = expected.map(|(name, version)| format!("{name} {version}")).collect();
            if seen != expected {
                let differing: Vec<_> = seen.symmetric_difference(&expected).collect();
                problems.push(format!("the handles answer something else than is stored: {differing:?}"));
            }
        }
        Err(error) => problems.push(format!("the handles cannot read what is stored: {error:?}")),
    }
}

async fn seen(pay: &PerfectPay, path: &Path) -> Result<BTreeSet<String>, Error> {
    let conn = Connection::open(path).unwrap();
    let tenant = |table: &str, id: &str| -> String {
        let sql = format!("SELECT lower(hex(incarnation)) FROM {table} WHERE id = ?");
        conn.query_row(&sql, [id], |row| row.get(0)).unwrap()
    };
    let mut seen = BTreeSet::new();
    for organization in every(async |page| pay.organizations(page).await).await? {
        let incarnation = tenant("pp_organization", organization.organization_id.as_str());
        seen.insert(format!("organization/{incarnation}/ {}", organization.version));
        let scope = pay.organization(&organization.organization_id);
        for merchant in every(async |page| scope.merchants(page).await).await? {
            let incarnation = tenant("pp_merchant", merchant.merchant_id.as_str());
            seen.insert(format!("merchant/{incarnation}/ {}", merchant.version));
            let scope = scope.merchant(&merchant.merchant_id);
            let mut add = |kind: &str, id: &str, version: u64| {
                seen.insert(format!("{kind}/{incarnation}/{id} {version}"));
            };
            for row in every(async |page| scope.profiles(page).await).await? {
                add("profile", row.profile_id.as_str(), row.version);
            }
            for row in every(async |page| scope.connectors(page).await).await? {
                // The credentials were opened to be masked.
                add("connector", row.merchant_connector_id.as_str(), row.version);
            }
            for row in every(async |page| scope.api_keys(page).await).await? {
                add("api_key", row.key_id.as_str(), row.version);
            }
            for row in every(async |page| scope.payments(page).await).await? {
                add("payment", row.payment_id.as_str(), row.version);
            }
            for row in every(async |page| scope.payment_links(page).await).await? {
                add("payment_link", row.payment_link_id.as_str(), 1);
            }
            let mut cursor = None;
            let mut listed = 0;
            loop {
                let page = PageRequest::of(100)?.after(cursor);
                let entries = scope.blocklist().entries(None, page).await?;
                for row in &entries.data {
                    add("block_rule", &format!("{}:{}", row.data_kind, row.fingerprint_id), row.version);
                }
                listed += entries.data.len() as u64;
                cursor = entries.next;
                if cursor.is_none() {
                    if entries.total_count != listed {
                        return Err(Error::corrupt(format!(
                            "{listed} entries listed, {} counted",
                            entries.total_count
                        )));
                    }
                    break;
                }
            }
        }
    }
    Ok(seen)
}
