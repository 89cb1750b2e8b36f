//! Being attached to a container's input and output.

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::Machine;
use engine::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A container that does not start before somebody is attached.
fn waiting(machine: &Machine, commands: &str) -> ContainerSpec {
    let mut container = machine.container("c", commands);
    container.wait_for_attach_ms = Some(60_000);
    container
}

async fn attach(machine: &Machine) -> Attached {
    let attached = machine.runtime().attach("t", "c", AttachInput::Join).await;
    attached.unwrap()
}

async fn next(attached: &mut Attached) -> Option<(OutputStream, Bytes)> {
    let next = tokio::time::timeout(PATIENCE, attached.output.recv()).await;
    next.expect("something comes, or the end")
}

/// All output to the end: standard output and error.
async fn rest(attached: &mut Attached) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some((stream, bytes)) = next(attached).await {
        match stream {
            OutputStream::Stdout => out.extend_from_slice(&bytes),
            OutputStream::Stderr => err.extend_from_slice(&bytes),
        }
    }
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(err))
}

/// Reads until this was said.
async fn until(attached: &mut Attached, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let (_, bytes) = next(attached)
            .await
            .unwrap_or_else(|| panic!("it ended after {text:?}"));
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

#[tokio::test]
async fn output_is_seen_from_the_first_byte_by_all_who_are_attached() {
    let machine = Machine::new().await;
    let container = waiting(&machine, "say one , complain two , mutter three");
    machine.start("t", vec![container]).await;
    let mut first = attach(&machine).await;
    assert!(first.input.is_none(), "it has no input");
    let (out, err) = rest(&mut first).await;
    assert_eq!((out.as_str(), err.as_str()), ("one\nthree", "two\n"));
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert_eq!(status.containers[0].exit_code, Some(0));
    let mut log = machine.log("c");
    log.sort();
    assert_eq!(log, ["one", "three", "two"], "the log has it as well");
    let gone = machine.runtime().attach("t", "c", AttachInput::Join).await;
    assert_eq!(gone.unwrap_err().fault, Fault::NotFound);
    machine.check_clean();
}

#[tokio::test]
async fn a_container_waits_for_somebody_to_attach_but_not_for_ever() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "say up");
    container.wait_for_attach_ms = Some(300);
    let asked = Instant::now();
    machine.start("t", vec![container]).await;
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert!(asked.elapsed() >= Duration::from_millis(300));
    assert_eq!(status.containers[0].exit_code, Some(0));
    assert_eq!(machine.log("c"), ["up"]);

    // And one that is waiting can be stopped; whoever asks for another container is told.
    let mut container = waiting(&machine, "say never");
    container.name = "d".to_owned();
    machine.start("u", vec![container]).await;
    let wrong = machine.runtime().attach("u", "x", AttachInput::Join).await;
    assert_eq!(wrong.unwrap_err().fault, Fault::NotFound);
    machine.end("u").await;
    machine.check_clean();
}

#[tokio::test]
async fn several_write_and_all_read() {
    let machine = Machine::new().await;
    let mut container = waiting(&machine, "echo");
    container.stdin = true;
    container.stdin_once = true;
    machine.start("t", vec![container]).await;
    let mut first = attach(&machine).await;
    let mut second = attach(&machine).await;
    let silent = machine.runtime().attach("t", "c", AttachInput::Leave).await;
    let mut silent = silent.unwrap();
    assert!(silent.input.is_none());
    let write = async |attached: &Attached, text: &'static str| {
        let input = attached.input.as_ref().expect("it has an input");
        input
            .send(Bytes::from_static(text.as_bytes()))
            .await
            .unwrap();
    };
    write(&first, "a\n").await;
    until(&mut second, "got a\n").await;
    write(&second, "b\n").await;
    until(&mut first, "got a\ngot b\n").await;
    // One who only looks goes, and nothing changes.
    until(&mut silent, "got b\n").await;
    drop(silent);
    write(&second, "c\n").await;
    until(&mut first, "got c\n").await;
    first.input = None;
    let (out, _) = rest(&mut first).await;
    assert_eq!(out, "input ended\n");
    machine.wait_state("t", TaskState::Stopped).await;
    machine.check_clean();
}

#[tokio::test]
async fn an_input_that_is_not_for_once_outlives_who_writes_to_it() {
    let mut machine = Machine::new().await;
    let mut container = waiting(&machine, "echo");
    container.stdin = true;
    machine.start("t", vec![container]).await;
    for (word, answer) in [("a\n", "got a\n"), ("b\n", "got b\n"), ("c\n", "got c\n")] {
        let mut attached = attach(&machine).await;
        let input = attached.input.take().unwrap();
        input
            .send(Bytes::from_static(word.as_bytes()))
            .await
            .unwrap();
        until(&mut attached, answer).await;
        // Also over a restart of the daemon.
        machine.begin().await;
    }
    machine.end("t").await;
    machine.check_clean();
}

