//! A host with cgroup v2, as far as it can be had on one with v1: a mount namespace whose
//! `/sys/fs/cgroup` is the v2 tree. Its controllers are taken by v1, so limits cannot be set there,
//! and that has to be said. On a host with v2 the other tests cover all of this.

mod common;

use common::Machine;
use engine::*;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// Makes this thread, and what it starts, see a v2 host.
fn become_unified() {
    let nothing: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )
    .unwrap();
    umount2("/sys/fs/cgroup", MntFlags::MNT_DETACH).unwrap();
    mount(
        Some("cgroup2"),
        "/sys/fs/cgroup",
        Some("cgroup2"),
        MsFlags::empty(),
        nothing,
    )
    .unwrap();
}

fn without_limits(container: ContainerSpec) -> TaskSpec {
    TaskSpec {
        cpu_units: None,
        memory_mib: None,
        disk: None,
        gives_way_to_a_full_disk: false,
        pids_max: None,
        ..common::task("t", vec![container])
    }
}

#[test]
fn tasks_run_on_cgroup_v2() {
    become_unified();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let machine = Machine::new().await;
        let container = machine.container("c", "status CapEff , say up , sleep 60000");
        machine
            .runtime()
            .start(without_limits(container))
            .await
            .unwrap();
        let status = machine.wait_state("t", TaskState::Running).await;
        machine.wait_log("c", "up").await;
        // Without CAP_MKNOD: nothing else keeps it from devices here.
        assert_eq!(machine.log("c")[0], "CapEff: 00000000a00425fb");
        let pid = status.containers[0].pid.unwrap();
        let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let wanted = format!("0::/neargate-{}/t/0", machine.instance);
        assert!(group.lines().any(|line| line == wanted), "{group}");

        let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
        let argv = ["/helper", "pid", ",", "exit", "4"]
            .map(str::to_owned)
            .to_vec();
        let code = machine
            .runtime()
            .exec("t", "c", argv, sender)
            .await
            .unwrap();
        assert_eq!(code, 4);
        assert!(receiver.recv().await.unwrap().starts_with("pid="));
        machine.end("t").await;
        machine.check_clean();
        machine.runtime().remove("t").await.unwrap();

        // A machine whose v2 tree has the controllers can do this.
        if !std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
            .unwrap()
            .contains("memory")
        {
            let (status, _) = machine.run(machine.container("limited", "say x")).await;
            let Some(StopReason::CannotStart { message, .. }) = status.reason else {
                panic!("{status:#?}");
            };
            assert!(message.contains("memory.max"), "{message}");
            machine.check_clean();
        }
    });
}
