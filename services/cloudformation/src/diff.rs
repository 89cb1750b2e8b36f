//! What changed between two sets of properties, and what the change needs.

use cloud::{Property, Update};
use serde_json::Value as Json;
use template::is_known_after_apply;

use crate::forms::is_open;

/// A changed property of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The top-level property.
    pub name: String,
    pub needs_replacement: bool,
    /// The new value is not known before the stack is built.
    pub is_dynamic: bool,
}

/// Compares by top-level property, in the order of their names.
pub fn differences(table: &[Property], before: &Json, after: &Json) -> Vec<Difference> {
    let empty = serde_json::Map::new();
    // One object may stand for a list of one, so that both are brought to the form that their type says.
    let (mut before, mut after) = (before.clone(), after.clone());
    for it in [&mut before, &mut after] {
        let _ = cloud::conform(table, it, &is_open);
    }
    let old = before.as_object().unwrap_or(&empty);
    let new = after.as_object().unwrap_or(&empty);
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    (names.into_iter())
        .filter(|name| !same(old.get(*name), new.get(*name)))
        .map(|name| {
            let (before, after) = (old.get(name), new.get(name));
            Difference {
                name: name.clone(),
                needs_replacement: (table.iter().find(|it| it.name == name))
                    .is_some_and(|property| replaces(property, before, after)),
                is_dynamic: after.is_some_and(is_known_after_apply),
            }
        })
        .collect()
}

/// `80` and `"80"` are the same property: a template may write either.
fn same(before: Option<&Json>, after: Option<&Json>) -> bool {
    match (before, after) {
        (None, None) => true,
        (Some(Json::Array(old)), Some(Json::Array(new))) => {
            old.len() == new.len()
                && old
                    .iter()
                    .zip(new)
                    .all(|(old, new)| same(Some(old), Some(new)))
        }
        (Some(Json::Object(old)), Some(Json::Object(new))) => {
            old.len() == new.len() && old.iter().all(|(key, old)| same(Some(old), new.get(key)))
        }
        (Some(old), Some(new)) => old == new || is_same_scalar(old, new),
        _ => false,
    }
}

/// Whether two texts, numbers or booleans are written alike.
pub fn is_same_scalar(one: &Json, other: &Json) -> bool {
    scalar(one).is_some_and(|one| Some(one) == scalar(other))
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(it) => Some(it.to_string()),
        _ => None,
    }
}

/// A property replaces its resource if it says so itself or if a changed member of it does.
fn replaces(property: &Property, before: Option<&Json>, after: Option<&Json>) -> bool {
    if property.update == Update::Replacement {
        return true;
    }
    match (before, after) {
        (Some(Json::Object(old)), Some(Json::Object(new))) => (property.members.iter()).any(|it| {
            !same(old.get(it.name), new.get(it.name))
                && replaces(it, old.get(it.name), new.get(it.name))
        }),
        (Some(Json::Array(old)), Some(Json::Array(new))) => old
            .iter()
            .zip(new)
            .any(|(old, new)| replaces(property, Some(old), Some(new))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TABLE: &[Property] = &[
        Property::text("Name").replaces(),
        Property::any("Size"),
        Property::any("Net").members(&[Property::text("Subnet").replaces(), Property::any("Open")]),
    ];

    fn check(before: Json, after: Json, expect: &[(&str, bool)]) {
        let found = differences(TABLE, &before, &after);
        let found: Vec<(&str, bool)> = found
            .iter()
            .map(|it| (it.name.as_str(), it.needs_replacement))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn only_what_changed_counts() {
        check(json!({"Name": "a"}), json!({"Name": "a"}), &[]);
        check(json!({"Size": 80}), json!({"Size": "80"}), &[]);
        check(
            json!({"Size": [{"P": 1}]}),
            json!({"Size": [{"P": "1"}]}),
            &[],
        );
        check(
            json!({"Name": "a", "Size": 1}),
            json!({"Name": "b"}),
            &[("Name", true), ("Size", false)],
        );
        check(json!({}), json!({"Size": true}), &[("Size", false)]);
        check(
            json!({"Net": {"Open": 1, "Subnet": "s"}}),
            json!({"Net": {"Open": 2, "Subnet": "s"}}),
            &[("Net", false)],
        );
        check(
            json!({"Net": {"Open": 1, "Subnet": "s"}}),
            json!({"Net": {"Open": 1, "Subnet": "t"}}),
            &[("Net", true)],
        );
        check(
            json!({"Net": [{"Subnet": "s"}]}),
            json!({"Net": [{"Subnet": "t"}]}),
            &[("Net", true)],
        );
        check(json!({"Odd": 1}), json!({"Odd": 2}), &[("Odd", false)]);
    }

    /// Nobody knows of what form it will be, and what stands behind it is brought to its own all the same.
    #[test]
    fn a_reference_hides_no_form() {
        const TABLE: &[Property] = &[Property::number("Port"), Property::objects("Rules")];
        let with = |rules: Json| json!({"Port": "{{resolve:ssm:port}}", "Rules": rules});
        let (one, list) = (with(json!({"A": 1})), with(json!([{"A": 1}])));
        assert_eq!(differences(TABLE, &one, &list).len(), 0);
    }
}
