//! Portable: what is exported is the store at one moment, and what is imported is there as it was.

use perfectpay::profile::ProfileState;
use perfectpay::store::{
    Actor, CommitClass, Committed, Extent, Item, Key, Load, LogBeginning, LogBound, LogPosition, LogPruning, LogScope,
    Logged, MAX_LOAD_ITEMS, MerchantPath, OrganizationPath, Packed, Prune, Record, Stored,
};
use perfectpay::{EntityKind, Incarnation};

use crate::Fixture;
use crate::probe::{Probe, plain};
use crate::records::{
    Tenant, World, api_key, block_rule, claim, event, key_of, logged, moment, now, organization, organization_data_key,
    organization_set, payment, profile, renamed, revoked, text, touched, with_version,
};

/// A world with one of everything in its first account, kept answers of three tenants, and a history.
fn furnished(fixture: &dyn Fixture) -> World {
    let w = World::open(fixture);
    let mut set = w.acme.creating(w.acme.one_of_each(1));
    set.idempotency = Some(claim(0, 1));
    w.apply(set);
    let key = api_key(&w.acme.merchant, 2);
    w.apply(w.acme.creating([key.clone().into()]));
    let mut set = w.acme.set();
    set.update(revoked(&key)).update(renamed(&w.acme.profile, "renamed"));
    w.apply(set);
    let mut set = organization_set(&w.rival.organization);
    set.create(organization_data_key(&w.rival.organization)).update(touched(&w.rival.organization));
    set.idempotency = Some(claim(1, 2));
    w.apply(set);
    // One commit that is an organization's and speaks of two of its accounts.
    let mut set = organization_set(&w.acme.organization);
    set.create(profile(&w.acme.merchant, 2)).create(profile(&w.sister.merchant, 2));
    w.apply(set);
    let gone = organization(3);
    let mut set = organization_set(&gone);
    set.create(gone.clone());
    w.apply(set);
    let mut set = organization_set(&gone);
    set.remove(gone.entity(), 1, false);
    // Kept for a repetition though its tenant went with it.
    set.idempotency = Some(claim(2, 3));
    w.apply(set);
    w
}

/// The items in short: of a record its kind and id, of a claim its key, of an entry how many changes it has.
fn short(items: &[Item]) -> Vec<String> {
    let short = |item: &Item| match item {
        Item::Beginning(beginning) => format!("behind {}", beginning.pruned.through),
        Item::Entry(logged) => format!("entry of {}", logged.entry.changes.len()),
        Item::Claim(claim) => format!("claim {}", claim.key),
        Item::Record(packed) => format!("{} {}", packed.record().kind(), packed.record().meta().id),
    };
    items.iter().map(short).collect()
}

fn packed(record: impl Into<Record>) -> Item {
    Item::Record(Packed::new(record.into()).expect("a state is JSON"))
}

fn entries(items: &[Item]) -> Vec<&Logged> {
    let mut entries = Vec::new();
    for item in items {
        if let Item::Entry(logged) = item {
            entries.push(logged);
        }
    }
    entries
}

fn load(items: impl IntoIterator<Item = Item>) -> Load {
    Load { items: items.into_iter().collect(), behind: None }
}

/// Everything of an account and its organization, in the order of loads, with the entries that made it: positions with
/// gaps, versions and times that no commit here would make.
fn foreign(number: u32) -> (Tenant, Vec<Item>) {
    let mut tenant = Tenant::within(&organization(number), number);
    tenant.merchant.version = 7;
    tenant.merchant.modified_at = moment(77);
    let founding = {
        let mut set = organization_set(&tenant.organization);
        set.create(tenant.organization.clone()).create(organization_data_key(&tenant.organization));
        set.at = moment(10);
        set
    };
    let key = revoked(&api_key(&tenant.merchant, number));
    let rule = block_rule(&tenant.merchant, 1);
    let payment = with_version(&payment(&tenant.profile, 1).into(), 3);
    let mut set = tenant.founding();
    set.create(key.clone()).create(rule.clone()).create(payment.clone());
    set.at = moment(20);
    let mut claim = claim(0, 1);
    claim.tenant = tenant.merchant.tenant;
    let items = vec![
        Item::Entry(logged(&founding, 5)),
        Item::Entry(logged(&set, 9)),
        packed(tenant.organization.clone()),
        packed(organization_data_key(&tenant.organization)),
        packed(tenant.merchant.clone()),
        packed(tenant.data_key.clone()),
        packed(tenant.profile.clone()),
        packed(rule),
        packed(payment),
        Item::Claim(claim),
        packed(key),
    ];
    (tenant, items)
}

