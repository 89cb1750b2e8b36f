//! Removing names and images.

use std::collections::BTreeMap;

use engine::{Digest, ImageName, Reference, Repository};
use serde_json::{Value, json};

use super::{LocalImage, no_such};
use crate::answer::{self, Answer, Refusal};
use crate::clock::now_ms;
use crate::docker::Docker;
use crate::events::Event;
use crate::names::{short, shown};
use crate::routes::Call;

pub async fn remove(call: Call, text: &str) -> Answer {
    let docker = &call.docker;
    let force = call.query.flag("force");
    let found = docker.find_image(text).await?;
    let image = docker
        .local_image(&found.id)
        .await?
        .ok_or_else(|| no_such(text))?;
    let user = docker.containers.user_of_image(&image.id);
    let others = |name: &ImageName| image.names.iter().any(|it| it != name);
    let plan = plan(&Asked {
        text,
        force,
        named: found.name.is_some(),
        is_last: !found.name.as_ref().is_some_and(others),
        names: image.names.len(),
        user: user.as_ref().map(|it| (short(&it.0), it.1)),
        id: short(image.id.as_str()),
    });
    let mut told = Vec::new();
    match (plan?, found.name) {
        (Plan::Untag, Some(name)) => {
            untag(docker, &image.id, &name, &mut told).await?;
            let repository = &name.repository;
            let mut others = image.names.iter().filter(|it| **it != name);
            if !others.any(|it| it.repository == *repository) {
                forget(docker, &image.id, repository).await?;
            }
        }
        (Plan::Untag | Plan::UntagAll, _) => untag_all(docker, &image, &mut told).await?,
        (Plan::Remove, _) => remove_whole(docker, &image, &mut told).await?,
    }
    answer::ok(json!(told))
}

/// What is known when an image is to be removed.
struct Asked<'a> {
    text: &'a str,
    force: bool,
    /// By a name, and not by its id.
    named: bool,
    /// It has no other name.
    is_last: bool,
    names: usize,
    /// A container that has it, and whether that runs.
    user: Option<(&'a str, bool)>,
    id: &'a str,
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// One name of several: the image stays.
    Untag,
    /// The image stays, without a name, for the container that has it.
    UntagAll,
    Remove,
}

/// As docker decides it.
fn plan(asked: &Asked<'_>) -> Result<Plan, Refusal> {
    let Asked { text, id, .. } = asked;
    if !asked.is_last {
        return Ok(Plan::Untag);
    }
    if !asked.named && asked.names > 1 && !asked.force {
        return Err(Refusal::conflict(format!(
            "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
        )));
    }
    match asked.user {
        None => Ok(Plan::Remove),
        Some((user, _)) if asked.named && !asked.force => Err(Refusal::conflict(format!(
            "conflict: unable to remove repository reference \"{text}\" (must force) - container {user} is using its referenced image {id}"
        ))),
        // A name can be taken from whatever runs.
        Some(_) if asked.named => Ok(Plan::UntagAll),
        Some((user, true)) => Err(Refusal::conflict(format!(
            "conflict: unable to delete {id} (cannot be forced) - image is being used by running container {user}"
        ))),
        Some((user, false)) if !asked.force => Err(Refusal::conflict(format!(
            "conflict: unable to delete {id} (must be forced) - image is being used by stopped container {user}"
        ))),
        Some(_) => Ok(Plan::UntagAll),
    }
}

async fn untag(
    docker: &Docker,
    id: &Digest,
    name: &ImageName,
    told: &mut Vec<Value>,
) -> Result<(), Refusal> {
    docker.images.delete_manifest(name).await?;
    let name = shown(name);
    docker
        .events
        .tell(Event::image("untag", id.as_str(), Some(&name)));
    told.push(json!({ "Untagged": name }));
    Ok(())
}

/// Takes an image out of a repository, where it has no tag any more.
async fn forget(docker: &Docker, id: &Digest, repository: &Repository) -> Result<(), Refusal> {
    let whole = ImageName {
        repository: repository.clone(),
        reference: Reference::Digest(id.clone()),
    };
    docker.images.delete_manifest(&whole).await?;
    // A repository of others' images that holds nothing is none.
    if docker.images.manifests(repository).await?.is_empty() {
        docker.images.delete_repository(repository).await?;
    }
    Ok(())
}

/// Takes all names away; the image stays, for the container that may be started again.
async fn untag_all(
    docker: &Docker,
    image: &LocalImage,
    told: &mut Vec<Value>,
) -> Result<(), Refusal> {
    docker.keep_unnamed(&image.id).await?;
    for name in &image.names {
        untag(docker, &image.id, name, told).await?;
        forget(docker, &image.id, &name.repository).await?;
    }
    Ok(())
}

async fn remove_whole(
    docker: &Docker,
    image: &LocalImage,
    told: &mut Vec<Value>,
) -> Result<(), Refusal> {
    for name in &image.names {
        untag(docker, &image.id, name, told).await?;
    }
    for repository in &image.repositories {
        forget(docker, &image.id, repository).await?;
    }
    docker
        .events
        .tell(Event::image("delete", image.id.as_str(), None));
    told.push(json!({ "Deleted": image.id }));
    Ok(())
}

