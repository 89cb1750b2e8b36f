//! COPY and ADD: what the sources are. Where they land is worked out in [`crate::placing`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use engine::{EngineError, Result};

use crate::assemble::parents;
use crate::digests::{FileDigests, Hasher};
use crate::gather::{Gatherer, Item};
use crate::ignore::Ignore;
use crate::layer::normalised;
use crate::mode::FileMode;
use crate::pattern::{Pattern, Stars, has_wildcard, is_pattern};
use crate::remote::Remote;
use crate::tree::{Node, Tree};

/// A COPY with its variables replaced.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whether archives of the context are unpacked, and those that are fetched.
    pub unpacks: bool,
    pub unpacks_fetched: bool,
    pub sources: Vec<Source>,
    /// Absolute; a slash at the end says that it is a folder.
    pub to: String,
    pub chmod: Option<FileMode>,
    /// Sources land with the folders above them, from `/./` on if their path has it.
    pub parents: bool,
    /// What of the sources is left out.
    pub excludes: Ignore,
}

#[derive(Debug, Clone)]
pub enum Source {
    /// Below the context or the root of the stage; may be a pattern.
    Path(String),
    /// A heredoc: a name and a text.
    Text(String, String),
    /// What is still to be fetched, and stands for nothing until then.
    Remote(Remote),
    Fetched {
        tree: Tree,
        path: PathBuf,
        address: String,
    },
}

/// Where paths are taken from.
pub struct Origin<'a> {
    pub tree: &'a Tree,
    pub ignore: Option<&'a Ignore>,
    /// Named in errors: `the context`, or the stage's name.
    pub name: &'a str,
    /// Whether owners and file capabilities come along: from images yes, from somebody's folder no.
    pub keeps_owners: bool,
}

/// The sources of a COPY, found and hashed.
pub struct Found {
    pub parts: Vec<Part>,
}

pub enum Part {
    Path {
        /// What it lands as in a folder: a link's own name, and not that of what it leads to.
        name: OsString,
        node: Box<Node>,
        items: Vec<Item>,
        above: Option<Above>,
        /// Where it is, if it was fetched.
        fetched: Option<Tree>,
    },
    Text {
        name: String,
        text: String,
    },
}

/// Where a source of `COPY --parents` lands: its path below the destination, and the folders on the way
/// to it as they are at the source, the uppermost first.
pub struct Above {
    pub path: PathBuf,
    pub folders: Vec<(PathBuf, Node)>,
}

pub fn find(request: &Request, origin: &Origin<'_>, digests: &FileDigests) -> Result<Found> {
    let gatherer = Gatherer {
        tree: origin.tree,
        digests,
        ignore: origin.ignore,
        excludes: Some(&request.excludes),
    };
    let mut parts = Vec::new();
    for source in &request.sources {
        match source {
            Source::Text(name, text) => parts.push(Part::Text {
                name: name.clone(),
                text: text.clone(),
            }),
            Source::Remote(_) => {}
            Source::Fetched {
                tree,
                path,
                address,
            } => parts.push(find_fetched(tree, path, address, &gatherer)?),
            Source::Path(path) if request.parents => {
                find_with_parents(path, &gatherer, origin, &mut parts)?;
            }
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
                Part::Path {
                    name, items, above, ..
                } => {
                    hasher.text("path");
                    if let Some(above) = above {
                        hasher.field(above.path.as_os_str().as_encoded_bytes());
                        for (_, folder) in &above.folders {
                            hasher.field(&folder.metadata.mode().to_le_bytes());
                        }
                    }
                    hasher.field(name.as_encoded_bytes());
                    hasher.field(&(items.len() as u64).to_le_bytes());
                    let mut first_names = BTreeMap::new();
                    for item in items {
                        item.hash_into(hasher, item.node.metadata.mode() & 0o7777);
                        if let Some(file) = item.file_of_several_names() {
                            let first: &PathBuf = first_names.entry(file).or_insert(&item.path);
                            hasher.field(first.as_os_str().as_encoded_bytes());
                        }
                    }
                }
            }
        }
    }
}

/// What was fetched, without what is excluded. No `.dockerignore` is about it.
fn find_fetched(tree: &Tree, path: &Path, address: &str, gatherer: &Gatherer<'_>) -> Result<Part> {
    let missing = || EngineError::invalid(format!("`{}` is not in `{address}`", path.display()));
    let node = tree.find(path)?.ok_or_else(missing)?;
    let gatherer = Gatherer {
        tree,
        ignore: None,
        ..*gatherer
    };
    Ok(Part::Path {
        name: node.path.file_name().unwrap_or_default().to_owned(),
        items: gatherer.gather(&node)?,
        node: Box::new(node),
        above: None,
        fetched: Some(tree.clone()),
    })
}

