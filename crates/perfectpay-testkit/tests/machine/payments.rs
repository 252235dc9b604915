//! Payments and links under any commands and any clock: what a model of a few lines says, on every back-end at once.
//!
//! One account with two connector accounts. Held after every step: answers, errors and ids are the same everywhere; each
//! link, use and payment stands where the model has it, with the events that webhooks tell; a refused command wrote nothing;
//! no link has more uses than it may; amounts stay.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::IntoFuture;
use std::sync::Arc;

use futures_lite::future::block_on;
use perfectpay::{
    CancelPayment, Error, LinkUseId, MerchantScope, Outcome, PageRequest, PaymentId, PaymentLinkId, PerfectPay,
    ProfileId, json,
};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use super::host::{BEGINNING, Engine, SetClock, backends, open};

/// What is done; objects are picked by a number among those that there are, one behind them is nobody's.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    CreateLink { limit: Option<u8>, open: bool, opens: u8, lasts: u8 },
    CreatePayment { link: bool },
    Claim { link: u8, hold: u8, amount: Option<u16> },
    ConfirmUse(u8),
    Release(u8),
    Purge(u8),
    Switch { link: u8, off: bool },
    Confirm(u8),
    Report { payment: u8, attempt: u8, outcome: Told },
    Cancel(u8),
    Expire,
    Retries(bool),
    Clock(i32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Approved,
    Pending,
    Soft,
    Hard,
}

/// How the attempts of a payment stand: the account's turn within its decision, and what was told last.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    turn: u8,
    told: Option<Told>,
}

#[derive(Debug, Clone)]
struct Link {
    limit: u64,
    single: bool,
    open: bool,
    payment: Option<usize>,
    opens: i64,
    expires: i64,
    off: bool,
}

#[derive(Debug, Clone)]
struct Use {
    link: usize,
    payment: usize,
    until: i64,
    paying: bool,
    confirmed: bool,
}

#[derive(Debug, Clone)]
struct Payment {
    status: &'static str,
    amount: i64,
    expires: i64,
    link: Option<usize>,
    last_use: Option<usize>,
    attempts: Vec<Attempt>,
    events: BTreeSet<&'static str>,
}

#[derive(Debug, Clone)]
pub(crate) struct Model {
    links: Vec<Link>,
    uses: Vec<Option<Use>>,
    payments: Vec<Payment>,
    retries: bool,
    clock: i64,
    log: i64,
    /// What was done last, and what it is answered.
    last: Option<(Step, Result<(), String>)>,
}

/// Published; the account of this many connector accounts tries so many.
const ACCOUNTS: u8 = 2;

impl Model {
    fn new() -> Self {
        let (clock, log) = (BEGINNING, BEGINNING);
        Self { links: vec![], uses: vec![], payments: vec![], retries: false, clock, log, last: None }
    }

    fn now(&self) -> i64 {
        self.clock.max(self.log)
    }

    fn stands(&self, one: &Use) -> bool {
        one.confirmed || one.paying || self.now() < one.until
    }

    /// Confirmed ones, and those that are held.
    fn counts(&self, link: usize) -> (u64, u64) {
        let of = self.uses.iter().flatten().filter(|one| one.link == link && self.stands(one));
        let (confirmed, held): (Vec<&Use>, Vec<&Use>) = of.partition(|one| one.confirmed);
        (confirmed.len() as u64, held.len() as u64)
    }

