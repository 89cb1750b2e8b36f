//! Docker's own client.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use e2e::{Aws, Docker, Machine, eventually, get};
use serde_json::json;

const ACCOUNT_HOST: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com";

/// A folder with a Dockerfile whose image answers with `text` on port 8080.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(env!("CARGO_BIN_EXE_probe"), folder.path().join("probe")).unwrap();
    write_dockerfile(folder.path(), text);
    folder
}

fn write_dockerfile(folder: &Path, text: &str) {
    let dockerfile = format!(
        "FROM scratch\nCOPY probe /probe\nENV GREETING=hi\nEXPOSE 8080\nENTRYPOINT [\"/probe\"]\nCMD [\"serve\", \"{text}\"]\n"
    );
    fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[track_caller]
fn page(port: u16) -> String {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    eventually("the published port answers", || {
        match get(address, "localhost", "/") {
            Ok(answer) if answer.status == 200 => Ok(answer.text()),
            other => Err(format!("{other:?}")),
        }
    })
}

#[track_caller]
fn build(docker: &Docker, folder: &Path, name: &str) -> String {
    let output = docker.run_in(folder, &["build", ".", "-t", name]);
    assert_eq!(output.code, 0, "{output:?}");
    output.stdout
}

#[test]
fn a_container_is_built_run_looked_into_and_removed() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    let folder = folder("Hello World!");
    let said = build(&docker, folder.path(), "rea");
    assert!(said.contains("Successfully tagged rea:latest"), "{said}");
    assert!(said.contains("Step 2/6 : COPY probe /probe"), "{said}");
    let again = build(&docker, folder.path(), "rea");
    assert!(again.contains("---> Using cache"), "{again}");

    let port = free_port();
    let published = format!("-p{port}:8080");
    let id = docker.ask(&["run", "-d", &published, "--name", "rea", "rea"]);
    assert_eq!(page(port), "Hello World!");
    let listed = docker.ask(&["ps", "--format", "{{.Names}} {{.Image}} {{.Ports}}"]);
    assert_eq!(listed, format!("rea rea 0.0.0.0:{port}->8080/tcp"));
    assert_eq!(docker.ask(&["logs", "rea"]), "serving");
    let crashed = docker.run(&["exec", "rea", "/probe", "crash"]);
    assert_eq!((crashed.code, crashed.stdout.trim()), (3, "crashing"));

    // A port that is taken says so, and by whom; the container that wanted it does not run.
    let refused = docker.refused(&["run", "-d", "--name", "second", &published, "rea"]);
    let expected = format!(
        "Bind for 0.0.0.0:{port} failed: port is already allocated (by the container `rea`)"
    );
    assert!(refused.contains(&expected), "{refused}");
    assert_eq!(docker.ask(&["ps", "-q"]), id[..12]);

    docker.ask(&["stop", "rea"]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    assert!(get(address, "localhost", "/").is_err(), "it is stopped");
    docker.ask(&["rm", "rea", "second"]);
    assert_eq!(docker.ask(&["ps", "-aq"]), "");
    docker.ask(&["rmi", "rea"]);
    assert_eq!(docker.ask(&["images", "-q"]), "");
    machine.assert_no_processes_of_tasks();
}

#[test]
fn how_a_container_ended_is_told() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    let folder = folder("x");
    build(&docker, folder.path(), "rea");
    let crashed = docker.run(&["run", "--rm", "rea", "crash"]);
    assert_eq!((crashed.code, crashed.stdout.trim()), (3, "crashing"));
    assert_eq!(docker.run(&["run", "--rm", "rea", "check"]).code, 0);
    let missing = docker.run(&["run", "--rm", "--entrypoint", "/nosuch", "rea"]);
    assert_eq!(missing.code, 127, "{missing:?}");
    assert!(
        missing
            .stderr
            .contains("/nosuch\": no such file or directory"),
        "{missing:?}"
    );
    assert_eq!(docker.ask(&["ps", "-aq"]), "", "--rm removes all of them");

    // One that keeps failing is restarted as often as was said, and no more.
    docker.ask(&[
        "run",
        "-d",
        "--restart",
        "on-failure:2",
        "--name",
        "failing",
        "rea",
        "crash",
    ]);
    eventually("it gave up", || {
        let state = docker.ask(&[
            "inspect",
            "-f",
            "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}",
            "failing",
        ]);
        if state == "exited 2 3" {
            Ok(())
        } else {
            Err(state)
        }
    });
    assert_eq!(
        docker.ask(&["logs", "failing"]),
        "crashing\ncrashing\ncrashing"
    );

    // What is not built is refused by name, before anything is made.
    let refused = docker.refused(&["create", "--ipc", "container:failing", "rea"]);
    assert!(
        refused.contains("`IpcMode`") && refused.contains("not supported"),
        "{refused}"
    );
    let refused = docker.refused(&["create", "-p", "53:53/sctp", "rea"]);
    assert!(
        refused.contains("publishing the SCTP port 53 is not supported"),
        "{refused}"
    );
}

