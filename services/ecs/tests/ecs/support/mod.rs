//! A cloud with ECS, a simulated machine, and the least of the services that ECS calls: records of
//! interfaces, targets and streams, no more.

mod fakes;

use std::ops::Deref;

use shapes::ecs::*;
use testkit::SimMachine;

pub use fakes::{FakeMachine, FakeProbe, FakeTarget, iam as fakes_iam};

pub const IMAGE: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1";
pub const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/1";

/// A machine that has [`IMAGE`].
pub fn machine() -> SimMachine {
    let machine = SimMachine::default();
    machine.sim.images.add(IMAGE);
    machine
}

/// A daemon on a machine.
pub struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    /// With a machine of its own.
    pub async fn new() -> Self {
        Self::on(&machine()).await
    }

    pub async fn on(machine: &SimMachine) -> Self {
        fakes::make_network(&machine.sim).await;
        let world = testkit::world([
            ecs::service(),
            fakes::ec2(),
            fakes::elbv2(),
            fakes::logs(),
            fakes::iam(),
            cloudwatch::service(),
            secretsmanager::service(),
            ssm::service(),
        ]);
        let world = world.on(machine).run();
        world.call(CreateClusterInput::default()).await;
        Self(world)
    }

    pub async fn register(&self, image: &str) -> String {
        let made = self.call(definition(image)).await.task_definition.unwrap();
        made.task_definition_arn.unwrap()
    }

    pub async fn task(&self, arn: &str) -> Task {
        let input = DescribeTasksInput {
            tasks: vec![arn.into()],
            ..Default::default()
        };
        let mut answer = self.call(input).await;
        answer.tasks.as_mut().unwrap().remove(0)
    }

    pub async fn service(&self, name: &str) -> Service {
        let input = DescribeServicesInput {
            services: vec![name.into()],
            ..Default::default()
        };
        self.call(input).await.services.unwrap().remove(0)
    }

    /// Looks until `wanted` says so. Time runs by itself when nothing else happens.
    pub async fn service_until(&self, name: &str, wanted: impl Fn(&Service) -> bool) -> Service {
        let look = async || Some(self.service(name).await).filter(|it| wanted(it));
        match testkit::wait(look).await {
            Some(service) => service,
            None => panic!("it never came to it: {:#?}", self.service(name).await),
        }
    }

    pub async fn task_until(&self, arn: &str, status: &str) -> Task {
        let is_there = |it: &Task| it.last_status.as_deref() == Some(status);
        match testkit::wait(async || Some(self.task(arn).await).filter(is_there)).await {
            Some(task) => task,
            None => panic!("never {status}: {:#?}", self.task(arn).await),
        }
    }

    /// ARNs of a service's tasks.
    pub async fn tasks(&self, service: &str, status: DesiredStatus) -> Vec<String> {
        let input = ListTasksInput {
            service_name: Some(service.into()),
            desired_status: Some(status),
            ..Default::default()
        };
        self.call(input).await.task_arns.unwrap()
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
