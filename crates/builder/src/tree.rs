//! A read-only view of a tree of files: a build context (one folder), or the layers of an image
//! laid over each other as the kernel's overlay would show them.
//!
//! No path leads out: links are resolved here, within the tree, component by component, and files
//! are opened by the kernel beneath the folder with links forbidden.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use engine::{EngineError, Result};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::limits::LINKS_MAX;
use crate::place::During;

/// Folders, the lowest first. Clones are cheap enough: a few paths.
#[derive(Debug, Clone)]
pub struct Tree {
    folders: Vec<PathBuf>,
}

/// Something in a tree, by a path without links.
#[derive(Debug, Clone)]
pub struct Node {
    pub path: PathBuf,
    pub metadata: Metadata,
    /// Indices of the folders that show here, the uppermost first; one unless it is a folder.
    shown_by: Vec<usize>,
}

impl Node {
    pub fn is_folder(&self) -> bool {
        self.metadata.is_dir()
    }
}

impl Tree {
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    pub fn of_folder(folder: PathBuf) -> Self {
        Self::new(vec![folder])
    }

    /// Whether it has no root: that of `scratch`, before anything is put there.
    pub fn is_nothing(&self) -> bool {
        self.folders.is_empty()
    }

    /// What `path` is, following links as a process whose root this tree is would.
    pub fn find(&self, path: &Path) -> Result<Option<Node>> {
        self.walk(path, true).map(|(_, node)| node)
    }

    /// The same, but a link at the end of the path is the answer itself.
    pub fn find_itself(&self, path: &Path) -> Result<Option<Node>> {
        self.walk(path, false).map(|(_, node)| node)
    }

