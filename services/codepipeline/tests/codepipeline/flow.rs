//! Executions: through the stages, superseded, stopped, retried, approved.

use serde_json::json;
use shapes::codepipeline::*;

use crate::support::*;
use PipelineExecutionStatus::{Failed, InProgress, Stopped, Succeeded, Superseded};

#[tokio::test(start_paused = true)]
async fn a_new_pipeline_runs_at_once_and_with_every_push() {
    let world = World::new().await;
    let first = world.push("main", "puts 2");
    world.create(usual()).await;
    let all = world.ended(1).await;
    assert_eq!(all[0].status, Some(Succeeded), "{:#?}", world.runs().await);
    let trigger = all[0].trigger.clone().unwrap();
    assert_eq!(trigger.trigger_type, Some(TriggerType::CreatePipeline));
    let revision = all[0].source_revisions.clone().unwrap().remove(0);
    assert_eq!(revision.revision_id.as_deref(), Some(first.as_str()));
    assert_eq!(
        revision.revision_url,
        Some(format!("https://github.com/acme/shop/commit/{first}"))
    );
    assert_eq!(world.image(), format!("repo:{first}"));
    // The build was told what it builds, and got it.
    let build: FakeBuild = world.all().remove(0);
    assert_eq!(build.variables["COMMIT"], first);
    assert_eq!(build.variables["CODEBUILD_INITIATOR"], "codepipeline/shop");
    let source: FakeObject = world.get(&build.source).unwrap();
    let files = sim::SimWorkspaces::files(source.body.as_bytes()).unwrap();
    assert_eq!(files["app.rb"], "puts 2");
    assert!(
        build.source.starts_with("artifacts/shop/Code/"),
        "{}",
        build.source
    );

    let second = world.push("main", "puts 3");
    let all = world.ended(2).await;
    assert_eq!(all[0].status, Some(Succeeded));
    let trigger = all[0].trigger.clone().unwrap();
    assert_eq!(
        trigger.trigger_type,
        Some(TriggerType::PollForSourceChanges)
    );
    assert_eq!(world.image(), format!("repo:{second}"));
    // A push to another branch is nobody's.
    world.push("other", "puts 4");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(world.executions().await.len(), 2);
    world.assert_clean().await;
}

