//! Repositories, tags and manifests: the names over the content.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Digest, EngineError, Reference, Repository, Result, TagRule};
use serde::{Deserialize, Serialize};

use crate::disk::{self, Scratch};

const TAGS: &str = "_tags";
const MANIFESTS: &str = "_manifests";
/// The file that says which tags never move.
const RULE: &str = "_rule";
/// Stands after the digest in the file of a tag that spaces may find.
const OFFERED: &str = "offered";
/// The same of a tag that was made by fetching an image for a task: nobody asked to keep it.
const FETCHED: &str = "fetched";
/// As the kernel bounds a file name, and as the distribution specification bounds a whole name.
const COMPONENT_BYTES_MAX: usize = 255;
const NAME_BYTES_MAX: usize = 512;

/// What a repository knows about a manifest that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRecord {
    pub media_type: String,
    pub pushed_at_ms: i64,
    /// Its tags, and perhaps some that have left it: what a tag's file says is true, and this is where to
    /// look. None in records of older versions.
    #[serde(default)]
    tags: Option<Vec<String>>,
    /// When it was last fetched, to [`PULLED_STEP_MS`].
    #[serde(default)]
    pub pulled_at_ms: Option<i64>,
}

/// How exactly it is known when something was last fetched: each change is a write.
const PULLED_STEP_MS: i64 = 60_000;

