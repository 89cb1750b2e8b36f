//! Trees of stacks out of a bucket, with the command line that people use.

use std::fs;
use std::time::{Duration, Instant};

use e2e::{Aws, Machine};
use serde_json::{Value, json};
use shapes::ec2::{
    AllocateAddressInput, AssociateRouteTableInput, CreateNatGatewayInput, CreateRouteInput,
    CreateRouteTableInput, DeleteRouteInput,
};

use crate::ground::{Ground, probe_image};

const MAIN: &str = "
Parameters:
  Bucket: {Type: String}
  Days: {Type: Number, Default: 7}
Resources:
  Net:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: !Sub 'https://s3-eu-west-1.amazonaws.com/${Bucket}/templates/net.yaml'
      Parameters: {Cidr: 10.77.0.0/16}
  Web:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: !Sub 'https://${Bucket}.s3.us-east-1.amazonaws.com/templates/web.yaml'
      Parameters: {Vpc: !GetAtt Net.Outputs.Vpc, Subnets: !GetAtt Net.Outputs.Subnets, Days: !Ref Days}
Outputs:
  Group: {Value: !GetAtt Web.Outputs.Group}
";
const NET: &str = "
AWSTemplateFormatVersion: 2010-09-09
Parameters: {Cidr: {Type: String}}
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: !Ref Cidr}}
  A: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: !Select [0, !Cidr [!Ref Cidr, 2, 8]], AvailabilityZone: !Select [0, !GetAZs ]}}
  B: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: !Select [1, !Cidr [!Ref Cidr, 2, 8]], AvailabilityZone: !Select [1, !GetAZs '']}}
Outputs:
  Vpc: {Value: !Ref Vpc}
  Subnets: {Value: !Join [',', [!Ref A, !Ref B]]}
";
const WEB: &str = "
Parameters:
  Vpc: {Type: AWS::EC2::VPC::Id}
  Subnets: {Type: List<AWS::EC2::Subnet::Id>}
  Days: {Type: Number}
Resources:
  Group: {Type: AWS::EC2::SecurityGroup, Properties: {VpcId: !Ref Vpc, GroupDescription: !Select [1, !Ref Subnets]}}
  Logs: {Type: AWS::Logs::LogGroup, Properties: {RetentionInDays: !Ref Days}}
Outputs:
  Group: {Value: !GetAtt Group.GroupId}
";

/// AWS's waiters ask every 30 seconds. What is done by then must not be waited for that long.
const WAITER_MAX: Duration = Duration::from_secs(20);

struct Account {
    machine: Machine,
    aws: Aws,
    files: tempfile::TempDir,
}

