//! Routing programs through the handles, on every back-end: drafts, versions, what decides, what it names, and the
//! fallback order.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test that panics is a test that failed, and a story is as long as it is"
)]

mod support;

use std::time::Duration;

use futures_lite::future::block_on;
use perfectpay::{
    Algorithm, ConnectorChoice, ConnectorId, ConnectorUpdate, EntityKind, Error, NewRoutingProgram, NewRoutingVersion,
    PageRequest, ProfileScope, RoutingId, json,
};
use perfectpay_testkit::host::{self, Tenant};
use serde_json::{Value, json};
use support::{World, on_every_backend, read, shown, snapshot, told};

fn page() -> PageRequest {
    PageRequest::of(100).unwrap()
}

fn choice(account: &ConnectorId) -> Value {
    json!({ "connector": "stripe", "merchant_connector_id": account })
}

fn priority(accounts: &[&ConnectorId]) -> Value {
    let choices: Vec<Value> = accounts.iter().map(|account| choice(account)).collect();
    json!({ "type": "priority", "data": choices })
}

fn new(name: &str, algorithm: &Value) -> NewRoutingProgram {
    let body = json!({ "name": name, "description": "what is tried first", "algorithm": algorithm });
    json::from_value(body).unwrap()
}

fn version(algorithm: &Value) -> NewRoutingVersion {
    json::from_value(json!({ "algorithm": algorithm })).unwrap()
}

/// A tenant whose default profile has accounts with these labels, in this order.
async fn with_accounts<const N: usize>(world: &World, labels: [&str; N]) -> (Tenant, [ConnectorId; N]) {
    let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
    let profile = tenant.profile_scope(&world.pay);
    let mut ids = Vec::new();
    for label in labels {
        world.clock.step(Duration::from_secs(1));
        let made = profile.create_connector(read(&host::connector_body(label, "sk_live_1")).unwrap()).await.unwrap();
        ids.push(made.merchant_connector_id);
    }
    (tenant, ids.try_into().unwrap())
}

async fn active(profile: &ProfileScope) -> Option<(RoutingId, u32)> {
    let active = profile.routing().active().await.unwrap();
    active.map(|program| (program.id, program.active_version.unwrap()))
}

