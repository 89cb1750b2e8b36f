//! AWS's own command line, as it is, with `eval "$(neargate env)"`.

use e2e::{Aws, Machine, example};

use crate::ground::TEMPLATE;

#[test]
fn the_command_line_walks_through_an_application() {
    let machine = Machine::idle();
    let site = example();
    let up = machine.neargate(&["up", &site.argument(), "--json"]).json();
    let Some(aws) = Aws::of(&machine) else { return };

    let caller = aws.ask(&["sts", "get-caller-identity"]);
    assert_eq!(caller["Account"], "000000000000");
    let clusters = aws.ask(&["ecs", "list-clusters"]);
    assert_eq!(
        clusters["clusterArns"][0],
        "arn:aws:ecs:us-east-1:000000000000:cluster/website"
    );
    let services = aws.ask(&[
        "ecs",
        "describe-services",
        "--cluster",
        "website",
        "--services",
        "website",
    ]);
    let service = &services["services"][0];
    assert_eq!(
        (&service["runningCount"], &service["status"]),
        (&2.into(), &"ACTIVE".into())
    );
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");

    let vpcs = aws.ask(&[
        "ec2",
        "describe-vpcs",
        "--filters",
        "Name=tag:Name,Values=website",
    ]);
    assert_eq!(vpcs["Vpcs"].as_array().map(Vec::len), Some(1), "{vpcs}");
    assert_eq!(vpcs["Vpcs"][0]["CidrBlock"], "10.0.0.0/16");
    let none = aws.ask(&[
        "ec2",
        "describe-vpcs",
        "--filters",
        "Name=cidr,Values=10.99.0.0/16",
    ]);
    assert_eq!(none["Vpcs"].as_array().map(Vec::len), Some(0), "{none}");

    let groups = aws.ask(&["elbv2", "describe-target-groups"]);
    let group = groups["TargetGroups"][0]["TargetGroupArn"]
        .as_str()
        .unwrap();
    let health = aws.ask(&[
        "elbv2",
        "describe-target-health",
        "--target-group-arn",
        group,
    ]);
    let states: Vec<_> = health["TargetHealthDescriptions"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(states.len(), 2, "{health}");
    assert!(
        states
            .iter()
            .all(|it| it["TargetHealth"]["State"] == "healthy"),
        "{health}"
    );

    let page = machine.page(up["url"].as_str().unwrap()).unwrap();
    assert_eq!(page.status, 200);
    let groups = aws.ask(&[
        "logs",
        "describe-log-groups",
        "--log-group-name-prefix",
        "/neargate/website",
    ]);
    let group = groups["logGroups"][0]["logGroupName"].as_str().unwrap();
    let events = aws.ask(&["logs", "filter-log-events", "--log-group-name", group]);
    assert!(
        events["events"].as_array().is_some_and(|it| !it.is_empty()),
        "{events}"
    );

    let stacks = aws.ask(&[
        "cloudformation",
        "describe-stacks",
        "--stack-name",
        "website",
    ]);
    assert_eq!(stacks["Stacks"][0]["StackStatus"], "CREATE_COMPLETE");
    let events = aws.ask(&[
        "cloudformation",
        "describe-stack-events",
        "--stack-name",
        "website",
    ]);
    assert_eq!(
        events["StackEvents"][0]["ResourceStatus"],
        "CREATE_COMPLETE"
    );
    let valid = aws.ask(&[
        "cloudformation",
        "validate-template",
        "--template-body",
        TEMPLATE,
    ]);
    assert_eq!(valid["Capabilities"][0], "CAPABILITY_IAM", "{valid}");
    let images = aws.ask(&["ecr", "describe-images", "--repository-name", "website"]);
    assert_eq!(
        images["imageDetails"][0]["imageTags"][0], "latest",
        "{images}"
    );
}

#[test]
fn the_command_line_is_told_what_is_wrong() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    let cases: [(&[&str], &str); 6] = [
        (
            &[
                "ecs",
                "describe-services",
                "--cluster",
                "none",
                "--services",
                "x",
            ],
            "ClusterNotFoundException",
        ),
        (
            &["cloudformation", "describe-stacks", "--stack-name", "none"],
            "Stack with id none does not exist",
        ),
        (
            &["ec2", "describe-vpcs", "--vpc-ids", "vpc-0123456789abcdef0"],
            "InvalidVpcID.NotFound",
        ),
        (
            &["elbv2", "describe-load-balancers", "--names", "none"],
            "LoadBalancerNotFound",
        ),
        (
            &["ecr", "describe-images", "--repository-name", "none"],
            "RepositoryNotFoundException",
        ),
        (
            &["logs", "filter-log-events", "--log-group-name", "/none"],
            "ResourceNotFoundException",
        ),
    ];
    for (arguments, expect) in cases {
        let said = aws.refused(arguments);
        assert!(said.contains(expect), "aws {arguments:?}: {said}");
    }
    let said = aws.refused(&["ecs", "create-capacity-provider", "--name", "x"]);
    assert!(
        said.contains("NotImplemented") && said.contains("CreateCapacityProvider"),
        "{said}"
    );
    let broken = "Resources:\n  Network:\n    Type: AWS::EC2::VPC\n    Properties:\n      CidrBlock: !Ref Nothing\n";
    let said = aws.refused(&[
        "cloudformation",
        "validate-template",
        "--template-body",
        broken,
    ]);
    assert!(
        said.contains("ValidationError") && said.contains("Nothing"),
        "{said}"
    );

    let wrong = aws.with("AWS_SECRET_ACCESS_KEY", "wrong");
    for (service, operation, expect) in [
        ("ecs", "list-clusters", "InvalidSignatureException"),
        ("ec2", "describe-vpcs", "AuthFailure"),
        ("cloudformation", "list-stacks", "SignatureDoesNotMatch"),
    ] {
        let said = wrong.refused(&[service, operation]);
        assert!(said.contains(expect), "aws {service} {operation}: {said}");
    }
}