fn beginning(through: u64, configuration: u64) -> LogBeginning {
    let pruned = LogPruning {
        through: LogPosition::from_u64(through),
        at: moment(3),
        by: Actor::Operator(text("Zoë, \"nights\"")),
    };
    LogBeginning { pruned, configuration: LogPosition::from_u64(configuration) }
}

/// Prunes so many entries of the log in one step.
fn prune(probe: &Probe, entries: u32) {
    let LogPruning { at, by, .. } = beginning(1, 0).pruned;
    let bound = LogBound::Before(probe.head().position);
    assert_eq!(probe.prune(&Prune::Log { bound, limit: entries, at, by }).removed, u64::from(entries));
}

#[track_caller]
fn refused(probe: &Probe, load: Load, code: &str) {
    let (before, exported) = (probe.snapshot(), probe.export(&Extent::Everything));
    let error = probe.import(load).expect_err("the load must be refused");
    assert_eq!(error.code(), code, "{error}");
    before.assert_same(&probe.snapshot());
    assert_eq!(probe.export(&Extent::Everything), exported);
}

pub(super) fn an_export_is_the_whole_store_in_the_order_of_loads(fixture: &mut dyn Fixture) {
    let w = furnished(fixture);
    let items = w.export(&Extent::Everything);
    let event = event(&payment(&profile(&w.acme.merchant, 1), 1), 1);
    let event = format!("event {}", event.id);
    let expected = [
        "entry of 1",
        "entry of 1",
        "entry of 3",
        "entry of 3",
        "entry of 3",
        "entry of 12",
        "entry of 1",
        "entry of 2",
        "entry of 2",
        "entry of 2",
        "entry of 1",
        "entry of 1",
        "claim key-2",
        "organization org_1",
        "organization org_2",
        "data_key dk_of_org_2",
        "claim key-1",
        "merchant merchant_1",
        "data_key dk_1",
        "profile pro_1",
        "profile pro_2",
        "profile pro_default",
        "connector mca_1",
        "routing_program routing_1",
        "routing_version routing_1.00001",
        "block_rule card_bin:000001",
        "payment pay_1",
        "payment_link plink_1",
        "payment_link plink_own_1",
        "link_use use_1",
        "payment_decision dec_1",
        &event,
        "claim key-0",
        "api_key dev_1",
        "api_key dev_2",
        "merchant merchant_2",
        "data_key dk_2",
        "profile pro_2",
        "profile pro_default",
        "merchant merchant_3",
        "data_key dk_3",
        "profile pro_default",
    ];
    assert_eq!(short(&items), expected);
    for item in &items {
        match item {
            Item::Beginning(_) | Item::Entry(_) => {}
            Item::Claim(kept) => {
                let mut found = w.claim(kept.tenant, kept.key.as_str()).expect("is kept");
                found.tenant = kept.tenant;
                assert_eq!((&found, plain(&found.answer)), (kept, plain(&kept.answer)));
            }
            Item::Record(packed) => {
                assert_eq!(w.get(&key_of(&packed.record().entity())).as_ref(), Some(packed.record()));
                assert_eq!(packed.record().body().expect("a state is JSON"), packed.body());
            }
        }
    }
    let exported = entries(&items);
    let log: Vec<_> = exported.iter().map(|logged| logged.entry.clone()).collect();
    assert_eq!(log, w.log(&LogScope::All));
    let (acme, sister) = (w.acme.merchant.tenant, w.sister.merchant.tenant);
    let of_two = exported[9];
    assert_eq!((of_two.organization, of_two.merchant), (Some(w.acme.organization.tenant), None));
    assert_eq!(of_two.entities.iter().map(|e| e.tenant).collect::<Vec<_>>(), [acme, sister]);
    let of_one = exported[5];
    assert_eq!((of_one.organization, of_one.merchant), (Some(w.acme.organization.tenant), Some(acme)));
    assert!(of_one.entities.iter().all(|e| e.tenant == acme));
}

