//! Deleting objects.

use cloud::{Cx, Error};

use crate::record::Object;
use crate::versions::{self, Deleted};
use crate::{bucket, names};

pub fn delete(
    cx: &Cx,
    name: &str,
    key: &str,
    version: Option<&str>,
    if_match: Option<&str>,
) -> Result<Deleted, Error> {
    names::check_key(key)?;
    cx.write(|tx| {
        let bucket = bucket::find(tx, name)?;
        if let Some(wanted) = if_match {
            let current: Option<Object> = versions::current(tx, name, key)?;
            let current = current.ok_or_else(|| crate::errors::no_such_key(key))?;
            if wanted != "*" && wanted != current.etag {
                return Err(crate::errors::precondition_failed("If-Match"));
            }
        }
        match version {
            Some(id) => versions::delete_version(tx, &bucket, key, id),
            None => versions::delete(cx, tx, &bucket, key),
        }
    })
}

/// One of several.
pub struct Doomed {
    pub key: String,
    pub version: Option<String>,
    pub if_match: Option<String>,
}

/// Many in one transaction: what cannot be deleted does not keep the others.
pub fn delete_many(
    cx: &Cx,
    name: &str,
    doomed: &[Doomed],
) -> Result<Vec<Result<Deleted, Error>>, Error> {
    cx.write(|tx| {
        let bucket = bucket::find(tx, name)?;
        let mut outcomes = Vec::new();
        for it in doomed {
            let outcome = names::check_key(&it.key).and_then(|()| {
                if let Some(wanted) = &it.if_match {
                    let current = versions::current(tx, name, &it.key)?;
                    if current.is_none_or(|it| it.etag != *wanted && wanted != "*") {
                        return Err(crate::errors::precondition_failed("If-Match"));
                    }
                }
                match &it.version {
                    Some(id) => versions::delete_version(tx, &bucket, &it.key, id),
                    None => versions::delete(cx, tx, &bucket, &it.key),
                }
            });
            // Only the store's own trouble ends the transaction.
            match outcome {
                Err(error) if error.status >= 500 => return Err(error),
                outcome => outcomes.push(outcome),
            }
        }
        Ok(outcomes)
    })
}
