//! The daemon among others: users, programs that want its ports, other daemons.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use e2e::{Machine, run_bounded};
use serde_json::json;

/// Everything that the daemon keeps and runs is its owner's alone: it holds keys and parameters.
#[test]
fn no_other_user_looks_into_the_state() {
    let machine = Machine::start();
    for directory in [machine.state.clone(), machine.state.join("run")] {
        let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", directory.display());
    }
}

#[test]
fn doctor_says_who_has_a_port() {
    let machine = Machine::idle();
    let finding = |what: &str| {
        let findings = machine.neargate(&["doctor", "--json"]).json();
        let all = findings.as_array().unwrap().clone();
        let found = all.into_iter().find(|it| it["what"] == what).unwrap();
        (
            found["state"].as_str().unwrap().to_owned(),
            found["message"].as_str().unwrap().to_owned(),
        )
    };
    let (state, said) = finding("API address");
    assert!(state == "fine" && said.contains("free"), "{said}");
    let taken = std::net::TcpListener::bind(machine.listen).unwrap();
    let (state, said) = finding("API address");
    assert!(
        state == "warning" && said.contains(&std::process::id().to_string()),
        "{said}"
    );
    drop(taken);
    machine.serve();
    let (state, said) = finding("API address");
    assert!(state == "fine" && said.contains("the daemon's"), "{said}");
    let text = machine.neargate(&["doctor"]).stdout;
    assert!(text.contains("neargate can work here."), "{text}");
}

#[test]
fn a_second_daemon_does_not_disturb_the_first() {
    let machine = Machine::start();
    // The same state, another address.
    let output = machine.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("another daemon works on"),
        "{output:?}"
    );
    // Another state, the same address.
    let other = tempfile::tempdir().unwrap();
    let state = other.path().display().to_string();
    for command in [&["serve"][..], &["stop"]] {
        let mut arguments = command.to_vec();
        arguments.extend(["--state", &state]);
        let output = machine.run(&arguments);
        assert_eq!(output.code, 1, "{output:?}");
    }
    assert!(
        machine
            .call("ecs", "ListClusters", serde_json::json!({}))
            .is_ok()
    );
}

/// What the other tests rely on when they say that nothing is left.
#[test]
fn what_runs_is_seen_on_the_machine() {
    let machine = Machine::idle();
    let site = e2e::Site::page("seen", "hello");
    machine.neargate(&["up", &site.argument(), "--count", "1"]);
    let traces = e2e::find_traces(&machine.state);
    let kinds = [
        "process ",
        "mount ",
        "control group ",
        "link ",
        "packet filter table ",
    ];
    for kind in kinds {
        let seen = traces.iter().any(|it| it.starts_with(kind));
        assert!(seen, "no {kind}in {traces:#?}");
    }
    machine.neargate(&["down", "seen"]);
    machine.assert_no_work();
}

/// A shell's line that ends in neargate, with the arguments that lead to this daemon.
fn limited(machine: &Machine, limit: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit}; exec \"$0\" \"$@\"")]);
    command.arg(e2e::neargate()).args(machine.arguments());
    command.args(arguments);
    command
}

fn open_files(id: u32) -> (String, String) {
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let line = limits.lines().find(|it| it.starts_with("Max open files"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    (words[3].to_owned(), words[4].to_owned())
}

#[test]
fn the_daemon_may_open_as_many_files_as_the_machine_lets_it() {
    let machine = Machine::idle();
    let mut daemon = limited(&machine, "ulimit -Sn 300", &["serve"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    machine.wait_until_ready();
    let (soft, hard) = open_files(daemon.id());
    assert_eq!(soft, hard);
    assert_ne!(soft, "300");
    machine.neargate(&["stop"]);
    assert!(daemon.wait().unwrap().success());

    let doctor = run_bounded(limited(&machine, "ulimit -n 2000", &["doctor", "--json"]));
    let findings = doctor.json();
    let mut findings = findings.as_array().unwrap().iter();
    let found = findings.find(|it| it["what"] == "open files").unwrap();
    assert_eq!(found["state"], "warning", "{found}");
    let said = found["message"].as_str().unwrap();
    assert!(
        said.contains("2000") && said.contains("325 tasks"),
        "{said}"
    );
}

fn limit_open_files(machine: &Machine, limit: &str) {
    let id = machine.daemon_id().to_string();
    let limit = format!("--nofile={limit}:");
    let status = Command::new("prlimit")
        .args(["--pid", &id, &limit])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_daemon_out_of_descriptors_serves_who_signs_and_comes_back() {
    let machine = Machine::start();
    let open = std::fs::read_dir(format!("/proc/{}/fd", machine.daemon_id()));
    limit_open_files(&machine, &(open.unwrap().count() + 4).to_string());
    let silent: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(machine.listen).unwrap();
            let _ = stream.write_all(b"POST / HTTP/1.1\r\n");
            stream
        })
        .collect();
    machine.ask("ecs", "ListClusters", json!({}));
    let log = machine.log();
    let said: Vec<&str> = (log.lines())
        .filter(|it| it.contains("cannot accept a connection"))
        .collect();
    assert!(!said.is_empty() && said.len() < 20, "{log}");
    assert!(said[0].contains("Too many open files"), "{log}");
    limit_open_files(&machine, "20000");
    machine.ask("ecs", "ListClusters", json!({}));
    drop(silent);
}
