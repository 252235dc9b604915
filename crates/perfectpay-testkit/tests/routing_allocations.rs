//! A program of its own, since it counts what the whole program allocates.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use perfectpay::routing::{Compiled, decide};
use perfectpay::{
    Algorithm, Answer, ConnectorStatus, ConnectorType, DecisionInputs, PaymentFacts, PaymentId, ProgramVersion,
    RoutableAccount, Router, json,
};

const PROGRAM: &str = r#"{"type": "advanced", "data": {
    "defaultSelection": {"type": "volume_split", "data": [
        {"connector": {"connector": "stripe", "merchant_connector_id": "mca_0"}, "split": 50},
        {"connector": {"connector": "stripe", "merchant_connector_id": "mca_1"}, "split": 50}]},
    "rules": [
        {"name": "label", "connectorSelection": {"type": "priority", "data": ["adyen"]}, "statements": [
            {"condition": [
                {"lhs": "business_label", "comparison": "equal", "value": {"type": "str_value", "value": "north"}},
                {"lhs": "metadata", "comparison": "equal",
                    "value": {"type": "metadata_variant", "value": {"key": "tier", "value": "gold"}}},
                {"lhs": "card_prefix", "comparison": "equal", "value": {"type": "str_value", "value": "4242"}},
                {"lhs": "amount", "comparison": "equal", "value": {"type": "number_array", "value": [1, 5, 9]}}],
            "nested": [
                {"condition": [{"lhs": "billing_country", "comparison": "equal",
                    "value": {"type": "enum_variant_array", "value": ["France", "Spain"]}}]}]}]},
        {"name": "large", "connectorSelection": {"type": "priority", "data": ["adyen"]}, "statements": [
            {"condition": [
                {"lhs": "amount", "comparison": "greater_than", "value": {"type": "number", "value": 9}}]}]}],
    "metadata": {}}}"#;

#[test]
fn a_program_allocates_nothing_and_a_decision_its_answer_alone() {
    let algorithm: Algorithm = json::from_slice(PROGRAM.as_bytes()).unwrap();
    let facts: PaymentFacts = json::from_slice(
        br#"{"amount": 5, "currency": "USD", "payment_method": "card", "card": {"bin": "42424242"},
            "business_label": "north", "billing_country": "DE", "metadata": {"tier": "gold", "shop": "7"}}"#,
    )
    .unwrap();
    let compiled = Compiled::new(&algorithm).unwrap();
    let methods = br#"[{"payment_method": "card", "payment_method_types": ["credit", "debit"]}]"#;
    let account = |at: usize| RoutableAccount {
        account: format!("mca_{at}").parse().unwrap(),
        connector: "stripe".parse().unwrap(),
        connector_type: ConnectorType::PaymentProcessor,
        routable: true,
        status: ConnectorStatus::Active,
        disabled: false,
        payment_methods_enabled: Some(json::from_slice(methods).unwrap()),
    };
    let accounts: Vec<RoutableAccount> = (0..20).map(account).collect();
    let program =
        ProgramVersion { id: "routing_1".parse().unwrap(), version: 1, algorithm: Arc::new(algorithm.clone()) };
    let router = Router::new("pro_1".parse().unwrap(), Some(program), accounts, &[]).unwrap();
    let payment: PaymentId = "pay_1".parse().unwrap();
    let inputs = DecisionInputs::of(&payment, &facts);
    // The first call fills the table of countries.
    assert_eq!(compiled.choose(&facts).rule(), None);

    let mut rule = Some(0);
    let counted = allocation_counter::measure(|| rule = compiled.choose(&facts).rule());
    assert_eq!((rule, counted.count_total), (None, 0));

    let mut answer = None;
    let counted = allocation_counter::measure(|| answer = Some(decide(&router, inputs)));
    let Some(Answer::Candidates(all)) = answer else { unreachable!("every account takes it") };
    assert_eq!((all.len(), counted.count_total), (20, 1), "the list of candidates");
}

#[test]
fn what_a_body_costs_in_memory_is_bounded_by_its_length() {
    let full = |start: &str, piece: &str, end: &str| {
        let times = (json::MAX_BODY - start.len() - end.len()) / piece.len();
        format!("{start}{}{end}", piece.repeat(times))
    };
    let rules = r#"{"type":"advanced","data":{"defaultSelection":{"type":"priority","data":["a"]},"rules":["#;
    let comparison = r#"{"lhs":"amount","comparison":"equal","value":{"type":"number_array","value":[1]}},"#;
    let statements = format!(
        r#"{rules}{{"name":"r","connectorSelection":{{"type":"priority","data":["a"]}},"statements":[{{"condition":["#
    );
    for body in [
        full(r#"{"type":"priority","data":["#, r#""a","#, r#""a"]}"#),
        full(r#"{"data":["#, "0,", r#"0],"type":"priority"}"#),
        full(r#"{"data":["#, "[],", r#"[]],"type":"priority"}"#),
        full(r#"{"data":"#, "[", ""),
        full(r#"{"type":"advanced","data":"#, r#"{"data":"#, ""),
        full(&statements, comparison, ""),
        full(&statements, r#"{"lhs":"amount","comparison":"equal","value":{"type":"number_array","value":[1"#, ""),
        full(rules, r#"{"name":"r","connectorSelection":{"type":"priority","data":["a"]},"statements":[]},"#, "]}}"),
    ] {
        assert!(body.len() <= json::MAX_BODY && body.len() > json::MAX_BODY - 200, "{}", body.len());
        let counted = allocation_counter::measure(|| {
            let read = json::from_slice::<Algorithm>(body.as_bytes());
            drop(read.map(|algorithm| (Compiled::new(&algorithm).is_ok(), algorithm.lints(&[]))));
        });
        assert!(counted.bytes_max < 128 * body.len() as u64, "{} for {}", counted.bytes_max, &body[..60]);
    }
    let long = vec![b' '; json::MAX_BODY + 1];
    let counted = allocation_counter::measure(|| drop(json::from_slice::<Algorithm>(&long)));
    assert!(counted.bytes_max < 1_024, "what is too long is not even looked at");
}
