//! Where engines go wrong with templates as people write them, over the real services.

use shapes::{cloudformation as api, ec2, ecs, elbv2, iam};

use crate::World;

impl World {
    async fn made(&self, template: &str) -> api::Stack {
        let input = api::CreateStackInput {
            stack_name: "Wild-Stack-With-A-Long-Name".into(),
            template_body: Some(template.into()),
            capabilities: Some(vec![api::Capability::CapabilityNamedIam]),
            ..Default::default()
        };
        let id = self
            .cx
            .call(input)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        self.ends(&id.stack_id.unwrap(), "CREATE_COMPLETE").await
    }

    async fn group(&self, id: &str) -> ec2::SecurityGroup {
        let input = ec2::DescribeSecurityGroupsInput {
            group_ids: Some(vec![id.into()]),
            ..Default::default()
        };
        self.cx
            .call(input)
            .await
            .unwrap()
            .security_groups
            .unwrap()
            .remove(0)
    }

    async fn definition(&self, arn: &str) -> ecs::TaskDefinition {
        let input = ecs::DescribeTaskDefinitionInput {
            task_definition: arn.into(),
            ..Default::default()
        };
        self.cx.call(input).await.unwrap().task_definition.unwrap()
    }
}

fn output(stack: &api::Stack, key: &str) -> String {
    let outputs = stack.outputs.as_ref().unwrap();
    let found = outputs
        .iter()
        .find(|it| it.output_key.as_deref() == Some(key));
    found.unwrap().output_value.clone().unwrap()
}

#[tokio::test]
async fn plain_scalars_stay_what_they_are_written_as() {
    let world = World::start();
    let stack = world
        .made(
            "
AWSTemplateFormatVersion: 2010-09-09
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16, Tags: [{Key: code, Value: 000400}, {Key: day, Value: 2020-01-02}]}}
  Subnet:
    Type: AWS::EC2::Subnet
    Properties:
      VpcId: !Ref Vpc
      CidrBlock: 10.0.0.0/24
      AvailabilityZone: !Select
        - 0
        - !GetAZs
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement: {Effect: Allow, Principal: {Service: ecs-tasks.amazonaws.com}, Action: sts:AssumeRole}
Outputs:
  Vpc: {Value: !Ref Vpc}
  Role: {Value: !Ref Role}
  Zone:
    Value: !GetAtt
      - Subnet
      - AvailabilityZone
",
        )
        .await;
    assert_eq!(output(&stack, "Zone"), "us-east-1a");
    let input = ec2::DescribeVpcsInput {
        vpc_ids: Some(vec![output(&stack, "Vpc")]),
        ..Default::default()
    };
    let vpc = world.cx.call(input).await.unwrap().vpcs.unwrap().remove(0);
    let tags = vpc.tags.unwrap();
    let tag = |key: &str| {
        let found = tags.iter().find(|it| it.key.as_deref() == Some(key));
        found.unwrap().value.clone().unwrap()
    };
    assert_eq!(
        (tag("code"), tag("day")),
        ("000400".into(), "2020-01-02".into())
    );
    let input = iam::GetRoleInput {
        role_name: output(&stack, "Role"),
    };
    let role = world.cx.call(input).await.unwrap().role;
    let document = role.assume_role_policy_document.unwrap();
    assert!(
        document.contains("2012-10-17%22") || document.contains("\"2012-10-17\""),
        "{document}"
    );
}

const TASK: &str = "
Parameters:
  Port: {Type: Number, Default: 9292}
  Unused: {Type: String, Default: x}
Conditions: {Never: !Equals [!Ref Unused, never]}
Metadata:
  AWS::CloudFormation::Interface: {ParameterGroups: [{Label: {default: Web}, Parameters: [Port]}]}
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: '{\"Version\": \"2012-10-17\", \"Statement\": {\"Effect\": \"Allow\", \"Principal\": {\"Service\": \"ecs-tasks.amazonaws.com\"}, \"Action\": \"sts:AssumeRole\"}}'
      ManagedPolicyArns: [arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy]
      Policies:
        - PolicyName: one
          PolicyDocument: {Version: 2012-10-17, Statement: {Effect: Allow, Action: 'logs:*', Resource: '*'}}
  Definition:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: wild
      Cpu: 256
      Memory: 512
      NetworkMode: awsvpc
      RequiresCompatibilities: [FARGATE]
      ExecutionRoleArn: !Ref Role
      TaskRoleArn: !GetAtt Role.Arn
      ContainerDefinitions:
        - Name: web
          Image: web:1
          Essential: 'true'
          PortMappings: [{ContainerPort: !Ref Port}]
