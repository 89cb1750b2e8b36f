//! What a call needs permission for: its actions, and the ARNs of what it touches (AWS's service
//! authorization reference).
//!
//! An operation needs the action of its own name, with few exceptions. Its resources are read from its
//! input by the rules below; an operation without a rule is on `*`.

use serde_json::Value as Json;

/// An action on a resource, and what is known beside the request's own context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub action: String,
    pub resource: String,
    /// For `iam:PassRole`: the service that gets the role.
    pub passed_to: Option<&'static str>,
}

/// Where a call is made.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub region: &'a str,
    pub account: &'a str,
}

/// How an input's members name what it touches, the first that is there.
struct Rules {
    /// The signing name.
    service: &'static str,
    /// The prefix of its actions and ARNs.
    prefix: &'static str,
    /// Operations on `*`, as their names begin.
    without: &'static [&'static str],
    /// A member and the resource part of an ARN: `{}` is the member's value (its last part where it
    /// is an ARN's), `{cluster}` that of another member.
    members: &'static [(&'static str, &'static str)],
}

const RULES: &[Rules] = &[
    Rules {
        service: "ecs",
        prefix: "ecs",
        without: &[
            "List",
            "RegisterTaskDefinition",
            "DescribeTaskDefinition",
            "DeregisterTaskDefinition",
            "PutAccountSetting",
        ],
        members: &[
            ("services", "service/{cluster}/{}"),
            ("service", "service/{cluster}/{}"),
            ("serviceName", "service/{cluster}/{}"),
            ("tasks", "task/{cluster}/{}"),
            ("task", "task/{cluster}/{}"),
            ("taskDefinition", "task-definition/{}"),
            ("clusterName", "cluster/{}"),
            ("clusters", "cluster/{}"),
            ("cluster", "cluster/{}"),
        ],
    },
    Rules {
        service: "ecr",
        prefix: "ecr",
        without: &["GetAuthorizationToken", "DescribeRegistry"],
        members: &[
            ("repositoryName", "repository/{}"),
            ("repositoryNames", "repository/{}"),
        ],
    },
    Rules {
        service: "logs",
        prefix: "logs",
        without: &["DescribeLogGroups"],
        members: &[
            ("logStreamName", "log-group:{logGroupName}:log-stream:{}"),
            ("logGroupName", "log-group:{}:*"),
        ],
    },
    Rules {
        service: "cloudformation",
        prefix: "cloudformation",
        without: &["ListStacks", "ValidateTemplate", "ListExports"],
        members: &[("StackName", "stack/{}/*")],
    },
    Rules {
        service: "codebuild",
        prefix: "codebuild",
        without: &["ListProjects", "ListBuilds", "ListCurated"],
        members: &[
            ("projectName", "project/{}"),
            ("project", "project/{}"),
            ("names", "project/{}"),
            ("name", "project/{}"),
            ("ids", "project/{}"),
            ("id", "project/{}"),
        ],
    },
    Rules {
        service: "codepipeline",
        prefix: "codepipeline",
        without: &["ListPipelines"],
        members: &[("pipelineName", "{}"), ("name", "{}")],
    },
    Rules {
        service: "codecommit",
        prefix: "codecommit",
        without: &["ListRepositories"],
        members: &[("repositoryName", "{}"), ("repositoryNames", "{}")],
    },
    Rules {
        service: "codeconnections",
        prefix: "codeconnections",
        without: &["List", "Create"],
        members: &[("ConnectionArn", "connection/{}")],
    },
    Rules {
        service: "codestar-connections",
        prefix: "codestar-connections",
        without: &["List", "Create"],
        members: &[("ConnectionArn", "connection/{}")],
    },
    Rules {
        service: "secretsmanager",
        prefix: "secretsmanager",
        without: &["ListSecrets", "GetRandomPassword", "BatchGetSecretValue"],
        // A secret's ARN ends in six characters that its name does not tell.
        members: &[
            ("SecretId", "secret:{}-??????"),
            ("Name", "secret:{}-??????"),
        ],
    },
    Rules {
        service: "ssm",
        prefix: "ssm",
        without: &["DescribeParameters"],
        members: &[
            ("Name", "parameter/{}"),
            ("Names", "parameter/{}"),
            ("Path", "parameter/{}"),
        ],
    },
    Rules {
        service: "monitoring",
        prefix: "cloudwatch",
        without: &["PutMetricData", "GetMetric", "ListMetrics"],
        members: &[("AlarmName", "alarm:{}"), ("AlarmNames", "alarm:{}")],
    },
    Rules {
        service: "iam",
        prefix: "iam",
        without: &["ListRoles", "ListUsers", "ListPolicies"],
        members: &[
            ("RoleName", "role/{}"),
            ("UserName", "user/{}"),
            ("InstanceProfileName", "instance-profile/{}"),
            ("PolicyName", "policy/{}"),
        ],
    },
    Rules {
        service: "ec2",
        prefix: "ec2",
        without: &["Describe", "CreateVpc"],
        members: &[
            ("SubnetId", "subnet/{}"),
            ("RouteTableId", "route-table/{}"),
            ("GroupId", "security-group/{}"),
            ("NetworkInterfaceId", "network-interface/{}"),
            ("InternetGatewayId", "internet-gateway/{}"),
            ("VpcId", "vpc/{}"),
        ],
    },
];

