//! ECS Exec: a shell in a task's container, over the protocol of Session Manager's plugin. What the plugin
//! does is done here by hand, from the protocol's public facts; where the plugin is installed, it is asked too.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{Aws, Machine, Pushed, eventually};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use crate::ground::{Ground, text};

const PATIENCE: Duration = Duration::from_secs(30);

/// An image with a shell of this machine's.
fn shell_image(machine: &Machine) -> String {
    let mut archive = tar::Builder::new(Vec::new());
    archive.sparse(false);
    archive.mode(tar::HeaderMode::Deterministic);
    let programs = [
        ("/bin/sh", "bin/sh"),
        ("/bin/sleep", "bin/sleep"),
        ("/bin/stty", "bin/stty"),
    ];
    for (file, name) in programs {
        archive
            .append_path_with_name(std::fs::canonicalize(file).unwrap(), name)
            .unwrap();
    }
    for library in [
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/ld-linux-x86-64.so.2",
    ] {
        let file = std::fs::canonicalize(library).unwrap();
        archive
            .append_path_with_name(file, library.trim_start_matches('/'))
            .unwrap();
    }
    machine.ask(
        "ecr",
        "CreateRepository",
        json!({ "repositoryName": "shell" }),
    );
    let config = json!({ "Entrypoint": ["/bin/sleep", "86400"], "User": "65534:65534" });
    Pushed::layer(archive.into_inner().unwrap(), config).push(machine, "shell", "latest")
}

/// Starts a task whose containers may be entered, or may not.
fn run(ground: &Ground<'_>, definition: &str, group: &str, with_exec: bool) -> String {
    let answer = ground.machine.ask(
        "ecs",
        "RunTask",
        json!({
            "cluster": "test", "taskDefinition": definition, "launchType": "FARGATE",
            "networkConfiguration": ground.placed(&ground.subnets[0], group),
            "enableExecuteCommand": with_exec,
            "overrides": { "taskRoleArn": ground.execution_role() },
        }),
    );
    text(&answer["tasks"][0]["taskArn"])
}

fn execute(machine: &Machine, task: &str, command: &str) -> Value {
    let input = json!({ "cluster": "test", "task": task, "interactive": true, "command": command });
    machine.ask("ecs", "ExecuteCommand", input)["session"].clone()
}

/// What a client of the plugin's protocol does.
struct Plugin {
    socket: WebSocket<TcpStream>,
    sequence: i64,
    /// What the command has printed.
    output: String,
}

enum Heard {
    Stream(u32, Vec<u8>),
    Acknowledge(Value),
    Closed(Value),
    /// The connection is over.
    End,
}

impl Plugin {
    fn connect(session: &Value) -> Self {
        let url = text(&session["streamUrl"]);
        let (host, path) = url.strip_prefix("ws://").unwrap().split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let key = STANDARD.encode([7; 16]);
        write!(
            stream,
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let mut plugin = Self {
            socket: WebSocket::from_raw_socket(stream, Role::Client, None),
            sequence: 0,
            output: String::new(),
        };
        let open = json!({
            "MessageSchemaVersion": "1.0", "RequestId": "1", "ClientId": "2", "ClientVersion": "1.2.707.0",
            "TokenValue": session["tokenValue"],
        });
        plugin.socket.send(Message::text(open.to_string())).unwrap();
        plugin
    }

    /// Connects, and answers the agent's handshake.
    fn open(session: &Value) -> Self {
        let mut plugin = Self::connect(session);
        let Heard::Stream(5, request) = plugin.hear() else {
            panic!("no handshake")
        };
        let request: Value = serde_json::from_slice(&request).unwrap();
        let action = &request["RequestedClientActions"][0];
        assert_eq!(
            action["ActionParameters"]["SessionType"],
            "InteractiveCommands"
        );
        let response = json!({
            "ClientVersion": "1.2.707.0",
            "ProcessedClientActions": [{ "ActionType": "SessionType", "ActionStatus": 1, "Error": "" }],
            "Errors": [],
        });
        plugin.send(6, response.to_string().as_bytes());
        loop {
            match plugin.hear() {
                Heard::Stream(7, _) => return plugin,
                Heard::Acknowledge(it) => {
                    assert_eq!(it["AcknowledgedMessageType"], "input_stream_data");
                    assert_eq!(it["AcknowledgedMessageSequenceNumber"], 0);
                }
                _ => panic!("no end of the handshake"),
            }
        }
    }

    fn send(&mut self, payload_type: u32, payload: &[u8]) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.put("input_stream_data", sequence, payload_type, payload);
    }

