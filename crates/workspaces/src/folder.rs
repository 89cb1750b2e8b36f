//! A folder, and what is beneath it. The kernel resolves every path and refuses those that leave.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use engine::{EngineError, Result};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::limits::{DEPTH_MAX, PATH_BYTES_MAX};

pub struct Folder {
    handle: OwnedFd,
    /// Only for looking at what is there; never for opening it.
    pub place: PathBuf,
}

/// A relative path without `.` and `..`, or an error that names it.
pub fn clean(path: &Path) -> Result<PathBuf> {
    let leaves = || {
        EngineError::invalid(format!(
            "the path `{}` leads out of the workspace",
            path.display()
        ))
    };
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => out.push(name),
            Component::ParentDir if out.pop() => {}
            _ => return Err(leaves()),
        }
    }
    if out.as_os_str().len() > PATH_BYTES_MAX || out.components().count() > DEPTH_MAX {
        return Err(EngineError::invalid("a path is too long"));
    }
    Ok(out)
}

impl Folder {
    pub fn open(place: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self {
            handle: rustix::fs::open(place, flags, Mode::empty())?,
            place: place.to_owned(),
        })
    }

    /// Opens what a clean path leads to. Links are followed as long as they stay inside.
    pub fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        // The kernel asks to try again when a name was moved while it looked.
        loop {
            match rustix::fs::openat2(&self.handle, path, flags | OFlags::CLOEXEC, mode, resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// A regular file, to be read.
    pub fn file(&self, path: &Path) -> Result<File> {
        let path = clean(path)?;
        // A pipe must not keep us waiting.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = (self.open_at(&path, flags, Mode::empty()))
            .map(File::from)
            .map_err(|error| failed(&path, error))?;
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(EngineError::invalid(format!(
                "`{}` is not a file",
                path.display()
            )))
        }
    }

    pub fn read(&self, path: &Path, size_max: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(path)?
            .take(size_max.saturating_add(1))
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > size_max {
            return Err(EngineError::invalid(format!(
                "`{}` is larger than {size_max} bytes",
                path.display()
            )));
        }
        Ok(bytes)
    }

    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut file = self.create(path, 0o644)?;
        file.write_all(bytes)?;
        Ok(())
    }

    /// An empty file, in folders that are made for it.
    pub fn create(&self, path: &Path, mode: u32) -> Result<File> {
        let path = clean(path)?;
        if let Some(parent) = path.parent() {
            self.make_folders(parent)?;
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK;
        (self.open_at(&path, flags, Mode::from_raw_mode(mode)))
            .map(File::from)
            .map_err(|error| failed(&path, error))
    }

    pub fn make_folders(&self, path: &Path) -> Result<()> {
        let mut done = PathBuf::new();
        for component in clean(path)?.components() {
            let parent = self.directory(&done)?;
            let made = rustix::fs::mkdirat(
                parent.as_fd(),
                component.as_os_str(),
                Mode::from_raw_mode(0o755),
            );
            done.push(component);
            match made {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(&done, error.into())),
            }
        }
        self.directory(&done).map(drop)
    }

    /// A link that is not followed here, only made. `target` was checked.
    pub fn link(&self, path: &Path, target: &Path) -> Result<()> {
        let path = clean(path)?;
        let (Some(name), parent) = (path.file_name(), path.parent().unwrap_or(Path::new("")))
        else {
            return Err(EngineError::invalid("a link has no name"));
        };
        self.make_folders(parent)?;
        let parent = self.directory(parent)?;
        match rustix::fs::symlinkat(target, parent.as_fd(), name) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(parent.as_fd(), name, rustix::fs::AtFlags::empty())
                    .and_then(|()| rustix::fs::symlinkat(target, parent.as_fd(), name))
                    .map_err(|error| failed(&path, error.into()))
            }
            Err(error) => Err(failed(&path, error.into())),
        }
    }

    pub fn directory(&self, path: &Path) -> Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        self.open_at(path, flags, Mode::empty())
            .map_err(|error| failed(path, error))
    }
}

fn failed(path: &Path, error: io::Error) -> EngineError {
    let name = path.display();
    if error.raw_os_error() == Some(Errno::XDEV.raw_os_error()) {
        return EngineError::invalid(format!(
            "`{name}` is a link that leads out of the workspace"
        ));
    }
    match error.kind() {
        ErrorKind::NotFound => EngineError::not_found(format!("there is no `{name}`")),
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            EngineError::invalid(format!("`{name}` cannot be used: {error}"))
        }
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            EngineError::invalid(format!("`{name}` is a link to itself"))
        }
        _ => EngineError::machine(format!("`{name}` cannot be used")).because(error),
    }
}
