//! Nothing is green unless it is real: what must be refused, or seen to fail, through the API.

use std::net::TcpListener;

use e2e::{ApiError, Machine, eventually};
use serde_json::json;

use crate::ground::{Ground, TEMPLATE, probe_image, text};

const MISSING: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com/nothing:latest";

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, ApiError>, code: &str) -> String {
    let error = outcome.expect_err("it must be refused");
    assert_eq!(error.code, code, "{error:?}");
    error.message
}

#[test]
fn a_service_without_its_image_never_runs() {
    let machine = Machine::start();
    let ground = Ground::new(&machine);
    let group = ground.group("tasks");
    let definition = ground.definition("missing", MISSING, &[], json!({}));
    let input = json!({
        "cluster": "test", "serviceName": "missing", "taskDefinition": definition,
        "desiredCount": 1, "launchType": "FARGATE",
        "networkConfiguration": ground.placed(&ground.subnets[0], &group),
        "deploymentConfiguration": { "deploymentCircuitBreaker": { "enable": true, "rollback": false } },
    });
    machine.ask("ecs", "CreateService", input);
    let reason = eventually("a task is stopped", || {
        let input =
            json!({ "cluster": "test", "serviceName": "missing", "desiredStatus": "STOPPED" });
        let answer = machine.ask("ecs", "ListTasks", input);
        match answer["taskArns"][0].as_str() {
            Some(arn) => Ok(ground.task(arn)),
            None => Err(answer.to_string()),
        }
    });
    let why = text(&reason["stoppedReason"]);
    assert!(why.contains("CannotPullContainerError"), "{reason}");
    assert_eq!(reason["stopCode"], "TaskFailedToStart");
    eventually("the circuit breaker trips", || {
        let service = ground.service("missing");
        assert_eq!(service["runningCount"], 0, "{service}");
        match service["deployments"][0]["rolloutState"] == "FAILED" {
            true => Ok(()),
            false => Err(service.to_string()),
        }
    });
}

#[test]
fn a_stack_without_its_image_fails_and_leaves_nothing() {
    let machine = Machine::start();
    machine.create_stack("site", TEMPLATE, &[("Name", "site"), ("Image", MISSING)]);
    let stack = machine.settled_stack("site");
    let events = machine.stack_events("site");
    assert_eq!(stack["StackStatus"], "ROLLBACK_COMPLETE", "{events}");
    assert!(events.contains("Service CREATE_FAILED"), "{events}");
    assert!(events.contains("Circuit Breaker"), "{events}");
    let vpcs = machine.ask("ec2", "DescribeVpcs", json!({}));
    let left = vpcs["vpcSet"].as_array().map_or(0, |all| {
        all.iter().filter(|it| it["isDefault"] != true).count()
    });
    assert_eq!(left, 0, "{vpcs}");
    assert!(machine.page("http://site/").is_err(), "a balancer listens");
}

#[test]
fn a_role_that_does_not_trust_tasks_starts_none() {
    let machine = Machine::start();
    let ground = Ground::new(&machine);
    let image = probe_image(&machine);
    let group = ground.group("tasks");
    let definition = ground.definition("sleep", &image, &["sleep"], json!({}));
    let let_in = |service: &str| {
        let trust = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole",
        }] });
        let input = json!({ "RoleName": "execution", "PolicyDocument": trust.to_string() });
        machine.ask("iam", "UpdateAssumeRolePolicy", input);
    };
    let_in("codebuild.amazonaws.com");
    let input = json!({
        "cluster": "test", "taskDefinition": definition, "launchType": "FARGATE",
        "networkConfiguration": ground.placed(&ground.subnets[0], &group),
    });
    let message = refused(machine.call("ecs", "RunTask", input), "ClientException");
    assert!(
        message.contains("ECS was unable to assume the role"),
        "{message}"
    );
    let_in("ecs-tasks.amazonaws.com");
    let task = ground.run(&definition, &ground.subnets[0], &group);
    ground.task_when(&task, "RUNNING");
}

#[test]
fn a_target_where_nothing_listens_is_unhealthy() {
    let machine = Machine::start();
    let ground = Ground::new(&machine);
    let image = probe_image(&machine);
    let group = ground.group("tasks");
    ground.open_port(&group, 8080);
    let balancer = ground.balancer("site", 80);
    let task = ground.run(
        &ground.definition("sleep", &image, &["sleep"], json!({})),
        &ground.subnets[0],
        &group,
    );
    ground.register(&balancer.target_group, &ground.address(&task));
    assert_eq!(
        ground.target_when(&balancer.target_group, "unhealthy"),
        "Target.FailedHealthChecks"
    );
    // A load balancer without a healthy target asks all of them: nobody answers.
    let page = machine.page(&format!("http://{}/", balancer.host)).unwrap();
    assert!((502..=504).contains(&page.status), "{}", page.status);
}

#[test]
fn a_closed_security_group_is_closed_until_it_is_opened() {
    let machine = Machine::start();
    let ground = Ground::new(&machine);
    let image = probe_image(&machine);
    let group = ground.group("tasks");
    let balancer = ground.balancer("site", 80);
    let definition = ground.definition("web", &image, &["serve", "hello"], json!({}));
    let task = ground.run(&definition, &ground.subnets[1], &group);
    ground.register(&balancer.target_group, &ground.address(&task));
    assert_eq!(
        ground.target_when(&balancer.target_group, "unhealthy"),
        "Target.Timeout"
    );

    ground.open_port_to(&group, 8080, &balancer.group);
    ground.target_when(&balancer.target_group, "healthy");
    let page = machine.page(&format!("http://{}/", balancer.host)).unwrap();
    assert_eq!((page.status, page.text().as_str()), (200, "hello"));

    ground.close_port_to(&group, 8080, &balancer.group);
    assert_eq!(
        ground.target_when(&balancer.target_group, "unhealthy"),
        "Target.Timeout"
    );
}

