//! How repositories and images are named, and the errors that name them.

use cloud::{Cx, Error, Records};
use engine::{Digest, EngineError, Fault, ImageName, Reference};
use shapes::ecr::{ImageIdentifier, errors};

use crate::repository::RepositoryRecord;

/// The registry of the caller's region.
pub fn registry_host(cx: &Cx) -> String {
    format!("{}.dkr.ecr.{}.amazonaws.com", cx.account(), cx.region)
}

pub fn invalid(message: impl Into<String>) -> Error {
    errors::InvalidParameterException.because(message)
}

/// A feature that is not built.
pub fn unsupported(what: impl std::fmt::Display) -> Error {
    shapes::ecr::MODEL.unsupported(what)
}

/// There is one registry: the account's own.
pub fn own_registry(cx: &Cx, given: Option<&str>) -> Result<(), Error> {
    match given {
        Some(id) if id != cx.account() => Err(invalid(format!(
            "registry `{id}` belongs to another account, and neargate has this one only"
        ))),
        _ => Ok(()),
    }
}

/// ` with name '…' … in the registry with id '…'`, as all of ECR's messages end.
pub fn in_registry(cx: &Cx, before: &str, name: &str, after: &str) -> String {
    format!(
        "{before} with name '{name}' {after} the registry with id '{}'",
        cx.account()
    )
}

pub fn no_repository(cx: &Cx, name: &str) -> Error {
    errors::RepositoryNotFoundException.because(in_registry(
        cx,
        "The repository",
        name,
        "does not exist in",
    ))
}

pub fn no_image(cx: &Cx, repository: &str, id: &ImageIdentifier) -> Error {
    let (digest, tag) = (id.image_digest.as_deref(), id.image_tag.as_deref());
    let image = format!(
        "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository",
        digest.unwrap_or("null"),
        tag.unwrap_or("null")
    );
    errors::ImageNotFoundException.because(in_registry(cx, &image, repository, "in"))
}

/// The repository, when it is there and the caller asks for the right registry.
pub fn find(
    cx: &Cx,
    tx: &Records<'_>,
    registry: Option<&str>,
    name: &str,
) -> Result<RepositoryRecord, Error> {
    own_registry(cx, registry)?;
    let found: Option<RepositoryRecord> = tx.get(&cx.key(name))?;
    found
        .filter(|it| !it.deleting)
        .ok_or_else(|| no_repository(cx, name))
}

/// What an identifier names: the digest where both are given, as the tag is then only checked.
pub fn image_name(
    repository: &RepositoryRecord,
    id: &ImageIdentifier,
) -> Result<ImageName, EngineError> {
    let reference = match (&id.image_digest, &id.image_tag) {
        (Some(digest), _) => Reference::Digest(digest.parse::<Digest>()?),
        (None, Some(tag)) => tag.parse()?,
        (None, None) => return Err(EngineError::invalid("an image needs a digest or a tag")),
    };
    Ok(ImageName {
        repository: repository.in_engine(),
        reference,
    })
}

pub fn engine_error(error: EngineError) -> Error {
    match error.fault {
        Fault::Invalid => invalid(error.to_string()),
        _ => cloud::internal(error),
    }
}