    fn state(&self, at: usize, payment: Option<&str>) -> &'static str {
        let link = &self.links[at];
        match payment {
            Some("succeeded") => return "paid",
            Some("failed" | "cancelled") => return "used_up",
            Some("processing") => return "held",
            _ => {}
        }
        let (confirmed, held) = self.counts(at);
        match () {
            () if confirmed >= link.limit && link.single => "paid",
            () if confirmed >= link.limit => "used_up",
            () if link.off => "deactivated",
            () if self.now() >= link.expires || payment == Some("expired") => "expired",
            () if self.now() < link.opens => "scheduled",
            () if confirmed + held >= link.limit => "held",
            () => "active",
        }
    }

    fn own_status(&self, link: usize) -> Option<&'static str> {
        self.links[link].payment.map(|payment| self.payments[payment].status)
    }

    fn is_open(&self, link: usize, payment: Option<&str>) -> Result<(), String> {
        let state = self.state(link, payment);
        if state == "active" { Ok(()) } else { Err(format!("payment_link.{state}")) }
    }

    /// A payment comes to a status: its event, and what becomes of its use.
    fn comes_to(&mut self, payment: usize, status: &'static str) {
        let (now, retries) = (self.now(), self.retries);
        self.log = now;
        let one = &mut self.payments[payment];
        if one.status == status {
            return;
        }
        one.status = status;
        one.events.insert(match status {
            "processing" => "payment_processing",
            "succeeded" => "payment_succeeded",
            "failed" => "payment_failed",
            "cancelled" => "payment_cancelled",
            _ => "payment_expired",
        });
        let Some(at) = one.last_use else { return };
        let Some(one) = self.uses[at].clone().filter(|one| !one.confirmed) else { return };
        let stands = self.stands(&one);
        self.uses[at] = match status {
            "processing" => Some(Use { paying: stands, ..one }),
            "succeeded" => Some(Use { paying: false, confirmed: stands, ..one }),
            "failed" if retries => Some(Use { paying: false, ..one }),
            _ => None,
        };
    }

    fn pick(of: usize, by: u8) -> Result<usize, String> {
        // One behind the last is nobody.
        let at = usize::from(by) % (of + 1);
        if at < of { Ok(at) } else { Err("not_found".to_owned()) }
    }

    fn used(&self, by: u8) -> Result<(usize, Use), String> {
        let at = Self::pick(self.uses.len(), by)?;
        self.uses[at].clone().map(|one| (at, one)).ok_or_else(|| "not_found".to_owned())
    }

    #[allow(clippy::too_many_lines, reason = "one arm for each command")]
    fn take(&mut self, step: &Step) -> Result<(), String> {
        let refuse = |code: &str| Err(code.to_owned());
        let now = self.now();
        match *step {
            Step::CreateLink { limit, open, opens, lasts } => {
                let opens = now + i64::from(opens) * 1_000;
                self.links.push(Link {
                    limit: limit.map_or(u64::MAX, u64::from),
                    single: limit == Some(1),
                    open,
                    payment: None,
                    opens,
                    expires: opens + (60 + i64::from(lasts)) * 1_000,
                    off: false,
                });
                self.log = now;
            }
            Step::CreatePayment { link } => {
                let expires = now + 90_000;
                let at = self.payments.len();
                self.payments.push(Payment {
                    status: "requires_payment_method",
                    amount: 4_999,
                    expires,
                    link: link.then_some(self.links.len()),
                    last_use: None,
                    attempts: vec![],
                    events: BTreeSet::new(),
                });
                if link {
                    let opens = now;
                    let payment = Some(at);
                    self.links.push(Link { limit: 1, single: true, open: false, payment, opens, expires, off: false });
                }
                self.log = now;
            }
            Step::Claim { link, hold, amount } => {
                let at = Self::pick(self.links.len(), link)?;
                self.is_open(at, self.own_status(at))?;
                let link = &self.links[at];
                let fixed = link.payment.map_or(1_000, |payment| self.payments[payment].amount);
                let amount = match (link.open, amount.map(i64::from)) {
                    (false, Some(chosen)) if chosen != fixed => return refuse("payment_link.amount_fixed"),
                    (false, _) => fixed,
                    (true, None) => return refuse("payment_link.amount_required"),
                    (true, Some(chosen)) if (500..=2_000).contains(&chosen) => chosen,
                    (true, Some(_)) => return refuse("payment_link.amount_bounds"),
                };
                let until = now + i64::from(hold) * 1_000;
                let payment = link.payment.unwrap_or(self.payments.len());
                let one = self.uses.len();
                match link.payment {
                    Some(own) => self.payments[own].last_use = Some(one),
                    None => self.payments.push(Payment {
                        status: "requires_payment_method",
                        amount,
                        expires: until,
                        link: Some(at),
                        last_use: Some(one),
                        attempts: vec![],
                        events: BTreeSet::new(),
                    }),
                }
                self.uses.push(Some(Use { link: at, payment, until, paying: false, confirmed: false }));
                self.log = now;
            }
            Step::ConfirmUse(by) => {
                let (at, one) = self.used(by)?;
                if one.confirmed {
                    return Ok(());
                }
                if !self.stands(&one) {
                    self.is_open(one.link, None)?;
                }
                self.uses[at] = Some(Use { paying: false, confirmed: true, ..one });
                self.log = now;
            }
            Step::Release(by) => {
                let (at, one) = self.used(by)?;
                if one.confirmed {
                    return refuse("link_use.confirmed");
                }
                match self.payments[one.payment].status {
                    "processing" | "succeeded" => return refuse("link_use.paying"),
                    "requires_payment_method" if self.links[one.link].payment.is_none() => {
                        self.comes_to(one.payment, "cancelled");
                    }
                    _ => {}
                }
                self.uses[at] = None;
                self.log = now;
            }
            Step::Purge(by) => {
                let link = Self::pick(self.links.len(), by)?;
                let lapsed: Vec<usize> = (0..self.uses.len())
                    .filter(|&at| self.uses[at].as_ref().is_some_and(|one| one.link == link && !self.stands(one)))
                    .collect();
                if !lapsed.is_empty() {
                    for at in lapsed {
                        self.uses[at] = None;
                    }
                    self.log = now;
                }
            }
            Step::Switch { link, off } => {
                let link = Self::pick(self.links.len(), link)?;
                if self.links[link].off != off {
                    self.links[link].off = off;
                    self.log = now;
                }
            }
            Step::Confirm(by) => {
                let at = Self::pick(self.payments.len(), by)?;
                let payment = &self.payments[at];
                match payment.status {
                    _ if payment.expires <= now => return refuse("payment.expired"),
                    "requires_payment_method" => {}
                    "failed" if self.retries => {}
                    "failed" => return refuse("payment.retry_disabled"),
                    _ => return refuse("payment.not_confirmable"),
                }
                let one = payment.last_use.and_then(|one| self.uses[one].as_ref());
                let of_its_use =
                    payment.last_use.is_some() && payment.link.is_some_and(|link| self.links[link].payment.is_none());
                if of_its_use && !one.is_some_and(|one| self.stands(one)) {
                    return refuse("payment.no_link_use");
                }
                self.payments[at].attempts.push(Attempt { turn: 1, told: None });
                self.comes_to(at, "processing");
            }
            Step::Report { payment, attempt, outcome } => {
                let at = Self::pick(self.payments.len(), payment)?;
                let payment = &mut self.payments[at];
                let number = usize::from(attempt) % (payment.attempts.len() + 2);
                let Some(index) = number.checked_sub(1).filter(|&index| index < payment.attempts.len()) else {
                    return refuse("payment.no_attempt");
                };
                let Attempt { turn, told } = payment.attempts[index];
                if told == Some(outcome) {
                    return Ok(());
                }
                if !matches!(told, None | Some(Told::Pending)) {
                    return refuse("payment.attempt_over");
                }
                payment.attempts[index].told = Some(outcome);
                match outcome {
                    Told::Pending => self.comes_to(at, "processing"),
                    Told::Approved => self.comes_to(at, "succeeded"),
                    Told::Soft if turn < ACCOUNTS => {
                        payment.attempts.push(Attempt { turn: turn + 1, told: None });
                        self.comes_to(at, "processing");
                    }
                    Told::Soft | Told::Hard => self.comes_to(at, "failed"),
                }
            }
            Step::Cancel(by) => {
                let at = Self::pick(self.payments.len(), by)?;
                if self.payments[at].status != "requires_payment_method" {
                    return refuse("payment.not_cancellable");
                }
                self.comes_to(at, "cancelled");
            }
            Step::Expire => {
                for at in 0..self.payments.len() {
                    let payment = &self.payments[at];
                    if payment.status == "requires_payment_method" && payment.expires <= now {
                        self.comes_to(at, "expired");
                    }
                }
            }
            Step::Retries(on) => {
                if self.retries != on {
                    self.retries = on;
                    self.log = now;
                }
            }
            Step::Clock(millis) => self.clock += i64::from(millis),
        }
        Ok(())
    }

    /// Where everything stands, a line each.
    fn lines(&self) -> Vec<String> {
        let links = (0..self.links.len()).map(|at| {
            let (confirmed, held) = self.counts(at);
            format!("link {at} {} {confirmed} {held}", self.state(at, self.own_status(at)))
        });
        let uses = self.uses.iter().enumerate().map(|(at, one)| match one {
            None => format!("use {at} not_found"),
            Some(one) if one.confirmed => format!("use {at} confirmed"),
            Some(one) if one.paying => format!("use {at} paying"),
            Some(one) if self.stands(one) => format!("use {at} held"),
            Some(_) => format!("use {at} lapsed"),
        });
        let payments = self.payments.iter().enumerate().map(|(at, one)| {
            format!("payment {at} {} {} {} {:?}", one.status, one.amount, one.attempts.len(), one.events)
        });
        links.chain(uses).chain(payments).collect()
    }
}

