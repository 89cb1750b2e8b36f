//! Builds as callers see them: started, stopped, retried, described. What happens to them is in
//! [`crate::reconciler`].

use std::collections::BTreeSet;

use cloud::{Caller, Cx, Error, Records, token_hex};
use shapes::codebuild::errors::AccountLimitExceededException;
use shapes::codebuild::*;
use wire::Timestamp;

use crate::names::{
    all_builds, build_arn, delete_finished, find_build, find_project, invalid, last_part, no_build,
};
use crate::page::page;
use crate::project_rules;
use crate::record::{BuildRecord, ProjectRecord, Stage};

/// Builds that wait or run, in one region: AWS's quota of the queue is five times the concurrent
/// builds.
const UNDER_WAY_MAX: usize = 300;

pub async fn start_build(cx: Cx, input: StartBuildInput) -> Result<StartBuildOutput, Error> {
    let project = cx.read(|tx| find_project(&cx, tx, &input.project_name))?;
    let token = input.idempotency_token.clone().or(cx.token.clone());
    let cx = match token {
        Some(token) => cx.with_token(format!("{}/{token}", project.name)),
        None => cx,
    };
    let plan = merged(&cx, &project, input)?;
    let record = cx.write(|tx| begin(&cx, tx, &project, plan))?;
    Ok(StartBuildOutput {
        build: Some(record.shape),
    })
}

/// A build that is to be begun.
struct Planned {
    shape: Build,
    artifacts: ProjectArtifacts,
    secondary_artifacts: Vec<ProjectArtifacts>,
}

/// The build that a project and a call make together.
fn merged(cx: &Cx, project: &ProjectRecord, input: StartBuildInput) -> Result<Planned, Error> {
    let own = &project.shape;
    let mut source = own.source.clone().unwrap_or_default();
    if let Some(it) = input.source_type_override {
        source.r#type = it;
    }
    source.location = input.source_location_override.or(source.location);
    source.buildspec = input.buildspec_override.or(source.buildspec);
    source.auth = input.source_auth_override.or(source.auth);
    source.git_clone_depth = input.git_clone_depth_override.or(source.git_clone_depth);
    source.git_submodules_config =
        (input.git_submodules_config_override).or(source.git_submodules_config);
    source.insecure_ssl = input.insecure_ssl_override.or(source.insecure_ssl);
    source.report_build_status =
        (input.report_build_status_override).or(source.report_build_status);
    if source.r#type == SourceType::Codepipeline {
        return Err(invalid(
            "A project with the source type CODEPIPELINE is built by its pipeline: start that, or \
             override the source's type and location",
        ));
    }
    project_rules::check_source(&source)?;
    let mut artifacts = (input.artifacts_override)
        .or_else(|| own.artifacts.clone())
        .unwrap_or_default();
    let mut secondary_artifacts = (input.secondary_artifacts_override)
        .or_else(|| own.secondary_artifacts.clone())
        .unwrap_or_default();
    for it in std::iter::once(&mut artifacts).chain(&mut secondary_artifacts) {
        project_rules::check_artifacts(it, &project.name)?;
        if it.r#type == ArtifactsType::Codepipeline {
            return Err(invalid(
                "Artifacts of the type CODEPIPELINE are taken by a pipeline: override them",
            ));
        }
    }
    let secondary = input.secondary_sources_override;
    let secondary_sources = secondary.or_else(|| own.secondary_sources.clone());
    for it in secondary_sources.iter().flatten() {
        project_rules::check_source(it)?;
    }
    let mut cache = input.cache_override.or_else(|| own.cache.clone());
    if let Some(cache) = &mut cache {
        project_rules::check_cache(cache)?;
    }
    if let Some(logs) = &input.logs_config_override {
        project_rules::check_logs(logs)?;
    }
    let role = match input.service_role_override {
        Some(role) => project_rules::check_role(cx, &project.name, Some(&role))?,
        None => own.service_role.clone().unwrap_or_default(),
    };
    let mut environment = own.environment.clone().unwrap_or_default();
    if let Some(it) = input.environment_type_override {
        environment.r#type = it;
    }
    if let Some(it) = input.image_override {
        environment.image = it;
    }
    if let Some(it) = input.compute_type_override {
        environment.compute_type = it;
    }
    let registry = input.registry_credential_override;
    environment.registry_credential = registry.or(environment.registry_credential);
    environment.privileged_mode = (input.privileged_mode_override).or(environment.privileged_mode);
    environment.image_pull_credentials_type = input
        .image_pull_credentials_type_override
        .or(environment.image_pull_credentials_type);
    override_variables(&mut environment, input.environment_variables_override);
    project_rules::check_environment(&mut environment)?;
    // Only a pipeline tells these: whoever else calls a variable so gives it to the commands, and no more.
    let is_told = is_service(&cx.caller);
    let given = |name: &str| {
        let variables = environment.environment_variables.iter().flatten();
        variables
            .filter(|it| is_told && it.name == name)
            .map(|it| it.value.clone())
            .next_back()
    };
    let resolved_source_version = given("CODEBUILD_RESOLVED_SOURCE_VERSION");
    let source_version = given("CODEBUILD_SOURCE_VERSION");
    let initiator = given("CODEBUILD_INITIATOR").unwrap_or_else(|| initiator(&cx.caller));
    let logs = input
        .logs_config_override
        .or_else(|| own.logs_config.clone());
    let logs = logs.unwrap_or_default();
    let shape = Build {
        project_name: Some(project.name.clone()),
        build_status: Some(StatusType::InProgress),
        build_complete: Some(false),
        source_version: (input.source_version)
            .or(source_version)
            .or_else(|| own.source_version.clone().filter(|it| !it.is_empty())),
        resolved_source_version,
        initiator: Some(initiator),
        source: Some(source),
        secondary_sources,
        secondary_source_versions: (input.secondary_sources_version_override)
            .or_else(|| own.secondary_source_versions.clone()),
        artifacts: Some(artifacts_of(&artifacts)),
        secondary_artifacts: Some(secondary_artifacts.iter().map(artifacts_of).collect()),
        cache,
        environment: Some(environment),
        service_role: Some(role),
        logs: Some(LogsLocation {
            cloud_watch_logs: logs.cloud_watch_logs,
            s3_logs: logs.s3_logs,
            ..Default::default()
        }),
        timeout_in_minutes: input.timeout_in_minutes_override.or(own.timeout_in_minutes),
        queued_timeout_in_minutes: (input.queued_timeout_in_minutes_override)
            .or(own.queued_timeout_in_minutes),
        encryption_key: (input.encryption_key_override).or_else(|| own.encryption_key.clone()),
        ..Default::default()
    };
    Ok(Planned {
        shape,
        artifacts,
        secondary_artifacts,
    })
}

