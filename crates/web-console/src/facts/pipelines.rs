//! Pipelines: stages and actions as they are, executions, and the log of the build that runs.

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::codebuild::BatchGetBuildsInput;
use shapes::codepipeline::{
    ActionState, GetPipelineStateInput, ListPipelineExecutionsInput, StageState,
};
use why::list;

use super::{State, ms, now_ms};

const EXECUTIONS_MAX: i32 = 20;
/// Last lines of a build that are shown.
const LINES_MAX: i32 = 40;

#[derive(Debug, Clone, Serialize)]
pub struct PipelinesFacts {
    pub pipelines: Vec<PipelineRow>,
    pub now_ms: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct PipelineRow {
    pub name: String,
    pub state: State,
    pub last: Option<ExecutionRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ExecutionRow {
    pub id: String,
    pub status: String,
    pub state: State,
    pub revision: Option<String>,
    pub begun_ms: Option<i64>,
    pub changed_ms: Option<i64>,
    pub trigger: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PipelineFacts {
    pub name: String,
    pub stages: Vec<StageRow>,
    pub executions: Vec<ExecutionRow>,
    pub build: Option<BuildRow>,
    pub now_ms: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct StageRow {
    pub name: String,
    pub state: State,
    pub status: String,
    pub execution: Option<String>,
    pub actions: Vec<ActionRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ActionRow {
    pub name: String,
    pub state: State,
    pub status: String,
    pub summary: Option<String>,
    pub error: Option<String>,
    pub changed_ms: Option<i64>,
    /// An approval that somebody is to give.
    pub approval_token: Option<String>,
    pub external_id: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct BuildRow {
    pub id: String,
    pub status: String,
    pub state: State,
    pub phases: Vec<(String, String, Option<i64>)>,
    pub log_group: Option<String>,
    pub log_stream: Option<String>,
    pub lines: Vec<String>,
}

pub async fn gather_all(cx: &Cx) -> Result<PipelinesFacts, Error> {
    let mut pipelines = Vec::new();
    for name in why::pipeline_names(cx).await? {
        let last = executions(cx, &name, 1).await?.into_iter().next();
        pipelines.push(PipelineRow {
            state: last.as_ref().map_or(State::Idle, |it| it.state),
            name,
            last,
        });
    }
    pipelines.sort_by(|one, other| (one.state, &one.name).cmp(&(other.state, &other.name)));
    Ok(PipelinesFacts {
        pipelines,
        now_ms: now_ms(cx),
    })
}

async fn executions(cx: &Cx, name: &str, most: i32) -> Result<Vec<ExecutionRow>, Error> {
    let asked = cx.call(ListPipelineExecutionsInput {
        pipeline_name: name.to_owned(),
        max_results: Some(most),
        filter: None,
        next_token: None,
    });
    let found = asked.await?.pipeline_execution_summaries;
    let rows = found.into_iter().flatten().map(|it| {
        let status = it.status.map_or("", |it| it.as_str());
        let revision = it.source_revisions.into_iter().flatten().next();
        ExecutionRow {
            id: it.pipeline_execution_id.unwrap_or_default(),
            status: status.to_owned(),
            state: State::of_words(status),
            revision: revision.and_then(|it| it.revision_summary.or(it.revision_id)),
            begun_ms: ms(it.start_time),
            changed_ms: ms(it.last_update_time),
            trigger: it.trigger.and_then(|it| it.trigger_detail),
        }
    });
    Ok(rows.collect())
}

pub async fn gather(cx: &Cx, name: &str) -> Result<Option<PipelineFacts>, Error> {
    let asked = cx.call(GetPipelineStateInput {
        name: name.to_owned(),
    });
    let state = match asked.await {
        Ok(state) => state,
        Err(error) if error.status < 500 => return Ok(None),
        Err(error) => return Err(error),
    };
    let stages: Vec<StageRow> = state.stage_states.iter().flatten().map(stage).collect();
    let builds = stages.iter().flat_map(|it| &it.actions);
    // The one that runs, or the last one that failed: it is what is looked for.
    let mut of_interest: Vec<&ActionRow> = builds
        .filter(|it| it.external_id.as_ref().is_some_and(|it| it.contains(':')))
        .filter(|it| matches!(it.state, State::Changing | State::Failed))
        .collect();
    of_interest.sort_by_key(|it| it.state != State::Changing);
    let build = match of_interest.first().and_then(|it| it.external_id.clone()) {
        Some(id) => build(cx, &id).await?,
        None => None,
    };
    Ok(Some(PipelineFacts {
        name: name.to_owned(),
        executions: executions(cx, name, EXECUTIONS_MAX).await?,
        stages,
        build,
        now_ms: now_ms(cx),
    }))
}

fn stage(it: &StageState) -> StageRow {
    let latest = it.latest_execution.as_ref();
    let status = latest.map_or("", |it| it.status.as_str());
    StageRow {
        name: it.stage_name.clone().unwrap_or_default(),
        state: State::of_words(status),
        status: status.to_owned(),
        execution: latest.map(|it| it.pipeline_execution_id.clone()),
        actions: it.action_states.iter().flatten().map(action).collect(),
    }
}

fn action(it: &ActionState) -> ActionRow {
    let latest = it.latest_execution.clone().unwrap_or_default();
    let status = latest.status.map_or("", |it| it.as_str());
    ActionRow {
        name: it.action_name.clone().unwrap_or_default(),
        state: State::of_words(status),
        status: status.to_owned(),
        summary: latest.summary,
        error: latest.error_details.and_then(|it| it.message),
        changed_ms: ms(latest.last_status_change),
        approval_token: latest.token.filter(|_| status == "InProgress"),
        external_id: latest.external_execution_id,
    }
}

async fn build(cx: &Cx, id: &str) -> Result<Option<BuildRow>, Error> {
    let asked = cx.call(BatchGetBuildsInput {
        ids: vec![id.to_owned()],
    });
    let found = match asked.await {
        Ok(found) => found.builds.unwrap_or_default(),
        Err(error) if error.status < 500 => Vec::new(),
        Err(error) => return Err(error),
    };
    let Some(build) = found.into_iter().next() else {
        return Ok(None);
    };
    let logs = build.logs.unwrap_or_default();
    let lines = match (&logs.group_name, &logs.stream_name) {
        (Some(group), Some(stream)) => list::last_events(cx, group, stream, LINES_MAX).await?,
        _ => Vec::new(),
    };
    let status = build.build_status.map_or("", |it| it.as_str());
    Ok(Some(BuildRow {
        id: id.to_owned(),
        status: status.to_owned(),
        state: match status {
            "SUCCEEDED" => State::Well,
            "IN_PROGRESS" => State::Changing,
            _ => State::Failed,
        },
        phases: (build.phases.into_iter().flatten())
            .map(|it| {
                let name = it.phase_type.map_or("", |it| it.as_str()).to_owned();
                let status = it.phase_status.map_or("", |it| it.as_str()).to_owned();
                (name, status, it.duration_in_seconds)
            })
            .collect(),
        log_group: logs.group_name,
        log_stream: logs.stream_name,
        lines,
    }))
}
