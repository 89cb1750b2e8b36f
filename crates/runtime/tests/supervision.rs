//! How tasks start, end, fail, and survive.

mod common;

use std::time::{Duration, Instant};

use common::Machine;
use engine::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn shim_pid(machine: &Machine, id: &str) -> Pid {
    let path = machine.path("run/tasks").join(id).join("shim.json");
    let identity: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    Pid::from_raw(identity["pid"].as_i64().unwrap() as i32)
}

fn check_command(commands: &str, interval_ms: u64, retries: u32) -> Option<HealthCheck> {
    let words = commands.split_whitespace();
    Some(HealthCheck {
        command: ["CMD", "/helper"]
            .into_iter()
            .chain(words)
            .map(str::to_owned)
            .collect(),
        interval_ms,
        timeout_ms: 5_000,
        start_period_ms: 0,
        start_interval_ms: 0,
        retries,
    })
}

async fn cannot_start(change: impl FnOnce(&mut ContainerSpec)) -> String {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "say x");
    change(&mut container);
    let (status, _) = machine.run(container).await;
    machine.check_clean();
    match status.reason {
        Some(StopReason::CannotStart { container, message }) if container == "c" => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_shim_has_nothing_of_the_daemons_environment() {
    let machine = Machine::new().await;
    machine
        .start("t", vec![machine.container("c", "sleep 60000")])
        .await;
    machine.wait_state("t", TaskState::Running).await;
    let shim = shim_pid(&machine, "t");
    let environment = std::fs::read(format!("/proc/{shim}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert_eq!(environment, "");
    machine.runtime().stop("t", "enough").await.unwrap();
    machine.wait_state("t", TaskState::Stopped).await;
    machine.check_clean();
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let argv = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let message = cannot_start(|container| container.argv = argv(&["nothing"])).await;
    assert_eq!(
        message,
        "exec: \"nothing\": executable file not found in $PATH"
    );
    let message = cannot_start(|container| container.argv = argv(&["/no/such"])).await;
    assert_eq!(message, "exec: \"/no/such\": no such file or directory");
    let message = cannot_start(|container| container.argv = argv(&["/plain"])).await;
    assert_eq!(message, "exec: \"/plain\": permission denied");
    let message = cannot_start(|container| container.user = "nobody".to_owned()).await;
    assert_eq!(
        message,
        "unable to find user nobody: no matching entries in passwd file"
    );
    let message = cannot_start(|container| container.directories.push("/no/layer".into())).await;
    assert_eq!(message, "the layer `/no/layer` is missing");
    let message = cannot_start(|container| container.directories.clear()).await;
    assert_eq!(message, "exec: \"/helper\": no such file or directory");
    let message = cannot_start(|container| container.working_dir = "/plain/x".to_owned()).await;
    assert!(message.contains("could not make `/plain/x`"), "{message}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let machine = Machine::new().await;
    let refuse = async |task| machine.runtime().start(task).await.unwrap_err().fault;
    let good = || machine.container("c", "say x");
    assert_eq!(
        refuse(common::task("../up", vec![good()])).await,
        Fault::Invalid
    );
    assert_eq!(refuse(common::task("t", vec![])).await, Fault::Invalid);
    assert_eq!(
        refuse(common::task("t", vec![good(), good()])).await,
        Fault::Invalid
    );
    let empty = ContainerSpec {
        argv: vec![],
        ..good()
    };
    assert_eq!(refuse(common::task("t", vec![empty])).await, Fault::Invalid);
    let depends = |name: &str, on: &str| ContainerSpec {
        depends_on: vec![(on.to_owned(), DependsOn::Start)],
        ..machine.container(name, "say x")
    };
    let circle = vec![depends("a", "b"), depends("b", "a")];
    assert_eq!(refuse(common::task("t", circle)).await, Fault::Invalid);
    let lonely = vec![depends("a", "nobody")];
    assert_eq!(refuse(common::task("t", lonely)).await, Fault::Invalid);
    machine.check_clean();
}

#[tokio::test]
async fn a_full_disk_does_not_stop_a_container() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "long-line 500000 , say x , exit 3");
    container.log_file = Some("/dev/full".into());
    let (status, _) = machine.run(container).await;
    assert_eq!(status.containers[0].exit_code, Some(3));
}

#[tokio::test]
async fn a_shim_that_comes_late_finds_its_task_given_up() {
    let mut machine = Machine::new().await;
    machine
        .start("t", vec![machine.container("c", "say x")])
        .await;
    machine.wait_state("t", TaskState::Stopped).await;
    // As if the daemon had been killed between writing the order and starting the shim.
    machine.runtime = None;
    let directory = machine.path("run/tasks/t");
    for name in ["status.json", "shim.json"] {
        std::fs::remove_file(directory.join(name)).unwrap();
    }
    machine.begin().await;
    let status = machine.status("t").await;
    assert_eq!(status.reason, Some(StopReason::SupervisorLost));
    let late = std::process::Command::new(common::HELPER)
        .args(["shim", "run"])
        .arg(&directory)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(late.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&late.stderr).contains("was given up"));
    assert_eq!(machine.log("c"), ["x"], "it ran once");
    machine.check_clean();
}

#[tokio::test]
async fn asking_twice_starts_once() {
    let machine = Machine::new().await;
    machine
        .start("t", vec![machine.container("c", "say once , sleep 60000")])
        .await;
    machine.wait_log("c", "once").await;
    let pid = machine.wait_state("t", TaskState::Running).await.containers[0].pid;
    machine
        .start("t", vec![machine.container("c", "say once , sleep 60000")])
        .await;
    assert_eq!(machine.status("t").await.containers[0].pid, pid);
    assert_eq!(
        machine.runtime().remove("t").await.unwrap_err().fault,
        Fault::Conflict
    );
    machine.end("t").await;
    assert_eq!(machine.log("c"), ["once"]);
}

#[tokio::test]
async fn what_ignores_its_signal_is_killed() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "ignore 15 , sleep 60000");
    container.stop_timeout_ms = 300;
    machine.start("t", vec![container]).await;
    machine.wait_log("c", "ignored").await;
    let asked = Instant::now();
    machine.runtime().stop("t", "enough").await.unwrap();
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert!(asked.elapsed() >= Duration::from_millis(300));
    assert_eq!(status.containers[0].exit_code, Some(137));
    assert_eq!(
        status.containers[0].reason, None,
        "it did not run out of memory"
    );
    machine.check_clean();
}

