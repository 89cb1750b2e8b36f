//! Looking a file up in an image that nobody runs: its layers' directories, merged as overlayfs would
//! (Linux, `Documentation/filesystems/overlayfs.rst`), its links followed as in a root of their own.
//!
//! What the layers hold is a stranger's: the kernel opens each path beneath one layer's directory and
//! follows no link (`openat2`); links are followed here, by their text, within the merged tree.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use engine::{EngineError, ImageFile, Result};
use rustix::fs::{CWD, FileType, Mode, OFlags, RawMode, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::unpack::OPAQUE_XATTR;

/// As many links as the kernel follows in one path (`path_resolution(7)`).
const LINKS_MAX: usize = 40;
/// More names in a path, with those of its links, are no path (`PATH_MAX` has room for half of it).
const NAMES_MAX: usize = 4096;

/// The file that a path leads to in the merged layers, the lowest first. None: there is none.
pub fn file(layers: &[PathBuf], path: &str) -> Result<Option<ImageFile>> {
    let layers = layers.iter().map(|it| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(it, flags, Mode::empty())
    });
    let layers: Vec<OwnedFd> = layers.collect::<Result<_, Errno>>().map_err(failed)?;
    let mut ahead: Vec<Vec<u8>> = names(path.as_bytes());
    let (mut at, mut links, mut seen) = (Vec::<Vec<u8>>::new(), 0, 0);
    while let Some(name) = ahead.pop() {
        seen += 1;
        if seen > NAMES_MAX {
            return Ok(None);
        }
        if name == b".." {
            at.pop();
            continue;
        }
        at.push(name);
        let Some((entry, stat)) = entry(&layers, &at)? else {
            return Ok(None);
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            links += 1;
            if links > LINKS_MAX {
                return Ok(None);
            }
            let text = rustix::fs::readlinkat(&entry, "", Vec::new()).map_err(failed)?;
            at.pop();
            if text.as_bytes().starts_with(b"/") {
                at.clear();
            }
            ahead.extend(names(text.as_bytes()));
        } else if ahead.is_empty() {
            return found(&entry, &stat, &at).map(Some);
        }
    }
    Ok(None)
}

/// The names of a path, the last first.
fn names(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|it| *it == b'/');
    let names = names.filter(|it| !it.is_empty() && *it != b".");
    names.rev().map(<[u8]>::to_vec).collect()
}

/// What the merged tree has at a path none of whose directories is a link, itself not followed.
fn entry(layers: &[OwnedFd], names: &[Vec<u8>]) -> Result<Option<(OwnedFd, Stat)>> {
    for layer in layers.iter().rev() {
        match beneath(layer, names) {
            Ok(entry) => {
                let stat = rustix::fs::fstat(&entry).map_err(failed)?;
                let is_hidden = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
                    && stat.st_rdev == 0;
                return Ok((!is_hidden).then_some((entry, stat)));
            }
            // Something that is no directory hides all that is below it.
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(Errno::NOENT) => (),
            Err(error) => return Err(failed(error)),
        }
        if (1..names.len()).any(|it| is_opaque(layer, &names[..it])) {
            return Ok(None);
        }
    }
    Ok(None)
}

fn beneath(layer: &OwnedFd, names: &[Vec<u8>]) -> Result<OwnedFd, Errno> {
    let path = names.join(&b'/');
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    loop {
        match rustix::fs::openat2(
            layer,
            OsStr::from_bytes(&path),
            flags,
            Mode::empty(),
            resolve,
        ) {
            Err(Errno::AGAIN | Errno::INTR) => (),
            other => return other,
        }
    }
}

fn is_opaque(layer: &OwnedFd, names: &[Vec<u8>]) -> bool {
    let Ok(directory) = beneath(layer, names) else {
        return false;
    };
    let mut value = [0; 1];
    let place = by_descriptor(&directory);
    let read = rustix::fs::getxattr(place, OPAQUE_XATTR, &mut value[..]);
    read.is_ok_and(|it| it == 1) && value == *b"y"
}

