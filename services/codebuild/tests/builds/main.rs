//! Builds on a machine that is not there: what is asked of it, and what becomes of what it says.

mod roles;

use std::ops::Deref;
use std::time::Duration;

use cloud::Service;
use serde_json::json;
use shapes::codebuild::*;
use shapes::iam::CreateRoleInput;
use shapes::s3::{CreateBucketInput, GetObjectInput, PutObjectInput};

const ENVIRONMENT: &str = "docker.io/aws/codebuild/environment:latest";
const BUILDSPEC: &str = "version: 0.2\nphases:\n  build:\n    commands:\n      - make\n      - \
                         test\nartifacts:\n  files: out/**/*\n";

struct World(testkit::World);

fn services() -> [Service; 8] {
    [
        codebuild::service(),
        cloudwatch_logs::service(),
        iam::service(),
        iam::sts_service(),
        kms::service(),
        s3::service(),
        secretsmanager::service(),
        ssm::service(),
    ]
}

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    async fn new() -> Self {
        let world = testkit::world(services()).run();
        for (name, service) in [("builder", "codebuild"), ("other", "ec2")] {
            let trust = json!({ "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole",
                "Principal": { "Service": format!("{service}.amazonaws.com") } }] });
            world
                .call(CreateRoleInput {
                    role_name: name.into(),
                    assume_role_policy_document: trust.to_string(),
                    ..Default::default()
                })
                .await;
        }
        world
            .call(CreateBucketInput {
                bucket: "bucket".into(),
                ..Default::default()
            })
            .await;
        world.sim.images.add(ENVIRONMENT);
        Self(world)
    }

    /// The daemon dies, and another one opens the same records on the same machine.
    fn crash(self) -> Self {
        Self(testkit::world(services()).on(&self.0.crash()).run())
    }

    async fn refused<I: wire::Operation>(&self, input: I) -> String {
        self.err(input).await.to_string()
    }

    /// Starts a build and answers with its id and its uuid.
    async fn start(&self) -> (String, String) {
        let input = StartBuildInput {
            project_name: "web".into(),
            ..Default::default()
        };
        let id = self.call(input).await.build.unwrap().id.unwrap();
        let uuid = id.split_once(':').unwrap().1.to_owned();
        (id, uuid)
    }

    async fn build(&self, id: &str) -> Build {
        let ids = vec![id.to_owned()];
        let found = self.call(BatchGetBuildsInput { ids }).await.builds;
        found.unwrap().remove(0)
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let come = testkit::wait(async || holds().await.then_some(())).await;
        assert!(come.is_some(), "{what} did not come true");
    }

    async fn over(&self, id: &str) -> Build {
        let holds = async || self.build(id).await.build_complete == Some(true);
        self.until("the end of the build", holds).await;
        self.build(id).await
    }

    async fn running(&self, uuid: &str) -> engine::TaskSpec {
        self.until("the task", async || self.sim.tasks.spec(uuid).is_some())
            .await;
        self.sim.tasks.spec(uuid).unwrap()
    }

    /// What a container does that succeeds, unless it says otherwise.
    fn marks(&self, uuid: &str, lines: &[&str]) {
        // Slightly in the future: the record must come to rest all the same.
        let now_ms = self.cx.clock().now_ms() + 60_000;
        let text: String = lines
            .iter()
            .map(|it| format!("{}000000 {it}\n", now_ms))
            .collect();
        self.sim.workspaces.put(uuid, "agent/marks", &text);
    }
}

fn project() -> CreateProjectInput {
    CreateProjectInput {
        name: "web".into(),
        source: ProjectSource {
            r#type: SourceType::NoSource,
            buildspec: Some(BUILDSPEC.into()),
            ..Default::default()
        },
        artifacts: ProjectArtifacts {
            r#type: ArtifactsType::S3,
            location: Some("bucket".into()),
            packaging: Some(ArtifactPackaging::Zip),
            name: Some("web.zip".into()),
            ..Default::default()
        },
        environment: ProjectEnvironment {
            r#type: EnvironmentType::LinuxContainer,
            image: "aws/codebuild/standard:7.0".into(),
            compute_type: ComputeType::BuildGeneral1Small,
            ..Default::default()
        },
        service_role: "builder".into(),
        ..Default::default()
    }
}

