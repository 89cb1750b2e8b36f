//! What a RUN step changed, as a layer: the overlay's upper directory turned into a tar.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use engine::{EngineError, Result};
use tempfile::TempPath;

use crate::layer::{Attributes, LayerWriter};
use crate::limits::FOLDER_DEPTH_MAX;
use crate::place::During;
use crate::placing::attributes_of;
use crate::tree::{Tree, is_opaque, is_whiteout, read_attribute};

/// What a container gets mounted over; left empty in the upper directory, and no part of the image.
const MOUNT_POINTS: &[&str] = &[
    "dev",
    "proc",
    "sys",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
];

/// The layer, or `None` when the step changed nothing. `mounts` are the targets of the step's own
/// mounts, which leave empty mount points behind; `below` is what the step ran on.
pub fn to_layer(
    upper: &Path,
    mounts: &[PathBuf],
    below: &Tree,
    scratch: &Path,
) -> Result<Option<TempPath>> {
    let mut walk = Walk {
        upper,
        below,
        mount_points: MOUNT_POINTS
            .iter()
            .map(PathBuf::from)
            .chain(mounts.iter().cloned())
            .collect(),
        layer: LayerWriter::create(scratch)?,
        first_names: BTreeMap::new(),
        entries: 0,
    };
    walk.folder(Path::new(""), 0)?;
    if walk.entries == 0 {
        return Ok(None);
    }
    walk.layer.finish().map(Some)
}

struct Walk<'a> {
    upper: &'a Path,
    below: &'a Tree,
    mount_points: BTreeSet<PathBuf>,
    layer: LayerWriter,
    /// The first path of each inode that has several.
    first_names: BTreeMap<u64, PathBuf>,
    entries: usize,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path, depth: usize) -> Result<()> {
        if depth > FOLDER_DEPTH_MAX {
            return Err(EngineError::invalid(format!(
                "the step made folders more than {FOLDER_DEPTH_MAX} deep"
            )));
        }
        for name in self.names(path)? {
            self.entry(&path.join(name), depth)?;
        }
        Ok(())
    }

    fn names(&self, path: &Path) -> Result<Vec<std::ffi::OsString>> {
        let what = || format!("cannot list `/{}`", path.display());
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.upper.join(path)).during(what)? {
            names.push(entry.during(what)?.file_name());
        }
        names.sort();
        Ok(names)
    }

    fn entry(&mut self, path: &Path, depth: usize) -> Result<()> {
        let real = self.upper.join(path);
        let metadata = std::fs::symlink_metadata(&real)
            .during(|| format!("cannot look at `/{}`", path.display()))?;
        let file_type = metadata.file_type();
        if file_type.is_socket() || self.is_left_by_a_mount(path, &metadata)? {
            return Ok(());
        }
        self.entries += 1;
        if is_whiteout(&metadata) {
            return self.layer.whiteout(path);
        }
        self.check_name(path)?;
        let attributes = attributes(&real, &metadata);
        if file_type.is_dir() {
            return self.sub_folder(path, &real, &attributes, depth);
        }
        if metadata.nlink() > 1 {
            if let Some(first) = self.first_names.get(&metadata.ino()) {
                return self.layer.hard_link(path, &attributes, first);
            }
            self.first_names.insert(metadata.ino(), path.to_owned());
        }
        if file_type.is_symlink() {
            let target = std::fs::read_link(&real)
                .during(|| format!("cannot read the link `/{}`", path.display()))?;
            self.layer.symbolic_link(path, &attributes, &target)
        } else if file_type.is_file() {
            let file = File::open(&real).during(|| format!("cannot open `/{}`", path.display()))?;
            self.layer
                .file(path, &attributes, metadata.len(), file, None)
        } else if file_type.is_fifo() {
            self.layer.fifo(path, &attributes)
        } else {
            Err(EngineError::invalid(format!(
                "the step made the device node `/{}`, which an image may not hold",
                path.display()
            )))
        }
    }

    fn sub_folder(
        &mut self,
        path: &Path,
        real: &Path,
        attributes: &Attributes,
        depth: usize,
    ) -> Result<()> {
        let own = self.entries;
        let moved = ["trusted.overlay.redirect", "user.overlay.redirect"];
        if moved
            .iter()
            .any(|name| read_attribute(real, name).is_some())
        {
            return Err(EngineError::machine(format!(
                "`/{}` was moved with overlay's `redirect_dir`, which a layer cannot say; mount with `redirect_dir=off`",
                path.display()
            )));
        }
        // Written before it is known whether it holds anything but mount points: a folder that
        // exists only for them does no harm.
        self.layer.folder(path, attributes)?;
        if is_opaque(real) {
            self.layer.opaque(path)?;
            self.entries += 1;
        }
        self.folder(path, depth + 1)?;
        let only_for_mounts = self.entries == own
            && self
                .mount_points
                .iter()
                .any(|mount| mount.starts_with(path) && mount != path);
        if only_for_mounts && self.is_as_below(path, attributes)? {
            self.entries -= 1;
        }
        Ok(())
    }

    /// Whether a folder is new, as one is that was made for a mount, or what it was: a new owner or mode
    /// is the step's change.
    fn is_as_below(&self, path: &Path, attributes: &Attributes) -> Result<bool> {
        let Some(node) = self.below.find_itself(path)? else {
            return Ok(true);
        };
        let was = attributes_of(&node);
        let same = |it: &Attributes| (it.mode, it.uid, it.gid);
        Ok(same(&was) == same(attributes))
    }

    fn is_left_by_a_mount(&self, path: &Path, metadata: &Metadata) -> Result<bool> {
        if !self.mount_points.contains(path) {
            return Ok(false);
        }
        if metadata.is_dir() {
            return Ok(!is_opaque(&self.upper.join(path)) && self.names(path)?.is_empty());
        }
        Ok(metadata.is_file() && metadata.len() == 0)
    }

    fn check_name(&self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b".wh.") {
            return Err(EngineError::invalid(format!(
                "the step made `/{}`; in a layer, a name that starts with `.wh.` means a deletion",
                path.display()
            )));
        }
        Ok(())
    }
}

fn attributes(real: &Path, metadata: &Metadata) -> Attributes {
    let capability = "security.capability";
    Attributes {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid().into(),
        gid: metadata.gid().into(),
        modified_seconds: u64::try_from(metadata.mtime()).unwrap_or(0),
        extended: read_attribute(real, capability)
            .map(|value| (capability.to_owned(), value))
            .into_iter()
            .collect(),
    }
}