/// The caller's variables stand after the project's, without those that they replace.
fn override_variables(
    environment: &mut ProjectEnvironment,
    given: Option<Vec<EnvironmentVariable>>,
) {
    let given = given.unwrap_or_default();
    let own = environment.environment_variables.get_or_insert_default();
    let names: BTreeSet<&str> = given.iter().map(|it| it.name.as_str()).collect();
    own.retain(|it| !names.contains(it.name.as_str()));
    own.extend(given);
}

/// What AWS shows of artifacts before they are anywhere.
fn artifacts_of(it: &ProjectArtifacts) -> BuildArtifacts {
    BuildArtifacts {
        location: None,
        override_artifact_name: it.override_artifact_name,
        encryption_disabled: it.encryption_disabled,
        artifact_identifier: it.artifact_identifier.clone(),
        bucket_owner_access: it.bucket_owner_access,
        ..Default::default()
    }
}

/// Whether a service calls, with a role that it assumes for what it does.
fn is_service(caller: &Caller) -> bool {
    match caller {
        Caller::Daemon | Caller::Service(_) => true,
        Caller::AssumedRole { role_id, .. } => role_id.is_none(),
        Caller::Root(_) | Caller::RootSession { .. } | Caller::User { .. } | Caller::Anonymous => {
            false
        }
    }
}

