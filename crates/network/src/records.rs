//! What was asked for, kept as a file beside each namespace's pin, so that a new daemon knows what
//! the namespaces are that it finds.

use std::fs;
use std::io;
use std::path::Path;

use engine::{EngineError, InterfaceSpec, Result, VpcSpec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is kept of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VpcRecord {
    pub spec: VpcSpec,
    /// The number of each route table, which stays as long as the table does.
    pub table_numbers: BTreeMap<String, u32>,
    /// The block of the uplink's addresses, when there is one.
    pub uplink: Option<u32>,
}

/// What is kept of an interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct InterfaceRecord {
    pub spec: InterfaceSpec,
    /// The index of its link in the network's namespace.
    pub index: u32,
    /// Which of the links of its own namespace it is: `eth<number>`.
    #[serde(default)]
    pub number: u32,
}

/// Writes a record whole or not at all.
pub(crate) fn write(path: &Path, record: &impl Serialize) -> Result<()> {
    let failed = |error: io::Error| {
        EngineError::machine(format!("cannot write `{}`", path.display())).because(error)
    };
    let bytes = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
    let draft = path.with_extension("json.draft");
    fs::write(&draft, bytes).map_err(failed)?;
    fs::rename(&draft, path).map_err(failed)
}

/// `None` when there is no such file, or one that cannot be read: then nothing is known.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = fs::read(path).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a network record cannot be read");
            None
        }
    }
}

pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EngineError::machine(format!("cannot remove `{}`", path.display())).because(error))
        }
        _ => Ok(()),
    }
}
