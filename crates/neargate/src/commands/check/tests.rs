//! Files with one mistake each, and the row, place and mend that they are told by.

mod builds;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use why::Finding;
use why::ahead::{Known, Wanted};

use super::outcome::Outcome;
use super::{Lent, Part, Surroundings, files, from_file, read, sarif};
use crate::daemon::services;

/// A network, a load balancer and a service, all in order.
const SITE: &str = include_str!("site.yaml");

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.write(name, text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn given(file: &Path, parameters: &[(&str, &str)], known: Option<&Known>) -> Outcome {
    let types = Lent(services());
    let owned = parameters
        .iter()
        .map(|(name, it)| ((*name).to_owned(), (*it).to_owned()));
    let parameters: BTreeMap<String, String> = owned.collect();
    let around = Surroundings {
        types: &types,
        region: "us-east-1",
        account: "123456789012",
        parameters: &parameters,
    };
    let mut outcome = Outcome::default();
    for part in read(file, &around, &mut outcome).unwrap() {
        part.look(known, &mut outcome);
    }
    outcome.finish();
    outcome
}

fn checked(file: &Path) -> Outcome {
    given(file, &[], None)
}

/// The site with something in it written otherwise.
fn changed(changes: &[(&str, &str)]) -> String {
    let mut text = SITE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "`{from}` is not in the template");
        text = text.replace(from, to);
    }
    text
}

/// One finding of a row, at a line with this text, with these words in it.
#[track_caller]
fn assert_found(outcome: &Outcome, file: &Path, id: &str, line: &str, parts: &[&str]) {
    let ids: Vec<&str> = outcome.findings.iter().map(|it| it.id.as_str()).collect();
    let found: Vec<&Finding> = outcome.findings.iter().filter(|it| it.id == id).collect();
    let [found] = found[..] else {
        panic!(
            "{id} is wanted and these are found: {ids:?} {:#?}",
            outcome.findings
        );
    };
    let place = found.place.as_ref().unwrap();
    let text = fs::read_to_string(&place.file).unwrap();
    let own = text.lines().nth(place.line as usize - 1).unwrap();
    assert!(own.contains(line), "{id} is told at {place}: {own}");
    assert!(
        place
            .file
            .contains(file.parent().unwrap().to_str().unwrap()),
        "{place}"
    );
    let all = serde_json::to_string(found).unwrap();
    for part in parts {
        assert!(all.contains(part), "`{part}` is not in {all}");
    }
    assert!(!found.mend.is_empty(), "{all}");
}

#[test]
fn what_is_in_order_has_no_findings() {
    let folder = Folder::new();
    let file = folder.write("site.yaml", SITE);
    let outcome = checked(&file);
    assert!(outcome.findings.is_empty(), "{:#?}", outcome.findings);
    let image = "the image public.ecr.aws/docker/library/nginx:1: no daemon is there to be asked";
    let not: Vec<&String> = outcome.not_looked_at.iter().collect();
    assert_eq!(not, [image]);
}

/// A network ACL that lets everything out of the private subnet, and nothing in.
const ACL: &str = "  Acl:\n    Type: AWS::EC2::NetworkAcl\n    Properties: { VpcId: !Ref Vpc }\n  AclOut:\n    Type: AWS::EC2::NetworkAclEntry\n    Properties: { NetworkAclId: !Ref Acl, RuleNumber: 100, Egress: true, Protocol: -1, RuleAction: allow, CidrBlock: 0.0.0.0/0 }\n  AclOfPrivateA:\n    Type: AWS::EC2::SubnetNetworkAclAssociation\n    Properties: { NetworkAclId: !Ref Acl, SubnetId: !Ref PrivateA }\n";

/// A private subnet without a way out, and an endpoint for one service.
fn with_endpoint(service: &str, properties: &str) -> String {
    format!(
        "    Properties: {{ RouteTableId: !Ref PrivateTable, DestinationCidrBlock: 192.0.2.0/24, NatGatewayId: !Ref Nat }}\n  EndpointGroup:\n    Type: AWS::EC2::SecurityGroup\n    Properties: {{ GroupDescription: g, VpcId: !Ref Vpc, SecurityGroupIngress: [{{ IpProtocol: tcp, FromPort: 80, ToPort: 80, CidrIp: 0.0.0.0/0 }}] }}\n  Endpoint:\n    Type: AWS::EC2::VPCEndpoint\n    Properties: {{ VpcId: !Ref Vpc, ServiceName: com.amazonaws.us-east-1.{service}, {properties} }}\n"
    )
}