fn initiator(caller: &Caller) -> String {
    match caller {
        Caller::Root(_) | Caller::RootSession { .. } | Caller::Daemon => "root".into(),
        Caller::User { arn, .. } => arn.rsplit('/').next().unwrap_or_default().to_owned(),
        Caller::Service(principal) => (*principal).to_owned(),
        Caller::Anonymous => "anonymous".into(),
        Caller::AssumedRole {
            role_arn,
            session_name,
            ..
        } => format!(
            "{}/{session_name}",
            role_arn.rsplit('/').next().unwrap_or_default()
        ),
    }
}

/// Writes a new build's record, or finds the one that the same token has made.
fn begin(
    cx: &Cx,
    tx: &Records<'_>,
    project: &ProjectRecord,
    plan: Planned,
) -> Result<BuildRecord, Error> {
    let uuid = uuid(cx);
    let id = format!("{}:{uuid}", project.name);
    if let Some(known) = find_build(cx, tx, &id)? {
        return Ok(known);
    }
    let under_way: Vec<BuildRecord> = tx.list(&format!("{}/", cx.region))?;
    if under_way.len() >= UNDER_WAY_MAX {
        return Err(AccountLimitExceededException.because(format!(
            "Cannot have more than {UNDER_WAY_MAX} builds in queue for the account"
        )));
    }
    let own = under_way.iter().filter(|it| it.project == project.name);
    if let Some(limit) = project.shape.concurrent_build_limit
        && own.count() >= usize::try_from(limit).unwrap_or(0)
    {
        return Err(AccountLimitExceededException.because(format!(
            "Cannot have more than {limit} active builds for the project {}",
            project.name
        )));
    }
    let now = cx.clock().now();
    let counter = format!("codebuild/{}/{}", cx.region, project.name);
    let mut record = BuildRecord {
        region: cx.region.clone(),
        project: project.name.clone(),
        source_number: source_number(&uuid),
        shape: Build {
            arn: Some(build_arn(cx, &id)),
            id: Some(id),
            build_number: Some(tx.next(&counter)?),
            start_time: Some(Timestamp(now)),
            ..plan.shape
        },
        uuid,
        artifacts: plan.artifacts,
        secondary_artifacts: plan.secondary_artifacts,
        stage: Stage::Queued,
        submitted_ms: cx.clock().now_ms(),
        begun_ms: None,
        stop_asked: false,
        timed_out: false,
        buildspec: None,
        session_key: None,
        session_role_id: None,
        credentials_ms: None,
        cache_version: project.cache_version,
        address: None,
    };
    record.enter(BuildPhaseType::Submitted, now);
    record.leave(StatusType::Succeeded, None, now);
    record.enter(BuildPhaseType::Queued, now);
    tx.put(&record)?;
    Ok(record)
}

fn uuid(cx: &Cx) -> String {
    let hex = match &cx.token {
        Some(token) => token_hex(token, "build", 32),
        None => cloud::random_hex(32),
    };
    cloud::dashed(&hex)
}

/// Nine digits, as in the source folders of AWS.
fn source_number(uuid: &str) -> u32 {
    let seed = u32::from_str_radix(&uuid[..7], 16).unwrap_or(0);
    100_000_000 + seed % 900_000_000
}

pub async fn stop_build(cx: Cx, input: StopBuildInput) -> Result<StopBuildOutput, Error> {
    let record = cx.write(|tx| {
        let key = BuildRecord::key_of(&cx.region, last_part(&input.id, "build"));
        match tx.get::<BuildRecord>(&key)? {
            Some(mut record) => {
                record.stop_asked = true;
                tx.put(&record)?;
                Ok(record)
            }
            // One that is over stays as it is.
            None => find_build(&cx, tx, &input.id)?.ok_or_else(|| no_build(&cx, &input.id)),
        }
    })?;
    Ok(StopBuildOutput {
        build: Some(record.shape),
    })
}

