//! Whether a role will let a task start: its trust policy, and the policies that the file gives it.
//!
//! An action that any statement allows on anything counts as allowed: which resources it will be asked for is
//! not known whole before they are there. What no statement names is not allowed, which is certain.

use std::collections::BTreeSet;

use base::glob::matches_ignoring_case;
use serde_json::Value as Json;

use super::ManagedPolicy;
use super::declared::{Declared, DeclaredResource, is_known, short};
use crate::facts::RoleFacts;

const TASKS: &str = "ecs-tasks.amazonaws.com";

/// A role that the file makes; `asked` are the actions that a task will ask of it.
pub fn of_declared(
    declared: &Declared,
    role: &Json,
    asked: &BTreeSet<String>,
    managed: ManagedPolicy<'_>,
) -> Option<RoleFacts> {
    let (id, resource) = declared.find(role)?;
    if resource.kind != "AWS::IAM::Role" {
        return None;
    }
    Some(RoleFacts {
        name: short(id).to_owned(),
        is_there: true,
        trusts_tasks: trusts(resource.get("AssumeRolePolicyDocument")),
        lacks: match documents(declared, id, resource, managed) {
            Some(documents) => lacking(&documents, asked),
            // One of its policies is not known whole.
            None => Vec::new(),
        },
        place: resource.place.clone(),
    })
}

/// Those actions that no document allows.
pub fn lacking(documents: &[Json], asked: &BTreeSet<String>) -> Vec<String> {
    let is_allowed = |action: &&String| documents.iter().any(|it| allows(it, action));
    asked.iter().filter(|it| !is_allowed(it)).cloned().collect()
}

/// Whether a trust policy lets tasks assume its role.
pub fn trusts(document: &Json) -> bool {
    if document.is_null() || document.as_str().is_some_and(|it| !is_known(it)) {
        return true;
    }
    let document = parsed(document);
    items(&document["Statement"]).any(|it| {
        let named = &it["Principal"];
        let is_named = named == "*" || items(&named["Service"]).any(|it| it == TASKS || it == "*");
        // Who is named otherwise (`NotPrincipal`) is not decided here.
        it["Effect"] == "Allow" && (is_named || named.is_null())
    })
}

/// A document may be written as its text.
fn parsed(document: &Json) -> Json {
    match document.as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or_default(),
        None => document.clone(),
    }
}

fn items(value: &Json) -> impl Iterator<Item = &Json> {
    let many = value.as_array().into_iter().flatten();
    let one = (!value.is_array() && !value.is_null()).then_some(value);
    many.chain(one)
}

fn allows(document: &Json, action: &str) -> bool {
    let document = parsed(document);
    let mut statements = items(&document["Statement"]);
    statements.any(|it| {
        let mut named = items(&it["Action"]).filter_map(Json::as_str);
        let is_open = !it["NotAction"].is_null();
        let names = named.any(|it| !is_known(it) || matches_ignoring_case(it, action));
        it["Effect"] == "Allow" && (names || is_open)
    })
}

/// All documents that count for a role; None when one is not known.
fn documents(
    declared: &Declared,
    id: &str,
    role: &DeclaredResource,
    managed: ManagedPolicy<'_>,
) -> Option<Vec<Json>> {
    let mut all: Vec<Json> = (role.list("Policies").iter())
        .map(|it| it["PolicyDocument"].clone())
        .collect();
    for arn in role.list("ManagedPolicyArns") {
        all.push(match declared.find(arn) {
            Some((_, policy)) => policy.get("PolicyDocument").clone(),
            None => Json::String(managed(arn.as_str().filter(|it| is_known(it))?)?),
        });
    }
    let name = role.text("RoleName");
    for kind in [
        "AWS::IAM::Policy",
        "AWS::IAM::RolePolicy",
        "AWS::IAM::ManagedPolicy",
    ] {
        for (_, policy) in declared.of_kind(kind) {
            let one = std::iter::once(policy.get("RoleName"));
            let mut roles = policy.list("Roles").iter().chain(one);
            if roles.any(|it| declared.names(it, id, name.as_deref())) {
                all.push(policy.get("PolicyDocument").clone());
            }
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_no_statement_allows_is_lacking() {
        let asked: BTreeSet<String> = ["ecr:BatchGetImage", "logs:PutLogEvents"]
            .map(str::to_owned)
            .into();
        let allow = |action: Json| json!({"Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]});
        for (documents, lacks) in [
            (vec![], vec!["ecr:BatchGetImage", "logs:PutLogEvents"]),
            (vec![allow(json!("ECR:*"))], vec!["logs:PutLogEvents"]),
            (vec![allow(json!(["ecr:Batch*", "logs:Put*"]))], vec![]),
            (vec![json!(allow(json!("*")).to_string())], vec![]),
            (
                vec![json!({"Statement": {"Effect": "Allow", "NotAction": "iam:*"}})],
                vec![],
            ),
            (
                vec![json!({"Statement": {"Effect": "Deny", "Action": "*"}})],
                vec!["ecr:BatchGetImage", "logs:PutLogEvents"],
            ),
        ] {
            assert_eq!(lacking(&documents, &asked), lacks, "{documents:?}");
        }
    }

    #[test]
    fn a_role_is_trusted_to_tasks_or_not() {
        let trust = |principal: Json| json!({"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]});
        assert!(trusts(&trust(
            json!({"Service": ["ec2.amazonaws.com", TASKS]})
        )));
        assert!(trusts(&Json::Null));
        assert!(!trusts(&trust(json!({"Service": "ecs.amazonaws.com"}))));
        assert!(!trusts(&trust(json!({"AWS": "123456789012"}))));
    }
}
