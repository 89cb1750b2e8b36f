//! Images: found by name or id, listed, inspected, tagged and removed.
//!
//! An image's id is its manifest's digest. Names of other registries are the engine's cache, so what the
//! owner builds or imports under such a name is what tasks and the owner's Dockerfiles find. What a build
//! names is found by that build alone.

mod commit;
mod details;
mod load;
mod pull;
mod push;
mod remove;
mod save;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use base::glob::matches_stars_within_parts;
use engine::{Digest, ImageName, Reference, Repository, Result};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::answer::{self, Answer, Refusal};
use crate::clock;
use crate::docker::Docker;
use crate::events::Event;
use crate::names::{short, shown, shown_repository};
use crate::query::Query;
use crate::routes::Call;

pub use commit::commit;

const OFFER: &str = "offer";

/// What images here are for.
pub fn own_platform() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "linux/amd64"
    } else {
        "linux/arm64"
    }
}

/// Whether a platform that is asked for is ours, or none is.
pub fn is_own_platform(asked: &str) -> bool {
    ["", "linux", "linux/", own_platform()].contains(&asked)
}

/// An image that docker's users see.
#[derive(Debug, Clone)]
pub struct LocalImage {
    pub id: Digest,
    /// With a tag.
    pub names: Vec<ImageName>,
    /// That hold it, with a tag or without.
    pub repositories: Vec<Repository>,
    pub created_ms: i64,
    pub size_bytes: u64,
}

impl LocalImage {
    pub fn tags(&self) -> Vec<String> {
        self.names.iter().map(shown).collect()
    }

    pub fn digests(&self) -> Vec<String> {
        // One that lost its tag is not told by its old name.
        let repositories: BTreeSet<&Repository> =
            self.names.iter().map(|it| &it.repository).collect();
        let shown = repositories.into_iter().filter_map(shown_repository);
        shown.map(|it| format!("{it}@{}", self.id)).collect()
    }

    pub fn summary(&self, docker: &Docker) -> Value {
        json!({
            "Id": self.id, "ParentId": "", "RepoTags": self.tags(), "RepoDigests": self.digests(),
            "Created": self.created_ms / 1000, "Size": self.size_bytes, "SharedSize": -1,
            "VirtualSize": self.size_bytes, "Labels": {},
            "Containers": docker.containers.count_of_image(&self.id),
        })
    }
}

/// What a client called an image.
#[derive(Debug, Clone)]
pub struct FoundImage {
    pub id: Digest,
    /// Where it is kept, when it was called by name.
    pub name: Option<ImageName>,
}

pub async fn route(call: Call, method: &Method, words: &[&str]) -> Answer {
    // Names have slashes, so the last word says what is wanted.
    let (last, name) = words.split_last().expect("the caller looked");
    let name = name.join("/");
    match (method.as_str(), name.as_str(), *last) {
        ("GET", "", "json") => list(call).await,
        ("POST", "", "create") => pull::create(call).await,
        ("POST", "", "load") => load::load(call).await,
        ("GET", "", "get") => {
            let names: Vec<String> = call.query.all("names").map(str::to_owned).collect();
            save::save(call, names).await
        }
        ("POST", "", "prune") => remove::prune(call).await,
        ("GET", "", "search") => Err(Refusal::not_built("searching a registry")),
        ("GET", name, "json") => inspect(call, name).await,
        ("GET", name, "history") => details::history(call, name).await,
        ("GET", name, "get") => save::save(call, vec![name.to_owned()]).await,
        ("POST", name, "tag") => tag(call, name).await,
        ("POST", name, "push") => push::push(call, name).await,
        ("DELETE", _, _) => remove::remove(call, &words.join("/")).await,
        _ => Err(Refusal::not_found("page not found")),
    }
}

pub fn no_such(text: &str) -> Refusal {
    Refusal::not_found(format!("No such image: {text}"))
}

