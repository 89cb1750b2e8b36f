//! Tags of groups, by both families of operations.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use shapes::logs::errors::TooManyTagsException;
use shapes::logs::{
    ListTagsForResourceInput, ListTagsForResourceOutput, ListTagsLogGroupInput,
    ListTagsLogGroupOutput, TagLogGroupInput, TagLogGroupOutput, TagResourceInput,
    TagResourceOutput, UntagLogGroupInput, UntagLogGroupOutput, UntagResourceInput,
    UntagResourceOutput,
};

use crate::names::{find, find_by_identifier};

type Tags = BTreeMap<String, String>;

/// AWS's limit of tags per resource.
const TAGS_MAX: usize = 50;

pub fn add(tags: &mut Tags, more: Tags) -> Result<(), Error> {
    tags.extend(more);
    if tags.len() > TAGS_MAX {
        return Err(TooManyTagsException
            .because(format!("A resource can have no more than {TAGS_MAX} tags.")));
    }
    Ok(())
}

fn change(
    cx: &Cx,
    name: &str,
    edit: impl FnOnce(&mut Tags) -> Result<(), Error>,
) -> Result<(), Error> {
    cx.write(|tx| {
        let mut group = find(cx, tx, name)?;
        edit(&mut group.tags)?;
        tx.put(&group)
    })
}

fn remove(tags: &mut Tags, keys: &[String]) -> Result<(), Error> {
    tags.retain(|key, _| !keys.contains(key));
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
