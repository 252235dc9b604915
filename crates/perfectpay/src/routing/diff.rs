//! What differs between two documents of JSON, place by place.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One place that differs: a value that came, went or changed. A list is compared place by place, so that an item put in
/// front of others changes each of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Difference {
    /// Where, as faults name places: `algorithm.data.rules[0].name`.
    pub path: String,
    /// What was there; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Every place in which the two differ, as deep as they have the same shape.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), Some(before), Some(after), &mut found);
    found
}

fn compare(path: String, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let new = after.keys().filter(|name| !before.contains_key(*name));
            for name in before.keys().chain(new) {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(inner, before.get(name), after.get(name), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for at in 0..before.len().max(after.len()) {
                compare(format!("{path}[{at}]"), before.get(at), after.get(at), found);
            }
        }
        (before, after) if before == after => {}
        (before, after) => found.push(Difference { path, before: before.cloned(), after: after.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_that_differs_is_named_with_both_values() {
        let before = json!({"type": "advanced", "data": {"rules": [{"name": "a"}, {"name": "b"}], "old": 1}});
        let after = json!({"type": "advanced", "data": {"rules": [{"name": "a"}, {"name": "c"}, null], "new": [2]}});
        let told: Vec<_> = differences(&before, &after).into_iter().map(|d| (d.path, d.before, d.after)).collect();
        let expected = [
            ("data.old".to_owned(), Some(json!(1)), None),
            ("data.rules[1].name".to_owned(), Some(json!("b")), Some(json!("c"))),
            ("data.rules[2]".to_owned(), None, Some(json!(null))),
            ("data.new".to_owned(), None, Some(json!([2]))),
        ];
        assert_eq!(told, expected);
        assert_eq!(differences(&before, &before), []);
        let turned = differences(&json!({"a": [1]}), &json!({"a": {"0": 1}}));
        assert_eq!(turned, [Difference { path: "a".into(), before: Some(json!([1])), after: Some(json!({"0": 1})) }]);
    }
}
