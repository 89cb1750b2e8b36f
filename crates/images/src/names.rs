//! Repositories, tags and manifests: the names over the content.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Digest, EngineError, Reference, Repository, Result};
use serde::{Deserialize, Serialize};

use crate::disk::{self, Scratch};

const TAGS: &str = "_tags";
const MANIFESTS: &str = "_manifests";
/// Stands after the digest in the file of a tag that spaces may find.
const OFFERED: &str = "offered";
/// As the kernel bounds a file name, and as the distribution specification bounds a whole name.
const COMPONENT_BYTES_MAX: usize = 255;
const NAME_BYTES_MAX: usize = 512;

/// What a repository knows about a manifest that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRecord {
    pub media_type: String,
    pub pushed_at_ms: i64,
}

#[derive(Debug)]
pub struct Names {
    directory: PathBuf,
    scratch: Arc<Scratch>,
}

pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

fn no_repository(repository: &Repository) -> EngineError {
    EngineError::not_found(format!("repository `{repository}` does not exist"))
}

impl Names {
    pub fn new(directory: PathBuf, scratch: Arc<Scratch>) -> Self {
        Self { directory, scratch }
    }

    /// The only place where a name from outside becomes a path.
    fn path(&self, repository: &Repository) -> Result<PathBuf> {
        let bad = || EngineError::invalid(format!("`{repository}` is not a repository name"));
        let mut path = self
            .directory
            .join(checked_host(&repository.host).ok_or_else(bad)?);
        if repository.path.len() > NAME_BYTES_MAX {
            return Err(bad());
        }
        for component in repository.path.split('/') {
            path.push(checked_component(component).ok_or_else(bad)?);
        }
        Ok(path)
    }

    fn existing(&self, repository: &Repository) -> Result<PathBuf> {
        let path = self.path(repository)?;
        if path.join(MANIFESTS).is_dir() {
            Ok(path)
        } else {
            Err(no_repository(repository))
        }
    }

    pub fn exists(&self, repository: &Repository) -> Result<bool> {
        Ok(self.path(repository)?.join(MANIFESTS).is_dir())
    }

    pub fn create(&self, repository: &Repository) -> Result<()> {
        let path = self.path(repository)?;
        // The second one is what makes the repository exist.
        disk::create_directories(&path.join(TAGS))?;
        disk::create_directories(&path.join(MANIFESTS))
    }

