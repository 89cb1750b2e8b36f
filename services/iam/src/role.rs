//! Roles.

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::iam::errors::{MalformedPolicyDocumentException, UnmodifiableEntityException};
use shapes::iam::*;

use crate::authority;
use crate::boundary;
use crate::document::check_trust;
use crate::grants::{self, Grants, Holder};
use crate::names::{arn, conflict, encoded, exists, key, new_id, no_such, page, path, timestamp};
use crate::principals;
use crate::profile::Profile;
use crate::tags::{self, Tags};

/// AWS's default of a role's longest session, in seconds.
const MAX_SESSION_DEFAULT: i32 = 3600;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoleRecord {
    pub account: String,
    pub name: String,
    pub id: String,
    pub path: String,
    pub created_ms: i64,
    /// The trust policy.
    pub trust: String,
    pub description: Option<String>,
    pub max_session_seconds: i32,
    pub tags: Tags,
    pub grants: Grants,
    /// Made for a service, and changed by it alone.
    pub service_linked: bool,
    /// The token of the request that made it, when it had one.
    pub made_by: Option<String>,
}

impl Record for RoleRecord {
    const KIND: &'static str = "iam.role";
    fn key(&self) -> String {
        key(&self.name)
    }
}

impl Holder for RoleRecord {
    const WHAT: &'static str = "role";
    const INLINE_MAX: usize = 10_240;
    fn find(tx: &Records<'_>, name: &str) -> Result<Self, Error> {
        Self::find(tx, name)
    }
    fn changeable(tx: &Records<'_>, name: &str) -> Result<Self, Error> {
        Self::changeable(tx, name)
    }
    fn grants(&self) -> &Grants {
        &self.grants
    }
    fn grants_mut(&mut self) -> &mut Grants {
        &mut self.grants
    }
}

impl RoleRecord {
    pub fn find(tx: &Records<'_>, name: &str) -> Result<Self, Error> {
        tx.get(&key(name))?
            .ok_or_else(|| no_such(format!("The role with name {name} cannot be found.")))
    }

    /// The role of this ARN. One of the same name with another path is somebody else.
    pub fn of_arn(tx: &Records<'_>, arn: &str) -> Result<Option<Self>, Error> {
        let name = arn.rsplit('/').next().unwrap_or_default();
        let role: Option<Self> = tx.get(&key(name))?;
        Ok(role.filter(|it| it.arn() == arn))
    }

    fn changeable(tx: &Records<'_>, name: &str) -> Result<Self, Error> {
        let role = Self::find(tx, name)?;
        if role.service_linked {
            return Err(UnmodifiableEntityException.because(format!(
                "Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS"
            )));
        }
        Ok(role)
    }

    pub fn arn(&self) -> String {
        arn(&self.account, "role", &self.path, &self.name)
    }

    pub fn shown(&self, tx: &Records<'_>) -> Result<Role, Error> {
        let trust = principals::shown(tx, &self.trust)?;
        Ok(Role {
            path: self.path.clone(),
            role_name: self.name.clone(),
            role_id: self.id.clone(),
            arn: self.arn(),
            create_date: timestamp(self.created_ms),
            assume_role_policy_document: Some(encoded(&trust)),
            description: self.description.clone(),
            max_session_duration: Some(self.max_session_seconds),
            tags: tags::shown(&self.tags),
            permissions_boundary: boundary::shown(&self.grants),
            ..Default::default()
        })
    }
}

/// A trust policy as it is kept: by the ids of whom it names.
fn trust_of(cx: &Cx, document: &str) -> Result<String, Error> {
    check_trust(document)?;
    principals::keep(cx, document)?.map_err(|unknown| {
        MalformedPolicyDocumentException.because(format!(
            "Invalid principal in policy: \"AWS\":\"{}\"",
            unknown.0
        ))
    })
}

pub async fn create_role(cx: Cx, input: CreateRoleInput) -> Result<CreateRoleOutput, Error> {
    let trust = trust_of(&cx, &input.assume_role_policy_document)?;
    let role = RoleRecord {
        account: cx.account().to_owned(),
        id: new_id(&cx, "AROA"),
        path: path(input.path)?,
        name: input.role_name,
        created_ms: cx.clock().now_ms(),
        trust,
        description: input.description,
        max_session_seconds: input.max_session_duration.unwrap_or(MAX_SESSION_DEFAULT),
        tags: tags::new(input.tags)?,
        grants: Grants {
            boundary: input.permissions_boundary,
            ..Grants::default()
        },
        service_linked: false,
        made_by: cx.token.clone(),
    };
    cx.write(|tx| {
        boundary::check(&cx, tx, role.grants.boundary.as_deref())?;
        // How long its sessions may be is told by GetRole only.
        let role = Role {
            max_session_duration: None,
            ..create(tx, role)?.shown(tx)?
        };
        Ok(CreateRoleOutput { role })
    })
}

/// Records a new role; the one that is there when the same request made it.
pub fn create(tx: &Records<'_>, role: RoleRecord) -> Result<RoleRecord, Error> {
    if let Some(there) = tx.get::<RoleRecord>(&role.key())? {
        if there.made_by.is_some() && there.made_by == role.made_by {
            return Ok(there);
        }
        return Err(exists(format!(
            "Role with name {} already exists.",
            role.name
        )));
    }
    tx.put(&role)?;
    Ok(role)
}

pub async fn get_role(cx: Cx, input: GetRoleInput) -> Result<GetRoleOutput, Error> {
    cx.read(|tx| {
        let role = RoleRecord::find(tx, &input.role_name)?.shown(tx)?;
        Ok(GetRoleOutput { role })
    })
}

