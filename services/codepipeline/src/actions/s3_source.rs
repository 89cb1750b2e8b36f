//! A source that is one object of a bucket with versions.

use std::collections::BTreeMap;

use shapes::s3::*;

use super::{CONFIGURATION, Progress, REVISION_UNAVAILABLE, Session, Trouble, artifacts};
use crate::act::failure;
use crate::record::{ActionRun, Revision};

/// The newest version of the object.
pub async fn newest(cx: &Session, bucket: &str, key: &str) -> Result<HeadObjectOutput, Trouble> {
    let versioning = GetBucketVersioningInput {
        bucket: bucket.to_owned(),
    };
    if cx.call(versioning).await?.status != Some(BucketVersioningStatus::Enabled) {
        return Err(Trouble::Failure(failure(
            CONFIGURATION,
            format!(
                "The Amazon S3 bucket {bucket} must have versioning enabled to be the source of a pipeline."
            ),
        )));
    }
    let input = HeadObjectInput {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        ..Default::default()
    };
    cx.call(input).await.map_err(|error| match error.status {
        404 => Trouble::Failure(failure(
            REVISION_UNAVAILABLE,
            format!("The object with key '{key}' does not exist in the bucket '{bucket}'."),
        )),
        _ => error.into(),
    })
}

pub async fn drive(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    let (bucket, key) = (
        run.required("S3Bucket").to_owned(),
        run.required("S3ObjectKey").to_owned(),
    );
    let version = match &run.revision_override {
        Some(version) => Some(version.clone()),
        None => newest(cx, &bucket, &key).await?.version_id,
    };
    let target = artifacts::output(run)?.clone();
    let input = GetObjectInput {
        bucket: bucket.clone(),
        key: key.clone(),
        version_id: version.clone(),
        ..Default::default()
    };
    let object = cx.call(input).await?;
    let body = object.body.unwrap_or_default().0;
    artifacts::write(cx, &target, body).await?;
    let version = object.version_id.or(version).unwrap_or_default();
    let summary = object
        .metadata
        .and_then(|it| it.get("codepipeline-artifact-revision-summary").cloned())
        .unwrap_or_else(|| format!("Amazon S3 version id: {version}"));
    run.external_id = Some(version.clone());
    run.summary = Some(summary.clone());
    run.revision = Some(Revision {
        action: run.declared.name.clone(),
        artifact: run
            .outputs
            .first()
            .map(|it| it.0.clone())
            .unwrap_or_default(),
        id: version.clone(),
        summary,
        url: None,
        created_ms: object.last_modified.map_or(0, |it| (it.0 * 1000.0) as i64),
    });
    run.variables = BTreeMap::from([
        ("BucketName".into(), bucket),
        ("ETag".into(), object.e_tag.unwrap_or_default()),
        ("ObjectKey".into(), key),
        ("VersionId".into(), version),
    ]);
    Ok(Progress::Succeeded)
}