/// Everything that a call of `operation` with this input needs.
pub fn of_call(service: &str, operation: &str, input: &Json, at: Place<'_>) -> Vec<Need> {
    if service == "s3" {
        return of_s3(operation, input);
    }
    let rules = RULES.iter().find(|it| it.service == service);
    let prefix = rules.map_or(service, |it| it.prefix);
    let action = format!("{prefix}:{operation}");
    let resources = match rules {
        Some(rules) => resources(rules, operation, input, at),
        None => arns_in(input),
    };
    let needs = resources.into_iter().map(|resource| Need {
        action: action.clone(),
        resource,
        passed_to: None,
    });
    needs
        .chain(passed_roles(service, operation, input, at))
        .collect()
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

fn resources(rules: &Rules, operation: &str, input: &Json, at: Place<'_>) -> Vec<String> {
    if rules.without.iter().any(|it| operation.starts_with(it)) {
        return everything();
    }
    for (member, form) in rules.members {
        let values = texts(member_of(input, member));
        if !values.is_empty() {
            let arns = values
                .iter()
                .map(|value| arn(rules, form, value, input, at));
            return arns.collect();
        }
    }
    arns_in(input)
}

fn arn(rules: &Rules, form: &str, value: &str, input: &Json, at: Place<'_>) -> String {
    if value.starts_with("arn:") {
        return whole_arn(rules, value);
    }
    let value = match rules.prefix {
        // A build's id is `<project>:<uuid>`.
        "codebuild" => value.split(':').next().unwrap_or(value),
        // `parameter/a/b` is the parameter `/a/b`, and `parameter/a` is `a`.
        "ssm" => without_selector(value).trim_start_matches('/'),
        _ => value,
    };
    let mut resource = form.replace("{}", value);
    for other in ["cluster", "logGroupName"] {
        let place = format!("{{{other}}}");
        if resource.contains(&place) {
            let named = texts(member_of(input, other)).into_iter().next();
            let named = named.unwrap_or_else(|| "default".into());
            let name = named.rsplit('/').next().unwrap_or(&named).to_owned();
            let name = if other == "cluster" { &name } else { &named };
            resource = resource.replace(&place, name);
        }
    }
    let region = if rules.prefix == "iam" { "" } else { at.region };
    format!(
        "arn:aws:{}:{region}:{}:{resource}",
        rules.prefix, at.account
    )
}

/// `/a/b:3` and `/a/b:label` are of the parameter `/a/b`.
fn without_selector(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// The ARN of what an ARN leads to: services take ones that say more, or less.
fn whole_arn(rules: &Rules, arn: &str) -> String {
    let mut parts = arn.splitn(6, ':');
    let (head, resource): (Vec<&str>, _) = (parts.by_ref().take(5).collect(), parts.next());
    let resource = match (rules.prefix, resource) {
        ("ssm", Some(resource)) => without_selector(resource).to_owned(),
        // A secret's ARN is understood without the six characters at its end, too.
        ("secretsmanager", Some(resource)) if !has_suffix(resource) => {
            format!("{resource}-??????")
        }
        _ => return arn.to_owned(),
    };
    format!("{}:{resource}", head.join(":"))
}

fn has_suffix(resource: &str) -> bool {
    let end = resource.rsplit_once('-').map(|it| it.1);
    end.is_some_and(|it| it.len() == 6 && it.bytes().all(|it| it.is_ascii_alphanumeric()))
}

/// ARNs that an input names anywhere at its top, where there is no better rule.
fn arns_in(input: &Json) -> Vec<String> {
    let members = input.as_object().into_iter().flatten();
    let mut found: Vec<String> = members
        .filter(|(name, _)| name.to_ascii_lowercase().contains("arn"))
        .flat_map(|(_, value)| texts(Some(value)))
        .filter(|it| it.starts_with("arn:"))
        .collect();
    found.dedup();
    if found.is_empty() {
        everything()
    } else {
        found
    }
}

/// Names differ between protocols in the case of their first letter.
fn member_of<'a>(input: &'a Json, name: &str) -> Option<&'a Json> {
    let object = input.as_object()?;
    object.get(name).or_else(|| {
        let found = object
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    })
}

