//! What a commit checks and answers: as the memory store does, for sets that are wrong in every way that the contract
//! names, alone and among others.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use common::{
    a_whole_tree, api_key, apply, at, block_rule, connector, created, creating, data_key, entity, event, in_merchant,
    in_organization, link_use, merchant, once, organization, own_link, payment, payment_decision, payment_link,
    profile, removing, revoked, set, tenant, touched, verdict,
};
use futures_lite::future::block_on;
use perfectpay::blocklist::{BlockAction, BlockKind};
use perfectpay::store::{
    ChangeSet, Collection, CommitClass, EntityRef, Expectation, IdempotencyKey, Key, LogQuery, LogScope, MerchantPath,
    OrganizationPath, Owner, Query, Store, Stored,
};
use perfectpay::{Cursor, EntityKind, PageRequest};
use perfectpay_memory::MemoryStore;
use perfectpay_sqlite::SqliteStore;

/// A store in a file with the whole tree in it, and a memory store with the same.
struct Pair {
    _folder: tempfile::TempDir,
    sqlite: SqliteStore,
    memory: MemoryStore,
}

impl Pair {
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteStore::open(folder.path().join("accounts.db")).unwrap();
        Self { _folder: folder, sqlite, memory: MemoryStore::new() }
    }

    fn filled() -> Self {
        let pair = Self::empty();
        for set in a_whole_tree() {
            pair.same(set);
        }
        pair
    }

    /// Commits to both, expects the same of both, and answers it.
    fn same(&self, set: ChangeSet) -> String {
        let (found, expected) = (verdict(&self.sqlite, set.clone()), verdict(&self.memory, set));
        assert_eq!(found, expected);
        found
    }

    /// Expects that every read answers the same.
    fn reads_the_same(&self) {
        for key in keys() {
            assert_eq!(block_on(self.sqlite.get(&key)).unwrap(), block_on(self.memory.get(&key)).unwrap(), "{key:?}");
        }
        for query in queries(&PageRequest::of(2).unwrap()) {
            self.lists_the_same(&query);
        }
        for query in log_queries() {
            assert_eq!(
                block_on(self.sqlite.log(&query)).unwrap(),
                block_on(self.memory.log(&query)).unwrap(),
                "{query:?}"
            );
        }
        for of in [1, 2, 3] {
            for key in ["create-org", "create-merchant", "k"] {
                let key: IdempotencyKey = key.parse().unwrap();
                let claim = |store: &dyn Store| block_on(store.claim(tenant(of), &key)).unwrap();
                assert_eq!(claim(&self.sqlite), claim(&self.memory), "{of} {key}");
            }
        }
        assert_eq!(block_on(self.sqlite.head()).unwrap(), block_on(self.memory.head()).unwrap());
    }

    fn lists_the_same(&self, query: &Query) {
        let list = |store: &dyn Store| block_on(store.list(query)).unwrap();
        assert_eq!(list(&self.sqlite), list(&self.memory), "{query:?}");
    }
}

fn paths() -> Vec<MerchantPath> {
    let within = |org: &str, id: &str| MerchantPath::Within(org.parse().unwrap(), id.parse().unwrap());
    vec![
        MerchantPath::Id("m2".parse().unwrap()),
        MerchantPath::Id("m9".parse().unwrap()),
        within("org_1", "m2"),
        within("org_9", "m2"),
        within("org_1", "m9"),
        MerchantPath::Pinned(tenant(2)),
        MerchantPath::Pinned(tenant(1)),
        MerchantPath::Pinned(tenant(9)),
    ]
}

fn organization_paths() -> Vec<OrganizationPath> {
    let by_id = |id: &str| OrganizationPath::Id(id.parse().unwrap());
    vec![by_id("org_1"), by_id("org_9"), OrganizationPath::Pinned(tenant(1)), OrganizationPath::Pinned(tenant(2))]
}

