//! What is asked of docker's containers while they run.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use e2e::{Docker, Machine, eventually};

use crate::ground::docker_image;

/// An image `rea`, whose health check fails and says so.
#[track_caller]
fn image(docker: &Docker) {
    let text = "FROM scratch\nCOPY probe /probe\nHEALTHCHECK --interval=100ms --retries=2 CMD [\"/probe\", \"crash\"]\nENTRYPOINT [\"/probe\"]\nCMD [\"sleep\"]\n";
    docker_image(docker, "rea", text);
}

#[track_caller]
fn until(docker: &Docker, arguments: &[&str], wanted: &str) {
    eventually("docker says so", || {
        let said = docker.ask(arguments);
        if said == wanted { Ok(()) } else { Err(said) }
    });
}

#[test]
fn a_container_is_held_limited_and_looked_after() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    docker.ask(&["run", "-d", "--name", "one", "-m", "64m", "rea"]);
    let health = ["inspect", "-f", "{{.State.Health.Status}}", "one"];
    until(&docker, &health, "unhealthy");
    let log = "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}";
    assert_eq!(docker.ask(&["inspect", "-f", log, "one"]), "3 crashing");
    let streak = docker.ask(&["inspect", "-f", "{{.State.Health.FailingStreak}}", "one"]);
    assert!(streak.parse::<u32>().unwrap() >= 2, "{streak}");

    docker.ask(&["pause", "one"]);
    let status = [
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.Paused}}",
        "one",
    ];
    assert_eq!(docker.ask(&status), "paused true");
    assert!(docker.ask(&["ps"]).contains("(Paused)"));
    assert!(
        docker
            .refused(&["exec", "one", "/probe", "check"])
            .contains("is paused")
    );
    assert!(docker.refused(&["pause", "one"]).contains("already paused"));
    // It stays so for the next daemon.
    machine.kill_daemon();
    machine.serve();
    assert_eq!(docker.ask(&status), "paused true");
    docker.ask(&["unpause", "one"]);
    docker.ask(&["exec", "one", "/probe", "check"]);
    docker.ask(&["pause", "one"]);
    docker.ask(&["kill", "one"]);
    assert_eq!(docker.ask(&status), "exited false");

    docker.ask(&["start", "one"]);
    docker.ask(&[
        "update",
        "-m",
        "96m",
        "--memory-swap",
        "-1",
        "--restart",
        "always",
        "one",
    ]);
    let usage = docker.ask(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "one"]);
    assert!(usage.ends_with("96MiB"), "{usage}");
    let host = "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}";
    assert_eq!(
        docker.ask(&["inspect", "-f", host, "one"]),
        "100663296 always"
    );
    docker.ask(&["rm", "-f", "one"]);
    machine.assert_no_processes_of_tasks();
}

#[test]
fn what_a_container_is_given_is_there_and_what_has_no_effect_is_said() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    docker.ask(&[
        "run",
        "-d",
        "--name",
        "one",
        "--group-add",
        "77",
        "--cpuset-cpus",
        "0",
        "--memory-reservation",
        "32m",
        "--sysctl",
        "net.core.somaxconn=77",
        "--device",
        "/dev/zero:/dev/extra:r",
        "--tmpfs",
        "/small:size=1m,mode=700",
        "-v",
        "kept:/data",
        "rea",
    ]);
    let pid = docker.ask(&["inspect", "-f", "{{.State.Pid}}", "one"]);
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let status = read("status");
    assert!(
        status
            .lines()
            .any(|it| it.starts_with("Groups:") && it.contains("77"))
    );
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    let small = read("mounts");
    let small = small.lines().find(|it| it.contains(" /small ")).unwrap();
    assert!(
        small.contains("size=1024k") && small.contains("mode=700"),
        "{small}"
    );
    assert!(fs::metadata(format!("/proc/{pid}/root/dev/extra")).is_ok());

    docker.ask(&["create", "--name", "two", "--volumes-from", "one:ro", "rea"]);
    let mounts = "{{range .Mounts}}{{.Name}} {{.Destination}} {{.RW}}{{end}}";
    assert_eq!(
        docker.ask(&["inspect", "-f", mounts, "two"]),
        "kept /data false"
    );

    // Another container under a name of one's own, for as long as it runs.
    docker.ask(&[
        "run",
        "-d",
        "--name",
        "linked",
        "--link",
        "one:database",
        "rea",
    ]);
    let pid = docker.ask(&["inspect", "-f", "{{.State.Pid}}", "linked"]);
    let hosts = || fs::read_to_string(format!("/proc/{pid}/root/etc/hosts")).unwrap();
    let address = docker.ask(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "one"]);
    assert!(
        hosts().contains(&format!("{address}\tdatabase\n")),
        "{}",
        hosts()
    );
    docker.ask(&["stop", "-t", "0", "one"]);
    eventually("the name is gone", || match hosts() {
        text if text.contains("database") => Err(text),
        _ => Ok(()),
    });
    let refused = docker.refused(&["create", "--link", "nobody:x", "rea"]);
    assert!(
        refused.contains("could not get container for nobody"),
        "{refused}"
    );

    // What is harmless is told by name, and what matters is refused by name.
    let made = docker.run(&[
        "create",
        "--blkio-weight",
        "100",
        "--oom-score-adj",
        "5",
        "rea",
    ]);
    assert_eq!(made.code, 0, "{made:?}");
    for name in ["BlkioWeight", "OomScoreAdj"] {
        let expected = format!("{name} is not supported by neargate: it has no effect");
        assert!(made.stderr.contains(&expected), "{made:?}");
    }
    let refused = docker.refused(&[
        "create",
        "--sysctl",
        "net.core.somaxconn=1",
        "--network",
        "host",
        "rea",
    ]);
    assert!(refused.contains("not allowed in host network"), "{refused}");
}

#[test]
fn datagrams_reach_a_published_port() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    docker.ask(&[
        "run",
        "-d",
        "--name",
        "one",
        "-p",
        "127.0.0.1::8080/udp",
        "rea",
        "echo",
    ]);
    let at = docker.ask(&["port", "one", "8080/udp"]);
    let listed = docker.ask(&["ps", "--format", "{{.Ports}}"]);
    assert_eq!(listed, format!("{at}->8080/udp"));
    let ask = || {
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        client
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let mut bytes = [0; 64];
        let answered = client
            .send_to(b"hi", &at)
            .and_then(|_| client.recv(&mut bytes));
        match answered {
            Ok(count) => Ok(String::from_utf8_lossy(&bytes[..count]).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    };
    assert_eq!(eventually("it answers", ask), "echo hi");
    // And through the next daemon.
    machine.kill_daemon();
    machine.serve();
    assert_eq!(eventually("it answers again", ask), "echo hi");
    docker.ask(&["stop", "-t", "0", "one"]);
    assert!(ask().is_err());
}

/// Its end is the engine's to know before it is on record.
#[test]
fn what_has_ended_in_this_moment_is_committed_and_packed() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    let folder = tempfile::tempdir().unwrap();
    for number in 0..6 {
        let name = format!("one{number}");
        docker.ask(&["run", "-d", "--name", &name, "rea", "check"]);
        docker.ask(&["commit", &name, "made"]);
        let file = folder.path().join(&name).display().to_string();
        docker.ask(&["run", "-d", "--name", &format!("{name}b"), "rea", "check"]);
        docker.ask(&["export", "-o", &file, &format!("{name}b")]);
        assert!(fs::metadata(&file).unwrap().len() > 1024);
    }
}
