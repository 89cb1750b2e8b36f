//! What pipelines call: buckets, builds, services, roles, repositories. Each is a record or two, so
//! that a daemon may be lost in between. Calls take a moment.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Service};
use serde::{Deserialize, Serialize};
use shapes::{cloudformation, codebuild, codecommit, codeconnections, ecs, iam, s3};

async fn moment() {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FakeObject {
    pub bucket: String,
    pub key: String,
    pub version: u64,
    pub body: String,
    pub kms_key: Option<String>,
}

impl Record for FakeObject {
    const KIND: &'static str = "fake.object";
    fn key(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }
}

pub fn s3() -> Service {
    Service::new(&s3::MODEL)
        .on(put_object, testkit::not_asked())
        .on(get_object, testkit::not_asked())
        .on(head_object, testkit::not_asked())
        .on(get_bucket_versioning, testkit::not_asked())
}

const NO_BUCKET: cloud::ErrorCode = cloud::ErrorCode::sender("NoSuchBucket", 404);
const NO_KEY: cloud::ErrorCode = cloud::ErrorCode::sender("NoSuchKey", 404);

async fn put_object(cx: Cx, input: s3::PutObjectInput) -> Result<s3::PutObjectOutput, Error> {
    moment().await;
    if input.bucket == "nowhere" {
        return Err(NO_BUCKET.because("The specified bucket does not exist"));
    }
    cx.write(|tx| {
        let version = u64::try_from(tx.next("fake.object")?).unwrap();
        tx.put(&FakeObject {
            bucket: input.bucket,
            key: input.key,
            version,
            body: String::from_utf8(input.body.unwrap_or_default().0).unwrap(),
            kms_key: input.ssekms_key_id,
        })
    })?;
    Ok(Default::default())
}

fn object(cx: &Cx, bucket: &str, key: &str) -> Result<FakeObject, Error> {
    let found = cx.read(|tx| tx.get::<FakeObject>(&format!("{bucket}/{key}")))?;
    found.ok_or_else(|| NO_KEY.because("The specified key does not exist."))
}

async fn get_object(cx: Cx, input: s3::GetObjectInput) -> Result<s3::GetObjectOutput, Error> {
    moment().await;
    let found = object(&cx, &input.bucket, &input.key)?;
    Ok(s3::GetObjectOutput {
        body: Some(wire::Blob(found.body.into_bytes())),
        version_id: Some(format!("v{}", found.version)),
        ..Default::default()
    })
}

async fn head_object(cx: Cx, input: s3::HeadObjectInput) -> Result<s3::HeadObjectOutput, Error> {
    let found = object(&cx, &input.bucket, &input.key)?;
    Ok(s3::HeadObjectOutput {
        version_id: Some(format!("v{}", found.version)),
        ..Default::default()
    })
}

async fn get_bucket_versioning(
    _: Cx,
    input: s3::GetBucketVersioningInput,
) -> Result<s3::GetBucketVersioningOutput, Error> {
    Ok(s3::GetBucketVersioningOutput {
        status: (input.bucket != "plain").then_some(s3::BucketVersioningStatus::Enabled),
        ..Default::default()
    })
}

pub fn iam() -> Service {
    Service::new(&iam::MODEL)
        .lends_roles(lend_role)
        .lends_trust(lets)
}

fn lend_role(cx: &Cx, name: &str) -> Result<Option<cloud::FoundRole>, Error> {
    Ok(trusted(name).map(|_| cloud::FoundRole {
        arn: format!("arn:aws:iam::{}:role/{name}", cx.account()),
        ..Default::default()
    }))
}

/// Whom a role trusts, and for what.
fn trusted(role: &str) -> Option<(&'static str, Option<&'static str>)> {
    Some(match role {
        "pipeline" => ("codepipeline.amazonaws.com", None),
        "stack" => ("cloudformation.amazonaws.com", None),
        "other" => ("ecs.amazonaws.com", None),
        "elsewhere" => (
            "codepipeline.amazonaws.com",
            Some("arn:aws:codepipeline:us-east-1:1:it"),
        ),
        _ => return None,
    })
}

/// A role that trusts nobody any more.
#[derive(Debug, Serialize, Deserialize)]
pub struct FakeDistrust {
    pub role: String,
}

impl Record for FakeDistrust {
    const KIND: &'static str = "fake.distrust";
    fn key(&self) -> String {
        self.role.clone()
    }
}

/// Decides as IAM does: nobody but it reads whom a role trusts.
fn lets(cx: &Cx, role: &cloud::FoundRole, _session: &str) -> Result<bool, Error> {
    let name = role.arn.rsplit('/').next().unwrap();
    if cx.read(|tx| tx.get::<FakeDistrust>(name))?.is_some() {
        return Ok(false);
    }
    Ok(trusted(name).is_some_and(|(service, source)| {
        cx.caller == cloud::Caller::Service(service)
            && (source.is_none() || cx.source_arn.as_deref() == source)
    }))
}

pub fn codecommit() -> Service {
    Service::new(&codecommit::MODEL)
        .on(get_repository, testkit::not_asked())
        .on(get_branch, testkit::not_asked())
}

async fn get_repository(
    _: Cx,
    input: codecommit::GetRepositoryInput,
) -> Result<codecommit::GetRepositoryOutput, Error> {
    if input.repository_name != "shop" {
        return Err(codecommit::errors::RepositoryDoesNotExistException
            .because(format!("{} does not exist", input.repository_name)));
    }
    Ok(codecommit::GetRepositoryOutput {
        repository_metadata: Some(codecommit::RepositoryMetadata {
            repository_id: Some("shop-id".into()),
            ..Default::default()
        }),
    })
}

async fn get_branch(
    cx: Cx,
    input: codecommit::GetBranchInput,
) -> Result<codecommit::GetBranchOutput, Error> {
    let source = engine::GitSource::Hosted("shop-id".into());
    let branches = cx.engine().git.branches(&source).await.unwrap();
    let name = input.branch_name.unwrap();
    let commit = branches.get(&name).cloned().ok_or_else(|| {
        codecommit::errors::BranchDoesNotExistException
            .because(format!("The branch {name} does not exist"))
    })?;
    Ok(codecommit::GetBranchOutput {
        branch: Some(codecommit::BranchInfo {
            branch_name: Some(name),
            commit_id: Some(commit),
        }),
    })
}

/// What builds do from now on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FakeRecipe {
    /// What the output artifact holds.
    pub files: BTreeMap<String, String>,
    pub succeeds: bool,
    /// Builds go on until this is false.
    pub hold: bool,
}

