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
