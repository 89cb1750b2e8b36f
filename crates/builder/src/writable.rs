//! A copy of files for a step that may write to them: whatever it writes goes with the step.

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;

use engine::{EngineError, Result, RoomWatch, RoomyWriter};
use rustix::fs::XattrFlags;

use crate::limits::{COPY_ENTRIES_MAX, FOLDER_DEPTH_MAX};
use crate::place::During;
use crate::tree::{Node, Tree, read_attribute};

/// Copies what a tree shows at `node` to `to`, which does not exist yet, or is an empty folder.
pub fn copy(tree: &Tree, node: &Node, to: &Path) -> Result<()> {
    let mut copying = Copying {
        tree,
        entries: 0,
        room: RoomWatch::new(to.parent().unwrap_or(to), "a mount of a build"),
    };
    copying.visit(node, to, 0)
}

struct Copying<'a> {
    tree: &'a Tree,
    entries: usize,
    room: RoomWatch,
}

impl Copying<'_> {
    fn visit(&mut self, node: &Node, to: &Path, depth: usize) -> Result<()> {
        self.entries += 1;
        if self.entries > COPY_ENTRIES_MAX || depth > FOLDER_DEPTH_MAX {
            return Err(EngineError::invalid(format!(
                "`{}` is too much to be mounted for writing",
                node.path.display()
            )));
        }
        let what = || format!("cannot copy `{}`", node.path.display());
        let metadata = &node.metadata;
        if metadata.is_symlink() {
            symlink(self.tree.link_target(node)?, to).during(what)?;
        } else if metadata.is_dir() {
            std::fs::create_dir_all(to).during(what)?;
            for (name, child) in self.tree.children(node)? {
                self.visit(&child, &to.join(name), depth + 1)?;
            }
        } else if metadata.is_file() {
            self.file(node, to)?;
        } else {
            // Pipes and sockets are of use to nobody but who made them.
            return Ok(());
        }
        lchown(to, Some(metadata.uid()), Some(metadata.gid())).during(what)?;
        if metadata.is_symlink() {
            return Ok(());
        }
        let mode = Permissions::from_mode(metadata.mode() & 0o7777);
        std::fs::set_permissions(to, mode).during(what)?;
        let capability = "security.capability";
        if let Some(value) = read_attribute(&self.tree.real_path(node), capability) {
            rustix::fs::lsetxattr(to, capability, &value, XattrFlags::empty()).during(what)?;
        }
        Ok(())
    }

    fn file(&mut self, node: &Node, to: &Path) -> Result<()> {
        let what = || format!("cannot copy `{}`", node.path.display());
        let mut from = self.tree.open(node)?;
        let mut writer = RoomyWriter {
            inner: File::create(to).during(what)?,
            room: self.room.clone(),
        };
        std::io::copy(&mut from, &mut writer).during(what)?;
        if let Ok(modified) = node.metadata.modified() {
            writer.inner.set_modified(modified).during(what)?;
        }
        Ok(())
    }
}