const WELL: &[&str] = &[
    "enter INSTALL",
    "leave INSTALL SUCCEEDED",
    "enter PRE_BUILD",
    "leave PRE_BUILD SUCCEEDED",
    "enter BUILD",
    "run 1",
    "run 2",
    "leave BUILD SUCCEEDED",
    "enter POST_BUILD",
    "leave POST_BUILD SUCCEEDED",
    "end",
];

fn phases(build: &Build) -> Vec<(String, String)> {
    let phases = build.phases.iter().flatten();
    phases
        .map(|it| {
            let text = |it: Option<String>| it.unwrap_or_default();
            (
                text(it.phase_type.map(|it| it.to_string())),
                text(it.phase_status.map(|it| it.to_string())),
            )
        })
        .collect()
}

fn error_of(build: &Build, phase: BuildPhaseType) -> String {
    let mut phases = build.phases.iter().flatten();
    let found = phases.rfind(|it| it.phase_type == Some(phase));
    let context = found.unwrap().contexts.clone().unwrap_or_default();
    let context = context.first().cloned().unwrap_or_default();
    format!(
        "{}: {}",
        context.status_code.unwrap_or_default(),
        context.message.unwrap_or_default()
    )
}

#[tokio::test]
async fn a_build_goes_through_its_phases_and_its_artifact_is_there() {
    let world = World::new().await;
    let key = world.call(shapes::kms::CreateKeyInput::default()).await;
    let key = key.key_metadata.unwrap().arn;
    let input = CreateProjectInput {
        encryption_key: key.clone(),
        ..project()
    };
    world.call(input).await;
    let (id, uuid) = world.start().await;
    let spec = world.running(&uuid).await;
    let container = &spec.containers[0];
    assert_eq!(container.argv, ["sh", "/codebuild/agent/build.sh"]);
    for part in [
        "AWS_REGION=us-east-1".to_owned(),
        format!("CODEBUILD_BUILD_ID={id}"),
        "CODEBUILD_BUILD_NUMBER=1".into(),
        "AWS_ENDPOINT_URL=http://169.254.170.2".into(),
        format!("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/{uuid}"),
    ] {
        assert!(container.env.contains(&part), "{part}: {:?}", container.env);
    }
    assert_eq!(
        world.build(&id).await.build_status,
        Some(StatusType::InProgress)
    );
    world.marks(&uuid, &WELL[..6]);
    let in_build = async || world.build(&id).await.current_phase.as_deref() == Some("BUILD");
    world.until("the phase BUILD", in_build).await;
    world.marks(&uuid, WELL);
    world
        .sim
        .workspaces
        .put(&uuid, "agent/exported", "TAG=v1\0");
    world
        .sim
        .workspaces
        .put(&format!("{uuid}-src"), "out/app", "the app");
    world.sim.tasks.exit(&uuid, "build", 0);
    let build = world.over(&id).await;
    assert_eq!(build.build_status, Some(StatusType::Succeeded), "{build:?}");
    let names: Vec<String> = phases(&build).into_iter().map(|it| it.0).collect();
    assert_eq!(
        names,
        [
            "SUBMITTED",
            "QUEUED",
            "PROVISIONING",
            "DOWNLOAD_SOURCE",
            "INSTALL",
            "PRE_BUILD",
            "BUILD",
            "POST_BUILD",
            "UPLOAD_ARTIFACTS",
            "FINALIZING",
            "COMPLETED"
        ]
    );
    let exported = &build.exported_environment_variables.unwrap()[0];
    assert_eq!(exported.value.as_deref(), Some("v1"));
    let object = GetObjectInput {
        bucket: "bucket".into(),
        key: "web.zip".into(),
        ..Default::default()
    };
    let object = world.call(object).await;
    let files = sim::SimWorkspaces::files(&object.body.unwrap().0).unwrap();
    assert_eq!(files["out/app"], "the app");
    assert_eq!(object.ssekms_key_id, key);
    assert_eq!(
        build.artifacts.unwrap().location.as_deref(),
        Some("arn:aws:s3:::bucket/web.zip")
    );
    // Nothing is left of it but its record.
    assert!(world.sim.tasks.spec(&uuid).is_none());
    assert!(world.sim.workspaces.text(&uuid, "agent/marks").is_none());
}

