//! Projects.

use cloud::{Cx, Error};
use shapes::codebuild::errors::ResourceAlreadyExistsException;
use shapes::codebuild::*;
use wire::Timestamp;

use crate::names::{all_builds, find_project, invalid, last_part, project_arn};
use crate::page::page;
use crate::project_rules;
use crate::record::{FinishedBuild, ProjectRecord};

/// Defaults of the API reference, in minutes.
pub const TIMEOUT: i32 = 60;
pub const QUEUED_TIMEOUT: i32 = 480;

pub async fn create_project(
    cx: Cx,
    input: CreateProjectInput,
) -> Result<CreateProjectOutput, Error> {
    let now = Timestamp(cx.clock().now());
    let mut shape = Project {
        arn: Some(project_arn(&cx, &input.name)),
        name: Some(input.name.clone()),
        description: input.description,
        source: Some(input.source),
        secondary_sources: Some(input.secondary_sources.unwrap_or_default()),
        source_version: input.source_version,
        secondary_source_versions: Some(input.secondary_source_versions.unwrap_or_default()),
        artifacts: Some(input.artifacts),
        secondary_artifacts: Some(input.secondary_artifacts.unwrap_or_default()),
        cache: Some(input.cache.unwrap_or_else(no_cache)),
        environment: Some(input.environment),
        service_role: Some(input.service_role),
        timeout_in_minutes: Some(input.timeout_in_minutes.unwrap_or(TIMEOUT)),
        queued_timeout_in_minutes: Some(input.queued_timeout_in_minutes.unwrap_or(QUEUED_TIMEOUT)),
        encryption_key: Some(
            input
                .encryption_key
                .unwrap_or_else(|| project_rules::default_key(&cx)),
        ),
        tags: Some(input.tags.unwrap_or_default()),
        created: Some(now),
        last_modified: Some(now),
        badge: Some(ProjectBadge {
            badge_enabled: Some(false),
            ..Default::default()
        }),
        logs_config: input.logs_config,
        concurrent_build_limit: input.concurrent_build_limit,
        project_visibility: Some(ProjectVisibilityType::Private),
        ..Default::default()
    };
    project_rules::check(&cx, &mut shape)?;
    let record = ProjectRecord {
        region: cx.region.clone(),
        name: input.name,
        shape,
        cache_version: 0,
        made_by: cx.token.clone(),
    };
    let record = cx.write(|tx| {
        let key = ProjectRecord::key_of(&record.region, &record.name);
        match tx.get::<ProjectRecord>(&key)? {
            Some(known) if known.made_by.is_some() && known.made_by == record.made_by => Ok(known),
            Some(_) => Err(ResourceAlreadyExistsException.because(format!(
                "Project already exists: {}",
                project_arn(&cx, &record.name)
            ))),
            None => {
                tx.put(&record)?;
                Ok(record)
            }
        }
    })?;
    Ok(CreateProjectOutput {
        project: Some(record.shape),
    })
}

fn no_cache() -> ProjectCache {
    ProjectCache {
        r#type: CacheType::NoCache,
        ..Default::default()
    }
}

