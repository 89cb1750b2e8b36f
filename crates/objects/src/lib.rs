//! The contents of objects, as files.
//!
//! ```text
//! <root>/new/<id>          being written, or written and not settled
//! <root>/kept/<ab>/<id>    settled; <ab> are the id's first two digits
//! ```
//!
//! A content is hashed and written on blocking threads, a batch at a time, while the next one
//! arrives, so a slow client holds no thread and a large body no memory. It is synced to disk, with
//! its name, before its id is given out. Settling is a rename that nobody waits to see on disk: after
//! a power cut a content is in one place or the other, and both are looked at.

mod read;
mod write;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use engine::*;

/// Opens, joins and deletes contents. Cheap to clone.
#[derive(Clone)]
pub struct ObjectStore {
    places: Arc<Places>,
    /// What an earlier run left in `new`, and nobody has settled or deleted since.
    left: Arc<Mutex<Vec<String>>>,
}

struct Places {
    new: PathBuf,
    kept: PathBuf,
}

impl ObjectStore {
    pub fn open(root: PathBuf) -> Result<Self> {
        let places = Places {
            new: root.join("new"),
            kept: root.join("kept"),
        };
        for directory in [&places.new, &places.kept] {
            fs::create_dir_all(directory).map_err(|error| cannot("make", directory, error))?;
        }
        let mut left = Vec::new();
        let entries =
            fs::read_dir(&places.new).map_err(|error| cannot("read", &places.new, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| cannot("read", &places.new, error))?;
            left.extend(entry.file_name().into_string());
        }
        Ok(Self {
            places: Arc::new(places),
            left: Arc::new(Mutex::new(left)),
        })
    }

    /// Runs `work` where it may wait for the disk.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Places) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let places = self.places.clone();
        blocking(move || work(&places)).await
    }

    fn forget_left(&self, id: &str) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|it| it != id);
    }
}

impl Places {
    fn fresh(&self, id: &str) -> PathBuf {
        self.new.join(id)
    }

    fn kept(&self, id: &str) -> PathBuf {
        self.kept.join(&id[..2]).join(id)
    }

    /// Wherever it is: it may be settled at this moment, so the first place is looked at twice.
    fn open(&self, id: &str) -> Result<File> {
        check(id)?;
        for path in [self.kept(id), self.fresh(id), self.kept(id)] {
            match File::open(&path) {
                Ok(file) => return Ok(file),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(cannot("open", &path, error)),
            }
        }
        Err(EngineError::not_found(format!(
            "there is no content `{id}`"
        )))
    }

    fn settle(&self, id: &str) -> Result<()> {
        check(id)?;
        let (from, to) = (self.fresh(id), self.kept(id));
        let moved = fs::rename(&from, &to).or_else(|error| {
            if error.kind() != ErrorKind::NotFound {
                return Err(error);
            }
            fs::create_dir_all(to.parent().expect("a kept content has a folder"))?;
            fs::rename(&from, &to)
        });
        match moved {
            Err(error) if error.kind() == ErrorKind::NotFound && to.exists() => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(EngineError::not_found(
                format!("there is no content `{id}`"),
            )),
            Err(error) => Err(cannot("move", &from, error)),
            Ok(()) => Ok(()),
        }
    }

    fn delete(&self, id: &str) -> Result<()> {
        check(id)?;
        for path in [self.fresh(id), self.kept(id)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(cannot("remove", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Objects for ObjectStore {
    async fn put(&self, body: ByteStream, size_max: u64) -> Result<Content> {
        write::put(self.places.clone(), body, size_max).await
    }

    async fn join(&self, ids: &[String]) -> Result<Joined> {
        let ids = ids.to_vec();
        let work = move |places: &Places| write::join(places, &ids);
        making(self.places.clone(), work, |it| &it.id).await
    }

    async fn get(&self, id: &str, range: Option<Range<u64>>) -> Result<ByteStream> {
        let id = id.to_owned();
        let opened = self.on_disk(move |places| {
            let file = places.open(&id)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        });
        let (file, size) = opened.await?;
        read::stream(file, size, range)
    }

    async fn settle(&self, id: &str) -> Result<()> {
        self.forget_left(id);
        let id = id.to_owned();
        self.on_disk(move |places| places.settle(&id)).await
    }

    async fn delete(&self, id: &str) -> Result<()> {
        self.forget_left(id);
        let id = id.to_owned();
        self.on_disk(move |places| places.delete(&id)).await
    }

    async fn unsettled(&self) -> Result<Vec<String>> {
        Ok((self.left.lock().unwrap_or_else(PoisonError::into_inner)).clone())
    }
}

/// Ids become names of files: nothing else than what is made here may come in.
fn check(id: &str) -> Result<()> {
    if id.len() == write::ID_DIGITS && id.bytes().all(|it| it.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(EngineError::not_found(format!(
        "there is no content `{id}`"
    )))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            Err(EngineError::machine("work on the disk ended unexpectedly").because(error))
        }
    }
}

/// The same for what makes a content: one that nobody waits for any more is deleted again, since
/// nobody will ever know its id.
async fn making<T: Send + 'static>(
    places: Arc<Places>,
    work: impl FnOnce(&Places) -> Result<T> + Send + 'static,
    id: fn(&T) -> &str,
) -> Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let working = tokio::task::spawn_blocking(move || {
        if let Err(Ok(made)) = sender.send(work(&places)) {
            // What cannot be removed now is named as left when the store is opened again.
            let _ = places.delete(id(&made));
        }
    });
    match receiver.await {
        Ok(outcome) => outcome,
        Err(_) => {
            let error = EngineError::machine("work on the disk ended unexpectedly");
            Err(match working.await {
                Err(panic) => error.because(panic),
                Ok(()) => error,
            })
        }
    }
}

fn cannot(what: &str, path: &Path, error: io::Error) -> EngineError {
    EngineError::machine(format!("cannot {what} `{}`", path.display())).because(error)
}

#[cfg(test)]
mod tests;
