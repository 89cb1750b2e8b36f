//! Resources of Terraform's AWS provider in the form that CloudFormation gives them: those that tasks, networks and
//! load balancers are made of.

use serde_json::{Map, Value as Json, json};
use why::ahead::reference;

use super::plan::View;

/// What is added to the resource's address, the type, and the properties.
type Made = Vec<(String, &'static str, Json)>;

const EVERYTHING: &str = "0.0.0.0/0";

/// None: a type that is not looked into.
pub fn converted(it: &View<'_>) -> Option<Made> {
    let plain = |kind: &'static str, members: &[(&str, &str)]| {
        vec![(String::new(), kind, Json::Object(it.object(members)))]
    };
    Some(match it.kind() {
        "aws_vpc" => plain(
            "AWS::EC2::VPC",
            &[
                ("CidrBlock", "cidr_block"),
                ("EnableDnsSupport", "enable_dns_support"),
            ],
        ),
        "aws_subnet" => plain(
            "AWS::EC2::Subnet",
            &[
                ("VpcId", "vpc_id"),
                ("CidrBlock", "cidr_block"),
                ("AvailabilityZone", "availability_zone"),
                ("MapPublicIpOnLaunch", "map_public_ip_on_launch"),
            ],
        ),
        "aws_internet_gateway" => gateway(it),
        "aws_internet_gateway_attachment" => plain(
            "AWS::EC2::VPCGatewayAttachment",
            &[
                ("VpcId", "vpc_id"),
                ("InternetGatewayId", "internet_gateway_id"),
            ],
        ),
        "aws_nat_gateway" => plain("AWS::EC2::NatGateway", &[("SubnetId", "subnet_id")]),
        "aws_route_table" | "aws_default_route_table" => route_table(it),
        "aws_route" => {
            let mut route = it.object(&[
                ("RouteTableId", "route_table_id"),
                ("DestinationCidrBlock", "destination_cidr_block"),
            ]);
            route.extend(target(it, ""));
            vec![(String::new(), "AWS::EC2::Route", Json::Object(route))]
        }
        "aws_route_table_association" => plain(
            "AWS::EC2::SubnetRouteTableAssociation",
            &[
                ("SubnetId", "subnet_id"),
                ("RouteTableId", "route_table_id"),
            ],
        ),
        "aws_vpc_endpoint" => plain(
            "AWS::EC2::VPCEndpoint",
            &[("VpcId", "vpc_id"), ("ServiceName", "service_name")],
        ),
        "aws_security_group" => group(it),
        "aws_security_group_rule" => group_rule(it)?,
        "aws_vpc_security_group_ingress_rule" => separate_rule(
            it,
            "AWS::EC2::SecurityGroupIngress",
            "SourceSecurityGroupId",
        ),
        "aws_vpc_security_group_egress_rule" => separate_rule(
            it,
            "AWS::EC2::SecurityGroupEgress",
            "DestinationSecurityGroupId",
        ),
        "aws_lb" | "aws_alb" => {
            let properties = json!({
                "Subnets": it.many("subnets"),
                "SecurityGroups": it.many("security_groups"),
                "Type": it.value("load_balancer_type"),
            });
            vec![(
                String::new(),
                "AWS::ElasticLoadBalancingV2::LoadBalancer",
                properties,
            )]
        }
        "aws_lb_target_group" | "aws_alb_target_group" => target_group(it),
        "aws_lb_listener" | "aws_alb_listener" => {
            let properties = json!({
                "LoadBalancerArn": it.one("load_balancer_arn"),
                "DefaultActions": actions(it, "default_action"),
            });
            vec![(
                String::new(),
                "AWS::ElasticLoadBalancingV2::Listener",
                properties,
            )]
        }
        "aws_lb_listener_rule" | "aws_alb_listener_rule" => {
            let properties = json!({
                "ListenerArn": it.one("listener_arn"),
                "Actions": actions(it, "action"),
            });
            vec![(
                String::new(),
                "AWS::ElasticLoadBalancingV2::ListenerRule",
                properties,
            )]
        }
        "aws_autoscaling_group" => {
            let template = it.one("launch_template.0.id");
            let template = match template.is_null() {
                true => it.one("launch_template.0.name"),
                false => template,
            };
            let properties = json!({
                "VPCZoneIdentifier": it.many("vpc_zone_identifier"),
                "LaunchTemplate": { "LaunchTemplateId": template },
            });
            vec![(
                String::new(),
                "AWS::AutoScaling::AutoScalingGroup",
                properties,
            )]
        }
        "aws_launch_template" => {
            let interface = "network_interfaces.0";
            let properties = json!({ "LaunchTemplateData": {
                "UserData": it.value("user_data"),
                "SecurityGroupIds": it.many("vpc_security_group_ids"),
                "NetworkInterfaces": [{
                    "AssociatePublicIpAddress": it.value(&format!("{interface}.associate_public_ip_address")),
                    "Groups": it.many(&format!("{interface}.security_groups")),
                }],
            } });
            vec![(String::new(), "AWS::EC2::LaunchTemplate", properties)]
        }
        "aws_instance" => {
            let data = ["user_data_base64", "user_data"].map(|name| it.value(name));
            let properties = json!({
                "SubnetId": it.one("subnet_id"),
                "SecurityGroupIds": it.many("vpc_security_group_ids"),
                "UserData": data.into_iter().find(|it| !it.is_null()),
                "NetworkInterfaces": [{
                    "AssociatePublicIpAddress": it.value("associate_public_ip_address"),
                }],
            });
            vec![(String::new(), "AWS::EC2::Instance", properties)]
        }
        "aws_ecs_capacity_provider" => {
            let group = it.one("auto_scaling_group_provider.0.auto_scaling_group_arn");
            let properties =
                json!({ "AutoScalingGroupProvider": { "AutoScalingGroupArn": group } });
            vec![(String::new(), "AWS::ECS::CapacityProvider", properties)]
        }
        "aws_ecs_task_definition" => definition(it),
        "aws_ecs_service" => service(it),
        "aws_iam_role" => role(it),
        "aws_iam_policy" => plain("AWS::IAM::ManagedPolicy", &[("PolicyDocument", "policy")]),
        "aws_iam_role_policy" => plain(
            "AWS::IAM::RolePolicy",
            &[("RoleName", "role"), ("PolicyDocument", "policy")],
        ),
        "aws_iam_role_policy_attachment" => attachment(it),
        "aws_cloudwatch_log_group" => plain("AWS::Logs::LogGroup", &[("LogGroupName", "name")]),
        "aws_ecr_repository" => plain(
            "AWS::ECR::Repository",
            &[
                ("RepositoryName", "name"),
                ("ImageTagMutability", "image_tag_mutability"),
            ],
        ),
        "aws_secretsmanager_secret" => plain("AWS::SecretsManager::Secret", &[("Name", "name")]),
        "aws_ssm_parameter" => plain("AWS::SSM::Parameter", &[("Name", "name")]),
        _ => return None,
    })
}

