//! What people do to a stage: transitions into it, and approvals in it.

use cloud::{Cx, Error, Record};
use shapes::codepipeline::errors::*;
use shapes::codepipeline::*;

use crate::act::{failure, give_out};
use crate::actions::JOB_FAILED;
use crate::execution::caller_arn;
use crate::find;
use crate::record::{ActionRun, Pipeline, Transition, Work, timestamp};

pub async fn disable_stage_transition(
    cx: Cx,
    input: DisableStageTransitionInput,
) -> Result<DisableStageTransitionOutput, Error> {
    let disabled = Transition {
        enabled: false,
        changed_by: caller_arn(&cx),
        changed_ms: cx.clock().now_ms(),
        reason: Some(input.reason),
    };
    let place = (input.pipeline_name, input.stage_name);
    set(&cx, &place, input.transition_type, disabled)?;
    Ok(DisableStageTransitionOutput {})
}

pub async fn enable_stage_transition(
    cx: Cx,
    input: EnableStageTransitionInput,
) -> Result<EnableStageTransitionOutput, Error> {
    let enabled = Transition {
        enabled: true,
        changed_by: caller_arn(&cx),
        changed_ms: cx.clock().now_ms(),
        reason: None,
    };
    let place = (input.pipeline_name, input.stage_name);
    set(&cx, &place, input.transition_type, enabled)?;
    Ok(EnableStageTransitionOutput {})
}

/// The way into a stage, which is also the way out of the one before it.
fn set(
    cx: &Cx,
    (pipeline, stage): &(String, String),
    kind: StageTransitionType,
    transition: Transition,
) -> Result<(), Error> {
    cx.write(|tx| {
        let mut pipeline = find::pipeline(cx, tx, pipeline)?;
        let stages = &pipeline.declaration.stages;
        let named = stages.iter().position(|it| it.name == *stage);
        let concerned = match kind {
            StageTransitionType::Inbound => named,
            StageTransitionType::Outbound => named.map(|it| it + 1),
        };
        let concerned = concerned.and_then(|it| stages.get(it)).ok_or_else(|| {
            StageNotFoundException.because(format!(
                "Pipeline '{}' does not have such a transition of a stage '{stage}'",
                pipeline.name
            ))
        })?;
        let name = concerned.name.clone();
        pipeline.stages.entry(name).or_default().transition = Some(transition);
        tx.put(&pipeline)
    })
}

pub async fn put_approval_result(
    cx: Cx,
    input: PutApprovalResultInput,
) -> Result<PutApprovalResultOutput, Error> {
    let now_ms = cx.clock().now_ms();
    let pipeline = cx.write(|tx| {
        let pipeline = find::pipeline(&cx, tx, &input.pipeline_name)?;
        let memory = pipeline.stages.get(&input.stage_name).ok_or_else(|| {
            StageNotFoundException.because(format!(
                "Pipeline '{}' does not have a stage '{}'",
                pipeline.name, input.stage_name
            ))
        })?;
        let run: Option<ActionRun> = find::run(tx, memory.runs.get(&input.action_name))?;
        let mut run = run.ok_or_else(|| {
            ActionNotFoundException.because(format!(
                "The action '{}' of the stage '{}' waits for no approval",
                input.action_name, input.stage_name
            ))
        })?;
        match &run.work {
            Work::Approval { token } if *token == input.token => (),
            _ => {
                return Err(InvalidApprovalTokenException
                    .because("The approval token is not the one of the action's latest run"));
            }
        }
        if !run.is_running() {
            return Err(ApprovalAlreadyCompletedException
                .because("The approval action has already been approved, rejected or stopped"));
        }
        let summary = input.result.summary;
        run.updated_ms = now_ms;
        run.updated_by = Some(caller_arn(&cx));
        run.summary = Some(summary.clone());
        match input.result.status {
            ApprovalStatus::Approved => {
                run.status = ActionExecutionStatus::Succeeded;
                run.variables.insert("ApprovalSummary".into(), summary);
                give_out(tx, &run)?;
            }
            ApprovalStatus::Rejected => {
                run.status = ActionExecutionStatus::Failed;
                let by = run.updated_by.clone().unwrap_or_default();
                run.failure = Some(failure(JOB_FAILED, format!("Rejected by {by}: {summary}")));
            }
        }
        tx.put(&run)?;
        Ok(pipeline.key())
    })?;
    cx.cloud.converge.wake(Pipeline::KIND, pipeline);
    Ok(PutApprovalResultOutput {
        approved_at: Some(timestamp(now_ms)),
    })
}