Outputs: {Definition: {Value: !Ref Definition}, Role: {Value: !Ref Role}}
";

#[tokio::test]
async fn scalars_of_the_other_kind_are_taken() {
    let world = World::start();
    let stack = world.made(TASK).await;
    let definition = world.definition(&output(&stack, "Definition")).await;
    assert_eq!(
        (definition.cpu.as_deref(), definition.memory.as_deref()),
        (Some("256"), Some("512"))
    );
    let container = &definition.container_definitions.unwrap()[0];
    assert_eq!(container.essential, Some(true));
    assert_eq!(
        container.port_mappings.as_ref().unwrap()[0].container_port,
        Some(9292)
    );
}

#[tokio::test]
async fn the_name_of_a_role_is_taken_where_its_arn_belongs() {
    let world = World::start();
    let stack = world.made(TASK).await;
    let definition = world.definition(&output(&stack, "Definition")).await;
    let role = output(&stack, "Role");
    assert!(!role.starts_with("arn:"), "{role}");
    for arn in [definition.execution_role_arn, definition.task_role_arn] {
        assert!(
            arn.as_ref().is_some_and(|it| it.ends_with(&role)),
            "{arn:?}"
        );
    }
}

#[tokio::test]
async fn policies_may_be_text_and_one_statement_may_stand_alone() {
    let world = World::start();
    let stack = world.made(TASK).await;
    let input = iam::GetRolePolicyInput {
        role_name: output(&stack, "Role"),
        policy_name: "one".into(),
    };
    let policy = world.cx.call(input).await.unwrap().policy_document;
    assert!(policy.contains("logs"), "{policy}");
}

#[tokio::test]
async fn what_nothing_uses_does_no_harm_and_the_interface_is_shown() {
    let world = World::start();
    let stack = world.made(TASK).await;
    let input = api::GetTemplateSummaryInput {
        stack_name: stack.stack_id,
        ..Default::default()
    };
    let summary = world.cx.call(input).await.unwrap();
    assert!(summary.metadata.unwrap().contains("ParameterGroups"));
}

#[tokio::test]
async fn generated_names_keep_within_each_services_limits() {
    let world = World::start();
    let stack = world
        .made(
            "
Resources:
  TheRoleOfTheWebsiteWithAQuiteLongLogicalName:
    Type: AWS::IAM::Role
    Properties: {AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: {Effect: Allow, Principal: {Service: ecs-tasks.amazonaws.com}, Action: sts:AssumeRole}}}
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  TargetGroupWithALongLogicalName: {Type: AWS::ElasticLoadBalancingV2::TargetGroup, Properties: {VpcId: !Ref Vpc, Port: 80, Protocol: HTTP, TargetType: ip, HealthCheckIntervalSeconds: '30', TargetGroupAttributes: [{Key: deregistration_delay.timeout_seconds, Value: 30}]}}
Outputs:
  Role: {Value: !Ref TheRoleOfTheWebsiteWithAQuiteLongLogicalName}
  Group: {Value: !GetAtt TargetGroupWithALongLogicalName.TargetGroupName}
  GroupArn: {Value: !Ref TargetGroupWithALongLogicalName}
",
        )
        .await;
    let (role, group) = (output(&stack, "Role"), output(&stack, "Group"));
    assert!(
        role.len() <= 64 && role.starts_with("Wild-Stack-With"),
        "{role}"
    );
    assert!(group.len() <= 32 && group.starts_with("Wild-"), "{group}");
    let input = elbv2::DescribeTargetGroupAttributesInput {
        target_group_arn: output(&stack, "GroupArn"),
    };
    let attributes = world.cx.call(input).await.unwrap().attributes.unwrap();
    let delay = attributes
        .iter()
        .find(|it| it.key.as_deref() == Some("deregistration_delay.timeout_seconds"));
    assert_eq!(delay.unwrap().value.as_deref(), Some("30"));
}

