//! The library on every back-end at once: does what the model names, and holds what comes of it against the others and
//! against the model.

mod routing;

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::sync::Arc;

use futures_lite::future::block_on;
use perfectpay::store::{LogEntry, LogPosition};
use perfectpay::{
    ApiKeyUpdate, BlockEntry, BlockKind, BlockRequest, Caller, Connector, ConnectorScope, ConnectorUpdate, Create,
    Error, Expiration, Merchant, MerchantScope, MerchantUpdate, NewApiKey, NewConnector, NewMerchant, NewOrganization,
    NewPayment, NewProfile, Organization, OrganizationUpdate, Page, PageRequest, Patch, Payment, PaymentScope,
    PerfectPay, PrimaryBusinesses, Profile, ProfileScope, ProfileUpdate, Refusal, Timestamp, json,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::host::{Engine, SetClock, backends, open};
use super::model::{
    Bind, CARDS, Call, Change, ConnectorChange, Done, Expected, KeyChange, MerchantChange, Model, Named, Refused, Road,
    Rule,
};

/// What a call was answered: its JSON as text and as a value that has the version too, or the error.
type Seen = Result<(String, Value), (Refused, String)>;

/// What tokens stand for.
#[derive(Debug, Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    /// The text with every token in it replaced.
    fn real(&self, text: &str) -> String {
        let mut real = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, token)) = rest.split_once('‹') {
            let (token, after) = token.split_once('›').expect("a whole token");
            let name = self.0.get(&format!("‹{token}›"));
            real.push_str(before);
            real.push_str(name.unwrap_or_else(|| panic!("‹{token}› stands for nothing yet")));
            rest = after;
        }
        real.push_str(rest);
        real
    }

    fn real_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.real(text).into(),
            other => other.clone(),
        }
    }

    fn id<T: std::str::FromStr>(&self, text: &str) -> T {
        self.real(text).parse().unwrap_or_else(|_| panic!("`{text}` is not an id"))
    }
}

/// The version of an answer, which its JSON does not have.
trait Versioned {
    fn version(&self) -> u64;
}

macro_rules! versioned {
    ($($answer:ty),+) => { $(impl Versioned for $answer {
        fn version(&self) -> u64 {
            self.version
        }
    })+ };
}

versioned!(
    Organization,
    Merchant,
    Profile,
    Connector,
    perfectpay::ApiKey,
    BlockEntry,
    Payment,
    perfectpay::RoutingRecord
);

fn seen<T: Serialize>(answer: Result<T, Error>) -> Seen {
    seen_as(answer, |_| None)
}

fn seen_version<T: Serialize + Versioned>(answer: Result<T, Error>) -> Seen {
    seen_as(answer, |answer| Some(answer.version()))
}

fn seen_as<T: Serialize>(answer: Result<T, Error>, version: impl Fn(&T) -> Option<u64>) -> Seen {
    match answer {
        Ok(answer) => {
            let text = serde_json::to_string(&answer).expect("an answer is JSON");
            let mut value = serde_json::to_value(&answer).expect("an answer is JSON");
            if let (Some(version), Some(object)) = (version(&answer), value.as_object_mut()) {
                object.insert("version".to_owned(), version.into());
            }
            Ok((text, value))
        }
        Err(error) => {
            let reason = match &error {
                // Whether a token was used here before, the model does not know.
                Error::Unauthorized(Refusal::Revoked | Refusal::Unknown) => Some("gone"),
                Error::Unauthorized(reason) => Some((*reason).into()),
                _ => None,
            };
            let refused = Refused { code: error.code().to_owned(), text: error.to_string(), reason };
            Err((refused, error.kind().to_string()))
        }
    }
}

/// Awaits a command under an idempotency key, if there is one.
fn create<T: Serialize>(command: Create<T>, key: Option<&String>) -> Result<T, Error> {
    let command = match key {
        Some(key) => command.idempotency_key(key.parse().expect("a key")),
        None => command,
    };
    wait(command)
}