fn keys() -> Vec<Key> {
    let mut keys = vec![Key::ApiKeyByDigest([1; 32]), Key::ApiKeyByDigest([2; 32])];
    keys.extend(["pk_dev_2", "pk_dev_9"].map(|key| Key::MerchantByPublishableKey(key.parse().unwrap())));
    keys.extend([1, 2, 9].map(|number| Key::DataKey(tenant(number), "dk_1".parse().unwrap())));
    keys.extend(organization_paths().into_iter().map(Key::Organization));
    for path in paths() {
        keys.extend([
            Key::Merchant(path.clone()),
            Key::Profile(path.clone(), "pro_a".parse().unwrap()),
            Key::Profile(path.clone(), "pro_b".parse().unwrap()),
            Key::ProfileByName(path.clone(), "pro_a".parse().unwrap()),
            Key::ProfileByName(path.clone(), "PRO_A".parse().unwrap()),
            Key::DefaultProfile(path.clone()),
            Key::Connector(path.clone(), "mca_1".parse().unwrap()),
            Key::RoutingProgram(path.clone(), "routing_1".parse().unwrap()),
            Key::ActiveProgram(path.clone(), "pro_a".parse().unwrap()),
            Key::RoutingVersion(path.clone(), "routing_1.00001".parse().unwrap()),
            Key::ApiKey(path.clone(), "snd_1".parse().unwrap()),
            Key::ApiKey(path.clone(), "snd_2".parse().unwrap()),
            Key::BlockRule(path.clone().into(), "card_bin:411111".parse().unwrap()),
            Key::BlockRule(path.clone().into(), "fingerprint@pro_a:abc".parse().unwrap()),
            Key::Payment(path.clone(), "pay_1".parse().unwrap()),
            Key::PaymentLink(path.clone(), "plink_1".parse().unwrap()),
            Key::LinkUse(path.clone(), "use_1".parse().unwrap()),
            Key::Event(path.clone(), "evt_1".parse().unwrap()),
            Key::PaymentDecision(path.clone(), "dec_1".parse().unwrap()),
            Key::EventOnce(path, "evt_1".to_owned()),
        ]);
    }
    keys
}

fn collections() -> Vec<Collection> {
    vec![
        Collection::Organizations,
        Collection::Merchants,
        Collection::Profiles,
        Collection::Connectors { profile: None },
        Collection::Connectors { profile: Some("pro_a".parse().unwrap()) },
        Collection::Connectors { profile: Some("pro_none".parse().unwrap()) },
        Collection::RoutingPrograms { profile: None },
        Collection::RoutingPrograms { profile: Some("pro_a".parse().unwrap()) },
        Collection::RoutingVersions { program: None },
        Collection::RoutingVersions { program: Some("routing_1".parse().unwrap()) },
        Collection::ApiKeys,
        Collection::BlockRules { kind: None },
        Collection::BlockRules { kind: Some(BlockKind::CardBin) },
        Collection::BlockRules { kind: Some(BlockKind::ExtendedCardBin) },
        Collection::Payments,
        Collection::OpenPayments,
        Collection::PaymentLinks { profile: None },
        Collection::PaymentLinks { profile: Some("pro_a".parse().unwrap()) },
        Collection::PaymentLinks { profile: Some("pro_b".parse().unwrap()) },
        Collection::LinkUses { link: "plink_1".parse().unwrap() },
        Collection::PaymentDecisions,
        Collection::Events,
        Collection::PendingEvents,
        Collection::Outbox,
    ]
}

fn queries(page: &PageRequest) -> Vec<Query> {
    let mut queries = vec![Query::Organizations(page.clone()), Query::Outbox(page.clone())];
    queries.extend(["mk_1", "mk_9"].map(|id| Query::DataKeys(id.parse().unwrap(), page.clone())));
    queries.extend(organization_paths().into_iter().map(|path| Query::Merchants(path, page.clone())));
    for path in paths() {
        queries.extend(collections().into_iter().map(|c| Query::Within(path.clone(), c, page.clone())));
    }
    queries
}