impl Docker {
    /// Every image that docker's users see, the newest first.
    pub(crate) async fn local_images(&self) -> Result<Vec<LocalImage>> {
        let mut images: BTreeMap<Digest, LocalImage> = BTreeMap::new();
        for repository in self.images.repositories().await? {
            if self.registry.is_own(&repository.host) {
                continue;
            }
            let manifests = self.images.manifests(&repository).await;
            if Self::is_absent(&manifests) {
                continue;
            }
            let manifests = manifests?;
            let below: HashSet<Digest> = manifests
                .iter()
                .flat_map(|it| details::manifests_below(&it.bytes))
                .collect();
            for manifest in manifests {
                // An index stands for the images below it.
                if manifest.tags.is_empty() && below.contains(&manifest.digest) {
                    continue;
                }
                let image = images.entry(manifest.digest.clone()).or_insert(LocalImage {
                    id: manifest.digest.clone(),
                    names: Vec::new(),
                    repositories: Vec::new(),
                    created_ms: manifest.pushed_at_ms,
                    size_bytes: manifest.size_bytes,
                });
                image.created_ms = image.created_ms.min(manifest.pushed_at_ms);
                image.repositories.push(repository.clone());
                image
                    .names
                    .extend(manifest.tags.into_iter().map(|tag| ImageName {
                        repository: repository.clone(),
                        reference: Reference::Tag(tag),
                    }));
            }
        }
        let mut images: Vec<LocalImage> = images.into_values().collect();
        images.sort_by_key(|it| std::cmp::Reverse(it.created_ms));
        Ok(images)
    }

    /// By name, by id, or by the beginning of one.
    pub(crate) async fn find_image(&self, text: &str) -> Result<FoundImage, Refusal> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let is_hex = !hex.is_empty()
            && hex
                .bytes()
                .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        let is_whole = is_hex && hex.len() == 64;
        if !is_whole && !text.starts_with("sha256:") {
            let name: ImageName = text
                .parse()
                .map_err(|_| Refusal::bad(format!("invalid reference format: `{text}`")))?;
            let name = self.kept(&name);
            let found = self.images.resolve(&name).await;
            if !Self::is_absent(&found) {
                return Ok(FoundImage {
                    id: found?,
                    name: Some(name),
                });
            }
        }
        if !is_hex {
            return Err(no_such(text));
        }
        let images = self.local_images().await?;
        let mut matching = images.into_iter().filter(|it| it.id.hex().starts_with(hex));
        match (matching.next(), matching.next()) {
            (Some(image), None) => Ok(FoundImage {
                id: image.id,
                name: None,
            }),
            (Some(_), Some(_)) => Err(Refusal::bad(format!("multiple images match `{text}`"))),
            (None, _) => Err(no_such(text)),
        }
    }

    pub(crate) async fn local_image(&self, id: &Digest) -> Result<Option<LocalImage>> {
        let images = self.local_images().await?;
        Ok(images.into_iter().find(|it| it.id == *id))
    }
}

const FILTERS: &[&str] = &[
    "reference",
    "dangling",
    "label",
    "label!",
    "before",
    "since",
    "until",
];

async fn list(call: Call) -> Answer {
    let filters = call.query.filters(FILTERS)?;
    let until = filters.until(clock::now_ms())?;
    let (mut before_ms, mut since_ms) = (None, None);
    for (name, bound) in [("before", &mut before_ms), ("since", &mut since_ms)] {
        for text in filters.get(name) {
            let id = call.docker.find_image(text).await?.id;
            let image = call.docker.local_image(&id).await?;
            *bound = Some(image.ok_or_else(|| no_such(text))?.created_ms);
        }
    }
    let mut answers = Vec::new();
    for mut image in call.docker.local_images().await? {
        let made_ms = image.created_ms;
        let fits = before_ms.is_none_or(|it| made_ms < it)
            && since_ms.is_none_or(|it| made_ms > it)
            && until.takes(made_ms);
        if !fits {
            continue;
        }
        let dangling = image.names.is_empty();
        if filters
            .flag("dangling")
            .is_some_and(|wanted| wanted != dangling)
        {
            continue;
        }
        if !filters.get("reference").is_empty() {
            image
                .names
                .retain(|name| filters.any("reference", |it| refers(it, &shown(name))));
            if image.names.is_empty() {
                continue;
            }
        }
        let details = call.docker.details(&image.id).await;
        let labels = details.as_ref().map(|it| it.labels()).unwrap_or_default();
        if !filters.labels(&labels) {
            continue;
        }
        let mut summary = image.summary(&call.docker);
        summary["Labels"] = json!(labels);
        answers.push(summary);
    }
    answer::ok(json!(answers))
}

