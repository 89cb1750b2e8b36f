//! Finding connections and hosts by their ARNs, under either name.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Records};
use shapes::codeconnections::{Tag, errors};

use crate::record::{ConnectionRecord, HostRecord, Made};

/// AWS's limit of tags per resource.
const TAGS_MAX: usize = 200;

pub fn invalid(message: impl Into<String>) -> Error {
    errors::InvalidInputException.because(message)
}

/// The id in an ARN of this account and region.
fn id<'a>(cx: &Cx, arn: &'a str, kind: &str) -> Option<&'a str> {
    let services = [Made::CodeConnections, Made::CodeStar];
    services.iter().find_map(|made| {
        let own = cx.arn(made.service(), &format!("{kind}/"));
        arn.strip_prefix(&own)
    })
}

/// Whether an ARN, of whatever account and region, is a host's and not a connection's.
pub fn is_host(arn: &str) -> bool {
    arn.contains(":host/")
}

pub fn find_connection(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<ConnectionRecord, Error> {
    let found = match id(cx, arn, "connection") {
        Some(id) => tx.get(&cx.key(id))?,
        None => None,
    };
    found.ok_or_else(|| {
        errors::ResourceNotFoundException.because(format!("Connection {arn} not found"))
    })
}

pub fn find_host(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<HostRecord, Error> {
    let found = match id(cx, arn, "host") {
        Some(id) => tx.get(&cx.key(id))?,
        None => None,
    };
    found.ok_or_else(|| errors::ResourceNotFoundException.because(format!("Host {arn} not found")))
}

pub fn add_tags(tags: &mut BTreeMap<String, String>, more: Vec<Tag>) -> Result<(), Error> {
    tags.extend(more.into_iter().map(|it| (it.key, it.value)));
    if tags.len() > TAGS_MAX {
        return Err(errors::LimitExceededException
            .because(format!("A resource can have no more than {TAGS_MAX} tags")));
    }
    Ok(())
}

pub fn shown_tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag {
        key: key.clone(),
        value: value.clone(),
    };
    tags.iter().map(tag).collect()
}

/// The items after the token, and the token for those that are left: the last id that was given.
pub fn page<T>(
    mut items: Vec<T>,
    id: impl Fn(&T) -> &str,
    token: Option<&str>,
    max: Option<i32>,
) -> (Vec<T>, Option<String>) {
    /// AWS's default and highest number of items on a page.
    const PAGE: usize = 100;
    if let Some(token) = token {
        items.retain(|it| id(it) > token);
    }
    let count = max.and_then(|it| usize::try_from(it).ok());
    let count = count.filter(|it| *it > 0).unwrap_or(PAGE).min(PAGE);
    let more = items.len() > count;
    items.truncate(count);
    let next = items.last().filter(|_| more).map(|it| id(it).to_owned());
    (items, next)
}
