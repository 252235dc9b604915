//! The blocklist's index beside its floor and its peers: how long it takes to answer, how that grows with the list, what
//! it weighs, and what an edit costs.
//!
//! `cargo bench -p perfectpay-benches --bench blocklist` prints the tables that `benches/README.md` keeps. Redis and
//! `PostgreSQL` take part where `PERFECTPAY_BENCH_REDIS` (`redis://127.0.0.1/`) and `PERFECTPAY_BENCH_POSTGRES`
//! (`host=127.0.0.1 user=bench`) name a server; the lists are loaded there once and stay. `PERFECTPAY_BENCH_ENTRIES` sets
//! the number of fingerprints, ten million without it, and `PERFECTPAY_BENCH_PLOT` names a file for the growth as a picture.
//! Arguments choose sections: `peers growth many memory edits readers
//! screen`; the last one keeps a file of some 200 bytes an entry in the folder for temporary files.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a bench stops at a surprise")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures to two digits, and counts"
)]
#![allow(clippy::type_complexity, clippy::needless_for_each, reason = "a bench is read from top to bottom")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use futures_lite::future::block_on;
use hashbrown::HashSet;
use hmac::{Hmac, KeyInit as _, Mac as _};
use perfectpay::blocklist::BlockAction;
use perfectpay::blocklist::index::{
    Covers, DigestKeys, DigitSpan, DigitsKind, Facts, Index, IndexEdit, IndexEntry, IndexFingerprint, IndexKey,
    IndexScope, LeadingDigits, Match,
};
use perfectpay::{
    CardNumber, Fingerprint, MasterKey, NewMerchant, NewOrganization, PerfectPay, Settings, SystemEntropy, Timestamp,
};
use perfectpay_sqlite::SqliteStore;
use roaring::RoaringBitmap;
use sha2::Sha256;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
/// Cards asked about in one round.
const CARDS: usize = 200_000;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn mac(&mut self) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.next().to_le_bytes()));
        mac
    }
}

/// The list: fingerprints by number, so that none has to be kept beside the contenders, and digits.
struct List {
    fingerprints: u64,
    eight: Vec<u32>,
    six: Vec<u32>,
}

impl List {
    fn of(fingerprints: u64) -> Self {
        let distinct = |count: u64, digits: u64, seed: u64| {
            let mut numbers = Numbers(seed);
            let mut values = std::collections::BTreeSet::new();
            while (values.len() as u64) < count {
                values.insert((numbers.next() % digits) as u32);
            }
            values.into_iter().collect()
        };
        Self {
            fingerprints,
            eight: distinct(fingerprints / 100, 100_000_000, 8),
            six: distinct(fingerprints / 500, 1_000_000, 6),
        }
    }

    fn mac(number: u64) -> [u8; 32] {
        Numbers(number.wrapping_mul(0xD6E8_FEB8_6659_FD93)).mac()
    }

    fn macs(&self) -> impl Iterator<Item = [u8; 32]> {
        (0..self.fingerprints).map(Self::mac)
    }

    fn len(&self) -> u64 {
        self.fingerprints + (self.eight.len() + self.six.len()) as u64
    }
}

/// A card with its facts in the form in which each contender wants them.
struct Card {
    mac: [u8; 32],
    eight: u32,
    six: u32,
    facts: Facts<'static>,
}

impl Card {
    fn of(mac: [u8; 32], number: u64) -> Self {
        let digits = format!("{:016}", number % 10_000_000_000_000_000);
        let (eight, six) = (digits[..8].parse().unwrap(), digits[..6].parse().unwrap());
        let leading = LeadingDigits::of(&digits);
        Self { mac, eight, six, facts: Facts { leading, fingerprints: &[] } }.of_mac(mac)
    }

    /// The card with another fingerprint, which is kept until the bench ends.
    fn of_mac(self, mac: [u8; 32]) -> Self {
        let fingerprints = Box::leak(Box::new([IndexFingerprint::ours(1, &mac)]));
        Self { mac, facts: Facts { fingerprints, ..self.facts }, ..self }
    }

