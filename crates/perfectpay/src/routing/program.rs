//! Routing programs as JSON says them: what a merchant writes, and what is kept of it.
//!
//! These are the contract's shapes and nothing more: reading one checks its form, compiling it checks its meaning.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::key::RoutingKey;
use super::tagged::{Content, Tagged, tagged};
use crate::connector::ConnectorName;
use crate::id::ConnectorId;
use crate::text::{Name, Object, Text};
use crate::words::words;

/// The most rules of a program.
pub const MAX_RULES: usize = 1_000;
/// The most statements beside each other: of a rule, or within another statement.
pub const MAX_STATEMENTS: usize = 64;
/// The most comparisons of one statement.
pub const MAX_COMPARISONS: usize = 64;
/// The most comparisons of a whole program; a statement without any counts as one.
pub const MAX_PROGRAM: usize = 10_000;
/// How many statements may be within each other, the outermost included.
pub const MAX_NESTING: usize = 8;
/// The most values that one comparison lists.
pub const MAX_VALUES: usize = 256;
/// The most connector accounts that one selection lists.
pub const MAX_CHOICES: usize = 100;
/// The most different keys of metadata that a program looks at.
pub const MAX_METADATA_KEYS: usize = 32;

words! { "snake_case"
    /// The kinds of [`Algorithm`].
    RoutingKind {
        /// One connector account.
        Single,
        /// Connector accounts in a fixed order.
        Priority,
        /// Connector accounts by shares.
        VolumeSplit,
        /// Rules.
        Advanced,
    }
}

/// How a profile's payments are routed. In JSON `{"type": …, "data": …}`, the members in either order.
///
/// ```
/// use perfectpay::{Algorithm, RoutingKind, json};
///
/// let algorithm: Algorithm = json::from_slice(br#"{"type": "priority", "data": [
///     {"connector": "stripe", "merchant_connector_id": "mca_1"},
///     {"connector": "adyen", "merchant_connector_id": "mca_2"}]}"#)?;
/// assert_eq!(algorithm.kind(), RoutingKind::Priority);
///
/// let error = json::from_slice::<Algorithm>(br#"{"type": "priority", "data": [{"conector": "stripe"}]}"#).unwrap_err();
/// assert_eq!(error.to_string(), "`data[0].conector`: is not a known field");
/// # Ok::<(), perfectpay::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Algorithm {
    /// This account.
    Single(ConnectorChoice),
    /// These accounts, in this order.
    Priority(Vec<ConnectorChoice>),
    /// These accounts by shares: one is drawn to be the first, the others keep their order behind it.
    VolumeSplit(Vec<Split>),
    /// The first rule that holds.
    Advanced(Program),
}

impl Algorithm {
    /// Its kind.
    pub fn kind(&self) -> RoutingKind {
        match self {
            Self::Single(_) => RoutingKind::Single,
            Self::Priority(_) => RoutingKind::Priority,
            Self::VolumeSplit(_) => RoutingKind::VolumeSplit,
            Self::Advanced(_) => RoutingKind::Advanced,
        }
    }

    /// Every choice in it with its path in the JSON, from top to bottom: of a program the default selection's first.
    pub fn choices(&self) -> Vec<(String, &ConnectorChoice)> {
        fn listed<'a>(path: &str, choices: &'a [ConnectorChoice]) -> Vec<(String, &'a ConnectorChoice)> {
            choices.iter().enumerate().map(|(at, choice)| (format!("{path}[{at}]"), choice)).collect()
        }
        fn split<'a>(path: &str, splits: &'a [Split]) -> Vec<(String, &'a ConnectorChoice)> {
            let one = |(at, split): (usize, &'a Split)| (format!("{path}[{at}].connector"), &split.connector);
            splits.iter().enumerate().map(one).collect()
        }
        fn selected<'a>(path: &str, selection: &'a Selection) -> Vec<(String, &'a ConnectorChoice)> {
            match selection {
                Selection::Priority(choices) => listed(path, choices),
                Selection::VolumeSplit(splits) => split(path, splits),
            }
        }
        match self {
            Self::Single(choice) => vec![("data".to_owned(), choice)],
            Self::Priority(choices) => listed("data", choices),
            Self::VolumeSplit(splits) => split("data", splits),
            Self::Advanced(program) => {
                let mut all = selected("data.defaultSelection.data", &program.default_selection);
                for (at, rule) in program.rules.iter().enumerate() {
                    all.extend(selected(
                        &format!("data.rules[{at}].connectorSelection.data"),
                        &rule.connector_selection,
                    ));
                }
                all
            }
        }
    }

    /// Whether it names this account.
    pub fn names(&self, account: &ConnectorId) -> bool {
        self.choices().iter().any(|(_, choice)| choice.merchant_connector_id.as_ref() == Some(account))
    }
}

