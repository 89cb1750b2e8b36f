//! Executions and their actions, as they are listed.

use cloud::{Cx, Error, Record};
use shapes::codepipeline::*;

use crate::find;
use crate::page::page;
use crate::pipeline::mask;
use crate::record::{ActionRun, Execution, Location, timestamp};
use crate::state::execution_type;

pub async fn get_pipeline_execution(
    cx: Cx,
    input: GetPipelineExecutionInput,
) -> Result<GetPipelineExecutionOutput, Error> {
    let it = cx.read(|tx| {
        let pipeline = find::pipeline(&cx, tx, &input.pipeline_name)?;
        find::execution(tx, &pipeline, &input.pipeline_execution_id)
    })?;
    let revisions = it.revisions.iter().map(|it| ArtifactRevision {
        name: Some(it.artifact.clone()),
        revision_id: Some(it.id.clone()),
        revision_change_identifier: None,
        revision_summary: Some(it.summary.clone()),
        created: Some(timestamp(it.created_ms)),
        revision_url: it.url.clone(),
    });
    let variables = it
        .variables
        .iter()
        .map(|(name, value)| ResolvedPipelineVariable {
            name: Some(name.clone()),
            resolved_value: Some(value.clone()),
        });
    Ok(GetPipelineExecutionOutput {
        pipeline_execution: Some(PipelineExecution {
            artifact_revisions: Some(revisions.collect()),
            variables: (!it.variables.is_empty()).then(|| variables.collect()),
            trigger: Some(trigger(&it)),
            execution_type: execution_type(&it),
            rollback_metadata: rollback(&it),
            pipeline_name: Some(it.pipeline),
            pipeline_version: Some(it.version),
            pipeline_execution_id: Some(it.id),
            status: Some(it.status),
            status_summary: it.summary,
            execution_mode: Some(it.mode),
        }),
    })
}

fn trigger(it: &Execution) -> ExecutionTrigger {
    ExecutionTrigger {
        trigger_type: Some(it.trigger),
        trigger_detail: Some(it.trigger_detail.clone()),
    }
}

fn rollback(it: &Execution) -> Option<PipelineRollbackMetadata> {
    let target = it.rollback_to.clone()?;
    Some(PipelineRollbackMetadata {
        rollback_target_pipeline_execution_id: Some(target),
    })
}

pub async fn list_pipeline_executions(
    cx: Cx,
    input: ListPipelineExecutionsInput,
) -> Result<ListPipelineExecutionsOutput, Error> {
    let mut all = cx.read(|tx| {
        let pipeline = find::pipeline(&cx, tx, &input.pipeline_name)?;
        find::executions(tx, &pipeline)
    })?;
    let filter = input.filter.and_then(|it| it.succeeded_in_stage);
    if let Some(stage) = filter.and_then(|it| it.stage_name) {
        all.retain(|it| {
            it.stages
                .values()
                .any(|it| it.name == stage && it.status == StageExecutionStatus::Succeeded)
        });
    }
    let (items, next_token) = page(all, input.next_token.as_deref(), input.max_results)?;
    Ok(ListPipelineExecutionsOutput {
        pipeline_execution_summaries: Some(items.into_iter().map(summary).collect()),
        next_token,
    })
}

fn summary(it: Execution) -> PipelineExecutionSummary {
    let revisions = it.revisions.iter().map(|it| SourceRevision {
        action_name: it.action.clone(),
        revision_id: Some(it.id.clone()),
        revision_summary: Some(it.summary.clone()),
        revision_url: it.url.clone(),
    });
    PipelineExecutionSummary {
        source_revisions: Some(revisions.collect()),
        trigger: Some(trigger(&it)),
        execution_type: execution_type(&it),
        rollback_metadata: rollback(&it),
        pipeline_execution_id: Some(it.id),
        status: Some(it.status),
        status_summary: it.summary,
        start_time: Some(timestamp(it.started_ms)),
        last_update_time: Some(timestamp(it.updated_ms)),
        stop_trigger: it.stop.map(|it| StopExecutionTrigger { reason: it.reason }),
        execution_mode: Some(it.mode),
    }
}