fn log_queries() -> Vec<LogQuery> {
    let scopes = [
        LogScope::All,
        LogScope::Configuration,
        LogScope::Organization(tenant(1)),
        LogScope::Organization(tenant(2)),
        LogScope::Merchant(tenant(2)),
        LogScope::Entity(entity(EntityKind::Merchant, 2, "any name")),
        LogScope::Entity(entity(EntityKind::Profile, 2, "pro_a")),
        LogScope::Entity(entity(EntityKind::ApiKey, 2, "snd_2")),
        LogScope::Entity(entity(EntityKind::ApiKey, 3, "snd_2")),
    ];
    let query = |scope: &LogScope, after, limit| LogQuery {
        scope: scope.clone(),
        after: perfectpay::store::LogPosition::from_u64(after),
        limit,
    };
    let of = |scope: &LogScope| [query(scope, 0, 9), query(scope, 1, 2), query(scope, u64::MAX, 9), query(scope, 0, 0)];
    scopes.iter().flat_map(of).collect()
}

fn by_org() -> Owner {
    in_organization(1)
}

fn by_merchant() -> Owner {
    in_merchant(2, 1)
}

fn expecting(expectation: Expectation) -> ChangeSet {
    let mut set = creating(by_merchant(), [profile(2, "pro_new").into()]);
    set.expectations.push(expectation);
    set
}

fn children(of: EntityRef, kind: EntityKind, count: u64) -> ChangeSet {
    expecting(Expectation::Children { of, kind, count })
}

fn uses_left(link: &str, fewer_than: u64) -> Expectation {
    let of = entity(EntityKind::PaymentLink, 2, link);
    let but = Some(entity(EntityKind::LinkUse, 2, "use_1"));
    Expectation::Uses { of, but, fewer_than }
}

fn updating(record: impl Into<perfectpay::store::Record>) -> ChangeSet {
    let mut set = set(by_merchant());
    set.update(record);
    set
}

