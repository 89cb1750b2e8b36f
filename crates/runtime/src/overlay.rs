//! Overlay mounts: a container's root is its image's layers, read-only, with an upper directory of
//! its own on top.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::{Context, Failure, Result};

/// A page, with its final zero and room for one more option.
const OPTIONS_BYTES_MAX: usize = 4095 - 16;

/// The directories of one container's root. All but `upper` and `work` are inside `base`.
#[derive(Debug, Clone)]
pub(crate) struct Overlay {
    base: PathBuf,
    upper: PathBuf,
    work: PathBuf,
    /// Whether what a program asks to be on the disk has to be there.
    durable: bool,
}

impl Overlay {
    /// An overlay whose changes are thrown away with `base`.
    pub fn new(base: PathBuf) -> Self {
        let (upper, work) = (base.join("upper"), base.join("work"));
        Self {
            base,
            upper,
            work,
            durable: false,
        }
    }
    /// An overlay whose changes are kept in `upper`. `work` must be on the same file system.
    pub fn keeping(base: PathBuf, upper: PathBuf, work: PathBuf) -> Self {
        Self {
            base,
            upper,
            work,
            durable: false,
        }
    }
    /// As [`Overlay::keeping`], for changes that have to outlive a crash of the machine.
    pub fn keeping_well(base: PathBuf, upper: PathBuf, work: PathBuf) -> Self {
        Self {
            durable: true,
            ..Self::keeping(base, upper, work)
        }
    }
    pub fn root(&self) -> PathBuf {
        root_of(&self.base)
    }

    /// Mounts the layers, the lowest first, and returns the root. Only for a process with one thread:
    /// it may change the working directory during the call.
    pub fn mount(&self, layers: &[PathBuf]) -> Result<PathBuf> {
        for directory in [&self.base, &self.upper, &self.work, &self.root()] {
            make_directory(directory)?;
        }
        let layers = self.or_empty(layers)?;
        if let Some(missing) = layers.iter().find(|layer| !layer.is_dir()) {
            return Err(Failure(format!(
                "the layer `{}` is missing",
                missing.display()
            )));
        }
        match plain_options(&layers, &self.upper, &self.work) {
            Some(options) => self.mount_with(&options)?,
            None => self.mount_by_links(&layers)?,
        }
        Ok(self.root())
    }

    /// The kernel takes at most a page of mount options, and gives some signs a meaning in them. So
    /// many layers, or layers with strange names, are named by short symbolic links in the working
    /// directory.
    fn mount_by_links(&self, layers: &[PathBuf]) -> Result<()> {
        let links = self.base.join("layers");
        make_directory(&links)?;
        let mut names = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            names.push(PathBuf::from(index.to_string()));
            link(layer, &links.join(&names[index]))?;
        }
        link(&self.upper, &links.join("u"))?;
        link(&self.work, &links.join("w"))?;
        let options = plain_options(&names, Path::new("u"), Path::new("w"));
        let options = options.ok_or_else(|| Failure("there are too many layers".to_owned()))?;
        in_directory(&links, || self.mount_with(&options))
    }

    fn mount_with(&self, options: &str) -> Result<()> {
        // No device file in an image is ever usable; the container's /dev is its own mount.
        let flags = MsFlags::MS_NODEV;
        // `volatile`: an upper directory that does not outlive a crash of the machine need not be
        // synced.
        // `index=off`, whatever this kernel's default: layers below may come and go.
        let more = if self.durable {
            ",index=off"
        } else {
            ",volatile"
        };
        mount(
            Some("overlay"),
            &self.root(),
            Some("overlay"),
            flags,
            Some(format!("{options}{more}").as_str()),
        )
        .context(|| format!("could not mount `{}`", self.root().display()))
    }

    /// An image without layers still needs a lower directory.
    fn or_empty(&self, layers: &[PathBuf]) -> Result<Vec<PathBuf>> {
        if !layers.is_empty() {
            return Ok(layers.to_vec());
        }
        let empty = self.base.join("empty");
        make_directory(&empty)?;
        Ok(vec![empty])
    }
}

/// None when they cannot be said in one page without signs that mean something else.
fn plain_options(layers: &[PathBuf], upper: &Path, work: &Path) -> Option<String> {
    let mut texts = Vec::new();
    // The kernel wants the uppermost first.
    for path in layers
        .iter()
        .rev()
        .map(PathBuf::as_path)
        .chain([upper, work])
    {
        let text = path
            .to_str()
            .filter(|text| !text.contains([':', ',', '\\', '"']))?;
        texts.push(text);
    }
    let (work, upper) = (texts.pop()?, texts.pop()?);
    let lower = texts.join(":");
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    (options.len() < OPTIONS_BYTES_MAX).then_some(options)
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).context(|| format!("could not make `{}`", path.display()))
}

fn link(target: &Path, path: &Path) -> Result<()> {
    symlink(target, path).context(|| format!("could not link to `{}`", target.display()))
}

pub(crate) fn root_of(base: &Path) -> PathBuf {
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
