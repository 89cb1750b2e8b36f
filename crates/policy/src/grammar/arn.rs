//! What stands in `Resource` and `NotResource` of a policy of IAM's.

/// The beginnings of the paths that IAM's own resources have.
const IAM_PATHS: &[&str] = &[
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

/// What AWS's own policies name besides, and the message does not.
const IAM_PATHS_UNTOLD: &[&str] = &["role-template/", "root"];

/// What S3 has in regions; buckets and objects are not.
const S3_REGIONAL: &[&str] = &[
    "accesspoint/",
    "access-grants/",
    "async-request/",
    "job/",
    "storage-lens/",
    "storage-lens-group/",
];

/// The only partition there is; `*` stands for it, too.
const PARTITION: &str = "aws";

const PARTS: usize = 6;

/// What is wrong with a resource, in IAM's words.
pub fn fault(resource: &str) -> Option<String> {
    if resource == "*" {
        return None;
    }
    let parts: Vec<&str> = resource.splitn(PARTS, ':').collect();
    let not_arn = || {
        Some(format!(
            "Resource {resource} must be in ARN format or \"*\"."
        ))
    };
    if parts.len() == 1 {
        return not_arn();
    }
    if !matches!(parts[1], PARTITION | "*") {
        let part = |at: usize| match (parts.get(at), at) {
            (None, _) => "*",
            // The service alone is said to be any when nothing follows it.
            (Some(&""), 2) if parts.len() == 3 => "*",
            (Some(it), _) => it,
        };
        return Some(format!(
            "Partition \"{0}\" is not valid for resource \"arn:{0}:{1}:{2}:{3}:{4}\".",
            parts[1],
            part(2),
            part(3),
            part(4),
            part(5)
        ));
    }
    if parts[0] != "arn" {
        return not_arn();
    }
    let vendor = parts.get(2).copied();
    if vendor.is_none_or(|it| it.contains(['*', '?'])) {
        return Some(
            "Resource vendor must be fully qualified and cannot contain regexes.".to_owned(),
        );
    }
    let region = parts.get(3).copied().unwrap_or_default();
    let path = parts.get(5).copied();
    let begins = |all: &[&str]| path.is_some_and(|path| all.iter().any(|it| path.starts_with(it)));
    match vendor {
        Some("iam") if !region.is_empty() => Some(format!(
            "IAM resource {resource} cannot contain region information."
        )),
        Some("s3") if !region.is_empty() && !begins(S3_REGIONAL) => Some(format!(
            "Resource {resource} can not contain region information."
        )),
        Some("iam") if begins(IAM_PATHS) || begins(IAM_PATHS_UNTOLD) => None,
        Some("iam") if path.is_some_and(|it| it != "*") => Some(format!(
            "IAM resource path must either be \"*\" or start with {}.",
            IAM_PATHS.join(", ")
        )),
        _ => None,
    }
}

/// Whether the older of IAM's readers takes it: parts may be left out at the end, and none in between.
pub fn is_legacy(resource: &str) -> bool {
    let parts: Vec<&str> = resource.split(':').collect();
    resource == "*"
        || ((parts.len() >= PARTS || !resource.contains("::"))
            && parts.get(2).is_some_and(|it| !it.is_empty()))
}

/// An ARN with the parts that were left out at its end, which are any.
pub fn whole(resource: &str) -> String {
    let missing = PARTS.saturating_sub(resource.split(':').count());
    match resource {
        "*" => resource.to_owned(),
        _ => format!("{resource}{}", ":*".repeat(missing)),
    }
}