    fn put(&mut self, kind: &str, sequence: i64, payload_type: u32, payload: &[u8]) {
        let mut out = Vec::new();
        out.extend(116_u32.to_be_bytes());
        out.extend(format!("{kind:<32}").as_bytes());
        out.extend(1_u32.to_be_bytes());
        out.extend(1_700_000_000_000_u64.to_be_bytes());
        out.extend(sequence.to_be_bytes());
        out.extend(u64::from(sequence == 0).to_be_bytes());
        out.extend([0x11; 16]);
        out.extend(digest(&SHA256, payload).as_ref());
        out.extend(payload_type.to_be_bytes());
        out.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        out.extend(payload);
        self.socket.send(Message::binary(out)).unwrap();
    }

    fn kind(&mut self) -> Option<(String, Vec<u8>)> {
        match self.socket.read() {
            Ok(Message::Binary(bytes)) => {
                let kind = String::from_utf8(bytes[4..36].to_vec()).unwrap();
                Some((kind.trim().to_owned(), bytes.to_vec()))
            }
            Ok(Message::Close(_)) | Err(_) => None,
            Ok(other) => panic!("{other:?}"),
        }
    }

    fn hear(&mut self) -> Heard {
        let Some((kind, bytes)) = self.kind() else {
            return Heard::End;
        };
        let payload = bytes[120..].to_vec();
        assert_eq!(digest(&SHA256, &payload).as_ref(), &bytes[80..112]);
        match kind.as_str() {
            "output_stream_data" => {
                let sequence = i64::from_be_bytes(bytes[48..56].try_into().unwrap());
                let acknowledge = json!({
                    "AcknowledgedMessageType": kind, "AcknowledgedMessageId": "1",
                    "AcknowledgedMessageSequenceNumber": sequence, "IsSequentialMessage": true,
                });
                self.put("acknowledge", 0, 0, acknowledge.to_string().as_bytes());
                let payload_type = u32::from_be_bytes(bytes[112..116].try_into().unwrap());
                Heard::Stream(payload_type, payload)
            }
            "acknowledge" => Heard::Acknowledge(serde_json::from_slice(&payload).unwrap()),
            "channel_closed" => Heard::Closed(serde_json::from_slice(&payload).unwrap()),
            other => panic!("{other}"),
        }
    }

    fn type_in(&mut self, text: &str) {
        self.send(1, text.as_bytes());
    }

    /// Waits until the command has printed a text after all that it had printed before.
    #[track_caller]
    fn until(&mut self, wanted: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.output.contains(wanted) {
            assert!(Instant::now() < until, "no {wanted:?} in {:?}", self.output);
            match self.hear() {
                Heard::Stream(1, bytes) => self.output += &String::from_utf8_lossy(&bytes),
                Heard::Acknowledge(_) => {}
                _ => panic!("no {wanted:?} in {:?}", self.output),
            }
        }
        self.output.clear();
    }

    fn closed(&mut self) -> Value {
        loop {
            match self.hear() {
                Heard::Closed(it) => return it,
                Heard::End => panic!("the session ended without a word"),
                _ => {}
            }
        }
    }
}

