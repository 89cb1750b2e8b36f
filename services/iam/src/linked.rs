//! Roles that services make for themselves.

use cloud::{Cx, Error, Record, Touched};
use serde_json::json;
use shapes::iam::errors::InvalidInputException;
use shapes::iam::*;

use crate::grants::Grants;
use crate::names::{arn, key, new_id, no_such, unsupported};
use crate::role::{RoleRecord, create};
use crate::tags::Tags;

/// The services that have such a role, and what AWS calls it.
const SERVICES: &[(&str, &str)] = &[
    ("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling"),
    (
        "ecs.application-autoscaling.amazonaws.com",
        "AWSServiceRoleForApplicationAutoScaling_ECSService",
    ),
    ("ecs.amazonaws.com", "AWSServiceRoleForECS"),
    (
        "elasticloadbalancing.amazonaws.com",
        "AWSServiceRoleForElasticLoadBalancing",
    ),
    ("spot.amazonaws.com", "AWSServiceRoleForEC2Spot"),
];

/// The role that is made for a service, for permissions.
pub fn touched(cx: &Cx, service: &str) -> Touched {
    let known = SERVICES.iter().find(|(it, _)| *it == service);
    let name = known.map_or("*", |(_, name)| name);
    Touched::absent(arn(
        cx.account(),
        "role",
        &format!("/aws-service-role/{service}/"),
        name,
    ))
}

pub async fn create_service_linked_role(
    cx: Cx,
    input: CreateServiceLinkedRoleInput,
) -> Result<CreateServiceLinkedRoleOutput, Error> {
    if input.custom_suffix.is_some() {
        return Err(unsupported("CustomSuffix"));
    }
    let service = input.aws_service_name;
    let (_, name) = SERVICES
        .iter()
        .find(|(it, _)| *it == service)
        .ok_or_else(|| unsupported(format!("a service-linked role of {service}")))?;
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Action": ["sts:AssumeRole"],
            "Effect": "Allow",
            "Principal": {"Service": [service]},
        }],
    });
    let role = RoleRecord {
        account: cx.account().to_owned(),
        name: (*name).to_owned(),
        id: new_id(&cx, "AROA"),
        path: format!("/aws-service-role/{service}/"),
        created_ms: cx.clock().now_ms(),
        trust: trust.to_string(),
        description: input.description,
        max_session_seconds: 3600,
        tags: Tags::new(),
        grants: Grants::default(),
        service_linked: true,
        made_by: cx.token.clone(),
    };
    let role = cx.write(|tx| {
        if tx.get::<RoleRecord>(&role.key())?.is_some_and(|it| it.made_by.is_none() || it.made_by != role.made_by) {
            return Err(InvalidInputException.because(format!(
                "Service role name {name} has been taken in this account, please try a different suffix."
            )));
        }
        create(tx, role)
    })?;
    Ok(CreateServiceLinkedRoleOutput {
        role: Some(role.shown()),
    })
}

/// Nothing here uses these roles, so one goes at once; its task is finished when it is asked about.
pub async fn delete_service_linked_role(
    cx: Cx,
    input: DeleteServiceLinkedRoleInput,
) -> Result<DeleteServiceLinkedRoleOutput, Error> {
    let name = input.role_name;
    cx.write(|tx| {
        let role = RoleRecord::find(tx, &name)?;
        if !role.service_linked {
            return Err(no_such(format!(
                "The role with name {name} cannot be found."
            )));
        }
        tx.delete::<RoleRecord>(&role.key())?;
        Ok(DeleteServiceLinkedRoleOutput {
            deletion_task_id: format!("task{}{name}/{}", role.path, cloud::random_hex(32)),
        })
    })
}

pub async fn get_service_linked_role_deletion_status(
    cx: Cx,
    input: GetServiceLinkedRoleDeletionStatusInput,
) -> Result<GetServiceLinkedRoleDeletionStatusOutput, Error> {
    let unknown = || no_such("The deletion task cannot be found.");
    let mut parts = input.deletion_task_id.rsplit('/').skip(1);
    let name = parts.next().ok_or_else(unknown)?;
    if !SERVICES.iter().any(|(_, it)| *it == name) {
        return Err(unknown());
    }
    let there = cx.read(|tx| tx.get::<RoleRecord>(&key(name)))?;
    if there.is_some() {
        return Err(unknown());
    }
    Ok(GetServiceLinkedRoleDeletionStatusOutput {
        status: DeletionTaskStatusType::Succeeded,
        reason: None,
    })
}
