//! What docker's clients ask of the engine beside what its command line does every day.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use e2e::{Docker, Machine, eventually};

use crate::ground::docker_image;

const PATIENCE: Duration = Duration::from_secs(20);

#[track_caller]
fn image(docker: &Docker) {
    let text = "FROM scratch\nCOPY probe /probe\nENTRYPOINT [\"/probe\"]\nCMD [\"sleep\"]\n";
    docker_image(docker, "rea", text);
}

/// A request on a connection of its own, and all of its answer.
fn ask(docker: &Docker, method: &str, path: &str, body: &str) -> Vec<u8> {
    let host = docker.ask(&["context", "inspect", "-f", "{{.Endpoints.docker.Host}}"]);
    let mut stream = UnixStream::connect(host.strip_prefix("unix://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: docker\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// What a member of JSON that is a text says, in an answer.
fn text_in(answer: &[u8], member: &str) -> String {
    let answer = String::from_utf8_lossy(answer);
    let (_, rest) = answer.split_once(&format!("\"{member}\":\"")).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn a_command_s_output_is_sent_as_its_start_asks() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    docker.ask(&["run", "-d", "--name", "one", "rea"]);
    // It has a terminal, and whoever starts it wants it in frames all the same.
    for (start, expected) in [
        ("{}", &b"\x01\0\0\0\0\0\0\x0acrashing\r\n"[..]),
        (r#"{"Tty":true}"#, b"crashing\r\n"),
    ] {
        let body = r#"{"AttachStdout":true,"Tty":true,"Cmd":["/probe","crash"]}"#;
        let id = text_in(&ask(&docker, "POST", "/containers/one/exec", body), "Id");
        let answer = ask(&docker, "POST", &format!("/exec/{id}/start"), start);
        let has = answer.windows(expected.len()).any(|it| it == expected);
        assert!(has, "{start} {}", String::from_utf8_lossy(&answer));
        let is_framed = answer.windows(3).any(|it| it == b"\x01\0\0");
        assert_eq!(is_framed, start == "{}");
    }
    let missing = docker.run(&["exec", "one", "/nosuch"]);
    assert_eq!(missing.code, 126, "{missing:?}");
}

#[test]
fn linked_containers_are_found_in_the_environment_and_by_name() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    docker.ask(&[
        "run", "-d", "--name", "db", "--expose", "81", "-e", "FOO=1", "rea",
    ]);
    let run = |name: &str, variable: &str| {
        let command = [
            "run", "-d", "--name", name, "--link", "db:my-db", "rea", "variable",
        ];
        docker.ask(&[&command[..], &[variable]].concat());
        let mut said = String::new();
        eventually("it said the variable", || {
            said = docker.ask(&["logs", name]);
            (!said.is_empty()).then_some(()).ok_or(said.clone())
        });
        said.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(run("web", "MY_DB_ENV_FOO"), "1");
    assert_eq!(run("second", "MY_DB_NAME"), "/second/my-db");
    let port = run("third", "MY_DB_PORT_81_TCP");
    assert!(
        port.starts_with("tcp://172.") && port.ends_with(":81"),
        "{port}"
    );
    let links = ["inspect", "-f", "{{.HostConfig.Links}}", "web"];
    assert_eq!(docker.ask(&links), "[/db:/web/my-db]");
    docker.ask(&["rm", "--link", "web/my-db"]);
    assert_eq!(docker.ask(&links), "[]");
    assert!(
        docker
            .refused(&["rm", "--link", "web/my-db"])
            .contains("web")
    );

    // In a network that has names, its resolver knows what one alone calls another.
    docker.ask(&["network", "create", "names"]);
    docker.ask(&["run", "-d", "--name", "late", "--network", "names", "rea"]);
    let looked = docker.ask(&[
        "run",
        "--rm",
        "--network",
        "names",
        "--link",
        "late:bar",
        "rea",
        "look-up",
        "bar",
    ]);
    let address = "{{.NetworkSettings.Networks.names.IPAddress}}";
    let address = docker.ask(&["inspect", "-f", address, "late"]);
    assert!(
        looked.contains(&format!("bar NoError {address}")),
        "{looked}"
    );
    let others = docker.ask(&["run", "--rm", "--network", "names", "rea", "look-up", "bar"]);
    assert!(!others.contains(&address), "{others}");
}

#[test]
fn what_is_named_is_there_or_refused_in_dockers_words() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    let quiet = docker.run(&[
        "run",
        "--log-driver",
        "none",
        "--name",
        "quiet",
        "rea",
        "crash",
    ]);
    assert_eq!((quiet.code, quiet.stdout.trim()), (3, "crashing"));
    let refused = docker.refused(&["logs", "quiet"]);
    assert!(refused.contains("does not support reading"), "{refused}");
    for (command, message) in [
        ("run --log-driver asdf rea", "plugin \"asdf\" not found"),
        ("volume create -d asdf one", "plugin \"asdf\" not found"),
        (
            "run --runtime asdf rea",
            "unknown or invalid runtime name: asdf",
        ),
        (
            "run --uts host --hostname x rea",
            "hostname and the UTS mode",
        ),
        ("run --device-cgroup-rule x rea", "x"),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let refused = docker.refused(&words);
        assert!(refused.contains(message), "{command}: {refused}");
    }
    let rule = "c 7:128 rwm";
    docker.ask(&[
        "run",
        "-d",
        "--name",
        "own",
        "--uts",
        "host",
        "--runtime",
        "runc",
        "--device-cgroup-rule",
        rule,
        "rea",
    ]);
    let form = "{{.HostConfig.UTSMode}} {{.HostConfig.Runtime}} {{.HostConfig.DeviceCgroupRules}} {{.Config.Hostname}}";
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let expected = format!("host runc [{rule}] {}", name.trim());
    assert_eq!(docker.ask(&["inspect", "-f", form, "own"]), expected);
    let pid = docker.ask(&["inspect", "-f", "{{.State.Pid}}", "own"]);
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/uts")).unwrap();
    assert_eq!(namespace(&pid), namespace("self"));
    docker.ask(&[
        "run",
        "-d",
        "--name",
        "beside",
        "--pid",
        "container:own",
        "rea",
    ]);
    let beside = docker.ask(&["inspect", "-f", "{{.State.Pid}}", "beside"]);
    let processes = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap();
    assert_eq!(processes(&beside), processes(&pid));
    docker.ask(&["rm", "-f", "beside"]);
    let refused = docker.refused(&["run", "--pid", "container:quiet", "rea"]);
    assert!(refused.contains("non running container"), "{refused}");
    let refused = docker.refused(&["rm", "own"]);
    assert!(refused.contains("stop the container before"), "{refused}");

    // What is reclaimed is what was there.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large");
    fs::write(&file, vec![7; 3 << 20]).unwrap();
    docker.ask(&["cp", "-q", file.to_str().unwrap(), "quiet:/large"]);
    let pruned = docker.ask(&["container", "prune", "-f"]);
    assert!(pruned.contains("Total reclaimed space: 3."), "{pruned}");
    let broken = docker.refused(&["load", "-i", file.to_str().unwrap()]);
    assert!(broken.contains("archive"), "{broken}");
}

#[test]
fn a_build_s_steps_have_its_hosts_and_its_failure_has_a_code() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    let folder = tempfile::tempdir().unwrap();
    let build = |text: &str, more: &[&str]| {
        fs::write(folder.path().join("Dockerfile"), text).unwrap();
        docker.run_in(
            folder.path(),
            &[&["build", "-t", "made"], more, &["."]].concat(),
        )
    };
    let failed = build("FROM rea\nRUN [\"/probe\", \"crash\"]\n", &[]);
    assert_eq!(failed.code, 3, "{failed:?}");
    let expected = "The command '/probe crash' returned a non-zero code: 3";
    assert!(failed.stderr.contains(expected), "{failed:?}");
    let text = "FROM rea\nRUN [\"/probe\", \"look-up\", \"db.test\"]\n";
    let made = build(text, &["--add-host", "db.test:10.99.98.97"]);
    assert!(made.stdout.contains("10.99.98.97"), "{made:?}");
    let path = "/build?extrahosts=db.test%3Anowhere";
    let refused = ask(&docker, "POST", path, "");
    let message = text_in(&refused, "message");
    assert!(message.starts_with("bad format for add-host"), "{message}");

    docker.ask(&["create", "--name", "one", "made"]);
    docker.ask(&["commit", "one", "next"]);
    let parent = docker.ask(&["image", "inspect", "-f", "{{.Parent}}", "next"]);
    assert_eq!(parent, docker.ask(&["inspect", "-f", "{{.Image}}", "one"]));
    let inspected = ask(&docker, "GET", "/v1.41/images/next/json", "");
    let container = docker.ask(&["inspect", "-f", "{{.Id}}", "one"]);
    assert_eq!(text_in(&inspected, "Container"), container);
}
