//! Pipelines: the first action of the last execution that failed, and what it worked on.

use cloud::{Cx, Error};
use shapes::codepipeline::{
    ActionExecutionDetail, ActionExecutionFilter, ActionExecutionStatus, ErrorDetails,
    GetPipelineStateInput, ListActionExecutionsInput, ListPipelineExecutionsInput,
    ListPipelinesInput, StageExecutionStatus, StageState,
};

use super::{Gathered, builds};
use crate::facts::{ActionFacts, Situation};

/// Names of the pipelines.
pub async fn names(cx: &Cx) -> Result<Vec<String>, Error> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let page = cx.call(ListPipelinesInput {
            next_token: next,
            max_results: None,
        });
        let page = page.await?;
        all.extend(
            page.pipelines
                .into_iter()
                .flatten()
                .filter_map(|it| it.name),
        );
        next = page.next_token;
        if next.is_none() {
            return Ok(all);
        }
    }
}

/// Looks at a pipeline as it is now: an action that was repeated with success is well.
pub async fn look(cx: &Cx, name: &str, gathered: &mut Gathered) -> Result<(), Error> {
    gathered.looked_at.push(format!("pipeline {name}"));
    let state = cx.call(GetPipelineStateInput {
        name: name.to_owned(),
    });
    for stage in state.await?.stage_states.unwrap_or_default() {
        let held = stage
            .inbound_transition_state
            .as_ref()
            .filter(|it| it.enabled == Some(false));
        if let (Some(held), Some(_)) = (held, &stage.inbound_execution) {
            let thing = format!("pipeline {name}");
            let why = format!(
                "an execution waits before the stage {}, whose transition is disabled: {}",
                stage.stage_name.as_deref().unwrap_or_default(),
                held.disabled_reason.as_deref().unwrap_or_default()
            );
            gathered.unexplained.push((thing, why));
        }
        let is_red = (stage.latest_execution.as_ref())
            .is_some_and(|it| it.status == StageExecutionStatus::Failed);
        if is_red && look_at_stage(cx, name, &stage, gathered).await? {
            return Ok(());
        }
    }
    Ok(())
}

async fn look_at_stage(
    cx: &Cx,
    pipeline: &str,
    stage: &StageState,
    gathered: &mut Gathered,
) -> Result<bool, Error> {
    let mut actions = stage.action_states.iter().flatten().filter_map(|it| {
        let last = it.latest_execution.as_ref()?;
        (last.status == Some(ActionExecutionStatus::Failed)).then_some((it, last))
    });
    let Some((action, last)) = actions.next() else {
        return Ok(false);
    };
    let failed = Failed {
        stage: stage.stage_name.clone().unwrap_or_default(),
        action: action.action_name.clone().unwrap_or_default(),
        external: last.external_execution_id.clone(),
        error: last.error_details.clone().unwrap_or_default(),
    };
    add(cx, pipeline, failed, gathered).await?;
    Ok(true)
}

/// An action that failed, as whoever tells of it knows it.
struct Failed {
    stage: String,
    action: String,
    external: Option<String>,
    error: ErrorDetails,
}

async fn add(
    cx: &Cx,
    pipeline: &str,
    failed: Failed,
    gathered: &mut Gathered,
) -> Result<(), Error> {
    // What a build failed with tells more than that it did.
    let before = gathered.situations.len();
    if let Some(build) = failed.external.as_deref().filter(|it| it.contains(':')) {
        builds::look_at_one(cx, build, gathered).await?;
    }
    if gathered.situations.len() > before {
        return Ok(());
    }
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let facts = ActionFacts {
        pipeline: pipeline.to_owned(),
        stage: failed.stage,
        name: failed.action,
        code: text(&failed.error.code),
        message: text(&failed.error.message),
    };
    gathered.situations.push(Situation {
        thing: format!("pipeline {pipeline}, action {}", facts.name),
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        action: Some(facts),
        ..Situation::default()
    });
    Ok(())
}

/// The pipeline that an execution is of.
pub async fn of_execution(cx: &Cx, id: &str) -> Result<Option<String>, Error> {
    for pipeline in names(cx).await? {
        let mut next_token = None;
        loop {
            let page = cx.call(ListPipelineExecutionsInput {
                pipeline_name: pipeline.clone(),
                next_token,
                ..Default::default()
            });
            let page = page.await?;
            let mut all = page.pipeline_execution_summaries.into_iter().flatten();
            if all.any(|it| it.pipeline_execution_id.as_deref() == Some(id)) {
                return Ok(Some(pipeline));
            }
            next_token = page.next_token;
            if next_token.is_none() {
                break;
            }
        }
    }
    Ok(None)
}

/// The first action of an execution that failed, however long ago.
pub async fn look_at_execution(
    cx: &Cx,
    pipeline: &str,
    id: &str,
    gathered: &mut Gathered,
) -> Result<(), Error> {
    gathered
        .looked_at
        .push(format!("execution {id} of pipeline {pipeline}"));
    let actions = cx.call(ListActionExecutionsInput {
        pipeline_name: pipeline.to_owned(),
        filter: Some(ActionExecutionFilter {
            pipeline_execution_id: Some(id.to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    });
    let actions = actions.await?.action_execution_details.unwrap_or_default();
    let has_failed = |it: &&ActionExecutionDetail| it.status == Some(ActionExecutionStatus::Failed);
    let started =
        |it: &&ActionExecutionDetail| it.start_time.map_or(0, |it| (it.0 * 1000.0) as i64);
    let Some(first) = actions.iter().filter(has_failed).min_by_key(started) else {
        return Ok(());
    };
    let output = first.output.clone().unwrap_or_default();
    let result = output.execution_result.unwrap_or_default();
    let failed = Failed {
        stage: first.stage_name.clone().unwrap_or_default(),
        action: first.action_name.clone().unwrap_or_default(),
        external: result.external_execution_id,
        error: result.error_details.unwrap_or_default(),
    };
    add(cx, pipeline, failed, gathered).await
}
