//! A small init: the first process of a container that asked for one. It reaps orphans, and either passes
//! signals on to the program and ends as the program ends (`initProcessEnabled`), or is that of a machine:
//! the program is what the machine does when it boots, and the init stays until it is asked to end.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// What a container's first process is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Init {
    /// The program itself.
    #[default]
    None,
    /// An init that ends as the program ends.
    Ends,
    /// That of a machine.
    Stays,
}

/// With an init it returns in a child that is to become the program: the caller itself becomes the init and
/// never returns.
pub(crate) fn split_off(init: Init) -> Result<(), String> {
    let serve: fn(Pid, &SigSet) -> i32 = match init {
        Init::None => return Ok(()),
        Init::Ends => serve_program,
        Init::Stays => |_, signals| serve_machine(signals),
    };
    let all = SigSet::all();
    all.thread_block()
        .map_err(|error| format!("could not block signals: {error}"))?;
    // SAFETY: the process has one thread, so its copy is whole.
    match unsafe { fork() }.map_err(|error| format!("could not fork the init: {error}"))? {
        ForkResult::Child => {
            // A group of its own, so that it is what a terminal or a group signal means. Signals are
            // still blocked: one that is not in front is stopped for wanting to be.
            let _ = nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
            let _ = nix::unistd::tcsetpgrp(std::io::stdin(), nix::unistd::getpid());
            let _ = all.thread_unblock();
            super::forked::die_with_parent()
        }
        ForkResult::Parent { child } => {
            // Open descriptors (the pipe that says whether the program was executed) are the
            // child's business now.
            // SAFETY: nothing in this process uses a descriptor from here on.
            unsafe { libc::close_range(3, u32::MAX, 0) };
            std::process::exit(serve(child, &all))
        }
    }
}

fn serve_program(child: Pid, signals: &SigSet) -> i32 {
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap(child) {
                    return code;
                }
            }
            Ok(signal) => {
                let _ = kill(child, signal);
            }
            Err(_) => {}
        }
    }
}

/// Collects every child that has ended; the exit code once the program is among them.
fn reap(program: Pid) -> Option<i32> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == program => return Some(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => {
                return Some(128 + signal as i32);
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return None,
            _ => {}
        }
    }
}

/// Signals that turn a machine off: the runtime's own, and those by which programs ask an init to
/// (`halt`, `poweroff`, `shutdown` and `reboot` of busybox; a power failure). There is no other machine to be
/// booted after a `reboot` from inside, so it turns off as well.
const TURNS_OFF: [Signal; 5] = [
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGPWR,
    Signal::SIGINT,
];

fn serve_machine(signals: &SigSet) -> i32 {
    let mut ends = false;
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {}
            Ok(signal) if TURNS_OFF.contains(&signal) && !ends => {
                ends = true;
                // Everything in here but this process. One that is stopped hears of it when it goes on.
                let everything = Pid::from_raw(-1);
                let _ = kill(everything, Signal::SIGTERM);
                let _ = kill(everything, Signal::SIGCONT);
            }
            _ => {}
        }
        if reap_all() == Children::Gone && ends {
            return 0;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Children {
    Gone,
    Left,
}

fn reap_all() -> Children {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return Children::Left,
            Err(Errno::ECHILD) => return Children::Gone,
            _ => {}
        }
    }
}
