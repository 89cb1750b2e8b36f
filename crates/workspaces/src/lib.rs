//! Workspaces: folders that builds work in, one below the other under `<state>/workspaces`.
//!
//! What is in them is hostile: archives come from anywhere, and a build may leave links, pipes and
//! whatever else it likes. So no path is followed by hand. Every file is opened by the kernel
//! beneath the workspace's own folder (`openat2`, see [`folder`]), which a link cannot leave.

mod folder;
mod limits;
mod pack;
mod select;
mod unpack;

#[cfg(test)]
mod hostile_input;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use engine::{ByteStream, EngineError, Result, Selection, Workspaces};

use folder::Folder;

pub struct WorkspaceStore {
    root: PathBuf,
}

impl WorkspaceStore {
    pub fn open(root: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    /// The folder of a workspace, whether it is there or not.
    fn place(&self, id: &str) -> Result<PathBuf> {
        let valid = !id.is_empty()
            && id.len() <= limits::ID_BYTES_MAX
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !valid {
            return Err(EngineError::invalid(format!(
                "the workspace's name `{id}` is not made of letters, digits and `-`"
            )));
        }
        Ok(self.root.join(id))
    }

    fn folder(&self, id: &str) -> Result<Folder> {
        let place = self.place(id)?;
        Folder::open(&place).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                EngineError::not_found(format!("there is no workspace `{id}`"))
            }
            _ => EngineError::machine(format!("the workspace `{id}` cannot be opened"))
                .because(error),
        })
    }
}

/// Runs what waits for the disk on a thread of its own.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            Err(EngineError::machine("the work on a workspace ended early").because(error))
        }
    }
}

#[async_trait]
impl Workspaces for WorkspaceStore {
    async fn create(&self, id: &str) -> Result<PathBuf> {
        let place = self.place(id)?;
        std::fs::create_dir_all(&place)?;
        Ok(place)
    }

    async fn path(&self, id: &str) -> Result<PathBuf> {
        self.folder(id)?;
        self.place(id)
    }

    async fn unzip(&self, id: &str, into: &Path, archive: ByteStream) -> Result<()> {
        let (folder, into) = (self.folder(id)?, into.to_owned());
        let file = unpack::spool(archive, &self.root).await?;
        let place = self.root.clone();
        on_a_thread(move || unpack::unpack(&folder, &place, &into, file)).await
    }

    async fn zip(&self, id: &str, selection: &Selection) -> Result<ByteStream> {
        let (folder, selection) = (self.folder(id)?, selection.clone());
        let root = self.root.clone();
        let file = on_a_thread(move || pack::pack(&folder, &selection, &root)).await?;
        Ok(pack::stream(file))
    }

    async fn matching(&self, id: &str, selection: &Selection) -> Result<Vec<String>> {
        let (folder, selection) = (self.folder(id)?, selection.clone());
        on_a_thread(move || {
            let chosen = select::choose(&folder, &selection)?;
            Ok(chosen.into_iter().map(|it| it.name).collect())
        })
        .await
    }

    async fn read(&self, id: &str, path: &Path, size_max: u64) -> Result<Vec<u8>> {
        let (folder, path) = (self.folder(id)?, path.to_owned());
        on_a_thread(move || folder.read(&path, size_max)).await
    }

    async fn write(&self, id: &str, path: &Path, bytes: &[u8]) -> Result<()> {
        let (folder, path, bytes) = (self.folder(id)?, path.to_owned(), bytes.to_vec());
        on_a_thread(move || folder.write(&path, &bytes)).await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let place = self.place(id)?;
        on_a_thread(move || match std::fs::remove_dir_all(place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        })
        .await
    }

    async fn list(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}
