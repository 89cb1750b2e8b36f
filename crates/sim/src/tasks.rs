//! Tasks that run as soon as they are started, until a test or a stop ends them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use engine::*;
use tokio::sync::{broadcast, mpsc};

use crate::doors::Doors;

pub struct SimTasks {
    tasks: Mutex<BTreeMap<String, (TaskSpec, TaskStatus)>>,
    changes: broadcast::Sender<String>,
    doors: Doors,
    /// When set, every start ends with this message.
    pub broken: Mutex<Option<String>>,
    /// What the machine's clock says, which may be anything, in milliseconds since 1970.
    clock_ms: Mutex<i64>,
    /// What tasks have used.
    usage: Mutex<BTreeMap<String, TaskUsage>>,
    /// Where programs of tasks accept connections.
    listening: Mutex<BTreeMap<String, BTreeSet<SocketAddr>>>,
    /// What commands in a task answer, by the task: an exit code and lines.
    answers: Mutex<BTreeMap<String, (i32, Vec<String>)>>,
    /// Tasks whose commands do not end.
    hanging: Mutex<BTreeSet<String>>,
    /// Commands that were run, after their task.
    commands: Mutex<Vec<(String, Vec<String>)>>,
}

impl Default for SimTasks {
    fn default() -> Self {
        Self {
            tasks: Mutex::default(),
            changes: broadcast::channel(1024).0,
            doors: Doors::default(),
            broken: Mutex::default(),
            clock_ms: Mutex::new(1),
            usage: Mutex::default(),
            listening: Mutex::default(),
            answers: Mutex::default(),
            hanging: Mutex::default(),
            commands: Mutex::default(),
        }
    }
}

impl SimTasks {
    /// Sets the machine's clock, by which tasks say when they started and stopped.
    pub fn set_clock(&self, now_ms: i64) {
        *self.clock_ms.lock().expect("no panic") = now_ms;
    }

    fn clock_ms(&self) -> i64 {
        *self.clock_ms.lock().expect("no panic")
    }

    /// Lets the programs of a task accept connections at these addresses, and at no other.
    pub fn listen(&self, id: &str, at: &[SocketAddr]) {
        let mut listening = self.listening.lock().expect("no panic");
        listening.insert(id.to_owned(), at.iter().copied().collect());
    }

    /// Lets every command in a task end with this code after these lines.
    pub fn answer(&self, id: &str, code: i32, lines: &[&str]) {
        let lines = lines.iter().map(|it| (*it).to_owned()).collect();
        let mut answers = self.answers.lock().expect("no panic");
        answers.insert(id.to_owned(), (code, lines));
    }

    /// Lets no command in a task end.
    pub fn hang(&self, id: &str) {
        self.hanging.lock().expect("no panic").insert(id.to_owned());
    }

    /// The commands that were run in a task.
    pub fn commands(&self, id: &str) -> Vec<Vec<String>> {
        let all = self.commands.lock().expect("no panic");
        let own = all.iter().filter(|it| it.0 == id);
        own.map(|it| it.1.clone()).collect()
    }

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

    /// Lets a container say something to those who are attached to it.
    pub async fn say(&self, id: &str, container: &str, stream: OutputStream, text: &str) {
        let attached = self.doors.listeners(id, container);
        for output in attached {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            let _ = output.send((stream, bytes)).await;
        }
    }

    /// What was written to a container's input.
    pub fn heard(&self, id: &str, container: &str) -> String {
        self.doors.heard(id, container)
    }

    /// Signals, and sizes of terminals, that were asked for, as `SIGTERM` and `24x80`.
    pub fn asked(&self, id: &str, container: &str) -> Vec<String> {
        self.doors.asked(id, container)
    }

    /// The container's specification. `NotFound` when it does not run.
    fn running_container(&self, id: &str, container: &str) -> Result<ContainerSpec> {
        let tasks = self.tasks.lock().expect("no panic");
        let task = tasks.get(id).filter(|it| it.1.state != TaskState::Stopped);
        let found = task.and_then(|it| it.0.containers.iter().find(|it| it.name == container));
        found.cloned().ok_or_else(|| {
            EngineError::not_found(format!("no container `{container}` runs in `{id}`"))
        })
    }

    /// Lets the supervisor vanish.
    pub fn lose(&self, id: &str) {
        self.end(id, StopReason::SupervisorLost, 137);
    }

