//! Tests of whole builds, with a store and a runner of steps in a temporary folder.
//!
//! `World` is what the tests know of the builder: files go in, an image and its layers' entries
//! come out as text.

mod adding;
mod archives;
mod assembling;
mod caching;
mod copying;
mod errors;
mod fake;
mod hostile;
mod hostile_input;
mod running;
mod settings;
mod staging;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{
    AssembleRequest, BuildEvent, BuildRequest, Builds, Built, EngineError, ImageConfig, ImageName,
};
use tokio::sync::mpsc;

use crate::Builder;
use fake::{FakeImages, FakeSteps};

pub struct World {
    pub folder: tempfile::TempDir,
    pub images: Arc<FakeImages>,
    pub steps: Arc<FakeSteps>,
    pub builder: Builder,
}

pub struct Outcome {
    pub built: Built,
    pub events: Vec<BuildEvent>,
    pub config: ImageConfig,
    /// Each layer's entries, one text per entry.
    pub layers: Vec<Vec<String>>,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = FakeImages::new(folder.path().join("images"));
        let steps = Arc::new(FakeSteps::default());
        std::fs::create_dir(folder.path().join("context")).unwrap();
        let root = folder.path().join("builder");
        let builder = Builder::open(root, images.clone(), steps.clone()).unwrap();
        Self {
            folder,
            images,
            steps,
            builder,
        }
    }

    /// A world whose context holds these files; a name that ends with a slash is a folder, a text
    /// that starts with `->` a link.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let world = Self::new();
        files.iter().for_each(|(name, text)| world.put(name, text));
        world
    }

    pub fn context(&self) -> PathBuf {
        self.folder.path().join("context")
    }

    pub fn put(&self, name: &str, text: &str) {
        let path = self.context().join(name);
        if name.ends_with('/') {
            return std::fs::create_dir_all(path).unwrap();
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("->") {
            Some(target) => std::os::unix::fs::symlink(target.trim(), path).unwrap(),
            None => std::fs::write(path, text).unwrap(),
        }
    }

    pub async fn build(&self, dockerfile: &str) -> Result<Outcome, EngineError> {
        self.build_as(dockerfile, |_| {}).await
    }

    pub async fn build_as(
        &self,
        dockerfile: &str,
        change: impl FnOnce(&mut BuildRequest),
    ) -> Result<Outcome, EngineError> {
        let mut request = BuildRequest {
            context: self.context(),
            dockerfile_text: Some(dockerfile.to_owned()),
            ..BuildRequest::default()
        };
        change(&mut request);
        let (sender, mut receiver) = mpsc::channel(16);
        let listening = tokio::spawn(async move {
            let mut events = Vec::new();
            while let Some(event) = receiver.recv().await {
                events.push(event);
            }
            events
        });
        let built = self.builder.build(request, sender).await;
        let events = listening.await.unwrap();
        self.assert_clean();
        Ok(self.outcome(built?, events))
    }

    pub fn outcome(&self, built: Built, events: Vec<BuildEvent>) -> Outcome {
        let image = self.images.image(&built.digest);
        let layers = image
            .layers
            .iter()
            .map(|layer| entries(&self.images.blob(&layer.blob.digest)))
            .collect();
        Outcome {
            built,
            events,
            config: image.config,
            layers,
        }
    }

    /// An image for FROM: what the Dockerfile makes, under a name.
    pub async fn image(&self, name: &str, dockerfile: &str) {
        let name: ImageName = name.parse().unwrap();
        self.build_as(dockerfile, |request| request.names = vec![name])
            .await
            .unwrap();
    }

    /// Nothing half done is left in the scratch folder.
    pub fn assert_clean(&self) {
        let scratch = self.folder.path().join("builder/scratch");
        let left: Vec<_> = scratch.read_dir().unwrap().collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    pub async fn assemble(&self, files: &[(&str, &str)]) -> Result<Built, EngineError> {
        let files = files
            .iter()
            .map(|(from, to)| (self.context().join(from), PathBuf::from(to)))
            .collect();
        let request = AssembleRequest {
            files,
            ..AssembleRequest::default()
        };
        self.builder.assemble(request).await
    }
}

/// A layer's entries: `dir 755 0:0 app`, `file 644 0:0 app/a = text`, `link a -> b`, `same a = b`.
pub fn entries(tar: &Path) -> Vec<String> {
    use std::io::Read;
    let mut archive = tar::Archive::new(std::fs::File::open(tar).unwrap());
    let mut out = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let capabilities = entry.pax_extensions().unwrap().is_some_and(|mut pax| {
            pax.any(|pax| pax.unwrap().key().unwrap() == "SCHILY.xattr.security.capability")
        });
        let path = entry.path().unwrap().display().to_string();
        let path = path.trim_end_matches('/').to_owned();
        let header = entry.header().clone();
        let link = entry.link_name().unwrap().map(|l| l.display().to_string());
        let link = link.unwrap_or_default();
        let who = format!(
            "{:o} {}:{}",
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap()
        );
        let mut line = match header.entry_type() {
            tar::EntryType::Directory => format!("dir {who} {path}"),
            tar::EntryType::Symlink => format!("link {path} -> {link}"),
            tar::EntryType::Link => format!("same {path} = {link}"),
            _ => {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                format!("file {who} {path} = {text}")
            }
        };
        if capabilities {
            line.push_str(" +cap");
        }
        out.push(line);
    }
    out
}
