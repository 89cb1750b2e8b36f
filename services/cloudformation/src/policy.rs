//! Stack policies: which resources an update may touch. Asked of each before anything is done to it; what may
//! not be done fails the update.

use base::glob::matches_stars;
use cloud::{Cx, Error};
use serde_json::Value as Json;
use shapes::cloudformation as api;

use crate::check::invalid;
use crate::kept;
use crate::lookup::require_head;
use crate::record::{Phase, Stack};
use crate::source::fetch;

const ACTIONS: [&str; 4] = [
    "Update:Modify",
    "Update:Replace",
    "Update:Delete",
    "Update:*",
];

/// What AWS says of whatever is no policy.
const INVALID: &str = "Error validating stack policy: Invalid stack policy";

/// Checks that a policy is one that [`denied`] understands, whole. One without statements allows nothing.
pub fn accept(body: String) -> Result<String, Error> {
    let wrong = || invalid(INVALID);
    let policy: Json = serde_json::from_str(&body).map_err(|_| wrong())?;
    let members = policy.as_object().ok_or_else(wrong)?;
    if members
        .keys()
        .any(|it| !["Statement", "Version", "Id"].contains(&it.as_str()))
    {
        return Err(wrong());
    }
    let statements = match policy.get("Statement") {
        None => Vec::new(),
        some => list(some).ok_or_else(wrong)?,
    };
    match statements.into_iter().all(is_statement) {
        true => Ok(body),
        false => Err(wrong()),
    }
}

fn is_statement(statement: &Json) -> bool {
    const MEMBERS: [&str; 8] = [
        "Sid",
        "Effect",
        "Action",
        "NotAction",
        "Principal",
        "Resource",
        "NotResource",
        "Condition",
    ];
    let Some(members) = statement.as_object() else {
        return false;
    };
    let actions = texts(statement.get("Action").or(statement.get("NotAction")));
    let resources = texts(statement.get("Resource").or(statement.get("NotResource")));
    let conditions = match statement.get("Condition") {
        None => true,
        Some(condition) => (condition.as_object().into_iter().flatten()).all(|(operator, it)| {
            let keys: Vec<&String> = it
                .as_object()
                .into_iter()
                .flat_map(|it| it.keys())
                .collect();
            ["StringEquals", "StringLike"].contains(&operator.as_str()) && keys == ["ResourceType"]
        }),
    };
    members.keys().all(|it| MEMBERS.contains(&it.as_str()))
        && matches!(statement["Effect"].as_str(), Some("Allow" | "Deny"))
        && !actions.is_empty()
        && actions.iter().all(|it| ACTIONS.contains(it) || *it == "*")
        // Nobody else is asked.
        && statement.get("Principal").is_none_or(|it| it == "*")
        && !resources.is_empty()
        && conditions
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

/// The policy that holds for what is under way.
pub fn of_operation(stack: &Stack) -> Option<&str> {
    let once = stack.operation.as_ref().and_then(|it| it.policy.as_deref());
    once.or(stack.policy.as_deref())
}

/// Why an update may not do something to a resource. Without a policy everything is allowed; with one,
/// everything that it does not allow is denied.
pub fn denied(stack: &Stack, action: &str, id: &str, resource_type: &str) -> Option<String> {
    let is_update = (stack.operation.as_ref()).is_some_and(|it| it.phase == Phase::Update);
    let policy = of_operation(stack).filter(|_| is_update)?;
    verdict(policy, action, id, resource_type)
}

fn verdict(policy: &str, action: &str, id: &str, resource_type: &str) -> Option<String> {
    let policy: Json = serde_json::from_str(policy).unwrap_or_default();
    let statements = list(policy.get("Statement")).unwrap_or_default();
    let meant = |effect: &str| {
        (statements.iter())
            .position(|it| it["Effect"] == effect && matches(it, action, id, resource_type))
    };
    let by = match (meant("Deny"), meant("Allow")) {
        (Some(number), _) => format!("Statement [#{}]", number + 1),
        (None, Some(_)) => return None,
        (None, None) => "it".to_owned(),
    };
    Some(format!(
        "Action denied by stack policy: {by} does not allow [{action}] for resource [LogicalResourceId/{id}]"
    ))
}

fn matches(statement: &Json, action: &str, id: &str, resource_type: &str) -> bool {
    let is_action = |it: &str| matches_stars(it, action);
    let resource = format!("LogicalResourceId/{id}");
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
                .any(|it| matches_stars(it, resource_type))
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

    const PLANNED: [(&str, &str); 2] = [("Update:Modify", "Same"), ("Update:Replace", "Other")];

    fn check(statements: &str, denied: Option<&str>) {
        let policy = accept(format!("{{\"Statement\": {statements}}}")).unwrap();
        let found = (PLANNED.iter())
            .find(|(action, id)| verdict(&policy, action, id, "AWS::EC2::VPC").is_some());
        assert_eq!(found.map(|it| it.1), denied, "{statements}");
    }

    /// A dozen stars held a worker for longer than anybody waits.
    #[test]
    fn a_hostile_policy_takes_no_time() {
        let stars = format!("LogicalResourceId/{}b", "a*".repeat(500));
        let policy = format!(
            r#"{{"Statement": {{"Effect": "Allow", "Action": "*", "Resource": "{stars}"}}}}"#
        );
        let policy = accept(policy).unwrap();
        let begun = std::time::Instant::now();
        assert!(verdict(&policy, "Update:Modify", &"a".repeat(255), "T").is_some());
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
        let reason = verdict(
            r#"{"Statement": [{"Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}"#,
            "Update:Modify",
            "P",
            "T",
        );
        assert_eq!(
            reason.as_deref(),
            Some(
                "Action denied by stack policy: Statement [#1] does not allow [Update:Modify] for resource [LogicalResourceId/P]"
            )
        );
        assert!(accept("{}".into()).is_ok());
        for wrong in [
            "",
            "[]",
            "not json",
            r#"{"Foo": 1}"#,
            r#"{"Statement": "x"}"#,
            r#"{"Statement": [{"Effect": "Perhaps"}]}"#,
            r#"{"Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}"#,
            r#"{"Statement": [{"Effect": "Deny", "Action": "Delete:*", "Principal": "*", "Resource": "*"}]}"#,
            r#"{"Statement": [{"Effect": "Deny", "Action": "Update:*", "Principal": "someone", "Resource": "*"}]}"#,
            r#"{"Statement": [{"Effect": "Deny", "Action": "Update:*", "Principal": {"AWS": "*"}, "Resource": "*"}]}"#,
            r#"{"Statement": [{"Effect": "Deny", "Action": "Update:*", "Principal": "*"}]}"#,
        ] {
            assert!(accept(wrong.into()).is_err(), "{wrong}");
        }
    }
}
