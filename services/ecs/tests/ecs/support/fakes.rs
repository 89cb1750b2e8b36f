//! What ECS calls of EC2, Elastic Load Balancing and CloudWatch Logs.

use std::net::Ipv4Addr;

use cloud::{Cx, Error, ErrorCode, Record, Service};
use engine::{
    GroupSpec, InterfaceSpec, Network, RouteSpec, RouteTableSpec, RouteTarget, SubnetSpec, VpcSpec,
};
use serde::{Deserialize, Serialize};
use shapes::{ec2, elbv2, iam, logs};

/// `subnet-out` has a way out by NAT, `subnet-in` has none.
pub async fn make_network(sim: &sim::Sim) {
    let subnet = |id: &str, range: &str, table: &str| SubnetSpec {
        id: id.into(),
        range: range.parse().unwrap(),
        route_table: table.into(),
    };
    let out = RouteSpec {
        destination: "0.0.0.0/0".parse().unwrap(),
        target: RouteTarget::NatGateway,
    };
    let open = GroupSpec {
        id: "sg-1".into(),
        ingress: vec![],
        egress: vec![],
    };
    let vpc = VpcSpec {
        id: "vpc-1".into(),
        ranges: vec!["10.0.0.0/16".parse().unwrap()],
        subnets: vec![
            subnet("subnet-out", "10.0.1.0/24", "rtb-out"),
            subnet("subnet-in", "10.0.2.0/24", "rtb-in"),
        ],
        route_tables: vec![
            RouteTableSpec {
                id: "rtb-out".into(),
                routes: vec![out],
            },
            RouteTableSpec {
                id: "rtb-in".into(),
                routes: vec![],
            },
        ],
        groups: vec![open],
        guards: vec![],
        resolver: None,
        machine: None,
        behind: None,
        unknown: vec![],
    };
    sim.network.apply_vpc(vpc).await.unwrap();
}

pub fn ec2() -> Service {
    Service::new(&shapes::ec2::MODEL)
        .on(create_network_interface, testkit::not_asked())
        .on(describe_network_interfaces, testkit::not_asked())
        .on(delete_network_interface, testkit::not_asked())
        .on(describe_subnets, testkit::not_asked())
        .on(describe_instances, testkit::not_asked())
        .on(describe_instance_types, testkit::not_asked())
        .on(describe_security_groups, testkit::not_asked())
}

/// Calls take a moment, so that a daemon can be lost between any two.
async fn moment() {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}

/// An interface, kept for its description.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct FakeInterface {
    id: String,
    description: String,
    address: Ipv4Addr,
}

impl Record for FakeInterface {
    const KIND: &'static str = "fake.interface";
    fn key(&self) -> String {
        self.id.clone()
    }
}

const NO_SUBNET: ErrorCode = ErrorCode::sender("InvalidSubnetID.NotFound", 400);
const NO_GROUP: ErrorCode = ErrorCode::sender("InvalidGroup.NotFound", 400);

async fn create_network_interface(
    cx: Cx,
    input: ec2::CreateNetworkInterfaceInput,
) -> Result<ec2::CreateNetworkInterfaceOutput, Error> {
    moment().await;
    let id = cx.new_id("eni-", 17);
    let address = cx.write(|tx| {
        if let Some(known) = tx.get::<FakeInterface>(&id)? {
            return Ok(known.address);
        }
        let number = tx.next("fake.address")?;
        let address = Ipv4Addr::new(10, 0, 1, u8::try_from(number % 250).unwrap() + 4);
        let description = input.description.clone().unwrap_or_default();
        tx.put(&FakeInterface {
            id: id.clone(),
            description,
            address,
        })?;
        Ok(address)
    })?;
    let spec = InterfaceSpec {
        id: id.clone(),
        vpc: "vpc-1".into(),
        subnet: input.subnet_id.clone(),
        address,
        mac: [2, 0, 0, 0, 0, 1],
        groups: input.groups.unwrap_or_default(),
        public: false,
        names: vec![],
        aliases: Default::default(),
        namespace: None,
        published: vec![],
    };
    cx.engine().network.attach(spec).await.unwrap();
    moment().await;
    let interface = ec2::NetworkInterface {
        network_interface_id: Some(id),
        private_ip_address: Some(address.to_string()),
        mac_address: Some("02:00:00:00:00:01".into()),
        availability_zone: Some("us-east-1a".into()),
        ..Default::default()
    };
    Ok(ec2::CreateNetworkInterfaceOutput {
        network_interface: Some(interface),
        client_token: None,
    })
}