/// Sets of one change that are wrong, or almost, by what is wrong with them. All stand on [`a_whole_tree`].
fn cases() -> Vec<(&'static str, ChangeSet)> {
    use EntityKind::{
        ApiKey, BlockRule, Connector, DataKey, Event, Merchant, Organization, Payment, PaymentDecision, PaymentLink,
        Profile,
    };
    let stale = |row: Stored<_>| Stored { version: 7, ..row };
    vec![
        ("nothing to do", set(by_org())),
        ("an id that is taken", creating(by_org(), [Stored { tenant: tenant(8), ..organization(1) }.into()])),
        (
            "an incarnation that is taken",
            creating(by_org(), [Stored { id: "org_8".parse().unwrap(), ..organization(1) }.into()]),
        ),
        ("a merchant id that is taken", creating(by_org(), [Stored { tenant: tenant(8), ..merchant(2, 1) }.into()])),
        ("a merchant of no organization", creating(by_org(), [merchant(8, 9).into()])),
        ("a profile that is there", creating(by_merchant(), [profile(2, "pro_a").into()])),
        ("a profile of no merchant", creating(by_merchant(), [profile(9, "pro_a").into()])),
        ("a connector of no profile", creating(by_merchant(), [connector(2, "pro_x", "mca_9").into()])),
        ("a payment of no profile", creating(by_merchant(), [payment(2, "pro_x", "pay_9").into()])),
        ("a link of no payment", creating(by_merchant(), [payment_link(2, "pay_9", "plink_9").into()])),
        ("a link of its own", creating(by_merchant(), [own_link(2, "pro_b", "plink_9").into()])),
        ("a link of no profile", creating(by_merchant(), [own_link(2, "pro_x", "plink_9").into()])),
        ("a use of a link", creating(by_merchant(), [link_use(2, "plink_1", "use_9").into()])),
        ("a use of no link", creating(by_merchant(), [link_use(2, "plink_9", "use_9").into()])),
        ("no use left", expecting(uses_left("plink_1", 0))),
        ("a use left", expecting(uses_left("plink_1", 1))),
        ("a use left of no link", expecting(uses_left("plink_9", 1))),
        ("a key of no merchant", creating(by_merchant(), [api_key(9, "snd_9", 9).into()])),
        ("a data key of no merchant", creating(by_merchant(), [data_key(9, "dk_9").into()])),
        ("a rule of no merchant", creating(by_merchant(), [block_rule(9, "card_bin:1").into()])),
        ("a digest that is taken", creating(by_merchant(), [api_key(2, "snd_9", 1).into()])),
        ("a digest that a revoked key had", creating(by_merchant(), [api_key(2, "snd_9", 2).into()])),
        ("an update of nothing", updating(touched(&profile(2, "pro_x")))),
        ("an update of a stale version", updating(stale(profile(2, "pro_b")))),
        ("an update to version 0", updating(Stored { version: 0, ..profile(2, "pro_b") })),
        ("a removal of nothing", removing(by_org(), entity(Merchant, 9, "m9"), 1, false)),
        ("a removal of a stale version", removing(by_org(), entity(Merchant, 2, "m2"), 2, true)),
        ("a removal of a stale version without a cascade", removing(by_org(), entity(Merchant, 2, "m2"), 2, false)),
        ("an organization with merchants", removing(by_org(), entity(Organization, 1, "org_1"), 1, false)),
        ("a merchant with everything", removing(by_merchant(), entity(Merchant, 2, "m2"), 1, false)),
        ("a profile with children", removing(by_merchant(), entity(Profile, 2, "pro_a"), 1, false)),
        ("a payment with a link", removing(by_merchant(), entity(Payment, 2, "pay_1"), 1, false)),
        ("an empty profile goes", removing(by_merchant(), entity(Profile, 2, "pro_b"), 1, false)),
        ("a key goes", removing(by_merchant(), entity(ApiKey, 2, "snd_1"), 1, false)),
        ("a rule goes", removing(by_merchant(), entity(BlockRule, 2, "card_bin:411111"), 1, false)),
        ("a data key goes", removing(by_merchant(), entity(DataKey, 2, "dk_1"), 1, false)),
        ("a connector goes", removing(by_merchant(), entity(Connector, 2, "mca_1"), 1, false)),
        ("a link goes", removing(by_merchant(), entity(PaymentLink, 2, "plink_1"), 1, true)),
        ("an event", creating(by_merchant(), [event(2, "pay_1", "evt_2").into()])),
        ("an event of no payment", creating(by_merchant(), [event(2, "pay_9", "evt_2").into()])),
        ("a decision goes", removing(by_merchant(), entity(PaymentDecision, 2, "dec_1"), 1, false)),
        ("an event goes", removing(by_merchant(), entity(Event, 2, "evt_1"), 1, false)),
        ("a payment goes with its link", removing(by_merchant(), entity(Payment, 2, "pay_1"), 1, true)),
        ("a profile goes with everything", removing(by_merchant(), entity(Profile, 2, "pro_a"), 1, true)),
        ("a merchant goes with everything", removing(by_merchant(), entity(Merchant, 2, "another name"), 1, true)),
        ("an organization goes with everything", removing(by_org(), entity(Organization, 1, "org_1"), 1, true)),
        ("an expected version", expecting(Expectation::Version { entity: entity(Profile, 2, "pro_b"), version: 1 })),
        ("an unexpected version", expecting(Expectation::Version { entity: entity(Profile, 2, "pro_b"), version: 2 })),
        (
            "an expected object that is not there",
            expecting(Expectation::Version { entity: entity(Profile, 2, "pro_x"), version: 2 }),
        ),
        ("as many children", children(entity(Merchant, 2, "m2"), Profile, 2)),
        ("other children", children(entity(Merchant, 2, "m2"), Profile, 3)),
        ("as many rules", children(entity(Merchant, 2, "m2"), BlockRule, 2)),
        ("a revoked key is no child", children(entity(Merchant, 2, "m2"), ApiKey, 1)),
        ("a data key is no child", children(entity(Merchant, 2, "m2"), DataKey, 0)),
        ("as many payments", children(entity(Profile, 2, "pro_a"), Payment, 1)),
        ("as many connectors", children(entity(Profile, 2, "pro_a"), Connector, 1)),
        ("as many links", children(entity(Payment, 2, "pay_1"), PaymentLink, 1)),
        ("as many decisions", children(entity(Payment, 2, "pay_1"), PaymentDecision, 1)),
        ("as many events", children(entity(Payment, 2, "pay_1"), Event, 1)),
        ("as many merchants", children(entity(Organization, 1, "org_1"), Merchant, 1)),
        ("no children of nothing", children(entity(Organization, 9, "org_9"), Merchant, 0)),
        ("an equal request again", once(creating(by_org(), [organization(8).into()]), "create-org", 1)),
        ("another request again", once(creating(by_org(), [organization(8).into()]), "create-org", 9)),
        ("an equal request without changes", once(set(by_org()), "create-org", 1)),
        ("the key of another tenant", once(creating(by_org(), [organization(8).into()]), "create-merchant", 2)),
    ]
}