/// A handle that is only a path opens by this name, also what it may not be opened by otherwise.
fn by_descriptor(handle: &OwnedFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

fn found(entry: &OwnedFd, stat: &Stat, at: &[Vec<u8>]) -> Result<ImageFile> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mut head = Vec::new();
    if kind == FileType::RegularFile {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(CWD, by_descriptor(entry), flags, Mode::empty()).map_err(failed)?;
        let most = ImageFile::HEAD_BYTES_MAX as u64;
        std::fs::File::from(file)
            .take(most)
            .read_to_end(&mut head)?;
    }
    let path: Vec<u8> = at
        .iter()
        .flat_map(|it| [b"/".as_slice(), it].concat())
        .collect();
    let bits: RawMode = stat.st_mode & 0o7777;
    Ok(ImageFile {
        path: String::from_utf8_lossy(&path).into_owned(),
        is_directory: kind == FileType::Directory,
        mode: bits,
        size_bytes: u64::try_from(stat.st_size).unwrap_or_default(),
        head,
    })
}

fn failed(error: Errno) -> EngineError {
    EngineError::machine("an image cannot be looked into").because(std::io::Error::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Two layers: the upper one replaces, hides and links.
    fn layers() -> (tempfile::TempDir, Vec<PathBuf>) {
        let root = tempfile::tempdir().unwrap();
        let (lower, upper) = (root.path().join("lower"), root.path().join("upper"));
        for directory in ["lower/usr/bin", "lower/opt", "upper/usr/bin", "upper/opt"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        fs::write(lower.join("usr/bin/sh"), "#!lower").unwrap();
        fs::write(lower.join("opt/hidden"), "x").unwrap();
        fs::write(upper.join("usr/bin/run.sh"), "#!/bin/sh\r\n").unwrap();
        fs::set_permissions(
            upper.join("usr/bin/run.sh"),
            fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        symlink("usr/bin", upper.join("bin")).unwrap();
        symlink("/etc", lower.join("out")).unwrap();
        symlink("../../../../etc/passwd", upper.join("opt/escape")).unwrap();
        symlink("loop", upper.join("loop")).unwrap();
        // A directory over a link to the machine's own files.
        fs::create_dir(upper.join("out")).unwrap();
        (root, vec![lower, upper])
    }

    #[test]
    fn files_are_found_as_a_container_would() {
        let (_root, layers) = layers();
        let at = |path: &str| file(&layers, path).unwrap();
        let script = at("/bin/run.sh").unwrap();
        assert_eq!(
            (script.path.as_str(), script.mode),
            ("/usr/bin/run.sh", 0o644)
        );
        assert_eq!(script.head, b"#!/bin/sh\r\n");
        assert_eq!(at("/bin/sh").unwrap().head, b"#!lower");
        assert_eq!(at("bin/../bin/./sh").unwrap().path, "/usr/bin/sh");
        assert!(at("/bin").unwrap().is_directory);
        assert_eq!(at("/bin/absent"), None);
        assert_eq!(at("/bin/sh/below"), None);
    }

    #[test]
    fn nothing_of_the_machine_is_found() {
        let (_root, layers) = layers();
        for path in ["/out/passwd", "/opt/escape", "/loop", "/../../etc/passwd"] {
            assert_eq!(file(&layers, path).unwrap(), None, "{path}");
        }
    }

    #[test]
    fn what_a_layer_hides_is_gone() {
        let (root, layers) = layers();
        let hidden = root.path().join("upper/opt/hidden");
        let device = nix::sys::stat::SFlag::S_IFCHR;
        nix::sys::stat::mknod(&hidden, device, nix::sys::stat::Mode::empty(), 0).unwrap();
        assert_eq!(file(&layers, "/opt/hidden").unwrap(), None);
    }

    #[test]
    fn an_opaque_directory_shows_itself_alone() {
        let (root, layers) = layers();
        assert!(file(&layers, "/opt/hidden").unwrap().is_some());
        let opaque = root.path().join("upper/opt");
        rustix::fs::setxattr(&opaque, OPAQUE_XATTR, b"y", rustix::fs::XattrFlags::empty()).unwrap();
        assert_eq!(file(&layers, "/opt/hidden").unwrap(), None);
    }
}
