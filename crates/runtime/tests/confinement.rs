//! What a container may not do.

mod common;

use common::Machine;
use engine::Tasks;

const NOT_PERMITTED: &str = "Operation not permitted (os error 1)";
const NO_SUCH_CALL: &str = "Function not implemented (os error 38)";

#[tokio::test]
async fn the_default_set_of_capabilities_is_docker_s() {
    let machine = Machine::new().await;
    let commands = "status CapEff , status CapBnd , status NoNewPrivs , status Seccomp:";
    let (_, log) = machine.run(machine.container("c", commands)).await;
    let default = "00000000a80425fb";
    assert_eq!(log[0], format!("CapEff: {default}"));
    assert_eq!(log[1], format!("CapBnd: {default}"));
    assert_eq!(log[2..], ["NoNewPrivs: 0", "Seccomp: 2"]);
}

/// As in Docker and on Fargate: `sudo` works, and what it gives is what the container has.
#[tokio::test]
async fn a_program_that_is_root_s_is_run_as_root_unless_nobody_may_get_more_power() {
    let machine = Machine::new().await;
    let commands = "status CapEff , status NoNewPrivs , status Seccomp:";
    let sudo = |name: &str| {
        let mut container = machine.container(name, commands);
        container.argv[0] = "/as-root".to_owned();
        container.user = "1000".to_owned();
        container
    };
    let (_, log) = machine.run(sudo("may")).await;
    let expected = ["CapEff: 00000000a80425fb", "NoNewPrivs: 0", "Seccomp: 2"];
    assert_eq!(log, expected);
    let mut container = sudo("may-not");
    container.no_new_privileges = true;
    let (_, log) = machine.run(container).await;
    let expected = ["CapEff: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"];
    assert_eq!(log, expected);

    // The small init is no way round any of it.
    let mut container = machine.container("with-init", commands);
    container.init_process = true;
    let (_, log) = machine.run(container).await;
    assert_eq!(log[0], "CapEff: 00000000a80425fb");
}

/// Programs size themselves by what they find there, and change nothing of it.
#[tokio::test]
async fn a_container_sees_its_own_limits_and_cannot_raise_them() {
    let split = std::path::Path::new("/sys/fs/cgroup/memory").exists();
    let (memory, cpu, quota) = match split {
        true => (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
            "50000",
        ),
        false => (
            "/sys/fs/cgroup/memory.max",
            "/sys/fs/cgroup/cpu.max",
            "50000 100000",
        ),
    };
    let machine = Machine::new().await;
    let commands = format!(
        "cat {memory} , cat {cpu} , write {memory} 1073741824 , write /sys/fs/cgroup/x y , \
         exists /sys/fs/cgroup/neargate , exists /sys/fs/cgroup/memory/neargate"
    );
    let expected = |bytes: u64| {
        vec![
            bytes.to_string(),
            quota.to_owned(),
            format!("write {memory}: Read-only file system (os error 30)"),
            "write /sys/fs/cgroup/x: Read-only file system (os error 30)".to_owned(),
            "/sys/fs/cgroup/neargate exists: false".to_owned(),
            "/sys/fs/cgroup/memory/neargate exists: false".to_owned(),
        ]
    };
    let mut own = machine.container("own", &commands);
    own.memory_mib = Some(64);
    let (_, log) = machine.run(own).await;
    assert_eq!(log, expected(64 << 20));
    // Without a limit of its own, what it has is its task's.
    let (_, log) = machine.run(machine.container("task-s", &commands)).await;
    assert_eq!(log, expected(256 << 20));
    machine.check_clean();
}

#[tokio::test]
async fn capabilities_are_added_and_dropped() {
    let machine = Machine::new().await;
    let commands = "try chown , try sethostname , status CapEff";
    let mut container = machine.container("without", commands);
    container.drop_capabilities = vec!["ALL".to_owned()];
    let (_, log) = machine.run(container).await;
    let denied = |what: &str| format!("{what}: {NOT_PERMITTED}");
    assert_eq!(
        log,
        [
            denied("chown"),
            denied("sethostname"),
            "CapEff: 0000000000000000".into()
        ]
    );

    let mut container = machine.container("with", commands);
    container.add_capabilities = vec!["SYS_ADMIN".to_owned()];
    let (_, log) = machine.run(container).await;
    assert_eq!(log[..2], ["chown: allowed", "sethostname: allowed"]);
}

#[tokio::test]
async fn a_user_has_no_capability() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "status CapEff , status CapPrm , try chown");
    container.user = "1000".to_owned();
    let (_, log) = machine.run(container).await;
    assert_eq!(
        log[..2],
        ["CapEff: 0000000000000000", "CapPrm: 0000000000000000"]
    );
    assert_eq!(log[2], format!("chown: {NOT_PERMITTED}"));
}

#[tokio::test]
async fn dangerous_system_calls_fail() {
    let machine = Machine::new().await;
    let calls = ["unshare-user", "clone-user", "keyctl", "mount"];
    let commands: Vec<String> = calls.iter().map(|call| format!("try {call}")).collect();
    let (_, log) = machine
        .run(machine.container("c", &commands.join(" , ")))
        .await;
    for (call, line) in calls.iter().zip(&log) {
        assert_eq!(*line, format!("{call}: {NOT_PERMITTED}"));
    }
    assert_eq!(log.len(), calls.len());

    let (_, log) = machine
        .run(machine.container("d", "try clone3 , try x32 , try future"))
        .await;
    for (call, line) in ["clone3", "x32", "future"].iter().zip(&log) {
        assert_eq!(*line, format!("{call}: {NO_SUCH_CALL}"));
    }
    assert_eq!(log.len(), 3);
}

