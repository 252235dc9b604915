//! Every operation against every place that its object may be in: one's own, a sibling profile, a sibling merchant
//! account, another organization, nowhere. One's own works and touches nobody else; what is foreign is answered exactly
//! as what is not there, and nothing anywhere changes.
//!
//! The tenants have everything in common that can be: names, labels, BINs, payment ids, idempotency keys.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says that it cannot go on by panicking"
)]

mod grants;
#[path = "../machine/host.rs"]
mod host;
mod rows;
mod told;
mod world;

use std::collections::BTreeMap;

use host::BACKENDS;
use perfectpay::store::LogPosition;
use perfectpay::{MerchantScope, NewMerchant, NewProfile, Operation, OrganizationScope, ProfileScope};
use rows::{
    InProfile, Merchant, Organization, PLACES, Place, Platform, Relative, Row, Seen, What, Within, bin, body,
    new_connector, new_key, new_payment, page, rows, tried, wait,
};
use serde_json::json;
use strum::VariantArray as _;
use world::World;

/// The same with an id put out of sight.
fn without(seen: Seen, id: &str) -> Seen {
    seen.map(|json| json.replace(id, "{id}")).map_err(|error| error.map(|text| text.replace(id, "{id}")))
}

/// Whether the operation only reads. What says so and writes all the same is found out by [`Matrix::run`].
fn reads(operation: Operation) -> bool {
    let name: &str = operation.into();
    ["retrieve", "list", "screen", "read", "count"].iter().any(|verb| name.starts_with(verb))
}

struct Matrix {
    /// In which nothing ever changes.
    still: World,
    before: BTreeMap<&'static str, String>,
    head: Seen,
    /// Through how many of the account's handles writes are tried: what a handle is worth is decided above the store, so
    /// that one back-end answers for all.
    writing: usize,
    cells: usize,
}

impl Matrix {
    fn new(still: World, writing: usize) -> Self {
        let (before, head) = (still.snapshot(), tried(still.pay.log_head()));
        assert_eq!(still.copied().snapshot(), before, "a copy is the same world");
        Self { still, before, head, writing, cells: 0 }
    }

    /// What must work and touch nobody else: a write in a world of its own.
    fn works(&mut self, operation: Operation, doing: &str, may: &[&str], act: impl Fn(&World) -> Seen) {
        if reads(operation) {
            let seen = act(&self.still);
            assert!(seen.is_ok(), "{doing}: {seen:?}");
            self.cells += 1;
            return;
        }
        let world = self.still.copied();
        let seen = act(&world);
        assert!(seen.is_ok(), "{doing}: {seen:?}");
        world.only_changed(&self.before, may, doing);
        self.cells += 1;
    }

    /// Whether the operation is tried through this one of the handles that an account has.
    fn through(&self, operation: Operation, handle: usize) -> bool {
        reads(operation) || handle >= self.still.handles().len() - self.writing
    }

    /// What must be answered as if it were not there, and change nothing.
    fn like_absent(&mut self, doing: &str, foreign: (Seen, &str), absent: (Seen, &str)) {
        let (foreign, absent) = (without(foreign.0, foreign.1), without(absent.0, absent.1));
        assert_eq!(foreign, absent, "{doing} is not answered as what is absent");
        match &foreign {
            Err([debug, code, _]) => {
                assert!(code == "not_found" && debug.starts_with("NotFound"), "{doing}: {foreign:?}");
            }
            // The log of an object that nobody has is empty.
            Ok(json) => assert_eq!(json, "[]", "{doing}"),
        }
        assert_eq!(tried(self.still.pay.log_head()), self.head, "{doing} left an entry in the log");
        self.cells += 1;
    }

    fn run(&mut self, operation: Operation, row: &Row) {
        match row {
            Platform(act) => self.works(operation, &format!("{operation}"), &["platform"], |world| act(&world.pay)),
            Organization(act) => self.organization(operation, *act),
            Relative(act) => self.relative(operation, *act),
            Merchant(act) => self.merchant(operation, *act),
            Within(what, act) => self.within(operation, *what, *act),
            InProfile(what, act) => self.in_profile(operation, *what, *act),
        }
        self.still.only_changed(&self.before, &[], &format!("{operation}"));
    }

