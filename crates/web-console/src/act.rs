//! What changes something: a verb on a thing, carried out by the same operation that AWS's command line asks for.

use cloud::{Cx, Error};
use http::StatusCode;
use shapes::codepipeline::{
    ApprovalResult, ApprovalStatus, PutApprovalResultInput, RetryStageExecutionInput,
    StageRetryMode, StartPipelineExecutionInput, StopPipelineExecutionInput,
};
use shapes::ecs::UpdateServiceInput;

use crate::asked::Asked;
use crate::facts::service;
use crate::reply::{self, Reply};

pub async fn answer(cx: &Cx, asked: &Asked, body: &[u8]) -> Reply {
    let done = match asked.parts()[..] {
        ["services", cluster, name, verb] => on_service(cx, cluster, name, (verb, body)).await,
        ["pipelines", name, verb] => on_pipeline(cx, name, (verb, asked)).await,
        _ => Ok(None),
    };
    match done {
        Ok(Some(said)) => {
            tracing::info!(what = said, "changed by the console");
            reply::plain(StatusCode::OK, &said)
        }
        Ok(None) => reply::plain(StatusCode::NOT_FOUND, "there is no such thing to do"),
        Err(error) => {
            let status = StatusCode::from_u16(error.status);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            reply::plain(status, &format!("{} ({})", error.message, error.code))
        }
    }
}

/// What was done, in a few words. None: there is no such verb.
async fn on_service(
    cx: &Cx,
    cluster: &str,
    name: &str,
    (verb, body): (&str, &[u8]),
) -> Result<Option<String>, Error> {
    let mut input = UpdateServiceInput {
        cluster: Some(cluster.to_owned()),
        service: name.to_owned(),
        ..Default::default()
    };
    let said = match verb {
        "force" => {
            input.force_new_deployment = Some(true);
            format!("{name} is deployed again")
        }
        "scale" => {
            let count = field(body, "count").and_then(|it| it.parse().ok());
            let Some(count) = count else {
                return Err(wire::codes::ValidationError.because("say how many tasks, as a number"));
            };
            input.desired_count = Some(count);
            format!("{name} is to have {count} tasks")
        }
        "rollback" => {
            let mut looking = cx.clone();
            looking.looks = true;
            let facts = service::gather(&looking, cluster, name).await?;
            let Some(previous) = facts.and_then(|it| it.previous) else {
                return Err(wire::codes::ValidationError
                    .because("no definition is known that ran before: name one with `aws ecs update-service`"));
            };
            let said = format!("{name} goes back to {previous}");
            input.task_definition = Some(previous);
            said
        }
        _ => return Ok(None),
    };
    cx.call(input).await?;
    Ok(Some(said))
}

async fn on_pipeline(
    cx: &Cx,
    name: &str,
    (verb, asked): (&str, &Asked),
) -> Result<Option<String>, Error> {
    let given = |field: &str| asked.field(field).unwrap_or_default().to_owned();
    Ok(Some(match verb {
        "start" => {
            let started = cx.call(StartPipelineExecutionInput {
                name: name.to_owned(),
                ..Default::default()
            });
            let id = started.await?.pipeline_execution_id.unwrap_or_default();
            format!("{name} runs: {id}")
        }
        "stop" => {
            cx.call(StopPipelineExecutionInput {
                pipeline_name: name.to_owned(),
                pipeline_execution_id: given("execution"),
                abandon: None,
                reason: Some("stopped in the console".to_owned()),
            })
            .await?;
            format!("{name} stops when what runs is done")
        }
        "retry" => {
            cx.call(RetryStageExecutionInput {
                pipeline_name: name.to_owned(),
                stage_name: given("stage"),
                pipeline_execution_id: given("execution"),
                retry_mode: StageRetryMode::FailedActions,
            })
            .await?;
            format!("what failed in {} runs again", given("stage"))
        }
        "approve" | "reject" => {
            let (status, word) = match verb {
                "approve" => (ApprovalStatus::Approved, "approved"),
                _ => (ApprovalStatus::Rejected, "rejected"),
            };
            cx.call(PutApprovalResultInput {
                pipeline_name: name.to_owned(),
                stage_name: given("stage"),
                action_name: given("step"),
                result: ApprovalResult {
                    summary: format!("{word} in the console"),
                    status,
                },
                token: given("token"),
            })
            .await?;
            format!("{} is {word}", given("step"))
        }
        _ => return Ok(None),
    }))
}

fn field(body: &[u8], name: &str) -> Option<String> {
    let fields = form_urlencoded::parse(body);
    let found = fields.into_iter().find(|it| it.0 == name);
    found.map(|it| it.1.into_owned())
}
