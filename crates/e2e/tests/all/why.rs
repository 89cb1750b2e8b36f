//! `neargate why`: causes that are provoked for real, and named with their evidence.

use e2e::{Machine, eventually};
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
    // Without a name, both are told.
    let (report, code) = scene.why(&[]);
    let rows: Vec<&Value> = (report["findings"].as_array().unwrap().iter())
        .map(|it| &it["id"])
        .collect();
    assert!(
        rows.contains(&&json!("N2")) && rows.contains(&&json!("N6")),
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
