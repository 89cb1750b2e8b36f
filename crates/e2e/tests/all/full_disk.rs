//! A disk that is full: everybody is told in their own protocol, nothing ends, nothing is lost, and room that
//! is made is enough.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;

use e2e::{Answer, Connection, Machine, Signed, digest_of, eventually, get, run_bounded, sign};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

const FULL: &str = "No space left on device";
const DISK: &str = "size=96m";

/// A small disk for a daemon's state, and a place beside it for what may not be lost.
struct Disk {
    small: tempfile::TempDir,
    other: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let small = tempfile::tempdir().unwrap();
        let kind = Some("tmpfs");
        mount(kind, small.path(), kind, MsFlags::empty(), Some(DISK)).unwrap();
        Self {
            small,
            other: tempfile::tempdir().unwrap(),
        }
    }

    /// A machine that has its state on this disk, and is dropped before it.
    fn machine(&self) -> Machine {
        let mut machine = Machine::idle();
        machine.state = self.small.path().join("state");
        machine
    }

    fn filler(&self) -> std::path::PathBuf {
        self.small.path().join("filler")
    }

    fn fill(&self) {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.filler())
            .unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(self.small.path(), MntFlags::MNT_DETACH);
    }
}

/// Fills the disk, and then the room that the store has kept for itself.
fn fill_up(machine: &Machine, disk: &Disk) {
    disk.fill();
    let large = "x".repeat(60_000);
    for number in 0..1000 {
        let input = json!({ "Name": format!("large{number}"), "SecretString": large });
        if machine
            .call("secretsmanager", "CreateSecret", input)
            .is_err()
        {
            break;
        }
    }
    for number in 0..3000 {
        let input = json!({ "clusterName": format!("small{number}") });
        if machine.call("ecs", "CreateCluster", input).is_err() {
            return;
        }
    }
    panic!("the disk is not full");
}

fn send(
    machine: &Machine,
    (method, service, path): (&str, &str, &str),
    more: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let host = machine.listen.to_string();
    let digest = digest_of(body);
    let hash = digest.trim_start_matches("sha256:");
    let mut more = more.to_vec();
    if service == "s3" {
        more.push(("x-amz-content-sha256", hash));
    }
    let request = Signed {
        method,
        path,
        host: &host,
        service,
        region: "us-east-1",
        headers: &more,
        body,
    };
    let headers = sign(&machine.key(), &request);
    let mut headers: Vec<(&str, &str)> = (headers.iter())
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    headers.push(("connection", "close"));
    let mut connection = Connection::open(machine.listen).unwrap();
    connection.ask(method, path, &headers, body).unwrap()
}

