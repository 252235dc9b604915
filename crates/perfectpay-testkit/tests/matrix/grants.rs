//! What the holder of a key may do: what its scopes and its profiles say, as long as it lives, and nothing else.

use perfectpay::api_key::{Resource, Right, Touch};
use perfectpay::{Caller, Need, Operation};
use serde_json::{Value, json};
use strum::VariantArray as _;

use crate::rows::{
    InProfile, Merchant, Organization, Platform, Relative, Row, Seen, What, Within, body, new_key, rows, tried, wait,
};
use crate::world::{Ids, World};
use crate::{everywhere, world};

#[test]
fn a_callers_handle_ends_with_its_key() {
    everywhere(|world| {
        let caller = world.caller.merchant();
        wait(caller.retrieve()).expect("its own account");
        let key = world.merchant(&world.a, "a1").api_key(&world.one.api_key.parse().expect("an id"));
        wait(key.revoke()).expect("revoked");
        let before = world.snapshot();
        for &operation in Operation::VARIANTS {
            for row in rows(operation) {
                let seen = match row {
                    Merchant(act) => act(caller),
                    Within(what, act) => act(caller, world.one.of(what)),
                    InProfile(what, act) => {
                        act(&caller.profile(&world.one.profile.parse().expect("an id")), world.one.of(what))
                    }
                    Platform(_) | Organization(_) | Relative(_) => continue,
                };
                let [_, code, text] = seen.expect_err("no operation of a revoked key works");
                assert_eq!((code.as_str(), text.as_str()), ("unauthorized", "the credential was not accepted"));
            }
        }
        world.only_changed(&before, &[], "a revoked key");
    });
}

/// The holder of a new key of `a1`, made by the host.
fn holder(world: &World, restricted: &Value) -> Caller {
    let mut new = json!({ "name": "Key", "expiration": "never" });
    new.as_object_mut().expect("an object").extend(restricted.as_object().expect("an object").clone());
    let issued = wait(world.merchant(&world.a, "a1").create_api_key(body(new))).expect("a key");
    wait(world.pay.authenticate(issued.api_key.expect("a token").expose())).expect("a caller")
}

/// Tries a row as a caller on the profile's objects; `None` where no caller gets there.
fn as_caller(row: &Row, caller: &Caller, ids: &Ids) -> Option<Seen> {
    let scope = caller.merchant();
    match row {
        Platform(_) | Organization(_) | Relative(_) | Within(What::Merchant, _) => None,
        Merchant(act) => Some(act(scope)),
        Within(what, act) => Some(act(scope, ids.of(*what))),
        InProfile(what, act) => Some(act(&scope.profile(&ids.profile.parse().expect("an id")), ids.of(*what))),
    }
}

fn is_forbidden(seen: &Seen) -> bool {
    matches!(seen, Err([_, code, text]) if code == "forbidden" && text == "the caller may not do this")
}

#[test]
fn a_key_does_what_its_scopes_say_and_nothing_else() {
    let (fresh, still) = (world(0), world(0));
    let every: Vec<Right> = Resource::VARIANTS
        .iter()
        .flat_map(|resource| Touch::VARIANTS.iter().map(|touch| Right::new(*resource, *touch)))
        .collect();
    let callers: Vec<(Right, Caller)> =
        every.iter().map(|right| (*right, holder(&still, &json!({ "scopes": [right.to_string()] })))).collect();
    let before = still.snapshot();
    let (mut allowed, mut forbidden) = (0, 0);
    for &operation in Operation::VARIANTS {
        for row in rows(operation) {
            let needed = match operation.need() {
                Need::Host => None,
                // A batch: its commands are rows of their own.
                Need::Nothing => continue,
                Need::Account(right) | Need::Profile(right) => Some(right),
            };
            for (right, caller) in &callers {
                // To write includes to read.
                let suffices = needed.is_some_and(|needed| {
                    needed.resource == right.resource && (needed.touch == right.touch || right.touch == Touch::Write)
                });
                let doing = format!("{operation} with {right}");
                if !suffices {
                    let Some(seen) = as_caller(&row, caller, &still.one) else { continue };
                    assert!(is_forbidden(&seen), "{doing}: {seen:?}");
                    forbidden += 1;
                    continue;
                }
                let world = fresh.copied();
                let caller = holder(&world, &json!({ "scopes": [right.to_string()] }));
                let Some(seen) = as_caller(&row, &caller, &world.one) else { continue };
                if matches!(operation, Operation::UpdateApiKey | Operation::RotateApiKey) {
                    // The key there may do everything: more than the caller.
                    assert!(is_forbidden(&seen), "{doing}: {seen:?}");
                    continue;
                }
                assert!(seen.is_ok(), "{doing}: {seen:?}");
                allowed += 1;
            }
        }
    }
    still.only_changed(&before, &[], "what is forbidden");
    assert!(allowed > 50 && forbidden > 500, "{allowed} allowed, {forbidden} forbidden");
}

