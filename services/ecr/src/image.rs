//! Images: what the engine's registry has, in ECR's words.

use cloud::{Cx, Error};
use engine::{Fault, ImageName, Reference, StoredManifest};
use shapes::ecr::errors::{
    ImageAlreadyExistsException, ImageDigestDoesNotMatchException, ImageNotFoundException,
    InvalidParameterException, LayersNotFoundException,
};
use shapes::ecr::*;

use crate::repository::{self, check_registry, place};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Every image of a repository, the newest first.
async fn stored(
    cx: &Cx,
    registry: Option<&String>,
    name: &str,
) -> Result<Vec<StoredManifest>, Error> {
    check_registry(cx, registry)?;
    cx.read(|tx| repository::get(cx, tx, name))?;
    let mut images = cx
        .engine()
        .images
        .manifests(&place(cx, name))
        .await
        .map_err(cloud::internal)?;
    images.sort_by(|a, b| {
        b.pushed_at_ms
            .cmp(&a.pushed_at_ms)
            .then(a.digest.cmp(&b.digest))
    });
    Ok(images)
}

fn has_status(image: &StoredManifest, status: Option<TagStatus>) -> bool {
    match status {
        None | Some(TagStatus::Any) => true,
        Some(TagStatus::Tagged) => !image.tags.is_empty(),
        Some(TagStatus::Untagged) => image.tags.is_empty(),
    }
}

fn is_meant(image: &StoredManifest, id: &ImageIdentifier) -> bool {
    let digest = id
        .image_digest
        .as_ref()
        .is_none_or(|it| it == image.digest.as_str());
    let tag = id
        .image_tag
        .as_ref()
        .is_none_or(|it| image.tags.contains(it));
    digest && tag && (id.image_digest.is_some() || id.image_tag.is_some())
}

fn page<T>(
    all: Vec<T>,
    token: Option<&String>,
    limit: Option<i32>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let from: usize = match token {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| InvalidParameterException.because("Invalid parameter at 'nextToken'"))?,
    };
    let limit = limit
        .and_then(|it| usize::try_from(it).ok())
        .unwrap_or(100)
        .clamp(1, 1000);
    let next = (all.len() > from.saturating_add(limit)).then(|| (from + limit).to_string());
    Ok((all.into_iter().skip(from).take(limit).collect(), next))
}

pub async fn list_images(cx: Cx, input: ListImagesInput) -> Result<ListImagesOutput, Error> {
    let images = stored(&cx, input.registry_id.as_ref(), &input.repository_name).await?;
    let status = input.filter.as_ref().and_then(|it| it.tag_status);
    let mut ids = Vec::new();
    for image in images.iter().filter(|it| has_status(it, status)) {
        let digest = Some(image.digest.to_string());
        if image.tags.is_empty() {
            ids.push(ImageIdentifier {
                image_digest: digest.clone(),
                image_tag: None,
            });
        }
        ids.extend(image.tags.iter().map(|tag| ImageIdentifier {
            image_digest: digest.clone(),
            image_tag: Some(tag.clone()),
        }));
    }
    let (image_ids, next_token) = page(ids, input.next_token.as_ref(), input.max_results)?;
    Ok(ListImagesOutput {
        image_ids: Some(image_ids),
        next_token,
    })
}

pub async fn describe_images(
    cx: Cx,
    input: DescribeImagesInput,
) -> Result<DescribeImagesOutput, Error> {
    let images = stored(&cx, input.registry_id.as_ref(), &input.repository_name).await?;
    for id in input.image_ids.iter().flatten() {
        if !images.iter().any(|it| is_meant(it, id)) {
            return Err(ImageNotFoundException.because(format!(
                "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository with name '{}' in the registry with id '{}'",
                id.image_digest.as_deref().unwrap_or("null"),
                id.image_tag.as_deref().unwrap_or("null"),
                input.repository_name,
                cx.account()
            )));
        }
    }
    let status = input.filter.as_ref().and_then(|it| it.tag_status);
    let wanted = |it: &&StoredManifest| {
        input
            .image_ids
            .as_ref()
            .is_none_or(|ids| ids.iter().any(|id| is_meant(it, id)))
            && has_status(it, status)
    };
    let detail = |it: &StoredManifest| ImageDetail {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name.clone()),
        image_digest: Some(it.digest.to_string()),
        image_tags: (!it.tags.is_empty()).then(|| it.tags.clone()),
        image_size_in_bytes: i64::try_from(it.size_bytes).ok(),
        image_pushed_at: Some(wire::Timestamp(it.pushed_at_ms as f64 / 1000.0)),
        image_manifest_media_type: Some(it.media_type.clone()),
        ..Default::default()
    };
    let details = images.iter().filter(wanted).map(detail).collect();
    let (image_details, next_token) = page(details, input.next_token.as_ref(), input.max_results)?;
    Ok(DescribeImagesOutput {
        image_details: Some(image_details),
        next_token,
    })
}

fn failure(id: &ImageIdentifier) -> ImageFailure {
    let (code, reason) = if id.image_digest.is_none() && id.image_tag.is_none() {
        (
            ImageFailureCode::MissingDigestAndTag,
            "Invalid request parameters: both tag and digest cannot be null",
        )
    } else {
        (ImageFailureCode::ImageNotFound, "Requested image not found")
    };
    ImageFailure {
        image_id: Some(id.clone()),
        failure_code: Some(code),
        failure_reason: Some(reason.into()),
    }
}

