//! Exact: what is read equals what was written.

use perfectpay::blocklist::{BlockAction, BlockKind, BlockRuleId, BlockScope};
use perfectpay::store::{Actor, Key, Record};
use perfectpay::{Object, Timestamp};
use serde_json::{Value, json};

use crate::Fixture;
use crate::records::{
    World, api_key, block_rule, connector, key_of, moment, now, organization_set, profile, text, touched, with_version,
};

fn object(value: Value) -> Object {
    let Value::Object(map) = value else { panic!("is an object") };
    Object::try_from(map).expect("is small")
}

/// Writes another metadata to the organization and reads it back, by itself and within another object.
fn round_trip(w: &World, metadata: &Value) {
    for metadata in [metadata.clone(), json!({ "nested": { "metadata": metadata } })] {
        write_and_read(w, &metadata);
    }
}

fn write_and_read(w: &World, metadata: &Value) {
    let Some(Record::Organization(found)) = w.get(&key_of(&w.acme.organization.entity())) else { panic!("lives") };
    let mut next = touched(&found);
    next.state.metadata = Some(object(metadata.clone()));
    let mut set = organization_set(&w.acme.organization);
    set.update(next.clone());
    w.apply(set);
    let next = Record::from(next);
    assert_eq!(with_version(&next, next.meta().version), next, "the columns are not the record");
    assert_eq!(w.get(&key_of(&w.acme.organization.entity())), Some(next), "{metadata}");
}

const TEXTS: [&str; 12] = [
    "Ünïcödé",
    "日本語の名前",
    "👩 \u{1f600} \u{10fffd}",
    "O'Brien; DROP TABLE perfectpay_profile; --",
    "\"quoted\" and `back` and 'single'",
    "back\\slash and /slash/ and \\u0041",
    "100 % _under_ * ? [a-z]",
    "İstanbul ı I i",
    "a  two  spaces",
    "null",
    "12345678901234567890",
    "1e3",
];

pub(super) fn texts_keep_their_case_and_their_characters(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    for (number, name) in (1..).zip(TEXTS) {
        let name: perfectpay::Name = text(name);
        let mut row = profile(&w.acme.merchant, number);
        row.state.profile_name = name.clone();
        let mut account = connector(&row, number);
        account.state.connector_label = text(name.as_str());
        let rule = crate::records::block_rule_of(&w.acme.merchant, BlockKind::Fingerprint, name.as_str(), number);
        let records: [Record; 3] = [row.clone().into(), account.into(), rule.into()];
        w.apply(w.acme.creating(records.clone()));
        for record in records {
            assert_eq!(w.get(&key_of(&record.entity())), Some(record));
        }
        assert_eq!(w.get(&Key::ProfileByName(w.acme.path(), name)), Some(row.into()));
    }
}

pub(super) fn the_longest_texts_are_kept(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut row = profile(&w.acme.merchant, 1);
    row.id = text(format!("pro_{}", "x".repeat(60)));
    row.state.profile_name = text("\u{10fffd}".repeat(64));
    let mut account = connector(&row, 1);
    account.state.connector_label = text("ä".repeat(255));
    let mut rule = block_rule(&w.acme.merchant, 1);
    rule.id = BlockRuleId {
        kind: BlockKind::Fingerprint,
        value: text("\u{10fffd}".repeat(64)),
        scope: BlockScope::Profile(row.id.clone()),
    };
    rule.state.reason = Some(text("日".repeat(255)));
    let records: [Record; 3] = [row.into(), account.into(), rule.into()];
    w.apply(w.acme.creating(records.clone()));
    for record in records {
        assert_eq!(w.get(&key_of(&record.entity())), Some(record));
    }
}

pub(super) fn free_objects_are_kept_to_the_character(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let control: String = ('\u{1}'..='\u{1f}').chain(['\u{7f}', '\u{2028}', '\u{feff}', '\u{202e}']).collect();
    round_trip(&w, &json!({}));
    round_trip(&w, &json!({ "": "", " ": " ", "Key": 1, "key": 2, "KEY": 3 }));
    round_trip(&w, &json!({ "control": control, control.clone(): true, "nul": "a\u{0}b" }));
    round_trip(&w, &json!({ "e\u{301}": "é", "é": "e\u{301}", "trailing ": " leading" }));
    round_trip(&w, &json!({ "list": [null, true, false, [], {}, [[[]]]], "deep": { "a": { "b": { "c": [1] } } } }));
    round_trip(&w, &json!({ "texts": TEXTS }));
    round_trip(&w, &json!({ "large": "x".repeat(15_000) }));
}

