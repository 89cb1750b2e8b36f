//! Container instances, and tasks on them, over a simulated machine.

use std::time::Duration;

use cloud::{ClientOrigin, InsideOrigin};
use engine::InterfaceSpec;
use shapes::ec2::InstanceStateName;
use shapes::ecs::*;

use crate::support::*;

/// What an agent tells: two cores and so much memory.
fn registration(machine: &str, memory: i32, attributes: &[&str]) -> RegisterContainerInstanceInput {
    let integer = |name: &str, value| Resource {
        name: Some(name.into()),
        r#type: Some("INTEGER".into()),
        integer_value: Some(value),
        ..Default::default()
    };
    let ports = Resource {
        name: Some("PORTS".into()),
        r#type: Some("STRINGSET".into()),
        string_set_value: Some(vec!["22".into()]),
        ..Default::default()
    };
    RegisterContainerInstanceInput {
        instance_identity_document: Some(format!("{{\"instanceId\": \"{machine}\"}}")),
        total_resources: Some(vec![integer("CPU", 2048), integer("MEMORY", memory), ports]),
        version_info: Some(VersionInfo {
            agent_version: Some("1.94.0".into()),
            ..Default::default()
        }),
        attributes: Some(
            (attributes.iter())
                .map(|it| Attribute {
                    name: (*it).into(),
                    ..Default::default()
                })
                .collect(),
        ),
        ..Default::default()
    }
}

const ABLE: &[&str] = &[
    "com.amazonaws.ecs.capability.ecr-auth",
    "ecs.capability.task-eni",
];

/// A machine that runs, with the interface that tasks on it join.
async fn boot(world: &World, number: u8) -> String {
    boot_in(world, number, "subnet-out").await
}

async fn boot_in(world: &World, number: u8, subnet: &str) -> String {
    let (id, interface) = (format!("i-{number}"), format!("eni-machine-{number}"));
    let spec = InterfaceSpec {
        id: interface.clone(),
        vpc: "vpc-1".into(),
        subnet: subnet.into(),
        address: [10, 0, 1, 200 + number].into(),
        mac: [2, 0, 0, 0, 1, number],
        groups: vec!["sg-1".into()],
        public: false,
        names: vec![],
        aliases: Default::default(),
        namespace: None,
        published: vec![],
    };
    world.cx.engine().network.attach(spec).await.unwrap();
    let zone = ["us-east-1a", "us-east-1b"][usize::from(number) % 2];
    let machine = FakeMachine {
        id: id.clone(),
        zone: zone.into(),
        interface,
        subnet: subnet.into(),
        address: format!("10.0.1.{}", 200 + number),
        state: InstanceStateName::Running,
    };
    world.cx.write(|tx| tx.put(&machine)).unwrap();
    id
}

async fn set_state(world: &World, id: &str, state: InstanceStateName) {
    world
        .cx
        .write(|tx| {
            let mut found = tx.get::<FakeMachine>(id)?.unwrap();
            found.state = state;
            tx.put(&found)
        })
        .unwrap();
}

