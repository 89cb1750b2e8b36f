//! Images, as the engine's repositories hold them.

use cloud::{Cx, Error};
use engine::{Fault, ImageName, Reference, StoredManifest};
use shapes::ecr::*;

use crate::names::{engine_error, find, image_name, in_registry, invalid, no_image};
use crate::page::page;
use crate::repository::{RepositoryRecord, images};
use crate::scan;

/// The media type of a manifest that names none.
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

pub fn repository(cx: &Cx, registry: Option<&str>, name: &str) -> Result<RepositoryRecord, Error> {
    cx.read(|tx| find(cx, tx, registry, name))
}

pub fn has_status(tags: &[String], wanted: Option<TagStatus>) -> bool {
    match wanted {
        None | Some(TagStatus::Any) => true,
        Some(TagStatus::Tagged) => !tags.is_empty(),
        Some(TagStatus::Untagged) => tags.is_empty(),
    }
}

fn identifier(digest: &engine::Digest, tag: Option<&String>) -> ImageIdentifier {
    ImageIdentifier {
        image_digest: Some(digest.to_string()),
        image_tag: tag.cloned(),
    }
}

/// One identifier for each tag; one without where there is none.
fn identifiers(image: &StoredManifest) -> Vec<ImageIdentifier> {
    if image.tags.is_empty() {
        return vec![identifier(&image.digest, None)];
    }
    let tags = image.tags.iter();
    tags.map(|tag| identifier(&image.digest, Some(tag)))
        .collect()
}

pub async fn list_images(cx: Cx, input: ListImagesInput) -> Result<ListImagesOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    let status = input.filter.and_then(|it| it.tag_status);
    let found = images(&cx, &repository).await?;
    let found = found.iter().filter(|it| has_status(&it.tags, status));
    let ids = found.flat_map(identifiers).collect();
    let key = |it: &ImageIdentifier| {
        let part = |it: &Option<String>| it.clone().unwrap_or_default();
        format!("{} {}", part(&it.image_digest), part(&it.image_tag))
    };
    let (ids, next_token) = page(ids, key, input.next_token.as_deref(), input.max_results);
    Ok(ListImagesOutput {
        image_ids: Some(ids),
        next_token,
    })
}

/// The image that an identifier names, without a look at others: both parts must fit where both are given.
pub async fn pick(
    cx: &Cx,
    repository: &RepositoryRecord,
    id: &ImageIdentifier,
) -> Result<Option<StoredManifest>, Error> {
    // What is no digest or tag names nothing.
    let Ok(name) = image_name(repository, id) else {
        return Ok(None);
    };
    let image = match cx.engine().images.manifest(&name).await {
        Err(error) if matches!(error.fault, Fault::NotFound | Fault::Invalid) => return Ok(None),
        other => other.map_err(cloud::internal)?,
    };
    let has_tag = (id.image_tag.as_ref()).is_none_or(|tag| image.tags.contains(tag));
    Ok(Some(image).filter(|_| has_tag))
}

/// The images that identifiers name, each once; the first that names none is told.
async fn pick_all(
    cx: &Cx,
    repository: &RepositoryRecord,
    ids: &[ImageIdentifier],
) -> Result<Vec<StoredManifest>, Error> {
    let mut found: Vec<StoredManifest> = Vec::with_capacity(ids.len());
    for id in ids {
        let image = pick(cx, repository, id).await?;
        let image = image.ok_or_else(|| no_image(cx, &repository.name, id))?;
        if !found.iter().any(|it| it.digest == image.digest) {
            found.push(image);
        }
    }
    Ok(found)
}

pub async fn describe_images(
    cx: Cx,
    input: DescribeImagesInput,
) -> Result<DescribeImagesOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    let status = input.filter.and_then(|it| it.tag_status);
    let mut found = match &input.image_ids {
        Some(ids) => pick_all(&cx, &repository, ids).await?,
        None => images(&cx, &repository).await?,
    };
    found.retain(|it| has_status(&it.tags, status));
    let key = |it: &StoredManifest| it.digest.to_string();
    let (found, next_token) = page(found, key, input.next_token.as_deref(), input.max_results);
    let shown = found.into_iter().map(|it| detail(&repository, it));
    Ok(DescribeImagesOutput {
        image_details: Some(shown.collect()),
        next_token,
    })
}

