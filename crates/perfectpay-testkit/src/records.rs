//! Builders of every kind of record, and a small world of tenants, the same in every run.
//!
//! This is the one place of the testkit that spells out states. A builder takes a number: it is in the id, in the name
//! and, as seconds, in the time of creation. What a case is about it sets itself; every field is public.

use std::fmt::Debug;
use std::ops::Deref;
use std::str::FromStr;

use perfectpay::api_key::{Access, ApiKeyState, KeyPolicy, TokenDigest};
use perfectpay::blocklist::{BlockAction, BlockKind, BlockRuleId, BlockRuleState, BlockScope};
use perfectpay::card_testing::GuardKeys;
use perfectpay::connector::{AuthType, ConnectorState, ConnectorStatus, ConnectorType};
use perfectpay::event::{Delivery, EventState, EventType, once};
use perfectpay::merchant::{DataKeyState, FingerprintSecret, KeyHolder, MerchantState, PrimaryBusinesses};
use perfectpay::organization::OrganizationState;
use perfectpay::payment::{
    AuthenticationType, CaptureMethod, LinkAmount, LinkKind, LinkUseState, PaymentDecisionState, PaymentLinkState,
    PaymentProgress, PaymentState,
};
use perfectpay::profile::{Branding, ProfileSettings, ProfileState};
use perfectpay::routing::{
    Answer, Candidates, PaymentFacts, RetryPolicy, RoutingKind, RoutingProgramState, RoutingVersionId,
    RoutingVersionState,
};
use perfectpay::store::{
    Actor, Change, ChangeSet, Collection, CommitClass, EntityRef, IdempotencyClaim, IdempotencyKey, Key, LogEntry,
    LogPosition, Logged, MerchantPath, OrganizationPath, Owner, Query, Record, State, Stored, TenantRef,
};
use perfectpay::webhook::IntentStatus;
use perfectpay::{EntityKind, Incarnation, Money, PageRequest, Sealed, Timestamp};

use crate::Fixture;
use crate::probe::Probe;

/// Parses an id or a text that is known to be one.
#[track_caller]
pub fn text<T: FromStr<Err: Debug>>(text: impl AsRef<str>) -> T {
    text.as_ref().parse().expect("the testkit's own texts are well-formed")
}

/// So many seconds after the beginning of 2026.
pub fn moment(seconds: u32) -> Timestamp {
    Timestamp::from_unix_millis(1_767_225_600_000 + i64::from(seconds) * 1000).expect("is in the range")
}

/// When the sets of a [`World`] are committed: later than all that its builders make.
pub fn now() -> Timestamp {
    moment(1_000_000)
}