#[tokio::test]
async fn a_build_that_fails_says_which_command_and_how() {
    let world = World::new().await;
    world.call(project()).await;
    let (id, uuid) = world.start().await;
    world.running(&uuid).await;
    let marks = [&WELL[..6], &["failed 1 2", "leave BUILD FAILED", "end"]].concat();
    world.marks(&uuid, &marks);
    world.sim.tasks.exit(&uuid, "build", 1);
    let build = world.over(&id).await;
    assert_eq!(build.build_status, Some(StatusType::Failed));
    assert_eq!(
        error_of(&build, BuildPhaseType::Build),
        "COMMAND_EXECUTION_ERROR: Error while executing command: make. Reason: exit status 2"
    );
    // It is tried to upload, and there is nothing.
    assert_eq!(
        error_of(&build, BuildPhaseType::UploadArtifacts),
        "CLIENT_ERROR: no matching artifact paths found"
    );
}

#[tokio::test]
async fn the_container_is_not_believed() {
    let world = World::new().await;
    world.call(project()).await;
    // It says that all went well, and ended otherwise.
    let (id, uuid) = world.start().await;
    world.running(&uuid).await;
    world.marks(&uuid, &WELL[..6]);
    world.sim.tasks.exit(&uuid, "build", 9);
    let build = world.over(&id).await;
    assert_eq!(build.build_status, Some(StatusType::Failed));
    assert!(error_of(&build, BuildPhaseType::Build).ends_with("make. Reason: exit status 9"));
    // It says nothing that makes sense.
    let (id, uuid) = world.start().await;
    world.running(&uuid).await;
    world.marks(
        &uuid,
        &[
            "enter BUILD",
            "leave POST_BUILD SUCCEEDED",
            "enter INSTALL",
            "x",
        ],
    );
    world.sim.tasks.exit(&uuid, "build", 0);
    let build = world.over(&id).await;
    assert_eq!(
        build.build_status,
        Some(StatusType::Failed),
        "{:?}",
        phases(&build)
    );
    // Nobody knows how it ended.
    let (id, uuid) = world.start().await;
    world.running(&uuid).await;
    world.sim.tasks.lose(&uuid);
    assert_eq!(world.over(&id).await.build_status, Some(StatusType::Fault));
}

#[tokio::test]
async fn a_build_that_is_stopped_or_whose_time_is_over_ends() {
    let world = World::new().await;
    world.call(project()).await;
    let (id, uuid) = world.start().await;
    world.running(&uuid).await;
    world.marks(&uuid, &WELL[..6]);
    world.call(StopBuildInput { id: id.clone() }).await;
    let build = world.over(&id).await;
    assert_eq!(build.build_status, Some(StatusType::Stopped));
    assert!(
        phases(&build).contains(&("BUILD".into(), "STOPPED".into())),
        "{:?}",
        phases(&build)
    );
    let retried = RetryBuildInput {
        id: Some(id),
        ..Default::default()
    };
    let retried = world.call(retried).await.build.unwrap();
    assert_eq!(retried.build_number, Some(2));
    let id = retried.id.unwrap();
    world.call(StopBuildInput { id: id.clone() }).await;
    world.over(&id).await;
}

#[tokio::test]
async fn a_crash_of_the_daemon_does_not_concern_the_container() {
    let world = World::new().await;
    world.call(project()).await;
    let (id, uuid) = world.start().await;
    world.running(&uuid).await;
    let world = world.crash();
    world.marks(&uuid, WELL);
    world
        .sim
        .workspaces
        .put(&format!("{uuid}-src"), "out/app", "the app");
    world.sim.tasks.exit(&uuid, "build", 0);
    let build = world.over(&id).await;
    assert_eq!(build.build_status, Some(StatusType::Succeeded), "{build:?}");
}

