//! What execution roles are asked for before a task starts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cloud::{Authority, Caller, Cx, Error, Needs};
use shapes::ecs::*;

use crate::support::*;

/// Allows all but one action, and remembers what it was asked.
struct Rule {
    denied: &'static str,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Authority for Rule {
    fn check(&self, cx: &Cx, _service: &str, needs: &Needs) -> Result<(), Error> {
        assert!(
            matches!(&cx.caller, Caller::AssumedRole { role_arn, .. } if role_arn.ends_with(":role/execution"))
        );
        for need in &needs.all {
            self.asked.lock().unwrap().push(testkit::told(need));
            if need.action == self.denied {
                return Err(wire::codes::AccessDeniedException.because(format!(
                    "User: {} is not authorized to perform: {}",
                    cx.caller.arn(cx.account()),
                    need.action
                )));
            }
        }
        Ok(())
    }
}

/// The task of a container with a log, what was asked about it, and its cloud.
async fn start(denied: &'static str, status: &str) -> (Task, Vec<String>) {
    let world = World::new().await;
    let asked = Arc::<Mutex<Vec<String>>>::default();
    world.cloud.decide_by(Arc::new(Rule {
        denied,
        asked: asked.clone(),
    }));
    let mut definition = definition(IMAGE);
    definition.container_definitions[0].log_configuration = Some(LogConfiguration {
        log_driver: LogDriver::Awslogs,
        options: Some(
            HashMap::from([
                ("awslogs-group".to_owned(), "/web".to_owned()),
                ("awslogs-region".to_owned(), "us-east-1".to_owned()),
                ("awslogs-stream-prefix".to_owned(), "ecs".to_owned()),
            ])
            .into_iter()
            .collect(),
        ),
    });
    world.call(definition).await;
    let made = world.call(run("web")).await.tasks.unwrap().remove(0);
    let task = world.task_until(&made.task_arn.unwrap(), status).await;
    let asked = asked.lock().unwrap().clone();
    (task, asked)
}

#[tokio::test(start_paused = true)]
async fn an_execution_role_is_asked_for_images_and_logs() {
    let (task, asked) = start("nothing", "RUNNING").await;
    let id = task.task_arn.unwrap();
    let id = id.rsplit('/').next().unwrap();
    let repository = "arn:aws:ecr:us-east-1:000000000000:repository/web {?}";
    let stream =
        format!("arn:aws:logs:us-east-1:000000000000:log-group:/web:log-stream:ecs/web/{id}");
    for expected in [
        "ecr:GetAuthorizationToken *".to_owned(),
        format!("ecr:BatchGetImage {repository}"),
        format!("ecr:BatchCheckLayerAvailability {repository}"),
        format!("ecr:GetDownloadUrlForLayer {repository}"),
        format!("logs:PutLogEvents {stream} {{?}}"),
    ] {
        assert!(asked.contains(&expected), "{expected} of {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_execution_role_may_not_stops_the_task_in_awss_words() {
    let check = async |denied: &'static str, expected: &str| {
        let (task, _) = start(denied, "STOPPED").await;
        let reason = task.stopped_reason.unwrap_or_default();
        assert!(
            reason.starts_with(expected)
                && reason.contains(&format!("is not authorized to perform: {denied}"))
                && reason.contains(":assumed-role/execution/"),
            "{reason}"
        );
    };
    check(
        "ecr:GetAuthorizationToken",
        "ResourceInitializationError: unable to pull secrets or registry auth: ",
    )
    .await;
    for action in [
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchCheckLayerAvailability",
    ] {
        check(action, "CannotPullContainerError: pull image manifest ").await;
    }
    check(
        "logs:PutLogEvents",
        "ResourceInitializationError: failed to validate logger args: ",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_calls_touch_is_found_however_it_is_spelled() {
    let world = World::new().await;
    let mut tagged = definition(IMAGE);
    tagged.tags = Some(vec![Tag {
        key: Some("team".into()),
        value: Some("a".into()),
    }]);
    tagged.task_role_arn = Some("task".into());
    world.sim.images.add(IMAGE);
    let family = tagged.family.clone();
    world.call(tagged.clone()).await;
    let recorder = testkit::Recorder::watch(&world.cloud);
    let arn = "arn:aws:ecs:us-east-1:000000000000";
    let role = "arn:aws:iam::000000000000:role";
    for spelled in [
        family.clone(),
        format!("{family}:1"),
        format!("{arn}:task-definition/web:1"),
    ] {
        let lines = recorder.lines(&world.cx, run(&spelled)).await;
        assert_eq!(
            lines,
            [
                format!("ecs:RunTask {arn}:task-definition/web:1 {{team=a}}"),
                format!("iam:PassRole {role}/task to ecs-tasks.amazonaws.com"),
                format!("iam:PassRole {role}/execution to ecs-tasks.amazonaws.com"),
            ],
            "{spelled}"
        );
    }
    let mut other = run("web");
    other.overrides = Some(TaskOverride {
        task_role_arn: Some("admin".into()),
        ..Default::default()
    });
    let lines = recorder.lines(&world.cx, other).await;
    assert!(
        lines.contains(&format!(
            "iam:PassRole {role}/admin to ecs-tasks.amazonaws.com"
        )),
        "{lines:?}"
    );
    let passed = [
        format!("iam:PassRole {role}/task to ecs-tasks.amazonaws.com"),
        format!("iam:PassRole {role}/execution to ecs-tasks.amazonaws.com"),
    ];
    let passes = |lines: &[String]| -> Vec<String> {
        let passes = lines.iter().filter(|it| it.starts_with("iam:PassRole "));
        passes.cloned().collect()
    };
    let lines = recorder.lines(&world.cx, create("shop", "web:1", 0)).await;
    assert_eq!(passes(&lines), passed);
    let update = UpdateServiceInput {
        service: "shop".into(),
        task_definition: Some("web".into()),
        ..Default::default()
    };
    let lines = recorder.lines(&world.cx, update.clone()).await;
    assert_eq!(passes(&lines), passed);
    let fewer = UpdateServiceInput {
        task_definition: None,
        desired_count: Some(0),
        ..update
    };
    let lines = recorder.lines(&world.cx, fewer).await;
    assert!(passes(&lines).is_empty(), "{lines:?}");
    let lines = recorder.lines(&world.cx, tagged).await;
    assert_eq!(
        lines[0],
        format!("ecs:RegisterTaskDefinition any {arn}:task-definition/web:*")
    );
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (cluster, service) in [
        (None, "shop".to_owned()),
        (Some("default"), "shop".to_owned()),
        (
            Some("arn:aws:ecs:us-east-1:000000000000:cluster/default"),
            "shop".to_owned(),
        ),
        (None, format!("{arn}:service/default/shop")),
    ] {
        let delete = DeleteServiceInput {
            cluster: cluster.map(str::to_owned),
            service,
            ..Default::default()
        };
        let needs = recorder.needs(&world.cx, delete).await;
        assert_eq!(
            testkit::told(&needs.all[0]),
            format!("ecs:DeleteService {arn}:service/default/shop")
        );
        let key = testkit::key_of(&needs.all[0], "ecs:cluster").unwrap();
        assert_eq!(key, [format!("{arn}:cluster/default")]);
    }
}
