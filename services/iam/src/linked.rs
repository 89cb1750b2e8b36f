//! Roles that services make for themselves (IAM User Guide, "Using service-linked roles").

use std::collections::BTreeSet;

use cloud::{Cx, Error, Record, Touched};
use serde_json::json;
use shapes::iam::errors::InvalidInputException;
use shapes::iam::*;

use crate::authority;
use crate::grants::Grants;
use crate::managed;
use crate::names::{arn, key, new_id, no_such, unsupported};
use crate::principals;
use crate::role::{RoleRecord, create};
use crate::tags::Tags;

/// A service that has such a role, what AWS calls the role, and the policy that it has.
struct Linked {
    service: &'static str,
    role: &'static str,
    policy: &'static str,
}

const fn linked(service: &'static str, role: &'static str, policy: &'static str) -> Linked {
    Linked {
        service,
        role,
        policy,
    }
}

#[rustfmt::skip]
const SERVICES: &[Linked] = &[
    linked("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling", "AutoScalingServiceRolePolicy"),
    linked("batch.amazonaws.com", "AWSServiceRoleForBatch", "BatchServiceRolePolicy"),
    linked("cloudtrail.amazonaws.com", "AWSServiceRoleForCloudTrail", "CloudTrailServiceRolePolicy"),
    linked("codestar-notifications.amazonaws.com", "AWSServiceRoleForCodeStarNotifications", "AWSCodeStarNotificationsServiceRolePolicy"),
    linked("custom-resource.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_CustomResource", "AWSApplicationAutoScalingCustomResourcePolicy"),
    linked("dynamodb.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_DynamoDBTable", "AWSApplicationAutoscalingDynamoDBTablePolicy"),
    linked("ec2.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_EC2SpotFleetRequest", "AWSApplicationAutoscalingEC2SpotFleetRequestPolicy"),
    linked("ecs-compute.amazonaws.com", "AWSServiceRoleForECSCompute", "AmazonECSComputeServiceRolePolicy"),
    linked("ecs.amazonaws.com", "AWSServiceRoleForECS", "AmazonECSServiceRolePolicy"),
    linked("ecs.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_ECSService", "AWSApplicationAutoscalingECSServicePolicy"),
    linked("eks-fargate.amazonaws.com", "AWSServiceRoleForAmazonEKSForFargate", "AmazonEKSForFargateServiceRolePolicy"),
    linked("eks-nodegroup.amazonaws.com", "AWSServiceRoleForAmazonEKSNodegroup", "AWSServiceRoleForAmazonEKSNodegroup"),
    linked("eks.amazonaws.com", "AWSServiceRoleForAmazonEKS", "AmazonEKSServiceRolePolicy"),
    linked("elasticache.amazonaws.com", "AWSServiceRoleForElastiCache", "ElastiCacheServiceRolePolicy"),
    linked("elasticbeanstalk.amazonaws.com", "AWSServiceRoleForElasticBeanstalk", "AWSElasticBeanstalkServiceRolePolicy"),
    linked("elasticfilesystem.amazonaws.com", "AWSServiceRoleForAmazonElasticFileSystem", "AmazonElasticFileSystemServiceRolePolicy"),
    linked("elasticloadbalancing.amazonaws.com", "AWSServiceRoleForElasticLoadBalancing", "AWSElasticLoadBalancingServiceRolePolicy"),
    linked("es.amazonaws.com", "AWSServiceRoleForAmazonElasticsearchService", "AmazonElasticsearchServiceRolePolicy"),
    linked("events.amazonaws.com", "AWSServiceRoleForCloudWatchEvents", "CloudWatchEventsServiceRolePolicy"),
    linked("guardduty.amazonaws.com", "AWSServiceRoleForAmazonGuardDuty", "AmazonGuardDutyServiceRolePolicy"),
    linked("lambda.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_LambdaConcurrency", "AWSApplicationAutoscalingLambdaConcurrencyPolicy"),
    linked("opensearchservice.amazonaws.com", "AWSServiceRoleForAmazonOpenSearchService", "AmazonOpenSearchServiceRolePolicy"),
    linked("ops.apigateway.amazonaws.com", "AWSServiceRoleForAPIGateway", "APIGatewayServiceRolePolicy"),
    linked("pullthroughcache.ecr.amazonaws.com", "AWSServiceRoleForECRPullThroughCache", "AWSECRPullThroughCache_ServiceRolePolicy"),
    linked("rds.amazonaws.com", "AWSServiceRoleForRDS", "AmazonRDSServiceRolePolicy"),
    linked("rds.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_RDSCluster", "AWSApplicationAutoscalingRDSClusterPolicy"),
    linked("replication.ecr.amazonaws.com", "AWSServiceRoleForECRReplication", "ECRReplicationServiceRolePolicy"),
    linked("replicator.lambda.amazonaws.com", "AWSServiceRoleForLambdaReplicator", "AWSLambdaReplicator"),
    linked("spot.amazonaws.com", "AWSServiceRoleForEC2Spot", "AWSEC2SpotServiceRolePolicy"),
    linked("spotfleet.amazonaws.com", "AWSServiceRoleForEC2SpotFleet", "AWSEC2SpotFleetServiceRolePolicy"),
    linked("ssm.amazonaws.com", "AWSServiceRoleForAmazonSSM", "AmazonSSMServiceRolePolicy"),
];