#[tokio::test]
async fn what_docker_s_profile_refuses_is_refused_by_the_kernel() {
    let machine = Machine::new().await;
    let refused = [
        "vsock",
        "vsock-high",
        "alg",
        "personality-layout",
        "personality-read-implies-exec",
        "io-uring",
        "bpf",
        "userfaultfd",
        "add-key",
        "perf",
        "pivot-root",
        "open-by-handle",
        "kexec",
    ];
    let allowed = ["inet", "personality-ask", "personality-32", "trace-me"];
    let calls = refused.iter().chain(&allowed);
    let commands: Vec<String> = calls.map(|call| format!("try {call}")).collect();
    let container = machine.container("c", &commands.join(" , "));
    let (_, log) = machine.run(container).await;
    let denied = refused.map(|call| format!("{call}: {NOT_PERMITTED}"));
    assert_eq!(log[..denied.len()], denied);
    let fine = allowed.map(|call| format!("{call}: allowed"));
    assert_eq!(log[denied.len()..], fine);

    // An administrator may mount, but not what the profile has for nobody.
    let mut container = machine.container("admin", "try vsock , try pivot-root , try add-key");
    container.add_capabilities = vec!["ALL".to_owned()];
    let (_, log) = machine.run(container).await;
    let denied = ["vsock", "pivot-root", "add-key"].map(|it| format!("{it}: {NOT_PERMITTED}"));
    assert_eq!(log, denied);
    machine.check_clean();
}

/// Nobody's keys are left in reach by a task that is not filtered.
#[tokio::test]
async fn a_task_has_a_session_keyring_of_its_own() {
    let machine = Machine::new().await;
    let own = std::process::Command::new(common::HELPER)
        .arg("session-keyring")
        .output();
    let own = String::from_utf8(own.unwrap().stdout).unwrap();
    let mut logs = Vec::new();
    for name in ["one", "two"] {
        let mut container = machine.container(name, "session-keyring");
        container.privileged = true;
        logs.push(machine.run(container).await.1);
    }
    assert!(
        logs.iter().all(|log| log[0].starts_with("keyring=")),
        "{logs:?}"
    );
    assert_ne!(logs[0][0], own.trim());
    assert_ne!(logs[0], logs[1]);
}

#[tokio::test]
async fn volumes_do_not_cover_what_the_kernel_says() {
    let machine = Machine::new().await;
    let volume = machine.path("volume");
    std::fs::create_dir(&volume).unwrap();
    let mounted = |path: &str| {
        let mut container = machine.container("c", "say started");
        container.mounts = vec![engine::MountSpec {
            volume: "v".to_owned(),
            path: path.into(),
            read_only: false,
        }];
        let mut task = common::task("t", vec![container]);
        task.volumes = vec![engine::VolumeSpec {
            name: "v".to_owned(),
            host_path: Some(volume.clone()),
            of_outer: false,
        }];
        task
    };
    for path in [
        "/",
        "/proc",
        "/proc/sys",
        "/sys",
        "/sys/../sys/kernel",
        "/dev",
        "/dev/null",
    ] {
        let error = machine.runtime().start(mounted(path)).await.unwrap_err();
        let message = error.to_string();
        assert!(message.contains("nothing can be mounted at"), "{message}");
    }
    // By a link in the image, which only the root tells about.
    let image = machine.path("image");
    std::fs::create_dir(&image).unwrap();
    std::os::unix::fs::symlink("/sys/kernel", image.join("data")).unwrap();
    std::os::unix::fs::symlink("/proc/self", image.join("me")).unwrap();
    for path in ["/data", "/data/new", "/me/fd"] {
        let mut task = mounted(path);
        task.containers[0].directories.push(image.clone());
        machine.runtime().start(task).await.unwrap();
        let status = machine.wait_state("t", engine::TaskState::Stopped).await;
        let reason = format!("{:?}", status.reason);
        assert!(reason.contains("nothing can be mounted at"), "{reason}");
        machine.runtime().remove("t").await.unwrap();
    }
    let mut container = machine.container("covered", "say started");
    container.tmpfs = vec!["/proc/acpi".into()];
    let error = machine.runtime().start(common::task("t", vec![container]));
    assert!(error.await.is_err());
    assert_eq!(std::fs::read_dir(&volume).unwrap().count(), 0);
    machine.check_clean();
}

#[tokio::test]
async fn the_host_s_disks_cannot_be_opened() {
    let machine = Machine::new().await;
    let (_, log) = machine.run(machine.container("c", "try mknod-disk")).await;
    assert_eq!(log, [format!("mknod-disk: {NOT_PERMITTED}")]);
}

#[tokio::test]
async fn kernel_interfaces_are_masked_or_read_only() {
    let machine = Machine::new().await;
    let commands = "cat /proc/timer_list , say end , write /proc/sys/kernel/hostname x , \
                    write /sys/kernel/profiling 1 , write /sys/fs/cgroup/cgroup.procs 1";
    let (_, log) = machine.run(machine.container("c", commands)).await;
    assert_eq!(log[0], "end", "the masked file is empty");
    assert!(log[1].contains("Read-only file system"), "{log:?}");
    assert!(!log[2].starts_with("wrote"), "{log:?}");
    assert!(log[3].contains("Read-only file system"), "{log:?}");
}

#[tokio::test]
async fn a_privileged_container_is_not_confined() {
    let machine = Machine::new().await;
    let mut container = machine.container("c", "try mount , try sethostname , status Seccomp:");
    container.privileged = true;
    let (status, log) = machine.run(container).await;
    let expected = ["mount: allowed", "sethostname: allowed", "Seccomp: 0"];
    assert_eq!(log, expected, "{status:#?}");
    machine.check_clean();
}
