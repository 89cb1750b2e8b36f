//! Who may do what, found out and enforced.

use e2e::{Aws, Machine, eventually};
use serde_json::{Value, json};

use crate::ground::{Ground, probe_image};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;

fn make_role(machine: &Machine) {
    let role = json!({ "RoleName": "shop", "AssumeRolePolicyDocument": TRUST });
    machine.ask("iam", "CreateRole", role);
}

/// What a container with the role `shop` was told at the address inside its namespace: its
/// credentials, and its task's metadata.
fn told_inside(machine: &Machine) -> (Value, Value) {
    let ground = Ground::new(machine);
    let image = probe_image(machine);
    let group = ground.group("asks");
    let definition = ground.definition("ask", &image, &["ask"], json!({}));
    // The same definition, with a role.
    let input = json!({ "taskDefinition": definition });
    let mut shape = machine.ask("ecs", "DescribeTaskDefinition", input)["taskDefinition"].clone();
    let kept = [
        "family",
        "containerDefinitions",
        "cpu",
        "memory",
        "networkMode",
        "requiresCompatibilities",
        "executionRoleArn",
    ];
    let shape = shape.as_object_mut().unwrap();
    shape.retain(|name, value| kept.contains(&name.as_str()) && !value.is_null());
    shape.insert("taskRoleArn".into(), json!("shop"));
    let made = machine.ask("ecs", "RegisterTaskDefinition", json!(shape));
    let definition = made["taskDefinition"]["taskDefinitionArn"]
        .as_str()
        .unwrap();
    ground.run(definition, &ground.subnets[0], &group);
    let printed = eventually("it was answered", || match &ground.printed("ask")[..] {
        [credentials, metadata, ..] => Ok((credentials.clone(), metadata.clone())),
        other => Err(format!("{other:?}")),
    });
    let json =
        |text: &str| serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (json(&printed.0), json(&printed.1))
}

/// The client of a container that was told these credentials.
fn client_with(aws: &Aws, credentials: &Value) -> Aws {
    let text = |name: &str| credentials[name].as_str().unwrap().to_owned();
    aws.clone()
        .with("AWS_ACCESS_KEY_ID", &text("AccessKeyId"))
        .with("AWS_SECRET_ACCESS_KEY", &text("SecretAccessKey"))
        .with("AWS_SESSION_TOKEN", &text("Token"))
}

#[test]
fn a_task_acts_with_its_role_and_what_it_needs_is_found_out() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else {
        return;
    };
    make_role(&machine);
    let (credentials, metadata) = told_inside(&machine);
    assert_eq!(
        credentials["RoleArn"],
        "arn:aws:iam::000000000000:role/shop"
    );
    assert_eq!(metadata["Family"], "ask", "{metadata}");
    assert_eq!(
        metadata["Containers"][0]["KnownStatus"]
            .as_str()
            .map(str::len)
            .unwrap_or(0)
            > 0,
        true
    );

    let task = client_with(&aws, &credentials);
    let who = task.ask(&["sts", "get-caller-identity"]);
    let arn = who["Arn"].as_str().unwrap();
    assert!(
        arn.starts_with("arn:aws:sts::000000000000:assumed-role/shop/"),
        "{arn}"
    );
    // An audit lets it through, and remembers.
    task.ask(&["ecs", "list-clusters"]);
    task.ask(&["ecs", "describe-clusters", "--clusters", "test"]);
    let suggested = machine.neargate(&["iam", "suggest", "shop"]).json();
    assert_eq!(
        suggested["Statement"],
        json!([
            { "Effect": "Allow", "Action": ["ecs:ListClusters"], "Resource": "*" },
            { "Effect": "Allow", "Action": ["ecs:DescribeClusters"], "Resource": "arn:aws:ecs:us-east-1:000000000000:cluster/test" },
        ])
    );
    let denied = machine
        .neargate(&["iam", "calls", "shop", "--denied"])
        .stdout;
    assert!(denied.contains("ecs:ListClusters"), "{denied}");
}

#[test]
fn what_no_policy_allows_is_refused_when_that_is_asked_for() {
    let machine = Machine::idle_with(&["--iam", "enforce"]);
    machine.serve();
    let Some(aws) = Aws::of(&machine) else {
        return;
    };
    machine.ask("iam", "CreateUser", json!({ "UserName": "ann" }));
    let key = machine.ask("iam", "CreateAccessKey", json!({ "UserName": "ann" }));
    let text = |name: &str| key["AccessKey"][name].as_str().unwrap().to_owned();
    let ann = aws
        .clone()
        .with("AWS_ACCESS_KEY_ID", &text("AccessKeyId"))
        .with("AWS_SECRET_ACCESS_KEY", &text("SecretAccessKey"));

    let refused = ann.refused(&["ecs", "create-cluster", "--cluster-name", "shop"]);
    assert!(
        refused.contains("AccessDeniedException")
            && refused.contains(
                "arn:aws:iam::000000000000:user/ann is not authorized to perform: ecs:CreateCluster"
            ),
        "{refused}"
    );
    let refused = ann.refused(&["ec2", "describe-vpcs"]);
    assert!(refused.contains("UnauthorizedOperation"), "{refused}");
    let refused = ann.refused(&["s3", "mb", "s3://annes-own-bucket"]);
    assert!(refused.contains("AccessDenied"), "{refused}");
    let clusters = machine.ask("ecs", "ListClusters", json!({}));
    assert_eq!(clusters["clusterArns"], json!([]));

    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "ecs:*", "Resource": "arn:aws:ecs:*:*:cluster/shop" },
        { "Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::annes-*"] },
    ] });
    let input =
        json!({ "UserName": "ann", "PolicyName": "own", "PolicyDocument": policy.to_string() });
    machine.ask("iam", "PutUserPolicy", input);
    ann.ask(&["ecs", "create-cluster", "--cluster-name", "shop"]);
    ann.refused(&["ecs", "create-cluster", "--cluster-name", "other"]);
    assert_eq!(ann.run(&["s3", "mb", "s3://annes-own-bucket"]).code, 0);
    // The owner may do everything.
    aws.ask(&["ecs", "create-cluster", "--cluster-name", "other"]);
}
