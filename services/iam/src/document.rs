//! Policy documents (IAM User Guide, "Grammar of the IAM JSON policy language").

use cloud::Error;
use serde_json::{Map, Value as Json};
use shapes::iam::errors::MalformedPolicyDocumentException;

const VERSIONS: &[&str] = &["2012-10-17", "2008-10-17"];

/// What a document is for: who may, or what they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A role's trust policy: has principals and no resources.
    Trust,
    /// What a role or user may do: has resources and no principals.
    Permissions,
}

fn malformed(message: impl Into<String>) -> Error {
    MalformedPolicyDocumentException.because(message)
}

/// Checks a document's form.
pub fn check(text: &str, purpose: Purpose) -> Result<(), Error> {
    let json: Json = serde_json::from_str(text).map_err(|_| match purpose {
        Purpose::Trust => malformed("This policy contains invalid Json"),
        Purpose::Permissions => malformed("Syntax errors in policy."),
    })?;
    let document = json
        .as_object()
        .ok_or_else(|| malformed("Syntax errors in policy."))?;
    for member in document.keys() {
        if !matches!(member.as_str(), "Version" | "Id" | "Statement") {
            return Err(malformed(format!("Syntax error: unknown field {member}")));
        }
    }
    if let Some(version) = document.get("Version")
        && !version.as_str().is_some_and(|it| VERSIONS.contains(&it))
    {
        return Err(malformed("The policy must contain a valid version string"));
    }
    let statements = statements(&json);
    if statements.is_empty() {
        return Err(malformed("Missing required field Statement"));
    }
    statements
        .into_iter()
        .try_for_each(|it| check_statement(it, purpose))
}

/// A document that was checked when it was stored.
pub fn parsed(text: &str) -> Option<Json> {
    serde_json::from_str(text).ok()
}

/// The statements of a document: a list, or one object.
pub fn statements(document: &Json) -> Vec<&Json> {
    match document.get("Statement") {
        Some(Json::Array(statements)) => statements.iter().collect(),
        Some(statement) => vec![statement],
        None => vec![],
    }
}

fn check_statement(statement: &Json, purpose: Purpose) -> Result<(), Error> {
    let statement = statement
        .as_object()
        .ok_or_else(|| malformed("Syntax errors in policy."))?;
    const MEMBERS: &[&str] = &[
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    ];
    for member in statement.keys() {
        if !MEMBERS.contains(&member.as_str()) {
            return Err(malformed(format!("Syntax error: unknown field {member}")));
        }
    }
    match statement.get("Effect").and_then(Json::as_str) {
        Some("Allow" | "Deny") => {}
        Some(other) => return Err(malformed(format!("Invalid effect: {other}"))),
        None => return Err(malformed("Missing required field Effect")),
    }
    require(statement, "Action", "NotAction")?;
    match purpose {
        Purpose::Trust => {
            require(statement, "Principal", "NotPrincipal")?;
            prohibit(statement, &["Resource", "NotResource"])
        }
        Purpose::Permissions => {
            require(statement, "Resource", "NotResource")
                .map_err(|_| malformed("Policy statement must contain resources."))?;
            if statement.contains_key("Principal") || statement.contains_key("NotPrincipal") {
                return Err(malformed("Policy document should not specify a principal."));
            }
            actions_have_a_vendor(statement)
        }
    }
}

fn require(statement: &Map<String, Json>, name: &str, or: &str) -> Result<(), Error> {
    match (statement.contains_key(name), statement.contains_key(or)) {
        (false, false) => Err(malformed(format!("Missing required field {name}"))),
        (true, true) => Err(malformed(format!("{name} and {or} cannot both be given"))),
        _ => Ok(()),
    }
}

fn prohibit(statement: &Map<String, Json>, names: &[&str]) -> Result<(), Error> {
    match names.iter().find(|it| statement.contains_key(**it)) {
        Some(name) => Err(malformed(format!("Has prohibited field {name}"))),
        None => Ok(()),
    }
}

fn actions_have_a_vendor(statement: &Map<String, Json>) -> Result<(), Error> {
    let given = statement.get("Action").or(statement.get("NotAction"));
    for action in given.map(texts).unwrap_or_default() {
        if action != "*" && !action.contains(':') {
            return Err(malformed(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ));
        }
    }
    Ok(())
}

/// One text or a list of texts.
pub fn texts(json: &Json) -> Vec<&str> {
    match json {
        Json::String(text) => vec![text],
        Json::Array(items) => items.iter().filter_map(Json::as_str).collect(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_checked_for_their_purpose() {
        let good = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
        assert_eq!(check(good, Purpose::Permissions), Ok(()));
        assert_eq!(check(trust, Purpose::Trust), Ok(()));
        for (text, purpose, message) in [
            ("{", Purpose::Trust, "This policy contains invalid Json"),
            ("{", Purpose::Permissions, "Syntax errors in policy."),
            ("[]", Purpose::Trust, "Syntax errors in policy."),
            ("{}", Purpose::Trust, "Missing required field Statement"),
            (good, Purpose::Trust, "Missing required field Principal"),
            (
                trust,
                Purpose::Permissions,
                "Policy statement must contain resources.",
            ),
            (
                r#"{"Version":"2020-01-01","Statement":[]}"#,
                Purpose::Trust,
                "The policy must contain a valid version string",
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"}]}"#,
                Purpose::Trust,
                "Has prohibited field Resource",
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"s3","Resource":"*"}]}"#,
                Purpose::Permissions,
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ),
            (
                r#"{"Statement":[{"Action":"s3:*","Resource":"*"}]}"#,
                Purpose::Permissions,
                "Missing required field Effect",
            ),
        ] {
            let error = check(text, purpose).unwrap_err();
            assert_eq!(
                (error.code, error.message.as_str()),
                ("MalformedPolicyDocument", message)
            );
        }
    }
}
