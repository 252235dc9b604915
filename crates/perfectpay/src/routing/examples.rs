//! The published examples of rules, what is refused about a program, and what a decision says.
#![allow(clippy::needless_pass_by_value, reason = "JSON is written in place")]

use serde_json::{Value, json};

use super::*;
use crate::connector::{ConnectorStatus, ConnectorType};
use crate::error::{Error, Fault};
use crate::id::{ConnectorId, PaymentId};

fn choice(connector: &str) -> Value {
    json!({"connector": connector, "merchant_connector_id": format!("mca_{connector}")})
}

fn priority(connectors: &[&str]) -> Value {
    json!({"type": "priority", "data": connectors.iter().map(|name| choice(name)).collect::<Vec<_>>()})
}

fn comparison(lhs: &str, comparison: &str, kind: &str, value: Value) -> Value {
    json!({"lhs": lhs, "comparison": comparison, "value": {"type": kind, "value": value}, "metadata": {}})
}

fn word(lhs: &str, word: &str) -> Value {
    comparison(lhs, "equal", "enum_variant", word.into())
}

fn rule(name: &str, selects: &[&str], statements: Value) -> Value {
    json!({"name": name, "connectorSelection": priority(selects), "statements": statements})
}

fn program(default: &[&str], rules: &[Value]) -> Algorithm {
    let program = json!({"defaultSelection": priority(default), "rules": rules, "metadata": {}});
    crate::json::from_value(json!({"type": "advanced", "data": program})).unwrap()
}

/// The program that the peer's own benchmark runs.
fn benchmark() -> Algorithm {
    let nested = json!([{"condition": [
        comparison("payment_method", "equal", "enum_variant_array", json!(["card", "bank_redirect"])),
        comparison("amount", "equal", "number_array", json!([40, 50])),
    ]}]);
    let statement = |method, operator, number: i64| {
        let condition = [word("payment_method", method), comparison("amount", operator, "number", number.into())];
        json!([{"condition": condition, "nested": nested}])
    };
    program(
        &["stripe", "adyen", "checkout"],
        &[
            rule("stripe_first", &["stripe", "aci"], statement("card", "equal", 40)),
            rule("adyen_first", &["adyen", "checkout"], statement("bank_redirect", "greater_than", 60)),
            rule(
                "auth_first",
                &["authorizedotnet", "adyen"],
                json!([{"condition": [word("payment_method", "wallet")]}]),
            ),
        ],
    )
}

fn facts(json: Value) -> PaymentFacts {
    crate::json::from_value(json).unwrap()
}

fn chosen(algorithm: &Algorithm, facts: Value) -> Option<u32> {
    Compiled::new(algorithm).unwrap().choose(&self::facts(facts)).rule()
}

fn account(connector: &str, methods: Value) -> RoutableAccount {
    RoutableAccount {
        account: format!("mca_{connector}").parse().unwrap(),
        connector: connector.parse().unwrap(),
        connector_type: ConnectorType::PaymentProcessor,
        routable: true,
        status: ConnectorStatus::Active,
        disabled: false,
        payment_methods_enabled: Some(crate::json::from_value(methods).unwrap()),
    }
}

fn everything() -> Value {
    json!([{"payment_method": "card"}, {"payment_method": "wallet"}, {"payment_method": "pay_later"},
        {"payment_method": "bank_redirect"}])
}

fn router(algorithm: &Algorithm, accounts: &[RoutableAccount]) -> Router {
    let program = ProgramVersion {
        id: "routing_1".parse().unwrap(),
        version: 1,
        algorithm: std::sync::Arc::new(algorithm.clone()),
    };
    Router::new("pro_1".parse().unwrap(), Some(program), accounts.to_vec(), &[]).unwrap()
}

fn order(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Candidates(all) => all.iter().map(|one| one.connector.to_string()).collect(),
        Answer::Declined { reason, .. } => vec![reason.to_string()],
    }
}