/// A build that asked for it has a docker of its own, for as long as it is there.
#[tokio::test]
async fn a_builds_docker_lives_and_ends_with_it() {
    let world = World::new().await;
    let mut privileged = project();
    privileged.environment.privileged_mode = Some(true);
    world.call(privileged).await;
    let (first, one) = world.start().await;
    let (second, two) = world.start().await;
    let (spec, other) = (world.running(&one).await, world.running(&two).await);
    let is_docker = |it: &&engine::VolumeSpec| it.name == "docker";
    let folder = |spec: &engine::TaskSpec| {
        spec.volumes
            .iter()
            .find(is_docker)
            .unwrap()
            .host_path
            .clone()
            .unwrap()
    };
    assert_ne!(folder(&spec), folder(&other));
    let mounts = &spec.containers[0].mounts;
    let mount = mounts.iter().find(|it| it.volume == "docker").unwrap();
    assert!(
        mount.read_only,
        "who could write there could be docker for others"
    );
    assert!(
        spec.containers[0]
            .env
            .contains(&"DOCKER_HOST=unix:///codebuild/docker/docker.sock".into())
    );
    let mut expected = vec![
        (one.clone(), "us-east-1/web".to_owned()),
        (two.clone(), "us-east-1/web".to_owned()),
    ];
    expected.sort();
    assert_eq!(world.sim.docker.open(), expected);

    // The next daemon serves it again.
    world.sim.docker.forget();
    let world = world.crash();
    world
        .until("docker is served", async || {
            world.sim.docker.open() == expected
        })
        .await;
    for (id, uuid) in [(&first, &one), (&second, &two)] {
        world.marks(uuid, WELL);
        world.sim.tasks.exit(uuid, "build", 0);
        world.over(id).await;
        assert!(world.sim.docker.open().iter().all(|it| it.0 != *uuid));
    }
    // One that did not ask has none.
    let plain = CreateProjectInput {
        name: "plain".into(),
        ..project()
    };
    world.call(plain).await;
    let started = StartBuildInput {
        project_name: "plain".into(),
        ..Default::default()
    };
    let id = world.call(started).await.build.unwrap().id.unwrap();
    let spec = world.running(id.split_once(':').unwrap().1).await;
    assert!(!spec.volumes.iter().any(|it| it.name == "docker"));
    assert_eq!(world.sim.docker.open(), []);
}