pub(super) fn an_export_of_an_organization_is_its_own_part_of_everything(fixture: &mut dyn Fixture) {
    let w = furnished(fixture);
    let all = w.export(&Extent::Everything);
    for tenant in [&w.acme, &w.rival] {
        let of = tenant.organization.tenant;
        let id = OrganizationPath::Id(tenant.organization.id.clone());
        let part = w.export(&Extent::Organization(OrganizationPath::Pinned(of)));
        assert_eq!(w.export(&Extent::Organization(id)), part);
        let mut merchants: Vec<Incarnation> = vec![of];
        let is_its = |item: &&Item| match *item {
            Item::Beginning(_) => false,
            Item::Entry(logged) => logged.organization == Some(of),
            Item::Claim(claim) => merchants.contains(&claim.tenant),
            Item::Record(packed) => {
                if let Record::Merchant(merchant) = packed.record()
                    && merchant.state.organization == of
                {
                    merchants.push(merchant.tenant);
                }
                merchants.contains(&packed.record().meta().tenant)
            }
        };
        let expected: Vec<Item> = all.iter().filter(is_its).cloned().collect();
        assert_eq!(part, expected);
    }
    let nobody = OrganizationPath::Id(text("org_nobody"));
    assert_eq!(w.export(&Extent::Organization(nobody)), []);
    // Who went is still in the log.
    let gone = w.export(&Extent::Organization(OrganizationPath::Pinned(organization(3).tenant)));
    assert_eq!(short(&gone), ["entry of 1", "entry of 1"]);
}

pub(super) fn an_export_is_of_one_moment(fixture: &mut dyn Fixture) {
    let w = furnished(fixture);
    let before = w.export(&Extent::Everything);
    let mut export = w.begin_export(&Extent::Everything);
    let set = w.acme.creating([profile(&w.acme.merchant, 9).into()]);
    // A store with one connection commits when the export is over.
    let probe = w.probe.clone();
    let beside = std::thread::spawn(move || probe.commit(set));
    let waits = std::time::Instant::now();
    while !beside.is_finished() && waits.elapsed() < std::time::Duration::from_millis(50) {
        std::thread::yield_now();
    }
    let mut during = Vec::new();
    while let Some(load) = crate::block_on(export.next()).expect("can be read") {
        during.extend(load.items);
    }
    drop(export);
    assert!(matches!(beside.join().expect("does not panic"), Ok(Committed::Applied(_))));
    assert_eq!(during, before);
    assert_eq!(w.export(&Extent::Everything).len(), before.len() + 2);
}

pub(super) fn an_export_that_is_dropped_leaves_the_store_usable(fixture: &mut dyn Fixture) {
    let w = furnished(fixture);
    let before = w.export(&Extent::Everything);
    drop(w.begin_export(&Extent::Everything));
    let mut export = w.begin_export(&Extent::Everything);
    crate::block_on(export.next()).expect("can be read");
    drop(export);
    assert_eq!(w.export(&Extent::Everything), before);
    w.apply(w.acme.creating([profile(&w.acme.merchant, 9).into()]));
}

pub(super) fn an_imported_load_is_there_as_it_was(fixture: &mut dyn Fixture) {
    let probe = Probe::new(fixture.store());
    let (tenant, items) = foreign(1);
    let last = probe.import(load(items.clone())).expect("nothing stands against it");
    assert_eq!(last, LogPosition::from_u64(9));
    assert_eq!(probe.export(&Extent::Everything), items);
    let log: Vec<_> = entries(&items).iter().map(|logged| logged.entry.clone()).collect();
    assert_eq!(probe.log(&LogScope::All), log);
    assert_eq!(probe.log(&LogScope::Organization(tenant.organization.tenant)), log);
    assert_eq!(probe.log(&LogScope::Merchant(tenant.merchant.tenant)), log[1..]);
    assert_eq!(probe.log(&LogScope::Entity(tenant.profile.entity())), log[1..]);
    assert_eq!(probe.log_page(LogScope::All, LogPosition::from_u64(5), 10), log[1..]);
    assert_eq!(probe.log_page(LogScope::All, LogPosition::from_u64(7), 10), log[1..]);
    let head = probe.head();
    assert_eq!((head.position, head.configuration, head.at), (last, last, moment(20)));
    for item in &items {
        if let Item::Record(packed) = item {
            assert_eq!(probe.get(&key_of(&packed.record().entity())).as_ref(), Some(packed.record()));
        }
    }
    probe.snapshot();
    let rules = probe.list(&tenant.query(perfectpay::store::Collection::BlockRules { kind: None }));
    assert_eq!(rules.expect("the tenant lives").total, Some(1));
}

