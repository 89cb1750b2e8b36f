//! Removing names and images.

use engine::{Digest, ImageName, Reference, Repository};
use serde_json::{Value, json};

use super::{LocalImage, no_such};
use crate::answer::{self, Answer, Refusal};
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
    let mut told = Vec::new();
    match found.name {
        // One name of several: the image stays.
        Some(name) if image.names.iter().any(|it| *it != name) => {
            untag(docker, &image.id, &name, &mut told).await?;
            let repository = &name.repository;
            let others = image.names.iter().filter(|it| **it != name);
            if !others.into_iter().any(|it| it.repository == *repository) {
                forget(docker, &image.id, repository).await?;
            }
        }
        name => {
            if name.is_none() && image.names.len() > 1 && !force {
                return Err(Refusal::conflict(format!(
                    "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
                    short(image.id.as_str())
                )));
            }
            if is_needed(docker, &image, force)? {
                untag_all(docker, &image, &mut told).await?;
            } else {
                remove_whole(docker, &image, &mut told).await?;
            }
        }
    }
    answer::ok(json!(told))
}

/// Whether a container has the image. One that runs keeps its names too; one that does not gives
/// them up to force.
fn is_needed(docker: &Docker, image: &LocalImage, force: bool) -> Result<bool, Refusal> {
    let Some((container, running)) = docker.containers.user_of_image(&image.id) else {
        return Ok(false);
    };
    if running {
        return Err(Refusal::conflict(format!(
            "conflict: unable to delete {} (cannot be forced) - image is being used by running container {}",
            short(image.id.as_str()),
            short(&container)
        )));
    }
    if force {
        return Ok(true);
    }
    Err(Refusal::conflict(format!(
        "conflict: unable to delete {} (must be forced) - image is being used by stopped container {}",
        short(image.id.as_str()),
        short(&container)
    )))
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
    let filters = call.query.filters(&["dangling", "label", "until"])?;
    if !filters.get("until").is_empty() || !filters.get("label").is_empty() {
        return Err(Refusal::not_built("pruning images by label or time"));
    }
    let dangling_only = filters.flag("dangling").unwrap_or(true);
    let docker = &call.docker;
    let mut told = Vec::new();
    for image in docker.local_images().await? {
        let unwanted = image.names.is_empty() || !dangling_only;
        if unwanted && docker.containers.user_of_image(&image.id).is_none() {
            remove_whole(docker, &image, &mut told).await?;
        }
    }
    // Content is shared, and taken away later, when it was unused for a while.
    answer::ok(json!({ "ImagesDeleted": told, "SpaceReclaimed": 0 }))
}
