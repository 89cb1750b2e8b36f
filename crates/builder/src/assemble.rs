//! An image of plain files, without a Dockerfile: one layer per entry, cached by content.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use engine::{AssembleRequest, Built, CachedStep, EngineError, Layer, Result};
use tempfile::TempPath;

use crate::builder::{Shared, blocking};
use crate::digests::{Hasher, Sha256};
use crate::gather::{Gatherer, Item, ItemKind};
use crate::layer::{Attributes, LayerWriter, normalised};
use crate::place::During;
use crate::tree::Tree;

/// Part of the cache key: raise it when layers are written in another way.
const VERSION: &str = "assemble 1";

pub async fn assemble(shared: &Shared, request: AssembleRequest) -> Result<Built> {
    let mut layers = Vec::new();
    let mut history = Vec::new();
    let mut cached_steps = 0;
    for (from, to) in &request.files {
        let (layer, cached) = entry(shared, from, to).await?;
        layers.push(layer);
        history.push(format!("COPY {} {}", from.display(), to.display()));
        cached_steps += usize::from(cached);
    }
    let digest = shared
        .store_image(&request.config, &layers, &history, &request.names)
        .await?;
    Ok(Built {
        digest,
        size_bytes: layers.iter().map(|layer| layer.blob.size_bytes).sum(),
        steps: request.files.len(),
        cached_steps,
    })
}

async fn entry(shared: &Shared, from: &Path, to: &Path) -> Result<(Layer, bool)> {
    let to = normalised(to);
    let source = Gathered::of(shared, from.to_owned(), to).await?;
    if let Some(CachedStep { layer: Some(layer) }) =
        shared.cache.find(&source.key, &*shared.content).await?
    {
        return Ok((layer, true));
    }
    let key = source.key;
    let scratch = shared.scratch.clone();
    let tar = blocking(move || source.write(&scratch)).await?;
    let layer = shared.images.put_layer(&tar).await?;
    let step = CachedStep {
        layer: Some(layer.clone()),
    };
    shared.cache.store(&key, &step)?;
    Ok((layer, false))
}

struct Gathered {
    tree: Tree,
    items: Vec<Item>,
    to: PathBuf,
    key: Sha256,
}

impl Gathered {
    async fn of(shared: &Shared, from: PathBuf, to: PathBuf) -> Result<Self> {
        let digests = shared.digests.clone();
        blocking(move || {
            // The caller's own path may be a link (an installed program often is); links within the
            // folder stay links.
            let from = from
                .canonicalize()
                .during(|| format!("cannot read `{}`", from.display()))?;
            let (tree, path) = if from.is_dir() {
                (Tree::of_folder(from.clone()), PathBuf::new())
            } else {
                let parent = from.parent().unwrap_or(Path::new("/"));
                let name = from.file_name().unwrap_or_default();
                (Tree::of_folder(parent.to_owned()), PathBuf::from(name))
            };
            let node = tree.find(&path)?.ok_or_else(|| {
                EngineError::not_found(format!("`{}` does not exist", from.display()))
            })?;
            if to.as_os_str().is_empty() && !node.is_folder() {
                return Err(EngineError::invalid(format!(
                    "`{}` is a file and cannot become the image's root",
                    from.display()
                )));
            }
            let items = Gatherer {
                tree: &tree,
                digests: &digests,
                ignore: None,
                excludes: None,
            }
            .gather(&node)?;
            let mut hasher = Hasher::new(VERSION);
            hasher.field(to.as_os_str().as_encoded_bytes());
            items
                .iter()
                .for_each(|item| item.hash_into(&mut hasher, mode(item)));
            let key = hasher.finish();
            Ok(Self {
                tree,
                items,
                to,
                key,
            })
        })
        .await
    }

    fn write(&self, scratch: &Path) -> Result<TempPath> {
        let mut layer = LayerWriter::create(scratch)?;
        for folder in parents(&self.to) {
            layer.folder(&folder, &Attributes::root(0o755))?;
        }
        let sorted: BTreeMap<PathBuf, &Item> = self
            .items
            .iter()
            .map(|item| (joined(&self.to, &item.path), item))
            .filter(|(path, _)| !path.as_os_str().is_empty())
            .collect();
        for (path, item) in sorted {
            let mut attributes = Attributes::root(mode(item));
            match &item.kind {
                ItemKind::Folder => layer.folder(&path, &attributes)?,
                ItemKind::Link(target) => layer.symbolic_link(&path, &attributes, target)?,
                ItemKind::File { size, digest } => {
                    attributes.modified_seconds = modified_seconds(item);
                    let file = self.tree.open(&item.node)?;
                    layer.file(&path, &attributes, *size, file, Some(digest))?;
                }
            }
        }
        layer.finish()
    }
}

/// A file keeps its own time: web servers tell browsers by it whether a page has changed.
pub fn modified_seconds(item: &Item) -> u64 {
    u64::try_from(item.node.metadata.mtime()).unwrap_or(0)
}

/// Modes are normalised, so that the umask of whoever made the files does not matter.
fn mode(item: &Item) -> u32 {
    match item.kind {
        ItemKind::Folder => 0o755,
        ItemKind::Link(_) => 0o777,
        ItemKind::File { .. } if item.node.metadata.mode() & 0o111 != 0 => 0o755,
        ItemKind::File { .. } => 0o644,
    }
}

/// The folders above a path, the uppermost first.
pub fn parents(path: &Path) -> Vec<PathBuf> {
    let mut parents: Vec<PathBuf> = path
        .ancestors()
        .skip(1)
        .filter(|parent| !parent.as_os_str().is_empty())
        .map(Path::to_owned)
        .collect();
    parents.reverse();
    parents
}

/// Joins without the trailing slash that joining an empty path would leave.
pub fn joined(folder: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        folder.to_owned()
    } else {
        folder.join(path)
    }
}