impl Tagged for Algorithm {
    type Kind = RoutingKind;
    const EXPECTED: &'static str = "an object with a `type` and its `data`";
    const MEMBERS: &'static [&'static str; 2] = &["type", "data"];

    fn read<'de, A: MapAccess<'de>>(kind: RoutingKind, content: Content<'_, A>) -> Result<Self, A::Error> {
        Ok(match kind {
            RoutingKind::Single => Self::Single(content.read()?),
            RoutingKind::Priority => Self::Priority(content.read()?),
            RoutingKind::VolumeSplit => Self::VolumeSplit(content.read()?),
            RoutingKind::Advanced => Self::Advanced(content.read()?),
        })
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer)
    }
}

/// A connector account, as a program names it. In JSON an object, or the connector's name alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ConnectorChoice {
    /// The connector's name.
    pub connector: ConnectorName,
    /// The account. A choice without one is accepted, as it is published, and never becomes a candidate.
    pub merchant_connector_id: Option<ConnectorId>,
}

impl<'de> Deserialize<'de> for ConnectorChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Members {
            connector: ConnectorName,
            merchant_connector_id: Option<ConnectorId>,
        }

        struct TextOrObject;

        impl<'de> Visitor<'de> for TextOrObject {
            type Value = ConnectorChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a connector's name or an object with one")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ConnectorChoice, E> {
                let connector = ConnectorName::deserialize(StrDeserializer::new(text))?;
                Ok(ConnectorChoice { connector, merchant_connector_id: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ConnectorChoice, A::Error> {
                let Members { connector, merchant_connector_id } =
                    Members::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ConnectorChoice { connector, merchant_connector_id })
            }
        }

        deserializer.deserialize_any(TextOrObject)
    }
}

/// A connector account with its share of the payments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The account.
    pub connector: ConnectorChoice,
    /// Its share in percent, 0 to 100; those of a list add up to 100.
    pub split: u8,
}

/// Which accounts a rule selects. In JSON `{"type": "priority" | "volume_split", "data": […]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Selection {
    /// These, in this order.
    Priority(Vec<ConnectorChoice>),
    /// These by shares: one is drawn to be the first, the others keep their order behind it.
    VolumeSplit(Vec<Split>),
}

words! { "snake_case"
    /// The kinds of [`Selection`].
    SelectionKind {
        /// In a fixed order.
        Priority,
        /// By shares.
        VolumeSplit,
    }
}

impl Tagged for Selection {
    type Kind = SelectionKind;
    const EXPECTED: &'static str = "an object with a `type` and its `data`";
    const MEMBERS: &'static [&'static str; 2] = &["type", "data"];

    fn read<'de, A: MapAccess<'de>>(kind: SelectionKind, content: Content<'_, A>) -> Result<Self, A::Error> {
        Ok(match kind {
            SelectionKind::Priority => Self::Priority(content.read()?),
            SelectionKind::VolumeSplit => Self::VolumeSplit(content.read()?),
        })
    }
}

impl<'de> Deserialize<'de> for Selection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer)
    }
}

/// Rules, looked at from top to bottom: the first that holds selects, and the default selection where none does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Program {
    /// What is selected where no rule holds.
    pub default_selection: Selection,
    /// The rules, at most [`MAX_RULES`].
    pub rules: Vec<Rule>,
    /// Kept and not read; empty unless stated.
    #[serde(default)]
    pub metadata: Object,
}

/// A rule holds where any of its statements does; without statements, never.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// What people call it.
    pub name: Name,
    /// What it selects. Read as `routingOutput`, too.
    #[serde(alias = "routingOutput")]
    pub connector_selection: Selection,
    /// At most [`MAX_STATEMENTS`].
    pub statements: Vec<Statement>,
}

/// A statement holds where all of its comparisons do, and with nested statements any of them, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// At most [`MAX_COMPARISONS`]; without any they hold.
    pub condition: Vec<Comparison>,
    /// At most [`MAX_STATEMENTS`]; absent or null restricts nothing, an empty list never holds.
    #[serde(default)]
    pub nested: Option<Vec<Statement>>,
}

