//! ECS on instances that are real: an agent joins its cluster over its machine's network, and tasks run there.

use std::path::PathBuf;

use e2e::{Load, Machine, eventually};
use serde_json::{Value, json};
use shapes::ec2::{
    DescribeImagesInput, DescribeInstancesInput, Filter, IamInstanceProfileSpecification,
    InstanceNetworkInterfaceSpecification, RunInstancesInput, TerminateInstancesInput,
};

use crate::ground::{Ground, text, web_image};

/// Lets a root file system stand for every image. False, said loudly, where it was not made.
pub fn has_root(machine: &Machine) -> bool {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let file = root.join("target/test-images/instance.tar");
    if !file.exists() {
        eprintln!("SKIPPED: no root file system for instances; bin/test-setup makes it");
        return false;
    }
    machine.neargate(&["image", "import", &file.display().to_string(), "ami/any"]);
    true
}

/// Joins the cluster, and shows what its agent says.
const USER_DATA: &str = "#!/bin/bash
mkdir -p /etc/ecs /var/log/ecs
echo ECS_CLUSTER=test >> /etc/ecs/ecs.config
nohup python3 -m http.server 9000 -d /var/log/ecs >/dev/null 2>&1 &
";

/// The name of a profile whose role may do this.
fn profile(machine: &Machine, name: &str, actions: &[&str]) -> String {
    let iam = |operation: &str, input: Value| machine.ask("iam", operation, input);
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole",
    }] });
    let role = json!({ "RoleName": name, "AssumeRolePolicyDocument": trust.to_string() });
    iam("CreateRole", role);
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": actions, "Resource": "*",
    }] });
    iam(
        "PutRolePolicy",
        json!({ "RoleName": name, "PolicyName": "own", "PolicyDocument": policy.to_string() }),
    );
    iam(
        "CreateInstanceProfile",
        json!({ "InstanceProfileName": name }),
    );
    let both = json!({ "InstanceProfileName": name, "RoleName": name });
    iam("AddRoleToInstanceProfile", both);
    name.to_owned()
}

const AGENT: &[&str] = &["ecs:*", "ecr:*", "logs:*"];

fn launch(
    ground: &Ground<'_>,
    group: &str,
    subnet: &str,
    is_public: bool,
    profile: &str,
) -> String {
    launch_with(ground, group, subnet, is_public, profile, USER_DATA)
}

fn launch_with(
    ground: &Ground<'_>,
    group: &str,
    subnet: &str,
    is_public: bool,
    profile: &str,
    user_data: &str,
) -> String {
    use base64::Engine as _;
    let machine = ground.machine;
    let name = Filter {
        name: Some("name".into()),
        values: Some(vec!["al2023-ami-ecs-hvm-*-x86_64".into()]),
    };
    let found = machine.typed(DescribeImagesInput {
        filters: Some(vec![name]),
        ..Default::default()
    });
    let interface = InstanceNetworkInterfaceSpecification {
        device_index: Some(0),
        subnet_id: Some(subnet.into()),
        groups: Some(vec![group.into()]),
        associate_public_ip_address: Some(is_public),
        ..Default::default()
    };
    let made = machine.typed(RunInstancesInput {
        image_id: found.images.unwrap().remove(0).image_id,
        instance_type: Some("t3.small".into()),
        min_count: 1,
        max_count: 1,
        iam_instance_profile: Some(IamInstanceProfileSpecification {
            name: Some(profile.into()),
            ..Default::default()
        }),
        user_data: Some(base64::engine::general_purpose::STANDARD.encode(user_data)),
        network_interfaces: Some(vec![interface]),
        ..Default::default()
    });
    made.instances.unwrap().remove(0).instance_id.unwrap()
}

fn address(ground: &Ground<'_>, id: &str) -> String {
    let found = ground.machine.typed(DescribeInstancesInput {
        instance_ids: Some(vec![id.into()]),
        ..Default::default()
    });
    let mut instances = found.reservations.unwrap().remove(0).instances.unwrap();
    instances.remove(0).private_ip_address.unwrap()
}

