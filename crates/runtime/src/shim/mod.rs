//! The shim: one process with one thread that supervises one task and outlives the daemon.
//!
//! It waits for everything at once (its containers' ends and output, health probes, daemons that
//! connect or ask) and then takes a turn: collect what happened, decide (see [`decide`]), act, tell.

mod attach;
mod clients;
mod decide;
mod health;
mod output;
pub(crate) mod process;
mod slot;
mod stdio;

use std::path::Path;
use std::time::{Duration, Instant};

use engine::{
    AttachInput, ContainerState, ContainerStatus, StopReason, TaskState, TaskStatus, check_room,
};
use nix::sys::stat::Mode;

use crate::cgroup::{Limits, TaskCgroup};
use crate::cleanup::clean_up;
use crate::container::{TaskMounts, container_id, write_hosts, write_task_files};
use crate::error::{Context, Failure, Result};
use crate::identity::Identity;
use crate::order::{Claim, Order, TaskFiles, Wait};
use crate::time::now_ms;
use attach::ATTACHED_MAX;
use clients::{ClientId, Clients};
pub(crate) use clients::{Message, Refusal, Request, connect};
use decide::Readiness;
use health::HealthProbe;
use process::{readable, wait_for};
use slot::Slot;

/// How long the last output may take on its way to those who are attached.
const LAST_OUTPUT_WAIT: Duration = Duration::from_secs(2);

/// How often the machine's disk is looked at while a step of a build writes to it: what a fast disk
/// takes meanwhile is less than what is kept back.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_millis(200);

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
            crate::error::note!("the shim gives up: {failure}");
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
    began_at_ms: i64,
    started_at_ms: Option<i64>,
    told: Option<TaskStatus>,
    /// See [`Supervisor::watch_room`].
    look_for_room_at: Instant,
    /// Held to the end.
    _claim: Option<Claim>,
}

impl Supervisor {
    fn new(files: TaskFiles) -> Result<Self> {
        let starter = process::take_starter()?;
        let claim = files.claim(Wait::Yes)?;
        expect_wanted(&files)?;
        let order = files.read_order()?;
        Identity::own(&order.cookie)?.write(&files)?;
        // Again: a daemon that could wait no longer writes so first, and then looks whom to kill.
        expect_wanted(&files)?;
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
            began_at_ms: now_ms(),
            started_at_ms: None,
            told: None,
            look_for_room_at: Instant::now(),
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
        if let Some(disk) = &spec.disk {
            let data = &self.order.data;
            std::fs::create_dir_all(data)
                .context(|| format!("could not make `{}`", data.display()))?;
            crate::disk::mount_new(data, disk.bytes)?;
        }
        self.task_mounts = write_task_files(&self.files, &self.order)?;
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
                if self.slots[index].status.state != ContainerState::Pending {
                    continue;
                }
                let specs = &self.order.spec.containers;
                match decide::readiness(&specs[index], specs, &self.statuses(), now_ms()) {
                    Readiness::Waiting => {}
                    Readiness::Never(reason) => {
                        if self.give_up(index, reason) {
                            return;
                        }
                        // Others may wait for it.
                        started = true;
                    }
                    Readiness::Ready if self.held_until_ms(index).is_some() => {}
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

    /// A container will never run. The task ends with it only if it is essential. Answers whether it does.
    fn give_up(&mut self, index: usize, reason: StopReason) -> bool {
        let message = match &reason {
            StopReason::CannotStart { message, .. }
            | StopReason::DependencyFailed { message, .. } => Some(message.clone()),
            _ => None,
        };
        self.slots[index].never_ran(message);
        let ends_task = self.order.spec.containers[index].essential;
        if ends_task {
            self.stop_reason = Some(reason);
        }
        ends_task
    }

    /// Until when a container that could be started waits for somebody to attach.
    fn held_until_ms(&self, index: usize) -> Option<i64> {
        let wait_ms = self.order.spec.containers[index].wait_for_attach_ms?;
        let slot = &self.slots[index];
        let waits = slot.status.state == ContainerState::Pending && !slot.attached.ever;
        let until = self
            .began_at_ms
            .saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX));
        (waits && now_ms() < until).then_some(until)
    }

