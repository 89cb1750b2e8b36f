//! Roles that a pipeline names: they must be there, and trust the service that takes them on.

use cloud::{Cx, Error, FoundRole};
use serde_json::Value as Json;

/// A role that is given by ARN or by name, or what is wrong with it.
pub fn check(
    cx: &Cx,
    role: &str,
    principal: Option<&str>,
) -> Result<Result<FoundRole, String>, Error> {
    let Some(found) = cx.find_role(role)? else {
        return Ok(Err(format!("the role {role} does not exist")));
    };
    Ok(match principal {
        Some(principal) if !trusts(&found.trust, principal) => {
            Err(format!("the role {role} does not trust {principal}"))
        }
        _ => Ok(found),
    })
}

/// Some statement of the document lets the service assume the role.
fn trusts(document: &str, principal: &str) -> bool {
    let Ok(document) = serde_json::from_str::<Json>(document) else {
        return false;
    };
    many(&document["Statement"]).iter().any(|it| {
        let names = |member: &Json, wanted: &[&str]| {
            many(member)
                .iter()
                .any(|it| it.as_str().is_some_and(|it| wanted.contains(&it)))
        };
        it["Effect"] == "Allow"
            && names(&it["Action"], &["sts:AssumeRole", "sts:*", "*"])
            && (it["Principal"] == "*" || names(&it["Principal"]["Service"], &[principal]))
    })
}

/// A list, or the one thing that stands in its place.
fn many(json: &Json) -> Vec<&Json> {
    match json {
        Json::Array(all) => all.iter().collect(),
        Json::Null => Vec::new(),
        one => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_policy_is_read_as_iam_writes_it() {
        let document = |service: &str| {
            format!(
                r#"{{"Statement": {{"Effect": "Allow", "Action": ["sts:AssumeRole"],
                    "Principal": {{"Service": "{service}"}}}}}}"#
            )
        };
        let wanted = "codepipeline.amazonaws.com";
        assert!(trusts(&document(wanted), wanted));
        assert!(!trusts(&document("ecs.amazonaws.com"), wanted));
        assert!(!trusts("nothing", wanted));
    }
}