pub(super) fn numbers_in_free_objects_are_kept_to_the_bit(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    round_trip(&w, &json!({ "n": [0, -1, i64::MIN, i64::MAX, u64::MAX, 9_007_199_254_740_993_u64] }));
    let awkward = [
        0.1,
        -0.0,
        1.0,
        1e-7,
        1e21,
        0.1 + 0.2,
        1.0 / 3.0,
        5e-324,
        f64::MIN_POSITIVE,
        f64::MAX,
        2.5e-308,
        123_456_789.123_456_79,
        8.41e21,
        2.225_073_858_507_201e-308,
        9_007_199_254_740_993.5,
    ];
    round_trip(&w, &json!({ "n": awkward }));
    // Doubles all over the range, from a fixed sequence.
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    let mut doubles = Vec::new();
    while doubles.len() < 200 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let double = f64::from_bits(bits ^ (bits >> 29));
        if double.is_finite() {
            doubles.push(double);
        }
    }
    round_trip(&w, &json!({ "n": doubles }));
}

pub(super) fn times_keep_their_milliseconds_from_the_first_to_the_last(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let millis = |n| Timestamp::from_unix_millis(n).expect("is in the range");
    let times = [
        Timestamp::MIN,
        millis(-1_001),
        millis(-999),
        millis(-1),
        Timestamp::UNIX_EPOCH,
        millis(1),
        millis(999),
        millis(1_767_225_600_123),
        millis(2_147_483_647_999),
        millis(2_147_483_648_001),
        Timestamp::MAX,
    ];
    for (number, at) in (1..).zip(times) {
        let mut row = api_key(&w.acme.merchant, number);
        (row.created_at, row.modified_at, row.state.expires_at) = (at, at, Some(at));
        w.apply(w.acme.creating([row.clone().into()]));
        assert_eq!(w.get(&key_of(&row.entity())), Some(row.clone().into()), "{at}");
        let next = row.next(now().max(at), row.state.clone());
        let mut set = w.acme.set();
        set.update(next.clone());
        w.apply(set);
        assert_eq!(w.get(&key_of(&row.entity())), Some(next.into()), "{at}");
    }
}

pub(super) fn the_time_of_a_commit_may_be_the_last_of_all(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = w.acme.creating([block_rule(&w.acme.merchant, 1).into()]);
    set.at = Timestamp::MAX;
    assert_eq!(w.apply(set).at, Timestamp::MAX);
    let mut set = w.acme.creating([block_rule(&w.acme.merchant, 2).into()]);
    set.at = Timestamp::MIN;
    assert_eq!(w.apply(set).at, Timestamp::MAX);
    assert_eq!(w.head().at, Timestamp::MAX);
}

pub(super) fn the_time_of_the_first_commit_is_not_before_unix_time(fixture: &mut dyn Fixture) {
    let probe = crate::probe::Probe::new(fixture.store());
    let row = crate::records::organization(1);
    let mut set = organization_set(&row);
    set.create(row);
    set.at = Timestamp::MIN;
    let receipt = probe.apply(set);
    assert_eq!((receipt.at, probe.head().at), (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH));
}

pub(super) fn versions_are_exact_up_to_the_largest(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let largest = i64::MAX.cast_unsigned();
    for (number, version) in (1..).zip([2, 1 << 31, 1 << 32, (1 << 53) + 1, largest - 1]) {
        let row: Record = profile(&w.acme.merchant, number).into();
        w.apply(w.acme.creating([with_version(&row, version)]));
        let mut set = w.acme.set();
        set.update(with_version(&row, version + 1));
        w.apply(set.clone());
        assert_eq!(w.get(&key_of(&row.entity())).map(|r| r.meta().version), Some(version + 1));
        let named = row.entity().named();
        let message = format!("{named} is at version {}, not {version}", version + 1);
        w.refuse(set, "stale", &message);
    }
}

pub(super) fn every_field_of_an_entry_of_a_blocklist_is_kept(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let author = [Actor::Host, Actor::Operator(text("Zoë: night shift")), Actor::ApiKey(text("dev_1"))];
    let kinds = [BlockKind::CardBin, BlockKind::ExtendedCardBin, BlockKind::Fingerprint];
    for (number, (author, kind)) in (1..).zip(author.into_iter().zip(kinds)) {
        let mut row = crate::records::block_rule_of(&w.acme.merchant, kind, "424242", number);
        row.state.action = if number == 2 { BlockAction::Allow } else { BlockAction::Block };
        row.state.expires_at = (number != 1).then(|| moment(number));
        row.state.reason = Some(text("because"));
        row.state.source = Some(text("import 7"));
        row.state.author = author;
        row.state.metadata = Some(object(json!({ "case": number })));
        w.apply(w.acme.creating([row.clone().into()]));
        assert_eq!(w.get(&key_of(&row.entity())), Some(row.clone().into()));
        // The same entry for one profile only is another entry.
        let mut limited = row.clone();
        limited.id.scope = BlockScope::Profile(w.acme.profile.id.clone());
        w.apply(w.acme.creating([limited.clone().into()]));
        assert_eq!(w.get(&Key::BlockRule(w.acme.path().into(), limited.id.clone())), Some(limited.into()));
        assert_eq!(w.get(&Key::BlockRule(w.acme.path().into(), row.id.clone())), Some(row.into()));
    }
}
