//! A layer's tar becomes a directory that an overlay mount can use as it is.
//!
//! The tar comes from a stranger. Nothing outside the target directory can be reached, because
//! every path is resolved by the kernel beneath the directory's handle, following no link (see
//! `tree`). Sizes, counts and names are bounded while they are read (see `headers`). What a layer
//! should never hold (devices, links out of it, sparse files) is refused by name.

mod headers;
mod meter;
#[cfg(test)]
mod tests;
mod tree;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use engine::{Digest, EngineError, Result, RoomWatch};

use crate::limits::{UnpackLimits, ZSTD_WINDOW_LOG_MAX};
use headers::{Kind, TarReader};
use meter::Meter;
pub use tree::OPAQUE_XATTR;
use tree::Tree;

/// How a layer's blob is compressed, by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    pub fn of(media_type: &str) -> Result<Self> {
        let known = [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
        ];
        let suffix = known
            .iter()
            .find_map(|known| media_type.strip_prefix(known));
        match suffix {
            Some("") => Ok(Self::None),
            Some("+gzip" | ".gzip") => Ok(Self::Gzip),
            Some("+zstd" | ".zstd") => Ok(Self::Zstd),
            _ => Err(EngineError::invalid(format!(
                "layers of media type `{media_type}` are not supported"
            ))),
        }
    }
}

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Bookkeeping of a file system of old; it says nothing about the layer's content.
const WHITEOUT_META: &[u8] = b".wh..wh.";

/// Unpacks a blob into an empty directory and checks that its tar has the digest that the image's
/// configuration names. When this fails, the directory's content means nothing.
pub fn unpack(
    blob: File,
    compression: Compression,
    diff_id: &Digest,
    target: &Path,
    limits: &UnpackLimits,
) -> Result<()> {
    let mut meter = open(blob, compression, target, limits)?;
    unpack_entries(&mut meter, target, limits)?;
    check_digest(meter, diff_id)
}

/// Checks only that a blob is what it is said to be, when what that is was unpacked already.
pub fn check(
    blob: File,
    compression: Compression,
    diff_id: &Digest,
    target: &Path,
    limits: &UnpackLimits,
) -> Result<()> {
    check_digest(open(blob, compression, target, limits)?, diff_id)
}

fn open(
    blob: File,
    compression: Compression,
    target: &Path,
    limits: &UnpackLimits,
) -> Result<Meter<Box<dyn Read>>> {
    let compressed_bytes = blob.metadata()?.len();
    let reader = BufReader::with_capacity(crate::limits::CHUNK_BYTES, blob);
    let reader: Box<dyn Read> = match compression {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    };
    let room = RoomWatch::new(target, "a layer");
    Ok(Meter::new(reader, compressed_bytes, limits, room))
}

fn check_digest(meter: Meter<Box<dyn Read>>, diff_id: &Digest) -> Result<()> {
    let found = meter.digest_to_end()?;
    if found != *diff_id {
        return Err(EngineError::invalid(format!(
            "the layer's content has digest `{found}`, but the image's configuration says `{diff_id}`"
        )));
    }
    Ok(())
}

fn unpack_entries(source: &mut impl Read, target: &Path, limits: &UnpackLimits) -> Result<()> {
    let mut tree = Tree::open(target)?;
    let mut tar = TarReader::new(source, limits.path_bytes_max);
    let mut entries = 0;
    while let Some(entry) = tar.next_entry()? {
        entries += 1;
        if entries > limits.entries_max {
            return Err(EngineError::invalid(format!(
                "the layer has more than {} entries",
                limits.entries_max
            )));
        }
        let path = tree::LayerPath::parse(&entry.path)?;
        let Some(name) = path.name() else {
            if entry.kind == Kind::Directory {
                tree.dress_root(&entry.attributes)?;
            }
            continue;
        };
        if name == OPAQUE {
            tree.make_opaque(&path)?;
        } else if name.starts_with(WHITEOUT_META) {
            continue;
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            tree.white_out(&path, hidden)?;
        } else {
            match entry.kind {
                Kind::File => tree.file(&path, &entry.attributes, &mut tar)?,
                Kind::Directory => tree.directory(&path, &entry.attributes)?,
                Kind::Symlink => tree.symlink(&path, &entry.link, &entry.attributes)?,
                Kind::Fifo => tree.fifo(&path, &entry.attributes)?,
                Kind::HardLink => {
                    let to = tree::LayerPath::parse(&entry.link)?;
                    tree.hard_link(&path, &to)?;
                }
                Kind::Device => {
                    return Err(EngineError::invalid(format!(
                        "the layer holds a device node, `{path}`, which is not supported"
                    )));
                }
            }
        }
    }
    tree.finish()
}

/// An error while reading a layer: damaged content is the layer's fault, as is a broken bound.
fn read_failed(error: io::Error) -> EngineError {
    if error
        .get_ref()
        .is_some_and(|inner| inner.is::<EngineError>())
    {
        let inner = error.into_inner().expect("it has an inner error");
        return *inner.downcast().expect("it is of this type");
    }
    match error.raw_os_error() {
        Some(_) => EngineError::machine(format!("cannot read the layer: {error}")),
        None => EngineError::invalid(format!("the layer is damaged: {error}")),
    }
}