pub async fn list_action_executions(
    cx: Cx,
    input: ListActionExecutionsInput,
) -> Result<ListActionExecutionsOutput, Error> {
    let filter = input.filter.unwrap_or_default();
    let latest = filter.latest_in_pipeline_execution;
    let asked = filter
        .pipeline_execution_id
        .or_else(|| latest.as_ref().map(|it| it.pipeline_execution_id.clone()));
    let runs = cx.read(|tx| {
        let pipeline = find::pipeline(&cx, tx, &input.pipeline_name)?;
        let prefix = match &asked {
            Some(id) => {
                let key = find::execution(tx, &pipeline, id)?.key();
                key.rsplit_once('/')
                    .map_or(key.clone(), |it| it.0.to_owned())
            }
            None => pipeline.key(),
        };
        let mut runs = tx.list::<ActionRun>(&format!("{prefix}/"))?;
        if latest.is_some_and(|it| it.start_time_range == StartTimeRange::Latest) {
            runs = newest_of_each(runs);
        }
        runs.reverse();
        Ok(runs)
    })?;
    let (items, next_token) = page(runs, input.next_token.as_deref(), input.max_results)?;
    Ok(ListActionExecutionsOutput {
        action_execution_details: Some(items.into_iter().map(detail).collect()),
        next_token,
    })
}

fn newest_of_each(runs: Vec<ActionRun>) -> Vec<ActionRun> {
    let place = |it: &ActionRun| (it.stage.clone(), it.declared.name.clone());
    let places: Vec<_> = runs.iter().map(place).collect();
    let is_newest = |index: usize| !places[index + 1..].contains(&places[index]);
    let each = runs.into_iter().enumerate();
    each.filter(|(index, _)| is_newest(*index))
        .map(|(_, run)| run)
        .collect()
}

fn detail(run: ActionRun) -> ActionExecutionDetail {
    let id = run.declared.action_type_id.clone();
    let mut declared = run.declared.configuration.clone().unwrap_or_default();
    let mut resolved = run.configuration.clone();
    mask(&id, &mut declared);
    mask(&id, &mut resolved);
    let succeeded = run.status == ActionExecutionStatus::Succeeded;
    ActionExecutionDetail {
        pipeline_execution_id: Some(run.execution_id),
        action_execution_id: Some(run.id),
        pipeline_version: Some(run.version),
        stage_name: Some(run.stage),
        action_name: Some(run.declared.name),
        start_time: Some(timestamp(run.started_ms)),
        last_update_time: Some(timestamp(run.updated_ms)),
        updated_by: run.updated_by,
        status: Some(run.status),
        input: Some(ActionExecutionInput {
            action_type_id: Some(id),
            configuration: Some(declared),
            resolved_configuration: Some(resolved),
            role_arn: run.declared.role_arn,
            region: Some(run.region),
            input_artifacts: Some(run.inputs.into_iter().map(artifact).collect()),
            namespace: run.declared.namespace,
        }),
        output: Some(ActionExecutionOutput {
            // What is not there yet is not shown.
            output_artifacts: Some(match succeeded {
                true => run.outputs.into_iter().map(artifact).collect(),
                false => Vec::new(),
            }),
            execution_result: Some(ActionExecutionResult {
                external_execution_id: run.external_id,
                external_execution_summary: run.summary,
                external_execution_url: run.external_url,
                error_details: run.failure.map(|it| ErrorDetails {
                    code: Some(it.code),
                    message: Some(it.message),
                }),
                log_stream_arn: run.log_stream_arn,
            }),
            output_variables: Some(run.variables),
        }),
    }
}

fn artifact((name, location): (String, Location)) -> ArtifactDetail {
    ArtifactDetail {
        name: Some(name),
        s3location: Some(S3Location {
            bucket: Some(location.bucket),
            key: Some(location.key),
        }),
    }
}