/// What a port of the network answers to a balancer's clients, when it says this.
#[track_caller]
fn page_when(machine: &Machine, url: &str, what: &str) -> String {
    eventually(&format!("{url} says {what}"), || {
        let page = machine.page(url).map_err(|error| error.to_string())?;
        let body = String::from_utf8_lossy(&page.body).into_owned();
        match body.contains(what) {
            true => Ok(body),
            false => Err(body),
        }
    })
}

#[test]
fn an_instance_joins_its_cluster_runs_a_service_and_takes_it_along() {
    let machine = Machine::start();
    if !has_root(&machine) {
        return;
    }
    let ground = Ground::new(&machine);
    let image = web_image(&machine, "nodes");
    let group = ground.group("nodes");
    let balancer = ground.balancer("nodes", 80);
    ground.open_port_to(&group, 8080, &balancer.group);
    let profile = profile(&machine, "nodes", AGENT);
    let id = launch(&ground, &group, &ground.subnets[0], true, &profile);
    let ecs = |operation: &str, input: Value| machine.ask("ecs", operation, input);
    eventually("the instance has joined", || {
        let connected = json!({ "cluster": "test", "filter": "agentConnected == true" });
        let found = ecs("ListContainerInstances", connected);
        match found["containerInstanceArns"][0].as_str() {
            Some(arn) => Ok(arn.to_owned()),
            None => Err(found.to_string()),
        }
    });

    ecs(
        "RegisterTaskDefinition",
        json!({
            "family": "web", "requiresCompatibilities": ["EC2"], "networkMode": "host",
            "containerDefinitions": [{
                "name": "main", "image": image, "memory": 128, "portMappings": [{ "containerPort": 8080 }],
            }],
        }),
    );
    ecs(
        "CreateService",
        json!({
            "cluster": "test", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
            "launchType": "EC2", "deploymentConfiguration": { "minimumHealthyPercent": 0, "maximumPercent": 100 },
        }),
    );
    eventually("the service runs", || {
        let service = ground.service("web");
        match service["runningCount"] == 1 {
            true => Ok(()),
            false => Err(service.to_string()),
        }
    });
    let cause = |service: &str, id: &str, parts: &[&str]| {
        eventually(&format!("{service} is explained"), || {
            let report = machine.run(&["why", "--json", service]).json();
            let all = report["findings"].as_array().cloned().unwrap_or_default();
            let own = all.iter().find(|it| it["id"] == id).map(Value::to_string);
            let is_told = |it: &String| parts.iter().all(|part| it.contains(part));
            match own.as_ref().is_some_and(is_told) {
                true => Ok(()),
                false => Err(report.to_string()),
            }
        });
    };
    for (name, row, more, parts) in [
        (
            "processors",
            "P2",
            json!({ "cpu": 100_000 }),
            &["100000 CPU units", "2048"][..],
        ),
        (
            "memory",
            "P3",
            json!({ "memory": 99_999 }),
            &["99999 MiB", "of 2048 MiB"],
        ),
        (
            "port",
            "P4",
            json!({ "portMappings": [{ "containerPort": 8080 }] }),
            &["port 8080", "uses the ports"],
        ),
    ] {
        let mut container = json!({ "name": "main", "image": image, "memory": 64 });
        for (member, value) in more.as_object().unwrap() {
            container[member] = value.clone();
        }
        let family = json!({
            "family": name, "requiresCompatibilities": ["EC2"], "networkMode": "host",
            "containerDefinitions": [container],
        });
        ecs("RegisterTaskDefinition", family);
        let service = json!({
            "cluster": "test", "serviceName": name, "taskDefinition": name, "desiredCount": 1, "launchType": "EC2",
        });
        ecs("CreateService", service);
        cause(name, row, parts);
        ecs(
            "DeleteService",
            json!({ "cluster": "test", "service": name, "force": true }),
        );
    }
    let far = json!({
        "cluster": "test", "serviceName": "far", "taskDefinition": "web", "desiredCount": 1, "launchType": "EC2",
        "placementConstraints": [{ "type": "memberOf", "expression": "attribute:stack == none" }],
    });
    ecs("CreateService", far);
    cause("far", "P7", &["memberOf"]);
    ecs(
        "DeleteService",
        json!({ "cluster": "test", "service": "far", "force": true }),
    );
    ground.register(&balancer.target_group, &address(&ground, &id));
    ground.target_when(&balancer.target_group, "healthy");
    page_when(&machine, &format!("http://{}/", balancer.host), "nodes");

    let tasks = ecs("ListTasks", json!({ "cluster": "test" }));
    let task = text(&tasks["taskArns"][0]);
    machine.typed(TerminateInstancesInput {
        instance_ids: vec![id.clone()],
        ..Default::default()
    });
    let stopped = ground.task_when(&task, "STOPPED");
    assert_eq!(
        stopped["stoppedReason"],
        format!("Host EC2 (instance {id}) terminated."),
        "{stopped}"
    );
    eventually("the service says that it has no place", || {
        let service = ground.service("web");
        let said = service["events"].to_string();
        match said.contains("No Container Instances were found in your cluster.") {
            true => Ok(()),
            false => Err(said),
        }
    });
    cause("web", "P1", &["cluster test has no container instance"]);
    machine.assert_no_processes_of_tasks();
}

