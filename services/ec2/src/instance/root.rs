//! Where the root file system of an image comes from: an image that was imported for it (`ami/debian-12`),
//! one that was imported for all of them (`ami/any`), or a public container image of the same distribution.

use cloud::{Cx, Error};
use engine::{EngineError, ImageName, PreparedImage};

use super::catalogue::CatalogueImage;
use super::record::InstanceRecord;
use crate::errors::InvalidAmiIdUnavailable;

/// The image that stands for all, when somebody imported it.
const ANY: &str = "ami/any";

fn names(image: &CatalogueImage) -> Result<Vec<ImageName>, EngineError> {
    let of = image.distribution;
    // One for ECS is the plain one, with an agent that is not the image's here.
    let plain = of.own.strip_suffix("-ecs");
    let all = [Some(of.own), plain, Some(ANY), Some(of.public)];
    all.into_iter().flatten().map(str::parse).collect()
}

/// The one that is here, or may be had.
async fn find(cx: &Cx, image: &CatalogueImage) -> Result<ImageName, EngineError> {
    let images = &cx.engine().images;
    let names = names(image)?;
    for name in &names {
        if images.resolve(name).await.is_ok() {
            return Ok(name.clone());
        }
    }
    let public = names.into_iter().next_back();
    let public = public.ok_or_else(|| EngineError::not_found("there is no public image"))?;
    images.pull(&public, None).await?;
    Ok(public)
}

/// Sees to it that there is a root file system, before anybody is told that an instance runs.
pub async fn ensure(cx: &Cx, image: &CatalogueImage) -> Result<(), Error> {
    match find(cx, image).await {
        Ok(_) => Ok(()),
        Err(error) => Err(InvalidAmiIdUnavailable.because(format!(
            "The image ID '{}' ({}) has no root file system here: `{}` cannot be pulled: {}. Make one with \
             `bin/instance-image FILE` and import it with `neargate image import FILE {}`, or with the name \
             `{ANY}` for all images",
            image.id,
            image.name,
            image.distribution.public,
            error.chain(),
            image.distribution.own,
        ))),
    }
}

/// Makes the root ready: for an instance that was started before, the same again.
pub async fn prepare(
    cx: &Cx,
    instance: &InstanceRecord,
    image: &CatalogueImage,
) -> Result<PreparedImage, EngineError> {
    match &instance.root {
        Some(digest) => cx.engine().images.prepare_digest(&digest.parse()?).await,
        None => {
            let name = find(cx, image).await?;
            cx.engine().images.prepare(&name, None).await
        }
    }
}