fn detail(repository: &RepositoryRecord, image: StoredManifest) -> ImageDetail {
    let time = |ms: i64| wire::Timestamp(ms as f64 / 1000.0);
    let manifest: serde_json::Value = serde_json::from_slice(&image.bytes).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    ImageDetail {
        artifact_media_type: text(&manifest["artifactType"])
            .or_else(|| text(&manifest["config"]["mediaType"])),
        subject_manifest_digest: text(&manifest["subject"]["digest"]),
        last_recorded_pull_time: image.pulled_at_ms.map(time),
        image_scan_status: repository.scan_on_push.then(scan::status),
        image_status: Some(ImageStatus::Active),
        registry_id: Some(repository.account.clone()),
        repository_name: Some(repository.name.clone()),
        image_digest: Some(image.digest.to_string()),
        image_tags: (!image.tags.is_empty()).then_some(image.tags),
        image_size_in_bytes: i64::try_from(image.size_bytes).ok(),
        image_pushed_at: Some(time(image.pushed_at_ms)),
        image_manifest_media_type: Some(image.media_type),
        ..Default::default()
    }
}

fn failure(id: &ImageIdentifier) -> ImageFailure {
    let named = id.image_digest.is_some() || id.image_tag.is_some();
    let (code, reason) = if named {
        (ImageFailureCode::ImageNotFound, "Requested image not found")
    } else {
        (
            ImageFailureCode::MissingDigestAndTag,
            "Invalid request parameters: both tag and digest cannot be null",
        )
    };
    ImageFailure {
        image_id: Some(id.clone()),
        failure_code: Some(code),
        failure_reason: Some(reason.into()),
    }
}

fn image(repository: &RepositoryRecord, stored: &StoredManifest, tag: Option<String>) -> Image {
    Image {
        registry_id: Some(repository.account.clone()),
        repository_name: Some(repository.name.clone()),
        image_id: Some(identifier(&stored.digest, tag.as_ref())),
        image_manifest: Some(String::from_utf8_lossy(&stored.bytes).into_owned()),
        image_manifest_media_type: Some(stored.media_type.clone()),
    }
}

pub async fn batch_get_image(
    cx: Cx,
    input: BatchGetImageInput,
) -> Result<BatchGetImageOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for id in &input.image_ids {
        match pick(&cx, &repository, id).await? {
            Some(it) => found.push(image(&repository, &it, id.image_tag.clone())),
            None => failures.push(failure(id)),
        }
    }
    Ok(BatchGetImageOutput {
        images: Some(found),
        failures: Some(failures),
    })
}

pub async fn batch_delete_image(
    cx: Cx,
    input: BatchDeleteImageInput,
) -> Result<BatchDeleteImageOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    let (mut gone, mut failures) = (Vec::new(), Vec::new());
    for mut id in input.image_ids {
        let Some(image) = pick(&cx, &repository, &id).await? else {
            failures.push(failure(&id));
            continue;
        };
        // With its last tag an image goes too.
        let whole = id.image_tag.is_none() || image.tags.len() == 1;
        if whole {
            let tag = id.image_tag.take();
            id.image_digest = Some(image.digest.to_string());
            gone.extend(match tag {
                Some(tag) => vec![identifier(&image.digest, Some(&tag))],
                None => identifiers(&image),
            });
        } else {
            id.image_digest = None;
            gone.push(identifier(&image.digest, id.image_tag.as_ref()));
        }
        let name = image_name(&repository, &id).map_err(engine_error)?;
        let images = &cx.engine().images;
        images.delete_manifest(&name).await.map_err(engine_error)?;
    }
    Ok(BatchDeleteImageOutput {
        image_ids: Some(gone),
        failures: Some(failures),
    })
}

