//! Tags of scalable targets.

use cloud::{Cx, Error, Records};
use shapes::application_autoscaling::*;

use crate::target::TargetRecord;

/// AWS's limit of tags per resource.
const TAGS_MAX: usize = 50;

fn by_arn(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<TargetRecord, Error> {
    let targets = tx.list::<TargetRecord>(&cx.key(""))?;
    let found = targets.into_iter().find(|it| it.arn() == arn);
    found.ok_or_else(|| {
        errors::ResourceNotFoundException.because(format!("The resource doesn't exist: {arn}"))
    })
}

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    cx.write(|tx| {
        let mut target = by_arn(&cx, tx, &input.resource_arn)?;
        target.tags.extend(input.tags);
        if target.tags.len() > TAGS_MAX {
            return Err(errors::TooManyTagsException
                .because(format!("A resource can have no more than {TAGS_MAX} tags")));
        }
        tx.put(&target)?;
        Ok(TagResourceOutput {})
    })
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    cx.write(|tx| {
        let mut target = by_arn(&cx, tx, &input.resource_arn)?;
        target.tags.retain(|key, _| !input.tag_keys.contains(key));
        tx.put(&target)?;
        Ok(UntagResourceOutput {})
    })
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