/// The walk of somebody who knows AWS: stack by hand, waiters, change sets.
#[test]
fn a_stack_is_created_changed_and_deleted_with_the_command_line() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    let template = |size: u32| {
        format!(
            "Parameters:\n  Name: {{Type: String, Default: a}}\nResources:\n  Network:\n    Type: AWS::EC2::VPC\n    Properties:\n      CidrBlock: 10.{size}.0.0/16\n  Group:\n    Type: AWS::Logs::LogGroup\n    Properties:\n      LogGroupName: !Sub /walk/${{Name}}\nOutputs:\n  Network:\n    Value: !Ref Network\n"
        )
    };
    let cloudformation = |arguments: &[&str]| {
        let mut all = vec!["cloudformation"];
        all.extend_from_slice(arguments);
        aws.ask(&all)
    };
    cloudformation(&[
        "create-stack",
        "--stack-name",
        "walk",
        "--template-body",
        &template(1),
    ]);
    cloudformation(&["wait", "stack-create-complete", "--stack-name", "walk"]);
    let stacks = cloudformation(&["describe-stacks", "--stack-name", "walk"]);
    let network = stacks["Stacks"][0]["Outputs"][0]["OutputValue"]
        .as_str()
        .unwrap()
        .to_owned();

    let unchanged = aws.refused(&[
        "cloudformation",
        "update-stack",
        "--stack-name",
        "walk",
        "--template-body",
        &template(1),
    ]);
    assert!(
        unchanged.contains("No updates are to be performed"),
        "{unchanged}"
    );
    cloudformation(&[
        "create-change-set",
        "--stack-name",
        "walk",
        "--change-set-name",
        "grow",
        "--template-body",
        &template(2),
        "--parameters",
        "ParameterKey=Name,ParameterValue=b",
    ]);
    cloudformation(&[
        "wait",
        "change-set-create-complete",
        "--stack-name",
        "walk",
        "--change-set-name",
        "grow",
    ]);
    let set = cloudformation(&[
        "describe-change-set",
        "--stack-name",
        "walk",
        "--change-set-name",
        "grow",
    ]);
    let replaced: Vec<_> = set["Changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["ResourceChange"])
        .map(|it| {
            (
                it["LogicalResourceId"].as_str().unwrap(),
                it["Replacement"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(replaced.contains(&("Network", "True")), "{set}");
    assert!(replaced.contains(&("Group", "True")), "{set}");
    cloudformation(&[
        "execute-change-set",
        "--stack-name",
        "walk",
        "--change-set-name",
        "grow",
    ]);
    cloudformation(&["wait", "stack-update-complete", "--stack-name", "walk"]);
    let stacks = cloudformation(&["describe-stacks", "--stack-name", "walk"]);
    assert_ne!(
        stacks["Stacks"][0]["Outputs"][0]["OutputValue"],
        network.as_str()
    );
    let gone = aws.refused(&["ec2", "describe-vpcs", "--vpc-ids", &network]);
    assert!(gone.contains("InvalidVpcID.NotFound"), "{gone}");
    let groups = aws.ask(&[
        "logs",
        "describe-log-groups",
        "--log-group-name-prefix",
        "/walk/",
    ]);
    assert_eq!(
        groups["logGroups"].as_array().map(Vec::len),
        Some(1),
        "{groups}"
    );
    assert_eq!(groups["logGroups"][0]["logGroupName"], "/walk/b");

    cloudformation(&["delete-stack", "--stack-name", "walk"]);
    cloudformation(&["wait", "stack-delete-complete", "--stack-name", "walk"]);
    let groups = aws.ask(&[
        "logs",
        "describe-log-groups",
        "--log-group-name-prefix",
        "/walk/",
    ]);
    assert_eq!(
        groups["logGroups"].as_array().map(Vec::len),
        Some(0),
        "{groups}"
    );
}

#[test]
fn the_environment_is_what_a_shell_and_a_program_can_use() {
    let machine = Machine::idle();
    let before = machine.run(&["env"]);
    assert_eq!(before.code, 1);
    assert!(before.stderr.contains("neargate up"), "{before:?}");
    machine.serve();
    let json = machine.neargate(&["env", "--json"]).json();
    assert_eq!(
        json["AWS_ENDPOINT_URL"],
        format!("http://{}", machine.listen)
    );
}

#[test]
fn another_account_and_region_are_in_every_name() {
    let machine = Machine::idle();
    let site = e2e::Site::page("far", "hello");
    let place = ["--region", "eu-central-1", "--account", "123456789012"];
    let run = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(place);
        machine.neargate(&all)
    };
    let up = run(&["up", &site.argument(), "--count", "1", "--json"]).json();
    let url = up["url"].as_str().unwrap();
    assert!(url.contains(".eu-central-1.elb.localhost"), "{url}");
    assert_eq!(machine.page(url).unwrap().text(), "hello");
    let Some(aws) = Aws::of(&machine) else { return };
    let aws = aws
        .with("AWS_DEFAULT_REGION", "eu-central-1")
        .with("AWS_REGION", "eu-central-1");
    let tasks = aws.ask(&["ecs", "list-tasks", "--cluster", "far"]);
    let arn = tasks["taskArns"][0].as_str().unwrap();
    assert!(
        arn.starts_with("arn:aws:ecs:eu-central-1:123456789012:task/far/"),
        "{arn}"
    );
    // Regions do not see each other.
    let elsewhere = aws
        .with("AWS_DEFAULT_REGION", "us-west-2")
        .with("AWS_REGION", "us-west-2");
    assert_eq!(
        elsewhere.ask(&["ecs", "list-clusters"])["clusterArns"],
        serde_json::json!([])
    );
    run(&["down", "far", "--all-traces"]);
}

/// The SDK that most people script with: waiters and paginators.
#[test]
fn boto3_waits_and_turns_pages() {
    let machine = Machine::idle();
    let site = e2e::Site::page("boto", "hello");
    let up = machine.neargate(&["up", &site.argument(), "--json"]).json();
    for _ in 0..20 {
        machine.page(up["url"].as_str().unwrap()).unwrap();
    }
    let Some(aws) = Aws::of(&machine) else { return };
    let output = aws.python(
        r#"
import boto3
ecs = boto3.client("ecs")
ecs.get_waiter("services_stable").wait(cluster="boto", services=["boto"], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
tasks = [arn for page in ecs.get_paginator("list_tasks").paginate(cluster="boto", PaginationConfig={"PageSize": 1}) for arn in page["taskArns"]]
assert len(set(tasks)) == 2, tasks
logs = boto3.client("logs")
group = logs.describe_log_groups(logGroupNamePrefix="/neargate/boto")["logGroups"][0]["logGroupName"]
count = lambda size: sum(len(page["events"]) for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": size}))
assert count(3) == count(1000) >= 20, (count(3), count(1000))
elb = boto3.client("elbv2")
elb.get_waiter("load_balancer_available").wait(Names=["boto"], WaiterConfig={"Delay": 1})
cfn = boto3.client("cloudformation")
events = [event["EventId"] for page in cfn.get_paginator("describe_stack_events").paginate(StackName="boto") for event in page["StackEvents"]]
assert len(events) == len(set(events)) > 40, len(events)
try:
    ecs.describe_tasks(cluster="nowhere", tasks=tasks)
    raise SystemExit("a cluster that is not there was found")
except ecs.exceptions.ClusterNotFoundException as error:
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
print("all of it")
"#,
    );
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(output.stdout.trim(), "all of it");
}