async fn describe_network_interfaces(
    cx: Cx,
    input: ec2::DescribeNetworkInterfacesInput,
) -> Result<ec2::DescribeNetworkInterfacesOutput, Error> {
    let filter = input.filters.unwrap_or_default().remove(0);
    assert_eq!(filter.name.as_deref(), Some("description"));
    let wanted = filter.values.unwrap_or_default();
    let all = cx.read(|tx| tx.list::<FakeInterface>(""))?;
    let found = all
        .into_iter()
        .filter(|it| wanted.contains(&it.description));
    let shown = found.map(|it| ec2::NetworkInterface {
        network_interface_id: Some(it.id),
        ..Default::default()
    });
    Ok(ec2::DescribeNetworkInterfacesOutput {
        network_interfaces: Some(shown.collect()),
        ..Default::default()
    })
}

async fn delete_network_interface(
    cx: Cx,
    input: ec2::DeleteNetworkInterfaceInput,
) -> Result<ec2::DeleteNetworkInterfaceOutput, Error> {
    cx.engine()
        .network
        .detach(&input.network_interface_id)
        .await
        .unwrap();
    Ok(Default::default())
}

/// A machine, in place of EC2's own record of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FakeMachine {
    pub id: String,
    pub zone: String,
    pub interface: String,
    pub subnet: String,
    pub address: String,
    pub state: ec2::InstanceStateName,
}

impl Record for FakeMachine {
    const KIND: &'static str = "ec2.instance";
    fn key(&self) -> String {
        self.id.clone()
    }
}

const NO_INSTANCE: ErrorCode = ErrorCode::sender("InvalidInstanceID.NotFound", 400);

async fn describe_instances(
    cx: Cx,
    input: ec2::DescribeInstancesInput,
) -> Result<ec2::DescribeInstancesOutput, Error> {
    let all = cx.read(|tx| tx.list::<FakeMachine>(""))?;
    let found: Vec<_> = match input.instance_ids {
        None => {
            let runs = |it: &FakeMachine| it.state == ec2::InstanceStateName::Running;
            all.into_iter().filter(runs).collect()
        }
        Some(ids) => all.into_iter().filter(|it| ids.contains(&it.id)).collect(),
    };
    if found.is_empty() && input.filters.is_none() {
        return Err(NO_INSTANCE.because("The instance ID does not exist"));
    }
    Ok(ec2::DescribeInstancesOutput {
        reservations: Some(vec![ec2::Reservation {
            instances: Some(found.into_iter().map(machine).collect()),
            ..Default::default()
        }]),
        ..Default::default()
    })
}

async fn describe_instance_types(
    _: Cx,
    _: ec2::DescribeInstanceTypesInput,
) -> Result<ec2::DescribeInstanceTypesOutput, Error> {
    let kind = ec2::InstanceTypeInfo {
        v_cpu_info: Some(ec2::VCpuInfo {
            default_v_cpus: Some(2),
            ..Default::default()
        }),
        memory_info: Some(ec2::MemoryInfo {
            size_in_mi_b: Some(1024),
        }),
        ..Default::default()
    };
    Ok(ec2::DescribeInstanceTypesOutput {
        instance_types: Some(vec![kind]),
        ..Default::default()
    })
}

