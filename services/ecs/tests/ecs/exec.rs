//! `ExecuteCommand`: who may be entered, and what a session's client comes with.

use std::sync::Arc;

use cloud::{Authority, Caller, Cx, Error, Needs};
use shapes::ecs::*;

use crate::support::*;

async fn started(world: &World, with_exec: bool) -> String {
    let mut input = run("web");
    input.enable_execute_command = Some(with_exec);
    input.overrides = Some(TaskOverride {
        task_role_arn: Some("execution".into()),
        ..Default::default()
    });
    let task = world.call(input).await.tasks.unwrap().remove(0);
    let arn = task.task_arn.unwrap();
    world.task_until(&arn, "RUNNING").await;
    arn
}

fn execute(task: &str) -> ExecuteCommandInput {
    ExecuteCommandInput {
        task: task.into(),
        command: "/bin/sh -c 'a b'".into(),
        interactive: true,
        ..Default::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_opened_by_its_token_once_and_soon() {
    let world = World::new().await;
    world.register(IMAGE).await;
    let arn = started(&world, true).await;
    let task = world.task(&arn).await;
    let agents = task.containers.unwrap().remove(0).managed_agents.unwrap();
    assert_eq!(agents[0].name, Some(ManagedAgentName::ExecuteCommandAgent));
    assert_eq!(agents[0].last_status.as_deref(), Some("RUNNING"));

    let answer = world.call(execute(&arn)).await;
    assert_eq!(answer.container_name.as_deref(), Some("web"));
    assert_eq!(answer.task_arn.as_deref(), Some(arn.as_str()));
    let session = answer.session.unwrap();
    let (id, token) = (session.session_id.unwrap(), session.token_value.unwrap());
    assert!(id.starts_with("ecs-execute-command-"), "{id}");
    let url = session.stream_url.unwrap();
    assert!(
        url.starts_with("ws://") && url.contains(&format!("/v1/data-channel/{id}?")),
        "{url}"
    );
    let open = |token: &str| ecs::open_session(&world.cloud, &id, token).unwrap();
    assert_eq!(open("another"), None);
    let opened = open(&token).unwrap();
    assert_eq!(opened.command.argv, ["/bin/sh", "-c", "a b"]);
    assert_eq!(opened.command.container, "web");
    assert_eq!(open(&token), None, "it is good once");

    let late = world.call(execute(&arn)).await.session.unwrap();
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    let late = ecs::open_session(
        &world.cloud,
        &late.session_id.unwrap(),
        &late.token_value.unwrap(),
    );
    assert_eq!(late.unwrap(), None, "it is good for a minute");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_entered_is_refused_in_awss_words() {
    let world = World::new().await;
    world.register(IMAGE).await;
    let refused = async |input: ExecuteCommandInput, code: &str, words: &str| {
        let error = world.err(input).await;
        assert!(
            error.code == code && error.message.contains(words),
            "{error:?}"
        );
    };
    let invalid = "InvalidParameterException";
    let closed = started(&world, false).await;
    let words = "execute command was not enabled when the task was run";
    refused(execute(&closed), invalid, words).await;
    let open = started(&world, true).await;
    let silent = ExecuteCommandInput {
        interactive: false,
        ..execute(&open)
    };
    refused(silent, invalid, "Interactive is the only mode supported").await;
    let elsewhere = ExecuteCommandInput {
        container: Some("db".into()),
        ..execute(&open)
    };
    refused(elsewhere, invalid, "container was not found").await;
    let unclosed = ExecuteCommandInput {
        command: "sh -c 'x".into(),
        ..execute(&open)
    };
    refused(unclosed, invalid, "a quote that is not closed").await;
    refused(execute(&"0".repeat(32)), invalid, "task was not found").await;

    // Tasks without a role of their own cannot be entered on AWS, which says so at once.
    let mut bare = run("web");
    bare.enable_execute_command = Some(true);
    let error = world.err(bare).await;
    assert!(
        error
            .message
            .contains("a valid taskRoleArn is not being used"),
        "{error:?}"
    );
    let mut service = create("web", "web", 1);
    service.enable_execute_command = Some(true);
    let error = world.err(service).await;
    assert!(
        error
            .message
            .contains("a valid taskRoleArn is not being used"),
        "{error:?}"
    );
}

/// Lets nobody speak to Session Manager.
struct Mute;

impl Authority for Mute {
    fn check(&self, cx: &Cx, _: &str, needs: &Needs) -> Result<(), Error> {
        let is_role = matches!(cx.caller, Caller::AssumedRole { .. });
        match needs
            .all
            .iter()
            .find(|it| it.action == "ssmmessages:OpenDataChannel")
        {
            Some(need) if is_role => Err(wire::codes::AccessDeniedException
                .because(format!("it is not authorized to perform: {}", need.action))),
            _ => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_role_may_not_speak_to_session_manager_is_not_connected() {
    let world = World::new().await;
    world.cloud.decide_by(Arc::new(Mute));
    world.register(IMAGE).await;
    let task = started(&world, true).await;
    let error = world.err(execute(&task)).await;
    assert_eq!(error.code, "TargetNotConnectedException");
    assert!(
        error.message.contains("ssmmessages:OpenDataChannel"),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn where_output_goes_that_is_not_built_is_refused() {
    let world = World::new().await;
    let configuration = |logging| ClusterConfiguration {
        execute_command_configuration: Some(ExecuteCommandConfiguration {
            logging: Some(logging),
        }),
    };
    let error = world
        .err(CreateClusterInput {
            cluster_name: Some("other".into()),
            configuration: Some(configuration(ExecuteCommandLogging::Override)),
            ..Default::default()
        })
        .await;
    assert!(error.message.contains("OVERRIDE"), "{error:?}");
    world
        .call(CreateClusterInput {
            cluster_name: Some("other".into()),
            configuration: Some(configuration(ExecuteCommandLogging::None)),
            ..Default::default()
        })
        .await;
}