#[test]
fn tasks_of_one_subnet_reach_each_other_only_when_a_group_allows_it() {
    let machine = Machine::start();
    let ground = Ground::new(&machine);
    let image = probe_image(&machine);
    let (server_group, client_group) = (ground.group("server"), ground.group("client"));
    let server = ground.definition("server", &image, &["serve", "hello"], json!({}));
    let server = ground.run(&server, &ground.subnets[0], &server_group);
    let address = format!("{}:8080", ground.address(&server));
    let client = ground.definition("client", &image, &["connect", &address], json!({}));
    ground.task_when(
        &ground.run(&client, &ground.subnets[0], &client_group),
        "RUNNING",
    );
    eventually("the client has tried several times", || {
        let printed = ground.printed("client");
        assert!(!printed.iter().any(|it| it == "reached"), "{printed:?}");
        if printed.len() >= 3 {
            Ok(())
        } else {
            Err(format!("{printed:?}"))
        }
    });
    ground.open_port_to(&server_group, 8080, &client_group);
    eventually("the client reaches the server", || {
        let printed = ground.printed("client");
        if printed.iter().any(|it| it == "reached") {
            Ok(())
        } else {
            Err(format!("{printed:?}"))
        }
    });
}

#[test]
fn a_subnet_without_a_default_route_has_no_way_out() {
    let machine = Machine::start();
    let ground = Ground::new(&machine);
    let image = probe_image(&machine);
    let group = ground.group("tasks");
    let definition = ground.definition("closed", &image, &["sleep"], json!({}));
    let task = ground.run(&definition, &ground.closed_subnet(), &group);
    let stopped = ground.task_when(&task, "STOPPED");
    let why = text(&stopped["stoppedReason"]);
    assert!(
        why.contains("CannotPullContainerError") || why.contains("ResourceInitializationError"),
        "{stopped}"
    );
    // The same task with a way out.
    let task = ground.run(&definition, &ground.subnets[0], &group);
    ground.task_when(&task, "RUNNING");
}

#[test]
fn sizes_that_fargate_does_not_have_are_refused() {
    let machine = Machine::start();
    let input = json!({
        "family": "odd", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc",
        "cpu": "256", "memory": "9999",
        "containerDefinitions": [{ "name": "main", "image": MISSING, "essential": true }],
    });
    let message = refused(
        machine.call("ecs", "RegisterTaskDefinition", input),
        "ClientException",
    );
    assert!(
        message.contains("No Fargate configuration exists for given values"),
        "{message}"
    );
}

#[test]
fn a_service_in_a_subnet_that_is_not_there_is_refused() {
    let machine = Machine::start();
    let ground = Ground::new(&machine);
    let group = ground.group("tasks");
    let definition = ground.definition("site", MISSING, &[], json!({}));
    let input = json!({
        "cluster": "test", "serviceName": "site", "taskDefinition": definition,
        "desiredCount": 1, "launchType": "FARGATE",
        "networkConfiguration": ground.placed("subnet-0123456789abcdef0", &group),
    });
    let message = refused(
        machine.call("ecs", "CreateService", input),
        "InvalidParameterException",
    );
    assert!(message.contains("subnet-0123456789abcdef0"), "{message}");
}

#[test]
fn unknown_types_and_properties_fail_before_anything_is_created() {
    let machine = Machine::start();
    let cases = [
        ("AWS::Teapot::Teapot", "    Properties:\n      Color: red\n"),
        (
            "AWS::EC2::VPC",
            "    Properties:\n      CidrBlock: 10.0.0.0/16\n      Colour: red\n",
        ),
    ];
    for (kind, properties) in cases {
        let template = format!(
            "Resources:\n  Network:\n    Type: AWS::EC2::VPC\n    Properties:\n      CidrBlock: 10.9.0.0/16\n  Odd:\n    Type: {kind}\n{properties}"
        );
        let input = json!({ "StackName": "odd", "TemplateBody": template });
        let message = refused(
            machine.call("cloudformation", "CreateStack", input),
            "ValidationError",
        );
        assert!(
            message.contains("line") && message.contains("column"),
            "{message}"
        );
        let described = machine.call(
            "cloudformation",
            "DescribeStacks",
            json!({ "StackName": "odd" }),
        );
        let message = refused(described, "ValidationError");
        assert!(message.contains("does not exist"), "{message}");
    }
    let vpcs = machine.ask("ec2", "DescribeVpcs", json!({})).to_string();
    assert!(!vpcs.contains("10.9.0.0/16"), "{vpcs}");
}

#[test]
fn a_taken_port_fails_the_stack_and_is_named() {
    let machine = Machine::start();
    let taken = TcpListener::bind(machine.edge_port(80)).unwrap();
    machine.create_stack("site", TEMPLATE, &[("Name", "site"), ("Image", MISSING)]);
    let stack = machine.settled_stack("site");
    let events = machine.stack_events("site");
    assert_eq!(stack["StackStatus"], "ROLLBACK_COMPLETE", "{events}");
    let failed = events
        .lines()
        .find(|it| it.starts_with("Listener CREATE_FAILED"));
    let failed = failed.unwrap_or_else(|| panic!("the listener did not fail: {events}"));
    assert!(failed.contains("80"), "{failed}");
    drop(taken);
}