    /// What a task has used since its start.
    pub fn set_usage(&self, id: &str, usage: TaskUsage) {
        self.usage
            .lock()
            .expect("no panic")
            .insert(id.into(), usage);
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
            self.doors.close(id);
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

fn started(spec: &TaskSpec, now_ms: i64) -> TaskStatus {
    let containers = spec.containers.iter().map(|it| ContainerStatus {
        name: it.name.clone(),
        state: ContainerState::Running,
        pid: Some(1),
        exit_code: None,
        reason: None,
        health: Health::Unknown,
        started_at_ms: Some(now_ms),
        stopped_at_ms: None,
    });
    TaskStatus {
        id: spec.id.clone(),
        state: TaskState::Running,
        containers: containers.collect(),
        reason: None,
        started_at_ms: Some(now_ms),
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
        let status = started(&spec, self.clock_ms());
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
        id: &str,
        _container: &str,
        argv: Vec<String>,
        output: mpsc::Sender<String>,
    ) -> Result<i32> {
        let hangs = self.hanging.lock().expect("no panic").contains(id);
        if hangs {
            std::future::pending::<()>().await;
        }
        let answer = self.answers.lock().expect("no panic").get(id).cloned();
        let (code, lines) =
            answer.ok_or_else(|| EngineError::machine("the simulated machine runs no commands"))?;
        let command = (id.to_owned(), argv);
        self.commands.lock().expect("no panic").push(command);
        for line in lines {
            // Whoever does not listen hears nothing.
            let _ = output.send(line).await;
        }
        Ok(code)
    }
    async fn attach(&self, id: &str, container: &str, input: AttachInput) -> Result<Attached> {
        let spec = self.running_container(id, container)?;
        let has_input = spec.stdin && input == AttachInput::Join;
        Ok(self.doors.attach(id, container, has_input))
    }
    async fn exec_attached(
        &self,
        id: &str,
        container: &str,
        _command: ExecSpec,
    ) -> Result<ExecSession> {
        self.running_container(id, container)?;
        Err(EngineError::machine(
            "the simulated machine runs no commands",
        ))
    }
    async fn resize(
        &self,
        id: &str,
        container: &str,
        exec: Option<&str>,
        rows: u16,
        columns: u16,
    ) -> Result<()> {
        let spec = self.running_container(id, container)?;
        if let Some(exec) = exec {
            let message = format!("no command `{exec}` with a terminal runs");
            return Err(EngineError::not_found(message));
        }
        if !spec.terminal {
            let message = format!("the container `{container}` has no terminal");
            return Err(EngineError::invalid(message));
        }
        self.doors.ask(id, container, format!("{rows}x{columns}"));
        Ok(())
    }
    async fn signal(&self, id: &str, container: &str, signal: &str) -> Result<()> {
        self.running_container(id, container)?;
        self.doors.ask(id, container, signal.to_owned());
        Ok(())
    }
    async fn set_hosts(&self, id: &str, hosts: Vec<(String, String)>) -> Result<()> {
        let mut tasks = self.tasks.lock().expect("no panic");
        let task = tasks.get_mut(id);
        let task = task.filter(|it| it.1.state != TaskState::Stopped);
        let missing = || EngineError::not_found(format!("there is no task `{id}` that runs"));
        task.ok_or_else(missing)?.0.hosts = hosts;
        Ok(())
    }
    async fn listening(&self, id: &str) -> Result<Option<BTreeSet<SocketAddr>>> {
        let runs = self.running().iter().any(|it| it == id);
        let listening = self.listening.lock().expect("no panic");
        Ok(runs.then(|| listening.get(id).cloned().unwrap_or_default()))
    }
    async fn freeze(&self, id: &str, container: &str, frozen: bool) -> Result<()> {
        self.running_container(id, container)?;
        let asked = if frozen { "freeze" } else { "thaw" };
        self.doors.ask(id, container, asked.to_owned());
        Ok(())
    }
    async fn limit(&self, id: &str, container: &str, change: LimitChange) -> Result<()> {
        self.running_container(id, container)?;
        self.doors.ask(id, container, format!("{change:?}"));
        Ok(())
    }
    async fn health_log(&self, id: &str, container: &str) -> Result<HealthLog> {
        self.running_container(id, container)?;
        Ok(HealthLog::default())
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
