//! Every operation that hands a role over asks for `iam:PassRole`.

use shapes::ecs::UpdateServiceInput;
use wire::{Shape, Unbuilt};

use super::services;

/// Operations of the reference that need `iam:PassRole` ("Actions, resources, and condition keys for AWS
/// services", dependent actions; the API references of each), and the service that gets the role. Those that
/// are not built are here all the same: whoever builds one finds out.
const PASSING: &[(&str, &str, &str)] = &[
    (
        "application-autoscaling",
        "RegisterScalableTarget",
        "application-autoscaling.amazonaws.com",
    ),
    (
        "cloudformation",
        "ContinueUpdateRollback",
        "cloudformation.amazonaws.com",
    ),
    (
        "cloudformation",
        "CreateChangeSet",
        "cloudformation.amazonaws.com",
    ),
    (
        "cloudformation",
        "CreateStack",
        "cloudformation.amazonaws.com",
    ),
    (
        "cloudformation",
        "DeleteStack",
        "cloudformation.amazonaws.com",
    ),
    (
        "cloudformation",
        "RollbackStack",
        "cloudformation.amazonaws.com",
    ),
    (
        "cloudformation",
        "UpdateStack",
        "cloudformation.amazonaws.com",
    ),
    ("codebuild", "CreateProject", "codebuild.amazonaws.com"),
    ("codebuild", "StartBuild", "codebuild.amazonaws.com"),
    ("codebuild", "StartBuildBatch", "codebuild.amazonaws.com"),
    ("codebuild", "UpdateProject", "codebuild.amazonaws.com"),
    (
        "codepipeline",
        "CreatePipeline",
        "codepipeline.amazonaws.com",
    ),
    (
        "codepipeline",
        "UpdatePipeline",
        "codepipeline.amazonaws.com",
    ),
    ("ec2", "AssociateIamInstanceProfile", "ec2.amazonaws.com"),
    ("ec2", "CreateFlowLogs", "vpc-flow-logs.amazonaws.com"),
    ("ec2", "RunInstances", "ec2.amazonaws.com"),
    ("ecr", "CreatePullThroughCacheRule", "ecr.amazonaws.com"),
    (
        "ecr",
        "CreateRepositoryCreationTemplate",
        "ecr.amazonaws.com",
    ),
    ("ecs", "CreateService", "ecs.amazonaws.com"),
    ("ecs", "CreateService", "ecs-tasks.amazonaws.com"),
    ("ecs", "RegisterTaskDefinition", "ecs-tasks.amazonaws.com"),
    ("ecs", "RunTask", "ecs-tasks.amazonaws.com"),
    ("ecs", "StartTask", "ecs-tasks.amazonaws.com"),
    ("ecs", "UpdateService", "ecs.amazonaws.com"),
    ("ecs", "UpdateService", "ecs-tasks.amazonaws.com"),
    ("iam", "AddRoleToInstanceProfile", "ec2.amazonaws.com"),
    ("logs", "PutDestination", "logs.amazonaws.com"),
    ("logs", "PutSubscriptionFilter", "logs.amazonaws.com"),
    (
        "monitoring",
        "PutMetricStream",
        "streams.metrics.cloudwatch.amazonaws.com",
    ),
    ("s3", "PutBucketReplication", "s3.amazonaws.com"),
    (
        "ssm",
        "RegisterTaskWithMaintenanceWindow",
        "ssm.amazonaws.com",
    ),
    ("ssm", "SendCommand", "ssm.amazonaws.com"),
];

/// Operations whose member that hands a role over is not built: they pass none as long as it is refused.
fn refused() -> Vec<(&'static str, &'static str, &'static [Unbuilt], &'static str)> {
    vec![(
        "ecs",
        "UpdateService",
        UpdateServiceInput::unbuilt(),
        "volumeConfigurations",
    )]
}

#[test]
fn whoever_hands_a_role_over_needs_permission_to_pass_it() {
    let mut missing = Vec::new();
    let refused = refused();
    let is_refused = |service: &str, operation: &str| {
        let mut rows = refused.iter();
        rows.any(|(of, name, members, member)| {
            (*of, *name) == (service, operation) && members.iter().any(|it| it.name == *member)
        })
    };
    for service in services() {
        let name = service.model().signing_name;
        for (operation, described) in service.permissions() {
            let to = PASSING
                .iter()
                .filter(|it| (it.0, it.1) == (name, operation));
            for (_, _, to) in to {
                if !described.passes_to.contains(to) && !is_refused(name, operation) {
                    missing.push(format!("{name}:{operation} passes no role to {to}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