    fn key(&self) -> u128 {
        u128::from_le_bytes(self.mac[..16].try_into().unwrap())
    }

    /// As the databases keep it.
    fn text(&self) -> String {
        text(&self.mac)
    }
}

fn text(mac: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    mac[..16].iter().fold("fp1_".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Cards of which the list says nothing.
fn misses(list: &List) -> Vec<Card> {
    let mut numbers = Numbers(1);
    std::iter::repeat_with(move || Card::of(numbers.mac(), numbers.next()))
        .filter(|card| list.eight.binary_search(&card.eight).is_err() && list.six.binary_search(&card.six).is_err())
        .take(CARDS)
        .collect()
}

/// Cards whose fingerprint is listed.
fn hits(list: &List) -> Vec<Card> {
    let mut numbers = Numbers(2);
    misses(list).into_iter().map(|card| card.of_mac(List::mac(numbers.next() % list.fingerprints))).collect()
}

fn put(covers: Covers) -> IndexEdit {
    let key = IndexKey { covers, scope: IndexScope::Merchant };
    IndexEdit::Put(IndexEntry { key, action: BlockAction::Block, expires_at: None })
}

fn indexed(list: &List, keys: &Arc<DigestKeys>) -> Index {
    let digits = |kind, text: String| put(Covers::Digits(DigitSpan::prefix(kind, &text).unwrap()));
    let prints = list.macs().map(|mac| put(Covers::Fingerprint(IndexFingerprint::ours(1, &mac))));
    let eight = list.eight.iter().map(|n| digits(DigitsKind::ExtendedCardBin, format!("{n:08}")));
    let six = list.six.iter().map(|n| digits(DigitsKind::CardBin, format!("{n:06}")));
    Index::new(Arc::clone(keys), IndexScope::Merchant).edited(prints.chain(eight).chain(six))
}

#[inline]
fn asked(index: &Index, card: &Card) -> Option<Match> {
    index.matched(&card.facts, None, NOW)
}

/// Nanoseconds for each card.
fn timed(cards: &[Card], mut ask: impl FnMut(&Card) -> bool) -> f64 {
    let started = Instant::now();
    let found = cards.iter().filter(|card| ask(card)).count();
    let nanos = started.elapsed().as_nanos() as f64;
    black_box(found);
    nanos / cards.len() as f64
}

/// The same, asked 256 at once.
fn timed_together(index: &Index, cards: &[Card]) -> f64 {
    let facts: Vec<Facts<'_>> = cards.iter().map(|card| card.facts).collect();
    let (started, mut found) = (Instant::now(), 0);
    for facts in facts.chunks(256) {
        index.match_many(facts, None, NOW, |answer| found += usize::from(answer.is_some()));
    }
    black_box(found);
    started.elapsed().as_nanos() as f64 / cards.len() as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Who answers, over how many cards a round.
struct Contender<'a> {
    name: &'static str,
    cards: usize,
    ask: Box<dyn FnMut(&[Card]) -> f64 + 'a>,
}

impl<'a> Contender<'a> {
    fn of(name: &'static str, cards: usize, mut ask: impl FnMut(&Card) -> bool + 'a) -> Self {
        Self { name, cards, ask: Box::new(move |cards| timed(cards, &mut ask)) }
    }
}

/// Rounds in which each contender has its turn; prints the medians.
fn contest(title: &str, rounds: usize, cards: &[Card], contenders: &mut [Contender<'_>]) {
    let mut figures = vec![Vec::new(); contenders.len()];
    for round in 0..rounds {
        for (contender, figures) in contenders.iter_mut().zip(&mut figures) {
            let from = round * contender.cards % cards.len();
            let upto = (from + contender.cards).min(cards.len());
            figures.push((contender.ask)(&cards[from..upto]));
        }
    }
    let figures: Vec<f64> = figures.into_iter().map(median).collect();
    println!("\n{title:<62} {:>10} {:>9}", "ns a card", "of ours");
    for (contender, figure) in contenders.iter().zip(&figures) {
        println!("{:<62} {figure:>10.1} {:>9.2}", contender.name, figure / figures[0]);
    }
}

/// Bits in 64-bit words, one for each number.
struct Bitmap(Vec<u64>);

impl Bitmap {
    fn of(numbers: &[u32], size: usize) -> Self {
        let mut words = vec![0; size.div_ceil(64)];
        numbers.iter().for_each(|n| words[*n as usize / 64] |= 1 << (n % 64));
        Self(words)
    }

    fn has(&self, n: u32) -> bool {
        self.0[n as usize / 64] >> (n % 64) & 1 == 1
    }
}

/// One flat table of digests with open addressing, which has to be made anew to grow.
struct Flat(Vec<u128>);

impl Flat {
    fn of(list: &List) -> Self {
        let mut slots = vec![0; (list.fingerprints as usize * 5 / 4).next_power_of_two()];
        let mask = slots.len() - 1;
        for mac in list.macs() {
            let key = u128::from_le_bytes(mac[..16].try_into().unwrap());
            let mut at = key as usize & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = key;
        }
        Self(slots)
    }

    fn has(&self, key: u128) -> bool {
        let mask = self.0.len() - 1;
        let mut at = key as usize & mask;
        while self.0[at] != 0 {
            if self.0[at] == key {
                return true;
            }
            at = (at + 1) & mask;
        }
        false
    }
}

fn sqlite(list: &List) -> rusqlite::Connection {
    let path = std::env::temp_dir().join(format!("perfectpay-bench-{}.db", list.fingerprints));
    let mut conn = rusqlite::Connection::open(path).unwrap();
    conn.pragma_update(None, "synchronous", "OFF").unwrap();
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS rule (kind INTEGER, value TEXT, PRIMARY KEY (kind, value)) WITHOUT ROWID",
    )
    .unwrap();
    let count: i64 = conn.query_row("SELECT count(*) FROM rule", [], |row| row.get(0)).unwrap();
    if count as u64 != list.len() {
        let mut rows: Vec<(u8, String)> = list.macs().map(|mac| (0, text(&mac))).collect();
        rows.extend(list.eight.iter().map(|n| (1, format!("{n:08}"))));
        rows.extend(list.six.iter().map(|n| (2, format!("{n:06}"))));
        rows.sort_unstable();
        let transaction = conn.transaction().unwrap();
        {
            let mut insert = transaction.prepare("INSERT OR REPLACE INTO rule VALUES (?1, ?2)").unwrap();
            for row in &rows {
                insert.execute(rusqlite::params![row.0, row.1]).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    conn
}

fn redis(list: &List) -> Option<redis::Connection> {
    let mut conn =
        redis::Client::open(std::env::var("PERFECTPAY_BENCH_REDIS").ok()?).unwrap().get_connection().unwrap();
    let count: u64 = redis::cmd("SCARD").arg("rules").query(&mut conn).unwrap();
    if count != list.len() {
        let prints = list.macs().map(|mac| text(&mac));
        let all: Vec<String> = prints
            .chain(list.eight.iter().map(|n| format!("{n:08}")))
            .chain(list.six.iter().map(|n| format!("{n:06}")))
            .collect();
        let _: () = redis::cmd("DEL").arg("rules").query(&mut conn).unwrap();
        for chunk in all.chunks(10_000) {
            let _: u64 = redis::cmd("SADD").arg("rules").arg(chunk).query(&mut conn).unwrap();
        }
    }
    Some(conn)
}

fn postgres(list: &List) -> Option<postgres::Client> {
    use std::io::Write as _;
    let mut client =
        postgres::Client::connect(&std::env::var("PERFECTPAY_BENCH_POSTGRES").ok()?, postgres::NoTls).unwrap();
    client.batch_execute("CREATE TABLE IF NOT EXISTS rule (kind int2, value text, PRIMARY KEY (kind, value))").unwrap();
    let count: i64 = client.query_one("SELECT count(*) FROM rule", &[]).unwrap().get(0);
    if count as u64 != list.len() {
        client.batch_execute("TRUNCATE rule").unwrap();
        let mut writer = client.copy_in("COPY rule FROM STDIN").unwrap();
        list.macs().for_each(|mac| writeln!(writer, "0\t{}", text(&mac)).unwrap());
        list.eight.iter().for_each(|n| writeln!(writer, "1\t{n:08}").unwrap());
        list.six.iter().for_each(|n| writeln!(writer, "2\t{n:06}").unwrap());
        writer.finish().unwrap();
        client.batch_execute("ANALYZE rule").unwrap();
    }
    Some(client)
}

fn peers(list: &List, index: &Index) {
    let prepared = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
    let prints: HashSet<u128> = list.macs().map(|mac| u128::from_le_bytes(mac[..16].try_into().unwrap())).collect();
    let eight: HashSet<u32> = list.eight.iter().copied().collect();
    let six: HashSet<u32> = list.six.iter().copied().collect();
    let roaring = [RoaringBitmap::from_iter(&list.eight), RoaringBitmap::from_iter(&list.six)];
    let bitmaps = [Bitmap::of(&list.eight, 100_000_000), Bitmap::of(&list.six, 1_000_000)];
    let flat = Flat::of(list);
    let fst = fst::Set::from_iter(list.eight.iter().map(|n| format!("{n:08}"))).unwrap();
    let sqlite = sqlite(list);
    let (redis, postgres) = (redis(list), postgres(list));
    for (title, cards) in [("misses", misses(list)), ("hits by fingerprint", hits(list))] {
        let mut contenders = vec![
            Contender::of("index: all that matches", CARDS, |card| asked(index, card).is_some()),
            Contender {
                name: "index: all that matches, 256 cards at once",
                cards: CARDS,
                ask: Box::new(|cards| timed_together(index, cards)),
            },
            Contender::of("floor: one HMAC-SHA-256, prepared key state", CARDS, |card| {
                let mut mac = prepared.clone();
                mac.update(&card.mac[..16]);
                mac.finalize().into_bytes()[0] == 0
            }),
            Contender::of("three hashbrown sets", CARDS, |card| {
                prints.contains(&card.key()) || eight.contains(&card.eight) || six.contains(&card.six)
            }),
            Contender::of("two flat bitmaps (12.6 MB) and one flat open-addressed table", CARDS, |card| {
                flat.has(card.key()) || bitmaps[0].has(card.eight) || bitmaps[1].has(card.six)
            }),
            Contender::of("two roaring bitmaps: digits alone", CARDS, |card| {
                roaring[0].contains(card.eight) || roaring[1].contains(card.six)
            }),
            Contender::of("fst: eight digits alone", CARDS / 10, |card| fst.contains(format!("{:08}", card.eight))),
            Contender::of("SQLite, three prepared look-ups", CARDS / 100, |card| {
                let mut ask = sqlite.prepare_cached("SELECT 1 FROM rule WHERE kind = ?1 AND value = ?2").unwrap();
                ask.exists(rusqlite::params![0, card.text()]).unwrap()
                    || ask.exists(rusqlite::params![1, format!("{:08}", card.eight)]).unwrap()
                    || ask.exists(rusqlite::params![2, format!("{:06}", card.six)]).unwrap()
            }),
        ];
        if let Some(mut conn) = redis.as_ref().and_then(|_| self::redis(list)) {
            contenders.push(Contender::of("Redis, one SMISMEMBER of three on loopback", CARDS / 100, move |card| {
                let mut ask = redis::cmd("SMISMEMBER");
                ask.arg("rules").arg(card.text()).arg(format!("{:08}", card.eight)).arg(format!("{:06}", card.six));
                let found: Vec<bool> = ask.query(&mut conn).unwrap();
                found.contains(&true)
            }));
        }
        if let Some(mut client) = postgres.as_ref().and_then(|_| self::postgres(list)) {
            let ask = client.prepare("SELECT 1 FROM rule WHERE kind = $1 AND value = $2").unwrap();
            contenders.push(Contender::of(
                "PostgreSQL, three prepared look-ups on loopback",
                CARDS / 200,
                move |card| {
                    let mut has =
                        |kind: i16, value: String| client.query_opt(&ask, &[&kind, &value]).unwrap().is_some();
                    has(0, card.text()) || has(1, format!("{:08}", card.eight)) || has(2, format!("{:06}", card.six))
                },
            ));
        }
        contest(&format!("{title}, {} entries", list.len()), 9, &cards, &mut contenders);
    }
}

fn growth(most: u64, keys: &Arc<DigestKeys>) {
    println!("\n{:<12} {:>10} {:>10} {:>14}", "entries", "miss, ns", "hit, ns", "bytes an entry");
    let (mut size, mut points) = (1_000, Vec::new());
    while size <= most {
        let list = List::of(size);
        let index = indexed(&list, keys);
        let (misses, hits) = (misses(&list), hits(&list));
        let ask = |cards: &[Card]| timed(cards, |card| asked(&index, card).is_some());
        let rounds = |cards: &[Card]| median((0..9).map(|_| ask(cards)).collect());
        let bytes = index.bytes() as f64 / index.len() as f64;
        let (miss, hit) = (rounds(&misses), rounds(&hits));
        println!("{:<12} {miss:>10.1} {hit:>10.1} {bytes:>14.1}", index.len());
        points.push((size, miss, hit));
        size *= 10;
    }
    if let Ok(path) = std::env::var("PERFECTPAY_BENCH_PLOT") {
        std::fs::write(path, plotted(&points)).unwrap();
    }
}

/// The growth as a picture: entries from left to right by powers of ten, nanoseconds upwards.
fn plotted(points: &[(u64, f64, f64)]) -> String {
    use std::fmt::Write as _;
    let most = points.iter().map(|(_, miss, hit)| miss.max(*hit)).fold(1.0, f64::max);
    let step = 10_f64.powf(most.log10().floor()) / if most.log10().fract() < 0.5 { 2.0 } else { 1.0 };
    let top = (most / step).ceil() * step;
    let x = |at: usize| 70.0 + 480.0 * at as f64 / (points.len().max(2) - 1) as f64;
    let y = |nanos: f64| 270.0 - 240.0 * nanos / top;
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 320\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"640\" height=\"320\" fill=\"white\"/>\n",
    );
    let mut nanos = 0.0;
    while nanos <= top {
        let at = y(nanos);
        writeln!(svg, "<path d=\"M70 {at:.1}H550\" stroke=\"#ddd\"/>").unwrap();
        writeln!(svg, "<text x=\"62\" y=\"{:.1}\" text-anchor=\"end\">{nanos:.0}</text>", at + 4.0).unwrap();
        nanos += step;
    }
    for (at, (size, ..)) in points.iter().enumerate() {
        let power = size.ilog10();
        writeln!(svg, "<text x=\"{:.1}\" y=\"290\" text-anchor=\"middle\">10^{power}</text>", x(at)).unwrap();
    }
    let values: [(&str, &str, fn(&(u64, f64, f64)) -> f64); 2] =
        [("misses", "#1f6feb", |point| point.1), ("hits", "#d1242f", |point| point.2)];
    for (name, colour, of) in values {
        let line: Vec<String> =
            points.iter().enumerate().map(|(at, point)| format!("{:.1},{:.1}", x(at), y(of(point)))).collect();
        writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", line.join(" "))
            .unwrap();
        let end = points.last().map_or(0.0, |point| y(of(point)));
        writeln!(svg, "<text x=\"558\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>", end + 4.0).unwrap();
    }
    svg.push_str("<text x=\"310\" y=\"310\" text-anchor=\"middle\">fingerprints in the list</text>\n");
    svg.push_str("<text x=\"70\" y=\"18\">ns a card</text>\n</svg>\n");
    svg
}

fn many(list: &List, index: &Index) {
    for (title, cards) in [("misses", misses(list)), ("hits", hits(list))] {
        let one = || timed(&cards, |card| asked(index, card).is_some());
        let together = || timed_together(index, &cards);
        let (one, together): (Vec<f64>, Vec<f64>) = (0..15).map(|_| (one(), together())).unzip();
        let (one, together) = (median(one), median(together));
        println!(
            "\n{title}: match {one:.1} ns, match_many in 256s {together:.1} ns a card: {:.2} times the rate",
            one / together
        );
    }
}

fn memory(list: &List, index: &Index, keys: &Arc<DigestKeys>) {
    println!("\n{} entries: {:.1} bytes an entry", list.len(), index.bytes() as f64 / index.len() as f64);
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4_096.0
    };
    let small = |n: u64| {
        let print = |at| put(Covers::Fingerprint(IndexFingerprint::ours(1, &List::mac(n * 100 + at))));
        let bin =
            |at| put(Covers::Digits(DigitSpan::prefix(DigitsKind::ExtendedCardBin, &format!("{at:08}")).unwrap()));
        let edits = (0..60).map(print).chain((0..40).map(|at| bin((n * 100 + at) % 100_000_000)));
        Index::new(Arc::clone(keys), IndexScope::Merchant).edited(edits)
    };
    let before = resident();
    let merchants: Vec<Arc<Index>> = (0..100_000).map(|n| Arc::new(small(n))).collect();
    let mib = (resident() - before) / f64::from(1 << 20);
    println!("a merchant with 100 entries: {} bytes; 100,000 of them: {mib:.0} MiB resident", merchants[0].bytes());
}

fn edits(index: &Index) {
    let cell = ArcSwap::from_pointee(index.clone());
    let mut numbers = Numbers(77);
    let mut figures = Vec::new();
    for round in 0..4_000 {
        let covers = Covers::Fingerprint(IndexFingerprint::ours(2, &numbers.mac()));
        let key = IndexKey { covers, scope: IndexScope::Merchant };
        for edit in [put(covers), IndexEdit::Take(key)] {
            let started = Instant::now();
            let next = Arc::new(cell.load().edited([edit]));
            cell.store(next);
            if round >= 100 {
                figures.push(started.elapsed().as_nanos() as f64 / 1_000.0);
            }
        }
    }
    figures.sort_by(f64::total_cmp);
    let at = |share: f64| figures[(figures.len() as f64 * share) as usize];
    println!(
        "\nadd or remove one at {}: median {:.1} µs, p90 {:.1} µs, p99 {:.1} µs",
        index.len(),
        at(0.5),
        at(0.9),
        at(0.99)
    );
}

fn readers(list: &List, index: &Index) {
    let cell = Arc::new(ArcSwap::from_pointee(index.clone()));
    let cards = misses(list);
    let read = || {
        let mut figures: Vec<u32> = Vec::with_capacity(CARDS * 10);
        for card in cards.iter().cycle().take(CARDS * 10) {
            let started = Instant::now();
            black_box(asked(&cell.load(), card));
            figures.push(started.elapsed().as_nanos() as u32);
        }
        figures.sort_unstable();
        let at = |share: f64| figures[(figures.len() as f64 * share) as usize];
        (at(0.5), at(0.99), at(0.999))
    };
    let idle = read();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (cell, stop) = (Arc::clone(&cell), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut numbers = Numbers(99);
            let (mut written, mut before) = (0_u64, cell.load_full());
            while !stop.load(Ordering::Relaxed) {
                let covers = Covers::Fingerprint(IndexFingerprint::ours(2, &numbers.mac()));
                let next = Arc::new(cell.load().edited([put(covers)]));
                // The one before is let go a round later, so that its readers are not the ones who free it.
                before = cell.swap(next);
                written += 1;
            }
            drop(before);
            written
        })
    };
    let started = Instant::now();
    let busy = read();
    stop.store(true, Ordering::Relaxed);
    let rate = writer.join().unwrap() as f64 / started.elapsed().as_secs_f64();
    println!("\none match, timed alone: p50, p99, p99.9 in ns");
    println!("idle {idle:?}; while a writer adds {rate:.0} entries a second {busy:?}");
}

/// A file with an account whose list has so many fingerprints, written past the library.
fn stored(entries: u64) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("perfectpay-bench-accounts-{entries}.db"));
    if path.exists() {
        return path;
    }
    let draft = path.with_extension("draft");
    block_on(async {
        let pay = opened(&draft).await;
        let organization = pay.create_organization(NewOrganization::named("Acme".parse().unwrap())).await.unwrap();
        let scope = pay.organization(&organization.organization_id);
        let merchant = scope.create_merchant(NewMerchant::with_id("merchant".parse().unwrap())).await.unwrap();
        scope.merchant(&merchant.merchant_id).blocklist().toggle(Some(true)).await.unwrap();
    });
    let mut names: Vec<String> =
        (0..entries).map(|n| format!("fingerprint:{}", Fingerprint { version: 1, digest: List::mac(n) })).collect();
    names.sort_unstable();
    let mut conn = perfectpay_benches::bare(&draft);
    conn.pragma_update(None, "synchronous", "OFF").unwrap();
    let transaction = conn.transaction().unwrap();
    {
        let mut insert = transaction
            .prepare(
                "INSERT INTO pp_block_rule (merchant, id, version, created_at, modified_at, kind, action, author) \
                 SELECT incarnation, ?1, 1, 0, 0, 5, 0, 'host' FROM pp_merchant",
            )
            .unwrap();
        for name in &names {
            insert.execute([name]).unwrap();
        }
    }
    transaction.commit().unwrap();
    drop(conn);
    std::fs::rename(&draft, &path).unwrap();
    path
}

