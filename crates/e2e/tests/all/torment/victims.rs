//! Who is killed.

use std::time::{Duration, Instant};

use e2e::{Machine, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::dice::Dice;

/// How long a supervisor that is to be killed is waited for: the work may not have begun one yet.
const SUPERVISOR_WAIT: Duration = Duration::from_secs(2);
/// What a daemon's start takes here, and more.
const START_TAKES_MS: usize = 300;
/// Fewer than end a deployment: its circuit breaker counts three tasks that did not start.
const SUPERVISORS_MAX: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Daemon,
    /// And the next one while it starts.
    DaemonTwice,
    Edge,
    Supervisor,
    /// Of up to two tasks, with the daemon.
    DaemonAndSupervisors,
    /// All three kinds.
    Everything,
}

pub const VICTIMS: [Victim; 6] = [
    Victim::Daemon,
    Victim::DaemonTwice,
    Victim::Edge,
    Victim::Supervisor,
    Victim::DaemonAndSupervisors,
    Victim::Everything,
];

/// What was really killed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Killed {
    pub daemons: usize,
    pub edges: usize,
    pub supervisors: usize,
}

impl Killed {
    pub fn all(self) -> usize {
        self.daemons + self.edges + self.supervisors
    }
}

/// Kills, and lets a daemon begin again when it was one.
pub fn strike(machine: &Machine, victim: Victim, dice: &mut Dice) -> Killed {
    let mut killed = Killed::default();
    let of_daemon = !matches!(victim, Victim::Edge | Victim::Supervisor);
    if of_daemon {
        machine.kill_daemon();
        killed.daemons += 1;
    }
    if matches!(victim, Victim::Edge | Victim::Everything) {
        // There is none before the first load balancer.
        killed.edges += machine.kill_processes(" edge ", usize::MAX);
    }
    match victim {
        Victim::Supervisor => killed.supervisors += kill_supervisor_that_comes(machine, dice),
        Victim::DaemonAndSupervisors | Victim::Everything => {
            for _ in 0..SUPERVISORS_MAX {
                killed.supervisors += kill_supervisor(machine, dice);
            }
        }
        _ => {}
    }
    if victim == Victim::DaemonTwice {
        let mut next = machine.spawn_daemon();
        std::thread::sleep(dice.moment(START_TAKES_MS));
        next.kill().unwrap();
        next.wait().unwrap();
        killed.daemons += 1;
    }
    if of_daemon {
        machine.serve();
    }
    killed
}

fn kill_supervisor_that_comes(machine: &Machine, dice: &mut Dice) -> usize {
    let deadline = Instant::now() + SUPERVISOR_WAIT;
    loop {
        let killed = kill_supervisor(machine, dice);
        if killed > 0 || Instant::now() > deadline {
            return killed;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn kill_supervisor(machine: &Machine, dice: &mut Dice) -> usize {
    let found = machine.processes(" shim run ");
    if found.is_empty() {
        return 0;
    }
    let id = dice.pick(&found);
    let killed = kill(Pid::from_raw(id), Signal::SIGKILL).is_ok();
    eventually("a killed supervisor is dead", || {
        // Who is dead and not waited for has no arguments any more.
        let arguments = std::fs::read(format!("/proc/{id}/cmdline"));
        match arguments.is_ok_and(|it| !it.is_empty()) {
            true => Err(format!("{id} lives")),
            false => Ok(()),
        }
    });
    usize::from(killed)
}
