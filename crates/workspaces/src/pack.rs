//! Files into a ZIP archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bytes::Bytes;
use engine::{ByteStream, EngineError, Result, Selection};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::folder::Folder;
use crate::limits::CONTENT_BYTES_MAX;
use crate::select::{Chosen, choose};
use crate::unpack::stays_inside;

/// What is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Writes the archive to a file without a name, in `beside`.
pub fn pack(folder: &Folder, selection: &Selection, beside: &Path) -> Result<File> {
    let chosen = choose(folder, selection)?;
    let mut archive = ZipWriter::new(tempfile::tempfile_in(beside)?);
    let mut left = CONTENT_BYTES_MAX;
    for it in &chosen {
        if it.is_link {
            add_link(&mut archive, folder, it)?;
        } else {
            left -= add_file(&mut archive, folder, it, left)?;
        }
    }
    let mut file = archive.finish().map_err(failed)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn options(mode: u32) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(mode)
}

fn add_file(archive: &mut ZipWriter<File>, folder: &Folder, it: &Chosen, left: u64) -> Result<u64> {
    let file = folder.file(&it.path)?;
    let metadata = file.metadata()?;
    let options = options(metadata.permissions().mode() & 0o777)
        .large_file(metadata.len() >= u64::from(u32::MAX));
    archive
        .start_file(it.name.as_str(), options)
        .map_err(failed)?;
    let copied = io::copy(&mut file.take(left.saturating_add(1)), archive)?;
    if copied > left {
        return Err(EngineError::invalid(format!(
            "the files are larger than {CONTENT_BYTES_MAX} bytes"
        )));
    }
    Ok(copied)
}

fn add_link(archive: &mut ZipWriter<File>, folder: &Folder, it: &Chosen) -> Result<()> {
    let target = std::fs::read_link(folder.place.join(&it.path))?;
    if !stays_inside(&it.path, &target) {
        return Err(EngineError::invalid(format!(
            "`{}` is a link that leads out of the workspace",
            it.path.display()
        )));
    }
    let target = target.to_string_lossy();
    archive
        .add_symlink(it.name.as_str(), &*target, options(0o777))
        .map_err(failed)
}

fn failed(error: zip::result::ZipError) -> EngineError {
    EngineError::machine("the archive cannot be written").because(error)
}

/// A file from its current place to its end, read as it is asked for.
pub fn stream(file: File) -> ByteStream {
    let file = tokio::fs::File::from_std(file);
    Box::pin(futures_util::stream::unfold(Some(file), |file| async {
        use tokio::io::AsyncReadExt;
        let mut file = file?;
        let mut piece = vec![0; PIECE_BYTES];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(count) => {
                piece.truncate(count);
                Some((Ok(Bytes::from(piece)), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    }))
}
