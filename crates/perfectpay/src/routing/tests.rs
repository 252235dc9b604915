//! Programs, accounts and payments at random, and what must be true of all of them.

use proptest::prelude::*;
use proptest::sample::select;

use super::codes::{Codes, Texts};
use super::eligibility::Eligibility;
use super::*;
use crate::connector::{
    Accepted, CardNetwork, ConnectorStatus, ConnectorType, EnabledMethods, MethodTypeEnabled, PaymentMethod,
    PaymentMethodType, PaymentMethodsEnabled,
};
use crate::id::{ConnectorId, PaymentId};
use crate::payment::{AuthenticationType, CaptureMethod};
use crate::profile::CardType;

/// Few amounts, so that comparisons meet them.
fn amount() -> impl Strategy<Value = i64> {
    select(vec![0, 1, 39, 40, 41, 50, 60, 61, 100, 999_999_999])
}

const METHODS: [(PaymentMethod, &[PaymentMethodType]); 6] = [
    (PaymentMethod::Card, &[PaymentMethodType::Credit, PaymentMethodType::Debit]),
    (PaymentMethod::Wallet, &[PaymentMethodType::Paypal, PaymentMethodType::ApplePay]),
    (PaymentMethod::BankDebit, &[PaymentMethodType::Ach, PaymentMethodType::Sepa]),
    (PaymentMethod::BankTransfer, &[PaymentMethodType::Ach, PaymentMethodType::Bacs, PaymentMethodType::Pix]),
    (PaymentMethod::Reward, &[PaymentMethodType::Classic, PaymentMethodType::Evoucher]),
    (PaymentMethod::PayLater, &[PaymentMethodType::Klarna]),
];

fn method_and_type() -> impl Strategy<Value = (Option<PaymentMethod>, Option<PaymentMethodType>)> {
    let typed = select(METHODS.to_vec())
        .prop_flat_map(|(method, types)| (Just(Some(method)), prop::option::weighted(0.8, select(types.to_vec()))));
    // A type alone, neither, and one that is not of its method.
    let odd = select(vec![
        (None, Some(PaymentMethodType::Ach)),
        (None, Some(PaymentMethodType::Credit)),
        (None, Some(PaymentMethodType::Paypal)),
        (None, None),
        (Some(PaymentMethod::PayLater), Some(PaymentMethodType::Sofort)),
        (Some(PaymentMethod::Card), Some(PaymentMethodType::Klarna)),
    ]);
    prop_oneof![6 => typed, 1 => odd]
}

const BINS: [&str; 5] = ["424242", "42424242", "42424242424", "41111111", "004242"];
const COUNTRIES: [(&str, &str); 3] = [("DE", "Germany"), ("US", "UnitedStatesOfAmerica"), ("FR", "France")];
const CURRENCIES: [&str; 3] = ["USD", "EUR", "JPY"];

fn country() -> impl Strategy<Value = crate::Country> {
    select(COUNTRIES.map(|(code, _)| code).to_vec()).prop_map(|code| code.parse().unwrap())
}

fn card() -> impl Strategy<Value = KnownCard> {
    let bin = select(BINS.to_vec()).prop_map(|bin| bin.parse().unwrap());
    (
        prop::option::of(bin),
        prop::option::of(select(vec![CardNetwork::Visa, CardNetwork::Mastercard, CardNetwork::Nyce])),
        prop::option::of(select(vec![CardType::Credit, CardType::Debit])),
        prop::option::of(country()),
    )
        .prop_map(|(bin, card_network, card_type, issuing_country)| KnownCard {
            bin,
            card_network,
            card_type,
            issuing_country,
            issuer: None,
        })
}

