//! Where the sources of a COPY land in the image, and the layer that results.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use engine::{EngineError, Result};
use tempfile::TempPath;

use crate::archive;
use crate::assemble::{joined, modified_seconds, parents};
use crate::copy::{Above, Found, Origin, Part, Request, names_folder};
use crate::digests::Sha256;
use crate::gather::{Item, ItemKind};
use crate::layer::{Attributes, LayerWriter};
use crate::tree::{Node, Tree, read_attribute};

/// Writes the layer, if there is anything to copy: `below` is the image so far, `owner` whom the copied
/// files belong to, if not to root or, out of an image or an archive, to whom it says.
pub fn write(
    request: &Request,
    found: &Found,
    origin: &Origin<'_>,
    below: &Tree,
    owner: Option<(u64, u64)>,
    scratch: &Path,
) -> Result<Option<TempPath>> {
    if found.parts.is_empty() {
        return Ok(None);
    }
    let mut placing = Placing {
        request,
        origin,
        below,
        owner,
        planned: BTreeMap::new(),
        archives: Vec::new(),
    };
    placing.place_all(found)?;
    placing.add_parents()?;
    let mut layer = LayerWriter::create(scratch)?;
    let mut first_names = BTreeMap::new();
    for (path, planned) in &placing.planned {
        match planned.other_name(path, &mut first_names) {
            Some(first) => layer.hard_link(path, &planned.attributes, first)?,
            None => planned.write(path, &mut layer)?,
        }
    }
    for (folder, tree, node) in &placing.archives {
        archive::unpack(|| tree.open(node), folder, below, &mut layer)?;
    }
    layer.finish().map(Some)
}

/// What a folder that is there already becomes. Where something is copied to stays as it is (`/tmp` must
/// keep its permissions); a folder that is copied itself brings its owner and permissions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Stays,
    IsDressed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Directory {
    Yes,
    No,
}

/// The working out of what lands where.
struct Placing<'a> {
    request: &'a Request,
    origin: &'a Origin<'a>,
    below: &'a Tree,
    owner: Option<(u64, u64)>,
    planned: BTreeMap<PathBuf, Planned<'a>>,
    archives: Vec<(PathBuf, &'a Tree, &'a Node)>,
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
        tree: &'a Tree,
        node: &'a Node,
        size: u64,
        digest: &'a Sha256,
        /// The source and the file of it, when that has several names: within one source they stay one.
        shared: Option<(usize, (u64, u64))>,
    },
}

/// One of the sources: its number, and where it is.
#[derive(Clone, Copy)]
struct Of<'a> {
    number: usize,
    tree: &'a Tree,
}

impl Of<'_> {
    fn is_archive(self, node: &Node) -> Result<bool> {
        archive::is_archive(self.tree.open(node)?, &node.path)
    }
}

impl<'a> Planned<'a> {
    /// The path that the same file was written at before, if it was.
    fn other_name<'p>(
        &self,
        path: &'p Path,
        first_names: &mut BTreeMap<(usize, (u64, u64)), &'p Path>,
    ) -> Option<&'p Path> {
        let Content::File {
            shared: Some(shared),
            ..
        } = self.content
        else {
            return None;
        };
        match first_names.entry(shared) {
            Entry::Occupied(first) => Some(first.get()),
            Entry::Vacant(unknown) => {
                unknown.insert(path);
                None
            }
        }
    }

    fn write(&self, path: &Path, layer: &mut LayerWriter) -> Result<()> {
        let attributes = &self.attributes;
        match &self.content {
            Content::Folder => layer.folder(path, attributes),
            Content::Text(text) => layer.bytes(path, attributes, text.as_bytes()),
            Content::Link(target) => layer.symbolic_link(path, attributes, target),
            Content::File {
                tree,
                node,
                size,
                digest,
                ..
            } => layer.file(path, attributes, *size, tree.open(node)?, Some(digest)),
        }
    }
}