#[test]
fn the_peers_benchmark_program_answers_as_its_rules_say() {
    let program = benchmark();
    for (method, amount, rule) in [
        ("pay_later", 32, None),
        ("card", 40, Some(0)),
        ("card", 50, None),
        ("card", 41, None),
        // More than 60 and 40 or 50: the published second rule can never hold.
        ("bank_redirect", 61, None),
        ("bank_redirect", 50, None),
        ("wallet", 1, Some(2)),
    ] {
        let facts = json!({"amount": amount, "currency": "USD", "payment_method": method,
            "authentication_type": "no_three_ds", "capture_method": "automatic",
            "business_country": "US", "billing_country": "FR"});
        assert_eq!(chosen(&program, facts), rule, "{method} {amount}");
    }
    let accounts = ["stripe", "adyen", "checkout", "aci", "authorizedotnet"].map(|name| account(name, everything()));
    let found = program.lints(&accounts);
    let found: Vec<_> = found.iter().map(|lint| (lint.path.as_str(), lint.kind)).collect();
    assert_eq!(
        found,
        [
            ("data.rules[1].statements[0].nested[0].condition", LintKind::Contradiction),
            ("data.rules[1]", LintKind::NeverMatches),
        ]
    );
    let router = router(&program, &accounts);
    let payment: PaymentId = "pay_1".parse().unwrap();
    let of = |method| {
        let facts = facts(json!({"amount": 32, "currency": "USD", "payment_method": method}));
        order(&decide(&router, DecisionInputs::of(&payment, &facts)))
    };
    assert_eq!(of("pay_later"), ["stripe", "adyen", "checkout", "aci", "authorizedotnet"]);
    assert_eq!(of("wallet"), ["authorizedotnet", "adyen", "stripe", "checkout", "aci"]);
}

#[test]
fn the_contracts_worked_reading() {
    // card ∧ amount > 1000 ∧ (network ∈ {Visa, Mastercard} ∨ country = Germany)
    let statement = json!({
        "condition": [word("payment_method", "card"), comparison("amount", "greater_than", "number", 1000.into())],
        "nested": [
            {"condition": [comparison("card_network", "equal", "enum_variant_array", json!(["Visa", "Mastercard"]))]},
            {"condition": [word("billing_country", "Germany")]},
        ],
    });
    let program = program(&["adyen"], &[rule("A", &["stripe"], json!([statement]))]);
    let of = |rest: Value| {
        let mut facts = json!({"amount": 1001, "currency": "EUR", "payment_method": "card"});
        facts.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        chosen(&program, facts)
    };
    assert_eq!(of(json!({"card": {"card_network": "Visa"}})), Some(0));
    assert_eq!(of(json!({"card": {"card_network": "JCB"}, "billing_country": "DE"})), Some(0));
    assert_eq!(of(json!({"billing_country": "DE"})), Some(0));
    assert_eq!(of(json!({"card": {"card_network": "JCB"}, "billing_country": "FR"})), None);
    assert_eq!(of(json!({})), None);
    assert_eq!(of(json!({"billing_country": "DE", "amount": 1000})), None);
    assert_eq!(of(json!({"billing_country": "DE", "payment_method": "wallet"})), None);
}

#[test]
fn numbers_mean_what_they_say_and_not_equal_is_not_inverted() {
    let of = |comparison: Value, amount: i64| {
        let program = program(&["adyen"], &[rule("r", &["stripe"], json!([{"condition": [comparison]}]))]);
        chosen(&program, json!({"amount": amount, "currency": "EUR"})).is_some()
    };
    let number = |operator: &str| comparison("amount", operator, "number", 50.into());
    for (operator, below, at, above) in [
        ("equal", false, true, false),
        ("not_equal", true, false, true),
        ("less_than", true, false, false),
        ("less_than_equal", true, true, false),
        ("greater_than", false, false, true),
        ("greater_than_equal", false, true, true),
    ] {
        let found = [49, 50, 51].map(|amount| of(number(operator), amount));
        assert_eq!(found, [below, at, above], "{operator}");
    }
    // Any of the comparisons, though they look like a range.
    let any = json!([{"comparisonType": "greater_than", "number": 40}, {"comparisonType": "less_than", "number": 30}]);
    let any = |operator: &str| comparison("amount", operator, "number_comparison_array", any.clone());
    assert_eq!([29, 35, 41].map(|amount| of(any("equal"), amount)), [true, false, true]);
    assert_eq!([29, 35, 41].map(|amount| of(any("not_equal"), amount)), [false, true, false]);
    let range = |operator: &str, range: Value| comparison("amount", operator, "number_range", range);
    let both = json!({"minimum": 30, "maximum": 40});
    assert_eq!([29, 30, 40, 41].map(|amount| of(range("equal", both.clone()), amount)), [false, true, true, false]);
    assert_eq!([29, 30, 40, 41].map(|amount| of(range("not_equal", both.clone()), amount)), [true, false, false, true]);
    assert_eq!([29, 30].map(|amount| of(range("equal", json!({"minimum": 30})), amount)), [false, true]);
}

