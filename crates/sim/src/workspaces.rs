//! Workspaces, in memory: no archive is made of them, only a list of what is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use engine::*;
use futures_util::StreamExt;

type Files = BTreeMap<String, Vec<u8>>;

/// What [`SimWorkspaces::zip`] makes and [`SimWorkspaces::unzip`] takes begins with this; a JSON
/// object of names and texts follows.
const ARCHIVE_MARK: &[u8] = b"sim-archive:";

/// What paths of folders begin with. Nothing is there.
const ROOT: &str = "/sim/workspaces";

#[derive(Default)]
pub struct SimWorkspaces {
    folders: Mutex<BTreeMap<String, Files>>,
}

impl SimWorkspaces {
    /// An archive as this machine knows it.
    pub fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let files: BTreeMap<_, _> = files.iter().copied().collect();
        let mut out = ARCHIVE_MARK.to_vec();
        out.extend(serde_json::to_vec(&files).expect("texts are JSON"));
        out
    }

    /// What an archive holds; None when it is none.
    pub fn files(archive: &[u8]) -> Option<BTreeMap<String, String>> {
        serde_json::from_slice(archive.strip_prefix(ARCHIVE_MARK)?).ok()
    }

    /// Puts a file where a build would have written it.
    pub fn put(&self, id: &str, path: &str, text: &str) {
        let mut folders = self.folders.lock().expect("no panic");
        folders
            .entry(id.into())
            .or_default()
            .insert(path.into(), text.into());
    }

    /// Puts files where a checkout writes them; false when the folder is none of these.
    pub(crate) fn fill(
        &self,
        folder: &Path,
        files: &BTreeMap<String, (Vec<u8>, GitFileKind)>,
    ) -> bool {
        let Ok(place) = folder.strip_prefix(ROOT) else {
            return false;
        };
        let mut parts = place.iter();
        let id = parts.next().map(|it| it.to_string_lossy().into_owned());
        let below = parts.as_path();
        let mut folders = self.folders.lock().expect("no panic");
        let own = folders.entry(id.unwrap_or_default()).or_default();
        for (path, (content, _)) in files {
            let path = below.join(path).to_string_lossy().into_owned();
            own.insert(path, content.clone());
        }
        true
    }

    pub fn text(&self, id: &str, path: &str) -> Option<String> {
        let folders = self.folders.lock().expect("no panic");
        let bytes = folders.get(id)?.get(path)?.clone();
        String::from_utf8(bytes).ok()
    }

    fn within<T>(&self, id: &str, body: impl FnOnce(&mut Files) -> Result<T>) -> Result<T> {
        let mut folders = self.folders.lock().expect("no panic");
        let files = folders
            .get_mut(id)
            .ok_or_else(|| EngineError::not_found(format!("there is no workspace `{id}`")))?;
        body(files)
    }

    fn choose(&self, id: &str, selection: &Selection) -> Result<Files> {
        let base = match selection.base.trim_start_matches("./").trim_matches('/') {
            "" | "." => String::new(),
            base => format!("{base}/"),
        };
        let found: Files = self.within(id, |files| {
            Ok(files
                .iter()
                .filter_map(|(path, bytes)| Some((path.strip_prefix(&base)?, bytes)))
                .filter(|(path, _)| selection.files.iter().any(|it| matches(it, path)))
                .filter(|(path, _)| !selection.exclude.iter().any(|it| matches(it, path)))
                .map(|(path, bytes)| {
                    let name = match selection.discard_paths {
                        true => path.rsplit('/').next().unwrap_or(path),
                        false => path,
                    };
                    (name.to_owned(), bytes.clone())
                })
                .collect())
        })?;
        if found.is_empty() {
            return Err(EngineError::invalid("no matching files were found"));
        }
        Ok(found)
    }
}

/// Plain names, `folder/**/*` and `*` at an end: as much as tests need.
fn matches(pattern: &str, path: &str) -> bool {
    let pattern = pattern.trim_start_matches("./");
    if let Some(folder) = pattern.strip_suffix("**/*") {
        return path.starts_with(folder);
    }
    match pattern.split_once('*') {
        Some((before, after)) => {
            let middle = path
                .strip_prefix(before)
                .and_then(|it| it.strip_suffix(after));
            middle.is_some_and(|it| !it.contains('/'))
        }
        None => pattern == path,
    }
}

#[async_trait]
impl Workspaces for SimWorkspaces {
    async fn create(&self, id: &str) -> Result<PathBuf> {
        let mut folders = self.folders.lock().expect("no panic");
        folders.entry(id.into()).or_default();
        Ok(Path::new(ROOT).join(id))
    }
    async fn path(&self, id: &str) -> Result<PathBuf> {
        self.within(id, |_| Ok(Path::new(ROOT).join(id)))
    }
    async fn unzip(&self, id: &str, into: &Path, mut archive: ByteStream) -> Result<()> {
        let mut bytes = Vec::new();
        while let Some(piece) = archive.next().await {
            bytes.extend_from_slice(&piece?);
        }
        let files = Self::files(&bytes)
            .ok_or_else(|| EngineError::invalid("the archive is not a ZIP archive"))?;
        self.within(id, |own| {
            for (name, text) in files {
                let path = into.join(name).to_string_lossy().into_owned();
                own.insert(path, text.into_bytes());
            }
            Ok(())
        })
    }
    async fn zip(&self, id: &str, selection: &Selection) -> Result<ByteStream> {
        let files = self.choose(id, selection)?;
        let texts: Vec<(String, String)> = files
            .into_iter()
            .map(|(name, bytes)| (name, String::from_utf8_lossy(&bytes).into_owned()))
            .collect();
        let texts: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (&**a, &**b)).collect();
        let bytes = Bytes::from(Self::archive(&texts));
        Ok(Box::pin(futures_util::stream::iter([Ok(bytes)])))
    }
    async fn matching(&self, id: &str, selection: &Selection) -> Result<Vec<String>> {
        Ok(self.choose(id, selection)?.into_keys().collect())
    }
    async fn read(&self, id: &str, path: &Path, size_max: u64) -> Result<Vec<u8>> {
        let path = path.to_string_lossy();
        self.within(id, |files| match files.get(&*path) {
            Some(bytes) if bytes.len() as u64 <= size_max => Ok(bytes.clone()),
            Some(_) => Err(EngineError::invalid(format!("`{path}` is too large"))),
            None => Err(EngineError::not_found(format!("there is no `{path}`"))),
        })
    }
    async fn write(&self, id: &str, path: &Path, bytes: &[u8]) -> Result<()> {
        let path = path.to_string_lossy().into_owned();
        self.within(id, |files| {
            files.insert(path, bytes.to_vec());
            Ok(())
        })
    }
    async fn remove(&self, id: &str) -> Result<()> {
        self.folders.lock().expect("no panic").remove(id);
        Ok(())
    }
    async fn list(&self) -> Result<Vec<String>> {
        Ok(self
            .folders
            .lock()
            .expect("no panic")
            .keys()
            .cloned()
            .collect())
    }
}
