//! The policy of a form: until when it may be posted, and what its fields may say (API reference,
//! "POST Policy").

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloud::Error;
use serde_json::Value as Json;

use super::Fields;
use crate::errors::*;

/// Fields that no condition has to name.
const FREE: &[&str] = &[
    "awsaccesskeyid",
    "file",
    "policy",
    "signature",
    "submit",
    "x-amz-signature",
];
const IGNORED: &str = "x-ignore-";

#[derive(Debug, PartialEq)]
enum Condition {
    Is { field: String, value: String },
    StartsWith { field: String, value: String },
    Length(RangeInclusive<u64>),
}

#[derive(Debug)]
pub struct Policy {
    ends_ms: i64,
    /// As they are, and as they were written.
    conditions: Vec<(Condition, String)>,
}

fn invalid(why: &str) -> Error {
    InvalidPolicyDocument.because(format!("Invalid Policy: {why}"))
}

fn denied(why: &str) -> Error {
    wire::codes::AccessDenied.because(format!("Invalid according to Policy: {why}"))
}

/// JSON as it was sent, with a space after what separates.
fn shown(condition: &Json) -> String {
    match condition {
        Json::Array(parts) => {
            let parts: Vec<String> = parts.iter().map(Json::to_string).collect();
            format!("[{}]", parts.join(", "))
        }
        Json::Object(exact) => {
            let parts = exact
                .iter()
                .map(|it| format!("[\"eq\", \"${}\", {}]", it.0, it.1));
            parts.collect()
        }
        other => other.to_string(),
    }
}

fn condition(text: &Json) -> Result<Condition, Error> {
    let name = |it: &str| it.strip_prefix('$').unwrap_or(it).to_ascii_lowercase();
    if let Json::Object(exact) = text {
        let mut exact = exact.iter();
        return match (exact.next(), exact.next()) {
            (Some((field, Json::String(value))), None) => Ok(Condition::Is {
                field: name(field),
                value: value.clone(),
            }),
            _ => Err(invalid(
                "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
            )),
        };
    }
    let parts = text.as_array().map(Vec::as_slice).unwrap_or_default();
    let [Json::String(operation), first, second] = parts else {
        return Err(invalid("Invalid Condition: wrong number of arguments."));
    };
    let number = |it: &Json| {
        let text = it.as_str().and_then(|it| it.parse().ok());
        it.as_u64()
            .or(text)
            .ok_or_else(|| invalid("Invalid content-length-range: it has to be two numbers."))
    };
    match (operation.to_ascii_lowercase().as_str(), first, second) {
        ("eq", Json::String(field), Json::String(value)) => Ok(Condition::Is {
            field: name(field),
            value: value.clone(),
        }),
        ("starts-with", Json::String(field), Json::String(value)) => Ok(Condition::StartsWith {
            field: name(field),
            value: value.clone(),
        }),
        ("content-length-range", least, most) => {
            Ok(Condition::Length(number(least)?..=number(most)?))
        }
        (other, ..) => Err(invalid(&format!("Invalid Condition: {other}"))),
    }
}

impl Policy {
    pub fn parse(policy: &str) -> Result<Self, Error> {
        let text = BASE64.decode(policy.trim()).ok();
        let policy = text.and_then(|it| serde_json::from_slice::<Json>(&it).ok());
        let policy = policy.filter(Json::is_object);
        let policy = policy.ok_or_else(|| invalid("Invalid JSON."))?;
        let expiration = policy["expiration"].as_str();
        let expiration = expiration.ok_or_else(|| invalid("Policy missing expiration."))?;
        let ends = wire::Timestamp::from_iso8601(expiration);
        let ends =
            ends.ok_or_else(|| invalid(&format!("Invalid 'expiration' value: '{expiration}'")))?;
        let conditions = policy["conditions"].as_array();
        let conditions = conditions.ok_or_else(|| invalid("Policy missing conditions."))?;
        let conditions = conditions.iter().map(|it| Ok((condition(it)?, shown(it))));
        Ok(Self {
            ends_ms: (ends.0 * 1000.0) as i64,
            conditions: conditions.collect::<Result<_, Error>>()?,
        })
    }

