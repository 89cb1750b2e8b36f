//! Builds and tests by CodeBuild: `StartBuild` with the artifacts in place of the project's own source
//! and output, then `BatchGetBuilds` until it is over.
//!
//! Artifacts travel by `StartBuild`'s overrides, as S3 sources and S3 artifacts. Of several outputs
//! each is a secondary artifact under its own name. What the build calls its source's version is the
//! commit that the pipeline's source took.

use serde_json::Value as Json;
use shapes::codebuild::*;

use super::{JOB_FAILED, Progress, Session, Trouble};
use crate::act::{LOOK_AGAIN, failure};
use crate::record::{ActionRun, Execution, Location, Work};

pub async fn drive(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    let id = match &run.work {
        Work::Build(id) => id.clone(),
        _ => return start(cx, run).await,
    };
    let input = BatchGetBuildsInput {
        ids: vec![id.clone()],
    };
    let found = cx.call(input).await?.builds.unwrap_or_default();
    let Some(build) = found.into_iter().next() else {
        return Err(Trouble::failed(format!("Build {id} no longer exists")));
    };
    note(run, &build);
    if build.build_complete != Some(true) {
        return Ok(Progress::Waits(LOOK_AGAIN));
    }
    if build.build_status == Some(StatusType::Succeeded) {
        give_out(run, &build);
        return Ok(Progress::Succeeded);
    }
    Ok(Progress::Failed(failure(JOB_FAILED, why(&build))))
}

async fn start(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    let input = request(cx, run)?;
    let started = cx.call(input).await;
    let build = started
        .map_err(|mut error| {
            error.message = format!("Error calling startBuild: {}", error.message);
            Trouble::from(error)
        })?
        .build
        .unwrap_or_default();
    let id = build.id.clone().unwrap_or_default();
    note(run, &build);
    run.work = Work::Build(id);
    Ok(Progress::Waits(LOOK_AGAIN))
}

fn request(cx: &Session, run: &ActionRun) -> Result<StartBuildInput, Trouble> {
    let primary = match run.setting("PrimarySource") {
        Some(name) => run.inputs.iter().find(|it| it.0 == name),
        None => run.inputs.first(),
    };
    let primary = primary.ok_or_else(|| {
        Trouble::configuration("PrimarySource does not name an input artifact of the action")
    })?;
    let mut variables = match run.setting("EnvironmentVariables") {
        Some(text) => environment(text).map_err(Trouble::configuration)?,
        None => Vec::new(),
    };
    let own = [
        (
            "CODEBUILD_INITIATOR",
            Some(format!("codepipeline/{}", run.pipeline)),
        ),
        (
            "CODEBUILD_RESOLVED_SOURCE_VERSION",
            commit_of(cx, run, &primary.0)?,
        ),
        (
            "CODEBUILD_SOURCE_VERSION",
            Some(format!("arn:aws:s3:::{}", place(&primary.1))),
        ),
    ];
    variables.extend(own.into_iter().filter_map(|(name, value)| {
        Some(EnvironmentVariable {
            name: name.into(),
            value: value?,
            r#type: Some(EnvironmentVariableType::Plaintext),
        })
    }));
    let secondary = run.inputs.iter().filter(|it| it.0 != primary.0);
    let (first, others) = match run.outputs.as_slice() {
        [only] => (artifacts(only), Vec::new()),
        several => (
            ProjectArtifacts {
                r#type: ArtifactsType::NoArtifacts,
                ..Default::default()
            },
            several.iter().map(artifacts).collect(),
        ),
    };
    Ok(StartBuildInput {
        project_name: run.required("ProjectName").to_owned(),
        source_type_override: Some(SourceType::S3),
        source_location_override: Some(place(&primary.1)),
        // The project's own lists are of no concern here, even when there is nothing in their place.
        secondary_sources_override: Some(secondary.map(source).collect()),
        artifacts_override: Some(first),
        secondary_artifacts_override: Some(others),
        // What the build makes is encrypted as the pipeline's own artifacts are.
        encryption_key_override: run.outputs.first().and_then(|it| it.1.kms_key.clone()),
        environment_variables_override: Some(variables),
        idempotency_token: Some(run.id.clone()),
        ..Default::default()
    })
}

