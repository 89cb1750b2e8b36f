//! Writes a layer's entries beneath a directory handle.
//!
//! A parent directory is opened by the kernel with `openat2`, beneath the root's handle and without
//! following any link (`RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`). The last component is then created
//! in that directory with calls that do not follow links either. So a link that an earlier entry
//! planted is an obstacle, never a way.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use engine::{EngineError, Result};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::headers::Attributes;
use super::read_failed;
use crate::limits::CHUNK_BYTES;

/// Says to overlayfs that a directory hides the one below it.
pub const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
/// Attributes that a layer may bring: the only one that programs in images rely on.
const XATTR_ALLOWED: &str = "security.capability";

/// A path in a layer: relative, with no way up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPath(PathBuf);

impl LayerPath {
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let refuse = |why: &str| {
            let shown = String::from_utf8_lossy(bytes);
            EngineError::invalid(format!("the layer's entry `{shown}` {why}"))
        };
        if bytes.starts_with(b"/") {
            return Err(refuse("has an absolute path"));
        }
        if bytes.contains(&0) {
            return Err(refuse("has a zero byte in its path"));
        }
        let mut path = PathBuf::new();
        for component in bytes.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(refuse("leads out of the layer")),
                name => path.push(OsStr::from_bytes(name)),
            }
        }
        Ok(Self(path))
    }

    /// The last component; None for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.0.file_name().map(OsStr::as_bytes)
    }

    fn parent(&self) -> &Path {
        self.0.parent().unwrap_or(Path::new(""))
    }

    fn file_name(&self) -> &OsStr {
        self.0.file_name().unwrap_or_default()
    }
}

impl fmt::Display for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

pub struct Tree {
    root: OwnedFd,
    /// The parent used last: entries of one directory mostly follow each other. Directories are
    /// never removed or renamed here, so the handle stays right.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Times of directories are set when nothing is written into them any more.
    times: Vec<(PathBuf, Timestamps)>,
    buffer: Vec<u8>,
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// An error of the file system at an entry.
fn failed(doing: &str, path: impl fmt::Display, errno: Errno) -> EngineError {
    match errno {
        // The kernel met a link or a file where the layer says there is a directory.
        Errno::LOOP | Errno::NOTDIR | Errno::XDEV => EngineError::invalid(format!(
            "the layer's entry `{path}` lies below something that is not a directory"
        )),
        Errno::NAMETOOLONG => {
            EngineError::invalid(format!("the layer's entry `{path}` has too long a name"))
        }
        Errno::INVAL => EngineError::invalid(format!(
            "cannot {doing} `{path}` of the layer: the kernel says that it is malformed"
        )),
        errno => {
            EngineError::machine(format!("cannot {doing} `{path}` of the layer")).because(errno)
        }
    }
}

fn open_beneath(root: BorrowedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, DIRECTORY, Mode::empty(), resolve)
}