#[test]
fn a_program_is_drafted_activated_changed_rolled_back_and_cleared_away() {
    on_every_backend(async |world| {
        let (tenant, [one, two]) = with_accounts(world, ["one", "two"]).await;
        let profile = tenant.profile_scope(&world.pay);
        let routing = profile.routing();
        let drafted = routing.create(new("first", &priority(&[&one, &two]))).await.unwrap();
        let program = routing.program(&drafted.record.id);
        assert_eq!((drafted.checked_version, drafted.record.active_version, &*drafted.lints), (1, None, &[][..]));
        assert_eq!(
            shown(&drafted.record),
            json!({
                "id": drafted.record.id, "profile_id": tenant.profile.profile_id, "name": "first",
                "kind": "priority", "description": "what is tried first", "created_at": 1_795_428_002,
                "modified_at": 1_795_428_002, "algorithm_for": "payment", "decision_engine_routing_id": null,
                "latest_version": 1, "active_version": null,
            }),
            "{}",
            world.name
        );
        assert_eq!(active(&profile).await, None);
        let nothing = told(&routing.deactivate().await.unwrap_err());
        assert_eq!(nothing, ("routing.nothing_active".into(), String::new()));
        assert_eq!(told(&routing.roll_back().await.unwrap_err()).0, "routing.nothing_active");

        // It decides once it is activated, and not twice.
        let activated = program.activate(None).expecting(1).await.unwrap();
        assert_eq!((activated.record.active_version, activated.record.version), (Some(1), 2));
        assert_eq!(active(&profile).await, Some((drafted.record.id.clone(), 1)));
        assert_eq!(told(&program.activate(Some(1)).await.unwrap_err()).0, "routing.already_active");
        assert_eq!(told(&program.activate(Some(9)).await.unwrap_err()).0, "not_found");
        assert_eq!(told(&routing.roll_back().await.unwrap_err()).0, "routing.nothing_before");

        // Versions never change; a new one decides when it is activated.
        let second = program.add_version(version(&priority(&[&two]))).idempotency_key("v2".parse().unwrap());
        assert_eq!(second.await.unwrap().checked_version, 2);
        let again = program.add_version(version(&priority(&[&two]))).idempotency_key("v2".parse().unwrap());
        assert_eq!(again.await.unwrap().checked_version, 2, "once");
        assert_eq!(program.add_version(version(&priority(&[&one]))).await.unwrap().checked_version, 3);
        assert_eq!(active(&profile).await, Some((drafted.record.id.clone(), 1)));
        let diff = program.diff(1, 2).await.unwrap();
        let differences: Vec<(&str, bool, bool)> =
            diff.differences.iter().map(|d| (d.path.as_str(), d.before.is_some(), d.after.is_some())).collect();
        let expected = [("algorithm.data[0].merchant_connector_id", true, true), ("algorithm.data[1]", true, false)];
        assert_eq!(differences, expected);
        assert_eq!(program.diff(2, 2).await.unwrap().differences, []);
        program.activate(Some(2)).await.unwrap();
        assert_eq!(active(&profile).await, Some((drafted.record.id.clone(), 2)));
        world.clock.step(Duration::from_secs(1));
        let other = routing.create(new("second", &json!({ "type": "single", "data": choice(&one) }))).await.unwrap();
        routing.program(&other.record.id).activate(None).await.unwrap();
        assert_eq!(active(&profile).await, Some((other.record.id.clone(), 1)));
        assert_eq!(program.retrieve().await.unwrap().active_version, None);

        // Back to what decided before, and back again.
        let back = routing.roll_back().await.unwrap();
        assert_eq!((&back.record.id, back.checked_version), (&drafted.record.id, 2));
        assert_eq!(active(&profile).await, Some((drafted.record.id.clone(), 2)));
        routing.roll_back().await.unwrap();
        assert_eq!(active(&profile).await, Some((other.record.id.clone(), 1)));

        // What never decided can go.
        assert_eq!(told(&program.remove_version(1).await.unwrap_err()).0, "routing.served");
        assert_eq!(told(&program.remove_version(3).await.unwrap_err()).0, "routing.newest_version");
        program.add_version(version(&priority(&[&one]))).await.unwrap();
        program.remove_version(3).await.unwrap();
        assert_eq!(told(&program.version(3).await.unwrap_err()).0, "not_found");
        let numbers: Vec<u32> = program.versions(page()).await.unwrap().items.iter().map(|v| v.number).collect();
        assert_eq!(numbers, [4, 2, 1]);
        assert_eq!(told(&program.remove().await.unwrap_err()).0, "routing.served");
        world.clock.step(Duration::from_secs(1));
        let draft = routing.create(new("third", &priority(&[&one]))).await.unwrap().record;
        let names: Vec<String> =
            routing.list(page()).await.unwrap().items.into_iter().map(|record| record.name.to_string()).collect();
        assert_eq!(names, ["third", "second", "first"]);
        assert_eq!(tenant.scope(&world.pay).routing().list(page()).await.unwrap().items.len(), 3);
        assert_eq!(routing.program(&draft.id).remove().await.unwrap(), draft.id);
        assert_eq!(told(&routing.program(&draft.id).retrieve().await.unwrap_err()).0, "not_found");

        let resting = routing.deactivate().await.unwrap();
        assert_eq!((&resting.id, resting.active_version), (&other.record.id, None));
        assert_eq!(active(&profile).await, None, "{}", world.name);
    });
}

