//! The host that is killed: threads that carry out random commands through the handles, and tell of each before it
//! begins and after it was answered.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_lite::future::block_on;
use perfectpay::store::{Actor, Store};
use perfectpay::{
    Error, MasterKey, MerchantId, MerchantScope, OrganizationId, PageRequest, PerfectPay, Settings, json,
};
use perfectpay_sqlite::{Durability, SqliteOptions};
use perfectpay_testkit::host;
use perfectpay_testkit::layer::Layered;
use serde_json::json;

use crate::report::{Create, Recorder, Sink};

/// How many threads carry out commands.
const THREADS: u64 = 4;

/// Choices that a seed repeats.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_of<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())).cloned() }
    }
}

/// The library on a store whose commits are told to `sink`, with the system's clock and randomness.
pub(crate) fn opened(store: Arc<dyn Store>, sink: Sink) -> (PerfectPay, Arc<Recorder>) {
    let layered = Layered::over(store, Recorder::new(sink));
    let recorder = Arc::clone(&layered.layer);
    let master_key = MasterKey::from_hex(host::MASTER_KEY_ID, host::MASTER_KEY_HEX).unwrap();
    let settings = Settings::new(master_key).base_url(host::BASE_URL.parse().unwrap());
    (block_on(PerfectPay::open(Arc::new(layered), settings)).unwrap(), recorder)
}

pub(crate) fn by(pay: &PerfectPay, actor: &str) -> PerfectPay {
    pay.acting_as(Actor::Operator(actor.parse().unwrap()))
}

/// Carries out a command that creates something, and answers the id of what it created.
pub(crate) async fn create(pay: &PerfectPay, command: &Create) -> Result<String, Error> {
    fn keyed<T>(command: perfectpay::Create<T>, key: Option<&String>) -> perfectpay::Create<T> {
        match key {
            Some(key) => command.idempotency_key(key.parse().unwrap()),
            None => command,
        }
    }
    let (key, body) = (command.key.as_ref(), command.body.as_bytes());
    if command.noun == "organization" {
        let made = keyed(pay.create_organization(json::from_slice(body)?), key).await?;
        return Ok(made.organization_id.to_string());
    }
    let organization = pay.organization(&command.organization.parse().unwrap());
    if command.noun == "merchant" {
        let made = keyed(organization.create_merchant(json::from_slice(body)?), key).await?;
        return Ok(made.merchant_id.to_string());
    }
    let scope = organization.merchant(&command.merchant.parse().unwrap());
    Ok(match &*command.noun {
        "profile" => keyed(scope.create_profile(json::from_slice(body)?), key).await?.profile_id.to_string(),
        "connector" => {
            keyed(scope.create_connector(json::from_slice(body)?), key).await?.merchant_connector_id.to_string()
        }
        "api_key" => keyed(scope.create_api_key(json::from_slice(body)?), key).await?.key_id.to_string(),
        "block_rule" => {
            let made = keyed(scope.blocklist().add(json::from_slice(body)?), key).await?;
            format!("{}:{}", made.data_kind, made.fingerprint_id)
        }
        "payment" => keyed(scope.create_payment(json::from_slice(body)?), key).await?.payment_id.to_string(),
        other => panic!("{other}"),
    })
}

/// The merchant accounts that the threads know of, with their organizations.
#[derive(Default)]
struct Known {
    organizations: Vec<OrganizationId>,
    merchants: Vec<(OrganizationId, MerchantId)>,
}

struct Worker<'a> {
    pay: &'a PerfectPay,
    recorder: &'a Recorder,
    known: &'a Mutex<Known>,
    name: String,
    dice: Dice,
    commands: u64,
}

/// What [`as_the_host_that_is_killed`](crate::as_the_host_that_is_killed) does, until it is killed.
pub(crate) fn run(path: &Path) {
    let variable = |name| std::env::var(name).unwrap();
    let (mode, name) = (variable("PERFECTPAY_TEST_MODE"), variable("PERFECTPAY_TEST_NAME"));
    let seed: u64 = variable("PERFECTPAY_TEST_SEED").parse().unwrap();
    let (what, durability) = mode.split_once('-').unwrap();
    let durability = match durability {
        "extra" => Durability::Extra,
        "full" => Durability::Full,
        _ => Durability::Normal,
    };
    let store = SqliteOptions::new(path).durability(durability).open().unwrap();
    let (pay, recorder) = opened(Arc::new(store), Sink::Pipe);
    let known = Mutex::new(block_on(found(&pay)));
    recorder.sink.tell("ready");
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut worker = Worker {
                pay: &pay,
                recorder: &recorder,
                known: &known,
                name: format!("{name}.{thread}"),
                dice: Dice::new(seed ^ thread.wrapping_mul(0x1234_5678_9abc_def1)),
                commands: 0,
            };
            scope.spawn(move || {
                loop {
                    match what {
                        "pairs" => block_on(worker.pair()),
                        "hasty" => block_on(worker.hasty()),
                        _ => block_on(worker.command()),
                    }
                }
            });
        }
    });
}