const GROUPS: &str = "
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  Balancer: {Type: AWS::EC2::SecurityGroup, Properties: {VpcId: !Ref Vpc, GroupDescription: b, SecurityGroupIngress: [{CidrIp: 0.0.0.0/0, IpProtocol: TCP, FromPort: '80', ToPort: '80'}]}}
  Web:
    Type: AWS::EC2::SecurityGroup
    Properties:
      VpcId: !Ref Vpc
      GroupDescription: w
      SecurityGroupIngress:
        - {SourceSecurityGroupId: !GetAtt Balancer.GroupId, IpProtocol: tcp, FromPort: 80, ToPort: 9292}
        - {CidrIp: 10.0.0.0/8, IpProtocol: -1}
Outputs: {Balancer: {Value: !GetAtt Balancer.GroupId}, Web: {Value: !GetAtt Web.GroupId}}
";

#[tokio::test]
async fn rules_span_ports_and_may_have_none() {
    let world = World::start();
    let stack = world.made(GROUPS).await;
    let balancer = world.group(&output(&stack, "Balancer")).await;
    let rule = &balancer.ip_permissions.unwrap()[0];
    assert_eq!(
        (rule.ip_protocol.as_deref(), rule.from_port),
        (Some("tcp"), Some(80))
    );
    let web = world.group(&output(&stack, "Web")).await;
    let rules = web.ip_permissions.unwrap();
    let spans = rules.iter().find(|it| it.from_port == Some(80)).unwrap();
    assert_eq!(spans.to_port, Some(9292));
    assert_eq!(
        spans.user_id_group_pairs.as_ref().unwrap()[0].group_id,
        Some(output(&stack, "Balancer"))
    );
    assert!(
        rules
            .iter()
            .any(|it| it.ip_protocol.as_deref() == Some("-1")),
        "{rules:?}"
    );
    // No egress given means all egress.
    let egress = &web.ip_permissions_egress.unwrap()[0];
    assert_eq!(
        egress.ip_ranges.as_ref().unwrap()[0].cidr_ip.as_deref(),
        Some("0.0.0.0/0")
    );
}

async fn drifts(world: &World, stack: &api::Stack) -> Vec<(String, String)> {
    let name = stack.stack_id.clone().unwrap();
    let input = api::DetectStackDriftInput {
        stack_name: name.clone(),
        logical_resource_ids: None,
    };
    let id = world.cx.call(input).await.unwrap().stack_drift_detection_id;
    let input = api::DescribeStackDriftDetectionStatusInput {
        stack_drift_detection_id: id,
    };
    let status = world.cx.call(input).await.unwrap();
    assert_eq!(status.detection_status_reason, None);
    let input = api::DescribeStackResourceDriftsInput {
        stack_name: name,
        ..Default::default()
    };
    let drifts = world.cx.call(input).await.unwrap().stack_resource_drifts;
    (drifts.into_iter())
        .map(|it| {
            let paths: Vec<String> = (it.property_differences.unwrap_or_default().into_iter())
                .map(|it| {
                    format!(
                        "{} {} {}",
                        it.property_path, it.expected_value, it.actual_value
                    )
                })
                .collect();
            (it.logical_resource_id, paths.join("; "))
        })
        .collect()
}