#[tokio::test]
async fn sources_come_from_s3_and_secrets_from_their_stores() {
    let world = World::new().await;
    let files = [("buildspec.yml", BUILDSPEC), ("out/from-source", "it")];
    world
        .call(PutObjectInput {
            bucket: "bucket".into(),
            key: "source.zip".into(),
            body: Some(wire::Blob(sim::SimWorkspaces::archive(&files))),
            ..Default::default()
        })
        .await;
    world
        .call(shapes::ssm::PutParameterInput {
            name: "/token".into(),
            value: "very secret".into(),
            r#type: Some(shapes::ssm::ParameterType::SecureString),
            ..Default::default()
        })
        .await;
    world
        .call(shapes::secretsmanager::CreateSecretInput {
            name: "login".into(),
            secret_string: Some(r#"{"password":"hunter2"}"#.into()),
            ..Default::default()
        })
        .await;
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
    input.environment.environment_variables = Some(vec![
        variable("TOKEN", "/token", EnvironmentVariableType::ParameterStore),
        variable(
            "LOGIN",
            "login:password",
            EnvironmentVariableType::SecretsManager,
        ),
    ]);
    world.call(input).await;
    let (id, uuid) = world.start().await;
    let spec = world.running(&uuid).await;
    let container = &spec.containers[0];
    for pair in ["TOKEN=very secret", "LOGIN=hunter2"] {
        assert!(
            container.env.contains(&pair.to_owned()),
            "{:?}",
            container.env
        );
    }
    assert_eq!(container.log_hides, ["very secret", "hunter2"]);
    world.marks(&uuid, WELL);
    world.sim.tasks.exit(&uuid, "build", 0);
    let build = world.over(&id).await;
    assert_eq!(build.build_status, Some(StatusType::Succeeded), "{build:?}");
}

#[tokio::test]
async fn what_cannot_be_provided_fails_in_its_phase() {
    let world = World::new().await;
    let mut input = project();
    input.environment.image = "nowhere.example/image:1".into();
    world.call(input).await;
    let (id, _) = world.start().await;
    let build = world.over(&id).await;
    let error = error_of(&build, BuildPhaseType::Provisioning);
    assert!(
        error.starts_with("BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE"),
        "{error}"
    );
    let mut input = project();
    input.name = "bad-spec".into();
    input.source.buildspec = Some("version: 0.2\nphases: {build: {comands: [ls]}}".into());
    world.call(input).await;
    let start = StartBuildInput {
        project_name: "bad-spec".into(),
        ..Default::default()
    };
    let id = world.call(start).await.build.unwrap().id.unwrap();
    let build = world.over(&id).await;
    let error = error_of(&build, BuildPhaseType::DownloadSource);
    assert!(
        error.starts_with("YAML_FILE_ERROR") && error.contains("comands"),
        "{error}"
    );
    assert_eq!(build.build_status, Some(StatusType::Failed));
}

#[tokio::test]
async fn what_is_wrong_or_not_built_is_refused() {
    let world = World::new().await;
    let with = |change: fn(&mut CreateProjectInput)| {
        let mut input = project();
        change(&mut input);
        input
    };
    let cases = [
        (
            with(|it| it.service_role = "nobody".into()),
            "sts:AssumeRole",
        ),
        (
            with(|it| it.service_role = "other".into()),
            "sts:AssumeRole",
        ),
        (
            with(|it| it.service_role = "arn:aws:iam::000000000000:role/deep/builder".into()),
            "sts:AssumeRole on arn:aws:iam::000000000000:role/deep/builder",
        ),
        (
            with(|it| it.environment.r#type = EnvironmentType::ArmContainer),
            "ARM_CONTAINER",
        ),
        (
            with(|it| it.source.buildspec = None),
            "buildspec is required",
        ),
        (
            with(|it| it.artifacts.r#type = ArtifactsType::Codepipeline),
            "both must be",
        ),
    ];
    for (input, part) in cases {
        let error = world.refused(input).await;
        assert!(
            error.starts_with("InvalidInputException") && error.contains(part),
            "{error}"
        );
    }
    world.call(project()).await;
    let again = world.refused(project()).await;
    assert!(
        again.starts_with("ResourceAlreadyExistsException"),
        "{again}"
    );
    let missing = StartBuildInput {
        project_name: "none".into(),
        ..Default::default()
    };
    let missing = world.refused(missing).await;
    assert!(
        missing.starts_with("ResourceNotFoundException"),
        "{missing}"
    );
}

#[tokio::test]
async fn junit_files_become_a_report() {
    let world = World::new().await;
    let mut input = project();
    input.source.buildspec = Some(format!(
        "{BUILDSPEC}reports:\n  unit:\n    files: '**/*'\n    base-directory: junit\n"
    ));
    world.call(input).await;
    let (id, uuid) = world.start().await;
    world.running(&uuid).await;
    world.marks(&uuid, WELL);
    let source = format!("{uuid}-src");
    let xml = r#"<testsuite name="s"><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>"#;
    world.sim.workspaces.put(&source, "junit/a.xml", xml);
    world.sim.workspaces.put(&source, "out/x", "x");
    world.sim.tasks.exit(&uuid, "build", 0);
    let build = world.over(&id).await;
    assert_eq!(build.build_status, Some(StatusType::Succeeded), "{build:?}");
    let report_arns = build.report_arns.unwrap();
    let reports = BatchGetReportsInput {
        report_arns: report_arns.clone(),
    };
    let report = world.call(reports).await.reports.unwrap().remove(0);
    assert_eq!(report.status, Some(ReportStatusType::Failed));
    assert_eq!(report.test_summary.unwrap().status_counts["FAILED"], 1);
    let cases = DescribeTestCasesInput {
        report_arn: report_arns[0].clone(),
        ..Default::default()
    };
    assert_eq!(world.call(cases).await.test_cases.unwrap().len(), 2);
    let groups = world.call(ListReportGroupsInput::default()).await;
    assert!(groups.report_groups.unwrap()[0].ends_with("report-group/web-unit"));
}

#[tokio::test]
async fn a_stack_makes_changes_and_deletes_a_project() {
    let world = World::new().await;
    let kind = world
        .cloud
        .resource_type("AWS::CodeBuild::Project")
        .unwrap();
    let request = |properties| testkit::request("s", "Project", properties);
    let mut properties = json!({
        "Artifacts": { "Type": "CODEPIPELINE" },
        "Source": { "Type": "CODEPIPELINE", "BuildSpec": BUILDSPEC },
        "Environment": { "ComputeType": "BUILD_GENERAL1_SMALL", "Type": "LINUX_CONTAINER",
            "Image": "aws/codebuild/docker:17.09.0", "PrivilegedMode": "true",
            "EnvironmentVariables": [{ "Name": "A", "Value": "1" }] },
        "ServiceRole": "builder", "Description": "d",
    });
    let first = request(properties.clone());
    let made = kind.create(&world.cx, &first).await.unwrap();
    assert_eq!(kind.create(&world.cx, &first).await.unwrap(), made);
    let name = made.physical_id;
    let project = async || {
        let names = vec![name.clone()];
        world
            .call(BatchGetProjectsInput { names })
            .await
            .projects
            .unwrap()
    };
    let shape = project().await.remove(0);
    assert_eq!(shape.source.unwrap().buildspec.as_deref(), Some(BUILDSPEC));
    assert_eq!(
        shape.service_role.as_deref(),
        Some("arn:aws:iam::000000000000:role/builder")
    );
    let old = properties.clone();
    properties.as_object_mut().unwrap().remove("Description");
    properties["TimeoutInMinutes"] = json!("10");
    kind.update(&world.cx, &name, &old, &request(properties.clone()))
        .await
        .unwrap();
    let shape = project().await.remove(0);
    assert_eq!(shape.timeout_in_minutes, Some(10));
    assert_eq!(shape.description.as_deref(), Some(""));
    let arn = kind.attribute(&world.cx, &name, "Arn").await.unwrap();
    assert_eq!(
        arn,
        json!(format!(
            "arn:aws:codebuild:us-east-1:000000000000:project/{name}"
        ))
    );
    kind.delete(&world.cx, &name, &properties).await.unwrap();
    kind.delete(&world.cx, &name, &properties).await.unwrap();
    assert!(project().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_build_whose_time_is_over_is_ended() {
    let world = World::new().await;
    let mut input = project();
    input.timeout_in_minutes = Some(5);
    world.call(input).await;
    let (id, uuid) = world.start().await;
    world.running(&uuid).await;
    world.marks(&uuid, &WELL[..6]);
    tokio::time::sleep(Duration::from_secs(290)).await;
    assert_eq!(world.build(&id).await.build_complete, Some(false));
    tokio::time::sleep(Duration::from_secs(20)).await;
    let build = world.over(&id).await;
    assert_eq!(build.build_status, Some(StatusType::TimedOut));
    assert_eq!(
        error_of(&build, BuildPhaseType::Build),
        "BUILD_TIMED_OUT: Build has timed out. "
    );
}

#[tokio::test]
async fn a_build_is_in_a_network_of_its_own_and_alone_gets_its_credentials() {
    let world = World::new().await;
    world.call(project()).await;
    let (first, one) = world.start().await;
    let (second, two) = world.start().await;
    let interface = world.running(&one).await.interface.unwrap();
    let other = world.running(&two).await.interface.unwrap();
    let address = |world: &World, id: &str| {
        let all = world.sim.network.interfaces.lock().unwrap();
        all.get(id).unwrap().address
    };
    let before = address(&world, &interface);
    assert_ne!(before, address(&world, &other));
    {
        let vpcs = world.sim.network.vpcs.lock().unwrap();
        let group = &vpcs["codebuild-us-east-1"].groups[0];
        assert!(group.ingress.is_empty(), "{group:?}");
    }

    let ask = async |world: &World, uuid: &str, from: &str| {
        codebuild::credentials(&world.cloud, uuid, from)
            .await
            .unwrap()
    };
    let given = ask(&world, &one, &interface).await.unwrap();
    assert!(
        given["RoleArn"]
            .as_str()
            .unwrap()
            .ends_with(":role/builder")
    );
    let again = ask(&world, &one, &interface).await.unwrap();
    assert_ne!(given["AccessKeyId"], again["AccessKeyId"]);
    assert_eq!(ask(&world, &one, &other).await, None);
    assert_eq!(ask(&world, "x", &interface).await, None);

    // Another daemon finds the interface, opens the door again, and gives its address to nobody.
    engine::Inside::close(&*world.sim.inside, &interface);
    let world = world.crash();
    let opened = async || world.sim.inside.open_doors().contains(&interface);
    world.until("the door", opened).await;
    assert_eq!(address(&world, &interface), before);
    let (third, three) = world.start().await;
    let newest = world.running(&three).await.interface.unwrap();
    assert!(address(&world, &newest) > address(&world, &other).max(before));

    for id in [&first, &second, &third] {
        world.call(StopBuildInput { id: id.clone() }).await;
        world.over(id).await;
    }
    assert!(world.sim.network.interfaces.lock().unwrap().is_empty());
    assert!(world.sim.inside.open_doors().is_empty());
    assert_eq!(ask(&world, &one, &interface).await, None);
}

#[tokio::test]
async fn a_project_has_no_more_builds_than_its_limit() {
    let world = World::new().await;
    let mut input = project();
    input.concurrent_build_limit = Some(1);
    world.call(input).await;
    let (id, _) = world.start().await;
    let second = || StartBuildInput {
        project_name: "web".into(),
        ..Default::default()
    };
    let error = world.refused(second()).await;
    assert!(
        error.starts_with("AccountLimitExceededException"),
        "{error}"
    );
    world.call(StopBuildInput { id: id.clone() }).await;
    world.over(&id).await;
    world.call(second()).await;
}

#[tokio::test]
async fn the_same_token_starts_one_build() {
    let world = World::new().await;
    world.call(project()).await;
    let start = || StartBuildInput {
        project_name: "web".into(),
        idempotency_token: Some("t".into()),
        ..Default::default()
    };
    let first = world.call(start()).await.build.unwrap();
    assert_eq!(world.call(start()).await.build.unwrap().id, first.id);
    let listed = ListBuildsForProjectInput {
        project_name: "web".into(),
        ..Default::default()
    };
    assert_eq!(world.call(listed).await.ids.unwrap().len(), 1);
}

#[tokio::test]
async fn a_pipelines_build_takes_its_archive_and_shows_its_commit() {
    let world = World::new().await;
    let files = [("buildspec.yml", BUILDSPEC)];
    world
        .call(PutObjectInput {
            bucket: "bucket".into(),
            key: "p/source".into(),
            body: Some(wire::Blob(sim::SimWorkspaces::archive(&files))),
            ..Default::default()
        })
        .await;
    let mut input = project();
    input.source.r#type = SourceType::Codepipeline;
    input.source.buildspec = None;
    input.artifacts.r#type = ArtifactsType::Codepipeline;
    world.call(input).await;
    let by_hand = StartBuildInput {
        project_name: "web".into(),
        ..Default::default()
    };
    let error = world.refused(by_hand).await;
    assert!(error.contains("CODEPIPELINE"), "{error}");
    let variable = |name: &str, value: &str| EnvironmentVariable {
        name: name.into(),
        value: value.into(),
        r#type: Some(EnvironmentVariableType::Plaintext),
    };
    let start = StartBuildInput {
        project_name: "web".into(),
        source_type_override: Some(SourceType::S3),
        source_location_override: Some("bucket/p/source".into()),
        artifacts_override: Some(ProjectArtifacts {
            r#type: ArtifactsType::S3,
            location: Some("bucket".into()),
            path: Some("p".into()),
            name: Some("built".into()),
            packaging: Some(ArtifactPackaging::Zip),
            ..Default::default()
        }),
        environment_variables_override: Some(vec![
            variable("CODEBUILD_INITIATOR", "codepipeline/p"),
            variable("CODEBUILD_RESOLVED_SOURCE_VERSION", "0123abc"),
            variable("CODEBUILD_SOURCE_VERSION", "arn:aws:s3:::bucket/p/source"),
        ]),
        ..Default::default()
    };
    let id = world.call(start).await.build.unwrap().id.unwrap();
    let uuid = id.split_once(':').unwrap().1.to_owned();
    world.running(&uuid).await;
    world.marks(&uuid, WELL);
    let source = format!("{uuid}-src");
    world.sim.workspaces.put(&source, "out/x", "x");
    world.sim.tasks.exit(&uuid, "build", 0);
    let build = world.over(&id).await;
    assert_eq!(build.build_status, Some(StatusType::Succeeded), "{build:?}");
    assert_eq!(build.resolved_source_version.as_deref(), Some("0123abc"));
    assert_eq!(build.initiator.as_deref(), Some("codepipeline/p"));
    assert_eq!(
        build.artifacts.unwrap().location.as_deref(),
        Some("arn:aws:s3:::bucket/p/built")
    );
}

/// Who started a build is who did, and not what a variable says.
#[tokio::test(start_paused = true)]
async fn a_user_starts_no_build_in_a_pipeline_s_name() {
    let world = World::new().await;
    world.call(project()).await;
    let ann = cloud::Caller::User {
        arn: "arn:aws:iam::000000000000:user/ann".into(),
        id: "AIDAANN".into(),
        access_key: "AKIAANN".into(),
    };
    let variable = EnvironmentVariable {
        name: "CODEBUILD_INITIATOR".into(),
        value: "codepipeline/p".into(),
        r#type: Some(EnvironmentVariableType::Plaintext),
    };
    let start = StartBuildInput {
        project_name: "web".into(),
        environment_variables_override: Some(vec![variable]),
        ..Default::default()
    };
    let build = world.cx.with_caller(ann).call(start).await.unwrap();
    assert_eq!(build.build.unwrap().initiator.as_deref(), Some("ann"));
}

#[tokio::test(start_paused = true)]
async fn a_stacks_project_that_is_not_built_is_refused_ahead() {
    let world = World::new().await;
    let kind = world
        .cloud
        .resource_type("AWS::CodeBuild::Project")
        .unwrap();
    let later = cloud::KNOWN_LATER;
    for (properties, expect) in [
        (json!({"EncryptionKey": "alias/mine"}), None),
        (json!({"EncryptionKey": later}), None),
        (json!({"BadgeEnabled": false, "VpcConfig": {}}), None),
        (
            json!({"BadgeEnabled": true}),
            Some("`BadgeEnabled` with another value than `false`"),
        ),
        (
            json!({"Environment": {"Type": "WINDOWS_CONTAINER"}}),
            Some("environment type WINDOWS_CONTAINER"),
        ),
        (
            json!({"Source": {"Type": "GITLAB"}}),
            Some("source type GITLAB"),
        ),
        (
            json!({"SecondarySources": [{"Type": "BITBUCKET"}]}),
            Some("source type BITBUCKET"),
        ),
        (
            json!({"Source": {"Type": "S3"}, "Environment": {"Type": "LINUX_CONTAINER"}}),
            None,
        ),
    ] {
        let expect = expect.map(|it| format!("{it} is not supported by neargate"));
        assert_eq!(kind.refuse(&properties).err(), expect, "{properties}");
    }
}
