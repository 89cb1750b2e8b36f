//! What the Docker Engine API asks of containers besides: files of the host, changes that are kept,
//! hosts, roots, limits.

mod common;

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use common::Machine;
use engine::*;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

fn mount(volume: &str, path: &str, read_only: bool) -> MountSpec {
    MountSpec {
        volume: volume.to_owned(),
        path: path.into(),
        read_only,
    }
}

fn volume(name: &str, path: PathBuf) -> VolumeSpec {
    VolumeSpec {
        name: name.to_owned(),
        host_path: Some(path),
        of_outer: false,
    }
}

#[tokio::test]
async fn files_directories_and_sockets_of_the_host_are_mounted() {
    let machine = Machine::new().await;
    let file = machine.path("file");
    std::fs::write(&file, "old\n").unwrap();
    let socket = machine.path("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let commands = "cat /etc/given , append /etc/given new , write /fixed x , send /run/a.sock hi , \
                    write /made/here text";
    let mut container = machine.container("c", commands);
    container.mounts = vec![
        mount("file", "/etc/given", false),
        mount("file", "/fixed", true),
        mount("socket", "/run/a.sock", false),
        mount("missing", "/made", false),
    ];
    let mut task = common::task("t", vec![container]);
    task.volumes = vec![
        volume("file", file.clone()),
        volume("socket", socket),
        volume("missing", machine.path("not/there/yet")),
    ];
    machine.runtime().start(task).await.unwrap();
    let status = machine.wait_state("t", TaskState::Stopped).await;
    assert_eq!(status.containers[0].exit_code, Some(0), "{status:?}");
    assert_eq!(
        machine.log("c"),
        [
            "old",
            "write /fixed: Read-only file system (os error 30)",
            "wrote /made/here"
        ]
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "old\nnew");
    assert_eq!(heard.join().unwrap(), "hi");
    let made = machine.path("not/there/yet/here");
    assert_eq!(std::fs::read_to_string(made).unwrap(), "text");
    machine.check_clean();
}

#[tokio::test]
async fn kept_changes_are_there_the_next_time() {
    let machine = Machine::new().await;
    let upper = machine.path("kept");
    std::fs::create_dir(&upper).unwrap();
    let container = |name: &str, commands: &str| {
        let mut container = machine.container(name, commands);
        container.upper = Some(upper.clone());
        container
    };
    let commands = "write /tmp/new text , delete /plain , exists /plain";
    let (_, log) = machine.run(container("first", commands)).await;
    assert_eq!(log, ["wrote /tmp/new", "/plain exists: false"]);
    machine.runtime().remove("first").await.unwrap();
    let (_, log) = machine
        .run(container("second", "cat /tmp/new , exists /plain"))
        .await;
    assert_eq!(log, ["text/plain exists: false"]);
    assert!(!machine.path("kept.work").exists());
    let mut changed: Vec<_> = std::fs::read_dir(&upper)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    changed.sort();
    assert_eq!(
        changed,
        ["plain", "tmp"],
        "nothing that was made for mounting"
    );

    let mut lost = container("third", "say x");
    lost.upper = Some(machine.path("missing"));
    let task = common::task("t", vec![lost]);
    let error = machine.runtime().start(task).await.unwrap_err();
    assert_eq!(error.fault, Fault::Invalid);
    machine.check_clean();
}

#[tokio::test]
async fn kept_changes_outlive_a_shim_that_is_killed() {
    let machine = Machine::new().await;
    let upper = machine.path("kept");
    std::fs::create_dir(&upper).unwrap();
    let mut container = machine.container("c", "write /tmp/new text , sleep 60000");
    container.upper = Some(upper.clone());
    machine.start("t", vec![container]).await;
    machine.wait_log("c", "wrote /tmp/new").await;
    let identity = std::fs::read(machine.path("run/tasks/t/shim.json")).unwrap();
    let identity: serde_json::Value = serde_json::from_slice(&identity).unwrap();
    let shim = nix::unistd::Pid::from_raw(identity["pid"].as_i64().unwrap() as i32);
    nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).unwrap();
    machine.wait_state("t", TaskState::Stopped).await;
    machine.runtime().remove("t").await.unwrap();
    let mut container = machine.container("d", "cat /tmp/new");
    container.upper = Some(upper);
    let (_, log) = machine.run(container).await;
    assert_eq!(log, ["text"]);
    machine.check_clean();
}