fn times_of(attributes: &Attributes) -> Timestamps {
    let time = Timespec {
        tv_sec: attributes.mtime_s,
        tv_nsec: attributes.mtime_ns.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

impl Tree {
    pub fn open(root: &Path) -> Result<Self> {
        let root = rustix::fs::open(root, DIRECTORY, Mode::empty())
            .map_err(|e| failed("open", root.display(), e))?;
        Ok(Self {
            root,
            parent: None,
            times: Vec::new(),
            buffer: vec![0; CHUNK_BYTES],
        })
    }

    /// The directory that an entry is to be in, made when the layer did not bring it.
    fn parent_of(&mut self, path: &LayerPath) -> Result<BorrowedFd<'_>> {
        let parent = path.parent();
        if self.parent.as_ref().is_none_or(|(at, _)| at != parent) {
            let directory = match open_beneath(self.root.as_fd(), parent) {
                Err(Errno::NOENT) => self.make_directories(parent, path)?,
                opened => opened.map_err(|e| failed("open", path, e))?,
            };
            self.parent = Some((parent.to_owned(), directory));
        }
        let (_, directory) = self.parent.as_ref().expect("it was set above");
        Ok(directory.as_fd())
    }

    fn make_directories(&self, parent: &Path, path: &LayerPath) -> Result<OwnedFd> {
        let mut made = PathBuf::new();
        let mut directory =
            open_beneath(self.root.as_fd(), &made).map_err(|e| failed("open", path, e))?;
        for component in parent {
            made.push(component);
            match rustix::fs::mkdirat(&directory, component, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(failed("create", path, e)),
            }
            directory =
                open_beneath(self.root.as_fd(), &made).map_err(|e| failed("open", path, e))?;
        }
        Ok(directory)
    }

    /// Makes room for an entry: what an earlier entry of the same name left goes, but a directory
    /// stays, because something else may be in it.
    fn clear(directory: BorrowedFd, path: &LayerPath) -> Result<Option<Stat>> {
        let name = path.file_name();
        let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(failed("look at", path, e)),
        };
        if is_directory(&stat) {
            return Err(EngineError::invalid(format!(
                "the layer's entry `{path}` is a directory before and something else now"
            )));
        }
        rustix::fs::unlinkat(directory, name, AtFlags::empty())
            .map_err(|e| failed("replace", path, e))?;
        Ok(Some(stat))
    }

    pub fn file(
        &mut self,
        path: &LayerPath,
        attributes: &Attributes,
        content: &mut impl Read,
    ) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let directory = self.parent_of(path)?;
        Self::clear(directory, path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(
            directory,
            path.file_name(),
            flags,
            Mode::from_raw_mode(0o600),
        )
        .map_err(|e| failed("create", path, e))?;
        let mut file = File::from(file);
        loop {
            let count = content.read(&mut buffer).map_err(read_failed)?;
            if count == 0 {
                break;
            }
            io::Write::write_all(&mut file, &buffer[..count]).map_err(|e| {
                EngineError::machine(format!("cannot write `{path}` of the layer")).because(e)
            })?;
        }
        dress(file.as_fd(), attributes, path)?;
        set_times(file.as_fd(), &times_of(attributes), path)?;
        self.buffer = buffer;
        Ok(())
    }

    pub fn directory(&mut self, path: &LayerPath, attributes: &Attributes) -> Result<()> {
        let directory = self.parent_of(path)?;
        let name = path.file_name();
        let was_whiteout = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_directory(&stat) => false,
            Ok(stat) => {
                Self::clear(directory, path)?;
                is_whiteout(&stat)
            }
            Err(Errno::NOENT) => false,
            Err(e) => return Err(failed("look at", path, e)),
        };
        match rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(failed("create", path, e)),
        }
        let made = rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())
            .map_err(|e| failed("open", path, e))?;
        if was_whiteout {
            hide_below(made.as_fd(), path)?;
        }
        dress(made.as_fd(), attributes, path)?;
        self.times.push((path.0.clone(), times_of(attributes)));
        Ok(())
    }

    /// The layer's entry for its own root.
    pub fn dress_root(&mut self, attributes: &Attributes) -> Result<()> {
        dress(self.root.as_fd(), attributes, ".")?;
        self.times.push((PathBuf::new(), times_of(attributes)));
        Ok(())
    }

    /// The target is any text: it means something in the container only.
    pub fn symlink(&mut self, path: &LayerPath, to: &[u8], attributes: &Attributes) -> Result<()> {
        let directory = self.parent_of(path)?;
        Self::clear(directory, path)?;
        rustix::fs::symlinkat(OsStr::from_bytes(to), directory, path.file_name())
            .map_err(|e| failed("create", path, e))?;
        dress_at(directory, path, attributes)
    }

    pub fn fifo(&mut self, path: &LayerPath, attributes: &Attributes) -> Result<()> {
        let directory = self.parent_of(path)?;
        Self::clear(directory, path)?;
        let mode = Mode::from_raw_mode(attributes.mode);
        rustix::fs::mknodat(directory, path.file_name(), FileType::Fifo, mode, 0)
            .map_err(|e| failed("create", path, e))?;
        // Again, because the process's umask counts when a node is made.
        rustix::fs::chmodat(directory, path.file_name(), mode, AtFlags::empty())
            .map_err(|e| failed("set the mode of", path, e))?;
        dress_at(directory, path, attributes)
    }

    pub fn hard_link(&mut self, path: &LayerPath, to: &LayerPath) -> Result<()> {
        let refuse = |why: &str| {
            EngineError::invalid(format!("the layer's hard link `{path}` to `{to}` {why}"))
        };
        if path == to {
            return Err(refuse("leads to itself"));
        }
        let target = match open_beneath(self.root.as_fd(), to.parent()) {
            Err(Errno::NOENT) => return Err(refuse("leads to nothing in the layer")),
            opened => opened.map_err(|e| failed("open", to, e))?,
        };
        match rustix::fs::statat(&target, to.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_directory(&stat) => return Err(refuse("leads to a directory")),
            Ok(stat) if is_whiteout(&stat) => return Err(refuse("leads to a removed file")),
            Ok(_) => {}
            Err(Errno::NOENT) => return Err(refuse("leads to nothing in the layer")),
            Err(e) => return Err(failed("look at", to, e)),
        }
        let directory = self.parent_of(path)?;
        Self::clear(directory, path)?;
        // Without AT_SYMLINK_FOLLOW a link to a link is a link to that link itself.
        let flags = AtFlags::empty();
        rustix::fs::linkat(&target, to.file_name(), directory, path.file_name(), flags)
            .map_err(|e| failed("link", path, e))
    }

    /// `.wh.x`: whatever `x` is below is gone. What this layer itself brings under that name stays.
    pub fn white_out(&mut self, path: &LayerPath, hidden: &[u8]) -> Result<()> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(EngineError::invalid(format!(
                "the layer's entry `{path}` removes nothing that can have a name"
            )));
        }
        let directory = self.parent_of(path)?;
        let name = OsStr::from_bytes(hidden);
        match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_directory(&stat) => {
                let own = rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())
                    .map_err(|e| failed("open", path, e))?;
                hide_below(own.as_fd(), path)
            }
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => {
                let mode = Mode::empty();
                rustix::fs::mknodat(directory, name, FileType::CharacterDevice, mode, 0)
                    .map_err(|e| failed("create", path, e))
            }
            Err(e) => Err(failed("look at", path, e)),
        }
    }

    /// `.wh..wh..opq`: the directory that it is in hides the one below.
    pub fn make_opaque(&mut self, path: &LayerPath) -> Result<()> {
        let directory = self.parent_of(path)?;
        hide_below(directory, path)
    }

    pub fn finish(self) -> Result<()> {
        for (path, times) in &self.times {
            let shown = path.display();
            let directory =
                open_beneath(self.root.as_fd(), path).map_err(|e| failed("open", shown, e))?;
            set_times(directory.as_fd(), times, path.display())?;
        }
        Ok(())
    }
}

