//! Digests of files, remembered by what `stat` says, so that an unchanged file is read once.
//!
//! One append-only file of fixed records under the cache folder: 16 bytes of a key made from path,
//! size, times and inode, then the 32 bytes of the content's SHA-256. A torn record at the end is
//! dropped on load. Appends are single writes of whole records, so several builds may write.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::Result;
use ring::digest::{Context, SHA256};

use crate::limits::REMEMBERED_DIGESTS_MAX;
use crate::place::During;

pub type Sha256 = [u8; 32];
type Key = [u8; 16];

const RECORD_BYTES: usize = 48;
/// A file changed twice within one tick of the kernel's clock looks unchanged. What changed this
/// recently is therefore read again the next time.
const TICK_MARGIN: Duration = Duration::from_millis(50);
const READ_BUFFER_BYTES: usize = 256 * 1024;

pub struct FileDigests {
    file: PathBuf,
    known: Mutex<HashMap<Key, Sha256>>,
}

impl FileDigests {
    pub fn open(file: PathBuf) -> Result<Self> {
        let mut known = HashMap::new();
        let too_long = (REMEMBERED_DIGESTS_MAX * RECORD_BYTES) as u64;
        match std::fs::metadata(&file) {
            Ok(metadata) if metadata.len() > too_long => {
                std::fs::remove_file(&file).during(|| "cannot shorten the digest cache".into())?;
            }
            Ok(_) => {
                let bytes =
                    std::fs::read(&file).during(|| "cannot read the digest cache".into())?;
                for record in bytes.chunks_exact(RECORD_BYTES) {
                    let (key, digest) = record.split_at(size_of::<Key>());
                    known.insert(
                        key.try_into().expect("the first 16 of 48 bytes"),
                        digest.try_into().expect("the other 32 of 48 bytes"),
                    );
                }
                // Appends must start at a record's border, so a torn tail goes.
                let whole = (bytes.len() / RECORD_BYTES * RECORD_BYTES) as u64;
                if whole != bytes.len() as u64 {
                    OpenOptions::new()
                        .write(true)
                        .open(&file)
                        .and_then(|file| file.set_len(whole))
                        .during(|| "cannot repair the digest cache".into())?;
                }
            }
            Err(_) => {}
        }
        Ok(Self {
            file,
            known: Mutex::new(known),
        })
    }

    /// The digest of `path`, whose metadata is `metadata`; `open` is called when it must be read.
    pub fn of(
        &self,
        path: &Path,
        metadata: &Metadata,
        open: impl FnOnce() -> Result<File>,
    ) -> Result<Sha256> {
        let key = key_of(path, metadata);
        if let Some(digest) = self.lock().get(&key) {
            return Ok(*digest);
        }
        let digest = hash(&mut open()?).during(|| format!("cannot read `{}`", path.display()))?;
        if is_settled(metadata) {
            self.remember(key, digest);
        }
        Ok(digest)
    }

    /// Failing to remember costs time, never correctness, so it is only logged.
    fn remember(&self, key: Key, digest: Sha256) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED_DIGESTS_MAX {
            known.clear();
            let _ = std::fs::remove_file(&self.file);
        }
        known.insert(key, digest);
        let mut record = [0; RECORD_BYTES];
        record[..16].copy_from_slice(&key);
        record[16..].copy_from_slice(&digest);
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.file)
            .and_then(|mut file| file.write_all(&record));
        if let Err(error) = written {
            tracing::debug!(%error, "cannot remember a digest");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Sha256>> {
        self.known
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }
}

fn key_of(path: &Path, metadata: &Metadata) -> Key {
    let mut hasher = Hasher::new("file");
    hasher.field(path.as_os_str().as_encoded_bytes());
    for number in [
        metadata.size() as i64,
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
        metadata.ino() as i64,
        metadata.dev() as i64,
    ] {
        hasher.field(&number.to_le_bytes());
    }
    let mut key = Key::default();
    key.copy_from_slice(&hasher.finish()[..16]);
    key
}

fn is_settled(metadata: &Metadata) -> bool {
    let (Ok(seconds), Ok(nanos)) = (
        u64::try_from(metadata.ctime()),
        u32::try_from(metadata.ctime_nsec()),
    ) else {
        return false;
    };
    SystemTime::now()
        .duration_since(UNIX_EPOCH + Duration::new(seconds, nanos))
        .is_ok_and(|age| age > TICK_MARGIN)
}

pub fn hash(file: &mut File) -> std::io::Result<Sha256> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(to_array(&context.finish())),
            length => context.update(&buffer[..length]),
        }
    }
}

fn to_array(digest: &ring::digest::Digest) -> Sha256 {
    digest.as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

pub fn sha256(bytes: &[u8]) -> Sha256 {
    to_array(&ring::digest::digest(&SHA256, bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash over fields, each with its length, so that no two lists of fields run into each other.
pub struct Hasher(Context);

impl Hasher {
    pub fn new(kind: &str) -> Self {
        let mut hasher = Self(Context::new(&SHA256));
        hasher.field(kind.as_bytes());
        hasher
    }
    pub fn field(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
    pub fn text(&mut self, text: &str) {
        self.field(text.as_bytes());
    }
    pub fn texts(&mut self, texts: &[String]) {
        self.field(&(texts.len() as u64).to_le_bytes());
        texts.iter().for_each(|text| self.text(text));
    }
    pub fn finish(self) -> Sha256 {
        to_array(&self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let never = || panic!("the file was read again");
        std::fs::write(&file, "one").unwrap();
        std::thread::sleep(2 * TICK_MARGIN);
        let metadata = std::fs::metadata(&file).unwrap();
        let open = || Ok(File::open(&file)?);

        let digests = FileDigests::open(folder.path().join("digests")).unwrap();
        assert_eq!(digests.of(&file, &metadata, open).unwrap(), sha256(b"one"));
        assert_eq!(digests.of(&file, &metadata, never).unwrap(), sha256(b"one"));
        // The same from disk.
        let digests = FileDigests::open(folder.path().join("digests")).unwrap();
        assert_eq!(digests.of(&file, &metadata, never).unwrap(), sha256(b"one"));

        std::fs::write(&file, "two").unwrap();
        let metadata = std::fs::metadata(&file).unwrap();
        assert_eq!(digests.of(&file, &metadata, open).unwrap(), sha256(b"two"));
        // Changed just now: not trusted yet.
        std::fs::write(&file, "six").unwrap();
        assert_eq!(digests.of(&file, &metadata, open).unwrap(), sha256(b"six"));
    }
}