fn wait<F: IntoFuture>(future: F) -> F::Output {
    block_on(future.into_future())
}

/// All pages of a list, `limit` items at a time.
fn all<T>(limit: u32, read: impl Fn(PageRequest) -> Result<Page<T>, Error>) -> Vec<T> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let request = PageRequest::of(limit).expect("a limit").after(after.take());
        let page = read(request).expect("a page of what lives");
        let full = page.items.len() == usize::try_from(limit).expect("a small limit");
        assert!(full || page.next.is_none(), "a page with room to spare says that more follows");
        assert!(items.is_empty() || !page.items.is_empty(), "a page was announced and is empty");
        items.extend(page.items);
        assert!(items.len() < 1_000, "the pages of a short list never end");
        match page.next {
            Some(next) => after = Some(next),
            None => return items,
        }
    }
}

/// Holds lines against lines and shows where they part.
fn same(found: &[String], wanted: &[String], what: &str) {
    if let Some(at) = (0..found.len().max(wanted.len())).find(|&at| found.get(at) != wanted.get(at)) {
        panic!("{what}, line {at}:\n  found  {:?}\n  wanted {:?}", found.get(at), wanted.get(at));
    }
}

fn patch<T: std::str::FromStr>(names: &Names, change: &Change) -> Patch<T> {
    match change {
        Change::Keep => Patch::Keep,
        Change::Clear => Patch::Clear,
        Change::Set(text) => Patch::Set(names.id(text)),
    }
}

fn businesses(businesses: &[(String, String)]) -> PrimaryBusinesses {
    let list: Vec<Value> = businesses.iter().map(|(c, b)| json!({ "country": c, "business": b })).collect();
    json::from_slice(Value::from(list).to_string().as_bytes()).expect("a list of businesses")
}

fn expiration(end: Option<i64>) -> Expiration {
    end.map(|end| Timestamp::from_unix_millis(end).expect("a time")).into()
}

fn block_request(names: &Names, rule: &Rule) -> BlockRequest {
    let kind: BlockKind = rule.kind.parse().expect("a kind");
    BlockRequest::new(kind, names.id(&rule.value))
}

#[derive(Debug)]
struct Backend {
    engine: Engine,
    clock: Arc<SetClock>,
    pay: PerfectPay,
    callers: BTreeMap<String, Caller>,
    position: LogPosition,
}

impl Backend {
    fn merchant(&self, road: &Road, names: &Names) -> MerchantScope {
        match road {
            Road::Root { merchant } => self.pay.merchant(&names.id(merchant)),
            Road::Through { organization, merchant } => {
                self.pay.organization(&names.id(organization)).merchant(&names.id(merchant))
            }
            Road::Caller { key } => self.callers.get(key).expect("a key that authenticated").merchant().clone(),
        }
    }

    fn profile(&self, road: &Road, profile: &str, names: &Names) -> ProfileScope {
        self.merchant(road, names).profile(&names.id(profile))
    }

    fn connector(&self, road: &Road, handle: Option<&String>, id: &str, names: &Names) -> ConnectorScope {
        match handle {
            Some(handle) => self.profile(road, handle, names).connector(&names.id(id)),
            None => self.merchant(road, names).connector(&names.id(id)),
        }
    }

    fn payment(&self, road: &Road, handle: Option<&String>, id: &str, names: &Names) -> PaymentScope {
        match handle {
            Some(handle) => self.profile(road, handle, names).payment(&names.id(id)),
            None => self.merchant(road, names).payment(&names.id(id)),
        }
    }