pub async fn put_image(cx: Cx, input: PutImageInput) -> Result<PutImageOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    let bytes = input.image_manifest.as_bytes();
    let json: serde_json::Value = serde_json::from_str(&input.image_manifest)
        .map_err(|_| invalid("Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"))?;
    let media_type = input
        .image_manifest_media_type
        .or_else(|| json["mediaType"].as_str().map(str::to_owned))
        .unwrap_or_else(|| DOCKER_MANIFEST.to_owned());
    let digest = digest_of(bytes);
    if input
        .image_digest
        .as_ref()
        .is_some_and(|it| *it != digest.as_str())
    {
        return Err(errors::ImageDigestDoesNotMatchException
            .because("The image digest does not match the image manifest"));
    }
    let id = identifier(&digest, input.image_tag.as_ref());
    if pick(&cx, &repository, &id).await?.is_some() {
        return Err(errors::ImageAlreadyExistsException.because(format!(
            "Image with digest '{digest}' and tag '{}' already exists in the repository with name '{}' in registry with id '{}'",
            input.image_tag.as_deref().unwrap_or("null"),
            repository.name,
            repository.account
        )));
    }
    check_parts(&cx, &repository, &json).await?;
    let reference = match &input.image_tag {
        Some(tag) => tag.parse().map_err(engine_error)?,
        None => Reference::Digest(digest),
    };
    let name = ImageName {
        repository: repository.in_engine(),
        reference,
    };
    let store = &cx.engine().images;
    store
        .put_manifest(&name, &media_type, bytes)
        .await
        .map_err(|error| match (error.fault, &input.image_tag) {
            (Fault::NotFound, _) => errors::LayersNotFoundException.because(error.to_string()),
            (Fault::Conflict, Some(tag)) => errors::ImageTagAlreadyExistsException.because(format!(
                "The image tag '{tag}' already exists in the '{}' repository and cannot be overwritten because the tag is immutable.",
                repository.name
            )),
            _ => engine_error(error),
        })?;
    let stored = store.manifest(&name).await.map_err(engine_error)?;
    Ok(PutImageOutput {
        image: Some(image(&repository, &stored, input.image_tag)),
    })
}

/// Whether the repository has what a manifest names: its layers, or its images. Foreign layers are others'.
async fn check_parts(
    cx: &Cx,
    repository: &RepositoryRecord,
    manifest: &serde_json::Value,
) -> Result<(), Error> {
    let digests = |list: &serde_json::Value| -> Vec<engine::Digest> {
        let parts = list.as_array().into_iter().flatten();
        let own = parts.filter(|it| {
            let kind = it["mediaType"].as_str().unwrap_or_default();
            !kind.contains(".foreign.") && !kind.contains(".nondistributable.")
        });
        own.filter_map(|it| it["digest"].as_str()?.parse().ok())
            .collect()
    };
    let mut layers = digests(&manifest["layers"]);
    layers.extend(
        manifest["config"]["digest"]
            .as_str()
            .and_then(|it| it.parse().ok()),
    );
    let in_engine = repository.in_engine();
    let missing = async |wanted: Vec<engine::Digest>| -> Result<Vec<String>, Error> {
        let mut missing = Vec::new();
        for digest in wanted {
            let held = cx.engine().images.held_blob(&in_engine, &digest).await;
            if held.map_err(engine_error)?.is_none() {
                missing.push(digest.to_string());
            }
        }
        Ok(missing)
    };
    let told = |what: &str, missing: &[String]| {
        let list = missing.join(", ");
        let required =
            format!("{what} with digests '[{list}]' required for pushing image into repository");
        in_registry(cx, &required, &repository.name, "in") + " do not exist"
    };
    let layers = missing(layers).await?;
    if !layers.is_empty() {
        return Err(errors::LayersNotFoundException.because(told("Layers", &layers)));
    }
    let images = missing(digests(&manifest["manifests"])).await?;
    if !images.is_empty() {
        return Err(errors::ReferencedImagesNotFoundException.because(told("Images", &images)));
    }
    Ok(())
}

fn digest_of(bytes: &[u8]) -> engine::Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let hex: String = digest
        .as_ref()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    format!("sha256:{hex}")
        .parse()
        .expect("a SHA-256 is 64 digits")
}

pub async fn batch_check_layer_availability(
    cx: Cx,
    input: BatchCheckLayerAvailabilityInput,
) -> Result<BatchCheckLayerAvailabilityOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    let in_engine = repository.in_engine();
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for text in input.layer_digests {
        let Ok(digest) = text.parse::<engine::Digest>() else {
            failures.push(LayerFailure {
                layer_digest: Some(text),
                failure_code: Some(LayerFailureCode::InvalidLayerDigest),
                failure_reason: Some("Invalid layer digest".into()),
            });
            continue;
        };
        let size = cx.engine().images.held_blob(&in_engine, &digest).await;
        // The engine makes the repository's place a little after its record.
        let size = match size {
            Err(error) if error.fault == Fault::NotFound => None,
            other => other.map_err(engine_error)?,
        };
        let availability = match size {
            Some(_) => LayerAvailability::Available,
            None => LayerAvailability::Unavailable,
        };
        layers.push(Layer {
            layer_digest: Some(text),
            layer_availability: Some(availability),
            layer_size: size.and_then(|it| i64::try_from(it).ok()),
            media_type: None,
        });
    }
    Ok(BatchCheckLayerAvailabilityOutput {
        layers: Some(layers),
        failures: Some(failures),
    })
}
