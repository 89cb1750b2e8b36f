//! Policies that say whom something belongs to serves: those of roles, buckets, repositories and
//! secrets.

use std::collections::HashSet;

use base::glob::Glob;

use super::{Members, Purpose, because, get, identity, texts};
use crate::condition::Operator;
use crate::document::{MEMBERS, Malformed};
use crate::tree::Tree;

/// What a role's trust policy may speak of (service authorization reference, "AWS Security Token
/// Service").
const TRUST_ACTIONS: &[&str] = &[
    "sts:AssumeRole",
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:DecodeAuthorizationMessage",
    "sts:GetAccessKeyInfo",
    "sts:GetCallerIdentity",
    "sts:GetFederationToken",
    "sts:GetServiceBearerToken",
    "sts:GetSessionToken",
    "sts:SetContext",
    "sts:SetSourceIdentity",
    "sts:TagSession",
];

pub fn check(document: &Tree, purpose: Purpose) -> Result<(), Malformed> {
    let Some(members) = document.members() else {
        return because("Syntax errors in policy.");
    };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("Version", Tree::Text(it)) if it == "2012-10-17" || it == "2008-10-17" => {}
            ("Version", _) => return because("The policy must contain a valid version string"),
            ("Id", Tree::Text(_)) | ("Statement", _) => {}
            ("Id", _) => return because("Syntax errors in policy."),
            (other, _) => return because(format!("Unknown field {other}")),
        }
    }
    let mut sids = HashSet::new();
    for statement in statements(members)? {
        check_statement(statement, purpose)?;
        let sid = get(statement, "Sid").and_then(Tree::text);
        if sid.is_some_and(|it| !it.is_empty() && !sids.insert(it)) {
            return because("The Statement Ids in the policy are not unique");
        }
    }
    Ok(())
}

fn statements(members: &Members) -> Result<Vec<&Members>, Malformed> {
    let statements: Option<Vec<&Members>> = match get(members, "Statement") {
        None => return because("Missing required field Statement"),
        Some(Tree::Object(one)) => Some(vec![one.as_slice()]),
        Some(Tree::List(all)) => all.iter().map(Tree::members).collect(),
        Some(_) => None,
    };
    match statements {
        Some(none) if none.is_empty() => because("Could not parse the policy: Statement is empty!"),
        Some(statements) => Ok(statements),
        None => because("Syntax errors in policy."),
    }
}

fn check_statement(statement: &Members, purpose: Purpose) -> Result<(), Malformed> {
    let known = |it: &&(String, Tree)| MEMBERS.contains(&it.0.as_str());
    if let Some((name, _)) = statement.iter().find(|it| !known(it)) {
        return because(format!("Unknown field {name}"));
    }
    let effect = match get(statement, "Effect") {
        None => return because("Missing required field Effect"),
        Some(Tree::Text(it)) if it == "Allow" || it == "Deny" => it,
        Some(Tree::Text(it)) => return because(format!("Invalid effect: {it}")),
        Some(_) => return because("Syntax errors in policy."),
    };
    if get(statement, "NotPrincipal").is_some() {
        if effect == "Allow" {
            return because("Allow with NotPrincipal is not allowed.");
        }
        if purpose == Purpose::Trust {
            return because("AssumeRole policy must not contain NotPrincipal field.");
        }
    }
    for name in ["Action", "NotAction", "Resource", "NotResource"] {
        if get(statement, name).is_some_and(|it| it.texts().is_none()) {
            return because("Syntax errors in policy.");
        }
    }
    if purpose == Purpose::Trust {
        check_trust(statement)?;
    }
    check_conditions(statement)
}

fn check_trust(statement: &Members) -> Result<(), Malformed> {
    let principals = ["Principal", "NotPrincipal"];
    if principals.iter().all(|it| get(statement, it).is_none()) {
        return because("Missing required field Principal");
    }
    let actions = [texts(statement, "Action"), texts(statement, "NotAction")].concat();
    if actions.is_empty() {
        return because("Missing required field Action");
    }
    let is_known = |it: &&str| {
        let pattern = Glob::new(it);
        it.contains(':')
            && TRUST_ACTIONS
                .iter()
                .any(|it| pattern.matches_ignoring_case(it))
    };
    if !actions.iter().all(is_known) {
        return because("AssumeRole policy may only specify STS AssumeRole actions.");
    }
    if get(statement, "Resource").is_some() {
        return because("Has prohibited field Resource");
    }
    if get(statement, "NotResource").is_some() {
        return because("AssumeRole policy must not contain resources.");
    }
    actions.into_iter().try_for_each(identity::check_action)
}

fn check_conditions(statement: &Members) -> Result<(), Malformed> {
    let Some(conditions) = get(statement, "Condition") else {
        return Ok(());
    };
    let Some(operators) = conditions.members() else {
        return because("Syntax errors in policy.");
    };
    for (operator, keys) in operators {
        let Some(keys) = keys.members() else {
            return because("Syntax errors in policy.");
        };
        if Operator::parse(operator).is_none() {
            return because(format!("Invalid Condition type : {operator}."));
        }
        if keys.iter().any(|it| it.1.scalars().is_none()) {
            return because("Syntax errors in policy.");
        }
    }
    Ok(())
}