fn hide_below(directory: BorrowedFd, path: impl fmt::Display) -> Result<()> {
    rustix::fs::fsetxattr(directory, OPAQUE_XATTR, b"y", XattrFlags::empty())
        .map_err(|e| failed("mark", path, e))
}

fn set_times(file: BorrowedFd, times: &Timestamps, path: impl fmt::Display) -> Result<()> {
    rustix::fs::futimens(file, times).map_err(|e| failed("set the time of", path, e))
}

fn owner(attributes: &Attributes) -> (Option<Uid>, Option<Gid>) {
    let uid = Uid::from_raw(attributes.uid);
    let gid = Gid::from_raw(attributes.gid);
    (Some(uid), Some(gid))
}

/// Owner first: changing it takes the set-user-id bit and capabilities away.
fn dress(file: BorrowedFd, attributes: &Attributes, path: impl fmt::Display) -> Result<()> {
    let (uid, gid) = owner(attributes);
    rustix::fs::fchown(file, uid, gid).map_err(|e| failed("give away", &path, e))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(attributes.mode))
        .map_err(|e| failed("set the mode of", &path, e))?;
    for (name, value) in &attributes.xattrs {
        if name == XATTR_ALLOWED {
            rustix::fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty())
                .map_err(|e| failed("set an attribute of", &path, e))?;
        }
    }
    Ok(())
}

/// The same for what cannot be opened: links and pipes.
fn dress_at(directory: BorrowedFd, path: &LayerPath, attributes: &Attributes) -> Result<()> {
    let (uid, gid) = owner(attributes);
    let name = path.file_name();
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(directory, name, uid, gid, nofollow)
        .map_err(|e| failed("give away", path, e))?;
    rustix::fs::utimensat(directory, name, &times_of(attributes), nofollow)
        .map_err(|e| failed("set the time of", path, e))
}