/// An agent that has registered, and that says every ten seconds that it is there.
pub async fn join(world: &World, number: u8) -> String {
    let machine = boot(world, number).await;
    let made = world.call(registration(&machine, 2000, ABLE)).await;
    let arn = made
        .container_instance
        .unwrap()
        .container_instance_arn
        .unwrap();
    let (cx, own) = (world.cx.clone(), arn.clone());
    tokio::spawn(async move {
        loop {
            let hello = DiscoverPollEndpointInput {
                container_instance: Some(own.clone()),
                cluster: None,
            };
            if cx.call(hello).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    });
    let heard = async || instance(world, &arn).await.agent_connected.filter(|it| *it);
    assert!(testkit::wait(heard).await.is_some());
    arn
}

async fn instance(world: &World, arn: &str) -> ContainerInstance {
    let input = DescribeContainerInstancesInput {
        container_instances: vec![arn.into()],
        ..Default::default()
    };
    let mut answer = world.call(input).await;
    answer.container_instances.as_mut().unwrap().remove(0)
}

fn left(instance: &ContainerInstance) -> (i32, i32, Vec<String>) {
    let all = instance.remaining_resources.as_ref().unwrap();
    let find = |name: &str| {
        all.iter()
            .find(|it| it.name.as_deref() == Some(name))
            .unwrap()
    };
    (
        find("CPU").integer_value.unwrap(),
        find("MEMORY").integer_value.unwrap(),
        find("PORTS").string_set_value.clone().unwrap(),
    )
}

/// A definition for instances, of one container with one port.
pub fn own_definition(mode: Option<NetworkMode>) -> RegisterTaskDefinitionInput {
    let mut input = definition(IMAGE);
    input.requires_compatibilities = Some(vec![Compatibility::Ec2]);
    (input.cpu, input.memory) = (None, None);
    (input.network_mode, input.execution_role_arn) = (mode, None);
    input.container_definitions[0].cpu = Some(512);
    input.container_definitions[0].memory = Some(900);
    input
}

async fn host_definition(world: &World) {
    world.call(own_definition(Some(NetworkMode::Host))).await;
}

pub fn run_here() -> RunTaskInput {
    RunTaskInput {
        launch_type: Some(LaunchType::Ec2),
        network_configuration: None,
        ..run("web")
    }
}

pub fn serve_here(count: i32) -> CreateServiceInput {
    CreateServiceInput {
        launch_type: Some(LaunchType::Ec2),
        network_configuration: None,
        ..create("web", "web", count)
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_registered_from_within_it_alone() {
    let world = World::new().await;
    let machine = boot(&world, 1).await;
    let from = |interface: Option<&str>| {
        let inside = interface.map(|it| InsideOrigin {
            interface: it.into(),
            vpc: Some("vpc-1".into()),
        });
        let origin = ClientOrigin {
            inside,
            ..testkit::from_outside()
        };
        world.client(testkit::owner(), origin)
    };
    for elsewhere in [from(None), from(Some("eni-machine-2"))] {
        let asked = registration(&machine, 2000, ABLE);
        let refused = elsewhere.call(asked).await.unwrap_err();
        assert!(refused.message.contains("does not ask"), "{refused:?}");
    }
    let itself = from(Some("eni-machine-1"));
    let asked = registration(&machine, 2000, ABLE);
    let made = itself.call(asked).await.unwrap();
    assert!(made.container_instance.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_task_is_on_its_instance_and_takes_what_it_reserves() {
    let world = World::new().await;
    host_definition(&world).await;
    let arn = join(&world, 1).await;
    let empty = instance(&world, &arn).await;
    assert_eq!(empty.agent_connected, Some(true));
    assert_eq!(left(&empty), (2048, 2000, vec!["22".to_owned()]));

    let task = world.call(run_here()).await.tasks.unwrap().remove(0);
    assert_eq!(task.container_instance_arn.as_ref(), Some(&arn));
    assert_eq!(task.launch_type, Some(LaunchType::Ec2));
    assert_eq!(task.platform_version, None);
    let task = task.task_arn.unwrap();
    let running = world.task_until(&task, "RUNNING").await;
    assert_eq!(running.attachments.unwrap(), []);
    let binding = &running.containers.as_ref().unwrap()[0].network_bindings;
    assert_eq!(binding.as_ref().unwrap()[0].host_port, Some(80));
    let id = task.rsplit('/').next().unwrap();
    let spec = world.sim.tasks.spec(id).unwrap();
    assert_eq!(spec.interface.as_deref(), Some("eni-machine-1"));
    assert_eq!(spec.containers[0].memory_mib, Some(900));

    let full = instance(&world, &arn).await;
    let ports = vec!["22".to_owned(), "80".to_owned()];
    assert_eq!(left(&full), (1536, 1100, ports));
    assert_eq!(full.running_tasks_count, Some(1));
    let listed = ListTasksInput {
        container_instance: Some(arn.clone()),
        ..Default::default()
    };
    assert_eq!(world.call(listed).await.task_arns, Some(vec![task.clone()]));

    let leave = |force| DeregisterContainerInstanceInput {
        container_instance: arn.clone(),
        force,
        ..Default::default()
    };
    let refused = world.err(leave(None)).await;
    assert_eq!(refused.message, "Found running tasks on the instance.");
    let delete = || DeleteClusterInput {
        cluster: "default".into(),
    };
    let refused = world.err(delete()).await;
    assert_eq!(refused.code, "ClusterContainsContainerInstancesException");
    let gone = world.call(leave(Some(true))).await.container_instance;
    assert_eq!(gone.unwrap().status.as_deref(), Some("INACTIVE"));
    let stopped = world.task_until(&task, "STOPPED").await;
    assert_eq!(
        stopped.stopped_reason.as_deref(),
        Some("Container instance deregistration forced by user")
    );
    assert_eq!(world.sim.tasks.running(), [""; 0]);
    // The instance's own interface is not the task's to take away.
    let interfaces = world.sim.network.interfaces.lock().unwrap().len();
    assert_eq!(interfaces, 1);
    world.call(delete()).await;
}

#[tokio::test(start_paused = true)]
async fn what_fits_nowhere_is_refused_as_aws_does() {
    let world = World::new().await;
    host_definition(&world).await;
    let refused = world.err(run_here()).await;
    assert_eq!(
        refused.message,
        "No Container Instances were found in your cluster."
    );
    let reason = async |input: RunTaskInput| {
        let answer = world.call(input).await;
        assert_eq!(answer.tasks.unwrap(), []);
        answer.failures.unwrap().remove(0).reason.unwrap()
    };
    // It has registered and was not heard since.
    let silent = boot(&world, 3).await;
    let silent = world.call(registration(&silent, 2000, ABLE)).await;
    let silent = silent.container_instance.unwrap();
    assert_eq!(silent.agent_connected, Some(false));
    assert_eq!(reason(run_here()).await, "AGENT");
    world
        .call(DeregisterContainerInstanceInput {
            container_instance: silent.container_instance_arn.unwrap(),
            ..Default::default()
        })
        .await;

    let arn = join(&world, 1).await;
    let both = world
        .call(RunTaskInput {
            count: Some(2),
            ..run_here()
        })
        .await;
    assert_eq!(both.tasks.unwrap().len(), 1);
    let failure = both.failures.unwrap().remove(0);
    assert_eq!(failure.arn.as_ref(), Some(&arn));
    assert_eq!(failure.reason.as_deref(), Some("RESOURCE:PORTS"));

    let mut large = own_definition(Some(NetworkMode::Host));
    large.container_definitions[0].port_mappings = None;
    large.container_definitions[0].memory = Some(1200);
    world.call(large.clone()).await;
    assert_eq!(reason(run_here()).await, "RESOURCE:MEMORY");
    large.container_definitions[0].memory = Some(100);
    large.container_definitions[0].cpu = Some(2000);
    world.call(large.clone()).await;
    assert_eq!(reason(run_here()).await, "RESOURCE:CPU");
    large.container_definitions[0].cpu = Some(1);
    large.container_definitions[0].log_configuration = Some(LogConfiguration {
        log_driver: LogDriver::Awslogs,
        options: Some(
            [("awslogs-group", "/web"), ("awslogs-region", "us-east-1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        ),
    });
    world.call(large.clone()).await;
    assert_eq!(reason(run_here()).await, "ATTRIBUTE");
    large.container_definitions[0].log_configuration = None;
    large.placement_constraints = Some(vec![TaskDefinitionPlacementConstraint {
        r#type: Some(TaskDefinitionPlacementConstraintType::MemberOf),
        expression: Some("attribute:ecs.availability-zone == nowhere".into()),
    }]);
    world.call(large).await;
    let expected = "MemberOf placement constraint unsatisfied.";
    assert_eq!(reason(run_here()).await, expected);

    let start = StartTaskInput {
        container_instances: vec![arn, "0".repeat(32)],
        task_definition: "web:1".into(),
        ..Default::default()
    };
    let failures = world.call(start).await.failures.unwrap();
    let reasons: Vec<_> = failures.iter().map(|it| it.reason.as_deref()).collect();
    assert_eq!(reasons, [Some("RESOURCE:PORTS"), Some("MISSING")]);
}

#[tokio::test(start_paused = true)]
async fn a_service_is_spread_waits_for_room_and_leaves_what_is_drained() {
    let world = World::new().await;
    host_definition(&world).await;
    world.call(serve_here(2)).await;
    let nowhere = "was unable to place a task because no container instance met all of its requirements. \
                   Reason: No Container Instances were found in your cluster.";
    world.service_until("web", |it| said(it, nowhere)).await;

    let first = join(&world, 1).await;
    let closest = "is already using a port required by your task.";
    world.service_until("web", |it| said(it, closest)).await;
    let second = join(&world, 2).await;
    let service = world.service_until("web", is_steady).await;
    assert_eq!(service.launch_type, Some(LaunchType::Ec2));
    assert_eq!(service.network_configuration, None);
    assert_eq!(service.platform_version, None);
    for arn in [&first, &second] {
        assert_eq!(instance(&world, arn).await.running_tasks_count, Some(1));
    }

    let drain = UpdateContainerInstancesStateInput {
        container_instances: vec![first.clone()],
        status: ContainerInstanceStatus::Draining,
        ..Default::default()
    };
    let drained = world.call(drain).await.container_instances.unwrap();
    assert_eq!(drained[0].status.as_deref(), Some("DRAINING"));
    // There is no other place for its task yet, which serves on.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(instance(&world, &first).await.running_tasks_count, Some(1));
    let third = join(&world, 3).await;
    let moved = async || {
        let (old, new) = (
            instance(&world, &first).await,
            instance(&world, &third).await,
        );
        let counts = (old.running_tasks_count?, new.running_tasks_count?);
        (counts == (0, 1)).then_some(())
    };
    assert!(testkit::wait(moved).await.is_some());
    world.service_until("web", is_steady).await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_is_on_each_instance_once() {
    let world = World::new().await;
    host_definition(&world).await;
    let (one, _) = (join(&world, 1).await, join(&world, 2).await);
    let counted = world
        .err(CreateServiceInput {
            scheduling_strategy: Some(SchedulingStrategy::Daemon),
            ..serve_here(3)
        })
        .await;
    assert!(counted.message.contains("does not support a desired count"));
    let daemon = CreateServiceInput {
        scheduling_strategy: Some(SchedulingStrategy::Daemon),
        desired_count: None,
        ..serve_here(0)
    };
    world.call(daemon).await;
    let two = |it: &Service| is_steady(it) && it.running_count == Some(2);
    let service = world.service_until("web", two).await;
    assert_eq!(
        service.scheduling_strategy,
        Some(SchedulingStrategy::Daemon)
    );
    join(&world, 3).await;
    let three = |it: &Service| is_steady(it) && it.running_count == Some(3);
    world.service_until("web", three).await;
    world
        .call(UpdateServiceInput {
            service: "web".into(),
            force_new_deployment: Some(true),
            ..Default::default()
        })
        .await;
    world.service_until("web", three).await;
    world
        .call(UpdateContainerInstancesStateInput {
            container_instances: vec![one],
            status: ContainerInstanceStatus::Draining,
            ..Default::default()
        })
        .await;
    world.service_until("web", two).await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_goes_takes_its_tasks_with_it() {
    let world = World::new().await;
    host_definition(&world).await;
    let arn = join(&world, 1).await;
    let task = world
        .call(run_here())
        .await
        .tasks
        .unwrap()
        .remove(0)
        .task_arn
        .unwrap();
    world.task_until(&task, "RUNNING").await;
    set_state(&world, "i-1", InstanceStateName::ShuttingDown).await;
    let stopped = world.task_until(&task, "STOPPED").await;
    let reason = "Host EC2 (instance i-1) terminated.";
    assert_eq!(stopped.stopped_reason.as_deref(), Some(reason));
    let gone = DescribeContainerInstancesInput {
        container_instances: vec![arn],
        ..Default::default()
    };
    let failures = world.call(gone).await.failures.unwrap();
    assert_eq!(failures[0].reason.as_deref(), Some("MISSING"));
    let refused = world.err(registration("i-1", 2000, ABLE)).await;
    assert!(refused.message.contains("does not run"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_group_of_instances_gets_the_port_that_leads_to_the_task() {
    let world = World::new().await;
    host_definition(&world).await;
    join(&world, 1).await;
    let of_addresses = world
        .err(CreateServiceInput {
            load_balancers: balanced("web", "web", 1).load_balancers,
            ..serve_here(1)
        })
        .await;
    let expected = "has target type ip, which is incompatible with the host network mode";
    assert!(of_addresses.message.contains(expected), "{of_addresses:?}");
    let mut balancers = balanced("web", "web", 1).load_balancers.unwrap();
    balancers[0].target_group_arn = Some(GROUP.replace("/1", "/2"));
    world
        .call(CreateServiceInput {
            load_balancers: Some(balancers),
            ..serve_here(1)
        })
        .await;
    world.service_until("web", is_steady).await;
    assert_eq!(world.targets()[0].address, "i-1");
}

#[tokio::test(start_paused = true)]
async fn attributes_are_put_and_asked_for() {
    let world = World::new().await;
    let (one, two) = (join(&world, 1).await, join(&world, 2).await);
    let stack = |target: &str| Attribute {
        name: "stack".into(),
        value: Some("prod".into()),
        target_id: Some(target.into()),
        ..Default::default()
    };
    let put = |target: &str| PutAttributesInput {
        attributes: vec![stack(target)],
        ..Default::default()
    };
    world.call(put(&one)).await;
    let missing = world.err(put(&"0".repeat(32))).await;
    assert_eq!(missing.code, "TargetNotFoundException");
    let list = async |filter: &str| {
        let input = ListContainerInstancesInput {
            filter: Some(filter.into()),
            ..Default::default()
        };
        world.call(input).await.container_instance_arns.unwrap()
    };
    assert_eq!(list("attribute:stack == prod").await, vec![one.clone()]);
    let zone = "attribute:ecs.availability-zone == us-east-1a";
    assert_eq!(list(zone).await, vec![two.clone()]);
    assert_eq!(list("agentVersion > 1.9").await.len(), 2);
    let bad = ListContainerInstancesInput {
        filter: Some("stack is prod".into()),
        ..Default::default()
    };
    let bad = world.err(bad).await;
    assert!(bad.message.starts_with("Invalid filter"), "{bad:?}");
    let named = ListAttributesInput {
        target_type: TargetType::ContainerInstance,
        attribute_name: Some("stack".into()),
        ..Default::default()
    };
    let found = world.call(named.clone()).await.attributes.unwrap();
    assert_eq!(found[0].target_id.as_ref(), Some(&one));
    let delete = DeleteAttributesInput {
        attributes: vec![stack(&one)],
        ..Default::default()
    };
    world.call(delete).await;
    assert_eq!(world.call(named).await.attributes.unwrap(), []);
    let update = UpdateContainerAgentInput {
        container_instance: one,
        ..Default::default()
    };
    let refused = world.err(update).await;
    assert_eq!(refused.code, "NoUpdateAvailableException");
}

#[tokio::test(start_paused = true)]
async fn definitions_for_instances_follow_their_own_rules() {
    let world = World::new().await;
    let made = world
        .call(own_definition(None))
        .await
        .task_definition
        .unwrap();
    let able = vec![Compatibility::External, Compatibility::Ec2];
    assert_eq!(made.compatibilities, Some(able));
    let container = &made.container_definitions.as_ref().unwrap()[0];
    assert_eq!(
        container.port_mappings.as_ref().unwrap()[0].host_port,
        Some(0)
    );
    let refused = world.err(run("web")).await;
    assert_eq!(
        refused.message,
        "Task definition does not support launch_type FARGATE."
    );
    let message = async |change: fn(&mut RegisterTaskDefinitionInput)| {
        let mut input = own_definition(Some(NetworkMode::Host));
        change(&mut input);
        world.err(input).await.message
    };
    for (change, expected) in [
        (
            (|it| it.container_definitions[0].memory = None)
                as fn(&mut RegisterTaskDefinitionInput),
            "At least one of 'memory' or 'memoryReservation' must be specified.",
        ),
        (
            |it| {
                let mappings = it.container_definitions[0].port_mappings.as_mut();
                mappings.unwrap()[0].host_port = Some(8080);
            },
            "When networkMode=host, the host ports and container ports in port mappings must match.",
        ),
        (
            |it| it.container_definitions[0].privileged = Some(true),
            "containerDefinitions.privileged",
        ),
        (
            |it| {
                it.container_definitions[0].linux_parameters = Some(LinuxParameters {
                    capabilities: Some(KernelCapabilities {
                        add: Some(vec!["SYS_ADMIN".into()]),
                        ..Default::default()
                    }),
                    ..Default::default()
                });
            },
            "SYS_ADMIN",
        ),
        (
            |it| it.cpu = Some("1".into()),
            "Invalid 'cpu' setting for task.",
        ),
    ] {
        let found = message(change).await;
        assert!(found.contains(expected), "{found}");
    }
    let platform = world
        .err(RunTaskInput {
            platform_version: Some("1.4.0".into()),
            ..run_here()
        })
        .await;
    assert!(platform.message.contains("platform version must be null"));
}

/// What an agent has written into its log.
fn log_of(world: &World, machine: &str) -> String {
    let commands = world.sim.tasks.commands(machine);
    let written = commands.iter().filter_map(|it| it.get(4).cloned());
    written.collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn an_agent_joins_the_cluster_that_its_machine_names() {
    let world = World::new().await;
    let web = CreateClusterInput {
        cluster_name: Some("web".into()),
        ..Default::default()
    };
    world.call(web).await;
    let lines = ["ECS_CLUSTER=web", "ECS_RESERVED_MEMORY=24"];
    world.sim.tasks.answer("i-1", 0, &lines);
    boot(&world, 1).await;
    let list = || ListContainerInstancesInput {
        cluster: Some("web".into()),
        filter: Some("agentConnected == true".into()),
        ..Default::default()
    };
    let joined = async || {
        let arns = world.call(list()).await.container_instance_arns;
        arns.filter(|it| !it.is_empty())
    };
    let Some(mut arns) = testkit::wait(joined).await else {
        panic!("it never joined: {}", log_of(&world, "i-1"));
    };
    let arn = arns.remove(0);
    let found = world
        .call(DescribeContainerInstancesInput {
            cluster: Some("web".into()),
            container_instances: vec![arn.clone()],
            ..Default::default()
        })
        .await;
    let found = found.container_instances.unwrap().remove(0);
    assert_eq!((left(&found).0, left(&found).1), (2048, 1000));
    let log = log_of(&world, "i-1");
    assert!(log.contains("Registration completed successfully"), "{log}");
    // It says so again and again, and no more is written.
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(
        world.call(list()).await.container_instance_arns,
        Some(vec![arn])
    );
    assert_eq!(log_of(&world, "i-1"), log);
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_shell_does_not_end_holds_up_its_own_agent_alone() {
    let world = World::new().await;
    world.sim.tasks.hang("i-1");
    world.sim.tasks.answer("i-2", 0, &["ECS_CLUSTER=default"]);
    boot(&world, 1).await;
    boot(&world, 2).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let connected = ListContainerInstancesInput {
        filter: Some("agentConnected == true".into()),
        ..Default::default()
    };
    let found = world.call(connected).await.container_instance_arns;
    assert_eq!(found.map(|it| it.len()), Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_a_way_out_says_so_in_its_log() {
    let world = World::new().await;
    world.sim.tasks.answer("i-1", 0, &["ECS_CLUSTER=default"]);
    world.sim.tasks.answer("i-2", 4, &[]);
    boot_in(&world, 1, "subnet-in").await;
    // One that has no agent is left alone.
    boot(&world, 2).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let log = log_of(&world, "i-1");
    let expected =
        "Unable to register as a container instance with ECS: RequestError: send request failed";
    assert!(log.contains(expected), "{log}");
    let cause = "net/http: request canceled while waiting for connection";
    assert!(log.contains(cause), "{log}");
    let listed = world.call(ListContainerInstancesInput::default()).await;
    assert_eq!(listed.container_instance_arns, Some(vec![]));
    assert_eq!(world.sim.tasks.commands("i-2").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_cluster_is_not_there_says_so() {
    let world = World::new().await;
    world.sim.tasks.answer("i-1", 0, &["ECS_CLUSTER=nope"]);
    boot(&world, 1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let log = log_of(&world, "i-1");
    let expected =
        "Unable to register as a container instance with ECS: ClientException: Cluster not found.";
    assert!(log.contains(expected), "{log}");
}
