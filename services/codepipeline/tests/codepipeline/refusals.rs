//! Structures that cannot work, or that would need what is not built.

use serde_json::{Value as Json, json};
use shapes::codepipeline::*;

use crate::support::*;

async fn refused(change: impl FnOnce(&mut Json), code: wire::ErrorCode, words: &str) {
    let world = World::new().await;
    let mut wrong = usual();
    change(&mut wrong);
    let error = match wire::lenient(wrong) {
        Ok(pipeline) => {
            let input = CreatePipelineInput {
                pipeline,
                tags: None,
            };
            world.err(input).await
        }
        Err(error) => wire::forbidden(&MODEL, "CreatePipeline", &error),
    };
    assert!(error.is(code), "{}: {error}", error.code);
    assert!(error.message.contains(words), "{error}");
    // Nothing was made.
    let all = world
        .call(ListPipelinesInput::default())
        .await
        .pipelines
        .unwrap();
    assert!(all.is_empty());
}

use errors::{
    InvalidActionDeclarationException as Action, InvalidStageDeclarationException as Stage,
    InvalidStructureException as Structure,
};

#[tokio::test(start_paused = true)]
async fn a_structure_that_cannot_work_is_refused() {
    refused(
        |it| it["stages"] = json!([it["stages"][0]]),
        Structure,
        "only 1 stage(s)",
    )
    .await;
    refused(
        |it| it["stages"].as_array_mut().unwrap().swap(0, 1),
        Structure,
        "is not the output of an action that runs before it",
    )
    .await;
    refused(
        |it| it["stages"][2]["name"] = "Build".into(),
        Structure,
        "unique",
    )
    .await;
    refused(
        |it| it["stages"][1]["actions"] = json!([build(), build()]),
        Stage,
        "Image has been used more than once in stage Build",
    )
    .await;
    refused(
        |it| it["stages"][0]["actions"] = json!([github_source(), approval()]),
        Structure,
        "should start with a stage that only contains source actions",
    )
    .await;
    refused(
        |it| it["stages"][2]["actions"][0]["inputArtifacts"] = json!([{"name": "Nothing"}]),
        Structure,
        "Nothing in action Service of stage Deploy",
    )
    .await;
    refused(
        |it| it["stages"][2]["actions"][0]["inputArtifacts"] = json!([]),
        Action,
        "declares 0 input artifacts",
    )
    .await;
    refused(
        |it| it["stages"][2]["actions"][0]["configuration"] = json!({"ClusterName": "shop"}),
        Action,
        "missing required configuration 'ServiceName'",
    )
    .await;
    refused(
        |it| it["stages"][2]["actions"][0]["configuration"]["Colour"] = "blue".into(),
        Action,
        "unknown configuration 'Colour'",
    )
    .await;
    refused(
        |it| it["stages"][1]["actions"][0]["configuration"]["EnvironmentVariables"] = "{".into(),
        Action,
        "EnvironmentVariables",
    )
    .await;
    refused(
        |it| {
            it["stages"][1]["actions"][0]["configuration"]["EnvironmentVariables"] =
                r##"[{"name": "A", "value": "#{Other.B}"}]"##.into();
        },
        Action,
        "refers to the namespace 'Other'",
    )
    .await;
    refused(
        |it| it["roleArn"] = "arn:aws:iam::000000000000:role/nobody".into(),
        Structure,
        "nobody does not exist",
    )
    .await;
    refused(
        |it| it["roleArn"] = "arn:aws:iam::000000000000:role/other".into(),
        Structure,
        "does not trust codepipeline.amazonaws.com",
    )
    .await;
    // Trust depends on more than the service: on which pipeline it is, for instance.
    refused(
        |it| it["roleArn"] = "arn:aws:iam::000000000000:role/elsewhere".into(),
        Structure,
        "does not trust codepipeline.amazonaws.com",
    )
    .await;
    refused(
        |it| it["executionMode"] = "QUEUED".into(),
        Structure,
        "type V2",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_built_is_refused_by_name() {
    for kind in [
        "Invoke/AWS/Lambda",
        "Invoke/AWS/StepFunctions",
        "Deploy/AWS/CodeDeploy",
        "Deploy/AWS/CodeDeployToECS",
        "Deploy/AWS/ElasticBeanstalk",
        "Build/Custom/Jenkins",
        "Test/Custom/Mine",
        "Compute/AWS/Commands",
    ] {
        let provider = kind.rsplit('/').next().unwrap();
        refused(
            |it| {
                it["stages"][2]["actions"] = json!([action("It", kind, json!({}), &["Image"], &[])])
            },
            Action,
            &format!("Provider: '{provider}'"),
        )
        .await;
    }
    for (member, value) in [
        ("beforeEntry", json!({"conditions": [{"result": "FAIL"}]})),
        ("onFailure", json!({"result": "ROLLBACK"})),
        ("onSuccess", json!({"conditions": [{"result": "FAIL"}]})),
        ("blockers", json!([{"name": "a", "type": "Schedule"}])),
    ] {
        refused(|it| it["stages"][2][member] = value, Structure, member).await;
    }
    refused(
        |it| it["stages"][2]["actions"][0]["region"] = "eu-west-1".into(),
        Action,
        "another region",
    )
    .await;
    refused(
        |it| {
            let mut look = approval();
            look["configuration"]["NotificationArn"] = "arn:aws:sns:us-east-1:0:a".into();
            it["stages"][2]["actions"] = json!([look]);
        },
        Action,
        "NotificationArn",
    )
    .await;
}
