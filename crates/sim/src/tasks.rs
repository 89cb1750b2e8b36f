//! Tasks that run as soon as they are started, until a test or a stop ends them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use engine::*;
use tokio::sync::{broadcast, mpsc};

pub struct SimTasks {
    tasks: Mutex<BTreeMap<String, (TaskSpec, TaskStatus)>>,
    changes: broadcast::Sender<String>,
    /// When set, every start ends with this message.
    pub broken: Mutex<Option<String>>,
    /// What tasks have used.
    usage: Mutex<BTreeMap<String, TaskUsage>>,
}

impl Default for SimTasks {
    fn default() -> Self {
        Self {
            tasks: Mutex::default(),
            changes: broadcast::channel(1024).0,
            broken: Mutex::default(),
            usage: Mutex::default(),
        }
    }
}

impl SimTasks {
    /// What was asked for.
    pub fn spec(&self, id: &str) -> Option<TaskSpec> {
        self.tasks
            .lock()
            .expect("no panic")
            .get(id)
            .map(|it| it.0.clone())
    }

    /// Ids of the tasks that run.
    pub fn running(&self) -> Vec<String> {
        let tasks = self.tasks.lock().expect("no panic");
        tasks
            .iter()
            .filter(|(_, it)| it.1.state == TaskState::Running)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Lets a container exit; an essential one ends its task.
    pub fn exit(&self, id: &str, container: &str, code: i32) {
        self.end(
            id,
            StopReason::EssentialContainerExited {
                container: container.into(),
            },
            code,
        );
    }

    /// Lets the supervisor vanish.
    pub fn lose(&self, id: &str) {
        self.end(id, StopReason::SupervisorLost, 137);
    }

    /// What a task has used since its start.
    pub fn set_usage(&self, id: &str, usage: TaskUsage) {
        self.usage.lock().expect("no panic").insert(id.into(), usage);
    }

    /// Sets a container's health.
    pub fn set_health(&self, id: &str, container: &str, health: Health) {
        if let Some((_, status)) = self.tasks.lock().expect("no panic").get_mut(id) {
            for it in status
                .containers
                .iter_mut()
                .filter(|it| it.name == container)
            {
                it.health = health;
            }
        }
        let _ = self.changes.send(id.into());
    }

    fn end(&self, id: &str, reason: StopReason, code: i32) {
        if let Some((_, status)) = self.tasks.lock().expect("no panic").get_mut(id) {
            if status.state == TaskState::Stopped {
                return;
            }
            status.state = TaskState::Stopped;
            status.reason = Some(reason);
            status.stopped_at_ms = Some(1);
            for container in &mut status.containers {
                container.state = ContainerState::Stopped;
                container.exit_code = Some(code);
                container.stopped_at_ms = Some(1);
            }
        }
        let _ = self.changes.send(id.into());
    }
}

fn started(spec: &TaskSpec) -> TaskStatus {
    let containers = spec.containers.iter().map(|it| ContainerStatus {
        name: it.name.clone(),
        state: ContainerState::Running,
        pid: Some(1),
        exit_code: None,
        reason: None,
        health: Health::Unknown,
        started_at_ms: Some(1),
        stopped_at_ms: None,
    });
    TaskStatus {
        id: spec.id.clone(),
        state: TaskState::Running,
        containers: containers.collect(),
        reason: None,
        started_at_ms: Some(1),
        stopped_at_ms: None,
        labels: spec.labels.clone(),
    }
}

#[async_trait]
impl Tasks for SimTasks {
    async fn start(&self, spec: TaskSpec) -> Result<()> {
        let id = spec.id.clone();
        if self.tasks.lock().expect("no panic").contains_key(&id) {
            return Ok(());
        }
        let status = started(&spec);
        let first = spec
            .containers
            .first()
            .map(|it| it.name.clone())
            .unwrap_or_default();
        self.tasks
            .lock()
            .expect("no panic")
            .insert(id.clone(), (spec, status));
        let _ = self.changes.send(id.clone());
        if let Some(message) = self.broken.lock().expect("no panic").clone() {
            self.end(
                &id,
                StopReason::CannotStart {
                    container: first,
                    message,
                },
                1,
            );
        }
        Ok(())
    }
    async fn stop(&self, id: &str, reason: &str) -> Result<()> {
        self.end(id, StopReason::Requested(reason.into()), 0);
        Ok(())
    }
    async fn status(&self, id: &str) -> Result<Option<TaskStatus>> {
        Ok(self
            .tasks
            .lock()
            .expect("no panic")
            .get(id)
            .map(|it| it.1.clone()))
    }
    async fn list(&self) -> Result<Vec<TaskStatus>> {
        Ok(self
            .tasks
            .lock()
            .expect("no panic")
            .values()
            .map(|it| it.1.clone())
            .collect())
    }
    async fn remove(&self, id: &str) -> Result<()> {
        self.tasks.lock().expect("no panic").remove(id);
        Ok(())
    }
    async fn usage(&self, id: &str) -> Result<Option<TaskUsage>> {
        let known = self.usage.lock().expect("no panic").get(id).copied();
        let there = self.status(id).await?;
        Ok(there.map(|_| known.unwrap_or_default()))
    }
    async fn exec(
        &self,
        _id: &str,
        _container: &str,
        _argv: Vec<String>,
        _output: mpsc::Sender<String>,
    ) -> Result<i32> {
        Err(EngineError::machine(
            "the simulated machine runs no commands",
        ))
    }
    async fn attach(&self, _id: &str, _container: &str, _input: AttachInput) -> Result<Attached> {
        Err(EngineError::machine("not built"))
    }
    async fn exec_attached(
        &self,
        _id: &str,
        _container: &str,
        _command: engine::ExecSpec,
    ) -> Result<engine::ExecSession> {
        Err(engine::EngineError::machine("not built"))
    }
    async fn resize(
        &self,
        _id: &str,
        _container: &str,
        _exec: Option<&str>,
        _rows: u16,
        _columns: u16,
    ) -> Result<()> {
        Err(engine::EngineError::machine("not built"))
    }
    async fn signal(&self, _id: &str, _container: &str, _signal: &str) -> Result<()> {
        Err(engine::EngineError::machine("not built"))
    }
    async fn set_hosts(&self, _id: &str, _hosts: Vec<(String, String)>) -> Result<()> {
        Err(EngineError::machine("not built"))
    }
    async fn container_usage(&self, id: &str, _container: &str) -> Result<Option<TaskUsage>> {
        self.usage(id).await
    }
    async fn root(&self, _of: RootOf) -> Result<std::sync::Arc<std::os::fd::OwnedFd>> {
        Err(EngineError::machine("the simulated machine has no files"))
    }
    fn changes(&self) -> Changes {
        self.changes.subscribe()
    }
}
