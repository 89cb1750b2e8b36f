//! Who may do what to a bucket, as far as it is decided here: everybody who signs as one of the
//! account's may do everything (permissions are `iam`'s to evaluate), and **everybody else** what
//! the bucket's policy or a list of grants lets everybody do, within what public access is blocked
//! to. A statement with a condition allows nothing, and denies, because conditions are not evaluated.

use cloud::{Error, Records};
use serde_json::Value as Json;

use crate::bucket;
use crate::config::{Ownership, PublicAccess};
use crate::errors::*;
use crate::record::{Acl, Bucket};
use crate::versions;

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

/// May an object, or the bucket, be given this list of grants?
pub fn check_acl(bucket: &Bucket, acl: Acl) -> Result<(), Error> {
    if acl == Acl::Private {
        return Ok(());
    }
    if !lists_count(bucket) {
        return Err(AccessControlListNotSupported.because("The bucket does not allow ACLs"));
    }
    if public_access(bucket).block_acls {
        return Err(denied());
    }
    Ok(())
}

/// Lists cannot be turned off under one that says more than the owner's own rights.
pub fn set_ownership(bucket: &mut Bucket, ownership: Option<Ownership>) -> Result<(), Error> {
    if ownership == Some(Ownership::BucketOwnerEnforced) && bucket.acl != Acl::Private {
        return Err(InvalidBucketAclWithObjectOwnership.because(
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    bucket.ownership = ownership;
    Ok(())
}

/// May anybody, unsigned, do this?
pub fn anybody_may(
    tx: &Records<'_>,
    action: &str,
    name: &str,
    key: Option<&str>,
) -> Result<(), Error> {
    let bucket = bucket::find(tx, name)?;
    let object = match key {
        Some(key) => versions::current(tx, name, key)?,
        None => None,
    };
    let acl = match key {
        Some(_) => object.as_ref().map_or(Acl::Private, |it| it.acl),
        None => bucket.acl,
    };
    if !everybody_may(&bucket, action, key, acl) {
        return Err(denied());
    }
    // Whether a key is there is told to those who may list the bucket.
    let reads = action == "s3:GetObject";
    if reads && object.is_none() && !everybody_may(&bucket, "s3:ListBucket", None, bucket.acl) {
        return Err(denied());
    }
    Ok(())
}

fn everybody_may(bucket: &Bucket, action: &str, key: Option<&str>, acl: Acl) -> bool {
    let resource = match key {
        Some(key) => format!("arn:aws:s3:::{}/{key}", bucket.name),
        None => format!("arn:aws:s3:::{}", bucket.name),
    };
    let policy = bucket
        .policy
        .as_deref()
        .and_then(|it| serde_json::from_str(it).ok());
    let policy: Json = policy.unwrap_or_default();
    let about = |effect: &str| {
        let mut about = statements(&policy).filter(|it| it["Effect"] == effect);
        about.any(|it| is_about(it, action, &resource))
    };
    if about("Deny") {
        return false;
    }
    if about("Allow") && !public_access(bucket).restrict_buckets {
        return true;
    }
    let by_list = matches!(
        action,
        "s3:GetObject" | "s3:ListBucket" | "s3:ListBucketVersions"
    );
    by_list && acl == Acl::PublicRead && lists_count(bucket) && !public_access(bucket).ignore_acls
}

fn statements(policy: &Json) -> impl Iterator<Item = &Json> {
    let list = match &policy["Statement"] {
        Json::Array(list) => list.as_slice(),
        Json::Null => &[],
        one => std::slice::from_ref(one),
    };
    list.iter()
}

/// One text, or a list of them.
fn texts(value: &Json) -> Vec<&str> {
    match value {
        Json::Array(list) => list.iter().filter_map(Json::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

fn is_everybody(principal: &Json) -> bool {
    match principal {
        Json::Object(kinds) => kinds
            .iter()
            .any(|(kind, who)| (kind == "AWS" || kind == "*") && texts(who).contains(&"*")),
        other => other.as_str() == Some("*"),
    }
}

fn is_about(statement: &Json, action: &str, resource: &str) -> bool {
    let denies = statement["Effect"] == "Deny";
    let conditional = statement["Condition"]
        .as_object()
        .is_some_and(|it| !it.is_empty());
    if conditional && !denies {
        return false;
    }
    // Who "everybody but" is about needs to know who asks: it allows nobody here, and denies.
    let principal =
        is_everybody(&statement["Principal"]) || (denies && !statement["NotPrincipal"].is_null());
    let named = |member: &str, what: &str, fold: bool| {
        texts(&statement[member])
            .iter()
            .any(|it| matches(it, what, fold))
    };
    let action = named("Action", action, true)
        || (!statement["NotAction"].is_null() && !named("NotAction", action, true));
    let resource = named("Resource", resource, false)
        || (!statement["NotResource"].is_null() && !named("NotResource", resource, false));
    principal && action && resource
}

/// `*` stands for anything, `?` for one character.
fn matches(pattern: &str, text: &str, fold_case: bool) -> bool {
    let fold = |it: &str| -> Vec<char> {
        if fold_case {
            it.to_lowercase().chars().collect()
        } else {
            it.chars().collect()
        }
    };
    let (pattern, text) = (fold(pattern), fold(text));
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            p = at + 1;
            t = from + 1;
            star = Some((at, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|it| *it == '*')
}

/// A policy as it may be put on a bucket.
pub fn check_policy(bucket: &Bucket, text: &str) -> Result<(), Error> {
    let malformed = |why: &str| Err(MalformedPolicy.because(why.to_owned()));
    if text.len() > POLICY_BYTES_MAX {
        return malformed("Policy exceeds the maximum allowed document size.");
    }
    let Ok(policy) = serde_json::from_str::<Json>(text) else {
        return malformed("Policies must be valid JSON and the first byte must be '{'");
    };
    if !policy.is_object() {
        return malformed("Policies must be valid JSON and the first byte must be '{'");
    }
    if !matches!(
        policy["Version"].as_str(),
        Some("2012-10-17" | "2008-10-17") | None
    ) {
        return malformed("The policy must contain a valid version string");
    }
    if statements(&policy).next().is_none() {
        return malformed("Missing required field Statement");
    }
    for statement in statements(&policy) {
        check_statement(bucket, statement)?;
    }
    if is_public(&policy) && public_access(bucket).block_policy {
        return Err(wire::codes::AccessDenied.because(format!(
            "User is not authorized to perform: s3:PutBucketPolicy on resource: \"arn:aws:s3:::{}\" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
            bucket.name
        )));
    }
    Ok(())
}

fn check_statement(bucket: &Bucket, statement: &Json) -> Result<(), Error> {
    let malformed = |why: &str| Err(MalformedPolicy.because(why.to_owned()));
    let either = |one: &str, other: &str| {
        let text = |it: &str| !texts(&statement[it]).is_empty();
        text(one) != text(other)
    };
    if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
        return malformed("Missing required field Effect");
    }
    if statement["Principal"].is_null() == statement["NotPrincipal"].is_null() {
        return malformed("Missing required field Principal");
    }
    if !either("Action", "NotAction") {
        return malformed("Missing required field Action");
    }
    if !either("Resource", "NotResource") {
        return malformed("Missing required field Resource");
    }
    let actions = texts(&statement["Action"]);
    if actions
        .iter()
        .any(|it| *it != "*" && !it.to_lowercase().starts_with("s3:"))
    {
        return malformed("Policy has invalid action");
    }
    let arn = format!("arn:aws:s3:::{}", bucket.name);
    let ours = |it: &&str| {
        *it == arn
            || it
                .strip_prefix(arn.as_str())
                .is_some_and(|rest| rest.starts_with(['/', '*']))
    };
    if !texts(&statement["Resource"]).iter().all(ours) {
        return malformed("Policy has invalid resource");
    }
    Ok(())
}

fn is_public(policy: &Json) -> bool {
    statements(policy).any(|it| {
        it["Effect"] == "Allow" && is_everybody(&it["Principal"]) && it["Condition"].is_null()
    })
}

/// Whether the bucket's policy makes it public (`GetBucketPolicyStatus`).
pub fn policy_is_public(bucket: &Bucket) -> bool {
    let policy = bucket
        .policy
        .as_deref()
        .and_then(|it| serde_json::from_str(it).ok());
    policy.is_some_and(|it| is_public(&it))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bucket(statement: Json) -> Bucket {
        Bucket {
            name: "b".into(),
            policy: Some(json!({"Statement": statement}).to_string()),
            ..Bucket::default()
        }
    }

    fn may_read(bucket: &Bucket) -> bool {
        everybody_may(bucket, "s3:GetObject", Some("a/b.html"), Acl::Private)
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
        let read =
            |bucket: &Bucket| everybody_may(bucket, "s3:GetObject", Some("k"), Acl::PublicRead);
        let mut it = bucket(json!([]));
        it.ownership = Some(Ownership::ObjectWriter);
        assert!(read(&it));
        assert!(!everybody_may(
            &it,
            "s3:PutObject",
            Some("k"),
            Acl::PublicRead
        ));
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
    fn patterns() {
        assert!(matches("a*c", "abbc", false) && matches("*", "", false));
        assert!(matches("a*b*c", "aXbYbZc", false) && !matches("a*b", "ac", false));
        assert!(!matches("a?", "a", false) && !matches("A", "a", false) && matches("A", "a", true));
    }
}
