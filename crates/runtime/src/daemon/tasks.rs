//! The port, as the daemon answers it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use engine::{
    AttachInput, Attached, Changes, EngineError, ExecSession, ExecSpec, HealthLog, LimitChange,
    Result, RootOf, TaskSpec, TaskState, TaskStatus, TaskUsage, Tasks,
};
use tokio::sync::mpsc;

use super::{Runtime, attach, blocking, exec, launch, listening, recover, root, usage, validate};
use crate::cgroup::TaskCgroup;
use crate::shim::Request;

#[async_trait]
impl Tasks for Runtime {
    fn expect(&self) {
        // Nobody waits for it.
        drop(tokio::task::spawn_blocking(crate::cgroup::warm_up));
    }

    async fn start(&self, spec: TaskSpec) -> Result<()> {
        validate::task(&spec)?;
        // On its own, so that a caller that goes away does not leave it half done.
        let inner = self.inner.clone();
        let started = tokio::spawn(async move { inner.start(spec).await }).await;
        started.map_err(|error| EngineError::machine("a worker panicked").because(error))?
    }

    async fn stop(&self, id: &str, reason: &str) -> Result<()> {
        let entries = self.inner.entries();
        let entry = entries
            .get(id)
            .filter(|entry| entry.status.state != TaskState::Stopped);
        // A full queue holds requests to stop already: there are no others.
        if let Some(entry) = entry {
            let _ = entry.requests.try_send(Request::Stop {
                reason: reason.to_owned(),
            });
        }
        Ok(())
    }

    async fn status(&self, id: &str) -> Result<Option<TaskStatus>> {
        Ok(self
            .inner
            .entries()
            .get(id)
            .map(|entry| entry.status.clone()))
    }

    async fn list(&self) -> Result<Vec<TaskStatus>> {
        let entries = self.inner.entries();
        let mut list: Vec<TaskStatus> =
            entries.values().map(|entry| entry.status.clone()).collect();
        list.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(list)
    }

    async fn remove(&self, id: &str) -> Result<()> {
        validate::id("the task's id", id)?;
        let state = self.inner.entries().get(id).map(|entry| entry.status.state);
        if state.is_some_and(|state| state != TaskState::Stopped) {
            return Err(EngineError::conflict(format!(
                "the task `{id}` has not stopped"
            )));
        }
        let inner = self.inner.clone();
        let owned = id.to_owned();
        blocking(move || recover::erase(&inner, &owned)).await?;
        self.inner.forget(id);
        Ok(())
    }

    async fn usage(&self, id: &str) -> Result<Option<TaskUsage>> {
        if !self.inner.entries().contains_key(id) {
            return Ok(None);
        }
        self.inner.usage(id, None)
    }

    async fn exec(
        &self,
        id: &str,
        container: &str,
        argv: Vec<String>,
        output: mpsc::Sender<String>,
    ) -> Result<i32> {
        self.inner.expect_running(id, container)?;
        if argv.is_empty() {
            return Err(EngineError::invalid("no command is given"));
        }
        launch::exec(&self.inner, id, container, &argv, output).await
    }

    async fn attach(&self, id: &str, container: &str, input: AttachInput) -> Result<Attached> {
        attach::attach(&self.inner, id, container, input).await
    }

    async fn exec_attached(
        &self,
        id: &str,
        container: &str,
        command: ExecSpec,
    ) -> Result<ExecSession> {
        self.inner.expect_running(id, container)?;
        exec::exec(&self.inner, id, container, command).await
    }

    async fn resize(
        &self,
        id: &str,
        container: &str,
        exec: Option<&str>,
        rows: u16,
        columns: u16,
    ) -> Result<()> {
        if let Some(exec) = exec {
            return self.inner.terminals.resize(exec, rows, columns);
        }
        let container = container.to_owned();
        let request = Request::Resize {
            container,
            rows,
            columns,
        };
        attach::ask(&self.inner, id, &request).await
    }

    async fn signal(&self, id: &str, container: &str, signal: &str) -> Result<()> {
        let request = Request::Signal {
            container: container.to_owned(),
            signal: signal.to_owned(),
        };
        attach::ask(&self.inner, id, &request).await
    }

    async fn set_hosts(&self, id: &str, hosts: Vec<(String, String)>) -> Result<()> {
        validate::hosts(&hosts)?;
        attach::ask(&self.inner, id, &Request::SetHosts { hosts }).await
    }

    async fn listening(&self, id: &str) -> Result<Option<BTreeSet<SocketAddr>>> {
        let Some(status) = self.status(id).await? else {
            return Ok(None);
        };
        let running: Vec<i32> = status.containers.iter().filter_map(|it| it.pid).collect();
        // Those that share a network namespace see the same.
        let all = usage::distinct_networks(&running).into_iter();
        Ok((!running.is_empty()).then(|| all.flat_map(listening::addresses).collect()))
    }

    async fn freeze(&self, id: &str, container: &str, frozen: bool) -> Result<()> {
        let request = Request::Freeze {
            container: container.to_owned(),
            frozen,
        };
        attach::ask(&self.inner, id, &request).await
    }

    async fn limit(&self, id: &str, container: &str, change: LimitChange) -> Result<()> {
        let of_container = self.inner.container_group(id, container)?;
        let of_task = TaskCgroup::new(&self.inner.group_of(id))?;
        blocking(move || {
            // Neither may have more of the processors than the one above it: less is said below first,
            // and more is refused there until it is said above.
            let _ = of_container.change(&change);
            of_task.change(&change)?;
            of_task.change_pids(&change)?;
            of_container.change_container(&change)
        })
        .await
    }

    async fn health_log(&self, id: &str, container: &str) -> Result<HealthLog> {
        let request = Request::HealthLog {
            container: container.to_owned(),
        };
        attach::ask_health(&self.inner, id, &request).await
    }

    async fn container_usage(&self, id: &str, container: &str) -> Result<Option<TaskUsage>> {
        self.inner.usage(id, Some(container))
    }

    async fn root(&self, of: RootOf) -> Result<Arc<OwnedFd>> {
        root::root(&self.inner, of).await
    }

    fn changes(&self) -> Changes {
        self.inner.changes.subscribe()
    }
}