/// Something that takes room, in each of the protocols that AWS's clients speak.
fn ask_all(machine: &Machine, turn: &str) -> Vec<(&'static str, Answer)> {
    let form = ("content-type", "application/x-www-form-urlencoded");
    let post = |service, more: &[(&str, &str)], body: String| {
        send(machine, ("POST", service, "/"), more, body.as_bytes())
    };
    let target = |it| ("x-amz-target", it);
    let json = "AmazonEC2ContainerServiceV20141113.CreateCluster";
    let query = format!("Action=CreateUser&Version=2010-05-08&UserName={turn}");
    let ec2 = "Action=CreateVpc&Version=2016-11-15&CidrBlock=10.9.0.0/16".to_owned();
    let path = "/service/AmazonEC2ContainerServiceV20141113/operation/CreateCluster";
    let cbor = [
        ("content-type", "application/cbor"),
        ("smithy-protocol", "rpc-v2-cbor"),
    ];
    let name = format!("cbor-{turn}");
    let mut item = b"\xa1\x6bclusterName".to_vec();
    item.push(0x60 + u8::try_from(name.len()).unwrap());
    item.extend(name.as_bytes());
    let bucket = format!("/bucket-{turn}");
    let password = machine.registry_password();
    let layer = vec![7; 3 << 20];
    let blob = format!("web/blobs/uploads/?digest={}", digest_of(&layer));
    vec![
        (
            "json",
            post(
                "ecs",
                &[target(json)],
                format!(r#"{{"clusterName":"{turn}"}}"#),
            ),
        ),
        ("query", post("iam", &[form], query)),
        ("ec2", post("ec2", &[form], ec2)),
        ("cbor", send(machine, ("POST", "ecs", path), &cbor, &item)),
        ("s3 bucket", send(machine, ("PUT", "s3", &bucket), &[], b"")),
        (
            "s3 object",
            send(machine, ("PUT", "s3", "/there/large"), &[], &layer),
        ),
        (
            "registry",
            machine.registry_with(&password, "POST", &blob, &[], &layer),
        ),
    ]
}

/// `docker load` of something that is no image, and large.
fn docker_load(machine: &Machine) -> String {
    let environment = machine.neargate(&["env"]).stdout;
    let socket = environment.split("unix://").nth(1).unwrap();
    let socket = socket.split(['\n', '\'', '"']).next().unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    let body = vec![0; 8 << 20];
    let head = format!(
        "POST /v1.43/images/load HTTP/1.1\r\nhost: docker\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let _ = stream.write_all(&body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn git(folder: &Path, arguments: &[&str]) -> e2e::Output {
    let mut command = std::process::Command::new("git");
    command.args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]);
    command.args(arguments).current_dir(folder);
    command.env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_TERMINAL_PROMPT", "0");
    run_bounded(command)
}

fn push_address(machine: &Machine) -> String {
    let key = machine.key();
    let secret = key.secret.replace('+', "%2B").replace('/', "%2F");
    format!("http://{}:{secret}@{}/v1/repos/web", key.id, machine.listen)
}

/// A repository on this side with something in it that does not become small.
fn commit() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ask = |arguments: &[&str]| {
        let output = git(folder.path(), arguments);
        assert_eq!(output.code, 0, "{output:?}");
    };
    ask(&["init", "-q", "-b", "main"]);
    let mut number = 1_u64;
    let noise = std::iter::repeat_with(|| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (number >> 33) as u8
    });
    let noise: Vec<u8> = noise.take(2 << 20).collect();
    fs::write(folder.path().join("noise"), noise).unwrap();
    ask(&["add", "."]);
    ask(&["commit", "-q", "-m", "Change"]);
    folder
}

fn request_id(answer: &Answer) -> String {
    let id = answer
        .header("x-amzn-requestid")
        .or(answer.header("x-amz-request-id"));
    id.expect("an answer has its request's id").to_owned()
}

fn make_places(machine: &Machine) {
    // What passwords are signed with is made with the first of them, and ECS's role with the first cluster:
    // those that come later take less room, until there is none at all.
    machine.registry_password();
    machine.ask("ecs", "CreateCluster", json!({ "clusterName": "there" }));
    machine.ask(
        "ecr",
        "CreateRepository",
        json!({ "repositoryName": "web" }),
    );
    machine.ask(
        "codecommit",
        "CreateRepository",
        json!({ "repositoryName": "web" }),
    );
    assert_eq!(send(machine, ("PUT", "s3", "/there"), &[], b"").status, 200);
}

