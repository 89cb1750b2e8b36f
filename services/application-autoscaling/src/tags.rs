//! Tags of scalable targets.

use cloud::{Cx, Error, Records, add_tags, remove_tags};
use shapes::application_autoscaling::*;

use crate::target::TargetRecord;

fn by_arn(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<TargetRecord, Error> {
    let targets = tx.list::<TargetRecord>(&cx.key(""))?;
    let found = targets.into_iter().find(|it| it.arn() == arn);
    found.ok_or_else(|| {
        errors::ResourceNotFoundException.because(format!("The resource doesn't exist: {arn}"))
    })
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
    let target = cx.read(|tx| by_arn(&cx, tx, &input.resource_arn))?;
    Ok(ListTagsForResourceOutput {
        tags: Some(target.tags),
    })
}
