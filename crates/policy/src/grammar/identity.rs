//! Policies of users, groups and roles.

use std::collections::HashSet;

use super::{Members, Purpose, arn, because, get, texts};
use crate::condition::{self, Operator};
use crate::document::{MEMBERS, Malformed};
use crate::tree::Tree;

pub fn check(document: &Tree, purpose: Purpose) -> Result<(), Malformed> {
    let syntax = || Malformed::because("Syntax errors in policy.");
    let members = document.members().ok_or_else(syntax)?;
    let statements = statements(members).ok_or_else(syntax)?;
    let version = get(members, "Version").and_then(Tree::text);
    if purpose == Purpose::Managed && version != Some("2012-10-17") {
        return because("Policy document must be version 2012-10-17 or greater.");
    }
    let is_for = |it: &&Members, name| get(it, name).is_some();
    let names_somebody = |it| is_for(it, "Principal") || is_for(it, "NotPrincipal");
    if statements.iter().any(names_somebody) {
        return because("Policy document should not specify a principal.");
    }
    let legacy = || Malformed::because("The policy failed legacy parsing");
    if !statements.iter().all(|it| is_read_by_legacy(it)) {
        return Err(legacy());
    }
    let fault = resource_fault(&statements).map_err(|NotLegacy| legacy())?;
    check_sids(&statements)?;
    if !statements.iter().all(|it| lists(it, "Action", "NotAction")) {
        return because("Policy statement must contain actions.");
    }
    if let Some(fault) = fault {
        return because(fault);
    }
    for name in ["Action", "NotAction"] {
        for action in statements.iter().flat_map(|it| texts(it, name)) {
            check_action(action)?;
        }
    }
    if !statements
        .iter()
        .all(|it| lists(it, "Resource", "NotResource"))
    {
        return because("Policy statement must contain resources.");
    }
    Ok(())
}

/// The statements of a document whose members are all of their kinds.
fn statements(members: &Members) -> Option<Vec<&Members>> {
    let mut statements = Vec::new();
    for (name, value) in members {
        match (name.as_str(), value) {
            ("Version", Tree::Text(it)) if it == "2012-10-17" || it == "2008-10-17" => {}
            ("Id", Tree::Text(_)) => {}
            ("Statement", Tree::List(all)) => {
                for it in all {
                    statements.push(it.members()?);
                }
            }
            ("Statement", Tree::Object(one)) => statements.push(one.as_slice()),
            _ => return None,
        }
    }
    let all_are = !statements.is_empty() && statements.iter().all(|it| is_statement(it));
    all_are.then_some(statements)
}

fn is_statement(members: &Members) -> bool {
    let is_it = |(name, value): &(String, Tree)| match name.as_str() {
        "Effect" => {
            let is = |it: &str| it.eq_ignore_ascii_case("allow") || it.eq_ignore_ascii_case("deny");
            value.text().is_some_and(is)
        }
        "Sid" => value.text().is_some(),
        "Action" | "NotAction" | "Resource" | "NotResource" => value.texts().is_some(),
        "Condition" => are_conditions(value),
        other => MEMBERS.contains(&other),
    };
    let both =
        |one: &str, other: &str| get(members, one).is_some() && get(members, other).is_some();
    members.iter().all(is_it)
        && get(members, "Effect").is_some()
        && !both("Action", "NotAction")
        && !both("Resource", "NotResource")
}

/// Operators with their keys. One that is unknown matters only when it has some.
fn are_conditions(tree: &Tree) -> bool {
    let is_it = |(operator, keys): &(String, Tree)| {
        let Some(keys) = keys.members() else {
            return false;
        };
        (keys.is_empty() || Operator::parse(operator).is_some())
            && keys.iter().all(|it| it.1.scalars().is_some())
    };
    tree.members().is_some_and(|it| it.iter().all(is_it))
}

/// Whether the older of IAM's readers takes a statement, but for its resources.
fn is_read_by_legacy(statement: &Members) -> bool {
    let effect = get(statement, "Effect").and_then(Tree::text);
    let conditions = get(statement, "Condition").and_then(Tree::members);
    let mut operators = conditions.into_iter().flatten();
    matches!(effect, Some("Allow" | "Deny"))
        && operators.all(|(operator, keys)| {
            let mut keys = keys.members().into_iter().flatten();
            keys.all(|it| condition::are_values_of(operator, &it.1))
        })
}

struct NotLegacy;

/// The first fault of a resource. What the older reader does not take is told before it, unless a
/// fault was found already.
fn resource_fault(statements: &[&Members]) -> Result<Option<String>, NotLegacy> {
    let mut fault = None;
    for name in ["Resource", "NotResource"] {
        for statement in statements {
            let resources = texts(statement, name);
            if fault.is_none() {
                fault = resources.iter().find_map(|it| arn::fault(it));
            }
            if fault.is_none() && !resources.iter().all(|it| arn::is_legacy(it)) {
                return Err(NotLegacy);
            }
        }
    }
    Ok(fault)
}

fn check_sids(statements: &[&Members]) -> Result<(), Malformed> {
    let sids = statements.iter().filter_map(|it| get(it, "Sid")?.text());
    let mut seen = HashSet::new();
    for sid in sids.filter(|it| !it.is_empty()) {
        if !sid.bytes().all(|it| it.is_ascii_alphanumeric()) {
            return because(
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
            );
        }
        if !seen.insert(sid) {
            return because("Statement IDs (SID) in a single policy must be unique.");
        }
    }
    Ok(())
}

/// Whether one of both is there and lists something.
fn lists(statement: &Members, name: &str, not: &str) -> bool {
    let listed = get(statement, name).or_else(|| get(statement, not));
    listed.is_some_and(|it| it.texts().is_some_and(|it| !it.is_empty()))
}

/// `vendor:Action`, or `*`. What follows the colon may be anything.
pub fn check_action(action: &str) -> Result<(), Malformed> {
    if action == "*" {
        return Ok(());
    }
    let Some((vendor, name)) = action.split_once(':') else {
        return because(
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        );
    };
    if name.contains(':') {
        return because("Actions/Condition can contain only one colon.");
    }
    let is_name = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'.';
    match vendor == "*" || vendor.bytes().all(is_name) {
        true => Ok(()),
        false => because(format!("Vendor {vendor} is not valid")),
    }
}
