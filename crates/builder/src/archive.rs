//! ADD of an archive: its entries go straight from one tar into the other, never over the disk.
//!
//! The archive is hostile: every name is cleaned and stays below the destination, links within the
//! image are followed only within the image, device nodes and deletion marks are refused, and
//! entries and bytes are counted.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use engine::{EngineError, Result};
use lzma_rust2::XzReader;
use tar::EntryType;

use crate::assemble::parents;
use crate::layer::{Attributes, LayerWriter};
use crate::limits::{
    ARCHIVE_BYTES_MAX, ARCHIVE_ENTRIES_MAX, ARCHIVE_HEADER_BYTES_MAX, ARCHIVE_MEMORY_KIB_MAX,
};
use crate::place::During;
use crate::tree::Tree;

const BLOCK_BYTES: usize = 512;

/// How an archive is compressed, by how the file begins. Its name says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Compression {
    fn of(start: &[u8]) -> Self {
        let magics: [(&[u8], Self); 4] = [
            (&[0x1f, 0x8b], Self::Gzip),
            (b"BZh", Self::Bzip2),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Self::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Self::Zstd),
        ];
        let found = magics.iter().find(|(magic, _)| start.starts_with(magic));
        found.map_or(Self::None, |(_, compression)| *compression)
    }

    fn reader(self, file: File) -> std::io::Result<Box<dyn Read>> {
        let file = BufReader::new(file);
        Ok(match self {
            Self::None => Box::new(file.take(ARCHIVE_BYTES_MAX)),
            Self::Gzip => {
                Box::new(flate2::bufread::MultiGzDecoder::new(file).take(ARCHIVE_BYTES_MAX))
            }
            Self::Bzip2 => {
                Box::new(bzip2::bufread::MultiBzDecoder::new(file).take(ARCHIVE_BYTES_MAX))
            }
            Self::Xz => {
                let reader = XzReader::new_mem_limit(file, true, ARCHIVE_MEMORY_KIB_MAX);
                Box::new(reader.take(ARCHIVE_BYTES_MAX))
            }
            // Its own bound on memory is 128 MiB.
            Self::Zstd => {
                Box::new(zstd::stream::read::Decoder::with_buffer(file)?.take(ARCHIVE_BYTES_MAX))
            }
        })
    }
}

/// Whether ADD unpacks the file: a tar, compressed or not. A file that is compressed and holds something
/// else, or is broken, is a plain file.
pub fn is_archive(mut file: File, path: &Path) -> Result<bool> {
    let what = || format!("cannot read `{}`", path.display());
    let start = read_block(&mut file).during(what)?;
    let compression = Compression::of(&start);
    if compression == Compression::None {
        return Ok(is_tar_header(&start));
    }
    file.seek(SeekFrom::Start(0)).during(what)?;
    let block = compression
        .reader(file)
        .and_then(|mut reader| read_block(&mut reader));
    match block {
        Ok(block) => Ok(is_tar_header(&block)),
        Err(error) if error.kind() == ErrorKind::OutOfMemory => Err(EngineError::invalid(format!(
            "unpacking `{}` would take more than {} MiB of memory; compress it with a smaller dictionary",
            path.display(),
            ARCHIVE_MEMORY_KIB_MAX / 1024
        ))),
        Err(_) => Ok(false),
    }
}

fn read_block(reader: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    reader.take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
    Ok(block)
}

fn is_tar_header(block: &[u8]) -> bool {
    let Ok(bytes) = <&[u8; BLOCK_BYTES]>::try_from(block) else {
        return false;
    };
    if bytes[0] == 0 {
        return false;
    }
    let written = tar::Header::from_byte_slice(bytes).cksum().ok();
    // The checksum counts its own field as spaces.
    let counted: u32 = bytes
        .iter()
        .enumerate()
        .map(|(index, byte)| {
            let is_checksum = (148..156).contains(&index);
            u32::from(if is_checksum { b' ' } else { *byte })
        })
        .sum();
    written == Some(counted)
}

/// Copies all entries of the archive into the layer, below `folder`. They belong to `owner`, or to
/// whom the archive says.
pub fn unpack(
    open: impl Fn() -> Result<File>,
    folder: &Path,
    owner: Option<(u64, u64)>,
    below: &Tree,
    layer: &mut LayerWriter,
) -> Result<()> {
    let what = || "cannot read the archive".to_owned();
    check_sizes(&mut tar::Archive::new(reader(open()?)?))?;
    let mut archive = tar::Archive::new(reader(open()?)?);
    let mut unpacking = Unpacking {
        folder,
        owner,
        below,
        layer,
        written: BTreeSet::new(),
    };
    for entry in archive.entries().during(what)? {
        unpacking.entry(entry.during(what)?)?;
    }
    Ok(())
}

fn reader(mut file: File) -> Result<Box<dyn Read>> {
    let what = || "cannot read the archive".to_owned();
    let start = read_block(&mut file).during(what)?;
    file.seek(SeekFrom::Start(0)).during(what)?;
    Compression::of(&start).reader(file).during(what)
}