#[tokio::test]
async fn much_output_arrives_whole_and_in_order() {
    let machine = Machine::new().await;
    let mut container = waiting(&machine, "flood 20000");
    container.log_file = None;
    machine.start("t", vec![container]).await;
    let mut attached = attach(&machine).await;
    // Slower than the container, for a while.
    let mut text = Vec::new();
    let mut pieces = 0;
    while let Some((_, bytes)) = next(&mut attached).await {
        text.extend_from_slice(&bytes);
        pieces += 1;
        if pieces < 200 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    assert_eq!(text.len(), 20_000 * 1024);
    let lines = text.split(|byte| *byte == b'\n');
    for (number, line) in lines.take(20_000).enumerate() {
        let line: usize = std::str::from_utf8(line).unwrap().parse().unwrap();
        assert_eq!(line, number);
    }
    machine.wait_state("t", TaskState::Stopped).await;
    machine.check_clean();
}

#[tokio::test]
async fn one_who_does_not_read_is_cut_off_and_holds_nobody_up() {
    let machine = Machine::new().await;
    let mut container = waiting(&machine, "flood 8000 , say done , sleep 60000");
    container.stdin = true;
    machine.start("t", vec![container]).await;
    let mut deaf = attach(&machine).await;
    let began = Instant::now();
    machine.wait_log("c", "done").await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    // What it was sent before is there, and then the end.
    let mut bytes = 0;
    while let Some((_, more)) = next(&mut deaf).await {
        bytes += more.len();
    }
    assert!(bytes > 0 && bytes < 8_000 * 1024, "{bytes}");

    // Nor does one that writes what nobody reads; the shim stays at rest.
    let attached = attach(&machine).await;
    let input = attached.input.as_ref().unwrap();
    let filled = async {
        loop {
            input.send(Bytes::from(vec![b'x'; 65_536])).await.unwrap();
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_millis(500), filled)
            .await
            .is_err()
    );
    let ticks = || {
        let identity = std::fs::read(machine.path("run/tasks/t/shim.json")).unwrap();
        let identity: serde_json::Value = serde_json::from_slice(&identity).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", identity["pid"])).unwrap();
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    drop(attached);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        ticks() - before <= 5,
        "the shim is busy with one who has left"
    );
    machine.end("t").await;
    machine.check_clean();
}

#[tokio::test]
async fn a_terminal_is_a_terminal() {
    let machine = Machine::new().await;
    for (name, with_init) in [("plain", false), ("init", true)] {
        let mut container = waiting(&machine, "terminal , reopen , env TERM , echo");
        container.terminal = true;
        container.stdin = true;
        container.user = "app".to_owned();
        container.init_process = with_init;
        container.log_tags = true;
        container.log_file = Some(machine.path(name));
        machine.start("t", vec![container]).await;
        machine
            .runtime()
            .resize("t", "c", None, 33, 101)
            .await
            .unwrap();
        let mut attached = attach(&machine).await;
        let text = until(&mut attached, "TERM=xterm").await;
        for part in [
            "0 is a terminal: true\r\n",
            "2 is a terminal: true\r\n",
            "name=/dev/pts/0 size=(33, 101)\r\n",
            "controlling=true\r\n",
            "console=true\r\n",
            "in front=true\r\n",
            "reopened\r\n",
        ] {
            assert!(text.contains(part), "no {part:?} in {text:?}");
        }
        let input = attached.input.clone().unwrap();
        input.send(Bytes::from_static(b"hello\n")).await.unwrap();
        until(&mut attached, "got hello\r\n").await;
        // Control-D.
        input.send(Bytes::from_static(b"\x04")).await.unwrap();
        let (out, err) = rest(&mut attached).await;
        assert_eq!((out.as_str(), err.as_str()), ("input ended\r\n", ""));
        machine.wait_state("t", TaskState::Stopped).await;
        let log = machine.log(name);
        assert!(log.contains(&"ogot hello\r".to_owned()), "{log:?}");
        machine.runtime().remove("t").await.unwrap();
    }
    machine.check_clean();
}

#[tokio::test]
async fn the_size_of_a_terminal_changes() {
    let machine = Machine::new().await;
    let mut container = waiting(&machine, "say up , wait-for-rows 40");
    container.terminal = true;
    machine
        .start("t", vec![container, machine.container("d", "sleep 60000")])
        .await;
    let mut attached = attach(&machine).await;
    assert!(attached.input.is_none());
    until(&mut attached, "up").await;
    machine
        .runtime()
        .resize("t", "c", None, 40, 132)
        .await
        .unwrap();
    until(&mut attached, "size=(40, 132)").await;
    machine.wait_state("t", TaskState::Stopped).await;
    let gone = machine.runtime().resize("t", "c", None, 1, 1).await;
    assert_eq!(gone.unwrap_err().fault, Fault::NotFound);
    machine.check_clean();
}

#[tokio::test]
async fn signals_arrive() {
    let machine = Machine::new().await;
    let container = machine.container("c", "trap 10 7 , sleep 60000");
    machine.start("t", vec![container]).await;
    machine.wait_log("c", "trapped").await;
    let runtime = machine.runtime();
    let wrong = runtime.signal("t", "c", "SIGNOTHING").await.unwrap_err();
    assert_eq!(wrong.fault, Fault::Invalid);
    let wrong = runtime.signal("t", "x", "SIGTERM").await.unwrap_err();
    assert_eq!(wrong.fault, Fault::NotFound);
    runtime.signal("t", "c", "USR1").await.unwrap();
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert_eq!(status.containers[0].exit_code, Some(7));
    machine.check_clean();
}

#[tokio::test]
async fn lines_in_a_tagged_log_tell_where_they_came_from() {
    let machine = Machine::new().await;
    let mut container = machine.container(
        "c",
        "say out , complain err , long-line 300000 , mutter end",
    );
    container.log_tags = true;
    let (_, log) = machine.run(container).await;
    let mut seen: Vec<(OutputStream, bool, usize)> = Vec::new();
    for message in &log {
        let (stream, ends_line, text) = tagged_output(message).unwrap();
        seen.push((stream, ends_line, text.len()));
    }
    let err = seen.iter().position(|it| it.0 == OutputStream::Stderr);
    assert_eq!(seen.remove(err.unwrap()), (OutputStream::Stderr, true, 3));
    let out = OutputStream::Stdout;
    assert_eq!(
        seen,
        [
            (out, true, 3),
            (out, false, 262_144),
            (out, true, 300_000 - 262_144),
            (out, false, 3)
        ]
    );
}

#[tokio::test]
async fn a_shim_that_is_killed_ends_what_is_attached_to_it() {
    let machine = Machine::new().await;
    let mut container = waiting(&machine, "say up , echo");
    container.stdin = true;
    container.terminal = true;
    machine.start("t", vec![container]).await;
    let mut attached = attach(&machine).await;
    until(&mut attached, "up").await;
    let identity = std::fs::read(machine.path("run/tasks/t/shim.json")).unwrap();
    let identity: serde_json::Value = serde_json::from_slice(&identity).unwrap();
    let shim = nix::unistd::Pid::from_raw(identity["pid"].as_i64().unwrap() as i32);
    nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).unwrap();
    rest(&mut attached).await;
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert_eq!(status.reason, Some(StopReason::SupervisorLost));
    machine.check_clean();
}

