//! Tags of groups, by both families of operations.

use cloud::{Cx, Error, TagMap};
use shapes::logs::errors::TooManyTagsException;
use shapes::logs::{
    ListTagsForResourceInput, ListTagsForResourceOutput, ListTagsLogGroupInput,
    ListTagsLogGroupOutput, TagLogGroupInput, TagLogGroupOutput, TagResourceInput,
    TagResourceOutput, UntagLogGroupInput, UntagLogGroupOutput, UntagResourceInput,
    UntagResourceOutput,
};

use crate::names::{find, find_by_identifier};

pub fn add(tags: &mut TagMap, more: TagMap) -> Result<(), Error> {
    cloud::add_tags(tags, more, TooManyTagsException)
}

fn change(
    cx: &Cx,
    name: &str,
    edit: impl FnOnce(&mut TagMap) -> Result<(), Error>,
) -> Result<(), Error> {
    cx.change(|tx| find(cx, tx, name), |group| edit(&mut group.tags))
        .map(drop)
}

fn remove(tags: &mut TagMap, keys: &[String]) -> Result<(), Error> {
    cloud::remove_tags(tags, keys);
    Ok(())
}

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    let group = find_by_identifier(&cx, &input.resource_arn)?;
    change(&cx, &group.name, |tags| add(tags, input.tags))?;
    Ok(TagResourceOutput {})
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    let group = find_by_identifier(&cx, &input.resource_arn)?;
    change(&cx, &group.name, |tags| remove(tags, &input.tag_keys))?;
    Ok(UntagResourceOutput {})
}

pub async fn list_tags_for_resource(
    cx: Cx,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let group = find_by_identifier(&cx, &input.resource_arn)?;
    Ok(ListTagsForResourceOutput {
        tags: Some(group.tags),
    })
}

pub async fn tag_log_group(cx: Cx, input: TagLogGroupInput) -> Result<TagLogGroupOutput, Error> {
    change(&cx, &input.log_group_name, |tags| add(tags, input.tags))?;
    Ok(TagLogGroupOutput {})
}

pub async fn untag_log_group(
    cx: Cx,
    input: UntagLogGroupInput,
) -> Result<UntagLogGroupOutput, Error> {
    change(&cx, &input.log_group_name, |tags| remove(tags, &input.tags))?;
    Ok(UntagLogGroupOutput {})
}

pub async fn list_tags_log_group(
    cx: Cx,
    input: ListTagsLogGroupInput,
) -> Result<ListTagsLogGroupOutput, Error> {
    let group = cx.read(|tx| find(&cx, tx, &input.log_group_name))?;
    Ok(ListTagsLogGroupOutput {
        tags: Some(group.tags),
    })
}
