//! Stack policies: which resources an update may touch. Asked before anything is changed.

use base::glob::matches_stars;
use cloud::{Cx, Error};
use serde_json::Value as Json;
use shapes::cloudformation::{self as api, Replacement};

use crate::changes::{Changes, Kind, Planned};
use crate::check::invalid;
use crate::kept;
use crate::lookup::require_head;
use crate::source::fetch;

const ACTIONS: [&str; 4] = [
    "Update:Modify",
    "Update:Replace",
    "Update:Delete",
    "Update:*",
];

/// Checks that a policy is one that [`enforce`] understands, whole.
pub fn accept(body: String) -> Result<String, Error> {
    let wrong = |detail: &str| invalid(format!("Error validating stack policy: {detail}"));
    let policy: Json = serde_json::from_str(&body).map_err(|error| wrong(&error.to_string()))?;
    let statements = list(policy.get("Statement")).ok_or_else(|| wrong("Statement is missing"))?;
    for statement in statements {
        let members = statement
            .as_object()
            .ok_or_else(|| wrong("a statement must be an object"))?;
        for name in members.keys() {
            if ![
                "Sid",
                "Effect",
                "Action",
                "NotAction",
                "Principal",
                "Resource",
                "NotResource",
                "Condition",
            ]
            .contains(&name.as_str())
            {
                return Err(wrong(&format!("unknown member {name}")));
            }
        }
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return Err(wrong("Effect must be Allow or Deny"));
        }
        let actions = texts(statement.get("Action").or(statement.get("NotAction")));
        if actions.is_empty() || actions.iter().any(|it| !ACTIONS.contains(it) && *it != "*") {
            return Err(wrong(
                "Action must be of Update:Modify, Update:Replace, Update:Delete, Update:*",
            ));
        }
        if texts(statement.get("Resource").or(statement.get("NotResource"))).is_empty() {
            return Err(wrong("Resource is missing"));
        }
        for (operator, condition) in statement
            .get("Condition")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
        {
            let keys: Vec<&String> = condition
                .as_object()
                .into_iter()
                .flat_map(|it| it.keys())
                .collect();
            if !["StringEquals", "StringLike"].contains(&operator.as_str())
                || keys != ["ResourceType"]
            {
                return Err(wrong(
                    "Condition must be StringEquals or StringLike of ResourceType",
                ));
            }
        }
    }
    Ok(body)
}

/// The policy of a request: its text, or the object that a URL names.
pub async fn given(
    cx: &Cx,
    body: Option<String>,
    url: Option<String>,
) -> Result<Option<String>, Error> {
    let body = match (body, url) {
        (Some(_), Some(_)) => {
            return Err(invalid(
                "You cannot specify both StackPolicyURL and StackPolicyBody.",
            ));
        }
        (None, Some(url)) => Some(fetch(cx, &url).await?),
        (body, None) => body,
    };
    body.map(accept).transpose()
}

/// Refuses an update that the policy denies. Without a policy everything is allowed; with one,
/// everything that it does not allow is denied.
pub fn enforce(policy: Option<&str>, changes: &Changes) -> Result<(), Error> {
    let Some(policy) = policy else {
        return Ok(());
    };
    let policy: Json = serde_json::from_str(policy).map_err(invalid)?;
    let statements = list(policy.get("Statement")).unwrap_or_default();
    for change in &changes.resources {
        for action in actions(change) {
            let is_meant = |effect: &str| {
                statements
                    .iter()
                    .any(|it| it["Effect"] == effect && matches(it, action, change))
            };
            if is_meant("Deny") || !is_meant("Allow") {
                return Err(invalid(format!(
                    "Action denied by stack policy: it does not allow [{action}] for resource [{}]",
                    change.id
                )));
            }
        }
    }
    Ok(())
}

fn actions(change: &Planned) -> &'static [&'static str] {
    match &change.kind {
        Kind::Add => &[],
        Kind::Remove { .. } => &["Update:Delete"],
        Kind::Modify { replacement, .. } => match replacement {
            Replacement::True => &["Update:Replace"],
            Replacement::False => &["Update:Modify"],
            Replacement::Conditional => &["Update:Modify", "Update:Replace"],
        },
    }
}

