//! Deployments to a service: what they need, and why they fail.

use serde_json::{Value as Json, json};
use shapes::cloudformation::StackStatus;
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

fn stack(mode: &str) -> Json {
    let configuration = json!({
        "ActionMode": mode, "StackName": "web", "TemplatePath": "Code::web.yaml",
        "TemplateConfiguration": "Code::config.json", "Capabilities": "CAPABILITY_IAM",
        "RoleArn": "arn:aws:iam::000000000000:role/stack",
        "ParameterOverrides": r##"{
            "Key": {"Fn::GetArtifactAtt": ["Code", "ObjectKey"]},
            "Size": {"Fn::GetParam": ["Code", "sizes.json", "large"]},
            "Commit": "#{Source.CommitId}"
        }"##,
    });
    let mut it = action(
        "Stack",
        "Deploy/AWS/CloudFormation",
        configuration,
        &["Code"],
        &[],
    );
    it["namespace"] = "Stack".into();
    it
}

fn push_template(world: &World, template: &str) -> String {
    world.push_files(
        "main",
        &[
            ("web.yaml", template),
            (
                "config.json",
                r#"{"Parameters": {"Colour": "blue", "Size": "small"}, "Tags": {}}"#,
            ),
            ("sizes.json", r#"{"large": 5}"#),
        ],
    )
}

#[tokio::test(start_paused = true)]
async fn a_stack_is_made_and_changed() {
    let world = World::new().await;
    let commit = push_template(&world, "one");
    let mut look = approval();
    look["configuration"]["CustomData"] = "See #{Stack.Url}".into();
    let stages = [
        ("Source", vec![github_source()]),
        ("Deploy", vec![stack("CREATE_UPDATE")]),
        ("Look", vec![look]),
    ];
    world.create(pipeline(&stages)).await;
    let waits = async |world: &World| {
        let run = world.action("Look", "Look").await;
        run.token.map(|_| run.summary.unwrap())
    };
    assert_eq!(world.until(waits).await, "See http://web");
    let stack: FakeStack = world.get("web").unwrap();
    assert_eq!(stack.template, "one");
    assert_eq!(stack.parameters["Colour"], "blue");
    assert_eq!(stack.parameters["Size"], "5");
    assert_eq!(stack.parameters["Commit"], commit);
    assert!(stack.parameters["Key"].starts_with("shop/Code/"));
    // Nothing changes: that is no failure.
    world.start().await;
    let deployed = async |world: &World| {
        let runs = world.runs().await.into_iter();
        let done = runs.filter(|it| {
            it.action_name.as_deref() == Some("Stack")
                && it.status == Some(ActionExecutionStatus::Succeeded)
        });
        (done.count() == 2).then_some(())
    };
    world.until(deployed).await;
    push_template(&world, "two");
    world
        .until(async |world: &World| {
            let stack: FakeStack = world.get("web").unwrap();
            (stack.template == "two" && stack.status == StackStatus::UpdateComplete).then_some(())
        })
        .await;
}

/// Also while nobody has executed the first one, and the stack is still to be made.
#[tokio::test(start_paused = true)]
async fn a_change_set_is_replaced_by_the_next_execution() {
    let world = World::new().await;
    push_template(&world, "one");
    let mut propose = stack("CHANGE_SET_REPLACE");
    propose["configuration"]["ChangeSetName"] = "next".into();
    let stages = [
        ("Source", vec![github_source()]),
        ("Propose", vec![propose]),
    ];
    world.create(pipeline(&stages)).await;
    assert_eq!(world.ended(1).await[0].status, Some(Succeeded));
    push_template(&world, "two");
    assert_eq!(
        world.ended(2).await[0].status,
        Some(Succeeded),
        "{:#?}",
        world.runs().await
    );
    let proposed: FakeChangeSet = world.get("web").unwrap();
    assert_eq!(proposed.template, "two");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_fails_says_which_resource_failed_first() {
    let world = World::new().await;
    push_template(&world, "fail");
    let deploy = |mode: &str| {
        pipeline(&[
            ("Source", vec![github_source()]),
            ("Deploy", vec![stack(mode)]),
        ])
    };
    world.create(deploy("CREATE_UPDATE")).await;
    assert_eq!(world.ended(1).await[0].status, Some(Failed));
    let why = world.action("Deploy", "Stack").await.error_details.unwrap();
    let message = why.message.unwrap();
    assert!(
        message.contains("ROLLBACK_COMPLETE. Reason: Service: no such image"),
        "{message}"
    );
    // What failed is replaced, when that is asked for.
    let updated = wire::lenient(deploy("REPLACE_ON_FAILURE")).unwrap();
    world.call(UpdatePipelineInput { pipeline: updated }).await;
    push_template(&world, "good");
    assert_eq!(
        world.ended(2).await[0].status,
        Some(Succeeded),
        "{:#?}",
        world.runs().await
    );
    let stack: FakeStack = world.get("web").unwrap();
    assert_eq!(
        (stack.deleted, stack.status),
        (1, StackStatus::CreateComplete)
    );
    world.assert_clean().await;
}
