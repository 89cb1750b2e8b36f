//! A container's health check: a command run in it again and again.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use engine::{CheckResult, ContainerSpec, Health, HealthCheck, HealthLog};
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};

use super::process::{Interest, null, pidfd, readable, set_nonblocking};
use crate::container::{Command, Streams, Theirs, exec_in_container};
use crate::error::{Context, Result};
use crate::order::{Order, TaskFiles};
use crate::time::now_ms;

/// Checks closer together than this would do nothing but check.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// As many checks, and as much of what each wrote, are remembered as by Docker.
const CHECKS_KEPT: usize = 5;
const OUTPUT_BYTES_MAX: usize = 4096;
/// What is read of a check's output in one turn, so that one that writes for ever holds up nobody.
const READS_MAX: usize = 16;
/// The exit code of a check that has none.
const CANNOT_TELL: i32 = -1;

pub(super) struct HealthProbe {
    check: HealthCheck,
    container: usize,
    started: Instant,
    next: Instant,
    start_interval: Option<Duration>,
    log: HealthLog,
    pub health: Health,
    running: Option<RunningProbe>,
    complaint: Option<String>,
    held: bool,
}

struct RunningProbe {
    pid: Pid,
    pidfd: OwnedFd,
    deadline: Instant,
    started_ms: i64,
    output: Output,
}

/// What a check writes: the beginning is kept, the rest is thrown away, so that it is not held up.
struct Output {
    pipe: File,
    bytes: Vec<u8>,
    ended: bool,
}

impl Output {
    /// Our end, and two copies of theirs.
    fn new() -> Result<(Self, OwnedFd, OwnedFd)> {
        let failed = || "could not make a pipe".to_owned();
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).context(failed)?;
        set_nonblocking(&ours)?;
        let again = theirs.try_clone().context(failed)?;
        let output = Self {
            pipe: ours.into(),
            bytes: Vec::new(),
            ended: false,
        };
        Ok((output, theirs, again))
    }

    /// Reads what is there.
    fn read(&mut self) {
        let mut bytes = [0; 4096];
        for _ in 0..READS_MAX {
            match self.pipe.read(&mut bytes) {
                Ok(0) => {
                    self.ended = true;
                    return;
                }
                Ok(count) => {
                    let room = OUTPUT_BYTES_MAX.saturating_sub(self.bytes.len());
                    self.bytes.extend_from_slice(&bytes[..count.min(room)]);
                }
                Err(_) => return,
            }
        }
    }
}

impl HealthProbe {
    /// None when there is nothing to check.
    pub fn new(spec: &ContainerSpec, container: usize) -> Option<Self> {
        let check = spec.health_check.as_ref().filter(|check| {
            check.command.len() > 1 || check.command.first().is_some_and(|word| word != "NONE")
        })?;
        let now = Instant::now();
        let start_interval = spec.tuning.health_start_interval_ms;
        let mut probe = Self {
            container,
            started: now,
            next: now,
            check: check.clone(),
            start_interval: start_interval.map(Duration::from_millis),
            log: HealthLog::default(),
            health: Health::Unknown,
            running: None,
            complaint: None,
            held: false,
        };
        probe.next = now + probe.interval(now);
        Some(probe)
    }