/// Sets with one record that is wrong in a field.
fn sets_with_a_wrong_field() -> Vec<(&'static str, ChangeSet)> {
    let mut cases = Vec::new();
    let mut late = once(creating(by_org(), [organization(8).into()]), "create-org", 9);
    late.at = at(30_000);
    cases.push(("a request after the key expired", late));

    let mut two = merchant(8, 1);
    two.state.publishable_key = "pk_dev_2".parse().unwrap();
    cases.push(("a publishable key that is taken", creating(by_org(), [two.into()])));
    let mut two = profile(2, "pro_c");
    two.state.profile_name = "pro_a".parse().unwrap();
    cases.push(("a name that is taken", creating(by_merchant(), [two.into()])));
    let mut two = profile(2, "pro_c");
    two.state.profile_name = "Pro_a".parse().unwrap();
    cases.push(("a name in other letters", creating(by_merchant(), [two.into()])));
    let mut two = profile(2, "pro_c");
    two.state.is_default = true;
    cases.push(("a second default profile", creating(by_merchant(), [two.into()])));
    let mut two = profile(2, "pro_c");
    two.state.is_default = true;
    two.state.profile_name = "pro_b".parse().unwrap();
    cases.push(("a second default profile whose name is taken", creating(by_merchant(), [two.into()])));
    let mut two = connector(2, "pro_a", "mca_2");
    two.state.connector_label = "mca_1".parse().unwrap();
    cases.push(("a label that is taken", creating(by_merchant(), [two.clone().into()])));
    two.state.profile_id = "pro_b".parse().unwrap();
    cases.push(("a label of another profile", creating(by_merchant(), [two.into()])));
    let mut two = event(2, "pay_1", "evt_2");
    two.state.once = "evt_1".into();
    cases.push(("an event that is the same as another", creating(by_merchant(), [two.into()])));
    let mut done = touched(&event(2, "pay_1", "evt_1"));
    done.state.delivery = done.state.delivery.arrived(at(12_000));
    cases.push(("an event that was delivered", updating(done)));
    let mut renamed = touched(&profile(2, "pro_b"));
    renamed.state.profile_name = "pro_a".parse().unwrap();
    cases.push(("an update to a name that is taken", updating(renamed)));
    let mut renamed = touched(&organization(1));
    renamed.id = "org_renamed".parse().unwrap();
    renamed.created_at = at(77);
    cases.push(("an update to another id and time", updating(renamed)));
    let mut turned = touched(&block_rule(2, "card_bin:411111"));
    turned.state.action = BlockAction::Allow;
    cases.push(("a rule that allows from then on", updating(turned)));
    cases
}