#[test]
fn leading_digits_match_where_enough_of_them_are_known() {
    let of = |key: &str, operator: &str, digits: &str, bin: &str| {
        let condition = [comparison(key, operator, "str_value", digits.into())];
        let program = program(&["adyen"], &[rule("r", &["stripe"], json!([{"condition": condition}]))]);
        chosen(&program, json!({"amount": 1, "currency": "EUR", "card": {"bin": bin}})).is_some()
    };
    for (key, digits, bin, holds) in [
        ("card_bin", "424242", "42424299", true),
        ("card_bin", "424243", "42424299", false),
        ("extended_card_bin", "42424299", "42424299", true),
        ("extended_card_bin", "42424200", "424242", false),
        ("card_prefix", "4", "424242", true),
        ("card_prefix", "42424299999", "42424299999", true),
        ("card_prefix", "4242429", "424242", false),
        ("card_prefix", "00", "004242", true),
    ] {
        assert_eq!(of(key, "equal", digits, bin), holds, "{key} {digits} {bin}");
        assert_eq!(of(key, "not_equal", digits, bin), !holds, "{key} {digits} {bin}");
        assert_eq!(of(key, "less_than", digits, bin), holds, "ordering a text means the same as `equal`");
    }
}

fn refused(algorithm: Value, accounts: &[RoutableAccount]) -> (String, String) {
    let read: Result<Algorithm, Error> = crate::json::from_value(algorithm);
    let fault: Fault = read.unwrap().check(accounts).unwrap_err();
    (fault.path().to_owned(), fault.code().trim_start_matches("routing.").to_owned())
}

#[test]
fn what_means_nothing_is_refused_with_its_path() {
    let accounts = ["stripe", "adyen"].map(|name| account(name, everything()));
    let of = |comparison: &Value| {
        let nested = json!([{"condition": [], "nested": [{"condition": [word("currency", "EUR"), comparison]}]}]);
        let rules = [rule("r", &["stripe"], nested)];
        json!({"type": "advanced", "data": {"defaultSelection": priority(&["adyen"]), "rules": rules, "metadata": {}}})
    };
    let at = "data.rules[0].statements[0].nested[0].condition[1]";
    let many: Vec<i64> = (0..257).collect();
    for (comparison, path, code) in [
        (comparison("amount", "equal", "enum_variant", "card".into()), "value.type", "wrong_value"),
        (comparison("currency", "equal", "number", 1.into()), "value.type", "wrong_value"),
        (comparison("currency", "equal", "str_value", "EUR".into()), "value.type", "wrong_value"),
        (comparison("card_bin", "equal", "enum_variant", "424242".into()), "value.type", "wrong_value"),
        (comparison("metadata", "equal", "str_value", "x".into()), "value.type", "wrong_value"),
        (word("currency", "eur"), "value.value", "unknown_word"),
        (word("payment_method", "cards"), "value.value", "unknown_word"),
        (word("wallet", "klarna"), "value.value", "unknown_word"),
        (word("reward", "classic"), "value.value", "unknown_word"),
        (word("billing_country", "DE"), "value.value", "unknown_word"),
        (word("card_network", "visa"), "value.value", "unknown_word"),
        (
            comparison("currency", "equal", "enum_variant_array", json!(["EUR", "USD", "XXX"])),
            "value.value[2]",
            "unknown_word",
        ),
        (comparison("currency", "less_than", "enum_variant", "EUR".into()), "comparison", "wrong_operator"),
        (comparison("amount", "less_than", "number_array", json!([1])), "comparison", "wrong_operator"),
        (comparison("amount", "greater_than", "number_range", json!({"minimum": 1})), "comparison", "wrong_operator"),
        (comparison("amount", "equal", "number", (-1).into()), "value.value", "negative_number"),
        (comparison("amount", "equal", "number_array", json!([1, -1])), "value.value[1]", "negative_number"),
        (comparison("amount", "equal", "number_array", json!([])), "value.value", "empty_list"),
        (comparison("amount", "equal", "number_array", json!(many)), "value.value", "too_many_values"),
        (comparison("currency", "equal", "enum_variant_array", json!([])), "value.value", "empty_list"),
        (comparison("amount", "equal", "number_comparison_array", json!([])), "value.value", "empty_list"),
        (comparison("amount", "equal", "number_range", json!({})), "value.value", "empty_range"),
        (
            comparison("amount", "equal", "number_range", json!({"minimum": 2, "maximum": 1})),
            "value.value",
            "empty_range",
        ),
        (comparison("card_bin", "equal", "str_value", "42424".into()), "value.value", "digits"),
        (comparison("extended_card_bin", "equal", "str_value", "424242".into()), "value.value", "digits"),
        (comparison("card_prefix", "equal", "str_value", "424242424242".into()), "value.value", "digits"),
        (comparison("card_prefix", "equal", "str_value", "+4".into()), "value.value", "digits"),
    ] {
        assert_eq!(refused(of(&comparison), &accounts), (format!("{at}.{path}"), code.to_owned()), "{comparison}");
    }
}

