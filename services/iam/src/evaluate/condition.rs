//! Conditions (IAM User Guide, "IAM JSON policy elements: Condition operators").

use std::net::IpAddr;

use serde_json::Value as Json;

use super::{Context, pattern};

/// Whether all conditions of a statement hold; None when one of them is not understood.
pub fn holds(condition: &Json, context: &Context) -> Option<bool> {
    let Some(operators) = condition.as_object() else {
        return if condition.is_null() {
            Some(true)
        } else {
            None
        };
    };
    let mut all = true;
    for (operator, keys) in operators {
        for (key, values) in keys.as_object()? {
            all &= one_holds(operator, key, values, context)?;
        }
    }
    Some(all)
}

/// The texts of a condition's values, which policies also write as numbers and booleans.
fn values(json: &Json) -> Option<Vec<String>> {
    let one = |json: &Json| match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        _ => None,
    };
    match json {
        Json::Array(items) => items.iter().map(one).collect(),
        other => Some(vec![one(other)?]),
    }
}

fn one_holds(operator: &str, key: &str, expected: &Json, context: &Context) -> Option<bool> {
    let (set, operator) = match operator.split_once(':') {
        Some((set, operator)) => (Some(set), operator),
        None => (None, operator),
    };
    let (operator, if_exists) = match operator.strip_suffix("IfExists") {
        Some(operator) => (operator, true),
        None => (operator, false),
    };
    let expected = values(expected)?;
    let expected: Vec<String> = expected
        .iter()
        .map(|it| with_variables(it, context))
        .collect();
    let found = context.get(&key.to_ascii_lowercase());
    if operator == "Null" {
        let is_absent = found.is_none();
        return Some(expected.iter().any(|it| it == &is_absent.to_string()));
    }
    let test = Test::of(operator)?;
    let Some(found) = found else {
        // A key that is not there fulfils what is negated, and every set of all its values.
        return Some(if_exists || test.negated || set == Some("ForAllValues"));
    };
    let fits = |value: &String| {
        let any = expected.iter().any(|it| (test.compare)(it, value));
        any != test.negated
    };
    match set {
        None | Some("ForAnyValue") => Some(found.iter().any(fits)),
        Some("ForAllValues") => Some(found.iter().all(fits)),
        Some(_) => None,
    }
}

struct Test {
    /// Of the policy's value and the request's.
    compare: fn(&str, &str) -> bool,
    negated: bool,
}

impl Test {
    fn of(operator: &str) -> Option<Self> {
        let compare: fn(&str, &str) -> bool = match operator {
            "StringEquals" | "StringNotEquals" | "BinaryEquals" => |a, b| a == b,
            "StringEqualsIgnoreCase" | "StringNotEqualsIgnoreCase" | "Bool" => {
                |a, b| a.eq_ignore_ascii_case(b)
            }
            "StringLike" | "StringNotLike" | "ArnLike" | "ArnEquals" | "ArnNotLike"
            | "ArnNotEquals" => pattern::matches,
            "NumericEquals" | "NumericNotEquals" => |a, b| numbers(a, b, |a, b| b == a),
            "NumericLessThan" => |a, b| numbers(a, b, |a, b| b < a),
            "NumericLessThanEquals" => |a, b| numbers(a, b, |a, b| b <= a),
            "NumericGreaterThan" => |a, b| numbers(a, b, |a, b| b > a),
            "NumericGreaterThanEquals" => |a, b| numbers(a, b, |a, b| b >= a),
            // Times in this form (ISO 8601, UTC) are ordered as texts.
            "DateEquals" | "DateNotEquals" => |a, b| a == b,
            "DateLessThan" => |a, b| b < a,
            "DateLessThanEquals" => |a, b| b <= a,
            "DateGreaterThan" => |a, b| b > a,
            "DateGreaterThanEquals" => |a, b| b >= a,
            "IpAddress" | "NotIpAddress" => is_in_range,
            _ => return None,
        };
        Some(Self {
            compare,
            negated: operator.contains("Not"),
        })
    }
}

fn numbers(a: &str, b: &str, compare: fn(f64, f64) -> bool) -> bool {
    matches!((a.parse(), b.parse()), (Ok(a), Ok(b)) if compare(a, b))
}