    fn organization(&mut self, operation: Operation, act: fn(&OrganizationScope) -> Seen) {
        // Only the root handle makes handles of organizations: to it neither is foreign, but neither touches the other.
        self.works(operation, &format!("{operation} of A"), &["platform", "a", "a1", "a2"], |w| {
            act(&w.organization(&w.a))
        });
        self.works(operation, &format!("{operation} of B"), &["platform", "b", "b1"], |w| act(&w.organization(&w.b)));
        let absent = |id: &str| (act(&self.still.organization(id)), id.to_owned());
        let (first, second) = (absent("org_nobody"), absent("org_no-one"));
        self.like_absent(&format!("{operation} of nobody"), (first.0, &first.1), (second.0, &second.1));
    }

    fn relative(&mut self, operation: Operation, act: fn(&OrganizationScope, &str) -> Seen) {
        for place in PLACES {
            let doing = format!("{operation} naming an account: {place:?}");
            match place {
                Place::Own | Place::SiblingProfile | Place::SiblingMerchant => {
                    self.works(operation, &doing, &["platform", "a"], |w| {
                        act(&w.organization(&w.a), &w.at(place).merchant)
                    });
                }
                Place::OtherOrganization | Place::Absent => {
                    let scope = self.still.organization(&self.still.a);
                    let id = self.still.at(place).merchant.clone();
                    let (foreign, absent) = (act(&scope, &id), act(&scope, "nobody"));
                    self.like_absent(&doing, (foreign, &id), (absent, "nobody"));
                }
            }
        }
    }

    fn merchant(&mut self, operation: Operation, act: fn(&MerchantScope) -> Seen) {
        for (at, (name, _)) in self.still.handles().into_iter().enumerate() {
            if !self.through(operation, at) {
                continue;
            }
            // Removing the account makes the caller's handle end with it, but not before.
            self.works(
                operation,
                &format!("{operation} {name}"),
                &["platform", "a", "a1"],
                |w| act(&w.handles()[at].1),
            );
        }
        let doing = format!("{operation} of the sibling account");
        self.works(operation, &doing, &["platform", "a", "a2"], |w| act(&w.merchant(&w.a, "a2")));
        for (organization, merchant) in [("a", "b1"), ("b", "a1"), ("b", "a2"), ("org_nobody", "a1"), ("a", "nobody")] {
            let id = match organization {
                "a" => self.still.a.clone(),
                "b" => self.still.b.clone(),
                other => other.to_owned(),
            };
            let foreign = act(&self.still.merchant(&id, merchant));
            let absent = act(&self.still.merchant(&id, "no-one"));
            let doing = format!("{operation} of {merchant} through {organization}");
            self.like_absent(&doing, (foreign, merchant), (absent, "no-one"));
        }
    }

    fn within(&mut self, operation: Operation, what: What, act: fn(&MerchantScope, &str) -> Seen) {
        for place in PLACES {
            for (at, (name, scope)) in self.still.handles().into_iter().enumerate() {
                let doing = format!("{operation} {name}, {what:?}: {place:?}");
                // An account is no parent of itself; any other of its organization may be.
                let own = match place {
                    Place::Own | Place::SiblingProfile => what != What::Merchant,
                    Place::SiblingMerchant => what == What::Merchant,
                    Place::OtherOrganization | Place::Absent => false,
                };
                if own {
                    if self.through(operation, at) {
                        self.works(operation, &doing, &["platform", "a", "a1"], |w| {
                            act(&w.handles()[at].1, w.at(place).of(what))
                        });
                    }
                } else {
                    let id = self.still.at(place).of(what).to_owned();
                    let none = self.still.absent.of(what).to_owned();
                    let (foreign, absent) = (act(&scope, &id), act(&scope, &none));
                    self.like_absent(&doing, (foreign, &id), (absent, &none));
                }
            }
        }
        // A path that does not match leads nowhere, whoever owns what lies at its end.
        for (organization, ids) in [
            (self.still.a.clone(), self.still.other.clone()),
            (self.still.b.clone(), self.still.one.clone()),
            (self.still.b.clone(), self.still.sibling.clone()),
        ] {
            let id = ids.of(what);
            let merchant = &ids.merchant;
            let foreign = act(&self.still.merchant(&organization, merchant), id);
            let absent = act(&self.still.merchant(&organization, "no-one"), id);
            let doing = format!("{operation} of {merchant} through another organization, {what:?}");
            if what == What::Merchant {
                self.like_absent(&doing, (foreign, merchant), (absent, "no-one"));
            } else {
                let (foreign, absent) = (without(foreign, id), without(absent, id));
                self.like_absent(&doing, (foreign, merchant), (absent, "no-one"));
            }
        }
    }

