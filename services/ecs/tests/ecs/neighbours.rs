//! ECS with the real services beside it: only the machine is simulated.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use cloud::Cx;
use engine::{Changes, Edge, GroupTraffic, Snapshot, TargetHealth, TargetState};
use shapes::ecs::*;
use shapes::{ec2, elbv2, logs};
use testkit::call;

use crate::support::*;

/// A snapshot that changes nothing is not announced: the real edge announces what probes find.
struct QuietEdge(Arc<sim::SimEdge>);

#[async_trait::async_trait]
impl Edge for QuietEdge {
    async fn apply(&self, snapshot: Snapshot) -> engine::Result<()> {
        if *self.0.snapshot.lock().unwrap() == snapshot {
            return Ok(());
        }
        self.0.apply(snapshot).await
    }
    async fn health(&self, group: &str) -> engine::Result<Vec<TargetHealth>> {
        self.0.health(group).await
    }
    async fn traffic(&self, group: &str) -> engine::Result<GroupTraffic> {
        self.0.traffic(group).await
    }
    async fn take_accesses(&self, balancer: &str) -> engine::Result<Vec<engine::AccessEntry>> {
        self.0.take_accesses(balancer).await
    }
    fn address(&self, port: u16) -> SocketAddr {
        self.0.address(port)
    }
    fn changes(&self) -> Changes {
        self.0.changes()
    }
}

struct House {
    world: testkit::World,
    subnet: String,
    group: String,
    target_group: String,
}

impl Deref for House {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.world
    }
}

impl House {
    async fn new() -> Self {
        let machine = machine();
        let engine = engine::Engine {
            edge: Arc::new(QuietEdge(machine.sim.edge.clone())),
            ..machine.sim.engine()
        };
        let world = testkit::world([
            ecs::service(),
            ::ec2::service(),
            ::elbv2::service(),
            cloudwatch_logs::service(),
            fakes_iam(),
        ]);
        let world = world.on(&machine).with_engine(engine).run();
        let cx = &world.cx;
        let (subnet, other, vpc) = network_of(cx).await;
        let group = ec2::CreateSecurityGroupInput {
            group_name: "web".into(),
            description: "web".into(),
            vpc_id: Some(vpc.clone()),
            ..Default::default()
        };
        let group = call(cx, group).await.group_id.unwrap();
        let target_group = balancer_of(cx, &vpc, &[&subnet, &other], &group).await;
        call(
            cx,
            logs::CreateLogGroupInput {
                log_group_name: "/web".into(),
                ..Default::default()
            },
        )
        .await;
        call(cx, CreateClusterInput::default()).await;
        Self {
            world,
            subnet,
            group,
            target_group,
        }
    }

    async fn service(&self) -> Service {
        let input = DescribeServicesInput {
            services: vec!["web".into()],
            ..Default::default()
        };
        call(&self.cx, input).await.services.unwrap().remove(0)
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Service) -> bool) {
        let look = async || wanted(&self.service().await).then_some(());
        if testkit::wait(look).await.is_none() {
            panic!("never {what}: {:#?}", self.service().await);
        }
    }
}

/// Two public subnets of a VPC with an internet gateway.
async fn network_of(cx: &Cx) -> (String, String, String) {
    let vpc = ec2::CreateVpcInput {
        cidr_block: Some("10.0.0.0/16".into()),
        ..Default::default()
    };
    let vpc = call(cx, vpc).await.vpc.unwrap().vpc_id.unwrap();
    let gateway = call(cx, ec2::CreateInternetGatewayInput::default()).await;
    let gateway = gateway
        .internet_gateway
        .unwrap()
        .internet_gateway_id
        .unwrap();
    let attach = ec2::AttachInternetGatewayInput {
        internet_gateway_id: gateway.clone(),
        vpc_id: vpc.clone(),
        ..Default::default()
    };
    call(cx, attach).await;
    let table = ec2::CreateRouteTableInput {
        vpc_id: vpc.clone(),
        ..Default::default()
    };
    let table = call(cx, table)
        .await
        .route_table
        .unwrap()
        .route_table_id
        .unwrap();
    let route = ec2::CreateRouteInput {
        route_table_id: table.clone(),
        destination_cidr_block: Some("0.0.0.0/0".into()),
        gateway_id: Some(gateway),
        ..Default::default()
    };
    call(cx, route).await;
    let mut subnets = Vec::new();
    for (range, zone) in [("10.0.1.0/24", "us-east-1a"), ("10.0.2.0/24", "us-east-1b")] {
        let subnet = ec2::CreateSubnetInput {
            vpc_id: vpc.clone(),
            cidr_block: Some(range.into()),
            availability_zone: Some(zone.into()),
            ..Default::default()
        };
        let subnet = call(cx, subnet).await.subnet.unwrap().subnet_id.unwrap();
        let join = ec2::AssociateRouteTableInput {
            route_table_id: table.clone(),
            subnet_id: Some(subnet.clone()),
            ..Default::default()
        };
        call(cx, join).await;
        subnets.push(subnet);
    }
    (subnets.remove(0), subnets.remove(0), vpc)
}

