//! Looking into a container's root from outside. Images are hostile: every path is resolved by the
//! kernel as if the root were `/`, so that no symbolic link leads out of it.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::{Context, Failure, Result};

/// A user list longer than this is refused: no real one is.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// As many links as the kernel follows.
const LINKS_MAX: u32 = 40;

pub(crate) struct Root {
    directory: OwnedFd,
}

impl Root {
    pub fn open(path: &Path) -> Result<Self> {
        let directory =
            File::open(path).context(|| format!("could not open `{}`", path.display()))?;
        Ok(Self {
            directory: directory.into(),
        })
    }

    /// The text of a file; None when there is none.
    pub fn read(&self, path: &str) -> Result<Option<String>> {
        // Not blocking: the "file" may be a pipe that nobody writes to.
        let file = match self.resolve(Path::new(path), OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(error) => return Err(Failure(format!("could not open `{path}`: {error}"))),
        };
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(Failure(format!("`{path}` in the image is not a file")));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .context(|| format!("could not read `{path}`"))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(Failure(format!("`{path}` in the image is too long")));
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Whether something is there, links followed.
    pub fn has(&self, path: &Path) -> bool {
        self.resolve(path, OFlag::O_PATH).is_ok()
    }

    /// Where a path leads once its links are followed, from the root on. What is not there yet is
    /// taken to be where its name says, for a link may lead to what is only mounted later.
    pub fn leads_to(&self, path: &Path) -> Result<PathBuf> {
        let failed = || format!("could not look for `{}` in the image", path.display());
        let mut found = PathBuf::from("/");
        let mut links = 0;
        let mut ahead: Vec<OsString> = reversed_names(path);
        while let Some(name) = ahead.pop() {
            if name == ".." {
                found.pop();
                continue;
            }
            let next = found.join(&name);
            let target = match self.resolve(&next, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
                Ok(there) => match readlinkat(&there, "") {
                    Ok(target) => PathBuf::from(target),
                    // It is no link.
                    Err(Errno::ENOENT | Errno::EINVAL) => PathBuf::new(),
                    Err(error) => return Err(error).context(failed),
                },
                Err(Errno::ENOENT | Errno::ENOTDIR) => PathBuf::new(),
                Err(error) => return Err(error).context(failed),
            };
            if target.as_os_str().is_empty() {
                found = next;
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::ELOOP).context(failed);
            }
            if target.is_absolute() {
                found = PathBuf::from("/");
            }
            ahead.extend(reversed_names(&target));
        }
        Ok(found)
    }

    /// Makes a directory and those above it, unless they are there.
    pub fn make_directory(&self, path: &Path) -> Result<()> {
        let failed =
            |error: Errno| Failure(format!("could not make `{}`: {error}", path.display()));
        let mut done = PathBuf::from("/");
        for component in path.components() {
            match component {
                Component::Normal(name) => {
                    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
                    let parent = self.resolve(&done, flags).map_err(failed)?;
                    match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
                        Ok(()) | Err(Errno::EEXIST) => {}
                        Err(error) => return Err(failed(error)),
                    }
                    done.push(name);
                }
                Component::ParentDir => {
                    done.pop();
                }
                _ => {}
            }
        }
        // What was there already may be no directory.
        let made = self.resolve(&done, OFlag::O_PATH | OFlag::O_DIRECTORY);
        made.map(drop).map_err(failed)
    }

    /// Opens what something can be mounted over: what is there, links followed, or else an empty file
    /// or directory that is made.
    pub fn mount_point(&self, path: &Path, is_directory: bool) -> Result<OwnedFd> {
        let failed =
            |error: Errno| Failure(format!("could not make `{}`: {error}", path.display()));
        // A link may lead to what is not there.
        let found = self.leads_to(path)?;
        if is_directory {
            self.make_directory(&found)?;
        } else if !self.has(&found) {
            let (Some(parent), Some(name)) = (found.parent(), found.file_name()) else {
                return Err(failed(Errno::EINVAL));
            };
            self.make_directory(parent)?;
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
            let parent = self.resolve(parent, flags).map_err(failed)?;
            let mode = Mode::from_bits_truncate(0o644);
            mknodat(&parent, name, SFlag::S_IFREG, mode, 0).map_err(failed)?;
        }
        self.resolve(&found, OFlag::O_PATH).map_err(failed)
    }

    /// Removes an empty file or directory that was made as a mount point. No link is followed: what
    /// is inside may have been made by a container that has run.
    pub fn remove_if_empty(&self, path: &Path) {
        self.remove_empty_where(path, |_| true);
    }

    /// Removes a directory that is in an overlay's upper directory only because something was made
    /// and removed in it: empty, hiding nothing, and like the one below it.
    pub fn remove_if_unchanged(&self, path: &Path, lower: &Self) {
        let Ok(below) = lower.resolve(path, OFlag::O_PATH) else {
            return;
        };
        let Ok(below) = nix::sys::stat::fstat(&below) else {
            return;
        };
        let opaque = |directory: &OwnedFd| {
            let mut value = [0u8; 1];
            // SAFETY: the name ends with a zero, and the buffer is as long as said.
            let length = unsafe {
                libc::fgetxattr(
                    directory.as_raw_fd(),
                    c"trusted.overlay.opaque".as_ptr(),
                    value.as_mut_ptr().cast(),
                    value.len(),
                )
            };
            length > 0
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let hides = self
            .resolve(path, flags)
            .map_or(true, |directory| opaque(&directory));
        self.remove_empty_where(path, |above| {
            let alike = |stat: &FileStat| (stat.st_mode, stat.st_uid, stat.st_gid);
            !hides && alike(above) == alike(&below)
        });
    }

    fn remove_empty_where(&self, path: &Path, wanted: impl FnOnce(&FileStat) -> bool) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let here = Path::new(".");
        let parent = if parent.as_os_str().is_empty() {
            here
        } else {
            parent
        };
        let Ok(parent) = openat2(&self.directory, parent, how) else {
            return;
        };
        let Ok(stat) = fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
            return;
        };
        if !wanted(&stat) {
            return;
        }
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        // A directory that is not empty is refused by the kernel.
        let _ = match kind {
            SFlag::S_IFDIR => unlinkat(&parent, name, UnlinkatFlags::RemoveDir),
            SFlag::S_IFREG if stat.st_size == 0 => {
                unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir)
            }
            _ => Ok(()),
        };
    }

    fn resolve(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(&self.directory, path, how)
    }
}

/// Names and `..`, the last first.
fn reversed_names(path: &Path) -> Vec<OsString> {
    let names = path
        .components()
        .filter(|component| matches!(component, Component::Normal(_) | Component::ParentDir));
    let names = names.map(|component| component.as_os_str().to_owned());
    names.rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_do_not_lead_out_of_the_root() {
        let outside = std::env::temp_dir().join(format!("neargate-root-{}", std::process::id()));
        let inside = outside.join("root");
        std::fs::create_dir_all(inside.join("etc")).unwrap();
        std::fs::write(outside.join("secret"), "outside").unwrap();
        symlink("../../secret", inside.join("etc/passwd")).unwrap();
        symlink("/../../made", inside.join("link")).unwrap();

        let root = Root::open(&inside).unwrap();
        assert_eq!(root.read("/etc/passwd").unwrap(), None);
        assert!(root.make_directory(Path::new("/link/below")).is_err());
        root.make_directory(Path::new("/a/../b/c")).unwrap();
        assert!(root.has(Path::new("/b/c")));
        assert!(!outside.join("made").exists());
        std::fs::remove_dir_all(outside).unwrap();
    }
}
