//! One container of the task, from its start to its end.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use engine::{ContainerSpec, ContainerState, ContainerStatus, Health, OutputStream};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::attach::{Attachments, Input};
use super::clients::Refusal;
use super::health::HealthProbe;
use super::output::{LogFile, LogPipe, Sink};
use super::process::{Interest, pidfd, readable, send_signal, signal_number};
use super::stdio::{Stdio, stdio};
use crate::cgroup::TaskCgroup;
use crate::container::{self, TaskMounts, Terminal};
use crate::error::{Context, Failure, Result};
use crate::order::{Order, StepOrder, TaskFiles, container_data, work_beside};
use crate::overlay::Overlay;
use crate::time::now_ms;

const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

pub(super) struct Slot {
    index: usize,
    pub status: ContainerStatus,
    process: Option<Process>,
    pub health: Option<HealthProbe>,
    pub attached: Attachments,
    /// Rows and columns, asked for before it runs.
    terminal_size: Option<(u16, u16)>,
}

struct Process {
    pid: i32,
    pidfd: OwnedFd,
    log: LogFile,
    pipes: Vec<LogPipe>,
    input: Option<Input>,
    terminal: Option<Terminal>,
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
            attached: Attachments::default(),
            terminal_size: None,
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
        let root = mount_root(order, self.index)?;
        let bundle = container::write_bundle(files, order, self.index, &root, task_mounts)?;
        let mut log = LogFile::open(spec.log_file.clone(), spec.log_tags)?;
        log.hides.clone_from(&spec.log_hides);
        let Stdio {
            mut pipes,
            mut input,
            theirs,
        } = stdio(files, order, spec, bundle.owner)?;
        let mut created = container::create(files, self.index, bundle.confinement, theirs)?;
        let terminal = created.take_terminal();
        if let Some(terminal) = &terminal {
            terminal.give_to(bundle.owner)?;
            if let Some((rows, columns)) = self.terminal_size {
                terminal.resize(rows, columns)?;
            }
            pipes.push(LogPipe::reading(terminal.file()?, OutputStream::Stdout));
            input = match spec.stdin {
                true => Some(Input::new(terminal.file()?, false)),
                false => None,
            };
        }
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
            input,
            terminal,
            kill_at: None,
        });
        let is_alone = order.step.as_ref().is_some_and(StepOrder::is_alone);
        let prepared = match is_alone {
            true => container::bring_up_loopback(pid),
            false => Ok(()),
        };
        if let Err(failure) = prepared.and_then(|()| created.start()) {
            self.kill();
            self.process = None;
            return Err(failure);
        }
        self.status.state = ContainerState::Running;
        self.status.pid = Some(pid);
        self.status.started_at_ms = Some(now_ms());
        self.health = HealthProbe::new(spec, self.index);
        Ok(())
    }

    /// Records that the container never ran.
    pub fn never_ran(&mut self, reason: Option<String>) {
        self.status.state = ContainerState::Stopped;
        self.status.reason = reason;
        self.status.stopped_at_ms = Some(now_ms());
        self.attached.finish();
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// What to wait for.
    pub fn interests(&self) -> Vec<Interest<'_>> {
        let process = self.process.as_ref();
        let input = process.and_then(|process| process.input.as_ref());
        let pipes = process
            .filter(|_| !self.attached.hold_up())
            .into_iter()
            .flat_map(|process| process.pipes.iter().filter(|pipe| !pipe.ended));
        let probe = self.health.iter().flat_map(HealthProbe::interests);
        let mut interests: Vec<Interest<'_>> = pipes.map(|pipe| readable(pipe.as_fd())).collect();
        interests.extend(process.map(|process| readable(process.pidfd.as_fd())));
        interests.extend(probe);
        interests.extend(input.and_then(Input::interest));
        let wants_input = input.is_some_and(Input::wants_more);
        interests.extend(self.attached.interests(wants_input));
        interests
    }

    /// When to look again even if nothing happens.
    pub fn next_turn(&self) -> Option<Instant> {
        let kill_at = self.process.as_ref().and_then(|process| process.kill_at);
        let probe = self.health.as_ref().and_then(HealthProbe::next_turn);
        let attached = self.attached.next_turn();
        kill_at.into_iter().chain(probe).chain(attached).min()
    }

    /// Copies output, notices the end, probes, and kills when it is time.
    pub fn turn(&mut self, files: &TaskFiles, order: &Order, cgroup: &TaskCgroup, now: Instant) {
        let Some(process) = &mut self.process else {
            self.attached.flush(now);
            return;
        };
        if let Some(input) = &mut process.input {
            input.flush();
            self.attached.take_input(input);
        }
        self.attached.flush(now);
        let mut sink = Sink {
            log: &mut process.log,
            attached: &mut self.attached,
        };
        for pipe in &mut process.pipes {
            pipe.copy_some(&mut sink);
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
                crate::error::note!("could not wait for `{}`: {error}", self.status.name);
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

    /// Sends it a signal that it may do with as it likes.
    pub fn signal(&self, signal: &str) -> Result<(), Refusal> {
        let Some(process) = &self.process else {
            return Err(Refusal {
                not_found: true,
                message: format!("the container `{}` does not run", self.status.name),
            });
        };
        let number = signal_number(signal).map_err(|Failure(message)| Refusal {
            not_found: false,
            message,
        })?;
        send_signal(process.pid, number);
        Ok(())
    }

    /// Sets the size of its terminal, or remembers it for its start.
    pub fn resize(&mut self, rows: u16, columns: u16) -> Result<()> {
        self.terminal_size = Some((rows, columns));
        let terminal = self.process.as_ref().and_then(|it| it.terminal.as_ref());
        terminal.map_or(Ok(()), |terminal| terminal.resize(rows, columns))
    }

    fn ended(&mut self, code: i32, cgroup: &TaskCgroup) {
        self.health = None;
        if let Some(mut process) = self.process.take() {
            let mut sink = Sink {
                log: &mut process.log,
                attached: &mut self.attached,
            };
            for pipe in &mut process.pipes {
                pipe.copy_rest(&mut sink);
            }
        }
        self.attached.finish();
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

fn mount_root(order: &Order, index: usize) -> Result<PathBuf> {
    let spec = &order.spec.containers[index];
    let base = container_data(&order.data, index);
    if let Some(step) = &order.step {
        let overlay = Overlay::keeping(base, step.upper.clone(), step.work.clone());
        return overlay.mount(&spec.directories);
    }
    let Some(upper) = &spec.upper else {
        return Overlay::new(base).mount(&spec.directories);
    };
    let points = base.join("points");
    std::fs::create_dir_all(&base).context(|| format!("could not make `{}`", base.display()))?;
    container::mount_points(&points, &spec.directories)?;
    let mut directories = spec.directories.clone();
    directories.push(points);
    Overlay::keeping_well(base, upper.clone(), work_beside(upper)).mount(&directories)
}
