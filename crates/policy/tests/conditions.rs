//! Each operator of conditions, as the user guide's tables have them.

use policy::{Attached, Context, Document, Kind, Principal, Request, Resource, decide};
use serde_json::{Value as Json, json};

fn context() -> Context {
    let mut context = Context::new();
    for (key, value) in [
        ("aws:SourceIp", "10.0.1.7"),
        ("aws:VpcSourceIp", "2001:db8::7"),
        ("aws:RequestedRegion", "eu-west-1"),
        ("aws:SecureTransport", "false"),
        ("aws:CurrentTime", "2026-11-26T12:00:00Z"),
        ("aws:EpochTime", "1795694400"),
        ("s3:max-keys", "10"),
        ("aws:PrincipalArn", "arn:aws:iam::1:role/x/build"),
        ("aws:SourceArn", "arn:aws:sns:eu-west-1:1:topic:sub"),
        ("aws:username", "ann"),
        ("x:bytes", "QmluYXJ5"),
        ("x:empty", ""),
    ] {
        context.set(key, value);
    }
    context.set_all("aws:TagKeys", ["team", "stage"]);
    context.set_tags("aws:ResourceTag", [("owner", "ann")]);
    context.set_absent("x:absent");
    context
}

/// Whether a condition holds, told by an `Allow`; and that a `Deny` agrees.
fn holds(condition: &Json) -> bool {
    let decided = |effect: &str| {
        let text = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": effect, "Action": "*", "Resource": "*", "Condition": condition},
        ]})
        .to_string();
        let document = Document::parse(&text, Kind::Identity).unwrap_or_else(|it| panic!("{it}"));
        let all = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
        let all = Document::parse(all, Kind::Identity).unwrap();
        let own = match effect {
            "Deny" => vec![all, document],
            _ => vec![document],
        };
        let request = Request {
            action: "s3:GetObject",
            resource: Resource::One("*"),
            principal: &Principal::User {
                account: "1".into(),
                arn: "arn:aws:iam::1:user/ann".into(),
                id: "AIDA".into(),
            },
            context: &context(),
        };
        decide(&request, &own, Attached::None)
    };
    let (allowed, denied) = (decided("Allow"), decided("Deny"));
    assert!(allowed.unknown.is_empty(), "{condition} {allowed:?}");
    assert_eq!(allowed.is_allowed(), !denied.is_allowed(), "{condition}");
    allowed.is_allowed()
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
            "StringEquals",
            "aws:RequestedRegion",
            json!("eu-west-*"),
            false,
        ),
        (
            "StringEquals",
            "aws:RequestedRegion",
            json!(["x", "eu-west-1"]),
            true,
        ),
        (
            "StringNotEquals",
            "aws:RequestedRegion",
            json!("eu-west-1"),
            false,
        ),
        (
            "StringNotEquals",
            "aws:RequestedRegion",
            json!(["a", "b"]),
            true,
        ),
        (
            "StringNotEquals",
            "aws:RequestedRegion",
            json!(["a", "eu-west-1"]),
            false,
        ),
        (
            "StringEqualsIgnoreCase",
            "aws:RequestedRegion",
            json!("EU-WEST-1"),
            true,
        ),
        (
            "StringNotEqualsIgnoreCase",
            "aws:RequestedRegion",
            json!("EU-WEST-1"),
            false,
        ),
        (
            "StringLike",
            "aws:requestedregion",
            json!(["us-*", "eu-*"]),
            true,
        ),
        ("StringLike", "aws:RequestedRegion", json!("EU-*"), false),
        (
            "StringNotLike",
            "aws:RequestedRegion",
            json!(["us-*", "eu-*"]),
            false,
        ),
        (
            "StringEquals",
            "aws:ResourceTag/owner",
            json!("${aws:username}"),
            true,
        ),
        (
            "StringEquals",
            "aws:username",
            json!("${aws:ResourceTag/OWNER}"),
            true,
        ),
        (
            "StringEquals",
            "aws:username",
            json!("${aws:ResourceTag/none}"),
            false,
        ),
        (
            "StringNotEquals",
            "aws:username",
            json!("${aws:ResourceTag/none}"),
            true,
        ),
        (
            "StringEquals",
            "aws:username",
            json!("${aws:ResourceTag/none, 'ann'}"),
            true,
        ),
        ("StringLike", "aws:username", json!("${*}nn"), false),
        ("IpAddress", "aws:SourceIp", json!("10.0.0.0/16"), true),
        ("IpAddress", "aws:SourceIp", json!("10.1.0.0/16"), false),
        ("IpAddress", "aws:SourceIp", json!("10.0.1.7"), true),
        ("IpAddress", "aws:SourceIp", json!("0.0.0.0/0"), true),
        ("NotIpAddress", "aws:SourceIp", json!("10.1.0.0/16"), true),
        (
            "NotIpAddress",
            "aws:SourceIp",
            json!(["10.1.0.0/16", "10.0.0.0/8"]),
            false,
        ),
        ("IpAddress", "aws:VpcSourceIp", json!("2001:db8::/32"), true),
        ("IpAddress", "aws:VpcSourceIp", json!("0.0.0.0/0"), false),
        ("Bool", "aws:SecureTransport", json!(false), true),
        ("Bool", "aws:SecureTransport", json!("true"), false),
        ("Bool", "aws:username", json!("true"), false),
        ("NumericEquals", "s3:max-keys", json!("10.0"), true),
        ("NumericNotEquals", "s3:max-keys", json!(10), false),
        ("NumericLessThan", "s3:max-keys", json!("10"), false),
        ("NumericLessThanEquals", "s3:max-keys", json!("10"), true),
        ("NumericGreaterThan", "s3:max-keys", json!(9), true),
        ("NumericGreaterThanEquals", "s3:max-keys", json!(11), false),
        ("NumericLessThan", "aws:username", json!(11), false),
        ("NumericNotEquals", "aws:username", json!(11), true),
        (
            "NumericGreaterThan",
            "aws:EpochTime",
            json!("1795694399"),
            true,
        ),
        (
            "DateEquals",
            "aws:CurrentTime",
            json!("2026-11-26T12:00Z"),
            true,
        ),
        (
            "DateNotEquals",
            "aws:CurrentTime",
            json!("2026-11-26T13:00:00+01:00"),
            false,
        ),
        (
            "DateLessThan",
            "aws:CurrentTime",
            json!("2027-01-01T00:00:00Z"),
            true,
        ),
        (
            "DateLessThan",
            "aws:CurrentTime",
            json!("2026-11-26T12:00:00.5Z"),
            true,
        ),
        (
            "DateLessThan",
            "aws:CurrentTime",
            json!("2026-11-26"),
            false,
        ),
        ("DateLessThan", "aws:CurrentTime", json!("2027"), true),
        ("DateGreaterThan", "aws:CurrentTime", json!("2026-11"), true),
        (
            "DateLessThanEquals",
            "aws:CurrentTime",
            json!(1_795_694_400),
            true,
        ),
        (
            "DateGreaterThanEquals",
            "aws:EpochTime",
            json!("2026-11-26T12:00:00Z"),
            true,
        ),
        (
            "DateGreaterThan",
            "aws:EpochTime",
            json!("2026-11-26T12:00:00Z"),
            false,
        ),
        ("BinaryEquals", "x:bytes", json!("QmluYXJ5"), true),
        ("BinaryEquals", "x:bytes", json!("Qmlu"), false),
        (
            "ArnEquals",
            "aws:PrincipalArn",
            json!("arn:aws:iam::1:role/*"),
            true,
        ),
        (
            "ArnLike",
            "aws:PrincipalArn",
            json!("arn:aws:iam::*:role/x/buil?"),
            true,
        ),
        // A part of an ARN is compared for itself: no star reaches over a colon before the last part.
        (
            "ArnLike",
            "aws:SourceArn",
            json!("arn:aws:sns:*:sub:x:y"),
            false,
        ),
        (
            "ArnLike",
            "aws:SourceArn",
            json!("arn:*:*:*:*:topic"),
            false,
        ),
        (
            "ArnLike",
            "aws:SourceArn",
            json!("arn:*:sns:*:1:topic:*"),
            true,
        ),
        (
            "ArnNotLike",
            "aws:SourceArn",
            json!("arn:*:sns:*:1:topic:*"),
            false,
        ),
        (
            "ArnNotEquals",
            "aws:username",
            json!("arn:aws:iam::1:user/ann"),
            true,
        ),
        ("ArnLike", "aws:PrincipalArn", json!("*"), true),
        (
            "ArnEquals",
            "aws:PrincipalArn",
            json!("arn:aws:iam::1:role/x/build${aws:ResourceTag/n, ''}"),
            true,
        ),
        ("Null", "x:absent", json!("true"), true),
        ("Null", "x:absent", json!(false), false),
        ("Null", "aws:SourceIp", json!("true"), false),
        ("Null", "aws:SourceIp", json!("false"), true),
        ("Null", "aws:ResourceTag/none", json!("true"), true),
    ] {
        let condition = json!({operator: {key: value}});
        assert_eq!(holds(&condition), expected, "{condition}");
    }
}

