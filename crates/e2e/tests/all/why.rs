//! `neargate why`: causes that are provoked for real, and named with their evidence.

use e2e::{Aws, Machine, Site, eventually};
use serde_json::{Value, json};

use crate::ground::{Ground, probe_image, text};

/// A daemon, and what tasks of these tests need.
struct Scene<'a> {
    ground: Ground<'a>,
    image: String,
    group: String,
}

impl<'a> Scene<'a> {
    #[track_caller]
    fn new(machine: &'a Machine) -> Self {
        let ground = Ground::new(machine);
        let (image, group) = (probe_image(machine), ground.group("tasks"));
        Self {
            ground,
            image,
            group,
        }
    }

    /// What the command answers, and the code that it ends with.
    #[track_caller]
    fn why(&self, thing: &[&str]) -> (Value, i32) {
        let arguments = [&["why", "--json"], thing].concat();
        let output = self.ground.machine.run(&arguments);
        (output.json(), output.code)
    }

    /// The only finding about a thing: its row, and all of its text.
    #[track_caller]
    fn cause(&self, thing: &str) -> (String, String) {
        let (report, code) = self.why(&[thing]);
        assert_eq!(
            (report["outcome"].as_str(), code),
            (Some("cause-found"), 1),
            "{report}"
        );
        let finding = &report["findings"][0];
        (text(&finding["id"]), finding.to_string())
    }

    /// Runs a task that is to end, and answers its id.
    #[track_caller]
    fn ended(&self, definition: &str, subnet: &str) -> String {
        let arn = self.ground.run(definition, subnet, &self.group);
        self.ground.task_when(&arn, "STOPPED");
        arn.rsplit('/').next().unwrap().to_owned()
    }

    /// A service of one task whose tasks do not come up.
    #[track_caller]
    fn failing_service(&self, name: &str, definition: &str, network: &Value) {
        let input = json!({
            "cluster": "test", "serviceName": name, "taskDefinition": definition,
            "desiredCount": 1, "launchType": "FARGATE", "networkConfiguration": network,
        });
        self.ground.machine.ask("ecs", "CreateService", input);
        eventually("a task of it has failed", || {
            let input =
                json!({ "cluster": "test", "serviceName": name, "desiredStatus": "STOPPED" });
            let answer = self.ground.machine.ask("ecs", "ListTasks", input);
            match answer["taskArns"][0].as_str() {
                Some(_) => Ok(()),
                None => Err(answer.to_string()),
            }
        });
    }
}

#[track_caller]
fn assert_cause(found: &(String, String), id: &str, parts: &[&str]) {
    assert_eq!(found.0, id, "{}", found.1);
    for part in parts {
        assert!(found.1.contains(part), "`{part}` is not in {}", found.1);
    }
}