/// Looks at the bare headers first: long names and extended headers are read into memory later, so
/// they must be known to be small.
fn check_sizes(archive: &mut tar::Archive<Box<dyn Read>>) -> Result<()> {
    let what = || "cannot read the archive".to_owned();
    let too_much = |what: &str| Err(EngineError::invalid(format!("the archive holds {what}")));
    let mut bytes = 0_u64;
    for (index, entry) in archive.entries().during(what)?.raw(true).enumerate() {
        let entry = entry.during(what)?;
        let kind = entry.header().entry_type();
        let is_header = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        if is_header && entry.size() > ARCHIVE_HEADER_BYTES_MAX {
            return too_much("a name or header that is too long");
        }
        bytes = bytes.saturating_add(entry.size());
        if bytes > ARCHIVE_BYTES_MAX {
            return too_much(&format!("more than {ARCHIVE_BYTES_MAX} bytes"));
        }
        if index >= ARCHIVE_ENTRIES_MAX {
            return too_much(&format!("more than {ARCHIVE_ENTRIES_MAX} entries"));
        }
    }
    Ok(())
}

struct Unpacking<'a> {
    folder: &'a Path,
    owner: Option<(u64, u64)>,
    below: &'a Tree,
    layer: &'a mut LayerWriter,
    /// Folders that the layer holds so far because of this archive.
    written: BTreeSet<PathBuf>,
}

impl Unpacking<'_> {
    fn entry<R: Read>(&mut self, mut entry: tar::Entry<'_, R>) -> Result<()> {
        let what = || "cannot read the archive".to_owned();
        let name = entry.path().during(what)?.into_owned();
        let Some(path) = self.destination(&name)? else {
            return Ok(());
        };
        let header = entry.header();
        let (uid, gid) = match self.owner {
            Some(owner) => owner,
            None => (header.uid().during(what)?, header.gid().during(what)?),
        };
        let attributes = Attributes {
            mode: header.mode().during(what)? & 0o7777,
            uid,
            gid,
            modified_seconds: header.mtime().during(what)?,
            extended: Vec::new(),
        };
        let kind = header.entry_type();
        let size = entry.size();
        let link = entry
            .link_name()
            .during(what)?
            .map(|link| link.into_owned());
        self.parents(&path)?;
        match (kind, link) {
            (EntryType::Directory, _) => self.directory(path, &attributes),
            (EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse, _) => {
                self.layer.stream(&path, &attributes, size, &mut entry)
            }
            (EntryType::Symlink, Some(target)) => {
                self.layer.symbolic_link(&path, &attributes, &target)
            }
            (EntryType::Link, Some(target)) => match self.destination(&target)? {
                Some(target) => self.layer.hard_link(&path, &attributes, &target),
                None => Err(refuse(&name, "links to the archive's root")),
            },
            (EntryType::Fifo, _) => self.layer.fifo(&path, &attributes),
            (EntryType::XGlobalHeader, _) => Ok(()),
            (EntryType::Block | EntryType::Char, _) => Err(refuse(&name, "is a device node")),
            _ => Err(refuse(&name, "is of an unknown kind")),
        }
    }

    fn directory(&mut self, path: PathBuf, attributes: &Attributes) -> Result<()> {
        let existing = self.below.find(&path)?;
        if existing.is_some_and(|node| node.is_folder()) || !self.written.insert(path.clone()) {
            return Ok(());
        }
        self.layer.folder(&path, attributes)
    }

    /// Where a name of the archive lands; `None` for the archive's own root.
    fn destination(&self, name: &Path) -> Result<Option<PathBuf>> {
        let mut path = PathBuf::new();
        for component in name.components() {
            match component {
                Component::Normal(part) => {
                    if part.as_encoded_bytes().starts_with(b".wh.") {
                        return Err(refuse(name, "means a deletion in a layer"));
                    }
                    path.push(part);
                }
                Component::ParentDir => return Err(refuse(name, "leads out of the archive")),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        let Some(file_name) = path.file_name() else {
            return Ok(None);
        };
        let parent = self.folder.join(path.parent().unwrap_or(Path::new("")));
        Ok(Some(self.below.resolve(&parent)?.join(file_name)))
    }

    fn parents(&mut self, path: &Path) -> Result<()> {
        for parent in parents(path) {
            if self.written.contains(&parent) || self.folder.starts_with(&parent) {
                continue;
            }
            let attributes = match self.below.find_itself(&parent)? {
                Some(node) if node.is_folder() => crate::placing::attributes_of(&node),
                Some(_) => {
                    return Err(refuse(path, "lies below what is not a folder in the image"));
                }
                None => Attributes::root(0o755),
            };
            self.layer.folder(&parent, &attributes)?;
            self.written.insert(parent);
        }
        Ok(())
    }
}

fn refuse(name: &Path, why: &str) -> EngineError {
    EngineError::invalid(format!("the archive's entry `{}` {why}", name.display()))
}