#[test]
fn an_image_is_pushed_to_the_registry_of_this_machine() {
    let machine = Machine::start();
    let (Some(docker), Some(aws)) = (Docker::of(&machine), Aws::of(&machine)) else {
        return;
    };
    let folder = folder("x");
    build(&docker, folder.path(), "rea");
    let name = format!("{ACCOUNT_HOST}/hello-world");
    docker.ask(&["tag", "rea", &name]);
    let refused = docker.refused(&["push", &name]);
    assert!(refused.contains("no basic auth credentials"), "{refused}");

    let wrong = ["login", "-u", "AWS", "-p", "wrong", ACCOUNT_HOST];
    assert!(docker.refused(&wrong).contains("400 Bad Request"));
    let token = aws.run(&["ecr", "get-login-password"]).stdout;
    docker.ask(&["login", "-u", "AWS", "-p", token.trim(), ACCOUNT_HOST]);
    let refused = docker.refused(&["push", &name]);
    let expected = "name unknown: The repository with name 'hello-world' does not exist in the registry with id '000000000000'";
    assert!(refused.contains(expected), "{refused}");

    aws.ask(&[
        "ecr",
        "create-repository",
        "--repository-name",
        "hello-world",
    ]);
    let images = ["ecr", "describe-images", "--repository-name", "hello-world"];
    assert_eq!(
        aws.ask(&images)["imageDetails"],
        json!([]),
        "a tag is no push"
    );
    let pushed = docker.ask(&["push", &name]);
    assert!(
        pushed.contains(": Pushed") && pushed.contains("latest: digest: sha256:"),
        "{pushed}"
    );
    let described = aws.ask(&images);
    let digest = described["imageDetails"][0]["imageDigest"]
        .as_str()
        .unwrap();
    assert!(pushed.contains(digest), "{pushed}\n{digest}");
    assert!(
        docker
            .ask(&["push", &name])
            .contains("Layer already exists")
    );

    // The local image may go; the registry's stays, and can be had back.
    docker.ask(&["rmi", &name, "rea"]);
    assert_eq!(docker.ask(&["images", "-q"]), "");
    docker.ask(&["pull", &name]);
    assert_eq!(docker.run(&["run", "--rm", &name, "crash"]).code, 3);
}

#[test]
fn containers_outlive_the_daemon() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    let folder = folder("still here");
    build(&docker, folder.path(), "rea");
    let port = free_port();
    docker.ask(&[
        "run",
        "-d",
        "-p",
        &format!("127.0.0.1:{port}:8080"),
        "--name",
        "web",
        "rea",
    ]);
    docker.ask(&["run", "-d", "--restart", "always", "--name", "back", "rea"]);
    docker.ask(&["run", "-d", "--name", "gone", "rea"]);
    let pid = |name: &str| docker.ask(&["inspect", "-f", "{{.State.Pid}}", name]);
    assert_eq!(page(port), "still here");
    let (web, back) = (pid("web"), pid("back"));
    machine.kill_daemon();
    machine.serve();
    assert_eq!(page(port), "still here");
    assert_eq!((pid("web"), pid("back")), (web, back.clone()));

    // What dies while nobody looks is found, and restarted where that was asked for.
    let gone: i32 = pid("gone").parse().unwrap();
    machine.kill_daemon();
    for pid in [gone, back.parse().unwrap()] {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    machine.serve();
    eventually("both are known", || {
        let names = docker.ask(&["ps", "--format", "{{.Names}}"]);
        let fresh = names.contains("back") && !names.contains("gone") && pid("back") != back;
        if fresh { Ok(()) } else { Err(names) }
    });
    assert_eq!(docker.ask(&["wait", "gone"]), "137");
}