impl Account {
    fn start() -> Option<Self> {
        let machine = Machine::start();
        let aws = Aws::of(&machine)?;
        let files = tempfile::tempdir().unwrap();
        Some(Self {
            machine,
            aws,
            files,
        })
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.files.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn quickly(&self, arguments: &[&str]) {
        let begin = Instant::now();
        self.aws.ask(arguments);
        assert!(
            begin.elapsed() < WAITER_MAX,
            "{arguments:?} took {:?}",
            begin.elapsed()
        );
    }

    fn stacks(&self) -> Vec<Value> {
        let described = self.aws.ask(&["cloudformation", "describe-stacks"]);
        described["Stacks"].as_array().cloned().unwrap_or_default()
    }

    fn output(&self, stack: &str) -> String {
        let described = self
            .aws
            .ask(&["cloudformation", "describe-stacks", "--stack-name", stack]);
        described["Stacks"][0]["Outputs"][0]["OutputValue"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

#[test]
fn a_tree_out_of_a_bucket_comes_changes_and_goes() {
    let Some(account) = Account::start() else {
        return;
    };
    let aws = &account.aws;
    let main = account.file("main.yaml", MAIN);
    account.file("templates/net.yaml", NET);
    account.file("templates/web.yaml", WEB);
    let templates = account.files.path().join("templates").display().to_string();
    let upload = || {
        let copied = aws.run(&[
            "s3",
            "cp",
            "--recursive",
            &templates,
            "s3://trees/templates",
        ]);
        assert_eq!(copied.code, 0, "{copied:?}");
    };
    let body = format!("file://{main}");
    let create = [
        "cloudformation",
        "create-stack",
        "--stack-name",
        "S",
        "--template-body",
        &body,
        "--parameters",
        "ParameterKey=Bucket,ParameterValue=trees",
    ];
    // Nothing of it is made while a part of it is missing.
    let refused = aws.refused(&create);
    assert!(refused.contains("S3 error"), "{refused}");
    assert_eq!(account.stacks(), [Value::Null; 0]);

    assert_eq!(aws.run(&["s3", "mb", "s3://trees"]).code, 0);
    upload();
    aws.ask(&create);
    account.quickly(&[
        "cloudformation",
        "wait",
        "stack-create-complete",
        "--stack-name",
        "S",
    ]);
    let stacks = account.stacks();
    assert_eq!(stacks.len(), 3, "{stacks:#?}");
    let group = account.output("S");
    let groups = aws.ask(&["ec2", "describe-security-groups", "--group-ids", &group]);
    assert!(
        groups["SecurityGroups"][0]["Description"]
            .as_str()
            .unwrap()
            .starts_with("subnet-")
    );
    let nested = stacks
        .iter()
        .find(|it| it["StackName"].as_str().unwrap().starts_with("S-Net-"));
    assert_eq!(nested.unwrap()["RootId"], nested.unwrap()["ParentId"]);

    // A nested template changes in its bucket, and its stack with the next update of the root. The
    // daemon dies in the middle of it.
    account.file(
        "templates/net.yaml",
        &NET.replace(
            "Properties: {CidrBlock: !Ref Cidr}",
            "Properties: {CidrBlock: !Ref Cidr, Tags: [{Key: new, Value: 000400}]}",
        ),
    );
    upload();
    aws.ask(&[
        "cloudformation",
        "update-stack",
        "--stack-name",
        "S",
        "--use-previous-template",
        "--parameters",
        "ParameterKey=Bucket,UsePreviousValue=true",
        "ParameterKey=Days,ParameterValue=14",
    ]);
    account.machine.kill_daemon();
    account.machine.serve();
    account.quickly(&[
        "cloudformation",
        "wait",
        "stack-update-complete",
        "--stack-name",
        "S",
    ]);
    let vpcs = aws.ask(&[
        "ec2",
        "describe-vpcs",
        "--filters",
        "Name=tag:new,Values=000400",
    ]);
    assert_eq!(vpcs["Vpcs"].as_array().map(Vec::len), Some(1), "{vpcs}");
    let groups = aws.ask(&[
        "logs",
        "describe-log-groups",
        "--log-group-name-prefix",
        "S-Web-",
    ]);
    assert_eq!(groups["logGroups"][0]["retentionInDays"], 14, "{groups}");
    assert_eq!(account.output("S"), group);

    // An update that fails in one part takes the other back.
    account.file("templates/net.yaml", NET);
    account.file(
        "templates/web.yaml",
        &WEB.replace("RetentionInDays: !Ref Days", "RetentionInDays: 2"),
    );
    upload();
    aws.ask(&[
        "cloudformation",
        "update-stack",
        "--stack-name",
        "S",
        "--use-previous-template",
        "--parameters",
        "ParameterKey=Bucket,UsePreviousValue=true",
        "ParameterKey=Days,ParameterValue=14",
    ]);
    account.quickly(&[
        "cloudformation",
        "wait",
        "stack-rollback-complete",
        "--stack-name",
        "S",
    ]);
    let described = aws.ask(&["cloudformation", "describe-stacks", "--stack-name", "S"]);
    assert_eq!(
        described["Stacks"][0]["StackStatus"], "UPDATE_ROLLBACK_COMPLETE",
        "{described}"
    );
    let vpcs = aws.ask(&[
        "ec2",
        "describe-vpcs",
        "--filters",
        "Name=tag:new,Values=000400",
    ]);
    assert_eq!(vpcs["Vpcs"].as_array().map(Vec::len), Some(1), "{vpcs}");

    aws.ask(&["cloudformation", "delete-stack", "--stack-name", "S"]);
    account.quickly(&[
        "cloudformation",
        "wait",
        "stack-delete-complete",
        "--stack-name",
        "S",
    ]);
    assert_eq!(account.stacks(), [Value::Null; 0]);
    let vpcs = aws.ask(&[
        "ec2",
        "describe-vpcs",
        "--filters",
        "Name=cidr,Values=10.77.0.0/16",
    ]);
    assert_eq!(vpcs["Vpcs"], Value::Array(vec![]));
}

#[test]
fn deploy_says_done_when_it_is_done() {
    let Some(account) = Account::start() else {
        return;
    };
    let aws = &account.aws;
    let template = account.file("web.yaml", "
Parameters: {Days: {Type: Number, Default: 7}}
Resources: {Logs: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: deployed, RetentionInDays: !Ref Days}}}
");
    let deploy = |more: &[&str]| {
        // The client names its change sets by the second.
        std::thread::sleep(Duration::from_secs(1));
        let begin = Instant::now();
        let arguments = [
            "cloudformation",
            "deploy",
            "--stack-name",
            "D",
            "--template-file",
            &template,
        ];
        let output = aws.run(&[&arguments, more].concat());
        assert!(begin.elapsed() < WAITER_MAX, "{output:?}");
        output
    };
    let first = deploy(&[]);
    assert_eq!(first.code, 0, "{first:?}");
    let again = deploy(&["--no-fail-on-empty-changeset"]);
    assert!(
        again.code == 0 && again.stdout.contains("No changes to deploy"),
        "{again:?}"
    );
    let changed = deploy(&["--parameter-overrides", "Days=14"]);
    assert_eq!(changed.code, 0, "{changed:?}");
    let groups = aws.ask(&[
        "logs",
        "describe-log-groups",
        "--log-group-name-prefix",
        "deployed",
    ]);
    assert_eq!(groups["logGroups"][0]["retentionInDays"], 14, "{groups}");
}

#[test]
fn a_stack_waits_for_a_message_to_its_url() {
    let Some(account) = Account::start() else {
        return;
    };
    let aws = &account.aws;
    let template = account.file(
        "wait.yaml",
        "
Resources:
  Handle: {Type: AWS::CloudFormation::WaitConditionHandle}
  Wait: {Type: AWS::CloudFormation::WaitCondition, Properties: {Handle: !Ref Handle, Timeout: 600}}
Outputs: {Data: {Value: !GetAtt Wait.Data}}
",
    );
    let body = format!("file://{template}");
    aws.ask(&[
        "cloudformation",
        "create-stack",
        "--stack-name",
        "W",
        "--template-body",
        &body,
    ]);
    let url = e2e::eventually("the handle is made", || {
        let resource = aws.run(&[
            "cloudformation",
            "describe-stack-resource",
            "--stack-name",
            "W",
            "--logical-resource-id",
            "Handle",
        ]);
        let url = resource.json()["StackResourceDetail"]["PhysicalResourceId"]
            .as_str()
            .map(str::to_owned);
        url.filter(|it| it.starts_with("http://"))
            .ok_or(resource.stdout)
    });
    let put = |url: &str| {
        let program = format!(
            "import urllib.request as r; r.urlopen(r.Request('{url}', method='PUT', data=b'{{\"Status\": \"SUCCESS\", \"UniqueId\": \"1\", \"Data\": \"hello\"}}'))"
        );
        aws.python(&program)
    };
    let forged = put(&url.replace("Signature=", "Signature=0"));
    assert!(
        forged.code != 0 && forged.stderr.contains("403"),
        "{forged:?}"
    );
    let sent = put(&url);
    assert_eq!(sent.code, 0, "{sent:?}");
    account.quickly(&[
        "cloudformation",
        "wait",
        "stack-create-complete",
        "--stack-name",
        "W",
    ]);
    assert_eq!(account.output("W"), r#"{"1":"hello"}"#);
}

#[test]
fn a_private_subnet_gets_out_through_a_nat_gateway_in_a_public_one() {
    let machine = Machine::start();
    let ground = Ground::new(&machine);
    let image = probe_image(&machine);
    let group = ground.group("tasks");
    let definition = ground.definition("private", &image, &["sleep"], json!({}));
    let private = ground.closed_subnet();
    let address = machine.typed(AllocateAddressInput::default());
    let made = machine.typed(CreateNatGatewayInput {
        allocation_id: address.allocation_id,
        subnet_id: Some(ground.subnets[0].clone()),
        ..Default::default()
    });
    let made = made.nat_gateway.and_then(|it| it.nat_gateway_id);
    let table = machine.typed(CreateRouteTableInput {
        vpc_id: ground.vpc.clone(),
        ..Default::default()
    });
    let table = table.route_table.and_then(|it| it.route_table_id).unwrap();
    machine.typed(CreateRouteInput {
        route_table_id: table.clone(),
        destination_cidr_block: Some("0.0.0.0/0".into()),
        nat_gateway_id: made,
        ..Default::default()
    });
    machine.typed(AssociateRouteTableInput {
        route_table_id: table.clone(),
        subnet_id: Some(private.clone()),
        ..Default::default()
    });
    let run = || {
        let place = json!({ "subnets": [private], "securityGroups": [group], "assignPublicIp": "DISABLED" });
        let answer = machine.ask(
            "ecs",
            "RunTask",
            json!({
                "cluster": "test", "taskDefinition": definition, "launchType": "FARGATE",
                "networkConfiguration": { "awsvpcConfiguration": place },
            }),
        );
        answer["tasks"][0]["taskArn"].as_str().unwrap().to_owned()
    };
    // It pulls its image through the gateway.
    ground.task_when(&run(), "RUNNING");
    machine.typed(DeleteRouteInput {
        route_table_id: table,
        destination_cidr_block: Some("0.0.0.0/0".into()),
        ..Default::default()
    });
    let stopped = ground.task_when(&run(), "STOPPED");
    let why = stopped["stoppedReason"].as_str().unwrap_or_default();
    assert!(
        why.contains("ResourceInitializationError") || why.contains("CannotPull"),
        "{stopped}"
    );
}