#[test]
fn a_network_that_leads_nowhere_is_found_where_it_is_written() {
    let folder = Folder::new();
    let no_nat = "    Properties: { RouteTableId: !Ref PrivateTable, DestinationCidrBlock: 0.0.0.0/0, NatGatewayId: !Ref Nat }\n";
    let subnets = "Subnets: [!Ref PrivateA]";
    let own_egress =
        "SecurityGroupEgress: [{ IpProtocol: tcp, FromPort: 80, ToPort: 80, CidrIp: 0.0.0.0/0 }]";
    for (id, changes, line, parts) in [
        (
            "N1",
            vec![(
                "DestinationCidrBlock: 0.0.0.0/0, NatGatewayId",
                "DestinationCidrBlock: 192.0.2.0/24, NatGatewayId",
            )],
            subnets,
            vec!["NO_ROUTE_TO_DESTINATION", "PrivateA", "NAT gateway"],
        ),
        (
            "N1",
            vec![(
                "SubnetId: !Ref PrivateA, RouteTableId",
                "SubnetId: !Ref PublicB, RouteTableId",
            )],
            subnets,
            vec!["main"],
        ),
        (
            "N2",
            vec![(subnets, "Subnets: [!Ref PublicA]")],
            "Subnets: [!Ref PublicA]",
            vec!["IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", "assignPublicIp"],
        ),
        (
            "N4",
            vec![(
                "SubnetId: !Ref PublicA, AllocationId",
                "SubnetId: !Ref PrivateA, AllocationId",
            )],
            "AllocationId",
            vec!["Nat", "which has no way out itself"],
        ),
        (
            "N5",
            vec![
                (
                    "VpcId: !Ref Vpc, InternetGatewayId: !Ref Gateway",
                    "VpcId: vpc-12345678, InternetGatewayId: !Ref Gateway",
                ),
                (subnets, "Subnets: [!Ref PublicA]"),
                ("DISABLED", "ENABLED"),
            ],
            "PublicRoute:",
            vec!["BAD_STATE_ATTACHMENT"],
        ),
        (
            "N6",
            vec![(
                "GroupDescription: the balancer",
                &*format!("GroupDescription: the balancer\n      {own_egress}"),
            )],
            "TaskGroup:",
            vec!["ENI_SG_RULES_MISMATCH", "tcp 80"],
        ),
        (
            "N13",
            vec![("EnableDnsSupport: true", "EnableDnsSupport: false")],
            subnets,
            vec!["enableDnsSupport"],
        ),
        (
            "N14",
            vec![
                ("CidrBlock: 10.0.2.0/24", "CidrBlock: 10.0.2.0/28"),
                ("DesiredCount: 2", "DesiredCount: 8"),
            ],
            subnets,
            vec!["11 addresses", "16 tasks"],
        ),
        (
            "N15",
            vec![(
                "GroupDescription: the balancer\n      VpcId: !Ref Vpc",
                "GroupDescription: the balancer\n      VpcId: vpc-12345678",
            )],
            "TaskGroup:",
            vec!["vpc-12345678"],
        ),
        (
            "N8",
            vec![
                (
                    no_nat,
                    "    Properties: { RouteTableId: !Ref PrivateTable, DestinationCidrBlock: 192.0.2.0/24, NatGatewayId: !Ref Nat }\n  Registry:\n    Type: AWS::EC2::VPCEndpoint\n    Properties: { VpcId: !Ref Vpc, ServiceName: com.amazonaws.us-east-1.ecr.api }\n",
                ),
                (
                    "Default: public.ecr.aws/docker/library/nginx:1",
                    "Default: 123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1",
                ),
            ],
            subnets,
            vec!["ecr.dkr, s3, logs"],
        ),
        (
            "N7",
            vec![(
                no_nat,
                &*with_endpoint(
                    "ecr.api",
                    "VpcEndpointType: Interface, PrivateDnsEnabled: true, SecurityGroupIds: [!Ref EndpointGroup]",
                ),
            )],
            "Endpoint:",
            vec!["ecr.api", "443", "tcp 80"],
        ),
        (
            "N9",
            vec![(
                no_nat,
                &*with_endpoint("s3", "RouteTableIds: [!Ref PublicTable]"),
            )],
            "Endpoint:",
            vec!["PublicTable", "RouteTableIds"],
        ),
        (
            "N10",
            vec![(
                no_nat,
                &*with_endpoint("logs", "VpcEndpointType: Interface"),
            )],
            "Endpoint:",
            vec!["PrivateDnsEnabled"],
        ),
        (
            "N12",
            vec![(no_nat, &*format!("{no_nat}{ACL}"))],
            "Acl:",
            vec!["SUBNET_ACL_RESTRICTION", "1024-65535"],
        ),
    ] {
        let file = folder.write("site.yaml", &changed(&changes));
        let outcome = checked(&file);
        assert_found(&outcome, &file, id, line, &parts);
        assert!(outcome.has_errors() || id == "N14", "{id}");
    }
}

