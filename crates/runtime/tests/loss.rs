//! Supervisors that are killed while they start a container, and supervisors that are silent: the task
//! is said to be lost, nothing of it is left, and no start of the daemon waits for it.

mod common;

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::Machine;
use engine::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Long enough for a busy machine. On an idle one it takes milliseconds.
const UP_WAIT: Duration = Duration::from_secs(10);
/// What a start takes here and more, so that some kills find the container running.
const START_TAKES: Duration = Duration::from_millis(60);
/// How many kills there are of each sort, unless the environment says more.
const KILLS: u32 = 12;
const KILLS_VARIABLE: &str = "NEARGATE_TEST_KILLS";

fn kills() -> u32 {
    let asked = std::env::var(KILLS_VARIABLE).ok();
    asked.and_then(|it| it.parse().ok()).unwrap_or(KILLS)
}

/// A moment for each kill, spread over a start and the same in every run.
fn moment(number: u32, all: u32) -> Duration {
    let spread = START_TAKES * number / all;
    // Not in step with anything: a part of a slice by a multiplicative hash.
    let part = number.wrapping_mul(2_654_435_761) >> 16;
    spread + START_TAKES / all * part / (1 << 16)
}

fn shim_of(task: &Path) -> Option<Pid> {
    let identity = std::fs::read(task.join("shim.json")).ok()?;
    let identity: serde_json::Value = serde_json::from_slice(&identity).ok()?;
    Some(Pid::from_raw(identity["pid"].as_i64()? as i32))
}

