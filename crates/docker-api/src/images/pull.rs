//! `POST /images/create`: pulling, and importing a root file system.

use engine::{Digest, Fault, ImageName, Reference, RegistryLogin};
use serde_json::json;

use super::{is_own_platform, load, own_platform};
use crate::answer::{Answer, Lines, Refusal};
use crate::docker::{Docker, RegistryUse};
use crate::events::Event;
use crate::names::{short, shown, shown_repository};
use crate::routes::Call;
use crate::system::login_of;

pub async fn create(call: Call) -> Answer {
    if let Some(source) = call.query.get("fromSrc") {
        if source != "-" {
            return Err(Refusal::not_built(format!("importing from `{source}`")));
        }
        return load::import(call).await;
    }
    let text = call
        .query
        .get("fromImage")
        .ok_or_else(|| Refusal::bad("say what to pull: `fromImage`"))?;
    let whole = match call.query.get("tag") {
        Some(digest) if digest.contains(':') => format!("{text}@{digest}"),
        Some(tag) => format!("{text}:{tag}"),
        None => text.to_owned(),
    };
    let name: ImageName = whole
        .parse()
        .map_err(|_| Refusal::bad(format!("invalid reference format: `{whole}`")))?;
    let platform = call.query.get("platform").unwrap_or_default().to_owned();
    if !is_own_platform(&platform) {
        return Err(Refusal::not_built(format!(
            "images for `{platform}` on {}",
            own_platform()
        )));
    }
    let login = login_of(&call)?;
    if call.docker.registry.is_own(&name.repository.host) {
        check_own(&call.docker, login.as_ref(), &name).await?;
    }
    let (lines, answer) = Lines::new();
    tokio::spawn(async move {
        let docker = &call.docker;
        let path = &name.repository.path;
        lines
            .say(json!({ "status": format!("Pulling from {path}"), "id": name.reference.to_string() }))
            .await;
        let before = docker.images.resolve(&docker.kept(&name)).await.ok();
        let pulled = tokio::select! {
            pulled = docker.images.pull(&name, login) => pulled,
            () = lines.closed() => return,
        };
        let outcome = match pulled {
            Ok(digest) => {
                finish(
                    docker,
                    &name,
                    &digest,
                    before.as_ref() == Some(&digest),
                    &lines,
                )
                .await
            }
            Err(error)
                if error.fault == Fault::NotFound
                    && docker.registry.is_own(&name.repository.host) =>
            {
                Err(Refusal::not_found(format!(
                    "manifest for {} not found: manifest unknown: Requested image not found",
                    shown(&name)
                )))
            }
            Err(error) => Err(error.into()),
        };
        if let Err(refusal) = outcome {
            lines.error(refusal.message).await;
        }
    });
    Ok(answer)
}

/// Whether an image of the embedded registry may be pulled with this login.
async fn check_own(
    docker: &Docker,
    login: Option<&RegistryLogin>,
    name: &ImageName,
) -> Result<(), Refusal> {
    let repository = &name.repository;
    let Some(login) = login.filter(|it| docker.registry.accepts(it)) else {
        return Err(Refusal::failed(format!(
            "Head \"https://{}/v2/{}/manifests/{}\": no basic auth credentials",
            repository.host, repository.path, name.reference
        )));
    };
    let refusal = (docker.registry)
        .refusal(login, RegistryUse::Pull, repository)
        .await;
    match refusal {
        None => Ok(()),
        Some(refusal) => Err(Refusal::not_found(format!(
            "pull access denied for {}, repository does not exist or may require 'docker login': {refusal}",
            shown_repository(repository).unwrap_or_default()
        ))),
    }
}

async fn finish(
    docker: &Docker,
    name: &ImageName,
    digest: &Digest,
    was_there: bool,
    lines: &Lines,
) -> Result<(), Refusal> {
    let kept = docker.kept(name);
    if kept != *name {
        docker.images.tag(name, &kept).await?;
    }
    let details = docker.details(digest).await?;
    for layer in &details.layers {
        let status = if was_there {
            "Already exists"
        } else {
            "Pull complete"
        };
        let id = short(layer.digest.as_str());
        lines
            .say(json!({ "status": status, "progressDetail": {}, "id": id }))
            .await;
    }
    lines.status(format!("Digest: {digest}")).await;
    let shown = match &name.reference {
        Reference::Tag(_) => shown(name),
        Reference::Digest(digest) => {
            format!(
                "{}@{digest}",
                shown_repository(&name.repository).unwrap_or_default()
            )
        }
    };
    let status = match was_there {
        true => format!("Status: Image is up to date for {shown}"),
        false => format!("Status: Downloaded newer image for {shown}"),
    };
    lines.status(status).await;
    docker
        .events
        .tell(Event::image("pull", &shown, Some(&shown)));
    Ok(())
}
