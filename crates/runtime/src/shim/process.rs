//! Small things about processes and descriptors.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::fcntl::FcntlArg;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::error::{Context, Failure, Result};

/// The first real-time signal as programs count them: the C library keeps two for itself.
const SIGRTMIN: i32 = 34;
const SIGNAL_MAX: i32 = 64;

/// In place of a wait that the kernel refuses.
const REFUSED_WAIT: Duration = Duration::from_millis(50);

/// Descriptors from here on are this process's alone: whatever the container library forks closes them
/// first of all. Its own are given out from the lowest on, and are far fewer.
pub(crate) const PRIVATE_FROM: RawFd = 512;

/// Keeps a descriptor from what this process forks, where being open says that this process lives. One
/// that cannot be kept so, because this process may have no more than a few, stays as it is.
pub(crate) fn keep_private<T: Into<OwnedFd> + From<OwnedFd>>(shared: T) -> T {
    let shared: OwnedFd = shared.into();
    let moved = nix::fcntl::fcntl(&shared, FcntlArg::F_DUPFD_CLOEXEC(PRIVATE_FROM));
    match moved {
        // SAFETY: the call has made it, and nobody else owns it.
        Ok(moved) => T::from(unsafe { OwnedFd::from_raw_fd(moved) }),
        Err(_) => T::from(shared),
    }
}

/// A descriptor that becomes readable when the process ends. The process must be the caller or a child
/// that was not waited for, so that its number is still its own; or the caller has to look afterwards
/// whether it is the one that was meant.
pub(crate) fn pidfd(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: a plain system call; a result that is not negative is a descriptor that nobody owns.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let descriptor = nix::errno::Errno::result(descriptor)?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

/// Kills the process that a descriptor of it names, which is never another one with its number.
pub(crate) fn kill_process(process: BorrowedFd<'_>) {
    let no_details: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a plain system call. One that has ended is refused, which is fine.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            libc::SIGKILL,
            no_details,
            0,
        )
    };
}

pub(super) fn null() -> Result<OwnedFd> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/null");
    Ok(file
        .context(|| "could not open `/dev/null`".to_owned())?
        .into())
}

/// Takes the connection to the daemon that started this process, its standard input, if it is one.
pub(crate) fn take_starter() -> Result<Option<UnixStream>> {
    let stdin = std::io::stdin();
    let socket = nix::sys::socket::getsockname::<nix::sys::socket::UnixAddr>(stdin.as_raw_fd());
    if socket.is_err() {
        return Ok(None);
    }
    let stream = stdin.as_fd().try_clone_to_owned();
    let stream = stream.context(|| "could not keep the connection to the daemon".to_owned())?;
    let null = File::open("/dev/null").context(|| "could not open `/dev/null`".to_owned())?;
    nix::unistd::dup2_stdin(&null).context(|| "could not replace standard input".to_owned())?;
    Ok(Some(keep_private(stream).into()))
}

/// A descriptor, and what of it is waited for. That it was closed always is.
pub(crate) type Interest<'a> = (BorrowedFd<'a>, PollFlags);

pub(crate) fn readable(descriptor: BorrowedFd<'_>) -> Interest<'_> {
    (descriptor, PollFlags::POLLIN)
}

/// Waits until something happens to one of the descriptors. `None` waits without end.
pub(crate) fn wait_for(interests: &[Interest<'_>], timeout: Option<Duration>) {
    let mut polled: Vec<PollFd<'_>> = interests
        .iter()
        .map(|(descriptor, events)| PollFd::new(*descriptor, *events))
        .collect();
    // Rounded up, so that a wait never ends just before its time and spins.
    let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
        let ms = timeout.as_micros().div_ceil(1000);
        PollTimeout::try_from(ms.min(i32::MAX as u128) as i32).unwrap_or(PollTimeout::MAX)
    });
    // Whoever waits looks at everything anyway, but not over and over when there can be no wait: the kernel
    // refuses to look at more descriptors than the process may have, and may lack memory.
    if let Err(error) = poll(&mut polled, timeout)
        && error != nix::errno::Errno::EINTR
    {
        std::thread::sleep(REFUSED_WAIT);
    }
}

/// Whether the process that a descriptor names has ended.
pub(crate) fn has_ended(process: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(process, PollFlags::POLLIN)];
    let _ = poll(&mut polled, PollTimeout::ZERO);
    let happened = polled[0].revents();
    happened.is_some_and(|happened| happened.contains(PollFlags::POLLIN))
}

/// Whether nobody is left at the other end, in either direction.
pub(crate) fn has_hung_up(descriptor: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(descriptor, PollFlags::empty())];
    let count = poll(&mut polled, PollTimeout::ZERO).unwrap_or(0);
    count > 0 && polled[0].any().unwrap_or(false)
}

/// Makes reading and writing return at once.
pub(crate) fn set_nonblocking(descriptor: impl AsFd) -> Result<()> {
    let flags = FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(descriptor, flags)
        .map(drop)
        .context(|| "could not set up a descriptor".to_owned())
}

/// The number of a signal given as `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`. Empty is SIGTERM.
pub(crate) fn signal_number(text: &str) -> Result<i32> {
    let unknown = || Failure(format!("`{text}` is not a signal"));
    if text.is_empty() {
        return Ok(libc::SIGTERM);
    }
    let upper = text.to_ascii_uppercase();
    if let Ok(number) = upper.parse::<i32>() {
        let valid = (1..=SIGNAL_MAX).contains(&number);
        return if valid { Ok(number) } else { Err(unknown()) };
    }
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset: i32 = if offset.is_empty() {
            0
        } else {
            offset.parse().map_err(|_| unknown())?
        };
        let valid = (0..=SIGNAL_MAX - SIGRTMIN).contains(&offset);
        return if valid {
            Ok(SIGRTMIN + offset)
        } else {
            Err(unknown())
        };
    }
    let signal: Signal = format!("SIG{name}").parse().map_err(|_| unknown())?;
    Ok(signal as i32)
}

pub(crate) fn send_signal(pid: i32, signal: i32) {
    // SAFETY: a plain system call. The process is a child that was not waited for.
    unsafe { libc::kill(pid, signal) };
}

#[cfg(test)]
mod tests {
    use super::signal_number;

    #[test]
    fn signals_have_names_and_numbers() {
        let number = |text| signal_number(text).ok();
        assert_eq!(number(""), Some(15));
        assert_eq!(number("SIGTERM"), Some(15));
        assert_eq!(number("quit"), Some(3));
        assert_eq!(number("9"), Some(9));
        assert_eq!(number("SIGRTMIN+3"), Some(37));
        assert_eq!(number("SIGRTMIN+99"), None);
        assert_eq!(number("SIGNOTHING"), None);
        assert_eq!(number("0"), None);
    }
}
