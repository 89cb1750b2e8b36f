//! Overlay mounts: a container's root is its image's layers, read-only, with an upper directory of
//! its own on top.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::{Context, Failure, Result};

/// The directories of one container's root. All but `upper` and `work` are inside `base`.
#[derive(Debug, Clone)]
pub(crate) struct Overlay {
    base: PathBuf,
    upper: PathBuf,
    work: PathBuf,
}

impl Overlay {
    /// An overlay whose changes are thrown away with `base`.
    pub fn new(base: PathBuf) -> Self {
        let (upper, work) = (base.join("upper"), base.join("work"));
        Self { base, upper, work }
    }
    /// An overlay whose changes are kept in `upper`. `work` must be on the same file system.
    pub fn keeping(base: PathBuf, upper: PathBuf, work: PathBuf) -> Self {
        Self { base, upper, work }
    }
    pub fn root(&self) -> PathBuf {
        root_of(&self.base)
    }

    /// Mounts the layers, the lowest first, and returns the root.
    ///
    /// The kernel takes at most a page of mount options, and gives `:` and `,` a meaning in them.
    /// So layers are named by short symbolic links, relative to the working directory during the
    /// call; this is why it must only be used in a process with one thread.
    pub fn mount(&self, layers: &[PathBuf]) -> Result<PathBuf> {
        let links = self.base.join("layers");
        for directory in [&self.base, &self.upper, &self.work, &self.root(), &links] {
            fs::create_dir_all(directory)
                .context(|| format!("could not make `{}`", directory.display()))?;
        }
        let layers = self.or_empty(layers)?;
        for (index, layer) in layers.iter().enumerate() {
            if !layer.is_dir() {
                return Err(Failure(format!(
                    "the layer `{}` is missing",
                    layer.display()
                )));
            }
            symlink(layer, links.join(index.to_string()))
                .context(|| format!("could not link to `{}`", layer.display()))?;
        }
        symlink(&self.upper, links.join("u")).context(|| "could not link to upper".to_owned())?;
        symlink(&self.work, links.join("w")).context(|| "could not link to work".to_owned())?;
        // The kernel wants the uppermost first.
        let lower: Vec<String> = (0..layers.len())
            .rev()
            .map(|index| index.to_string())
            .collect();
        // `volatile`: the upper directory does not outlive a crash of the machine, so syncing it
        // would be for nothing.
        let options = format!("lowerdir={},upperdir=u,workdir=w,volatile", lower.join(":"));
        in_directory(&links, || {
            // No device file in an image is ever usable; the container's /dev is its own mount.
            let flags = MsFlags::MS_NODEV;
            mount(
                Some("overlay"),
                &self.root(),
                Some("overlay"),
                flags,
                Some(options.as_str()),
            )
            .context(|| format!("could not mount `{}`", self.root().display()))
        })?;
        Ok(self.root())
    }

    /// An image without layers still needs a lower directory.
    fn or_empty(&self, layers: &[PathBuf]) -> Result<Vec<PathBuf>> {
        if !layers.is_empty() {
            return Ok(layers.to_vec());
        }
        let empty = self.base.join("empty");
        fs::create_dir_all(&empty).context(|| format!("could not make `{}`", empty.display()))?;
        Ok(vec![empty])
    }
}

fn root_of(base: &Path) -> PathBuf {
    base.join("root")
}

/// Unmounts the root of the overlay in `base`, even if something still uses it. Nothing mounted is
/// a success.
pub(crate) fn unmount(base: &Path) -> Result<()> {
    match umount2(&root_of(base), MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => Ok(()),
        Err(error) => Err(Failure(format!(
            "could not unmount `{}`: {error}",
            root_of(base).display()
        ))),
    }
}

fn in_directory<T>(directory: &Path, action: impl FnOnce() -> Result<T>) -> Result<T> {
    std::env::set_current_dir(directory)
        .context(|| format!("could not go to `{}`", directory.display()))?;
    let result = action();
    std::env::set_current_dir("/").context(|| "could not go to `/`".to_owned())?;
    result
}