    pub fn delete(&self, repository: &Repository) -> Result<()> {
        let path = self.path(repository)?;
        // Tags last: without manifests there is no repository any more.
        self.scratch.discard(&path.join(MANIFESTS))?;
        self.scratch.discard(&path.join(TAGS))?;
        // Repositories below it stay; directories that hold nothing go.
        let above = path.ancestors().take_while(|at| *at != self.directory);
        for directory in above {
            if fs::remove_dir(directory).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// What a tag or digest stands for in a repository.
    pub fn resolve(&self, repository: &Repository, reference: &Reference) -> Result<Digest> {
        let path = self.existing(repository)?;
        let missing =
            || EngineError::not_found(format!("`{repository}` has no manifest `{reference}`"));
        match reference {
            Reference::Digest(digest) => match self.record(repository, digest)? {
                Some(_) => Ok(digest.clone()),
                None => Err(missing()),
            },
            Reference::Tag(tag) => {
                let bytes = disk::read(&tag_file(&path, tag)?)?.ok_or_else(missing)?;
                target(&bytes).0
            }
        }
    }

    /// Offers what a tag stands for now. A tag that is moved offers nothing, until it is offered again.
    pub fn offer(&self, repository: &Repository, tag: &str) -> Result<()> {
        let file = tag_file(&self.existing(repository)?, tag)?;
        let digest = self.resolve(repository, &Reference::Tag(tag.to_owned()))?;
        self.scratch
            .write(&file, format!("{digest} {OFFERED}").as_bytes())
    }

    /// What is offered under a tag; None when there is no such thing. Nothing is offered by its digest.
    pub fn offered(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Digest>> {
        let (Reference::Tag(tag), true) = (reference, self.exists(repository)?) else {
            return Ok(None);
        };
        let bytes = disk::read(&tag_file(&self.path(repository)?, tag)?)?;
        let found = bytes.map(|bytes| target(&bytes)).filter(|it| it.1);
        found.map(|it| it.0).transpose()
    }

    /// Removes all repositories of the hosts that begin so.
    pub fn delete_hosts(&self, prefix: &str) -> Result<()> {
        for host in disk::list(&self.directory)? {
            if host.starts_with(prefix) {
                self.scratch.discard(&self.directory.join(host))?;
            }
        }
        Ok(())
    }

    pub fn record(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<ManifestRecord>> {
        let file = self.path(repository)?.join(MANIFESTS).join(digest.hex());
        let Some(bytes) = disk::read(&file)? else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&bytes)
            .map_err(|e| EngineError::machine(format!("`{}`: {e}", file.display())))?;
        Ok(Some(record))
    }

    /// Adds a manifest, and points the tag at it when there is one. A manifest that is there keeps
    /// the time of its first push.
    pub fn put(
        &self,
        repository: &Repository,
        digest: &Digest,
        media_type: &str,
        tag: Option<&str>,
    ) -> Result<()> {
        let path = self.existing(repository)?;
        if self.record(repository, digest)?.is_none() {
            let record = ManifestRecord {
                media_type: media_type.to_owned(),
                pushed_at_ms: now_ms(),
            };
            let json = serde_json::to_vec(&record).expect("a record of plain text is JSON");
            self.scratch
                .write(&path.join(MANIFESTS).join(digest.hex()), &json)?;
        }
        if let Some(tag) = tag {
            self.scratch
                .write(&tag_file(&path, tag)?, digest.as_str().as_bytes())?;
        }
        Ok(())
    }

    pub fn delete_reference(&self, repository: &Repository, reference: &Reference) -> Result<()> {
        let path = self.existing(repository)?;
        match reference {
            Reference::Tag(tag) => remove_durably(&tag_file(&path, tag)?),
            Reference::Digest(digest) => {
                for (tag, target) in self.tags(repository)? {
                    if target == *digest {
                        remove_durably(&tag_file(&path, &tag)?)?;
                    }
                }
                remove_durably(&path.join(MANIFESTS).join(digest.hex()))
            }
        }
    }

    /// Tags in order, with what they stand for.
    pub fn tags(&self, repository: &Repository) -> Result<Vec<(String, Digest)>> {
        let directory = self.existing(repository)?.join(TAGS);
        let mut tags = Vec::new();
        for tag in disk::list(&directory)? {
            // A tag that was removed since the listing is simply not there.
            if let Some(bytes) = disk::read(&directory.join(&tag))? {
                tags.push((tag, target(&bytes).0?));
            }
        }
        Ok(tags)
    }

    pub fn manifests(&self, repository: &Repository) -> Result<Vec<Digest>> {
        let directory = self.existing(repository)?.join(MANIFESTS);
        let names = disk::list(&directory)?.into_iter();
        Ok(names
            .filter_map(|hex| format!("sha256:{hex}").parse().ok())
            .collect())
    }

    /// Paths of a host's repositories, sorted.
    pub fn repositories(&self, host: &str) -> Result<Vec<String>> {
        let host = checked_host(host)
            .ok_or_else(|| EngineError::invalid(format!("`{host}` is not a host name")))?;
        let mut found = Vec::new();
        collect_repositories(&self.directory.join(host), "", &mut found)?;
        found.sort();
        Ok(found)
    }

    pub fn all_repositories(&self) -> Result<Vec<Repository>> {
        let mut all = Vec::new();
        for host in disk::list(&self.directory)? {
            let paths = self.repositories(&host)?.into_iter();
            all.extend(paths.map(|path| Repository {
                host: host.clone(),
                path,
            }));
        }
        Ok(all)
    }
}

fn collect_repositories(directory: &Path, path: &str, found: &mut Vec<String>) -> Result<()> {
    for name in disk::list(directory)? {
        if name == MANIFESTS {
            found.push(path.to_owned());
        } else if name != TAGS {
            let below = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}/{name}")
            };
            collect_repositories(&directory.join(&name), &below, found)?;
        }
    }
    Ok(())
}

/// What a tag's file says: what it stands for, and whether that is offered.
fn target(bytes: &[u8]) -> (Result<Digest>, bool) {
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.split_whitespace();
    let digest = words.next().unwrap_or_default().parse();
    (digest, words.next() == Some(OFFERED))
}

fn remove_durably(file: &Path) -> Result<()> {
    disk::remove_all(file)?;
    disk::sync_directory(file.parent().expect("a place in the store has a parent"))
}

/// A reference can be made without being parsed, so the text is looked at here once more.
fn tag_file(repository: &Path, tag: &str) -> Result<PathBuf> {
    match tag.parse()? {
        Reference::Tag(tag) => Ok(repository.join(TAGS).join(tag)),
        Reference::Digest(_) => Err(EngineError::invalid(format!("`{tag}` is not a tag"))),
    }
}

/// Whether a repository can have this path, which then is the only spelling of it.
pub fn is_repository_path(path: &str) -> bool {
    path.len() <= NAME_BYTES_MAX && path.split('/').all(|it| checked_component(it).is_some())
}

fn checked_host(host: &str) -> Option<&str> {
    let ok = host.len() <= COMPONENT_BYTES_MAX
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b));
    ok.then_some(host)
}

fn checked_component(component: &str) -> Option<&str> {
    let ok = component.len() <= COMPONENT_BYTES_MAX
        && component.starts_with(|c: char| c.is_ascii_alphanumeric())
        && component
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    ok.then_some(component)
}
