//! What a container is given and what it leaves.

mod common;

use common::{Machine, task};
use engine::*;

#[tokio::test]
async fn a_task_runs_and_stops() {
    let machine = Machine::new().await;
    let container = machine.container("web", "say hello , trap 15 7 , sleep 60000");
    machine.start("one", vec![container]).await;
    let status = machine.wait_state("one", TaskState::Running).await;
    assert!(status.containers[0].pid.is_some());
    assert_eq!(status.labels["colour"], "blue");
    while machine.log("web") != ["hello", "trapped"] {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    machine.runtime().stop("one", "enough").await.unwrap();
    let status = machine.wait_state("one", TaskState::Stopped).await;
    assert_eq!(
        status.reason,
        Some(StopReason::Requested("enough".to_owned()))
    );
    assert_eq!(status.containers[0].exit_code, Some(7));
    machine.check_clean();
    machine.runtime().remove("one").await.unwrap();
    assert_eq!(machine.runtime().status("one").await.unwrap(), None);
    assert!(!machine.path("run/tasks/one").exists());
    let _ = task;
}
