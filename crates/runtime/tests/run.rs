//! What a container is given and what it leaves.

mod common;

use common::{Machine, task};
use engine::*;
use nix::sys::resource::{Resource, getrlimit};

fn exit_code(status: &TaskStatus) -> Option<i32> {
    status.containers[0].exit_code
}

#[tokio::test]
async fn a_task_runs_and_stops() {
    let machine = Machine::new().await;
    let container = machine.container("web", "say hello , trap 15 7 , sleep 60000");
    machine.start("one", vec![container]).await;
    let status = machine.wait_state("one", TaskState::Running).await;
    assert!(status.containers[0].pid.is_some());
    assert_eq!(status.labels["colour"], "blue");
    machine.wait_log("web", "trapped").await;
    assert_eq!(machine.log("web"), ["hello", "trapped"]);
    machine.runtime().stop("one", "enough").await.unwrap();
    let status = machine.wait_state("one", TaskState::Stopped).await;
    assert_eq!(
        status.reason,
        Some(StopReason::Requested("enough".to_owned()))
    );
    assert_eq!(exit_code(&status), Some(7));
    machine.check_clean();
    machine.runtime().remove("one").await.unwrap();
    assert_eq!(machine.runtime().status("one").await.unwrap(), None);
    assert!(!machine.path("run/tasks/one").exists());
}

#[tokio::test]
async fn exit_codes_and_output_are_kept() {
    let machine = Machine::new().await;
    let container = machine.container("c", "say one , complain two , mutter end , exit 3");
    let (status, log) = machine.run(container).await;
    assert_eq!(exit_code(&status), Some(3));
    assert_eq!(
        status.reason,
        Some(StopReason::EssentialContainerExited {
            container: "c".to_owned()
        })
    );
    let mut sorted = log.clone();
    sorted.sort();
    assert_eq!(sorted, ["end", "one", "two"]);
    machine.check_clean();
}

#[tokio::test]
async fn long_lines_are_cut() {
    let machine = Machine::new().await;
    let (_, log) = machine
        .run(machine.container("c", "long-line 600000"))
        .await;
    let lengths: Vec<usize> = log.iter().map(String::len).collect();
    assert_eq!(lengths, [262_144, 262_144, 600_000 - 2 * 262_144]);
}

#[tokio::test]
async fn a_container_sees_what_it_was_given() {
    let machine = Machine::new().await;
    let commands = "cwd , env COLOUR , env PATH , env HOME , pid , status Uid , status Groups , \
                    cat /etc/hostname , cat /etc/resolv.conf , cat /etc/hosts";
    let mut container = machine.container("c", commands);
    container.env = vec!["COLOUR=blue".to_owned()];
    container.working_dir = "/srv/deep/app".to_owned();
    container.user = "app".to_owned();
    let (status, log) = machine.run(container).await;
    assert_eq!(exit_code(&status), Some(0), "{log:#?} {status:#?}");
    let has = |line: &str| {
        assert!(
            log.iter().any(|have| have == line),
            "no `{line}` in {log:#?}"
        )
    };
    has("cwd=/srv/deep/app");
    has("COLOUR=blue");
    has("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    has("HOME=/home/app");
    has("pid=1");
    has("Uid: 1000 1000 1000 1000");
    has("Groups: 44 1001");
    has("box");
    has("nameserver 10.0.0.2");
    has("10.0.0.9\tfriend");
}

#[tokio::test]
async fn changes_do_not_reach_the_image() {
    let machine = Machine::new().await;
    let (_, log) = machine
        .run(machine.container("c", "write /tmp/new text , cat /tmp/new"))
        .await;
    assert_eq!(log, ["wrote /tmp/new", "text"]);
    assert!(!common::layer().join("tmp/new").exists());
    machine.check_clean();
}

#[tokio::test]
async fn many_layers_are_one_root() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "cat /which , cat /layer-0 , cat /layer-119");
    for number in 0..120 {
        let layer = machine.path(&format!(
            "a-layer-with-a-very-long-name-{number},:with,signs"
        ));
        std::fs::create_dir(&layer).unwrap();
        std::fs::write(layer.join("which"), format!("{number}\n")).unwrap();
        std::fs::write(layer.join(format!("layer-{number}")), "here\n").unwrap();
        container.directories.push(layer);
    }
    let (_, log) = machine.run(container).await;
    assert_eq!(log, ["119", "here", "here"]);
    machine.check_clean();
}

#[tokio::test]
async fn a_read_only_root_is_read_only() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "write /file text , write /scratch/file text");
    container.read_only_root = true;
    container.tmpfs = vec!["/scratch".into()];
    let (_, log) = machine.run(container).await;
    assert_eq!(log[0], "write /file: Read-only file system (os error 30)");
    assert_eq!(log[1], "wrote /scratch/file");
}

