//! `GetPipelineState`: what every stage and action is at.

use cloud::{Cx, Error, Records};
use shapes::codepipeline::*;

use crate::find;
use crate::record::{ActionRun, Execution, Pipeline, StageMemory, Work, timestamp};

pub async fn get_pipeline_state(
    cx: Cx,
    input: GetPipelineStateInput,
) -> Result<GetPipelineStateOutput, Error> {
    cx.read(|tx| {
        let pipeline = find::pipeline(&cx, tx, &input.name)?;
        let mut live = Vec::new();
        for key in &pipeline.live {
            live.extend(tx.get::<Execution>(key)?);
        }
        let mut stage_states = Vec::new();
        for stage in &pipeline.declaration.stages {
            stage_states.push(stage_state(tx, &pipeline, &live, stage)?);
        }
        Ok(GetPipelineStateOutput {
            pipeline_name: Some(pipeline.name.clone()),
            pipeline_version: Some(pipeline.version),
            stage_states: Some(stage_states),
            created: Some(timestamp(pipeline.created_ms)),
            updated: Some(timestamp(pipeline.updated_ms)),
        })
    })
}

fn stage_state(
    tx: &Records<'_>,
    pipeline: &Pipeline,
    live: &[Execution],
    stage: &StageDeclaration,
) -> Result<StageState, Error> {
    let memory = pipeline
        .stages
        .get(&stage.name)
        .cloned()
        .unwrap_or_default();
    let waits = live.iter().filter(|it| {
        let version_is_same = it.version == pipeline.version;
        !it.inside
            && version_is_same
            && pipeline
                .declaration
                .stages
                .get(it.at)
                .is_some_and(|it| it.name == stage.name)
    });
    let inbound: Vec<StageExecution> = waits
        .map(|it| StageExecution {
            pipeline_execution_id: it.id.clone(),
            status: StageExecutionStatus::InProgress,
            r#type: execution_type(it),
        })
        .collect();
    let latest = match &memory.latest {
        Some(key) => tx.get::<Execution>(key)?,
        None => None,
    };
    let latest_run = latest.as_ref().and_then(|it| {
        let run = it.stages.values().find(|it| it.name == stage.name)?;
        Some((it, run))
    });
    let mut action_states = Vec::new();
    for action in &stage.actions {
        let run = find::run(tx, memory.runs.get(&action.name))?;
        action_states.push(action_state(action, run));
    }
    Ok(StageState {
        stage_name: Some(stage.name.clone()),
        inbound_execution: inbound.last().cloned(),
        inbound_transition_state: Some(transition_state(&memory)),
        latest_execution: latest_run.map(|(it, run)| StageExecution {
            pipeline_execution_id: it.id.clone(),
            status: run.status,
            r#type: execution_type(it),
        }),
        retry_stage_metadata: latest_run.filter(|it| it.1.retries > 0).map(|(_, run)| {
            RetryStageMetadata {
                auto_stage_retry_attempt: None,
                manual_stage_retry_attempt: Some(run.retries),
                latest_retry_trigger: Some(RetryTrigger::ManualStageRetry),
            }
        }),
        inbound_executions: Some(inbound),
        action_states: Some(action_states),
        ..Default::default()
    })
}

pub fn execution_type(it: &Execution) -> Option<ExecutionType> {
    Some(match it.rollback_to {
        Some(_) => ExecutionType::Rollback,
        None => ExecutionType::Standard,
    })
}

fn transition_state(memory: &StageMemory) -> TransitionState {
    match &memory.transition {
        None => TransitionState {
            enabled: Some(true),
            ..Default::default()
        },
        Some(it) => TransitionState {
            enabled: Some(it.enabled),
            last_changed_by: Some(it.changed_by.clone()),
            last_changed_at: Some(timestamp(it.changed_ms)),
            disabled_reason: it.reason.clone(),
        },
    }
}

fn action_state(action: &ActionDeclaration, run: Option<ActionRun>) -> ActionState {
    let revision = run.as_ref().and_then(|it| it.revision.clone());
    let revision_url = revision.as_ref().and_then(|it| it.url.clone());
    ActionState {
        action_name: Some(action.name.clone()),
        current_revision: revision.map(|it| ActionRevision {
            revision_change_id: it.id.clone(),
            revision_id: it.id,
            created: timestamp(it.created_ms),
        }),
        latest_execution: run.map(shown_run),
        entity_url: None,
        revision_url,
    }
}

fn shown_run(run: ActionRun) -> ActionExecution {
    let running = run.is_running();
    let token = match &run.work {
        Work::Approval { token } if running => Some(token.clone()),
        _ => None,
    };
    ActionExecution {
        action_execution_id: Some(run.id),
        status: Some(run.status),
        summary: run.summary,
        last_status_change: Some(timestamp(match running {
            true => run.started_ms,
            false => run.updated_ms,
        })),
        token,
        last_updated_by: run.updated_by,
        external_execution_id: run.external_id,
        external_execution_url: run.external_url,
        percent_complete: None,
        error_details: run.failure.map(|it| ErrorDetails {
            code: Some(it.code),
            message: Some(it.message),
        }),
        log_stream_arn: run.log_stream_arn,
    }
}
