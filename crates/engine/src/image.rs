//! Images: content-addressed blobs, names that point at them, and layers unpacked for use.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use base::glob::matches_stars;
use serde::{Deserialize, Serialize};

use crate::{EngineError, Result};

/// `sha256:` and 64 lower-case hexadecimal digits (OCI image-spec, descriptor, "Digests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The hexadecimal part, safe to use as a file name.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }
}

impl FromStr for Digest {
    type Err = EngineError;
    fn from_str(text: &str) -> Result<Self> {
        let hex = text.strip_prefix("sha256:").unwrap_or("");
        if hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(EngineError::invalid(format!(
                "`{text}` is not a sha256 digest"
            )))
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = EngineError;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a repository lives: `<host>[:port]` and a path. The embedded registry's host names are
/// `<account>.dkr.ecr.<region>.amazonaws.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Repository {
    pub host: String,
    pub path: String,
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

/// A tag or a digest within a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reference {
    Tag(String),
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for Reference {
    type Err = EngineError;
    fn from_str(text: &str) -> Result<Self> {
        if text.contains(':') {
            return text.parse().map(Self::Digest);
        }
        let ok = !text.is_empty()
            && text.len() <= 128
            && !text.starts_with(['.', '-'])
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if ok {
            Ok(Self::Tag(text.to_owned()))
        } else {
            Err(EngineError::invalid(format!("`{text}` is not a tag")))
        }
    }
}

/// A whole image name. Parsing follows docker's rules: no host means `docker.io`, one path component
/// on `docker.io` means `library/…`, no tag means `latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImageName {
    pub repository: Repository,
    pub reference: Reference,
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if matches!(self.reference, Reference::Tag(_)) {
            ':'
        } else {
            '@'
        };
        write!(f, "{}{sign}{}", self.repository, self.reference)
    }
}

/// A host and its port as a name writes them (distribution's grammar, "domain"). A host with a `_` is none:
/// such names are the store's own, for what nobody may call by its name.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let label = |part: &str| {
        let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(plain)
    };
    let is_port = |it: &str| !it.is_empty() && it.bytes().all(|digit| digit.is_ascii_digit());
    host.split('.').all(label) && port.is_none_or(is_port)
}

impl FromStr for ImageName {
    type Err = EngineError;
    fn from_str(text: &str) -> Result<Self> {
        let bad = || EngineError::invalid(format!("`{text}` is not an image name"));
        if text.is_empty() || text.len() > 512 {
            return Err(bad());
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
                (host, path.to_owned())
            }
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        if !is_host(host) {
            return Err(bad());
        }
        let component = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
                && part
                    .bytes()
                    .next()
                    .is_some_and(|b| b.is_ascii_alphanumeric())
        };
        if !path.split('/').all(component) {
            return Err(bad());
        }
        let reference = match (digest, tag) {
            (Some(digest), _) => Reference::Digest(digest),
            (None, tag) => tag.unwrap_or("latest").parse()?,
        };
        Ok(Self {
            repository: Repository {
                host: host.to_owned(),
                path,
            },
            reference,
        })
    }
}

/// What an image says about how to run it (OCI image-spec, "config").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// `NAME=value`, in order.
    pub env: Vec<String>,
    pub working_dir: String,
    /// `user`, `user:group`, `uid` or `uid:gid`; empty is root.
    pub user: String,
    /// `80/tcp`.
    pub exposed_ports: Vec<String>,
    pub volumes: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub stop_signal: Option<String>,
    pub healthcheck: Option<HealthCheck>,
    pub shell: Vec<String>,
    /// Instructions that a build on this image begins with (ONBUILD).
    pub on_build: Vec<String>,
    /// MAINTAINER; of the configuration file itself and not of its `config`.
    pub author: Option<String>,
}

/// A container's own health check: HEALTHCHECK in a Dockerfile, `healthCheck` in a task definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `["CMD", …]`, `["CMD-SHELL", "…"]`, or `["NONE"]`.
    pub command: Vec<String>,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub start_period_ms: u64,
    /// Between checks while it starts; zero is as [`HealthCheck::interval_ms`] then.
    pub start_interval_ms: u64,
    pub retries: u32,
}

/// A blob as a manifest names it (OCI image-spec, "descriptor").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size_bytes: u64,
}

/// A layer in the store: the blob, and the digest of its uncompressed tar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub blob: Descriptor,
    pub diff_id: Digest,
}

/// Which tags of a repository stay with the manifest that they were given first. In patterns `*` stands for
/// anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TagRule {
    /// None.
    #[default]
    Free,
    /// All but those that one of these matches.
    FixedBut(Vec<String>),
    /// Those alone that one of these matches.
    FreeBut(Vec<String>),
}

