//! Tasks as processes: how they end, and what is said about it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use e2e::{Machine, eventually};
use serde_json::{Value, json};

use crate::ground::{Ground, probe_image, text};

struct Bench<'a> {
    ground: Ground<'a>,
    image: String,
    group: String,
}

impl<'a> Bench<'a> {
    #[track_caller]
    fn new(machine: &'a Machine) -> Self {
        let ground = Ground::new(machine);
        let image = probe_image(machine);
        let group = ground.group("tasks");
        Self {
            ground,
            image,
            group,
        }
    }

    #[track_caller]
    fn run(&self, command: &[&str], more: Value) -> String {
        let definition = self
            .ground
            .definition(command[0], &self.image, command, more);
        self.ground
            .run(&definition, &self.ground.subnets[0], &self.group)
    }
}

#[test]
fn a_program_that_ends_ends_its_task_with_its_code_and_its_last_words() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let task = bench.run(&["crash"], json!({}));
    let stopped = bench.ground.task_when(&task, "STOPPED");
    assert_eq!(stopped["stopCode"], "EssentialContainerExited", "{stopped}");
    assert_eq!(
        stopped["stoppedReason"], "Essential container in task exited",
        "{stopped}"
    );
    assert_eq!(stopped["containers"][0]["exitCode"], 3, "{stopped}");
    assert_eq!(bench.ground.printed("crash"), ["crashing"]);
}

/// What a task costs the daemon of what a process may have open: the connection to its supervisor, a handle
/// of that process, and the door that its containers find.
const DESCRIPTORS_OF_A_TASK: usize = 3;

#[test]
fn a_task_costs_the_daemon_few_descriptors_and_gives_them_back() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let stop = |tasks: &[String]| {
        for task in tasks {
            let input = json!({ "cluster": "test", "task": task });
            machine.ask("ecs", "StopTask", input);
        }
        for task in tasks {
            bench.ground.task_when(task, "STOPPED");
        }
    };
    let run = |count: usize| -> Vec<String> {
        let tasks: Vec<String> = (0..count)
            .map(|_| bench.run(&["sleep"], json!({})))
            .collect();
        for task in &tasks {
            bench.ground.task_when(task, "RUNNING");
        }
        tasks
    };
    let open = format!("/proc/{}/fd", machine.daemon_id());
    // Requests that have just been answered have a connection still.
    let at_most = |count: usize| {
        eventually(&format!("there are {count} descriptors at most"), || {
            let found = fs::read_dir(&open).unwrap().flatten();
            let names = found.map(|it| fs::read_link(it.path()).unwrap_or_default());
            let names: Vec<_> = names.collect();
            match names.len() <= count {
                true => Ok(()),
                false => Err(format!("{} {names:?}", names.len())),
            }
        });
    };
    // What comes with the first task stays.
    stop(&run(1));
    at_most(usize::MAX);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let before = fs::read_dir(&open).unwrap().count();
    for _ in 0..2 {
        let tasks = run(4);
        at_most(before + DESCRIPTORS_OF_A_TASK * tasks.len());
        stop(&tasks);
        at_most(before);
    }
}

#[test]
fn a_program_that_takes_too_much_memory_is_killed_and_it_is_said() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let task = bench.run(&["eat"], json!({ "memory": 64 }));
    let stopped = bench.ground.task_when(&task, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 137, "{stopped}");
    let reason = text(&stopped["containers"][0]["reason"]);
    assert!(reason.contains("OutOfMemoryError"), "{stopped}");
    let printed = bench.ground.printed("eat");
    assert!(printed.len() < 8, "it had more than its limit: {printed:?}");
}

#[test]
fn stopping_asks_first_and_then_kills() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let stubborn = bench.run(&["stubborn"], json!({ "stopTimeout": 2 }));
    let polite = bench.run(&["sleep"], json!({}));
    for (task, printed) in [(&stubborn, "stubborn"), (&polite, "sleep")] {
        bench.ground.task_when(task, "RUNNING");
        eventually("it has begun", || {
            match bench.ground.printed(printed).len() {
                0 => Err("nothing printed".into()),
                _ => Ok(()),
            }
        });
        let input = json!({ "cluster": "test", "task": task, "reason": "the test is over" });
        machine.ask("ecs", "StopTask", input);
    }
    for (task, code) in [(&stubborn, 137), (&polite, 0)] {
        let stopped = bench.ground.task_when(task, "STOPPED");
        assert_eq!(stopped["stopCode"], "UserInitiated", "{stopped}");
        assert_eq!(stopped["stoppedReason"], "the test is over", "{stopped}");
        assert_eq!(stopped["containers"][0]["exitCode"], code, "{stopped}");
    }
    machine.assert_no_processes_of_tasks();
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let task = bench.run(&["sleep"], json!({ "entryPoint": ["/no/such/program"] }));
    let stopped = bench.ground.task_when(&task, "STOPPED");
    assert_eq!(stopped["stopCode"], "TaskFailedToStart", "{stopped}");
    let said = stopped.to_string();
    assert!(
        said.contains("CannotStartContainerError") && said.contains("/no/such/program"),
        "{stopped}"
    );
}