    /// Whether the task goes on.
    fn start(&mut self, index: usize) -> bool {
        let slot = &mut self.slots[index];
        match slot.start(&self.files, &self.order, &self.task_mounts) {
            Ok(()) => {
                self.started_at_ms.get_or_insert_with(now_ms);
                true
            }
            Err(Failure(message)) => {
                let container = slot.status.name.clone();
                let reason = StopReason::CannotStart { container, message };
                !self.give_up(index, reason)
            }
        }
    }

    fn wait(&self) {
        let clients = self.clients.listener().into_iter();
        let mut interests: Vec<_> = clients
            .chain(self.clients.streams())
            .map(readable)
            .collect();
        interests.extend(self.slots.iter().flat_map(Slot::interests));
        let now = Instant::now();
        let turns = self.slots.iter().filter_map(Slot::next_turn);
        let turn = turns.chain(self.clients.next_turn()).min();
        let until_turn = turn.map(|turn| turn.saturating_duration_since(now));
        let now_ms = now_ms();
        let deadline =
            decide::next_deadline_ms(&self.order.spec.containers, &self.statuses(), now_ms);
        let held = (0..self.slots.len()).filter_map(|index| self.held_until_ms(index));
        let until_deadline = deadline
            .into_iter()
            .chain(held)
            .min()
            .filter(|_| self.stop_reason.is_none())
            .map(|deadline| Duration::from_millis(deadline.saturating_sub(now_ms).max(0) as u64));
        let watched = self.watched();
        let until_look = watched.map(|_| self.look_for_room_at.saturating_duration_since(now));
        let turns = until_turn
            .into_iter()
            .chain(until_deadline)
            .chain(until_look);
        wait_for(&interests, turns.min());
    }

    fn collect(&mut self) {
        let now = Instant::now();
        self.watch_room(now);
        for slot in &mut self.slots {
            slot.turn(&self.files, &self.order, &self.cgroup, now);
        }
        let status = self.status();
        self.clients.accept(&status);
        for (client, request) in self.clients.requests() {
            self.take_request(client, request);
        }
    }

    /// Where the machine's disk is looked at, if it is. A step of a build writes to it, where its layer
    /// is to be; some tasks are said to give way. They end before it is full.
    fn watched(&self) -> Option<&Path> {
        let asked = self.order.spec.gives_way_to_a_full_disk;
        let step = self.order.step.as_ref().map(|step| step.upper.as_path());
        let watched = step.or(self.order.data.parent().filter(|_| asked));
        watched.filter(|_| self.stop_reason.is_none())
    }

    fn watch_room(&mut self, now: Instant) {
        if self.look_for_room_at > now {
            return;
        }
        let Some(place) = self.watched() else {
            return;
        };
        let checked = check_room(place, "a build");
        self.look_for_room_at = now + LOOK_FOR_ROOM_EVERY;
        if let Err(error) = checked {
            self.stop_reason = Some(StopReason::CannotStart {
                container: self.slots[0].status.name.clone(),
                message: error.message,
            });
        }
    }

    fn take_request(&mut self, client: ClientId, request: Request) {
        let done = match request {
            Request::Stop { reason } => {
                self.stop_reason
                    .get_or_insert(StopReason::Requested(reason));
                // What is held could not end.
                for index in 0..self.slots.len() {
                    let _ = self.freeze(index, false);
                }
                return;
            }
            Request::Attach { container, input } => match self.attachable(&container) {
                Ok(index) => return self.attach(client, index, input),
                Err(refusal) => Err(refusal),
            },
            Request::Resize {
                container,
                rows,
                columns,
            } => self.resize(&container, rows, columns),
            Request::Signal { container, signal } => self
                .find(&container)
                .and_then(|index| self.slots[index].signal(&signal)),
            Request::SetHosts { hosts } => {
                self.order.spec.hosts = hosts;
                write_hosts(&self.files, &self.order.spec).map_err(senseless)
            }
            Request::Freeze { container, frozen } => self
                .find(&container)
                .and_then(|index| self.freeze(index, frozen)),
            Request::HealthLog { container } => self.find(&container).map(|index| {
                let log = self.slots[index].health.as_ref().map(HealthProbe::log);
                self.clients.tell_health(client, log.unwrap_or_default());
            }),
        };
        self.clients.answer(client, done.err());
    }