impl TagRule {
    /// Whether a tag never moves.
    pub fn fixes(&self, tag: &str) -> bool {
        let matches = |patterns: &[String]| patterns.iter().any(|it| matches_stars(it, tag));
        match self {
            Self::Free => false,
            Self::FixedBut(patterns) => !matches(patterns),
            Self::FreeBut(patterns) => matches(patterns),
        }
    }
}

/// A manifest that a repository holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredManifest {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Vec<u8>,
    pub pushed_at_ms: i64,
    /// Of config and layers together.
    pub size_bytes: u64,
    pub tags: Vec<String>,
    /// When it was fetched last, or made ready to run here: to the minute.
    pub pulled_at_ms: Option<i64>,
}

/// An image whose layers are on disk, unpacked: ready to be an overlay's lower directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedImage {
    /// Of the manifest.
    pub digest: Digest,
    pub config: ImageConfig,
    pub layers: Vec<Layer>,
    /// One directory per layer, the lowest first. Shared and never written to.
    pub directories: Vec<PathBuf>,
}

/// A file of an image, as the kernel would see it in a container of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Where it really is, after all links.
    pub path: String,
    pub is_directory: bool,
    /// The bits of its mode.
    pub mode: u32,
    pub size_bytes: u64,
    /// Its first bytes, at most [`ImageFile::HEAD_BYTES_MAX`].
    pub head: Vec<u8>,
}

impl ImageFile {
    /// Enough for the line that names a script's interpreter, and for the head of a program.
    pub const HEAD_BYTES_MAX: usize = 4096;
}

/// Basic credentials for a remote registry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    pub username: String,
    pub password: String,
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryLogin({})", self.username)
    }
}

/// Decides whether a space may read from the embedded registry, whose names are shared.
#[async_trait]
pub trait ReadGate: Send + Sync {
    async fn may_read(&self, repository: &Repository, login: Option<&RegistryLogin>) -> bool;
}

/// The content store and the names over it.
#[async_trait]
pub trait Images: Send + Sync {
    /// The manifest digest that `name` stands for, in the embedded registry or the local cache.
    async fn resolve(&self, name: &ImageName) -> Result<Digest>;
    /// Makes the image ready to run. Pulls it first when its host is not the embedded registry's and
    /// it is not in the cache. `NotFound` when the registry says so, `Unreachable` when it cannot be
    /// asked; the message then names the cause.
    async fn prepare(
        &self,
        name: &ImageName,
        login: Option<RegistryLogin>,
    ) -> Result<PreparedImage>;
    /// The same for an image known by digest only (a build's intermediate result).
    async fn prepare_digest(&self, manifest: &Digest) -> Result<PreparedImage>;

    /// A file of an image that is ready, without running it. None: there is no such file in it.
    async fn look(&self, image: &PreparedImage, path: &str) -> Result<Option<ImageFile>> {
        let _ = (image, path);
        Err(EngineError::machine("images cannot be looked into here"))
    }

    /// Asks the image's registry for it, whatever the cache has. From the embedded registry it is
    /// what the name stands for there.
    async fn pull(&self, name: &ImageName, login: Option<RegistryLogin>) -> Result<Digest>;

