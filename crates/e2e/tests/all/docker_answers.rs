//! What docker's clients are told, and when.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use e2e::{Docker, Machine};

const PATIENCE: Duration = Duration::from_secs(20);

/// An image `rea` with some files in it.
fn image(docker: &Docker) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(env!("CARGO_BIN_EXE_probe"), folder.path().join("probe")).unwrap();
    fs::create_dir_all(folder.path().join("dir/in")).unwrap();
    fs::write(folder.path().join("dir/a"), "a").unwrap();
    fs::write(folder.path().join("dir/in/b"), "b").unwrap();
    std::os::unix::fs::symlink("dir", folder.path().join("link")).unwrap();
    let text = "FROM scratch\nCOPY probe /probe\nCOPY dir /t/dir\nCOPY link /t/link\nENTRYPOINT [\"/probe\"]\nCMD [\"sleep\"]\n";
    fs::write(folder.path().join("Dockerfile"), text).unwrap();
    let built = docker.run_in(folder.path(), &["build", "-t", "rea", "."]);
    assert_eq!(built.code, 0, "{built:?}");
    folder
}

fn names_below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let name = entry.path().strip_prefix(folder).unwrap().to_owned();
            names.push(name.display().to_string());
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
        }
    }
    names.sort();
    names
}

#[test]
fn files_are_copied_as_docker_copies_them() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    let _image = image(&docker);
    docker.ask(&["create", "--name", "one", "rea"]);
    let folder = tempfile::tempdir().unwrap();
    let to = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(to("there")).unwrap();
    // What is in a folder, to one that is there and to one that is not; also through a link.
    for (from, name) in [
        ("one:/t/dir/.", "there"),
        ("one:/t/dir/.", "new"),
        ("one:/t/link/.", "linked"),
        ("one:/t/dir", "whole"),
    ] {
        docker.ask(&["cp", "-q", from, &to(name)]);
        let names = names_below(&folder.path().join(name));
        assert_eq!(names, ["a", "in", "in/b"], "{from} {name}");
    }
    docker.ask(&["cp", "-q", "one:/", &to("root")]);
    assert!(folder.path().join("root/t/dir/in/b").exists());

    // What is mounted in one that does not run.
    let bound = folder.path().join("bound");
    fs::create_dir(&bound).unwrap();
    let bind = format!("{}:/bound", bound.display());
    docker.ask(&[
        "create",
        "--name",
        "two",
        "-v",
        "kept:/t/dir",
        "-v",
        &bind,
        "rea",
    ]);
    // A volume has what the image has in its place from the first moment on.
    docker.ask(&["cp", "-q", "two:/t/dir/in/b", &to("b")]);
    let file = to("b");
    docker.ask(&["cp", "-q", &file, "two:/t/dir/new"]);
    docker.ask(&["cp", "-q", &file, "two:/bound/new"]);
    assert_eq!(fs::read_to_string(bound.join("new")).unwrap(), "b");
    docker.ask(&["create", "--name", "three", "-v", "kept:/elsewhere", "rea"]);
    docker.ask(&["cp", "-q", "three:/elsewhere/.", &to("kept")]);
    let names = names_below(&folder.path().join("kept"));
    assert_eq!(names, ["a", "in", "in/b", "new"]);

    // An export is of the container's own files, whether it runs or not.
    docker.ask(&["start", "two"]);
    let tar = to("two.tar");
    docker.ask(&["export", "-o", &tar, "two"]);
    let mut archive = tar::Archive::new(fs::File::open(&tar).unwrap());
    let entries = archive.entries().unwrap().map(|it| {
        let path = it.unwrap().path().unwrap().into_owned();
        path.display().to_string()
    });
    let names: Vec<String> = entries.collect();
    let has = |name: &str| names.iter().any(|it| it.trim_start_matches("./") == name);
    assert!(has("probe") && has("bound/") && has("proc/"), "{names:?}");
    assert!(
        !has("bound/new") && !has("proc/1/") && !has("t/dir/new"),
        "{names:?}"
    );

    let used = docker.ask(&["system", "df", "-v"]);
    let line = used.lines().find(|it| it.starts_with("kept")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1], "2", "containers that have it: {line}");
    assert_ne!(words[2], "0B", "{line}");
}

