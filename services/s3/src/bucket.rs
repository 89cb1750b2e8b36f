//! Buckets: making, finding, listing and deleting them.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Records};

use crate::acl::Acl;
use crate::config::{Ownership, PublicAccess};
use crate::errors::*;
use crate::record::{
    Bucket, Object, Part, Upload, Version, bucket_key, object_key, ordered_key, parts_of_upload,
};
use crate::{names, versions};

/// The region that S3 calls by no name.
pub const FIRST_REGION: &str = "us-east-1";
/// How the first region in Europe was called before regions had names.
const OLD_EUROPE: &str = "EU";
/// Uploads that are given up with a bucket, at once.
const UPLOADS_PAGE: usize = 100;

#[derive(Debug, Default)]
pub struct NewBucket {
    pub name: String,
    /// `LocationConstraint`, as it was given.
    pub location: Option<String>,
    pub acl: Acl,
    pub ownership: Option<Ownership>,
    pub tags: BTreeMap<String, String>,
}

/// Who made it owns it, so making it again is an error, except in the first region, where S3 answers
/// success (API reference of `CreateBucket`), and for a request that is repeated.
pub fn create(cx: &Cx, new: NewBucket) -> Result<Bucket, Error> {
    names::check_bucket(&new.name)?;
    let region = region_for(cx, new.location.as_deref())?;
    let ownership = new.ownership.unwrap_or(Ownership::BucketOwnerEnforced);
    if !new.acl.is_private() && ownership == Ownership::BucketOwnerEnforced {
        return Err(InvalidBucketAclWithObjectOwnership.because(
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    if new.acl.is_public() {
        // A new bucket blocks public lists, so that a public one cannot be made in one step.
        return Err(InvalidBucketAclWithBlockPublicAccess
            .because("Bucket cannot have public ACLs set with BlockPublicAccess enabled"));
    }
    cx.write(|tx| {
        let repeated = |found: &Bucket| found.token.is_some() && found.token == cx.token;
        match tx.get::<Bucket>(&bucket_key(&new.name))? {
            Some(found) if repeated(&found) => return Ok(found),
            // Not for one who must know that it is new, as a stack must.
            Some(found)
                if cx.token.is_none() && region == FIRST_REGION && found.region == region =>
            {
                return Ok(found);
            }
            Some(_) => {
                return Err(BucketAlreadyOwnedByYou.because(
                    "Your previous request to create the named bucket succeeded and you already own it.",
                ).about("BucketName", &new.name));
            }
            None => {}
        }
        let bucket = Bucket {
            name: new.name.clone(),
            region: region.clone(),
            created_ms: cx.clock().now_ms(),
            token: cx.token.clone(),
            ownership: Some(ownership),
            public_access: Some(PublicAccess::BLOCKED),
            tags: new.tags.clone(),
            acl: new.acl.clone(),
            location_alias: new.location.clone().filter(|it| it == OLD_EUROPE),
            ..Bucket::default()
        };
        tx.put(&bucket)?;
        Ok(bucket)
    })
}

/// A request to the endpoint of one region makes buckets of no other.
fn region_for(cx: &Cx, location: Option<&str>) -> Result<String, Error> {
    let location = location.filter(|it| !it.is_empty());
    if let Some(wrong) = location.filter(|it| !is_location(it)) {
        return Err(InvalidLocationConstraint
            .because("The specified location-constraint is not valid")
            .about("LocationConstraint", wrong));
    }
    let location = location.map(|it| if it == OLD_EUROPE { "eu-west-1" } else { it });
    match (cx.region.as_str(), location) {
        (FIRST_REGION, None) => Ok(FIRST_REGION.to_owned()),
        (FIRST_REGION, Some(region)) => Ok(region.to_owned()),
        (endpoint, Some(region)) if endpoint == region => Ok(region.to_owned()),
        (_, Some(region)) => Err(IllegalLocationConstraint.because(format!(
            "The {region} location constraint is incompatible for the region specific endpoint this request was sent to."
        ))),
        (_, None) => Err(IllegalLocationConstraint.because(
            "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.",
        )),
    }
}

/// The first region cannot be named as a constraint.
fn is_location(text: &str) -> bool {
    text == OLD_EUROPE || (text != FIRST_REGION && crate::host::is_known_region(text))
}

pub fn find(tx: &Records<'_>, name: &str) -> Result<Bucket, Error> {
    tx.get(&bucket_key(name))?
        .ok_or_else(|| no_such_bucket(name))
}

pub fn get(cx: &Cx, name: &str) -> Result<Bucket, Error> {
    cx.read(|tx| find(tx, name))
}

/// Changes what a bucket is set to.
pub fn change<T>(
    cx: &Cx,
    name: &str,
    change: impl FnOnce(&mut Bucket) -> Result<T, Error>,
) -> Result<T, Error> {
    cx.write(|tx| {
        let mut bucket = find(tx, name)?;
        let answer = change(&mut bucket)?;
        tx.put(&bucket)?;
        Ok(answer)
    })
}

/// A page of buckets, and the name that the next page begins after.
pub struct Listed {
    pub buckets: Vec<Bucket>,
    pub next: Option<String>,
}

/// Buckets that are read at once while those of a region are looked for.
const LIST_BATCH: usize = 1000;

/// At most `limit` buckets after a name, of one region where that is said. A page is whole unless it is the
/// last one, however many buckets of other regions lie between.
pub fn list(
    cx: &Cx,
    prefix: &str,
    after: &str,
    limit: usize,
    region: Option<&str>,
) -> Result<Listed, Error> {
    let mut after = match after {
        "" => String::new(),
        after => bucket_key(after),
    };
    let is_wanted = |it: &Bucket| region.is_none_or(|region| it.region == region);
    let mut buckets: Vec<Bucket> = Vec::new();
    cx.read(|tx| {
        // One more than is shown says whether there is another page.
        while buckets.len() <= limit {
            let wanted = limit + 1 - buckets.len();
            let batch = wanted.min(LIST_BATCH);
            let page: Vec<Bucket> = tx.page(&bucket_key(prefix), &after, batch)?;
            let is_last = page.len() < batch;
            if let Some(last) = page.last() {
                after = bucket_key(&last.name);
            }
            buckets.extend(page.into_iter().filter(is_wanted));
            if is_last {
                break;
            }
        }
        Ok(())
    })?;
    let has_more = buckets.len() > limit;
    buckets.truncate(limit);
    let last = buckets.last().filter(|_| has_more);
    let next = last.map(|it| it.name.clone());
    Ok(Listed { buckets, next })
}

/// Only an empty bucket goes. Uploads that were not completed go with it.
pub fn delete(cx: &Cx, name: &str) -> Result<(), Error> {
    cx.write(|tx| {
        find(tx, name)?;
        let objects = object_key(name, "");
        let holds = !tx.page::<Object>(&objects, "", 1)?.is_empty();
        let held = !tx.page::<Version>(&ordered_key(name, ""), "", 1)?.is_empty();
        if holds || held {
            return Err(BucketNotEmpty.because(if holds {
                "The bucket you tried to delete is not empty"
            } else {
                "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
            })
            .about("BucketName", name));
        }
        loop {
            let uploads: Vec<Upload> = tx.page(&ordered_key(name, ""), "", UPLOADS_PAGE)?;
            if uploads.is_empty() {
                break;
            }
            for upload in uploads {
                give_up(tx, &upload)?;
            }
        }
        tx.delete::<Bucket>(&bucket_key(name))?;
        Ok(())
    })
}

/// Removes an upload and its parts.
pub fn give_up(tx: &Records<'_>, upload: &Upload) -> Result<(), Error> {
    for part in tx.list::<Part>(&parts_of_upload(&upload.id))? {
        versions::discard(tx, &part.content)?;
        tx.delete::<Part>(&cloud::Record::key(&part))?;
    }
    tx.delete::<Upload>(&cloud::Record::key(upload))?;
    Ok(())
}