pub(super) fn commits_go_on_behind_what_was_imported(fixture: &mut dyn Fixture) {
    let probe = Probe::new(fixture.store());
    let (tenant, items) = foreign(1);
    probe.import(load(items)).expect("nothing stands against it");
    let mut set = tenant.creating([profile(&tenant.merchant, 1).into()]);
    set.at = moment(1);
    let receipt = probe.apply(set);
    assert!(receipt.position > LogPosition::from_u64(9));
    assert_eq!(receipt.at, moment(20));
    let again = tenant.creating([tenant.profile.clone().into()]);
    probe.refuse(again, "already_exists", "business profile `pro_default` exists already");
    let mut namesake = profile(&tenant.merchant, 2);
    namesake.state.profile_name = text("default");
    probe.refuse(tenant.creating([namesake.into()]), "duplicate", "another business profile has this profile_name");
    let mut set = tenant.set();
    set.remove(tenant.profile.entity(), 1, false);
    probe.refuse(set, "has_children", "business profile `pro_default` still has 1 × payment");
    let mut set = tenant.creating([profile(&tenant.merchant, 3).into()]);
    set.idempotency = Some(claim(0, 1));
    probe.replay(set, &claim(0, 1).answer);
}

pub(super) fn a_load_that_is_written_again_changes_nothing(fixture: &mut dyn Fixture) {
    let probe = Probe::new(fixture.store());
    let (tenant, items) = foreign(1);
    probe.import(load(items[..5].to_vec())).expect("nothing stands against it");
    probe.import(load(items.clone())).expect("some of it is there already");
    let last = probe.import(load(items.clone())).expect("all of it is there already");
    assert_eq!(last, LogPosition::from_u64(9));
    assert_eq!(probe.export(&Extent::Everything), items);
    let rules = probe.list(&tenant.query(perfectpay::store::Collection::BlockRules { kind: None }));
    assert_eq!(rules.expect("the tenant lives").total, Some(1));
    assert_eq!(probe.import(Load::default()).expect("is empty"), LogPosition::START);
}

pub(super) fn of_a_load_that_is_refused_nothing_is_written(fixture: &mut dyn Fixture) {
    let w = furnished(fixture);
    let (_, fresh) = foreign(4);
    let mut good: Vec<Item> = fresh[2..].to_vec();
    good.truncate(4);
    let with = |last: Item| load(good.iter().cloned().chain([last]));
    // Its parent does not live, or is another tenant's.
    refused(&w, with(packed(profile(&crate::records::merchant(&w.acme.organization, 9), 1))), "not_found");
    let mut orphan = payment(&w.acme.profile, 9);
    orphan.state.profile_id = text("pro_nobody");
    refused(&w, with(packed(orphan)), "not_found");
    // An id that is another's.
    let mut namesake = organization(9);
    namesake.id = text("org_1");
    refused(&w, with(packed(namesake)), "already_exists");
    let mut namesake = crate::records::merchant(&w.rival.organization, 9);
    namesake.id = text("merchant_1");
    refused(&w, with(packed(namesake)), "already_exists");
    // A key that is another's.
    let mut namesake = profile(&w.acme.merchant, 9);
    namesake.state.profile_name = text("renamed");
    refused(&w, with(packed(namesake)), "duplicate");
    // There already, and not so.
    refused(&w, with(packed(w.acme.profile.clone())), "load.differs");
    refused(&w, with(packed(with_version(&w.sister.profile.clone().into(), 2))), "load.differs");
    let mut other = claim(0, 9);
    other.tenant = w.acme.merchant.tenant;
    refused(&w, with(Item::Claim(other)), "idempotency_mismatch");
}

pub(super) fn an_entry_keeps_its_place_or_is_refused(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let mut set = organization_set(&organization(9));
    set.create(organization(9));
    let head = w.head();
    let place = |position, at| {
        let mut entry = logged(&set, position);
        entry.entry.at = at;
        load([packed(organization(9)), Item::Entry(entry)])
    };
    let next = head.position.as_u64() + 3;
    refused(&w, place(head.position.as_u64(), head.at), "load.differs");
    refused(&w, place(next, moment(1)), "load.behind");
    assert_eq!(w.import(place(next, head.at)).expect("is behind all"), LogPosition::from_u64(next));
    refused(&w, place(next - 1, head.at), "load.behind");
    assert_eq!(w.head().position.as_u64(), next);
}

