//! Deployments to a service: what they need, and why they fail.

use shapes::codepipeline::*;

use crate::support::*;
use PipelineExecutionStatus::{Failed, Succeeded};

async fn failure(change: impl FnOnce(&World), code: &str, words: &[&str]) {
    let world = World::new().await;
    change(&world);
    world.create(usual()).await;
    assert_eq!(world.ended(1).await[0].status, Some(Failed));
    let why = world
        .action("Deploy", "Service")
        .await
        .error_details
        .unwrap();
    assert_eq!(why.code.as_deref(), Some(code), "{why:?}");
    let message = why.message.unwrap();
    for word in words {
        assert!(message.contains(word), "{message}");
    }
    world.assert_clean().await;
}

fn file(name: &'static str, content: &'static str) -> impl FnOnce(&World) {
    move |world| {
        world.recipe(|it| {
            it.files.clear();
            it.files.insert(name.into(), content.into());
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_fails_in_aws_s_words() {
    failure(
        file("other.json", "[]"),
        "ConfigurationError",
        &[
            "Did not find the image definition file imagedefinitions.json",
            "bucket: artifacts key: shop/Image/",
        ],
    )
    .await;
    failure(
        file("imagedefinitions.json", "[{]"),
        "ConfigurationError",
        &["The image definition file imagedefinitions.json contains invalid JSON format"],
    )
    .await;
    failure(
        file(
            "imagedefinitions.json",
            r#"[{"name": "web", "imageUri": "a"}]"#,
        ),
        "ConfigurationError",
        &["The AWS ECS container web does not exist"],
    )
    .await;
    failure(
        |world| {
            let mut service = world.service();
            service.works = false;
            world.put(&service);
        },
        "JobFailed",
        &[
            "circuit breaker",
            "Essential container in task exited",
            "exit code 3",
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_is_named_by_its_arn_too() {
    let world = World::new().await;
    let mut pipeline = usual();
    pipeline["stages"][2]["actions"][0]["configuration"]["ServiceName"] =
        "arn:aws:ecs:us-east-1:000000000000:service/shop/web".into();
    world.create(pipeline).await;
    assert_eq!(world.ended(1).await[0].status, Some(Succeeded));
    let run = world.action("Deploy", "Service").await;
    assert_eq!(run.external_execution_id, Some(world.service().deployment));
}

#[tokio::test(start_paused = true)]
async fn a_project_or_service_that_is_not_there_fails_the_action() {
    let world = World::new().await;
    let mut pipeline = usual();
    pipeline["stages"][1]["actions"][0]["configuration"]["ProjectName"] = "nothing".into();
    world.create(pipeline).await;
    world.ended(1).await;
    let why = world.action("Build", "Image").await.error_details.unwrap();
    let message = why.message.unwrap();
    assert!(
        message.contains("Error calling startBuild: Cannot find project named: nothing"),
        "{message}"
    );

    let world = World::new().await;
    let mut pipeline = usual();
    pipeline["stages"][2]["actions"][0]["configuration"]["ServiceName"] = "nothing".into();
    world.create(pipeline).await;
    world.ended(1).await;
    let why = world
        .action("Deploy", "Service")
        .await
        .error_details
        .unwrap();
    assert!(why.message.unwrap().contains("'nothing' does not exist"));
}
