//! AWS CodeBuild: builds that run in containers.
//!
//! A handler checks and records; [`reconciler`] carries each build through AWS's phases. The commands
//! of a buildspec run in one shell, in a container that is a task of the engine and so lives on when
//! the daemon dies: [`driver`] writes its script, [`marks`] and [`observe`] make phases of what it
//! tells, [`log`] is its stream in CloudWatch Logs.
//!
//! **A build is hostile code.** Its container is in a network of builds ([`network`]) that leads out
//! and not to the machine: nothing that listens on the machine's loopback or on its other addresses can
//! be reached, and no other build. AWS's API and CodeCommit's repositories, and its service role's
//! credentials ([`inside`]), are behind the door at 169.254.170.2. Sources are fetched by the daemon, so
//! a Git host that only the machine reaches serves as a source, but not `git fetch` within a build.
//!
//! A privileged build has a docker of its own: its socket, images, containers, networks and volumes are
//! nobody else's, nothing that it tags is found by others except by a push, and all of it ends with the
//! build ([`engine::BuildEngines`]). Builds of a project share the steps of `docker build`, as with AWS's
//! local cache of layers. docker is not in the build's network but beside it:
//! `docker run -p`, which would publish on the machine, is refused, so `curl localhost` within the build
//! never finds a container, as it would on AWS. Containers speak with each other over a docker network;
//! commands get at one with `docker exec`, or from a container that shares its network. RUN steps of
//! `docker build` are in a network of their own.
//!
//! | record | key | |
//! |---|---|---|
//! | `codebuild.project` | region/name | |
//! | `codebuild.build` | region/project:uuid | under way; woken by its task |
//! | `codebuild.finished-build` | the same | the last 500 of a project |
//! | `codebuild.report-group`, `codebuild.report` | region/name, region/group:uuid | JUnit files of builds |
//! | `codebuild.source-credential` | region/server | |
//!
//! **Builds of a pipeline.** A pipeline starts a build of a project whose source and artifacts have
//! the type CODEPIPELINE with `StartBuild`: `sourceTypeOverride` S3 and `sourceLocationOverride`
//! `bucket/key` of its archive, `artifactsOverride` of type S3 with `location` (the bucket), `path`,
//! `name` (together the key) and `packaging` ZIP, `secondarySourcesOverride` and
//! `secondaryArtifactsOverride` likewise. Two variables in `environmentVariablesOverride` are taken for
//! what AWS hands over inside: `CODEBUILD_INITIATOR` (`codepipeline/<pipeline>`) and
//! `CODEBUILD_RESOLVED_SOURCE_VERSION` (the commit); the build shows both as its own.
//!
//! Not built, and refused by name: VPCs, batches, fleets, EFS, badges, other environments than
//! LINUX_CONTAINER, `run-as`, submodules, reporting a build's status to a Git host.

mod artifacts;
mod build;
mod buildspec;
mod cache;
mod cfn;
mod credential;
mod curated;
mod driver;
#[cfg(test)]
mod hostile_input;
mod image;
mod inside;
mod junit;
mod keys;
mod log;
mod marks;
mod names;
mod network;
mod observe;
mod page;
mod permissions;
mod project;
mod project_rules;
mod provision;
mod reconciler;
mod record;
mod report;
mod role;
mod s3;
mod source;

use cloud::permission::{everywhere, touching};
use cloud::{Service, Watch};
use shapes::codebuild::{
    CreateProjectInput, CreateReportGroupInput, StartBuildInput, UpdateProjectInput,
    UpdateReportGroupInput,
};

use permissions::{
    PRINCIPAL, group_of, group_touched, groups, groups_of, project_of, project_touched, projects,
    projects_of,
};

pub use buildspec::{Buildspec, Phase as BuildspecPhase, parse as parse_buildspec};
pub use inside::credentials;

