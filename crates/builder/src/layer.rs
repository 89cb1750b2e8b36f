//! Writing a layer: an uncompressed tar whose bytes depend on nothing but what is put in.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use engine::{EngineError, Result, RoomWatch, RoomyWriter};
use ring::digest::{Context, SHA256};
use tar::{EntryType, Header};
use tempfile::TempPath;

use crate::digests::Sha256;
use crate::place::During;

/// The time of everything that has no time of its own worth keeping (folders, links, heredocs).
/// Not 0, because archive formats within builds (zip) know no year before 1980.
pub const FIXED_TIME_SECONDS: u64 = 946_684_800;
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// Owner, permissions, time and extended attributes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub modified_seconds: u64,
    pub extended: Vec<(String, Vec<u8>)>,
}

impl Attributes {
    pub fn root(mode: u32) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            modified_seconds: FIXED_TIME_SECONDS,
            extended: Vec::new(),
        }
    }
}

pub struct LayerWriter {
    tar: tar::Builder<BufWriter<RoomyWriter<File>>>,
    path: TempPath,
}

impl LayerWriter {
    /// Starts a layer in a file of `scratch`, which is removed again unless the layer is finished.
    pub fn create(scratch: &Path) -> Result<Self> {
        let (file, path) = tempfile::Builder::new()
            .prefix("layer-")
            .tempfile_in(scratch)
            .during(|| format!("cannot write below `{}`", scratch.display()))?
            .into_parts();
        let file = RoomyWriter {
            inner: file,
            room: RoomWatch::new(scratch, "a layer of a build"),
        };
        let writer = BufWriter::with_capacity(WRITE_BUFFER_BYTES, file);
        Ok(Self {
            tar: tar::Builder::new(writer),
            path,
        })
    }

    pub fn finish(self) -> Result<TempPath> {
        self.tar
            .into_inner()
            .and_then(|mut writer| writer.flush())
            .during(|| "cannot write a layer".into())?;
        Ok(self.path)
    }

    pub fn folder(&mut self, path: &Path, attributes: &Attributes) -> Result<()> {
        let mut with_slash = path.as_os_str().to_owned();
        with_slash.push("/");
        self.entry(
            Path::new(&with_slash),
            attributes,
            EntryType::Directory,
            0,
            std::io::empty(),
        )
    }

    pub fn bytes(&mut self, path: &Path, attributes: &Attributes, bytes: &[u8]) -> Result<()> {
        let size = bytes.len() as u64;
        self.entry(path, attributes, EntryType::Regular, size, bytes)
    }

    /// A file whose content must still be `expected`, so that a file that is written to while it is
    /// copied cannot end up under the wrong cache key.
    pub fn file(
        &mut self,
        path: &Path,
        attributes: &Attributes,
        size: u64,
        file: File,
        expected: Option<&Sha256>,
    ) -> Result<()> {
        let mut reader = Checked {
            reader: file.take(size),
            context: Context::new(&SHA256),
            length: 0,
        };
        self.stream(path, attributes, size, &mut reader)?;
        let digest = reader.context.finish();
        if reader.length != size || expected.is_some_and(|expected| expected != digest.as_ref()) {
            return Err(EngineError::conflict(format!(
                "`{}` was changed while it was copied; build again",
                path.display()
            )));
        }
        Ok(())
    }

    pub fn stream(
        &mut self,
        path: &Path,
        attributes: &Attributes,
        size: u64,
        reader: impl Read,
    ) -> Result<()> {
        self.entry(path, attributes, EntryType::Regular, size, reader)
    }

    pub fn fifo(&mut self, path: &Path, attributes: &Attributes) -> Result<()> {
        self.entry(path, attributes, EntryType::Fifo, 0, std::io::empty())
    }

    pub fn symbolic_link(&mut self, path: &Path, attributes: &Attributes, to: &Path) -> Result<()> {
        self.link(path, attributes, EntryType::Symlink, to)
    }

    pub fn hard_link(&mut self, path: &Path, attributes: &Attributes, to: &Path) -> Result<()> {
        self.link(path, attributes, EntryType::Link, to)
    }

    /// Removes `path` of the layers below.
    pub fn whiteout(&mut self, path: &Path) -> Result<()> {
        let mut name = std::ffi::OsString::from(".wh.");
        name.push(path.file_name().unwrap_or_default());
        self.bytes(&path.with_file_name(name), &Attributes::root(0o644), &[])
    }

    /// Hides all that the layers below hold in the folder `path`.
    pub fn opaque(&mut self, path: &Path) -> Result<()> {
        self.bytes(&path.join(".wh..wh..opq"), &Attributes::root(0o644), &[])
    }

    fn link(
        &mut self,
        path: &Path,
        attributes: &Attributes,
        kind: EntryType,
        to: &Path,
    ) -> Result<()> {
        self.extended(attributes, path)?;
        let mut header = header(attributes, kind, 0);
        self.tar
            .append_link(&mut header, path, to)
            .during(|| format!("cannot write `{}` to a layer", path.display()))
    }

    fn entry(
        &mut self,
        path: &Path,
        attributes: &Attributes,
        kind: EntryType,
        size: u64,
        reader: impl Read,
    ) -> Result<()> {
        self.extended(attributes, path)?;
        let mut header = header(attributes, kind, size);
        self.tar
            .append_data(&mut header, path, reader)
            .during(|| format!("cannot write `{}` to a layer", path.display()))
    }

    fn extended(&mut self, attributes: &Attributes, path: &Path) -> Result<()> {
        if attributes.extended.is_empty() {
            return Ok(());
        }
        let named: Vec<(String, &[u8])> = attributes
            .extended
            .iter()
            .map(|(name, value)| (format!("SCHILY.xattr.{name}"), value.as_slice()))
            .collect();
        self.tar
            .append_pax_extensions(named.iter().map(|(name, value)| (name.as_str(), *value)))
            .during(|| format!("cannot write `{}` to a layer", path.display()))
    }
}

fn header(attributes: &Attributes, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(attributes.mode);
    header.set_uid(attributes.uid);
    header.set_gid(attributes.gid);
    header.set_mtime(attributes.modified_seconds);
    header
}

/// A reader that hashes and counts what passes.
struct Checked<R> {
    reader: R,
    context: Context,
    length: u64,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.context.update(&buffer[..length]);
        self.length += length as u64;
        Ok(length)
    }
}

/// `path` without a leading slash, `.` and `..`; `..` at the root stays at the root.
pub fn normalised(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    out
}