#[test]
fn a_task_that_cannot_start_is_explained() {
    let machine = Machine::start();
    let scene = Scene::new(&machine);
    let (ground, open) = (&scene.ground, scene.ground.subnets[0].clone());
    let (report, code) = scene.why(&[]);
    assert_eq!(
        (report["outcome"].as_str(), code),
        (Some("nothing-wrong"), 0),
        "{report}"
    );
    let not = json!(["regions other than us-east-1"]);
    assert_eq!(report["not_looked_at"], not, "{report}");

    let image = &scene.image;
    let define =
        |family: &str, image: &str, more: Value| ground.definition(family, image, &["sleep"], more);
    let log = |region: &str, group: &str| {
        json!({ "logConfiguration": { "logDriver": "awslogs", "options": {
            "awslogs-group": group, "awslogs-region": region, "awslogs-stream-prefix": "x",
        } } })
    };
    let untagged = image.replace(":latest", ":lates");
    let unknown = image.replace("/probe:", "/prob:");
    let rows = [
        (
            "I2",
            define("tag", &untagged, json!({})),
            vec!["latest", "was never pushed"],
        ),
        (
            "I1",
            define("repository", &unknown, json!({})),
            vec!["the nearest is `probe`"],
        ),
        (
            "S8",
            define("nolog", image, log("us-east-1", "/none")),
            vec!["/none", "create-log-group"],
        ),
        (
            "S9",
            define("farlog", image, log("eu-west-1", "/test")),
            vec!["eu-west-1", "is in us-east-1"],
        ),
        (
            "S1",
            define(
                "noprogram",
                image,
                json!({ "entryPoint": ["/no/such/program"] }),
            ),
            vec!["/no/such/program", "COPY"],
        ),
        (
            "S2",
            define("plain", image, json!({ "entryPoint": ["/etc/hosts"] })),
            vec!["/etc/hosts", "chmod +x"],
        ),
        (
            "S4",
            define("nobody", image, json!({ "user": "nemo" })),
            vec!["nemo", "/etc/passwd"],
        ),
    ];
    for (id, definition, parts) in rows {
        let task = scene.ended(&definition, &open);
        assert_cause(&scene.cause(&task), id, &parts);
    }
    // A task in a subnet from which nothing leads out: its image would have to be pulled.
    let closed = ground.closed_subnet();
    let task = scene.ended(&define("closed", &untagged, json!({})), &closed);
    assert_cause(
        &scene.cause(&task[..8]),
        "N1",
        &["NO_ROUTE_TO_DESTINATION", &closed, "create-route"],
    );
}

#[test]
fn a_program_that_ends_is_explained_by_what_it_printed() {
    let machine = Machine::start();
    let scene = Scene::new(&machine);
    let open = scene.ground.subnets[0].clone();
    let define = |command: &str, more: Value| {
        scene
            .ground
            .definition(command, &scene.image, &[command], more)
    };
    let crash = scene.ended(&define("crash", json!({})), &open);
    assert_cause(&scene.cause(&crash), "R2", &["exit code 3", "crashing"]);
    let eat = scene.ended(&define("eat", json!({ "memory": 64 })), &open);
    assert_cause(&scene.cause(&eat), "R3", &["512 MiB", "1024 MiB"]);
    let (report, code) = scene.why(&["nothing-of-this-name"]);
    assert!(code == 2 && report["error"].is_string(), "{report}");
}

#[test]
fn a_service_whose_network_leads_nowhere_is_explained() {
    let machine = Machine::start();
    let scene = Scene::new(&machine);
    let ground = &scene.ground;
    let absent = scene.image.replace(":latest", ":absent");
    let definition = ground.definition("absent", &absent, &[], json!({}));
    let placed = |group: &str, public: &str| {
        json!({ "awsvpcConfiguration": {
            "subnets": [ground.subnets[0]], "securityGroups": [group], "assignPublicIp": public,
        } })
    };
    scene.failing_service("private", &definition, &placed(&scene.group, "DISABLED"));
    assert_cause(
        &scene.cause("private"),
        "N2",
        &["IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", "assignPublicIp"],
    );
    let shut = ground.group("shut");
    ground.let_out_only(&shut, 80);
    scene.failing_service("shut", &definition, &placed(&shut, "ENABLED"));
    assert_cause(
        &scene.cause("test/shut"),
        "N6",
        &["ENI_SG_RULES_MISMATCH", &shut, "tcp 80: 0.0.0.0/0"],
    );
    let acl = ground.guarded(&ground.subnets[1]);
    let open = ground.group("open");
    let network = json!({ "awsvpcConfiguration": {
        "subnets": [ground.subnets[1]], "securityGroups": [open], "assignPublicIp": "ENABLED",
    } });
    scene.failing_service("guarded", &definition, &network);
    assert_cause(
        &scene.cause("test/guarded"),
        "N12",
        &["SUBNET_ACL_RESTRICTION", &acl, "rule 90: deny tcp 443"],
    );
    // Without a name, all are told.
    let (report, code) = scene.why(&[]);
    let rows: Vec<&Value> = (report["findings"].as_array().unwrap().iter())
        .map(|it| &it["id"])
        .collect();
    assert!(
        rows.contains(&&json!("N2"))
            && rows.contains(&&json!("N6"))
            && rows.contains(&&json!("N12")),
        "{report}"
    );
    assert_eq!(code, 1);
}