/// A load balancer that forwards port 80 to a target group, whose ARN is answered.
async fn balancer_of(cx: &Cx, vpc: &str, subnets: &[&str], group: &str) -> String {
    let balancer = elbv2::CreateLoadBalancerInput {
        name: "web".into(),
        subnets: Some(subnets.iter().map(|it| (*it).to_owned()).collect()),
        security_groups: Some(vec![group.to_owned()]),
        ..Default::default()
    };
    let balancer = call(cx, balancer).await.load_balancers.unwrap().remove(0);
    let target_group = elbv2::CreateTargetGroupInput {
        name: "web".into(),
        port: Some(80),
        protocol: Some(elbv2::ProtocolEnum::Http),
        target_type: Some(elbv2::TargetTypeEnum::Ip),
        vpc_id: Some(vpc.to_owned()),
        ..Default::default()
    };
    let made = call(cx, target_group)
        .await
        .target_groups
        .unwrap()
        .remove(0);
    let arn = made.target_group_arn.unwrap();
    let listener = elbv2::CreateListenerInput {
        load_balancer_arn: balancer.load_balancer_arn.unwrap(),
        port: Some(80),
        protocol: Some(elbv2::ProtocolEnum::Http),
        default_actions: vec![elbv2::Action {
            r#type: elbv2::ActionTypeEnum::Forward,
            target_group_arn: Some(arn.clone()),
            ..Default::default()
        }],
        ..Default::default()
    };
    call(cx, listener).await;
    arn
}

#[tokio::test(start_paused = true)]
async fn a_public_balanced_service_lives_its_life() {
    let house = House::new().await;
    let mut task = definition(IMAGE);
    let options = [
        ("awslogs-group", "/web"),
        ("awslogs-region", "us-east-1"),
        ("awslogs-stream-prefix", "app"),
    ];
    task.container_definitions[0].log_configuration = Some(LogConfiguration {
        log_driver: LogDriver::Awslogs,
        options: Some(
            options
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        ),
    });
    call(&house.cx, task).await;
    let mut input = balanced("web", "web", 2);
    input.load_balancers.as_mut().unwrap()[0].target_group_arn = Some(house.target_group.clone());
    input.network_configuration = Some(NetworkConfiguration {
        awsvpc_configuration: Some(AwsVpcConfiguration {
            subnets: vec![house.subnet.clone()],
            security_groups: Some(vec![house.group.clone()]),
            assign_public_ip: Some(AssignPublicIp::Enabled),
        }),
    });
    call(&house.cx, input).await;
    house.until("steady", is_steady).await;
    assert_eq!(house.sim.tasks.running().len(), 2);
    let streams = house
        .cx
        .engine()
        .logs
        .streams("us-east-1//web")
        .await
        .unwrap();
    assert_eq!(streams.len(), 2);

    // New tasks that the probes do not like take nothing away.
    house.sim.edge.set_default_state(TargetState::Initial);
    let old: Vec<String> = house.sim.tasks.running();
    for interface in house.sim.network.interfaces.lock().unwrap().values() {
        house
            .sim
            .edge
            .set_state(interface.address, TargetState::Healthy);
    }
    let again = UpdateServiceInput {
        service: "web".into(),
        force_new_deployment: Some(true),
        ..Default::default()
    };
    call(&house.cx, again).await;
    house.until("four", |it| it.running_count == Some(4)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(old.iter().all(|id| house.sim.tasks.running().contains(id)));
    house.sim.edge.set_default_state(TargetState::Healthy);
    house.until("steady again", is_steady).await;
    assert!(old.iter().all(|id| !house.sim.tasks.running().contains(id)));

    let service = "web".to_owned();
    call(
        &house.cx,
        DeleteServiceInput {
            service,
            force: Some(true),
            ..Default::default()
        },
    )
    .await;
    house
        .until("gone", |it| it.status.as_deref() == Some("INACTIVE"))
        .await;
    assert!(house.sim.tasks.running().is_empty());
}