    #[allow(clippy::too_many_lines, reason = "one arm for each command")]
    fn perform(&mut self, call: &Call, names: &Names, secrets: &BTreeMap<String, String>) -> Seen {
        macro_rules! update {
            ($command:expr, $expecting:expr) => {{
                let command = $command;
                wait(match $expecting {
                    Some(version) => command.expecting(*version),
                    None => command,
                })
            }};
        }
        macro_rules! remove {
            ($command:expr, $cascade:expr, $expecting:expr) => {{
                let command = $command;
                update!(if $cascade { command.cascade() } else { command }, $expecting)
            }};
        }
        match call {
            Call::Clock { millis } => {
                self.clock.set(*millis);
                seen(Ok(()))
            }
            Call::CreateOrganization { name, key } => {
                let new = NewOrganization::named(names.id(name));
                seen_version(create(self.pay.create_organization(new), key.as_ref()))
            }
            Call::UpdateOrganization { organization, name, expecting } => {
                let update = OrganizationUpdate { organization_name: patch(names, name), ..Default::default() };
                let scope = self.pay.organization(&names.id(organization));
                seen_version(update!(scope.update(update), expecting))
            }
            Call::RemoveOrganization { organization, cascade, expecting } => {
                let scope = self.pay.organization(&names.id(organization));
                seen(remove!(scope.remove(), *cascade, expecting))
            }
            Call::CreateMerchant { organization, id, parent, stated, businesses: list, key } => {
                let new = NewMerchant {
                    parent_merchant_id: parent.as_ref().map(|id| names.id(id)),
                    organization_id: stated.as_ref().map(|id| names.id(id)),
                    primary_business_details: Some(businesses(list)),
                    ..NewMerchant::with_id(names.id(id))
                };
                let scope = self.pay.organization(&names.id(organization));
                seen_version(create(scope.create_merchant(new), key.as_ref()))
            }
            Call::UpdateMerchant { road, edit, expecting } => {
                let mut update = MerchantUpdate::default();
                match edit {
                    MerchantChange::Nothing => {}
                    MerchantChange::Name(change) => update.merchant_name = patch(names, change),
                    MerchantChange::OtherId(id) => update.merchant_id = Some(names.id(id)),
                    MerchantChange::Parent(parent) => {
                        update.parent_merchant_id = parent.as_ref().map_or(Patch::Clear, |id| Patch::Set(names.id(id)));
                    }
                    MerchantChange::Default(profile) => update.default_profile = Patch::Set(names.id(profile)),
                    MerchantChange::NoDefault => update.default_profile = Patch::Clear,
                    MerchantChange::Businesses(list) => {
                        update.primary_business_details = Patch::Set(businesses(list));
                    }
                }
                seen_version(update!(self.merchant(road, names).update(update), expecting))
            }
            Call::RemoveMerchant { road, cascade, expecting } => {
                seen(remove!(self.merchant(road, names).remove(), *cascade, expecting))
            }
            Call::CreateProfile { road, name, key } => {
                let new = NewProfile::named(names.id(name));
                seen_version(create(self.merchant(road, names).create_profile(new), key.as_ref()))
            }
            Call::UpdateProfile { road, profile, name, expecting } => {
                let update = ProfileUpdate { profile_name: patch(names, name), ..Default::default() };
                seen_version(update!(self.profile(road, profile, names).update(update), expecting))
            }
            Call::RemoveProfile { road, profile, cascade, expecting } => {
                seen(remove!(self.profile(road, profile, names).remove(), *cascade, expecting))
            }
            Call::CreateConnector { road, handle, body, label, key } => {
                let new = json!({
                    "connector_type": "payment_processor",
                    "connector_name": "stripe",
                    "connector_account_details": { "auth_type": "HeaderKey", "api_key": "sk_test_new" },
                    "connector_label": label,
                    "payment_methods_enabled": [{ "payment_method": "card" }],
                    "profile_id": body.as_ref().map(|body| names.real(body)),
                });
                let new: NewConnector = json::from_slice(new.to_string().as_bytes()).expect("a body");
                let command = match handle {
                    Some(handle) => self.profile(road, handle, names).create_connector(new),
                    None => self.merchant(road, names).create_connector(new),
                };
                seen_version(create(command, key.as_ref()))
            }
            Call::UpdateConnector { road, handle, connector, edit, expecting } => {
                let mut body = json!({ "connector_type": "payment_processor" });
                match edit {
                    ConnectorChange::Label(Change::Keep) => {}
                    ConnectorChange::Label(Change::Clear) => body["connector_label"] = Value::Null,
                    ConnectorChange::Label(Change::Set(label)) => body["connector_label"] = label.as_str().into(),
                    ConnectorChange::Disabled(disabled) => body["disabled"] = (*disabled).into(),
                    ConnectorChange::Credential(key) => {
                        body["connector_account_details"] = json!({ "auth_type": "HeaderKey", "api_key": key });
                    }
                }
                let update: ConnectorUpdate = json::from_slice(body.to_string().as_bytes()).expect("a body");
                let scope = self.connector(road, handle.as_ref(), connector, names);
                seen_version(update!(scope.update(update), expecting))
            }
            Call::RemoveConnector { road, handle, connector, cascade, expecting } => {
                let scope = self.connector(road, handle.as_ref(), connector, names);
                seen(remove!(scope.remove(), *cascade, expecting))
            }
            Call::CreateApiKey { road, name, expires, key } => {
                let new = NewApiKey::new(names.id(name), expiration(*expires));
                seen(create(self.merchant(road, names).create_api_key(new), key.as_ref()))
            }
            Call::UpdateApiKey { road, api_key, edit, expecting } => {
                let mut update = ApiKeyUpdate::default();
                match edit {
                    KeyChange::Name(change) => update.name = patch(names, change),
                    KeyChange::Expires(end) => update.expiration = Patch::Set(expiration(*end)),
                    KeyChange::ExpiresNull => update.expiration = Patch::Clear,
                }
                let scope = self.merchant(road, names).api_key(&names.id(api_key));
                seen_version(update!(scope.update(update), expecting))
            }
            Call::RevokeApiKey { road, api_key, expecting } => {
                let scope = self.merchant(road, names).api_key(&names.id(api_key));
                seen(update!(scope.revoke(), expecting))
            }
            Call::Authenticate { api_key } => {
                let token = secrets.get(api_key).map_or("snd_absent", String::as_str);
                let answer = wait(self.pay.authenticate(token));
                seen_version(answer.map(|caller| {
                    let key = caller.api_key().clone();
                    assert_eq!(caller.merchant_id(), &key.merchant_id);
                    self.callers.insert(api_key.clone(), caller);
                    key
                }))
            }
            Call::AddRule { road, rule, key } => {
                let new = block_request(names, rule);
                seen_version(create(self.merchant(road, names).blocklist().add(new), key.as_ref()))
            }
            Call::RemoveRule { road, rule, expecting } => {
                let entry = block_request(names, rule);
                seen_version(update!(self.merchant(road, names).blocklist().remove(entry), expecting))
            }
            Call::Toggle { road, status } => seen(wait(self.merchant(road, names).blocklist().toggle(*status))),
            Call::Screen { road, card } => seen(Self::screen(&self.merchant(road, names), *card)),
            Call::CreatePayment { road, handle, body, id, link, return_url, confirm, key } => {
                let new = json!({
                    "amount": 4_999,
                    "currency": "USD",
                    "payment_id": id,
                    "profile_id": body.as_ref().map(|body| names.real(body)),
                    "payment_link": link,
                    "return_url": return_url.then_some("https://shop.example/done"),
                    "confirm": confirm,
                });
                let new: NewPayment = json::from_slice(new.to_string().as_bytes()).expect("a body");
                let command = match handle {
                    Some(handle) => self.profile(road, handle, names).create_payment(new),
                    None => self.merchant(road, names).create_payment(new),
                };
                seen_version(create(command, key.as_ref()))
            }
            Call::Routing(call) => self.perform_routing(call, names),
            Call::Read { road, thing } => self.read(road, thing, names),
        }
    }

