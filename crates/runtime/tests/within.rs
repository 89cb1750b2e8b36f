//! Tasks that are a part of another one.

mod common;

use common::{Machine, task};
use engine::*;

#[tokio::test]
async fn a_task_within_another_has_its_bounds_and_ends_with_it() {
    let machine = Machine::new().await;
    let inner = |name: &str| TaskSpec {
        within: Some("outer".to_owned()),
        memory_mib: None,
        ..task(
            "inner",
            vec![machine.container(name, "say up , sleep 60000")],
        )
    };
    // There is nothing yet that it could be a part of.
    let error = machine.runtime().start(inner("b")).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
    let sleeps = machine.container("a", "sleep 60000");
    machine.start("outer", vec![sleeps]).await;
    machine.wait_state("outer", TaskState::Running).await;
    machine.runtime().start(inner("b")).await.unwrap();
    let status = machine.wait_state("inner", TaskState::Running).await;
    let pid = status.containers[0].pid.unwrap();
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(groups.contains("/outer/inner/"), "{groups}");
    let usage = machine.runtime().usage("inner").await.unwrap();
    assert!(usage.is_some_and(|it| it.processes > 0));

    machine.runtime().stop("outer", "enough").await.unwrap();
    machine.wait_state("outer", TaskState::Stopped).await;
    machine.wait_state("inner", TaskState::Stopped).await;
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    machine.check_clean();
}

#[tokio::test]
async fn a_volume_of_the_outer_task_is_found_as_a_program_there_would_find_it() {
    let machine = Machine::new().await;
    let outer = machine.container(
        "a",
        "mkdir /data , write /data/x from-outside , symlink /data /link , symlink /../../../etc /out , sleep 60000",
    );
    machine.start("outer", vec![outer]).await;
    machine.wait_state("outer", TaskState::Running).await;
    machine.wait_log("a", "linked /out").await;
    let volume = |name: &str, path: &str| VolumeSpec {
        name: name.to_owned(),
        host_path: Some(path.into()),
        of_outer: true,
    };
    let mount = |volume: &str, path: &str| MountSpec {
        volume: volume.to_owned(),
        path: path.into(),
        read_only: false,
    };
    let inner = |id: &str, name: &str, commands: &str| TaskSpec {
        within: Some("outer".to_owned()),
        memory_mib: None,
        volumes: vec![volume("linked", "/link"), volume("new", "/out/made/here")],
        ..task(
            id,
            vec![ContainerSpec {
                mounts: vec![mount("linked", "/linked"), mount("new", "/new")],
                ..machine.container(name, commands)
            }],
        )
    };
    let first = inner(
        "first",
        "b",
        "cat /linked/x , write /linked/y kept , write /new/z kept",
    );
    machine.runtime().start(first).await.unwrap();
    machine.wait_state("first", TaskState::Stopped).await;
    assert!(machine.log("b")[0].starts_with("from-outside"));
    // What it wrote is there for the next, and for the outer one; nothing is outside of that one's root.
    let second = inner("second", "c", "cat /linked/y , cat /new/z");
    machine.runtime().start(second).await.unwrap();
    machine.wait_state("second", TaskState::Stopped).await;
    assert_eq!(machine.log("c"), ["keptkept"]);
    assert!(!std::path::Path::new("/etc/made").exists());
    machine.end("outer").await;
    machine.check_clean();
}
