//! Tags of pipelines and webhooks.

use cloud::{Cx, Error, Records};
use shapes::codepipeline::errors::*;
use shapes::codepipeline::*;

use crate::record::{Pipeline, Webhook};

/// AWS's limit of tags per resource.
const TAGS_MAX: usize = 50;

pub fn new(tags: Vec<Tag>) -> Result<Vec<Tag>, Error> {
    let mut all = Vec::new();
    merge(&mut all, tags)?;
    Ok(all)
}

fn merge(all: &mut Vec<Tag>, more: Vec<Tag>) -> Result<(), Error> {
    for tag in more {
        all.retain(|it| it.key != tag.key);
        all.push(tag);
    }
    match all.len() > TAGS_MAX {
        true => Err(TooManyTagsException
            .because(format!("A resource can have no more than {TAGS_MAX} tags"))),
        false => Ok(()),
    }
}

/// Changes the tags of what the ARN names, or only shows them.
fn with<T>(
    cx: &Cx,
    tx: &Records<'_>,
    arn: &str,
    body: impl FnOnce(&mut Vec<Tag>) -> Result<T, Error>,
) -> Result<T, Error> {
    let own = cx.arn("codepipeline", "");
    let name = arn.strip_prefix(&own).ok_or_else(|| {
        InvalidArnException.because(format!("The resource ARN {arn} is not valid"))
    })?;
    let missing = || {
        ResourceNotFoundException.because(format!("The resource with the ARN {arn} was not found"))
    };
    if let Some(webhook) = name.strip_prefix("webhook:") {
        let mut webhook: Webhook = tx.get(&cx.key(webhook))?.ok_or_else(missing)?;
        let before = webhook.tags.clone();
        let answer = body(&mut webhook.tags)?;
        if webhook.tags != before {
            tx.put(&webhook)?;
        }
        return Ok(answer);
    }
    let mut pipeline: Pipeline = tx.get(&cx.key(name))?.ok_or_else(missing)?;
    let before = pipeline.tags.clone();
    let answer = body(&mut pipeline.tags)?;
    if pipeline.tags != before {
        tx.put(&pipeline)?;
    }
    Ok(answer)
}

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    let tags = input.tags;
    cx.write(|tx| with(&cx, tx, &input.resource_arn, |all| merge(all, tags)))?;
    Ok(TagResourceOutput {})
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    cx.write(|tx| {
        with(&cx, tx, &input.resource_arn, |all| {
            all.retain(|it| !input.tag_keys.contains(&it.key));
            Ok(())
        })
    })?;
    Ok(UntagResourceOutput {})
}

pub async fn list_tags_for_resource(
    cx: Cx,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let tags = cx.read(|tx| with(&cx, tx, &input.resource_arn, |all| Ok(all.clone())))?;
    Ok(ListTagsForResourceOutput {
        tags: Some(tags),
        next_token: None,
    })
}