/// `POST /images/prune`: images without a name, or all that no container uses.
pub async fn prune(call: Call) -> Answer {
    let filters = call
        .query
        .filters(&["dangling", "label", "label!", "until"])?;
    let until = filters.until(now_ms())?;
    let by_label = !filters.get("label").is_empty() || !filters.get("label!").is_empty();
    let dangling_only = filters.flag("dangling").unwrap_or(true);
    let docker = &call.docker;
    let mut told = Vec::new();
    let images = docker.local_images().await?;
    let mut layers = Layers::of(docker, &images).await;
    for image in images {
        let unwanted = image.names.is_empty() || !dangling_only;
        let is_old = until.takes(image.created_ms);
        if !unwanted || !is_old || docker.containers.user_of_image(&image.id).is_some() {
            continue;
        }
        let labels = match by_label {
            true => docker.details(&image.id).await?.labels(),
            false => BTreeMap::new(),
        };
        if filters.labels(&labels) {
            remove_whole(docker, &image, &mut told).await?;
            layers.forget(&image.id);
        }
    }
    // Content is taken away later, when it was unused for a while.
    answer::ok(json!({ "ImagesDeleted": told, "SpaceReclaimed": layers.unused_bytes() }))
}

/// Which images have which layers.
#[derive(Default)]
struct Layers {
    of_images: BTreeMap<Digest, BTreeMap<Digest, u64>>,
    /// Layers of images that are gone.
    gone: BTreeMap<Digest, u64>,
}

impl Layers {
    async fn of(docker: &Docker, images: &[LocalImage]) -> Self {
        let mut all = Self::default();
        for image in images {
            // One whose documents cannot be read counts for nothing.
            let Ok(details) = docker.details(&image.id).await else {
                continue;
            };
            let layers = details.layers.into_iter();
            let layers = layers.map(|it| (it.digest, it.size_bytes)).collect();
            all.of_images.insert(image.id.clone(), layers);
        }
        all
    }

    fn forget(&mut self, image: &Digest) {
        let layers = self.of_images.remove(image);
        self.gone.extend(layers.into_iter().flatten());
    }

    /// Of the layers that only images had which are gone.
    fn unused_bytes(&self) -> u64 {
        let is_used = |it: &Digest| self.of_images.values().any(|image| image.contains_key(it));
        let unused = self.gone.iter().filter(|it| !is_used(it.0));
        unused.map(|it| it.1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_image_has_is_not_reclaimed() {
        let digest =
            |digit: &str| -> Digest { format!("sha256:{}", digit.repeat(64)).parse().unwrap() };
        let mut layers = Layers::default();
        for (image, has) in [("a", &["1", "2"][..]), ("b", &["1", "3"]), ("c", &["2"])] {
            let has = has.iter().map(|it| (digest(it), 10)).collect();
            layers.of_images.insert(digest(image), has);
        }
        assert_eq!(layers.unused_bytes(), 0);
        layers.forget(&digest("a"));
        assert_eq!(layers.unused_bytes(), 0);
        layers.forget(&digest("c"));
        assert_eq!(layers.unused_bytes(), 10);
        layers.forget(&digest("b"));
        assert_eq!(layers.unused_bytes(), 30);
    }

    #[test]
    fn what_is_removed_is_dockers_choice() {
        let check = |named: bool, force: bool, names: usize, user: Option<bool>| {
            let planned = plan(&Asked {
                text: "rea:1",
                force,
                named,
                is_last: !named || names < 2,
                names,
                user: user.map(|runs| ("c", runs)),
                id: "i",
            });
            planned.map_err(|refusal| refusal.message)
        };
        let (by_name, by_id) = (true, false);
        assert_eq!(check(by_name, false, 1, None), Ok(Plan::Remove));
        assert_eq!(check(by_name, false, 2, Some(true)), Ok(Plan::Untag));
        // A name alone is taken from what is in use, if it is forced.
        assert_eq!(check(by_name, true, 1, Some(true)), Ok(Plan::UntagAll));
        assert_eq!(check(by_name, true, 1, Some(false)), Ok(Plan::UntagAll));
        let refused = check(by_name, false, 1, Some(true)).unwrap_err();
        assert!(refused.contains("\"rea:1\" (must force) - container c"));
        assert_eq!(check(by_id, false, 1, None), Ok(Plan::Remove));
        assert_eq!(check(by_id, true, 2, None), Ok(Plan::Remove));
        assert_eq!(check(by_id, true, 1, Some(false)), Ok(Plan::UntagAll));
        for (force, names, user, why) in [
            (false, 2, None, "multiple repositories"),
            (true, 1, Some(true), "(cannot be forced)"),
            (false, 1, Some(false), "(must be forced)"),
        ] {
            let refused = check(by_id, force, names, user).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
