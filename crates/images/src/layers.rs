//! Layers unpacked: made once, then shared read-only by every container that stands on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use engine::{Digest, EngineError, Layer, Result};

use crate::blobs::Blobs;
use crate::disk::{self, Scratch, machine};
use crate::limits::UnpackLimits;
use crate::unpack::{self, Compression};

/// Which start of the machine the directories were unpacked in.
const BOOT: &str = ".boot";
const USED: &str = ".used";
/// The blobs that are known to unpack to a layer.
const OF: &str = ".of";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub struct Layers {
    directory: PathBuf,
    scratch: Arc<Scratch>,
}

impl Layers {
    /// Opens the directory. Unpacked files are never synced, which would cost seconds; instead
    /// nothing unpacked outlives a start of the machine, after which no container runs either. The
    /// blobs are synced, and what is needed is unpacked again.
    pub fn open(directory: PathBuf, scratch: Arc<Scratch>) -> Result<Self> {
        fs::create_dir_all(&directory).map_err(|e| machine("create", &directory, e))?;
        let boot_file = directory.join(BOOT);
        let boot_id = disk::read(Path::new(BOOT_ID))?.unwrap_or_default();
        if disk::read(&boot_file)?.as_ref() != Some(&boot_id) {
            for name in disk::list(&directory)? {
                disk::remove_all(&directory.join(name))?;
            }
            scratch.write(&boot_file, &boot_id)?;
        }
        Ok(Self { directory, scratch })
    }

    pub fn path(&self, diff_id: &Digest) -> PathBuf {
        self.directory.join(diff_id.hex())
    }

    fn used_path(&self, diff_id: &Digest) -> PathBuf {
        self.directory.join(format!("{}{USED}", diff_id.hex()))
    }

    /// The layer's directory when it is there, and when this blob is known to unpack to it: what an image
    /// says of its layers is its author's word, and may name a layer that the author never had. Being
    /// asked for counts as use.
    pub fn ready(&self, layer: &Layer) -> Result<Option<PathBuf>> {
        let path = self.path(&layer.diff_id);
        // A plain tar is its own proof.
        let is_plain = layer.blob.digest == layer.diff_id;
        if !path.is_dir() || !(is_plain || self.proof(layer).exists()) {
            return Ok(None);
        }
        self.touch(&layer.diff_id)?;
        Ok(Some(path))
    }

    fn proofs(&self, diff_id: &Digest) -> PathBuf {
        self.directory.join(format!("{}{OF}", diff_id.hex()))
    }

    fn proof(&self, layer: &Layer) -> PathBuf {
        self.proofs(&layer.diff_id).join(layer.blob.digest.hex())
    }

    fn prove(&self, layer: &Layer) -> Result<()> {
        let proof = self.proof(layer);
        let folder = self.proofs(&layer.diff_id);
        fs::create_dir_all(&folder).map_err(|e| machine("create", &folder, e))?;
        fs::write(&proof, b"").map_err(|e| machine("write", &proof, e))
    }

    fn touch(&self, diff_id: &Digest) -> Result<()> {
        let used = self.used_path(diff_id);
        if disk::touch(&used)?.is_none() {
            fs::write(&used, b"").map_err(|e| machine("write", &used, e))?;
        }
        Ok(())
    }

    /// Unpacks a layer, unless it is there. Blocks; safe to be called twice at once.
    pub fn unpack(&self, blobs: &Blobs, layer: &Layer, limits: &UnpackLimits) -> Result<PathBuf> {
        if let Some(path) = self.ready(layer)? {
            return Ok(path);
        }
        let compression = Compression::of(&layer.blob.media_type)?;
        let blob = blobs.open(&layer.blob.digest)?;
        let path = self.path(&layer.diff_id);
        let of_layer = |e: EngineError| EngineError {
            lack: e.lack,
            ..EngineError::new(
                e.fault,
                format!("layer `{}`: {}", layer.blob.digest, e.chain()),
            )
        };
        if path.is_dir() {
            unpack::check(blob, compression, &layer.diff_id, &path, limits).map_err(of_layer)?;
            self.prove(layer)?;
            self.touch(&layer.diff_id)?;
            return Ok(path);
        }
        let making = self.scratch.directory()?;
        unpack::unpack(blob, compression, &layer.diff_id, making.path(), limits)
            .map_err(of_layer)?;
        self.touch(&layer.diff_id)?;
        self.prove(layer)?;
        match fs::rename(making.path(), &path) {
            Ok(()) => Ok(path),
            // Another one was faster.
            Err(_) if path.is_dir() => Ok(path),
            Err(e) => Err(machine("create", &path, e)),
        }
    }

    /// Every layer that is there, and when it was used last.
    pub fn list(&self) -> Result<Vec<(Digest, SystemTime)>> {
        let mut layers = Vec::new();
        for name in disk::list(&self.directory)? {
            let Ok(diff_id) = format!("sha256:{name}").parse::<Digest>() else {
                continue;
            };
            let used = fs::metadata(self.used_path(&diff_id)).and_then(|meta| meta.modified());
            layers.push((diff_id, used.unwrap_or(SystemTime::UNIX_EPOCH)));
        }
        Ok(layers)
    }

    /// Removes a layer's directory and returns the bytes that were in it.
    pub fn remove(&self, diff_id: &Digest) -> Result<u64> {
        let path = self.path(diff_id);
        let bytes = bytes_in(&path)?;
        self.scratch.discard(&path)?;
        disk::remove_all(&self.used_path(diff_id))?;
        disk::remove_all(&self.proofs(diff_id))?;
        Ok(bytes)
    }
}

fn bytes_in(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    let entries = fs::read_dir(directory).map_err(|e| machine("read", directory, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| machine("read", directory, e))?;
        let path = entry.path();
        let metadata = fs::symlink_metadata(&path).map_err(|e| machine("read", &path, e))?;
        if metadata.is_dir() {
            bytes += bytes_in(&path)?;
        } else if metadata.is_file() {
            bytes += metadata.len();
        }
    }
    Ok(bytes)
}