/// What a source stands for: itself, or everything that matches when it is a pattern.
fn find_path(
    path: &str,
    gatherer: &Gatherer<'_>,
    origin: &Origin<'_>,
    parts: &mut Vec<Part>,
) -> Result<()> {
    let named = if is_pattern(path) {
        matching_pattern(path, origin)?
    } else {
        let node = origin.tree.find(Path::new(path))?;
        node.into_iter().map(|it| (name_of(path), it)).collect()
    };
    let before = parts.len();
    let is_hidden = !named.is_empty();
    for (name, node) in named {
        let items = gatherer.gather(&node)?;
        // Empty when `.dockerignore` hides it and all below it.
        if !items.is_empty() {
            parts.push(Part::Path {
                name,
                node: Box::new(node),
                items,
                above: None,
                fetched: None,
            });
        }
    }
    // Of a pattern nothing is asked: what it does not find need not be there.
    if parts.len() > before || has_wildcard(path) {
        return Ok(());
    }
    Err(EngineError::invalid(match is_hidden {
        true => format!("`{path}` is hidden by `.dockerignore`"),
        false => format!("`{path}` is not in {}", origin.name),
    }))
}

/// The same with the folders above: those between `/./`, or the top, and what is found.
fn find_with_parents(
    path: &str,
    gatherer: &Gatherer<'_>,
    origin: &Origin<'_>,
    parts: &mut Vec<Part>,
) -> Result<()> {
    let (base, rest) = path.split_once("/./").unwrap_or(("", path));
    let bases = match is_pattern(base) {
        true => matching_pattern(base, origin)?
            .into_iter()
            .map(|it| it.1)
            .collect(),
        false => Vec::from_iter(origin.tree.find(Path::new(base))?),
    };
    let mut is_found = false;
    for base in bases {
        for node in below(&base, rest, origin)? {
            let items = gatherer.gather(&node)?;
            if items.is_empty() {
                continue;
            }
            is_found = true;
            let path = node.path.strip_prefix(&base.path).unwrap_or(&node.path);
            let path = path.to_owned();
            let mut folders = Vec::new();
            for folder in parents(&path) {
                let found = origin.tree.find_itself(&base.path.join(&folder))?;
                folders.extend(found.map(|node| (folder, node)));
            }
            let above = Some(Above { path, folders });
            parts.push(Part::Path {
                name: OsString::new(),
                node: Box::new(node),
                items,
                above,
                fetched: None,
            });
        }
    }
    match is_found || has_wildcard(path) {
        true => Ok(()),
        false => Err(EngineError::invalid(format!(
            "`{path}` is not in {}",
            origin.name
        ))),
    }
}

/// What a path or pattern stands for below a folder. A link is itself here: it keeps its place.
fn below(base: &Node, path: &str, origin: &Origin<'_>) -> Result<Vec<Node>> {
    if is_pattern(path) {
        return matching_below(base, path, Stars::AnyDepth, origin);
    }
    let path = base.path.join(normalised(Path::new(path)));
    Ok(origin.tree.find_itself(&path)?.into_iter().collect())
}

/// The last part of a path as it is written.
fn name_of(path: &str) -> OsString {
    let path = normalised(Path::new(path));
    path.file_name().unwrap_or_default().to_owned()
}

/// What a pattern finds, each by the name that it was found by.
fn matching_pattern(path: &str, origin: &Origin<'_>) -> Result<Vec<(OsString, Node)>> {
    let Some(root) = origin.tree.find(Path::new(""))? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for node in matching_below(&root, path, Stars::OnePart, origin)? {
        // A link that a pattern finds is copied as what it leads to, as if it was named.
        let name = node.path.file_name().unwrap_or_default().to_owned();
        found.extend(origin.tree.find(&node.path)?.map(|it| (name, it)));
    }
    Ok(found)
}

fn matching_below(base: &Node, path: &str, stars: Stars, origin: &Origin<'_>) -> Result<Vec<Node>> {
    let path = path.trim_start_matches("./").trim_matches('/');
    let pattern = Pattern::parse(path, stars)?;
    // Without `**` a pattern matches only at its own depth, so nothing deeper is looked at.
    let depth_max = if stars == Stars::AnyDepth && path.contains("**") {
        crate::limits::FOLDER_DEPTH_MAX
    } else {
        path.matches('/').count() + 1
    };
    let mut found = Vec::new();
    let mut ahead = vec![(base.clone(), 0)];
    let mut seen = 0;
    while let Some((folder, depth)) = ahead.pop() {
        for (_, child) in origin.tree.children(&folder)? {
            seen += 1;
            if seen > crate::limits::COPY_ENTRIES_MAX {
                return Err(EngineError::invalid("the pattern looks at too many files"));
            }
            let path = child.path.strip_prefix(&base.path).ok();
            let matches = path
                .and_then(Path::to_str)
                .is_some_and(|path| pattern.matches(path));
            if matches {
                found.push(child);
            } else if child.is_folder() && depth + 1 < depth_max {
                ahead.push((child, depth + 1));
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(found)
}

/// Whether a destination says by its form that it is a folder.
pub fn names_folder(to: &str) -> bool {
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

/// What an image says of its working folder: an absolute path stays as it is written.
pub fn working_dir(path: &str, above: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let whole = Path::new("/").join(above).join(path);
    format!("/{}", normalised(&whole).display())
}
