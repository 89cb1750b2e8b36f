//! Who the running edge is. The file `<dir>/edge.json` is written by the edge when it starts; the
//! daemon trusts the process behind the socket only when the file, the socket's peer and `/proc`
//! agree, because process ids are used again. Where the disk was too full for the file, the kernel
//! still says who listens on the socket.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub protocol: u32,
    pub pid: u32,
    /// Of the process, in clock ticks since the machine started.
    pub start_time: u64,
    /// Made at random by the edge when it started.
    pub cookie: String,
    pub listen_address: IpAddr,
}

pub fn identity_path(dir: &Path) -> PathBuf {
    dir.join("edge.json")
}

pub fn socket_path(dir: &Path) -> PathBuf {
    dir.join("edge.sock")
}

/// A process that is not taken for another one with its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub start_time: u64,
}

impl Process {
    /// The process that has this id now.
    pub fn find(pid: u32) -> io::Result<Self> {
        let start_time = start_time(pid)?;
        Ok(Self { pid, start_time })
    }

    pub fn is_alive(&self) -> bool {
        start_time(self.pid).is_ok_and(|found| found == self.start_time)
    }

    /// Sends a signal to this process and to no other that has got its id; one that has ended
    /// needs none.
    pub fn send(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // Looked at after it was opened: from here on the descriptor means this process alone.
        if let Some(pid) = pid
            && let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
            && self.is_alive()
        {
            let _ = pidfd_send_signal(process, signal);
        }
    }
}

impl Identity {
    pub fn process(&self) -> Process {
        Process {
            pid: self.pid,
            start_time: self.start_time,
        }
    }

    pub fn read(dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(identity_path(dir))?)?)
    }

    pub fn write(&self, dir: &Path) -> io::Result<()> {
        write_whole(&identity_path(dir), &serde_json::to_vec(self)?)
    }
}

/// The 22nd field of `/proc/<pid>/stat`. The second one, the name, may hold spaces and brackets,
/// so counting starts behind its last bracket. A zombie no longer counts as running.
pub fn start_time(pid: u32) -> io::Result<u64> {
    const FIELDS_TO_START_TIME: usize = 19;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "strange /proc/<pid>/stat");
    let (_, rest) = stat.rsplit_once(')').ok_or_else(strange)?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has ended"));
    }
    fields
        .get(FIELDS_TO_START_TIME)
        .and_then(|field| field.parse().ok())
        .ok_or_else(strange)
}

/// 64 random bits. The standard library seeds its hashers from the kernel's random numbers.
pub fn random_u64() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Readers find the old file or the new one, never half of one. What does not fit on the disk takes
/// up none of it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("tmp");
    let written =
        std::fs::write(&unfinished, bytes).and_then(|()| std::fs::rename(&unfinished, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}