#[test]
fn a_target_that_is_not_well_is_explained() {
    let machine = Machine::start();
    let scene = Scene::new(&machine);
    let ground = &scene.ground;
    let balancer = ground.balancer("site", 80);
    let run = |command: &[&str]| {
        let definition = ground.definition(command[0], &scene.image, command, json!({}));
        let task = ground.run(&definition, &ground.subnets[0], &scene.group);
        ground.address(&task)
    };
    let serving = run(&["serve", "hello"]);
    ground.register(&balancer.target_group, &serving);
    ground.target_when(&balancer.target_group, "unhealthy");
    assert_cause(
        &scene.cause("site"),
        "L1",
        &[
            "ENI_SG_RULES_MISMATCH",
            &scene.group,
            &balancer.group,
            "--port 8080",
        ],
    );
    // Nobody has to know its name.
    let (report, code) = scene.why(&[]);
    assert_eq!(
        (&report["findings"][0]["id"], code),
        (&json!("L1"), 1),
        "{report}"
    );
    ground.open_port_to(&scene.group, 8080, &balancer.group);
    ground.target_when(&balancer.target_group, "healthy");
    let (report, code) = scene.why(&["site"]);
    assert_eq!(
        (report["outcome"].as_str(), code),
        (Some("nothing-wrong"), 0),
        "{report}"
    );

    let elb = |operation: &str, input: Value| machine.ask("elasticloadbalancing", operation, input);
    let group = &balancer.target_group;
    elb(
        "ModifyTargetGroup",
        json!({ "TargetGroupArn": group, "Matcher": { "HttpCode": "201" } }),
    );
    ground.target_when(group, "unhealthy");
    assert_cause(&scene.cause("site"), "L3", &["201", "200"]);

    elb(
        "DeregisterTargets",
        json!({ "TargetGroupArn": group, "Targets": [{ "Id": serving, "Port": 8080 }] }),
    );
    let sleeping = run(&["sleep"]);
    ground.register(group, &sleeping);
    eventually("the silent task is found unhealthy", || {
        let (report, _) = scene.why(&["site"]);
        let finding = &report["findings"][0];
        match finding["id"] == "R13" && finding.to_string().contains("8080") {
            true => Ok(()),
            false => Err(report.to_string()),
        }
    });
}

#[test]
fn what_went_back_with_its_stack_is_explained() {
    let machine = Machine::start();
    let dockerfile = "FROM scratch\nCOPY server /server\nCOPY site /site\nEXPOSE 8080\nENTRYPOINT [\"/server\"]\nCMD [\"no-such-command\"]\n";
    let broken = Site::dockerfile("broken", "x", dockerfile);
    let output = machine.run(&["up", &broken.argument()]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("`neargate why broken`"),
        "{output:?}"
    );
    let output = machine.run(&["why", "--json", "broken"]);
    let report = output.json();
    let finding = (text(&report["findings"][0]["id"]), report.to_string());
    // Its service, its cluster and its network are gone, and the container's last words are not.
    let parts = ["exit code 2", "Usage: server", "ROLLBACK_COMPLETE"];
    assert_cause(&finding, "R2", &parts);
}

