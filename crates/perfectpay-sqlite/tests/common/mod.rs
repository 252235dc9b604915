//! Records of every kind, made in one place, and what the tests say often.
#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;

use futures_lite::future::block_on;
use perfectpay::api_key::{Access, ApiKeyState, TokenDigest};
use perfectpay::blocklist::{BlockAction, BlockRuleId, BlockRuleState};
use perfectpay::connector::ConnectorState;
use perfectpay::event::EventState;
use perfectpay::merchant::{DataKeyState, KeyHolder, MerchantState};
use perfectpay::organization::OrganizationState;
use perfectpay::payment::{LinkUseState, PaymentDecisionState, PaymentLinkState, PaymentState};
use perfectpay::profile::ProfileState;
use perfectpay::store::{
    Actor, ChangeSet, CommitClass, Committed, EntityRef, IdempotencyClaim, Owner, Receipt, Record, Store, Stored,
    TenantRef,
};
use perfectpay::{EntityKind, Error, Incarnation, Timestamp};
use perfectpay_testkit::records;

/// A moment by its number.
pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis).unwrap()
}

/// An incarnation by its number.
pub fn tenant(number: u64) -> Incarnation {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Incarnation::from_bytes(bytes)
}

/// What is not the tests' business is as in the testkit's records.
fn a_profile() -> Stored<ProfileState> {
    records::profile(&records::merchant(&records::organization(1), 1), 1)
}

fn a_payment() -> Stored<PaymentState> {
    records::payment(&a_profile(), 1)
}

/// Organization `number`: `org_{number}`.
pub fn organization(number: u64) -> Stored<OrganizationState> {
    let state = OrganizationState {
        organization_name: format!("Organization {number}").parse().unwrap(),
        data_key: "dk_1".parse().unwrap(),
        organization_details: None,
        metadata: None,
    };
    Stored::new(tenant(number), format!("org_{number}").parse().unwrap(), at(1_000), state)
}

/// Merchant account `number` of organization `of`: `m{number}`.
pub fn merchant(number: u64, of: u64) -> Stored<MerchantState> {
    let state = MerchantState {
        organization: tenant(of),
        organization_id: format!("org_{of}").parse().unwrap(),
        publishable_key: format!("pk_dev_{number}").parse().unwrap(),
        data_key: "dk_1".parse().unwrap(),
        ..records::merchant(&records::organization(1), 1).state
    };
    Stored::new(tenant(number), format!("m{number}").parse().unwrap(), at(2_000), state)
}

pub fn data_key(merchant: u64, id: &str) -> Stored<DataKeyState> {
    Stored::new(
        tenant(merchant),
        id.parse().unwrap(),
        at(2_500),
        DataKeyState { holder: KeyHolder::Merchant, wrapped: "AQ".parse().unwrap() },
    )
}

/// A profile named after its id, not the default one.
pub fn profile(merchant: u64, id: &str) -> Stored<ProfileState> {
    let state = ProfileState { profile_name: id.parse().unwrap(), ..a_profile().state };
    Stored::new(tenant(merchant), id.parse().unwrap(), at(3_000), state)
}

/// A connector account labelled after its id.
pub fn connector(merchant: u64, profile: &str, id: &str) -> Stored<ConnectorState> {
    let state = ConnectorState {
        profile_id: profile.parse().unwrap(),
        connector_label: id.parse().unwrap(),
        ..records::connector(&a_profile(), 1).state
    };
    Stored::new(tenant(merchant), id.parse().unwrap(), at(4_000), state)
}

/// An API key with a digest of this byte, not revoked.
pub fn api_key(merchant: u64, id: &str, digest: u8) -> Stored<ApiKeyState> {
    let state = ApiKeyState {
        name: "a key".parse().unwrap(),
        description: None,
        digest: Some(TokenDigest { pepper: "2026".parse().unwrap(), digest: [digest; 32] }),
        prefix: "snd_abc".into(),
        expires_at: Some(at(90_000)),
        revoked_at: None,
        access: Access::default(),
        predecessor: None,
        successor: None,
        last_used: None,
    };
    Stored::new(tenant(merchant), id.parse().unwrap(), at(5_000), state)
}

