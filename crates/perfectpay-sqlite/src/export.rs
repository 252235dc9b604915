//! The content of a database at one moment, read by a thread of its own while whoever takes it writes it elsewhere.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use async_trait::async_trait;
use perfectpay::store::{BELOW_MERCHANT, Export, Extent, Item, Load, LogBeginning, OrganizationPath, Packed, Packer};
use perfectpay::{EntityKind, Error, Incarnation, Unavailability};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Transaction, TransactionBehavior, params};

use crate::error::Failure;
use crate::open::{self, Location};
use crate::read::{self, claim_of, logged_columns};
use crate::rows::{Table, decode};
use crate::writer::Writer;

/// How many loads are read before they are asked for.
const AHEAD: usize = 2;

type Answer = Result<Option<Load>, Error>;

/// The end of an export that asks.
#[derive(Debug)]
pub(crate) struct Exported {
    /// Where a load is asked for. The thread ends when this goes.
    asked: Sender<oneshot::Sender<Answer>>,
    /// What was asked for, oldest first.
    coming: VecDeque<oneshot::AsyncReceiver<Answer>>,
}

impl Exported {
    fn ask(&mut self) {
        let (reply, answer) = oneshot::async_channel();
        // If the thread has ended, the answer says so.
        let _asked = self.asked.send(reply);
        self.coming.push_back(answer);
    }

    async fn answer(&mut self) -> Answer {
        let Some(answer) = self.coming.front_mut() else { return Ok(None) };
        let answer = answer.await;
        self.coming.pop_front();
        // After the last load, and after an error, the thread answers nobody any more.
        answer.unwrap_or(Ok(None))
    }
}

#[async_trait]
impl Export for Exported {
    async fn next(&mut self) -> Result<Option<Load>, Error> {
        while self.coming.len() < AHEAD {
            self.ask();
        }
        self.answer().await
    }
}

/// Begins an export on a connection of its own or, of a database that has only one, on that: commits wait then.
pub(crate) async fn begin(
    location: Option<Location>,
    writer: &Writer,
    extent: &Extent,
) -> Result<Box<dyn Export>, Error> {
    let (asked, wanted) = channel();
    let extent = extent.clone();
    match location {
        Some(location) => {
            let conn = open::reader(&location.path, location.busy_timeout)?;
            // Every statement is run once for each account, and without this planned anew each time.
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(Failure::from)?;
            let thread = thread::Builder::new().name("perfectpay-export".into());
            let run = move || run(&conn, &extent, &wanted);
            thread.spawn(run).map_err(|e| Error::unavailable(Unavailability::Failed, e))?;
        }
        None => writer.task(Box::new(move |conn| run(conn, &extent, &wanted)))?,
    }
    let mut exported = Exported { asked, coming: VecDeque::new() };
    // The first answer is empty: the moment has come.
    exported.ask();
    exported.answer().await?;
    Ok(Box::new(exported))
}

/// Answers load by load, until there is no more or nobody asks.
fn run(conn: &Connection, extent: &Extent, wanted: &Receiver<oneshot::Sender<Answer>>) {
    let answer = |answer: Answer| {
        let heard = wanted.recv().is_ok_and(|reply| reply.send(answer).is_ok());
        if heard { Ok(()) } else { Err(Stop::NobodyAsks) }
    };
    let last = match walk(conn, extent, &answer) {
        Ok(()) => Ok(None),
        Err(Stop::NobodyAsks) => return,
        Err(Stop::Failed(failure)) => Err(failure.into()),
    };
    // Whoever asked may have gone.
    let _heard = answer(last);
}

enum Stop {
    NobodyAsks,
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What is read, on its way out.
struct Walk<'a> {
    conn: &'a Connection,
    packer: Packer,
    answer: &'a dyn Fn(Answer) -> Result<(), Stop>,
}

fn walk(conn: &Connection, extent: &Extent, answer: &dyn Fn(Answer) -> Result<(), Stop>) -> Result<(), Stop> {
    let moment = Transaction::new_unchecked(conn, TransactionBehavior::Deferred)?;
    // The moment is that of the first read.
    read::head(&moment)?;
    answer(Ok(None))?;
    let mut walk = Walk { conn: &moment, packer: Packer::default(), answer };
    match extent {
        Extent::Everything => walk.everything()?,
        Extent::Organization(OrganizationPath::Pinned(incarnation)) => walk.organization(*incarnation)?,
        Extent::Organization(OrganizationPath::Id(id)) => {
            let found =
                moment
                    .query_row("SELECT incarnation FROM pp_organization WHERE id = ?", [id.as_str()], |row| row.get(0));
            if let Some(incarnation) = found.optional()? {
                walk.organization(Incarnation::from_bytes(incarnation))?;
            }
        }
    }
    if let Some(load) = walk.packer.finish() {
        answer(Ok(Some(load)))?;
    }
    Ok(())
}