    /// Where `path` is after all its links, whether or not its last components exist.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf> {
        self.walk(path, true).map(|(path, _)| path)
    }

    /// What a folder holds, by name.
    pub fn children(&self, folder: &Node) -> Result<BTreeMap<OsString, Node>> {
        let mut names = BTreeMap::new();
        for &index in &folder.shown_by {
            let real = self.real(index, &folder.path);
            let entries =
                std::fs::read_dir(&real).during(|| format!("cannot list `{}`", real.display()))?;
            for entry in entries {
                let entry = entry.during(|| format!("cannot list `{}`", real.display()))?;
                names.insert(entry.file_name(), ());
            }
        }
        let mut children = BTreeMap::new();
        for name in names.into_keys() {
            if let Some(node) = self.child(folder, &name)? {
                children.insert(name, node);
            }
        }
        Ok(children)
    }

    pub fn open(&self, node: &Node) -> Result<File> {
        let folder = &self.folders[node.shown_by[0]];
        let root = File::open(folder).during(|| format!("cannot open `{}`", folder.display()))?;
        rustix::fs::openat2(
            &root,
            &node.path,
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        )
        .map(File::from)
        .during(|| format!("cannot open `{}`", node.path.display()))
    }

    /// The text of a plain file of at most `bytes_max`; `None` when there is none.
    pub fn read_text(&self, path: &Path, bytes_max: usize) -> Result<Option<String>> {
        let Some(node) = self.find(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        if node.metadata.is_file() {
            // One byte more than allowed, so that too much is noticed.
            self.open(&node)?
                .take(bytes_max as u64 + 1)
                .read_to_end(&mut bytes)
                .during(|| format!("cannot read `{}`", path.display()))?;
        }
        let is_fit = node.metadata.is_file() && bytes.len() <= bytes_max;
        match String::from_utf8(bytes) {
            Ok(text) if is_fit => Ok(Some(text)),
            _ => Err(EngineError::invalid(format!(
                "`{}` is not a text file of at most {bytes_max} bytes",
                path.display()
            ))),
        }
    }

    pub fn link_target(&self, node: &Node) -> Result<PathBuf> {
        std::fs::read_link(self.real_path(node))
            .during(|| format!("cannot read the link `{}`", node.path.display()))
    }

    /// The path on this machine of the uppermost folder or file that shows here.
    pub fn real_path(&self, node: &Node) -> PathBuf {
        self.real(node.shown_by[0], &node.path)
    }

    /// Whether one folder of this machine shows all of it, so that it can be mounted as it is.
    pub fn is_in_one_folder(&self, node: &Node) -> bool {
        node.shown_by.len() == 1
    }

    fn root(&self) -> Result<Option<Node>> {
        let Some(uppermost) = self.folders.last() else {
            return Ok(None);
        };
        let metadata = std::fs::metadata(uppermost)
            .during(|| format!("cannot look at `{}`", uppermost.display()))?;
        Ok(Some(Node {
            path: PathBuf::new(),
            metadata,
            shown_by: (0..self.folders.len()).rev().collect(),
        }))
    }

    fn real(&self, index: usize, path: &Path) -> PathBuf {
        // Joining an empty path would add a slash, which a plain file cannot bear.
        if path.as_os_str().is_empty() {
            self.folders[index].clone()
        } else {
            self.folders[index].join(path)
        }
    }

    fn child(&self, folder: &Node, name: &OsStr) -> Result<Option<Node>> {
        let path = folder.path.join(name);
        let mut found: Option<Node> = None;
        for &index in &folder.shown_by {
            let real = self.real(index, &path);
            let metadata = match std::fs::symlink_metadata(&real) {
                Ok(metadata) => metadata,
                Err(error) if is_absence(&error) => continue,
                Err(error) => {
                    return Err(error).during(|| format!("cannot look at `{}`", real.display()));
                }
            };
            if is_whiteout(&metadata) {
                break;
            }
            match &mut found {
                Some(_) if !metadata.is_dir() => break,
                Some(node) => node.shown_by.push(index),
                None => {
                    found = Some(Node {
                        path: path.clone(),
                        metadata: metadata.clone(),
                        shown_by: vec![index],
                    });
                }
            }
            if !metadata.is_dir() || is_opaque(&real) {
                break;
            }
        }
        Ok(found)
    }

    fn walk(&self, path: &Path, follow_last: bool) -> Result<(PathBuf, Option<Node>)> {
        let mut ahead: Vec<OsString> = components(path);
        ahead.reverse();
        let root = self.root()?;
        let mut behind: Vec<Option<Node>> = vec![root];
        let mut resolved = PathBuf::new();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                resolved.pop();
                if behind.len() > 1 {
                    behind.pop();
                }
                continue;
            }
            let here = behind.last().expect("the root is never popped");
            let child = match here {
                Some(folder) if folder.is_folder() => self.child(folder, &name)?,
                _ => None,
            };
            let is_link = child
                .as_ref()
                .is_some_and(|child| child.metadata.is_symlink());
            if let Some(link) = child.as_ref().filter(|_| is_link)
                && (follow_last || !ahead.is_empty())
            {
                links += 1;
                if links > LINKS_MAX {
                    return Err(EngineError::invalid(format!(
                        "`{}` has too many links in a row",
                        path.display()
                    )));
                }
                let target = self.link_target(link)?;
                if target.is_absolute() {
                    behind.truncate(1);
                    resolved = PathBuf::new();
                }
                ahead.extend(components(&target).into_iter().rev());
                continue;
            }
            resolved.push(&name);
            behind.push(child);
        }
        let node = behind.pop().expect("the root is never popped");
        Ok((resolved, node))
    }
}

pub fn components(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn is_absence(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
    )
}

/// Overlay's mark for "removed here": a character device 0/0.
pub fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Overlay's mark for "nothing of the folders below shows here".
pub fn is_opaque(folder: &Path) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"]
        .iter()
        .any(|name| read_attribute(folder, name).is_some_and(|value| value == b"y"))
}

/// An extended attribute of the file itself, never of what it links to.
pub fn read_attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let size = rustix::fs::lgetxattr_query(path, name).ok()?;
    let mut value = vec![0_u8; size];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}