#[test]
fn a_shell_runs_in_a_task_s_container() {
    let machine = Machine::start();
    let ground = Ground::new(&machine);
    let image = shell_image(&machine);
    let group = ground.group("exec");
    let definition = ground.definition("shell", &image, &[], json!({}));
    let closed = run(&ground, &definition, &group, false);
    let task = run(&ground, &definition, &group, true);
    let shown = ground.task_when(&task, "RUNNING");
    let agent = &shown["containers"][0]["managedAgents"][0];
    assert_eq!(
        (&agent["name"], &agent["lastStatus"]),
        (&json!("ExecuteCommandAgent"), &json!("RUNNING"))
    );

    ground.task_when(&closed, "RUNNING");
    let input =
        json!({ "cluster": "test", "task": closed, "interactive": true, "command": "/bin/sh" });
    let error = machine.call("ecs", "ExecuteCommand", input).unwrap_err();
    assert!(
        error
            .message
            .contains("was not enabled when the task was run"),
        "{error:?}"
    );

    // The size of its terminal, its keys, its end.
    let session = execute(&machine, &task, "/bin/sh");
    let mut shell = Plugin::open(&session);
    shell.send(3, br#"{"cols":101,"rows":33}"#);
    shell.type_in("stty size\n");
    shell.until("33 101");
    shell.type_in("sleep 4243\n");
    eventually("it sleeps", || match sleeping("4243") {
        1 => Ok(()),
        count => Err(format!("{count} of them")),
    });
    shell.type_in("\x03");
    shell.type_in("echo back-$((1+1)) as $USER\n");
    shell.until("back-2 as");
    assert_eq!(sleeping("4243"), 0);
    shell.type_in("exit 3\n");
    assert_eq!(shell.closed()["SessionId"], session["sessionId"]);

    // What it printed is in the container's log group, in a stream of the session's.
    eventually("the output is kept", || {
        let input = json!({ "logGroupName": "/test", "logStreamNamePrefix": session["sessionId"] });
        let found = machine.ask("logs", "FilterLogEvents", input)["events"].to_string();
        match found.contains("33 101") {
            true => Ok(()),
            false => Err(found),
        }
    });

    // A token is good once, and another's is none.
    assert!(matches!(Plugin::connect(&session).hear(), Heard::End));
    let mut forged = execute(&machine, &task, "/bin/sh");
    let token = std::mem::replace(&mut forged["tokenValue"], json!("AAAA"));
    assert!(matches!(Plugin::connect(&forged).hear(), Heard::End));
    forged["tokenValue"] = token;
    let mut good = Plugin::open(&forged);
    good.type_in("echo $((20+3))\n");
    good.until("23");
    // What is no message of the protocol's ends it.
    good.socket.send(Message::binary(vec![0; 200])).unwrap();
    while !matches!(good.hear(), Heard::End) {}

    // Who goes takes what runs along.
    let mut left = Plugin::open(&execute(&machine, &task, "/bin/sleep 4244"));
    eventually("it sleeps", || match sleeping("4244") {
        1 => Ok(()),
        count => Err(format!("{count} of them")),
    });
    left.send(10, &2_u32.to_be_bytes());
    left.closed();
    eventually("it is ended", || match sleeping("4244") {
        0 => Ok(()),
        count => Err(format!("{count} of them")),
    });
    let left = Plugin::open(&execute(&machine, &task, "/bin/sleep 4245"));
    eventually("it sleeps", || match sleeping("4245") {
        1 => Ok(()),
        count => Err(format!("{count} of them")),
    });
    drop(left);
    eventually("it is ended", || match sleeping("4245") {
        0 => Ok(()),
        count => Err(format!("{count} of them")),
    });

    // What cannot be run says so.
    let mut absent = Plugin::connect(&execute(&machine, &task, "/bin/absent"));
    assert!(matches!(absent.hear(), Heard::Stream(5, _)));
    absent.send(
        6,
        br#"{"ClientVersion":"1","ProcessedClientActions":[],"Errors":[]}"#,
    );
    let said = text(&absent.closed()["Output"]);
    assert!(said.starts_with("Unable to start command: "), "{said}");

    with_the_stock_plugin(&machine, &task);
    by_the_owner(&machine, &task, &closed);
}

/// `neargate exec` asks for nothing of that, and has pipes where there is no terminal.
fn by_the_owner(machine: &Machine, task: &str, closed: &str) {
    let script = "echo out; echo err >&2; exit 7";
    for name in [task, closed.rsplit('/').next().unwrap()] {
        let ran = machine.run(&["exec", name, "--", "/bin/sh", "-c", script]);
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (7, "out\n", "err\n")
        );
    }
    let mut piped = Command::new("sh");
    piped.arg("-c").arg(r#"printf 'one\ntwo\n' | "$0" "$@""#);
    piped
        .arg(e2e::neargate())
        .args(["exec", task])
        .args(machine.arguments());
    piped.args([
        "--",
        "/bin/sh",
        "-c",
        "while read it; do echo got $it; done; sleep 0; echo end",
    ]);
    let output = piped.output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "got one\ngot two\nend\n",
        "{output:?}"
    );
    let ran = machine.run(&["exec", task, "--", "/bin/absent"]);
    assert!(
        ran.code == 1 && ran.stderr.contains("/bin/absent"),
        "{ran:?}"
    );
    let ran = machine.run(&["exec", task, "--container", "other", "--", "/bin/sh"]);
    assert!(
        ran.code == 1 && ran.stderr.contains("--container: main"),
        "{ran:?}"
    );
}

/// Processes of this machine that sleep for so long: no other test's do.
fn sleeping(seconds: &str) -> usize {
    let folders = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = folders.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    let wanted = [&b"sleep\0"[..], seconds.as_bytes(), b"\0"].concat();
    lines.filter(|it| it.ends_with(&wanted)).count()
}

fn with_the_stock_plugin(machine: &Machine, task: &str) {
    let paths = std::env::var("PATH").unwrap_or_default();
    let is_there = paths
        .split(':')
        .any(|it| Path::new(it).join("session-manager-plugin").exists());
    if !is_there {
        eprintln!(
            "SKIPPED: no session-manager-plugin on the PATH: AWS's own client of ECS Exec was not asked"
        );
        return;
    }
    let Some(aws) = Aws::of(machine) else { return };
    let printed = aws.run(&[
        "ecs",
        "execute-command",
        "--cluster",
        "test",
        "--task",
        task,
        "--interactive",
        "--command",
        "/bin/sh -c 'echo $((40+2))'",
    ]);
    assert!(printed.stdout.contains("42"), "{printed:?}");
}