/// Whether an address is within `a.b.c.d/n` (or is the address).
fn is_in_range(range: &str, address: &str) -> bool {
    let (network, length) = range.split_once('/').unwrap_or((range, ""));
    let (Ok(network), Ok(address)) = (network.parse::<IpAddr>(), address.parse::<IpAddr>()) else {
        return false;
    };
    let (network, address, bits) = match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    let length: u32 = match length {
        "" => bits,
        length => match length.parse() {
            Ok(length) if length <= bits => length,
            _ => return false,
        },
    };
    let shift = bits - length;
    network.checked_shr(shift).unwrap_or(0) == address.checked_shr(shift).unwrap_or(0)
}

/// A policy's text with its variables replaced (IAM User Guide, "Policy variables"). A variable whose
/// key the request does not have stays as it is, and so fits nothing.
pub fn with_variables(text: &str, context: &Context) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find("${") {
        let Some(end) = rest[begin..].find('}') else {
            break;
        };
        let name = &rest[begin + 2..begin + end];
        out.push_str(&rest[..begin]);
        match (
            name,
            context.get(&name.to_ascii_lowercase()).map(Vec::as_slice),
        ) {
            ("*" | "?" | "$", _) => out.push_str(name),
            (_, Some([value])) => out.push_str(value),
            _ => out.push_str(&rest[begin..=begin + end]),
        }
        rest = &rest[begin + end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(condition: Json, expected: Option<bool>) {
        let of = |values: &[&str]| values.iter().map(|it| (*it).to_owned()).collect();
        let context = Context::from([
            ("aws:sourceip".to_owned(), of(&["10.0.1.7"])),
            ("aws:requestedregion".to_owned(), of(&["eu-west-1"])),
            ("aws:securetransport".to_owned(), of(&["false"])),
            ("aws:currenttime".to_owned(), of(&["2026-11-26T12:00:00Z"])),
            ("s3:max-keys".to_owned(), of(&["10"])),
            ("aws:tagkeys".to_owned(), of(&["team", "stage"])),
        ]);
        assert_eq!(holds(&condition, &context), expected, "{condition}");
    }

    #[test]
    fn operators_compare_as_documented() {
        for (operator, key, value, expected) in [
            (
                "StringEquals",
                "aws:RequestedRegion",
                json!("eu-west-1"),
                true,
            ),
            (
                "StringNotEquals",
                "aws:RequestedRegion",
                json!("eu-west-1"),
                false,
            ),
            (
                "StringLike",
                "aws:RequestedRegion",
                json!(["us-*", "eu-*"]),
                true,
            ),
            (
                "StringEqualsIgnoreCase",
                "aws:RequestedRegion",
                json!("EU-WEST-1"),
                true,
            ),
            ("IpAddress", "aws:SourceIp", json!("10.0.0.0/16"), true),
            ("IpAddress", "aws:SourceIp", json!("10.1.0.0/16"), false),
            ("NotIpAddress", "aws:SourceIp", json!("10.1.0.0/16"), true),
            ("IpAddress", "aws:SourceIp", json!("0.0.0.0/0"), true),
            ("Bool", "aws:SecureTransport", json!(false), true),
            ("Bool", "aws:SecureTransport", json!("true"), false),
            ("NumericLessThanEquals", "s3:max-keys", json!("10"), true),
            ("NumericGreaterThan", "s3:max-keys", json!(10), false),
            (
                "DateLessThan",
                "aws:CurrentTime",
                json!("2027-01-01T00:00:00Z"),
                true,
            ),
            ("Null", "aws:MultiFactorAuthAge", json!("true"), true),
            ("Null", "aws:SourceIp", json!("true"), false),
            (
                "ForAllValues:StringEquals",
                "aws:TagKeys",
                json!(["team", "stage", "x"]),
                true,
            ),
            (
                "ForAllValues:StringEquals",
                "aws:TagKeys",
                json!(["team"]),
                false,
            ),
            (
                "ForAnyValue:StringEquals",
                "aws:TagKeys",
                json!(["team"]),
                true,
            ),
        ] {
            check(json!({operator: {key: value}}), Some(expected));
        }
    }

    #[test]
    fn a_key_that_is_not_there_fulfils_only_what_says_so() {
        check(json!({"StringEquals": {"aws:none": "a"}}), Some(false));
        check(
            json!({"StringEqualsIfExists": {"aws:none": "a"}}),
            Some(true),
        );
        check(json!({"StringNotEquals": {"aws:none": "a"}}), Some(true));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        check(json!({"StringStrange": {"aws:none": "a"}}), None);
        check(json!("text"), None);
        check(Json::Null, Some(true));
    }

    #[test]
    fn all_conditions_must_hold() {
        let both = json!({"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"aws:RequestedRegion": "us-east-1"}});
        check(both, Some(false));
    }
}