impl<'a> Placing<'a> {
    fn place_all(&mut self, found: &'a Found) -> Result<()> {
        let to = self.below.resolve(Path::new(&self.request.to))?;
        let existing = self.below.find(&to)?;
        let is_folder = self.request.parents
            || names_folder(&self.request.to)
            || existing.is_some_and(|node| node.is_folder())
            || to.as_os_str().is_empty();
        for (number, part) in found.parts.iter().enumerate() {
            let source = |tree| Of { number, tree };
            // One after the other: what a folder before has made is a folder for those that follow.
            let planned = self.planned.get(&to).map(|it| &it.content);
            let is_folder = is_folder || matches!(planned, Some(Content::Folder));
            if planned.is_some() && !is_folder {
                return Err(EngineError::invalid(format!(
                    "more than one source needs a folder as destination: end `{}` with a `/`",
                    self.request.to
                )));
            }
            match part {
                Part::Text { name, text } => {
                    let path = if is_folder { to.join(name) } else { to.clone() };
                    let attributes = self.attributes(0o644, (0, 0), Directory::No);
                    self.plan(path, attributes, Content::Text(text), Existing::IsDressed)?;
                }
                Part::Path {
                    items,
                    above: Some(above),
                    ..
                } => {
                    self.place_with_parents(source(self.origin.tree), items, above, &to)?;
                }
                Part::Path {
                    name,
                    node,
                    items,
                    fetched,
                    ..
                } => {
                    let unpacks = match fetched {
                        Some(_) => self.request.unpacks_fetched,
                        None => self.request.unpacks,
                    };
                    let path = match is_folder {
                        true => to.join(name),
                        false => to.clone(),
                    };
                    let source = source(fetched.as_ref().unwrap_or(self.origin.tree));
                    match unpacks && node.metadata.is_file() && source.is_archive(node)? {
                        true => self.place_archive(source, node, &to)?,
                        false => self.place(source, node, items, &to, &path)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn place_archive(&mut self, source: Of<'a>, node: &'a Node, to: &Path) -> Result<()> {
        self.plan_folder(to.to_owned())?;
        self.archives.push((to.to_owned(), source.tree, node));
        Ok(())
    }

    fn place(
        &mut self,
        source: Of<'a>,
        node: &'a Node,
        items: &'a [Item],
        to: &Path,
        path: &Path,
    ) -> Result<()> {
        if node.is_folder() {
            // The folder itself is not copied, what it holds is.
            self.plan_folder(to.to_owned())?;
            return items
                .iter()
                .filter(|item| !item.path.as_os_str().is_empty())
                .try_for_each(|item| self.item(source, item, to.join(&item.path)));
        }
        items
            .iter()
            .try_for_each(|item| self.item(source, item, joined(path, &item.path)))
    }

    fn place_with_parents(
        &mut self,
        source: Of<'a>,
        items: &'a [Item],
        above: &Above,
        to: &Path,
    ) -> Result<()> {
        self.plan_folder(to.to_owned())?;
        for (path, folder) in &above.folders {
            let metadata = &folder.metadata;
            let own = self.own(metadata);
            let attributes = self.attributes(metadata.mode() & 0o7777, own, Directory::Yes);
            self.plan(to.join(path), attributes, Content::Folder, Existing::Stays)?;
        }
        let path = joined(to, &above.path);
        items
            .iter()
            .try_for_each(|item| self.item(source, item, joined(&path, &item.path)))
    }

    /// Whose a file is that nobody was asked to give away.
    fn own(&self, metadata: &Metadata) -> (u64, u64) {
        match self.origin.keeps_owners {
            true => (metadata.uid().into(), metadata.gid().into()),
            false => (0, 0),
        }
    }

    fn item(&mut self, source: Of<'a>, item: &'a Item, path: PathBuf) -> Result<()> {
        let metadata = &item.node.metadata;
        let directory = match metadata.is_dir() {
            true => Directory::Yes,
            false => Directory::No,
        };
        let mode = metadata.mode() & 0o7777;
        let mut attributes = self.attributes(mode, self.own(metadata), directory);
        let content = match &item.kind {
            ItemKind::Folder => Content::Folder,
            ItemKind::Link(target) => {
                attributes.mode = 0o777;
                Content::Link(target)
            }
            ItemKind::File { size, digest } => {
                attributes.modified_seconds = modified_seconds(item);
                if self.origin.keeps_owners {
                    let real = source.tree.real_path(&item.node);
                    let name = "security.capability";
                    let value = read_attribute(&real, name);
                    attributes.extended = value
                        .map(|value| (name.to_owned(), value))
                        .into_iter()
                        .collect();
                }
                Content::File {
                    tree: source.tree,
                    node: &item.node,
                    size: *size,
                    digest,
                    shared: item
                        .file_of_several_names()
                        .map(|file| (source.number, file)),
                }
            }
        };
        self.plan(path, attributes, content, Existing::IsDressed)
    }

    /// Owned as `--chown` says, with the permissions of `--chmod` if given.
    fn attributes(&self, mode: u32, own: (u64, u64), directory: Directory) -> Attributes {
        let (uid, gid) = self.owner.unwrap_or(own);
        let mode = match &self.request.chmod {
            Some(wanted) => wanted.apply(mode, directory == Directory::Yes),
            None => mode,
        };
        Attributes {
            uid,
            gid,
            ..Attributes::root(mode)
        }
    }

    /// A folder that something is to be in.
    fn plan_folder(&mut self, path: PathBuf) -> Result<()> {
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        let attributes = Attributes {
            uid,
            gid,
            ..Attributes::root(0o755)
        };
        self.plan(path, attributes, Content::Folder, Existing::Stays)
    }

    fn plan(
        &mut self,
        path: PathBuf,
        attributes: Attributes,
        content: Content<'a>,
        existing: Existing,
    ) -> Result<()> {
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
        let attributes = match below.filter(|_| is_folder && existing == Existing::Stays) {
            Some(node) => attributes_of(&node),
            None => attributes,
        };
        let stays = is_folder && planned_folder == Some(true) && existing == Existing::Stays;
        if !stays {
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
