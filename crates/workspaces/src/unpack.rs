//! A ZIP archive into a folder. Archives are hostile: names that lead out are refused, links are
//! made last and only those that stay inside, and what comes out is counted, not believed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use engine::{ByteStream, EngineError, Result, RoomWatch, RoomyWriter};
use futures_util::StreamExt;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::folder::{Folder, clean};
use crate::limits::{ARCHIVE_BYTES_MAX, CONTENT_BYTES_MAX, ENTRIES_MAX, PATH_BYTES_MAX};

/// What a file without a mode gets (archives made on Windows have none).
const MODE_DEFAULT: u32 = 0o644;

/// A stream into a file without a name: reading a ZIP archive begins at its end.
pub async fn spool(mut archive: ByteStream, beside: &Path) -> Result<File> {
    use tokio::io::AsyncWriteExt;
    let mut file = tokio::fs::File::from_std(tempfile::tempfile_in(beside)?);
    let mut size = 0_u64;
    let mut room = RoomWatch::new(beside, "an archive");
    while let Some(piece) = archive.next().await {
        let piece =
            piece.map_err(|error| EngineError::machine("the archive broke off").because(error))?;
        size += piece.len() as u64;
        if size > ARCHIVE_BYTES_MAX {
            return Err(EngineError::invalid(format!(
                "the archive is larger than {ARCHIVE_BYTES_MAX} bytes"
            )));
        }
        room.before(piece.len())?;
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    let mut file = file.into_std().await;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// `place` is where the folder is, for the question whether there is room.
pub fn unpack(folder: &Folder, place: &Path, into: &Path, archive: File) -> Result<()> {
    let mut room = RoomWatch::new(place, "an archive's contents");
    let mut archive = ZipArchive::new(archive).map_err(malformed)?;
    if archive.len() > ENTRIES_MAX {
        return Err(EngineError::invalid(format!(
            "the archive has more than {ENTRIES_MAX} entries"
        )));
    }
    folder.make_folders(into)?;
    let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut left = CONTENT_BYTES_MAX;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(malformed)?;
        let name = entry.name().map_err(malformed)?.into_owned();
        let inner = clean(Path::new(&name))?;
        let path = into.join(&inner);
        if entry.is_dir() {
            folder.make_folders(&path)?;
        } else if entry.is_symlink() {
            let target = link_target(&mut entry)?;
            if !stays_inside(&inner, &target) {
                return Err(EngineError::invalid(format!(
                    "`{name}` in the archive is a link that leads out of it"
                )));
            }
            links.push((path, target));
        } else {
            let mode = entry.unix_mode().unwrap_or(MODE_DEFAULT) & 0o777;
            let file = folder.create(&path, mode)?;
            let mut file = RoomyWriter { inner: file, room };
            let copied = io::copy(&mut entry.by_ref().take(left.saturating_add(1)), &mut file)
                .map_err(|error| damaged(&name, error))?;
            let file = {
                room = file.room;
                file.inner
            };
            if copied > left {
                return Err(EngineError::invalid(format!(
                    "the archive's contents are larger than {CONTENT_BYTES_MAX} bytes"
                )));
            }
            left -= copied;
            // The umask took its share.
            file.set_permissions(std::fs::Permissions::from_mode(mode.max(0o400)))?;
        }
    }
    for (path, target) in links {
        folder.link(&path, &target)?;
    }
    Ok(())
}

/// What went wrong with a file: there is no room for it, or it is not what the archive says.
fn damaged(name: &str, error: io::Error) -> EngineError {
    match error.downcast::<EngineError>() {
        Ok(error) => error,
        Err(error) => {
            EngineError::invalid(format!("`{name}` in the archive is damaged")).because(error)
        }
    }
}

fn link_target(entry: &mut impl Read) -> Result<PathBuf> {
    let mut target = String::new();
    entry
        .take(PATH_BYTES_MAX as u64)
        .read_to_string(&mut target)
        .map_err(|error| EngineError::invalid("a link in the archive is damaged").because(error))?;
    Ok(PathBuf::from(target))
}

/// Whether a link, by its words alone, stays in the folder that `path` is relative to. What links
/// do together is the kernel's to refuse, when something is opened.
pub fn stays_inside(path: &Path, target: &Path) -> bool {
    let beside = path.parent().unwrap_or(Path::new(""));
    !target.as_os_str().is_empty() && !target.is_absolute() && clean(&beside.join(target)).is_ok()
}

fn malformed(error: ZipError) -> EngineError {
    EngineError::invalid("the archive is not a ZIP archive that can be read").because(error)
}