#[tokio::test]
async fn the_image_s_stop_signal_is_used() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "trap 3 33 , sleep 60000");
    container.stop_signal = "SIGQUIT".to_owned();
    machine.start("t", vec![container]).await;
    machine.wait_log("c", "trapped").await;
    machine.runtime().stop("t", "enough").await.unwrap();
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert_eq!(status.containers[0].exit_code, Some(33));
}

#[tokio::test]
async fn an_essential_exit_stops_the_rest_in_reverse_order() {
    let machine = Machine::new().await;
    let base = machine.container("base", "trap 15 0 , sleep 60000");
    let mut middle = machine.container("middle", "trap 15 0 , sleep 60000");
    middle.depends_on = vec![("base".to_owned(), DependsOn::Start)];
    let mut main = machine.container("main", "sleep 200 , exit 5");
    main.depends_on = vec![("middle".to_owned(), DependsOn::Start)];
    machine.start("t", vec![main, middle, base]).await;
    let status = machine.wait_state("t", TaskState::Stopped).await;
    let reason = StopReason::EssentialContainerExited {
        container: "main".to_owned(),
    };
    assert_eq!(status.reason, Some(reason));
    let codes: Vec<_> = status.containers.iter().map(|one| one.exit_code).collect();
    assert_eq!(codes, [Some(5), Some(0), Some(0)]);
    assert!(status.containers[1].stopped_at_ms <= status.containers[2].stopped_at_ms);
    assert!(status.containers[2].started_at_ms <= status.containers[1].started_at_ms);
    machine.check_clean();
}

#[tokio::test]
async fn a_side_container_may_end() {
    let machine = Machine::new().await;
    let mut side = machine.container("side", "exit 0");
    side.essential = false;
    machine
        .start("t", vec![side, machine.container("main", "sleep 60000")])
        .await;
    let ended = |status: &TaskStatus| status.containers[0].state == ContainerState::Stopped;
    let status = machine.wait("t", ended).await;
    assert_eq!(status.state, TaskState::Running);
    machine.end("t").await;
}

