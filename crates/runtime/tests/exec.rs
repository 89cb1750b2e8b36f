//! Commands in running containers, with input and output of their own.

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::Machine;
use engine::*;

const PATIENCE: Duration = Duration::from_secs(20);

async fn with_container(change: impl FnOnce(&mut ContainerSpec)) -> Machine {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "say up , sleep 60000");
    container.env = vec!["COLOUR=blue".to_owned(), "SHAPE=round".to_owned()];
    change(&mut container);
    machine.start("t", vec![container]).await;
    machine.wait_log("c", "up").await;
    machine.wait_state("t", TaskState::Running).await;
    machine
}

fn command(commands: &str) -> ExecSpec {
    let argv = std::iter::once("/helper").chain(commands.split_whitespace());
    ExecSpec {
        id: "exec-1".to_owned(),
        argv: argv.map(str::to_owned).collect(),
        ..ExecSpec::default()
    }
}

async fn begin(machine: &Machine, spec: ExecSpec) -> ExecSession {
    machine
        .runtime()
        .exec_attached("t", "c", spec)
        .await
        .unwrap()
}

/// Standard output and error to the end, and the exit code.
async fn finish(mut session: ExecSession) -> (String, String, i32) {
    let (mut out, mut err) = (String::new(), String::new());
    let all = async {
        while let Some((stream, bytes)) = session.attached.output.recv().await {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            match stream {
                OutputStream::Stdout => out.push_str(&text),
                OutputStream::Stderr => err.push_str(&text),
            }
        }
        session.exit.await.unwrap().unwrap()
    };
    let code = tokio::time::timeout(PATIENCE, all).await.unwrap();
    (out, err, code)
}

async fn run(machine: &Machine, spec: ExecSpec) -> (String, String, i32) {
    finish(begin(machine, spec).await).await
}

#[tokio::test]
async fn a_command_is_as_the_container_or_as_asked() {
    let machine = with_container(|container| container.user = "app".to_owned()).await;
    let look = "env COLOUR , env SHAPE , cwd , status Uid , status CapEff , status CapBnd , \
                status Seccomp: , reopen , complain wrong , exit 5";
    let (out, err, code) = run(&machine, command(look)).await;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..3], ["COLOUR=blue", "SHAPE=round", "cwd=/"]);
    assert_eq!(
        lines[3..5],
        ["Uid: 1000 1000 1000 1000", "CapEff: 0000000000000000"]
    );
    assert_eq!(lines[6..], ["Seccomp: 2", "reopened"]);
    assert_eq!((err.as_str(), code), ("wrong\n", 5));

    let mut other = command(look);
    other.env = vec!["COLOUR=red".to_owned()];
    other.working_dir = "/tmp".to_owned();
    other.user = "root".to_owned();
    let (out, _, _) = run(&machine, other).await;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..3], ["COLOUR=red", "SHAPE=round", "cwd=/tmp"]);
    assert_eq!(lines[3], "Uid: 0 0 0 0");
    assert_eq!(lines[6], "Seccomp: 2");

    let mut mighty = command(look);
    mighty.user = "0:0".to_owned();
    mighty.privileged = true;
    let (out, _, _) = run(&machine, mighty).await;
    let lines: Vec<&str> = out.lines().collect();
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find(|line| line.starts_with("CapPrm")).unwrap();
    let own = own.split_whitespace().nth(1).unwrap();
    assert_eq!(lines[4], format!("CapEff: {own}"));
    assert_eq!(lines[6], "Seccomp: 0");
    machine.end("t").await;
    machine.check_clean();
}

#[tokio::test]
async fn input_goes_in_and_ends() {
    let machine = with_container(|_| {}).await;
    let mut spec = command("echo , exit 3");
    spec.stdin = true;
    let mut session = begin(&machine, spec).await;
    let input = session.attached.input.take().unwrap();
    // More than any buffer on the way.
    let line = "x".repeat(1023) + "\n";
    let giver = tokio::spawn(async move {
        for _ in 0..3_000 {
            input.send(Bytes::from(line.clone())).await.unwrap();
        }
    });
    let (out, _, code) = finish(session).await;
    giver.await.unwrap();
    assert_eq!(out.lines().count(), 3_001);
    assert_eq!(out.lines().last(), Some("input ended"));
    assert_eq!(code, 3);

    // Without an input it reads nothing.
    let (out, _, _) = run(&machine, command("echo")).await;
    assert_eq!(out, "input ended\n");
    machine.end("t").await;
    machine.check_clean();
}

