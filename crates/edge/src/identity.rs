//! Who the running edge is. The file `<dir>/edge.json` is written by the edge when it starts; the
//! daemon trusts the process behind the socket only when the file, the socket's peer and `/proc`
//! agree, because process ids are used again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

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

impl Identity {
    pub fn read(dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(identity_path(dir))?)?)
    }

    pub fn write(&self, dir: &Path) -> io::Result<()> {
        write_whole(&identity_path(dir), &serde_json::to_vec(self)?)
    }

    /// Whether the process that wrote this still runs, and is not another one with its id.
    pub fn is_alive(&self) -> bool {
        start_time(self.pid).is_ok_and(|found| found == self.start_time)
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

/// Readers find the old file or the new one, never half of one.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("tmp");
    std::fs::write(&unfinished, bytes)?;
    std::fs::rename(&unfinished, path)
}
