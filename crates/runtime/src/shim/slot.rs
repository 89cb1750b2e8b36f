//! One container of the task, from its start to its end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use engine::{ContainerSpec, ContainerState, ContainerStatus, Health};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::health::HealthProbe;
use super::output::{LogFile, LogPipe};
use super::process::{null, pidfd, send_signal, signal_number};
use crate::cgroup::TaskCgroup;
use crate::container::{self, Streams, TaskMounts};
use crate::error::{Context, Failure, Result};
use crate::order::{Order, TaskFiles, container_data};
use crate::overlay::Overlay;
use crate::time::now_ms;

const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

pub(super) struct Slot {
    index: usize,
    pub status: ContainerStatus,
    process: Option<Process>,
    pub health: Option<HealthProbe>,
}

struct Process {
    pid: i32,
    pidfd: OwnedFd,
    log: LogFile,
    pipes: Vec<LogPipe>,
    /// Set when it was asked to end: when it is made to.
    kill_at: Option<Instant>,
}

impl Slot {
    pub fn new(index: usize, spec: &ContainerSpec) -> Self {
        Self {
            index,
            status: pending(spec),
            process: None,
            health: None,
        }
    }

    /// Starts the container. Returns when its program has been executed.
    pub fn start(
        &mut self,
        files: &TaskFiles,
        order: &Order,
        task_mounts: &TaskMounts,
    ) -> Result<()> {
        let spec = &order.spec.containers[self.index];
        // Refused now rather than when it is too late.
        signal_number(&spec.stop_signal)?;
        let root = overlay(order, self.index).mount(&spec.directories)?;
        let confinement = container::write_bundle(files, order, self.index, &root, task_mounts)?;
        let log = LogFile::open(spec.log_file.clone())?;
        let (pipes, streams) = streams(files, order)?;
        let created = container::create(files, self.index, confinement, streams)?;
        let pid = created
            .pid()
            .ok_or_else(|| Failure("it has no process".to_owned()))?;
        let pidfd =
            pidfd(Pid::from_raw(pid)).context(|| "could not watch its process".to_owned())?;
        self.process = Some(Process {
            pid,
            pidfd,
            log,
            pipes,
            kill_at: None,
        });
        if let Err(failure) = created.start() {
            self.kill();
            self.process = None;
            return Err(failure);
        }
        self.status.state = ContainerState::Running;
        self.status.pid = Some(pid);
        self.status.started_at_ms = Some(now_ms());
        self.health = HealthProbe::new(spec.health_check.as_ref(), self.index);
        Ok(())
    }

    /// Records that the container never ran.
    pub fn never_ran(&mut self, reason: Option<String>) {
        self.status.state = ContainerState::Stopped;
        self.status.reason = reason;
        self.status.stopped_at_ms = Some(now_ms());
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// What to wait for.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let process = self.process.iter().flat_map(|process| {
            let pipes = process.pipes.iter().filter(|pipe| !pipe.ended);
            std::iter::once(process.pidfd.as_fd()).chain(pipes.map(LogPipe::as_fd))
        });
        let probe = self
            .health
            .iter()
            .filter_map(|probe| Some(probe.pidfd()?.as_fd()));
        process.chain(probe).collect()
    }

    /// When to look again even if nothing happens.
    pub fn next_turn(&self) -> Option<Instant> {
        let kill_at = self.process.as_ref().and_then(|process| process.kill_at);
        let probe = self.health.as_ref().map(HealthProbe::next_turn);
        kill_at.into_iter().chain(probe).min()
    }

    /// Copies output, notices the end, probes, and kills when it is time.
    pub fn turn(&mut self, files: &TaskFiles, order: &Order, cgroup: &TaskCgroup, now: Instant) {
        let Some(process) = &mut self.process else {
            return;
        };
        for pipe in &mut process.pipes {
            pipe.copy_some(&mut process.log);
        }
        match waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {}
            Ok(WaitStatus::Exited(_, code)) => return self.ended(code, cgroup),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return self.ended(128 + signal as i32, cgroup);
            }
            // Stopped or continued by a debugger.
            Ok(_) => {}
            Err(error) => {
                eprintln!("could not wait for `{}`: {error}", self.status.name);
                return self.ended(128 + libc::SIGKILL, cgroup);
            }
        }
        if process.kill_at.is_some_and(|kill_at| now >= kill_at) {
            process.kill_at = None;
            send_signal(process.pid, libc::SIGKILL);
        }
        if let Some(probe) = &mut self.health {
            probe.turn(files, order, now);
            self.status.health = probe.health;
        }
    }

    /// Asks the container to end. Asking again changes nothing.
    pub fn stop(&mut self, spec: &ContainerSpec, now: Instant) {
        let Some(process) = &mut self.process else {
            return;
        };
        // While it ends it is not expected to answer.
        self.health = None;
        if process.kill_at.is_none() {
            let signal = signal_number(&spec.stop_signal).unwrap_or(libc::SIGTERM);
            send_signal(process.pid, signal);
            process.kill_at = Some(now + Duration::from_millis(spec.stop_timeout_ms));
        }
    }

    fn ended(&mut self, code: i32, cgroup: &TaskCgroup) {
        self.health = None;
        if let Some(mut process) = self.process.take() {
            for pipe in &mut process.pipes {
                pipe.copy_rest(&mut process.log);
            }
        }
        self.status.state = ContainerState::Stopped;
        self.status.pid = None;
        self.status.exit_code = Some(code);
        self.status.stopped_at_ms = Some(now_ms());
        if cgroup.oom_kills(&container::container_id(self.index)) > 0 {
            self.status.reason = Some(OUT_OF_MEMORY.to_owned());
        }
    }

    fn kill(&self) {
        if let Some(process) = &self.process {
            send_signal(process.pid, libc::SIGKILL);
            let _ = waitpid(Pid::from_raw(process.pid), None);
        }
    }
}

fn pending(spec: &ContainerSpec) -> ContainerStatus {
    ContainerStatus {
        name: spec.name.clone(),
        state: ContainerState::Pending,
        pid: None,
        exit_code: None,
        reason: None,
        health: Health::Unknown,
        started_at_ms: None,
        stopped_at_ms: None,
    }
}

fn overlay(order: &Order, index: usize) -> Overlay {
    let base = container_data(&order.data, index);
    match &order.step {
        Some(step) => Overlay::keeping(base, step.upper.clone(), step.work.clone()),
        None => Overlay::new(base),
    }
}

/// A task's output is copied into its log. A step's goes to the shim's own standard output, where
/// the builder reads it.
fn streams(files: &TaskFiles, order: &Order) -> Result<(Vec<LogPipe>, Streams)> {
    if let Some(step) = &order.step {
        let output = || {
            let stdout = std::io::stdout().as_fd().try_clone_to_owned();
            stdout.context(|| "could not duplicate standard output".to_owned())
        };
        let stdin = if step.has_stdin {
            let file = std::fs::File::open(files.step_stdin());
            file.context(|| "could not open the step's input".to_owned())?
                .into()
        } else {
            null()?
        };
        let streams = Streams {
            stdin,
            stdout: output()?,
            stderr: output()?,
        };
        return Ok((Vec::new(), streams));
    }
    let (out, stdout) = LogPipe::new()?;
    let (err, stderr) = LogPipe::new()?;
    let streams = Streams {
        stdin: null()?,
        stdout,
        stderr,
    };
    Ok((vec![out, err], streams))
}
