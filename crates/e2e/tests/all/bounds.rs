//! What clients may make the daemon hold: connections and bodies, in number and in all.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use e2e::{Connection, Key, Machine, Signed, sign};

const MIB: u64 = 1024 * 1024;
const LARGE: usize = 31 * MIB as usize;
/// Connections from one address that are answered.
const CONNECTIONS_MAX: usize = 384;

/// A line of what the kernel says of the daemon's memory, in bytes.
fn memory(machine: &Machine, line: &str) -> u64 {
    let status = format!("/proc/{}/status", machine.daemon_id());
    let status = std::fs::read_to_string(status).unwrap();
    let found = status.lines().find_map(|it| it.strip_prefix(line));
    let kib = found.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

/// How far the daemon's memory rises while `body` runs, and how much of it is still there soon after.
fn rise(machine: &Machine, body: impl FnOnce()) -> (u64, u64) {
    let before = memory(machine, "VmRSS:");
    let forget = format!("/proc/{}/clear_refs", machine.daemon_id());
    std::fs::write(forget, "5").unwrap();
    body();
    let peak = memory(machine, "VmHWM:").saturating_sub(before);
    std::thread::sleep(Duration::from_secs(1));
    let kept = memory(machine, "VmRSS:").saturating_sub(before);
    println!("rose by {} MiB, kept {} MiB", peak / MIB, kept / MIB);
    (peak, kept)
}

/// Sends the head of a request with a large body, and of the body what goes; the answer's status.
fn send_large(machine: &Machine, headers: &[(String, String)]) -> u16 {
    let mut connection = Connection::open(machine.listen).unwrap();
    let mut head = format!("POST / HTTP/1.1\r\ncontent-length: {LARGE}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    connection.send(head.as_bytes()).unwrap();
    let piece = vec![b' '; 256 * 1024];
    let mut sent = 0;
    while sent < LARGE {
        let size = piece.len().min(LARGE - sent);
        if connection.send(&piece[..size]).is_err() {
            break;
        }
        sent += size;
    }
    let answer = connection.read_answer(false);
    answer.map_or(0, |it| it.status)
}

fn at_once(machine: &Machine, count: usize, headers: &[(String, String)]) -> Vec<u16> {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..count)
            .map(|_| scope.spawn(|| send_large(machine, headers)))
            .collect();
        all.into_iter().map(|it| it.join().unwrap()).collect()
    })
}

fn target() -> (&'static str, &'static str) {
    (
        "x-amz-target",
        "AmazonEC2ContainerRegistry_V20150921.UploadLayerPart",
    )
}

/// As many as took the daemon to gigabytes once.
#[test]
fn large_bodies_of_strangers_take_no_memory() {
    let machine = Machine::start();
    let host = machine.listen.to_string();
    let (name, value) = target();
    let unsigned: Vec<(String, String)> = [("host", host.as_str()), (name, value)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let (peak, _) = rise(&machine, || {
        let statuses = at_once(&machine, 90, &unsigned);
        assert!(
            statuses.iter().all(|it| [0, 400].contains(it)),
            "{statuses:?}"
        );
        assert!(
            statuses.contains(&400),
            "who can be told is told: {statuses:?}"
        );
    });
    assert!(peak < 48 * MIB, "{} MiB", peak / MIB);
    // A key that is known by its name, and whose secret is not.
    let stranger = Key {
        secret: "wrong".into(),
        ..machine.key()
    };
    let signed = sign(
        &stranger,
        &Signed {
            method: "POST",
            path: "/",
            host: &host,
            service: "ecr",
            region: "us-east-1",
            headers: &[target()],
            body: b"",
        },
    );
    let (peak, kept) = rise(&machine, || {
        let statuses = at_once(&machine, 40, &signed);
        assert!(
            statuses.iter().all(|it| [0, 400, 503].contains(it)),
            "{statuses:?}"
        );
    });
    assert!(peak < 192 * MIB, "{} MiB", peak / MIB);
    assert!(kept < 32 * MIB, "{} MiB", kept / MIB);
    assert!(
        machine
            .call("ecs", "ListClusters", serde_json::json!({}))
            .is_ok()
    );
}

/// `open`, and `piece` again and again.
fn filled(open: &str, piece: &str, length: usize) -> Vec<u8> {
    let mut body = open.to_owned();
    while body.len() + piece.len() <= length {
        body += piece;
    }
    body.into_bytes()
}

/// What a signed request may become: bytes on the wire are more in memory.
#[test]
fn signed_bodies_of_many_values_cost_what_they_weigh() {
    let machine = Machine::start();
    let target = |operation: &str| format!("AmazonEC2ContainerServiceV20141113.{operation}");
    let cbor = ("smithy-protocol", "rpc-v2-cbor");
    let ask = |operation: &str, more: &[(&str, &str)], body: &[u8]| {
        let target = target(operation);
        let headers = [&[("x-amz-target", target.as_str())], more].concat();
        let key = machine.key();
        let answer = machine.post(&key, "ecs", "/", &headers, body).unwrap();
        (answer.status, answer.text())
    };
    let ends = |open: &str, piece: &str, count: usize, close: &str| {
        let all = format!("{open}{}{close}", piece.repeat(count));
        all.into_bytes()
    };
    let lists = filled("{\"clusters\":[[]", ",[]", LARGE);
    let mut items = b"\xa1\x68clusters\x9f".to_vec();
    items.resize(LARGE, 0x80);
    let structures = ends(
        "{\"family\":\"f\",\"containerDefinitions\":[{}",
        ",{}",
        400_000,
        "]}",
    );
    let (peak, kept) = rise(&machine, || {
        for _ in 0..5 {
            let (status, text) = ask("DescribeClusters", &[], &lists);
            assert_eq!(status, 400, "{text}");
            assert!(text.contains("SerializationException"), "{text}");
            let (status, text) = ask("DescribeClusters", &[cbor], &items);
            assert_eq!(status, 400, "{text}");
            assert!(text.contains("SerializationException"), "{text}");
            let (status, text) = ask("RegisterTaskDefinition", &[], &structures);
            assert_eq!(status, 400, "{text}");
        }
    });
    assert!(peak < 128 * MIB, "{} MiB", peak / MIB);
    assert!(kept < 64 * MIB, "{} MiB", kept / MIB);
    // Few values that are large are what a commit's files are.
    let file =
        |name: &str| json!({ "filePath": name, "fileContent": "A".repeat(8 * MIB as usize - 4) });
    let commit = json!({
        "repositoryName": "none",
        "branchName": "main",
        "putFiles": [file("a"), file("b"), file("c")],
    });
    let commit = commit.to_string();
    let (peak, kept) = rise(&machine, || {
        for _ in 0..5 {
            let key = machine.key();
            let headers = [("x-amz-target", "CodeCommit_20150413.CreateCommit")];
            let answer = machine.post(&key, "codecommit", "/", &headers, commit.as_bytes());
            let text = answer.unwrap().text();
            assert!(text.contains("RepositoryDoesNotExistException"), "{text}");
        }
    });
    assert!(peak < 128 * MIB, "{} MiB", peak / MIB);
    assert!(kept < 64 * MIB, "{} MiB", kept / MIB);
}

/// More connections than one address has, each with a beginning that nothing follows.
fn open_many(machine: &Machine, beginning: &str) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(machine.listen).unwrap();
        // Who had to make room is told when it writes.
        let _ = stream.write_all(beginning.as_bytes());
        stream
    };
    (0..CONNECTIONS_MAX + 16).map(open).collect()
}

