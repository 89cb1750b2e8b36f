//! A container's health check: a command run in it again and again.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use engine::{Health, HealthCheck};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::process::{null, pidfd};
use crate::container::{Command, Streams, Theirs, exec_in_container};
use crate::error::{Context, Result};
use crate::order::{Order, TaskFiles};

/// Checks closer together than this would do nothing but check.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

pub(super) struct HealthProbe {
    check: HealthCheck,
    container: usize,
    started: Instant,
    next: Instant,
    failures: u32,
    pub health: Health,
    running: Option<RunningProbe>,
    complaint: Option<String>,
}

struct RunningProbe {
    pid: Pid,
    pidfd: OwnedFd,
    deadline: Instant,
}

impl HealthProbe {
    /// None when there is nothing to check.
    pub fn new(check: Option<&HealthCheck>, container: usize) -> Option<Self> {
        let check = check.filter(|check| {
            check.command.len() > 1 || check.command.first().is_some_and(|word| word != "NONE")
        })?;
        let now = Instant::now();
        Some(Self {
            container,
            started: now,
            next: now + interval(check),
            check: check.clone(),
            failures: 0,
            health: Health::Unknown,
            running: None,
            complaint: None,
        })
    }

    pub fn pidfd(&self) -> Option<&OwnedFd> {
        self.running.as_ref().map(|running| &running.pidfd)
    }

    /// When [`HealthProbe::turn`] has something to do even if nothing happens.
    pub fn next_turn(&self) -> Instant {
        self.running
            .as_ref()
            .map_or(self.next, |running| running.deadline)
    }

    /// Collects a probe that has ended, ends one that takes too long, starts one that is due.
    pub fn turn(&mut self, files: &TaskFiles, order: &Order, now: Instant) {
        if let Some(running) = &self.running {
            let succeeded = match waitpid(running.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) if now < running.deadline => return,
                Ok(WaitStatus::StillAlive) => {
                    end(running.pid);
                    false
                }
                Ok(WaitStatus::Exited(_, code)) => code == 0,
                _ => false,
            };
            self.running = None;
            self.judge(succeeded, now);
        }
        if now >= self.next {
            match self.start(files, order, now) {
                Ok(running) => self.running = Some(running),
                // As when the command is not in the image: the check fails.
                Err(failure) => {
                    // Said once, not at every check: the shim's log must not grow.
                    if self.complaint.as_ref() != Some(&failure.0) {
                        eprintln!("the health check could not be started: {failure}");
                        self.complaint = Some(failure.0);
                    }
                    self.judge(false, now);
                }
            }
        }
    }

    fn start(&self, files: &TaskFiles, order: &Order, now: Instant) -> Result<RunningProbe> {
        let words: Vec<&str> = self.check.command.iter().map(String::as_str).collect();
        let command = match words.as_slice() {
            ["CMD-SHELL", line, ..] => vec!["/bin/sh", "-c", line],
            ["CMD", command @ ..] => command.to_vec(),
            command => command.to_vec(),
        };
        let streams = Streams {
            stdin: null()?,
            stdout: null()?,
            stderr: null()?,
        };
        let command = Command::of(&command);
        let theirs = Theirs::Streams(streams);
        let (pid, _) = exec_in_container(files, order, self.container, &command, |_| Ok(theirs))?;
        let pidfd = pidfd(pid).context(|| "could not watch the health check".to_owned())?;
        let timeout = Duration::from_millis(self.check.timeout_ms).max(INTERVAL_MIN);
        Ok(RunningProbe {
            pid,
            pidfd,
            deadline: now + timeout,
        })
    }

    fn judge(&mut self, succeeded: bool, now: Instant) {
        self.next = now + interval(&self.check);
        if succeeded {
            self.failures = 0;
            self.health = Health::Healthy;
            return;
        }
        let start_period = Duration::from_millis(self.check.start_period_ms);
        if self.health == Health::Unknown && now < self.started + start_period {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.check.retries.max(1) {
            self.health = Health::Unhealthy;
        }
    }
}

impl Drop for HealthProbe {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            end(running.pid);
        }
    }
}

fn interval(check: &HealthCheck) -> Duration {
    Duration::from_millis(check.interval_ms).max(INTERVAL_MIN)
}

fn end(pid: Pid) {
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waitpid(pid, None);
}