/// What earlier lives of the file left.
async fn found(pay: &PerfectPay) -> Known {
    let mut known = Known::default();
    let page = || PageRequest::of(100).unwrap();
    for organization in pay.organizations(page()).await.unwrap().items {
        let id = organization.organization_id;
        // Another process may be removing it.
        let merchants = pay.organization(&id).merchants(page()).await.map_or_else(|_| Vec::new(), |page| page.items);
        known.merchants.extend(merchants.into_iter().map(|merchant| (id.clone(), merchant.merchant_id)));
        known.organizations.push(id);
    }
    known
}

impl Worker<'_> {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn named(&mut self) -> String {
        self.commands += 1;
        format!("{}.{}", self.name, self.commands)
    }

    /// A planted fault: a command that is acknowledged before it is carried out.
    async fn hasty(&mut self) {
        let actor = self.named();
        self.recorder.sink.begins(&actor, &["organization", "data_key"], None);
        self.recorder.sink.answered(&actor, &Ok(String::new()));
        let body = json::from_slice(host::organization_body(&actor).as_bytes()).unwrap();
        by(self.pay, &actor).create_organization(body).await.unwrap();
    }

    /// A planted fault: one command that makes two objects in two commits.
    async fn pair(&mut self) {
        let actor = self.named();
        let pay = by(self.pay, &actor);
        self.recorder.sink.begins(&actor, &["organization", "data_key", "organization", "data_key"], None);
        let body = || json::from_slice(host::organization_body(&actor).as_bytes());
        let first = pay.create_organization(body().unwrap()).await.unwrap();
        let partner = pay.create_organization(body().unwrap()).await;
        self.recorder.sink.answered(&actor, &partner.map(|_| first.organization_id.to_string()));
    }

    async fn command(&mut self) {
        let actor = self.named();
        let pay = by(self.pay, &actor);
        let choice = self.dice.below(100);
        let merchant = {
            let merchants = self.known().merchants.clone();
            self.dice.one_of(&merchants)
        };
        let answer = match merchant {
            Some((organization, merchant)) if choice >= 16 => {
                if choice < 66 {
                    self.create_within(&pay, &actor, &organization, &merchant, choice).await
                } else {
                    self.recorder.sink.begins(&actor, &[], None);
                    let answer = self.change(&pay, &organization, &merchant, choice).await;
                    answer.map(|()| String::new())
                }
            }
            _ => self.create_tenant(&pay, &actor, choice).await,
        };
        self.recorder.sink.answered(&actor, &answer);
    }

    fn maybe_once(&mut self, actor: &str) -> Option<String> {
        (self.dice.below(2) == 0).then(|| format!("once-{actor}"))
    }

    async fn create_tenant(&mut self, pay: &PerfectPay, actor: &str, choice: usize) -> Result<String, Error> {
        let organizations = self.known().organizations.clone();
        let organization = self.dice.one_of(&organizations).filter(|_| !choice.is_multiple_of(4));
        let key = self.maybe_once(actor);
        let merchant = String::new();
        let Some(organization) = organization else {
            let body = host::organization_body(actor);
            let command = Create { noun: "organization".into(), organization: String::new(), merchant, body, key };
            self.recorder.sink.begins(actor, &["organization", "data_key"], Some(&command));
            let id = create(pay, &command).await?;
            self.known().organizations.push(id.parse().unwrap());
            return Ok(id);
        };
        let businesses = ["food", "books", "wine"];
        let count = self.dice.below(4);
        let mut body = json!({ "merchant_id": format!("m_{}", actor.replace('.', "_")), "return_url": "https://shop.example.com/return" });
        if count > 0 {
            let of = |business: &&str| json!({ "country": "US", "business": business });
            body["primary_business_details"] = businesses[..count].iter().map(of).collect();
        }
        let mut makes = vec!["merchant", "data_key"];
        makes.resize(2 + count.max(1), "profile");
        let (noun, body) = ("merchant".into(), body.to_string());
        let command = Create { noun, organization: organization.to_string(), merchant, body, key };
        self.recorder.sink.begins(actor, &makes, Some(&command));
        match create(pay, &command).await {
            Ok(id) => {
                self.known().merchants.push((organization, id.parse().unwrap()));
                Ok(id)
            }
            Err(error) => {
                self.known().organizations.retain(|known| *known != organization);
                Err(error)
            }
        }
    }

    async fn create_within(
        &mut self,
        pay: &PerfectPay,
        actor: &str,
        organization: &OrganizationId,
        merchant: &MerchantId,
        choice: usize,
    ) -> Result<String, Error> {
        let (noun, makes, body): (_, &[&str], _) = match choice {
            16..24 => ("profile", &["profile"], host::profile_body(&actor.replace('.', "_"))),
            24..32 => ("connector", &["connector"], host::connector_body(&actor.replace('.', "_"), "sk_test_1")),
            32..40 => ("api_key", &["api_key"], host::api_key_body(actor, "never")),
            40..48 => {
                let digits = format!("{:06}", self.dice.below(1_000_000));
                ("block_rule", &["block_rule"], host::block_body("card_bin", &digits))
            }
            48..60 => ("payment", &["payment", "payment_link"], host::payment_with_link_body(4_999, "USD")),
            _ => ("payment", &["payment"], host::payment_body(100, "EUR")),
        };
        let key = self.maybe_once(actor);
        let (organization, merchant) = (organization.to_string(), merchant.to_string());
        let command = Create { noun: noun.into(), organization, merchant, body, key };
        self.recorder.sink.begins(actor, makes, Some(&command));
        create(pay, &command).await
    }

    /// A command that changes or removes what there is.
    async fn change(
        &mut self,
        pay: &PerfectPay,
        organization: &OrganizationId,
        merchant: &MerchantId,
        choice: usize,
    ) -> Result<(), Error> {
        let owner = pay.organization(organization);
        let scope = owner.merchant(merchant);
        let few = || PageRequest::of(8).unwrap();
        let number = self.dice.below(7_000_000) + 60;
        match choice {
            66..68 => {
                let body = json!({ "organization_name": format!("Renamed {number}") }).to_string();
                owner.update(json::from_slice(body.as_bytes())?).await.map(drop)
            }
            68..72 => {
                let body = json!({ "merchant_name": format!("Renamed {number}") }).to_string();
                scope.update(json::from_slice(body.as_bytes())?).await.map(drop)
            }
            72..75 => scope.blocklist().toggle(None).await.map(drop),
            75..84 => self.change_profile(&scope, choice, number).await,
            84..90 => {
                let Some(found) = self.dice.one_of(&scope.connectors(few()).await?.items) else { return Ok(()) };
                let connector = scope.connector(&found.merchant_connector_id);
                if choice < 87 {
                    let body = json!({ "connector_type": "payment_processor", "metadata": { "number": number } });
                    connector.update(json::from_slice(body.to_string().as_bytes())?).await.map(drop)
                } else {
                    connector.remove().await.map(drop)
                }
            }
            90..94 => {
                let Some(found) = self.dice.one_of(&scope.api_keys(few()).await?.items) else { return Ok(()) };
                let key = scope.api_key(&found.key_id);
                if choice < 92 {
                    let body = json!({ "name": format!("renamed {number}") }).to_string();
                    key.update(json::from_slice(body.as_bytes())?).await.map(drop)
                } else {
                    key.revoke().await.map(drop)
                }
            }
            94..96 => {
                let entries = scope.blocklist().entries(None, few()).await?.data;
                let Some(found) = self.dice.one_of(&entries) else { return Ok(()) };
                let body = host::block_body("card_bin", &found.fingerprint_id.to_string());
                scope.blocklist().remove(json::from_slice(body.as_bytes())?).await.map(drop)
            }
            96..99 => {
                let removed = scope.remove().cascade().await;
                self.known().merchants.retain(|(_, known)| known != merchant);
                removed.map(drop)
            }
            _ => {
                self.known().organizations.retain(|known| known != organization);
                let removed = owner.remove().cascade().await;
                self.known().merchants.retain(|(of, _)| of != organization);
                removed.map(drop)
            }
        }
    }

    async fn change_profile(&mut self, scope: &MerchantScope, choice: usize, number: usize) -> Result<(), Error> {
        let profiles = scope.profiles(PageRequest::of(8)?).await?.items;
        let Some(found) = self.dice.one_of(&profiles) else { return Ok(()) };
        let profile = scope.profile(&found.profile_id);
        match choice {
            75..78 => {
                let body = json!({ "session_expiry": number }).to_string();
                profile.update(json::from_slice(body.as_bytes())?).await.map(drop)
            }
            78..82 => {
                let body = json!({ "default_profile": found.profile_id.to_string() }).to_string();
                scope.update(json::from_slice(body.as_bytes())?).await.map(drop)
            }
            _ => profile.remove().cascade().await.map(drop),
        }
    }
}