/// Sets of several changes, of which the later ones stand on the earlier.
fn sets_of_several() -> Vec<(&'static str, ChangeSet)> {
    use EntityKind::{
        BlockRule, Connector, Event, Merchant, Organization, Payment, PaymentDecision, PaymentLink, Profile,
    };
    let mut cases = Vec::new();
    let mut swap = set(by_merchant());
    let mut first = touched(&profile(2, "pro_a"));
    first.state.profile_name = "free".parse().unwrap();
    let mut second = touched(&profile(2, "pro_b"));
    second.state.profile_name = "pro_a".parse().unwrap();
    second.state.is_default = true;
    swap.update(first).update(second.clone());
    cases.push(("what frees a name before what takes it", swap));
    let mut wrong = set(by_merchant());
    wrong.update(second).update(touched(&profile(2, "pro_a")));
    cases.push(("what takes a name before what frees it", wrong));

    let mut twice = creating(by_merchant(), [profile(2, "pro_c").into(), profile(2, "pro_c").into()]);
    cases.push(("the same object twice", twice.clone()));
    twice.changes.pop();
    twice.update(touched(&profile(2, "pro_c"))).remove(entity(Profile, 2, "pro_c"), 2, false);
    cases.push(("a whole life in one commit", twice));
    let mut behind = removing(by_merchant(), entity(Profile, 2, "pro_b"), 1, true);
    behind.create(profile(2, "pro_c"));
    cases.push(("a change behind a cascade", behind));
    let mut clearing = removing(by_merchant(), entity(Connector, 2, "mca_1"), 1, false);
    clearing.remove(entity(PaymentLink, 2, "plink_1"), 1, false);
    clearing.remove(entity(Event, 2, "evt_1"), 1, false);
    clearing.remove(entity(PaymentDecision, 2, "dec_1"), 1, false);
    clearing.remove(entity(Payment, 2, "pay_1"), 1, false);
    clearing.remove(entity(Profile, 2, "pro_a"), 1, false);
    cases.push(("a profile behind its children", clearing.clone()));
    clearing.remove(entity(Profile, 2, "pro_b"), 1, false);
    clearing.update(revoked(&api_key(2, "snd_1", 1)));
    clearing.remove(entity(BlockRule, 2, "card_bin:411111"), 1, false);
    let mut early = clearing.clone();
    early.remove(entity(Merchant, 2, "m2"), 1, false);
    cases.push(("a merchant with one rule left", early));
    clearing.remove(entity(BlockRule, 2, "fingerprint@pro_a:abc"), 1, false);
    clearing.remove(entity(Merchant, 2, "m2"), 1, false);
    cases.push(("a merchant behind its children, with keys that do not count", once(clearing.clone(), "k", 1)));
    clearing.remove(entity(Organization, 1, "org_1"), 1, false);
    cases.push(("everything, one by one", clearing));
    let mut cascade = creating(by_merchant(), [block_rule(2, "card_bin:422222").into()]);
    cascade.remove(entity(BlockRule, 2, "fingerprint@pro_a:abc"), 1, false);
    cascade.remove(entity(Organization, 1, "org_1"), 1, true);
    cases.push(("rules that come and go before a cascade", once(cascade, "k", 1)));
    cases
}

#[test]
fn a_commit_answers_as_the_memory_store_does_and_leaves_the_same() {
    for (what, set) in cases().into_iter().chain(sets_with_a_wrong_field()).chain(sets_of_several()) {
        let pair = Pair::filled();
        println!("{what}: {}", pair.same(set.clone()));
        pair.reads_the_same();
        // And once more, on what the first left.
        pair.same(set);
        pair.reads_the_same();
    }
}

