//! The least policy that what was seen of a role needs.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cloud, StoreError};
use serde_json::{Value as Json, json};

use crate::authority::{Call, calls_of};

/// More single resources of one folder than this are written as the folder.
const SINGLE_MAX: usize = 3;

/// The calls that were recorded of a role or user, by its ARN: by action and resource.
pub fn calls(cloud: &Cloud, principal: &str) -> Result<Vec<Call>, StoreError> {
    cloud.store.read(|tx| tx.list(&calls_of(principal)))
}

/// A policy document that allows the calls and nothing else, but for folders of many objects.
pub fn policy_for(calls: &[Call]) -> Json {
    let mut passed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut by_action: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for call in calls {
        match &call.passed_to {
            Some(service) => passed.entry(service).or_default().insert(&call.resource),
            None => (by_action.entry(&call.action).or_default()).insert(&call.resource),
        };
    }
    // Actions on the same resources share a statement.
    let mut statements: BTreeMap<Vec<String>, Vec<&str>> = BTreeMap::new();
    for (action, resources) in by_action {
        statements
            .entry(gathered(&resources))
            .or_default()
            .push(action);
    }
    let mut written: Vec<Json> = statements
        .into_iter()
        .map(|(resources, actions)| {
            json!({"Effect": "Allow", "Action": actions, "Resource": one_or_all(resources)})
        })
        .collect();
    for (service, roles) in passed {
        let roles = roles.into_iter().map(str::to_owned).collect();
        written.push(json!({
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": one_or_all(roles),
            "Condition": {"StringEquals": {"iam:PassedToService": service}},
        }));
    }
    json!({"Version": "2012-10-17", "Statement": written})
}

fn one_or_all(mut texts: Vec<String>) -> Json {
    match texts.len() {
        1 => json!(texts.remove(0)),
        _ => json!(texts),
    }
}

/// Resources as a policy would name them: everything covers the rest, and a folder its many objects.
fn gathered(resources: &BTreeSet<&str>) -> Vec<String> {
    if resources.contains("*") {
        return vec!["*".into()];
    }
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for resource in resources {
        let end = resource.rfind(['/', ':']).map_or(0, |at| at + 1);
        folders.entry(&resource[..end]).or_default().push(resource);
    }
    let mut out = Vec::new();
    for (folder, members) in folders {
        let is_a_place = folder.contains('/') || folder.contains(":log-stream:");
        if members.len() > SINGLE_MAX && is_a_place {
            out.push(format!("{folder}*"));
        } else {
            out.extend(members.into_iter().map(str::to_owned));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(action: &str, resource: &str, passed_to: Option<&str>) -> Call {
        Call {
            principal: "arn:aws:iam::1:role/a".into(),
            action: action.into(),
            resource: resource.into(),
            passed_to: passed_to.map(str::to_owned),
            allowed: true,
            unknown: BTreeSet::new(),
            first_ms: 0,
            last_ms: 0,
        }
    }

    #[test]
    fn actions_on_the_same_resources_share_a_statement() {
        let project = "arn:aws:codebuild:r:1:project/app";
        let calls = [
            call("codebuild:StartBuild", project, None),
            call("codebuild:BatchGetBuilds", project, None),
            call("ecs:RegisterTaskDefinition", "*", None),
            call(
                "iam:PassRole",
                "arn:aws:iam::1:role/x",
                Some("ecs-tasks.amazonaws.com"),
            ),
        ];
        assert_eq!(
            policy_for(&calls)["Statement"],
            json!([
                {"Effect": "Allow", "Action": ["ecs:RegisterTaskDefinition"], "Resource": "*"},
                {"Effect": "Allow", "Action": ["codebuild:BatchGetBuilds", "codebuild:StartBuild"], "Resource": project},
                {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::1:role/x",
                 "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}},
            ])
        );
    }

    #[test]
    fn many_objects_are_a_folder() {
        let calls: Vec<Call> = (0..5)
            .map(|it| call("s3:GetObject", &format!("arn:aws:s3:::shop/in/{it}"), None))
            .collect();
        let few = policy_for(&calls[..2]);
        assert_eq!(
            few["Statement"][0]["Resource"],
            json!(["arn:aws:s3:::shop/in/0", "arn:aws:s3:::shop/in/1"])
        );
        assert_eq!(
            policy_for(&calls)["Statement"][0]["Resource"],
            "arn:aws:s3:::shop/in/*"
        );
    }
}