impl Walk<'_> {
    fn give(&mut self, item: Item) -> Result<(), Stop> {
        match self.packer.push(item) {
            Some(load) => (self.answer)(Ok(Some(load))),
            None => Ok(()),
        }
    }

    fn everything(&mut self) -> Result<(), Stop> {
        if let Some(beginning) = LogBeginning::of(&read::head(self.conn)?) {
            self.give(Item::Beginning(beginning))?;
        }
        self.log(concat!(logged_columns!(), "ORDER BY position"), [])?;
        self.claims(
            "SELECT request, answer, expires_at, tenant, key FROM pp_idempotency
             WHERE tenant NOT IN (SELECT incarnation FROM pp_organization)
             AND tenant NOT IN (SELECT incarnation FROM pp_merchant) ORDER BY tenant, key",
            [],
        )?;
        let conn = self.conn;
        let mut organizations = conn.prepare("SELECT incarnation FROM pp_organization ORDER BY incarnation")?;
        let mut rows = organizations.query([])?;
        while let Some(row) = rows.next()? {
            self.itself(Incarnation::from_bytes(row.get(0)?))?;
        }
        let mut merchants = conn.prepare("SELECT incarnation FROM pp_merchant ORDER BY incarnation")?;
        let mut rows = merchants.query([])?;
        while let Some(row) = rows.next()? {
            self.merchant(Incarnation::from_bytes(row.get(0)?))?;
        }
        Ok(())
    }

    fn organization(&mut self, organization: Incarnation) -> Result<(), Stop> {
        let of = organization.as_bytes();
        self.log(concat!(logged_columns!(), "WHERE organization = ? ORDER BY position"), [of])?;
        let lives = self.conn.prepare_cached(Table::of(EntityKind::Organization, "").exact)?.exists(params![of, ""])?;
        if !lives {
            return Ok(());
        }
        self.itself(organization)?;
        let mut statement = self.conn.prepare("SELECT incarnation FROM pp_merchant WHERE organization = ?")?;
        let found = statement.query_map([of], |row| row.get(0).map(Incarnation::from_bytes))?;
        // Sorted here: sixteen bytes each, where SQLite would sort whole rows.
        let mut merchants = found.collect::<Result<Vec<_>, _>>()?;
        merchants.sort_unstable();
        merchants.into_iter().try_for_each(|merchant| self.merchant(merchant))
    }

    fn merchant(&mut self, merchant: Incarnation) -> Result<(), Stop> {
        self.records(EntityKind::Merchant, Table::of(EntityKind::Merchant, ""), merchant)?;
        for kind in BELOW_MERCHANT {
            if kind == EntityKind::ApiKey {
                self.claims_of(merchant)?;
            }
            self.records(kind, Table::of(kind, ""), merchant)?;
        }
        Ok(())
    }

    /// An organization without its merchant accounts: itself, its data keys, what is kept of its commands, and its
    /// blocklist.
    fn itself(&mut self, organization: Incarnation) -> Result<(), Stop> {
        self.records(EntityKind::Organization, Table::of(EntityKind::Organization, ""), organization)?;
        self.records(EntityKind::DataKey, Table::of(EntityKind::DataKey, ""), organization)?;
        self.claims_of(organization)?;
        self.records(EntityKind::BlockRule, Table::of_rules(true), organization)
    }

    fn records(&mut self, kind: EntityKind, table: &Table, tenant: Incarnation) -> Result<(), Stop> {
        let mut statement = self.conn.prepare_cached(table.of_tenant)?;
        let mut rows = statement.query([tenant.as_bytes()])?;
        while let Some(row) = rows.next()? {
            self.give(Item::Record(Packed::new(decode(kind, row)?)?))?;
        }
        Ok(())
    }

    fn claims_of(&mut self, tenant: Incarnation) -> Result<(), Stop> {
        self.claims(
            "SELECT request, answer, expires_at, tenant, key FROM pp_idempotency WHERE tenant = ? ORDER BY key",
            params![tenant.as_bytes()],
        )
    }

    fn claims(&mut self, sql: &'static str, bound: impl Params) -> Result<(), Stop> {
        let claim = |row: &Row<'_>| -> Result<Item, Failure> {
            let key = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
            let key = key.parse().map_err(|_| Error::corrupt("an idempotency key"))?;
            Ok(Item::Claim(claim_of(row, Incarnation::from_bytes(row.get(3)?), key)?))
        };
        self.all(sql, bound, claim)
    }

    fn log(&mut self, sql: &'static str, bound: impl Params) -> Result<(), Stop> {
        self.all(sql, bound, |row| read::whole_entry(row).map(Item::Entry))
    }

    fn all(
        &mut self,
        sql: &'static str,
        bound: impl Params,
        item: impl Fn(&Row<'_>) -> Result<Item, Failure>,
    ) -> Result<(), Stop> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(bound)?;
        while let Some(row) = rows.next()? {
            self.give(item(row)?)?;
        }
        Ok(())
    }
}