pub(crate) fn steps() -> BoxedStrategy<Step> {
    let by = any::<u8>;
    let told = prop_oneof![Just(Told::Approved), Just(Told::Pending), Just(Told::Soft), Just(Told::Hard)];
    prop_oneof![
        3 => (proptest::option::weighted(0.8, 1..4_u8), prop::bool::weighted(0.3), 0..3_u8, 0..60_u8)
            .prop_map(|(limit, open, opens, lasts)| Step::CreateLink { limit, open, opens: opens * 10, lasts }),
        2 => any::<bool>().prop_map(|link| Step::CreatePayment { link }),
        6 => (by(), 5..60_u8, proptest::option::of(prop_oneof![Just(1_000_u16), Just(400), Just(4_999)]))
            .prop_map(|(link, hold, amount)| Step::Claim { link, hold, amount }),
        2 => by().prop_map(Step::ConfirmUse),
        2 => by().prop_map(Step::Release),
        1 => by().prop_map(Step::Purge),
        1 => (by(), any::<bool>()).prop_map(|(link, off)| Step::Switch { link, off }),
        6 => by().prop_map(Step::Confirm),
        7 => (by(), by(), told).prop_map(|(payment, attempt, outcome)| Step::Report { payment, attempt, outcome }),
        1 => by().prop_map(Step::Cancel),
        2 => Just(Step::Expire),
        1 => any::<bool>().prop_map(Step::Retries),
        3 => (-5_000..30_000_i32).prop_map(Step::Clock),
    ]
    .boxed()
}

