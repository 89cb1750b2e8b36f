//! Hostile policies: they are read, and what was read decides about a request in bounded time.

use fuzz::{Target, shape_of};
use policy::{Attached, Context, Document, Kind, Principal, Request, Resource, decide};

const IDENTITY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Sid": "a", "Effect": "Allow", "Action": ["s3:Get*", "ecs:*"], "Resource": "arn:aws:s3:::a/${aws:username}/*",
     "Condition": {"ForAnyValue:StringLikeIfExists": {"aws:TagKeys": ["a*", "?"]}, "Null": {"aws:SourceIp": "false"}}},
    {"Effect": "Deny", "NotAction": "iam:*", "NotResource": ["*"],
     "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}}]}"#;
const RESOURCE: &str = r#"{"Statement": {"Effect": "Allow", "Principal": {"AWS": ["111122223333", "*"], "Service": "a.amazonaws.com"},
    "Action": "*", "Resource": "*", "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}, "Bool": {"aws:SecureTransport": "true"}}}}"#;

#[test]
fn fuzz_policy() {
    let principal = Principal::User {
        account: "111122223333".into(),
        arn: "arn:aws:iam::111122223333:user/ann".into(),
        id: "AIDA".into(),
    };
    let context = Context::new();
    let of = |text: &str, kind: Kind| match Document::parse(text, kind) {
        Err(error) => shape_of(&error.to_string()),
        Ok(document) => {
            let decided = |resource: Resource<'_>| {
                let request = Request {
                    action: "s3:GetObject",
                    resource,
                    principal: &principal,
                    context: &context,
                };
                let (own, attached) = match kind {
                    Kind::Identity => (std::slice::from_ref(&document), Attached::None),
                    _ => (&[] as &[Document], Attached::Grants(&document)),
                };
                format!("{:?}", decide(&request, own, attached).outcome)
            };
            let one = decided(Resource::One("arn:aws:s3:::a/ann/b"));
            one + &decided(Resource::AnyOf("arn:aws:s3:::a/*"))
        }
    };
    Target::new("policy", env!("CARGO_MANIFEST_DIR"))
        .seeds([IDENTITY, RESOURCE])
        .words([
            "\"NotPrincipal\": ",
            "\"Principal\": \"*\", ",
            "${aws:username}",
            "${a, 'b'}",
            "ForAllValues:",
            "IfExists",
            "*",
            "?",
            "\"NumericLessThan\": {\"a\": 1}, ",
        ])
        .run(|input| {
            let text = String::from_utf8_lossy(input);
            [Kind::Identity, Kind::Resource, Kind::Trust].map(|kind| of(&text, kind))
        });
}