#[tokio::test]
async fn volumes_are_shared_and_removed() {
    let machine = Machine::new().await;
    let host = machine.path("host");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("given"), "from the host\n").unwrap();
    let mut writer = machine.container("writer", "write /out/note text , cat /host/given");
    let mount = |volume: &str, path: &str, read_only| MountSpec {
        volume: volume.to_owned(),
        path: path.into(),
        read_only,
    };
    writer.essential = false;
    writer.mounts = vec![mount("shared", "/out", false), mount("host", "/host", true)];
    let mut reader = machine.container("reader", "cat /in/note , write /in/x y");
    reader.mounts = vec![mount("shared", "/in", true)];
    reader.depends_on = vec![("writer".to_owned(), DependsOn::Success)];
    let mut task = common::task("t", vec![reader, writer]);
    task.volumes = vec![
        VolumeSpec {
            name: "shared".to_owned(),
            host_path: None,
            of_outer: false,
        },
        VolumeSpec {
            name: "host".to_owned(),
            host_path: Some(host.clone()),
            of_outer: false,
        },
    ];
    machine.runtime().start(task).await.unwrap();
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert_eq!(
        machine.log("writer"),
        ["wrote /out/note", "from the host"],
        "{status:#?}"
    );
    assert!(machine.log("reader")[0].starts_with("textwrite /in/x: Read-only"));
    assert!(host.join("given").exists());
    machine.check_clean();
}

#[tokio::test]
async fn memory_is_limited_for_container_and_task() {
    let machine = Machine::new().await;
    let mut container = machine.container("own", "eat-memory 100");
    container.memory_mib = Some(32);
    let (status, log) = machine.run(container).await;
    let reason = "OutOfMemoryError: Container killed due to memory usage";
    assert_eq!(exit_code(&status), Some(137), "{log:?}");
    assert_eq!(status.containers[0].reason.as_deref(), Some(reason));

    let (status, log) = machine
        .run(machine.container("whole", "eat-memory 400"))
        .await;
    assert_eq!(exit_code(&status), Some(137), "{log:?}");
    assert_eq!(status.containers[0].reason.as_deref(), Some(reason));
    let (status, log) = machine
        .run(machine.container("fits", "eat-memory 20"))
        .await;
    assert_eq!(exit_code(&status), Some(0));
    assert_eq!(log, ["ate 20 MiB"]);
    machine.check_clean();
}

#[tokio::test]
async fn processes_are_limited() {
    let machine = Machine::new().await;
    let (_, log) = machine.run(machine.container("c", "fork 200")).await;
    assert_eq!(log, ["forked 99"]);
    machine.check_clean();
}

#[tokio::test]
async fn resource_limits_are_set_and_clamped() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "cat /proc/self/limits");
    container.ulimits = vec![("nofile".into(), 333, 444), ("nproc".into(), 55, 1 << 40)];
    let (_, log) = machine.run(container).await;
    let line = log
        .iter()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>()[3..5],
        ["333", "444"]
    );
}

/// Whatever the daemon and its supervisors may open themselves.
#[tokio::test]
async fn open_files_are_limited_as_docker_does_where_nobody_says_so() {
    let machine = Machine::new().await;
    let (_, log) = machine
        .run(machine.container("c", "cat /proc/self/limits"))
        .await;
    let line = log.iter().find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    let hard: u64 = words[4].parse().unwrap();
    // Less where this machine has less to give.
    let (_, own) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert_eq!(words[3], "1024");
    assert!(hard == 524_288 || hard == own.min(524_288), "{hard}");
}

#[tokio::test]
async fn usage_is_told_while_it_runs() {
    let machine = Machine::new().await;
    machine
        .start("t", vec![machine.container("c", "say up , sleep 60000")])
        .await;
    machine.wait_log("c", "up").await;
    let usage = machine.runtime().usage("t").await.unwrap().unwrap();
    assert!(usage.cpu_ns > 0 && usage.memory_bytes > 0, "{usage:?}");
    machine.end("t").await;
    assert_eq!(machine.runtime().usage("t").await.unwrap(), None);
    assert_eq!(machine.runtime().usage("other").await.unwrap(), None);
}

#[tokio::test]
async fn a_command_runs_in_a_running_container() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "write /tmp/note text , say up , sleep 60000");
    container.env = vec!["COLOUR=blue".to_owned()];
    container.working_dir = "/tmp".to_owned();
    machine.start("t", vec![container]).await;
    machine.wait_log("c", "up").await;
    machine.wait_state("t", TaskState::Running).await;
    let exec = async |container: &str, commands: &str| {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
        let argv = std::iter::once("/helper").chain(commands.split_whitespace());
        let argv = argv.map(str::to_owned).collect();
        let code = machine.runtime().exec("t", container, argv, sender).await;
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line);
        }
        (code, lines)
    };
    let commands = "cat /tmp/note , say , env COLOUR , cwd , status Seccomp: , try keyctl , exit 4";
    let (code, lines) = exec("c", commands).await;
    assert_eq!(code.unwrap(), 4, "{lines:?}");
    let denied = "keyctl: Operation not permitted (os error 1)";
    assert_eq!(
        lines,
        ["text", "COLOUR=blue", "cwd=/tmp", "Seccomp: 2", denied]
    );
    assert_eq!(
        exec("other", "pid").await.0.unwrap_err().fault,
        Fault::NotFound
    );
    machine.end("t").await;
    assert_eq!(exec("c", "pid").await.0.unwrap_err().fault, Fault::NotFound);
    machine.check_clean();
}