    fn read(&self, road: &Road, thing: &Named, names: &Names) -> Seen {
        let merchant = self.merchant(road, names);
        match thing {
            Named::Merchant => seen_version(wait(merchant.retrieve())),
            Named::Organization => seen_version(wait(merchant.organization())),
            Named::Profile(id) => seen_version(wait(merchant.profile(&names.id(id)).retrieve())),
            Named::Connector(handle, id) => {
                let scope = self.connector(road, handle.as_ref(), id, names);
                let answer = seen_version(wait(scope.retrieve()));
                // The credentials are there for whom the account is there.
                let revealed = seen(wait(scope.reveal_credentials()).map(|auth| auth.masked()));
                assert_eq!(revealed.as_ref().err(), answer.as_ref().err());
                answer
            }
            Named::ApiKey(id) => seen_version(wait(merchant.api_key(&names.id(id)).retrieve())),
            Named::Payment(handle, id) => seen_version(wait(self.payment(road, handle.as_ref(), id, names).retrieve())),
            Named::Link(id) => seen(wait(merchant.payment_link(&names.id(id)).retrieve())),
        }
    }

    fn screen(merchant: &MerchantScope, card: usize) -> Result<Value, Error> {
        let screening = wait(merchant.blocklist().screen(&CARDS[card].parse().expect("a card")))?;
        Ok(json!({
            "guard": screening.guard,
            "blocked": screening.is_blocked(),
            "matched": screening.matched.map(|rule| rule.to_string()),
            "fingerprint": screening.fingerprint,
        }))
    }

