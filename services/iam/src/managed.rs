//! The managed policies of AWS that templates refer to.
//!
//! Each document names the policy's actions without AWS's finer conditions. Permissions are recorded
//! and not enforced here, so nothing depends on them but who reads them.

use serde_json::json;

pub struct Managed {
    /// Begins and ends with `/`.
    pub path: &'static str,
    pub name: &'static str,
    actions: &'static [&'static str],
}

const fn policy(
    path: &'static str,
    name: &'static str,
    actions: &'static [&'static str],
) -> Managed {
    Managed {
        path,
        name,
        actions,
    }
}

const ROOT: &str = "/";
const SERVICE_ROLE: &str = "/service-role/";
const LINKED: &str = "/aws-service-role/";

const REGISTRY_READ: &[&str] = &[
    "ecr:GetAuthorizationToken",
    "ecr:BatchCheckLayerAvailability",
    "ecr:GetDownloadUrlForLayer",
    "ecr:GetRepositoryPolicy",
    "ecr:DescribeRepositories",
    "ecr:ListImages",
    "ecr:DescribeImages",
    "ecr:BatchGetImage",
    "ecr:GetLifecyclePolicy",
    "ecr:GetLifecyclePolicyPreview",
    "ecr:ListTagsForResource",
    "ecr:DescribeImageScanFindings",
];
const SYSTEMS_MANAGER: &[&str] = &[
    "ssm:DescribeAssociation",
    "ssm:GetDeployablePatchSnapshotForInstance",
    "ssm:GetDocument",
    "ssm:DescribeDocument",
    "ssm:GetManifest",
    "ssm:GetParameter",
    "ssm:GetParameters",
    "ssm:ListAssociations",
    "ssm:ListInstanceAssociations",
    "ssm:PutInventory",
    "ssm:PutComplianceItems",
    "ssm:PutConfigurePackageResult",
    "ssm:UpdateAssociationStatus",
    "ssm:UpdateInstanceAssociationStatus",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:*",
    "ec2messages:*",
];

