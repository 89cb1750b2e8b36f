//! Where the sources of a COPY land in the image, and the layer that results.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use engine::{EngineError, Result};
use tempfile::TempPath;

use crate::archive;
use crate::assemble::{joined, modified_seconds, parents};
use crate::copy::{Found, Origin, Part, Request, names_folder};
use crate::digests::Sha256;
use crate::gather::{Item, ItemKind};
use crate::layer::{Attributes, LayerWriter};
use crate::tree::{Node, Tree, read_attribute};

/// Writes the layer: `below` is the image so far, `owner` whom the copied files belong to,
/// if not to root or, out of an archive, to whom the archive says.
pub fn write(
    request: &Request,
    found: &Found,
    origin: &Origin<'_>,
    below: &Tree,
    owner: Option<(u64, u64)>,
    scratch: &Path,
) -> Result<TempPath> {
    let mut placing = Placing {
        request,
        origin,
        below,
        owner: owner.unwrap_or((0, 0)),
        planned: BTreeMap::new(),
        archives: Vec::new(),
    };
    placing.place_all(found)?;
    placing.add_parents()?;
    let mut layer = LayerWriter::create(scratch)?;
    for (path, planned) in &placing.planned {
        planned.write(path, origin.tree, &mut layer)?;
    }
    for (folder, node) in &placing.archives {
        archive::unpack(|| origin.tree.open(node), folder, owner, below, &mut layer)?;
    }
    layer.finish()
}

/// The working out of what lands where.
struct Placing<'a> {
    request: &'a Request,
    origin: &'a Origin<'a>,
    below: &'a Tree,
    owner: (u64, u64),
    planned: BTreeMap<PathBuf, Planned<'a>>,
    archives: Vec<(PathBuf, &'a Node)>,
}

struct Planned<'a> {
    attributes: Attributes,
    content: Content<'a>,
}

enum Content<'a> {
    Folder,
    Text(&'a str),
    Link(&'a Path),
    File {
        node: &'a Node,
        size: u64,
        digest: &'a Sha256,
    },
}

impl Planned<'_> {
    fn write(&self, path: &Path, origin: &Tree, layer: &mut LayerWriter) -> Result<()> {
        let attributes = &self.attributes;
        match &self.content {
            Content::Folder => layer.folder(path, attributes),
            Content::Text(text) => layer.bytes(path, attributes, text.as_bytes()),
            Content::Link(target) => layer.symbolic_link(path, attributes, target),
            Content::File { node, size, digest } => {
                layer.file(path, attributes, *size, origin.open(node)?, Some(digest))
            }
        }
    }
}

impl<'a> Placing<'a> {
    fn place_all(&mut self, found: &'a Found) -> Result<()> {
        let to = self.below.resolve(Path::new(&self.request.to))?;
        let existing = self.below.find(&to)?;
        let is_folder = names_folder(&self.request.to)
            || existing.is_some_and(|node| node.is_folder())
            || to.as_os_str().is_empty();
        if found.parts.len() > 1 && !is_folder {
            return Err(EngineError::invalid(format!(
                "more than one source needs a folder as destination: end `{}` with a `/`",
                self.request.to
            )));
        }
        for part in &found.parts {
            match part {
                Part::Text { name, text } => {
                    let path = if is_folder { to.join(name) } else { to.clone() };
                    let attributes = self.attributes(0o644);
                    self.plan(path, attributes, Content::Text(text))?;
                }
                Part::Path { node, items } => self.place(node, items, &to, is_folder)?,
            }
        }
        Ok(())
    }

    fn place(
        &mut self,
        node: &'a Node,
        items: &'a [Item],
        to: &Path,
        is_folder: bool,
    ) -> Result<()> {
        let is_archive = self.request.unpacks
            && node.metadata.is_file()
            && archive::is_archive(self.origin.tree.open(node)?, &node.path)?;
        if is_archive && self.request.chmod.is_some() {
            return Err(EngineError::invalid(
                "`--chmod` is not supported with an archive, which brings its own permissions",
            ));
        }
        if is_archive {
            self.plan_folder(to.to_owned())?;
            self.archives.push((to.to_owned(), node));
            return Ok(());
        }
        if node.is_folder() {
            // The folder itself is not copied, what it holds is.
            self.plan_folder(to.to_owned())?;
            return items
                .iter()
                .filter(|item| !item.path.as_os_str().is_empty())
                .try_for_each(|item| self.item(item, to.join(&item.path)));
        }
        let path = match node.path.file_name() {
            Some(name) if is_folder => to.join(name),
            _ => to.to_owned(),
        };
        items
            .iter()
            .try_for_each(|item| self.item(item, joined(&path, &item.path)))
    }