#[test]
fn an_instance_that_cannot_reach_ecs_says_so_and_does_not_join() {
    let machine = Machine::idle_with(&["--iam", "enforce"]);
    machine.serve();
    if !has_root(&machine) {
        return;
    }
    let ground = Ground::new(&machine);
    let group = ground.group("nodes");
    let allowed = profile(&machine, "nodes", AGENT);
    let forbidden = profile(&machine, "others", &["logs:*"]);
    let says = |name: &str, port: u16, id: &str, what: &str| {
        let balancer = ground.balancer(name, port);
        ground.open_port_to(&group, 9000, &balancer.group);
        let target = json!([{ "Id": address(&ground, id), "Port": 9000 }]);
        let input = json!({ "TargetGroupArn": balancer.target_group, "Targets": target });
        machine.ask("elasticloadbalancing", "RegisterTargets", input);
        let url = format!("http://{}:{port}/ecs-agent.log", balancer.host);
        page_when(&machine, &url, what)
    };
    let closed = launch(&ground, &group, &ground.closed_subnet(), false, &allowed);
    let open = launch(&ground, &group, &ground.subnets[0], true, &forbidden);
    let failed = "Unable to register as a container instance with ECS: ";
    let said = says(
        "closed",
        81,
        &closed,
        &format!("{failed}RequestError: send request failed"),
    );
    let cause = "net/http: request canceled while waiting for connection";
    assert!(said.contains(cause), "{said}");
    let said = says("open", 82, &open, &format!("{failed}AccessDeniedException"));
    assert!(said.contains("ecs:RegisterContainerInstance"), "{said}");
    let why = |thing: &[&str]| machine.run(&[&["why", "--json"], thing].concat()).json();
    for (thing, id, parts) in [
        (
            &closed,
            "N1",
            &[
                "its agent does not reach ECS",
                "NO_ROUTE_TO_DESTINATION",
                "agent-not-joined",
                "net/http: request canceled",
            ][..],
        ),
        (
            &open,
            "N20",
            &[
                "profile others may not register it",
                "ECS_CLUSTER=test",
                "AmazonEC2ContainerServiceforEC2Role",
            ],
        ),
    ] {
        let report = why(&[thing]);
        assert_eq!(report["findings"][0]["id"], id, "{report}");
        let found = report["findings"][0].to_string();
        for part in parts {
            assert!(found.contains(part), "`{part}` is not in {found}");
        }
    }
    // Nobody has to know which instance it is.
    let all = why(&[])["findings"].to_string();
    assert!(all.contains(&closed) && all.contains(&open), "{all}");
    let input = json!({ "cluster": "test" });
    let found = machine.ask("ecs", "ListContainerInstances", input);
    assert_eq!(found["containerInstanceArns"], json!([]), "{found}");
}

