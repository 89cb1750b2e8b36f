//! Users and their keys. What a user may do is what its policies allow: see [`crate::Policies`].

use std::collections::BTreeSet;

use cloud::{Caller, Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::iam::*;

use crate::authority;
use crate::boundary;
use crate::credentials::{AccessKey as KeyRecord, new_key_id, new_secret};
use crate::grants::{self, Grants, Holder};
use crate::names::{
    arn, conflict, encoded, exists, key, limit, new_id, no_such, page, path, timestamp,
};
use crate::principals;
use crate::service_credential::credentials_of;
use crate::tags::{self, Tags};

/// AWS's quota.
pub const KEYS_MAX: usize = 2;
/// The length of AWS's secrets.
const SECRET_LENGTH: usize = 40;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserRecord {
    pub account: String,
    pub name: String,
    pub id: String,
    pub path: String,
    pub created_ms: i64,
    pub tags: Tags,
    pub grants: Grants,
    /// The names of the groups that the user is in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    pub made_by: Option<String>,
}

impl Record for UserRecord {
    const KIND: &'static str = "iam.user";
    fn key(&self) -> String {
        key(&self.name)
    }
}

impl Holder for UserRecord {
    const WHAT: &'static str = "user";
    const INLINE_MAX: usize = 2048;
    fn find(tx: &Records<'_>, name: &str) -> Result<Self, Error> {
        tx.get(&key(name))?
            .ok_or_else(|| no_such(format!("The user with name {name} cannot be found.")))
    }
    fn grants(&self) -> &Grants {
        &self.grants
    }
    fn grants_mut(&mut self) -> &mut Grants {
        &mut self.grants
    }
}

impl UserRecord {
    pub fn arn(&self) -> String {
        arn(&self.account, "user", &self.path, &self.name)
    }

    pub fn shown(&self) -> User {
        User {
            tags: tags::shown(&self.tags),
            permissions_boundary: boundary::shown(&self.grants),
            ..self.listed()
        }
    }

    /// As lists show users: without tags and boundary.
    pub fn listed(&self) -> User {
        User {
            path: self.path.clone(),
            user_name: self.name.clone(),
            user_id: self.id.clone(),
            arn: self.arn(),
            create_date: timestamp(self.created_ms),
            ..Default::default()
        }
    }
}

/// The user that is named, or who calls.
pub fn name_or_caller(cx: &Cx, name: Option<String>) -> Result<String, Error> {
    match (name, &cx.caller) {
        (Some(name), _) => Ok(name),
        (None, Caller::User { arn, .. }) => {
            Ok(arn.rsplit('/').next().unwrap_or_default().to_owned())
        }
        (None, _) => Err(wire::codes::ValidationError
            .because("Must specify userName when calling with non-User credentials")),
    }
}

pub async fn create_user(cx: Cx, input: CreateUserInput) -> Result<CreateUserOutput, Error> {
    let user = UserRecord {
        account: cx.account().to_owned(),
        id: new_id(&cx, "AIDA"),
        path: path(input.path)?,
        name: input.user_name,
        created_ms: cx.clock().now_ms(),
        tags: tags::new(input.tags)?,
        grants: Grants {
            boundary: input.permissions_boundary,
            ..Grants::default()
        },
        groups: BTreeSet::new(),
        made_by: cx.token.clone(),
    };
    cx.write(|tx| {
        boundary::check(&cx, tx, user.grants.boundary.as_deref())?;
        if let Some(there) = tx.get::<UserRecord>(&user.key())? {
            if there.made_by.is_none() || there.made_by != user.made_by {
                return Err(exists(format!(
                    "User with name {} already exists.",
                    user.name
                )));
            }
        } else {
            tx.put(&user)?;
        }
        Ok(CreateUserOutput {
            user: Some(user.shown()),
        })
    })
}

pub async fn get_user(cx: Cx, input: GetUserInput) -> Result<GetUserOutput, Error> {
    if input.user_name.is_none() && (cx.caller.is_owner() || cx.caller == Caller::Daemon) {
        let user = User {
            path: "/".into(),
            user_name: "root".into(),
            user_id: cx.account().to_owned(),
            arn: format!("arn:aws:iam::{}:root", cx.account()),
            ..Default::default()
        };
        return Ok(GetUserOutput { user });
    }
    let name = name_or_caller(&cx, input.user_name)?;
    let user = cx.read(|tx| UserRecord::find(tx, &name))?;
    Ok(GetUserOutput { user: user.shown() })
}

pub async fn list_users(cx: Cx, input: ListUsersInput) -> Result<ListUsersOutput, Error> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let mut users = cx.read(|tx| tx.list::<UserRecord>(&key("")))?;
    users.retain(|it| it.path.starts_with(prefix));
    let page = page(
        users,
        |it| &it.name,
        input.marker.as_deref(),
        input.max_items,
    )?;
    Ok(ListUsersOutput {
        users: page.items.iter().map(UserRecord::shown).collect(),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn delete_user(cx: Cx, input: DeleteUserInput) -> Result<DeleteUserOutput, Error> {
    cx.write(|tx| {
        let user = UserRecord::find(tx, &input.user_name)?;
        if !keys_of(tx, &user.name)?.is_empty() {
            return Err(conflict(
                "Cannot delete entity, must delete access keys first.",
            ));
        }
        if !credentials_of(tx, &user.name)?.is_empty() {
            return Err(conflict(
                "Cannot delete entity, must remove referenced objects first.",
            ));
        }
        if !user.groups.is_empty() {
            return Err(conflict(
                "Cannot delete entity, must remove users from group first.",
            ));
        }
        grants::check_empty(&user.grants)?;
        tx.delete::<UserRecord>(&user.key())?;
        principals::forget(tx, &user.id)?;
        authority::forget_calls(tx, &user.arn())?;
        Ok(DeleteUserOutput {})
    })
}

fn keys_of(tx: &Records<'_>, user: &str) -> Result<Vec<KeyRecord>, Error> {
    let mut keys = tx.list::<KeyRecord>(&key(""))?;
    keys.retain(|it| it.user == user);
    Ok(keys)
}

pub async fn create_access_key(
    cx: Cx,
    input: CreateAccessKeyInput,
) -> Result<CreateAccessKeyOutput, Error> {
    let name = name_or_caller(&cx, input.user_name)?;
    let (id, secret) = (new_key_id("AKIA"), new_secret(SECRET_LENGTH)?);
    cx.write(|tx| {
        let user = UserRecord::find(tx, &name)?;
        if keys_of(tx, &name)?.len() >= KEYS_MAX {
            return Err(limit("AccessKeysPerUser", KEYS_MAX));
        }
        let record = KeyRecord {
            id,
            secret,
            user_id: user.id.clone(),
            user_arn: user.arn(),
            user: user.name,
            created_ms: cx.clock().now_ms(),
        };
        tx.put(&record)?;
        Ok(CreateAccessKeyOutput {
            access_key: AccessKey {
                user_name: record.user,
                access_key_id: record.id,
                status: StatusType::Active,
                secret_access_key: record.secret.0,
                create_date: Some(timestamp(record.created_ms)),
            },
        })
    })
}

pub async fn list_access_keys(
    cx: Cx,
    input: ListAccessKeysInput,
) -> Result<ListAccessKeysOutput, Error> {
    let name = name_or_caller(&cx, input.user_name)?;
    let keys = cx.read(|tx| {
        UserRecord::find(tx, &name)?;
        keys_of(tx, &name)
    })?;
    let page = page(keys, |it| &it.id, input.marker.as_deref(), input.max_items)?;
    let shown = |it: KeyRecord| AccessKeyMetadata {
        user_name: Some(it.user),
        access_key_id: Some(it.id),
        status: Some(StatusType::Active),
        create_date: Some(timestamp(it.created_ms)),
    };
    Ok(ListAccessKeysOutput {
        access_key_metadata: page.items.into_iter().map(shown).collect(),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn delete_access_key(
    cx: Cx,
    input: DeleteAccessKeyInput,
) -> Result<DeleteAccessKeyOutput, Error> {
    let name = name_or_caller(&cx, input.user_name)?;
    let id = input.access_key_id;
    cx.write(|tx| {
        let record: Option<KeyRecord> = tx.get(&key(&id))?;
        if record.is_none_or(|it| it.user != name) {
            return Err(no_such(format!(
                "The Access Key with id {id} cannot be found."
            )));
        }
        tx.delete::<KeyRecord>(&key(&id))?;
        Ok(DeleteAccessKeyOutput {})
    })
}

pub async fn put_user_policy(
    cx: Cx,
    input: PutUserPolicyInput,
) -> Result<PutUserPolicyOutput, Error> {
    grants::put_inline::<UserRecord>(
        &cx,
        &input.user_name,
        input.policy_name,
        input.policy_document,
    )?;
    Ok(PutUserPolicyOutput {})
}

pub async fn get_user_policy(
    cx: Cx,
    input: GetUserPolicyInput,
) -> Result<GetUserPolicyOutput, Error> {
    let document = grants::get_inline::<UserRecord>(&cx, &input.user_name, &input.policy_name)?;
    Ok(GetUserPolicyOutput {
        user_name: input.user_name,
        policy_name: input.policy_name,
        policy_document: encoded(&document),
    })
}

pub async fn delete_user_policy(
    cx: Cx,
    input: DeleteUserPolicyInput,
) -> Result<DeleteUserPolicyOutput, Error> {
    grants::delete_inline::<UserRecord>(&cx, &input.user_name, &input.policy_name)?;
    Ok(DeleteUserPolicyOutput {})
}

pub async fn list_user_policies(
    cx: Cx,
    input: ListUserPoliciesInput,
) -> Result<ListUserPoliciesOutput, Error> {
    let marker = input.marker.as_deref();
    let page = grants::list_inline::<UserRecord>(&cx, &input.user_name, marker, input.max_items)?;
    Ok(ListUserPoliciesOutput {
        policy_names: page.items,
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn attach_user_policy(
    cx: Cx,
    input: AttachUserPolicyInput,
) -> Result<AttachUserPolicyOutput, Error> {
    grants::attach::<UserRecord>(&cx, &input.user_name, &input.policy_arn)?;
    Ok(AttachUserPolicyOutput {})
}

pub async fn detach_user_policy(
    cx: Cx,
    input: DetachUserPolicyInput,
) -> Result<DetachUserPolicyOutput, Error> {
    grants::detach::<UserRecord>(&cx, &input.user_name, &input.policy_arn)?;
    Ok(DetachUserPolicyOutput {})
}

pub async fn list_attached_user_policies(
    cx: Cx,
    input: ListAttachedUserPoliciesInput,
) -> Result<ListAttachedUserPoliciesOutput, Error> {
    let page = grants::list_attached::<UserRecord>(
        &cx,
        &input.user_name,
        input.path_prefix.as_deref(),
        input.marker.as_deref(),
        input.max_items,
    )?;
    Ok(ListAttachedUserPoliciesOutput {
        attached_policies: Some(page.items),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}