#[derive(Debug)]
struct Backend {
    engine: Engine,
    clock: Arc<SetClock>,
    pay: PerfectPay,
    scope: MerchantScope,
    profile: ProfileId,
}

fn body<T: serde::de::DeserializeOwned>(body: Value) -> T {
    json::from_value(body).expect("a body")
}

fn wait<F: IntoFuture>(future: F) -> F::Output {
    block_on(future.into_future())
}

/// What was answered: JSON, or the code.
fn seen<T: Serialize>(answer: Result<T, Error>) -> Result<Value, String> {
    answer.map(|answer| serde_json::to_value(answer).expect("JSON")).map_err(|error| error.code().to_owned())
}

impl Backend {
    fn new(engine: Engine) -> Self {
        let clock = SetClock::new();
        let pay = open(Arc::clone(&engine.store), Arc::clone(&clock));
        let group = wait(pay.create_organization(body(json!({ "organization_name": "Group" })))).expect("a group");
        let group = pay.organization(&group.organization_id);
        wait(group.create_merchant(body(json!({ "merchant_id": "acme" })))).expect("an account");
        let scope = pay.merchant(&"acme".parse().expect("an id"));
        let profile = wait(scope.profiles(PageRequest::default())).expect("profiles").items.remove(0).profile_id;
        let update = json!({
            "webhook_details": { "webhook_url": "https://shop.example/hook" }, "is_manual_retry_enabled": false,
        });
        wait(scope.profile(&profile).update(body(update))).expect("an update");
        for label in 0..ACCOUNTS {
            let account = json!({
                "connector_type": "payment_processor",
                "connector_name": "stripe",
                "connector_label": format!("account {label}"),
                "connector_account_details": { "auth_type": "HeaderKey", "api_key": "sk" },
                "payment_methods_enabled": [{ "payment_method": "card", "payment_method_types": ["credit"] }],
            });
            wait(scope.create_connector(body(account))).expect("a connector account");
        }
        Self { engine, clock, pay, scope, profile }
    }

