//! What a build's service role is asked for, and how a build without it ends.

use std::sync::Arc;

use super::*;

/// What a role needs for a build of [`asked_project`]: each action, and what it is needed on.
const NEEDED: &[(&str, &str)] = &[
    (
        "logs:CreateLogGroup",
        "arn:aws:logs:us-east-1:000000000000:log-group:/aws/codebuild/web*",
    ),
    (
        "logs:CreateLogStream",
        "arn:aws:logs:us-east-1:000000000000:log-group:/aws/codebuild/web*",
    ),
    (
        "logs:PutLogEvents",
        "arn:aws:logs:us-east-1:000000000000:log-group:/aws/codebuild/web:log-stream:*",
    ),
    ("ecr:GetAuthorizationToken", "*"),
    (
        "ecr:BatchGetImage",
        "arn:aws:ecr:us-east-1:000000000000:repository/tools",
    ),
    (
        "ecr:BatchCheckLayerAvailability",
        "arn:aws:ecr:us-east-1:000000000000:repository/tools",
    ),
    (
        "ecr:GetDownloadUrlForLayer",
        "arn:aws:ecr:us-east-1:000000000000:repository/tools",
    ),
    ("s3:GetObject", "arn:aws:s3:::bucket/source.zip"),
    (
        "secretsmanager:GetSecretValue",
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:login-*",
    ),
    (
        "ssm:GetParameter",
        "arn:aws:ssm:us-east-1:000000000000:parameter/token",
    ),
    ("s3:PutObject", "arn:aws:s3:::bucket/web.zip"),
];

const TOOLS: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com/tools:1";

/// A project that asks its role for everything.
fn asked_project() -> CreateProjectInput {
    let variable = |name: &str, value: &str, kind| EnvironmentVariable {
        name: name.into(),
        value: value.into(),
        r#type: Some(kind),
    };
    let mut input = project();
    input.source = ProjectSource {
        r#type: SourceType::S3,
        location: Some("bucket/source.zip".into()),
        ..Default::default()
    };
    input.environment.image = TOOLS.into();
    input.environment.image_pull_credentials_type = Some(ImagePullCredentialsType::ServiceRole);
    input.environment.environment_variables = Some(vec![
        variable("TOKEN", "/token", EnvironmentVariableType::ParameterStore),
        variable(
            "LOGIN",
            "login:password",
            EnvironmentVariableType::SecretsManager,
        ),
    ]);
    input
}