#[test]
fn a_deployment_that_was_rolled_back_is_explained() {
    let machine = Machine::start();
    let scene = Scene::new(&machine);
    let ground = &scene.ground;
    let ecs = |operation: &str, input: Value| machine.ask("ecs", operation, input);
    let placed = json!({ "awsvpcConfiguration": {
        "subnets": [ground.subnets[0]], "securityGroups": [scene.group], "assignPublicIp": "ENABLED",
    } });
    ecs(
        "CreateService",
        json!({
            "cluster": "test", "serviceName": "web", "launchType": "FARGATE", "desiredCount": 1,
            "taskDefinition": ground.definition("well", &scene.image, &["sleep"], json!({})),
            "networkConfiguration": placed,
            "deploymentConfiguration": { "deploymentCircuitBreaker": { "enable": true, "rollback": true } },
        }),
    );
    let completed = |definition: &str| {
        eventually("it is deployed", || {
            let service = ground.service("web");
            let newest = &service["deployments"][0];
            let is_there = service["deployments"].as_array().unwrap().len() == 1
                && newest["rolloutState"] == "COMPLETED"
                && text(&newest["taskDefinition"]).contains(definition);
            is_there.then_some(()).ok_or_else(|| service.to_string())
        });
    };
    completed("/well:");
    let (report, code) = scene.why(&["web"]);
    assert_eq!(
        (report["outcome"].as_str(), code),
        (Some("nothing-wrong"), 0)
    );
    let crash = ground.definition("crash", &scene.image, &["crash"], json!({}));
    let update = json!({ "cluster": "test", "service": "web", "taskDefinition": crash });
    ecs("UpdateService", update);
    eventually("it is rolled back", || {
        let events = ground.service("web")["events"].to_string();
        events.contains("rolling back").then_some(()).ok_or(events)
    });
    completed("/well:");
    assert_cause(
        &scene.cause("web"),
        "R2",
        &["exit code 3", "crashing", "service web was rolled back"],
    );
}

#[test]
fn a_failure_in_a_nested_stack_is_told_of_the_innermost() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else {
        return;
    };
    machine.ask(
        "logs",
        "CreateLogGroup",
        json!({ "logGroupName": "/there" }),
    );
    let inner = json!({ "Resources": { "Group": {
        "Type": "AWS::Logs::LogGroup", "Properties": { "LogGroupName": "/there" },
    } } });
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("inner.json");
    std::fs::write(&file, inner.to_string()).unwrap();
    let file = file.display().to_string();
    for command in [
        &["s3", "mb", "s3://templates"][..],
        &["s3", "cp", &file, "s3://templates/inner.json"],
    ] {
        let output = aws.run(command);
        assert_eq!(output.code, 0, "{output:?}");
    }
    let outer = json!({ "Resources": { "Inner": {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": { "TemplateURL": "https://templates.s3.amazonaws.com/inner.json" },
    } } });
    let input = json!({ "StackName": "outer", "TemplateBody": outer.to_string() });
    machine.ask("cloudformation", "CreateStack", input);
    eventually("it has gone back", || {
        let input = json!({ "StackName": "outer" });
        let answer = machine.ask("cloudformation", "DescribeStacks", input);
        let status = text(&answer["Stacks"][0]["StackStatus"]);
        (status == "ROLLBACK_COMPLETE").then_some(()).ok_or(status)
    });
    let report = machine.run(&["why", "--json", "outer"]).json();
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{report}");
    let found = (text(&findings[0]["id"]), findings[0].to_string());
    let parts = ["the resource Group", "stack outer is ROLLBACK_COMPLETE"];
    assert_cause(&found, "C2", &parts);
}

#[test]
fn one_name_of_several_things_is_about_each() {
    let machine = Machine::start();
    let scene = Scene::new(&machine);
    let template = json!({ "Resources": { "Group": { "Type": "AWS::Logs::LogGroup" } } });
    let input = json!({ "StackName": "crash", "TemplateBody": template.to_string() });
    machine.ask("cloudformation", "CreateStack", input);
    let definition = (scene.ground).definition("crash", &scene.image, &["crash"], json!({}));
    let network = json!({ "awsvpcConfiguration": {
        "subnets": [scene.ground.subnets[0]], "securityGroups": [scene.group], "assignPublicIp": "ENABLED",
    } });
    scene.failing_service("crash", &definition, &network);
    let (report, _) = scene.why(&["crash"]);
    assert_eq!(
        report["thing"],
        "stack crash, service crash in cluster test"
    );
    assert_cause(&scene.cause("crash"), "R2", &["exit code 3"]);
}

