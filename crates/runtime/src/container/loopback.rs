//! The loopback of a network namespace that has nothing else. The kernel makes it, and leaves it down.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::error::{Context, Result};

/// Brings it up in the namespace of a process. Only for a process with one thread: it is in that namespace
/// for the time of the call.
pub(crate) fn bring_up_loopback(pid: i32) -> Result<()> {
    let failed = || "could not bring the loopback up".to_owned();
    let own = File::open("/proc/thread-self/ns/net").context(failed)?;
    let theirs = File::open(format!("/proc/{pid}/ns/net")).context(failed)?;
    setns(&theirs, CloneFlags::CLONE_NEWNET).context(failed)?;
    let up = bring_up();
    setns(&own, CloneFlags::CLONE_NEWNET).context(failed)?;
    up.context(failed)
}

fn bring_up() -> nix::Result<()> {
    let kind = (AddressFamily::Inet, SockType::Datagram);
    let socket = socket(kind.0, kind.1, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all zeros is a valid value of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (at, byte) in b"lo".iter().enumerate() {
        request.ifr_name[at] = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the descriptor is open, and the request is one of interface flags, with a name that ends
    // with a zero.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) };
    nix::errno::Errno::result(done).map(drop)
}
