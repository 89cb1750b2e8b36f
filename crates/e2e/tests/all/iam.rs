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
    assert_eq!(metadata["Containers"][0]["Name"], "main", "{metadata}");

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

    // Its credentials end with its role, and are not those of the next one of that name.
    machine.ask("iam", "DeleteRole", json!({ "RoleName": "shop" }));
    let refused = task.refused(&["ecs", "list-clusters"]);
    assert!(refused.contains("UnrecognizedClientException"), "{refused}");
    make_role(&machine);
    let refused = task.refused(&["ecs", "list-clusters"]);
    assert!(refused.contains("UnrecognizedClientException"), "{refused}");
}

/// A user with a key, and the client that signs with it.
pub fn user(machine: &Machine, aws: &Aws, name: &str) -> Aws {
    machine.ask("iam", "CreateUser", json!({ "UserName": name }));
    let key = machine.ask("iam", "CreateAccessKey", json!({ "UserName": name }));
    let text = |name: &str| key["AccessKey"][name].as_str().unwrap().to_owned();
    aws.clone()
        .with("AWS_ACCESS_KEY_ID", &text("AccessKeyId"))
        .with("AWS_SECRET_ACCESS_KEY", &text("SecretAccessKey"))
}

fn allow(machine: &Machine, user: &str, statements: Value) {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    let input =
        json!({ "UserName": user, "PolicyName": "own", "PolicyDocument": policy.to_string() });
    machine.ask("iam", "PutUserPolicy", input);
}

#[test]
fn a_stack_may_do_what_its_user_may_or_its_role() {
    let machine = Machine::idle_with(&["--iam", "enforce"]);
    machine.serve();
    let Some(aws) = Aws::of(&machine) else {
        return;
    };
    let ann = user(&machine, &aws, "ann");
    allow(
        &machine,
        "ann",
        json!([
            { "Effect": "Allow", "Action": "cloudformation:*", "Resource": "*" },
            { "Effect": "Allow", "Action": "iam:PassRole", "Resource": "*",
              "Condition": { "StringEquals": { "iam:PassedToService": "cloudformation.amazonaws.com" } } },
        ]),
    );
    let template = "Resources: { Cluster: { Type: 'AWS::ECS::Cluster' } }";
    let create = |name: &str, more: &[&str]| {
        let mut words = vec!["cloudformation", "create-stack", "--stack-name", name];
        words.extend(["--template-body", template]);
        words.extend(more);
        ann.ask(&words);
        machine.settled_stack(name)
    };
    let own = create("own", &[]);
    assert_eq!(own["StackStatus"], "ROLLBACK_COMPLETE", "{own}");
    let events = machine.stack_events("own");
    assert!(
        events.contains("user/ann is not authorized to perform: ecs:CreateCluster"),
        "{events}"
    );

    // Nor does a template show what its user may not read.
    let parameter = json!({ "Name": "/hidden", "Type": "String", "Value": "told-to-nobody" });
    machine.ask("ssm", "PutParameter", parameter);
    machine.ask(
        "s3",
        "CreateBucket",
        json!({ "Bucket": "hidden-templates" }),
    );
    let shown = "Parameters: { P: { Type: 'AWS::SSM::Parameter::Value<String>', Default: /hidden } }\nResources: { Cluster: { Type: 'AWS::ECS::Cluster' } }\nOutputs: { P: { Value: !Ref P } }";
    let url = "https://hidden-templates.s3.amazonaws.com/a.yaml";
    for (how, needed) in [
        (["--template-body", shown], "ssm:GetParameters"),
        (["--template-url", url], "s3:GetObject"),
    ] {
        let mut words = vec!["cloudformation", "create-stack", "--stack-name", "shown"];
        words.extend(how);
        let refused = ann.refused(&words);
        assert!(
            refused.contains(&format!("is not authorized to perform: {needed}")),
            "{refused}"
        );
    }
    let referring = "Resources: { Cluster: { Type: 'AWS::ECS::Cluster', Properties: { ClusterName: '{{resolve:ssm:/hidden}}' } } }";
    ann.ask(&[
        "cloudformation",
        "create-stack",
        "--stack-name",
        "referring",
        "--template-body",
        referring,
    ]);
    machine.settled_stack("referring");
    let events = machine.stack_events("referring");
    assert!(
        events.contains("is not authorized to perform: ssm:GetParameters"),
        "{events}"
    );

    let trust = TRUST.replace("ecs-tasks", "cloudformation");
    let role = json!({ "RoleName": "stacks", "AssumeRolePolicyDocument": trust });
    machine.ask("iam", "CreateRole", role);
    let policy = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "ecs:*", "Resource": "*" } });
    let input =
        json!({ "RoleName": "stacks", "PolicyName": "own", "PolicyDocument": policy.to_string() });
    machine.ask("iam", "PutRolePolicy", input);
    let arn = "arn:aws:iam::000000000000:role/stacks";
    let with_role = create("with-role", &["--role-arn", arn]);
    assert_eq!(with_role["StackStatus"], "CREATE_COMPLETE", "{with_role}");
    assert_eq!(with_role["RoleARN"], arn);
    ann.ask(&[
        "cloudformation",
        "delete-stack",
        "--stack-name",
        "with-role",
    ]);
    ann.run(&[
        "cloudformation",
        "wait",
        "stack-delete-complete",
        "--stack-name",
        "with-role",
    ]);
    let clusters = machine.ask("ecs", "ListClusters", json!({}));
    assert_eq!(clusters["clusterArns"], json!([]));
}