pub async fn list_roles(cx: Cx, input: ListRolesInput) -> Result<ListRolesOutput, Error> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let mut roles = cx.read(|tx| tx.list::<RoleRecord>(&key("")))?;
    roles.retain(|it| it.path.starts_with(prefix));
    let page = page(
        roles,
        |it| &it.name,
        input.marker.as_deref(),
        input.max_items,
    )?;
    // A list tells neither tags nor boundaries (IAM API reference, "ListRoles").
    let listed = |tx: &Records<'_>, it: &RoleRecord| {
        Ok(Role {
            tags: None,
            permissions_boundary: None,
            ..it.shown(tx)?
        })
    };
    let shown = |tx: &Records<'_>| page.items.iter().map(|it| listed(tx, it)).collect();
    Ok(ListRolesOutput {
        roles: cx.read(shown)?,
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn delete_role(cx: Cx, input: DeleteRoleInput) -> Result<DeleteRoleOutput, Error> {
    cx.write(|tx| {
        let role = RoleRecord::changeable(tx, &input.role_name)?;
        let profiles = tx.list::<Profile>(&key(""))?;
        if profiles.iter().any(|it| it.roles.contains(&role.name)) {
            return Err(conflict(
                "Cannot delete entity, must remove roles from instance profile first.",
            ));
        }
        grants::check_empty(&role.grants)?;
        tx.delete::<RoleRecord>(&role.key())?;
        principals::forget(tx, &role.id)?;
        authority::forget_calls(tx, &role.arn())?;
        Ok(DeleteRoleOutput {})
    })
}

fn edit(cx: &Cx, name: &str, body: impl FnOnce(&mut RoleRecord)) -> Result<RoleRecord, Error> {
    cx.write(|tx| {
        let mut role = RoleRecord::changeable(tx, name)?;
        body(&mut role);
        tx.put(&role)?;
        Ok(role)
    })
}

pub async fn update_role(cx: Cx, input: UpdateRoleInput) -> Result<UpdateRoleOutput, Error> {
    edit(&cx, &input.role_name, |role| {
        if let Some(description) = input.description {
            role.description = Some(description);
        }
        if let Some(seconds) = input.max_session_duration {
            role.max_session_seconds = seconds;
        }
    })?;
    Ok(UpdateRoleOutput {})
}

pub async fn update_role_description(
    cx: Cx,
    input: UpdateRoleDescriptionInput,
) -> Result<UpdateRoleDescriptionOutput, Error> {
    let role = edit(&cx, &input.role_name, |role| {
        role.description = Some(input.description);
    })?;
    Ok(UpdateRoleDescriptionOutput {
        role: Some(cx.read(|tx| role.shown(tx))?),
    })
}

pub async fn update_assume_role_policy(
    cx: Cx,
    input: UpdateAssumeRolePolicyInput,
) -> Result<UpdateAssumeRolePolicyOutput, Error> {
    let trust = trust_of(&cx, &input.policy_document)?;
    edit(&cx, &input.role_name, |role| {
        role.trust = trust;
    })?;
    Ok(UpdateAssumeRolePolicyOutput {})
}

pub async fn put_role_policy(
    cx: Cx,
    input: PutRolePolicyInput,
) -> Result<PutRolePolicyOutput, Error> {
    grants::put_inline::<RoleRecord>(
        &cx,
        &input.role_name,
        input.policy_name,
        input.policy_document,
    )?;
    Ok(PutRolePolicyOutput {})
}

pub async fn get_role_policy(
    cx: Cx,
    input: GetRolePolicyInput,
) -> Result<GetRolePolicyOutput, Error> {
    let document = grants::get_inline::<RoleRecord>(&cx, &input.role_name, &input.policy_name)?;
    Ok(GetRolePolicyOutput {
        role_name: input.role_name,
        policy_name: input.policy_name,
        policy_document: encoded(&document),
    })
}

pub async fn delete_role_policy(
    cx: Cx,
    input: DeleteRolePolicyInput,
) -> Result<DeleteRolePolicyOutput, Error> {
    grants::delete_inline::<RoleRecord>(&cx, &input.role_name, &input.policy_name)?;
    Ok(DeleteRolePolicyOutput {})
}

pub async fn list_role_policies(
    cx: Cx,
    input: ListRolePoliciesInput,
) -> Result<ListRolePoliciesOutput, Error> {
    let marker = input.marker.as_deref();
    let page = grants::list_inline::<RoleRecord>(&cx, &input.role_name, marker, input.max_items)?;
    Ok(ListRolePoliciesOutput {
        policy_names: page.items,
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn attach_role_policy(
    cx: Cx,
    input: AttachRolePolicyInput,
) -> Result<AttachRolePolicyOutput, Error> {
    grants::attach::<RoleRecord>(&cx, &input.role_name, &input.policy_arn)?;
    Ok(AttachRolePolicyOutput {})
}

pub async fn detach_role_policy(
    cx: Cx,
    input: DetachRolePolicyInput,
) -> Result<DetachRolePolicyOutput, Error> {
    grants::detach::<RoleRecord>(&cx, &input.role_name, &input.policy_arn)?;
    Ok(DetachRolePolicyOutput {})
}

pub async fn list_attached_role_policies(
    cx: Cx,
    input: ListAttachedRolePoliciesInput,
) -> Result<ListAttachedRolePoliciesOutput, Error> {
    let page = grants::list_attached::<RoleRecord>(
        &cx,
        &input.role_name,
        input.path_prefix.as_deref(),
        input.marker.as_deref(),
        input.max_items,
    )?;
    Ok(ListAttachedRolePoliciesOutput {
        attached_policies: Some(page.items),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}
