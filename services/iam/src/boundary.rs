//! Permissions boundaries: the most that a user's or role's policies can give it (IAM User Guide,
//! "Permissions boundaries for IAM entities").

use cloud::{Cx, Error, Records};
use shapes::iam::*;

use crate::grants::{self, Grants};
use crate::names::no_such;
use crate::policy;
use crate::role::RoleRecord;
use crate::user::UserRecord;

/// As roles and users show theirs.
pub fn shown(grants: &Grants) -> Option<AttachedPermissionsBoundary> {
    let arn = grants.boundary.clone()?;
    Some(AttachedPermissionsBoundary {
        permissions_boundary_type: Some(
            PermissionsBoundaryAttachmentType::PermissionsBoundaryPolicy,
        ),
        permissions_boundary_arn: Some(arn),
    })
}

/// A boundary is a managed policy that is there.
pub fn check(cx: &Cx, tx: &Records<'_>, arn: Option<&str>) -> Result<(), Error> {
    match arn {
        Some(arn) if !policy::exists(cx, tx, arn)? => Err(no_such(format!(
            "Scope ARN: {arn} does not exist or is not attachable."
        ))),
        _ => Ok(()),
    }
}

pub async fn put_role_permissions_boundary(
    cx: Cx,
    input: PutRolePermissionsBoundaryInput,
) -> Result<PutRolePermissionsBoundaryOutput, Error> {
    let arn = Some(input.permissions_boundary);
    grants::set_boundary::<RoleRecord>(&cx, &input.role_name, arn)?;
    Ok(PutRolePermissionsBoundaryOutput {})
}

pub async fn delete_role_permissions_boundary(
    cx: Cx,
    input: DeleteRolePermissionsBoundaryInput,
) -> Result<DeleteRolePermissionsBoundaryOutput, Error> {
    grants::set_boundary::<RoleRecord>(&cx, &input.role_name, None)?;
    Ok(DeleteRolePermissionsBoundaryOutput {})
}

pub async fn put_user_permissions_boundary(
    cx: Cx,
    input: PutUserPermissionsBoundaryInput,
) -> Result<PutUserPermissionsBoundaryOutput, Error> {
    let arn = Some(input.permissions_boundary);
    grants::set_boundary::<UserRecord>(&cx, &input.user_name, arn)?;
    Ok(PutUserPermissionsBoundaryOutput {})
}

pub async fn delete_user_permissions_boundary(
    cx: Cx,
    input: DeleteUserPermissionsBoundaryInput,
) -> Result<DeleteUserPermissionsBoundaryOutput, Error> {
    grants::set_boundary::<UserRecord>(&cx, &input.user_name, None)?;
    Ok(DeleteUserPermissionsBoundaryOutput {})
}