    /// Everything that lives, a line each, and the JSON of each object by kind and id.
    fn lines(&self, limit: u32) -> (Vec<String>, BTreeMap<String, Value>) {
        let mut found = Found::default();
        for organization in all(limit, |page| wait(self.pay.organizations(page))) {
            let id = organization.organization_id.clone();
            let line = format!("organization {id} v{} {}", organization.version, organization.organization_name);
            found.add(format!("organization {id}"), line, seen_version(Ok(organization)));
            let scope = self.pay.organization(&id);
            for merchant in all(limit, |page| wait(scope.merchants(page))) {
                Self::merchant_lines(&scope.merchant(&merchant.merchant_id), merchant, limit, &mut found);
            }
        }
        (found.lines, found.objects)
    }

    fn merchant_lines(scope: &MerchantScope, merchant: Merchant, limit: u32, found: &mut Found) {
        let id = merchant.merchant_id.clone();
        let businesses: Vec<(String, String)> = merchant
            .primary_business_details
            .iter()
            .map(|business| (business.country.to_string(), business.business.to_string()))
            .collect();
        let line = format!(
            "merchant {id} in {} v{} name {:?} parent {:?} businesses {businesses:?} default {:?}",
            merchant.organization_id,
            merchant.version,
            merchant.merchant_name.as_ref().map(perfectpay::Text::as_str),
            merchant.parent_merchant_id.as_ref().map(perfectpay::MerchantId::as_str),
            merchant.default_profile.as_ref().map(perfectpay::ProfileId::as_str),
        );
        found.add(format!("merchant {id}"), line, seen_version(Ok(merchant)));
        let profiles = all(limit, |page| wait(scope.profiles(page)));
        let ids: Vec<_> = profiles.iter().map(|profile| profile.profile_id.clone()).collect();
        for profile in profiles {
            assert_eq!(profile.merchant_id, id);
            let name = format!("profile {}", profile.profile_id);
            let line = format!("{name} of {id} v{} {}", profile.version, profile.profile_name);
            let decided = Self::decided_line(&scope.profile(&profile.profile_id), profile.profile_id.as_str());
            found.add(name, line, seen_version(Ok(profile)));
            found.lines.push(decided);
        }
        let connectors = |found: &mut Found, connectors: Vec<Connector>| {
            for connector in connectors {
                let name = format!("connector {}", connector.merchant_connector_id);
                let line = format!(
                    "{name} of {id}/{} v{} {} disabled {}",
                    connector.profile_id, connector.version, connector.connector_label, connector.disabled
                );
                found.add(name, line, seen_version(Ok(connector)));
            }
        };
        connectors(found, all(limit, |page| wait(scope.connectors(page))));
        for profile in ids {
            connectors(found, all(limit, |page| wait(scope.profile(&profile).connectors(page))));
        }
        Self::program_lines(scope, limit, found);
        for key in all(limit, |page| wait(scope.api_keys(page))) {
            assert_eq!(key.merchant_id, id);
            let end: Option<Timestamp> = key.expiration.into();
            let name = format!("api_key {}", key.key_id);
            let line = format!(
                "{name} of {id} v{} {} ends {:?} revoked {:?}",
                key.version,
                key.name,
                end.map(Timestamp::unix_millis),
                key.revoked.map(Timestamp::unix_millis)
            );
            found.add(name, line, seen_version(Ok(key)));
        }
        Self::entry_lines(scope, id.as_str(), limit, found);
        for payment in all(limit, |page| wait(scope.payments(page))) {
            assert_eq!(payment.merchant_id, id);
            let line = format!(
                "payment {} of {id}/{} link {}",
                payment.payment_id,
                payment.profile_id,
                payment.payment_link.is_some()
            );
            found.add(format!("payment {id}/{}", payment.payment_id), line, seen_version(Ok(payment)));
        }
        for link in all(limit, |page| wait(scope.payment_links(page))) {
            let name = format!("payment_link {}", link.payment_link_id);
            let expired = link.status == perfectpay::PaymentLinkStatus::Expired;
            let line = format!("{name} of {id} for {} expired {expired}", link.payment_id.as_ref().unwrap());
            found.add(name, line, seen(Ok(link)));
        }
    }

