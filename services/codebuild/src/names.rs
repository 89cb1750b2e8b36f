//! ARNs, and finding records by what callers write.

use cloud::{Cx, Error, Record, Records};
use shapes::codebuild::errors::{InvalidInputException, ResourceNotFoundException};

use crate::record::{BuildRecord, FinishedBuild, ProjectRecord};

pub fn invalid(message: impl Into<String>) -> Error {
    InvalidInputException.because(message)
}

/// A member that means something and is not built.
pub fn unsupported(what: impl std::fmt::Display) -> Error {
    shapes::codebuild::MODEL.unsupported(what)
}

pub fn project_arn(cx: &Cx, name: &str) -> String {
    cx.arn("codebuild", &format!("project/{name}"))
}

pub fn build_arn(cx: &Cx, id: &str) -> String {
    cx.arn("codebuild", &format!("build/{id}"))
}

/// What stands after `<kind>/` in an ARN, or the text itself.
pub fn last_part<'a>(text: &'a str, kind: &str) -> &'a str {
    if !text.starts_with("arn:") {
        return text;
    }
    text.split_once(&format!(":{kind}/"))
        .map_or(text, |(_, rest)| rest)
}

/// A project by its name or ARN.
pub fn find_project(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<ProjectRecord, Error> {
    let name = last_part(name, "project");
    tx.get(&ProjectRecord::key_of(&cx.region, name))?
        .ok_or_else(|| {
            ResourceNotFoundException.because(format!(
                "Project cannot be found: {}",
                project_arn(cx, name)
            ))
        })
}

/// A build by its id or ARN, whether it is over or not.
pub fn find_build(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<Option<BuildRecord>, Error> {
    let key = BuildRecord::key_of(&cx.region, last_part(id, "build"));
    if let Some(live) = tx.get::<BuildRecord>(&key)? {
        return Ok(Some(live));
    }
    Ok(tx.get::<FinishedBuild>(&key)?.map(|it| it.0))
}

pub fn no_build(cx: &Cx, id: &str) -> Error {
    ResourceNotFoundException.because(format!(
        "Build cannot be found: {}",
        build_arn(cx, last_part(id, "build"))
    ))
}

/// Every build of a region, or of one of its projects.
pub fn all_builds(
    cx: &Cx,
    tx: &Records<'_>,
    project: Option<&str>,
) -> Result<Vec<BuildRecord>, Error> {
    let prefix = match project {
        Some(project) => format!("{}/{project}:", cx.region),
        None => format!("{}/", cx.region),
    };
    let mut builds: Vec<BuildRecord> = tx.list(&prefix)?;
    builds.extend(
        tx.list::<FinishedBuild>(&prefix)?
            .into_iter()
            .map(|it| it.0),
    );
    Ok(builds)
}

/// Removes a build's record, wherever it is. Whether there was one that is over.
pub fn delete_finished(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<bool, Error> {
    tx.delete::<FinishedBuild>(&BuildRecord::key_of(&cx.region, last_part(id, "build")))
}

/// Kinds of records, for the keys that the engine's changes concern.
pub const BUILD_KIND: &str = <BuildRecord as Record>::KIND;
