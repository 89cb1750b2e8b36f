//! What is put on objects that are there: tags, and lists of grants.

use cloud::{Cx, Error};
use s3s::S3Request;
use s3s::dto::*;

use super::{convert, grants};
use crate::names::{self, Tagged};
use crate::record::Object;
use crate::{get, versions};

pub async fn get_tags(
    cx: Cx,
    request: S3Request<GetObjectTaggingInput>,
) -> Result<GetObjectTaggingOutput, Error> {
    let input = request.input;
    let object = get::object(&cx, &input.bucket, &input.key, input.version_id.as_deref())?;
    Ok(GetObjectTaggingOutput {
        tag_set: convert::tags(object.tags),
        version_id: object.version,
    })
}

pub async fn put_tags(
    cx: Cx,
    request: S3Request<PutObjectTaggingInput>,
) -> Result<PutObjectTaggingOutput, Error> {
    let input = request.input;
    let tags = names::tags(convert::pairs(input.tagging.tag_set), Tagged::Object)?;
    let version = input.version_id.as_deref();
    let object = change(&cx, &input.bucket, &input.key, version, |object| {
        object.tags = tags;
    })?;
    Ok(PutObjectTaggingOutput {
        version_id: object.version,
    })
}

pub async fn delete_tags(
    cx: Cx,
    request: S3Request<DeleteObjectTaggingInput>,
) -> Result<DeleteObjectTaggingOutput, Error> {
    let input = request.input;
    let version = input.version_id.as_deref();
    let object = change(&cx, &input.bucket, &input.key, version, |object| {
        object.tags.clear();
    })?;
    Ok(DeleteObjectTaggingOutput {
        version_id: object.version,
    })
}

fn change(
    cx: &Cx,
    bucket: &str,
    key: &str,
    version: Option<&str>,
    change: impl FnOnce(&mut Object),
) -> Result<Object, Error> {
    cx.write(|tx| {
        crate::bucket::find(tx, bucket)?;
        let mut object = versions::read(tx, bucket, key, version)?;
        change(&mut object);
        versions::put_back(tx, object.clone())?;
        Ok(object)
    })
}

pub async fn get_acl(
    cx: Cx,
    request: S3Request<GetObjectAclInput>,
) -> Result<GetObjectAclOutput, Error> {
    let input = request.input;
    let object = get::object(&cx, &input.bucket, &input.key, input.version_id.as_deref())?;
    Ok(GetObjectAclOutput {
        grants: Some(grants::shown(cx.account(), object.acl)),
        owner: Some(convert::owner(cx.account())),
        ..Default::default()
    })
}

pub async fn put_acl(
    cx: Cx,
    request: S3Request<PutObjectAclInput>,
) -> Result<PutObjectAclOutput, Error> {
    let input = request.input;
    let head = grants::list_of!(cx, input, with_write)?;
    let acl = grants::of_put(head, input.access_control_policy, cx.account())?;
    cx.write(|tx| {
        let bucket = crate::bucket::find(tx, &input.bucket)?;
        crate::access::check_acl(&bucket, &acl)?;
        let version = input.version_id.as_deref();
        let mut object = versions::read(tx, &input.bucket, &input.key, version)?;
        object.acl = acl;
        versions::put_back(tx, object)
    })?;
    Ok(PutObjectAclOutput::default())
}
