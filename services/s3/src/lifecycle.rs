//! Lifecycles: what their rules say is deleted, is deleted, by real days.
//!
//! Days are counted as S3 does: from the object's own time, up to the next midnight (UTC). A bucket
//! with rules is looked at once an hour.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};

use crate::bucket;
use crate::config::{Filter, Lifecycle};
use crate::door::{http_date, url_encoded};
use crate::errors::*;
use crate::list::{self, Entry, Listed, Query};
use crate::record::{Bucket, Object, Upload, Versioning, bucket_key};
use crate::versions;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);
/// API reference of `PutBucketLifecycleConfiguration`.
const RULES_MAX: usize = 1000;
/// What is looked at, and deleted, in one transaction.
const PAGE: usize = 500;

pub fn check(rules: &[Lifecycle]) -> Result<(), Error> {
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(malformed());
    }
    let mut ids: Vec<&str> = rules.iter().map(|it| it.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < rules.len() {
        return Err(
            InvalidArgument.because("Rule ID must be unique. Found same ID for more than one rule")
        );
    }
    for rule in rules {
        let invalid = |why: &str| Err(InvalidArgument.because(why.to_owned()));
        let days = [
            rule.expire_days,
            rule.noncurrent_days,
            rule.abort_uploads_days,
        ];
        if days.iter().flatten().any(|it| *it < 1) {
            return invalid("'Days' for Expiration action must be a positive integer");
        }
        let expirations = [
            rule.expire_days.is_some(),
            rule.expire_date_ms.is_some(),
            rule.expire_markers,
        ];
        if expirations.iter().filter(|it| **it).count() > 1 {
            return Err(malformed());
        }
        let acts = expirations.contains(&true)
            || rule.keeps_markers
            || rule.noncurrent_days.is_some()
            || rule.abort_uploads_days.is_some();
        if !acts {
            return Err(
                InvalidRequest.because("At least one action needs to be specified in a rule")
            );
        }
        let narrow = !rule.filter.tags.is_empty()
            || rule.filter.larger_than.is_some()
            || rule.filter.smaller_than.is_some();
        if narrow && rule.abort_uploads_days.is_some() {
            return Err(InvalidRequest.because(
                "AbortIncompleteMultipartUpload cannot be specified with Tags or object sizes.",
            ));
        }
        if rule.expire_date_ms.is_some_and(|it| it % DAY_MS != 0) {
            return invalid("'Date' must be at midnight GMT");
        }
    }
    Ok(())
}

/// When an object is going to be deleted, and by which rule: the header `x-amz-expiration`.
pub fn expiration(rules: &[Lifecycle], object: &Object) -> Option<String> {
    let due = |rule: &Lifecycle| {
        let days = rule.expire_days.map(|it| due_ms(object.modified_ms, it));
        days.or(rule.expire_date_ms)
    };
    let active = rules
        .iter()
        .filter(|it| it.enabled && is_about(&it.filter, object));
    let (at_ms, rule) = active
        .filter_map(|it| Some((due(it)?, it)))
        .min_by_key(|it| it.0)?;
    Some(format!(
        "expiry-date=\"{}\", rule-id=\"{}\"",
        http_date(at_ms)?,
        url_encoded(&rule.id)
    ))
}

/// When something that began at `since_ms` has been there for so many days.
fn due_ms(since_ms: i64, days: i32) -> i64 {
    let end = since_ms + i64::from(days) * DAY_MS;
    (end + DAY_MS - 1).div_euclid(DAY_MS) * DAY_MS
}

fn is_about(filter: &Filter, object: &Object) -> bool {
    object
        .key
        .starts_with(filter.prefix.as_deref().unwrap_or_default())
        && filter
            .tags
            .iter()
            .all(|(key, value)| object.tags.get(key) == Some(value))
        && filter.larger_than.is_none_or(|it| object.size > it)
        && filter.smaller_than.is_none_or(|it| object.size < it)
}