pub(super) fn facts() -> impl Strategy<Value = PaymentFacts> {
    let metadata = prop::collection::btree_map(select(vec!["tier", "shop"]), select(vec!["gold", "blue", "7"]), 0..3);
    let of_method = (method_and_type(), prop::option::of(card()), select(CURRENCIES.to_vec()), amount());
    let of_mandate = (
        prop::option::of(select(vec![FutureUsage::OnSession, FutureUsage::OffSession])),
        prop::option::of(select(vec![PaymentType::NonMandate, PaymentType::PptMandate])),
        prop::option::of(select(vec![MandateType::SingleUse, MandateType::MultiUse])),
        prop::option::of(select(vec![MandateAcceptanceType::Online, MandateAcceptanceType::Offline])),
        prop::option::of(select(vec![TransactionInitiator::Customer, TransactionInitiator::Merchant])),
    );
    let others = (
        prop::option::of(select(vec![AuthenticationType::ThreeDs, AuthenticationType::NoThreeDs])),
        prop::option::of(select(vec![CaptureMethod::Automatic, CaptureMethod::SequentialAutomatic])),
        prop::option::of(country()),
        prop::option::of(country()),
        prop::option::of(select(vec!["north", "south"])),
        metadata,
    );
    (of_method, of_mandate, others).prop_map(|(of_method, of_mandate, others)| {
        let ((payment_method, payment_method_type), card, currency, amount) = of_method;
        let (setup_future_usage, payment_type, mandate_type, mandate_acceptance_type, transaction_initiator) =
            of_mandate;
        let (authentication_type, capture_method, billing_country, business_country, label, metadata) = others;
        let pairs = metadata.into_iter().map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()));
        PaymentFacts {
            amount: amount.try_into().unwrap(),
            currency: currency.parse().unwrap(),
            payment_method,
            payment_method_type,
            card,
            authentication_type,
            capture_method,
            setup_future_usage,
            payment_type,
            mandate_type,
            mandate_acceptance_type,
            transaction_initiator,
            billing_country,
            business_country,
            business_label: label.map(|label| label.parse().unwrap()),
            metadata: RoutingMetadata::try_from(pairs.collect::<std::collections::BTreeMap<_, _>>()).unwrap(),
        }
    })
}

fn operator() -> impl Strategy<Value = Operator> {
    use strum::VariantArray as _;
    select(Operator::VARIANTS.to_vec())
}

fn equality() -> impl Strategy<Value = Operator> {
    select(vec![Operator::Equal, Operator::NotEqual])
}

/// Words of each key, some of them of no payment that is made here.
fn words_of(key: RoutingKey) -> Vec<&'static str> {
    match key {
        RoutingKey::Currency => vec!["USD", "EUR", "JPY", "KWD"],
        RoutingKey::PaymentMethod => {
            vec!["card", "wallet", "bank_debit", "bank_transfer", "reward", "pay_later", "network_token"]
        }
        RoutingKey::CardType => vec!["credit", "debit"],
        RoutingKey::CardNetwork => vec!["Visa", "Mastercard", "Nyce", "JCB"],
        RoutingKey::Wallet => vec!["paypal", "apple_pay", "skrill"],
        RoutingKey::BankDebit => vec!["ach", "sepa", "bacs"],
        RoutingKey::BankTransfer => vec!["ach", "bacs", "pix"],
        RoutingKey::Reward => vec!["classic_reward", "evoucher"],
        RoutingKey::PayLater => vec!["klarna", "affirm"],
        RoutingKey::BillingCountry | RoutingKey::IssuerCountry | RoutingKey::BusinessCountry => {
            vec!["Germany", "UnitedStatesOfAmerica", "France", "Zimbabwe"]
        }
        RoutingKey::AuthenticationType => vec!["three_ds", "no_three_ds"],
        RoutingKey::CaptureMethod => vec!["automatic", "sequential_automatic", "manual"],
        RoutingKey::SetupFutureUsage => vec!["on_session", "off_session"],
        RoutingKey::PaymentType => vec!["non_mandate", "ppt_mandate", "new_mandate"],
        RoutingKey::MandateType => vec!["single_use", "multi_use"],
        RoutingKey::MandateAcceptanceType => vec!["online", "offline"],
        RoutingKey::TransactionInitiator => vec!["customer", "merchant"],
        _ => vec![],
    }
}

fn by_words() -> impl Strategy<Value = (RoutingKey, Operator, ComparisonValue)> {
    use strum::VariantArray as _;
    let keys = RoutingKey::VARIANTS.iter().copied().filter(|key| !words_of(*key).is_empty()).collect::<Vec<_>>();
    select(keys).prop_flat_map(|key| {
        let words = words_of(key);
        let one = select(words.clone()).prop_map(|word| ComparisonValue::EnumVariant(word.parse().unwrap()));
        let several = prop::collection::vec(select(words), 1..4).prop_map(|words| {
            ComparisonValue::EnumVariantArray(words.iter().map(|word| word.parse().unwrap()).collect())
        });
        (Just(key), equality(), prop_oneof![one, several])
    })
}