#[test]
fn what_a_task_needs_and_will_not_have_is_found() {
    let folder = Folder::new();
    let own_image = (
        "Default: public.ecr.aws/docker/library/nginx:1",
        "Default: 123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1",
    );
    let managed = "ManagedPolicyArns: [arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy]";
    let repository = "  Repository:\n    Type: AWS::ECR::Repository\n    Properties: { ImageTagMutability: IMMUTABLE }\n  Cluster:\n    Type: AWS::ECS::Cluster";
    let image = (
        "Image: !Ref Image",
        "Image: !Sub \"${Repository.RepositoryUri}:latest\"",
    );
    for (id, changes, line, parts) in [
        (
            "S9",
            vec![(
                "awslogs-region: !Ref AWS::Region",
                "awslogs-region: eu-west-1",
            )],
            "awslogs-region: eu-west-1",
            vec!["eu-west-1", "is in us-east-1"],
        ),
        (
            "I3",
            vec![(managed, "Description: nothing"), own_image],
            "Execution:",
            vec!["ecr:", "AmazonECSTaskExecutionRolePolicy"],
        ),
        (
            "S10",
            vec![(managed, "Description: nothing")],
            "Execution:",
            vec!["logs:CreateLogStream"],
        ),
        (
            "S15",
            vec![(
                "PortMappings: [{ ContainerPort: 8080 }]",
                "PortMappings: [{ ContainerPort: 8080 }]\n          Secrets: [{ Name: KEY, ValueFrom: 'arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf' }]",
            )],
            "Execution:",
            vec!["secretsmanager:GetSecretValue"],
        ),
        (
            "S18",
            vec![("ecs-tasks.amazonaws.com", "ecs.amazonaws.com")],
            "Execution:",
            vec!["ecs-tasks.amazonaws.com"],
        ),
        (
            "I4",
            vec![("      ExecutionRoleArn: !GetAtt Execution.Arn\n", "")],
            "Definition:",
            vec!["executionRoleArn"],
        ),
        (
            "I2",
            vec![
                ("  Cluster:\n    Type: AWS::ECS::Cluster", repository),
                image,
            ],
            "RepositoryUri",
            vec!["is empty when the first task starts", "DesiredCount: 0"],
        ),
        (
            "I12",
            vec![
                ("  Cluster:\n    Type: AWS::ECS::Cluster", repository),
                image,
            ],
            "RepositoryUri",
            vec!["IMMUTABLE"],
        ),
        (
            "I6",
            vec![(
                "Default: public.ecr.aws/docker/library/nginx:1",
                "Default: 999999999999.dkr.ecr.us-east-1.amazonaws.com/web:1",
            )],
            "Image: !Ref Image",
            vec!["999999999999"],
        ),
        (
            "I9",
            vec![(
                "Default: public.ecr.aws/docker/library/nginx:1",
                "Default: https://Example.com/Web",
            )],
            "Image: !Ref Image",
            vec!["is not the name of an image"],
        ),
        (
            "S22",
            vec![(
                "PortMappings: [{ ContainerPort: 8080 }]",
                "PortMappings: [{ ContainerPort: 8080 }]\n          DependsOn: [{ ContainerName: db, Condition: HEALTHY }]",
            )],
            "- Name: web",
            vec!["which the definition does not have"],
        ),
        (
            "S24",
            vec![("Memory: \"512\"", "Memory: \"4096\"")],
            "Definition:",
            vec!["No Fargate configuration exists"],
        ),
        (
            "S25",
            vec![("- Name: web", "- Name: web\n          Memory: 1024")],
            "",
            vec![],
        ),
        (
            "R1",
            vec![(
                "PortMappings: [{ ContainerPort: 8080 }]",
                "PortMappings: [{ ContainerPort: 8080 }]\n          Command: [/bin/bash]",
            )],
            "- Name: web",
            vec!["foreground"],
        ),
        (
            "R12",
            vec![(
                "PortMappings: [{ ContainerPort: 8080 }]",
                "PortMappings: [{ ContainerPort: 8080 }]\n          Command: [gunicorn, --bind, '127.0.0.1:8080', app]",
            )],
            "- Name: web",
            vec!["0.0.0.0", "guessed"],
        ),
        (
            "D1",
            vec![("MaximumPercent: 200", "MaximumPercent: 100")],
            "DeploymentConfiguration",
            vec!["at least 2 healthy"],
        ),
    ] {
        let file = folder.write("site.yaml", &changed(&changes));
        assert_found(&checked(&file), &file, id, line, &parts);
    }
}

