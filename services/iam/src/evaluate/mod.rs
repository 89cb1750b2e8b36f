//! Policy evaluation (IAM User Guide, "Policy evaluation logic"), for the policies of one identity:
//! what a statement denies is denied, what none allows is not allowed.
//!
//! Pure: documents and a request in, a decision out.

mod condition;
mod pattern;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::document::{statements, texts};

/// What is known of a request, by the names of condition keys in small letters. A key may have several
/// values.
pub type Context = BTreeMap<String, Vec<String>>;

/// One action on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// `ecs:CreateService`.
    pub action: &'a str,
    /// An ARN, or `*` when the action has no resources.
    pub resource: &'a str,
    pub context: &'a Context,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// A statement with the effect `Deny` applies.
    DeniedExplicitly,
    /// No statement allows it.
    DeniedImplicitly,
}

/// Decides by all documents of an identity. A document that is not JSON allows nothing.
pub fn decide<'a>(
    documents: impl IntoIterator<Item = &'a Json>,
    request: &Request<'_>,
) -> Decision {
    let mut decision = Decision::DeniedImplicitly;
    for document in documents {
        for statement in statements(document) {
            match statement["Effect"].as_str() {
                Some("Deny") if applies(statement, request, IfUnknown::Applies) => {
                    return Decision::DeniedExplicitly;
                }
                Some("Allow") if applies(statement, request, IfUnknown::AppliesNot) => {
                    decision = Decision::Allowed;
                }
                _ => {}
            }
        }
    }
    decision
}

/// What is made of a condition that is not understood here: the side that lets less through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfUnknown {
    Applies,
    AppliesNot,
}

fn applies(statement: &Json, request: &Request<'_>, if_unknown: IfUnknown) -> bool {
    names_action(statement, request.action)
        && names_resource(statement, request)
        && match condition::holds(&statement["Condition"], request.context) {
            Some(holds) => holds,
            None => if_unknown == IfUnknown::Applies,
        }
}

fn names_action(statement: &Json, action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    let matches = |pattern: &str| pattern::matches(&pattern.to_ascii_lowercase(), &action);
    match statement.get("NotAction") {
        Some(not) => !texts(not).into_iter().any(matches),
        None => texts(&statement["Action"]).into_iter().any(matches),
    }
}

fn names_resource(statement: &Json, request: &Request<'_>) -> bool {
    let matches = |pattern: &str| {
        let pattern = condition::with_variables(pattern, request.context);
        pattern::matches(&pattern, request.resource)
    };
    match statement.get("NotResource") {
        Some(not) => !texts(not).into_iter().any(matches),
        None => texts(&statement["Resource"]).into_iter().any(matches),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(statements: Json, action: &str, resource: &str, expected: Decision) {
        let document = json!({"Version": "2012-10-17", "Statement": statements});
        let context = Context::from([
            ("aws:username".to_owned(), vec!["ann".to_owned()]),
            (
                "iam:passedtoservice".to_owned(),
                vec!["ecs-tasks.amazonaws.com".to_owned()],
            ),
        ]);
        let request = Request {
            action,
            resource,
            context: &context,
        };
        assert_eq!(decide([&document], &request), expected, "{document}");
    }

    #[test]
    fn what_none_allows_is_not_allowed_and_a_denial_wins() {
        use Decision::*;
        let allow = json!({"Effect": "Allow", "Action": "ecs:*", "Resource": "*"});
        let deny = json!({"Effect": "Deny", "Action": "ecs:Delete*", "Resource": "*"});
        check(json!([]), "ecs:ListClusters", "*", DeniedImplicitly);
        check(allow.clone(), "ECS:listclusters", "*", Allowed);
        check(allow.clone(), "ecr:ListImages", "*", DeniedImplicitly);
        let both = json!([allow, deny]);
        check(both.clone(), "ecs:DeleteCluster", "*", DeniedExplicitly);
        check(both, "ecs:CreateCluster", "*", Allowed);
    }

    #[test]
    fn resources_and_actions_may_be_excluded() {
        use Decision::*;
        let but_iam = json!({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"});
        check(but_iam.clone(), "iam:GetRole", "*", DeniedImplicitly);
        check(but_iam, "ecs:RunTask", "*", Allowed);
        let bucket = "arn:aws:s3:::shop";
        let but_one = json!({"Effect": "Allow", "Action": "s3:*", "NotResource": [bucket]});
        check(but_one.clone(), "s3:ListBucket", bucket, DeniedImplicitly);
        check(but_one, "s3:ListBucket", "arn:aws:s3:::other", Allowed);
    }

    #[test]
    fn variables_stand_for_who_asks() {
        let own = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::home/${aws:username}/*"});
        let allowed = Decision::Allowed;
        check(
            own.clone(),
            "s3:GetObject",
            "arn:aws:s3:::home/ann/a",
            allowed,
        );
        let denied = Decision::DeniedImplicitly;
        check(own, "s3:GetObject", "arn:aws:s3:::home/bob/a", denied);
    }

    #[test]
    fn a_condition_that_is_not_understood_lets_nothing_through() {
        use Decision::*;
        let odd = json!({"StringStrange": {"aws:username": "ann"}});
        let allow = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": odd});
        check(allow, "ecs:RunTask", "*", DeniedImplicitly);
        let everything = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
        let deny = json!({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": odd});
        check(
            json!([everything, deny]),
            "ecs:RunTask",
            "*",
            DeniedExplicitly,
        );
    }

    #[test]
    fn a_role_may_be_passed_to_one_service() {
        let passed = |service: &str| json!({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*", "Condition": {"StringEquals": {"iam:PassedToService": service}}});
        let role = "arn:aws:iam::1:role/a";
        check(
            passed("ecs-tasks.amazonaws.com"),
            "iam:PassRole",
            role,
            Decision::Allowed,
        );
        check(
            passed("ec2.amazonaws.com"),
            "iam:PassRole",
            role,
            Decision::DeniedImplicitly,
        );
    }
}