fn has_expired(rule: &Lifecycle, since_ms: i64, now_ms: i64) -> bool {
    rule.expire_days
        .is_some_and(|days| due_ms(since_ms, days) <= now_ms)
        || rule.expire_date_ms.is_some_and(|date| date <= now_ms)
}

pub struct LifecycleReconciler;

#[async_trait]
impl Reconciler for LifecycleReconciler {
    fn kind(&self) -> &'static str {
        Bucket::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<Bucket>(cloud)
    }
    fn region(&self, _key: &str) -> String {
        bucket::FIRST_REGION.to_owned()
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let bucket: Option<Bucket> = cx.read(|tx| tx.get(key))?;
        let Some(bucket) = bucket.filter(|it| !it.lifecycle.is_empty()) else {
            return Ok(Next::Idle);
        };
        for rule in bucket.lifecycle.iter().filter(|it| it.enabled) {
            apply(&cx, &bucket, rule).await?;
        }
        Ok(Next::After(LOOK_AGAIN))
    }
}

async fn apply(cx: &Cx, bucket: &Bucket, rule: &Lifecycle) -> Result<(), Error> {
    if rule.abort_uploads_days.is_some() {
        abort_uploads(cx, bucket, rule).await?;
    }
    if rule.expire_days.is_some() || rule.expire_date_ms.is_some() {
        expire(cx, bucket, rule).await?;
    }
    let looks_back = rule.noncurrent_days.is_some() || rule.expire_markers;
    if bucket.versioning != Versioning::Off && (looks_back || rule.expire_days.is_some()) {
        thin_out(cx, bucket, rule).await?;
    }
    Ok(())
}

fn query(bucket: &Bucket, rule: &Lifecycle) -> Query {
    Query {
        bucket: bucket.name.clone(),
        prefix: rule.filter.prefix.clone().unwrap_or_default(),
        delimiter: None,
        max: PAGE,
    }
}

fn ones<T>(page: list::Page<T>) -> Vec<T> {
    let entries = page.entries.into_iter();
    entries
        .filter_map(|it| match it {
            Entry::One(one) => Some(one),
            Entry::Prefix(_) => None,
        })
        .collect()
}

