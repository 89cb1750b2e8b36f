//! Executions: starting, stopping, retrying a stage, rolling one back.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record};
use shapes::codepipeline::errors::*;
use shapes::codepipeline::*;

use crate::catalog::{self, Driver};
use crate::find;
use crate::record::{ActionRun, Execution, Pipeline, Stop};
use crate::start::{Trigger, start};

/// Who is said to have started, stopped or changed something.
pub fn caller_arn(cx: &Cx) -> String {
    cx.caller.arn(cx.account())
}

pub async fn start_pipeline_execution(
    cx: Cx,
    input: StartPipelineExecutionInput,
) -> Result<StartPipelineExecutionOutput, Error> {
    let execution = cx.write(|tx| {
        let mut pipeline = find::pipeline(&cx, tx, &input.name)?;
        if let Some(token) = &input.client_request_token {
            let all = find::executions(tx, &pipeline)?;
            let same = all
                .into_iter()
                .find(|it| it.client_token.as_ref() == Some(token));
            if let Some(same) = same {
                return Ok(same);
            }
        }
        let mut trigger = Trigger::new(TriggerType::StartPipelineExecution, caller_arn(&cx));
        trigger.client_token = input.client_request_token;
        let variables = input.variables.unwrap_or_default();
        trigger.variables = variables
            .into_iter()
            .map(|it| (it.name, it.value))
            .collect();
        trigger.revisions = revisions(&pipeline, input.source_revisions.unwrap_or_default())?;
        start(&cx, tx, &mut pipeline, trigger)
    })?;
    Ok(StartPipelineExecutionOutput {
        pipeline_execution_id: Some(execution.id),
    })
}

fn revisions(
    pipeline: &Pipeline,
    asked: Vec<SourceRevisionOverride>,
) -> Result<BTreeMap<String, String>, Error> {
    let sources = pipeline.declaration.stages.first();
    let mut all = BTreeMap::new();
    for it in asked {
        let named = sources.and_then(|stage| {
            stage
                .actions
                .iter()
                .find(|action| action.name == it.action_name)
        });
        let kind = named.and_then(|it| catalog::find(&it.action_type_id));
        let fits = kind.is_some_and(|kind| match it.revision_type {
            SourceRevisionType::CommitId => kind.driver.is_git(),
            SourceRevisionType::ImageDigest => kind.driver == Driver::EcrSource,
            SourceRevisionType::S3ObjectVersionId => kind.driver == Driver::S3Source,
            SourceRevisionType::S3ObjectKey => false,
        });
        if !fits {
            return Err(ValidationException.because(format!(
                "The source action {} does not exist, or does not take a revision of the type {}",
                it.action_name,
                it.revision_type.as_str()
            )));
        }
        all.insert(it.action_name, it.revision_value);
    }
    Ok(all)
}

pub async fn stop_pipeline_execution(
    cx: Cx,
    input: StopPipelineExecutionInput,
) -> Result<StopPipelineExecutionOutput, Error> {
    let pipeline = cx.write(|tx| {
        let pipeline = find::pipeline(&cx, tx, &input.pipeline_name)?;
        let mut execution = find::execution(tx, &pipeline, &input.pipeline_execution_id)?;
        let abandon = input.abandon.unwrap_or(false);
        match (execution.status, &execution.stop) {
            // Waiting may become abandoning.
            (PipelineExecutionStatus::Stopping, Some(stop)) if stop.abandon || !abandon => {
                return Err(DuplicatedStopRequestException.because(format!(
                    "The execution {} is already being stopped",
                    execution.id
                )));
            }
            (PipelineExecutionStatus::InProgress | PipelineExecutionStatus::Stopping, _) => (),
            (other, _) => {
                return Err(PipelineExecutionNotStoppableException.because(format!(
                    "The execution {} cannot be stopped: it is {}",
                    execution.id,
                    other.as_str()
                )));
            }
        }
        execution.status = PipelineExecutionStatus::Stopping;
        execution.updated_ms = cx.clock().now_ms();
        if let Some(stage) = execution.stages.get_mut(&execution.at)
            && execution.inside
        {
            stage.status = StageExecutionStatus::Stopping;
        }
        execution.stop = Some(Stop {
            abandon,
            reason: input.reason,
        });
        tx.put(&execution)?;
        Ok(pipeline.key())
    })?;
    cx.cloud.converge.wake(Pipeline::KIND, pipeline);
    Ok(StopPipelineExecutionOutput {
        pipeline_execution_id: Some(input.pipeline_execution_id),
    })
}

