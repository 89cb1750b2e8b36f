//! Scans of images. There is no scanner, which is what is told of an image that was to be scanned.

use cloud::{Cx, Error};
use shapes::ecr::*;

use crate::image::{pick, repository};
use crate::names::{in_registry, no_image, unsupported};
use crate::repository::RepositoryRecord;

/// Of an image in a repository that is scanned on push.
pub fn status() -> ImageScanStatus {
    ImageScanStatus {
        status: Some(ScanStatus::Failed),
        description: Some(
            "The image was not scanned: neargate has no scanner of images.".to_owned(),
        ),
    }
}

/// The image that is asked about, by both of its names.
async fn image(
    cx: &Cx,
    repository: &RepositoryRecord,
    id: &ImageIdentifier,
) -> Result<ImageIdentifier, Error> {
    let found = pick(cx, repository, id).await?;
    let found = found.ok_or_else(|| no_image(cx, &repository.name, id))?;
    Ok(ImageIdentifier {
        image_digest: Some(found.digest.to_string()),
        image_tag: id.image_tag.clone(),
    })
}

pub async fn describe_image_scan_findings(
    cx: Cx,
    input: DescribeImageScanFindingsInput,
) -> Result<DescribeImageScanFindingsOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    let image = image(&cx, &repository, &input.image_id).await?;
    if !repository.scan_on_push {
        let what = format!(
            "Image scan does not exist for the image with '{{imageDigest:'{}', imageTag:'{}'}}' in the repository",
            image.image_digest.unwrap_or_default(),
            image.image_tag.as_deref().unwrap_or("null")
        );
        let why = in_registry(&cx, &what, &repository.name, "in");
        return Err(errors::ScanNotFoundException.because(why));
    }
    Ok(DescribeImageScanFindingsOutput {
        registry_id: Some(repository.account),
        repository_name: Some(repository.name),
        image_id: Some(image),
        image_scan_status: Some(status()),
        ..Default::default()
    })
}

pub async fn start_image_scan(
    cx: Cx,
    input: StartImageScanInput,
) -> Result<StartImageScanOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    image(&cx, &repository, &input.image_id).await?;
    Err(unsupported("scanning an image"))
}
