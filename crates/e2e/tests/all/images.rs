//! What becomes of images when the disk of a running daemon becomes short.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

use e2e::{Machine, Pushed, eventually, eventually_within};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
/// Short below 15 percent, enough with 20.
const DISK: &str = "size=512m";

/// A small disk for a daemon's state.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let kind = Some("tmpfs");
        mount(kind, directory.path(), kind, MsFlags::empty(), Some(DISK)).unwrap();
        Self(directory)
    }

    fn free_bytes(&self) -> u64 {
        let found = nix::sys::statvfs::statvfs(self.0.path()).unwrap();
        found.blocks_available() as u64 * found.fragment_size() as u64
    }

    fn leave_free(&self, mib: u64) {
        let fills = self.free_bytes().checked_sub(mib * MIB).unwrap();
        let mut file = File::create(self.0.path().join("filler")).unwrap();
        let piece = vec![7; MIB as usize];
        for _ in 0..fills / MIB {
            file.write_all(&piece).unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

/// One request to the owner's engine.
fn docker(machine: &Machine, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let mut stream = UnixStream::connect(machine.state.join("run/docker.sock")).unwrap();
    let body = body.to_string();
    let head = format!(
        "{method} /v1.43{path} HTTP/1.1\r\nhost: docker\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (begin, end) = (answer.find('{'), answer.rfind('}'));
    let json = begin.zip(end).map(|(begin, end)| &answer[begin..=end]);
    let json = json.and_then(|it| serde_json::from_str(it).ok());
    (status, json.unwrap_or_default())
}

fn id(machine: &Machine, image: &str) -> String {
    let (status, found) = docker(machine, "GET", &format!("/images/{image}/json"), &json!({}));
    assert_eq!(status, 200, "{image}: {found}");
    found["Id"].as_str().unwrap().to_owned()
}

fn is_there(machine: &Machine, id: &str) -> bool {
    docker(machine, "GET", &format!("/images/{id}/json"), &json!({})).0 == 200
}

fn tar_of(content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, "content", content).unwrap();
    tar.into_inner().unwrap()
}

/// What does not become small.
fn noise(mib: u64, seed: u64) -> Vec<u8> {
    let (mut number, mut bytes) = (seed, Vec::with_capacity((mib * MIB) as usize));
    while bytes.len() < (mib * MIB) as usize {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend(((number >> 32) as u32).to_le_bytes());
    }
    bytes
}

/// Makes an image of the owner's; its id.
fn import(machine: &Machine, content: &[u8], name: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), tar_of(content)).unwrap();
    let file = file.path().to_str().unwrap();
    let done = machine.neargate(&["image", "import", file, name]);
    assert_eq!(done.code, 0, "{done:?}");
    id(machine, name)
}

fn create(machine: &Machine, name: &str, image: &str, command: &[&str]) {
    let input = json!({ "Image": image, "Entrypoint": ["/content"], "Cmd": command });
    let made = docker(
        machine,
        "POST",
        &format!("/containers/create?name={name}"),
        &input,
    );
    assert_eq!(made.0, 201, "{made:?}");
}

/// As if all of it had been used so long ago.
fn set_used(place: &Path, age: Duration) {
    if place.is_dir() {
        for entry in fs::read_dir(place).unwrap() {
            set_used(&entry.unwrap().path(), age);
        }
    } else if place.is_file() {
        let file = File::options().write(true).open(place).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
}

#[test]
fn unused_images_make_room_on_a_short_disk_and_no_others_do() {
    let disk = Disk::new();
    let mut machine = Machine::idle();
    machine.state = disk.0.path().join("state");
    machine.serve();
    machine.ask(
        "ecr",
        "CreateRepository",
        json!({ "repositoryName": "web" }),
    );
    let pushed = Pushed::layer(tar_of(&noise(2, 1)), json!({ "Cmd": ["/content"] }));
    pushed.push(&machine, "web", "v1");
    // By its digest, too: what has no tag in a repository is its owner's all the same.
    let untagged = Pushed::layer(tar_of(&noise(2, 2)), json!({ "Cmd": ["/content"] }));
    untagged.push(&machine, "web", "moves");
    Pushed::layer(tar_of(&noise(2, 3)), json!({})).push(&machine, "web", "moves");

    let tagged = import(&machine, &noise(4, 4), "tagged:v1");
    let program = fs::read(env!("CARGO_BIN_EXE_probe")).unwrap();
    let running = import(&machine, &program, "running:v1");
    create(&machine, "one", "running:v1", &["sleep"]);
    let begun = docker(&machine, "POST", "/containers/one/start", &json!({}));
    assert_eq!(begun.0, 204, "{begun:?}");
    let stopped = import(&machine, &noise(4, 5), "stopped:v1");
    create(&machine, "two", "stopped:v1", &[]);
    let unused = import(&machine, &noise(40, 6), "unused:v1");
    // Their names are others' now.
    for (seed, name) in [(7, "running:v1"), (8, "stopped:v1"), (9, "unused:v1")] {
        import(&machine, &noise(1, seed), name);
    }
    let images = machine.state.join("images");
    for directory in ["blobs", "layers"] {
        set_used(&images.join(directory), Duration::from_secs(2 * 3600));
    }
    let young = import(&machine, &noise(4, 10), "young:v1");
    import(&machine, &noise(1, 11), "young:v1");
    let all = [&tagged, &running, &stopped, &unused, &young];
    assert!(all.iter().all(|it| is_there(&machine, it)));

    // Copies of layers go first, and are not enough.
    disk.leave_free(40);
    let short = disk.free_bytes();
    eventually_within(
        Duration::from_secs(60),
        "the unused image goes",
        || match is_there(&machine, &unused) {
            false => Ok(()),
            true => Err(machine.log()),
        },
    );
    eventually("it makes room", || {
        let free = disk.free_bytes();
        let made = free.saturating_sub(short) >= 60 * MIB;
        made.then_some(()).ok_or(format!("{short} and then {free}"))
    });
    for (what, id) in [
        ("tagged", &tagged),
        ("running", &running),
        ("stopped", &stopped),
        ("young", &young),
    ] {
        assert!(is_there(&machine, id), "{what}: {}", machine.log());
    }
    let password = machine.registry_password();
    let digest = e2e::digest_of(&untagged.manifest);
    for reference in ["v1", "moves", digest.as_str()] {
        let path = format!("web/manifests/{reference}");
        let found = machine.registry_with(&password, "GET", &path, &[], b"");
        assert_eq!(found.status, 200, "{reference}: {}", found.text());
    }
    let (_, one) = docker(&machine, "GET", "/containers/one/json", &json!({}));
    assert_eq!(one["State"]["Running"], true, "{one}");
    // It is told: in the log, and by the doctor.
    let log = machine.log();
    assert!(log.contains("what nobody used was removed"), "{log}");
    let doctor = machine.run(&["doctor", "--json"]);
    assert!(
        doctor.stdout.contains("that nobody used were removed"),
        "{doctor:?}"
    );
    let gone = docker(&machine, "DELETE", "/containers/one?force=1", &json!({}));
    assert_eq!(gone.0, 204, "{gone:?}");
    docker(&machine, "DELETE", "/containers/two", &json!({}));
    machine.assert_no_processes_of_tasks();
}