fn gateway(it: &View<'_>) -> Made {
    let own = (String::new(), "AWS::EC2::InternetGateway", json!({}));
    let vpc = it.one("vpc_id");
    if vpc.is_null() {
        return vec![own];
    }
    let attachment = json!({ "VpcId": vpc, "InternetGatewayId": reference(it.address(), None) });
    vec![
        own,
        (
            ":attached".to_owned(),
            "AWS::EC2::VPCGatewayAttachment",
            attachment,
        ),
    ]
}

/// Where a route leads to; `path` is where its block stands, as `route.0.`.
fn target(it: &View<'_>, path: &str) -> Map<String, Json> {
    const TARGETS: [(&str, &str); 6] = [
        ("NatGatewayId", "nat_gateway_id"),
        ("GatewayId", "gateway_id"),
        ("NetworkInterfaceId", "network_interface_id"),
        ("TransitGatewayId", "transit_gateway_id"),
        ("VpcPeeringConnectionId", "vpc_peering_connection_id"),
        ("VpcEndpointId", "vpc_endpoint_id"),
    ];
    let all = TARGETS
        .iter()
        .map(|(name, attribute)| ((*name).to_owned(), it.one(&format!("{path}{attribute}"))));
    // In a block, what is not given is an empty text.
    all.filter(|(_, it)| !it.is_null() && it != "").collect()
}

fn route_table(it: &View<'_>) -> Made {
    let mut all: Made = vec![(
        String::new(),
        "AWS::EC2::RouteTable",
        json!({ "VpcId": it.one("vpc_id") }),
    )];
    // Blocks are a set: of one whose target is not known, the plan has nothing, and the configuration all.
    let known = it.value("route").as_array().map_or(0, Vec::len);
    let blocks = known.max(it.blocks("route"));
    for at in 0..blocks {
        let path = format!("route.{at}.");
        let mut route = target(it, &path);
        let range = it.one(&format!("{path}cidr_block"));
        let range = match range.is_null() {
            true => it.constant(&format!("{path}cidr_block")),
            false => range,
        };
        route.insert("DestinationCidrBlock".to_owned(), range);
        route.insert(
            "RouteTableId".to_owned(),
            reference(it.address(), None).into(),
        );
        all.push((
            format!(":route{at}"),
            "AWS::EC2::Route",
            Json::Object(route),
        ));
    }
    all
}

