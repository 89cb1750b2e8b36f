//! Files that are either there as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use engine::{EngineError, Result, RoomWatch};
use ring::rand::{SecureRandom, SystemRandom};

/// An error of the file system below the store: the machine's fault, never "not found".
pub fn machine(doing: &str, path: &Path, error: io::Error) -> EngineError {
    EngineError::machine(format!("cannot {doing} `{}`", path.display())).because(error)
}

/// 128 random bits in hexadecimal: unguessable, so it may also name an upload.
pub fn random_name() -> String {
    let mut bytes = [0u8; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the kernel's random source answers once the machine is up");
    hex(&bytes)
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(out, "{byte:02x}").expect("writing to a string cannot fail");
    }
    out
}

/// The directory of half-written things.
#[derive(Debug)]
pub struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    /// Makes the directory, and empties it: whatever is in it was left by a crash.
    pub fn open(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory).map_err(|e| machine("create", &directory, e))?;
        let entries = fs::read_dir(&directory).map_err(|e| machine("read", &directory, e))?;
        for entry in entries {
            let path = entry.map_err(|e| machine("read", &directory, e))?.path();
            remove_all(&path)?;
        }
        Ok(Self { directory })
    }

    pub fn path(&self) -> PathBuf {
        self.directory.join(random_name())
    }

    /// Asks for room where things are written first.
    pub fn room(&self, what: &'static str) -> RoomWatch {
        RoomWatch::new(&self.directory, what)
    }

    pub fn file(&self) -> Result<ScratchFile> {
        let path = self.path();
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| machine("create", &path, e))?;
        Ok(ScratchFile { path, file })
    }

    pub fn directory(&self) -> Result<ScratchDirectory> {
        let path = self.path();
        fs::create_dir(&path).map_err(|e| machine("create", &path, e))?;
        Ok(ScratchDirectory { path })
    }

    /// Writes a small file so that a crash leaves the old or the new content.
    pub fn write(&self, target: &Path, bytes: &[u8]) -> Result<()> {
        let mut file = self.file()?;
        file.write_all(bytes)?;
        file.place(target)
    }

    /// Takes a file or directory out of sight at once; what is slow comes after.
    pub fn discard(&self, path: &Path) -> Result<()> {
        let hidden = self.path();
        match fs::rename(path, &hidden) {
            Ok(()) => remove_all(&hidden),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(machine("remove", path, e)),
        }
    }
}

/// A file that goes away unless it is placed.
#[derive(Debug)]
pub struct ScratchFile {
    path: PathBuf,
    file: File,
}

impl ScratchFile {
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|e| machine("write", &self.path, e))
    }

    /// Renames the file to its place, on disk before this returns.
    pub fn place(self, target: &Path) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|e| machine("write", &self.path, e))?;
        place(&self.path, target)
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // Already gone when it was placed; otherwise the next start removes it.
        let _ = fs::remove_file(&self.path);
    }
}

/// A directory that goes away unless it is placed.
#[derive(Debug)]
pub struct ScratchDirectory {
    path: PathBuf,
}

impl ScratchDirectory {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Renames a synced file to its place and makes the new name durable.
pub fn place(source: &Path, target: &Path) -> Result<()> {
    let parent = target.parent().expect("a place in the store has a parent");
    create_directories(parent)?;
    fs::rename(source, target).map_err(|e| machine("create", target, e))?;
    sync_directory(parent)
}

/// Makes a directory and those above it, each on disk before this returns.
pub fn create_directories(directory: &Path) -> Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        create_directories(parent)?;
    }
    match fs::create_dir(directory) {
        // Another one was faster.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(|e| machine("create", directory, e))?,
    }
    directory.parent().map_or(Ok(()), sync_directory)
}

pub fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(|e| machine("write", directory, e))
}

/// Removes whatever is there, if anything. Links are removed, not followed.
pub fn remove_all(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(machine("remove", path, e)),
        _ => Ok(()),
    }
}

/// Marks a file as used now. None when it is not there.
pub fn touch(path: &Path) -> Result<Option<fs::Metadata>> {
    let file = match File::options().write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(machine("open", path, e)),
    };
    file.set_modified(SystemTime::now())
        .and_then(|()| file.metadata())
        .map(Some)
        .map_err(|e| machine("touch", path, e))
}

/// Names in a directory, sorted; none when there is no such directory.
pub fn list(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(machine("read", directory, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| machine("read", directory, e))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// A small file's content. None when it is not there.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(machine("read", path, e)),
    }
}