#[test]
fn a_balancer_that_does_not_get_to_its_targets_is_found() {
    let folder = Folder::new();
    let zones = "CidrBlock: 10.0.2.0/24, AvailabilityZone: !Select [0";
    for (id, changes, line, parts) in [
        (
            "L1",
            vec![("FromPort: 8080, ToPort: 8080", "FromPort: 80, ToPort: 80")],
            "TaskGroup:",
            vec!["ENI_SG_RULES_MISMATCH", "TCP 8080"],
        ),
        (
            "L7",
            vec![("HealthCheckPort: traffic-port", "HealthCheckPort: \"9000\"")],
            "Targets:",
            vec!["9000", "traffic-port"],
        ),
        (
            "L8",
            vec![(
                "DefaultActions: [{ Type: forward, TargetGroupArn: !Ref Targets }]",
                "DefaultActions: [{ Type: fixed-response, FixedResponseConfig: { StatusCode: \"200\" } }]",
            )],
            "LoadBalancers:",
            vec!["named by no listener"],
        ),
        (
            "L8",
            vec![("    DependsOn: Listener\n", "")],
            "LoadBalancers:",
            vec!["DependsOn", "warning"],
        ),
        (
            "L9",
            vec![(
                zones,
                "CidrBlock: 10.0.2.0/24, AvailabilityZone: !Select [2",
            )],
            "Subnets: [!Ref PrivateA]",
            vec!["us-east-1c"],
        ),
        (
            "L10",
            vec![("TargetType: ip, ", "")],
            "Targets:",
            vec!["TargetType: ip"],
        ),
        (
            "L11",
            vec![(
                "LoadBalancers: [{ ContainerName: web,",
                "LoadBalancers: [{ ContainerName: wep,",
            )],
            "LoadBalancers:",
            vec!["nearest: `web`"],
        ),
        (
            "L11",
            vec![(
                "PortMappings: [{ ContainerPort: 8080 }]",
                "PortMappings: [{ ContainerPort: 80 }]",
            )],
            "LoadBalancers:",
            vec!["container web has 80"],
        ),
    ] {
        let file = folder.write("site.yaml", &changed(&changes));
        assert_found(&checked(&file), &file, id, line, &parts);
    }
    // A range that holds the balancer's subnets lets it in.
    let own = "SourceSecurityGroupId: !Ref BalancerGroup";
    for (range, is_closed) in [("10.0.0.0/16", false), ("10.9.0.0/16", true)] {
        let file = folder.write("site.yaml", &changed(&[(own, &format!("CidrIp: {range}"))]));
        let found = checked(&file).findings;
        assert_eq!(
            found.iter().any(|it| it.id == "L1"),
            is_closed,
            "{range} {found:#?}"
        );
    }
}