/// In the order of their names.
const POLICIES: &[Managed] = &[
    policy(
        ROOT,
        "AWSCodeBuildAdminAccess",
        &[
            "codebuild:*",
            "codecommit:*",
            "codepipeline:*",
            "ecr:DescribeRepositories",
            "ecr:ListImages",
            "iam:PassRole",
            "logs:GetLogEvents",
            "s3:GetObject",
            "s3:ListBucket",
        ],
    ),
    policy(
        ROOT,
        "AWSCodeBuildDeveloperAccess",
        &[
            "codebuild:StartBuild",
            "codebuild:StopBuild",
            "codebuild:BatchGet*",
            "codebuild:List*",
            "logs:GetLogEvents",
            "s3:GetObject",
        ],
    ),
    policy(
        ROOT,
        "AWSCodePipeline_FullAccess",
        &[
            "codepipeline:*",
            "codebuild:BatchGetProjects",
            "codebuild:ListProjects",
            "ecs:ListClusters",
            "ecs:ListServices",
            "iam:PassRole",
            "s3:*",
        ],
    ),
    policy(
        SERVICE_ROLE,
        "AWSLambdaBasicExecutionRole",
        &[
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    ),
    policy(
        SERVICE_ROLE,
        "AWSLambdaVPCAccessExecutionRole",
        &[
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "ec2:CreateNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:DeleteNetworkInterface",
            "ec2:AssignPrivateIpAddresses",
            "ec2:UnassignPrivateIpAddresses",
        ],
    ),
    policy(
        ROOT,
        "AWSXRayDaemonWriteAccess",
        &[
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
            "xray:GetSamplingStatisticSummaries",
        ],
    ),
    policy(ROOT, "AdministratorAccess", &["*"]),
    policy(
        ROOT,
        "AmazonDynamoDBFullAccess",
        &[
            "dynamodb:*",
            "dax:*",
            "application-autoscaling:*",
            "cloudwatch:*",
        ],
    ),
    policy(
        ROOT,
        "AmazonEC2ContainerRegistryFullAccess",
        &["ecr:*", "cloudtrail:LookupEvents"],
    ),
    policy(
        ROOT,
        "AmazonEC2ContainerRegistryPowerUser",
        &[
            "ecr:GetAuthorizationToken",
            "ecr:BatchCheckLayerAvailability",
            "ecr:GetDownloadUrlForLayer",
            "ecr:GetRepositoryPolicy",
            "ecr:DescribeRepositories",
            "ecr:ListImages",
            "ecr:DescribeImages",
            "ecr:BatchGetImage",
            "ecr:GetLifecyclePolicy",
            "ecr:GetLifecyclePolicyPreview",
            "ecr:ListTagsForResource",
            "ecr:DescribeImageScanFindings",
            "ecr:InitiateLayerUpload",
            "ecr:UploadLayerPart",
            "ecr:CompleteLayerUpload",
            "ecr:PutImage",
        ],
    ),
    policy(ROOT, "AmazonEC2ContainerRegistryReadOnly", REGISTRY_READ),
    policy(
        SERVICE_ROLE,
        "AmazonEC2ContainerServiceAutoscaleRole",
        &[
            "ecs:DescribeServices",
            "ecs:UpdateService",
            "cloudwatch:DescribeAlarms",
            "cloudwatch:PutMetricAlarm",
        ],
    ),
    policy(
        SERVICE_ROLE,
        "AmazonEC2ContainerServiceEventsRole",
        &["ecs:RunTask", "iam:PassRole", "ecs:TagResource"],
    ),
    policy(
        SERVICE_ROLE,
        "AmazonEC2ContainerServiceRole",
        &[
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:Describe*",
            "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
            "elasticloadbalancing:DeregisterTargets",
            "elasticloadbalancing:Describe*",
            "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
            "elasticloadbalancing:RegisterTargets",
        ],
    ),
    policy(
        SERVICE_ROLE,
        "AmazonEC2ContainerServiceforEC2Role",
        &[
            "ec2:DescribeTags",
            "ecs:CreateCluster",
            "ecs:DeregisterContainerInstance",
            "ecs:DiscoverPollEndpoint",
            "ecs:Poll",
            "ecs:RegisterContainerInstance",
            "ecs:StartTelemetrySession",
            "ecs:UpdateContainerInstancesState",
            "ecs:Submit*",
            "ecr:GetAuthorizationToken",
            "ecr:BatchCheckLayerAvailability",
            "ecr:GetDownloadUrlForLayer",
            "ecr:BatchGetImage",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    ),
    policy(
        ROOT,
        "AmazonEC2FullAccess",
        &[
            "ec2:*",
            "elasticloadbalancing:*",
            "cloudwatch:*",
            "autoscaling:*",
            "iam:CreateServiceLinkedRole",
        ],
    ),
    policy(
        ROOT,
        "AmazonEC2ReadOnlyAccess",
        &[
            "ec2:Describe*",
            "elasticloadbalancing:Describe*",
            "cloudwatch:ListMetrics",
            "cloudwatch:GetMetricStatistics",
            "cloudwatch:Describe*",
            "autoscaling:Describe*",
        ],
    ),
    policy(SERVICE_ROLE, "AmazonEC2RoleforSSM", SYSTEMS_MANAGER),
    policy(
        LINKED,
        "AmazonECSServiceRolePolicy",
        &[
            "ec2:AttachNetworkInterface",
            "ec2:CreateNetworkInterface",
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteNetworkInterfacePermission",
            "ec2:Describe*",
            "ec2:DetachNetworkInterface",
            "elasticloadbalancing:DeregisterTargets",
            "elasticloadbalancing:Describe*",
            "elasticloadbalancing:RegisterTargets",
            "servicediscovery:*",
        ],
    ),
    policy(
        SERVICE_ROLE,
        "AmazonECSTaskExecutionRolePolicy",
        &[
            "ecr:GetAuthorizationToken",
            "ecr:BatchCheckLayerAvailability",
            "ecr:GetDownloadUrlForLayer",
            "ecr:BatchGetImage",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    ),
    policy(
        ROOT,
        "AmazonECS_FullAccess",
        &[
            "ecs:*",
            "application-autoscaling:*",
            "autoscaling:*",
            "cloudformation:*",
            "cloudwatch:*",
            "ec2:Describe*",
            "elasticloadbalancing:*",
            "iam:PassRole",
            "logs:*",
            "servicediscovery:*",
        ],
    ),
    policy(ROOT, "AmazonS3FullAccess", &["s3:*", "s3-object-lambda:*"]),
    policy(
        ROOT,
        "AmazonS3ReadOnlyAccess",
        &["s3:Get*", "s3:List*", "s3:Describe*"],
    ),
    policy(ROOT, "AmazonSQSFullAccess", &["sqs:*"]),
    policy(
        ROOT,
        "AmazonSSMFullAccess",
        &[
            "cloudwatch:PutMetricData",
            "ds:CreateComputer",
            "ds:DescribeDirectories",
            "ec2:DescribeInstanceStatus",
            "logs:*",
            "ssm:*",
            "ec2messages:*",
        ],
    ),
    policy(ROOT, "AmazonSSMManagedInstanceCore", SYSTEMS_MANAGER),
    policy(
        ROOT,
        "AmazonSSMReadOnlyAccess",
        &["ssm:Describe*", "ssm:Get*", "ssm:List*"],
    ),
    policy(
        SERVICE_ROLE,
        "AutoScalingNotificationAccessRole",
        &["sqs:SendMessage", "sqs:GetQueueUrl", "sns:Publish"],
    ),
    policy(
        ROOT,
        "CloudWatchAgentServerPolicy",
        &[
            "cloudwatch:PutMetricData",
            "ec2:DescribeVolumes",
            "ec2:DescribeTags",
            "logs:PutLogEvents",
            "logs:PutRetentionPolicy",
            "logs:DescribeLogStreams",
            "logs:DescribeLogGroups",
            "logs:CreateLogStream",
            "logs:CreateLogGroup",
        ],
    ),
    policy(
        ROOT,
        "CloudWatchFullAccess",
        &[
            "autoscaling:Describe*",
            "cloudwatch:*",
            "logs:*",
            "sns:*",
            "iam:GetPolicy",
            "iam:GetPolicyVersion",
            "iam:GetRole",
        ],
    ),
    policy(
        ROOT,
        "CloudWatchLogsFullAccess",
        &["logs:*", "cloudwatch:GenerateQuery"],
    ),
    policy(
        ROOT,
        "CloudWatchLogsReadOnlyAccess",
        &[
            "logs:Describe*",
            "logs:Get*",
            "logs:List*",
            "logs:StartQuery",
            "logs:StopQuery",
            "logs:FilterLogEvents",
        ],
    ),
    policy(
        ROOT,
        "PowerUserAccess",
        &[
            "application-autoscaling:*",
            "cloudformation:*",
            "cloudwatch:*",
            "codebuild:*",
            "codecommit:*",
            "codeconnections:*",
            "codepipeline:*",
            "codestar-connections:*",
            "ec2:*",
            "ecr:*",
            "ecs:*",
            "elasticloadbalancing:*",
            "logs:*",
            "s3:*",
            "secretsmanager:*",
            "ssm:*",
            "sts:*",
            "iam:CreateServiceLinkedRole",
            "iam:DeleteServiceLinkedRole",
            "iam:ListRoles",
        ],
    ),
    policy(
        ROOT,
        "ReadOnlyAccess",
        &[
            "application-autoscaling:Describe*",
            "cloudformation:Describe*",
            "cloudformation:Get*",
            "cloudformation:List*",
            "ec2:Describe*",
            "ecr:BatchGet*",
            "ecr:Describe*",
            "ecr:Get*",
            "ecr:List*",
            "ecs:Describe*",
            "ecs:List*",
            "elasticloadbalancing:Describe*",
            "iam:Get*",
            "iam:List*",
            "logs:Describe*",
            "logs:FilterLogEvents",
            "logs:Get*",
            "s3:Get*",
            "s3:List*",
        ],
    ),
    policy(
        ROOT,
        "SecretsManagerReadWrite",
        &[
            "secretsmanager:*",
            "kms:DescribeKey",
            "kms:ListAliases",
            "kms:ListKeys",
        ],
    ),
];

impl Managed {
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy{}{}", self.path, self.name)
    }

    /// Stable, and in AWS's form; not AWS's own.
    pub fn id(&self) -> String {
        format!(
            "ANPA{}",
            cloud::token_hex(self.name, "policy id", 17).to_uppercase()
        )
    }

    pub fn document(&self) -> String {
        json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": self.actions, "Resource": "*"}],
        })
        .to_string()
    }
}

pub fn all() -> &'static [Managed] {
    POLICIES
}

/// The policy with this ARN. Names are matched as they are; AWS's paths belong to them.
pub fn find(arn: &str) -> Option<&'static Managed> {
    POLICIES.iter().find(|it| it.arn() == arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Purpose, check};

    #[test]
    fn policies_are_in_order_and_well_formed() {
        assert!(POLICIES.is_sorted_by_key(|it| it.name));
        for policy in POLICIES {
            assert_eq!(
                check(&policy.document(), Purpose::Permissions),
                Ok(()),
                "{}",
                policy.name
            );
        }
        assert!(
            find("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy").is_some()
        );
        assert!(find("arn:aws:iam::aws:policy/AmazonECSTaskExecutionRolePolicy").is_none());
    }
}
