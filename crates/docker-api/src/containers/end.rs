//! Stopping, killing, waiting for, and removing containers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use engine::{EngineError, Result};
use http::{Response, StatusCode, header};
use serde_json::json;
use tokio::sync::mpsc;

use super::record::{MountKind, Record, Status};
use super::start::{self, stop_signal, stop_timeout_s};
use super::{Container, MAIN, not_running};
use crate::answer::{self, Answer, Refusal};
use crate::clock::now_ms;
use crate::disk::{blocking, bytes_below};
use crate::docker::Docker;
use crate::routes::Call;

/// Waits until a container's record fits, or it is removed.
async fn until(container: &Container, fits: impl Fn(&Record) -> bool) {
    let mut changes = container.changes();
    while !container.is_removed() && !fits(&container.record()) {
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Asks a container to end, makes it after a time, and waits until it has. Negative: for ever.
async fn end(docker: &Docker, container: &Container, signal: &str, timeout_s: i64) -> Result<()> {
    let record = container.record();
    let exits = record.state.exits;
    container.change(|record| record.state.stopped_by_hand = true)?;
    let has_ended = |record: &Record| record.state.exits > exits || !record.is_running();
    let sent = docker.tasks.signal(&record.task(), MAIN, signal).await;
    docker.tell(container, "kill", &[("signal", signal.to_owned())]);
    docker.let_go(container).await?;
    if sent.is_ok() {
        let ended = until(container, has_ended);
        match u64::try_from(timeout_s) {
            Err(_) => ended.await,
            Ok(seconds) => drop(tokio::time::timeout(Duration::from_secs(seconds), ended).await),
        }
    }
    if !has_ended(&container.record()) && !container.is_removed() {
        // It may have ended in this moment: then there is nobody to kill.
        let killed = docker.tasks.signal(&record.task(), MAIN, "SIGKILL").await;
        let ended =
            tokio::time::timeout(Duration::from_secs(10), until(container, has_ended)).await;
        if ended.is_err() {
            killed?;
            return Err(engine::EngineError::machine(format!(
                "container {} did not end, although it was killed",
                record.id
            )));
        }
    }
    Ok(())
}

async fn stop_if_running(call: &Call, container: &Container) -> Result<bool, Refusal> {
    let record = container.record();
    if record.state.status == Status::Restarting {
        container.change(|record| {
            record.state.status = Status::Exited;
            record.state.stopped_by_hand = true;
        })?;
        return Ok(true);
    }
    if !record.is_running() {
        return Ok(false);
    }
    let signal = call
        .query
        .get("signal")
        .map_or_else(|| stop_signal(&record), str::to_owned);
    let timeout_s = call
        .query
        .number("t")?
        .unwrap_or_else(|| stop_timeout_s(&record));
    end(&call.docker, container, &signal, timeout_s).await?;
    call.docker.tell(container, "stop", &[]);
    Ok(true)
}

/// `POST /containers/{id}/stop`
pub async fn stop(call: Call, container: &Arc<Container>) -> Answer {
    answer::empty(match stop_if_running(&call, container).await? {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::NOT_MODIFIED,
    })
}

/// `POST /containers/{id}/restart`
pub async fn restart(call: Call, container: &Arc<Container>) -> Answer {
    stop_if_running(&call, container).await?;
    start::start(&call.docker, container).await?;
    call.docker.tell(container, "restart", &[]);
    answer::empty(StatusCode::NO_CONTENT)
}

/// `POST /containers/{id}/kill`
pub async fn kill(call: Call, container: &Arc<Container>) -> Answer {
    let docker = &call.docker;
    let record = container.record();
    if !record.is_running() {
        return Err(Refusal::conflict(format!(
            "cannot kill container: {}: container {} is not running",
            record.id, record.id
        )));
    }
    let signal = call.query.get("signal").unwrap_or("SIGKILL");
    let kills = matches!(signal.trim_start_matches("SIG"), "KILL" | "9");
    if kills {
        container.change(|record| record.state.stopped_by_hand = true)?;
    }
    docker.tasks.signal(&record.task(), MAIN, signal).await?;
    docker.tell(container, "kill", &[("signal", signal.to_owned())]);
    // One that is held does not end.
    if kills || signal == stop_signal(&record) {
        docker.let_go(container).await?;
    }
    if kills {
        let ended = until(container, |it| it.state.exits > record.state.exits);
        let _ = tokio::time::timeout(Duration::from_secs(10), ended).await;
    }
    answer::empty(StatusCode::NO_CONTENT)
}

/// `POST /containers/{id}/wait`: the answer's head comes at once, its body at the end.
pub async fn wait(call: Call, container: Arc<Container>) -> Answer {
    let condition = call
        .query
        .get("condition")
        .unwrap_or("not-running")
        .to_owned();
    if !["not-running", "next-exit", "removed"].contains(&condition.as_str()) {
        return Err(Refusal::bad(format!("invalid condition: \"{condition}\"")));
    }
    let exits = container.record().state.exits;
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(1);
    tokio::spawn(async move {
        let fits = |record: &Record| match condition.as_str() {
            "next-exit" => record.state.exits > exits,
            "removed" => false,
            // Also one that is started again at once has ended.
            _ => {
                record.state.exits > exits
                    || !matches!(record.state.status, Status::Running | Status::Restarting)
            }
        };
        tokio::select! {
            () = until(&container, fits) => {}
            () = sender.closed() => return,
        }
        let state = container.record().state;
        let body = json!({ "StatusCode": state.exit_code });
        let _ = sender.send(Ok(Bytes::from(body.to_string() + "\n"))).await;
    });
    let mut response = Response::new(answer::pieces(receiver));
    answer::set(&mut response, header::CONTENT_TYPE, "application/json");
    Ok(response)
}

/// `DELETE /containers/{id}`
pub async fn remove(call: Call, container: &Arc<Container>) -> Answer {
    if call.query.flag("link") {
        return Err(Refusal::bad(
            "a link is named by its container and its alias: `container/alias`",
        ));
    }
    let docker = &call.docker;
    let (force, volumes) = (call.query.flag("force"), call.query.flag("v"));
    let record = container.record();
    if record.is_alive() && !force {
        return Err(Refusal::conflict(format!(
            "cannot remove container \"/{}\": container is {}: stop the container before removing or force remove",
            record.name,
            record.status_word()
        )));
    }
    if record.is_running() {
        end(docker, container, "SIGKILL", 0).await?;
    }
    let _working = container.working.lock().await;
    if !container.is_removed() {
        if container.record().is_running() {
            return Err(not_running(&record));
        }
        docker.remove_with(container, volumes).await?;
    }
    answer::empty(StatusCode::NO_CONTENT)
}

/// `DELETE /containers/{id}/{alias}?link=1`: it calls the other so no longer.
pub async fn remove_link(call: Call, container: &Arc<Container>, alias: &str) -> Answer {
    if !call.query.flag("link") {
        return Err(Refusal::not_found("page not found"));
    }
    let _working = container.working.lock().await;
    let is_it = |text: &String| base::links::read(text).1 == alias;
    let record = container.record();
    if !record.host.links.iter().any(is_it) {
        return Err(Refusal::not_found(format!(
            "Could not get parent /{} for name, link /{}/{alias}",
            record.name, record.name
        )));
    }
    container.change(|record| record.host.links.retain(|it| !is_it(it)))?;
    if record.is_running() {
        call.docker.plug(container).await?;
        // Told even if this was its last.
        let hosts = call.docker.hosts_of(&container.record());
        let told = call.docker.tasks.set_hosts(&record.task(), hosts).await;
        // One that has ended in this moment looks for nobody any more.
        if !Docker::is_absent(&told) {
            told?;
        }
    }
    answer::empty(StatusCode::NO_CONTENT)
}

impl Docker {
    /// Removes a container that does not run and that asked for it: its nameless volumes go with it.
    /// Call with its work held.
    pub(crate) async fn remove_at_rest(self: &Arc<Self>, container: &Arc<Container>) -> Result<()> {
        self.remove_with(container, true).await
    }

    async fn remove_with(
        self: &Arc<Self>,
        container: &Arc<Container>,
        volumes: bool,
    ) -> Result<()> {
        let record = container.record();
        self.release(container).await;
        let (docker, gone) = (self.clone(), container.clone());
        let event = container.event("destroy", &[]);
        blocking(move || docker.containers.forget(&gone)).await?;
        debug_assert!(container.removed.load(Ordering::Relaxed));
        let nameless = record
            .mounts
            .iter()
            .filter(|it| it.kind == MountKind::Volume && self.volumes.is_anonymous(&it.name));
        for mount in nameless.filter(|_| volumes) {
            self.remove_volume(&mount.name).await?;
        }
        self.events.tell(event);
        Ok(())
    }
}

/// `POST /containers/prune`
pub async fn prune(call: Call) -> Answer {
    let filters = call.query.filters(&["label", "label!", "until"])?;
    let until = filters.until(now_ms())?;
    let (mut removed, mut bytes) = (Vec::new(), 0_u64);
    for container in call.docker.containers.all() {
        let _working = container.working.lock().await;
        let record = container.record();
        let at_rest = matches!(record.state.status, Status::Created | Status::Exited);
        let wanted = filters.labels(&record.config.labels) && until.takes(record.created_ms);
        if at_rest && !container.is_removed() && wanted {
            let upper = container.upper();
            bytes += blocking(move || Ok::<_, EngineError>(bytes_below(&upper))).await?;
            call.docker.remove_with(&container, false).await?;
            removed.push(record.id);
        }
    }
    answer::ok(json!({ "ContainersDeleted": removed, "SpaceReclaimed": bytes }))
}
