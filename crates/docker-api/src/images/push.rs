//! `POST /images/{name}/push`: into the embedded registry. Content is shared with it, so a push is
//! a name there, once the registry's rules are met.

use std::collections::HashSet;

use engine::{Digest, ImageName, Reference, RegistryLogin};
use serde_json::json;

use crate::answer::{Answer, Lines, Refusal};
use crate::docker::{Docker, RegistryUse};
use crate::events::Event;
use crate::names::{short, shown, shown_repository};
use crate::routes::Call;
use crate::system::login_of;

pub async fn push(call: Call, text: &str) -> Answer {
    let docker = &call.docker;
    let name: ImageName = match call.query.get("tag") {
        Some(tag) => format!("{text}:{tag}").parse(),
        None => text.parse(),
    }
    .map_err(|_| Refusal::bad(format!("invalid reference format: `{text}`")))?;
    if !docker.registry.is_own(&name.repository.host) {
        return Err(Refusal::not_built(format!(
            "pushing to `{}` (only to the registry of this machine)",
            name.repository.host
        )));
    }
    let login = login_of(&call)?;
    let kept = docker.kept(&name).repository;
    let manifests = docker.images.manifests(&kept).await;
    if Docker::is_absent(&manifests) {
        return Err(no_image(&name));
    }
    let tags = manifests?.into_iter().flat_map(|it| it.tags);
    // Without a tag, all of them.
    let tags: Vec<String> = match call.query.get("tag") {
        Some(tag) => tags.filter(|it| it == tag).collect(),
        None => tags.collect(),
    };
    if tags.is_empty() {
        return Err(no_image(&name));
    }
    let (lines, answer) = Lines::new();
    tokio::spawn(async move {
        let repository = shown_repository(&name.repository).unwrap_or_default();
        lines
            .status(format!("The push refers to repository [{repository}]"))
            .await;
        let outcome = match &login {
            None => Err(Refusal::unauthorized("no basic auth credentials")),
            Some(login) if !call.docker.registry.accepts(login) => Err(Refusal::unauthorized(
                "denied: Your authorization token has expired. Reauthenticate and try again.",
            )),
            Some(login) => push_tags(&call.docker, login, &name, &tags, &lines).await,
        };
        if let Err(refusal) = outcome {
            lines.error(refusal.message).await;
        }
    });
    Ok(answer)
}

fn no_image(name: &ImageName) -> Refusal {
    Refusal::not_found(format!(
        "An image does not exist locally with the tag: {}",
        shown_repository(&name.repository).unwrap_or_default()
    ))
}

async fn push_tags(
    docker: &Docker,
    login: &RegistryLogin,
    name: &ImageName,
    tags: &[String],
    lines: &Lines,
) -> Result<(), Refusal> {
    let registry = &docker.registry;
    let refusal = registry.refusal(login, RegistryUse::Push, &name.repository);
    if let Some(refusal) = refusal.await {
        return Err(Refusal::not_found(refusal));
    }
    for tag in tags {
        let to = ImageName {
            repository: name.repository.clone(),
            reference: Reference::Tag(tag.clone()),
        };
        push_one(docker, &to, tag, lines).await?;
    }
    Ok(())
}

async fn push_one(
    docker: &Docker,
    to: &ImageName,
    tag: &str,
    lines: &Lines,
) -> Result<(), Refusal> {
    let from = docker.kept(to);
    let id = docker.images.resolve(&from).await?;
    let details = docker.details(&id).await?;
    let there = pushed_layers(docker, to).await?;
    let line = |digest: &Digest, status: &str| json!({ "status": status, "progressDetail": {}, "id": short(digest.as_str()) });
    for layer in &details.layers {
        lines.say(line(&layer.digest, "Preparing")).await;
    }
    let digest = docker.images.tag(&from, to).await?;
    for layer in &details.layers {
        let status = match there.contains(&layer.digest) {
            true => "Layer already exists",
            false => "Pushed",
        };
        lines.say(line(&layer.digest, status)).await;
    }
    let size = docker.images.has_blob(&digest).await?.unwrap_or_default();
    lines
        .status(format!("{tag}: digest: {digest} size: {size}"))
        .await;
    lines
        .say(json!({ "progressDetail": {}, "aux": { "Tag": tag, "Digest": digest, "Size": size } }))
        .await;
    let name = shown(to);
    docker.events.tell(Event::image("push", &name, Some(&name)));
    Ok(())
}

/// Layers of the images that the repository has already.
async fn pushed_layers(docker: &Docker, to: &ImageName) -> Result<HashSet<Digest>, Refusal> {
    let mut layers = HashSet::new();
    for manifest in docker.images.manifests(&to.repository).await? {
        // An image in parts, or one that is something else, has none that count.
        if let Ok(details) = docker.details(&manifest.digest).await {
            layers.extend(details.layers.into_iter().map(|it| it.digest));
        }
    }
    Ok(layers)
}