/// A build of [`asked_project`] where the role has all of [`NEEDED`] but one action, to its end.
async fn build_without(missing: &str) -> (Build, String) {
    let world = World::new().await;
    let policies = iam::Policies::new(iam::Mode::Enforce);
    world.cloud.decide_by(Arc::new(policies));
    let files = [("buildspec.yml", BUILDSPEC), ("out/from-source", "it")];
    let source = PutObjectInput {
        bucket: "bucket".into(),
        key: "source.zip".into(),
        body: Some(wire::Blob(sim::SimWorkspaces::archive(&files))),
        ..Default::default()
    };
    world.call(source).await;
    let parameter = shapes::ssm::PutParameterInput {
        name: "/token".into(),
        value: "very secret".into(),
        r#type: Some(shapes::ssm::ParameterType::SecureString),
        ..Default::default()
    };
    world.call(parameter).await;
    let secret = shapes::secretsmanager::CreateSecretInput {
        name: "login".into(),
        secret_string: Some(r#"{"password":"hunter2"}"#.into()),
        ..Default::default()
    };
    world.call(secret).await;
    let given = NEEDED.iter().filter(|(action, _)| *action != missing);
    let statements: Vec<_> = given
        .map(|(action, on)| json!({ "Effect": "Allow", "Action": action, "Resource": on }))
        .collect();
    let policy = shapes::iam::PutRolePolicyInput {
        role_name: "builder".into(),
        policy_name: "all".into(),
        policy_document: json!({ "Version": "2012-10-17", "Statement": statements }).to_string(),
    };
    world.call(policy).await;
    world.sim.images.add(TOOLS);
    world.call(asked_project()).await;
    let (id, uuid) = world.start().await;
    let ends = async || {
        world.sim.tasks.spec(&uuid).is_some() || world.build(&id).await.build_complete == Some(true)
    };
    world.until("the task or the end", ends).await;
    if world.sim.tasks.spec(&uuid).is_some() {
        world.marks(&uuid, WELL);
        world.sim.tasks.exit(&uuid, "build", 0);
    }
    (world.over(&id).await, uuid)
}

#[tokio::test]
async fn a_role_with_what_a_build_needs_is_enough() {
    let (build, _) = build_without("nothing").await;
    assert_eq!(build.build_status, Some(StatusType::Succeeded), "{build:?}");
}

#[tokio::test]
async fn a_build_without_one_of_its_roles_rights_fails_in_awss_words() {
    use BuildPhaseType::{DownloadSource, Provisioning, UploadArtifacts};
    for (action, _) in NEEDED {
        let (build, uuid) = build_without(action).await;
        assert_eq!(build.build_status, Some(StatusType::Failed), "{action}");
        let (phase, words) = match action.split(':').next() {
            Some("logs") => (
                Provisioning,
                "ACCESS_DENIED: Service role arn:aws:iam::000000000000:role/builder does not allow AWS \
                 CodeBuild to create Amazon CloudWatch Logs log streams for build \
                 arn:aws:codebuild:us-east-1:000000000000:build/web:",
            ),
            Some("ecr") => (
                Provisioning,
                "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE: Unable to pull customer's container image. \
                 CannotPullContainerError: Error response from daemon: ",
            ),
            Some("ssm") => (DownloadSource, "Decrypted Variables Error: "),
            Some("secretsmanager") => (DownloadSource, "Secrets Manager Error Message: "),
            _ if *action == "s3:PutObject" => (UploadArtifacts, "CLIENT_ERROR: AccessDenied: "),
            _ => (DownloadSource, "CLIENT_ERROR: AccessDenied: "),
        };
        let error = error_of(&build, phase);
        let who = format!(
            "User: arn:aws:sts::000000000000:assumed-role/builder/AWSCodeBuild-{uuid} is not authorized \
             to perform: {action} on resource: "
        );
        assert!(
            error.starts_with(words) && error.contains(&who),
            "{action}: {error}"
        );
    }
}

#[tokio::test]
async fn codebuilds_own_credentials_are_let_in_by_the_repositorys_policy() {
    for (mode, status) in [
        (iam::Mode::Enforce, StatusType::Failed),
        (iam::Mode::Audit, StatusType::InProgress),
    ] {
        let world = World::new().await;
        world.cloud.decide_by(Arc::new(iam::Policies::new(mode)));
        let policy = shapes::iam::PutRolePolicyInput {
            role_name: "builder".into(),
            policy_name: "all".into(),
            policy_document: json!({ "Version": "2012-10-17", "Statement":
                { "Effect": "Allow", "Action": "*", "Resource": "*" } })
            .to_string(),
        };
        world.call(policy).await;
        world.sim.images.add(TOOLS);
        let mut input = project();
        input.environment.image = TOOLS.into();
        world.call(input).await;
        let (id, uuid) = world.start().await;
        let ends = async || {
            world.sim.tasks.spec(&uuid).is_some()
                || world.build(&id).await.build_complete == Some(true)
        };
        world.until("the task or the end", ends).await;
        let build = world.build(&id).await;
        assert_eq!(build.build_status, Some(status));
        if status == StatusType::Failed {
            let error = error_of(&build, BuildPhaseType::Provisioning);
            assert!(
                error.contains(
                    "pull access denied for 000000000000.dkr.ecr.us-east-1.amazonaws.com/tools"
                ) && error.contains("User: codebuild.amazonaws.com is not authorized"),
                "{error}"
            );
        }
    }
}