/// Where AWS lets several roles of one service be, told apart by a suffix.
const SUFFIXED: &[&str] = &["autoscaling.amazonaws.com"];

fn of_service(service: &str) -> Option<&'static Linked> {
    SERVICES.iter().find(|it| it.service == service)
}

/// The role that is made for a service, for permissions.
pub fn touched(cx: &Cx, service: &str) -> Touched {
    let name = of_service(service).map_or("*", |it| it.role);
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
    let service = input.aws_service_name;
    let linked = of_service(&service)
        .ok_or_else(|| unsupported(format!("a service-linked role of {service}")))?;
    let name = match input.custom_suffix {
        None => linked.role.to_owned(),
        Some(suffix) if SUFFIXED.contains(&linked.service) => format!("{}_{suffix}", linked.role),
        Some(_) => {
            return Err(InvalidInputException
                .because(format!("Custom suffix is not allowed for {service}")));
        }
    };
    let role = role(&cx, linked, name, input.description);
    let role = cx.write(|tx| {
        if tx.get::<RoleRecord>(&role.key())?.is_some_and(|it| it.made_by.is_none() || it.made_by != role.made_by) {
            return Err(InvalidInputException.because(format!(
                "Service role name {} has been taken in this account, please try a different suffix.",
                role.name
            )));
        }
        create(tx, role)?.shown(tx)
    })?;
    Ok(CreateServiceLinkedRoleOutput { role: Some(role) })
}

fn role(cx: &Cx, linked: &Linked, name: String, description: Option<String>) -> RoleRecord {
    let service = linked.service;
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Action": "sts:AssumeRole",
            "Effect": "Allow",
            "Principal": {"Service": service},
        }],
    });
    RoleRecord {
        account: cx.account().to_owned(),
        name,
        id: new_id(cx, "AROA"),
        path: format!("/aws-service-role/{service}/"),
        created_ms: cx.clock().now_ms(),
        trust: trust.to_string(),
        description,
        max_session_seconds: 3600,
        tags: Tags::new(),
        grants: Grants {
            attached: BTreeSet::from([format!("{}{}", managed::LINKED, linked.policy)]),
            ..Grants::default()
        },
        service_linked: true,
        made_by: cx.token.clone(),
    }
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
        principals::forget(tx, &role.id)?;
        authority::forget_calls(tx, &role.arn())?;
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
    let (Some(name), Some(service)) = (parts.next(), parts.next()) else {
        return Err(unknown());
    };
    if of_service(service).is_none_or(|it| !name.starts_with(it.role)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_a_policy_of_aws() {
        assert!(SERVICES.is_sorted_by_key(|it| it.service));
        for linked in SERVICES {
            let arn = format!("{}{}", managed::LINKED, linked.policy);
            assert!(managed::find(&arn).is_some(), "{arn}");
            assert!(linked.role.len() <= 64, "{}", linked.role);
        }
    }
}