impl Record for FakeRecipe {
    const KIND: &'static str = "fake.recipe";
    fn key(&self) -> String {
        "recipe".into()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FakeBuild {
    pub id: String,
    pub source: String,
    /// `bucket/key`.
    pub target: String,
    pub variables: BTreeMap<String, String>,
    pub kms_key: Option<String>,
}

impl Record for FakeBuild {
    const KIND: &'static str = "fake.build";
    fn key(&self) -> String {
        self.id.clone()
    }
}

pub fn codebuild() -> Service {
    Service::new(&codebuild::MODEL)
        .on(start_build, testkit::not_asked())
        .on(batch_get_builds, testkit::not_asked())
}

async fn start_build(
    cx: Cx,
    input: codebuild::StartBuildInput,
) -> Result<codebuild::StartBuildOutput, Error> {
    moment().await;
    if input.project_name != "image" {
        return Err(codebuild::errors::ResourceNotFoundException
            .because(format!("Cannot find project named: {}", input.project_name)));
    }
    let artifacts = input.artifacts_override.unwrap_or_default();
    let part = |it: &Option<String>| it.clone().unwrap_or_default();
    let variables = input.environment_variables_override.unwrap_or_default();
    let build = FakeBuild {
        id: format!("image:{}", input.idempotency_token.unwrap()),
        source: input.source_location_override.unwrap(),
        target: [
            part(&artifacts.location),
            part(&artifacts.path),
            part(&artifacts.name),
        ]
        .join("/"),
        variables: variables
            .into_iter()
            .map(|it| (it.name, it.value))
            .collect(),
        kms_key: input.encryption_key_override,
    };
    cx.write(|tx| tx.put(&build))?;
    moment().await;
    Ok(codebuild::StartBuildOutput {
        build: Some(codebuild::Build {
            id: Some(build.id),
            ..Default::default()
        }),
    })
}

async fn batch_get_builds(
    cx: Cx,
    input: codebuild::BatchGetBuildsInput,
) -> Result<codebuild::BatchGetBuildsOutput, Error> {
    moment().await;
    let (build, recipe) = cx.read(|tx| {
        let build = tx.get::<FakeBuild>(&input.ids[0])?;
        Ok((build.unwrap(), tx.get::<FakeRecipe>("recipe")?.unwrap()))
    })?;
    let commit = build.variables["CODEBUILD_RESOLVED_SOURCE_VERSION"].clone();
    if !recipe.hold && recipe.succeeds {
        let files: Vec<(String, String)> = recipe
            .files
            .iter()
            .map(|(path, text)| (path.clone(), text.replace("COMMIT", &commit)))
            .collect();
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let (bucket, key) = build.target.split_once('/').unwrap();
        cx.write(|tx| {
            tx.put(&FakeObject {
                bucket: bucket.into(),
                key: key.into(),
                version: 0,
                body: String::from_utf8(sim::SimWorkspaces::archive(&files)).unwrap(),
                kms_key: build.kms_key.clone(),
            })
        })?;
    }
    let status = match (recipe.hold, recipe.succeeds) {
        (true, _) => codebuild::StatusType::InProgress,
        (false, true) => codebuild::StatusType::Succeeded,
        (false, false) => codebuild::StatusType::Failed,
    };
    let failed = codebuild::BuildPhase {
        phase_type: Some(codebuild::BuildPhaseType::Build),
        phase_status: Some(codebuild::StatusType::Failed),
        contexts: Some(vec![codebuild::PhaseContext {
            status_code: Some("COMMAND_EXECUTION_ERROR".into()),
            message: Some("Error while executing command: false. Reason: exit status 1".into()),
        }]),
        ..Default::default()
    };
    Ok(codebuild::BatchGetBuildsOutput {
        builds: Some(vec![codebuild::Build {
            id: Some(build.id),
            build_complete: Some(!recipe.hold),
            build_status: Some(status),
            phases: Some(if recipe.succeeds {
                vec![]
            } else {
                vec![failed]
            }),
            exported_environment_variables: Some(vec![codebuild::ExportedEnvironmentVariable {
                name: Some("TAG".into()),
                value: Some(commit),
            }]),
            ..Default::default()
        }]),
        builds_not_found: None,
    })
}

/// A service, and whether its deployments come up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FakeService {
    pub definition: String,
    pub deployment: String,
    pub works: bool,
    pub updates: u32,
}

impl Record for FakeService {
    const KIND: &'static str = "fake.service";
    fn key(&self) -> String {
        "web".into()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FakeDefinition {
    pub arn: String,
    pub image: String,
    pub made_by: Option<String>,
}

impl Record for FakeDefinition {
    const KIND: &'static str = "fake.definition";
    fn key(&self) -> String {
        self.arn.clone()
    }
}

pub fn ecs() -> Service {
    Service::new(&ecs::MODEL)
        .on(describe_services, testkit::not_asked())
        .on(describe_task_definition, testkit::not_asked())
        .on(register_task_definition, testkit::not_asked())
        .on(update_service, testkit::not_asked())
        .on(list_tasks, testkit::not_asked())
        .on(describe_tasks, testkit::not_asked())
}

fn shown(it: &FakeService) -> ecs::Service {
    ecs::Service {
        status: Some("ACTIVE".into()),
        task_definition: Some(it.definition.clone()),
        deployments: Some(vec![ecs::Deployment {
            id: Some(it.deployment.clone()),
            task_definition: Some(it.definition.clone()),
            rollout_state: Some(match it.works {
                true => ecs::DeploymentRolloutState::Completed,
                false => ecs::DeploymentRolloutState::Failed,
            }),
            rollout_state_reason: Some(match it.works {
                true => "ECS deployment completed.".into(),
                false => "ECS deployment circuit breaker: tasks failed to start.".into(),
            }),
            ..Default::default()
        }]),
        ..Default::default()
    }
}

async fn describe_services(
    cx: Cx,
    input: ecs::DescribeServicesInput,
) -> Result<ecs::DescribeServicesOutput, Error> {
    moment().await;
    let found = match input.services[0].rsplit('/').next() {
        Some("web") => cx.read(|tx| tx.get::<FakeService>("web"))?,
        _ => None,
    };
    Ok(ecs::DescribeServicesOutput {
        services: Some(found.iter().map(shown).collect()),
        failures: None,
    })
}

fn definition(it: &FakeDefinition) -> ecs::TaskDefinition {
    ecs::TaskDefinition {
        family: Some("web".into()),
        task_definition_arn: Some(it.arn.clone()),
        container_definitions: Some(vec![ecs::ContainerDefinition {
            name: Some("app".into()),
            image: Some(it.image.clone()),
            ..Default::default()
        }]),
        ..Default::default()
    }
}

async fn describe_task_definition(
    cx: Cx,
    input: ecs::DescribeTaskDefinitionInput,
) -> Result<ecs::DescribeTaskDefinitionOutput, Error> {
    let found = cx.read(|tx| tx.get::<FakeDefinition>(&input.task_definition))?;
    Ok(ecs::DescribeTaskDefinitionOutput {
        task_definition: Some(definition(&found.unwrap())),
        tags: None,
    })
}

async fn register_task_definition(
    cx: Cx,
    input: ecs::RegisterTaskDefinitionInput,
) -> Result<ecs::RegisterTaskDefinitionOutput, Error> {
    moment().await;
    let image = input.container_definitions[0].image.clone().unwrap();
    let made = cx.write(|tx| {
        let all = tx.list::<FakeDefinition>("")?;
        if let Some(same) = all.into_iter().find(|it| it.made_by == cx.token) {
            return Ok(same);
        }
        let number = tx.next("fake.definition")?;
        let made = FakeDefinition {
            arn: format!("web:{number}"),
            image,
            made_by: cx.token.clone(),
        };
        tx.put(&made)?;
        Ok(made)
    })?;
    moment().await;
    Ok(ecs::RegisterTaskDefinitionOutput {
        task_definition: Some(definition(&made)),
        tags: None,
    })
}

async fn update_service(
    cx: Cx,
    input: ecs::UpdateServiceInput,
) -> Result<ecs::UpdateServiceOutput, Error> {
    moment().await;
    let service = cx.write(|tx| {
        let mut service = tx.get::<FakeService>("web")?.unwrap();
        let asked = input.task_definition.unwrap();
        if service.definition != asked {
            service.deployment = format!("ecs-svc/{asked}");
            service.definition = asked;
            service.updates += 1;
            tx.put(&service)?;
        }
        Ok(service)
    })?;
    moment().await;
    Ok(ecs::UpdateServiceOutput {
        service: Some(shown(&service)),
    })
}

async fn list_tasks(_: Cx, input: ecs::ListTasksInput) -> Result<ecs::ListTasksOutput, Error> {
    assert!(input.started_by.is_some());
    Ok(ecs::ListTasksOutput {
        task_arns: Some(vec!["task".into()]),
        next_token: None,
    })
}

async fn describe_tasks(
    _: Cx,
    _: ecs::DescribeTasksInput,
) -> Result<ecs::DescribeTasksOutput, Error> {
    Ok(ecs::DescribeTasksOutput {
        tasks: Some(vec![ecs::Task {
            stopped_reason: Some("Essential container in task exited".into()),
            containers: Some(vec![ecs::Container {
                name: Some("app".into()),
                exit_code: Some(3),
                ..Default::default()
            }]),
            ..Default::default()
        }]),
        failures: None,
    })
}

/// A connection is available when its ARN does not end in `pending`.
pub fn codeconnections() -> Service {
    Service::new(&codeconnections::MODEL).on(get_connection, testkit::not_asked())
}

async fn get_connection(
    _: Cx,
    input: codeconnections::GetConnectionInput,
) -> Result<codeconnections::GetConnectionOutput, Error> {
    let pending = input.connection_arn.ends_with("pending");
    Ok(codeconnections::GetConnectionOutput {
        connection: Some(codeconnections::Connection {
            provider_type: Some(codeconnections::ProviderType::GitHub),
            connection_status: Some(match pending {
                true => codeconnections::ConnectionStatus::Pending,
                false => codeconnections::ConnectionStatus::Available,
            }),
            ..Default::default()
        }),
    })
}

/// A stack: its template says whether it fails (`fail`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FakeStack {
    pub status: cloudformation::StackStatus,
    pub template: String,
    pub parameters: BTreeMap<String, String>,
    pub deleted: u32,
}

impl Record for FakeStack {
    const KIND: &'static str = "fake.stack";
    fn key(&self) -> String {
        "web".into()
    }
}

pub fn cloudformation() -> Service {
    Service::new(&cloudformation::MODEL)
        .on(describe_stacks, testkit::not_asked())
        .on(create_stack, testkit::not_asked())
        .on(update_stack, testkit::not_asked())
        .on(delete_stack, testkit::not_asked())
        .on(describe_stack_events, testkit::not_asked())
        .on(create_change_set, testkit::not_asked())
        .on(describe_change_set, testkit::not_asked())
        .on(delete_change_set, testkit::not_asked())
}

/// The only change set, of the only stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FakeChangeSet {
    pub template: String,
}

impl Record for FakeChangeSet {
    const KIND: &'static str = "fake.change-set";
    fn key(&self) -> String {
        "web".into()
    }
}

async fn create_change_set(
    cx: Cx,
    input: cloudformation::CreateChangeSetInput,
) -> Result<cloudformation::CreateChangeSetOutput, Error> {
    if cx.read(|tx| tx.get::<FakeChangeSet>("web"))?.is_some() {
        return Err(cloudformation::errors::AlreadyExistsException.because("ChangeSet exists"));
    }
    let is_new = input.change_set_type == Some(cloudformation::ChangeSetType::Create);
    if is_new {
        let status = cloudformation::StackStatus::ReviewInProgress;
        change(&cx, Some(String::new()), None, status)?;
    }
    cx.write(|tx| {
        tx.put(&FakeChangeSet {
            template: input.template_body.unwrap_or_default(),
        })
    })?;
    Ok(cloudformation::CreateChangeSetOutput {
        id: Some("change-set-id".into()),
        stack_id: Some("stack-id".into()),
    })
}

async fn describe_change_set(
    _: Cx,
    _: cloudformation::DescribeChangeSetInput,
) -> Result<cloudformation::DescribeChangeSetOutput, Error> {
    Ok(cloudformation::DescribeChangeSetOutput {
        status: Some(cloudformation::ChangeSetStatus::CreateComplete),
        ..Default::default()
    })
}

async fn delete_change_set(
    cx: Cx,
    _: cloudformation::DeleteChangeSetInput,
) -> Result<cloudformation::DeleteChangeSetOutput, Error> {
    cx.write(|tx| tx.delete::<FakeChangeSet>("web"))?;
    Ok(Default::default())
}

const NO_STACK: cloud::ErrorCode = cloud::ErrorCode::sender("ValidationError", 400);

async fn describe_stacks(
    cx: Cx,
    input: cloudformation::DescribeStacksInput,
) -> Result<cloudformation::DescribeStacksOutput, Error> {
    use cloudformation::StackStatus::*;
    moment().await;
    let found = cx.write(|tx| {
        let found = tx.get::<FakeStack>("web")?;
        // A look later it has come to an end.
        if let Some(mut next) = found.clone() {
            let fails = next.template == "fail";
            next.status = match next.status {
                CreateInProgress if fails => RollbackComplete,
                CreateInProgress => CreateComplete,
                UpdateInProgress => UpdateComplete,
                DeleteInProgress => DeleteComplete,
                other => other,
            };
            tx.put(&next)?;
        }
        Ok(found)
    })?;
    let found = found.filter(|it| it.status != DeleteComplete);
    let name = input.stack_name.unwrap();
    let stack =
        found.ok_or_else(|| NO_STACK.because(format!("Stack with id {name} does not exist")))?;
    Ok(cloudformation::DescribeStacksOutput {
        stacks: Some(vec![cloudformation::Stack {
            stack_id: Some("stack-id".into()),
            stack_name: "web".into(),
            stack_status: stack.status,
            outputs: Some(vec![cloudformation::Output {
                output_key: Some("Url".into()),
                output_value: Some("http://web".into()),
                ..Default::default()
            }]),
            ..Default::default()
        }]),
        next_token: None,
    })
}

fn change(
    cx: &Cx,
    template: Option<String>,
    parameters: Option<Vec<cloudformation::Parameter>>,
    status: cloudformation::StackStatus,
) -> Result<(), Error> {
    let parameters = parameters.unwrap_or_default().into_iter();
    let parameters = parameters.map(|it| (it.parameter_key.unwrap(), it.parameter_value.unwrap()));
    cx.write(|tx| {
        let old = tx.get::<FakeStack>("web")?;
        tx.put(&FakeStack {
            status,
            template: template.unwrap(),
            parameters: parameters.collect(),
            deleted: old.map_or(0, |it| it.deleted),
        })
    })
}

async fn create_stack(
    cx: Cx,
    input: cloudformation::CreateStackInput,
) -> Result<cloudformation::CreateStackOutput, Error> {
    let status = cloudformation::StackStatus::CreateInProgress;
    change(&cx, input.template_body, input.parameters, status)?;
    Ok(cloudformation::CreateStackOutput {
        stack_id: Some("stack-id".into()),
        ..Default::default()
    })
}

async fn update_stack(
    cx: Cx,
    input: cloudformation::UpdateStackInput,
) -> Result<cloudformation::UpdateStackOutput, Error> {
    let old = cx.read(|tx| tx.get::<FakeStack>("web"))?.unwrap();
    if Some(&old.template) == input.template_body.as_ref() {
        return Err(NO_STACK.because("No updates are to be performed."));
    }
    let status = cloudformation::StackStatus::UpdateInProgress;
    change(&cx, input.template_body, input.parameters, status)?;
    Ok(Default::default())
}

async fn delete_stack(
    cx: Cx,
    _: cloudformation::DeleteStackInput,
) -> Result<cloudformation::DeleteStackOutput, Error> {
    cx.write(|tx| {
        let mut stack = tx.get::<FakeStack>("web")?.unwrap();
        stack.status = cloudformation::StackStatus::DeleteInProgress;
        stack.deleted += 1;
        tx.put(&stack)
    })?;
    Ok(Default::default())
}

async fn describe_stack_events(
    cx: Cx,
    _: cloudformation::DescribeStackEventsInput,
) -> Result<cloudformation::DescribeStackEventsOutput, Error> {
    let event = |name: &str, reason: &str| cloudformation::StackEvent {
        logical_resource_id: Some(name.into()),
        resource_status: Some("CREATE_FAILED".into()),
        resource_status_reason: Some(reason.into()),
        timestamp: wire::Timestamp(cx.clock().now()),
        ..Default::default()
    };
    // Newest first, as CloudFormation has them.
    Ok(cloudformation::DescribeStackEventsOutput {
        stack_events: Some(vec![
            event("Other", "Resource creation cancelled"),
            event("Service", "no such image"),
        ]),
        ..Default::default()
    })
}
