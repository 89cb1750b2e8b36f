//! ADD of what is neither in the context nor in an image: files of the web, and Git repositories. What
//! they hold decides whether the step is found in the cache; what a checksum or a commit pins is fetched
//! only when it is not.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use engine::{EngineError, GitHistory, GitSource, Result};
use tempfile::TempDir;

use crate::builder::{Shared, blocking};
use crate::copy::Source;
use crate::digests::{hash, hex};
use crate::layer::normalised;
use crate::limits::DOWNLOAD_BYTES_MAX;
use crate::place::During;
use crate::tree::Tree;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    File {
        url: String,
    },
    Repository {
        url: String,
        /// The default branch when absent.
        revision: Option<String>,
        /// Within the repository; its top when empty.
        folder: String,
    },
}

impl Remote {
    /// What a source stands for that is an address; `None` for a path. Git is spoken over HTTP alone.
    pub fn parse(source: &str) -> Result<Option<Self>> {
        let other = ["git@", "git://", "ssh://", "ftp://"];
        if let Some(scheme) = other.iter().find(|it| source.starts_with(**it)) {
            return Err(EngineError::invalid(format!(
                "`{source}` cannot be fetched: `{scheme}` is not supported, `https://` is"
            )));
        }
        if !source.starts_with("https://") && !source.starts_with("http://") {
            return Ok(None);
        }
        let (address, fragment) = match source.split_once('#') {
            Some((address, fragment)) => (address, Some(fragment)),
            None => (source, None),
        };
        let path = address.split('?').next().unwrap_or_default();
        if !path.ends_with(".git") {
            return Ok(Some(Self::File {
                url: address.to_owned(),
            }));
        }
        if path.len() < address.len() {
            return Err(EngineError::invalid(format!(
                "`{source}` names a Git repository with a query, which is not supported; write `{path}#REVISION:FOLDER`"
            )));
        }
        let fragment = fragment.unwrap_or_default();
        let (revision, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        Ok(Some(Self::Repository {
            url: address.to_owned(),
            revision: Some(revision.to_owned()).filter(|it| !it.is_empty()),
            folder: folder.to_owned(),
        }))
    }

    /// Whether a text can be the checksum of this.
    pub fn check(&self, checksum: &str) -> Result<()> {
        let is_hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|it| it.is_ascii_hexdigit())
        };
        let is_good = match self {
            Self::File { .. } => checksum
                .strip_prefix("sha256:")
                .is_some_and(|it| is_hex(it, 64)),
            Self::Repository { .. } => is_hex(checksum, 40),
        };
        match (is_good, self) {
            (true, _) => Ok(()),
            (false, Self::File { .. }) => Err(EngineError::invalid(format!(
                "`--checksum={checksum}` is not supported: a file's is `sha256:` and 64 hexadecimal digits"
            ))),
            (false, Self::Repository { .. }) => Err(EngineError::invalid(format!(
                "`--checksum={checksum}` is not supported: a repository's is the 40 hexadecimal digits of a commit"
            ))),
        }
    }

    fn address(&self) -> &str {
        match self {
            Self::File { url } | Self::Repository { url, .. } => url,
        }
    }

    /// The digest or commit that it is asked for by.
    fn pin(&self, checksum: Option<&str>) -> Option<String> {
        let commit = match self {
            Self::File { .. } => None,
            Self::Repository { revision, .. } => revision.as_deref(),
        };
        let commit =
            commit.filter(|it| it.len() == 40 && it.bytes().all(|it| it.is_ascii_hexdigit()));
        checksum.or(commit).map(str::to_ascii_lowercase)
    }

    /// What a layer depends on, besides what is asked of the destination.
    fn identity(&self, pin: &str) -> String {
        match self {
            Self::File { url } => format!("file {} {pin}", file_name(url)),
            Self::Repository { folder, .. } => format!("repository {pin} {folder}"),
        }
    }
}

/// What one ADD takes from elsewhere. All of it is gone when this is dropped.
pub struct Fetching<'a> {
    shared: &'a Shared,
    checksum: Option<String>,
    folder: TempDir,
    fetched: Vec<(Remote, Source)>,
}

impl<'a> Fetching<'a> {
    pub fn new(shared: &'a Shared, checksum: Option<String>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("add-")
            .tempdir_in(&shared.scratch)
            .during(|| "cannot make a folder for the step".into())?;
        Ok(Self {
            shared,
            checksum,
            folder,
            fetched: Vec::new(),
        })
    }

    /// What decides whether the layer is known. Without a pin it is fetched to find out.
    pub async fn identity(&mut self, remote: &Remote) -> Result<String> {
        let pin = match remote.pin(self.checksum.as_deref()) {
            Some(pin) => pin,
            None => self.fetch(remote).await?,
        };
        Ok(remote.identity(&pin))
    }

    /// The sources with what was fetched in the place of its address.
    pub async fn sources(&mut self, sources: Vec<Source>) -> Result<Vec<Source>> {
        let mut found = Vec::new();
        for source in sources {
            found.push(match &source {
                Source::Remote(remote) => self.source(remote).await?,
                _ => source,
            });
        }
        Ok(found)
    }

