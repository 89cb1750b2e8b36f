//! Policy documents as IAM takes them: the crate `policy` reads them, and IAM has words for what is
//! wrong with them.

use ::policy::{Document, Malformed, Purpose};
use cloud::Error;
use shapes::iam::errors::MalformedPolicyDocumentException;

use crate::names::limit;

/// AWS's default quota of a trust policy's length, in characters that are not white space.
pub const TRUST_MAX: usize = 2048;
/// The same of a managed policy.
pub const MANAGED_MAX: usize = 6144;

/// The length of a document as quotas count it: without white space.
pub fn length(text: &str) -> usize {
    text.chars().filter(|it| !it.is_whitespace()).count()
}

/// Checks a trust policy.
pub fn check_trust(text: &str) -> Result<(), Error> {
    check(text, Purpose::Trust)?;
    match length(text) > TRUST_MAX {
        true => Err(limit("ACLSizePerRole", TRUST_MAX)),
        false => Ok(()),
    }
}

/// Checks a managed policy.
pub fn check_managed(text: &str) -> Result<(), Error> {
    check(text, Purpose::Managed)?;
    match length(text) > MANAGED_MAX {
        true => Err(limit("PolicySize", MANAGED_MAX)),
        false => Ok(()),
    }
}

/// Checks a document's form.
pub fn check(text: &str, purpose: Purpose) -> Result<(), Error> {
    let malformed = |it| MalformedPolicyDocumentException.because(it);
    match Document::put(text, purpose) {
        Ok(_) => Ok(()),
        Err(Malformed::NotJson) if purpose == Purpose::Trust => {
            Err(malformed("This policy contains invalid Json".to_owned()))
        }
        Err(error) => Err(malformed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_checked_for_their_purpose() {
        let good = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
        let old = r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
        let trust = r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
        assert_eq!(check(good, Purpose::Managed), Ok(()));
        assert_eq!(check(old, Purpose::Inline), Ok(()));
        assert_eq!(check(trust, Purpose::Trust), Ok(()));
        for (text, purpose, message) in [
            ("{", Purpose::Trust, "This policy contains invalid Json"),
            ("{", Purpose::Inline, "Syntax errors in policy."),
            ("[]", Purpose::Trust, "Syntax errors in policy."),
            ("{}", Purpose::Trust, "Missing required field Statement"),
            (good, Purpose::Trust, "Missing required field Principal"),
            (
                old,
                Purpose::Managed,
                "Policy document must be version 2012-10-17 or greater.",
            ),
            (
                trust,
                Purpose::Inline,
                "Policy document should not specify a principal.",
            ),
            (
                r#"{"Version":"2020-01-01","Statement":[]}"#,
                Purpose::Trust,
                "The policy must contain a valid version string",
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