/// One that is not essential ends alone: it cannot be started, what it waits for fails, or what it waits
/// for never runs.
#[tokio::test]
async fn a_side_container_that_never_runs_ends_alone() {
    let machine = Machine::new().await;
    let side = |name: &str, program: &str, depends_on: &[(&str, DependsOn)]| {
        let mut side = machine.container(name, program);
        side.essential = false;
        let depends_on = depends_on.iter().map(|(on, how)| ((*on).to_owned(), *how));
        side.depends_on = depends_on.collect();
        side
    };
    let mut broken = side("broken", "exit 0", &[]);
    broken.argv = vec!["/no/such".to_owned()];
    let all = vec![
        side("follower", "exit 0", &[("broken", DependsOn::Start)]),
        broken,
        side("failing", "exit 3", &[]),
        side("dependent", "exit 0", &[("failing", DependsOn::Success)]),
        machine.container("main", "say up , sleep 60000"),
    ];
    machine.start("t", all).await;
    let status = machine.wait_state("t", TaskState::Running).await;
    let found = |name: &str| status.containers.iter().find(|it| it.name == name).unwrap();
    for (name, expected) in [
        ("broken", "no such file or directory"),
        ("follower", "waits for `broken`, which did not run"),
        ("dependent", "waits for `failing`, which exited with code 3"),
    ] {
        let container = found(name);
        assert_eq!(container.state, ContainerState::Stopped, "{name}");
        let reason = container.reason.as_deref().unwrap_or_default();
        assert!(reason.contains(expected), "{name}: {reason}");
    }
    assert_eq!(found("main").state, ContainerState::Running);
    assert_eq!(status.reason, None);
    machine.end("t").await;
    machine.check_clean();
}

#[tokio::test]
async fn a_dependency_is_waited_for_until_it_is_healthy() {
    let machine = Machine::new().await;
    let mut database = machine.container("db", "sleep 300 , write /tmp/ready x , sleep 60000");
    database.health_check = check_command("exit-unless /tmp/ready", 20, 1000);
    let mut main = machine.container("main", "say up , sleep 60000");
    main.depends_on = vec![("db".to_owned(), DependsOn::Healthy)];
    machine.start("t", vec![main, database]).await;
    let status = machine.wait_state("t", TaskState::Running).await;
    assert_eq!(status.containers[1].health, Health::Healthy);
    let begun = status.containers[0].started_at_ms.unwrap();
    assert!(begun - status.containers[1].started_at_ms.unwrap() >= 300);
    machine.end("t").await;
    machine.check_clean();
}

#[tokio::test]
async fn what_health_checks_said_is_remembered() {
    let machine = Machine::new().await;
    let mut sick = machine.container("sick", "sleep 60000");
    sick.health_check = check_command("say bad , complain worse , exit 7", 20, 1);
    machine.start("t", vec![sick]).await;
    let unhealthy = |status: &TaskStatus| status.containers[0].health == Health::Unhealthy;
    machine.wait("t", unhealthy).await;
    let log = loop {
        let log = machine.runtime().health_log("t", "sick").await.unwrap();
        if log.failing_streak > 5 {
            break log;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(log.checks.len(), 5, "the last ones alone");
    for check in &log.checks {
        assert_eq!(check.exit_code, 7);
        assert!(check.output.contains("bad\n") && check.output.contains("worse\n"));
        assert!(check.started_ms <= check.ended_ms);
    }
    let missing = machine.runtime().health_log("t", "nobody").await;
    assert_eq!(missing.unwrap_err().fault, Fault::NotFound);
    machine.end("t").await;

    // One that writes more than anybody reads ends all the same, and one that takes too long is ended.
    let mut loud = machine.container("loud", "sleep 60000");
    loud.health_check = check_command("flood 1024", 20, 1);
    let mut slow = machine.container("slow", "sleep 60000");
    slow.health_check = check_command("sleep 60000", 20, 1).map(|it| HealthCheck {
        timeout_ms: 50,
        ..it
    });
    machine.start("t2", vec![loud, slow]).await;
    let both = |status: &TaskStatus| {
        let health = [status.containers[0].health, status.containers[1].health];
        health == [Health::Healthy, Health::Unhealthy]
    };
    machine.wait("t2", both).await;
    let log = machine.runtime().health_log("t2", "loud").await.unwrap();
    assert_eq!((log.failing_streak, log.checks[0].output.len()), (0, 4096));
    let log = machine.runtime().health_log("t2", "slow").await.unwrap();
    assert_eq!(log.checks[0].exit_code, -1);
    assert!(log.checks[0].output.contains("exceeded timeout"));
    machine.end("t2").await;
    machine.check_clean();
}

#[tokio::test]
async fn checks_are_closer_together_while_a_container_starts() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "sleep 60000");
    container.health_check = check_command("exit 0", 3_600_000, 1).map(|it| HealthCheck {
        start_period_ms: 3_600_000,
        ..it
    });
    container.tuning.health_start_interval_ms = Some(20);
    machine.start("t", vec![container]).await;
    let healthy = |status: &TaskStatus| status.containers[0].health == Health::Healthy;
    machine.wait("t", healthy).await;
    machine.end("t").await;
}