/// The role that is handed over is the one that will be used: its record's, however it is spelled.
#[test]
fn a_role_is_passed_as_the_one_that_it_is() {
    let machine = Machine::idle_with(&["--iam", "enforce"]);
    machine.serve();
    let Some(aws) = Aws::of(&machine) else {
        return;
    };
    let trust = TRUST.replace("ecs-tasks", "codebuild");
    for (name, path) in [("admin", "/prod/"), ("tester", "/dev/")] {
        let role = json!({ "RoleName": name, "Path": path, "AssumeRolePolicyDocument": trust });
        machine.ask("iam", "CreateRole", role);
    }
    let ann = user(&machine, &aws, "ann");
    allow(
        &machine,
        "ann",
        json!([
            { "Effect": "Allow", "Action": "codebuild:*", "Resource": "*" },
            { "Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::*:role/dev/*" },
        ]),
    );
    let create = |role: &str| {
        let source = "type=NO_SOURCE,buildspec=version: 0.2";
        let environment = "type=LINUX_CONTAINER,image=a,computeType=BUILD_GENERAL1_SMALL";
        let mut words = vec!["codebuild", "create-project", "--name", "shop"];
        words.extend(["--source", source, "--artifacts", "type=NO_ARTIFACTS"]);
        words.extend(["--environment", environment, "--service-role", role]);
        ann.run(&words)
    };
    for (spelled, why) in [
        ("admin", "iam:PassRole"),
        ("arn:aws:iam::000000000000:role/admin", "iam:PassRole"),
        // It may be passed, and is nobody's: the role of that name has another path, or account.
        ("arn:aws:iam::000000000000:role/dev/admin", "sts:AssumeRole"),
        ("arn:aws:iam::000000000009:role/dev/admin", "sts:AssumeRole"),
    ] {
        let refused = create(spelled);
        assert!(
            refused.code != 0 && refused.stderr.contains(why),
            "{spelled}: {refused:?}"
        );
    }
    let passed = create("arn:aws:iam::000000000000:role/dev/tester");
    assert_eq!(passed.code, 0, "{passed:?}");
}

/// A tag that is given twice would be one for a policy and another for the record.
#[test]
fn a_tag_is_given_once() {
    let machine = Machine::start();
    let tags = json!([{ "key": "team", "value": "blue" }, { "key": "team", "value": "red" }]);
    let input = json!({ "clusterName": "shop", "tags": tags });
    let refused = machine.call("ecs", "CreateCluster", input).unwrap_err();
    assert!(
        refused.message.contains("Duplicate tag keys"),
        "{refused:?}"
    );
}

