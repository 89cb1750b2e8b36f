//! Tags of repositories.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Records};
use shapes::ecr::*;

use crate::names::{find, invalid, no_repository};
use crate::repository::RepositoryRecord;

type Tags = BTreeMap<String, String>;

/// AWS's limit of tags per resource.
const TAGS_MAX: usize = 50;

pub fn add(tags: &mut Tags, more: Vec<Tag>) -> Result<(), Error> {
    tags.extend(more.into_iter().map(|it| (it.key, it.value)));
    if tags.len() > TAGS_MAX {
        return Err(errors::TooManyTagsException
            .because(format!("A resource can have no more than {TAGS_MAX} tags")));
    }
    Ok(())
}

fn by_arn(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<RepositoryRecord, Error> {
    let own = cx.arn("ecr", "repository/");
    match arn.strip_prefix(&own) {
        Some(name) => find(cx, tx, None, name),
        None if arn.starts_with("arn:aws:ecr:") => Err(no_repository(cx, arn)),
        None => Err(invalid(format!(
            "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN' ({arn})"
        ))),
    }
}

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    cx.write(|tx| {
        let mut repository = by_arn(&cx, tx, &input.resource_arn)?;
        add(&mut repository.tags, input.tags)?;
        tx.put(&repository)?;
        Ok(TagResourceOutput {})
    })
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    cx.write(|tx| {
        let mut repository = by_arn(&cx, tx, &input.resource_arn)?;
        repository
            .tags
            .retain(|key, _| !input.tag_keys.contains(key));
        tx.put(&repository)?;
        Ok(UntagResourceOutput {})
    })
}

pub async fn list_tags_for_resource(
    cx: Cx,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let repository = cx.read(|tx| by_arn(&cx, tx, &input.resource_arn))?;
    let tag = |(key, value)| Tag { key, value };
    Ok(ListTagsForResourceOutput {
        tags: Some(repository.tags.into_iter().map(tag).collect()),
    })
}