/// Docker's client in Python, and others, lose what comes along with the answer's head.
#[test]
fn the_output_of_a_command_comes_after_the_head_of_the_answer() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    let _image = image(&docker);
    docker.ask(&["run", "-d", "--name", "one", "rea"]);
    let host = docker.ask(&["context", "inspect", "-f", "{{.Endpoints.docker.Host}}"]);
    let socket = host.strip_prefix("unix://").unwrap().to_owned();
    let ask = |path: &str, more: &str, body: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: docker\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{more}\r\n{body}"
        )
        .unwrap();
        stream
    };
    for _ in 0..10 {
        let body = r#"{"AttachStdout":true,"Cmd":["/probe","crash"]}"#;
        let mut made = String::new();
        ask("/containers/one/exec", "connection: close\r\n", body)
            .read_to_string(&mut made)
            .unwrap();
        let (_, rest) = made.split_once("\"Id\":\"").unwrap();
        let path = format!("/exec/{}/start", &rest[..64]);
        let mut stream = ask(&path, "connection: Upgrade\r\nupgrade: tcp\r\n", "{}");
        let mut bytes = [0; 8192];
        let count = stream.read(&mut bytes).unwrap();
        let head = String::from_utf8_lossy(&bytes[..count]).into_owned();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "output came along: {head}");
        let mut output = Vec::new();
        stream.read_to_end(&mut output).unwrap();
        assert_eq!(output, b"\x01\0\0\0\0\0\0\x09crashing\n");
    }
}

#[test]
fn ends_refusals_and_images_are_told_as_docker_tells_them() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    let folder = image(&docker);
    // One that is started again has ended all the same.
    docker.ask(&[
        "run",
        "-d",
        "--restart",
        "always",
        "--name",
        "again",
        "rea",
        "crash",
    ]);
    assert_eq!(docker.ask(&["wait", "again"]), "3");
    docker.ask(&["rm", "-f", "again"]);

    // A refusal is read, although the context is large.
    fs::write(folder.path().join("large"), vec![7; 30 << 20]).unwrap();
    let refused = docker.run_in(folder.path(), &["build", "--memory", "64m", "."]);
    let expected = "the parameter `memory` is not supported by neargate";
    assert!(refused.stderr.contains(expected), "{refused:?}");

    docker.ask(&["run", "-d", "--name", "web-1", "rea"]);
    let names = |pattern: &str| {
        let filter = format!("name={pattern}");
        docker.ask(&["ps", "--filter", &filter, "--format", "{{.Names}}"])
    };
    assert_eq!(names("^web-[0-9]+$"), "web-1");
    assert_eq!(names("^(a|b)"), "");

    let change = "ENV A=b";
    docker.ask(&[
        "commit", "-a", "somebody", "-m", "why not", "-c", change, "web-1", "next",
    ]);
    let told = docker.ask(&[
        "image",
        "inspect",
        "-f",
        "{{.Author}}, {{.Comment}}, {{.Config.Env}}",
        "next",
    ]);
    assert!(told.starts_with("somebody, why not, ["), "{told}");
    assert!(told.contains("A=b"), "{told}");
    let steps = docker.ask(&["history", "-q", "next"]);
    assert!(steps.lines().count() > 1, "it has the history of its base");
    assert_eq!(docker.run(&["run", "--rm", "next", "crash"]).code, 3);

    // A name is taken from an image that is in use when that is forced; the container runs on.
    assert!(docker.refused(&["rmi", "rea"]).contains("(must force)"));
    let told = docker.ask(&["rmi", "-f", "rea"]);
    assert_eq!(told, "Untagged: rea:latest");
    docker.ask(&["restart", "-t", "0", "web-1"]);
    let shown = docker.ask(&[
        "inspect",
        "-f",
        "{{.HostConfig.ShmSize}} {{.HostConfig.IpcMode}}",
        "web-1",
    ]);
    assert_eq!(shown, "67108864 private");
}