#[test]
fn a_way_and_an_address_are_gone_hop_by_hop() {
    let machine = Machine::start();
    let scene = Scene::new(&machine);
    let ground = &scene.ground;
    let other = ground.group("clients");
    let run = |command: &[&str], group: &str| {
        let definition = ground.definition(command[0], &scene.image, command, json!({}));
        let arn = ground.run(&definition, &ground.subnets[0], group);
        (
            ground.address(&arn),
            arn.rsplit('/').next().unwrap().to_owned(),
        )
    };
    let (address, serving) = run(&["serve", "hello"], &scene.group);
    let (_, client) = run(&["sleep"], &other);
    let to = format!("{address}:8080");
    let ask = |to: &str| {
        let (report, code) = scene.why(&[&client, to]);
        let finding = &report["findings"][0];
        assert!(finding.is_object(), "{report}");
        ((text(&finding["id"]), finding.to_string()), code)
    };
    let (found, code) = ask(&to);
    assert_eq!(code, 1);
    assert_cause(
        &found,
        "L1",
        &[
            "SG_HAS_NO_RULES",
            &scene.group,
            &other,
            "observed",
            "timed out",
        ],
    );
    ground.open_port_to(&scene.group, 8080, &other);
    ground.open_port_to(&scene.group, 9000, &other);
    let (report, code) = scene.why(&[&client, &format!("{serving}:8080")]);
    assert_eq!(
        (report["outcome"].as_str(), code),
        (Some("nothing-wrong"), 0),
        "{report}"
    );
    assert!(
        report["path"].to_string().contains("a connection was made"),
        "{report}"
    );
    let (found, _) = ask(&format!("{address}:9000"));
    assert_cause(&found, "R13", &["on no such port", ":8080"]);
    let (report, code) = scene.why(&[&client, "nowhere"]);
    assert!(code == 2 && report["error"].is_string(), "{report}");

    let balancer = ground.balancer("site", 80);
    assert_cause(
        &scene.cause("http://127.0.0.1:81/"),
        "N19",
        &["listeners on 80"],
    );
    assert_cause(
        &scene.cause("http://127.0.0.1/"),
        "L13",
        &["503", "nothing is registered"],
    );
    ground.open_port_to(&scene.group, 8080, &balancer.group);
    ground.register(&balancer.target_group, &address);
    ground.target_when(&balancer.target_group, "healthy");
    let (report, code) = scene.why(&["http://127.0.0.1/a"]);
    assert_eq!(
        (report["outcome"].as_str(), code),
        (Some("nothing-wrong"), 0),
        "{report}"
    );
    assert!(
        report["path"].to_string().contains("forwards to"),
        "{report}"
    );
    let (report, code) = scene.why(&["test"]);
    assert_eq!(
        (report["outcome"].as_str(), code),
        (Some("nothing-wrong"), 0),
        "{report}"
    );
}

