//! Mount points that an image does not have. Where a container's changes are kept, what is made for
//! mounting must not be among them, so it goes into a layer of its own below.

use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// What every container gets, and whether it is a directory.
const POINTS: [(&str, bool); 6] = [
    ("proc", true),
    ("dev", true),
    ("sys", true),
    ("etc/hosts", false),
    ("etc/resolv.conf", false),
    ("etc/hostname", false),
];

/// Makes the layer that goes on top of these, which are given the lowest first.
pub(crate) fn mount_points(layer: &Path, below: &[PathBuf]) -> Result<()> {
    let failed = || format!("could not make `{}`", layer.display());
    make_directory(layer, below, Path::new("")).context(failed)?;
    for (name, is_directory) in POINTS {
        let name = Path::new(name);
        let parent = name.parent().unwrap_or(Path::new(""));
        let above = seen(below, parent);
        let into_directory = above.as_ref().is_none_or(fs::Metadata::is_dir);
        if !into_directory || seen(below, name).is_some() {
            continue;
        }
        if !layer.join(parent).exists() {
            make_directory(layer, below, parent).context(failed)?;
        }
        if is_directory {
            make_directory(layer, below, name).context(failed)?;
        } else {
            File::create(layer.join(name)).context(failed)?;
        }
    }
    Ok(())
}

/// The same as the directory that it covers, if there is one.
fn make_directory(layer: &Path, below: &[PathBuf], name: &Path) -> std::io::Result<()> {
    let path = layer.join(name);
    DirBuilder::new().mode(0o755).create(&path)?;
    if let Some(covered) = seen(below, name) {
        chown(&path, Some(covered.uid()), Some(covered.gid()))?;
        fs::set_permissions(&path, Permissions::from_mode(covered.mode() & 0o7777))?;
    }
    Ok(())
}

/// What is there in the uppermost layer that says something of it. A device with the number zero
/// says that it is gone.
fn seen(layers: &[PathBuf], name: &Path) -> Option<fs::Metadata> {
    let mut newest_first = layers.iter().rev();
    let found = newest_first.find_map(|layer| fs::symlink_metadata(layer.join(name)).ok())?;
    let gone = found.file_type().is_char_device() && found.rdev() == 0;
    (!gone).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_made_and_directories_look_as_before() {
        let directory = tempfile::tempdir().unwrap();
        let (low, high, layer) = (
            directory.path().join("low"),
            directory.path().join("high"),
            directory.path().join("layer"),
        );
        fs::create_dir_all(low.join("etc")).unwrap();
        fs::create_dir_all(low.join("proc")).unwrap();
        fs::create_dir_all(&high).unwrap();
        fs::write(low.join("etc/hostname"), "given").unwrap();
        std::os::unix::fs::symlink("../run/resolv.conf", low.join("etc/resolv.conf")).unwrap();
        fs::set_permissions(low.join("etc"), Permissions::from_mode(0o711)).unwrap();
        mount_points(&layer, &[low, high]).unwrap();
        let is = |name: &str| layer.join(name).symlink_metadata().is_ok();
        assert!(is("etc/hosts") && is("dev") && is("sys"));
        assert!(!is("etc/hostname") && !is("etc/resolv.conf") && !is("proc"));
        let mode = layer.join("etc").metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o711);
    }
}
