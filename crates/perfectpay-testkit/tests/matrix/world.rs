//! Tenants that have everything in common that can be, and all that can be read of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use perfectpay::store::{Extent, LogPosition, copy};
use perfectpay::{
    Caller, LinkClaim, MerchantScope, NewMerchant, NewOrganization, NewProfile, OrganizationScope, PerfectPay,
};
use serde_json::json;

use crate::host::{Engine, SetClock, open, open_with};
use crate::rows::{
    PLACES, Place, What, bin, body, confirmation, new_connector, new_key, new_link, new_payment, new_program,
    new_version, page, screened, seen, tried, wait,
};

/// What a profile has, by id.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    pub(crate) merchant: String,
    pub(crate) profile: String,
    pub(crate) connector: String,
    pub(crate) program: String,
    pub(crate) api_key: String,
    pub(crate) entry: String,
    pub(crate) payment: String,
    pub(crate) confirmed: String,
    pub(crate) event: String,
    pub(crate) link: String,
    pub(crate) own_link: String,
    pub(crate) link_use: String,
}

impl Ids {
    pub(crate) fn of(&self, what: What) -> &str {
        match what {
            What::Merchant => &self.merchant,
            What::Profile => &self.profile,
            What::Connector => &self.connector,
            What::Program => &self.program,
            What::ApiKey => &self.api_key,
            What::Entry => &self.entry,
            What::Payment => &self.payment,
            What::Confirmed => &self.confirmed,
            What::Event => &self.event,
            What::Link => &self.link,
            What::OwnLink => &self.own_link,
            What::Use => &self.link_use,
        }
    }
}

/// Two organizations, three merchant accounts, each with the profiles "default", "One" and "Two", alike in everything
/// that may be alike.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) fresh: fn() -> Engine,
    pub(crate) pay: PerfectPay,
    pub(crate) a: String,
    pub(crate) b: String,
    pub(crate) one: Ids,
    pub(crate) two: Ids,
    pub(crate) sibling: Ids,
    pub(crate) other: Ids,
    pub(crate) absent: Ids,
    pub(crate) caller: Caller,
    pub(crate) token: String,
}

pub(crate) const MERCHANTS: [(&str, &str); 3] = [("a1", "a"), ("a2", "a"), ("b1", "b")];

impl World {
    pub(crate) fn new(fresh: fn() -> Engine) -> Self {
        let engine = fresh();
        let pay = open(Arc::clone(&engine.store), SetClock::new());
        let organization = |key: &str| {
            let new = NewOrganization::named("Group".parse().expect("a name"));
            let made = wait(pay.create_organization(new).idempotency_key(key.parse().expect("a key")));
            made.expect("an organization").organization_id
        };
        let (a, b) = (organization("a"), organization("b"));
        for id in [&a, &b] {
            wait(pay.organization(id).blocklist().add(bin("303030"))).expect("an entry");
        }
        let (one, two, token) = Self::fill(&pay.organization(&a), "a1", "411111");
        let (sibling, ..) = Self::fill(&pay.organization(&a), "a2", "555555");
        let (other, ..) = Self::fill(&pay.organization(&b), "b1", "666666");
        let absent = Ids {
            merchant: "nobody".to_owned(),
            profile: "pro_nobody".to_owned(),
            connector: "mca_nobody".to_owned(),
            program: "routing_nobody".to_owned(),
            api_key: "snd_nobody".to_owned(),
            entry: "777777".to_owned(),
            payment: "nobody".to_owned(),
            confirmed: "nobody-else".to_owned(),
            event: "evt_nobody".to_owned(),
            link: "plink_nobody".to_owned(),
            own_link: "plink_no_one".to_owned(),
            link_use: "use_nobody".to_owned(),
        };
        let caller = wait(pay.authenticate(&token)).expect("a caller");
        // That the key was used is written down once, and is no matter of what is tried.
        wait(pay.maintain()).expect("it was used");
        let (a, b) = (a.to_string(), b.to_string());
        Self { engine, fresh, pay, a, b, one, two, sibling, other, absent, caller, token }
    }

