//! ADD of an archive: its entries go straight from one tar into the other, never over the disk.
//!
//! The archive is hostile: every name is cleaned and stays below the destination, links within the
//! image are followed only within the image, device nodes and deletion marks are refused, and
//! entries and bytes are counted.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use engine::{EngineError, Result};
use lzma_rust2::XzReader;
use tar::EntryType;

use crate::assemble::parents;
use crate::layer::{Attributes, LayerWriter, normalised};
use crate::limits::{
    ARCHIVE_BYTES_MAX, ARCHIVE_ENTRIES_MAX, ARCHIVE_HEADER_BYTES_MAX, ARCHIVE_MEMORY_KIB_MAX,
    LINKS_MAX,
};
use crate::place::During;
use crate::tree::{Tree, components};

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

/// Copies all entries of the archive into the layer, below `folder`, as `tar` would unpack them there with that
/// folder as its root: they belong to whom the archive says, folders that are there already look as in the
/// archive, and what is of another kind is replaced.
pub fn unpack(
    open: impl Fn() -> Result<File>,
    folder: &Path,
    below: &Tree,
    layer: &mut LayerWriter,
) -> Result<()> {
    let what = || "cannot read the archive".to_owned();
    check_sizes(&mut tar::Archive::new(reader(open()?)?))?;
    let mut archive = tar::Archive::new(reader(open()?)?);
    let mut unpacking = Unpacking {
        folder,
        below,
        layer,
        written: BTreeMap::new(),
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
    below: &'a Tree,
    layer: &'a mut LayerWriter,
    /// What the layer holds so far because of this archive.
    written: BTreeMap<PathBuf, Written>,
}

enum Written {
    Folder,
    Link(PathBuf),
    Other,
}

/// What is at a path by now.
enum There {
    Folder(Option<Attributes>),
    Link(PathBuf),
    Other,
    Nothing,
}

impl Unpacking<'_> {
    fn entry<R: Read>(&mut self, mut entry: tar::Entry<'_, R>) -> Result<()> {
        let what = || "cannot read the archive".to_owned();
        let header = entry.header();
        // It says something of the entries that follow, and is none.
        if header.entry_type() == EntryType::XGlobalHeader {
            return Ok(());
        }
        let name = entry.path().during(what)?.into_owned();
        let Some(path) = self.destination(&name)? else {
            return Ok(());
        };
        let mut attributes = Attributes {
            mode: header.mode().during(what)? & 0o7777,
            uid: header.uid().during(what)?,
            gid: header.gid().during(what)?,
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
        let written = match (kind, link) {
            (EntryType::Directory, _) => {
                self.layer.folder(&path, &attributes)?;
                Written::Folder
            }
            (EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse, _) => {
                self.layer.stream(&path, &attributes, size, &mut entry)?;
                Written::Other
            }
            (EntryType::Symlink, Some(target)) => {
                attributes.mode = 0o777;
                self.layer.symbolic_link(&path, &attributes, &target)?;
                Written::Link(target)
            }
            (EntryType::Link, Some(target)) => {
                let Some(target) = self.destination(&target)? else {
                    return Err(refuse(&name, "links to the archive's root"));
                };
                self.layer.hard_link(&path, &attributes, &target)?;
                Written::Other
            }
            (EntryType::Fifo, _) => {
                self.layer.fifo(&path, &attributes)?;
                Written::Other
            }
            (EntryType::Block | EntryType::Char, _) => {
                return Err(refuse(&name, "is a device node"));
            }
            _ => return Err(refuse(&name, "is of an unknown kind")),
        };
        self.written.insert(path, written);
        Ok(())
    }

    /// Where a name of the archive lands; `None` for the archive's own root. What leads up from there stays
    /// there.
    fn destination(&self, name: &Path) -> Result<Option<PathBuf>> {
        let path = normalised(name);
        let means_deletion = |it: &OsStr| it.as_encoded_bytes().starts_with(b".wh.");
        if path.iter().any(means_deletion) {
            return Err(refuse(name, "means a deletion in a layer"));
        }
        let (Some(parent), Some(file_name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        Ok(Some(self.resolve(parent)?.join(file_name)))
    }

    /// Follows links, those of the archive as well, with the destination as the root.
    fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let mut ahead = components(path);
        ahead.reverse();
        let mut resolved = PathBuf::new();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            let here = resolved.join(&name);
            let There::Link(target) = self.there(&self.folder.join(&here))? else {
                resolved = here;
                continue;
            };
            links += 1;
            if links > LINKS_MAX {
                return Err(refuse(path, "has too many links in a row"));
            }
            if target.is_absolute() {
                resolved = PathBuf::new();
            }
            ahead.extend(components(&target).into_iter().rev());
        }
        Ok(self.folder.join(resolved))
    }

    fn there(&self, path: &Path) -> Result<There> {
        match self.written.get(path) {
            Some(Written::Folder) => return Ok(There::Folder(None)),
            Some(Written::Link(target)) => return Ok(There::Link(target.clone())),
            Some(Written::Other) => return Ok(There::Other),
            None => {}
        }
        Ok(match self.below.find_itself(path)? {
            None => There::Nothing,
            Some(node) if node.is_folder() => {
                There::Folder(Some(crate::placing::attributes_of(&node)))
            }
            Some(node) if node.metadata.is_symlink() => There::Link(self.below.link_target(&node)?),
            Some(_) => There::Other,
        })
    }

    fn parents(&mut self, path: &Path) -> Result<()> {
        for parent in parents(path) {
            if self.folder.starts_with(&parent) {
                continue;
            }
            let attributes = match self.there(&parent)? {
                There::Folder(None) => continue,
                There::Folder(Some(attributes)) => attributes,
                There::Nothing => Attributes::root(0o755),
                There::Link(_) | There::Other => {
                    return Err(refuse(path, "lies below what is not a folder in the image"));
                }
            };
            self.layer.folder(&parent, &attributes)?;
            self.written.insert(parent, Written::Folder);
        }
        Ok(())
    }
}

fn refuse(name: &Path, why: &str) -> EngineError {
    EngineError::invalid(format!("the archive's entry `{}` {why}", name.display()))
}