    fn entry_lines(scope: &MerchantScope, id: &str, limit: u32, found: &mut Found) {
        let kinds = [Some(BlockKind::Fingerprint), Some(BlockKind::ExtendedCardBin), Some(BlockKind::CardBin), None];
        for kind in kinds {
            let total = std::cell::Cell::new(0);
            let entries = all(limit, |page| {
                let entries = wait(scope.blocklist().entries(kind, page))?;
                assert_eq!(entries.count, entries.data.len() as u64);
                total.set(entries.total_count);
                Ok(Page { items: entries.data, next: entries.next })
            });
            assert_eq!(total.get(), entries.len() as u64, "the count of a blocklist is not what it lists");
            let word = kind.map(|kind| kind.to_string()).unwrap_or_default();
            found.lines.push(format!("{} entries {word} of {id}", entries.len()));
            for entry in entries {
                let kind = if entry.data_kind == "payment_method" { "fingerprint" } else { &entry.data_kind };
                found.lines.push(format!("block_rule {kind}:{} of {id}", entry.fingerprint_id));
            }
        }
    }

    fn log_text(entry: &LogEntry) -> String {
        let changes: Vec<String> = entry
            .changes
            .iter()
            .map(|change| {
                let id = if change.kind == perfectpay::EntityKind::DataKey { "" } else { &change.id };
                let space = if id.is_empty() { "" } else { " " };
                format!("{} {id}{space}{} v{}", change.kind, change.verb, change.version)
            })
            .collect();
        format!(
            "{} {} by {} in {}/{}: {}",
            entry.at.unix_millis(),
            entry.class,
            entry.actor,
            entry.organization_id.as_deref().unwrap_or("-"),
            entry.merchant_id.as_deref().unwrap_or("-"),
            changes.join(", ")
        )
    }

    /// The log from the front, `limit` entries at a time.
    fn whole_log(limit: u32, read: impl Fn(LogPosition) -> Result<Vec<LogEntry>, Error>) -> Vec<String> {
        let mut texts = Vec::new();
        let mut after = LogPosition::START;
        loop {
            let entries = read(after).expect("the log of what lives");
            assert!(entries.len() <= limit as usize);
            if entries.is_empty() {
                return texts;
            }
            for entry in entries {
                assert!(entry.position > after, "positions grow");
                after = entry.position;
                texts.push(Self::log_text(&entry));
            }
        }
    }
}

#[derive(Default)]
struct Found {
    lines: Vec<String>,
    objects: BTreeMap<String, Value>,
}

