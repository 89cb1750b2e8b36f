//! What becomes of a build: an image with names, or without.

use std::collections::BTreeMap;

use buildkit::grpc::Status;
use engine::{Digest, ImageName};

use super::failed;
use super::progress::Progress;
use crate::build::names_of;
use crate::docker::Docker;
use crate::events::Event;
use crate::names::shown;

/// The names as they are kept, refused before anything is built.
pub fn names(docker: &Docker, names: &[String]) -> Result<Vec<ImageName>, Status> {
    let names = names.iter().map(String::as_str);
    Ok(names_of(names, |name| docker.kept(name))?)
}

/// Gives a finished image its names, and says what the client is told of it.
pub async fn export(
    docker: &Docker,
    progress: &Progress,
    digest: &Digest,
    names: &[ImageName],
) -> Result<BTreeMap<String, String>, Status> {
    let step = progress.begin("exporting to image");
    step.part("exporting layers", 0, true);
    step.part(&format!("writing image {digest}"), 0, true);
    let outcome = give_names(docker, digest, names).await;
    if let Err(error) = outcome {
        step.end(Some(error.chain()));
        return Err(failed(error));
    }
    for name in names {
        step.part(&format!("naming to {name}"), 0, true);
    }
    step.end(None);
    let mut told = BTreeMap::from([("containerimage.digest".to_owned(), digest.to_string())]);
    if !names.is_empty() {
        let names: Vec<String> = names.iter().map(ImageName::to_string).collect();
        told.insert("image.name".to_owned(), names.join(","));
    }
    Ok(told)
}

async fn give_names(docker: &Docker, digest: &Digest, names: &[ImageName]) -> engine::Result<()> {
    if names.is_empty() {
        return docker.keep_unnamed(digest).await;
    }
    for name in names {
        docker.name_digest(digest, name).await?;
        let event = Event::image("tag", digest.as_str(), Some(&shown(name)));
        docker.events.tell(event);
    }
    Ok(())
}