    fn perform(&self, step: &Step, model: &Model, ids: &Ids) -> Result<Value, String> {
        let (scope, back) = (&self.scope, "https://shop.example/thanks");
        match *step {
            Step::CreateLink { limit, open, opens, lasts } => {
                let kind = match limit {
                    None => json!("reusable"),
                    Some(1) => json!("single_use"),
                    Some(limit) => json!({ "limited": limit }),
                };
                let amount = if open { json!({ "minimum": 500, "maximum": 2_000 }) } else { json!(1_000) };
                let link = model.links.last().expect("the new one");
                let opens_at = perfectpay::Timestamp::from_unix_millis(link.opens);
                seen(wait(scope.create_payment_link(body(json!({
                    "amount": amount, "currency": "USD", "kind": kind, "return_url": back,
                    "opens_at": (opens > 0).then_some(opens_at), "session_expiry": 60 + u32::from(lasts),
                })))))
            }
            Step::CreatePayment { link } => seen(wait(scope.create_payment(body(json!({
                "amount": 4_999, "currency": "USD", "payment_link": link, "return_url": back, "session_expiry": 90,
            }))))),
            Step::Claim { link, hold, amount } => {
                seen(wait(scope.payment_link(&ids.link(link)).claim(body(json!({ "hold": hold, "amount": amount })))))
            }
            Step::ConfirmUse(by) => seen(wait(scope.link_use(&ids.link_use(by)).confirm())),
            Step::Release(by) => seen(wait(scope.link_use(&ids.link_use(by)).release())),
            Step::Purge(by) => {
                seen(wait(scope.payment_link(&ids.link(by)).purge_lapsed(PageRequest::of(100).expect("a limit"))))
            }
            Step::Switch { link, off } => {
                let link = scope.payment_link(&ids.link(link));
                seen(wait(if off { link.deactivate() } else { link.reactivate() }))
            }
            Step::Confirm(by) => seen(wait(scope.payment(&ids.payment(by)).confirm(body(json!({
                "payment_method": "card",
                "payment_method_type": "credit",
                "payment_method_data": { "card": {
                    "card_number": "4242424242424242", "card_exp_month": "10", "card_exp_year": "99", "card_cvc": "123",
                } },
            }))))),
            Step::Report { payment, attempt, outcome } => {
                let id = ids.payment(payment);
                let count = ids.payments.iter().position(|one| *one == id).map_or(0, |at| ids.attempts[at]);
                let number = u32::try_from(usize::from(attempt) % (count + 2)).expect("small");
                let outcome: Outcome = match outcome {
                    Told::Approved => Outcome::Approved,
                    Told::Pending => Outcome::Pending,
                    Told::Soft => body(json!({ "result": "declined", "code": "51" })),
                    Told::Hard => body(json!({ "result": "declined", "code": "stolen_card" })),
                };
                seen(wait(scope.payment(&id).record_attempt(number, outcome)))
            }
            Step::Cancel(by) => seen(wait(scope.payment(&ids.payment(by)).cancel(CancelPayment::default()))),
            Step::Expire => seen(wait(scope.expire_payments())),
            Step::Retries(on) => {
                let update = body(json!({ "is_manual_retry_enabled": on }));
                seen(wait(scope.profile(&self.profile).update(update)))
            }
            Step::Clock(_) => {
                self.clock.set(model.clock);
                Ok(Value::Null)
            }
        }
    }

    fn lines(&self, ids: &Ids) -> Vec<String> {
        let events = wait(self.scope.events(PageRequest::of(100).expect("a limit"))).expect("events").items;
        let links = ids.links.iter().enumerate().map(|(at, id)| {
            let link = wait(self.scope.payment_link(id).retrieve()).expect("a link");
            format!("link {at} {} {} {}", link.state, link.uses.confirmed, link.uses.held)
        });
        let uses = ids.uses.iter().enumerate().map(|(at, id)| match wait(self.scope.link_use(id).retrieve()) {
            Ok(one) => format!("use {at} {}", one.status),
            Err(error) => format!("use {at} {}", error.code()),
        });
        let payments = ids.payments.iter().enumerate().map(|(at, id)| {
            let one = wait(self.scope.payment(id).retrieve()).expect("a payment");
            let own = events.iter().filter(|event| event.object_id == *id);
            let told: Vec<String> = own.map(|event| event.event_type.to_string()).collect();
            let once: BTreeSet<&str> = told.iter().map(String::as_str).collect();
            assert_eq!(told.len(), once.len(), "an event is told once");
            format!("payment {at} {} {} {} {once:?}", one.status, one.amount.get(), one.attempt_count)
        });
        links.chain(uses).chain(payments).collect()
    }
}