fn by_amount() -> impl Strategy<Value = (RoutingKey, Operator, ComparisonValue)> {
    let key = Just(RoutingKey::Amount);
    let each =
        (operator(), -2..1_000_i64).prop_map(|(comparison_type, number)| NumberComparison { comparison_type, number });
    let near = (amount(), -2..3_i64).prop_map(|(amount, by)| (amount + by).max(0));
    let range = (prop::option::of(amount()), amount(), any::<bool>()).prop_map(|(minimum, most, bounded)| {
        let maximum = (bounded || minimum.is_none()).then(|| minimum.unwrap_or(0).max(most));
        ComparisonValue::NumberRange(NumberRange { minimum, maximum })
    });
    prop_oneof![
        (key, operator(), near.prop_map(ComparisonValue::Number)),
        (key, equality(), prop::collection::vec(amount(), 1..4).prop_map(ComparisonValue::NumberArray)),
        (key, equality(), prop::collection::vec(each, 1..4).prop_map(ComparisonValue::NumberComparisonArray)),
        (key, equality(), range),
    ]
}

fn by_text() -> impl Strategy<Value = (RoutingKey, Operator, ComparisonValue)> {
    let digits = prop_oneof![
        (Just(RoutingKey::CardBin), select(vec!["424242", "411111", "004242"])),
        (Just(RoutingKey::ExtendedCardBin), select(vec!["42424242", "41111111", "00424200"])),
        (Just(RoutingKey::CardPrefix), select(vec!["4", "42", "4242424", "42424242424", "0", "5"])),
        (Just(RoutingKey::BusinessLabel), select(vec!["north", "south", "west"])),
    ];
    let text = (digits, operator())
        .prop_map(|((key, text), operator)| (key, operator, ComparisonValue::StrValue(text.parse().unwrap())));
    let pair = (select(vec!["tier", "shop", "none"]), select(vec!["gold", "blue", "7"]), operator()).prop_map(
        |(key, value, operator)| {
            let pair = MetadataPair { key: key.parse().unwrap(), value: value.parse().unwrap() };
            (RoutingKey::Metadata, operator, ComparisonValue::MetadataVariant(pair))
        },
    );
    prop_oneof![text, pair]
}

fn comparison() -> impl Strategy<Value = Comparison> {
    prop_oneof![3 => by_words(), 2 => by_amount(), 2 => by_text()].prop_map(|(lhs, comparison, value)| Comparison {
        lhs,
        comparison,
        value,
        metadata: crate::text::Object::default(),
    })
}

fn statements() -> impl Strategy<Value = Vec<Statement>> {
    let condition = || prop::collection::vec(comparison(), 0..4);
    let leaf = condition().prop_map(|condition| Statement { condition, nested: None });
    let statement = leaf.prop_recursive(3, 12, 3, move |inner| {
        let nested = prop::option::weighted(0.7, prop::collection::vec(inner, 0..3));
        (condition(), nested).prop_map(|(condition, nested)| Statement { condition, nested })
    });
    prop::collection::vec(statement, 0..3)
}

const NAMES: [&str; 6] = ["mca_0", "mca_1", "mca_2", "mca_3", "mca_4", "mca_5"];

fn connector(at: usize) -> &'static str {
    ["stripe", "adyen", "checkout"][at % 3]
}

fn choice() -> impl Strategy<Value = ConnectorChoice> {
    (0..NAMES.len(), prop::bool::weighted(0.1), prop::bool::weighted(0.1)).prop_map(|(at, unnamed, wrong)| {
        ConnectorChoice {
            connector: connector(at + usize::from(wrong)).parse().unwrap(),
            merchant_connector_id: (!unnamed).then(|| NAMES[at].parse().unwrap()),
        }
    })
}

fn splits() -> impl Strategy<Value = Vec<Split>> {
    prop::collection::vec((choice(), 0..60_u8), 1..4).prop_map(|drawn| {
        let mut left = 100;
        let mut splits: Vec<Split> = Vec::new();
        for (connector, share) in drawn {
            let split = share.min(left);
            left -= split;
            splits.push(Split { connector, split });
        }
        splits[0].split += left;
        splits
    })
}

fn selection() -> impl Strategy<Value = Selection> {
    prop_oneof![
        prop::collection::vec(choice(), 1..4).prop_map(Selection::Priority),
        splits().prop_map(Selection::VolumeSplit),
    ]
}

