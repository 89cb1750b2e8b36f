//! Which process is a task's shim. A process id alone is not trusted: it may have been given to
//! another process since, so the start time that the kernel keeps has to match too.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::order::{TaskFiles, write_json};

/// `shim.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub pid: i32,
    /// In clock ticks since boot (`proc_pid_stat`, field 22).
    pub start_time: u64,
    pub cookie: String,
}

impl Identity {
    /// The calling process, as the shim of the order with this cookie.
    pub fn own(cookie: &str) -> Result<Self> {
        let pid = std::process::id() as i32;
        let start_time = start_time(pid)
            .ok_or("the file is missing or malformed")
            .context(|| format!("could not read `/proc/{pid}/stat`"))?;
        Ok(Self {
            pid,
            start_time,
            cookie: cookie.to_owned(),
        })
    }
    pub fn write(&self, files: &TaskFiles) -> Result<()> {
        write_json(&files.identity(), self)
    }
    pub fn read(files: &TaskFiles) -> Option<Self> {
        serde_json::from_slice(&fs::read(files.identity()).ok()?).ok()
    }
    /// Whether the process still is the one that was recorded.
    pub fn lives(&self) -> bool {
        start_time(self.pid) == Some(self.start_time)
    }
}

/// None when there is no such process, or only what is left of one that has ended.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so fields are counted from its end.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    if ended {
        None
    } else {
        fields.get(19)?.parse().ok()
    }
}

/// An unguessable text: 16 bytes of the kernel's randomness as hexadecimal digits.
pub(crate) fn fresh_cookie() -> Result<String> {
    let bytes = random_bytes()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// 16 bytes of the kernel's randomness.
pub(crate) fn random_bytes() -> Result<[u8; 16]> {
    use std::io::Read;
    let mut bytes = [0u8; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context(|| "could not read `/dev/urandom`".to_owned())?;
    Ok(bytes)
}