/// The ids of what there is, in the model's order; they are the same on every back-end.
#[derive(Debug, Default)]
struct Ids {
    links: Vec<PaymentLinkId>,
    uses: Vec<LinkUseId>,
    payments: Vec<PaymentId>,
    attempts: Vec<usize>,
}

fn of<T: Clone>(ids: &[T], by: u8, nobody: impl FnOnce() -> T) -> T {
    ids.get(usize::from(by) % (ids.len() + 1)).cloned().unwrap_or_else(nobody)
}

impl Ids {
    fn link(&self, by: u8) -> PaymentLinkId {
        of(&self.links, by, || "plink_nobody".parse().expect("an id"))
    }

    fn link_use(&self, by: u8) -> LinkUseId {
        of(&self.uses, by, || "use_nobody".parse().expect("an id"))
    }

    fn payment(&self, by: u8) -> PaymentId {
        of(&self.payments, by, || "pay_nobody".parse().expect("an id"))
    }

    fn learn(&mut self, step: &Step, answer: &Value) {
        fn id<T: std::str::FromStr<Err: Debug>>(answer: &Value, pointer: &str) -> Option<T> {
            Some(answer.pointer(pointer)?.as_str()?.parse().expect("an id"))
        }
        match step {
            Step::CreateLink { .. } => self.links.extend(id::<PaymentLinkId>(answer, "/payment_link_id")),
            Step::CreatePayment { .. } => {
                self.payments.extend(id::<PaymentId>(answer, "/payment_id"));
                self.links.extend(id::<PaymentLinkId>(answer, "/payment_link/payment_link_id"));
            }
            Step::Claim { .. } => {
                self.uses.extend(id::<LinkUseId>(answer, "/link_use/link_use_id"));
                let payment = id::<PaymentId>(answer, "/payment/payment_id").expect("its payment");
                if !self.payments.contains(&payment) {
                    self.payments.push(payment);
                }
            }
            _ => {}
        }
    }
}

#[derive(Debug)]
pub(crate) struct System {
    backends: Vec<Backend>,
    ids: Ids,
}

impl System {
    pub(crate) fn new() -> Self {
        Self { backends: backends().into_iter().map(Backend::new).collect(), ids: Ids::default() }
    }

    pub(crate) fn step(&mut self, model: &Model) {
        let (step, expected) = model.last.as_ref().expect("a step");
        let mut answers = Vec::new();
        for backend in &self.backends {
            let before = wait(backend.pay.log_head()).expect("the head");
            let answer = backend.perform(step, model, &self.ids);
            let after = wait(backend.pay.log_head()).expect("the head");
            assert!(answer.is_ok() || before == after, "{step:?} was refused and wrote something");
            answers.push(answer);
        }
        let first = answers.remove(0);
        for (backend, other) in self.backends.iter().skip(1).zip(&answers) {
            assert_eq!(&first, other, "{} answers {step:?} otherwise", backend.engine.name);
        }
        assert_eq!(first.as_ref().map(|_| ()), expected.as_ref().copied(), "{step:?}");
        if let Ok(answer) = &first {
            self.ids.learn(step, answer);
        }
        self.ids.attempts = model.payments.iter().map(|payment| payment.attempts.len()).collect();
        for backend in &self.backends {
            assert_eq!(backend.lines(&self.ids), model.lines(), "{step:?} on {}", backend.engine.name);
        }
        for (at, link) in model.links.iter().enumerate() {
            let (confirmed, held) = model.counts(at);
            assert!(confirmed + held <= link.limit, "link {at} has more uses than it may");
        }
    }
}

impl proptest_state_machine::ReferenceStateMachine for Model {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::new()).boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Step> {
        steps()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        let answer = model.take(step);
        model.last = Some((step.clone(), answer));
        model
    }
}