#[test]
fn a_key_for_a_profile_reaches_that_profile_and_nothing_else() {
    let only = |world: &World| holder(world, &json!({ "profile_ids": [world.one.profile] }));
    let (fresh, still) = (world(0), world(0));
    let caller = only(&still);
    let before = still.snapshot();
    for &operation in Operation::VARIANTS {
        for row in rows(operation) {
            let seen = |caller: &Caller, ids: &Ids| as_caller(&row, caller, ids);
            match operation.need() {
                Need::Host | Need::Nothing => {}
                Need::Account(_) => {
                    let Some(seen) = seen(&caller, &still.one) else { continue };
                    assert!(is_forbidden(&seen), "{operation}: {seen:?}");
                }
                Need::Profile(_) => {
                    let named = matches!(row, Within(..) | InProfile(..));
                    if named {
                        let other = seen(&caller, &still.two).expect("a caller gets there");
                        assert!(is_forbidden(&other), "{operation} in a sibling profile: {other:?}");
                        let absent = seen(&caller, &still.other).expect("a caller gets there");
                        assert!(matches!(&absent, Err([_, code, _]) if code == "not_found"), "{operation}: {absent:?}");
                    }
                    let world = fresh.copied();
                    // The host's own way to what an account has, too.
                    let Some(own) = seen(&only(&world), &world.one) else { continue };
                    match operation {
                        // Without a profile it is the default one, which the key is not for.
                        Operation::CreatePayment | Operation::CreatePaymentLink | Operation::CreateConnector
                            if !named =>
                        {
                            assert!(is_forbidden(&own), "{operation}: {own:?}");
                        }
                        _ => {
                            let own = own.unwrap_or_else(|error| panic!("{operation}: {error:?}"));
                            let parts = |ids: &Ids| {
                                let Ids { profile, connector, program, payment, link, own_link, link_use, .. } = ids;
                                [profile, connector, program, payment, link, own_link, link_use].map(String::clone)
                            };
                            let shows = |ids: &Ids| parts(ids).iter().any(|id| own.contains(&format!("\"{id}\"")));
                            assert!(!shows(&world.two), "{operation} shows a sibling profile: {own}");
                            if operation.to_string().starts_with("list") {
                                assert!(shows(&world.one), "{operation} hides its own profile: {own}");
                            }
                        }
                    }
                }
            }
        }
    }
    still.only_changed(&before, &[], "what is forbidden");
}

#[test]
fn no_key_gives_what_it_has_not() {
    everywhere(|world| {
        let own = world.merchant(&world.a, "a1");
        let ids = json!({ "scopes": ["api_keys:write", "payments:read"], "networks": ["203.0.113.0/24"] });
        let mut new = json!({ "name": "Key", "expiration": "never" });
        new.as_object_mut().expect("an object").extend(ids.as_object().expect("an object").clone());
        let issued = wait(own.create_api_key(body(new))).expect("a key");
        let token = issued.api_key.as_ref().expect("a token").expose().to_owned();
        let caller = wait(world.pay.authenticate_from(&token, "203.0.113.9".parse().expect("an address")));
        let caller = caller.expect("a caller");
        let scope = caller.merchant();
        let before = world.snapshot();
        for more in [
            json!({ "scopes": ["*"] }),
            json!({ "scopes": ["payments:write"] }),
            json!({ "scopes": ["log:read", "payments:read"] }),
            json!({ "networks": ["0.0.0.0/0"] }),
            json!({ "networks": ["203.0.113.0/24", "198.51.100.7"] }),
            json!({ "networks": ["203.0.112.0/23"] }),
        ] {
            let mut new = json!({ "name": "Key", "expiration": "never" });
            new.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            let seen = tried(scope.create_api_key(body(new)));
            assert!(is_forbidden(&seen), "{more}: {seen:?}");
            let seen = tried(scope.api_key(&issued.key_id).update(body(more.clone())));
            assert!(is_forbidden(&seen), "an update of itself to {more}: {seen:?}");
        }
        // Nor does it take over one that has more.
        let full = scope.api_key(&world.one.api_key.parse().expect("an id"));
        assert!(is_forbidden(&tried(full.rotate(std::time::Duration::ZERO))));
        assert!(is_forbidden(&tried(full.update(body(json!({ "scopes": ["payments:read"] }))))));
        world.only_changed(&before, &[], "what is forbidden");
        // What it leaves out is what it has itself.
        let child = wait(scope.create_api_key(new_key())).expect("a key");
        assert_eq!(child.access, issued.access);
        let child = wait(scope.api_key(&child.key_id).rotate(std::time::Duration::ZERO)).expect("a key");
        assert_eq!(child.access, issued.access);
    });
}