    /// Whether a form may be posted. A policy says which bucket it is for: a form that may be posted to
    /// any is nobody's intention.
    pub fn check(&self, fields: &Fields, bucket: &str, now_ms: i64) -> Result<(), Error> {
        if self.ends_ms <= now_ms {
            return Err(denied("Policy expired."));
        }
        let value = |field: &str| match field {
            "bucket" => bucket,
            field => fields.get(field).map(String::as_str).unwrap_or_default(),
        };
        for (condition, text) in &self.conditions {
            let holds = match condition {
                Condition::Is {
                    field,
                    value: wanted,
                } => value(field) == wanted,
                Condition::StartsWith {
                    field,
                    value: wanted,
                } => value(field).starts_with(wanted.as_str()),
                Condition::Length(_) => true,
            };
            if !holds {
                return Err(denied(&format!("Policy Condition failed: {text}")));
            }
        }
        let is_named = |name: &str| {
            self.conditions.iter().any(|(it, _)| match it {
                Condition::Is { field, .. } | Condition::StartsWith { field, .. } => field == name,
                Condition::Length(_) => false,
            })
        };
        let is_free = |name: &str| FREE.contains(&name) || name.starts_with(IGNORED);
        let names = fields.keys().map(String::as_str);
        let mut extra: Vec<&str> = names
            .filter(|it| !is_free(it) && !is_named(it) && *it != "bucket")
            .collect();
        if !is_named("bucket") {
            extra.push("bucket");
        }
        if extra.is_empty() {
            return Ok(());
        }
        Err(denied(&format!("Extra input fields: {}", extra.join(", "))))
    }

    /// How long the file may be.
    pub fn lengths(&self) -> Vec<RangeInclusive<u64>> {
        let lengths = self.conditions.iter().filter_map(|(it, _)| match it {
            Condition::Length(range) => Some(range.clone()),
            _ => None,
        });
        lengths.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(conditions: &str, fields: &[(&str, &str)]) -> Result<(), String> {
        let text =
            format!(r#"{{"expiration": "2030-01-01T00:00:00Z", "conditions": [{conditions}]}}"#);
        let policy = Policy::parse(&BASE64.encode(text)).map_err(|it| it.message)?;
        let fields = fields.iter().map(|it| (it.0.to_owned(), it.1.to_owned()));
        let checked = policy.check(&fields.collect(), "b", 1_700_000_000_000);
        checked.map_err(|it| format!("{}: {}", it.code, it.message))
    }

    #[test]
    fn fields_are_what_the_policy_says() {
        let bucket = r#"{"bucket": "b"}"#;
        let key = [("key", "up/a")];
        let with = |more: &str| format!("{bucket}, {more}");
        assert!(check(&with(r#"["starts-with", "$key", "up/"]"#), &key).is_ok());
        assert!(
            check(
                &with(r#"["EQ", "$Key", "up/a"], ["content-length-range", 1, "3"]"#),
                &key
            )
            .is_ok()
        );
        for (conditions, refusal) in [
            (
                with(r#"["starts-with", "$key", "down/"]"#),
                r#"AccessDenied: Invalid according to Policy: Policy Condition failed: ["starts-with", "$key", "down/"]"#,
            ),
            (
                with(r#"{"key": "x"}"#),
                r#"AccessDenied: Invalid according to Policy: Policy Condition failed: ["eq", "$key", "x"]"#,
            ),
            (
                bucket.to_owned(),
                "AccessDenied: Invalid according to Policy: Extra input fields: key",
            ),
            (
                r#"{"key": "up/a"}"#.to_owned(),
                "AccessDenied: Invalid according to Policy: Extra input fields: bucket",
            ),
            (
                r#"{"bucket": "c"}, {"key": "up/a"}"#.to_owned(),
                r#"AccessDenied: Invalid according to Policy: Policy Condition failed: ["eq", "$bucket", "c"]"#,
            ),
            (
                r#"["odd", "$key", ""]"#.to_owned(),
                "Invalid Policy: Invalid Condition: odd",
            ),
        ] {
            assert_eq!(check(&conditions, &key).unwrap_err(), refusal);
        }
        let late = BASE64.encode(r#"{"expiration": "2020-01-01T00:00:00Z", "conditions": []}"#);
        let late = Policy::parse(&late).unwrap();
        let refused = late
            .check(&Fields::new(), "b", 1_700_000_000_000)
            .unwrap_err();
        assert_eq!(
            refused.message,
            "Invalid according to Policy: Policy expired."
        );
        for (text, why) in [
            ("{", "Invalid JSON."),
            ("{}", "Policy missing expiration."),
            (
                r#"{"expiration": "2030-01-01T00:00:00Z"}"#,
                "Policy missing conditions.",
            ),
        ] {
            let refused = Policy::parse(&BASE64.encode(text)).unwrap_err();
            assert_eq!(
                (refused.code, refused.message),
                ("InvalidPolicyDocument", format!("Invalid Policy: {why}"))
            );
        }
    }
}