#[test]
fn what_is_wrong_in_a_program_is_named_by_its_path_and_changes_nothing() {
    on_every_backend(async |world| {
        let (tenant, [one]) = with_accounts(world, ["one"]).await;
        let rival = host::merchant_in(&world.pay, &tenant.organization, "rival").await.unwrap();
        let theirs = rival.profile_scope(&world.pay);
        let theirs = theirs.create_connector(read(&host::connector_body("x", "sk_live_1")).unwrap()).await.unwrap();
        let theirs = theirs.merchant_connector_id;
        let sibling = tenant.scope(&world.pay).create_profile(read(&host::profile_body("web")).unwrap()).await.unwrap();
        let sibling = tenant.scope(&world.pay).profile(&sibling.profile_id);
        let elsewhere = sibling.create_connector(read(&host::connector_body("y", "sk_live_1")).unwrap()).await.unwrap();
        let elsewhere = elsewhere.merchant_connector_id;
        let routing = tenant.profile_scope(&world.pay).routing();
        let good = routing.create(new("good", &priority(&[&one]))).await.unwrap().record;
        let before = snapshot(&world.pay).await;
        let comparison = |lhs: &str, op: &str, value: Value| {
            json!({ "type": "advanced", "data": {
                "defaultSelection": priority(&[&one]), "metadata": {},
                "rules": [{ "name": "r", "connectorSelection": priority(&[&one]), "statements": [
                    { "condition": [{ "lhs": lhs, "comparison": op, "value": value, "metadata": {} }] }] }],
            }})
        };
        let split = |first: u8, second: u8| {
            json!({ "type": "volume_split", "data": [
                { "connector": choice(&one), "split": first }, { "connector": choice(&one), "split": second }] })
        };
        let condition = "data.rules[0].statements[0].condition[0]";
        for (algorithm, path) in [
            (
                json!({ "type": "single", "data": { "connector": "stripe", "merchant_connector_id": "mca_none" } }),
                "data",
            ),
            (json!({ "type": "single", "data": { "connector": "adyen", "merchant_connector_id": one } }), "data"),
            (priority(&[&one, &theirs]), "data[1]"),
            (priority(&[&one, &elsewhere]), "data[1]"),
            (priority(&[]), "data"),
            (json!({ "type": "volume_split", "data": [] }), "data"),
            (split(50, 49), "data"),
            (comparison("currency", "equal", json!({ "type": "enum_variant", "value": "XXY" })), condition),
            (comparison("amount", "equal", json!({ "type": "enum_variant", "value": "EUR" })), condition),
            (comparison("currency", "less_than", json!({ "type": "enum_variant", "value": "EUR" })), condition),
            (comparison("card_bin", "equal", json!({ "type": "str_value", "value": "42424" })), condition),
        ] {
            for error in [
                routing.create(new("bad", &algorithm)).await.unwrap_err(),
                routing.program(&good.id).add_version(version(&algorithm)).await.unwrap_err(),
            ] {
                let (code, found) = told(&error);
                assert!(code.starts_with("routing."), "{algorithm}: {error}");
                assert!(found.starts_with(&format!("algorithm.{path}")), "{algorithm}: {error}");
            }
        }
        let retry = json!({ "name": "r", "description": "d", "algorithm": priority(&[&one]),
            "retry_policy": { "max_retries": 21 } });
        let error = routing.create(json::from_value(retry).unwrap()).await.unwrap_err();
        assert_eq!(told(&error), ("retry.too_many".into(), "retry_policy.max_retries".into()));
        // Bodies that are none.
        for (body, code, path) in [
            (json!({ "description": "d", "algorithm": priority(&[&one]) }), "json.missing_field", "name"),
            (json!({ "name": "n", "algorithm": priority(&[&one]) }), "json.missing_field", "description"),
            (json!({ "name": "n", "description": "d" }), "json.missing_field", "algorithm"),
            (
                json!({ "name": "n", "description": "d", "algorithm": priority(&[&one]), "transaction_type": "payout" }),
                "json.unknown_variant",
                "transaction_type",
            ),
            (
                json!({ "name": "n".repeat(65), "description": "d", "algorithm": priority(&[&one]) }),
                "text.too_long",
                "name",
            ),
            (
                json!({ "name": "n", "description": "d".repeat(257), "algorithm": priority(&[&one]) }),
                "text.too_long",
                "description",
            ),
            (
                json!({ "name": "n", "description": "d", "algorithm": { "type": "dynamic", "data": {} } }),
                "json.unknown_variant",
                "algorithm.type",
            ),
        ] {
            let error = json::from_value::<NewRoutingProgram>(body).unwrap_err();
            assert_eq!(told(&error), (code.to_owned(), path.to_owned()));
        }
        let mut elsewhere = new("n", &priority(&[&one]));
        elsewhere.profile_id = Some(sibling.retrieve().await.unwrap().profile_id);
        assert_eq!(told(&routing.create(elsewhere).await.unwrap_err()), ("profile.other".into(), "profile_id".into()));
        let absent: RoutingId = "routing_none".parse().unwrap();
        assert_eq!(told(&routing.program(&absent).activate(None).await.unwrap_err()).0, "not_found");
        assert_eq!(told(&sibling.routing().program(&good.id).activate(None).await.unwrap_err()).0, "not_found");
        assert_eq!(told(&routing.program(&good.id).activate(None).expecting(7).await.unwrap_err()).0, "stale");
        assert_eq!(snapshot(&world.pay).await, before, "{}", world.name);
    });
}