    /// Holds a container, or lets it go on. No check is run in one that is held: what is begun there
    /// is held, too, and whoever waits for it with it.
    fn freeze(&mut self, index: usize, frozen: bool) -> Result<(), Refusal> {
        let slot = &mut self.slots[index];
        if !slot.is_running() {
            let name = &slot.status.name;
            return Err(missing(format!("the container `{name}` does not run")));
        }
        let path = self.order.cgroup.join(container_id(index));
        let group = TaskCgroup::new(&path).map_err(senseless)?;
        if let Some(health) = &mut slot.health {
            health.hold();
        }
        let done = group.freeze(frozen).map_err(senseless);
        if let Some(health) = &mut slot.health
            && (!frozen || done.is_err())
        {
            health.go_on();
        }
        done
    }

    fn find(&self, container: &str) -> Result<usize, Refusal> {
        let specs = &self.order.spec.containers;
        let found = specs.iter().position(|spec| spec.name == container);
        found.ok_or_else(|| missing(format!("there is no container `{container}`")))
    }

    fn attachable(&self, container: &str) -> Result<usize, Refusal> {
        let index = self.find(container)?;
        let slot = &self.slots[index];
        if slot.status.state == ContainerState::Stopped {
            return Err(missing(format!("the container `{container}` has ended")));
        }
        if slot.attached.len() >= ATTACHED_MAX {
            let message = format!("`{container}` has {ATTACHED_MAX} attached to it already");
            return Err(senseless(Failure(message)));
        }
        Ok(index)
    }

    fn attach(&mut self, client: ClientId, index: usize, input: AttachInput) {
        self.clients.answer(client, None);
        if let Some(stream) = self.clients.release(client) {
            let gives = self.order.spec.containers[index].stdin && input == AttachInput::Join;
            self.slots[index].attached.add(stream, gives);
        }
    }

    fn resize(&mut self, container: &str, rows: u16, columns: u16) -> Result<(), Refusal> {
        let index = self.find(container)?;
        if !self.order.spec.containers[index].terminal {
            let message = format!("the container `{container}` has no terminal");
            return Err(senseless(Failure(message)));
        }
        self.slots[index].resize(rows, columns).map_err(senseless)
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
            crate::error::note!("{failure}");
        }
        self.clients.publish(&status);
        self.told = Some(status);
    }

    /// Nothing runs any more: clean up, and only then say so.
    fn finish(mut self) -> Result<()> {
        for slot in &mut self.slots {
            if slot.status.state == ContainerState::Pending {
                slot.never_ran(None);
            }
        }
        self.tell();
        clean_up(&self.files, &self.order)?;
        let mut status = self.status();
        status.state = TaskState::Stopped;
        status.stopped_at_ms = Some(now_ms());
        self.deliver_last_output();
        self.tell_status(status);
        Ok(())
    }

    /// Waits, but not for long, until those who are attached have got all.
    fn deliver_last_output(&mut self) {
        let until = Instant::now() + LAST_OUTPUT_WAIT;
        loop {
            let now = Instant::now();
            let mut interests = Vec::new();
            for slot in &mut self.slots {
                slot.attached.flush(now);
                interests.extend(slot.attached.interests(false));
            }
            if interests.is_empty() || now >= until {
                return;
            }
            wait_for(&interests, Some(until - now));
        }
    }
}

/// A daemon that found the order without a shim has given the task up, and said so.
fn expect_wanted(files: &TaskFiles) -> Result<()> {
    if files.status().exists() || !files.order().exists() {
        return Err(Failure("the task was given up before it began".to_owned()));
    }
    Ok(())
}

fn missing(message: String) -> Refusal {
    Refusal {
        not_found: true,
        message,
    }
}

fn senseless(Failure(message): Failure) -> Refusal {
    Refusal {
        not_found: false,
        message,
    }
}