/// Kills the supervisor of a task that is about to be started, so long after it has begun.
fn kill_after(tasks: PathBuf, prefix: &'static str, moment: Duration) -> JoinHandle<Option<Pid>> {
    std::thread::spawn(move || {
        let deadline = Instant::now() + UP_WAIT;
        loop {
            let entries = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
            let of_prefix = entries.filter(|it| {
                let name = it.file_name();
                name.to_string_lossy().starts_with(prefix)
            });
            let shim = of_prefix.filter_map(|it| shim_of(&it.path())).next();
            if let Some(shim) = shim {
                std::thread::sleep(moment);
                let _ = kill(shim, Signal::SIGKILL);
                return Some(shim);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    })
}

fn sleeper(machine: &Machine, user: &str) -> ContainerSpec {
    ContainerSpec {
        user: user.to_owned(),
        ..machine.container("c", "say up , sleep 60000")
    }
}

/// Becoming another user makes the kernel forget whose death a process wants to die of.
fn user_of(number: u32) -> &'static str {
    ["", "app"][number as usize % 2]
}

async fn expect_lost(machine: &Machine, id: &str, moment: Duration) {
    let status = machine.wait_state(id, TaskState::Stopped).await;
    assert_eq!(
        status.reason,
        Some(StopReason::SupervisorLost),
        "killed after {moment:?}"
    );
    machine.check_clean();
    machine.runtime().remove(id).await.unwrap();
}

#[tokio::test]
async fn a_supervisor_killed_while_it_starts_is_lost_and_leaves_nothing() {
    let machine = Machine::new().await;
    for number in 0..kills() {
        let moment = moment(number, kills());
        let killer = kill_after(machine.path("run/tasks"), "t", moment);
        let started = machine
            .runtime()
            .start(common::task("t", vec![sleeper(&machine, user_of(number))]));
        let started = tokio::time::timeout(UP_WAIT, started).await;
        let started = started.unwrap_or_else(|_| panic!("no answer, killed after {moment:?}"));
        let killed = tokio::task::spawn_blocking(|| killer.join().unwrap());
        let killed = killed.await.unwrap();
        assert!(killed.is_some(), "no supervisor began: {started:?}");
        match started {
            Ok(()) => expect_lost(&machine, "t", moment).await,
            // It had not greeted yet.
            Err(error) => {
                assert!(error.message.contains("the shim ended"), "{error:?}");
                assert!(machine.runtime().status("t").await.unwrap().is_none());
                machine.check_clean();
            }
        }
    }
}

#[tokio::test]
async fn forks_of_a_supervisor_end_with_it_and_the_next_daemon_says_so() {
    let mut machine = Machine::new().await;
    for number in 0..kills() {
        let moment = moment(number, kills());
        let killer = kill_after(machine.path("run/tasks"), "t", moment);
        let started = machine
            .runtime()
            .start(common::task("t", vec![sleeper(&machine, user_of(number))]))
            .await;
        if started.is_ok() {
            // Nobody is there to see what becomes of it.
            machine.runtime = None;
        }
        let killed = tokio::task::spawn_blocking(|| killer.join().unwrap());
        let killed = killed.await.unwrap();
        assert!(killed.is_some(), "no supervisor began: {started:?}");
        if started.is_err() {
            continue;
        }
        let deadline = Instant::now() + UP_WAIT;
        loop {
            // Forks of a supervisor have its command.
            let left = common::processes(machine.directory.path());
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "after {moment:?}: {left:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let up = tokio::time::timeout(UP_WAIT, machine.begin()).await;
        up.unwrap_or_else(|_| panic!("the start waits, killed after {moment:?}"));
        expect_lost(&machine, "t", moment).await;
    }
}

/// Whether a fork of a supervisor that has not become a container yet is seen without its claim. One
/// that was forked just now may have it still.
fn has_fork_without_claim(machine: &Machine) -> bool {
    let processes = common::processes(machine.directory.path());
    processes.into_iter().any(|(pid, _)| {
        let process = PathBuf::from(format!("/proc/{pid}"));
        // It may become a container, or end, while it is looked at.
        let is_fork = || {
            let name = std::fs::read_to_string(process.join("comm"));
            name.is_ok_and(|name| name.starts_with("youki"))
        };
        let open = is_fork().then(|| open_files(&process)).flatten();
        open.is_some_and(|open| {
            let has_claim = open.iter().any(|it| it.ends_with("order.json"));
            !open.is_empty() && !has_claim && is_fork()
        })
    })
}

/// None when one of them was closed while they were looked at.
fn open_files(process: &Path) -> Option<Vec<PathBuf>> {
    let descriptors = std::fs::read_dir(process.join("fd")).ok()?;
    descriptors
        .map(|it| std::fs::read_link(it.ok()?.path()).ok())
        .collect()
}

#[tokio::test]
async fn forks_of_a_supervisor_do_not_keep_its_claim() {
    let machine = Machine::new().await;
    let deadline = Instant::now() + UP_WAIT;
    let mut seen = false;
    while !seen {
        assert!(Instant::now() < deadline, "no fork has given it up");
        machine.start("t", vec![sleeper(&machine, "")]).await;
        while !seen && machine.status("t").await.state == TaskState::Starting {
            seen = has_fork_without_claim(&machine);
            tokio::task::yield_now().await;
        }
        machine.end("t").await;
        machine.runtime().remove("t").await.unwrap();
    }
    machine.check_clean();
}

#[tokio::test]
async fn silent_supervisors_hold_up_no_start_and_are_lost_together() {
    let mut machine = Machine::new().await;
    let ids = ["a", "b", "d"];
    for id in ids {
        machine.start(id, vec![sleeper(&machine, "")]).await;
        machine.wait_state(id, TaskState::Running).await;
    }
    machine.runtime = None;
    for id in &ids[..2] {
        let shim = shim_of(&machine.path("run/tasks").join(id)).unwrap();
        kill(shim, Signal::SIGSTOP).unwrap();
    }
    let up = tokio::time::timeout(UP_WAIT, machine.begin()).await;
    up.expect("the start waits for silent supervisors");
    // Who answers is there at once, who does not is not said to have ended before that is true.
    assert_eq!(machine.status("d").await.state, TaskState::Running);
    for id in &ids[..2] {
        assert_eq!(machine.status(id).await.state, TaskState::Running);
    }
    machine.end("d").await;
    let mut ended_at_ms = Vec::new();
    for id in &ids[..2] {
        let status = machine.wait_state(id, TaskState::Stopped).await;
        assert_eq!(status.reason, Some(StopReason::SupervisorLost));
        ended_at_ms.push(status.stopped_at_ms.unwrap());
    }
    // One after the other, the second would have had its own five seconds.
    let apart = ended_at_ms[1].abs_diff(ended_at_ms[0]);
    assert!(apart < 4_000, "{apart} ms apart");
    machine.check_clean();
}

#[tokio::test]
async fn a_silent_supervisor_that_is_asked_to_end_its_task_is_given_up() {
    let machine = Machine::new().await;
    machine.start("t", vec![sleeper(&machine, "")]).await;
    machine.wait_state("t", TaskState::Running).await;
    let shim = shim_of(&machine.path("run/tasks/t")).unwrap();
    kill(shim, Signal::SIGSTOP).unwrap();
    machine.runtime().stop("t", "enough").await.unwrap();
    // It is given as long as ending may take: longer than other tests wait for anything.
    let deadline = Instant::now() + Duration::from_secs(60);
    while machine.status("t").await.state != TaskState::Stopped {
        assert!(Instant::now() < deadline, "nobody gives it up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = machine.status("t").await;
    assert_eq!(status.reason, Some(StopReason::SupervisorLost));
    machine.check_clean();
}

/// A supervisor that holds its claim but has not said yet who it is.
#[tokio::test]
async fn a_claim_that_nobody_answers_for_is_given_up() {
    let mut machine = Machine::new().await;
    machine.start("t", vec![sleeper(&machine, "")]).await;
    machine.wait_state("t", TaskState::Running).await;
    let directory = machine.path("run/tasks/t");
    let shim = shim_of(&directory).unwrap();
    machine.runtime = None;
    kill(shim, Signal::SIGKILL).unwrap();
    for name in ["shim.json", "status.json"] {
        std::fs::remove_file(directory.join(name)).unwrap();
    }
    let order = std::fs::File::open(directory.join("order.json")).unwrap();
    let how = nix::fcntl::FlockArg::LockExclusive;
    let claim = nix::fcntl::Flock::lock(order, how).unwrap();
    let up = tokio::time::timeout(UP_WAIT, machine.begin()).await;
    up.expect("the start waits for a claim");
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert_eq!(status.reason, Some(StopReason::SupervisorLost));
    drop(claim);
    machine.check_clean();
}

#[tokio::test]
async fn a_step_whose_supervisor_is_killed_ends_and_leaves_nothing() {
    let machine = Machine::new().await;
    let upper = machine.path("upper");
    for number in 0..kills() {
        let moment = moment(number, kills());
        std::fs::create_dir_all(&upper).unwrap();
        let step = RunStep {
            directories: vec![common::layer()],
            upper: upper.clone(),
            argv: ["/helper", "say", "up", ",", "sleep", "60000"]
                .map(str::to_owned)
                .to_vec(),
            env: Vec::new(),
            working_dir: "/".to_owned(),
            user: user_of(number).to_owned(),
            mounts: Vec::new(),
            stdin: None,
            network: StepNetwork::Host,
            hosts: Vec::new(),
            shm_bytes: None,
            within: None,
        };
        let killer = kill_after(machine.path("run/tasks"), "step-", moment);
        let (sender, _receiver) = tokio::sync::mpsc::channel(1000);
        let ran = machine.runtime().run(step, sender);
        let ran = tokio::time::timeout(UP_WAIT, ran).await;
        let ran = ran.unwrap_or_else(|_| panic!("no end, killed after {moment:?}"));
        let said = ran.unwrap_err().message;
        assert!(said.contains("the shim ended"), "{said}");
        let killed = tokio::task::spawn_blocking(|| killer.join().unwrap());
        assert!(killed.await.unwrap().is_some(), "{said}");
        machine.check_clean();
        let tasks = std::fs::read_dir(machine.path("run/tasks")).unwrap();
        assert_eq!(tasks.count(), 0);
    }
}
