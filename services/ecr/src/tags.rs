//! Tags of repositories.

use cloud::{Cx, Error, Records, TagMap, remove_tags};
use shapes::ecr::*;

use crate::names::{find, invalid, no_repository};
use crate::repository::RepositoryRecord;

pub fn add(tags: &mut TagMap, more: Vec<Tag>) -> Result<(), Error> {
    let more = more.into_iter().map(|it| (it.key, it.value));
    cloud::add_tags(tags, more, errors::TooManyTagsException)
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
    let find = |tx: &Records<'_>| by_arn(&cx, tx, &input.resource_arn);
    cx.change(find, |it| add(&mut it.tags, input.tags))?;
    Ok(TagResourceOutput {})
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    let find = |tx: &Records<'_>| by_arn(&cx, tx, &input.resource_arn);
    cx.change(find, |it| {
        remove_tags(&mut it.tags, &input.tag_keys);
        Ok(())
    })?;
    Ok(UntagResourceOutput {})
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