/// The text of a file in a root.
fn read(root: &OwnedFd, path: &str) -> std::io::Result<String> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let mut text = String::new();
    std::fs::File::from(openat2(root.as_fd(), path, how)?).read_to_string(&mut text)?;
    Ok(text)
}

#[tokio::test]
async fn the_root_of_a_container_can_be_looked_into() {
    let machine = Machine::new().await;
    let upper = machine.path("kept");
    std::fs::create_dir(&upper).unwrap();
    let mut container = machine.container(
        "c",
        "write /tmp/new text , write /scratch/x y , sleep 60000",
    );
    container.upper = Some(upper.clone());
    container.tmpfs = vec!["/scratch".into()];
    machine.start("t", vec![container]).await;
    machine.wait_log("c", "wrote /scratch/x").await;
    machine.wait_state("t", TaskState::Running).await;
    let running = RootOf::Container {
        task: "t".to_owned(),
        container: "c".to_owned(),
    };
    let root = machine.runtime().root(running.clone()).await.unwrap();
    assert_eq!(read(&root, "/tmp/new").unwrap(), "text");
    assert_eq!(read(&root, "/scratch/x").unwrap(), "y");
    assert!(read(&root, "/etc/passwd").unwrap().starts_with("root:"));
    drop(root);
    machine.end("t").await;
    let error = machine.runtime().root(running).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);

    let stopped = |directories: Vec<PathBuf>| RootOf::Layers {
        directories,
        upper: upper.clone(),
        mounts: Vec::new(),
    };
    let here = std::env::current_dir().unwrap();
    let mut layers = vec![common::layer()];
    let root = machine
        .runtime()
        .root(stopped(layers.clone()))
        .await
        .unwrap();
    assert_eq!(read(&root, "/tmp/new").unwrap(), "text");
    assert!(read(&root, "/etc/passwd").unwrap().starts_with("root:"));
    let again = machine
        .runtime()
        .root(stopped(layers.clone()))
        .await
        .unwrap();
    assert_eq!(root.as_raw_fd(), again.as_raw_fd(), "one mount for both");
    std::fs::write(
        format!("/proc/self/fd/{}/tmp/more", root.as_raw_fd()),
        "more",
    )
    .unwrap();
    drop((root, again));
    machine.check_clean();

    // So many layers that they do not fit into one page of options.
    for number in 0..120 {
        let layer = machine.path(&format!("a-layer-with-a-very-long-name-{number}"));
        std::fs::create_dir(&layer).unwrap();
        layers.push(layer);
    }
    let root = machine.runtime().root(stopped(layers)).await.unwrap();
    assert_eq!(read(&root, "/tmp/more").unwrap(), "more");
    assert_eq!(std::env::current_dir().unwrap(), here);
    drop(root);
    machine.check_clean();
}

#[tokio::test]
async fn the_root_of_a_container_that_does_not_run_has_what_is_mounted_in_it() {
    let machine = Machine::new().await;
    let (upper, volume) = (machine.path("kept"), machine.path("volume"));
    for folder in [&upper, &volume] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::write(volume.join("a"), "of the volume").unwrap();
    // Links of the container's lead within it, whoever mounts.
    std::os::unix::fs::symlink("/../../../outside", upper.join("link")).unwrap();
    let mounted = |path: &str, source: PathBuf, read_only| RootMount {
        source,
        path: path.into(),
        read_only,
    };
    let of = |mounts: Vec<RootMount>| RootOf::Layers {
        directories: vec![common::layer()],
        upper: upper.clone(),
        mounts,
    };
    let mounts = vec![
        mounted("/data/v", volume.clone(), false),
        mounted("/link/v", volume.clone(), true),
        mounted("/data/file", volume.join("a"), false),
    ];
    let root = machine.runtime().root(of(mounts.clone())).await.unwrap();
    for path in ["/data/v/a", "/link/v/a", "/data/file", "/outside/v/a"] {
        assert_eq!(read(&root, path).unwrap(), "of the volume", "{path}");
    }
    let write = |path: &str| {
        std::fs::write(
            format!("/proc/self/fd/{}{path}", root.as_raw_fd()),
            "written",
        )
    };
    write("/data/v/b").unwrap();
    let text = std::fs::read_to_string(volume.join("b")).unwrap();
    assert_eq!(text, "written");
    assert!(write("/outside/v/c").is_err(), "it is read-only");
    assert!(!machine.path("outside").exists() && !Path::new("/outside").exists());
    // Two views of the same changes would not know of each other.
    let refused = machine.runtime().root(of(Vec::new())).await.unwrap_err();
    assert_eq!(refused.fault, Fault::Conflict);
    machine.runtime().root(of(mounts)).await.unwrap();
    drop(root);
    let bare = machine.runtime().root(of(Vec::new())).await.unwrap();
    assert!(read(&bare, "/data/v/a").is_err());
    drop(bare);
    let over = of(vec![mounted("/proc", volume, false)]);
    assert!(machine.runtime().root(over).await.is_err());
    machine.check_clean();
}