#[test]
fn sets_are_compared_member_by_member() {
    for (operator, key, value, expected) in [
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
        (
            "ForAnyValue:StringLike",
            "aws:TagKeys",
            json!(["cost*"]),
            false,
        ),
        (
            "ForAllValues:StringNotLike",
            "aws:TagKeys",
            json!(["cost*"]),
            true,
        ),
        (
            "ForAllValues:StringNotLike",
            "aws:TagKeys",
            json!(["te*"]),
            false,
        ),
        (
            "ForAnyValue:StringNotEquals",
            "aws:TagKeys",
            json!(["team"]),
            true,
        ),
        (
            "ForAnyValue:StringNotEquals",
            "aws:TagKeys",
            json!(["team", "stage"]),
            false,
        ),
        ("ForAllValues:StringEquals", "x:absent", json!("a"), true),
        ("ForAllValues:StringNotEquals", "x:absent", json!("a"), true),
        ("ForAnyValue:StringEquals", "x:absent", json!("a"), false),
        ("ForAnyValue:StringNotEquals", "x:absent", json!("a"), false),
        (
            "ForAnyValue:StringEqualsIfExists",
            "x:absent",
            json!("a"),
            true,
        ),
        ("ForAllValues:StringEquals", "x:empty", json!("a"), true),
        ("ForAnyValue:StringNotEquals", "x:empty", json!("a"), false),
        // All agree, so that it does not matter which of the values is meant.
        ("StringNotEquals", "aws:TagKeys", json!(["x"]), true),
    ] {
        let condition = json!({operator: {key: value}});
        assert_eq!(holds(&condition), expected, "{condition}");
    }
}