/// Instances that have joined.
#[track_caller]
fn joined(machine: &Machine, count: usize) {
    eventually(&format!("{count} instances have joined"), || {
        let connected = json!({ "cluster": "test", "filter": "agentConnected == true" });
        let found = machine.ask("ecs", "ListContainerInstances", connected);
        let arns = found["containerInstanceArns"].as_array();
        match arns.is_some_and(|it| it.len() == count) {
            true => Ok(()),
            false => Err(found.to_string()),
        }
    });
}

#[test]
fn a_service_in_bridges_survives_the_end_of_an_instance_under_load() {
    let machine = Machine::start();
    if !has_root(&machine) {
        return;
    }
    let ground = Ground::new(&machine);
    let web = web_image(&machine, "bridged");
    let probe = crate::ground::probe_image(&machine);
    let group = ground.group("nodes");
    let balancer = ground.balancer_of("nodes", 80, "instance");
    ground.open_ports_to(&group, 32768, 60999, &balancer.group);
    let profile = profile(&machine, "nodes", AGENT);
    let nodes: Vec<String> = (0..2)
        .map(|at| launch(&ground, &group, &ground.subnets[at], true, &profile))
        .collect();
    let ecs = |operation: &str, input: Value| machine.ask("ecs", operation, input);
    joined(&machine, 2);
    let listed = machine.neargate(&["--json", "instance", "ls"]).json();
    let listed = listed.as_array().unwrap().iter().map(|it| text(&it["id"]));
    let listed: std::collections::BTreeSet<String> = listed.collect();
    assert_eq!(listed, nodes.iter().cloned().collect());
    let console = machine.neargate(&["instance", "logs", &nodes[0]]);
    assert_eq!(console.code, 0, "{console:?}");

    let log = json!({ "logDriver": "awslogs", "options": {
        "awslogs-group": "/test", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "bridged",
    } });
    ecs(
        "RegisterTaskDefinition",
        json!({
            "family": "bridged", "requiresCompatibilities": ["EC2"],
            "taskRoleArn": ground.execution_role(),
            "containerDefinitions": [
                {
                    "name": "main", "image": web, "memory": 64, "portMappings": [{ "containerPort": 8080 }],
                },
                {
                    "name": "side", "image": probe, "command": ["ask"], "memory": 64, "essential": false,
                    "links": ["main:web"], "logConfiguration": log,
                },
            ],
        }),
    );
    ecs(
        "CreateService",
        json!({
            "cluster": "test", "serviceName": "web", "taskDefinition": "bridged", "desiredCount": 2,
            "launchType": "EC2",
            "loadBalancers": [{
                "targetGroupArn": balancer.target_group, "containerName": "main", "containerPort": 8080,
            }],
        }),
    );
    let steady = |what: &str| {
        eventually(what, || {
            let health = json!({ "TargetGroupArn": balancer.target_group });
            let health = machine.ask("elasticloadbalancing", "DescribeTargetHealth", health);
            let healthy = health["TargetHealthDescriptions"].as_array();
            let healthy = healthy.into_iter().flatten();
            let healthy = healthy.filter(|it| it["TargetHealth"]["State"] == "healthy");
            let service = ground.service("web");
            match (healthy.count(), &service["runningCount"]) {
                (2, running) if running == 2 => Ok(()),
                _ => Err(format!("{health} {service}")),
            }
        });
    };
    steady("two tasks serve");
    let tasks = ecs("ListTasks", json!({ "cluster": "test" }));
    let tasks = ecs(
        "DescribeTasks",
        json!({ "cluster": "test", "tasks": tasks["taskArns"] }),
    );
    for task in tasks["tasks"].as_array().unwrap() {
        let binding = &task["containers"][0]["networkBindings"][0];
        assert_eq!(binding["containerPort"], 8080, "{task}");
        let port = binding["hostPort"].as_u64().unwrap();
        assert!((32768..=60999).contains(&port), "{task}");
    }
    // Its own door tells a container who it is, and where.
    eventually("the containers were told", || {
        let said = ground.printed("bridged").join("\n");
        match said.contains("AccessKeyId") && said.contains("\"172.17.0.") {
            true => Ok(()),
            false => Err(said),
        }
    });

    let load = Load::start(machine.edge_port(80), &balancer.host, "/", |_| "page");
    machine.typed(TerminateInstancesInput {
        instance_ids: vec![nodes[0].clone()],
        ..Default::default()
    });
    steady("the other instance has taken all over");
    let tally = load.stop();
    // What was under way there is lost, as on AWS, and nothing else.
    let is_of_the_lost = |it: &String| it.starts_with("502") || it.starts_with("504");
    assert!(tally.failed.keys().all(is_of_the_lost), "{tally:?}");
    assert!(tally.answered > 0, "{tally:?}");
    let after = Load::start(machine.edge_port(80), &balancer.host, "/", |_| "page");
    eventually("there is an answer", || {
        match after.tally().answered > 100 {
            true => Ok(()),
            false => Err(format!("{:?}", after.tally())),
        }
    });
    after.stop().assert_none_failed();

    machine.typed(TerminateInstancesInput {
        instance_ids: vec![nodes[1].clone()],
        ..Default::default()
    });
    eventually("nothing of it runs", || {
        match ground.service("web")["runningCount"] == 0 {
            true => Ok(()),
            false => Err(ground.service("web").to_string()),
        }
    });
    machine.assert_no_processes_of_tasks();
}