#[test]
fn an_account_that_the_active_program_names_goes_only_with_a_cascade_and_the_report_says_why() {
    on_every_backend(async |world| {
        let (tenant, [one, two, three]) = with_accounts(world, ["one", "two", "three"]).await;
        let profile = tenant.profile_scope(&world.pay);
        let routing = profile.routing();
        let active = routing.create(new("active", &priority(&[&one, &two]))).await.unwrap().record;
        let program = routing.program(&active.id);
        program.activate(None).await.unwrap();
        program.add_version(version(&priority(&[&three]))).await.unwrap();
        world.clock.step(Duration::from_secs(1));
        let draft = routing.create(new("draft", &priority(&[&one, &three]))).await.unwrap().record;
        let told_of = async |account: &ConnectorId| {
            let impact = profile.connector(account).removal_impact().await.unwrap();
            let disabling = profile.connector(account).disabling_impact().await.unwrap();
            assert_eq!(disabling.programs, impact.programs);
            assert_eq!((disabling.refused, impact.refused_with_cascade), (None, None));
            assert!(!impact.is_harmless());
            let named: Vec<(RoutingId, Vec<u32>, bool)> =
                impact.programs.into_iter().map(|named| (named.program, named.versions, named.is_active)).collect();
            (impact.refused, named)
        };
        let expected =
            (Some("connector.routed"), vec![(draft.id.clone(), vec![1], false), (active.id.clone(), vec![1], true)]);
        assert_eq!(told_of(&one).await, expected, "{}", world.name);
        assert_eq!(told_of(&two).await, (Some("connector.routed"), vec![(active.id.clone(), vec![1], true)]));
        let expected = (None, vec![(draft.id.clone(), vec![1], false), (active.id.clone(), vec![2], false)]);
        assert_eq!(told_of(&three).await, expected);
        let profiles = profile.removal_impact().await.unwrap();
        assert!(profiles.takes_along.contains(&perfectpay::ChildCount { kind: EntityKind::RoutingProgram, count: 2 }));
        assert!(profiles.takes_along.contains(&perfectpay::ChildCount { kind: EntityKind::RoutingVersion, count: 3 }));

        assert_eq!(told(&profile.connector(&one).remove().await.unwrap_err()).0, "connector.routed");
        profile.connector(&one).remove().cascade().await.unwrap();
        profile.connector(&three).remove().await.unwrap();
        // What names it cannot be activated any more, nor rolled back to.
        let error = routing.program(&draft.id).activate(None).await.unwrap_err();
        assert_eq!(told(&error), ("routing.unknown_account".into(), "algorithm.data[0].merchant_connector_id".into()));
        let third = program.add_version(version(&priority(&[&two]))).await.unwrap().checked_version;
        program.activate(Some(third)).await.unwrap();
        assert_eq!(told(&routing.roll_back().await.unwrap_err()).0, "routing.unknown_account", "{}", world.name);
    });
}

#[test]
fn findings_are_told_and_keep_a_program_from_being_activated_where_the_host_says_so() {
    for backend in support::backends() {
        let world = World::with(backend, |settings| settings.lints_block_activation(true));
        block_on(async {
            let (tenant, [one, two]) = with_accounts(&world, ["one", "two"]).await;
            let profile = tenant.profile_scope(&world.pay);
            let mut disabled = ConnectorUpdate::of(perfectpay::ConnectorType::PaymentProcessor);
            disabled.disabled = perfectpay::Patch::Set(true);
            profile.connector(&two).update(disabled).await.unwrap();
            let routing = profile.routing();
            let drafted = routing.create(new("strange", &priority(&[&one, &two]))).await.unwrap();
            assert_eq!(drafted.lints.len(), 1, "{:?}", drafted.lints);
            let error = routing.program(&drafted.record.id).activate(None).await.unwrap_err();
            assert_eq!(told(&error), ("routing.lints".into(), format!("algorithm.{}", drafted.lints[0].path)));
            let sound = routing.create(new("sound", &priority(&[&one]))).await.unwrap();
            assert_eq!(sound.lints, []);
            routing.program(&sound.record.id).activate(None).await.unwrap();
        });
    }
}