fn group(it: &View<'_>) -> Made {
    // Without blocks, the provider takes the rule away that AWS makes, which lets everything out.
    let properties = json!({
        "VpcId": it.one("vpc_id"),
        "GroupName": it.value("name"),
        "SecurityGroupIngress": rules(it, "ingress", "SourceSecurityGroupId"),
        "SecurityGroupEgress": rules(it, "egress", "DestinationSecurityGroupId"),
    });
    vec![(String::new(), "AWS::EC2::SecurityGroup", properties)]
}

fn rules(it: &View<'_>, block: &str, peer: &str) -> Json {
    let count = (it.value(block).as_array().map_or(0, Vec::len)).max(it.blocks(block));
    let mut all = Vec::new();
    for at in 0..count {
        let path = |name: &str| format!("{block}.{at}.{name}");
        let known = |name: &str| match it.value(&path(name)) {
            Json::Null => it.constant(&path(name)),
            known => known.clone(),
        };
        let rule = json!({
            "IpProtocol": known("protocol"), "FromPort": known("from_port"), "ToPort": known("to_port"),
        });
        all.extend(each(&rule, &known("cidr_blocks"), "CidrIp"));
        all.extend(each(&rule, &it.many(&path("security_groups")), peer));
        if it.value(&path("self")) == &Json::Bool(true) {
            all.extend(each(&rule, &json!([reference(it.address(), None)]), peer));
        }
    }
    Json::Array(all)
}

/// The rule once for each peer.
fn each(rule: &Json, peers: &Json, name: &str) -> Vec<Json> {
    let peers = peers.as_array().into_iter().flatten();
    peers
        .map(|peer| {
            let mut rule = rule.clone();
            rule[name] = peer.clone();
            rule
        })
        .collect()
}

fn group_rule(it: &View<'_>) -> Option<Made> {
    let (kind, peer) = match it.value("type").as_str()? {
        "ingress" => ("AWS::EC2::SecurityGroupIngress", "SourceSecurityGroupId"),
        _ => (
            "AWS::EC2::SecurityGroupEgress",
            "DestinationSecurityGroupId",
        ),
    };
    let rule = Json::Object(it.object(&[
        ("GroupId", "security_group_id"),
        ("IpProtocol", "protocol"),
        ("FromPort", "from_port"),
        ("ToPort", "to_port"),
    ]));
    let mut all = each(&rule, it.value("cidr_blocks"), "CidrIp");
    let source = it.one("source_security_group_id");
    if !source.is_null() {
        all.extend(each(&rule, &json!([source]), peer));
    }
    let all = all.into_iter().enumerate();
    Some(all.map(|(at, it)| (format!(":{at}"), kind, it)).collect())
}

fn separate_rule(it: &View<'_>, kind: &'static str, peer: &str) -> Made {
    let rule = it.object(&[
        ("GroupId", "security_group_id"),
        ("IpProtocol", "ip_protocol"),
        ("FromPort", "from_port"),
        ("ToPort", "to_port"),
        ("CidrIp", "cidr_ipv4"),
        (peer, "referenced_security_group_id"),
    ]);
    vec![(String::new(), kind, Json::Object(rule))]
}

fn target_group(it: &View<'_>) -> Made {
    let mut properties = it.object(&[
        ("VpcId", "vpc_id"),
        ("Port", "port"),
        ("TargetType", "target_type"),
        ("HealthCheckPath", "health_check.0.path"),
        ("HealthCheckPort", "health_check.0.port"),
    ]);
    properties.insert("Name".to_owned(), it.value("name").clone());
    vec![(
        String::new(),
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        Json::Object(properties),
    )]
}

