//! Small files that are either there as a whole or not at all, and ids.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use engine::{EngineError, Result};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// 256 random bits in hexadecimal, as docker names containers.
pub fn random_id() -> String {
    let mut bytes = [0u8; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the kernel's random source answers once the machine is up");
    hex(&bytes)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces a file in one step, on disk when this returns.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let failed = |error: std::io::Error| {
        EngineError::machine(format!("cannot write `{}`", path.display())).because(error)
    };
    let bytes = serde_json::to_vec(value).expect("plain data serialises as JSON");
    let parent = path.parent().expect("a record is in a directory");
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh).map_err(failed)?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&fresh, path))
        .and_then(|()| File::open(parent)?.sync_all())
        .map_err(failed)
}

/// None when it is not there or not of this version: it is then said and left alone.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = fs::read(path).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot understand a record");
            None
        }
    }
}

/// Removes whatever is there, if anything.
pub fn remove(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(EngineError::machine(format!("cannot remove `{}`", path.display())).because(error))
        }
        _ => Ok(()),
    }
}

/// Runs file work off the async threads.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| EngineError::machine("file work was cut short").because(error))?
}

/// What files have on disk. What vanishes meanwhile counts for nothing, and links are not followed.
pub fn bytes_below(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    const BLOCK_BYTES: u64 = 512;
    let (mut bytes, mut pending) = (0_u64, vec![directory.to_owned()]);
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            bytes = bytes.saturating_add(metadata.blocks().saturating_mul(BLOCK_BYTES));
            if metadata.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    bytes
}
