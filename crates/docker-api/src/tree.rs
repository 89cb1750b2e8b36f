//! A directory whose content is a stranger's: every path in it is resolved by the kernel as the
//! directory's handle allows, so that no name and no link leads out of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use engine::{EngineError, Result};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps,
    UTIME_OMIT, Uid, chownat, fchmod, fchown, futimens, linkat, mkdirat, mknodat, openat, openat2,
    readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

/// How links in the directory are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// None is followed: an archive is unpacked to it.
    Refuse,
    /// As if the directory were `/`: it is a container's root.
    Within,
    /// The same, without what is mounted in it.
    WithinAlone,
}

pub struct Tree<'a> {
    root: &'a OwnedFd,
    links: Links,
}

/// What a file is to look like.
#[derive(Debug, Clone)]
pub struct Attributes {
    pub mode: u32,
    /// None: whoever runs this.
    pub owner: Option<(u32, u32)>,
    pub modified_s: i64,
}

pub fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map_err(|error| failed("open", path, error))
}

fn failed(doing: &str, path: &Path, error: Errno) -> EngineError {
    let message = format!("cannot {doing} `{}`: {error}", path.display());
    match error {
        Errno::NOENT => EngineError::not_found(message),
        Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::ISDIR | Errno::NAMETOOLONG => {
            EngineError::invalid(message)
        }
        _ => EngineError::machine(message),
    }
}

/// A path below the root, without `.` and, where no link is followed, without `..`.
pub fn clean(path: &Path) -> Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(EngineError::invalid(format!(
                    "`{}` leads out of where it is to be",
                    path.display()
                )));
            }
        }
    }
    Ok(clean)
}

impl<'a> Tree<'a> {
    pub fn new(root: &'a OwnedFd, links: Links) -> Self {
        Self { root, links }
    }

    fn resolve(&self) -> ResolveFlags {
        match self.links {
            Links::Refuse => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            Links::Within => ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            Links::WithinAlone => {
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV
            }
        }
    }

    pub fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        openat2(
            self.root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            self.resolve(),
        )
    }

    /// The directory of a path, and the last name. Missing directories are made.
    fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p Path)> {
        let name = path.file_name().ok_or_else(|| {
            EngineError::invalid(format!("`{}` is not the name of a file", path.display()))
        })?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.directory(parent)?, Path::new(name)))
    }

    /// Opens a directory; what is missing of it is made.
    fn directory(&self, path: &Path) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.open(path, flags) {
            Ok(directory) => return Ok(directory),
            Err(Errno::NOENT) if path.file_name().is_some() => {}
            Err(error) => return Err(failed("open", path, error)),
        }
        let (above, name) = self.parent(path)?;
        match mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("make", path, error)),
        }
        self.open(path, flags)
            .map_err(|error| failed("open", path, error))
    }

    pub fn make_directory(&self, path: &Path, attributes: &Attributes) -> Result<()> {
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        let (above, name) = self.parent(path)?;
        let existing = statat(&above, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        if existing.is_some_and(|it| !is_directory(&it)) {
            self.remove(&above, name, path)?;
        }
        match mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("make", path, error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&above, name, flags, Mode::empty());
        dress(
            made.map_err(|error| failed("open", path, error))?,
            attributes,
            path,
        )
    }

    pub fn write_file(
        &self,
        path: &Path,
        attributes: &Attributes,
        from: &mut dyn Read,
    ) -> Result<()> {
        let (above, name) = self.parent(path)?;
        self.remove(&above, name, path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&above, name, flags, Mode::from_raw_mode(0o600));
        let mut file = File::from(made.map_err(|error| failed("make", path, error))?);
        io::copy(from, &mut file).map_err(|error| {
            EngineError::machine(format!("cannot write `{}`", path.display())).because(error)
        })?;
        dress(file.into(), attributes, path)
    }

    /// Opens a file to write more to it. What is no file by then is not waited for.
    pub fn append_to(&self, path: &Path) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK;
        let file = self.open(path, flags);
        file.map(File::from)
            .map_err(|error| failed("open", path, error))
    }

    pub fn make_link(&self, path: &Path, to: &Path, attributes: &Attributes) -> Result<()> {
        let (above, name) = self.parent(path)?;
        self.remove(&above, name, path)?;
        symlinkat(to, &above, name).map_err(|error| failed("make", path, error))?;
        let (uid, gid) = owner(attributes);
        chownat(&above, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|()| utimensat(&above, name, &times(attributes), AtFlags::SYMLINK_NOFOLLOW))
            .map_err(|error| failed("make", path, error))
    }

    pub fn make_hard_link(&self, path: &Path, to: &Path) -> Result<()> {
        let (from, from_name) = self.parent(to)?;
        let (above, name) = self.parent(path)?;
        self.remove(&above, name, path)?;
        linkat(&from, from_name, &above, name, AtFlags::empty())
            .map_err(|error| failed("make", path, error))
    }

    pub fn make_fifo(&self, path: &Path, attributes: &Attributes) -> Result<()> {
        let (above, name) = self.parent(path)?;
        self.remove(&above, name, path)?;
        let mode = Mode::from_raw_mode(attributes.mode & 0o7777);
        mknodat(&above, name, FileType::Fifo, mode, 0).map_err(|error| failed("make", path, error))
    }

    /// Makes room for something else. A directory with something in it stays, and is an error.
    fn remove(&self, above: &OwnedFd, name: &Path, path: &Path) -> Result<()> {
        let existing = match statat(above, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(existing) => existing,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(failed("look at", path, error)),
        };
        let flags = match is_directory(&existing) {
            true => AtFlags::REMOVEDIR,
            false => AtFlags::empty(),
        };
        unlinkat(above, name, flags).map_err(|error| failed("replace", path, error))
    }
}

pub fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn owner(attributes: &Attributes) -> (Option<Uid>, Option<Gid>) {
    match attributes.owner {
        Some((uid, gid)) => (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))),
        None => (None, None),
    }
}

fn times(attributes: &Attributes) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: attributes.modified_s,
            tv_nsec: 0,
        },
    }
}

/// Gives what is open its owner, its mode and its time.
pub fn dress(file: OwnedFd, attributes: &Attributes, path: &Path) -> Result<()> {
    let (uid, gid) = owner(attributes);
    // The owner first: it takes set-user-id bits away.
    fchown(&file, uid, gid)
        .and_then(|()| fchmod(&file, Mode::from_raw_mode(attributes.mode & 0o7777)))
        .and_then(|()| futimens(&file, &times(attributes)))
        .map_err(|error| failed("set up", path, error))
}

/// What a link says.
pub fn link_target(directory: impl AsFd, name: &Path) -> Result<PathBuf> {
    let target =
        readlinkat(directory, name, Vec::new()).map_err(|error| failed("read", name, error))?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(
        target.into_bytes(),
    )))
}