fn matches(statement: &Json, action: &str, change: &Planned) -> bool {
    let is_action = |it: &str| matches_stars(it, action);
    let resource = format!("LogicalResourceId/{}", change.id);
    let is_resource = |it: &str| matches_stars(it, &resource);
    let named = |yes: &str, no: &str, is: &dyn Fn(&str) -> bool| match statement.get(yes) {
        Some(some) => texts(Some(some)).into_iter().any(is),
        None => !texts(statement.get(no)).into_iter().any(is),
    };
    let conditions = statement.get("Condition").and_then(Json::as_object);
    named("Action", "NotAction", &is_action)
        && named("Resource", "NotResource", &is_resource)
        && (conditions.into_iter().flat_map(|it| it.values())).all(|it| {
            texts(it.get("ResourceType"))
                .into_iter()
                .any(|it| matches_stars(it, &change.resource_type))
        })
}

fn list(value: Option<&Json>) -> Option<Vec<&Json>> {
    match value? {
        Json::Array(items) => Some(items.iter().collect()),
        one @ Json::Object(_) => Some(vec![one]),
        _ => None,
    }
}

fn texts(value: Option<&Json>) -> Vec<&str> {
    match value {
        Some(Json::String(text)) => vec![text],
        Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

pub async fn set_stack_policy(
    cx: Cx,
    input: api::SetStackPolicyInput,
) -> Result<api::SetStackPolicyOutput, Error> {
    let policy = given(&cx, input.stack_policy_body, input.stack_policy_url)
        .await?
        .ok_or_else(|| invalid("Either StackPolicyBody or StackPolicyURL must be specified."))?;
    cx.write(|tx| {
        let mut stack = require_head(&cx, tx, &input.stack_name)?;
        stack.policy = Some(policy);
        kept::save(tx, stack)?;
        Ok(api::SetStackPolicyOutput {})
    })
}

pub async fn get_stack_policy(
    cx: Cx,
    input: api::GetStackPolicyInput,
) -> Result<api::GetStackPolicyOutput, Error> {
    let stack = cx.read(|tx| require_head(&cx, tx, &input.stack_name))?;
    Ok(api::GetStackPolicyOutput {
        stack_policy_body: stack.policy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Changes {
        let planned = |id: &str, kind| Planned {
            id: id.into(),
            resource_type: "AWS::EC2::VPC".into(),
            physical_id: None,
            kind,
        };
        let modify = |replacement| Kind::Modify {
            replacement,
            differences: Vec::new(),
            has_new_tags: false,
            is_automatic: false,
            update_replace_policy: crate::record::Policy::Delete,
        };
        Changes {
            resources: vec![
                planned("New", Kind::Add),
                planned("Same", modify(Replacement::False)),
                planned("Other", modify(Replacement::True)),
            ],
            has_new_outputs: false,
        }
    }

    fn check(statements: &str, denied: Option<&str>) {
        let policy = accept(format!("{{\"Statement\": {statements}}}")).unwrap();
        let found = enforce(Some(&policy), &changes())
            .err()
            .map(|it| it.message);
        assert_eq!(
            found
                .as_deref()
                .map(|it| it.rsplit_once('[').unwrap().1.trim_end_matches(']')),
            denied,
            "{statements}"
        );
    }

    /// A dozen stars held a worker for longer than anybody waits.
    #[test]
    fn a_hostile_policy_takes_no_time() {
        let stars = format!("LogicalResourceId/{}b", "a*".repeat(500));
        let mut changes = changes();
        changes.resources[1].id = "a".repeat(255);
        let policy = format!(
            r#"{{"Statement": {{"Effect": "Allow", "Action": "*", "Resource": "{stars}"}}}}"#
        );
        let policy = accept(policy).unwrap();
        let begun = std::time::Instant::now();
        assert!(enforce(Some(&policy), &changes).is_err());
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn a_policy_denies_what_it_does_not_allow() {
        check(
            r#"[{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}]"#,
            None,
        );
        check(r#"[]"#, Some("Same"));
        check(
            r#"{"Effect": "Allow", "Action": "Update:Modify", "Resource": "LogicalResourceId/S*"}"#,
            Some("Other"),
        );
        check(
            r#"[{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "Update:Replace", "Resource": "*"}]"#,
            Some("Other"),
        );
        check(
            r#"[{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"StringLike": {"ResourceType": ["AWS::ECS::*"]}}}]"#,
            None,
        );
        check(
            r#"[{"Effect": "Allow", "Action": "*", "NotResource": "LogicalResourceId/Same"}]"#,
            Some("Same"),
        );
        assert_eq!(enforce(None, &changes()), Ok(()));
        for wrong in [
            "",
            "{}",
            r#"{"Statement": [{"Effect": "Perhaps"}]}"#,
            r#"{"Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}"#,
        ] {
            assert!(accept(wrong.into()).is_err(), "{wrong}");
        }
    }
}