#[test]
fn what_would_refuse_a_template_is_found() {
    let folder = Folder::new();
    for (id, changes, line, parts) in [
        (
            "C3",
            vec![(
                "    Type: AWS::EC2::VPC\n",
                "    Type: AWS::EC2::VPC\n    DependsOn: Service\n",
            )],
            "",
            vec!["Circular dependency"],
        ),
        (
            "C4",
            vec![("Cluster: !Ref Cluster", "Cluster: !Ref Clusters")],
            "Cluster: !Ref Clusters",
            vec!["Unresolved resource dependencies [Clusters]"],
        ),
        (
            "C13",
            vec![("CidrBlock: 10.0.0.0/16", "CidrBlock: [10.0.0.0/16]")],
            "Properties: { CidrBlock",
            vec!["CidrBlock"],
        ),
        (
            "U1",
            vec![(
                "    Type: AWS::EC2::InternetGateway\n",
                "    Type: AWS::EC2::InternetGateway\n  Table:\n    Type: AWS::DynamoDB::Table\n",
            )],
            "Type: AWS::DynamoDB::Table",
            vec!["not supported by neargate", "coverage"],
        ),
        (
            "U1",
            vec![("DesiredCount: 2", "DesiredCount: 2\n      Nonsense: 1")],
            "Nonsense: 1",
            vec!["property Nonsense of Service"],
        ),
    ] {
        let file = folder.write("site.yaml", &changed(&changes));
        assert_found(&checked(&file), &file, id, line, &parts);
    }
    // What does not depend on each other is told at once.
    let file = folder.write(
        "site.yaml",
        &changed(&[("DesiredCount: 2", "A: 1\n      B: 2")]),
    );
    let found = checked(&file).findings;
    assert_eq!(
        found.iter().filter(|it| it.id == "U1").count(),
        2,
        "{found:#?}"
    );
    let file = folder.write("broken.yaml", "Resources: [\n");
    assert_eq!(checked(&file).findings.len(), 1);
}

#[test]
fn nested_templates_are_looked_into_with_what_they_are_given() {
    let folder = Folder::new();
    let (before, after) = SITE.split_once("  Cluster:\n").unwrap();
    let outputs = "\nOutputs:\n  Subnets: { Value: !Join [\",\", [!Ref PrivateA]] }\n  Group: { Value: !Ref TaskGroup }\n  Targets: { Value: !Ref Targets }\n  Role: { Value: !GetAtt Execution.Arn }\n  Logs: { Value: !Ref Logs }\n";
    let network = before.replace(
        "DestinationCidrBlock: 0.0.0.0/0, NatGatewayId",
        "DestinationCidrBlock: 192.0.2.0/24, NatGatewayId",
    );
    folder.write("parts/network.yaml", &format!("{network}{outputs}"));
    let parameters = "Parameters:\n  Image: { Type: String, Default: nginx }\n  Subnets: { Type: 'List<AWS::EC2::Subnet::Id>' }\n  TaskGroup: { Type: String }\n  Targets: { Type: String }\n  Role: { Type: String }\n  Logs: { Type: String }\nResources:\n";
    let service = after
        .replace("Subnets: [!Ref PrivateA]", "Subnets: !Ref Subnets")
        .replace("!GetAtt Execution.Arn", "!Ref Role")
        .replace("    DependsOn: Listener\n", "");
    folder.write(
        "parts/service.yaml",
        &format!("{parameters}  Cluster:\n{service}"),
    );
    let main = "Resources:\n  Network:\n    Type: AWS::CloudFormation::Stack\n    Properties:\n      TemplateURL: https://bucket.s3.amazonaws.com/parts/network.yaml\n  Site:\n    Type: AWS::CloudFormation::Stack\n    Properties:\n      TemplateURL: ./parts/service.yaml\n      Parameters:\n        Subnets: !GetAtt Network.Outputs.Subnets\n        TaskGroup: !GetAtt Network.Outputs.Group\n        Targets: !GetAtt Network.Outputs.Targets\n        Role: !GetAtt Network.Outputs.Role\n        Logs: !GetAtt Network.Outputs.Logs\n";
    let file = folder.write("main.yaml", main);
    let outcome = checked(&file);
    // The service waits for the listener, since its stack waits for the other one.
    let ids: Vec<&str> = outcome.findings.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["N1"], "{:#?}", outcome.findings);
    assert_found(
        &outcome,
        &file,
        "N1",
        "Subnets: !Ref Subnets",
        &["PrivateA", "service.yaml"],
    );
    let file = folder.write(
        "main.yaml",
        &main.replace("./parts/service", "./parts/none"),
    );
    assert_found(&checked(&file), &file, "C10", "TemplateURL", &["none.yaml"]);
    let file = folder.write("main.yaml", &main.replace("Outputs.Subnets", "Outputs.Sub"));
    assert_found(
        &checked(&file),
        &file,
        "C13",
        "Subnets",
        &["has no output Sub"],
    );
}