fn texts(json: Option<&Json>) -> Vec<String> {
    match json {
        Some(Json::String(text)) if !text.is_empty() => vec![text.clone()],
        Some(Json::Array(items)) => {
            let texts = items.iter().filter_map(Json::as_str);
            texts.map(str::to_owned).collect()
        }
        _ => vec![],
    }
}

/// S3's operations and actions have different names.
fn of_s3(operation: &str, input: &Json) -> Vec<Need> {
    let text = |name: &str| texts(member_of(input, name)).into_iter().next();
    let bucket = text("Bucket").map(|it| format!("arn:aws:s3:::{it}"));
    let keys = texts(member_of(input, "Key"));
    // One version of an object needs another action than whatever is current.
    let versioned = text("VersionId").is_some();
    let need = |action: &str, resource: String| Need {
        action: format!("s3:{action}"),
        resource,
        passed_to: None,
    };
    let Some(bucket) = bucket else {
        return vec![need("ListAllMyBuckets", "*".into())];
    };
    let objects = |action: &str| {
        let keys = if keys.is_empty() {
            vec!["*".to_owned()]
        } else {
            keys.clone()
        };
        let needs = keys
            .iter()
            .map(|key| need(action, format!("{bucket}/{key}")));
        needs.collect::<Vec<_>>()
    };
    match operation {
        "HeadObject" | "GetObject" | "GetObjectAttributes" | "SelectObjectContent" => {
            objects(if versioned {
                "GetObjectVersion"
            } else {
                "GetObject"
            })
        }
        "DeleteObject" if versioned => objects("DeleteObjectVersion"),
        "CopyObject" | "UploadPartCopy" => {
            let source = text("CopySource").unwrap_or_default();
            let (source, version) = source.split_once('?').unwrap_or((&source, ""));
            // It is encoded as an address is: what a policy names is not.
            let source = percent_encoding::percent_decode_str(source).decode_utf8_lossy();
            let source = format!("arn:aws:s3:::{}", source.trim_start_matches('/'));
            let mut needs = objects("PutObject");
            needs.push(need(
                if version.is_empty() {
                    "GetObject"
                } else {
                    "GetObjectVersion"
                },
                source,
            ));
            needs
        }
        "PutObject"
        | "PostObject"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "CompleteMultipartUpload" => objects("PutObject"),
        "DeleteObject" | "DeleteObjects" => objects("DeleteObject"),
        "AbortMultipartUpload" => objects("AbortMultipartUpload"),
        "ListParts" => objects("ListMultipartUploadParts"),
        "GetObjectTagging"
        | "PutObjectTagging"
        | "DeleteObjectTagging"
        | "GetObjectAcl"
        | "PutObjectAcl" => objects(operation),
        other => vec![need(bucket_action(other), bucket)],
    }
}

fn bucket_action(operation: &str) -> &str {
    match operation {
        "HeadBucket" | "ListObjects" | "ListObjectsV2" => "ListBucket",
        "ListObjectVersions" => "ListBucketVersions",
        "ListMultipartUploads" => "ListBucketMultipartUploads",
        "GetBucketLifecycleConfiguration" => "GetLifecycleConfiguration",
        "PutBucketLifecycleConfiguration" | "DeleteBucketLifecycle" => "PutLifecycleConfiguration",
        "GetBucketEncryption" => "GetEncryptionConfiguration",
        "PutBucketEncryption" | "DeleteBucketEncryption" => "PutEncryptionConfiguration",
        "DeleteBucketTagging" => "PutBucketTagging",
        "GetPublicAccessBlock" => "GetBucketPublicAccessBlock",
        "PutPublicAccessBlock" | "DeletePublicAccessBlock" => "PutBucketPublicAccessBlock",
        "GetBucketCors" => "GetBucketCORS",
        "PutBucketCors" | "DeleteBucketCors" => "PutBucketCORS",
        other => other,
    }
}