/// What is known of the payment under a key, against a value.
///
/// Where nothing is known under the key, only `not_equal` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The key.
    pub lhs: RoutingKey,
    /// How the two are compared.
    pub comparison: Operator,
    /// The value.
    pub value: ComparisonValue,
    /// Kept and not read; empty unless stated.
    #[serde(default)]
    pub metadata: Object,
}

words! { "snake_case"
    /// How a key and a value are compared. Those that order are for numbers; of a text they mean the same as `equal`, as
    /// it is published.
    Operator {
        /// Is the value, or one of the values, or in the range.
        Equal,
        /// Is not, or is none of them, or outside the range.
        NotEqual,
        /// Is less.
        LessThan,
        /// Is at most.
        LessThanEqual,
        /// Is greater.
        GreaterThan,
        /// Is at least.
        GreaterThanEqual,
    }
}

/// What a key is compared with. In JSON `{"type": …, "value": …}`.
///
/// All are published but `number_range`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum ComparisonValue {
    /// A number, 0 or more.
    Number(i64),
    /// Numbers of which one is meant.
    NumberArray(Vec<i64>),
    /// Comparisons with numbers; `equal` where any of them holds, `not_equal` where none does.
    NumberComparisonArray(Vec<NumberComparison>),
    /// The numbers between two bounds.
    NumberRange(NumberRange),
    /// A word of the key.
    EnumVariant(Text<64>),
    /// Words of the key of which one is meant.
    EnumVariantArray(Vec<Text<64>>),
    /// A text, compared exactly.
    StrValue(Text<512>),
    /// A pair of the payment's routing metadata.
    MetadataVariant(MetadataPair),
}

impl ComparisonValue {
    /// How many values it lists; 1 where it is no list.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::NumberArray(all) => all.len(),
            Self::NumberComparisonArray(all) => all.len(),
            Self::EnumVariantArray(all) => all.len(),
            Self::Number(_)
            | Self::NumberRange(_)
            | Self::EnumVariant(_)
            | Self::StrValue(_)
            | Self::MetadataVariant(_) => 1,
        }
    }
}

words! { "snake_case"
    /// The kinds of [`ComparisonValue`].
    ValueKind {
        /// A number.
        Number,
        /// Numbers.
        NumberArray,
        /// Comparisons with numbers.
        NumberComparisonArray,
        /// The numbers between two bounds.
        NumberRange,
        /// A word.
        EnumVariant,
        /// Words.
        EnumVariantArray,
        /// A text.
        StrValue,
        /// A pair of metadata.
        MetadataVariant,
    }
}

impl ComparisonValue {
    /// Its kind.
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::Number(_) => ValueKind::Number,
            Self::NumberArray(_) => ValueKind::NumberArray,
            Self::NumberComparisonArray(_) => ValueKind::NumberComparisonArray,
            Self::NumberRange(_) => ValueKind::NumberRange,
            Self::EnumVariant(_) => ValueKind::EnumVariant,
            Self::EnumVariantArray(_) => ValueKind::EnumVariantArray,
            Self::StrValue(_) => ValueKind::StrValue,
            Self::MetadataVariant(_) => ValueKind::MetadataVariant,
        }
    }
}

impl Tagged for ComparisonValue {
    type Kind = ValueKind;
    const EXPECTED: &'static str = "an object with a `type` and its `value`";
    const MEMBERS: &'static [&'static str; 2] = &["type", "value"];

    fn read<'de, A: MapAccess<'de>>(kind: ValueKind, content: Content<'_, A>) -> Result<Self, A::Error> {
        Ok(match kind {
            ValueKind::Number => Self::Number(content.read()?),
            ValueKind::NumberArray => Self::NumberArray(content.read()?),
            ValueKind::NumberComparisonArray => Self::NumberComparisonArray(content.read()?),
            ValueKind::NumberRange => Self::NumberRange(content.read()?),
            ValueKind::EnumVariant => Self::EnumVariant(content.read()?),
            ValueKind::EnumVariantArray => Self::EnumVariantArray(content.read()?),
            ValueKind::StrValue => Self::StrValue(content.read()?),
            ValueKind::MetadataVariant => Self::MetadataVariant(content.read()?),
        })
    }
}

impl<'de> Deserialize<'de> for ComparisonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer)
    }
}

/// A comparison with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NumberComparison {
    /// How.
    pub comparison_type: Operator,
    /// With what.
    pub number: i64,
}