#[tokio::test]
async fn hosts_change_while_a_container_runs() {
    let machine = Machine::new().await;
    let mut container = machine.container(
        "c",
        "cat /etc/hosts , say up , echo , cat /etc/hosts , say end",
    );
    container.stdin = true;
    container.stdin_once = true;
    let mut task = common::task("t", vec![container]);
    task.hosts = (0..500)
        .map(|number| ("10.1.1.1".to_owned(), format!("friend-{number}")))
        .collect();
    machine.runtime().start(task).await.unwrap();
    machine.wait_log("c", "up").await;
    assert!(
        machine
            .log("c")
            .contains(&"10.1.1.1\tfriend-499".to_owned())
    );
    let entry = |address: &str, name: &str| vec![(address.to_owned(), name.to_owned())];
    let runtime = machine.runtime();
    runtime
        .set_hosts("t", entry("10.2.2.2", "stranger"))
        .await
        .unwrap();
    for (address, name) in [
        ("10.2.2", "x"),
        ("10.2.2.2", "x\n6.6.6.6 y"),
        ("10.2.2.2", ""),
    ] {
        let error = runtime
            .set_hosts("t", entry(address, name))
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::Invalid);
    }
    let many = vec![("10.1.1.1".to_owned(), "x".repeat(1000)); 1000];
    let error = runtime.set_hosts("t", many).await.unwrap_err();
    assert_eq!(error.fault, Fault::Invalid);
    let few = vec![("10.1.1.1".to_owned(), "y".repeat(1000)); 200];
    runtime.set_hosts("t", few).await.unwrap();
    runtime
        .set_hosts("t", entry("10.2.2.2", "stranger"))
        .await
        .unwrap();
    drop(runtime.attach("t", "c", AttachInput::Join).await.unwrap());
    machine.wait_state("t", TaskState::Stopped).await;
    let log = machine.log("c");
    let after = log.iter().position(|line| line == "input ended").unwrap();
    let hosts = &log[after + 1..];
    assert!(
        hosts.contains(&"10.2.2.2\tstranger".to_owned()),
        "{hosts:?}"
    );
    assert!(
        !hosts
            .iter()
            .any(|line| line.contains("friend") || line.contains("yyy"))
    );
    let gone = runtime.set_hosts("t", Vec::new()).await.unwrap_err();
    assert_eq!(gone.fault, Fault::NotFound);
    machine.check_clean();
}

#[tokio::test]
async fn a_container_in_the_machine_s_network_knows_what_the_machine_knows() {
    let machine = Machine::new().await;
    let commands = "cat /etc/hosts , say --- , cat /etc/resolv.conf , say --- , cat /proc/net/dev";
    let mut task = common::task("t", vec![machine.container("c", commands)]);
    task.dns = Vec::new();
    machine.runtime().start(task).await.unwrap();
    machine.wait_state("t", TaskState::Stopped).await;
    let log = machine.log("c");
    let parts: Vec<&[String]> = log.split(|line| line == "---").collect();
    let lines = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for line in lines("/etc/hosts") {
        assert!(parts[0].contains(&line), "no `{line}` in {:?}", parts[0]);
    }
    assert!(parts[0].contains(&"10.0.0.9\tfriend".to_owned()));
    assert_eq!(parts[1], lines("/etc/resolv.conf"));
    assert_eq!(parts[2].len(), lines("/proc/net/dev").len());
    machine.check_clean();
}

