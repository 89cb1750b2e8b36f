//! Builds that failed: the last one of each project.

use cloud::{Cx, Error};
use shapes::codebuild::{
    BatchGetBuildsInput, Build, BuildPhase, ListBuildsForProjectInput, ListProjectsInput,
    SortOrderType, StatusType,
};

use super::{Gathered, list};
use crate::facts::{BuildFacts, Situation};

/// So many of a build's last lines are looked at.
const LINES_MAX: i32 = 50;

/// Names of the projects.
pub async fn projects(cx: &Cx) -> Result<Vec<String>, Error> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let page = cx.call(ListProjectsInput {
            next_token: next,
            ..Default::default()
        });
        let page = page.await?;
        all.extend(page.projects.unwrap_or_default());
        next = page.next_token;
        if next.is_none() {
            return Ok(all);
        }
    }
}

/// Looks at the last build of a project.
pub async fn look(cx: &Cx, project: &str, gathered: &mut Gathered) -> Result<(), Error> {
    gathered.looked_at.push(format!("builds of {project}"));
    let builds = cx.call(ListBuildsForProjectInput {
        project_name: project.to_owned(),
        sort_order: Some(SortOrderType::Descending),
        next_token: None,
    });
    match builds.await?.ids.unwrap_or_default().first() {
        Some(id) => look_at_one(cx, id, gathered).await,
        None => Ok(()),
    }
}

pub async fn look_at_one(cx: &Cx, id: &str, gathered: &mut Gathered) -> Result<(), Error> {
    let found = cx.call(BatchGetBuildsInput {
        ids: vec![id.to_owned()],
    });
    let build = found.await?.builds.unwrap_or_default().into_iter().next();
    let is_bad = |it: &Build| {
        !matches!(
            it.build_status,
            Some(StatusType::Succeeded | StatusType::InProgress | StatusType::Stopped) | None
        )
    };
    if let Some(build) = build.filter(is_bad) {
        let facts = facts(cx, &build).await?;
        gathered.situations.push(Situation {
            thing: format!("build {}", facts.id),
            region: cx.region.clone(),
            account: cx.account().to_owned(),
            build: Some(facts),
            ..Situation::default()
        });
    }
    Ok(())
}

async fn facts(cx: &Cx, build: &Build) -> Result<BuildFacts, Error> {
    let failed = |it: &&BuildPhase| {
        let code = it
            .contexts
            .iter()
            .flatten()
            .find_map(|it| it.status_code.as_deref());
        it.phase_status == Some(StatusType::Failed) || code.is_some_and(|it| !it.is_empty())
    };
    let phase = build
        .phases
        .iter()
        .flatten()
        .find(failed)
        .cloned()
        .unwrap_or_default();
    let context = phase
        .contexts
        .into_iter()
        .flatten()
        .next()
        .unwrap_or_default();
    Ok(BuildFacts {
        id: build.id.clone().unwrap_or_default(),
        project: build.project_name.clone().unwrap_or_default(),
        phase: phase
            .phase_type
            .map_or(String::new(), |it| it.as_str().to_owned()),
        code: context.status_code.unwrap_or_default(),
        message: context.message.unwrap_or_default(),
        is_privileged: build.environment.as_ref().and_then(|it| it.privileged_mode) == Some(true),
        printed: printed(cx, build).await?,
    })
}

async fn printed(cx: &Cx, build: &Build) -> Result<Vec<String>, Error> {
    let logs = build.logs.clone().unwrap_or_default();
    match (logs.group_name, logs.stream_name) {
        (Some(group), Some(stream)) => list::last_events(cx, &group, &stream, LINES_MAX).await,
        _ => Ok(Vec::new()),
    }
}