#[test]
fn a_file_is_checked_with_what_the_daemon_knows() {
    let machine = Machine::start();
    let scene = Scene::new(&machine);
    let files = tempfile::tempdir().unwrap();
    let template = |group: &str, start: &str| {
        json!({ "Resources": { "Definition": { "Type": "AWS::ECS::TaskDefinition", "Properties": {
            "NetworkMode": "awsvpc", "RequiresCompatibilities": ["FARGATE"], "Cpu": "256", "Memory": "512",
            "ExecutionRoleArn": "arn:aws:iam::000000000000:role/none",
            "ContainerDefinitions": [{ "Name": "web", "Image": scene.image, "EntryPoint": [start],
                "LogConfiguration": { "LogDriver": "awslogs", "Options": {
                    "awslogs-group": group, "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "x",
                } } }],
        } } } })
    };
    let check = |template: Value| {
        let file = files.path().join("site.json");
        std::fs::write(&file, serde_json::to_string_pretty(&template).unwrap()).unwrap();
        let output = machine.run(&["check", "--json", &file.display().to_string()]);
        let report = output.json();
        let all = report["findings"].as_array().unwrap().clone();
        let ids: Vec<String> = all.iter().map(|it| text(&it["id"])).collect();
        (ids, report, output.code)
    };
    let (ids, report, code) = check(template("/test", "/etc/hosts"));
    assert_eq!(code, 1, "{report}");
    for (id, part) in [
        ("S9", "is in us-east-1"),
        ("S18", "there is no such role"),
        ("S1", "COPY `/etc/hosts` into the image"),
    ] {
        assert!(ids.iter().any(|it| it == id), "{id} is not in {report}");
        assert!(
            report.to_string().contains(part),
            "`{part}` is not in {report}"
        );
    }
    let (ids, report, _) = check(template("/none", "/no/such/program"));
    assert!(
        ids.contains(&"S8".to_owned()) && ids.contains(&"S1".to_owned()),
        "{report}"
    );
    let output = machine.run(&["check", "--json", "/no/such/file"]);
    assert_eq!(output.code, 2, "{output:?}");
}

#[test]
fn what_is_red_beside_tasks_is_told() {
    let machine = Machine::start();
    let scene = Scene::new(&machine);
    let ground = &scene.ground;
    let told = |thing: &str, says: &str| {
        let (report, code) = scene.why(&[]);
        let all = report["unexplained"].to_string();
        assert!(
            all.contains(thing) && all.contains(says),
            "{thing}: {report}"
        );
        assert_ne!(code, 0);
    };
    // Scaling alarms are on whenever there is something to scale; this one tells somebody.
    let alarm = json!({
        "AlarmName": "errors", "Namespace": "Site", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
    });
    machine.ask("monitoring", "PutMetricAlarm", alarm);
    let on = json!({ "AlarmName": "errors", "StateValue": "ALARM", "StateReason": "too many" });
    machine.ask("monitoring", "SetAlarmState", on);
    told("alarm errors", "too many");

    let balancer = ground.balancer("site", 80);
    told("target group site", "answered 503");

    ground.open_port_to(&scene.group, 8080, &balancer.group);
    let serving = ground.definition("serving", &scene.image, &["serve", "hello"], json!({}));
    let service = json!({
        "cluster": "test", "serviceName": "site", "launchType": "FARGATE", "desiredCount": 1,
        "taskDefinition": serving, "networkConfiguration": ground.placed(&ground.subnets[0], &scene.group),
        "loadBalancers": [{ "targetGroupArn": balancer.target_group, "containerName": "main", "containerPort": 8080 }],
    });
    machine.ask("ecs", "CreateService", service);
    ground.target_when(&balancer.target_group, "healthy");
    let group = json!({ "TargetGroupArn": balancer.target_group });
    let health = machine.ask("elasticloadbalancing", "DescribeTargetHealth", group);
    let target = &health["TargetHealthDescriptions"][0]["Target"];
    let away = json!({
        "TargetGroupArn": balancer.target_group,
        "Targets": [{ "Id": target["Id"], "Port": target["Port"] }],
    });
    machine.ask("elasticloadbalancing", "DeregisterTargets", away);
    eventually("the task without a balancer is told", || {
        let (report, _) = scene.why(&[]);
        let found = report["findings"].to_string();
        match found.contains("\"L21\"") && found.contains("--force-new-deployment") {
            true => Ok(()),
            false => Err(report.to_string()),
        }
    });
}