/// `rea`, `rea:1`, or with `*`.
fn refers(pattern: &str, name: &str) -> bool {
    let repository = name.rsplit_once(':').map_or(name, |it| it.0);
    [name, repository]
        .iter()
        .any(|it| matches_stars_within_parts(pattern, it))
}

async fn inspect(call: Call, text: &str) -> Answer {
    let docker = &call.docker;
    let found = docker.find_image(text).await?;
    let image = docker
        .local_image(&found.id)
        .await?
        .ok_or_else(|| no_such(text))?;
    let details = docker.details(&image.id).await?;
    let created = clock::rfc3339(image.created_ms);
    // Docker left both out of answers of newer versions; docker-compose 1.29 reads them in any.
    let of_container = match &details.config["container_config"] {
        Value::Null => details.run_config(),
        config => config.clone(),
    };
    answer::ok(json!({
        "Id": image.id, "RepoTags": image.tags(), "RepoDigests": image.digests(),
        "Parent": details.text("parent"), "Comment": details.comment(), "Created": created, "DockerVersion": "",
        "Author": details.text("author"), "Config": details.run_config(),
        "Container": details.text("container"), "ContainerConfig": of_container,
        "Architecture": details.config["architecture"], "Os": details.config["os"],
        "Size": image.size_bytes, "VirtualSize": image.size_bytes,
        "GraphDriver": { "Name": "overlay2", "Data": {} },
        "RootFS": { "Type": "layers", "Layers": details.config["rootfs"]["diff_ids"] },
        "Metadata": { "LastTagTime": created },
        "Descriptor": { "mediaType": details.media_type, "digest": image.id, "size": details.manifest_bytes },
    }))
}

async fn tag(call: Call, text: &str) -> Answer {
    let docker = &call.docker;
    let repository = call.query.get("repo").unwrap_or_default();
    let tag = call.query.get("tag").unwrap_or("latest");
    let to: ImageName = format!("{repository}:{tag}")
        .parse()
        .map_err(|_| Refusal::bad(format!("invalid reference format: `{repository}:{tag}`")))?;
    let found = docker.find_image(text).await?;
    docker.name_image(&found, &docker.kept(&to)).await?;
    docker
        .offer_if_asked(&call.query, &docker.kept(&to))
        .await?;
    let name = shown(&to);
    docker
        .events
        .tell(Event::image("tag", found.id.as_str(), Some(&name)));
    answer::empty(StatusCode::CREATED)
}

impl Docker {
    /// Lets a name stand for an image.
    pub(crate) async fn name_image(
        &self,
        image: &FoundImage,
        to: &ImageName,
    ) -> Result<(), Refusal> {
        let from = match &image.name {
            Some(name) => name.clone(),
            None => self.any_name(&image.id).await?,
        };
        self.images.tag(&from, to).await?;
        Ok(())
    }

    /// Builds find what the owner offers, as if they had pulled it, and nothing else of the owner's. This
    /// is no part of Docker's API: `neargate image import` asks for it.
    pub(crate) async fn offer_if_asked(
        &self,
        query: &Query,
        name: &ImageName,
    ) -> Result<(), Refusal> {
        if query.flag(OFFER) {
            self.policy().allow("offering images to builds")?;
            self.images.offer(name).await?;
        }
        Ok(())
    }

    /// Some name that an image is kept under.
    pub(crate) async fn any_name(&self, id: &Digest) -> Result<ImageName, Refusal> {
        let image = self.local_image(id).await?;
        let image = image.ok_or_else(|| no_such(short(id.as_str())))?;
        let repository = image.repositories.into_iter().next();
        Ok(ImageName {
            repository: repository.ok_or_else(|| no_such(short(id.as_str())))?,
            reference: Reference::Digest(id.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::refers;

    #[test]
    fn references_are_patterns() {
        for (pattern, name, fits) in [
            ("rea", "rea:latest", true),
            ("rea:1", "rea:latest", false),
            ("re*", "rea:latest", true),
            ("*", "team/rea:latest", false),
            ("*/rea:la*", "team/rea:latest", true),
            ("*/*a*t", "team/rea:latest", true),
            ("t*/b*", "team/rea:latest", false),
            ("**", "rea", true),
        ] {
            assert_eq!(refers(pattern, name), fits, "{pattern} {name}");
        }
        // Without an end this would not come to one.
        assert!(!refers(&("*a".repeat(60) + "b"), &"a".repeat(200)));
    }
}