pub async fn batch_get_image(
    cx: Cx,
    input: BatchGetImageInput,
) -> Result<BatchGetImageOutput, Error> {
    let stored = stored(&cx, input.registry_id.as_ref(), &input.repository_name).await?;
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in &input.image_ids {
        match stored.iter().find(|it| is_meant(it, id)) {
            Some(found) => images.push(image(
                &cx,
                &input.repository_name,
                found,
                id.image_tag.clone(),
            )),
            None => failures.push(failure(id)),
        }
    }
    Ok(BatchGetImageOutput {
        images: Some(images),
        failures: Some(failures),
    })
}

fn image(cx: &Cx, repository: &str, found: &StoredManifest, tag: Option<String>) -> Image {
    Image {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(repository.to_owned()),
        image_id: Some(ImageIdentifier {
            image_digest: Some(found.digest.to_string()),
            image_tag: tag,
        }),
        image_manifest: Some(String::from_utf8_lossy(&found.bytes).into_owned()),
        image_manifest_media_type: Some(found.media_type.clone()),
    }
}

pub async fn batch_delete_image(
    cx: Cx,
    input: BatchDeleteImageInput,
) -> Result<BatchDeleteImageOutput, Error> {
    let stored = stored(&cx, input.registry_id.as_ref(), &input.repository_name).await?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for id in &input.image_ids {
        let Some(found) = stored.iter().find(|it| is_meant(it, id)) else {
            failures.push(failure(id));
            continue;
        };
        // By tag: the tag goes, and with the last one the image. By digest: the image goes.
        let reference = match (&id.image_digest, &id.image_tag) {
            (None, Some(tag)) if found.tags.len() > 1 => Reference::Tag(tag.clone()),
            _ => Reference::Digest(found.digest.clone()),
        };
        let name = ImageName {
            repository: place(&cx, &input.repository_name),
            reference,
        };
        cx.engine()
            .images
            .delete_manifest(&name)
            .await
            .map_err(cloud::internal)?;
        deleted.push(ImageIdentifier {
            image_digest: Some(found.digest.to_string()),
            image_tag: id.image_tag.clone(),
        });
    }
    Ok(BatchDeleteImageOutput {
        image_ids: Some(deleted),
        failures: Some(failures),
    })
}

pub async fn batch_check_layer_availability(
    cx: Cx,
    input: BatchCheckLayerAvailabilityInput,
) -> Result<BatchCheckLayerAvailabilityOutput, Error> {
    check_registry(&cx, input.registry_id.as_ref())?;
    cx.read(|tx| repository::get(&cx, tx, &input.repository_name))?;
    let mut layers = Vec::new();
    for digest in &input.layer_digests {
        let size = match digest.parse() {
            Ok(digest) => cx
                .engine()
                .images
                .has_blob(&digest)
                .await
                .map_err(cloud::internal)?,
            Err(_) => None,
        };
        layers.push(Layer {
            layer_digest: Some(digest.clone()),
            layer_availability: Some(match size {
                Some(_) => LayerAvailability::Available,
                None => LayerAvailability::Unavailable,
            }),
            layer_size: size.and_then(|it| i64::try_from(it).ok()),
            media_type: None,
        });
    }
    Ok(BatchCheckLayerAvailabilityOutput {
        layers: Some(layers),
        failures: Some(vec![]),
    })
}

pub async fn put_image(cx: Cx, input: PutImageInput) -> Result<PutImageOutput, Error> {
    let before = stored(&cx, input.registry_id.as_ref(), &input.repository_name).await?;
    let invalid = |error: engine::EngineError| match error.fault {
        Fault::NotFound => LayersNotFoundException.because(error.chain()),
        Fault::Invalid | Fault::Conflict => InvalidParameterException.because(error.chain()),
        Fault::Unreachable | Fault::Machine => cloud::internal(error),
    };
    let said = input
        .image_manifest_media_type
        .clone()
        .or_else(|| media_type_of(&input.image_manifest));
    let media_type = said.unwrap_or_else(|| MANIFEST.to_owned());
    let digest = digest_of(input.image_manifest.as_bytes());
    if input.image_digest.as_ref().is_some_and(|it| *it != digest) {
        return Err(ImageDigestDoesNotMatchException.because(
            "The specified image digest does not match the digest of the image manifest",
        ));
    }
    let tag = input.image_tag.clone();
    let known = before.iter().find(|it| it.digest.as_str() == digest);
    if known.is_some_and(|it| tag.as_ref().is_none_or(|tag| it.tags.contains(tag))) {
        return Err(ImageAlreadyExistsException.because(format!(
            "Image with digest '{digest}' and tag '{}' already exists in the repository with name '{}' in registry with id '{}'",
            tag.as_deref().unwrap_or("null"),
            input.repository_name,
            cx.account()
        )));
    }
    let reference = match &tag {
        Some(tag) => tag.parse().map_err(invalid)?,
        None => digest.parse().map_err(invalid)?,
    };
    let name = ImageName {
        repository: place(&cx, &input.repository_name),
        reference,
    };
    let images = &cx.engine().images;
    images
        .put_manifest(&name, &media_type, input.image_manifest.as_bytes())
        .await
        .map_err(invalid)?;
    let found = images.manifest(&name).await.map_err(cloud::internal)?;
    Ok(PutImageOutput {
        image: Some(image(&cx, &input.repository_name, &found, tag)),
    })
}

fn media_type_of(manifest: &str) -> Option<String> {
    let manifest: serde_json::Value = serde_json::from_str(manifest).ok()?;
    Some(manifest.get("mediaType")?.as_str()?.to_owned())
}

fn digest_of(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let hex: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}