#[test]
fn what_is_selected_must_be_there() {
    let accounts = ["stripe", "adyen"].map(|name| account(name, everything()));
    let split = |shares: &[(&str, u8)]| {
        let of = |(name, split): &(&str, u8)| json!({"connector": choice(name), "split": split});
        Value::from(shares.iter().map(of).collect::<Vec<_>>())
    };
    let hundred = vec![choice("stripe"); 101];
    let foreign = json!({"connector": "stripe", "merchant_connector_id": "mca_foreign"});
    let mixed = json!({"connector": "adyen", "merchant_connector_id": "mca_stripe"});
    for (kind, data, path, code) in [
        ("single", foreign.clone(), "data.merchant_connector_id", "unknown_account"),
        ("single", mixed, "data.connector", "wrong_connector"),
        ("single", json!("checkout"), "data.connector", "unknown_connector"),
        ("priority", json!([choice("stripe"), foreign]), "data[1].merchant_connector_id", "unknown_account"),
        ("priority", json!([]), "data", "empty_list"),
        ("priority", json!(hundred), "data", "too_many_choices"),
        ("volume_split", json!([]), "data", "empty_list"),
        ("volume_split", split(&[("stripe", 60), ("adyen", 39)]), "data", "shares"),
        ("volume_split", split(&[("stripe", 60), ("adyen", 41)]), "data", "shares"),
        ("volume_split", split(&[("stripe", 255), ("adyen", 101)]), "data", "shares"),
        (
            "volume_split",
            split(&[("stripe", 60), ("aci", 40)]),
            "data[1].connector.merchant_connector_id",
            "unknown_account",
        ),
    ] {
        let found = refused(json!({"type": kind, "data": data}), &accounts);
        assert_eq!(found, (path.to_owned(), code.to_owned()), "{kind} {data}");
    }
    let empty = json!({"type": "priority", "data": []});
    for (default, of_rule, path) in [
        (empty.clone(), priority(&["stripe"]), "data.defaultSelection.data"),
        (priority(&["stripe"]), empty.clone(), "data.rules[0].connectorSelection.data"),
    ] {
        let rules = json!([{"name": "r", "connectorSelection": of_rule, "statements": []}]);
        let program = json!({"defaultSelection": default, "rules": rules, "metadata": {}});
        let found = refused(json!({"type": "advanced", "data": program}), &accounts);
        assert_eq!(found, (path.to_owned(), "empty_list".to_owned()));
    }
    // Without an account, and of one that is disabled: accepted, and told.
    let mut disabled = accounts.clone();
    disabled[0].disabled = true;
    let algorithm: Algorithm =
        crate::json::from_value(json!({"type": "priority", "data": ["adyen", choice("stripe")]})).unwrap();
    assert!(algorithm.check(&disabled).is_ok());
    let found = algorithm.lints(&disabled);
    let found: Vec<_> = found.iter().map(|lint| (lint.path.as_str(), lint.kind)).collect();
    assert_eq!(found, [("data[0]", LintKind::ChoiceWithoutAccount), ("data[1]", LintKind::AccountDisabled)]);
}

