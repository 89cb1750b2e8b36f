//! What a bucket's policy and lists of grants say: whom they let do what, and what may be put on a
//! bucket. Who is asked about, and when, is [`crate::authorize`]'s.

use cloud::{ClientOrigin, ConditionKey, Error, Origin};
use policy::{Attached, Context, Document, Kind, Outcome, Principal, Purpose, Request, Resource};

use crate::acl::{Acl, ListOf, right_for};
use crate::config::{Ownership, PublicAccess};
use crate::errors::*;
use crate::record::Bucket;

/// User Guide, "Bucket policies": 20 KB.
const POLICY_BYTES_MAX: usize = 20 * 1024;

pub fn denied() -> Error {
    wire::codes::AccessDenied.because("Access Denied")
}

fn public_access(bucket: &Bucket) -> PublicAccess {
    bucket.public_access.unwrap_or_default()
}

fn lists_count(bucket: &Bucket) -> bool {
    let ownership = bucket.ownership.unwrap_or(Ownership::ObjectWriter);
    ownership != Ownership::BucketOwnerEnforced
}

/// Where lists are off, a bucket cannot be given any, not even one that says what is so.
pub fn check_lists_count(bucket: &Bucket) -> Result<(), Error> {
    match lists_count(bucket) {
        true => Ok(()),
        false => Err(AccessControlListNotSupported.because("The bucket does not allow ACLs")),
    }
}

/// May an object, or the bucket, be given this list of grants?
pub fn check_acl(bucket: &Bucket, acl: &Acl) -> Result<(), Error> {
    if acl.is_private() {
        return Ok(());
    }
    check_lists_count(bucket)?;
    if public_access(bucket).block_acls && acl.is_public() {
        return Err(denied());
    }
    Ok(())
}