#[test]
fn compose_brings_services_up_that_find_each_other() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    let folder = folder("production");
    let port = free_port();
    let file = |mounts: &str| {
        format!(
            "version: '3'\nservices:\n  web:\n    build: .\n    ports: ['{port}:8080']\n{mounts}  asker:\n    build: .\n    entrypoint: ['/probe', 'variable', 'GREETING']\n"
        )
    };
    fs::write(folder.path().join("docker-compose.yml"), file("")).unwrap();
    let mounted = folder.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    fs::copy(folder.path().join("probe"), mounted.join("probe")).unwrap();
    let mounts = "    volumes: ['./mounted:/mnt:ro']\n    entrypoint: ['/mnt/probe', 'serve', 'development']\n    command: []\n";
    fs::write(folder.path().join("dev.yml"), file(mounts)).unwrap();

    let dev = ["-f", "dev.yml", "-p", "walk"];
    let up: Vec<&str> = dev.into_iter().chain(["up", "-d", "--build"]).collect();
    let Some(output) = docker.compose(folder.path(), &up) else {
        return;
    };
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(page(port), "development");
    let logs: Vec<&str> = dev
        .into_iter()
        .chain(["logs", "--no-color", "asker"])
        .collect();
    eventually("its output is in the log", || {
        let output = docker.compose(folder.path(), &logs).unwrap();
        if output.stdout.contains("| hi") {
            Ok(())
        } else {
            Err(format!("{output:?}"))
        }
    });
    let joined = docker.ask(&[
        "network",
        "inspect",
        "walk_default",
        "-f",
        "{{len .Containers}}",
    ]);
    assert_eq!(joined, "2");

    // The production file takes the place of the other, and then all of it goes.
    let up = ["-p", "walk", "up", "-d", "--build"];
    let output = docker.compose(folder.path(), &up).unwrap();
    assert_eq!(output.code, 0, "{output:?}");
    eventually("the production file's page", || {
        let text = page(port);
        if text == "production" {
            Ok(())
        } else {
            Err(text)
        }
    });
    let output = docker.compose(folder.path(), &["-p", "walk", "down", "-t", "1"]);
    assert_eq!(output.unwrap().code, 0);
    assert_eq!(docker.ask(&["ps", "-aq"]), "");
    assert!(!docker.ask(&["network", "ls"]).contains("walk_default"));
}

#[test]
fn images_come_from_files() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tar = folder.path().join("rootfs.tar");
    let mut builder = tar::Builder::new(fs::File::create(&tar).unwrap());
    // Files have holes here and there, which not every reader of archives knows.
    builder.sparse(false);
    builder
        .append_path_with_name(env!("CARGO_BIN_EXE_probe"), "probe")
        .unwrap();
    builder.into_inner().unwrap();
    let tar = tar.display().to_string();
    machine.neargate(&[
        "image",
        "import",
        &tar,
        "ruby:alpine",
        "--env",
        "A=b",
        "--cmd",
        "/probe",
        "crash",
    ]);
    assert_eq!(docker.run(&["run", "--rm", "ruby:alpine"]).code, 3);
    assert_eq!(
        docker.ask(&["inspect", "-f", "{{.Config.Env}}", "ruby:alpine"]),
        "[A=b]"
    );

    // It is what Dockerfiles find, and what is saved is loaded as the same image.
    fs::write(
        folder.path().join("Dockerfile"),
        "FROM ruby:alpine\nCMD [\"/probe\", \"check\"]\n",
    )
    .unwrap();
    build(&docker, folder.path(), "next");
    let id = docker.ask(&["images", "-q", "next"]);
    let saved = folder.path().join("saved.tar").display().to_string();
    docker.ask(&["save", "next", "-o", &saved]);
    docker.ask(&["rmi", "next"]);
    machine.neargate(&["image", "import", &saved, "again:1"]);
    assert_eq!(docker.ask(&["images", "-q", "again:1"]), id);
    machine.neargate(&["image", "rm", "again:1"]);
    assert!(!machine.neargate(&["image", "ls"]).stdout.contains("again"));
}