#[test]
fn the_fallback_order_follows_the_accounts_and_is_changed_by_permutation_and_by_move() {
    on_every_backend(async |world| {
        let (tenant, [one, two, three]) = with_accounts(world, ["one", "two", "three"]).await;
        let profile = tenant.profile_scope(&world.pay);
        let routing = profile.routing();
        let order = async || -> Vec<ConnectorId> {
            let order = routing.fallback().await.unwrap();
            assert_eq!(order.profile_id, tenant.profile.profile_id);
            order.connectors.into_iter().map(|choice| choice.merchant_connector_id.unwrap()).collect()
        };
        let wanted = |accounts: &[&ConnectorId]| -> Vec<ConnectorChoice> {
            accounts.iter().map(|account| json::from_value(choice(account)).unwrap()).collect()
        };
        assert_eq!(order().await, [one.clone(), two.clone(), three.clone()]);
        let version = routing.fallback().await.unwrap().version;
        routing.set_fallback(wanted(&[&three, &one, &two])).expecting(version).await.unwrap();
        assert_eq!(order().await, [three.clone(), one.clone(), two.clone()]);
        routing.move_in_fallback(&two, 0).await.unwrap();
        assert_eq!(order().await, [two.clone(), three.clone(), one.clone()]);
        // Not another set of accounts.
        let before = snapshot(&world.pay).await;
        for (wrong, code) in [
            (wanted(&[&three, &one]), "routing.fallback_length"),
            (wanted(&[&three, &one, &one]), "routing.fallback_members"),
        ] {
            assert_eq!(told(&routing.set_fallback(wrong).await.unwrap_err()).0, code);
        }
        assert_eq!(
            told(&routing.set_fallback(wanted(&[&one, &two, &three])).expecting(1).await.unwrap_err()).0,
            "stale"
        );
        routing.set_fallback(wanted(&[&two, &three, &one])).await.unwrap();
        assert_eq!(snapshot(&world.pay).await, before, "an order that is the same makes no version");
        // It grows and shrinks without a command of its own.
        let four = profile.create_connector(read(&host::connector_body("four", "sk_live_1")).unwrap()).await.unwrap();
        let four = four.merchant_connector_id;
        profile.connector(&three).remove().await.unwrap();
        assert_eq!(order().await, [two, one, four], "{}", world.name);
    });
}

#[test]
fn a_dry_run_decides_by_a_draft_and_saves_nothing() {
    on_every_backend(async |world| {
        let (tenant, [one, two]) = with_accounts(world, ["one", "two"]).await;
        let routing = tenant.profile_scope(&world.pay).routing();
        let before = snapshot(&world.pay).await;
        let algorithm: Algorithm = json::from_value(priority(&[&two])).unwrap();
        let facts =
            read(r#"{"amount": 4999, "currency": "EUR", "payment_method": "card", "payment_method_type": "credit"}"#);
        let dry = routing.dry_run(&algorithm, &"pay_1".parse().unwrap(), &facts.unwrap()).await.unwrap();
        let perfectpay::Answer::Candidates(candidates) = &dry.answer else { panic!("{:?}", dry.answer) };
        let accounts: Vec<&ConnectorId> = candidates.iter().map(|candidate| candidate.account).collect();
        assert_eq!((accounts, dry.lints.len()), (vec![&two, &one], 0));
        let wrong: Algorithm = json::from_value(priority(&[])).unwrap();
        let facts = read(r#"{"amount": 4999, "currency": "EUR"}"#).unwrap();
        let error: Error = routing.dry_run(&wrong, &"pay_1".parse().unwrap(), &facts).await.unwrap_err();
        assert!(told(&error).1.starts_with("algorithm.data"), "{error}");
        assert_eq!(snapshot(&world.pay).await, before, "{}", world.name);
    });
}