#[test]
fn an_instance_that_was_told_of_no_cluster_and_one_that_failed_to_be_are_told_apart() {
    let machine = Machine::start();
    if !has_root(&machine) {
        return;
    }
    let ground = Ground::new(&machine);
    let group = ground.group("nodes");
    let profile = profile(&machine, "nodes", AGENT);
    let launched = |user_data: &str| {
        launch_with(
            &ground,
            &group,
            &ground.subnets[0],
            true,
            &profile,
            user_data,
        )
    };
    let image = web_image(&machine, "nodes");
    let family = json!({
        "family": "web", "requiresCompatibilities": ["EC2"], "networkMode": "host",
        "containerDefinitions": [{ "name": "main", "image": image, "memory": 128 }],
    });
    machine.ask("ecs", "RegisterTaskDefinition", family);
    let service = json!({
        "cluster": "test", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1, "launchType": "EC2",
    });
    machine.ask("ecs", "CreateService", service);
    let told = |thing: &str, id: &str, parts: &[&str]| {
        eventually(&format!("{id} is told of {thing}"), || {
            let report = machine.run(&["why", "--json", thing]).json();
            let all = report["findings"].as_array().cloned().unwrap_or_default();
            let own = all.iter().find(|it| it["id"] == id).map(Value::to_string);
            let is_told = |it: &String| parts.iter().all(|part| it.contains(part));
            match own.as_ref().is_some_and(is_told) {
                true => Ok(()),
                false => Err(report.to_string()),
            }
        });
    };
    let astray = launched("#!/bin/bash\nmkdir -p /etc/ecs\n");
    told(
        "web",
        "P12",
        &[&astray, "joined cluster default", "ECS_CLUSTER=test"],
    );
    told("web", "P1", &["cluster test has no container instance"]);
    let failed = launched("#!/bin/bash\nmkdir -p /etc/ecs\nexit 3\n");
    told(&failed, "P13", &["exit status 3", "get-console-output"]);
}
