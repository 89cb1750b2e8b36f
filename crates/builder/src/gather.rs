//! What a COPY would copy: every file, folder and link below a source, with the digests of the
//! files' contents.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use engine::{EngineError, Result};

use crate::digests::{FileDigests, Hasher, Sha256};
use crate::ignore::Ignore;
use crate::limits::{COPY_ENTRIES_MAX, FOLDER_DEPTH_MAX};
use crate::tree::{Node, Tree};

#[derive(Debug)]
pub struct Item {
    /// Relative to the source; empty for the source itself.
    pub path: PathBuf,
    pub node: Node,
    pub kind: ItemKind,
}

#[derive(Debug, PartialEq, Eq)]
pub enum ItemKind {
    Folder,
    File { size: u64, digest: Sha256 },
    Link(PathBuf),
}

impl Item {
    /// Device and inode of a file that has other names, too.
    pub fn file_of_several_names(&self) -> Option<(u64, u64)> {
        let metadata = &self.node.metadata;
        let has_several = metadata.is_file() && metadata.nlink() > 1;
        has_several.then(|| (metadata.dev(), metadata.ino()))
    }

    /// Everything about the item that a layer would show, but not its times.
    pub fn hash_into(&self, hasher: &mut Hasher, mode: u32) {
        hasher.field(self.path.as_os_str().as_encoded_bytes());
        hasher.field(&mode.to_le_bytes());
        match &self.kind {
            ItemKind::Folder => hasher.text("folder"),
            ItemKind::File { digest, .. } => {
                hasher.text("file");
                hasher.field(digest);
            }
            ItemKind::Link(target) => {
                hasher.text("link");
                hasher.field(target.as_os_str().as_encoded_bytes());
            }
        }
    }
}

pub struct Gatherer<'a> {
    pub tree: &'a Tree,
    pub digests: &'a FileDigests,
    pub ignore: Option<&'a Ignore>,
    /// By the path below the source, or the name of a source that is no folder.
    pub excludes: Option<&'a Ignore>,
}

impl Gatherer<'_> {
    /// The source itself and all below it, parents before children, in the order of names.
    pub fn gather(&self, source: &Node) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        let name = source.path.file_name().map(Path::new);
        let is_excluded = !source.is_folder() && name.is_some_and(|name| self.is_excluded(name));
        if !is_excluded {
            self.visit(source, PathBuf::new(), 0, &mut items)?;
        }
        Ok(items)
    }

    fn visit(&self, node: &Node, path: PathBuf, depth: usize, items: &mut Vec<Item>) -> Result<()> {
        if items.len() >= COPY_ENTRIES_MAX {
            return Err(EngineError::invalid(format!(
                "more than {COPY_ENTRIES_MAX} files to copy; list what is not needed in `.dockerignore`"
            )));
        }
        if depth > FOLDER_DEPTH_MAX {
            return Err(EngineError::invalid(format!(
                "`{}` lies more than {FOLDER_DEPTH_MAX} folders deep",
                node.path.display()
            )));
        }
        let kind = self.kind(node)?;
        let is_folder = kind == ItemKind::Folder;
        let position = items.len();
        let hidden = self.is_ignored(&node.path) || self.is_excluded(&path);
        items.push(Item {
            path: path.clone(),
            node: node.clone(),
            kind,
        });
        if is_folder {
            for (name, child) in self.tree.children(node)? {
                let below = path.join(&name);
                let is_hidden = self.is_ignored(&child.path) || self.is_excluded(&below);
                if !is_hidden || (child.is_folder() && self.may_show_below()) {
                    self.visit(&child, below, depth + 1, items)?;
                }
            }
        }
        // A hidden folder is copied only for what it shows below.
        if hidden && items.len() == position + 1 {
            items.pop();
        }
        Ok(())
    }

    fn is_ignored(&self, path: &Path) -> bool {
        self.ignore.is_some_and(|ignore| ignore.hides(path))
    }

    fn is_excluded(&self, path: &Path) -> bool {
        self.excludes.is_some_and(|excludes| excludes.hides(path))
    }

    fn may_show_below(&self) -> bool {
        let lists = [self.ignore, self.excludes];
        lists.into_iter().flatten().any(Ignore::may_show_below)
    }

    fn kind(&self, node: &Node) -> Result<ItemKind> {
        let metadata = &node.metadata;
        if node
            .path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b".wh."))
        {
            return Err(EngineError::invalid(format!(
                "`{}` cannot be copied: in a layer, a name that starts with `.wh.` means a deletion",
                node.path.display()
            )));
        }
        if metadata.is_dir() {
            Ok(ItemKind::Folder)
        } else if metadata.is_symlink() {
            self.tree.link_target(node).map(ItemKind::Link)
        } else if metadata.is_file() {
            let digest = self.digests.of(&self.tree.real_path(node), metadata, || {
                self.tree.open(node)
            })?;
            Ok(ItemKind::File {
                size: metadata.len(),
                digest,
            })
        } else {
            Err(EngineError::invalid(format!(
                "`{}` is neither a file, a folder nor a link, so it cannot be copied; list it in `.dockerignore`",
                node.path.display()
            )))
        }
    }
}