    /// The same world again, in a fresh store of the same kind: a copy is made in a fraction of the time.
    pub(crate) fn copied(&self) -> Self {
        let engine = (self.fresh)();
        wait(copy(&*self.engine.store, &*engine.store, &Extent::Everything, |_| ())).expect("copied");
        // Randomness that went on as it did for the first one would make ids that are taken.
        let pay = open_with(Arc::clone(&engine.store), SetClock::new(), 8);
        let caller = wait(pay.authenticate(&self.token)).expect("a caller");
        let Self { fresh, a, b, one, two, sibling, other, absent, token, .. } = self;
        let (a, b, token) = (a.clone(), b.clone(), token.clone());
        let [one, two, sibling, other, absent] = [one, two, sibling, other, absent].map(Ids::clone);
        Self { engine, fresh: *fresh, pay, a, b, one, two, sibling, other, absent, caller, token }
    }

    /// Makes an account with all there is. The idempotency keys are the same in every one.
    fn fill(organization: &OrganizationScope, id: &str, entry: &str) -> (Ids, Ids, String) {
        let key = |name: &str| name.parse().expect("a key");
        let new = NewMerchant::with_id(id.parse().expect("an id"));
        wait(organization.create_merchant(new).idempotency_key(key(id))).expect("an account");
        let scope = organization.merchant(&id.parse().expect("an id"));
        let api_key = wait(scope.create_api_key(new_key()).idempotency_key(key("key"))).expect("a key");
        for value in ["424242", entry] {
            wait(scope.blocklist().add(bin(value)).idempotency_key(key(value))).expect("an entry");
        }
        let profile = |name: &str| {
            let new: NewProfile = body(json!({
                "profile_name": name,
                "webhook_details": { "webhook_url": "https://shop.example/webhooks" },
            }));
            let profile = wait(scope.create_profile(new).idempotency_key(key(name))).expect("a profile");
            let handle = scope.profile(&profile.profile_id);
            let connector = new_connector("main", None);
            let connector = wait(handle.create_connector(connector).idempotency_key(key(&format!("c{name}"))));
            let exchanged = handle.connector(&connector.as_ref().expect("a connector").merchant_connector_id);
            let auth = || body(json!({ "auth_type": "HeaderKey", "api_key": "sk_test_next" }));
            wait(exchanged.stage_credentials(auth())).expect("staged");
            wait(exchanged.activate_credentials()).expect("activated");
            wait(exchanged.stage_credentials(auth())).expect("staged");
            // One program decides, and did before; another one never has.
            let spare =
                wait(handle.create_connector(new_connector("spare", None))).expect("a connector").merchant_connector_id;
            let named = json!({ "type": "single", "data": { "connector": "stripe", "merchant_connector_id": spare } });
            let decides = json!({ "name": "decides", "description": "d", "algorithm": named });
            let decides = wait(handle.routing().create(body(decides))).expect("a program").record.id;
            let decides = handle.routing().program(&decides);
            wait(decides.activate(None)).expect("active");
            wait(decides.add_version(body(json!({ "algorithm": named })))).expect("a version");
            wait(decides.activate(None)).expect("active");
            let program = wait(handle.routing().create(new_program()).idempotency_key(key(&format!("r{name}"))));
            let program = program.expect("a program").record.id;
            wait(handle.routing().program(&program).add_version(new_version())).expect("a version");
            let payment = new_payment(&format!("p-{name}"), None);
            wait(handle.create_payment(payment).idempotency_key(key(&format!("p{name}")))).expect("a payment");
            // And one whose id is nobody else's.
            let own = format!("p-{id}-{name}");
            let payment = wait(handle.create_payment(new_payment(&own, None))).expect("a payment");
            let confirmed =
                wait(handle.create_payment(new_payment(&format!("c-{id}-{name}"), None))).expect("a payment");
            wait(handle.payment(&confirmed.payment_id).confirm(confirmation())).expect("confirmed");
            let events = wait(scope.events(page())).expect("events").items;
            let event = events.into_iter().find(|event| event.object_id == confirmed.payment_id).expect("an event");
            let own_link = wait(handle.create_payment_link(new_link(None)).idempotency_key(key(&format!("l{name}"))));
            let own_link = own_link.expect("a link").payment_link_id;
            let held = wait(scope.payment_link(&own_link).claim(LinkClaim::default())).expect("a use");
            Ids {
                merchant: id.to_owned(),
                profile: profile.profile_id.to_string(),
                connector: connector.expect("a connector account").merchant_connector_id.to_string(),
                program: program.to_string(),
                api_key: api_key.key_id.to_string(),
                entry: entry.to_owned(),
                link: payment.payment_link.expect("a link").payment_link_id.to_string(),
                payment: own,
                confirmed: confirmed.payment_id.to_string(),
                event: event.event_id.to_string(),
                own_link: own_link.to_string(),
                link_use: held.link_use.link_use_id.to_string(),
            }
        };
        let (one, two) = (profile("One"), profile("Two"));
        (one, two, api_key.api_key.as_ref().expect("a token").expose().to_owned())
    }