/// A pipeline acts with its role as long as the role trusts CodePipeline: not only when it is put.
#[tokio::test(start_paused = true)]
async fn a_role_that_trusts_nobody_any_more_is_not_acted_with() {
    let world = World::new().await;
    world.create(usual()).await;
    let all = world.ended(1).await;
    assert_eq!(all[0].status, Some(Succeeded));
    let role = "pipeline".to_owned();
    (world.cx.write(|tx| tx.put(&FakeDistrust { role }))).unwrap();
    let name = "shop".to_owned();
    world
        .call(StartPipelineExecutionInput {
            name,
            ..Default::default()
        })
        .await;
    let all = world.ended(2).await;
    assert_eq!(all[0].status, Some(Failed));
    let state = format!("{:?}", world.state().await);
    let refused = format!(
        "CodePipeline is not authorized to perform AssumeRole on role {ROLE}: the role {ROLE} does not trust codepipeline.amazonaws.com"
    );
    assert!(state.contains(&refused), "{state}");
    assert!(state.contains("PermissionError"), "{state}");
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_is_complete_and_holds_no_secret() {
    let world = World::new().await;
    world.create(usual()).await;
    world.ended(1).await;
    let name = "shop".to_owned();
    let shown = world
        .call(GetPipelineInput {
            name,
            version: None,
        })
        .await;
    let runs = world.runs().await;
    let text = format!("{shown:?}{runs:?}{:?}", world.state().await);
    assert!(!text.contains("secret-token"), "{text}");
    let source = &shown.pipeline.unwrap().stages[0].actions[0];
    assert_eq!(source.configuration.as_ref().unwrap()["OAuthToken"], "****");
    assert_eq!(
        runs.iter()
            .map(|it| it.action_name.clone().unwrap())
            .collect::<Vec<_>>(),
        ["Service", "Image", "App"]
    );
    let image = &runs[1];
    let output = image.output.clone().unwrap();
    assert_eq!(
        output.output_artifacts.unwrap()[0].name.as_deref(),
        Some("Image")
    );
    assert!(output.output_variables.unwrap().contains_key("TAG"));
    let input = image.input.clone().unwrap();
    let declared = &input.configuration.unwrap()["EnvironmentVariables"];
    assert!(declared.contains("#{Source.CommitId}"));
    assert!(!input.resolved_configuration.unwrap()["EnvironmentVariables"].contains("#{"));
    let state = world.state().await;
    let revision = state[0].action_states.as_ref().unwrap()[0]
        .current_revision
        .clone();
    assert_eq!(revision.unwrap().revision_id.len(), 40);
    for stage in &state {
        let latest = stage.latest_execution.as_ref().unwrap();
        assert_eq!(latest.status, StageExecutionStatus::Succeeded);
        assert_eq!(
            stage.inbound_transition_state.as_ref().unwrap().enabled,
            Some(true)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_makes_a_version() {
    let world = World::new().await;
    world.create(usual()).await;
    world.ended(1).await;
    let shown = world
        .call(GetPipelineInput {
            name: "shop".into(),
            version: None,
        })
        .await;
    let pipeline = shown.pipeline.unwrap();
    let updated = world.call(UpdatePipelineInput { pipeline }).await;
    assert_eq!(updated.pipeline.unwrap().version, Some(2));
    let id = world.start().await;
    world.ended(2).await;
    assert_eq!(world.status(&id).await, Succeeded);
    let old = GetPipelineInput {
        name: "shop".into(),
        version: Some(1),
    };
    assert_eq!(world.call(old).await.pipeline.unwrap().version, Some(1));
}

#[tokio::test(start_paused = true)]
async fn newer_executions_supersede_those_that_wait() {
    let world = World::new().await;
    world.recipe(|it| it.hold = true);
    world.create(usual()).await;
    let in_build = async |world: &World| {
        let run = world.action("Build", "Image").await;
        (run.status == Some(ActionExecutionStatus::InProgress)).then_some(())
    };
    world.until(in_build).await;
    let second = world.start().await;
    let waits = |id: String| {
        async move |world: &World| {
            let inbound = world.state().await[1].inbound_execution.clone();
            inbound
                .is_some_and(|it| it.pipeline_execution_id == id)
                .then_some(())
        }
    };
    world.until(waits(second.clone())).await;
    let third = world.start().await;
    world.until(waits(third.clone())).await;
    assert_eq!(world.status(&second).await, Superseded);
    assert_eq!(world.status(&third).await, InProgress);
    world.recipe(|it| it.hold = false);
    let all = world.ended(3).await;
    let statuses: Vec<_> = all.iter().map(|it| it.status.unwrap()).collect();
    assert_eq!(statuses, [Succeeded, Superseded, Succeeded]);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_transition_lets_nothing_in_and_says_why() {
    let world = World::new().await;
    world.create(usual()).await;
    world.ended(1).await;
    world
        .call(DisableStageTransitionInput {
            pipeline_name: "shop".into(),
            stage_name: "Deploy".into(),
            transition_type: StageTransitionType::Inbound,
            reason: "Not on Fridays".into(),
        })
        .await;
    let before = world.image();
    let id = world.start().await;
    world
        .until(async |world| world.state().await[2].inbound_execution.clone())
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    assert_eq!(world.status(&id).await, InProgress);
    assert_eq!(world.image(), before);
    let transition = world.state().await[2]
        .inbound_transition_state
        .clone()
        .unwrap();
    assert_eq!(transition.enabled, Some(false));
    assert_eq!(
        transition.disabled_reason.as_deref(),
        Some("Not on Fridays")
    );
    // The way out of the stage before is the same way.
    world
        .call(EnableStageTransitionInput {
            pipeline_name: "shop".into(),
            stage_name: "Build".into(),
            transition_type: StageTransitionType::Outbound,
        })
        .await;
    world.ended(2).await;
    assert_eq!(world.status(&id).await, Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_failed_stage_is_retried_with_what_succeeded_kept() {
    let world = World::new().await;
    world.recipe(|it| it.succeeds = false);
    world.create(usual()).await;
    let all = world.ended(1).await;
    assert_eq!(all[0].status, Some(Failed));
    let why = world.action("Build", "Image").await.error_details.unwrap();
    assert_eq!(why.code.as_deref(), Some("JobFailed"));
    let message = why.message.unwrap();
    assert!(
        message.contains("COMMAND_EXECUTION_ERROR") && message.contains("exit status 1"),
        "{message}"
    );
    let id = all[0].pipeline_execution_id.clone().unwrap();
    let retry = |stage: &str| RetryStageExecutionInput {
        pipeline_name: "shop".into(),
        stage_name: stage.into(),
        pipeline_execution_id: id.clone(),
        retry_mode: StageRetryMode::FailedActions,
    };
    let refused = world.err(retry("Source")).await;
    assert!(refused.is(errors::StageNotRetryableException), "{refused}");
    let refused = world.err(retry("Nothing")).await;
    assert!(refused.is(errors::StageNotFoundException), "{refused}");
    world.recipe(|it| it.succeeds = true);
    world.call(retry("Build")).await;
    let all = world.ended(1).await;
    assert_eq!(all[0].status, Some(Succeeded));
    let retried = world.state().await[1].retry_stage_metadata.clone().unwrap();
    assert_eq!(retried.manual_stage_retry_attempt, Some(1));
    // One run of the source, two of the build.
    assert_eq!(world.runs().await.len(), 4);
    let refused = world.err(retry("Build")).await;
    assert!(refused.is(errors::StageNotRetryableException), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn an_execution_is_stopped_after_its_actions_or_at_once() {
    let world = World::new().await;
    world.recipe(|it| it.hold = true);
    world.create(usual()).await;
    let in_build = async |world: &World| {
        let run = world.action("Build", "Image").await;
        (run.status == Some(ActionExecutionStatus::InProgress)).then_some(())
    };
    world.until(in_build).await;
    let id = world.executions().await[0]
        .pipeline_execution_id
        .clone()
        .unwrap();
    let stop = |abandon| StopPipelineExecutionInput {
        pipeline_name: "shop".into(),
        pipeline_execution_id: id.clone(),
        abandon: Some(abandon),
        reason: Some("Wrong version".into()),
    };
    world.call(stop(false)).await;
    assert_eq!(world.status(&id).await, PipelineExecutionStatus::Stopping);
    let refused = world.err(stop(false)).await;
    assert!(
        refused.is(errors::DuplicatedStopRequestException),
        "{refused}"
    );
    world.call(stop(true)).await;
    let all = world.ended(1).await;
    assert_eq!(all[0].status, Some(Stopped));
    let reason = all[0].stop_trigger.clone().unwrap().reason;
    assert_eq!(reason.as_deref(), Some("Wrong version"));
    let run = world.action("Build", "Image").await;
    assert_eq!(run.status, Some(ActionExecutionStatus::Abandoned));
    let refused = world.err(stop(true)).await;
    assert!(
        refused.is(errors::PipelineExecutionNotStoppableException),
        "{refused}"
    );

    // Waiting for actions to end, the build that runs is let finish and nothing follows.
    let id = world.start().await;
    world.until(in_build).await;
    world
        .call(StopPipelineExecutionInput {
            pipeline_name: "shop".into(),
            pipeline_execution_id: id.clone(),
            ..Default::default()
        })
        .await;
    world.recipe(|it| it.hold = false);
    world.ended(2).await;
    assert_eq!(world.status(&id).await, Stopped);
    let run = world.action("Build", "Image").await;
    assert_eq!(run.status, Some(ActionExecutionStatus::Succeeded));
    assert_eq!(world.image(), "repo:old");
}

fn with_approval() -> serde_json::Value {
    pipeline(&[
        ("Source", vec![github_source()]),
        ("Build", vec![build()]),
        ("Approve", vec![approval()]),
        ("Deploy", vec![deploy()]),
    ])
}

fn result(token: &str, status: ApprovalStatus) -> PutApprovalResultInput {
    PutApprovalResultInput {
        pipeline_name: "shop".into(),
        stage_name: "Approve".into(),
        action_name: "Look".into(),
        result: ApprovalResult {
            summary: "I looked".into(),
            status,
        },
        token: token.into(),
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deployed_before_it_is_approved() {
    let world = World::new().await;
    world.create(with_approval()).await;
    let token = async |world: &World| world.action("Approve", "Look").await.token;
    let first = world.until(token).await;
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    assert_eq!(world.image(), "repo:old");
    let refused = world
        .err(result(
            "00000000-0000-0000-0000-000000000000",
            ApprovalStatus::Approved,
        ))
        .await;
    assert!(
        refused.is(errors::InvalidApprovalTokenException),
        "{refused}"
    );
    world.call(result(&first, ApprovalStatus::Rejected)).await;
    let all = world.ended(1).await;
    assert_eq!(all[0].status, Some(Failed));
    let run = world.action("Approve", "Look").await;
    assert!(
        run.error_details
            .unwrap()
            .message
            .unwrap()
            .contains("I looked")
    );
    let refused = world.err(result(&first, ApprovalStatus::Approved)).await;
    assert!(
        refused.is(errors::ApprovalAlreadyCompletedException),
        "{refused}"
    );

    // Asked again, the token is another.
    let id = all[0].pipeline_execution_id.clone().unwrap();
    world
        .call(RetryStageExecutionInput {
            pipeline_name: "shop".into(),
            stage_name: "Approve".into(),
            pipeline_execution_id: id.clone(),
            retry_mode: StageRetryMode::FailedActions,
        })
        .await;
    let second = world.until(token).await;
    assert_ne!(first, second);
    world.call(result(&second, ApprovalStatus::Approved)).await;
    world.ended(1).await;
    assert_eq!(world.status(&id).await, Succeeded);
    assert_ne!(world.image(), "repo:old");
}

#[tokio::test(start_paused = true)]
async fn an_approval_that_nobody_gives_fails_in_its_time() {
    let world = World::new().await;
    let mut pipeline = with_approval();
    pipeline["stages"][2]["actions"][0]["timeoutInMinutes"] = 5.into();
    world.create(pipeline).await;
    world
        .until(async |world| world.action("Approve", "Look").await.token)
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(301)).await;
    let all = world.ended(1).await;
    assert_eq!(all[0].status, Some(Failed));
    let why = world.action("Approve", "Look").await.error_details.unwrap();
    assert!(why.message.unwrap().contains("timed out"));
}

#[tokio::test(start_paused = true)]
async fn queued_executions_run_one_after_another() {
    let world = World::new().await;
    let mut pipeline = usual();
    pipeline["pipelineType"] = "V2".into();
    pipeline["executionMode"] = "QUEUED".into();
    world.create(pipeline).await;
    for _ in 0..3 {
        world.start().await;
    }
    let all = world.ended(4).await;
    assert!(
        all.iter().all(|it| it.status == Some(Succeeded)),
        "{all:#?}"
    );
    let ends: Vec<f64> = all
        .iter()
        .map(|it| it.last_update_time.unwrap().0)
        .collect();
    assert!(ends.is_sorted_by(|newer, older| newer >= older), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stage_is_rolled_back_to_what_an_earlier_execution_deployed() {
    let world = World::new().await;
    let mut pipeline = usual();
    pipeline["pipelineType"] = "V2".into();
    pipeline["variables"] = json!([{ "name": "Colour", "defaultValue": "blue" }]);
    world.create(pipeline).await;
    let first = world.ended(1).await[0]
        .pipeline_execution_id
        .clone()
        .unwrap();
    let before = world.image();
    world.push("main", "puts 5");
    world.ended(2).await;
    assert_ne!(world.image(), before);
    let rolled = world
        .call(RollbackStageInput {
            pipeline_name: "shop".into(),
            stage_name: "Deploy".into(),
            target_pipeline_execution_id: first.clone(),
        })
        .await;
    world.ended(3).await;
    assert_eq!(world.image(), before);
    let input = GetPipelineExecutionInput {
        pipeline_name: "shop".into(),
        pipeline_execution_id: rolled.pipeline_execution_id,
    };
    let shown = world.call(input).await.pipeline_execution.unwrap();
    assert_eq!(shown.execution_type, Some(ExecutionType::Rollback));
    let target = shown
        .rollback_metadata
        .unwrap()
        .rollback_target_pipeline_execution_id;
    assert_eq!(target, Some(first));
    assert_eq!(
        shown.variables.unwrap()[0].resolved_value.as_deref(),
        Some("blue")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_is_gone_and_its_name_is_free() {
    let world = World::new().await;
    world.create(usual()).await;
    world.ended(1).await;
    let name = "shop".to_owned();
    world.call(DeletePipelineInput { name: name.clone() }).await;
    world.call(DeletePipelineInput { name: name.clone() }).await;
    let refused = world.err(GetPipelineStateInput { name }).await;
    assert!(refused.is(errors::PipelineNotFoundException), "{refused}");
    world.create(usual()).await;
    assert_eq!(world.ended(1).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn artifacts_are_encrypted_by_the_pipelines_key() {
    let world = World::new().await;
    let mut pipeline = usual();
    pipeline["artifactStore"]["encryptionKey"] = json!({"id": "alias/own", "type": "KMS"});
    world.create(pipeline).await;
    assert_eq!(world.ended(1).await[0].status, Some(Succeeded));
    let build: FakeBuild = world.all().remove(0);
    assert_eq!(build.kms_key.as_deref(), Some("alias/own"));
    let source: FakeObject = world.get(&build.source).unwrap();
    assert_eq!(source.kms_key.as_deref(), Some("alias/own"));
}
