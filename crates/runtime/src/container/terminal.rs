//! Terminals: made by `libcontainer` in the container's own `/dev/pts` and handed over through a
//! socket.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, fchown};

use super::passing;
use crate::error::{Context, Failure, Result};
use crate::order::TaskFiles;

/// The terminal was sent before anybody asks for it.
const HAND_OVER_WAIT: Duration = Duration::from_secs(5);

/// Who a container's first process runs as, and so whom its streams belong to: programs open
/// `/dev/stdout` anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub uid: u32,
    pub gid: u32,
}

impl Owner {
    pub fn own(self, stream: impl AsFd) -> Result<()> {
        self.chown(stream, Some(Gid::from_raw(self.gid)))
    }

    fn chown(self, stream: impl AsFd, gid: Option<Gid>) -> Result<()> {
        if self.uid == 0 {
            return Ok(());
        }
        fchown(stream, Some(Uid::from_raw(self.uid)), gid)
            .context(|| "could not give a stream to the container's user".to_owned())
    }
}

/// Where a terminal is handed over.
pub(crate) struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    pub fn open(files: &TaskFiles) -> Result<Self> {
        let path = files.directory.join(TaskFiles::console_name());
        Self::at(path)
    }

    /// A socket's address is short and a path may not be, so it is named by its directory's descriptor.
    pub fn at(path: PathBuf) -> Result<Self> {
        let failed = || "could not listen for a terminal".to_owned();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Failure(failed()));
        };
        let directory = File::open(parent).context(failed)?;
        let _ = std::fs::remove_file(&path);
        let short = format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), name.display());
        let listener = UnixListener::bind(short).context(failed)?;
        listener.set_nonblocking(true).context(failed)?;
        Ok(Self { listener, path })
    }

    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// The terminal of a container that was made.
    pub fn receive(self) -> Result<Terminal> {
        let failed = || "the container has handed over no terminal".to_owned();
        let (stream, _) = self.listener.accept().context(failed)?;
        stream.set_nonblocking(false).context(failed)?;
        stream
            .set_read_timeout(Some(HAND_OVER_WAIT))
            .context(failed)?;
        let mut name = [0; 64];
        let (_, mut descriptors) = passing::receive_some(&stream, &mut name).context(failed)?;
        let master = descriptors.pop().ok_or_else(|| Failure(failed()))?;
        Terminal::of(master)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Our side of a terminal, which does not wait.
pub(crate) struct Terminal {
    master: OwnedFd,
    /// The other side. As long as it is open, that the container has closed it for a moment is no end.
    peer: OwnedFd,
}

impl Terminal {
    fn of(master: OwnedFd) -> Result<Self> {
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&master, flags).context(|| "could not set up the terminal".to_owned())?;
        let peer = peer(&master).context(|| "could not open the terminal".to_owned())?;
        Ok(Self { master, peer })
    }

    /// The group stays the one that may write to terminals.
    pub fn give_to(&self, owner: Owner) -> Result<()> {
        owner.chown(&self.peer, None)
    }

    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        resize(&self.master, rows, columns).context(|| "could not set the size".to_owned())
    }

    pub fn file(&self) -> Result<File> {
        let copy = self.master.try_clone();
        copy.map(File::from)
            .context(|| "could not duplicate the terminal".to_owned())
    }

    pub fn into_master(self) -> OwnedFd {
        self.master
    }
}

/// Not to become the terminal of this process.
fn peer(master: &OwnedFd) -> nix::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the request takes a number; a result that is not negative is a descriptor that nobody
    // owns.
    let descriptor = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    let descriptor = Errno::result(descriptor)?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Sets a terminal's size.
pub(crate) fn resize(terminal: impl AsFd, rows: u16, columns: u16) -> nix::Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the request reads the structure during the call.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &size) };
    Errno::result(result).map(drop)
}