#[tokio::test]
async fn a_failing_health_check_is_told_and_fails_dependents() {
    let machine = Machine::new().await;
    let mut sick = machine.container("sick", "sleep 60000");
    sick.health_check = check_command("exit 1", 20, 2);
    machine.start("alone", vec![sick.clone()]).await;
    let unhealthy = |status: &TaskStatus| status.containers[0].health == Health::Unhealthy;
    let status = machine.wait("alone", unhealthy).await;
    assert_eq!(
        status.state,
        TaskState::Running,
        "being unhealthy does not stop a task"
    );
    machine.end("alone").await;

    let mut main = machine.container("main", "say never");
    main.depends_on = vec![("sick".to_owned(), DependsOn::Healthy)];
    machine.start("t", vec![sick, main]).await;
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert!(
        matches!(&status.reason, Some(StopReason::DependencyFailed { container, .. }) if container == "sick"),
        "{status:#?}"
    );
    assert!(machine.log("main").is_empty());
    machine.check_clean();
}

#[tokio::test]
async fn a_health_check_that_hangs_fails() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "sleep 60000");
    let mut check = check_command("sleep 60000", 20, 1).unwrap();
    check.timeout_ms = 100;
    container.health_check = Some(check);
    machine.start("t", vec![container]).await;
    machine
        .wait("t", |status| {
            status.containers[0].health == Health::Unhealthy
        })
        .await;
    machine.end("t").await;
    machine.check_clean();
}

#[tokio::test]
async fn a_killed_shim_takes_its_containers_along() {
    let machine = Machine::new().await;
    let mut changes = machine.runtime().changes();
    machine
        .start("t", vec![machine.container("c", "say up , sleep 60000")])
        .await;
    machine.wait_log("c", "up").await;
    kill(shim_pid(&machine, "t"), Signal::SIGKILL).unwrap();
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert_eq!(status.reason, Some(StopReason::SupervisorLost));
    assert_eq!(status.containers[0].state, ContainerState::Stopped);
    assert_eq!(changes.recv().await.unwrap(), "t");
    machine.check_clean();
}

#[tokio::test]
async fn a_new_daemon_finds_its_tasks_again() {
    let mut machine = Machine::new().await;
    machine
        .start(
            "t",
            vec![machine.container("c", "say up , trap 15 4 , sleep 60000")],
        )
        .await;
    machine
        .start("ended", vec![machine.container("d", "exit 6")])
        .await;
    machine.wait_log("c", "trapped").await;
    machine.wait_state("ended", TaskState::Stopped).await;
    let pid = machine.wait_state("t", TaskState::Running).await.containers[0].pid;

    machine.runtime = None;
    machine.begin().await;
    let list = machine.runtime().list().await.unwrap();
    assert_eq!(
        list.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(),
        ["ended", "t"]
    );
    assert_eq!(list[0].containers[0].exit_code, Some(6));
    let status = machine.wait_state("t", TaskState::Running).await;
    assert_eq!(status.containers[0].pid, pid);
    assert_eq!(status.labels["colour"], "blue");
    machine.runtime().stop("t", "enough").await.unwrap();
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert_eq!(status.containers[0].exit_code, Some(4));
    machine.check_clean();
}