async fn opened(path: &std::path::Path) -> PerfectPay {
    let store = Arc::new(SqliteStore::open(path).unwrap());
    let master = MasterKey::from_hex("bench", &"5fa1".repeat(16)).unwrap();
    PerfectPay::open(store, Settings::new(master)).await.unwrap()
}

/// Card numbers of sixteen digits.
fn numbers() -> Vec<CardNumber> {
    let mut numbers = Numbers(5);
    std::iter::repeat_with(move || format!("4{:015}", numbers.next() % 1_000_000_000_000_000))
        .filter_map(|digits| digits.parse().ok())
        .take(CARDS)
        .collect()
}

fn screen(entries: u64) {
    let path = stored(entries);
    let conn = perfectpay_benches::bare(&path);
    let scanned = || {
        let started = Instant::now();
        let sql = "SELECT id, profile, action, expires_at FROM pp_block_rule";
        let mut statement = conn.prepare(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut bytes = 0;
        while let Some(row) = rows.next().unwrap() {
            bytes += row.get_ref(0).unwrap().as_str().unwrap().len();
            bytes += usize::from(row.get_ref(1).unwrap().as_str_or_null().unwrap().is_some());
            bytes += row.get::<_, i64>(2).unwrap() as usize;
            bytes += usize::from(row.get::<_, Option<i64>>(3).unwrap().is_some());
        }
        black_box(bytes);
        started.elapsed().as_nanos() as f64 / entries as f64
    };
    let cards = numbers();
    let loaded = || {
        let started = Instant::now();
        let blocklist = block_on(async {
            let pay = opened(&path).await;
            pay.merchant(&"merchant".parse().unwrap()).blocklist().screener().await.unwrap()
        });
        (started.elapsed().as_nanos() as f64 / entries as f64, blocklist)
    };
    let mut blocklist = None;
    let (scans, loads): (Vec<f64>, Vec<f64>) = (0..3)
        .map(|_| {
            blocklist = None;
            let scan = scanned();
            let (load, fresh) = loaded();
            blocklist = Some(fresh);
            (scan, load)
        })
        .unzip();
    let (scans, loads) = (median(scans), median(loads));
    println!("\n{entries} entries of SQLite: bare scan {scans:.0} ns an entry, loaded {loads:.0} ns");
    println!("rate of loading: {:.2} of the bare scan's (≥ 0.7)", scans / loads);
    let blocklist = blocklist.unwrap();
    let prepared = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
    let digits: Vec<String> = (0..CARDS).map(|n| format!("4{n:015}")).collect();
    let started = |run: &mut dyn FnMut()| {
        let started = Instant::now();
        run();
        started.elapsed().as_nanos() as f64 / CARDS as f64
    };
    // As much memory as a filter of the list's takes, and one word of it for each card: what an index cannot do without.
    let memory: Vec<u64> = (0..=entries * 12 / 64).collect();
    let (mut floors, mut reads, mut ones, mut manies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..9 {
        floors.push(started(&mut || {
            for digits in &digits {
                let mut mac = prepared.clone();
                mac.update(digits.as_bytes());
                black_box(mac.finalize().into_bytes());
            }
        }));
        reads.push(started(&mut || {
            let mut found = 0;
            for digits in &digits {
                let mut mac = prepared.clone();
                mac.update(digits.as_bytes());
                let digest = mac.finalize().into_bytes();
                let place = u64::from_le_bytes(digest[..8].try_into().unwrap());
                let word = memory[((u128::from(place) * memory.len() as u128) >> 64) as usize];
                // A branch, as an answer makes one.
                if word == u64::MAX {
                    found += 1;
                }
            }
            black_box(found);
        }));
        ones.push(started(&mut || {
            block_on(async {
                for card in &cards {
                    black_box(blocklist.screen(card).await.unwrap());
                }
            });
        }));
        manies.push(started(&mut || {
            block_on(async {
                for cards in cards.chunks(256) {
                    black_box(blocklist.screen_many(cards).await.unwrap());
                }
            });
        }));
    }
    let (floor, read, one, many) = (median(floors), median(reads), median(ones), median(manies));
    println!("bare HMAC {floor:.1} ns, screen {one:.1} ns: {:.2} times (≤ 1.35)", one / floor);
    println!(
        "bare HMAC and one word of memory {read:.1} ns: {:.2} times; screen {:.2} times that",
        read / floor,
        one / read
    );
    println!("screen_many in 256s {many:.1} ns a card: {:.2} times the rate (≥ 1.5)", one / many);
}

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |section: &str| chosen.is_empty() || chosen.iter().any(|arg| arg == section);
    let entries = std::env::var("PERFECTPAY_BENCH_ENTRIES").map_or(10_000_000, |text| text.parse().unwrap());
    let keys = Arc::new(DigestKeys::draw(&SystemEntropy));
    if wanted("screen") {
        screen(entries);
    }
    if chosen == ["screen"] {
        return;
    }
    let list = List::of(entries);
    let started = Instant::now();
    let index = indexed(&list, &keys);
    let nanos = started.elapsed().as_nanos() as f64 / index.len() as f64;
    println!("built from {} entries in {nanos:.0} ns an entry", index.len());
    if wanted("many") {
        many(&list, &index);
    }
    if wanted("memory") {
        memory(&list, &index, &keys);
    }
    if wanted("edits") {
        edits(&index);
    }
    if wanted("readers") {
        readers(&list, &index);
    }
    if wanted("peers") {
        peers(&list, &index);
    }
    if wanted("growth") {
        growth(entries, &keys);
    }
}