#[tokio::test]
async fn usage_is_told_for_each_container() {
    let mut machine = Machine::new().await;
    let netns = common::NetworkNamespace::new(&machine.path("netns"));
    machine.namespace = Some(machine.path("netns"));
    machine.begin().await;
    let mut big = machine.container("big", "eat-memory 40 , sleep 60000");
    big.memory_mib = Some(64);
    let small = machine.container("small", "fork 3 , sleep 60000");
    let mut task = common::task("t", vec![big, small]);
    task.interface = Some("eth-1".to_owned());
    machine.runtime().start(task).await.unwrap();
    machine.wait_log("big", "ate 40 MiB").await;
    machine.wait_log("small", "forked 3").await;
    machine.wait_state("t", TaskState::Running).await;
    let runtime = machine.runtime();
    let of = async |name: &str| runtime.container_usage("t", name).await.unwrap();
    let (big, small) = (of("big").await.unwrap(), of("small").await.unwrap());
    let whole = runtime.usage("t").await.unwrap().unwrap();
    const MIB: u64 = 1024 * 1024;
    assert!(
        big.memory_bytes > 40 * MIB && big.memory_bytes < 64 * MIB,
        "{big:?}"
    );
    assert!(small.memory_bytes < 20 * MIB, "{small:?}");
    assert!(whole.memory_bytes >= big.memory_bytes, "{whole:?}");
    assert_eq!(big.memory_max_bytes, Some(64 * MIB));
    // Without a limit of its own, what it has is its task's.
    assert_eq!(small.memory_max_bytes, Some(256 * MIB));
    assert_eq!(whole.memory_max_bytes, Some(256 * MIB));
    assert_eq!((big.processes, small.processes, whole.processes), (1, 4, 5));
    assert_eq!((whole.received_bytes, whole.sent_bytes), (0, 0));
    assert_eq!(of("other").await, None);
    machine.end("t").await;
    assert_eq!(runtime.container_usage("t", "big").await.unwrap(), None);
    drop(netns);
    machine.check_clean();
}

#[tokio::test]
async fn a_privileged_container_may_mount_and_an_own_shm_has_its_size() {
    let machine = Machine::new().await;
    let commands = "try mount , try keyctl , status Seccomp: , status CapEff , try chown";
    let mut container = machine.container("c", commands);
    container.privileged = true;
    container.shm_bytes = Some(1024 * 1024);
    let (_, log) = machine.run(container).await;
    assert_eq!(log[0], "mount: allowed");
    assert_eq!(log[2], "Seccomp: 0");
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find(|line| line.starts_with("CapPrm")).unwrap();
    let own = own.split_whitespace().nth(1).unwrap();
    assert_eq!(log[3], format!("CapEff: {own}"));
    let mut container = machine.container("d", "cat /proc/self/mounts");
    container.shm_bytes = Some(1024 * 1024);
    let (_, log) = machine.run(container).await;
    let shm = log.iter().find(|line| line.contains(" /dev/shm ")).unwrap();
    assert!(shm.contains("size=1024k"), "{shm}");
    assert!(!Path::new("/dev/shm/none").exists());
    machine.check_clean();
}

#[tokio::test]
async fn a_container_is_held_and_goes_on() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "say up , echo , say end");
    container.stdin = true;
    container.stdin_once = true;
    machine.start("t", vec![container]).await;
    machine.wait_log("c", "up").await;
    machine.wait_state("t", TaskState::Running).await;
    let runtime = machine.runtime();
    runtime.freeze("t", "c", true).await.unwrap();
    let pid = machine.status("t").await.containers[0].pid.unwrap();
    // Its state stays what it was: nothing of it runs.
    let ticks = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let before = ticks();
    let attached = runtime.attach("t", "c", AttachInput::Join).await.unwrap();
    drop(attached);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(machine.log("c"), ["up"]);
    assert_eq!(ticks(), before);
    runtime.freeze("t", "c", false).await.unwrap();
    machine.wait_log("c", "end").await;
    machine.wait_state("t", TaskState::Stopped).await;

    // One that is held can be stopped, too; its checks are held with it, and hold up nobody.
    let mut checked = machine.container("d", "say up , sleep 60000");
    let words = ["CMD", "/helper", "sleep", "5"].map(str::to_owned);
    checked.health_check = Some(HealthCheck {
        command: words.to_vec(),
        interval_ms: 10,
        timeout_ms: 5_000,
        start_period_ms: 0,
        start_interval_ms: 0,
        retries: 1,
    });
    machine.start("held", vec![checked]).await;
    machine.wait_log("d", "up").await;
    machine.wait_state("held", TaskState::Running).await;
    for _ in 0..3 {
        runtime.freeze("held", "d", true).await.unwrap();
        let log = runtime.health_log("held", "d").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        assert_eq!(runtime.health_log("held", "d").await.unwrap(), log);
        runtime.freeze("held", "d", false).await.unwrap();
        let healthy = |it: &TaskStatus| it.containers[0].health == Health::Healthy;
        machine.wait("held", healthy).await;
    }
    runtime.freeze("held", "d", true).await.unwrap();
    machine.end("held").await;
    let gone = runtime.freeze("held", "d", true).await.unwrap_err();
    assert_eq!(gone.fault, Fault::NotFound);
    machine.check_clean();
}

