//! The template of `neargate up` over the real services and a simulated machine.

mod forms;
mod wild;

use std::ops::Deref;
use std::time::{Duration, Instant};

use shapes::cloudformation as api;

const TEMPLATE: &str = include_str!("../../../../crates/neargate/src/templates/application.yaml");
const REGION: &str = "us-east-1";

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    fn start() -> Self {
        let world = testkit::world([
            cloudformation::service(),
            cloudwatch_logs::service(),
            ec2::service(),
            ecs::service(),
            elbv2::service(),
            iam::service(),
            iam::sts_service(),
        ]);
        let world = world.run();
        let sim = &world.sim;
        sim.images
            .add("000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1");
        sim.images
            .add("000000000000.dkr.ecr.us-east-1.amazonaws.com/web:2");
        sim.edge.set_default_state(engine::TargetState::Healthy);
        Self(world)
    }

    async fn stack(&self, id: &str) -> api::Stack {
        let input = api::DescribeStacksInput {
            stack_name: Some(id.into()),
            ..Default::default()
        };
        self.cx.call(input).await.unwrap().stacks.unwrap().remove(0)
    }

    async fn ends(&self, id: &str, status: &str) -> api::Stack {
        let begin = Instant::now();
        loop {
            let stack = self.stack(id).await;
            let is_resting = !stack.stack_status.as_str().ends_with("_IN_PROGRESS");
            if is_resting || begin.elapsed() > Duration::from_secs(60) {
                assert_eq!(
                    stack.stack_status.as_str(),
                    status,
                    "{:#?} {:#?}",
                    self.events(id).await,
                    self.service().await
                );
                return stack;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What ECS says of the service, if it is still there.
    async fn service(&self) -> Vec<String> {
        let input = shapes::ecs::DescribeServicesInput {
            cluster: Some("web".into()),
            services: vec!["web".into()],
            ..Default::default()
        };
        let services = self
            .cx
            .call(input)
            .await
            .unwrap_or_default()
            .services
            .unwrap_or_default();
        let events = services
            .into_iter()
            .flat_map(|it| it.events.unwrap_or_default());
        events.filter_map(|it| it.message).collect()
    }

    async fn events(&self, id: &str) -> Vec<String> {
        let input = api::DescribeStackEventsInput {
            stack_name: id.into(),
            ..Default::default()
        };
        let events = self.cx.call(input).await.unwrap().stack_events.unwrap();
        (events.into_iter().rev())
            .map(|it| {
                format!(
                    "{} {} {}",
                    it.logical_resource_id.unwrap(),
                    it.resource_status.unwrap(),
                    it.resource_status_reason.unwrap_or_default()
                )
            })
            .collect()
    }
}

fn parameters(image: &str, count: &str) -> Option<Vec<api::Parameter>> {
    let pairs = [("Name", "web"), ("Image", image), ("Count", count)];
    let parameter = |(key, value): (&str, &str)| api::Parameter {
        parameter_key: Some(key.into()),
        parameter_value: Some(value.into()),
        ..Default::default()
    };
    Some(pairs.map(parameter).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_comes_changes_and_goes() {
    let world = World::start();
    let input = api::CreateStackInput {
        stack_name: "web".into(),
        template_body: Some(TEMPLATE.into()),
        parameters: parameters("000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1", "2"),
        capabilities: Some(vec![api::Capability::CapabilityIam]),
        ..Default::default()
    };
    let id = world.cx.call(input).await.unwrap().stack_id.unwrap();
    let stack = world.ends(&id, "CREATE_COMPLETE").await;
    assert_eq!(world.sim.tasks.running().len(), 2);
    let outputs = stack.outputs.unwrap();
    let url = outputs
        .iter()
        .find(|it| it.output_key.as_deref() == Some("Url"))
        .unwrap();
    assert!(
        url.output_value
            .as_ref()
            .unwrap()
            .starts_with("http://web-"),
        "{url:?}"
    );
    for (image, count, changed) in [
        (
            "000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1",
            "3",
            vec!["Service"],
        ),
        (
            "000000000000.dkr.ecr.us-east-1.amazonaws.com/web:2",
            "3",
            vec!["Service", "TaskDefinition"],
        ),
    ] {
        let before = world.events(&id).await.len();
        let input = api::UpdateStackInput {
            stack_name: "web".into(),
            use_previous_template: Some(true),
            parameters: parameters(image, count),
            capabilities: Some(vec![api::Capability::CapabilityIam]),
            ..Default::default()
        };
        world.cx.call(input.clone()).await.unwrap();
        world.ends(&id, "UPDATE_COMPLETE").await;
        assert_eq!(world.sim.tasks.running().len(), 3);
        let events = world.events(&id).await;
        let mut seen: Vec<&str> = events[before..]
            .iter()
            .filter(|it| it.contains(" UPDATE_COMPLETE"))
            .map(|it| it.split(' ').next().unwrap())
            .collect();
        seen.retain(|it| *it != "web");
        seen.sort_unstable();
        assert_eq!(seen, changed);
        let error = world.cx.call(input).await.unwrap_err();
        assert_eq!(error.message, "No updates are to be performed.");
    }
    let input = api::DeleteStackInput {
        stack_name: "web".into(),
        ..Default::default()
    };
    world.cx.call(input).await.unwrap();
    world.ends(&id, "DELETE_COMPLETE").await;
    assert!(world.sim.tasks.running().is_empty());
}

fn create() -> api::CreateStackInput {
    api::CreateStackInput {
        stack_name: "web".into(),
        template_body: Some(TEMPLATE.into()),
        parameters: parameters("000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1", "1"),
        capabilities: Some(vec![api::Capability::CapabilityIam]),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_comes_again_once_what_it_left_is_gone() {
    let world = World::start();
    for _ in 0..2 {
        let id = world.cx.call(create()).await.unwrap().stack_id.unwrap();
        world.ends(&id, "CREATE_COMPLETE").await;
        let input = api::DeleteStackInput {
            stack_name: "web".into(),
            ..Default::default()
        };
        world.cx.call(input).await.unwrap();
        world.ends(&id, "DELETE_COMPLETE").await;
        // The template retains its log group.
        let events = world.events(&id).await;
        assert!(
            events
                .iter()
                .any(|it| it.starts_with("LogGroup DELETE_SKIPPED")),
            "{events:#?}"
        );
        let groups = world
            .cx
            .call(shapes::logs::DescribeLogGroupsInput::default())
            .await
            .unwrap();
        for group in groups.log_groups.unwrap_or_default() {
            let log_group_name = group.log_group_name.unwrap();
            world
                .cx
                .call(shapes::logs::DeleteLogGroupInput { log_group_name })
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_exist_is_never_green() {
    let world = World::start();
    let input = api::CreateStackInput {
        stack_name: "web".into(),
        template_body: Some(TEMPLATE.into()),
        parameters: parameters("nothing:1", "2"),
        capabilities: Some(vec![api::Capability::CapabilityIam]),
        ..Default::default()
    };
    let id = world.cx.call(input).await.unwrap().stack_id.unwrap();
    world.ends(&id, "ROLLBACK_COMPLETE").await;
    let events = world.events(&id).await;
    let why = events
        .iter()
        .find(|it| it.starts_with("Service CREATE_FAILED"))
        .unwrap();
    assert!(why.contains("Circuit Breaker"), "{why}");
}

#[tokio::test]
async fn a_role_that_does_not_trust_cloudformation_is_refused() {
    let world = World::start();
    let with = |role: &str| api::CreateStackInput {
        stack_name: "web".into(),
        template_body: Some("Resources: {It: {Type: 'AWS::ECS::Cluster'}}".into()),
        role_arn: Some(format!("arn:aws:iam::000000000000:role/{role}")),
        ..Default::default()
    };
    for (name, service) in [("tasks", "ecs-tasks"), ("stacks", "cloudformation")] {
        let trust = serde_json::json!({"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"Service": format!("{service}.amazonaws.com")}}});
        let role = shapes::iam::CreateRoleInput {
            role_name: name.into(),
            assume_role_policy_document: trust.to_string(),
            ..Default::default()
        };
        world.cx.call(role).await.unwrap();
    }
    for role in ["none", "tasks"] {
        let error = world.cx.call(with(role)).await.unwrap_err();
        assert_eq!(
            error.message,
            format!("Role arn:aws:iam::000000000000:role/{role} is invalid or cannot be assumed")
        );
    }
    world.cx.call(with("stacks")).await.unwrap();
    let stack = world.ends("web", "CREATE_COMPLETE").await;
    assert!(stack.role_arn.unwrap().ends_with("role/stacks"));
    // It trusts CloudFormation no longer: nothing is done with it, though the stack has it.
    let trust = serde_json::json!({"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"}}});
    let changed = shapes::iam::UpdateAssumeRolePolicyInput {
        role_name: "stacks".into(),
        policy_document: trust.to_string(),
    };
    world.cx.call(changed).await.unwrap();
    let update = api::UpdateStackInput {
        stack_name: "web".into(),
        template_body: Some(
            "Resources: {It: {Type: 'AWS::ECS::Cluster'}, More: {Type: 'AWS::ECS::Cluster'}}"
                .into(),
        ),
        ..Default::default()
    };
    world.cx.call(update).await.unwrap();
    world.ends("web", "UPDATE_ROLLBACK_COMPLETE").await;
    let events = world.events(&stack.stack_id.unwrap()).await;
    let refused = "Role arn:aws:iam::000000000000:role/stacks is invalid or cannot be assumed";
    let why = events
        .iter()
        .find(|it| it.starts_with("More CREATE_FAILED"));
    assert!(why.unwrap().contains(refused), "{events:?}");
}
