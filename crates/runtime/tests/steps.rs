//! RUN steps of builds.

mod common;

use std::time::Duration;

use common::Machine;
use engine::*;

fn step(machine: &Machine, commands: &str) -> RunStep {
    let upper = machine.path("upper");
    std::fs::create_dir_all(&upper).unwrap();
    let words = std::iter::once("/helper").chain(commands.split_whitespace());
    RunStep {
        directories: vec![common::layer()],
        upper,
        argv: words.map(str::to_owned).collect(),
        env: vec!["COLOUR=blue".to_owned()],
        working_dir: "/work".to_owned(),
        user: String::new(),
        mounts: Vec::new(),
        stdin: None,
        network: StepNetwork::Host,
        hosts: Vec::new(),
        shm_bytes: None,
        within: None,
    }
}

async fn run(machine: &Machine, step: RunStep) -> (Result<i32>, Vec<String>) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1000);
    let code = machine.runtime().run(step, sender).await;
    let mut lines = Vec::new();
    while let Some(line) = receiver.recv().await {
        lines.push(line);
    }
    (code, lines)
}

/// Everything below a directory, by relative path.
fn tree(directory: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut to_see = vec![directory.to_owned()];
    while let Some(next) = to_see.pop() {
        for entry in std::fs::read_dir(&next).unwrap().flatten() {
            let path = entry.path();
            found.push(path.strip_prefix(directory).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                to_see.push(path);
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_step_leaves_its_changes_and_nothing_else() {
    let machine = Machine::new().await;
    let commands = "say hello , complain oops , env COLOUR , cwd , write made text , delete /plain";
    let (code, mut lines) = run(&machine, step(&machine, commands)).await;
    assert_eq!(code.unwrap(), 0, "{lines:?}");
    lines.sort();
    assert_eq!(
        lines,
        ["COLOUR=blue", "cwd=/work", "hello", "oops", "wrote made"]
    );
    let upper = machine.path("upper");
    assert_eq!(tree(&upper), ["plain", "work", "work/made"]);
    use std::os::unix::fs::FileTypeExt;
    let whiteout = std::fs::symlink_metadata(upper.join("plain")).unwrap();
    assert!(
        whiteout.file_type().is_char_device(),
        "a deleted file is a whiteout"
    );
    assert!(!machine.path("upper.work").exists());
    machine.check_clean();
    assert_eq!(
        std::fs::read_dir(machine.path("run/tasks"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn a_step_s_exit_code_and_failure_are_told() {
    let machine = Machine::new().await;
    let (code, _) = run(&machine, step(&machine, "exit 12")).await;
    assert_eq!(code.unwrap(), 12);
    let mut missing = step(&machine, "");
    missing.argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), "true".to_owned()];
    let (code, _) = run(&machine, missing).await;
    let error = code.unwrap_err();
    assert_eq!(
        error.message,
        "exec: \"/bin/sh\": no such file or directory"
    );
    machine.check_clean();
}

#[tokio::test]
async fn a_step_reads_its_input_and_its_mounts() {
    let machine = Machine::new().await;
    let source = machine.path("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "given\n").unwrap();
    let mut step = step(&machine, "cat-stdin , cat /from/file , write /from/other x");
    step.stdin = Some("line one\nline two\n".to_owned());
    step.mounts = vec![StepMount {
        target: "/from".into(),
        source: StepSource::Path(source),
        read_only: true,
    }];
    let (code, lines) = run(&machine, step).await;
    assert_eq!(code.unwrap(), 0);
    assert_eq!(lines[..3], ["line one", "line two", "given"]);
    assert!(lines[3].contains("Read-only file system"), "{lines:?}");
    assert_eq!(tree(&machine.path("upper")), ["work"]);
    machine.check_clean();
}

#[tokio::test]
async fn a_step_s_memory_is_bounded_and_leaves_nothing() {
    let machine = Machine::new().await;
    let mut step = step(
        &machine,
        "fill /memory/all 3 , fill /large/some 3 , write /sealed/x x",
    );
    let memory = |target: &str, bytes_max, read_only| StepMount {
        target: target.into(),
        source: StepSource::Memory { bytes_max },
        read_only,
    };
    step.mounts = vec![
        memory("/memory", Some(1 << 20), false),
        memory("/large", Some(8 << 20), false),
        memory("/sealed", None, true),
    ];
    let (code, lines) = run(&machine, step).await;
    assert_eq!(code.unwrap(), 0);
    assert!(lines[0].contains("No space left on device"), "{lines:?}");
    assert_eq!(lines[1], "filled /large/some with 3 MiB");
    assert!(lines[2].contains("Read-only file system"), "{lines:?}");
    assert_eq!(tree(&machine.path("upper")), ["work"]);
    machine.check_clean();
}

#[tokio::test]
async fn a_step_without_a_network_has_its_own_loopback_alone() {
    let machine = Machine::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connect = format!("connect {address} , cat /proc/net/dev , cat /proc/net/route");
    let mut apart = step(&machine, &connect);
    apart.network = StepNetwork::None;
    let (code, lines) = run(&machine, apart).await;
    assert_eq!(code.unwrap(), 0);
    // Refused by a loopback that is up, and no way to anybody's.
    assert!(lines[0].contains("onnection refused"), "{lines:?}");
    let devices: Vec<_> = lines.iter().filter(|line| line.contains(':')).collect();
    let of_devices = devices.iter().filter(|line| !line.starts_with("connect"));
    assert!(
        of_devices
            .clone()
            .all(|line| line.trim().starts_with("lo:")),
        "{lines:?}"
    );
    assert_eq!(of_devices.count(), 1);
    let (code, lines) = run(&machine, step(&machine, &format!("connect {address}"))).await;
    assert_eq!((code.unwrap(), lines[0].as_str()), (0, "connected"));
    machine.check_clean();
}

#[tokio::test]
async fn a_dropped_step_is_killed() {
    let machine = Machine::new().await;
    let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
    let running = machine
        .runtime()
        .run(step(&machine, "say up , sleep 60000"), sender);
    tokio::select! {
        _ = running => panic!("it sleeps for a minute"),
        line = receiver.recv() => assert_eq!(line.as_deref(), Some("up")),
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    machine.check_clean();
    assert_eq!(
        std::fs::read_dir(machine.path("run/tasks"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn a_step_of_a_daemon_that_is_gone_is_abandoned() {
    let mut machine = Machine::new().await;
    let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
    let mut running = Box::pin(
        machine
            .runtime()
            .run(step(&machine, "say up , sleep 60000"), sender),
    );
    tokio::select! {
        _ = &mut running => panic!("it sleeps for a minute"),
        line = receiver.recv() => assert_eq!(line.as_deref(), Some("up")),
    }
    // As if the daemon had been killed: nothing of it is dropped.
    std::mem::forget(running);
    std::mem::forget(machine.runtime.take());
    machine.begin().await;
    machine.check_clean();
    assert!(machine.runtime().list().await.unwrap().is_empty());
}

/// A step that would fill the disk that it shares with everything else.
#[tokio::test]
async fn a_step_ends_before_the_machine_s_disk_is_full() {
    let machine = Machine::new().await;
    let small = machine.path("small");
    std::fs::create_dir(&small).unwrap();
    let (kind, flags) = (Some("tmpfs"), nix::mount::MsFlags::empty());
    nix::mount::mount(kind, &small, kind, flags, Some("size=256m")).unwrap();
    let mut wanted = step(&machine, "fill /file 200 , trickle /more 100 20 , say full");
    wanted.upper = small.join("upper");
    std::fs::create_dir(&wanted.upper).unwrap();
    let (code, lines) = run(&machine, wanted).await;
    let room = room_in(&small).unwrap();
    // Before anything is asserted: a failed test must not leave it.
    nix::mount::umount2(&small, nix::mount::MntFlags::MNT_DETACH).unwrap();
    let said = code.unwrap_err().message;
    assert!(said.starts_with("No space left on device"), "{said}");
    assert!(said.contains("none for a build"), "{said}");
    assert!(!lines.iter().any(|line| line == "full"), "{lines:?}");
    assert!(room.free_bytes > 0, "{room:?}");
    machine.check_clean();
}