impl Found {
    fn add(&mut self, name: String, line: String, seen: Seen) {
        self.lines.push(line);
        self.objects.insert(name, seen.expect("an answer").1);
    }
}

/// The library on every back-end.
#[derive(Debug)]
pub(crate) struct System {
    backends: Vec<Backend>,
    names: Names,
    secrets: BTreeMap<String, String>,
    /// What every step was answered.
    answers: Vec<Seen>,
    versions: BTreeMap<String, u64>,
    /// How many entries of the log were seen.
    logged: usize,
}

impl System {
    pub(crate) fn new() -> Self {
        let backend = |engine: Engine| {
            let clock = SetClock::new();
            let pay = open(Arc::clone(&engine.store), Arc::clone(&clock));
            Backend { engine, clock, pay, callers: BTreeMap::new(), position: LogPosition::START }
        };
        Self {
            backends: backends().into_iter().map(backend).collect(),
            names: Names::default(),
            secrets: BTreeMap::new(),
            answers: Vec::new(),
            versions: BTreeMap::new(),
            logged: 0,
        }
    }

    /// Does what the model did last.
    pub(crate) fn step(&mut self, model: &Model) {
        let (call, expected) = model.last.as_ref().expect("a step");
        if let Call::AddRule { rule, .. } | Call::RemoveRule { rule, .. } = call {
            self.learn_fingerprint(rule);
        }
        let seen: Vec<Seen> =
            self.backends.iter_mut().map(|backend| backend.perform(call, &self.names, &self.secrets)).collect();
        for (backend, other) in self.backends.iter().zip(&seen).skip(1) {
            assert_eq!(
                &seen[0], other,
                "{} answers otherwise than {}",
                backend.engine.name, self.backends[0].engine.name
            );
        }
        let answer = seen.into_iter().next().expect("a back-end");
        self.hold_against(expected, &answer);
        self.answers.push(answer);
    }

    /// The fingerprint of a card is the library's to make; which entry it belongs to is the model's to say.
    fn learn_fingerprint(&mut self, rule: &Rule) {
        if let (Some(card), Some(merchant)) = (rule.card, &rule.merchant)
            && !self.names.0.contains_key(&rule.value)
        {
            let backend = &self.backends[0];
            let screening = Backend::screen(&backend.pay.merchant(&self.names.id(merchant)), card);
            let fingerprint = screening.expect("a card is screened")["fingerprint"].as_str().expect("text").to_owned();
            self.names.0.insert(rule.value.clone(), fingerprint);
        }
    }

    fn hold_against(&mut self, expected: &Expected, answer: &Seen) {
        match (expected, answer) {
            (Expected::Done(done), Ok((_, answer))) => self.learn(done, answer),
            (Expected::Again(step), Ok((_, answer))) => {
                let mut first = self.answers[*step].as_ref().expect("what is kept was answered").1.clone();
                if let Some(object) = first.as_object_mut()
                    && object.remove("api_key").is_some()
                {
                    object.insert("replayed".to_owned(), true.into());
                }
                assert_eq!(answer, &first, "a repeated command answers what it answered the first time");
            }
            (Expected::Refused(refused), Err((error, _))) => {
                let refused = Refused { text: self.names.real(&refused.text), ..refused.clone() };
                assert_eq!(error, &refused, "another error was expected");
            }
            (expected, answer) => panic!("expected {expected:?}, got {answer:?}"),
        }
    }

    fn learn(&mut self, done: &Done, answer: &Value) {
        for bind in &done.binds {
            let (token, real) = match bind {
                Bind::Member(token, pointer) => {
                    (token, answer.pointer(pointer).and_then(Value::as_str).expect("an id").to_owned())
                }
                Bind::Profile { token, merchant, name } => {
                    let scope = self.backends[0].pay.merchant(&self.names.id(merchant));
                    let profiles = all(100, |page| wait(scope.profiles(page)));
                    let profile = profiles.into_iter().find(|profile| profile.profile_name.as_str() == name);
                    (token, profile.expect("the profile of that name").profile_id.to_string())
                }
            };
            if let Some(secret) = answer.get("api_key").and_then(Value::as_str) {
                self.secrets.insert(token.clone(), secret.to_owned());
            }
            self.names.0.insert(token.clone(), real);
        }
        for (pointer, fact) in &done.facts {
            assert_eq!(answer.pointer(pointer), Some(&self.names.real_json(fact)), "{pointer} of the answer");
        }
    }

