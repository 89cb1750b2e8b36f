//! Writing a content: batches go to a blocking thread, which hashes and writes them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use engine::{ByteStream, Content, EngineError, Joined, Result, RoomWatch, check_room};
use futures_util::StreamExt;
use md5::{Digest, Md5};
use ring::rand::SecureRandom;

use crate::{Places, cannot, making};

/// Hexadecimal digits of an id: 128 bits never meet twice.
pub const ID_DIGITS: usize = 32;
/// What is handed to a blocking thread at once: large enough that handing over costs nothing beside
/// hashing it, small enough that two of them are no memory to speak of.
const BATCH_BYTES: usize = 1024 * 1024;

/// A content that is being written. What is not finished is removed when it is dropped.
struct Unfinished {
    id: String,
    path: PathBuf,
    file: File,
    room: RoomWatch,
    md5: Md5,
    size_bytes: u64,
    finished: bool,
}

impl Unfinished {
    fn begin(places: &Places) -> Result<Self> {
        let id = new_id()?;
        let path = places.fresh(&id);
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| cannot("make", &path, error))?;
        Ok(Self {
            id,
            path,
            file,
            room: RoomWatch::new(&places.new, "an object"),
            md5: Md5::new(),
            size_bytes: 0,
            finished: false,
        })
    }

    fn write(&mut self, batch: &[Bytes]) -> Result<()> {
        for piece in batch {
            self.room.before(piece.len())?;
            self.md5.update(piece);
            self.size_bytes += piece.len() as u64;
            let written = self.file.write_all(piece);
            written.map_err(|error| cannot("write", &self.path, error))?;
        }
        Ok(())
    }

    /// On disk with its name.
    fn sync(&mut self, places: &Places) -> Result<()> {
        let synced = self.file.sync_all().and_then(|()| sync_directory(places));
        synced.map_err(|error| cannot("write", &self.path, error))?;
        self.finished = true;
        Ok(())
    }

    fn finish(mut self, places: &Places) -> Result<Content> {
        self.sync(places)?;
        let digest = std::mem::take(&mut self.md5).finalize();
        Ok(Content {
            id: self.id.clone(),
            size_bytes: self.size_bytes,
            md5: hex(&digest),
        })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is named as left when the store is opened again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn sync_directory(places: &Places) -> io::Result<()> {
    File::open(&places.new)?.sync_all()
}

/// While a batch is hashed and written, the next one arrives.
pub async fn put(places: Arc<Places>, mut body: ByteStream, size_max: u64) -> Result<Content> {
    let mut writing: Option<tokio::task::JoinHandle<Result<Unfinished>>> = None;
    let mut size_bytes = 0;
    loop {
        let (batch, ended) = next_batch(&mut body).await?;
        size_bytes += batch.iter().map(|it| it.len() as u64).sum::<u64>();
        if size_bytes > size_max {
            return Err(EngineError::invalid(format!(
                "the body is longer than {size_max} bytes"
            )));
        }
        let written = match writing.take() {
            Some(work) => Some(joined(work.await)?),
            None => None,
        };
        let (kept, places) = (places.clone(), places.clone());
        let work = move || {
            let mut unfinished = match written {
                Some(it) => it,
                None => Unfinished::begin(&places)?,
            };
            unfinished.write(&batch)?;
            Ok::<_, EngineError>(unfinished)
        };
        if ended {
            let last = move |places: &Places| work()?.finish(places);
            return making(kept, last, |it: &Content| &it.id).await;
        }
        writing = Some(tokio::task::spawn_blocking(work));
    }
}

fn joined<T>(outcome: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    outcome.unwrap_or_else(|error| {
        Err(EngineError::machine("work on the disk ended unexpectedly").because(error))
    })
}

/// Pieces of about [`BATCH_BYTES`] together, and whether the body ends with them.
async fn next_batch(body: &mut ByteStream) -> Result<(Vec<Bytes>, bool)> {
    let (mut batch, mut size) = (Vec::new(), 0);
    while size < BATCH_BYTES {
        match body.next().await {
            None => return Ok((batch, true)),
            Some(Ok(piece)) => {
                size += piece.len();
                batch.push(piece);
            }
            Some(Err(error)) => {
                return Err(EngineError::invalid("the body ended early").because(error));
            }
        }
    }
    Ok((batch, false))
}

/// The kernel copies the bytes, or shares them where the file system can.
pub fn join(places: &Places, ids: &[String]) -> Result<Joined> {
    let mut whole = Unfinished::begin(places)?;
    for id in ids {
        let mut part = places.open(id)?;
        check_room(&places.new, "an object")?;
        let copied = io::copy(&mut part, &mut whole.file)
            .map_err(|error| cannot("write", &whole.path, error))?;
        whole.size_bytes += copied;
    }
    whole.sync(places)?;
    Ok(Joined {
        id: whole.id.clone(),
        size_bytes: whole.size_bytes,
    })
}

fn new_id() -> Result<String> {
    let mut bytes = [0; ID_DIGITS / 2];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| EngineError::machine("the kernel gives no random bytes"))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}
