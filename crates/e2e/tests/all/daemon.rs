//! The daemon among others: users, programs that want its ports, other daemons.

use std::os::unix::fs::PermissionsExt;

use e2e::Machine;

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
