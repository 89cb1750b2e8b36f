//! The shim: one process with one thread that supervises one task and outlives the daemon.
//!
//! It waits for everything at once (its containers' ends and output, health probes, daemons that
//! connect or ask) and then takes a turn: collect what happened, decide (see [`decide`]), act, tell.

mod clients;
mod decide;
mod health;
mod output;
mod process;
mod slot;

use std::path::Path;
use std::time::{Duration, Instant};

use engine::{ContainerStatus, StopReason, TaskState, TaskStatus};
use nix::sys::stat::Mode;

use crate::cgroup::{Limits, TaskCgroup};
use crate::cleanup::clean_up;
use crate::container::{TaskMounts, write_task_files};
use crate::error::{Failure, Result};
use crate::identity::Identity;
use crate::order::{Claim, Order, TaskFiles, Wait};
use crate::time::now_ms;
use clients::Clients;
pub(crate) use clients::{Message, Request, connect};
use decide::Readiness;
use slot::Slot;

/// Supervises the task in this directory to its end. See [`crate::main`].
pub(crate) fn shim_main(directory: &Path) -> i32 {
    // A session of its own: signals to the daemon's terminal or group are not for the containers.
    let _ = nix::unistd::setsid();
    // Not to hold the directory that the daemon was started in.
    let _ = std::env::set_current_dir("/");
    nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
    let _ = nix::sys::prctl::set_name(c"neargate-shim");
    let supervisor = Supervisor::new(TaskFiles::new(directory));
    match supervisor.and_then(Supervisor::run) {
        Ok(()) => 0,
        Err(failure) => {
            // The daemon sees the connection close, and cleans up.
            eprintln!("the shim gives up: {failure}");
            1
        }
    }
}

struct Supervisor {
    files: TaskFiles,
    order: Order,
    cgroup: TaskCgroup,
    clients: Clients,
    slots: Vec<Slot>,
    task_mounts: TaskMounts,
    stop_reason: Option<StopReason>,
    started_at_ms: Option<i64>,
    told: Option<TaskStatus>,
    /// Held to the end.
    _claim: Option<Claim>,
}

impl Supervisor {
    fn new(files: TaskFiles) -> Result<Self> {
        let starter = process::take_starter()?;
        let claim = files.claim(Wait::Yes)?;
        // A daemon that found the order without a shim has given the task up, and said so.
        if files.status().exists() || !files.order().exists() {
            return Err(Failure("the task was given up before it began".to_owned()));
        }
        let order = files.read_order()?;
        Identity::own(&order.cookie)?.write(&files)?;
        let clients = Clients::new(&files, &order.cookie, starter)?;
        let slots = order.spec.containers.iter().enumerate();
        Ok(Self {
            cgroup: TaskCgroup::new(&order.cgroup)?,
            slots: slots.map(|(index, spec)| Slot::new(index, spec)).collect(),
            files,
            order,
            clients,
            task_mounts: Vec::new(),
            stop_reason: None,
            started_at_ms: None,
            told: None,
            _claim: claim,
        })
    }

    fn run(mut self) -> Result<()> {
        self.tell();
        if let Err(failure) = self.set_up() {
            let container = self.slots.first().map(|slot| slot.status.name.clone());
            self.stop_reason = Some(StopReason::CannotStart {
                container: container.unwrap_or_default(),
                message: failure.0,
            });
        }
        loop {
            self.decide();
            if self.stop_reason.is_some() && !self.slots.iter().any(Slot::is_running) {
                return self.finish();
            }
            self.tell();
            self.wait();
            self.collect();
        }
    }

    fn set_up(&mut self) -> Result<()> {
        let spec = &self.order.spec;
        self.cgroup.create(&Limits {
            cpu_units: spec.cpu_units,
            memory_mib: spec.memory_mib,
            pids_max: spec.pids_max,
        })?;
        self.task_mounts = write_task_files(&self.files, spec)?;
        Ok(())
    }

    /// Starts what may be started, and finds out whether the task has to end; once it has to, stops
    /// what may be stopped.
    fn decide(&mut self) {
        if self.stop_reason.is_none() {
            self.start_ready();
            let specs = &self.order.spec.containers;
            self.stop_reason = self
                .stop_reason
                .take()
                .or_else(|| decide::reason_to_end(specs, &self.statuses()));
        }
        if self.stop_reason.is_some() {
            let statuses = self.statuses();
            let specs = &self.order.spec.containers;
            let now = Instant::now();
            for (slot, spec) in self.slots.iter_mut().zip(specs) {
                if decide::may_stop(spec, specs, &statuses) {
                    slot.stop(spec, now);
                }
            }
        }
    }