/// Lists cannot be turned off under one that says more than the owner's own rights.
pub fn set_ownership(bucket: &mut Bucket, ownership: Option<Ownership>) -> Result<(), Error> {
    if ownership == Some(Ownership::BucketOwnerEnforced) && !bucket.acl.is_private() {
        return Err(InvalidBucketAclWithObjectOwnership.because(
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    bucket.ownership = ownership;
    Ok(())
}

/// An action on one resource, and what is known of the request.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub action: &'a str,
    pub arn: &'a str,
    /// Of the object, where one is touched that is there.
    pub acl: Option<&'a Acl>,
    pub keys: &'a [ConditionKey],
    pub origin: &'a Origin,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

impl Scene<'_> {
    fn context(&self) -> Context {
        let mut context = Context::new();
        context.set("aws:CurrentTime", time(self.now_ms));
        context.set("aws:EpochTime", self.now_ms.div_euclid(1000).to_string());
        match self.origin {
            Origin::Client(client) => set_origin(&mut context, client),
            // It goes over no wire at all.
            Origin::Internal => context.set("aws:SecureTransport", "true"),
        }
        for key in self.keys {
            match key.family() {
                Some(family) => context.know_family(family),
                None => context.set_all(&key.name, key.values.iter().flatten()),
            }
        }
        context
    }

    fn decide(&self, bucket: &Bucket, who: &Principal, context: &Context) -> Outcome {
        let request = Request {
            action: self.action,
            resource: Resource::One(self.arn),
            principal: who,
            context,
        };
        let document = document(bucket);
        let attached = match &document {
            Some(document) => Attached::Grants(document),
            None => Attached::None,
        };
        policy::decide(&request, &[], attached).outcome
    }
}

fn time(now_ms: i64) -> String {
    wire::Timestamp(now_ms.div_euclid(1000) as f64).to_string()
}

fn set_origin(context: &mut Context, client: &ClientOrigin) {
    context.set("aws:SecureTransport", client.is_private().to_string());
    context.set_or_absent("aws:UserAgent", client.user_agent.as_deref());
    // What comes out of a network of the account's has an address that means nothing outside of it.
    if client.inside.is_none() {
        for key in ["aws:SourceVpc", "aws:SourceVpce", "aws:VpcSourceIp"] {
            context.set_absent(key);
        }
        if let Some(address) = client.address {
            context.set("aws:SourceIp", address.to_string());
        }
    }
}

/// One that cannot be read may have denied anything, and denies everything.
fn document(bucket: &Bucket) -> Option<Document> {
    let text = bucket.policy.as_deref()?;
    let parsed = Document::parse(text, Kind::Resource);
    Some(parsed.unwrap_or_else(|_| Document::unreadable(Kind::Resource)))
}

/// May anybody, unsigned, do this?
pub fn everybody_may(bucket: &Bucket, scene: &Scene<'_>) -> bool {
    let mut context = scene.context();
    context.set("aws:PrincipalType", "Anonymous");
    context.set("aws:PrincipalIsAWSService", "false");
    for key in [
        "aws:PrincipalAccount",
        "aws:PrincipalArn",
        "aws:PrincipalOrgID",
        "aws:username",
        "aws:userid",
        "aws:MultiFactorAuthPresent",
        "aws:SourceAccount",
        "aws:SourceArn",
    ] {
        context.set_absent(key);
    }
    context.know_family("aws:PrincipalTag");
    match scene.decide(bucket, &Principal::Anonymous, &context) {
        Outcome::DeniedExplicitly(_) => return false,
        Outcome::Allowed if !public_access(bucket).restrict_buckets => return true,
        _ => {}
    }
    if !lists_count(bucket) || public_access(bucket).ignore_acls {
        return false;
    }
    match right_for(scene.action) {
        Some((right, ListOf::Bucket)) => bucket.acl.lets_everybody(right),
        Some((right, ListOf::Object)) => scene.acl.is_some_and(|it| it.lets_everybody(right)),
        None => false,
    }
}

/// A policy as it may be put on a bucket.
pub fn check_policy(bucket: &Bucket, text: &str) -> Result<(), Error> {
    let malformed = |why: &str| Err(MalformedPolicy.because(why.to_owned()));
    if text.len() > POLICY_BYTES_MAX {
        return malformed("Policy exceeds the maximum allowed document size.");
    }
    let document = match Document::put(text, Purpose::Resource) {
        Ok(document) => document,
        Err(policy::Malformed::NotJson) => {
            return malformed("Policies must be valid JSON and the first byte must be '{'");
        }
        Err(error) => return malformed(&error.to_string()),
    };
    for statement in document.statements() {
        let is_ours = |it: &str| it == "*" || it.to_ascii_lowercase().starts_with("s3:");
        if !statement.actions().all(is_ours) {
            return malformed("Policy has invalid action");
        }
        if statement.resources().next().is_none() {
            return malformed("Missing required field Resource");
        }
        let arn = format!("arn:aws:s3:::{}", bucket.name);
        let is_ours = |it: &str| {
            let rest = it.strip_prefix(arn.as_str());
            rest.is_some_and(|it| it.is_empty() || it.starts_with(['/', '*']))
        };
        if !statement.excludes_resources() && !statement.resources().all(is_ours) {
            return malformed("Policy has invalid resource");
        }
    }
    if document.is_public() && public_access(bucket).block_policy {
        return Err(wire::codes::AccessDenied.because(format!(
            "User is not authorized to perform: s3:PutBucketPolicy on resource: \"arn:aws:s3:::{}\" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
            bucket.name
        )));
    }
    Ok(())
}

/// Whether the bucket's policy makes it public (`GetBucketPolicyStatus`).
pub fn policy_is_public(bucket: &Bucket) -> bool {
    document(bucket).is_some_and(|it| it.is_public())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn bucket(statement: Json) -> Bucket {
        Bucket {
            name: "b".into(),
            policy: Some(json!({"Statement": statement}).to_string()),
            ..Bucket::default()
        }
    }

    fn may(bucket: &Bucket, action: &str, arn: &str, acl: &Acl) -> bool {
        let keys = [
            ConditionKey::new("s3:x-amz-acl", None::<String>),
            ConditionKey::new("s3:ExistingObjectTag/*", None::<String>),
            ConditionKey::new("s3:ExistingObjectTag/public", Some("yes")),
        ];
        let origin = Origin::Client(ClientOrigin {
            address: "10.1.2.3".parse().ok(),
            user_agent: None,
            is_secure: false,
            inside: None,
        });
        let scene = Scene {
            action,
            arn,
            acl: Some(acl),
            keys: &keys,
            origin: &origin,
            now_ms: 1_800_000_000_000,
        };
        everybody_may(bucket, &scene)
    }

    fn may_read(bucket: &Bucket) -> bool {
        may(
            bucket,
            "s3:GetObject",
            "arn:aws:s3:::b/a/b.html",
            &Acl::default(),
        )
    }

    fn allow() -> Json {
        json!({
            "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::b/*"
        })
    }

    fn changed(member: &str, value: Json) -> Json {
        let mut statement = allow();
        statement[member] = value;
        statement
    }

    #[test]
    fn everybody_may_what_a_statement_allows_everybody() {
        assert!(may_read(&bucket(allow())));
        assert!(may_read(&bucket(json!([changed(
            "Principal",
            json!({"AWS": ["*"]})
        )]))));
        assert!(may_read(&bucket(changed("Action", json!(["S3:get*"])))));
        assert!(may_read(&bucket(changed(
            "Resource",
            json!("arn:aws:s3:::b/a/?.html")
        ))));
    }

    #[test]
    fn and_nothing_else() {
        for statement in [
            changed("Effect", json!("Deny")),
            changed(
                "Principal",
                json!({"AWS": "arn:aws:iam::123456789012:root"}),
            ),
            changed("Principal", json!({"Service": "*"})),
            changed("Action", json!("s3:PutObject")),
            changed("Resource", json!("arn:aws:s3:::b")),
            changed("Resource", json!("arn:aws:s3:::b/c/*")),
            changed(
                "Condition",
                json!({"Bool": {"aws:SecureTransport": "true"}}),
            ),
            json!([allow(), changed("Effect", json!("Deny"))]),
        ] {
            assert!(!may_read(&bucket(statement.clone())), "{statement}");
        }
        let blocked = Bucket {
            public_access: Some(PublicAccess::BLOCKED),
            ..bucket(allow())
        };
        assert!(!may_read(&blocked));
    }

    #[test]
    fn a_list_of_grants_counts_where_lists_do() {
        let arn = "arn:aws:s3:::b/k";
        let read = |bucket: &Bucket| may(bucket, "s3:GetObject", arn, &Acl::public_read());
        let mut it = Bucket {
            name: "b".into(),
            ..Bucket::default()
        };
        it.ownership = Some(Ownership::ObjectWriter);
        assert!(read(&it));
        assert!(!may(&it, "s3:PutObject", arn, &Acl::public_read()));
        it.ownership = Some(Ownership::BucketOwnerEnforced);
        assert!(!read(&it));
    }

    #[test]
    fn what_is_no_policy_is_refused_and_what_is_public_where_it_is_blocked() {
        let check = |statement: Json| {
            check_policy(
                &bucket(json!([])),
                &json!({"Statement": statement}).to_string(),
            )
        };
        assert!(check(allow()).is_ok());
        for wrong in [
            changed("Effect", json!("Maybe")),
            changed("Resource", json!("arn:aws:s3:::other/*")),
            changed("Action", json!("ec2:RunInstances")),
            changed("Principal", Json::Null),
            json!([]),
        ] {
            assert!(check(wrong.clone()).is_err(), "{wrong}");
        }
        let mut blocked = bucket(json!([]));
        blocked.public_access = Some(PublicAccess::BLOCKED);
        let text = json!({"Statement": allow()}).to_string();
        assert_eq!(
            check_policy(&blocked, &text).unwrap_err().code,
            "AccessDenied"
        );
    }

    #[test]
    fn conditions_are_held_against_what_is_known() {
        let with = |condition: Json| bucket(changed("Condition", condition));
        for (condition, expected) in [
            (json!({"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}}), true),
            (json!({"IpAddress": {"aws:SourceIp": "10.2.0.0/16"}}), false),
            (
                json!({"StringEquals": {"s3:ExistingObjectTag/public": "yes"}}),
                true,
            ),
            (
                json!({"StringEquals": {"s3:ExistingObjectTag/other": "yes"}}),
                false,
            ),
            (json!({"Null": {"s3:x-amz-acl": "true"}}), true),
            // Nothing is known of it.
            (json!({"Null": {"aws:Unheard": "true"}}), false),
        ] {
            assert_eq!(may_read(&with(condition.clone())), expected, "{condition}");
        }
        let mut deny = changed("Effect", json!("Deny"));
        deny["Condition"] = json!({"StringNotEquals": {"aws:Unheard": "x"}});
        assert!(!may_read(&bucket(json!([allow(), deny.clone()]))));
        deny["Condition"] = json!({"Bool": {"aws:SecureTransport": "false"}});
        assert!(!may_read(&bucket(json!([allow(), deny]))));
        let unreadable = Bucket {
            policy: Some("{".into()),
            ..bucket(allow())
        };
        assert!(!may_read(&unreadable));
    }
}
