//! What should happen, worked out with plain lists: no type and no rule of the library is used here.
//!
//! Whatever the library names itself goes by a token, such as `‹profile 3›`; the system under test knows what each token
//! stands for. Lists keep the dead, so that they can be named again.

mod routing;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use routing::{RoutingCall, RoutingCommand};

use super::command::{Command, ConnectorEdit, Edit, Expecting, KeyEdit, MerchantEdit, Pick, RulePick, Thing, Way};
use super::host::{BEGINNING, IDEMPOTENCY_SECONDS};

pub(crate) const MERCHANT_IDS: [&str; 4] = ["m1", "m2", "m3", "m4"];
const NAMES: [&str; 5] = ["default", "Web", "Shop", "US_a", "DE_b"];
const BUSINESSES: [(&str, &str); 3] = [("US", "a"), ("DE", "b"), ("US", "c")];
const LABELS: [&str; 2] = ["first", "second"];
const PAYMENT_IDS: [&str; 3] = ["p1", "p2", "p3"];
/// Two share eight digits, three share six.
pub(crate) const CARDS: [&str; 4] = ["4242424242424242", "4242424200000000", "4242429900000002", "4111111111111111"];
const SESSION_SECONDS: i64 = 900;
const HOUR: i64 = 3_600_000;

/// The handle that a call goes through to a merchant account.
#[derive(Debug, Clone)]
pub(crate) enum Road {
    Root { merchant: String },
    Through { organization: String, merchant: String },
    Caller { key: String },
}

/// A command with everyone in it named.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Clock {
        millis: i64,
    },
    CreateOrganization {
        name: String,
        key: Option<String>,
    },
    UpdateOrganization {
        organization: String,
        name: Change,
        expecting: Option<u64>,
    },
    RemoveOrganization {
        organization: String,
        cascade: bool,
        expecting: Option<u64>,
    },
    CreateMerchant {
        organization: String,
        id: String,
        parent: Option<String>,
        stated: Option<String>,
        businesses: Vec<(String, String)>,
        key: Option<String>,
    },
    UpdateMerchant {
        road: Road,
        edit: MerchantChange,
        expecting: Option<u64>,
    },
    RemoveMerchant {
        road: Road,
        cascade: bool,
        expecting: Option<u64>,
    },
    CreateProfile {
        road: Road,
        name: String,
        key: Option<String>,
    },
    UpdateProfile {
        road: Road,
        profile: String,
        name: Change,
        expecting: Option<u64>,
    },
    RemoveProfile {
        road: Road,
        profile: String,
        cascade: bool,
        expecting: Option<u64>,
    },
    CreateConnector {
        road: Road,
        handle: Option<String>,
        body: Option<String>,
        label: Option<String>,
        key: Option<String>,
    },
    UpdateConnector {
        road: Road,
        handle: Option<String>,
        connector: String,
        edit: ConnectorChange,
        expecting: Option<u64>,
    },
    RemoveConnector {
        road: Road,
        handle: Option<String>,
        connector: String,
        cascade: bool,
        expecting: Option<u64>,
    },
    CreateApiKey {
        road: Road,
        name: String,
        expires: Option<i64>,
        key: Option<String>,
    },
    UpdateApiKey {
        road: Road,
        api_key: String,
        edit: KeyChange,
        expecting: Option<u64>,
    },
    RevokeApiKey {
        road: Road,
        api_key: String,
        expecting: Option<u64>,
    },
    Authenticate {
        api_key: String,
    },
    AddRule {
        road: Road,
        rule: Rule,
        key: Option<String>,
    },
    RemoveRule {
        road: Road,
        rule: Rule,
        expecting: Option<u64>,
    },
    Toggle {
        road: Road,
        status: Option<bool>,
    },
    Screen {
        road: Road,
        card: usize,
    },
    CreatePayment {
        road: Road,
        handle: Option<String>,
        body: Option<String>,
        id: Option<String>,
        link: bool,
        return_url: bool,
        confirm: bool,
        key: Option<String>,
    },
    Read {
        road: Road,
        thing: Named,
    },
    Routing(RoutingCall),
}

/// What a field is to become.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Keep,
    Clear,
    Set(String),
}

#[derive(Debug, Clone)]
pub(crate) enum MerchantChange {
    Nothing,
    Name(Change),
    OtherId(String),
    Parent(Option<String>),
    Default(String),
    NoDefault,
    Businesses(Vec<(String, String)>),
}

#[derive(Debug, Clone)]
pub(crate) enum ConnectorChange {
    Label(Change),
    Disabled(bool),
    Credential(String),
}

#[derive(Debug, Clone)]
pub(crate) enum KeyChange {
    Name(Change),
    Expires(Option<i64>),
    ExpiresNull,
}

#[derive(Debug, Clone)]
pub(crate) enum Named {
    Merchant,
    Organization,
    Profile(String),
    Connector(Option<String>, String),
    ApiKey(String),
    Payment(Option<String>, String),
    Link(String),
}

/// A blocklist entry; of a fingerprint the value is a token, unless the merchant account is not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) kind: &'static str,
    pub(crate) value: String,
    /// The card that the fingerprint is of.
    pub(crate) card: Option<usize>,
    /// The merchant account at which the card has this fingerprint.
    pub(crate) merchant: Option<String>,
}

impl Rule {
    fn id(&self) -> String {
        format!("{}:{}", self.kind, self.value)
    }
}

