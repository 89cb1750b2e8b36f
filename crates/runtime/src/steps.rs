//! RUN steps of builds: a task of one container that keeps its changes and leaves nothing else.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use engine::{
    ContainerSpec, EngineError, Result, RunStep, StepNetwork, Steps, StopReason, TaskSpec,
    TaskState, TaskStatus,
};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::cleanup::clean_up;
use crate::container::Root;
use crate::daemon::{Connection, Runtime, copy_lines, kill_recorded, launch};
use crate::identity::fresh_cookie;
use crate::order::{Order, StepOrder, TaskFiles, work_beside};
use crate::shim::Message;
use crate::step_network::Lease;

/// How long the last output of a step whose shim was lost may take to be read.
const LAST_OUTPUT_WAIT: Duration = Duration::from_secs(2);

/// Where things are mounted into a step. What is made for that is not the step's change.
const MOUNT_POINTS: [&str; 6] = [
    "etc/hosts",
    "etc/resolv.conf",
    "etc/hostname",
    "proc",
    "dev",
    "sys",
];

#[async_trait]
impl Steps for Runtime {
    async fn run(&self, step: RunStep, output: mpsc::Sender<String>) -> Result<i32> {
        if step.argv.is_empty() {
            return Err(EngineError::invalid("the step has no command"));
        }
        if let Some(outer) = &step.within {
            self.inner.expect_alive(outer)?;
        }
        let id = format!("step-{}", fresh_cookie()?);
        let files = self.inner.files(&id);
        let step_order = step_order(&step)?;
        let mount_points = MountPoints::look(&step)?;
        let (lease, namespace) = match step.network {
            StepNetwork::Host | StepNetwork::None => (None, None),
            StepNetwork::Outward => {
                let (lease, namespace) = self.inner.step_network.take().await?;
                (Some(lease), Some(namespace))
            }
        };
        let interface = lease.as_ref().map(Lease::interface);
        let order = self
            .inner
            .order(task(&step, id, interface), namespace, Some(step_order))?;
        let upper = step.upper.clone();
        let mut guard = Guard {
            files: files.clone(),
            order: order.clone(),
            armed: true,
        };
        std::fs::create_dir_all(&files.directory)?;
        if let Some(text) = &step.stdin {
            std::fs::write(files.step_stdin(), text)?;
        }

        let (sender, receiver) = pipe::pipe()?;
        let stdout = Stdio::from(sender.into_blocking_fd()?);
        let mut connection = launch(&self.inner, &files, &order, stdout).await?;
        let mut copying = pin!(copy_lines(receiver, &output));
        let mut copied = false;
        let last = {
            let mut end = pin!(end_of(&mut connection));
            loop {
                tokio::select! {
                    last = &mut end => break last,
                    () = &mut copying, if !copied => copied = true,
                }
            }
        };
        let code = exit_code(last.as_ref()).ok_or_else(|| connection.last_words());
        if code.is_ok() && last.is_some_and(|status| status.state == TaskState::Stopped) {
            guard.armed = false;
            let _ = std::fs::remove_dir_all(&files.directory);
        }
        // Kills what a lost shim has left, which may hold the output open.
        let was_lost = guard.armed;
        tokio::task::spawn_blocking(move || drop(guard))
            .await
            .map_err(|error| EngineError::machine("a worker panicked").because(error))?;
        if !copied && was_lost {
            // What is there is read; nobody is left to write more.
            let _ = timeout(LAST_OUTPUT_WAIT, copying).await;
        } else if !copied {
            copying.await;
        }
        if let Some(lease) = lease {
            lease.end().await;
        }
        mount_points.remove(&upper)?;
        code.map_err(EngineError::machine)?
    }
}

/// The last that is heard of a step before its shim is gone.
async fn end_of(connection: &mut Connection) -> Option<TaskStatus> {
    let mut last = None;
    while let Some(message) = connection.next().await {
        if let Message::Status(status) = message {
            last = Some(status);
        }
    }
    connection.reap().await;
    last
}

/// What the status says of the step's end; None when it does not know.
fn exit_code(status: Option<&TaskStatus>) -> Option<Result<i32>> {
    let status = status?;
    if let Some(StopReason::CannotStart { message, .. }) = &status.reason {
        return Some(Err(EngineError::invalid(message.clone())));
    }
    status.containers.first()?.exit_code.map(Ok)
}

fn task(step: &RunStep, id: String, interface: Option<String>) -> TaskSpec {
    let container = ContainerSpec {
        name: "step".to_owned(),
        directories: step.directories.clone(),
        argv: step.argv.clone(),
        env: step.env.clone(),
        working_dir: step.working_dir.clone(),
        user: step.user.clone(),
        shm_bytes: step.shm_bytes,
        essential: true,
        ..ContainerSpec::default()
    };
    TaskSpec {
        id,
        interface,
        within: step.within.clone(),
        hostname: "build".to_owned(),
        dns: Vec::new(),
        hosts: step.hosts.clone(),
        cpu_units: None,
        memory_mib: None,
        pids_max: None,
        disk: None,
        gives_way_to_a_full_disk: false,
        containers: vec![container],
        volumes: Vec::new(),
        labels: Default::default(),
    }
}

fn step_order(step: &RunStep) -> Result<StepOrder> {
    if step.upper.file_name().is_none() {
        return Err(EngineError::invalid(
            "the step's upper directory has no name",
        ));
    }
    Ok(StepOrder {
        upper: step.upper.clone(),
        work: work_beside(&step.upper),
        mounts: step.mounts.clone(),
        has_stdin: step.stdin.is_some(),
        network: step.network,
    })
}

/// What mounting makes in a step's upper directory, to be taken out again.
struct MountPoints {
    /// In no layer, relative to the root.
    made: Vec<PathBuf>,
    /// Directories of a layer in which something is made, with that layer.
    touched: Vec<(PathBuf, Root)>,
}

impl MountPoints {
    fn look(step: &RunStep) -> Result<Self> {
        let layer = |path: &PathBuf| Root::open(path);
        let has = |path: &Path| {
            let newest_first = step.directories.iter().rev();
            newest_first
                .map(layer)
                .find(|root| root.as_ref().is_ok_and(|root| root.has(path)))
        };
        let before = Root::open(&step.upper)?;
        let asked = step.mounts.iter().map(|mount| mount.target.as_path());
        let mut points = Self {
            made: Vec::new(),
            touched: Vec::new(),
        };
        for path in asked.chain(MOUNT_POINTS.iter().map(Path::new)) {
            let path = path.strip_prefix("/").unwrap_or(path);
            // From the mount point up to the first directory that is in a layer.
            for path in path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
                if before.has(path) {
                    break;
                }
                match has(path) {
                    Some(layer) => {
                        points.touched.push((path.to_owned(), layer?));
                        break;
                    }
                    None => points.made.push(path.to_owned()),
                }
            }
        }
        Ok(points)
    }

    fn remove(&self, upper: &Path) -> Result<()> {
        let upper = Root::open(upper)?;
        self.made
            .iter()
            .for_each(|path| upper.remove_if_empty(path));
        for (path, layer) in &self.touched {
            upper.remove_if_unchanged(path, layer);
        }
        Ok(())
    }
}

/// Ends the step when nobody waits for it any more, or when its shim could not clean up.
struct Guard {
    files: TaskFiles,
    order: Order,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        kill_recorded(&self.files);
        if let Err(failure) = clean_up(&self.files, &self.order) {
            tracing::error!("could not clean up after a step: {failure}");
        }
        let _ = std::fs::remove_dir_all(&self.files.directory);
    }
}