/// Current versions that are old enough are deleted, as their bucket deletes.
async fn expire(cx: &Cx, bucket: &Bucket, rule: &Lifecycle) -> Result<(), Error> {
    let now_ms = cx.clock().now_ms();
    let mut after = String::new();
    loop {
        let page = cx.read(|tx| list::objects(tx, &query(bucket, rule), &after))?;
        let truncated = page.truncated;
        let objects: Vec<Object> = ones(page);
        after = objects.last().map(|it| it.key.clone()).unwrap_or_default();
        let old =
            |it: &&Object| is_about(&rule.filter, it) && has_expired(rule, it.modified_ms, now_ms);
        let doomed: Vec<&Object> = objects.iter().filter(old).collect();
        if !doomed.is_empty() {
            cx.write(|tx| {
                let Some(bucket) = tx.get::<Bucket>(&bucket_key(&bucket.name))? else {
                    return Ok(());
                };
                for it in doomed {
                    // Unless it was written anew since it was looked at.
                    let now = versions::current(tx, &bucket.name, &it.key)?;
                    if now.is_some_and(|now| now.sequence == it.sequence) {
                        versions::delete(cx, tx, &bucket, &it.key)?;
                    }
                }
                Ok(())
            })?;
        }
        if !truncated {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// What is known of the version before, which is newer when it is of the same key.
#[derive(Default)]
struct Before {
    key: String,
    modified_ms: i64,
    noncurrent: i32,
}

/// Noncurrent versions that are old enough go, and markers that hide nothing any more.
async fn thin_out(cx: &Cx, bucket: &Bucket, rule: &Lifecycle) -> Result<(), Error> {
    let now_ms = cx.clock().now_ms();
    let (mut after, mut sequence) = (String::new(), None);
    let mut before = Before::default();
    loop {
        let page = cx.read(|tx| list::versions(tx, &query(bucket, rule), &after, sequence))?;
        let truncated = page.truncated;
        let listed: Vec<Listed> = ones(page);
        let Some(last) = listed.last() else {
            return Ok(());
        };
        after = last.version.key.clone();
        sequence = Some(last.version.sequence);
        let mut doomed: Vec<(String, String)> = Vec::new();
        for it in &listed {
            let version = &it.version;
            if before.key != version.key {
                before = Before {
                    key: version.key.clone(),
                    ..Before::default()
                };
            }
            if it.is_latest {
                if version.object.is_none() && marker_goes(rule, version.modified_ms, now_ms) {
                    doomed.push((version.key.clone(), version.version_id().to_owned()));
                }
            } else {
                before.noncurrent += 1;
                let about = (version.object.as_ref()).is_none_or(|it| is_about(&rule.filter, it));
                let old = rule
                    .noncurrent_days
                    .is_some_and(|days| due_ms(before.modified_ms, days) <= now_ms);
                if about && old && before.noncurrent > rule.noncurrent_kept.unwrap_or(0) {
                    doomed.push((version.key.clone(), version.version_id().to_owned()));
                }
            }
            before.modified_ms = version.modified_ms;
        }
        remove(cx, bucket, &doomed)?;
        if !truncated {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

fn marker_goes(rule: &Lifecycle, since_ms: i64, now_ms: i64) -> bool {
    rule.expire_markers
        || rule
            .expire_days
            .is_some_and(|days| due_ms(since_ms, days) <= now_ms)
}

fn remove(cx: &Cx, bucket: &Bucket, doomed: &[(String, String)]) -> Result<(), Error> {
    if doomed.is_empty() {
        return Ok(());
    }
    cx.write(|tx| {
        for (key, id) in doomed {
            let found = versions::find(tx, &bucket.name, key, id)?;
            // A marker goes only when nothing is under it.
            if matches!(found, Some(versions::Found::Marker(_)))
                && versions::is_newest(tx, &bucket.name, key, id)?
                && versions::count(tx, &bucket.name, key, 2)? > 1
            {
                continue;
            }
            versions::delete_version(tx, bucket, key, id)?;
        }
        Ok(())
    })
}

async fn abort_uploads(cx: &Cx, bucket: &Bucket, rule: &Lifecycle) -> Result<(), Error> {
    let now_ms = cx.clock().now_ms();
    let days = rule.abort_uploads_days.unwrap_or(i32::MAX);
    let (mut after, mut upload) = (String::new(), None);
    loop {
        let page =
            cx.read(|tx| list::uploads(tx, &query(bucket, rule), &after, upload.as_deref()))?;
        let truncated = page.truncated;
        let uploads: Vec<Upload> = ones(page);
        let Some(last) = uploads.last() else {
            return Ok(());
        };
        after = last.key.clone();
        upload = Some(last.id.clone());
        let doomed = uploads
            .iter()
            .filter(|it| due_ms(it.initiated_ms, days) <= now_ms);
        for it in doomed {
            cx.write(|tx| bucket::give_up(tx, it))?;
        }
        if !truncated {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_midnight() {
        let hour = 60 * 60 * 1000;
        assert_eq!(due_ms(0, 1), DAY_MS);
        assert_eq!(due_ms(hour, 1), 2 * DAY_MS);
        assert_eq!(due_ms(DAY_MS - 1, 3), 4 * DAY_MS);
    }

    #[test]
    fn rules_that_say_nothing_or_two_things_are_refused() {
        let rule = |expire_days, noncurrent_days| Lifecycle {
            id: "it".into(),
            enabled: true,
            expire_days,
            noncurrent_days,
            ..Lifecycle::default()
        };
        assert!(check(&[rule(Some(1), None)]).is_ok());
        assert!(check(&[rule(None, Some(1))]).is_ok());
        assert!(check(&[rule(None, None)]).is_err());
        assert!(check(&[rule(Some(0), None)]).is_err());
        assert!(check(&[rule(Some(1), None), rule(Some(2), None)]).is_err());
        assert!(check(&[]).is_err());
        let twice = Lifecycle {
            expire_markers: true,
            ..rule(Some(1), None)
        };
        assert!(check(&[twice]).is_err());
    }
}