#[test]
fn a_container_waits_until_the_one_before_it_is_healthy() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let container = |name: &str, command: &[&str]| {
        json!({
            "name": name, "image": bench.image, "command": command, "essential": name == "main",
            "logConfiguration": { "logDriver": "awslogs", "options": {
                "awslogs-group": "/test", "awslogs-region": "us-east-1", "awslogs-stream-prefix": name,
            } },
        })
    };
    let mut store = container("store", &["sleep"]);
    store["healthCheck"] =
        json!({ "command": ["CMD", "/probe", "crash"], "interval": 5, "timeout": 2, "retries": 2 });
    let mut main = container("main", &["sleep"]);
    main["dependsOn"] = json!([{ "containerName": "store", "condition": "HEALTHY" }]);
    let define = |store: &Value| {
        let input = json!({
            "family": "pair", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc",
            "cpu": "256", "memory": "512", "containerDefinitions": [store, main],
            "executionRoleArn": bench.ground.execution_role(),
        });
        let answer = machine.ask("ecs", "RegisterTaskDefinition", input);
        text(&answer["taskDefinition"]["taskDefinitionArn"])
    };
    let start = |definition: &str| {
        bench
            .ground
            .run(definition, &bench.ground.subnets[0], &bench.group)
    };
    let sick = start(&define(&store));
    store["healthCheck"]["command"] = json!(["CMD", "/probe", "check"]);
    let well = start(&define(&store));
    let running = bench.ground.task_when(&well, "RUNNING");
    let containers = running["containers"].as_array().unwrap();
    let store = containers.iter().find(|it| it["name"] == "store").unwrap();
    assert_eq!(store["healthStatus"], "HEALTHY", "{running}");
    let stopped = bench.ground.task_when(&sick, "STOPPED");
    assert_eq!(
        bench.ground.printed("main").len(),
        1,
        "it ran without its store: {stopped}"
    );
}

#[test]
fn images_that_reach_outside_themselves_do_not_run_and_touch_nothing() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let outside = format!("{}/outside", machine.state.parent().unwrap().display());
    let up = "../".repeat(20);
    let beyond = format!("{up}{}", outside.trim_start_matches('/'));
    let cases = [
        (
            "climbing",
            archive(&[entry(&beyond, tar::EntryType::Regular, "")]),
        ),
        (
            "absolute",
            archive(&[entry(&outside, tar::EntryType::Regular, "")]),
        ),
        (
            "through-link",
            archive(&[
                entry("link", tar::EntryType::Symlink, "/dev/shm"),
                entry(
                    &format!("link/{}", outside.rsplit("/dev/shm/").next().unwrap()),
                    tar::EntryType::Regular,
                    "",
                ),
            ]),
        ),
        (
            "hard-link",
            archive(&[entry(
                "passwd",
                tar::EntryType::Link,
                &format!("{up}etc/passwd"),
            )]),
        ),
        (
            "device",
            archive(&[entry("disk", tar::EntryType::Block, "")]),
        ),
        (
            "cut-off",
            archive(&[entry("file", tar::EntryType::Regular, "")])[..700].to_vec(),
        ),
    ];
    machine.ask(
        "ecr",
        "CreateRepository",
        json!({ "repositoryName": "evil" }),
    );
    for (name, layer) in cases {
        let config = json!({ "Entrypoint": ["/probe", "sleep"] });
        let image = e2e::Pushed::layer(layer, config).push(&machine, "evil", name);
        let definition = bench.ground.definition(name, &image, &[], json!({}));
        let task = bench
            .ground
            .run(&definition, &bench.ground.subnets[0], &bench.group);
        let stopped = bench.ground.task_when(&task, "STOPPED");
        let why = text(&stopped["stoppedReason"]);
        assert!(why.contains("Cannot"), "{name}: {stopped}");
        assert!(
            !std::path::Path::new(&outside).exists(),
            "{name} has written outside"
        );
    }
    // What runs goes on.
    bench
        .ground
        .task_when(&bench.run(&["sleep"], json!({})), "RUNNING");
}

/// An entry of an archive by its bytes: no library writes what these tests need.
fn entry(path: &str, kind: tar::EntryType, link: &str) -> Vec<u8> {
    const CONTENT: &[u8] = b"something";
    let mut header = tar::Header::new_ustar();
    let put = |field: &mut [u8], text: &str| field[..text.len()].copy_from_slice(text.as_bytes());
    put(&mut header.as_old_mut().name, path);
    put(&mut header.as_old_mut().linkname, link);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    let has_content = kind == tar::EntryType::Regular;
    header.set_size(if has_content { CONTENT.len() as u64 } else { 0 });
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    if has_content {
        bytes.extend(CONTENT);
        bytes.resize(1024, 0);
    }
    bytes
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend([0; 1024]);
    bytes
}