#[test]
fn both_sides_of_every_limit_of_size() {
    let accounts = [account("stripe", everything())];
    let eur = || word("currency", "EUR");
    let of = |rules: Vec<Value>| json!({"type": "advanced", "data": {"defaultSelection": priority(&["stripe"]), "rules": rules, "metadata": {}}});
    let one = |statements: Value| of(vec![rule("r", &["stripe"], statements)]);
    let deep = |levels: usize| {
        let mut statement = json!({"condition": [eur()]});
        for _ in 1..levels {
            statement = json!({"condition": [], "nested": [statement]});
        }
        one(json!([statement]))
    };
    let statements = |count: usize| one(json!(vec![json!({"condition": [eur()]}); count]));
    let comparisons = |count: usize| one(json!([{"condition": vec![eur(); count]}]));
    let rules = |count: usize| of(vec![rule("r", &["stripe"], json!([{"condition": [eur()]}])); count]);
    let whole = |rules: usize| {
        let full = json!([{"condition": vec![eur(); 50]}]);
        of(vec![rule("r", &["stripe"], full); rules])
    };
    let keys = |count: usize| {
        let pair =
            |at| comparison("metadata", "equal", "metadata_variant", json!({"key": format!("k{at}"), "value": "v"}));
        one(json!([{"condition": (0..count).map(pair).collect::<Vec<_>>()}]))
    };
    let nest = |levels: usize| format!("data.rules[0].statements[0]{}", ".nested[0]".repeat(levels - 1));
    for (good, bad, path, code) in [
        (deep(MAX_NESTING), deep(MAX_NESTING + 1), format!("{}.nested", nest(MAX_NESTING)), "too_deep"),
        (statements(64), statements(65), "data.rules[0].statements".to_owned(), "too_many_statements"),
        (comparisons(64), comparisons(65), "data.rules[0].statements[0].condition".to_owned(), "too_many_comparisons"),
        (rules(1_000), rules(1_001), "data.rules".to_owned(), "too_many_rules"),
        (whole(200), whole(201), "data.rules[200].statements[0].condition".to_owned(), "too_many_comparisons"),
        (
            keys(32),
            keys(33),
            "data.rules[0].statements[0].condition[32].value.value.key".to_owned(),
            "too_many_metadata_keys",
        ),
    ] {
        let good: Algorithm = crate::json::from_value(good).unwrap();
        assert!(good.check(&accounts).is_ok(), "{path}");
        assert_eq!(refused(bad, &accounts), (path, code.to_owned()));
    }
}

#[test]
fn findings_name_what_never_holds_what_is_shadowed_and_who_cannot_take_it() {
    let card_only = account(
        "stripe",
        json!([{"payment_method": "card", "payment_method_types": [
        {"payment_method_type": "credit", "accepted_currencies": {"type": "enable_only", "list": ["USD"]},
            "minimum_amount": 100}]}]),
    );
    let accounts = [card_only, account("adyen", everything())];
    let with = |condition: &[Value]| json!([{"condition": condition}]);
    let amount = |operator: &str, number: i64| comparison("amount", operator, "number", number.into());
    let program = program(
        &["adyen"],
        &[
            rule("wallets", &["stripe", "adyen"], with(&[word("payment_method", "wallet")])),
            rule("paypal", &["adyen", "adyen"], with(&[word("wallet", "paypal"), word("payment_method", "wallet")])),
            rule("odd", &["adyen"], with(&[word("wallet", "paypal"), word("payment_method", "card")])),
            rule("large", &["stripe"], with(&[amount("greater_than", 100)])),
            rule("euro", &["stripe"], with(&[word("currency", "EUR")])),
            rule("larger", &["adyen"], with(&[amount("greater_than", 1_000), word("currency", "EUR")])),
            rule("none", &["adyen"], json!([])),
            rule("all", &["adyen"], json!([{"condition": []}])),
            rule("rest", &["adyen"], with(&[comparison("card_prefix", "less_than", "str_value", "4".into())])),
        ],
    );
    let found = program.lints(&accounts);
    let found: Vec<_> = found.iter().map(|lint| (lint.path.as_str(), lint.kind)).collect();
    assert_eq!(
        found,
        [
            ("data.rules[0].connectorSelection.data[0]", LintKind::AccountCannotTake),
            ("data.rules[1]", LintKind::Shadowed),
            ("data.rules[1].connectorSelection.data[1]", LintKind::ChosenTwice),
            ("data.rules[2].statements[0].condition", LintKind::Contradiction),
            ("data.rules[2]", LintKind::NeverMatches),
            ("data.rules[4].connectorSelection.data[0]", LintKind::AccountCannotTake),
            ("data.rules[5]", LintKind::Shadowed),
            ("data.rules[6]", LintKind::NeverMatches),
            ("data.rules[7].statements[0]", LintKind::AlwaysMatches),
            ("data.rules[8].statements[0].condition[0].comparison", LintKind::OrderedText),
            ("data.rules[8]", LintKind::Shadowed),
        ]
    );
}