/// Where inputs name roles that a service is to act with, and that service.
const PASSED: &[(&str, &str, &str, &str)] = &[
    (
        "ecs",
        "RegisterTaskDefinition",
        "executionRoleArn",
        ECS_TASKS,
    ),
    ("ecs", "RegisterTaskDefinition", "taskRoleArn", ECS_TASKS),
    ("ecs", "CreateService", "role", "ecs.amazonaws.com"),
    ("ecs", "RunTask", "/overrides/taskRoleArn", ECS_TASKS),
    ("ecs", "RunTask", "/overrides/executionRoleArn", ECS_TASKS),
    ("ecs", "StartTask", "/overrides/taskRoleArn", ECS_TASKS),
    ("ecs", "StartTask", "/overrides/executionRoleArn", ECS_TASKS),
    ("codebuild", "StartBuild", "serviceRoleOverride", CODEBUILD),
    ("codebuild", "CreateProject", "serviceRole", CODEBUILD),
    ("codebuild", "UpdateProject", "serviceRole", CODEBUILD),
    (
        "codepipeline",
        "CreatePipeline",
        "/pipeline/roleArn",
        CODEPIPELINE,
    ),
    (
        "codepipeline",
        "UpdatePipeline",
        "/pipeline/roleArn",
        CODEPIPELINE,
    ),
    ("cloudformation", "CreateStack", "RoleARN", CLOUDFORMATION),
    ("cloudformation", "UpdateStack", "RoleARN", CLOUDFORMATION),
    ("cloudformation", "DeleteStack", "RoleARN", CLOUDFORMATION),
    (
        "cloudformation",
        "CreateChangeSet",
        "RoleARN",
        CLOUDFORMATION,
    ),
];
const ECS_TASKS: &str = "ecs-tasks.amazonaws.com";
const CODEBUILD: &str = "codebuild.amazonaws.com";
const CODEPIPELINE: &str = "codepipeline.amazonaws.com";
const CLOUDFORMATION: &str = "cloudformation.amazonaws.com";

fn passed_roles<'a>(
    service: &'a str,
    operation: &'a str,
    input: &'a Json,
    at: Place<'a>,
) -> impl Iterator<Item = Need> + 'a {
    let ours = PASSED
        .iter()
        .filter(move |it| it.0 == service && it.1 == operation);
    let named = ours.filter_map(move |(_, _, member, passed_to)| {
        let role = if member.starts_with('/') {
            input.pointer(member)
        } else {
            member_of(input, member)
        };
        Some((role?, *passed_to))
    });
    let is_pipeline =
        service == "codepipeline" && matches!(operation, "CreatePipeline" | "UpdatePipeline");
    let of_actions = roles_of_actions(input)
        .filter(move |_| is_pipeline)
        .map(|role| (role, CODEPIPELINE));
    named
        .chain(of_actions)
        .filter_map(move |(role, passed_to)| {
            let role = role.as_str().filter(|it| !it.is_empty())?;
            Some(Need {
                action: "iam:PassRole".into(),
                resource: cloud::role_arn(at.account, role),
                passed_to: Some(passed_to),
            })
        })
}