#[test]
fn what_no_policy_allows_is_refused_when_that_is_asked_for() {
    let machine = Machine::idle_with(&["--iam", "enforce"]);
    machine.serve();
    let Some(aws) = Aws::of(&machine) else {
        return;
    };
    let ann = user(&machine, &aws, "ann");

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

    let own_things = json!([
        { "Effect": "Allow", "Action": "ecs:*", "Resource": "arn:aws:ecs:*:*:cluster/shop" },
        { "Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::annes-*"] },
    ]);
    allow(&machine, "ann", own_things);
    ann.ask(&["ecs", "create-cluster", "--cluster-name", "shop"]);
    ann.refused(&["ecs", "create-cluster", "--cluster-name", "other"]);
    assert_eq!(ann.run(&["s3", "mb", "s3://annes-own-bucket"]).code, 0);
    // Many objects are deleted at once, and each needs a permission of its own.
    let input = json!({ "Bucket": "other-bucket" });
    machine.ask("s3", "CreateBucket", input);
    let doomed = "Objects=[{Key=a},{Key=b}]";
    let bucket = ["s3api", "delete-objects", "--delete", doomed, "--bucket"];
    let own = ann.ask(&[&bucket[..], &["annes-own-bucket"]].concat());
    assert_eq!(own["Deleted"].as_array().map(Vec::len), Some(2), "{own}");
    let other = ann.ask(&[&bucket[..], &["other-bucket"]].concat());
    assert_eq!(other["Errors"][0]["Code"], "AccessDenied", "{other}");
    assert_eq!(other["Deleted"], Value::Null, "{other}");
    // The owner may do everything.
    aws.ask(&["ecs", "create-cluster", "--cluster-name", "other"]);
}

/// The policies of a bucket, a repository and a secret, which allow somebody everything.
fn put_resource_policies(machine: &Machine, principal: &str) -> Vec<(&'static str, Value)> {
    let statement = |more: Value| {
        let mut statement = json!({ "Effect": "Allow", "Principal": { "AWS": principal } });
        let members = more.as_object().unwrap().clone();
        statement.as_object_mut().unwrap().extend(members);
        json!({ "Version": "2012-10-17", "Statement": statement }).to_string()
    };
    let of_bucket = statement(json!({ "Action": "s3:*", "Resource": "arn:aws:s3:::namesakes" }));
    let of_repository = statement(json!({ "Action": "ecr:*" }));
    let of_secret = statement(json!({ "Action": "secretsmanager:*", "Resource": "*" }));
    let puts = [
        (
            "s3",
            "PutBucketPolicy",
            json!({ "Bucket": "namesakes", "Policy": of_bucket }),
        ),
        (
            "ecr",
            "SetRepositoryPolicy",
            json!({ "repositoryName": "namesakes", "policyText": of_repository }),
        ),
        (
            "secretsmanager",
            "PutResourcePolicy",
            json!({ "SecretId": "namesakes", "ResourcePolicy": of_secret }),
        ),
    ];
    let outcomes = puts.map(|(service, operation, input)| {
        let outcome = machine.call(service, operation, input);
        (
            operation,
            outcome.map_or_else(|error| json!([error.code, error.message]), |_| Value::Null),
        )
    });
    outcomes.to_vec()
}

