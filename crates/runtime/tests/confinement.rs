//! What a container may not do.

mod common;

use common::Machine;

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
    assert_eq!(log[2..], ["NoNewPrivs: 1", "Seccomp: 2"]);
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
async fn the_host_s_disks_cannot_be_opened() {
    let machine = Machine::new().await;
    let (_, log) = machine.run(machine.container("c", "try mknod-disk")).await;
    assert_eq!(log, [format!("mknod-disk: {NOT_PERMITTED}")]);
}

#[tokio::test]
async fn kernel_interfaces_are_masked_or_read_only() {
    let machine = Machine::new().await;
    let commands = "cat /proc/timer_list , say end , write /proc/sys/kernel/hostname x , \
                    write /sys/kernel/profiling 1 , exists /sys/fs/cgroup/memory";
    let (_, log) = machine.run(machine.container("c", commands)).await;
    assert_eq!(log[0], "end", "the masked file is empty");
    assert!(log[1].contains("Read-only file system"), "{log:?}");
    assert!(!log[2].starts_with("wrote"), "{log:?}");
    assert_eq!(log[3], "/sys/fs/cgroup/memory exists: false");
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