#[tokio::test]
async fn limits_change_while_a_container_runs() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "say up , sleep 60000");
    container.memory_mib = Some(64);
    container.tuning.memory_reservation_bytes = Some(32 << 20);
    container.tuning.cpuset = Some("0".to_owned());
    machine.start("t", vec![container]).await;
    machine.wait_log("c", "up").await;
    machine.wait_state("t", TaskState::Running).await;
    let runtime = machine.runtime();
    let pid = machine.status("t").await.containers[0].pid.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Cpus_allowed_list:\t0\n"));
    let memory_max = || async {
        let usage = runtime.container_usage("t", "c").await.unwrap().unwrap();
        usage.memory_max_bytes
    };
    assert_eq!(memory_max().await, Some(64 << 20));
    let change = LimitChange {
        cpu_units: Some(512),
        pids_max: Some(50),
        cpu_shares: Some(100),
        memory_bytes: Some(128 << 20),
        memory_reservation_bytes: Some(48 << 20),
        cpuset: Some("0".to_owned()),
    };
    runtime.limit("t", "c", change).await.unwrap();
    assert_eq!(memory_max().await, Some(128 << 20));
    let wrong = LimitChange {
        cpuset: Some("99999".to_owned()),
        ..LimitChange::default()
    };
    assert!(runtime.limit("t", "c", wrong).await.is_err());
    machine.end("t").await;
    machine.check_clean();
}

#[tokio::test]
async fn a_container_is_tuned() {
    let machine = Machine::new().await;
    let mut container = machine.container(
        "c",
        "cat /proc/sys/kernel/msgmax , cat /proc/self/mounts , status Groups , exists /dev/extra",
    );
    container.tmpfs = vec!["/scratch".into(), "/small".into()];
    container.tuning = Tuning {
        sysctls: [("kernel.msgmax".to_owned(), "4321".to_owned())].into(),
        groups: vec!["77".to_owned()],
        devices: vec![DeviceSpec {
            host_path: "/dev/zero".into(),
            path: "/dev/extra".into(),
            access: "r".to_owned(),
        }],
        tmpfs_options: [(
            PathBuf::from("/small"),
            vec![
                "size=1m".to_owned(),
                "mode=700".to_owned(),
                "exec".to_owned(),
            ],
        )]
        .into(),
        ..Tuning::default()
    };
    let (status, log) = machine.run(container).await;
    assert_eq!(status.containers[0].exit_code, Some(0), "{status:?}");
    assert_eq!(log[0], "4321");
    let mounted = |path: &str| log.iter().find(|it| it.contains(path)).unwrap();
    let options = mounted(" /small ");
    assert!(
        options.contains("size=1024k") && options.contains("mode=700"),
        "{options}"
    );
    assert!(!options.contains("noexec"), "{options}");
    assert!(mounted(" /scratch ").contains("noexec"));
    assert!(log.iter().any(|it| it.contains("77")), "{log:?}");
    assert!(
        log.contains(&"/dev/extra exists: true".to_owned()),
        "{log:?}"
    );

    // The machine's processes, if that is asked for.
    let mut container = machine.container("p", "pid");
    container.tuning.host_pid = true;
    container.tuning.host_ipc = true;
    let (_, log) = machine.run(container).await;
    assert_ne!(log, ["pid=1"]);
    machine.check_clean();
}