/// What must come of a call.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    /// It is answered, with these facts in the answer.
    Done(Done),
    /// It is answered as that step was.
    Again(usize),
    Refused(Refused),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Done {
    /// Members of the answer.
    pub(crate) facts: Vec<(&'static str, serde_json::Value)>,
    /// What new tokens stand for.
    pub(crate) binds: Vec<Bind>,
    /// The object that the answer is the whole of, as lists show it too.
    pub(crate) whole: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Bind {
    /// The token stands for this member of the answer.
    Member(String, &'static str),
    /// The token stands for the profile of this merchant account with this name.
    Profile { token: String, merchant: String, name: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) text: String,
    /// Why a credential was refused, which only the host learns.
    pub(crate) reason: Option<&'static str>,
}

#[derive(Debug, Clone)]
struct Organization {
    alive: bool,
    version: u64,
    created: i64,
    name: String,
}

#[derive(Debug, Clone)]
struct Merchant {
    alive: bool,
    version: u64,
    created: i64,
    organization: usize,
    id: String,
    name: Option<String>,
    parent: Option<String>,
    businesses: Vec<(String, String)>,
    guard: bool,
}

#[derive(Debug, Clone)]
struct Profile {
    alive: bool,
    version: u64,
    created: i64,
    merchant: usize,
    name: String,
    default: bool,
}

#[derive(Debug, Clone)]
struct Connector {
    alive: bool,
    version: u64,
    created: i64,
    profile: usize,
    label: String,
    disabled: bool,
    credential: String,
}

#[derive(Debug, Clone)]
struct ApiKey {
    alive: bool,
    version: u64,
    created: i64,
    merchant: usize,
    name: String,
    expires: Option<i64>,
    revoked: Option<i64>,
}

#[derive(Debug, Clone)]
struct Entry {
    alive: bool,
    created: i64,
    merchant: usize,
    rule: Rule,
}

#[derive(Debug, Clone)]
struct Payment {
    alive: bool,
    created: i64,
    profile: usize,
    id: String,
    linked: bool,
    expires: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tenant {
    Platform,
    Organization(usize),
    Merchant(usize),
}

#[derive(Debug, Clone)]
struct Claim {
    request: String,
    step: usize,
    expires: i64,
}

/// One entry that the log must have.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) text: String,
    pub(crate) organization: Option<String>,
    pub(crate) merchant: Option<String>,
    pub(crate) configuration: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Model {
    clock: i64,
    newest: i64,
    step: usize,
    organizations: Vec<Organization>,
    merchants: Vec<Merchant>,
    profiles: Vec<Profile>,
    connectors: Vec<Connector>,
    api_keys: Vec<ApiKey>,
    entries: Vec<Entry>,
    payments: Vec<Payment>,
    programs: Vec<routing::Program>,
    claims: BTreeMap<(Tenant, String), Claim>,
    /// Keys that authenticated once, in order.
    sessions: Vec<usize>,
    /// Creations under an idempotency key that were done.
    keyed: Vec<Call>,
    pub(crate) log: Vec<Logged>,
    pub(crate) last: Option<(Call, Expected)>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            clock: BEGINNING,
            newest: 0,
            step: 0,
            organizations: Vec::new(),
            merchants: Vec::new(),
            profiles: Vec::new(),
            connectors: Vec::new(),
            api_keys: Vec::new(),
            entries: Vec::new(),
            payments: Vec::new(),
            programs: Vec::new(),
            claims: BTreeMap::new(),
            sessions: Vec::new(),
            keyed: Vec::new(),
            log: Vec::new(),
            last: None,
        }
    }
}

/// Why a command is not carried out.
enum Stop {
    Refused(Refused),
    /// It was carried out by that step.
    Again(usize),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

type Answer = Result<Done, Stop>;

/// A command's claim on an idempotency key: kept once it is done.
type Claiming = Option<((Tenant, String), String)>;

fn organization_token(at: usize) -> String {
    format!("‹organization {at}›")
}

fn profile_token(at: usize) -> String {
    format!("‹profile {at}›")
}

fn connector_token(at: usize) -> String {
    format!("‹connector {at}›")
}

fn key_token(at: usize) -> String {
    format!("‹key {at}›")
}

fn fingerprint_token(merchant: usize, card: usize) -> String {
    format!("‹fingerprint {merchant} {card}›")
}

fn link_token(payment: usize) -> String {
    format!("‹link {payment}›")
}

/// The number in a token of this kind.
fn number(kind: &str, token: &str) -> Option<usize> {
    token.strip_prefix('‹')?.strip_suffix('›')?.strip_prefix(kind)?.trim().parse().ok()
}

fn chosen<T: Clone>(from: &[T], by: u8) -> Option<T> {
    if from.is_empty() { None } else { from.get(usize::from(by) % from.len()).cloned() }
}

fn refused(code: &str, text: impl Into<String>) -> Refused {
    Refused { code: code.to_owned(), text: text.into(), reason: None }
}

fn absent(what: &str, id: &str) -> Refused {
    refused("not_found", format!("there is no {what} `{id}`"))
}

fn unauthorized(reason: &'static str) -> Refused {
    Refused { reason: Some(reason), ..refused("unauthorized", "the credential was not accepted") }
}

fn not_null(field: &str) -> Refused {
    refused("field.not_nullable", format!("`{field}`: must not be null"))
}

fn at(expected: Option<u64>, found: u64, what: &str, id: &str) -> Result<(), Refused> {
    match expected {
        Some(expected) if expected != found => {
            Err(refused("stale", format!("{what} `{id}` is at version {found}, not {expected}")))
        }
        _ => Ok(()),
    }
}

fn children(what: &str, id: &str, counts: &[(usize, &str)]) -> Result<(), Refused> {
    let list: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} × {kind}")).collect();
    if list.is_empty() {
        return Ok(());
    }
    Err(refused("has_children", format!("{what} `{id}` still has {}", list.join(", "))))
}

fn version(version: u64) -> (&'static str, serde_json::Value) {
    ("/version", version.into())
}

fn change(edit: Edit, alphabet: &[&str]) -> Change {
    match edit {
        Edit::Keep => Change::Keep,
        Edit::Clear => Change::Clear,
        Edit::Set(at) => Change::Set(alphabet[usize::from(at) % alphabet.len()].to_owned()),
    }
}

fn business_names(businesses: &[(String, String)]) -> Vec<String> {
    let mut names = Vec::new();
    for (country, business) in businesses {
        let name = format!("{country}_{business}");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

impl Model {
    /// Carries a command out, and remembers in `last` what was called and what must come of it.
    pub(crate) fn apply(mut self, command: &Command) -> Self {
        let call = self.named(command);
        let before = self.log.len();
        let expected = match self.carry_out(&call) {
            Ok(done) => Expected::Done(done),
            Err(Stop::Refused(refused)) => Expected::Refused(refused),
            Err(Stop::Again(step)) => Expected::Again(step),
        };
        assert!(matches!(expected, Expected::Done(_)) || self.log.len() == before, "the model logged a refusal");
        if matches!(expected, Expected::Done(_)) && self.claims.values().any(|claim| claim.step == self.step) {
            self.keyed.push(call.clone());
        }
        self.step += 1;
        self.last = Some((call, expected));
        self
    }

    // ---- who is meant -------------------------------------------------------------------------------------------

    fn living_merchants(&self) -> Vec<usize> {
        (0..self.merchants.len()).filter(|&m| self.merchants[m].alive).collect()
    }

    fn pick_organization(&self, pick: Pick) -> String {
        let living: Vec<usize> = (0..self.organizations.len()).filter(|&o| self.organizations[o].alive).collect();
        let found = match pick {
            Pick::Own(by) | Pick::Living(by) => chosen(&living, by),
            Pick::Any(by) => chosen(&(0..self.organizations.len()).collect::<Vec<_>>(), by),
            Pick::Absent => None,
        };
        found.map_or_else(|| "org_absent".to_owned(), organization_token)
    }

    fn road(&self, way: Way) -> Road {
        let id = |by: u8| MERCHANT_IDS[usize::from(by) % MERCHANT_IDS.len()].to_owned();
        match way {
            Way::Root(by) => Road::Root { merchant: id(by) },
            Way::Through(pick, by) => Road::Through { organization: self.pick_organization(pick), merchant: id(by) },
            Way::Own(by) => match chosen(&self.living_merchants(), by) {
                Some(m) => Road::Through {
                    organization: organization_token(self.merchants[m].organization),
                    merchant: self.merchants[m].id.clone(),
                },
                None => Road::Root { merchant: id(by) },
            },
            Way::Caller(by) => match chosen(&self.sessions, by) {
                Some(key) => Road::Caller { key: key_token(key) },
                None => self.road(Way::Own(by)),
            },
        }
    }

    /// The merchant account at the end of a road, without asking whether the caller may go there.
    fn end_of(&self, road: &Road) -> Option<usize> {
        let by_id = |id: &str| self.living_merchants().into_iter().find(|&m| self.merchants[m].id == id);
        match road {
            Road::Root { merchant } => by_id(merchant),
            Road::Through { organization, merchant } => {
                by_id(merchant).filter(|&m| organization_token(self.merchants[m].organization) == *organization)
            }
            Road::Caller { key } => {
                let key = number("key", key)?;
                Some(self.api_keys[key].merchant).filter(|&m| self.merchants[m].alive)
            }
        }
    }

    fn id_at(road: &Road) -> &str {
        match road {
            Road::Root { merchant } | Road::Through { merchant, .. } => merchant,
            Road::Caller { .. } => "",
        }
    }

    /// One of `all`, each of which says whether it lives and whose it is.
    fn pick(pick: Pick, merchant: Option<usize>, all: &[(bool, usize)]) -> Option<usize> {
        let those = |keep: &dyn Fn(&(bool, usize)) -> bool| -> Vec<usize> {
            all.iter().enumerate().filter(|(_, one)| keep(one)).map(|(at, _)| at).collect()
        };
        match pick {
            Pick::Own(by) => chosen(&those(&|(alive, of)| *alive && Some(*of) == merchant), by),
            Pick::Living(by) => chosen(&those(&|(alive, _)| *alive), by),
            Pick::Any(by) => chosen(&those(&|_| true), by),
            Pick::Absent => None,
        }
    }

    fn pick_profile(&self, pick: Pick, merchant: Option<usize>) -> String {
        let all: Vec<_> = self.profiles.iter().map(|p| (p.alive, p.merchant)).collect();
        Self::pick(pick, merchant, &all).map_or_else(|| "pro_absent".to_owned(), profile_token)
    }

    fn pick_connector(&self, pick: Pick, merchant: Option<usize>) -> String {
        let all: Vec<_> = self.connectors.iter().map(|c| (c.alive, self.profiles[c.profile].merchant)).collect();
        Self::pick(pick, merchant, &all).map_or_else(|| "mca_absent".to_owned(), connector_token)
    }

    fn pick_key(&self, pick: Pick, merchant: Option<usize>) -> String {
        let all: Vec<_> = self.api_keys.iter().map(|k| (k.alive, k.merchant)).collect();
        Self::pick(pick, merchant, &all).map_or_else(|| "snd_absent".to_owned(), key_token)
    }

    fn pick_payment(&self, pick: Pick, merchant: Option<usize>, linked: bool) -> Option<usize> {
        let all: Vec<_> = self
            .payments
            .iter()
            .map(|p| (p.alive && (p.linked || !linked), self.profiles[p.profile].merchant))
            .collect();
        Self::pick(pick, merchant, &all)
    }

    fn rule(&self, pick: RulePick, merchant: Option<usize>) -> Rule {
        let card = |by: u8| usize::from(by) % CARDS.len();
        let plain = |kind, value: &str| Rule { kind, value: value.to_owned(), card: None, merchant: None };
        match (pick, merchant) {
            (RulePick::Bin(by), _) => plain("card_bin", &CARDS[card(by)][..6]),
            (RulePick::ExtendedBin(by), _) => plain("extended_card_bin", &CARDS[card(by)][..8]),
            (RulePick::BadBin, _) => plain("card_bin", "12345x"),
            (RulePick::Fingerprint(_), None) => plain("fingerprint", "foreign"),
            (RulePick::Fingerprint(by), Some(m)) => Rule {
                kind: "fingerprint",
                value: fingerprint_token(m, card(by)),
                card: Some(card(by)),
                merchant: Some(self.merchants[m].id.clone()),
            },
        }
    }

    fn expecting(expecting: Expecting, found: Option<u64>) -> Option<u64> {
        match expecting {
            Expecting::Nothing => None,
            Expecting::Right => Some(found.unwrap_or(1)),
            Expecting::Wrong(by) => Some(match (by, found.unwrap_or(1)) {
                (0, found) => found + 1,
                (1, found) => found - 1,
                (_, found) => found + 1_000,
            }),
        }
    }

    #[allow(clippy::too_many_lines, reason = "one arm for each command")]
    fn named(&self, command: &Command) -> Call {
        let key = |key: &Option<u8>| key.map(|key| format!("key-{key}"));
        let businesses = |picks: &[u8]| -> Vec<(String, String)> {
            picks.iter().map(|&by| BUSINESSES[usize::from(by) % 3]).map(|(c, b)| (c.to_owned(), b.to_owned())).collect()
        };
        let merchant_id = |by: u8| MERCHANT_IDS[usize::from(by) % MERCHANT_IDS.len()].to_owned();
        let passing = |handle: &Option<Pick>, m| handle.map(|pick| self.pick_profile(pick, m));
        match command {
            Command::Clock { seconds } => Call::Clock { millis: self.clock + i64::from(*seconds) * 1_000 },
            Command::CreateOrganization { name, key: k } => {
                Call::CreateOrganization { name: NAMES[usize::from(*name)].to_owned(), key: key(k) }
            }
            Command::UpdateOrganization { organization, name, expecting } => {
                let organization = self.pick_organization(*organization);
                let found = number("organization", &organization).map(|o| self.organizations[o].version);
                Call::UpdateOrganization {
                    organization,
                    name: change(*name, &NAMES[..3]),
                    expecting: Self::expecting(*expecting, found),
                }
            }
            Command::RemoveOrganization { organization, cascade, expecting } => {
                let organization = self.pick_organization(*organization);
                let found = number("organization", &organization).map(|o| self.organizations[o].version);
                Call::RemoveOrganization {
                    organization,
                    cascade: *cascade,
                    expecting: Self::expecting(*expecting, found),
                }
            }
            Command::CreateMerchant { organization, id, parent, stated, businesses: b, key: k } => {
                Call::CreateMerchant {
                    organization: self.pick_organization(*organization),
                    id: merchant_id(*id),
                    parent: parent.map(merchant_id),
                    stated: stated.map(|pick| self.pick_organization(pick)),
                    businesses: businesses(b),
                    key: key(k),
                }
            }
            Command::UpdateMerchant { way, edit, expecting } => {
                let road = self.road(*way);
                let m = self.end_of(&road);
                let edit = match edit {
                    MerchantEdit::Nothing => MerchantChange::Nothing,
                    MerchantEdit::Name(edit) => MerchantChange::Name(change(*edit, &NAMES[..2])),
                    MerchantEdit::OtherId => MerchantChange::OtherId("m9".to_owned()),
                    MerchantEdit::Parent(parent) => MerchantChange::Parent(parent.map(merchant_id)),
                    MerchantEdit::Default(pick) => MerchantChange::Default(self.pick_profile(*pick, m)),
                    MerchantEdit::NoDefault => MerchantChange::NoDefault,
                    MerchantEdit::Businesses(picks) => MerchantChange::Businesses(businesses(picks)),
                };
                let found = m.map(|m| self.merchants[m].version);
                Call::UpdateMerchant { road, edit, expecting: Self::expecting(*expecting, found) }
            }
            Command::RemoveMerchant { way, cascade, expecting } => {
                let road = self.road(*way);
                let found = self.end_of(&road).map(|m| self.merchants[m].version);
                Call::RemoveMerchant { road, cascade: *cascade, expecting: Self::expecting(*expecting, found) }
            }
            Command::CreateProfile { way, name, key: k } => Call::CreateProfile {
                road: self.road(*way),
                name: NAMES[usize::from(*name) % NAMES.len()].to_owned(),
                key: key(k),
            },
            Command::UpdateProfile { way, profile, name, expecting } => {
                let road = self.road(*way);
                let profile = self.pick_profile(*profile, self.end_of(&road));
                let found = number("profile", &profile).map(|p| self.profiles[p].version);
                let expecting = Self::expecting(*expecting, found);
                Call::UpdateProfile { road, profile, name: change(*name, &NAMES), expecting }
            }
            Command::RemoveProfile { way, profile, cascade, expecting } => {
                let road = self.road(*way);
                let profile = self.pick_profile(*profile, self.end_of(&road));
                let found = number("profile", &profile).map(|p| self.profiles[p].version);
                let expecting = Self::expecting(*expecting, found);
                Call::RemoveProfile { road, profile, cascade: *cascade, expecting }
            }
            Command::CreateConnector { way, handle, body, label, key: k } => {
                let road = self.road(*way);
                let m = self.end_of(&road);
                Call::CreateConnector {
                    handle: passing(handle, m),
                    body: passing(body, m),
                    label: label.map(|by| LABELS[usize::from(by) % 2].to_owned()),
                    key: key(k),
                    road,
                }
            }
            Command::UpdateConnector { way, handle, connector, edit, expecting } => {
                let road = self.road(*way);
                let m = self.end_of(&road);
                let connector = self.pick_connector(*connector, m);
                let found = number("connector", &connector).map(|c| self.connectors[c].version);
                let edit = match edit {
                    ConnectorEdit::Label(edit) => ConnectorChange::Label(change(*edit, &LABELS)),
                    ConnectorEdit::Disabled(on) => ConnectorChange::Disabled(*on),
                    ConnectorEdit::Credential(by) => ConnectorChange::Credential(format!("sk_test_{by}")),
                };
                let handle = passing(handle, m);
                Call::UpdateConnector { road, handle, connector, edit, expecting: Self::expecting(*expecting, found) }
            }
            Command::RemoveConnector { way, handle, connector, cascade, expecting } => {
                let road = self.road(*way);
                let m = self.end_of(&road);
                let connector = self.pick_connector(*connector, m);
                let found = number("connector", &connector).map(|c| self.connectors[c].version);
                let (handle, expecting) = (passing(handle, m), Self::expecting(*expecting, found));
                Call::RemoveConnector { road, handle, connector, cascade: *cascade, expecting }
            }
            Command::CreateApiKey { way, name, expires, key: k } => Call::CreateApiKey {
                road: self.road(*way),
                name: NAMES[usize::from(*name)].to_owned(),
                expires: expires.map(|hours| BEGINNING + i64::from(hours) * HOUR),
                key: key(k),
            },
            Command::UpdateApiKey { way, api_key, edit, expecting } => {
                let road = self.road(*way);
                let api_key = self.pick_key(*api_key, self.end_of(&road));
                let found = number("key", &api_key).map(|k| self.api_keys[k].version);
                let edit = match edit {
                    KeyEdit::Name(edit) => KeyChange::Name(change(*edit, &NAMES[..2])),
                    KeyEdit::Expires(hours) => {
                        KeyChange::Expires(hours.map(|hours| BEGINNING + i64::from(hours) * HOUR))
                    }
                    KeyEdit::ExpiresNull => KeyChange::ExpiresNull,
                };
                Call::UpdateApiKey { road, api_key, edit, expecting: Self::expecting(*expecting, found) }
            }
            Command::RevokeApiKey { way, api_key, expecting } => {
                let road = self.road(*way);
                let api_key = self.pick_key(*api_key, self.end_of(&road));
                let found = number("key", &api_key).map(|k| self.api_keys[k].version);
                Call::RevokeApiKey { road, api_key, expecting: Self::expecting(*expecting, found) }
            }
            Command::Authenticate { api_key } => {
                let pick = match *api_key {
                    Pick::Own(by) => Pick::Living(by),
                    other => other,
                };
                Call::Authenticate { api_key: self.pick_key(pick, None) }
            }
            Command::Repeat { which } => chosen(&self.keyed, *which).unwrap_or(Call::Clock { millis: self.clock }),
            Command::AddRule { way, rule, key: k } => {
                let road = self.road(*way);
                Call::AddRule { rule: self.rule(*rule, self.end_of(&road)), road, key: key(k) }
            }
            Command::RemoveRule { way, rule, expecting } => {
                let road = self.road(*way);
                let rule = self.rule(*rule, self.end_of(&road));
                Call::RemoveRule { road, rule, expecting: Self::expecting(*expecting, Some(1)) }
            }
            Command::Toggle { way, status } => Call::Toggle { road: self.road(*way), status: *status },
            Command::Screen { way, card } => {
                Call::Screen { road: self.road(*way), card: usize::from(*card) % CARDS.len() }
            }
            Command::CreatePayment { way, handle, body, id, link, return_url, confirm, key: k } => {
                let road = self.road(*way);
                let m = self.end_of(&road);
                Call::CreatePayment {
                    handle: passing(handle, m),
                    body: passing(body, m),
                    id: id.map(|by| PAYMENT_IDS[usize::from(by) % 3].to_owned()),
                    link: *link,
                    return_url: *return_url,
                    confirm: *confirm,
                    key: key(k),
                    road,
                }
            }
            Command::Routing(command) => Call::Routing(self.named_routing(command)),
            Command::Read { way, thing } => {
                let road = self.road(*way);
                let m = self.end_of(&road);
                let thing = match *thing {
                    Thing::Merchant => Named::Merchant,
                    Thing::Organization => Named::Organization,
                    Thing::Profile(pick) => Named::Profile(self.pick_profile(pick, m)),
                    Thing::Connector(handle, pick) => {
                        Named::Connector(passing(&handle, m), self.pick_connector(pick, m))
                    }
                    Thing::ApiKey(pick) => Named::ApiKey(self.pick_key(pick, m)),
                    Thing::Payment(handle, pick) => {
                        let id = self.pick_payment(pick, m, false);
                        let id = id.map_or_else(|| "p-absent".to_owned(), |p| self.payments[p].id.clone());
                        Named::Payment(passing(&handle, m), id)
                    }
                    Thing::Link(pick) => {
                        let id = self.pick_payment(pick, m, true).filter(|&p| self.payments[p].linked);
                        Named::Link(id.map_or_else(|| "plink_absent".to_owned(), link_token))
                    }
                };
                Call::Read { road, thing }
            }
        }
    }

    // ---- what comes of it ---------------------------------------------------------------------------------------

    /// The later of the clock and the newest entry of the log.
    fn now(&self) -> i64 {
        self.clock.max(self.newest)
    }

    /// Whether the handle may be used at all, and the account that it leads to.
    fn enter(&self, road: &Road) -> Result<Option<usize>, Refused> {
        if let Road::Caller { key } = road {
            let Some(key) = number("key", key).map(|key| &self.api_keys[key]) else { return Ok(None) };
            if !key.alive || key.revoked.is_some() {
                return Err(unauthorized("gone"));
            }
            if key.expires.is_some_and(|end| end <= self.now()) {
                return Err(unauthorized("expired"));
            }
        }
        Ok(self.end_of(road))
    }

    fn merchant(&self, road: &Road) -> Result<usize, Refused> {
        self.enter(road)?.ok_or_else(|| absent("merchant account", Self::id_at(road)))
    }

    fn organization(&self, token: &str) -> Result<usize, Refused> {
        number("organization", token)
            .filter(|&o| self.organizations[o].alive)
            .ok_or_else(|| absent("organization", token))
    }

    fn profile(&self, merchant: Option<usize>, token: &str) -> Result<usize, Refused> {
        number("profile", token)
            .filter(|&p| self.profiles[p].alive && Some(self.profiles[p].merchant) == merchant)
            .ok_or_else(|| absent("business profile", token))
    }

    fn connector(&self, merchant: Option<usize>, handle: Option<&str>, token: &str) -> Result<usize, Refused> {
        number("connector", token)
            .filter(|&c| {
                let profile = self.connectors[c].profile;
                self.connectors[c].alive
                    && Some(self.profiles[profile].merchant) == merchant
                    && handle.is_none_or(|handle| handle == profile_token(profile))
            })
            .ok_or_else(|| absent("connector account", token))
    }

    fn api_key(&self, merchant: Option<usize>, token: &str) -> Result<usize, Refused> {
        number("key", token)
            .filter(|&k| self.api_keys[k].alive && Some(self.api_keys[k].merchant) == merchant)
            .ok_or_else(|| absent("API key", token))
    }

    fn profiles_of(&self, merchant: usize) -> Vec<usize> {
        (0..self.profiles.len()).filter(|&p| self.profiles[p].alive && self.profiles[p].merchant == merchant).collect()
    }

    fn default_of(&self, merchant: usize) -> Option<usize> {
        self.profiles_of(merchant).into_iter().find(|&p| self.profiles[p].default)
    }

    fn name_taken(&self, merchant: usize, name: &str, but: Option<usize>) -> bool {
        self.profiles_of(merchant).into_iter().any(|p| Some(p) != but && self.profiles[p].name == name)
    }

    fn label_taken(&self, profile: usize, label: &str, but: Option<usize>) -> bool {
        let taken =
            |(c, one): (usize, &Connector)| one.alive && one.profile == profile && one.label == label && Some(c) != but;
        self.connectors.iter().enumerate().any(taken)
    }

    fn claiming(&self, tenant: Tenant, key: Option<&String>, request: String) -> Result<Claiming, Stop> {
        let Some(key) = key else { return Ok(None) };
        let place = (tenant, key.clone());
        match self.claims.get(&place).filter(|claim| claim.expires > self.now()) {
            Some(claim) if claim.request == request => Err(Stop::Again(claim.step)),
            Some(_) => {
                Err(refused("idempotency_mismatch", "this idempotency key was used with another request").into())
            }
            None => Ok(Some((place, request))),
        }
    }

    fn keep(&mut self, claiming: Claiming) {
        if let Some((place, request)) = claiming {
            let expires = self.now() + i64::from(IDEMPOTENCY_SECONDS) * 1_000;
            self.claims.insert(place, Claim { request, step: self.step, expires });
        }
    }

    fn commit(&mut self, by: Option<&Road>, organization: usize, merchant: Option<usize>, changes: &[String]) {
        let is_operational = |change: &String| change.starts_with("payment ") || change.contains(" revealed ");
        let configuration = !changes.iter().any(is_operational);
        self.newest = self.now();
        let actor = match by {
            Some(Road::Caller { key }) => format!("key:{key}"),
            _ => "host".to_owned(),
        };
        let class = if configuration { "configuration" } else { "operational" };
        let organization = organization_token(organization);
        let merchant_id = merchant.map(|m| self.merchants[m].id.clone());
        let text = format!(
            "{} {class} by {actor} in {organization}/{}: {}",
            self.newest,
            merchant_id.as_deref().unwrap_or("-"),
            changes.join(", ")
        );
        // Which of the owners of an id it was, is the incarnation's to know.
        let merchant = merchant.map(|m| format!("{m}"));
        self.log.push(Logged { text, organization: Some(organization), merchant, configuration });
    }

    fn commit_in(&mut self, by: &Road, merchant: usize, changes: &[String]) {
        self.commit(Some(by), self.merchants[merchant].organization, Some(merchant), changes);
    }

    fn add_profile(&mut self, merchant: usize, name: &str) -> (String, Bind) {
        let profile = self.profiles.len();
        let default = self.default_of(merchant).is_none();
        self.profiles.push(Profile {
            alive: true,
            version: 1,
            created: self.now(),
            merchant,
            name: name.to_owned(),
            default,
        });
        let token = profile_token(profile);
        let id = self.merchants[merchant].id.clone();
        (format!("profile {token} created v1"), Bind::Profile { token, merchant: id, name: name.to_owned() })
    }

    fn close_profile(&mut self, profile: usize) {
        self.profiles[profile].alive = false;
        self.profiles[profile].default = false;
        self.connectors.iter_mut().filter(|c| c.profile == profile).for_each(|c| c.alive = false);
        self.payments.iter_mut().filter(|p| p.profile == profile).for_each(|p| p.alive = false);
        self.close_programs(profile);
    }

    fn close_merchant(&mut self, merchant: usize) {
        for profile in self.profiles_of(merchant) {
            self.close_profile(profile);
        }
        self.merchants[merchant].alive = false;
        self.api_keys.iter_mut().filter(|k| k.merchant == merchant).for_each(|k| k.alive = false);
        self.entries.iter_mut().filter(|e| e.merchant == merchant).for_each(|e| e.alive = false);
    }

    fn carry_out(&mut self, call: &Call) -> Answer {
        match call {
            Call::Clock { millis } => {
                self.clock = *millis;
                Ok(Done::default())
            }
            Call::CreateOrganization { .. } | Call::UpdateOrganization { .. } | Call::RemoveOrganization { .. } => {
                self.with_organization(call)
            }
            Call::CreateMerchant { organization, id, parent, stated, businesses, key } => {
                self.create_merchant(organization, id, parent.as_ref(), stated.as_ref(), businesses, key.as_ref())
            }
            Call::UpdateMerchant { road, edit, expecting } => self.update_merchant(road, edit, *expecting),
            Call::RemoveMerchant { road, cascade, expecting } => self.remove_merchant(road, *cascade, *expecting),
            Call::CreateProfile { road, name, key } => {
                let m = self.merchant(road)?;
                let claiming = self.claiming(Tenant::Merchant(m), key.as_ref(), format!("profile {name}"))?;
                if self.name_taken(m, name, None) {
                    return Err(refused("duplicate", "another business profile has this profile_name").into());
                }
                let whole = Some(format!("profile {}", profile_token(self.profiles.len())));
                let (change, _) = self.add_profile(m, name);
                let binds = vec![Bind::Member(profile_token(self.profiles.len() - 1), "/profile_id")];
                self.commit_in(road, m, &[change]);
                self.keep(claiming);
                Ok(Done { facts: vec![version(1)], binds, whole })
            }
            Call::UpdateProfile { road, profile, name, expecting } => {
                self.update_profile(road, profile, name, *expecting)
            }
            Call::RemoveProfile { road, profile, cascade, expecting } => {
                self.remove_profile(road, profile, *cascade, *expecting)
            }
            Call::CreateConnector { .. } | Call::UpdateConnector { .. } | Call::RemoveConnector { .. } => {
                self.with_connector(call)
            }
            Call::CreateApiKey { .. }
            | Call::UpdateApiKey { .. }
            | Call::RevokeApiKey { .. }
            | Call::Authenticate { .. } => self.with_key(call),
            Call::AddRule { .. } | Call::RemoveRule { .. } | Call::Toggle { .. } | Call::Screen { .. } => {
                self.with_blocklist(call)
            }
            Call::CreatePayment { .. } => self.create_payment(call),
            Call::Routing(call) => self.with_routing(call),
            Call::Read { road, thing } => self.read(road, thing),
        }
    }

    fn with_organization(&mut self, call: &Call) -> Answer {
        match call {
            Call::CreateOrganization { name, key } => {
                let claiming = self.claiming(Tenant::Platform, key.as_ref(), format!("organization {name}"))?;
                let token = organization_token(self.organizations.len());
                let created = self.now();
                self.organizations.push(Organization { alive: true, version: 1, created, name: name.clone() });
                let changes = [format!("organization {token} created v1"), "data_key created v1".to_owned()];
                self.commit(None, self.organizations.len() - 1, None, &changes);
                self.keep(claiming);
                let whole = Some(format!("organization {token}"));
                Ok(Done { facts: vec![version(1)], binds: vec![Bind::Member(token, "/organization_id")], whole })
            }
            Call::UpdateOrganization { organization, name, expecting } => {
                let o = self.organization(organization)?;
                at(*expecting, self.organizations[o].version, "organization", organization)?;
                match name {
                    Change::Clear => return Err(not_null("organization_name").into()),
                    Change::Set(name) if self.organizations[o].name != *name => {
                        self.organizations[o].name.clone_from(name);
                        self.organizations[o].version += 1;
                        let version = self.organizations[o].version;
                        self.commit(None, o, None, &[format!("organization {organization} updated v{version}")]);
                    }
                    _ => {}
                }
                let facts = vec![version(self.organizations[o].version)];
                Ok(Done { facts, whole: Some(format!("organization {organization}")), ..Done::default() })
            }
            Call::RemoveOrganization { organization, cascade, expecting } => {
                let o = self.organization(organization)?;
                at(*expecting, self.organizations[o].version, "organization", organization)?;
                let merchants: Vec<usize> =
                    self.living_merchants().into_iter().filter(|&m| self.merchants[m].organization == o).collect();
                if !cascade {
                    children("organization", organization, &[(merchants.len(), "merchant account")])?;
                }
                for m in merchants {
                    self.close_merchant(m);
                }
                self.organizations[o].alive = false;
                let version = self.organizations[o].version;
                self.commit(None, o, None, &[format!("organization {organization} removed v{version}")]);
                Ok(Done::default())
            }
            _ => unreachable!("not about an organization"),
        }
    }

    fn create_merchant(
        &mut self,
        organization: &str,
        id: &str,
        parent: Option<&String>,
        stated: Option<&String>,
        businesses: &[(String, String)],
        key: Option<&String>,
    ) -> Answer {
        let o = self.organization(organization)?;
        let request = format!("merchant {id} {parent:?} {stated:?} {businesses:?}");
        let claiming = self.claiming(Tenant::Organization(o), key, request)?;
        if let Some(parent) = parent {
            self.relative(o, id, parent)?;
        }
        if stated.is_some_and(|stated| stated != organization) {
            let text = "`organization_id`: must be the organization it is created under";
            return Err(refused("merchant.other_organization", text).into());
        }
        if self.living_merchants().into_iter().any(|m| self.merchants[m].id == id) {
            return Err(refused("already_exists", format!("merchant account `{id}` exists already")).into());
        }
        let m = self.merchants.len();
        self.merchants.push(Merchant {
            alive: true,
            version: 1,
            created: self.now(),
            organization: o,
            id: id.to_owned(),
            name: None,
            parent: parent.cloned(),
            businesses: businesses.to_vec(),
            guard: false,
        });
        let mut changes = vec![format!("merchant {id} created v1"), "data_key created v1".to_owned()];
        let mut binds = Vec::new();
        let mut names = business_names(businesses);
        if names.is_empty() {
            names.push("default".to_owned());
        }
        for name in names {
            let (change, bind) = self.add_profile(m, &name);
            changes.push(change);
            binds.push(bind);
        }
        self.commit(None, o, Some(m), &changes);
        self.keep(claiming);
        Ok(Done { facts: vec![version(1)], binds, whole: Some(format!("merchant {id}")) })
    }

    /// Another living account of the same organization.
    fn relative(&self, organization: usize, own: &str, id: &str) -> Result<(), Refused> {
        let is = |&m: &usize| self.merchants[m].organization == organization && self.merchants[m].id == id;
        match self.living_merchants().iter().find(|m| is(m)) {
            Some(_) if own != id => Ok(()),
            _ => Err(absent("merchant account", id)),
        }
    }

    fn update_merchant(&mut self, road: &Road, edit: &MerchantChange, expecting: Option<u64>) -> Answer {
        let m = self.merchant(road)?;
        let id = self.merchants[m].id.clone();
        at(expecting, self.merchants[m].version, "merchant account", &id)?;
        let mut next = self.merchants[m].clone();
        let mut changes = Vec::new();
        let mut binds = Vec::new();
        let mut moved = None;
        match edit {
            MerchantChange::Nothing | MerchantChange::Name(Change::Keep) => {}
            MerchantChange::Name(Change::Clear) => next.name = None,
            MerchantChange::Name(Change::Set(name)) => next.name = Some(name.clone()),
            MerchantChange::OtherId(_) => {
                return Err(refused("merchant.other_id", "`merchant_id`: must be the account's own id").into());
            }
            MerchantChange::Parent(parent) => {
                if let Some(parent) = parent.as_ref().filter(|parent| Some(*parent) != next.parent.as_ref()) {
                    self.relative(next.organization, &id, parent)?;
                }
                next.parent.clone_from(parent);
            }
            MerchantChange::Default(profile) => {
                let profile = self.profile(Some(m), profile)?;
                moved = Some(profile).filter(|&p| !self.profiles[p].default);
            }
            MerchantChange::NoDefault => {
                if self.default_of(m).is_some() {
                    return Err(not_null("default_profile").into());
                }
            }
            MerchantChange::Businesses(businesses) => next.businesses.clone_from(businesses),
        }
        let old = &self.merchants[m];
        let same = (&old.name, &old.parent, &old.businesses) == (&next.name, &next.parent, &next.businesses);
        if !same || moved.is_some() {
            next.version += 1;
            changes.push(format!("merchant {id} updated v{}", next.version));
            let known = business_names(&old.businesses);
            let wanted = business_names(&next.businesses);
            self.merchants[m] = next;
            if let Some(new) = moved {
                for (profile, default) in self.default_of(m).map(|old| (old, false)).into_iter().chain([(new, true)]) {
                    self.profiles[profile].default = default;
                    self.profiles[profile].version += 1;
                    let version = self.profiles[profile].version;
                    changes.push(format!("profile {} updated v{version}", profile_token(profile)));
                }
            }
            for name in wanted.iter().filter(|name| !known.contains(name)) {
                if !self.name_taken(m, name, None) {
                    let (change, bind) = self.add_profile(m, name);
                    changes.push(change);
                    binds.push(bind);
                }
            }
            self.commit_in(road, m, &changes);
        }
        let facts = vec![version(self.merchants[m].version)];
        Ok(Done { facts, binds, whole: Some(format!("merchant {id}")) })
    }

    fn remove_merchant(&mut self, road: &Road, cascade: bool, expecting: Option<u64>) -> Answer {
        let m = self.merchant(road)?;
        let id = self.merchants[m].id.clone();
        let version = self.merchants[m].version;
        at(expecting, version, "merchant account", &id)?;
        if !cascade {
            let keys = self.api_keys.iter().filter(|k| k.alive && k.merchant == m && k.revoked.is_none()).count();
            let entries = self.entries.iter().filter(|e| e.alive && e.merchant == m).count();
            let profiles = self.profiles_of(m).len();
            let counts = [(profiles, "business profile"), (keys, "API key"), (entries, "blocklist entry")];
            children("merchant account", &id, &counts)?;
        }
        self.close_merchant(m);
        self.commit_in(road, m, &[format!("merchant {id} removed v{version}")]);
        Ok(Done { facts: vec![("/deleted", true.into())], ..Done::default() })
    }

    fn update_profile(&mut self, road: &Road, profile: &str, name: &Change, expecting: Option<u64>) -> Answer {
        let m = self.enter(road)?;
        let p = self.profile(m, profile)?;
        at(expecting, self.profiles[p].version, "business profile", profile)?;
        match name {
            Change::Clear => return Err(not_null("profile_name").into()),
            Change::Set(name) if self.profiles[p].name != *name => {
                let m = self.profiles[p].merchant;
                if self.name_taken(m, name, Some(p)) {
                    return Err(refused("duplicate", "another business profile has this profile_name").into());
                }
                self.profiles[p].name.clone_from(name);
                self.profiles[p].version += 1;
                let version = self.profiles[p].version;
                self.commit_in(road, m, &[format!("profile {profile} updated v{version}")]);
            }
            _ => {}
        }
        let facts = vec![version(self.profiles[p].version), ("/profile_name", self.profiles[p].name.as_str().into())];
        Ok(Done { facts, whole: Some(format!("profile {profile}")), ..Done::default() })
    }

    fn remove_profile(&mut self, road: &Road, profile: &str, cascade: bool, expecting: Option<u64>) -> Answer {
        let m = self.enter(road)?;
        let p = self.profile(m, profile)?;
        let version = self.profiles[p].version;
        at(expecting, version, "business profile", profile)?;
        let m = self.profiles[p].merchant;
        if self.profiles[p].default && self.profiles_of(m).len() > 1 {
            let text = format!("business profile `{profile}` is the default profile while there are others");
            return Err(refused("profile.is_default", text).into());
        }
        if !cascade {
            let connectors = self.connectors.iter().filter(|c| c.alive && c.profile == p).count();
            let payments = self.payments.iter().filter(|one| one.alive && one.profile == p).count();
            let programs = self.programs_of(p);
            let counts = [(connectors, "connector account"), (programs, "routing program"), (payments, "payment")];
            children("business profile", profile, &counts)?;
        }
        self.close_profile(p);
        self.commit_in(road, m, &[format!("profile {profile} removed v{version}")]);
        Ok(Done::default())
    }

    /// Which profile something new belongs to.
    fn place(&self, merchant: usize, handle: Option<&String>, body: Option<&String>) -> Result<usize, Refused> {
        if let (Some(handle), Some(body)) = (handle, body)
            && handle != body
        {
            let text = "`profile_id`: must be the profile that it is created in";
            return Err(refused("profile.other", text));
        }
        if let Some(token) = handle.or(body) {
            return self.profile(Some(merchant), token);
        }
        let text = "`profile_id`: is required: the account has no profile";
        self.default_of(merchant).ok_or_else(|| refused("profile.no_default", text))
    }

    fn with_connector(&mut self, call: &Call) -> Answer {
        let duplicate = || refused("duplicate", "another connector account has this connector_label");
        match call {
            Call::CreateConnector { road, handle, body, label, key } => {
                let m = self.merchant(road)?;
                let request = format!("connector {handle:?} {body:?} {label:?}");
                let claiming = self.claiming(Tenant::Merchant(m), key.as_ref(), request)?;
                let p = self.place(m, handle.as_ref(), body.as_ref())?;
                let label = label.clone().unwrap_or_else(|| format!("stripe_{}", self.profiles[p].name));
                if self.label_taken(p, &label, None) {
                    return Err(duplicate().into());
                }
                let token = connector_token(self.connectors.len());
                let facts = vec![version(1), ("/profile_id", profile_token(p).into())];
                self.connectors.push(Connector {
                    alive: true,
                    version: 1,
                    created: self.now(),
                    profile: p,
                    label,
                    disabled: false,
                    credential: "sk_test_new".to_owned(),
                });
                self.commit_in(road, m, &[format!("connector {token} created v1")]);
                self.keep(claiming);
                let whole = Some(format!("connector {token}"));
                Ok(Done { facts, binds: vec![Bind::Member(token, "/merchant_connector_id")], whole })
            }
            Call::UpdateConnector { road, handle, connector, edit, expecting } => {
                let m = self.enter(road)?;
                let c = self.connector(m, handle.as_deref(), connector)?;
                at(*expecting, self.connectors[c].version, "connector account", connector)?;
                let mut next = self.connectors[c].clone();
                match edit {
                    ConnectorChange::Label(Change::Keep) => {}
                    ConnectorChange::Label(Change::Clear) => return Err(not_null("connector_label").into()),
                    ConnectorChange::Label(Change::Set(label)) => next.label.clone_from(label),
                    ConnectorChange::Disabled(disabled) => next.disabled = *disabled,
                    ConnectorChange::Credential(credential) => next.credential.clone_from(credential),
                }
                let old = &self.connectors[c];
                if (&old.label, old.disabled, &old.credential) != (&next.label, next.disabled, &next.credential) {
                    if self.label_taken(next.profile, &next.label, Some(c)) {
                        return Err(duplicate().into());
                    }
                    next.version += 1;
                    let change = format!("connector {connector} updated v{}", next.version);
                    let m = self.profiles[next.profile].merchant;
                    self.connectors[c] = next;
                    self.commit_in(road, m, &[change]);
                }
                let facts = vec![version(self.connectors[c].version)];
                Ok(Done { facts, whole: Some(format!("connector {connector}")), ..Done::default() })
            }
            Call::RemoveConnector { road, handle, connector, cascade, expecting } => {
                let m = self.enter(road)?;
                let c = self.connector(m, handle.as_deref(), connector)?;
                let version = self.connectors[c].version;
                at(*expecting, version, "connector account", connector)?;
                if !cascade && self.is_routed_to(c) {
                    let text = format!("connector account `{connector}` is named by the active routing program");
                    return Err(refused("connector.routed", text).into());
                }
                self.connectors[c].alive = false;
                let m = self.profiles[self.connectors[c].profile].merchant;
                self.commit_in(road, m, &[format!("connector {connector} removed v{version}")]);
                Ok(Done { facts: vec![("/deleted", true.into())], ..Done::default() })
            }
            _ => unreachable!("not about a connector account"),
        }
    }

    fn with_key(&mut self, call: &Call) -> Answer {
        match call {
            Call::CreateApiKey { road, name, expires, key } => {
                let m = self.merchant(road)?;
                let request = format!("key {name} {expires:?}");
                let claiming = self.claiming(Tenant::Merchant(m), key.as_ref(), request)?;
                let token = key_token(self.api_keys.len());
                self.api_keys.push(ApiKey {
                    alive: true,
                    version: 1,
                    created: self.now(),
                    merchant: m,
                    name: name.clone(),
                    expires: *expires,
                    revoked: None,
                });
                self.commit_in(road, m, &[format!("api_key {token} created v1")]);
                self.keep(claiming);
                let facts = vec![("/merchant_id", self.merchants[m].id.as_str().into())];
                Ok(Done { facts, binds: vec![Bind::Member(token, "/key_id")], whole: None })
            }
            Call::UpdateApiKey { road, api_key, edit, expecting } => {
                let k = self.living_key(road, api_key, *expecting)?;
                let mut next = self.api_keys[k].clone();
                match edit {
                    KeyChange::Name(Change::Keep) => {}
                    KeyChange::Name(Change::Clear) => return Err(not_null("name").into()),
                    KeyChange::Name(Change::Set(name)) => next.name.clone_from(name),
                    KeyChange::Expires(expires) => next.expires = *expires,
                    KeyChange::ExpiresNull => return Err(not_null("expiration").into()),
                }
                let old = &self.api_keys[k];
                if (&old.name, old.expires) != (&next.name, next.expires) {
                    next.version += 1;
                    let change = format!("api_key {api_key} updated v{}", next.version);
                    let m = next.merchant;
                    self.api_keys[k] = next;
                    self.commit_in(road, m, &[change]);
                }
                let facts = vec![version(self.api_keys[k].version)];
                // The caller may just have ended its own key; what it was answered stands in the lists all the same.
                Ok(Done { facts, whole: Some(format!("api_key {api_key}")), ..Done::default() })
            }
            Call::RevokeApiKey { road, api_key, expecting } => {
                let k = self.living_key(road, api_key, *expecting)?;
                self.api_keys[k].version += 1;
                self.api_keys[k].revoked = Some(self.now());
                let (m, version) = (self.api_keys[k].merchant, self.api_keys[k].version);
                self.commit_in(road, m, &[format!("api_key {api_key} revoked v{version}")]);
                Ok(Done { facts: vec![("/revoked", true.into())], ..Done::default() })
            }
            Call::Authenticate { api_key } => {
                let Some(k) = number("key", api_key) else { return Err(unauthorized("malformed").into()) };
                let key = &self.api_keys[k];
                if !key.alive || key.revoked.is_some() {
                    return Err(unauthorized("gone").into());
                }
                if key.expires.is_some_and(|end| end <= self.now()) {
                    return Err(unauthorized("expired").into());
                }
                let facts = vec![
                    ("/key_id", api_key.as_str().into()),
                    ("/merchant_id", self.merchants[key.merchant].id.as_str().into()),
                ];
                if !self.sessions.contains(&k) {
                    self.sessions.push(k);
                }
                Ok(Done { facts, ..Done::default() })
            }
            _ => unreachable!("not about a key"),
        }
    }

    fn living_key(&self, road: &Road, api_key: &str, expecting: Option<u64>) -> Result<usize, Refused> {
        let m = self.enter(road)?;
        let k = self.api_key(m, api_key)?;
        at(expecting, self.api_keys[k].version, "API key", api_key)?;
        if self.api_keys[k].revoked.is_some() {
            return Err(refused("api_key.revoked", format!("API key `{api_key}` is revoked")));
        }
        Ok(k)
    }

    fn entry(&self, merchant: Option<usize>, rule: &Rule) -> Option<usize> {
        let is = |e: &Entry| e.alive && Some(e.merchant) == merchant && e.rule.id() == rule.id();
        self.entries.iter().position(is)
    }

    fn with_blocklist(&mut self, call: &Call) -> Answer {
        let bad = |rule: &Rule| {
            let bad = rule.value == "12345x";
            if bad { Err(refused("blocklist.bin", "`data`: must be 6 digits")) } else { Ok(()) }
        };
        match call {
            Call::AddRule { road, rule, key } => {
                let m = self.merchant(road)?;
                let claiming = self.claiming(Tenant::Merchant(m), key.as_ref(), format!("rule {}", rule.id()))?;
                bad(rule)?;
                if self.entry(Some(m), rule).is_some() {
                    let text = format!("blocklist entry `{}` exists already", rule.id());
                    return Err(refused("already_exists", text).into());
                }
                let created = self.now();
                self.entries.push(Entry { alive: true, created, merchant: m, rule: rule.clone() });
                self.commit_in(road, m, &[format!("block_rule {} created v1", rule.id())]);
                self.keep(claiming);
                let facts = vec![version(1), ("/fingerprint_id", rule.value.as_str().into())];
                Ok(Done { facts, ..Done::default() })
            }
            Call::RemoveRule { road, rule, expecting } => {
                let m = self.enter(road)?;
                bad(rule)?;
                let e = self.entry(m, rule).ok_or_else(|| absent("blocklist entry", &rule.id()))?;
                at(*expecting, 1, "blocklist entry", &rule.id())?;
                self.entries[e].alive = false;
                let m = self.entries[e].merchant;
                self.commit_in(road, m, &[format!("block_rule {} removed v1", rule.id())]);
                Ok(Done { facts: vec![("/fingerprint_id", rule.value.as_str().into())], ..Done::default() })
            }
            Call::Toggle { road, status } => {
                let m = self.merchant(road)?;
                let on = status.unwrap_or(!self.merchants[m].guard);
                if on != self.merchants[m].guard {
                    self.merchants[m].guard = on;
                    self.merchants[m].version += 1;
                    let change = format!("merchant {} updated v{}", self.merchants[m].id, self.merchants[m].version);
                    self.commit_in(road, m, &[change]);
                }
                let status = if on { "enabled" } else { "disabled" };
                Ok(Done { facts: vec![("/blocklist_guard_status", status.into())], ..Done::default() })
            }
            Call::Screen { road, card } => {
                let m = self.merchant(road)?;
                let matched = self.matching(m, *card);
                let facts = vec![
                    ("/guard", self.merchants[m].guard.into()),
                    ("/blocked", (self.merchants[m].guard && matched.is_some()).into()),
                    ("/matched", matched.into()),
                ];
                Ok(Done { facts, binds: vec![Bind::Member(fingerprint_token(m, *card), "/fingerprint")], whole: None })
            }
            _ => unreachable!("not about a blocklist"),
        }
    }

    /// The naive definition: of all entries that cover the card, the one that covers the fewest cards.
    fn matching(&self, merchant: usize, card: usize) -> Option<String> {
        let covers = |e: &&Entry| match e.rule.kind {
            // Of another account the same card has another fingerprint, also where that account had the same id.
            "fingerprint" => e.rule.value == fingerprint_token(merchant, card),
            _ => CARDS[card].starts_with(&e.rule.value),
        };
        let reach = |e: &&Entry| match e.rule.kind {
            "fingerprint" => 0,
            "extended_card_bin" => 1,
            _ => 2,
        };
        let living = self.entries.iter().filter(|e| e.alive && e.merchant == merchant);
        living.filter(covers).min_by_key(reach).map(|e| e.rule.id())
    }

    fn create_payment(&mut self, call: &Call) -> Answer {
        let Call::CreatePayment { road, handle, body, id, link, return_url, confirm, key } = call else {
            unreachable!("not about a payment")
        };
        let m = self.merchant(road)?;
        let request = format!("payment {handle:?} {body:?} {id:?} {link} {return_url} {confirm}");
        let claiming = self.claiming(Tenant::Merchant(m), key.as_ref(), request)?;
        if *confirm {
            let (code, text) = if *link {
                ("payment.confirm_link", "`confirm`: must be false for a payment with a link")
            } else {
                ("json.missing_field", "`payment_method`: is required")
            };
            return Err(refused(code, text).into());
        }
        let p = self.place(m, handle.as_ref(), body.as_ref())?;
        if *link && !return_url {
            let text = "`return_url`: is required for a link: the profile has none either";
            return Err(refused("payment_link.no_return_url", text).into());
        }
        let at = self.payments.len();
        let token = id.clone().unwrap_or_else(|| format!("‹payment {at}›"));
        let same = |one: &Payment| one.alive && one.id == token && self.profiles[one.profile].merchant == m;
        if self.payments.iter().any(same) {
            return Err(refused("already_exists", format!("payment `{token}` exists already")).into());
        }
        let created = self.now();
        let expires = created + SESSION_SECONDS * 1_000;
        self.payments.push(Payment { alive: true, created, profile: p, id: token.clone(), linked: *link, expires });
        let mut changes = vec![format!("payment {token} created v1")];
        let mut binds = Vec::new();
        if id.is_none() {
            binds.push(Bind::Member(token.clone(), "/payment_id"));
        }
        if *link {
            binds.push(Bind::Member(link_token(at), "/payment_link/payment_link_id"));
            changes.push(format!("payment_link {} created v1", link_token(at)));
        }
        self.commit_in(road, m, &changes);
        self.keep(claiming);
        let facts = vec![version(1), ("/profile_id", profile_token(p).into()), ("/payment_id", token.as_str().into())];
        Ok(Done { facts, binds, whole: Some(format!("payment {}/{token}", self.merchants[m].id)) })
    }

    fn read(&mut self, road: &Road, thing: &Named) -> Answer {
        let m = self.enter(road)?;
        let whole = match thing {
            Named::Merchant => format!("merchant {}", self.merchants[self.merchant(road)?].id),
            Named::Organization => {
                let o = self.merchants[self.merchant(road)?].organization;
                format!("organization {}", organization_token(o))
            }
            Named::Profile(token) => {
                self.profile(m, token)?;
                format!("profile {token}")
            }
            Named::Connector(handle, token) => {
                // Its credentials are revealed besides, which the log says.
                let c = self.connector(m, handle.as_deref(), token)?;
                let (version, profile) = (self.connectors[c].version, self.connectors[c].profile);
                let change = format!("connector {token} revealed v{version}");
                self.commit_in(road, self.profiles[profile].merchant, &[change]);
                format!("connector {token}")
            }
            Named::ApiKey(token) => {
                self.api_key(m, token)?;
                format!("api_key {token}")
            }
            Named::Payment(handle, id) => {
                let found = self.payments.iter().find(|p| {
                    p.alive
                        && p.id == *id
                        && Some(self.profiles[p.profile].merchant) == m
                        && handle.as_ref().is_none_or(|handle| *handle == profile_token(p.profile))
                });
                let found = found.ok_or_else(|| absent("payment", id))?;
                format!("payment {}/{id}", self.merchants[self.profiles[found.profile].merchant].id)
            }
            Named::Link(token) => {
                let found = number("link", token).map(|p| &self.payments[p]);
                found
                    .filter(|p| p.alive && Some(self.profiles[p.profile].merchant) == m)
                    .ok_or_else(|| absent("payment link", token))?;
                format!("payment_link {token}")
            }
        };
        Ok(Done { whole: Some(whole), ..Done::default() })
    }

    // ---- what there is ------------------------------------------------------------------------------------------

    /// Everything that lives, a line each, in the order of the lists. `real` turns a token into what it stands for.
    pub(crate) fn lines(&self, real: &dyn Fn(&str) -> String) -> Vec<String> {
        fn ordered<T>(items: &mut [T], key: impl Fn(&T) -> (i64, String)) {
            items.sort_by_key(|item| key(item));
        }
        let mut lines = Vec::new();
        let mut organizations: Vec<usize> =
            (0..self.organizations.len()).filter(|&o| self.organizations[o].alive).collect();
        ordered(&mut organizations, |&o| (self.organizations[o].created, real(&organization_token(o))));
        for o in organizations {
            let one = &self.organizations[o];
            lines.push(format!("organization {} v{} {}", real(&organization_token(o)), one.version, one.name));
            let mut merchants = self.living_merchants();
            merchants.retain(|&m| self.merchants[m].organization == o);
            ordered(&mut merchants, |&m| (self.merchants[m].created, self.merchants[m].id.clone()));
            for m in merchants {
                self.merchant_lines(m, real, &mut lines);
            }
        }
        lines
    }

    fn merchant_lines(&self, m: usize, real: &dyn Fn(&str) -> String, lines: &mut Vec<String>) {
        let one = &self.merchants[m];
        let id = &one.id;
        let default = self.default_of(m);
        lines.push(format!(
            "merchant {id} in {} v{} name {:?} parent {:?} businesses {:?} default {:?}",
            real(&organization_token(one.organization)),
            one.version,
            one.name,
            one.parent,
            one.businesses,
            default.map(|p| real(&profile_token(p))),
        ));
        let mut profiles = self.profiles_of(m);
        assert_eq!(profiles.is_empty(), default.is_none(), "the model lost a default profile");
        profiles.sort_by_key(|&p| (self.profiles[p].created, real(&profile_token(p))));
        for &p in &profiles {
            let profile = &self.profiles[p];
            lines.push(format!("profile {} of {id} v{} {}", real(&profile_token(p)), profile.version, profile.name));
            lines.push(self.decided_line(p, real));
        }
        let mut connectors: Vec<usize> = (0..self.connectors.len())
            .filter(|&c| self.connectors[c].alive && self.profiles[self.connectors[c].profile].merchant == m)
            .collect();
        connectors.sort_by_key(|&c| (self.connectors[c].created, real(&connector_token(c))));
        let line = |c: usize| {
            let connector = &self.connectors[c];
            format!(
                "connector {} of {id}/{} v{} {} disabled {}",
                real(&connector_token(c)),
                real(&profile_token(connector.profile)),
                connector.version,
                connector.label,
                connector.disabled
            )
        };
        lines.extend(connectors.iter().map(|&c| line(c)));
        for p in profiles {
            lines.extend(connectors.iter().filter(|&&c| self.connectors[c].profile == p).map(|&c| line(c)));
        }
        self.program_lines(m, real, lines);
        let mut keys: Vec<usize> =
            (0..self.api_keys.len()).filter(|&k| self.api_keys[k].alive && self.api_keys[k].merchant == m).collect();
        keys.sort_by_key(|&k| (self.api_keys[k].created, real(&key_token(k))));
        for k in keys {
            let key = &self.api_keys[k];
            lines.push(format!(
                "api_key {} of {id} v{} {} ends {:?} revoked {:?}",
                real(&key_token(k)),
                key.version,
                key.name,
                key.expires,
                key.revoked
            ));
        }
        let mut entries: Vec<&Entry> = self.entries.iter().filter(|e| e.alive && e.merchant == m).collect();
        entries.sort_by_key(|e| std::cmp::Reverse((e.created, real(&e.rule.id()))));
        for kind in ["fingerprint", "extended_card_bin", "card_bin", ""] {
            let these: Vec<_> = entries.iter().filter(|e| kind.is_empty() || e.rule.kind == kind).collect();
            lines.push(format!("{} entries {kind} of {id}", these.len()));
            lines.extend(these.iter().map(|e| format!("block_rule {} of {id}", real(&e.rule.id()))));
        }
        let mut payments: Vec<usize> = (0..self.payments.len())
            .filter(|&p| self.payments[p].alive && self.profiles[self.payments[p].profile].merchant == m)
            .collect();
        payments.sort_by_key(|&p| std::cmp::Reverse((self.payments[p].created, real(&self.payments[p].id))));
        for &p in &payments {
            let payment = &self.payments[p];
            lines.push(format!(
                "payment {} of {id}/{} link {}",
                real(&payment.id),
                real(&profile_token(payment.profile)),
                payment.linked
            ));
        }
        payments.retain(|&p| self.payments[p].linked);
        payments.sort_by_key(|&p| std::cmp::Reverse((self.payments[p].created, real(&link_token(p)))));
        for p in payments {
            let payment = &self.payments[p];
            lines.push(format!(
                "payment_link {} of {id} for {} expired {}",
                real(&link_token(p)),
                real(&payment.id),
                payment.expires <= self.now()
            ));
        }
    }

    /// Names of living accounts: the id, the number that the log's entries of the account carry.
    pub(crate) fn accounts(&self) -> Vec<(String, String)> {
        self.living_merchants().into_iter().map(|m| (self.merchants[m].id.clone(), m.to_string())).collect()
    }

    /// How many accounts live.
    pub(crate) fn merchant_count(&self) -> usize {
        self.living_merchants().len()
    }

    /// Tokens of living organizations.
    pub(crate) fn living_organizations(&self) -> BTreeSet<String> {
        (0..self.organizations.len()).filter(|&o| self.organizations[o].alive).map(organization_token).collect()
    }
}
