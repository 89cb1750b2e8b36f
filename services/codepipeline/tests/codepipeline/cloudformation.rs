//! The CloudFormation types, driven as CloudFormation drives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloud::{ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::codepipeline::*;

use crate::support::*;

fn request(logical_id: &str, properties: Json) -> ResourceRequest {
    ResourceRequest {
        tags: BTreeMap::from([("aws:cloudformation:stack-name".into(), "stack".into())]),
        ..testkit::request("stack", logical_id, properties)
    }
}

fn kind(world: &World, name: &str) -> Arc<dyn ResourceType> {
    world.cloud.resource_type(name).unwrap()
}

/// As templates write it: versions are numbers, `Ref` of a role is its name.
fn template() -> Json {
    let id = |category: &str, owner: &str, provider: &str| json!({"Category": category, "Owner": owner, "Version": 1, "Provider": provider});
    json!({
        "Name": "shop",
        "RoleArn": "pipeline",
        "ArtifactStore": {"Type": "S3", "Location": "artifacts"},
        "Stages": [
            {"Name": "Source", "Actions": [{
                "Name": "App", "ActionTypeId": id("Source", "ThirdParty", "GitHub"),
                "Configuration": {
                    "Owner": "acme", "Repo": "shop", "Branch": "main",
                    "OAuthToken": "secret-token", "PollForSourceChanges": true,
                },
                "OutputArtifacts": [{"Name": "Code"}], "RunOrder": 1,
            }]},
            {"Name": "Build", "Actions": [{
                "Name": "Image", "ActionTypeId": id("Build", "AWS", "CodeBuild"),
                "Configuration": {"ProjectName": "image"},
                "InputArtifacts": [{"Name": "Code"}], "OutputArtifacts": [{"Name": "Image"}],
                "RunOrder": "1",
            }]},
            {"Name": "Deploy", "Actions": [{
                "Name": "Service", "ActionTypeId": id("Deploy", "AWS", "ECS"),
                "Configuration": {
                    "ClusterName": "shop", "FileName": "imagedefinitions.json",
                    "ServiceName": "arn:aws:ecs:us-east-1:000000000000:service/shop/web",
                },
                "InputArtifacts": [{"Name": "Image"}],
            }]},
        ],
    })
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_comes_changes_and_goes_with_its_stack() {
    let world = World::new().await;
    let pipelines = kind(&world, "AWS::CodePipeline::Pipeline");
    let first = request("Pipeline", template());
    for _ in 0..2 {
        let made = pipelines.create(&world.cx, &first).await.unwrap();
        assert_eq!(made.physical_id, "shop");
    }
    let all = world.ended(1).await;
    assert_eq!(
        all[0].status,
        Some(PipelineExecutionStatus::Succeeded),
        "{:#?}",
        world.runs().await
    );
    let version = async || {
        pipelines
            .attribute(&world.cx, "shop", "Version")
            .await
            .unwrap()
    };
    assert_eq!(version().await, "1");

    // A change that changes nothing of the pipeline makes no version.
    let mut second = request("Pipeline2", template());
    second.properties["Tags"] = json!([{"Key": "a", "Value": "b"}]);
    second.properties["DisableInboundStageTransitions"] =
        json!([{"StageName": "Deploy", "Reason": "later"}]);
    pipelines
        .update(&world.cx, "shop", &first.properties, &second)
        .await
        .unwrap();
    assert_eq!(version().await, "1");
    assert_eq!(
        world.state().await[2]
            .inbound_transition_state
            .clone()
            .unwrap()
            .enabled,
        Some(false)
    );
    let resource_arn = "arn:aws:codepipeline:us-east-1:000000000000:shop".to_owned();
    let input = ListTagsForResourceInput {
        resource_arn,
        ..Default::default()
    };
    assert_eq!(world.call(input).await.tags.unwrap().len(), 2);

    let mut third = request("Pipeline3", template());
    third.properties["RestartExecutionOnUpdate"] = true.into();
    third.properties["Stages"][2]["Actions"][0]["Configuration"]["DeploymentTimeout"] = 10.into();
    for _ in 0..2 {
        pipelines
            .update(&world.cx, "shop", &second.properties, &third)
            .await
            .unwrap();
    }
    assert_eq!(world.ended(2).await.len(), 2);
    pipelines
        .delete(&world.cx, "shop", &third.properties)
        .await
        .unwrap();
    pipelines
        .delete(&world.cx, "shop", &third.properties)
        .await
        .unwrap();
    let input = GetPipelineInput {
        name: "shop".into(),
        version: None,
    };
    assert!(world.err(input).await.is(errors::PipelineNotFoundException));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_has_an_address() {
    let world = World::new().await;
    world.create(usual()).await;
    let webhooks = kind(&world, "AWS::CodePipeline::Webhook");
    let asked = request(
        "Hook",
        json!({
            "Authentication": "GITHUB_HMAC",
            "AuthenticationConfiguration": {"SecretToken": "hush"},
            "Filters": [{"JsonPath": "$.ref", "MatchEquals": "refs/heads/{Branch}"}],
            "TargetAction": "App", "TargetPipeline": "shop", "TargetPipelineVersion": 1,
            "RegisterWithThirdParty": true,
        }),
    );
    let name = webhooks
        .create(&world.cx, &asked)
        .await
        .unwrap()
        .physical_id;
    assert_eq!(
        webhooks
            .create(&world.cx, &asked)
            .await
            .unwrap()
            .physical_id,
        name
    );
    assert!(name.starts_with("stack-Hook-"), "{name}");
    let url = webhooks.attribute(&world.cx, &name, "Url").await.unwrap();
    let url = url.as_str().unwrap();
    assert!(
        url.starts_with("http://127.0.0.1:4566/_neargate/webhooks/"),
        "{url}"
    );
    webhooks
        .delete(&world.cx, &name, &asked.properties)
        .await
        .unwrap();
    let left = world
        .call(ListWebhooksInput::default())
        .await
        .webhooks
        .unwrap();
    assert!(left.is_empty());
}