/// An incarnation that this number alone has.
pub fn incarnation(number: u64) -> Incarnation {
    let mut bytes = [0x5a; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Incarnation::from_bytes(bytes)
}

/// An envelope as a store sees one: bytes that it cannot read.
pub fn sealed(number: u32) -> Sealed {
    text(format!("AAAA{number:08}"))
}

/// An organization, `org_{number}`.
pub fn organization(number: u32) -> Stored<OrganizationState> {
    let state = OrganizationState {
        organization_name: text(format!("Organization {number}")),
        data_key: text(format!("dk_of_org_{number}")),
        organization_details: None,
        metadata: None,
    };
    Stored::new(incarnation(u64::from(number)), text(format!("org_{number}")), moment(number), state)
}

/// A merchant account, `merchant_{number}`, whose incarnation is of the number, too.
pub fn merchant(of: &Stored<OrganizationState>, number: u32) -> Stored<MerchantState> {
    let tenant = incarnation(1_000_000 + u64::from(number));
    let state = MerchantState {
        organization: of.tenant,
        organization_id: of.id.clone(),
        publishable_key: text(format!("pk_dev_{number}")),
        former_publishable_key: None,
        data_key: text(format!("dk_{number}")),
        former_data_key: None,
        merchant_name: Some(sealed(1)),
        merchant_details: None,
        return_url: None,
        webhook_details: None,
        webhook_password: None,
        enable_payment_response_hash: true,
        payment_response_hash_key: sealed(2),
        redirect_to_merchant_with_http_post: false,
        sub_merchants_enabled: false,
        parent_merchant_id: None,
        metadata: None,
        primary_business_details: PrimaryBusinesses::default(),
        fingerprint_secrets: vec![FingerprintSecret { version: 1, secret: sealed(3) }],
        blocklist_guard: false,
        key_policy: KeyPolicy::default(),
    };
    Stored::new(tenant, text(format!("merchant_{number}")), moment(number), state)
}

/// The data key that a merchant account names.
pub fn data_key(of: &Stored<MerchantState>) -> Stored<DataKeyState> {
    let state = DataKeyState { holder: KeyHolder::Merchant, wrapped: wrapped_by("mk_1") };
    Stored::new(of.tenant, of.state.data_key.clone(), of.created_at, state)
}

/// The data key that an organization names.
pub fn organization_data_key(of: &Stored<OrganizationState>) -> Stored<DataKeyState> {
    let state = DataKeyState { holder: KeyHolder::Organization, wrapped: wrapped_by("mk_1") };
    Stored::new(of.tenant, of.state.data_key.clone(), of.created_at, state)
}

/// What a keyring's key of this id wrapped.
pub fn wrapped_by(id: &str) -> Sealed {
    Sealed::wrapping(&text(id), &[7; 60])
}

/// A profile, `pro_{number}`, which is not the default.
pub fn profile(of: &Stored<MerchantState>, number: u32) -> Stored<ProfileState> {
    let state = ProfileState {
        profile_name: text(format!("Profile {number}")),
        is_default: false,
        settings: ProfileSettings::inherited(&of.state),
        webhook_details: None,
        webhook_password: None,
        payment_response_hash_key: sealed(4),
        outgoing_webhook_custom_http_headers: None,
        card_testing_secret: sealed(5),
        fallback: Vec::new(),
    };
    Stored::new(of.tenant, text(format!("pro_{number}")), moment(number), state)
}

/// A connector account, `mca_{number}`.
pub fn connector(of: &Stored<ProfileState>, number: u32) -> Stored<ConnectorState> {
    let state = ConnectorState {
        profile_id: of.id.clone(),
        connector_label: text(format!("connector {number}")),
        connector_type: ConnectorType::PaymentProcessor,
        connector_name: text("stripe"),
        auth_type: AuthType::HeaderKey,
        connector_account_details: sealed(6),
        payment_methods_enabled: None,
        connector_webhook_details: None,
        metadata: None,
        test_mode: None,
        disabled: false,
        status: ConnectorStatus::Active,
        business_country: None,
        business_label: None,
        business_sub_label: None,
        additional_merchant_data: None,
        credentials: perfectpay::connector::KeptCredentials::default(),
        connector_wallets_details: None,
    };
    Stored::new(of.tenant, text(format!("mca_{number}")), moment(number), state)
}

/// A routing program, `routing_{number}`, that does not decide.
pub fn routing_program(of: &Stored<ProfileState>, number: u32) -> Stored<RoutingProgramState> {
    let state = RoutingProgramState {
        profile_id: of.id.clone(),
        name: text(format!("Program {number}")),
        description: text("what is tried first"),
        kind: RoutingKind::Single,
        latest: 1,
        active: None,
        served: Vec::new(),
        replaced: None,
    };
    Stored::new(of.tenant, text(format!("routing_{number}")), moment(number), state)
}

/// The next version of a program, by its version 1 active.
pub fn activated(row: &Stored<RoutingProgramState>) -> Stored<RoutingProgramState> {
    let mut next = touched(row);
    next.state.active = Some(1);
    next
}

/// A version of a program, of this number, which tries the connector account `mca_1`.
pub fn routing_version(of: &Stored<RoutingProgramState>, number: u32) -> Stored<RoutingVersionState> {
    let algorithm = r#"{"type": "single", "data": {"connector": "stripe", "merchant_connector_id": "mca_1"}}"#;
    let state = RoutingVersionState {
        profile_id: of.state.profile_id.clone(),
        algorithm: serde_json::from_str(algorithm).expect("is one"),
        retry_policy: RetryPolicy::default(),
    };
    let id = RoutingVersionId { program: of.id.clone(), number };
    Stored::new(of.tenant, id, moment(number), state)
}

/// An API key, `dev_{number}`, whose digest is the number's alone, over all tenants.
pub fn api_key(of: &Stored<MerchantState>, number: u32) -> Stored<ApiKeyState> {
    let state = ApiKeyState {
        name: text(format!("Key {number}")),
        description: None,
        digest: Some(TokenDigest { pepper: text("master-1"), digest: digest(number) }),
        prefix: format!("dev_{number}"),
        expires_at: None,
        revoked_at: None,
        access: Access::default(),
        predecessor: None,
        successor: None,
        last_used: None,
    };
    Stored::new(of.tenant, text(format!("dev_{number}")), moment(number), state)
}

/// The digest of [`api_key`] of this number.
pub fn digest(number: u32) -> [u8; 32] {
    let mut digest = [0xd1; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    digest
}

/// The next version of a key, revoked: its digest is gone.
pub fn revoked(key: &Stored<ApiKeyState>) -> Stored<ApiKeyState> {
    let mut next = key.next(now(), key.state.clone());
    next.state.digest = None;
    next.state.revoked_at = Some(now());
    next
}

/// An entry of a blocklist that blocks a BIN: the number, in six digits.
pub fn block_rule(of: &Stored<MerchantState>, number: u32) -> Stored<BlockRuleState> {
    block_rule_of(of, BlockKind::CardBin, &format!("{number:06}"), number)
}

/// An entry of a blocklist of this kind and value, created when [`block_rule`] of this number is.
pub fn block_rule_of(of: &Stored<MerchantState>, kind: BlockKind, value: &str, number: u32) -> Stored<BlockRuleState> {
    let state = BlockRuleState {
        action: BlockAction::Block,
        expires_at: None,
        reason: None,
        source: None,
        author: Actor::Host,
        metadata: None,
    };
    Stored::new(of.tenant, BlockRuleId { kind, value: text(value), scope: BlockScope::Merchant }, moment(number), state)
}

/// A payment, `pay_{number}`.
pub fn payment(of: &Stored<ProfileState>, number: u32) -> Stored<PaymentState> {
    let state = PaymentState {
        profile_id: of.id.clone(),
        status: IntentStatus::RequiresPaymentMethod,
        amount: 4999.try_into().expect("is in the range"),
        currency: text("USD"),
        client_secret: sealed(8),
        expires_at: moment(number + 900),
        customer_id: None,
        capture_method: CaptureMethod::Automatic,
        authentication_type: AuthenticationType::NoThreeDs,
        return_url: None,
        description: None,
        metadata: None,
        payment_link: None,
        link_use: None,
        progress: PaymentProgress::default(),
    };
    Stored::new(of.tenant, text(format!("pay_{number}")), moment(number), state)
}

/// A payment link, `plink_{number}`.
pub fn payment_link(of: &Stored<PaymentState>, number: u32) -> Stored<PaymentLinkState> {
    let state = PaymentLinkState {
        payment_id: Some(of.id.clone()),
        profile_id: of.state.profile_id.clone(),
        link_to_pay: format!("https://pay.example.com/payment_link/merchant/{}", of.id),
        secure_link: None,
        amount: LinkAmount::Fixed(of.state.amount),
        currency: of.state.currency,
        kind: LinkKind::SingleUse,
        opens_at: None,
        expires_at: of.state.expires_at,
        deactivated_at: None,
        return_url: None,
        description: None,
        branding: Branding::resolve(None, None, None, None),
    };
    Stored::new(of.tenant, text(format!("plink_{number}")), moment(number), state)
}

/// A payment link of its own, `plink_own_{number}`: a profile holds it up.
pub fn own_link(of: &Stored<ProfileState>, number: u32, kind: LinkKind) -> Stored<PaymentLinkState> {
    let row = payment_link(&payment(of, number), number);
    let state = PaymentLinkState { payment_id: None, kind, ..row.state.clone() };
    Stored { id: text(format!("plink_own_{number}")), state, ..row }
}

/// A use of a link, `use_{number}`, held for 900 seconds after [now].
pub fn link_use(of: &Stored<PaymentLinkState>, number: u32) -> Stored<LinkUseState> {
    let state = LinkUseState {
        payment_link_id: of.id.clone(),
        profile_id: of.state.profile_id.clone(),
        payment_id: text(format!("pay_{number}")),
        held_until: now().plus_seconds(900),
        paying_since: None,
        confirmed_at: None,
    };
    Stored::new(of.tenant, text(format!("use_{number}")), moment(number), state)
}

/// A decision about a payment, `dec_{number}`, with no candidate.
pub fn payment_decision(of: &Stored<PaymentState>, number: u32) -> Stored<PaymentDecisionState> {
    let state = PaymentDecisionState {
        profile_id: of.state.profile_id.clone(),
        payment_id: of.id.clone(),
        facts: PaymentFacts::of(Money { amount: of.state.amount, currency: of.state.currency }),
        fingerprint: None,
        guard: None,
        blocked: None,
        program: None,
        accounts: Vec::new(),
        retry: RetryPolicy::default(),
        guard_keys: GuardKeys::default(),
        answer: Answer::Candidates(Candidates::default()),
    };
    Stored::new(of.tenant, text(format!("dec_{number}")), moment(number), state)
}

/// An event of a payment, whose id and digest no other number and no other tenant has; it is due when it is created.
pub fn event(of: &Stored<PaymentState>, number: u32) -> Stored<EventState> {
    let id = format!("evt_{}_{number}", of.tenant);
    let state = EventState {
        profile_id: of.state.profile_id.clone(),
        payment_id: of.id.clone(),
        event_type: EventType::PaymentSucceeded,
        once: once(&id, EventType::PaymentSucceeded),
        payload: sealed(9),
        delivery: Delivery::begun(moment(number)),
    };
    Stored::new(of.tenant, text(id), moment(number), state)
}

/// The next version of an event, which is due then.
pub fn due(row: &Stored<EventState>, at: Timestamp) -> Stored<EventState> {
    let mut next = touched(row);
    next.state.delivery.due_at = Some(at);
    next
}

/// The next version of an event, delivered.
pub fn delivered(row: &Stored<EventState>) -> Stored<EventState> {
    let mut next = touched(row);
    next.state.delivery = row.state.delivery.arrived(now());
    next
}

/// The next version of an object, as its state is.
pub fn touched<S: State>(row: &Stored<S>) -> Stored<S> {
    row.next(now(), row.state.clone())
}

/// The next version of a profile, with another name.
pub fn renamed(row: &Stored<ProfileState>, name: &str) -> Stored<ProfileState> {
    let mut next = touched(row);
    next.state.profile_name = text(name);
    next
}

/// The idempotency keys that the cases use, so that a [snapshot](Probe::snapshot) can look all of them up.
pub const IDEMPOTENCY_KEYS: [&str; 3] = ["key-0", "key-1", "key-2"];

/// A claim on one of [`IDEMPOTENCY_KEYS`], for a request and with an answer of that number. Its tenant is filled in by
/// [`Probe::commit`], and [`Probe::claim`] answers it without.
pub fn claim(key: usize, request: u8) -> IdempotencyClaim {
    IdempotencyClaim {
        tenant: Incarnation::PLATFORM,
        key: text::<IdempotencyKey>(IDEMPOTENCY_KEYS[key]),
        request: [request; 32],
        answer: sealed(u32::from(request)),
        expires_at: now().plus_seconds(3_600),
    }
}

/// A living merchant account and what it always has.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// The organization.
    pub organization: Stored<OrganizationState>,
    /// The merchant account.
    pub merchant: Stored<MerchantState>,
    /// Its data key.
    pub data_key: Stored<DataKeyState>,
    /// Its default profile, `pro_default`, named `default`.
    pub profile: Stored<ProfileState>,
}

impl Tenant {
    /// A merchant account of this number within an organization.
    pub fn within(organization: &Stored<OrganizationState>, number: u32) -> Self {
        let merchant = merchant(organization, number);
        let mut profile = profile(&merchant, number);
        profile.id = text("pro_default");
        profile.state.profile_name = text("default");
        profile.state.is_default = true;
        Self { organization: organization.clone(), data_key: data_key(&merchant), profile, merchant }
    }

    /// The set that creates it.
    pub fn founding(&self) -> ChangeSet {
        let mut set = self.set();
        set.create(self.merchant.clone()).create(self.data_key.clone()).create(self.profile.clone());
        set
    }

    /// Whose its commits are.
    pub fn owner(&self) -> Owner {
        let id = self.merchant.id.to_string();
        Owner { merchant: Some(TenantRef { incarnation: self.merchant.tenant, id }), ..owner_of(&self.organization) }
    }

    /// A configuration set of it by the host, [now].
    pub fn set(&self) -> ChangeSet {
        ChangeSet::new(self.owner(), Actor::Host, now(), CommitClass::Configuration)
    }

    /// A set that creates these records in order.
    pub fn creating(&self, records: impl IntoIterator<Item = Record>) -> ChangeSet {
        let mut set = self.set();
        for record in records {
            set.create(record);
        }
        set
    }

    /// The path that a caller of its organization has.
    pub fn path(&self) -> MerchantPath {
        MerchantPath::Within(self.organization.id.clone(), self.merchant.id.clone())
    }

    /// The path that survives no removal.
    pub fn pinned(&self) -> MerchantPath {
        MerchantPath::Pinned(self.merchant.tenant)
    }

    /// All three paths to it.
    pub fn paths(&self) -> [MerchantPath; 3] {
        [self.path(), MerchantPath::Id(self.merchant.id.clone()), self.pinned()]
    }

    /// The whole of a collection, by its organization's path, in one page of 100.
    pub fn query(&self, collection: Collection) -> Query {
        Query::Within(self.path(), collection, PageRequest::of(100).expect("is a limit"))
    }

    /// One record of every kind below a merchant account that has a collection, each of this number, parents first: a
    /// profile, a connector account, a routing program and its first version, an API key, a blocklist entry, a payment, its
    /// link, a link of its own and a use of it, a decision about the payment and an event of it.
    pub fn one_of_each(&self, number: u32) -> Vec<Record> {
        let profile = profile(&self.merchant, number);
        let payment = payment(&profile, number);
        let program = routing_program(&profile, number);
        let own = own_link(&profile, number, LinkKind::Reusable);
        vec![
            profile.clone().into(),
            connector(&profile, number).into(),
            program.clone().into(),
            routing_version(&program, number).into(),
            api_key(&self.merchant, number).into(),
            block_rule(&self.merchant, number).into(),
            payment.clone().into(),
            payment_link(&payment, number).into(),
            own.clone().into(),
            link_use(&own, number).into(),
            payment_decision(&payment, number).into(),
            event(&payment, number).into(),
        ]
    }
}

/// Whose the commits of an organization are.
pub fn owner_of(organization: &Stored<OrganizationState>) -> Owner {
    let id = organization.id.to_string();
    Owner { organization: Some(TenantRef { incarnation: organization.tenant, id }), merchant: None }
}

/// A configuration set of an organization by the host, [now].
pub fn organization_set(organization: &Stored<OrganizationState>) -> ChangeSet {
    ChangeSet::new(owner_of(organization), Actor::Host, now(), CommitClass::Configuration)
}

/// The entry of the log that a set leaves at a position, as an export has it.
pub fn logged(set: &ChangeSet, position: u64) -> Logged {
    let Owner { organization, merchant } = &set.owner;
    Logged {
        entry: LogEntry {
            position: LogPosition::from_u64(position),
            at: set.at,
            actor: set.actor.clone(),
            class: set.class,
            organization_id: organization.as_ref().map(|t| t.id.clone()),
            merchant_id: merchant.as_ref().map(|t| t.id.clone()),
            changes: set.logged(),
        },
        organization: organization.as_ref().map(|t| t.incarnation),
        merchant: merchant.as_ref().map(|t| t.incarnation),
        entities: set.changes.iter().map(Change::entity).collect(),
    }
}

/// Every path to a record of a merchant account that goes through `path`; to one found without a path, that one, too.
pub fn keys_of(record: &Record, path: &MerchantPath) -> Vec<Key> {
    let path = path.clone();
    match record {
        Record::Organization(row) => vec![
            Key::Organization(OrganizationPath::Id(row.id.clone())),
            Key::Organization(OrganizationPath::Pinned(row.tenant)),
        ],
        Record::Merchant(row) => vec![
            Key::DataKey(row.tenant, row.state.data_key.clone()),
            Key::DefaultProfile(path.clone()),
            Key::Merchant(path),
        ],
        Record::DataKey(row) => vec![Key::DataKey(row.tenant, row.id.clone())],
        Record::Profile(row) => {
            vec![Key::Profile(path.clone(), row.id.clone()), Key::ProfileByName(path, row.state.profile_name.clone())]
        }
        Record::Connector(row) => vec![Key::Connector(path, row.id.clone())],
        Record::RoutingProgram(row) => {
            let active = Key::ActiveProgram(path.clone(), row.state.profile_id.clone());
            let active = row.state.active.map(|_| active);
            active.into_iter().chain([Key::RoutingProgram(path, row.id.clone())]).collect()
        }
        Record::RoutingVersion(row) => vec![Key::RoutingVersion(path, row.id.clone())],
        Record::ApiKey(row) => {
            let by_digest = row.state.digest.iter().map(|d| Key::ApiKeyByDigest(d.digest));
            by_digest.chain([Key::ApiKey(path, row.id.clone())]).collect()
        }
        Record::BlockRule(row) if row.id.scope == BlockScope::Organization => {
            vec![Key::BlockRule(OrganizationPath::Pinned(row.tenant).into(), row.id.clone())]
        }
        Record::BlockRule(row) => vec![Key::BlockRule(path.into(), row.id.clone())],
        Record::Payment(row) => vec![Key::Payment(path, row.id.clone())],
        Record::PaymentLink(row) => vec![Key::PaymentLink(path, row.id.clone())],
        Record::PaymentDecision(row) => vec![Key::PaymentDecision(path, row.id.clone())],
        Record::Event(row) => {
            vec![Key::Event(path.clone(), row.id.clone()), Key::EventOnce(path, row.state.once.clone())]
        }
        Record::LinkUse(row) => vec![Key::LinkUse(path, row.id.clone())],
    }
}

/// The path to exactly this object.
pub fn key_of(entity: &EntityRef) -> Key {
    let path = MerchantPath::Pinned(entity.tenant);
    let id = &entity.id;
    match entity.kind {
        EntityKind::Organization => Key::Organization(OrganizationPath::Pinned(entity.tenant)),
        EntityKind::Merchant => Key::Merchant(path),
        EntityKind::DataKey => Key::DataKey(entity.tenant, text(id)),
        EntityKind::Profile => Key::Profile(path, text(id)),
        EntityKind::Connector => Key::Connector(path, text(id)),
        EntityKind::RoutingProgram => Key::RoutingProgram(path, text(id)),
        EntityKind::RoutingVersion => Key::RoutingVersion(path, text(id)),
        EntityKind::ApiKey => Key::ApiKey(path, text(id)),
        EntityKind::BlockRule => {
            let id: BlockRuleId = text(id);
            let organization = OrganizationPath::Pinned(entity.tenant);
            let is_organizations = id.scope == BlockScope::Organization;
            Key::BlockRule(if is_organizations { organization.into() } else { path.into() }, id)
        }
        EntityKind::Payment => Key::Payment(path, text(id)),
        EntityKind::PaymentLink => Key::PaymentLink(path, text(id)),
        EntityKind::Event => Key::Event(path, text(id)),
        EntityKind::PaymentDecision => Key::PaymentDecision(path, text(id)),
        EntityKind::LinkUse => Key::LinkUse(path, text(id)),
    }
}

/// The record at another version, put together from its columns as a back-end does.
pub fn with_version(record: &Record, version: u64) -> Record {
    let mut meta = record.meta();
    meta.version = version;
    let body = record.body().expect("a state is JSON");
    Record::decode(record.kind(), &meta, &body).expect("its own columns are a record's")
}

/// Every collection of a merchant account, whole and by kind; by profile is [`Collection::Connectors`] of each.
pub fn collections() -> Vec<Collection> {
    let by_kind = [BlockKind::CardBin, BlockKind::ExtendedCardBin, BlockKind::Fingerprint];
    let mut all = vec![
        Collection::Profiles,
        Collection::Connectors { profile: None },
        Collection::RoutingPrograms { profile: None },
        Collection::RoutingVersions { program: None },
        Collection::ApiKeys,
        Collection::BlockRules { kind: None },
        Collection::Payments,
        Collection::OpenPayments,
        Collection::PaymentLinks { profile: None },
        Collection::PaymentDecisions,
        Collection::Events,
        Collection::PendingEvents,
    ];
    all.extend(by_kind.map(|kind| Collection::BlockRules { kind: Some(kind) }));
    all
}

/// A store with two organizations: the first with two merchant accounts, the second with one.
///
/// It derefs to its [`Probe`], so that a case reads and commits through it.
#[derive(Debug)]
pub struct World {
    /// Reads and writes, and checks on the way.
    pub probe: Probe,
    /// `merchant_1` of `org_1`.
    pub acme: Tenant,
    /// `merchant_2` of `org_1`.
    pub sister: Tenant,
    /// `merchant_3` of `org_2`.
    pub rival: Tenant,
}

impl World {
    /// Commits the world to a fresh store: five sets, one for each organization and merchant account.
    pub fn open(fixture: &dyn Fixture) -> Self {
        let probe = Probe::new(fixture.store());
        let (first, second) = (organization(1), organization(2));
        for row in [&first, &second] {
            let mut set = organization_set(row);
            set.create(row.clone());
            probe.apply(set);
        }
        let tenants = [Tenant::within(&first, 1), Tenant::within(&first, 2), Tenant::within(&second, 3)];
        for tenant in &tenants {
            probe.apply(tenant.founding());
        }
        let [acme, sister, rival] = tenants;
        Self { probe, acme, sister, rival }
    }
}

impl Deref for World {
    type Target = Probe;

    fn deref(&self) -> &Probe {
        &self.probe
    }
}
