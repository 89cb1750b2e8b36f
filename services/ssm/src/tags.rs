//! Tags of parameters.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Records};
use shapes::ssm::*;

use crate::record::ParameterRecord;

/// AWS's limit of tags per resource.
const TAGS_MAX: usize = 50;

pub fn add(tags: &mut BTreeMap<String, String>, more: Vec<Tag>) -> Result<(), Error> {
    tags.extend(more.into_iter().map(|it| (it.key, it.value)));
    if tags.len() > TAGS_MAX {
        return Err(errors::TooManyTagsError
            .because(format!("A resource can have no more than {TAGS_MAX} tags")));
    }
    Ok(())
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
    cx.write(|tx| {
        let mut parameter = find(&cx, tx, input.resource_type, &input.resource_id)?;
        add(&mut parameter.tags, input.tags)?;
        tx.put(&parameter)?;
        Ok(AddTagsToResourceOutput {})
    })
}

pub async fn remove_tags_from_resource(
    cx: Cx,
    input: RemoveTagsFromResourceInput,
) -> Result<RemoveTagsFromResourceOutput, Error> {
    cx.write(|tx| {
        let mut parameter = find(&cx, tx, input.resource_type, &input.resource_id)?;
        parameter
            .tags
            .retain(|key, _| !input.tag_keys.contains(key));
        tx.put(&parameter)?;
        Ok(RemoveTagsFromResourceOutput {})
    })
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
