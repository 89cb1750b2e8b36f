//! Content, named by its digest.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Digest, EngineError, Result, RoomWatch};
use ring::digest::{Context, SHA256};

use crate::disk::{self, Scratch, ScratchFile, machine};
use crate::limits::{BLOB_BYTES_MAX, CHUNK_BYTES};

#[derive(Debug)]
pub struct Blobs {
    directory: PathBuf,
    scratch: Arc<Scratch>,
}

/// The digest of what a hash has seen.
pub fn digest_of(context: Context) -> Digest {
    format!("sha256:{}", disk::hex(context.finish().as_ref()))
        .parse()
        .expect("32 bytes in hexadecimal are a digest")
}

pub fn digest_bytes(bytes: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    digest_of(context)
}

impl Blobs {
    pub fn new(directory: PathBuf, scratch: Arc<Scratch>) -> Self {
        Self { directory, scratch }
    }

    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.directory.join("sha256").join(&hex[..2]).join(hex)
    }

    /// The size of a blob that is there. Asking counts as use: a client that hears that a blob is
    /// there will name it in a manifest without sending it.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(disk::touch(&self.path(digest))?.map(|metadata| metadata.len()))
    }

    pub fn open(&self, digest: &Digest) -> Result<File> {
        let path = self.path(digest);
        File::open(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                EngineError::not_found(format!("blob `{digest}` is not in the store"))
            }
            _ => machine("open", &path, e),
        })
    }

    /// A blob that is read into memory, no larger than `bytes_max`.
    pub fn read(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(digest)?
            .take(bytes_max + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| machine("read", &self.path(digest), e))?;
        if bytes.len() as u64 > bytes_max {
            return Err(EngineError::invalid(format!(
                "blob `{digest}` is larger than the {bytes_max} bytes allowed here"
            )));
        }
        Ok(bytes)
    }

    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let mut writer = self.writer()?;
        writer.write(bytes)?;
        Ok(self.keep(writer, None)?.0)
    }

    pub fn writer(&self) -> Result<BlobWriter> {
        self.writer_up_to(BLOB_BYTES_MAX)
    }

    pub fn writer_up_to(&self, bytes_max: u64) -> Result<BlobWriter> {
        Ok(BlobWriter {
            bytes_max,
            file: self.scratch.file()?,
            room: self.scratch.room("a part of an image"),
            hash: Context::new(&SHA256),
            size_bytes: 0,
        })
    }

    /// Takes a file over: hashed where it is, then renamed, or copied from another file system.
    pub fn adopt(&self, source: &Path) -> Result<(Digest, u64)> {
        let failed = |e| machine("read", source, e);
        let mut file = File::open(source).map_err(failed)?;
        let mut hash = Context::new(&SHA256);
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut size_bytes = 0;
        loop {
            let count = file.read(&mut chunk).map_err(failed)?;
            if count == 0 {
                break;
            }
            hash.update(&chunk[..count]);
            size_bytes += count as u64;
        }
        let digest = digest_of(hash);
        let target = self.path(&digest);
        if disk::touch(&target)?.is_some() {
            disk::remove_all(source)?;
            return Ok((digest, size_bytes));
        }
        file.sync_all().map_err(failed)?;
        let parent = target.parent().expect("a blob has a directory");
        disk::create_directories(parent)?;
        match fs::rename(source, &target) {
            Ok(()) => disk::sync_directory(parent)?,
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
                self.copy_in(source, &digest)?;
                disk::remove_all(source)?;
            }
            Err(e) => return Err(machine("rename", source, e)),
        }
        Ok((digest, size_bytes))
    }

    fn copy_in(&self, source: &Path, expected: &Digest) -> Result<()> {
        let failed = |e| machine("read", source, e);
        let mut file = File::open(source).map_err(failed)?;
        let mut writer = self.writer()?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut chunk).map_err(failed)? {
                0 => break,
                count => writer.write(&chunk[..count])?,
            }
        }
        self.keep(writer, Some(expected)).map(drop)
    }

    /// Finishes a writer: checks what was expected and gives the content its name.
    pub fn keep(&self, writer: BlobWriter, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        let digest = digest_of(writer.hash);
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(EngineError::invalid(format!(
                "the content has digest `{digest}`, not `{expected}`"
            )));
        }
        let target = self.path(&digest);
        if disk::touch(&target)?.is_none() {
            writer.file.place(&target)?;
        }
        Ok((digest, writer.size_bytes))
    }

    fn public_path(&self, digest: &Digest) -> PathBuf {
        self.path(digest).with_extension("public")
    }

    /// Whether some registry gives the blob to everybody, so that having it here tells nobody anything.
    pub fn is_public(&self, digest: &Digest) -> bool {
        self.public_path(digest).exists()
    }

    pub fn set_public(&self, digest: &Digest) -> Result<()> {
        let path = self.public_path(digest);
        fs::write(&path, b"").map_err(|e| machine("write", &path, e))
    }

    pub fn remove(&self, digest: &Digest) -> Result<()> {
        disk::remove_all(&self.public_path(digest))?;
        disk::remove_all(&self.path(digest))
    }

    /// Every blob that is there.
    pub fn list(&self) -> Result<Vec<Digest>> {
        let root = self.directory.join("sha256");
        let mut digests = Vec::new();
        for prefix in disk::list(&root)? {
            for hex in disk::list(&root.join(prefix))? {
                digests.extend(format!("sha256:{hex}").parse::<Digest>());
            }
        }
        Ok(digests)
    }
}

/// Content on its way in; gone when dropped.
pub struct BlobWriter {
    file: ScratchFile,
    room: RoomWatch,
    hash: Context,
    size_bytes: u64,
    bytes_max: u64,
}

impl BlobWriter {
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.size_bytes + bytes.len() as u64 > self.bytes_max {
            return Err(EngineError::invalid(format!(
                "the blob has more than the {} bytes allowed",
                self.bytes_max
            )));
        }
        self.room.before(bytes.len())?;
        self.hash.update(bytes);
        self.file.write_all(bytes)?;
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }
}
