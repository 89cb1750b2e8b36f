//! The projects and report groups that calls touch, for the table's permissions. A build is its
//! project's and a report is its group's, as AWS has it.

use cloud::{Cx, Touched};
use shapes::codebuild::Tag;

use crate::names::{find_project, last_part, project_arn};
use crate::report::{find_group, group_arn};

/// CodeBuild's service principal, to which a project's role is passed.
pub const PRINCIPAL: &str = "codebuild.amazonaws.com";

fn tags(tags: Option<Vec<Tag>>) -> impl Iterator<Item = (String, String)> {
    let tags = tags.into_iter().flatten();
    tags.filter_map(|it| Some((it.key?, it.value.unwrap_or_default())))
}

/// A project by its name or ARN.
pub fn project_touched(cx: &Cx, name: &str) -> Touched {
    let arn = project_arn(cx, last_part(name, "project"));
    match cx.read(|tx| find_project(cx, tx, name)) {
        Ok(it) => Touched::named(arn).tagged(tags(it.shape.tags)),
        Err(_) => Touched::absent(arn),
    }
}

pub fn projects(cx: &Cx, names: &[String]) -> Vec<Touched> {
    names.iter().map(|it| project_touched(cx, it)).collect()
}

/// The project of a build: an id is `PROJECT:UUID`.
pub fn project_of(cx: &Cx, build: &str) -> Touched {
    let id = last_part(build, "build");
    project_touched(cx, id.split(':').next().unwrap_or(id))
}

pub fn projects_of(cx: &Cx, builds: &[String]) -> Vec<Touched> {
    builds.iter().map(|it| project_of(cx, it)).collect()
}

/// A report group by its name or ARN.
pub fn group_touched(cx: &Cx, name: &str) -> Touched {
    let arn = group_arn(cx, last_part(name, "report-group"));
    match cx.read(|tx| find_group(cx, tx, name)) {
        Ok(it) => Touched::named(arn).tagged(tags(it.shape.tags)),
        Err(_) => Touched::absent(arn),
    }
}

pub fn groups(cx: &Cx, names: &[String]) -> Vec<Touched> {
    names.iter().map(|it| group_touched(cx, it)).collect()
}

/// The group of a report: an id is `GROUP:UUID`.
pub fn group_of(cx: &Cx, report: &str) -> Touched {
    let id = last_part(report, "report");
    group_touched(cx, id.split(':').next().unwrap_or(id))
}

pub fn groups_of(cx: &Cx, reports: &[String]) -> Vec<Touched> {
    reports.iter().map(|it| group_of(cx, it)).collect()
}