pub(super) fn entries_of_an_organization_are_appended_once(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let before = w.log(&LogScope::All);
    let (tenant, items) = foreign(4);
    let (second, third) = (touched(&tenant.profile), touched(&touched(&tenant.profile)));
    let update = |row: &Stored<ProfileState>, at| {
        let mut set = tenant.set();
        set.update(row.clone());
        set.at = at;
        Item::Entry(logged(&set, 11))
    };
    let records = load(items[2..].iter().filter(|item| **item != packed(tenant.profile.clone())).cloned());
    let items = vec![items[0].clone(), items[1].clone(), update(&second, moment(2_000_000))];
    let appended = Load { items: items.clone(), behind: Some(LogPosition::START) };
    let last = w.import(appended.clone()).expect("its organization has no entry here");
    let log = w.log(&LogScope::All);
    assert_eq!(log[..before.len()], before[..]);
    let new = &log[before.len()..];
    // The commits here were made later than two of the three.
    assert_eq!(new.iter().map(|entry| entry.at).collect::<Vec<_>>(), [now(), now(), moment(2_000_000)]);
    assert!(log.windows(2).all(|two| two[0].position < two[1].position));
    assert_eq!((new[2].position, w.head().position, w.head().at), (last, last, moment(2_000_000)));
    for (entry, item) in new.iter().zip(entries(&items)) {
        let expected = &item.entry;
        assert_eq!((&entry.actor, entry.class, &entry.changes), (&expected.actor, expected.class, &expected.changes));
        assert_eq!((&entry.organization_id, &entry.merchant_id), (&expected.organization_id, &expected.merchant_id));
    }
    assert_eq!(w.log(&LogScope::Merchant(tenant.merchant.tenant)), new[1..]);
    refused(&w, appended, "moved");
    refused(&w, Load { items: items.clone(), behind: Some(new[1].position) }, "moved");
    let next = Load { items: vec![update(&third, now())], behind: Some(last) };
    assert!(w.import(next).expect("is said to be the newest") > last);
    // What the entries speak of, parents first.
    let mut records = records;
    records.items.insert(3, packed(third));
    w.import(records).expect("nothing stands against it");
}

pub(super) fn an_export_of_a_pruned_store_begins_where_its_log_does(fixture: &mut dyn Fixture) {
    let w = furnished(fixture);
    let whole = w.export(&Extent::Everything);
    let of = Extent::Organization(OrganizationPath::Pinned(w.acme.organization.tenant));
    let part = w.export(&of);
    prune(&w, 3);
    let log = entries(&whole);
    let through = log[2].entry.position;
    // The newest entry of configuration is among those that are kept.
    let mut expected = vec![Item::Beginning(beginning(through.as_u64(), 0))];
    expected.extend(whole[3..].iter().cloned());
    assert_eq!(w.export(&Extent::Everything), expected);
    // Its own part is what is kept of it, and no mark.
    let is_kept = |item: &&Item| !matches!(item, Item::Entry(logged) if logged.entry.position <= through);
    let expected: Vec<Item> = part.iter().filter(is_kept).cloned().collect();
    assert!(expected.len() < part.len());
    assert_eq!(w.export(&of), expected);
}

pub(super) fn an_export_says_which_entry_of_configuration_was_pruned_last(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let configuration = w.head().configuration;
    for number in 1..=2 {
        let mut set = w.acme.creating([payment(&w.acme.profile, number).into()]);
        set.class = CommitClass::Operational;
        w.apply(set);
    }
    let log = w.log(&LogScope::All);
    prune(&w, u32::try_from(log.len()).expect("is small") - 1);
    let exported = w.export(&Extent::Everything);
    let through = log[log.len() - 2].position;
    assert_eq!(exported[0], Item::Beginning(beginning(through.as_u64(), configuration.as_u64())));
    assert_eq!(w.head().configuration, configuration);
}