#[test]
fn policies_of_resources_bind_who_was_there_and_no_namesake() {
    let machine = Machine::idle_with(&["--iam", "enforce"]);
    machine.serve();
    let Some(aws) = Aws::of(&machine) else {
        return;
    };
    machine.ask("s3", "CreateBucket", json!({ "Bucket": "namesakes" }));
    let input = json!({ "repositoryName": "namesakes" });
    machine.ask("ecr", "CreateRepository", input);
    let input = json!({ "Name": "namesakes", "SecretString": "hush" });
    machine.ask("secretsmanager", "CreateSecret", input);

    let arn = "arn:aws:iam::000000000000:user/ann";
    assert_eq!(
        json!(put_resource_policies(&machine, arn)),
        json!([
            [
                "PutBucketPolicy",
                ["MalformedPolicy", "Invalid principal in policy"]
            ],
            [
                "SetRepositoryPolicy",
                [
                    "InvalidParameterException",
                    "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Principal not found'"
                ]
            ],
            [
                "PutResourcePolicy",
                [
                    "MalformedPolicyDocumentException",
                    "This resource policy contains an unsupported principal."
                ]
            ],
        ])
    );
    let ann = user(&machine, &aws, "ann");
    let put = put_resource_policies(&machine, arn);
    assert!(put.iter().all(|it| it.1.is_null()), "{put:?}");
    let uses: [&[&str]; 3] = [
        &["s3api", "list-objects-v2", "--bucket", "namesakes"],
        &["ecr", "describe-images", "--repository-name", "namesakes"],
        &[
            "secretsmanager",
            "get-secret-value",
            "--secret-id",
            "namesakes",
        ],
    ];
    for words in uses {
        ann.run(words).code.eq(&0).then_some(()).expect("ann may");
    }
    let shown = || {
        let bucket = machine.ask("s3", "GetBucketPolicy", json!({ "Bucket": "namesakes" }));
        let input = json!({ "repositoryName": "namesakes" });
        let repository = machine.ask("ecr", "GetRepositoryPolicy", input);
        let input = json!({ "SecretId": "namesakes" });
        let secret = machine.ask("secretsmanager", "GetResourcePolicy", input);
        [
            &bucket["Policy"],
            &repository["policyText"],
            &secret["ResourcePolicy"],
        ]
        .map(|it| it.as_str().unwrap().to_owned())
    };
    assert!(shown().iter().all(|it| it.contains(arn)), "{:?}", shown());

    let keys = machine.ask("iam", "ListAccessKeys", json!({ "UserName": "ann" }));
    let key = &keys["AccessKeyMetadata"][0]["AccessKeyId"];
    let input = json!({ "UserName": "ann", "AccessKeyId": key });
    machine.ask("iam", "DeleteAccessKey", input);
    machine.ask("iam", "DeleteUser", json!({ "UserName": "ann" }));
    assert!(
        shown()
            .iter()
            .all(|it| !it.contains(arn) && it.contains("AIDA")),
        "{:?}",
        shown()
    );
    let namesake = user(&machine, &aws, "ann");
    for words in uses {
        let refused = namesake.refused(words);
        assert!(refused.contains("AccessDenied"), "{words:?}: {refused}");
    }
}

/// Who may nothing learns nothing: not even which names there are.
#[test]
fn what_is_refused_is_called_as_it_was_asked_for() {
    let machine = Machine::idle_with(&["--iam", "enforce"]);
    machine.serve();
    let Some(aws) = Aws::of(&machine) else {
        return;
    };
    let ann = user(&machine, &aws, "ann");
    let input = json!({ "Name": "there", "SecretString": "hush" });
    let secret = machine.ask("secretsmanager", "CreateSecret", input)["ARN"].clone();
    let secret = secret.as_str().unwrap();
    let role = json!({ "RoleName": "there", "Path": "/deep/", "AssumeRolePolicyDocument": TRUST });
    machine.ask("iam", "CreateRole", role);
    let template = "Resources: { Cluster: { Type: 'AWS::ECS::Cluster' } }";
    let stack = json!({ "StackName": "there", "TemplateBody": template });
    machine.ask("cloudformation", "CreateStack", stack);
    machine.settled_stack("there");
    let definition = json!({ "family": "there", "containerDefinitions": [{ "name": "a", "image": "a" }],
        "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512" });
    machine.ask("ecs", "RegisterTaskDefinition", definition);
    for words in [
        &["secretsmanager", "get-secret-value", "--secret-id"][..],
        &["secretsmanager", "describe-secret", "--secret-id"],
        &["iam", "get-role", "--role-name"],
        &["iam", "get-user", "--user-name"],
        &["cloudformation", "describe-stacks", "--stack-name"],
        &["ecs", "describe-task-definition", "--task-definition"],
        &["ecr", "describe-images", "--repository-name"],
        &["logs", "delete-log-group", "--log-group-name"],
        &["ssm", "get-parameter", "--name"],
        &["codebuild", "batch-get-projects", "--names"],
        &["cloudwatch", "list-tags-for-resource", "--resource-arn"],
    ] {
        let told = |name: &str| {
            let refused = ann.refused(&[words, &[name]].concat());
            assert!(refused.contains("not authorized"), "{refused}");
            refused.replace(name, "NAME")
        };
        assert_eq!(told("there"), told("never"), "{words:?}");
    }
    // A part of its ARN leads to it, and its last letters are not told.
    let part = secret.rsplit_once('-').unwrap().0;
    let refused = ann.refused(&["secretsmanager", "get-secret-value", "--secret-id", part]);
    assert!(
        refused.contains(part) && !refused.contains(secret),
        "{refused}"
    );
}