/// The key after its revocation.
pub fn revoked(key: &Stored<ApiKeyState>) -> Stored<ApiKeyState> {
    key.next(at(6_000), ApiKeyState { digest: None, revoked_at: Some(at(6_000)), ..key.state.clone() })
}

pub fn block_rule(merchant: u64, id: &str) -> Stored<BlockRuleState> {
    let id: BlockRuleId = id.parse().unwrap();
    let state = BlockRuleState {
        action: BlockAction::Block,
        expires_at: None,
        reason: Some("seen before".parse().unwrap()),
        source: None,
        author: Actor::Host,
        metadata: None,
    };
    Stored::new(tenant(merchant), id, at(7_000), state)
}

pub fn payment(merchant: u64, profile: &str, id: &str) -> Stored<PaymentState> {
    let state = PaymentState { profile_id: profile.parse().unwrap(), ..a_payment().state };
    Stored::new(tenant(merchant), id.parse().unwrap(), at(8_000), state)
}

pub fn payment_link(merchant: u64, payment: &str, id: &str) -> Stored<PaymentLinkState> {
    let state =
        PaymentLinkState { payment_id: Some(payment.parse().unwrap()), ..records::payment_link(&a_payment(), 1).state };
    Stored::new(tenant(merchant), id.parse().unwrap(), at(9_000), state)
}

pub fn payment_decision(merchant: u64, payment: &str, id: &str) -> Stored<PaymentDecisionState> {
    let payment_id = payment.parse().unwrap();
    let state = PaymentDecisionState { payment_id, ..records::payment_decision(&a_payment(), 1).state };
    Stored::new(tenant(merchant), id.parse().unwrap(), at(9_300), state)
}

/// An event that is the same by its id, and due at 11,000.
pub fn event(merchant: u64, payment: &str, id: &str) -> Stored<EventState> {
    let mut state =
        EventState { payment_id: payment.parse().unwrap(), once: id.into(), ..records::event(&a_payment(), 1).state };
    state.delivery.due_at = Some(at(11_000));
    Stored::new(tenant(merchant), id.parse().unwrap(), at(9_500), state)
}

/// A link of its own: a profile holds it up.
pub fn own_link(merchant: u64, profile: &str, id: &str) -> Stored<PaymentLinkState> {
    let row = payment_link(merchant, "pay_1", id);
    Stored {
        state: PaymentLinkState { payment_id: None, profile_id: profile.parse().unwrap(), ..row.state.clone() },
        ..row
    }
}

/// A use of a link, held until long after every set of these tests.
pub fn link_use(merchant: u64, link: &str, id: &str) -> Stored<LinkUseState> {
    let of = payment_link(merchant, "pay_1", link);
    let row = records::link_use(&of, 1);
    Stored { id: id.parse().unwrap(), ..created(row, 9_500) }
}

/// The same record at another moment of creation.
pub fn created<S: perfectpay::store::State>(mut row: Stored<S>, millis: i64) -> Stored<S> {
    row.created_at = at(millis);
    row.modified_at = at(millis);
    row
}

/// The next version of a record, otherwise equal.
pub fn touched<S: perfectpay::store::State>(row: &Stored<S>) -> Stored<S> {
    row.next(at(10_000), row.state.clone())
}

/// An organization as an owner.
pub fn in_organization(number: u64) -> Owner {
    let organization = TenantRef { incarnation: tenant(number), id: format!("org_{number}") };
    Owner { organization: Some(organization), merchant: None }
}

/// A merchant account of organization `of` as an owner.
pub fn in_merchant(number: u64, of: u64) -> Owner {
    let merchant = TenantRef { incarnation: tenant(number), id: format!("m{number}") };
    Owner { merchant: Some(merchant), ..in_organization(of) }
}