pub async fn retry_build(cx: Cx, input: RetryBuildInput) -> Result<RetryBuildOutput, Error> {
    let id = input
        .id
        .ok_or_else(|| invalid("The build id is required"))?;
    let (former, project) = cx.read(|tx| {
        let former = find_build(&cx, tx, &id)?.ok_or_else(|| no_build(&cx, &id))?;
        let project = find_project(&cx, tx, &former.project)?;
        Ok((former, project))
    })?;
    if former.stage != Stage::Completed {
        return Err(invalid("Build is not in a state that can be retried"));
    }
    let token = input.idempotency_token.or(cx.token.clone());
    let cx = match token {
        Some(token) => cx.with_token(format!("retry/{id}/{token}")),
        None => cx,
    };
    let plan = Planned {
        shape: Build {
            build_status: Some(StatusType::InProgress),
            build_complete: Some(false),
            initiator: Some(initiator(&cx.caller)),
            artifacts: Some(artifacts_of(&former.artifacts)),
            secondary_artifacts: Some(
                former
                    .secondary_artifacts
                    .iter()
                    .map(artifacts_of)
                    .collect(),
            ),
            phases: None,
            end_time: None,
            exported_environment_variables: None,
            report_arns: None,
            logs: former.shape.logs.clone().map(|it| LogsLocation {
                cloud_watch_logs: it.cloud_watch_logs,
                s3_logs: it.s3_logs,
                ..Default::default()
            }),
            ..former.shape
        },
        artifacts: former.artifacts,
        secondary_artifacts: former.secondary_artifacts,
    };
    let record = cx.write(|tx| begin(&cx, tx, &project, plan))?;
    Ok(RetryBuildOutput {
        build: Some(record.shape),
    })
}

pub async fn batch_get_builds(
    cx: Cx,
    input: BatchGetBuildsInput,
) -> Result<BatchGetBuildsOutput, Error> {
    let (mut builds, mut missing) = (Vec::new(), Vec::new());
    cx.read(|tx| {
        for id in &input.ids {
            match find_build(&cx, tx, id)? {
                Some(record) => builds.push(record.shape),
                None => missing.push(id.clone()),
            }
        }
        Ok(())
    })?;
    Ok(BatchGetBuildsOutput {
        builds: Some(builds),
        builds_not_found: Some(missing),
    })
}

pub async fn batch_delete_builds(
    cx: Cx,
    input: BatchDeleteBuildsInput,
) -> Result<BatchDeleteBuildsOutput, Error> {
    let (mut gone, mut kept) = (Vec::new(), Vec::new());
    cx.write(|tx| {
        for id in &input.ids {
            let not_deleted = |why: &str| BuildNotDeleted {
                id: Some(id.clone()),
                status_code: Some(why.into()),
            };
            match find_build(&cx, tx, id)? {
                Some(record) if record.stage == Stage::Completed => {
                    delete_finished(&cx, tx, id)?;
                    gone.push(record.shape.arn.unwrap_or_default());
                }
                Some(_) => kept.push(not_deleted("BUILD_IN_PROGRESS")),
                None => kept.push(not_deleted("BUILD_NOT_FOUND")),
            }
        }
        Ok(())
    })?;
    Ok(BatchDeleteBuildsOutput {
        builds_deleted: Some(gone),
        builds_not_deleted: Some(kept),
    })
}

pub async fn list_builds(cx: Cx, input: ListBuildsInput) -> Result<ListBuildsOutput, Error> {
    let builds = cx.read(|tx| all_builds(&cx, tx, None))?;
    let ids = sorted(builds, input.sort_order);
    let (ids, next_token) = page(ids, input.next_token.as_deref(), None)?;
    Ok(ListBuildsOutput {
        ids: Some(ids),
        next_token,
    })
}

pub async fn list_builds_for_project(
    cx: Cx,
    input: ListBuildsForProjectInput,
) -> Result<ListBuildsForProjectOutput, Error> {
    let builds = cx.read(|tx| {
        let project = find_project(&cx, tx, &input.project_name)?;
        all_builds(&cx, tx, Some(&project.name))
    })?;
    let ids = sorted(builds, input.sort_order);
    let (ids, next_token) = page(ids, input.next_token.as_deref(), None)?;
    Ok(ListBuildsForProjectOutput {
        ids: Some(ids),
        next_token,
    })
}

/// By the time of their start; the newest first, unless it is asked otherwise.
fn sorted(mut builds: Vec<BuildRecord>, order: Option<SortOrderType>) -> Vec<String> {
    builds.sort_by_key(|it| (it.submitted_ms, it.shape.build_number));
    if order != Some(SortOrderType::Ascending) {
        builds.reverse();
    }
    builds.iter().map(BuildRecord::id).collect()
}