    fn in_profile(&mut self, operation: Operation, what: What, act: fn(&ProfileScope, &str) -> Seen) {
        let profile = |world: &World, at: usize, id: &str| world.handles()[at].1.profile(&id.parse().expect("an id"));
        for place in PLACES {
            for at in 0..self.still.handles().len() {
                let doing = format!("{operation} through the profile, handle {at}, {what:?}: {place:?}");
                if place == Place::Own {
                    if self.through(operation, at) {
                        self.works(operation, &doing, &["platform", "a", "a1"], |w| {
                            act(&profile(w, at, &w.one.profile), w.one.of(what))
                        });
                    }
                } else {
                    let scope = profile(&self.still, at, &self.still.one.profile);
                    let id = self.still.at(place).of(what).to_owned();
                    let none = self.still.absent.of(what).to_owned();
                    let (foreign, absent) = (act(&scope, &id), act(&scope, &none));
                    self.like_absent(&doing, (foreign, &id), (absent, &none));
                }
            }
        }
        // Through profiles of other accounts and profiles that are not there, even one's own is absent.
        for place in [Place::SiblingMerchant, Place::OtherOrganization, Place::Absent] {
            for at in 0..self.still.handles().len() {
                let scope = profile(&self.still, at, &self.still.at(place).profile);
                let id = self.still.one.of(what).to_owned();
                let none = self.still.absent.of(what).to_owned();
                let (foreign, absent) = (act(&scope, &id), act(&scope, &none));
                let doing = format!("{operation} through the profile of {place:?}, {what:?}");
                self.like_absent(&doing, (foreign, &id), (absent, &none));
            }
        }
    }
}

/// A fresh world on one kind of back-end.
fn world(backend: usize) -> World {
    World::new(BACKENDS[backend])
}

fn every_operation(backend: usize, writing: usize) {
    let mut matrix = Matrix::new(world(backend), writing);
    for &operation in Operation::VARIANTS {
        let rows = rows(operation);
        assert!(!rows.is_empty(), "{operation} is not tried");
        for row in &rows {
            matrix.run(operation, row);
        }
    }
    assert!(matrix.cells > 400, "{} cells", matrix.cells);
}

#[test]
fn every_operation_keeps_to_its_tenant_in_memory() {
    every_operation(0, 3);
}

#[test]
fn every_operation_keeps_to_its_tenant_on_sqlite_in_memory() {
    every_operation(1, 1);
}

#[test]
fn every_operation_keeps_to_its_tenant_on_a_sqlite_file() {
    every_operation(2, 1);
}

/// Runs a test in a world on every back-end.
fn everywhere(test: impl Fn(World)) {
    for fresh in BACKENDS {
        test(World::new(fresh));
    }
}

#[test]
fn an_idempotency_key_belongs_to_one_tenant() {
    everywhere(|world| {
        let key = || "shared".parse().expect("a key");
        let name = |name: &str| NewProfile::named(name.parse().expect("a name"));
        let scopes = [world.merchant(&world.a, "a1"), world.merchant(&world.a, "a2"), world.merchant(&world.b, "b1")];
        let made: Vec<_> = scopes
            .iter()
            .map(|scope| wait(scope.create_profile(name("Shared")).idempotency_key(key())).expect("a profile"))
            .collect();
        for (scope, profile) in scopes.iter().zip(&made) {
            let again = wait(scope.create_profile(name("Shared")).idempotency_key(key())).expect("the same profile");
            assert_eq!(&again, profile);
            let ids = made.iter().filter(|one| one.profile_id == profile.profile_id).count();
            assert_eq!(ids, 1, "each has a profile of its own");
            // Within the tenant the key is taken, whatever is created.
            let other = wait(scope.create_api_key(new_key()).idempotency_key(key()));
            assert_eq!(other.unwrap_err().code(), "idempotency_mismatch");
            let other = wait(scope.create_profile(name("Other")).idempotency_key(key()));
            assert_eq!(other.unwrap_err().code(), "idempotency_mismatch");
        }
        // A profile's handle is a place of its own, within the same keys.
        let scope = &scopes[0];
        let [one, two] = [&world.one, &world.two].map(|ids| scope.profile(&ids.profile.parse().expect("an id")));
        let key = || "payment".parse().expect("a key");
        wait(one.create_payment(new_payment("x", None)).idempotency_key(key())).expect("a payment");
        let other = wait(two.create_payment(new_payment("x", None)).idempotency_key(key()));
        assert_eq!(other.unwrap_err().code(), "idempotency_mismatch");
    });
}