#[test]
fn parameters_are_given_by_flag_or_file() {
    let folder = Folder::new();
    let text = changed(&[("    Default: public.ecr.aws/docker/library/nginx:1\n", "")]);
    let file = folder.write("site.yaml", &text);
    let outcome = checked(&file);
    assert!(outcome.findings.is_empty(), "{:#?}", outcome.findings);
    let not: Vec<&String> = outcome.not_looked_at.iter().collect();
    assert_eq!(not[1], "what depends on the value of the parameter Image");
    let outcome = given(&file, &[("Image", "NOT A NAME"), ("Other", "1")], None);
    assert_found(&outcome, &file, "I9", "Image: !Ref Image", &["NOT A NAME"]);
    for text in [
        r#"{"A": "1", "B": 2}"#,
        r#"{"Parameters": {"A": "1", "B": 2}}"#,
        r#"[{"ParameterKey": "A", "ParameterValue": "1"}, {"ParameterKey": "B", "ParameterValue": "2"}]"#,
    ] {
        let values = from_file(text).unwrap();
        let values: Vec<(&str, &str)> = values
            .iter()
            .map(|(name, it)| (name.as_str(), it.as_str()))
            .collect();
        assert_eq!(values, [("A", "1"), ("B", "2")], "{text}");
    }
    assert!(from_file("[1]").is_err() && from_file("{\"A\": []}").is_err());
}

#[test]
fn what_the_account_has_is_asked_for_and_told() {
    let folder = Folder::new();
    let text = changed(&[
        ("awslogs-group: !Ref Logs", "awslogs-group: /elsewhere"),
        (
            "ExecutionRoleArn: !GetAtt Execution.Arn",
            "ExecutionRoleArn: arn:aws:iam::123456789012:role/gone",
        ),
        (
            "Default: public.ecr.aws/docker/library/nginx:1",
            "Default: 123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1",
        ),
        (
            "PortMappings: [{ ContainerPort: 8080 }]",
            "PortMappings: [{ ContainerPort: 8080 }]\n          Secrets: [{ Name: KEY, ValueFrom: /none }]\n          HealthCheck: { Command: [CMD-SHELL, 'curl -f localhost'] }",
        ),
    ]);
    let file = folder.write("site.yaml", &text);
    let types = Lent(services());
    let none = BTreeMap::new();
    let around = Surroundings {
        types: &types,
        region: "us-east-1",
        account: "123456789012",
        parameters: &none,
    };
    let mut wanted = Wanted::default();
    for part in read(&file, &around, &mut Outcome::default()).unwrap() {
        wanted.add(part.wanted());
    }
    let image = wanted.images[0].clone();
    assert_eq!(image.programs, ["curl"]);
    assert_eq!(
        json!(wanted.log_groups),
        json!([["us-east-1", "/elsewhere"]])
    );
    let program = json!({"path": "/run.sh", "is_there": true, "mode": 0o644, "shebang": null,
        "lacks_interpreter": null, "foreign_machine": null, "is_no_program": false});
    let known: Json = json!({
        "images": { image.key(): {
            "name": image.name, "account": null, "region": null, "program": program,
            "says_nothing": false, "lacks_user": null, "lacks": ["curl"], "is_of": null, "is_immutable": false,
            "here": { "repository": "web", "tag": "1", "has_repository": true, "has_tag": true, "tags": [], "repositories": [] },
        } },
        "log_groups": [{ "group": "/elsewhere", "region": "us-east-1", "is_there": false, "elsewhere": ["eu-west-1"], "is_unknown": false }],
        "roles": {}, "missing_secrets": ["/none"], "networks": {},
    });
    let known: Known = serde_json::from_value(known).unwrap();
    let outcome = given(&file, &[], Some(&known));
    assert_found(&outcome, &file, "S9", "awslogs-region", &["eu-west-1"]);
    assert_found(
        &outcome,
        &file,
        "S18",
        "ExecutionRoleArn",
        &["there is no such role"],
    );
    assert_found(
        &outcome,
        &file,
        "S2",
        "Image: !Ref Image",
        &["0644", "chmod +x"],
    );
    assert_found(&outcome, &file, "S13", "ValueFrom: /none", &["KEY"]);
    assert_found(&outcome, &file, "R7", "- Name: web", &["has no `curl`"]);
    assert!(
        outcome.not_looked_at.is_empty(),
        "{:?}",
        outcome.not_looked_at
    );
}