#[tokio::test]
async fn what_ended_while_no_daemon_was_there_is_found() {
    let mut machine = Machine::new().await;
    machine
        .start("ends", vec![machine.container("c", "sleep 200 , exit 3")])
        .await;
    machine
        .start("lost", vec![machine.container("d", "say up , sleep 60000")])
        .await;
    machine.wait_log("d", "up").await;
    let shim = shim_pid(&machine, "lost");
    machine.runtime = None;
    kill(shim, Signal::SIGKILL).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    machine.begin().await;
    let status = machine.status("ends").await;
    assert_eq!(status.state, TaskState::Stopped);
    assert_eq!(status.containers[0].exit_code, Some(3));
    let status = machine.status("lost").await;
    assert_eq!(status.state, TaskState::Stopped);
    assert_eq!(status.reason, Some(StopReason::SupervisorLost));
    machine.check_clean();
}

#[tokio::test]
async fn rubbish_in_the_directory_is_cleared_away() {
    let mut machine = Machine::new().await;
    machine.runtime = None;
    std::fs::create_dir_all(machine.path("run/tasks/half")).unwrap();
    std::fs::write(machine.path("run/tasks/half/order.json"), "{\"version\":").unwrap();
    std::fs::create_dir_all(machine.path("state/tasks/stray/container-0/upper")).unwrap();
    machine.begin().await;
    assert!(machine.runtime().list().await.unwrap().is_empty());
    assert!(!machine.path("run/tasks/half").exists());
    machine.check_clean();
}

#[tokio::test]
async fn two_daemons_live_side_by_side() {
    let (one, other) = (Machine::new().await, Machine::new().await);
    one.start("t", vec![one.container("c", "say up , sleep 60000")])
        .await;
    other
        .start("t", vec![other.container("c", "say up , sleep 60000")])
        .await;
    one.wait_log("c", "up").await;
    other.wait_log("c", "up").await;
    one.end("t").await;
    one.check_clean();
    assert_eq!(other.status("t").await.state, TaskState::Running);
    other.end("t").await;
    other.check_clean();
}

#[tokio::test]
async fn a_container_whose_process_is_killed_is_noticed() {
    let machine = Machine::new().await;
    machine
        .start("t", vec![machine.container("c", "say up , sleep 60000")])
        .await;
    let pid = machine.wait_state("t", TaskState::Running).await.containers[0]
        .pid
        .unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert_eq!(status.containers[0].exit_code, Some(137));
    machine.check_clean();
}

/// All files below a directory, and the open descriptors of a process.
fn count(directory: &std::path::Path, process: Pid) -> (usize, usize) {
    let entries = |path: &std::path::Path| std::fs::read_dir(path).unwrap().flatten();
    let mut files = 0;
    let mut to_see = vec![directory.to_owned()];
    while let Some(next) = to_see.pop() {
        for entry in entries(&next) {
            files += 1;
            if entry.file_type().unwrap().is_dir() {
                to_see.push(entry.path());
            }
        }
    }
    (
        files,
        entries(std::path::Path::new(&format!("/proc/{process}/fd"))).count(),
    )
}

#[tokio::test]
async fn health_checks_leave_nothing_behind() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "sleep 60000");
    // Each check leaves a mark in the container.
    container.health_check = check_command("append /tmp/checks x", 10, 1);
    machine.start("t", vec![container]).await;
    let status = machine
        .wait("t", |status| status.containers[0].health == Health::Healthy)
        .await;
    let root = format!(
        "/proc/{}/root/tmp/checks",
        status.containers[0].pid.unwrap()
    );
    let checks = || std::fs::metadata(&root).map_or(0, |metadata| metadata.len());
    let (directory, shim) = (machine.path("run/tasks/t"), shim_pid(&machine, "t"));
    let few = count(&directory, shim);
    let deadline = Instant::now() + Duration::from_secs(20);
    while checks() < 20 {
        assert!(Instant::now() < deadline, "only {} checks", checks());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let many = count(&directory, shim);
    // One check may be under way at either count.
    assert!(
        many.0 <= few.0 + 5 && many.1 <= few.1 + 5,
        "{few:?} grew to {many:?}"
    );
    machine.end("t").await;
    machine.check_clean();
}

