//! The records that calls touch, for the table's permissions.

use cloud::permission::{Permission, on};
use cloud::{ConditionKey, Cx, Error, FoundRole, Record, Touched};
use wire::Operation;

use crate::names::{arn, key};
use crate::policy::CustomerPolicy;
use crate::profile::Profile;
use crate::role::RoleRecord;
use crate::service_credential::ServiceCredential;
use crate::user::{UserRecord, name_or_caller};

/// A role, user or the like is asked for by its name, and its ARN has a path that the name does not
/// tell: it is the record's.
fn found<R: Record>(cx: &Cx, name: &str) -> Option<R> {
    cx.read(|tx| tx.get(&key(name))).ok().flatten()
}

/// What is not there has no path, as far as anybody can tell.
fn absent(cx: &Cx, kind: &str, path: Option<&str>, name: &str) -> Touched {
    Touched::absent(arn(cx.account(), kind, path.unwrap_or("/"), name))
}

pub fn role_touched(cx: &Cx, name: &str) -> Touched {
    match found::<RoleRecord>(cx, name) {
        Some(role) => Touched::named(role.arn()).tagged(role.tags),
        None => absent(cx, "role", None, name),
    }
}

/// A role, for whoever is to act with it.
pub fn lend_role(cx: &Cx, name: &str) -> Result<Option<FoundRole>, Error> {
    let role: Option<RoleRecord> = cx.read(|tx| tx.get(&key(name)))?;
    Ok(role.map(|role| FoundRole {
        arn: role.arn(),
        trust: role.trust,
        tags: role.tags.into_iter().collect(),
    }))
}

pub fn new_role(cx: &Cx, path: Option<&str>, name: &str) -> Touched {
    absent(cx, "role", path, name)
}

pub fn profile_touched(cx: &Cx, name: &str) -> Touched {
    match found::<Profile>(cx, name) {
        Some(it) => Touched::named(it.arn()).tagged(it.tags),
        None => absent(cx, "instance-profile", None, name),
    }
}

pub fn new_profile(cx: &Cx, path: Option<&str>, name: &str) -> Touched {
    absent(cx, "instance-profile", path, name)
}

pub fn user_touched(cx: &Cx, name: &str) -> Touched {
    match found::<UserRecord>(cx, name) {
        Some(it) => Touched::named(it.arn()).tagged(it.tags),
        None => absent(cx, "user", None, name),
    }
}

pub fn new_user(cx: &Cx, path: Option<&str>, name: &str) -> Touched {
    absent(cx, "user", path, name)
}

/// The user that is named, or who calls. Nobody else has a user of its own: the call fails later.
pub fn user_or_caller(cx: &Cx, name: Option<&String>) -> Touched {
    match name_or_caller(cx, name.cloned()) {
        Ok(name) => user_touched(cx, &name),
        Err(_) => Touched::any(arn(cx.account(), "user", "/", "*")),
    }
}

/// A managed policy is asked for by its whole ARN.
pub fn policy_touched(cx: &Cx, arn: &str) -> Touched {
    let found = cx
        .read(|tx| CustomerPolicy::get(cx, tx, arn))
        .ok()
        .flatten();
    match found {
        Some(policy) => Touched::named(policy.arn()).tagged(policy.tags),
        None => Touched::absent(arn),
    }
}

pub fn new_policy(cx: &Cx, path: Option<&str>, name: &str) -> Touched {
    absent(cx, "policy", path, name)
}

/// The role that a task of deletion is about: `task/aws-service-role/SERVICE/NAME/UUID`.
pub fn role_of_task(cx: &Cx, task: &str) -> Touched {
    let name = task.rsplit('/').nth(1).unwrap_or_default();
    let path = task
        .strip_prefix("task")
        .and_then(|it| it.split(name).next());
    absent(cx, "role", path.filter(|_| !name.is_empty()), name)
}

pub fn credential_service(cx: &Cx, id: &str) -> ConditionKey {
    let found = found::<ServiceCredential>(cx, id);
    ConditionKey::new(
        CREDENTIAL_SERVICE[0],
        found.map(|_| crate::service_credential::SERVICE),
    )
}

pub const BOUNDARY: &[&str] = &["iam:PermissionsBoundary"];
pub const BOUNDARY_AND_POLICY: &[&str] = &["iam:PermissionsBoundary", "iam:PolicyARN"];
pub const CREDENTIAL_SERVICE: &[&str] = &["iam:ServiceSpecificCredentialServiceName"];
pub const CREDENTIAL_NEW: &[&str] = &[
    "iam:ServiceSpecificCredentialServiceName",
    "iam:ServiceSpecificCredentialAgeDays",
];
pub const SERVICE_NAME: &[&str] = &["iam:AWSServiceName"];

/// A change of a role. Permissions boundaries are refused, so none is there.
pub fn changed_role<I: Operation>(name: fn(&I) -> &str) -> Permission<I> {
    on("role", move |cx, it: &I| role_touched(cx, name(it))).supplying(BOUNDARY, |_, _| vec![])
}

pub fn changed_user<I: Operation>(name: fn(&I) -> &str) -> Permission<I> {
    on("user", move |cx, it: &I| user_touched(cx, name(it))).supplying(BOUNDARY, |_, _| vec![])
}

/// That a managed policy is attached to a role or user, or detached.
pub fn attachment<I: Operation>(
    kind: &'static str,
    touched: fn(&Cx, &I) -> Touched,
    policy_arn: fn(&I) -> &str,
) -> Permission<I> {
    on(kind, touched).supplying(BOUNDARY_AND_POLICY, move |_, it: &I| {
        vec![ConditionKey::new("iam:PolicyARN", Some(policy_arn(it)))]
    })
}