#[test]
fn a_database_in_memory_answers_as_the_memory_store_does() {
    let (sqlite, memory) = (SqliteStore::in_memory().unwrap(), MemoryStore::new());
    for set in a_whole_tree() {
        assert_eq!(verdict(&sqlite, set.clone()), verdict(&memory, set));
    }
    for key in keys() {
        assert_eq!(block_on(sqlite.get(&key)).unwrap(), block_on(memory.get(&key)).unwrap());
    }
    for query in queries(&PageRequest::default()) {
        assert_eq!(block_on(sqlite.list(&query)).unwrap(), block_on(memory.list(&query)).unwrap());
    }
    assert_eq!(sqlite.path(), None);
}

#[test]
fn pages_follow_each_other_as_in_the_memory_store() {
    let pair = Pair::filled();
    let mut many = set(by_merchant());
    for number in 0..7 {
        // Three share a moment, so that the id decides.
        let moment = 100 + number / 3;
        many.create(created(profile(2, &format!("pro_{number}")), moment));
        many.create(created(connector(2, "pro_a", &format!("mca_x{number}")), moment));
        many.create(created(block_rule(2, &format!("card_bin:40000{number}")), moment));
        many.create(created(payment(2, "pro_b", &format!("pay_x{number}")), moment));
        many.create(created(event(2, "pay_1", &format!("evt_x{number}")), moment));
        many.create(created(payment_decision(2, "pay_1", &format!("dec_x{number}")), moment));
    }
    pair.same(many);
    for first in queries(&PageRequest::of(2).unwrap()) {
        let mut query = first;
        for _ in 0..20 {
            pair.lists_the_same(&query);
            let Some(listing) = block_on(pair.sqlite.list(&query)).unwrap() else { break };
            let Some(last) = listing.records.get(1) else { break };
            let created_at = last.place_in(&query.collection()).1;
            let next = PageRequest::of(2).unwrap().after(Cursor { created_at, id: last.meta().id });
            query = match query {
                Query::Organizations(_) => Query::Organizations(next),
                Query::Merchants(path, _) => Query::Merchants(path, next),
                Query::DataKeys(wrapped_by, _) => Query::DataKeys(wrapped_by, next),
                Query::Outbox(_) => Query::Outbox(next),
                Query::ApiKeys(filter, _) => Query::ApiKeys(filter, next),
                Query::OrganizationBlockRules(path, kind, _) => Query::OrganizationBlockRules(path, kind, next),
                Query::Within(path, collection, _) => Query::Within(path, collection, next),
            };
        }
    }
}

#[test]
fn the_log_never_steps_back_and_its_classes_have_heads_of_their_own() {
    let pair = Pair::empty();
    for (number, millis, class) in [
        (1, -5_000, CommitClass::Configuration),
        (2, 50_000, CommitClass::Operational),
        (3, 40_000, CommitClass::Configuration),
        (4, 60_000, CommitClass::Operational),
    ] {
        let mut set = creating(in_organization(number), [organization(number).into()]);
        set.at = at(millis);
        set.class = class;
        pair.same(set);
        pair.reads_the_same();
    }
}

#[test]
fn a_record_too_large_for_its_column_is_refused_and_one_that_just_fits_is_kept() {
    use perfectpay::Object;
    let pair = Pair::empty();
    let object = |n: usize| {
        let mut map = serde_json::Map::new();
        map.insert("k".into(), "\u{1}".repeat(n).into());
        Object::try_from(map).unwrap()
    };
    let mut large = organization(1);
    large.state.metadata = Some(object(2_000));
    pair.same(creating(by_org(), [large.into()]));
    pair.reads_the_same();
    // An entry of the log above 1 MiB.
    let rules = (0..20_000).map(|n| organization(100 + n).into());
    let error = block_on(pair.sqlite.commit(creating(by_org(), rules))).unwrap_err();
    assert_eq!(error.code(), "changes.too_large");
    assert_eq!(block_on(pair.sqlite.head()).unwrap().position.as_u64(), 1);
    apply(&pair.sqlite, creating(by_org(), [organization(2).into()]));
}