pub(super) fn a_log_is_imported_with_its_beginning(fixture: &mut dyn Fixture) {
    let probe = Probe::new(fixture.store());
    let (tenant, mut items) = foreign(1);
    let kept = beginning(7, 5);
    // What is kept of the log is not configuration: the head of that is the pruned entry.
    items[0] = Item::Beginning(kept.clone());
    let Item::Entry(logged) = &mut items[1] else { panic!("not an entry") };
    logged.entry.class = CommitClass::Operational;
    let last = probe.import(load(items.clone())).expect("nothing stands against it");
    assert_eq!(last, LogPosition::from_u64(9));
    let head = probe.head();
    assert_eq!((head.position, head.configuration), (last, kept.configuration));
    assert_eq!(head.pruned, Some(kept.pruned.clone()));
    assert_eq!(probe.export(&Extent::Everything), items);
    for scope in [LogScope::All, LogScope::Merchant(tenant.merchant.tenant)] {
        assert_eq!(probe.pruned_behind(scope.clone(), LogPosition::START), Some(kept.pruned.through));
        assert_eq!(probe.pruned_behind(scope.clone(), LogPosition::from_u64(6)), Some(kept.pruned.through));
        assert_eq!(probe.log_page(scope, kept.pruned.through, 10).len(), 1);
    }
    assert_eq!(probe.import(load(items.clone())).expect("all of it is there already"), last);
    assert_eq!(probe.export(&Extent::Everything), items);
    // And goes on: behind it, pruned further.
    let mut set = tenant.creating([profile(&tenant.merchant, 1).into()]);
    set.class = CommitClass::Operational;
    let receipt = probe.apply(set);
    assert!(receipt.position > last);
    prune(&probe, 1);
    let head = probe.head();
    assert_eq!((head.configuration, head.beginning()), (kept.configuration, last));
}

pub(super) fn a_log_that_begins_elsewhere_is_refused(fixture: &mut dyn Fixture) {
    let probe = Probe::new(fixture.store());
    let (_, items) = foreign(1);
    let begins = |through, item: &Item| load([Item::Beginning(beginning(through, 0)), item.clone()]);
    // It is in front of the first entry that is kept, and there is one.
    refused(&probe, begins(9, &items[1]), "load.beginning");
    refused(&probe, begins(7, &items[2]), "load.beginning");
    refused(&probe, load([Item::Beginning(beginning(7, 0))]), "load.beginning");
    refused(&probe, load([items[0].clone(), Item::Beginning(beginning(7, 0)), items[1].clone()]), "load.beginning");
    let appended = Load { behind: Some(LogPosition::START), ..begins(7, &items[1]) };
    refused(&probe, appended, "load.beginning");
    let twice = load([Item::Beginning(beginning(7, 0)), items[1].clone(), Item::Beginning(beginning(7, 0))]);
    refused(&probe, twice, "load.beginning");
    // An entry that was pruned does not come behind.
    refused(&probe, load([Item::Beginning(beginning(7, 0)), items[1].clone(), items[0].clone()]), "load.behind");
    probe.import(begins(7, &items[1])).expect("nothing stands against it");
    refused(&probe, begins(6, &items[1]), "load.differs");
    refused(&probe, load([items[0].clone()]), "load.behind");
    // What the entry speaks of.
    probe.import(load(items[2..].iter().cloned())).expect("nothing stands against it");
}

pub(super) fn no_beginning_is_set_in_a_log_that_has_one(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let (_, items) = foreign(4);
    let position = w.head().position.as_u64() + 10;
    let mut entry = items[1].clone();
    let Item::Entry(logged) = &mut entry else { panic!("not an entry") };
    (logged.entry.position, logged.entry.at) = (LogPosition::from_u64(position), now());
    refused(&w, load([Item::Beginning(beginning(position - 1, 0)), entry]), "load.differs");
}

pub(super) fn a_load_that_is_no_load_is_refused(fixture: &mut dyn Fixture) {
    let w = World::open(fixture);
    let key = |number| packed(api_key(&w.acme.merchant, number));
    let most = u32::try_from(MAX_LOAD_ITEMS).expect("is small");
    refused(&w, load((1..=most + 1).map(key)), "load.too_large");
    let (_, of_one) = foreign(4);
    let (_, of_another) = foreign(5);
    let items = vec![of_one[0].clone(), of_another[0].clone()];
    refused(&w, Load { items, behind: Some(LogPosition::START) }, "load.several_organizations");
    let Item::Entry(mut nameless) = of_one[1].clone() else { panic!("not an entry") };
    nameless.entities.pop();
    refused(&w, load([Item::Entry(nameless)]), "load.objects");
    let keys: Vec<Item> = (1..most).map(key).collect();
    let set = w.acme.creating((1..most).map(|number| api_key(&w.acme.merchant, number).into()));
    let entry = Item::Entry(logged(&set, w.head().position.as_u64() + 1));
    w.import(load([entry].into_iter().chain(keys))).expect("is as large as a load may be");
    let path = MerchantPath::Pinned(w.acme.merchant.tenant);
    let last = Key::ApiKey(path, text(format!("dev_{}", most - 1)));
    assert_eq!(w.get(&last).map(|record| record.kind()), Some(EntityKind::ApiKey));
}