#[test]
fn an_account_takes_what_its_methods_say() {
    let of = |types: Value, facts: Value| {
        let methods = json!([{"payment_method": "card", "payment_method_types": types}, {"payment_method": "wallet",
            "payment_method_types": ["paypal"]}]);
        let mut all = json!({"amount": 500, "currency": "USD", "payment_method": "card"});
        all.as_object_mut().unwrap().extend(facts.as_object().unwrap().clone());
        let (account, facts) = (account("stripe", methods), self::facts(all));
        let reason = account.ineligible(&facts);
        let router = Router::new("pro_1".parse().unwrap(), None, vec![account], &[]).unwrap();
        assert_eq!(router.seen(&facts)[0].ineligible, reason);
        reason
    };
    let limited = json!([{"payment_method_type": "credit", "card_networks": ["Visa"],
        "accepted_currencies": {"type": "enable_only", "list": ["USD"]},
        "accepted_countries": {"type": "disable_only", "list": ["FR"]},
        "minimum_amount": 100, "maximum_amount": 1000}]);
    for (facts, reason) in [
        (json!({}), None),
        (json!({"payment_method_type": "credit", "card": {"card_network": "Visa"}, "billing_country": "DE"}), None),
        (json!({"payment_method_type": "debit"}), Some(Ineligible::MethodType)),
        (json!({"card": {"card_type": "debit"}}), Some(Ineligible::MethodType)),
        (json!({"card": {"card_network": "JCB"}}), Some(Ineligible::CardNetwork)),
        (json!({"currency": "EUR"}), Some(Ineligible::Currency)),
        (json!({"billing_country": "FR"}), Some(Ineligible::Country)),
        (json!({"amount": 99}), Some(Ineligible::Amount)),
        (json!({"amount": 100}), None),
        (json!({"amount": 1000}), None),
        (json!({"amount": 1001}), Some(Ineligible::Amount)),
        (json!({"amount": 0}), None),
        (json!({"payment_method": "upi"}), Some(Ineligible::Method)),
        (json!({"payment_method": "wallet"}), Some(Ineligible::MethodType)),
        (json!({"payment_method": "wallet", "payment_method_type": "paypal"}), None),
        (json!({"payment_method": null}), Some(Ineligible::MethodUnknown)),
    ] {
        assert_eq!(of(limited.clone(), facts.clone()), reason, "{facts}");
    }
    assert_eq!(of(json!([]), json!({"payment_method_type": "debit"})), None, "no types restrict nothing");
    let empty = json!([{"payment_method_type": "credit", "card_networks": [],
        "accepted_currencies": {"type": "enable_only", "list": []}}]);
    assert_eq!(of(empty, json!({"card": {"card_network": "JCB"}, "currency": "EUR"})), None);
}

#[test]
fn shares_converge_and_a_payment_keeps_its_account() {
    let shares = json!([{"connector": choice("stripe"), "split": 70}, {"connector": choice("adyen"), "split": 20},
        {"connector": choice("checkout"), "split": 10}]);
    let algorithm: Algorithm = crate::json::from_value(json!({"type": "volume_split", "data": shares})).unwrap();
    let accounts = ["stripe", "adyen", "checkout"].map(|name| account(name, everything()));
    let (router, again) = (self::router(&algorithm, &accounts), self::router(&algorithm, &accounts));
    let facts = facts(json!({"amount": 1, "currency": "USD", "payment_method": "card"}));
    let mut first = std::collections::BTreeMap::new();
    for number in 0..20_000 {
        let payment: PaymentId = format!("pay_{number}").parse().unwrap();
        let inputs = DecisionInputs::of(&payment, &facts);
        let answer = decide(&router, inputs);
        assert_eq!(decide(&again, inputs), answer, "a retry and a replay");
        let Answer::Candidates(all) = answer else { panic!("declined") };
        let drawn = all.first().unwrap();
        assert_eq!(drawn.why, Why::Algorithm { drawn: true });
        assert!(all.iter().skip(1).all(|one| one.why == Why::Algorithm { drawn: false }));
        // Behind the one that was drawn, the order stays.
        let rest: Vec<_> = all.iter().skip(1).map(|one| one.account.clone()).collect();
        let kept: Vec<ConnectorId> =
            accounts.iter().map(|one| one.account.clone()).filter(|id| id != drawn.account).collect();
        assert_eq!(rest, kept);
        *first.entry(drawn.connector.to_string()).or_insert(0) += 1;
    }
    // Within five standard deviations.
    for (name, share) in [("stripe", 0.7), ("adyen", 0.2), ("checkout", 0.1)] {
        let (mean, deviation) = (20_000.0 * share, (20_000.0_f64 * share * (1.0 - share)).sqrt());
        assert!((f64::from(first[name]) - mean).abs() < 5.0 * deviation, "{name}: {first:?}");
    }
}