#[tokio::test]
async fn what_a_stranger_says_to_a_shim_does_no_harm() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let machine = Machine::new().await;
    machine
        .start("t", vec![machine.container("c", "say up , sleep 60000")])
        .await;
    machine.wait_log("c", "up").await;
    let socket = machine.path("run/tasks/t/shim.sock");
    let request = r#"{"Attach":{"container":"c","input":"Join"}}"#;
    let texts = [
        "\n\n{}\n[]\nnot json\n".to_owned(),
        "x".repeat(2 * 1024 * 1024),
        format!("{request}\n{request}\n"),
        r#"{"Resize":{"container":"c","rows":70000,"columns":-1}}"#.to_owned() + "\n",
        r#"{"Signal":{"container":"c","signal":"SIGNONSENSE"}}"#.to_owned() + "\n",
    ];
    for text in &texts {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        stream
            .set_write_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let _ = stream.write_all(text.as_bytes());
        let mut answer = [0; 4096];
        let _ = stream.read(&mut answer);
    }
    // More than it takes at once, half of them attached.
    let crowd: Vec<UnixStream> = (0..300)
        .map(|number| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            if number % 2 == 0 {
                let _ = writeln!(stream, "{request}");
            }
            stream
        })
        .collect();
    drop(crowd);
    let attached = attach(&machine).await;
    drop(attached);
    machine.end("t").await;
    machine.check_clean();
}
