//! What most tests stand on, made by operations one by one: a network with a way out, two subnets, a
//! cluster, an image.

use std::fs;
use std::path::Path;

use e2e::{Docker, Machine, Pushed, eventually};
use serde_json::{Value, json};
use shapes::ec2::{
    AssociateRouteTableInput, AttachInternetGatewayInput, AuthorizeSecurityGroupEgressInput,
    AuthorizeSecurityGroupIngressInput, CreateInternetGatewayInput, CreateNetworkAclEntryInput,
    CreateNetworkAclInput, CreateRouteInput, CreateRouteTableInput, CreateSecurityGroupInput,
    CreateSubnetInput, CreateVpcInput, DescribeNetworkAclsInput, Filter, IpPermission, IpRange,
    PortRange, ReplaceNetworkAclAssociationInput, RevokeSecurityGroupEgressInput,
    RevokeSecurityGroupIngressInput, RuleAction, UserIdGroupPair,
};

pub const TEMPLATE: &str = include_str!("../../../neargate/src/templates/application.yaml");

pub struct Ground<'a> {
    pub machine: &'a Machine,
    pub vpc: String,
    pub subnets: [String; 2],
}

#[track_caller]
pub fn text(value: &Value) -> String {
    let text = value.as_str();
    text.unwrap_or_else(|| panic!("not a text: {value}"))
        .to_owned()
}

impl<'a> Ground<'a> {
    #[track_caller]
    pub fn new(machine: &'a Machine) -> Self {
        let vpc = machine.typed(CreateVpcInput {
            cidr_block: Some("10.1.0.0/16".into()),
            ..Default::default()
        });
        let vpc = vpc.vpc.unwrap().vpc_id.unwrap();
        let subnets = [
            subnet(machine, &vpc, "10.1.0.0/24", "us-east-1a"),
            subnet(machine, &vpc, "10.1.1.0/24", "us-east-1b"),
        ];
        let gateway = machine.typed(CreateInternetGatewayInput::default());
        let gateway = gateway
            .internet_gateway
            .unwrap()
            .internet_gateway_id
            .unwrap();
        machine.typed(AttachInternetGatewayInput {
            internet_gateway_id: gateway.clone(),
            vpc_id: vpc.clone(),
            ..Default::default()
        });
        let table = machine.typed(CreateRouteTableInput {
            vpc_id: vpc.clone(),
            ..Default::default()
        });
        let table = table.route_table.unwrap().route_table_id.unwrap();
        machine.typed(CreateRouteInput {
            route_table_id: table.clone(),
            destination_cidr_block: Some("0.0.0.0/0".into()),
            gateway_id: Some(gateway),
            ..Default::default()
        });
        for subnet in &subnets {
            machine.typed(AssociateRouteTableInput {
                route_table_id: table.clone(),
                subnet_id: Some(subnet.clone()),
                ..Default::default()
            });
        }
        machine.ask("ecs", "CreateCluster", json!({ "clusterName": "test" }));
        machine.ask("logs", "CreateLogGroup", json!({ "logGroupName": "/test" }));
        Self {
            machine,
            vpc,
            subnets,
        }
    }

    /// A subnet without a way out of the network.
    pub fn closed_subnet(&self) -> String {
        subnet(self.machine, &self.vpc, "10.1.9.0/24", "us-east-1a")
    }

    /// A security group that lets nothing in, and everything out.
    pub fn group(&self, name: &str) -> String {
        let created = self.machine.typed(CreateSecurityGroupInput {
            group_name: name.into(),
            description: name.into(),
            vpc_id: Some(self.vpc.clone()),
            ..Default::default()
        });
        created.group_id.unwrap()
    }

    /// Lets a port in from everywhere.
    pub fn open_port(&self, group: &str, port: u16) {
        let everywhere = IpRange {
            cidr_ip: Some("0.0.0.0/0".into()),
            ..Default::default()
        };
        let rule = IpPermission {
            ip_ranges: Some(vec![everywhere]),
            ..tcp(port)
        };
        self.allow(group, rule);
    }

