//! What a folder is: a Dockerfile's context, or a static site.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Where neargate's own web server listens in a static site's image: an unprivileged port.
pub const STATIC_PORT: u16 = 8080;

pub struct Folder {
    /// Absolute.
    pub path: PathBuf,
    kind: Kind,
}

#[derive(PartialEq)]
enum Kind {
    Dockerfile,
    Static,
}

impl Folder {
    pub fn look(path: &Path) -> Result<Self> {
        let path = path
            .canonicalize()
            .with_context(|| format!("there is no folder `{}`", path.display()))?;
        ensure!(path.is_dir(), "`{}` is not a folder", path.display());
        let kind = if path.join("Dockerfile").is_file() {
            Kind::Dockerfile
        } else if path.join("index.html").is_file() {
            Kind::Static
        } else {
            bail!(
                "`{}` has neither a Dockerfile nor an index.html: nothing says how to serve it",
                path.display()
            );
        };
        Ok(Self { path, kind })
    }

    pub fn is_static(&self) -> bool {
        self.kind == Kind::Static
    }
}
