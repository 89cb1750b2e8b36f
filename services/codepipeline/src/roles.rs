//! Roles that a pipeline names: they must be there, and trust the service that takes them on.

use cloud::{Cx, Error};
use serde_json::Value as Json;
use shapes::iam::{GetRoleInput, errors};

/// What is wrong with a role, given by ARN or by name, or None.
pub async fn doubt(cx: &Cx, role: &str, principal: Option<&str>) -> Result<Option<String>, Error> {
    let name = role.rsplit('/').next().unwrap_or_default().to_owned();
    let found = match cx.call(GetRoleInput { role_name: name }).await {
        Err(error) if error.is(errors::NoSuchEntityException) => {
            return Ok(Some(format!("the role {role} does not exist")));
        }
        other => other?.role,
    };
    // A name leads to the role whatever its path; an ARN has to be the role's own.
    if role.starts_with("arn:") && role != found.arn {
        return Ok(Some(format!("the role {role} does not exist")));
    }
    let Some(principal) = principal else {
        return Ok(None);
    };
    let document = found.assume_role_policy_document.unwrap_or_default();
    Ok((!trusts(&decoded(&document), principal))
        .then(|| format!("the role {role} does not trust {principal}")))
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

/// IAM answers documents with `%` and two digits in place of what is not a letter.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let code = digits.and_then(|it| u8::from_str_radix(it, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
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
        assert_eq!(decoded("%7B%22a%22%3A%201%7D%"), r#"{"a": 1}%"#);
    }
}