    /// Lets a port in from the members of another group.
    pub fn open_port_to(&self, group: &str, port: u16, from: &str) {
        self.allow(group, from_group(port, from));
    }

    /// The same with a range of ports.
    pub fn open_ports_to(&self, group: &str, first: u16, last: u16, from: &str) {
        let rule = IpPermission {
            to_port: Some(last.into()),
            ..from_group(first, from)
        };
        self.allow(group, rule);
    }

    fn allow(&self, group: &str, rule: IpPermission) {
        self.machine.typed(AuthorizeSecurityGroupIngressInput {
            group_id: Some(group.into()),
            ip_permissions: Some(vec![rule]),
            ..Default::default()
        });
    }

    /// Puts a network ACL of its own at a subnet, which lets everything pass but HTTPS on its way out.
    pub fn guarded(&self, subnet: &str) -> String {
        let found = self.machine.typed(DescribeNetworkAclsInput {
            filters: Some(vec![Filter {
                name: Some("association.subnet-id".into()),
                values: Some(vec![subnet.into()]),
            }]),
            ..Default::default()
        });
        let before = found.network_acls.unwrap().remove(0);
        let mut associations = before.associations.into_iter().flatten();
        let own = associations.find(|it| it.subnet_id.as_deref() == Some(subnet));
        let made = self.machine.typed(CreateNetworkAclInput {
            vpc_id: self.vpc.clone(),
            ..Default::default()
        });
        let id = made.network_acl.unwrap().network_acl_id.unwrap();
        for (egress, number, action, protocol) in [
            (true, 90, RuleAction::Deny, "6"),
            (true, 100, RuleAction::Allow, "-1"),
            (false, 100, RuleAction::Allow, "-1"),
        ] {
            let ports = PortRange {
                from: Some(443),
                to: Some(443),
            };
            self.machine.typed(CreateNetworkAclEntryInput {
                network_acl_id: id.clone(),
                egress,
                rule_number: number,
                rule_action: action,
                protocol: protocol.into(),
                port_range: (protocol == "6").then_some(ports),
                cidr_block: Some("0.0.0.0/0".into()),
                ..Default::default()
            });
        }
        self.machine.typed(ReplaceNetworkAclAssociationInput {
            association_id: own.unwrap().network_acl_association_id.unwrap(),
            network_acl_id: id.clone(),
            ..Default::default()
        });
        id
    }

    /// Lets nothing out but TCP to one port.
    pub fn let_out_only(&self, group: &str, port: u16) {
        let everywhere = IpRange {
            cidr_ip: Some("0.0.0.0/0".into()),
            ..Default::default()
        };
        let all = IpPermission {
            ip_protocol: Some("-1".into()),
            ip_ranges: Some(vec![everywhere.clone()]),
            ..Default::default()
        };
        self.machine.typed(RevokeSecurityGroupEgressInput {
            group_id: group.into(),
            ip_permissions: Some(vec![all]),
            ..Default::default()
        });
        let one = IpPermission {
            ip_ranges: Some(vec![everywhere]),
            ..tcp(port)
        };
        self.machine.typed(AuthorizeSecurityGroupEgressInput {
            group_id: group.into(),
            ip_permissions: Some(vec![one]),
            ..Default::default()
        });
    }

    pub fn close_port_to(&self, group: &str, port: u16, from: &str) {
        self.machine.typed(RevokeSecurityGroupIngressInput {
            group_id: Some(group.into()),
            ip_permissions: Some(vec![from_group(port, from)]),
            ..Default::default()
        });
    }

    /// Registers a task definition of one container; `more` overrides its members.
    pub fn definition(&self, family: &str, image: &str, command: &[&str], more: Value) -> String {
        let mut container = json!({
            "name": "main",
            "image": image,
            "essential": true,
            "portMappings": [{ "containerPort": 8080 }],
            "logConfiguration": { "logDriver": "awslogs", "options": {
                "awslogs-group": "/test", "awslogs-region": "us-east-1", "awslogs-stream-prefix": family,
            } },
        });
        if !command.is_empty() {
            container["command"] = json!(command);
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            container[name] = value.clone();
        }
        let input = json!({
            "family": family,
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": self.execution_role(),
            "containerDefinitions": [container],
        });
        let answer = self.machine.ask("ecs", "RegisterTaskDefinition", input);
        text(&answer["taskDefinition"]["taskDefinitionArn"])
    }