#[test]
fn an_explanation_says_what_failed_who_was_left_out_and_who_came_in() {
    let program = program(
        &["adyen"],
        &[
            rule(
                "large",
                &["stripe"],
                json!([
                    {"condition": [word("payment_method", "card"), comparison("amount", "greater_than", "number", 100.into())]},
                    {"condition": [], "nested": [{"condition": [word("currency", "USD")]}]},
                ]),
            ),
            rule("cards", &["checkout", "stripe"], json!([{"condition": [word("payment_method", "card")]}])),
        ],
    );
    let mut accounts = ["adyen", "stripe", "checkout"].map(|name| account(name, everything()));
    accounts[2].disabled = true;
    let router = router(&program, &accounts);
    let payment: PaymentId = "pay_1".parse().unwrap();
    let facts = facts(json!({"amount": 50, "currency": "EUR", "payment_method": "card"}));
    let explained = serde_json::to_value(explain(&router, DecisionInputs::of(&payment, &facts))).unwrap();
    let failed = |path: &str, comparison: Value| json!({"path": format!("data.rules[0].statements{path}"), "comparison": comparison});
    assert_eq!(
        explained,
        json!({
            "program": "routing_1",
            "version": 1,
            "matched": {"rule": 1, "name": "cards"},
            "failed": [{"rule": 0, "name": "large", "failed": [
                failed("[0].condition[1]", comparison("amount", "greater_than", "number", 100.into())),
                failed("[1].nested[0].condition[0]", word("currency", "USD")),
            ]}],
            "bucket": null,
            "left_out": [
                {"choice": choice("checkout"), "why": {"by": "rule", "rule": 1, "drawn": false}, "reason": "disabled"},
            ],
            "fallback_used": true,
            "answer": {"candidates": [
                {"account": "mca_stripe", "connector": "stripe", "why": {"by": "rule", "rule": 1, "drawn": false}},
                {"account": "mca_adyen", "connector": "adyen", "why": {"by": "fallback"}},
            ]},
        })
    );
}

#[test]
fn the_guard_declines_before_the_lists_and_both_before_any_account() {
    let accounts = [account("stripe", everything())];
    let router = Router::new("pro_1".parse().unwrap(), None, accounts.to_vec(), &[]).unwrap();
    let payment: PaymentId = "pay_1".parse().unwrap();
    let facts = facts(json!({"amount": 50, "currency": "EUR", "payment_method": "card"}));
    let blocked = BlockedCard { reason: crate::BlockReason::BlockedBin, entry: Some("card_bin:424242".to_owned()) };
    let both = DecisionInputs {
        payment_id: &payment,
        facts: &facts,
        guard: Some(GuardReason::GuestAddress),
        screening: Some(&blocked),
    };
    let by_guard = Answer::Declined { reason: DeclineReason::CardTestingGuestAddress, entry: None };
    assert_eq!(decide(&router, both), by_guard);
    let by_list = Answer::Declined { reason: DeclineReason::BlockedBin, entry: blocked.entry.clone() };
    assert_eq!(decide(&router, DecisionInputs { guard: None, ..both }), by_list);
    assert_eq!(order(&decide(&router, DecisionInputs::of(&payment, &facts))), ["stripe"]);
    let nobody = Router::new("pro_1".parse().unwrap(), None, Vec::new(), &[]).unwrap();
    let none = Answer::Declined { reason: DeclineReason::NoEligibleConnector, entry: None };
    assert_eq!(decide(&nobody, DecisionInputs::of(&payment, &facts)), none);
}
