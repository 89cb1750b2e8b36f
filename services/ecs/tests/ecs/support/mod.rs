//! A cloud with ECS, a simulated machine, and the least of the services that ECS calls: records of
//! interfaces, targets and streams, no more.

mod fakes;

use std::time::Duration;

use cloud::{Clock, Cloud, CloudParts, Cx, Error, Pace, Store};
use shapes::ecs::*;

pub use fakes::{FakeProbe, FakeTarget, iam as fakes_iam};

pub const IMAGE: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1";
pub const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/1";

/// What outlives a daemon: the machine, and the file.
pub struct Machine {
    pub sim: sim::Sim,
    directory: tempfile::TempDir,
}

impl Machine {
    pub fn new() -> Self {
        let sim = sim::Sim::default();
        sim.images.add(IMAGE);
        Self {
            sim,
            directory: tempfile::tempdir().unwrap(),
        }
    }
}

/// A daemon on a machine.
pub struct World {
    pub sim: sim::Sim,
    pub cloud: std::sync::Arc<Cloud>,
    pub cx: Cx,
    _machine: Option<Machine>,
}

impl World {
    /// With a machine of its own.
    pub async fn new() -> Self {
        let machine = Machine::new();
        Self::on(&machine).await.keep(machine)
    }

    fn keep(mut self, machine: Machine) -> Self {
        self._machine = Some(machine);
        self
    }

    pub async fn on(machine: &Machine) -> Self {
        let sim = machine.sim.clone();
        fakes::make_network(&sim).await;
        let cloud = Cloud::new(CloudParts {
            account: "000000000000".into(),
            default_region: "us-east-1".into(),
            store: Store::open(&machine.directory.path().join("store.db")).unwrap(),
            engine: sim.engine(),
            clock: Clock::new(Pace::Fast),
            services: vec![
                ecs::service(),
                fakes::ec2(),
                fakes::elbv2(),
                fakes::logs(),
                fakes::iam(),
                cloudwatch::service(),
                secretsmanager::service(),
                ssm::service(),
            ],
        });
        tokio::spawn(cloud.clone().run());
        let cx = cloud.daemon_context("us-east-1");
        let world = Self {
            sim,
            cloud,
            cx,
            _machine: None,
        };
        world.ok(CreateClusterInput::default()).await;
        world
    }

    pub async fn ok<I: wire::Operation + Send + 'static>(&self, input: I) -> I::Output {
        self.cx
            .call(input)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", I::NAME))
    }

    pub async fn err<I: wire::Operation + Send + 'static>(&self, input: I) -> Error {
        match self.cx.call(input).await {
            Ok(_) => panic!("{} should have been refused", I::NAME),
            Err(error) => error,
        }
    }

    pub async fn register(&self, image: &str) -> String {
        let made = self.ok(definition(image)).await.task_definition.unwrap();
        made.task_definition_arn.unwrap()
    }

    pub async fn task(&self, arn: &str) -> Task {
        let input = DescribeTasksInput {
            tasks: vec![arn.into()],
            ..Default::default()
        };
        let mut answer = self.ok(input).await;
        answer.tasks.as_mut().unwrap().remove(0)
    }

    pub async fn service(&self, name: &str) -> Service {
        let input = DescribeServicesInput {
            services: vec![name.into()],
            ..Default::default()
        };
        self.ok(input).await.services.unwrap().remove(0)
    }

    /// Looks until `wanted` says so. Time runs by itself when nothing else happens.
    pub async fn service_until(&self, name: &str, wanted: impl Fn(&Service) -> bool) -> Service {
        for _ in 0..2000 {
            let service = self.service(name).await;
            if wanted(&service) {
                return service;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it never came to it: {:#?}", self.service(name).await);
    }

    pub async fn task_until(&self, arn: &str, status: &str) -> Task {
        for _ in 0..2000 {
            let task = self.task(arn).await;
            if task.last_status.as_deref() == Some(status) {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never {status}: {:#?}", self.task(arn).await);
    }

    /// ARNs of a service's tasks.
    pub async fn tasks(&self, service: &str, status: DesiredStatus) -> Vec<String> {
        let input = ListTasksInput {
            service_name: Some(service.into()),
            desired_status: Some(status),
            ..Default::default()
        };
        self.ok(input).await.task_arns.unwrap()
    }

    pub fn targets(&self) -> Vec<FakeTarget> {
        self.cx.read(|tx| tx.list::<FakeTarget>("")).unwrap()
    }

    /// Nothing of any task is left on the machine.
    pub fn assert_clean(&self) {
        assert_eq!(self.sim.tasks.running(), [""; 0]);
        assert!(self.sim.network.interfaces.lock().unwrap().is_empty());
    }
}

pub fn definition(image: &str) -> RegisterTaskDefinitionInput {
    RegisterTaskDefinitionInput {
        family: "web".into(),
        execution_role_arn: Some("execution".into()),
        network_mode: Some(NetworkMode::Awsvpc),
        requires_compatibilities: Some(vec![Compatibility::Fargate]),
        cpu: Some("256".into()),
        memory: Some("512".into()),
        container_definitions: vec![ContainerDefinition {
            name: Some("web".into()),
            image: Some(image.into()),
            port_mappings: Some(vec![PortMapping {
                container_port: Some(80),
                ..Default::default()
            }]),
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn network(subnet: &str) -> NetworkConfiguration {
    NetworkConfiguration {
        awsvpc_configuration: Some(AwsVpcConfiguration {
            subnets: vec![subnet.into()],
            security_groups: Some(vec!["sg-1".into()]),
            assign_public_ip: None,
        }),
    }
}

pub fn run(definition: &str) -> RunTaskInput {
    RunTaskInput {
        task_definition: definition.into(),
        launch_type: Some(LaunchType::Fargate),
        network_configuration: Some(network("subnet-out")),
        ..Default::default()
    }
}

pub fn create(name: &str, definition: &str, count: i32) -> CreateServiceInput {
    CreateServiceInput {
        service_name: name.into(),
        task_definition: Some(definition.into()),
        desired_count: Some(count),
        launch_type: Some(LaunchType::Fargate),
        network_configuration: Some(network("subnet-out")),
        ..Default::default()
    }
}

pub fn balanced(name: &str, definition: &str, count: i32) -> CreateServiceInput {
    CreateServiceInput {
        load_balancers: Some(vec![LoadBalancer {
            target_group_arn: Some(GROUP.into()),
            container_name: Some("web".into()),
            container_port: Some(80),
            ..Default::default()
        }]),
        ..create(name, definition, count)
    }
}

pub fn is_steady(service: &Service) -> bool {
    let deployments = service.deployments.as_deref().unwrap_or_default();
    deployments.len() == 1
        && deployments[0].rollout_state == Some(DeploymentRolloutState::Completed)
        && service.running_count == service.desired_count
        && service.pending_count == Some(0)
}

pub fn said(service: &Service, text: &str) -> bool {
    (service.events.iter().flatten()).any(|it| {
        it.message
            .as_deref()
            .is_some_and(|message| message.contains(text))
    })
}
