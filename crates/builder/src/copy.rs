//! COPY and ADD: from a context, a stage or an image straight into a layer; no container needed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use engine::{EngineError, Result};
use tempfile::TempPath;

use crate::archive;
use crate::assemble::{joined, modified_seconds, parents};
use crate::digests::{FileDigests, Hasher, Sha256};
use crate::gather::{Gatherer, Item, ItemKind};
use crate::ignore::Ignore;
use crate::layer::{Attributes, LayerWriter, normalised};
use crate::pattern::{Pattern, is_pattern};
use crate::tree::{Node, Tree, read_attribute};

/// A COPY with its variables replaced.
#[derive(Debug, Clone)]
pub struct Request {
    pub unpacks: bool,
    pub sources: Vec<Source>,
    /// Absolute; a slash at the end says that it is a folder.
    pub to: String,
    pub chmod: Option<u32>,
}

#[derive(Debug, Clone)]
pub enum Source {
    /// Below the context or the root of the stage; may be a pattern.
    Path(String),
    /// A heredoc: a name and a text.
    Text(String, String),
}

/// Where paths are taken from.
pub struct Origin<'a> {
    pub tree: &'a Tree,
    pub ignore: Option<&'a Ignore>,
    /// Named in errors: `the context`, or the stage's name.
    pub name: &'a str,
    /// Whether file capabilities come along: from images yes, from somebody's folder no.
    pub keeps_capabilities: bool,
}

/// The sources of a COPY, found and hashed.
pub struct Found {
    parts: Vec<Part>,
}

enum Part {
    Path { node: Node, items: Vec<Item> },
    Text { name: String, text: String },
}

pub fn find(request: &Request, origin: &Origin<'_>, digests: &FileDigests) -> Result<Found> {
    let gatherer = Gatherer {
        tree: origin.tree,
        digests,
        ignore: origin.ignore,
    };
    let mut parts = Vec::new();
    for source in &request.sources {
        match source {
            Source::Text(name, text) => parts.push(Part::Text {
                name: name.clone(),
                text: text.clone(),
            }),
            Source::Path(path) => find_path(path, &gatherer, origin, &mut parts)?,
        }
    }
    Ok(Found { parts })
}

impl Found {
    /// What of the sources a layer depends on: names, kinds, permissions and contents.
    pub fn hash_into(&self, hasher: &mut Hasher) {
        for part in &self.parts {
            match part {
                Part::Text { name, text } => {
                    hasher.text("text");
                    hasher.text(name);
                    hasher.text(text);
                }
                Part::Path { node, items } => {
                    hasher.text("path");
                    let name = node.path.file_name().unwrap_or_default();
                    hasher.field(name.as_encoded_bytes());
                    hasher.field(&(items.len() as u64).to_le_bytes());
                    for item in items {
                        item.hash_into(hasher, item.node.metadata.mode() & 0o7777);
                    }
                }
            }
        }
    }
}

/// What a source stands for: itself, or everything that matches when it is a pattern.
fn find_path(
    path: &str,
    gatherer: &Gatherer<'_>,
    origin: &Origin<'_>,
    parts: &mut Vec<Part>,
) -> Result<()> {
    let nodes = if is_pattern(path) {
        matching_pattern(path, origin)?
    } else {
        origin.tree.find(Path::new(path))?.into_iter().collect()
    };
    let before = parts.len();
    let is_hidden = !nodes.is_empty();
    for node in nodes {
        let items = gatherer.gather(&node)?;
        // Empty when `.dockerignore` hides it and all below it.
        if !items.is_empty() {
            parts.push(Part::Path { node, items });
        }
    }
    if parts.len() > before {
        return Ok(());
    }
    Err(EngineError::invalid(match is_hidden {
        true => format!("`{path}` is hidden by `.dockerignore`"),
        false => format!("`{path}` is not in {}", origin.name),
    }))
}

fn matching_pattern(path: &str, origin: &Origin<'_>) -> Result<Vec<Node>> {
    let path = path.trim_start_matches("./").trim_matches('/');
    let pattern = Pattern::parse(path)?;
    let Some(root) = origin.tree.find(Path::new(""))? else {
        return Ok(Vec::new());
    };
    // Without `**` a pattern matches only at its own depth, so nothing deeper is looked at.
    let depth_max = if path.contains("**") {
        crate::limits::FOLDER_DEPTH_MAX
    } else {
        path.matches('/').count() + 1
    };
    let mut found = Vec::new();
    let mut ahead = vec![(root, 0)];
    let mut seen = 0;
    while let Some((folder, depth)) = ahead.pop() {
        for (_, child) in origin.tree.children(&folder)? {
            seen += 1;
            if seen > crate::limits::COPY_ENTRIES_MAX {
                return Err(EngineError::invalid("the pattern looks at too many files"));
            }
            let matches = child
                .path
                .to_str()
                .is_some_and(|path| pattern.matches(path));
            if matches {
                // A link that a pattern finds is copied as what it leads to, as if it was named.
                found.extend(origin.tree.find(&child.path)?);
            } else if child.is_folder() && depth + 1 < depth_max {
                ahead.push((child, depth + 1));
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(found)
}

/// Writes the layer: `below` is the image so far, `owner` whom the copied files belong to.
pub fn write(
    request: &Request,
    found: &Found,
    origin: &Origin<'_>,
    below: &Tree,
    owner: (u64, u64),
    scratch: &Path,
) -> Result<TempPath> {
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
    for (path, planned) in &placing.planned {
        planned.write(path, origin.tree, &mut layer)?;
    }
    for (folder, node) in &placing.archives {
        archive::unpack(origin.tree.open(node)?, folder, below, &mut layer)?;
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

/// Whether a destination says by its form that it is a folder.
fn names_folder(to: &str) -> bool {
    to.ends_with('/') || to == "." || to == ".." || to.ends_with("/.") || to.ends_with("/..")
}

/// A path of an instruction as an absolute one, without losing what its end says.
pub fn absolute(path: &str, working_dir: &str) -> String {
    let whole = if path.starts_with('/') {
        PathBuf::from(path)
    } else {
        Path::new("/").join(working_dir).join(path)
    };
    let mut absolute = Path::new("/")
        .join(normalised(&whole))
        .to_string_lossy()
        .into_owned();
    if names_folder(path) && !absolute.ends_with('/') {
        absolute.push('/');
    }
    absolute
}
