//! What becomes of containers: their ends are recorded, told, and followed by what their restart
//! policy says. A daemon that starts looks at all of them, and so knows what ended meanwhile.

use std::sync::Arc;
use std::time::Duration;

use engine::{Health, StopReason, TaskState, TaskStatus};

use super::record::{Record, Status};
use super::{Container, MAIN, start};
use crate::clock::now_ms;
use crate::docker::Docker;
use crate::limits::{RESTART_FIRST, RESTART_LAST, RESTART_SETTLED_MS};
use crate::ports::Wanted;

const OUT_OF_MEMORY: &str = "OutOfMemory";
/// Of one that was killed with its supervisor.
const KILLED: i32 = 137;

/// Looks after all containers for ever.
pub async fn follow(docker: Arc<Docker>) {
    // From now on, so that nothing that happens while all are looked at is missed.
    let mut changes = docker.tasks.changes();
    for container in docker.containers.all() {
        let docker = docker.clone();
        tokio::spawn(async move {
            let before = container.record();
            settle(&docker, &container, Seen::First).await;
            start_at_boot(&docker, &container, &before).await;
        });
    }
    loop {
        let woken = match changes.recv().await {
            Ok(task) => docker.containers.of_task(&task).into_iter().collect(),
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => docker.containers.all(),
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
        };
        for container in woken {
            let docker = docker.clone();
            tokio::spawn(async move { settle(&docker, &container, Seen::Again).await });
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// By this process.
    First,
    Again,
}

/// Compares what is recorded with what is so.
async fn settle(docker: &Arc<Docker>, container: &Arc<Container>, seen: Seen) {
    let working = container.working.lock().await;
    let record = container.record();
    if container.is_removed() {
        return;
    }
    if !record.is_running() {
        // One whose start was cut short with the process that started it never ran, as far as
        // anybody was told.
        if seen == Seen::First
            && let Err(error) = docker.clear_task(&record.task()).await
        {
            tracing::warn!(
                error = error.chain(),
                container = record.id,
                "cannot clean up"
            );
        }
        return;
    }
    let status = match docker.tasks.status(&record.task()).await {
        Ok(status) => status,
        Err(error) => {
            tracing::warn!(
                error = error.chain(),
                container = record.id,
                "cannot look at a container"
            );
            return;
        }
    };
    match status {
        Some(status) if status.state != TaskState::Stopped => {
            if seen == Seen::First {
                publish_again(docker, container, &record).await;
            }
            note_health(docker, container, &status).await;
        }
        status => {
            let again = ended(docker, container, &record, status).await;
            drop(working);
            docker.tell_hosts().await;
            after_the_end(docker, container, again).await;
        }
    }
}

/// Its ports were this process's predecessor's, and went with it.
async fn publish_again(docker: &Arc<Docker>, container: &Arc<Container>, record: &Record) {
    let wanted: Vec<Wanted> = record
        .state
        .bound
        .iter()
        .map(|it| Wanted {
            container_port: it.container_port,
            protocol: it.protocol,
            host_ip: it.host_ip,
            host_ports: it.host_port..=it.host_port,
        })
        .collect();
    let Some(address) = record.address() else {
        return;
    };
    match docker.bind_ports(record, &wanted).await {
        Ok(mut published) => {
            published.serve(&docker.network, &record.task(), address);
            *container.published.lock().expect("no holder panics") = Some(published);
        }
        Err(refusal) => {
            tracing::warn!(
                message = refusal.message,
                container = record.id,
                "cannot publish ports again"
            );
        }
    }
}

async fn note_health(docker: &Docker, container: &Container, status: &TaskStatus) {
    let Some(now) = status.containers.first().map(|it| it.health) else {
        return;
    };
    let before = std::mem::replace(
        &mut *container.health.lock().expect("no holder panics"),
        now,
    );
    if before == now {
        return;
    }
    let task = container.record().task();
    if let Ok(log) = docker.tasks.health_log(&task, MAIN).await {
        *container.checks.lock().expect("no holder panics") = log;
    }
    container.wake();
    let word = match now {
        Health::Unknown => return,
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    };
    docker.tell(container, &format!("health_status: {word}"), &[]);
}

/// Records an end. Returns when it is to be started again, if it is.
async fn ended(
    docker: &Arc<Docker>,
    container: &Arc<Container>,
    record: &Record,
    status: Option<TaskStatus>,
) -> Option<Duration> {
    let main = status.as_ref().and_then(|it| it.containers.first());
    let lost = matches!(
        status.as_ref().map(|it| &it.reason),
        None | Some(Some(StopReason::SupervisorLost))
    );
    let exit_code = main.and_then(|it| it.exit_code).unwrap_or(KILLED);
    let reason = main.and_then(|it| it.reason.clone()).unwrap_or_default();
    let out_of_memory = reason.starts_with(OUT_OF_MEMORY);
    let finished_ms = main.and_then(|it| it.stopped_at_ms).unwrap_or_else(now_ms);
    docker.release(container).await;
    *container.health.lock().expect("no holder panics") = Health::Unknown;
    let again = restart_after(record, exit_code, finished_ms);
    let changed = container.change(|record| {
        let state = &mut record.state;
        state.status = if again.is_some() {
            Status::Restarting
        } else {
            Status::Exited
        };
        state.exit_code = exit_code;
        state.out_of_memory = out_of_memory;
        state.finished_ms = Some(finished_ms);
        state.error = if lost {
            "it ended with its supervisor or with the machine".to_owned()
        } else {
            String::new()
        };
        state.exits += 1;
        state.bound.clear();
        state.paused = false;
        state.restarts += u32::from(again.is_some());
    });
    if let Err(error) = changed {
        tracing::error!(
            error = error.chain(),
            container = record.id,
            "cannot record a container's end"
        );
    }
    if out_of_memory {
        docker.tell(container, "oom", &[]);
    }
    docker.tell(container, "die", &[("exitCode", exit_code.to_string())]);
    again
}

/// Whether a container that ended by itself is started again, and after what time.
fn restart_after(record: &Record, exit_code: i32, finished_ms: i64) -> Option<Duration> {
    let (policy, state) = (&record.host.restart_policy, &record.state);
    let wanted = match policy.name.as_str() {
        "always" | "unless-stopped" => true,
        "on-failure" => {
            let most = policy.maximum_retry_count;
            exit_code != 0 && (most == 0 || state.restarts < most)
        }
        _ => false,
    };
    if !wanted || state.stopped_by_hand {
        return None;
    }
    let ran_ms = state.started_ms.map_or(0, |started| finished_ms - started);
    let doublings = if ran_ms >= RESTART_SETTLED_MS {
        0
    } else {
        state.restarts.min(16)
    };
    Some((RESTART_FIRST * 2_u32.pow(doublings)).min(RESTART_LAST))
}

async fn after_the_end(docker: &Arc<Docker>, container: &Arc<Container>, again: Option<Duration>) {
    if let Some(wait) = again {
        tokio::spawn(restart_later(docker.clone(), container.clone(), wait));
    } else if container.record().host.auto_remove {
        let _working = container.working.lock().await;
        if !container.is_removed()
            && !container.record().is_running()
            && let Err(error) = docker.remove_at_rest(container).await
        {
            tracing::warn!(error = error.chain(), "cannot remove a container");
        }
    }
}

async fn restart_later(docker: Arc<Docker>, container: Arc<Container>, wait: Duration) {
    tokio::time::sleep(wait).await;
    if container.is_removed() || container.record().state.status != Status::Restarting {
        return;
    }
    if let Err(refusal) = start::start(&docker, &container).await {
        tracing::warn!(message = refusal.message, "cannot restart a container");
    }
}

/// After the machine, or this program with all that it runs, was stopped.
async fn start_at_boot(docker: &Arc<Docker>, container: &Arc<Container>, before: &Record) {
    let now = container.record();
    // One that waited for its restart goes on waiting for it.
    let waited = before.state.status == Status::Restarting;
    if waited && now.state.status == Status::Restarting {
        restart_later(docker.clone(), container.clone(), RESTART_FIRST).await;
        return;
    }
    let always = before.host.restart_policy.name == "always";
    if always && now.state.status == Status::Exited {
        restart_now(docker, container).await;
    }
}

async fn restart_now(docker: &Arc<Docker>, container: &Arc<Container>) {
    if let Err(refusal) = start::start(docker, container).await {
        tracing::warn!(message = refusal.message, "cannot start a container again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::record::tests::a_record;

    #[test]
    fn restart_policies_are_kept() {
        let check = |policy: &str, most: u32, restarts: u32, by_hand: bool, code: i32| {
            let mut record = a_record();
            record.host.restart_policy.name = policy.to_owned();
            record.host.restart_policy.maximum_retry_count = most;
            record.state.restarts = restarts;
            record.state.stopped_by_hand = by_hand;
            record.state.started_ms = Some(0);
            restart_after(&record, code, 10).map(|it| it.as_millis())
        };
        assert_eq!(check("", 0, 0, false, 1), None);
        assert_eq!(check("always", 0, 0, false, 0), Some(100));
        assert_eq!(check("always", 0, 3, false, 0), Some(800));
        assert_eq!(check("always", 0, 60, false, 0), Some(60_000));
        assert_eq!(check("always", 0, 0, true, 0), None);
        assert_eq!(check("unless-stopped", 0, 0, true, 1), None);
        assert_eq!(check("on-failure", 0, 0, false, 0), None);
        assert_eq!(check("on-failure", 2, 1, false, 1), Some(200));
        assert_eq!(check("on-failure", 2, 2, false, 1), None);
    }
}