pub async fn retry_stage_execution(
    cx: Cx,
    input: RetryStageExecutionInput,
) -> Result<RetryStageExecutionOutput, Error> {
    cx.write(|tx| {
        let mut pipeline = find::pipeline(&cx, tx, &input.pipeline_name)?;
        let mut execution = find::execution(tx, &pipeline, &input.pipeline_execution_id)?;
        let name = &input.stage_name;
        let memory = pipeline.stages.get(name);
        let memory = memory.ok_or_else(|| no_stage(&pipeline, name))?;
        let key = execution.key();
        let parallel = execution.mode == ExecutionMode::Parallel;
        if !parallel && memory.latest.as_deref() != Some(&key) {
            return Err(NotLatestPipelineExecutionException.because(format!(
                "The execution {} is not the latest in the stage {name}",
                execution.id
            )));
        }
        check_retryable(&pipeline, &execution, name)?;
        let mut kept = BTreeMap::new();
        let stage = execution.stages.get_mut(&execution.at);
        let stage = stage.ok_or_else(|| not_retryable(name, "it was never entered"))?;
        if input.retry_mode == StageRetryMode::FailedActions {
            for (action, key) in &stage.runs {
                let run = tx.get::<ActionRun>(key)?;
                if run.is_some_and(|it| it.status == ActionExecutionStatus::Succeeded) {
                    kept.insert(action.clone(), key.clone());
                }
            }
        }
        stage.runs = kept;
        stage.retries += 1;
        stage.status = StageExecutionStatus::InProgress;
        execution.status = PipelineExecutionStatus::InProgress;
        execution.summary = None;
        execution.stop = None;
        execution.updated_ms = cx.clock().now_ms();
        tx.put(&execution)?;
        let place = pipeline.live.partition_point(|it| *it < key);
        pipeline.live.insert(place, key);
        tx.put(&pipeline)
    })?;
    Ok(RetryStageExecutionOutput {
        pipeline_execution_id: Some(input.pipeline_execution_id),
    })
}

fn no_stage(pipeline: &Pipeline, name: &str) -> Error {
    StageNotFoundException.because(format!(
        "Pipeline '{}' does not have a stage '{name}'",
        pipeline.name
    ))
}

fn not_retryable(stage: &str, why: &str) -> Error {
    StageNotRetryableException.because(format!("The stage {stage} cannot be retried: {why}"))
}

fn check_retryable(pipeline: &Pipeline, execution: &Execution, name: &str) -> Result<(), Error> {
    let stage = execution.stage().filter(|it| it.name == name);
    let retryable = matches!(
        stage.map(|it| it.status),
        Some(StageExecutionStatus::Failed | StageExecutionStatus::Stopped)
    );
    if !retryable {
        return Err(not_retryable(name, "it has not failed in this execution"));
    }
    if execution.version != pipeline.version {
        return Err(not_retryable(
            name,
            "the structure of the pipeline has changed since",
        ));
    }
    Ok(())
}

/// Runs a stage again with what an earlier execution brought through it.
pub async fn rollback_stage(
    cx: Cx,
    input: RollbackStageInput,
) -> Result<RollbackStageOutput, Error> {
    let execution = cx.write(|tx| {
        let mut pipeline = find::pipeline(&cx, tx, &input.pipeline_name)?;
        let target = find::execution(tx, &pipeline, &input.target_pipeline_execution_id)?;
        let name = &input.stage_name;
        let stages = &pipeline.declaration.stages;
        let at = stages.iter().position(|it| it.name == *name);
        let at = at.ok_or_else(|| no_stage(&pipeline, name))?;
        let unable = |why: &str| {
            UnableToRollbackStageException
                .because(format!("The stage {name} cannot be rolled back: {why}"))
        };
        if pipeline.declaration.pipeline_type != Some(PipelineType::V2) {
            return Err(unable("the pipeline is not of type V2"));
        }
        if at == 0 {
            return Err(unable("it is the source stage"));
        }
        let through = target.stages.get(&at).filter(|it| it.name == *name);
        if through.is_none_or(|it| it.status != StageExecutionStatus::Succeeded) {
            return Err(unable("the target execution did not succeed in it"));
        }
        if target.version != pipeline.version {
            return Err(unable(
                "the structure of the pipeline has changed since the target execution",
            ));
        }
        let trigger = Trigger {
            variables: target.variables.clone(),
            ..Trigger::new(TriggerType::ManualRollback, caller_arn(&cx))
        };
        let mut execution = start(&cx, tx, &mut pipeline, trigger)?;
        execution.at = at;
        execution.last = at;
        execution.artifacts = target.artifacts;
        execution.revisions = target.revisions;
        execution.namespaces = target.namespaces;
        execution.rollback_to = Some(target.id);
        tx.put(&execution)?;
        Ok(execution)
    })?;
    Ok(RollbackStageOutput {
        pipeline_execution_id: execution.id,
    })
}