#[test]
fn natural_keys_are_unique_where_they_belong_and_nowhere_else() {
    everywhere(|world| {
        let own = world.merchant(&world.a, "a1");
        let code = |seen: Seen| seen.map_err(|[_, code, _]| code).expect_err("taken");
        let profile = own.profile(&world.one.profile.parse().expect("an id"));
        assert_eq!(code(tried(own.create_profile(body(json!({ "profile_name": "One" }))))), "duplicate");
        assert_eq!(code(tried(profile.create_connector(new_connector("main", None)))), "duplicate");
        assert_eq!(code(tried(own.blocklist().add(bin("424242")))), "already_exists");
        assert_eq!(code(tried(own.create_payment(new_payment("p-Two", None)))), "already_exists");
        // What only the sibling and the other have, is free here: uniqueness tells nothing about anyone else.
        wait(own.blocklist().add(bin(&world.sibling.entry))).expect("an entry");
        wait(own.blocklist().add(bin(&world.other.entry))).expect("an entry");
        wait(own.create_payment(new_payment(&world.sibling.payment, None))).expect("a payment");
        wait(own.create_payment(new_payment(&world.other.payment, None))).expect("a payment");
        for (organization, id, count) in [(&world.a, "a1", 4), (&world.a, "a2", 2), (&world.b, "b1", 2)] {
            let entries = wait(world.merchant(organization, id).blocklist().entries(None, page())).expect("entries");
            assert_eq!((entries.total_count, entries.count), (count, count));
        }
        // The one exception: a merchant account's id is unique over the whole store.
        let new = NewMerchant::with_id("b1".parse().expect("an id"));
        let taken = tried(world.organization(&world.a).create_merchant(new));
        assert_eq!(code(taken), "already_exists");
    });
}

#[test]
fn a_new_owner_of_an_id_sees_nothing_of_the_old_one() {
    everywhere(|world| {
        let old = world.merchant(&world.a, "a1");
        let pinned = world.caller.merchant().clone();
        wait(old.remove().cascade()).expect("removed");
        let refused = |seen: Seen| assert_eq!(seen.expect_err("refused")[2], "the credential was not accepted");
        refused(tried(pinned.retrieve()));
        let new = NewMerchant::with_id("a1".parse().expect("an id"));
        wait(world.organization(&world.b).create_merchant(new)).expect("an account");
        // Neither the old key nor the old handle leads to the new owner, and to the old organization it is absent.
        assert_eq!(wait(world.pay.authenticate(&world.token)).unwrap_err().code(), "unauthorized");
        refused(tried(pinned.retrieve()));
        refused(tried(pinned.remove().cascade()));
        refused(tried(pinned.blocklist().toggle(Some(true))));
        assert_eq!(wait(old.retrieve()).unwrap_err().code(), "not_found");
        let scope = world.merchant(&world.b, "a1");
        for ids in [&world.one, &world.two] {
            for what in [
                What::Profile,
                What::Connector,
                What::Program,
                What::ApiKey,
                What::Entry,
                What::Payment,
                What::Confirmed,
                What::Event,
                What::Link,
                What::Use,
            ] {
                let id = ids.of(what);
                let seen = match what {
                    What::Profile => tried(scope.profile(&id.parse().unwrap()).retrieve()),
                    What::Connector => tried(scope.connector(&id.parse().unwrap()).retrieve()),
                    What::Program => tried(scope.routing().program(&id.parse().unwrap()).retrieve()),
                    What::ApiKey => tried(scope.api_key(&id.parse().unwrap()).retrieve()),
                    What::Entry => tried(scope.blocklist().remove(bin(id))),
                    What::Payment | What::Confirmed => tried(scope.payment(&id.parse().unwrap()).retrieve()),
                    What::Event => tried(scope.event(&id.parse().unwrap()).retrieve()),
                    What::Link => tried(scope.payment_link(&id.parse().unwrap()).retrieve()),
                    What::Use => tried(scope.link_use(&id.parse().unwrap()).retrieve()),
                    What::Merchant | What::OwnLink => continue,
                };
                assert_eq!(seen.expect_err("absent")[1], "not_found");
            }
        }
        assert_eq!(wait(scope.log(LogPosition::START, 1_000)).expect("a log").len(), 1);
        assert_eq!(wait(scope.profiles(page())).expect("profiles").items.len(), 1);
        assert_eq!(wait(scope.blocklist().entries(None, page())).expect("entries").total_count, 0);
        // The old idempotency keys are gone with their tenant: this one made a profile of the old account.
        let profile = NewProfile::named("Fresh".parse().expect("a name"));
        wait(scope.create_profile(profile).idempotency_key("One".parse().expect("a key"))).expect("a new profile");
    });
}