pub fn service() -> Service {
    Service::new(&shapes::codebuild::MODEL)
        .on(
            project::create_project,
            touching("project", |cx, it: &CreateProjectInput| {
                project_touched(cx, &it.name)
            })
            .supplying(keys::PROJECT, keys::of_members(keys::PROJECT))
            .passing(PRINCIPAL, |it| vec![it.service_role.clone()]),
        )
        .on(
            project::update_project,
            touching("project", |cx, it: &UpdateProjectInput| {
                project_touched(cx, &it.name)
            })
            .supplying(keys::PROJECT, keys::of_members(keys::PROJECT))
            .passing(PRINCIPAL, |it| it.service_role.iter().cloned().collect()),
        )
        .on(
            project::delete_project,
            touching("project", |cx, it| project_touched(cx, &it.name)),
        )
        .on(
            project::batch_get_projects,
            touching("project", |cx, it| projects(cx, &it.names)),
        )
        .on(project::list_projects, everywhere())
        .on(
            project::invalidate_project_cache,
            touching("project", |cx, it| project_touched(cx, &it.project_name)),
        )
        .on(
            build::start_build,
            touching("project", |cx, it: &StartBuildInput| {
                project_touched(cx, &it.project_name)
            })
            .supplying(&keys::BUILD, keys::of_build)
            .passing(PRINCIPAL, |it| {
                it.service_role_override.iter().cloned().collect()
            }),
        )
        .on(
            build::stop_build,
            touching("project", |cx, it| project_of(cx, &it.id)),
        )
        .on(
            build::retry_build,
            touching("project", |cx, it| {
                it.id.as_ref().map(|id| project_of(cx, id))
            }),
        )
        .on(
            build::batch_get_builds,
            touching("project", |cx, it| projects_of(cx, &it.ids)),
        )
        .on(
            build::batch_delete_builds,
            touching("project", |cx, it| projects_of(cx, &it.ids)),
        )
        .on(build::list_builds, everywhere())
        .on(
            build::list_builds_for_project,
            touching("project", |cx, it| project_touched(cx, &it.project_name)),
        )
        .on(
            credential::import_source_credentials,
            everywhere().supplying(keys::CREDENTIAL, keys::of_credential),
        )
        .on(credential::list_source_credentials, everywhere())
        .on(credential::delete_source_credentials, everywhere())
        .on(curated::list_curated_environment_images, everywhere())
        .on(
            report::create_report_group,
            touching("report-group", |cx, it: &CreateReportGroupInput| {
                group_touched(cx, &it.name)
            })
            .supplying(keys::REPORT_GROUP, keys::of_members(keys::REPORT_GROUP)),
        )
        .on(
            report::update_report_group,
            touching("report-group", |cx, it: &UpdateReportGroupInput| {
                group_touched(cx, &it.arn)
            })
            .supplying(keys::REPORT_GROUP, keys::of_members(keys::REPORT_GROUP)),
        )
        .on(
            report::delete_report_group,
            touching("report-group", |cx, it| group_touched(cx, &it.arn)),
        )
        .on(
            report::batch_get_report_groups,
            touching("report-group", |cx, it| groups(cx, &it.report_group_arns)),
        )
        .on(report::list_report_groups, everywhere())
        .on(report::list_reports, everywhere())
        .on(
            report::list_reports_for_report_group,
            touching("report-group", |cx, it| {
                group_touched(cx, &it.report_group_arn)
            }),
        )
        .on(
            report::batch_get_reports,
            touching("report-group", |cx, it| groups_of(cx, &it.report_arns)),
        )
        .on(
            report::delete_report,
            touching("report-group", |cx, it| group_of(cx, &it.arn)),
        )
        .on(
            report::describe_test_cases,
            touching("report-group", |cx, it| group_of(cx, &it.report_arn)),
        )
        .resource(cfn::ProjectType)
        .resource(cfn::ReportGroupType)
        .resource(cfn::SourceCredentialType)
        .reconciles(reconciler::BuildReconciler)
        .reconciles(cache::CacheReconciler)
        .watches(Watch {
            changes: |engine| engine.tasks.changes(),
            keys: reconciler::keys_of_task,
        })
}