pub(super) fn program() -> impl Strategy<Value = Program> {
    let rules = prop::collection::vec((statements(), selection()), 0..6);
    (selection(), rules).prop_map(|(default_selection, rules)| Program {
        default_selection,
        rules: rules
            .into_iter()
            .map(|(statements, connector_selection)| Rule {
                name: "rule".parse().unwrap(),
                connector_selection,
                statements,
            })
            .collect(),
        metadata: crate::text::Object::default(),
    })
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop_oneof![
        1 => choice().prop_map(Algorithm::Single),
        1 => prop::collection::vec(choice(), 1..4).prop_map(Algorithm::Priority),
        2 => splits().prop_map(Algorithm::VolumeSplit),
        6 => program().prop_map(Algorithm::Advanced),
    ]
}

fn accepted<T: Clone + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Option<Accepted<T>>> {
    let all = values.len();
    let list = prop::sample::subsequence(values, 0..=all);
    (list, 0..4_u8).prop_map(|(list, kind)| match kind {
        0 => None,
        1 => Some(Accepted::AllAccepted),
        2 => Some(Accepted::EnableOnly { list }),
        _ => Some(Accepted::DisableOnly { list }),
    })
}

fn enabled_type(of: PaymentMethodType) -> impl Strategy<Value = MethodTypeEnabled> {
    let networks = prop::sample::subsequence(vec![CardNetwork::Visa, CardNetwork::Nyce, CardNetwork::Jcb], 0..=3);
    let currencies = CURRENCIES.map(|code| code.parse().unwrap()).to_vec();
    let countries = COUNTRIES.map(|(code, _)| code.parse().unwrap()).to_vec();
    (prop::option::of(networks), accepted(currencies), accepted(countries), prop::option::of((amount(), amount())))
        .prop_map(move |(card_networks, accepted_currencies, accepted_countries, bounds)| {
            let bound = |bound: i64| bound.try_into().unwrap();
            MethodTypeEnabled {
                card_networks,
                accepted_currencies,
                accepted_countries,
                minimum_amount: bounds.map(|(one, other)| bound(one.min(other))),
                maximum_amount: bounds.map(|(one, other)| bound(one.max(other))),
                ..MethodTypeEnabled::from(of)
            }
        })
}

fn methods() -> impl Strategy<Value = Option<EnabledMethods>> {
    let of_method = select(METHODS.to_vec()).prop_flat_map(|(payment_method, types)| {
        let some = prop::sample::subsequence(types.to_vec(), 0..=types.len());
        some.prop_flat_map(move |types| {
            let types: Vec<_> = types.into_iter().map(enabled_type).collect();
            types.prop_map(move |payment_method_types| PaymentMethodsEnabled { payment_method, payment_method_types })
        })
    });
    let all = prop::collection::vec(of_method, 0..6).prop_map(|all| Some(EnabledMethods::try_from(all).unwrap()));
    prop_oneof![1 => Just(None), 9 => all]
}

fn account(at: usize) -> impl Strategy<Value = RoutableAccount> {
    let rare = || prop::bool::weighted(0.1);
    (methods(), rare(), rare(), rare(), rare()).prop_map(move |(methods, payouts, unroutable, inactive, disabled)| {
        RoutableAccount {
            account: NAMES[at].parse().unwrap(),
            connector: connector(at).parse().unwrap(),
            connector_type: if payouts { ConnectorType::PayoutProcessor } else { ConnectorType::PaymentProcessor },
            routable: !unroutable,
            status: if inactive { ConnectorStatus::Inactive } else { ConnectorStatus::Active },
            disabled,
            payment_methods_enabled: methods,
        }
    })
}

/// Up to six accounts, so that choices name some that are missing.
fn accounts() -> impl Strategy<Value = Vec<RoutableAccount>> {
    (0..=NAMES.len()).prop_flat_map(|count| (0..count).map(account).collect::<Vec<_>>())
}

fn listed() -> impl Strategy<Value = Vec<ConnectorId>> {
    prop::collection::vec(select(NAMES.to_vec()).prop_map(|id| id.parse().unwrap()), 0..4)
}