#[tokio::test]
async fn a_command_has_a_terminal_of_its_own() {
    let machine = with_container(|_| {}).await;
    let mut spec = command("terminal , env TERM , wait-for-rows 50 , echo");
    spec.terminal = true;
    spec.stdin = true;
    spec.terminal_size = Some((24, 80));
    let mut session = begin(&machine, spec).await;
    let mut text = String::new();
    let mut until = async |session: &mut ExecSession, wanted: &str| {
        while !text.contains(wanted) {
            let more = tokio::time::timeout(PATIENCE, session.attached.output.recv()).await;
            let (_, bytes) = more
                .unwrap()
                .unwrap_or_else(|| panic!("ended after {text:?}"));
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        text.clone()
    };
    let seen = until(&mut session, "TERM=xterm").await;
    for part in [
        "2 is a terminal: true",
        "name=/dev/pts/0 size=(24, 80)",
        "controlling=true",
        "in front=true",
    ] {
        assert!(seen.contains(part), "no {part:?} in {seen:?}");
    }
    let runtime = machine.runtime();
    let resized = runtime.resize("t", "c", Some("exec-1"), 50, 160).await;
    resized.unwrap();
    until(&mut session, "size=(50, 160)").await;
    let input = session.attached.input.take().unwrap();
    input
        .send(Bytes::from_static(b"hello\n\x04"))
        .await
        .unwrap();
    let seen = until(&mut session, "input ended").await;
    assert!(seen.contains("got hello\r\n"), "{seen:?}");
    let (_, _, code) = finish(session).await;
    assert_eq!(code, 0);
    let gone = runtime.resize("t", "c", Some("exec-1"), 1, 1).await;
    assert_eq!(gone.unwrap_err().fault, Fault::NotFound);
    machine.end("t").await;
    machine.check_clean();
}

#[tokio::test]
async fn what_cannot_be_run_is_said_at_once() {
    let machine = with_container(|_| {}).await;
    let fails = async |change: &dyn Fn(&mut ExecSpec)| {
        let mut spec = command("say x");
        change(&mut spec);
        let failed = machine.runtime().exec_attached("t", "c", spec).await;
        let error = failed.unwrap_err();
        assert_eq!(error.fault, Fault::Invalid, "{error:?}");
        error.message
    };
    let message = fails(&|spec| spec.argv = vec!["nothing".to_owned()]).await;
    assert_eq!(
        message,
        "exec: \"nothing\": executable file not found in $PATH"
    );
    let message = fails(&|spec| spec.user = "nobody-known".to_owned()).await;
    assert!(message.contains("unable to find user"), "{message}");
    fails(&|spec| spec.argv.clear()).await;
    fails(&|spec| {
        spec.argv = vec!["/plain".to_owned()];
        spec.terminal = true;
    })
    .await;
    fails(&|spec| spec.env = vec![format!("LONG={}", "x".repeat(5 << 20))]).await;
    let gone = machine
        .runtime()
        .exec_attached("t", "d", command("say x"))
        .await;
    assert_eq!(gone.unwrap_err().fault, Fault::NotFound);
    machine.end("t").await;
    let gone = machine
        .runtime()
        .exec_attached("t", "c", command("say x"))
        .await;
    assert_eq!(gone.unwrap_err().fault, Fault::NotFound);
    machine.check_clean();
}

#[tokio::test]
async fn a_command_ends_when_it_ends_whatever_it_leaves_behind() {
    let machine = with_container(|_| {}).await;
    let began = Instant::now();
    let (out, _, code) = run(&machine, command("linger 60000 , say done , exit 4")).await;
    assert_eq!((out.as_str(), code), ("done\n", 4));
    assert!(began.elapsed() < Duration::from_secs(10));

    // Nobody listens, and it goes on all the same.
    let session = begin(&machine, command("flood 3000 , exit 6")).await;
    drop(session.attached);
    let code = tokio::time::timeout(PATIENCE, session.exit).await.unwrap();
    assert_eq!(code.unwrap().unwrap(), 6);

    // Killed with its container.
    let session = begin(&machine, command("sleep 60000")).await;
    assert!(session.pid > 0);
    machine.end("t").await;
    let code = tokio::time::timeout(PATIENCE, session.exit).await.unwrap();
    assert_eq!(code.unwrap().unwrap(), 137);
    machine.check_clean();
}

#[tokio::test]
async fn a_command_ends_with_the_daemon() {
    let mut machine = with_container(|_| {}).await;
    let session = begin(&machine, command("sleep 60000")).await;
    let process = format!("/proc/{}", session.pid);
    assert!(std::path::Path::new(&process).exists());
    machine.runtime = None;
    let until = Instant::now() + PATIENCE;
    while std::path::Path::new(&process).exists() {
        assert!(Instant::now() < until, "the command outlives the daemon");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    machine.begin().await;
    assert_eq!(machine.status("t").await.state, TaskState::Running);
    machine.end("t").await;
    machine.check_clean();
}