#[test]
fn what_the_daemon_did_not_look_at_is_neither_there_nor_missing() {
    let folder = Folder::new();
    let text = changed(&[
        (
            "ExecutionRoleArn: !GetAtt Execution.Arn",
            "ExecutionRoleArn: arn:aws:iam::123456789012:role/far",
        ),
        (
            "PortMappings: [{ ContainerPort: 8080 }]",
            "PortMappings: [{ ContainerPort: 8080 }]\n          Secrets: [{ Name: KEY, ValueFrom: /far }]",
        ),
    ]);
    let file = folder.write("site.yaml", &text);
    let known = json!({ "left": { "roles": ["far"], "secrets": ["/far"] } });
    let known: Known = serde_json::from_value(known).unwrap();
    let outcome = given(&file, &[], Some(&known));
    let mut findings = outcome.findings.iter();
    assert!(!findings.any(|it| ["S13", "S18"].contains(&it.id.as_str())));
    for thing in ["the role far: ", "the secret /far: "] {
        let mut not = outcome.not_looked_at.iter();
        assert!(not.any(|it| it.starts_with(thing)), "{thing}");
    }
}

#[test]
fn a_plan_and_an_assembly_are_checked_by_the_same_rules() {
    let folder = Folder::new();
    folder.write(
        "main.tf",
        "resource \"aws_vpc\" \"main\" {\n}\n\nresource \"aws_ecs_service\" \"web\" {\n}\n",
    );
    let planned = |kind: &str, name: &str, values: Json| json!({ "address": format!("{kind}.{name}"), "mode": "managed", "type": kind, "name": name, "values": values });
    let written = |kind: &str, name: &str, expressions: Json| json!({ "address": format!("{kind}.{name}"), "mode": "managed", "type": kind, "name": name, "expressions": expressions });
    let leads = |to: &str| json!({ "references": [format!("{to}.id"), to] });
    let plan = json!({
        "format_version": "1.2",
        "planned_values": { "root_module": { "resources": [
            planned("aws_vpc", "main", json!({ "cidr_block": "10.0.0.0/16", "enable_dns_support": true })),
            planned("aws_subnet", "a", json!({ "cidr_block": "10.0.1.0/24" })),
            planned("aws_security_group", "tasks", json!({ "name": "tasks", "egress": [], "ingress": [] })),
            planned("aws_ecs_task_definition", "web", json!({ "network_mode": "awsvpc", "container_definitions": "[{\"name\":\"web\",\"image\":\"nginx\",\"portMappings\":[{\"containerPort\":80}]}]" })),
            planned("aws_ecs_service", "web", json!({ "desired_count": 1, "network_configuration": [{ "assign_public_ip": false }], "deployment_maximum_percent": 200, "deployment_minimum_healthy_percent": 100 })),
            planned("aws_db_instance", "db", json!({})),
        ] } },
        "configuration": {
            "provider_config": { "aws": { "expressions": { "region": { "constant_value": "eu-west-1" } } } },
            "root_module": { "resources": [
                written("aws_subnet", "a", json!({ "vpc_id": leads("aws_vpc.main") })),
                written("aws_security_group", "tasks", json!({ "vpc_id": leads("aws_vpc.main") })),
                written("aws_ecs_service", "web", json!({
                    "task_definition": { "references": ["aws_ecs_task_definition.web.arn", "aws_ecs_task_definition.web"] },
                    "network_configuration": [{ "subnets": leads("aws_subnet.a"), "security_groups": leads("aws_security_group.tasks") }],
                })),
            ] },
        },
    });
    let file = folder.write("plan.json", &plan.to_string());
    let outcome = checked(&file);
    assert_found(
        &outcome,
        &file,
        "N1",
        "aws_ecs_service",
        &["aws_subnet.a", "NAT gateway"],
    );
    // Terraform takes the rule away that lets everything out.
    assert_found(&outcome, &file, "N6", "", &["has no egress rule"]);
    assert!(
        outcome
            .not_looked_at
            .iter()
            .any(|it| it.contains("aws_db_instance")),
        "{:?}",
        outcome.not_looked_at
    );

    folder.write("cdk.out/Site.template.json", &json!({ "Resources": { "Vpc": { "Type": "AWS::EC2::VPC", "Properties": { "Nonsense": 1 } } } }).to_string());
    let manifest = json!({ "artifacts": { "Site": { "type": "aws:cloudformation:stack", "properties": { "templateFile": "Site.template.json" } } } });
    let manifest = folder.write("cdk.out/manifest.json", &manifest.to_string());
    let outcome = checked(manifest.parent().unwrap());
    assert_found(
        &outcome,
        &manifest,
        "U1",
        "Nonsense",
        &["property Nonsense of Vpc"],
    );
}