/// The contract's description of a decision, step by step.
fn plain_answer(
    algorithm: Option<&Algorithm>,
    accounts: &[RoutableAccount],
    listed: &[ConnectorId],
    bucket: u8,
    facts: &PaymentFacts,
) -> Vec<(ConnectorId, bool)> {
    let mut wanted: Vec<ConnectorChoice> = Vec::new();
    let draw = |splits: &[Split]| {
        let mut sum = 0;
        let drawn = splits.iter().position(|one| {
            sum += one.split;
            bucket < sum
        });
        let mut order: Vec<_> = splits.iter().map(|one| one.connector.clone()).collect();
        let first = order.remove(drawn.unwrap());
        order.insert(0, first);
        order
    };
    let select = |selection: &Selection| match selection {
        Selection::Priority(choices) => choices.clone(),
        Selection::VolumeSplit(splits) => draw(splits),
    };
    match algorithm {
        None => {}
        Some(Algorithm::Single(choice)) => wanted.push(choice.clone()),
        Some(Algorithm::Priority(choices)) => wanted.extend(choices.clone()),
        Some(Algorithm::VolumeSplit(splits)) => wanted = draw(splits),
        Some(Algorithm::Advanced(program)) => {
            let rule = interpret::matched(program, facts).map(|at| &program.rules[at].connector_selection);
            wanted = select(rule.unwrap_or(&program.default_selection));
        }
    }
    let mut answer: Vec<(ConnectorId, bool)> = Vec::new();
    let takes = |id: &ConnectorId| accounts.iter().find(|one| one.account == *id && one.ineligible(facts).is_none());
    for choice in wanted {
        let Some(id) = choice.merchant_connector_id else { continue };
        if takes(&id).is_some_and(|one| one.connector == choice.connector) && !answer.contains(&(id.clone(), false)) {
            answer.push((id, false));
        }
    }
    for id in fallback_order(listed, accounts) {
        if takes(&id).is_some() && !answer.iter().any(|(known, _)| *known == id) {
            answer.push((id, true));
        }
    }
    answer
}

