//! Tags of parameters.

use cloud::{Cx, Error, Records, TagMap, remove_tags};
use shapes::ssm::*;

use crate::record::ParameterRecord;

pub fn add(tags: &mut TagMap, more: Vec<Tag>) -> Result<(), Error> {
    let more = more.into_iter().map(|it| (it.key, it.value));
    cloud::add_tags(tags, more, errors::TooManyTagsError)
}

fn find(
    cx: &Cx,
    tx: &Records<'_>,
    kind: ResourceTypeForTagging,
    id: &str,
) -> Result<ParameterRecord, Error> {
    if kind != ResourceTypeForTagging::Parameter {
        return Err(errors::InvalidResourceType.because(format!(
            "the resource type {kind} is not supported by neargate"
        )));
    }
    let named = crate::names::parse(cx, tx, id)?;
    tx.get(&cx.key(&named.name))?
        .ok_or_else(|| errors::InvalidResourceId.because(format!("Invalid resource ID: {id}")))
}

pub async fn add_tags_to_resource(
    cx: Cx,
    input: AddTagsToResourceInput,
) -> Result<AddTagsToResourceOutput, Error> {
    let find = |tx: &Records<'_>| find(&cx, tx, input.resource_type, &input.resource_id);
    cx.change(find, |it| add(&mut it.tags, input.tags))?;
    Ok(AddTagsToResourceOutput {})
}

pub async fn remove_tags_from_resource(
    cx: Cx,
    input: RemoveTagsFromResourceInput,
) -> Result<RemoveTagsFromResourceOutput, Error> {
    let find = |tx: &Records<'_>| find(&cx, tx, input.resource_type, &input.resource_id);
    cx.change(find, |it| {
        remove_tags(&mut it.tags, &input.tag_keys);
        Ok(())
    })?;
    Ok(RemoveTagsFromResourceOutput {})
}

pub async fn list_tags_for_resource(
    cx: Cx,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let parameter = cx.read(|tx| find(&cx, tx, input.resource_type, &input.resource_id))?;
    let tag = |(key, value)| Tag { key, value };
    Ok(ListTagsForResourceOutput {
        tag_list: Some(parameter.tags.into_iter().map(tag).collect()),
    })
}
