//! A small init: the first process of a container that asked for one (`initProcessEnabled`). It
//! passes signals on to the program, reaps orphans, and ends as the program ends.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// Returns in a child that is to become the program. The caller itself becomes the init and never
/// returns.
pub(crate) fn split_off_init() -> Result<(), String> {
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

fn serve(child: Pid, signals: &SigSet) -> i32 {
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