fn version(algorithm: &Algorithm) -> ProgramVersion {
    ProgramVersion { id: "routing_1".parse().unwrap(), version: 3, algorithm: std::sync::Arc::new(algorithm.clone()) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_long_program_answers_like_its_json(
        parts in prop::collection::vec(program(), 30..80),
        payments in prop::collection::vec(facts(), 30),
    ) {
        let mut parts = parts.into_iter();
        let mut program = parts.next().unwrap();
        program.rules.extend(parts.flat_map(|part| part.rules));
        // From every third on, so that the later ones decide, too.
        for third in 0..3 {
            let rules = program.rules.iter().skip(program.rules.len() * third / 3).cloned().collect();
            let rest = Program { rules, ..program.clone() };
            let compiled = Compiled::new(&Algorithm::Advanced(rest.clone())).unwrap();
            for facts in &payments {
                let rule = compiled.choose(facts).rule().map(|rule| rule as usize);
                prop_assert_eq!(rule, interpret::matched(&rest, facts));
            }
        }
    }
}

#[test]
fn more_texts_than_an_index_has_rows_for_are_told_apart() {
    use serde_json::json;

    let selection = json!({"type": "priority", "data": ["stripe"]});
    let rule = |at: usize| {
        let value = json!({"type": "str_value", "value": format!("label_{at}")});
        let comparison = json!({"lhs": "business_label", "comparison": "equal", "value": value, "metadata": {}});
        json!({"name": "rule", "connectorSelection": selection, "statements": [{"condition": [comparison]}]})
    };
    for count in [253, 254, 255, 300] {
        let rules: Vec<_> = (0..count).map(rule).collect();
        let program = json!({"defaultSelection": selection, "rules": rules, "metadata": {}});
        let algorithm = serde_json::from_value(json!({"type": "advanced", "data": program})).unwrap();
        let compiled = Compiled::new(&algorithm).unwrap();
        let chosen = |label: &str| {
            let facts = json!({"amount": 1, "currency": "EUR", "business_label": label});
            compiled.choose(&serde_json::from_value(facts).unwrap()).rule()
        };
        for at in 0..count {
            assert_eq!(chosen(&format!("label_{at}")).map(|rule| rule as usize), Some(at), "of {count}");
        }
        assert_eq!(chosen("another"), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_compiled_program_answers_like_its_json(program in program(), payments in prop::collection::vec(facts(), 8)) {
        let algorithm = std::sync::Arc::new(Algorithm::Advanced(program.clone()));
        for indexed in [false, true] {
            let compiled = Compiled::of(std::sync::Arc::clone(&algorithm), indexed).unwrap();
            for facts in &payments {
                let rule = compiled.choose(facts).rule().map(|rule| rule as usize);
                prop_assert_eq!(rule, interpret::matched(&program, facts));
            }
        }
    }

    #[test]
    fn a_compiled_account_answers_like_its_methods(
        account in account(0),
        payments in prop::collection::vec(facts(), 8),
    ) {
        let compiled = Eligibility::of(&account);
        for facts in payments {
            prop_assert_eq!(compiled.ineligible(&Codes::of(&facts, &Texts::default())), account.ineligible(&facts));
        }
    }

    #[test]
    fn accounts_asked_together_answer_as_each_by_itself(
        kinds in prop::collection::vec(account(0), 1..6),
        // Beyond 512 they are asked one by one.
        count in prop_oneof![1..10_usize, 500..530_usize],
        facts in facts(),
    ) {
        let accounts: Vec<RoutableAccount> = (0..count)
            .map(|at| RoutableAccount { account: format!("mca_{at}").parse().unwrap(), ..kinds[at % kinds.len()].clone() })
            .collect();
        let router = Router::new("pro_1".parse().unwrap(), None, accounts.clone(), &[]).unwrap();
        let payment = "pay_1".parse().unwrap();
        let tried: Vec<ConnectorId> = match decide(&router, DecisionInputs::of(&payment, &facts)) {
            Answer::Candidates(all) => all.iter().map(|one| one.account.clone()).collect(),
            Answer::Declined { .. } => Vec::new(),
        };
        let taking = accounts.into_iter().filter(|one| one.is_fallback() && one.ineligible(&facts).is_none());
        prop_assert_eq!(tried, taking.map(|one| one.account).collect::<Vec<_>>());
    }

    #[test]
    fn a_decision_is_what_the_contract_describes(
        algorithm in prop::option::weighted(0.9, algorithm()),
        accounts in accounts(),
        listed in listed(),
        facts in facts(),
        number in any::<u32>(),
    ) {
        let payment: PaymentId = format!("pay_{number}").parse().unwrap();
        let profile: crate::ProfileId = "pro_1".parse().unwrap();
        let router = Router::new(profile.clone(), algorithm.as_ref().map(version), accounts.clone(), &listed).unwrap();
        let inputs = DecisionInputs::of(&payment, &facts);
        let bucket = bucket(&profile, &"routing_1".parse().unwrap(), 3, &payment);
        let expected = plain_answer(algorithm.as_ref(), &accounts, &listed, bucket, &facts);
        let answer = decide(&router, inputs);
        match &answer {
            Answer::Candidates(all) => {
                let found: Vec<_> =
                    all.iter().map(|one| (one.account.clone(), one.why == Why::Fallback)).collect();
                prop_assert_eq!(found, expected);
            }
            Answer::Declined { reason, entry } => {
                prop_assert_eq!((*reason, entry), (DeclineReason::NoEligibleConnector, &None));
                prop_assert!(expected.is_empty());
            }
        }

        // What it saw is enough to answer again, byte for byte, and read from its JSON, too.
        let record = serde_json::to_string(&router.record(&facts)).unwrap();
        let record: RouterRecord = serde_json::from_str(&record).unwrap();
        let replayed = record.router().unwrap();
        prop_assert_eq!(replayed.record(&facts), record);
        let bytes = |answer: &Answer| serde_json::to_vec(answer).unwrap();
        prop_assert_eq!(bytes(&decide(&replayed, inputs)), bytes(&answer));
        prop_assert_eq!(serde_json::from_slice::<Answer>(&bytes(&answer)).unwrap(), answer.clone());

        // The explanation is of the same decision.
        let explained = explain(&router, inputs);
        prop_assert_eq!(&explained.answer, &answer);
        prop_assert_eq!(explain(&replayed, inputs), explained.clone());
        if let Some(Algorithm::Advanced(program)) = &algorithm {
            let rule = interpret::matched(program, &facts);
            prop_assert_eq!(explained.matched.map(|matched| matched.rule as usize), rule);
            prop_assert_eq!(explained.failed.len(), rule.unwrap_or(program.rules.len()));
        }
        for left_out in explained.left_out {
            let id = left_out.choice.merchant_connector_id;
            let account = accounts.iter().find(|one| Some(&one.account) == id.as_ref());
            let reason = match (&id, account) {
                (None, _) => Some(Ineligible::WithoutAccount),
                (Some(_), None) => Some(Ineligible::Missing),
                (_, Some(one)) if one.connector != left_out.choice.connector => Some(Ineligible::WrongConnector),
                (_, Some(one)) => one.ineligible(&facts),
            };
            prop_assert_eq!(reason, Some(left_out.reason));
        }
    }

    #[test]
    fn a_finding_is_certain(
        program in program(),
        accounts in accounts(),
        payments in prop::collection::vec(facts(), 24),
    ) {
        let algorithm = Algorithm::Advanced(program.clone());
        for lint in algorithm.lints(&accounts) {
            let place = |from: &str| {
                let rest = lint.path.strip_prefix(from)?;
                rest.split(']').next()?.parse::<usize>().ok()
            };
            let rule = place("data.rules[");
            let choices = algorithm.choices();
            let choice = choices.iter().find(|(path, _)| *path == lint.path).map(|(_, choice)| *choice);
            let account = choice.and_then(|choice| {
                accounts.iter().find(|one| Some(&one.account) == choice.merchant_connector_id.as_ref())
            });
            for facts in &payments {
                let holds = rule.is_some_and(|at| interpret::rule_holds(&program.rules[at], facts));
                match lint.kind {
                    LintKind::NeverMatches => prop_assert!(!holds, "{lint:?} {facts:?}"),
                    LintKind::Shadowed => prop_assert_ne!(interpret::matched(&program, facts), rule, "{:?}", lint),
                    LintKind::AccountCannotTake => {
                        prop_assert!(!holds || account.unwrap().ineligible(facts).is_some(), "{lint:?} {facts:?}");
                    }
                    LintKind::AccountDisabled | LintKind::AccountInactive | LintKind::AccountNotRoutable => {
                        prop_assert!(account.unwrap().ineligible(facts).is_some());
                    }
                    LintKind::Contradiction
                    | LintKind::AlwaysMatches
                    | LintKind::OrderedText
                    | LintKind::ChoiceWithoutAccount
                    | LintKind::ChosenTwice => {}
                }
            }
        }
    }

    #[test]
    fn a_program_reads_back_from_its_json(algorithm in algorithm()) {
        let json = serde_json::to_value(&algorithm).unwrap();
        prop_assert_eq!(crate::json::from_value::<Algorithm>(json).unwrap(), algorithm);
    }

    #[test]
    fn bytes_that_were_a_program_are_read_without_a_panic(
        algorithm in algorithm(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..8),
    ) {
        let mut bytes = serde_json::to_vec(&algorithm).unwrap();
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.drain(at..(at + usize::from(byte)).min(bytes.len() - 1))),
                _ => {
                    let again = bytes[at..(at + usize::from(byte)).min(bytes.len())].to_vec();
                    drop(bytes.splice(at..at, again));
                }
            }
        }
        if let Ok(read) = crate::json::from_slice::<Algorithm>(&bytes) {
            let _ = read.lints(&[]);
            prop_assert!(read.check(&[]).is_err(), "a profile without accounts has no program");
        }
    }

    #[test]
    fn any_json_is_read_without_a_panic(value in any_json()) {
        let read = crate::json::from_value::<Algorithm>(value.clone()).ok();
        prop_assert!(read.is_none_or(|algorithm| Compiled::new(&algorithm).is_err() || !algorithm.choices().is_empty()));
        let _ = crate::json::from_value::<PaymentFacts>(value.clone()).map(|facts| facts.check());
        let _ = crate::json::from_value::<RetryPolicy>(value.clone()).map(|policy| policy.check());
        let _ = crate::json::from_value::<Outcome>(value);
    }
}

/// JSON that has the names of programs in it, in places where they may not stand.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        select(vec!["priority", "advanced", "volume_split", "stripe", "mca_1", "amount", "equal", "number", "", "USD"])
            .prop_map(Into::into),
    ];
    let names = select(vec![
        "type",
        "data",
        "value",
        "connector",
        "split",
        "rules",
        "defaultSelection",
        "statements",
        "condition",
        "nested",
        "lhs",
        "comparison",
        "name",
        "connectorSelection",
        "metadata",
        "amount",
        "currency",
        "card",
        "result",
        "code",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::Array),
            prop::collection::btree_map(names.clone(), inner, 0..6).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Value>()
            }),
        ]
    })
}