/// The numbers from a minimum to a maximum, both included; at least one of them is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NumberRange {
    /// The least; no bound, if absent.
    pub minimum: Option<i64>,
    /// The greatest; no bound, if absent.
    pub maximum: Option<i64>,
}

/// A key and a value of the payment's routing metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MetadataPair {
    /// The key.
    pub key: Text<64>,
    /// The value, compared exactly.
    pub value: Text<512>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Error;
    use crate::words::assert_published;

    fn refused(body: &str) -> (String, String) {
        match crate::json::from_slice::<Algorithm>(body.as_bytes()) {
            Err(Error::Invalid(fault)) => (fault.path().to_owned(), fault.code().to_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_words_are_the_published_ones() {
        assert_published::<RoutingKind>("single priority volume_split advanced");
        assert_published::<Operator>("equal not_equal less_than less_than_equal greater_than greater_than_equal");
    }

    #[test]
    fn every_published_form_reads_back_as_it_was() {
        let choice = json!({"connector": "stripe", "merchant_connector_id": "mca_1"});
        let comparison = |lhs: &str, comparison: &str, value: serde_json::Value| json!({"lhs": lhs, "comparison": comparison, "value": value, "metadata": {"note": 1}});
        let nested = json!({"condition": [], "nested": null});
        let condition = [
            comparison("amount", "less_than", json!({"type": "number", "value": 5})),
            comparison("amount", "not_equal", json!({"type": "number_array", "value": [5, 6]})),
            comparison(
                "amount",
                "equal",
                json!({"type": "number_comparison_array", "value": [{"comparisonType": "less_than", "number": 5}]}),
            ),
            comparison("amount", "equal", json!({"type": "number_range", "value": {"minimum": 5, "maximum": null}})),
            comparison("wallet", "equal", json!({"type": "enum_variant", "value": "paypal"})),
            comparison("currency", "equal", json!({"type": "enum_variant_array", "value": ["USD", "EUR"]})),
            comparison("business_label", "equal", json!({"type": "str_value", "value": "shop"})),
            comparison(
                "metadata",
                "equal",
                json!({"type": "metadata_variant", "value": {"key": "tier", "value": "gold"}}),
            ),
        ];
        let program = json!({
            "defaultSelection": {"type": "volume_split", "data": [{"connector": choice, "split": 100}]},
            "rules": [{
                "name": "rule",
                "connectorSelection": {"type": "priority", "data": [choice]},
                "statements": [{"condition": condition, "nested": [nested]}],
            }],
            "metadata": {"a": {}},
        });
        for algorithm in [
            json!({"type": "single", "data": choice}),
            json!({"type": "priority", "data": [choice, choice]}),
            json!({"type": "volume_split", "data": [{"connector": choice, "split": 60}]}),
            json!({"type": "advanced", "data": program}),
        ] {
            let read: Algorithm = crate::json::from_slice(algorithm.to_string().as_bytes()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), algorithm);
        }
    }

    #[test]
    fn what_may_be_left_out_or_said_otherwise_reads_as_the_full_form() {
        let short = r#"{"type": "advanced", "data": {"rules": [{"name": "r", "statements": [{"condition": [
            {"comparison": "equal", "value": {"value": "DE", "type": "str_value"}, "lhs": "country"}]}],
            "routingOutput": {"type": "priority", "data": ["stripe"]}}],
            "defaultSelection": {"data": ["adyen"], "type": "priority"}}}"#;
        let read: Algorithm = crate::json::from_slice(short.as_bytes()).unwrap();
        let named = |name: &str| json!({"connector": name, "merchant_connector_id": null});
        let full = json!({"type": "advanced", "data": {
            "defaultSelection": {"type": "priority", "data": [named("adyen")]},
            "rules": [{"name": "r", "connectorSelection": {"type": "priority", "data": [named("stripe")]},
                "statements": [{"condition": [{"lhs": "business_country", "comparison": "equal",
                    "value": {"type": "str_value", "value": "DE"}, "metadata": {}}], "nested": null}]}],
            "metadata": {},
        }});
        assert_eq!(serde_json::to_value(&read).unwrap(), full);
        let paths: Vec<String> = read.choices().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["data.defaultSelection.data[0]", "data.rules[0].connectorSelection.data[0]"]);
    }

    #[test]
    fn a_fault_is_named_by_its_path_in_whichever_order_the_members_stand() {
        let rule = |comparison: &str| {
            let selection = r#"{"type": "priority", "data": ["stripe"]}"#;
            format!(
                r#"{{"defaultSelection": {selection}, "rules": [{{"name": "r", "connectorSelection": {selection},
                "statements": [{{"condition": [{comparison}]}}]}}]}}"#
            )
        };
        let at = "data.rules[0].statements[0].condition[0]";
        for (data, path, code) in [
            (r#"{"connector": "stripe", "connector": "adyen"}"#.to_owned(), "", ""),
            (
                rule(r#"{"lhs": "colour", "comparison": "equal", "value": {"type": "number", "value": 1}}"#),
                "lhs",
                "routing.unknown_key",
            ),
            (
                rule(r#"{"lhs": "issuer_name", "comparison": "equal", "value": {"type": "number", "value": 1}}"#),
                "lhs",
                "routing.forbidden_key",
            ),
            (
                rule(r#"{"lhs": "amount", "comparison": "like", "value": {"type": "number", "value": 1}}"#),
                "comparison",
                "json.unknown_variant",
            ),
            (
                rule(r#"{"lhs": "amount", "comparison": "equal", "value": {"type": "global_ref", "value": "x"}}"#),
                "value.type",
                "json.unknown_variant",
            ),
            (
                rule(r#"{"lhs": "amount", "comparison": "equal", "value": {"type": "number", "value": "1"}}"#),
                "value.value",
                "json.wrong_type",
            ),
            (
                rule(r#"{"lhs": "amount", "comparison": "equal", "value": {"value": "1", "type": "number"}}"#),
                "value.value",
                "json.wrong_type",
            ),
            (
                rule(r#"{"lhs": "amount", "comparison": "equal", "value": {"type": "number"}}"#),
                "value.value",
                "json.missing_field",
            ),
            (
                rule(r#"{"lhs": "amount", "comparison": "equal", "value": {"value": 1}}"#),
                "value.type",
                "json.missing_field",
            ),
            (
                rule(
                    r#"{"lhs": "amount", "comparison": "equal", "value": {"type": "number", "value": 1, "type": "number"}}"#,
                ),
                "value.type",
                "json.duplicate_field",
            ),
            (
                rule(r#"{"lhs": "amount", "comparison": "equal", "value": {"value": 1, "value": 1}}"#),
                "value.value",
                "json.duplicate_field",
            ),
            (
                rule(r#"{"lhs": "amount", "comparison": "equal", "value": {"type": "number", "worth": 1}}"#),
                "value.worth",
                "json.unknown_field",
            ),
            (rule(r#"{"lhs": "amount", "comparison": "equal"}"#), "value", "json.missing_field"),
        ] {
            if path.is_empty() {
                for body in [
                    format!(r#"{{"type": "single", "data": {data}}}"#),
                    format!(r#"{{"data": {data}, "type": "single"}}"#),
                ] {
                    assert_eq!(
                        refused(&body),
                        ("data.connector".to_owned(), "json.duplicate_field".to_owned()),
                        "{body}"
                    );
                }
                continue;
            }
            for body in [
                format!(r#"{{"type": "advanced", "data": {data}}}"#),
                format!(r#"{{"data": {data}, "type": "advanced"}}"#),
            ] {
                assert_eq!(refused(&body), (format!("{at}.{path}"), code.to_owned()), "{body}");
            }
        }
        assert_eq!(refused(r#"{"type": "dynamic", "data": {}}"#), ("type".into(), "json.unknown_variant".into()));
        assert_eq!(refused(r#"["single", "stripe"]"#), (String::new(), "json.wrong_type".into()));
        assert_eq!(
            refused(r#"{"type": "single", "data": "Stripe"}"#),
            ("data".into(), "connector.malformed_name".into())
        );
    }

    #[test]
    fn json_that_nests_too_deeply_is_refused_and_not_followed() {
        let mut statement = r#"{"condition": []}"#.to_owned();
        for _ in 0..200 {
            statement = format!(r#"{{"condition": [], "nested": [{statement}]}}"#);
        }
        let selection = r#"{"type": "priority", "data": ["stripe"]}"#;
        let program = format!(
            r#"{{"defaultSelection": {selection}, "rules": [{{"name": "r", "connectorSelection": {selection},
            "statements": [{statement}]}}]}}"#
        );
        for body in [
            format!(r#"{{"type": "advanced", "data": {program}}}"#),
            format!(r#"{{"data": {program}, "type": "advanced"}}"#),
        ] {
            assert_eq!(refused(&body).1, "json.too_deep");
        }
    }
}