#[tokio::test]
async fn the_small_init_reaps_and_passes_signals_on() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "orphan , trap 15 9 , sleep 60000");
    container.init_process = true;
    machine.start("t", vec![container]).await;
    machine.wait_log("c", "trapped").await;
    assert_eq!(machine.log("c")[0], "zombies: 0");
    machine.runtime().stop("t", "enough").await.unwrap();
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert_eq!(exit_code(&status), Some(9));
    machine.check_clean();
}

#[tokio::test]
async fn an_interface_s_namespace_is_joined() {
    let mut machine = Machine::new().await;
    let netns = common::NetworkNamespace::new(&machine.path("netns"));
    machine.namespace = Some(machine.path("netns"));
    machine.begin().await;
    let mut task = common::task("t", vec![machine.container("c", "cat /proc/net/dev")]);
    task.interface = Some("eth-1".to_owned());
    machine.runtime().start(task).await.unwrap();
    machine.wait_state("t", TaskState::Stopped).await;
    let names: Vec<String> = machine.log("c")[2..]
        .iter()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect();
    assert_eq!(
        names,
        ["lo"],
        "a new namespace has a loopback and nothing else"
    );
    drop(netns);
    machine.check_clean();
}

#[tokio::test]
async fn an_unknown_interface_is_refused() {
    let machine = Machine::new().await;
    let mut task = common::task("t", vec![machine.container("c", "say x")]);
    task.interface = Some("eth-1".to_owned());
    let error = machine.runtime().start(task).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
    assert_eq!(machine.runtime().status("t").await.unwrap(), None);
    machine.check_clean();
}

/// The task's own, not its image's or the machine's.
#[tokio::test]
async fn a_task_that_fills_its_disk_is_told_and_the_machine_has_room() {
    let machine = Machine::new().await;
    let size = 256u64 << 20;
    let fill = "fill /file 512 , fill /volume/file 512 , delete /file , fill /volume/again 64";
    let mut container = machine.container("c", fill);
    container.mounts = vec![MountSpec {
        volume: "own".to_owned(),
        path: "/volume".into(),
        read_only: false,
    }];
    let mut spec = task("t", vec![container]);
    spec.memory_mib = None;
    spec.volumes = vec![VolumeSpec {
        name: "own".to_owned(),
        host_path: None,
        of_outer: false,
    }];
    spec.disk = Some(TaskDisk {
        bytes: size,
        asked_for: true,
    });
    let before = room_in(machine.directory.path()).unwrap();
    machine.runtime().start(spec).await.unwrap();
    machine.wait_state("t", TaskState::Stopped).await;
    let log = machine.log("c");
    let full = |line: &str| line.contains("No space left on device (os error 28)");
    assert!(
        log[0].starts_with("filled /file up to 2") && full(&log[0]),
        "{log:?}"
    );
    assert!(full(&log[1]), "its volume is on the same disk: {log:?}");
    assert_eq!(log[2], "filled /volume/again with 64 MiB", "{log:?}");
    let after = room_in(machine.directory.path()).unwrap();
    // Others write to the machine's disk meanwhile.
    assert!(
        before.free_bytes.saturating_sub(after.free_bytes) < size,
        "{before:?} {after:?}"
    );
    machine.runtime().remove("t").await.unwrap();
    machine.check_clean();
}

#[tokio::test]
async fn more_disk_than_the_machine_has_is_refused_and_less_is_given_unasked() {
    let machine = Machine::new().await;
    let wanted = |id: &str, asked_for| {
        let mut spec = task(id, vec![machine.container(id, "say ran")]);
        spec.disk = Some(TaskDisk {
            bytes: 7 << 40,
            asked_for,
        });
        spec
    };
    let refused = machine
        .runtime()
        .start(wanted("a", true))
        .await
        .unwrap_err();
    assert!(
        refused.message.starts_with("No space left on device"),
        "{refused}"
    );
    machine.runtime().start(wanted("b", false)).await.unwrap();
    machine.wait_state("b", TaskState::Stopped).await;
    assert_eq!(machine.log("b"), ["ran"]);
    machine.check_clean();
}

/// As a shim that was killed leaves it.
#[tokio::test]
async fn a_disk_goes_with_a_task_whose_shim_was_killed() {
    let machine = Machine::new().await;
    let mut spec = task("t", vec![machine.container("c", "say runs , sleep 60000")]);
    spec.disk = Some(TaskDisk {
        bytes: 1 << 30,
        asked_for: false,
    });
    machine.runtime().start(spec).await.unwrap();
    machine.wait_log("c", "runs").await;
    let identity = std::fs::read(machine.path("run/tasks/t/shim.json")).unwrap();
    let identity: serde_json::Value = serde_json::from_slice(&identity).unwrap();
    let shim = nix::unistd::Pid::from_raw(identity["pid"].as_i64().unwrap() as i32);
    nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).unwrap();
    machine.wait_state("t", TaskState::Stopped).await;
    machine.runtime().remove("t").await.unwrap();
    machine.check_clean();
}