    fn item(&mut self, item: &'a Item, path: PathBuf) -> Result<()> {
        let mut attributes = self.attributes(item.node.metadata.mode() & 0o7777);
        let content = match &item.kind {
            ItemKind::Folder => Content::Folder,
            ItemKind::Link(target) => {
                attributes.mode = 0o777;
                Content::Link(target)
            }
            ItemKind::File { size, digest } => {
                attributes.modified_seconds = modified_seconds(item);
                if self.origin.keeps_capabilities {
                    let real = self.origin.tree.real_path(&item.node);
                    let name = "security.capability";
                    let value = read_attribute(&real, name);
                    attributes.extended = value
                        .map(|value| (name.to_owned(), value))
                        .into_iter()
                        .collect();
                }
                Content::File {
                    node: &item.node,
                    size: *size,
                    digest,
                }
            }
        };
        self.plan(path, attributes, content)
    }

    /// Owned as `--chown` says, with the permissions of `--chmod` if given.
    fn attributes(&self, mode: u32) -> Attributes {
        let (uid, gid) = self.owner;
        Attributes {
            uid,
            gid,
            ..Attributes::root(self.request.chmod.unwrap_or(mode))
        }
    }

    fn plan_folder(&mut self, path: PathBuf) -> Result<()> {
        let (uid, gid) = self.owner;
        let attributes = Attributes {
            uid,
            gid,
            ..Attributes::root(0o755)
        };
        self.plan(path, attributes, Content::Folder)
    }

    fn plan(&mut self, path: PathBuf, attributes: Attributes, content: Content<'a>) -> Result<()> {
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        let means_deletion = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".wh.");
        if path.iter().any(means_deletion) {
            return Err(EngineError::invalid(format!(
                "`/{}` cannot be made: in a layer, a name that starts with `.wh.` means a deletion",
                path.display()
            )));
        }
        let is_folder = matches!(content, Content::Folder);
        let below = self.below.find_itself(&path)?;
        let planned_folder = self
            .planned
            .get(&path)
            .map(|planned| matches!(planned.content, Content::Folder));
        let clashes = |other_is_folder: bool| other_is_folder != is_folder;
        // A file may take the place of a file or link; a folder and a file never replace each other.
        if planned_folder.is_some_and(clashes)
            || below.as_ref().is_some_and(|node| clashes(node.is_folder()))
        {
            let (new, old) = if is_folder {
                ("a folder", "not a folder")
            } else {
                ("a file", "a folder")
            };
            return Err(EngineError::invalid(format!(
                "{new} cannot be copied to `/{}`, which is {old} in the image",
                path.display()
            )));
        }
        // A folder that is there already stays as it is: `/tmp` must keep its permissions.
        let attributes = match below.filter(|_| is_folder) {
            Some(node) => attributes_of(&node),
            None => attributes,
        };
        if !(is_folder && planned_folder == Some(true)) {
            self.planned.insert(
                path,
                Planned {
                    attributes,
                    content,
                },
            );
        }
        Ok(())
    }

    /// Folders above what is copied, as they are in the image, or new.
    fn add_parents(&mut self) -> Result<()> {
        let paths: Vec<PathBuf> = self.planned.keys().cloned().collect();
        for path in paths {
            for parent in parents(&path) {
                if !self.planned.contains_key(&parent) {
                    self.plan_folder(parent)?;
                }
            }
        }
        Ok(())
    }
}

/// A layer with one folder, which need not be new; what is made of its path belongs to `owner`.
pub fn write_folder(
    path: &Path,
    below: &Tree,
    (uid, gid): (u64, u64),
    scratch: &Path,
) -> Result<TempPath> {
    let path = below.resolve(path)?;
    let mut layer = LayerWriter::create(scratch)?;
    let mut folders = parents(&path);
    folders.push(path);
    for folder in folders {
        let attributes = match below.find_itself(&folder)? {
            Some(node) if node.is_folder() => attributes_of(&node),
            Some(_) => {
                return Err(EngineError::invalid(format!(
                    "`/{}` is not a folder in the image",
                    folder.display()
                )));
            }
            None => Attributes {
                uid,
                gid,
                ..Attributes::root(0o755)
            },
        };
        layer.folder(&folder, &attributes)?;
    }
    layer.finish()
}

pub fn attributes_of(node: &Node) -> Attributes {
    Attributes {
        uid: node.metadata.uid().into(),
        gid: node.metadata.gid().into(),
        modified_seconds: u64::try_from(node.metadata.mtime()).unwrap_or(0),
        ..Attributes::root(node.metadata.mode() & 0o7777)
    }
}