#[derive(Debug)]
pub struct Names {
    directory: PathBuf,
    scratch: Arc<Scratch>,
    /// Held while a manifest's record is read and written.
    recording: Mutex<()>,
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
        Self {
            directory,
            scratch,
            recording: Mutex::new(()),
        }
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
        disk::remove_all(&path.join(RULE))?;
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
                target(&bytes)
            }
        }
    }

    /// Offers what a tag stands for now. A tag that is moved offers nothing, until it is offered again.
    pub fn offer(&self, repository: &Repository, tag: &str) -> Result<()> {
        self.mark(repository, tag, OFFERED)
    }

    /// Marks a tag as fetched for a task. Whoever names something so afterwards keeps it.
    pub fn mark_fetched(&self, repository: &Repository, tag: &str) -> Result<()> {
        self.mark(repository, tag, FETCHED)
    }

    pub fn is_fetched(&self, repository: &Repository, tag: &str) -> Result<bool> {
        let bytes = disk::read(&tag_file(&self.path(repository)?, tag)?)?;
        Ok(bytes.is_some_and(|it| is_marked(&it, FETCHED)))
    }

    /// Puts a word behind what a tag stands for now.
    fn mark(&self, repository: &Repository, tag: &str, mark: &str) -> Result<()> {
        let file = tag_file(&self.existing(repository)?, tag)?;
        let digest = self.resolve(repository, &Reference::Tag(tag.to_owned()))?;
        self.scratch
            .write(&file, format!("{digest} {mark}").as_bytes())
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
        let found = bytes.filter(|it| is_marked(it, OFFERED));
        found.map(|it| target(&it)).transpose()
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
        let file = tag.map(|tag| tag_file(&path, tag)).transpose()?;
        let _alone = (self.recording.lock()).unwrap_or_else(PoisonError::into_inner);
        if let Some(tag) = tag {
            self.check_rule(repository, &path, digest, tag)?;
        }
        let before = self.record(repository, digest)?;
        let mut record = before.clone().unwrap_or_else(|| ManifestRecord {
            media_type: media_type.to_owned(),
            pushed_at_ms: now_ms(),
            tags: Some(Vec::new()),
            pulled_at_ms: None,
        });
        if let Some(tag) = tag {
            self.note_tag(repository, digest, &mut record, tag)?;
        }
        if before.as_ref() != Some(&record) {
            let json = serde_json::to_vec(&record).expect("a record of plain text is JSON");
            self.scratch
                .write(&path.join(MANIFESTS).join(digest.hex()), &json)?;
        }
        // The record comes first: it may name a tag too many, and never one too few.
        if let Some(file) = file {
            self.scratch.write(&file, digest.as_str().as_bytes())?;
        }
        Ok(())
    }

    /// Says which tags never move.
    pub fn set_rule(&self, repository: &Repository, rule: &TagRule) -> Result<()> {
        let file = self.existing(repository)?.join(RULE);
        let _alone = (self.recording.lock()).unwrap_or_else(PoisonError::into_inner);
        if *rule == TagRule::Free {
            return remove_durably(&file);
        }
        let json = serde_json::to_vec(rule).expect("a rule of plain text is JSON");
        self.scratch.write(&file, &json)
    }

    /// Refuses to move a tag that never moves. Call with [`Names::recording`] held.
    fn check_rule(
        &self,
        repository: &Repository,
        path: &Path,
        digest: &Digest,
        tag: &str,
    ) -> Result<()> {
        let file = path.join(RULE);
        let Some(bytes) = disk::read(&file)? else {
            return Ok(());
        };
        let rule: TagRule = serde_json::from_slice(&bytes)
            .map_err(|e| EngineError::machine(format!("`{}`: {e}", file.display())))?;
        if !rule.fixes(tag) {
            return Ok(());
        }
        let there = disk::read(&tag_file(path, tag)?)?;
        let same = |bytes: &Vec<u8>| target(bytes).is_ok_and(|it| it == *digest);
        match there.is_none_or(|it| same(&it)) {
            true => Ok(()),
            false => Err(EngineError::conflict(format!(
                "The image tag '{tag}' already exists in the '{}' repository and cannot be overwritten because the tag is immutable.",
                repository.path
            ))),
        }
    }

    /// Notes that a manifest was fetched. It is fetched all the same when there is no room to say so.
    pub fn note_pull(&self, repository: &Repository, digest: &Digest) -> Result<()> {
        let path = self.existing(repository)?;
        let _alone = (self.recording.lock()).unwrap_or_else(PoisonError::into_inner);
        let Some(mut record) = self.record(repository, digest)? else {
            return Ok(());
        };
        let now_ms = now_ms();
        if (record.pulled_at_ms).is_some_and(|it| (now_ms - it).abs() < PULLED_STEP_MS) {
            return Ok(());
        }
        record.pulled_at_ms = Some(now_ms);
        let json = serde_json::to_vec(&record).expect("a record of plain text is JSON");
        let file = path.join(MANIFESTS).join(digest.hex());
        if let Err(error) = self.scratch.write(&file, &json) {
            let error = error.chain();
            tracing::debug!(%repository, %digest, error, "cannot note that an image was fetched");
        }
        Ok(())
    }

    /// Adds a tag to what a manifest's record names, and drops those that have left the manifest.
    fn note_tag(
        &self,
        repository: &Repository,
        digest: &Digest,
        record: &mut ManifestRecord,
        tag: &str,
    ) -> Result<()> {
        let is_named = |tags: &Vec<String>| tags.iter().any(|it| it == tag);
        if !record.tags.as_ref().is_some_and(is_named) {
            let mut tags = self.tags_in(repository, digest, record)?;
            tags.retain(|it| it != tag);
            tags.push(tag.to_owned());
            record.tags = Some(tags);
        }
        Ok(())
    }

    /// The tags of one manifest, in order, without a look at those of others.
    pub fn tags_of(&self, repository: &Repository, digest: &Digest) -> Result<Vec<String>> {
        match self.record(repository, digest)? {
            Some(record) => self.tags_in(repository, digest, &record),
            None => Ok(Vec::new()),
        }
    }

    fn tags_in(
        &self,
        repository: &Repository,
        digest: &Digest,
        record: &ManifestRecord,
    ) -> Result<Vec<String>> {
        let Some(named) = &record.tags else {
            let all = self.tags(repository)?.into_iter();
            return Ok(all.filter(|it| it.1 == *digest).map(|it| it.0).collect());
        };
        let path = self.existing(repository)?;
        let mut tags = Vec::with_capacity(named.len());
        for tag in named {
            let bytes = disk::read(&tag_file(&path, tag)?)?;
            if bytes.is_some_and(|it| target(&it).is_ok_and(|it| it == *digest)) {
                tags.push(tag.clone());
            }
        }
        tags.sort();
        Ok(tags)
    }

    pub fn delete_reference(&self, repository: &Repository, reference: &Reference) -> Result<()> {
        let path = self.existing(repository)?;
        match reference {
            Reference::Tag(tag) => remove_durably(&tag_file(&path, tag)?),
            Reference::Digest(digest) => {
                for tag in self.tags_of(repository, digest)? {
                    remove_durably(&tag_file(&path, &tag)?)?;
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
                tags.push((tag, target(&bytes)?));
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
        } else if name != TAGS && name != RULE {
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

/// What a tag's file says that it stands for.
fn target(bytes: &[u8]) -> Result<Digest> {
    let text = String::from_utf8_lossy(bytes);
    text.split_whitespace().next().unwrap_or_default().parse()
}

/// Whether this stands behind it.
fn is_marked(bytes: &[u8], mark: &str) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.split_whitespace().nth(1) == Some(mark)
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        names: Names,
        repository: Repository,
        directory: tempfile::TempDir,
    }

    fn place() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::open(directory.path().join("scratch")).unwrap();
        let names = Names::new(directory.path().join("names"), Arc::new(scratch));
        let repository = Repository {
            host: "localhost".into(),
            path: "web".into(),
        };
        names.create(&repository).unwrap();
        Place {
            names,
            repository,
            directory,
        }
    }

    fn digest(digit: char) -> Digest {
        let hex: String = std::iter::repeat_n(digit, 64).collect();
        format!("sha256:{hex}").parse().unwrap()
    }

    impl Place {
        fn put(&self, digit: char, tag: Option<&str>) {
            let put = self.names.put(&self.repository, &digest(digit), "it", tag);
            put.unwrap();
        }
        fn tags_of(&self, digit: char) -> Vec<String> {
            self.names
                .tags_of(&self.repository, &digest(digit))
                .unwrap()
        }
        fn file(&self, directory: &str, name: &str) -> PathBuf {
            let repository = self.directory.path().join("names/localhost/web");
            repository.join(directory).join(name)
        }
    }

    #[test]
    fn what_is_fetched_is_noted_unless_nothing_can_be_written() {
        let place = place();
        place.put('a', None);
        place.put('b', None);
        let pulled_at_ms = |digit| {
            let note = place.names.note_pull(&place.repository, &digest(digit));
            note.unwrap();
            let record = place.names.record(&place.repository, &digest(digit));
            record.unwrap().unwrap().pulled_at_ms
        };
        assert!(pulled_at_ms('a').is_some());
        fs::remove_dir(place.directory.path().join("scratch")).unwrap();
        assert_eq!(pulled_at_ms('b'), None);
    }

    #[test]
    fn tags_of_a_manifest_are_found_without_a_look_at_those_of_others() {
        let place = place();
        place.put('a', None);
        place.put('a', Some("v2"));
        place.put('a', Some("v1"));
        place.put('b', Some("v3"));
        // Whoever reads it fails.
        fs::write(place.file(TAGS, "broken"), "no digest").unwrap();
        place.names.tags(&place.repository).unwrap_err();
        assert_eq!(place.tags_of('a'), ["v1", "v2"]);
        // A tag that was moved or removed belongs to what it stands for.
        place.put('b', Some("v2"));
        let v1 = Reference::Tag("v1".into());
        let removed = place.names.delete_reference(&place.repository, &v1);
        removed.unwrap();
        assert_eq!(place.tags_of('a'), [""; 0]);
        assert_eq!(place.tags_of('b'), ["v2", "v3"]);
        place.put('a', Some("v1"));
        assert_eq!(place.tags_of('a'), ["v1"]);
        let b = Reference::Digest(digest('b'));
        place.names.delete_reference(&place.repository, &b).unwrap();
        assert!(!place.file(TAGS, "v2").exists() && place.file(TAGS, "v1").exists());
    }

    #[test]
    fn tags_of_manifests_of_older_versions_are_found() {
        let place = place();
        for (digit, tag) in [('a', "v1"), ('b', "v2")] {
            place.put(digit, Some(tag));
            let hex = digest(digit).hex().to_owned();
            let old = r#"{"media_type":"it","pushed_at_ms":1}"#;
            fs::write(place.file(MANIFESTS, &hex), old).unwrap();
        }
        assert_eq!(place.tags_of('a'), ["v1"]);
        place.put('a', Some("v3"));
        assert_eq!(place.tags_of('a'), ["v1", "v3"]);
        assert_eq!(place.tags_of('b'), ["v2"]);
        let kept = place.names.record(&place.repository, &digest('a'));
        assert_eq!(kept.unwrap().unwrap().pushed_at_ms, 1);
    }
}