#[test]
fn a_log_for_scanners_says_rule_level_and_place() {
    let folder = Folder::new();
    let file = folder.write(
        "site.yaml",
        &changed(&[("MaximumPercent: 200", "MaximumPercent: 100")]),
    );
    let log = sarif::log(&checked(&file));
    let result = &log["runs"][0]["results"][0];
    assert_eq!(
        (&log["version"], &result["ruleId"], &result["level"]),
        (&json!("2.1.0"), &json!("D1"), &json!("error"))
    );
    let at = &result["locations"][0]["physicalLocation"];
    assert_eq!(
        at["artifactLocation"]["uri"],
        json!(file.display().to_string())
    );
    let line = at["region"]["startLine"].as_u64().unwrap() as usize;
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .lines()
            .nth(line - 1)
            .unwrap()
            .contains("DeploymentConfiguration")
    );
    assert_eq!(
        log["runs"][0]["tool"]["driver"]["rules"][0]["id"],
        json!("D1")
    );
}

#[test]
fn other_files_are_refused() {
    let folder = Folder::new();
    let file = folder.write("notes.txt", "hello");
    assert!(files::kind(&file).is_err() && files::kind(folder.0.path()).is_err());
    assert!(files::kind(&folder.path("none")).is_err());
}

#[test]
fn a_plan_of_instances_without_a_way_out_is_told_before_it_is_applied() {
    let folder = Folder::new();
    let planned = |kind: &str, name: &str, values: Json| json!({ "address": format!("{kind}.{name}"), "mode": "managed", "type": kind, "name": name, "values": values });
    let written = |kind: &str, name: &str, expressions: Json| json!({ "mode": "managed", "type": kind, "name": name, "expressions": expressions });
    let leads = |to: &str| json!({ "references": [format!("{to}.id"), to] });
    let container = json!([{ "name": "web", "image": "nginx", "memory": 128, "logConfiguration": {
        "logDriver": "awslogs",
        "options": { "awslogs-group": "/web", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "x" },
    } }]);
    let plan = json!({
        "format_version": "1.2",
        "planned_values": { "root_module": { "resources": [
            planned("aws_vpc", "main", json!({ "cidr_block": "10.0.0.0/16" })),
            planned("aws_subnet", "private", json!({ "cidr_block": "10.0.1.0/24" })),
            planned("aws_launch_template", "nodes", json!({ "user_data": "IyEvYmluL2Jhc2gKZWNobyBFQ1NfQ0xVU1RFUj13ZWIgPj4gL2V0Yy9lY3MvZWNzLmNvbmZpZwo=" })),
            planned("aws_autoscaling_group", "nodes", json!({ "launch_template": [{}] })),
            planned("aws_cloudwatch_log_group", "web", json!({ "name": "/web" })),
            planned("aws_ecs_task_definition", "web", json!({ "network_mode": "awsvpc", "container_definitions": container.to_string() })),
            planned("aws_ecs_service", "web", json!({ "desired_count": 1, "launch_type": "EC2", "network_configuration": [{}] })),
        ] } },
        "configuration": {
            "provider_config": { "aws": { "expressions": { "region": { "constant_value": "eu-west-1" } } } },
            "root_module": { "resources": [
                written("aws_subnet", "private", json!({ "vpc_id": leads("aws_vpc.main") })),
                written("aws_autoscaling_group", "nodes", json!({
                    "vpc_zone_identifier": leads("aws_subnet.private"),
                    "launch_template": [{ "id": leads("aws_launch_template.nodes") }],
                })),
                written("aws_ecs_service", "web", json!({
                    "task_definition": { "references": ["aws_ecs_task_definition.web.arn", "aws_ecs_task_definition.web"] },
                    "network_configuration": [{ "subnets": leads("aws_subnet.private") }],
                })),
            ] },
        },
    });
    let file = folder.write("plan.json", &plan.to_string());
    let outcome = checked(&file);
    let parts = [
        "aws_autoscaling_group.nodes",
        "aws_subnet.private",
        "NAT gateway",
        "its agent does not reach ECS",
    ];
    assert_found(&outcome, &file, "N1", "", &parts);
    assert_found(
        &outcome,
        &file,
        "S9",
        "",
        &["is in eu-west-1", "set `awslogs-region`"],
    );
    // The instance pulls and logs for the task: the task's own network is not to blame.
    let of_service =
        (outcome.findings.iter()).any(|it| it.id == "N1" && it.thing.contains("service"));
    assert!(!of_service, "{:#?}", outcome.findings);
}
