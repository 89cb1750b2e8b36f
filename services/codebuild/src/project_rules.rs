//! What a project may say. What AWS knows and neargate does not carry out is refused by name.

use cloud::{Cx, Error};
use shapes::codebuild::*;

use crate::names::{invalid, unsupported};
use crate::role;

fn refuse_flag(what: &str, given: Option<bool>) -> Result<(), Error> {
    match given {
        Some(true) => Err(unsupported(what)),
        _ => Ok(()),
    }
}

/// Checks a whole project, as it would be stored, and fills in what AWS fills in.
pub fn check(cx: &Cx, project: &mut Project) -> Result<(), Error> {
    if let Some(source) = &project.source {
        check_source(source)?;
    }
    for source in project.secondary_sources.iter().flatten() {
        check_source(source)?;
        check_identifier(source.source_identifier.as_deref())?;
    }
    let name = project.name.clone().unwrap_or_default();
    for artifacts in project.artifacts.iter_mut() {
        check_artifacts(artifacts, &name)?;
    }
    for artifacts in project.secondary_artifacts.iter_mut().flatten() {
        check_identifier(artifacts.artifact_identifier.as_deref())?;
        check_artifacts(artifacts, &name)?;
    }
    let pipeline = |it: Option<bool>| it == Some(true);
    let from_pipeline =
        pipeline((project.source.as_ref()).map(|it| it.r#type == SourceType::Codepipeline));
    let to_pipeline =
        pipeline((project.artifacts.as_ref()).map(|it| it.r#type == ArtifactsType::Codepipeline));
    if from_pipeline != to_pipeline {
        return Err(invalid(
            "Invalid project source: if one of source and artifacts is of type CODEPIPELINE, both \
             must be",
        ));
    }
    if let Some(environment) = &mut project.environment {
        check_environment(environment)?;
    }
    if let Some(cache) = &mut project.cache {
        check_cache(cache)?;
    }
    if let Some(logs) = &project.logs_config {
        check_logs(logs)?;
    }
    if project.concurrent_build_limit.is_some_and(|it| it < 1) {
        return Err(invalid("concurrentBuildLimit must be at least 1"));
    }
    project.service_role = Some(check_role(cx, &name, project.service_role.as_deref())?);
    Ok(())
}

/// What the key is called that S3 has for every account.
pub const DEFAULT_KEY: &str = "alias/aws/s3";

pub fn default_key(cx: &Cx) -> String {
    cx.arn("kms", DEFAULT_KEY)
}

/// The role by its ARN, when it is there and trusts CodeBuild. It may be given by its name.
pub fn check_role(cx: &Cx, project: &str, role: Option<&str>) -> Result<String, Error> {
    let given = role.unwrap_or_default();
    let found = cx.find_role(given)?;
    let found = found.ok_or_else(|| role::not_authorized(given))?;
    match role::may_be_assumed(cx, &found, project)? {
        true => Ok(found.arn),
        false => Err(role::not_authorized(&found.arn)),
    }
}

fn check_identifier(identifier: Option<&str>) -> Result<(), Error> {
    let identifier = identifier.unwrap_or_default();
    let valid = !identifier.is_empty()
        && identifier.len() < 128
        && identifier
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if valid {
        Ok(())
    } else {
        Err(invalid(
            "An identifier of secondary sources and artifacts has letters, digits and underscores",
        ))
    }
}

pub fn check_source(source: &ProjectSource) -> Result<(), Error> {
    use SourceType as T;
    let location = source.location.as_deref().unwrap_or_default();
    match source.r#type {
        T::NoSource | T::Codepipeline => {}
        T::S3 | T::Codecommit | T::Github | T::GithubEnterprise => {
            if location.is_empty() {
                return Err(invalid(format!(
                    "Invalid project source: location is required for source type {}",
                    source.r#type
                )));
            }
        }
        T::Bitbucket | T::Gitlab | T::GitlabSelfManaged => {
            return Err(unsupported(format!("source type {}", source.r#type)));
        }
    }
    if source.r#type == T::NoSource && source.buildspec.as_deref().unwrap_or_default().is_empty() {
        return Err(invalid(
            "Invalid project source: a buildspec is required for source type NO_SOURCE",
        ));
    }
    refuse_flag("reportBuildStatus", source.report_build_status)?;
    refuse_flag("insecureSsl", source.insecure_ssl)?;
    if source
        .git_submodules_config
        .as_ref()
        .is_some_and(|it| it.fetch_submodules)
    {
        return Err(unsupported("gitSubmodulesConfig.fetchSubmodules"));
    }
    if let Some(auth) = &source.auth
        && auth.r#type != SourceAuthType::Oauth
    {
        return Err(unsupported(format!("source auth type {}", auth.r#type)));
    }
    Ok(())
}

pub fn check_artifacts(artifacts: &mut ProjectArtifacts, project: &str) -> Result<(), Error> {
    if artifacts.r#type != ArtifactsType::S3 {
        return Ok(());
    }
    if artifacts.location.as_deref().unwrap_or_default().is_empty() {
        return Err(invalid(
            "Invalid artifacts: location is required for artifact type S3",
        ));
    }
    if artifacts.name.as_deref().unwrap_or_default().is_empty() {
        artifacts.name = Some(project.to_owned());
    }
    artifacts
        .namespace_type
        .get_or_insert(ArtifactNamespace::None);
    artifacts.packaging.get_or_insert(ArtifactPackaging::None);
    refuse_owner(artifacts.bucket_owner_access)?;
    Ok(())
}

fn refuse_owner(access: Option<BucketOwnerAccess>) -> Result<(), Error> {
    match access {
        None | Some(BucketOwnerAccess::None) => Ok(()),
        Some(_) => Err(unsupported("bucketOwnerAccess")),
    }
}

pub fn check_environment(environment: &mut ProjectEnvironment) -> Result<(), Error> {
    if environment.r#type != EnvironmentType::LinuxContainer {
        return Err(unsupported(format!(
            "environment type {}",
            environment.r#type
        )));
    }
    crate::image::check(&environment.image)?;
    if crate::provision::size(environment.compute_type).is_none() {
        return Err(unsupported(format!(
            "compute type {}",
            environment.compute_type
        )));
    }
    environment.privileged_mode.get_or_insert(false);
    environment
        .image_pull_credentials_type
        .get_or_insert(ImagePullCredentialsType::Codebuild);
    for variable in environment.environment_variables.iter_mut().flatten() {
        variable
            .r#type
            .get_or_insert(EnvironmentVariableType::Plaintext);
        if variable.name.contains(['=', '\0']) || variable.value.contains('\0') {
            return Err(invalid(format!(
                "Invalid environment variable: `{}`",
                variable.name
            )));
        }
    }
    Ok(())
}

pub fn check_cache(cache: &mut ProjectCache) -> Result<(), Error> {
    match cache.r#type {
        CacheType::NoCache => Ok(()),
        CacheType::S3 => {
            if cache.location.as_deref().unwrap_or_default().is_empty() {
                return Err(invalid(
                    "Invalid cache: location is required for cache type S3",
                ));
            }
            Ok(())
        }
        CacheType::Local => {
            let modes = cache.modes.get_or_insert_default();
            if modes.is_empty() {
                return Err(invalid(
                    "Invalid cache: modes is required for cache type LOCAL",
                ));
            }
            // Layers of docker are always kept by the machine's own image store, and Git's objects
            // by its own copies of repositories.
            Ok(())
        }
    }
}

pub fn check_logs(logs: &LogsConfig) -> Result<(), Error> {
    if let Some(s3) = &logs.s3_logs
        && s3.status == LogsConfigStatusType::Enabled
    {
        if s3.location.as_deref().unwrap_or_default().is_empty() {
            return Err(invalid("Invalid logsConfig: s3Logs has no location"));
        }
        refuse_owner(s3.bucket_owner_access)?;
        if let Some(cloudwatch) = &logs.cloud_watch_logs
            && cloudwatch.status == LogsConfigStatusType::Disabled
        {
            return Err(unsupported("s3Logs without cloudWatchLogs"));
        }
    }
    Ok(())
}