fn machine(found: FakeMachine) -> ec2::Instance {
    let interface = ec2::InstanceNetworkInterface {
        network_interface_id: Some(found.interface),
        ..Default::default()
    };
    ec2::Instance {
        instance_id: Some(found.id),
        image_id: Some("ami-1".into()),
        vpc_id: Some("vpc-1".into()),
        subnet_id: Some(found.subnet),
        private_ip_address: Some(found.address),
        network_interfaces: Some(vec![interface]),
        placement: Some(ec2::Placement {
            availability_zone: Some(found.zone),
            ..Default::default()
        }),
        state: Some(ec2::InstanceState {
            name: Some(found.state),
            ..Default::default()
        }),
        iam_instance_profile: Some(ec2::IamInstanceProfile {
            arn: Some("arn:aws:iam::000000000000:instance-profile/nodes".into()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn describe_subnets(
    _: Cx,
    input: ec2::DescribeSubnetsInput,
) -> Result<ec2::DescribeSubnetsOutput, Error> {
    let mut subnets = Vec::new();
    for id in input.subnet_ids.unwrap_or_default() {
        if !["subnet-in", "subnet-out"].contains(&id.as_str()) {
            return Err(NO_SUBNET.because(format!("The subnet ID '{id}' does not exist")));
        }
        subnets.push(ec2::Subnet {
            subnet_id: Some(id),
            vpc_id: Some("vpc-1".into()),
            ..Default::default()
        });
    }
    Ok(ec2::DescribeSubnetsOutput {
        subnets: Some(subnets),
        ..Default::default()
    })
}

async fn describe_security_groups(
    _: Cx,
    input: ec2::DescribeSecurityGroupsInput,
) -> Result<ec2::DescribeSecurityGroupsOutput, Error> {
    let mut groups = Vec::new();
    for id in input.group_ids.unwrap_or_default() {
        if id != "sg-1" {
            return Err(NO_GROUP.because(format!("The security group '{id}' does not exist")));
        }
        groups.push(ec2::SecurityGroup {
            group_id: Some(id),
            vpc_id: Some("vpc-1".into()),
            ..Default::default()
        });
    }
    Ok(ec2::DescribeSecurityGroupsOutput {
        security_groups: Some(groups),
        ..Default::default()
    })
}

/// A registered target. A test sets what probes find, and ends draining by deleting it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FakeTarget {
    pub address: String,
    pub port: i32,
    pub state: elbv2::TargetHealthStateEnum,
}

impl FakeTarget {
    fn of(target: elbv2::TargetDescription, state: elbv2::TargetHealthStateEnum) -> Self {
        Self {
            address: target.id,
            port: target.port.unwrap_or(80),
            state,
        }
    }
}

impl Record for FakeTarget {
    const KIND: &'static str = "fake.target";
    fn key(&self) -> String {
        format!("{}/{}", self.address, self.port)
    }
}

/// What new targets are found to be, when it is not healthy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FakeProbe {
    pub state: elbv2::TargetHealthStateEnum,
    /// Deregistered targets stay until a test takes them away.
    pub slow_drain: bool,
}

impl Record for FakeProbe {
    const KIND: &'static str = "fake.probe";
    fn key(&self) -> String {
        "probe".into()
    }
}

pub fn elbv2() -> Service {
    Service::new(&shapes::elbv2::MODEL)
        .on(describe_target_groups, testkit::not_asked())
        .on(register_targets, testkit::not_asked())
        .on(deregister_targets, testkit::not_asked())
        .on(describe_target_health, testkit::not_asked())
}

async fn describe_target_groups(
    _: Cx,
    input: elbv2::DescribeTargetGroupsInput,
) -> Result<elbv2::DescribeTargetGroupsOutput, Error> {
    let arn = input.target_group_arns.unwrap_or_default().remove(0);
    if !arn.contains("targetgroup/web/") && !arn.contains("targetgroup/alone/") {
        return Err(elbv2::errors::TargetGroupNotFoundException
            .because("One or more target groups not found"));
    }
    let used = arn.contains("/web/");
    let is_of_instances = arn.ends_with("/2");
    let group = elbv2::TargetGroup {
        target_group_arn: Some(arn),
        target_type: Some(match is_of_instances {
            true => elbv2::TargetTypeEnum::Instance,
            false => elbv2::TargetTypeEnum::Ip,
        }),
        load_balancer_arns: Some(if used { vec!["arn:lb".into()] } else { vec![] }),
        ..Default::default()
    };
    Ok(elbv2::DescribeTargetGroupsOutput {
        target_groups: Some(vec![group]),
        ..Default::default()
    })
}

async fn register_targets(
    cx: Cx,
    input: elbv2::RegisterTargetsInput,
) -> Result<elbv2::RegisterTargetsOutput, Error> {
    moment().await;
    cx.write(|tx| {
        let probe = tx.get::<FakeProbe>("probe")?;
        let state = probe.map_or(elbv2::TargetHealthStateEnum::Healthy, |it| it.state);
        for target in input.targets {
            tx.put(&FakeTarget::of(target, state))?;
        }
        Ok(elbv2::RegisterTargetsOutput {})
    })
}

async fn deregister_targets(
    cx: Cx,
    input: elbv2::DeregisterTargetsInput,
) -> Result<elbv2::DeregisterTargetsOutput, Error> {
    moment().await;
    cx.write(|tx| {
        let slow = tx
            .get::<FakeProbe>("probe")?
            .is_some_and(|it| it.slow_drain);
        for target in input.targets {
            if slow {
                let state = elbv2::TargetHealthStateEnum::Draining;
                tx.put(&FakeTarget::of(target, state))?;
            } else {
                let state = elbv2::TargetHealthStateEnum::Unused;
                tx.delete::<FakeTarget>(&FakeTarget::of(target, state).key())?;
            }
        }
        Ok(elbv2::DeregisterTargetsOutput {})
    })
}

async fn describe_target_health(
    cx: Cx,
    _: elbv2::DescribeTargetHealthInput,
) -> Result<elbv2::DescribeTargetHealthOutput, Error> {
    let targets = cx.read(|tx| tx.list::<FakeTarget>(""))?;
    let shown = targets
        .into_iter()
        .map(|it| elbv2::TargetHealthDescription {
            target: Some(elbv2::TargetDescription {
                id: it.address,
                port: Some(it.port),
                ..Default::default()
            }),
            target_health: Some(elbv2::TargetHealth {
                state: Some(it.state),
                description: (it.state == elbv2::TargetHealthStateEnum::Unhealthy)
                    .then(|| "Request timed out".to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        });
    Ok(elbv2::DescribeTargetHealthOutput {
        target_health_descriptions: Some(shown.collect()),
    })
}

/// One role is there, and one below a path.
pub fn iam() -> Service {
    let iam = Service::new(&shapes::iam::MODEL);
    let iam = iam.on(get_instance_profile, testkit::not_asked());
    iam.lends_roles(|cx, name| {
        let path = match name {
            "execution" => "",
            "deep" => "path/",
            _ => return Ok(None),
        };
        Ok(Some(cloud::FoundRole {
            arn: format!("arn:aws:iam::{}:role/{path}{name}", cx.account()),
            ..Default::default()
        }))
    })
}

async fn get_instance_profile(
    _: Cx,
    _: iam::GetInstanceProfileInput,
) -> Result<iam::GetInstanceProfileOutput, Error> {
    let role = iam::Role {
        arn: "arn:aws:iam::000000000000:role/execution".into(),
        ..Default::default()
    };
    Ok(iam::GetInstanceProfileOutput {
        instance_profile: iam::InstanceProfile {
            roles: vec![role],
            ..Default::default()
        },
    })
}

pub fn logs() -> Service {
    Service::new(&shapes::logs::MODEL).on(create_log_stream, testkit::not_asked())
}

async fn create_log_stream(
    cx: Cx,
    input: logs::CreateLogStreamInput,
) -> Result<logs::CreateLogStreamOutput, Error> {
    if input.log_group_name != "/web" {
        return Err(logs::errors::ResourceNotFoundException
            .because("The specified log group does not exist."));
    }
    let group = format!("{}/{}", cx.region, input.log_group_name);
    cx.engine()
        .logs
        .create_stream(&group, &input.log_stream_name)
        .await
        .unwrap();
    Ok(Default::default())
}