    /// What there is, everywhere, is what the model has; and each change stands in the log once.
    pub(crate) fn check(&mut self, model: &Model) {
        // Small limits, so that lists have several pages; another one each time.
        let limit = [1, 2, 3, 100][self.answers.len() % 4];
        let real = |token: &str| self.names.real(token);
        let wanted = model.lines(&real);
        let logged: Vec<String> = model.log.iter().map(|entry| real(&entry.text)).collect();
        let known = self.logged;
        let mut objects = BTreeMap::new();
        for backend in &mut self.backends {
            let name = backend.engine.name;
            let (lines, found) = backend.lines(limit);
            same(&lines, &wanted, &format!("what {name} has is not what the model has"));
            let new = wait(backend.pay.log(backend.position, 1_000)).expect("the log");
            let texts: Vec<String> = new.iter().map(Backend::log_text).collect();
            same(&texts, &logged[known..], &format!("what {name} logged is not what happened"));
            let head = wait(backend.pay.log_head()).expect("the head");
            if let Some(last) = new.last() {
                assert!(last.position > backend.position, "positions grow");
                backend.position = last.position;
                assert_eq!(head.at, last.at);
            }
            assert_eq!(head.position, backend.position, "the head of {name} moved without an entry");
            assert!(head.configuration <= head.position);
            assert_eq!(
                head.configuration == head.position,
                model.log.last().is_none_or(|entry| entry.configuration),
                "only configuration moves its head"
            );
            assert!(objects.is_empty() || objects == found, "{name} shows an object otherwise than the others");
            objects = found;
        }
        for (name, object) in &objects {
            if let Some(version) = object.get("version").and_then(Value::as_u64) {
                let last = self.versions.entry(name.clone()).or_default();
                // A merchant account's id may have another owner by now, a payment's too.
                let may_return = name.starts_with("merchant ") || name.starts_with("payment ");
                assert!(version >= *last || (may_return && version == 1), "the version of {name} fell");
                *last = version;
            }
        }
        if let Some((call, Expected::Done(Done { whole: Some(whole), .. }))) = &model.last {
            let answer = &self.answers.last().expect("an answer").as_ref().expect("an answer").1;
            let whole = self.names.real(whole);
            assert_eq!(objects.get(&whole), Some(answer), "what {call:?} answered is not what is there");
        }
        self.logged = model.log.len();
    }

    /// At the end: the dead stay dead, and every log is the part of the whole that it should be.
    pub(crate) fn finish(&self, model: &Model) {
        let real = |text: &str| self.names.real(text);
        for backend in &self.backends {
            let pay = &backend.pay;
            let texts = |keep: &dyn Fn(&super::model::Logged) -> bool| -> Vec<String> {
                model.log.iter().filter(|entry| keep(entry)).map(|entry| real(&entry.text)).collect()
            };
            same(&Backend::whole_log(7, |after| wait(pay.log(after, 7))), &texts(&|_| true), "the whole log");
            for token in model.living_organizations() {
                let scope = pay.organization(&self.names.id(&token));
                let log = Backend::whole_log(3, |after| wait(scope.log(after, 3)));
                same(&log, &texts(&|entry| entry.organization.as_ref() == Some(&token)), "an organization's log");
            }
            for (id, number) in model.accounts() {
                let scope = pay.merchant(&self.names.id(&id));
                let log = Backend::whole_log(2, |after| wait(scope.log(after, 2)));
                same(&log, &texts(&|entry| entry.merchant.as_ref() == Some(&number)), "an account's log");
            }
        }
    }
}