#[test]
fn strangers_who_say_half_a_word_shut_nobody_out() {
    let machine = Machine::start();
    // Before any of them would be given up for being slow.
    let soon = Duration::from_secs(20);
    let head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/x-amz-json-1.1\r\n";
    let body = format!("{head}content-length: 100\r\n\r\n{{");
    let answered = format!("{head}content-length: 0\r\n\r\n");
    for beginning in ["", head, &body, &answered] {
        let began = Instant::now();
        let strangers = open_many(&machine, beginning);
        for _ in 0..3 {
            machine.ask("ecs", "ListClusters", json!({}));
            let host = format!("nobody.s3.us-east-1.localhost:{}", machine.listen.port());
            let page = e2e::get(machine.listen, &host, "/").unwrap();
            assert_eq!(page.status, 404, "{}", page.text());
        }
        assert!(began.elapsed() < soon, "{beginning:?}");
        drop(strangers);
    }
}

#[test]
fn strangers_learn_that_a_daemon_is_there_and_no_more() {
    let machine = Machine::start();
    let mut connection = TcpStream::connect(machine.listen).unwrap();
    connection
        .write_all(b"GET /_neargate/v1/health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut connection, &mut answer).unwrap();
    assert!(answer.ends_with(r#"{"neargate":"up"}"#), "{answer}");
    let path = "/_neargate/v1/health";
    let own = machine.post(&machine.key(), "neargate", path, &[], b"{}");
    let own = own.unwrap().json();
    assert_eq!(own["pid"], machine.daemon_id());
    assert_eq!(own["state"], machine.state.display().to_string());
    let stranger = Key {
        secret: "wrong".into(),
        ..machine.key()
    };
    let refused = machine.post(&stranger, "neargate", path, &[], b"{}");
    assert_eq!(refused.unwrap().status, 403);
}

/// What is refused before all of it was sent ends its connection, which a client that keeps it has to know.
#[test]
fn an_answer_that_ends_its_connection_says_so() {
    let machine = Machine::start();
    let mut connection = TcpStream::connect(machine.listen).unwrap();
    let timeout = Some(std::time::Duration::from_secs(10));
    connection.set_read_timeout(timeout).unwrap();
    let mut refused = |line: &str, rest: &str| {
        let request = format!(
            "{line} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-amz-date: 20261130T000000Z\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\nauthorization: AWS4-HMAC-SHA256 Credential=AKIANOBODY/20261130/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=00\r\n{rest}"
        );
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        while !answer.ends_with("</Error>") {
            let mut piece = [0; 4096];
            let length = std::io::Read::read(&mut connection, &mut piece).unwrap();
            assert!(length > 0, "the connection ended: {answer}");
            answer.push_str(std::str::from_utf8(&piece[..length]).unwrap());
        }
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        answer.to_ascii_lowercase().contains("connection: close")
    };
    assert!(!refused("GET /bucket/k", "\r\n"));
    assert!(!refused("PUT /bucket/k", "content-length: 0\r\n\r\n"));
    assert!(refused(
        "PUT /bucket/k",
        "content-length: 1000000\r\n\r\nmore follows"
    ));
}