    /// Every repository that has a place here, of whatever host.
    async fn repositories(&self) -> Result<Vec<Repository>>;
    /// Makes a repository, so that it may be pushed to. The embedded registry refuses others.
    async fn create_repository(&self, repository: &Repository) -> Result<()>;
    /// Says which tags of a repository never move. What moves one is a `Conflict`, whoever asks.
    async fn set_tag_rule(&self, repository: &Repository, rule: &TagRule) -> Result<()> {
        let _ = (repository, rule);
        Err(not_for_all("rules of tags"))
    }
    /// Deletes a repository with all its manifests and tags.
    async fn delete_repository(&self, repository: &Repository) -> Result<()>;
    /// Everything in a repository; `NotFound` when there is no such repository.
    async fn manifests(&self, repository: &Repository) -> Result<Vec<StoredManifest>>;
    async fn manifest(&self, name: &ImageName) -> Result<StoredManifest>;
    /// Stores a manifest under a digest and, when given, a tag. Every blob that it names must exist; in
    /// the embedded registry, the repository must have it.
    async fn put_manifest(
        &self,
        name: &ImageName,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest>;
    /// Removes a tag, or a manifest with all its tags.
    async fn delete_manifest(&self, name: &ImageName) -> Result<()>;

    async fn has_blob(&self, digest: &Digest) -> Result<Option<u64>>;
    /// The size of a blob that a repository has: its manifests name it, or it was just sent there.
    async fn held_blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>>;
    /// Begins to take in a blob of a repository piece by piece, and names it. Nobody sees anything of it
    /// before it is finished; one that nobody goes on with is given up.
    async fn begin_upload(&self, repository: &Repository) -> Result<String> {
        let _ = repository;
        Err(not_for_all("uploads"))
    }
    /// Takes in the piece that begins at `from`, when that is where the last one ended. Says in either case
    /// where the next one begins.
    async fn write_upload(
        &self,
        repository: &Repository,
        id: &str,
        from: u64,
        bytes: Vec<u8>,
    ) -> Result<u64> {
        let _ = (repository, id, from, bytes);
        Err(not_for_all("uploads"))
    }
    /// Gives what was taken in its name; `Invalid` when it is something else. The upload ends in either case.
    async fn finish_upload(
        &self,
        repository: &Repository,
        id: &str,
        digest: &Digest,
    ) -> Result<u64> {
        let _ = (repository, id, digest);
        Err(not_for_all("uploads"))
    }
    async fn read_blob(&self, digest: &Digest) -> Result<PathBuf>;
    /// Stores a file as a blob and takes it over (renames it when it is on the same file system).
    async fn put_blob(&self, file: &std::path::Path) -> Result<(Digest, u64)>;
    /// Stores an uncompressed tar as a layer and takes the file over.
    async fn put_layer(&self, tar: &std::path::Path) -> Result<Layer>;
    /// Stores an image built here (config and manifest are written from the arguments) and, when
    /// `name` is given, points the name at it. `history` is one line per layer or empty step.
    async fn put_image(
        &self,
        config: &ImageConfig,
        layers: &[Layer],
        history: &[String],
        name: Option<&ImageName>,
    ) -> Result<Digest>;
    /// Lets `to` stand for what `from` stands for.
    async fn tag(&self, from: &ImageName, to: &ImageName) -> Result<Digest>;
    /// Removes blobs and unpacked layers that no manifest names, and what can be had again where the disk is
    /// short of room (see [`crate::Room::is_short`]). Returns the bytes freed.
    async fn collect_garbage(&self) -> Result<u64>;

    /// Lets every space find what a name stands for now, without asking the name's registry.
    async fn offer(&self, name: &ImageName) -> Result<()> {
        let _ = name;
        Err(no_spaces())
    }
    /// Opens the space of somebody who is not trusted: the same content below names of its own. What is
    /// named in it is named there alone; only a name of the embedded registry is everybody's. Of the
    /// content, it reaches what it made, pulled, or was offered, and never what it only knows the digest
    /// of. Opened again, also by a later process, it is as it was.
    async fn open_space(&self, id: &str, gate: Arc<dyn ReadGate>) -> Result<Arc<dyn Images>> {
        let _ = (id, gate);
        Err(no_spaces())
    }
    /// A space that is open.
    fn space(&self, id: &str) -> Result<Arc<dyn Images>> {
        let _ = id;
        Err(no_spaces())
    }
    /// Ends a space with all its names.
    async fn remove_space(&self, id: &str) -> Result<()> {
        let _ = id;
        Err(no_spaces())
    }
}

/// What a space, or a store that is none of the machine's, has not.
fn not_for_all(what: &str) -> EngineError {
    EngineError::machine(format!("there are no {what} here"))
}

fn no_spaces() -> EngineError {
    EngineError::machine("there are no spaces of images here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_fixes_what_it_says() {
        let patterns = || vec!["v*".to_owned(), "*-rc*".to_owned()];
        for (tag, fixed_but, free_but) in [
            ("v1", false, true),
            ("1-rc2", false, true),
            ("latest", true, false),
        ] {
            assert!(!TagRule::Free.fixes(tag));
            assert_eq!(TagRule::FixedBut(patterns()).fixes(tag), fixed_but, "{tag}");
            assert_eq!(TagRule::FreeBut(patterns()).fixes(tag), free_but, "{tag}");
        }
        assert!(TagRule::FixedBut(vec![]).fixes("latest"));
    }

    #[test]
    fn a_host_is_what_distribution_calls_one() {
        for name in [
            "a.b/x",
            "a.b:5000/x",
            "localhost/x",
            "127.0.0.1:80/x",
            "a--b.c/x",
        ] {
            assert!(name.parse::<ImageName>().is_ok(), "{name}");
        }
        for name in [
            "build_1_docker.io/x",
            "local_a.b/x",
            "a..b/x",
            "-a.b/x",
            "a.b:x/y",
            "../x",
        ] {
            assert!(name.parse::<ImageName>().is_err(), "{name}");
        }
    }
}