    /// Starting one may make others ready, whatever their order, so this goes round until it does
    /// not.
    fn start_ready(&mut self) {
        loop {
            let mut started = false;
            for index in 0..self.slots.len() {
                if self.slots[index].status.state != engine::ContainerState::Pending {
                    continue;
                }
                let specs = &self.order.spec.containers;
                match decide::readiness(&specs[index], specs, &self.statuses(), now_ms()) {
                    Readiness::Waiting => {}
                    Readiness::Never(reason) => {
                        self.stop_reason = Some(reason);
                        return;
                    }
                    Readiness::Ready => {
                        if !self.start(index) {
                            return;
                        }
                        started = true;
                    }
                }
            }
            if !started {
                return;
            }
        }
    }

    /// Whether it could be started.
    fn start(&mut self, index: usize) -> bool {
        let slot = &mut self.slots[index];
        match slot.start(&self.files, &self.order, &self.task_mounts) {
            Ok(()) => {
                self.started_at_ms.get_or_insert_with(now_ms);
                true
            }
            Err(Failure(message)) => {
                slot.never_ran(Some(message.clone()));
                self.stop_reason = Some(StopReason::CannotStart {
                    container: slot.status.name.clone(),
                    message,
                });
                false
            }
        }
    }

    fn wait(&self) {
        let mut descriptors = vec![self.clients.listener()];
        descriptors.extend(self.clients.streams());
        descriptors.extend(self.slots.iter().flat_map(Slot::descriptors));
        let now = Instant::now();
        let turn = self.slots.iter().filter_map(Slot::next_turn).min();
        let until_turn = turn.map(|turn| turn.saturating_duration_since(now));
        let now_ms = now_ms();
        let deadline =
            decide::next_deadline_ms(&self.order.spec.containers, &self.statuses(), now_ms);
        let until_deadline = deadline
            .filter(|_| self.stop_reason.is_none())
            .map(|deadline| Duration::from_millis(deadline.saturating_sub(now_ms).max(0) as u64));
        process::wait_readable(
            &descriptors,
            until_turn.into_iter().chain(until_deadline).min(),
        );
    }

    fn collect(&mut self) {
        let now = Instant::now();
        for slot in &mut self.slots {
            slot.turn(&self.files, &self.order, &self.cgroup, now);
        }
        let status = self.status();
        self.clients.accept(&status);
        for request in self.clients.requests() {
            match request {
                Request::Stop { reason } => {
                    self.stop_reason
                        .get_or_insert(StopReason::Requested(reason));
                }
            }
        }
    }

    fn statuses(&self) -> Vec<ContainerStatus> {
        self.slots.iter().map(|slot| slot.status.clone()).collect()
    }

    fn status(&self) -> TaskStatus {
        let containers = self.statuses();
        TaskStatus {
            id: self.order.spec.id.clone(),
            state: decide::task_state(&containers, self.stop_reason.is_some()),
            containers,
            reason: self.stop_reason.clone(),
            started_at_ms: self.started_at_ms,
            stopped_at_ms: None,
            labels: self.order.spec.labels.clone(),
        }
    }

    /// Writes down and tells what has changed.
    fn tell(&mut self) {
        self.tell_status(self.status());
    }

    fn tell_status(&mut self, status: TaskStatus) {
        if self.told.as_ref() == Some(&status) {
            return;
        }
        // The first is what the order says already.
        if self.told.is_some()
            && let Err(failure) = self.files.write_status(&status)
        {
            eprintln!("{failure}");
        }
        self.clients.publish(&status);
        self.told = Some(status);
    }

    /// Nothing runs any more: clean up, and only then say so.
    fn finish(mut self) -> Result<()> {
        for slot in &mut self.slots {
            if slot.status.state == engine::ContainerState::Pending {
                slot.never_ran(None);
            }
        }
        self.tell();
        clean_up(&self.files, &self.order)?;
        let mut status = self.status();
        status.state = TaskState::Stopped;
        status.stopped_at_ms = Some(now_ms());
        self.tell_status(status);
        Ok(())
    }
}