pub async fn update_project(
    cx: Cx,
    input: UpdateProjectInput,
) -> Result<UpdateProjectOutput, Error> {
    let known = cx.read(|tx| find_project(&cx, tx, &input.name))?;
    let mut shape = known.shape.clone();
    let UpdateProjectInput {
        description,
        source,
        secondary_sources,
        source_version,
        secondary_source_versions,
        artifacts,
        secondary_artifacts,
        cache,
        environment,
        service_role,
        timeout_in_minutes,
        queued_timeout_in_minutes,
        encryption_key,
        tags,
        logs_config,
        concurrent_build_limit,
        name: _,
    } = input;
    fn set<T>(to: &mut Option<T>, given: Option<T>) {
        if given.is_some() {
            *to = given;
        }
    }
    set(&mut shape.description, description);
    set(&mut shape.source, source);
    set(&mut shape.secondary_sources, secondary_sources);
    set(
        &mut shape.source_version,
        source_version.map(|it| it.to_owned()),
    );
    set(
        &mut shape.secondary_source_versions,
        secondary_source_versions,
    );
    set(&mut shape.artifacts, artifacts);
    set(&mut shape.secondary_artifacts, secondary_artifacts);
    set(&mut shape.cache, cache);
    set(&mut shape.environment, environment);
    set(&mut shape.service_role, service_role);
    set(&mut shape.timeout_in_minutes, timeout_in_minutes);
    set(
        &mut shape.queued_timeout_in_minutes,
        queued_timeout_in_minutes,
    );
    set(&mut shape.encryption_key, encryption_key);
    set(&mut shape.tags, tags);
    set(&mut shape.logs_config, logs_config);
    // -1 takes the limit away (API reference, `UpdateProject`).
    if concurrent_build_limit == Some(-1) {
        shape.concurrent_build_limit = None;
    } else {
        set(&mut shape.concurrent_build_limit, concurrent_build_limit);
    }
    shape.last_modified = Some(Timestamp(cx.clock().now()));
    project_rules::check(&cx, &mut shape)?;
    cx.write(|tx| {
        let mut record = find_project(&cx, tx, &known.name)?;
        record.shape = shape.clone();
        tx.put(&record)
    })?;
    Ok(UpdateProjectOutput {
        project: Some(shape),
    })
}

/// Deletes a project and, as AWS does, what is known of its builds. Builds that are under way end
/// on their own.
pub async fn delete_project(
    cx: Cx,
    input: DeleteProjectInput,
) -> Result<DeleteProjectOutput, Error> {
    let name = last_part(&input.name, "project").to_owned();
    cx.write(|tx| {
        tx.delete::<ProjectRecord>(&ProjectRecord::key_of(&cx.region, &name))?;
        for build in all_builds(&cx, tx, Some(&name))? {
            let key = crate::record::BuildRecord::key_of(&cx.region, &build.id());
            tx.delete::<FinishedBuild>(&key)?;
        }
        Ok(())
    })?;
    // Deleting what is not there is no error on AWS either.
    Ok(DeleteProjectOutput {})
}

pub async fn batch_get_projects(
    cx: Cx,
    input: BatchGetProjectsInput,
) -> Result<BatchGetProjectsOutput, Error> {
    let (mut projects, mut missing) = (Vec::new(), Vec::new());
    cx.read(|tx| {
        for name in &input.names {
            match find_project(&cx, tx, name) {
                Ok(record) => projects.push(record.shape),
                Err(error) if error.status >= 500 => return Err(error),
                Err(_) => missing.push(name.clone()),
            }
        }
        Ok(())
    })?;
    Ok(BatchGetProjectsOutput {
        projects: Some(projects),
        projects_not_found: Some(missing),
    })
}

pub async fn list_projects(cx: Cx, input: ListProjectsInput) -> Result<ListProjectsOutput, Error> {
    let mut records = cx.read(|tx| tx.list::<ProjectRecord>(&format!("{}/", cx.region)))?;
    let time = |it: Option<Timestamp>| it.map_or(0.0, |it| it.0);
    match input.sort_by {
        Some(ProjectSortByType::CreatedTime) => {
            records.sort_by(|a, b| time(a.shape.created).total_cmp(&time(b.shape.created)));
        }
        Some(ProjectSortByType::LastModifiedTime) => records
            .sort_by(|a, b| time(a.shape.last_modified).total_cmp(&time(b.shape.last_modified))),
        Some(ProjectSortByType::Name) | None => {}
    }
    if input.sort_order == Some(SortOrderType::Descending) {
        records.reverse();
    }
    let names = records.into_iter().map(|it| it.name).collect();
    let (projects, next_token) = page(names, input.next_token.as_deref(), None)?;
    Ok(ListProjectsOutput {
        next_token,
        projects: Some(projects),
    })
}

pub async fn invalidate_project_cache(
    cx: Cx,
    input: InvalidateProjectCacheInput,
) -> Result<InvalidateProjectCacheOutput, Error> {
    let name = &input.project_name;
    if name.is_empty() {
        return Err(invalid("Invalid project name"));
    }
    cx.write(|tx| {
        let mut record = find_project(&cx, tx, name)?;
        record.cache_version += 1;
        tx.put(&record)
    })?;
    Ok(InvalidateProjectCacheOutput {})
}