fn place(location: &Location) -> String {
    format!("{}/{}", location.bucket, location.key)
}

fn source((name, location): &(String, Location)) -> ProjectSource {
    ProjectSource {
        r#type: SourceType::S3,
        location: Some(place(location)),
        source_identifier: Some(name.clone()),
        ..Default::default()
    }
}

fn artifacts((name, location): &(String, Location)) -> ProjectArtifacts {
    let (path, file) = location.key.rsplit_once('/').unwrap_or(("", &location.key));
    ProjectArtifacts {
        r#type: ArtifactsType::S3,
        location: Some(location.bucket.clone()),
        path: Some(path.to_owned()),
        name: Some(file.to_owned()),
        namespace_type: Some(ArtifactNamespace::None),
        packaging: Some(ArtifactPackaging::Zip),
        override_artifact_name: Some(false),
        artifact_identifier: Some(name.clone()),
        ..Default::default()
    }
}

/// What the source that made an artifact took.
fn commit_of(cx: &Session, run: &ActionRun, artifact: &str) -> Result<Option<String>, Trouble> {
    let execution = cx.read(|tx| tx.get::<Execution>(&run.execution_key()))?;
    let revisions = execution.map(|it| it.revisions).unwrap_or_default();
    let made_it = revisions.iter().find(|it| it.artifact == artifact);
    let found = made_it.or_else(|| revisions.first().filter(|_| revisions.len() == 1));
    Ok(found.map(|it| it.id.clone()))
}

/// `[{"name": …, "value": …, "type": "PLAINTEXT" | "PARAMETER_STORE" | "SECRETS_MANAGER"}]`.
pub fn environment(text: &str) -> Result<Vec<EnvironmentVariable>, String> {
    let wrong = |why: String| format!("EnvironmentVariables: {why}");
    let json: Json = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let list = json
        .as_array()
        .ok_or_else(|| wrong("it has to be a list".into()))?;
    let each = list.iter().map(|it| {
        let member = |name: &str| it[name].as_str();
        let name = member("name").ok_or_else(|| wrong("a variable has no name".into()))?;
        let value = member("value").ok_or_else(|| wrong(format!("{name} has no value")))?;
        let kind = member("type").unwrap_or("PLAINTEXT");
        let kind = kind
            .parse::<EnvironmentVariableType>()
            .map_err(|_| wrong(format!("{name} has the unknown type {kind}")))?;
        Ok(EnvironmentVariable {
            name: name.to_owned(),
            value: value.to_owned(),
            r#type: Some(kind),
        })
    });
    each.collect()
}

fn note(run: &mut ActionRun, build: &Build) {
    run.external_id.clone_from(&build.id);
    let logs = build.logs.as_ref();
    run.external_url = logs.and_then(|it| it.deep_link.clone());
    run.log_stream_arn = logs.and_then(|it| it.cloud_watch_logs_arn.clone());
    run.summary = build
        .current_phase
        .as_ref()
        .filter(|_| build.build_complete != Some(true))
        .map(|it| format!("The build is in the phase {it}"));
}

/// Variables that the build exports.
fn give_out(run: &mut ActionRun, build: &Build) {
    let exported = build.exported_environment_variables.iter().flatten();
    for it in exported {
        if let (Some(name), Some(value)) = (&it.name, &it.value) {
            run.variables.insert(name.clone(), value.clone());
        }
    }
    run.summary = None;
}

/// The phase that failed and its reason, in AWS's words.
fn why(build: &Build) -> String {
    let status = build.build_status.map_or("FAILED", |it| it.as_str());
    let mut text = format!("Build terminated with state: {status}");
    let phases = build.phases.iter().flatten();
    let failed = phases.filter(|it| {
        it.phase_status
            .is_some_and(|it| it != StatusType::Succeeded && it != StatusType::InProgress)
    });
    for phase in failed {
        let name = phase.phase_type.map_or("", |it| it.as_str());
        for context in phase.contexts.iter().flatten() {
            let code = context.status_code.as_deref().unwrap_or_default();
            let message = context.message.as_deref().unwrap_or_default();
            text.push_str(&format!(
                ". Phase: {name}, Code: {code}, Message: {message}"
            ));
        }
    }
    text
}