    /// What is waited for: the end of the check that runs, and its output.
    pub fn interests(&self) -> impl Iterator<Item = Interest<'_>> {
        let running = self.running.iter();
        running.flat_map(|it| {
            let output = (!it.output.ended).then(|| readable(it.output.pipe.as_fd()));
            std::iter::once(readable(it.pidfd.as_fd())).chain(output)
        })
    }

    /// Runs no check from now on, and ends the one that runs.
    pub fn hold(&mut self) {
        self.held = true;
        if let Some(running) = self.running.take() {
            end(running.pid);
        }
    }

    pub fn go_on(&mut self) {
        self.held = false;
        let now = Instant::now();
        self.next = now + self.interval(now);
    }

    pub fn log(&self) -> HealthLog {
        self.log.clone()
    }

    /// Until the first success checks may be closer together, while the start period lasts.
    fn interval(&self, now: Instant) -> Duration {
        let start_period = Duration::from_millis(self.check.start_period_ms);
        let starts = self.health == Health::Unknown && now < self.started + start_period;
        let interval = Duration::from_millis(self.check.interval_ms);
        let asked = self.start_interval.filter(|_| starts).unwrap_or(interval);
        asked.max(INTERVAL_MIN)
    }

    /// When [`HealthProbe::turn`] has something to do even if nothing happens.
    pub fn next_turn(&self) -> Option<Instant> {
        let running = self.running.as_ref();
        let next = running.map_or(self.next, |running| running.deadline);
        (!self.held).then_some(next)
    }

    /// Collects a probe that has ended, ends one that takes too long, starts one that is due.
    pub fn turn(&mut self, files: &TaskFiles, order: &Order, now: Instant) {
        if let Some(mut running) = self.running.take() {
            running.output.read();
            let exit_code = match waitpid(running.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) if now < running.deadline => {
                    self.running = Some(running);
                    return;
                }
                Ok(WaitStatus::StillAlive) => {
                    end(running.pid);
                    let timeout_ms = self.check.timeout_ms;
                    running.output.bytes =
                        format!("Health check exceeded timeout ({timeout_ms}ms)").into_bytes();
                    CANNOT_TELL
                }
                Ok(WaitStatus::Exited(_, code)) => code,
                Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
                _ => CANNOT_TELL,
            };
            running.output.read();
            self.note(running.started_ms, exit_code, &running.output.bytes, now);
        }
        if now >= self.next && !self.held {
            match self.start(files, order, now) {
                Ok(running) => self.running = Some(running),
                // As when the command is not in the image: the check fails.
                Err(failure) => {
                    self.note(now_ms(), CANNOT_TELL, failure.0.as_bytes(), now);
                    // Said once, not at every check: the shim's log must not grow.
                    if self.complaint.as_ref() != Some(&failure.0) {
                        crate::error::note!("the health check could not be started: {failure}");
                        self.complaint = Some(failure.0);
                    }
                }
            }
        }
    }

    /// Remembers how a check ended, and what that says of the container.
    fn note(&mut self, started_ms: i64, exit_code: i32, output: &[u8], now: Instant) {
        if self.log.checks.len() == CHECKS_KEPT {
            self.log.checks.remove(0);
        }
        let kept = &output[..output.len().min(OUTPUT_BYTES_MAX)];
        self.log.checks.push(CheckResult {
            started_ms,
            ended_ms: now_ms(),
            exit_code,
            output: String::from_utf8_lossy(kept).into_owned(),
        });
        self.judge(exit_code == 0, now);
    }

    fn start(&self, files: &TaskFiles, order: &Order, now: Instant) -> Result<RunningProbe> {
        let words: Vec<&str> = self.check.command.iter().map(String::as_str).collect();
        let command = match words.as_slice() {
            ["CMD-SHELL", line, ..] => vec!["/bin/sh", "-c", line],
            ["CMD", command @ ..] => command.to_vec(),
            command => command.to_vec(),
        };
        let (output, stdout, stderr) = Output::new()?;
        let streams = Streams {
            stdin: null()?,
            stdout,
            stderr,
        };
        let command = Command::of(&command);
        let theirs = Theirs::Streams(streams);
        let started_ms = now_ms();
        let (pid, _) = exec_in_container(files, order, self.container, &command, |_| Ok(theirs))?;
        let pidfd = pidfd(pid).context(|| "could not watch the health check".to_owned())?;
        let timeout = Duration::from_millis(self.check.timeout_ms).max(INTERVAL_MIN);
        Ok(RunningProbe {
            pid,
            pidfd,
            deadline: now + timeout,
            started_ms,
            output,
        })
    }

    fn judge(&mut self, succeeded: bool, now: Instant) {
        if succeeded {
            self.log.failing_streak = 0;
            self.health = Health::Healthy;
        } else {
            self.failed(now);
        }
        self.next = now + self.interval(now);
    }

    fn failed(&mut self, now: Instant) {
        let start_period = Duration::from_millis(self.check.start_period_ms);
        if self.health == Health::Unknown && now < self.started + start_period {
            return;
        }
        self.log.failing_streak = self.log.failing_streak.saturating_add(1);
        if self.log.failing_streak >= self.check.retries.max(1) {
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

fn end(pid: Pid) {
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waitpid(pid, None);
}