    async fn source(&mut self, remote: &Remote) -> Result<Source> {
        let is_here = |it: &&(Remote, Source)| it.0 == *remote;
        if !self.fetched.iter().any(|it| is_here(&it)) {
            self.fetch(remote).await?;
        }
        let fetched = self.fetched.iter().find(is_here);
        Ok(fetched.expect("it was fetched just now").1.clone())
    }

    /// Fetches it, and returns the digest or commit that it is.
    async fn fetch(&mut self, remote: &Remote) -> Result<String> {
        let folder = self.folder.path().join(self.fetched.len().to_string());
        std::fs::create_dir(&folder).during(|| "cannot make a folder for the step".into())?;
        let checksum = self.checksum.as_deref();
        let (pin, path) = match remote {
            Remote::File { url } => file(self.shared, url, &folder, checksum).await?,
            Remote::Repository {
                url,
                revision,
                folder: within,
            } => {
                let revision = revision.as_deref();
                let commit = repository(self.shared, url, revision, &folder, checksum).await?;
                (commit, normalised(Path::new(within)))
            }
        };
        let source = Source::Fetched {
            tree: Tree::of_folder(folder),
            path,
            address: remote.address().to_owned(),
        };
        self.fetched.push((remote.clone(), source));
        Ok(pin)
    }
}

fn unavailable() -> EngineError {
    EngineError::invalid("ADD of an address is not supported here; use RUN, or download it first")
}

/// The file's digest, and its name in the folder.
async fn file(
    shared: &Shared,
    url: &str,
    folder: &Path,
    checksum: Option<&str>,
) -> Result<(String, PathBuf)> {
    let downloads = shared.downloads.as_ref().ok_or_else(unavailable)?;
    let name = PathBuf::from(file_name(url));
    let path = folder.join(&name);
    let found = downloads.download(url, &path, DOWNLOAD_BYTES_MAX).await?;
    let (wanted, url) = (checksum.map(str::to_ascii_lowercase), url.to_owned());
    blocking(move || {
        let what = || format!("cannot keep `{url}`");
        let mut file = File::open(&path).during(what)?;
        let digest = format!("sha256:{}", hex(&hash(&mut file).during(what)?));
        if let Some(wanted) = wanted.filter(|it| *it != digest) {
            return Err(EngineError::invalid(format!(
                "`{url}` has the checksum `{digest}`, and not `{wanted}`"
            )));
        }
        // As BuildKit leaves it: for its owner, as old as the server says.
        file.set_permissions(Permissions::from_mode(0o600))
            .and_then(|()| file.set_modified(found.modified.unwrap_or(SystemTime::UNIX_EPOCH)))
            .during(what)?;
        Ok((digest, name))
    })
    .await
}

/// The last word of the address's path.
fn file_name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |it| it.1);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once('/').map_or("", |it| it.1);
    match path.trim_end_matches('/').rsplit('/').next() {
        None | Some("" | "." | "..") => "__unnamed__".to_owned(),
        Some(name) => name.to_owned(),
    }
}

/// Puts the files of a commit into the folder, and returns the commit.
async fn repository(
    shared: &Shared,
    url: &str,
    revision: Option<&str>,
    folder: &Path,
    checksum: Option<&str>,
) -> Result<String> {
    let git = shared.git.as_ref().ok_or_else(unavailable)?;
    let source = GitSource::Remote {
        url: url.to_owned(),
        login: None,
    };
    let revision = match revision {
        Some(revision) => revision.to_owned(),
        None => git.default_branch(&source).await?.ok_or_else(|| {
            EngineError::invalid(format!("the repository `{url}` has no branch yet"))
        })?,
    };
    let files = GitHistory::FilesOnly;
    let commit = git.checkout(&source, &revision, folder, files).await?;
    if let Some(wanted) = checksum.filter(|it| !it.eq_ignore_ascii_case(&commit.id)) {
        return Err(EngineError::invalid(format!(
            "`{revision}` of `{url}` is the commit `{}`, and not `{wanted}`",
            commit.id
        )));
    }
    // Better refused than added without what is in them.
    match folder.join(".gitmodules").exists() {
        true => Err(EngineError::invalid(format!(
            "`{url}` has submodules, which are not supported; clone it in a RUN step"
        ))),
        false => Ok(commit.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        assert_eq!(Remote::parse("a/b.git").unwrap(), None);
        let file = |url: &str| Some(Remote::File { url: url.into() });
        assert_eq!(
            Remote::parse("https://a/b?c#d").unwrap(),
            file("https://a/b?c")
        );
        let repository = Remote::Repository {
            url: "https://a/b.git".into(),
            revision: Some("v1".into()),
            folder: "docs".into(),
        };
        assert_eq!(
            Remote::parse("https://a/b.git#v1:docs").unwrap(),
            Some(repository)
        );
        for other in [
            "git@a:b.git",
            "ssh://a/b",
            "git://a/b.git",
            "https://a/b.git?ref=c",
        ] {
            assert!(Remote::parse(other).is_err(), "{other}");
        }
        assert_eq!(file_name("https://a.b/c/d.tar?e=f/g"), "d.tar");
        assert_eq!(file_name("https://a.b/c/"), "c");
        assert_eq!(file_name("https://a.b"), "__unnamed__");
        assert_eq!(file_name("https://a.b/.."), "__unnamed__");
    }
}