#[tokio::test]
async fn a_rule_that_was_added_by_hand_is_drift_and_one_that_is_a_resource_is_not() {
    let world = World::start();
    let template = GROUPS.replace(
        "Outputs:",
        "  Own: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupId: !GetAtt Web.GroupId, CidrIp: 192.0.2.0/24, IpProtocol: tcp, FromPort: 22, ToPort: 22}}\nOutputs:",
    );
    let stack = world.made(&template).await;
    let none = ["Balancer", "Web"].map(|it| (it.to_owned(), String::new()));
    assert_eq!(drifts(&world, &stack).await, none);
    let input = ec2::AuthorizeSecurityGroupIngressInput {
        group_id: Some(output(&stack, "Web")),
        ip_protocol: Some("tcp".into()),
        from_port: Some(23),
        to_port: Some(23),
        cidr_ip: Some("0.0.0.0/0".into()),
        ..Default::default()
    };
    world.cx.call(input).await.unwrap();
    let found = drifts(&world, &stack).await;
    assert!(
        found[1].1.starts_with("/SecurityGroupIngress/2 null {"),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_application_that_nobody_touched_is_in_sync() {
    let world = World::start();
    let input = api::CreateStackInput {
        stack_name: "web".into(),
        template_body: Some(crate::TEMPLATE.into()),
        parameters: crate::parameters("000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1", "2"),
        capabilities: Some(vec![api::Capability::CapabilityIam]),
        ..Default::default()
    };
    let id = world.cx.call(input).await.unwrap().stack_id.unwrap();
    let stack = world.ends(&id, "CREATE_COMPLETE").await;
    let found = drifts(&world, &stack).await;
    assert!(found.len() >= 5, "{found:?}");
    assert!(found.iter().all(|it| it.1.is_empty()), "{found:#?}");
    let input = ecs::UpdateServiceInput {
        cluster: Some("web".into()),
        service: "web".into(),
        desired_count: Some(1),
        ..Default::default()
    };
    world.cx.call(input).await.unwrap();
    let found = drifts(&world, &stack).await;
    assert!(
        found.iter().any(|it| it.1 == "/DesiredCount 2 1"),
        "{found:#?}"
    );
}

#[tokio::test]
async fn a_private_network_with_nat_gateways_comes_and_goes() {
    let world = World::start();
    let stack = world
        .made(
            "
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  Public: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: 10.0.0.0/24}}
  Private: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: 10.0.1.0/24}}
  Internet: {Type: AWS::EC2::InternetGateway}
  Attached: {Type: AWS::EC2::VPCGatewayAttachment, Properties: {VpcId: !Ref Vpc, InternetGatewayId: !Ref Internet}}
  Table: {Type: AWS::EC2::RouteTable, Properties: {VpcId: !Ref Vpc}}
  Default: {Type: AWS::EC2::Route, DependsOn: Attached, Properties: {RouteTableId: !Ref Table, DestinationCidrBlock: 0.0.0.0/0, GatewayId: !Ref Internet}}
  In: {Type: AWS::EC2::SubnetRouteTableAssociation, Properties: {RouteTableId: !Ref Table, SubnetId: !Ref Public}}
  Address: {Type: AWS::EC2::EIP, DependsOn: Attached, Properties: {Domain: vpc}}
  Nat: {Type: AWS::EC2::NatGateway, Properties: {AllocationId: !GetAtt Address.AllocationId, SubnetId: !Ref Public}}
  Inner: {Type: AWS::EC2::RouteTable, Properties: {VpcId: !Ref Vpc}}
  Out: {Type: AWS::EC2::Route, Properties: {RouteTableId: !Ref Inner, DestinationCidrBlock: 0.0.0.0/0, NatGatewayId: !Ref Nat}}
  Within: {Type: AWS::EC2::SubnetRouteTableAssociation, Properties: {RouteTableId: !Ref Inner, SubnetId: !Ref Private}}
Outputs: {Inner: {Value: !Ref Inner}, Vpc: {Value: !Ref Vpc}}
",
        )
        .await;
    let (vpc, inner) = (output(&stack, "Vpc"), output(&stack, "Inner"));
    let leads_out = || {
        let spec = world.sim.network.vpcs.lock().unwrap().get(&vpc).cloned()?;
        let table = spec.route_tables.into_iter().find(|it| it.id == inner)?;
        Some(table.routes.first()?.target == engine::RouteTarget::NatGateway)
    };
    let begin = std::time::Instant::now();
    while leads_out() != Some(true) {
        assert!(begin.elapsed().as_secs() < 20, "it never leads out");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let id = stack.stack_id.unwrap();
    let input = api::DeleteStackInput {
        stack_name: id.clone(),
        ..Default::default()
    };
    world.cx.call(input).await.unwrap();
    world.ends(&id, "DELETE_COMPLETE").await;
}
