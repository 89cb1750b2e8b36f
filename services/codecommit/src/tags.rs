//! Tags of repositories.

use cloud::{Cx, Error, Records, add_tags, remove_tags};
use shapes::codecommit::*;

use crate::names::find;
use crate::repository::RepositoryRecord;

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
    let find = |tx: &Records<'_>| by_arn(&cx, tx, &input.resource_arn);
    cx.change(find, |it| {
        add_tags(&mut it.tags, input.tags, errors::TooManyTagsException)
    })?;
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
    let found = cx.read(|tx| by_arn(&cx, tx, &input.resource_arn))?;
    Ok(ListTagsForResourceOutput {
        tags: Some(found.tags),
        next_token: None,
    })
}
