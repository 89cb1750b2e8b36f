//! The records that calls touch, for the table's permissions.

use cloud::permission::{Permission, on};
use cloud::{ConditionKey, Cx, Error, FoundRole, Record, Touched};
use shapes::iam::UpdateGroupInput;
use wire::Operation;

use crate::grants::Holder;
use crate::group::GroupRecord;
use crate::names::{arn, key};
use crate::policy::CustomerPolicy;
use crate::profile::Profile;
use crate::role::RoleRecord;
use crate::service_credential::ServiceCredential;
use crate::user::{UserRecord, name_or_caller};

/// A role, user or the like is asked for by its name, and its ARN has a path that the name does not
/// tell: it is the record's. Refusals call it by its name, as AWS's do.
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
    .asked_as(format!("role {name}"))
}

/// A role, for whoever is to act with it.
pub fn lend_role(cx: &Cx, name: &str) -> Result<Option<FoundRole>, Error> {
    let role: Option<RoleRecord> = cx.read(|tx| tx.get(&key(name)))?;
    Ok(role.map(|role| FoundRole {
        arn: role.arn(),
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
    .asked_as(format!("instance profile {name}"))
}

pub fn new_profile(cx: &Cx, path: Option<&str>, name: &str) -> Touched {
    absent(cx, "instance-profile", path, name)
}

pub fn user_touched(cx: &Cx, name: &str) -> Touched {
    match found::<UserRecord>(cx, name) {
        Some(it) => Touched::named(it.arn()).tagged(it.tags),
        None => absent(cx, "user", None, name),
    }
    .asked_as(format!("user {name}"))
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

pub fn group_touched(cx: &Cx, name: &str) -> Touched {
    match found::<GroupRecord>(cx, name) {
        // Groups have no tags.
        Some(it) => Touched::absent(it.arn()),
        None => absent(cx, "group", None, name),
    }
}

pub fn new_group(cx: &Cx, path: Option<&str>, name: &str) -> Touched {
    absent(cx, "group", path, name)
}

/// A group by its old name and by its new one: who may rename it may have both ("UpdateGroup").
pub fn renamed_group(cx: &Cx, input: &UpdateGroupInput) -> Vec<Touched> {
    let name = &input.group_name;
    let there = found::<GroupRecord>(cx, name);
    let path = input.new_path.as_deref();
    let path = path.or(there.as_ref().map(|it| it.path.as_str()));
    let new = new_group(cx, path, input.new_group_name.as_ref().unwrap_or(name));
    let old = group_touched(cx, name);
    match old.arn == new.arn {
        true => vec![old],
        false => vec![old, new],
    }
}

/// The permissions boundary that a call gives.
pub fn boundary_key(arn: Option<&String>) -> Vec<ConditionKey> {
    vec![ConditionKey::new(BOUNDARY[0], arn)]
}

/// The permissions boundary that a role or user has.
fn boundary_of<R: Holder>(cx: &Cx, name: &str) -> Vec<ConditionKey> {
    let holder = found::<R>(cx, name);
    boundary_key(holder.as_ref().and_then(|it| it.grants().boundary.as_ref()))
}

/// A user, role or group that is given by its ARN, when it is of this kind.
pub fn of_kind(cx: &Cx, arn: &str, kind: &str) -> Option<Touched> {
    let rest = arn.splitn(6, ':').nth(5)?;
    let name = rest.rsplit('/').next().unwrap_or_default();
    let is_kind = rest.split('/').next() == Some(kind);
    let touched = match kind {
        "user" => user_touched,
        "role" => role_touched,
        _ => group_touched,
    };
    is_kind.then(|| touched(cx, name))
}

pub const POLICY: &[&str] = &["iam:PolicyARN"];
pub const BOUNDARY: &[&str] = &["iam:PermissionsBoundary"];
pub const BOUNDARY_AND_POLICY: &[&str] = &["iam:PermissionsBoundary", "iam:PolicyARN"];
pub const CREDENTIAL_SERVICE: &[&str] = &["iam:ServiceSpecificCredentialServiceName"];
pub const CREDENTIAL_NEW: &[&str] = &[
    "iam:ServiceSpecificCredentialServiceName",
    "iam:ServiceSpecificCredentialAgeDays",
];
pub const SERVICE_NAME: &[&str] = &["iam:AWSServiceName"];

/// How a role or user is touched that is called by its name.
type TouchedByName = fn(&Cx, &str) -> Touched;

/// A change of a role or user, with the boundary that it has.
fn changed<R: Holder + 'static, I: Operation>(
    touched: TouchedByName,
    name: fn(&I) -> &str,
) -> Permission<I> {
    on(R::WHAT, move |cx: &Cx, it: &I| touched(cx, name(it)))
        .supplying(BOUNDARY, move |cx, it: &I| boundary_of::<R>(cx, name(it)))
}

pub fn changed_role<I: Operation>(name: fn(&I) -> &str) -> Permission<I> {
    changed::<RoleRecord, I>(role_touched, name)
}

pub fn changed_user<I: Operation>(name: fn(&I) -> &str) -> Permission<I> {
    changed::<UserRecord, I>(user_touched, name)
}

/// That a managed policy is attached to a role or user, or detached.
fn attachment<R: Holder + 'static, I: Operation>(
    touched: TouchedByName,
    name: fn(&I) -> &str,
    policy_arn: fn(&I) -> &str,
) -> Permission<I> {
    let touched = move |cx: &Cx, it: &I| touched(cx, name(it));
    on(R::WHAT, touched).supplying(BOUNDARY_AND_POLICY, move |cx, it: &I| {
        let mut keys = boundary_of::<R>(cx, name(it));
        keys.push(ConditionKey::new(POLICY[0], Some(policy_arn(it))));
        keys
    })
}

pub fn role_attachment<I: Operation>(
    name: fn(&I) -> &str,
    policy_arn: fn(&I) -> &str,
) -> Permission<I> {
    attachment::<RoleRecord, I>(role_touched, name, policy_arn)
}

pub fn user_attachment<I: Operation>(
    name: fn(&I) -> &str,
    policy_arn: fn(&I) -> &str,
) -> Permission<I> {
    attachment::<UserRecord, I>(user_touched, name, policy_arn)
}

/// Groups have no boundaries.
pub fn group_attachment<I: Operation>(
    name: fn(&I) -> &str,
    policy_arn: fn(&I) -> &str,
) -> Permission<I> {
    let touched = move |cx: &Cx, it: &I| group_touched(cx, name(it));
    on("group", touched).supplying(POLICY, move |_, it: &I| {
        vec![ConditionKey::new(POLICY[0], Some(policy_arn(it)))]
    })
}

pub fn on_group<I: Operation>(name: fn(&I) -> &str) -> Permission<I> {
    on("group", move |cx, it: &I| group_touched(cx, name(it)))
}

pub fn on_user<I: Operation>(name: fn(&I) -> &str) -> Permission<I> {
    on("user", move |cx, it: &I| user_touched(cx, name(it)))
}