fn actions(it: &View<'_>, block: &str) -> Json {
    let count = (it.value(block).as_array().map_or(0, Vec::len)).max(it.blocks(block));
    let all = (0..count).map(|at| {
        let path = format!("{block}.{at}");
        let groups = (0..it.blocks(&format!("{path}.forward.0.target_group"))).map(|group| {
            json!({ "TargetGroupArn": it.one(&format!("{path}.forward.0.target_group.{group}.arn")) })
        });
        json!({
            "Type": it.value(&format!("{path}.type")),
            "TargetGroupArn": it.one(&format!("{path}.target_group_arn")),
            "ForwardConfig": { "TargetGroups": groups.collect::<Vec<_>>() },
        })
    });
    Json::Array(all.collect())
}

/// Names as a template writes them.
fn capitalized(value: &Json) -> Json {
    match value {
        Json::Array(items) => items.iter().map(capitalized).collect(),
        Json::Object(members) => {
            let all = members.iter().map(|(name, value)| {
                let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
                // Options of a log driver are called as they are.
                let inner = match name.as_str() {
                    "options" | "dockerLabels" => value.clone(),
                    _ => capitalized(value),
                };
                (first.to_uppercase() + rest, inner)
            });
            Json::Object(all.collect())
        }
        other => other.clone(),
    }
}

fn definition(it: &View<'_>) -> Made {
    let mut properties = it.object(&[
        ("Family", "family"),
        ("NetworkMode", "network_mode"),
        ("Cpu", "cpu"),
        ("Memory", "memory"),
        ("ExecutionRoleArn", "execution_role_arn"),
        ("TaskRoleArn", "task_role_arn"),
    ]);
    let written = it.value("container_definitions").as_str();
    let containers: Json = written
        .and_then(|it| serde_json::from_str(it).ok())
        .unwrap_or_default();
    properties.insert("ContainerDefinitions".to_owned(), capitalized(&containers));
    vec![(
        String::new(),
        "AWS::ECS::TaskDefinition",
        Json::Object(properties),
    )]
}

fn service(it: &View<'_>) -> Made {
    let mut properties = it.object(&[
        ("TaskDefinition", "task_definition"),
        ("DesiredCount", "desired_count"),
        ("LaunchType", "launch_type"),
    ]);
    let network = "network_configuration.0";
    let is_public = it.value(&format!("{network}.assign_public_ip")) == &Json::Bool(true);
    if it.blocks("network_configuration") > 0 {
        let groups = it.many(&format!("{network}.security_groups"));
        properties.insert(
            "NetworkConfiguration".to_owned(),
            json!({ "AwsvpcConfiguration": {
                "Subnets": it.many(&format!("{network}.subnets")),
                "SecurityGroups": groups,
                "AssignPublicIp": if is_public { "ENABLED" } else { "DISABLED" },
            } }),
        );
    }
    let balanced = (0..it.blocks("load_balancer")).map(|at| {
        let path = |name: &str| format!("load_balancer.{at}.{name}");
        json!({
            "TargetGroupArn": it.one(&path("target_group_arn")),
            "ContainerName": it.value(&path("container_name")),
            "ContainerPort": it.value(&path("container_port")),
        })
    });
    properties.insert("LoadBalancers".to_owned(), Json::Array(balanced.collect()));
    properties.insert(
        "DeploymentConfiguration".to_owned(),
        Json::Object(it.object(&[
            (
                "MinimumHealthyPercent",
                "deployment_minimum_healthy_percent",
            ),
            ("MaximumPercent", "deployment_maximum_percent"),
        ])),
    );
    vec![(String::new(), "AWS::ECS::Service", Json::Object(properties))]
}

fn role(it: &View<'_>) -> Made {
    let inline = it.value("inline_policy").as_array().into_iter().flatten();
    let inline = inline.filter(|it| !it["policy"].is_null());
    let inline: Vec<Json> = inline
        .map(|it| json!({ "PolicyDocument": it["policy"] }))
        .collect();
    let properties = json!({
        "RoleName": it.value("name"),
        "AssumeRolePolicyDocument": it.value("assume_role_policy"),
        "ManagedPolicyArns": it.many("managed_policy_arns"),
        "Policies": inline,
    });
    vec![(String::new(), "AWS::IAM::Role", properties)]
}

/// A policy that a role gets beside its own: as a document of its own, wherever that is written.
fn attachment(it: &View<'_>) -> Made {
    let policy = it.one("policy_arn");
    let document = match policy.as_str().and_then(iam::managed_policy) {
        Some(document) => Json::String(document),
        // What is not known may allow anything.
        None => {
            json!({ "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": EVERYTHING }] })
        }
    };
    let properties = json!({ "RoleName": it.one("role"), "PolicyDocument": document });
    vec![(String::new(), "AWS::IAM::RolePolicy", properties)]
}