    pub fn execution_role(&self) -> String {
        let trust = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "ecs-tasks.amazonaws.com" }, "Action": "sts:AssumeRole",
        }] });
        let input =
            json!({ "RoleName": "execution", "AssumeRolePolicyDocument": trust.to_string() });
        match self.machine.call("iam", "CreateRole", input) {
            Ok(answer) => text(&answer["Role"]["Arn"]),
            Err(error) if error.code.starts_with("EntityAlreadyExists") => {
                let answer = self
                    .machine
                    .ask("iam", "GetRole", json!({ "RoleName": "execution" }));
                text(&answer["Role"]["Arn"])
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    pub fn placed(&self, subnet: &str, group: &str) -> Value {
        json!({ "awsvpcConfiguration": { "subnets": [subnet], "securityGroups": [group], "assignPublicIp": "ENABLED" } })
    }

    /// Starts one task and returns its ARN.
    #[track_caller]
    pub fn run(&self, definition: &str, subnet: &str, group: &str) -> String {
        let input = json!({
            "cluster": "test",
            "taskDefinition": definition,
            "launchType": "FARGATE",
            "networkConfiguration": self.placed(subnet, group),
        });
        let answer = self.machine.ask("ecs", "RunTask", input);
        assert_eq!(
            answer["failures"].as_array().map_or(0, Vec::len),
            0,
            "{answer}"
        );
        text(&answer["tasks"][0]["taskArn"])
    }

    #[track_caller]
    pub fn task(&self, arn: &str) -> Value {
        let input = json!({ "cluster": "test", "tasks": [arn] });
        self.machine.ask("ecs", "DescribeTasks", input)["tasks"][0].clone()
    }

    /// The task, when its status is `status`.
    #[track_caller]
    pub fn task_when(&self, arn: &str, status: &str) -> Value {
        eventually(&format!("the task is {status}"), || {
            let task = self.task(arn);
            if task["lastStatus"] == status {
                Ok(task)
            } else {
                Err(task.to_string())
            }
        })
    }

    /// The address of a running task's interface.
    #[track_caller]
    pub fn address(&self, task: &str) -> String {
        let task = self.task_when(task, "RUNNING");
        let details = task["attachments"][0]["details"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = details.iter().find(|it| it["name"] == "privateIPv4Address");
        text(&found.unwrap_or_else(|| panic!("no address: {task}"))["value"])
    }

    /// Lines that containers of a family have printed.
    pub fn printed(&self, family: &str) -> Vec<String> {
        let input = json!({ "logGroupName": "/test", "logStreamNamePrefix": format!("{family}/") });
        let answer = self.machine.ask("logs", "FilterLogEvents", input);
        let events = answer["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|it| text(&it["message"])).collect()
    }

    #[track_caller]
    pub fn service(&self, name: &str) -> Value {
        let input = json!({ "cluster": "test", "services": [name] });
        self.machine.ask("ecs", "DescribeServices", input)["services"][0].clone()
    }

    /// A load balancer that listens on `port`, and the target group behind it.
    #[track_caller]
    pub fn balancer(&self, name: &str, port: u16) -> Balancer {
        self.balancer_of(name, port, "ip")
    }

    /// The same for targets of a type.
    #[track_caller]
    pub fn balancer_of(&self, name: &str, port: u16, targets: &str) -> Balancer {
        let elb = |operation: &str, input: Value| {
            self.machine.ask("elasticloadbalancing", operation, input)
        };
        let group = self.group(&format!("{name}-balancer"));
        self.open_port(&group, port);
        let created = elb(
            "CreateLoadBalancer",
            json!({ "Name": name, "Subnets": self.subnets, "SecurityGroups": [group] }),
        );
        let (arn, host) = {
            let it = &created["LoadBalancers"][0];
            (text(&it["LoadBalancerArn"]), text(&it["DNSName"]))
        };
        let created = elb(
            "CreateTargetGroup",
            json!({
                "Name": name, "Protocol": "HTTP", "Port": 8080, "VpcId": self.vpc, "TargetType": targets,
                "HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2,
                "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 2,
            }),
        );
        let target_group = text(&created["TargetGroups"][0]["TargetGroupArn"]);
        elb(
            "CreateListener",
            json!({
                "LoadBalancerArn": arn, "Protocol": "HTTP", "Port": port,
                "DefaultActions": [{ "Type": "forward", "TargetGroupArn": target_group }],
            }),
        );
        Balancer {
            host,
            group,
            target_group,
        }
    }

    pub fn register(&self, target_group: &str, address: &str) {
        let input =
            json!({ "TargetGroupArn": target_group, "Targets": [{ "Id": address, "Port": 8080 }] });
        self.machine
            .ask("elasticloadbalancing", "RegisterTargets", input);
    }

    /// Waits until the only target is in a state, and returns its reason.
    #[track_caller]
    pub fn target_when(&self, target_group: &str, state: &str) -> String {
        eventually(&format!("the target is {state}"), || {
            let input = json!({ "TargetGroupArn": target_group });
            let answer = self
                .machine
                .ask("elasticloadbalancing", "DescribeTargetHealth", input);
            let health = &answer["TargetHealthDescriptions"][0]["TargetHealth"];
            match health["State"] == state {
                true => Ok(health["Reason"].as_str().unwrap_or_default().to_owned()),
                false => Err(answer.to_string()),
            }
        })
    }
}

pub struct Balancer {
    pub host: String,
    pub group: String,
    pub target_group: String,
}

fn subnet(machine: &Machine, vpc: &str, range: &str, zone: &str) -> String {
    let created = machine.typed(CreateSubnetInput {
        vpc_id: vpc.into(),
        cidr_block: Some(range.into()),
        availability_zone: Some(zone.into()),
        ..Default::default()
    });
    created.subnet.unwrap().subnet_id.unwrap()
}

fn tcp(port: u16) -> IpPermission {
    IpPermission {
        ip_protocol: Some("tcp".into()),
        from_port: Some(port.into()),
        to_port: Some(port.into()),
        ..Default::default()
    }
}

fn from_group(port: u16, group: &str) -> IpPermission {
    let member = UserIdGroupPair {
        group_id: Some(group.into()),
        ..Default::default()
    };
    IpPermission {
        user_id_group_pairs: Some(vec![member]),
        ..tcp(port)
    }
}

/// An image of the probe, pushed as any client would. Its web server answers with a text.
#[track_caller]
pub fn probe_image(machine: &Machine) -> String {
    machine.ask(
        "ecr",
        "CreateRepository",
        json!({ "repositoryName": "probe" }),
    );
    let probe = Path::new(env!("CARGO_BIN_EXE_probe"));
    Pushed::program(probe, &[]).push(machine, "probe", "latest")
}

/// An image whose web server answers with `text`, pushed with the text as its tag.
#[track_caller]
pub fn web_image(machine: &Machine, text: &str) -> String {
    let repository = json!({ "repositoryName": "web" });
    if let Err(error) = machine.call("ecr", "CreateRepository", repository) {
        assert_eq!(error.code, "RepositoryAlreadyExistsException", "{error:?}");
    }
    let probe = Path::new(env!("CARGO_BIN_EXE_probe"));
    Pushed::program(probe, &["serve", text]).push(machine, "web", text)
}

/// Has docker build an image out of a folder that holds the probe.
#[track_caller]
pub fn docker_image(docker: &Docker, name: &str, dockerfile: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(env!("CARGO_BIN_EXE_probe"), folder.path().join("probe")).unwrap();
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let built = docker.run_in(folder.path(), &["build", "-t", name, "."]);
    assert_eq!(built.code, 0, "{built:?}");
}
