//! A source that is an image of a repository: `imageDetail.json` is what it gives out.

use std::collections::BTreeMap;

use serde_json::json;
use shapes::ecr::*;

use super::{Progress, Session, Trouble, artifacts};
use crate::record::{ActionRun, Revision};

const TAG_DEFAULT: &str = "latest";
const FILE: &str = "imageDetail.json";

pub fn tag(given: Option<&str>) -> String {
    given
        .filter(|it| !it.is_empty())
        .unwrap_or(TAG_DEFAULT)
        .to_owned()
}

/// The image that the tag, or the digest, is of.
pub async fn find(
    cx: &Session,
    repository: &str,
    id: ImageIdentifier,
) -> Result<ImageDetail, Trouble> {
    let input = DescribeImagesInput {
        repository_name: repository.to_owned(),
        image_ids: Some(vec![id]),
        ..Default::default()
    };
    let found = cx.call(input).await?.image_details.unwrap_or_default();
    found
        .into_iter()
        .next()
        .ok_or_else(|| Trouble::configuration("The image does not exist."))
}

pub async fn drive(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    let repository = run.required("RepositoryName").to_owned();
    let tag = tag(run.setting("ImageTag"));
    let id = match &run.revision_override {
        Some(digest) => ImageIdentifier {
            image_digest: Some(digest.clone()),
            image_tag: None,
        },
        None => ImageIdentifier {
            image_digest: None,
            image_tag: Some(tag.clone()),
        },
    };
    let image = find(cx, &repository, id).await?;
    let digest = image.image_digest.unwrap_or_default();
    let (account, region) = (cx.account(), &cx.region);
    let uri = format!("{account}.dkr.ecr.{region}.amazonaws.com/{repository}@{digest}");
    let pushed = image.image_pushed_at.map_or(0.0, |it| it.0);
    let detail = json!({
        "ImageSizeInBytes": image.image_size_in_bytes.unwrap_or_default().to_string(),
        "ImageDigest": digest,
        "Version": "1.0",
        "ImagePushedAt": wire::Timestamp(pushed).to_string(),
        "RegistryId": cx.account(),
        "RepositoryName": repository,
        "ImageURI": uri,
        "ImageTags": image.image_tags.unwrap_or_default(),
    });
    let target = artifacts::output(run)?.clone();
    artifacts::write_file(cx, run, &target, FILE, detail.to_string().as_bytes()).await?;
    run.external_id = Some(digest.clone());
    run.summary = Some(format!("Image digest: {digest}"));
    run.revision = Some(Revision {
        action: run.declared.name.clone(),
        artifact: run
            .outputs
            .first()
            .map(|it| it.0.clone())
            .unwrap_or_default(),
        id: digest.clone(),
        summary: format!("Image digest: {digest}"),
        url: None,
        created_ms: (pushed * 1000.0) as i64,
    });
    run.variables = BTreeMap::from([
        ("ImageDigest".into(), digest),
        ("ImageTag".into(), tag),
        ("ImageURI".into(), uri),
        ("RegistryId".into(), cx.account().to_owned()),
        ("RepositoryName".into(), repository),
    ]);
    Ok(Progress::Succeeded)
}