#[test]
fn a_full_disk_is_told_in_every_protocol_and_room_is_enough() {
    let disk = Disk::new();
    let machine = disk.machine();
    // The log is elsewhere, so that what is said of it can be read.
    fs::create_dir_all(&machine.state).unwrap();
    let log = disk.other.path().join("daemon.log");
    std::os::unix::fs::symlink(&log, machine.state.join("daemon.log")).unwrap();
    machine.serve();
    make_places(&machine);
    let folder = commit();
    let push = |machine: &Machine| {
        let arguments = ["push", "-q", &push_address(machine), "main"];
        git(folder.path(), &arguments)
    };
    fill_up(&machine, &disk);

    for (protocol, answer) in ask_all(&machine, "full") {
        let (id, text) = (request_id(&answer), answer.text());
        assert_eq!(answer.status, 500, "{protocol}: {text}");
        assert!(text.contains(FULL), "{protocol}: {text}");
        assert!(!text.contains(&*machine.state.to_string_lossy()), "{text}");
        assert!(text.contains(&id), "{protocol}: {text}");
        let log = machine.log();
        let mut lines = log.lines().filter(|it| it.contains(&id));
        assert!(lines.any(|it| it.contains("ERROR")), "{protocol}: {id}");
    }
    let refused = docker_load(&machine);
    assert!(refused.starts_with("HTTP/1.1 500"), "{refused}");
    assert!(refused.contains(FULL), "{refused}");
    let refused = push(&machine);
    assert!(refused.stderr.contains(FULL), "{refused:?}");
    // What needs no room is done.
    machine.ask("ecs", "ListClusters", json!({}));

    disk.free();
    for (protocol, answer) in ask_all(&machine, "freed") {
        let text = answer.text();
        assert!((200..300).contains(&answer.status), "{protocol}: {text}");
    }
    let pushed = push(&machine);
    assert_eq!(pushed.code, 0, "{pushed:?}");
    assert!(!machine.log().contains("panicked"), "{}", machine.log());
}

#[test]
fn a_daemon_whose_log_is_full_goes_on() {
    let disk = Disk::new();
    let machine = disk.machine();
    machine.serve();
    make_places(&machine);
    let before = machine.daemon_id();
    fill_up(&machine, &disk);
    for _ in 0..3 {
        for (protocol, answer) in ask_all(&machine, "full") {
            assert_eq!(answer.status, 500, "{protocol}: {}", answer.text());
        }
    }
    machine.ask("ecs", "ListClusters", json!({}));
    disk.free();
    machine.ask("ecs", "CreateCluster", json!({ "clusterName": "freed" }));
    assert_eq!(machine.daemon_id(), before);
    assert!(!machine.log().contains("panicked"), "{}", machine.log());
}

/// Whether a daemon that begins answers, or ends with these words.
fn beginning(machine: &Machine, child: &mut Child) -> Result<(), String> {
    eventually("the daemon answers or ends", || {
        if child.try_wait().unwrap().is_some() {
            return Ok(Err(machine.log()));
        }
        match get(machine.listen, "localhost", "/_neargate/v1/health") {
            Ok(answer) if answer.status == 200 => Ok(Ok(())),
            other => Err(format!("{other:?}")),
        }
    })
}

#[test]
fn a_daemon_begins_on_a_full_disk_or_says_what_it_needs() {
    let disk = Disk::new();
    let machine = disk.machine();
    fs::create_dir_all(&machine.state).unwrap();
    let log = disk.other.path().join("daemon.log");
    std::os::unix::fs::symlink(&log, machine.state.join("daemon.log")).unwrap();
    machine.serve();
    machine.ask("ecs", "CreateCluster", json!({ "clusterName": "kept" }));
    fill_up(&machine, &disk);
    machine.kill_daemon();
    disk.fill();
    fs::write(&log, "").unwrap();
    let mut child = machine.spawn_daemon();
    match beginning(&machine, &mut child) {
        Ok(()) => {
            let listed = machine.ask("ecs", "ListClusters", json!({}));
            assert!(listed.to_string().contains("cluster/kept"), "{listed}");
            child.kill().unwrap();
            child.wait().unwrap();
        }
        Err(said) => {
            assert!(said.contains(FULL), "{said}");
            let place = machine.state.display().to_string();
            assert!(said.contains(&place) && said.contains("remove"), "{said}");
        }
    }
    println!("a full disk: {}", machine.log());
    disk.free();
    machine.serve();
    let listed = machine.ask("ecs", "ListClusters", json!({}));
    assert!(listed.to_string().contains("cluster/kept"), "{listed}");
}