/// The processor's time that a process has taken, in hundredths of a second.
fn ticks(process: Pid) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name before may have spaces.
    let mut fields = stat.rsplit(") ").next().unwrap().split(' ').skip(11);
    let mut next = || fields.next().unwrap().parse::<u64>().unwrap();
    next() + next()
}

#[allow(unsafe_code)]
fn limit_open_files(process: Pid, soft: u64) -> u64 {
    let (kind, process) = (libc::RLIMIT_NOFILE, process.as_raw());
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: what is read and what is written is there.
    let done = unsafe { libc::prlimit(process, kind, std::ptr::null(), &raw mut limits) };
    assert_eq!(done, 0);
    let before = std::mem::replace(&mut limits.rlim_cur, soft);
    // SAFETY: as above.
    let done = unsafe { libc::prlimit(process, kind, &raw const limits, std::ptr::null_mut()) };
    assert_eq!(done, 0);
    before
}

/// Whoever connects waits in the kernel then, where a supervisor would find him ready over and over; and
/// the kernel refuses to wait for more descriptors than there may be.
#[tokio::test]
async fn a_supervisor_without_descriptors_waits_and_goes_on_when_there_are_some() {
    let machine = Machine::new().await;
    machine
        .start("t", vec![machine.container("c", "say up , sleep 60000")])
        .await;
    machine.wait_state("t", TaskState::Running).await;
    let shim = shim_pid(&machine, "t");
    // A socket's address is short, the task's directory may not be.
    let directory = std::fs::File::open(machine.path("run/tasks/t")).unwrap();
    let place = std::os::fd::AsRawFd::as_raw_fd(&directory);
    let connect = || {
        let path = format!("/proc/self/fd/{place}/shim.sock");
        let stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        stream
    };
    let greeted = |stream: std::os::unix::net::UnixStream| {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stream), &mut line).unwrap();
        assert!(line.contains("Hello"), "{line}");
    };
    // None can be opened any more, and fewer may be waited for than there are.
    let enough = limit_open_files(shim, 3);
    let waiting = connect();
    let before = ticks(shim);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let took = ticks(shim) - before;
    assert!(took < 50, "it took {took} hundredths of a second");
    limit_open_files(shim, enough);
    greeted(waiting);
    machine.end("t").await;
    machine.check_clean();
}

#[tokio::test]
async fn a_supervisor_is_small() {
    let machine = Machine::new().await;
    machine
        .start("t", vec![machine.container("c", "say up , sleep 60000")])
        .await;
    machine.wait_state("t", TaskState::Running).await;
    let rollup = format!("/proc/{}/smaps_rollup", shim_pid(&machine, "t"));
    let rollup = std::fs::read_to_string(rollup).unwrap();
    let line = rollup
        .lines()
        .find(|line| line.starts_with("Pss_Anon:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("a supervisor has {kib} KiB of its own");
    assert!(kib < 4 * 1024);
    machine.end("t").await;
}

#[tokio::test]
async fn many_tasks_start_at_once() {
    let machine = Machine::new().await;
    let ids: Vec<String> = (0..20).map(|number| format!("t-{number}")).collect();
    let starts = ids.iter().map(|id| {
        let container = machine.container(id, "say up , sleep 60000");
        machine.runtime().start(common::task(id, vec![container]))
    });
    for start in futures(starts).await {
        start.unwrap();
    }
    for id in &ids {
        machine.wait_log(id, "up").await;
        machine.wait_state(id, TaskState::Running).await;
    }
    for id in &ids {
        machine.runtime().stop(id, "enough").await.unwrap();
    }
    for id in &ids {
        machine.wait_state(id, TaskState::Stopped).await;
    }
    machine.check_clean();
}

/// Polls all at once and returns their results in order.
async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut ready = true;
        for (future, result) in &mut all {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(done) => *result = Some(done),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    all.into_iter().map(|(_, result)| result.unwrap()).collect()
}