/// An empty set.
pub fn set(owner: Owner) -> ChangeSet {
    ChangeSet::new(owner, Actor::Host, at(20_000), CommitClass::Configuration)
}

/// A set that creates these records.
pub fn creating(owner: Owner, records: impl IntoIterator<Item = Record>) -> ChangeSet {
    let mut set = set(owner);
    for record in records {
        set.create(record);
    }
    set
}

/// A set that removes an object.
pub fn removing(owner: Owner, entity: EntityRef, version: u64, cascade: bool) -> ChangeSet {
    let mut set = set(owner);
    set.remove(entity, version, cascade);
    set
}

/// The set under an idempotency key, for a request of this byte.
pub fn once(mut set: ChangeSet, key: &str, request: u8) -> ChangeSet {
    let owner = set.owner.merchant.as_ref().or(set.owner.organization.as_ref());
    set.idempotency = Some(IdempotencyClaim {
        tenant: owner.map_or(Incarnation::PLATFORM, |tenant| tenant.incarnation),
        key: key.parse().unwrap(),
        request: [request; 32],
        answer: "AQID".parse().unwrap(),
        expires_at: at(30_000),
    });
    set
}

/// One record of every kind: organization 1 with merchant account 2, and below it profile `pro_a` (the default one) with
/// a connector account and a payment with a link, `pro_b` without anything, two API keys, the second revoked, and two
/// blocklist entries.
pub fn a_whole_tree() -> Vec<ChangeSet> {
    let mut default = profile(2, "pro_a");
    default.state.is_default = true;
    let second = api_key(2, "snd_2", 2);
    let mut revoking = set(in_merchant(2, 1));
    revoking.update(revoked(&second));
    let accounts = creating(
        in_merchant(2, 1),
        [
            merchant(2, 1).into(),
            data_key(2, "dk_1").into(),
            default.into(),
            profile(2, "pro_b").into(),
            connector(2, "pro_a", "mca_1").into(),
            api_key(2, "snd_1", 1).into(),
            second.into(),
            block_rule(2, "card_bin:411111").into(),
            block_rule(2, "fingerprint@pro_a:abc").into(),
        ],
    );
    let mut paying = creating(
        in_merchant(2, 1),
        [
            payment(2, "pro_a", "pay_1").into(),
            payment_link(2, "pay_1", "plink_1").into(),
            payment_decision(2, "pay_1", "dec_1").into(),
            event(2, "pay_1", "evt_1").into(),
        ],
    );
    paying.class = CommitClass::Operational;
    vec![
        once(creating(in_organization(1), [organization(1).into()]), "create-org", 1),
        once(accounts, "create-merchant", 2),
        revoking,
        paying,
    ]
}

/// Commits, and expects that it is applied.
pub fn apply(store: &dyn Store, set: ChangeSet) -> Receipt {
    match block_on(store.commit(set)) {
        Ok(Committed::Applied(receipt)) => receipt,
        other => panic!("not applied: {other:?}"),
    }
}

/// Commits, and answers what came of it, in a form that can be compared.
pub fn verdict(store: &dyn Store, set: ChangeSet) -> String {
    verdict_of(&block_on(store.commit(set)))
}

/// What came of a commit, in a form that can be compared.
pub fn verdict_of(answer: &Result<Committed, Error>) -> String {
    match answer {
        Ok(Committed::Applied(receipt)) => format!("applied at {}", receipt.at),
        other => format!("{other:?}"),
    }
}

/// How an object is named.
pub fn entity(kind: EntityKind, of: u64, id: &str) -> EntityRef {
    EntityRef { kind, tenant: tenant(of), id: id.into() }
}

/// Every file of a folder with its bytes.
pub fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
}

/// How many rows a statement of ours counts, by a plain connection.
pub fn count(path: &Path, sql: &str) -> i64 {
    rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}