#[test]
fn a_key_that_is_not_there_fulfils_only_what_says_so() {
    for (operator, value, expected) in [
        ("StringEquals", "a", false),
        ("StringEqualsIfExists", "a", true),
        ("StringNotEquals", "a", true),
        ("StringNotLikeIfExists", "a", true),
        ("NumericLessThan", "1", false),
        ("NumericLessThanIfExists", "1", true),
        ("Bool", "true", false),
        ("BoolIfExists", "true", true),
        ("NotIpAddress", "10.0.0.0/8", true),
        ("ArnNotEquals", "arn:aws:iam::1:user/a", true),
        ("DateNotEquals", "2026-01-01", true),
    ] {
        let condition = json!({operator: {"x:absent": value}});
        assert_eq!(holds(&condition), expected, "{condition}");
    }
}

#[test]
fn all_conditions_must_hold() {
    let both = |region: &str| json!({"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"aws:RequestedRegion": region, "aws:username": "ann"}});
    assert!(holds(&both("eu-west-1")) && !holds(&both("us-east-1")));
}

/// Before 2012-10-17 a variable is a text like others.
#[test]
fn old_documents_know_no_variables() {
    for (version, expected) in [("2012-10-17", true), ("2008-10-17", false), ("", false)] {
        let version = match version {
            "" => String::new(),
            it => format!(r#""Version":"{it}","#),
        };
        let text = format!(
            r#"{{{version}"Statement":{{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::home/${{aws:username}}/*"}}}}"#
        );
        let document = Document::parse(&text, Kind::Identity).unwrap();
        let request = Request {
            action: "s3:GetObject",
            resource: Resource::One("arn:aws:s3:::home/ann/x"),
            principal: &Principal::User {
                account: "1".into(),
                arn: "arn:aws:iam::1:user/ann".into(),
                id: "AIDA".into(),
            },
            context: &context(),
        };
        let decision = decide(&request, &[document], Attached::None);
        assert_eq!(decision.is_allowed(), expected, "{text}");
    }
}