/// What others could open if the directory itself were open to them.
fn open_to_others(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let metadata = entry.path().symlink_metadata().unwrap();
        if metadata.is_symlink() || metadata.mode() & 0o077 == 0 {
            continue;
        }
        found.push(format!("{} {:o}", entry.path().display(), metadata.mode()));
        if metadata.is_dir() {
            found.extend(open_to_others(&entry.path()));
        }
    }
    found
}

#[test]
fn what_is_on_the_disk_is_the_owners_alone() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let task = bench.run(&["sleep"], json!({}));
    bench.ground.task_when(&task, "RUNNING");
    let mode = |path: &Path| path.symlink_metadata().unwrap().mode() & 0o777;
    assert_eq!(mode(&machine.state), 0o700);
    assert_eq!(open_to_others(&machine.state), Vec::<String>::new());
    // And the files themselves, wherever they may be copied to.
    let run = machine.state.join("run");
    let id = task.rsplit('/').next().unwrap();
    let files = [
        machine.state.join("store.db"),
        machine.state.join("store.db-wal"),
        machine.state.join("credentials.json"),
        machine.state.join("lock"),
        run.join("edge/edge.json"),
        run.join("edge/edge.sock"),
        run.join("edge/snapshot.json"),
        run.join("edge/edge.log"),
        run.join("tasks").join(id).join("order.json"),
        run.join("tasks").join(id).join("shim.json"),
        run.join("tasks").join(id).join("shim.sock"),
        run.join("tasks").join(id).join("status.json"),
        run.join("docker.sock"),
    ];
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_task_writes_to_a_disk_of_20_gib_of_its_own() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let task = bench.run(&["sleep"], json!({}));
    bench.ground.task_when(&task, "RUNNING");
    let id = task.rsplit('/').next().unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let place = machine.state.join("tasks").join(id).display().to_string();
    let mounted = mounts
        .lines()
        .find(|it| it.split(' ').nth(1) == Some(&place));
    let mounted = mounted.unwrap_or_else(|| panic!("the task has no disk: {mounts}"));
    assert!(mounted.contains(" ext4 "), "{mounted}");
    let bytes = |path: &Path| {
        let found = nix::sys::statvfs::statvfs(path).unwrap();
        (
            found.blocks() * found.fragment_size(),
            found.blocks_available() * found.fragment_size(),
        )
    };
    let (disk, _) = bytes(Path::new(&place));
    let (_, free) = bytes(&machine.state);
    assert!(disk <= 20 << 30, "{disk}");
    // The file system's own tables take a part.
    assert!(disk > 19 << 30 || free < 21 << 30, "{disk} of {free}");
}

/// A role that tasks may have, and no policy.
fn task_role(machine: &Machine) -> String {
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "ecs-tasks.amazonaws.com" }, "Action": "sts:AssumeRole",
    }] });
    let input = json!({ "RoleName": "task", "AssumeRolePolicyDocument": trust.to_string() });
    text(&machine.ask("iam", "CreateRole", input)["Role"]["Arn"])
}

/// Every port of a task is its program's, and where its credentials are no rule of a security group counts.
#[test]
fn port_80_is_the_program_s_and_credentials_are_answered_all_the_same() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let ground = &bench.ground;
    ground.let_out_only(&bench.group, 443);
    let definition = ground.definition("host", &bench.image, &["host", "mine"], json!({}));
    let described = machine.ask(
        "ecs",
        "DescribeTaskDefinition",
        json!({ "taskDefinition": definition }),
    );
    let definition = &described["taskDefinition"];
    let registered = machine.ask(
        "ecs",
        "RegisterTaskDefinition",
        json!({
            "family": "host", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc",
            "cpu": "256", "memory": "512", "executionRoleArn": definition["executionRoleArn"],
            "taskRoleArn": task_role(&machine),
            "containerDefinitions": definition["containerDefinitions"],
        }),
    );
    let definition = text(&registered["taskDefinition"]["taskDefinitionArn"]);
    let task = ground.run(&definition, &ground.subnets[0], &bench.group);
    ground.task_when(&task, "RUNNING");
    let printed = eventually("it was answered everywhere", || {
        let printed = ground.printed("host");
        match printed.iter().any(|it| it.contains("TaskARN")) {
            true => Ok(printed),
            false => Err(format!("{printed:?} {}", ground.task(&task))),
        }
    });
    assert!(printed.contains(&"own mine".to_owned()), "{printed:?}");
    let has_credentials = printed.iter().any(|it| it.contains("SecretAccessKey"));
    assert!(has_credentials, "{printed:?}");
}
