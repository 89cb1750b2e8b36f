//! Files beneath the root. The kernel itself resolves each path with the root as its boundary, so
//! neither `..` nor a link nor a folder renamed meanwhile leads out.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use percent_encoding::percent_decode_str;

pub struct Root(File);

pub enum Found {
    File(File),
    /// A folder, which is asked for with a trailing slash.
    Folder,
    Nothing,
}

impl Root {
    pub fn open(path: &Path) -> io::Result<Self> {
        let folder = File::open(path)?;
        if !folder.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        let root = Self(folder);
        // A kernel or a filter that lacks the call would make every page a 404.
        root.try_open_beneath(".")?;
        Ok(root)
    }

    /// What a request's path leads to; a folder's page is its `index.html`.
    pub fn find(&self, url_path: &str) -> Found {
        let Some(path) = beneath(url_path) else {
            return Found::Nothing;
        };
        if path.is_empty() || path.ends_with('/') {
            return match self.open_beneath(&format!("{path}index.html")) {
                Some(file) if is_regular(&file) => Found::File(file),
                _ => Found::Nothing,
            };
        }
        match self.open_beneath(&path) {
            Some(file) if is_regular(&file) => Found::File(file),
            Some(file) if file.metadata().is_ok_and(|found| found.is_dir()) => Found::Folder,
            _ => Found::Nothing,
        }
    }

    fn open_beneath(&self, path: &str) -> Option<File> {
        self.try_open_beneath(path).ok()
    }

    fn try_open_beneath(&self, path: &str) -> io::Result<File> {
        // Without waiting: a pipe in the folder must not stop the server.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let how = OpenHow::new()
            .flags(flags)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let opened: OwnedFd = openat2(&self.0, path, how)?;
        Ok(File::from(opened))
    }
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.is_file())
}

/// The path below the root that a request's path means. `None` for one that no file can have, or
/// that should not be told: names that begin with a dot hold `.git` and the like.
fn beneath(url_path: &str) -> Option<String> {
    let decoded = percent_decode_str(url_path).decode_utf8().ok()?;
    let path = decoded.strip_prefix('/')?;
    let hidden = |part: &str| part.starts_with('.') && part != ".well-known";
    if path.contains('\0') || path.starts_with('/') || path.split('/').any(hidden) {
        return None;
    }
    Some(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |path, expect: Option<&str>| assert_eq!(beneath(path).as_deref(), expect);
        check("/", Some(""));
        check("/a%20b/c", Some("a b/c"));
        check("/.well-known/x", Some(".well-known/x"));
        check("/../x", None);
        check("/a/%2e%2e/x", None);
        check("/.git/config", None);
        check("//etc/passwd", None);
        check("/%2fetc/passwd", None);
        check("/a%00b", None);
        check("/%ff", None);
        check("*", None);
    }
}