/// The roles that a pipeline's actions have in place of the pipeline's own.
fn roles_of_actions(input: &Json) -> impl Iterator<Item = &Json> {
    let stages = input.pointer("/pipeline/stages").and_then(Json::as_array);
    let actions = stages
        .into_iter()
        .flatten()
        .filter_map(|it| it["actions"].as_array());
    actions.flatten().filter_map(|it| it.get("roleArn"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(service: &str, operation: &str, input: Json, expected: &[(&str, &str)]) {
        let at = Place {
            region: "eu-west-1",
            account: "1",
        };
        let needs = of_call(service, operation, &input, at);
        let found: Vec<(&str, &str)> = needs
            .iter()
            .map(|it| (it.action.as_str(), it.resource.as_str()))
            .collect();
        assert_eq!(found, expected, "{service}:{operation} {input}");
    }

    #[test]
    fn resources_are_named_as_aws_names_them() {
        check(
            "ecs",
            "UpdateService",
            json!({"cluster": "arn:aws:ecs:eu-west-1:1:cluster/web", "service": "shop", "taskDefinition": "t:2"}),
            &[(
                "ecs:UpdateService",
                "arn:aws:ecs:eu-west-1:1:service/web/shop",
            )],
        );
        check(
            "ecs",
            "ListTasks",
            json!({"cluster": "web"}),
            &[("ecs:ListTasks", "*")],
        );
        check(
            "ecr",
            "PutImage",
            json!({"repositoryName": "app"}),
            &[("ecr:PutImage", "arn:aws:ecr:eu-west-1:1:repository/app")],
        );
        check(
            "logs",
            "PutLogEvents",
            json!({"logGroupName": "/ecs/a", "logStreamName": "s"}),
            &[(
                "logs:PutLogEvents",
                "arn:aws:logs:eu-west-1:1:log-group:/ecs/a:log-stream:s",
            )],
        );
        check(
            "codebuild",
            "BatchGetBuilds",
            json!({"ids": ["app:11-22"]}),
            &[(
                "codebuild:BatchGetBuilds",
                "arn:aws:codebuild:eu-west-1:1:project/app",
            )],
        );
        check(
            "monitoring",
            "PutMetricData",
            json!({"Namespace": "A"}),
            &[("cloudwatch:PutMetricData", "*")],
        );
        check(
            "ssm",
            "GetParameters",
            json!({"Names": ["/a/b", "c"]}),
            &[
                ("ssm:GetParameters", "arn:aws:ssm:eu-west-1:1:parameter/a/b"),
                ("ssm:GetParameters", "arn:aws:ssm:eu-west-1:1:parameter/c"),
            ],
        );
    }

    /// Another way to write the same thing must not lead past what is denied.
    #[test]
    fn what_is_written_in_another_way_is_the_same_thing() {
        let get = |name: &str| json!({"Name": name});
        let parameter = "arn:aws:ssm:eu-west-1:1:parameter/a/b";
        for name in ["/a/b", "/a/b:3", "/a/b:label", &format!("{parameter}:3")] {
            check(
                "ssm",
                "GetParameter",
                get(name),
                &[("ssm:GetParameter", parameter)],
            );
        }
        let secret = "arn:aws:secretsmanager:eu-west-1:1:secret:prod";
        for (id, expected) in [
            ("prod", "-??????"),
            (secret, "-??????"),
            (&*format!("{secret}-aB3dE6"), "-aB3dE6"),
        ] {
            check(
                "secretsmanager",
                "GetSecretValue",
                json!({"SecretId": id}),
                &[(
                    "secretsmanager:GetSecretValue",
                    &format!("{secret}{expected}"),
                )],
            );
        }
        check(
            "s3",
            "CopyObject",
            json!({"Bucket": "b", "Key": "k", "CopySource": "/b/%73ecret/x?versionId=1"}),
            &[
                ("s3:PutObject", "arn:aws:s3:::b/k"),
                ("s3:GetObjectVersion", "arn:aws:s3:::b/secret/x"),
            ],
        );
    }

    #[test]
    fn s3_has_actions_of_other_names() {
        let object = json!({"Bucket": "shop", "Key": "a/b"});
        check(
            "s3",
            "HeadObject",
            object.clone(),
            &[("s3:GetObject", "arn:aws:s3:::shop/a/b")],
        );
        check(
            "s3",
            "UploadPart",
            object,
            &[("s3:PutObject", "arn:aws:s3:::shop/a/b")],
        );
        let version = json!({"Bucket": "shop", "Key": "a", "VersionId": "1"});
        check(
            "s3",
            "DeleteObject",
            version,
            &[("s3:DeleteObjectVersion", "arn:aws:s3:::shop/a")],
        );
        let bucket = json!({"Bucket": "shop"});
        check(
            "s3",
            "ListObjectsV2",
            bucket,
            &[("s3:ListBucket", "arn:aws:s3:::shop")],
        );
        check(
            "s3",
            "ListBuckets",
            json!({}),
            &[("s3:ListAllMyBuckets", "*")],
        );
    }

    #[test]
    fn roles_that_are_passed_need_permission() {
        check(
            "ecs",
            "RunTask",
            json!({"taskDefinition": "t", "overrides": {"taskRoleArn": "arn:aws:iam::1:role/admin"}}),
            &[
                ("ecs:RunTask", "arn:aws:ecs:eu-west-1:1:task-definition/t"),
                ("iam:PassRole", "arn:aws:iam::1:role/admin"),
            ],
        );
        let action = json!({"roleArn": "arn:aws:iam::1:role/action"});
        check(
            "codepipeline",
            "UpdatePipeline",
            json!({"pipeline": {"name": "p", "roleArn": "arn:aws:iam::1:role/own", "stages": [{"actions": [action]}]}}),
            &[
                ("codepipeline:UpdatePipeline", "*"),
                ("iam:PassRole", "arn:aws:iam::1:role/own"),
                ("iam:PassRole", "arn:aws:iam::1:role/action"),
            ],
        );
        check(
            "ecs",
            "RegisterTaskDefinition",
            json!({"family": "a", "executionRoleArn": "arn:aws:iam::1:role/x", "taskRoleArn": "y"}),
            &[
                ("ecs:RegisterTaskDefinition", "*"),
                ("iam:PassRole", "arn:aws:iam::1:role/x"),
                ("iam:PassRole", "arn:aws:iam::1:role/y"),
            ],
        );
    }
}
