//! What a program means, read from its JSON without any preparation: the definition that compiled programs must answer
//! like, and what explanations are made of.

use super::codes::{funding, type_word};
use super::country;
use super::facts::PaymentFacts;
use super::key::RoutingKey;
use super::program::{Comparison, ComparisonValue, Operator, Program, Rule, Statement};

/// The first rule that holds, by its place.
pub fn matched(program: &Program, facts: &PaymentFacts) -> Option<usize> {
    program.rules.iter().position(|rule| rule_holds(rule, facts))
}

/// Whether any of its statements holds.
pub fn rule_holds(rule: &Rule, facts: &PaymentFacts) -> bool {
    rule.statements.iter().any(|statement| statement_holds(statement, facts))
}

/// Whether all of its comparisons hold and, where statements are nested, any of them.
pub fn statement_holds(statement: &Statement, facts: &PaymentFacts) -> bool {
    statement.condition.iter().all(|comparison| comparison_holds(comparison, facts))
        && statement.nested.as_ref().is_none_or(|nested| nested.iter().any(|inner| statement_holds(inner, facts)))
}

/// Whether it holds. Of what is not known, only `not_equal` does.
pub fn comparison_holds(comparison: &Comparison, facts: &PaymentFacts) -> bool {
    if comparison.lhs == RoutingKey::Amount {
        return number_holds(facts.amount.get(), comparison.comparison, &comparison.value);
    }
    let is = is_value(comparison, facts);
    match comparison.comparison {
        Operator::NotEqual => !is,
        _ => is,
    }
}

fn number_holds(amount: i64, operator: Operator, value: &ComparisonValue) -> bool {
    let is = match value {
        ComparisonValue::Number(number) => return ordered(amount, operator, *number),
        ComparisonValue::NumberArray(numbers) => numbers.contains(&amount),
        ComparisonValue::NumberComparisonArray(all) => {
            all.iter().any(|one| ordered(amount, one.comparison_type, one.number))
        }
        ComparisonValue::NumberRange(range) => {
            range.minimum.is_none_or(|least| amount >= least) && range.maximum.is_none_or(|most| amount <= most)
        }
        _ => return false,
    };
    is != (operator == Operator::NotEqual)
}

fn ordered(amount: i64, operator: Operator, number: i64) -> bool {
    match operator {
        Operator::Equal => amount == number,
        Operator::NotEqual => amount != number,
        Operator::LessThan => amount < number,
        Operator::LessThanEqual => amount <= number,
        Operator::GreaterThan => amount > number,
        Operator::GreaterThanEqual => amount >= number,
    }
}

/// Whether the value is known under the key.
fn is_value(comparison: &Comparison, facts: &PaymentFacts) -> bool {
    match (&comparison.value, comparison.lhs) {
        (ComparisonValue::EnumVariant(word), key) => known_word(key, facts) == Some(word.as_str()),
        (ComparisonValue::EnumVariantArray(words), key) => {
            known_word(key, facts).is_some_and(|known| words.iter().any(|word| word.as_str() == known))
        }
        (ComparisonValue::StrValue(text), RoutingKey::BusinessLabel) => {
            facts.business_label.as_ref().is_some_and(|label| label.as_str() == text.as_str())
        }
        (
            ComparisonValue::StrValue(text),
            RoutingKey::CardBin | RoutingKey::ExtendedCardBin | RoutingKey::CardPrefix,
        ) => {
            let bin = facts.card.as_ref().and_then(|card| card.bin);
            bin.and_then(|bin| bin.begins_with(text)).unwrap_or(false)
        }
        (ComparisonValue::MetadataVariant(pair), RoutingKey::Metadata) => {
            facts.metadata.get(&pair.key).is_some_and(|value| *value == pair.value)
        }
        _ => false,
    }
}

/// The word of a rule for what is known of the payment under the key.
fn known_word(key: RoutingKey, facts: &PaymentFacts) -> Option<&'static str> {
    let card = facts.card.as_ref();
    match key {
        RoutingKey::Currency => Some(facts.currency.code()),
        RoutingKey::PaymentMethod => facts.method().map(Into::into),
        RoutingKey::CardType => funding(facts).map(|funding| match funding {
            crate::profile::CardType::Credit => "credit",
            crate::profile::CardType::Debit => "debit",
        }),
        RoutingKey::CardNetwork => card.and_then(|card| card.card_network).map(Into::into),
        RoutingKey::AuthenticationType => facts.authentication_type.map(Into::into),
        RoutingKey::CaptureMethod => facts.capture_method.map(Into::into),
        RoutingKey::BillingCountry => facts.billing_country.map(country::name),
        RoutingKey::IssuerCountry => card.and_then(|card| card.issuing_country).map(country::name),
        RoutingKey::BusinessCountry => facts.business_country.map(country::name),
        RoutingKey::SetupFutureUsage => facts.setup_future_usage.map(Into::into),
        RoutingKey::PaymentType => facts.payment_type.map(Into::into),
        RoutingKey::MandateType => facts.mandate_type.map(Into::into),
        RoutingKey::MandateAcceptanceType => facts.mandate_acceptance_type.map(Into::into),
        RoutingKey::TransactionInitiator => facts.transaction_initiator.map(Into::into),
        types => {
            let method = types.types_of()?;
            facts.method_type().filter(|_| facts.method() == Some(method)).and_then(|known| type_word(known, method))
        }
    }
}
