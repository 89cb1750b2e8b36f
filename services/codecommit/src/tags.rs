//! Tags of repositories.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Records};
use shapes::codecommit::*;

use crate::names::find;
use crate::repository::RepositoryRecord;

/// AWS's limit of tags per resource.
const TAGS_MAX: usize = 50;

pub fn add(
    tags: &mut BTreeMap<String, String>,
    more: BTreeMap<String, String>,
) -> Result<(), Error> {
    tags.extend(more);
    if tags.len() > TAGS_MAX {
        return Err(errors::TooManyTagsException
            .because(format!("A resource can have no more than {TAGS_MAX} tags")));
    }
    Ok(())
}

/// The repository's name in an ARN of this account and region.
pub fn name_in<'a>(cx: &Cx, arn: &'a str) -> Option<&'a str> {
    arn.strip_prefix(&cx.arn("codecommit", ""))
}

fn by_arn(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<RepositoryRecord, Error> {
    match name_in(cx, arn) {
        Some(name) => find(cx, tx, name),
        None => Err(errors::InvalidResourceArnException
            .because(format!("The resource ARN {arn} is not valid"))),
    }
}

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    cx.write(|tx| {
        let mut found = by_arn(&cx, tx, &input.resource_arn)?;
        add(&mut found.tags, input.tags)?;
        tx.put(&found)?;
        Ok(TagResourceOutput {})
    })
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    cx.write(|tx| {
        let mut found = by_arn(&cx, tx, &input.resource_arn)?;
        found.tags.retain(|key, _| !input.tag_keys.contains(key));
        tx.put(&found)?;
        Ok(UntagResourceOutput {})
    })
}

pub async fn list_tags_for_resource(
    cx: Cx,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let found = cx.read(|tx| by_arn(&cx, tx, &input.resource_arn))?;
    Ok(ListTagsForResourceOutput {
        tags: Some(found.tags),
        next_token: None,
    })
}