    pub(crate) fn at(&self, place: Place) -> &Ids {
        match place {
            Place::Own => &self.one,
            Place::SiblingProfile => &self.two,
            Place::SiblingMerchant => &self.sibling,
            Place::OtherOrganization => &self.other,
            Place::Absent => &self.absent,
        }
    }

    pub(crate) fn organization(&self, id: &str) -> OrganizationScope {
        self.pay.organization(&id.parse().expect("an id"))
    }

    pub(crate) fn merchant(&self, organization: &str, merchant: &str) -> MerchantScope {
        self.organization(organization).merchant(&merchant.parse().expect("an id"))
    }

    /// Every handle on `a1`.
    pub(crate) fn handles(&self) -> Vec<(&'static str, MerchantScope)> {
        let root = self.pay.merchant(&"a1".parse().expect("an id"));
        vec![
            ("through its organization", self.merchant(&self.a, "a1")),
            ("through the root", root),
            ("as a caller", self.caller.merchant().clone()),
        ]
    }

    /// All that can be read of anyone, by whose it is.
    pub(crate) fn snapshot(&self) -> BTreeMap<&'static str, String> {
        let mut all = BTreeMap::new();
        let pay = &self.pay;
        all.insert("platform", format!("{:?} {:?}", tried(pay.organizations(page())), tried(pay.log_head())));
        for (name, id) in [("a", &self.a), ("b", &self.b)] {
            let scope = self.organization(id);
            let organization = tried(scope.retrieve());
            let log = tried(scope.log(LogPosition::START, 1_000));
            all.insert(name, format!("{organization:?} {:?} {log:?}", tried(scope.merchants(page()))));
        }
        for (id, organization) in MERCHANTS {
            let scope = self.merchant(if organization == "a" { &self.a } else { &self.b }, id);
            let mut parts = vec![
                tried(scope.retrieve()),
                tried(scope.profiles(page())),
                tried(scope.connectors(page())),
                tried(scope.routing().list(page())),
                tried(scope.api_keys(page())),
                tried(scope.blocklist().entries(None, page())),
                tried(scope.payments(page())),
                tried(scope.payment_links(page())),
                tried(scope.events(page())),
                tried(scope.log(LogPosition::START, 1_000)),
                screened(&scope),
            ];
            for place in PLACES {
                let ids = self.at(place);
                if ids.merchant == id {
                    let connector = scope.connector(&ids.connector.parse().expect("an id"));
                    let of = |found: &perfectpay::Connector| format!("{:?}", found.credentials);
                    parts.push(seen(wait(connector.retrieve()).map(|found| of(&found))));
                    let routing = scope.profile(&ids.profile.parse().expect("an id")).routing();
                    parts.extend([tried(routing.active()), tried(routing.fallback())]);
                    parts.push(tried(routing.program(&ids.program.parse().expect("an id")).versions(page())));
                }
            }
            // A merchant account's own part of its organization is its own; the others' must not be in it.
            all.insert(id, format!("{parts:?}"));
        }
        all
    }

    /// Checks that at most the parts named changed.
    pub(crate) fn only_changed(&self, before: &BTreeMap<&'static str, String>, may: &[&str], doing: &str) {
        let after = self.snapshot();
        for (part, old) in before {
            assert!(may.contains(part) || after.get(part) == Some(old), "{doing} changed {part}");
        }
    }
}
